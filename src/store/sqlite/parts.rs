//! The parts of a site in a data directory, read without changing any of them.

use std::{fs, path::Path};

use async_trait::async_trait;
use countersign_projections::Projection;
use sqlx::{ConnectOptions, Connection as _, SqliteConnection, query, sqlite::SqliteRow};

use super::{
    super::{
        Mark, StoreError, convert,
        parts::{self, LogPart, Looks, ModelPart, Part, Parts, VaultPart},
        statements,
    },
    schema, unavailable,
};

const HAS_TABLE: &str = "select 1\nfrom sqlite_master\nwhere type = 'table' and name = $1";
/// Whole rows: a generation that an earlier release made lacks a column.
const CURSOR_ROW: &str = "select *\nfrom cursor";

/// Looks at the parts in a data directory. `unwatched` says that nobody has them open, nor will while this takes.
pub async fn look(data_dir: &Path, unwatched: bool) -> Parts {
    parts::look(|| look_once(data_dir, unwatched)).await
}

async fn look_once(data_dir: &Path, unwatched: bool) -> Parts {
    let models = data_dir.join("models");
    let is_model = |name: &str| !name.starts_with("check-") && Path::new(name).extension().is_some_and(|e| e == "db");
    let has_models = fs::read_dir(&models)
        .is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_model)));
    let file = data_dir.join("vault.db");
    let vault = or_empty(look_at_vault(&file, unwatched).await.unwrap_or_else(Part::unreadable), &file);
    let seen = vault.held().map(|vault| vault.seen).unwrap_or_default();
    let file = data_dir.join("log.db");
    let log = look_at_log(&file, &models, seen, unwatched).await;
    let (log, models) = log.unwrap_or_else(|error| (Part::unreadable(error), vec![]));
    Parts { log: or_empty(log, &file), vault, models, has_models }
}

/// A file that holds nothing is there all the same.
fn or_empty<T>(part: Part<T>, file: &Path) -> Part<T> {
    if part.is_nothing() && file.exists() { Part::Empty } else { part }
}

async fn look_at_vault(file: &Path, unwatched: bool) -> Result<Part<VaultPart>, StoreError> {
    let Some(connection) = open(file, unwatched).await? else { return Ok(Part::Missing) };
    let mut vault = File { connection, models: Path::new(""), unwatched };
    let read = parts::vault_in(&mut vault).await;
    drop(vault.connection.close().await);
    read
}

async fn look_at_log(
    file: &Path,
    models: &Path,
    seen: Mark,
    unwatched: bool,
) -> Result<(Part<LogPart>, Vec<ModelPart>), StoreError> {
    let Some(connection) = open(file, unwatched).await? else { return Ok((Part::Missing, vec![])) };
    let mut log = File { connection, models, unwatched };
    let read = parts::log_in(&mut log, seen).await;
    drop(log.connection.close().await);
    read
}

/// A connection that only reads; `None` where there is no file, or nothing in it.
async fn open(file: &Path, unwatched: bool) -> Result<Option<SqliteConnection>, StoreError> {
    let refused = |error: std::io::Error| StoreError::Unavailable(error.to_string());
    match fs::metadata(file) {
        Ok(about) if about.len() == 0 => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(error)),
    }
    let mut wal = file.as_os_str().to_owned();
    wal.push("-wal");
    let unwatched = unwatched && fs::metadata(&wal).map_or(0, |about| about.len()) == 0;
    schema::examiner(file, unwatched).connect().await.map(Some).map_err(unavailable)
}

/// A file of log or vault.
struct File<'a> {
    connection: SqliteConnection,
    /// Where read models lie.
    models: &'a Path,
    unwatched: bool,
}

#[async_trait]
impl Looks for File<'_> {
    type Row = SqliteRow;

    async fn has_table(&mut self, name: &str) -> Result<bool, StoreError> {
        let found = query(HAS_TABLE).bind(name.to_owned()).fetch_optional(&mut self.connection).await;
        Ok(found.map_err(unavailable)?.is_some())
    }

    async fn row(&mut self, text: &'static str, values: &[i64]) -> Result<Option<SqliteRow>, StoreError> {
        let asked = values.iter().fold(query(text), |query, value| query.bind(*value));
        asked.fetch_optional(&mut self.connection).await.map_err(unavailable)
    }

    async fn model(&mut self, projection: &'static Projection, _: bool) -> Result<Option<Mark>, StoreError> {
        let pointer = query(statements::GENERATION).bind(projection.name).fetch_optional(&mut self.connection).await;
        let Some(pointer) = pointer.map_err(unavailable)? else { return Ok(None) };
        let generation: u64 = convert::number(&pointer, "generation")?;
        let file = self.models.join(format!("{}-{generation}.db", projection.name));
        // One that cannot be read is built anew: the log has everything.
        Ok(mark_in(&file, self.unwatched).await.unwrap_or_default())
    }
}

async fn mark_in(file: &Path, unwatched: bool) -> Result<Option<Mark>, StoreError> {
    let Some(mut connection) = open(file, unwatched).await? else { return Ok(None) };
    let read = query(CURSOR_ROW).fetch_optional(&mut connection).await.map_err(unavailable);
    drop(connection.close().await);
    let Some(row) = read? else { return Ok(None) };
    let cursor = convert::cursor(&row)?;
    Ok(Some(convert::mark(&row).unwrap_or(Mark { cursor, event: None })))
}
