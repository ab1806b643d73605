//! The bugs of the system that came before: each line of the lessons' last table that names it, as far
//! as its door exists, and what the apps tab refuses.

use axum::http::{Method, StatusCode};
use countersign::app::reviews::Verb;
use serde_json::json;

use crate::{
    checks_scene::{CALLBACK, Scene, token_json},
    support::by,
};

#[tokio::test]
async fn an_approval_message_is_readable_by_its_recipient_alone_and_holds_no_token() {
    let scene = Scene::start().await;
    let message = scene.site.newest_message(scene.cleo).await;
    for other in [scene.ben, scene.rob] {
        let mut browser = scene.browser_of(other).await;
        assert_eq!(browser.get(&format!("/inbox/{message}")).await.status, StatusCode::NOT_FOUND);
        assert_eq!(browser.get(&format!("/api/v1/messages/{message}")).await.status, StatusCode::NOT_FOUND);
        let revealed = browser.submit("/settings/apps", &format!("/inbox/{message}/reveal"), &[]).await;
        assert_eq!(revealed.status, StatusCode::NOT_FOUND);
        let revealed = browser.json(Method::POST, &format!("/api/v1/messages/{message}/reveal"), &json!({})).await;
        assert_eq!(revealed.status, StatusCode::NOT_FOUND);
    }
    let mut cleo = scene.browser_of(scene.cleo).await;
    let page = cleo.get(&format!("/inbox/{message}")).await;
    assert!(page.body.contains("was approved") && !page.body.contains("csp_"), "{}", page.body);
    let token = scene.owners_token().await;
    let unread = scene.stranger().with_token(Method::GET, "/api/v1/notifications", &token).await;
    assert!(!unread.body.contains(&token), "{}", unread.body);
}

#[tokio::test]
async fn nobody_changes_the_client_id_of_a_pending_application() {
    let scene = Scene::start().await;
    let pending = scene.site.given_request(scene.cleo, "Pending").await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let before = scene.head().await;
    let page = cleo.submit("/settings/apps", &format!("/settings/apps/{pending}/rotate-client-id"), &[]).await;
    let api = format!("/api/v1/applications/{pending}/rotate-client-id");
    let api = cleo.json(Method::POST, &api, &json!({})).await;
    for answer in [page, api] {
        assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
    }
    assert_eq!(scene.head().await, before);
    let row = scene.site.app.my_application(scene.cleo, pending).await.expect("hers");
    assert_eq!(row.client_id, None);
}

#[tokio::test]
async fn a_token_authorizes_nothing_and_changes_no_setting() {
    let scene = Scene::start().await;
    let token = scene.all_scopes_token(scene.ben).await;
    let (application, client) = scene.given_approved("web", CALLBACK, "read").await;
    let before = scene.head().await;
    let form = format!("client_id={client}&redirect_uri={CALLBACK}&decision=authorize");
    for path in ["/authorize", "/settings/apps", "/settings/authorizations/remove", "/logout"] {
        let mut request = crate::checks_scene::form_post(path, &form, &[("authorization", &token)]);
        request.headers_mut().insert("cookie", "none=none".parse().expect("text"));
        let answer = scene.stranger().send(request).await;
        assert!(matches!(answer.status.as_u16(), 303 | 403), "{path}: {}", answer.status);
        assert!(!answer.location().contains("access_token"), "{path}");
    }
    for (method, path, body) in [
        ("POST", "/api/v1/applications".to_owned(), r#"{"name":"Mine","purpose":"personal"}"#),
        ("DELETE", "/api/v1/authorizations".to_owned(), ""),
        ("DELETE", format!("/api/v1/authorizations/{application}"), ""),
        ("GET", "/api/v1/tokens".to_owned(), ""),
        ("GET", "/api/v1/authorizations".to_owned(), ""),
        ("POST", format!("/api/v1/tokens/{application}/regenerate"), ""),
        ("POST", format!("/api/v1/messages/{application}/reveal"), ""),
    ] {
        let answer = scene.stranger().send(token_json(method, &path, &token, body)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}: {}", answer.body);
        assert_eq!(answer.json()["code"], "session_required");
    }
    assert_eq!(scene.head().await, before);
}

#[tokio::test]
async fn a_token_beside_a_signed_in_browser_acts_for_nobody() {
    let scene = Scene::start().await;
    let token = scene.all_scopes_token(scene.ben).await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let csrf = cleo.get("/settings/apps").await.hidden("csrf_token");
    let form = format!("csrf_token={csrf}&name=Mine&purpose=personal");
    let sent = cleo.send(crate::checks_scene::form_post("/settings/apps", &form, &[("authorization", &token)])).await;
    assert!(sent.location().starts_with("/settings/apps/"), "{} {}", sent.status, sent.location());
    let asked = scene.site.app.my_applications(scene.cleo).await.expect("hers");
    assert!(asked.iter().any(|row| row.name == "Mine"), "it is the browser's");
    let form = "name=Bens&purpose=personal&csrf_token=none";
    let before = scene.head().await;
    scene.stranger().send(crate::checks_scene::form_post("/settings/apps", form, &[("authorization", &token)])).await;
    assert_eq!(scene.head().await, before, "alone it does nothing");
}

#[tokio::test]
async fn a_redirect_uri_changed_after_the_approval_is_a_proposal_and_what_was_reviewed_goes_on() {
    let scene = Scene::start().await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let id = scene.application;
    let body = json!({ "redirect_uris": ["https://evil.example/cb"] });
    let api = cleo.json(Method::PATCH, &format!("/api/v1/applications/{id}"), &body).await;
    assert_eq!(api.status, StatusCode::OK, "{}", api.body);
    assert_eq!(api.json()["redirect_uris"], json!([CALLBACK]));
    let difference = json!([{ "field": "redirect_uris", "before": CALLBACK, "after": "https://evil.example/cb" }]);
    assert_eq!(api.json()["pending_change"]["difference"], difference);
    let elsewhere = scene.authorize_path("&redirect_uri=https://evil.example/cb");
    let mut ben = scene.browser_of(scene.ben).await;
    assert_eq!(ben.get(&elsewhere).await.status, StatusCode::BAD_REQUEST);
    scene.consented(scene.ben, &scene.client, None).await;
    let row = scene.site.app.my_application(scene.cleo, id).await.expect("hers");
    assert_eq!(row.redirect_uris[0].as_str(), CALLBACK);
}

#[tokio::test]
async fn a_second_authorization_is_no_error_and_leaves_the_first_token_alive() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let mut tokens = vec![];
    for _ in 0..2 {
        let page = ben.get(&scene.authorize_path("")).await;
        let sent = crate::checks_scene::answer(&mut ben, &page, "authorize").await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.body);
        tokens.push(crate::checks_scene::parameter(sent.location(), "access_token").expect("a token"));
    }
    assert_ne!(tokens[0], tokens[1]);
    for token in &tokens {
        assert_eq!(scene.stranger().with_token(Method::GET, "/unread", token).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_denied_application_stays_with_its_reason() {
    let scene = Scene::start().await;
    let denied = scene.site.given_request(scene.cleo, "Denied one").await;
    let mut rob = scene.browser_of(scene.rob).await;
    let review = format!("/admin/apps/{denied}");
    let verdict = [("revision", "1"), ("reason_code", "incomplete"), ("reason", "Say what it is for.")];
    let sent = rob.submit(&review, &format!("{review}/deny"), &verdict).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.body);
    let mut cleo = scene.browser_of(scene.cleo).await;
    let own = cleo.get(&format!("/settings/apps/{denied}")).await;
    assert_eq!(own.status, StatusCode::OK);
    assert!(own.body.contains("Say what it is for."), "{}", own.body);
    let api = cleo.get(&format!("/api/v1/applications/{denied}")).await.json();
    assert_eq!((&api["state"], &api["reason"]), (&json!("denied"), &json!("Say what it is for.")));
    assert_eq!(api["reason_code"], "incomplete");
    assert!(rob.get("/admin/apps?state=denied").await.body.contains("Denied one"));
    let message = scene.site.newest_message(scene.cleo).await;
    let letter = cleo.get(&format!("/inbox/{message}")).await;
    assert!(letter.body.contains("was denied") && letter.body.contains("Say what it is for."), "{}", letter.body);
}

#[tokio::test]
async fn a_revoked_application_stays_and_those_who_authorized_it_are_told_without_the_reason() {
    let scene = Scene::start().await;
    let token = scene.consented(scene.ben, &scene.client, None).await;
    scene.site.decide(scene.rob, scene.application, Verb::Revoke).await;
    scene.site.settle().await;
    let refused = scene.stranger().with_token(Method::GET, "/unread", &token).await;
    assert_eq!(refused.json()["code"], "token_revoked");
    let row = scene.site.app.my_application(scene.cleo, scene.application).await.expect("it is still there");
    assert_eq!(row.standing.as_str(), "revoked");
    assert_eq!(scene.site.app.reason_of(&row).await.expect("a log").as_deref(), Some("As agreed."));
    let mut ben = scene.browser_of(scene.ben).await;
    let told = ben.get("/api/v1/notifications").await.json();
    assert_eq!(told["data"][0]["kind"], "authorization_change", "{told}");
    assert!(told["data"][0]["title"].as_str().expect("text").contains("Reader"), "{told}");
    assert!(!told.to_string().contains("As agreed."), "{told}");
    let history =
        scene.browser_of(scene.cleo).await.get(&format!("/api/v1/applications/{}/history", scene.application)).await;
    assert_eq!(history.json()["data"].as_array().map(Vec::len), Some(3), "asked, approved, revoked: {}", history.body);
}

#[tokio::test]
async fn reading_unread_marks_nothing_until_the_token_asks_and_then_what_it_was_given() {
    let scene = Scene::start().await;
    let token = scene.all_scopes_token(scene.ben).await;
    let post = scene.site.app.publish(&by(scene.ben), scene.ben, "A post", "", "").await.expect("published").answer;
    for text in ["one", "two", "three"] {
        scene.site.app.comment(&by(scene.cleo), scene.cleo, post, None, text).await.expect("commented");
    }
    scene.site.settle().await;
    let mut client = scene.stranger();
    for _ in 0..3 {
        let unread = client.with_token(Method::GET, "/unread", &token).await.json();
        assert_eq!(
            (&unread["count"], unread["data"].as_array().map(Vec::len)),
            (&json!(4), Some(4)),
            "and the consent"
        );
        assert!(unread["data"][0]["body"].as_str().expect("newest first").contains("three"), "{unread}");
    }
    let marked = client.with_token(Method::GET, "/unread?mark_read=true&limit=2", &token).await;
    assert_eq!(marked.json()["data"].as_array().map(Vec::len), Some(2));
    assert!(!marked.header("countersign-position").is_empty());
    scene.site.settle().await;
    let left = client.with_token(Method::GET, "/unread", &token).await.json();
    assert_eq!(left["count"], 2, "{left}");
    assert!(left["data"][0]["body"].as_str().expect("text").contains("one"), "{left}");
    let mut ben = scene.browser_of(scene.ben).await;
    let browser = ben.get("/unread?mark_read=true").await;
    assert_eq!((browser.status, browser.location()), (StatusCode::SEE_OTHER, "/inbox"));
    scene.site.settle().await;
    assert_eq!(client.with_token(Method::GET, "/unread", &token).await.json()["count"], 2, "a browser marks nothing");
}

#[tokio::test]
async fn a_token_marks_no_decision_and_no_change_of_an_authorization_as_read() {
    let scene = Scene::start().await;
    let token = scene.all_scopes_token(scene.ben).await;
    scene.consented(scene.ben, &scene.client, None).await;
    scene.site.decide(scene.rob, scene.application, Verb::Suspend).await;
    scene.site.settle().await;
    let mut client = scene.stranger();
    let unread = client.with_token(Method::GET, "/unread?mark_read=true", &token).await.json();
    assert_eq!(unread["data"][0]["kind"], "authorization_change", "{unread}");
    let id = unread["data"][0]["id"].as_str().expect("an id").to_owned();
    let body = json!({ "ids": [id] }).to_string();
    let marked = client.send(token_json("POST", "/notifications/read", &token, &body)).await;
    assert_eq!((marked.status, &marked.json()["read"]), (StatusCode::OK, &json!([])));
    scene.site.settle().await;
    // Two consents and the suspension.
    assert_eq!(client.with_token(Method::GET, "/unread", &token).await.json()["count"], 3);
    let mut ben = scene.browser_of(scene.ben).await;
    let marked = ben.json(Method::POST, "/api/v1/notifications/read", &json!({ "ids": [id] })).await;
    assert_eq!(marked.json()["read"], json!([id]), "{}", marked.body);
    let owners = scene.all_scopes_token(scene.cleo).await;
    scene.site.settle().await;
    let mut client = scene.stranger();
    let decided = client.with_token(Method::GET, "/unread?mark_read=true&limit=100", &owners).await.json();
    let kinds: Vec<_> = decided["data"].as_array().expect("a list").iter().map(|one| &one["kind"]).collect();
    assert!(kinds.contains(&&json!("application_decision")), "{decided}");
    let left = client.with_token(Method::GET, "/unread", &owners).await.json();
    assert_eq!(left["count"], kinds.len(), "none is marked: {decided}");
}

#[tokio::test]
async fn what_is_private_in_a_notification_needs_the_scope_messages() {
    let scene = Scene::start().await;
    let plain = scene.owners_token().await;
    let told = scene.stranger().with_token(Method::GET, "/api/v1/notifications", &plain).await.json();
    let message = told["data"][0].as_object().expect("the message of the approval");
    assert!(message["title"].is_string() && message["body"].is_null() && message["body_html"].is_null(), "{told}");
    let messages = scene.stranger().with_token(Method::GET, "/api/v1/messages", &plain).await;
    assert_eq!(messages.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_apps_tab_refuses_a_choice_that_it_does_not_offer() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let before = scene.head().await;
    for field in ["flow", "client_type"] {
        let fields = [("name", "Mine"), ("purpose", "personal"), (field, "")];
        let answer = ben.submit("/settings/apps", "/settings/apps", &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.body.contains(field), "{}", answer.body);
    }
    assert_eq!(scene.head().await, before);
}

#[tokio::test]
async fn a_form_without_a_field_is_422_and_names_it() {
    let scene = Scene::start().await;
    let pending = scene.site.given_request(scene.cleo, "Pending").await;
    let (mut ben, mut rob) = (scene.browser_of(scene.ben).await, scene.browser_of(scene.rob).await);
    for (path, word) in [("/settings/apps", "name"), ("/posts", "title"), ("/signup", "username")] {
        let answer = ben.submit("/settings/apps", path, &[]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {}", answer.body);
        assert!(answer.body.contains("class=\"problem\"") && answer.body.contains(word), "{path}");
    }
    let review = format!("/admin/apps/{pending}");
    for (fields, word) in [
        (vec![("revision", "1"), ("reason", "x")], "reason"),
        (vec![("revision", "1"), ("reason_code", "other")], "reason"),
        (vec![("reason_code", "other"), ("reason", "x")], "revision"),
        (vec![("revision", "one"), ("reason_code", "other"), ("reason", "x")], "revision"),
    ] {
        let answer = rob.submit(&review, &format!("{review}/deny"), &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}: {}", answer.body);
        // Said at the top, or beside the field.
        let mut problems =
            answer.body.split("class=\"problem\"").skip(1).filter_map(|rest| rest.split(['>', '<']).nth(1));
        assert!(problems.any(|problem| problem.contains(word)), "{fields:?}");
    }
}
