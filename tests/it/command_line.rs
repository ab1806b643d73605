//! The command line as such, with the real program: where sites are made, exit codes, and what it says.

use std::{
    path::Path,
    process::{Command, Output},
};

use crate::running_site::text_of;

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(arguments).current_dir(directory).env_remove("COUNTERSIGN_TEST_ALL");
    command.output().expect("it runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_mistyped_data_directory_does_not_become_a_site() {
    let directory = tempfile::tempdir().expect("a directory");
    let create = ["account", "create", "ada", "--data-dir", "typo"];
    let refused = run(directory.path(), &create);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("there is no site in typo") && said(&refused).contains("--new-site"));
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);

    text_of(&run(directory.path(), &[&create[..], &["--new-site"]].concat()));
    // Where there is one already, it is that one.
    text_of(&run(directory.path(), &["account", "create", "bob", "--data-dir", "typo", "--new-site"]));
    let listed = text_of(&run(directory.path(), &["account", "list", "--data-dir", "typo", "--format", "csv"]));
    assert_eq!(listed.lines().count(), 3, "{listed}");
}
