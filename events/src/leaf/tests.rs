//! The canonical bytes are for ever, and no two events share theirs.

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    ids::{ApplicationId, EventId},
    recorded::{Actor, Position, StreamName, Timestamp, Version},
    spec::{application, at, golden_text, post, sealed, user},
};

const EVENT: EventId = EventId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00ee));

fn full() -> Envelope {
    Envelope {
        position: Position(258),
        event_id: EVENT,
        stream: StreamName::Vote(post(1), user(2)),
        version: Version(3),
        recorded_at: at(60),
        actor: Actor::User(user(2)),
        on_behalf_of: Some(application(7)),
        client_address: Some(sealed("192.0.2.1")),
        request_id: Some("request-1".to_owned()),
        command_id: Some("command-1".to_owned()),
        causation: Some(EventId(Uuid::from_u128(1))),
    }
}

fn absent() -> Envelope {
    Envelope {
        stream: StreamName::Site,
        actor: Actor::System,
        on_behalf_of: None,
        client_address: None,
        request_id: None,
        command_id: None,
        causation: None,
        ..full()
    }
}

fn empty() -> Envelope {
    Envelope {
        actor: Actor::Cli("ö".to_owned()),
        client_address: Some(sealed("")),
        request_id: Some(String::new()),
        command_id: Some(String::new()),
        ..absent()
    }
}

#[test]
fn the_canonical_bytes_are_those_of_the_golden_file() {
    let leaves = [
        ("all fields", canonical_bytes(&full(), "VoteCast", 1, r#"{"direction":"up"}"#)),
        ("optional fields absent", canonical_bytes(&absent(), "AuditExported", 1, "{}")),
        ("optional fields empty", canonical_bytes(&empty(), "AuditExported", 258, "{}")),
        ("no payload", canonical_bytes(&absent(), "", 0, "")),
    ];
    let lines: Vec<_> = leaves.iter().map(|(name, leaf)| format!("{name}: {}", HEXLOWER.encode(leaf))).collect();
    let text = lines.join("\n") + "\n";
    assert_eq!(text, golden_text("leaf.v1.hex", &text));
}

#[test]
fn the_layout_is_a_tag_and_then_length_and_bytes_of_each_field() {
    let leaf = canonical_bytes(&absent(), "VoteCast", 1, "{}");
    let mut rest = leaf.strip_prefix(b"countersign leaf v1\n").unwrap();
    let mut fields = vec![];
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let length = u64::from_be_bytes(*length);
        let (field, after) = after.split_at(if length == u64::MAX { 0 } else { usize::try_from(length).unwrap() });
        fields.push((length != u64::MAX).then_some(field));
        rest = after;
    }
    let micros = at(60).timestamp_micros().to_be_bytes();
    let expected: [Option<&[u8]>; 14] = [
        Some(&258_u64.to_be_bytes()),
        Some(EVENT.0.as_bytes()),
        Some(b"site"),
        Some(&3_u64.to_be_bytes()),
        Some(b"VoteCast"),
        Some(&1_u16.to_be_bytes()),
        Some(&micros),
        Some(b"system"),
        None,
        None,
        None,
        None,
        None,
        Some(b"{}"),
    ];
    assert_eq!(fields, expected);
    assert!(rest.is_empty());
}

/// Everything that the bytes cover, as it is stored: addresses are sealed, instants are microseconds.
type Covered = (Envelope, String, u16, String);

/// Few and short values, so that two of them are often equal or nearly so.
fn covered() -> impl Strategy<Value = Covered> {
    let id = || (0_u128..2).prop_map(Uuid::from_u128);
    let text = || prop_oneof![Just(String::new()), Just("a".to_owned()), Just("ab".to_owned()), Just("b".to_owned())];
    let stream = prop_oneof![
        Just(StreamName::Site),
        text().prop_map(StreamName::Projection),
        (0_u32..2).prop_map(|number| StreamName::Post(post(number))),
        (0_u32..2, 0_u32..2).prop_map(|(one, two)| StreamName::Vote(post(one), user(two))),
    ];
    let actor = prop_oneof![
        Just(Actor::System),
        (0_u32..2).prop_map(|number| Actor::User(user(number))),
        text().prop_map(Actor::Cli),
    ];
    let address = (id(), prop::collection::vec(0_u8..2, 0..2))
        .prop_map(|(key, bytes)| Personal::Sealed { key: crate::ids::DataKeyId(key), bytes });
    let place = (0_u64..2, id(), stream, 0_u64..2, 0_i64..2);
    let who = (actor, prop::option::of(id()), prop::option::of(address));
    let why = (prop::option::of(text()), prop::option::of(text()), prop::option::of(id()));
    let what = (text(), 0_u16..2, text());
    (place, who, why, what).prop_map(
        |(
            (position, event, stream, version, micros),
            (actor, behalf, client_address),
            why,
            (name, number, payload),
        )| {
            let (request_id, command_id, causation) = why;
            let envelope = Envelope {
                position: Position(position),
                event_id: EventId(event),
                stream,
                version: Version(version),
                recorded_at: Timestamp::from_timestamp_micros(micros).unwrap(),
                actor,
                on_behalf_of: behalf.map(ApplicationId),
                client_address,
                request_id,
                command_id,
                causation: causation.map(EventId),
            };
            (envelope, name, number, payload)
        },
    )
}

fn bytes_of((envelope, name, version, payload): &Covered) -> Vec<u8> {
    canonical_bytes(envelope, name, *version, payload)
}

/// `one` with some fields of `other`: a neighbour that differs in a few places.
fn blend(one: &Covered, other: &Covered, which: u16) -> Covered {
    let ((a, name, number, payload), (b, other_name, other_number, other_payload)) = (one.clone(), other.clone());
    let other_s = |bit: u32| which & (1 << bit) != 0;
    let envelope = Envelope {
        position: if other_s(0) { b.position } else { a.position },
        event_id: if other_s(1) { b.event_id } else { a.event_id },
        stream: if other_s(2) { b.stream } else { a.stream },
        version: if other_s(3) { b.version } else { a.version },
        recorded_at: if other_s(4) { b.recorded_at } else { a.recorded_at },
        actor: if other_s(5) { b.actor } else { a.actor },
        on_behalf_of: if other_s(6) { b.on_behalf_of } else { a.on_behalf_of },
        client_address: if other_s(7) { b.client_address } else { a.client_address },
        request_id: if other_s(8) { b.request_id } else { a.request_id },
        command_id: if other_s(9) { b.command_id } else { a.command_id },
        causation: if other_s(10) { b.causation } else { a.causation },
    };
    (
        envelope,
        if other_s(11) { other_name } else { name },
        if other_s(12) { other_number } else { number },
        if other_s(13) { other_payload } else { payload },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn two_events_have_the_same_bytes_exactly_when_they_are_the_same(
        one in covered(),
        other in covered(),
        bits in (0_u32..14, 0_u32..14),
    ) {
        let near = blend(&one, &other, 1 << bits.0 | 1 << bits.1);
        for other in [&near, &other] {
            prop_assert_eq!(bytes_of(&one) == bytes_of(other), &one == other);
        }
    }
}
