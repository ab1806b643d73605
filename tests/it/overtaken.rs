//! Commands that something else overtakes: a second one like them is done before the first has tidied up behind itself.

use std::time::Duration;

use countersign::app::{AppError, Caller};

use crate::{
    databases::Database,
    support::{TestApp, by},
};

fn token_of(link: &str) -> String {
    link.split_once("token=").expect("a link holds a token").1.to_owned()
}

/// The first of two new passwords is recorded, and stands still before it tidies up, until the second is in force.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_that_tidies_up_late_leaves_the_one_after_it_alone() {
    if !Database::Postgres.require() {
        return;
    }
    let site = TestApp::start_in(Database::Postgres, &[]).await;
    let member = site.given_member("cleo", &[]).await;
    let first = token_of(&site.app.reset_link(member).await.expect("a link"));
    let before = site.app.state.member(member).expect("a member").verifier;
    let mut holder = site.home.vault_tables().await;
    holder.run("begin; select digest from links for update").await;
    let app = site.app.clone();
    let late =
        tokio::spawn(async move { app.reset_password(&Caller::system(), &first, "another horse battery", None).await });
    while site.app.state.member(member).expect("a member").verifier == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = token_of(&site.app.reset_link(member).await.expect("another link"));
    site.app.reset_password(&Caller::system(), &second, "a third horse battery", None).await.expect("the second");
    let (_, browser) = site.app.log_in(&by(member), "cleo", "a third horse battery").await.expect("it fits");
    holder.run("commit").await;
    late.await.expect("it ends").expect("the first");
    assert!(site.app.signed_in(&browser).await.expect("a vault").is_some(), "the session under the second one lives");
    site.app.log_in(&by(member), "cleo", "a third horse battery").await.expect("the second password is in force");
    for over in ["correct horse battery", "another horse battery"] {
        let refused = site.app.log_in(&by(member), "cleo", over).await;
        assert!(matches!(refused, Err(AppError::WrongPassword)), "{over}: {refused:?}", refused = refused.err());
    }
    let verifiers = site.home.vault_tables().await.numbers("select count(*) from verifiers").await;
    assert_eq!(verifiers, [1]);
}
