//! What pages weigh on the wire, with the style sheet and the script, where members have written as much as fits
//! everywhere, in letters that compress least, and have been here for long. And that all of it can be read all the same.

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
    /// Of three and four bytes, tens of thousands of them.
    letters: Vec<char>,
    /// Of one byte, as addresses have them.
    plain: Vec<char>,
}

impl Words {
    fn new() -> Self {
        let plain = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
        let letters = ('\u{4e00}'..'\u{9fff}').chain('\u{ac00}'..='\u{d7a3}').chain('\u{20000}'..'\u{2a6df}');
        Self { state: 1, letters: letters.collect(), plain }
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
    heavy.scene.site.settle().await;
    let mut browser = heavy.scene.browser_of(owner).await;
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
    for _ in 0..30 {
        let (title, body) = (heavy.words.text(300), heavy.words.text(20_000));
        let app = &heavy.scene.site.app;
        app.send_message(&by(owner), owner, "cleo", &title, &body).await.expect("sent");
    }
    heavy.scene.site.settle().await;
    let mut cleo = heavy.scene.browser_of(heavy.scene.cleo).await;
    heavy.look_at(&mut cleo, "/inbox").await;
    heavy.look_at(&mut cleo, "/inbox?kind=messages").await;
    let message = format!("/inbox/{}", heavy.scene.site.newest_message(heavy.scene.cleo).await);
    heavy.look_at(&mut cleo, &message).await;
    heavy.look_at(&mut cleo, &format!("{message}?part=2")).await;
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
    for path in ["/settings/apps", "/settings/authorizations", "/settings/authorizations?access=2"] {
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

/// Where the first link with these words leads.
fn link(page: &str, words: &str) -> Option<String> {
    let (before, _) = page.split_once(&format!("{words}</a>"))?;
    let (_, link) = before.rsplit_once("href=\"")?;
    Some(link.split('"').next()?.replace("&#38;", "&"))
}

/// From a page on along the links with these words.
async fn read_on(browser: &mut Browser, first: &str, words: &str) -> Vec<String> {
    let mut pages = vec![browser.get(first).await.body];
    while let Some(next) = link(&pages[pages.len() - 1], words) {
        assert!(pages.len() < 50, "{next} leads in circles");
        pages.push(browser.get(&next).await.body);
    }
    pages
}

/// Which of these numbered places a text has, in order.
fn places(text: &str, mark: &str) -> Vec<usize> {
    let numbers =
        text.split(mark).skip(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    numbers.map(|number| number.parse().expect("a number")).collect()
}

#[tokio::test]
async fn a_long_text_is_read_in_parts_and_none_of_it_is_lost() {
    let scene = Scene::start().await;
    let app = &scene.site.app;
    let paragraph = |number| format!("place-{number}: {}\n\n", "語".repeat(600));
    let text = (0..30).map(paragraph).collect::<Vec<_>>().concat();
    let post = app.publish(&by(scene.ben), scene.ben, "Long", "", &text).await.expect("published").answer;
    app.comment(&by(scene.ben), scene.ben, post, None, "Short.").await.expect("said");
    let comment = app.comment(&by(scene.ben), scene.ben, post, None, &text).await.expect("said").answer;
    app.send_message(&by(scene.ben), scene.ben, "cleo", "Long", &text).await.expect("sent");
    let message = scene.site.newest_message(scene.cleo).await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let everything: Vec<_> = (0..30).collect();
    for first in [format!("/posts/{post}"), format!("/posts/{post}?comment={comment}"), format!("/inbox/{message}")] {
        let parts = read_on(&mut cleo, &first, "The text goes on").await;
        let shown: Vec<_> = parts.iter().flat_map(|page| places(page, "place-")).collect();
        assert_eq!((parts.len(), &shown), (2, &everything), "{first}");
        let back = link(&parts[1], "Part before").expect("a way back");
        assert_eq!(places(&cleo.get(&back).await.body, "place-"), places(&parts[0], "place-"), "{back}");
        let mark = if first.contains('?') { '&' } else { '?' };
        let last = cleo.get(&format!("{first}{mark}part=99")).await.body;
        assert_eq!(places(&last, "place-"), places(&parts[1], "place-"), "the nearest");
        for wrong in ["0", "x"] {
            let refused = cleo.get(&format!("{first}{mark}part={wrong}")).await;
            assert_eq!(refused.status, 400, "{first}");
            assert!(refused.body.contains("part is a number from 1."), "{}", refused.body);
        }
    }
}

#[tokio::test]
async fn a_long_history_is_read_from_its_end_and_none_of_it_is_lost() {
    let mut heavy = Heavy::start().await;
    let (owner, reviewer) = (heavy.owner, heavy.reviewer);
    let id = heavy.ask().await;
    for number in 0..40 {
        let app = &heavy.scene.site.app;
        let revision = app.reviewed_application(id).await.expect("it is there").revision;
        let reason = format!("step-{number} {}", "a".repeat(1_900));
        let verdict = Verdict { revision, reason_code: "other".to_owned(), reason };
        app.decide_application(&by(reviewer), reviewer, id, Verb::RequestChanges, &verdict).await.expect("decided");
        let asked = app.asked(&heavy.words.request()).expect("it fits");
        app.resubmit_application(&by(owner), owner, id, asked).await.expect("resubmitted");
    }
    let (owners, reviewers) = (heavy.scene.browser_of(owner).await, heavy.scene.browser_of(reviewer).await);
    for (mut browser, own) in
        [(owners, format!("/settings/apps/{id}")), (reviewers, format!("/admin/apps/{id}?sort=newest"))]
    {
        let history = |page: &String| page.split_once("id=\"history\"").expect("a history").1.to_owned();
        let pages: Vec<_> = read_on(&mut browser, &own, "earlier steps").await.iter().map(history).collect();
        assert!(pages.len() > 3, "{} pages", pages.len());
        assert!(places(&pages[0], "step-").ends_with(&[39]), "{}", pages[0]);
        let shown: Vec<_> = pages.iter().rev().flat_map(|page| places(page, "step-")).collect();
        assert_eq!(shown, (0..40).collect::<Vec<_>>());
        let newest = link(&pages[1], "The newest steps").expect("a way back");
        assert_eq!(newest, format!("{own}#history"));
        let mark = if own.contains('?') { '&' } else { '?' };
        let refused = browser.get(&format!("{own}{mark}before=x")).await;
        assert_eq!(refused.status, 400);
        assert!(refused.body.contains("before is a number from 1."), "{}", refused.body);
    }
}

#[tokio::test]
async fn long_lists_are_read_page_by_page_and_none_of_them_is_cut_off() {
    let mut heavy = Heavy::start().await;
    let mut ids = vec![];
    for number in 0..MANY {
        ids.push(heavy.ask().await);
        if number % 2 == 0 {
            heavy.decide(ids[number], Verb::Approve).await;
        }
    }
    let mut browser = heavy.scene.browser_of(heavy.owner).await;
    let mut pages = vec![browser.get("/settings/apps").await.body];
    for number in 2..=3 {
        let address = format!("/settings/apps?applications={number}#applications");
        assert_eq!(link(&pages[number - 2], "Next page"), Some(address.clone()));
        pages.push(browser.get(&address).await.body);
    }
    assert_eq!(link(&pages[2], "Previous page").as_deref(), Some("/settings/apps?applications=2#applications"));
    for id in &ids {
        let own = format!("<h3><a href=\"/settings/apps/{id}\">");
        assert_eq!(pages.iter().filter(|page| page.contains(&own)).count(), 1, "{id}");
    }
    let second = browser.get("/settings/apps?tokens=2").await.body;
    let tokens = |page: &str| page.matches("class=\"card token\"").count();
    assert_eq!((tokens(&pages[0]), tokens(&second)), (20, 3), "each that was approved has one");
    let refused = browser.get("/settings/apps?tokens=x").await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("tokens is a number from 1."), "{}", refused.body);
}
