//! The checks of the API, by their numbers (API), and what every answer of it keeps to: problem details,
//! status codes, methods, positions, repeats.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use serde_json::json;

use crate::{
    browser_double::Answer,
    checks_scene::{Scene, token_json},
};

/// RFC 9457, with the fields of the interface.
fn assert_problem(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["code"], code, "{problem}");
    for field in ["type", "title", "detail"] {
        assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {problem}");
    }
    assert_eq!(problem["instance"], format!("urn:uuid:{}", answer.header("x-request-id")));
}

#[tokio::test]
async fn api1_without_a_token_the_challenge_names_no_error() {
    let scene = Scene::start().await;
    for path in ["/unread", "/api/v1/token", "/api/v1/me", "/api/v1/applications"] {
        let answer = scene.stranger().get(path).await;
        assert_problem(&answer, StatusCode::UNAUTHORIZED, "token_missing");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer realm=") && !challenge.contains("error"), "{challenge}");
    }
}

#[tokio::test]
async fn api2_a_bad_token_is_invalid_and_the_code_says_why() {
    let scene = Scene::start().await;
    let token = scene.owners_token().await;
    let unknown = {
        // Well formed, and of nobody: its checksum fits.
        let other = Scene::start_with(&[("SITE_NAME", "Elsewhere")]).await;
        other.consented(other.ben, &other.client, None).await
    };
    let mut changed = token.clone();
    let last = changed.pop().expect("a character");
    changed.push(if last == 'a' { 'b' } else { 'a' });
    let cases = [
        ("x", "token_malformed"),
        ("csp_", "token_malformed"),
        (changed.as_str(), "token_malformed"),
        (&token[..token.len() - 1], "token_malformed"),
        (unknown.as_str(), "token_unknown"),
    ];
    for (bad, code) in cases {
        for path in ["/?sort=comments", "/unread", "/api/v1/me"] {
            let answer = scene.stranger().with_token(Method::GET, path, bad).await;
            assert_problem(&answer, StatusCode::UNAUTHORIZED, code);
            let challenge = answer.header("www-authenticate");
            assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        }
    }
    scene.site.clock.advance(chrono::Duration::days(366));
    let expired = scene.stranger().with_token(Method::GET, "/unread", &token).await;
    assert_problem(&expired, StatusCode::UNAUTHORIZED, "token_expired");
}

#[tokio::test]
async fn api2_a_bad_token_is_refused_even_beside_a_good_cookie() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let request = Request::get("/unread").header(header::AUTHORIZATION, "nonsense").body(Body::empty()).expect("good");
    assert_problem(&ben.send(request).await, StatusCode::UNAUTHORIZED, "token_malformed");
}

#[tokio::test]
async fn api3_a_missing_scope_is_named() {
    let scene = Scene::start().await;
    let token = scene.consented(scene.ben, &scene.client, Some("read")).await;
    for (path, scope) in [("/unread", "notifications"), ("/api/v1/me", "identity"), ("/api/v1/messages", "messages")] {
        let answer = scene.stranger().with_token(Method::GET, path, &token).await;
        assert_problem(&answer, StatusCode::FORBIDDEN, "insufficient_scope");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
        assert!(challenge.contains(&format!("scope=\"{scope}\"")), "{challenge}");
        assert!(answer.json()["detail"].as_str().expect("text").contains(scope));
    }
    let write = token_json("POST", "/api/v1/posts", &token, r#"{"title":"x"}"#);
    assert_problem(&scene.stranger().send(write).await, StatusCode::FORBIDDEN, "insufficient_scope");
    let narrow = scene.consented(scene.ben, &scene.client, Some("identity")).await;
    let front = scene.stranger().with_token(Method::GET, "/", &narrow).await;
    assert_problem(&front, StatusCode::FORBIDDEN, "insufficient_scope");
}

#[tokio::test]
async fn api4_a_token_in_the_address_or_sent_twice_is_refused() {
    let scene = Scene::start().await;
    let token = scene.owners_token().await;
    let in_query = scene.stranger().get(&format!("/unread?access_token={token}")).await;
    assert_problem(&in_query, StatusCode::BAD_REQUEST, "token_transport");
    let path = format!("/unread?access_token={token}");
    let both = scene.stranger().with_token(Method::GET, &path, &token).await;
    assert_problem(&both, StatusCode::BAD_REQUEST, "token_transport");
    let twice = Request::get("/unread")
        .header(header::AUTHORIZATION, &token)
        .header(header::AUTHORIZATION, &token)
        .body(Body::empty())
        .expect("a request");
    assert_problem(&scene.stranger().send(twice).await, StatusCode::BAD_REQUEST, "token_transport");
}

#[tokio::test]
async fn api5_a_bare_token_and_bearer_in_any_case_do_and_no_other_scheme() {
    let scene = Scene::start().await;
    let token = scene.owners_token().await;
    for good in ["{}", "Bearer {}", "bearer {}", "BEARER {}", "Bearer  {}"] {
        let answer = scene.stranger().with_token(Method::GET, "/unread", &good.replace("{}", &token)).await;
        assert_eq!(answer.status, StatusCode::OK, "{good}: {}", answer.body);
    }
    for bad in ["Basic {}", "DPoP {}", "Token {}", "Bearer", "Bearer {} {}", "{} Bearer", "Bearer:{}", ""] {
        let answer = scene.stranger().with_token(Method::GET, "/unread", &bad.replace("{}", &token)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{bad}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_missing_unknown_or_ill_typed_field_of_json_is_422_and_named() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let cases = [
        (json!({}), "name"),
        (json!({ "name": "A", "flow": "code" }), "flow"),
        (json!({ "name": "A", "client_type": "public" }), "client_type"),
        (json!({ "name": 3 }), "name"),
        (json!({ "name": "A", "redirect_uris": [1] }), "redirect_uris[0]"),
        (json!({ "name": "A" }), "redirect_uris"),
        (json!({ "name": "A", "purpose": "personal", "scopes": "everything" }), "scopes"),
        (json!({ "name": "A\u{7}", "purpose": "personal" }), "name"),
        (json!({ "name": "A", "purpose": "other" }), "purpose"),
    ];
    for (body, field) in cases {
        let answer = ben.json(Method::POST, "/api/v1/applications", &body).await;
        assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "fields");
        let errors = answer.json()["errors"].clone();
        assert_eq!(errors[0]["field"], field, "{errors}");
        assert!(errors[0]["code"].is_string() && errors[0]["message"].is_string(), "{errors}");
    }
    let token = scene.all_scopes_token(scene.ben).await;
    for (path, field) in [("/api/v1/posts", "title"), ("/api/v1/notifications/read", "ids")] {
        let answer = scene.stranger().send(token_json("POST", path, &token, "{}")).await;
        assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "fields");
        assert_eq!(answer.json()["errors"][0]["field"], field);
    }
    for broken in ["{", "", "{} x"] {
        let answer = scene.stranger().send(token_json("POST", "/api/v1/posts", &token, broken)).await;
        assert_eq!(answer.status.as_u16() / 100, 4, "{}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn an_unknown_id_is_404_at_every_door_and_never_an_error_of_ours() {
    let scene = Scene::start().await;
    let mut rob = scene.browser_of(scene.rob).await;
    let verdict = json!({ "revision": 1, "reason_code": "other", "reason": "x" });
    for id in ["00000000-0000-0000-0000-000000000000", "x", "%00", "%ff", "1"] {
        for path in ["posts", "applications", "messages"] {
            let answer = rob.get(&format!("/api/v1/{path}/{id}")).await;
            assert_problem(&answer, StatusCode::NOT_FOUND, "not_found");
        }
        let history = rob.get(&format!("/api/v1/applications/{id}/history")).await;
        assert_problem(&history, StatusCode::NOT_FOUND, "not_found");
        for (method, path, body) in [
            (Method::POST, format!("/api/v1/review/{id}/approve"), &verdict),
            (Method::PATCH, format!("/api/v1/applications/{id}"), &json!({})),
            (Method::POST, format!("/api/v1/applications/{id}/withdraw"), &json!({})),
            (Method::POST, format!("/api/v1/messages/{id}/reveal"), &json!({})),
            (Method::POST, format!("/api/v1/tokens/{id}/regenerate"), &json!({})),
            (Method::DELETE, format!("/api/v1/tokens/{id}"), &json!({})),
            (Method::DELETE, format!("/api/v1/authorizations/{id}"), &json!({})),
            (Method::POST, format!("/api/v1/posts/{id}/comments"), &json!({ "body": "x" })),
            (Method::POST, format!("/api/v1/posts/{id}/votes"), &json!({ "direction": "up" })),
        ] {
            let answer = rob.json(method, &path, body).await;
            assert_problem(&answer, StatusCode::NOT_FOUND, "not_found");
        }
        for path in ["/posts", "/settings/apps", "/inbox", "/admin/apps"] {
            let answer = rob.get(&format!("{path}/{id}")).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}/{id}: {}", answer.body);
            assert!(answer.header("content-type").starts_with("text/html"));
        }
    }
    let unknown_verb = format!("/api/v1/review/{}/bless", scene.application);
    assert_problem(&rob.json(Method::POST, &unknown_verb, &verdict).await, StatusCode::NOT_FOUND, "not_found");
    assert_problem(&rob.get("/api/v1/nowhere").await, StatusCode::NOT_FOUND, "not_found");
    assert_eq!(rob.get("/nowhere").await.status, StatusCode::NOT_FOUND);
}

const PAGES: &[&str] = &[
    "GET /",
    "POST /posts",
    "GET /posts/1",
    "POST /posts/1/comments",
    "POST /posts/1/votes",
    "GET /unread",
    "POST /notifications/read",
    "GET POST /login",
    "POST /logout",
    "GET POST /signup",
    "GET POST /setup",
    "GET /settings",
    "GET POST /settings/apps",
    "GET /settings/apps/1",
    "POST /settings/apps/1/edit",
    "POST /settings/apps/1/withdraw",
    "POST /settings/tokens/1/regenerate",
    "POST /settings/tokens/1/revoke",
    "GET /settings/authorizations",
    "POST /settings/authorizations/remove",
    "POST /settings/authorizations/1/remove",
    "GET POST /inbox",
    "GET /inbox/1",
    "POST /inbox/1/reveal",
    "GET POST /authorize",
    "GET /api",
    "GET /admin",
    "GET /admin/apps",
    "GET /admin/apps/1",
    "POST /admin/apps/1/approve",
    "GET /style.css",
    "GET /docs",
    "GET /openapi.json",
    "GET /healthz",
    "GET /readyz",
];
const RESOURCES: &[&str] = &[
    "GET /token",
    "GET /me",
    "POST /posts",
    "GET /posts/1",
    "POST /posts/1/comments",
    "POST /posts/1/votes",
    "GET /notifications",
    "POST /notifications/read",
    "GET POST /messages",
    "GET /messages/1",
    "POST /messages/1/reveal",
    "GET POST /applications",
    "GET PATCH /applications/1",
    "POST /applications/1/withdraw",
    "GET /applications/1/history",
    "GET DELETE /authorizations",
    "DELETE /authorizations/1",
    "GET /tokens",
    "DELETE /tokens/1",
    "POST /tokens/1/regenerate",
    "GET /events",
    "GET /review",
    "POST /review/1/approve",
];

#[tokio::test]
async fn every_wrong_method_is_405_and_allow_names_the_right_ones() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let doors = PAGES.iter().map(|door| ("", *door)).chain(RESOURCES.iter().map(|door| ("/api/v1", *door)));
    for (base, door) in doors {
        let (methods, path) = door.split_once('/').expect("a path");
        let known: Vec<_> = methods.split_whitespace().collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let uri = format!("{base}/{path}");
            let request = Request::builder().method(method).uri(&uri).body(Body::empty()).expect("a request");
            let answer = ben.send(request).await;
            if known.contains(&method) {
                assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {uri}");
                continue;
            }
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {uri}");
            for right in &known {
                assert!(answer.header("allow").contains(right), "{method} {uri}: {:?}", answer.headers);
            }
            if base.is_empty() {
                assert!(answer.header("content-type").starts_with("text/html"), "{method} {uri}");
            } else {
                assert_problem(&answer, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
            }
        }
    }
}

fn post_with_key(token: &str, key: &str, body: &str) -> Request<Body> {
    let mut request = token_json("POST", "/api/v1/posts", token, body);
    request.headers_mut().insert("idempotency-key", key.parse().expect("visible text"));
    request
}

#[tokio::test]
async fn a_repeat_under_the_same_key_answers_the_same_and_another_body_is_422() {
    let scene = Scene::start().await;
    let token = scene.all_scopes_token(scene.ben).await;
    let mut client = scene.stranger();
    let first = client.send(post_with_key(&token, "k", r#"{"title":"One"}"#)).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    let head = scene.head().await;
    let again = client.send(post_with_key(&token, "k", r#"{"title":"One"}"#)).await;
    assert_eq!((again.status, again.json()), (StatusCode::CREATED, first.json()));
    assert_eq!(again.header("countersign-position"), first.header("countersign-position"));
    let other = client.send(post_with_key(&token, "k", r#"{"title":"Two"}"#)).await;
    assert_problem(&other, StatusCode::UNPROCESSABLE_ENTITY, "command_id_reused");
    assert_eq!(scene.head().await, head, "one post");
    // Another member's key is another key, and so is the same one at another door.
    let cleos = scene.owners_write_token().await;
    let hers = client.send(post_with_key(&cleos, "k", r#"{"title":"Two"}"#)).await;
    assert_eq!(hers.status, StatusCode::CREATED, "{}", hers.body);
    for key in ["", &"x".repeat(65)] {
        let malformed = client.send(post_with_key(&token, key, r#"{"title":"One"}"#)).await;
        assert_problem(&malformed, StatusCode::BAD_REQUEST, "command_id_malformed");
    }
}

#[tokio::test]
async fn a_repeated_reveal_says_when_it_was_even_under_the_same_key() {
    let scene = Scene::start().await;
    let message = scene.site.newest_message(scene.cleo).await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let csrf = cleo.get("/settings/apps").await.hidden("csrf_token");
    let reveal = || {
        Request::post(format!("/api/v1/messages/{message}/reveal"))
            .header("x-csrf-token", &csrf)
            .header("idempotency-key", "once")
            .body(Body::empty())
            .expect("a request")
    };
    let first = cleo.send(reveal()).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let again = cleo.send(reveal()).await;
    assert_problem(&again, StatusCode::CONFLICT, "already_revealed");
    assert!(again.json()["current"]["at"].is_string(), "{}", again.body);
    assert!(!again.body.contains("csp_"));
}

#[tokio::test]
async fn a_read_sees_the_position_it_brings_and_none_lies_beyond_the_head() {
    let scene = Scene::start().await;
    let token = scene.all_scopes_token(scene.ben).await;
    let published = scene.stranger().send(token_json("POST", "/api/v1/posts", &token, r#"{"title":"New"}"#)).await;
    let position = published.header("countersign-position").to_owned();
    let read = |position: &str| {
        let request = Request::get("/?sort=new").header(header::AUTHORIZATION, &token);
        request.header("countersign-position", position).body(Body::empty()).expect("a request")
    };
    let seen = scene.stranger().send(read(&position)).await;
    assert_eq!(seen.json()["data"][0]["title"], "New");
    let beyond = format!("1.{}", scene.head().await + 1);
    assert_problem(&scene.stranger().send(read(&beyond)).await, StatusCode::BAD_REQUEST, "position_beyond_head");
    assert_problem(&scene.stranger().send(read("2.1")).await, StatusCode::BAD_REQUEST, "position_beyond_head");
    for malformed in ["", "1", "x.y", "1.-1", "1.1.1"] {
        let answer = scene.stranger().send(read(malformed)).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "position_malformed");
    }
}

#[tokio::test]
async fn a_position_cookie_from_beyond_the_head_is_ignored_and_cleared() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    for beyond in ["1.99999", "9.1", "nonsense"] {
        ben.cookies.insert("position".to_owned(), beyond.to_owned());
        let page = ben.get("/").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert!(!ben.cookies.contains_key("position"), "{beyond} was kept");
    }
    let posted = ben.submit("/", "/posts", &[("title", "Mine")]).await;
    assert_eq!(posted.status, StatusCode::SEE_OTHER);
    assert_eq!(ben.cookies["position"], posted.header("countersign-position"));
    assert!(ben.get("/?sort=new").await.body.contains("Mine"));
}

#[tokio::test]
async fn every_answer_carries_a_request_id_of_its_own() {
    let scene = Scene::start().await;
    let mut seen = std::collections::BTreeSet::new();
    for path in ["/", "/nowhere", "/api/v1/nowhere", "/unread", "/healthz", "/style.css", "/settings"] {
        let answer = scene.stranger().get(path).await;
        assert!(seen.insert(answer.header("x-request-id").to_owned()), "{path}");
    }
}

impl Scene {
    async fn owners_write_token(&self) -> String {
        let (_, client) = self.given_approved("web", crate::checks_scene::CALLBACK, "write").await;
        self.consented(self.cleo, &client, None).await
    }
}
