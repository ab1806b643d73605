//! What can be seen only from inside: statements prepare, and by which indexes they run.

use countersign_projections::{Change, INLINE, Kind, Table, Value};
use sqlx::{AssertSqlSafe, Row, SqliteConnection, query, raw_sql};

use super::{
    super::{
        changes::{Placeholders, Planner, ddl, purge},
        statements as s,
    },
    generations, replay, schema, uses, writer,
};

/// Statements of `statements.rs`, by the database that they run in.
const LOG: &[&str] = &[
    s::HEAD,
    s::READ_LOG,
    s::READ_STREAM,
    s::STREAM_POSITIONS,
    s::STREAM_POSITIONS_BACK,
    s::RECORDED_AT,
    s::EVENT_ID_AT,
    s::OUTCOME,
    s::INLINE_REVISION,
    s::SET_INLINE_REVISION,
    s::FORGET_INLINE_REVISION,
    s::CUT_OFF,
    s::RAISE_CUT_OFF,
    s::FORGET_OUTCOMES,
    s::USES_OF,
    s::FORGET_USES_OF,
    s::GENERATION,
    s::SET_GENERATION,
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
const TRAILING: &[&str] = &[
    s::CURSOR,
    s::PARKED,
    s::PARK,
    s::FREE,
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
    s::COMMENTS,
    s::REVIEW_STEPS,
    s::REVIEW_ANSWERS,
    s::SUBJECT_POSITIONS,
    s::SUBJECT_POSITIONS_BACK,
];
/// Those that differ from `PostgreSQL`.
const LOG_DIALECT: &[&str] = &[
    s::JSON_LISTS.read_at,
    s::JSON_LISTS.newest_of,
    s::JSON_LISTS.of_stream,
    replay::PAGE,
    replay::ROWS,
    writer::BEGIN,
    writer::COMMIT,
    writer::OUTCOMES,
    uses::NOTE,
    uses::FORGET,
];
const TRAILING_DIALECT: &[&str] = &[s::JSON_LISTS.posts, s::JSON_LISTS.among, generations::MOVE_CURSOR];

/// A database with every table there is: those of the log, of inline and of trailing read models.
async fn everything() -> (tempfile::TempDir, SqliteConnection) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log.db");
    schema::make_file(&file).unwrap();
    let mut connection = sqlx::ConnectOptions::connect(&schema::log_writer(&file)).await.unwrap();
    schema::migrate(&mut connection).await.unwrap();
    raw_sql(generations::CREATE_CURSOR).execute(&mut connection).await.unwrap();
    raw_sql(generations::CREATE_PARKED).execute(&mut connection).await.unwrap();
    for table in tables() {
        for statement in ddl(table) {
            raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        }
    }
    (dir, connection)
}

fn tables() -> impl Iterator<Item = &'static Table> {
    INLINE.iter().chain(countersign_projections::TRAILING).flat_map(|projection| projection.tables.iter().copied())
}

/// What changes of every kind to many rows of every table become.
fn applied() -> Vec<String> {
    let mut planner = Planner::new(Placeholders::Anonymous);
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

fn sample(kind: Kind, row: i64) -> Value {
    match kind {
        Kind::Integer => row.into(),
        Kind::Text => row.to_string().into(),
        Kind::Bytes => Value::Bytes(row.to_be_bytes().to_vec()),
    }
}

fn statements() -> Vec<String> {
    let fixed = [LOG, TRAILING, LOG_DIALECT, TRAILING_DIALECT].concat();
    fixed.into_iter().map(ToOwned::to_owned).chain(applied()).collect()
}

/// The lines of a statement's plan, each part of a statement with several in turn.
async fn plan(connection: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let mut lines = vec![];
    for part in statement.split(";\n") {
        let explain = format!("explain query plan {part}");
        let rows = query(AssertSqlSafe(explain)).fetch_all(&mut *connection).await;
        let rows = rows.unwrap_or_else(|error| panic!("{error}: {part}"));
        lines.extend(rows.iter().map(|row| row.get::<String, _>("detail")));
    }
    lines
}

#[tokio::test]
async fn every_statement_prepares() {
    let (_dir, mut connection) = everything().await;
    for statement in statements() {
        plan(&mut connection, &statement).await;
    }
}

#[test]
fn every_statement_is_checked() {
    let text = include_str!("../statements.rs");
    let declared = text.matches("pub(crate) const ").count() - text.matches("_LISTS: Lists").count();
    assert_eq!(LOG.len() + TRAILING.len(), declared);
}

#[tokio::test]
async fn only_the_scan_by_position_walks_the_log() {
    let (_dir, mut connection) = everything().await;
    for statement in statements() {
        let plan = plan(&mut connection, &statement).await;
        let scans = plan.iter().any(|line| line.starts_with("SCAN events"));
        let walks = plan.iter().any(|line| line.contains("events USING INTEGER PRIMARY KEY (rowid>?)"));
        assert!(!scans, "{plan:#?}: {statement}");
        assert_eq!(
            walks,
            [s::READ_LOG, replay::PAGE, replay::ROWS].contains(&statement.as_str()),
            "{plan:#?}: {statement}"
        );
    }
}

#[tokio::test]
async fn nothing_walks_a_read_model_or_sorts() {
    let (_dir, mut connection) = everything().await;
    for statement in statements() {
        let plan = plan(&mut connection, &statement).await;
        let walks = plan.iter().any(|line| tables().any(|table| line.starts_with(&format!("SCAN {}", table.name))));
        let sorts = plan.iter().any(|line| line.contains("TEMP B-TREE") && line.contains("ORDER BY"));
        assert!(!walks && !sorts, "{plan:#?}: {statement}");
    }
}
