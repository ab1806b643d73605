//! What people see of Countersign: read models as pure functions of recorded events. A projection
//! returns [`Change`]s, data in a small fixed vocabulary; a store applies them. So one definition
//! serves the append's transaction, the trailing loop and the replay, and none of them can send,
//! mint or look anything up.
//!
//! *Inline* read models change in the append's own transaction, O(1) rows an event: what is true is
//! true the moment it is acknowledged. *Trailing* ones follow, each generation in a place of its own.

pub mod accounts;
pub mod applications;
pub mod authorizations;
pub mod change;
mod fit;
pub mod fold;
pub mod former_client_ids;
pub mod front_page;
pub mod history;
pub mod inbox;
pub mod markdown;
pub mod statistics;
#[cfg(test)]
mod tests;
pub mod tokens;

use countersign_events::{event::Event, recorded::Recorded};

pub use change::{Change, Column, Kind, Source, Table, Value};
pub use fit::Misfit;

/// A read model: its tables and the function that fills them.
#[derive(Debug)]
pub struct Projection {
    /// Its name, also in the names of files and streams.
    pub name: &'static str,
    /// Raised whenever tables or function change; a raised revision means a rebuild.
    pub revision: u32,
    /// Its tables.
    pub tables: &'static [&'static Table],
    /// Categories of the streams that it looks at; an event of another one changes nothing in it.
    pub categories: &'static [&'static str],
    /// What an event changes. It may look at everything but the client address, the ids of request and command,
    /// and the causation: a replay does not read those.
    pub project: fn(&Recorded<Event>) -> Vec<Change>,
}

impl Projection {
    /// Whether it keeps personal texts. One that does not looks at none either: they need not be opened for it.
    #[must_use]
    pub fn keeps_texts(&self) -> bool {
        self.tables.iter().any(|table| table.key.iter().chain(table.columns).any(|column| column.personal))
    }
}

/// Read models that change in the append's transaction.
pub const INLINE: &[Projection] = &[
    accounts::PROJECTION,
    applications::PROJECTION,
    former_client_ids::PROJECTION,
    authorizations::PROJECTION,
    tokens::PROJECTION,
];

/// Read models that follow the log.
pub const TRAILING: &[Projection] =
    &[inbox::PROJECTION, front_page::PROJECTION, statistics::PROJECTION, history::PROJECTION];

/// What an event changes in the inline read models.
#[must_use]
pub fn project_inline(recorded: &Recorded<Event>) -> Vec<Change> {
    INLINE.iter().flat_map(|projection| (projection.project)(recorded)).collect()
}
