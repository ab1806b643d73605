//! Scopes: the few words that say what a token may do (RFC 6749 §3.3), and sets of them. Who may be
//! given which, and which door wants which, is decided elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// One thing that a token may do. The names are part of every stored consent and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Posts and comments, as everybody sees them.
    Read,
    /// Who the member is.
    Identity,
    /// Unread notifications, without the text of private messages.
    Notifications,
    /// Private messages.
    Messages,
    /// Publishing posts and comments.
    Write,
    /// Voting.
    Vote,
    /// The review queue and its decisions; rests on the role of reviewer.
    Review,
    /// The whole history; rests on the role of auditor.
    Audit,
}

impl Scope {
    /// Every scope, in the order in which sets print them.
    pub const ALL: [Self; 8] = [
        Self::Read,
        Self::Identity,
        Self::Notifications,
        Self::Messages,
        Self::Write,
        Self::Vote,
        Self::Review,
        Self::Audit,
    ];

    /// The word that stands in requests, tokens and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Identity => "identity",
            Self::Notifications => "notifications",
            Self::Messages => "messages",
            Self::Write => "write",
            Self::Vote => "vote",
            Self::Review => "review",
            Self::Audit => "audit",
        }
    }

    /// What the scope allows, in plain words, as a consent page lists it.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Read => "Read posts and comments",
            Self::Identity => "See your username and who you are here",
            Self::Notifications => "Read your unread notifications",
            Self::Messages => "Read your private messages and send messages in your name",
            Self::Write => "Publish posts and comments in your name",
            Self::Vote => "Vote in your name",
            Self::Review => "Decide on applications with your role as a reviewer",
            Self::Audit => "Read the site's whole history with your role as an auditor",
        }
    }

    /// Whether the scope rests on a role of the bearer, so that no consent can ever give it.
    #[must_use]
    pub fn is_role_scope(self) -> bool {
        matches!(self, Self::Review | Self::Audit)
    }

    fn bit(self) -> u16 {
        match self {
            Self::Read => 1,
            Self::Identity => 1 << 1,
            Self::Notifications => 1 << 2,
            Self::Messages => 1 << 3,
            Self::Write => 1 << 4,
            Self::Vote => 1 << 5,
            Self::Review => 1 << 6,
            Self::Audit => 1 << 7,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == name);
        known.ok_or_else(|| UnknownScope { name: name.to_owned() })
    }
}

/// A word that is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no scope {name:?}; the scopes are read, identity, notifications, messages, write, \
     vote, review and audit, separated by spaces"
)]
pub struct UnknownScope {
    /// The word as it was sent.
    pub name: String,
}

/// A set of scopes. Written as one string with spaces between, in the order of [`Scope::ALL`].
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScopeSet(u16);

impl ScopeSet {
    /// Reads names separated by spaces; repeated names and spaces do no harm, no name is the empty set.
    ///
    /// # Errors
    /// [`UnknownScope`] with the first word that is no scope. Names are case-sensitive (RFC 6749 §3.3).
    pub fn parse(text: &str) -> Result<Self, UnknownScope> {
        text.split(' ').filter(|name| !name.is_empty()).map(str::parse::<Scope>).collect()
    }

    /// What an application gets that was asked for without scopes.
    #[must_use]
    pub fn default_requested() -> Self {
        [Scope::Read, Scope::Identity, Scope::Notifications].into_iter().collect()
    }

    /// All that a member can consent to: every scope that rests on no role.
    #[must_use]
    pub fn grantable() -> Self {
        Scope::ALL.into_iter().filter(|scope| !scope.is_role_scope()).collect()
    }

    /// Whether the scope is in the set.
    #[must_use]
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether `other` holds all of this set.
    #[must_use]
    pub fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// What is in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is no scope in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeSet({self})")
    }
}

impl FromStr for ScopeSet {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for ScopeSet {
    type Error = UnknownScope;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ScopeSet> for String {
    fn from(scopes: ScopeSet) -> Self {
        scopes.to_string()
    }
}
