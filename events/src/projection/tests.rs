//! What the record of a projection lets happen.

use super::{ProjectionCommand as C, ProjectionEvent as E, *};
use crate::spec::{at, given, sealed};

fn note(number: u64) -> C {
    let (name, stream, error) = ("inbox".to_owned(), "post-1".to_owned(), "cannot be read".to_owned());
    C::NoteParked { name, stream, position: Position(number), error, at: at(1) }
}

fn parked(number: u64) -> E {
    let (name, stream, error) = ("inbox".to_owned(), "post-1".to_owned(), "cannot be read".to_owned());
    E::EventParked { name, stream, position: Position(number), error, at: at(1) }
}

fn discard(reason: Personal) -> C {
    C::Discard { name: "inbox".to_owned(), position: Position(7), reason, at: at(2) }
}

fn discarded() -> E {
    let (name, reason) = ("inbox".to_owned(), sealed("broken"));
    E::ParkedEventDiscarded { name, position: Position(7), reason, at: at(2) }
}

#[test]
fn an_event_is_noted_as_parked_once() {
    given::<ProjectionRecord>([]).when(note(7)).then([parked(7)]);
    given::<ProjectionRecord>([parked(7)]).when(note(7)).then_nothing();
    given::<ProjectionRecord>([parked(7)]).when(note(8)).then([parked(8)]);
}

#[test]
fn an_event_is_given_up_once_and_with_a_reason() {
    let kept =
        E::ParkedEventDiscarded { name: "inbox".to_owned(), position: Position(7), reason: "broken".into(), at: at(2) };
    given::<ProjectionRecord>([parked(7)]).when(discard(" broken ".into())).then([kept]);
    given::<ProjectionRecord>([parked(7), discarded()]).when(discard("again".into())).then_nothing();
    let Err(ProjectionRefusal::Reason(error)) = ProjectionRecord::default().decide(discard(" ".into())) else {
        panic!("a reason has to be given")
    };
    assert_eq!(error.field, "reason");
}

#[test]
fn what_was_given_up_is_not_tried_again() {
    let retry = C::NoteRetried { name: "inbox".to_owned(), position: Position(7), at: at(3) };
    let retried = E::ParkedEventRetried { name: "inbox".to_owned(), position: Position(7), at: at(3) };
    given::<ProjectionRecord>([parked(7)]).when(retry.clone()).then([retried]);
    given::<ProjectionRecord>([parked(7), discarded()]).when(retry).refused(ProjectionRefusal::Discarded(Position(7)));
}
