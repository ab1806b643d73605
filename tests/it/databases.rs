//! The databases that a store can lie in, for suites that hold both to the same behaviour. A suite names its behaviours,
//! each an async function of a [`Database`], in one `on_both_databases!`, which makes a test of each for either.

use std::{path::Path, sync::Arc, time::Duration};

use countersign::store::{
    EventLog, LogWriter, ReadModels, StoreError, Vault,
    postgres::{PostgresStore, PostgresVault},
    sqlite::{SqliteStore, vault::SqliteVault},
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, SqliteConnection, raw_sql, sqlite::SqliteConnectOptions};
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

    /// The one that whole sites of this run lie in: `COUNTERSIGN_TEST_DATABASE` names it.
    pub fn of_this_run() -> Self {
        match std::env::var("COUNTERSIGN_TEST_DATABASE").as_deref() {
            Err(_) | Ok("sqlite") => Self::Sqlite,
            Ok("postgres") => Self::Postgres,
            Ok(other) => panic!("COUNTERSIGN_TEST_DATABASE is sqlite or postgres, not {other}"),
        }
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

    /// The steps of the schemas that were done: of which part, number, name.
    pub async fn migrations(&self) -> Vec<(String, i64, String)> {
        const DONE: &str = "select version, description from _sqlx_migrations order by version";
        let mut done = vec![];
        for part in ["log", "vault"] {
            let steps: Vec<(i64, String)> = match self {
                Self::Directory(directory) => {
                    let file = SqliteConnectOptions::new().filename(directory.path().join(format!("{part}.db")));
                    sqlx::query_as(DONE).fetch_all(&mut file.connect().await.expect("a database")).await
                }
                Self::Database(database) => {
                    let schema = if part == "log" { "countersign" } else { "countersign_vault" };
                    let done = DONE.replace("from ", &format!("from {schema}."));
                    sqlx::query_as(AssertSqlSafe(done)).fetch_all(&mut database.tool().await).await
                }
            }
            .expect("its steps");
            done.extend(steps.into_iter().map(|(number, name)| (part.to_owned(), number, name)));
        }
        done
    }

    /// Does to the log's database what no statement of ours does, as an operator's tool might.
    pub async fn tamper(&self, on_sqlite: &str, on_postgres: &str) {
        match self {
            Self::Directory(directory) => Tool::of_file(&directory.path().join("log.db")).await.run(on_sqlite).await,
            Self::Database(database) => Tool::Postgres(database.tool().await).run(on_postgres).await,
        }
    }
}

/// A connection that is nobody's of the program, as an operator's tool has one; what it is told both databases understand,
/// or [`Tool::either`] says it to each.
pub enum Tool {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Tool {
    /// To a file.
    pub async fn of_file(file: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(10));
        Self::Sqlite(options.connect().await.expect("a database"))
    }

    /// What is said differently.
    pub fn either<T>(&self, on_sqlite: T, on_postgres: T) -> T {
        match self {
            Self::Sqlite(_) => on_sqlite,
            Self::Postgres(_) => on_postgres,
        }
    }

    /// Runs statements.
    pub async fn run(&mut self, statements: &str) {
        let text = raw_sql(AssertSqlSafe(statements.to_owned()));
        let ran = match self {
            Self::Sqlite(connection) => text.execute(connection).await.map(drop),
            Self::Postgres(connection) => text.execute(connection).await.map(drop),
        };
        ran.unwrap_or_else(|error| panic!("{error}: {statements}"));
    }

    /// The first column of what a statement answers, numbers.
    pub async fn numbers(&mut self, statement: &str) -> Vec<i64> {
        let text = sqlx::AssertSqlSafe(statement.to_owned());
        let rows = match self {
            Self::Sqlite(connection) => sqlx::query_scalar(text).fetch_all(connection).await,
            Self::Postgres(connection) => sqlx::query_scalar(text).fetch_all(connection).await,
        };
        rows.unwrap_or_else(|error| panic!("{error}: {statement}"))
    }

    /// The same, texts.
    pub async fn texts(&mut self, statement: &str) -> Vec<String> {
        let text = sqlx::AssertSqlSafe(statement.to_owned());
        let rows = match self {
            Self::Sqlite(connection) => sqlx::query_scalar(text).fetch_all(connection).await,
            Self::Postgres(connection) => sqlx::query_scalar(text).fetch_all(connection).await,
        };
        rows.unwrap_or_else(|error| panic!("{error}: {statement}"))
    }
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
