//! What no sequence of commands can bring about.

use proptest::prelude::*;

use super::*;
use crate::spec::Step;

/// Which command, by whom, and how far the revision that it names is from the newest.
type Ask = (u8, u32, i8);

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let offset = prop_oneof![6 => Just(0_i8), 1 => Just(-1), 1 => Just(1)];
    prop::collection::vec((0_u8..16, 1_u32..=3, offset), 0..40)
}

fn command(state: &Application, number: u32, (kind, by, offset): Ask) -> C {
    let now = if let Application::Requested(record) = state { record.revision } else { 1 };
    let decision = decision(user(by), now.saturating_add_signed(offset.into()), number);
    match kind {
        // Each aggregate begins with a request; a few more of them do no harm.
        _ if number == 1 => C::Request { application_id: ID, owner: OWNER, asked: asked("Reader"), at: at(0) },
        0 => C::Request { application_id: ID, owner: user(by), asked: asked("Thief"), at: at(number) },
        1..=3 => C::Edit { asked: asked(["Reader", "Better", "Best"][by as usize - 1]), at: at(number) },
        4 => C::Withdraw { at: at(number) },
        5 => C::Revoke { decision },
        6 | 7 => C::Deny { decision },
        8..=10 => VERDICTS[0](decision),
        11..=13 => C::Suspend { decision },
        _ => C::Reinstate { decision },
    }
}

fn decision_of(event: &E) -> Option<&Decision> {
    match event {
        E::ReviewSigned { decision, .. }
        | E::ChangesRequested { decision, .. }
        | E::ApplicationApproved { decision, .. }
        | E::ApplicationDenied { decision, .. }
        | E::ChangeApproved { decision, .. }
        | E::ChangeDenied { decision, .. }
        | E::ApplicationSuspended { decision, .. }
        | E::ApplicationReinstated { decision, .. }
        | E::ApplicationRevoked { decision, .. } => Some(decision),
        _ => None,
    }
}

/// The arrows of design section 3 that this release has commands for.
fn may_move(from: Standing, to: Standing) -> bool {
    use Standing as S;
    from == to
        || matches!(
            (from, to),
            (S::UnderReview, S::Approved | S::Denied | S::Withdrawn)
                | (S::Approved, S::Suspended | S::Revoked | S::Withdrawn)
                | (S::Suspended, S::Approved | S::Revoked | S::Withdrawn)
        )
}

fn check(Step { before, outcome, after }: &Step<Application>) {
    let events = outcome.as_deref().unwrap_or_default();
    let Application::Requested(after) = after else { panic!("it is requested from the first command on") };
    let was_approved = matches!(after.standing, Standing::Approved | Standing::Suspended | Standing::Revoked);
    let never_approved = matches!(after.standing, Standing::UnderReview | Standing::Denied);
    assert!(after.client_id.is_some() || !was_approved, "approved without a client id");
    assert!(after.client_id.is_none() || !never_approved, "a client id before the approval");
    assert_eq!(after.owner, OWNER);

    let Application::Requested(before) = before else { return };
    assert!(may_move(before.standing, after.standing), "{} to {}", before.standing, after.standing);
    assert!(events.len() <= 1);
    let edited = events.iter().any(|event| matches!(event, E::ApplicationEdited { .. }));
    assert_eq!(after.revision, before.revision + u32::from(edited));
    assert_eq!(after.asked != before.asked, edited, "only an edit changes what is asked for, and an edit does");
    assert!(!edited || before.standing == Standing::UnderReview);
    if before.client_id.is_some() {
        assert_eq!(after.client_id, before.client_id);
    }
    if matches!(before.standing, Standing::Revoked | Standing::Withdrawn | Standing::Denied) {
        assert!(events.is_empty(), "something happened after the end");
    }
    for decision in events.iter().filter_map(decision_of) {
        assert_ne!(decision.by, OWNER, "the owner decided");
        assert_eq!(decision.revision, before.revision, "decided on another revision");
        assert_eq!(after.since, (decision.by, decision.at));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_commands_keeps_the_rules_of_an_application(asks in asks()) {
        for step in &spec::play(asks, command) {
            check(step);
        }
    }
}

#[test]
fn the_sequences_reach_every_standing_that_this_release_has_commands_for() {
    use Standing as S;
    let route = |kinds: &[u8]| {
        let steps = spec::play(kinds.iter().map(|kind| (*kind, 2, 0)), command);
        let Some(Application::Requested(record)) = steps.into_iter().next_back().map(|step| step.after) else {
            panic!("it was requested")
        };
        record.standing
    };
    let reached = [&[0][..], &[0, 8], &[0, 6], &[0, 8, 11], &[0, 8, 11, 14], &[0, 8, 5], &[0, 4]].map(route);
    assert_eq!(reached, [S::UnderReview, S::Approved, S::Denied, S::Suspended, S::Approved, S::Revoked, S::Withdrawn]);
}
