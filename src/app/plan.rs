//! What a use case is handed and hands on: who sends a command, what it asks the log for, and what came of it.

use std::net::IpAddr;

use countersign_events::{
    event::Event,
    ids::{ApplicationId, DataKeyId},
    recorded::{Actor, StreamName, Timestamp, Version},
};

use crate::store::{CommandKey, Cursor};

/// Who sends a command, from where, and as which command.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// Through which application.
    pub on_behalf_of: Option<ApplicationId>,
    /// From where.
    pub address: Option<IpAddr>,
    /// In which request.
    pub request_id: Option<String>,
    /// The command's id, when its sender gave it one, with the route and a digest of the body.
    pub command: Option<NamedCommand>,
}

/// A command that its sender can repeat without its being done twice.
#[derive(Debug, Clone)]
pub struct NamedCommand {
    /// The route it was sent to; ids are scoped to actor and route.
    pub route: &'static str,
    /// Its id.
    pub id: String,
    /// A digest of what it asks for.
    pub body: [u8; 32],
}

impl Caller {
    /// The site itself.
    #[must_use]
    pub const fn system() -> Self {
        Self { actor: Actor::System, on_behalf_of: None, address: None, request_id: None, command: None }
    }

    pub(super) fn command_key(&self) -> Option<CommandKey> {
        let command = self.command.as_ref()?;
        let through = self.on_behalf_of.map(|id| format!(" through {id}")).unwrap_or_default();
        Some(CommandKey { scope: format!("{}{through} {}", self.actor, command.route), id: command.id.clone() })
    }
}

/// What a command asks the log for, and what its sender is answered.
#[derive(Debug, Clone, Default)]
pub struct Plan<T> {
    /// Events with their streams.
    pub events: Vec<(StreamName, Event)>,
    /// Versions that must still hold.
    pub expected: Vec<(StreamName, Version)>,
    /// The key of a member who joins with this very plan.
    pub joining: Option<DataKeyId>,
    /// The answer.
    pub answer: T,
}

impl<T> Plan<T> {
    /// A plan that appends nothing yet.
    pub const fn answering(answer: T) -> Self {
        Self { events: vec![], expected: vec![], joining: None, answer }
    }

    /// With what was decided on a stream, at the version it was decided on.
    #[must_use]
    pub fn with<E: Into<Event>>(mut self, stream: &StreamName, version: Version, events: Vec<E>) -> Self {
        self.expected.push((stream.clone(), version));
        self.events.extend(events.into_iter().map(|event| (stream.clone(), event.into())));
        self
    }

    /// With events for a stream whatever its version: they commute with others.
    #[must_use]
    pub fn with_any<E: Into<Event>>(mut self, stream: &StreamName, events: Vec<E>) -> Self {
        self.events.extend(events.into_iter().map(|event| (stream.clone(), event.into())));
        self
    }

    /// With a stream that was only read.
    #[must_use]
    pub fn guarded(mut self, stream: StreamName, version: Version) -> Self {
        self.expected.push((stream, version));
        self
    }
}

/// A command that was carried out.
#[derive(Debug, Clone)]
pub struct Done<T> {
    /// Its answer.
    pub answer: T,
    /// The head right after it; a read that brings it back sees at least that.
    pub cursor: Cursor,
    /// When it was carried out before: then.
    pub repeated: Option<Timestamp>,
    /// Whether it made something happen; what holds already is asked for in vain.
    pub happened: bool,
}

impl<T> Done<T> {
    /// The same, with another answer.
    pub(super) fn answering<U>(self, answer: U) -> Done<U> {
        let Self { cursor, repeated, happened, .. } = self;
        Done { answer, cursor, repeated, happened }
    }
}
