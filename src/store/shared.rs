//! What nodes need of a log that they share: hearing of commits, proving that what they know is recent, and agreeing
//! which of them does what only one may do.

use std::time::Duration;

use async_trait::async_trait;
use countersign_events::recorded::Timestamp;
use uuid::Uuid;

use super::{Head, StoreError};

/// Why a node was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Something was committed to the log.
    Committed,
    /// A trailing read model came further.
    Followed,
    /// Another generation of a trailing read model is read.
    Switched,
    /// It hears again: what happened in between is unknown.
    Anew,
}

/// What a server that takes writes said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The end of the log.
    pub head: Head,
    /// Its clock, which all nodes share.
    pub now: Timestamp,
}

/// A log that several nodes write.
#[async_trait]
pub trait Shared: Send + Sync {
    /// Waits until something happened. What happened while nobody waited is told at once.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server cannot be heard; ask again after a pause.
    async fn woken(&self) -> Result<Woken, StoreError>;
    /// Writes, durably, and then reads the end of the log: a server that takes writes no more, or whose standby does
    /// not hear it, proves nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is no proof.
    async fn prove(&self) -> Result<Proof, StoreError>;
    /// Reads another generation from now on, where another node has moved a pointer.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server does not answer.
    async fn look_for_switches(&self) -> Result<(), StoreError>;
    /// Takes a lease, or makes it last. Whether `holder` has it for this long, by the server's clock.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server does not answer.
    async fn lease(&self, name: &'static str, holder: Uuid, lasts: Duration) -> Result<bool, StoreError>;
    /// Removes generations of read models that nothing points at, of those that an earlier look found: whoever read them
    /// has had the time between to finish. What other releases read counts as long as it lacks no event from before
    /// `followed_since`. What is left over now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server does not answer.
    async fn remove_left_over(&self, seen: &[String], followed_since: Timestamp) -> Result<Vec<String>, StoreError>;
    /// Gives a lease back before its time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server does not answer.
    async fn release(&self, name: &'static str, holder: Uuid) -> Result<(), StoreError>;
}
