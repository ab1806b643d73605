//! `countersign serve --demo`: what it fills a site with, that it is the same each time, and what it leaves alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Output,
};

use countersign::{demo::CAST, world::World};
use countersign_events::application::Standing;
use serde_json::Value;

use crate::{
    databases::Database,
    running_site::{RunningSite, program_at, text_of},
    support::Home,
};

const PASSWORD: &str = countersign::demo::PASSWORD;

fn demo() -> RunningSite {
    RunningSite::start_with(&[("DEMO", "true")], &[])
}

fn list(site: &RunningSite, arguments: &[&str]) -> Vec<Value> {
    let arguments: Vec<_> = arguments.iter().copied().chain(["--format", "json"]).collect();
    serde_json::from_str(&site.done(&arguments)).expect("a list as JSON")
}

/// Types, streams and actors of the whole log, with ids by the order in which they turn up.
fn story(site: &RunningSite) -> Vec<String> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut plain = |text: &str| {
        let mut plain = text.to_owned();
        for id in ids(text) {
            let next = names.len();
            let number = *names.entry(id.clone()).or_insert(next);
            plain = plain.replace(&id, &format!("#{number}"));
        }
        plain
    };
    list(site, &["events", "list", "--limit", "10000"])
        .iter()
        .map(|event| {
            let field = |name: &str| event[name].as_str().expect("a text").to_owned();
            format!("{} {} {}", field("type"), plain(&field("stream")), plain(&field("actor")))
        })
        .collect()
}

/// The ids in the name of a stream or an actor: hyphenated UUIDs, and the digest of a username.
fn ids(text: &str) -> Vec<String> {
    let is_id = |part: &str| part.len() == 36 && part.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let mut ids = vec![];
    let mut at = 0;
    while at + 36 <= text.len() {
        match text.get(at..at + 36) {
            Some(part) if is_id(part) && part.as_bytes()[8] == b'-' => {
                ids.push(part.to_owned());
                at += 36;
            }
            _ => at += 1,
        }
    }
    ids.extend(text.strip_prefix("username-").map(ToOwned::to_owned));
    ids
}

fn serve(home: &Home, arguments: &[&str]) -> Output {
    program_at(home).args(["serve", "--demo"]).args(arguments).output().expect("it runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_has_applications_in_every_state_and_everybody_can_log_in() {
    let mut site = demo();
    let rows = list(&site, &["review", "list", "--state", "all"]);
    let states: BTreeSet<_> = rows.iter().map(|row| row["state"].as_str().expect("a state").to_owned()).collect();
    assert_eq!(states, Standing::ALL.into_iter().map(|standing| standing.to_string()).collect());
    for (what, holds) in [
        ("overdue", (|row| row["overdue"] == true) as fn(&Value) -> bool),
        ("claimed", |row| row["claimed_by"] == "rob"),
        ("signed", |row| row["waits_for"] == "second signature"),
        ("a change", |row| row["waits_for"] == "review of a change"),
        ("fresh", |row| row["waits_for"] == "review" && row["overdue"] == false && row["claimed_by"].is_null()),
        ("web", |row| row["purpose"] == "web"),
        ("personal", |row| row["purpose"] == "personal"),
        ("native", |row| row["purpose"] == "native"),
    ] {
        assert!(rows.iter().any(holds), "{what}: {rows:?}");
    }
    let types: BTreeSet<_> = story(&site).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    for name in [
        "ApplicationAppealed",
        "ApplicationResubmitted",
        "ApplicationRevoked",
        "ChangeApproved",
        "ChangeWithdrawn",
        "ClientIdRotated",
        "SecretRevealed",
        "SecretExpired",
        "TokenRevoked",
        "AuthorizationRescinded",
        "AuthorizationDenied",
        "NotificationsRead",
        "VoteCast",
    ] {
        assert!(types.contains(name), "{name} is missing among {types:?}");
    }

    for part in CAST {
        let mut visitor = site.visitor();
        visitor.submitted("/login", "/login", &[("username", part.name), ("password", PASSWORD)]).await;
        assert_eq!(visitor.get("/settings").await.status, 200, "{}", part.name);
        if part.name == "ben" {
            let inbox = visitor.get("/inbox").await.body;
            assert!(inbox.contains("a token waits"), "{inbox}");
        }
    }

    // Started again it is served as it is, and says again who can log in.
    let before = story(&site);
    site.kill9();
    site.restart();
    let after = story(&site);
    assert_eq!(after[..before.len()], before);
    // It listens on another port.
    assert!(after[before.len()..].iter().all(|line| line.starts_with("ConfigurationChanged")), "{after:?}");
    let printed = site.said().0;
    assert_eq!(printed.matches("Log in as one of these").count(), 2, "{printed}");
    assert!(!printed.contains("/setup"), "{printed}");
}

#[test]
fn a_demo_tells_the_same_story_each_time_and_ends_before_now() {
    let (one, other) = (demo(), demo());
    let (first, second) = (story(&one), story(&other));
    assert!(first.len() > 300, "{}", first.len());
    assert_eq!(first, second);

    let events = list(&one, &["events", "list", "--limit", "10000"]);
    let times: Vec<_> = events.iter().map(|event| event["recorded_at"].as_str().expect("a time").to_owned()).collect();
    assert!(times.is_sorted(), "time goes forward");
    let now = World::system().now();
    let at = |text: &String| text.parse::<countersign_events::recorded::Timestamp>().expect("a time");
    assert!(times.iter().map(at).all(|time| time <= now), "nothing is recorded in the future");
    assert!(at(&times[0]) < now - chrono::Duration::days(30), "it goes back for weeks: {}", times[0]);
}

#[test]
fn a_site_that_has_members_is_not_filled() {
    let home = Home::made_in_a(Database::of_this_run());
    text_of(&program_at(&home).args(["account", "create", "zoe", "--new-site"]).output().expect("it runs"));
    let refused = serve(&home, &["--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    let another = if home.database.is_some() { "database_url" } else { "--data-dir ./demo" };
    assert!(said.contains("has a member") && said.contains(another), "{said}");
}

#[test]
fn a_demo_is_served_on_loopback_only() {
    let home = Home::on_this_machine();
    for arguments in [
        &["--listen", "0.0.0.0:0", "--public-url", "https://site.example"][..],
        &["--listen", "127.0.0.1:0", "--public-url", "https://site.example"],
        &["--listen", "0.0.0.0:0", "--public-url", "http://127.0.0.1:8080"],
    ] {
        let refused = serve(&home, arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("everybody knows") && said.contains("127.0.0.1"), "{said}");
    }
    assert!(!home.data_dir().exists());
}
