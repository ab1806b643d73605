//! What a node costs when nothing happens, and how soon one is there when the log is long.

use std::time::{Duration, Instant};

use sqlx::{PgConnection, Row as _};
use tokio::time::sleep;

use crate::{
    fleet::{Place, until_ready},
    postgres_server::{connect, require, run, start},
    prerequisites::times,
    running_site::{RunningSite, http},
};

/// For how many seconds nothing happens.
const IDLE: u64 = 15;
/// What begins with a start is over by then.
const SETTLING: Duration = Duration::from_secs(5);
/// Clock ticks a second, in which Linux counts for every program.
const TICKS: u64 = 100;
/// So many are added at once, and not once only in a longer run.
const AT_ONCE: u64 = 500_000;
/// How often it is started.
const STARTS: u32 = 3;
const READY_WITHIN: Duration = Duration::from_secs(2);

/// The URL of the database `site` on a server, as a role.
fn of_site(server: &str, role: &str) -> String {
    let mut url = url::Url::parse(server).expect("a URL");
    url.set_username(role).expect("it has a host");
    url.set_path("site");
    url.into()
}

/// The time on a processor that a process has had, in ticks.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name before may hold anything, also blanks and parentheses.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let fields: Vec<_> = fields.split(' ').collect();
    [11, 12].iter().map(|field| fields[*field].parse::<u64>().expect("a number")).sum()
}

async fn statements(tool: &mut PgConnection, role: &str) -> Vec<(i64, String)> {
    let ask = "select calls, query from pg_stat_statements join pg_roles on pg_roles.oid = userid\n\
        where rolname = $1 order by calls desc";
    let rows = sqlx::query(ask).bind(role).fetch_all(tool).await.expect("they are counted");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_nothing_to_do_asks_once_a_second_at_most_and_takes_no_time() {
    if !require() {
        return;
    }
    let server = start(&["shared_preload_libraries=pg_stat_statements"]).expect("a server is installed");
    let mut tool = connect(&server.url).await;
    let roles = ["one", "two"];
    run(&mut tool, "create extension pg_stat_statements").await;
    run(&mut tool, "create database site").await;
    for role in roles {
        run(&mut tool, &format!("create role {role} login superuser")).await;
    }
    let nodes = roles.map(|role| RunningSite::node(&of_site(&server.url, role), &[]));
    sleep(SETTLING).await;
    run(&mut tool, "select pg_stat_statements_reset()").await;
    let before = nodes.each_ref().map(|node| ticks(node.pid()));
    let began = Instant::now();
    sleep(Duration::from_secs(times(IDLE))).await;
    let seconds = began.elapsed().as_secs_f64();
    let mut verdicts = vec![];
    for ((role, node), before) in roles.into_iter().zip(&nodes).zip(before) {
        let worked = ticks(node.pid()) - before;
        let asked = statements(&mut tool, role).await;
        let calls: i64 = asked.iter().map(|(calls, _)| calls).sum();
        println!("idle: node {role} sent {calls} statements and took {worked} ticks of {TICKS} in {seconds:.1} s");
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let fits = calls as f64 <= seconds && worked as f64 <= seconds * TICKS as f64 * 0.005;
        let listed: Vec<_> = asked.iter().map(|(calls, text)| format!("{calls} x {text}")).collect();
        verdicts.push((fits, format!("{calls} statements, {worked} ticks:\n{}", listed.join("\n"))));
    }
    for (fits, told) in verdicts {
        assert!(fits, "{told}");
    }
}

/// Votes of members nobody knows on posts nobody wrote, a thousand a stream, in the form that the program writes.
const FILL: &str = "insert into countersign.events (position, event_id, stream, version, type, type_version, recorded_at,\n\
        actor, payload)\n\
    select before + n, decode(lpad(to_hex(before + n), 32, '0'), 'hex'),\n    \
        'vote-00000000-0000-7000-8000-000000000001-' || voter, (done + n - 1) % 1000 + 1, 'VoteCast', 1,\n    \
        since + n, 'user:' || voter,\n    \
        '{\"post_id\":\"00000000-0000-7000-8000-000000000001\",\"user_id\":\"' || voter || '\",\"direction\":\"' ||\n    \
        case when n % 2 = 1 then 'up\",\"previous\":\"none' else 'none\",\"previous\":\"up' end ||\n    \
        '\",\"at\":\"2026-01-01T00:01:00.000001Z\"}'\n\
    from (select position as before, recorded_at as since from countersign.head) as head,\n    \
        generate_series(1, $1) as n,\n    \
        lateral (select '00000000-0000-7000-8001-' || lpad(to_hex(($2 + n - 1) / 1000), 12, '0') as voter, $2 as done) as who";

/// The indexes are made when all is there, which takes half the time of adding to them; they are what they were.
async fn fill(tool: &mut PgConnection, events: u64) {
    let keys = "select conname::text, pg_get_constraintdef(oid) from pg_constraint\n\
        where conrelid = 'countersign.events'::regclass and contype in ('p', 'u')";
    let keys = sqlx::query_as::<_, (String, String)>(keys).fetch_all(&mut *tool).await.expect("it answers");
    assert_eq!(keys.len(), 3, "position, event id, stream and version");
    for (name, _) in &keys {
        run(tool, &format!("alter table countersign.events drop constraint {name}")).await;
    }
    let number = |count: u64| i64::try_from(count).expect("millions");
    for done in (0..events).step_by(usize::try_from(AT_ONCE).expect("few")) {
        let filled = sqlx::query(FILL).bind(number(AT_ONCE)).bind(number(done)).execute(&mut *tool).await;
        assert_eq!(filled.expect("it can be filled").rows_affected(), AT_ONCE);
        let moved = format!(
            "update countersign.head set position = position + {AT_ONCE}, recorded_at = recorded_at + {AT_ONCE}"
        );
        run(tool, &moved).await;
    }
    for (name, key) in &keys {
        run(tool, &format!("alter table countersign.events add constraint {name} {key}")).await;
    }
    // Only the start is measured, not the work that would be left for afterwards.
    run(tool, "update countersign.cursors set position = (select position from countersign.head)").await;
    run(tool, "analyze countersign.events").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_ready_within_two_seconds_over_a_long_log() {
    if !require() {
        return;
    }
    // Roomy, because only the filling would notice.
    let roomy = [
        "shared_buffers=1GB",
        "max_wal_size=16GB",
        "wal_level=minimal",
        "max_wal_senders=0",
        "maintenance_work_mem=512MB",
    ];
    let server = start(&roomy).expect("a server is installed");
    run(&mut connect(&server.url).await, "create database site").await;
    let url = of_site(&server.url, "postgres");
    let mut node = RunningSite::node(&url, &[]);
    node.given_member("ada", &["admin"]);
    node.kill9();
    let (began, events) = (Instant::now(), times(AT_ONCE));
    fill(&mut connect(&url).await, events).await;
    let filled = began.elapsed();
    let http = http();
    let mut ready = Duration::MAX;
    // Another program on the machine can make a start slower, and none can make it faster.
    for _ in 0..STARTS {
        let began = Instant::now();
        node.restart();
        until_ready(&http, &Place::at(node.url())).await;
        ready = ready.min(began.elapsed());
        node.kill9();
    }
    println!("start: ready after {ready:.2?} over {events} events (filled in {filled:.0?})");
    assert!(ready < READY_WITHIN, "{ready:?}");
}
