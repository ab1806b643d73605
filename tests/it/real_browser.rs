//! Three people click their way through the guide in headless Chromium, under the policies that the real program sends.

use std::time::{Duration, Instant};

use fantoccini::{Client, Locator, wd::WebDriverCompatibleCommand};

use crate::{
    browser::Chromium,
    running_site::{PASSWORD, RunningSite},
    third_party::ThirdParty,
};

/// What the page has said to the console since it was last asked; Chromium's own command.
#[derive(Debug)]
struct ConsoleLog;

impl WebDriverCompatibleCommand for ConsoleLog {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (axum::http::Method, Option<String>) {
        (axum::http::Method::POST, Some(r#"{"type":"browser"}"#.to_owned()))
    }
}

async fn assert_quiet_console(page: &Client) {
    let said = page.issue_cmd(ConsoleLog).await.expect("Chromium has a console");
    let lines = said.as_array().expect("a list").clone();
    let bad: Vec<_> = lines.iter().filter(|line| line["level"] == "SEVERE").collect();
    assert!(bad.is_empty(), "{bad:?}");
}

async fn fill(page: &Client, id: &str, text: &str) {
    let field = page.find(Locator::Id(id)).await.unwrap_or_else(|error| panic!("{id}: {error}"));
    field.send_keys(text).await.expect("it can be typed into");
}

async fn click(page: &Client, button: &str) {
    let xpath = format!("//button[normalize-space()='{button}']");
    let found = page.find(Locator::XPath(&xpath)).await.unwrap_or_else(|error| panic!("{button}: {error}"));
    found.click().await.expect("it can be clicked");
}

async fn follow(page: &Client, link: &str) {
    // Numbers may follow.
    let xpath = format!("//a[starts-with(normalize-space(), '{link}')]");
    let found = page.find(Locator::XPath(&xpath)).await.unwrap_or_else(|error| panic!("{link}: {error}"));
    found.click().await.expect("it can be clicked");
}

async fn text(page: &Client, selector: &str) -> String {
    let found = page.wait().for_element(Locator::Css(selector)).await;
    found.unwrap_or_else(|error| panic!("{selector}: {error}")).text().await.expect("text")
}

/// Somebody else sits down at the browser.
async fn log_in(page: &Client, site: &RunningSite, name: &str) {
    page.goto(site.url()).await.expect("the site");
    page.delete_all_cookies().await.expect("a fresh browser");
    page.goto(&format!("{}/login", site.url())).await.expect("the log-in");
    fill(page, "username", name).await;
    fill(page, "password", PASSWORD).await;
    click(page, "Log in").await;
    follow_to(page, name).await;
}

/// Opens the first message of the inbox; it comes a moment after somebody else's decision.
async fn waiting_message(page: &Client) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Ok(message) = page.find(Locator::Css("ul.rows li a")).await {
            return message.click().await.expect("a click");
        }
        assert!(Instant::now() < deadline, "no message came");
        page.refresh().await.expect("the inbox again");
    }
}

/// Waits until a page that shows this link has come.
async fn follow_to(page: &Client, link: &str) {
    page.wait().for_element(Locator::LinkText(link)).await.unwrap_or_else(|error| panic!("{link}: {error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_people_click_from_request_to_authorization_and_end_on_the_third_partys_page() {
    let Some(chromium) = Chromium::start(1280, 1400).await else {
        return;
    };
    let page = &chromium.client;
    let site = RunningSite::start();
    for (name, roles) in [("cleo", &[][..]), ("rob", &["reviewer"][..]), ("ben", &[][..])] {
        site.given_member(name, roles);
    }
    let third_party = ThirdParty::start("localhost").await;

    log_in(page, &site, "cleo").await;
    follow(page, "Apps").await;
    fill(page, "name", "Reader").await;
    fill(page, "redirect_uri", &third_party.redirect_uri()).await;
    fill(page, "description", "Reads the front page.").await;
    click(page, "Send request").await;
    assert_eq!(text(page, ".head .badge.under_review").await, "under review");
    let own_page = page.current_url().await.expect("an address");

    log_in(page, &site, "rob").await;
    follow(page, "Review").await;
    follow(page, "Reader").await;
    fill(page, "reason", "Welcome.").await;
    click(page, "approve").await;
    assert_eq!(text(page, "h1 .badge.approved").await, "approved");

    log_in(page, &site, "cleo").await;
    follow(page, "Inbox").await;
    waiting_message(page).await;
    page.wait().for_element(Locator::XPath("//button[.='Reveal the token']")).await.expect("a button");
    click(page, "Reveal the token").await;
    assert!(text(page, "#token").await.starts_with("csp_"));
    page.goto(own_page.as_str()).await.expect("the application's page");
    let client_id = text(page, "#client_id").await;
    assert_quiet_console(page).await;

    // Ben is not logged in: the log-in comes first, then the consent, then the third party and its own redirect.
    page.delete_all_cookies().await.expect("a fresh browser");
    page.goto(&format!("{}/authorize/?client_id={client_id}&state=x", site.url())).await.expect("the log-in");
    fill(page, "username", "ben").await;
    fill(page, "password", PASSWORD).await;
    click(page, "Log in").await;
    page.wait().for_element(Locator::XPath("//button[.='Authorize']")).await.expect("the consent page");
    click(page, "Authorize").await;
    page.wait().for_element(Locator::XPath("//h1[.='Welcome back']")).await.expect("the third party's page");
    assert_eq!(page.current_url().await.expect("an address").as_str(), format!("{}/done", third_party.origin()));
    assert_quiet_console(page).await;
    let requests = third_party.requests();
    let [came, done] = requests.as_slice() else { panic!("{requests:?}") };
    assert!(came.starts_with("/cb?access_token=csa_") && came.ends_with("&state=x"), "{came}");
    assert_eq!(done, "/done");
}
