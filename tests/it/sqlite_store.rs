//! What `SQLite` itself must hold to: triggers, durability, files, schemas. That every statement prepares, and by
//! which index it runs, is tested beside the statements, which nobody outside the crate can name.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use countersign::store::{
    Availability, BuildPurpose, Cursor, EventLog, Generations as _, LogWriter, Made, ReadModels as _, StoreError,
    sqlite::SqliteStore,
};
use countersign_events::recorded::Position;
use countersign_projections::{INLINE, Projection, TRAILING, front_page, inbox};
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection, raw_sql, sqlite::SqliteConnectOptions};

/// A second connection to the log's database, as an operator's tool would open it.
async fn a_tool(dir: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(dir.join("log.db")).connect().await.unwrap()
}

fn insertion(verb: &str, position: u64, id: u8, stream: &str, version: u64) -> String {
    format!(
        "{verb} into events (position, event_id, stream, version, type, type_version, recorded_at, actor, payload) \
         values ({position}, x'{}', '{stream}', {version}, 'T', 1, 0, 'system', '{{}}')",
        format!("{id:02x}").repeat(16)
    )
}

#[tokio::test]
async fn nothing_rewrites_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let mut tool = a_tool(dir.path()).await;
    raw_sql(AssertSqlSafe(insertion("insert", 1, 1, "site", 1))).execute(&mut tool).await.unwrap();
    let before = store.read_log(Position(0), 10).await.unwrap();
    let mut attempts = vec![
        "update events set payload = '1'".to_owned(),
        "update or replace events set position = 2".to_owned(),
        "update or ignore events set version = 2 where position = 1".to_owned(),
        "delete from events".to_owned(),
        "delete from events where position = 1".to_owned(),
    ];
    for verb in ["insert", "insert or replace", "insert or ignore", "insert or fail", "replace"] {
        attempts.push(insertion(verb, 1, 2, "account-x", 1));
        attempts.push(insertion(verb, 2, 1, "account-x", 1));
        attempts.push(insertion(verb, 2, 2, "site", 1));
    }
    attempts.push(insertion("insert", 1, 2, "account-x", 1) + " on conflict do nothing");
    attempts.push(insertion("insert", 1, 2, "account-x", 1) + " on conflict do update set payload = '1'");
    for attempt in attempts {
        let error = raw_sql(AssertSqlSafe(attempt.clone())).execute(&mut tool).await.expect_err(&attempt);
        assert!(error.to_string().contains("events are append-only"), "{attempt}: {error}");
    }
    assert_eq!(store.read_log(Position(0), 10).await.unwrap(), before);
    raw_sql(AssertSqlSafe(insertion("insert", 2, 2, "site", 2))).execute(&mut tool).await.unwrap();
}

#[tokio::test]
async fn the_writer_is_one_and_its_commits_are_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let mut writer = store.writer().unwrap();
    assert_eq!(writer.pragmas().await.unwrap(), (2, "wal".to_owned()));
    assert!(store.writer().is_err());
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(dir.path()).await.unwrap());
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                 values (9999, 'later', 1, x'00', 0)";
    raw_sql(newer).execute(&mut a_tool(dir.path()).await).await.unwrap();
    let Err(StoreError::Unavailable(told)) = SqliteStore::open(dir.path()).await else { panic!("it was opened") };
    assert!(told.contains("9999") && told.contains("newer Countersign"), "{told}");
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { [vec![path.clone()], files(&path)].concat() } else { vec![path] })
        .collect()
}

#[tokio::test]
async fn only_the_owner_can_read_the_data_directory() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("deep/data");
    let store = SqliteStore::open(&dir).await.unwrap();
    let mut writer = store.writer().unwrap();
    for projection in INLINE {
        writer.reset_inline(projection).await.unwrap();
    }
    let _generation = store.generation(&front_page::PROJECTION).await.unwrap();
    let found = files(&dir);
    assert!(found.iter().any(|path| path.ends_with("log.db-wal")), "{found:?}");
    for path in found.iter().chain([&dir]) {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, expected, "{} has mode {mode:o}", path.display());
    }
}

static OTHER_TABLES: Projection =
    Projection { revision: 99, tables: inbox::PROJECTION.tables, ..front_page::PROJECTION };

/// Has the log say that it holds an event.
async fn grow(dir: &Path) {
    let mut tool = a_tool(dir).await;
    raw_sql(AssertSqlSafe(insertion("insert", 1, 1, "site", 1))).execute(&mut tool).await.unwrap();
    raw_sql("update head set position = 1").execute(&mut tool).await.unwrap();
}

#[tokio::test]
async fn nothing_is_read_of_a_generation_that_is_lost_or_has_other_tables() {
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().join("models");
    drop(SqliteStore::open(dir.path()).await.unwrap());
    grow(dir.path()).await;
    fs::write(models.join("front_page-1.db"), "").unwrap();
    fs::write(models.join("history-1.db"), "no database, and long enough to be taken for the head of one".repeat(9))
        .unwrap();
    fs::remove_file(models.join("inbox-1.db")).unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    for projection in TRAILING {
        let Availability { made, answers } = store.availability(projection).await.unwrap();
        let is_there = projection.name == "statistics";
        assert_eq!((made == Made::Current, answers), (is_there, is_there), "{}", projection.name);
    }
    let read = store.post_counts(None).await;
    assert!(matches!(read, Err(StoreError::Building("front_page"))), "{read:?}");
    assert_eq!(store.cursor(&front_page::PROJECTION).await.unwrap(), Cursor::default());
    assert_eq!(store.availability(&OTHER_TABLES).await.unwrap().made, Made::Missing);
    drop(store);
    fs::remove_dir_all(&models).unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    assert_eq!(store.availability(&inbox::PROJECTION).await.unwrap(), Availability::default());
    let mut build = store.build(&inbox::PROJECTION, BuildPurpose::Switch).await.unwrap();
    build.finish(&[], Cursor { epoch: 1, position: Position(1) }).await.unwrap();
    store.switch(&inbox::PROJECTION, build).await.unwrap();
    assert!(models.join("inbox-2.db").exists(), "no number is used twice: {:?}", files(&models));
}
