//! Personal fields: who they are about and the three forms they take. Clear while deciding,
//! sealed in the log, erased once the subject's data key is gone. Sealing and opening need keys
//! and randomness and so are the shell's; which fields are personal is said in
//! [`crate::event::Event::personal_fields`].

use data_encoding::BASE64;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
    ser,
};

use crate::ids::{DataKeyId, UserId};

#[cfg(test)]
mod tests;

/// Whose data key seals a field. Erasing a member destroys the member's key and leaves the site's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A member.
    User(UserId),
    /// The site: official reasons outlive the reviewer who wrote them.
    Site,
}

/// A text about a person.
#[derive(Clone, PartialEq, Eq)]
pub enum Personal {
    /// As people read it. It does not serialise: nothing clear can enter the log.
    Clear(String),
    /// As the log keeps it.
    Sealed {
        /// The key that opens it.
        key: DataKeyId,
        /// Nonce and ciphertext.
        bytes: Vec<u8>,
    },
    /// The key is gone, and the text with it.
    Erased,
}

impl Personal {
    /// The text, when it is known.
    #[must_use]
    pub fn clear(&self) -> Option<&str> {
        match self {
            Self::Clear(text) => Some(text),
            Self::Sealed { .. } | Self::Erased => None,
        }
    }
}

impl From<&str> for Personal {
    fn from(text: &str) -> Self {
        Self::Clear(text.to_owned())
    }
}

impl From<String> for Personal {
    fn from(text: String) -> Self {
        Self::Clear(text)
    }
}

impl std::fmt::Debug for Personal {
    /// Never the text: what is formatted for debugging ends in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Clear(_) => "Clear(…)",
            Self::Sealed { .. } => "Sealed(…)",
            Self::Erased => "Erased",
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedForm {
    key: DataKeyId,
    sealed: String,
}

impl Serialize for Personal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Clear(_) => Err(ser::Error::custom("a personal field was not sealed")),
            Self::Sealed { key, bytes } => SealedForm { key: *key, sealed: BASE64.encode(bytes) }.serialize(serializer),
            Self::Erased => serializer.serialize_none(),
        }
    }
}

impl<'de> Deserialize<'de> for Personal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not through `Option`: serde reads a field that is missing as `None`, and what is missing was not erased.
        deserializer.deserialize_any(StoredForm)
    }
}

struct StoredForm;

impl<'de> Visitor<'de> for StoredForm {
    type Value = Personal;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a sealed field, or null for an erased one")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Personal, E> {
        Ok(Personal::Erased)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Personal, A::Error> {
        let form = SealedForm::deserialize(MapAccessDeserializer::new(map))?;
        let bytes = BASE64.decode(form.sealed.as_bytes()).map_err(de::Error::custom)?;
        Ok(Personal::Sealed { key: form.key, bytes })
    }
}
