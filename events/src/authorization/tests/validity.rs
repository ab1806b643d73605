//! `token_valid` against the same question asked in other words, over every combination of what it looks at.

use super::*;
use crate::{
    account::{AccountStanding, Role, Roles},
    scope::Scope,
};

/// What ended for good, in the words of design section 3 and 4, comes before what merely rests.
fn oracle(
    token: &TokenFacts,
    authorization: AuthorizationFacts,
    application: Standing,
    user: &UserFacts,
    now: Timestamp,
) -> Result<(), TokenRefusal> {
    let holds = |role| user.roles.iter().any(|held| held == role || held == Role::Admin);
    let mut over = vec![];
    over.push(token.ended);
    over.push(authorization.rescinded);
    over.push(token.grant != authorization.grant);
    over.push(token.scopes.iter().any(|scope| scope == Scope::Review) && !holds(Role::Reviewer));
    over.push(token.scopes.iter().any(|scope| scope == Scope::Audit) && !holds(Role::Auditor));
    over.push(user.standing == AccountStanding::Erased);
    over.push(!["approved", "suspended"].contains(&application.as_str()));
    if over.contains(&true) {
        Err(TokenRefusal::Revoked)
    } else if token.expires_at.is_some_and(|end| now >= end) {
        Err(TokenRefusal::Expired)
    } else if user.standing == AccountStanding::Suspended {
        Err(TokenRefusal::UserSuspended)
    } else if application.as_str() == "suspended" {
        Err(TokenRefusal::ApplicationSuspended)
    } else {
        Ok(())
    }
}

fn tokens() -> impl Iterator<Item = TokenFacts> + Clone {
    let expiries = [None, Some(at(99)), Some(at(100)), Some(at(101))];
    let may = ["", "read", "review", "audit", "read review audit"].map(scopes);
    may.into_iter().flat_map(move |scopes| {
        expiries.into_iter().flat_map(move |expires_at| {
            [false, true].into_iter().flat_map(move |ended| {
                [1, 2, 3].into_iter().map(move |grant| TokenFacts { grant, scopes, expires_at, ended })
            })
        })
    })
}

fn users() -> Vec<UserFacts> {
    let roles = [
        vec![],
        vec![Role::Reviewer],
        vec![Role::Auditor],
        vec![Role::Operator],
        vec![Role::Reviewer, Role::Auditor],
        vec![Role::Admin],
    ];
    let standings = [AccountStanding::Active, AccountStanding::Suspended, AccountStanding::Erased];
    let users = standings.into_iter().flat_map(|standing| {
        roles.clone().into_iter().map(move |roles| UserFacts { standing, roles: roles.into_iter().collect() })
    });
    users.collect()
}

#[test]
fn a_token_is_valid_in_exactly_the_cases_that_the_design_names() {
    let (mut cases, mut valid) = (0, 0);
    for user in users() {
        for application in Standing::ALL {
            for rescinded in [false, true] {
                let authorization = AuthorizationFacts { grant: 2, rescinded };
                for token in tokens() {
                    let answer = token_valid(&token, authorization, application, &user, at(100));
                    let expected = oracle(&token, authorization, application, &user, at(100));
                    assert_eq!(answer, expected, "{token:?} {authorization:?} {application} {user:?}");
                    cases += 1;
                    valid += u32::from(answer.is_ok());
                }
            }
        }
    }
    assert_eq!(cases, 3 * 6 * 7 * 2 * 5 * 4 * 2 * 3);
    // Active, approved, not rescinded, not ended, the same grant, no or a later end: 2 expiries times the pairs
    // of roles and scopes that go together (2, 3, 3, 2, 5, 5).
    assert_eq!(valid, 2 * (2 + 3 + 3 + 2 + 5 + 5));
}

#[test]
fn a_token_ends_at_its_instant_and_not_after_it() {
    let token = TokenFacts { grant: 1, scopes: scopes("read"), expires_at: Some(at(100)), ended: false };
    let authorization = AuthorizationFacts { grant: 1, rescinded: false };
    let user = UserFacts { standing: AccountStanding::Active, roles: Roles::default() };
    let valid = |now| token_valid(&token, authorization, Standing::Approved, &user, now);
    assert_eq!(valid(at(100) - chrono::TimeDelta::microseconds(1)), Ok(()));
    assert_eq!(valid(at(100)), Err(TokenRefusal::Expired));
}

#[test]
fn a_token_of_a_suspended_application_lives_again_when_it_is_reinstated() {
    let token = TokenFacts { grant: 1, scopes: scopes("read"), expires_at: None, ended: false };
    let authorization = AuthorizationFacts { grant: 1, rescinded: false };
    let user = UserFacts { standing: AccountStanding::Active, roles: Roles::default() };
    let valid = |standing| token_valid(&token, authorization, standing, &user, at(0));
    assert_eq!(valid(Standing::Suspended), Err(TokenRefusal::ApplicationSuspended));
    assert_eq!(valid(Standing::Approved), Ok(()));
    assert_eq!(valid(Standing::Revoked), Err(TokenRefusal::Revoked));
    assert_eq!(valid(Standing::Withdrawn), Err(TokenRefusal::Revoked));
}
