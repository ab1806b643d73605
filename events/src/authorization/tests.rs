//! What may happen between a member and an application, one sentence a test.

use super::{AuthorizationCommand as C, AuthorizationEvent as E, *};
use crate::account::{AccountStanding, Role, Roles};
use crate::spec::{self, application, at, digest, scopes, secret, token_id, user};

mod properties;
mod validity;

const ADA: UserId = user(1);
const APP: ApplicationId = application(7);

fn given(events: impl IntoIterator<Item = E>) -> spec::Given<Authorization> {
    spec::given(events)
}

fn seen() -> ApplicationSeen {
    ApplicationSeen { id: APP, standing: Standing::Approved, revision: 3, scopes: scopes("read identity vote") }
}

fn new_token(number: u8, kind: TokenKind, expires_at: Option<Timestamp>) -> NewToken {
    NewToken { id: token_id(number.into()), kind, digest: digest(number), expires_at, held: None }
}

fn access(number: u8) -> NewToken {
    new_token(number, TokenKind::Access, Some(at(1_000)))
}

fn personal(number: u8) -> NewToken {
    NewToken { held: Some(secret(number.into())), ..new_token(number, TokenKind::Personal, Some(at(1_000))) }
}

fn authorize(asked: &str, via: Via, token: NewToken, seconds: u32) -> C {
    C::Authorize {
        user_id: ADA,
        application: seen(),
        shown_revision: 3,
        scopes: scopes(asked),
        via,
        token,
        at: at(seconds),
    }
}

fn consent(asked: &str, number: u8, seconds: u32) -> C {
    authorize(asked, Via::Consent, access(number), seconds)
}

fn authorized(granted: &str, grant: u32, via: Via, seconds: u32) -> E {
    E::UserAuthorized {
        application_id: APP,
        user_id: ADA,
        grant,
        application_revision: 3,
        scopes: scopes(granted),
        via,
        at: at(seconds),
    }
}

fn issued_of(may: &str, grant: u32, token: NewToken, seconds: u32) -> E {
    issued(APP, ADA, grant, scopes(may), token, at(seconds))
}

fn revoked(number: u8, why: Ended, seconds: u32) -> E {
    E::TokenRevoked {
        application_id: APP,
        user_id: ADA,
        token_id: token_id(number.into()),
        digest: digest(number),
        why,
        at: at(seconds),
    }
}

fn rescinded(seconds: u32) -> E {
    E::AuthorizationRescinded { application_id: APP, user_id: ADA, at: at(seconds) }
}

fn regenerate(old: u8, new: NewToken, seconds: u32) -> C {
    C::Regenerate {
        user_id: ADA,
        application_id: APP,
        token_id: token_id(old.into()),
        own: None,
        token: new,
        at: at(seconds),
    }
}

fn revoke(number: u8, why: Ended, seconds: u32) -> C {
    C::Revoke { user_id: ADA, application_id: APP, token_id: token_id(number.into()), why, at: at(seconds) }
}

/// A consent to read, and `tokens` of the simple flow, issued one a second.
fn consented(tokens: impl IntoIterator<Item = NewToken>) -> Vec<E> {
    let tokens = (1..).zip(tokens).map(|(seconds, token)| issued_of("read", 1, token, seconds));
    [authorized("read", 1, Via::Consent, 0)].into_iter().chain(tokens).collect()
}

#[test]
fn a_consent_records_what_was_shown_and_issues_a_token() {
    given([])
        .when(consent("read vote", 1, 0))
        .then([authorized("read vote", 1, Via::Consent, 0), issued_of("read vote", 1, access(1), 0)]);
}

#[test]
fn an_approval_issues_a_token_that_is_held_for_its_recipient() {
    let spec = given([]);
    spec.when(authorize("read", Via::Approval, personal(1), 0))
        .then([authorized("read", 1, Via::Approval, 0), issued_of("read", 1, personal(1), 0)]);
}

#[test]
fn a_second_consent_is_no_error_and_the_first_token_stays() {
    let first = consented([access(1)]);
    given(first.clone())
        .when(consent("read", 2, 9))
        .then([authorized("read", 1, Via::Consent, 9), issued_of("read", 1, access(2), 9)]);
    let both = first.into_iter().chain([authorized("read", 1, Via::Consent, 9), issued_of("read", 1, access(2), 9)]);
    let ids: Vec<_> = given(both).0.tokens.iter().map(|token| token.id).collect();
    assert_eq!(ids, [token_id(1), token_id(2)]);
}

#[test]
fn a_second_consent_adds_to_the_first_while_its_token_gets_what_was_asked_now() {
    given(consented([access(1)]))
        .when(consent("vote", 2, 9))
        .then([authorized("read vote", 1, Via::Consent, 9), issued_of("vote", 1, access(2), 9)]);
}

#[test]
fn a_token_issued_without_a_page_within_what_is_granted_needs_no_new_grant() {
    for via in [Via::Approval, Via::Operator] {
        given(consented([])).when(authorize("read", via, personal(2), 9)).then([issued_of("read", 1, personal(2), 9)]);
        given(consented([]))
            .when(authorize("vote", via, personal(2), 9))
            .then([authorized("read vote", 1, via, 9), issued_of("vote", 1, personal(2), 9)]);
    }
}

#[test]
fn only_an_approved_application_can_be_authorized() {
    for standing in Standing::ALL.into_iter().filter(|standing| *standing != Standing::Approved) {
        let C::Authorize { user_id, application, shown_revision, scopes, via, token, at } = consent("read", 1, 0)
        else {
            panic!("a consent authorizes")
        };
        let application = ApplicationSeen { standing, ..application };
        given([])
            .when(C::Authorize { user_id, application, shown_revision, scopes, via, token, at })
            .refused(AuthorizationRefusal::ApplicationNotApproved { standing });
    }
}

#[test]
fn a_consent_shown_for_an_older_revision_grants_nothing() {
    for shown_revision in [2, 4] {
        let command = C::Authorize {
            user_id: ADA,
            application: seen(),
            shown_revision,
            scopes: scopes("read"),
            via: Via::Consent,
            token: access(1),
            at: at(0),
        };
        given([]).when(command).refused(AuthorizationRefusal::Revised { now: 3 });
    }
}

#[test]
fn no_consent_gives_more_than_the_review_granted() {
    let excess = scopes("write audit");
    given([]).when(consent("read write audit", 1, 0)).refused(AuthorizationRefusal::ScopeNotGranted { excess });
}

#[test]
fn a_denial_is_recorded_and_leaves_what_was_granted() {
    let denied = E::AuthorizationDenied { application_id: APP, user_id: ADA, at: at(9) };
    let deny = C::Deny { user_id: ADA, application_id: APP, at: at(9) };
    given([]).when(deny.clone()).then([denied.clone()]);
    let before = given(consented([access(1)]));
    before.when(deny).then([denied.clone()]);
    assert_eq!(before.0.clone().evolve(&denied), before.0);
}

#[test]
fn a_sixth_simple_token_displaces_the_oldest() {
    given(consented((1..=5).map(access))).when(consent("read", 6, 9)).then([
        authorized("read", 1, Via::Consent, 9),
        revoked(1, Ended::Displaced, 9),
        issued_of("read", 1, access(6), 9),
    ]);
}

#[test]
fn a_fifth_simple_token_displaces_nobody() {
    given(consented((1..=4).map(access)))
        .when(consent("read", 5, 9))
        .then([authorized("read", 1, Via::Consent, 9), issued_of("read", 1, access(5), 9)]);
}

#[test]
fn expired_simple_tokens_are_not_counted() {
    let expired = new_token(1, TokenKind::Access, Some(at(9)));
    let tokens = [expired].into_iter().chain((2..=5).map(access));
    given(consented(tokens))
        .when(consent("read", 6, 9))
        .then([authorized("read", 1, Via::Consent, 9), issued_of("read", 1, access(6), 9)]);
}

#[test]
fn tokens_that_never_expire_are_counted() {
    let unlimited = (1..=5).map(|number| new_token(number, TokenKind::Access, None));
    given(consented(unlimited)).when(consent("read", 6, 9)).then([
        authorized("read", 1, Via::Consent, 9),
        revoked(1, Ended::Displaced, 9),
        issued_of("read", 1, access(6), 9),
    ]);
}

#[test]
fn personal_tokens_are_neither_counted_nor_displaced() {
    let tokens = [personal(1)].into_iter().chain((2..=5).map(access));
    given(consented(tokens))
        .when(consent("read", 6, 9))
        .then([authorized("read", 1, Via::Consent, 9), issued_of("read", 1, access(6), 9)]);
    given(consented((1..=5).map(access))).when(authorize("read", Via::Approval, personal(6), 9)).then([issued_of(
        "read",
        1,
        personal(6),
        9,
    )]);
}

#[test]
fn a_token_is_revoked_once() {
    given(consented([access(1)])).when(revoke(1, Ended::Revoked, 9)).then([revoked(1, Ended::Revoked, 9)]);
    let ended = consented([access(1)]).into_iter().chain([revoked(1, Ended::Revoked, 9)]);
    given(ended).when(revoke(1, Ended::Revoked, 10)).then_nothing();
    given([]).when(revoke(1, Ended::Revoked, 10)).then_nothing();
}

#[test]
fn all_tokens_that_live_are_revoked_at_once() {
    let all = |seconds| C::RevokeAll { user_id: ADA, application_id: APP, why: Ended::GivenUp, at: at(seconds) };
    given(consented([access(1), personal(2)]))
        .when(all(9))
        .then([revoked(1, Ended::GivenUp, 9), revoked(2, Ended::GivenUp, 9)]);
    given(consented([access(1)])).when(all(1_000)).then_nothing();
    given([]).when(all(9)).then_nothing();
}

#[test]
fn tokens_that_rest_on_a_lost_role_end_and_no_other() {
    let keep = |roles: &[Role]| C::KeepToRoles {
        user_id: ADA,
        application_id: APP,
        roles: roles.iter().copied().collect(),
        at: at(9),
    };
    let of = |scopes: &str, number| issued_of(scopes, 1, personal(number), 2);
    let spec = given([
        authorized("read review audit", 1, Via::Operator, 1),
        of("read", 1),
        of("review", 2),
        of("read audit", 3),
        of("review audit", 4),
    ]);
    let lost = |numbers: &[u8]| numbers.iter().map(|number| revoked(*number, Ended::RoleLost, 9)).collect::<Vec<_>>();
    spec.when(keep(&[])).then(lost(&[2, 3, 4]));
    spec.when(keep(&[Role::Operator])).then(lost(&[2, 3, 4]));
    spec.when(keep(&[Role::Reviewer])).then(lost(&[3, 4]));
    spec.when(keep(&[Role::Auditor])).then(lost(&[2, 4]));
    spec.when(keep(&[Role::Reviewer, Role::Auditor])).then_nothing();
    spec.when(keep(&[Role::Admin])).then_nothing();
}

#[test]
fn a_regenerated_token_ends_the_old_one_and_keeps_its_scopes() {
    let spec = given(consented([personal(1), access(2)]));
    spec.when(regenerate(1, personal(3), 9))
        .then([revoked(1, Ended::Regenerated, 9), issued_of("read", 1, personal(3), 9)]);
}

#[test]
fn only_a_personal_token_is_regenerated() {
    given(consented([access(1)])).when(regenerate(1, access(2), 9)).refused(AuthorizationRefusal::NotPersonal);
    given(consented([access(1)])).when(regenerate(1, personal(2), 9)).refused(AuthorizationRefusal::NotPersonal);
    // Nor does a simple token come of a personal one: five of them may live already.
    given(consented([personal(1)])).when(regenerate(1, access(2), 9)).refused(AuthorizationRefusal::NotPersonal);
}

#[test]
fn a_personal_token_that_its_member_gave_up_can_be_had_anew() {
    let given_up = consented([personal(1)]).into_iter().chain([revoked(1, Ended::GivenUp, 8)]);
    given(given_up).when(regenerate(1, personal(2), 9)).then([issued_of("read", 1, personal(2), 9)]);
}

#[test]
fn a_token_that_ended_is_not_regenerated() {
    for why in [Ended::Revoked, Ended::Regenerated, Ended::Displaced, Ended::RoleLost] {
        let ended = consented([personal(1)]).into_iter().chain([revoked(1, why, 8)]);
        given(ended).when(regenerate(1, personal(2), 9)).refused(AuthorizationRefusal::TokenEnded);
    }
    given([]).when(regenerate(1, personal(2), 9)).refused(AuthorizationRefusal::TokenEnded);
}

#[test]
fn a_token_that_nobody_revealed_is_regenerated_once() {
    let lapsed = consented([personal(1)]).into_iter().chain([revoked(1, Ended::NeverRevealed, 8)]);
    let another = issued_of("read", 1, personal(2), 9);
    given(lapsed.clone()).when(regenerate(1, personal(2), 9)).then([another.clone()]);
    given(lapsed.chain([another])).when(regenerate(1, personal(3), 10)).refused(AuthorizationRefusal::TokenEnded);
}

#[test]
fn a_personal_token_whose_grant_was_taken_back_is_had_anew_under_another_grant() {
    let again = [authorized("read", 2, Via::Approval, 10), issued_of("read", 2, personal(2), 10)];
    let live = consented([personal(1)]).into_iter().chain([rescinded(9)]);
    given(live).when(regenerate(1, personal(2), 10)).then(again.clone());
    let unseen = consented([personal(1)]).into_iter().chain([revoked(1, Ended::NeverRevealed, 8), rescinded(9)]);
    given(unseen).when(regenerate(1, personal(2), 10)).then(again);
    let simple = consented([access(1)]).into_iter().chain([rescinded(9)]);
    given(simple).when(regenerate(1, access(2), 10)).refused(AuthorizationRefusal::TokenEnded);
    let by_operator = consented([personal(1)]).into_iter().chain([revoked(1, Ended::Revoked, 8), rescinded(9)]);
    given(by_operator).when(regenerate(1, personal(2), 10)).refused(AuthorizationRefusal::TokenEnded);
}

#[test]
fn an_authorization_is_rescinded_once_with_all_its_tokens() {
    let rescind = || C::Rescind { user_id: ADA, application_id: APP, at: at(9) };
    let spec = given(consented([access(1), personal(2)]));
    spec.when(rescind()).then([rescinded(9)]);
    assert!(spec.0.clone().evolve(&rescinded(9)).tokens.is_empty());
    given(consented([access(1)]).into_iter().chain([rescinded(9)])).when(rescind()).then_nothing();
    given([]).when(rescind()).then_nothing();
}

#[test]
fn authorizing_anew_begins_another_grant_with_nothing_of_the_old_one() {
    let before = consented([access(1)]).into_iter().chain([rescinded(5)]);
    given(before.clone())
        .when(consent("vote", 2, 9))
        .then([authorized("vote", 2, Via::Consent, 9), issued_of("vote", 2, access(2), 9)]);
    let anew = given(before.chain([authorized("vote", 2, Via::Consent, 9), issued_of("vote", 2, access(2), 9)]));
    anew.when(revoke(1, Ended::Revoked, 10)).then_nothing();
    anew.when(regenerate(1, personal(3), 10)).refused(AuthorizationRefusal::TokenEnded);
    assert_eq!(anew.0.granted, Some(scopes("vote")));
}

#[test]
fn a_token_of_an_earlier_grant_stays_dead() {
    let old = TokenFacts { grant: 1, scopes: scopes("read"), expires_at: None, ended: false };
    let now = AuthorizationFacts { grant: 2, rescinded: false };
    let member = UserFacts { standing: AccountStanding::Active, roles: Roles::default() };
    let valid = |token| token_valid(token, now, Standing::Approved, &member, at(9));
    assert_eq!(valid(&old), Err(TokenRefusal::Revoked));
    assert_eq!(valid(&TokenFacts { grant: 2, ..old }), Ok(()));
}
