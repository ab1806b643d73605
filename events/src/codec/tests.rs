//! What was stored once reads back for ever: golden files of every stored type and version.

use std::{collections::BTreeSet, fs, path::PathBuf};

use proptest::prelude::*;
use serde_json::json;

use super::{samples::samples, *};
use crate::{
    account::AccountEvent,
    inbox::{InboxEvent, Topic},
    sensitive::Personal,
    site::{Difference, ProjectionEvent, SiteEvent},
    spec::{at, data_key, golden, golden_text, message, sealed, user},
};

mod upcasts;

#[test]
fn every_sample_is_stored_exactly_as_its_golden_file_says() {
    for sample in samples() {
        let Encoded { event_type, payload } = encode(&sample).unwrap();
        let file = format!("{}.v{}.json", event_type.name, event_type.version);
        assert_eq!(payload, golden_text(&file, &payload), "{file}");
    }
}

#[test]
fn every_golden_file_reads_back_as_its_sample() {
    for sample in samples() {
        let event_type = encode(&sample).unwrap().event_type;
        let text = fs::read_to_string(golden(&format!("{}.v{}.json", event_type.name, event_type.version))).unwrap();
        assert_eq!(decode(event_type.name, event_type.version, &text).unwrap(), sample);
    }
}

#[test]
fn every_version_of_every_type_has_a_golden_file_and_there_is_no_other() {
    let expected: BTreeSet<_> = TYPES
        .iter()
        .flat_map(|known| (1..=known.version).map(|version| format!("{}.v{version}.json", known.name)))
        .collect();
    let there: BTreeSet<_> = fs::read_dir(golden("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| PathBuf::from(name).extension().is_some_and(|extension| extension == "json"))
        .collect();
    assert_eq!(there, expected);
}

#[test]
fn the_table_of_types_lists_exactly_the_variants_in_their_order_and_category() {
    let encoded: Vec<_> = samples().iter().map(|sample| encode(sample).unwrap().event_type).collect();
    assert_eq!(encoded, TYPES);
    let names: BTreeSet<_> = TYPES.iter().map(|known| known.name).collect();
    assert_eq!(names.len(), TYPES.len(), "a stored name is there twice");
}

#[test]
fn a_payload_reads_back_only_under_its_own_name() {
    for sample in samples() {
        let Encoded { event_type, payload } = encode(&sample).unwrap();
        for other in TYPES.iter().filter(|other| other.name != event_type.name) {
            assert_ne!(decode(other.name, 1, &payload).ok(), Some(sample.clone()), "{}", other.name);
        }
    }
}

#[test]
fn every_sealed_field_is_in_the_table_of_personal_fields_and_every_field_of_the_table_is_sealed() {
    for mut sample in samples() {
        let Encoded { event_type, payload } = encode(&sample).unwrap();
        let mut found = vec![];
        sealed_fields("", &serde_json::from_str(&payload).unwrap(), &mut found);
        let mut table: Vec<_> = sample.personal_fields().iter().map(|(name, ..)| (*name).to_owned()).collect();
        found.sort();
        table.sort();
        assert_eq!(found, table, "{}", event_type.name);
    }
}

/// Collects the names of fields whose value is a sealed text.
fn sealed_fields(name: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if fields.contains_key("sealed") => found.push(name.to_owned()),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| sealed_fields(name, value, found)),
        Value::Array(values) => values.iter().for_each(|value| sealed_fields(name, value, found)),
        _ => {}
    }
}

#[test]
fn an_event_with_any_personal_field_still_clear_does_not_encode() {
    for sample in samples() {
        for index in 0..sample.clone().personal_fields().len() {
            let mut leaky = sample.clone();
            let mut fields = leaky.personal_fields();
            *fields[index].2 = "in clear".into();
            let error = encode(&leaky).unwrap_err();
            assert!(matches!(error, CodecError::NotSealed(_)), "{error}");
            assert!(!error.to_string().contains("in clear"));
        }
    }
}

#[test]
fn an_unknown_type_or_version_is_refused_by_name() {
    for (name, version) in [("UserRegistred", 1), ("", 1), ("RoleGranted", 0), ("RoleGranted", 2), ("rolegranted", 1)] {
        let error = decode(name, version, "{}").unwrap_err();
        let CodecError::UnknownType { name: said, version: at } = error else { panic!("{error}") };
        assert_eq!((said.as_str(), at), (name, version));
    }
}

#[test]
fn a_payload_that_lacks_a_field_or_has_one_too_many_is_malformed() {
    for sample in samples() {
        let Encoded { event_type, payload } = encode(&sample).unwrap();
        let Value::Object(fields) = serde_json::from_str(&payload).unwrap() else { panic!("a payload is an object") };
        let mut more = fields.clone();
        more.insert("surprise".to_owned(), json!(1));
        let malformed = |fields: &serde_json::Map<String, Value>| {
            let payload = Value::Object(fields.clone()).to_string();
            matches!(decode(event_type.name, event_type.version, &payload), Err(CodecError::Malformed { .. }))
        };
        assert!(malformed(&more), "{} with one more", event_type.name);
        for name in fields.keys() {
            let mut fewer = fields.clone();
            fewer.remove(name);
            // serde reads a missing optional field as none; every other field is missed.
            let optional = ["expires_at", "held", "from", "parent", "url"].contains(&name.as_str())
                && !["AuditExported", "CutOffLowered"].contains(&event_type.name);
            assert_eq!(malformed(&fewer), !optional, "{} without {name}", event_type.name);
        }
    }
}

#[test]
fn a_payload_that_is_no_json_or_goes_on_after_its_end_is_malformed() {
    let good = encode(&AccountEvent::UserErased { user_id: user(1), at: at(0) }.into()).unwrap().payload;
    let bad =
        [String::new(), "null".into(), "[]".into(), "\u{0}".into(), format!("{good}{good}"), good.replace('}', "")];
    for payload in bad {
        let error = decode("UserErased", 1, &payload).unwrap_err();
        assert!(matches!(error, CodecError::Malformed { .. }), "{payload:?}: {error}");
    }
}

#[test]
fn optional_fields_that_are_absent_read_back_as_absent() {
    for topic in [Topic::Letter, Topic::SecretExpired { application_id: crate::spec::application(7) }] {
        let event: Event = InboxEvent::PrivateMessageSent {
            message_id: message(1),
            to: user(1),
            from: None,
            topic,
            title: sealed(""),
            body: sealed("body"),
            held: None,
            at: at(0),
        }
        .into();
        let Encoded { event_type, payload } = encode(&event).unwrap();
        assert_eq!(decode(event_type.name, event_type.version, &payload).unwrap(), event);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_text_and_any_bytes_survive_the_log(
        text in any::<String>(),
        spiked in "[\\x00-\\x1f\"\\\\}{:,📚👩‍👩‍👧é\u{2028}\u{feff}]{0,20}",
        bytes in any::<Vec<u8>>(),
    ) {
        for text in [text, spiked] {
            let difference = Difference { key: text.clone(), from: Some(text.clone()), to: None };
            let events: [Event; 2] = [
                SiteEvent::ConfigurationChanged { differences: vec![difference], at: at(0) }.into(),
                ProjectionEvent::ParkedEventDiscarded {
                    name: text,
                    position: crate::recorded::Position(1),
                    reason: Personal::Sealed { key: data_key(1), bytes: bytes.clone() },
                    at: at(0),
                }
                .into(),
            ];
            for event in events {
                let Encoded { event_type, payload } = encode(&event).unwrap();
                prop_assert_eq!(decode(event_type.name, event_type.version, &payload).unwrap(), event);
            }
        }
    }
}
