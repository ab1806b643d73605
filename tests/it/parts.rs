//! Parts of a site that fail it: read models that are missing, empty, older or another site's before a start, and any part
//! that is taken away, emptied or replaced under a running site. Whatever is swept meanwhile, nothing of log or vault is
//! destroyed, and with the part back everything is there. Log, vault and key before a start are in `one_site`.

use std::{fs, path::Path, sync::Arc};

use axum::http::StatusCode;
use chrono::Duration;
use countersign::app::Caller;
use countersign_events::{codec::CODEC, ids::PostId};
use countersign_projections::{INLINE, TRAILING};

use crate::{
    databases::{Database, on_both_databases},
    doctor::Told,
    one_site::{PASSWORD, Sites, copied},
    prerequisites::times,
    running_site::{self, RunningSite, program_at},
    support::{Home, TestApp, TestClock, by},
};

on_both_databases!(
    read_models_that_are_missing_empty_older_or_foreign_cost_the_site_nothing,
    a_part_that_is_lost_under_a_running_site_takes_nothing_with_it,
    what_no_event_names_is_kept_while_events_are_missing,
    a_new_password_without_the_members_key_is_a_broken_site_and_not_too_many_tries,
);

fn clock() -> Arc<TestClock> {
    Arc::new(TestClock::at(1_800_000_000_000_000))
}

/// What is never to be lost: events, keys, verifiers, held secrets. A generation of the tables that a change made is told as
/// what it says.
async fn kept(home: &Home) -> [Vec<String>; 2] {
    let mut log = home.log().await;
    let hex = log.either("hex(event_id)", "encode(event_id, 'hex')");
    let events = log.texts(&format!("select {hex} || payload from events order by position")).await;
    [events, of_vault(home).await]
}

async fn of_vault(home: &Home) -> Vec<String> {
    let mut vault = home.vault_tables().await;
    let hex = |column: &str| match &vault {
        crate::databases::Tool::Sqlite(_) => format!("hex({column})"),
        crate::databases::Tool::Postgres(_) => format!("encode({column}, 'hex')"),
    };
    let rows = [("data_keys", "id"), ("verifiers", "id"), ("held_secrets", "id")]
        .map(|(table, id)| format!("select '{table} ' || {} from {table}", hex(id)));
    let mut found = vault.texts(&rows.join(" union all ")).await;
    found.sort();
    found
}

/// Whether every row that was there is there.
#[track_caller]
fn has_all(cell: &str, now: &[String], before: &[String]) {
    let gone: Vec<_> = before.iter().filter(|row| !now.contains(row)).collect();
    assert!(gone.is_empty(), "{cell}: {} of {} rows are gone: {gone:?}", gone.len(), before.len());
}

/// Rounds of housekeeping, at times when whatever nobody names would be swept.
async fn swept(site: &TestApp) {
    for _ in 0..3 {
        site.clock.advance(Duration::hours(1));
        // Where a part is gone, a round may fail; it must not destroy.
        drop(site.app.look_after().await);
    }
}

/// Waits until the read models are with the log: one that was stopped for a while looks again after a pause.
async fn settled(cell: &str, site: &TestApp) {
    site.app.built().await;
    let head = site.app.head().await.expect("a head");
    for _ in 0..30 {
        if site.app.wait_for(head).await {
            return;
        }
    }
    panic!("{cell}: the read models follow: {:#?}", site.app.progress());
}

/// A member logs in, the held token can be revealed, and what was published is there.
async fn everything_is_there(cell: &str, site: &TestApp, sites: &Sites, post: Option<PostId>) {
    let (late, _) = site
        .app
        .log_in(&Caller::system(), "late", PASSWORD)
        .await
        .unwrap_or_else(|error| panic!("{cell}: the log-in of a member: {error}"));
    settled(cell, site).await;
    let message = site.newest_message(sites.owner).await;
    let revealed = site.app.reveal(&by(sites.owner), sites.owner, message).await;
    assert!(revealed.is_ok(), "{cell}: the held token: {:?}", revealed.err());
    if let Some(post) = post {
        assert!(site.app.post(post).await.is_ok(), "{cell}: what was acknowledged is there");
    }
    let published = site.app.publish(&by(late), late, "After", "", "Words").await;
    assert!(published.is_ok(), "{cell}: {:?}", published.err());
    settled(cell, site).await;
    for projection in INLINE.iter().chain(TRAILING) {
        let checked = site.app.check_projection(projection.name, &|_| {}).await.expect("a check");
        assert_eq!(checked.found, 0, "{cell}: {} is as the log has it: {:?}", projection.name, checked.differences);
    }
}

fn doctor(home: &Home) -> Told {
    Told::by(&program_at(home).args(["doctor", "--format", "json"]).output().expect("it runs"))
}

/// What doctor calls a problem, but for what comes of the tests' own clock and directories.
fn problems(told: &Told) -> Vec<String> {
    let is_one = |finding: &&serde_json::Value| {
        let about = finding["about"].as_str().unwrap_or_default();
        finding["severity"] == "problem" && !["clock", "permissions"].contains(&about)
    };
    told.findings.iter().filter(is_one).map(ToString::to_string).collect()
}

/// What a read model is before a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Missing,
    Empty,
    Older,
    Foreign,
}

async fn make(state: State, names: &[&str], home: &Home, sites: &Sites) {
    if home.database.is_none() {
        let file = |home: &Home, name: &str| home.data_dir().join(format!("models/{name}-1.db"));
        for name in names {
            let (path, from) = (
                file(home, name),
                match state {
                    State::Older => Some(file(&sites.older, name)),
                    State::Foreign => Some(file(&sites.foreign, name)),
                    State::Missing | State::Empty => None,
                },
            );
            remove(&path);
            match from {
                Some(from) => copy(&from, &path),
                None if state == State::Empty => fs::write(&path, "").expect("an empty file"),
                None => {}
            }
        }
        return;
    }
    let mut tool = home.log().await;
    for name in names {
        let projection = TRAILING.iter().find(|projection| projection.name == *name).expect("one of that name");
        let schema = format!("countersign_{name}_1");
        let change = match state {
            State::Missing => format!("drop schema {schema} cascade"),
            State::Empty => {
                let tables = projection.tables.iter().map(|table| format!("{schema}.{}", table.name));
                format!("truncate {}", tables.collect::<Vec<_>>().join(", "))
            }
            // Its cursor lies in the log's own schema, and is as old as the rows are only where both are of one backup.
            State::Older => format!(
                "truncate {}; update cursors set position = 0, epoch = 0, event_id = null, event_position = null \
                 where name = '{name}'",
                projection.tables.iter().map(|table| format!("{schema}.{}", table.name)).collect::<Vec<_>>().join(", ")
            ),
            State::Foreign => format!(
                "update cursors set event_id = '\\x00112233445566778899aabbccddeeff', event_position = position \
                 where name = '{name}'"
            ),
        };
        tool.run(&change).await;
    }
}

fn copy(from: &Path, to: &Path) {
    for end in ["", "-wal"] {
        let beside = |path: &Path| std::path::PathBuf::from(format!("{}{end}", path.display()));
        if beside(from).exists() {
            fs::copy(beside(from), beside(to)).expect("a copy");
        }
    }
}

fn remove(path: &Path) {
    for end in ["", "-wal", "-shm"] {
        drop(fs::remove_file(format!("{}{end}", path.display())));
    }
}

async fn read_models_that_are_missing_empty_older_or_foreign_cost_the_site_nothing(database: Database) {
    use State::{Empty, Foreign, Missing, Older};
    let sites = Sites::given(database).await;
    let all: Vec<_> = TRAILING.iter().map(|projection| projection.name).collect();
    let is_here = database == Database::Sqlite;
    let lost = if is_here { "is missing" } else { "has lost tables, or is gone" };
    let emptied = if is_here { "is empty: it has 0 bytes" } else { "has lost its rows: the log leads to" };
    let foreign = "has read another event at";
    for (state, found) in [(Missing, Some(lost)), (Empty, Some(emptied)), (Older, None), (Foreign, Some(foreign))] {
        let scopes: &[&[&str]] = if times(1_u16) > 1 { &[&all, &["inbox"]] } else { &[&all] };
        for names in scopes {
            let cell = format!("{state:?}: {names:?}");
            let home = copied(&sites.whole).await;
            let before = kept(&home).await;
            make(state, names, &home, &sites).await;
            let told = doctor(&home);
            let problems = problems(&told);
            match found {
                // One that is ahead says so as well, where a log of its own was longer.
                Some(found) => {
                    let says =
                        |told: &String| told.contains(found) || state == Foreign && told.contains("ahead of the log");
                    assert!(problems.iter().any(says), "{cell}: {problems:#?}");
                }
                None => assert!(problems.is_empty(), "{cell}: {problems:#?}"),
            }
            let migrated = program_at(&home).arg("migrate").output().expect("it runs");
            assert!(migrated.status.success(), "{cell}: {migrated:?}");
            assert!(kept(&home).await == before, "{cell}: a look and a migration change nothing");

            let site = TestApp::start_again(home, clock(), CODEC).await;
            swept(&site).await;
            assert_eq!(site.app.refusal().is_some(), state == Foreign, "{cell}: {:?}", site.app.refusal());
            let [events, vault] = kept(&site.home).await;
            has_all(&cell, &events, &before[0]);
            has_all(&cell, &vault, &before[1]);
            // As doctor says, where it says it; what is lost is built by the start.
            if state == Foreign || state == Empty && !is_here {
                for name in *names {
                    let built = site.app.rebuild_projection(&Caller::system(), name, &|_| {}).await;
                    assert!(built.is_ok_and(|built| built.is_some()), "{cell}: {name}");
                }
            }
            everything_is_there(&cell, &site, &sites, None).await;
            site.app.stop().await;
        }
    }
}

/// What happens to a part under a running site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    TakenAway,
    Emptied,
    Replaced,
}

/// On `SQLite`: files. What doctor says of it then.
const FILES: &[(&str, Harm, Option<&str>)] = &[
    ("site/log.db", Harm::TakenAway, Some("log.db")),
    ("site/log.db", Harm::Emptied, Some("log.db")),
    ("site/log.db", Harm::Replaced, Some("log.db")),
    ("site/vault.db", Harm::TakenAway, Some("vault.db")),
    ("site/vault.db", Harm::Emptied, Some("vault.db")),
    ("site/vault.db", Harm::Replaced, Some("vault.db")),
    ("site.key", Harm::TakenAway, Some("site.key")),
    ("site.key", Harm::Emptied, Some("site.key")),
    ("site.key", Harm::Replaced, Some("site.key")),
    ("site/models", Harm::TakenAway, Some("inbox-1.db")),
    ("site/models", Harm::Emptied, Some("inbox-1.db")),
];

/// On `PostgreSQL`: statements, what doctor says then, and what is put back of the backup: a schema or a table.
const STATEMENTS: &[(&str, Option<&str>, &[&str])] = &[
    (
        "alter table events disable trigger user; truncate events; alter table events enable trigger user",
        Some("end of the log"),
        &["countersign"],
    ),
    ("drop table events cascade", Some("the table events is missing"), &["countersign"]),
    ("drop schema countersign cascade", Some("log"), &["countersign"]),
    ("truncate countersign_vault.verifiers", Some("have no password verifier"), &["countersign_vault.verifiers"]),
    ("truncate countersign_vault.data_keys", Some("have no data key"), &["countersign_vault.data_keys"]),
    (
        "drop table countersign_vault.data_keys",
        Some("the table data_keys is missing"),
        &["countersign_vault.data_keys"],
    ),
    ("drop schema countersign_vault cascade", Some("vault"), &["countersign_vault"]),
    // Read models are built from the log.
    ("truncate countersign_inline.accounts", Some("has lost its rows"), &[]),
    ("drop table countersign_inline.accounts", Some("the table accounts of accounts is missing"), &[]),
    // The running site has built it anew by then.
    ("drop schema countersign_inbox_1 cascade", None, &[]),
];

fn harm(directory: &Path, part: &str, how: Harm, sites: &Sites) {
    let path = directory.join(part);
    let files = if path.is_dir() {
        fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
    } else {
        vec![path.clone()]
    };
    match how {
        Harm::TakenAway => fs::rename(&path, directory.join("aside")).expect("it is moved"),
        Harm::Emptied => {
            for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "db" || end == "key")) {
                fs::OpenOptions::new().write(true).open(file).and_then(|file| file.set_len(0)).expect("it is emptied");
            }
        }
        Harm::Replaced => {
            remove(&path);
            copy(&sites.foreign.directory.path().join(part), &path);
        }
    }
}

async fn a_part_that_is_lost_under_a_running_site_takes_nothing_with_it(database: Database) {
    let sites = Sites::given(database).await;
    let cells = if database == Database::Sqlite { FILES.len() } else { STATEMENTS.len() };
    // Every other one where tests are to be short: which one is lost differs, and how.
    for at in (0..cells).step_by(if times(1_u16) > 1 { 1 } else { 2 }) {
        let home = copied(&sites.whole).await;
        let backup = copied(&home).await;
        let before = kept(&home).await;
        let site = TestApp::start_again(home, clock(), CODEC).await;
        site.settle().await;
        let (late, _) = site.app.log_in(&Caller::system(), "late", PASSWORD).await.expect("a log-in");
        let (cell, about_log, about_vault, found);
        if database == Database::Sqlite {
            let (part, how, told) = FILES[at];
            harm(site.home.directory.path(), part, how, &sites);
            (cell, found) = (format!("{part} {how:?}"), told);
            (about_log, about_vault) = (part == "site/log.db", part == "site/vault.db");
        } else {
            let (statement, told, _) = STATEMENTS[at];
            site.home.log().await.run(statement).await;
            (cell, found) = (statement.to_owned(), told);
            about_log = statement.contains(" events") || statement.contains("schema countersign ");
            about_vault = statement.contains("countersign_vault");
        }
        swept(&site).await;
        let published = site.app.publish(&by(late), late, "Meanwhile", "", "Words").await;
        assert!(
            !(about_log && published.is_ok()),
            "{cell}: nothing is acknowledged that a log which is gone would have"
        );
        swept(&site).await;
        let told = doctor(&site.home);
        let problems = problems(&told);
        let says = |text: &str| problems.iter().any(|told| told.contains(text));
        assert!(found.is_none_or(says), "{cell}: {problems:#?}");
        if !about_vault {
            has_all(&cell, &of_vault(&site.home).await, &before[1]);
        }
        let TestApp { app, home, .. } = site;
        app.stop().await;
        let home = put_back(home, &backup, at).await;
        let post = published.ok().map(|done| done.answer);
        let site = TestApp::start_again(home, clock(), CODEC).await;
        everything_is_there(&cell, &site, &sites, post).await;
        site.app.stop().await;
    }
}

/// The part as the backup has it; everything else stays as it was left.
async fn put_back(home: Home, backup: &Home, at: usize) -> Home {
    let Some(database) = &home.database else {
        let (part, ..) = FILES[at];
        let (path, from) = (home.directory.path().join(part), backup.directory.path().join(part));
        if from.is_dir() {
            drop(fs::remove_dir_all(&path));
            fs::create_dir(&path).expect("a directory");
            for entry in fs::read_dir(&from).expect("a directory") {
                let file = entry.expect("an entry").path();
                fs::copy(&file, path.join(file.file_name().expect("a name"))).expect("a copy");
            }
        } else {
            remove(&path);
            copy(&from, &path);
        }
        return home;
    };
    let (statement, _, lost) = STATEMENTS[at];
    let from = &backup.database.as_ref().expect("it lies in one").url;
    for name in lost {
        let (kind, option) = if name.contains('.') { ("table", "--table") } else { ("schema", "--schema") };
        home.log().await.run(&format!("drop {kind} if exists {name} cascade")).await;
        let file = home.directory.path().join(format!("{name}.sql"));
        let mut dump = crate::postgres_server::program("pg_dump");
        let ran = dump.args(["--no-owner", option, name, "--dbname", from, "--file"]).arg(&file).output();
        assert!(ran.as_ref().is_ok_and(|ran| ran.status.success()), "{ran:?}");
        let mut restore = crate::postgres_server::program("psql");
        restore.args(["--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", &database.url, "--file"]);
        let ran = restore.arg(&file).output();
        assert!(ran.as_ref().is_ok_and(|ran| ran.status.success()), "{ran:?}");
    }
    if statement.contains("truncate countersign_inline.accounts") {
        let ran = program_at(&home).args(["projections", "rebuild", "accounts"]).output().expect("it runs");
        assert!(ran.status.success(), "{ran:?}");
    }
    home
}

async fn what_no_event_names_is_kept_while_events_are_missing(database: Database) {
    let site = TestApp::start_in(database, &[]).await;
    let ada = site.given_member("ada", &[]).await;
    site.given_member("ben", &[]).await;
    site.settle().await;
    let before = of_vault(&site.home).await;
    let mut log = site.home.log().await;
    let lost = format!("delete from events where type = 'UserRegistered' and stream = 'account-{ada}'");
    let unguarded = log.either(
        format!("drop trigger events_are_not_deleted; {lost}"),
        format!("alter table events disable trigger user; {lost}; alter table events enable trigger user"),
    );
    log.run(&unguarded).await;
    swept(&site).await;
    assert_eq!(of_vault(&site.home).await, before, "the event that names them may be the one that is missing");
    // In a log without holes the same rows go, or nothing ever would.
    let site = TestApp::start_in(database, &[]).await;
    let ben = site.given_member("ben", &[]).await;
    site.settle().await;
    let before = of_vault(&site.home).await;
    let verifier = countersign_events::ids::VerifierId(site.app.world.uuid());
    site.app.vault.put_verifier(verifier, ben, "of nobody's event", site.app.now()).await.expect("kept");
    swept(&site).await;
    assert_eq!(of_vault(&site.home).await, before);
}

async fn a_new_password_without_the_members_key_is_a_broken_site_and_not_too_many_tries(database: Database) {
    let mut site = RunningSite::start_in(database, &[], &[]);
    site.given_member("ada", &["admin"]);
    site.given_member("ben", &[]);
    let said = site.cli(&["account", "reset", "ben"]);
    let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    let token = running_site::between(&format!("{said}\n"), "/setup?token=", "\n").expect("a link").trim().to_owned();
    site.stop();
    site.home.vault_tables().await.run("delete from data_keys where subject <> 'site'; delete from verifiers").await;
    site.restart();
    let mut ben = site.visitor();
    let fields = [("token", token.as_str()), ("password", "another good one"), ("password_repeat", "another good one")];
    let page = format!("/setup?token={token}");
    let refused = [
        ben.submit(&page, "/setup", &fields).await,
        ben.submit("/login", "/login", &[("username", "ben"), ("password", running_site::PASSWORD)]).await,
    ];
    for answer in refused {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
        assert!(!answer.body.contains("Too many tries"), "{}", answer.body);
    }
}
