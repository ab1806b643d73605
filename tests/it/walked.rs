//! What people met who walked through the site for the first time, each thing as it is right.

use axum::http::{Method, StatusCode};
use chrono::Duration;
use countersign::app::{applications::Request, reviews::Verb, reviews::Verdict};
use countersign_events::ids::ApplicationId;

use crate::{
    checks_scene::{CALLBACK, Scene},
    review_scene::{Cast, Credential, State},
    support::by,
};

/// The owner has a change of scopes approved.
async fn change_scopes(scene: &Scene, id: ApplicationId, scopes: &str) {
    let app = &scene.site.app;
    let row = app.my_application(scene.cleo, id).await.expect("hers");
    let asked = app.asked(&Request { scopes: vec![scopes.to_owned()], ..Request::of(&row) }).expect("it fits");
    app.edit_application(&by(scene.cleo), scene.cleo, id, asked).await.expect("proposed");
    let revision = app.reviewed_application(id).await.expect("there").revision;
    let verdict = Verdict { revision, reason_code: String::new(), reason: String::new() };
    app.decide_application(&by(scene.rob), scene.rob, id, Verb::ApproveChange, &verdict).await.expect("approved");
    scene.site.settle().await;
}

#[tokio::test]
async fn what_is_approved_reaches_the_token_of_a_bot() {
    for (purpose, uri) in [("personal", ""), ("web", CALLBACK)] {
        let scene = Scene::start().await;
        let (id, _) = scene.given_approved(purpose, uri, "read write").await;
        let first = scene.owners_token().await;
        change_scopes(&scene, id, "read vote").await;
        let mut cleo = scene.browser_of(scene.cleo).await;
        let page = cleo.get(&format!("/settings/apps/{id}")).await.body;
        assert!(page.contains("It does not include: Vote in your name. Regenerate it to add that."), "{page}");
        let tokens = scene.site.app.my_tokens(scene.cleo).await.expect("hers");
        let token = tokens.iter().find(|token| token.row.application_id == id).expect("one").row.token_id;
        let again = scene.site.app.regenerate_token(&by(scene.cleo), scene.cleo, token).await.expect("another").answer;
        let told = scene.stranger().with_token(Method::GET, "/api/v1/token", &again).await.json();
        assert_eq!(told["scopes"], "read vote", "{purpose}");
        let old = scene.stranger().with_token(Method::GET, "/api/v1/token", &first).await;
        assert_eq!(old.status, StatusCode::UNAUTHORIZED);
        scene.site.settle().await;
        let page = cleo.get(&format!("/settings/apps/{id}")).await.body;
        assert!(!page.contains("It does not include"), "{page}");
    }
}

#[tokio::test]
async fn a_change_that_was_approved_is_what_was_decided_last() {
    let scene = Scene::start().await;
    scene.consented(scene.ben, &scene.client, None).await;
    scene.site.clock.advance(Duration::days(3));
    let mia = scene.site.given_member("mia", &[countersign_events::account::Role::Reviewer]).await;
    let later = Scene { rob: mia, ..scene };
    change_scopes(&later, later.application, "read identity notifications vote").await;
    let path = format!("/admin/apps/{}", later.application);
    let review = later.browser_of(later.rob).await.get(&path).await.body;
    assert!(review.contains("last decided <time") && !review.contains("3 days ago</time></dd>"), "{review}");
    let access = later.browser_of(later.ben).await.get("/settings/authorizations").await.body;
    assert!(access.contains("by <bdi>mia</bdi>"), "{access}");
}

#[tokio::test]
async fn only_what_can_act_counts_as_access_and_what_was_removed_is_said() {
    let scene = Scene::start().await;
    scene.consented(scene.ben, &scene.client, None).await;
    let (other, client) = scene.given_approved("web", CALLBACK, "read").await;
    scene.consented(scene.ben, &client, None).await;
    scene.site.decide(scene.rob, other, Verb::Revoke).await;
    let mut ben = scene.browser_of(scene.ben).await;
    let settings = ben.get("/settings").await.body;
    assert!(settings.contains("1 application may act for you. 1 inactive."), "{settings}");
    let path = format!("/settings/authorizations/{}/remove", scene.application);
    let removed = ben.submit("/settings/authorizations", &path, &[]).await;
    let page = ben.get(removed.location()).await.body;
    assert!(page.contains("role=\"status\">Access removed: <bdi>Reader</bdi>."), "{page}");
}

#[tokio::test]
async fn a_claim_keeps_what_is_typed_and_revoking_asks_first() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::UnderReview).await;
    let path = format!("/admin/apps/{id}");
    let typed = [("revision", "1"), ("reason_code", "other"), ("reason", "Half a sentence, so far")];
    let claimed = cast.form(Credential::Session(&cast.rob), &format!("{path}/claim"), &typed).await;
    assert_eq!(claimed.status, StatusCode::OK);
    assert!(claimed.body.contains("You have claimed it") && claimed.body.contains("Half a sentence, so far"));
    let empty = cast.form(Credential::Session(&cast.rob), &format!("{path}/release"), &[]).await;
    assert_eq!(empty.status, StatusCode::SEE_OTHER);
    let approved = cast.given(&cast.cleo, State::Approved).await;
    let page = cast.get(Credential::Session(&cast.rob), &format!("/admin/apps/{approved}")).await.body;
    assert!(page.contains("<summary>Revoke</summary>") && page.contains("This cannot be undone."), "{page}");
}

#[tokio::test]
async fn headings_say_what_is_so() {
    let cast = Cast::start().await;
    for (state, heading) in [
        (State::UnderReview, "<h2>What it asks for</h2>"),
        (State::Approved, "<h2>What is approved</h2>"),
        (State::Revoked, "<h2>What was approved</h2>"),
        (State::Withdrawn, "<h2>What it asks for</h2>"),
    ] {
        let id = cast.given(&cast.cleo, state).await;
        let page = cast.get(Credential::Session(&cast.rob), &format!("/admin/apps/{id}")).await.body;
        assert!(page.contains(heading), "{heading}: {page}");
    }
    // A change that was withdrawn is nothing to decide on.
    let id = cast.given(&cast.cleo, State::ApprovedChanging).await;
    let seen = countersign_events::application::Seen::default();
    cast.app().withdraw_change(&by(cast.cleo.id), cast.cleo.id, id, seen.revision).await.expect("withdrawn");
    let page = cast.get(Credential::Session(&cast.rob), &format!("/admin/apps/{id}")).await.body;
    assert!(page.contains("<h2>Decide</h2>"), "{page}");
    let suspended = cast.given(&cast.cleo, State::Suspended).await;
    let own = cast.get(Credential::Session(&cast.cleo), &format!("/settings/apps/{suspended}")).await.body;
    assert!(!own.contains("Send members to"), "{own}");
}

#[tokio::test]
async fn a_message_that_was_not_sent_is_told_at_the_top() {
    let scene = Scene::start().await;
    let mut ben = scene.browser_of(scene.ben).await;
    let fields = [("to", "nobodyhere"), ("title", "Hello"), ("body", "Words")];
    let page = ben.submit("/inbox", "/inbox", &fields).await.body;
    let (alert, rest) = page.split_once("role=\"alert\">Your message was not sent.").expect("it is told");
    assert!(!alert.contains("class=\"tabs\"") && rest.contains("class=\"tabs\"") && rest.contains("href=\"#to\""));
    assert!(rest.contains("value=\"nobodyhere\"") && rest.contains("Words</textarea>"), "and nothing is lost");
}

#[tokio::test]
async fn a_link_without_a_client_id_says_so() {
    let scene = Scene::start().await;
    for path in ["/authorize", "/authorize/?client_id=", "/authorize?scope=read"] {
        let page = scene.browser_of(scene.ben).await.get(path).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        assert!(page.body.contains("holds no client_id"), "{path}: {}", page.body);
    }
}

#[tokio::test]
async fn what_is_left_of_a_time_is_told_in_the_nearest_unit() {
    let scene = Scene::start().await;
    let id = scene.site.given_request(scene.ben, "Sorter").await;
    scene.site.clock.advance(Duration::seconds(1));
    let page = scene.browser_of(scene.ben).await.get(&format!("/settings/apps/{id}")).await.body;
    assert!(page.contains(">in 3 days</time>"), "{page}");
}
