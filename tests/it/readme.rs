//! The README's tour, taken as a reader takes it: its shell blocks are run in order, as they stand, in a directory where
//! `script/server` and the program are the ones under test. Only the port is another one.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::prerequisites::require;

const README: &str = include_str!("../../README.md");

/// The blocks marked `sh`, in order.
fn shell_blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_end() == "```sh" {
            let block: Vec<_> = lines.by_ref().take_while(|line| line.trim_end() != "```").collect();
            blocks.push(block.join("\n") + "\n");
        }
    }
    blocks
}

/// A directory like a clone after its first build: `script/server` and `target/release/countersign`.
fn clone_at(directory: &Path) {
    let binary = env!("CARGO_BIN_EXE_countersign");
    for name in ["script", "target/release"] {
        fs::create_dir_all(directory.join(name)).expect("a directory");
    }
    symlink(binary, directory.join("target/release/countersign")).expect("a link");
    let server = directory.join("script/server");
    fs::write(&server, format!("#!/bin/sh\nexec '{binary}' serve --listen 127.0.0.1:0 \"$@\"\n")).expect("a script");
    fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).expect("it can be run");
}

fn shell(directory: &Path, script: &str) -> Command {
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", script]).current_dir(directory);
    shell.env_remove("COUNTERSIGN_TEST_ALL").env("NO_PROXY", "*").stdin(Stdio::null());
    shell
}

/// The server of the first block; killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(directory: &Path, block: &str) -> Self {
        // `exec`, so that the child is the server itself.
        let script = format!("exec {block}");
        let mut child = shell(directory, &script).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("bash");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("standard output is piped"));
        stdout.read_line(&mut line).expect("a line");
        std::thread::spawn(move || stdout.lines().for_each(drop));
        let address =
            line.trim_end().strip_prefix("Countersign is at http://").expect("the URL comes first").to_owned();
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_shell_blocks_of_the_readme_run_in_order_as_they_stand() {
    if !require("curl") || !require("bash") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let clone = directory.path().join("countersign");
    fs::create_dir(&clone).expect("a directory");
    clone_at(&clone);
    let blocks = shell_blocks(README);
    let (first, rest) = blocks.split_first().expect("the tour begins with a block");
    assert_eq!(first, "script/server\n", "the tour begins with the server");
    let server = Server::start(&clone, first);
    // One shell for all: a reader types them into one terminal.
    let script = rest.concat().replace("127.0.0.1:8080", &server.address);
    assert!(rest.len() >= 5 && script.contains(&server.address), "{script}");
    let output = shell(&clone, &script).output().expect("bash starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {out}\n{err}", output.status);
    for said in ["\"next_exists\":false", "\"state\":\"approved\"", "token_revoked", "ApplicationApproved", "data_dir"]
    {
        assert!(out.contains(said), "{said} is missing in: {out}\n{err}");
    }
}

#[test]
fn the_configuration_table_of_the_readme_names_every_setting_and_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut show = Command::new(env!("CARGO_BIN_EXE_countersign"));
    show.args(["config", "show", "--format", "json"]).current_dir(directory.path()).env_remove("COUNTERSIGN_TEST_ALL");
    let rows: Vec<serde_json::Value> =
        serde_json::from_slice(&show.output().expect("it runs").stdout).expect("a list as JSON");
    let real: Vec<_> = rows.iter().map(|row| row["key"].as_str().expect("a key").to_owned()).collect();
    let table = README.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let told: Vec<_> = table.map(|(key, _)| key.to_owned()).collect();
    assert_eq!(told, real);
}
