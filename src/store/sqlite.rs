//! `SQLite`: the log, the inline read models and the bookkeeping in `log.db`, each generation of a
//! trailing read model in a file of its own under `models`. One connection writes the log; a few
//! read it. The vault has a file, and a module, of its own.

mod bind;
mod build;
mod expected;
mod facts;
mod generations;
mod misplaced;
pub mod parts;
mod placed;
mod purge;
mod schema;
mod uses;
pub mod vault;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use countersign_events::recorded::Position;
use countersign_projections::TRAILING;
use sqlx::{ConnectOptions, SqlitePool, sqlite::SqliteRow};

use super::{
    StoreError,
    ask::{Ask, Of, Reads},
    replay::GROUPED,
    signed,
    statements::{JSON_LISTS, Lists},
};

pub use facts::{Look, examine, open_for_reading};
use generations::Models;
pub use misplaced::{Misplaced, misplaced};
use placed::Placed;
pub use writer::SqliteWriter;

/// Readers of a database; sqlx gives each a thread.
const READERS: u32 = 4;

/// The store of one data directory.
pub struct SqliteStore {
    /// The file of the log.
    log: PathBuf,
    readers: SqlitePool,
    models: Models,
    /// The one writing connection, until somebody takes it.
    writer: Mutex<Option<SqliteWriter>>,
}

impl SqliteStore {
    /// Opens the store of a data directory; makes what is missing, and brings the log's database to the
    /// schema of this program.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when a file cannot be opened, or the database is of a newer program.
    pub async fn open(data_dir: &Path) -> Result<Arc<Self>, StoreError> {
        let models_dir = data_dir.join("models");
        schema::make_directory(data_dir)?;
        schema::make_directory(&models_dir)?;
        let file = data_dir.join("log.db");
        schema::make_file(&file)?;
        let opened = async {
            let mut connection = schema::log_writer(&file).connect().await.map_err(unavailable)?;
            schema::migrate(&mut connection).await?;
            // A crash may have left what was made null before it in the write-ahead log.
            purge::truncate(&mut connection).await?;
            Ok(connection)
        };
        let connection = opened.await.map_err(|error| of_file(&file, error))?;
        let placed = Placed::of(&file)?;
        let store = Self {
            readers: schema::readers_of(&file, READERS, placed.clone()),
            log: file.clone(),
            models: Models::open(file, models_dir)?,
            writer: Mutex::new(Some(SqliteWriter::new(connection, placed))),
        };
        for projection in TRAILING {
            store.models.ensure(projection).await?;
        }
        Ok(Arc::new(store))
    }

    fn damaged(&self, of: Of, error: sqlx::Error) -> StoreError {
        let file = match of {
            Of::Log => self.log.clone(),
            Of::Model(name) => self.log.with_file_name(format!("models/{name}")),
        };
        of_file(&file, unavailable(error))
    }

    /// The one writing connection to the log's database.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when somebody has it already.
    pub fn writer(&self) -> Result<SqliteWriter, StoreError> {
        let taken = || StoreError::Unavailable("the log's database has its one writer already".to_owned());
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(taken)
    }
}

#[async_trait]
impl Reads for SqliteStore {
    type Row = SqliteRow;
    const LISTS: Lists = JSON_LISTS;
    const REPLAY: &'static str = GROUPED;

    async fn rows(&self, of: Of, ask: Ask) -> Result<Vec<SqliteRow>, StoreError> {
        let statement = bind::statement(ask);
        let rows = match of {
            Of::Log => statement.fetch_all(&self.readers).await,
            Of::Model(name) => statement.fetch_all(&*self.models.readers(name).await?).await,
        };
        rows.map_err(|error| if is_damage(&error) { self.damaged(of, error) } else { unavailable(error) })
    }
}

/// Whether a page makes no sense, or the file is no database.
fn is_damage(error: &sqlx::Error) -> bool {
    const CORRUPT: u32 = 11;
    const NOT_A_DATABASE: u32 = 26;
    let code = error.as_database_error().and_then(|told| told.code()?.parse::<u32>().ok());
    matches!(code.map(|extended| extended & 0xFF), Some(CORRUPT | NOT_A_DATABASE))
}

/// An error of a file, which names it and says who looks closer.
fn of_file(file: &Path, error: StoreError) -> StoreError {
    let named = |told| format!("{}: {told}; `countersign doctor` says what is wrong with it", file.display());
    match error {
        StoreError::Unavailable(told) => StoreError::Unavailable(named(told)),
        StoreError::Corrupt { position, detail } => StoreError::Corrupt { position, detail: named(detail) },
        error @ (StoreError::Conflict(_)
        | StoreError::Building(_)
        | StoreError::VaultLacks { .. }
        | StoreError::NotTheNewest(_)) => error,
    }
}

/// What the database said, for the operator; it never holds values.
#[expect(clippy::needless_pass_by_value, reason = "made to be named in map_err")]
fn unavailable(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(told) if told.is_unique_violation() || is_refused(told.as_ref()) => {
            StoreError::Conflict(told.message().to_owned())
        }
        sqlx::Error::Database(told) => StoreError::Unavailable(told.message().to_owned()),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            StoreError::Corrupt { position: Position(0), detail: error.to_string() }
        }
        error => StoreError::Unavailable(error.to_string()),
    }
}

/// A trigger refused (`SQLITE_CONSTRAINT_TRIGGER`), or two rows want one rowid (`SQLITE_CONSTRAINT_ROWID`).
fn is_refused(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().is_some_and(|code| code == "1811" || code == "2579")
}

/// A list as the one value that `json_each` takes apart: one statement for lists of any length.
fn json(list: &impl serde::Serialize) -> String {
    serde_json::to_string(list).expect("texts and numbers are JSON")
}

#[cfg(test)]
mod tests;
