//! That what is too much for one page is read in parts, and none of it is lost. What pages weigh is `page_weights`'s.

use countersign::app::{
    applications::Request,
    reviews::{Verb, Verdict},
};

use crate::{browser_double::Browser, checks_scene::Scene, support::by};

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
    let scene = Scene::start().await;
    let (app, owner, reviewer) = (&scene.site.app, scene.cleo, scene.rob);
    let id = scene.site.given_request(owner, "Long").await;
    for number in 0..40 {
        let revision = app.reviewed_application(id).await.expect("it is there").revision;
        let reason = format!("step-{number} {}", "a".repeat(1_900));
        let verdict = Verdict { revision, reason_code: "other".to_owned(), reason };
        app.decide_application(&by(reviewer), reviewer, id, Verb::RequestChanges, &verdict).await.expect("decided");
        let asked = app.asked(&Request::of(&app.my_application(owner, id).await.expect("theirs"))).expect("it fits");
        app.resubmit_application(&by(owner), owner, id, asked).await.expect("resubmitted");
    }
    let (owners, reviewers) = (scene.browser_of(owner).await, scene.browser_of(reviewer).await);
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
    let scene = Scene::start_with(&[("LIMITS_OPEN_REQUESTS", "100")]).await;
    let mut ids = vec![scene.application];
    for number in 0..44 {
        let id = scene.site.given_request(scene.cleo, &format!("App {number}")).await;
        if number < 24 {
            scene.site.decide(scene.rob, id, Verb::Approve).await;
        }
        ids.push(id);
    }
    let mut browser = scene.browser_of(scene.cleo).await;
    let mut pages = vec![browser.get("/settings/apps").await.body];
    let words = |way: &str| format!("{way}<span class=\"sr\"> of your applications</span>");
    for number in 2..=3 {
        let address = format!("/settings/apps?applications={number}#applications");
        assert_eq!(link(&pages[number - 2], &words("Next page")), Some(address.clone()));
        pages.push(browser.get(&address).await.body);
    }
    let back = "/settings/apps?applications=2#applications";
    assert_eq!(link(&pages[2], &words("Previous page")).as_deref(), Some(back));
    for id in &ids {
        let own = format!("<h3><a href=\"/settings/apps/{id}\">");
        assert_eq!(pages.iter().filter(|page| page.contains(&own)).count(), 1, "{id}");
    }
    let second = browser.get("/settings/apps?tokens=2").await.body;
    let tokens = |page: &str| page.matches("class=\"card token\"").count();
    assert_eq!((tokens(&pages[0]), tokens(&second)), (20, 5), "each that was approved has one");
    let refused = browser.get("/settings/apps?tokens=x").await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("tokens is a number from 1."), "{}", refused.body);

    let newest = scene.site.app.my_tokens(scene.cleo).await.expect("tokens").remove(0).row.token_id;
    scene.site.app.regenerate_token(&by(scene.cleo), scene.cleo, newest).await.expect("another");
    for (query, opening) in [("", "id=\"ended\"><summary>"), ("?ended=1", "id=\"ended\" open><summary>")] {
        let page = browser.get(&format!("/settings/apps{query}")).await.body;
        assert!(page.contains(opening), "a link to it opens it: {page}");
    }
}

#[tokio::test]
async fn a_list_cuts_titles_only_when_they_are_too_much_for_it() {
    let scene = Scene::start().await;
    let app = &scene.site.app;
    let url = "https://example.org/an/address/of/some/length";
    let publish = async |title: &str| app.publish(&by(scene.ben), scene.ben, title, url, "").await.expect("published");
    let long = "語".repeat(300);
    publish(&long).await;
    for number in 0..99 {
        publish(&format!("Post {number}: about as much as people write when they say much in the title")).await;
    }
    scene.site.settle().await;
    let mut browser = scene.browser_of(scene.cleo).await;
    let page = browser.get("/?limit=100").await.body;
    assert!(page.contains(&format!("<bdi>{long}</bdi>")), "one alone is no burden: {page}");
    assert_eq!(page.matches(&format!("class=\"host\" href=\"{url}\"")).count(), 100);
    for number in 0..99 {
        publish(&format!("{number} {}", "語".repeat(290))).await;
    }
    scene.site.settle().await;
    let page = browser.get("/?limit=100&sort=new").await.body;
    assert!(!page.contains(&long) && page.matches("語…</bdi>").count() == 99, "{page}");
    assert_eq!(browser.get("/?sort=new").await.body.matches(&"語".repeat(290)).count(), 25, "a usual list has room");
}
