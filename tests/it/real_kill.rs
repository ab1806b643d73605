//! The real program, killed in the middle of its work: what was acknowledged is there, the log has no gap, and no half
//! row of the vault lets anybody in. And what that rests on where nobody else writes: synced commits, counted by `strace`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use countersign::store::sqlite::{SqliteStore, vault::SqliteVault};
use proptest::{
    prelude::Rng as _,
    test_runner::{RngAlgorithm, TestRng},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    databases::{Database, Tool},
    fleet::PATIENCE,
    prerequisites::{require, times},
    running_site::{PASSWORD, RunningSite, answer, http, try_answer},
};

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

/// Positions are 1, 2, 3 … to the head, versions of each stream likewise. Returns the payloads of sign-ups.
async fn assert_gapless(site: &RunningSite) -> Vec<Value> {
    let mut log = site.home.log().await;
    let rows = log.texts("select position || ' ' || version || ' ' || stream from events order by position").await;
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    for (row, expected) in rows.iter().zip(1_u64..) {
        let fields: Vec<_> = row.splitn(3, ' ').collect();
        let [position, version, stream] = fields.as_slice() else { panic!("{row}") };
        assert_eq!(*position, expected.to_string(), "positions have no gap");
        let known = versions.entry((*stream).to_owned()).or_default();
        *known += 1;
        assert_eq!(*version, known.to_string(), "versions of {stream} are consecutive");
    }
    let head = log.numbers("select position from head").await;
    assert_eq!(usize::try_from(head[0]), Ok(rows.len()), "the head is the last position");
    let sign_ups = log.texts("select payload from events where type = 'UserRegistered' order by position").await;
    sign_ups.iter().map(|payload| serde_json::from_str(payload).expect("JSON")).collect()
}

/// The ids that a statement asks the vault for, in hexadecimal digits.
async fn ids(vault: &mut Tool, statement: &str) -> BTreeSet<String> {
    let ids = vault.texts(statement).await;
    ids.iter().map(|id| uuid::Uuid::parse_str(id).expect("an id").to_string()).collect()
}

/// The rows that the log names, and those that the vault has: verifiers and data keys of members.
async fn verifiers_and_keys(site: &RunningSite, sign_ups: &[Value]) -> [(BTreeSet<String>, BTreeSet<String>); 2] {
    let named = |field: &str| {
        let name = |payload: &Value| payload[field].as_str().unwrap_or_else(|| panic!("{field}: {payload}")).to_owned();
        sign_ups.iter().map(name).collect::<BTreeSet<_>>()
    };
    let mut vault = site.home.vault_tables().await;
    let (id, zeroes) = vault.either(
        ("hex(id)", "zeroblob(length(wrapped))"),
        ("encode(id, 'hex')", "decode(repeat('00', length(wrapped)), 'hex')"),
    );
    let verifiers = ids(&mut vault, &format!("select {id} from verifiers")).await;
    // The row of a destroyed key stays, overwritten.
    let keys = format!("select {id} from data_keys where subject <> 'site' and wrapped <> {zeroes}");
    let keys = ids(&mut vault, &keys).await;
    [(named("verifier"), verifiers), (named("data_key"), keys)]
}

async fn assert_everything_is_there(site: &RunningSite, acknowledged: &Acknowledged, token: &str) {
    let http = http();
    // On a database the read models follow once the node has the lease; on one machine they do after a start.
    let deadline = Instant::now() + site.home.database.as_ref().map_or(Duration::ZERO, |_| PATIENCE);
    for (id, title) in &acknowledged.posts {
        let post = loop {
            let request = http.get(format!("{}/api/v1/posts/{id}", site.url())).header("authorization", token);
            let post = answer(request.header("countersign-position", &acknowledged.cursor)).await;
            if post.status == StatusCode::OK || Instant::now() >= deadline {
                break post;
            }
        };
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
    let rounds = times(2_u64);
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[6; 32]);
    let mut site = RunningSite::start_with(&SETTINGS, &[]);
    site.given_member("ada", &["admin"]);
    let token = site.given_token("ada", "read write").0;
    let names = Arc::new(AtomicU64::new(0));
    let mut written = 0;
    for round in 0..rounds {
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
        let is_last = round + 1 == rounds;
        if is_last {
            // As if the site came back a quarter of an hour later.
            age_the_vault(&site).await;
        }
        if site.home.database.is_some() {
            // That the lease of the dead ends by itself is for `real_fleet_loss`.
            site.home.log().await.run("update leases set until = 0").await;
        }
        site.restart();
        let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("no writer panicked"));
        written += acknowledged.posts.len() as u64;
        assert_everything_is_there(&site, &acknowledged, &token).await;
        assert_no_half_members(&site, &acknowledged).await;
        let sign_ups = assert_gapless(&site).await;
        for (named, there) in verifiers_and_keys(&site, &sign_ups).await {
            assert!(named.is_subset(&there), "the log names rows that the vault lacks");
        }
        if is_last {
            assert_the_rest_is_swept(&site, &sign_ups).await;
        }
    }
    println!("{written} posts acknowledged in {rounds} rounds");
    assert!(written > 10 * rounds, "{written} posts are no load");
}

/// Ages every row, and plants one of a sign-up that never came to its event.
async fn age_the_vault(site: &RunningSite) {
    let mut vault = site.home.vault_tables().await;
    let orphan = "07".repeat(16);
    let orphan = vault.either(format!("x'{orphan}'"), format!("decode('{orphan}', 'hex')"));
    let aged = format!(
        "insert into verifiers (id, user_id, verifier, created_at) \
         select {orphan}, {orphan}, verifier, created_at from verifiers limit 1;\
         update verifiers set created_at = created_at - 900000000;\
         update data_keys set created_at = created_at - 900000000"
    );
    vault.run(&aged).await;
}

/// Rows that no event names do not outlive the sweeper: it comes with the start, or where there may be others, with the
/// first round after the lease.
async fn assert_the_rest_is_swept(site: &RunningSite, sign_ups: &[Value]) {
    let deadline = Instant::now() + site.home.database.as_ref().map_or(Duration::ZERO, |_| PATIENCE);
    loop {
        let of_each = verifiers_and_keys(site, sign_ups).await;
        if of_each.iter().all(|(named, there)| named == there) {
            return;
        }
        assert!(Instant::now() < deadline, "rows that no event names outlive the sweeper: {of_each:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// How often the traced program has synced a file whose path ends so.
fn syncs(trace: &Path, files: &[&str]) -> usize {
    let trace = std::fs::read_to_string(trace).expect("the trace");
    let of_them = |line: &&str| files.iter().any(|file| line.contains(&format!("/{file}>")));
    trace.lines().filter(|line| line.contains("sync(")).filter(of_them).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_each_acknowledged_command_was_synced_in_the_log_and_a_sign_up_in_the_vault_as_well() {
    if !require("strace") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let trace = directory.path().join("trace");
    let to = trace.display().to_string();
    // `-D` makes strace the child and the program the one we started: killing that ends both.
    let under = ["strace", "-D", "-f", "-y", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", &to];
    let site = RunningSite::start_in(Database::Sqlite, &SETTINGS, &under);
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
async fn sqlite_stores_of_a_killed_site_are_written_with_full_sync_and_a_write_ahead_log() {
    let mut site = RunningSite::start_in(Database::Sqlite, &[], &[]);
    site.given_member("ada", &["admin"]);
    site.kill9();
    let store = SqliteStore::open(&site.data_dir()).await.expect("the log opens");
    let mut writer = store.writer().expect("its writer");
    assert_eq!(writer.pragmas().await.expect("it answers"), (2, "wal".to_owned()));
    let vault = SqliteVault::open(&site.data_dir()).await.expect("the vault opens");
    assert_eq!(vault.pragmas().await.expect("it answers"), (2, "wal".to_owned(), 1));
}
