//! Accounts, authorizations and tokens: given what happened, these rows change so.

use countersign_events::{
    authorization::{AuthorizationEvent as Z, Ended, Via},
    ids::UsernameDigest,
    token::TokenKind,
};

use super::*;
use crate::{accounts::ACCOUNTS, authorizations::AUTHORIZATIONS, tokens::TOKENS};

fn account(event: AccountEvent) -> Vec<Change> {
    (accounts::PROJECTION.project)(&recorded(4, event))
}

#[test]
fn who_joins_is_an_active_member_without_roles() {
    let event = AccountEvent::UserRegistered {
        user_id: user(1),
        username: "Ada".into(),
        username_digest: UsernameDigest::new([0xab; 16]),
        verifier: user(2).to_string().parse().unwrap(),
        data_key: user(3).to_string().parse().unwrap(),
        at: at(0),
    };
    let row = [
        ("username", "Ada".into()),
        ("username_digest", format!("1-{}", "ab".repeat(16)).into()),
        ("standing", "active".into()),
        ("reviewer", false.into()),
        ("auditor", false.into()),
        ("operator", false.into()),
        ("admin", false.into()),
        ("verifier", change::id(user(2))),
        ("data_key", change::id(user(3))),
        ("registered_at", recorded_at(4)),
    ];
    assert_eq!(account(event), [upsert(&ACCOUNTS, &[change::id(user(1))], &row)]);
}

#[test]
fn a_role_is_a_column_of_its_own() {
    let (user_id, key) = (user(1), [change::id(user(1))]);
    for (role, column) in Role::ALL.into_iter().zip(["reviewer", "auditor", "operator", "admin"]) {
        let granted = account(AccountEvent::RoleGranted { user_id, role, at: at(0) });
        let withdrawn = account(AccountEvent::RoleWithdrawn { user_id, role, at: at(0) });
        assert_eq!(granted, [patch(&ACCOUNTS, &key, &[(column, true.into())])]);
        assert_eq!(withdrawn, [patch(&ACCOUNTS, &key, &[(column, false.into())])]);
    }
}

#[test]
fn a_member_rests_and_lives_again() {
    let (user_id, at, key) = (user(1), at(0), [change::id(user(1))]);
    let suspended = account(AccountEvent::UserSuspended { user_id, at });
    let reinstated = account(AccountEvent::UserReinstated { user_id, at });
    assert_eq!(suspended, [patch(&ACCOUNTS, &key, &[("standing", "suspended".into())])]);
    assert_eq!(reinstated, [patch(&ACCOUNTS, &key, &[("standing", "active".into())])]);
}

#[test]
fn a_changed_password_names_the_verifier_in_force() {
    let verifier = user(9).to_string().parse().unwrap();
    let changed = account(AccountEvent::PasswordChanged { user_id: user(1), verifier, at: at(0) });
    assert_eq!(changed, [patch(&ACCOUNTS, &[change::id(user(1))], &[("verifier", change::id(user(9)))])]);
}

#[test]
fn of_an_erased_member_neither_name_nor_role_is_left() {
    let row = [
        ("standing", "erased".into()),
        ("reviewer", false.into()),
        ("auditor", false.into()),
        ("operator", false.into()),
        ("admin", false.into()),
        ("username", V::Null),
        ("username_digest", V::Null),
    ];
    let erased = account(AccountEvent::UserErased { user_id: user(1), at: at(0) });
    assert_eq!(erased, [patch(&ACCOUNTS, &[change::id(user(1))], &row)]);
}

#[test]
fn an_authorization_shows_its_grant_and_one_given_anew_is_not_rescinded() {
    for (via, word) in [(Via::Consent, "consent"), (Via::Approval, "approval"), (Via::Operator, "operator")] {
        let event = Z::UserAuthorized {
            application_id: application(7),
            user_id: user(1),
            grant: 2,
            application_revision: 3,
            scopes: scopes("read vote"),
            via,
            at: at(5),
        };
        let row = [
            ("granted", 2_u32.into()),
            ("scopes", "read vote".into()),
            ("via", word.into()),
            ("application_revision", 3_u32.into()),
            ("authorized_at", at(5).into()),
            ("rescinded_at", V::Null),
        ];
        let key = [change::id(application(7)), change::id(user(1))];
        assert_eq!((authorizations::PROJECTION.project)(&recorded(4, event)), [upsert(&AUTHORIZATIONS, &key, &row)]);
    }
}

#[test]
fn rescinding_touches_one_row_and_no_token() {
    let event = Z::AuthorizationRescinded { application_id: application(7), user_id: user(1), at: at(5) };
    let key = [change::id(application(7)), change::id(user(1))];
    let row = [("rescinded_at", at(5).into())];
    assert_eq!(project_inline(&recorded(4, event)), [patch(&AUTHORIZATIONS, &key, &row)]);
}

#[test]
fn a_token_is_a_row_under_its_digest_until_it_ends() {
    let (application_id, user_id, token_id) = (application(7), user(1), token_id(4));
    let (digest, key) = (TokenDigest::from_bytes([0xcd; 32]), [V::Bytes(vec![0xcd; 32])]);
    let issued = Z::TokenIssued {
        application_id,
        user_id,
        grant: 2,
        token_id,
        kind: TokenKind::Access,
        digest,
        scopes: scopes("read"),
        expires_at: None,
        held: None,
        at: at(5),
    };
    let row = [
        ("token_id", change::id(token_id)),
        ("application_id", change::id(application_id)),
        ("user_id", change::id(user_id)),
        ("granted", 2_u32.into()),
        ("kind", "access".into()),
        ("scopes", "read".into()),
        ("issued_at", at(5).into()),
        ("expires_at", V::Null),
        ("ended_at", V::Null),
        ("ended_why", V::Null),
        ("held", V::Null),
    ];
    assert_eq!((tokens::PROJECTION.project)(&recorded(4, issued)), [upsert(&TOKENS, &key, &row)]);
    let revoked = Z::TokenRevoked { application_id, user_id, token_id, digest, why: Ended::Displaced, at: at(6) };
    let row = [("ended_at", at(6).into()), ("ended_why", "displaced".into())];
    assert_eq!((tokens::PROJECTION.project)(&recorded(5, revoked)), [patch(&TOKENS, &key, &row)]);
}
