//! `countersign doctor` on the real program, wherever its site lies: each fault is planted in a site, and has to be found
//! with a way to mend it; a healthy site has none. What is looked at in files alone is in `sqlite_doctor`, what in a database
//! alone in `postgres_doctor`.

use std::process::Output;

use countersign_projections::TRAILING;
use serde_json::Value;

use crate::{
    databases::{Database, Tool},
    projections::SOME_ID,
    running_site::RunningSite,
};

/// A site with a member, stopped once its read models were with the log.
pub fn given_stopped() -> RunningSite {
    given_stopped_in(Database::of_this_run())
}

pub fn given_stopped_in(database: Database) -> RunningSite {
    let mut site = RunningSite::start_in(database, &[], &[]);
    site.given_member("ada", &["admin"]);
    let follows = |line: &str| line.contains("read model") && line.contains(" 0 events");
    while site.done(&["doctor"]).lines().filter(|line| follows(line)).count() < TRAILING.len() {}
    site.kill9();
    site
}

pub struct Told {
    pub code: Option<i32>,
    pub findings: Vec<Value>,
}

impl Told {
    pub fn by(output: &Output) -> Self {
        let findings = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        Self { code: output.status.code(), findings }
    }

    /// The finding about something, which has this severity, these words, and a remedy that says `mend`.
    #[track_caller]
    pub fn has(&self, severity: &str, about: &str, found: &str, mend: &str) {
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let fits = |finding: &&Value| {
            text(finding, "severity") == severity
                && text(finding, "about") == about
                && text(finding, "found").contains(found)
                && text(finding, "remedy").contains(mend)
        };
        assert!(self.findings.iter().any(|finding| fits(&finding)), "{about}: {:#?}", self.findings);
        let wanted = if severity == "problem" { Some(3) } else { Some(0) };
        assert_eq!(self.code, wanted, "{:#?}", self.findings);
    }

    #[track_caller]
    pub fn is_healthy(&self) {
        let bad: Vec<_> = self.findings.iter().filter(|finding| finding["severity"] != "ok").collect();
        assert!(bad.is_empty(), "{bad:#?}");
        assert_eq!(self.code, Some(0));
        assert!(self.findings.iter().all(|finding| finding["remedy"].is_null()), "{:#?}", self.findings);
    }
}

pub fn doctor(site: &RunningSite, arguments: &[&str]) -> Told {
    Told::by(&site.cli(&[&["doctor", "--format", "json"], arguments].concat()))
}

/// Changes the log's database behind everybody's back.
async fn tamper(site: &RunningSite, statements: &str) {
    site.home.log().await.run(statements).await;
}

/// The same with the first generation of the inbox; what is said differently, for either database.
async fn tamper_with_inbox(site: &RunningSite, on_sqlite: &str, on_postgres: &str) {
    let mut inbox: Tool = site.home.model("inbox", 1).await;
    inbox.run(inbox.either(on_sqlite, on_postgres)).await;
}

#[test]
fn a_healthy_site_has_no_problem_running_or_stopped() {
    let mut site = RunningSite::start();
    site.given_member("ada", &["admin"]);
    let told = doctor(&site, &["--deep"]);
    told.is_healthy();
    told.has("ok", "read model inbox", "events", "");
    site.kill9();
    let told = doctor(&site, &["--deep"]);
    told.is_healthy();
    for (about, found) in [
        ("root key", "opens the vault"),
        ("clock", "not behind the log"),
        ("end of the log", "epoch 1"),
        ("read model tokens", "changes with the log"),
        ("settings", "none"),
    ] {
        told.has("ok", about, found, "");
    }
}

#[tokio::test]
async fn a_cursor_ahead_of_the_log_is_reported_and_not_moved() {
    let mut site = given_stopped();
    let ahead = "update cursor set position = position + 1000";
    tamper_with_inbox(&site, ahead, "update cursors set position = position + 1000 where name = 'inbox'").await;
    doctor(&site, &[]).has("problem", "read model inbox", "ahead of the log", "projections rebuild inbox");
    site.restart();
    doctor(&site, &[]).has("problem", "read model inbox", "ahead of the log", "projections rebuild inbox");
}

#[tokio::test]
async fn a_cursor_of_an_epoch_that_was_cut_short_is_reported() {
    let site = given_stopped();
    let timeline = |log: &Tool| log.either(("", ""), (", timeline", ", '00000001'"));
    let (column, value) = timeline(&site.home.log().await);
    let began = format!("insert into epochs (epoch, began_after, recorded_at{column}) values (2, 1, 0{value})");
    tamper(&site, &format!("{began}; update head set epoch = 2")).await;
    doctor(&site, &[]).has("problem", "read model inbox", "its cursor 1.", "projections rebuild inbox");
}

#[tokio::test]
async fn a_stream_that_is_parked_is_a_problem_whether_the_site_runs_or_not() {
    let mut site = given_stopped();
    let parked = "insert into parked (position, stream, error) values (1, 'site', 'It cannot be read.')";
    let in_database = "insert into parked (name, generation, position, stream, error) \
                       values ('inbox', 1, 1, 'site', 'It cannot be read.')";
    tamper_with_inbox(&site, parked, in_database).await;
    doctor(&site, &[]).has("problem", "read model inbox", "incomplete: 1 stream is parked", "projections parked list");
    let table = site.cli(&["doctor"]);
    let text = String::from_utf8_lossy(&table.stdout);
    assert!(
        text.contains("problem  read model inbox") && text.contains("-> `countersign projections parked list"),
        "{text}"
    );
    assert!(text.trim_end().ends_with("problems: 1, warnings: 0"), "{text}");
    let csv = site.cli(&["doctor", "--format", "csv"]);
    assert!(String::from_utf8_lossy(&csv.stdout).starts_with("severity,about,found,remedy\n"));
    assert_eq!((table.status.code(), csv.status.code()), (Some(3), Some(3)));
    site.restart();
    doctor(&site, &[]).has("problem", "read model inbox", "incomplete: 1 stream is parked", "projections parked list");
}

#[tokio::test]
async fn a_head_that_is_not_at_the_last_event_is_a_problem() {
    let site = given_stopped();
    tamper(&site, "update head set position = position - 1").await;
    doctor(&site, &[]).has(
        "problem",
        "end of the log",
        "the last event is at",
        "until it reads again rebuild no read model",
    );
}

#[tokio::test]
async fn a_clock_that_is_behind_the_log_is_a_problem() {
    let site = given_stopped();
    let id = site.home.log().await.either("randomblob(16)", SOME_ID);
    // An event of the year 2100.
    let later = format!(
        "insert into events (position, event_id, stream, version, type, type_version, recorded_at, actor, payload) \
         select position + 1, {id}, stream, version + 1000, type, type_version, 4102444800000000, actor, payload \
         from events order by position desc limit 1; update head set position = position + 1"
    );
    tamper(&site, &later).await;
    doctor(&site, &[]).has("problem", "clock", "behind the last event", "NTP");
}

#[tokio::test]
async fn read_models_of_another_revision_are_told() {
    let site = given_stopped();
    tamper(&site, "update generations set revision = 99; delete from inline_models where name = 'tokens'").await;
    let told = doctor(&site, &[]);
    told.has("warning", "read model inbox", "revision 99", "the next start");
    told.has("warning", "read model tokens", "not built", "the next start");
}

#[test]
fn settings_that_are_risky_are_told_with_what_to_do() {
    let settings = [("PUBLIC_URL", "http://site.example"), ("INSECURE_HTTP", "true")];
    let site = RunningSite::start_with(&settings, &[]);
    doctor(&site, &[]).has("warning", "setting insecure_http", "readable", "https");
    let site = RunningSite::start_with(&[("TRUSTED_PROXIES", "0.0.0.0/0")], &[]);
    doctor(&site, &[]).has("problem", "setting trusted_proxies", "every address", "your own proxies");
    let mut site = given_stopped();
    site.set("LISTEN", "0.0.0.0:8080");
    site.set("PUBLIC_URL", "http://127.0.0.1:8080");
    doctor(&site, &[]).has("warning", "setting public_url", "their own machine", "listen on 127.0.0.1");
}
