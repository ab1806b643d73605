//! The guide's flow through the use cases: request, approve, reveal, use, take back.

use countersign::app::{
    AppError, Refused,
    applications::Request,
    authorizations::{ConsentPage, ConsentRequest},
    reviews::Verb,
};
use countersign_events::{account::Role, inbox::InboxRefusal};

use crate::support::{TestApp, by, named};

#[tokio::test]
async fn an_approved_application_brings_a_token_that_is_revealed_once_and_works() {
    let site = TestApp::start().await;
    let (owner, _, id) = site.given_approved().await;
    let message = site.newest_message(owner).await;
    let token = site.app.reveal(&by(owner), owner, message).await.expect("the first reveal").answer;
    let bearer = site.app.check_token(&token).expect("a valid token");
    assert_eq!((bearer.user_id, bearer.application_id), (owner, id));
    let again = site.app.reveal(&by(owner), owner, message).await;
    assert!(matches!(again, Err(AppError::Refused(Refused::Inbox(InboxRefusal::AlreadyRevealed { .. })))));
}

#[tokio::test]
async fn a_token_is_refused_from_the_answer_on_that_ends_or_suspends_what_it_rests_on() {
    let site = TestApp::start().await;
    let (owner, reviewer, id) = site.given_approved().await;
    let message = site.newest_message(owner).await;
    let token = site.app.reveal(&by(owner), owner, message).await.expect("the reveal").answer;
    site.decide(reviewer, id, Verb::Suspend).await;
    site.app.check_token(&token).expect_err("its application is suspended");
    site.decide(reviewer, id, Verb::Reinstate).await;
    site.app.check_token(&token).expect("it lives again");
    site.app.suspend_account(&by(reviewer), owner).await.expect("suspended");
    site.app.check_token(&token).expect_err("its member is suspended");
    site.app.reinstate_account(&by(reviewer), owner).await.expect("reinstated");
    site.app.remove_authorization(&by(owner), owner, id).await.expect("taken back");
    site.app.check_token(&token).expect_err("its authorization was taken back");
}

#[tokio::test]
async fn a_double_click_on_authorize_gets_one_token_and_the_same_address() {
    let site = TestApp::start().await;
    let (owner, _, id) = site.given_approved().await;
    let member = site.given_member("ben", &[]).await;
    let client_id = site.app.my_application(owner, id).await.expect("mine").client_id.expect("approved").to_string();
    let request = ConsentRequest { client_id, state: Some("a b&c".to_owned()), ..ConsentRequest::default() };
    let ConsentPage::Ask(consent) = site.app.consent_page(&request).await.expect("a page") else { panic!("it asks") };
    let browser = site.app.begin_session(member).await.expect("a session");
    let signed_in = site.app.signed_in(&browser).await.expect("a vault").expect("signed in");
    let nonce = site.app.consent_nonce(&signed_in, &consent);
    let first = site.app.authorize(&by(member), &signed_in, &consent, &nonce).await.expect("the first click").answer;
    let second = site.app.authorize(&by(member), &signed_in, &consent, &nonce).await.expect("the second click").answer;
    assert_eq!(first, second);
    assert!(first.starts_with("https://app.example/cb?keep=1&access_token=csa_"), "{first}");
    assert!(first.ends_with("&state=a+b%26c") || first.ends_with("&state=a%20b%26c"), "{first}");
    assert_eq!(site.app.my_tokens(member).await.expect("tokens").len(), 1);
    site.clock.advance(chrono::Duration::seconds(61));
    let late = site.app.authorize(&by(member), &signed_in, &consent, &nonce).await;
    assert!(matches!(late, Err(AppError::ConsentEnded)));
}

#[tokio::test]
async fn a_repeated_regenerate_answers_with_the_same_token_and_another_body_is_refused() {
    let site = TestApp::start().await;
    let (owner, ..) = site.given_approved().await;
    let old = site.app.my_tokens(owner).await.expect("tokens")[0].row.token_id;
    let first = site.app.regenerate_token(&named(owner, "one", 1), owner, old).await.expect("another").answer;
    let again = site.app.regenerate_token(&named(owner, "one", 1), owner, old).await.expect("the same").answer;
    assert_eq!(first, again);
    let other = site.app.regenerate_token(&named(owner, "one", 2), owner, old).await;
    assert!(matches!(other, Err(AppError::OtherBody)));
}

#[tokio::test]
async fn a_secret_that_nobody_reveals_expires_with_its_token_and_can_be_had_anew() {
    let site = TestApp::start().await;
    let (owner, ..) = site.given_approved().await;
    let message = site.newest_message(owner).await;
    site.clock.advance(chrono::Duration::days(8));
    site.app.look_after().await.expect("housekeeping");
    site.app.reveal(&by(owner), owner, message).await.expect_err("it expired");
    let old = site.app.my_tokens(owner).await.expect("tokens")[0].row.token_id;
    let token = site.app.regenerate_token(&by(owner), owner, old).await.expect("another").answer;
    site.app.check_token(&token).expect("it works");
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let site = TestApp::start().await;
    let (owner, ..) = site.given_approved().await;
    let message = site.newest_message(owner).await;
    let site = site.restart().await;
    let token = site.app.reveal(&by(owner), owner, message).await.expect("the reveal").answer;
    let site = site.restart().await;
    site.app.check_token(&token).expect("a valid token");
    site.app.log_in(&by(owner), "Cleo", "correct horse battery").await.expect("the password fits");
}

#[tokio::test]
async fn a_reset_link_works_once_and_ends_the_sessions_and_links_of_the_old_password() {
    let site = TestApp::start().await;
    let (owner, ..) = site.given_approved().await;
    let link = |url: String| url.split_once("token=").expect("a link holds a token").1.to_owned();
    let first = link(site.app.reset_link(owner).await.expect("a link"));
    let second = link(site.app.reset_link(owner).await.expect("another link"));
    let browser = site.app.begin_session(owner).await.expect("a session");
    let nobody = countersign::app::Caller::system();
    site.app.reset_password(&nobody, &first, "another horse battery", None, false).await.expect("a new password");
    for used in [&first, &second] {
        let again = site.app.reset_password(&nobody, used, "a third horse battery", None, false).await;
        assert!(matches!(again, Err(AppError::LinkEnded)), "{again:?}");
    }
    assert!(site.app.signed_in(&browser).await.expect("a vault").is_none());
    let old = site.app.log_in(&nobody, "cleo", "correct horse battery").await;
    assert!(matches!(old, Err(AppError::WrongPassword)));
    site.app.log_in(&nobody, "cleo", "another horse battery").await.expect("the new password");
}

#[tokio::test]
async fn requests_at_the_same_moment_do_not_pass_the_limit_of_open_requests() {
    let site = std::sync::Arc::new(TestApp::start().await);
    let owner = site.given_member("cleo", &[]).await;
    let tasks: Vec<_> = (0..12)
        .map(|number| {
            let site = site.clone();
            tokio::spawn(async move {
                let request =
                    Request { name: format!("App {number}"), purpose: "personal".to_owned(), ..Request::default() };
                let asked = site.app.asked(&request).expect("a good request");
                site.app.request_application(&by(owner), owner, asked).await.is_ok()
            })
        })
        .collect();
    let mut passed = 0;
    for task in tasks {
        passed += usize::from(task.await.expect("no panic"));
    }
    assert_eq!(passed, 3);
}

#[tokio::test]
async fn two_administrators_who_take_each_others_role_at_once_leave_one() {
    for _ in 0..20 {
        let site = std::sync::Arc::new(TestApp::start().await);
        let (ada, eve) =
            (site.given_member("ada", &[Role::Admin]).await, site.given_member("eve", &[Role::Admin]).await);
        let take = |by_whom, from| {
            let site = site.clone();
            tokio::spawn(async move { site.app.withdraw_role(&by(by_whom), from, Role::Admin).await.is_ok() })
        };
        let (first, second) = (take(ada, eve), take(eve, ada));
        let won = [first.await.expect("no panic"), second.await.expect("no panic")];
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        assert_eq!(site.app.state.admins().len(), 1);
    }
}

#[tokio::test]
async fn an_owner_who_takes_everything_back_can_have_their_own_token_again() {
    let site = TestApp::start().await;
    let (owner, ..) = site.given_approved().await;
    let old = site.app.my_tokens(owner).await.expect("tokens")[0].row.token_id;
    site.app.remove_authorizations(&by(owner), owner).await.expect("taken back");
    let token = site.app.regenerate_token(&by(owner), owner, old).await.expect("another").answer;
    site.app.check_token(&token).expect("it works");
}
