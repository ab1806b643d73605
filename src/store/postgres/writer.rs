//! Writing the log. The head's row is locked first and moved last; what happens in between is as few trips to the
//! server as there are kinds of rows. A connection whose last word is unknown is never used again.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use countersign_events::{
    ids::{EventId, UserId},
    recorded::{Position, StreamName, Timestamp},
    token::TokenDigest,
};
use countersign_projections::{Change, Projection, Table, Value, tokens::TOKENS};
use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr, postgres::PgRow, query, raw_sql};
use tokio::{sync::watch, time::timeout};
use uuid::Uuid;

use super::{
    super::{
        Begun, CommandKey, Cursor, Head, LogWriter, Outcome, StoreError, StoredEvent,
        changes::{Placeholders, Planner, Step, postgres_ddl, purge},
        convert,
        facts::Lack,
        from_micros, signed,
        statements::{self, event_columns, outcome_columns},
    },
    CHANNEL,
    bind::{self, Statement},
    expected, failed, late,
    schema::{INLINE, LOG},
    servers::{Servers, answer},
};
use crate::judged_time::Anchor;

/// A statement that takes longer has no answer for us: what became of it is unknown.
const PATIENCE: Duration = Duration::from_secs(15);

/// Begins, and waits for the lock. What it then says of the head is what the last commit left.
pub(super) const BEGIN: &str = "begin;\n\
    select epoch, position, recorded_at, (select timeline from epochs order by epoch desc limit 1) as timeline\n\
    from head\nfor update";
/// Under the lock, in a statement of its own: it sees what the one before waited for. The row without a stream is the
/// server's clock and timeline; the others take one step down the index of their stream.
pub(super) const VERSIONS: &str = "select null::text as stream,\n    \
    (extract(epoch from clock_timestamp()) * 1000000)::bigint as version,\n    \
    substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as timeline\nunion all\n\
    select stream, (\n        select version\n        from events\n        where events.stream = wanted.stream\n        \
    order by version desc\n        limit 1\n    ), null\nfrom unnest($1::text[]) as wanted (stream)";
pub(super) const TIMELINE: &str = "select timeline\nfrom epochs\norder by epoch desc\nlimit 1";
pub(super) const BEGIN_EPOCH: &str = "insert into epochs (epoch, began_after, recorded_at, timeline)\n\
    values ($1, $2, $3, $4)";
pub(super) const OUTCOMES: &str = concat!(
    "select ",
    outcome_columns!(),
    "\nfrom unnest($1::text[], $2::text[]) as asked (one, two)\njoin outcomes on scope = one and command_id = two"
);
pub(super) const INSERT_EVENTS: &str = concat!(
    "insert into events (",
    event_columns!(),
    ")\nselect *\nfrom unnest($1::bigint[], $2::bytea[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[],\n    ",
    "$8::text[], $9::text[], $10::bytea[], $11::text[], $12::text[], $13::bytea[], $14::text[])"
);
pub(super) const INSERT_OUTCOMES: &str = concat!(
    "insert into outcomes (",
    outcome_columns!(),
    ")\nselect *\nfrom unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bigint[], $6::bigint[])"
);
/// Every writer holds this lock together with the others; whoever builds inline read models holds it alone.
pub(super) const WRITE_TOGETHER: &str = "set lock_timeout = 0;\n\
    select pg_advisory_lock_shared(hashtext('countersign'), 0);\nset lock_timeout = '5s'";
pub(super) const BE_ALONE: &str =
    "select case when pg_try_advisory_lock(hashtext('countersign'), 0) then 1 else 0 end::bigint as alone";
pub(super) const BE_TOGETHER: &str = "select pg_advisory_unlock(hashtext('countersign'), 0)";
/// The joins leave out what must not come back: uses of tokens that have gone meanwhile, and of members who were erased.
pub(super) const NOTE_USES: &str = "insert into token_uses (digest, used_at)\n\
    select tokens.digest, given.used_at\nfrom unnest($1::bytea[], $2::bigint[]) as given (digest, used_at)\n\
    join tokens on tokens.digest = given.digest\njoin accounts on accounts.user_id = tokens.user_id\n\
    where accounts.standing <> 'erased'\n\
    on conflict (digest) do update set used_at = excluded.used_at\nwhere excluded.used_at > token_uses.used_at";
pub(super) const FORGET_USES: &str = "delete from token_uses\nwhere digest = any($1)";

/// The writing connection of a node.
pub struct PostgresWriter {
    servers: Arc<Servers>,
    /// None while there is none: the next statement makes one.
    connection: Option<PgConnection>,
    /// Tells when another server than that of the connection takes writes.
    moves: watch::Receiver<usize>,
    planner: Planner,
    begun: bool,
}

impl PostgresWriter {
    pub(super) fn new(servers: Arc<Servers>) -> Self {
        let moves = servers.moves_from(servers.found());
        Self { servers, connection: None, moves, planner: Planner::new(Placeholders::Numbered), begun: false }
    }

    /// The connection. One that was lost within a transaction is not replaced: what was begun on it is undone.
    async fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        // Of a server that another was promoted in the place of.
        if !self.begun && self.moves.has_changed().unwrap_or(true) {
            self.connection = None;
        }
        if self.connection.is_none() {
            if self.begun {
                return Err(StoreError::Unavailable("the connection was lost within a transaction".to_owned()));
            }
            let (server, mut connection) = self.servers.find(&format!("{INLINE}, {LOG}")).await?;
            let joined = timeout(PATIENCE, raw_sql(WRITE_TOGETHER).execute(&mut connection)).await;
            joined
                .map_err(|_| StoreError::Unavailable("another node is building read models: try again".to_owned()))?
                .map_err(failed)?;
            (self.connection, self.moves) = (Some(connection), self.servers.moves_from(server));
        }
        self.connection.as_mut().ok_or_else(|| StoreError::Unavailable("there is no connection".to_owned()))
    }

    /// Sends something and waits for what comes of it. When that leaves open what the server did, or took too long, the
    /// connection is cut: nothing that it says later is heard.
    async fn send<T>(
        &mut self,
        send: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        self.connection().await?;
        let mut moves = self.moves.clone();
        let connection = self.connection().await?;
        let (cut, error) = match answer(&mut moves, PATIENCE, send(connection)).await {
            Some(Ok(value)) => return Ok(value),
            Some(Err(error)) => (leaves_open(&error), failed(error)),
            None => (true, late()),
        };
        if cut {
            self.connection = None;
        }
        Err(error)
    }

    async fn rows(&mut self, statement: Statement<'_>) -> Result<Vec<PgRow>, StoreError> {
        self.send(async |connection| statement.fetch_all(connection).await).await
    }

    async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, StoreError> {
        self.send(async |connection| statement.execute(connection).await).await.map(|done| done.rows_affected())
    }

    /// Several statements in one trip, without values.
    async fn raw(&mut self, text: impl SqlSafeStr) -> Result<Vec<PgRow>, StoreError> {
        self.send(async |connection| raw_sql(text).fetch_all(connection).await).await
    }

    /// The timeline of the newest epoch. What [`BEGIN`] said of it may be from before it waited for the lock.
    async fn timeline(&mut self) -> Result<String, StoreError> {
        let rows = self.rows(query(TIMELINE)).await?;
        let lost = || StoreError::Unavailable("the database has lost its epochs".to_owned());
        Ok(convert::text(rows.first().ok_or_else(lost)?, "timeline")?.to_owned())
    }

    async fn run(&mut self, steps: Vec<Step>) -> Result<(), StoreError> {
        for Step { sql, values } in steps {
            self.execute(values.into_iter().fold(query(AssertSqlSafe(sql)), bind::value)).await?;
        }
        Ok(())
    }

    /// Does something between `begin` and `commit`, without the lock of the head.
    async fn finish<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match result {
            Ok(value) => {
                self.raw("commit").await?;
                self.begun = false;
                Ok(value)
            }
            Err(error) => {
                self.rollback().await?;
                Err(error)
            }
        }
    }

    async fn delete_dead(&mut self, table: &'static Table, limit: u32) -> Result<Vec<Vec<Value>>, StoreError> {
        let rows = self.rows(query(statements::CUT_OFF)).await?;
        let lost = || StoreError::Unavailable("the database has lost its cut-off".to_owned());
        let cut_off = convert::cut_off(rows.first().ok_or_else(lost)?)?;
        let mut keys = vec![];
        for column in table.ends {
            let left = i64::from(limit).saturating_sub_unsigned(keys.len() as u64);
            if left <= 0 {
                break;
            }
            let delete = query(AssertSqlSafe(purge(table, column))).bind(cut_off.timestamp_micros()).bind(left);
            for row in &self.rows(delete).await? {
                keys.push(convert::values(row, table.key.iter().map(|column| column.kind))?);
            }
        }
        let digest = |value: &Value| match value {
            Value::Bytes(digest) => Some(digest.clone()),
            _ => None,
        };
        if *table == TOKENS && !keys.is_empty() {
            let digests: Vec<_> = keys.iter().flatten().filter_map(digest).collect();
            self.execute(query(FORGET_USES).bind(digests)).await?;
        }
        Ok(keys)
    }
}

/// Whether an error leaves open what the server did, or says that it ends the session.
pub(super) fn leaves_open(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(told) => {
            told.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
        }
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::RowNotFound
        | sqlx::Error::Encode(_) => false,
        _ => true,
    }
}

fn written(rows: u64, meant: usize, what: &str) -> Result<(), StoreError> {
    if usize::try_from(rows) == Ok(meant) {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!("{rows} {what} were written instead of {meant}")))
}

#[async_trait]
impl LogWriter for PostgresWriter {
    async fn begin(&mut self, streams: &[StreamName]) -> Result<Begun, StoreError> {
        self.rollback().await?;
        // Before the first statement of a transaction a connection may still be made.
        let mut moves = self.moves.clone();
        let connection = self.connection().await?;
        let asked = answer(&mut moves, PATIENCE, raw_sql(BEGIN).fetch_all(connection)).await;
        let was_cut = matches!(&asked, Some(Err(error)) if leaves_open(error));
        if was_cut || asked.is_none() {
            self.connection = None;
        }
        let rows = match asked {
            // It was cut while nobody used it, and nothing was begun: another one may do.
            _ if was_cut => {
                self.connection().await?;
                self.begun = true;
                self.raw(BEGIN).await?
            }
            asked => asked.ok_or_else(late)?.map_err(failed)?,
        };
        self.begun = true;
        let lost = || StoreError::Unavailable("the database has lost its head".to_owned());
        let row = rows.first().ok_or_else(lost)?;
        let (mut head, timeline) = (convert::head(row)?, convert::text(row, "timeline")?);
        let names: Vec<_> = streams.iter().map(ToString::to_string).collect();
        let rows = self.rows(query(VERSIONS).bind(names)).await?;
        let (server, versions) = rows.split_first().ok_or_else(lost)?;
        let now = from_micros(convert::integer(server, "version")?);
        let timeline_now = convert::text(server, "timeline")?;
        if timeline_now != timeline && self.timeline().await? != timeline_now {
            // A standby was promoted: what the old server had and this one has not is lost, and whoever saw it must
            // be able to tell.
            head.epoch += 1;
            let epoch = query(BEGIN_EPOCH)
                .bind(i64::from(head.epoch))
                .bind(signed(head.position.0))
                .bind(now.timestamp_micros())
                .bind(timeline_now.to_owned());
            self.execute(epoch).await?;
        }
        let versions = versions.iter().filter_map(|row| convert::version(row).transpose());
        Ok(Begun { head, versions: versions.collect::<Result<_, _>>()?, now: Some(now) })
    }

    async fn outcomes(&mut self, keys: &[CommandKey]) -> Result<Vec<Outcome>, StoreError> {
        let (scopes, ids): (Vec<_>, Vec<_>) = keys.iter().map(|key| (key.scope.clone(), key.id.clone())).unzip();
        let rows = self.rows(query(OUTCOMES).bind(scopes).bind(ids)).await?;
        rows.iter().map(convert::outcome).collect()
    }

    async fn event_id_at(&mut self, position: Position) -> Result<Option<EventId>, StoreError> {
        let rows = self.rows(query(statements::EVENT_ID_AT).bind(signed(position.0))).await?;
        rows.first().map(convert::event_id).transpose()
    }

    async fn insert(&mut self, events: &[StoredEvent]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let rows = self.execute(bind::events(query(INSERT_EVENTS), events)?).await?;
        written(rows, events.len(), "events")
    }

    async fn apply(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        let steps = self.planner.plan(changes);
        self.run(steps).await
    }

    async fn record(&mut self, outcomes: &[Outcome]) -> Result<(), StoreError> {
        if outcomes.is_empty() {
            return Ok(());
        }
        let rows = self.execute(bind::outcomes(query(INSERT_OUTCOMES), outcomes)).await?;
        written(rows, outcomes.len(), "outcomes")
    }

    async fn commit(&mut self, head: Head) -> Result<(), StoreError> {
        // Numbers only, and one trip: the others wait for this one.
        let text = format!(
            "update head\nset epoch = {}, position = {}, recorded_at = {};\nnotify {CHANNEL};\ncommit",
            head.epoch,
            signed(head.position.0),
            head.recorded_at.timestamp_micros()
        );
        self.raw(AssertSqlSafe(text)).await?;
        self.begun = false;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), StoreError> {
        if self.begun && self.connection.is_some() {
            let result = self.raw("rollback").await;
            // A connection that cannot even undo is of no use; the server undoes what is left of it.
            if result.is_err() {
                self.connection = None;
            }
        }
        self.begun = false;
        Ok(())
    }

    async fn alone(&mut self) -> Result<bool, StoreError> {
        let rows = self.rows(query(BE_ALONE)).await?;
        Ok(rows.first().map(|row| convert::integer(row, "alone")).transpose()? == Some(1))
    }

    async fn together(&mut self) -> Result<(), StoreError> {
        self.rows(query(BE_TOGETHER)).await.map(drop)
    }

    async fn reset_inline(&mut self, projection: &'static Projection) -> Result<(), StoreError> {
        self.begin(&[]).await?;
        let result = async {
            // Until it is built it has no revision: whoever starts next, with whatever revision, builds it.
            self.execute(query(statements::FORGET_INLINE_REVISION).bind(projection.name)).await?;
            // Only where it is gone: the right to make one is asked for even when there is one.
            let schema = format!(
                "do $$ begin if to_regnamespace('{INLINE}') is null then create schema {INLINE}; end if; end $$"
            );
            self.raw(AssertSqlSafe(schema)).await?;
            for table in projection.tables {
                let drop = format!("drop table if exists {INLINE}.{}", table.name);
                for statement in std::iter::once(drop).chain(postgres_ddl(table)) {
                    self.raw(AssertSqlSafe(statement)).await?;
                }
            }
            Ok(())
        }
        .await;
        self.finish(result).await
    }

    async fn inline_revision(&mut self, name: &str) -> Result<Option<u32>, StoreError> {
        let rows = self.rows(query(statements::INLINE_REVISION).bind(name.to_owned())).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let revision = convert::number(row, "revision")?;
        let Some(projection) = countersign_projections::INLINE.iter().find(|inline| inline.name == name) else {
            return Ok(Some(revision));
        };
        let lacks = self.send(async |connection| expected::missing_of(connection, INLINE, projection).await).await?;
        Ok(if lacks.iter().any(Lack::is_table) { None } else { Some(revision) })
    }

    async fn set_inline_revision(&mut self, name: &str, revision: u32) -> Result<(), StoreError> {
        let set = query(statements::SET_INLINE_REVISION).bind(name.to_owned()).bind(i64::from(revision));
        self.execute(set).await.map(drop)
    }

    async fn raise_cut_off(&mut self, cut_off: Timestamp) -> Result<(), StoreError> {
        self.execute(query(statements::RAISE_CUT_OFF).bind(cut_off.timestamp_micros())).await.map(drop)
    }

    async fn lower_cut_off(&mut self, cut_off: Timestamp) -> Result<(), StoreError> {
        self.execute(query(statements::LOWER_CUT_OFF).bind(cut_off.timestamp_micros())).await.map(drop)
    }

    async fn raise_anchor(&mut self, anchor: Anchor) -> Result<Anchor, StoreError> {
        let raise = query(statements::RAISE_ANCHOR)
            .bind(anchor.judged.timestamp_micros())
            .bind(anchor.destroying.timestamp_micros())
            .bind(anchor.watched.timestamp_micros());
        let rows = self.rows(raise).await?;
        let lost = || StoreError::Unavailable("the database did not store what time it is".to_owned());
        convert::anchor(rows.first().ok_or_else(lost)?)
    }

    async fn set_anchor(&mut self, anchor: Anchor) -> Result<(), StoreError> {
        let set = query(statements::SET_ANCHOR)
            .bind(anchor.judged.timestamp_micros())
            .bind(anchor.destroying.timestamp_micros())
            .bind(anchor.watched.timestamp_micros());
        self.execute(set).await.map(drop)
    }

    /// In one transaction, so that no crash leaves the use of a token that is gone.
    async fn purge(&mut self, table: &'static Table, limit: u32) -> Result<Vec<Vec<Value>>, StoreError> {
        self.raw("begin").await?;
        self.begun = true;
        let result = self.delete_dead(table, limit).await;
        self.finish(result).await
    }

    async fn forget_outcomes(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let forget = query(statements::FORGET_OUTCOMES).bind(before.timestamp_micros()).bind(i64::from(limit));
        self.execute(forget).await
    }

    async fn note_uses(&mut self, uses: &[(TokenDigest, Timestamp)]) -> Result<(), StoreError> {
        let (digests, times): (Vec<_>, Vec<_>) =
            uses.iter().map(|(digest, at)| (digest.as_bytes().to_vec(), at.timestamp_micros())).unzip();
        self.execute(query(NOTE_USES).bind(digests).bind(times)).await.map(drop)
    }

    async fn forget_uses(&mut self, user: UserId) -> Result<(), StoreError> {
        self.execute(query(statements::FORGET_USES_OF).bind(user.to_string())).await.map(drop)
    }

    async fn identify(&mut self, site: Uuid) -> Result<(), StoreError> {
        self.execute(query(statements::SET_SITE).bind(site.as_bytes().to_vec())).await.map(drop)
    }

    async fn note_vault(&mut self, seen: Cursor, lower: bool) -> Result<(), StoreError> {
        let text = if lower { statements::LOWER_VAULT } else { statements::NOTE_VAULT };
        let note = query(text).bind(i64::from(seen.epoch)).bind(signed(seen.position.0));
        self.execute(note).await.map(drop)
    }

    /// There is no file beside the database that is ours to cut: what was deleted stays in the server's write-ahead
    /// log and base backups until they are recycled.
    async fn truncate(&mut self) -> Result<bool, StoreError> {
        Ok(true)
    }
}
