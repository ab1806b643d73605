//! The servers of one database: finding the one that takes writes, and connections to it.

use std::{
    str::FromStr as _,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
    query_scalar,
};
use tokio::time::timeout;

use super::{super::StoreError, failed};

/// A server that does not answer a new connection within this is tried no longer.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// How long a statement waits for another's lock, and how long a transaction may rest before the server ends it: a node
/// that died or froze under the lock of the head must not hold up the others.
const LOCK_TIMEOUT: &str = "5s";
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";
/// Room for every statement, with each number of rows it comes with.
const STATEMENTS: usize = 500;

const IS_IN_RECOVERY: &str = "select pg_is_in_recovery()";
/// Whatever waits for more than this server's disk (a standby, remote or applied) stays; `off` would lose commits.
const BE_DURABLE: &str = "select set_config('synchronous_commit', 'on', false)\n\
    where current_setting('synchronous_commit') = 'off'";

/// The servers that may hold the database, of which one takes writes.
#[derive(Debug)]
pub(super) struct Servers {
    options: Vec<PgConnectOptions>,
    /// The one that took writes last.
    last: AtomicUsize,
}

impl Servers {
    /// From the URLs of each, separated by commas.
    pub(super) fn parse(urls: &str) -> Result<Self, StoreError> {
        let mut options = vec![];
        for url in urls.split(',').map(str::trim).filter(|url| !url.is_empty()) {
            // What cannot be read is not repeated: it may hold a password.
            let parsed = PgConnectOptions::from_str(url).map_err(|error| {
                StoreError::Unavailable(format!(
                    "a database URL cannot be read (postgres://user@host/database): {error}"
                ))
            })?;
            options.push(parsed.statement_cache_capacity(STATEMENTS).disable_statement_logging());
        }
        if options.is_empty() {
            return Err(StoreError::Unavailable("no database URL is given".to_owned()));
        }
        Ok(Self { options, last: AtomicUsize::new(0) })
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

    /// A connection to the server that takes writes.
    pub(super) async fn connect(&self, search_path: &str) -> Result<PgConnection, StoreError> {
        let count = self.options.len();
        let first = self.last.load(Ordering::Relaxed);
        let mut told = StoreError::Unavailable("no database server takes writes: all are in recovery".to_owned());
        for server in (0..count).map(|step| (first + step) % count) {
            let connect = async {
                let mut connection = self.session(server, search_path).connect().await?;
                sqlx::query(BE_DURABLE).execute(&mut connection).await?;
                let is_in_recovery: bool = query_scalar(IS_IN_RECOVERY).fetch_one(&mut connection).await?;
                Ok((connection, is_in_recovery))
            };
            match timeout(CONNECT_WAIT, connect).await {
                Ok(Ok((connection, false))) => {
                    self.last.store(server, Ordering::Relaxed);
                    return Ok(connection);
                }
                Ok(Ok((connection, true))) => drop(connection.close().await),
                Ok(Err(error)) => told = failed(error),
                Err(_) => told = StoreError::Unavailable("the database server does not answer".to_owned()),
            }
        }
        Err(told)
    }

    /// Connections for reading, to the server that takes writes: a standby may lag. They are opened when they are
    /// first wanted and then kept: nothing happens when nobody asks.
    pub(super) async fn readers(&self, search_path: &str, count: u32) -> Result<PgPool, StoreError> {
        // Finds the server.
        let connection = self.connect(search_path).await?;
        drop(connection.close().await);
        let options = self.session(self.last.load(Ordering::Relaxed), search_path);
        Ok(PgPoolOptions::new()
            .max_connections(count)
            .acquire_timeout(CONNECT_WAIT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(options))
    }
}
