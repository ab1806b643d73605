//! Nothing is lost, doubled or overlooked while nodes and their connections die: four nodes, sixteen writers at each, four
//! followers, and delays, freezes, cuts, kills and pauses, all made from outside.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use countersign::{
    app::{Caller, applications::Request, reviews::Verb, reviews::Verdict},
    store::{EventLog as _, StoredEvent, decode, postgres::PostgresStore},
};
use countersign_events::{
    account::Role,
    event::Event,
    ids::{ApplicationId, PostId, UserId},
    post::Direction,
    recorded::{Actor, Position, Recorded},
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::{
    cuts::{Lost, mix},
    fleet::{Node, PATIENCE, Place, given_member, given_token, is_ready, node_in_this_process, until_ready},
    postgres_server::{TestDatabase, connect, require},
    prerequisites::times,
    running_site::try_answer,
    serial_history::{Asked, Sent, Told, faults},
};

/// How often each node is tormented: two of them in each of the eight ways, at least.
const TORMENTS: u64 = 4;
const NODES: usize = 4;
const WRITERS_A_NODE: usize = 16;
const FOLLOWERS: usize = 4;
/// Who has no answer by then asks again, at another node.
const NO_ANSWER: Duration = Duration::from_secs(3);

/// Draws that are the same in every run; what they meet is not.
struct Dice(u64);

impl Dice {
    fn draw(&mut self, below: u64) -> u64 {
        self.0 = mix(self.0);
        self.0 % below
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.draw(to - from))
    }
}

/// Whom and what the writers write about.
pub struct Scene {
    pub members: Vec<(UserId, String)>,
    reviewers: Vec<(UserId, String)>,
    pub auditor: String,
    posts: Vec<PostId>,
    /// Under review: claimed and released.
    waiting: Vec<ApplicationId>,
    /// Approved: suspended and reinstated.
    approved: Vec<ApplicationId>,
}

pub async fn found(urls: &str) -> Scene {
    let app = node_in_this_process(urls).await;
    let member = async |name: &str, roles: &[Role], scopes: &str| {
        let user = given_member(&app, name, roles).await;
        (user, given_token(&app, user, scopes).await.1)
    };
    let (mut members, mut reviewers) = (vec![], vec![]);
    for number in 0..8 {
        members.push(member(&format!("member-{number}"), &[], "read write vote").await);
    }
    for number in 0..4 {
        reviewers.push(member(&format!("reviewer-{number}"), &[Role::Reviewer], "review").await);
    }
    let auditor = member("olga", &[Role::Auditor], "audit").await.1;
    let by = |user| Caller { actor: Actor::User(user), ..Caller::system() };
    let owner = members[0].0;
    let mut posts = vec![];
    for number in 0..4 {
        let post = app.publish(&by(owner), owner, &format!("Post {number}"), "", "b").await;
        posts.push(post.expect("published").answer);
    }
    let mut applications = vec![];
    for number in 0..4 {
        let request = Request {
            name: format!("App {number}"),
            redirect_uri: "https://app.example/cb".to_owned(),
            description: "Reads the front page.".to_owned(),
            ..Request::default()
        };
        let asked = app.asked(&request).expect("a good request");
        applications.push(app.request_application(&by(owner), owner, asked).await.expect("it can be asked for").answer);
    }
    let approved = applications.split_off(2);
    let verdict = Verdict { revision: 1, reason_code: "other".to_owned(), reason: "As agreed.".to_owned() };
    for application in &approved {
        let reviewer = reviewers[0].0;
        let decided = app.decide_application(&by(reviewer), reviewer, *application, Verb::Approve, &verdict).await;
        decided.expect("it can be approved");
    }
    app.stop().await;
    Scene { members, reviewers, auditor, posts, waiting: applications, approved }
}

impl Scene {
    /// What somebody asks for next: the command, path and body, and with whose token.
    fn ask(&self, dice: &mut Dice, id: &str) -> (Asked, String, Value, &str) {
        let one_of = |dice: &mut Dice, many: usize| usize::try_from(dice.draw(many as u64)).expect("few");
        let (by, token) = &self.members[one_of(dice, self.members.len())];
        let (by, post) = (*by, self.posts[one_of(dice, self.posts.len())]);
        match dice.draw(10) {
            0..2 => {
                (Asked::Post { by }, "/api/v1/posts".to_owned(), json!({ "title": format!("Post of {id}") }), token)
            }
            2..4 => {
                let path = format!("/api/v1/posts/{post}/comments");
                (Asked::Comment { post, by }, path, json!({ "body": format!("Comment of {id}") }), token)
            }
            4..8 => {
                let (direction, name) =
                    [(Direction::Up, "up"), (Direction::Down, "down"), (Direction::None, "none")][one_of(dice, 3)];
                let path = format!("/api/v1/posts/{post}/votes");
                (Asked::Vote { post, by, direction }, path, json!({ "direction": name }), token)
            }
            _ => {
                let (by, token) = &self.reviewers[one_of(dice, self.reviewers.len())];
                let (application, verb) = match dice.draw(4) {
                    0 => (self.waiting[one_of(dice, self.waiting.len())], Verb::Claim),
                    1 => (self.waiting[one_of(dice, self.waiting.len())], Verb::Release),
                    2 => (self.approved[one_of(dice, self.approved.len())], Verb::Suspend),
                    _ => (self.approved[one_of(dice, self.approved.len())], Verb::Reinstate),
                };
                let body = if verb.decides() {
                    json!({ "revision": 1, "reason_code": "other", "reason": "As agreed." })
                } else {
                    json!({})
                };
                let path = format!("/api/v1/review/{application}/{}", verb.as_str());
                (Asked::Review { application, by: *by, verb }, path, body, token)
            }
        }
    }
}

pub fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().timeout(NO_ANSWER);
    client.redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

/// Sends one command after another until it is over, each until its fate is known.
pub async fn write(
    number: usize,
    scene: Arc<Scene>,
    places: Vec<Place>,
    over: Arc<AtomicBool>,
    counts: Arc<Counts>,
) -> Vec<Sent> {
    let http = client();
    let mut dice = Dice(number as u64);
    let mut sent = vec![];
    while !over.load(Ordering::Relaxed) {
        let id = format!("writer-{number}-{}", sent.len());
        let (asked, path, body, token) = scene.ask(&mut dice, &id);
        let (mut told, mut deadline) = (Told::Unknown, None);
        for place in places.iter().cycle().skip(number % places.len()) {
            let request = http.post(format!("{}{path}", place.get())).header("authorization", token);
            match try_answer(request.header("idempotency-key", &id).json(&body)).await {
                Ok(answer) if answer.status.is_success() => {
                    let position = answer.header("countersign-position").split_once('.').expect("a position").1;
                    told = Told::Done(position.parse().expect("a number"));
                    break;
                }
                Ok(answer) if answer.status == StatusCode::CONFLICT => {
                    // An earlier try may still be on its way.
                    told = if deadline.is_none() { Told::Refused } else { Told::Unknown };
                    break;
                }
                Ok(answer) if answer.status != StatusCode::SERVICE_UNAVAILABLE => {
                    panic!("{path} by a token that is valid: {} {}", answer.status, answer.body);
                }
                _ => {
                    counts.unknown.fetch_add(1, Ordering::Relaxed);
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
                    assert!(Instant::now() < deadline, "no node says what became of {path}");
                    sleep(dice.millis(20, 120)).await;
                }
            }
        }
        let count = match told {
            Told::Done(_) => &counts.done,
            Told::Refused => &counts.refused,
            Told::Unknown => &counts.refused_later,
        };
        count.fetch_add(1, Ordering::Relaxed);
        sent.push(Sent { id, asked, told });
    }
    sent
}

/// What writers were told.
#[derive(Default)]
pub struct Counts {
    pub done: AtomicU64,
    refused: AtomicU64,
    /// Tries without an answer that could be relied on.
    unknown: AtomicU64,
    /// Commands that were refused after a try without an answer.
    refused_later: AtomicU64,
}

/// Reads the log through one node after another, wherever there is one that answers, to a head that comes at the end.
pub async fn follow(number: usize, token: String, places: Vec<Place>, head: watch::Receiver<Option<u64>>) -> Vec<u64> {
    let http = client();
    let mut seen: Vec<u64> = vec![];
    let mut deadline = None;
    let mut nodes = places.iter().cycle().skip(number);
    let mut node = nodes.next().expect("there are nodes");
    loop {
        let after = seen.last().copied().unwrap_or_default();
        if let Some(head) = *head.borrow() {
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
            if after >= head || Instant::now() > deadline {
                return seen;
            }
        }
        let url = format!("{}/api/v1/events?limit=100&after={after}", node.get());
        match try_answer(http.get(url).header("authorization", &token)).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                let page = answer.json();
                let events = page["data"].as_array().expect("a list");
                seen.extend(events.iter().map(|event| event["position"].as_u64().expect("a position")));
                if events.is_empty() {
                    sleep(Duration::from_millis(50)).await;
                }
            }
            _ => {
                node = nodes.next().expect("there are nodes");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// What was done to nodes, and how often.
type Done = BTreeMap<&'static str, u64>;

/// Does one thing after another to a node and its connections; leaves it free.
fn torment(mut node: Node, seed: u64) -> (Node, Done) {
    let mut dice = Dice(seed);
    let mut done = Done::new();
    let pause = |time| std::thread::sleep(time);
    for act in 0..times(TORMENTS) {
        pause(dice.millis(200, 1_500));
        // Now and then longer than a lock is waited for.
        let long = if dice.draw(10) == 0 { dice.millis(5_500, 7_000) } else { dice.millis(100, 800) };
        let name = match (seed * TORMENTS + act) % 8 {
            0 => {
                node.cuts.delay(dice.millis(5, 40));
                pause(long);
                "delayed"
            }
            1 => {
                node.cuts.freeze();
                pause(long);
                "frozen"
            }
            2 => {
                node.cuts.cut();
                "cut"
            }
            3 => {
                node.cuts.refuse();
                node.cuts.cut();
                pause(dice.millis(100, 600));
                "refused"
            }
            action @ 4..=5 => {
                let before = node.cuts.commits_cut();
                node.cuts.cut_the_next_commit(if action == 4 { Lost::Answer } else { Lost::Commit });
                let deadline = Instant::now() + Duration::from_secs(2);
                while node.cuts.commits_cut() == before && Instant::now() < deadline {
                    pause(Duration::from_millis(5));
                }
                match (node.cuts.commits_cut() > before, action) {
                    (false, _) => "no commit came",
                    (true, 4) => "answer to a commit lost",
                    (true, _) => "commit lost",
                }
            }
            6 => {
                node.site.kill9();
                node.start_again();
                "killed"
            }
            _ => {
                node.site.signal("STOP");
                pause(long);
                node.site.signal("CONT");
                "paused"
            }
        };
        node.cuts.pass();
        *done.entry(name).or_default() += 1;
    }
    (node, done)
}

/// Ends sessions of the nodes at the server, one after another.
async fn terminate(url: String, database: String, over: Arc<AtomicBool>) -> u64 {
    let mut tool = connect(&url).await;
    let mut dice = Dice(99);
    let mut ended = 0;
    let end_one = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}' and \
         application_name = 'countersign' order by random() limit 1"
    );
    while !over.load(Ordering::Relaxed) {
        sleep(dice.millis(300, 1_500)).await;
        let ran = sqlx::query_scalar::<_, bool>(AssertSqlSafe(end_one.clone())).fetch_all(&mut tool).await;
        ended += ran.expect("the server answers").len() as u64;
    }
    ended
}

pub async fn whole_log(urls: &str) -> Vec<Recorded<Event>> {
    let store = PostgresStore::open(urls).await.expect("the log opens");
    let mut log: Vec<Recorded<Event>> = vec![];
    loop {
        let after = log.last().map(|last| last.envelope.position).unwrap_or_default();
        let page: Vec<StoredEvent> = store.read_log(after, 1_000).await.expect("the log");
        if page.is_empty() {
            let head = store.head().await.expect("a head").position;
            assert_eq!(head, Position(log.len() as u64), "the head is where the log ends");
            return log;
        }
        log.extend(page.iter().map(|stored| decode(stored).expect("an event")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_lose_double_and_overlook_nothing_while_they_and_their_connections_die() {
    if !require() {
        return;
    }
    let database = TestDatabase::create().await;
    let scene = Arc::new(found(&database.url).await);
    let nodes: Vec<_> = (0..NODES).map(|_| Node::start(&database)).collect();
    let places: Vec<_> = nodes.iter().map(|node| node.url.clone()).collect();
    let (over, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
    let (tell, head) = watch::channel(None);

    let (mut writers, mut followers) = (JoinSet::new(), JoinSet::new());
    for number in 0..NODES * WRITERS_A_NODE {
        writers.spawn(write(number, scene.clone(), places.clone(), over.clone(), counts.clone()));
    }
    for number in 0..FOLLOWERS {
        followers.spawn(follow(number, scene.auditor.clone(), places.clone(), head.clone()));
    }
    let terminator = tokio::spawn(terminate(database.url.clone(), database.name.clone(), over.clone()));
    let tormentors: Vec<_> =
        (1..).zip(nodes).map(|(seed, node)| tokio::task::spawn_blocking(move || torment(node, seed))).collect();
    let (mut nodes, mut done) = (vec![], Done::new());
    for tormentor in tormentors {
        let (node, acts) = tormentor.await.expect("a tormentor ends");
        nodes.push(node);
        for (act, times) in acts {
            *done.entry(act).or_default() += times;
        }
    }
    over.store(true, Ordering::Relaxed);
    done.insert("terminated", terminator.await.expect("it ends"));
    for place in &places {
        until_ready(&client(), place).await;
    }
    let mut sent = vec![];
    while let Some(ended) = writers.join_next().await {
        sent.extend(ended.expect("a writer ends"));
    }
    let log = whole_log(&database.url).await;
    tell.send_replace(Some(log.len() as u64));
    let mut seen = vec![];
    while let Some(ended) = followers.join_next().await {
        seen.push(ended.expect("a follower ends"));
    }

    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (acknowledged, unknown) = (count(&counts.done), count(&counts.unknown));
    println!(
        "{} events; {acknowledged} commands acknowledged, {} refused, {} refused after a try without an answer; {unknown} tries without an answer; {done:?}",
        log.len(),
        count(&counts.refused),
        count(&counts.refused_later),
    );
    let faults = faults(&log, &sent, &seen);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
    assert!(acknowledged > 200, "{acknowledged} commands are no load");
    assert!(unknown > 10, "{unknown} lost answers are no torment");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_could_not_append_is_ready_again_without_a_request_that_appends() {
    if !require() {
        return;
    }
    let database = TestDatabase::create().await;
    let scene = found(&database.url).await;
    let node = Node::start(&database);
    let http = client();
    let publish = async || {
        let request =
            http.post(format!("{}/api/v1/posts", node.url.get())).header("authorization", &scene.members[0].1);
        try_answer(request.json(&json!({ "title": "News" }))).await.expect("it answers").status
    };
    assert_eq!(publish().await, StatusCode::CREATED);
    // It may still vouch for a moment, so what fails is the append.
    node.cuts.refuse();
    node.cuts.cut();
    let deadline = Instant::now() + PATIENCE;
    while publish().await != StatusCode::SERVICE_UNAVAILABLE {
        assert!(Instant::now() < deadline, "it cannot append");
    }
    assert!(!is_ready(&http, &node.url).await);
    node.cuts.pass();
    until_ready(&http, &node.url).await;
    assert_eq!(publish().await, StatusCode::CREATED);
}
