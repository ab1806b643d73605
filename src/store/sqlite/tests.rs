//! What can be seen only from inside: statements prepare, and by which indexes they run.

use sqlx::{AssertSqlSafe, Row, SqliteConnection, query, raw_sql};

use super::{
    super::{
        changes::{Placeholders, ddl},
        examine, replay, statements as s,
        tests::{LOG, OF_SQLITE, TRAILING, applied, pages, tables},
    },
    generations, schema, uses, writer,
};

/// Those that differ from `PostgreSQL`.
const LOG_DIALECT: &[&str] = &[
    s::JSON_LISTS.read_at,
    s::JSON_LISTS.newest_of,
    s::JSON_LISTS.of_stream,
    replay::GROUPED,
    replay::ROWS,
    writer::BEGIN,
    writer::COMMIT,
    writer::OUTCOMES,
    uses::NOTE,
    uses::FORGET,
];
const TRAILING_DIALECT: &[&str] = &[
    s::JSON_LISTS.posts,
    s::JSON_LISTS.post_bytes,
    s::JSON_LISTS.comments,
    s::JSON_LISTS.among,
    generations::MOVE_CURSOR,
];

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

fn statements() -> Vec<String> {
    let fixed = [LOG, TRAILING, OF_SQLITE, LOG_DIALECT, TRAILING_DIALECT].concat();
    fixed.into_iter().map(ToOwned::to_owned).chain(applied(Placeholders::Anonymous)).collect()
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
    for statement in statements().into_iter().chain(pages(Placeholders::Anonymous)) {
        plan(&mut connection, &statement).await;
    }
}

#[tokio::test]
async fn what_examines_a_site_prepares() {
    let (_dir, mut connection) = everything().await;
    for statement in examine::ALL {
        plan(&mut connection, statement).await;
    }
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
            [s::READ_LOG, replay::GROUPED, replay::ROWS].contains(&statement.as_str()),
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
