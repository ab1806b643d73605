//! `countersign events` as an operator types it, on a running and on a stopped site.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::Child,
    sync::mpsc,
    time::Duration,
};

use serde_json::Value;

use crate::{
    databases::Database,
    postgres_server::{apart, require, run},
    running_site::{RunningSite, text_of},
};

/// No event takes longer to be printed, also on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_mins(1);

/// A command that goes on; it is killed when dropped.
struct Following {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Following {
    fn start(site: &RunningSite, arguments: &[&str]) -> Self {
        let mut child = site.cli_that_goes_on(arguments);
        let (said, lines) = mpsc::channel();
        let out = child.stdout.take().expect("standard output is piped");
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // The test may be done with it.
                let _ = said.send(line);
            }
        });
        Self { child, lines }
    }

    fn next(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            let _ = self.child.kill();
            let mut said = String::new();
            self.child.stderr.as_mut().expect("standard error is piped").read_to_string(&mut said).expect("it is text");
            panic!("no line: {error}: {said}")
        })
    }

    fn next_with(&mut self, part: &str) -> String {
        loop {
            let line = self.next();
            if line.contains(part) {
                return line;
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // Not asserted: the test may have ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_tail_prints_what_happens_as_it_happens_and_goes_on_over_a_restart() {
    let mut site = RunningSite::start();
    site.given_member("ada", &["admin"]);
    let mut tail = Following::start(&site, &["events", "tail", "--after", "0", "--type", "UserRegistered"]);
    assert!(tail.next().contains("added ada as a member."));
    site.given_member("ben", &[]);
    assert!(tail.next().contains("added ben as a member."), "while it runs");
    site.kill9();
    site.restart();
    site.given_member("cleo", &[]);
    assert!(tail.next().contains("added cleo as a member."), "after a restart");
}

#[test]
fn ctrl_c_ends_a_tail_with_success() {
    let site = RunningSite::start();
    let mut tail = Following::start(&site, &["events", "tail", "--after", "0", "--format", "json"]);
    let event: Value = serde_json::from_str(&tail.next()).expect("a line is an event");
    assert_eq!(event["position"], 1);
    let sent = std::process::Command::new("kill").args(["-INT", &tail.child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    assert!(tail.child.wait().expect("it ends").success());
}

#[test]
fn sqlite_a_tail_of_a_stopped_site_says_so_and_waits_for_a_server() {
    let mut site = RunningSite::start_in(Database::Sqlite, &[], &[]);
    site.given_member("ada", &["admin"]);
    site.kill9();
    let mut tail = Following::start(&site, &["events", "tail", "--after", "0"]);
    tail.next_with("added ada as a member.");
    let mut note = vec![0; 200];
    let length = tail.child.stderr.as_mut().expect("standard error is piped").read(&mut note).expect("a note");
    let note = String::from_utf8_lossy(&note[..length]).into_owned();
    assert!(note.contains("nothing new will come until one starts"), "{note}");
    site.restart();
    site.given_member("ben", &[]);
    tail.next_with("added ben as a member.");
}

#[test]
fn postgres_a_tail_follows_the_log_itself_without_a_server_and_over_a_lost_connection() {
    if !require() {
        return;
    }
    let mut site = RunningSite::start_in(Database::Postgres, &[], &[]);
    site.given_member("ada", &["admin"]);
    site.kill9();
    let mut tail = Following::start(&site, &["events", "tail", "--after", "0", "--type", "UserRegistered"]);
    assert!(tail.next().contains("added ada as a member."));
    site.given_member("ben", &[]);
    assert!(tail.next().contains("added ben as a member."), "from another node");
    let database = site.home.database.as_ref().expect("the site lies in one");
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'countersign' \
               and datname = current_database()";
    apart(async || run(&mut database.tool().await, cut).await).expect("they are cut");
    site.given_member("cleo", &[]);
    assert!(tail.next().contains("added cleo as a member."), "after its connections were cut");
}

#[test]
fn events_are_listed_and_shown_alike_on_a_running_and_on_a_stopped_site() {
    let mut site = RunningSite::start();
    site.given_member("ada", &["admin"]);
    site.given_member("ben", &[]);
    text_of(&site.cli(&["account", "suspend", "ben"]));
    let look = |site: &RunningSite| {
        let list = text_of(&site.cli(&["events", "list", "--user", "ben"]));
        let csv = text_of(&site.cli(&["events", "list", "--type", "UserSuspended", "--format", "csv"]));
        let newest =
            text_of(&site.cli(&["events", "list", "--newest-first", "--limit", "1", "--type", "UserSuspended"]));
        let json = text_of(&site.cli(&["events", "list", "--user", "ben", "--format", "json"]));
        let events: Value = serde_json::from_str(&json).expect("JSON");
        let position = events[0]["position"].to_string();
        (list, csv, newest, json, text_of(&site.cli(&["events", "show", &position])))
    };
    let running = look(&site);
    let (list, csv, newest, _, show) = &running;
    assert!(list.starts_with("POSITION") && list.contains("suspended ben."), "{list}");
    assert!(!list.contains("ada as a member"), "{list}");
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert!(newest.contains("suspended ben."), "{newest}");
    assert!(show.contains("user_id"), "{show}");
    assert!(show.contains("payload, as stored:"), "{show}");
    let unknown = site.cli(&["events", "list", "--user", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("`user` is a member's id or username"));
    site.kill9();
    assert_eq!(look(&site), running);
}
