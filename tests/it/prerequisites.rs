//! What a test needs from the machine it runs on, and how long it may take there. A test whose tool is missing is skipped by name, and under
//! `COUNTERSIGN_TEST_ALL=1`, which `script/test` sets, fails: no test is left out without a word.
//! Installing the tools is the business of `script/bootstrap --test`.

use std::{ffi::OsStr, ops::Mul};

/// How many rounds, events or steps a test makes: `short` of them, and `COUNTERSIGN_TEST_FACTOR` times as many where
/// that is set. `script/test` leaves it unset; `script/drill` sets it.
///
/// Panics when it is set to anything but a whole number from 1 to 65535.
pub fn times<N: From<u16> + Mul<Output = N>>(short: N) -> N {
    short * N::from(factor(std::env::var_os("COUNTERSIGN_TEST_FACTOR").as_deref()))
}

/// The rule of [`times`], without the environment.
fn factor(setting: Option<&OsStr>) -> u16 {
    let Some(setting) = setting else { return 1 };
    match setting.to_str().and_then(|text| text.parse().ok()) {
        Some(factor) if factor > 0 => factor,
        _ => panic!(
            "COUNTERSIGN_TEST_FACTOR is “{}”: set it to a whole number from 1 to 65535, or unset it",
            setting.display()
        ),
    }
}

/// Whether `tool` is a file in a directory of `PATH`; a test that gets `false` returns at once.
///
/// Panics when the tool is missing and `COUNTERSIGN_TEST_ALL=1`.
pub fn require(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let everything = std::env::var_os("COUNTERSIGN_TEST_ALL").is_some_and(|value| value == "1");
    match judge(tool, &path, everything) {
        Ok(found) => found,
        Err(complaint) => panic!("{complaint}"),
    }
}

/// Whether `python3` is there and can import `module`; the same rule as [`require`].
///
/// Panics when one of them is missing and `COUNTERSIGN_TEST_ALL=1`.
pub fn require_python_module(module: &str) -> bool {
    if !require("python3") {
        return false;
    }
    let import = std::process::Command::new("python3").args(["-c", &format!("import {module}")]).output();
    if import.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let everything = std::env::var_os("COUNTERSIGN_TEST_ALL").is_some_and(|value| value == "1");
    match judge(&format!("Python's {module}"), OsStr::new(""), everything) {
        Ok(found) => found,
        Err(complaint) => panic!("{complaint}"),
    }
}

/// Whether a program can do this here, such as mount something; the same rule as [`require`], which calls it `what`.
///
/// Panics when it cannot and `COUNTERSIGN_TEST_ALL=1`.
pub fn require_success(what: &str, program: &str, arguments: &[&str]) -> bool {
    let tried = std::process::Command::new(program).args(arguments).output();
    if tried.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let everything = std::env::var_os("COUNTERSIGN_TEST_ALL").is_some_and(|value| value == "1");
    match judge(what, OsStr::new(""), everything) {
        Ok(found) => found,
        Err(complaint) => panic!("{complaint}"),
    }
}

/// The text of axe-core, which looks for faults of accessibility; the same rule as [`require`].
///
/// Panics when it is missing and `COUNTERSIGN_TEST_ALL=1`.
pub fn require_axe() -> Option<String> {
    // Cargo gives tests a directory inside of the one it builds in; script/bootstrap puts it beside that.
    let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target directory");
    let directory = target.join("test-node/node_modules/axe-core");
    let everything = std::env::var_os("COUNTERSIGN_TEST_ALL").is_some_and(|value| value == "1");
    match judge("axe.min.js", directory.as_os_str(), everything) {
        Ok(true) => Some(std::fs::read_to_string(directory.join("axe.min.js")).expect("axe-core can be read")),
        Ok(false) => None,
        Err(complaint) => panic!("{complaint}"),
    }
}

/// The rule itself, without the environment: changing that is unsafe where tests run as threads.
fn judge(tool: &str, path: &OsStr, everything: bool) -> Result<bool, String> {
    if std::env::split_paths(path).any(|directory| directory.join(tool).is_file()) {
        return Ok(true);
    }
    if everything {
        return Err(format!(
            "{tool} is missing, and COUNTERSIGN_TEST_ALL=1 skips nothing: run script/bootstrap --test"
        ));
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    eprintln!("skipped: {test} needs {tool}; script/bootstrap --test installs it");
    Ok(false)
}

#[test]
fn a_factor_is_a_whole_number_and_one_where_none_is_set() {
    assert_eq!(factor(None), 1);
    assert_eq!(factor(Some(OsStr::new("10"))), 10);
    for wrong in ["", "0", "-1", "1.5", "ten", "65536"] {
        let refused = std::panic::catch_unwind(|| factor(Some(OsStr::new(wrong))));
        assert!(refused.is_err(), "{wrong:?}");
    }
}

#[test]
fn a_tool_in_the_path_is_found() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("sharpener"), "").unwrap();
    let path = std::env::join_paths(["/nowhere".as_ref(), directory.path()]).unwrap();
    assert_eq!(judge("sharpener", &path, true), Ok(true));
}

#[test]
fn a_missing_tool_skips_the_test_unless_everything_must_run() {
    let path = OsStr::new("/nowhere:/nowhere/else");
    assert_eq!(judge("sharpener", path, false), Ok(false));
    let complaint = judge("sharpener", path, true).unwrap_err();
    assert!(complaint.contains("sharpener") && complaint.contains("script/bootstrap --test"));
}
