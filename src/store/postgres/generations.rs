//! The generations of trailing read models: a schema each, with a pointer to the current one beside the log. The
//! pointer is by revision, so that nodes of two releases each follow and read their own. Building one beside it is in
//! `build`.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use countersign_events::recorded::Position;
use countersign_projections::{INLINE, Projection, TRAILING, Table};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, query, query_as, raw_sql};
use tokio::sync::watch;

use super::{
    super::{
        Availability, Build, BuildPurpose, Cursor, Generation, Generations, Made, Mark, Parked, Snapshot, Step,
        StoreError,
        changes::{Placeholders, Planner, postgres_column, postgres_ddl},
        convert, signed, statements,
    },
    FOLLOWED, PostgresStore, SWITCHED, bind,
    build::{PostgresBuild, PostgresSnapshot},
    failed, late,
    schema::{self, identifier},
    servers::{Servers, answer},
    writer::leaves_open,
};

/// Of this revision first, then of the others, the newest first.
pub(super) const GENERATIONS: &str = "select revision, generation\nfrom generations\nwhere name = $1\n\
    order by revision = $2 desc, generation desc";
/// The columns of a schema's tables, as they are declared.
pub(super) const COLUMNS: &str = "select relname::text, attname::text, format_type(atttypid, null)\n\
    from pg_attribute\njoin pg_class on pg_class.oid = attrelid\njoin pg_namespace on pg_namespace.oid = relnamespace\n\
    where nspname = $1 and relkind = 'r' and attnum > 0 and not attisdropped";
pub(super) const NEWEST: &str = "select coalesce(max(generation), 0) as generation\nfrom generations\nwhere name = $1";
pub(super) const SET_GENERATION: &str = "insert into generations (name, revision, generation)\nvalues ($1, $2, $3)\n\
    on conflict (name, revision) do update set generation = excluded.generation";
pub(super) const CURSOR: &str = "select epoch, position\nfrom cursors\nwhere name = $1 and generation = $2";
/// An id beside another position is what a program of the release before left.
pub(super) const MARK: &str = "select epoch, position, case when event_position = position then event_id end as event_id\n\
    from cursors\nwhere name = $1 and generation = $2";
pub(super) const SET_CURSOR: &str = "insert into cursors (name, generation, epoch, position)\nvalues ($1, $2, $3, $4)\n\
    on conflict (name, generation) do update set epoch = excluded.epoch, position = excluded.position";
/// Answers with a row only when the cursor was where it had to be.
pub(super) const MOVE_CURSOR: &str = "update cursors\nset epoch = $3, position = $4, event_position = $4,\n    \
    event_id = coalesce($7, case when position = $4 and event_position = $4 then event_id end)\n\
    where name = $1 and generation = $2 and epoch = $5 and position = $6\nreturning position";
pub(super) const PARKED: &str =
    "select position, stream, error\nfrom parked\nwhere name = $1 and generation = $2\norder by position";
pub(super) const PARK: &str = "insert into parked (name, generation, position, stream, error)\n\
    values ($1, $2, $3, $4, $5)\non conflict (name, generation, position) do update set error = excluded.error";
pub(super) const FREE: &str = "delete from parked\nwhere name = $1 and generation = $2 and position = $3";
pub(super) const FORGET_CURSOR: &str = "delete from cursors\nwhere name = $1 and generation = $2";
pub(super) const FORGET_PARKED: &str = "delete from parked\nwhere name = $1 and generation = $2";
/// One at a time makes the first generation of a read model, or moves its pointer.
pub(super) const ONE_AT_A_TIME: &str = "select pg_advisory_xact_lock(hashtext('countersign'), hashtext($1))";
/// What is built only to be compared lies in schemas that are numbered from here on.
pub(super) const SCRATCH: u64 = 1 << 40;
/// No step takes longer; it may erase all that a member wrote.
const LONGEST_STEP: Duration = Duration::from_mins(5);
/// How long those who read a generation that is read no longer have to finish.
const FAREWELL: Duration = Duration::from_secs(10);

/// The generation of each trailing read model that this node reads.
pub(super) type Pointers = HashMap<&'static str, Pointer>;

/// A generation that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) generation: u64,
    /// It is of another revision: nodes of another release move it.
    pub(super) lent: bool,
}

/// The schema of a generation.
pub(super) fn schema_of(name: &str, generation: u64) -> String {
    format!("countersign_{name}_{generation}")
}

/// Where one who reads looks for tables: names of tables are each in one place only.
pub(super) fn search_path(pointers: &Pointers) -> String {
    let mut schemas: Vec<_> = pointers.iter().map(|(name, pointer)| schema_of(name, pointer.generation)).collect();
    schemas.sort();
    schemas.splice(0..0, [schema::INLINE.to_owned(), schema::LOG.to_owned()]);
    schemas.join(", ")
}

/// The generations that can be read.
pub(super) async fn pointers(connection: &mut PgConnection) -> Result<Pointers, StoreError> {
    let mut pointers = HashMap::new();
    for projection in TRAILING {
        if let Some(pointer) = pointer(connection, projection).await? {
            pointers.insert(projection.name, pointer);
        }
    }
    Ok(pointers)
}

/// The generation of this revision, or else the newest one of another whose tables are those of this one. One whose
/// schema is gone is none.
pub(super) async fn pointer(
    connection: &mut PgConnection,
    projection: &Projection,
) -> Result<Option<Pointer>, StoreError> {
    let revision = i64::from(projection.revision);
    let statement = query(GENERATIONS).bind(projection.name).bind(revision);
    for row in statement.fetch_all(&mut *connection).await.map_err(failed)? {
        let generation = convert::number(&row, "generation")?;
        if fits(connection, projection, generation).await? {
            let lent = convert::number::<u32>(&row, "revision")? != projection.revision;
            return Ok(Some(Pointer { generation, lent }));
        }
    }
    Ok(None)
}

async fn fits(connection: &mut PgConnection, projection: &Projection, generation: u64) -> Result<bool, StoreError> {
    let statement = query_as(COLUMNS).bind(schema_of(projection.name, generation));
    let mut there: Vec<(String, (String, String))> = vec![];
    for (table, name, kind) in statement.fetch_all(&mut *connection).await.map_err(failed)? {
        there.push((table, (name, kind)));
    }
    let declared = |table: &&'static Table| {
        let columns = table.key.iter().chain(table.columns);
        columns.map(|column| (table.name.to_owned(), postgres_column(column))).collect::<Vec<_>>()
    };
    let mut wanted: Vec<_> = projection.tables.iter().flat_map(declared).collect();
    there.sort();
    wanted.sort();
    if there != wanted {
        return Ok(false);
    }
    let cursor = query(CURSOR).bind(projection.name).bind(signed(generation));
    Ok(cursor.fetch_optional(connection).await.map_err(failed)?.is_some())
}

/// Whether a generation lacks so little that it can be read.
pub(super) async fn is_close(connection: &mut PgConnection, name: &str, generation: u64) -> Result<bool, StoreError> {
    let cursor = query(CURSOR).bind(name.to_owned()).bind(signed(generation));
    let Some(row) = cursor.fetch_optional(&mut *connection).await.map_err(failed)? else { return Ok(false) };
    let cursor = convert::cursor(&row)?;
    let row = query(statements::HEAD).fetch_one(connection).await.map_err(failed)?;
    Ok(cursor.is_close_to(convert::head(&row)?.position))
}

/// Where there is no event yet, an empty generation is all that there is to show: makes it. Else nothing is made: what
/// lacks events must not be read.
pub(super) async fn begin(connection: &mut PgConnection, projection: &'static Projection) -> Result<(), StoreError> {
    let is_empty = async |connection: &mut PgConnection| {
        let row = query(statements::HEAD).fetch_one(connection).await.map_err(failed)?;
        Ok::<_, StoreError>(convert::head(&row)?.position == Position(0))
    };
    let is_there = async |connection: &mut PgConnection| {
        Ok::<_, StoreError>(pointer(connection, projection).await?.is_some_and(|pointer| !pointer.lent))
    };
    if !is_empty(connection).await? || is_there(connection).await? {
        return Ok(());
    }
    raw_sql("begin").execute(&mut *connection).await.map_err(failed)?;
    let begun = async {
        query(ONE_AT_A_TIME).bind(projection.name).execute(&mut *connection).await.map_err(failed)?;
        // Another node may have been faster, and appended by now.
        if is_empty(connection).await? && !is_there(connection).await? {
            let next = next(connection, projection).await?;
            create(connection, projection, next, true).await?;
            set_cursor(connection, projection, next, Cursor::default()).await?;
            set_pointer(connection, projection, next).await?;
        }
        Ok(())
    }
    .await;
    let end = if begun.is_ok() { "commit" } else { "rollback" };
    raw_sql(end).execute(&mut *connection).await.map_err(failed)?;
    begun
}

/// The number of the generation after all that were ever pointed at.
pub(super) async fn next(connection: &mut PgConnection, projection: &Projection) -> Result<u64, StoreError> {
    let row = query(NEWEST).bind(projection.name).fetch_one(connection).await.map_err(failed)?;
    Ok(convert::number::<u64>(&row, "generation")? + 1)
}

/// Makes the schema of a generation with its tables; whatever a broken-off build left in it goes.
pub(super) async fn create(
    connection: &mut PgConnection,
    projection: &Projection,
    generation: u64,
    with_indexes: bool,
) -> Result<(), StoreError> {
    remove(connection, projection.name, generation).await?;
    let schema = identifier(&schema_of(projection.name, generation));
    let mut texts =
        vec![format!("create schema {schema}"), format!("set local search_path to {schema}, {}", schema::LOG)];
    for table in projection.tables {
        let ddl = postgres_ddl(table);
        texts.extend(if with_indexes { ddl } else { ddl.into_iter().take(1).collect() });
    }
    if with_indexes {
        texts.push(format!("set local search_path to {}", schema::LOG));
    }
    for text in texts {
        raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await.map_err(failed)?;
    }
    Ok(())
}

/// Removes a generation with its bookkeeping, as far as it is there.
pub(super) async fn remove(connection: &mut PgConnection, name: &str, generation: u64) -> Result<(), StoreError> {
    let schema = identifier(&schema_of(name, generation));
    let drop = format!("drop schema if exists {schema} cascade");
    raw_sql(AssertSqlSafe(drop)).execute(&mut *connection).await.map_err(failed)?;
    for forget in [FORGET_CURSOR, FORGET_PARKED] {
        let forget = query(forget).bind(name.to_owned()).bind(signed(generation));
        forget.execute(&mut *connection).await.map_err(failed)?;
    }
    Ok(())
}

async fn set_pointer(
    connection: &mut PgConnection,
    projection: &Projection,
    generation: u64,
) -> Result<(), StoreError> {
    let set = query(SET_GENERATION).bind(projection.name).bind(i64::from(projection.revision)).bind(signed(generation));
    set.execute(connection).await.map(drop).map_err(failed)
}

pub(super) async fn set_cursor(
    connection: &mut PgConnection,
    projection: &Projection,
    generation: u64,
    to: Cursor,
) -> Result<(), StoreError> {
    let set = query(SET_CURSOR)
        .bind(projection.name)
        .bind(signed(generation))
        .bind(i64::from(to.epoch))
        .bind(signed(to.position.0));
    set.execute(connection).await.map(drop).map_err(failed)
}

pub(super) async fn park(
    connection: &mut PgConnection,
    projection: &Projection,
    generation: u64,
    parked: &Parked,
) -> Result<(), StoreError> {
    let statement = query(PARK)
        .bind(projection.name)
        .bind(signed(generation))
        .bind(signed(parked.position.0))
        .bind(parked.stream.to_string())
        .bind(parked.error.clone());
    statement.execute(connection).await.map(drop).map_err(failed)
}

pub(super) async fn parked(
    connection: &mut PgConnection,
    name: &'static str,
    generation: u64,
) -> Result<Vec<Parked>, StoreError> {
    let rows = query(PARKED).bind(name).bind(signed(generation)).fetch_all(connection).await.map_err(failed)?;
    rows.iter().map(convert::parked).collect()
}

/// A generation, for its one follower.
pub(super) struct PostgresGeneration {
    projection: &'static Projection,
    generation: u64,
    connection: PgConnection,
    /// Tells when another server takes writes: this one may be gone without a word.
    moves: watch::Receiver<usize>,
    planner: Planner,
    /// Whether a statement left open what the server did: the follower opens the generation anew.
    lost: bool,
    /// Whether tables may hold rows that nobody sees any more, with texts that were made null.
    scrub_wanted: bool,
}

impl PostgresGeneration {
    pub(super) async fn open(
        servers: &Servers,
        projection: &'static Projection,
        generation: u64,
    ) -> Result<Self, StoreError> {
        let path = format!("{}, {}", identifier(&schema_of(projection.name, generation)), schema::LOG);
        let (server, connection) = servers.find(&path).await?;
        let moves = servers.moves_from(server);
        let planner = Planner::new(Placeholders::Numbered);
        Ok(Self { projection, generation, connection, moves, planner, lost: false, scrub_wanted: false })
    }

    fn key(&self) -> (&'static str, i64) {
        (self.projection.name, signed(self.generation))
    }

    fn noted(&mut self, error: sqlx::Error) -> StoreError {
        self.lost |= leaves_open(&error);
        failed(error)
    }

    async fn stepped(&mut self, step: Step, from: Cursor, to: Cursor) -> Result<bool, StoreError> {
        let nulls = step.makes_texts_null();
        raw_sql("begin").execute(&mut self.connection).await.map_err(|error| self.noted(error))?;
        let result = self.take(step, from, to).await;
        if matches!(result, Ok(true)) {
            self.scrub_wanted |= nulls;
        } else if !self.lost {
            raw_sql("rollback").execute(&mut self.connection).await.map_err(|error| self.noted(error))?;
        }
        result
    }

    async fn take(&mut self, step: Step, from: Cursor, to: Cursor) -> Result<bool, StoreError> {
        let (name, generation) = self.key();
        let moved = query(MOVE_CURSOR)
            .bind(name)
            .bind(generation)
            .bind(i64::from(to.epoch))
            .bind(signed(to.position.0))
            .bind(i64::from(from.epoch))
            .bind(signed(from.position.0))
            .bind(step.last.map(|event| event.0.as_bytes().to_vec()))
            .fetch_all(&mut self.connection)
            .await
            .map_err(|error| self.noted(error))?;
        if moved.is_empty() {
            return Ok(false);
        }
        for planned in self.planner.plan(step.changes) {
            let statement = planned.values.into_iter().fold(query(AssertSqlSafe(planned.sql)), bind::value);
            statement.execute(&mut self.connection).await.map_err(|error| {
                self.lost |= leaves_open(&error);
                refused(error)
            })?;
        }
        for parked in &step.parks {
            park(&mut self.connection, self.projection, self.generation, parked).await?;
        }
        for position in &step.frees {
            let free = query(FREE).bind(name).bind(generation).bind(signed(position.0));
            free.execute(&mut self.connection).await.map_err(|error| self.noted(error))?;
        }
        let end = format!("notify {FOLLOWED};\ncommit");
        raw_sql(AssertSqlSafe(end)).execute(&mut self.connection).await.map_err(|error| self.noted(error))?;
        Ok(true)
    }
}

/// A row that the database refuses (too big, against a constraint, of the wrong type, a text with U+0000) is its
/// event's fault; everything else is the database's.
fn refused(error: sqlx::Error) -> StoreError {
    let is_the_rows = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)));
    match &error {
        sqlx::Error::Database(told) if is_the_rows => StoreError::Conflict(told.message().to_owned()),
        _ => failed(error),
    }
}

#[async_trait]
impl Generation for PostgresGeneration {
    async fn mark(&mut self) -> Result<Mark, StoreError> {
        let (name, generation) = self.key();
        let statement = query(MARK).bind(name).bind(generation);
        let row = statement.fetch_one(&mut self.connection).await.map_err(|error| self.noted(error))?;
        convert::mark(&row)
    }

    async fn parked(&mut self) -> Result<Vec<Parked>, StoreError> {
        parked(&mut self.connection, self.projection.name, self.generation).await
    }

    async fn step(&mut self, step: Step, from: Cursor, to: Cursor) -> Result<bool, StoreError> {
        if self.lost {
            return Err(StoreError::Unavailable("the connection to this generation was lost".to_owned()));
        }
        let mut moves = self.moves.clone();
        let stepped = answer(&mut moves, LONGEST_STEP, self.stepped(step, from, to)).await;
        stepped.unwrap_or_else(|| {
            self.lost = true;
            Err(late())
        })
    }

    /// What was made null is in no page that anybody reads once it is vacuumed.
    async fn scrub(&mut self) -> Result<(), StoreError> {
        if self.scrub_wanted {
            for table in self.projection.tables {
                let vacuum = format!("vacuum {}", table.name);
                raw_sql(AssertSqlSafe(vacuum))
                    .execute(&mut self.connection)
                    .await
                    .map_err(|error| self.noted(error))?;
            }
            self.scrub_wanted = false;
        }
        Ok(())
    }
}

impl PostgresStore {
    /// The generation that this node reads, if there is one.
    async fn pointer_of(&self, projection: &'static Projection) -> Result<Option<Pointer>, StoreError> {
        let is_ours = |known: &Projection| known.name == projection.name && known.revision == projection.revision;
        if TRAILING.iter().any(is_ours) {
            return Ok(self.readers.read().await.pointers.get(projection.name).copied());
        }
        let mut connection = self.servers.connect(schema::LOG).await?;
        begin(&mut connection, projection).await?;
        pointer(&mut connection, projection).await
    }

    /// Looks whether another node has moved a pointer, and reads what it points at from now on.
    pub(super) async fn repoint(&self) -> Result<(), StoreError> {
        let mut connection = self.servers.connect(schema::LOG).await?;
        let pointers = pointers(&mut connection).await?;
        if self.readers.read().await.pointers != pointers {
            let pool = self.pool().await;
            self.renew(&pool).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Generations for PostgresStore {
    async fn availability(&self, projection: &'static Projection) -> Result<Availability, StoreError> {
        let Some(pointer) = self.pointer_of(projection).await? else { return Ok(Availability::default()) };
        let made = if pointer.lent { Made::Lent } else { Made::Current };
        let answers = self.readers.read().await.answering.contains(&(projection.name, pointer.generation));
        Ok(Availability { made, answers })
    }

    async fn let_read(&self, projection: &'static Projection) -> Result<(), StoreError> {
        if let Some(pointer) = self.pointer_of(projection).await? {
            self.readers.write().await.answering.insert((projection.name, pointer.generation));
        }
        Ok(())
    }

    async fn generation(&self, projection: &'static Projection) -> Result<Box<dyn Generation>, StoreError> {
        // Asked anew: another node may have moved the pointer.
        let mut connection = self.servers.connect(schema::LOG).await?;
        begin(&mut connection, projection).await?;
        let pointer = pointer(&mut connection, projection).await?;
        drop(connection.close().await);
        let own = pointer.filter(|pointer| !pointer.lent).ok_or(StoreError::Building(projection.name))?;
        Ok(Box::new(PostgresGeneration::open(&self.servers, projection, own.generation).await?))
    }

    async fn mark(&self, projection: &'static Projection) -> Result<Mark, StoreError> {
        let Some(Pointer { generation, .. }) = self.pointer_of(projection).await? else { return Ok(Mark::default()) };
        let rows = self.fetch(|| query(MARK).bind(projection.name).bind(signed(generation))).await?;
        let lost = || StoreError::Unavailable(format!("the cursor of {} is gone", projection.name));
        convert::mark(rows.first().ok_or_else(lost)?)
    }

    async fn current(&self, projection: &'static Projection) -> Result<u64, StoreError> {
        Ok(self.pointer_of(projection).await?.map_or(0, |pointer| pointer.generation))
    }

    async fn parked(&self, projection: &'static Projection) -> Result<Vec<Parked>, StoreError> {
        let Some(Pointer { generation, .. }) = self.pointer_of(projection).await? else { return Ok(vec![]) };
        let rows = self.fetch(|| query(PARKED).bind(projection.name).bind(signed(generation))).await?;
        rows.iter().map(convert::parked).collect()
    }

    async fn build(
        &self,
        projection: &'static Projection,
        purpose: BuildPurpose,
    ) -> Result<Box<dyn Build>, StoreError> {
        let first = match purpose {
            BuildPurpose::Switch => 1,
            BuildPurpose::Compare => SCRATCH,
        };
        Ok(Box::new(PostgresBuild::begin(self.servers.clone(), projection, first).await?))
    }

    async fn switch(&self, projection: &'static Projection, mut build: Box<dyn Build>) -> Result<(), StoreError> {
        let old = self.pointer_of(projection).await?;
        let mut connection = self.servers.connect(schema::LOG).await?;
        raw_sql("begin").execute(&mut connection).await.map_err(failed)?;
        query(ONE_AT_A_TIME).bind(projection.name).execute(&mut connection).await.map_err(failed)?;
        set_pointer(&mut connection, projection, build.number()).await?;
        let end = format!("notify {SWITCHED};\ncommit");
        raw_sql(AssertSqlSafe(end)).execute(&mut connection).await.map_err(failed)?;
        build.keep();
        self.readers.write().await.answering.insert((projection.name, build.number()));
        let pool = self.pool().await;
        self.renew(&pool).await?;
        let name = projection.name;
        // What nodes of another release read is theirs.
        let Some(old) = old.filter(|old| !old.lent) else { return Ok(()) };
        tokio::spawn(async move {
            tokio::time::sleep(FAREWELL).await;
            if let Err(error) = remove(&mut connection, name, old.generation).await {
                tracing::warn!(%error, "an old generation stays until whoever keeps house removes it");
            }
        });
        Ok(())
    }

    async fn snapshot(&self, projection: &'static Projection) -> Result<Box<dyn Snapshot>, StoreError> {
        let generation = if INLINE.iter().any(|inline| inline.name == projection.name) {
            None
        } else {
            let pointer = self.pointer_of(projection).await?;
            Some(pointer.ok_or(StoreError::Building(projection.name))?.generation)
        };
        Ok(Box::new(PostgresSnapshot::open(&self.servers, projection, generation).await?))
    }
}
