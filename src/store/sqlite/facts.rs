//! Gathers facts about the databases of a data directory without changing any of them: every connection only reads.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use countersign_events::{ids::DataKeyId, recorded::Position};
use countersign_projections::{INLINE, TRAILING};
use sqlx::{ConnectOptions, Connection as _, Row as _, SqliteConnection, query};

use super::{
    super::{
        Cursor, StoreError, convert,
        facts::{Database, Facts, LogFacts, ModelFacts},
        statements, vault,
    },
    schema, unavailable,
    vault::file as vault_file,
};

/// How closely, and at what, one looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Nobody has the data open, nor will while this look takes.
    pub unwatched: bool,
    /// Every page of every database is read.
    pub deep: bool,
}

/// Gathers the facts of a data directory. What cannot be read is told as a fact as well.
pub async fn examine(data_dir: &Path, look: Look) -> Facts {
    let mut facts = Facts::default();
    let mut pointed_at = vec![];
    let mut log = Database { file: data_dir.join("log.db"), ..Database::default() };
    let read = async {
        let mut connection = open(&mut log, look).await?;
        facts.engine = engine(&mut connection).await?;
        log.schema = schema(&mut connection, &schema::migrator()).await?;
        facts.log = Some(read_log(&mut connection).await?);
        facts.models = models(&mut connection, &mut pointed_at).await?;
        finish(connection, &mut log, look).await
    };
    log.error = read.await.err().map(|error| error.to_string());
    facts.databases.push(log);

    let mut vault = Database { file: data_dir.join("vault.db"), ..Database::default() };
    let read = async {
        let mut connection = open(&mut vault, look).await?;
        vault.schema = schema(&mut connection, &vault_file::migrator()).await?;
        facts.site_key = site_key(&mut connection).await?;
        finish(connection, &mut vault, look).await
    };
    vault.error = read.await.err().map(|error| error.to_string());
    facts.databases.push(vault);

    let directory = data_dir.join("models");
    for (name, generation) in &pointed_at {
        let mut database = Database { file: directory.join(format!("{name}-{generation}.db")), ..Database::default() };
        let read = async {
            let mut connection = open(&mut database, look).await?;
            let (cursor, parked) = (cursor(&mut connection).await?, parked(&mut connection).await?);
            for model in facts.models.iter_mut().filter(|model| model.trailing && model.name == *name) {
                (model.cursor, model.parked) = (Some(cursor), parked);
            }
            finish(connection, &mut database, look).await
        };
        database.error = read.await.err().map(|error| error.to_string());
        facts.databases.push(database);
    }
    let read: Vec<_> = facts.databases.iter().map(|database| database.file.clone()).collect();
    facts.leftovers = leftovers(&directory, &read);
    facts
}

async fn open(database: &mut Database, look: Look) -> Result<SqliteConnection, StoreError> {
    let size = |path: &Path| fs::metadata(path).map(|about| about.len());
    size(&database.file).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let mut wal = database.file.clone().into_os_string();
    wal.push("-wal");
    database.wal_bytes = size(Path::new(&wal)).ok();
    let unwatched = look.unwatched && database.wal_bytes.unwrap_or_default() == 0;
    schema::examiner(&database.file, unwatched).connect().await.map_err(unavailable)
}

/// Reads every page when that is wanted, and closes.
async fn finish(mut connection: SqliteConnection, database: &mut Database, look: Look) -> Result<(), StoreError> {
    if look.deep {
        database.damage = Some(match query("pragma quick_check(20)").fetch_all(&mut connection).await {
            Ok(rows) => {
                let said = rows.iter().filter_map(|row| row.try_get::<String, _>(0).ok());
                said.filter(|said| said != "ok").collect()
            }
            // Where too much is damaged, it cannot even be counted.
            Err(error) => vec![unavailable(error).to_string()],
        });
    }
    connection.close().await.map_err(unavailable)
}

async fn engine(connection: &mut SqliteConnection) -> Result<String, StoreError> {
    let row = query("select sqlite_version() as version").fetch_one(connection).await.map_err(unavailable)?;
    let version: String = row.try_get("version").map_err(unavailable)?;
    Ok(format!("SQLite {version}"))
}

/// The schema that a database has, and the newest one known.
async fn schema(
    connection: &mut SqliteConnection,
    known: &sqlx::migrate::Migrator,
) -> Result<Option<(i64, i64)>, StoreError> {
    let newest = known.iter().map(|migration| migration.version).max().unwrap_or_default();
    let row = query("select max(version) as version\nfrom _sqlx_migrations\nwhere success")
        .fetch_one(connection)
        .await
        .map_err(unavailable)?;
    let version: Option<i64> = row.try_get("version").map_err(unavailable)?;
    Ok(version.map(|version| (version, newest)))
}

async fn read_log(connection: &mut SqliteConnection) -> Result<LogFacts, StoreError> {
    let row = query(statements::HEAD).fetch_one(&mut *connection).await.map_err(unavailable)?;
    let head = convert::head(&row)?;
    let last = query("select position, recorded_at\nfrom events\norder by position desc\nlimit 1")
        .fetch_optional(&mut *connection)
        .await
        .map_err(unavailable)?;
    let last = match &last {
        Some(row) => Some((convert::position(row)?, convert::recorded_at(row)?)),
        None => None,
    };
    let rows = query("select epoch, began_after\nfrom epochs\norder by epoch")
        .fetch_all(&mut *connection)
        .await
        .map_err(unavailable)?;
    let epochs = rows
        .iter()
        .map(|row| Ok((convert::number(row, "epoch")?, Position(convert::number(row, "began_after")?))))
        .collect::<Result<_, StoreError>>()?;
    let row = query(statements::CUT_OFF).fetch_one(&mut *connection).await.map_err(unavailable)?;
    let cut_off = convert::cut_off(&row)?;
    // The next start brings an earlier schema here.
    let table = query("select 1\nfrom sqlite_master\nwhere type = 'table' and name = 'clock'");
    let anchor = match table.fetch_optional(&mut *connection).await.map_err(unavailable)? {
        Some(_) => query(statements::ANCHOR).fetch_optional(connection).await.map_err(unavailable)?,
        None => None,
    };
    let anchor = anchor.as_ref().map(convert::anchor).transpose()?;
    Ok(LogFacts { head, last, epochs, anchor, cut_off, now: None })
}

async fn models(
    connection: &mut SqliteConnection,
    pointed_at: &mut Vec<(&'static str, u64)>,
) -> Result<Vec<ModelFacts>, StoreError> {
    let mut models = vec![];
    for (trailing, projection) in
        INLINE.iter().map(|inline| (false, inline)).chain(TRAILING.iter().map(|trailing| (true, trailing)))
    {
        let statement = if trailing { statements::GENERATION } else { statements::INLINE_REVISION };
        let row = query(statement).bind(projection.name).fetch_optional(&mut *connection).await.map_err(unavailable)?;
        let revision = row.as_ref().map(|row| convert::number(row, "revision")).transpose()?;
        if let Some(row) = row.filter(|_| trailing) {
            pointed_at.push((projection.name, convert::number(&row, "generation")?));
        }
        let (name, wanted) = (projection.name, projection.revision);
        models.push(ModelFacts { name, trailing, revision, wanted, cursor: None, parked: 0 });
    }
    Ok(models)
}

async fn cursor(connection: &mut SqliteConnection) -> Result<Cursor, StoreError> {
    let row = query(statements::CURSOR).fetch_one(connection).await.map_err(unavailable)?;
    convert::cursor(&row)
}

/// How many streams rest. A generation that an earlier release made has no table of them, and none.
async fn parked(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let table = query("select 1\nfrom sqlite_master\nwhere type = 'table' and name = 'parked'");
    if table.fetch_optional(&mut *connection).await.map_err(unavailable)?.is_none() {
        return Ok(0);
    }
    let row = query("select count(distinct stream) as streams\nfrom parked").fetch_one(connection).await;
    convert::number(&row.map_err(unavailable)?, "streams")
}

async fn site_key(connection: &mut SqliteConnection) -> Result<Option<(DataKeyId, Vec<u8>)>, StoreError> {
    let row = query(vault::statements::SITE_KEY).fetch_optional(connection).await.map_err(unavailable)?;
    row.as_ref().map(vault::site_key).transpose()
}

/// Database files that are none of those that are read.
fn leftovers(directory: &Path, read: &[PathBuf]) -> Vec<PathBuf> {
    let entries: io::Result<Vec<_>> = fs::read_dir(directory).and_then(Iterator::collect);
    let mut files: Vec<_> = entries.unwrap_or_default().into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "db") && !read.contains(file));
    files.sort();
    files
}
