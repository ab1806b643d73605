//! Decisions that come too late, or at the same moment as another: one of them holds, and the others are told who did
//! what, when, and what differs.

use axum::http::{Method, StatusCode};
use countersign::app::reviews::Verb;
use countersign_events::{ids::ApplicationId, recorded::Position};
use serde_json::{Value, json};

use crate::{
    browser_double::Answer,
    review_scene::{Cast, Credential, State},
};

/// Each pair races so often.
const ROUNDS: usize = 12;

#[tokio::test]
async fn a_decision_on_a_revision_that_was_edited_since_is_refused_with_the_difference() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::UnderReview).await;
    cast.edit(&cast.cleo, id, "Second").await;
    cast.edit(&cast.cleo, id, "Third").await;
    // The reviewer reads revision 3, and then the owner goes on.
    let edit = json!({ "name": "Fourth", "description": "It reads more." });
    let path = format!("/api/v1/applications/{id}");
    assert_eq!(cast.json(Credential::Session(&cast.cleo), Method::PATCH, &path, Some(&edit)).await.status, 200);
    let before = cast.head().await;
    for verb in [Verb::Approve, Verb::Deny, Verb::RequestChanges] {
        let answer = cast.verb(Credential::Session(&cast.rob), id, verb, 3).await;
        let problem = answer.json();
        assert_eq!((answer.status, &problem["code"]), (StatusCode::CONFLICT, &json!("revised")), "{problem}");
        let current = &problem["current"];
        assert_eq!((&current["revision"], &current["by"]), (&json!(4), &json!("cleo")), "{problem}");
        assert_eq!(current["at"], json!(cast.app().now()));
        let difference = json!([
            { "field": "name", "before": "Third", "after": "Fourth" },
            { "field": "description", "before": "Reads the front page.", "after": "It reads more." },
        ]);
        assert_eq!(current["difference"], difference, "{problem}");
    }
    assert_eq!(cast.head().await, before);
    assert_eq!(cast.app().my_application(cast.cleo.id, id).await.expect("theirs").standing.as_str(), "under_review");
}

#[tokio::test]
async fn a_page_that_comes_too_late_shows_what_has_changed_and_keeps_what_was_typed() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::UnderReview).await;
    cast.edit(&cast.cleo, id, "Second").await;
    cast.edit(&cast.cleo, id, "Third").await;
    let mut rob = cast.browser(&cast.rob);
    let path = format!("/admin/apps/{id}");
    let page = rob.get(&path).await;
    assert_eq!(page.hidden("revision"), "3");
    cast.edit(&cast.cleo, id, "Fourth").await;
    let before = cast.head().await;
    let (csrf, reason) = (page.hidden("csrf_token"), "It reads what it says & no more.");
    let fields = [("csrf_token", csrf.as_str()), ("revision", "3"), ("reason_code", "other"), ("reason", reason)];
    let refused = rob.post(&format!("{path}/approve"), &fields).await;
    assert_eq!((refused.status, cast.head().await), (StatusCode::CONFLICT, before), "{}", refused.body);
    for shown in [
        "<del>Third</del>",
        "<ins>Fourth</ins>",
        "cleo changed it on",
        "It reads what it says &#38; no more.</textarea>",
        "value=\"other\" selected",
    ] {
        assert!(refused.body.contains(shown), "{shown}: {}", refused.body);
    }
    // What is shown now can be decided on.
    assert_eq!(refused.hidden("revision"), "4");
    let fields = [("csrf_token", csrf.as_str()), ("revision", "4"), ("reason_code", "other"), ("reason", reason)];
    assert_eq!(rob.post(&format!("{path}/approve"), &fields).await.status, StatusCode::SEE_OTHER);
}

/// What two reviewers do at the same moment: what was appended on the application's stream, and both answers.
async fn race(cast: &Cast, id: ApplicationId, first: Verb, second: Verb, revision: u32) -> (Vec<String>, [Answer; 2]) {
    let before = cast.head().await;
    let (first, second) = tokio::join!(
        cast.verb(Credential::Session(&cast.rob), id, first, revision),
        cast.verb(Credential::Session(&cast.dee), id, second, revision),
    );
    (on_stream(cast, id, before).await, [first, second])
}

async fn on_stream(cast: &Cast, id: ApplicationId, before: Position) -> Vec<String> {
    let stream = countersign_events::application::stream(id);
    let events = cast.app().log.read_log(before, 100).await.expect("a log");
    events.into_iter().filter(|stored| stored.envelope.stream == stream).map(|stored| stored.type_name).collect()
}

/// Which of two answers lost, told who won.
fn assert_one_lost(answers: &[Answer; 2], names: [&str; 2], code: &str, state: &[&str]) -> usize {
    let loser = usize::from(answers[0].status == StatusCode::OK);
    let statuses = [answers[1 - loser].status.as_u16(), answers[loser].status.as_u16()];
    assert_eq!(statuses, [200, 409], "{answers:?}");
    let problem = answers[loser].json();
    let current = &problem["current"];
    assert_eq!((&problem["code"], &current["by"]), (&json!(code), &json!(names[1 - loser])), "{problem}");
    assert!(state.contains(&current["state"].as_str().unwrap_or_default()), "{problem}");
    assert!(current["at"].is_string() && current["by_id"].is_string(), "{problem}");
    loser
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_decisions_at_the_same_moment_one_holds_and_the_other_is_told_of_it() {
    let cast = Cast::start().await;
    let [approve, deny, changes] = [
        (Verb::Approve, "ApplicationApproved", "approved"),
        (Verb::Deny, "ApplicationDenied", "denied"),
        (Verb::RequestChanges, "ChangesRequested", "changes_requested"),
    ];
    for (first, second) in
        [(approve, approve), (deny, deny), (changes, changes), (approve, deny), (approve, changes), (deny, changes)]
    {
        for _ in 0..ROUNDS {
            let id = cast.given(&cast.cleo, State::UnderReview).await;
            let (events, answers) = race(&cast, id, first.0, second.0, 1).await;
            let loser = assert_one_lost(&answers, ["rob", "dee"], "wrong_state", &[first.2, second.2]);
            let won = if loser == 1 { first } else { second };
            assert_eq!(events, [won.1]);
            assert_eq!(answers[loser].json()["current"]["state"], won.2);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_decisions_on_a_change_at_the_same_moment_one_holds() {
    let cast = Cast::start().await;
    let [approve, deny] = [
        (Verb::ApproveChange, "ChangeApproved", "change_approved"),
        (Verb::DenyChange, "ChangeDenied", "change_denied"),
    ];
    for (first, second) in [(approve, approve), (deny, deny), (approve, deny)] {
        for _ in 0..ROUNDS {
            let id = cast.given(&cast.cleo, State::ApprovedChanging).await;
            let (events, answers) = race(&cast, id, first.0, second.0, 2).await;
            let loser = assert_one_lost(&answers, ["rob", "dee"], "wrong_state", &[first.2, second.2]);
            assert_eq!(events, [if loser == 1 { first.1 } else { second.1 }]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_claims_at_the_same_moment_one_holds() {
    let cast = Cast::start().await;
    for _ in 0..ROUNDS {
        let id = cast.given(&cast.cleo, State::UnderReview).await;
        let (events, answers) = race(&cast, id, Verb::Claim, Verb::Claim, 1).await;
        let loser = assert_one_lost(&answers, ["rob", "dee"], "claimed", &["claimed"]);
        assert_eq!(events, ["ReviewClaimed"]);
        assert!(answers[loser].json()["current"]["until"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_approval_and_a_withdrawal_at_the_same_moment_end_withdrawn() {
    let cast = Cast::start().await;
    for _ in 0..ROUNDS {
        let id = cast.given(&cast.cleo, State::UnderReview).await;
        let (before, path) = (cast.head().await, format!("/api/v1/applications/{id}/withdraw"));
        let (approved, withdrawn) = tokio::join!(
            cast.verb(Credential::Session(&cast.rob), id, Verb::Approve, 1),
            cast.json(Credential::Session(&cast.cleo), Method::POST, &path, None),
        );
        // What is approved can be withdrawn as well; what is withdrawn cannot be approved.
        assert_eq!(withdrawn.status, 204, "{}", withdrawn.body);
        if approved.status == 200 {
            assert_eq!(on_stream(&cast, id, before).await, ["ApplicationApproved", "ApplicationWithdrawn"]);
        } else {
            let problem = approved.json();
            assert_eq!((approved.status.as_u16(), &problem["code"]), (409, &json!("wrong_state")), "{problem}");
            let current = &problem["current"];
            assert_eq!((&current["state"], &current["by"]), (&json!("withdrawn"), &json!("cleo")), "{problem}");
            assert_eq!(on_stream(&cast, id, before).await, ["ApplicationWithdrawn"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_approval_and_an_edit_at_the_same_moment_never_approve_what_was_not_read() {
    let cast = Cast::start().await;
    let edit: Value = json!({ "name": "Better" });
    for _ in 0..ROUNDS {
        let id = cast.given(&cast.cleo, State::UnderReview).await;
        let (before, path) = (cast.head().await, format!("/api/v1/applications/{id}"));
        let (approved, edited) = tokio::join!(
            cast.verb(Credential::Session(&cast.rob), id, Verb::Approve, 1),
            cast.json(Credential::Session(&cast.cleo), Method::PATCH, &path, Some(&edit)),
        );
        assert_eq!(edited.status, 200, "{}", edited.body);
        let row = cast.app().my_application(cast.cleo.id, id).await.expect("theirs");
        if approved.status == 200 {
            // The edit came after, as a change that waits.
            assert_eq!(on_stream(&cast, id, before).await, ["ApplicationApproved", "ChangeProposed"]);
            assert_eq!((row.name.as_str(), row.holds), ("Reader", 1));
        } else {
            let problem = approved.json();
            assert_eq!(
                problem["current"]["difference"],
                json!([{ "field": "name", "before": "Reader", "after": "Better" }])
            );
            assert_eq!(on_stream(&cast, id, before).await, ["ApplicationEdited"]);
            assert_eq!(row.client_id, None);
        }
    }
}
