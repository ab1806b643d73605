//! A revocation on one node is honoured by every other within a second, whatever is frozen in between: a node that cannot
//! prove that what it knows is recent says "valid" of nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use countersign::app::Caller;
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    fleet::{Node, PATIENCE, Place, given_member, given_token, node_in_this_process, until_ready},
    postgres_server::{TestDatabase, require},
    prerequisites::times,
    running_site::{PASSWORD, http, try_answer},
};

/// The promise.
const AT_MOST: Duration = Duration::from_secs(1);
const REVOCATIONS: usize = 100;
/// More, for nodes that are frozen.
const EACH_TIME_FROZEN: usize = 10;
const MEMBERS: usize = 20;
/// Who revokes at the same time.
const REVOKERS: usize = 4;
/// Who reads and writes meanwhile.
const READERS: usize = 6;
const WRITERS: usize = 3;

/// A member's browser.
struct Owner {
    cookie: String,
    csrf: String,
}

/// A token that will be revoked.
struct Doomed {
    id: String,
    token: String,
    owner: Arc<Owner>,
}

struct Scene {
    doomed: Vec<Doomed>,
    /// One that is never revoked.
    living: String,
}

async fn found(database: &TestDatabase) -> Scene {
    let app = node_in_this_process(&database.url).await;
    let (mut doomed, mut living) = (vec![], String::new());
    let each = (times(REVOCATIONS) + 2 * EACH_TIME_FROZEN).div_ceil(MEMBERS);
    let mut owners = vec![];
    for number in 0..MEMBERS {
        let name = format!("member-{number}");
        let user = given_member(&app, &name, &[]).await;
        let (_, browser) = app.log_in(&Caller::system(), &name, PASSWORD).await.expect("they can log in");
        let owner = Arc::new(Owner { cookie: browser.expose().to_owned(), csrf: app.csrf_token(&browser) });
        owners.push((user, owner));
        living = given_token(&app, user, "read write").await.1;
    }
    // A member's tokens are of one stream: those who revoke at the same time do so for different members.
    for _ in 0..each {
        for (user, owner) in &owners {
            let (id, token) = given_token(&app, *user, "identity").await;
            doomed.push(Doomed { id: id.to_string(), token, owner: owner.clone() });
        }
    }
    app.stop().await;
    Scene { doomed, living }
}

/// What a node says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Valid,
    Invalid,
    /// That it cannot tell, and when to ask again.
    CannotTell,
}

pub async fn check(http: &reqwest::Client, node: &Place, token: &str) -> Says {
    let url = format!("{}/api/v1/token", node.get());
    let answer = try_answer(http.get(url).header("authorization", token)).await.expect("a node answers");
    match answer.status {
        StatusCode::OK => Says::Valid,
        StatusCode::UNAUTHORIZED => Says::Invalid,
        StatusCode::SERVICE_UNAVAILABLE => {
            assert!(!answer.header("retry-after").is_empty(), "{}", answer.body);
            Says::CannotTell
        }
        status => panic!("{status}: {}", answer.body),
    }
}

/// Revokes a token at a node; when that was acknowledged.
async fn revoke(http: &reqwest::Client, node: &Place, doomed: &Doomed) -> Instant {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = http.delete(format!("{}/api/v1/tokens/{}", node.get(), doomed.id));
        let request = request.header("cookie", format!("session={}", doomed.owner.cookie));
        let answer = try_answer(request.header("x-csrf-token", &doomed.owner.csrf)).await.expect("a node answers");
        let acknowledged = Instant::now();
        if answer.status.is_success() {
            return acknowledged;
        }
        let again = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::CONFLICT].contains(&answer.status);
        assert!(again && Instant::now() < deadline, "it cannot be revoked: {}", answer.body);
    }
}

/// Asks a node until it refuses a token that was revoked; how long after that its refusal came.
async fn until_refused(http: &reqwest::Client, node: &Place, token: &str, revoked: Instant) -> Duration {
    loop {
        let asked = Instant::now();
        if check(http, node, token).await != Says::Valid {
            return revoked.elapsed();
        }
        let late = asked - revoked;
        assert!(late < AT_MOST, "a node said that a token is valid, asked {late:?} after it was revoked");
    }
}

/// Reads and writes at all nodes, as long as it is not over.
fn load(places: &[Place], living: &str, over: &Arc<AtomicBool>) -> JoinSet<usize> {
    let mut all = JoinSet::new();
    for number in 0..READERS + WRITERS {
        let (places, living, over) = (places.to_vec(), living.to_owned(), over.clone());
        all.spawn(async move {
            let http = http();
            let mut sent = 0;
            for node in places.iter().cycle().skip(number) {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                if number < READERS {
                    assert_eq!(check(&http, node, &living).await, Says::Valid, "a token that nobody revoked");
                } else {
                    let request = http.post(format!("{}/api/v1/posts", node.get())).header("authorization", &living);
                    let posted = try_answer(request.json(&json!({ "title": "Meanwhile" }))).await.expect("an answer");
                    assert_eq!(posted.status, StatusCode::CREATED, "{}", posted.body);
                }
                sent += 1;
                // A load, not a race for the processor.
                sleep(Duration::from_millis(10)).await;
            }
            sent
        });
    }
    all
}

/// Revokes tokens at the first node, several at a time, and asks the others for each until they refuse it.
async fn revoke_under_load(places: &[Place], doomed: Vec<Doomed>) -> Vec<Duration> {
    let (doomed, next) = (Arc::new(doomed), Arc::new(AtomicUsize::new(0)));
    let mut revokers = JoinSet::new();
    for _ in 0..REVOKERS {
        let (places, doomed, next) = (places.to_vec(), doomed.clone(), next.clone());
        revokers.spawn(async move {
            let (http, mut delays) = (http(), vec![]);
            while let Some(one) = doomed.get(next.fetch_add(1, Ordering::Relaxed)) {
                let revoked = revoke(&http, &places[0], one).await;
                let (a, b, c) = tokio::join!(
                    check(&http, &places[0], &one.token),
                    until_refused(&http, &places[1], &one.token, revoked),
                    until_refused(&http, &places[2], &one.token, revoked),
                );
                assert_ne!(a, Says::Valid, "the node that revoked it refuses it at once");
                delays.push(b.max(c));
            }
            delays
        });
    }
    let mut delays = vec![];
    while let Some(ended) = revokers.join_next().await {
        delays.extend(ended.expect("a revoker ends"));
    }
    delays.sort();
    delays
}

async fn revoke_all(http: &reqwest::Client, node: &Place, doomed: &[Doomed]) {
    let mut last = Instant::now();
    for one in doomed {
        last = revoke(http, node, one).await;
    }
    sleep(AT_MOST.saturating_sub(last.elapsed()) + Duration::from_millis(1)).await;
}

/// Asks a node for tokens that were revoked more than a second ago; none is valid.
async fn assert_none_is_valid(http: &reqwest::Client, node: &Place, doomed: &[Doomed]) -> Vec<Says> {
    let mut said = vec![];
    for one in doomed {
        said.push(check(http, node, &one.token).await);
    }
    assert!(!said.contains(&Says::Valid), "{said:?}");
    said
}

/// The node is well again: it knows which token lives and which do not.
async fn assert_well_again(http: &reqwest::Client, node: &Place, living: &str, doomed: &[Doomed]) {
    until_ready(http, node).await;
    assert_eq!(check(http, node, living).await, Says::Valid);
    let said = assert_none_is_valid(http, node, doomed).await;
    assert!(said.iter().all(|said| *said == Says::Invalid), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_honoured_by_every_node_within_a_second_also_by_one_that_was_frozen() {
    if !require() {
        return;
    }
    let database = TestDatabase::create().await;
    let Scene { mut doomed, living } = found(&database).await;
    let nodes: Vec<_> = (0..3).map(|_| Node::start(&database)).collect();
    let places: Vec<_> = nodes.iter().map(|node| node.url.clone()).collect();
    let while_cut_off = doomed.split_off(times(REVOCATIONS) + EACH_TIME_FROZEN);
    let while_paused = doomed.split_off(times(REVOCATIONS));

    let over = Arc::new(AtomicBool::new(false));
    let mut meanwhile = load(&places, &living, &over);
    let began = Instant::now();
    let delays = revoke_under_load(&places, doomed).await;
    let took = began.elapsed();
    over.store(true, Ordering::Relaxed);
    let mut requests = 0;
    while let Some(ended) = meanwhile.join_next().await {
        requests += ended.expect("the load is carried");
    }
    let of_100 = |percent: usize| delays[(delays.len() * percent / 100).min(delays.len() - 1)].as_micros();
    println!(
        "{} revocations in {took:.1?} beside {requests} requests, microseconds until both other nodes refuse: \
         median {}, p95 {}, p99 {}, most {}",
        delays.len(),
        of_100(50),
        of_100(95),
        of_100(99),
        of_100(100),
    );

    // One is paused, and wakes with all that it knew.
    let http = http();
    let (paused, node) = (&nodes[2], &places[2]);
    for one in &while_paused {
        assert_eq!(check(&http, node, &one.token).await, Says::Valid);
    }
    paused.site.signal("STOP");
    revoke_all(&http, &places[0], &while_paused).await;
    // Sent while it sleeps, answered when it wakes.
    let mut asked = JoinSet::new();
    for one in &while_paused {
        let (http, node, token) = (http.clone(), node.clone(), one.token.clone());
        asked.spawn(async move { check(&http, &node, &token).await });
    }
    sleep(Duration::from_millis(100)).await;
    paused.site.signal("CONT");
    let said = asked.join_all().await;
    assert!(!said.contains(&Says::Valid), "{said:?}");
    assert_none_is_valid(&http, node, &while_paused).await;
    assert_well_again(&http, node, &living, &while_paused).await;

    // One hears nothing of its database.
    let (cut_off, node) = (&nodes[1], &places[1]);
    for one in &while_cut_off {
        assert_eq!(check(&http, node, &one.token).await, Says::Valid);
    }
    cut_off.cuts.freeze();
    revoke_all(&http, &places[0], &while_cut_off).await;
    let said = assert_none_is_valid(&http, node, &while_cut_off).await;
    assert!(said.iter().all(|said| *said == Says::CannotTell), "nothing told it: {said:?}");
    assert_eq!(check(&http, node, &living).await, Says::CannotTell, "nor does it know which token lives");
    cut_off.cuts.pass();
    assert_well_again(&http, node, &living, &while_cut_off).await;
}

/// They are all of one stream, and each node hears of the others' only by losing to them.
#[tokio::test(flavor = "multi_thread")]
async fn one_members_tokens_can_be_revoked_on_several_nodes_at_once() {
    const EACH: usize = 4;
    if !require() {
        return;
    }
    let database = TestDatabase::create().await;
    let mut nodes = vec![];
    for _ in 0..3 {
        nodes.push(node_in_this_process(&database.url).await);
    }
    let user = given_member(&nodes[0], "member", &[]).await;
    let mut tokens = vec![];
    for _ in 0..EACH * nodes.len() {
        tokens.push(given_token(&nodes[0], user, "read").await.0);
    }
    let mut revokers = JoinSet::new();
    for (id, node) in tokens.into_iter().zip(nodes.iter().cycle()) {
        let node = node.clone();
        revokers.spawn(async move { node.revoke_token(&Caller::system(), id).await });
    }
    let failed: Vec<_> = revokers.join_all().await.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), EACH * nodes.len());
}
