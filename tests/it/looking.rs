//! Looking changes nothing: whatever a browser fetches ahead, a link on another site leads to, or a HEAD asks, at every
//! door there is, nothing is appended. And lists end where they say: a cursor that nobody gave is told.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use countersign::{
    app::Caller,
    web::{self, document::Document, doors::Door},
};
use countersign_events::{account::Role, recorded::Actor};

use crate::{
    browser_double::{Answer, Browser},
    checks_scene::Scene,
    support::by,
};

/// How one only looks: a method, and headers.
const LOOKS: [(Method, &[(&str, &str)]); 7] = [
    (Method::HEAD, &[]),
    (Method::GET, &[("sec-purpose", "prefetch")]),
    (Method::GET, &[("sec-purpose", "prefetch;prerender")]),
    (Method::GET, &[("purpose", "prefetch")]),
    (Method::GET, &[("x-moz", "prefetch")]),
    (Method::GET, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]),
    (Method::GET, &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")]),
];

/// Everybody who may see anything: an administrator in a browser, and a token with every scope.
struct Onlooker {
    browser: Browser,
    token: Option<String>,
}

impl Onlooker {
    async fn look(&mut self, method: &Method, headers: &[(&str, &str)], path: &str) -> Answer {
        let mut request = Request::builder().method(method.clone()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", token);
        }
        self.browser.send(request.body(Body::empty()).expect("a request")).await
    }
}

#[tokio::test]
async fn looking_at_any_door_in_any_way_appends_nothing() {
    let scene = Scene::start_with(&[("LIMITS_API_PER_MINUTE", "100000")]).await;
    let app = &scene.site.app;
    let root = scene.site.given_member("ida", &[Role::Admin]).await;
    let post = app.publish(&by(scene.ben), scene.ben, "A post", "", "For @ida").await.expect("published").answer;
    app.send_message(&by(scene.ben), scene.ben, "ida", "A letter", "Words").await.expect("sent");
    scene.site.settle().await;
    let message = scene.site.newest_message(root).await;
    let scopes = "read identity notifications messages review audit".parse().expect("scopes");
    let caller = Caller { actor: Actor::Cli("test".to_owned()), ..Caller::system() };
    let token = app.issue_token(&caller, root, scopes, None).await.expect("issued").answer.1;
    let mut onlookers = [
        Onlooker { browser: scene.browser_of(root).await, token: None },
        Onlooker { browser: scene.stranger(), token: Some(token) },
    ];
    scene.site.settle().await;
    let unread = app.unread_count(root).await.expect("a count");
    let head = scene.head().await;
    for Door { path, method, .. } in web::doors(&Document::default()) {
        if method != Method::GET {
            continue;
        }
        let id = match path {
            path if path.contains("/posts/") => post.to_string(),
            path if path.contains("/inbox/") || path.contains("/messages/") => message.to_string(),
            path if path.contains("/audit/") => "1".to_owned(),
            _ => scene.application.to_string(),
        };
        let mut path = path.replace("{id}", &id).replace("{group}", "audit");
        if path == "/unread" {
            path.push_str("?mark_read=true");
        }
        for onlooker in &mut onlookers {
            for (method, headers) in &LOOKS {
                let answer = onlooker.look(method, headers, &path).await;
                assert!(!answer.status.is_server_error(), "{method} {path} {headers:?}: {}", answer.status);
                assert_eq!(scene.head().await, head, "{method} {path} {headers:?}: {}", answer.status);
            }
        }
    }
    assert_eq!(app.unread_count(root).await.expect("a count"), unread);
    // Whoever reads has read: these doors do append, when it is meant.
    let opened = onlookers[0].look(&Method::GET, &[], &format!("/inbox/{message}")).await;
    assert_eq!(opened.status, StatusCode::OK);
    assert_eq!(scene.head().await, head + 1);
    onlookers[1].look(&Method::GET, &[], "/unread?mark_read=true").await;
    assert_eq!(scene.head().await, head + 2);
    assert_eq!(onlookers[0].look(&Method::GET, &[], "/admin/audit.csv").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn every_list_has_pages_and_tells_a_cursor_that_nobody_gave_and_a_parameter_that_it_does_not_know() {
    let scene = Scene::start_with(&[("LIMITS_API_PER_MINUTE", "100000")]).await;
    let app = &scene.site.app;
    let root = scene.site.given_member("ida", &[Role::Admin]).await;
    let post = app.publish(&by(scene.ben), scene.ben, "A post", "", "Words").await.expect("published").answer;
    app.comment(&by(scene.ben), scene.ben, post, None, "Words").await.expect("posted");
    scene.site.settle().await;
    let mut browser = scene.browser_of(root).await;
    let document = browser.get("/openapi.json").await.json();
    let named = |shape: &serde_json::Value| {
        let name = shape["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
        name.map_or_else(|| shape.clone(), |name| document["components"]["schemas"][name].clone())
    };
    let mut lists = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let operation = &item["get"];
        let shape = named(&operation["responses"]["200"]["content"]["application/json"]["schema"]);
        let properties = shape["properties"].as_object().cloned().unwrap_or_default();
        let is_of_things =
            |property: &serde_json::Value| property["type"] == "array" && named(&property["items"])["type"] == "object";
        let Some((list, _)) = properties.iter().find(|(_, property)| is_of_things(property)) else { continue };
        // As many as there are read models, which no stranger makes more.
        if path == "/api/v1/projections" {
            continue;
        }
        lists += 1;
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let has = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
        assert!(has("after") && has("limit"), "{path} has a list {list} without pages");
        let id = if path.contains("/posts/") { post.to_string() } else { scene.application.to_string() };
        let path = path.replace("{id}", &id);
        for cursor in ["no-cursor", "01b3c4df-fb78-76a3-bdea-6290ca71e2b7", "%00", "-1", "99999999999999999999999"] {
            let sort = if path == "/" { "sort=new&" } else { "" };
            let answer = browser.get_json(&format!("{path}?{sort}after={cursor}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} after={cursor}: {}", answer.body);
            assert_eq!(answer.json()["code"], "cursor", "{path}");
        }
        for limit in ["0", "101", "-1", "x", ""] {
            let answer = browser.get_json(&format!("{path}?limit={limit}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} limit={limit}: {}", answer.body);
        }
        if path != "/" {
            let answer = browser.get_json(&format!("{path}?limits=1")).await;
            assert_eq!(answer.json()["code"], "unknown_parameter", "{path}: {}", answer.body);
        }
    }
    assert!(lists >= 8, "{lists}");
}
