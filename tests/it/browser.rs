//! Headless Chromium for tests that click. It is driven through `ChromeDriver`, starts with an empty profile
//! and is gone, with all its processes, when dropped. What a test does in it belongs to that test.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;

use crate::prerequisites::require;
use crate::third_party::ThirdParty;

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
        let capabilities = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": {
                "binary": "/usr/bin/chromium",
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
