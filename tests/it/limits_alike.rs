//! Every limit of every field, and characters that databases treat differently (U+0000, halves of surrogate pairs, the
//! widest there are), sent through the JSON API to a site on either database in one run: each answers with the same status
//! and the same codes, and gives back what it took.

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use countersign_events::account::Role;
use serde_json::Value;

use crate::{browser_double::Browser, databases::Database, support::TestApp};

/// A text field: where it is sent, what with, and how long it may be.
struct Field {
    path: &'static str,
    name: &'static str,
    /// The body, with `FIELD` in the place of the text.
    body: &'static str,
    /// In characters.
    longest: usize,
}

/// Of an application of its own, a message to another member, a post, a comment on it, a decision.
const FIELDS: &[Field] = &[
    Field {
        path: "/api/v1/applications",
        name: "name",
        body: r#"{"name":FIELD,"redirect_uris":["https://a.example/"]}"#,
        longest: 50,
    },
    Field {
        path: "/api/v1/applications",
        name: "description",
        body: r#"{"name":"A","description":FIELD,"redirect_uris":["https://a.example/"]}"#,
        longest: 256,
    },
    Field {
        path: "/api/v1/applications",
        name: "website",
        body: r#"{"name":"A","website":FIELD,"redirect_uris":["https://a.example/"]}"#,
        longest: 256,
    },
    Field {
        path: "/api/v1/applications",
        name: "redirect_uris",
        body: r#"{"name":"A","redirect_uris":[FIELD]}"#,
        longest: 4_096,
    },
    Field {
        path: "/api/v1/applications",
        name: "scopes",
        body: r#"{"name":"A","scopes":FIELD,"redirect_uris":["https://a.example/"]}"#,
        longest: 100,
    },
    Field {
        path: "/api/v1/applications",
        name: "purpose",
        body: r#"{"name":"A","purpose":FIELD,"redirect_uris":["https://a.example/"]}"#,
        longest: 100,
    },
    Field { path: "/api/v1/applications/APPLICATION/appeal", name: "text", body: r#"{"text":FIELD}"#, longest: 2_000 },
    Field { path: "/api/v1/posts", name: "title", body: r#"{"title":FIELD}"#, longest: 300 },
    Field { path: "/api/v1/posts", name: "url", body: r#"{"title":"T","url":FIELD}"#, longest: 2_048 },
    Field { path: "/api/v1/posts", name: "body", body: r#"{"title":"T","body":FIELD}"#, longest: 40_000 },
    Field { path: "/api/v1/posts/POST/comments", name: "body", body: r#"{"body":FIELD}"#, longest: 10_000 },
    Field { path: "/api/v1/messages", name: "to", body: r#"{"to":FIELD,"title":"T","body":"B"}"#, longest: 25 },
    Field { path: "/api/v1/messages", name: "title", body: r#"{"to":"rob","title":FIELD,"body":"B"}"#, longest: 100 },
    Field { path: "/api/v1/messages", name: "body", body: r#"{"to":"rob","title":"T","body":FIELD}"#, longest: 10_000 },
    Field { path: "/api/v1/review/APPLICATION/claim", name: "reason", body: r#"{"reason":FIELD}"#, longest: 2_000 },
    Field {
        path: "/api/v1/review/APPLICATION/deny",
        name: "reason",
        body: r#"{"revision":1,"reason_code":"other","reason":FIELD}"#,
        longest: 2_000,
    },
    Field {
        path: "/api/v1/review/APPLICATION/deny",
        name: "reason_code",
        body: r#"{"revision":1,"reason_code":FIELD,"reason":"R"}"#,
        longest: 100,
    },
];

/// What is sent as a text, as JSON writes it, with a name for it.
fn texts(field: &Field) -> Vec<(String, String)> {
    let quoted = |text: String| Value::from(text).to_string();
    let mut texts = vec![
        ("nothing".to_owned(), quoted(String::new())),
        ("U+0000 alone".to_owned(), r#""\u0000""#.to_owned()),
        ("U+0000 within".to_owned(), r#""a\u0000b""#.to_owned()),
        ("U+0000 as it is".to_owned(), "\"a\0b\"".to_owned()),
        ("half a pair, the first".to_owned(), r#""a\ud800b""#.to_owned()),
        ("half a pair, the second".to_owned(), r#""a\udc00b""#.to_owned()),
        ("a pair the wrong way round".to_owned(), r#""\udc00\ud800""#.to_owned()),
        ("a pair".to_owned(), r#""\ud835\udc9c""#.to_owned()),
        ("U+FFFF".to_owned(), r#""a\uffffb""#.to_owned()),
        ("a backslash and a tab".to_owned(), r#""a\\N\tb""#.to_owned()),
        ("no text".to_owned(), "7".to_owned()),
        ("null".to_owned(), "null".to_owned()),
    ];
    for length in [field.longest, field.longest + 1, 4_096, 4_097] {
        for (kind, letter) in [("narrow", "a"), ("wide", "\u{1d49c}")] {
            texts.push((format!("{length} {kind} characters"), quoted(letter.repeat(length))));
        }
        let start = "https://a.example/";
        texts.push((format!("an address of {length}"), quoted(format!("{start}{}", "a".repeat(length - start.len())))));
    }
    texts
}

/// A site with a browser of an owner, and one of a reviewer, each with its CSRF token.
struct Site {
    test: TestApp,
    owner: (Browser, String),
    reviewer: (Browser, String),
    post: String,
}

impl Site {
    async fn start(database: Database) -> Self {
        let many = [
            ("LIMITS_OPEN_REQUESTS", "100000"),
            ("LIMITS_MESSAGES_PER_HOUR", "100000"),
            ("LIMITS_API_PER_MINUTE", "100000"),
        ];
        let site = TestApp::start_in(database, &many).await;
        let cleo = site.given_member("cleo", &[]).await;
        let rob = site.given_member("rob", &[Role::Admin]).await;
        let mut browsers = vec![];
        for user in [cleo, rob] {
            let mut browser = Browser::new(&site.app);
            let key = site.app.begin_session(user).await.expect("a session");
            browser.cookies.insert("session".to_owned(), key.expose().to_owned());
            let csrf = browser.get("/settings/apps").await.hidden("csrf_token");
            browsers.push((browser, csrf));
        }
        let reviewer = browsers.pop().expect("two");
        let mut started = Self { test: site, owner: browsers.pop().expect("two"), reviewer, post: String::new() };
        let answer = started.send("/api/v1/posts", r#"{"title":"T"}"#).await;
        answer.json()["id"].as_str().expect("an id").clone_into(&mut started.post);
        started.test.settle().await;
        started
    }

    async fn send(&mut self, path: &str, body: &str) -> crate::browser_double::Answer {
        let (browser, csrf) = if path.contains("/review/") { &mut self.reviewer } else { &mut self.owner };
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-csrf-token", csrf.as_str())
            .body(Body::from(body.to_owned()))
            .expect("a request");
        browser.send(request).await
    }

    /// An application that waits, or that was denied and can be appealed for.
    async fn application(&mut self, denied: bool) -> String {
        let asked = self.send("/api/v1/applications", r#"{"name":"A","redirect_uris":["https://a.example/"]}"#).await;
        let id = asked.json()["id"].as_str().unwrap_or_else(|| panic!("{}", asked.body)).to_owned();
        if denied {
            let deny = format!("/api/v1/review/{id}/deny");
            let answer = self.send(&deny, r#"{"revision":1,"reason_code":"other","reason":"No."}"#).await;
            assert!(answer.status.is_success(), "{}", answer.body);
        }
        id
    }

    /// Sends a field and says what came of it: status, codes, and what is there of it now.
    async fn outcome(&mut self, field: &Field, text: &str) -> String {
        let mut path = field.path.replace("POST", &self.post);
        if path.contains("APPLICATION") {
            path = path.replace("APPLICATION", &self.application(path.ends_with("/appeal")).await);
        }
        let answer = self.send(&path, &field.body.replace("FIELD", text)).await;
        let Ok(told) = serde_json::from_str::<Value>(&answer.body) else {
            return format!("{} {}", answer.status.as_u16(), answer.body);
        };
        let codes: Vec<_> = told["errors"].as_array().into_iter().flatten().map(|one| &one["code"]).collect();
        let mut outcome = format!("{} {} {codes:?}", answer.status.as_u16(), told["code"]);
        if answer.status.is_success() {
            outcome += &self.stored(field, &told).await;
        }
        outcome
    }

    /// What a later reader gets of a field.
    async fn stored(&mut self, field: &Field, told: &Value) -> String {
        self.test.settle().await;
        let id = told["id"].as_str().unwrap_or_default().to_owned();
        let read = match field.path {
            "/api/v1/applications" => format!("/api/v1/applications/{id}"),
            "/api/v1/posts" => format!("/api/v1/posts/{id}"),
            "/api/v1/posts/POST/comments" => format!("/api/v1/posts/{}", self.post),
            "/api/v1/messages" => {
                let messages = self.reviewer.0.get("/api/v1/messages").await.json();
                return messages["data"][0][if field.name == "to" { "title" } else { field.name }].to_string();
            }
            _ => return told["standing"].to_string(),
        };
        let read = self.owner.0.get(&read).await;
        assert!(read.status.is_success(), "{}", read.body);
        let shown = read.json();
        match field.path {
            "/api/v1/posts/POST/comments" => {
                let comments = shown["comments"].as_array().expect("comments");
                comments.iter().find(|one| one["id"] == id).expect("it is there")["body"].to_string()
            }
            "/api/v1/posts" => shown["post"][field.name].to_string(),
            _ => shown[field.name].to_string(),
        }
    }
}

#[tokio::test]
async fn every_limit_of_every_field_is_the_same_on_both_databases() {
    if !Database::Postgres.require() {
        return;
    }
    let mut on_sqlite = Site::start(Database::Sqlite).await;
    let mut on_postgres = Site::start(Database::Postgres).await;
    let (mut taken, mut refused) = (0, 0);
    for field in FIELDS {
        for (name, text) in texts(field) {
            let (one, other) = (on_sqlite.outcome(field, &text).await, on_postgres.outcome(field, &text).await);
            let what = format!("{} {}, {name}", field.path, field.name);
            assert_eq!(shortened(&one), shortened(&other), "{what}");
            assert_eq!(one, other, "{what}");
            let status: u16 = one[..3].parse().expect("a status");
            assert!((200..500).contains(&status), "{what}: {one}");
            if name.contains("U+0000") || name.contains("half") || name.contains("wrong") {
                assert!(
                    status == 400 || status == 422 || one.contains("standing") || field.path.ends_with("/claim"),
                    "{what}: {one}"
                );
            }
            if status < 300 { taken += 1 } else { refused += 1 }
        }
    }
    assert!(taken > FIELDS.len() && refused > FIELDS.len() * 5, "{taken} taken, {refused} refused");
}

fn shortened(outcome: &str) -> String {
    outcome.chars().take(200).collect()
}
