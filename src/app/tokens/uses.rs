//! When tokens were last used. A check notes it in memory; what was noted is written down once a minute and at a stop.
//! It is never an event, and a crash may lose the last minute of it.

use std::{collections::HashMap, sync::PoisonError};

use countersign_events::{ids::UserId, recorded::Timestamp, token::TokenDigest};

use crate::{
    app::{App, AppError},
    store::{StoreError, rows::TokenRow},
};

/// So many are written in one job on the writing connection: a few milliseconds.
const USES_A_JOB: usize = 500;

/// When a member's tokens were last used, as far as it is written down.
pub(super) type Uses = HashMap<TokenDigest, Timestamp>;

impl App {
    pub(super) async fn uses_of(&self, user: UserId) -> Result<Uses, AppError> {
        Ok(self.models.uses_of(user).await?)
    }

    /// What was noted since the start is newer than what was written down before it.
    pub(super) fn last_used(&self, row: &TokenRow, uses: &Uses) -> Option<Timestamp> {
        self.state.last_use(row.digest).or_else(|| uses.get(&row.digest).copied())
    }

    /// Writes down which tokens were used since the last time.
    pub(in crate::app) async fn write_uses(&self) -> Result<(), AppError> {
        let now = self.now();
        let since = *self.house.uses_written.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state.clone();
        // Every token is looked at: with a million of them that takes longer than other requests should wait.
        let noted = tokio::task::spawn_blocking(move || state.used_since(since)).await;
        let noted =
            noted.map_err(|error| StoreError::Unavailable(format!("uses of tokens were not gathered: {error}")))?;
        for uses in noted.chunks(USES_A_JOB) {
            let batch = uses.to_vec();
            self.writer.job(move |log| Box::pin(async move { log.note_uses(&batch).await })).await?;
        }
        *self.house.uses_written.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }

    /// The same at a stop, which nothing holds up.
    pub(in crate::app) async fn write_last_uses(&self) {
        if let Err(error) = self.write_uses().await {
            tracing::warn!(%error, "which tokens were used in the last minute could not be written down");
        }
    }

    /// When an erased member's tokens were used is about the member: it goes.
    pub(in crate::app) async fn forget_uses(&self, user: UserId) -> Result<(), AppError> {
        self.state.forget_uses(user);
        Ok(self.writer.job(move |log| Box::pin(log.forget_uses(user))).await?)
    }
}
