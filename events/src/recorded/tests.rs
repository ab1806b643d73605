//! One stream, one name; one actor, one name.

use proptest::prelude::*;

use super::*;
use crate::spec::{application, post, user};

const ID: &str = "00000000-0000-7000-8000-000000000001";

fn stream() -> impl Strategy<Value = StreamName> {
    let id = || any::<u128>().prop_map(Uuid::from_u128);
    prop_oneof![
        id().prop_map(|user| StreamName::Account(UserId(user))),
        any::<[u8; 16]>().prop_map(|mac| StreamName::Username(UsernameDigest::new(mac))),
        id().prop_map(|application| StreamName::Application(ApplicationId(application))),
        (id(), id()).prop_map(|(a, u)| StreamName::Authorization(ApplicationId(a), UserId(u))),
        id().prop_map(|user| StreamName::Inbox(UserId(user))),
        id().prop_map(|post| StreamName::Post(PostId(post))),
        (id(), id()).prop_map(|(p, u)| StreamName::Vote(PostId(p), UserId(u))),
        Just(StreamName::Site),
        "[a-z_-]{1,20}".prop_map(StreamName::Projection),
    ]
}

fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![
        any::<u128>().prop_map(|user| Actor::User(UserId(Uuid::from_u128(user)))),
        "\\PC{1,20}".prop_map(Actor::Cli),
        Just(Actor::System),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_stream_reads_back_from_its_name(stream in stream()) {
        let name = stream.to_string();
        prop_assert_eq!(name.split('-').next(), Some(stream.category()));
        prop_assert_eq!(name.parse(), Ok(stream));
    }

    #[test]
    fn every_actor_reads_back_from_its_name(actor in actor()) {
        prop_assert_eq!(actor.to_string().parse(), Ok(actor));
    }

    #[test]
    fn what_reads_as_a_stream_or_an_actor_is_its_only_name(
        text in prop_oneof![
            any::<String>(),
            "(account|username|application|authorization|inbox|post|vote|site|projection|user|cli|system)[-:]?\\PC{0,80}",
            "(account|vote|username)-[0-9a-fA-F-]{30,75}",
        ]
    ) {
        if let Ok(stream) = text.parse::<StreamName>() {
            prop_assert_eq!(stream.to_string(), text.clone());
        }
        if let Ok(actor) = text.parse::<Actor>() {
            prop_assert_eq!(actor.to_string(), text);
        }
    }
}

#[test]
fn streams_are_named_as_the_design_says() {
    assert_eq!(StreamName::Account(user(1)).to_string(), format!("account-{ID}"));
    assert_eq!(StreamName::Vote(post(1), user(1)).to_string(), format!("vote-{ID}-{ID}"));
    assert_eq!(StreamName::Authorization(application(1), user(1)).to_string(), format!("authorization-{ID}-{ID}"));
    assert_eq!(StreamName::Site.to_string(), "site");
    assert_eq!(StreamName::Projection("inbox".to_owned()).to_string(), "projection-inbox");
    let username = StreamName::Username(UsernameDigest::new([0xab; 16]));
    assert_eq!(username.to_string(), format!("username-1-{}", "ab".repeat(16)));
}

#[test]
fn a_text_that_names_no_stream_is_refused_and_repeated() {
    let digest = "ab".repeat(16);
    for text in [
        String::new(),
        "-".to_owned(),
        "account".to_owned(),
        "account-".to_owned(),
        "account-1".to_owned(),
        format!("account-{ID}-{ID}"),
        format!("account-{ID} "),
        format!(" account-{ID}"),
        format!("ACCOUNT-{ID}"),
        format!("account-{}", ID.replace('-', "")),
        format!("account-{{{ID}}}"),
        format!("account-urn:uuid:{ID}"),
        "account-00000000-0000-7000-8000-00000000000A".to_owned(),
        format!("authorization-{ID}"),
        format!("authorization-{ID}{ID}"),
        format!("vote-{ID}-"),
        format!("vote-{ID}-{ID}-{ID}"),
        // Cut inside a character: 36 bytes are not always characters.
        format!("vote-{}é{ID}", &ID[..35]),
        "site-".to_owned(),
        "site-1".to_owned(),
        "projection".to_owned(),
        "projection-".to_owned(),
        format!("username-{digest}"),
        format!("username-1-{}", &digest[1..]),
        format!("username-1-{}", digest.to_uppercase()),
        format!("username-+1-{digest}"),
        format!("username-01-{digest}"),
        format!("username-x-{digest}"),
        format!("secret-{ID}"),
    ] {
        assert_eq!(text.parse::<StreamName>(), Err(UnknownStream(text.clone())));
    }
}

#[test]
fn a_text_that_names_no_actor_is_refused_and_repeated() {
    for text in ["", "user", "user:", "user:ada", "cli", "cli:", "system:", "System", "root:ada"] {
        assert_eq!(text.parse::<Actor>(), Err(UnknownActor(text.to_owned())));
    }
    let dashless = format!("user:{}", ID.replace('-', ""));
    assert_eq!(dashless.parse::<Actor>(), Err(UnknownActor(dashless)));
}

#[test]
fn only_a_member_is_an_actor_with_an_account() {
    assert_eq!(Actor::User(user(1)).user(), Some(user(1)));
    assert_eq!(Actor::Cli("ada".to_owned()).user(), None);
    assert_eq!(Actor::System.user(), None);
}

#[test]
fn positions_and_versions_count_from_one() {
    assert_eq!(Position::default().next(), Position(1));
    assert_eq!(Version(1).next().to_string(), "2");
}
