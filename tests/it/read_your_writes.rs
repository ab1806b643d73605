//! What a program has written it finds when it asks at once, without a header; and a read waits for the read models
//! that it reads, and for no other.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use countersign::app::Caller;
use countersign_events::recorded::Actor;
use serde_json::{Value, json};

use crate::{
    browser_double::Answer,
    checks_scene::{Scene, token_json},
    databases::{Database, on_both_databases},
    prerequisites::times,
    support::TestApp,
};

/// So often something is written and read at once.
const ROUNDS: u64 = 60;

async fn ask(scene: &Scene, method: Method, path: &str, token: &str, body: Option<Value>) -> Answer {
    let request = match body {
        Some(body) => token_json(method.as_str(), path, token, &body.to_string()),
        None => Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, token)
            .body(Body::empty())
            .expect("one"),
    };
    scene.stranger().send(request).await
}

async fn given(settings: &[(&str, &str)]) -> (Scene, String) {
    let mut all = vec![("LIMITS_API_PER_MINUTE", "1000000"), ("LIMITS_MESSAGES_PER_HOUR", "1000000")];
    all.extend(settings);
    let scene = Scene::start_with(&all).await;
    let caller = Caller { actor: Actor::Cli("test".to_owned()), ..Caller::system() };
    let scopes = "read identity notifications messages write vote".parse().expect("scopes");
    let token = scene.site.app.issue_token(&caller, scene.ben, scopes, None).await.expect("issued").answer.1;
    (scene, token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_posted_is_there_for_whoever_asks_at_once() {
    let (scene, token) = given(&[]).await;
    for round in 0..times(ROUNDS) {
        let made =
            ask(&scene, Method::POST, "/api/v1/posts", &token, Some(json!({ "title": format!("Post {round}") }))).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let path = format!("/api/v1/posts/{}", made.json()["id"].as_str().expect("an id"));
        assert_eq!(ask(&scene, Method::GET, &path, &token, None).await.status, StatusCode::OK, "round {round}");
        let said =
            ask(&scene, Method::POST, &format!("{path}/comments"), &token, Some(json!({ "body": "Words" }))).await;
        let there = ask(&scene, Method::GET, &path, &token, None).await.json();
        assert_eq!(there["comments"][0]["id"], said.json()["id"], "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poller_that_marks_what_it_reads_gets_nothing_twice_and_loses_nothing() {
    let (scene, token) = given(&[]).await;
    let app = scene.site.app.clone();
    let (rob, ben) = (scene.rob, scene.ben);
    let letters = times(ROUNDS);
    let before = app.unread_count(ben).await.expect("a count");
    let writes = tokio::spawn(async move {
        for number in 0..letters {
            let sent =
                app.send_message(&crate::support::by(rob), rob, "ben", &format!("Letter {number}"), "Words").await;
            sent.expect("sent");
        }
    });
    let mut titles = vec![];
    let mut ends = false;
    loop {
        let page = ask(&scene, Method::GET, "/unread?mark_read=true&limit=7", &token, None).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let data = page.json()["data"].as_array().expect("a list").clone();
        titles.extend(data.iter().filter(|one| one["kind"] == "message").map(|one| one["title"].to_string()));
        if data.iter().all(|one| one["kind"] != "message") {
            if ends {
                break;
            }
            ends = writes.is_finished();
            scene.site.settle().await;
        }
    }
    let found = titles.len();
    titles.sort();
    titles.dedup();
    assert_eq!((found, titles.len() as u64), (titles.len(), letters), "{before} before");
}

on_both_databases!(a_read_waits_for_no_read_model_but_its_own);

async fn a_read_waits_for_no_read_model_but_its_own(database: Database) {
    let site = TestApp::start_in(database, &[("LIMITS_API_PER_MINUTE", "1000")]).await;
    let ben = site.given_member("ben", &[]).await;
    let caller = Caller { actor: Actor::Cli("test".to_owned()), ..Caller::system() };
    let scopes = "read notifications write".parse().expect("scopes");
    let token = site.app.issue_token(&caller, ben, scopes, None).await.expect("issued").answer.1;
    site.settle().await;
    // What the history is kept in is lost under the running site, so that it stands still.
    let mut history = site.home.model("history", 1).await;
    history.run(history.either("drop table subjects", "drop table subjects")).await;
    let mut browser = crate::browser_double::Browser::new(&site.app);
    let made = browser.send(token_json("POST", "/api/v1/posts", &token, "{\"title\":\"A post\"}")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let position = made.header("countersign-position").to_owned();
    for path in ["/unread", "/?sort=new", "/api/v1/notifications"] {
        let request =
            Request::get(path).header(header::AUTHORIZATION, &token).header("countersign-position", &position);
        let answer = browser.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    }
}
