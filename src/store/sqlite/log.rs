//! Reading the log.

use async_trait::async_trait;
use countersign_events::recorded::{Position, StreamName, Timestamp, Version};
use sqlx::{query, sqlite::SqliteRow};

use super::{
    super::{
        CommandKey, EventLog, Head, Outcome, Span, StoreError, StoredEvent,
        statements::{self, event_columns},
    },
    SqliteStore,
    convert::{self, Statement},
    json, replay, signed, unavailable,
};

/// `PostgreSQL` takes a list as an array instead.
pub(super) const READ_AT: &str =
    concat!("select ", event_columns!(), "\nfrom events\nwhere position in (select value from json_each($1))");

/// One look into the index for each stream, however long it is: its last version is at its last position.
pub(super) const NEWEST_OF: &str = concat!(
    "select ",
    event_columns!(),
    "\nfrom events\nwhere position in (\n    \
     select (select position from events where stream = wanted.value order by version desc limit 1)\n    \
     from json_each($1) as wanted\n)"
);

pub(super) const OF_STREAM: &str =
    "select position\nfrom events\nwhere stream = $1 and position in (select value from json_each($2))";

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
        without_gap(after, replay::page(&self.readers, after, limit).await?)
    }

    async fn read_stream(&self, stream: &StreamName, after: Version) -> Result<Vec<StoredEvent>, StoreError> {
        self.events(query(statements::READ_STREAM).bind(stream.to_string()).bind(signed(after.0))).await
    }

    async fn newest_of(&self, streams: &[StreamName]) -> Result<Vec<StoredEvent>, StoreError> {
        if streams.is_empty() {
            return Ok(vec![]);
        }
        let streams: Vec<_> = streams.iter().map(ToString::to_string).collect();
        self.events(query(NEWEST_OF).bind(json(&streams))).await
    }

    async fn read_at(&self, positions: &[Position]) -> Result<Vec<StoredEvent>, StoreError> {
        if positions.is_empty() {
            return Ok(vec![]);
        }
        let positions: Vec<_> = positions.iter().map(|position| signed(position.0)).collect();
        self.events(query(READ_AT).bind(json(&positions))).await
    }

    async fn stream_positions(&self, stream: &StreamName, span: Span, limit: u32) -> Result<Vec<Position>, StoreError> {
        let text = if span.newest_first { statements::STREAM_POSITIONS_BACK } else { statements::STREAM_POSITIONS };
        convert::positions(&self.readers, convert::span(query(text).bind(stream.to_string()), span, limit)).await
    }

    async fn of_stream(&self, stream: &StreamName, positions: &[Position]) -> Result<Vec<Position>, StoreError> {
        let statement = query(OF_STREAM).bind(stream.to_string()).bind(convert::numbers(positions));
        convert::positions(&self.readers, statement).await
    }

    async fn recorded_before(&self, at: Timestamp) -> Result<Position, StoreError> {
        // Time never runs back along the log, so its place is found by halving.
        let (mut before, mut not_before) = (0, self.head().await?.position.0 + 1);
        while not_before - before > 1 {
            let middle = before.midpoint(not_before);
            let statement = query(statements::RECORDED_AT).bind(signed(middle));
            let row = statement.fetch_one(&self.readers).await.map_err(unavailable)?;
            if convert::recorded_at(&row)? < at { before = middle } else { not_before = middle }
        }
        Ok(Position(before))
    }

    async fn outcome(&self, key: &CommandKey) -> Result<Option<Outcome>, StoreError> {
        let statement = query(statements::OUTCOME).bind(key.scope.clone()).bind(key.id.clone());
        let row = statement.fetch_optional(&self.readers).await.map_err(unavailable)?;
        row.as_ref().map(convert::outcome).transpose()
    }
}
