//! What `countersign doctor` looks at in the files of a site on `SQLite`: schemas, pages, modes, the lock, the root key's
//! file. What it finds wherever a site lies is in `doctor`.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, raw_sql, sqlite::SqliteConnectOptions};

use crate::{
    databases::Database,
    doctor::{doctor, given_stopped_in},
    running_site::RunningSite,
};

fn given_stopped() -> RunningSite {
    given_stopped_in(Database::Sqlite)
}

/// Changes a database behind everybody's back, and puts what was changed into the file itself.
pub async fn tamper(file: &Path, statements: &str) {
    let mut connection = SqliteConnectOptions::new().filename(file).connect().await.expect("a database");
    raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.expect("it can be changed");
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
fn a_healthy_site_has_every_file_in_order() {
    let mut site = RunningSite::start_in(Database::Sqlite, &[], &[]);
    site.given_member("ada", &["admin"]);
    doctor(&site, &[]).has("ok", "writer", "takes appends", "");
    site.kill9();
    let told = doctor(&site, &["--deep"]);
    for (about, found) in [
        ("program", "SQLite 3"),
        ("schema of log.db", "5"),
        ("disk of the data directory", "free"),
        ("permissions", "owner's alone"),
        ("write-ahead logs", "in all"),
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
    doctor(&site, &[]).has("problem", "root key", "is a symbolic link", "do what it says");
    // Beside a directory's other name it lies inside of it.
    std::os::unix::fs::symlink(site.data_dir(), site.data_dir().join("hidden")).expect("a link");
    let hidden = site.data_dir().join("hidden");
    let told = doctor(&site, &["--data-dir", hidden.to_str().expect("text")]);
    told.has("problem", "place of the root key", "inside the data directory", "`mv ");
}

#[test]
fn a_data_directory_that_others_can_enter_is_a_problem_and_an_open_file_a_warning() {
    let site = RunningSite::start_in(Database::Sqlite, &[], &[]);
    set_mode(&site.data_dir().join("log.db"), 0o644);
    doctor(&site, &[]).has("warning", "permissions", "log.db is open to other users", "chmod 600");
    set_mode(&site.data_dir(), 0o755);
    doctor(&site, &[]).has("problem", "permissions", "site is open to other users (mode 0755)", "chmod 700");
}

#[tokio::test]
async fn a_schema_of_a_newer_program_is_a_problem() {
    let site = given_stopped();
    tamper(&site.data_dir().join("log.db"), "update _sqlx_migrations set version = version + 98").await;
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
    doctor(&site, &[]).has("problem", "vault.db", "vault.db is damaged", "put the newest copy of");
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
