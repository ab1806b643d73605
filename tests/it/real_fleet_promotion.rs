//! The server that takes writes dies, and its synchronous standby is promoted: two nodes under load find it, and nothing
//! that was acknowledged is lost, doubled or overlooked. While no server takes writes durably, no node says of a token
//! that it is valid, and nothing is acknowledged.

use std::{
    path::PathBuf,
    process::Command,
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use countersign::store::postgres::{self, Part};
use serde_json::json;
use sqlx::{PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::{
    cuts::Cuts,
    fleet::{PATIENCE, Place, start_site, until_ready},
    postgres_server::{TestDatabase, connect, require, run, start},
    postgres_settings::refused,
    real_fleet_loss::{Counts, client, follow, found, whole_log, write},
    real_fleet_revocation::{Says, check},
    running_site::{http, try_answer},
    serial_history::{Asked, Sent, Told, faults},
};

/// The promise: so long after the last proof a node may still say that a token is valid.
const AT_MOST: Duration = Duration::from_secs(1);
const WRITERS: usize = 12;
const FOLLOWERS: usize = 2;
/// So many commands are acknowledged in each stretch in which a server takes writes.
const ACKNOWLEDGED: u64 = 60;

/// The database `site` on a server.
fn site_on(server: &str) -> String {
    let mut url = url::Url::parse(server).expect("a URL");
    url.set_path("site");
    url.into()
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn until_told(tool: &mut PgConnection, ask: &'static str) {
    let deadline = Instant::now() + PATIENCE;
    while sqlx::query_scalar::<_, Option<bool>>(ask).fetch_optional(&mut *tool).await.expect("an answer").flatten()
        != Some(true)
    {
        assert!(Instant::now() < deadline, "{ask}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn signal(name: &str, pid: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), pid]).status().expect("kill runs");
    assert!(sent.success(), "SIG{name} reaches {pid}");
}

/// Ends a server in the middle of whatever it does, with all its processes.
fn kill9(server: &str) {
    let directory = PathBuf::from(PgConnectOptions::from_str(server).expect("a URL").get_socket().expect("a socket"));
    let file = std::fs::read_to_string(directory.join("data/postmaster.pid")).expect("it runs");
    let first = file.lines().next().expect("its number");
    let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap_or_default();
    signal("KILL", first);
    for child in children.split_whitespace() {
        // It ends by itself once it notices; perhaps it has.
        let _ = Command::new("kill").args(["-KILL", child]).output();
    }
}

/// When each check began and ended that said of a token that it is valid.
type Valid = Vec<(Instant, Instant)>;

/// Asks a node for a token again and again until it is over.
fn watch_a_token(node: Place, token: String, over: Arc<AtomicBool>) -> JoinHandle<Valid> {
    tokio::spawn(async move {
        let (http, mut valid) = (http(), vec![]);
        while !over.load(Ordering::Relaxed) {
            let asked = Instant::now();
            match check(&http, &node, &token).await {
                Says::Valid => valid.push((asked, Instant::now())),
                Says::CannotTell => {}
                Says::Invalid => panic!("a token that lives is called invalid"),
            }
            sleep(Duration::from_millis(5)).await;
        }
        valid
    })
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, from the first server to the second")]
async fn a_promotion_loses_nothing_and_no_node_says_valid_while_no_server_takes_writes() {
    if !require() {
        return;
    }
    let primary = start(&[]).expect("a server is installed");
    let mut tool = connect(&primary.url).await;
    run(&mut tool, "create database site").await;
    let (first, role) = (site_on(&primary.url), "postgres");
    for part in [Part::Log, Part::Vault] {
        postgres::migrate(&first, part, role).await.expect("it migrates");
    }
    let standby = start(&["--standby-of", &primary.url, "max_connections=300"]).expect("a standby");
    let second = site_on(&standby.url);
    let mut at_standby = connect(&standby.url).await;
    run(&mut tool, "alter system set synchronous_standby_names = '*'").await;
    run(&mut tool, "select pg_reload_conf()").await;
    until_told(&mut tool, "select sync_state = 'sync' from pg_stat_replication").await;
    // A standby alone is of no use.
    refused(&[("DATABASE_URL", &second)], 1, &["database site: it is in recovery and takes no writes: promote it"]);

    let urls = format!("{second},{first}");
    let scene = Arc::new(found(&urls).await);
    // One node will see the server's machine vanish, the other one only its processes.
    let way = Cuts::before(&first);
    let sites = [start_site(&urls), start_site(&format!("{},{second}", way.url(&first)))];
    let places = sites.each_ref().map(|site| Place::at(site.url()));
    let living = scene.members[0].1.clone();
    let (revoked, id) = sites[0].given_token("member-1", "read");
    sites[0].done(&["token", "revoke", &id]);

    let (over, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
    let (tell, head) = watch::channel(None);
    let (mut writers, mut followers) = (JoinSet::new(), JoinSet::new());
    for number in 0..WRITERS {
        writers.spawn(write(number, scene.clone(), places.to_vec(), over.clone(), counts.clone()));
    }
    for number in 0..FOLLOWERS {
        followers.spawn(follow(number, scene.auditor.clone(), places.to_vec(), head.clone()));
    }
    let watchers = places.each_ref().map(|place| watch_a_token(place.clone(), living.clone(), over.clone()));
    let http = http();
    let done = || counts.done.load(Ordering::Relaxed);
    let goes_on = async || {
        let before = done();
        until("commands are acknowledged", async || done() >= before + ACKNOWLEDGED).await;
    };
    let knows_nothing = async |since: Instant| {
        let nothing = async || {
            check(&http, &places[0], &living).await == Says::CannotTell
                && check(&http, &places[1], &living).await == Says::CannotTell
        };
        until("both nodes cannot tell", nothing).await;
        sleep((2 * AT_MOST).saturating_sub(since.elapsed())).await;
    };
    goes_on().await;

    // The standby hears nothing: what is committed now waits for it, and nobody is told that it is.
    let receiver: i32 = sqlx::query_scalar("select pid from pg_stat_wal_receiver")
        .fetch_one(&mut at_standby)
        .await
        .expect("it receives");
    signal("STOP", &receiver.to_string());
    let frozen = Instant::now();
    knows_nothing(frozen).await;
    let acknowledged = done();
    let post = async |place: &Place| {
        let request = client().post(format!("{}/api/v1/posts", place.get())).header("authorization", &living);
        let request = request.header("idempotency-key", "while-the-standby-is-deaf");
        try_answer(request.json(&json!({ "title": "Is anybody there?" }))).await
    };
    let told = post(&places[0]).await;
    assert!(told.as_ref().map_or(true, |told| !told.status.is_success()), "{told:?}");
    assert_eq!(done(), acknowledged, "nothing is acknowledged without the standby");
    let thawed = Instant::now();
    signal("CONT", &receiver.to_string());
    goes_on().await;
    let again = async || post(&places[1]).await.is_ok_and(|told| told.status.is_success());
    until("it is sent again, and done", again).await;

    // The server dies.
    let killed = Instant::now();
    way.freeze();
    kill9(&primary.url);
    knows_nothing(killed).await;
    let promoted = Instant::now();
    run(&mut at_standby, "select pg_promote()").await;
    for place in &places {
        until_ready(&http, place).await;
    }
    let ready = promoted.elapsed();
    goes_on().await;
    let going_on = promoted.elapsed();
    for place in &places {
        assert_eq!(check(&http, place, &living).await, Says::Valid);
        assert_eq!(check(&http, place, &revoked).await, Says::Invalid);
    }

    over.store(true, Ordering::Relaxed);
    let mut sent = writers.join_all().await.concat();
    let unknown = Asked::Post { by: scene.members[0].0 };
    sent.push(Sent { id: "while-the-standby-is-deaf".to_owned(), asked: unknown, told: Told::Unknown });
    for watcher in watchers {
        for (asked, answered) in watcher.await.expect("a watcher ends") {
            for (from, to) in [(frozen, thawed), (killed, promoted)] {
                let late = asked > from + AT_MOST && answered < to;
                assert!(!late, "valid, asked {:?} after the last server that took writes", asked - from);
            }
        }
    }
    let log = whole_log(&second).await;
    tell.send_replace(Some(log.len() as u64));
    let seen = followers.join_all().await;
    let faults = faults(&log, &sent, &seen);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
    let own = |id: &Option<String>| id.as_deref() == Some("while-the-standby-is-deaf");
    assert_eq!(log.iter().filter(|recorded| own(&recorded.envelope.command_id)).count(), 1);

    // The new server is another epoch of the log, and the followers of the read models go on in it.
    let mut at_new = connect(&second).await;
    let epochs: Vec<(i64, String)> = sqlx::query_as("select epoch, timeline from countersign.epochs order by epoch")
        .fetch_all(&mut at_new)
        .await
        .expect("epochs");
    assert_eq!(epochs, [(1, "00000001".to_owned()), (2, "00000002".to_owned())]);
    let all_there = "select bool_and(cursors.position = head.position and cursors.epoch = 2 and head.epoch = 2) \
                     from countersign.cursors, countersign.head";
    until_told(&mut at_new, all_there).await;
    println!(
        "{} events, {} commands acknowledged; ready {ready:.1?} and {ACKNOWLEDGED} more acknowledged {going_on:.1?} after the promotion",
        log.len(),
        done()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_nobody_asks_finds_the_server_after_one_that_went_without_a_word() {
    if !require() {
        return;
    }
    let database = TestDatabase::create().await;
    // One server that has two addresses stands for two.
    let way = Cuts::before(&database.url);
    let node = start_site(&format!("{},{}", way.url(&database.url), database.url));
    let mut tool = connect(&database.url).await;
    let mut lease_ends = async || {
        let ends = sqlx::query_scalar::<_, i64>("select coalesce(max(until), 0) from countersign.leases");
        ends.fetch_one(&mut tool).await.expect("an answer")
    };
    let deadline = Instant::now() + PATIENCE;
    while lease_ends().await == 0 {
        assert!(Instant::now() < deadline, "it leads");
    }
    way.freeze();
    // What was on its way may make it last a little longer.
    let at_most = lease_ends().await + 5_000_000;
    while lease_ends().await <= at_most {
        assert!(Instant::now() < deadline, "it leads again");
        sleep(Duration::from_millis(20)).await;
    }
    drop(node);
}
