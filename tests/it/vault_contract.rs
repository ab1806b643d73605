//! What every vault keeps to, said to `Arc<dyn Vault>`; and what `SQLite`'s files must and must not hold. What
//! the rows mean is tested with the use cases.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use chrono::{DateTime, TimeDelta};
use countersign::store::{
    Aged, Belongings, CommandKey, Link, StoreError, Vault, rows::Session, sqlite::vault::SqliteVault,
};
use countersign_events::{
    ids::{DataKeyId, SecretId, UserId, VerifierId},
    recorded::Timestamp,
};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use uuid::Uuid;

const VERIFIER: VerifierId = VerifierId(uuid::Uuid::from_u128(9));
const BEN: UserId = UserId(Uuid::from_u128(0xbe));
const ADA: UserId = UserId(Uuid::from_u128(0xad));

struct Given {
    dir: TempDir,
    vault: Arc<dyn Vault>,
}

async fn opened(dir: &Path) -> Arc<dyn Vault> {
    SqliteVault::open(dir).await.unwrap()
}

async fn given_a_vault() -> Given {
    let dir = TempDir::new().unwrap();
    let vault = opened(dir.path()).await;
    Given { dir, vault }
}

/// The instant so many seconds after an arbitrary one.
fn at(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap() + TimeDelta::seconds(seconds)
}

fn secret(n: u128) -> SecretId {
    SecretId(Uuid::from_u128(n))
}

fn verifier(n: u128) -> VerifierId {
    VerifierId(Uuid::from_u128(n))
}

fn data_key(n: u128) -> DataKeyId {
    DataKeyId(Uuid::from_u128(n))
}

fn command(id: &str) -> CommandKey {
    CommandKey { scope: "ben /authorize".to_owned(), id: id.to_owned() }
}

fn session(digest: u8, user_id: UserId, expires_at: Timestamp) -> Session {
    Session {
        digest: [digest; 32],
        user_id,
        verifier: VERIFIER,
        created_at: at(0),
        authenticated_at: at(1),
        expires_at,
    }
}

#[track_caller]
fn conflicts(result: &Result<(), StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
}

/// Bytes like a sealed token's that occur nowhere else.
fn sealed(n: u128) -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in 0..3_u128 {
        bytes.extend(blake3::hash(&(n * 3 + block).to_le_bytes()).as_bytes());
    }
    bytes
}

/// Whether a file of the directory holds a part of these bytes: a stale copy may have lost its ends.
fn leaves_a_trace(dir: &Path, bytes: &[u8]) -> bool {
    let part = &bytes[32..48];
    fs::read_dir(dir).unwrap().any(|entry| {
        let file = fs::read(entry.unwrap().path()).unwrap();
        file.windows(part.len()).any(|window| window == part)
    })
}

#[tokio::test]
async fn a_data_key_is_found_by_its_id_and_only_by_it() {
    let Given { vault, .. } = &given_a_vault().await;
    vault.put_data_key(data_key(1), &BEN.to_string(), b"wrapped", at(0)).await.unwrap();
    assert_eq!(vault.data_key(data_key(1)).await.unwrap().as_deref(), Some(b"wrapped".as_slice()));
    assert_eq!(vault.data_key(data_key(2)).await.unwrap(), None);
    assert_eq!(vault.site_key().await.unwrap(), None);
}

#[tokio::test]
async fn the_site_has_one_data_key_and_a_second_is_a_conflict() {
    let Given { vault, .. } = &given_a_vault().await;
    vault.put_data_key(data_key(1), "site", b"first", at(0)).await.unwrap();
    conflicts(&vault.put_data_key(data_key(2), "site", b"second", at(0)).await);
    assert_eq!(vault.site_key().await.unwrap(), Some((data_key(1), b"first".to_vec())));
    assert_eq!(vault.data_key(data_key(2)).await.unwrap(), None);
}

#[tokio::test]
async fn a_row_that_exists_is_never_overwritten() {
    let Given { vault, .. } = &given_a_vault().await;
    for text in ["first", "second"] {
        let results = [
            vault.put_data_key(data_key(1), &BEN.to_string(), text.as_bytes(), at(0)).await,
            vault.put_verifier(verifier(1), BEN, text, at(0)).await,
            vault.hold(secret(1), text.as_bytes(), at(0)).await,
            vault.put_outcome(&command("1"), text.as_bytes(), at(9)).await,
            vault.put_session(&session(1, if text == "first" { BEN } else { ADA }, at(9))).await,
            vault.put_link([1; 32], Link::Reset(if text == "first" { BEN } else { ADA }, VERIFIER), at(9)).await,
        ];
        for result in results {
            if text == "first" { result.unwrap() } else { conflicts(&result) }
        }
    }
    assert_eq!(vault.data_key(data_key(1)).await.unwrap().unwrap(), b"first");
    assert_eq!(vault.verifier(verifier(1)).await.unwrap().unwrap(), "first");
    assert_eq!(vault.held(secret(1)).await.unwrap().unwrap(), b"first");
    assert_eq!(vault.outcome(&command("1")).await.unwrap().unwrap(), b"first");
    assert_eq!(vault.session([1; 32]).await.unwrap().unwrap().user_id, BEN);
    assert_eq!(vault.link([1; 32], at(0)).await.unwrap(), Some(Link::Reset(BEN, VERIFIER)));
}

#[tokio::test]
async fn destroying_verifiers_keeps_the_new_one_and_those_of_others() {
    let Given { vault, .. } = &given_a_vault().await;
    for (n, user) in [(1, BEN), (2, BEN), (3, BEN), (4, ADA)] {
        vault.put_verifier(verifier(n), user, &format!("$argon2id${n}"), at(0)).await.unwrap();
    }
    vault.destroy_verifiers(BEN, verifier(3)).await.unwrap();
    assert_eq!(vault.verifier(verifier(1)).await.unwrap(), None);
    assert_eq!(vault.verifier(verifier(2)).await.unwrap(), None);
    assert_eq!(vault.verifier(verifier(3)).await.unwrap().as_deref(), Some("$argon2id$3"));
    assert_eq!(vault.verifier(verifier(4)).await.unwrap().as_deref(), Some("$argon2id$4"));
}

#[tokio::test]
async fn every_held_secret_is_listed_with_its_time() {
    let Given { vault, .. } = &given_a_vault().await;
    let many: Vec<_> = (1..=1_001_u32).map(|n| (secret(n.into()), at(n.into()))).collect();
    for (id, time) in &many {
        vault.hold(*id, b"sealed", *time).await.unwrap();
    }
    assert_eq!(vault.held_ids().await.unwrap(), many);
}

#[tokio::test]
async fn a_destroyed_secret_is_gone_and_destroying_it_again_succeeds() {
    let Given { vault, .. } = &given_a_vault().await;
    vault.hold(secret(1), b"sealed", at(0)).await.unwrap();
    vault.hold(secret(2), b"another", at(0)).await.unwrap();
    for _ in 0..2 {
        vault.destroy_held(secret(1)).await.unwrap();
    }
    assert_eq!(vault.held(secret(1)).await.unwrap(), None);
    assert_eq!(vault.held(secret(2)).await.unwrap().as_deref(), Some(b"another".as_slice()));
}

#[tokio::test]
async fn an_outcome_is_of_its_scope_and_dropped_alone() {
    let Given { vault, .. } = &given_a_vault().await;
    let elsewhere = CommandKey { scope: "ada /authorize".to_owned(), id: "1".to_owned() };
    vault.put_outcome(&command("1"), b"ben's", at(9)).await.unwrap();
    vault.put_outcome(&elsewhere, b"ada's", at(9)).await.unwrap();
    vault.drop_outcome(&command("1")).await.unwrap();
    assert_eq!(vault.outcome(&command("1")).await.unwrap(), None);
    assert_eq!(vault.outcome(&elsewhere).await.unwrap().as_deref(), Some(b"ada's".as_slice()));
    vault.put_outcome(&command("1"), b"again", at(9)).await.unwrap();
}

#[tokio::test]
async fn a_session_comes_back_as_it_was_put_until_it_is_ended() {
    let Given { vault, .. } = &given_a_vault().await;
    let begun = session(1, BEN, at(9));
    vault.put_session(&begun).await.unwrap();
    assert_eq!(vault.session([1; 32]).await.unwrap(), Some(begun));
    vault.end_session([1; 32]).await.unwrap();
    assert_eq!(vault.session([1; 32]).await.unwrap(), None);
}

#[tokio::test]
async fn ending_a_members_sessions_keeps_the_one_named_and_those_of_others() {
    let Given { vault, .. } = &given_a_vault().await;
    for (digest, user) in [(1, BEN), (2, BEN), (3, ADA)] {
        vault.put_session(&session(digest, user, at(9))).await.unwrap();
    }
    vault.end_sessions_of(BEN, Some([2; 32])).await.unwrap();
    assert_eq!(vault.session([1; 32]).await.unwrap(), None);
    assert!(vault.session([2; 32]).await.unwrap().is_some());
    vault.end_sessions_of(BEN, None).await.unwrap();
    assert_eq!(vault.session([2; 32]).await.unwrap(), None);
    assert!(vault.session([3; 32]).await.unwrap().is_some());
}

#[tokio::test]
async fn a_link_is_good_before_its_time_is_over_and_until_it_is_used() {
    let Given { vault, .. } = &given_a_vault().await;
    vault.put_link([1; 32], Link::Reset(BEN, VERIFIER), at(9)).await.unwrap();
    assert_eq!(vault.link([1; 32], at(8)).await.unwrap(), Some(Link::Reset(BEN, VERIFIER)));
    assert_eq!(vault.link([1; 32], at(9)).await.unwrap(), None);
    vault.end_link([1; 32]).await.unwrap();
    assert_eq!(vault.link([1; 32], at(8)).await.unwrap(), None);
}

#[tokio::test]
async fn a_set_up_link_takes_the_place_of_the_one_before_and_of_no_reset_link() {
    let Given { vault, .. } = &given_a_vault().await;
    vault.put_link([1; 32], Link::Reset(BEN, VERIFIER), at(9)).await.unwrap();
    vault.put_link([2; 32], Link::SetUp, at(9)).await.unwrap();
    vault.put_link([3; 32], Link::SetUp, at(9)).await.unwrap();
    assert_eq!(vault.link([2; 32], at(0)).await.unwrap(), None);
    assert_eq!(vault.link([3; 32], at(0)).await.unwrap(), Some(Link::SetUp));
    conflicts(&vault.put_link([1; 32], Link::SetUp, at(9)).await);
    assert_eq!(vault.link([3; 32], at(0)).await.unwrap(), Some(Link::SetUp));
    assert_eq!(vault.link([1; 32], at(0)).await.unwrap(), Some(Link::Reset(BEN, VERIFIER)));
}

#[tokio::test]
async fn aged_rows_are_those_of_members_put_there_before() {
    let Given { vault, .. } = &given_a_vault().await;
    vault.put_data_key(data_key(1), "site", b"site", at(0)).await.unwrap();
    vault.put_data_key(data_key(2), &BEN.to_string(), b"old", at(4)).await.unwrap();
    vault.put_data_key(data_key(3), &ADA.to_string(), b"young", at(5)).await.unwrap();
    vault.put_verifier(verifier(4), BEN, "old", at(4)).await.unwrap();
    vault.put_verifier(verifier(5), ADA, "young", at(5)).await.unwrap();
    let aged = vault.aged(at(0), at(5)).await.unwrap();
    assert_eq!(aged, Aged { data_keys: vec![(data_key(2), BEN)], verifiers: vec![(verifier(4), BEN)] });
}

#[tokio::test]
async fn orphans_are_removed_and_nothing_else() {
    let Given { vault, .. } = &given_a_vault().await;
    for (n, user) in [(1, BEN), (2, ADA)] {
        vault.put_data_key(data_key(n), &user.to_string(), b"wrapped", at(0)).await.unwrap();
        vault.put_verifier(verifier(n), user, "verifier", at(0)).await.unwrap();
    }
    // The second of each is not Ben's: a list that is wrong about it removes nothing.
    let orphans = Aged {
        data_keys: vec![(data_key(1), BEN), (data_key(2), BEN)],
        verifiers: vec![(verifier(1), BEN), (verifier(2), BEN)],
    };
    vault.remove(&orphans).await.unwrap();
    let left = Aged { data_keys: vec![(data_key(2), ADA)], verifiers: vec![(verifier(2), ADA)] };
    assert_eq!(vault.aged(at(0), at(1)).await.unwrap(), left);
}

#[tokio::test]
async fn sweeping_removes_what_is_over_in_every_batch_and_says_how_much() {
    let Given { vault, .. } = &given_a_vault().await;
    for n in 0..501_u32 {
        vault.put_outcome(&command(&n.to_string()), b"sealed", at(5)).await.unwrap();
    }
    for (digest, until) in [(1, at(5)), (2, at(6))] {
        vault.put_outcome(&command(&format!("until {until}")), b"sealed", until).await.unwrap();
        vault.put_session(&session(digest, BEN, until)).await.unwrap();
        vault.put_link([digest; 32], Link::Reset(BEN, VERIFIER), until).await.unwrap();
    }
    assert_eq!(vault.sweep(at(5)).await.unwrap(), 504);
    assert_eq!(vault.sweep(at(5)).await.unwrap(), 0);
    assert_eq!(vault.outcome(&command("500")).await.unwrap(), None);
    assert_eq!(vault.session([1; 32]).await.unwrap(), None);
    assert!(vault.outcome(&command(&format!("until {}", at(6)))).await.unwrap().is_some());
    assert!(vault.session([2; 32]).await.unwrap().is_some());
    assert!(vault.link([2; 32], at(5)).await.unwrap().is_some());
}

/// What the log would say belongs to Ben.
fn of_ben(n: u128) -> Belongings {
    Belongings { user: BEN, data_key: data_key(n), held: vec![secret(n)], outcomes: vec![command(&n.to_string())] }
}

#[tokio::test]
async fn what_belongs_to_an_erased_member_goes_and_nothing_else() {
    let Given { vault, .. } = &given_a_vault().await;
    for (n, user) in [(1, BEN), (2, ADA)] {
        let digest = u8::try_from(n).unwrap();
        vault.put_data_key(data_key(n), &user.to_string(), b"wrapped", at(0)).await.unwrap();
        vault.put_verifier(verifier(n), user, "verifier", at(0)).await.unwrap();
        vault.hold(secret(n), b"sealed", at(0)).await.unwrap();
        vault.put_outcome(&command(&n.to_string()), b"sealed", at(9)).await.unwrap();
        vault.put_session(&session(digest, user, at(9))).await.unwrap();
        vault.put_link([digest; 32], Link::Reset(user, VERIFIER), at(9)).await.unwrap();
    }
    vault.put_data_key(data_key(3), "site", b"wrapped", at(0)).await.unwrap();
    vault.put_link([3; 32], Link::SetUp, at(9)).await.unwrap();
    vault.destroy_member(&of_ben(1)).await.unwrap();
    assert_eq!(vault.data_keys_among(&[data_key(1), data_key(2), data_key(4)]).await.unwrap(), [data_key(2)]);
    let there = |n: u128| async move {
        let digest = u8::try_from(n).unwrap();
        [
            vault.data_key(data_key(n)).await.unwrap().is_some(),
            vault.verifier(verifier(n)).await.unwrap().is_some(),
            vault.held(secret(n)).await.unwrap().is_some(),
            vault.outcome(&command(&n.to_string())).await.unwrap().is_some(),
            vault.session([digest; 32]).await.unwrap().is_some(),
            vault.link([digest; 32], at(0)).await.unwrap().is_some(),
        ]
    };
    assert_eq!(there(1).await, [false; 6]);
    assert_eq!(there(2).await, [true; 6]);
    assert!(vault.site_key().await.unwrap().is_some());
    assert!(vault.link([3; 32], at(0)).await.unwrap().is_some());
    let left = Aged { data_keys: vec![(data_key(2), ADA)], verifiers: vec![(verifier(2), ADA)] };
    assert_eq!(vault.aged(at(0), at(1)).await.unwrap(), left, "a destroyed key is no orphan");
    vault.destroy_member(&of_ben(1)).await.unwrap();
}

#[tokio::test]
async fn a_key_is_not_destroyed_for_somebody_elses_sake() {
    let Given { vault, .. } = &given_a_vault().await;
    vault.put_data_key(data_key(1), &ADA.to_string(), b"wrapped", at(0)).await.unwrap();
    vault.destroy_member(&of_ben(1)).await.unwrap();
    assert!(vault.data_key(data_key(1)).await.unwrap().is_some());
}

/// Keys come in an order that has nothing to do with that of their ids, and go in yet another, orphans in between.
#[tokio::test]
async fn a_destroyed_data_key_leaves_no_byte_in_any_file() {
    let Given { dir, vault } = given_a_vault().await;
    let ids: Vec<u128> = (1..=300).map(|n| n * 7_919 % 10_007).collect();
    for id in &ids {
        vault.put_data_key(data_key(*id), &BEN.to_string(), &sealed(*id)[..72], at(0)).await.unwrap();
    }
    assert!(leaves_a_trace(dir.path(), &sealed(ids[0])), "the search finds what is there");
    for (n, id) in ids.iter().map(|id| id * 31 % 10_007).enumerate() {
        let id = ids[usize::try_from(id % 300).unwrap()];
        if n % 3 == 0 {
            vault.remove(&Aged { data_keys: vec![(data_key(id), BEN)], verifiers: vec![] }).await.unwrap();
        } else {
            vault.destroy_member(&of_ben(id)).await.unwrap();
        }
        assert_eq!(vault.data_key(data_key(id)).await.unwrap(), None);
        assert!(!leaves_a_trace(dir.path(), &sealed(id)), "key {n} left bytes");
    }
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let Given { dir, vault } = given_a_vault().await;
    vault.put_data_key(data_key(1), "site", b"wrapped", at(0)).await.unwrap();
    vault.put_verifier(verifier(1), BEN, "verifier", at(0)).await.unwrap();
    vault.hold(secret(1), b"sealed", at(0)).await.unwrap();
    vault.put_outcome(&command("1"), b"outcome", at(9)).await.unwrap();
    vault.put_session(&session(1, BEN, at(9))).await.unwrap();
    vault.put_link([1; 32], Link::SetUp, at(9)).await.unwrap();
    drop(vault);
    let vault = opened(dir.path()).await;
    vault.ping().await.unwrap();
    assert_eq!(vault.site_key().await.unwrap(), Some((data_key(1), b"wrapped".to_vec())));
    assert_eq!(vault.verifier(verifier(1)).await.unwrap().unwrap(), "verifier");
    assert_eq!(vault.held_ids().await.unwrap(), [(secret(1), at(0))]);
    assert_eq!(vault.held(secret(1)).await.unwrap().unwrap(), b"sealed");
    assert_eq!(vault.outcome(&command("1")).await.unwrap().unwrap(), b"outcome");
    assert_eq!(vault.session([1; 32]).await.unwrap(), Some(session(1, BEN, at(9))));
    assert_eq!(vault.link([1; 32], at(0)).await.unwrap(), Some(Link::SetUp));
}

#[tokio::test]
async fn every_commit_is_synced_and_deleted_bytes_are_overwritten() {
    let dir = TempDir::new().unwrap();
    let vault = SqliteVault::open(dir.path()).await.unwrap();
    assert_eq!(vault.pragmas().await.unwrap(), (2, "wal".to_owned(), 1));
}

#[tokio::test]
async fn the_files_are_their_owners_alone_also_when_they_were_not() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("vault.db"), "").unwrap();
    fs::set_permissions(dir.path().join("vault.db"), fs::Permissions::from_mode(0o644)).unwrap();
    let vault = opened(dir.path()).await;
    vault.hold(secret(1), b"sealed", at(0)).await.unwrap();
    for name in ["vault.db", "vault.db-wal", "vault.db-shm"] {
        assert_eq!(fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_corrupt() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("vault.db"), "no database, but longer than a header ".repeat(50)).unwrap();
    let opened = SqliteVault::open(dir.path()).await;
    assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{opened:?}");
}

/// Rows are put in an order that splits pages in their middle, and destroyed in another that merges them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destroyed_secret_leaves_no_byte_in_any_file_while_others_read() {
    let Given { dir, vault } = given_a_vault().await;
    let ids: Vec<u128> = (1..=120).map(|n| n * 7_919 % 10_007).collect();
    for id in &ids {
        vault.hold(secret(*id), &sealed(*id), at(0)).await.unwrap();
    }
    assert!(leaves_a_trace(dir.path(), &sealed(ids[0])), "the search finds what is there");
    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let (vault, stop, reads, ids) = (vault.clone(), stop.clone(), reads.clone(), ids.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    for id in &ids {
                        vault.held(secret(*id)).await.unwrap();
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                    vault.held_ids().await.unwrap();
                }
            })
        })
        .collect();
    for (n, id) in ids.iter().rev().enumerate() {
        vault.destroy_held(secret(*id)).await.unwrap();
        assert!(!leaves_a_trace(dir.path(), &sealed(*id)), "secret {n} left bytes");
        vault.hold(secret(*id + 20_000), &sealed(*id + 20_000), at(0)).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(reads.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_reader_that_holds_on_makes_a_destruction_fail_and_the_next_sweep_finishes_it() {
    let Given { dir, vault } = given_a_vault().await;
    vault.hold(secret(1), &sealed(1), at(0)).await.unwrap();
    let mut reader = SqliteConnectOptions::new().filename(dir.path().join("vault.db")).connect().await.unwrap();
    let mut tx = reader.begin().await.unwrap();
    sqlx::query("select id from held_secrets").fetch_all(&mut *tx).await.unwrap();
    let destroyed = vault.destroy_held(secret(1)).await;
    assert!(matches!(destroyed, Err(StoreError::Unavailable(_))), "{destroyed:?}");
    assert_eq!(vault.held(secret(1)).await.unwrap(), None);
    assert!(leaves_a_trace(dir.path(), &sealed(1)), "the reader holds on to it");
    vault.sweep(at(0)).await.unwrap();
    assert!(leaves_a_trace(dir.path(), &sealed(1)), "the reader still holds on to it");
    tx.rollback().await.unwrap();
    vault.sweep(at(0)).await.unwrap();
    assert!(!leaves_a_trace(dir.path(), &sealed(1)));
}

#[tokio::test]
async fn opening_removes_what_a_crash_in_a_destruction_left() {
    let dir = TempDir::new().unwrap();
    let vault = opened(dir.path()).await;
    vault.hold(secret(1), &sealed(1), at(0)).await.unwrap();
    let crashed = TempDir::new().unwrap();
    // The row goes through a connection that leaves the write-ahead log alone, as if the process ended there.
    let mut other = SqliteConnectOptions::new().filename(dir.path().join("vault.db")).pragma("secure_delete", "on");
    other = other.pragma("wal_autocheckpoint", "0");
    let mut other = other.connect().await.unwrap();
    sqlx::query("delete from held_secrets").execute(&mut other).await.unwrap();
    for name in ["vault.db", "vault.db-wal"] {
        fs::copy(dir.path().join(name), crashed.path().join(name)).unwrap();
    }
    assert!(leaves_a_trace(crashed.path(), &sealed(1)));
    let vault = opened(crashed.path()).await;
    assert_eq!(vault.held(secret(1)).await.unwrap(), None);
    assert!(!leaves_a_trace(crashed.path(), &sealed(1)));
}
