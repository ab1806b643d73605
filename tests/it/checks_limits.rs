//! The checks of guessing and of limits, by their numbers (P8, P9).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{
    extract::ConnectInfo,
    http::{Method, StatusCode},
};

use crate::{
    browser_double::{Answer, Browser},
    checks_scene::{PASSWORD, Scene, form_post},
    running_site::RunningSite,
};

/// A log-in from an address.
async fn try_from(browser: &mut Browser, address: &str, username: &str, password: &str) -> Answer {
    let csrf = browser.get("/login").await.hidden("csrf_token");
    let fields = [("csrf_token", csrf.as_str()), ("username", username), ("password", password)];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut request = form_post("/login", &body, &[]);
    let peer: SocketAddr = format!("{address}:4000").parse().expect("an address");
    request.extensions_mut().insert(ConnectInfo(peer));
    browser.send(request).await
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn p8_an_unknown_user_and_a_wrong_password_look_the_same_and_take_as_long() {
    // The real program: passwords of a site within the test cost next to nothing.
    let site = RunningSite::start_with(&[("LIMITS_LOGIN_PER_MINUTE", "100")], &[]);
    site.given_member("cleo", &[]);
    let mut visitor = site.visitor();
    let (mut known, mut unknown) = (vec![], vec![]);
    for _ in 0..9 {
        let mut bodies = vec![];
        for (name, times) in [("cleo", &mut known), ("dave", &mut unknown)] {
            let start = Instant::now();
            let fields = [("username", name), ("password", "not the password")];
            let answer = visitor.submit("/login", "/login", &fields).await;
            times.push(start.elapsed());
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
            assert_eq!(answer.header("set-cookie"), "");
            bodies.push(answer.body.replace(name, "NAME").replace(&answer.hidden("csrf_token"), "TOKEN"));
        }
        assert_eq!(bodies[0], bodies[1]);
    }
    let (known, unknown) = (median(known), median(unknown));
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    // One verification of argon2id is nearly all of it: without the dummy the ratio is far beyond 2.
    assert!((0.5..2.0).contains(&ratio), "a wrong password takes {known:?}, an unknown user {unknown:?}");
}

fn assert_limited(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.body);
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1), "{:?}", answer.headers);
    assert!(answer.header("ratelimit-limit").parse::<u64>().is_ok(), "{:?}", answer.headers);
    assert_eq!(answer.header("ratelimit-remaining"), "0");
    assert!(answer.header("ratelimit-reset").parse::<u64>().is_ok_and(|seconds| seconds >= 1), "{:?}", answer.headers);
}

#[tokio::test]
async fn p9_guessing_is_limited_however_the_name_is_typed_and_locks_nobody_out() {
    let scene = Scene::start_with(&[("LIMITS_LOGIN_PER_MINUTE", "3")]).await;
    let mut stranger = scene.stranger();
    for name in ["cleo", " cleo", "CLEO\t"] {
        let answer = try_from(&mut stranger, "192.0.2.1", name, "a guess at it").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    }
    for name in ["cleo", "cleo  ", "Cleo"] {
        let limited = try_from(&mut stranger, "192.0.2.1", name, PASSWORD).await;
        assert_limited(&limited);
        assert!(limited.body.contains("Too many tries. Wait 20 seconds, then try again."), "{}", limited.body);
    }
    let mut cleo = scene.stranger();
    let entered = try_from(&mut cleo, "192.0.2.2", "cleo", PASSWORD).await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER, "the owner comes from elsewhere: {}", entered.body);
}

#[tokio::test]
async fn p9_an_address_cannot_try_many_accounts() {
    let scene = Scene::start_with(&[("LIMITS_LOGIN_PER_MINUTE", "1")]).await;
    let mut stranger = scene.stranger();
    for name in ["one", "two", "three"] {
        let answer = try_from(&mut stranger, "192.0.2.1", name, "a guess at it").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
    }
    assert_limited(&try_from(&mut stranger, "192.0.2.1", "four", "a guess at it").await);
}

#[tokio::test]
async fn p9_an_address_says_nothing_of_itself_unless_a_trusted_proxy_passes_it_on() {
    let scene = Scene::start_with(&[("LIMITS_LOGIN_PER_MINUTE", "1")]).await;
    let mut stranger = scene.stranger();
    for (spoofed, status) in
        [("198.51.100.1", StatusCode::UNAUTHORIZED), ("198.51.100.2", StatusCode::TOO_MANY_REQUESTS)]
    {
        let csrf = stranger.get("/login").await.hidden("csrf_token");
        let body = format!("csrf_token={csrf}&username=cleo&password=a+guess+at+it");
        let mut request = form_post("/login", &body, &[("x-forwarded-for", spoofed)]);
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 4000))));
        assert_eq!(stranger.send(request).await.status, status);
    }
}

#[tokio::test]
async fn p9_sign_ups_from_one_address_are_limited() {
    let scene = Scene::start_with(&[("LIMITS_SIGNUP_PER_HOUR", "2")]).await;
    for name in ["one1", "two2"] {
        let fields = [("username", name), ("password", PASSWORD)];
        let joined = scene.stranger().submit("/signup", "/signup", &fields).await;
        assert_eq!(joined.status, StatusCode::SEE_OTHER, "{}", joined.body);
    }
    let fields = [("username", "three3"), ("password", PASSWORD)];
    assert_limited(&scene.stranger().submit("/signup", "/signup", &fields).await);
}

#[tokio::test]
async fn p9_a_token_is_limited_and_told_what_is_left() {
    let scene = Scene::start_with(&[("LIMITS_API_PER_MINUTE", "2")]).await;
    let token = scene.owners_token().await;
    for left in ["1", "0"] {
        let answer = scene.stranger().with_token(Method::GET, "/unread", &token).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!((answer.header("ratelimit-limit"), answer.header("ratelimit-remaining")), ("2", left));
    }
    let limited = scene.stranger().with_token(Method::GET, "/unread", &token).await;
    assert_limited(&limited);
    assert_eq!(limited.json()["code"], "too_many_requests");
    let other = scene.consented(scene.ben, &scene.client, None).await;
    assert_eq!(scene.stranger().with_token(Method::GET, "/unread", &other).await.status, StatusCode::OK);
}

#[tokio::test]
async fn p9_a_member_has_three_open_requests_and_the_fourth_waits() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    for name in ["One", "Two", "Three"] {
        let asked = ben.submit("/settings/apps", "/settings/apps", &[("name", name), ("purpose", "personal")]).await;
        assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.body);
    }
    let before = scene.head().await;
    let fourth = ben.submit("/settings/apps", "/settings/apps", &[("name", "Four"), ("purpose", "personal")]).await;
    assert_limited(&fourth);
    assert!(fourth.body.contains("value=\"Four\""), "what was typed survives");
    let body = serde_json::json!({ "name": "Four", "purpose": "personal" });
    let api = ben.json(Method::POST, "/api/v1/applications", &body).await;
    assert_limited(&api);
    assert_eq!(api.json()["code"], "too_many_open_requests");
    assert_eq!(scene.head().await, before);
    let open = scene.site.app.my_applications(scene.ben).await.expect("his")[0].application_id;
    let withdrawn = ben.submit("/settings/apps", &format!("/settings/apps/{open}/withdraw"), &[]).await;
    assert_eq!(withdrawn.status, StatusCode::SEE_OTHER);
    let again = ben.submit("/settings/apps", "/settings/apps", &[("name", "Four"), ("purpose", "personal")]).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER, "{}", again.body);
}
