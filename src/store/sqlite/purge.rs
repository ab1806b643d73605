//! What leaves the log's database and the generations: dead rows, old outcomes, and copies of texts that were made
//! null. Each is a short piece of work on a writing connection, outside a transaction; when to do it is the caller's.

use std::time::Duration;

use countersign_events::recorded::Timestamp;
use countersign_projections::{Table, Value, tokens::TOKENS};
use sqlx::{AssertSqlSafe, Row, SqliteConnection, query, raw_sql};

use super::{
    super::{StoreError, changes, convert, statements},
    unavailable, uses,
    writer::undo,
};

/// How long scrubbing waits for readers to let go of the write-ahead log.
const SCRUB_WAIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Answers one row: busy, frames in the write-ahead log, frames moved.
pub(super) const TRUNCATE: &str = "pragma wal_checkpoint(truncate)";
/// Says that a generation's file may hold copies of texts that were made null; part of the transaction that did.
pub(super) const WANT_SCRUB: &str = "pragma user_version = 1";
const SCRUB_DONE: &str = "pragma user_version = 0";
const IS_SCRUB_WANTED: &str = "pragma user_version";

pub(super) async fn raise_cut_off(connection: &mut SqliteConnection, cut_off: Timestamp) -> Result<(), StoreError> {
    let raise = query(statements::RAISE_CUT_OFF).bind(cut_off.timestamp_micros());
    raise.execute(connection).await.map(drop).map_err(unavailable)
}

/// In one transaction, so that no crash leaves the use of a token that is gone.
pub(super) async fn dead_rows(
    connection: &mut SqliteConnection,
    table: &'static Table,
    limit: u32,
) -> Result<Vec<Vec<Value>>, StoreError> {
    raw_sql("begin immediate").execute(&mut *connection).await.map_err(unavailable)?;
    let work = async {
        let keys = delete_dead(connection, table, limit).await?;
        if *table == TOKENS && !keys.is_empty() {
            uses::forget(connection, &keys).await?;
        }
        raw_sql("commit").execute(&mut *connection).await.map_err(unavailable)?;
        Ok(keys)
    };
    let result = work.await;
    if result.is_err() {
        undo(connection).await?;
    }
    result
}

async fn delete_dead(
    connection: &mut SqliteConnection,
    table: &'static Table,
    limit: u32,
) -> Result<Vec<Vec<Value>>, StoreError> {
    let row = query(statements::CUT_OFF).fetch_one(&mut *connection).await.map_err(unavailable)?;
    let cut_off = convert::cut_off(&row)?;
    let mut keys = vec![];
    for column in table.ends {
        let left = i64::from(limit).saturating_sub_unsigned(keys.len() as u64);
        if left <= 0 {
            break;
        }
        let delete = query(AssertSqlSafe(changes::purge(table, column))).bind(cut_off.timestamp_micros()).bind(left);
        let deleted = delete.fetch_all(&mut *connection).await.map_err(unavailable)?;
        for row in &deleted {
            keys.push(convert::values(row, table.key.iter().map(|column| column.kind))?);
        }
    }
    Ok(keys)
}

pub(super) async fn outcomes(
    connection: &mut SqliteConnection,
    before: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    let forget = query(statements::FORGET_OUTCOMES).bind(before.timestamp_micros()).bind(i64::from(limit));
    Ok(forget.execute(connection).await.map_err(unavailable)?.rows_affected())
}

/// Moves the write-ahead log into the database and cuts it to nothing. `false`: a reader was in the way, which
/// `SQLite` says in the row, not as an error.
pub(super) async fn truncate(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let row = raw_sql(TRUNCATE).fetch_one(connection).await.map_err(unavailable)?;
    Ok(row.try_get::<i64, _>(0).map_err(unavailable)? == 0)
}

pub(super) async fn is_scrub_wanted(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let row = raw_sql(IS_SCRUB_WANTED).fetch_one(connection).await.map_err(unavailable)?;
    Ok(row.try_get::<i64, _>(0).map_err(unavailable)? != 0)
}

/// Writes the whole file anew: `secure_delete` alone leaves stale copies where a row moved between pages. Readers go
/// on meanwhile. Whether it is done; it is not while a reader holds on to the write-ahead log.
pub(super) async fn scrub(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    raw_sql("vacuum").execute(&mut *connection).await.map_err(unavailable)?;
    let attempts = async {
        while !truncate(connection).await? {
            tokio::time::sleep(PAUSE).await;
        }
        raw_sql(SCRUB_DONE).execute(&mut *connection).await.map(drop).map_err(unavailable)
    };
    tokio::time::timeout(SCRUB_WAIT, attempts).await.map_or(Ok(false), |done| done.map(|()| true))
}
