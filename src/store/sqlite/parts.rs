//! The parts of a site in a data directory, read without changing any of them.

use std::{fs, path::Path};

use countersign_events::recorded::Position;
use countersign_projections::TRAILING;
use sqlx::{ConnectOptions, Connection as _, SqliteConnection, query, sqlite::SqliteRow};

use super::{
    super::{
        Cursor, Mark, StoreError, convert,
        parts::{LogPart, ModelPart, Part, Parts, RACES, VaultPart},
        statements, vault,
    },
    schema, signed, unavailable,
};

const HAS_TABLE: &str = "select 1\nfrom sqlite_master\nwhere type = 'table' and name = $1";
const LAST: &str = "select position, event_id\nfrom events\norder by position desc\nlimit 1";
/// Whole rows: a generation that an earlier release made lacks a column.
const CURSOR_ROW: &str = "select *\nfrom cursor";

/// Looks at the parts in a data directory. `unwatched` says that nobody has them open, nor will while this takes.
pub async fn look(data_dir: &Path, unwatched: bool) -> Parts {
    let mut parts = look_once(data_dir, unwatched).await;
    for _ in 0..RACES {
        if !parts.vault_is_behind() {
            break;
        }
        parts = look_once(data_dir, unwatched).await;
    }
    parts
}

async fn look_once(data_dir: &Path, unwatched: bool) -> Parts {
    let models = data_dir.join("models");
    let is_model = |name: &str| !name.starts_with("check-") && Path::new(name).extension().is_some_and(|e| e == "db");
    let has_models = fs::read_dir(&models)
        .is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_model)));
    let vault = part(look_at_vault(&data_dir.join("vault.db"), unwatched).await);
    let seen = vault.held().map(|vault: &VaultPart| vault.seen).unwrap_or_default();
    let (log, models) = match look_at_log(&data_dir.join("log.db"), &models, seen, unwatched).await {
        Ok(Some((log, models))) => (Part::Holds(log), models),
        Ok(None) => (empty_or_missing(&data_dir.join("log.db")), vec![]),
        Err(error) => (Part::Unreadable(told(error)), vec![]),
    };
    let vault = if matches!(vault, Part::Empty) { empty_or_missing(&data_dir.join("vault.db")) } else { vault };
    Parts { log, vault, models, has_models }
}

fn part<T>(read: Result<Option<T>, StoreError>) -> Part<T> {
    match read {
        Ok(Some(part)) => Part::Holds(part),
        Ok(None) => Part::Empty,
        Err(error) => Part::Unreadable(told(error)),
    }
}

fn empty_or_missing<T>(file: &Path) -> Part<T> {
    if file.exists() { Part::Empty } else { Part::Missing }
}

fn told(error: StoreError) -> String {
    match error {
        StoreError::Unavailable(told) => told,
        error => error.to_string(),
    }
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

async fn row(connection: &mut SqliteConnection, text: &'static str) -> Result<Option<SqliteRow>, StoreError> {
    query(text).fetch_optional(connection).await.map_err(unavailable)
}

async fn has_table(connection: &mut SqliteConnection, name: &str) -> Result<bool, StoreError> {
    let found = query(HAS_TABLE).bind(name.to_owned()).fetch_optional(connection).await.map_err(unavailable)?;
    Ok(found.is_some())
}

async fn look_at_vault(file: &Path, unwatched: bool) -> Result<Option<VaultPart>, StoreError> {
    let Some(mut connection) = open(file, unwatched).await? else { return Ok(None) };
    let read = async {
        if !has_table(&mut connection, "data_keys").await? {
            return Ok(None);
        }
        let site_key = row(&mut connection, vault::statements::SITE_KEY).await?;
        let site_key = site_key.as_ref().map(vault::site_key).transpose()?;
        let identity = if has_table(&mut connection, "site").await? {
            row(&mut connection, vault::statements::SITE).await?
        } else {
            None
        };
        let identity = identity.as_ref().map(vault::identity).transpose()?;
        let holds = row(&mut connection, vault::statements::HOLDS).await?.is_some();
        let seen = identity.map(|identity| identity.seen).unwrap_or_default();
        let is_fresh = !holds && seen == Mark::default();
        if is_fresh && site_key.is_none() {
            return Ok(None);
        }
        let site = identity.map(|identity| identity.site);
        Ok(Some(VaultPart { site, seen, site_key, is_fresh }))
    }
    .await;
    drop(connection.close().await);
    read
}

async fn look_at_log(
    file: &Path,
    models: &Path,
    seen: Mark,
    unwatched: bool,
) -> Result<Option<(LogPart, Vec<ModelPart>)>, StoreError> {
    let Some(mut connection) = open(file, unwatched).await? else { return Ok(None) };
    let read = async {
        if !has_table(&mut connection, "events").await? {
            return Ok(None);
        }
        let Some(last) = row(&mut connection, LAST).await? else { return Ok(None) };
        let headless = || StoreError::Unavailable("it has lost its head".to_owned());
        let head = convert::head(&row(&mut connection, statements::HEAD).await?.ok_or_else(headless)?)?;
        let end = Mark {
            cursor: Cursor { epoch: head.epoch, position: convert::position(&last)? },
            event: Some(convert::event_id(&last)?),
        };
        let identity = if has_table(&mut connection, "site").await? {
            row(&mut connection, statements::SITE).await?
        } else {
            None
        };
        let identity = identity.as_ref().map(convert::log_identity).transpose()?.unwrap_or_default();
        let at_seen = event_at(&mut connection, seen.cursor.position).await?;
        let mut found = vec![];
        for projection in TRAILING {
            let pointer = query(statements::GENERATION).bind(projection.name).fetch_optional(&mut connection).await;
            let Some(pointer) = pointer.map_err(unavailable)? else { continue };
            let generation: u64 = convert::number(&pointer, "generation")?;
            let file = models.join(format!("{}-{generation}.db", projection.name));
            // One that cannot be read is built anew: the log has everything.
            let Ok(Some(mark)) = model(&file, unwatched).await else { continue };
            let in_log = event_at(&mut connection, mark.cursor.position).await?;
            found.push(ModelPart { name: projection.name, mark, in_log });
        }
        // One machine's log is never promoted.
        Ok(Some((LogPart { identity, end, at_seen, cut: None }, found)))
    }
    .await;
    drop(connection.close().await);
    read
}

async fn event_at(
    connection: &mut SqliteConnection,
    position: Position,
) -> Result<Option<countersign_events::ids::EventId>, StoreError> {
    let found = query(statements::EVENT_ID_AT).bind(signed(position.0)).fetch_optional(connection).await;
    found.map_err(unavailable)?.as_ref().map(convert::event_id).transpose()
}

async fn model(file: &Path, unwatched: bool) -> Result<Option<Mark>, StoreError> {
    let Some(mut connection) = open(file, unwatched).await? else { return Ok(None) };
    let read = row(&mut connection, CURSOR_ROW).await;
    drop(connection.close().await);
    let Some(row) = read? else { return Ok(None) };
    let cursor = convert::cursor(&row)?;
    Ok(Some(convert::mark(&row).unwrap_or(Mark { cursor, event: None })))
}
