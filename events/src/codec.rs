//! Stored type names and payloads, for ever. The type of an event stands in a column of its own, so
//! a payload is read straight into that type's fields. A changed payload gets a new type version, an
//! [`Upcast`] from the old one, and a golden file.

use serde::{
    Deserialize,
    de::{DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor, value::StrDeserializer},
};
use serde_json::Value;

use crate::event::Event;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

/// A stored type: its category, its name, the version in which it is written today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventType {
    /// The category of its streams.
    pub category: &'static str,
    /// Its stored name.
    pub name: &'static str,
    /// Today's version of its payload.
    pub version: u16,
}

const fn v1(category: &'static str, name: &'static str) -> EventType {
    EventType { category, name, version: 1 }
}

/// Every stored type.
pub const TYPES: &[EventType] = &[
    v1("account", "UserRegistered"),
    v1("account", "RoleGranted"),
    v1("account", "RoleWithdrawn"),
    v1("account", "PasswordChanged"),
    v1("account", "UserSuspended"),
    v1("account", "UserReinstated"),
    v1("account", "UserErased"),
    v1("username", "UsernameClaimed"),
    v1("username", "UsernameReleased"),
    v1("application", "ApplicationRequested"),
    v1("application", "ApplicationEdited"),
    v1("application", "ReviewClaimed"),
    v1("application", "ReviewReleased"),
    v1("application", "ReviewSigned"),
    v1("application", "ChangesRequested"),
    v1("application", "ApplicationResubmitted"),
    v1("application", "ApplicationApproved"),
    v1("application", "ApplicationDenied"),
    v1("application", "ApplicationAppealed"),
    v1("application", "ChangeProposed"),
    v1("application", "ChangeApproved"),
    v1("application", "ChangeDenied"),
    v1("application", "ChangeWithdrawn"),
    v1("application", "ApplicationSuspended"),
    v1("application", "ApplicationReinstated"),
    v1("application", "ApplicationRevoked"),
    v1("application", "ApplicationWithdrawn"),
    v1("application", "ClientIdRotated"),
    v1("authorization", "UserAuthorized"),
    v1("authorization", "AuthorizationDenied"),
    v1("authorization", "TokenIssued"),
    v1("authorization", "TokenRevoked"),
    v1("authorization", "AuthorizationRescinded"),
    v1("inbox", "PrivateMessageSent"),
    v1("inbox", "SecretRevealed"),
    v1("inbox", "SecretExpired"),
    v1("inbox", "NotificationsRead"),
    EventType { category: "post", name: "PostPublished", version: 2 },
    v1("post", "CommentPosted"),
    v1("vote", "VoteCast"),
    v1("site", "FirstAdministratorNamed"),
    v1("site", "ConfigurationChanged"),
    EventType { category: "site", name: "AuditExported", version: 2 },
    v1("site", "ClockAccepted"),
    v1("site", "CutOffLowered"),
    v1("projection", "ProjectionRebuilt"),
    v1("projection", "EventParked"),
    v1("projection", "ParkedEventRetried"),
    v1("projection", "ParkedEventDiscarded"),
];

/// The step from one version of a type's payload to the next.
#[derive(Debug, Clone, Copy)]
pub struct Upcast {
    /// The type.
    pub name: &'static str,
    /// The version it starts from.
    pub from: u16,
    /// The step.
    pub step: fn(Value) -> Value,
}

/// Every step.
pub const UPCASTS: &[Upcast] = &[
    // Posts mentioned nobody before version 2.
    Upcast { name: "PostPublished", from: 1, step: |old| with(old, "mentions", Value::Array(vec![])) },
    // A copy was of everything in its stretch before version 2.
    Upcast {
        name: "AuditExported",
        from: 1,
        step: |old| {
            let place = |field: &str| old.get(field).and_then(Value::as_u64).unwrap_or_default();
            let rows = place("to").saturating_sub(place("from")).saturating_add(1);
            let old = with(old, "format", "unknown".into());
            with(with(old, "filters", Value::Array(vec![])), "rows", rows.into())
        },
    },
];

fn with(mut payload: Value, field: &str, value: Value) -> Value {
    if let Value::Object(fields) = &mut payload {
        fields.insert(field.to_owned(), value);
    }
    payload
}

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Its type.
    pub event_type: EventType,
    /// Its payload, JSON.
    pub payload: String,
}

/// Why an event could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// A personal field is still clear.
    #[error("{0}")]
    NotSealed(serde_json::Error),
    /// A newer release wrote it.
    #[error("unknown event type `{name}` version {version}; a newer release may have written it")]
    UnknownType {
        /// The stored name.
        name: String,
        /// The stored version.
        version: u16,
    },
    /// The payload does not fit the type.
    #[error("the payload of a `{name}` does not fit: {error}")]
    Malformed {
        /// The stored name.
        name: String,
        /// What does not fit.
        error: serde_json::Error,
    },
}

/// The stored form of an event whose personal fields are sealed.
///
/// # Errors
/// [`CodecError::NotSealed`]; [`CodecError::UnknownType`] for a type that is missing from [`TYPES`] (a test holds
/// the two against each other).
pub fn encode(event: &Event) -> Result<Encoded, CodecError> {
    let tagged = match event {
        Event::Account(event) => serde_json::to_string(event),
        Event::Username(event) => serde_json::to_string(event),
        Event::Application(event) => serde_json::to_string(event),
        Event::Authorization(event) => serde_json::to_string(event),
        Event::Inbox(event) => serde_json::to_string(event),
        Event::Post(event) => serde_json::to_string(event),
        Event::Vote(event) => serde_json::to_string(event),
        Event::Site(event) => serde_json::to_string(event),
        Event::Projection(event) => serde_json::to_string(event),
    }
    .map_err(CodecError::NotSealed)?;
    // serde writes a variant as {"Name":{…}}; the name goes to a column of its own.
    let parts =
        tagged.strip_prefix("{\"").and_then(|rest| rest.strip_suffix('}')).and_then(|rest| rest.split_once("\":"));
    let known = |name: &str| TYPES.iter().find(|known| known.name == name);
    match parts.and_then(|(name, payload)| Some((*known(name)?, payload))) {
        Some((event_type, payload)) => Ok(Encoded { event_type, payload: payload.to_owned() }),
        None => Err(CodecError::UnknownType { name: tagged.chars().take(40).collect(), version: 0 }),
    }
}

/// What can be read: stored types, and the steps from their older versions to today's.
#[derive(Debug, Clone, Copy)]
pub struct Codec {
    /// The types.
    pub types: &'static [EventType],
    /// The steps.
    pub upcasts: &'static [Upcast],
}

/// Everything that this release reads.
pub const CODEC: Codec = Codec { types: TYPES, upcasts: UPCASTS };

impl Codec {
    /// The event behind a stored type and payload.
    ///
    /// # Errors
    /// [`CodecError::UnknownType`] or [`CodecError::Malformed`].
    pub fn decode(&self, name: &str, version: u16, payload: &str) -> Result<Event, CodecError> {
        decode_by(self.types, self.upcasts, name, version, payload)
    }
}

/// The event behind a stored type and payload, as this release reads it.
///
/// # Errors
/// [`CodecError::UnknownType`] or [`CodecError::Malformed`].
pub fn decode(name: &str, version: u16, payload: &str) -> Result<Event, CodecError> {
    CODEC.decode(name, version, payload)
}

fn decode_by(
    types: &[EventType],
    steps: &[Upcast],
    name: &str,
    version: u16,
    payload: &str,
) -> Result<Event, CodecError> {
    let known = types.iter().find(|known| known.name == name).filter(|known| version <= known.version && version > 0);
    let Some(known) = known else {
        return Err(CodecError::UnknownType { name: name.to_owned(), version });
    };
    if version == known.version {
        return read(known, payload);
    }
    let malformed = |error| CodecError::Malformed { name: name.to_owned(), error };
    let old = serde_json::from_str(payload).map_err(malformed)?;
    let new = upcast(steps, name, version, known.version, old);
    read(known, &new.to_string())
}

/// `payload` taken through the steps from version `from` to version `to`.
fn upcast(steps: &[Upcast], name: &str, from: u16, to: u16, payload: Value) -> Value {
    (from..to).fold(payload, |payload, version| {
        let step = steps.iter().find(|step| step.name == name && step.from == version);
        step.map_or(payload.clone(), |step| (step.step)(payload))
    })
}

/// The steps that are missing between version 1 of every type and today's; checked at start.
#[must_use]
pub fn missing_upcasts(types: &[EventType], steps: &[Upcast]) -> Vec<(&'static str, u16)> {
    let has = |name: &str, from| steps.iter().any(|step| step.name == name && step.from == from);
    types
        .iter()
        .flat_map(|known| (1..known.version).map(|from| (known.name, from)))
        .filter(|(name, from)| !has(name, *from))
        .collect()
}

fn read(known: &EventType, payload: &str) -> Result<Event, CodecError> {
    fn as_variant<'de, E: Deserialize<'de> + Into<Event>>(
        name: &'de str,
        payload: &'de str,
    ) -> serde_json::Result<Event> {
        E::deserialize(Typed { name, payload }).map(Into::into)
    }
    let name = known.name;
    match known.category {
        "account" => as_variant::<crate::account::AccountEvent>(name, payload),
        "username" => as_variant::<crate::account::UsernameEvent>(name, payload),
        "application" => as_variant::<crate::application::ApplicationEvent>(name, payload),
        "authorization" => as_variant::<crate::authorization::AuthorizationEvent>(name, payload),
        "inbox" => as_variant::<crate::inbox::InboxEvent>(name, payload),
        "post" => as_variant::<crate::post::PostEvent>(name, payload),
        "vote" => as_variant::<crate::post::VoteEvent>(name, payload),
        "site" => as_variant::<crate::site::SiteEvent>(name, payload),
        _ => as_variant::<crate::site::ProjectionEvent>(name, payload),
    }
    .map_err(|error| CodecError::Malformed { name: name.to_owned(), error })
}

/// A variant whose name stands outside its payload: the deserializer that joins the two.
struct Typed<'de> {
    name: &'de str,
    payload: &'de str,
}

impl<'de> serde::Deserializer<'de> for Typed<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Typed<'de> {
    type Error = serde_json::Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Self::Error> {
        let name: StrDeserializer<'_, Self::Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Typed<'de> {
    type Error = serde_json::Error;

    fn unit_variant(self) -> Result<(), Self::Error> {
        serde_json::from_str(self.payload)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Self::Error> {
        let mut json = serde_json::Deserializer::from_str(self.payload);
        let value = seed.deserialize(&mut json)?;
        json.end()?;
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Self::Error> {
        let mut json = serde_json::Deserializer::from_str(self.payload);
        serde::Deserializer::deserialize_tuple(&mut json, len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let mut json = serde_json::Deserializer::from_str(self.payload);
        let value = serde::Deserializer::deserialize_struct(&mut json, "", fields, visitor)?;
        json.end()?;
        Ok(value)
    }
}
