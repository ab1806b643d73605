//! What may happen in an inbox, one sentence a test.

use proptest::prelude::*;

use super::{InboxCommand as C, InboxEvent as E, *};
use crate::spec::{self, application, at, message, secret, token_id, user};

const ADA: UserId = user(1);

fn given(events: impl IntoIterator<Item = E>) -> spec::Given<Inbox> {
    spec::given(events)
}

fn held(number: u32, until: u32) -> HeldSecret {
    HeldSecret {
        secret_id: secret(number),
        token_id: token_id(number),
        application_id: application(7),
        until: at(until),
    }
}

fn sent(number: u32, held: Option<HeldSecret>, seconds: u32) -> E {
    E::PrivateMessageSent {
        message_id: message(number),
        to: ADA,
        from: None,
        topic: Topic::Decision { application_id: application(7) },
        title: "Approved".into(),
        body: "Your token waits here".into(),
        held,
        at: at(seconds),
    }
}

fn send(number: u32, held: Option<HeldSecret>, seconds: u32) -> C {
    C::Send {
        message_id: message(number),
        to: ADA,
        from: None,
        topic: Topic::Decision { application_id: application(7) },
        title: "Approved".into(),
        body: "Your token waits here".into(),
        held,
        at: at(seconds),
    }
}

fn reveal(number: u32, seconds: u32) -> C {
    C::Reveal { user_id: ADA, message_id: message(number), at: at(seconds) }
}

fn revealed(number: u32, seconds: u32) -> E {
    E::SecretRevealed { user_id: ADA, message_id: message(number), secret_id: secret(number), at: at(seconds) }
}

fn expire(number: u32, seconds: u32) -> C {
    C::Expire { user_id: ADA, message_id: message(number), at: at(seconds) }
}

fn expired(number: u32, seconds: u32) -> E {
    E::SecretExpired { user_id: ADA, message_id: message(number), secret_id: secret(number), at: at(seconds) }
}

#[test]
fn a_message_arrives_with_or_without_a_secret() {
    given([]).when(send(1, None, 0)).then([sent(1, None, 0)]);
    given([]).when(send(1, Some(held(1, 100)), 0)).then([sent(1, Some(held(1, 100)), 0)]);
}

#[test]
fn a_message_whose_secret_waits_or_was_shown_does_not_arrive_again() {
    let arrived = sent(1, Some(held(1, 100)), 0);
    given([arrived.clone()]).when(send(1, Some(held(2, 200)), 5)).then_nothing();
    given([arrived, revealed(1, 10)]).when(send(1, Some(held(2, 200)), 20)).then_nothing();
}

#[test]
fn a_held_secret_is_revealed_to_its_recipient() {
    given([sent(1, Some(held(1, 100)), 0)]).when(reveal(1, 50)).then([revealed(1, 50)]);
}

#[test]
fn a_second_reveal_says_when_the_first_was() {
    given([sent(1, Some(held(1, 100)), 0), revealed(1, 50)])
        .when(reveal(1, 60))
        .refused(InboxRefusal::AlreadyRevealed { at: at(50) });
    // Also when its time has passed since.
    given([sent(1, Some(held(1, 100)), 0), revealed(1, 50)])
        .when(reveal(1, 200))
        .refused(InboxRefusal::AlreadyRevealed { at: at(50) });
}

#[test]
fn a_secret_is_not_revealed_once_its_time_is_over_even_before_it_is_swept() {
    for seconds in [100, 101] {
        given([sent(1, Some(held(1, 100)), 0)])
            .when(reveal(1, seconds))
            .refused(InboxRefusal::SecretExpired { at: at(100) });
    }
    given([sent(1, Some(held(1, 100)), 0)]).when(reveal(1, 99)).then([revealed(1, 99)]);
}

#[test]
fn a_secret_that_expired_is_not_revealed_and_says_when() {
    given([sent(1, Some(held(1, 100)), 0), expired(1, 120)])
        .when(reveal(1, 130))
        .refused(InboxRefusal::SecretExpired { at: at(120) });
}

#[test]
fn a_message_without_a_secret_has_nothing_to_reveal_or_expire() {
    for events in [vec![], vec![sent(1, None, 0)], vec![sent(2, Some(held(2, 100)), 0)]] {
        given(events.clone()).when(reveal(1, 50)).refused(InboxRefusal::NothingHeld);
        given(events).when(expire(1, 500)).refused(InboxRefusal::NothingHeld);
    }
}

#[test]
fn a_secret_expires_from_its_instant_on_and_not_before() {
    let waiting = given([sent(1, Some(held(1, 100)), 0)]);
    waiting.when(expire(1, 99)).refused(InboxRefusal::NotYetExpired { until: at(100) });
    waiting.when(expire(1, 100)).then([expired(1, 100)]);
}

#[test]
fn a_secret_expires_once() {
    given([sent(1, Some(held(1, 100)), 0), expired(1, 100)]).when(expire(1, 110)).then_nothing();
}

#[test]
fn what_was_revealed_does_not_expire() {
    given([sent(1, Some(held(1, 100)), 0), revealed(1, 50)])
        .when(expire(1, 110))
        .refused(InboxRefusal::AlreadyRevealed { at: at(50) });
}

#[test]
fn one_secret_leaves_the_others_alone() {
    let both = [sent(1, Some(held(1, 100)), 0), sent(2, Some(held(2, 100)), 0), revealed(1, 50)];
    given(both).when(reveal(2, 60)).then([revealed(2, 60)]);
}

#[test]
fn reading_names_what_was_read_and_reading_nothing_records_nothing() {
    let ids = vec![message(1).0, message(2).0];
    given([]).when(C::MarkRead { user_id: ADA, ids: ids.clone(), at: at(5) }).then([E::NotificationsRead {
        user_id: ADA,
        ids,
        at: at(5),
    }]);
    given([]).when(C::MarkRead { user_id: ADA, ids: vec![], at: at(5) }).then_nothing();
}

#[test]
fn reading_a_message_does_not_reveal_its_secret() {
    let read = E::NotificationsRead { user_id: ADA, ids: vec![message(1).0], at: at(5) };
    given([sent(1, Some(held(1, 100)), 0), read]).when(reveal(1, 50)).then([revealed(1, 50)]);
}

fn command(number: u32, (kind, which, lasts): (u8, u32, u32)) -> C {
    match kind {
        0..=2 => send(which, Some(held(number, number + lasts)), number),
        3 => send(which, None, number),
        4..=6 => reveal(which, number),
        7 | 8 => expire(which, number),
        _ => C::MarkRead { user_id: ADA, ids: vec![message(which).0; lasts as usize % 2], at: at(number) },
    }
}

/// How far a secret has come; it never goes back, and `Revealed` and `Expired` are two ends.
const fn rank(standing: Option<&SecretStanding>) -> u8 {
    match standing {
        None => 0,
        Some(SecretStanding::Held(_)) => 1,
        Some(SecretStanding::Revealed(_) | SecretStanding::Expired(_)) => 2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_secret_is_held_and_then_revealed_or_expired_once_and_never_held_again(
        asks in prop::collection::vec((0_u8..10, 1_u32..4, 0_u32..20), 0..50)
    ) {
        let steps = spec::play(asks, |_: &Inbox, number, ask| command(number, ask));
        let mut shown = std::collections::BTreeSet::new();
        for (number, step) in (1..).zip(&steps) {
            for which in (1..4).map(message) {
                let (before, after) = (step.before.secrets.get(&which), step.after.secrets.get(&which));
                prop_assert!(rank(before) <= rank(after));
                prop_assert!(rank(after) <= rank(before) + 1);
                // What holds stays: the secret, and the instant at which it was shown or ended.
                prop_assert!(rank(before) != rank(after) || before == after);
                if let (Some(SecretStanding::Held(held)), Some(after)) = (before, after) {
                    let in_time = held.until > at(number);
                    let allowed = match after {
                        SecretStanding::Held(_) => true,
                        SecretStanding::Revealed(_) => in_time,
                        SecretStanding::Expired(_) => !in_time,
                    };
                    prop_assert!(allowed, "{held:?} became {after:?} at {}", at(number));
                }
            }
            for event in step.events() {
                if let E::SecretRevealed { secret_id, .. } | E::SecretExpired { secret_id, .. } = event {
                    prop_assert!(shown.insert(*secret_id), "{secret_id} was shown or ended twice");
                }
            }
        }
    }
}
