//! Requests for applications that race: with each other for the last free place, and with the erasure of their member,
//! on one node and on two.

use std::sync::Arc;

use countersign::app::{App, AppError, applications::Request, reviews::Verb};
use countersign_events::{
    account::Role,
    application::{Seen, Standing},
    ids::{ApplicationId, UserId},
};

use crate::{
    databases::Database,
    prerequisites::times,
    support::{TestApp, by},
};

/// Each race is run so often.
const ROUNDS: usize = 12;
/// How many requests each node gets at once.
const AT_ONCE: usize = 4;

async fn request(app: &App, member: UserId, name: String) -> Result<ApplicationId, AppError> {
    let asked = app.asked(&Request { purpose: "personal".to_owned(), name, ..Request::default() })?;
    Ok(app.request_application(&by(member), member, asked).await?.answer)
}

async fn open(app: &App, member: UserId) -> Vec<ApplicationId> {
    let rows = app.my_applications(member).await.expect("a store");
    let is_open = |standing| {
        matches!(
            standing,
            Standing::UnderReview | Standing::ChangesRequested | Standing::Approved | Standing::Suspended
        )
    };
    rows.into_iter().filter(|row| is_open(row.standing)).map(|row| row.application_id).collect()
}

/// All requests at once, as many to each node.
async fn requests(nodes: &[Arc<App>], member: UserId) -> Vec<Result<ApplicationId, AppError>> {
    let mut tasks = vec![];
    for number in 0..AT_ONCE * nodes.len() {
        let node = nodes[number % nodes.len()].clone();
        tasks.push(tokio::spawn(async move { request(&node, member, format!("App {number}")).await }));
    }
    let mut answers = vec![];
    for task in tasks {
        answers.push(task.await.expect("it ends"));
    }
    answers
}

async fn no_more_are_open_than_the_limit_says(site: &TestApp, nodes: &[Arc<App>]) {
    for round in 0..times(ROUNDS) {
        let member = site.given_member(&format!("asker{round}"), &[]).await;
        let answers = requests(nodes, member).await;
        let made: Vec<_> = answers.iter().flatten().copied().collect();
        assert_eq!(made.len(), 3, "round {round}: {answers:?}");
        assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(AppError::TooManyOpenRequests(3)))));
        let mut open = open(&nodes[0], member).await;
        assert_eq!(open.len(), 3, "round {round}");
        assert!(made.iter().all(|id| open.contains(id)));
        // A place that becomes free can be taken.
        let withdrawn = open.pop().expect("one");
        nodes[0].withdraw_application(&by(member), member, withdrawn, Seen::default()).await.expect("withdrawn");
        request(&nodes[0], member, "Another".to_owned()).await.expect("there is a place");
    }
}

async fn nothing_is_open_of_an_erased_member(site: &TestApp, nodes: &[Arc<App>]) {
    let admin = site.given_member("rob", &[Role::Admin]).await;
    for round in 0..times(ROUNDS) {
        let member = site.given_member(&format!("leaver{round}"), &[]).await;
        let denied = request(&nodes[0], member, "Denied".to_owned()).await.expect("requested");
        site.decide(admin, denied, Verb::Deny).await;
        let (first, last) = (nodes[0].clone(), nodes[nodes.len() - 1].clone());
        let appealing = tokio::spawn(async move { last.appeal(&by(member), member, denied, "Look again.").await });
        let erasing = tokio::spawn(async move { first.erase_member(&by(admin), member).await });
        requests(nodes, member).await;
        erasing.await.expect("it ends").expect("erased");
        // Refused or done before the erasure: the log judges, and no answer of these is wrong.
        let _ = appealing.await.expect("it ends");
        assert_eq!(open(&nodes[0], member).await, [], "round {round}");
        let refused = request(&nodes[nodes.len() - 1], member, "Late".to_owned()).await;
        assert!(matches!(refused, Err(AppError::Refused(_))), "round {round}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_member_has_no_more_open_requests_than_may_be_however_many_come_at_once() {
    let site = TestApp::start().await;
    no_more_are_open_than_the_limit_says(&site, std::slice::from_ref(&site.app)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_member_has_no_more_open_requests_than_may_be_on_two_nodes() {
    if !Database::Postgres.require() {
        return;
    }
    let site = TestApp::start_in(Database::Postgres, &[]).await;
    let another = site.another_node(&[]).await;
    no_more_are_open_than_the_limit_says(&site, &[site.app.clone(), another.clone()]).await;
    another.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_stays_open_of_who_is_erased_while_they_ask_and_appeal() {
    let site = TestApp::start().await;
    nothing_is_open_of_an_erased_member(&site, std::slice::from_ref(&site.app)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_stays_open_of_who_is_erased_on_another_node_while_they_ask_and_appeal() {
    if !Database::Postgres.require() {
        return;
    }
    let site = TestApp::start_in(Database::Postgres, &[]).await;
    let another = site.another_node(&[]).await;
    nothing_is_open_of_an_erased_member(&site, &[site.app.clone(), another.clone()]).await;
    another.stop().await;
}
