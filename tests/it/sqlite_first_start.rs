//! The first start of a site on this machine: one that was cut short is gone on with, what is made afterwards is missed when
//! it goes, and a key that lies on another file system than the data is told.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
    process::{Output, Stdio},
};

use crate::{
    prerequisites::require_success,
    running_site::{Serving, program},
};

fn cli(directory: &Path, arguments: &[&str]) -> Output {
    program(directory, &[], &[]).args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

fn refused(directory: &Path) -> String {
    let output = cli(directory, &["account", "list"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The mark of a site that is being made.
fn mark(directory: &Path) -> std::path::PathBuf {
    directory.join("site/unfinished")
}

#[test]
fn a_first_start_that_was_cut_short_is_gone_on_with() {
    let directory = tempfile::tempdir().expect("a directory");
    // As it is when the machine stops after each step: the mark, then the key, then files without a table.
    fs::create_dir(directory.path().join("site")).expect("a directory");
    fs::write(mark(directory.path()), "").expect("the mark");
    drop(Serving::start(directory.path(), &[]).expect("it goes on"));
    let key = fs::read(directory.path().join("site.key")).expect("a key");
    for file in ["log.db", "vault.db"] {
        for end in ["", "-wal", "-shm"] {
            drop(fs::remove_file(directory.path().join(format!("site/{file}{end}"))));
        }
        if file == "vault.db" {
            fs::write(directory.path().join("site").join(file), "").expect("an empty file");
        }
    }
    fs::remove_dir_all(directory.path().join("site/models")).expect("read models, which are made after the log");
    fs::write(mark(directory.path()), "").expect("the mark");
    drop(Serving::start(directory.path(), &[]).expect("it goes on"));
    assert_eq!(fs::read(directory.path().join("site.key")).expect("a key"), key, "the key that is there is the site's");
}

#[test]
fn what_is_missing_without_the_mark_was_lost_and_the_mark_excuses_no_loss_of_a_site_that_was_made() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(Serving::start(directory.path(), &[]).expect("it is made"));
    assert!(!mark(directory.path()).exists(), "it was made");
    let made = cli(directory.path(), &["account", "create", "ada", "--new-site"]);
    assert!(made.status.success(), "{made:?}");
    let aside = tempfile::tempdir().expect("a directory");
    let all_gone = |with_mark: bool| {
        // Both at once, and the read models are left to say that there was a site.
        let moved = |from: &Path, to: &Path| {
            for part in ["log.db", "vault.db"] {
                fs::rename(from.join(part), to.join(part)).expect("it is moved");
            }
        };
        moved(&directory.path().join("site"), aside.path());
        let output = cli(directory.path(), &["serve"]);
        assert_eq!(output.status.code(), Some(1), "{with_mark}: {output:?}");
        assert!(!directory.path().join("site/log.db").exists(), "{with_mark}: nothing was made");
        moved(aside.path(), &directory.path().join("site"));
    };
    for with_mark in [false, true] {
        if with_mark {
            fs::write(mark(directory.path()), "").expect("the mark");
        }
        all_gone(with_mark);
        for part in ["log.db", "vault.db"] {
            let (place, kept) = (directory.path().join("site").join(part), aside.path().join(part));
            fs::rename(&place, &kept).expect("it is moved");
            let told = refused(directory.path());
            assert!(told.contains(&format!("The {}:", part.trim_end_matches(".db"))), "{with_mark}: {told}");
            assert!(!place.exists(), "{part}: nothing was made");
            fs::rename(&kept, &place).expect("it is moved");
        }
    }
    drop(Serving::start(directory.path(), &[]).expect("it is whole"));
    assert!(!mark(directory.path()).exists(), "a site that was made is not being made");
}

#[test]
fn a_key_on_another_file_system_than_the_data_is_told_at_the_first_start_alone() {
    const TOLD: &str = "lie on different file systems";
    let memory = Path::new("/dev/shm");
    let directory = tempfile::tempdir().expect("a directory");
    let device = |path: &Path| fs::metadata(path).map(|about| about.dev().to_string()).unwrap_or_default();
    let differ = ["-n", &device(memory), "-a", &device(memory), "!=", &device(directory.path())];
    if !require_success("a second file system at /dev/shm", "test", &differ) {
        return;
    }
    let data = tempfile::tempdir_in(memory).expect("a directory");
    symlink(data.path(), directory.path().join("site")).expect("a link");
    let said = |directory: &Path| {
        drop(Serving::start(directory, &[]).expect("it starts"));
        fs::read_to_string(directory.join("stderr")).expect("what it said")
    };
    let told = said(directory.path());
    assert!(told.contains(TOLD) && told.contains("both are backed up"), "{told}");
    assert_eq!(said(directory.path()).matches(TOLD).count(), 1, "once");
    let beside = tempfile::tempdir().expect("a directory");
    assert!(!said(beside.path()).contains(TOLD));
}
