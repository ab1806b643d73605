//! Gathers facts about the databases of a site without changing any of them.

use std::path::PathBuf;

use countersign_events::recorded::Position;
use countersign_projections::{INLINE, TRAILING};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, query, query_scalar};

use super::{
    super::{
        StoreError, convert,
        facts::{Database, Facts, LogFacts, ModelFacts},
        from_micros, statements, vault,
    },
    failed,
    generations::{self, CURSOR},
    schema::{self, Part},
    servers::Servers,
    signed,
};

pub(super) const LAST_EVENT: &str = "select position, recorded_at\nfrom events\norder by position desc\nlimit 1";
pub(super) const NOW: &str = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint as now";
pub(super) const EPOCHS: &str = "select epoch, began_after\nfrom epochs\norder by epoch";
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

/// Gathers the facts of a site. What cannot be read is told as a fact as well. `deep` has every row of log, read models
/// and vault read once.
pub async fn examine(log_urls: &str, vault_urls: &str, deep: bool) -> Facts {
    let mut facts = Facts::default();
    let mut log = Database { file: PathBuf::from("log"), ..Database::default() };
    let read = async {
        let mut connection = Servers::parse(log_urls)?.connect(&format!("{}, {}", schema::LOG, schema::INLINE)).await?;
        facts.engine = schema::engine(&mut connection).await?;
        level(&mut connection, Part::Log, &mut log).await?;
        facts.log = Some(read_log(&mut connection).await?);
        let pointed_at = models(&mut connection, &mut facts.models).await?;
        facts.leftovers = leftovers(&mut connection, &pointed_at).await?;
        if deep {
            let mut schemas = vec![schema::LOG.to_owned(), schema::INLINE.to_owned()];
            schemas.extend(pointed_at.iter().map(|(name, generation)| generations::schema_of(name, *generation)));
            log.damage = Some(damage(&mut connection, &schemas).await?);
        }
        connection.close().await.map_err(failed)
    };
    log.error = read.await.err().map(told);
    facts.databases.push(log);
    let mut vault_database = Database { file: PathBuf::from("vault"), ..Database::default() };
    let read = async {
        let mut connection = Servers::parse(vault_urls)?.connect(schema::VAULT).await?;
        level(&mut connection, Part::Vault, &mut vault_database).await?;
        let row = query(vault::statements::SITE_KEY).fetch_optional(&mut connection).await.map_err(failed)?;
        facts.site_key = row.as_ref().map(vault::site_key).transpose()?;
        if deep {
            vault_database.damage = Some(damage(&mut connection, &[schema::VAULT.to_owned()]).await?);
        }
        connection.close().await.map_err(failed)
    };
    vault_database.error = read.await.err().map(told);
    facts.databases.push(vault_database);
    facts
}

async fn level(connection: &mut PgConnection, part: Part, database: &mut Database) -> Result<(), StoreError> {
    let level = schema::level(connection, part).await?;
    if level.done == 0 {
        return Err(StoreError::Unavailable("it has no tables of Countersign".to_owned()));
    }
    (database.schema, database.oldest) = (Some((level.done, level.known)), Some(level.oldest));
    Ok(())
}

fn told(error: StoreError) -> String {
    match error {
        StoreError::Unavailable(told) => told,
        error => error.to_string(),
    }
}

async fn read_log(connection: &mut PgConnection) -> Result<LogFacts, StoreError> {
    let row = query(statements::HEAD).fetch_one(&mut *connection).await.map_err(failed)?;
    let head = convert::head(&row)?;
    let last = query(LAST_EVENT).fetch_optional(&mut *connection).await.map_err(failed)?;
    let last = last.as_ref().map(|row| Ok((convert::position(row)?, convert::recorded_at(row)?))).transpose()?;
    let rows = query(EPOCHS).fetch_all(&mut *connection).await.map_err(failed)?;
    let epochs = rows
        .iter()
        .map(|row| Ok((convert::number(row, "epoch")?, Position(convert::number(row, "began_after")?))))
        .collect::<Result<_, StoreError>>()?;
    let row = query(statements::CUT_OFF).fetch_one(&mut *connection).await.map_err(failed)?;
    let cut_off = convert::cut_off(&row)?;
    let row = query(NOW).fetch_one(&mut *connection).await.map_err(failed)?;
    let now = Some(from_micros(convert::integer(&row, "now")?));
    // `countersign migrate` brings an earlier schema here.
    let is_there = query_scalar("select to_regclass('clock') is not null").fetch_one(&mut *connection).await;
    let anchor = match is_there.map_err(failed)? {
        true => query(statements::ANCHOR).fetch_optional(connection).await.map_err(failed)?,
        false => None,
    };
    let anchor = anchor.as_ref().map(convert::anchor).transpose()?;
    Ok(LogFacts { head, last, epochs, anchor, cut_off, now })
}

/// The read models, and which generations are read.
async fn models(
    connection: &mut PgConnection,
    models: &mut Vec<ModelFacts>,
) -> Result<Vec<(&'static str, u64)>, StoreError> {
    let mut pointed_at = vec![];
    for projection in INLINE {
        let (name, wanted) = (projection.name, projection.revision);
        let row = query(statements::INLINE_REVISION).bind(name).fetch_optional(&mut *connection).await;
        let revision = row.map_err(failed)?.map(|row| convert::number(&row, "revision")).transpose()?;
        models.push(ModelFacts { name, trailing: false, revision, wanted, cursor: None, parked: 0 });
    }
    for projection in TRAILING {
        let (name, wanted) = (projection.name, projection.revision);
        let mut model = ModelFacts { name, trailing: true, revision: None, wanted, cursor: None, parked: 0 };
        let row = query(GENERATIONS).bind(name).bind(i64::from(wanted)).fetch_optional(&mut *connection).await;
        if let Some(row) = row.map_err(failed)? {
            model.revision = Some(convert::number(&row, "revision")?);
            let generation = convert::number(&row, "generation")?;
            let row = query(CURSOR).bind(name).bind(signed(generation)).fetch_one(&mut *connection).await;
            model.cursor = Some(convert::cursor(&row.map_err(failed)?)?);
            let row = query(RESTING).bind(name).bind(signed(generation)).fetch_one(&mut *connection).await;
            model.parked = convert::number(&row.map_err(failed)?, "streams")?;
            pointed_at.push((name, generation));
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
    Ok(damage)
}
