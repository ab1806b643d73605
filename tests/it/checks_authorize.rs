//! The checks of `/authorize`, by their numbers (A, P3), and the rules of the simple flow.

use axum::http::StatusCode;
use countersign::app::reviews::Verb;
use countersign_events::application::Seen;

use crate::{
    checks_scene::{CALLBACK, Scene, answer, assert_page_without_redirect, consent_fields, form_post, parameter},
    support::by,
};

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn a1_an_unknown_client_is_told_to_the_user_and_redirects_nowhere() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    for client in ["", "nobody", "0123456789012345678901", "%00", "%ff"] {
        let path = format!("/authorize?client_id={client}&redirect_uri={}", encoded(CALLBACK));
        assert_page_without_redirect(&ben.get(&path).await, StatusCode::BAD_REQUEST);
        assert_page_without_redirect(&scene.stranger().get(&path).await, StatusCode::BAD_REQUEST);
    }
    assert_page_without_redirect(&ben.get("/authorize").await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a2_an_unregistered_redirect_uri_redirects_nowhere() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    for uri in ["https://evil.example/cb", "https://app.example/", "", "/cb", "app.example/cb?keep=1"] {
        let path = scene.authorize_path(&format!("&redirect_uri={}", encoded(uri)));
        assert_page_without_redirect(&ben.get(&path).await, StatusCode::BAD_REQUEST);
    }
    let good = scene.authorize_path(&format!("&redirect_uri={}", encoded(CALLBACK)));
    assert_eq!(ben.get(&good).await.status, StatusCode::OK);
}

const TRICKS: &[&str] = &[
    "https://app.example/cb?keep=1&more=1",
    "https://app.example/cb?keep=2",
    "https://app.example/cb",
    "https://app.example/cb/x?keep=1",
    "https://app.example/cb/?keep=1",
    "https://app.example/cb?keep=1#fragment",
    "https://app.example/cb?keep=1#",
    "https://app.example/x/../cb?keep=1",
    "https://app.example/./cb?keep=1",
    "https://app.example/%2e/cb?keep=1",
    "https://app.example/%63b?keep=1",
    "https://App.example/cb?keep=1",
    "HTTPS://app.example/cb?keep=1",
    "https://app.example/CB?keep=1",
    "https://app.example./cb?keep=1",
    "https://app.example:443/cb?keep=1",
    "https://app.example:8443/cb?keep=1",
    "http://app.example/cb?keep=1",
    "https://app.example@evil.example/cb?keep=1",
    "https://evil@app.example/cb?keep=1",
    "https://evil:evil@app.example/cb?keep=1",
    "https://app.example.evil.example/cb?keep=1",
    "https://evil-app.example/cb?keep=1",
    "https://evil.example\\@app.example/cb?keep=1",
    "https:\\\\app.example\\cb?keep=1",
    "https://app.example/cb?keep=1\r\nSet-Cookie: a=b",
    "https://app.example/cb?keep=1\n",
    " https://app.example/cb?keep=1",
    "https://app.example/cb?keep=1 ",
    "https://app.example/cb?keep=1\0",
    "//app.example/cb?keep=1",
    "javascript:alert(1)//https://app.example/cb?keep=1",
    "data:text/html,https://app.example/cb?keep=1",
    "https://аpp.example/cb?keep=1",
];

#[tokio::test]
async fn a3_every_trick_with_the_redirect_uri_is_refused() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    for trick in TRICKS {
        let answer = ben.get(&scene.authorize_path(&format!("&redirect_uri={}", encoded(trick)))).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, ""), "{trick:?}");
    }
}

#[tokio::test]
async fn a3_two_redirect_uris_are_refused_even_when_both_are_registered() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    for (first, second) in
        [(CALLBACK, CALLBACK), (CALLBACK, "https://evil.example/"), ("https://evil.example/", CALLBACK)]
    {
        let more = format!("&redirect_uri={}&redirect_uri={}", encoded(first), encoded(second));
        assert_page_without_redirect(&ben.get(&scene.authorize_path(&more)).await, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a3_a_posted_consent_is_judged_like_a_shown_one() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let page = ben.get(&scene.authorize_path("")).await;
    let before = scene.head().await;
    for trick in TRICKS {
        let fields = consent_fields(&page);
        let mut all: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.retain(|(name, _)| *name != "redirect_uri");
        all.extend([("redirect_uri", *trick), ("decision", "authorize")]);
        let sent = ben.post("/authorize", &all).await;
        assert_eq!((sent.status, sent.location()), (StatusCode::BAD_REQUEST, ""), "{trick:?}");
    }
    assert_eq!(scene.head().await, before);
}

#[tokio::test]
async fn a4_a_loopback_address_takes_any_port_and_nothing_else() {
    let scene = Scene::start().await;
    let registered = "http://127.0.0.1/cb\nhttp://[::1]/cb";
    let (_, client) = scene.given_approved("native", registered, "read").await;
    let mut ben = scene.browser_of(scene.ben).await;
    let mut ask = async |uri: &str| {
        let path = format!("/authorize?client_id={client}&redirect_uri={}", encoded(uri));
        ben.get(&path).await
    };
    for uri in ["http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb", "http://[::1]:8000/cb"] {
        let page = ask(uri).await;
        assert_eq!(page.status, StatusCode::OK, "{uri}");
        assert_eq!(page.hidden("redirect_uri"), uri);
    }
    for uri in [
        "http://localhost:8000/cb",
        "http://localhost/cb",
        "http://attacker@127.0.0.1/cb",
        "http://attacker@127.0.0.1:80/cb",
        "http://attacker:1@127.0.0.1/cb",
        "http://127.0.0.1:80@evil.example/cb",
        "http://127.0.0.1:8000/other",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.1:/cb",
        "http://127.0.0.1:+1/cb",
        "http://127.0.0.2:8000/cb",
        "http://127.1:8000/cb",
        "http://2130706433:8000/cb",
        "http://[::1%25lo]:8000/cb",
        "http://[0:0:0:0:0:0:0:1]:8000/cb",
        "https://127.0.0.1:8000/cb",
        "http://127.0.0.1.evil.example:8000/cb",
    ] {
        assert_page_without_redirect(&ask(uri).await, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a10_an_application_that_is_not_approved_any_more_gets_a_page_without_the_reason() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let suspended = |word| (StatusCode::FORBIDDEN, word);
    for (verb, (status, word)) in [(Verb::Suspend, suspended("suspended")), (Verb::Revoke, suspended("revoked"))] {
        scene.site.decide(scene.rob, scene.application, verb).await;
        let page = ben.get(&scene.authorize_path("&state=x")).await;
        assert_page_without_redirect(&page, status);
        assert!(page.body.contains(word), "{}", page.body);
        assert!(!page.body.contains("As agreed."), "{}", page.body);
    }
    let (id, client) = scene.given_approved("web", CALLBACK, "read").await;
    scene.site.app.withdraw_application(&by(scene.cleo), scene.cleo, id, Seen::default()).await.expect("withdrawn");
    let page = ben.get(&format!("/authorize?client_id={client}")).await;
    assert_page_without_redirect(&page, StatusCode::FORBIDDEN);
    assert!(page.body.contains("withdrawn"), "{}", page.body);
}

#[tokio::test]
async fn a10_a_consent_page_shown_before_the_suspension_grants_nothing_after_it() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let page = ben.get(&scene.authorize_path("")).await;
    scene.site.decide(scene.rob, scene.application, Verb::Suspend).await;
    let before = scene.head().await;
    for decision in ["authorize", "deny"] {
        assert_page_without_redirect(&answer(&mut ben, &page, decision).await, StatusCode::FORBIDDEN);
    }
    assert_eq!(scene.head().await, before);
}

#[tokio::test]
async fn a11_a_state_of_four_kibibytes_comes_back_as_it_was_sent_with_success_and_with_errors() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let hard = "a b+c&d=e%20\"'<>#?/\\é€😀;";
    let state: String = hard.chars().cycle().take(3_600).collect();
    assert!(state.len() >= 4_096);
    for (decision, name) in [("authorize", "access_token"), ("deny", "error")] {
        let page = ben.get(&scene.authorize_path(&format!("&state={}", encoded(&state)))).await;
        assert_eq!(page.status, StatusCode::OK);
        let sent = answer(&mut ben, &page, decision).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.body);
        assert_eq!(parameter(sent.location(), "state").as_deref(), Some(state.as_str()));
        assert!(parameter(sent.location(), name).is_some());
        assert_eq!(parameter(sent.location(), "keep").as_deref(), Some("1"));
    }
    let error = ben.get(&scene.authorize_path(&format!("&scope=write&state={}", encoded(&state)))).await;
    assert_eq!(parameter(error.location(), "error").as_deref(), Some("invalid_scope"));
    assert_eq!(parameter(error.location(), "state").as_deref(), Some(state.as_str()));
}

#[tokio::test]
async fn a11_no_state_comes_back_where_none_was_sent_and_none_that_would_be_changed_on_the_way() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let page = ben.get(&scene.authorize_path("")).await;
    let sent = answer(&mut ben, &page, "authorize").await;
    assert_eq!(parameter(sent.location(), "state"), None);
    for state in ["a%0Ab", "a%00b", "%ff"] {
        let sent = ben.get(&scene.authorize_path(&format!("&state={state}"))).await;
        assert_eq!(parameter(sent.location(), "error").as_deref(), Some("invalid_request"), "{state}");
        assert_eq!(parameter(sent.location(), "state"), None);
    }
}

#[tokio::test]
async fn a14_a_denial_goes_back_as_access_denied_without_a_token() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let page = ben.get(&scene.authorize_path("&state=s")).await;
    let sent = answer(&mut ben, &page, "deny").await;
    assert_eq!(sent.location(), "https://app.example/cb?keep=1&error=access_denied&state=s");
    assert_eq!(sent.header("referrer-policy"), "no-referrer");
    assert!(scene.site.app.my_tokens(scene.ben).await.expect("tokens").is_empty());
}

#[tokio::test]
async fn a15_every_redirect_after_a_post_is_a_303() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    for decision in ["authorize", "deny"] {
        let page = ben.get(&scene.authorize_path("")).await;
        assert_eq!(answer(&mut ben, &page, decision).await.status, StatusCode::SEE_OTHER);
    }
    let removed = format!("/settings/authorizations/{}/remove", scene.application);
    for (page, path, fields) in [
        ("/settings/authorizations", removed.as_str(), vec![]),
        ("/settings/apps", "/settings/apps", vec![("name", "Mine"), ("purpose", "personal")]),
        ("/settings/apps", "/posts", vec![("title", "A post")]),
        ("/settings/apps", "/logout", vec![]),
        ("/login", "/login", vec![("username", "ben"), ("password", crate::checks_scene::PASSWORD)]),
    ] {
        let sent = ben.submit(page, path, &fields).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{path}: {}", sent.body);
    }
}

#[tokio::test]
async fn a16_any_parameter_sent_twice_is_an_invalid_request() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    for twice in [
        "state=a&state=a",
        "scope=read&scope=read",
        "scope=bad&scope=bad",
        "x=1&x=2",
        "response_type=a&response_type=b",
    ] {
        let sent = ben.get(&scene.authorize_path(&format!("&{twice}"))).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{twice}");
        assert_eq!(parameter(sent.location(), "error").as_deref(), Some("invalid_request"), "{twice}");
        assert_eq!(parameter(sent.location(), "state"), None, "of two states neither is the one");
    }
    let two_clients = scene.authorize_path(&format!("&client_id={}", scene.client));
    assert_page_without_redirect(&ben.get(&two_clients).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_response_type_is_unsupported_until_code_flow_is_there() {
    for settings in [&[][..], &[("SIMPLE_FLOW", "false")][..]] {
        let scene = Scene::start_with(settings).await;
        let mut ben = scene.browser_of(scene.ben).await;
        for response_type in ["code", "token", ""] {
            let sent = ben.get(&scene.authorize_path(&format!("&response_type={response_type}&state=s"))).await;
            let expected = "https://app.example/cb?keep=1&error=unsupported_response_type&state=s";
            assert_eq!(sent.location(), expected);
        }
    }
}

#[tokio::test]
async fn a_site_without_the_simple_flow_refuses_it_and_does_not_explain_it() {
    let scene = Scene::start_with(&[("SIMPLE_FLOW", "false")]).await;
    let mut ben = scene.browser_of(scene.ben).await;
    let page = ben.get(&scene.authorize_path("&state=s")).await;
    assert_page_without_redirect(&page, StatusCode::FORBIDDEN);
    assert!(!ben.get("/api").await.body.contains("/authorize/?client_id="));
}

#[tokio::test]
async fn p3_a_consent_holds_in_its_own_session_only() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let page = ben.get(&scene.authorize_path("")).await;
    let mut elsewhere = scene.browser_of(scene.ben).await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let before = scene.head().await;
    for other in [&mut elsewhere, &mut cleo] {
        let csrf = other.get("/settings/apps").await.hidden("csrf_token");
        let fields = consent_fields(&page);
        let mut all: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.retain(|(name, _)| *name != "csrf_token");
        all.extend([("csrf_token", csrf.as_str()), ("decision", "authorize")]);
        let sent = other.post("/authorize", &all).await;
        assert_eq!((sent.status, sent.location()), (StatusCode::FORBIDDEN, ""));
    }
    assert_eq!(scene.head().await, before);
}

#[tokio::test]
async fn p3_a_consent_answers_once_the_same_within_a_minute_and_is_refused_after_it() {
    for (decision, other) in [("authorize", "deny"), ("deny", "authorize")] {
        let scene = Scene::start().await;
        let mut ben = scene.browser_of(scene.ben).await;
        let page = ben.get(&scene.authorize_path("")).await;
        let first = answer(&mut ben, &page, decision).await;
        let after_first = scene.head().await;
        for again in [decision, other] {
            let sent = answer(&mut ben, &page, again).await;
            assert_eq!((sent.status, sent.location()), (StatusCode::SEE_OTHER, first.location()));
        }
        scene.site.clock.advance(chrono::Duration::seconds(61));
        for late in [decision, other] {
            let sent = answer(&mut ben, &page, late).await;
            assert_eq!((sent.status, sent.location()), (StatusCode::FORBIDDEN, ""), "{decision} then {late}");
        }
        assert_eq!(scene.head().await, after_first);
    }
}

#[tokio::test]
async fn p3_what_a_consent_page_showed_cannot_be_changed_on_the_way() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let page = ben.get(&scene.authorize_path("&scope=read&state=mine")).await;
    for (name, value) in
        [("scope", "read identity notifications"), ("state", "other"), ("nonce", ""), ("nonce", "1.1.x.y")]
    {
        let fields = consent_fields(&page);
        let changed = fields.iter().map(|(known, kept)| (*known, if *known == name { value } else { kept.as_str() }));
        let mut all: Vec<_> = changed.collect();
        all.push(("decision", "authorize"));
        let sent = ben.post("/authorize", &all).await;
        assert_eq!((sent.status, sent.location()), (StatusCode::FORBIDDEN, ""), "{name}");
    }
}

#[tokio::test]
async fn p3_a_log_in_that_another_site_sends_is_refused() {
    let scene = Scene::start().await;
    let body = format!("username=cleo&password={}", encoded(crate::checks_scene::PASSWORD));
    let mut victim = scene.stranger();
    let sent = victim.send(form_post("/login", &body, &[])).await;
    assert_eq!(sent.status, StatusCode::FORBIDDEN, "no CSRF token");
    // A token from the attacker's own browser does not do either.
    let attackers = scene.stranger().get("/login").await.hidden("csrf_token");
    victim.get("/login").await;
    let sent = victim.send(form_post("/login", &format!("{body}&csrf_token={attackers}"), &[])).await;
    assert_eq!(sent.status, StatusCode::FORBIDDEN, "another browser's CSRF token");
    let own = victim.get("/login").await.hidden("csrf_token");
    let foreign = [("origin", "https://evil.example")];
    let sent = victim.send(form_post("/login", &format!("{body}&csrf_token={own}"), &foreign)).await;
    assert_eq!(sent.status, StatusCode::FORBIDDEN, "from another origin");
    assert_eq!(victim.get("/settings").await.status, StatusCode::SEE_OTHER, "nobody is signed in");
}

#[tokio::test]
async fn a_member_has_at_most_five_live_tokens_of_an_application_and_the_oldest_ends() {
    let scene = Scene::start().await;
    let mut tokens = vec![];
    for _ in 0..6 {
        tokens.push(scene.consented(scene.ben, &scene.client, None).await);
        scene.site.clock.advance(chrono::Duration::seconds(1));
    }
    scene.site.app.check_token(&tokens[0]).expect_err("the sixth displaced it");
    for token in &tokens[1..] {
        scene.site.app.check_token(token).expect("one of five");
    }
}
