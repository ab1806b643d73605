//! A generation that is built beside the one that is read, and snapshots of live rows. While it is filled nothing
//! is synced or kept for rolling back: what a crash leaves half made is removed and begun again.

use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use countersign_projections::{Projection, Table, Value, fold::Row};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, SqliteConnection, query, raw_sql,
    sqlite::{SqliteJournalMode, SqliteSynchronous},
};

use super::{
    super::{
        Build, Cursor, Generation, Parked, Snapshot, StoreError, bulk,
        changes::{Placeholders, ddl, rungs},
        convert, statements,
    },
    bind,
    generations::{self, CREATE_CURSOR, CREATE_PARKED, SqliteGeneration},
    schema, signed, unavailable,
};

const SET_CURSOR: &str = "update cursor\nset epoch = ?, position = ?";

/// 16 MiB, in KiB: rows come in the order of their keys, and only the end of a table is touched.
const CACHE: &str = "-16384";

/// A generation that nobody reads yet.
pub(super) struct SqliteBuild {
    projection: &'static Projection,
    number: u64,
    file: PathBuf,
    /// While it is filled.
    connection: Option<SqliteConnection>,
    /// Statements by table, verb and number of rows.
    texts: HashMap<(&'static str, &'static str, usize), Arc<str>>,
    kept: bool,
}

impl SqliteBuild {
    pub(super) async fn begin(projection: &'static Projection, number: u64, file: PathBuf) -> Result<Self, StoreError> {
        generations::remove(&file)?;
        schema::make_file(&file)?;
        let options = schema::model_writer(&file)
            .pragma("cache_size", CACHE)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .locking_mode(sqlx::sqlite::SqliteLockingMode::Exclusive);
        // From here on, dropping it removes the file.
        let mut build = Self { projection, number, file, connection: None, texts: HashMap::new(), kept: false };
        let mut connection = options.connect().await.map_err(unavailable)?;
        raw_sql("begin immediate").execute(&mut connection).await.map_err(unavailable)?;
        for table in projection.tables {
            // Its indexes come when it is filled: sorting once is cheaper than finding each row's place.
            for create in ddl(table).into_iter().take(1) {
                raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.map_err(unavailable)?;
            }
        }
        for create in [CREATE_CURSOR, CREATE_PARKED] {
            raw_sql(create).execute(&mut connection).await.map_err(unavailable)?;
        }
        build.connection = Some(connection);
        Ok(build)
    }

    async fn insert(&mut self, table: &'static Table, rows: Vec<Row>, verb: &'static str) -> Result<(), StoreError> {
        let counts = rungs(rows.len(), &bulk::LADDER);
        let mut rows = rows.into_iter();
        for rung in counts {
            let text = self.texts.entry((table.name, verb, rung));
            let text = text.or_insert_with(|| bulk::insert(verb, table, rung, Placeholders::Anonymous).into()).clone();
            let values = rows.by_ref().take(rung).flatten();
            let statement = values.fold(query(AssertSqlSafe(text)), bind::value);
            statement.execute(self.connection()?).await.map_err(unavailable)?;
        }
        Ok(())
    }

    fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        let finished = || StoreError::Unavailable("this generation is filled already".to_owned());
        self.connection.as_mut().ok_or_else(finished)
    }
}

impl Drop for SqliteBuild {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = generations::remove(&self.file)
        {
            tracing::warn!(%error, "a generation that was thrown away stays until the next start");
        }
    }
}

#[async_trait]
impl Build for SqliteBuild {
    fn number(&self) -> u64 {
        self.number
    }

    async fn fill(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError> {
        self.insert(table, rows, "insert").await
    }

    async fn add(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError> {
        self.insert(table, rows, "insert or replace").await
    }

    async fn finish(&mut self, parked: &[Parked], through: Cursor) -> Result<(), StoreError> {
        let projection = self.projection;
        let connection = self.connection()?;
        for index in projection.tables.iter().flat_map(|table| ddl(table).into_iter().skip(1)) {
            raw_sql(AssertSqlSafe(index)).execute(&mut *connection).await.map_err(unavailable)?;
        }
        for parked in parked {
            generations::park(connection, parked).await?;
        }
        let cursor = query(SET_CURSOR).bind(i64::from(through.epoch)).bind(signed(through.position.0));
        cursor.execute(&mut *connection).await.map_err(unavailable)?;
        raw_sql("commit").execute(&mut *connection).await.map_err(unavailable)?;
        if let Some(connection) = self.connection.take() {
            connection.close().await.map_err(unavailable)?;
        }
        let file = self.file.clone();
        let failed = |error| StoreError::Unavailable(format!("a new generation is not on disk: {error}"));
        let synced = tokio::task::spawn_blocking(move || File::open(file)?.sync_all()).await;
        synced.map_err(std::io::Error::other).and_then(|synced| synced).map_err(failed)
    }

    async fn generation(&self) -> Result<Box<dyn Generation>, StoreError> {
        Ok(Box::new(SqliteGeneration::open(&self.file).await?))
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        Ok(Box::new(SqliteSnapshot::open(&self.file, false).await?))
    }

    fn keep(&mut self) {
        self.kept = true;
    }
}

/// Rows at one moment, seen in one read transaction.
pub(super) struct SqliteSnapshot {
    connection: SqliteConnection,
    through: Cursor,
    /// The rows of inline read models are as far as the log itself.
    inline: bool,
}

impl SqliteSnapshot {
    pub(super) async fn open(file: &Path, inline: bool) -> Result<Self, StoreError> {
        Self::begin(schema::reader(file).connect().await.map_err(unavailable)?, inline).await
    }

    /// The same over a connection that is there.
    pub(super) async fn begin(mut connection: SqliteConnection, inline: bool) -> Result<Self, StoreError> {
        raw_sql("begin").execute(&mut connection).await.map_err(unavailable)?;
        // The first statement that reads begins the snapshot.
        let statement = if inline { statements::HEAD } else { statements::CURSOR };
        let row = query(statement).fetch_one(&mut connection).await.map_err(unavailable)?;
        let through = convert::cursor(&row)?;
        Ok(Self { connection, through, inline })
    }
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    fn through(&self) -> Cursor {
        self.through
    }

    async fn parked(&mut self) -> Result<Vec<Parked>, StoreError> {
        if self.inline {
            return Ok(vec![]);
        }
        let rows = query(statements::PARKED).fetch_all(&mut self.connection).await.map_err(unavailable)?;
        rows.iter().map(convert::parked).collect()
    }

    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&[Value]>,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        let text = bulk::page(table, after.is_some(), Placeholders::Anonymous);
        let after = after.unwrap_or_default().iter().cloned();
        let statement = after.fold(query(AssertSqlSafe(text)), bind::value).bind(i64::from(limit));
        let rows = statement.fetch_all(&mut self.connection).await.map_err(unavailable)?;
        let kinds = || table.key.iter().chain(table.columns).map(|column| column.kind);
        rows.iter().map(|row| convert::values(row, kinds())).collect()
    }
}
