//! The front page: every order with its ties, spans of time, pages, cursors, and what is refused.

use axum::http::{Method, Request, StatusCode};
use countersign::{
    app::ranking::{Sort, order},
    store::rows::PostCounts,
};
use countersign_events::{
    ids::{PostId, UserId},
    post::Direction,
    recorded::Timestamp,
};
use uuid::Uuid;

use crate::{browser_double::Answer, checks_scene::Scene, support::by};

/// A scene with posts whose votes and comments a test decides, each a minute newer than the one before.
struct Board {
    scene: Scene,
    token: String,
    voters: Vec<UserId>,
    posts: Vec<PostId>,
}

impl Board {
    async fn start() -> Self {
        let scene = Scene::start().await;
        let token = scene.owners_token().await;
        let mut voters = vec![scene.cleo, scene.ben, scene.rob];
        for name in ["voter1", "voter2"] {
            voters.push(scene.site.given_member(name, &[]).await);
        }
        Self { scene, token, voters, posts: vec![] }
    }

    /// A post named `title`, with votes for and against it, and comments.
    async fn given(&mut self, title: &str, up: usize, down: usize, comments: usize) {
        let (app, ben) = (&self.scene.site.app, self.scene.ben);
        let post = app.publish(&by(ben), ben, title, "", "").await.expect("published").answer;
        self.scene.site.settle().await;
        for (index, voter) in self.voters[..up + down].iter().enumerate() {
            let direction = if index < up { Direction::Up } else { Direction::Down };
            app.vote(&by(*voter), *voter, post, direction).await.expect("voted");
        }
        for _ in 0..comments {
            app.comment(&by(ben), ben, post, None, "text").await.expect("commented");
        }
        self.scene.site.settle().await;
        self.posts.push(post);
        self.scene.site.clock.advance(chrono::Duration::minutes(1));
    }

    async fn get(&self, query: &str) -> Answer {
        self.scene.stranger().with_token(Method::GET, &format!("/?{query}"), &self.token).await
    }

    /// Titles in the order of a query.
    async fn titles(&self, query: &str) -> String {
        let answer = self.get(query).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.body);
        let page = answer.json();
        let titles = page["data"].as_array().expect("posts").iter().map(|post| post["title"].as_str().expect("text"));
        titles.collect::<Vec<_>>().join("")
    }
}

#[tokio::test]
async fn every_sort_has_its_order_and_ties_go_to_the_newer() {
    let mut board = Board::start().await;
    board.given("a", 3, 0, 0).await;
    board.given("b", 0, 3, 2).await;
    board.given("c", 2, 2, 0).await;
    board.given("d", 3, 0, 2).await;
    board.given("e", 3, 1, 1).await;
    for (sort, order) in [
        ("new", "edcba"),
        ("old", "abcde"),
        // Scores: a 3, b -3, c 0, d 3, e 2.
        ("top", "daecb"),
        ("bottom", "bceda"),
        // Comments: b 2, d 2, e 1.
        ("comments", "dbeca"),
        // Both for and against: c is even, e has one against three; the others have none.
        ("controversial", "cedba"),
        // Ages are minutes and weigh little; logarithms of the scores decide: log 3, log 2, 0, -log 3.
        ("hot", "daecb"),
    ] {
        assert_eq!(board.titles(&format!("sort={sort}")).await, order, "{sort}");
    }
    assert_eq!(board.titles("").await, board.titles("sort=hot&t=all").await, "hot is the default");
}

#[tokio::test]
async fn posts_that_nothing_else_tells_apart_come_newest_first() {
    let board = Board::start().await;
    let (app, ben) = (&board.scene.site.app, board.scene.ben);
    for title in ["a", "b", "c", "d", "e"] {
        app.publish(&by(ben), ben, title, "", "").await.expect("published");
    }
    board.scene.site.settle().await;
    for sort in ["hot", "new", "top", "bottom", "controversial", "comments"] {
        assert_eq!(board.titles(&format!("sort={sort}")).await, "edcba", "{sort}");
    }
    assert_eq!(board.titles("sort=old").await, "abcde");
}

#[test]
fn posts_of_one_instant_are_ordered_by_their_ids() {
    let post = |id: u128| PostCounts {
        post_id: PostId(Uuid::from_u128(id)),
        created_at: Timestamp::UNIX_EPOCH,
        upvotes: 1,
        downvotes: 1,
        comment_count: 1,
    };
    for sort in Sort::ALL {
        let mut posts = [post(2), post(3), post(1)];
        posts.sort_by(|a, b| order(*sort, a, b));
        assert_eq!(posts.map(|post| post.post_id.0.as_u128()), [1, 2, 3], "{sort:?}");
    }
}

#[tokio::test]
async fn a_gained_age_outweighs_a_tenfold_score() {
    let mut board = Board::start().await;
    board.given("o", 5, 0, 0).await;
    board.scene.site.clock.advance(chrono::Duration::seconds(45_000));
    board.given("n", 1, 0, 0).await;
    assert_eq!(board.titles("sort=hot").await, "no", "one unit of age is worth a factor of ten");
    assert_eq!(board.titles("sort=top").await, "on");
}

#[tokio::test]
async fn a_span_leaves_out_what_is_older() {
    let mut board = Board::start().await;
    let ages = [("y", 300), ("m", 20), ("w", 5), ("d", 0)];
    let mut before = 400;
    for (title, days) in ages {
        board.scene.site.clock.advance(chrono::Duration::days(before - days));
        before = days;
        board.given(title, 0, 0, 0).await;
    }
    // The owner's token has expired by then: ask as a browser does.
    let read = async |span: &str| {
        let request = Request::get(format!("/?sort=new&t={span}")).header("accept", "application/json");
        let answer = board.scene.stranger().send(request.body(axum::body::Body::empty()).expect("a request")).await;
        let page = answer.json();
        let titles =
            page["data"].as_array().expect("posts").iter().map(|post| post["title"].as_str().expect("text").to_owned());
        titles.collect::<String>()
    };
    for (span, order) in
        [("hour", "d"), ("day", "d"), ("week", "dw"), ("month", "dwm"), ("year", "dwmy"), ("all", "dwmy")]
    {
        assert_eq!(read(span).await, order, "{span}");
    }
}

#[tokio::test]
async fn an_unknown_sort_or_span_is_400_and_names_what_there_is() {
    let board = Board::start().await;
    let sorts = "hot, new, old, top, bottom, controversial, comments";
    let spans = "hour, day, week, month, year, all";
    for (query, allowed) in
        [("sort=best", sorts), ("sort=", sorts), ("sort=HOT", sorts), ("t=decade", spans), ("t=", spans)]
    {
        let json = board.get(query).await;
        assert_eq!(json.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(json.json()["detail"].as_str().expect("text").contains(allowed), "{}", json.body);
        let page = board.scene.stranger().get(&format!("/?{query}")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(page.header("content-type").starts_with("text/html") && page.body.contains(allowed), "{}", page.body);
    }
    for query in [
        "page=0",
        "page=-1",
        "page=x",
        "page=99999999999",
        "limit=0",
        "limit=101",
        "limit=x",
        "sort=new&after=x",
        "sort=top&after=00000000-0000-0000-0000-000000000000",
    ] {
        assert_eq!(board.get(query).await.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn pages_and_cursors_show_every_post_once() {
    let mut board = Board::start().await;
    for title in ["a", "b", "c", "d", "e"] {
        board.given(title, 0, 0, 0).await;
    }
    for (page, titles, more) in [(1, "ed", true), (2, "cb", true), (3, "a", false), (4, "", false)] {
        let query = format!("sort=new&limit=2&page={page}");
        assert_eq!(board.titles(&query).await, titles);
        assert_eq!(board.get(&query).await.json()["next_exists"], more, "page {page}");
    }
    assert_eq!(board.titles("limit=5").await.len(), 5);
    assert_eq!(board.get("limit=5").await.json()["next_exists"], false);
    assert!(board.get("sort=top&limit=2").await.json()["next"].is_null(), "a cursor goes with new and old");
    for (sort, order) in [("new", "edcba"), ("old", "abcde")] {
        let (mut seen, mut after) = (String::new(), String::new());
        loop {
            let query = format!("sort={sort}&limit=2{after}");
            seen.push_str(&board.titles(&query).await);
            match board.get(&query).await.json()["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(seen, order, "{sort}");
    }
}

#[tokio::test]
async fn a_page_has_25_posts_when_nobody_says_otherwise() {
    let board = Board::start().await;
    let (app, ben) = (&board.scene.site.app, board.scene.ben);
    for _ in 0..26 {
        app.publish(&by(ben), ben, "x", "", "").await.expect("published");
    }
    board.scene.site.settle().await;
    let page = board.get("").await.json();
    assert_eq!((page["data"].as_array().map(Vec::len), &page["next_exists"]), (Some(25), &true.into()));
    assert_eq!(board.titles("page=2").await, "x");
    assert_eq!(board.titles("limit=100").await.len(), 26);
}

#[tokio::test]
async fn json_comes_to_a_token_or_who_asks_for_it_and_html_to_everybody_else() {
    let mut board = Board::start().await;
    board.given("a", 2, 1, 1).await;
    for (accept, json) in [("application/json", true), ("*/*", false), ("text/html,*/*;q=0.8", false), ("", false)] {
        let request = Request::get("/").header("accept", accept).body(axum::body::Body::empty()).expect("a request");
        let answer = board.scene.stranger().send(request).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-type").starts_with("application/json"), json, "{accept}");
    }
    let page = board.get("").await.json();
    let post = page["data"][0].as_object().expect("a post");
    let names: Vec<_> =
        "id title url body body_html author_name author_id created_utc permalink comment_count score upvotes \
                         downvotes is_bot app_id"
            .split_whitespace()
            .collect();
    for name in &names {
        assert!(post.contains_key(*name), "{name}");
    }
    assert_eq!(post.len(), names.len());
    assert_eq!((&post["score"], &post["upvotes"], &post["downvotes"]), (&1.into(), &2.into(), &1.into()));
    assert_eq!((&post["comment_count"], &post["is_bot"]), (&1.into(), &false.into()));
}
