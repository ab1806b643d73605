//! What a token may do follows what its application may do now, and what an operator said when it was issued.

use axum::http::{Method, StatusCode};
use countersign::app::{
    AppError, Caller, Refused,
    applications::Request,
    audit::{Effort, Typed},
    reviews::{Verb, Verdict},
};
use countersign_events::{
    account::Role,
    authorization::AuthorizationRefusal,
    ids::{ApplicationId, TokenId},
    recorded::{Actor, Position},
    scope::{Scope, ScopeSet},
};

use crate::{
    checks_scene::{CALLBACK, Scene, token_json},
    support::{TestApp, by, named},
};

async fn change_scopes(scene: &Scene, id: ApplicationId, scopes: &str) {
    let app = &scene.site.app;
    let row = app.my_application(scene.cleo, id).await.expect("hers");
    let asked = app.asked(&Request { scopes: vec![scopes.to_owned()], ..Request::of(&row) }).expect("it fits");
    app.edit_application(&by(scene.cleo), scene.cleo, id, asked).await.expect("proposed");
    let revision = app.reviewed_application(id).await.expect("there").revision;
    let verdict = Verdict { revision, reason_code: String::new(), reason: String::new() };
    app.decide_application(&by(scene.rob), scene.rob, id, Verb::ApproveChange, &verdict).await.expect("approved");
}

#[tokio::test]
async fn a_token_does_no_more_than_its_application_may_now() {
    let scene = Scene::start().await;
    let (id, client) = scene.given_approved("web", CALLBACK, "read write").await;
    let token = scene.consented(scene.ben, &client, None).await;
    let post = || token_json("POST", "/api/v1/posts", &token, r#"{"title":"One","body":"Two"}"#);
    assert_eq!(scene.stranger().send(post()).await.status, StatusCode::CREATED);
    change_scopes(&scene, id, "read").await;
    assert_eq!(scene.stranger().send(post()).await.json()["code"], "insufficient_scope");
    let told = scene.stranger().with_token(Method::GET, "/api/v1/token", &token).await;
    assert_eq!(told.json()["scopes"], "read");
    // Also after a start, when the state is loaded and not followed.
    let scene = Scene { site: scene.site.restart().await, ..scene };
    assert_eq!(scene.stranger().send(post()).await.json()["code"], "insufficient_scope");
    change_scopes(&scene, id, "read write").await;
    assert_eq!(scene.stranger().send(post()).await.status, StatusCode::CREATED, "what was agreed to is agreed to");
}

#[tokio::test]
async fn what_an_operator_issued_for_a_time_is_not_made_to_last_longer() {
    let site = TestApp::start().await;
    let rob = site.given_member("rob", &[Role::Reviewer]).await;
    let caller = Caller { actor: Actor::Cli("op".to_owned()), ..Caller::system() };
    let scopes: ScopeSet = [Scope::Review].into_iter().collect();
    let day = chrono::Duration::days(1);
    let (id, _) = site.app.issue_token(&caller, rob, scopes, Some(day)).await.expect("issued").answer;
    let until = site.app.token(id).await.expect("there").row.expires_at;
    site.app.regenerate_token(&by(rob), rob, id).await.expect("another text");
    let tokens = site.app.my_tokens(rob).await.expect("tokens");
    let new: Vec<_> = tokens.iter().filter(|token| token.valid.is_ok()).collect();
    assert_eq!((new.len(), new[0].row.expires_at), (1, until));
    let new: TokenId = new[0].row.token_id;
    site.clock.advance(day);
    let refused = site.app.regenerate_token(&by(rob), rob, new).await;
    assert!(matches!(refused, Err(AppError::Refused(Refused::Authorization(AuthorizationRefusal::TokenEnded)))));
}

#[tokio::test]
async fn of_two_reviewers_the_denier_may_sign_second_when_the_other_signed_first() {
    let site = TestApp::start_with(&[("TWO_PERSON_RULE", "true")]).await;
    let cleo = site.given_member("cleo", &[]).await;
    let rob = site.given_member("rob", &[Role::Reviewer]).await;
    let ada = site.given_member("ada", &[Role::Admin]).await;
    let id = site.given_request(cleo, "Reader").await;
    site.decide(rob, id, Verb::Deny).await;
    site.app.appeal(&by(cleo), cleo, id, "Look again.").await.expect("appealed");
    let verdict = Verdict { revision: 1, reason_code: String::new(), reason: String::new() };
    let early = site.app.decide_application(&by(rob), rob, id, Verb::Approve, &verdict).await;
    assert!(early.is_err(), "another reviewer comes first");
    site.decide(ada, id, Verb::Approve).await;
    site.decide(rob, id, Verb::Approve).await;
    assert!(site.app.my_application(cleo, id).await.expect("hers").client_id.is_some());
}

#[tokio::test]
async fn a_message_that_is_sent_again_is_answered_as_before_whatever_became_of_its_recipient() {
    let site = TestApp::start().await;
    let ben = site.given_member("ben", &[]).await;
    let ivan = site.given_member("ivan", &[]).await;
    let first = site.app.send_message(&named(ben, "k-1", 1), ben, "ivan", "Hello", "You").await.expect("sent");
    site.app.suspend_account(&Caller::system(), ivan).await.expect("suspended");
    let again = site.app.send_message(&named(ben, "k-1", 1), ben, "ivan", "Hello", "You").await.expect("sent before");
    assert_eq!(first.answer, again.answer);
    assert!(site.app.send_message(&by(ben), ben, "ivan", "Hello", "You").await.is_err());
}

#[tokio::test]
async fn a_history_says_that_it_is_complete_to_the_end_where_nothing_rests() {
    let site = TestApp::start().await;
    site.given_member("ada", &[]).await;
    site.settle().await;
    let typed = Typed { user: Some("ada".to_owned()), ..Typed::default() };
    let filter = site.app.audit_filter(&typed).await.expect("a store").expect("a filter");
    let page = site.app.audit(&filter, Some(Position(0)), false, 10, Effort::USUAL).await.expect("a page");
    assert_eq!(page.complete_to, site.app.head().await.expect("a head").position);
    assert!(!page.events.is_empty());
}
