//! `PostgreSQL`: any number of nodes over one log. Log and bookkeeping lie in one schema, inline read models in
//! another, and each generation of a trailing read model in one of its own; the vault has a schema, and on demand a
//! database, of its own. A node keeps nothing: whatever it holds is connections.

mod bind;
mod build;
mod expected;
mod facts;
mod generations;
mod left_over;
pub mod parts;
mod refusals;
mod schema;
mod servers;
mod shared;
mod urls;
mod vault;
mod writer;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use countersign_events::recorded::Position;
use countersign_projections::TRAILING;
use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgRow};
use tokio::sync::RwLock;

use super::{
    StoreError,
    ask::{Ask, Of, Reads},
    replay::AGGREGATED,
    signed,
    statements::{ARRAY_LISTS, Lists},
};

use bind::Statement;
pub use facts::{examine, open_for_reading};
use generations::Pointers;
pub use schema::{Level, Part};
use servers::{Servers, answer};
use shared::Ears;
pub use urls::MalformedUrls;
pub use vault::PostgresVault;
pub use writer::PostgresWriter;

/// The channel on which a commit wakes those who follow the log.
const CHANNEL: &str = "countersign";
/// The channel on which nodes hear that a trailing read model came further.
const FOLLOWED: &str = "countersign_followed";
/// The channel on which nodes hear that another generation is read.
const SWITCHED: &str = "countersign_generations";
/// Connections of a node that read.
const READERS: u32 = 8;
/// No reading takes longer, also where the log is long; what does is of a server that is gone without a word.
const PATIENCE: Duration = Duration::from_mins(2);

/// The store of one database.
pub struct PostgresStore {
    servers: Arc<Servers>,
    readers: RwLock<Readers>,
    /// The writing connection of this node, until somebody takes it.
    writer: Mutex<Option<PostgresWriter>>,
    ears: Ears,
}

/// Connections that see the current generations, by their search path.
struct Readers {
    pool: PgPool,
    /// Where they lead to.
    server: usize,
    pointers: Pointers,
    /// Generations that are read. What lacks much when it is found is not, until its follower says so.
    answering: HashSet<(&'static str, u64)>,
}

/// Adds what lacks so little that it can be read.
async fn note_close(
    connection: &mut PgConnection,
    pointers: &Pointers,
    answering: &mut HashSet<(&'static str, u64)>,
) -> Result<(), StoreError> {
    for (name, pointer) in pointers {
        if !answering.contains(&(*name, pointer.generation))
            && generations::is_close(connection, name, pointer.generation).await?
        {
            answering.insert((*name, pointer.generation));
        }
    }
    Ok(())
}

impl PostgresStore {
    /// Opens the store of a database whose tables are those of this program.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no server answers that takes writes, the database is of another program, or
    /// lacks a step that `countersign migrate` makes.
    pub async fn open(urls: &str) -> Result<Arc<Self>, StoreError> {
        let servers = Arc::new(Servers::parse(urls)?);
        let mut connection = servers.connect(schema::LOG).await?;
        schema::must_open(&mut connection, Part::Log).await?;
        for projection in TRAILING {
            generations::begin(&mut connection, projection).await?;
        }
        let (pointers, mut answering) = (generations::pointers(&mut connection).await?, HashSet::new());
        note_close(&mut connection, &pointers, &mut answering).await?;
        drop(connection.close().await);
        let (server, pool) = servers.readers(&generations::search_path(&pointers), READERS).await?;
        let writer = PostgresWriter::new(servers.clone());
        let readers = RwLock::new(Readers { pool, server, pointers, answering });
        Ok(Arc::new(Self { servers, readers, writer: Mutex::new(Some(writer)), ears: Ears::default() }))
    }

    /// The vault in the same database. Both find together which server takes writes.
    ///
    /// # Errors
    /// As [`PostgresVault::open`].
    pub async fn vault(&self) -> Result<Arc<PostgresVault>, StoreError> {
        PostgresVault::at(self.servers.clone()).await
    }

    /// The writing connection of this node.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when somebody has it already.
    pub fn writer(&self) -> Result<PostgresWriter, StoreError> {
        let taken = || StoreError::Unavailable("this node has its one writer already".to_owned());
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(taken)
    }

    /// The connections that read, at the server that takes writes now, as far as this node knows; with its number.
    async fn current(&self) -> (usize, PgPool) {
        let current = async || {
            let readers = self.readers.read().await;
            (readers.server, readers.pool.clone())
        };
        let (server, pool) = current().await;
        // Where there are no others, these say why.
        if server != self.servers.found() && self.renew(&pool).await.is_ok() {
            return current().await;
        }
        (server, pool)
    }

    async fn pool(&self) -> PgPool {
        self.current().await.1
    }

    /// Other connections: those that there are have failed, lead to a server that takes no writes any more, or see a
    /// generation that is gone.
    async fn renew(&self, failed: &PgPool) -> Result<(), StoreError> {
        let mut readers = self.readers.write().await;
        // Another request was faster.
        if !failed.is_closed() {
            let mut connection = self.servers.connect(schema::LOG).await?;
            let pointers = generations::pointers(&mut connection).await?;
            let mut answering = std::mem::take(&mut readers.answering);
            let noted = note_close(&mut connection, &pointers, &mut answering).await;
            readers.answering.clone_from(&answering);
            noted?;
            drop(connection.close().await);
            let (server, pool) = self.servers.readers(&generations::search_path(&pointers), READERS).await?;
            let old = std::mem::replace(&mut *readers, Readers { pool, server, pointers, answering });
            // Whoever reads finishes; nobody begins on it any more.
            tokio::spawn(async move { old.pool.close().await });
        }
        Ok(())
    }

    /// What a statement answers; asked again on other connections when these were cut, do not answer, or see a
    /// generation that is gone.
    async fn fetch(&self, statement: impl Fn() -> Statement<'static>) -> Result<Vec<PgRow>, StoreError> {
        let (server, pool) = self.current().await;
        let mut moves = self.servers.moves_from(server);
        match answer(&mut moves, PATIENCE, statement().fetch_all(&pool)).await {
            Some(Ok(rows)) => return Ok(rows),
            Some(Err(error)) if !is_stale(&error) => return Err(failed(error)),
            Some(Err(_)) | None => {}
        }
        self.renew(&pool).await?;
        let (server, pool) = self.current().await;
        let mut moves = self.servers.moves_from(server);
        let answered = answer(&mut moves, PATIENCE, statement().fetch_all(&pool)).await;
        answered.ok_or_else(late)?.map_err(failed)
    }
}

#[async_trait]
impl Reads for PostgresStore {
    type Row = PgRow;
    const LISTS: Lists = ARRAY_LISTS;
    const REPLAY: &'static str = AGGREGATED;

    async fn rows(&self, of: Of, ask: Ask) -> Result<Vec<PgRow>, StoreError> {
        if let Of::Model(name) = of {
            let readers = self.readers.read().await;
            let pointer = readers.pointers.get(name);
            if !pointer.is_some_and(|pointer| readers.answering.contains(&(name, pointer.generation))) {
                return Err(StoreError::Building(name));
            }
        }
        self.fetch(|| bind::statement(ask.clone())).await
    }
}

/// Whether other connections may do better: these were cut, or their schema is gone.
fn is_stale(error: &sqlx::Error) -> bool {
    const UNDEFINED_TABLE: &str = "42P01";
    writer::leaves_open(error)
        || error.as_database_error().is_some_and(|told| told.code().as_deref() == Some(UNDEFINED_TABLE))
}

fn late() -> StoreError {
    StoreError::Unavailable("the database did not answer in time".to_owned())
}

/// What the database said, for the operator; it never holds values.
#[expect(clippy::needless_pass_by_value, reason = "made to be named in map_err")]
fn failed(error: sqlx::Error) -> StoreError {
    /// What our triggers say.
    const RESTRICT_VIOLATION: &str = "23001";
    match &error {
        sqlx::Error::Database(told)
            if told.is_unique_violation() || told.code().as_deref() == Some(RESTRICT_VIOLATION) =>
        {
            StoreError::Conflict(told.message().to_owned())
        }
        sqlx::Error::Database(told) => StoreError::Unavailable(told.message().to_owned()),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            StoreError::Corrupt { position: Position(0), detail: error.to_string() }
        }
        error => StoreError::Unavailable(error.to_string()),
    }
}

/// Brings a database to the schema of this program. `url` connects as the owner of the tables, `role` is the one that
/// will run the site.
///
/// # Errors
/// [`StoreError::Unavailable`] when the server cannot be reached, a step fails, or a newer program made it.
pub async fn migrate(url: &str, part: Part, role: &str) -> Result<(), StoreError> {
    let mut connection = Servers::parse(url)?.connect(part.schema()).await?;
    let migrated = schema::migrate(&mut connection, part, role).await;
    drop(connection.close().await);
    migrated
}

/// How far a database is, without changing anything.
///
/// # Errors
/// [`StoreError::Unavailable`] when the server cannot be reached.
pub async fn level(url: &str, part: Part) -> Result<Level, StoreError> {
    let mut connection = Servers::parse(url)?.connect(part.schema()).await?;
    let level = schema::level(&mut connection, part).await;
    drop(connection.close().await);
    level
}

/// Whether a setting names servers as it should; see [`MalformedUrls`].
///
/// # Errors
/// What is wrong with it, without repeating it.
pub fn check_urls(urls: &str) -> Result<(), MalformedUrls> {
    urls::read(urls).map(drop)
}

/// The role that a URL connects as.
///
/// # Errors
/// [`StoreError::Unavailable`] when the URL cannot be read.
pub fn role_of(url: &str) -> Result<String, StoreError> {
    Ok(Servers::parse(url)?.role().to_owned())
}

#[cfg(test)]
mod tests;
