//! The parts of a site in one database or two, read without changing any of them.

use countersign_events::{ids::EventId, recorded::Position};
use countersign_projections::TRAILING;
use sqlx::{Connection as _, PgConnection, postgres::PgRow, query, query_scalar};

use super::{
    super::{
        Cursor, Mark, StoreError, convert,
        parts::{LogPart, ModelPart, Part, Parts, RACES, VaultPart},
        statements, vault,
    },
    failed,
    generations::{self, CURSOR, MARK},
    schema,
    servers::Servers,
    signed,
};

const HAS_TABLE: &str = "select to_regclass($1) is not null";
const LAST: &str = "select position, event_id\nfrom events\norder by position desc\nlimit 1";

/// Looks at the parts in these databases.
pub async fn look(log_urls: &str, vault_urls: &str) -> Parts {
    let mut parts = look_once(log_urls, vault_urls).await;
    for _ in 0..RACES {
        if !parts.vault_is_behind() {
            break;
        }
        parts = look_once(log_urls, vault_urls).await;
    }
    parts
}

async fn look_once(log_urls: &str, vault_urls: &str) -> Parts {
    let vault = look_at_vault(vault_urls).await.unwrap_or_else(unreadable);
    let seen = vault.held().map(|vault| vault.seen).unwrap_or_default();
    let mut models = vec![];
    let log = look_at_log(log_urls, seen, &mut models).await.unwrap_or_else(unreadable);
    Parts { log, vault, models, has_models: false }
}

fn unreadable<T>(error: StoreError) -> Part<T> {
    Part::Unreadable(match error {
        StoreError::Unavailable(told) => told,
        error => error.to_string(),
    })
}

async fn row(connection: &mut PgConnection, text: &'static str) -> Result<Option<PgRow>, StoreError> {
    query(text).fetch_optional(connection).await.map_err(failed)
}

async fn has_table(connection: &mut PgConnection, name: &str) -> Result<bool, StoreError> {
    query_scalar(HAS_TABLE).bind(name.to_owned()).fetch_one(connection).await.map_err(failed)
}

async fn look_at_vault(urls: &str) -> Result<Part<VaultPart>, StoreError> {
    let mut connection = Servers::parse(urls)?.connect(schema::VAULT).await?;
    let read = async {
        if !has_table(&mut connection, "countersign_vault.data_keys").await? {
            return Ok(Part::Missing);
        }
        let site_key = row(&mut connection, vault::statements::SITE_KEY).await?;
        let site_key = site_key.as_ref().map(vault::site_key).transpose()?;
        let identity = if has_table(&mut connection, "countersign_vault.site").await? {
            row(&mut connection, vault::statements::SITE).await?
        } else {
            None
        };
        let identity = identity.as_ref().map(vault::identity).transpose()?;
        let holds = row(&mut connection, vault::statements::HOLDS).await?.is_some();
        let seen = identity.map(|identity| identity.seen).unwrap_or_default();
        let is_fresh = !holds && seen == Mark::default();
        if is_fresh && site_key.is_none() {
            return Ok(Part::Empty);
        }
        let site = identity.map(|identity| identity.site);
        Ok(Part::Holds(VaultPart { site, seen, site_key, is_fresh }))
    }
    .await;
    drop(connection.close().await);
    read
}

async fn look_at_log(urls: &str, seen: Mark, models: &mut Vec<ModelPart>) -> Result<Part<LogPart>, StoreError> {
    let mut connection = Servers::parse(urls)?.connect(schema::LOG).await?;
    let read = async {
        if !has_table(&mut connection, "countersign.events").await? {
            return Ok(Part::Missing);
        }
        let Some(last) = row(&mut connection, LAST).await? else { return Ok(Part::Empty) };
        let headless = || StoreError::Unavailable("it has lost its head".to_owned());
        let head = convert::head(&row(&mut connection, statements::HEAD).await?.ok_or_else(headless)?)?;
        let end = Mark {
            cursor: Cursor { epoch: head.epoch, position: convert::position(&last)? },
            event: Some(convert::event_id(&last)?),
        };
        let has_site = has_table(&mut connection, "countersign.site").await?;
        let identity = if has_site { row(&mut connection, statements::SITE).await? } else { None };
        let identity = identity.as_ref().map(convert::log_identity).transpose()?.unwrap_or_default();
        let at_seen = event_at(&mut connection, seen.cursor.position).await?;
        let next =
            query(statements::NEXT_EPOCH).bind(i64::from(seen.cursor.epoch)).fetch_optional(&mut connection).await;
        let cut = next.map_err(failed)?.as_ref().map(convert::position).transpose()?;
        for projection in TRAILING {
            let name = projection.name;
            // One that is lent is moved by nodes of another release, which look after it.
            let pointer = generations::pointer(&mut connection, projection).await?;
            let Some(generation) = pointer.filter(|pointer| !pointer.lent).map(|pointer| pointer.generation) else {
                continue;
            };
            let text = if has_site { MARK } else { CURSOR };
            let row = query(text).bind(name).bind(signed(generation)).fetch_optional(&mut connection).await;
            let Some(row) = row.map_err(failed)? else { continue };
            let mark =
                if has_site { convert::mark(&row)? } else { Mark { cursor: convert::cursor(&row)?, event: None } };
            let in_log = event_at(&mut connection, mark.cursor.position).await?;
            models.push(ModelPart { name, mark, in_log });
        }
        Ok(Part::Holds(LogPart { identity, end, at_seen, cut }))
    }
    .await;
    drop(connection.close().await);
    read
}

async fn event_at(connection: &mut PgConnection, position: Position) -> Result<Option<EventId>, StoreError> {
    let found = query(statements::EVENT_ID_AT).bind(signed(position.0)).fetch_optional(connection).await;
    found.map_err(failed)?.as_ref().map(convert::event_id).transpose()
}
