//! The history for auditors: who may read it, what of it is opened, filters and pages.

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};
use countersign::app::{
    Caller,
    audit::{Effort, Filter, Typed},
    reviews::Verb,
};
use countersign_events::{account::Role, codec, ids::UserId, post::Direction, recorded::Position, scope::ScopeSet};
use serde_json::{Value, json};

use crate::{browser_double::Browser, checks_scene::Scene, support::by};

async fn auditor(scene: &Scene) -> (UserId, Browser) {
    let olga = scene.site.given_member("olga", &[Role::Auditor]).await;
    (olga, scene.browser_of(olga).await)
}

/// All events of a query, page by page.
async fn all(browser: &mut Browser, query: &str, limit: u32) -> Vec<Value> {
    let (mut found, mut after) = (vec![], String::new());
    loop {
        let page = browser.get(&format!("/api/v1/events?limit={limit}&{query}{after}")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let page = page.json();
        found.extend(page["data"].as_array().expect("a list").clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return found,
        }
    }
}

fn positions(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["position"].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn auditors_and_administrators_read_the_history_and_nobody_else() {
    let scene = Scene::start().await;
    let (olga, mut browser) = auditor(&scene).await;
    assert_eq!(browser.get("/api/v1/events").await.status, StatusCode::OK);
    let root = scene.site.given_member("ruth", &[Role::Admin]).await;
    assert_eq!(scene.browser_of(root).await.get("/api/v1/events").await.status, StatusCode::OK);
    for user in [scene.ben, scene.rob] {
        let refused = scene.browser_of(user).await.get("/api/v1/events").await;
        assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::FORBIDDEN, &json!("role_missing")));
    }
    assert_eq!(scene.stranger().get("/api/v1/events").await.status, StatusCode::UNAUTHORIZED);
    let app = &scene.site.app;
    let token = async |scopes: &str| {
        let scopes: ScopeSet = scopes.parse().expect("scopes");
        app.issue_token(&Caller::system(), olga, scopes, None).await.expect("issued").answer.1
    };
    let mut client = scene.stranger();
    let read = client.with_token(Method::GET, "/api/v1/events", &token("audit").await).await;
    assert_eq!(read.status, StatusCode::OK);
    let refused = client.with_token(Method::GET, "/api/v1/events", &token("read identity").await).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::FORBIDDEN, &json!("insufficient_scope")));
}

#[tokio::test]
async fn an_event_is_shown_as_a_sentence_and_as_it_is_stored() {
    let scene = Scene::start().await;
    let (_, mut olga) = auditor(&scene).await;
    scene.site.settle().await;
    let approved = all(&mut olga, "type=ApplicationApproved", 25).await.remove(0);
    let stored = scene
        .site
        .app
        .log
        .read_at(&[Position(approved["position"].as_u64().expect("a number"))])
        .await
        .expect("a log")
        .remove(0);
    assert_eq!(
        approved["sentence"],
        "rob approved “Reader”, revision 1: Another reason, given in the text. “As agreed.”"
    );
    assert_eq!((&approved["actor_name"], &approved["actor"]), (&json!("rob"), &json!(format!("user:{}", scene.rob))));
    assert_eq!(approved["stream"], json!(format!("application-{}", scene.application)));
    assert_eq!(approved["personal"]["reason"], json!({ "state": "open", "text": "As agreed." }));
    assert!(approved["payload"]["decision"]["reason"]["sealed"].is_string(), "{approved}");
    let answer = olga.get("/api/v1/events?type=ApplicationApproved").await;
    assert!(answer.body.contains(&stored.payload), "the payload is shown byte for byte");
    assert_eq!(answer.json()["complete_to"], json!(scene.head().await));
}

#[tokio::test]
async fn an_auditor_reads_names_reasons_posts_and_addresses_but_no_message() {
    let scene = Scene::start().await;
    let (_, mut olga) = auditor(&scene).await;
    let mut ben = scene.browser_of(scene.ben).await;
    let post = [("title", "News"), ("url", ""), ("body", "What I think.")];
    assert_eq!(ben.submit("/", "/posts", &post).await.status, StatusCode::SEE_OTHER);
    let letter = [("to", "cleo"), ("title", "Between us"), ("body", "My secret.")];
    assert_eq!(ben.submit("/inbox", "/inbox", &letter).await.status, StatusCode::SEE_OTHER);
    let address = "203.0.113.7".parse().expect("an address");
    let from = Caller { address: Some(address), ..by(scene.ben) };
    scene.site.app.publish(&from, scene.ben, "From afar", "", "").await.expect("published");
    scene.site.settle().await;
    let posts = all(&mut olga, "type=PostPublished", 25).await;
    assert_eq!(posts[0]["personal"]["body"], json!({ "state": "open", "text": "What I think." }));
    assert_eq!(posts[0]["sentence"], "ben published the post “News”.");
    assert_eq!(posts[1]["client_address"], "203.0.113.7");
    let joined = all(&mut olga, "type=UserRegistered&user=ben", 25).await.remove(0);
    assert_eq!(joined["personal"]["username"]["text"], "ben");
    let messages = all(&mut olga, "type=PrivateMessageSent", 25).await;
    assert_eq!(messages.len(), 2, "the site's own as well");
    for message in &messages {
        assert_eq!(message["personal"], json!({ "title": { "state": "sealed" }, "body": { "state": "sealed" } }));
    }
    assert_eq!(messages[1]["sentence"], "ben wrote a private message to cleo.");
    let everything = Value::from(all(&mut olga, "", 100).await).to_string();
    assert!(!everything.contains("Between us") && !everything.contains("My secret."));
}

/// A log in which every filter has something to find, and something not to find.
async fn eventful(scene: &Scene) {
    let app = &scene.site.app;
    for number in 0..40 {
        let (author, other) = if number % 2 == 0 { (scene.ben, scene.cleo) } else { (scene.cleo, scene.ben) };
        let post = app.publish(&by(author), author, "News", "", "").await.expect("published").answer;
        if number % 3 == 0 {
            app.comment(&by(other), other, post, None, "Indeed.").await.expect("posted");
        }
        if number % 7 == 0 {
            app.vote(&by(other), other, post, Direction::Up).await.expect("cast");
        }
        scene.site.clock.advance(chrono::Duration::minutes(1));
    }
    for _ in 0..3 {
        scene.consented(scene.ben, &scene.client, None).await;
    }
    scene.site.decide(scene.rob, scene.application, Verb::Suspend).await;
    scene.site.settle().await;
}

type Holds<'a> = Box<dyn Fn(&Value) -> bool + 'a>;

#[tokio::test]
async fn filters_alone_and_together_find_exactly_what_a_look_at_every_event_finds() {
    let scene = Scene::start().await;
    let (_, mut olga) = auditor(&scene).await;
    eventful(&scene).await;
    let everything = all(&mut olga, "", 100).await;
    assert_eq!(positions(&everything), (1..=scene.head().await).collect::<Vec<_>>());
    let middle = everything[everything.len() / 2]["recorded_at"].as_str().expect("an instant").to_owned();
    let (ben, application) = (scene.ben.to_string(), scene.application.to_string());
    let names_ben = |event: &Value| {
        let about = format!("{}{}", event["payload"], event["actor"]);
        about.contains(&ben)
    };
    let names_it = |event: &Value| format!("{}{}", event["payload"], event["on_behalf_of"]).contains(&application);
    let parts: Vec<(String, Holds<'_>)> = vec![
        ("type=CommentPosted".to_owned(), Box::new(|event| event["type"] == "CommentPosted")),
        ("type=UserAuthorized".to_owned(), Box::new(|event| event["type"] == "UserAuthorized")),
        ("actor=ben".to_owned(), Box::new(|event| event["actor"] == json!(format!("user:{ben}")))),
        ("actor=cli%3Atest".to_owned(), Box::new(|event| event["actor"] == "cli:test")),
        (format!("user={ben}"), Box::new(names_ben)),
        (format!("application={application}"), Box::new(names_it)),
        (
            format!("stream=application-{application}"),
            Box::new(|event| event["stream"] == json!(format!("application-{application}"))),
        ),
        (format!("since={middle}"), Box::new(|event| event["recorded_at"].as_str() >= Some(middle.as_str()))),
        (format!("until={middle}"), Box::new(|event| event["recorded_at"].as_str() < Some(middle.as_str()))),
    ];
    let mut seen = BTreeSet::new();
    for (first, holds) in &parts {
        for (second, also) in &parts {
            let name = |part: &str| part.split('=').next().map(ToOwned::to_owned);
            if name(first) == name(second) && first != second {
                continue;
            }
            let expected: Vec<_> = everything.iter().filter(|event| holds(event) && also(event)).cloned().collect();
            let query = if first == second { first.clone() } else { format!("{first}&{second}") };
            let found = all(&mut olga, &query, 7).await;
            assert_eq!(positions(&found), positions(&expected), "{query}");
            let mut back = all(&mut olga, &format!("{query}&order=desc"), 3).await;
            back.reverse();
            assert_eq!(positions(&back), positions(&expected), "{query}, newest first");
            seen.extend(positions(&found));
        }
    }
    assert_eq!(seen.len(), everything.len(), "every event was found by something");
}

#[tokio::test]
async fn a_page_of_a_rare_combination_may_be_short_and_says_where_to_go_on() {
    let scene = Scene::start().await;
    eventful(&scene).await;
    let app = &scene.site.app;
    let typed = Typed { r#type: Some("VoteCast".to_owned()), actor: Some("ben".to_owned()), ..Typed::default() };
    let filter = app.audit_filter(&typed).await.expect("a store").expect("known values");
    let expected: Vec<_> = app
        .audit(&filter, None, false, 100, Effort::USUAL)
        .await
        .expect("a page")
        .events
        .iter()
        .map(|one| one.position)
        .collect();
    assert_eq!(expected.len(), 3);
    for newest_first in [false, true] {
        let (mut found, mut after, mut short) = (vec![], None, 0);
        loop {
            let little = Effort { at_once: 2, goes: 1 };
            let page = app.audit(&filter, after, newest_first, 5, little).await.expect("a page");
            assert!(page.events.len() <= 2, "no more was looked at");
            assert_eq!(page.complete_to.0, scene.head().await);
            short += usize::from(page.events.len() < 2);
            found.extend(page.events.iter().map(|one| one.position));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        found.sort_unstable();
        assert_eq!(found, expected);
        assert!(short > 0, "some pages are short");
    }
}

#[tokio::test]
async fn a_page_from_behind_the_end_is_empty() {
    let scene = Scene::start().await;
    let everything = Filter::default();
    let page =
        scene.site.app.audit(&everything, Some(Position(u64::MAX)), false, 25, Effort::USUAL).await.expect("a page");
    assert!(page.events.is_empty() && page.next.is_none());
}

#[tokio::test]
async fn an_unknown_value_is_named_with_what_it_could_be() {
    let scene = Scene::start().await;
    let (_, mut olga) = auditor(&scene).await;
    let types: Vec<_> = codec::TYPES.iter().map(|known| known.name).collect();
    for (query, names) in [
        ("type=ApplicationAproved", vec!["`type`", types[0], types[types.len() - 1]]),
        ("stream=nowhere", vec!["`stream`", "application"]),
        ("actor=nobody", vec!["`actor`", "system", "cli:NAME"]),
        ("user=nobody", vec!["`user`", "username"]),
        ("application=x", vec!["`application`", "id"]),
        ("since=yesterday", vec!["`since`", "2026-01-31"]),
        ("until=2026-02-30", vec!["`until`", "2026-01-31"]),
        ("order=up", vec!["`order`", "asc", "desc"]),
        ("limit=0", vec!["Limit is a number"]),
        ("after=x", vec!["After is"]),
    ] {
        let refused = olga.get(&format!("/api/v1/events?{query}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}: {}", refused.body);
        let detail = refused.json()["detail"].as_str().expect("a sentence").to_owned();
        assert!(names.iter().all(|name| detail.contains(name)), "{query}: {detail}");
    }
}

#[tokio::test]
async fn an_applications_history_is_its_owners_its_reviewers_and_its_auditors() {
    let scene = Scene::start().await;
    let (_, mut olga) = auditor(&scene).await;
    let path = format!("/api/v1/applications/{}/history", scene.application);
    for mut reader in [scene.browser_of(scene.cleo).await, scene.browser_of(scene.rob).await] {
        assert_eq!(reader.get(&path).await.status, StatusCode::OK);
    }
    let read = olga.get(&path).await;
    assert_eq!(read.status, StatusCode::OK);
    let sentences: Vec<_> =
        read.json()["data"].as_array().expect("a list").iter().map(|one| one["sentence"].clone()).collect();
    assert_eq!(sentences.len(), 2);
    assert!(sentences[0].as_str().expect("text").starts_with("cleo asked for “Reader”, a web application for"));
    assert_eq!(scene.browser_of(scene.ben).await.get(&path).await.status, StatusCode::NOT_FOUND);
}
