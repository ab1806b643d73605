//! The command line as such, with the real program: where sites are made, exit codes, and what it says.

use std::{
    path::Path,
    process::{Command, Output},
};

use crate::{
    prerequisites::require,
    running_site::{RunningSite, text_of},
};

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(arguments).current_dir(directory).env_remove("COUNTERSIGN_TEST_ALL");
    command.output().expect("it runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_mistyped_data_directory_does_not_become_a_site() {
    let directory = tempfile::tempdir().expect("a directory");
    let create = ["account", "create", "ada", "--data-dir", "typo"];
    let refused = run(directory.path(), &create);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("there is no site in typo") && said(&refused).contains("--new-site"));
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);

    text_of(&run(directory.path(), &[&create[..], &["--new-site"]].concat()));
    // Where there is one already, it is that one.
    text_of(&run(directory.path(), &["account", "create", "bob", "--data-dir", "typo", "--new-site"]));
    let listed = text_of(&run(directory.path(), &["account", "list", "--data-dir", "typo", "--format", "csv"]));
    assert_eq!(listed.lines().count(), 3, "{listed}");
}

/// A directory with a stopped site `site`, of which `ada` is a member.
fn given_site() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    text_of(&run(directory.path(), &["account", "create", "ada", "--new-site", "--data-dir", "site"]));
    directory
}

#[test]
fn what_was_typed_or_configured_wrong_ends_with_2_and_what_failed_with_1() {
    const UNKNOWN: &str = "01926f3e-8a00-7000-8000-000000000001";
    let directory = given_site();
    for (arguments, code, why) in [
        (&["events", "list", "--since", "yesterday"][..], 2, "2026-01-31T12:00:00Z"),
        (&["events", "tail", "--until", "2026-02-30"], 2, "2026-01-31T12:00:00Z"),
        (&["events", "list", "--since", "2026-02-01", "--until", "2026-01-31"], 2, "nothing lies between"),
        (&["events", "list", "--application", "Reader"], 2, "the id or the client id"),
        (&["events", "list", "--application", UNKNOWN], 1, "`application`"),
        (&["events", "list", "--actor", "user:7"], 2, "cli:NAME"),
        (&["events", "list", "--actor", "nobody"], 1, "`actor`"),
        (&["events", "list", "--user", "nobody"], 1, "`user`"),
        (&["events", "show", "99999"], 1, "there is no event 99999"),
        (&["token", "show", "7"], 2, "that is no id of a token"),
        (&["token", "show", UNKNOWN], 1, "there is no token"),
        (&["token", "issue", "--user", "ada", "--scope", "review"], 1, "the role reviewer"),
        (&["review", "list", "--claimed-by", "me"], 2, "without --as NAME"),
        (&["review", "list", "--claimed-by", "nobody"], 1, "no member called `nobody`"),
        (&["projections", "parked", "discard", "inbox-1", "--reason", " "], 2, "--reason <TEXT>"),
        (&["projections", "parked", "discard", "inbox-1", "--reason", "No."], 1, "is not parked"),
        (&["account", "suspend", "nobody"], 1, "no member called `nobody`"),
        (&["account", "list", "--database-url", "nonsense"], 2, "--database-url must be a URL"),
        (&["account", "list", "--review-policy", "nowhere.toml"], 2, "review_policy"),
        (&["serve", "--review-policy", "nowhere.toml", "--listen", "127.0.0.1:0"], 2, "review_policy"),
        (&["config", "show", "--listen", "here"], 2, "--listen"),
        (&["doctor", "--config", "nowhere.toml"], 2, "nowhere.toml"),
    ] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_countersign"));
        program.args(arguments).current_dir(directory.path()).env("COUNTERSIGN_DATA_DIR", "site");
        let output = program.env_remove("COUNTERSIGN_TEST_ALL").output().expect("it runs");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(why), "{arguments:?}: {}", said(&output));
    }
    let mut program = Command::new(env!("CARGO_BIN_EXE_countersign"));
    program.args(["account", "list", "--data-dir", "site"]).current_dir(directory.path());
    let output = program.env("COUNTERSIGN_ROOT_KEY", "short").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn a_running_server_tells_what_was_typed_wrong_from_what_failed() {
    let site = RunningSite::start();
    let create = ["account", "create", "bob", "--password-stdin"];
    let short = site.cli_with(&create, "short");
    assert_eq!(short.status.code(), Some(2), "{}", said(&short));
    text_of(&site.cli_with(&create, "correct horse battery"));
    let taken = site.cli_with(&create, "correct horse battery");
    assert_eq!(taken.status.code(), Some(1), "{}", said(&taken));
    assert!(said(&taken).contains("taken"), "{}", said(&taken));
}

#[test]
fn a_token_that_was_typed_is_never_repeated() {
    let directory = given_site();
    let issue = ["token", "issue", "--user", "ada", "--scope", "read", "--data-dir", "site"];
    let token = text_of(&run(directory.path(), &issue));
    for cut in [0, 4, 10] {
        let typed = &token[cut..token.len() - cut];
        for arguments in [
            &["token", "show", typed][..],
            &["token", "revoke", typed],
            &["token", "issue", "--user", typed, "--scope", "read"],
            &["token", "issue", "--user", "ada", "--scope", typed],
            &["account", "suspend", typed],
            &["account", "grant", typed, "reviewer"],
            &["account", "grant", "ada", typed],
            &["account", "create", typed],
            &["review", "show", typed],
            &["review", "list", "--owner", typed],
            &["events", "list", "--actor", typed],
            &["events", "list", "--application", typed],
            &["events", "list", "--since", typed],
            &["events", "list", "--type", typed],
            &["projections", "parked", "retry", typed],
            &["projections", "check", typed],
            &["config", "show", "--config", typed],
            &["config", "show", "--listen", typed],
            &["doctor", typed],
            &[typed],
        ] {
            let mut program = Command::new(env!("CARGO_BIN_EXE_countersign"));
            program.args(arguments).current_dir(directory.path()).env("COUNTERSIGN_DATA_DIR", "site");
            let output = program.env_remove("COUNTERSIGN_TEST_ALL").output().expect("it runs");
            assert!(!output.status.success(), "{arguments:?}");
            let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), said(&output));
            assert!(!told.contains(&typed[..20]) && !told.is_empty(), "{told}");
        }
    }
}

#[test]
fn a_table_fits_the_terminal_it_is_printed_to_and_is_whole_where_it_is_piped() {
    if !require("script") {
        return;
    }
    let directory = given_site();
    let list = "events list --data-dir site";
    let whole = text_of(&run(directory.path(), &list.split(' ').collect::<Vec<_>>()));
    let longest = |text: &str| text.lines().map(|line| line.trim_end().chars().count()).max();
    assert!(longest(&whole) > Some(90) && !whole.contains('…'), "{whole}");
    // A terminal of 90 columns; `COLUMNS` has the last word.
    for (columns, wanted) in [("", 90), ("COLUMNS=70 ", 70)] {
        let typed = format!("stty cols 90; {columns}{} {list}", env!("CARGO_BIN_EXE_countersign"));
        let mut terminal = Command::new("script");
        terminal.args(["-qec", &typed, "/dev/null"]).current_dir(directory.path());
        let shown =
            text_of(&terminal.env_remove("COUNTERSIGN_TEST_ALL").env_remove("COLUMNS").output().expect("it runs"));
        assert!(longest(&shown) <= Some(wanted) && shown.contains('…'), "{columns}{shown}");
        assert_eq!(shown.lines().count(), whole.lines().count(), "{shown}");
    }
}
