//! Read models as their followers and operators see them: what one transaction of a generation does, what is
//! parked in it, building one beside the one that is read, and snapshots of live rows for comparing.

use async_trait::async_trait;
use countersign_events::{
    ids::EventId,
    recorded::{Position, StreamName},
};
use countersign_projections::{Change, Projection, Table, Value, fold::Row};

use super::{Cursor, Mark, StoreError};

/// An event that a generation does not show: it could not be applied, or waits behind one of its stream that could not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The event.
    pub position: Position,
    /// Its stream.
    pub stream: StreamName,
    /// Why it could not be applied; `None` when it waits behind another.
    pub error: Option<String>,
}

/// What one transaction of a generation does, besides moving the cursor.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// Changes to rows.
    pub changes: Vec<Change>,
    /// Events to park; one that is parked already gets the new error.
    pub parks: Vec<Parked>,
    /// Parked events that rest no longer.
    pub frees: Vec<Position>,
    /// The event that the cursor then is at. Without one, a cursor that stays where it is keeps what it has.
    pub last: Option<EventId>,
}

impl Step {
    /// Whether it leaves copies of texts behind. Rows that a set-based deletion removes hold no texts.
    pub(crate) fn makes_texts_null(&self) -> bool {
        let nulls = |change: &Change| match change {
            Change::PatchWhere { set, .. } => set.iter().any(|(_, value)| *value == Value::Null),
            _ => false,
        };
        self.changes.iter().any(nulls)
    }
}

/// One generation of a trailing read model, for its one follower.
#[async_trait]
pub trait Generation: Send {
    /// How far it came, and at which event.
    async fn mark(&mut self) -> Result<Mark, StoreError>;
    /// How far it came.
    async fn cursor(&mut self) -> Result<Cursor, StoreError> {
        Ok(self.mark().await?.cursor)
    }
    /// What is parked, in the order of the log.
    async fn parked(&mut self) -> Result<Vec<Parked>, StoreError>;
    /// Takes a step and moves the cursor from `from` to `to` in one transaction.
    /// `false`, and nothing changed, when the cursor is not at `from`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the database refuses a row, which is an event's fault.
    async fn step(&mut self, step: Step, from: Cursor, to: Cursor) -> Result<bool, StoreError>;
    /// Applies changes and moves the cursor, as [`Self::step`] does.
    async fn advance(&mut self, changes: Vec<Change>, from: Cursor, to: Cursor) -> Result<bool, StoreError> {
        self.step(Step { changes, ..Step::default() }, from, to).await
    }
    /// Leaves no copy of texts that set-based changes made null in the files; does nothing when there were none since
    /// the last time, also before a stop.
    async fn scrub(&mut self) -> Result<(), StoreError>;
}

/// What a generation is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildPurpose {
    /// To be read in the place of the current one.
    Switch,
    /// To be compared with the current one and thrown away. Inline read models can be built so, too.
    Compare,
}

/// A generation that nobody reads yet. Dropping it throws it away, unless [`Generations::switch`] took it.
#[async_trait]
pub trait Build: Send {
    /// Its number.
    fn number(&self) -> u64;
    /// Adds rows to a table that has none with their keys; in the order of their keys they are the fastest.
    async fn fill(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError>;
    /// The same for a table that may have rows with their keys: those are replaced.
    async fn add(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError>;
    /// Makes what was filled durable, with its indexes, cursor and parked events; from here on it can be followed.
    async fn finish(&mut self, parked: &[Parked], through: Cursor) -> Result<(), StoreError>;
    /// It, for following the log further.
    async fn generation(&self) -> Result<Box<dyn Generation>, StoreError>;
    /// Its rows.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError>;
    /// Dropping it throws it away no longer.
    fn keep(&mut self);
}

/// Rows at one moment; nobody waits for it, and it sees nothing that is written later.
#[async_trait]
pub trait Snapshot: Send {
    /// Through which position the rows were made.
    fn through(&self) -> Cursor;
    /// What is parked; nothing ever in an inline read model.
    async fn parked(&mut self) -> Result<Vec<Parked>, StoreError>;
    /// Rows of a table in the order of its key, after a key, at most `limit`.
    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&[Value]>,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError>;
}

/// What there is of a trailing projection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Made {
    /// Nothing that this program can read: it is lost, damaged, or has other tables.
    #[default]
    Missing,
    /// A generation that nodes of another release follow, with the tables of this one. It is read until one of this
    /// revision is built, and not moved.
    Lent,
    /// A generation of another revision with the tables of this one. It is read and moved until one of this revision
    /// is built.
    Outdated,
    /// A generation of this revision.
    Current,
}

/// What there is of a trailing projection, and whether it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Availability {
    /// What there is.
    pub made: Made,
    /// Whether reads are answered from it. What lacks more than [`CLOSE`] events when it is opened is not read before
    /// it has caught up: what it says may be long over.
    pub answers: bool,
}

/// A generation that lacks at most so many events is read: it has them in a moment.
pub const CLOSE: u64 = 2_000;

impl Cursor {
    /// Whether a generation that came so far can be read.
    #[must_use]
    pub const fn is_close_to(self, head: Position) -> bool {
        head.0.saturating_sub(self.position.0) <= CLOSE
    }
}

/// The generations of read models.
#[async_trait]
pub trait Generations: Send + Sync {
    /// What there is of a trailing projection. On an empty log its first generation is made.
    async fn availability(&self, projection: &'static Projection) -> Result<Availability, StoreError>;
    /// Reads of a trailing projection are answered from now on.
    async fn let_read(&self, projection: &'static Projection) -> Result<(), StoreError>;
    /// The generation of a trailing projection that is to be moved.
    ///
    /// # Errors
    /// [`StoreError::Building`] when there is none.
    async fn generation(&self, projection: &'static Projection) -> Result<Box<dyn Generation>, StoreError>;
    /// How far the generation of a trailing projection came, and at which event; nowhere when there is none.
    async fn mark(&self, projection: &'static Projection) -> Result<Mark, StoreError>;
    /// How far the generation of a trailing projection came; nowhere when there is none.
    async fn cursor(&self, projection: &'static Projection) -> Result<Cursor, StoreError> {
        Ok(self.mark(projection).await?.cursor)
    }
    /// The number of the generation of a trailing projection; 0 when there is none.
    async fn current(&self, projection: &'static Projection) -> Result<u64, StoreError>;
    /// What is parked in the generation of a trailing projection, in the order of the log.
    async fn parked(&self, projection: &'static Projection) -> Result<Vec<Parked>, StoreError>;
    /// Begins a generation beside the current one; what an earlier, broken-off build left is removed.
    async fn build(&self, projection: &'static Projection, purpose: BuildPurpose)
    -> Result<Box<dyn Build>, StoreError>;
    /// Has a finished generation read from now on, by moving the pointer in one transaction. Readers of the old one
    /// finish undisturbed; then it is removed.
    async fn switch(&self, projection: &'static Projection, build: Box<dyn Build>) -> Result<(), StoreError>;
    /// Leaves nothing beside the files of generations, before a stop, as far as nobody reads them.
    async fn rest(&self) {}
    /// The live rows of a projection, inline or trailing.
    async fn snapshot(&self, projection: &'static Projection) -> Result<Box<dyn Snapshot>, StoreError>;
}
