//! What pages weigh on the wire, with the style sheet and the script, where members have written as much as fits
//! everywhere, in letters that compress little, and have been here for long. That all of it can be read all the same is
//! `page_parts`'s.

use axum::{body::Body, http::Request};
use chrono::TimeDelta;
use countersign::app::{
    applications,
    reviews::{Verb, Verdict},
};
use countersign_events::{
    account::Role,
    ids::{ApplicationId, PostId, UserId},
};

use crate::{
    browser_double::{Answer, Browser},
    checks_scene::Scene,
    support::by,
};

/// A page with what it loads has no more bytes.
const BYTES: usize = 50 * 1024;
/// So many of everything that adds up.
const MANY: usize = 45;

/// Words of letters that are drawn anew each time: text that compresses no better than people's does.
struct Words {
    state: u32,
    /// Tens of thousands of them.
    letters: Vec<char>,
    /// Of one byte, as addresses have them.
    plain: Vec<char>,
}

impl Words {
    /// In letters of three and four bytes.
    fn new() -> Self {
        let plain = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
        let letters = ('\u{4e00}'..'\u{9fff}').chain('\u{ac00}'..='\u{d7a3}').chain('\u{20000}'..'\u{2a6df}');
        Self { state: 1, letters: letters.collect(), plain }
    }

    /// In letters of two bytes, which fit into one part of a text as often as may be.
    fn in_two_bytes() -> Self {
        let letters = ('\u{0400}'..='\u{0481}').chain('\u{048a}'..='\u{0556}').chain('\u{0561}'..='\u{0587}');
        Self { letters: letters.chain('\u{0621}'..='\u{064a}').collect(), ..Self::new() }
    }

    fn draw(&mut self, below: usize) -> usize {
        // The generator of Numerical Recipes; its upper bits are the good ones.
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.state >> 8) as usize % below
    }

    fn text(&mut self, length: usize) -> String {
        let letter = |words: &mut Self| {
            let drawn = words.draw(words.letters.len());
            if words.draw(40) == 0 { ' ' } else { words.letters[drawn] }
        };
        let text: String = (0..length).map(|_| letter(self)).collect();
        // White space at the end would go.
        text.trim().to_owned()
    }

    /// An address, in so many characters.
    fn address(&mut self, host: &str, length: usize) -> String {
        let start = format!("https://{host}.example/");
        format!("{start}{}", self.plain(length - start.len()))
    }

    fn plain(&mut self, length: usize) -> String {
        let letter = |words: &mut Self| {
            let drawn = words.draw(words.plain.len());
            words.plain[drawn]
        };
        (0..length).map(|_| letter(self)).collect()
    }

    /// Of a member.
    fn name(&mut self) -> String {
        self.plain(25)
    }

    /// What an owner types: everything as long as it may be.
    fn request(&mut self) -> applications::Request {
        let uris: Vec<_> = (0..10).map(|at| self.address(&format!("app{at}"), 400)).collect();
        applications::Request {
            purpose: "web".to_owned(),
            name: self.text(50),
            description: self.text(256),
            website: self.address("site", 256),
            redirect_uri: uris.join("\n"),
            scopes: vec!["read identity notifications messages write vote".to_owned()],
        }
    }
}

/// The site with people who write at length.
struct Heavy {
    scene: Scene,
    words: Words,
    owner: UserId,
    reviewer: UserId,
    /// What each page weighs that is too heavy.
    faults: Vec<String>,
    /// The style sheet and the script.
    besides: usize,
}

impl Heavy {
    async fn start() -> Self {
        let settings = [("LIMITS_OPEN_REQUESTS", "1000"), ("LIMITS_MESSAGES_PER_HOUR", "1000")];
        let scene = Scene::start_with(&settings).await;
        let mut words = Words::new();
        let owner = scene.site.given_member(&words.name(), &[]).await;
        let reviewer = scene.site.given_member(&words.name(), &[Role::Admin]).await;
        let mut stranger = scene.stranger();
        let mut besides = 0;
        for path in ["/style.css", "/site.js"] {
            besides += stranger.get_compressed(path).await.bytes;
        }
        Self { scene, words, owner, reviewer, faults: vec![], besides }
    }

    async fn ask(&mut self) -> ApplicationId {
        let app = &self.scene.site.app;
        let asked = app.asked(&self.words.request()).expect("it fits");
        app.request_application(&by(self.owner), self.owner, asked).await.expect("asked for").answer
    }

    async fn decide(&mut self, id: ApplicationId, verb: Verb) {
        let app = &self.scene.site.app;
        let revision = app.reviewed_application(id).await.expect("it is there").revision;
        let reason = self.words.text(2_000);
        let verdict = Verdict { revision, reason_code: "other".to_owned(), reason };
        app.decide_application(&by(self.reviewer), self.reviewer, id, verb, &verdict).await.expect("decided");
    }

    async fn publish(&mut self, author: UserId, link: usize, body: usize) -> PostId {
        let (title, url, body) = (self.words.text(300), self.words.address("post", link), self.words.text(body));
        self.scene.site.app.publish(&by(author), author, &title, &url, &body).await.expect("published").answer
    }

    fn weigh(&mut self, path: &str, page: &Answer) {
        assert!(page.status.is_success() || page.status == 409, "{path}: {}", page.status);
        let as_it_is = page.header("content-encoding").is_empty();
        assert_eq!(as_it_is, path.split('?').next() == Some("/inbox"), "{path}");
        let bytes = page.bytes + self.besides;
        println!("{bytes:6} {path}");
        if bytes > BYTES {
            self.faults.push(format!("{path}: {bytes}"));
        }
    }

    /// The page, to be read.
    async fn look_at(&mut self, browser: &mut Browser, path: &str) -> String {
        let page = browser.get_compressed(path).await;
        self.weigh(path, &page);
        browser.get(path).await.body
    }

    fn report(self) {
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
    }
}

#[tokio::test]
async fn posts_and_what_is_said_of_them_are_light() {
    let mut heavy = Heavy::start().await;
    let owner = heavy.owner;
    for _ in 0..100 {
        let author = heavy.scene.site.given_member(&heavy.words.name(), &[]).await;
        heavy.publish(author, 300, 0).await;
    }
    let post = heavy.publish(owner, 2_048, 20_000).await;
    let mut last = None;
    for (number, length) in [20_000, 20_000, 300, 3_000, 3_000, 3_000, 3_000].into_iter().chain([100; 60]).enumerate() {
        let (text, above) = (heavy.words.text(length), last.filter(|_| number % 3 > 0));
        let app = &heavy.scene.site.app;
        last = Some(app.comment(&by(owner), owner, post, above, &text).await.expect("said").answer);
    }
    // A paragraph, and one that is longer than a part; links, whose addresses are in the same letters.
    let paragraphs = format!("{}\n\n{}", heavy.words.text(6_000).replace(' ', "x"), heavy.words.text(13_900));
    let links = (0..200).map(|_| format!("https://a.example/{} ", heavy.words.text(70).replace(' ', "x")));
    let mut others = vec![];
    for body in [links.collect::<Vec<_>>().concat(), paragraphs] {
        others
            .push(heavy.scene.site.app.publish(&by(owner), owner, "Long", "", &body).await.expect("published").answer);
    }
    heavy.words = Words::in_two_bytes();
    others.push(heavy.publish(owner, 2_048, 20_000).await);
    heavy.scene.site.settle().await;
    let mut browser = heavy.scene.browser_of(owner).await;
    for other in others {
        for part in 1..=3 {
            heavy.look_at(&mut browser, &format!("/posts/{other}?part={part}")).await;
        }
    }
    for path in ["/", "/?limit=100", "/?sort=new&limit=100", "/?sort=new&limit=60", "/?sort=top&t=day&limit=26"] {
        heavy.look_at(&mut browser, path).await;
    }
    let address = format!("/posts/{post}");
    let first = heavy.look_at(&mut browser, &address).await;
    assert!(first.contains("Part 1 of 2") && first.contains("begin on the next page"), "{first}");
    heavy.look_at(&mut browser, &format!("{address}?part=2")).await;
    let mut page = 2;
    loop {
        let shown = heavy.look_at(&mut browser, &format!("{address}?page={page}")).await;
        if !shown.contains(">Next page</a>") {
            break;
        }
        page += 1;
    }
    assert!(page > 3, "{page} pages");
    heavy.report();
}

#[tokio::test]
async fn messages_are_light() {
    let mut heavy = Heavy::start().await;
    let owner = heavy.owner;
    let mut cleo = heavy.scene.browser_of(heavy.scene.cleo).await;
    for words in [Words::new(), Words::in_two_bytes()] {
        heavy.words = words;
        for _ in 0..30 {
            let (title, body) = (heavy.words.text(300), heavy.words.text(20_000));
            let app = &heavy.scene.site.app;
            app.send_message(&by(owner), owner, "cleo", &title, &body).await.expect("sent");
        }
        let message = format!("/inbox/{}", heavy.scene.site.newest_message(heavy.scene.cleo).await);
        for path in ["/inbox", "/inbox?kind=messages", &message, &format!("{message}?part=2")] {
            heavy.look_at(&mut cleo, path).await;
        }
    }
    heavy.report();
}

#[tokio::test]
async fn applications_and_their_reviews_are_light() {
    let mut heavy = Heavy::start().await;
    let (owner, reviewer) = (heavy.owner, heavy.reviewer);
    let mut ids = vec![];
    for number in 0..MANY {
        let id = heavy.ask().await;
        ids.push(id);
        match number {
            0..8 => {
                for _ in 0..6 {
                    heavy.decide(id, Verb::RequestChanges).await;
                    let asked = heavy.scene.site.app.asked(&heavy.words.request()).expect("it fits");
                    let app = &heavy.scene.site.app;
                    app.resubmit_application(&by(owner), owner, id, asked).await.expect("resubmitted");
                }
                match number {
                    0 => heavy.decide(id, Verb::RequestChanges).await,
                    1 => heavy.decide(id, Verb::Deny).await,
                    2 => {
                        heavy.decide(id, Verb::Deny).await;
                        let text = heavy.words.text(2_000);
                        heavy.scene.site.app.appeal(&by(owner), owner, id, &text).await.expect("appealed");
                    }
                    _ => {}
                }
            }
            _ => heavy.decide(id, Verb::Approve).await,
        }
        if number == 10 {
            heavy.decide(id, Verb::Suspend).await;
        }
        if number > 10 && number < 15 {
            let asked = heavy.scene.site.app.asked(&heavy.words.request()).expect("it fits");
            let app = &heavy.scene.site.app;
            app.edit_application(&by(owner), owner, id, asked).await.expect("proposed");
        }
    }
    // A program that was given a new token again and again.
    let mut token = heavy.scene.site.app.my_tokens(owner).await.expect("tokens")[0].row.clone();
    for _ in 0..MANY {
        heavy.scene.site.clock.advance(TimeDelta::seconds(61));
        let app = &heavy.scene.site.app;
        app.regenerate_token(&by(owner), owner, token.token_id).await.expect("another");
        let newest = app.my_tokens(owner).await.expect("tokens").into_iter();
        token = newest.map(|one| one.row).find(|row| row.application_id == token.application_id).expect("the new one");
    }
    let rotated = token.application_id;
    let ben = heavy.scene.ben;
    for id in &ids[15..] {
        let client = heavy.scene.site.app.my_application(owner, *id).await.expect("theirs").client_id;
        heavy.scene.consented(ben, &client.expect("approved").to_string(), None).await;
    }
    heavy.scene.site.settle().await;

    let mut browser = heavy.scene.browser_of(owner).await;
    for query in ["", "?applications=2", "?applications=3", "?tokens=2", "?ended=3"] {
        heavy.look_at(&mut browser, &format!("/settings/apps{query}")).await;
    }
    let own = |id| format!("/settings/apps/{id}");
    for id in ids.iter().take(16).chain([&rotated]) {
        heavy.look_at(&mut browser, &own(*id)).await;
    }
    let earlier = heavy.look_at(&mut browser, &format!("{}?before=4", own(ids[0]))).await;
    assert!(earlier.contains("The newest steps"), "{earlier}");
    let mut bens = heavy.scene.browser_of(ben).await;
    let lists = ["/settings/apps", "/settings/apps?others=2", "/settings/authorizations"];
    for path in lists.into_iter().chain(["/settings/authorizations?access=2"]) {
        heavy.look_at(&mut bens, path).await;
    }
    let client = heavy.scene.site.app.my_application(owner, ids[20]).await.expect("theirs").client_id;
    heavy.look_at(&mut bens, &format!("/authorize?client_id={}", client.expect("approved"))).await;

    let mut reviewers = heavy.scene.browser_of(reviewer).await;
    for path in ["/admin/apps", "/admin/apps?state=all&limit=100", "/admin/audit", "/admin/operations"] {
        heavy.look_at(&mut reviewers, path).await;
    }
    for id in &ids[..16] {
        heavy.look_at(&mut reviewers, &format!("/admin/apps/{id}")).await;
    }
    // With what somebody else decided, what has changed and what was typed.
    let form = {
        let csrf = reviewers.get("/settings").await.hidden("csrf_token");
        let reason = heavy.words.text(2_000);
        let fields = [("csrf_token", csrf.as_str()), ("revision", "1"), ("reason_code", "other"), ("reason", &reason)];
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
    };
    for id in &ids[3..8] {
        let path = format!("/admin/apps/{id}/deny");
        let request = Request::post(&path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept-encoding", "gzip")
            .body(Body::from(form.clone()));
        let refused = reviewers.send(request.expect("a request")).await;
        heavy.weigh(&path, &refused);
    }
    heavy.report();
}

#[tokio::test]
async fn the_audit_is_light() {
    let mut heavy = Heavy::start().await;
    let owner = heavy.owner;
    for _ in 0..30 {
        let id = heavy.ask().await;
        heavy.decide(id, Verb::Deny).await;
    }
    let post = heavy.publish(owner, 2_048, 20_000).await;
    heavy.words = Words::in_two_bytes();
    heavy.publish(owner, 2_048, 20_000).await;
    let (text, title) = (heavy.words.text(20_000), heavy.words.text(300));
    heavy.scene.site.app.comment(&by(owner), owner, post, None, &text).await.expect("said");
    heavy.scene.site.app.send_message(&by(owner), owner, "cleo", &title, &text).await.expect("sent");
    heavy.scene.site.settle().await;
    let mut browser = heavy.scene.browser_of(heavy.reviewer).await;
    for query in ["", "?type=ApplicationRequested", "?type=ApplicationDenied", "?after=50"] {
        heavy.look_at(&mut browser, &format!("/admin/audit{query}")).await;
    }
    for position in 1..=heavy.scene.head().await {
        heavy.look_at(&mut browser, &format!("/admin/audit/{position}")).await;
    }
    heavy.report();
}
