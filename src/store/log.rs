//! Reading the log: what is asked is equal in both databases.

use async_trait::async_trait;
use countersign_events::{
    ids::EventId,
    recorded::{Position, StreamName, Timestamp, Version},
};

use super::{
    CommandKey, EventLog, Head, LogIdentity, Outcome, Span, StoreError, StoredEvent,
    ask::{Of, Reads, ask},
    convert, examine,
    models::{all, bind_span, numbers, one},
    replay, signed, statements,
};
use crate::judged_time::Anchor;

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
impl<S: Reads> EventLog for S {
    async fn head(&self) -> Result<Head, StoreError> {
        let head = one(self, Of::Log, ask(statements::HEAD), convert::head).await?;
        head.ok_or_else(|| StoreError::Unavailable("the log has lost its head".to_owned()))
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let count = one(self, Of::Log, ask(examine::COUNT), |row| convert::number(row, "number")).await?;
        Ok(count.unwrap_or_default())
    }

    async fn event_id(&self, position: Position) -> Result<Option<EventId>, StoreError> {
        let asked = ask(statements::EVENT_ID_AT).bind(signed(position.0));
        one(self, Of::Log, asked, convert::event_id).await
    }

    async fn cut_after(&self, epoch: u32) -> Result<Option<Position>, StoreError> {
        one(self, Of::Log, ask(statements::NEXT_EPOCH).bind(i64::from(epoch)), convert::position).await
    }

    async fn identity(&self) -> Result<LogIdentity, StoreError> {
        Ok(one(self, Of::Log, ask(statements::SITE), convert::log_identity).await?.unwrap_or_default())
    }

    async fn read_log(&self, after: Position, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let page = ask(statements::READ_LOG).bind(signed(after.0)).bind(i64::from(limit));
        without_gap(after, all(self, Of::Log, page, convert::event).await?)
    }

    async fn replay(&self, after: Position, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        without_gap(after, replay::page(self, after, limit).await?)
    }

    async fn read_stream(&self, stream: &StreamName, after: Version) -> Result<Vec<StoredEvent>, StoreError> {
        let events = ask(statements::READ_STREAM).bind(stream.to_string()).bind(signed(after.0));
        all(self, Of::Log, events, convert::event).await
    }

    async fn newest_of(&self, streams: &[StreamName]) -> Result<Vec<StoredEvent>, StoreError> {
        if streams.is_empty() {
            return Ok(vec![]);
        }
        let streams: Vec<_> = streams.iter().map(ToString::to_string).collect();
        all(self, Of::Log, ask(S::LISTS.newest_of).bind(streams), convert::event).await
    }

    async fn read_at(&self, positions: &[Position]) -> Result<Vec<StoredEvent>, StoreError> {
        if positions.is_empty() {
            return Ok(vec![]);
        }
        all(self, Of::Log, ask(S::LISTS.read_at).bind(numbers(positions)), convert::event).await
    }

    async fn stream_positions(&self, stream: &StreamName, span: Span, limit: u32) -> Result<Vec<Position>, StoreError> {
        let text = if span.newest_first { statements::STREAM_POSITIONS_BACK } else { statements::STREAM_POSITIONS };
        all(self, Of::Log, bind_span(ask(text).bind(stream.to_string()), span, limit), convert::position).await
    }

    async fn of_stream(&self, stream: &StreamName, positions: &[Position]) -> Result<Vec<Position>, StoreError> {
        let statement = ask(S::LISTS.of_stream).bind(stream.to_string()).bind(numbers(positions));
        all(self, Of::Log, statement, convert::position).await
    }

    async fn recorded_before(&self, at: Timestamp) -> Result<Position, StoreError> {
        // Time never runs back along the log, so its place is found by halving.
        let (mut before, mut not_before) = (0, self.head().await?.position.0 + 1);
        while not_before - before > 1 {
            let middle = before.midpoint(not_before);
            let statement = ask(statements::RECORDED_AT).bind(signed(middle));
            let lost = || StoreError::Corrupt { position: Position(middle), detail: "the event is missing".to_owned() };
            let recorded_at = one(self, Of::Log, statement, convert::recorded_at).await?.ok_or_else(lost)?;
            if recorded_at < at { before = middle } else { not_before = middle }
        }
        Ok(Position(before))
    }

    async fn outcome(&self, key: &CommandKey) -> Result<Option<Outcome>, StoreError> {
        let statement = ask(statements::OUTCOME).bind(key.scope.clone()).bind(key.id.clone());
        one(self, Of::Log, statement, convert::outcome).await
    }

    async fn anchor(&self) -> Result<Option<Anchor>, StoreError> {
        one(self, Of::Log, ask(statements::ANCHOR), convert::anchor).await
    }
}
