//! Inboxes: given what happened, this is what each member is told.

use countersign_events::{
    application::ApplicationEvent as P,
    authorization::{AuthorizationEvent as Z, Ended, Via},
    inbox::{HeldSecret, InboxEvent as I, Topic},
    post::PostEvent,
    token::TokenKind,
};

use super::*;
use crate::inbox::{AUDIENCE, NOTIFICATIONS};

fn project(event: impl Into<Event>) -> Vec<Change> {
    (inbox::PROJECTION.project)(&recorded(4, event))
}

/// A row of kind `kind` at position 4, unread, with `about` filled in.
fn row(kind: &str, about: &[(&'static str, V)]) -> Set {
    let mut row = vec![
        ("position", 4_u32.into()),
        ("kind", kind.into()),
        ("created_at", recorded_at(4)),
        ("read", false.into()),
        ("from_id", V::Null),
        ("application_id", V::Null),
        ("post_id", V::Null),
        ("comment_id", V::Null),
        ("token_id", V::Null),
        ("secret", V::Null),
        ("held_until", V::Null),
        ("revealed_at", V::Null),
    ];
    for (name, value) in about {
        row.iter_mut().find(|(column, _)| column == name).unwrap().1 = value.clone();
    }
    row
}

fn sent(from: Option<UserId>, topic: Topic, held: Option<HeldSecret>) -> I {
    let (title, body) = ("Hello".into(), "You".into());
    I::PrivateMessageSent { message_id: message(6), to: user(1), from, topic, title, body, held, at: at(0) }
}

#[test]
fn a_letter_is_told_to_its_recipient_with_its_sender_and_without_its_text() {
    let told = row("message", &[("from_id", change::id(user(2)))]);
    let key = [change::id(user(1)), change::id(message(6))];
    assert_eq!(project(sent(Some(user(2)), Topic::Letter, None)), [upsert(&NOTIFICATIONS, &key, &told)]);
}

#[test]
fn a_decision_is_told_with_the_token_that_waits() {
    let held = HeldSecret {
        secret_id: user(5).to_string().parse().unwrap(),
        token_id: token_id(4),
        application_id: application(7),
        until: at(100),
    };
    let told = row(
        "application_decision",
        &[
            ("application_id", change::id(application(7))),
            ("token_id", change::id(token_id(4))),
            ("secret", "held".into()),
            ("held_until", at(100).into()),
        ],
    );
    let key = [change::id(user(1)), change::id(message(6))];
    let decision = Topic::Decision { application_id: application(7) };
    assert_eq!(project(sent(None, decision, Some(held))), [upsert(&NOTIFICATIONS, &key, &told)]);
}

#[test]
fn an_expired_secret_is_told_as_a_change_of_an_authorization() {
    let told = row("authorization_change", &[("application_id", change::id(application(7)))]);
    let key = [change::id(user(1)), change::id(message(6))];
    let topic = Topic::SecretExpired { application_id: application(7) };
    assert_eq!(project(sent(None, topic, None)), [upsert(&NOTIFICATIONS, &key, &told)]);
}

#[test]
fn a_revealed_secret_says_when_and_its_message_was_read() {
    let secret_id = user(5).to_string().parse().unwrap();
    let (user_id, message_id) = (user(1), message(6));
    let key = [change::id(user(1)), change::id(message(6))];
    let set = [("secret", "revealed".into()), ("revealed_at", at(9).into()), ("read", true.into())];
    let revealed = I::SecretRevealed { user_id, message_id, secret_id, at: at(9) };
    assert_eq!(project(revealed), [patch(&NOTIFICATIONS, &key, &set)]);
    let expired = I::SecretExpired { user_id, message_id, secret_id, at: at(9) };
    assert_eq!(project(expired), [patch(&NOTIFICATIONS, &key, &[("secret", "expired".into())])]);
}

#[test]
fn reading_marks_exactly_what_was_read() {
    let ids = vec![message(6).0, event_id(3).0];
    let read = |id: V| patch(&NOTIFICATIONS, &[change::id(user(1)), id], &[("read", true.into())]);
    assert_eq!(
        project(I::NotificationsRead { user_id: user(1), ids, at: at(9) }),
        [read(change::id(message(6))), read(change::id(event_id(3)))]
    );
}

fn commented(author: UserId, answers: UserId, mentions: Vec<UserId>) -> PostEvent {
    PostEvent::CommentPosted {
        post_id: post(1),
        comment_id: comment(2),
        parent: None,
        author,
        answers,
        mentions,
        body: "Indeed".into(),
        at: at(0),
    }
}

fn told(who: UserId, kind: &str, author: UserId) -> Change {
    let about =
        [("post_id", change::id(post(1))), ("comment_id", change::id(comment(2))), ("from_id", change::id(author))];
    upsert(&NOTIFICATIONS, &[change::id(who), change::id(event_id(4))], &row(kind, &about))
}

#[test]
fn whoever_is_answered_is_told_of_the_reply_and_whoever_is_mentioned_of_that() {
    let changes = project(commented(user(2), user(1), vec![user(3)]));
    assert_eq!(changes, [told(user(1), "reply", user(2)), told(user(3), "mention", user(2))]);
}

#[test]
fn nobody_is_told_of_their_own_comment() {
    assert_eq!(project(commented(user(1), user(1), vec![user(1)])), []);
}

#[test]
fn whoever_is_answered_and_mentioned_is_told_once() {
    assert_eq!(project(commented(user(2), user(1), vec![user(1)])), [told(user(1), "reply", user(2))]);
}

fn authorized(via: Via) -> Z {
    Z::UserAuthorized {
        application_id: application(7),
        user_id: user(1),
        grant: 1,
        application_revision: 1,
        scopes: scopes("read"),
        via,
        at: at(5),
    }
}

#[test]
fn who_consents_is_in_the_audience_until_the_consent_is_rescinded() {
    let key = [change::id(application(7)), change::id(user(1))];
    assert_eq!(project(authorized(Via::Consent))[0], upsert(&AUDIENCE, &key, &[("since", at(5).into())]));
    let rescinded = Z::AuthorizationRescinded { application_id: application(7), user_id: user(1), at: at(6) };
    assert_eq!(project(rescinded)[0], Change::Delete { table: &AUDIENCE, key: key.to_vec() });
}

/// What the member is told of a change of what the application may do.
fn noticed() -> Change {
    let told = row("authorization_change", &[("application_id", change::id(application(7)))]);
    upsert(&NOTIFICATIONS, &[change::id(user(1)), change::id(event_id(4))], &told)
}

#[test]
fn every_consent_is_told_to_its_member() {
    assert_eq!(project(authorized(Via::Consent))[1..], [noticed()]);
}

fn issued(kind: TokenKind, held: bool) -> Z {
    Z::TokenIssued {
        application_id: application(7),
        user_id: user(1),
        grant: 1,
        token_id: token_id(4),
        kind,
        digest: TokenDigest::from_bytes([9; 32]),
        scopes: scopes("read"),
        expires_at: None,
        held: held.then(|| user(5).to_string().parse().unwrap()),
        at: at(5),
    }
}

#[test]
fn a_personal_token_is_told_unless_a_message_brings_it() {
    assert_eq!(project(issued(TokenKind::Personal, false)), [noticed()]);
    assert_eq!(project(issued(TokenKind::Personal, true)), []);
    assert_eq!(project(issued(TokenKind::Access, false)), [], "the consent tells");
}

#[test]
fn the_end_of_a_token_is_told_when_it_was_not_its_members_doing() {
    let ended = |why| Z::TokenRevoked {
        application_id: application(7),
        user_id: user(1),
        token_id: token_id(4),
        digest: TokenDigest::from_bytes([9; 32]),
        why,
        at: at(5),
    };
    for why in [Ended::Revoked, Ended::Displaced] {
        assert_eq!(project(ended(why)), [noticed()]);
    }
    for why in [Ended::GivenUp, Ended::Regenerated, Ended::NeverRevealed] {
        assert_eq!(project(ended(why)), []);
    }
}

#[test]
fn taking_a_consent_back_is_told_when_somebody_else_does_it() {
    let rescinded = Z::AuthorizationRescinded { application_id: application(7), user_id: user(1), at: at(6) };
    let mut recorded = recorded(4, rescinded);
    recorded.envelope.actor = Actor::User(user(1));
    assert_eq!((inbox::PROJECTION.project)(&recorded).len(), 1);
    recorded.envelope.actor = Actor::Cli("ada".to_owned());
    assert_eq!((inbox::PROJECTION.project)(&recorded)[1..], [noticed()]);
}

#[test]
fn whoever_a_post_mentions_is_told_and_its_author_is_not() {
    let published = PostEvent::PostPublished {
        post_id: post(1),
        author: user(2),
        mentions: vec![user(3), user(2)],
        title: "News".into(),
        url: None,
        body: "See @cleo".into(),
        at: at(0),
    };
    let about = [("post_id", change::id(post(1))), ("from_id", change::id(user(2)))];
    let key = [change::id(user(3)), change::id(event_id(4))];
    assert_eq!(project(published), [upsert(&NOTIFICATIONS, &key, &row("mention", &about))]);
}

#[test]
fn an_owner_who_never_consented_is_no_audience() {
    assert_eq!(project(authorized(Via::Approval)), []);
    assert_eq!(project(authorized(Via::Operator)), []);
}

#[test]
fn everybody_who_consented_is_told_when_an_application_rests_lives_again_or_ends() {
    let (application_id, decision) = (application(7), decision(user(2), 5));
    let values = row("authorization_change", &[("application_id", change::id(application_id))]);
    let values = values.into_iter().map(|(name, value)| (name, Source::Value(value)));
    let key = [("user_id", Source::Column("user_id")), ("id", Source::Value(change::id(event_id(4))))];
    let copy = Change::Copy {
        into: &NOTIFICATIONS,
        from: &AUDIENCE,
        by: "application_id",
        equals: change::id(application_id),
        columns: key.into_iter().chain(values).collect(),
    };
    for event in [
        P::ApplicationSuspended { application_id, decision: decision.clone() },
        P::ApplicationReinstated { application_id, decision: decision.clone() },
        P::ApplicationRevoked { application_id, decision },
        P::ApplicationWithdrawn { application_id, at: at(5) },
    ] {
        assert_eq!(project(event), std::slice::from_ref(&copy));
    }
}
