//! Where an event stands: stream, version, position, envelope. How it is stored is the shell's.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    ids::{ApplicationId, EventId, PostId, UserId, UsernameDigest},
    sensitive::Personal,
};

#[cfg(test)]
mod tests;

/// An instant, in microseconds; time never orders events, positions do.
pub type Timestamp = DateTime<Utc>;

macro_rules! numbers {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The next one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

numbers! {
    /// The place of an event in the log: 1, 2, 3 … without a gap. 0 is before the first.
    Position;
    /// The place of an event in its stream: 1, 2, 3 … 0 is the empty stream.
    Version;
}

/// The stream an event belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamName {
    /// `account-{user}`
    Account(UserId),
    /// `username-{digest}`: uniqueness is a stream's first version, not a search.
    Username(UsernameDigest),
    /// `application-{application}`
    Application(ApplicationId),
    /// `authorization-{application}-{user}`
    Authorization(ApplicationId, UserId),
    /// `inbox-{user}`
    Inbox(UserId),
    /// `post-{post}`
    Post(PostId),
    /// `vote-{post}-{user}`
    Vote(PostId, UserId),
    /// `site`
    Site,
    /// `projection-{name}`
    Projection(String),
}

impl StreamName {
    /// What comes before the first dash.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Username(_) => "username",
            Self::Application(_) => "application",
            Self::Authorization(..) => "authorization",
            Self::Inbox(_) => "inbox",
            Self::Post(_) => "post",
            Self::Vote(..) => "vote",
            Self::Site => "site",
            Self::Projection(_) => "projection",
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(user) => write!(f, "account-{user}"),
            Self::Username(digest) => write!(f, "username-{}", digest.as_str()),
            Self::Application(application) => write!(f, "application-{application}"),
            Self::Authorization(application, user) => write!(f, "authorization-{application}-{user}"),
            Self::Inbox(user) => write!(f, "inbox-{user}"),
            Self::Post(post) => write!(f, "post-{post}"),
            Self::Vote(post, user) => write!(f, "vote-{post}-{user}"),
            Self::Site => f.write_str("site"),
            Self::Projection(name) => write!(f, "projection-{name}"),
        }
    }
}

/// A text that names no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no stream; a stream is a category, a dash and ids, such as application-{{id}}")]
pub struct UnknownStream(pub String);

impl FromStr for StreamName {
    type Err = UnknownStream;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // One stream, one name: ids have other spellings (upper case, without dashes), streams do not.
        parse_stream(text).filter(|name| name.to_string() == text).ok_or_else(|| UnknownStream(text.to_owned()))
    }
}

fn parse_stream(text: &str) -> Option<StreamName> {
    let (category, rest) = text.split_once('-').unwrap_or((text, ""));
    let one = || rest.parse::<Uuid>().ok();
    let two = || {
        // A hyphenated UUID is 36 characters long.
        let (first, second) = (rest.get(..36)?, rest.get(36..)?.strip_prefix('-')?);
        Some((first.parse::<Uuid>().ok()?, second.parse::<Uuid>().ok()?))
    };
    Some(match category {
        "account" => StreamName::Account(UserId(one()?)),
        "username" => StreamName::Username(rest.parse().ok()?),
        "application" => StreamName::Application(ApplicationId(one()?)),
        "authorization" => two().map(|(a, u)| StreamName::Authorization(ApplicationId(a), UserId(u)))?,
        "inbox" => StreamName::Inbox(UserId(one()?)),
        "post" => StreamName::Post(PostId(one()?)),
        "vote" => two().map(|(p, u)| StreamName::Vote(PostId(p), UserId(u)))?,
        "site" if rest.is_empty() => StreamName::Site,
        "projection" if !rest.is_empty() => StreamName::Projection(rest.to_owned()),
        _ => return None,
    })
}

/// Who made an event happen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A member: `user:{id}`.
    User(UserId),
    /// An operator at the command line: `cli:{account of the operating system}`.
    Cli(String),
    /// The site itself, such as a secret that expired: `system`.
    System,
}

impl Actor {
    /// The member, when it is one.
    #[must_use]
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::User(user) => Some(*user),
            Self::Cli(_) | Self::System => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user:{user}"),
            Self::Cli(name) => write!(f, "cli:{name}"),
            Self::System => f.write_str("system"),
        }
    }
}

/// A text that names no actor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no actor; one is user:ID, cli:NAME or system")]
pub struct UnknownActor(pub String);

impl FromStr for Actor {
    type Err = UnknownActor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownActor(text.to_owned());
        match text.split_once(':') {
            Some(("user", id)) => id.parse().ok().map(Self::User).filter(|actor| actor.to_string() == text),
            Some(("cli", name)) if !name.is_empty() => Some(Self::Cli(name.to_owned())),
            None if text == "system" => Some(Self::System),
            _ => None,
        }
        .ok_or_else(unknown)
    }
}

/// Everything about an event but what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Place in the log.
    pub position: Position,
    /// `UUIDv7` of the event.
    pub event_id: EventId,
    /// Stream.
    pub stream: StreamName,
    /// Place in the stream.
    pub version: Version,
    /// When it was committed: later than the event before it by at least a microsecond.
    pub recorded_at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// The application through which the actor did it.
    pub on_behalf_of: Option<ApplicationId>,
    /// Where the request came from; about the actor.
    pub client_address: Option<Personal>,
    /// The request that led to it.
    pub request_id: Option<String>,
    /// The command that led to it, as its sender named it.
    pub command_id: Option<String>,
    /// The event that led to it.
    pub causation: Option<EventId>,
}

/// An event with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded<E> {
    /// Where, when, who.
    pub envelope: Envelope,
    /// What happened.
    pub event: E,
}
