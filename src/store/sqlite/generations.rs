//! The generations of trailing read models: a file each, with the pointer to the current one in the log's
//! database. Building one beside it is in `build`.

use std::{
    collections::HashMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use countersign_events::recorded::Position;
use countersign_projections::{INLINE, Projection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _, SqliteConnection, SqlitePool, query, raw_sql};
use tokio::sync::RwLock;

use super::{
    super::{
        Availability, Build, BuildPurpose, Cursor, Generation, Generations, Made, Mark, Parked, Snapshot, Step,
        StoreError,
        changes::{self, Placeholders, Planner, ddl},
        convert, statements,
    },
    READERS, SqliteStore, bind,
    build::{SqliteBuild, SqliteSnapshot},
    purge, schema, signed, unavailable,
    writer::undo,
};

pub(super) const CREATE_CURSOR: &str = "create table cursor (\n\
    id integer primary key not null check (id = 1),\n\
    epoch integer not null,\n\
    position integer not null,\n    \
    event_id blob check (length(event_id) = 16)\n) strict;\n\
    insert into cursor (id, epoch, position) values (1, 0, 0)";
/// One that an earlier release made may have no such table yet.
pub(super) const CREATE_PARKED: &str = "create table if not exists parked (\n\
    position integer primary key not null,\n\
    stream text not null,\n\
    error text\n) strict";
/// Of a generation that an earlier release made.
const HAS_EVENT_ID: &str = "select 1\nfrom pragma_table_info('cursor')\nwhere name = 'event_id'";
const ADD_EVENT_ID: &str = "alter table cursor add column event_id blob check (length(event_id) = 16)";
/// Begins; answers with a row only when the cursor was where it had to be.
pub(super) const MOVE_CURSOR: &str = "begin immediate;\nupdate cursor\n\
    set epoch = ?1, position = ?2, event_id = coalesce(?5, case when position = ?2 then event_id end)\n\
    where epoch = ?3 and position = ?4\nreturning position";
pub(super) const COLUMNS: &str = "select name, lower(type)\nfrom pragma_table_info(?)\norder by name";
/// The revision of a generation that was begun by one release and is moved by another until its own is built. No
/// release has it.
const NO_REVISION: u32 = 0;
/// What is built only to be compared lies in files that begin with this.
const SCRATCH: &str = "check-";
/// A pointer is moved between two commits of the log; so often it is tried.
const TRIES: u32 = 12;
/// How often it is looked whether the readers of an old generation are done, and for how long.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS: u32 = 6_000;
/// How long a stop waits for readers to let go of write-ahead logs.
const RESTING: Duration = Duration::from_secs(5);

/// The generations that are read.
pub(super) struct Models {
    log: PathBuf,
    directory: PathBuf,
    open: RwLock<HashMap<&'static str, Known>>,
    scratches: AtomicU64,
}

/// What there is of a read model.
#[derive(Clone)]
struct Known {
    /// The revision that was asked for.
    revision: u32,
    availability: Availability,
    /// The one that is pointed at; 0 when there is no pointer.
    generation: u64,
    /// Whoever reads holds it; a generation is removed when nobody does any more. None where nothing can be read.
    readers: Option<Arc<SqlitePool>>,
}

impl Models {
    /// Removes what comparing left behind when it was broken off.
    pub(super) fn open(log: PathBuf, directory: PathBuf) -> Result<Self, StoreError> {
        remove_matching(&directory, |file| file.starts_with(SCRATCH))?;
        Ok(Self { log, directory, open: RwLock::default(), scratches: AtomicU64::default() })
    }

    fn file(&self, name: &str, generation: u64) -> PathBuf {
        self.directory.join(format!("{name}-{generation}.db"))
    }

    /// What there is of a projection; looked for when it is first asked for.
    pub(super) async fn ensure(&self, projection: &'static Projection) -> Result<(), StoreError> {
        self.known(projection).await.map(drop)
    }

    async fn known(&self, projection: &'static Projection) -> Result<Known, StoreError> {
        if let Some(known) = self.open.read().await.get(projection.name)
            && known.revision == projection.revision
        {
            return Ok(known.clone());
        }
        let mut open = self.open.write().await;
        let known = self.find(projection).await?;
        if let Some(old) = open.insert(projection.name, known.clone()).and_then(|old| old.readers) {
            old.close().await;
        }
        let is_other = |file: &str| number_of(file, projection.name).is_some_and(|number| number != known.generation);
        remove_matching(&self.directory, is_other)?;
        Ok(known)
    }

    /// Follows the pointer, under the lock of the log's database. Where there is no event yet, an empty generation is
    /// all that there is to show; else nothing is made here: what lacks events must not be read.
    async fn find(&self, projection: &'static Projection) -> Result<Known, StoreError> {
        let mut connection = schema::log_writer(&self.log).connect().await.map_err(unavailable)?;
        raw_sql("begin immediate").execute(&mut connection).await.map_err(unavailable)?;
        let row = query(statements::GENERATION)
            .bind(projection.name)
            .fetch_optional(&mut connection)
            .await
            .map_err(unavailable)?;
        let (revision, mut generation): (u32, u64) = match &row {
            Some(row) => (convert::number(row, "revision")?, convert::number(row, "generation")?),
            None => (NO_REVISION, 0),
        };
        let row = query(statements::HEAD).fetch_one(&mut connection).await.map_err(unavailable)?;
        let head = convert::head(&row)?.position;
        let mut cursor = look(&self.file(projection.name, generation), projection).await?;
        let mut made = match cursor {
            None => Made::Missing,
            Some(_) if revision == projection.revision => Made::Current,
            Some(_) => Made::Outdated,
        };
        if head == Position(0) && made != Made::Current {
            generation += 1;
            create(&self.file(projection.name, generation), projection).await?;
            set_pointer(&mut connection, projection.name, projection.revision, generation).await?;
            (made, cursor) = (Made::Current, Some(Cursor::default()));
        } else if made == Made::Outdated && revision != NO_REVISION {
            // This release moves it from here on: no other must take it for its own.
            set_pointer(&mut connection, projection.name, NO_REVISION, generation).await?;
        }
        raw_sql("commit").execute(&mut connection).await.map_err(unavailable)?;
        connection.close().await.map_err(unavailable)?;
        let answers = cursor.is_some_and(|cursor| cursor.is_close_to(head));
        let readers = cursor.map(|_| Arc::new(schema::readers(&self.file(projection.name, generation), READERS)));
        Ok(Known { revision: projection.revision, availability: Availability { made, answers }, generation, readers })
    }

    /// Moves the pointer. The log's writer commits all the time; in between there is room for a short transaction.
    async fn repoint(&self, projection: &'static Projection, generation: u64) -> Result<(), StoreError> {
        let mut connection = schema::log_writer(&self.log).connect().await.map_err(unavailable)?;
        let mut tries = 1;
        while let Err(error) = raw_sql("begin immediate").execute(&mut connection).await {
            if tries == TRIES {
                return Err(unavailable(error));
            }
            tries += 1;
        }
        set_pointer(&mut connection, projection.name, projection.revision, generation).await?;
        raw_sql("commit").execute(&mut connection).await.map_err(unavailable)?;
        // It is done; what closing says changes nothing of that.
        let _ = connection.close().await;
        Ok(())
    }

    /// Connections that read a generation. Hold it while you read.
    ///
    /// # Errors
    /// [`StoreError::Building`] when there is none that can be read.
    pub(super) async fn readers(&self, name: &'static str) -> Result<Arc<SqlitePool>, StoreError> {
        let open = self.open.read().await;
        let known = open.get(name).filter(|known| known.availability.answers);
        known.and_then(|known| known.readers.clone()).ok_or(StoreError::Building(name))
    }
}

/// How far the generation in a file came; nothing when it is lost, damaged or has not the tables of this projection. What
/// is damaged is made anew like what is lost: the log has everything.
async fn look(file: &Path, projection: &Projection) -> Result<Option<Cursor>, StoreError> {
    const CORRUPT: u32 = 11;
    const NOT_A_DATABASE: u32 = 26;
    let anew = |why: &str| tracing::warn!(file = %file.display(), why, "a read model is built anew from the log");
    // Opening an empty file makes a database of it.
    if fs::metadata(file).map_or(true, |about| about.len() == 0) {
        return Ok(None);
    }
    if is_cut(file) {
        anew("it is shorter than it says");
        return Ok(None);
    }
    let read = async {
        let mut connection = schema::model_writer(file).connect().await?;
        let mut fits = !columns(&mut connection, "cursor").await?.is_empty();
        for table in projection.tables {
            let mut wanted: Vec<_> = table.key.iter().chain(table.columns).map(changes::column).collect();
            wanted.sort();
            fits &= columns(&mut connection, table.name).await? == wanted;
        }
        let mut row = None;
        if fits {
            raw_sql(CREATE_PARKED).execute(&mut connection).await?;
            if query(HAS_EVENT_ID).fetch_optional(&mut connection).await?.is_none() {
                raw_sql(ADD_EVENT_ID).execute(&mut connection).await?;
            }
            row = query(statements::CURSOR).fetch_optional(&mut connection).await?;
        }
        connection.close().await?;
        Ok::<_, sqlx::Error>(row)
    };
    match read.await {
        Ok(Some(row)) => convert::cursor(&row).map(Some),
        Ok(None) => {
            anew("it has not the tables of this release");
            Ok(None)
        }
        Err(error) => {
            let code = error.as_database_error().and_then(|told| told.code()?.parse::<u32>().ok());
            if matches!(code.map(|extended| extended & 0xFF), Some(CORRUPT | NOT_A_DATABASE)) {
                anew("it is damaged");
                return Ok(None);
            }
            Err(match unavailable(error) {
                StoreError::Unavailable(told) => StoreError::Unavailable(format!("{}: {told}", file.display())),
                error => error,
            })
        }
    }
}

/// Whether a file has fewer pages than its head says: a connection finds out when it first reads one of those. One that
/// cannot be read, or is no database, says so itself.
fn is_cut(file: &Path) -> bool {
    let mut head = [0; 32];
    let read = fs::File::open(file).and_then(|mut file| {
        file.read_exact(&mut head)?;
        file.metadata()
    });
    let Ok(about) = read else { return false };
    let [.., high, low] = *head.first_chunk::<18>().expect("it is longer");
    let page = match u16::from_be_bytes([high, low]) {
        1 => 65_536,
        page => u64::from(page),
    };
    let pages = u32::from_be_bytes(*head.last_chunk().expect("it is longer"));
    head.starts_with(b"SQLite format 3") && about.len() < page * u64::from(pages)
}

/// The columns of a table with their types, sorted; none when there is no such table.
async fn columns(connection: &mut SqliteConnection, table: &str) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = query(COLUMNS).bind(table.to_owned()).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn set_pointer(
    connection: &mut SqliteConnection,
    name: &str,
    revision: u32,
    generation: u64,
) -> Result<(), StoreError> {
    let statement = query(statements::SET_GENERATION).bind(name).bind(i64::from(revision)).bind(signed(generation));
    statement.execute(connection).await.map(drop).map_err(unavailable)
}

/// The number of the generation that a file belongs to, when it is one of this projection. What somebody put aside under
/// a longer name is nobody's to remove.
fn number_of(file: &str, name: &str) -> Option<u64> {
    let (number, beside) = file.strip_prefix(name)?.strip_prefix('-')?.split_once(".db")?;
    if ["", "-wal", "-shm", "-journal"].contains(&beside) { number.parse().ok() } else { None }
}

/// Removes files of a directory, by their names.
fn remove_matching(directory: &Path, matches: impl Fn(&str) -> bool) -> Result<(), StoreError> {
    let failed = |error| StoreError::Unavailable(format!("cannot tidy {}: {error}", directory.display()));
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_str().is_some_and(&matches) {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// Removes a database with the files beside it, as far as they are there.
pub(super) fn remove(file: &Path) -> Result<(), StoreError> {
    for beside in ["", "-wal", "-shm"] {
        let mut path = file.as_os_str().to_owned();
        path.push(beside);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Unavailable(format!("cannot remove {}: {error}", file.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes the file of a generation: its tables, and a cursor before the first event.
async fn create(file: &Path, projection: &Projection) -> Result<(), StoreError> {
    // Left over from a start that was cut short: nothing points at it.
    remove(file)?;
    schema::make_file(file)?;
    let mut connection = schema::model_writer(file).connect().await.map_err(unavailable)?;
    let mut transaction = connection.begin().await.map_err(unavailable)?;
    for statement in projection.tables.iter().flat_map(|table| ddl(table)) {
        raw_sql(AssertSqlSafe(statement)).execute(&mut *transaction).await.map_err(unavailable)?;
    }
    for create in [CREATE_CURSOR, CREATE_PARKED] {
        raw_sql(create).execute(&mut *transaction).await.map_err(unavailable)?;
    }
    transaction.commit().await.map_err(unavailable)?;
    connection.close().await.map_err(unavailable)
}

/// A generation, for its one follower.
pub(super) struct SqliteGeneration {
    connection: SqliteConnection,
    planner: Planner,
    /// Whether the file may hold copies of texts that were made null.
    scrub_wanted: bool,
}

impl SqliteGeneration {
    pub(super) async fn open(file: &Path) -> Result<Self, StoreError> {
        let mut connection = schema::model_writer(file).connect().await.map_err(unavailable)?;
        let scrub_wanted = purge::is_scrub_wanted(&mut connection).await?;
        Ok(Self { connection, planner: Planner::new(Placeholders::Anonymous), scrub_wanted })
    }

    async fn take(
        &mut self,
        steps: Vec<changes::Step>,
        nulls: bool,
        parks: &[Parked],
        frees: &[Position],
    ) -> Result<(), StoreError> {
        for changes::Step { sql, values } in steps {
            let statement = values.into_iter().fold(query(AssertSqlSafe(sql)), bind::value);
            statement.execute(&mut self.connection).await.map_err(refused)?;
        }
        for parked in parks {
            park(&mut self.connection, parked).await?;
        }
        for position in frees {
            let free = query(statements::FREE).bind(signed(position.0));
            free.execute(&mut self.connection).await.map_err(unavailable)?;
        }
        if nulls {
            raw_sql(purge::WANT_SCRUB).execute(&mut self.connection).await.map_err(unavailable)?;
        }
        raw_sql("commit").execute(&mut self.connection).await.map(drop).map_err(unavailable)
    }
}

pub(super) async fn park(connection: &mut SqliteConnection, parked: &Parked) -> Result<(), StoreError> {
    let statement = query(statements::PARK)
        .bind(signed(parked.position.0))
        .bind(parked.stream.to_string())
        .bind(parked.error.clone());
    statement.execute(connection).await.map(drop).map_err(unavailable)
}

/// A row that the database refuses (too big, against a constraint, of the wrong type) is its event's fault;
/// everything else is the database's.
fn refused(error: sqlx::Error) -> StoreError {
    const TOO_BIG: u32 = 18;
    const CONSTRAINT: u32 = 19;
    const MISMATCH: u32 = 20;
    let code = error.as_database_error().and_then(|told| told.code()?.parse::<u32>().ok());
    match (code.map(|extended| extended & 0xFF), &error) {
        (Some(TOO_BIG | CONSTRAINT | MISMATCH), sqlx::Error::Database(told)) => {
            StoreError::Conflict(told.message().to_owned())
        }
        _ => unavailable(error),
    }
}

#[async_trait]
impl Generation for SqliteGeneration {
    async fn mark(&mut self) -> Result<Mark, StoreError> {
        let row = query(statements::MARK).fetch_one(&mut self.connection).await.map_err(unavailable)?;
        convert::mark(&row)
    }

    async fn parked(&mut self) -> Result<Vec<Parked>, StoreError> {
        let rows = query(statements::PARKED).fetch_all(&mut self.connection).await.map_err(unavailable)?;
        rows.iter().map(convert::parked).collect()
    }

    async fn step(&mut self, step: Step, from: Cursor, to: Cursor) -> Result<bool, StoreError> {
        let nulls = step.makes_texts_null();
        let last = step.last.map(|event| event.0.as_bytes().to_vec());
        let steps = self.planner.plan(step.changes);
        let moved = query(MOVE_CURSOR)
            .bind(i64::from(to.epoch))
            .bind(signed(to.position.0))
            .bind(i64::from(from.epoch))
            .bind(signed(from.position.0))
            .bind(last)
            .fetch_all(&mut self.connection)
            .await
            .map_err(unavailable);
        let result = match moved {
            Ok(moved) if moved.is_empty() => Ok(false),
            Ok(_) => self.take(steps, nulls, &step.parks, &step.frees).await.map(|()| true),
            Err(error) => Err(error),
        };
        if !matches!(result, Ok(true)) {
            undo(&mut self.connection).await?;
        } else if nulls {
            self.scrub_wanted = true;
        }
        result
    }

    async fn scrub(&mut self) -> Result<(), StoreError> {
        if self.scrub_wanted {
            self.scrub_wanted = !purge::scrub(&mut self.connection).await?;
        }
        Ok(())
    }
}

/// Waits until nobody reads an old generation any more, then removes it. What is cut short here, the next start tidies.
async fn retire(readers: Option<Arc<SqlitePool>>, file: PathBuf) {
    if let Some(readers) = readers {
        for _ in 0..LOOKS {
            if Arc::strong_count(&readers) == 1 {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        readers.close().await;
    }
    if let Err(error) = remove(&file) {
        tracing::warn!(%error, "an old generation stays until the next start");
    }
}

#[async_trait]
impl Generations for SqliteStore {
    async fn availability(&self, projection: &'static Projection) -> Result<Availability, StoreError> {
        Ok(self.models.known(projection).await?.availability)
    }

    async fn let_read(&self, projection: &'static Projection) -> Result<(), StoreError> {
        if let Some(known) = self.models.open.write().await.get_mut(projection.name) {
            known.availability.answers = known.readers.is_some();
        }
        Ok(())
    }

    async fn generation(&self, projection: &'static Projection) -> Result<Box<dyn Generation>, StoreError> {
        let known = self.models.known(projection).await?;
        if known.availability.made == Made::Missing {
            return Err(StoreError::Building(projection.name));
        }
        Ok(Box::new(SqliteGeneration::open(&self.models.file(projection.name, known.generation)).await?))
    }

    async fn mark(&self, projection: &'static Projection) -> Result<Mark, StoreError> {
        let Some(readers) = self.models.known(projection).await?.readers else { return Ok(Mark::default()) };
        let row = query(statements::MARK).fetch_one(&*readers).await.map_err(unavailable)?;
        convert::mark(&row)
    }

    async fn current(&self, projection: &'static Projection) -> Result<u64, StoreError> {
        let known = self.models.known(projection).await?;
        Ok(if known.availability.made == Made::Missing { 0 } else { known.generation })
    }

    async fn parked(&self, projection: &'static Projection) -> Result<Vec<Parked>, StoreError> {
        let Some(readers) = self.models.known(projection).await?.readers else { return Ok(vec![]) };
        let rows = query(statements::PARKED).fetch_all(&*readers).await.map_err(unavailable)?;
        rows.iter().map(convert::parked).collect()
    }

    async fn build(
        &self,
        projection: &'static Projection,
        purpose: BuildPurpose,
    ) -> Result<Box<dyn Build>, StoreError> {
        // Whoever took the directory away while the site ran has it back.
        schema::make_directory(&self.models.directory)?;
        let (number, file) = match purpose {
            BuildPurpose::Switch => {
                let number = self.models.known(projection).await?.generation + 1;
                (number, self.models.file(projection.name, number))
            }
            BuildPurpose::Compare => {
                let number = self.models.scratches.fetch_add(1, Ordering::Relaxed);
                (number, self.models.directory.join(format!("{SCRATCH}{}-{number}.db", projection.name)))
            }
        };
        Ok(Box::new(SqliteBuild::begin(projection, number, file).await?))
    }

    async fn switch(&self, projection: &'static Projection, mut build: Box<dyn Build>) -> Result<(), StoreError> {
        let generation = build.number();
        let readers = Some(Arc::new(schema::readers(&self.models.file(projection.name, generation), READERS)));
        let availability = Availability { made: Made::Current, answers: true };
        let known = Known { revision: projection.revision, availability, generation, readers };
        self.models.repoint(projection, generation).await?;
        build.keep();
        if let Some(old) = self.models.open.write().await.insert(projection.name, known) {
            let file = self.models.file(projection.name, old.generation);
            tokio::spawn(retire(old.readers, file));
        }
        Ok(())
    }

    async fn rest(&self) {
        let known: Vec<_> = self.models.open.read().await.iter().map(|(name, known)| (*name, known.clone())).collect();
        let rested = async {
            for (name, known) in known.into_iter().filter(|(_, known)| known.readers.is_some()) {
                let file = self.models.file(name, known.generation);
                let mut connection = schema::model_writer(&file).connect().await.map_err(unavailable)?;
                purge::truncate(&mut connection).await?;
                connection.close().await.map_err(unavailable)?;
            }
            Ok::<_, StoreError>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(RESTING, rested).await {
            tracing::debug!(%error, "a read model keeps its write-ahead log");
        }
    }

    async fn snapshot(&self, projection: &'static Projection) -> Result<Box<dyn Snapshot>, StoreError> {
        if INLINE.iter().any(|inline| inline.name == projection.name) {
            return Ok(Box::new(SqliteSnapshot::open(&self.models.log, true).await?));
        }
        let known = self.models.known(projection).await?;
        if known.availability.made == Made::Missing {
            return Err(StoreError::Building(projection.name));
        }
        Ok(Box::new(SqliteSnapshot::open(&self.models.file(projection.name, known.generation), false).await?))
    }
}
