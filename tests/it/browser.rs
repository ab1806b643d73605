//! Headless Chromium for tests that click. It is driven through `ChromeDriver`, starts with an empty profile
//! and is gone, with all its processes, when dropped. What a test does in it belongs to that test.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder, wd::WebDriverCompatibleCommand};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::prerequisites::require;
use crate::third_party::ThirdParty;

/// Whether pages may run scripts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scripts {
    On,
    Off,
}

/// A running browser with one window.
pub struct Chromium {
    /// Speaks `WebDriver` to it.
    pub client: Client,
    driver: Child,
    profile: TempDir,
}

impl Chromium {
    /// Starts the browser with a window of that many CSS pixels; `None` where it is not installed and may
    /// be skipped.
    pub async fn start(width: u32, height: u32) -> Option<Self> {
        Self::start_with(width, height, Scripts::On).await
    }

    /// The same, in which pages may not run scripts; what a test sends through `WebDriver` runs all the same.
    pub async fn start_with(width: u32, height: u32, scripts: Scripts) -> Option<Self> {
        if !require("chromedriver") || !require("chromium") {
            return None;
        }
        let profile = tempfile::tempdir().expect("a directory for the profile");
        // A process group of its own: Chromium and its helpers join it, so one signal reaches them all.
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let port = announced_port(&mut driver);
        // The numbers of Chromium's content settings.
        let setting = if scripts == Scripts::On { 1 } else { 2 };
        let capabilities = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": {
                "binary": "/usr/bin/chromium",
                "prefs": { "profile.managed_default_content_settings.javascript": setting },
                "args": [
                    "--headless=new",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--disable-dev-shm-usage",
                    format!("--window-size={width},{height}"),
                    format!("--user-data-dir={}", profile.path().display()),
                ],
            },
        });
        let connected = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().expect("an object").clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await;
        match connected {
            Ok(client) => Some(Self { client, driver, profile }),
            Err(error) => {
                stop(&mut driver);
                panic!("Chromium did not start: {error}");
            }
        }
    }

    /// A command of the `DevTools` protocol.
    pub async fn devtools(&self, name: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": name, "params": parameters });
        self.own_command("goog/cdp/execute", body).await
    }

    /// What pages have said to the console since this was last asked.
    pub async fn console(&self) -> Vec<Value> {
        self.log("browser").await
    }

    /// The addresses that have been asked for over a network since this was last asked.
    pub async fn asked_for(&self) -> Vec<String> {
        let text = |event: &Value| event["message"].as_str().map(ToOwned::to_owned);
        let messages = self.log("performance").await.iter().filter_map(text).collect::<Vec<_>>();
        messages
            .iter()
            .filter_map(|message| serde_json::from_str::<Value>(message).ok())
            .filter(|event| event["message"]["method"] == "Network.requestWillBeSent")
            .filter_map(|event| event["message"]["params"]["request"]["url"].as_str().map(ToOwned::to_owned))
            .filter(|address| !address.starts_with("data:"))
            .collect()
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let said = self.own_command("se/log", json!({ "type": kind })).await;
        said.as_array().expect("a log is a list").clone()
    }

    async fn own_command(&self, path: &'static str, body: Value) -> Value {
        let told = body.to_string();
        let done = self.client.issue_cmd(OwnCommand { path, body }).await;
        done.unwrap_or_else(|error| panic!("{path} {told}: {error}"))
    }
}

/// A command that `ChromeDriver` alone knows.
#[derive(Debug)]
struct OwnCommand {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for OwnCommand {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (axum::http::Method, Option<String>) {
        (axum::http::Method::POST, Some(self.body.to_string()))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        stop(&mut self.driver);
    }
}

/// Reads on until `ChromeDriver` says "… started successfully on port 41234.", then leaves a thread behind
/// that goes on reading: a driver that cannot print would stand still.
fn announced_port(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().expect("stdout is piped")).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    std::thread::spawn(move || lines.for_each(drop));
    port.expect("chromedriver names its port")
}

/// Ends the driver's whole process group.
fn stop(driver: &mut Child) {
    let group = format!("-{}", driver.id());
    // Not asserted: while a test panics, a second panic would hide the first.
    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    let _ = driver.wait();
}

#[tokio::test]
async fn headless_chromium_shows_a_local_page() {
    let Some(chromium) = Chromium::start(1280, 800).await else {
        return;
    };
    let third_party = ThirdParty::start("localhost").await;
    let page = &chromium.client;
    page.goto(&third_party.redirect_uri()).await.unwrap();
    let heading = page.find(fantoccini::Locator::Css("h1")).await.unwrap();
    assert_eq!(heading.text().await.unwrap(), "Welcome back");
    assert_eq!(page.current_url().await.unwrap().as_str(), format!("{}/done", third_party.origin()));
    assert_eq!(third_party.requests(), ["/cb", "/done"]);
}

#[tokio::test]
async fn pages_run_scripts_only_where_they_may() {
    let page_of_a_script = "data:text/html,<title>off</title><script>document.title = 'on'</script>";
    for (scripts, title) in [(Scripts::On, "on"), (Scripts::Off, "off")] {
        let Some(chromium) = Chromium::start_with(800, 600, scripts).await else {
            return;
        };
        chromium.client.goto(page_of_a_script).await.unwrap();
        assert_eq!(chromium.client.title().await.unwrap(), title);
    }
}

#[tokio::test]
async fn a_dropped_chromium_leaves_no_process() {
    let Some(chromium) = Chromium::start(800, 600).await else {
        return;
    };
    let profile = chromium.profile.path().display().to_string();
    assert!(processes_naming(&profile) > 0, "the profile is in use");
    drop(chromium);
    // The signal has been sent when `drop` returns; the kernel takes the processes down one after another.
    let deadline = Instant::now() + Duration::from_secs(10);
    while processes_naming(&profile) > 0 {
        assert!(Instant::now() < deadline, "a process outlived the browser");
        tokio::task::yield_now().await;
    }
}

/// How many processes, not counting dead ones that nobody has collected yet, have `word` in their arguments.
fn processes_naming(word: &str) -> usize {
    std::fs::read_dir("/proc")
        .expect("procfs is mounted")
        .filter_map(Result::ok)
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|arguments| String::from_utf8_lossy(arguments).contains(word))
        .count()
}
