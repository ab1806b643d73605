//! Pages about access: apps with access, consent, inbox, and the pages of errors.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use countersign::app::{applications, reviews::Verb, reviews::Verdict};
use countersign_events::ids::{ApplicationId, UserId};
use serde_json::json;

use crate::{
    browser_double::{Answer, Browser},
    checks_scene::{Scene, form_post},
    support::by,
};

impl Scene {
    /// An approved application of somebody with a name of its own.
    async fn given_named(&self, owner: UserId, name: &str) -> ApplicationId {
        let id = self.site.given_request(owner, name).await;
        self.site.decide(self.rob, id, Verb::Approve).await;
        id
    }

    /// The owner proposes another name and the reviewer approves it.
    async fn given_renamed(&self, name: &str) {
        let app = &self.site.app;
        let row = app.my_application(self.cleo, self.application).await.expect("hers");
        let request = applications::Request { name: name.to_owned(), ..applications::Request::of(&row) };
        let asked = app.asked(&request).expect("a good request");
        app.edit_application(&by(self.cleo), self.cleo, self.application, asked).await.expect("proposed");
        let revision = app.my_application(self.cleo, self.application).await.expect("hers").revision;
        let verdict = Verdict { revision, reason_code: "other".to_owned(), reason: "As agreed.".to_owned() };
        let verb = Verb::ApproveChange;
        app.decide_application(&by(self.rob), self.rob, self.application, verb, &verdict).await.expect("decided");
    }
}

async fn consent(browser: &mut Browser, scene: &Scene, more: &str) -> String {
    let page = browser.get(&scene.authorize_path(more)).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    page.body
}

#[tokio::test]
async fn consent_says_what_an_application_may_and_may_not_do_as_it_asks_now() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let whole = consent(&mut ben, &scene, "").await;
    let (may, may_not) = whole.split_once("It may not").expect("both");
    assert!(may.contains("Read your unread notifications") && may_not.contains("Vote in your name"), "{whole}");
    let less = consent(&mut ben, &scene, "&scope=read").await;
    let (may, may_not) = less.split_once("It may not").expect("both");
    assert!(may.contains("Read posts and comments") && !may.contains("notifications"), "{less}");
    assert!(may_not.contains("Read your unread notifications"), "{less}");
    for said in ["<strong>app.example</strong>", "by <bdi>rob</bdi> on 15 January 2027", "It ends on 15 January 2028"] {
        assert!(less.contains(said), "{said}: {less}");
    }
    assert!(less.contains("<bdi>ben</bdi>") && less.contains("Not you?"), "{less}");
    assert_eq!((less.matches("<a ").count(), less.matches("<script src=\"/site.js?v=").count()), (1, 1), "{less}");
    let buttons: Vec<_> = less.split("<button ").skip(1).filter_map(|rest| rest.split('>').next()).collect();
    assert_eq!(
        buttons,
        [
            "name=\"decision\" value=\"authorize\" class=\"secondary\"",
            "name=\"decision\" value=\"deny\" class=\"secondary\""
        ]
    );
}

#[tokio::test]
async fn consent_tells_of_a_new_name_until_it_is_old_or_agreed_to() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    scene.consented(scene.ben, &scene.client, None).await;
    scene.site.clock.advance(chrono::Duration::days(1));
    assert!(!consent(&mut ben, &scene, "").await.contains("It has a new name"));
    scene.given_renamed("Writer").await;
    let mut rob = scene.browser_of(scene.rob).await;
    for browser in [&mut ben, &mut rob] {
        let told = consent(browser, &scene, "").await;
        assert!(told.contains("It was called “<bdi>Reader</bdi>” until 16 January 2027"), "{told}");
    }
    scene.site.clock.advance(chrono::Duration::days(31));
    // Sessions are over by then.
    let (mut ben, mut rob) = (scene.browser_of(scene.ben).await, scene.browser_of(scene.rob).await);
    assert!(consent(&mut ben, &scene, "").await.contains("It has a new name"), "ben knows it by the old one");
    assert!(!consent(&mut rob, &scene, "").await.contains("It has a new name"), "it is old news to others");
    scene.consented(scene.ben, &scene.client, None).await;
    assert!(!consent(&mut ben, &scene, "").await.contains("It has a new name"), "ben has agreed since");
}

#[tokio::test]
async fn consent_names_other_applications_whose_names_look_alike() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    assert!(!consent(&mut ben, &scene, "").await.contains("looks like"));
    scene.given_named(scene.ben, "Other").await;
    scene.site.given_request(scene.ben, "READER").await;
    assert!(!consent(&mut ben, &scene, "").await.contains("looks like"), "it is not approved");
    let twin = scene.given_named(scene.ben, "Re\u{430}der").await;
    let told = consent(&mut ben, &scene, "").await;
    assert!(told.contains("“<bdi>Re\u{430}der</bdi>” is another application here"), "{told}");
    let site = Scene { site: scene.site.restart().await, ..scene };
    let mut ben = site.browser_of(site.ben).await;
    assert!(consent(&mut ben, &site, "").await.contains("“<bdi>Re\u{430}der</bdi>”"), "also after a restart");
    site.site.decide(site.rob, twin, Verb::Suspend).await;
    assert!(!consent(&mut ben, &site, "").await.contains("looks like"), "nobody can be asked by it now");
}

#[tokio::test]
async fn consent_given_before_is_told_with_what_another_one_does() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    assert!(!consent(&mut ben, &scene, "").await.contains("You authorized it on"));
    scene.consented(scene.ben, &scene.client, None).await;
    let told = consent(&mut ben, &scene, "").await;
    assert!(told.contains("You authorized it on 15 January 2027") && !told.contains("the oldest of its"), "{told}");
    for _ in 0..4 {
        scene.consented(scene.ben, &scene.client, None).await;
    }
    assert!(consent(&mut ben, &scene, "").await.contains("the oldest of its 5 ends"));
}

#[tokio::test]
async fn a_refusal_says_that_nothing_was_granted_and_what_to_do() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let unknown = ben.get("/authorize?client_id=x").await;
    let elsewhere = ben.get(&scene.authorize_path("&redirect_uri=https://evil.example/")).await;
    for (page, title) in [(unknown, "No such application"), (elsewhere, "The address to send you back to is not known")]
    {
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        assert!(page.body.contains(&format!("<h1>{title}</h1>")), "{}", page.body);
        assert!(page.body.contains("Nothing was granted") && page.body.contains("What you can do"), "{}", page.body);
        assert!(!page.body.contains("href=\"https://evil"), "{}", page.body);
    }
}

#[tokio::test]
async fn apps_with_access_say_whose_they_are_how_they_do_and_what_removing_does() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let empty = ben.get("/settings/authorizations").await.body;
    assert!(empty.contains("Nothing has access to your account"), "{empty}");
    let token = scene.consented(scene.ben, &scene.client, Some("read")).await;
    assert!(ben.get("/settings/authorizations").await.body.contains("no use is known"));
    assert_eq!(ben.with_token(Method::GET, "/", &token).await.status, StatusCode::OK);
    let one = ben.get("/settings/authorizations").await.body;
    for said in
        ["<bdi>Reader</bdi>", "Read posts and comments", "<bdi>app.example</bdi>", "by <bdi>rob</bdi>", "1 that works"]
    {
        assert!(one.contains(said), "{said}: {one}");
    }
    assert!(!one.contains("no use is known"), "it was used: {one}");
    assert!(!one.contains("Vote in your name") && !one.contains("Remove all"), "{one}");
    scene.site.decide(scene.rob, scene.application, Verb::Suspend).await;
    let resting = ben.get("/settings/authorizations").await.body;
    assert!(resting.contains("at rest") && resting.contains("Reviewers have suspended it"), "{resting}");
    assert!(resting.contains("none that works"), "{resting}");
    let own = scene.given_named(scene.ben, "Mine").await;
    let both = ben.get("/settings/authorizations").await.body;
    assert!(both.contains("your own") && both.contains("Remove all"), "{both}");
    let removed = ben.submit("/settings/authorizations", &format!("/settings/authorizations/{own}/remove"), &[]).await;
    assert_eq!(removed.status, StatusCode::SEE_OTHER);
    assert!(ben.get(removed.location()).await.body.contains("Access removed: <bdi>Mine</bdi>"));
    assert!(!ben.get("/settings/authorizations").await.body.contains("Mine"));
    ben.submit("/settings/authorizations", "/settings/authorizations/remove", &[]).await;
    assert!(ben.get("/settings/authorizations").await.body.contains("Nothing has access"));
}

/// An inbox with a decision, a change of access and letters.
async fn given_letters(scene: &Scene, count: usize) -> Browser {
    let mut ben = scene.browser_of(scene.ben).await;
    for number in 0..count {
        let letter = json!({ "to": "cleo", "title": format!("Letter {number}."), "body": "Some **words**." });
        let sent = ben.json(Method::POST, "/api/v1/messages", &letter).await;
        assert_eq!(sent.status, StatusCode::CREATED, "{}", sent.body);
    }
    scene.site.settle().await;
    scene.browser_of(scene.cleo).await
}

/// It is the one list that is not compressed.
#[tokio::test]
async fn an_inbox_of_the_longest_messages_is_light() {
    let scene = Scene::start_with(&[("LIMITS_MESSAGES_PER_HOUR", "100")]).await;
    // In HTML each of these is five letters.
    let (title, body) = ("\"".repeat(300), "& ".repeat(10_000));
    for _ in 0..26 {
        scene.site.app.send_message(&by(scene.ben), scene.ben, "cleo", &title, &body).await.expect("sent");
    }
    scene.site.settle().await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let page = cleo.get_compressed("/inbox?kind=messages").await;
    assert_eq!((page.status, page.header("content-encoding")), (StatusCode::OK, ""));
    let shown = format!("<bdi>{}…</bdi>", "&#34;".repeat(140));
    assert_eq!(page.body.matches(&shown).count(), 25, "{}", page.body);
    assert!(page.bytes <= 50 * 1024, "{} bytes", page.bytes);
}

#[tokio::test]
async fn the_inbox_shows_one_kind_at_a_time_and_keeps_it_from_page_to_page() {
    let scene = Scene::start_with(&[("LIMITS_MESSAGES_PER_HOUR", "100")]).await;
    let mut cleo = given_letters(&scene, 60).await;
    let decisions = cleo.get("/inbox?kind=decisions").await.body;
    assert!(decisions.contains("was approved") && !decisions.contains("Letter"), "{decisions}");
    assert!(cleo.get("/inbox?kind=replies").await.body.contains("No replies yet"));
    let link = |page: &Answer, rel: &str| {
        let before = page.body.split(&format!("\" rel=\"{rel}\"")).next()?.to_owned();
        let there = page.body.contains(&format!("rel=\"{rel}\""));
        there.then(|| before.rsplit('"').next().expect("a link").replace("&#38;", "&"))
    };
    let first = cleo.get("/inbox?kind=messages").await;
    assert!(first.body.contains(">Letter 59.<") || first.body.contains("Letter 59."), "{}", first.body);
    assert!(first.body.contains("Some words.") && link(&first, "prev").is_none(), "{}", first.body);
    let second = cleo.get(&link(&first, "next").expect("more")).await;
    assert!(second.body.contains("Letter 34.") && !second.body.contains("was approved"), "{}", second.body);
    let third = cleo.get(&link(&second, "next").expect("more")).await;
    assert!(third.body.contains("Letter 9.") && link(&third, "next").is_none(), "{}", third.body);
    let back = cleo.get(&link(&third, "prev").expect("newer ones")).await;
    assert!(back.body.contains("Letter 34.") && back.body.contains("Letter 10."), "{}", back.body);
    assert_eq!(link(&back, "prev").as_deref(), Some("/inbox?kind=messages"));
    let unread = cleo.get("/inbox?kind=unread").await;
    assert!(link(&unread, "next").is_some_and(|link| link.starts_with("/inbox?kind=unread&after=")));
}

#[tokio::test]
async fn a_kind_or_a_place_that_the_inbox_does_not_know_is_said() {
    let scene = Scene::start().await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    for (path, said) in
        [("/inbox?kind=spam", "one of all, unread, messages"), ("/inbox?after=x", "not the end of an earlier page")]
    {
        let page = cleo.get(path).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(page.body.contains(said) && page.body.contains("<bdi>cleo</bdi>"), "{}", page.body);
    }
}

#[tokio::test]
async fn all_is_marked_as_read_that_the_page_could_show_and_nothing_later() {
    let scene = Scene::start().await;
    let mut cleo = given_letters(&scene, 2).await;
    let page = cleo.get("/inbox").await;
    assert!(page.body.contains("3 unread"), "{}", page.body);
    let (csrf, until) = (page.hidden("csrf_token"), page.hidden("until"));
    given_letters(&scene, 1).await;
    let read = cleo.post("/inbox/read", &[("csrf_token", &csrf), ("until", &until)]).await;
    assert_eq!((read.status, read.location()), (StatusCode::SEE_OTHER, "/inbox"), "{}", read.body);
    let page = cleo.get("/inbox").await.body;
    assert!(page.contains("1 unread"), "{page}");
    let wrong = cleo.post("/inbox/read", &[("csrf_token", &csrf), ("until", "x")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn the_page_of_an_error_knows_who_reads_it_and_says_what_to_do() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let missing = ben.get("/nowhere").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.body.contains("<h1>There is nothing here</h1>") && missing.body.contains("<bdi>ben</bdi>"));
    assert!(!missing.body.contains(">Log in<"), "{}", missing.body);
    assert!(!missing.body.contains("class=\"lead\""), "what the heading says is not said again: {}", missing.body);
    let ended = scene.stranger().get("/setup?token=abcdef").await.body;
    assert!(ended.contains("<h1>This link is not good any more</h1>") && !ended.contains("once you are"), "{ended}");
    let stranger = scene.stranger().get("/nowhere?secret=abcdef").await.body;
    assert!(stranger.contains("<a href=\"/login\">Log in</a>") && !stranger.contains("abcdef"), "{stranger}");
    let role = ben.get("/admin/apps").await;
    assert_eq!(role.status, StatusCode::FORBIDDEN);
    assert!(role.body.contains("reviewer") && role.body.contains("ask an administrator"), "{}", role.body);
    assert!(role.body.contains(role.header("x-request-id")), "{}", role.body);
    let method = ben.send(Request::delete("/login").body(Body::empty()).expect("a request")).await;
    assert_eq!(method.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(method.body.contains("<h1>Not in this way</h1>"), "{}", method.body);
}

#[tokio::test]
async fn the_page_of_an_error_leads_back_within_this_site_only() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    for (referer, leads) in [
        ("http://127.0.0.1:8080/inbox?kind=unread", Some("/inbox?kind=unread")),
        ("http://127.0.0.1:8080/setup?token=abc", Some("/setup")),
        ("https://evil.example/inbox", None),
        ("http://127.0.0.1:8080//evil.example/", None),
        ("http://127.0.0.1:8080/nowhere", None),
        ("javascript:alert(1)", None),
    ] {
        let request = Request::get("/nowhere").header(header::REFERER, referer).body(Body::empty()).expect("a request");
        let page = ben.send(request).await.body;
        assert_eq!(page.contains("Back to where you came from"), leads.is_some(), "{referer}: {page}");
        assert!(leads.is_none_or(|path| page.contains(&format!("href=\"{path}\""))), "{referer}: {page}");
        assert!(!page.contains("evil"), "{page}");
    }
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_in_words_how_long_to_wait() {
    let scene = Scene::start_with(&[("LIMITS_MESSAGES_PER_HOUR", "1")]).await;
    let mut ben = scene.browser_of(scene.ben).await;
    let letter = [("to", "cleo"), ("title", "Hello"), ("body", "You")];
    ben.submit("/inbox", "/inbox", &letter).await;
    let page = ben.submit("/inbox", "/inbox", &letter).await;
    assert_eq!((page.status, page.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "3600"), "{}", page.body);
    assert!(page.body.contains("Wait <strong>1 hour</strong>"), "{}", page.body);
    assert!(page.body.contains("<p class=\"lead\">Too many requests.</p>"), "{}", page.body);
}

#[tokio::test]
async fn what_is_refused_before_any_page_is_told_to_browsers_as_a_page_and_to_programs_as_json() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let foreign = ("sec-fetch-site", "cross-site");
    let told = ben.send(form_post("/posts", "title=x", &[foreign, ("accept", "text/html,*/*;q=0.8")])).await;
    assert_eq!(told.status, StatusCode::FORBIDDEN);
    assert!(told.body.contains("<h1>This did not come from here</h1>") && told.body.contains("<bdi>ben</bdi>"));
    for (path, accept) in [("/posts", "*/*"), ("/api/v1/posts", "text/html")] {
        let told = ben.send(form_post(path, "title=x", &[foreign, ("accept", accept)])).await;
        assert_eq!(told.json()["code"], "cross_site", "{path}");
    }
}

#[tokio::test]
async fn the_guide_fills_in_the_readers_client_ids_and_the_sites_limits() {
    let scene = Scene::start_with(&[("LIMITS_API_PER_MINUTE", "123"), ("TOKEN_LIFETIME_DAYS", "unlimited")]).await;
    let stranger = scene.stranger().get("/api").await.body;
    assert!(stranger.contains("client_id=YOUR_CLIENT_ID") && stranger.contains("123 a minute"), "{stranger}");
    assert!(stranger.contains("no end"), "{stranger}");
    let first = "curl -H \"Authorization: access_token_goes_here\" \\\n  http://127.0.0.1:8080/api/v1/token</pre>";
    assert!(stranger.replace("&#34;", "\"").contains(first), "{stranger}");
    let cleo = scene.browser_of(scene.cleo).await.get("/api").await.body;
    assert!(cleo.contains(&format!("/authorize/?client_id={}<", scene.client)), "{cleo}");
    for link in cleo.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(cleo.contains(&format!("id=\"{link}\"")), "nothing has the id {link}");
    }
}

#[tokio::test]
async fn a_waiting_token_is_explained_and_after_it_is_shown_what_comes_next() {
    let scene = Scene::start().await;
    let message = scene.site.newest_message(scene.cleo).await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let path = format!("/inbox/{message}");
    let waits = cleo.get(&path).await.body;
    assert!(waits.contains("It is shown once") && waits.contains("22 Jan 2027, 08:00 UTC"), "{waits}");
    let shown = cleo.submit(&path, &format!("{path}/reveal"), &[]).await;
    assert!(shown.body.contains("<pre id=\"token\">cs") && shown.body.contains("What to do next"), "{}", shown.body);
    assert!(shown.body.contains("data-copy=\"token\""), "{}", shown.body);
    let after = cleo.get(&path).await.body;
    assert!(after.contains("The token was revealed on") && !after.contains("Reveal the token"), "{after}");
}

#[tokio::test]
async fn whoever_is_sent_to_log_in_is_told_that_they_go_on_from_there() {
    let scene = Scene::start().await;
    let mut stranger = scene.stranger();
    let sent = stranger.get("/settings/apps").await;
    let page = stranger.get(sent.location()).await.body;
    assert!(page.contains("Log in to go on to the page you wanted."), "{page}");
    assert!(!stranger.get("/login").await.body.contains("Log in to go on"), "nobody was sent there");
}
