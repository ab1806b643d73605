//! `countersign review`: the queue and decisions at the command line, beside a running site and without one. Decisions
//! are a member's: the rules for that member hold (P10).

use std::process::{Command, Output};

use serde_json::Value;

use crate::running_site::{RunningSite, text_of};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A command that is refused; what it says.
fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}{}", String::from_utf8_lossy(&output.stdout), said(output));
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    said(output)
}

fn rows(site: &RunningSite, arguments: &[&str]) -> Vec<Value> {
    let arguments: Vec<_> = ["review", "list"].iter().chain(arguments).chain(&["--format", "json"]).copied().collect();
    serde_json::from_str(&site.done(&arguments)).expect("a list")
}

fn record(site: &RunningSite, id: &str) -> Value {
    serde_json::from_str(&site.done(&["review", "show", id, "--format", "json"])).expect("an object")
}

fn head(site: &RunningSite) -> Value {
    let events: Value = serde_json::from_str(&site.done(&["events", "list", "--limit", "10000", "--format", "json"]))
        .expect("a list of events");
    events.as_array().and_then(|events| events.last()).expect("an event").clone()
}

/// A site with reviewers `rob` and `mia`, and a request of `cleo`.
async fn given_request() -> (RunningSite, String) {
    let site = RunningSite::start();
    for (name, roles) in [("rob", &["reviewer"][..]), ("mia", &["reviewer"]), ("cleo", &[])] {
        site.given_member(name, roles);
    }
    let mut cleo = site.visitor();
    cleo.log_in("cleo").await;
    let id = cleo.ask_for("Reader", "https://app.example/cb").await;
    (site, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_claims_and_approves_beside_a_running_site() {
    let (site, id) = given_request().await;
    let waiting = rows(&site, &[]);
    assert_eq!(waiting.len(), 1);
    let row = &waiting[0];
    assert_eq!(
        (row["id"].as_str(), row["name"].as_str(), row["owner"].as_str()),
        (Some(&*id), Some("Reader"), Some("cleo"))
    );
    assert_eq!((row["waits_for"].as_str(), row["revision"].as_u64()), (Some("review"), Some(1)));
    assert_eq!((row["overdue"].as_bool(), row["state"].as_str()), (Some(false), Some("under_review")));

    assert!(site.done(&["review", "claim", &id, "--as", "rob"]).starts_with("rob has claimed “Reader” until "));
    assert_eq!(rows(&site, &["--as", "rob", "--claimed-by", "me"]).len(), 1);
    let held = refused(&site.cli(&["review", "approve", &id, "--revision", "1", "--as", "mia"]), 1);
    assert!(held.contains("it is claimed by rob; the claim lapses at"), "{held}");
    site.done(&["review", "release", &id, "--as", "rob"]);

    let done = site.done(&["review", "approve", &id, "--revision", "1", "--reason", "Welcome.", "--as", "rob"]);
    assert!(done.contains("“Reader” is approved at revision 1") && done.contains("cleo is told"), "{done}");
    assert_eq!(rows(&site, &[]), Vec::<Value>::new());

    let shown = record(&site, &id);
    assert_eq!((shown["state"].as_str(), shown["decided_by"].as_str()), (Some("approved"), Some("rob")));
    assert_eq!(shown["reason"], "Welcome.");
    let last = shown["history"].as_array().and_then(|all| all.last()).expect("a history").clone();
    let sentence = last["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.contains("rob approved “Reader”, revision 1") && sentence.contains("(command line)"),
        "{sentence}"
    );
    // The envelope names who sat at the command line, the decision in whose name.
    let approved = site.done(&["events", "list", "--type", "ApplicationApproved", "--format", "json"]);
    assert!(approved.contains("\"actor\": \"cli:"), "{approved}");
    // It is found by both, as the claim before it is.
    for (kind, count) in [("ApplicationApproved", 1), ("ReviewClaimed", 1), ("ReviewReleased", 1)] {
        let by = |actor: &str| site.done(&["events", "list", "--type", kind, "--actor", actor, "--format", "csv"]);
        assert_eq!(by("rob").lines().count(), 1 + count, "{kind}: {}", by("rob"));
        assert_eq!(by("mia").lines().count(), 1, "{kind}: {}", by("mia"));
    }

    let twice = refused(&site.cli(&["review", "deny", &id, "--revision", "1", "--reason", "No.", "--as", "mia"]), 1);
    assert!(twice.contains("the application is approved: rob, on "), "{twice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_is_made_twice_says_that_nothing_new_happened_and_what_stands() {
    let (site, id) = given_request().await;
    let decide = |verb: &str, name: &str| {
        let reason = ["--reason", "As agreed.", "--revision", "1", "--as", name];
        let arguments = [&["review", verb, &id][..], if verb == "claim" { &reason[4..] } else { &reason[..] }].concat();
        site.done(&arguments)
    };
    for (verb, already, stands) in [
        ("claim", "rob has claimed “Reader” already", "rob took up the review of “Reader”"),
        ("approve", "“Reader” is approved already", "rob approved “Reader”, revision 1"),
        ("suspend", "“Reader” is suspended already", "rob suspended “Reader”, revision 1"),
        ("reinstate", "“Reader” is reinstated already", "rob reinstated “Reader”, revision 1"),
        ("revoke", "“Reader” is revoked already", "rob revoked “Reader”, revision 1"),
    ] {
        let first = decide(verb, "rob");
        assert!(!first.contains("Nothing new"), "{first}");
        let before = head(&site);
        let again = decide(verb, "rob");
        let said = [&format!("Nothing new happened: {already}. What stands is of "), " UTC: ", stands];
        assert!(said.iter().all(|part| again.contains(*part)), "{verb}: {again}");
        assert_eq!(head(&site), before, "{verb}");
    }
    let other = ["review", "revoke", &id, "--revision", "1", "--reason", "No.", "--as", "mia"];
    let late = refused(&site.cli(&other), 1);
    assert!(late.contains("the application is revoked: rob, on "), "{late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_does_twice_says_that_nothing_new_happened() {
    let site = RunningSite::start();
    site.given_member("bob", &[]);
    let (_, token) = site.given_token("bob", "read");
    for (arguments, already, stands) in [
        (&["account", "grant", "bob", "reviewer"][..], "bob has the role reviewer already", "bob the role reviewer"),
        (&["account", "withdraw", "bob", "reviewer"], "bob does not have the role reviewer", "reviewer"),
        (&["account", "suspend", "bob"], "bob is suspended already", "suspended bob"),
        (&["account", "reinstate", "bob"], "bob can act already", "bob"),
        (&["token", "revoke", &token], "has ended already", "bob"),
    ] {
        let first = site.done(arguments);
        assert!(!first.contains("Nothing new"), "{first}");
        let before = head(&site);
        let again = site.done(arguments);
        assert!(again.starts_with("Nothing new happened: ") && again.contains(already), "{arguments:?}: {again}");
        let (_, what) = again.split_once(" UTC: ").expect("what stands");
        assert!(what.contains(stands) && what.contains("(command line)"), "{arguments:?}: {again}");
        assert_eq!(head(&site), before, "{arguments:?}");
    }
    let never = site.done(&["account", "withdraw", "bob", "admin"]);
    assert_eq!(never, "Nothing new happened: bob does not have the role admin.");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_decides_without_the_role_nor_on_an_application_of_their_own() {
    let (site, id) = given_request().await;
    let before = head(&site);
    for (arguments, code, why) in [
        (&["approve", &id, "--revision", "1"][..], 2, "--as <NAME>"),
        (&["approve", &id, "--revision", "1", "--as", "cleo"], 1, "cleo lacks the role reviewer"),
        (&["approve", &id, "--revision", "1", "--as", "zoe"], 1, "there is no member called `zoe`"),
        (&["deny", &id, "--revision", "1", "--as", "rob"], 2, "--reason <TEXT>"),
        (&["deny", &id, "--revision", "1", "--as", "rob", "--reason", " "], 2, "--reason <TEXT>"),
        (
            &["deny", &id, "--revision", "1", "--as", "rob", "--reason", "No.", "--reason-code", "mood"],
            2,
            "one of incomplete, misleading",
        ),
        (&["suspend", &id, "--revision", "1", "--as", "rob", "--reason", "No."], 1, "the application is under review"),
        (
            &["deny-change", &id, "--revision", "1", "--as", "rob", "--reason", "No."],
            1,
            "the application is under review: cleo, on ",
        ),
        (&["show", "7"], 2, "`countersign review list --state all` shows them"),
        (&["show", "01926f3e-8a00-7000-8000-000000000001"], 1, "`countersign review list --state all` lists"),
        (&["list", "--owner", "me"], 2, "`me` is nobody without --as NAME"),
    ] {
        let arguments: Vec<_> = ["review"].iter().chain(arguments).copied().collect();
        let said = refused(&site.cli(&arguments), code);
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    site.done(&["account", "grant", "cleo", "reviewer"]);
    let own = refused(&site.cli(&["review", "approve", &id, "--revision", "1", "--as", "cleo"]), 1);
    assert!(own.contains("nobody decides on an application of their own"), "{own}");
    site.done(&["account", "suspend", "rob"]);
    let suspended = refused(&site.cli(&["review", "approve", &id, "--revision", "1", "--as", "rob"]), 1);
    assert!(suspended.contains("rob is suspended"), "{suspended}");

    let position = |event: &Value| event["position"].as_u64().expect("a position");
    assert_eq!(position(&head(&site)), position(&before) + 2, "only role and suspension were recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_on_an_older_revision_is_refused_with_who_when_and_what_differs() {
    let (site, id) = given_request().await;
    let mut cleo = site.visitor();
    cleo.log_in("cleo").await;
    let page = format!("/settings/apps/{id}");
    let fields = [
        ("revision", "1"),
        ("name", "Writer"),
        ("redirect_uri", "https://app.example/cb"),
        ("description", "Reads the front page."),
    ];
    cleo.submitted(&page, &format!("{page}/edit"), &fields).await;

    let said = refused(&site.cli(&["review", "approve", &id, "--revision", "1", "--as", "rob"]), 1);
    assert!(said.contains("it is at revision 2") && said.contains("cleo changed it on "), "{said}");
    assert!(said.contains("name: “Reader” became “Writer”"), "{said}");
    site.done(&["review", "request-changes", &id, "--revision", "2", "--reason", "Say more.", "--as", "rob"]);
    assert_eq!(rows(&site, &["--state", "changes_requested"])[0]["waits_for"], "its owner");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_site_is_reviewed_just_the_same() {
    let (mut site, id) = given_request().await;
    site.kill9();
    let table = site.done(&["review", "list"]);
    assert!(table.starts_with("ID ") && table.contains("Reader") && table.contains(&id), "{table}");
    site.done(&["review", "approve", &id, "--revision", "1", "--as", "rob"]);
    let done = site.done(&["review", "suspend", &id, "--revision", "1", "--reason", "It\nleaks.", "--as", "mia"]);
    assert!(done.contains("its tokens rest"), "{done}");
    let shown = site.done(&["review", "show", &id]);
    for part in ["reinstate revoke\n", "\nhistory\n", "mia suspended “Reader”, revision 1", "| leaks."] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let csv = site.done(&["review", "list", "--state", "suspended", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 2, "{csv}");
    let none = site.cli(&["review", "list"]);
    assert!(text_of(&none).starts_with("ID") && said(&none).contains("Nothing like this waits"), "{}", said(&none));
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_two_person_rule_the_first_signs_and_the_second_decides() {
    let site = RunningSite::start_with(&[("TWO_PERSON_RULE", "true")], &[]);
    for (name, roles) in [("rob", &["reviewer"][..]), ("mia", &["reviewer"]), ("cleo", &[])] {
        site.given_member(name, roles);
    }
    let mut cleo = site.visitor();
    cleo.log_in("cleo").await;
    let id = cleo.ask_for("Reader", "https://app.example/cb").await;
    let first = site.done(&["review", "approve", &id, "--revision", "1", "--as", "rob"]);
    assert!(first.contains("the first of two"), "{first}");
    assert_eq!(rows(&site, &[])[0]["waits_for"], "second signature");
    let second = site.done(&["review", "approve", &id, "--revision", "1", "--as", "mia"]);
    assert!(second.contains("is approved"), "{second}");
}

#[test]
fn review_has_help_for_each_of_its_commands() {
    let help = Command::new(env!("CARGO_BIN_EXE_countersign")).args(["review", "--help"]).output().expect("it runs");
    let help = text_of(&help);
    for verb in countersign::app::reviews::Verb::ALL {
        assert!(help.contains(verb.as_str()), "{}: {help}", verb.as_str());
    }
}
