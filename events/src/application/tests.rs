//! What may happen to an application, one sentence a test.

use super::{ApplicationCommand as C, ApplicationEvent as E, *};
use crate::spec::{self, application, at, scopes, user};

mod properties;
mod queue;
mod rounds;

const OWNER: UserId = user(1);
const REVIEWER: UserId = user(2);
const OTHER: UserId = user(3);
const ID: ApplicationId = application(7);

/// A decision on the first revision.
type Verdict = fn(Decision) -> C;

const VERDICTS: [Verdict; 8] = [
    |decision| C::Approve { decision, client_id: client(1), bench: ONE },
    |decision| C::Deny { decision, bench: ONE },
    |decision| C::Suspend { decision },
    |decision| C::Reinstate { decision },
    |decision| C::Revoke { decision },
    |decision| C::RequestChanges { decision, bench: ONE },
    |decision| C::ApproveChange { decision, bench: ONE },
    |decision| C::DenyChange { decision, bench: ONE },
];

/// One signature, and another reviewer is there.
const ONE: Bench = Bench { signatures: Signatures::One, another: true };
/// Two signatures.
const TWO: Bench = Bench { signatures: Signatures::Two, another: true };

fn given(events: impl IntoIterator<Item = E>) -> spec::Given<Application> {
    spec::given(events)
}

fn asked(name: &str) -> Asked {
    Asked {
        purpose: Purpose::Web,
        name: name.to_owned(),
        description: "Reads aloud".to_owned(),
        website: None,
        redirect_uris: vec![RedirectUri::parse("https://reader.example/back", Purpose::Web).unwrap()],
        scopes: scopes("read identity"),
    }
}

fn client(number: u8) -> ClientId {
    ClientId::from_random(&[number; 16])
}

fn decision(by: UserId, revision: u32, seconds: u32) -> Decision {
    Decision { by, revision, reason_code: "policy-1".to_owned(), reason: "As agreed".into(), at: at(seconds) }
}

fn requested() -> E {
    E::ApplicationRequested { application_id: ID, owner: OWNER, asked: asked("Reader"), at: at(0) }
}

fn edited(name: &str, revision: u32) -> E {
    E::ApplicationEdited { application_id: ID, asked: asked(name), revision, at: at(5) }
}

fn approved(by: UserId, seconds: u32) -> E {
    E::ApplicationApproved { application_id: ID, client_id: client(1), decision: decision(by, 1, seconds) }
}

fn denied(by: UserId, seconds: u32) -> E {
    E::ApplicationDenied { application_id: ID, decision: decision(by, 1, seconds) }
}

fn changes_requested(by: UserId, seconds: u32) -> E {
    E::ChangesRequested { application_id: ID, decision: decision(by, 1, seconds) }
}

fn suspended(by: UserId, seconds: u32) -> E {
    E::ApplicationSuspended { application_id: ID, decision: decision(by, 1, seconds) }
}

fn reinstated(by: UserId, seconds: u32) -> E {
    E::ApplicationReinstated { application_id: ID, decision: decision(by, 1, seconds) }
}

fn revoked(by: UserId, seconds: u32) -> E {
    E::ApplicationRevoked { application_id: ID, decision: decision(by, 1, seconds) }
}

fn resubmitted(name: &str, revision: u32) -> E {
    E::ApplicationResubmitted { application_id: ID, asked: asked(name), revision, at: at(30) }
}

fn appealed() -> E {
    E::ApplicationAppealed { application_id: ID, owner: OWNER, text: "Why?".into(), at: at(30) }
}

fn rotated() -> E {
    E::ClientIdRotated { application_id: ID, client_id: client(2), previous: client(1), at: at(30) }
}

fn proposed(name: &str, revision: u32, seconds: u32) -> E {
    E::ChangeProposed { application_id: ID, asked: asked(name), revision, at: at(seconds) }
}

fn claimed(by: UserId, seconds: u32) -> E {
    E::ReviewClaimed { application_id: ID, by, at: at(seconds) }
}

fn signed(by: UserId, revision: u32, seconds: u32) -> E {
    E::ReviewSigned { application_id: ID, decision: decision(by, revision, seconds) }
}

fn withdrawn(seconds: u32) -> E {
    E::ApplicationWithdrawn { application_id: ID, at: at(seconds) }
}

/// A history that ends in `standing`, who brought it there, and when.
fn history(standing: Standing) -> (Vec<E>, UserId, Timestamp) {
    match standing {
        Standing::UnderReview => (vec![requested()], OWNER, at(0)),
        Standing::ChangesRequested => (vec![requested(), changes_requested(REVIEWER, 10)], REVIEWER, at(10)),
        Standing::Approved => (vec![requested(), approved(REVIEWER, 10)], REVIEWER, at(10)),
        Standing::Denied => (vec![requested(), denied(REVIEWER, 10)], REVIEWER, at(10)),
        Standing::Suspended => (vec![requested(), approved(REVIEWER, 10), suspended(REVIEWER, 20)], REVIEWER, at(20)),
        Standing::Revoked => (vec![requested(), approved(REVIEWER, 10), revoked(REVIEWER, 20)], REVIEWER, at(20)),
        Standing::Withdrawn => (vec![requested(), withdrawn(20)], OWNER, at(20)),
    }
}

#[test]
fn asking_for_an_application_is_recorded() {
    given([])
        .when(C::Request { application_id: ID, owner: OWNER, asked: asked("Reader"), at: at(0) })
        .then([requested()]);
}

#[test]
fn an_id_is_asked_for_once() {
    for standing in Standing::ALL {
        given(history(standing).0)
            .when(C::Request { application_id: ID, owner: OTHER, asked: asked("Thief"), at: at(30) })
            .refused(ApplicationRefusal::AlreadyRequested);
    }
}

#[test]
fn nothing_can_be_done_with_an_application_that_nobody_asked_for() {
    let verdicts = VERDICTS.map(|verdict| verdict(decision(REVIEWER, 1, 10)));
    let owners =
        [C::Edit { asked: asked("Reader"), seen: None, at: at(1) }, C::Withdraw { seen: Seen::default(), at: at(1) }];
    for command in verdicts.into_iter().chain(owners) {
        given([]).when(command).refused(ApplicationRefusal::NotRequested);
    }
}

/// Every command in every standing, asked by another reviewer than the one who decided before:
/// `+` happens, `-` is refused with who brought it there and when, `0` holds already, `n` is refused since no change
/// was ever proposed.
#[test]
fn every_command_meets_every_standing() {
    #[rustfmt::skip]
    let matrix = [
        //                          edit approve deny suspend reinstate revoke withdraw
        //                          changes resubmit appeal approve-change deny-change withdraw-change rotate claim release
        (Standing::UnderReview,      "+++---++---" , "---+0"),
        (Standing::ChangesRequested, "------+-+--" , "----0"),
        (Standing::Approved,         "p--+-++---n" , "nn+-0"),
        (Standing::Denied,           "---------+-" , "----0"),
        (Standing::Suspended,        "----+++---n" , "nn--0"),
        (Standing::Revoked,          "-----------" , "----0"),
        (Standing::Withdrawn,        "------0----" , "----0"),
    ];
    assert_eq!(matrix.map(|(standing, ..)| standing), Standing::ALL);
    let by = || decision(OTHER, 1, 30);
    for (standing, first, second) in matrix {
        let asks = [
            (C::Edit { asked: asked("Better"), seen: None, at: at(5) }, edited("Better", 2)),
            (VERDICTS[0](by()), approved(OTHER, 30)),
            (VERDICTS[1](by()), denied(OTHER, 30)),
            (VERDICTS[2](by()), suspended(OTHER, 30)),
            (VERDICTS[3](by()), reinstated(OTHER, 30)),
            (VERDICTS[4](by()), revoked(OTHER, 30)),
            (C::Withdraw { seen: Seen::default(), at: at(30) }, withdrawn(30)),
            (VERDICTS[5](by()), changes_requested(OTHER, 30)),
            (C::Resubmit { asked: asked("Better"), seen: None, at: at(30) }, resubmitted("Better", 2)),
            (C::Appeal { text: "Why?".into(), at: at(30) }, appealed()),
            (VERDICTS[6](by()), denied(OTHER, 30)),
            (VERDICTS[7](by()), denied(OTHER, 30)),
            (C::WithdrawChange { seen: None, at: at(30) }, denied(OTHER, 30)),
            (C::RotateClientId { client_id: client(2), seen: None, at: at(30) }, rotated()),
            (C::Claim { by: OTHER, bench: ONE, at: at(30) }, claimed(OTHER, 30)),
            (C::Release { by: OTHER, at: at(30) }, denied(OTHER, 30)),
        ];
        let cells: Vec<_> = first.chars().chain(second.chars()).collect();
        assert_eq!(cells.len(), asks.len());
        for (cell, (command, event)) in cells.into_iter().zip(asks) {
            let (events, by, at) = history(standing);
            let outcome = given(events).when(command);
            match cell {
                '+' => outcome.then([event]),
                'p' => outcome.then([proposed("Better", 2, 5)]),
                '0' => outcome.then_nothing(),
                'n' => outcome.refused(ApplicationRefusal::NoChange { standing, by, at }),
                _ => outcome.refused(ApplicationRefusal::WrongStanding { standing, by, at }),
            }
        }
    }
}

#[test]
fn nobody_decides_on_an_application_of_their_own_wherever_it_stands() {
    for standing in Standing::ALL {
        for verdict in VERDICTS {
            given(history(standing).0)
                .when(verdict(decision(OWNER, 1, 30)))
                .refused(ApplicationRefusal::OwnApplication);
        }
    }
}

#[test]
fn every_edit_raises_the_revision_by_one() {
    given([requested(), edited("Better", 2)])
        .when(C::Edit { asked: asked("Best"), seen: None, at: at(5) })
        .then([edited("Best", 3)]);
}

#[test]
fn an_edit_that_changes_nothing_records_nothing() {
    given([requested()]).when(C::Edit { asked: asked("Reader"), seen: None, at: at(5) }).then_nothing();
    given([requested(), edited("Better", 2)])
        .when(C::Edit { asked: asked("Better"), seen: None, at: at(9) })
        .then_nothing();
}

#[test]
fn a_decision_on_a_revision_that_the_owner_has_changed_since_is_refused() {
    for verdict in &VERDICTS[..2] {
        given([requested(), edited("Better", 2)])
            .when(verdict(decision(REVIEWER, 1, 10)))
            .refused(ApplicationRefusal::Revised { seen: 1, now: 2 });
    }
}

#[test]
fn who_read_something_else_of_an_application_does_not_withdraw_it() {
    let withdraw = |revision, standing| C::Withdraw { seen: Seen { revision, standing }, at: at(30) };
    let (read, read_as) = (Some(1), Some(Standing::UnderReview));
    given([requested()]).when(withdraw(read, read_as)).then([withdrawn(30)]);
    given([requested(), edited("Better", 2)])
        .when(withdraw(read, read_as))
        .refused(ApplicationRefusal::Revised { seen: 1, now: 2 });
    let was_approved = ApplicationRefusal::WrongStanding { standing: Standing::Approved, by: REVIEWER, at: at(10) };
    given([requested(), approved(REVIEWER, 10)]).when(withdraw(read, read_as)).refused(was_approved);
    // What is withdrawn already is withdrawn, whatever was read.
    given([requested(), withdrawn(20)]).when(withdraw(read, read_as)).then_nothing();
}

#[test]
fn a_decision_on_a_revision_that_was_never_there_is_refused() {
    for seen in [0, 2, u32::MAX] {
        given([requested()])
            .when(C::Approve { decision: decision(REVIEWER, seen, 10), client_id: client(1), bench: ONE })
            .refused(ApplicationRefusal::Revised { seen, now: 1 });
    }
}

#[test]
fn suspending_reinstating_and_revoking_name_the_revision_too() {
    let stale = |verdict: Verdict| verdict(decision(REVIEWER, 4, 30));
    let revised = ApplicationRefusal::Revised { seen: 4, now: 1 };
    given(history(Standing::Approved).0).when(stale(VERDICTS[2])).refused(revised.clone());
    given(history(Standing::Suspended).0).when(stale(VERDICTS[3])).refused(revised.clone());
    given(history(Standing::Suspended).0).when(stale(VERDICTS[4])).refused(revised);
}

#[test]
fn the_same_reviewer_asking_twice_records_one_decision() {
    let again = |verdict: Verdict, revision| verdict(decision(REVIEWER, revision, 30));
    let reinstated = vec![requested(), approved(OTHER, 10), suspended(OTHER, 20), reinstated(REVIEWER, 25)];
    // Whatever revision the second click names: the decision holds already.
    for revision in [1, 9] {
        given(history(Standing::Approved).0).when(again(VERDICTS[0], revision)).then_nothing();
        given(history(Standing::Denied).0).when(again(VERDICTS[1], revision)).then_nothing();
        given(history(Standing::Suspended).0).when(again(VERDICTS[2], revision)).then_nothing();
        given(reinstated.clone()).when(again(VERDICTS[3], revision)).then_nothing();
        given(history(Standing::Revoked).0).when(again(VERDICTS[4], revision)).then_nothing();
    }
}

#[test]
fn approving_twice_never_changes_the_client_id() {
    let approved = given(history(Standing::Approved).0);
    approved.when(C::Approve { decision: decision(REVIEWER, 1, 30), client_id: client(2), bench: ONE }).then_nothing();
}

#[test]
fn a_reviewer_is_told_who_reinstated_what_they_had_approved() {
    given([requested(), approved(REVIEWER, 10), suspended(OTHER, 20), reinstated(OTHER, 25)])
        .when(C::Approve { decision: decision(REVIEWER, 1, 30), client_id: client(2), bench: ONE })
        .refused(ApplicationRefusal::WrongStanding { standing: Standing::Approved, by: OTHER, at: at(25) });
}

#[test]
fn a_reviewer_who_changes_their_mind_about_a_denial_is_told_that_they_decided() {
    given(history(Standing::Denied).0)
        .when(C::Approve { decision: decision(REVIEWER, 1, 30), client_id: client(1), bench: ONE })
        .refused(ApplicationRefusal::WrongStanding { standing: Standing::Denied, by: REVIEWER, at: at(10) });
}

#[test]
fn a_suspension_leaves_the_client_id_for_the_reinstatement() {
    let spec::Given(state) =
        given([requested(), approved(REVIEWER, 10), suspended(OTHER, 20), reinstated(REVIEWER, 25)]);
    let Application::Requested(record) = state else { panic!("it was requested") };
    assert_eq!((record.standing, record.client_id), (Standing::Approved, Some(client(1))));
}

#[test]
fn what_is_not_approved_yet_has_no_client_id() {
    for standing in [Standing::UnderReview, Standing::ChangesRequested, Standing::Denied, Standing::Withdrawn] {
        let spec::Given(Application::Requested(record)) = given(history(standing).0) else {
            panic!("it was requested")
        };
        assert_eq!(record.client_id, None, "{standing}");
    }
}

#[test]
fn every_standing_reads_back_as_it_is_written() {
    for standing in Standing::ALL {
        assert_eq!(standing.as_str().parse(), Ok(standing));
        assert_eq!(serde_json::to_string(&standing).unwrap(), format!("\"{standing}\""));
    }
    assert_eq!("Approved".parse::<Standing>(), Err(UnknownStanding("Approved".to_owned())));
}
