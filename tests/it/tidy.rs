//! Rules of the source tree that the compiler does not hold: who may name what, how files open, how long they
//! get, what may not stay in them. Reads the sources as text. What crates depend on is checked by `.ci/run`.
//!
//! Each rule is a function from sources to offences, so that a test can show it fail on planted text.

use std::fs;
use std::path::Path;

/// A file that passes it, tests not counted, usually holds two things.
const LONG: usize = 600;
const SHIPPED: [&str; 3] = ["src", "events/src", "projections/src"];
const PURE: [&str; 2] = ["events", "projections"];
const EVERYTHING: [&str; 5] = ["src", "events", "projections", "tests", "benches"];
const IMPURE: [&str; 8] = ["tokio", "sqlx", "axum", "rand", "tracing", "Utc::now", "SystemTime::now", "Instant::now"];
// In two pieces, so that this file does not offend against its own rule.
const UNFINISHED: [&str; 3] = [concat!("to", "do!"), concat!("un", "implemented!"), concat!("#[", "ignore")];

struct Source {
    /// From the root of the repository, with slashes.
    path: String,
    text: String,
}

/// Reads every Rust file below these directories of the repository; a directory that is not there has none.
fn sources(directories: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for directory in directories {
        collect(directory, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(directory: &str, found: &mut Vec<Source>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(entries) = fs::read_dir(root.join(directory)) else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{directory}/{name}");
        if entry.file_type().unwrap().is_dir() {
            if name != "target" {
                collect(&path, found);
            }
        } else if Path::new(&name).extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(entry.path()).unwrap();
            found.push(Source { path, text });
        }
    }
}

/// Whether the file is `src/{module}.rs` or below `src/{module}/`.
fn belongs_to(source: &Source, module: &str) -> bool {
    source
        .path
        .strip_prefix("src/")
        .and_then(|path| path.strip_prefix(module))
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn is_test_file(source: &Source) -> bool {
    source.path.split('/').any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs"))
}

/// The file's lines with their numbers, without items under `#[cfg(test)]`; nothing of a file of tests.
/// Relies on rustfmt: an item ends where a line closes it at the attribute's own indentation.
fn shipped_lines(source: &Source) -> Vec<(usize, &str)> {
    let mut shipped = Vec::new();
    if is_test_file(source) {
        return shipped;
    }
    let mut lines = source.text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let item = line.trim_start();
        if !item.starts_with("#[cfg(test)]") {
            shipped.push((number, line));
            continue;
        }
        let indent = &line[..line.len() - item.len()];
        let mut opened = false;
        for (line, _) in lines.by_ref() {
            let closes = line.strip_prefix(indent).is_some_and(|rest| rest.starts_with('}'));
            if closes || (!opened && line.ends_with([';', '}'])) {
                break;
            }
            opened |= line.ends_with('{');
        }
    }
    shipped
}

/// The line without its comment. A URL in a string has no space before its slashes.
fn uncommented(line: &str) -> &str {
    if line.trim_start().starts_with("//") {
        return "";
    }
    line.split(" // ").next().unwrap_or(line)
}

/// Whether the code holds `word` and not merely a longer name around it.
fn names(code: &str, word: &str) -> bool {
    let part_of_a_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(part_of_a_name) && !code[at + word.len()..].starts_with(part_of_a_name))
}

/// Places where the code of these sources, tests included, names one of the words.
fn naming(sources: &[Source], words: &[&str]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources {
        for (line, number) in source.text.lines().zip(1..) {
            for word in words {
                if names(uncommented(line), word) {
                    offences.push(format!("{}:{number}: {word}", source.path));
                }
            }
        }
    }
    offences
}

/// Places outside tests whose code contains one of the pieces.
fn shipping(sources: &[Source], pieces: &[&str]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources {
        for (number, line) in shipped_lines(source) {
            if pieces.iter().any(|piece| uncommented(line).contains(piece)) {
                offences.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    offences
}

fn deciding_outside_app(sources: Vec<Source>) -> Vec<String> {
    let others: Vec<_> = sources.into_iter().filter(|source| !belongs_to(source, "app")).collect();
    shipping(&others, &[".decide(", "::decide("])
}

fn without_an_opening(sources: &[Source]) -> Vec<String> {
    offending_paths(sources, |source| !source.text.starts_with("//! "))
}

fn named_mod_rs(sources: &[Source]) -> Vec<String> {
    offending_paths(sources, |source| source.path.ends_with("/mod.rs"))
}

fn long(sources: &[Source]) -> Vec<String> {
    offending_paths(sources, |source| shipped_lines(source).len() > LONG)
}

fn offending_paths(sources: &[Source], offends: impl Fn(&Source) -> bool) -> Vec<String> {
    sources.iter().filter(|source| offends(source)).map(|source| source.path.clone()).collect()
}

fn of_modules(modules: &[&str]) -> Vec<Source> {
    let mut found = sources(&["src"]);
    found.retain(|source| modules.iter().any(|module| belongs_to(source, module)));
    found
}

#[track_caller]
fn none(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn web_and_cli_never_name_sqlx() {
    none(&naming(&of_modules(&["web", "cli"]), &["sqlx"]));
}

#[test]
fn store_never_names_axum() {
    none(&naming(&of_modules(&["store"]), &["axum"]));
}

#[test]
fn app_alone_calls_decide() {
    none(&deciding_outside_app(sources(&["src"])));
}

#[test]
fn the_core_names_no_io_clock_or_randomness() {
    none(&naming(&sources(&PURE), &IMPURE));
}

#[test]
fn every_file_opens_with_what_it_is_responsible_for() {
    none(&without_an_opening(&sources(&EVERYTHING)));
}

#[test]
fn no_module_is_called_mod_rs() {
    none(&named_mod_rs(&sources(&EVERYTHING)));
}

#[test]
fn the_drill_runs_every_module_of_tests_that_has_a_factor() {
    let drill = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("script/drill")).unwrap();
    let (_, listed) = drill.split_once("longer=(").unwrap();
    let (listed, _) = listed.split_once("\n)").unwrap();
    let listed: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let asks = |line: &str| names(uncommented(line), "times") && line.contains("times(");
    let mut missing = offending_paths(&sources(&["tests/it"]), |source| source.text.lines().any(asks));
    missing.retain(|path| {
        let module = path.trim_start_matches("tests/it/").trim_end_matches(".rs").replace('/', "::");
        !["prerequisites", "tidy"].contains(&&*module) && !listed.contains(&&*module)
    });
    assert!(missing.is_empty(), "script/drill does not run {missing:?}");
    assert!(listed.contains(&"real_kill"), "{listed:?}");
}

/// Told, and no more: where to cut a file is a matter of judgement.
#[test]
fn long_files_are_told() {
    for path in long(&sources(&SHIPPED)) {
        println!("{path} has more than {LONG} lines: see whether it holds two things");
    }
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    none(&shipping(&sources(&SHIPPED), &[".unwrap()"]));
}

#[test]
fn nothing_is_unfinished_or_ignored() {
    let offences = |source: &Source| UNFINISHED.iter().any(|word| source.text.contains(word));
    none(&offending_paths(&sources(&EVERYTHING), offences));
}

/// What follows shows that each rule can fail.
fn planted(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn the_walk_reads_every_crate_and_this_file() {
    let found = sources(&EVERYTHING);
    for path in ["src/main.rs", "events/src/lib.rs", "projections/src/lib.rs", "tests/it/tidy.rs"] {
        let source = found.iter().find(|source| source.path == path);
        assert!(source.is_some_and(|source| !source.text.is_empty()), "{path}");
    }
}

#[test]
fn a_module_is_its_file_and_what_lies_below_it() {
    assert!(belongs_to(&planted("src/web.rs", ""), "web"));
    assert!(belongs_to(&planted("src/web/pages/inbox.rs", ""), "web"));
    assert!(!belongs_to(&planted("src/webhook.rs", ""), "web"));
    assert!(!belongs_to(&planted("events/src/web.rs", ""), "web"));
}

#[test]
fn a_planted_name_is_found_in_code_and_not_in_comments_or_longer_names() {
    let text = "// sqlx\nuse sqlx_core::x; // sqlx\nlet my_sqlx = 1;\nuse sqlx::query;\n";
    assert_eq!(naming(&[planted("src/web.rs", text)], &["sqlx"]), ["src/web.rs:4: sqlx"]);
    let clock = planted("events/src/ids.rs", "let at = chrono::Utc::now();\n");
    assert_eq!(naming(&[clock], &IMPURE), ["events/src/ids.rs:1: Utc::now"]);
    assert!(names("\"https://x\" + rand", "rand") && !names("operand", "rand"));
}

#[test]
fn a_planted_decide_is_found_outside_app_and_outside_tests_only() {
    let call = "let events = state.decide(command)?;\n";
    let tested = format!("#[cfg(test)]\nmod tests {{\n    fn f() {{\n        {call}    }}\n}}\n");
    let offences = deciding_outside_app(vec![
        planted("src/app.rs", call),
        planted("src/app/reviews.rs", call),
        planted("src/writer.rs", &format!("{tested}{call}")),
        planted("src/apply.rs", "Decider::decide(&state, command)?;"),
    ]);
    assert_eq!(
        offences,
        ["src/writer.rs:7: let events = state.decide(command)?;", "src/apply.rs:1: Decider::decide(&state, command)?;"]
    );
}

#[test]
fn a_file_that_opens_with_code_or_is_a_mod_rs_is_found() {
    let files = [planted("src/a.rs", "//! What it does.\n"), planted("src/b/mod.rs", "use std::fmt;\n//! Late.\n")];
    assert_eq!(without_an_opening(&files), ["src/b/mod.rs"]);
    assert_eq!(named_mod_rs(&files), ["src/b/mod.rs"]);
}

#[test]
fn a_file_is_long_by_its_code_and_not_by_its_tests() {
    let line = "const A: u8 = 1;\n";
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", line.repeat(LONG));
    let files = [
        planted("src/a.rs", &format!("{}{tests}", line.repeat(LONG))),
        planted("src/b.rs", &line.repeat(LONG + 1)),
        planted("src/b/tests.rs", &line.repeat(LONG + 1)),
    ];
    assert_eq!(long(&files), ["src/b.rs"]);
}

#[test]
fn a_planted_unwrap_is_found_around_every_kind_of_test_item() {
    let text = "\
#[cfg(test)]
mod tests;
#[cfg(test)]
use a::{
    b,
};
impl A {
    #[cfg(test)]
    fn only_tests(
        self,
    ) {
        self.0.unwrap();
    }
    fn shipped(self) {
        self.0.unwrap();
    }
}
";
    assert_eq!(shipping(&[planted("src/a.rs", text)], &[".unwrap()"]), ["src/a.rs:15: self.0.unwrap();"]);
}
