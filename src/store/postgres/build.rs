//! A generation that is built beside the one that is read, and snapshots of live rows. It is filled in one
//! transaction: of what a crash leaves half made nothing stays.

use std::{fmt::Write as _, sync::Arc};

use async_trait::async_trait;
use countersign_projections::{Change, Projection, Table, Value, fold::Row};
use data_encoding::HEXLOWER;
use sqlx::{AssertSqlSafe, PgConnection, query, query_scalar, raw_sql};

use super::{
    super::{
        Build, Cursor, Generation, Parked, Snapshot, StoreError, bulk,
        changes::{Placeholders, Planner, postgres_ddl},
        convert, signed, statements,
    },
    bind, failed,
    generations::{self, CURSOR, PostgresGeneration, SCRATCH, schema_of},
    schema::{self, identifier},
    servers::Servers,
};

/// One at a time builds a read model, and as long as its connection lives.
const MAY_BUILD: &str = "select pg_try_advisory_lock(hashtext('countersign build'), hashtext($1))";

/// What the right to build a generation is called: what is read and what is only compared are built side by side.
pub(super) fn right_to_build(name: &str, generation: u64) -> String {
    let first = if generation < SCRATCH { 1 } else { SCRATCH };
    format!("{name} {first}")
}

/// A generation that nobody reads yet.
pub(super) struct PostgresBuild {
    servers: Arc<Servers>,
    projection: &'static Projection,
    number: u64,
    /// While it is filled, and holds the right to build.
    connection: Option<PgConnection>,
    /// For rows that replace others.
    planner: Planner,
    filled: bool,
    kept: bool,
}

impl PostgresBuild {
    /// Begins a generation with the next number from `first` on.
    pub(super) async fn begin(
        servers: Arc<Servers>,
        projection: &'static Projection,
        first: u64,
    ) -> Result<Self, StoreError> {
        let mut connection = servers.connect(schema::LOG).await?;
        let name = right_to_build(projection.name, first);
        let may: bool = query_scalar(MAY_BUILD).bind(name).fetch_one(&mut connection).await.map_err(failed)?;
        if !may {
            return Err(StoreError::Unavailable(format!("another node is building {}: wait for it", projection.name)));
        }
        let number = generations::next(&mut connection, projection).await?.max(first);
        // Copying rows in goes on for as long as it takes.
        let begin = "set idle_in_transaction_session_timeout = 0;\nbegin";
        raw_sql(begin).execute(&mut connection).await.map_err(failed)?;
        generations::create(&mut connection, projection, number, false).await?;
        let planner = Planner::new(Placeholders::Numbered);
        Ok(Self { servers, projection, number, connection: Some(connection), planner, filled: false, kept: false })
    }

    fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        let finished = || StoreError::Unavailable("this generation is filled already".to_owned());
        self.connection.as_mut().filter(|_| !self.filled).ok_or_else(finished)
    }
}

impl Drop for PostgresBuild {
    fn drop(&mut self) {
        // What is not committed goes with the connection.
        if self.kept || !self.filled {
            return;
        }
        let (servers, name, number) = (self.servers.clone(), self.projection.name, self.number);
        tokio::spawn(async move {
            let removed = async {
                let mut connection = servers.connect(schema::LOG).await?;
                generations::remove(&mut connection, name, number).await
            };
            if let Err(error) = removed.await {
                tracing::warn!(%error, "a generation that was thrown away stays until whoever keeps house removes it");
            }
        });
    }
}

#[async_trait]
impl Build for PostgresBuild {
    fn number(&self) -> u64 {
        self.number
    }

    async fn fill(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError> {
        let columns: Vec<_> = table.key.iter().chain(table.columns).map(|column| column.name).collect();
        let copy = format!("copy {} ({}) from stdin", table.name, columns.join(", "));
        let mut text = String::new();
        for row in &rows {
            line(&mut text, row);
        }
        let connection = self.connection()?;
        let mut copying = connection.copy_in_raw(&copy).await.map_err(failed)?;
        copying.send(text.into_bytes()).await.map_err(failed)?;
        copying.finish().await.map(drop).map_err(failed)
    }

    async fn add(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError> {
        let upsert = |mut key: Row| {
            let columns = key.split_off(table.key.len());
            let set = table.columns.iter().map(|column| column.name).zip(columns).collect();
            Change::Upsert { table, key, set }
        };
        let steps = self.planner.plan(rows.into_iter().map(upsert).collect());
        let connection = self.connection()?;
        for planned in steps {
            let statement = planned.values.into_iter().fold(query(AssertSqlSafe(planned.sql)), bind::value);
            statement.execute(&mut *connection).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn finish(&mut self, parked: &[Parked], through: Cursor) -> Result<(), StoreError> {
        let (projection, number) = (self.projection, self.number);
        let connection = self.connection()?;
        for table in projection.tables {
            let analyze = format!("analyze {}", table.name);
            for text in postgres_ddl(table).into_iter().skip(1).chain([analyze]) {
                raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await.map_err(failed)?;
            }
        }
        for parked in parked {
            generations::park(connection, projection, number, parked).await?;
        }
        generations::set_cursor(connection, projection, number, through).await?;
        raw_sql("commit").execute(&mut *connection).await.map_err(failed)?;
        self.filled = true;
        Ok(())
    }

    async fn generation(&self) -> Result<Box<dyn Generation>, StoreError> {
        Ok(Box::new(PostgresGeneration::open(&self.servers, self.projection, self.number).await?))
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        Ok(Box::new(PostgresSnapshot::open(&self.servers, self.projection, Some(self.number)).await?))
    }

    fn keep(&mut self) {
        self.kept = true;
    }
}

/// A row as `copy` reads it, a line of fields between tabs.
fn line(text: &mut String, row: &Row) {
    for (place, value) in row.iter().enumerate() {
        if place > 0 {
            text.push('\t');
        }
        match value {
            Value::Null => text.push_str("\\N"),
            Value::Integer(number) => drop(write!(text, "{number}")),
            Value::Bytes(bytes) => {
                text.push_str("\\\\x");
                text.push_str(&HEXLOWER.encode(bytes));
            }
            Value::Text(written) => {
                for letter in written.chars() {
                    match letter {
                        '\\' => text.push_str("\\\\"),
                        '\t' => text.push_str("\\t"),
                        '\n' => text.push_str("\\n"),
                        '\r' => text.push_str("\\r"),
                        letter => text.push(letter),
                    }
                }
            }
        }
    }
    text.push('\n');
}

/// Rows at one moment, seen in one read transaction.
pub(super) struct PostgresSnapshot {
    connection: PgConnection,
    projection: &'static Projection,
    /// None: the rows of inline read models are as far as the log itself.
    generation: Option<u64>,
    through: Cursor,
}

impl PostgresSnapshot {
    pub(super) async fn open(
        servers: &Servers,
        projection: &'static Projection,
        generation: Option<u64>,
    ) -> Result<Self, StoreError> {
        let of = generation.map_or_else(
            || schema::INLINE.to_owned(),
            |generation| identifier(&schema_of(projection.name, generation)),
        );
        let mut connection = servers.connect(&format!("{of}, {}", schema::LOG)).await?;
        let begin = "set idle_in_transaction_session_timeout = 0;\n\
            begin isolation level repeatable read read only";
        raw_sql(begin).execute(&mut connection).await.map_err(failed)?;
        // The first statement that reads begins the snapshot.
        let through = match generation {
            None => query(statements::HEAD),
            Some(generation) => query(CURSOR).bind(projection.name).bind(signed(generation)),
        };
        let row = through.fetch_one(&mut connection).await.map_err(failed)?;
        let through = convert::cursor(&row)?;
        Ok(Self { connection, projection, generation, through })
    }
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    fn through(&self) -> Cursor {
        self.through
    }

    async fn parked(&mut self) -> Result<Vec<Parked>, StoreError> {
        match self.generation {
            None => Ok(vec![]),
            Some(generation) => generations::parked(&mut self.connection, self.projection.name, generation).await,
        }
    }

    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&[Value]>,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        let text = bulk::page(table, after.is_some(), Placeholders::Numbered);
        let after = after.unwrap_or_default().iter().cloned();
        let statement = after.fold(query(AssertSqlSafe(text)), bind::value).bind(i64::from(limit));
        let rows = statement.fetch_all(&mut self.connection).await.map_err(failed)?;
        let kinds = || table.key.iter().chain(table.columns).map(|column| column.kind);
        rows.iter().map(|row| convert::values(row, kinds())).collect()
    }
}
