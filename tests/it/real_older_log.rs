//! The real program, killed, and an older log put in the place of its own: the vault knows better.

use std::{
    fs,
    time::{Duration, Instant},
};

use axum::http::StatusCode;

use crate::{
    databases::Database,
    running_site::{PASSWORD, RunningSite},
};

/// Far below the minute after which housekeeping comes again.
const SOON: Duration = Duration::from_secs(15);

/// Waits until the vault has noted the newest event of the log.
async fn noted(site: &RunningSite) {
    let (mut log, mut vault) = (site.home.log().await, site.home.vault_tables().await);
    let deadline = Instant::now() + SOON;
    loop {
        let end = log.numbers("select max(position) from events").await;
        let seen = vault.numbers("select position from site").await;
        if end == seen {
            return;
        }
        assert!(Instant::now() < deadline, "the log is at {end:?}, and the vault knows of {seen:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn the_vault_hears_within_seconds_how_far_the_log_is() {
    let site = RunningSite::start();
    for name in ["ada", "ben"] {
        site.given_member(name, &[]);
        noted(&site).await;
    }
}

#[tokio::test]
async fn sqlite_older_log_put_back_after_a_crash_is_refused() {
    let mut site = RunningSite::start_in(Database::Sqlite, &[], &[]);
    site.given_member("ada", &["admin"]);
    site.stop();
    let log = site.data_dir().join("log.db");
    let older = fs::read(&log).expect("the log");
    site.restart();
    site.given_member("ben", &[]);
    noted(&site).await;
    site.kill9();
    // No read model is left to say how far the log was.
    fs::write(&log, older).expect("it is put back");
    for left in ["log.db-wal", "log.db-shm"] {
        drop(fs::remove_file(site.data_dir().join(left)));
    }
    fs::remove_dir_all(site.data_dir().join("models")).expect("it is there");
    let told = site.try_restart().expect_err("an older log");
    assert!(told.contains("The log:") && told.contains("is an older one"), "{told}");
    let refused = site.cli(&["projections", "rebuild"]);
    assert!(!refused.status.success(), "{refused:?}");
}

#[tokio::test]
async fn sqlite_older_vault_is_accepted_with_what_it_lacks_and_a_refusal_that_failed_stays() {
    let mut site = RunningSite::start_in(Database::Sqlite, &[], &[]);
    site.given_member("ada", &["admin"]);
    site.stop();
    let vault = site.data_dir().join("vault.db");
    let older = fs::read(&vault).expect("the vault");
    site.restart();
    site.given_member("ben", &[]);
    site.stop();
    let newest = fs::read(&vault).expect("the vault");
    fs::write(&vault, &older).expect("it is put back");
    let told = site.try_restart().expect_err("an older vault");
    assert!(told.contains("The vault:") && told.contains("--accept-log"), "{told}");
    // The newest one is taken as long as nothing was accepted.
    fs::write(&vault, newest).expect("it is put back");
    site.restart();
    site.stop();
    fs::write(&vault, older).expect("the newest one is lost");
    let said = site.done(&["projections", "rebuild", "--accept-log"]);
    assert!(said.contains("accounts stays as it is: ") && said.contains("inbox is built anew"), "{said}");
    site.restart();
    assert!(site.done(&["account", "list"]).contains("ben"), "nothing of ben is dropped");
    site.visitor().log_in("ada").await;
    let refused = site.visitor().submit("/login", "/login", &[("username", "ben"), ("password", PASSWORD)]).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.body);
}
