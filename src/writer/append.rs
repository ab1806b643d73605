//! What the writer is handed and what it answers.

use countersign_events::{
    codec::Encoded,
    event::Event,
    ids::{ApplicationId, EventId},
    recorded::{Actor, Recorded, StreamName, Version},
    sensitive::Personal,
};

use crate::store::{CommandKey, Head, Outcome, StoreError};

/// An event that is ready to be appended: sealed, encoded, without a place yet.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id.
    pub event_id: EventId,
    /// Its stream.
    pub stream: StreamName,
    /// The event in clear, for the inline read models.
    pub clear: Event,
    /// The event as it will be stored.
    pub encoded: Encoded,
    /// Who does it.
    pub actor: Actor,
    /// Through which application.
    pub on_behalf_of: Option<ApplicationId>,
    /// From where, sealed.
    pub client_address: Option<Personal>,
    /// In which request.
    pub request_id: Option<String>,
    /// By which command, as its sender named it.
    pub command_id: Option<String>,
}

/// The command behind an append, when its sender named it.
#[derive(Debug, Clone)]
pub struct Command {
    /// Its id and scope.
    pub key: CommandKey,
    /// Digest of its body.
    pub body: [u8; 32],
    /// What its sender is answered, also when it is repeated.
    pub answer: String,
}

/// Events to append together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// The events, in order.
    pub events: Vec<NewEvent>,
    /// Streams that must be at these versions: those the command was decided on, read, or showed.
    /// Streams that are not named take events at any version.
    pub expected: Vec<(StreamName, Version)>,
    /// The command.
    pub command: Option<Command>,
}

/// What came of an append.
#[derive(Debug, Clone)]
pub enum Appended {
    /// It was appended.
    New {
        /// The head right after.
        head: Head,
        /// The events with their places.
        recorded: Vec<Recorded<Event>>,
    },
    /// The command was carried out before; this came of it then.
    Repeat(Outcome),
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A stream has moved on: decide again.
    #[error("stream {0} has moved on")]
    Lost(StreamName),
    /// The command's id was used for something else.
    #[error("this command id was used with another body")]
    OtherBody,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
