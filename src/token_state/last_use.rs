//! When a token was last used, to the minute, in memory: one number a token, which the check sets without waiting for
//! anybody. Writing it down, and what was written before the last start, is left to the app.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::DateTime;
use countersign_events::{ids::UserId, recorded::Timestamp, token::TokenDigest};

use super::TokenState;

const SECONDS_A_MINUTE: i64 = 60;

/// Minutes since 1970; 0: not since the start.
#[derive(Debug, Default)]
pub(super) struct LastUse(AtomicU32);

impl LastUse {
    /// Notes a use. All but the first of a minute only read: many checks of one token do not fight for its cache line.
    pub(super) fn note(&self, now: Timestamp) {
        let minute = minute(now);
        if self.0.load(Ordering::Relaxed) != minute {
            self.0.store(minute, Ordering::Relaxed);
        }
    }

    /// The same for a token that takes this one's place. A check at the very same moment may be missed.
    pub(super) fn carried(&self) -> Self {
        Self(AtomicU32::new(self.0.load(Ordering::Relaxed)))
    }

    fn at(&self) -> Option<Timestamp> {
        let minute = self.0.load(Ordering::Relaxed);
        if minute == 0 { None } else { DateTime::from_timestamp(i64::from(minute) * SECONDS_A_MINUTE, 0) }
    }
}

/// A time that does not fit is not worth an error.
fn minute(at: Timestamp) -> u32 {
    u32::try_from(at.timestamp() / SECONDS_A_MINUTE).unwrap_or_default()
}

impl TokenState {
    /// When a token was last used, to the minute; `None` when it was not since the start.
    #[must_use]
    pub fn last_use(&self, digest: TokenDigest) -> Option<Timestamp> {
        self.tokens.pin().get(&digest).and_then(|token| token.last_use.at())
    }

    /// The tokens that were used in the minute of `since` or later, with the minute of their last use. Looks at every
    /// token.
    #[must_use]
    pub fn used_since(&self, since: Timestamp) -> Vec<(TokenDigest, Timestamp)> {
        let since = minute(since);
        let tokens = self.tokens.pin();
        let used = tokens.iter().filter_map(|(digest, token)| token.last_use.at().map(|at| (*digest, at)));
        used.filter(|(_, at)| minute(*at) >= since).collect()
    }

    /// Forgets when a member's tokens were used. Looks at every token.
    pub fn forget_uses(&self, user: UserId) {
        let tokens = self.tokens.pin();
        for token in tokens.values().filter(|token| token.user == user) {
            token.last_use.0.store(0, Ordering::Relaxed);
        }
    }
}
