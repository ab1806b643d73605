//! A site that a program made which knew no ids of sites: this one starts on it, takes it over as it is, and refuses it with
//! a key or a vault that is not its own. What it holds, and how it was made, stands in `fixtures/README.md`.

use std::{fs, path::Path, process::Stdio};

use axum::http::StatusCode;

use crate::{
    databases::{Database, Tool, on_both_databases},
    doctor::Told,
    postgres_server::TestDatabase,
    running_site::{PASSWORD, Serving, Visitor, answer, http, program, with_token},
    support::{Home, ROOT_KEY},
};

on_both_databases!(
    a_site_made_before_sites_had_ids_is_taken_over_as_it_is,
    such_a_site_is_refused_with_parts_of_another
);

/// Tokens that do not expire: one of `ben`, and what `ada` consented to.
const TOKEN_SQLITE: &str = "csp_NMBcE6JriR5TvNVfTgzJay9rUjrE5fiMOgETF2AspAr0J8msG";
const AUTH_SQLITE: &str = "csa_8rBjpotsI0HOsdv1F0TOe8gZKhz8eUeCw9CuEIjK6AQ2digdb";
const TOKEN_POSTGRES: &str = "csp_7we0ubOzXqFR1Tw4jCakapSakadi73SXzlYG2iRgTih05ia9f";
const AUTH_POSTGRES: &str = "csa_bd8y7ZIiVs2Voql44ru1eHVWLK5lvhAIXGMgk4KMkkX2JXrPz";
/// The key of the site on `SQLite`; on `PostgreSQL` it is the tests' own.
const KEY_FILE: &str = include_str!("fixtures/site.key");
const OTHER_KEY: &str = "3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c";

const FILES: [(&str, &str); 6] = [
    ("log.db", include_str!("fixtures/log.sql")),
    ("vault.db", include_str!("fixtures/vault.sql")),
    ("models/front_page-1.db", include_str!("fixtures/front_page.sql")),
    ("models/history-1.db", include_str!("fixtures/history.sql")),
    ("models/inbox-1.db", include_str!("fixtures/inbox.sql")),
    ("models/statistics-1.db", include_str!("fixtures/statistics.sql")),
];
const IN_POSTGRES: &str = include_str!("fixtures/postgres.sql");

async fn given(database: Database) -> Home {
    let mut home = Home::on_this_machine();
    if database == Database::Postgres {
        let empty = TestDatabase::empty().await;
        crate::postgres_server::run(&mut crate::postgres_server::connect(&empty.url).await, IN_POSTGRES).await;
        home.database = Some(empty);
        return home;
    }
    let owner_alone = |path: &Path, mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(path, mode).expect("it is ours");
    };
    fs::create_dir_all(home.data_dir().join("models")).expect("a directory");
    for directory in [home.data_dir(), home.data_dir().join("models")] {
        owner_alone(&directory, 0o700);
    }
    for (file, sql) in FILES {
        let path = home.data_dir().join(file);
        fs::write(&path, "").expect("an empty file");
        owner_alone(&path, 0o600);
        Tool::of_file(&path).await.run(sql).await;
    }
    let key = home.directory.path().join("site.key");
    fs::write(&key, KEY_FILE).expect("a key");
    owner_alone(&key, 0o600);
    home
}

fn settings(home: &Home, key: &str) -> Vec<(String, String)> {
    let Some(database) = &home.database else { return vec![] };
    vec![("DATABASE_URL".to_owned(), database.url.clone()), ("ROOT_KEY".to_owned(), key.to_owned())]
}

fn cli(home: &Home, key: &str, arguments: &[&str]) -> std::process::Output {
    let mut command = program(home.directory.path(), &settings(home, key), &[]);
    command.args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

/// The database is brought to this version by its owner, as an upgrade does.
fn migrate(home: &Home) {
    if home.database.is_some() {
        let migrated = cli(home, ROOT_KEY, &["migrate"]);
        assert!(migrated.status.success(), "{migrated:?}");
    }
}

async fn a_site_made_before_sites_had_ids_is_taken_over_as_it_is(database: Database) {
    let home = given(database).await;
    migrate(&home);
    let events = home.log().await.numbers("select count(*) from events").await;
    let running =
        Serving::start(home.directory.path(), &settings(&home, ROOT_KEY)).unwrap_or_else(|told| panic!("{told}"));
    let tokens = match database {
        Database::Sqlite => [TOKEN_SQLITE, AUTH_SQLITE],
        Database::Postgres => [TOKEN_POSTGRES, AUTH_POSTGRES],
    };
    for token in tokens {
        let checked = with_token(&http(), &format!("{}/api/v1/token", running.url), token).await;
        assert_eq!(checked.status, StatusCode::OK, "{}", checked.body);
    }
    // Read models of an earlier revision are built anew.
    let ready = format!("{}/readyz", running.url);
    let is_built = async { while answer(http().get(&ready)).await.status != StatusCode::OK {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), is_built).await.expect("they are built");
    let mut ben = Visitor::at(&running.url);
    ben.log_in_with("ben", PASSWORD).await;
    let front = ben.get("/").await.body;
    assert!(front.contains("From before"), "{front}");
    let apps = ben.get("/settings/apps").await.body;
    assert!(apps.contains("Reader"), "{apps}");
    let accounts = cli(&home, ROOT_KEY, &["account", "list", "--format", "csv"]);
    let accounts = String::from_utf8_lossy(&accounts.stdout).into_owned();
    assert!(accounts.contains("ada") && accounts.contains("erased") && !accounts.contains("cid"), "{accounts}");
    drop(running);
    let site = |table: &str| format!("select count(*) from {table}");
    assert_eq!(home.log().await.numbers(&site("site")).await, [1], "the log has an id");
    assert_eq!(home.vault_tables().await.numbers(&site("site")).await, [1], "the vault has one");
    assert!(home.log().await.numbers("select count(*) from events").await >= events, "nothing left the log");
    for command in [&["projections", "check"][..], &["doctor", "--deep"]] {
        let ran = cli(&home, ROOT_KEY, command);
        assert!(ran.status.success(), "{command:?}: {ran:?}");
    }
    let told = Told::by(&cli(&home, ROOT_KEY, &["doctor", "--format", "json"]));
    told.has("ok", "parts of the site", "log, vault and root key are of site", "");
}

async fn such_a_site_is_refused_with_parts_of_another(database: Database) {
    let counts = async |home: &Home| {
        let mut found = home.log().await.numbers("select count(*) from events").await;
        for table in ["data_keys", "verifiers", "held_secrets"] {
            found.extend(home.vault_tables().await.numbers(&format!("select count(*) from {table}")).await);
        }
        found
    };
    let refused = async |home: &Home, key: &str, words: [&str; 2]| {
        let before = counts(home).await;
        let told = Serving::start(home.directory.path(), &settings(home, key)).map(drop).expect_err("it is refused");
        assert!(words.iter().all(|word| told.contains(word)), "{words:?}: {told}");
        assert!(counts(home).await == before, "nothing was changed");
    };
    let home = given(database).await;
    migrate(&home);
    let file = home.directory.path().join("site.key");
    if database == Database::Sqlite {
        fs::write(&file, OTHER_KEY).expect("another key");
    }
    refused(&home, OTHER_KEY, ["The root key:", "another site's"]).await;
    if database == Database::Sqlite {
        fs::write(&file, KEY_FILE).expect("the key");
    }
    let emptied = "delete from data_keys; delete from verifiers; delete from held_secrets";
    home.vault_tables().await.run(emptied).await;
    refused(&home, ROOT_KEY, ["The vault:", "is empty"]).await;
}
