//! Sentences of every stored type, and what they are made of.

use std::{fs, path::PathBuf};

use countersign_events::{
    codec,
    ids::EventId,
    recorded::{Envelope, Position, StreamName, Version},
};

use super::*;

/// Names everybody by the last two digits of their id.
struct Numbered;

impl Names for Numbered {
    fn member(&self, user: UserId) -> String {
        format!("member{}", &user.to_string()[34..])
    }

    fn application(&self, application: ApplicationId) -> String {
        format!("App{}", &application.to_string()[34..])
    }

    fn actor(&self, actor: &Actor) -> String {
        match actor {
            Actor::User(user) => self.member(*user),
            Actor::Cli(name) => name.clone(),
            Actor::System => "The site".to_owned(),
        }
    }

    fn clause(&self, code: &str) -> String {
        format!("clause {code}")
    }
}

fn recorded(event: Event, actor: Actor) -> Recorded<Event> {
    let envelope = Envelope {
        position: Position(1),
        event_id: EventId(uuid::Uuid::nil()),
        stream: StreamName::Site,
        version: Version(1),
        recorded_at: Timestamp::UNIX_EPOCH,
        actor,
        on_behalf_of: None,
        client_address: None,
        request_id: None,
        command_id: None,
        causation: None,
    };
    Recorded { envelope, event }
}

/// The sample of a stored type, its personal fields opened.
fn sample(known: &codec::EventType) -> Event {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("events/golden");
    let text = fs::read_to_string(golden.join(format!("{}.v{}.json", known.name, known.version))).unwrap();
    let mut event = codec::decode(known.name, known.version, &text).unwrap();
    for (name, _, field) in event.personal_fields() {
        *field = format!("the {name}").into();
    }
    event
}

fn told(name: &str, actor: Actor) -> Sentence {
    let known = codec::TYPES.iter().find(|known| known.name == name).unwrap();
    sentence(&Numbered, &recorded(sample(known), actor))
}

#[test]
fn every_stored_type_is_one_sentence_of_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for known in codec::TYPES {
        let text = sentence(&Numbered, &recorded(sample(known), Actor::Cli("ada".to_owned()))).text;
        assert!(text.ends_with('.') && text.starts_with(|c: char| c.is_alphabetic() || c == '“'), "{text}");
        assert!(!text.contains(known.name) && text.len() < 300, "{}: {text}", known.name);
        assert!(seen.insert(text.clone()), "{}: {text} is there twice", known.name);
    }
}

#[test]
fn a_role_is_told_with_who_gave_it_to_whom() {
    assert_eq!(told("RoleGranted", Actor::Cli("ada".to_owned())).text, "ada gave member01 the role reviewer.");
}

#[test]
fn a_decision_is_told_with_its_clause_and_its_reason() {
    let denied = told("ApplicationDenied", Actor::System);
    assert!(denied.text.contains("denied “App07”, revision "), "{}", denied.text);
    assert_eq!(denied.why.as_deref(), Some("the reason"));
    assert!(denied.whole().ends_with("“the reason”"), "{}", denied.whole());
}

#[test]
fn a_message_is_told_without_a_word_of_it() {
    let sent = told("PrivateMessageSent", Actor::System);
    assert!(!sent.whole().contains("the title") && !sent.whole().contains("the body"), "{}", sent.whole());
}

#[test]
fn a_text_that_is_gone_says_so() {
    let known = codec::TYPES.iter().find(|known| known.name == "PostPublished").unwrap();
    let mut event = sample(known);
    for (_, _, field) in event.personal_fields() {
        *field = Personal::Erased;
    }
    assert!(sentence(&Numbered, &recorded(event, Actor::System)).text.contains("published the post [erased]"));
}

#[test]
fn what_happened_through_an_application_says_so() {
    let known = codec::TYPES.iter().find(|known| known.name == "VoteCast").unwrap();
    let mut voted = recorded(sample(known), Actor::System);
    voted.envelope.on_behalf_of = Some("00000000-0000-7000-8000-000000000007".parse().unwrap());
    assert!(sentence(&Numbered, &voted).text.ends_with("a post, through “App07”."));
}

#[test]
fn scopes_are_told_as_a_list() {
    let told = ["", "read", "read vote", "read identity write"].map(|scopes| listed(scopes.parse().unwrap()));
    assert_eq!(told, ["nothing", "read", "read and vote", "read, identity and write"]);
}
