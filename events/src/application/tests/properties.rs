//! What no sequence of commands can bring about.

use proptest::prelude::*;

use super::*;
use crate::spec::Step;

/// Which command, by whom, and how far the revision that it names is from the newest.
type Ask = (u8, u32, i8);

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let offset = prop_oneof![6 => Just(0_i8), 1 => Just(-1), 1 => Just(1)];
    prop::collection::vec((0_u8..32, 1_u32..=4, offset), 0..60)
}

fn command(state: &Application, number: u32, (kind, by, offset): Ask) -> C {
    let now = if let Application::Requested(record) = state { record.revision } else { 1 };
    let decision = decision(user(by), now.saturating_add_signed(offset.into()), number);
    match kind {
        // Each aggregate begins with a request; a few more of them do no harm.
        _ if number == 1 => C::Request { application_id: ID, owner: OWNER, asked: asked("Reader"), at: at(0) },
        0 => C::Request { application_id: ID, owner: user(by), asked: asked("Thief"), at: at(number) },
        1..=3 => C::Edit { asked: name(by), seen: None, at: at(number) },
        4 => C::Withdraw { seen: Seen::default(), at: at(number) },
        5 => C::Revoke { decision },
        6 | 7 => C::Deny { decision, bench: BENCHES[usize::from(kind - 6)] },
        8..=10 => C::Approve { decision, client_id: client(kind), bench: BENCHES[usize::from(kind - 8)] },
        11..=13 => C::Suspend { decision },
        14 | 15 => C::Reinstate { decision },
        16 | 17 => C::RequestChanges { decision, bench: ONE },
        18 | 19 => C::Resubmit { asked: name(by), seen: None, at: at(number) },
        20 | 21 => C::Appeal { text: "Why?".into(), at: at(number) },
        22..=24 => C::ApproveChange { decision, bench: BENCHES[usize::from(kind - 22)] },
        25 => C::DenyChange { decision, bench: ONE },
        26 => C::WithdrawChange { seen: None, at: at(number) },
        27 => C::RotateClientId { client_id: client(100 + u8::try_from(number).unwrap()), seen: None, at: at(number) },
        28 | 29 => C::Claim { by: user(by), bench: ONE, at: at(number) },
        _ => C::Release { by: user(by), at: at(number) },
    }
}

const BENCHES: [Bench; 3] = [ONE, TWO, Bench { signatures: Signatures::Anew, another: false }];

fn name(by: u32) -> Asked {
    asked(["Reader", "Better", "Best", "Boldest"][by as usize - 1])
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

/// The arrows of design section 3, and one more: whoever was asked for changes may give up instead.
fn may_move(from: Standing, to: Standing) -> bool {
    use Standing as S;
    from == to
        || matches!(
            (from, to),
            (S::UnderReview, S::Approved | S::Denied | S::ChangesRequested | S::Withdrawn)
                | (S::ChangesRequested, S::UnderReview | S::Withdrawn)
                | (S::Denied, S::UnderReview)
                | (S::Approved, S::Suspended | S::Revoked | S::Withdrawn)
                | (S::Suspended, S::Approved | S::Revoked | S::Withdrawn)
        )
}

fn check(Step { before, outcome, after }: &Step<Application>) {
    let events = outcome.as_deref().unwrap_or_default();
    let Application::Requested(after) = after else { panic!("it is requested from the first command on") };
    let was_approved = matches!(after.standing, Standing::Approved | Standing::Suspended | Standing::Revoked);
    let never_approved =
        matches!(after.standing, Standing::UnderReview | Standing::Denied | Standing::ChangesRequested);
    assert!(after.client_id.is_some() || !was_approved, "approved without a client id");
    assert!(after.client_id.is_none() || !never_approved, "a client id before the approval");
    assert!(after.proposed.is_none() || matches!(after.standing, Standing::Approved | Standing::Suspended));
    assert!(after.holds <= after.revision);
    assert_eq!(after.owner, OWNER);

    let Application::Requested(before) = before else { return };
    assert!(may_move(before.standing, after.standing), "{} to {}", before.standing, after.standing);
    assert!(events.len() <= 1);
    check_revisions(before, events, after);
    if matches!(before.standing, Standing::Revoked | Standing::Withdrawn) {
        assert!(events.is_empty(), "something happened after the end");
    }
    for event in events {
        let Some(decision) = decision_of(event) else { continue };
        assert_ne!(decision.by, OWNER, "the owner decided");
        let oversight = matches!(
            event,
            E::ApplicationSuspended { .. } | E::ApplicationReinstated { .. } | E::ApplicationRevoked { .. }
        );
        let read = decision.revision;
        assert!(read == before.revision || (oversight && read == before.holds), "decided on another revision");
        let claim = before.claim.filter(|claim| claim.by != decision.by);
        assert!(oversight || claim.is_none(), "decided on what another reviewer had claimed");
        if after.standing != before.standing {
            assert_eq!(after.since, (decision.by, decision.at));
        }
    }
}

fn check_revisions(before: &Record, events: &[E], after: &Record) {
    let revised = events.iter().any(|event| {
        matches!(event, E::ApplicationEdited { .. } | E::ApplicationResubmitted { .. } | E::ChangeProposed { .. })
    });
    assert_eq!(after.revision, before.revision + u32::from(revised));
    let may_change = events.iter().any(|event| {
        matches!(event, E::ApplicationEdited { .. } | E::ApplicationResubmitted { .. } | E::ChangeApproved { .. })
    });
    assert!(may_change || after.asked == before.asked, "what holds changed by itself");
    let rotated = events.iter().any(|event| matches!(event, E::ClientIdRotated { .. }));
    if before.client_id.is_some() {
        assert_eq!(after.client_id != before.client_id, rotated);
    }
    assert!(!rotated || before.standing == Standing::Approved);
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
fn the_sequences_reach_every_standing() {
    use Standing as S;
    let route = |kinds: &[u8]| {
        let steps = spec::play(kinds.iter().map(|kind| (*kind, 2, 0)), command);
        let Some(Application::Requested(record)) = steps.into_iter().next_back().map(|step| step.after) else {
            panic!("it was requested")
        };
        record.standing
    };
    let reached = [&[0][..], &[0, 8], &[0, 6], &[0, 8, 11], &[0, 8, 11, 14], &[0, 8, 5], &[0, 4], &[0, 16]].map(route);
    assert_eq!(
        reached,
        [
            S::UnderReview,
            S::Approved,
            S::Denied,
            S::Suspended,
            S::Approved,
            S::Revoked,
            S::Withdrawn,
            S::ChangesRequested
        ]
    );
}
