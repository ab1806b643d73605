//! An event as auditors read it.

use std::collections::BTreeMap;

use countersign_events::{
    ids::{ApplicationId, EventId},
    recorded::{Position, Timestamp},
    sensitive::Personal,
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// An event with everything that an auditor may read of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct EventRecord {
    #[schema(value_type = u64)]
    pub position: Position,
    #[schema(value_type = Uuid)]
    pub event_id: EventId,
    pub stream: String,
    pub version: u64,
    pub r#type: String,
    pub type_version: u16,
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
    pub actor: String,
    pub actor_name: String,
    #[schema(value_type = Option<Uuid>)]
    pub on_behalf_of: Option<ApplicationId>,
    pub on_behalf_of_name: Option<String>,
    pub client_address: Option<String>,
    pub request_id: Option<String>,
    pub command_id: Option<String>,
    #[schema(value_type = Option<Uuid>)]
    pub causation: Option<EventId>,
    pub sentence: String,
    /// Exactly as stored.
    #[schema(value_type = Object)]
    pub payload: Box<RawValue>,
    /// The personal fields of the payload, by name.
    #[schema(value_type = BTreeMap<String, Shown>)]
    pub personal: BTreeMap<&'static str, Shown>,
}

/// What is shown of a personal field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Shown {
    /// Its text.
    Open {
        /// The text.
        text: String,
    },
    /// Only whom it is for reads it.
    Sealed,
    /// Nobody reads it any more.
    Erased,
}

impl From<&Personal> for Shown {
    fn from(personal: &Personal) -> Self {
        match personal {
            Personal::Clear(text) => Self::Open { text: text.clone() },
            Personal::Sealed { .. } => Self::Sealed,
            Personal::Erased => Self::Erased,
        }
    }
}
