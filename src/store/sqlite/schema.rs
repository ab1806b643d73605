//! How files, directories and connections are made, and how the log's database gets its schema.

use std::{
    fs::{DirBuilder, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use sqlx::{
    ConnectOptions, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{super::StoreError, expected, placed::Placed, unavailable};

/// How long a connection waits for another's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Room for every statement, with each number of rows it comes with.
const STATEMENTS: usize = 1_000;

/// Makes a directory that only its owner can enter, and those above it.
pub(super) fn make_directory(path: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| StoreError::Unavailable(format!("cannot make the directory {}: {error}", path.display())))
}

/// Makes a file that only its owner can read, unless it exists. `SQLite` gives the mode of a database
/// to the files beside it.
pub(super) fn make_file(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| StoreError::Unavailable(format!("cannot open {}: {error}", path.display())))
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS)
        .pragma("temp_store", "memory")
        .disable_statement_logging()
}

fn writer(file: &Path, synchronous: SqliteSynchronous) -> SqliteConnectOptions {
    options(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        // What is deleted or made null is overwritten: the texts of an erased member do not stay in unused bytes.
        .pragma("secure_delete", "on")
        // 64 MiB, in KiB: the ends of the indexes that appends touch stay in memory.
        .pragma("cache_size", "-65536")
        // 16 MiB of log before it is copied back: few, larger copies.
        .pragma("wal_autocheckpoint", "4096")
}

/// For the connection that writes the log: what it commits is on disk.
pub(super) fn log_writer(file: &Path) -> SqliteConnectOptions {
    writer(file, SqliteSynchronous::Full)
}

/// For the connection that writes a generation: the last commits may be lost with the power, rows and
/// cursor together, and are made again from the log.
pub(super) fn model_writer(file: &Path) -> SqliteConnectOptions {
    writer(file, SqliteSynchronous::Normal)
}

/// Connections that only read, opened when they are first wanted and then kept: nothing happens when
/// nobody asks.
pub(super) fn readers(file: &Path, count: u32) -> SqlitePool {
    reading(count).connect_lazy_with(reader(file))
}

/// The same of a file that stays the same: once another one is in its place, no connection is opened any more.
pub(super) fn readers_of(file: &Path, count: u32, placed: Placed) -> SqlitePool {
    let must_hold =
        move || placed.must_hold().map_err(|error| sqlx::Error::Io(std::io::Error::other(error.to_string())));
    let options = reading(count).after_connect(move |_, _| {
        let held = must_hold();
        Box::pin(async move { held })
    });
    options.connect_lazy_with(reader(file))
}

fn reading(count: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(count).idle_timeout(None).max_lifetime(None).test_before_acquire(false)
}

/// One connection that only reads.
pub(super) fn reader(file: &Path) -> SqliteConnectOptions {
    // A page of the log passes between the threads without either waiting for each row.
    options(file).read_only(true).row_buffer_size(1_000)
}

/// For a look that changes nothing. `unwatched` is for a file that nobody has open and that has no write-ahead log:
/// then not even the files beside it are made.
pub(super) fn examiner(file: &Path, unwatched: bool) -> SqliteConnectOptions {
    options(file).read_only(true).immutable(unwatched)
}

/// A step of a schema: number, name, text.
pub(super) type Step = (i64, &'static str, &'static str);

/// The steps of the schema of the log's database.
pub(super) const MIGRATIONS: &[Step] = &[
    (1, "log", include_str!("../../../migrations/sqlite/0001_log.sql")),
    (2, "cut_off", include_str!("../../../migrations/sqlite/0002_cut_off.sql")),
    (3, "token_uses", include_str!("../../../migrations/sqlite/0003_token_uses.sql")),
    (4, "site", include_str!("../../../migrations/sqlite/0004_site.sql")),
    (5, "clock", include_str!("../../../migrations/sqlite/0005_clock.sql")),
];

/// The schemas of the log's database that this program knows.
pub(super) fn migrator() -> Migrator {
    let migrations = MIGRATIONS.iter().map(|(number, name, sql)| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, sqlx::SqlStr::from_static(sql), false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// Brings the log's database to the schema of this program.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let newest = MIGRATIONS.last().map_or(0, |(number, ..)| *number);
    expected::must_know_its_steps(connection, MIGRATIONS).await?;
    migrator().run(&mut *connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
            StoreError::Unavailable(format!(
                "log.db has schema {version}, which a newer Countersign made; this one knows schemas up to {newest}: \
                 run the newer one, or restore a backup from before the upgrade"
            ))
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => unavailable(error),
        error => StoreError::Unavailable(format!("the schema of log.db: {error}")),
    })?;
    expected::restore(connection, MIGRATIONS).await
}
