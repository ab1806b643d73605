//! A site where nothing can be written: on a read-only mount, as a snapshot is, and with the rights of somebody who may
//! only read. What only looks answers as it did where the site ran; what would write says so; nothing is changed.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Output},
};

use crate::{databases::Database, prerequisites::require_success, running_site::RunningSite};

const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");

/// What only looks.
const LOOKS: &[&[&str]] = &[
    &["events", "list", "--format", "json"],
    &["events", "show", "1"],
    &["account", "list"],
    &["review", "list", "--state", "all"],
    &["projections", "check"],
    &["projections", "status", "--format", "json"],
    &["projections", "parked", "list"],
];

/// What would write.
const WRITES: &[&[&str]] = &[
    &["account", "suspend", "cleo"],
    &["account", "create", "ann", "--role", "admin"],
    &["projections", "rebuild"],
    &["projections", "parked", "retry", "inbox-1"],
    &["serve", "--listen", "127.0.0.1:0"],
];

/// Every file below a directory: what it holds, and when it was changed. A socket holds nothing.
fn files(directory: &Path) -> BTreeMap<String, (Vec<u8>, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            let about = std::fs::metadata(&path).expect("a file");
            let holds = std::fs::read(&path).expect("a file");
            found.insert(path.display().to_string(), (holds, about.mtime(), about.mtime_nsec()));
        }
    }
    found
}

/// A site that was killed, so that its write-ahead logs hold what nobody copied back, and what each look said before.
fn killed_site() -> RunningSite {
    let mut site = RunningSite::start_in(Database::Sqlite, &[], &[]);
    site.given_member("rob", &["reviewer", "admin"]);
    site.given_member("cleo", &[]);
    site.kill9();
    let wal = std::fs::metadata(site.data_dir().join("log.db-wal")).expect("a write-ahead log");
    assert!(wal.len() > 0, "something is in it alone");
    site
}

/// The program, run so that it can write nothing of the site, with a directory of its own for what goes away: how it
/// ended, and everything it said.
fn run(site: &RunningSite, program: &[&str], arguments: &[&str], scratch: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).args(arguments).current_dir("/");
    command.env("TMPDIR", scratch).env("COUNTERSIGN_DATA_DIR", site.data_dir()).env_remove("COUNTERSIGN_TEST_ALL");
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

fn assert_all_is_said_and_nothing_done(site: &RunningSite, program: &[&str], scratch: &Path) {
    let before = files(site.directory());
    for look in LOOKS {
        let (code, said) = run(site, program, look, scratch);
        assert_eq!(code, Some(0), "{look:?}: {said}");
        if look[..2] == ["events", "list"] {
            assert_eq!(said.matches("\"type\": \"UserRegistered\"").count(), 2, "{said}");
            assert!(said.contains("\"cleo\""), "texts are opened: {said}");
        }
    }
    let (code, said) = run(site, program, &["doctor"], scratch);
    assert!(matches!(code, Some(0 | 3)) && said.contains("Looked at: "), "{said}");
    for write in WRITES {
        let (code, said) = run(site, program, write, scratch);
        assert_eq!(code, Some(1), "{write:?}: {said}");
        for told in [site.data_dir().to_str().expect("text"), "nothing can be written", "mounted writable"] {
            assert!(said.contains(told), "{write:?}: {told}: {said}");
        }
    }
    assert_eq!(files(site.directory()), before);
    let left: Vec<_> = std::fs::read_dir(scratch).expect("a directory").collect();
    assert!(left.is_empty(), "{left:?}");
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_on_a_read_only_mount_is_looked_at_and_not_changed() {
    if !require_success("mounts of one's own", "unshare", &["-rm", "true"]) {
        return;
    }
    let site = killed_site();
    let scratch = tempfile::tempdir().expect("a directory");
    let mount = format!(
        "mount --bind '{0}' '{0}' && mount -o remount,bind,ro '{0}' && exec \"$0\" \"$@\"",
        site.directory().display()
    );
    assert_all_is_said_and_nothing_done(&site, &["unshare", "-rm", "sh", "-c", &mount, PROGRAM], scratch.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_may_only_be_read_is_looked_at_and_not_changed() {
    let site = killed_site();
    let (scratch, tools) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let copy = tools.path().join("countersign");
    let copy = copy.to_str().expect("text");
    let program: &[&str] = if is_root() {
        // Rights do not stop root: somebody else gets the files, and a program that they can reach.
        if !require_success("setpriv", "setpriv", &["--reuid=65534", "--regid=65534", "--clear-groups", "true"]) {
            return;
        }
        std::fs::copy(PROGRAM, copy).expect("it can be copied");
        let theirs = [site.directory(), scratch.path(), tools.path()];
        let given = Command::new("chown").args(["-R", "65534:65534"]).args(theirs).status();
        assert!(given.expect("it runs").success());
        &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy]
    } else {
        &[PROGRAM]
    };
    let change = |mode: &str| {
        let changed = Command::new("chmod").args(["-R", mode]).arg(site.directory()).status();
        assert!(changed.expect("it runs").success());
    };
    change("a-w");
    assert_all_is_said_and_nothing_done(&site, program, scratch.path());
    change("u+w");
}
