//! Old payloads become new ones step by step: in planted tables, and for every version that was ever stored.

use super::*;

fn planted(version: u16) -> EventType {
    EventType { category: "account", name: "UserErased", version }
}

const STEPS: &[Upcast] = &[
    Upcast { name: "RoleGranted", from: 1, step: |_| json!("another type's step") },
    Upcast { name: "UserErased", from: 2, step: |old| json!({ "user_id": old["member"], "at": old["at"] }) },
    Upcast { name: "UserErased", from: 1, step: |old| json!({ "member": old["who"], "at": old["at"] }) },
];

#[test]
fn a_payload_goes_through_every_step_from_its_version_on_in_order() {
    let event: Event = AccountEvent::UserErased { user_id: user(1), at: at(0) }.into();
    let stored = [
        (1, json!({ "who": user(1), "at": at(0) })),
        (2, json!({ "member": user(1), "at": at(0) })),
        (3, json!({ "user_id": user(1), "at": at(0) })),
    ];
    for (version, payload) in stored {
        let read = decode_by(&[planted(3)], STEPS, "UserErased", version, &payload.to_string());
        assert_eq!(read.unwrap(), event, "from version {version}");
    }
}

#[test]
fn a_version_beyond_today_s_is_refused_and_never_guessed() {
    for version in [0, 4] {
        let read = decode_by(&[planted(3)], STEPS, "UserErased", version, "{}");
        assert!(matches!(read, Err(CodecError::UnknownType { version: said, .. }) if said == version));
    }
}

#[test]
fn an_old_payload_that_is_no_json_is_malformed() {
    let read = decode_by(&[planted(3)], STEPS, "UserErased", 1, "{");
    assert!(matches!(read, Err(CodecError::Malformed { .. })));
}

#[test]
fn an_old_payload_whose_step_is_missing_is_malformed_and_does_not_pass_for_new() {
    let old = json!({ "who": user(1), "at": at(0) }).to_string();
    let read = decode_by(&[planted(3)], &STEPS[..2], "UserErased", 1, &old);
    assert!(matches!(read, Err(CodecError::Malformed { .. })));
}

#[test]
fn missing_steps_are_named() {
    assert_eq!(missing_upcasts(&[planted(3)], STEPS), []);
    assert_eq!(missing_upcasts(&[planted(1)], &[]), []);
    assert_eq!(missing_upcasts(&[planted(4)], STEPS), [("UserErased", 3)]);
    assert_eq!(missing_upcasts(&[planted(3)], &STEPS[..1]), [("UserErased", 1), ("UserErased", 2)]);
}

#[test]
fn a_post_of_before_mentions_mentions_nobody() {
    let stored = |version: u16| {
        let text = fs::read_to_string(golden(&format!("PostPublished.v{version}.json"))).unwrap();
        decode("PostPublished", version, &text).unwrap()
    };
    let mut today = stored(2);
    let Event::Post(crate::post::PostEvent::PostPublished { mentions, .. }) = &mut today else { panic!("a post") };
    assert_eq!(std::mem::take(mentions), [user(4), user(5)]);
    assert_eq!(stored(1), today);
}

#[test]
fn a_copy_of_before_filters_was_of_everything_in_its_stretch() {
    let stored = fs::read_to_string(golden("AuditExported.v1.json")).unwrap();
    let Event::Site(SiteEvent::AuditExported { from, to, format, filters, rows, .. }) =
        decode("AuditExported", 1, &stored).unwrap()
    else {
        panic!("a copy")
    };
    assert_eq!((from.0, to.0, rows), (1, u64::MAX, u64::MAX));
    assert_eq!((format, filters), (crate::site::ExportFormat::Unknown, vec![]));
}

#[test]
fn no_step_is_missing_today() {
    assert_eq!(missing_upcasts(TYPES, UPCASTS), []);
}
