//! The real program under a clock that is wrong, as `libfaketime` has it read one; its uptime runs on as it does. Whose
//! clock, since when, and by how much: in each cell nothing is destroyed, nothing that expired lives again, and
//! once the clock is right everything is as before.

use std::{path::PathBuf, process::Command, time::Duration};

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    browser_double::Answer,
    databases::Database,
    postgres_server::{Server, connect, run, start_under},
    prerequisites::{require, times},
    running_site::{PASSWORD, RunningSite, Visitor, answer, http, with_token},
};

/// How long a line of the log is waited for, also on a machine that builds at the same time.
const SOON: Duration = Duration::from_secs(40);
/// A round of housekeeping comes within this time.
const A_ROUND: Duration = Duration::from_secs(63);
/// By so many days a clock is wrong.
const STEPS: [i64; 5] = [1_095, -1_095, 3, 8, 31];

/// Whose clock is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// That of a site on `SQLite`.
    Site,
    /// That of a node, beside a database whose clock is right.
    Node,
    /// That of the database, beside a node whose clock is right.
    Server,
}

/// Since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    AtAStart,
    WhileItRuns,
}

/// The clock that can be wrong.
struct Clock {
    directory: tempfile::TempDir,
}

impl Clock {
    /// One that is some days off from the beginning.
    fn given(days: i64) -> Self {
        sweep();
        let directory = tempfile::tempdir().expect("a directory");
        // The server of a database reads it as another account.
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(directory.path(), everybody).expect("it is ours");
        let clock = Self { directory };
        clock.set(days);
        clock
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("clock")
    }

    fn set(&self, days: i64) {
        // In one step: a file that is just being written says nothing.
        let new = self.directory.path().join("new");
        std::fs::write(&new, format!("{days:+}d\n")).expect("it is written");
        std::fs::rename(new, self.file()).expect("it is in its place");
    }

    fn variables(&self) -> Vec<(String, String)> {
        let found = Command::new("faketime").args(["-m", "-f", "+0d", "printenv", "LD_PRELOAD"]).output();
        let library = String::from_utf8(found.expect("faketime runs").stdout).expect("a path");
        [
            ("LD_PRELOAD", library.trim().to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// What a program is run under, so that its clock is this one.
    fn under(&self) -> Vec<String> {
        let variables = self.variables().into_iter().map(|(name, value)| format!("{name}={value}"));
        std::iter::once("env".to_owned()).chain(variables).collect()
    }
}

/// Removes what processes that were killed have left under their numbers: another account's process of the same number
/// could not begin.
fn sweep() {
    for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix("sem.faketime_sem_").or_else(|| name.strip_prefix("faketime_shm_"));
        if number.is_some_and(|number| !std::path::Path::new("/proc").join(number).exists()) {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

/// A site with what must outlive a wrong clock.
struct Scene {
    site: RunningSite,
    whose: Whose,
    clock: Clock,
    /// Lasts a year.
    token: String,
    /// Has expired.
    expired: String,
    first: Answer,
    /// Signed in since the beginning.
    ada: Visitor,
    _server: Option<Server>,
}

impl Scene {
    /// Two days go by before anything is wrong, so that something has expired.
    async fn given(whose: Whose) -> Option<Self> {
        if !require("faketime") || whose != Whose::Site && !crate::postgres_server::require() {
            return None;
        }
        let clock = Clock::given(-2);
        let (mut site, server) = match whose {
            Whose::Site => {
                let under = clock.under();
                let under: Vec<_> = under.iter().map(String::as_str).collect();
                (RunningSite::start_in(Database::Sqlite, &[], &under), None)
            }
            Whose::Node | Whose::Server => {
                let variables = if whose == Whose::Server { clock.variables() } else { vec![] };
                let server = start_under(&[], &variables).expect("a server is installed");
                run(&mut connect(&server.url).await, "create database site").await;
                let (at, _) = server.url.rsplit_once('/').expect("a URL with a database");
                let url = format!("{at}/site");
                let under = if whose == Whose::Node { clock.under() } else { vec![] };
                let under: Vec<_> = under.iter().map(String::as_str).collect();
                (RunningSite::node_under(&url, &[], &under), Some(server))
            }
        };
        site.given_member("ada", &["admin"]);
        let issue = ["token", "issue", "--user", "ada", "--scope", "read", "--expires", "1d"];
        let expired = site.done(&issue);
        site.stop();
        clock.set(0);
        site.restart();
        let (token, _) = site.given_token("ada", "read write");
        let first = post(&site, &token, "once").await;
        assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
        let mut ada = site.visitor();
        ada.log_in_with("ada", PASSWORD).await;
        let scene = Self { site, whose, clock, token, expired, first, ada, _server: server };
        scene.has_looked_after_itself().await;
        Some(scene)
    }

    /// One day or more later, as the clock has it that counts.
    fn expires(&self) -> bool {
        self.whose != Whose::Node
    }

    async fn check(&self, token: &str) -> Answer {
        with_token(&http(), &format!("{}/api/v1/token", self.site.url()), token).await
    }

    async fn metric(&self, name: &str) -> f64 {
        let metrics = answer(http().get(format!("{}/metrics", self.site.url()))).await.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse().expect("a number")
    }

    /// Waits until the first round of housekeeping since the start is over.
    async fn has_looked_after_itself(&self) {
        self.until("a round of housekeeping", async || {
            self.metric("countersign_housekeeping_rounds_total").await >= 1.0
        })
        .await;
    }

    async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let waited = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let told = || panic!("{what}, {:?}: {}", self.whose, self.site.said().1);
        tokio::time::timeout(SOON, waited).await.unwrap_or_else(|_| told());
    }

    /// While a clock is wrong nothing lives again, and nothing good is called unknown, revoked or, by less than its time,
    /// expired.
    async fn holds(&self, days: i64) {
        let revived = self.check(&self.expired).await;
        assert!(!self.expires() || revived.status != StatusCode::OK, "{days} days, {:?}: {}", self.whose, revived.body);
        let checked = self.check(&self.token).await;
        let code = checked.json()["code"].as_str().unwrap_or("good").to_owned();
        let is_over = days > 365 && code == "token_expired";
        let is_right = match self.whose {
            Whose::Node => code == "good",
            Whose::Site | Whose::Server => code == "good" || code == "clock_in_doubt" || is_over,
        };
        assert!(is_right, "{days} days, {:?}: {} {}", self.whose, checked.status, checked.body);
    }

    /// A clock that was wrong is right again, and everything as before.
    async fn is_as_before(&self, when: &str) {
        let told = format!("{when}, {:?}", self.whose);
        self.until(&format!("{told}: no doubt"), async || {
            let shown: Value =
                serde_json::from_str(&self.site.done(&["clock", "show", "--format", "json"])).expect("JSON");
            let is_good = self.check(&self.token).await.status == StatusCode::OK;
            shown["in_doubt"] == false && is_good && self.metric("countersign_clock_ahead_seconds").await.abs() <= 300.0
        })
        .await;
        if self.expires() {
            let expired = self.check(&self.expired).await;
            assert_eq!(expired.json()["code"], "token_expired", "{told}: {}", expired.body);
        }
        let again = post(&self.site, &self.token, "once").await;
        assert_eq!(again.json()["id"], self.first.json()["id"], "{told}: a repeat publishes nothing: {}", again.body);
        let fresh = post(&self.site, &self.token, when).await;
        assert_eq!(fresh.status, StatusCode::CREATED, "{told}: {}", fresh.body);
        let mut ada = self.ada.at_another_port(self.site.url());
        assert_eq!(ada.get("/settings").await.status, StatusCode::OK, "{told}: the session goes on");
        let mut other = self.site.visitor();
        other.log_in_with("ada", PASSWORD).await;
        let cut_off = self.site.cli(&["projections", "cut-off", "--format", "json"]);
        assert!(cut_off.status.success(), "{told}: the cut-off lies beyond now: {cut_off:?}");
        let doctor = String::from_utf8(self.site.cli(&["doctor", "--format", "json"]).stdout).expect("text");
        let findings: Vec<Value> = serde_json::from_str(&doctor).expect("JSON");
        // What was recorded under a clock that was ahead is told, and lasts: the log is not rewritten.
        let is_told = |one: &Value| {
            let found = one["found"].as_str().unwrap_or_default();
            one["severity"] == "problem"
                && one["about"] == "clock"
                && !found.contains("behind the last event in the log")
        };
        assert!(!findings.iter().any(is_told), "{told}: {findings:#?}");
    }

    async fn cell(&mut self, when: When, days: i64) {
        let told = format!("{when:?} by {days} days");
        match when {
            When::AtAStart => {
                self.site.stop();
                self.clock.set(days);
                self.site.restart();
                self.has_looked_after_itself().await;
                self.holds(days).await;
                self.site.stop();
                self.clock.set(0);
                self.site.restart();
                self.has_looked_after_itself().await;
            }
            When::WhileItRuns => {
                self.clock.set(days);
                let name = match self.whose {
                    Whose::Node => "countersign_clock_node_ahead_seconds",
                    Whose::Site | Whose::Server => "countersign_clock_ahead_seconds",
                };
                self.until(&format!("{told}: it notices"), async || {
                    // What a node knows of the time comes with its proofs, which requests ask for.
                    self.check(&self.token).await;
                    self.metric(name).await.abs() > 300.0
                })
                .await;
                self.holds(days).await;
                if times(1) > 1 {
                    tokio::time::sleep(A_ROUND).await;
                    self.holds(days).await;
                }
                self.clock.set(0);
            }
        }
        self.is_as_before(&told).await;
    }

    async fn row(whose: Whose, when: When) {
        let Some(mut scene) = Self::given(whose).await else { return };
        // The farthest always, each way; all of them when there is time.
        for days in STEPS.iter().take(if times(1) > 1 { STEPS.len() } else { 2 }) {
            scene.cell(when, *days).await;
        }
    }
}

async fn post(site: &RunningSite, token: &str, key: &str) -> Answer {
    let request = http().post(format!("{}/api/v1/posts", site.url())).header("authorization", token);
    let request = request.header("idempotency-key", key.replace(' ', "-")).json(&json!({ "title": key, "body": "b" }));
    answer(request).await
}

#[tokio::test]
async fn sqlite_clock_that_is_wrong_at_a_start_ends_nothing() {
    Scene::row(Whose::Site, When::AtAStart).await;
}

#[tokio::test]
async fn sqlite_clock_that_jumps_while_the_site_runs_ends_nothing() {
    Scene::row(Whose::Site, When::WhileItRuns).await;
}

#[tokio::test]
async fn postgres_node_whose_clock_is_wrong_goes_by_the_database() {
    Scene::row(Whose::Node, When::AtAStart).await;
    Scene::row(Whose::Node, When::WhileItRuns).await;
}

#[tokio::test]
async fn postgres_server_whose_clock_is_wrong_at_a_start_ends_nothing() {
    Scene::row(Whose::Server, When::AtAStart).await;
}

#[tokio::test]
async fn postgres_server_whose_clock_jumps_while_nodes_run_ends_nothing() {
    Scene::row(Whose::Server, When::WhileItRuns).await;
}

#[tokio::test]
async fn sqlite_site_that_was_off_for_sixty_days_works_at_once() {
    works_after_sixty_days(Whose::Site).await;
}

#[tokio::test]
async fn postgres_site_that_was_off_for_sixty_days_works_at_once() {
    works_after_sixty_days(Whose::Server).await;
}

async fn works_after_sixty_days(whose: Whose) {
    let Some(mut scene) = Scene::given(whose).await else { return };
    scene.site.stop();
    scene.clock.set(60);
    scene.site.restart();
    let checked = scene.check(&scene.token).await;
    assert_eq!(checked.status, StatusCode::OK, "{whose:?}: {}", checked.body);
    let expired = scene.check(&scene.expired).await;
    assert_eq!(expired.json()["code"], "token_expired", "{whose:?}: {}", expired.body);
    let posted = post(&scene.site, &scene.token, "sixty days later").await;
    assert_eq!(posted.status, StatusCode::CREATED, "{whose:?}: {}", posted.body);
    let mut ada = scene.site.visitor();
    ada.log_in_with("ada", PASSWORD).await;
    assert_eq!(
        http().request(Method::GET, format!("{}/readyz", scene.site.url())).send().await.expect("it runs").status(),
        200
    );
    scene.site.stop();
    scene.site.restart();
    assert_eq!(scene.check(&scene.token).await.status, StatusCode::OK, "{whose:?}: and after another start");
}
