//! Headers that are none of a door's business, at every door there is: passwords that a proxy asked for, tokens of
//! others, tokens that are wrong, and another spelling of the site's address.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use countersign::{
    app::Caller,
    web::{
        self,
        document::Document,
        doors::{Door, Who},
    },
};
use countersign_events::recorded::Actor;

use crate::{browser_double::Browser, checks_scene::Scene, support::TestApp};

const BASIC: &str = "Basic YWRhOmNvcnJlY3QgaG9yc2UgYmF0dGVyeQ==";
const WRONG: &str = "Bearer csp_0000000000000000000000000000000000000000000000000";
const OTHERS: [&str; 5] =
    [BASIC, "Digest username=\"ada\"", "Negotiate YII=", "Bearer ghp_16C7e42F292c6912E7710c838347Ae178B4a", "?"];

fn path_of(scene: &Scene, door: &Door) -> String {
    door.path.replace("{id}", &scene.application.to_string()).replace("{verb}", "claim").replace("{group}", "audit")
}

async fn knock(browser: &mut Browser, method: &Method, path: &str, authorization: &str) -> (StatusCode, String) {
    let request = Request::builder().method(method.clone()).uri(path).header(header::AUTHORIZATION, authorization);
    let answer = browser.send(request.body(Body::empty()).expect("a request")).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn every_door_looks_at_a_token_where_it_takes_one_and_nowhere_else() {
    let scene = Scene::start_with(&[("LIMITS_API_PER_MINUTE", "100000")]).await;
    let caller = Caller { actor: Actor::Cli("test".to_owned()), ..Caller::system() };
    let ours = scene.site.app.issue_token(&caller, scene.ben, "read".parse().expect("a scope"), None).await;
    let ours = ours.expect("issued").answer.1;
    for door in web::doors(&Document::default()).iter().filter(|door| door.who != Who::Watcher) {
        let path = path_of(&scene, door);
        let mut stranger = scene.stranger();
        let without = stranger
            .send(Request::builder().method(door.method.clone()).uri(&path).body(Body::empty()).expect("a request"));
        let without = without.await.status;
        for value in OTHERS.into_iter().chain([WRONG, &ours]) {
            let (status, body) = knock(&mut scene.stranger(), &door.method, &path, value).await;
            let (method, who) = (&door.method, door.who);
            if door.takes_tokens() {
                let is_foreign = !value.starts_with("Bearer") && value.contains(' ');
                if value == WRONG || value.starts_with("Bearer ghp") || value == "?" {
                    assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} ({who}), {value}: {body}");
                } else if is_foreign && door.path == "/" {
                    assert_eq!(status, without, "{method} {path}, {value}: {body}");
                } else if is_foreign {
                    assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} ({who}), {value}");
                    assert!(body.contains("Bearer <token>"), "{method} {path} tells how to send ours: {body}");
                } else {
                    assert_ne!(status, StatusCode::UNAUTHORIZED, "{method} {path} ({who}), {value}: {body}");
                }
            } else {
                assert_eq!(status, without, "{method} {path} ({who}), {value}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn a_member_behind_a_proxy_with_passwords_of_its_own_is_signed_in() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let request = Request::get("/settings").header(header::AUTHORIZATION, BASIC);
    let answer = ben.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.body.contains("ben"), "{}", answer.body);
}

async fn at(
    site: &TestApp,
    method: Method,
    host: &str,
    path: &str,
    origin: Option<&str>,
) -> crate::browser_double::Answer {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, host);
    if let Some(origin) = origin {
        request = request.header(header::ORIGIN, origin);
    }
    Browser::new(&site.app).send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn pages_at_another_spelling_of_the_address_lead_to_the_right_one() {
    let site = TestApp::start_with(&[("PUBLIC_URL", "http://127.0.0.1:8080/dev")]).await;
    let answer = at(&site, Method::GET, "localhost:8080", "/dev/setup?token=x", None).await;
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.location(), "http://127.0.0.1:8080/dev/setup?token=x");
    for host in [
        "127.0.0.1:8080",
        "localhost:9000",
        "site.example",
        "evil.example:8080",
        "",
        "%",
        "localhost:8080@evil.example",
    ] {
        let answer = at(&site, Method::GET, host, "/dev/login", None).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}");
    }
    let probe = at(&site, Method::GET, "localhost:8080", "/dev/healthz", None).await;
    assert_eq!(probe.status, StatusCode::OK);
    let posted = at(&site, Method::POST, "localhost:8080", "/dev/login", Some("http://localhost:8080")).await;
    assert_eq!(posted.status, StatusCode::FORBIDDEN);
    assert!(posted.body.contains("http://127.0.0.1:8080/dev/"), "it names the right address: {}", posted.body);
}

#[tokio::test]
async fn behind_a_public_url_no_host_leads_anywhere_else() {
    let site = TestApp::start_with(&[("PUBLIC_URL", "https://site.example")]).await;
    for host in ["127.0.0.1:8080", "localhost", "site.example", "other.example"] {
        let answer = at(&site, Method::GET, host, "/login", None).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}: a proxy says what host it likes");
    }
}
