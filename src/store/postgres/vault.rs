//! The vault on `PostgreSQL`: a schema of its own, in the log's database or in one that is backed up apart. What is
//! destroyed is gone from the tables at once; the server's write-ahead log and base backups keep it until they are
//! recycled, which the documentation says.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{PgPool, postgres::PgRow};
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
    Part, bind, failed, is_stale,
    schema::{self, VAULT},
    servers::Servers,
};

/// Connections of a node to the vault.
const CONNECTIONS: u32 = 4;

/// The vault in a schema.
pub struct PostgresVault {
    servers: Servers,
    pool: RwLock<PgPool>,
}

impl PostgresVault {
    /// Opens the vault of a database whose tables are those of this program.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] as for the log.
    pub async fn open(urls: &str) -> Result<Arc<Self>, StoreError> {
        let servers = Servers::parse(urls)?;
        let mut connection = servers.connect(VAULT).await?;
        schema::must_be_recent(&mut connection).await?;
        schema::must_fit(schema::level(&mut connection, Part::Vault).await?)?;
        let pool = RwLock::new(servers.readers(VAULT, CONNECTIONS).await?);
        Ok(Arc::new(Self { servers, pool }))
    }

    async fn pool(&self) -> PgPool {
        self.pool.read().await.clone()
    }

    async fn renew(&self, stale: &PgPool) -> Result<PgPool, StoreError> {
        let mut pool = self.pool.write().await;
        if !stale.is_closed() {
            *pool = self.servers.readers(VAULT, CONNECTIONS).await?;
            stale.close().await;
        }
        Ok(pool.clone())
    }
}

#[async_trait]
impl Keeps for PostgresVault {
    type Row = PgRow;
    const TEXTS: Texts = POSTGRES;

    async fn rows(&self, ask: Ask) -> Result<Vec<PgRow>, StoreError> {
        let pool = self.pool().await;
        match bind::statement(ask.clone()).fetch_all(&pool).await {
            Err(error) if is_stale(&error) => {
                let pool = self.renew(&pool).await?;
                bind::statement(ask).fetch_all(&pool).await.map_err(failed)
            }
            rows => rows.map_err(failed),
        }
    }

    /// Not tried again when its outcome is unknown: each statement of the vault that is repeated by its caller finds
    /// what it did before.
    async fn write(&self, asks: Vec<Ask>, _copies: Copies) -> Result<u64, StoreError> {
        let pool = self.pool().await;
        let mut tx = match pool.begin().await {
            Err(error) if is_stale(&error) => self.renew(&pool).await?.begin().await.map_err(failed)?,
            begun => begun.map_err(failed)?,
        };
        let mut changed = 0;
        for ask in asks {
            changed += bind::statement(ask).execute(&mut *tx).await.map_err(failed)?.rows_affected();
        }
        tx.commit().await.map_err(failed)?;
        Ok(changed)
    }
}
