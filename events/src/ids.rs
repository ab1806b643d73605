//! Ids. Each thing has a type of its own, so that one cannot be passed for another.
//! The shell mints them (`UUIDv7`, or random bits); nothing here is random.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

ids! {
    /// A member of the site.
    UserId;
    /// An application that was asked for, whatever became of it.
    ApplicationId;
    /// One token; not the token itself, which only its bearer knows.
    TokenId;
    /// A post on the board.
    PostId;
    /// A comment under a post.
    CommentId;
    /// A private message, and the notification that it is.
    MessageId;
    /// One event of the log.
    EventId;
    /// A one-time secret that the vault holds until its recipient reveals it.
    SecretId;
    /// A password verifier in the vault.
    VerifierId;
    /// A key in the vault that opens the personal fields of one subject.
    DataKeyId;
}

impl ApplicationId {
    /// The site's own built-in application: tokens issued by an operator belong to it.
    /// It is never reviewed and never suspended.
    pub const SITE: Self = Self(Uuid::from_u128(1));
}

/// The keyed digest of a username in its comparable form, with the id of the key: `1-` and 32
/// hexadecimal digits. Names are personal; their digests may stand in stream names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UsernameDigest(String);

impl UsernameDigest {
    /// From the first 16 bytes of the keyed digest that the shell computed with key 1.
    #[must_use]
    pub fn new(mac: [u8; 16]) -> Self {
        Self(format!("1-{}", data_encoding::HEXLOWER.encode(&mac)))
    }

    /// The digest as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UsernameDigest {
    type Err = MalformedDigest;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, hex) = text.split_once('-').ok_or(MalformedDigest)?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let key_is_number = key.parse::<u32>().is_ok_and(|number| number.to_string() == key);
        if !key_is_number || hex.len() != 32 || !hex.bytes().all(is_hex) {
            return Err(MalformedDigest);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A text that is no digest of a username.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest of a username is a key number, a dash and 32 hexadecimal digits")]
pub struct MalformedDigest;
