//! What `countersign doctor` looks at in a database alone: schemas, rows that cannot be read, servers that do not answer.
//! What it finds wherever a site lies is in `doctor`.

use url::Url;

use crate::{
    databases::{Database, Tool},
    doctor::{doctor, given_stopped_in},
    postgres_server::{TestDatabase, require},
    running_site::RunningSite,
};

/// A stopped site with its database.
fn given_stopped() -> Option<RunningSite> {
    require().then(|| given_stopped_in(Database::Postgres))
}

fn database(site: &RunningSite) -> &TestDatabase {
    site.home.database.as_ref().expect("the site lies in one")
}

async fn tool(site: &RunningSite) -> Tool {
    site.home.log().await
}

#[tokio::test]
async fn a_healthy_database_is_looked_at_without_a_word_to_any_node_and_without_writing() {
    let Some(site) = given_stopped() else { return };
    let name = &database(&site).name;
    tool(&site).await.run(&format!("alter database {name} set default_transaction_read_only = on")).await;
    let told = doctor(&site, &["--deep"]);
    told.is_healthy();
    for (about, found) in [
        ("program", "PostgreSQL 1"),
        ("schema of log", "5"),
        ("schema of vault", "2"),
        ("root key", "from COUNTERSIGN_ROOT_KEY, opens the vault"),
        ("integrity of log", "every row"),
        ("integrity of vault", "every row"),
    ] {
        told.has("ok", about, found, "");
    }
    let about_files = |about: &str| ["disk", "permissions", "write-ahead logs"].iter().any(|file| about.contains(file));
    let said: Vec<_> = told.findings.iter().filter_map(|finding| finding["about"].as_str()).collect();
    assert!(!said.iter().any(|about| about_files(about)), "there are no files: {said:?}");
}

#[tokio::test]
async fn a_root_key_that_is_another_one_is_a_problem() {
    let Some(mut site) = given_stopped() else { return };
    site.set("ROOT_KEY", &"0".repeat(64));
    doctor(&site, &[]).has("problem", "root key", "not the one", "from your backup");
}

#[tokio::test]
async fn a_schema_is_told_that_is_behind_that_is_ahead_and_that_is_too_far_ahead() {
    let Some(site) = given_stopped() else { return };
    let mut log = tool(&site).await;
    log.run("delete from _sqlx_migrations where version = 5").await;
    doctor(&site, &[]).has("warning", "schema of log", "4; this program wants 5", "countersign migrate");
    log.run("update _sqlx_migrations set version = version + 98").await;
    doctor(&site, &[]).has("ok", "schema of log", "a newer Countersign made", "");
    log.run("update compatibility set oldest = 99").await;
    doctor(&site, &[]).has("problem", "schema of log", "a newer Countersign made", "run the newer program");
}

#[tokio::test]
async fn a_database_without_tables_and_a_server_that_does_not_answer_are_problems_and_no_password_is_told() {
    let Some(mut site) = given_stopped() else { return };
    let empty = TestDatabase::empty().await;
    site.set("VAULT_URL", &empty.url);
    doctor(&site, &[]).has("problem", "vault", "no tables of Countersign", "countersign migrate");
    let password = "not-for-everybody";
    let mut nowhere = Url::parse("postgres://countersign@127.0.0.1:1/site").expect("a URL");
    nowhere.set_password(Some(password)).expect("it has a host");
    site.set("VAULT_URL", nowhere.as_str());
    site.set("DATABASE_URL", nowhere.as_str());
    let told = doctor(&site, &["--deep"]);
    told.has("problem", "log", "cannot be read", "see that its server runs");
    told.has("problem", "vault", "cannot be read", "see that its server runs");
    let said = site.cli(&["doctor"]);
    let said = [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(said.contains("cannot be read") && !said.contains(password), "{said}");
}

#[tokio::test]
async fn rows_that_cannot_be_read_are_found_by_a_deep_look() {
    let Some(site) = given_stopped() else { return };
    // As if the files of these tables were gone.
    let gone = "set allow_system_table_mods = on; update pg_class set relfilenode = oid::bigint + 2000000000 \
                where oid in ('countersign_inbox_1.notifications'::regclass, 'countersign_vault.outcomes'::regclass)";
    tool(&site).await.run(gone).await;
    doctor(&site, &[]).is_healthy();
    let told = doctor(&site, &["--deep"]);
    told.has("problem", "integrity of log", "countersign_inbox_1.notifications: ", "look at the server's log");
    told.has("problem", "integrity of vault", "countersign_vault.outcomes: ", "restore the schema countersign_vault");
}

#[tokio::test]
async fn a_generation_that_nothing_reads_is_a_warning() {
    let Some(site) = given_stopped() else { return };
    tool(&site).await.run("create schema countersign_inbox_7").await;
    doctor(&site, &[]).has("warning", "left-over generation", "countersign_inbox_7", "within minutes");
}

#[tokio::test]
async fn what_was_dropped_or_put_out_of_force_is_found_and_a_migration_makes_it_again() {
    let Some(site) = given_stopped() else { return };
    let mut log = tool(&site).await;
    for (damage, found) in [
        ("drop trigger events_are_not_updated on events", "the trigger events_are_not_updated is missing"),
        (
            "alter table events disable trigger events_are_not_put_beyond_a_gap",
            "the trigger events_are_not_put_beyond_a_gap is not as it was made, or not in force",
        ),
        (
            "create or replace function events_are_append_only() returns trigger language plpgsql as \
             $$ begin return null; end; $$",
            "the function events_are_append_only is not as it was made",
        ),
        ("drop index outcomes_by_age", "the index outcomes_by_age is missing"),
    ] {
        log.run(damage).await;
        doctor(&site, &[]).has("problem", "schema of log", found, "`countersign migrate`");
        site.done(&["migrate"]);
        doctor(&site, &["--deep"]).is_healthy();
    }
}

#[tokio::test]
async fn events_keys_and_verifiers_that_are_gone_are_found() {
    let Some(site) = given_stopped() else { return };
    let unguarded = |change: &str| {
        format!("alter table events disable trigger user; {change}; alter table events enable trigger user")
    };
    let mut log = tool(&site).await;
    log.run(&unguarded("update events set payload = '{' where type = 'UserRegistered'")).await;
    doctor(&site, &[]).is_healthy();
    doctor(&site, &["--deep"]).has("problem", "events", "cannot be read: ", "restore the schema countersign");
    log.run(&unguarded("delete from events where position = 2")).await;
    let hole = "are missing, the first of them after 1: the next one there is 3";
    doctor(&site, &[]).has("problem", "events", hole, "restore the schema countersign");
    let mut vault = site.home.vault_tables().await;
    vault.run("delete from verifiers; delete from data_keys where subject <> 'site'").await;
    let lost = "1 of 1 members have no data key";
    doctor(&site, &[]).has("problem", "keys of members", lost, "restore the schema countersign_vault");
}
