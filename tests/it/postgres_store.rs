//! What `PostgreSQL` itself must hold to: triggers, who may do what, schemas, migrations. That every statement prepares,
//! and by which index it runs, is tested beside the statements, which nobody outside the crate can name.

use countersign::store::{
    BuildPurpose, Cursor, EventLog as _, Generations as _, Head, Link, LogWriter as _, ReadModels as _, StoreError,
    Vault as _,
    postgres::{Level, Part, PostgresStore, PostgresVault, level, migrate},
};
use countersign_events::recorded::{Position, StreamName};
use countersign_projections::{INLINE, front_page};
use sqlx::{AssertSqlSafe, PgConnection, raw_sql};

use crate::{
    databases::Database,
    postgres_server::{RUNNER, TestDatabase, connect, require, run},
    store_contract::{a_post, stream_of},
    vault_contract::{BEN, at},
};

fn insertion(position: i64, id: u8, stream: &str, version: i64) -> String {
    format!(
        "insert into events (position, event_id, stream, version, type, type_version, recorded_at, actor, payload) \
         values ({position}, '\\x{}', '{stream}', {version}, 'T', 1, 0, 'system', '{{}}')",
        format!("{id:02x}").repeat(16)
    )
}

/// What nobody may do to the log, and what of it the server says.
fn attempts() -> Vec<(String, &'static str)> {
    let refused = "events are append-only";
    let known = "duplicate key";
    let upsert = "on conflict (position) do update set payload = '1'";
    vec![
        ("update events set payload = '1'".to_owned(), refused),
        ("update events set position = 9 where position = 1".to_owned(), refused),
        ("delete from events".to_owned(), refused),
        ("delete from events where position = 1".to_owned(), refused),
        ("truncate events".to_owned(), refused),
        (insertion(1, 2, "account-x", 1), known),
        (insertion(2, 1, "account-x", 1), known),
        (insertion(2, 2, "site", 1), known),
        (insertion(3, 2, "account-x", 1), refused),
        (insertion(0, 2, "account-x", 1), refused),
        (
            format!(
                "{}, (4, '\\x{}', 'account-x', 2, 'T', 1, 0, 'system', '{{}}')",
                insertion(2, 2, "account-x", 1),
                "03".repeat(16)
            ),
            refused,
        ),
        (format!("{} {upsert}", insertion(1, 2, "account-x", 1)), refused),
        (format!("{} {upsert}", insertion(2, 2, "account-x", 1)), refused),
    ]
}

async fn refusal(connection: &mut PgConnection, attempt: &str) -> String {
    let error = raw_sql(AssertSqlSafe(attempt.to_owned())).execute(connection).await.expect_err(attempt);
    error.into_database_error().expect(attempt).message().to_owned()
}

#[tokio::test]
async fn nothing_rewrites_the_log_not_even_the_owner_of_its_tables() {
    if !require() {
        return;
    }
    let database = TestDatabase::create().await;
    let store = PostgresStore::open(&database.url).await.unwrap();
    let mut tool = database.tool().await;
    run(&mut tool, &insertion(1, 1, "site", 1)).await;
    let before = store.read_log(Position(0), 10).await.unwrap();
    for (attempt, expected) in attempts() {
        let told = refusal(&mut tool, &attempt).await;
        assert!(told.contains(expected), "{attempt}: {told}");
    }
    assert_eq!(store.read_log(Position(0), 10).await.unwrap(), before);
    run(&mut tool, &insertion(2, 2, "site", 2)).await;
}

/// A database that a role runs which owns nothing of the log.
async fn given_a_runner() -> (TestDatabase, String) {
    let database = TestDatabase::empty().await;
    for part in [Part::Log, Part::Vault] {
        migrate(&database.url, part, RUNNER).await.unwrap();
    }
    let url = database.url_as(RUNNER);
    (database, url)
}

#[tokio::test]
async fn the_running_role_appends_and_makes_read_models() {
    if !require() {
        return;
    }
    let (_database, url) = given_a_runner().await;
    let store = PostgresStore::open(&url).await.unwrap();
    let mut writer = store.writer().unwrap();
    for projection in INLINE {
        writer.reset_inline(projection).await.unwrap();
        writer.set_inline_revision(projection.name, projection.revision).await.unwrap();
    }
    let head = writer.begin(&[StreamName::Site]).await.unwrap().head;
    writer.insert(&stream_of(3)).await.unwrap();
    writer.commit(Head { position: Position(3), ..head }).await.unwrap();
    assert_eq!(store.read_log(Position(0), 9).await.unwrap(), stream_of(3));
    let mut generation = store.generation(&front_page::PROJECTION).await.unwrap();
    let to = Cursor { epoch: 1, position: Position(3) };
    assert!(generation.advance(vec![a_post(1, 1)], Cursor::default(), to).await.unwrap());
    assert_eq!(store.post_counts(None).await.unwrap().len(), 1);
    let mut build = store.build(&front_page::PROJECTION, BuildPurpose::Switch).await.unwrap();
    build.finish(&[], to).await.unwrap();
    store.switch(&front_page::PROJECTION, build).await.unwrap();
    assert_eq!(store.post_counts(None).await.unwrap().len(), 0);
    let vault = PostgresVault::open(&url).await.unwrap();
    vault.put_link([1; 32], Link::SetUp, at(9)).await.unwrap();
    vault.end_sessions_of(BEN, None).await.unwrap();
    assert_eq!(vault.link([1; 32]).await.unwrap().map(|(link, _)| link), Some(Link::SetUp));
}

#[tokio::test]
async fn the_running_role_cannot_change_the_log_nor_what_guards_it() {
    if !require() {
        return;
    }
    let (database, url) = given_a_runner().await;
    let mut owner = database.tool().await;
    run(&mut owner, &insertion(1, 1, "site", 1)).await;
    let mut runner = connect(&url).await;
    run(&mut runner, "set search_path to countersign").await;
    let denied = [
        "update events set payload = '1'",
        "delete from events",
        "truncate events",
        "truncate head",
        "delete from head",
        "alter table events add column more text",
        "alter table events disable trigger all",
        "alter table events disable trigger events_are_not_updated",
        "alter table events disable trigger events_are_not_put_beyond_a_gap",
        "alter table events owner to current_user",
        "drop trigger events_are_not_updated on events",
        "drop table events",
        "drop schema countersign cascade",
        "drop function events_leave_no_gap cascade",
        "alter function events_leave_no_gap() rename to another",
        "create or replace function events_leave_no_gap() returns trigger language plpgsql as 'begin return null; end'",
        "create trigger mine before insert on events for each row execute function events_leave_no_gap()",
        "create rule mine as on insert to events do instead nothing",
        "create index mine on events (actor)",
        "create table mine (id bigint)",
        "create policy mine on events",
        "set session_replication_role = replica",
        "set role postgres",
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (9999, 'later', true, '', 0)",
        "update _sqlx_migrations set success = false",
        "delete from _sqlx_migrations",
    ];
    for attempt in denied {
        let told = refusal(&mut runner, attempt).await;
        assert!(told.contains("permission denied") || told.contains("must be owner"), "{attempt}: {told}");
    }
    for (attempt, _) in attempts() {
        refusal(&mut runner, &attempt).await;
    }
    run(&mut runner, &insertion(2, 2, "site", 2)).await;
}

/// The trigger looks where the log is, whatever whoever inserts calls `events` or `head`.
#[tokio::test]
async fn tables_of_the_same_names_do_not_deceive_the_guard_of_gaps() {
    if !require() {
        return;
    }
    let (_database, url) = given_a_runner().await;
    let mut runner = connect(&url).await;
    run(
        &mut runner,
        "set search_path to pg_temp, countersign; create temporary table head (position bigint); \
         insert into head values (8); create temporary table events (like countersign.events); \
         insert into events (position, event_id, stream, version, type, type_version, recorded_at, actor, payload) \
         values (8, '', 's', 1, 'T', 1, 0, 'a', '{}'); \
         update countersign.head set position = 8",
    )
    .await;
    let into_the_log = |position| insertion(position, 1, "site", 1).replace("into events", "into countersign.events");
    let told = refusal(&mut runner, &into_the_log(9)).await;
    assert!(told.contains("events are append-only"), "{told}");
    run(&mut runner, &into_the_log(1)).await;
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_once_that_says_so() {
    if !require() {
        return;
    }
    let database = TestDatabase::create().await;
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                 values (9999, 'later', true, '', 0)";
    run(&mut database.tool().await, newer).await;
    // It has only added: releases run side by side while nodes are replaced one by one.
    PostgresStore::open(&database.url).await.unwrap();
    migrate(&database.url, Part::Log, RUNNER).await.unwrap();
    run(&mut database.tool().await, "update compatibility set oldest = 9999").await;
    let Err(StoreError::Unavailable(told)) = PostgresStore::open(&database.url).await else { panic!("it was opened") };
    assert!(told.contains("9999") && told.contains("newer Countersign"), "{told}");
    let Err(StoreError::Unavailable(told)) = migrate(&database.url, Part::Log, RUNNER).await else { panic!("it was") };
    assert!(told.contains("9999") && told.contains("newer Countersign"), "{told}");
}

#[tokio::test]
async fn a_database_without_schemas_says_who_makes_them_and_many_at_once_make_them_once() {
    if !require() {
        return;
    }
    let database = TestDatabase::empty().await;
    for told in [
        PostgresStore::open(&database.url).await.err().expect("there is no log"),
        PostgresVault::open(&database.url).await.err().expect("there is no vault"),
    ] {
        assert!(told.to_string().contains("countersign migrate"), "{told}");
    }
    for part in [Part::Log, Part::Vault] {
        assert_eq!(level(&database.url, part).await.unwrap().done, 0);
        let migration = || migrate(&database.url, part, RUNNER);
        let (one, two, three) = tokio::join!(migration(), migration(), migration());
        for migrated in [one, two, three] {
            migrated.unwrap();
        }
        let Level { done, known, .. } = level(&database.url, part).await.unwrap();
        assert_eq!(done, known);
    }
    PostgresStore::open(&database.url_as(RUNNER)).await.unwrap();
    PostgresVault::open(&database.url_as(RUNNER)).await.unwrap();
}

#[tokio::test]
async fn of_two_nodes_that_see_a_promotion_at_once_one_begins_an_epoch() {
    if !require() {
        return;
    }
    let database = TestDatabase::create().await;
    let mut tool = database.tool().await;
    // As if another server had taken writes until now.
    run(&mut tool, "update epochs set timeline = '00000000'").await;
    let stores = [PostgresStore::open(&database.url).await.unwrap(), PostgresStore::open(&database.url).await.unwrap()];
    let [mut one, mut two] = stores.map(|store| store.writer().unwrap());
    let begun = one.begin(&[]).await.unwrap();
    let commit = async {
        let waits =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut tool).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        one.commit(begun.head).await.unwrap();
    };
    let ((), begun_after) = tokio::join!(commit, two.begin(&[]));
    assert_eq!((begun.head.epoch, begun_after.unwrap().head.epoch), (2, 2));
    two.rollback().await.unwrap();
    let epochs: Vec<i64> = sqlx::query_scalar("select epoch from epochs").fetch_all(&mut tool).await.unwrap();
    assert_eq!(epochs, [1, 2]);
}

/// Every step that was done, by number and name.
async fn steps(database: Database) -> Vec<(String, i64, String)> {
    let place = database.place().await;
    place.store().await.unwrap();
    place.vault().await.unwrap();
    place.migrations().await
}

#[tokio::test]
async fn migrations_of_both_databases_have_the_same_numbers_and_names_and_those_of_their_files() {
    if !require() {
        return;
    }
    let on_sqlite = steps(Database::Sqlite).await;
    assert_eq!(on_sqlite, steps(Database::Postgres).await);
    for dialect in ["sqlite", "postgres"] {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(dialect);
        let names = |part: &str, directory: &std::path::Path| {
            let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
            let names =
                files.filter(|file| file.is_file()).map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned());
            let step = |name: String| {
                let (number, name) = name.split_once('_').unwrap();
                (part.to_owned(), number.parse::<i64>().unwrap(), name.to_owned())
            };
            names.map(step).collect::<Vec<_>>()
        };
        let mut files = [names("log", &root), names("vault", &root.join("vault"))].concat();
        files.sort();
        assert_eq!(files, on_sqlite, "{dialect}");
    }
}
