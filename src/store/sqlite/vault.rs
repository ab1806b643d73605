//! The vault on `SQLite`: a database of its own, `vault.db`. Destroys so that no copy stays in the files, and syncs
//! before it answers.

pub(super) mod file;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Row, SqliteConnection, SqlitePool,
    error::ErrorKind,
    raw_sql,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    super::{
        StoreError,
        ask::Ask,
        vault::{
            Copies, Keeps, corrupt,
            statements::{SQLITE, Texts},
        },
    },
    bind, of_file,
    placed::Placed,
};

/// Answers one row: busy, frames in the write-ahead log, frames moved.
const TRUNCATE: &str = "pragma wal_checkpoint(truncate)";
const SYNCHRONOUS: &str = "pragma synchronous";
const JOURNAL_MODE: &str = "pragma journal_mode";
const SECURE_DELETE: &str = "pragma secure_delete";
const READERS: u32 = 4;
/// How long `SQLite` itself waits for a lock. Short, since the writer is held meanwhile.
const LOCK_WAIT: Duration = Duration::from_millis(250);
/// How long a destruction waits for readers to let go of the write-ahead log.
const TRUNCATE_WAIT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The vault in one `SQLite` file.
#[derive(Debug)]
pub struct SqliteVault {
    writer: Mutex<Writer>,
    readers: SqlitePool,
}

/// The one connection that writes.
#[derive(Debug)]
struct Writer {
    connection: SqliteConnection,
    placed: Placed,
    /// Whether the write-ahead log may hold copies of rows that were destroyed. Changed under the lock only,
    /// and set before the row goes, so that no crash of a task loses it.
    residue: bool,
    /// Whether there may be something to undo. The library's own transactions count how deep they are, and lose count
    /// when the database has undone one by itself, after a full disk for instance: none could begin any more.
    begun: bool,
}

impl SqliteVault {
    /// Opens `vault.db` in `data_dir`, creates it (0600) when it is not there, migrates it, and removes what
    /// a crash in the middle of a destruction left in its write-ahead log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be opened or migrated,
    /// [`StoreError::Corrupt`] when it is no database.
    pub async fn open(data_dir: &Path) -> Result<Arc<Self>, StoreError> {
        let path = data_dir.join("vault.db");
        file::own(data_dir, &path)?;
        let options = SqliteConnectOptions::new().filename(&path).busy_timeout(LOCK_WAIT);
        let opened = async {
            let mut connection = options
                .clone()
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .pragma("secure_delete", "on")
                .connect()
                .await
                .map_err(failed)?;
            file::migrate(&mut connection).await?;
            let mut writer = Writer { connection, placed: Placed::of(&path)?, residue: true, begun: false };
            writer.truncate().await?;
            Ok(writer)
        };
        let writer = opened.await.map_err(|error| of_file(&path, error))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.read_only(true))
            .await
            .map_err(failed)?;
        Ok(Arc::new(Self { writer: Mutex::new(writer), readers }))
    }

    /// What the writing connection itself says of `synchronous`, `journal_mode` and `secure_delete`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not answer.
    pub async fn pragmas(&self) -> Result<(i64, String, i64), StoreError> {
        let mut writer = self.writer().await;
        let connection = &mut writer.connection;
        let synchronous = sqlx::query_scalar(SYNCHRONOUS).fetch_one(&mut *connection).await.map_err(failed)?;
        let journal_mode = sqlx::query_scalar(JOURNAL_MODE).fetch_one(&mut *connection).await.map_err(failed)?;
        let secure_delete = sqlx::query_scalar(SECURE_DELETE).fetch_one(connection).await.map_err(failed)?;
        Ok((synchronous, journal_mode, secure_delete))
    }

    async fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().await
    }

    /// Removes copies of destroyed rows from the write-ahead log, or says that they may still be there.
    /// Lets go of the writer between attempts, so that others do not wait along.
    async fn truncated(&self) -> Result<(), StoreError> {
        let attempts = async {
            let mut pause = FIRST_PAUSE;
            loop {
                let mut writer = self.writer().await;
                writer.truncate().await?;
                if !writer.residue {
                    return Ok(());
                }
                drop(writer);
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        };
        tokio::time::timeout(TRUNCATE_WAIT, attempts).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable("a reader holds on to the write-ahead log of the vault".to_owned()))
        })
    }
}

impl Writer {
    /// Runs statements, all or none; several in a transaction of their own.
    async fn run(&mut self, asks: Vec<Ask>) -> Result<u64, StoreError> {
        self.undo().await?;
        self.placed.must_hold()?;
        self.begun = true;
        let result = self.transact(asks).await;
        match &result {
            Ok(_) => self.begun = false,
            Err(_) => self.undo().await?,
        }
        result
    }

    async fn transact(&mut self, asks: Vec<Ask>) -> Result<u64, StoreError> {
        raw_sql("begin immediate").execute(&mut self.connection).await.map_err(failed)?;
        let mut changed = 0;
        for ask in asks {
            changed += bind::statement(ask).execute(&mut self.connection).await.map_err(failed)?.rows_affected();
        }
        raw_sql("commit").execute(&mut self.connection).await.map_err(failed)?;
        Ok(changed)
    }

    /// Undoes what a caller who hung up, or a failure, left begun.
    async fn undo(&mut self) -> Result<(), StoreError> {
        if self.begun {
            super::writer::undo(&mut self.connection).await?;
            self.begun = false;
        }
        Ok(())
    }

    /// Tries once to move the write-ahead log into the database and cut it to nothing, if there is residue.
    /// There still is when a reader was in the way: `SQLite` says so in the row, not as an error.
    async fn truncate(&mut self) -> Result<(), StoreError> {
        self.undo().await?;
        if self.residue {
            let row = sqlx::query(TRUNCATE).fetch_one(&mut self.connection).await.map_err(failed)?;
            self.residue = row.try_get::<i64, _>(0).map_err(failed)? != 0;
        }
        Ok(())
    }
}

#[async_trait]
impl Keeps for SqliteVault {
    type Row = SqliteRow;
    const TEXTS: Texts = SQLITE;

    async fn rows(&self, ask: Ask) -> Result<Vec<SqliteRow>, StoreError> {
        bind::statement(ask).fetch_all(&self.readers).await.map_err(failed)
    }

    async fn settle(&self) -> Result<(), StoreError> {
        self.writer().await.residue = true;
        self.truncated().await
    }

    async fn write(&self, asks: Vec<Ask>, copies: Copies) -> Result<u64, StoreError> {
        let mut writer = self.writer().await;
        if copies == Copies::Harmless {
            return writer.run(asks).await;
        }
        let residue = std::mem::replace(&mut writer.residue, true);
        let changed = writer.run(asks).await?;
        // Asked again for what is gone, its copies may still be there.
        writer.residue = residue || changed > 0;
        writer.truncate().await?;
        drop(writer);
        if copies == Copies::Now {
            self.truncated().await?;
        }
        Ok(changed)
    }
}

/// What an error of the database means. Its text names tables and columns, never what they hold.
#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn failed(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(database) if database.kind() == ErrorKind::UniqueViolation => {
            StoreError::Conflict(error.to_string())
        }
        // SQLITE_CORRUPT and SQLITE_NOTADB; the low byte is the primary code.
        sqlx::Error::Database(database)
            if database
                .code()
                .and_then(|code| code.parse::<i32>().ok())
                .is_some_and(|c| matches!(c & 255, 11 | 26)) =>
        {
            corrupt(&error.to_string())
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => corrupt(&error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}
