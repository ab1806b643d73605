//! What every vault promises, asked through the trait; and what the one on `SQLite` promises of its
//! files: durable, private, and without a copy of what was destroyed. What callers put in is sealed
//! already, so any bytes do here.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use chrono::DateTime;
use countersign::store::{Aged, CommandKey, Link, StoreError, Vault, rows::Session, sqlite::vault::SqliteVault};
use countersign_events::{
    ids::{DataKeyId, SecretId, UserId, VerifierId},
    recorded::Timestamp,
};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use uuid::Uuid;

async fn vault() -> (Arc<dyn Vault>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (open(directory.path()).await, directory)
}

async fn open(data_dir: &Path) -> Arc<dyn Vault> {
    SqliteVault::open(data_dir).await.unwrap()
}

fn at(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(1_700_000_000 + seconds, 123_456_000).unwrap()
}

/// 32 bytes that look random and are always the same.
fn noise(name: &str, number: usize) -> [u8; 32] {
    *blake3::hash(format!("{name} {number}").as_bytes()).as_bytes()
}

/// Ids in no order, as a tree sees the worst of them.
fn id(number: usize) -> Uuid {
    Uuid::from_slice(&noise("id", number)[..16]).unwrap()
}

fn user(number: usize) -> UserId {
    UserId(id(1_000_000 + number))
}

fn command(id: &str) -> CommandKey {
    CommandKey { scope: "a member, a route".to_owned(), id: id.to_owned() }
}

fn session(number: usize, of: UserId, until: i64) -> Session {
    Session {
        digest: noise("session", number),
        user_id: of,
        created_at: at(1),
        authenticated_at: at(2),
        expires_at: at(until),
    }
}

#[track_caller]
fn assert_conflict<T: std::fmt::Debug>(result: &Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
}

#[tokio::test]
async fn a_data_key_is_kept_and_its_id_taken() {
    let (vault, _directory) = vault().await;
    let key = DataKeyId(id(1));
    assert_eq!(vault.data_key(key).await.unwrap(), None);
    vault.put_data_key(key, &user(1).to_string(), b"wrapped", at(0)).await.unwrap();
    assert_eq!(vault.data_key(key).await.unwrap().as_deref(), Some(&b"wrapped"[..]));
    assert_conflict(&vault.put_data_key(key, &user(2).to_string(), b"other", at(0)).await);
    assert_eq!(vault.data_key(key).await.unwrap().as_deref(), Some(&b"wrapped"[..]));
}

#[tokio::test]
async fn the_site_has_one_key_and_a_member_any_number() {
    let (vault, _directory) = vault().await;
    assert_eq!(vault.site_key().await.unwrap(), None);
    vault.put_data_key(DataKeyId(id(1)), &user(1).to_string(), b"first", at(0)).await.unwrap();
    vault.put_data_key(DataKeyId(id(2)), &user(1).to_string(), b"second", at(0)).await.unwrap();
    assert_eq!(vault.site_key().await.unwrap(), None);
    vault.put_data_key(DataKeyId(id(3)), "site", b"the site's", at(0)).await.unwrap();
    assert_conflict(&vault.put_data_key(DataKeyId(id(4)), "site", b"another", at(0)).await);
    assert_eq!(vault.site_key().await.unwrap(), Some((DataKeyId(id(3)), b"the site's".to_vec())));
}

#[tokio::test]
async fn a_subject_that_is_neither_the_site_nor_a_member_is_refused() {
    let (vault, _directory) = vault().await;
    assert!(vault.put_data_key(DataKeyId(id(1)), "somebody", b"wrapped", at(0)).await.is_err());
    assert_eq!(vault.data_key(DataKeyId(id(1))).await.unwrap(), None);
}

#[tokio::test]
async fn destroying_verifiers_spares_the_current_one_and_other_members() {
    let (vault, _directory) = vault().await;
    for (number, of) in [(1, user(1)), (2, user(1)), (3, user(1)), (4, user(2))] {
        vault.put_verifier(VerifierId(id(number)), of, &format!("$argon2id${number}"), at(0)).await.unwrap();
    }
    assert_conflict(&vault.put_verifier(VerifierId(id(3)), user(1), "$argon2id$5", at(0)).await);
    vault.destroy_verifiers(user(1), VerifierId(id(2))).await.unwrap();
    assert_eq!(vault.verifier(VerifierId(id(1))).await.unwrap(), None);
    assert_eq!(vault.verifier(VerifierId(id(2))).await.unwrap().as_deref(), Some("$argon2id$2"));
    assert_eq!(vault.verifier(VerifierId(id(3))).await.unwrap(), None);
    assert_eq!(vault.verifier(VerifierId(id(4))).await.unwrap().as_deref(), Some("$argon2id$4"));
}

#[tokio::test]
async fn a_secret_is_held_until_it_is_destroyed() {
    let (vault, _directory) = vault().await;
    let (first, second) = (SecretId(id(1)), SecretId(id(2)));
    vault.hold(first, b"sealed", at(2)).await.unwrap();
    vault.hold(second, b"sealed too", at(1)).await.unwrap();
    assert_conflict(&vault.hold(first, b"other", at(3)).await);
    assert_eq!(vault.held(first).await.unwrap().as_deref(), Some(&b"sealed"[..]));
    assert_eq!(vault.held_ids().await.unwrap(), [(second, at(1)), (first, at(2))]);
    vault.destroy_held(first).await.unwrap();
    assert_eq!(vault.held(first).await.unwrap(), None);
    assert_eq!(vault.held_ids().await.unwrap(), [(second, at(1))]);
    vault.destroy_held(first).await.expect("destroying what is gone succeeds");
}

#[tokio::test]
async fn an_outcome_is_kept_once_for_its_command_until_it_is_dropped() {
    let (vault, _directory) = vault().await;
    let elsewhere = CommandKey { scope: "another route".to_owned(), ..command("1") };
    vault.put_outcome(&command("1"), b"sealed", at(600)).await.unwrap();
    vault.put_outcome(&elsewhere, b"elsewhere", at(600)).await.unwrap();
    assert_conflict(&vault.put_outcome(&command("1"), b"other", at(600)).await);
    assert_eq!(vault.outcome(&command("1")).await.unwrap().as_deref(), Some(&b"sealed"[..]));
    vault.drop_outcome(&command("1")).await.unwrap();
    assert_eq!(vault.outcome(&command("1")).await.unwrap(), None);
    assert_eq!(vault.outcome(&elsewhere).await.unwrap().as_deref(), Some(&b"elsewhere"[..]));
    vault.put_outcome(&command("1"), b"again", at(600)).await.unwrap();
}

#[tokio::test]
async fn a_session_begins_and_ends_by_its_digest() {
    let (vault, _directory) = vault().await;
    let begun = session(1, user(1), 100);
    assert_eq!(vault.session(begun.digest).await.unwrap(), None);
    vault.put_session(&begun).await.unwrap();
    assert_conflict(&vault.put_session(&session(1, user(2), 100)).await);
    assert_eq!(vault.session(begun.digest).await.unwrap(), Some(begun));
    vault.end_session(begun.digest).await.unwrap();
    assert_eq!(vault.session(begun.digest).await.unwrap(), None);
}

#[tokio::test]
async fn ending_a_members_sessions_spares_the_one_to_keep_and_other_members() {
    let (vault, _directory) = vault().await;
    let sessions = [session(1, user(1), 100), session(2, user(1), 100), session(3, user(2), 100)];
    for begun in &sessions {
        vault.put_session(begun).await.unwrap();
    }
    vault.end_sessions_of(user(1), Some(sessions[1].digest)).await.unwrap();
    assert_eq!(vault.session(sessions[0].digest).await.unwrap(), None);
    assert_eq!(vault.session(sessions[1].digest).await.unwrap(), Some(sessions[1]));
    vault.end_sessions_of(user(1), None).await.unwrap();
    assert_eq!(vault.session(sessions[1].digest).await.unwrap(), None);
    assert_eq!(vault.session(sessions[2].digest).await.unwrap(), Some(sessions[2]));
}

#[tokio::test]
async fn a_link_is_good_until_its_time_or_its_use() {
    let (vault, _directory) = vault().await;
    let digest = noise("link", 1);
    vault.put_link(digest, Link::Reset(user(1)), at(10)).await.unwrap();
    assert_conflict(&vault.put_link(digest, Link::Reset(user(2)), at(10)).await);
    assert_eq!(vault.link(digest, at(9)).await.unwrap(), Some(Link::Reset(user(1))));
    assert_eq!(vault.link(digest, at(10)).await.unwrap(), None);
    vault.end_link(digest).await.unwrap();
    assert_eq!(vault.link(digest, at(9)).await.unwrap(), None);
}

#[tokio::test]
async fn a_set_up_link_takes_the_place_of_the_one_before() {
    let (vault, _directory) = vault().await;
    let [first, second, reset] = [1, 2, 3].map(|number| noise("link", number));
    vault.put_link(first, Link::SetUp, at(10)).await.unwrap();
    vault.put_link(reset, Link::Reset(user(1)), at(10)).await.unwrap();
    vault.put_link(second, Link::SetUp, at(10)).await.unwrap();
    assert_eq!(vault.link(first, at(0)).await.unwrap(), None);
    assert_eq!(vault.link(second, at(0)).await.unwrap(), Some(Link::SetUp));
    assert_eq!(vault.link(reset, at(0)).await.unwrap(), Some(Link::Reset(user(1))));
}

#[tokio::test]
async fn a_set_up_link_that_conflicts_leaves_the_one_before() {
    let (vault, _directory) = vault().await;
    let [set_up, reset] = [1, 2].map(|number| noise("link", number));
    vault.put_link(set_up, Link::SetUp, at(10)).await.unwrap();
    vault.put_link(reset, Link::Reset(user(1)), at(10)).await.unwrap();
    assert_conflict(&vault.put_link(reset, Link::SetUp, at(10)).await);
    assert_eq!(vault.link(set_up, at(0)).await.unwrap(), Some(Link::SetUp));
    vault.put_session(&session(1, user(1), 10)).await.expect("the failed transaction is over");
}

#[tokio::test]
async fn aged_rows_are_listed_without_the_sites_key_and_removed() {
    let (vault, _directory) = vault().await;
    vault.put_data_key(DataKeyId(id(1)), "site", b"wrapped", at(0)).await.unwrap();
    for (number, seconds) in [(2, 0), (3, 9), (4, 10)] {
        let of = user(number);
        vault.put_data_key(DataKeyId(id(number)), &of.to_string(), b"wrapped", at(seconds)).await.unwrap();
        vault.put_verifier(VerifierId(id(number)), of, "$argon2id$", at(seconds)).await.unwrap();
    }
    let mut aged = vault.aged(at(10)).await.unwrap();
    aged.data_keys.sort();
    aged.verifiers.sort();
    let mut expected = Aged {
        data_keys: vec![(DataKeyId(id(2)), user(2)), (DataKeyId(id(3)), user(3))],
        verifiers: vec![(VerifierId(id(2)), user(2)), (VerifierId(id(3)), user(3))],
    };
    expected.data_keys.sort();
    expected.verifiers.sort();
    assert_eq!(aged, expected);

    vault.remove(&aged).await.unwrap();
    assert_eq!(vault.aged(at(10)).await.unwrap(), Aged::default());
    assert_eq!(vault.data_key(DataKeyId(id(3))).await.unwrap(), None);
    assert_eq!(vault.verifier(VerifierId(id(3))).await.unwrap(), None);
    assert!(vault.data_key(DataKeyId(id(4))).await.unwrap().is_some());
    assert!(vault.site_key().await.unwrap().is_some());
}

#[tokio::test]
async fn a_listing_of_several_pages_is_complete() {
    let (vault, _directory) = vault().await;
    for number in 0..2100 {
        vault.put_verifier(VerifierId(id(number)), user(number), "$argon2id$", at(0)).await.unwrap();
    }
    let mut listed = vault.aged(at(1)).await.unwrap().verifiers;
    let mut expected: Vec<_> = (0..2100).map(|number| (VerifierId(id(number)), user(number))).collect();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn sweeping_removes_what_has_expired_and_nothing_else() {
    let (vault, _directory) = vault().await;
    // More than one batch of sessions.
    for number in 0..1001 {
        vault.put_session(&session(number, user(number), 10)).await.unwrap();
    }
    let lasting = session(5000, user(1), 11);
    vault.put_session(&lasting).await.unwrap();
    vault.put_link(noise("link", 1), Link::SetUp, at(10)).await.unwrap();
    vault.put_link(noise("link", 2), Link::Reset(user(1)), at(11)).await.unwrap();
    vault.put_outcome(&command("old"), b"sealed", at(10)).await.unwrap();
    vault.put_outcome(&command("new"), b"sealed", at(11)).await.unwrap();
    vault.hold(SecretId(id(1)), b"sealed", at(0)).await.unwrap();

    assert_eq!(vault.sweep(at(10)).await.unwrap(), 1003);
    assert_eq!(vault.sweep(at(10)).await.unwrap(), 0);
    assert_eq!(vault.session(noise("session", 0)).await.unwrap(), None);
    assert_eq!(vault.session(lasting.digest).await.unwrap(), Some(lasting));
    assert_eq!(vault.link(noise("link", 1), at(0)).await.unwrap(), None);
    assert_eq!(vault.link(noise("link", 2), at(0)).await.unwrap(), Some(Link::Reset(user(1))));
    assert_eq!(vault.outcome(&command("old")).await.unwrap(), None);
    assert!(vault.outcome(&command("new")).await.unwrap().is_some());
    assert!(vault.held(SecretId(id(1))).await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_put_is_there_after_opening_again() {
    let (vault, directory) = vault().await;
    let begun = session(1, user(1), 100);
    vault.put_data_key(DataKeyId(id(1)), "site", b"wrapped", at(0)).await.unwrap();
    vault.put_verifier(VerifierId(id(1)), user(1), "$argon2id$", at(0)).await.unwrap();
    vault.hold(SecretId(id(1)), b"sealed", at(0)).await.unwrap();
    vault.put_outcome(&command("1"), b"sealed", at(600)).await.unwrap();
    vault.put_session(&begun).await.unwrap();
    vault.put_link(noise("link", 1), Link::SetUp, at(10)).await.unwrap();

    // Without closing the first: as after a crash, everything is in the write-ahead log at best.
    let again = open(directory.path()).await;
    assert_eq!(again.site_key().await.unwrap(), Some((DataKeyId(id(1)), b"wrapped".to_vec())));
    assert_eq!(again.verifier(VerifierId(id(1))).await.unwrap().as_deref(), Some("$argon2id$"));
    assert_eq!(again.held(SecretId(id(1))).await.unwrap().as_deref(), Some(&b"sealed"[..]));
    assert_eq!(again.outcome(&command("1")).await.unwrap().as_deref(), Some(&b"sealed"[..]));
    assert_eq!(again.session(begun.digest).await.unwrap(), Some(begun));
    assert_eq!(again.link(noise("link", 1), at(0)).await.unwrap(), Some(Link::SetUp));
    again.ping().await.unwrap();
}

#[tokio::test]
async fn the_writing_connection_syncs_fully_and_overwrites_what_it_deletes() {
    let directory = tempfile::tempdir().unwrap();
    let vault = SqliteVault::open(directory.path()).await.unwrap();
    assert_eq!(vault.pragmas().await.unwrap(), (2, "wal".to_owned(), 1));
}

#[tokio::test]
async fn only_the_owner_reads_the_vaults_files() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("vault.db"), b"").unwrap();
    fs::set_permissions(directory.path().join("vault.db"), fs::Permissions::from_mode(0o644)).unwrap();
    let vault = open(directory.path()).await;
    vault.hold(SecretId(id(1)), b"sealed", at(0)).await.unwrap();
    for name in ["vault.db", "vault.db-wal", "vault.db-shm"] {
        let mode = fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

/// A sealed secret: long enough to be found, every 16 bytes of it unlike all others.
fn sealed(number: usize) -> Vec<u8> {
    (0..3 + number % 5).flat_map(|part| noise("sealed", number * 100 + part)).collect()
}

/// The files that hold any 16 bytes of it.
fn traces(data_dir: &Path, sealed: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data_dir).unwrap() {
        let entry = entry.unwrap();
        let file = fs::read(entry.path()).unwrap();
        let pieces: Vec<&[u8]> = sealed.chunks_exact(16).collect();
        if file.windows(16).any(|window| pieces.contains(&window)) {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found
}

#[tokio::test]
async fn a_destroyed_secret_leaves_no_bytes_in_any_file() {
    let (vault, directory) = vault().await;
    for number in 0..40 {
        vault.hold(SecretId(id(number)), &sealed(number), at(0)).await.unwrap();
    }
    assert!(!traces(directory.path(), &sealed(7)).is_empty(), "the search finds what is there");
    // Neighbours come and go, so that pages split and merge around what stays.
    for round in 0..40 {
        let (gone, come) = ((round * 17) % 40, 40 + round);
        vault.hold(SecretId(id(come)), &sealed(come), at(0)).await.unwrap();
        vault.destroy_held(SecretId(id(gone))).await.unwrap();
        assert_eq!(traces(directory.path(), &sealed(gone)), [""; 0], "round {round}");
    }
    for number in 40..80 {
        assert_eq!(vault.held(SecretId(id(number))).await.unwrap(), Some(sealed(number)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destroyed_secret_leaves_no_bytes_while_others_read_and_write() {
    let (vault, directory) = vault().await;
    for number in 0..20 {
        vault.hold(SecretId(id(number)), &sealed(number), at(0)).await.unwrap();
    }
    let mut others = tokio::task::JoinSet::new();
    for reader in 0..6 {
        let vault = Arc::clone(&vault);
        others.spawn(async move {
            for number in reader.. {
                vault.held(SecretId(id(number % 20))).await.unwrap();
                vault.held_ids().await.unwrap();
                vault.aged(at(1)).await.unwrap();
                if reader == 0 {
                    vault.put_session(&session(number, user(1), 100)).await.unwrap();
                }
            }
        });
    }
    for number in 0..20 {
        vault.destroy_held(SecretId(id(number))).await.unwrap();
        assert_eq!(traces(directory.path(), &sealed(number)), [""; 0], "secret {number}");
    }
    assert!(others.try_join_next().is_none(), "the others read and wrote all the while");
}

#[tokio::test]
async fn destroying_behind_a_long_read_says_so_and_is_finished_by_asking_again() {
    let (vault, directory) = vault().await;
    let secret = SecretId(id(1));
    vault.hold(secret, &sealed(1), at(0)).await.unwrap();
    let options = SqliteConnectOptions::new().filename(directory.path().join("vault.db")).read_only(true);
    let mut reader = SqliteConnection::connect_with(&options).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("select count(*) from held").fetch_one(&mut *reading).await.unwrap();

    let destroyed = tokio::time::timeout(Duration::from_secs(15), vault.destroy_held(secret)).await.unwrap();
    assert!(matches!(destroyed, Err(StoreError::Unavailable(_))), "{destroyed:?}");
    assert_eq!(vault.held(secret).await.unwrap(), None);

    reading.rollback().await.unwrap();
    vault.destroy_held(secret).await.unwrap();
    assert_eq!(traces(directory.path(), &sealed(1)), [""; 0]);
}

#[tokio::test]
async fn what_a_long_read_left_is_gone_after_the_next_start() {
    let (vault, directory) = vault().await;
    vault.hold(SecretId(id(1)), &sealed(1), at(0)).await.unwrap();
    // Deleted behind the vault's back and not truncated: a crash in between leaves the files so.
    let options = SqliteConnectOptions::new().filename(directory.path().join("vault.db")).pragma("secure_delete", "on");
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("delete from held").execute(&mut other).await.unwrap();
    assert!(!traces(directory.path(), &sealed(1)).is_empty());
    open(directory.path()).await;
    assert_eq!(traces(directory.path(), &sealed(1)), [""; 0]);
}
