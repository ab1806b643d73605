//! `countersign doctor` on the real program: each fault is planted in a site, and has to be found with a way to mend it;
//! a healthy site has none.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Output,
};

use serde_json::Value;
use sqlx::{ConnectOptions as _, Connection as _, raw_sql, sqlite::SqliteConnectOptions};

use crate::running_site::RunningSite;

/// A site with a member, stopped once its read models were with the log.
fn given_stopped() -> RunningSite {
    let mut site = RunningSite::start();
    site.given_member("ada", &["admin"]);
    let follows = |line: &str| line.contains("read model") && line.contains(" 0 events and");
    while site.done(&["doctor"]).lines().filter(|line| follows(line)).count() < 2 {}
    site.kill9();
    site
}

struct Told {
    code: Option<i32>,
    findings: Vec<Value>,
}

impl Told {
    fn by(output: &Output) -> Self {
        let findings = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        Self { code: output.status.code(), findings }
    }

    /// The finding about something, which has this severity, these words, and a remedy that says `mend`.
    #[track_caller]
    fn has(&self, severity: &str, about: &str, found: &str, mend: &str) {
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
    fn is_healthy(&self) {
        let bad: Vec<_> = self.findings.iter().filter(|finding| finding["severity"] != "ok").collect();
        assert!(bad.is_empty(), "{bad:#?}");
        assert_eq!(self.code, Some(0));
        assert!(self.findings.iter().all(|finding| finding["remedy"].is_null()), "{:#?}", self.findings);
    }
}

fn doctor(site: &RunningSite, arguments: &[&str]) -> Told {
    Told::by(&site.cli(&[&["doctor", "--format", "json"], arguments].concat()))
}

/// Changes a database behind everybody's back, and puts what was changed into the file itself.
async fn tamper(file: &Path, statements: &'static str) {
    let mut connection = SqliteConnectOptions::new().filename(file).connect().await.expect("a database");
    raw_sql(statements).execute(&mut connection).await.expect("it can be changed");
    raw_sql("pragma wal_checkpoint(truncate)").execute(&mut connection).await.expect("a checkpoint");
    connection.close().await.expect("it closes");
}

fn set_mode(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// What lies in a directory; the index of a write-ahead log is made anew by whoever reads.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if !path.to_string_lossy().ends_with("-shm") && !path.to_string_lossy().ends_with(".sock") {
            found.insert(path.display().to_string(), fs::read(&path).expect("a file"));
        }
    }
    found
}

#[test]
fn a_healthy_site_has_no_problem_running_or_stopped() {
    let mut site = RunningSite::start();
    site.given_member("ada", &["admin"]);
    let told = doctor(&site, &["--deep"]);
    told.is_healthy();
    told.has("ok", "writer", "takes appends", "");
    told.has("ok", "read model inbox", "events and", "");
    site.kill9();
    let told = doctor(&site, &["--deep"]);
    told.is_healthy();
    for (about, found) in [
        ("program", "SQLite 3"),
        ("schema of log.db", "3"),
        ("disk of the data directory", "free"),
        ("disk of the root key", "free"),
        ("root key", "opens the vault"),
        ("permissions", "owner's alone"),
        ("clock", "not behind the log"),
        ("end of the log", "epoch 1"),
        ("read model tokens", "changes with the log"),
        ("write-ahead logs", "in all"),
        ("settings", "none"),
        ("integrity of log.db", "every page"),
        ("integrity of vault.db", "every page"),
        ("integrity of inbox-1.db", "every page"),
    ] {
        told.has("ok", about, found, "");
    }
}

#[test]
fn looking_at_a_stopped_site_changes_nothing() {
    let site = given_stopped();
    let before = contents(site.directory());
    doctor(&site, &["--deep"]).is_healthy();
    assert!(before == contents(site.directory()));
}

#[test]
fn where_there_is_no_site_doctor_says_so_and_makes_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut doctor = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"));
    let nowhere = directory.path().join("nowhere");
    let output = doctor.arg("doctor").arg("--data-dir").arg(&nowhere).current_dir(directory.path()).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no site"), "{output:?}");
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[test]
fn findings_are_a_table_for_people_and_csv_for_sheets() {
    let site = given_stopped();
    set_mode(&site.directory().join("site.key"), 0o644);
    let table = site.cli(&["doctor"]);
    let text = String::from_utf8_lossy(&table.stdout);
    assert!(text.contains("problem  root key") && text.contains("-> chmod 600"), "{text}");
    assert!(text.trim_end().ends_with("problems: 1, warnings: 0"), "{text}");
    let csv = site.cli(&["doctor", "--format", "csv"]);
    assert!(String::from_utf8_lossy(&csv.stdout).starts_with("severity,about,found,remedy\n"));
    assert_eq!((table.status.code(), csv.status.code()), (Some(3), Some(3)));
}

#[test]
fn a_root_key_that_is_open_to_others_missing_or_another_one_is_a_problem() {
    let site = given_stopped();
    let key = site.directory().join("site.key");
    set_mode(&key, 0o644);
    doctor(&site, &[]).has("problem", "root key", "mode 0644", "chmod 600");
    fs::write(&key, "0".repeat(64)).expect("it is ours");
    set_mode(&key, 0o600);
    doctor(&site, &[]).has("problem", "root key", "not the one", "from your backup");
    fs::write(&key, "no key").expect("it is ours");
    doctor(&site, &[]).has("problem", "root key", "does not hold a root key", "from your backup");
    fs::remove_file(&key).expect("it is ours");
    doctor(&site, &[]).has("problem", "root key", "missing", "back from your backup");
    assert!(!key.exists());
}

#[test]
fn a_root_key_that_lies_inside_the_data_directory_is_a_problem() {
    let site = given_stopped();
    let key = site.directory().join("site.key");
    fs::rename(&key, site.data_dir().join("hidden.key")).expect("it is ours");
    std::os::unix::fs::symlink(site.data_dir().join("hidden.key"), &key).expect("a link");
    doctor(&site, &[]).has("problem", "place of the root key", "inside the data directory", "move it out");
}

#[test]
fn a_data_directory_that_others_can_enter_is_a_problem_and_an_open_file_a_warning() {
    let site = RunningSite::start();
    set_mode(&site.data_dir().join("log.db"), 0o644);
    doctor(&site, &[]).has("warning", "permissions", "log.db is open to other users", "chmod 600");
    set_mode(&site.data_dir(), 0o755);
    doctor(&site, &[]).has("problem", "permissions", "site is open to other users (mode 0755)", "chmod 700");
}

#[tokio::test]
async fn a_cursor_ahead_of_the_log_is_reported_and_not_moved() {
    let mut site = given_stopped();
    let file = site.data_dir().join("models/inbox-1.db");
    tamper(&file, "update cursor set position = position + 1000").await;
    doctor(&site, &[]).has("problem", "read model inbox", "ahead of the log", "projections rebuild inbox");
    site.restart();
    doctor(&site, &[]).has("problem", "read model inbox", "ahead of the log", "projections rebuild inbox");
}

#[tokio::test]
async fn a_cursor_of_an_epoch_that_was_cut_short_is_reported() {
    let site = given_stopped();
    let began = "insert into epochs (epoch, began_after, recorded_at) values (2, 1, 0); update head set epoch = 2";
    tamper(&site.data_dir().join("log.db"), began).await;
    doctor(&site, &[]).has("problem", "read model inbox", "its cursor 1.", "projections rebuild inbox");
}

#[tokio::test]
async fn a_stream_that_is_parked_is_a_problem_whether_the_site_runs_or_not() {
    let mut site = given_stopped();
    let file = site.data_dir().join("models/inbox-1.db");
    tamper(&file, "insert into parked (position, stream, error) values (1, 'site', 'It cannot be read.')").await;
    doctor(&site, &[]).has("problem", "read model inbox", "incomplete: 1 stream is parked", "projections parked list");
    site.restart();
    doctor(&site, &[]).has("problem", "read model inbox", "incomplete: 1 stream is parked", "projections parked list");
}

#[tokio::test]
async fn a_head_that_is_not_at_the_last_event_is_a_problem() {
    let site = given_stopped();
    tamper(&site.data_dir().join("log.db"), "update head set position = position - 1").await;
    doctor(&site, &[]).has("problem", "end of the log", "the last event is at", "restore it from your backup");
}

#[tokio::test]
async fn a_clock_that_is_behind_the_log_is_a_problem() {
    let site = given_stopped();
    // An event of the year 2100.
    let later = "insert into events select position + 1, randomblob(16), stream, version + 1000, type, type_version, \
                 4102444800000000, actor, on_behalf_of, client_address, request_id, command_id, causation, payload \
                 from events order by position desc limit 1; update head set position = position + 1";
    tamper(&site.data_dir().join("log.db"), later).await;
    doctor(&site, &[]).has("problem", "clock", "behind the last event", "NTP");
}

#[tokio::test]
async fn a_schema_of_a_newer_program_and_read_models_of_another_revision_are_told() {
    let site = given_stopped();
    let log = site.data_dir().join("log.db");
    tamper(&log, "update generations set revision = 99; delete from inline_models where name = 'tokens'").await;
    let told = doctor(&site, &[]);
    told.has("warning", "read model inbox", "revision 99", "the next start");
    told.has("warning", "read model tokens", "not built", "the next start");
    tamper(&log, "update _sqlx_migrations set version = version + 98").await;
    doctor(&site, &[]).has("problem", "schema of log.db", "a newer Countersign", "run the newer program");
}

#[test]
fn a_file_of_a_generation_that_nothing_reads_is_a_warning() {
    let site = given_stopped();
    File::create(site.data_dir().join("models/inbox-7.db")).expect("a file");
    set_mode(&site.data_dir().join("models/inbox-7.db"), 0o600);
    doctor(&site, &[]).has("warning", "left-over generation", "inbox-7.db", "the next start");
}

#[tokio::test]
async fn damaged_pages_are_found_by_a_deep_look() {
    let site = given_stopped();
    let file = site.data_dir().join("models/front_page-1.db");
    tamper(&file, "create table filler (text text); insert into filler values (hex(zeroblob(9000)))").await;
    let mut open = OpenOptions::new().write(true).open(&file).expect("a file");
    // The last pages are the filler's, and nobody reads those.
    open.seek(SeekFrom::End(-3 * 4096)).expect("a place");
    open.write_all(&[0xa5; 3 * 4096]).expect("it is ours");
    doctor(&site, &[]).is_healthy();
    doctor(&site, &["--deep"]).has("problem", "integrity of front_page-1.db", "", "look at the disk");
}

#[test]
fn a_database_that_cannot_be_read_is_a_problem() {
    let site = given_stopped();
    fs::write(site.data_dir().join("vault.db"), "this is no database, and was never one; far from it").expect("ours");
    doctor(&site, &[]).has("problem", "vault.db", "cannot be read", "restore it from your backup");
}

#[test]
fn whoever_holds_the_directory_and_does_not_answer_is_a_problem() {
    let site = given_stopped();
    let lock = File::open(site.data_dir().join("lock")).expect("a lock file");
    lock.lock().expect("nobody holds it");
    let told = doctor(&site, &[]);
    told.has("problem", "server", "does not answer", "restart it");
    told.has("problem", "server", "holds the data directory", "");
    assert!(
        told.findings.iter().any(|finding| finding["about"] == "end of the log"),
        "the rest is looked at all the same"
    );
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
