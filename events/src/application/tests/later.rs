//! Events that "Review in full" gives a command: the state understands them already, so that a log
//! written by a later release folds to the same standing here.

use super::*;

fn state(events: impl IntoIterator<Item = E>) -> Record {
    let spec::Given(Application::Requested(record)) = given(events) else { panic!("it was requested") };
    *record
}

fn proposed(revision: u32) -> E {
    E::ChangeProposed { application_id: ID, asked: asked("Better"), revision, at: at(20) }
}

#[test]
fn a_resubmission_is_under_review_at_its_new_revision() {
    let resubmitted = E::ApplicationResubmitted { application_id: ID, asked: asked("Better"), revision: 2, at: at(20) };
    let record = state([requested(), changes_requested(REVIEWER, 10), resubmitted]);
    assert_eq!((record.standing, record.revision), (Standing::UnderReview, 2));
    assert_eq!((record.asked, record.since), (asked("Better"), (OWNER, at(20))));
}

#[test]
fn an_appeal_is_under_review_again() {
    let appealed = E::ApplicationAppealed { application_id: ID, owner: OWNER, text: "Why?".into(), at: at(20) };
    let record = state([requested(), denied(REVIEWER, 10), appealed]);
    assert_eq!((record.standing, record.since), (Standing::UnderReview, (OWNER, at(20))));
}

#[test]
fn a_proposed_change_waits_while_the_approved_version_holds() {
    let record = state([requested(), approved(REVIEWER, 10), proposed(2)]);
    assert_eq!((record.standing, record.revision), (Standing::Approved, 2));
    assert_eq!((record.asked, record.proposed), (asked("Reader"), Some(asked("Better"))));
}

#[test]
fn an_approved_change_holds() {
    let decided = E::ChangeApproved { application_id: ID, decision: decision(REVIEWER, 2, 30) };
    let record = state([requested(), approved(REVIEWER, 10), proposed(2), decided]);
    assert_eq!((record.asked, record.proposed, record.standing), (asked("Better"), None, Standing::Approved));
}

#[test]
fn a_change_that_was_denied_or_withdrawn_leaves_what_holds_and_its_revision_number_is_spent() {
    let denied = E::ChangeDenied { application_id: ID, decision: decision(REVIEWER, 2, 30) };
    let withdrawn = E::ChangeWithdrawn { application_id: ID, revision: 2, at: at(30) };
    for ending in [denied, withdrawn] {
        let record = state([requested(), approved(REVIEWER, 10), proposed(2), ending]);
        assert_eq!((record.asked, record.proposed, record.revision), (asked("Reader"), None, 2));
    }
}

#[test]
fn a_rotated_client_id_takes_the_place_of_the_old_one() {
    let rotated = E::ClientIdRotated { application_id: ID, client_id: client(2), previous: client(1), at: at(30) };
    assert_eq!(state([requested(), approved(REVIEWER, 10), rotated]).client_id, Some(client(2)));
}

#[test]
fn claims_releases_and_first_signatures_leave_it_under_review() {
    let before = state([requested()]);
    let after = state([
        requested(),
        E::ReviewClaimed { application_id: ID, by: REVIEWER, at: at(1) },
        E::ReviewReleased { application_id: ID, by: REVIEWER, at: at(2) },
        E::ReviewSigned { application_id: ID, decision: decision(REVIEWER, 1, 3) },
    ]);
    assert_eq!(before, after);
}

#[test]
fn nothing_happens_to_what_nobody_asked_for() {
    let spec::Given(state) = given([approved(REVIEWER, 10), withdrawn(20)]);
    assert_eq!(state, Application::NotRequested);
}
