//! The vault on `PostgreSQL`: a schema of its own, in the log's database or in one that is backed up apart. What is
//! destroyed is gone from the tables at once; the server's write-ahead log and base backups keep it until they are
//! recycled, which the documentation says.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{PgPool, Postgres, pool::PoolConnection, postgres::PgRow, raw_sql};
use tokio::sync::RwLock;

use super::{
    super::{
        StoreError,
        ask::Ask,
        vault::{
            Copies, Keeps,
            statements::{POSTGRES, Texts},
        },
    },
    Part, bind, failed, is_stale, late,
    schema::{self, VAULT},
    servers::{Servers, answer},
};

/// Connections of a node to the vault.
const CONNECTIONS: u32 = 4;
/// What is read is a few rows by their keys; what takes longer is of a server that is gone without a word.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long what is destroyed may take.
const PATIENCE_TO_WRITE: Duration = Duration::from_secs(30);

/// The vault in a schema.
pub struct PostgresVault {
    servers: Arc<Servers>,
    /// Connections, and the server that they lead to.
    pool: RwLock<(usize, PgPool)>,
}

impl PostgresVault {
    /// Opens the vault of a database whose tables are those of this program.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] as for the log.
    pub async fn open(urls: &str) -> Result<Arc<Self>, StoreError> {
        Self::at(Arc::new(Servers::parse(urls)?)).await
    }

    pub(super) async fn at(servers: Arc<Servers>) -> Result<Arc<Self>, StoreError> {
        let mut connection = servers.connect(VAULT).await?;
        schema::must_open(&mut connection, Part::Vault).await?;
        let pool = RwLock::new(servers.readers(VAULT, CONNECTIONS).await?);
        Ok(Arc::new(Self { servers, pool }))
    }

    /// The connections, at the server that takes writes now, as far as this node knows; with its number.
    async fn current(&self) -> (usize, PgPool) {
        let (server, pool) = self.pool.read().await.clone();
        if server == self.servers.found() {
            return (server, pool);
        }
        // Where there are no others, these say why.
        self.renew(&pool).await.unwrap_or((server, pool))
    }

    async fn renew(&self, stale: &PgPool) -> Result<(usize, PgPool), StoreError> {
        let mut current = self.pool.write().await;
        // Another request was faster.
        if !stale.is_closed() {
            let (_, old) = std::mem::replace(&mut *current, self.servers.readers(VAULT, CONNECTIONS).await?);
            // Whoever is at it finishes, which may take long; the others go on.
            tokio::spawn(async move { old.close().await });
        }
        Ok(current.clone())
    }
}

#[async_trait]
impl Keeps for PostgresVault {
    type Row = PgRow;
    const TEXTS: Texts = POSTGRES;

    async fn rows(&self, ask: Ask) -> Result<Vec<PgRow>, StoreError> {
        let (server, pool) = self.current().await;
        let mut moves = self.servers.moves_from(server);
        match answer(&mut moves, PATIENCE, bind::statement(ask.clone()).fetch_all(&pool)).await {
            Some(Ok(rows)) => return Ok(rows),
            Some(Err(error)) if !is_stale(&error) => return Err(failed(error)),
            Some(Err(_)) | None => {}
        }
        let (server, pool) = self.renew(&pool).await?;
        let mut moves = self.servers.moves_from(server);
        let answered = answer(&mut moves, PATIENCE, bind::statement(ask).fetch_all(&pool)).await;
        answered.ok_or_else(late)?.map_err(failed)
    }

    /// Not tried again when its outcome is unknown: each statement of the vault that is repeated by its caller finds
    /// what it did before.
    async fn write(&self, asks: Vec<Ask>, _copies: Copies) -> Result<u64, StoreError> {
        let (server, pool) = self.current().await;
        let mut moves = self.servers.moves_from(server);
        let mut connection = match answer(&mut moves, PATIENCE, begun(&pool)).await {
            Some(Ok(connection)) => connection,
            Some(Err(error)) if !is_stale(&error) => return Err(failed(error)),
            Some(Err(_)) | None => {
                let (server, pool) = self.renew(&pool).await?;
                moves = self.servers.moves_from(server);
                begun(&pool).await.map_err(failed)?
            }
        };
        let written = async {
            let mut changed = 0;
            for ask in asks {
                changed += bind::statement(ask).execute(&mut *connection).await.map_err(failed)?.rows_affected();
            }
            raw_sql("commit").execute(&mut *connection).await.map_err(failed)?;
            Ok(changed)
        };
        let written = answer(&mut moves, PATIENCE_TO_WRITE, written).await.ok_or_else(late).flatten();
        if written.is_err() {
            // The server undoes what was begun when the session ends; what it says later is for nobody else.
            connection.close_on_drop();
        }
        written
    }
}

/// A connection on which a transaction has begun.
async fn begun(pool: &PgPool) -> Result<PoolConnection<Postgres>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    raw_sql("begin").execute(&mut *connection).await?;
    Ok(connection)
}
