//! What a stranger can make large: texts that grow, lists without an end, parameters without number. Each text against
//! every door that shows it.

use axum::http::{Method, StatusCode};
use countersign::{
    app::Caller,
    bounds::{BODY_BYTES, PARAMETERS},
};
use countersign_events::recorded::Actor;

use crate::{
    browser_double::Browser,
    checks_scene::{Scene, form_post},
    support::by,
};

/// Of every text so many letters are typed, the most that there may be.
const LETTERS: usize = 20_000;
/// What an answer takes besides its texts.
const ROOM: usize = 16 * 1024;
/// No answer is longer.
const ANSWER: usize = 2 * 1024 * 1024;

/// What is known to grow when it is shown as Markdown, or to be slow.
const PIECES: [&str; 24] = [
    "|a",
    "|-|-|\n",
    "<a ",
    "</",
    "&a",
    "&#",
    "\"",
    "\\",
    "a\n\n",
    "> ",
    "* ",
    "1. a\n",
    "*a ",
    "**a",
    "`",
    "[",
    "![",
    "[a](b) ",
    "[b]: /u\n",
    "www.a.b ",
    "http://a.b ",
    "a@b.cd ",
    "# a\n",
    "語",
];

fn texts() -> Vec<String> {
    let repeated = |piece: &&str| piece.chars().cycle().take(LETTERS).collect::<String>().trim().to_owned();
    let mut texts: Vec<_> = PIECES.iter().map(repeated).collect();
    let wide = format!("|{}\n|{}\n{}", "a|".repeat(100), "-|".repeat(100), "|b\n".repeat(5_000));
    texts.push(wide.trim().to_owned());
    texts.push(format!("{}a\n{}", ">".repeat(9_000), "b\n".repeat(5_000)).trim().to_owned());
    texts
}

#[tokio::test]
async fn no_answer_is_much_longer_than_what_was_typed() {
    let scene = Scene::start_with(&[("LIMITS_API_PER_MINUTE", "100000"), ("LIMITS_MESSAGES_PER_HOUR", "1000")]).await;
    let app = &scene.site.app;
    let scopes = "read identity notifications messages".parse().expect("scopes");
    let caller = Caller { actor: Actor::Cli("test".to_owned()), ..Caller::system() };
    let token = app.issue_token(&caller, scene.cleo, scopes, None).await.expect("issued").answer.1;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let texts = texts();
    let mut pages = vec![];
    for (number, text) in texts.iter().enumerate() {
        let body = format!("{text}\n\n@cleo");
        let body: String = body.chars().take(LETTERS).collect();
        let title = format!("Post {number}");
        let post = app.publish(&by(scene.ben), scene.ben, &title, "", &body).await.expect("published").answer;
        let other = app.publish(&by(scene.cleo), scene.cleo, "Mine", "", "").await.expect("published").answer;
        let comment = app.comment(&by(scene.ben), scene.ben, other, None, &body).await.expect("posted").answer;
        app.send_message(&by(scene.ben), scene.ben, "cleo", &title, &body).await.expect("sent");
        pages.push((
            body.len(),
            [format!("/posts/{post}"), format!("/posts/{other}?comment={comment}")],
            [format!("/api/v1/posts/{post}"), format!("/api/v1/posts/{other}")],
        ));
    }
    scene.site.settle().await;
    for (typed, for_people, for_programs) in &pages {
        for path in for_people {
            let answer = cleo.get(path).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(answer.bytes <= 4 * typed + ROOM, "{path}: {} of {typed}", answer.bytes);
        }
        for path in for_programs {
            let answer = scene.stranger().with_token(Method::GET, path, &token).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
            assert!(answer.bytes <= 4 * typed + ROOM, "{path}: {} of {typed}", answer.bytes);
        }
    }
    for path in ["/?limit=100", "/unread?limit=100", "/api/v1/notifications?limit=100", "/api/v1/messages?limit=100"] {
        let answer = scene.stranger().with_token(Method::GET, path, &token).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert!(answer.bytes <= ANSWER, "{path}: {}", answer.bytes);
        let told = answer.json();
        if path != "/?limit=100" {
            assert!(told["next"].is_string(), "{path} goes on");
            for one in told["data"].as_array().expect("a list").iter().take(20) {
                let id = one["id"].as_str().expect("an id");
                if one["kind"] == "message" {
                    let alone =
                        scene.stranger().with_token(Method::GET, &format!("/api/v1/messages/{id}"), &token).await;
                    let typed = alone.json()["body"].as_str().expect("a body").len();
                    assert!(alone.bytes <= 4 * typed + ROOM, "{path}: {} of {typed}", alone.bytes);
                    let page = cleo.get(&format!("/inbox/{id}")).await;
                    assert!(page.bytes <= 4 * typed + ROOM, "/inbox/{id}: {} of {typed}", page.bytes);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_list_of_long_texts_leaves_out_the_longest_and_keeps_the_others() {
    let scene = Scene::start().await;
    let app = &scene.site.app;
    let long: String = "語 *a* ".chars().cycle().take(LETTERS).collect();
    for number in 0..30 {
        let title = format!("Long {number}");
        app.publish(&by(scene.ben), scene.ben, &title, "", long.trim()).await.expect("published");
    }
    let short = app.publish(&by(scene.ben), scene.ben, "Short", "", "Few *words*.").await.expect("published").answer;
    scene.site.settle().await;
    let mut stranger = scene.stranger();
    let list = stranger.get_json("/?sort=new&limit=100").await.json();
    let posts = list["data"].as_array().expect("a list");
    assert_eq!(posts.len(), 31, "no post is left out");
    let html = |post: &serde_json::Value| post["body_html"].as_str().map(ToOwned::to_owned);
    let of_short = posts.iter().find(|post| post["id"] == short.to_string()).expect("it is there");
    assert_eq!(html(of_short).as_deref(), Some("<p>Few <em>words</em>.</p>\n"));
    assert!(posts.iter().filter(|post| post["title"] != "Short").all(|post| post["body"].is_null()));
    let few = stranger.get_json("/?sort=new&limit=5").await.json();
    assert!(
        few["data"].as_array().expect("a list").iter().all(|post| post["body"].is_string()),
        "there is room for five"
    );
}

#[tokio::test]
async fn a_discussion_is_read_in_pages_by_programs_and_nothing_of_it_is_lost() {
    let scene = Scene::start_with(&[("LIMITS_API_PER_MINUTE", "100000")]).await;
    let app = &scene.site.app;
    let post = app.publish(&by(scene.ben), scene.ben, "A post", "", "Words").await.expect("published").answer;
    let mut posted = vec![];
    for number in 0..60 {
        let body = if number % 3 == 0 { "語".repeat(LETTERS) } else { format!("Comment {number}") };
        posted
            .push(app.comment(&by(scene.ben), scene.ben, post, None, &body).await.expect("posted").answer.to_string());
    }
    scene.site.settle().await;
    let caller = Caller { actor: Actor::Cli("test".to_owned()), ..Caller::system() };
    let token =
        app.issue_token(&caller, scene.ben, "read".parse().expect("a scope"), None).await.expect("one").answer.1;
    let (mut found, mut after, mut rounds) = (vec![], String::new(), 0);
    loop {
        let path = format!("/api/v1/posts/{post}?limit=40{after}");
        let answer = scene.stranger().with_token(Method::GET, &path, &token).await;
        assert!(answer.bytes <= ANSWER, "{}", answer.bytes);
        let page = answer.json();
        let comments = page["comments"].as_array().expect("comments");
        assert!(!comments.is_empty() && comments.len() <= 40);
        found.extend(comments.iter().map(|comment| comment["id"].as_str().expect("an id").to_owned()));
        rounds += 1;
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(found, posted);
    assert!(rounds > 2, "{rounds}: the texts are too long for two pages");
}

#[tokio::test]
async fn more_parameters_than_any_door_reads_are_refused_everywhere() {
    let scene = Scene::start().await;
    let many = (0..=PARAMETERS).map(|number| format!("a{number}=")).collect::<Vec<_>>().join("&");
    let mut ben = scene.browser_of(scene.ben).await;
    for path in ["/", "/authorize", "/login", "/inbox", "/api/v1/tokens", "/healthz", "/style.css"] {
        let answer = ben.get(&format!("{path}?{many}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(answer.body.contains("parameters"), "{path}: {}", answer.body);
    }
    let enough = (1..PARAMETERS).map(|number| format!("a{number}=")).collect::<Vec<_>>().join("&");
    assert_eq!(ben.get(&format!("/?{enough}")).await.status, StatusCode::OK);
    let full = "&".repeat(BODY_BYTES);
    for path in ["/login", "/posts", "/authorize", "/settings/apps"] {
        let answer = ben.send(form_post(path, &full, &[])).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.body);
    }
    let mut stranger: Browser = scene.stranger();
    let beyond = "a".repeat(BODY_BYTES + 1);
    assert_eq!(stranger.send(form_post("/login", &beyond, &[])).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}
