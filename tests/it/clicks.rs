//! What people do at a browser: read, type, click, sit down in somebody else's place. Controls are found by what they are
//! for (ids of fields, names of links, where a form leads), so that a page may change its look and its words.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use fantoccini::{Locator, elements::Element, error::CmdError};
use serde_json::json;

use crate::{
    browser::{Chromium, Scripts},
    running_site::{PASSWORD, RunningSite},
};

/// No page takes longer, also on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser at a site, with whoever sits before it.
pub struct Seat {
    pub chromium: Chromium,
    url: String,
}

impl Seat {
    /// A window as wide as that; `None` where the browser is not installed and may be skipped.
    pub async fn at(site: &RunningSite, width: u32, scripts: Scripts) -> Option<Self> {
        let chromium = Chromium::start_with(1280, 1400, scripts).await?;
        // Windows are not made as narrow as telephones are.
        let metrics = json!({ "width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": false });
        chromium.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let seat = Self { chromium, url: site.url().to_owned() };
        seat.open("/").await;
        // With its scroll bar, which takes room from the page.
        let wide = seat.chromium.client.execute("return window.innerWidth", vec![]).await.expect("a size");
        assert_eq!(wide, json!(width), "the window is as wide as it was made");
        Some(seat)
    }

    /// An address of the site, or of another one.
    pub async fn open(&self, path: &str) {
        let address = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        self.chromium.client.goto(&address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
    }

    /// Where the browser is.
    pub async fn address(&self) -> String {
        self.chromium.client.current_url().await.expect("an address").to_string()
    }

    /// Nobody is signed in any more, on whatever page the browser is.
    pub async fn stand_up(&self) {
        self.chromium.devtools("Network.clearBrowserCookies", json!({})).await;
    }

    /// Somebody else sits down and logs in.
    pub async fn sit_down(&self, name: &str) {
        self.stand_up().await;
        self.open("/login").await;
        self.give_name_and_password(name).await;
        self.wait_for(Locator::Css("form[action$='/logout']")).await;
    }

    /// On the log-in page, wherever it came from.
    pub async fn give_name_and_password(&self, name: &str) {
        self.fill("username", name).await;
        self.fill("password", PASSWORD).await;
        self.submit("password").await;
    }

    /// Types into the field with this id, in the place of what stands there.
    pub async fn fill(&self, id: &str, text: &str) {
        let field = self.wait_for(Locator::Id(id)).await;
        self.uncover(&field).await;
        field.clear().await.unwrap_or_else(|error| panic!("{id}: {error}"));
        field.send_keys(text).await.unwrap_or_else(|error| panic!("{id}: {error}"));
    }

    /// Chooses from the list with this id.
    pub async fn choose(&self, id: &str, value: &str) {
        let list = self.wait_for(Locator::Id(id)).await;
        list.select_by_value(value).await.unwrap_or_else(|error| panic!("{id}: {error}"));
    }

    /// Presses the button of the form that has this field.
    pub async fn submit(&self, id: &str) {
        let button = format!("//form[.//*[@id='{id}']]//button[not(@type='button')][not(@name)]");
        self.press(&button).await;
    }

    /// Presses the button that leads to a path with this end.
    pub async fn send_to(&self, end: &str) {
        let ends = |attribute: &str| {
            let path = format!("substring-before(concat(@{attribute}, '?'), '?')");
            format!("substring({path}, string-length({path}) - {}) = '{end}'", end.len() - 1)
        };
        let (of_button, of_form) = (ends("formaction"), ends("action"));
        self.press(&format!("//button[{of_button}] | //form[{of_form}]//button[not(@formaction or @disabled)]")).await;
    }

    /// Follows the link with this text, with or without a number behind it.
    pub async fn follow(&self, link: &str) {
        self.press(&format!("//a[normalize-space()='{link}' or starts-with(normalize-space(), '{link} (')]")).await;
    }

    /// Clicks what an `XPath` finds, and waits until the page has gone on.
    pub async fn press(&self, xpath: &str) {
        let found = self.wait_for(Locator::XPath(xpath)).await;
        self.uncover(&found).await;
        found.click().await.unwrap_or_else(|error| panic!("{xpath}: {error}"));
    }

    /// What can be unfolded around it is unfolded first, as somebody would who looks for it.
    async fn uncover(&self, element: &Element) {
        if element.is_displayed().await.expect("it is there") {
            return;
        }
        let folded = Locator::XPath("./ancestor::details[not(@open)]/summary");
        for summary in element.find_all(folded).await.expect("a page") {
            summary.click().await.expect("it unfolds");
        }
    }

    /// Unfolds what has this heading, unless it is open.
    pub async fn unfold(&self, heading: &str) {
        let xpath = format!("//summary[contains(normalize-space(.), '{heading}')]");
        let summary = self.wait_for(Locator::XPath(&xpath)).await;
        let closed = summary.find(Locator::XPath("./parent::details[not(@open)]")).await;
        if closed.is_ok() {
            summary.click().await.unwrap_or_else(|error| panic!("{heading}: {error}"));
        }
    }

    /// The text of what a selector finds.
    pub async fn text(&self, selector: &str) -> String {
        self.wait_for(Locator::Css(selector)).await.text().await.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    /// Waits for a page that says this in its main part.
    pub async fn reads(&self, words: &str) {
        let xpath = format!("//main[contains(normalize-space(.), '{words}')]");
        self.wait_for(Locator::XPath(&xpath)).await;
    }

    /// Waits for a page that has what an `XPath` finds.
    pub async fn finds(&self, xpath: &str) {
        self.wait_for(Locator::XPath(xpath)).await;
    }

    /// Waits for a page that shows an application in this state.
    pub async fn stands(&self, state: &str) {
        self.wait_for(Locator::Css(&format!("main .badge.{state}"))).await;
    }

    /// Opens a page again and again until it shows what a selector finds: what others have done takes a moment.
    pub async fn comes(&self, path: &str, selector: &str) -> Element {
        let found = || async {
            self.open(path).await;
            self.chromium.client.find(Locator::Css(selector)).await
        };
        until(found).await.unwrap_or_else(|error| panic!("{selector} does not come to {path}: {error}"))
    }

    async fn wait_for(&self, what: Locator<'_>) -> Element {
        match until(|| self.chromium.client.find(what)).await {
            Ok(element) => element,
            Err(error) => {
                let page = self.chromium.client.source().await.unwrap_or_default();
                panic!("{what:?} at {}: {error}\n{page}", self.address().await)
            }
        }
    }

    /// Nothing was said to the console but by Chromium itself of pages with an error's status, when some are expected.
    pub async fn assert_quiet_console(&self, errors_expected: bool) {
        let said = self.chromium.console().await;
        let bad: Vec<_> = said.iter().filter(|line| !(errors_expected && line["source"] == "network")).collect();
        assert!(bad.is_empty(), "{bad:?}");
    }
}

async fn until<F: Future<Output = Result<Element, CmdError>>>(find: impl Fn() -> F) -> Result<Element, CmdError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match find().await {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(20)).await,
            done => return done,
        }
    }
}
