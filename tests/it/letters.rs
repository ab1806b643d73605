//! What members are told and write to each other: messages, mentions, and notices of what can act as them.

use axum::http::{Method, StatusCode, header};
use countersign::{app::inbox::Which, store::Aged};
use countersign_events::{
    ids::{TokenId, UserId},
    scope::ScopeSet,
};
use serde_json::{Value, json};

use crate::{
    browser_double::{Answer, Browser},
    checks_scene::{Scene, token_json},
    support::{TestApp, by},
};

async fn write(browser: &mut Browser, to: &str, title: &str, body: &str) -> Answer {
    browser.json(Method::POST, "/api/v1/messages", &json!({ "to": to, "title": title, "body": body })).await
}

/// Kinds and titles of everything that a member was told, newest first.
async fn told(site: &TestApp, user: UserId) -> Vec<(String, String)> {
    site.settle().await;
    let (all, _) = site.app.notifications(user, Which::default(), None, 100).await.expect("an inbox");
    all.into_iter().map(|one| (one.row.kind, one.title)).collect()
}

fn kinds(told: &[(String, String)]) -> Vec<&str> {
    told.iter().map(|(kind, _)| kind.as_str()).collect()
}

#[tokio::test]
async fn a_message_comes_from_its_sender_and_can_be_answered() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let sent = write(&mut ben, "@Cleo", "Hello", "How is **Reader**?").await;
    assert_eq!(sent.status, StatusCode::CREATED, "{}", sent.body);
    assert!(!sent.header("countersign-position").is_empty());
    scene.site.settle().await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let id = sent.json()["id"].as_str().expect("an id").to_owned();
    let message = cleo.get(&format!("/api/v1/messages/{id}")).await.json();
    assert_eq!(
        (&message["kind"], &message["from"], &message["title"]),
        (&json!("message"), &json!("ben"), &json!("Hello"))
    );
    assert_eq!(message["body"], "How is **Reader**?");
    assert!(message["permalink"].as_str().expect("a link").ends_with(&format!("/inbox/{id}")));
    let page = cleo.get(&format!("/inbox/{id}")).await;
    assert_eq!(page.hidden("to"), "ben", "the answer is written beside the message");
    assert!(page.body.contains("value=\"Re: Hello\""), "{}", page.body);
    let form = cleo.get("/inbox?to=ben&title=Re%3A+Hello").await;
    assert!(form.body.contains("value=\"Re: Hello\"") && form.body.contains("value=\"ben\""), "{}", form.body);
    let answered = cleo.submit("/inbox", "/inbox", &[("to", "ben"), ("title", "Re: Hello"), ("body", "Fine.")]).await;
    assert_eq!((answered.status, answered.location()), (StatusCode::SEE_OTHER, "/inbox?sent=1"), "{}", answered.body);
    assert!(cleo.get("/inbox?sent=1").await.body.contains("Your message was sent."));
    assert!(!cleo.get("/inbox").await.body.contains("Your message was sent."));
    assert_eq!(told(&scene.site, scene.ben).await, [("message".to_owned(), "Re: Hello".to_owned())]);
    let stranger = scene.browser_of(scene.rob).await.get(&format!("/api/v1/messages/{id}")).await;
    assert_eq!(stranger.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_does_not_fit_in_a_message_names_its_field_and_sends_nothing() {
    let scene = Scene::start().await;
    let dora = scene.site.given_member("dora", &[]).await;
    scene.site.app.suspend_account(&by(scene.rob), dora).await.expect("unavailable");
    let mut ben = scene.browser_of(scene.ben).await;
    let before = scene.head().await;
    let long = "x".repeat(20_001);
    for (to, title, body, field, code) in [
        ("nobody", "Hello", "You", "to", "unknown"),
        ("no body", "Hello", "You", "to", "unknown"),
        ("", "Hello", "You", "to", "required"),
        ("ben", "Hello", "You", "to", "yourself"),
        ("dora", "Hello", "You", "to", "unavailable"),
        ("cleo", " ", "You", "title", "required"),
        ("cleo", "Hello", "\n", "body", "required"),
        ("cleo", "Hello", "a\u{0}b", "body", "control_character"),
        ("cleo", "Hello", long.as_str(), "body", "too_long"),
    ] {
        let refused = write(&mut ben, to, title, body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.body);
        let error = &refused.json()["errors"][0];
        assert_eq!((&error["field"], &error["code"]), (&json!(field), &json!(code)), "{error}");
        let form = ben.submit("/inbox", "/inbox", &[("to", to), ("title", title), ("body", body)]).await;
        assert_eq!(form.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(form.body.contains(&format!("id=\"{field}-error\"")), "{}", form.body);
    }
    let three = write(&mut ben, "nobody", "", "").await.json();
    assert_eq!(three["errors"].as_array().map(Vec::len), Some(3), "every field at once: {three}");
    assert_eq!(scene.head().await, before);
}

#[tokio::test]
async fn writing_needs_the_scope_messages_and_a_page_its_csrf_token() {
    let scene = Scene::start().await;
    let body = json!({ "to": "cleo", "title": "Hello", "body": "You" }).to_string();
    let plain = scene.consented(scene.ben, &scene.client, None).await;
    let refused = scene.stranger().send(token_json("POST", "/api/v1/messages", &plain, &body)).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::FORBIDDEN, &json!("insufficient_scope")));
    let token = scene.all_scopes_token(scene.ben).await;
    let sent = scene.stranger().send(token_json("POST", "/api/v1/messages", &token, &body)).await;
    assert_eq!(sent.status, StatusCode::CREATED, "{}", sent.body);
    let mut ben = scene.browser_of(scene.ben).await;
    let forged = ben.post("/inbox", &[("to", "cleo"), ("title", "Hello"), ("body", "You")]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_message_sent_again_under_its_key_is_one_message() {
    let scene = Scene::start().await;
    let token = scene.all_scopes_token(scene.ben).await;
    let body = json!({ "to": "cleo", "title": "Hello", "body": "You" }).to_string();
    let mut ids = vec![];
    for _ in 0..2 {
        let mut request = token_json("POST", "/api/v1/messages", &token, &body);
        request.headers_mut().insert("idempotency-key", "once".parse().expect("a header"));
        ids.push(scene.stranger().send(request).await.json()["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    let told = told(&scene.site, scene.cleo).await;
    assert_eq!(told.iter().filter(|(_, title)| title == "Hello").count(), 1);
}

#[tokio::test]
async fn whoever_writes_too_much_has_to_wait_and_others_have_not() {
    let scene = Scene::start_with(&[("LIMITS_MESSAGES_PER_HOUR", "2")]).await;
    let mut ben = scene.browser_of(scene.ben).await;
    for title in ["One", "Two"] {
        assert_eq!(write(&mut ben, "cleo", title, "You").await.status, StatusCode::CREATED);
    }
    let refused = write(&mut ben, "cleo", "Three", "You").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(!refused.header(header::RETRY_AFTER.as_str()).is_empty());
    let mut rob = scene.browser_of(scene.rob).await;
    assert_eq!(write(&mut rob, "cleo", "Hello", "You").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn what_a_member_wrote_goes_with_them() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let id = write(&mut ben, "cleo", "Hello", "You").await.json()["id"].as_str().expect("an id").to_owned();
    scene.site.app.erase_member(&by(scene.rob), scene.ben).await.expect("erased");
    scene.site.settle().await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let message = cleo.get(&format!("/api/v1/messages/{id}")).await.json();
    assert_eq!((message["title"].as_str(), message["body"].clone()), (Some("[erased]"), Value::Null));
}

/// A key that is missing is no erasure: what it sealed is refused, and what another key sealed is not.
#[tokio::test]
async fn what_a_member_wrote_is_not_told_as_erased_because_their_key_is_missing() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let id = write(&mut ben, "cleo", "Hello", "You").await.json()["id"].as_str().expect("an id").to_owned();
    let key = scene.site.app.state.member(scene.ben).expect("a member").data_key;
    let gone = Aged { data_keys: vec![(key, scene.ben)], verifiers: vec![] };
    scene.site.app.vault.remove(&gone).await.expect("a vault");
    // Nobody remembers the key after a start.
    let Scene { site, cleo, ben, rob, application, client } = scene;
    let scene = Scene { site: site.restart().await, cleo, ben, rob, application, client };
    scene.site.settle().await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let refused = cleo.get(&format!("/api/v1/messages/{id}")).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.json()["code"], "vault_incomplete");
}

#[tokio::test]
async fn a_post_and_a_comment_tell_whom_they_mention_once_and_nobody_else() {
    let scene = Scene::start().await;
    let (app, ben) = (&scene.site.app, scene.ben);
    let dora = scene.site.given_member("dora", &[]).await;
    app.suspend_account(&by(scene.rob), dora).await.expect("suspended");
    let before = told(&scene.site, scene.cleo).await.len();
    let body = "See @cleo, @Cleo. and @ben; not @dora, @nobody or me@rob.example, nor @@rob.";
    let post = app.publish(&by(ben), ben, "News for @cleo", "", body).await.expect("published").answer;
    let cleos = told(&scene.site, scene.cleo).await;
    assert_eq!(cleos.len(), before + 1, "{cleos:?}");
    assert_eq!(cleos[0], ("mention".to_owned(), "ben mentioned you".to_owned()));
    for silent in [ben, dora, scene.rob] {
        assert_eq!(told(&scene.site, silent).await, []);
    }
    app.comment(&by(scene.cleo), scene.cleo, post, None, "@ben @rob @cleo: @rob").await.expect("posted");
    assert_eq!(told(&scene.site, ben).await, [("reply".to_owned(), "cleo replied to you".to_owned())]);
    assert_eq!(told(&scene.site, scene.rob).await, [("mention".to_owned(), "cleo mentioned you".to_owned())]);
    assert_eq!(told(&scene.site, scene.cleo).await, cleos);
}

#[tokio::test]
async fn every_consent_is_told_with_what_it_allows_and_how_to_remove_it() {
    let scene = Scene::start().await;
    for _ in 0..2 {
        scene.consented(scene.ben, &scene.client, Some("read")).await;
    }
    let told = told(&scene.site, scene.ben).await;
    assert_eq!(kinds(&told), ["authorization_change"; 2]);
    assert_eq!(told[0].1, "You authorized “Reader”");
    let mut ben = scene.browser_of(scene.ben).await;
    let notice = ben.get("/api/v1/notifications?limit=1").await.json()["data"][0].clone();
    let body = notice["body"].as_str().expect("a body");
    assert!(body.contains("Read posts and comments") && body.contains("/settings/authorizations"), "{body}");
    assert_eq!(notice["application_id"], json!(scene.application));
}

#[tokio::test]
async fn a_sixth_token_tells_that_the_oldest_ended() {
    let scene = Scene::start().await;
    for _ in 0..6 {
        scene.consented(scene.ben, &scene.client, None).await;
    }
    let told = told(&scene.site, scene.ben).await;
    assert_eq!(told.len(), 7, "{told:?}");
    assert_eq!(told.iter().filter(|(_, title)| title == "A token of “Reader” ended").count(), 1);
}

#[tokio::test]
async fn a_token_that_is_issued_regenerated_or_revoked_is_told_and_one_given_up_is_not() {
    let scene = Scene::start().await;
    let (app, ben) = (&scene.site.app, scene.ben);
    let read: ScopeSet = "read".parse().expect("a scope");
    let operator = countersign::app::Caller::system();
    let (id, _) = app.issue_token(&operator, ben, read, None).await.expect("issued").answer;
    assert_eq!(kinds(&told(&scene.site, ben).await), ["authorization_change"]);
    app.regenerate_token(&by(ben), ben, id).await.expect("another");
    let now = told(&scene.site, ben).await;
    assert!(now.len() == 2 && now.iter().all(|(_, title)| title.starts_with("A new token of “")), "{now:?}");
    let newest = |tokens: Vec<countersign::app::tokens::MyToken>| -> TokenId {
        tokens.into_iter().find(|token| token.valid.is_ok()).expect("a valid one").row.token_id
    };
    let second = newest(app.my_tokens(ben).await.expect("tokens"));
    app.revoke_token(&operator, second).await.expect("revoked");
    let now = told(&scene.site, ben).await;
    assert!(now.len() == 3 && now[0].1.ends_with("ended"), "{now:?}");
    let (third, _) = app.issue_token(&operator, ben, read, None).await.expect("issued").answer;
    app.revoke_my_token(&by(ben), ben, third).await.expect("given up");
    assert_eq!(told(&scene.site, ben).await.len(), 4, "the issue is told, giving up is not");
}

#[tokio::test]
async fn who_takes_access_back_is_not_told_of_it() {
    let scene = Scene::start().await;
    scene.consented(scene.ben, &scene.client, None).await;
    scene.site.app.remove_authorization(&by(scene.ben), scene.ben, scene.application).await.expect("removed");
    assert_eq!(told(&scene.site, scene.ben).await.len(), 1, "the consent, and no more");
}
