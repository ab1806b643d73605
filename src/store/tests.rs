//! What tests of the statements of both databases share: which there are.

use countersign_projections::{Change, INLINE, Kind, Table, Value};

use super::{
    bulk,
    changes::{Placeholders, Planner, purge},
    statements as s,
};

/// Statements of `statements.rs`, by where their tables are: with the log, or in trailing read models.
pub(super) const LOG: &[&str] = &[
    s::HEAD,
    s::READ_LOG,
    s::READ_STREAM,
    s::STREAM_POSITIONS,
    s::STREAM_POSITIONS_BACK,
    s::RECORDED_AT,
    s::EVENT_ID_AT,
    s::NEXT_EPOCH,
    s::SITE,
    s::SET_SITE,
    s::NOTE_VAULT,
    s::LOWER_VAULT,
    s::OUTCOME,
    s::INLINE_REVISION,
    s::SET_INLINE_REVISION,
    s::FORGET_INLINE_REVISION,
    s::CUT_OFF,
    s::RAISE_CUT_OFF,
    s::LOWER_CUT_OFF,
    s::ANCHOR,
    s::RAISE_ANCHOR,
    s::SET_ANCHOR,
    s::FORGET_OUTCOMES,
    s::USES_OF,
    s::FORGET_USES_OF,
    s::ACCOUNT,
    s::ACCOUNT_NAMED,
    s::ACCOUNTS,
    s::APPLICATION,
    s::APPLICATION_BY_CLIENT,
    s::APPLICATIONS_OF,
    s::APPLICATIONS,
    s::REVIEW,
    s::REVIEW_NEWEST,
    s::REVIEW_WAITING,
    s::REVIEW_WAITING_NEWEST,
    s::REVIEW_COUNT,
    s::REVIEW_COUNT_NEWEST,
    s::REVIEW_COUNT_WAITING,
    s::REVIEW_COUNT_WAITING_NEWEST,
    s::STANDING_COUNT,
    s::QUEUE_AHEAD,
    s::RECENT_ANSWERS,
    s::FORMER_CLIENT,
    s::AUTHORIZATIONS_OF,
    s::AUTHORIZATIONS,
    s::TOKENS_OF,
    s::TOKEN,
    s::TOKENS,
];
pub(super) const TRAILING: &[&str] = &[
    s::NOTIFICATIONS,
    s::NOTIFICATIONS_UNREAD,
    s::MESSAGES,
    s::MESSAGES_UNREAD,
    s::NOTIFICATIONS_OF,
    s::NEWER_NOTIFICATIONS,
    s::NOTIFICATION,
    s::UNREAD_COUNT,
    s::OVERDUE_SECRETS,
    s::POST_COUNTS,
    s::COMMENT_PLACES,
    s::COMMENT_AT,
    s::REVIEW_STEPS,
    s::REVIEW_ANSWERS,
    s::SUBJECT_POSITIONS,
    s::SUBJECT_POSITIONS_BACK,
];
/// Where it is read, `SQLite` has a file and `PostgreSQL` rows under a name.
pub(super) const OF_SQLITE: &[&str] =
    &[s::CURSOR, s::MARK, s::PARKED, s::PARK, s::FREE, s::GENERATION, s::SET_GENERATION];

/// Every table of a read model.
pub(super) fn tables() -> impl Iterator<Item = &'static Table> {
    INLINE.iter().chain(countersign_projections::TRAILING).flat_map(|projection| projection.tables.iter().copied())
}

/// What changes of every kind to many rows of every table become.
pub(super) fn applied(placeholders: Placeholders) -> Vec<String> {
    let mut planner = Planner::new(placeholders);
    let mut texts = vec![];
    for table in tables() {
        let key = |row: i64| table.key.iter().map(|column| sample(column.kind, row)).collect::<Vec<_>>();
        let set = |row| table.columns.iter().map(|column| (column.name, sample(column.kind, row))).collect::<Vec<_>>();
        let numbers = table.columns.iter().filter(|column| column.kind == Kind::Integer);
        let by: Vec<_> = numbers.map(|column| (column.name, 1)).collect();
        for kind in 0..4 {
            let change = |row| match kind {
                0 => Change::Upsert { table, key: key(row), set: set(row) },
                1 => Change::Patch { table, key: key(row), set: set(row) },
                2 => Change::Increment { table, key: key(row), by: by.clone() },
                _ => Change::Delete { table, key: key(row) },
            };
            texts.extend(planner.plan((0..73).map(change).collect()).iter().map(|step| step.sql.to_string()));
        }
        for by in table.indexes.iter().map(|index| index[0]).chain([table.key[0].name]) {
            let equals = Value::from("of any kind");
            let others = set(1).into_iter().filter(|(column, _)| *column != by).collect();
            let changes = [
                Change::PatchWhere { table, by, equals: equals.clone(), set: others },
                Change::DeleteWhere { table, by, equals },
            ];
            texts.extend(planner.plan(changes.into()).iter().map(|step| step.sql.to_string()));
        }
        texts.extend(table.ends.iter().map(|column| purge(table, column)));
    }
    texts
}

/// Reading whole tables, a page at a time.
pub(super) fn pages(placeholders: Placeholders) -> impl Iterator<Item = String> {
    tables().flat_map(move |table| [false, true].map(|after| bulk::page(table, after, placeholders)))
}

fn sample(kind: Kind, row: i64) -> Value {
    match kind {
        Kind::Integer => row.into(),
        Kind::Text => row.to_string().into(),
        Kind::Bytes => Value::Bytes(row.to_be_bytes().to_vec()),
    }
}

#[test]
fn every_statement_is_checked() {
    let text = include_str!("statements.rs");
    let declared = text.matches("pub(crate) const ").count() - text.matches("_LISTS: Lists").count();
    assert_eq!(LOG.len() + TRAILING.len() + OF_SQLITE.len(), declared);
}
