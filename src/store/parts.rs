//! The parts of a site as they lie there, read without changing or making anything, so that they can be compared before
//! any of them is opened. What it means that one is missing, older or another site's is for `crate::parts` to say.

use countersign_events::{
    ids::{DataKeyId, EventId},
    recorded::Position,
};
use uuid::Uuid;

use super::{LogIdentity, Mark};

/// What lies in the place of a part.
#[derive(Debug, Clone, Default)]
pub enum Part<T> {
    /// Nothing.
    #[default]
    Missing,
    /// A file or tables that hold nothing.
    Empty,
    /// It.
    Holds(T),
    /// Something that cannot be read, for this reason.
    Unreadable(String),
}

impl<T> Part<T> {
    /// What it holds.
    #[must_use]
    pub const fn held(&self) -> Option<&T> {
        match self {
            Self::Holds(part) => Some(part),
            Self::Missing | Self::Empty | Self::Unreadable(_) => None,
        }
    }

    /// Whether there is nothing in it that could be lost.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::Missing | Self::Empty)
    }
}

/// The log.
#[derive(Debug, Clone, Copy)]
pub struct LogPart {
    /// Which site's it is, and what it has noted of the vault.
    pub identity: LogIdentity,
    /// Its end.
    pub end: Mark,
    /// The id of its event where the vault has seen its newest.
    pub at_seen: Option<EventId>,
    /// Where the epoch began that follows the one in which the vault has seen its newest: what was behind it was cut off
    /// by a promotion, on record.
    pub cut: Option<Position>,
}

/// The vault.
#[derive(Debug, Clone)]
pub struct VaultPart {
    /// Which site's it is; `None` until it has adopted an id.
    pub site: Option<Uuid>,
    /// The newest event that it has seen in the log.
    pub seen: Mark,
    /// The id and the wrapped data key of the site.
    pub site_key: Option<(DataKeyId, Vec<u8>)>,
    /// Whether it holds nothing of any member and has seen no event: it was just made.
    pub is_fresh: bool,
}

/// A trailing read model.
#[derive(Debug, Clone, Copy)]
pub struct ModelPart {
    /// Its name.
    pub name: &'static str,
    /// How far it came.
    pub mark: Mark,
    /// The id of the log's event there.
    pub in_log: Option<EventId>,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// The log.
    pub log: Part<LogPart>,
    /// The vault.
    pub vault: Part<VaultPart>,
    /// The read models that the log points at, as far as they are there.
    pub models: Vec<ModelPart>,
    /// Whether files of read models lie there, whatever points at them. Never, where they lie in the log's database.
    pub has_models: bool,
}

/// How often the parts are read once more, when a running site told the vault something in between.
pub(super) const RACES: u32 = 3;

impl Parts {
    /// Whether the vault was read before the log noted what it has seen, or is an older one.
    pub(super) fn vault_is_behind(&self) -> bool {
        let seen = |vault: &VaultPart| vault.seen.cursor;
        let noted = self.log.held().map(|log| log.identity.vault_seen);
        self.vault.held().map(seen).zip(noted).is_some_and(|(seen, noted)| seen < noted)
    }

    /// Whether there is nothing of a site.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.holds_nothing() && !self.has_models
    }

    /// Whether log and vault have nothing in them that could be lost.
    #[must_use]
    pub fn holds_nothing(&self) -> bool {
        self.log.is_nothing() && (self.vault.is_nothing() || self.vault.held().is_some_and(|vault| vault.is_fresh))
    }
}
