//! The parts of a site in one database or two, read without changing any of them.

use async_trait::async_trait;
use countersign_projections::Projection;
use sqlx::{Connection as _, PgConnection, postgres::PgRow, query, query_scalar};

use super::{
    super::{
        Mark, StoreError, convert,
        parts::{self, LogPart, Looks, ModelPart, Part, Parts, VaultPart},
    },
    failed,
    generations::{self, CURSOR, MARK},
    schema,
    servers::Servers,
    signed,
};

const HAS_TABLE: &str = "select to_regclass($1) is not null";

/// Looks at the parts in these databases.
pub async fn look(log_urls: &str, vault_urls: &str) -> Parts {
    parts::look(|| look_once(log_urls, vault_urls)).await
}

async fn look_once(log_urls: &str, vault_urls: &str) -> Parts {
    let vault = look_at_vault(vault_urls).await.unwrap_or_else(Part::unreadable);
    let seen = vault.held().map(|vault| vault.seen).unwrap_or_default();
    let log = look_at_log(log_urls, seen).await;
    let (log, models) = log.unwrap_or_else(|error| (Part::unreadable(error), vec![]));
    Parts { log, vault, models, has_models: false }
}

async fn look_at_vault(urls: &str) -> Result<Part<VaultPart>, StoreError> {
    let mut vault = Schema { connection: Servers::parse(urls)?.connect(schema::VAULT).await?, name: schema::VAULT };
    let read = parts::vault_in(&mut vault).await;
    drop(vault.connection.close().await);
    read
}

async fn look_at_log(urls: &str, seen: Mark) -> Result<(Part<LogPart>, Vec<ModelPart>), StoreError> {
    let mut log = Schema { connection: Servers::parse(urls)?.connect(schema::LOG).await?, name: schema::LOG };
    let read = parts::log_in(&mut log, seen).await;
    drop(log.connection.close().await);
    read
}

/// The schema of log or vault.
struct Schema {
    connection: PgConnection,
    name: &'static str,
}

#[async_trait]
impl Looks for Schema {
    type Row = PgRow;

    async fn has_table(&mut self, name: &str) -> Result<bool, StoreError> {
        let found = query_scalar(HAS_TABLE).bind(format!("{}.{name}", self.name)).fetch_one(&mut self.connection);
        found.await.map_err(failed)
    }

    async fn row(&mut self, text: &'static str, values: &[i64]) -> Result<Option<PgRow>, StoreError> {
        let asked = values.iter().fold(query(text), |query, value| query.bind(*value));
        asked.fetch_optional(&mut self.connection).await.map_err(failed)
    }

    async fn model(&mut self, projection: &'static Projection, has_ids: bool) -> Result<Option<Mark>, StoreError> {
        // One that is lent is moved by nodes of another release, which look after it.
        let pointer = generations::pointer(&mut self.connection, projection).await?;
        let Some(pointer) = pointer.filter(|pointer| !pointer.lent) else { return Ok(None) };
        let asked = query(if has_ids { MARK } else { CURSOR });
        let asked = asked.bind(projection.name).bind(signed(pointer.generation));
        let Some(row) = asked.fetch_optional(&mut self.connection).await.map_err(failed)? else { return Ok(None) };
        if has_ids {
            return convert::mark(&row).map(Some);
        }
        Ok(Some(Mark { cursor: convert::cursor(&row)?, event: None }))
    }
}
