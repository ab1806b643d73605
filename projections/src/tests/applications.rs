//! Applications: whatever their owner and the reviewers do, the row says what the aggregate knows.

use countersign_events::{
    application::{
        Application, ApplicationCommand as C, ApplicationEvent as E, Asked, Bench, Decision, Record, Seen, Signatures,
        Standing,
    },
    decider::Decider,
    redirect_uri::{Purpose, RedirectUri},
    token::ClientId,
};
use proptest::prelude::*;

use super::{interpreter::Memory, *};
use crate::{applications::APPLICATIONS, former_client_ids::FORMER_CLIENT_IDS};

const TWO: Bench = Bench { signatures: Signatures::Two, another: true };

pub(super) fn asked(which: u8) -> Asked {
    let uris = ["https://reader.example/back", "http://127.0.0.1/back"];
    Asked {
        purpose: Purpose::Web,
        name: format!("Reader {which}"),
        description: "Reads aloud".to_owned(),
        website: (which == 1).then(|| "https://reader.example/".to_owned()),
        redirect_uris: uris.map(|uri| RedirectUri::parse(uri, Purpose::Web).unwrap()).into(),
        scopes: scopes(if which == 2 { "read" } else { "read identity" }),
    }
}

pub(super) fn client(number: u8) -> ClientId {
    ClientId::from_random(&[number; 16])
}

pub(super) fn command(state: &Application, number: u8, (kind, by): (u8, u8)) -> C {
    let revision = if let Application::Requested(record) = state { record.revision } else { 1 };
    let (by, at) = (user(by), at(number.into()));
    let which = number % 3;
    let decision = Decision { by, revision, reason_code: format!("policy-{number}"), reason: "Why".into(), at };
    match kind {
        _ if number == 1 => C::Request { application_id: application(7), owner: user(1), asked: asked(0), at },
        0..=2 => C::Edit { asked: asked(which), seen: None, at },
        3 => C::Withdraw { seen: Seen::default(), at },
        4 => C::Revoke { decision },
        5 => C::Deny { decision, bench: TWO },
        6..=9 => C::Approve { decision, client_id: client(number), bench: TWO },
        10 => C::Suspend { decision },
        11 => C::Reinstate { decision },
        12 => C::RequestChanges { decision, bench: TWO },
        13 | 14 => C::Resubmit { asked: asked(which), seen: None, at },
        15 | 16 => C::Appeal { text: "Why?".into(), at },
        17..=19 => C::ApproveChange { decision, bench: TWO },
        20 => C::DenyChange { decision, bench: TWO },
        21 => C::WithdrawChange { seen: None, at },
        22 => C::RotateClientId { client_id: client(number), seen: None, at },
        23 | 24 => C::Claim { by, bench: TWO, at },
        _ => C::Release { by, at },
    }
}

/// What the aggregate knows, as the row has to say it.
fn expected(record: &Record) -> Vec<(&'static str, V)> {
    let uris: Vec<_> = record.asked.redirect_uris.iter().map(ToString::to_string).collect();
    vec![
        ("owner_id", change::id(record.owner)),
        ("standing", record.standing.as_str().into()),
        ("name", record.asked.name.as_str().into()),
        ("website", record.asked.website.as_deref().into()),
        ("redirect_uris", uris.join("\n").into()),
        ("scopes", change::id(record.asked.scopes)),
        ("revision", record.revision.into()),
        ("holds", record.holds.into()),
        ("revised_at", record.revised_at.into()),
        ("client_id", record.client_id.as_ref().map(ToString::to_string).into()),
        ("proposed", record.proposed.as_ref().map(|asked| serde_json::to_string(asked).unwrap()).into()),
        ("claimed_by", record.claim.map(|claim| claim.by.to_string()).into()),
        ("claimed_at", record.claim.map(|claim| claim.at).into()),
        ("signed_by", record.signed.map(|user| user.to_string()).into()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_row_of_an_application_says_what_the_aggregate_knows(asks in prop::collection::vec((0_u8..26, 1_u8..=4), 1..80)) {
        let (mut state, mut memory, mut rotated) = (Application::default(), Memory::default(), 0);
        for (number, ask) in (1_u8..).zip(asks) {
            for event in state.decide(command(&state, number, ask)).unwrap_or_default() {
                state = state.evolve(&event);
                rotated += usize::from(matches!(event, E::ClientIdRotated { .. }));
                memory.follow(&[recorded(number, event)]);
            }
            let Application::Requested(record) = &state else { panic!("it was requested") };
            let row = memory.row(&APPLICATIONS, &[change::id(application(7))]).unwrap();
            for (column, value) in expected(record) {
                prop_assert_eq!(&row[column], &value, "{}", column);
            }
            let waits = row["waiting_since"] != V::Null && row["answered_at"] == V::Null;
            prop_assert_eq!(waits, record.waits());
            prop_assert!(row["answered_at"] == V::Null || row["waiting_since"] != V::Null);
            let decided = [Standing::ChangesRequested, Standing::Denied, Standing::Suspended, Standing::Revoked];
            if decided.contains(&record.standing) {
                prop_assert_eq!(&row["decided_by"], &change::id(record.since.0));
                prop_assert_eq!(&row["decided_at"], &record.since.1.into());
            }
        }
        prop_assert_eq!(memory.rows(&FORMER_CLIENT_IDS).count(), rotated);
    }
}

/// The row after these events.
fn row(events: Vec<E>) -> Vec<(&'static str, V)> {
    let mut memory = Memory::default();
    for (position, event) in (1..).zip(events) {
        memory.follow(&[recorded(position, event)]);
    }
    let row = memory.row(&APPLICATIONS, &[change::id(application(7))]).unwrap();
    APPLICATIONS.columns.iter().map(|column| (column.name, row[column.name].clone())).collect()
}

fn get(row: &[(&'static str, V)], name: &str) -> V {
    row.iter().find(|(column, _)| *column == name).unwrap().1.clone()
}

fn requested() -> E {
    E::ApplicationRequested { application_id: application(7), owner: user(1), asked: asked(0), at: at(5) }
}

#[test]
fn a_decision_shows_who_decided_what_and_when_and_where_the_reason_lies() {
    let denied = E::ApplicationDenied { application_id: application(7), decision: decision(user(2), 9) };
    let row = row(vec![requested(), denied]);
    let shown = ["standing", "decided_at", "decided_by", "reason_code", "reason_position", "answered_at"];
    let decided = ["denied".into(), at(9).into(), change::id(user(2)), "policy-1".into(), 2_u32.into(), at(9).into()];
    assert_eq!(shown.map(|column| get(&row, column)), decided);
}

#[test]
fn a_change_is_decided_by_itself_and_leaves_the_decision_on_the_application() {
    let application_id = application(7);
    let approved = E::ApplicationApproved { application_id, client_id: client(1), decision: decision(user(2), 9) };
    let proposed = E::ChangeProposed { application_id, asked: asked(1), revision: 2, at: at(20) };
    let denied = E::ChangeDenied { application_id, decision: decision(user(3), 30) };
    let waiting = row(vec![requested(), approved.clone(), proposed.clone()]);
    assert_eq!([get(&waiting, "waiting_since"), get(&waiting, "answered_at")], [at(20).into(), V::Null]);
    let over = row(vec![requested(), approved, proposed, denied]);
    assert_eq!([get(&over, "decided_by"), get(&over, "answered_at")], [change::id(user(2)), at(30).into()]);
}

#[test]
fn a_former_client_id_says_whose_it_was_and_since_when_it_is_not() {
    let event =
        E::ClientIdRotated { application_id: application(7), client_id: client(2), previous: client(1), at: at(5) };
    let row = [("application_id", change::id(application(7))), ("rotated_at", at(5).into())];
    assert_eq!(
        (former_client_ids::PROJECTION.project)(&recorded(4, event)),
        [upsert(&FORMER_CLIENT_IDS, &[change::id(client(1))], &row)]
    );
}
