//! Accounts, applications, authorizations and tokens: given what happened, these rows change so.

use countersign_events::{
    application::{ApplicationEvent as P, Asked},
    authorization::{AuthorizationEvent as Z, Ended, Via},
    ids::UsernameDigest,
    redirect_uri::{Purpose, RedirectUri},
    token::{ClientId, TokenKind},
};

use super::*;
use crate::{accounts::ACCOUNTS, applications::APPLICATIONS, authorizations::AUTHORIZATIONS, tokens::TOKENS};

fn account(event: AccountEvent) -> Vec<Change> {
    (accounts::PROJECTION.project)(&recorded(4, event))
}

fn review(event: P) -> Vec<Change> {
    (applications::PROJECTION.project)(&recorded(4, event))
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

fn asked() -> Asked {
    let uris = ["https://reader.example/back", "http://127.0.0.1/back"];
    Asked {
        purpose: Purpose::Web,
        name: "Reader".to_owned(),
        description: "Reads aloud".to_owned(),
        website: None,
        redirect_uris: uris.map(|uri| RedirectUri::parse(uri, Purpose::Web).unwrap()).into(),
        scopes: scopes("read identity"),
    }
}

fn asked_columns() -> Set {
    vec![
        ("purpose", "web".into()),
        ("name", "Reader".into()),
        ("description", "Reads aloud".into()),
        ("website", V::Null),
        ("redirect_uris", "https://reader.example/back\nhttp://127.0.0.1/back".into()),
        ("scopes", "read identity".into()),
    ]
}

const APP: fn() -> [V; 1] = || [change::id(application(7))];

#[test]
fn what_is_asked_for_is_under_review_at_revision_one_without_a_client_id() {
    let event = P::ApplicationRequested { application_id: application(7), owner: user(1), asked: asked(), at: at(5) };
    let mut row: Set = vec![("owner_id", change::id(user(1))), ("standing", "under_review".into())];
    row.extend(asked_columns());
    row.extend([
        ("revision", 1_u32.into()),
        ("client_id", V::Null),
        ("proposed", V::Null),
        ("requested_at", at(5).into()),
        ("decided_at", V::Null),
        ("decided_by", V::Null),
        ("reason_code", V::Null),
        ("reason_position", V::Null),
    ]);
    assert_eq!(review(event), [upsert(&APPLICATIONS, &APP(), &row)]);
}

#[test]
fn an_edit_shows_what_is_asked_now_and_its_revision() {
    let event = P::ApplicationEdited { application_id: application(7), asked: asked(), revision: 2, at: at(5) };
    let mut row = asked_columns();
    row.push(("revision", 2_u32.into()));
    assert_eq!(review(event), [patch(&APPLICATIONS, &APP(), &row)]);
}

#[test]
fn a_resubmission_shows_what_is_asked_now_and_is_under_review() {
    let event = P::ApplicationResubmitted { application_id: application(7), asked: asked(), revision: 2, at: at(5) };
    let mut row = asked_columns();
    row.extend([("revision", 2_u32.into()), ("standing", "under_review".into())]);
    assert_eq!(review(event), [patch(&APPLICATIONS, &APP(), &row)]);
}

fn decided(standing: &str) -> Set {
    vec![
        ("standing", standing.into()),
        ("decided_at", at(5).into()),
        ("decided_by", change::id(user(2))),
        ("reason_code", "policy-1".into()),
        ("reason_position", 4_u32.into()),
    ]
}

#[test]
fn every_decision_shows_who_decided_what_and_when_and_where_the_reason_lies() {
    let (application_id, decision) = (application(7), decision(user(2), 5));
    let decisions = [
        (P::ChangesRequested { application_id, decision: decision.clone() }, "changes_requested"),
        (P::ApplicationDenied { application_id, decision: decision.clone() }, "denied"),
        (P::ApplicationSuspended { application_id, decision: decision.clone() }, "suspended"),
        (P::ApplicationReinstated { application_id, decision: decision.clone() }, "approved"),
        (P::ApplicationRevoked { application_id, decision }, "revoked"),
    ];
    for (event, standing) in decisions {
        assert_eq!(review(event), [patch(&APPLICATIONS, &APP(), &decided(standing))]);
    }
}

#[test]
fn an_approval_shows_the_client_id_too() {
    let client_id = ClientId::from_random(&[1; 16]);
    let event = P::ApplicationApproved {
        application_id: application(7),
        client_id: client_id.clone(),
        decision: decision(user(2), 5),
    };
    let mut row = decided("approved");
    row.push(("client_id", change::id(client_id)));
    assert_eq!(review(event), [patch(&APPLICATIONS, &APP(), &row)]);
}

#[test]
fn the_owner_s_own_acts_show_a_standing_and_leave_the_last_decision() {
    let (application_id, at) = (application(7), at(5));
    let appealed = P::ApplicationAppealed { application_id, owner: user(1), text: "Why?".into(), at };
    let withdrawn = P::ApplicationWithdrawn { application_id, at };
    assert_eq!(review(appealed), [patch(&APPLICATIONS, &APP(), &[("standing", "under_review".into())])]);
    assert_eq!(review(withdrawn), [patch(&APPLICATIONS, &APP(), &[("standing", "withdrawn".into())])]);
}

#[test]
fn a_proposed_change_is_shown_beside_what_holds_until_it_is_decided() {
    let (application_id, at) = (application(7), at(5));
    let proposed = review(P::ChangeProposed { application_id, asked: asked(), revision: 2, at });
    let json = serde_json::to_string(&asked()).unwrap();
    let row = [("proposed", json.into()), ("revision", 2_u32.into())];
    assert_eq!(proposed, [patch(&APPLICATIONS, &APP(), &row)]);
    let denied = P::ChangeDenied { application_id, decision: decision(user(2), 5) };
    for event in [denied, P::ChangeWithdrawn { application_id, revision: 2, at }] {
        assert_eq!(review(event), [patch(&APPLICATIONS, &APP(), &[("proposed", V::Null)])]);
    }
}

#[test]
fn a_rotated_client_id_takes_the_old_one_s_place() {
    let [client_id, previous] = [2, 1].map(|number| ClientId::from_random(&[number; 16]));
    let row = [("client_id", change::id(client_id.clone()))];
    let event = P::ClientIdRotated { application_id: application(7), client_id, previous, at: at(5) };
    assert_eq!(review(event), [patch(&APPLICATIONS, &APP(), &row)]);
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
