//! What people see after what happened. The samples of all stored types are the golden files of
//! `countersign-events`, read as the log would hand them over, their personal fields opened.

use std::{fs, path::PathBuf};

use countersign_events::{
    account::{AccountEvent, Role},
    application::Decision,
    codec,
    event::Event,
    ids::{ApplicationId, CommentId, EventId, MessageId, PostId, TokenId, UserId},
    recorded::{Actor, Envelope, Position, Recorded, StreamName, Timestamp, Version},
    scope::ScopeSet,
    token::TokenDigest,
};

use super::*;
use crate::{Value as V, change::Set};

mod applications;
mod board;
mod interpreter;
mod lookups;
mod members;
mod notices;
mod properties;
mod reviews;
mod structure;

/// The id with this number, of whichever kind.
macro_rules! numbered {
    ($($name:ident -> $id:ident;)+) => {$(
        fn $name(number: u8) -> $id {
            format!("00000000-0000-7000-8000-0000000000{number:02x}").parse().unwrap()
        }
    )+};
}

numbered! {
    user -> UserId;
    application -> ApplicationId;
    post -> PostId;
    comment -> CommentId;
    message -> MessageId;
    token_id -> TokenId;
    event_id -> EventId;
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp_micros(1_767_225_600_000_001 + seconds * 1_000_000).unwrap()
}

fn scopes(text: &str) -> ScopeSet {
    text.parse().unwrap()
}

/// `event` at `position` of the log, recorded a thousand seconds after the number of its position.
fn recorded(position: u8, event: impl Into<Event>) -> Recorded<Event> {
    let envelope = Envelope {
        position: Position(position.into()),
        event_id: event_id(position),
        stream: StreamName::Site,
        version: Version(1),
        recorded_at: at(1_000 + i64::from(position)),
        actor: Actor::System,
        on_behalf_of: None,
        client_address: None,
        request_id: None,
        command_id: None,
        causation: None,
    };
    Recorded { envelope, event: event.into() }
}

/// When [`recorded`] says that the event at this position was recorded, as a column has it.
fn recorded_at(position: u8) -> V {
    at(1_000 + i64::from(position)).into()
}

fn decision(by: UserId, seconds: i64) -> Decision {
    Decision { by, revision: 1, reason_code: "policy-1".to_owned(), reason: "As agreed".into(), at: at(seconds) }
}

fn upsert(table: &'static Table, key: &[V], set: &[(&'static str, V)]) -> Change {
    Change::Upsert { table, key: key.to_vec(), set: set.to_vec() }
}

fn patch(table: &'static Table, key: &[V], set: &[(&'static str, V)]) -> Change {
    Change::Patch { table, key: key.to_vec(), set: set.to_vec() }
}

/// A sample of every stored type, opened.
fn samples() -> Vec<Event> {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../events/golden");
    let read = |known: &codec::EventType| {
        let file = golden.join(format!("{}.v{}.json", known.name, known.version));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut event = codec::decode(known.name, known.version, &text).unwrap();
        for (name, _, field) in event.personal_fields() {
            *field = name.into();
        }
        event
    };
    codec::TYPES.iter().map(read).collect()
}

/// What every projection makes of an event, by the projection's name.
fn changes(recorded: &Recorded<Event>) -> Vec<(&'static str, Vec<Change>)> {
    let all = INLINE.iter().chain(TRAILING);
    let changes = all.map(|projection| (projection.name, (projection.project)(recorded)));
    changes.filter(|(_, changes)| !changes.is_empty()).collect()
}
