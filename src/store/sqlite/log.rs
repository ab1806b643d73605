//! Reading the log.

use async_trait::async_trait;
use countersign_events::recorded::{Position, StreamName, Version};
use sqlx::{query, sqlite::SqliteRow};

use super::{
    super::{
        CommandKey, EventFilter, EventLog, Head, Outcome, StoreError, StoredEvent,
        statements::{self, event_columns},
    },
    SqliteStore,
    convert::{self, Statement},
    json, signed, unavailable,
};

/// `PostgreSQL` takes a list as an array instead.
pub(super) const READ_AT: &str =
    concat!("select ", event_columns!(), "\nfrom events\nwhere position in (select value from json_each($1))");

impl SqliteStore {
    async fn events(&self, statement: Statement<'_>) -> Result<Vec<StoredEvent>, StoreError> {
        let rows: Vec<SqliteRow> = statement.fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(convert::event).collect()
    }
}

/// A missing event is arithmetic.
fn without_gap(after: Position, page: Vec<StoredEvent>) -> Result<Vec<StoredEvent>, StoreError> {
    let mut expected = after;
    for stored in &page {
        expected = expected.next();
        let found = stored.envelope.position;
        if found != expected {
            let detail = format!("the log has a gap: the next event is at position {found}");
            return Err(StoreError::Corrupt { position: expected, detail });
        }
    }
    Ok(page)
}

#[async_trait]
impl EventLog for SqliteStore {
    async fn head(&self) -> Result<Head, StoreError> {
        let row = query(statements::HEAD).fetch_one(&self.readers).await.map_err(unavailable)?;
        convert::head(&row)
    }

    async fn read_log(&self, after: Position, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let page = self.events(query(statements::READ_LOG).bind(signed(after.0)).bind(i64::from(limit))).await?;
        without_gap(after, page)
    }

    async fn replay(&self, after: Position, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let statement = query(statements::REPLAY).bind(signed(after.0)).bind(i64::from(limit));
        let rows = statement.fetch_all(&self.readers).await.map_err(unavailable)?;
        without_gap(after, rows.iter().map(convert::replayed).collect::<Result<_, _>>()?)
    }

    async fn read_stream(&self, stream: &StreamName, after: Version) -> Result<Vec<StoredEvent>, StoreError> {
        self.events(query(statements::READ_STREAM).bind(stream.to_string()).bind(signed(after.0))).await
    }

    async fn read_at(&self, positions: &[Position]) -> Result<Vec<StoredEvent>, StoreError> {
        if positions.is_empty() {
            return Ok(vec![]);
        }
        let positions: Vec<_> = positions.iter().map(|position| signed(position.0)).collect();
        self.events(query(READ_AT).bind(json(&positions))).await
    }

    async fn list(&self, filter: &EventFilter, after: Position, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let (after, limit) = (signed(after.0), i64::from(limit));
        let statement = match (&filter.stream, &filter.type_name) {
            (None, None) => query(statements::READ_LOG).bind(after).bind(limit),
            (None, Some(name)) => query(statements::LIST_TYPE).bind(after).bind(limit).bind(name.clone()),
            (Some(stream), None) => query(statements::LIST_STREAM).bind(stream.to_string()).bind(after).bind(limit),
            (Some(stream), Some(name)) => {
                query(statements::LIST_STREAM_TYPE).bind(stream.to_string()).bind(after).bind(limit).bind(name.clone())
            }
        };
        self.events(statement).await
    }

    async fn outcome(&self, key: &CommandKey) -> Result<Option<Outcome>, StoreError> {
        let statement = query(statements::OUTCOME).bind(key.scope.clone()).bind(key.id.clone());
        let row = statement.fetch_optional(&self.readers).await.map_err(unavailable)?;
        row.as_ref().map(convert::outcome).transpose()
    }
}
