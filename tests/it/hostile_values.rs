//! Values from the literature of attacks, sent through every door that takes one: names, passwords, redirect hosts, links,
//! ids of commands, addresses of clients, owners of files. What each rule says about a value is tried beside the rule
//! itself; here it is that no door forgets to ask.

use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Method, Request, StatusCode, header},
};
use countersign::{
    app::{App, AppError, Caller, accounts::Joining},
    web::{self, document::Document, doors::Who},
};
use countersign_events::{
    account::Role,
    ids::UserId,
    recorded::{Actor, Position},
};
use serde_json::json;

use crate::{
    browser_double::{Answer, Browser},
    checks_scene::{PASSWORD, Scene, form_post, parameter},
    databases::Database,
    prerequisites::require_success,
    projections::{LOCK_HEAD, SOME_ID},
    running_site::{RunningSite, http},
    support::TestApp,
};

/// Names that speak for the site called Countersign.
const SPEAKING: [&str; 36] = [
    "Countersign",
    "countersign",
    "COUNTERSIGN",
    "counter-sign",
    "counter_sign",
    "C0untersign",
    "CounterS1gn",
    "Countersign-Team",
    "theCountersign",
    "countersign1",
    "countersign_",
    "system",
    "System",
    "SYSTEM",
    "5ystem",
    "sy5tem",
    "sys-tem",
    "system-1",
    "admin",
    "Admin",
    "adm1n",
    "admln",
    "4dmin",
    "admin_",
    "admin-1",
    "administrator",
    "Admin1strator",
    "root",
    "R00T",
    "ro0t",
    "moderator",
    "rnoderator",
    "m0derator",
    "erased",
    "deleted",
    "de1eted",
];

/// Passwords that anybody tries first, and a few made of the name `rosalind`.
const WEAK: [&str; 32] = [
    "password",
    "Password1",
    "passw0rd",
    "p@ssw0rd",
    "12345678",
    "123456789",
    "87654321",
    "11111111",
    "00000000",
    "qwertyui",
    "qwerty123",
    "1q2w3e4r",
    "1qaz2wsx",
    "asdfghjk",
    "iloveyou",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "superman",
    "trustno1",
    "welcome1",
    "letmein1",
    "abc12345",
    "aaaaaaaa",
    "drowssap",
    "19900101",
    "rosalind",
    "ROSALIND",
    "dnilasor",
    "rosalind1",
    "rosalindrosalind",
];

/// Hosts that people and programs read in different ways.
const HOSTS: [&str; 32] = [
    "good.example&evil.example",
    "good.example;evil.example",
    "good.example,evil.example",
    "good.example'evil.example",
    "good.example!evil.example",
    "good.example$evil.example",
    "good.example(evil.example)",
    "good.example*evil.example",
    "good.example+evil.example",
    "good.example=evil.example",
    "good.example~evil.example",
    "good.example`evil.example",
    "good.example{evil.example}",
    "*.good.example",
    "%67ood.example",
    "good%2eexample",
    "good.example%2eevil.example",
    "%31%32%37.0.0.1",
    "good.example.",
    ".good.example",
    "good..example",
    "-good.example",
    "good-.example",
    "1.2.3",
    "16909060",
    "0x1.2.3.4",
    "01.02.03.04",
    "127.1",
    "2130706433",
    "[0:0:0:0:0:0:0:1]",
    "[2001:0db8::1]",
    "[::ffff:192.0.2.1]",
];

/// Ids of commands that hold texts, each with a mark by which it would be found.
const IDS: [&str; 32] = [
    "mark Ada Lovelace",
    "mark 12 St James's Square",
    "mark\tb",
    "mark\nb",
    "mark\r\nSet-Cookie: a=b",
    "mark\0",
    "\u{1b}[31mmark",
    "mark\u{7f}",
    "mark\u{80}",
    "mark\u{9b}31m",
    "markÉ",
    "mark Zoë",
    "mark Ада",
    "mark 阿达",
    "mark\u{a0}",
    "mark\u{ad}",
    "mark\u{200b}",
    "mark\u{200d}b",
    "\u{202e}mark",
    "\u{2066}mark",
    "\u{feff}mark",
    "mark\u{2028}",
    "mark\u{e0041}",
    "mark😀",
    "ｍark",
    " mark",
    "mark ",
    "mark b",
    "\u{3000}mark",
    "mark-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "mark-0123456789012345678901234567890123456789012345678901234567890123456789",
    "mark\u{b}",
];

#[tokio::test]
async fn a_name_that_speaks_for_the_site_is_refused_at_every_door_that_makes_a_member() {
    let site = TestApp::start_with(&[("LIMITS_SIGNUP_PER_HOUR", "1000")]).await;
    let (_, link) = site
        .app
        .set_up_link()
        .await
        .expect("a vault")
        .expect("no administrator")
        .split_once("token=")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("a link");
    let head = site.app.head().await.expect("a head");
    let reserved = |error: Option<AppError>| matches!(error, Some(AppError::Fields(errors)) if errors.iter().any(|error| error.code == "reserved"));
    for name in SPEAKING {
        let mut browser = Browser::new(&site.app);
        let fields = [("username", name), ("password", PASSWORD)];
        let signed_up = browser.submit("/signup", "/signup", &fields).await;
        assert_eq!(signed_up.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {}", signed_up.body);
        assert!(signed_up.body.contains("could be taken for this site itself"), "{name}: {}", signed_up.body);
        let page = format!("/setup?token={link}");
        let fields = [("token", link.as_str()), ("username", name), ("password", PASSWORD)];
        let set_up = browser.submit(&page, "/setup", &fields).await;
        assert_eq!(set_up.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {}", set_up.body);
        // What the command line and the demo call.
        let joining = Joining::new(name, PASSWORD, None).expect("letters and digits");
        let caller = Caller { actor: Actor::Cli("test".to_owned()), ..Caller::system() };
        assert!(reserved(site.app.create_account(&caller, joining, &[]).await.err()), "{name}");
    }
    assert_eq!(site.app.head().await.expect("a head"), head, "nobody joined");
    let fields = [("token", link.as_str()), ("username", "ada"), ("password", PASSWORD)];
    let set_up = Browser::new(&site.app).submit(&format!("/setup?token={link}"), "/setup", &fields).await;
    assert_eq!(set_up.status, StatusCode::SEE_OTHER, "{}", set_up.body);
}

#[tokio::test]
async fn what_the_site_says_carries_a_mark_and_what_a_member_says_does_not() {
    let site = TestApp::start_with(&[("SITE_NAME", "Elsewhere")]).await;
    let member = site.given_member("Gazette", &[]).await;
    let reader = site.given_member("ben", &[]).await;
    let caller = Caller { actor: Actor::User(member), ..Caller::system() };
    site.app
        .send_message(&caller, member, "ben", "“Sorter” was approved", "Elsewhere has approved **Sorter**.")
        .await
        .expect("sent");
    let link = site.app.reset_link(reader).await.expect("a link");
    let (_, link) = link.split_once("token=").expect("a link");
    site.app.reset_password(&Caller::system(), link, "another horse battery", None, false).await.expect("a password");
    site.settle().await;
    let key = site.app.begin_session(reader).await.expect("a session");
    let mut ben = Browser::new(&site.app);
    ben.cookies.insert("session".to_owned(), key.expose().to_owned());
    let listed = ben.get("/api/v1/notifications").await.json();
    let kinds: Vec<_> = listed["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| {
            (
                one["from"].as_str().unwrap_or_default().to_owned(),
                one["from_kind"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    assert_eq!(kinds, [("Elsewhere".to_owned(), "site".to_owned()), ("Gazette".to_owned(), "member".to_owned())]);
    let inbox = ben.get("/inbox").await.body;
    assert_eq!(inbox.matches("class=\"badge site\"").count(), 1, "{inbox}");
    for one in listed["data"].as_array().expect("a list") {
        let page = ben.get(&format!("/inbox/{}", one["id"].as_str().expect("an id"))).await.body;
        assert_eq!(page.contains("class=\"badge site\""), one["from_kind"] == "site", "{page}");
        let alone = ben.get(&format!("/api/v1/messages/{}", one["id"].as_str().expect("an id"))).await.json();
        assert_eq!(alone["from_kind"], one["from_kind"], "{alone}");
    }
    let forged = "<span class=\"badge site\">this site</span> [x](/y \"badge site\")";
    site.app.send_message(&caller, member, "ben", "<span class=\"badge site\">", forged).await.expect("sent");
    site.settle().await;
    assert_eq!(ben.get("/inbox").await.body.matches("class=\"badge site\"").count(), 1, "no text makes the mark");
}

#[tokio::test]
async fn a_weak_password_is_refused_at_every_door_that_sets_one() {
    let site = TestApp::start_with(&[("LIMITS_SIGNUP_PER_HOUR", "1000")]).await;
    let rosalind = site.given_member("rosalind", &[]).await;
    let link = site.app.reset_link(rosalind).await.expect("a link");
    let (_, link) = link.split_once("token=").expect("a link");
    let set_up = site.app.set_up_link().await.expect("a vault").expect("no administrator");
    let (_, set_up) = set_up.split_once("token=").expect("a link");
    let head = site.app.head().await.expect("a head");
    let weak = |answer: &Answer, password: &str| {
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{password}: {}", answer.body);
        assert!(answer.body.contains("A few words that do not belong together"), "{password}: {}", answer.body);
    };
    for password in WEAK {
        let mut browser = Browser::new(&site.app);
        let fields = [("username", "Rosalind"), ("password", password)];
        weak(&browser.submit("/signup", "/signup", &fields).await, password);
        let fields = [("token", set_up), ("username", "Rosalind"), ("password", password)];
        weak(&browser.submit(&format!("/setup?token={set_up}"), "/setup", &fields).await, password);
        let fields = [("token", link), ("password", password), ("password_repeat", password)];
        weak(&browser.submit(&format!("/setup?token={link}"), "/setup", &fields).await, password);
        // What `account create --password-stdin` and the demo call.
        assert!(matches!(Joining::new("rosalind", password, None), Err(AppError::Fields(_))), "{password}");
    }
    assert_eq!(site.app.head().await.expect("a head"), head);
}

#[tokio::test]
async fn a_host_that_reads_as_two_is_refused_at_every_door_that_takes_an_address() {
    let scene = Scene::start().await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let head = scene.head().await;
    let edit = format!("/settings/apps/{}/edit", scene.application);
    let one = format!("/api/v1/applications/{}", scene.application);
    let state = "https://good.example/cb?state=x";
    let addresses: Vec<_> = HOSTS.iter().map(|host| format!("https://{host}/cb")).chain([state.to_owned()]).collect();
    for uri in &addresses {
        let asked = json!({ "name": "Sorter", "redirect_uris": [uri] });
        let changed = json!({ "redirect_uris": [uri] });
        let form = [("name", "Sorter"), ("redirect_uri", uri.as_str()), ("purpose", "web")];
        for answer in [
            cleo.json(Method::POST, "/api/v1/applications", &asked).await,
            cleo.json(Method::PATCH, &one, &changed).await,
            cleo.submit("/settings/apps", "/settings/apps", &form).await,
            cleo.submit("/settings/apps", &edit, &form).await,
        ] {
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{uri}: {}", answer.body);
            assert!(answer.body.contains("redirect_uri"), "{uri}: {}", answer.body);
        }
    }
    for host in HOSTS {
        let link = format!("https://{host}/");
        let asked = json!({ "name": "Sorter", "website": link, "redirect_uris": ["https://good.example/cb"] });
        let post = json!({ "title": "Look", "url": link });
        for answer in [
            cleo.json(Method::POST, "/api/v1/applications", &asked).await,
            cleo.json(Method::PATCH, &one, &json!({ "website": link })).await,
            cleo.json(Method::POST, "/api/v1/posts", &post).await,
            cleo.submit("/posts/new", "/posts", &[("title", "Look"), ("url", &link)]).await,
        ] {
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{link}: {}", answer.body);
        }
    }
    assert_eq!(scene.head().await, head);
}

/// A path of a door with something in each of its places.
fn filled(path: &str) -> String {
    let id = "01926f3e-8a00-7000-8000-000000000001";
    path.replace("{id}", id).replace("{verb}", "claim").replace("{group}", "posts")
}

#[tokio::test]
async fn the_id_of_a_command_holds_no_text_at_any_door_and_nothing_of_it_is_stored() {
    let scene = Scene::start().await;
    let ruth = scene.site.given_member("ruth", &[Role::Admin]).await;
    let mut browser = scene.browser_of(ruth).await;
    let csrf = browser.get("/settings/apps").await.hidden("csrf_token");
    let head = scene.head().await;
    let (mut forms, mut commands) = (0, 0);
    for door in
        web::doors(&Document::default()).iter().filter(|door| door.method != Method::GET && door.who != Who::Watcher)
    {
        let path = filled(door.path);
        // A form, which the page door refuses before it does anything.
        let is_page = !door.path.starts_with("/api/v1") && door.path != "/notifications/read";
        for id in IDS {
            let answer = if is_page {
                browser.post(&path, &[("csrf_token", &csrf), ("command_id", id)]).await
            } else {
                let Ok(id) = HeaderValue::from_bytes(id.as_bytes()) else { continue };
                let mut request =
                    Request::builder().method(door.method.clone()).uri(&path).header("x-csrf-token", &csrf);
                request.headers_mut().expect("a good path").insert("idempotency-key", id);
                let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from("{}"));
                browser.send(request.expect("a request")).await
            };
            // White space around a header is no part of it (RFC 9110 s5.5).
            if is_page || id.trim_matches([' ', '\t']) == id {
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{} {path} {id:?}: {}", door.method, answer.body);
                let told = if is_page { "command_id is 1 to 64" } else { "command_id_malformed" };
                assert!(answer.body.contains(told), "{} {path} {id:?}: {}", door.method, answer.body);
            }
        }
        if is_page { forms += 1 } else { commands += 1 }
    }
    assert!(forms > 20 && commands > 15, "{forms} forms, {commands} commands");
    assert_eq!(scene.head().await, head, "nothing was appended");
    for stored in scene.site.app.log.read_log(Position(0), 10_000).await.expect("a log") {
        let envelope = stored.envelope;
        for text in [envelope.request_id, envelope.command_id].into_iter().flatten() {
            assert!(
                !text.contains("mark") && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic()),
                "{text:?}"
            );
        }
    }
}

#[tokio::test]
async fn no_header_of_a_sender_reaches_the_envelope() {
    let scene = Scene::start().await;
    let token = scene.all_scopes_token(scene.ben).await;
    let names = [
        "x-request-id",
        "x-correlation-id",
        "request-id",
        "traceparent",
        "tracestate",
        "user-agent",
        "referer",
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "via",
        "x-client-id",
        "from",
        "x-amzn-trace-id",
        "x-b3-traceid",
        "baggage",
        "cookie2",
        "x-forwarded-host",
        "x-forwarded-user",
        "x-actor",
        "x-user",
        "x-on-behalf-of",
        "x-causation-id",
        "x-command-id",
        "command-id",
        "countersign-request-id",
        "dnt",
        "accept-language",
        "x-original-url",
        "x-http-method-override",
    ];
    let before = scene.head().await;
    for (number, name) in names.into_iter().enumerate() {
        let request = Request::post("/api/v1/posts")
            .header("authorization", &token)
            .header("content-type", "application/json")
            .header(name, "Ada-Lovelace-of-St-James")
            .body(Body::from(json!({ "title": format!("Post {number}") }).to_string()));
        let answer = scene.stranger().send(request.expect("a request")).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{name}: {}", answer.body);
    }
    let stored = scene.site.app.log.read_log(Position(before), 10_000).await.expect("a log");
    assert!(stored.len() >= names.len());
    for stored in stored {
        assert!(!format!("{:?}", stored.envelope).contains("Lovelace"), "{:?}", stored.envelope);
    }
}

/// A wrong log-in that comes from the trusted proxy with these lines of `X-Forwarded-For`.
async fn guess(app: &std::sync::Arc<App>, lines: &[&[u8]]) -> StatusCode {
    let mut browser = Browser::new(app);
    let csrf = browser.get("/login").await.hidden("csrf_token");
    let mut request = form_post("/login", &format!("csrf_token={csrf}&username=cleo&password=a+guess+at+it"), &[]);
    for line in lines {
        request.headers_mut().append("x-forwarded-for", HeaderValue::from_bytes(line).expect("a header"));
    }
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 4_000))));
    browser.send(request).await.status
}

#[tokio::test]
async fn a_client_behind_the_proxy_is_one_client_however_its_address_is_written() {
    let settings = [("LIMITS_LOGIN_PER_MINUTE", "1"), ("TRUSTED_PROXIES", "10.0.0.0/24")];
    let scene = Scene::start_with(&settings).await;
    let app = &scene.site.app;
    assert_eq!(guess(app, &[b"203.0.113.7"]).await, StatusCode::UNAUTHORIZED);
    let same: [&[&[u8]]; 17] = [
        &[b"203.0.113.7:4711"],
        &[b"\"203.0.113.7\""],
        &[b"\"203.0.113.7:80\""],
        &[b"203.0.113.7,"],
        &[b", 203.0.113.7 ,,"],
        &[b"\xff, 203.0.113.7"],
        &[b"\", 203.0.113.7"],
        &[b"198.51.100.1, 203.0.113.7"],
        &[b"198.51.100.1", b"203.0.113.7"],
        &[b"203.0.113.7, 10.0.0.9"],
        &[b"203.0.113.7", b"10.0.0.9:80"],
        &[b"::ffff:203.0.113.7"],
        &[b"[::ffff:203.0.113.7]:1"],
        &[b"203.0.113.7:_x"],
        &[b"unknown, 203.0.113.7"],
        &[b"10.0.0.1, 203.0.113.7"],
        &[b"\t203.0.113.7"],
    ];
    for lines in same {
        assert_eq!(guess(app, lines).await, StatusCode::TOO_MANY_REQUESTS, "{lines:?}");
    }
    assert_eq!(guess(app, &[b"203.0.113.8"]).await, StatusCode::UNAUTHORIZED, "another client has its own");
    // Who cannot be known shares one limit, which is nobody else's.
    assert_eq!(guess(app, &[b"unknown"]).await, StatusCode::UNAUTHORIZED);
    let unknown: [&[u8]; 13] = [
        b"\xff",
        b"_hidden",
        b"203.0.113.9\xff",
        b"203.0.113.9:",
        b"203.0.113.9 x",
        b"for=203.0.113.9",
        b"client.example",
        b"203.0.113",
        b"",
        b",",
        b"203.0.113.9;x",
        b"[]",
        b"\"",
    ];
    for line in unknown {
        assert_eq!(guess(app, &[line]).await, StatusCode::TOO_MANY_REQUESTS, "{line:?}");
    }
    assert_eq!(guess(app, &[]).await, StatusCode::UNAUTHORIZED, "the proxy itself is another client");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_not_trusted_is_told_of_once_and_found_by_doctor() {
    let site = RunningSite::start_in(Database::Sqlite, &[], &[]);
    for number in 0..5 {
        let request = http().get(format!("{}/", site.url())).header("x-forwarded-for", format!("203.0.113.{number}"));
        assert!(request.send().await.expect("an answer").status().is_success());
    }
    let (_, said) = site.said();
    assert_eq!(said.matches("sends X-Forwarded-For").count(), 1, "{said}");
    assert!(said.contains("127.0.0.1") && said.contains("trusted_proxies") && !said.contains("203.0.113."), "{said}");
    let told = crate::doctor::doctor(&site, &[]);
    told.has("warning", "setting trusted_proxies", "127.0.0.1 sends X-Forwarded-For", "set trusted_proxies to it");
    let metrics =
        http().get(format!("{}/metrics", site.url())).send().await.expect("an answer").text().await.expect("a text");
    assert!(metrics.contains("countersign_untrusted_forwarded_requests_total 5"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_members_whose_names_a_new_name_of_the_site_is_like() {
    let mut site = RunningSite::start_in(Database::Sqlite, &[("SITE_NAME", "Elsewhere")], &[]);
    site.given_member("Gaz3tte", &[]);
    site.given_member("ben", &[]);
    crate::doctor::doctor(&site, &[]).is_healthy();
    site.stop();
    site.set("SITE_NAME", "The Gazette");
    crate::doctor::doctor(&site, &[]).is_healthy();
    site.set("SITE_NAME", "Gazette");
    let found = "members have names that look like it: Gaz3tte";
    crate::doctor::doctor(&site, &[]).has("warning", "setting site_name", found, "choose another site_name");
    site.restart();
    crate::doctor::doctor(&site, &[]).has("warning", "setting site_name", found, "choose another site_name");
}

#[tokio::test]
async fn a_token_that_rests_on_a_role_ends_with_it_and_does_not_live_again() {
    use countersign_events::scope::ScopeSet;
    let site = TestApp::start().await;
    let admin = site.given_member("ruth", &[Role::Admin]).await;
    let rob = site.given_member("rob", &[Role::Reviewer, Role::Auditor]).await;
    let by = Caller { actor: Actor::User(admin), ..Caller::system() };
    let issue = async |user: UserId, scopes: &str| {
        site.app.issue_token(&by, user, ScopeSet::parse(scopes).expect("scopes"), None).await.expect("issued").answer
    };
    let valid = |text: &str| site.app.check_token(text).is_ok();
    let (review, audit, read) = (issue(rob, "review").await, issue(rob, "audit read").await, issue(rob, "read").await);
    site.app.withdraw_role(&by, rob, Role::Reviewer).await.expect("withdrawn");
    assert_eq!([&review, &audit, &read].map(|(_, text)| valid(text)), [false, true, true]);
    let row = site.app.token(review.0).await.expect("a token").row;
    assert_eq!((row.ended_at.is_some(), row.ended_why.as_deref()), (true, Some("role_lost")));
    site.app.grant_role(&by, rob, Role::Reviewer).await.expect("granted");
    assert_eq!([&review, &audit, &read].map(|(_, text)| valid(text)), [false, true, true], "it does not live again");
    // An administrator holds every role: what rests on one that stays goes on.
    site.app.grant_role(&by, rob, Role::Admin).await.expect("granted");
    let again = issue(rob, "review audit").await;
    site.app.withdraw_role(&by, rob, Role::Admin).await.expect("withdrawn");
    assert!(valid(&again.1), "both roles are still held");
    site.app.withdraw_role(&by, rob, Role::Auditor).await.expect("withdrawn");
    assert_eq!([&again, &audit, &read].map(|(_, text)| valid(text)), [false, false, true]);
    // Suspending ends nothing: the role stays.
    let kept = issue(rob, "review").await;
    site.app.suspend_account(&by, rob).await.expect("suspended");
    site.app.reinstate_account(&by, rob).await.expect("reinstated");
    assert!(valid(&kept.1));
    site.settle().await;
    let site = site.restart().await;
    assert!(site.app.check_token(&again.1).is_err() && site.app.check_token(&kept.1).is_ok(), "a start reads the same");
}

#[tokio::test]
async fn a_token_of_a_role_that_an_older_log_left_does_not_live_again() {
    use countersign_events::scope::ScopeSet;
    let site = TestApp::start().await;
    let admin = site.given_member("ruth", &[Role::Admin]).await;
    let rob = site.given_member("rob", &[Role::Reviewer]).await;
    let by = Caller { actor: Actor::User(admin), ..Caller::system() };
    let scopes = ScopeSet::parse("review").expect("a scope");
    let (token, text_of_token) = site.app.issue_token(&by, rob, scopes, None).await.expect("issued").answer;
    // As releases before left it: the role is gone, and nothing ended the token.
    let mut log = site.home.log().await;
    let (begin, id) = (log.either("begin immediate", LOCK_HEAD), log.either("randomblob(16)", SOME_ID));
    let text = format!(
        "{begin};\n\
         insert into events (position, event_id, stream, version, type, type_version, recorded_at, actor, payload)\n\
         select (select position + 1 from head), {id}, stream,\n\
         (select max(version) + 1 from events as other where other.stream = events.stream),\n\
         'RoleWithdrawn', type_version, (select recorded_at + 1 from head), actor, payload\n\
         from events where type = 'RoleGranted' and stream = 'account-{rob}';\n\
         update head set position = position + 1, recorded_at = recorded_at + 1;\n\
         update accounts set reviewer = 0 where user_id = '{rob}';\ncommit"
    );
    log.run(&text).await;
    drop(log);
    let site = site.restart().await;
    assert!(site.app.check_token(&text_of_token).is_err(), "its role is gone");
    site.app.grant_role(&by, rob, Role::Reviewer).await.expect("granted");
    assert!(site.app.check_token(&text_of_token).is_err(), "it does not live again");
    let row = site.app.token(token).await.expect("a token").row;
    assert_eq!(row.ended_why.as_deref(), Some("role_lost"));
}

#[tokio::test]
async fn a_reset_offers_to_end_tokens_and_tells_its_member() {
    let scene = Scene::start().await;
    let app = &scene.site.app;
    let token = scene.all_scopes_token(scene.ben).await;
    let second = scene.all_scopes_token(scene.ben).await;
    let mut stranger = scene.stranger();
    for (ends, password) in [(false, "another horse battery"), (true, "a third horse battery")] {
        let link = app.reset_link(scene.ben).await.expect("a link");
        let link = parameter(&link, "token").expect("a link");
        let page = format!("/setup?token={link}");
        let shown = stranger.get(&page).await;
        assert!(shown.body.contains("End all 2 tokens that can act for you"), "{}", shown.body);
        assert!(!shown.body.contains("checked"), "nothing ends unasked: {}", shown.body);
        let mut fields = vec![("token", link.as_str()), ("password", password), ("password_repeat", password)];
        if ends {
            fields.push(("end_tokens", "yes"));
        }
        let done = stranger.submit(&page, "/setup", &fields).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
        assert_eq!([&token, &second].map(|token| app.check_token(token).is_ok()), [!ends; 2]);
        let message = scene.site.newest_message(scene.ben).await;
        let told = app.notification(scene.ben, message.0).await.expect("a letter");
        assert!(told.is_of_site() && told.title == "Your password was changed", "{told:?}");
        let body = told.body.expect("a text");
        let says = if ends {
            "The 2 tokens that could act for you were ended."
        } else {
            "2 tokens that can act for you go on."
        };
        assert!(
            body.contains(says) && body.contains("/settings/apps") && body.contains("the people who run"),
            "{body}"
        );
    }
    let link = app.reset_link(scene.ben).await.expect("a link");
    let link = parameter(&link, "token").expect("a link");
    let shown = stranger.get(&format!("/setup?token={link}")).await;
    assert!(!shown.body.contains("end_tokens"), "there is none to end: {}", shown.body);
}

#[tokio::test]
async fn every_page_keeps_openers_away_and_the_consent_page_waits() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    for path in ["/", "/login", "/settings/apps", "/inbox", "/nowhere", &scene.authorize_path("")] {
        let page = ben.get(path).await;
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin", "{path}");
    }
    let page = ben.get(&scene.authorize_path("")).await.body;
    assert!(page.contains("data-unhurried") && page.contains("<script src=\"/site.js?v="), "{page}");
}

/// Nobody's number.
const NOBODY: &str = "65534";
/// A program of nobody's that listens where a server would, holds its lock, and says what it hears.
const EAVESDROPPER: &str = "import fcntl, os, socket, sys\n\
    listener = socket.socket(socket.AF_UNIX)\n\
    listener.bind(sys.argv[1] + '/control.sock')\n\
    os.chmod(sys.argv[1] + '/control.sock', 0o777)\n\
    listener.listen()\n\
    lock = open(sys.argv[1] + '/lock', 'r+')\n\
    fcntl.flock(lock, fcntl.LOCK_EX)\n\
    print('listens', flush=True)\n\
    talk, _ = listener.accept()\n\
    print('heard', talk.recv(1000), flush=True)\n";

/// The command fails and says each of these words.
#[track_caller]
fn refused(site: &RunningSite, arguments: &[&str], words: &[&str]) {
    let output = site.cli_with(arguments, PASSWORD);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: {word}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_uses_nobody_elses_files_and_tells_nobody_else_a_password() {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    let as_nobody = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
    if !require_success("setpriv as root", "setpriv", &[&as_nobody[..], &["true"]].concat()) {
        return;
    }
    let commands: [&[&str]; 9] = [
        &["serve", "--listen", "127.0.0.1:0"],
        &["serve", "--new-site", "--listen", "127.0.0.1:0"],
        &["account", "create", "ada", "--password-stdin"],
        &["account", "list"],
        &["account", "reset", "ben"],
        &["events", "list"],
        &["token", "issue", "--user", "ben", "--scope", "read"],
        &["projections", "status"],
        &["clock", "show"],
    ];
    let mut site = RunningSite::start_in(Database::Sqlite, &[], &[]);
    site.given_member("ben", &[]);
    site.stop();
    let (data, key, lock) = (site.data_dir(), site.directory().join("site.key"), site.data_dir().join("lock"));
    let nobody = Some(NOBODY.parse().expect("a number"));
    let owner = countersign::ownership::account_of(65_534);
    for path in [&data, &key, &lock] {
        chown(path, nobody, None).expect("root may");
        let shown = path.display().to_string();
        for command in commands {
            refused(&site, command, &[&format!("{shown} belongs to {owner}"), "this runs as root", "sudo -u"]);
        }
        chown(path, Some(0), None).expect("root may");
    }
    let target = site.directory().join("target");
    std::fs::write(&target, "precious").expect("it is ours");
    for path in [&lock, &key] {
        let kept = std::fs::read(path).expect("it is ours");
        std::fs::remove_file(path).expect("it is ours");
        symlink(&target, path).expect("a link");
        for command in commands {
            refused(&site, command, &[&format!("{} is a symbolic link, made by root", path.display()), "rm "]);
        }
        std::fs::remove_file(path).expect("it is ours");
        std::fs::write(path, kept).expect("it is ours");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    }
    assert_eq!(std::fs::read_to_string(&target).expect("it is ours"), "precious");

    // Everybody can write here, and somebody was faster than the server.
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    std::fs::set_permissions(&lock, std::fs::Permissions::from_mode(0o666)).expect("it is ours");
    for above in data.ancestors().skip(1).take_while(|above| above.starts_with(std::env::temp_dir())) {
        std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let mut listener = std::process::Command::new("setpriv")
        .args(as_nobody)
        .args(["python3", "-c", EAVESDROPPER])
        .arg(&data)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut told = std::io::BufReader::new(listener.stdout.take().expect("it is piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut told, &mut line).expect("a line");
    assert_eq!(line, "listens\n");
    let socket = data.join("control.sock").display().to_string();
    let words = [format!("{owner} listens at {socket}"), "nothing was sent".to_owned(), "sudo -u".to_owned()];
    refused(&site, commands[2], &words.each_ref().map(String::as_str));
    listener.kill().expect("it is ours");
    listener.wait().expect("it ends");
    let mut heard = String::new();
    std::io::Read::read_to_string(&mut told, &mut heard).expect("what it said");
    assert!(!heard.contains(PASSWORD) && !heard.contains("account"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_what_is_wrong_with_a_name_or_a_password() {
    let site = RunningSite::start_in(Database::Sqlite, &[], &[]);
    for name in ["Countersign", "adm1n", "r00t"] {
        let output = site.cli_with(&["account", "create", name, "--password-stdin"], PASSWORD);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("could be taken for this site itself"), "{name}: {said}");
    }
    for password in ["12345678", "password", "rosalind"] {
        let output = site.cli_with(&["account", "create", "rosalind", "--password-stdin"], password);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("A few words that do not belong"), "{password}: {said}");
        assert!(!said.contains("12345678"), "{said}");
    }
    site.given_member("ben", &[]);
    let (_, id) = site.given_token("ben", "read");
    let reset = |more: &[&str]| {
        let output = site.cli(&[&["account", "reset", "ben"], more].concat());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(reset(&[]).contains("One token that can act for them goes on; --end-tokens ends it."));
    assert!(site.done(&["token", "show", &id]).contains("valid           true"), "it goes on");
    assert!(reset(&["--end-tokens"]).contains("One token that could act for them was ended."));
    assert!(site.done(&["token", "show", &id]).contains("revoked"));
    assert!(reset(&[]).contains("No token can act for them."));
}
