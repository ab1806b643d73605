//! The index of the log: given what happened, this is where it can be found again.

use countersign_events::application::ApplicationEvent as A;
use countersign_events::authorization::{AuthorizationEvent as Z, Via};
use countersign_events::post::PostEvent;

use super::*;
use crate::history::{SUBJECTS, Subject};

fn subjects(recorded: &Recorded<Event>) -> Vec<String> {
    let rows = (history::PROJECTION.project)(recorded).into_iter().map(|change| {
        let Change::Upsert { table, key, set } = change else { panic!("{change:?}") };
        assert_eq!((table, &key[1], set.len()), (&SUBJECTS, &V::from(4_u32), 0));
        let V::Text(subject) = &key[0] else { panic!("{key:?}") };
        subject.clone()
    });
    rows.collect()
}

#[test]
fn every_event_is_found_by_its_stored_type() {
    for (known, event) in codec::TYPES.iter().zip(samples()) {
        assert_eq!(subjects(&recorded(4, event))[0], Subject::Type(known.name.to_owned()).to_string());
    }
}

#[test]
fn a_consent_is_found_by_its_actor_its_member_and_its_application_each_once() {
    let mut authorized = recorded(
        4,
        Z::UserAuthorized {
            application_id: application(7),
            user_id: user(1),
            grant: 1,
            application_revision: 1,
            scopes: scopes("read"),
            via: Via::Consent,
            at: at(5),
        },
    );
    authorized.envelope.actor = Actor::User(user(1));
    let expected = [
        "type UserAuthorized".to_owned(),
        format!("actor user:{}", user(1)),
        format!("user {}", user(1)),
        format!("application {}", application(7)),
    ];
    assert_eq!(subjects(&authorized), expected);
}

#[test]
fn a_comment_is_found_by_everybody_it_concerns_and_by_the_application_it_came_through() {
    let mut commented = recorded(
        4,
        PostEvent::CommentPosted {
            post_id: post(1),
            comment_id: comment(2),
            parent: None,
            author: user(2),
            answers: user(1),
            mentions: vec![user(3), user(1)],
            body: "Indeed".into(),
            at: at(0),
        },
    );
    commented.envelope.actor = Actor::User(user(2));
    commented.envelope.on_behalf_of = Some(application(7));
    let found = subjects(&commented);
    for wanted in [user(1), user(2), user(3)] {
        assert_eq!(found.iter().filter(|subject| **subject == Subject::User(wanted).to_string()).count(), 1);
    }
    assert!(found.contains(&Subject::Application(application(7)).to_string()));
    assert_eq!(found.len(), 6);
}

#[test]
fn an_operator_is_an_actor_and_no_member() {
    let suspended = AccountEvent::UserSuspended { user_id: user(1), at: at(0) };
    let mut suspended = recorded(4, suspended);
    suspended.envelope.actor = Actor::Cli("ada".to_owned());
    assert_eq!(
        subjects(&suspended),
        ["type UserSuspended".to_owned(), "actor cli:ada".to_owned(), format!("user {}", user(1))]
    );
}

#[test]
fn a_decision_at_the_command_line_is_found_by_the_operator_and_by_whose_name_it_was_made_in() {
    let denied = A::ApplicationDenied { application_id: application(7), decision: decision(user(2), 5) };
    let mut denied = recorded(4, denied);
    let name = format!("actor user:{}", user(2));
    let about =
        ["type ApplicationDenied".to_owned(), format!("user {}", user(2)), format!("application {}", application(7))];
    for (actor, actors) in [
        (Actor::Cli("ada".to_owned()), vec!["actor cli:ada".to_owned(), name.clone()]),
        (Actor::User(user(2)), vec![name]),
    ] {
        denied.envelope.actor = actor;
        assert_eq!(subjects(&denied), [&about[..1], &actors, &about[1..]].concat());
    }
}
