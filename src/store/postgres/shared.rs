//! What nodes say to each other through the database.

use std::time::Duration;

use async_trait::async_trait;
use countersign_events::recorded::Timestamp;
use sqlx::{
    Connection as _, PgConnection, PgPool,
    postgres::{PgListener, PgRow},
    query, raw_sql,
};
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};
use uuid::Uuid;

use super::{
    super::{
        StoreError, convert, from_micros,
        shared::{Proof, Shared, Woken},
    },
    CHANNEL, FOLLOWED, PostgresStore, SWITCHED, failed, late,
    schema::LOG,
};

/// A proof that takes longer proves nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// The message is written to the write-ahead log and nowhere else. Its transaction is committed as every other is, so a
/// server that was cut off from its standby does not answer; the head is read after it.
pub(super) const PROVE: &str = "begin;\n\
    select pg_logical_emit_message(true, 'countersign', '');\n\
    commit;\n\
    select epoch, position, recorded_at, (extract(epoch from clock_timestamp()) * 1000000)::bigint as now\n\
    from head";
/// By the server's clock. The number rises with each other holder. A lease that lasts longer than any is given out for was
/// written before that clock went back: it holds nobody up.
pub(super) const LEASE: &str = "insert into leases as held (name, holder, number, until)\n\
    values ($1, $2, 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint + $3)\n\
    on conflict (name) do update\n\
    set holder = excluded.holder, until = excluded.until,\n    \
    number = held.number + case when held.holder = excluded.holder then 0 else 1 end\n\
    where held.holder = excluded.holder\n\
    or held.until < (extract(epoch from clock_timestamp()) * 1000000)::bigint\n\
    or held.until > (extract(epoch from clock_timestamp()) * 1000000)::bigint + 2 * $3\nreturning number";
pub(super) const RELEASE: &str = "update leases\nset until = 0\nwhere name = $1 and holder = $2";

/// Connections that a node has beside those that read and write.
#[derive(Default)]
pub(super) struct Ears {
    /// With what tells that another server takes writes: then there is nothing more to hear of this one.
    listener: Mutex<Option<(PgListener, watch::Receiver<usize>)>>,
    prover: Mutex<Option<PgConnection>>,
}

impl PostgresStore {
    async fn listener(&self) -> Result<(PgListener, watch::Receiver<usize>), StoreError> {
        let (server, pool): (_, PgPool) = self.servers.readers(LOG, 1).await?;
        let mut listener = PgListener::connect_with(&pool).await.map_err(failed)?;
        // A new one looks for the server that takes writes; this one would go on with the one that it had.
        listener.eager_reconnect(false);
        listener.listen_all([CHANNEL, FOLLOWED, SWITCHED]).await.map_err(failed)?;
        Ok((listener, self.servers.moves_from(server)))
    }

    async fn proof(&self, connection: &mut Option<PgConnection>) -> Result<Proof, StoreError> {
        // Taken out: when this is given up halfway, so is the connection.
        let mut taken = match connection.take() {
            Some(taken) => taken,
            None => self.servers.connect(LOG).await?,
        };
        // Given up when it takes too long: then another server may have been promoted.
        let attempt = self.servers.attempt(self.servers.found());
        let rows = raw_sql(PROVE).fetch_all(&mut taken).await;
        attempt.end();
        let rows: Vec<PgRow> = rows.map_err(failed)?;
        let lost = || StoreError::Unavailable("the database has lost its head".to_owned());
        let row = rows.last().ok_or_else(lost)?;
        let proof = Proof { head: convert::head(row)?, now: from_micros(convert::integer(row, "now")?) };
        *connection = Some(taken);
        Ok(proof)
    }
}

#[async_trait]
impl Shared for PostgresStore {
    async fn woken(&self) -> Result<Woken, StoreError> {
        let mut turn = self.ears.listener.lock().await;
        let Some((listener, moves)) = turn.as_mut() else {
            *turn = Some(self.listener().await?);
            return Ok(Woken::Anew);
        };
        let heard = tokio::select! {
            heard = listener.try_recv() => heard,
            _ = moves.changed() => Ok(None),
        };
        match heard {
            Ok(Some(told)) => Ok(match told.channel() {
                FOLLOWED => Woken::Followed,
                SWITCHED => Woken::Switched,
                _ => Woken::Committed,
            }),
            // It was cut off: the next call listens anew.
            Ok(None) => {
                *turn = None;
                Err(StoreError::Unavailable("the connection that listens was cut".to_owned()))
            }
            Err(error) => {
                *turn = None;
                Err(failed(error))
            }
        }
    }

    async fn prove(&self) -> Result<Proof, StoreError> {
        let mut connection = self.ears.prover.lock().await;
        let late = |_| StoreError::Unavailable("the database does not prove in time that it takes writes".to_owned());
        timeout(PATIENCE, self.proof(&mut connection)).await.map_err(late)?
    }

    async fn look_for_switches(&self) -> Result<(), StoreError> {
        self.repoint().await
    }

    async fn lease(&self, name: &'static str, holder: Uuid, lasts: Duration) -> Result<bool, StoreError> {
        let micros = i64::try_from(lasts.as_micros()).unwrap_or(i64::MAX);
        let asked = self.fetch(|| query(LEASE).bind(name).bind(holder.as_bytes().to_vec()).bind(micros));
        if let Ok(held) = timeout(lasts, asked).await {
            return Ok(!held?.is_empty());
        }
        // Whoever has not heard by then has it no more. The server may be gone without a word: on a node that nobody asks
        // this alone finds the one after it.
        drop(self.servers.attempt(self.servers.found()));
        drop(self.servers.connect(LOG).await?.close().await);
        Err(late())
    }

    async fn remove_left_over(&self, seen: &[String], followed_since: Timestamp) -> Result<Vec<String>, StoreError> {
        self.remove_left_over(seen, followed_since).await
    }

    async fn release(&self, name: &'static str, holder: Uuid) -> Result<(), StoreError> {
        self.fetch(|| query(RELEASE).bind(name).bind(holder.as_bytes().to_vec())).await.map(drop)
    }
}
