//! The rounds between owner and reviewers: changes asked for, resubmission, appeal, proposed changes, another client id.

use super::*;

fn state(events: impl IntoIterator<Item = E>) -> Record {
    let spec::Given(Application::Requested(record)) = given(events) else { panic!("it was requested") };
    *record
}

fn change_approved(by: UserId, revision: u32) -> E {
    E::ChangeApproved { application_id: ID, asked: asked("Better"), decision: decision(by, revision, 30) }
}

fn change_denied(by: UserId, revision: u32) -> E {
    E::ChangeDenied { application_id: ID, decision: decision(by, revision, 30) }
}

fn with_change() -> Vec<E> {
    vec![requested(), approved(REVIEWER, 10), proposed("Better", 2, 20)]
}

#[test]
fn a_resubmission_is_under_review_at_its_new_revision() {
    given([requested(), changes_requested(REVIEWER, 10)])
        .when(C::Resubmit { asked: asked("Better"), seen: None, at: at(30) })
        .then([resubmitted("Better", 2)]);
    let record = state([requested(), changes_requested(REVIEWER, 10), resubmitted("Better", 2)]);
    assert_eq!((record.standing, record.revision), (Standing::UnderReview, 2));
    assert_eq!((record.asked, record.since), (asked("Better"), (OWNER, at(30))));
}

#[test]
fn resubmitting_without_a_change_is_an_answer_too_and_twice_is_once() {
    let answered = [requested(), changes_requested(REVIEWER, 10), resubmitted("Reader", 2)];
    let again = C::Resubmit { asked: asked("Reader"), seen: None, at: at(30) };
    given(answered[..2].to_vec()).when(again.clone()).then([answered[2].clone()]);
    given(answered).when(again).then_nothing();
}

#[test]
fn what_was_read_before_the_resubmission_cannot_be_decided_on() {
    given([requested(), changes_requested(REVIEWER, 10), resubmitted("Better", 2)])
        .when(VERDICTS[0](decision(REVIEWER, 1, 40)))
        .refused(ApplicationRefusal::Revised { seen: 1, now: 2 });
}

#[test]
fn an_appeal_goes_to_another_reviewer_where_there_is_one() {
    let events = || [requested(), denied(REVIEWER, 10), appealed()];
    let alone = Bench { another: false, ..ONE };
    for (verdict, event) in [(VERDICTS[0], approved(REVIEWER, 40)), (VERDICTS[1], denied(REVIEWER, 40))] {
        given(events()).when(verdict(decision(REVIEWER, 1, 40))).refused(ApplicationRefusal::OwnDenial);
        let command = match verdict(decision(REVIEWER, 1, 40)) {
            C::Approve { decision, client_id, .. } => C::Approve { decision, client_id, bench: alone },
            C::Deny { decision, .. } => C::Deny { decision, bench: alone },
            other => panic!("{other:?}"),
        };
        given(events()).when(command).then([event]);
    }
    given(events()).when(VERDICTS[0](decision(OTHER, 1, 40))).then([approved(OTHER, 40)]);
    given(events()).when(C::Claim { by: REVIEWER, bench: ONE, at: at(40) }).refused(ApplicationRefusal::OwnDenial);
}

#[test]
fn a_denial_is_appealed_against_once() {
    let again = || C::Appeal { text: "Why?".into(), at: at(30) };
    given([requested(), denied(REVIEWER, 10), appealed()]).when(again()).then_nothing();
    given([requested(), denied(REVIEWER, 10), appealed(), denied(OTHER, 40)]).when(again()).then([appealed()]);
}

#[test]
fn a_proposed_change_waits_while_the_approved_version_holds() {
    let record = state(with_change());
    assert_eq!((record.standing, record.revision, record.holds), (Standing::Approved, 2, 1));
    assert_eq!((record.asked, record.proposed), (asked("Reader"), Some(asked("Better"))));
}

#[test]
fn an_approved_change_holds() {
    given(with_change()).when(VERDICTS[6](decision(OTHER, 2, 30))).then([change_approved(OTHER, 2)]);
    let record = state([with_change(), vec![change_approved(OTHER, 2)]].concat());
    assert_eq!((record.asked, record.proposed, record.standing), (asked("Better"), None, Standing::Approved));
    assert_eq!(record.holds, 2);
}

/// With a proposed change, every command but those on the change meets the standing as it does without one, and the change
/// can be decided on and taken back.
#[test]
fn every_command_meets_a_proposed_change() {
    let at_second = |event: &E| match event.clone() {
        E::ApplicationSuspended { application_id, .. } => {
            E::ApplicationSuspended { application_id, decision: decision(OTHER, 2, 30) }
        }
        E::ApplicationReinstated { application_id, .. } => {
            E::ApplicationReinstated { application_id, decision: decision(OTHER, 2, 30) }
        }
        E::ApplicationRevoked { application_id, .. } => {
            E::ApplicationRevoked { application_id, decision: decision(OTHER, 2, 30) }
        }
        other => other,
    };
    let taken_back = E::ChangeWithdrawn { application_id: ID, revision: 2, at: at(30) };
    let resubmit = C::Resubmit { asked: asked("Best"), seen: None, at: at(30) };
    let rotate = C::RotateClientId { client_id: client(2), seen: None, at: at(30) };
    let by = || decision(OTHER, 2, 30);
    #[rustfmt::skip]
    let matrix = [
        // What is asked for; what comes of it while approved, and while suspended.
        (C::Edit { asked: asked("Best"), seen: None, at: at(30) }, Some(proposed("Best", 3, 30)), None),
        (VERDICTS[0](by()), None, None),
        (VERDICTS[1](by()), None, None),
        (VERDICTS[2](by()), Some(suspended(OTHER, 30)), None),
        (VERDICTS[3](by()), None, Some(reinstated(OTHER, 30))),
        (VERDICTS[4](by()), Some(revoked(OTHER, 30)), Some(revoked(OTHER, 30))),
        (C::Withdraw { seen: Seen::default(), at: at(30) }, Some(withdrawn(30)), Some(withdrawn(30))),
        (VERDICTS[5](by()), None, None),
        (resubmit, None, None),
        (C::Appeal { text: "Why?".into(), at: at(30) }, None, None),
        (VERDICTS[6](by()), Some(change_approved(OTHER, 2)), Some(change_approved(OTHER, 2))),
        (VERDICTS[7](by()), Some(change_denied(OTHER, 2)), Some(change_denied(OTHER, 2))),
        (C::WithdrawChange { seen: None, at: at(30) }, Some(taken_back.clone()), Some(taken_back)),
        (rotate, Some(rotated()), None),
        (C::Claim { by: OTHER, bench: ONE, at: at(30) }, Some(claimed(OTHER, 30)), Some(claimed(OTHER, 30))),
    ];
    let suspension = E::ApplicationSuspended { application_id: ID, decision: decision(REVIEWER, 2, 25) };
    for (command, approved, suspended) in matrix {
        for (events, standing, since, outcome) in [
            (with_change(), Standing::Approved, 10, approved),
            ([with_change(), vec![suspension.clone()]].concat(), Standing::Suspended, 25, suspended),
        ] {
            let told = given(events).when(command.clone());
            match outcome {
                Some(event) => told.then([at_second(&event)]),
                None => told.refused(ApplicationRefusal::WrongStanding { standing, by: REVIEWER, at: at(since) }),
            }
        }
    }
    for events in [with_change(), [with_change(), vec![suspension]].concat()] {
        given(events).when(C::Release { by: OTHER, at: at(30) }).then_nothing();
    }
}

#[test]
fn a_change_that_was_denied_or_withdrawn_leaves_what_holds_and_its_revision_number_is_spent() {
    given(with_change()).when(VERDICTS[7](decision(OTHER, 2, 30))).then([change_denied(OTHER, 2)]);
    let withdrawn = E::ChangeWithdrawn { application_id: ID, revision: 2, at: at(30) };
    given(with_change()).when(C::WithdrawChange { seen: None, at: at(30) }).then([withdrawn.clone()]);
    for ending in [change_denied(OTHER, 2), withdrawn] {
        let record = state([with_change(), vec![ending]].concat());
        assert_eq!((record.asked, record.proposed), (asked("Reader"), None));
        assert_eq!((record.revision, record.holds), (2, 1));
    }
}

#[test]
fn a_change_is_decided_once_and_others_are_told_by_whom() {
    for (event, same, other, outcome) in [
        (change_approved(REVIEWER, 2), VERDICTS[6], VERDICTS[7], ChangeOutcome::Approved),
        (change_denied(REVIEWER, 2), VERDICTS[7], VERDICTS[6], ChangeOutcome::Denied),
    ] {
        let events = [with_change(), vec![event]].concat();
        let over = ApplicationRefusal::ChangeOver(Change { outcome, by: REVIEWER, at: at(30) });
        given(events.clone()).when(same(decision(REVIEWER, 2, 40))).then_nothing();
        given(events.clone()).when(other(decision(REVIEWER, 2, 40))).refused(over.clone());
        given(events.clone()).when(same(decision(OTHER, 2, 40))).refused(over.clone());
        given(events.clone()).when(C::WithdrawChange { seen: None, at: at(40) }).refused(over);
        given(events).when(same(decision(OWNER, 2, 40))).refused(ApplicationRefusal::OwnApplication);
    }
}

#[test]
fn taking_a_change_back_twice_takes_it_back_once() {
    let withdrawn = E::ChangeWithdrawn { application_id: ID, revision: 2, at: at(30) };
    given([with_change(), vec![withdrawn]].concat()).when(C::WithdrawChange { seen: None, at: at(40) }).then_nothing();
}

#[test]
fn proposing_what_holds_takes_the_change_back_and_proposing_the_same_does_nothing() {
    given(with_change()).when(C::Edit { asked: asked("Reader"), seen: None, at: at(30) }).then([E::ChangeWithdrawn {
        application_id: ID,
        revision: 2,
        at: at(30),
    }]);
    given(with_change()).when(C::Edit { asked: asked("Better"), seen: None, at: at(30) }).then_nothing();
    given(with_change()).when(C::Edit { asked: asked("Best"), seen: None, at: at(30) }).then([proposed("Best", 3, 30)]);
    given([requested(), approved(REVIEWER, 10)])
        .when(C::Edit { asked: asked("Reader"), seen: None, at: at(30) })
        .then_nothing();
}

#[test]
fn what_an_approved_application_is_for_stays() {
    let personal = Asked { purpose: Purpose::Personal, redirect_uris: vec![], ..asked("Reader") };
    given([requested(), approved(REVIEWER, 10)])
        .when(C::Edit { asked: personal.clone(), seen: None, at: at(30) })
        .refused(ApplicationRefusal::PurposeHolds);
    given([requested()])
        .when(C::Edit { asked: personal.clone(), seen: None, at: at(30) })
        .then([E::ApplicationEdited { application_id: ID, asked: personal, revision: 2, at: at(30) }]);
}

#[test]
fn a_proposed_change_is_no_way_to_escape_a_suspension() {
    for revision in [1, 2] {
        let decision = decision(REVIEWER, revision, 30);
        given(with_change())
            .when(C::Suspend { decision: decision.clone() })
            .then([E::ApplicationSuspended { application_id: ID, decision }]);
    }
}

#[test]
fn a_change_can_be_decided_while_its_application_rests_and_ends_with_it() {
    let resting = [with_change(), vec![suspended(REVIEWER, 25)]].concat();
    given(resting.clone()).when(VERDICTS[6](decision(OTHER, 2, 30))).then([change_approved(OTHER, 2)]);
    let ended = [resting, vec![revoked(REVIEWER, 30)]].concat();
    given(ended).when(VERDICTS[6](decision(OTHER, 2, 40))).refused(ApplicationRefusal::WrongStanding {
        standing: Standing::Revoked,
        by: REVIEWER,
        at: at(30),
    });
}

#[test]
fn a_rotated_client_id_takes_the_place_of_the_old_one() {
    let record = state([requested(), approved(REVIEWER, 10), rotated()]);
    assert_eq!(record.client_id, Some(client(2)));
}

#[test]
fn differences_are_told_field_by_field() {
    let (before, mut after) = (asked("Reader"), asked("Better"));
    after.scopes = scopes("read");
    after.redirect_uris.push(RedirectUri::parse("https://other.example/", Purpose::Web).unwrap());
    let fields: Vec<_> =
        difference(&before, &after).into_iter().map(|one| (one.field, one.before, one.after)).collect();
    let uris =
        ("https://reader.example/back".to_owned(), "https://reader.example/back\nhttps://other.example/".to_owned());
    assert_eq!(
        fields,
        [
            ("name", "Reader".to_owned(), "Better".to_owned()),
            ("redirect_uris", uris.0, uris.1),
            ("scopes", "read identity".to_owned(), "read".to_owned()),
        ]
    );
    assert!(difference(&before, &before).is_empty());
}

#[test]
fn nothing_happens_to_what_nobody_asked_for() {
    let spec::Given(state) = given([approved(REVIEWER, 10), withdrawn(20)]);
    assert_eq!(state, Application::NotRequested);
}

#[test]
fn whoever_names_the_revision_that_they_read_overwrites_no_other() {
    let under_review = vec![requested(), edited("Better", 2)];
    let asked_back = [under_review.clone(), vec![changes_requested(REVIEWER, 10)]].concat();
    let edit = |seen| C::Edit { asked: asked("Best"), seen, at: at(30) };
    let resubmit = |seen| C::Resubmit { asked: asked("Best"), seen, at: at(30) };
    let withdraw = |seen| C::WithdrawChange { seen, at: at(30) };
    let commands: [(_, &dyn Fn(Option<u32>) -> C); 4] =
        [(under_review, &edit), (asked_back, &resubmit), (with_change(), &edit), (with_change(), &withdraw)];
    for (events, command) in commands {
        for seen in [1, 3] {
            given(events.clone()).when(command(Some(seen))).refused(ApplicationRefusal::Revised { seen, now: 2 });
        }
        for seen in [Some(2), None] {
            let decided = Application::Requested(Box::new(state(events.clone()))).decide(command(seen));
            assert_eq!(decided.expect("it was read").len(), 1);
        }
    }
}

#[test]
fn what_is_there_already_is_asked_for_in_vain_whatever_was_read() {
    let better = |seen| C::Edit { asked: asked("Better"), seen: Some(seen), at: at(30) };
    for events in [vec![requested(), edited("Better", 2)], with_change()] {
        given(events).when(better(1)).then_nothing();
    }
}

#[test]
fn a_client_id_that_was_replaced_is_not_replaced_again() {
    let rotate = |seen| C::RotateClientId { client_id: client(3), seen: Some(seen), at: at(40) };
    let events = [with_change(), vec![rotated()]].concat();
    given(events.clone()).when(rotate(client(1))).then_nothing();
    given(events).when(rotate(client(2))).then([E::ClientIdRotated {
        application_id: ID,
        client_id: client(3),
        previous: client(2),
        at: at(40),
    }]);
}
