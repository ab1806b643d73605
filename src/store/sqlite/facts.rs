//! Gathers facts about the databases of a data directory without changing any of them: every connection only reads.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use countersign_events::ids::DataKeyId;
use countersign_projections::{INLINE, Projection, TRAILING};
use sqlx::{ConnectOptions, Connection as _, Row as _, SqliteConnection, query, sqlite::SqliteRow};

use super::{
    super::{
        Cursor, Snapshot, StoreError,
        ask::Ask,
        convert,
        examine::{self, Both, Examined},
        facts::{Database, Facts, Lack, ModelFacts, Shown, Unreadable},
        statements, vault,
    },
    bind,
    build::SqliteSnapshot,
    expected, misplaced, schema, unavailable,
    vault::file as vault_file,
};

/// So much is told of what is damaged.
const DAMAGE: &str = "pragma integrity_check(20)";

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
    let (mut log, mut log_file) = open(data_dir.join("log.db"), look).await;
    let mut pointed_at = None;
    if let Some(log) = &mut log {
        let read = read_log(log, &mut facts, &mut log_file, &mut pointed_at).await;
        note(&mut log_file, read);
    }
    let (mut vault, mut vault_file) = open(data_dir.join("vault.db"), look).await;
    if let Some(vault) = &mut vault {
        let read = async {
            vault_file.lacks = expected::lost_steps(&mut vault.connection, vault_file::STEPS).await?;
            vault_file.schema = schema(&mut vault.connection, &vault_file::migrator()).await?;
            vault_file.lacks = lacks(&mut vault.connection, vault_file.schema, vault_file::STEPS).await?;
            facts.site_key = site_key(&mut vault.connection).await?;
            Ok(())
        };
        let read = read.await;
        note(&mut vault_file, read);
    }
    let accounts = |model: &ModelFacts| model.name == "accounts" && model.revision == Some(model.wanted);
    if let (Some(log), Some(vault)) = (&mut log, &mut vault)
        && facts.models.iter().any(accounts)
    {
        // What cannot be read was told, or is by a deep look.
        let read = examine::members(log, vault).await.ok();
        (facts.members, facts.usernames) = read.map(|(members, names)| (Some(members), names)).unwrap_or_default();
    }
    for (opened, mut file) in [(log, log_file), (vault, vault_file)] {
        if let Some(opened) = opened {
            finish(opened, &mut file, look).await;
        }
        facts.databases.push(file);
    }
    let directory = data_dir.join("models");
    for (name, generation) in pointed_at.iter().flatten() {
        let (opened, mut file) = open(directory.join(format!("{name}-{generation}.db")), look).await;
        let model = facts.models.iter_mut().find(|model| model.trailing && model.name == *name);
        if let (Some(mut opened), Some(model)) = (opened, model) {
            let read = read_model(&mut opened.connection, model, &mut file).await;
            note(&mut file, read);
            finish(opened, &mut file, look).await;
        }
        facts.databases.push(file);
    }
    if pointed_at.is_some() {
        let read: Vec<_> = facts.databases.iter().map(|database| database.file.clone()).collect();
        facts.leftovers = leftovers(&directory, &read);
    }
    facts
}

/// Opens log and vault of a data directory for reading them through, with the read models.
///
/// # Errors
/// [`StoreError`] when log or vault cannot be opened.
pub async fn open_for_reading(data_dir: &Path, look: Look) -> Result<Box<dyn Shown>, StoreError> {
    let opened = |(opened, file): (Option<Examining>, Database)| {
        let told = || file.error.as_ref().map(|error| format!("{} {error}", file.file.display())).unwrap_or_default();
        opened.ok_or_else(|| StoreError::Unavailable(told()))
    };
    let log = opened(open(data_dir.join("log.db"), look).await)?;
    let vault = opened(open(data_dir.join("vault.db"), look).await)?;
    Ok(Box::new(Both { log, vault }))
}

/// A connection that only reads; what it had to make beside files goes with it.
struct Examining {
    connection: SqliteConnection,
    made: Vec<MadeBeside>,
    file: PathBuf,
    look: Look,
}

/// The index of a write-ahead log, which whoever reads one has to make where there is none.
struct MadeBeside(PathBuf);

impl Drop for MadeBeside {
    fn drop(&mut self) {
        // Left there it is no harm: the next one to open the database makes it anew.
        drop(fs::remove_file(&self.0));
    }
}

#[async_trait]
impl Examined for Examining {
    type Row = SqliteRow;
    const COUNT: &'static str = "select count(*) as number\nfrom events not indexed";
    const HAS_CLOCK: &'static str = "select 1\nfrom sqlite_master\nwhere type = 'table' and name = 'clock'";
    const NOW: Option<&'static str> = None;
    const VAULT: vault::statements::Texts = vault::statements::SQLITE;

    async fn rows(&mut self, ask: Ask) -> Result<Vec<SqliteRow>, StoreError> {
        bind::statement(ask).fetch_all(&mut self.connection).await.map_err(told)
    }

    async fn shown(&mut self, projection: &'static Projection) -> Result<Option<Box<dyn Snapshot>>, StoreError> {
        let is_inline = INLINE.iter().any(|inline| inline.name == projection.name);
        let statement = if is_inline { statements::INLINE_REVISION } else { statements::GENERATION };
        let row = query(statement).bind(projection.name).fetch_optional(&mut self.connection).await.map_err(told)?;
        let Some(row) = row else { return Ok(None) };
        if convert::number::<u32>(&row, "revision")? != projection.revision {
            return Ok(None);
        }
        let file = if is_inline {
            self.file.clone()
        } else {
            let generation: u64 = convert::number(&row, "generation")?;
            self.file.with_file_name("models").join(format!("{}-{generation}.db", projection.name))
        };
        let (Some(opened), _) = open(file, self.look).await else { return Ok(None) };
        let Self { connection, made, .. } = opened;
        self.made.extend(made);
        Ok(Some(Box::new(SqliteSnapshot::begin(connection, is_inline).await?)))
    }
}

/// What a database said that is only looked at: what it cannot make sense of is damage.
fn told(error: sqlx::Error) -> StoreError {
    /// A statement that does not fit the tables, a page that makes no sense, no database, a page that is not there.
    const DAMAGED: [&str; 4] = ["1", "11", "26", "522"];
    let code = error.as_database_error().and_then(|told| told.code().map(std::borrow::Cow::into_owned));
    match code.as_deref() {
        Some(code) if DAMAGED.contains(&code) || code.parse::<u32>().is_ok_and(|code| code & 0xFF == 11) => {
            convert::damaged(unavailable(error))
        }
        _ => unavailable(error),
    }
}

fn note(database: &mut Database, read: Result<(), StoreError>) {
    if let Err(error) = read {
        database.error = Some(error.into());
    }
}

/// Opens a file, unless what it is says already that it cannot be read.
async fn open(file: PathBuf, look: Look) -> (Option<Examining>, Database) {
    let beside = |suffix: &str| {
        let mut name = file.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    let wal_bytes = fs::metadata(beside("-wal")).map(|about| about.len()).ok();
    let is_alone = wal_bytes.unwrap_or_default() == 0;
    let mut database = Database { file: file.clone(), wal_bytes, ..Database::default() };
    if let Some(in_the_way) = misplaced::in_the_way(&file) {
        database.error = Some(Unreadable::Misplaced(in_the_way.path.clone(), in_the_way.to_string()));
        return (None, database);
    }
    if let Err(error) = is_whole(&file, is_alone) {
        database.error = Some(error);
        return (None, database);
    }
    let index = beside("-shm");
    let made = (look.unwatched && !is_alone && !index.exists()).then(|| MadeBeside(index));
    let opened = schema::examiner(&file, look.unwatched && is_alone).connect().await.map_err(told);
    match opened {
        Ok(connection) => {
            let made = made.into_iter().collect();
            (Some(Examining { connection, made, file, look }), database)
        }
        Err(error) => {
            database.error = Some(error.into());
            (None, database)
        }
    }
}

/// Whether a file is there, may be read, and is as long as it says itself. While a write-ahead log has pages of it, it may
/// be shorter.
fn is_whole(file: &Path, is_alone: bool) -> Result<(), Unreadable> {
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => Unreadable::Missing,
        ErrorKind::PermissionDenied => Unreadable::Denied(error.to_string()),
        _ => Unreadable::Silent(error.to_string()),
    };
    let mut opened = File::open(file).map_err(failed)?;
    let bytes = opened.metadata().map_err(failed)?.len();
    if bytes == 0 {
        return Err(Unreadable::Empty);
    }
    let mut header = [0; 100];
    if opened.read_exact(&mut header).is_err() || !header.starts_with(b"SQLite format 3\0") {
        return Err(Unreadable::Damaged("it is no database of SQLite".to_owned()));
    }
    let number = |at: usize| header[at..at + 4].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let page = match u64::from(header[16]) << 8 | u64::from(header[17]) {
        1 => 65_536,
        size => size,
    };
    // Of a version that wrote another number, the length says nothing.
    let pages = if number(24) == number(92) { number(28) } else { 0 };
    if is_alone && bytes < pages * page {
        return Err(Unreadable::Damaged(format!("it was cut off: it has {bytes} bytes of {}", pages * page)));
    }
    Ok(())
}

/// Reads every page when that is wanted, and closes.
async fn finish(opened: Examining, database: &mut Database, look: Look) {
    let Examining { mut connection, made: _made, .. } = opened;
    if look.deep {
        database.damage = Some(match query(DAMAGE).fetch_all(&mut connection).await {
            Ok(rows) => {
                let said = rows.iter().filter_map(|row| row.try_get::<String, _>(0).ok());
                said.filter(|said| said != "ok").collect()
            }
            // Where too much is damaged, it cannot even be counted.
            Err(error) => vec![unavailable(error).to_string()],
        });
    }
    // It has nothing to write; what closing says changes nothing of what was read.
    drop(connection.close().await);
}

async fn engine(connection: &mut SqliteConnection) -> Result<String, StoreError> {
    let row = query("select sqlite_version() as version").fetch_one(connection).await.map_err(told)?;
    let version: String = row.try_get("version").map_err(told)?;
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
        .map_err(told)?;
    let version: Option<i64> = row.try_get("version").map_err(told)?;
    Ok(version.map(|version| (version, newest)))
}

/// What the steps that were done made and is not there as they made it. What a newer program did is not known here.
async fn lacks(
    connection: &mut SqliteConnection,
    schema: Option<(i64, i64)>,
    steps: &[schema::Step],
) -> Result<Vec<Lack>, StoreError> {
    let Some((done, _)) = schema.filter(|(done, known)| done <= known) else { return Ok(vec![]) };
    Ok(expected::missing(connection, steps, done).await?.iter().map(expected::Object::lack).collect())
}

async fn read_log(
    log: &mut Examining,
    facts: &mut Facts,
    file: &mut Database,
    pointed_at: &mut Option<Vec<(&'static str, u64)>>,
) -> Result<(), StoreError> {
    facts.engine = engine(&mut log.connection).await?;
    file.lacks = expected::lost_steps(&mut log.connection, schema::MIGRATIONS).await?;
    file.schema = schema(&mut log.connection, &schema::migrator()).await?;
    file.lacks = lacks(&mut log.connection, file.schema, schema::MIGRATIONS).await?;
    let mut generations = vec![];
    facts.models = models(&mut log.connection, &mut generations).await?;
    *pointed_at = Some(generations);
    for model in facts.models.iter().filter(|model| !model.trailing && model.revision == Some(model.wanted)) {
        file.lacks.extend(expected::missing_of(&mut log.connection, model.name).await?);
    }
    let read = facts.log.insert(examine::log(log).await?);
    examine::count(log, read).await
}

async fn read_model(
    connection: &mut SqliteConnection,
    model: &mut ModelFacts,
    file: &mut Database,
) -> Result<(), StoreError> {
    (model.cursor, model.parked) = (Some(cursor(connection).await?), parked(connection).await?);
    if model.revision == Some(model.wanted) {
        file.lacks = expected::missing_of(connection, model.name).await?;
    }
    Ok(())
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
        let row = query(statement).bind(projection.name).fetch_optional(&mut *connection).await.map_err(told)?;
        let revision = row.as_ref().map(|row| convert::number(row, "revision")).transpose()?;
        if let Some(row) = row.filter(|_| trailing) {
            pointed_at.push((projection.name, convert::number(&row, "generation")?));
        }
        let (name, wanted) = (projection.name, projection.revision);
        models.push(ModelFacts { name, trailing, revision, wanted, cursor: None, parked: 0, lost: None });
    }
    Ok(models)
}

async fn cursor(connection: &mut SqliteConnection) -> Result<Cursor, StoreError> {
    let row = query(statements::CURSOR).fetch_one(connection).await.map_err(told)?;
    convert::cursor(&row)
}

/// How many streams rest. A generation that an earlier release made has no table of them, and none.
async fn parked(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let table = query("select 1\nfrom sqlite_master\nwhere type = 'table' and name = 'parked'");
    if table.fetch_optional(&mut *connection).await.map_err(told)?.is_none() {
        return Ok(0);
    }
    let row = query("select count(distinct stream) as streams\nfrom parked").fetch_one(connection).await;
    convert::number(&row.map_err(told)?, "streams")
}

async fn site_key(connection: &mut SqliteConnection) -> Result<Option<(DataKeyId, Vec<u8>)>, StoreError> {
    let row = query(vault::statements::SITE_KEY).fetch_optional(connection).await.map_err(told)?;
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
