//! The servers of one database: finding the one that takes writes, and connections to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions},
    raw_sql,
};
use tokio::{sync::watch, time::timeout};

use super::{
    super::StoreError,
    refusals::{self, IN_RECOVERY, name, silent, too_old, why},
    urls::{self, MalformedUrls},
};

/// A server that does not answer a new connection within this is tried no longer.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// How long a statement waits for another's lock, and how long a transaction may rest before the server ends it: a node
/// that died or froze under the lock of the head must not hold up the others.
const LOCK_TIMEOUT: &str = "5s";
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";
/// Room for every statement, with each number of rows it comes with.
const STATEMENTS: usize = 500;

/// The first words on a connection. Whatever waits for more than this server's disk (a standby, remote or applied) stays;
/// `off` would lose commits. The last row has the server's timeline, or nothing while it is in recovery.
const GREETING: &str = "select set_config('synchronous_commit', 'on', false)\n\
    where current_setting('synchronous_commit') = 'off';\n\
    select case when not pg_is_in_recovery() then substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end as timeline";

/// The servers that may hold the database, of which one takes writes.
#[derive(Debug)]
pub(super) struct Servers {
    options: Vec<PgConnectOptions>,
    /// With which the next search begins.
    first: AtomicUsize,
    /// The one that took writes last.
    found: watch::Sender<usize>,
    /// The newest timeline that was seen. A server that lives on an older one was left behind by a promotion.
    timeline: Arc<AtomicU32>,
}

/// A try of one server. Given up halfway, it has the next search begin with another: whoever has less patience than
/// [`CONNECT_WAIT`] would otherwise never come past a server that does not answer.
pub(super) struct Try<'a> {
    servers: &'a Servers,
    server: usize,
    ended: bool,
}

impl Try<'_> {
    /// The server answered, whatever it was.
    pub(super) fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let next = (self.server + 1) % self.servers.options.len();
            self.servers.first.store(next, Ordering::Relaxed);
        }
    }
}

impl Servers {
    /// From the URLs of each, separated by commas.
    pub(super) fn parse(urls: &str) -> Result<Self, StoreError> {
        let malformed = |error: MalformedUrls| StoreError::Unavailable(format!("the setting {error}"));
        let ours = |options: PgConnectOptions| options.statement_cache_capacity(STATEMENTS).disable_statement_logging();
        let options = urls::read(urls).map_err(malformed)?.into_iter().map(ours).collect();
        Ok(Self {
            options,
            first: AtomicUsize::new(0),
            found: watch::Sender::new(0),
            timeline: Arc::new(AtomicU32::new(0)),
        })
    }

    /// The role that connects.
    pub(super) fn role(&self) -> &str {
        self.options[0].get_username()
    }

    /// The options of one server, with what every session of ours has.
    fn session(&self, server: usize, search_path: &str) -> PgConnectOptions {
        self.options[server].clone().application_name("countersign").options([
            ("search_path", search_path),
            ("client_min_messages", "warning"),
            ("lock_timeout", LOCK_TIMEOUT),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
        ])
    }

    /// Begins to try one server.
    pub(super) fn attempt(&self, server: usize) -> Try<'_> {
        Try { servers: self, server, ended: false }
    }

    /// The one that took writes last.
    pub(super) fn found(&self) -> usize {
        *self.found.borrow()
    }

    /// Tells when another than this one takes writes.
    pub(super) fn moves_from(&self, server: usize) -> watch::Receiver<usize> {
        let mut moves = self.found.subscribe();
        if *moves.borrow_and_update() != server {
            moves.mark_changed();
        }
        moves
    }

    #[cfg(test)]
    pub(super) fn see_timeline(&self, timeline: u32) {
        self.timeline.store(timeline, Ordering::Relaxed);
    }

    /// A connection to the server that takes writes.
    pub(super) async fn connect(&self, search_path: &str) -> Result<PgConnection, StoreError> {
        self.find(search_path).await.map(|(_, connection)| connection)
    }

    /// The same, with the number of the server.
    pub(super) async fn find(&self, search_path: &str) -> Result<(usize, PgConnection), StoreError> {
        let count = self.options.len();
        let first = self.first.load(Ordering::Relaxed);
        let mut told = vec![];
        for server in (0..count).map(|step| (first + step) % count) {
            let attempt = self.attempt(server);
            let tried = timeout(CONNECT_WAIT, self.greet(server, search_path)).await;
            attempt.end();
            match tried.unwrap_or_else(|_| Err(silent(CONNECT_WAIT.as_secs()))) {
                Ok(connection) => {
                    self.first.store(server, Ordering::Relaxed);
                    self.found.send_if_modified(|found| std::mem::replace(found, server) != server);
                    return Ok((server, connection));
                }
                Err(reason) => told.push(format!("{}: {reason}", name(&self.options[server]))),
            }
        }
        Err(StoreError::Unavailable(told.join("; ")))
    }

    /// Connects to one server, or says why it is of no use.
    async fn greet(&self, server: usize, search_path: &str) -> Result<PgConnection, String> {
        let options = self.session(server, search_path);
        let mut connection = options.connect().await.map_err(|error| why(&options, &error))?;
        match takes_writes(&mut connection, &self.timeline).await {
            Ok(()) => Ok(connection),
            Err(error) => {
                drop(connection.close().await);
                Err(match error {
                    sqlx::Error::Configuration(reason) => reason.to_string(),
                    error => why(&options, &error),
                })
            }
        }
    }

    /// Connections for reading, to the server that takes writes: a standby may lag. They are opened when they are
    /// first wanted and then kept: nothing happens when nobody asks.
    pub(super) async fn readers(&self, search_path: &str, count: u32) -> Result<(usize, PgPool), StoreError> {
        let (server, connection) = self.find(search_path).await?;
        drop(connection.close().await);
        let timeline = self.timeline.clone();
        let pool = PgPoolOptions::new()
            .max_connections(count)
            .acquire_timeout(CONNECT_WAIT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            // It may be another's by then: a primary that came back as a standby.
            .after_connect(move |connection, _| {
                let timeline = timeline.clone();
                Box::pin(async move { takes_writes(connection, &timeline).await })
            })
            .connect_lazy_with(self.session(server, search_path));
        Ok((server, pool))
    }
}

/// An answer; nothing when it does not come in time, or when another server takes writes meanwhile: this one may be gone
/// without a word.
pub(super) async fn answer<T>(
    moves: &mut watch::Receiver<usize>,
    within: Duration,
    asked: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        answered = timeout(within, asked) => answered.ok(),
        _ = moves.changed() => None,
    }
}

/// Greets a server, and refuses one that is too old, takes no writes, or was left behind by a promotion: then with a
/// reason in [`sqlx::Error::Configuration`].
async fn takes_writes(connection: &mut PgConnection, newest: &AtomicU32) -> Result<(), sqlx::Error> {
    if let Some(reason) = too_old(connection.server_version_num()) {
        return Err(sqlx::Error::Configuration(reason.into()));
    }
    let rows = raw_sql(GREETING).fetch_all(connection).await?;
    let row = rows.last().ok_or(sqlx::Error::RowNotFound)?;
    let Some(timeline) = row.try_get::<Option<String>, _>(0)? else {
        return Err(sqlx::Error::Configuration(IN_RECOVERY.into()));
    };
    let timeline = u32::from_str_radix(&timeline, 16).map_err(|error| sqlx::Error::Decode(error.into()))?;
    if newest.fetch_max(timeline, Ordering::Relaxed) > timeline {
        return Err(sqlx::Error::Configuration(refusals::LEFT_BEHIND.into()));
    }
    Ok(())
}
