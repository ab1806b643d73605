//! The real program under a wall clock that is wrong, as `libfaketime` has it read one. Its uptime runs on as it does.

use std::{path::Path, process::Command, time::Duration};

use axum::http::StatusCode;
use serde_json::json;

use crate::{
    browser_double::Answer,
    databases::Database,
    prerequisites::require,
    running_site::{PASSWORD, RunningSite, answer, http, with_token},
};

/// How long a line of the log is waited for.
const SOON: Duration = Duration::from_secs(20);

/// A site on `SQLite`, whose own clock counts, with what must outlive a wrong one.
struct Scene {
    site: RunningSite,
    token: String,
    first: Answer,
    _clock: tempfile::TempDir,
    rate: std::path::PathBuf,
}

/// What the program is run under, so that its clock is as far off as a file says.
fn under(rate: &Path) -> Vec<String> {
    let found = Command::new("faketime").args(["-m", "-f", "+0d", "printenv", "LD_PRELOAD"]).output();
    let library = String::from_utf8(found.expect("faketime runs").stdout).expect("a path");
    let variables = [
        format!("LD_PRELOAD={}", library.trim()),
        format!("FAKETIME_TIMESTAMP_FILE={}", rate.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "DONT_FAKE_MONOTONIC=1".to_owned(),
    ];
    std::iter::once("env".to_owned()).chain(variables).collect()
}

impl Scene {
    async fn given() -> Option<Self> {
        if !require("faketime") {
            return None;
        }
        let clock = tempfile::tempdir().expect("a directory");
        let rate = clock.path().join("clock");
        std::fs::write(&rate, "+0d\n").expect("it is written");
        let under = under(&rate);
        let under: Vec<_> = under.iter().map(String::as_str).collect();
        let site = RunningSite::start_in(Database::Sqlite, &[], &under);
        site.given_member("ada", &["admin"]);
        let (token, _) = site.given_token("ada", "read write");
        let first = post(&site, &token).await;
        assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
        Some(Self { site, token, first, _clock: clock, rate })
    }

    fn set_clock(&self, off: &str) {
        std::fs::write(&self.rate, format!("{off}\n")).expect("it is written");
    }

    async fn check(&self) -> Answer {
        with_token(&http(), &format!("{}/api/v1/token", self.site.url()), &self.token).await
    }

    /// Waits until the first round of housekeeping after a start under a wrong clock has begun.
    async fn has_said(&self, line: &str) {
        let said = async {
            while !self.site.said().1.contains(line) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, said).await.unwrap_or_else(|_| panic!("{line}: {:?}", self.site.said()));
    }

    /// Everything is as before the clock was wrong.
    async fn is_as_before(&self) {
        let checked = self.check().await;
        assert_eq!(checked.status, StatusCode::OK, "{}", checked.body);
        let again = post(&self.site, &self.token).await;
        assert_eq!(again.json()["id"], self.first.json()["id"], "a repeat publishes nothing: {}", again.body);
        let mut ada = self.site.visitor();
        ada.log_in_with("ada", PASSWORD).await;
    }
}

async fn post(site: &RunningSite, token: &str) -> Answer {
    let request = http().post(format!("{}/api/v1/posts", site.url())).header("authorization", token);
    let request = request.header("idempotency-key", "once").json(&json!({ "title": "Once", "body": "b" }));
    answer(request).await
}

#[tokio::test]
async fn sqlite_clock_three_years_ahead_at_a_start_ends_nothing() {
    let Some(mut scene) = Scene::given().await else { return };
    scene.site.stop();
    scene.set_clock("+1095d");
    scene.site.restart();
    scene.has_said("nothing is destroyed by what the clock says").await;
    scene.site.done(&["account", "list"]);
    scene.site.stop();
    scene.set_clock("+0d");
    scene.site.restart();
    scene.is_as_before().await;
    let looked = scene.site.cli(&["projections", "cut-off", "--format", "json"]);
    assert!(looked.status.success(), "{looked:?}");
}

#[tokio::test]
async fn sqlite_clock_that_jumps_three_years_while_the_site_runs_is_in_doubt_and_ends_nothing() {
    let Some(scene) = Scene::given().await else { return };
    scene.set_clock("+1095d");
    let doubted = scene.check().await;
    assert_eq!(doubted.status, StatusCode::SERVICE_UNAVAILABLE, "{}", doubted.body);
    assert_eq!(doubted.json()["code"], "clock_in_doubt");
    assert!(!doubted.header("retry-after").is_empty());
    let shown: serde_json::Value =
        serde_json::from_str(&scene.site.done(&["clock", "show", "--format", "json"])).expect("JSON");
    assert_eq!(shown["in_doubt"], true, "{shown}");
    scene.set_clock("+0d");
    scene.is_as_before().await;
}
