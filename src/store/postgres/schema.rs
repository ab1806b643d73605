//! How a database gets its schemas, and who may do what in them.

use sqlx::{
    AssertSqlSafe, PgConnection,
    migrate::{Migrate as _, MigrateError, Migration, MigrationType, Migrator},
    query_scalar, raw_sql,
};

use super::{super::StoreError, expected, failed};

/// The log with its bookkeeping, which the owner of the tables migrates.
pub(super) const LOG: &str = "countersign";
/// Inline read models, which the server makes from their declarations.
pub(super) const INLINE: &str = "countersign_inline";
/// The vault, unless it has a database of its own; there it is called so as well.
pub(super) const VAULT: &str = "countersign_vault";

/// A step of a schema: number, name, text.
pub(super) type Step = (i64, &'static str, &'static str);

/// The steps of the schema of the log: numbers and names are those of `SQLite`.
const MIGRATIONS: &[Step] = &[
    (1, "log", include_str!("../../../migrations/postgres/0001_log.sql")),
    (2, "cut_off", include_str!("../../../migrations/postgres/0002_cut_off.sql")),
    (3, "token_uses", include_str!("../../../migrations/postgres/0003_token_uses.sql")),
    (4, "site", include_str!("../../../migrations/postgres/0004_site.sql")),
    (5, "clock", include_str!("../../../migrations/postgres/0005_clock.sql")),
];
const VAULT_MIGRATIONS: &[Step] = &[
    (1, "vault", include_str!("../../../migrations/postgres/vault/0001_vault.sql")),
    (2, "site", include_str!("../../../migrations/postgres/vault/0002_site.sql")),
];

/// One of the two databases that are migrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The log, with its bookkeeping.
    Log,
    /// The vault.
    Vault,
}

/// How far a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// The last step that was done; 0 when there is nothing yet.
    pub done: i64,
    /// The last step that this program knows.
    pub known: i64,
    /// The oldest program that works with it, by the last step that it knows.
    pub oldest: i64,
}

impl Part {
    pub(super) const fn schema(self) -> &'static str {
        match self {
            Self::Log => LOG,
            Self::Vault => VAULT,
        }
    }

    pub(super) const fn migrations(self) -> &'static [Step] {
        match self {
            Self::Log => MIGRATIONS,
            Self::Vault => VAULT_MIGRATIONS,
        }
    }

    fn migrator(self) -> Migrator {
        let migrations = self.migrations().iter().map(|(number, name, sql)| {
            Migration::new(*number, (*name).into(), MigrationType::Simple, sqlx::SqlStr::from_static(sql), false)
        });
        Migrator::with_migrations(migrations.collect())
    }
}

/// How far a part is, without changing anything.
pub(super) async fn level(connection: &mut PgConnection, part: Part) -> Result<Level, StoreError> {
    const REMEDY: &str = "run `countersign migrate` with the URL of the owner of the tables in `migrate_database_url`, \
                          which lets this role in";
    let level = read_level(connection, part).await.map_err(|error| permitted(error, REMEDY))?;
    if level.done == 0 {
        expected::must_know_its_steps(connection, part).await?;
    }
    Ok(level)
}

/// An error, with the remedy where a right is missing.
fn permitted(error: sqlx::Error, remedy: &str) -> StoreError {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    match error.as_database_error() {
        Some(told) if told.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE) => {
            StoreError::Unavailable(format!("{}: {remedy}", told.message()))
        }
        _ => failed(error),
    }
}

async fn read_level(connection: &mut PgConnection, part: Part) -> Result<Level, sqlx::Error> {
    let known = part.migrations().last().map_or(0, |(number, ..)| *number);
    let table = format!("{}._sqlx_migrations", part.schema());
    let is_there: bool =
        query_scalar("select to_regclass($1) is not null").bind(&table).fetch_one(&mut *connection).await?;
    if !is_there {
        return Ok(Level { done: 0, known, oldest: 0 });
    }
    let newest = format!("select coalesce(max(version), 0) from {table} where success");
    let done: i64 = query_scalar(AssertSqlSafe(newest)).fetch_one(&mut *connection).await?;
    // Where that table is gone, it is missed with the others.
    let compatibility = format!("{}.compatibility", part.schema());
    let is_told: bool =
        query_scalar("select to_regclass($1) is not null").bind(&compatibility).fetch_one(&mut *connection).await?;
    let oldest = format!("select oldest from {compatibility}");
    let is_told = is_told && done > 0;
    let oldest = if is_told { query_scalar(AssertSqlSafe(oldest)).fetch_one(connection).await? } else { 0 };
    Ok(Level { done, known, oldest })
}

/// The same for whoever opens it: it has to be one that this program works with, with all of its tables.
pub(super) async fn must_open(connection: &mut PgConnection, part: Part) -> Result<(), StoreError> {
    let level = level(connection, part).await?;
    must_fit(level)?;
    expected::must_have_all(connection, part, level.done.min(level.known)).await
}

/// Refuses what a newer program made, and what is not migrated yet.
fn must_fit(level: Level) -> Result<(), StoreError> {
    if level.oldest > level.known {
        return Err(StoreError::Unavailable(format!(
            "the database has schema {}, which a newer Countersign made; this one knows schemas up to {}: run the newer \
             one, or restore a backup from before the upgrade",
            level.done, level.known
        )));
    }
    if level.done < level.known {
        return Err(StoreError::Unavailable(format!(
            "the database has schema {}, this program wants {}: run `countersign migrate` as the owner of its tables",
            level.done, level.known
        )));
    }
    Ok(())
}

/// Brings a part to the schema of this program and lets `role` work in it. Whoever comes second waits for the first,
/// and finds nothing left to do.
pub(super) async fn migrate(connection: &mut PgConnection, part: Part, role: &str) -> Result<(), StoreError> {
    let schema = part.schema();
    let now = level(connection, part).await?;
    if now.done > now.known {
        return must_fit(now);
    }
    connection.lock().await.map_err(told)?;
    let migrated = async {
        raw_sql(AssertSqlSafe(format!("create schema if not exists {schema}")))
            .execute(&mut *connection)
            .await
            .map_err(owned)?;
        // Its own lock is taken already; a step that waits for a table's lock gives up with `lock_timeout`.
        let mut migrator = part.migrator();
        migrator.set_locking(false).run_direct(None, &mut *connection, false).await.map_err(told)?;
        let through = part.migrations().last().map_or(0, |(number, ..)| *number);
        expected::must_have_all(connection, part, through).await?;
        expected::restore(connection, part).await.map_err(owned)?;
        grant(connection, part, role).await
    }
    .await;
    connection.unlock().await.map_err(told)?;
    migrated
}

/// What the running role may: read and add events, change bookkeeping, and make read models; nothing else.
async fn grant(connection: &mut PgConnection, part: Part, role: &str) -> Result<(), StoreError> {
    let (owner, database): (String, String) = sqlx::query_as("select current_user::text, current_database()::text")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let schema = part.schema();
    let role = identifier(role);
    let mut grants = vec![];
    if part == Part::Log {
        grants.push(format!("create schema if not exists {INLINE}"));
    }
    if identifier(&owner) != role {
        grants.push(format!("grant usage on schema {schema} to {role}"));
        grants.push(format!("grant select, insert, update, delete on all tables in schema {schema} to {role}"));
        grants.push(format!("revoke insert, update, delete on {schema}._sqlx_migrations from {role}"));
        if part == Part::Log {
            grants.push(format!("revoke update, delete, truncate on {schema}.events from {role}"));
            grants.push(format!("revoke delete, truncate on {schema}.head from {role}"));
            grants.push(format!("grant create on database {} to {role}", identifier(&database)));
            grants.push(format!("grant usage, create on schema {INLINE} to {role}"));
        }
    }
    for grant in grants {
        raw_sql(AssertSqlSafe(grant)).execute(&mut *connection).await.map_err(owned)?;
    }
    Ok(())
}

/// A name as SQL writes it.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Of what only the owner may do.
fn owned(error: sqlx::Error) -> StoreError {
    const REMEDY: &str = "name a URL of the owner of the database and its tables in `migrate_database_url`; a vault in \
                          a database of its own is migrated as the role of `vault_url`";
    permitted(error, REMEDY)
}

fn told(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => owned(error),
        error => StoreError::Unavailable(format!("the schema of the database: {error}")),
    }
}

/// Says hello.
pub(super) async fn engine(connection: &mut PgConnection) -> Result<String, StoreError> {
    let version: String =
        query_scalar("select current_setting('server_version')").fetch_one(connection).await.map_err(failed)?;
    Ok(format!("PostgreSQL {version}"))
}
