//! What the vault's files on `SQLite` must and must not hold. What every vault keeps to is in `vault_contract`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use countersign::store::{Aged, StoreError, Vault, sqlite::vault::SqliteVault};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::vault_contract::{BEN, at, data_key, of_ben, secret};

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
