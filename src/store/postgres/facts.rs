//! Gathers facts about the databases of a site without changing any of them.

use std::path::PathBuf;

use async_trait::async_trait;
use countersign_projections::{INLINE, Projection, TRAILING};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgRow, query, query_scalar};

use super::{
    super::{
        Snapshot, StoreError,
        ask::Ask,
        convert,
        examine::{self, Both, Examined},
        facts::{Database, Facts, Lack, ModelFacts, Shown},
        statements, vault,
    },
    bind,
    build::PostgresSnapshot,
    expected, failed,
    generations::{self, CURSOR},
    schema::{self, Part},
    servers::Servers,
    signed,
};

pub(super) const NOW: &str = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint as now";
pub(super) const HAS_CLOCK: &str = "select 1\nwhere to_regclass('clock') is not null";
pub(super) const GENERATIONS: &str = "select revision, generation\nfrom generations\nwhere name = $1\n\
    order by revision = $2 desc, generation desc\nlimit 1";
pub(super) const RESTING: &str =
    "select count(distinct stream) as streams\nfrom parked\nwhere name = $1 and generation = $2";
/// Schemas of generations; which of them are read is in the pointers.
pub(super) const SCHEMAS: &str = "select nspname::text as name\nfrom pg_namespace\n\
    where nspname ~ '^countersign_[a-z_]+_[0-9]+$'\norder by nspname";
/// Those that this role may read.
pub(super) const TABLES: &str = "select format('%I.%I', nspname, relname) as name\n\
    from pg_class\njoin pg_namespace on pg_namespace.oid = relnamespace\n\
    where nspname = any($1) and relkind = 'r' and has_table_privilege(pg_class.oid, 'select')\norder by name";
/// Whether the extension that checks indexes is there, and this role may use it; in which schema.
pub(super) const CHECKS_INDEXES: &str = "select nspname::text as name\nfrom pg_proc\n\
    join pg_namespace on pg_namespace.oid = pronamespace\n\
    where proname = 'bt_index_check' and pronargs = 2 and has_function_privilege(pg_proc.oid, 'execute')";
/// Trees among the indexes of some schemas.
pub(super) const INDEXES: &str = "select format('%I.%I', nspname, relname) as name\n\
    from pg_class\njoin pg_namespace on pg_namespace.oid = relnamespace\njoin pg_am on pg_am.oid = relam\n\
    where nspname = any($1) and relkind = 'i' and amname = 'btree'\norder by name";
/// The events as the table has them and as each index of it has them.
pub(super) const COUNTS: &[(&str, &str, &str)] = &[
    ("events", "off", "select count(*) from events"),
    ("events_pkey", "on", "select count(*) from events where position > -1"),
    ("events_event_id_key", "on", "select count(*) from events where event_id >= ''"),
    ("events_stream_version_key", "on", "select count(*) from events where stream >= ''"),
];

/// Gathers the facts of a site. What cannot be read is told as a fact as well. `deep` has every row of log, read models
/// and vault read once.
pub async fn examine(log_urls: &str, vault_urls: &str, deep: bool) -> Facts {
    let mut facts = Facts::default();
    let (mut log, mut log_database) = open(log_urls, Part::Log, "log").await;
    if let Some(log) = &mut log {
        let read = read_log(log, &mut facts, &mut log_database, deep).await;
        note(&mut log_database, read);
    }
    let (mut vault, mut vault_database) = open(vault_urls, Part::Vault, "vault").await;
    if let Some(vault) = &mut vault {
        let read = async {
            let row = query(vault::statements::SITE_KEY).fetch_optional(&mut vault.0).await.map_err(failed)?;
            facts.site_key = row.as_ref().map(vault::site_key).transpose()?;
            if deep {
                vault_database.damage = Some(damage(&mut vault.0, &[schema::VAULT.to_owned()]).await?);
            }
            Ok(())
        };
        let read = read.await;
        note(&mut vault_database, read);
    }
    let accounts = |model: &ModelFacts| model.name == "accounts" && model.revision == Some(model.wanted);
    if let (Some(log), Some(vault)) = (&mut log, &mut vault)
        && facts.models.iter().any(accounts)
    {
        let read = examine::members(log, vault).await.ok();
        (facts.members, facts.usernames) = read.map(|(members, names)| (Some(members), names)).unwrap_or_default();
    }
    for opened in [log, vault].into_iter().flatten() {
        drop(opened.0.close().await);
    }
    facts.databases.extend([log_database, vault_database]);
    facts
}

/// Opens log and vault for reading them through, with the read models.
///
/// # Errors
/// [`StoreError`] when log or vault does not answer or has no tables.
pub async fn open_for_reading(log_urls: &str, vault_urls: &str) -> Result<Box<dyn Shown>, StoreError> {
    let opened = |(opened, database): (Option<Examining>, Database)| {
        let told = || database.error.as_ref().map(ToString::to_string).unwrap_or_default();
        opened.ok_or_else(|| StoreError::Unavailable(told()))
    };
    let log = opened(open(log_urls, Part::Log, "log").await)?;
    let vault = opened(open(vault_urls, Part::Vault, "vault").await)?;
    Ok(Box::new(Both { log, vault }))
}

/// A connection that only reads, and where it leads to.
struct Examining(PgConnection, Servers);

#[async_trait]
impl Examined for Examining {
    type Row = PgRow;
    const COUNT: &'static str = "select count(*) as number\nfrom events";
    const HAS_CLOCK: &'static str = HAS_CLOCK;
    const NOW: Option<&'static str> = Some(NOW);
    const VAULT: vault::statements::Texts = vault::statements::POSTGRES;

    async fn rows(&mut self, ask: Ask) -> Result<Vec<PgRow>, StoreError> {
        bind::statement(ask).fetch_all(&mut self.0).await.map_err(told)
    }

    async fn shown(&mut self, projection: &'static Projection) -> Result<Option<Box<dyn Snapshot>>, StoreError> {
        let generation = if INLINE.iter().any(|inline| inline.name == projection.name) {
            let row = query(statements::INLINE_REVISION).bind(projection.name).fetch_optional(&mut self.0).await;
            let revision = row.map_err(failed)?.map(|row| convert::number::<u32>(&row, "revision")).transpose()?;
            if revision != Some(projection.revision) {
                return Ok(None);
            }
            None
        } else {
            let pointer = generations::pointer(&mut self.0, projection).await?;
            let Some(pointer) = pointer.filter(|pointer| !pointer.lent) else { return Ok(None) };
            Some(pointer.generation)
        };
        Ok(Some(Box::new(PostgresSnapshot::open(&self.1, projection, generation).await?)))
    }
}

/// What a database said that is only looked at: what it cannot make sense of is damage.
fn told(error: sqlx::Error) -> StoreError {
    /// `data_corrupted`, `index_corrupted`, and a table or column that is not there.
    const DAMAGED: [&str; 4] = ["XX001", "XX002", "42P01", "42703"];
    match error.as_database_error().and_then(sqlx::error::DatabaseError::code) {
        Some(code) if DAMAGED.contains(&&*code) => convert::damaged(failed(error)),
        _ => failed(error),
    }
}

fn note(database: &mut Database, read: Result<(), StoreError>) {
    if let Err(error) = read {
        database.error = Some(error.into());
    }
}

async fn open(urls: &str, part: Part, name: &str) -> (Option<Examining>, Database) {
    let mut database = Database { file: PathBuf::from(name), ..Database::default() };
    let path = match part {
        Part::Log => format!("{}, {}", schema::LOG, schema::INLINE),
        Part::Vault => schema::VAULT.to_owned(),
    };
    let opened = async {
        let servers = Servers::parse(urls)?;
        let mut connection = servers.connect(&path).await?;
        level(&mut connection, part, &mut database).await?;
        Ok::<_, StoreError>(Examining(connection, servers))
    };
    match opened.await {
        Ok(opened) => (Some(opened), database),
        Err(error) => {
            database.error = Some(error.into());
            (None, database)
        }
    }
}

async fn level(connection: &mut PgConnection, part: Part, database: &mut Database) -> Result<(), StoreError> {
    let level = schema::level(connection, part).await?;
    if level.done == 0 {
        return Err(StoreError::Unavailable("it has no tables of Countersign".to_owned()));
    }
    (database.schema, database.oldest) = (Some((level.done, level.known)), Some(level.oldest));
    if level.done <= level.known {
        database.lacks = expected::missing(connection, part, level.done).await.map_err(failed)?;
    }
    Ok(())
}

async fn read_log(
    log: &mut Examining,
    facts: &mut Facts,
    database: &mut Database,
    deep: bool,
) -> Result<(), StoreError> {
    facts.engine = schema::engine(&mut log.0).await?;
    let read = facts.log.insert(examine::log(log).await?);
    examine::count(log, read).await?;
    let pointed_at = models(&mut log.0, &mut facts.models, &mut database.lacks).await?;
    facts.leftovers = leftovers(&mut log.0, &pointed_at).await?;
    if deep {
        let mut schemas = vec![schema::LOG.to_owned(), schema::INLINE.to_owned()];
        schemas.extend(pointed_at.iter().map(|(name, generation)| generations::schema_of(name, *generation)));
        let mut damage = damage(&mut log.0, &schemas).await?;
        damage.extend(miscounts(&mut log.0).await?);
        database.damage = Some(damage);
    }
    Ok(())
}

/// Counts the events by the table and by each of its indexes: an index that has others leads past events.
async fn miscounts(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    // One moment for all, and settings that end with it.
    let mut tx = connection.begin_with("begin isolation level repeatable read, read only").await.map_err(failed)?;
    let (mut counts, mut damage) = (vec![], vec![]);
    for &(name, by_index, count) in COUNTS {
        let by_table = if by_index == "on" { "off" } else { "on" };
        let way = format!(
            "set local enable_seqscan = {by_table}; set local enable_indexscan = {by_index}; \
             set local enable_indexonlyscan = {by_index}; set local enable_bitmapscan = {by_index}"
        );
        sqlx::raw_sql(AssertSqlSafe(way)).execute(&mut *tx).await.map_err(failed)?;
        match query_scalar::<_, i64>(count).fetch_one(&mut *tx).await {
            Ok(count) => counts.push((name, count)),
            Err(error) => {
                damage.push(format!("{name}: {}", failed(error)));
                break;
            }
        }
    }
    drop(tx.rollback().await);
    let (table, indexes) = counts.split_first().map_or((0, counts.as_slice()), |((_, table), rest)| (*table, rest));
    let differ = indexes.iter().filter(|(_, count)| *count != table);
    damage.extend(differ.map(|(name, count)| format!("{name} leads to {count} events of {table}")));
    Ok(damage)
}

/// The read models, and which generations are read.
async fn models(
    connection: &mut PgConnection,
    models: &mut Vec<ModelFacts>,
    lacks: &mut Vec<Lack>,
) -> Result<Vec<(&'static str, u64)>, StoreError> {
    let mut pointed_at = vec![];
    for projection in INLINE {
        let (name, wanted) = (projection.name, projection.revision);
        let row = query(statements::INLINE_REVISION).bind(name).fetch_optional(&mut *connection).await;
        let revision = row.map_err(failed)?.map(|row| convert::number(&row, "revision")).transpose()?;
        if revision == Some(wanted) {
            lacks.extend(expected::missing_of(connection, schema::INLINE, projection).await.map_err(failed)?);
        }
        models.push(ModelFacts { name, trailing: false, revision, wanted, cursor: None, parked: 0, lost: None });
    }
    for projection in TRAILING {
        let (name, wanted) = (projection.name, projection.revision);
        let mut model =
            ModelFacts { name, trailing: true, revision: None, wanted, cursor: None, parked: 0, lost: None };
        let row = query(GENERATIONS).bind(name).bind(i64::from(wanted)).fetch_optional(&mut *connection).await;
        if let Some(row) = row.map_err(failed)? {
            model.revision = Some(convert::number(&row, "revision")?);
            let generation = convert::number(&row, "generation")?;
            pointed_at.push((name, generation));
            let schema = generations::schema_of(name, generation);
            let missing = expected::missing_of(connection, &schema, projection).await.map_err(failed)?;
            if model.revision == Some(wanted) && missing.iter().any(Lack::is_table) {
                // Its cursor says nothing of it any more, and the next start builds it anew.
                model.lost = Some(format!("the schema {schema} has lost tables, or is gone"));
                models.push(model);
                continue;
            }
            if model.revision == Some(wanted) {
                lacks.extend(missing);
            }
            let row = query(CURSOR).bind(name).bind(signed(generation)).fetch_one(&mut *connection).await;
            model.cursor = Some(convert::cursor(&row.map_err(failed)?)?);
            let row = query(RESTING).bind(name).bind(signed(generation)).fetch_one(&mut *connection).await;
            model.parked = convert::number(&row.map_err(failed)?, "streams")?;
        }
        models.push(model);
    }
    Ok(pointed_at)
}

/// Schemas of generations that this program does not read.
async fn leftovers(
    connection: &mut PgConnection,
    pointed_at: &[(&'static str, u64)],
) -> Result<Vec<PathBuf>, StoreError> {
    let rows = query(SCHEMAS).fetch_all(connection).await.map_err(failed)?;
    let read: Vec<_> = pointed_at.iter().map(|(name, generation)| generations::schema_of(name, *generation)).collect();
    let mut left = vec![];
    for row in &rows {
        let name = convert::text(row, "name")?;
        if !read.iter().any(|read| read == name) {
            left.push(PathBuf::from(name));
        }
    }
    Ok(left)
}

/// Reads every row of some schemas, and tells what cannot be read. `PostgreSQL` checks pages as it reads them where
/// checksums are on.
async fn damage(connection: &mut PgConnection, schemas: &[String]) -> Result<Vec<String>, StoreError> {
    let tables = query(TABLES).bind(schemas).fetch_all(&mut *connection).await.map_err(failed)?;
    let mut damage = vec![];
    for table in &tables {
        let table = convert::text(table, "name")?;
        let read = format!("select coalesce(sum(length(row::text)), 0)::bigint\nfrom {table} as row");
        let read = query_scalar::<_, i64>(AssertSqlSafe(read)).fetch_one(&mut *connection).await;
        if let Err(error) = read {
            damage.push(format!("{table}: {}", failed(error)));
        }
    }
    let rows = query(CHECKS_INDEXES).fetch_optional(&mut *connection).await.map_err(failed)?;
    let Some(extension) = rows else { return Ok(damage) };
    let check =
        format!("select {}.bt_index_check($1::regclass, true)", schema::identifier(convert::text(&extension, "name")?));
    for index in &query(INDEXES).bind(schemas).fetch_all(&mut *connection).await.map_err(failed)? {
        let index = convert::text(index, "name")?;
        if let Err(error) = query(AssertSqlSafe(check.clone())).bind(index).execute(&mut *connection).await {
            damage.push(format!("{index}: {}", failed(error)));
        }
    }
    Ok(damage)
}
