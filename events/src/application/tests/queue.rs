//! The queue: claims, their end, and two signatures.

use super::*;

const MINUTE: u32 = 60;

#[test]
fn a_claim_keeps_others_away_until_it_lapses() {
    let events = || [requested(), claimed(REVIEWER, 10)];
    let refusal = ApplicationRefusal::Claimed { by: REVIEWER, at: at(10), until: at(10 + 30 * MINUTE) };
    let last = 9 + 30 * MINUTE;
    for command in [
        VERDICTS[0](decision(OTHER, 1, last)),
        VERDICTS[1](decision(OTHER, 1, last)),
        VERDICTS[5](decision(OTHER, 1, last)),
        C::Claim { by: OTHER, bench: ONE, at: at(last) },
        C::Release { by: OTHER, at: at(last) },
    ] {
        given(events()).when(command).refused(refusal.clone());
    }
    let lapsed = last + 1;
    given(events()).when(VERDICTS[1](decision(OTHER, 1, lapsed))).then([denied(OTHER, lapsed)]);
    given(events()).when(C::Claim { by: OTHER, bench: ONE, at: at(lapsed) }).then([claimed(OTHER, lapsed)]);
    given(events()).when(C::Release { by: OTHER, at: at(lapsed) }).then_nothing();
}

#[test]
fn the_claimer_decides_and_a_decision_ends_the_claim() {
    given([requested(), claimed(REVIEWER, 10)])
        .when(VERDICTS[1](decision(REVIEWER, 1, 20)))
        .then([denied(REVIEWER, 20)]);
    given([requested(), claimed(REVIEWER, 10), denied(REVIEWER, 20), appealed()])
        .when(C::Claim { by: OTHER, bench: ONE, at: at(40) })
        .then([claimed(OTHER, 40)]);
}

#[test]
fn claiming_twice_is_claiming_once_until_the_claim_lapses() {
    let events = || [requested(), claimed(REVIEWER, 10)];
    given(events()).when(C::Claim { by: REVIEWER, bench: ONE, at: at(20) }).then_nothing();
    let later = 10 + 30 * MINUTE;
    given(events()).when(C::Claim { by: REVIEWER, bench: ONE, at: at(later) }).then([claimed(REVIEWER, later)]);
}

#[test]
fn the_claimer_lets_go_and_others_may() {
    let released = E::ReviewReleased { application_id: ID, by: REVIEWER, at: at(20) };
    given([requested(), claimed(REVIEWER, 10)]).when(C::Release { by: REVIEWER, at: at(20) }).then([released.clone()]);
    given([requested(), claimed(REVIEWER, 10), released])
        .when(VERDICTS[1](decision(OTHER, 1, 21)))
        .then([denied(OTHER, 21)]);
}

#[test]
fn nobody_claims_an_application_of_their_own() {
    given([requested()])
        .when(C::Claim { by: OWNER, bench: ONE, at: at(5) })
        .refused(ApplicationRefusal::OwnApplication);
}

#[test]
fn a_claim_outlasts_an_edit_and_does_not_hinder_oversight() {
    given([requested(), claimed(REVIEWER, 4), edited("Better", 2)])
        .when(VERDICTS[0](decision(OTHER, 2, 20)))
        .refused(ApplicationRefusal::Claimed { by: REVIEWER, at: at(4), until: at(4 + 30 * MINUTE) });
    given([requested(), approved(REVIEWER, 10), proposed("Better", 2, 20), claimed(REVIEWER, 25)])
        .when(C::Suspend { decision: decision(OTHER, 2, 30) })
        .then([suspended_at_two(30)]);
}

fn suspended_at_two(seconds: u32) -> E {
    E::ApplicationSuspended { application_id: ID, decision: decision(OTHER, 2, seconds) }
}

fn approve(by: UserId, revision: u32, bench: Bench) -> C {
    C::Approve { decision: decision(by, revision, 30), client_id: client(1), bench }
}

#[test]
fn of_two_reviewers_the_first_signs_and_the_second_decides() {
    given([requested()]).when(approve(REVIEWER, 1, TWO)).then([signed(REVIEWER, 1, 30)]);
    given([requested(), signed(REVIEWER, 1, 10)]).when(approve(REVIEWER, 1, TWO)).then_nothing();
    given([requested(), signed(REVIEWER, 1, 10)]).when(approve(OTHER, 1, TWO)).then([approved(OTHER, 30)]);
    given([requested()]).when(approve(OWNER, 1, TWO)).refused(ApplicationRefusal::OwnApplication);
}

#[test]
fn a_signature_stands_for_the_revision_that_was_read() {
    let events = || [requested(), signed(REVIEWER, 1, 3), edited("Better", 2)];
    given(events()).when(approve(OTHER, 2, TWO)).then([signed(OTHER, 2, 30)]);
    given([requested(), edited("Better", 2), signed(REVIEWER, 2, 10)])
        .when(approve(REVIEWER, 1, TWO))
        .refused(ApplicationRefusal::Revised { seen: 1, now: 2 });
}

#[test]
fn the_signature_of_somebody_who_is_no_reviewer_any_more_counts_for_nothing() {
    let anew = Bench { signatures: Signatures::Anew, ..TWO };
    given([requested(), signed(REVIEWER, 1, 10)]).when(approve(OTHER, 1, anew)).then([signed(OTHER, 1, 30)]);
}

#[test]
fn one_signature_denies_and_one_asks_for_changes() {
    let by = || decision(OTHER, 1, 30);
    given([requested()]).when(C::Deny { decision: by(), bench: TWO }).then([denied(OTHER, 30)]);
    given([requested(), signed(REVIEWER, 1, 10)])
        .when(C::RequestChanges { decision: by(), bench: TWO })
        .then([changes_requested(OTHER, 30)]);
}

#[test]
fn a_change_wants_two_signatures_as_well() {
    let events = || [requested(), approved(REVIEWER, 10), proposed("Better", 2, 20)];
    let approve = |by| C::ApproveChange { decision: decision(by, 2, 30), bench: TWO };
    let decided = E::ChangeApproved { application_id: ID, asked: asked("Better"), decision: decision(OTHER, 2, 30) };
    given(events()).when(approve(REVIEWER)).then([signed(REVIEWER, 2, 30)]);
    given(events().into_iter().chain([signed(REVIEWER, 2, 25)])).when(approve(OTHER)).then([decided]);
    // The owner proposes another change: what was signed is no longer what waits.
    let other = [signed(REVIEWER, 2, 25), proposed("Best", 3, 26)];
    given(events().into_iter().chain(other))
        .when(C::ApproveChange { decision: decision(OTHER, 3, 30), bench: TWO })
        .then([signed(OTHER, 3, 30)]);
}

#[test]
fn who_signed_a_change_has_not_approved_the_application_again() {
    let events = [requested(), approved(OTHER, 10), proposed("Better", 2, 20), signed(REVIEWER, 2, 25)];
    given(events).when(approve(REVIEWER, 2, TWO)).refused(ApplicationRefusal::WrongStanding {
        standing: Standing::Approved,
        by: OTHER,
        at: at(10),
    });
}

#[test]
fn a_first_signature_lets_the_second_reviewer_in() {
    given([requested(), claimed(REVIEWER, 10), signed(REVIEWER, 1, 20)])
        .when(approve(OTHER, 1, TWO))
        .then([approved(OTHER, 30)]);
}
