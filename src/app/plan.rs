//! What a use case is handed and hands on: who sends a command, what it asks the log for, and what came of it.

use std::{net::IpAddr, str::FromStr};

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
    pub id: CommandId,
    /// A digest of what it asks for.
    pub body: [u8; 32],
}

/// A command's id as its sender chose it: 1 to 64 visible characters of ASCII. It stays in the log in clear and for ever,
/// out of erasure's reach, so it has no room for texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandId(String);

/// The text is no id of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "1 to {} visible ASCII characters without spaces, such as a UUID: it stays in the log, so put nothing personal into it",
    CommandId::LONGEST
)]
pub struct NoCommandId;

impl CommandId {
    /// No id is longer, in characters.
    pub const LONGEST: usize = 64;

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommandId {
    type Err = NoCommandId;

    fn from_str(text: &str) -> Result<Self, NoCommandId> {
        let is_one = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_one { Ok(Self(text.to_owned())) } else { Err(NoCommandId) }
    }
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
        Some(CommandKey {
            scope: format!("{}{through} {}", self.actor, command.route),
            id: command.id.as_str().to_owned(),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_command_has_no_room_for_texts() {
        let long = "x".repeat(65);
        let refused = [
            "",
            " ",
            "Ada Lovelace",
            "12 St James's Square, London",
            "a\tb",
            "a\nb",
            "a\r\nSet-Cookie: a=b",
            "\0",
            "a\0",
            "\u{1b}[31m",
            "\u{7f}",
            "\u{80}",
            "\u{9b}31m",
            "é",
            "Zoë",
            "Ада",
            "阿达",
            "\u{a0}",
            "\u{ad}",
            "\u{200b}",
            "a\u{200d}b",
            "\u{202e}abc",
            "\u{2066}a",
            "\u{feff}a",
            "\u{2028}",
            "\u{e0041}",
            "😀",
            "ＡＢＣ",
            " a",
            "a ",
            "a b",
            "\u{3000}",
            long.as_str(),
        ];
        assert!(refused.len() >= 30);
        for text in refused {
            assert_eq!(text.parse::<CommandId>(), Err(NoCommandId), "{text:?}");
        }
        let longest = "~".repeat(64);
        for text in ["!", "01926f3e-8a00-7000-8000-000000000001", "\"quoted\"", "a/b?c=d&e", longest.as_str()] {
            assert_eq!(text.parse::<CommandId>().expect(text).as_str(), text);
        }
    }
}
