//! Writing the log. Each statement costs a hop to the connection's thread and back, so what belongs
//! together goes in one: `begin` with the reading of the head, the moving of the head with `commit`.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use countersign_events::{
    ids::{EventId, UserId},
    recorded::{Position, StreamName, Timestamp},
    token::TokenDigest,
};
use countersign_projections::{Change, Kind, Projection, Table, Value};
use sqlx::{AssertSqlSafe, Row, SqliteConnection, query, raw_sql};
use uuid::Uuid;

use super::{
    super::{
        Begun, CommandKey, Cursor, Head, LogWriter, Outcome, StoreError, StoredEvent,
        changes::{Placeholders, Planner, Step, ddl, rungs, value_rows},
        convert,
        facts::Lack,
        statements::{self, event_columns, outcome_columns},
    },
    bind, expected, json,
    placed::Placed,
    purge, signed, unavailable, uses,
};
use crate::judged_time::Anchor;

/// Rows of events and outcomes come in these numbers to a statement.
pub(super) const LADDER: [usize; 4] = [64, 16, 4, 1];

/// `immediate`: the lock is taken now, not when the first row is written, when it could be too late.
/// The row without a stream is the head; the others take one step down the index of their stream.
pub(super) const BEGIN: &str = "begin immediate;\n\
    select null as stream, epoch, position, recorded_at, null as version\nfrom head\nunion all\n\
    select value, null, null, null, (select max(version) from events where stream = value)\nfrom json_each(?)";
pub(super) const COMMIT: &str = "update head\nset epoch = ?, position = ?, recorded_at = ?;\ncommit";
pub(super) const OUTCOMES: &str = concat!(
    "select ",
    outcome_columns!(),
    "\nfrom (select json_extract(value, '$[0]') as one, json_extract(value, '$[1]') as two from json_each(?)) as asked\n\
     cross join outcomes on scope = one and command_id = two"
);
const INSERT_EVENTS: &str = concat!("insert into events (", event_columns!(), ")\nvalues ");
const INSERT_OUTCOMES: &str = concat!("insert into outcomes (", outcome_columns!(), ")\nvalues ");

/// The one writing connection to the log's database.
pub struct SqliteWriter {
    connection: SqliteConnection,
    placed: Placed,
    planner: Planner,
    inserts: HashMap<(&'static str, usize), Arc<str>>,
    /// Whether there is something to undo.
    begun: bool,
}

impl SqliteWriter {
    pub(super) fn new(connection: SqliteConnection, placed: Placed) -> Self {
        let planner = Planner::new(Placeholders::Anonymous);
        Self { connection, placed, planner, inserts: HashMap::new(), begun: false }
    }

    /// What the connection says of itself: `synchronous` (2 is FULL) and `journal_mode`.
    ///
    /// # Errors
    /// [`StoreError`] when it does not answer.
    pub async fn pragmas(&mut self) -> Result<(i64, String), StoreError> {
        let synchronous = query("pragma synchronous").fetch_one(&mut self.connection).await.map_err(unavailable)?;
        let journal_mode = query("pragma journal_mode").fetch_one(&mut self.connection).await.map_err(unavailable)?;
        Ok((synchronous.try_get(0).map_err(unavailable)?, journal_mode.try_get(0).map_err(unavailable)?))
    }

    fn insert_text(&mut self, insert: &'static str, rows: usize, width: usize) -> Arc<str> {
        let text = || {
            format!("{insert}{}", value_rows(rows, std::iter::repeat_n(Kind::Text, width), Placeholders::Anonymous))
                .into()
        };
        Arc::clone(self.inserts.entry((insert, rows)).or_insert_with(text))
    }

    async fn execute(&mut self, statement: &'static str) -> Result<(), StoreError> {
        raw_sql(statement).execute(&mut self.connection).await.map(drop).map_err(unavailable)
    }
}

/// Runs planned statements.
pub(super) async fn run(connection: &mut SqliteConnection, steps: Vec<Step>) -> Result<(), StoreError> {
    for Step { sql, values } in steps {
        let statement = values.into_iter().fold(query(AssertSqlSafe(sql)), bind::value);
        statement.execute(&mut *connection).await.map_err(unavailable)?;
    }
    Ok(())
}

/// Undoes what was begun. `SQLite` may have done so itself, after a full disk for instance.
pub(super) async fn undo(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    match raw_sql("rollback").execute(connection).await {
        Err(sqlx::Error::Database(told)) if told.message().contains("no transaction is active") => Ok(()),
        result => result.map(drop).map_err(unavailable),
    }
}

fn written(rows: u64, meant: usize, what: &str) -> Result<(), StoreError> {
    if usize::try_from(rows) == Ok(meant) {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!("{rows} {what} were written instead of {meant}")))
}

#[async_trait]
impl LogWriter for SqliteWriter {
    async fn begin(&mut self, streams: &[StreamName]) -> Result<Begun, StoreError> {
        self.rollback().await?;
        self.placed.must_hold()?;
        self.begun = true;
        let names: Vec<_> = streams.iter().map(ToString::to_string).collect();
        let rows = query(BEGIN).bind(json(&names)).fetch_all(&mut self.connection).await.map_err(unavailable)?;
        let lost = || StoreError::Unavailable("log.db has lost its head".to_owned());
        let (head, versions) = rows.split_first().ok_or_else(lost)?;
        let versions = versions.iter().filter_map(|row| convert::version(row).transpose());
        Ok(Begun { head: convert::head(head)?, versions: versions.collect::<Result<_, _>>()?, now: None })
    }

    async fn outcomes(&mut self, keys: &[CommandKey]) -> Result<Vec<Outcome>, StoreError> {
        let pairs: Vec<_> = keys.iter().map(|key| (&key.scope, &key.id)).collect();
        let rows = query(OUTCOMES).bind(json(&pairs)).fetch_all(&mut self.connection).await.map_err(unavailable)?;
        rows.iter().map(convert::outcome).collect()
    }

    async fn event_id_at(&mut self, position: Position) -> Result<Option<EventId>, StoreError> {
        let statement = query(statements::EVENT_ID_AT).bind(signed(position.0));
        let row = statement.fetch_optional(&mut self.connection).await.map_err(unavailable)?;
        row.as_ref().map(convert::event_id).transpose()
    }

    async fn insert(&mut self, events: &[StoredEvent]) -> Result<(), StoreError> {
        let mut rest = events;
        for rung in rungs(events.len(), &LADDER) {
            let (now, later) = rest.split_at(rung);
            rest = later;
            let mut statement = query(AssertSqlSafe(self.insert_text(INSERT_EVENTS, rung, 14)));
            for stored in now {
                statement = bind::event(statement, stored)?;
            }
            let done = statement.execute(&mut self.connection).await.map_err(unavailable)?;
            written(done.rows_affected(), rung, "events")?;
        }
        Ok(())
    }

    async fn apply(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        let steps = self.planner.plan(changes);
        run(&mut self.connection, steps).await
    }

    async fn record(&mut self, outcomes: &[Outcome]) -> Result<(), StoreError> {
        let mut rest = outcomes;
        for rung in rungs(outcomes.len(), &LADDER) {
            let (now, later) = rest.split_at(rung);
            rest = later;
            let statement = query(AssertSqlSafe(self.insert_text(INSERT_OUTCOMES, rung, 6)));
            let statement = now.iter().fold(statement, bind::outcome);
            let done = statement.execute(&mut self.connection).await.map_err(unavailable)?;
            written(done.rows_affected(), rung, "outcomes")?;
        }
        Ok(())
    }

    async fn commit(&mut self, head: Head) -> Result<(), StoreError> {
        let statement = query(COMMIT)
            .bind(i64::from(head.epoch))
            .bind(signed(head.position.0))
            .bind(head.recorded_at.timestamp_micros());
        statement.execute(&mut self.connection).await.map_err(unavailable)?;
        self.begun = false;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), StoreError> {
        if self.begun {
            undo(&mut self.connection).await?;
            self.begun = false;
        }
        Ok(())
    }

    /// A data directory has one process, which its lock sees to.
    async fn alone(&mut self) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn together(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn reset_inline(&mut self, projection: &'static Projection) -> Result<(), StoreError> {
        self.begin(&[]).await?;
        let result = async {
            // Until it is built it has no revision: whoever starts next, with whatever revision, builds it.
            let forget = query(statements::FORGET_INLINE_REVISION).bind(projection.name);
            forget.execute(&mut self.connection).await.map_err(unavailable)?;
            for table in projection.tables {
                let drop = format!("drop table if exists {}", table.name);
                for statement in std::iter::once(drop).chain(ddl(table)) {
                    raw_sql(AssertSqlSafe(statement)).execute(&mut self.connection).await.map_err(unavailable)?;
                }
            }
            self.execute("commit").await
        }
        .await;
        match result {
            Ok(()) => self.begun = false,
            Err(_) => self.rollback().await?,
        }
        result
    }

    async fn inline_revision(&mut self, name: &str) -> Result<Option<u32>, StoreError> {
        let statement = query(statements::INLINE_REVISION).bind(name.to_owned());
        let row = statement.fetch_optional(&mut self.connection).await.map_err(unavailable)?;
        let Some(row) = row else { return Ok(None) };
        let revision = convert::number(&row, "revision")?;
        let Some(projection) = countersign_projections::INLINE.iter().find(|inline| inline.name == name) else {
            return Ok(Some(revision));
        };
        let lacks = expected::missing_of(&mut self.connection, projection.name).await?;
        Ok(if lacks.iter().any(Lack::is_table) { None } else { Some(revision) })
    }

    async fn set_inline_revision(&mut self, name: &str, revision: u32) -> Result<(), StoreError> {
        let statement = query(statements::SET_INLINE_REVISION).bind(name.to_owned()).bind(i64::from(revision));
        statement.execute(&mut self.connection).await.map(drop).map_err(unavailable)
    }

    async fn raise_cut_off(&mut self, cut_off: Timestamp) -> Result<(), StoreError> {
        purge::raise_cut_off(&mut self.connection, cut_off).await
    }

    async fn lower_cut_off(&mut self, cut_off: Timestamp) -> Result<(), StoreError> {
        let lower = query(statements::LOWER_CUT_OFF).bind(cut_off.timestamp_micros());
        lower.execute(&mut self.connection).await.map(drop).map_err(unavailable)
    }

    async fn raise_anchor(&mut self, anchor: Anchor) -> Result<Anchor, StoreError> {
        let raise = query(statements::RAISE_ANCHOR)
            .bind(anchor.judged.timestamp_micros())
            .bind(anchor.destroying.timestamp_micros())
            .bind(anchor.watched.timestamp_micros());
        convert::anchor(&raise.fetch_one(&mut self.connection).await.map_err(unavailable)?)
    }

    async fn set_anchor(&mut self, anchor: Anchor) -> Result<(), StoreError> {
        let set = query(statements::SET_ANCHOR)
            .bind(anchor.judged.timestamp_micros())
            .bind(anchor.destroying.timestamp_micros())
            .bind(anchor.watched.timestamp_micros());
        set.execute(&mut self.connection).await.map(drop).map_err(unavailable)
    }

    async fn purge(&mut self, table: &'static Table, limit: u32) -> Result<Vec<Vec<Value>>, StoreError> {
        purge::dead_rows(&mut self.connection, table, limit).await
    }

    async fn forget_outcomes(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        purge::outcomes(&mut self.connection, before, limit).await
    }

    async fn note_uses(&mut self, uses: &[(TokenDigest, Timestamp)]) -> Result<(), StoreError> {
        uses::note(&mut self.connection, uses).await
    }

    async fn forget_uses(&mut self, user: UserId) -> Result<(), StoreError> {
        uses::forget_of(&mut self.connection, user).await
    }

    async fn identify(&mut self, site: Uuid) -> Result<(), StoreError> {
        let set = query(statements::SET_SITE).bind(site.as_bytes().to_vec());
        set.execute(&mut self.connection).await.map(drop).map_err(unavailable)
    }

    async fn note_vault(&mut self, seen: Cursor, lower: bool) -> Result<(), StoreError> {
        let text = if lower { statements::LOWER_VAULT } else { statements::NOTE_VAULT };
        let note = query(text).bind(i64::from(seen.epoch)).bind(signed(seen.position.0));
        note.execute(&mut self.connection).await.map(drop).map_err(unavailable)
    }

    async fn truncate(&mut self) -> Result<bool, StoreError> {
        purge::truncate(&mut self.connection).await
    }
}
