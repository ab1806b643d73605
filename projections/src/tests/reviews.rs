//! What is counted of reviews: given what happened, these rows; and for whatever owner and reviewers do, the same as a
//! recount.

use countersign_events::{
    application::{Application, ApplicationEvent as E},
    decider::Decider,
};
use proptest::prelude::*;

use super::{
    applications::{asked, client, command},
    interpreter::Memory,
    *,
};
use crate::{
    fold::Fold,
    statistics::{ANSWERS, Kind, PROJECTION, STEPS, WAITS},
};

fn requested() -> E {
    E::ApplicationRequested { application_id: application(7), owner: user(1), asked: asked(0), at: at(5) }
}

fn log(events: Vec<E>) -> Vec<Recorded<Event>> {
    (1..).zip(events).map(|(position, event)| recorded(position, event)).collect()
}

fn given(events: Vec<E>) -> Memory {
    Memory::of(&log(events))
}

fn kinds(memory: &Memory) -> Vec<(V, V)> {
    memory.sorted(&STEPS).into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
}

fn kind(position: u32, kind: Kind) -> (V, V) {
    (position.into(), kind.as_str().into())
}

#[test]
fn a_request_waits_until_its_answer_which_says_how_long_it_waited() {
    let waiting = given(vec![requested()]);
    assert_eq!(waiting.sorted(&WAITS), [[change::id(application(7)), recorded_at(1)]]);
    assert_eq!(waiting.sorted(&ANSWERS), [] as [Vec<V>; 0]);
    let denied = E::ApplicationDenied { application_id: application(7), decision: decision(user(2), 9) };
    let answered = given(vec![requested(), denied]);
    assert_eq!(answered.sorted(&WAITS), [] as [Vec<V>; 0]);
    assert_eq!(answered.sorted(&ANSWERS), [[2_u32.into(), recorded_at(1), recorded_at(2)]]);
    assert_eq!(kinds(&answered), [kind(1, Kind::Request), kind(2, Kind::Denial)]);
}

#[test]
fn changes_that_are_asked_for_answer_what_waited_and_are_neither_approval_nor_denial() {
    let application_id = application(7);
    let back = E::ApplicationResubmitted { application_id, asked: asked(1), revision: 2, at: at(20) };
    let memory = given(vec![
        requested(),
        E::ChangesRequested { application_id, decision: decision(user(2), 9) },
        back,
        E::ApplicationApproved { application_id, client_id: client(1), decision: decision(user(2), 30) },
    ]);
    assert_eq!(kinds(&memory), [kind(1, Kind::Request), kind(3, Kind::Request), kind(4, Kind::Approval)]);
    let answers = [[2_u32.into(), recorded_at(1), recorded_at(2)], [4_u32.into(), recorded_at(3), recorded_at(4)]];
    assert_eq!(memory.sorted(&ANSWERS), answers);
}

#[test]
fn what_is_withdrawn_or_revoked_waits_no_longer_and_had_no_answer() {
    let application_id = application(7);
    let approved = E::ApplicationApproved { application_id, client_id: client(1), decision: decision(user(2), 9) };
    let proposed = E::ChangeProposed { application_id, asked: asked(1), revision: 2, at: at(20) };
    let revoked = E::ApplicationRevoked { application_id, decision: decision(user(3), 30) };
    for (ends, steps) in [
        (E::ChangeWithdrawn { application_id, revision: 2, at: at(30) }, 3),
        (E::ApplicationWithdrawn { application_id, at: at(30) }, 3),
        (revoked, 4),
    ] {
        let memory = given(vec![requested(), approved.clone(), proposed.clone(), ends]);
        assert_eq!(memory.sorted(&WAITS), [] as [Vec<V>; 0]);
        assert_eq!((memory.sorted(&ANSWERS).len(), memory.sorted(&STEPS).len()), (1, steps));
    }
}

#[test]
fn no_row_names_a_person_or_holds_a_text() {
    let texts: Vec<_> = PROJECTION.tables.iter().flat_map(|table| table.key.iter().chain(table.columns)).collect();
    let texts: Vec<_> = texts.iter().filter(|column| column.kind != crate::Kind::Integer).map(|one| one.name).collect();
    assert_eq!(texts, ["kind", "application_id"]);
    assert!(!PROJECTION.keeps_texts());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_those_of_a_recount_and_of_a_fold(asks in prop::collection::vec((0_u8..26, 1_u8..=4), 1..80)) {
        let (mut state, mut memory, mut fold) = (Application::default(), Memory::default(), Fold::default());
        let (mut position, mut answers, mut counts) = (0_u8, vec![], [0; 4]);
        let mut since = None;
        for (number, ask) in (1_u8..).zip(asks) {
            for event in state.decide(command(&state, number, ask)).unwrap_or_default() {
                position += 1;
                let waited = matches!(&state, Application::Requested(record) if record.waits());
                state = state.evolve(&event);
                let Application::Requested(record) = &state else { panic!("it was requested") };
                let counted = match &event {
                    E::ApplicationRequested { .. }
                    | E::ApplicationResubmitted { .. }
                    | E::ApplicationAppealed { .. }
                    | E::ChangeProposed { .. } => Some(0),
                    E::ApplicationApproved { .. } | E::ChangeApproved { .. } => Some(1),
                    E::ApplicationDenied { .. } | E::ChangeDenied { .. } => Some(2),
                    E::ApplicationRevoked { .. } => Some(3),
                    _ => None,
                };
                if let Some(place) = counted {
                    counts[place] += 1;
                }
                let decided = matches!(counted, Some(1 | 2)) || matches!(event, E::ChangesRequested { .. });
                if waited && decided {
                    answers.push(vec![u32::from(position).into(), since.clone().unwrap(), recorded_at(position)]);
                }
                if counted == Some(0) {
                    since = Some(recorded_at(position));
                }
                let recorded = recorded(position, event);
                for change in (PROJECTION.project)(&recorded) {
                    fold.apply(change);
                }
                memory.follow(&[recorded]);
                prop_assert_eq!(memory.sorted(&WAITS).len(), usize::from(record.waits()));
            }
        }
        prop_assert_eq!(memory.sorted(&ANSWERS), answers);
        let steps = memory.sorted(&STEPS);
        let kinds = [Kind::Request, Kind::Approval, Kind::Denial, Kind::Revocation];
        let found = kinds.map(|kind| steps.iter().filter(|row| row[1] == kind.as_str().into()).count());
        prop_assert_eq!(found, counts);
        for table in PROJECTION.tables {
            prop_assert_eq!(fold.take(table), memory.sorted(table), "{}", table.name);
        }
    }
}
