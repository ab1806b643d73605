//! Read models of the real program in operators' hands: the commands beside a running site and without one, and a
//! rebuild under load that is killed again and again.

use std::{
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::StatusCode;
use countersign_projections::{INLINE, TRAILING};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    databases::Tool,
    prerequisites::times,
    projections::{LOCK_HEAD, SOME_ID},
    running_site::{RunningSite, answer, http, text_of, try_answer, with_token},
};

/// Events of the log that is rebuilt under load.
const EVENTS: u64 = 25_000;
const WRITERS: usize = 16;
const READERS: usize = 4;
const KILLS: u32 = 2;
const SETTINGS: [(&str, &str); 2] = [("LIMITS_API_PER_MINUTE", "1000000"), ("LOG", "warn")];

/// Somebody else's connection to the generation of a read model that came last.
async fn newest(site: &RunningSite, name: &str) -> Tool {
    let generations = site.home.generations(name).await;
    site.home.model(name, *generations.last().expect("a generation")).await
}

fn text(output: &Output) -> (i32, String, String) {
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), words(&output.stdout), words(&output.stderr))
}

fn statuses(site: &RunningSite) -> Vec<Value> {
    let printed = site.done(&["projections", "status", "--format", "json"]);
    serde_json::from_str(&printed).expect("JSON")
}

/// Waits until every read model is at the end of the log.
async fn settle(site: &RunningSite) {
    for _ in 0..600 {
        if statuses(site).iter().all(|one| one["lag_events"] == 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the read models follow: {:?}", statuses(site));
}

#[tokio::test]
async fn operators_look_after_read_models_beside_a_running_site_and_without_one() {
    let mut site = RunningSite::start_with(&SETTINGS, &[]);
    site.given_member("ada", &["operator"]);
    site.given_member("ben", &[]);
    let (token, _) = site.given_token("ben", "read write");
    let request = http().post(format!("{}/api/v1/posts", site.url())).header("authorization", &token);
    let posted = answer(request.json(&json!({ "title": "A title", "body": "b" }))).await;
    assert_eq!(posted.status, StatusCode::CREATED, "{}", posted.body);
    settle(&site).await;
    let names: Vec<_> = statuses(&site).iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect();
    let all: Vec<_> = INLINE.iter().chain(TRAILING).map(|projection| projection.name).collect();
    assert_eq!(names, all);
    assert!(statuses(&site).iter().all(|one| one["state"] == "live" && one["parked_streams"] == 0));

    let sound = text(&site.cli(&["projections", "check"]));
    assert_eq!(sound.0, 0, "{sound:?}");
    assert!(sound.1.contains("front_page is as the log has it: 1 rows"), "{sound:?}");
    newest(&site, "front_page").await.run("update posts set upvotes = 9, title = 'Other'").await;
    let altered = text(&site.cli(&["projections", "check", "front_page", "--format", "csv"]));
    assert_eq!(altered.0, 3, "{altered:?}");
    assert!(altered.1.contains(",upvotes,9,0\n"), "{altered:?}");
    assert!(altered.1.contains(",title,a personal text,a personal text\n"), "{altered:?}");
    assert!(!altered.1.contains("Other") && !altered.1.contains("A title"), "{altered:?}");
    let rebuilt = site.done(&["projections", "rebuild", "front_page"]);
    assert!(rebuilt.contains("front_page is built anew") && rebuilt.contains("generation 2"), "{rebuilt}");
    assert_eq!(text(&site.cli(&["projections", "check", "front_page"])).0, 0);
    let rebuilt = site.done(&["events", "list", "--type", "ProjectionRebuilt"]);
    assert!(rebuilt.contains("(command line) rebuilt the read model front_page as generation 2"), "{rebuilt}");

    site.home.log().await.run("update tokens set ended_at = 1").await;
    assert_eq!(text(&site.cli(&["projections", "check", "tokens"])).0, 3);
    let refused = text(&site.cli(&["projections", "rebuild", "tokens"]));
    assert_eq!(refused.0, 1, "{refused:?}");
    let first = site.home.log().await.either("stop the site", "which other nodes write: stop them first");
    assert!(refused.2.contains(first), "{refused:?}");
    let unknown = text(&site.cli(&["projections", "check", "inbix"]));
    assert_eq!(unknown.0, 2, "{unknown:?}");
    assert!(unknown.2.contains("did you mean inbox?"), "{unknown:?}");
    let nothing = text(&site.cli(&["projections", "parked", "retry", "inbox-7"]));
    assert!(nothing.0 == 1 && nothing.2.contains("parked list"), "{nothing:?}");
    assert_eq!(site.done(&["projections", "parked", "list", "--format", "json"]), "[]");

    site.kill9();
    assert_eq!(text(&site.cli(&["projections", "check", "tokens"])).0, 3, "a stopped site is checked, too");
    let rebuilt = site.done(&["projections", "rebuild", "tokens", "inbox"]);
    assert!(rebuilt.contains("tokens is built anew") && rebuilt.contains("inbox is built anew"), "{rebuilt}");
    assert_eq!(text(&site.cli(&["projections", "check"])).0, 0);
    site.restart();
    assert_eq!(with_token(&http(), &format!("{}/api/v1/token", site.url()), &token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_state_of_read_models_is_for_operators_in_a_browser() {
    let site = RunningSite::start_with(&SETTINGS, &[]);
    site.given_member("ada", &["operator"]);
    site.given_member("ann", &["admin"]);
    site.given_member("rob", &["reviewer"]);
    let (token, _) = site.given_token("ada", "read");
    let path = "/api/v1/projections";
    assert_eq!(answer(http().get(format!("{}{path}", site.url()))).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(with_token(&http(), &format!("{}{path}", site.url()), &token).await.status, StatusCode::FORBIDDEN);
    for (name, status) in [("ada", StatusCode::OK), ("ann", StatusCode::OK), ("rob", StatusCode::FORBIDDEN)] {
        let mut visitor = site.visitor();
        visitor.log_in(name).await;
        let listed = visitor.get(path).await;
        assert_eq!(listed.status, status, "{name}: {}", listed.body);
        if status == StatusCode::OK {
            let inbox = listed.json()["data"][INLINE.len()].clone();
            assert_eq!((&inbox["name"], &inbox["kind"]), (&json!("inbox"), &json!("trailing")));
        }
    }
    assert_eq!(answer(http().get(format!("{}/readyz", site.url()))).await.body, "ready\n");
}

/// Many votes and comments at once, as rows of the log: comments on the newest post and votes of members who never
/// were. Texts of copied comments open for nobody.
pub async fn grow(site: &RunningSite, events: u64) {
    let mut log = site.home.log().await;
    let (begin, event_id) = (log.either("begin immediate", LOCK_HEAD), log.either("randomblob(16)", SOME_ID));
    let drawn = log.either("lower(hex(randomblob(16)))", "md5(random()::text)");
    let (post, comment, at) = log.either(
        ("payload ->> '$.post_id'", "payload ->> '$.comment_id'", "payload ->> '$.at'"),
        ("payload::json ->> 'post_id'", "payload::json ->> 'comment_id'", "payload::json ->> 'at'"),
    );
    let statement = format!(
        "{begin};\n\
         create temporary table sample as select stream, actor, payload, \
             (select max(version) from events as other where other.stream = events.stream) as version, \
             {post} as post_id, {comment} as comment_id, {at} as happened \
             from events where type = 'CommentPosted' order by position desc limit 1;\n\
         create temporary table drawn as with recursive n(i) as (select 1 union all select i + 1 from n where i < {events})\n\
             select i, {drawn} as digits from n;\n\
         create temporary table made as select i, substr(digits, 1, 8) || '-' || substr(digits, 9, 4) || '-7' \
             || substr(digits, 14, 3) || '-8' || substr(digits, 18, 3) || '-' || substr(digits, 21) as one from drawn;\n\
         insert into events (position, event_id, stream, version, type, type_version, recorded_at, actor, payload)\n\
         select head.position + i, {event_id},\n\
             case i % 4 when 0 then sample.stream else 'vote-' || post_id || '-' || one end,\n\
             case i % 4 when 0 then sample.version + i / 4 else 1 end,\n\
             case i % 4 when 0 then 'CommentPosted' else 'VoteCast' end, 1, head.recorded_at + i, actor,\n\
             case i % 4 when 0 then replace(payload, comment_id, one)\n\
             else '{{\"post_id\":\"' || post_id || '\",\"user_id\":\"' || one || '\",\"direction\":\"up\",\"previous\":\"none\",\"at\":\"' \
                 || happened || '\"}}' end\n\
         from made, sample, head order by i;\n\
         update head set position = position + {events}, recorded_at = recorded_at + {events};\n\
         commit"
    );
    log.run(&statement).await;
}

/// Votes and publishes until told to stop; what is not answered because the site was killed is no fault.
async fn write(url: String, token: String, post: String, number: usize, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let http = http();
    let mut up = number.is_multiple_of(2);
    while !stop.load(Ordering::Relaxed) {
        up = !up;
        let request = if number.is_multiple_of(4) {
            http.post(format!("{url}/api/v1/posts")).json(&json!({ "title": "T", "body": "b" }))
        } else {
            let direction = if up { "up" } else { "down" };
            http.post(format!("{url}/api/v1/posts/{post}/votes")).json(&json!({ "direction": direction }))
        };
        let Ok(answer) = try_answer(request.header("authorization", &token)).await else { return };
        assert!(answer.status.is_success(), "{} {}", answer.status, answer.body);
        done.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads what trailing read models show until told to stop. Every answer is a good one.
async fn read(url: String, token: String, post: String, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let http = http();
    let paths = [format!("{url}/?sort=new"), format!("{url}/unread"), format!("{url}/api/v1/posts/{post}")];
    // The post that everybody comments on is long.
    for path in paths[..2].iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok(answer) = try_answer(http.get(path).header("authorization", &token)).await else { return };
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        done.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

struct Load {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    seen: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Load {
    fn start(site: &RunningSite, tokens: &[String], post: &str) -> Self {
        let mut load =
            Self { stop: Arc::default(), written: Arc::default(), seen: Arc::default(), tasks: JoinSet::new() };
        let url = site.url().to_owned();
        for number in 0..WRITERS {
            let token = tokens[number % tokens.len()].clone();
            let (stop, done) = (load.stop.clone(), load.written.clone());
            load.tasks.spawn(write(url.clone(), token, post.to_owned(), number, stop, done));
        }
        for number in 0..READERS {
            let token = tokens[number % tokens.len()].clone();
            load.tasks.spawn(read(url.clone(), token, post.to_owned(), load.stop.clone(), load.seen.clone()));
        }
        load
    }

    /// Ends it; a failed assertion of any of them fails the test here.
    async fn end(mut self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no reader and no writer met an error");
        }
        (self.written.load(Ordering::Relaxed), self.seen.load(Ordering::Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_under_load_that_is_killed_again_and_again_loses_nothing() {
    let events = times(EVENTS);
    let mut site = RunningSite::start_with(&SETTINGS, &[]);
    let mut tokens = vec![];
    for name in ["ada", "ben", "cleo", "dora"] {
        site.given_member(name, &[]);
        tokens.push(site.given_token(name, "read write vote notifications").0);
    }
    let send = |path: &str, token: &str, body: Value| {
        answer(http().post(format!("{}{path}", site.url())).header("authorization", token).json(&body))
    };
    let posted = send("/api/v1/posts", &tokens[0], json!({ "title": "All", "body": "b" })).await;
    let post = posted.json()["id"].as_str().expect("an id").to_owned();
    let commented = send(&format!("/api/v1/posts/{post}/comments"), &tokens[1], json!({ "body": "b" })).await;
    assert_eq!(commented.status, StatusCode::CREATED, "{}", commented.body);
    site.kill9();
    grow(&site, events).await;
    site.restart();
    settle(&site).await;
    let mut entropy = blake3::Hasher::new().update(b"kills").finalize_xof();
    for round in 0..times(KILLS) {
        let load = Load::start(&site, &tokens, &post);
        let mut rebuild = site.cli_that_goes_on(&["projections", "rebuild"]);
        let mut random = [0; 2];
        entropy.fill(&mut random);
        tokio::time::sleep(Duration::from_millis(100 + u64::from(u16::from_le_bytes(random)) % times(500))).await;
        site.kill9();
        if site.home.database.is_some() {
            // The command is a node itself: nobody else's end is its own.
            rebuild.kill().expect("SIGKILL can be sent");
        }
        rebuild.wait().expect("it ends");
        load.end().await;
        site.restart();
        if site.home.database.is_none() {
            let left = std::fs::read_dir(site.data_dir().join("models")).expect("a directory").count();
            assert!(left <= 3 * TRAILING.len(), "round {round}: what was half made is gone: {left} files");
        }
    }
    settle(&site).await;
    let load = Load::start(&site, &tokens, &post);
    let done = site.done(&["projections", "rebuild"]);
    assert!(done.contains("inbox is built anew") && done.contains("front_page is built anew"), "{done}");
    let (written, seen) = load.end().await;
    assert!(written > 0 && seen > 0, "{written} writes and {seen} reads went on meanwhile");
    settle(&site).await;
    let checked = site.cli(&["projections", "check"]);
    assert!(text_of(&checked).contains("front_page is as the log has it"), "{:?}", text(&checked));
    let mut model = newest(&site, "front_page").await;
    let comments = model.numbers("select count(*) from comments").await[0];
    assert_eq!(u64::try_from(comments), Ok(events / 4 + 1));
    let counted = model.numbers("select max(comment_count) from posts").await[0];
    assert_eq!(counted, comments, "none was applied twice");
    println!("{events} events; while the last rebuild ran: {written} writes, {seen} reads");
}
