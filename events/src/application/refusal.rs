//! Why an application command may not happen.

use super::{Change, Standing};
use crate::{ids::UserId, recorded::Timestamp};

/// Why an application command may not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplicationRefusal {
    /// The id is taken.
    #[error("this application was asked for already")]
    AlreadyRequested,
    /// There is no such application.
    #[error("no such application")]
    NotRequested,
    /// Nobody decides on an application of their own.
    #[error("nobody decides on an application of their own; another reviewer has to")]
    OwnApplication,
    /// Nobody decides on the appeal against their own denial while somebody else can.
    #[error("the owner appeals against your own denial; another reviewer has to decide")]
    OwnDenial,
    /// Another reviewer is at it.
    #[error("another reviewer has claimed it; the claim lapses at {}", .until.format("%H:%M UTC"))]
    Claimed {
        /// Who.
        by: UserId,
        /// Since when.
        at: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// Whoever decides or writes read an older revision.
    #[error("the application has changed since: it is at revision {now}, and you read revision {seen}; read it again")]
    Revised {
        /// The revision that was read.
        seen: u32,
        /// The revision now.
        now: u32,
    },
    /// Somebody was faster, or it is over.
    #[error("the application is {}", .standing.in_words())]
    WrongStanding {
        /// Where it stands.
        standing: Standing,
        /// Who brought it there.
        by: UserId,
        /// When.
        at: Timestamp,
    },
    /// Others have agreed to an application of this purpose.
    #[error("what an approved application is for cannot be changed; ask for another one")]
    PurposeHolds,
    /// No change was proposed.
    #[error("no change of this application waits for a decision; it is {standing}")]
    NoChange {
        /// Where the application stands.
        standing: Standing,
        /// Who brought it there.
        by: UserId,
        /// When.
        at: Timestamp,
    },
    /// The change was decided, or taken back.
    #[error("the proposed change was {} already", .0.outcome)]
    ChangeOver(Change),
}
