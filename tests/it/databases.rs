//! The databases that a store can lie in, for suites that hold both to the same behaviour. A suite names its behaviours,
//! each an async function of a [`Database`], in one `on_both_databases!`, which makes a test of each for either.

use std::{path::Path, sync::Arc};

use countersign::store::{
    EventLog, LogWriter, ReadModels, StoreError, Vault,
    postgres::{PostgresStore, PostgresVault},
    sqlite::{SqliteStore, vault::SqliteVault},
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, raw_sql, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::postgres_server::{self, TestDatabase};

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// Where one test stores what it stores; it goes with this.
pub enum Place {
    Directory(TempDir),
    Database(TestDatabase),
}

/// A store by its traits, as it is opened.
pub struct Opened {
    pub log: Arc<dyn EventLog>,
    pub models: Arc<dyn ReadModels>,
    pub writer: Box<dyn LogWriter>,
}

impl Database {
    /// Whether it is there; a test that gets `false` returns at once.
    ///
    /// Panics when it is not and `COUNTERSIGN_TEST_ALL=1`.
    pub fn require(self) -> bool {
        self == Self::Sqlite || postgres_server::require()
    }

    /// A place with nothing in it.
    pub async fn place(self) -> Place {
        match self {
            Self::Sqlite => Place::Directory(tempfile::tempdir().expect("a directory")),
            Self::Postgres => Place::Database(TestDatabase::create().await),
        }
    }
}

impl Place {
    /// The store that lies there.
    pub async fn store(&self) -> Result<Opened, StoreError> {
        match self {
            Self::Directory(directory) => {
                let store = SqliteStore::open(directory.path()).await?;
                let writer = Box::new(store.writer()?);
                Ok(Opened { log: store.clone(), models: store, writer })
            }
            Self::Database(database) => {
                let store = PostgresStore::open(&database.url).await?;
                let writer = Box::new(store.writer()?);
                Ok(Opened { log: store.clone(), models: store, writer })
            }
        }
    }

    /// The vault that lies there.
    pub async fn vault(&self) -> Result<Arc<dyn Vault>, StoreError> {
        match self {
            Self::Directory(directory) => Ok(SqliteVault::open(directory.path()).await?),
            Self::Database(database) => Ok(PostgresVault::open(&database.url).await?),
        }
    }

    /// Does to the log's database what no statement of ours does, as an operator's tool might.
    pub async fn tamper(&self, on_sqlite: &str, on_postgres: &str) {
        match self {
            Self::Directory(directory) => tamper_with(&directory.path().join("log.db"), on_sqlite).await,
            Self::Database(database) => postgres_server::run(&mut database.tool().await, on_postgres).await,
        }
    }
}

async fn tamper_with(file: &Path, statements: &str) {
    let mut tool = SqliteConnectOptions::new().filename(file).connect().await.expect("a database");
    raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut tool).await.expect("it can be done");
}

/// Makes two tests of each behaviour; one that is named nowhere is dead code, which the compiler tells.
macro_rules! on_both_databases {
    ($($behaviour:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(crate::databases::Database::Sqlite).await;
            })*
        }

        mod on_postgres {
            $(#[tokio::test]
            async fn $behaviour() {
                if crate::databases::Database::Postgres.require() {
                    super::$behaviour(crate::databases::Database::Postgres).await;
                }
            })*
        }
    };
}

pub(crate) use on_both_databases;
