//! When a token was last used: noted by the check, to the minute; shown to its member; written beside the log, not in it.

use std::{fs, path::Path};

use axum::http::{Method, StatusCode};
use chrono::Duration;
use countersign::cli::execute::{Request, execute};
use countersign_events::{
    account::Role,
    codec::CODEC,
    ids::{TokenId, UserId},
    recorded::{Actor, Timestamp},
    scope::ScopeSet,
    token::TokenDigest,
};

use crate::{
    checks_scene::Scene,
    support::{self, Home, TestApp, by},
};

async fn given_token(site: &TestApp, user: UserId) -> (TokenId, String) {
    let scopes: ScopeSet = "read identity".parse().expect("scopes");
    site.app.issue_token(&by(user), user, scopes, None).await.expect("a token").answer
}

/// The whole minute that the clock is in.
fn minute(site: &TestApp) -> Timestamp {
    let seconds = site.app.now().timestamp();
    Timestamp::from_timestamp(seconds - seconds % 60, 0).expect("a time")
}

async fn last_used(site: &TestApp, id: TokenId) -> Option<Timestamp> {
    site.app.token(id).await.expect("there").last_used
}

/// How many rows there are, of tokens that are there or not.
async fn written(home: &Home) -> i64 {
    home.log().await.numbers("select count(*) from token_uses").await[0]
}

#[tokio::test]
async fn a_use_is_shown_to_the_minute_and_is_no_event() {
    let scene = Scene::start().await;
    let token = scene.consented(scene.ben, &scene.client, None).await;
    let mut browser = scene.browser_of(scene.ben).await;
    let mut shown = async |path: &str| browser.get(path).await.json()["data"][0]["last_used_at"].clone();
    for path in ["/api/v1/tokens", "/api/v1/authorizations"] {
        assert_eq!(shown(path).await, serde_json::Value::Null);
    }
    let head = scene.head().await;
    scene.site.clock.advance(Duration::seconds(90));
    let told = scene.stranger().with_token(Method::GET, "/api/v1/token", &token).await;
    assert_eq!(told.status, StatusCode::OK);
    let at = minute(&scene.site);
    scene.site.clock.advance(Duration::minutes(5));
    scene.site.app.look_after().await.expect("a round");
    let at = serde_json::to_value(at).expect("a time");
    assert_eq!((shown("/api/v1/tokens").await, shown("/api/v1/authorizations").await), (at.clone(), at.clone()));
    let id = scene.site.app.my_tokens(scene.ben).await.expect("tokens")[0].row.token_id;
    let output = execute(&scene.site.app, Request::TokenShow { id }, Actor::System).await.expect("shown");
    let output = serde_json::to_string(&output).expect("JSON");
    assert!(output.contains("last_used_at") && output.contains("2027-01-15T08:01:00"), "{output}");
    assert_eq!(scene.head().await, head, "no event tells of it");
}

#[tokio::test]
async fn a_check_that_refuses_is_no_use() {
    let site = TestApp::start().await;
    let ada = site.given_member("ada", &[]).await;
    let (id, token) = given_token(&site, ada).await;
    site.app.suspend_account(&support::by(ada), ada).await.expect("suspended");
    assert!(site.app.check_token(&token).is_err());
    assert_eq!(last_used(&site, id).await, None);
}

#[tokio::test]
async fn a_stop_loses_nothing_and_a_revocation_keeps_it() {
    let site = TestApp::start().await;
    let ada = site.given_member("ada", &[]).await;
    let (id, token) = given_token(&site, ada).await;
    let (unused, _) = given_token(&site, ada).await;
    site.app.check_token(&token).expect("valid");
    let at = Some(minute(&site));
    site.app.revoke_my_token(&by(ada), ada, id).await.expect("revoked");
    assert_eq!(last_used(&site, id).await, at);
    site.clock.advance(Duration::hours(1));
    let site = site.restart().await;
    assert_eq!((last_used(&site, id).await, last_used(&site, unused).await), (at, None));
    assert_eq!(written(&site.home).await, 1, "what was not used is not written");
}

#[tokio::test]
async fn sqlite_a_crash_loses_no_more_than_what_came_after_the_last_round() {
    let site = TestApp::start().await;
    let ada = site.given_member("ada", &[]).await;
    let (id, token) = given_token(&site, ada).await;
    site.app.check_token(&token).expect("valid");
    let before = minute(&site);
    site.app.look_after().await.expect("a round");
    site.clock.advance(Duration::minutes(1));
    site.app.check_token(&token).expect("valid");
    assert_eq!(last_used(&site, id).await, Some(before + Duration::minutes(1)));
    // What lies on the disk now is what a crash leaves.
    let copy = Home { directory: tempfile::tempdir().expect("a directory"), database: None };
    copy_all(site.home.directory.path(), copy.directory.path());
    let head = site.app.head().await.expect("a head");
    let app = support::open(&copy, site.clock.clone(), &[], 7_000_000, CODEC).await;
    assert_eq!(app.token(id).await.expect("there").last_used, Some(before));
    assert_eq!(app.head().await.expect("a head"), head);
    app.check_token(&token).expect("and it works on");
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

#[tokio::test]
async fn many_uses_are_written_and_a_later_one_replaces_an_earlier_one() {
    let site = TestApp::start().await;
    let ada = site.given_member("ada", &[]).await;
    let mut given = vec![];
    for _ in 0..600 {
        given.push(given_token(&site, ada).await);
    }
    for (_, token) in &given {
        site.app.check_token(token).expect("valid");
    }
    let first = minute(&site);
    site.app.look_after().await.expect("a round");
    assert_eq!(written(&site.home).await, 600);
    site.clock.advance(Duration::minutes(10));
    site.app.check_token(&given[3].1).expect("valid");
    let site = site.restart().await;
    assert_eq!(last_used(&site, given[3].0).await, Some(first + Duration::minutes(10)));
    assert_eq!(last_used(&site, given[599].0).await, Some(first));
}

#[tokio::test]
async fn a_rebuild_of_the_tokens_leaves_it() {
    let site = TestApp::start().await;
    let ada = site.given_member("ada", &[]).await;
    let (id, token) = given_token(&site, ada).await;
    site.app.check_token(&token).expect("valid");
    let at = Some(minute(&site));
    let site = site.restart().await;
    // A lower revision is what an older program would have left: the next start builds the read model anew.
    site.home.log().await.run("update inline_models set revision = 0; delete from tokens").await;
    let site = site.restart().await;
    assert_eq!(last_used(&site, id).await, at);
}

#[tokio::test]
async fn it_goes_with_the_token_that_leaves() {
    let site = TestApp::start_with(&[("KEEP_ENDED_DAYS", "1")]).await;
    let ada = site.given_member("ada", &[]).await;
    let (gone, token) = given_token(&site, ada).await;
    let (stays, other) = given_token(&site, ada).await;
    site.app.check_token(&token).expect("valid");
    site.app.check_token(&other).expect("valid");
    site.app.look_after().await.expect("a round");
    assert_eq!(written(&site.home).await, 2);
    site.app.revoke_my_token(&by(ada), ada, gone).await.expect("revoked");
    site.clock.advance(Duration::days(3));
    site.app.look_after().await.expect("a round");
    assert_eq!(written(&site.home).await, 1);
    assert!(last_used(&site, stays).await.is_some());
}

#[tokio::test]
async fn it_goes_with_the_member_who_is_erased_and_does_not_come_back() {
    let site = TestApp::start().await;
    let rob = site.given_member("rob", &[Role::Admin]).await;
    let ada = site.given_member("ada", &[]).await;
    let (written_before, token) = given_token(&site, ada).await;
    let (only_noted, other) = given_token(&site, ada).await;
    let (of_rob, robs) = given_token(&site, rob).await;
    site.app.check_token(&token).expect("valid");
    site.app.look_after().await.expect("a round");
    site.app.check_token(&other).expect("valid");
    site.app.check_token(&robs).expect("valid");
    site.app.erase_member(&by(rob), ada).await.expect("erased");
    assert_eq!((last_used(&site, written_before).await, last_used(&site, only_noted).await), (None, None));
    let site = site.restart().await;
    assert_eq!(written(&site.home).await, 1);
    assert!(last_used(&site, of_rob).await.is_some());
    // Nor by a round that had looked at the tokens right before.
    let digests = [ada, rob].map(|user| site.app.models.tokens_of(user));
    let [adas, robs] = digests.map(async |tokens| tokens.await.expect("tokens")[0].digest);
    let uses = [adas.await, robs.await, TokenDigest::from_bytes([7; 32])].map(|digest| (digest, site.app.now()));
    let TestApp { app, home, .. } = site;
    app.stop().await;
    let mut writer = home.stores().await.writer;
    writer.note_uses(&uses).await.expect("noted");
    assert_eq!(written(&home).await, 1);
}

#[tokio::test]
async fn no_page_tells_of_a_use_before_the_token_was_there() {
    let scene = Scene::start().await;
    scene.site.clock.advance(Duration::seconds(45));
    let token = scene.consented(scene.ben, &scene.client, None).await;
    let told = scene.stranger().with_token(Method::GET, "/api/v1/token", &token).await;
    assert_eq!(told.status, StatusCode::OK);
    scene.site.clock.advance(Duration::minutes(5));
    let page = scene.browser_of(scene.ben).await.get("/settings/apps").await.body;
    let (_, used) = page.split_once("last used <time datetime=\"").expect("it was used");
    assert!(used.starts_with("2027-01-15T08:00:45Z"), "{used}");
}
