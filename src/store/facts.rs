//! What is true of the stored data as a whole, for whoever examines a site. What is wrong about it, and how it is
//! mended, is for them to say.

use std::path::PathBuf;

use async_trait::async_trait;
use countersign_events::{
    ids::{DataKeyId, SecretId, UserId},
    recorded::{Position, Timestamp},
};
use countersign_projections::Projection;

use super::{Cursor, Head, Snapshot, StoreError, StoredEvent};
use crate::judged_time::Anchor;

/// The facts, as far as they could be read.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The database engine with its version.
    pub engine: String,
    /// Every database: log, vault, and the generations that are read.
    pub databases: Vec<Database>,
    /// The log.
    pub log: Option<LogFacts>,
    /// The read models, inline ones first.
    pub models: Vec<ModelFacts>,
    /// Files of generations that nothing points at; none are told where the pointers cannot be read.
    pub leftovers: Vec<PathBuf>,
    /// The members, held against the vault; `None` where the two cannot be compared.
    pub members: Option<Members>,
    /// Their names; none where they could not be read.
    pub usernames: Vec<String>,
    /// The id and the wrapped data key of the site.
    pub site_key: Option<(DataKeyId, Vec<u8>)>,
}

/// One database.
#[derive(Debug, Clone, Default)]
pub struct Database {
    /// Its file.
    pub file: PathBuf,
    /// The size of its write-ahead log; `None` when there is none.
    pub wal_bytes: Option<u64>,
    /// The schema it has, and the newest that this program knows; generations have none.
    pub schema: Option<(i64, i64)>,
    /// The oldest program that works with that schema, by the newest schema that it knows; `None` where each works with
    /// its own alone.
    pub oldest: Option<i64>,
    /// What the steps of its schema made and it lacks, or has otherwise.
    pub lacks: Vec<Lack>,
    /// What is damaged, when that was looked for; empty when nothing is.
    pub damage: Option<Vec<String>>,
    /// Why it, or a part of it, could not be read.
    pub error: Option<Unreadable>,
}

/// A part of a schema that is not as its steps made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// Such as `trigger events_are_not_deleted`.
    pub what: String,
    /// How it can be made again.
    pub again: Again,
}

impl Lack {
    /// A table or an index of a read model that is not there.
    pub(super) fn of_model(kind: &str, name: &str, model: &'static str) -> Self {
        Self { what: format!("the {kind} {name} of {model} is missing"), again: Again::WithModel(model) }
    }

    /// Whether it is a table that is not there, with its rows.
    pub(super) fn is_table(&self) -> bool {
        self.what.starts_with("the table ")
    }
}

/// How a part of a schema can be made again without a guess at what was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// By its step: it holds no rows.
    ByStep,
    /// With this read model.
    WithModel(&'static str),
    /// With a copy of the database: it held rows.
    FromCopy,
    /// Not at all.
    Never,
}

impl Again {
    /// The read model with which it is made again.
    #[must_use]
    pub const fn model(&self) -> Option<&'static str> {
        match self {
            Self::WithModel(model) => Some(model),
            Self::ByStep | Self::FromCopy | Self::Never => None,
        }
    }
}

/// Why a database could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// There is no such file.
    Missing,
    /// The file has no byte.
    Empty,
    /// Something of another kind is in the place of the file, or of the directory it belongs into: where, and what it is.
    Misplaced(PathBuf, String),
    /// This account may not.
    Denied(String),
    /// It is no database, or not whole.
    Damaged(String),
    /// It does not answer.
    Silent(String),
}

impl From<StoreError> for Unreadable {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt { detail, .. } => Self::Damaged(detail),
            StoreError::Unavailable(told) | StoreError::Conflict(told) | StoreError::NotTheNewest(told) => {
                Self::Silent(told)
            }
            error @ (StoreError::Building(_) | StoreError::VaultLacks { .. }) => Self::Silent(error.to_string()),
        }
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Empty => f.write_str("is empty: it has 0 bytes"),
            Self::Denied(told) => write!(f, "cannot be read by this account: {told}"),
            Self::Damaged(told) => write!(f, "is damaged: {told}"),
            Self::Misplaced(_, told) | Self::Silent(told) => write!(f, "cannot be read: {told}"),
        }
    }
}

/// The log.
#[derive(Debug, Clone)]
pub struct LogFacts {
    /// Its end, as the head row says.
    pub head: Head,
    /// Its last event, as the events say.
    pub last: Option<(Position, Timestamp)>,
    /// How many events there are.
    pub count: u64,
    /// The first place where positions do not follow on each other: the one before, and the one after it.
    pub hole: Option<(Position, Position)>,
    /// Epochs with the position that each began after.
    pub epochs: Vec<(u32, Position)>,
    /// What time it was when that was stored last; `None` before the first time, or in an earlier schema.
    pub anchor: Option<Anchor>,
    /// The cut-off of dead rows.
    pub cut_off: Timestamp,
    /// The clock of the database, where it has one of its own.
    pub now: Option<Timestamp>,
}

/// A read model.
#[derive(Debug, Clone)]
pub struct ModelFacts {
    /// Its name.
    pub name: &'static str,
    /// Whether it follows the log, or changes with it.
    pub trailing: bool,
    /// The revision that was built; `None` when none was.
    pub revision: Option<u32>,
    /// The revision that this program wants.
    pub wanted: u32,
    /// How far it came, when it follows the log and could be read.
    pub cursor: Option<Cursor>,
    /// Streams that rest in it.
    pub parked: u64,
    /// Why there is nothing of it to read, where its database can be read.
    pub lost: Option<String>,
}

/// Members who are not erased, and what the vault should have of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// How many there are.
    pub count: u64,
    /// Those whose data key is not there.
    pub without_key: Named,
    /// Those whose password verifier is not there.
    pub without_verifier: Named,
}

/// Members of whom the first few are named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Vec<UserId>,
}

impl Named {
    const NAMED: usize = 3;

    pub(super) fn add(&mut self, user: UserId) {
        self.count += 1;
        if self.first.len() < Self::NAMED {
            self.first.push(user);
        }
    }
}

/// A log and its vault that are read through without changing either.
#[async_trait]
pub trait Opened: Send {
    /// The end of the log, as the head row says.
    async fn head(&mut self) -> Result<Head, StoreError>;
    /// Events after a position as they lie there, in order, at most `limit`; a gap is for the caller to see.
    async fn events(&mut self, after: Position, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;
    /// Streams whose versions are not 1, 2, 3 … in the order of their positions, at most `limit`.
    async fn disordered_streams(&mut self, limit: u32) -> Result<Vec<String>, StoreError>;
    /// A wrapped data key.
    async fn data_key(&mut self, id: DataKeyId) -> Result<Option<Vec<u8>>, StoreError>;
    /// Whether a held secret is there.
    async fn holds(&mut self, id: SecretId) -> Result<bool, StoreError>;
}

/// A log with its vault and its read models, looked at without changing any of them.
#[async_trait]
pub trait Shown: Opened {
    /// The rows of a read model at one moment; `None` where this program has none to read.
    async fn shown(&mut self, projection: &'static Projection) -> Result<Option<Box<dyn Snapshot>>, StoreError>;
    /// The events after a position, through another, whose streams' names lie between two texts, the second left out.
    async fn events_between(
        &mut self,
        after: Position,
        through: Position,
        streams: (&str, &str),
    ) -> Result<Vec<StoredEvent>, StoreError>;
    /// The cut-off of dead rows.
    async fn cut_off(&mut self) -> Result<Timestamp, StoreError>;
}
