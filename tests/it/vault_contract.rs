//! What every vault keeps to, said to `Arc<dyn Vault>`, whichever database is below. What `SQLite`'s files must and must
//! not hold is in `sqlite_vault`; what the rows mean is tested with the use cases.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use countersign::store::{Aged, Belongings, CommandKey, Link, StoreError, Vault, rows::Session};
use countersign_events::{
    ids::{DataKeyId, SecretId, UserId, VerifierId},
    recorded::Timestamp,
};
use uuid::Uuid;

use crate::databases::{Database, Place, on_both_databases};

on_both_databases! {
    a_data_key_is_found_by_its_id_and_only_by_it,
    the_site_has_one_data_key_and_a_second_is_a_conflict,
    a_row_that_exists_is_never_overwritten,
    destroying_what_a_verifier_replaced_keeps_what_came_later_and_what_is_of_others,
    every_held_secret_is_listed_with_its_time,
    a_destroyed_secret_is_gone_and_destroying_it_again_succeeds,
    an_outcome_is_of_its_scope_and_dropped_alone,
    a_session_comes_back_as_it_was_put_until_it_is_ended,
    ending_a_members_sessions_keeps_the_one_named_and_those_of_others,
    a_link_comes_back_with_its_end_until_it_is_used,
    a_set_up_link_takes_the_place_of_the_one_before_and_of_no_reset_link,
    aged_rows_are_those_of_members_put_there_before,
    orphans_are_removed_and_nothing_else,
    sweeping_removes_what_is_over_in_every_batch_and_says_how_much,
    what_belongs_to_an_erased_member_goes_and_nothing_else,
    a_key_is_not_destroyed_for_somebody_elses_sake,
    everything_is_there_after_opening_again,
}

const VERIFIER: VerifierId = VerifierId(uuid::Uuid::from_u128(9));
pub const BEN: UserId = UserId(Uuid::from_u128(0xbe));
const ADA: UserId = UserId(Uuid::from_u128(0xad));

async fn given_a_vault(database: Database) -> (Place, Arc<dyn Vault>) {
    let place = database.place().await;
    let vault = place.vault().await.unwrap();
    (place, vault)
}

/// The instant so many seconds after an arbitrary one.
pub fn at(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap() + TimeDelta::seconds(seconds)
}

pub fn secret(n: u128) -> SecretId {
    SecretId(Uuid::from_u128(n))
}

fn verifier(n: u128) -> VerifierId {
    VerifierId(Uuid::from_u128(n))
}

pub fn data_key(n: u128) -> DataKeyId {
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

async fn a_data_key_is_found_by_its_id_and_only_by_it(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
    vault.put_data_key(data_key(1), &BEN.to_string(), b"wrapped", at(0)).await.unwrap();
    assert_eq!(vault.data_key(data_key(1)).await.unwrap().as_deref(), Some(b"wrapped".as_slice()));
    assert_eq!(vault.data_key(data_key(2)).await.unwrap(), None);
    assert_eq!(vault.site_key().await.unwrap(), None);
}

async fn the_site_has_one_data_key_and_a_second_is_a_conflict(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
    vault.put_data_key(data_key(1), "site", b"first", at(0)).await.unwrap();
    conflicts(&vault.put_data_key(data_key(2), "site", b"second", at(0)).await);
    assert_eq!(vault.site_key().await.unwrap(), Some((data_key(1), b"first".to_vec())));
    assert_eq!(vault.data_key(data_key(2)).await.unwrap(), None);
}

async fn a_row_that_exists_is_never_overwritten(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
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
    assert_eq!(vault.link([1; 32]).await.unwrap().map(|(link, _)| link), Some(Link::Reset(BEN, VERIFIER)));
}

async fn destroying_what_a_verifier_replaced_keeps_what_came_later_and_what_is_of_others(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
    for (n, user) in [(1, BEN), (2, BEN), (3, BEN), (4, ADA)] {
        vault.put_verifier(verifier(n), user, &format!("$argon2id${n}"), at(0)).await.unwrap();
        let digest = [u8::try_from(n).unwrap(); 32];
        let begun = Session { verifier: verifier(n), ..session(digest[0], user, at(9)) };
        vault.put_session(&begun).await.unwrap();
        vault.put_link(digest, Link::Reset(user, verifier(n)), at(9)).await.unwrap();
    }
    vault.destroy_replaced(BEN, verifier(2)).await.unwrap();
    vault.destroy_replaced(BEN, verifier(4)).await.unwrap();
    for (n, is_there) in [(1, true), (2, false), (3, true), (4, true)] {
        let digest = [u8::try_from(n).unwrap(); 32];
        assert_eq!(vault.verifier(verifier(n)).await.unwrap().is_some(), is_there, "{n}");
        assert_eq!(vault.session(digest).await.unwrap().is_some(), is_there, "{n}");
        assert_eq!(vault.link(digest).await.unwrap().is_some(), is_there, "{n}");
    }
}

async fn every_held_secret_is_listed_with_its_time(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
    let many: Vec<_> = (1..=1_001_u32).map(|n| (secret(n.into()), at(n.into()))).collect();
    for (id, time) in &many {
        vault.hold(*id, b"sealed", *time).await.unwrap();
    }
    assert_eq!(vault.held_ids().await.unwrap(), many);
}

async fn a_destroyed_secret_is_gone_and_destroying_it_again_succeeds(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
    vault.hold(secret(1), b"sealed", at(0)).await.unwrap();
    vault.hold(secret(2), b"another", at(0)).await.unwrap();
    for _ in 0..2 {
        vault.destroy_held(secret(1)).await.unwrap();
    }
    assert_eq!(vault.held(secret(1)).await.unwrap(), None);
    assert_eq!(vault.held(secret(2)).await.unwrap().as_deref(), Some(b"another".as_slice()));
}

async fn an_outcome_is_of_its_scope_and_dropped_alone(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
    let elsewhere = CommandKey { scope: "ada /authorize".to_owned(), id: "1".to_owned() };
    vault.put_outcome(&command("1"), b"ben's", at(9)).await.unwrap();
    vault.put_outcome(&elsewhere, b"ada's", at(9)).await.unwrap();
    vault.drop_outcome(&command("1")).await.unwrap();
    assert_eq!(vault.outcome(&command("1")).await.unwrap(), None);
    assert_eq!(vault.outcome(&elsewhere).await.unwrap().as_deref(), Some(b"ada's".as_slice()));
    vault.put_outcome(&command("1"), b"again", at(9)).await.unwrap();
}

async fn a_session_comes_back_as_it_was_put_until_it_is_ended(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
    let begun = session(1, BEN, at(9));
    vault.put_session(&begun).await.unwrap();
    assert_eq!(vault.session([1; 32]).await.unwrap(), Some(begun));
    vault.end_session([1; 32]).await.unwrap();
    assert_eq!(vault.session([1; 32]).await.unwrap(), None);
}

async fn ending_a_members_sessions_keeps_the_one_named_and_those_of_others(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
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

async fn a_link_comes_back_with_its_end_until_it_is_used(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
    vault.put_link([1; 32], Link::Reset(BEN, VERIFIER), at(9)).await.unwrap();
    assert_eq!(vault.link([1; 32]).await.unwrap(), Some((Link::Reset(BEN, VERIFIER), at(9))));
    vault.end_link([1; 32]).await.unwrap();
    assert_eq!(vault.link([1; 32]).await.unwrap(), None);
}

async fn a_set_up_link_takes_the_place_of_the_one_before_and_of_no_reset_link(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
    vault.put_link([1; 32], Link::Reset(BEN, VERIFIER), at(9)).await.unwrap();
    vault.put_link([2; 32], Link::SetUp, at(9)).await.unwrap();
    vault.put_link([3; 32], Link::SetUp, at(9)).await.unwrap();
    assert_eq!(vault.link([2; 32]).await.unwrap().map(|(link, _)| link), None);
    assert_eq!(vault.link([3; 32]).await.unwrap().map(|(link, _)| link), Some(Link::SetUp));
    conflicts(&vault.put_link([1; 32], Link::SetUp, at(9)).await);
    assert_eq!(vault.link([3; 32]).await.unwrap().map(|(link, _)| link), Some(Link::SetUp));
    assert_eq!(vault.link([1; 32]).await.unwrap().map(|(link, _)| link), Some(Link::Reset(BEN, VERIFIER)));
}

async fn aged_rows_are_those_of_members_put_there_before(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
    vault.put_data_key(data_key(1), "site", b"site", at(0)).await.unwrap();
    vault.put_data_key(data_key(2), &BEN.to_string(), b"old", at(4)).await.unwrap();
    vault.put_data_key(data_key(3), &ADA.to_string(), b"young", at(5)).await.unwrap();
    vault.put_verifier(verifier(4), BEN, "old", at(4)).await.unwrap();
    vault.put_verifier(verifier(5), ADA, "young", at(5)).await.unwrap();
    let aged = vault.aged(at(0), at(5)).await.unwrap();
    assert_eq!(aged, Aged { data_keys: vec![(data_key(2), BEN)], verifiers: vec![(verifier(4), BEN)] });
}

async fn orphans_are_removed_and_nothing_else(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
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

async fn sweeping_removes_what_is_over_in_every_batch_and_says_how_much(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
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
    assert!(vault.link([2; 32]).await.unwrap().map(|(link, _)| link).is_some());
}

/// What the log would say belongs to Ben.
pub fn of_ben(n: u128) -> Belongings {
    Belongings { user: BEN, data_key: data_key(n), held: vec![secret(n)], outcomes: vec![command(&n.to_string())] }
}

async fn what_belongs_to_an_erased_member_goes_and_nothing_else(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
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
            vault.link([digest; 32]).await.unwrap().map(|(link, _)| link).is_some(),
        ]
    };
    assert_eq!(there(1).await, [false; 6]);
    assert_eq!(there(2).await, [true; 6]);
    assert!(vault.site_key().await.unwrap().is_some());
    assert!(vault.link([3; 32]).await.unwrap().map(|(link, _)| link).is_some());
    let left = Aged { data_keys: vec![(data_key(2), ADA)], verifiers: vec![(verifier(2), ADA)] };
    assert_eq!(vault.aged(at(0), at(1)).await.unwrap(), left, "a destroyed key is no orphan");
    vault.destroy_member(&of_ben(1)).await.unwrap();
}

async fn a_key_is_not_destroyed_for_somebody_elses_sake(database: Database) {
    let (_place, vault) = &given_a_vault(database).await;
    vault.put_data_key(data_key(1), &ADA.to_string(), b"wrapped", at(0)).await.unwrap();
    vault.destroy_member(&of_ben(1)).await.unwrap();
    assert!(vault.data_key(data_key(1)).await.unwrap().is_some());
}

async fn everything_is_there_after_opening_again(database: Database) {
    let (place, vault) = given_a_vault(database).await;
    vault.put_data_key(data_key(1), "site", b"wrapped", at(0)).await.unwrap();
    vault.put_verifier(verifier(1), BEN, "verifier", at(0)).await.unwrap();
    vault.hold(secret(1), b"sealed", at(0)).await.unwrap();
    vault.put_outcome(&command("1"), b"outcome", at(9)).await.unwrap();
    vault.put_session(&session(1, BEN, at(9))).await.unwrap();
    vault.put_link([1; 32], Link::SetUp, at(9)).await.unwrap();
    drop(vault);
    let vault = place.vault().await.unwrap();
    vault.ping().await.unwrap();
    assert_eq!(vault.site_key().await.unwrap(), Some((data_key(1), b"wrapped".to_vec())));
    assert_eq!(vault.verifier(verifier(1)).await.unwrap().unwrap(), "verifier");
    assert_eq!(vault.held_ids().await.unwrap(), [(secret(1), at(0))]);
    assert_eq!(vault.held(secret(1)).await.unwrap().unwrap(), b"sealed");
    assert_eq!(vault.outcome(&command("1")).await.unwrap().unwrap(), b"outcome");
    assert_eq!(vault.session([1; 32]).await.unwrap(), Some(session(1, BEN, at(9))));
    assert_eq!(vault.link([1; 32]).await.unwrap().map(|(link, _)| link), Some(Link::SetUp));
}
