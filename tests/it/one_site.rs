//! A site is one thing: log, vault, root key and read models belong together. Where one is missing, empty, older, or
//! another site's, nothing is opened and nothing destroyed, and whoever asks hears which part it is and what to do.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio};

use countersign::{
    app::AppError,
    metrics::Value,
    store::{Cursor, Mark, StoreError},
};
use countersign_events::{
    account::Role,
    codec::CODEC,
    ids::{EventId, UserId},
    recorded::Position,
};
use countersign_projections::TRAILING;

use crate::{
    databases::{Database, Tool, on_both_databases},
    postgres_server::{TestDatabase, connect},
    running_site::program,
    support::{Home, ROOT_KEY, TestApp, by},
};

pub const PASSWORD: &str = "correct horse battery";

on_both_databases!(
    every_part_that_is_not_of_the_site_is_refused_by_name_and_nothing_is_destroyed,
    a_member_whose_key_is_lost_is_refused_and_told_as_erased_to_nobody,
    a_password_that_cannot_be_held_against_anything_is_not_called_wrong,
    nothing_is_swept_while_the_vault_has_seen_a_newer_log,
    read_models_that_have_read_another_log_hold_appends_back,
    a_site_of_the_release_before_adopts_its_id_and_goes_on,
);

/// Where the parts of a site lie, for one cell of the table.
struct Parts {
    directory: tempfile::TempDir,
    /// The databases of log and vault; none on `SQLite`.
    databases: Option<(TestDatabase, TestDatabase)>,
    root_key: Option<String>,
}

/// What a part is in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Missing,
    Empty,
    Older,
    Foreign,
}

/// A site at two moments, and another one; stopped, so that they can be copied.
pub struct Sites {
    pub whole: Home,
    pub older: Home,
    pub foreign: Home,
    pub owner: UserId,
}

pub async fn copied(home: &Home) -> Home {
    let mut copy = Home::on_this_machine();
    copy_all(home.directory.path(), copy.directory.path());
    if let Some(database) = &home.database {
        copy.database = Some(TestDatabase::copy_of(&database.name).await);
    }
    copy
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a copy");
        }
    }
}

async fn stopped(site: TestApp) -> Home {
    site.settle().await;
    let TestApp { app, home, .. } = site;
    app.stop().await;
    // Its last connections are just being closed.
    if let Some(database) = &home.database {
        let others = format!("select count(*) from pg_stat_activity where datname = '{}'", database.name);
        let server = url_of_server(database);
        while Tool::Postgres(connect(&server).await).numbers(&others).await != [0] {
            let end = format!(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}' and state = 'idle'",
                database.name
            );
            Tool::Postgres(connect(&server).await).run(&end).await;
        }
    }
    home
}

fn url_of_server(database: &TestDatabase) -> String {
    database.url.replace(&database.name, "postgres")
}

impl Sites {
    pub async fn given(database: Database) -> Self {
        let site = TestApp::start_in(database, &[]).await;
        let (owner, ..) = site.given_approved().await;
        let clock = site.clock.clone();
        let home = stopped(site).await;
        let older = copied(&home).await;
        let site = TestApp::start_again(home, clock, CODEC).await;
        site.given_member("late", &[Role::Auditor]).await;
        let whole = stopped(site).await;
        // Under another seed: it shares no id with the first.
        let clock = TestApp::start_in(database, &[]).await.clock;
        let other = TestApp::start_again(Home::made_in_a(database), clock, CODEC).await;
        other.given_approved().await;
        other.given_member("stranger", &[]).await;
        Self { whole, older, foreign: stopped(other).await, owner }
    }

    const fn of(&self, state: State) -> Option<&Home> {
        match state {
            State::Whole => Some(&self.whole),
            State::Older => Some(&self.older),
            State::Foreign => Some(&self.foreign),
            State::Missing | State::Empty => None,
        }
    }

    async fn parts(&self, log: State, vault: State, key: State, models: State) -> Parts {
        let directory = tempfile::tempdir().expect("a directory");
        let root_key = match key {
            State::Missing => None,
            State::Foreign => Some("3c".repeat(32)),
            State::Whole | State::Empty | State::Older => Some(ROOT_KEY.to_owned()),
        };
        if self.whole.database.is_some() {
            let database = async |state| match (self.of(state), state) {
                (Some(home), _) => TestDatabase::copy_of(&home.database.as_ref().expect("one").name).await,
                (None, State::Missing) => TestDatabase::empty().await,
                (None, _) => TestDatabase::create().await,
            };
            let databases = Some((database(log).await, database(vault).await));
            return Parts { directory, databases, root_key };
        }
        let data = directory.path().join("site");
        fs::create_dir(&data).expect("a directory");
        for (name, state) in [("log.db", log), ("vault.db", vault)] {
            self.put(state, &Path::new("site").join(name), directory.path());
        }
        self.put(key, Path::new("site.key"), directory.path());
        if let Some(home) = self.of(models) {
            copy_all(&home.data_dir().join("models"), &data.join("models"));
        } else if models == State::Empty {
            copy_all(&self.whole.data_dir().join("models"), &data.join("models"));
            for file in fs::read_dir(data.join("models")).expect("a directory") {
                fs::write(file.expect("a file").path(), "").expect("it is emptied");
            }
        }
        Parts { directory, databases: None, root_key: None }
    }

    fn put(&self, state: State, file: &Path, to: &Path) {
        match self.of(state) {
            Some(home) => {
                for end in ["", "-wal"] {
                    let name = format!("{}{end}", file.display());
                    let from = home.directory.path().join(&name);
                    if from.exists() {
                        fs::copy(from, to.join(name)).expect("a copy");
                    }
                }
            }
            None if state == State::Empty => {
                fs::write(to.join(file), "").expect("an empty file");
                let owner_alone = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                fs::set_permissions(to.join(file), owner_alone).expect("it is ours");
            }
            None => {}
        }
    }
}

/// What a command said, and its exit code; one that goes on is a failure.
fn said(parts: &Parts, arguments: &[&str]) -> (Option<i32>, String) {
    let mut settings = vec![];
    if let Some((log, vault)) = &parts.databases {
        settings.push(("DATABASE_URL".to_owned(), log.url.clone()));
        settings.push(("VAULT_URL".to_owned(), vault.url.clone()));
    }
    settings.extend(parts.root_key.clone().map(|key| ("ROOT_KEY".to_owned(), key)));
    // Where it goes on although it should not, it is ended, and its exit code is another.
    let under = ["timeout", "--signal=KILL", "60"].map(ToOwned::to_owned);
    let mut command = program(parts.directory.path(), &settings, &under);
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("the program starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Everything that is stored of log, vault, key and models.
async fn contents(parts: &Parts) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let Some((log, vault)) = &parts.databases else {
        let mut left = vec![parts.directory.path().to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                if path.is_dir() {
                    left.push(path);
                } else if name != "lock" && !name.ends_with("-shm") && !name.ends_with("-wal") {
                    found.insert(path.display().to_string(), fs::read(&path).expect("a file"));
                }
            }
        }
        return found;
    };
    for database in [log, vault] {
        found.extend(database.contents().await.into_iter().map(|(name, rows)| (name, rows.into_bytes())));
    }
    found
}

async fn every_part_that_is_not_of_the_site_is_refused_by_name_and_nothing_is_destroyed(database: Database) {
    use State::{Empty, Foreign, Missing, Older, Whole};
    let sites = Sites::given(database).await;
    let is_here = database == Database::Sqlite;
    let (log, vault, key) = if is_here {
        ("site/log.db", "site/vault.db", "site.key")
    } else {
        ("COUNTERSIGN_DATABASE_URL", "COUNTERSIGN_VAULT_URL", "COUNTERSIGN_ROOT_KEY")
    };
    let gone = ["there is none at", "is empty"];
    // log, vault, key, and the words that have to be there.
    let mut cells = vec![
        ([Missing, Whole, Whole], vec!["The log:", log, gone[0], "Put the newest log back"]),
        ([Empty, Whole, Whole], vec!["The log:", log, gone[1], "Put the newest log back"]),
        ([Older, Whole, Whole], vec!["The log:", log, "is an older one", "Put the newest log back"]),
        ([Foreign, Whole, Whole], vec!["The log:", log, "another site's", "Put this site's own log back"]),
        ([Whole, Missing, Whole], vec!["The vault:", vault, gone[0], "Put the newest vault back"]),
        ([Whole, Empty, Whole], vec!["The vault:", vault, gone[1], "Put the newest vault back"]),
        ([Whole, Older, Whole], vec!["The vault:", vault, "older than the log", "Put the newest vault back"]),
        ([Whole, Whole, Missing], vec!["root key is missing", "site.key", "Put the key file back"]),
        ([Whole, Whole, Foreign], vec!["The root key:", key, "another site's", "Put this site's own root key back"]),
        ([Foreign, Foreign, Whole], vec!["another site's", "Put this site's own"]),
    ];
    if is_here {
        // Where two of three know each other; with a key from the environment any vault that it opens is as good.
        let foreign = vec!["The vault:", vault, "another site's", "Put this site's own vault back"];
        cells.push(([Whole, Foreign, Whole], foreign));
        let both = ["The log:", log, "The vault:", vault];
        cells.push(([Missing, Missing, Whole], [&both[..], &[gone[0], "root key"]].concat()));
        cells.push(([Empty, Empty, Whole], [&both[..], &[gone[1], "root key"]].concat()));
        cells.push(([Whole, Whole, Empty], vec!["site.key", "does not hold a root key"]));
    } else {
        // Both are made by one key here, as two sites of one operator may be: their ids tell them apart.
        let foreign = vec!["The log:", log, "another site's"];
        cells.push(([Whole, Foreign, Whole], foreign));
        cells.retain(|(states, _)| *states != [Foreign, Foreign, Whole]);
    }
    for ([log, vault, key], words) in cells {
        let cell = format!("log {log:?}, vault {vault:?}, key {key:?}");
        let models = if log == vault && log == Foreign { Foreign } else { Whole };
        let parts = sites.parts(log, vault, key, models).await;
        let before = contents(&parts).await;
        let commands: [(&[&str], i32); 4] = [
            (&["serve", "--listen", "127.0.0.1:0"], 1),
            (&["account", "list"], 1),
            (&["account", "create", "zoe", "--new-site"], 1),
            (&["doctor"], 3),
        ];
        for (arguments, code) in commands {
            let (ended, told) = said(&parts, arguments);
            assert_eq!(ended, Some(code), "{cell}, {arguments:?}: {told}");
            // Doctor has lines of its own, with the same words in them.
            let is_doctor = arguments == ["doctor"];
            for word in words.iter().filter(|word| !is_doctor || !word.starts_with("The ")) {
                let word = if is_doctor { word.trim_start_matches("Put ").trim_end_matches("file back") } else { word };
                assert!(told.contains(word), "{cell}, {arguments:?} does not say {word}: {told}");
            }
        }
        assert!(before == contents(&parts).await, "{cell}: something was changed");
    }
    // What was refused was not lost: the same parts together are the site.
    let clock = TestApp::start_in(database, &[]).await.clock;
    let site = TestApp::start_again(sites.whole, clock, CODEC).await;
    let (member, _) = site.app.log_in(&countersign::app::Caller::system(), "late", PASSWORD).await.expect("a log-in");
    assert!(site.app.state.member(member).is_some());
    let message = site.newest_message(sites.owner).await;
    site.app.reveal(&by(sites.owner), sites.owner, message).await.expect("the held secret is there");
}

async fn lose(site: &TestApp, statement_on_sqlite: &str, statement_on_postgres: &str) {
    let mut vault = site.home.vault_tables().await;
    vault.run(vault.either(statement_on_sqlite, statement_on_postgres)).await;
}

/// What a metric without labels says.
async fn assert_gauge(site: &TestApp, name: &str, value: f64) {
    let families = site.app.families().await;
    let family = families.iter().find(|family| family.name == name).expect("a metric of that name");
    assert_eq!(family.samples, [(vec![], Value::Gauge(value))], "{name}");
}

async fn a_member_whose_key_is_lost_is_refused_and_told_as_erased_to_nobody(database: Database) {
    let site = TestApp::start_in(database, &[]).await;
    let (ada, ben) = (site.given_member("ada", &[Role::Admin]).await, site.given_member("ben", &[]).await);
    let post = site.app.publish(&by(ben), ben, "Before", "", "Words of ben").await.expect("published").answer;
    // What is in memory is gone with a restart.
    let TestApp { app, clock, home } = site;
    app.stop().await;
    let key = format!("update data_keys set wrapped = zeroblob(length(wrapped)) where subject = '{ben}'");
    let mut vault = home.vault_tables().await;
    vault.run(vault.either(&key, &format!("delete from data_keys where subject = '{ben}'"))).await;
    let site = TestApp::start_again(home, clock, CODEC).await;
    let lacks =
        |error: &AppError| matches!(error, AppError::Store(StoreError::VaultLacks { member, .. }) if *member == ben);
    let head = site.app.head().await.expect("a head");
    let refused = site.app.publish(&by(ben), ben, "After", "", "More words").await.expect_err("it could not be read");
    assert!(lacks(&refused), "{refused}");
    assert_eq!(site.app.head().await.expect("a head"), head, "nothing is written");
    // Nor is a rebuild the end of what a read model still has.
    let rebuilt = site.app.rebuild_projection(&by(ada), "front_page", &|_| {}).await.expect_err("a key is missing");
    assert!(lacks(&rebuilt), "{rebuilt}");
    let row = site.app.post(post).await.expect("a post").row;
    assert_eq!(row.body.as_deref(), Some("Words of ben"));
    // Others go on, and erasing somebody needs no key.
    site.app.publish(&by(ada), ada, "Hers", "", "Words of ada").await.expect("published");
    site.app.erase_member(&by(ada), ben).await.expect("erased");
    site.settle().await;
    site.app.rebuild_projection(&by(ada), "front_page", &|_| {}).await.expect("the log says that ben was erased");
    assert_eq!(site.app.post(post).await.expect("a post").row.body, None);
}

async fn a_password_that_cannot_be_held_against_anything_is_not_called_wrong(database: Database) {
    let site = TestApp::start_in(database, &[]).await;
    site.given_member("ada", &[]).await;
    lose(&site, "delete from verifiers", "delete from verifiers").await;
    let refused = site.app.log_in(&countersign::app::Caller::system(), "ada", PASSWORD).await.map(|_| ());
    assert!(matches!(refused, Err(AppError::Store(StoreError::VaultLacks { .. }))), "{refused:?}");
    let unknown = site.app.log_in(&countersign::app::Caller::system(), "nobody", PASSWORD).await.map(|_| ());
    assert!(matches!(unknown, Err(AppError::WrongPassword)), "{unknown:?}");
    assert_gauge(&site, "countersign_vault_lacks_members", 1.0).await;
}

async fn nothing_is_swept_while_the_vault_has_seen_a_newer_log(database: Database) {
    let site = TestApp::start_in(database, &[]).await;
    let ada = site.given_member("ada", &[]).await;
    let verifier = countersign_events::ids::VerifierId(site.app.world.uuid());
    site.app.vault.put_verifier(verifier, ada, "of a lost event", site.app.now()).await.expect("kept");
    let head = site.app.head().await.expect("a head");
    let beyond = Cursor { position: Position(head.position.0 + 5), ..head };
    let newer = Mark { cursor: beyond, event: Some(EventId(site.app.world.uuid())) };
    site.app.vault.note_seen(newer, false).await.expect("noted");
    site.clock.advance(chrono::Duration::hours(1));
    site.app.look_after().await.expect("a round");
    assert!(site.app.vault.verifier(verifier).await.expect("a vault").is_some(), "its event may be in the newer log");
    let refused = site.app.publish(&by(ada), ada, "T", "", "B").await.map(|_| ());
    assert!(matches!(refused, Err(AppError::Store(StoreError::NotTheNewest(_)))), "{refused:?}");
    // The same row in a site that is whole is a leftover.
    let end = Mark { cursor: head, event: site.app.log.event_id(head.position).await.expect("a log") };
    site.app.vault.note_seen(end, true).await.expect("noted");
    site.app.look_after().await.expect("a round");
    assert!(site.app.vault.verifier(verifier).await.expect("a vault").is_none());
    site.app.publish(&by(ada), ada, "T", "", "B").await.expect("published");
}

async fn read_models_that_have_read_another_log_hold_appends_back(database: Database) {
    let site = TestApp::start_in(database, &[]).await;
    let ada = site.given_member("ada", &[Role::Admin]).await;
    site.settle().await;
    let TestApp { app, clock, home } = site;
    app.stop().await;
    // What an older log leads to that went on: the cursor is where the log has another event.
    let mut tool = home.model("inbox", 1).await;
    let other = "update cursor set event_id = x'00112233445566778899aabbccddeeff'";
    let other_there = "update cursors set event_id = '\\x00112233445566778899aabbccddeeff' where name = 'inbox'";
    tool.run(tool.either(other, other_there)).await;
    let site = TestApp::start_again(home, clock, CODEC).await;
    let told = site.app.refusal().expect("appends are refused");
    assert!(told.contains("inbox") && told.contains("countersign projections rebuild"), "{told}");
    assert_gauge(&site, "countersign_log_refused", 1.0).await;
    let refused = site.app.publish(&by(ada), ada, "T", "", "B").await.map(|_| ());
    assert!(matches!(refused, Err(AppError::Store(StoreError::NotTheNewest(_)))), "{refused:?}");
    site.app.look_after().await.expect("a round");
    site.app.rebuild_projection(&by(ada), "inbox", &|_| {}).await.expect("built").expect("by this one");
    assert_eq!(site.app.refusal(), None);
    assert_gauge(&site, "countersign_log_refused", 0.0).await;
    site.app.publish(&by(ada), ada, "T", "", "B").await.expect("published");
    site.settle().await;
    for projection in TRAILING {
        let mark = site.app.models.mark(projection).await.expect("a mark");
        assert!(mark.event.is_some(), "{} holds the id of its event", projection.name);
    }
}

async fn a_site_of_the_release_before_adopts_its_id_and_goes_on(database: Database) {
    let site = TestApp::start_in(database, &[]).await;
    let ada = site.given_member("ada", &[]).await;
    let clock = site.clock.clone();
    let home = stopped(site).await;
    without_what_is_new(&home).await;
    if let Some(url) = home.database.as_ref().map(|database| database.url.clone()) {
        use countersign::store::postgres::{Part, migrate, role_of};
        let role = role_of(&url).expect("a role");
        for part in [Part::Log, Part::Vault] {
            migrate(&url, part, &role).await.expect("migrated");
        }
    }
    let site = TestApp::start_again(home, clock, CODEC).await;
    let (log, vault) =
        (site.app.log.identity().await.expect("a log"), site.app.vault.identity().await.expect("a vault"));
    assert!(log.site.is_some() && log.site == vault.map(|vault| vault.site));
    site.app.log_in(&countersign::app::Caller::system(), "ada", PASSWORD).await.expect("a log-in");
    site.app.publish(&by(ada), ada, "T", "", "B").await.expect("published");
    site.settle().await;
    for projection in TRAILING {
        assert!(site.app.models.mark(projection).await.expect("a mark").event.is_some());
    }
}

/// As the release before left it: without ids, and without the steps that made room for them.
async fn without_what_is_new(home: &Home) {
    let mut log = home.log().await;
    log.run(log.either(
        "drop table site; drop table clock; delete from _sqlx_migrations where version >= 4",
        "drop table countersign.site; drop table countersign.clock; delete from countersign._sqlx_migrations where version >= 4; \
         alter table countersign.cursors drop column event_id, drop column event_position",
    ))
    .await;
    let mut vault = home.vault_tables().await;
    vault
        .run(vault.either(
            "drop table site; delete from _sqlx_migrations where version >= 2",
            "drop table countersign_vault.site; delete from countersign_vault._sqlx_migrations where version >= 2",
        ))
        .await;
    if home.database.is_none() {
        for projection in TRAILING {
            home.model(projection.name, 1).await.run("alter table cursor drop column event_id").await;
        }
        let key = home.directory.path().join("site.key");
        let text = fs::read_to_string(&key).expect("a key");
        fs::write(&key, text.lines().next().expect("a line")).expect("one line");
    }
}
