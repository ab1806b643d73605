//! The checks of pages, by their numbers (P1, P2, P4, P5, P6, P10, P11).

use axum::http::{Method, StatusCode};
use countersign::app::reviews::Verb;
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use crate::{
    browser_double::{Answer, Browser},
    checks_scene::{PASSWORD, Scene, form_post},
};

const HTTPS: &[(&str, &str)] = &[("PUBLIC_URL", "https://site.example")];

/// The `Set-Cookie` line of a cookie.
pub fn set_cookie(answer: &Answer, name: &str) -> String {
    let lines = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().expect("text"));
    let mut ours = lines.filter(|line| line.starts_with(&format!("{name}=")));
    ours.next().unwrap_or_else(|| panic!("no {name} in {:?}", answer.headers)).to_owned()
}

#[tokio::test]
async fn p1_the_session_cookie_has_the_attributes_that_its_url_allows() {
    for (settings, name, path, secure) in [
        (&[][..], "session", "/", false),
        (HTTPS, "__Host-session", "/", true),
        (&[("PUBLIC_URL", "https://site.example/dev")][..], "__Secure-session", "/dev", true),
    ] {
        let scene = Scene::start_with(settings).await;
        let base = if path == "/" { "" } else { path };
        let mut browser = scene.stranger();
        let page = browser.get(&format!("{base}/login")).await;
        let csrf = page.hidden("csrf_token");
        let fields = [("csrf_token", csrf.as_str()), ("username", "ben"), ("password", PASSWORD)];
        let entered = browser.post(&format!("{base}/login"), &fields).await;
        for answer in [page, entered] {
            let cookie = set_cookie(&answer, name);
            let attributes: Vec<_> = cookie.split("; ").skip(1).collect();
            for wanted in ["HttpOnly", "SameSite=Lax", &format!("Path={path}")] {
                assert!(attributes.contains(&wanted), "{wanted}: {cookie}");
            }
            assert_eq!(attributes.contains(&"Secure"), secure, "{cookie}");
            assert!(!attributes.iter().any(|attribute| attribute.starts_with("Domain")), "{cookie}");
        }
    }
}

#[tokio::test]
async fn p1_a_log_in_and_a_password_given_again_change_the_session_and_end_the_old_one() {
    let scene = Scene::start().await;
    let mut rob = scene.stranger();
    rob.get("/login").await;
    let before = rob.cookies["session"].clone();
    rob.log_in("rob").await;
    let logged_in = rob.cookies["session"].clone();
    assert_ne!(before, logged_in);
    rob.submit("/login?again=1", "/login", &[("username", "rob"), ("password", PASSWORD)]).await;
    let again = rob.cookies["session"].clone();
    assert_ne!(logged_in, again);
    assert!(!is_signed_in(&scene, &before).await && !is_signed_in(&scene, &logged_in).await);

    let pending = scene.site.given_request(scene.cleo, "Pending").await;
    scene.site.clock.advance(chrono::Duration::minutes(16));
    let review = format!("/admin/apps/{pending}");
    let verdict = [("revision", "1"), ("reason_code", "other"), ("reason", "x"), ("password", PASSWORD)];
    let decided = rob.submit(&review, &format!("{review}/deny"), &verdict).await;
    assert_eq!(decided.status, StatusCode::SEE_OTHER, "{}", decided.body);
    assert_ne!(rob.cookies["session"], again);
    assert!(!is_signed_in(&scene, &again).await && is_signed_in(&scene, &rob.cookies["session"]).await);

    let last = rob.cookies["session"].clone();
    rob.submit("/settings", "/logout", &[]).await;
    assert!(!is_signed_in(&scene, &last).await);
}

async fn is_signed_in(scene: &Scene, session: &str) -> bool {
    let mut browser = scene.stranger();
    browser.cookies.insert("session".to_owned(), session.to_owned());
    browser.get("/settings").await.status == StatusCode::OK
}

#[tokio::test]
async fn p2_a_form_without_its_token_or_from_elsewhere_changes_nothing() {
    let scene = Scene::start().await;
    let pending = scene.site.given_request(scene.cleo, "Pending").await;
    let mut rob = scene.browser_of(scene.rob).await;
    let csrf = rob.get("/settings/apps").await.hidden("csrf_token");
    let before = scene.head().await;
    let decide = format!("/admin/apps/{pending}/approve");
    let doors = [
        ("/posts", "title=x"),
        ("/settings/apps", "name=x&purpose=personal"),
        ("/settings/authorizations/remove", ""),
        (decide.as_str(), "revision=1&reason_code=other&reason=x"),
        ("/logout", ""),
        ("/signup", "username=eve&password=long+enough+password"),
    ];
    for (path, fields) in doors {
        let good = format!("{fields}&csrf_token={csrf}");
        let wrong = format!("{fields}&csrf_token=wrong");
        let cases: &[(&str, &[(&str, &str)])] = &[
            (fields, &[]),
            (&wrong, &[]),
            (&good, &[("sec-fetch-site", "cross-site")]),
            (&good, &[("sec-fetch-site", "same-site")]),
            (&good, &[("origin", "https://evil.example")]),
            (&good, &[("origin", "null")]),
            (&good, &[("origin", "http://127.0.0.1:8081")]),
            (&good, &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")]),
        ];
        for (body, headers) in cases {
            let answer = rob.send(form_post(path, body, headers)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {headers:?}: {}", answer.body);
        }
    }
    assert_eq!(scene.head().await, before);
    assert_eq!(rob.get("/settings").await.status, StatusCode::OK, "still signed in");
    let own = [("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8080")];
    let answer = rob.send(form_post("/posts", &format!("title=x&csrf_token={csrf}"), &own)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
}

#[tokio::test]
async fn p2_csrf_tokens_of_two_pages_are_never_alike_and_hold_for_their_browser_alone() {
    let scene = Scene::start().await;
    let (mut ben, mut rob) = (scene.browser_of(scene.ben).await, scene.browser_of(scene.rob).await);
    let tokens = [ben.get("/settings").await.hidden("csrf_token"), ben.get("/settings").await.hidden("csrf_token")];
    let bytes = tokens.each_ref().map(|token| BASE64URL_NOPAD.decode(token.as_bytes()).expect("base64url"));
    let alike = bytes[0].iter().zip(&bytes[1]).filter(|(one, other)| one == other).count();
    assert!(alike < 8, "{alike} of {} bytes are alike", bytes[0].len());
    let changed = |index: usize| {
        let mut bytes = bytes[0].clone();
        bytes[index] ^= 1;
        BASE64URL_NOPAD.encode(&bytes)
    };
    let unmasked: Vec<_> = bytes[0][..32].iter().zip(&bytes[0][32..]).map(|(mask, code)| mask ^ code).collect();
    let refused = [
        changed(0),
        changed(63),
        BASE64URL_NOPAD.encode(&bytes[0][..63]),
        BASE64URL_NOPAD.encode(&unmasked),
        format!("{}A", tokens[0]),
        String::new(),
    ];
    for token in &refused {
        let answer = ben.send(form_post("/posts", &format!("title=x&csrf_token={token}"), &[])).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{token}");
    }
    for token in &tokens {
        let form = format!("title=x&csrf_token={token}");
        assert_eq!(rob.send(form_post("/posts", &form, &[])).await.status, StatusCode::FORBIDDEN, "of another browser");
        assert_eq!(ben.send(form_post("/posts", &form, &[])).await.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test]
async fn p2_the_json_api_wants_the_csrf_token_of_a_cookie_too() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let before = scene.head().await;
    for token in [None, Some("wrong")] {
        let mut request = form_post("/api/v1/applications", r#"{"name":"x","purpose":"personal"}"#, &[]);
        request.headers_mut().insert("content-type", "application/json".parse().expect("text"));
        if let Some(token) = token {
            request.headers_mut().insert("x-csrf-token", token.parse().expect("text"));
        }
        let answer = ben.send(request).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    }
    assert_eq!(scene.head().await, before);
}

/// Header by header, as the check lists them.
fn assert_careful(answer: &Answer, path: &str) {
    assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    // Scripts come from files of this site alone.
    assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{path}: {policy}");
    let (before, script) =
        answer.body.split_once("<script src=\"/site.js").unwrap_or((&answer.body, "\" defer></script>"));
    let (edition, after) = script.split_once("\" defer></script>").expect("nothing in it");
    assert!(edition.chars().all(|c| c.is_ascii_alphanumeric() || "?=".contains(c)), "{path}: {edition}");
    let body = format!("{before}{after}").to_lowercase();
    for script in ["<script", "onclick=", "onload=", "onsubmit=", "javascript:", " style="] {
        assert!(!body.contains(script), "{path} has {script}");
    }
}

#[tokio::test]
async fn p4_pages_and_answers_carry_careful_headers() {
    for (settings, is_https) in [(&[][..], false), (HTTPS, true)] {
        let scene = Scene::start_with(settings).await;
        let mut rob = scene.browser_of(scene.rob).await;
        if is_https {
            let session = rob.cookies.remove("session").expect("one");
            rob.cookies.insert("__Host-session".to_owned(), session);
        }
        let consent = scene.authorize_path("");
        for path in [
            "/",
            "/login",
            "/signup",
            "/settings",
            "/settings/apps",
            "/inbox",
            "/api",
            "/admin/apps",
            "/nowhere",
            "/authorize",
            "/unread",
            "/api/v1/token",
            "/api/v1/nowhere",
            "/healthz",
            "/style.css",
            "/site.js",
            &consent,
        ] {
            let answer = rob.get(path).await;
            assert_careful(&answer, path);
            assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
            assert_eq!(answer.header("strict-transport-security").is_empty(), !is_https, "{path}");
            let kept = answer.header("cache-control") != "no-store";
            assert_eq!(kept, ["/style.css", "/site.js"].contains(&path), "{path}: {}", answer.header("cache-control"));
        }
    }
}

#[tokio::test]
async fn p4_form_action_is_left_out_exactly_where_a_redirect_may_leave_the_site() {
    let scene = Scene::start().await;
    let mut stranger = scene.stranger();
    let mut ben = scene.browser_of(scene.ben).await;
    let consent = scene.authorize_path("");
    for page in [stranger.get("/login").await, stranger.get("/signup").await, ben.get(&consent).await] {
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.header("content-security-policy").contains("form-action"));
    }
    let wrong = stranger.submit("/login", "/login", &[("username", "ben"), ("password", "wrong one")]).await;
    assert!(!wrong.header("content-security-policy").contains("form-action"), "the form shown again leads on, too");
    for path in ["/", "/settings/apps", "/inbox", "/api"] {
        assert!(ben.get(path).await.header("content-security-policy").contains("form-action 'self'"), "{path}");
    }
    for decision in ["authorize", "deny"] {
        let page = ben.get(&consent).await;
        let sent = crate::checks_scene::answer(&mut ben, &page, decision).await;
        assert_eq!(sent.header("referrer-policy"), "no-referrer");
        assert_eq!(sent.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn p5_a_log_in_leads_to_paths_of_this_site_only() {
    let scene = Scene::start().await;
    let evil = [
        "//evil.example",
        "/\\evil.example",
        "https:evil.example",
        "https://evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "javascript:alert(1)",
        "evil",
        "",
        " /settings",
        "/é",
    ];
    for target in evil {
        let mut browser = scene.stranger();
        let encoded: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
        let page = browser.get(&format!("/login?return_to={encoded}")).await;
        assert_eq!(page.hidden("return_to"), "", "{target:?}");
        let key = scene.site.app.begin_session(scene.ben).await.expect("a session");
        browser.cookies.insert("session".to_owned(), key.expose().to_owned());
        let already = browser.get(&format!("/login?return_to={encoded}")).await;
        assert_eq!((already.status, already.location()), (StatusCode::SEE_OTHER, "/"), "{target:?}");
    }
    for (target, lands) in
        [("//evil.example", "/"), ("/authorize?client_id=x&state=%20", "/authorize?client_id=x&state=%20")]
    {
        let fields = [("username", "ben"), ("password", PASSWORD), ("return_to", target)];
        let answer = scene.stranger().submit("/login", "/login", &fields).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, lands), "{target:?}");
    }
    let joining = [("username", "dora"), ("password", PASSWORD), ("return_to", "//evil.example")];
    let answer = scene.stranger().submit("/signup", "/signup", &joining).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/"), "{}", answer.body);
}

async fn ask(browser: &mut Browser, fields: &[(&str, &str)]) -> Answer {
    let mut all = vec![("purpose", "web"), ("redirect_uri", "https://xn--pp-eka.example/cb")];
    all.extend(fields);
    browser.submit("/settings/apps", "/settings/apps", &all).await
}

#[tokio::test]
async fn p6_what_an_application_says_of_itself_is_limited_and_has_nothing_hidden() {
    let scene = Scene::start().await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let before = scene.head().await;
    let long = "x".repeat(10_240);
    for fields in [
        [("name", "Good\u{202e}evil"), ("description", "")],
        [("name", "Good\u{2066}evil"), ("description", "")],
        [("name", "Go\u{200b}od"), ("description", "")],
        [("name", "Go\u{0}od"), ("description", "")],
        [("name", "Countersign"), ("description", "")],
        [("name", "countersign official"), ("description", "")],
        [("name", "C\u{43e}untersign"), ("description", "")],
        [("name", "C o u n t e r s i g n"), ("description", "")],
        [("name", &long), ("description", "")],
        [("name", ""), ("description", "")],
        [("name", "Good"), ("description", &long)],
        [("name", "Good"), ("description", "a\u{202e}b")],
        [("name", "Good"), ("website", &long)],
        [("name", "Good"), ("website", "javascript:alert(1)")],
        [("name", "Good"), ("website", "https://x.example/\u{202e}")],
        [("name", "Good"), ("redirect_uri", &long)],
    ] {
        let answer = ask(&mut cleo, &fields).await;
        // The last field of a name counts for nothing here: the first redirect URI is good.
        let expected =
            if fields[1].0 == "redirect_uri" { StatusCode::SEE_OTHER } else { StatusCode::UNPROCESSABLE_ENTITY };
        assert_eq!(answer.status, expected, "{:?}", &fields[0]);
    }
    assert_eq!(scene.head().await, before + 1);
}

#[tokio::test]
async fn p6_markup_is_shown_as_text_wherever_it_appears() {
    let scene = Scene::start().await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let fields = [
        ("name", "<b>R</b> \"&amp;"),
        ("description", "<img src=x onerror=alert(1)>"),
        ("website", "https://x.example/?a=<b>"),
    ];
    let asked = ask(&mut cleo, &fields).await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.body);
    let own = asked.location().to_owned();
    let id = own.rsplit('/').next().expect("an id").parse().expect("an id");
    scene.site.decide(scene.rob, id, Verb::Approve).await;
    let client = scene.site.app.my_application(scene.cleo, id).await.expect("hers").client_id.expect("approved");
    let mut rob = scene.browser_of(scene.rob).await;
    let mut ben = scene.browser_of(scene.ben).await;
    let message = scene.site.newest_message(scene.cleo).await;
    let consent = ben.get(&format!("/authorize?client_id={client}")).await;
    assert!(consent.body.contains("<strong>xn--pp-eka.example</strong>"), "the host, in ASCII: {}", consent.body);
    for page in [
        cleo.get("/settings/apps").await,
        cleo.get(&own).await,
        cleo.get(&format!("/inbox/{message}")).await,
        cleo.get("/inbox").await,
        rob.get("/admin/apps?state=approved").await,
        rob.get(&format!("/admin/apps/{id}")).await,
        consent,
    ] {
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert!(!page.body.contains("<b>R") && !page.body.contains("?a=<b>"), "{}", page.body);
        assert!(!page.body.contains("<img"), "{}", page.body);
    }
}

#[tokio::test]
async fn p10_a_decision_in_an_old_session_asks_for_the_password() {
    let scene = Scene::start().await;
    let pending = scene.site.given_request(scene.cleo, "Pending").await;
    let mut rob = scene.browser_of(scene.rob).await;
    let review = format!("/admin/apps/{pending}");
    assert!(!rob.get(&review).await.body.contains("name=\"password\""));
    scene.site.clock.advance(chrono::Duration::minutes(15));
    let page = rob.get(&review).await;
    assert!(page.body.contains("name=\"password\""), "{}", page.body);
    let before = scene.head().await;
    let verdict = vec![("revision", "1"), ("reason_code", "other"), ("reason", "My reason.")];
    for (password, status) in [(None, StatusCode::FORBIDDEN), (Some("wrong one"), StatusCode::UNAUTHORIZED)] {
        let mut fields = verdict.clone();
        fields.extend(password.map(|password| ("password", password)));
        let answer = rob.submit(&review, &format!("{review}/deny"), &fields).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains("My reason."), "what was typed survives");
    }
    let body = json!({ "revision": 1, "reason_code": "other", "reason": "x" });
    let api = rob.json(Method::POST, &format!("/api/v1/review/{pending}/deny"), &body).await;
    assert_eq!((api.status, &api.json()["code"]), (StatusCode::FORBIDDEN, &json!("password_again")));
    assert_eq!(scene.head().await, before);
}

#[tokio::test]
async fn p10_nobody_decides_on_an_application_of_their_own() {
    let scene = Scene::start().await;
    let own = scene.site.given_request(scene.rob, "Mine").await;
    let mut rob = scene.browser_of(scene.rob).await;
    let before = scene.head().await;
    let body = json!({ "revision": 1, "reason_code": "other", "reason": "x" });
    for verb in ["approve", "deny"] {
        let api = rob.json(Method::POST, &format!("/api/v1/review/{own}/{verb}"), &body).await;
        assert_eq!((api.status, &api.json()["code"]), (StatusCode::FORBIDDEN, &json!("own_application")));
    }
    assert_eq!(scene.head().await, before);
}

#[tokio::test]
async fn p11_somebody_elses_application_and_token_are_not_there() {
    let scene = Scene::start().await;
    let pending = scene.site.given_request(scene.cleo, "Pending").await;
    let token = scene.site.app.my_tokens(scene.cleo).await.expect("tokens")[0].row.token_id;
    let mut ben = scene.browser_of(scene.ben).await;
    let before = scene.head().await;
    for id in [pending, scene.application] {
        assert_eq!(ben.get(&format!("/settings/apps/{id}")).await.status, StatusCode::NOT_FOUND);
        let fields = [("name", "Mine now"), ("redirect_uri", "https://evil.example/cb")];
        for verb in ["edit", "withdraw"] {
            let answer = ben.submit("/settings/apps", &format!("/settings/apps/{id}/{verb}"), &fields).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{verb}: {}", answer.body);
        }
        let api = format!("/api/v1/applications/{id}");
        for (method, path) in [
            (Method::GET, api.clone()),
            (Method::GET, format!("{api}/history")),
            (Method::PATCH, api.clone()),
            (Method::POST, format!("{api}/withdraw")),
        ] {
            let body = if path.ends_with("/withdraw") { json!({}) } else { json!({ "name": "Mine now" }) };
            let answer = ben.json(method.clone(), &path, &body).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {}", answer.body);
        }
    }
    for verb in ["regenerate", "revoke"] {
        let answer = ben.submit("/settings/apps", &format!("/settings/tokens/{token}/{verb}"), &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{verb}");
    }
    for (method, path) in [(Method::DELETE, ""), (Method::POST, "/regenerate")] {
        let answer = ben.json(method, &format!("/api/v1/tokens/{token}{path}"), &json!({})).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    for path in ["/admin/apps".to_owned(), format!("/admin/apps/{pending}"), "/api/v1/review".to_owned()] {
        assert_eq!(ben.get(&path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(scene.head().await, before);
}
