//! The review list: which statement a filter takes, and what is bound to it.

use super::super::{
    ReviewFilter,
    ask::{Ask, ask},
    statements,
};
use countersign_events::{
    application::{CLAIM_LASTS, Standing},
    recorded::Timestamp,
    scope::Scope,
};

/// No id is written behind this.
const BEHIND_ALL: &str = "~";

pub(super) fn list(filter: &ReviewFilter) -> Ask {
    bound(
        filter,
        match (filter.waiting, filter.newest_first) {
            (false, false) => statements::REVIEW,
            (false, true) => statements::REVIEW_NEWEST,
            (true, false) => statements::REVIEW_WAITING,
            (true, true) => statements::REVIEW_WAITING_NEWEST,
        },
    )
}

/// How many the list has.
pub(super) fn count(filter: &ReviewFilter) -> Ask {
    bound(
        filter,
        match (filter.waiting, filter.newest_first) {
            (false, false) => statements::REVIEW_COUNT,
            (false, true) => statements::REVIEW_COUNT_NEWEST,
            (true, false) => statements::REVIEW_COUNT_WAITING,
            (true, true) => statements::REVIEW_COUNT_WAITING_NEWEST,
        },
    )
}

fn bound(filter: &ReviewFilter, text: &'static str) -> Ask {
    let micros = |at: Timestamp| at.timestamp_micros();
    let (at, id) = match (filter.after, filter.newest_first) {
        (Some((at, id)), _) => (micros(at), id.to_string()),
        (None, false) => (i64::MIN, String::new()),
        (None, true) => (i64::MAX, BEHIND_ALL.to_owned()),
    };
    ask(text)
        .bind(at)
        .bind(id)
        .bind(i64::from(filter.limit))
        .bind(filter.standing.map(Standing::as_str))
        .bind(filter.purpose.map(|purpose| purpose.to_string()))
        .bind(filter.owner.map(|user| user.to_string()))
        .bind(filter.claimed_by.map(|user| user.to_string()))
        .bind(micros(filter.now - CLAIM_LASTS))
        .bind(filter.scope.map(Scope::as_str))
        .bind(filter.waiting_before.map(micros))
        .bind(filter.unclaimed.then_some(1_i64))
        .bind(filter.not_waiting_before.map(micros))
}
