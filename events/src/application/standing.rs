//! Where an application stands, and how that is written.

use serde::{Deserialize, Serialize};

/// Where an application stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the states of the review, by their names")]
pub enum Standing {
    UnderReview,
    ChangesRequested,
    Approved,
    Denied,
    Suspended,
    Revoked,
    Withdrawn,
}

impl Standing {
    /// Every standing.
    pub const ALL: [Self; 7] = [
        Self::UnderReview,
        Self::ChangesRequested,
        Self::Approved,
        Self::Denied,
        Self::Suspended,
        Self::Revoked,
        Self::Withdrawn,
    ];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnderReview => "under_review",
            Self::ChangesRequested => "changes_requested",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// As people read it.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::UnderReview => "under review",
            Self::ChangesRequested => "changes requested",
            other => other.as_str(),
        }
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no standing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state of an application")]
pub struct UnknownStanding(pub String);

impl std::str::FromStr for Standing {
    type Err = UnknownStanding;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == text).ok_or_else(|| UnknownStanding(text.to_owned()))
    }
}
