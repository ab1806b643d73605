//! The front page and posts as people see them in a browser: votes, threads, pages, forms that keep what was typed.

use axum::http::StatusCode;
use countersign_events::{
    ids::{CommentId, PostId},
    post::Direction,
};

use crate::{
    browser_double::{Answer, Browser},
    checks_scene::{PASSWORD, Scene},
    support::by,
};

async fn given_post(scene: &Scene, title: &str, url: &str, body: &str) -> PostId {
    let post = scene.site.app.publish(&by(scene.ben), scene.ben, title, url, body).await.expect("published").answer;
    scene.site.settle().await;
    post
}

async fn given_comment(scene: &Scene, post: PostId, parent: Option<CommentId>, body: &str) -> CommentId {
    let app = &scene.site.app;
    // No two are of one instant.
    scene.site.clock.advance(chrono::Duration::seconds(1));
    app.comment(&by(scene.cleo), scene.cleo, post, parent, body).await.expect("commented").answer
}

/// The buttons that vote on a post: what each would send, and whether it is pressed.
fn votes(page: &Answer, post: PostId) -> Vec<(&str, bool)> {
    let action = format!("formaction=\"/posts/{post}/votes\"");
    let buttons = page.body.split("<button ").filter(|button| button.contains(&action));
    buttons
        .map(|button| {
            let value = button.split("value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a value");
            (value, button.contains("aria-pressed=\"true\""))
        })
        .collect()
}

/// Presses a button of a page that votes.
async fn press(browser: &mut Browser, page: &Answer, post: PostId, value: &str) -> Answer {
    let (csrf, back) = (page.hidden("csrf_token"), page.hidden("return_to"));
    let fields = [("csrf_token", csrf.as_str()), ("return_to", &back), ("direction", value)];
    browser.post(&format!("/posts/{post}/votes"), &fields).await
}

#[tokio::test]
async fn a_member_votes_from_the_list_sees_the_vote_and_takes_it_back() {
    let scene = Scene::start().await;
    let post = given_post(&scene, "One", "", "").await;
    let other = given_post(&scene, "Two", "", "").await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let list = "/?sort=top&t=week";
    let page = cleo.get(list).await;
    assert_eq!(votes(&page, post), [("up", false), ("down", false)]);
    let voted = press(&mut cleo, &page, post, "up").await;
    assert_eq!(voted.status, StatusCode::SEE_OTHER, "{}", voted.body);
    assert_eq!(voted.location(), format!("{list}#post-{post}"), "back to where it was cast");
    let page = cleo.get(list).await;
    assert_eq!(votes(&page, post), [("none", true), ("down", false)]);
    assert_eq!(votes(&page, other), [("up", false), ("down", false)], "each post has its own");
    // The other way, from the post itself.
    let page = cleo.get(&format!("/posts/{post}")).await;
    assert_eq!(votes(&page, post), [("none", true), ("down", false)]);
    let voted = press(&mut cleo, &page, post, "down").await;
    assert_eq!(voted.location(), format!("/posts/{post}#post-{post}"));
    let page = cleo.get(&format!("/posts/{post}")).await;
    assert_eq!(votes(&page, post), [("up", false), ("none", true)]);
    press(&mut cleo, &page, post, "none").await;
    assert_eq!(votes(&cleo.get("/").await, post), [("up", false), ("down", false)], "it is taken back");
    assert!(votes(&scene.stranger().get("/").await, post).is_empty(), "a stranger has no vote");
}

#[tokio::test]
async fn a_vote_leads_nowhere_but_into_this_site() {
    let scene = Scene::start().await;
    let post = given_post(&scene, "One", "", "").await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    for evil in ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", ""] {
        let fields = [("direction", "up"), ("return_to", evil)];
        let voted = cleo.submit("/", &format!("/posts/{post}/votes"), &fields).await;
        assert_eq!(voted.location(), format!("/posts/{post}"), "{evil:?}");
    }
}

#[tokio::test]
async fn votes_of_a_page_are_those_of_its_reader_and_the_newest() {
    let scene = Scene::start().await;
    let posts = [given_post(&scene, "One", "", "").await, given_post(&scene, "Two", "", "").await];
    let app = &scene.site.app;
    for direction in [Direction::Up, Direction::None, Direction::Down] {
        app.vote(&by(scene.cleo), scene.cleo, posts[0], direction).await.expect("voted");
    }
    app.vote(&by(scene.rob), scene.rob, posts[1], Direction::Up).await.expect("voted");
    let votes = app.votes_of(scene.cleo, &posts).await.expect("votes");
    assert_eq!(votes.into_iter().collect::<Vec<_>>(), [(posts[0], Direction::Down)]);
}

#[tokio::test]
async fn the_list_says_where_a_link_leads_and_through_which_application_a_post_came() {
    let scene = Scene::start().await;
    let token = scene.all_scopes_token(scene.ben).await;
    let request = axum::http::Request::post("/api/v1/posts")
        .header("authorization", &token)
        .header("content-type", "application/json")
        .body(r#"{"title":"By a bot","url":"https://trains.example/night?x=1&y=2"}"#.into())
        .expect("a request");
    assert_eq!(scene.stranger().send(request).await.status, StatusCode::CREATED);
    scene.site.settle().await;
    let page = scene.stranger().get("/").await;
    assert!(page.body.contains("via <bdi>Another</bdi>"), "{}", page.body);
    let link =
        "href=\"https://trains.example/night?x=1&#38;y=2\" rel=\"nofollow noopener noreferrer ugc\">trains.example<";
    assert!(page.body.contains(link), "{}", page.body);
    assert!(page.body.contains("<bdi>ben</bdi>") && page.body.contains("0 comments"), "{}", page.body);
    // Text of a post is not in the list.
    given_post(&scene, "With text", "", "Only on its own page.").await;
    assert!(!scene.stranger().get("/").await.body.contains("Only on its own page."));
}

#[tokio::test]
async fn spans_are_offered_where_they_say_something() {
    let scene = Scene::start().await;
    given_post(&scene, "One", "", "").await;
    let mut stranger = scene.stranger();
    for (query, offered) in [
        ("", false),
        ("?sort=new", false),
        ("?sort=old", false),
        ("?sort=top", true),
        ("?sort=bottom", true),
        ("?sort=controversial", true),
        ("?sort=comments", true),
        ("?sort=hot&t=day", true),
    ] {
        let page = stranger.get(&format!("/{query}")).await;
        assert_eq!(page.body.contains("aria-label=\"From when\""), offered, "{query}");
    }
    let top = stranger.get("/?sort=top&t=day").await;
    assert!(top.body.contains("href=\"/?sort=comments&#38;t=day\""), "the span goes along: {}", top.body);
    assert!(top.body.contains("href=\"/?sort=new\""), "but not to where it says nothing: {}", top.body);
}

#[tokio::test]
async fn an_empty_list_says_what_to_do() {
    let scene = Scene::start().await;
    let (mut stranger, mut ben) = (scene.stranger(), scene.browser_of(scene.ben).await);
    for sort in ["hot", "new", "old", "top", "bottom", "controversial", "comments"] {
        let query = format!("/?sort={sort}");
        assert!(stranger.get(&query).await.body.contains("Log in and write the first post"), "{sort}");
        assert!(ben.get(&query).await.body.contains("href=\"/posts/new\">Write the first post"), "{sort}");
    }
    given_post(&scene, "Old", "", "").await;
    scene.site.clock.advance(chrono::Duration::days(2));
    let day = stranger.get("/?sort=top&t=day").await;
    assert!(day.body.contains("Nobody has posted in the past day.") && day.body.contains("Look at all posts"));
    let beyond = stranger.get("/?sort=top&page=7").await;
    assert!(beyond.body.contains("href=\"/?sort=top\">Go to the first page"), "{}", beyond.body);
}

#[tokio::test]
async fn pages_of_the_list_lead_to_each_other_and_new_posts_shift_no_cursor() {
    let scene = Scene::start().await;
    let mut posts = vec![];
    for title in ["a", "b", "c", "d", "e"] {
        scene.site.clock.advance(chrono::Duration::minutes(1));
        posts.push(given_post(&scene, title, "", "").await);
    }
    let mut stranger = scene.stranger();
    let next = |page: &Answer| {
        let (before, _) = page.body.split_once("\" rel=\"next\"")?;
        before.rsplit_once("href=\"").map(|(_, address)| address.replace("&#38;", "&"))
    };
    let first = stranger.get("/?sort=new&limit=2").await;
    let second = next(&first).expect("there is more");
    assert_eq!(second, format!("/?sort=new&limit=2&after={}", posts[3]));
    let second = stranger.get(&second).await;
    assert!(second.body.contains(">c</bdi>") && second.body.contains(">b</bdi>"), "{}", second.body);
    assert!(second.body.contains("href=\"/?sort=new&#38;limit=2\">First page"), "{}", second.body);
    let third = stranger.get(&next(&second).expect("there is more")).await;
    assert!(third.body.contains(">a</bdi>") && next(&third).is_none(), "{}", third.body);
    let top = stranger.get("/?sort=top&limit=2&page=2").await;
    assert_eq!(next(&top).as_deref(), Some("/?sort=top&limit=2&page=3"));
    let third = stranger.get("/?sort=top&limit=2&page=3").await;
    assert!(third.body.contains("href=\"/?sort=top&#38;limit=2&#38;page=2\" rel=\"prev\""), "{}", third.body);
}

#[tokio::test]
async fn a_post_that_does_not_fit_is_told_beside_its_fields_with_everything_that_was_typed() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let fields = [("title", ""), ("url", "ftp://files"), ("body", "What I <wrote>")];
    let page = ben.submit("/posts/new", "/posts", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    for told in [
        "aria-describedby=\"title-hint title-error\"",
        "id=\"title-error\"",
        "aria-describedby=\"url-hint url-error\"",
        "id=\"url-error\"",
        "value=\"ftp://files\"",
        ">What I &#60;wrote&#62;</textarea>",
    ] {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    assert!(!page.body.contains("body-error"), "{}", page.body);
    let to_login = scene.stranger().get("/posts/new").await;
    assert_eq!(to_login.location(), "/login?return_to=%2Fposts%2Fnew");
}

#[tokio::test]
async fn answers_stand_below_what_they_answer_and_say_whom() {
    let scene = Scene::start().await;
    let post = given_post(&scene, "One", "", "").await;
    let first = given_comment(&scene, post, None, "first").await;
    let second = given_comment(&scene, post, None, "second").await;
    let answer = given_comment(&scene, post, Some(first), "answer").await;
    scene.site.settle().await;
    let page = scene.stranger().get(&format!("/posts/{post}")).await;
    let at = |text: &str| page.body.find(text).unwrap_or_else(|| panic!("no {text}: {}", page.body));
    assert!(at(&format!("id=\"{first}\" class=\"d0\"")) < at(&format!("id=\"{answer}\" class=\"d1\"")));
    assert!(at(&format!("id=\"{answer}\"")) < at(&format!("id=\"{second}\" class=\"d0\"")));
    assert!(page.body.contains(&format!("answers <a href=\"#{first}\"><bdi>cleo</bdi></a>")), "{}", page.body);
    assert!(page.body.contains(&format!("href=\"/posts/{post}?comment={answer}#{answer}\"")), "{}", page.body);
}

#[tokio::test]
async fn who_is_answered_is_sent_to_the_answer_itself() {
    let scene = Scene::start().await;
    let token = scene.owners_token().await;
    let post = given_post(&scene, "One", "", "").await;
    let first = given_comment(&scene, post, None, "first").await;
    let app = &scene.site.app;
    let answer = app.comment(&by(scene.ben), scene.ben, post, Some(first), "answer").await.expect("answered").answer;
    scene.site.settle().await;
    let unread = scene.stranger().with_token(axum::http::Method::GET, "/unread", &token).await.json();
    let permalink = unread["data"][0]["permalink"].as_str().expect("a link");
    assert!(permalink.ends_with(&format!("/posts/{post}?comment={answer}#{answer}")), "{permalink}");
}

#[tokio::test]
async fn fifty_answers_deep_each_is_shown_and_says_whom_it_answers() {
    let scene = Scene::start().await;
    let post = given_post(&scene, "One", "", "").await;
    let mut above = None;
    for depth in 0..50 {
        above = Some(given_comment(&scene, post, above, &format!("At depth {depth}.")).await);
    }
    scene.site.settle().await;
    let mut shown = String::new();
    for page in 1..=2 {
        shown.push_str(&scene.stranger().get(&format!("/posts/{post}?page={page}")).await.body);
    }
    assert!((0..50).all(|depth| shown.contains(&format!("<p>At depth {depth}.</p>"))));
    assert_eq!(shown.matches("<span>answers <a ").count(), 49);
    assert_eq!(shown.matches("class=\"d6\"").count(), 44, "no deeper than a phone is wide");
}

#[tokio::test]
async fn what_was_typed_stays_in_the_form_it_was_typed_into() {
    let scene = Scene::start().await;
    let post = given_post(&scene, "One", "", "").await;
    let first = given_comment(&scene, post, None, "first").await;
    given_comment(&scene, post, None, "second").await;
    scene.site.settle().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let (path, to) = (format!("/posts/{post}"), first.to_string());
    let long = format!("Long {}", "x".repeat(20_000));
    let page = ben.submit(&path, &format!("{path}/comments"), &[("parent_id", &to), ("body", &long)]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!((page.body.matches("Long x").count(), page.body.matches("<details open>").count()), (1, 1));
    let of_first = page.body.split(&format!("<li id=\"{first}\"")).nth(1).and_then(|rest| rest.split("</li>").next());
    let of_first = of_first.expect("the comment");
    assert!(of_first.contains("Long x") && of_first.contains("aria-describedby=\"body-error\""), "{of_first}");
    let page = ben.submit(&path, &format!("{path}/comments"), &[("body", &long)]).await;
    let form = page.body.split("<textarea id=\"body\"").nth(1).and_then(|rest| rest.split("</form>").next());
    let form = form.expect("the form");
    assert!(form.contains("Long x") && form.contains("aria-describedby=\"body-hint body-error\""), "{form}");
    assert!(!page.body.contains("<details open>"));
    // A good one leads to where it stands.
    let posted = ben.submit(&path, &format!("{path}/comments"), &[("body", "Good")]).await;
    let (_, id) = posted.location().split_once('#').expect("an anchor");
    let page = ben.get(posted.location().split('#').next().expect("an address")).await;
    assert!(page.body.contains(&format!("<li id=\"{id}\"")), "{}", page.body);
}

#[tokio::test]
async fn a_long_discussion_has_pages_that_are_short_and_every_comment_can_be_found() {
    let scene = Scene::start().await;
    let post = given_post(&scene, "One", "", &"Word ".repeat(2_000)).await;
    let mut comments = vec![];
    for number in 0..300_usize {
        let parent = comments.get(number / 2).copied().filter(|_| number % 3 > 0);
        comments.push(given_comment(&scene, post, parent, &format!("Comment {number}: some words of it.")).await);
    }
    scene.site.settle().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let (mut seen, mut number) = (0, 1);
    loop {
        let page = ben.get(&format!("/posts/{post}?page={number}")).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.body.len() <= 50 * 1024, "page {number}: {} bytes", page.body.len());
        seen += page.body.matches(" class=\"d").count();
        if !page.body.contains("rel=\"next\"") {
            break;
        }
        number += 1;
    }
    assert!(number > 5, "{number} pages");
    assert_eq!(seen, 300, "each once, on {number} pages");
    for comment in [comments[0], comments[149], comments[299]] {
        let page = ben.get(&format!("/posts/{post}?comment={comment}")).await;
        assert!(page.body.contains(&format!("<li id=\"{comment}\"")));
    }
    assert_eq!(ben.get(&format!("/posts/{post}?page=0")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_front_page_of_25_posts_is_short() {
    let scene = Scene::start().await;
    let app = &scene.site.app;
    for number in 0..26 {
        let title = format!("Post {number}: a title of some length, as people write them when they say much");
        let url = "https://example.org/a/page/of/some/length?with=parameters";
        app.publish(&by(scene.ben), scene.ben, &title, url, &"Text. ".repeat(500)).await.expect("published");
    }
    scene.site.settle().await;
    let page = scene.browser_of(scene.rob).await.get("/").await;
    assert_eq!(page.body.matches("<li id=\"post-").count(), 25);
    assert!(page.body.len() < 30 * 1024, "{} bytes", page.body.len());
}

#[tokio::test]
async fn what_was_erased_is_said_plainly_and_answers_to_it_stay() {
    let scene = Scene::start().await;
    let app = &scene.site.app;
    let gone = scene.site.given_member("gone", &[]).await;
    let post = app.publish(&by(gone), gone, "A title", "", "A text").await.expect("published").answer;
    let comment = app.comment(&by(gone), gone, post, None, "A comment").await.expect("commented").answer;
    given_comment(&scene, post, Some(comment), "An answer").await;
    app.erase_member(&by(gone), gone).await.expect("erased");
    scene.site.settle().await;
    let mut stranger = scene.stranger();
    let page = stranger.get(&format!("/posts/{post}")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("Its text is gone: the member who wrote it was erased."), "{}", page.body);
    assert!(page.body.contains("[erased] The member who wrote this was erased."), "{}", page.body);
    assert!(page.body.contains("<p>An answer</p>"), "{}", page.body);
    assert!(!page.body.contains("A title") && !page.body.contains("A comment"), "{}", page.body);
    assert!(stranger.get("/").await.body.contains(">[erased]</a>"));
}

#[tokio::test]
async fn who_is_signed_in_is_said_where_somebody_else_would_log_in() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let back = "/authorize?client_id=x";
    let page = ben.get("/login?again=1&return_to=%2Fauthorize%3Fclient_id%3Dx").await;
    assert!(page.body.contains("You are signed in as <b><bdi>ben</bdi></b>."), "{}", page.body);
    assert!(page.body.contains(&format!("href=\"{back}\">go on as")), "{}", page.body);
    let csrf = page.hidden("csrf_token");
    let fields = [("csrf_token", csrf.as_str()), ("username", "cleo"), ("password", PASSWORD), ("return_to", back)];
    assert_eq!(ben.post("/login", &fields).await.location(), back);
    assert!(ben.get("/").await.body.contains("<bdi>cleo</bdi>"), "she is signed in now");
    let asked = "An application asks for access to your account.";
    let mut stranger = scene.stranger();
    assert!(stranger.get("/login?return_to=%2Fauthorize%3Fclient_id%3Dx").await.body.contains(asked));
    for other in ["/login", "/login?return_to=%2Fposts%2Fnew", "/login?return_to=%2Fauthorized"] {
        assert!(!stranger.get(other).await.body.contains(asked), "{other}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_sign_up_stands_beside_its_fields() {
    let scene = Scene::start().await;
    let mut stranger = scene.stranger();
    let fields = [("username", "-b"), ("password", "short"), ("password_repeat", "other")];
    let page = stranger.submit("/signup", "/signup", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.body.contains("aria-describedby=\"username-hint username-error\""), "{}", page.body);
    assert!(page.body.contains("value=\"-b\"") && !page.body.contains("value=\"short\""), "{}", page.body);
    let taken = [("username", "ben"), ("password", PASSWORD), ("password_repeat", PASSWORD)];
    let page = stranger.submit("/signup", "/signup", &taken).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(page.body.contains("id=\"username-error\""), "{}", page.body);
}
