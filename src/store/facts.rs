//! What is true of the stored data as a whole, for whoever examines a site. What is wrong about it, and how it is
//! mended, is for them to say.

use std::path::PathBuf;

use countersign_events::{
    ids::DataKeyId,
    recorded::{Position, Timestamp},
};

use super::{Cursor, Head};
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
    /// Files of generations that nothing points at.
    pub leftovers: Vec<PathBuf>,
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
    /// What is damaged, when that was looked for; empty when nothing is.
    pub damage: Option<Vec<String>>,
    /// Why it could not be read.
    pub error: Option<String>,
}

/// The log.
#[derive(Debug, Clone)]
pub struct LogFacts {
    /// Its end, as the head row says.
    pub head: Head,
    /// Its last event, as the events say.
    pub last: Option<(Position, Timestamp)>,
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
}
