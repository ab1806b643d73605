//! Looks at pages in headless Chromium, in light and dark, on a desk and on a phone, and gathers what is wrong with them. Which pages there are, and how they come about, is `page_list`'s; the site is the test's.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::{
    browser::Chromium,
    page_list::Page,
    prerequisites::{require_axe, times},
    running_site::Visitor,
};

/// What axe-core looks for.
const TAGS: [&str; 6] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
/// A page and what it loads, without images.
const BYTES: u64 = 50 * 1024;
/// So many nodes are told of those that break one rule on one page.
const NODES: usize = 3;
/// Nothing that a page does takes longer, also on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A screen.
#[derive(Clone, Copy)]
struct Screen {
    name: &'static str,
    width: u32,
    height: u32,
}

const SCREENS: [Screen; 2] =
    [Screen { name: "desktop", width: 1280, height: 900 }, Screen { name: "phone", width: 375, height: 812 }];
const SCHEMES: [&str; 2] = ["light", "dark"];

/// What is wrong with a page, and on which screens in which schemes it is.
struct Fault {
    page: &'static str,
    what: String,
    variants: Vec<String>,
}

/// Somebody who looks at one site.
pub struct Auditor {
    chromium: Chromium,
    /// Scheme, host and port; everything else is another site.
    origin: String,
    /// Where pictures of the pages go.
    pictures: Option<PathBuf>,
    /// Which kind of page has a title.
    titles: BTreeMap<String, &'static str>,
    faults: Vec<Fault>,
    /// How many pages have been looked at.
    looked: usize,
}

impl Auditor {
    /// `None` where the tools are not installed and may be skipped. With `COUNTERSIGN_SCREENSHOTS` in the environment,
    /// pictures of every page are written to that directory.
    pub async fn start(url: &str) -> Option<Self> {
        let axe = require_axe()?;
        let chromium = Chromium::start(1280, 900).await?;
        let pictures = std::env::var_os("COUNTERSIGN_SCREENSHOTS").map(PathBuf::from);
        if let Some(directory) = &pictures {
            std::fs::create_dir_all(directory).expect("a directory for the pictures");
        }
        // Into every page from now on: sent to each of them it would take longer than what it does there.
        chromium.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": axe })).await;
        let origin = url::Url::parse(url).expect("an address").origin().ascii_serialization();
        Some(Self { chromium, origin, pictures, titles: BTreeMap::new(), faults: vec![], looked: 0 })
    }

    /// Somebody sits down at the browser, who is signed in elsewhere.
    pub async fn sit_down(&self, visitor: &Visitor) {
        self.chromium.devtools("Network.clearBrowserCookies", json!({})).await;
        for (name, value) in &visitor.cookies {
            let cookie = json!({ "name": name, "value": value, "url": self.origin });
            self.chromium.devtools("Network.setCookie", cookie).await;
        }
    }

    /// Looks at a page on every screen and in every scheme.
    ///
    /// A scheme changes colours and a screen where things are. So a page is opened on one screen and examined there in one
    /// scheme, then on the other screen in the other scheme; the next page the other way round. In a longer run, or for
    /// pictures, each is opened on both and examined in both.
    pub async fn look_at(&mut self, page: &Page, address: &str) {
        let every_way = self.pictures.is_some() || times(1) > 1;
        let turn = if every_way { 0 } else { self.looked % 2 };
        for (index, screen) in [SCREENS[turn], SCREENS[1 - turn]].into_iter().enumerate() {
            self.set_screen(screen).await;
            self.set_scheme(SCHEMES[0]).await;
            // What is shown once cannot be had again for another screen.
            if index == 0 || every_way && !page.once {
                self.open(page, address).await;
                self.measure(page, address, screen).await;
            }
            let schemes = if every_way { &SCHEMES[..] } else { &SCHEMES[index..=index] };
            for scheme in schemes {
                self.set_scheme(scheme).await;
                self.examine(page, screen, scheme).await;
                self.take_picture(page, screen, scheme).await;
            }
        }
        self.looked += 1;
    }

    /// Fails with everything that is wrong.
    pub fn report(self) {
        let Self { faults, .. } = self;
        let told = |Fault { page, what, variants }: &Fault| format!("{page} ({}): {what}", variants.join(", "));
        let told: Vec<_> = faults.iter().map(told).collect();
        assert!(told.is_empty(), "{} faults:\n{}", told.len(), told.join("\n"));
    }

    fn fault(&mut self, page: &Page, variant: &str, what: String) {
        let variant = variant.to_owned();
        match self.faults.iter_mut().find(|fault| fault.page == page.name && fault.what == what) {
            Some(known) if known.variants.contains(&variant) => {}
            Some(known) => known.variants.push(variant),
            None => self.faults.push(Fault { page: page.name, what, variants: vec![variant] }),
        }
    }

    async fn set_screen(&self, Screen { width, height, .. }: Screen) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.chromium.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Without motion: a colour on its way to another one is neither.
    async fn set_scheme(&self, scheme: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.chromium.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    async fn open(&self, page: &Page, address: &str) {
        let client = &self.chromium.client;
        self.chromium.console().await;
        self.chromium.asked_for().await;
        client.goto(address).await.unwrap_or_else(|error| panic!("{}: {error}", page.name));
        if page.then.is_empty() {
            return;
        }
        // What is said until then belongs to the page that leads here; that one is looked at as itself.
        self.chromium.console().await;
        let marked = format!("window.before = true; {}", page.then);
        client.execute(&marked, vec![]).await.unwrap_or_else(|error| panic!("{}: {error}", page.name));
        let arrived = "return !window.before && document.readyState === 'complete'";
        let deadline = Instant::now() + PATIENCE;
        // While one page goes and the next one comes there may be none to ask.
        while client.execute(arrived, vec![]).await.ok() != Some(Value::Bool(true)) {
            assert!(Instant::now() < deadline, "{}: no page came of {}", page.name, page.then);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn run(&self, page: &Page, script: &str, arguments: Vec<Value>) -> Value {
        let answer = self.chromium.client.execute_async(script, arguments).await;
        answer.unwrap_or_else(|error| panic!("{}: {error}", page.name))
    }

    /// What does not depend on colours.
    async fn measure(&mut self, page: &Page, address: &str, screen: Screen) {
        let found = self.run(page, include_str!("auditor.js"), vec![]).await;
        let mut wrong = vec![];
        if found["status"] != page.status {
            wrong.push(format!("the status is {}, not {}", found["status"], page.status));
        }
        if found["headings"] != 1 || found["mains"] != 1 {
            wrong.push(format!("it has {} h1 and {} main", found["headings"], found["mains"]));
        }
        if found["lang"].as_str().is_none_or(str::is_empty) {
            wrong.push("it has no language".to_owned());
        }
        wrong.extend(self.misplaced_title(page, address, &found));
        let shifts = found["shifts"].as_array().expect("a list");
        wrong.extend(shifts.iter().map(|shift| format!("it shifts by {}: {}", shift["value"], shift["node"])));
        let bytes = found["bytes"].as_u64().expect("a number");
        if bytes > BYTES {
            wrong.push(format!("it takes {bytes} bytes on the wire"));
        }
        for said in self.chromium.console().await {
            if !says_its_status(&said, page.status) {
                wrong.push(format!("the console says: {} {}", said["level"], said["message"]));
            }
        }
        let inside = format!("{}/", self.origin);
        let others = self.chromium.asked_for().await.into_iter().filter(|asked| !asked.starts_with(&inside));
        wrong.extend(others.map(|asked| format!("it asks another host: {asked}")));
        for what in wrong {
            self.fault(page, screen.name, what);
        }
    }

    /// Two kinds of page under one title cannot be told apart in tabs, history and bookmarks.
    fn misplaced_title(&mut self, page: &Page, address: &str, found: &Value) -> Option<String> {
        let title = found["title"].as_str().unwrap_or_default().trim();
        if title.is_empty() {
            return Some("it has no title".to_owned());
        }
        // A door that only leads on has the title of where it leads to, and a page that refuses something that of the page
        // it came from, or of its status.
        let asked = url::Url::parse(address).expect("an address");
        if page.status >= 400 || (page.then.is_empty() && found["path"] != asked.path()) {
            return None;
        }
        let kind = *self.titles.entry(title.to_owned()).or_insert(page.kind());
        (kind != page.kind()).then(|| format!("its title “{title}” is that of {kind}"))
    }

    async fn examine(&mut self, page: &Page, screen: Screen, scheme: &str) {
        let arguments = vec![json!(screen.width), json!(TAGS)];
        let found = self.run(page, include_str!("auditor_axe.js"), arguments).await;
        assert!(found["error"].is_null(), "{}: {}", page.name, found["error"]);
        let variant = format!("{} {scheme}", screen.name);
        if let Some(scroll) = found["wide"]["scroll"].as_u64() {
            self.fault(page, &variant, format!("it is {scroll} wide: {}", found["wide"]["nodes"]));
        }
        for violation in found["violations"].as_array().expect("a list") {
            let nodes = violation["nodes"].as_array().expect("a list");
            for node in nodes.iter().take(NODES) {
                let (rule, help) = (&violation["rule"], &violation["help"]);
                self.fault(page, &variant, format!("axe {rule} ({help}): {} {}", node["node"], node["why"]));
            }
        }
    }

    async fn take_picture(&self, page: &Page, screen: Screen, scheme: &str) {
        let Some(directory) = &self.pictures else { return };
        let layout = self.chromium.devtools("Page.getLayoutMetrics", json!({})).await;
        let height = layout["cssContentSize"]["height"].as_f64().expect("a height").max(f64::from(screen.height));
        let clip = json!({ "x": 0, "y": 0, "width": screen.width, "height": height, "scale": 1 });
        let wanted = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let taken = self.chromium.devtools("Page.captureScreenshot", wanted).await;
        let picture = BASE64.decode(taken["data"].as_str().expect("a picture").as_bytes()).expect("base64");
        write(&directory.join(format!("{}-{}-{scheme}.png", page.name, screen.name)), &picture);
    }
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Chromium itself says to the console that a page came with an error's status.
fn says_its_status(said: &Value, status: u16) -> bool {
    let message = said["message"].as_str().unwrap_or_default();
    status >= 400 && said["source"] == "network" && message.contains(&format!("responded with a status of {status} "))
}
