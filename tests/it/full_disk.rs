//! A site whose disk is full: what would write is refused and says why, `doctor` names that one fault, and with room again
//! it goes on without a restart.

use std::process::{Command, Output};

use axum::http::StatusCode;
use serde_json::Value;

use crate::{
    databases::Database,
    prerequisites::require_success,
    running_site::{RunningSite, answer, http, program},
};

/// A file system of its own, so small that it is filled in a moment.
const SMALL: &str = "mount -t tmpfs -o size=80m tmpfs \"$PWD\" && cd \"$PWD\" && exec \"$0\" \"$@\"";
/// Filled to the last page.
const FILL: &str = "dd if=/dev/zero of=\"$0/fill\" bs=1M; dd if=/dev/zero of=\"$0/rest\" bs=512; true";

fn entered(site: &RunningSite) -> Vec<String> {
    let pid = site.pid().to_string();
    ["nsenter", "--target", &pid, "--user", "--mount", "--preserve-credentials"].map(ToOwned::to_owned).to_vec()
}

fn cli(site: &RunningSite, arguments: &[&str]) -> (Option<i32>, String) {
    let output = program(site.directory(), &[], &entered(site)).args(arguments).output().expect("it runs");
    said(&output)
}

fn said(Output { status, stdout, stderr }: &Output) -> (Option<i32>, String) {
    (status.code(), String::from_utf8_lossy(&[stdout.as_slice(), stderr].concat()).into_owned())
}

fn shell(site: &RunningSite, script: &str) {
    let enter = entered(site);
    let ran = Command::new(&enter[0]).args(&enter[1..]).args(["sh", "-c", script]).arg(site.directory()).output();
    assert!(ran.as_ref().is_ok_and(|output| output.status.success()), "{ran:?}");
}

/// What doctor calls a problem.
fn problems(site: &RunningSite) -> Vec<String> {
    let (code, told) = cli(site, &["doctor", "--format", "json"]);
    let findings: Vec<Value> = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    let problems: Vec<_> = findings.iter().filter(|finding| finding["severity"] == "problem").collect();
    assert_eq!(code, Some(if problems.is_empty() { 0 } else { 3 }), "{told}");
    problems.iter().map(|finding| finding["about"].as_str().expect("text").to_owned()).collect()
}

async fn is_ready(site: &RunningSite) -> bool {
    answer(http().get(format!("{}/readyz", site.url()))).await.status == StatusCode::OK
}

#[tokio::test]
async fn sqlite_full_disk_is_one_finding_and_with_room_again_the_site_goes_on() {
    if !require_success("mounts of one's own", "unshare", &["-rm", "true"]) {
        return;
    }
    let site = RunningSite::start_in(Database::Sqlite, &[], &["unshare", "-rm", "sh", "-c", SMALL]);
    let (code, told) = cli(&site, &["account", "create", "ada"]);
    assert_eq!(code, Some(0), "{told}");
    shell(&site, FILL);
    for write in [["account", "create", "zoe"].as_slice(), &["token", "issue", "--user", "ada", "--scope", "read"]] {
        let (code, told) = cli(&site, write);
        assert_eq!(code, Some(1), "{write:?}: {told}");
        assert!(told.contains("disk is full"), "{write:?}: {told}");
        assert_eq!(told.matches("the store is not available").count(), 1, "{write:?}: {told}");
    }
    assert_eq!(problems(&site), ["disk of the data directory"]);
    assert!(!is_ready(&site).await);
    shell(&site, "rm \"$0/fill\" \"$0/rest\"");
    let (code, told) = cli(&site, &["account", "create", "zoe"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(problems(&site).is_empty());
    assert!(is_ready(&site).await);
}

/// Starts on a disk that is full: of a site as it is, of one whose read models have to be built, of a new one.
const STARTS: &str = "mount -t tmpfs -o size=16m tmpfs \"$PWD\" && cd \"$PWD\" && \
    \"$0\" account create ada --new-site --data-dir \"$PWD/site\" > made && \
    { dd if=/dev/zero of=fill bs=64k; dd if=/dev/zero of=rest bs=512; true; } 2> /dev/null; \
    start() { timeout 30 \"$0\" serve --listen 127.0.0.1:0 --data-dir \"$PWD/$1\" 2>&1; echo \"ended with $?\"; }; \
    start site; rm site/models/*; dd if=/dev/zero of=again bs=512 2> /dev/null; start site; start other";

#[test]
fn sqlite_start_on_a_full_disk_says_so_once_and_names_the_directory() {
    if !require_success("mounts of one's own", "unshare", &["-rm", "true"]) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let ran = Command::new("unshare")
        .args(["-rm", "sh", "-c", STARTS, env!("CARGO_BIN_EXE_countersign")])
        .current_dir(directory.path())
        .output();
    let (_, told) = said(&ran.expect("it runs"));
    let starts: Vec<_> = told.split("ended with 1\n").collect();
    assert_eq!(starts.len(), 4, "each of three ends: {told}");
    for (start, name) in starts.iter().zip(["site", "site", "other"]) {
        let place = format!("the disk of the data directory {}", directory.path().join(name).display());
        assert_eq!(start.matches(&place).count(), 1, "{start}");
        let errors: Vec<_> = start.lines().filter(|line| line.starts_with("error")).collect();
        assert!(matches!(errors[..], [one] if !one.contains("the store is not available")), "{start}");
        assert!(start.contains("make room and start again"), "{start}");
    }
}
