//! What can be seen only from inside: statements prepare, and by which indexes they run. Tables are filled first, and
//! the server told how much is in them: on small ones it would rightly read everything.

use countersign_projections::{INLINE, Kind, Table};
use sqlx::{AssertSqlSafe, PgConnection, Row as _, query_scalar, raw_sql};

use super::{
    super::{
        LogWriter as _,
        changes::Placeholders,
        examine, replay, statements as s,
        tests::{LOG, TRAILING, applied, pages, tables},
        throw_away::{self, TestDatabase},
        vault::statements as vault,
    },
    Part, PostgresStore, expected, facts, generations, left_over, migrate, role_of, schema,
    servers::Servers,
    shared, writer,
};

/// Those that differ from `SQLite`.
const DIALECT: &[&str] = &[
    s::ARRAY_LISTS.read_at,
    s::ARRAY_LISTS.newest_of,
    s::ARRAY_LISTS.of_stream,
    s::ARRAY_LISTS.posts,
    s::ARRAY_LISTS.post_bytes,
    s::ARRAY_LISTS.comments,
    s::ARRAY_LISTS.among,
    replay::AGGREGATED,
    replay::ROWS,
    writer::VERSIONS,
    writer::TIMELINE,
    writer::BEGIN_EPOCH,
    writer::OUTCOMES,
    writer::INSERT_EVENTS,
    writer::INSERT_OUTCOMES,
    writer::NOTE_USES,
    writer::FORGET_USES,
    writer::BE_ALONE,
    writer::BE_TOGETHER,
    shared::LEASE,
    shared::RELEASE,
    examine::LAST_EVENT,
    examine::EPOCHS,
    facts::NOW,
    facts::HAS_CLOCK,
    facts::GENERATIONS,
    facts::RESTING,
    facts::SCHEMAS,
    facts::TABLES,
    left_over::GIVE_UP,
    left_over::LEFT_OVER,
    left_over::NOBODY_BUILDS,
    generations::GENERATIONS,
    generations::COLUMNS,
    generations::NEWEST,
    generations::SET_GENERATION,
    generations::CURSOR,
    generations::MARK,
    generations::SET_CURSOR,
    generations::MOVE_CURSOR,
    generations::PARKED,
    generations::PARK,
    generations::FREE,
    generations::FORGET_CURSOR,
    generations::FORGET_PARKED,
    generations::ONE_AT_A_TIME,
];
/// Those of the vault, as `PostgreSQL` is told them.
const VAULT: &[&str] = &[
    vault::POSTGRES.data_key,
    vault::POSTGRES.data_keys_among,
    vault::POSTGRES.verifiers_among,
    vault::POSTGRES.aged_data_keys,
    vault::POSTGRES.remove_data_key,
    vault::POSTGRES.hold,
    vault::PUT_DATA_KEY,
    vault::SITE_KEY,
    vault::SITE,
    vault::SET_SITE,
    vault::NOTE_SEEN,
    vault::LOWER_SEEN,
    vault::PUT_VERIFIER,
    vault::VERIFIER,
    vault::AGED_VERIFIERS,
    vault::REMOVE_VERIFIER,
    vault::DESTROY_VERIFIERS_OF,
    vault::HELD,
    vault::HELD_IDS,
    vault::DESTROY_HELD,
    vault::PUT_OUTCOME,
    vault::OUTCOME,
    vault::DROP_OUTCOME,
    vault::PUT_SESSION,
    vault::SESSION,
    vault::END_SESSION,
    vault::END_SESSIONS_OF,
    vault::END_SESSIONS_UNDER,
    vault::END_LINKS_UNDER,
    vault::END_LINKS_OF,
    vault::END_SET_UP_LINK,
    vault::PUT_LINK,
    vault::LINK,
    vault::END_LINK,
    vault::SWEEP[0],
    vault::SWEEP[1],
    vault::SWEEP[2],
    vault::PING,
];

/// A database with every table there is, and connections that find those of the log with all read models, and those of
/// the vault.
struct Everything {
    log: PgConnection,
    vault: PgConnection,
    _database: TestDatabase,
}

async fn everything() -> Option<Everything> {
    if !throw_away::require() {
        return None;
    }
    let database = TestDatabase::copy_of("template0").await;
    let role = role_of(&database.url).unwrap();
    for part in [Part::Log, Part::Vault] {
        migrate(&database.url, part, &role).await.unwrap();
    }
    let store = PostgresStore::open(&database.url).await.unwrap();
    let mut writer = store.writer().unwrap();
    for projection in INLINE {
        writer.reset_inline(projection).await.unwrap();
    }
    let log = store.servers.connect(&generations::search_path(&store.readers.read().await.pointers)).await.unwrap();
    let vault = store.servers.connect(schema::VAULT).await.unwrap();
    Some(Everything { log, vault, _database: database })
}

#[tokio::test]
async fn what_examines_a_site_prepares() {
    let Some(mut everything) = everything().await else { return };
    for statement in examine::ALL.iter().chain(&[expected::OBJECTS, facts::CHECKS_INDEXES, facts::INDEXES]) {
        plan(&mut everything.log, statement).await;
    }
}

#[tokio::test]
async fn a_server_that_was_left_behind_by_a_promotion_is_not_worked_with() {
    let Some(database) = throw_away::require().then(|| TestDatabase::copy_of("template0")) else { return };
    let database = database.await;
    let servers = Servers::parse(&database.url).unwrap();
    servers.connect(schema::LOG).await.unwrap();
    let (_, pool) = servers.readers(schema::LOG, 1).await.unwrap();
    // As if another server had been seen on the timeline after its own.
    servers.see_timeline(u32::MAX);
    let told = servers.connect(schema::LOG).await.unwrap_err().to_string();
    assert!(told.contains("another server was promoted in its place"), "{told}");
    assert!(pool.acquire().await.is_err(), "nor do those read from it who knew it before");
}

#[tokio::test]
async fn whoever_gives_up_on_a_server_comes_to_the_next_one() {
    let Some(database) = throw_away::require().then(|| TestDatabase::copy_of("template0")) else { return };
    let database = database.await;
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("postgres://ada@{}/site", silent.local_addr().unwrap());
    let servers = Servers::parse(&format!("{silent_url},{}", database.url)).unwrap();
    let impatient = std::time::Duration::from_millis(100);
    assert!(tokio::time::timeout(impatient, servers.connect(schema::LOG)).await.is_err());
    let (server, _) = servers.find(schema::LOG).await.unwrap();
    assert_eq!((server, servers.found()), (1, 1));
    drop(servers.attempt(0));
    assert_eq!(servers.find(schema::LOG).await.unwrap().0, 1);
}

impl Everything {
    /// Fills every table that grows with its site, and has plans made for values that nobody knows.
    async fn filled(mut self) -> Self {
        let generic = "set plan_cache_mode = force_generic_plan";
        throw_away::run(&mut self.log, FILL_LOG).await;
        for table in tables() {
            throw_away::run(&mut self.log, &fill(table)).await;
        }
        throw_away::run(&mut self.vault, FILL_VAULT).await;
        for connection in [&mut self.log, &mut self.vault] {
            throw_away::run(connection, "analyze").await;
            throw_away::run(connection, MANY_ROWS).await;
            throw_away::run(connection, generic).await;
        }
        self
    }

    /// Every statement with the lines of its plan.
    async fn plans(&mut self) -> Vec<(String, Vec<String>)> {
        let mut plans = vec![];
        for statement in of_log() {
            let plan = plan(&mut self.log, &statement).await;
            plans.push((statement, plan));
        }
        for statement in VAULT {
            plans.push(((*statement).to_owned(), plan(&mut self.vault, statement).await));
        }
        plans
    }
}

const FILL_LOG: &str = "
    alter table events disable trigger user;
    insert into events (position, event_id, stream, version, type, type_version, recorded_at, actor, payload)
    select n, decode(md5(n::text), 'hex'), 'account-' || n / 5, n % 5 + 1, 'T', 1, n, 'system', repeat('x', 200)
    from generate_series(1, 5000) as n;
    alter table events enable trigger user;
    insert into outcomes (scope, command_id, body_digest, answer, position, recorded_at)
    select 's' || n / 5, n::text, decode(md5(n::text) || md5(n::text), 'hex'), '{}', n, n
    from generate_series(1, 5000) as n;
    insert into token_uses (digest, used_at)
    select decode(md5(n::text) || md5(n::text), 'hex'), n
    from generate_series(1, 5000) as n";

/// Has the server believe that each table that was filled holds a thousand times as much.
const MANY_ROWS: &str = "
    update pg_class set reltuples = reltuples * 1000
    where relnamespace = any(array(select oid from pg_namespace where nspname like 'countersign%'))
    and reltuples between 1000 and 10000 and relname <> '_sqlx_migrations'";

const FILL_VAULT: &str = "
    insert into data_keys (id, subject, wrapped, created_at)
    select decode(md5(n::text), 'hex'), n::text, decode(repeat('00', 72), 'hex'), n from generate_series(1, 5000) as n;
    insert into data_keys (id, subject, wrapped, created_at) values ('\\x00', 'site', '\\x00', 0);
    insert into verifiers (id, user_id, verifier, created_at)
    select decode(md5(n::text), 'hex'), decode(md5(n::text), 'hex'), 'verifier', n from generate_series(1, 5000) as n;
    insert into held_secrets (id, created_at, sealed)
    select decode(md5(n::text), 'hex'), n, decode(repeat('00', 96), 'hex') from generate_series(1, 5000) as n;
    insert into outcomes (scope, id, sealed, expires_at)
    select 's' || n / 5, n::text, '\\x00', n from generate_series(1, 5000) as n;
    insert into sessions (digest, user_id, verifier, created_at, authenticated_at, expires_at)
    select decode(md5(n::text), 'hex'), decode(md5((n / 3)::text), 'hex'), '\\x00', n, n, n
    from generate_series(1, 5000) as n;
    insert into links (digest, user_id, verifier, expires_at)
    select decode(md5(n::text), 'hex'), decode(md5((n / 3)::text), 'hex'), '\\x00', n
    from generate_series(1, 5000) as n";

/// Keys are all different; of the values of another column each is that of five rows, and every other one is null.
fn fill(table: &Table) -> String {
    let value = |kind, number: &str| match kind {
        Kind::Integer => number.to_owned(),
        Kind::Text => format!("({number})::text"),
        Kind::Bytes => format!("decode(md5(({number})::text), 'hex')"),
    };
    let keys = table.key.iter().map(|column| (column.name, value(column.kind, "n")));
    let others =
        table.columns.iter().map(|column| (column.name, value(column.kind, "case when n % 2 = 0 then n / 5 end")));
    let (names, values): (Vec<_>, Vec<_>) = keys.chain(others).unzip();
    format!(
        "insert into {} ({}) select {} from generate_series(1, 5000) as n",
        table.name,
        names.join(", "),
        values.join(", ")
    )
}

fn of_log() -> impl Iterator<Item = String> {
    let locking = writer::BEGIN.split_once(";\n").expect("it begins first").1;
    let joining = writer::WRITE_TOGETHER.split(";\n").nth(1).expect("it asks for the lock");
    let proving = shared::PROVE.split(";\n").nth(1).expect("it writes a message");
    let fixed = [LOG, TRAILING, DIALECT, &[locking, joining, proving]].concat().into_iter().map(ToOwned::to_owned);
    fixed.chain(applied(Placeholders::Numbered)).chain(pages(Placeholders::Numbered))
}

/// The lines of a statement's plan, which is the one for any values.
async fn plan(connection: &mut PgConnection, statement: &str) -> Vec<String> {
    let told = |error: sqlx::Error| -> ! { panic!("{error}: {statement}") };
    let prepare = format!("prepare asked as {statement}");
    raw_sql(AssertSqlSafe(prepare)).execute(&mut *connection).await.unwrap_or_else(|error| told(error));
    let count = "select cardinality(parameter_types) from pg_prepared_statements where name = 'asked'";
    let count: i32 = query_scalar(count).fetch_one(&mut *connection).await.unwrap();
    let values = vec!["null"; usize::try_from(count).unwrap()].join(", ");
    let values = if count == 0 { String::new() } else { format!("({values})") };
    let explain = format!("explain execute asked {values}");
    let rows = raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *connection).await.unwrap_or_else(|error| told(error));
    raw_sql("deallocate asked").execute(&mut *connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn every_statement_prepares() {
    let Some(mut everything) = everything().await else { return };
    let plans = everything.plans().await;
    assert!(plans.iter().all(|(_, plan)| !plan.is_empty()));
}

#[test]
fn every_statement_of_the_dialect_is_checked() {
    let declared = |text: &str, public: &str| {
        let is_statement = |line: &&str| line.starts_with(public) && line.contains(": &str =");
        text.lines().filter(is_statement).count()
    };
    let files = [
        include_str!("generations.rs"),
        include_str!("writer.rs"),
        include_str!("shared.rs"),
        include_str!("facts.rs"),
        include_str!("left_over.rs"),
    ];
    let declared_here: usize = files.iter().map(|text| declared(text, "pub(super) const ")).sum();
    // Those of several parts begin, join and prove; the lists and the replay are declared elsewhere.
    assert_eq!(DIALECT.len(), declared_here - 3 + 7 + 2);
    let shared = declared(include_str!("../vault/statements.rs"), "pub const ");
    assert_eq!(VAULT.len(), shared + 5 + vault::SWEEP.len());
}

/// Tables that stay small: a row for the site, a read model, a node; what is parked; links that are over soon.
const SMALL: [&str; 14] = [
    "head",
    "epochs",
    "cut_off",
    "clock",
    "compatibility",
    "inline_models",
    "generations",
    "cursors",
    "parked",
    "leases",
    "site",
    "links",
    "pg_class",
    "pg_namespace",
];

/// Under one name: filling the tables takes longer than asking for all plans.
#[tokio::test]
async fn only_the_scan_by_position_walks_the_log_and_nothing_walks_another_table_that_grows() {
    let Some(everything) = everything().await else { return };
    let mut everything = everything.filled().await;
    for (statement, plan) in everything.plans().await {
        // One row answers it, whichever comes first.
        let scans = plan.iter().filter(|line| line.contains("Seq Scan on ") && statement != vault::PING);
        for line in scans {
            let table = line.split("Seq Scan on ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
            assert!(SMALL.contains(&table), "{plan:#?}: {statement}");
        }
        let by_position = plan.iter().position(|line| line.contains("using events_pkey on events"));
        let walks =
            by_position.is_some_and(|line| plan.get(line + 1).is_some_and(|line| line.contains("\"position\" > ")));
        assert_eq!(
            walks,
            [s::READ_LOG, replay::AGGREGATED, replay::ROWS].contains(&statement.as_str()),
            "{plan:#?}: {statement}"
        );
    }
}
