//! The real program, killed in the middle of its work: what was acknowledged is there, the log has no gap, and no half
//! row of the vault lets anybody in. And what that rests on: synced commits, counted by `strace`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::StatusCode;
use countersign::store::sqlite::{SqliteStore, vault::SqliteVault};
use proptest::{
    prelude::Rng as _,
    test_runner::{RngAlgorithm, TestRng},
};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::task::JoinSet;

use crate::{
    prerequisites::require,
    running_site::{PASSWORD, RunningSite, answer, http, try_answer},
};

const ROUNDS: u64 = 20;
const POSTERS: usize = 60;
const JOINERS: usize = 4;
const SETTINGS: [(&str, &str); 4] = [
    ("LIMITS_API_PER_MINUTE", "1000000"),
    ("LIMITS_SIGNUP_PER_HOUR", "1000000"),
    ("LIMITS_LOGIN_PER_MINUTE", "100000"),
    ("LOG", "warn"),
];

/// What was answered with success, and what was asked for at all.
#[derive(Default)]
struct Acknowledged {
    /// Ids of posts with their titles.
    posts: Vec<(String, String)>,
    members: Vec<String>,
    tried_members: Vec<String>,
    /// The last position any answer named.
    position: u64,
    cursor: String,
}

impl Acknowledged {
    fn at(&mut self, cursor: &str) {
        let position = cursor.split('.').nth(1).and_then(|text| text.parse().ok()).unwrap_or_default();
        if position >= self.position {
            (self.position, self.cursor) = (position, cursor.to_owned());
        }
    }
}

/// Publishes one post after another until the site is gone.
async fn publish(url: String, token: String, names: Arc<AtomicU64>, acknowledged: Arc<Mutex<Acknowledged>>) {
    let http = http();
    loop {
        let title = format!("Post {}", names.fetch_add(1, Ordering::Relaxed));
        let request = http.post(format!("{url}/api/v1/posts")).header("authorization", &token);
        let Ok(answer) = try_answer(request.json(&json!({ "title": title, "body": "b" }))).await else { return };
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let id = answer.json()["id"].as_str().expect("an id").to_owned();
        let mut all = acknowledged.lock().expect("no writer panicked");
        all.at(answer.header("countersign-position"));
        all.posts.push((id, title));
    }
}

/// Signs up one member after another until the site is gone.
async fn join(url: String, names: Arc<AtomicU64>, acknowledged: Arc<Mutex<Acknowledged>>) {
    let http = http();
    let Ok(page) = try_answer(http.get(format!("{url}/signup"))).await else { return };
    let cookie = page.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let csrf = page.hidden("csrf_token");
    loop {
        let name = format!("member-{}", names.fetch_add(1, Ordering::Relaxed));
        acknowledged.lock().expect("no writer panicked").tried_members.push(name.clone());
        let fields =
            [("csrf_token", &*csrf), ("username", &*name), ("password", PASSWORD), ("password_repeat", PASSWORD)];
        let request = http.post(format!("{url}/signup")).header("cookie", &cookie).form(&fields);
        let Ok(answer) = try_answer(request).await else { return };
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        acknowledged.lock().expect("no writer panicked").members.push(name);
    }
}

async fn open(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(10));
    options.connect().await.expect("the database opens")
}

/// Positions are 1, 2, 3 … to the head, versions of each stream likewise. Returns the payloads of sign-ups.
async fn assert_gapless(data_dir: &Path) -> Vec<Value> {
    let mut log = open(&data_dir.join("log.db")).await;
    let read = "select position, stream, version, type, payload from events order by position";
    let rows = sqlx::query(read).fetch_all(&mut log).await.expect("the log");
    let mut versions: BTreeMap<String, i64> = BTreeMap::new();
    let mut sign_ups = vec![];
    for (row, expected) in rows.iter().zip(1_i64..) {
        assert_eq!(row.get::<i64, _>(0), expected, "positions have no gap");
        let version = versions.entry(row.get(1)).or_default();
        *version += 1;
        assert_eq!(row.get::<i64, _>(2), *version, "versions of {} are consecutive", row.get::<String, _>(1));
        if row.get::<String, _>(3) == "UserRegistered" {
            sign_ups.push(serde_json::from_str(&row.get::<String, _>(4)).expect("JSON"));
        }
    }
    let head: i64 = sqlx::query_scalar("select position from head").fetch_one(&mut log).await.expect("the head");
    assert_eq!(usize::try_from(head), Ok(rows.len()), "the head is the last position");
    sign_ups
}

/// The ids in a column of the vault.
async fn ids(vault: &mut SqliteConnection, statement: &'static str) -> BTreeSet<String> {
    let rows = sqlx::query_scalar::<_, Vec<u8>>(statement).fetch_all(vault).await.expect("the vault");
    rows.iter().map(|id| uuid::Uuid::from_slice(id).expect("an id").to_string()).collect()
}

/// The rows that the log names, and those that the vault has: verifiers and data keys of members.
async fn verifiers_and_keys(data_dir: &Path, sign_ups: &[Value]) -> [(BTreeSet<String>, BTreeSet<String>); 2] {
    let named = |field: &str| {
        let name = |payload: &Value| payload[field].as_str().unwrap_or_else(|| panic!("{field}: {payload}")).to_owned();
        sign_ups.iter().map(name).collect::<BTreeSet<_>>()
    };
    let mut vault = open(&data_dir.join("vault.db")).await;
    let verifiers = ids(&mut vault, "select id from verifiers").await;
    // The row of a destroyed key stays, overwritten.
    let keys = "select id from data_keys where subject <> 'site' and wrapped <> zeroblob(length(wrapped))";
    let keys = ids(&mut vault, keys).await;
    [(named("verifier"), verifiers), (named("data_key"), keys)]
}

async fn assert_everything_is_there(site: &RunningSite, acknowledged: &Acknowledged, token: &str) {
    let http = http();
    for (id, title) in &acknowledged.posts {
        let request = http.get(format!("{}/api/v1/posts/{id}", site.url())).header("authorization", token);
        let post = answer(request.header("countersign-position", &acknowledged.cursor)).await;
        assert_eq!(post.status, StatusCode::OK, "{title}: {}", post.body);
        assert_eq!(post.json()["post"]["title"], **title);
    }
    for name in &acknowledged.members {
        site.visitor().log_in(name).await;
    }
}

/// Who was not acknowledged is a whole member or none: they can log in, or they are not known.
async fn assert_no_half_members(site: &RunningSite, acknowledged: &Acknowledged) {
    let listed = site.done(&["account", "list", "--format", "json"]);
    for name in acknowledged.tried_members.iter().filter(|name| !acknowledged.members.contains(name)) {
        let mut visitor = site.visitor();
        let fields = [("username", name.as_str()), ("password", PASSWORD)];
        let entered = visitor.submit("/login", "/login", &fields).await.status == StatusCode::SEE_OTHER;
        assert_eq!(entered, listed.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_under_64_writers_loses_nothing_that_was_acknowledged() {
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[6; 32]);
    let mut site = RunningSite::start_with(&SETTINGS, &[]);
    site.given_member("ada", &["admin"]);
    let token = site.given_token("ada", "read write").0;
    let names = Arc::new(AtomicU64::new(0));
    let mut written = 0;
    for round in 0..ROUNDS {
        let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
        let mut writers = JoinSet::new();
        for _ in 0..POSTERS {
            writers.spawn(publish(site.url().to_owned(), token.clone(), names.clone(), acknowledged.clone()));
        }
        for _ in 0..JOINERS {
            writers.spawn(join(site.url().to_owned(), names.clone(), acknowledged.clone()));
        }
        tokio::time::sleep(Duration::from_millis(150 + u64::from(random.next_u32() % 350))).await;
        site.kill9();
        while let Some(ended) = writers.join_next().await {
            ended.expect("a writer ends when the site is gone");
        }
        let is_last = round + 1 == ROUNDS;
        if is_last {
            // As if the site came back a quarter of an hour later.
            age_the_vault(&site.data_dir()).await;
        }
        site.restart();
        let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("no writer panicked"));
        written += acknowledged.posts.len();
        assert_everything_is_there(&site, &acknowledged, &token).await;
        assert_no_half_members(&site, &acknowledged).await;
        let sign_ups = assert_gapless(&site.data_dir()).await;
        for (named, there) in verifiers_and_keys(&site.data_dir(), &sign_ups).await {
            assert!(named.is_subset(&there), "the log names rows that the vault lacks");
            assert!(!is_last || named == there, "rows that no event names outlive the sweeper");
        }
    }
    println!("{written} posts acknowledged in {ROUNDS} rounds");
    assert!(written > 200, "{written} posts are no load");
}

/// Ages every row, and plants one of a sign-up that never came to its event.
async fn age_the_vault(data_dir: &Path) {
    let mut vault = open(&data_dir.join("vault.db")).await;
    let orphan = [7_u8; 16].as_slice();
    let plant = "insert into verifiers (id, user_id, verifier, created_at) select $1, $1, verifier, created_at from verifiers limit 1";
    sqlx::query(plant).bind(orphan).execute(&mut vault).await.expect("planted");
    for age in [
        "update verifiers set created_at = created_at - 900000000",
        "update data_keys set created_at = created_at - 900000000",
    ] {
        sqlx::query(age).execute(&mut vault).await.expect("aged");
    }
}

/// How often the traced program has synced a file whose path ends so.
fn syncs(trace: &Path, files: &[&str]) -> usize {
    let trace = std::fs::read_to_string(trace).expect("the trace");
    let of_them = |line: &&str| files.iter().any(|file| line.contains(&format!("/{file}>")));
    trace.lines().filter(|line| line.contains("sync(")).filter(of_them).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_acknowledged_command_was_synced_in_the_log_and_a_sign_up_in_the_vault_as_well() {
    if !require("strace") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let trace = directory.path().join("trace");
    let to = trace.display().to_string();
    // `-D` makes strace the child and the program the one we started: killing that ends both.
    let under = ["strace", "-D", "-f", "-y", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", &to];
    let site = RunningSite::start_with(&SETTINGS, &under);
    site.given_member("ada", &["admin"]);
    let token = site.given_token("ada", "write").0;
    let log = || syncs(&trace, &["log.db", "log.db-wal"]);
    let vault = || syncs(&trace, &["vault.db", "vault.db-wal"]);

    let before = log();
    for number in 0..20 {
        let request = http().post(format!("{}/api/v1/posts", site.url())).header("authorization", &token);
        let posted = answer(request.json(&json!({ "title": format!("Post {number}") }))).await;
        assert_eq!(posted.status, StatusCode::CREATED, "{}", posted.body);
    }
    let synced = log() - before;
    assert!(synced >= 20, "{synced} syncs of the log for 20 commands");

    let (log_before, vault_before) = (log(), vault());
    for number in 0..3 {
        let name = format!("member-{number}");
        let fields = [("username", name.as_str()), ("password", PASSWORD), ("password_repeat", PASSWORD)];
        site.visitor().submitted("/signup", "/signup", &fields).await;
    }
    // A sign-up keeps a data key, a verifier and a session.
    let (in_log, in_vault) = (log() - log_before, vault() - vault_before);
    assert!(in_log >= 3 && in_vault >= 9, "3 sign-ups: {in_log} syncs of the log, {in_vault} of the vault");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stores_of_a_killed_site_are_written_with_full_sync_and_a_write_ahead_log() {
    let mut site = RunningSite::start();
    site.given_member("ada", &["admin"]);
    site.kill9();
    let store = SqliteStore::open(&site.data_dir()).await.expect("the log opens");
    let mut writer = store.writer().expect("its writer");
    assert_eq!(writer.pragmas().await.expect("it answers"), (2, "wal".to_owned()));
    let vault = SqliteVault::open(&site.data_dir()).await.expect("the vault opens");
    assert_eq!(vault.pragmas().await.expect("it answers"), (2, "wal".to_owned(), 1));
}
