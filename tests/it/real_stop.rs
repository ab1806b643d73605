//! What a clean stop of the real program leaves on the disk of a data directory.

use std::{fs, path::Path};

use axum::http::StatusCode;
use serde_json::json;

use crate::{
    databases::{Database, Tool},
    running_site::{RunningSite, answer, http},
};

async fn given_a_site_with_a_post() -> RunningSite {
    let site = RunningSite::start_in(Database::Sqlite, &[], &[]);
    site.given_member("ada", &[]);
    let (token, _) = site.given_token("ada", "read write");
    let request = http().post(format!("{}/api/v1/posts", site.url())).header("authorization", token);
    let posted = answer(request.json(&json!({ "title": "Last", "body": "b" }))).await;
    assert_eq!(posted.status, StatusCode::CREATED, "{}", posted.body);
    site
}

/// The last event that a file alone has, without those beside it.
async fn last_in(file: &Path) -> i64 {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("log.db");
    fs::copy(file, &copy).expect("it is copied");
    Tool::of_file(&copy).await.numbers("select max(position) from events").await[0]
}

#[tokio::test]
async fn after_a_clean_stop_each_database_is_whole_without_the_files_beside_it() {
    let mut site = given_a_site_with_a_post().await;
    let head = site.home.log().await.numbers("select position from head").await[0];
    site.stop();
    let directories = [site.data_dir(), site.data_dir().join("models")];
    let files = directories.iter().flat_map(|directory| fs::read_dir(directory).expect("a directory"));
    for file in files.map(|file| file.expect("a file")) {
        let name = file.file_name().to_string_lossy().into_owned();
        let bytes = file.metadata().expect("it is there").len();
        assert!(!name.ends_with("-wal") || bytes == 0, "{name} has {bytes} bytes");
    }
    assert_eq!(last_in(&site.data_dir().join("log.db")).await, head);
}

#[tokio::test]
async fn a_stop_beside_a_reader_says_that_the_log_is_in_two_files() {
    let mut site = given_a_site_with_a_post().await;
    let mut reader = site.home.log().await;
    reader.run("begin").await;
    reader.numbers("select count(*) from events").await;
    site.given_member("ben", &[]);
    site.stop();
    let (_, said) = site.said();
    assert!(said.contains("log.db-wal"), "{said}");
    reader.run("rollback").await;
}
