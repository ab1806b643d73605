//! Has a trailing read model built anew when what is there cannot be read, is of another revision, or lacks so much of the
//! log that a build is quicker than following. Until then an old generation answers, or nobody does.

use std::sync::Arc;

use countersign_events::recorded::Position;
use tokio::sync::watch;

use super::{
    Follower,
    follower::{FIRST_PAUSE, LONGEST_PAUSE},
};
use crate::store::{Made, StoreError};

/// A build takes a quarter of the time that following the same events takes.
const QUICKER: u64 = 4;

impl Follower {
    /// Builds whenever it is wanted, and tries again when that fails.
    pub(super) async fn keep_built(self: Arc<Self>, mut woken: watch::Receiver<()>) {
        let (mut pause, mut said) = (FIRST_PAUSE, None);
        let mut lacks_much = self.lacks_much().await.unwrap_or(false);
        loop {
            let Err(error) = self.build_if(lacks_much).await else {
                (pause, said) = (FIRST_PAUSE, None);
                lacks_much &= !*self.sources.moves.borrow();
                if woken.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let error = error.to_string();
            if said.as_ref() != Some(&error) {
                let projection = self.projection.name;
                tracing::error!(projection, %error, "a read model cannot be built yet; it is tried again");
                self.progress.send_modify(|progress| {
                    if progress.availability.made == Made::Missing {
                        progress.error = Some(error.clone());
                    }
                });
                said = Some(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            if woken.has_changed().is_err() {
                return;
            }
        }
    }

    /// Whether it lacks so much of the log at a start that a build is quicker.
    async fn lacks_much(&self) -> Result<bool, StoreError> {
        let (progress, Position(head)) = (self.progress(), self.sources.log.head().await?.position);
        let lacks = head.saturating_sub(progress.cursor.position.0);
        Ok(!progress.availability.answers && lacks > head / QUICKER)
    }

    async fn build_if(&self, lacks_much: bool) -> Result<(), StoreError> {
        let made = self.look().await?.made;
        let is_wanted = match made {
            Made::Missing | Made::Lent | Made::Outdated => true,
            Made::Current => lacks_much,
        };
        // Of several nodes one builds.
        if !is_wanted || !*self.sources.moves.borrow() {
            return Ok(());
        }
        let (projection, revision) = (self.projection.name, self.projection.revision);
        tracing::info!(projection, revision, was = ?made, "building a read model");
        if self.rebuild(&|_| {}).await?.is_some() {
            tracing::info!(projection, revision, "built a read model");
        }
        // What was committed while nobody followed.
        self.catch_up().await
    }
}
