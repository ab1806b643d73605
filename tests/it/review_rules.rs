//! The rules of the review over HTTP: claims, two signatures, appeals, the policy, limits, log-ins, and what of it an
//! owner and the users of an application see.

use axum::http::StatusCode;
use chrono::Duration;
use countersign::app::reviews::Verb;
use countersign_events::{account::Role, ids::ApplicationId};
use serde_json::{Value, json};

use crate::{
    browser_double::Answer,
    checks_scene::{answer, consent_fields},
    review_scene::{Cast, Credential, Person, State, verdict},
    support::by,
};

const TWO: &[(&str, &str)] = &[("TWO_PERSON_RULE", "true")];

fn session(person: &Person) -> Credential<'_> {
    Credential::Session(person)
}

/// Its status, and the stable word of its problem if it is one.
fn told(answer: &Answer) -> (u16, Value) {
    (answer.status.as_u16(), answer.json()["code"].clone())
}

#[tokio::test]
async fn a_claim_keeps_others_out_and_lapses_after_half_an_hour() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::UnderReview).await;
    let claimed = cast.verb(session(&cast.rob), id, Verb::Claim, 1).await.json();
    assert_eq!(claimed["claimed_by"], "rob");
    for verb in [Verb::Claim, Verb::Release, Verb::Approve, Verb::Deny, Verb::RequestChanges] {
        let refused = cast.verb(session(&cast.dee), id, verb, 1).await;
        assert_eq!(told(&refused), (409, json!("claimed")), "{verb:?}");
        assert_eq!(refused.json()["current"]["until"], claimed["claimed_until"]);
    }
    let page = cast.get(session(&cast.dee), &format!("/admin/apps/{id}")).await;
    assert!(page.body.contains("rob has claimed it until"), "{}", page.body);
    cast.site.clock.advance(Duration::minutes(30) - Duration::microseconds(1));
    assert_eq!(told(&cast.verb(session(&cast.dee), id, Verb::Claim, 1).await), (409, json!("claimed")));
    cast.site.clock.advance(Duration::microseconds(1));
    let taken = cast.verb(session(&cast.dee), id, Verb::Claim, 1).await;
    assert_eq!((taken.status, &taken.json()["claimed_by"]), (StatusCode::OK, &json!("dee")), "{}", taken.body);
    let released = cast.verb(session(&cast.dee), id, Verb::Release, 1).await.json();
    assert_eq!((&released["claimed_by"], &released["claimed_until"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn under_the_two_person_rule_the_first_signs_and_another_decides() {
    let cast = Cast::start_with(TWO).await;
    let id = cast.site.given_request(cast.cleo.id, "Reader").await;
    let before = cast.head().await;
    for _ in 0..2 {
        let signed = cast.verb(session(&cast.rob), id, Verb::Approve, 1).await.json();
        assert_eq!((&signed["state"], &signed["signed_by"]), (&json!("under_review"), &json!("rob")), "{signed}");
        // Who signs twice has signed once.
        assert_eq!(cast.appended(before).await, ["ReviewSigned"]);
    }
    let page = cast.get(session(&cast.dee), &format!("/admin/apps/{id}")).await;
    assert!(page.body.contains("another reviewer has to sign as well"), "{}", page.body);
    let approved = cast.verb(session(&cast.dee), id, Verb::Approve, 1).await.json();
    assert_eq!((&approved["state"], &approved["signed_by"]), (&json!("approved"), &Value::Null), "{approved}");

    cast.edit(&cast.cleo, id, "Renamed").await;
    let signed = cast.verb(session(&cast.dee), id, Verb::ApproveChange, 2).await.json();
    assert_eq!((&signed["name"], &signed["signed_by"]), (&json!("Reader"), &json!("dee")), "{signed}");
    assert_eq!(told(&cast.verb(session(&cast.dee), id, Verb::Deny, 2).await), (409, json!("wrong_state")));
    let changed = cast.verb(session(&cast.rob), id, Verb::ApproveChange, 2).await.json();
    assert_eq!((&changed["name"], &changed["pending_change"]), (&json!("Renamed"), &Value::Null), "{changed}");
}

#[tokio::test]
async fn an_edit_and_a_lost_role_void_the_first_signature() {
    let cast = Cast::start_with(TWO).await;
    let id = cast.site.given_request(cast.cleo.id, "Reader").await;
    cast.verb(session(&cast.rob), id, Verb::Approve, 1).await;
    cast.edit(&cast.cleo, id, "Renamed").await;
    let signed = cast.verb(session(&cast.dee), id, Verb::Approve, 2).await.json();
    assert_eq!((&signed["state"], &signed["signed_by"]), (&json!("under_review"), &json!("dee")), "{signed}");

    cast.app().withdraw_role(&by(cast.rob.id), cast.dee.id, Role::Reviewer).await.expect("withdrawn");
    let signed = cast.verb(session(&cast.rob), id, Verb::Approve, 2).await.json();
    assert_eq!((&signed["state"], &signed["signed_by"]), (&json!("under_review"), &json!("rob")), "{signed}");
    assert_eq!(told(&cast.verb(session(&cast.dee), id, Verb::Approve, 2).await), (403, json!("role_missing")));
}

async fn appeal(cast: &Cast, owner: &Person, id: ApplicationId, text: &str) -> Answer {
    cast.post(session(owner), &format!("/api/v1/applications/{id}/appeal"), &json!({ "text": text })).await
}

#[tokio::test]
async fn an_appeal_goes_to_another_reviewer_where_there_is_one() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::Denied).await;
    let appealed = appeal(&cast, &cast.cleo, id, "It only reads.").await.json();
    assert_eq!(appealed["state"], "under_review", "{appealed}");
    for verb in [Verb::Claim, Verb::Approve, Verb::Deny, Verb::RequestChanges] {
        assert_eq!(told(&cast.verb(session(&cast.dee), id, verb, 1).await), (403, json!("own_denial")), "{verb:?}");
    }
    let page = cast.get(session(&cast.rob), &format!("/admin/apps/{id}")).await;
    assert!(page.body.contains("<blockquote><bdi>It only reads.</bdi></blockquote>"), "{}", page.body);
    assert_eq!(cast.verb(session(&cast.rob), id, Verb::Deny, 1).await.status, 200);
    // The other reviewer's denial is another one; it can be appealed against as well.
    assert_eq!(appeal(&cast, &cast.cleo, id, "Really.").await.status, 200);
    assert_eq!(told(&cast.verb(session(&cast.rob), id, Verb::Approve, 1).await), (403, json!("own_denial")));
    assert_eq!(cast.verb(session(&cast.dee), id, Verb::Approve, 1).await.json()["state"], "approved");
}

#[tokio::test]
async fn the_denier_decides_on_the_appeal_when_nobody_else_can() {
    let cast = Cast::start().await;
    // The only other reviewer is the owner.
    let id = cast.given(&cast.rob, State::Denied).await;
    assert_eq!(appeal(&cast, &cast.rob, id, "It only reads.").await.status, 200);
    assert_eq!(cast.verb(session(&cast.dee), id, Verb::Approve, 1).await.json()["state"], "approved");
    // There is no other one at all.
    let id = cast.given(&cast.cleo, State::Denied).await;
    assert_eq!(appeal(&cast, &cast.cleo, id, "It only reads.").await.status, 200);
    cast.app().suspend_account(&by(cast.dee.id), cast.rob.id).await.expect("suspended");
    assert_eq!(cast.verb(session(&cast.dee), id, Verb::Approve, 1).await.json()["state"], "approved");
}

#[tokio::test]
async fn an_appeal_says_something_and_is_shown_again_when_it_does_not_fit() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::Denied).await;
    for text in ["", " \n", &"x".repeat(2_001), "a\u{0}b"] {
        let refused = appeal(&cast, &cast.cleo, id, text).await;
        assert_eq!(told(&refused), (422, json!("fields")), "{}", refused.body);
        assert_eq!(refused.json()["errors"][0]["field"], "text");
    }
    let long = "y".repeat(2_001);
    let page = cast.form(session(&cast.cleo), &format!("/settings/apps/{id}/appeal"), &[("text", &long)]).await;
    assert_eq!(page.status, 422);
    assert!(page.body.contains(&format!("{long}</textarea>")) && page.body.contains("<p class=\"problem\">"));
}

#[tokio::test]
async fn reasons_come_from_the_policy_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("policy.toml");
    std::fs::write(&file, "[[clause]]\ncode = \"too_loud\"\ntitle = \"It is too loud\"\n").expect("written");
    let policy = file.to_str().expect("text");
    let cast = Cast::start_with(&[("REVIEW_POLICY", policy)]).await;
    let id = cast.site.given_request(cast.cleo.id, "Reader").await;
    let path = format!("/api/v1/review/{id}/deny");
    for (code, named) in [("other", "one of too_loud."), ("", "one of too_loud."), ("meets_policy", "one of too_loud.")]
    {
        let body = json!({ "revision": 1, "reason_code": code, "reason": "No." });
        let refused = cast.post(session(&cast.rob), &path, &body).await;
        assert_eq!(told(&refused), (422, json!("fields")), "{code}");
        let error = &refused.json()["errors"][0];
        assert_eq!(error["field"], "reason_code");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(named)), "{error}");
    }
    let approve = cast.verb(session(&cast.rob), id, Verb::Approve, 1).await.json();
    let message = approve["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("meets_policy, too_loud"), "{approve}");
    let body = json!({ "revision": 1, "reason_code": "too_loud", "reason": "It shouts." });
    let denied = cast.post(session(&cast.rob), &path, &body).await.json();
    assert_eq!((&denied["reason_code"], &denied["reason"]), (&json!("too_loud"), &json!("It shouts.")), "{denied}");
    let message = cast.site.newest_message(cast.cleo.id).await;
    for (who, path) in [
        (&cast.cleo, format!("/inbox/{message}")),
        (&cast.cleo, format!("/settings/apps/{id}")),
        (&cast.rob, format!("/admin/apps/{id}")),
    ] {
        let page = cast.get(session(who), &path).await;
        assert!(page.body.contains("It is too loud") && page.body.contains("It shouts."), "{path}: {}", page.body);
    }
}

#[tokio::test]
async fn every_decision_wants_a_revision_and_a_reason_but_a_friendly_one_none() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::UnderReview).await;
    let path = |verb: &str| format!("/api/v1/review/{id}/{verb}");
    let refused = cast.post(session(&cast.rob), &path("deny"), &json!({})).await.json();
    let fields: Vec<_> = refused["errors"].as_array().expect("errors").iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["revision", "reason_code", "reason"], "{refused}");
    let typing_error = json!({ "revision": 1, "reasn": "x" });
    let refused = cast.post(session(&cast.rob), &path("approve"), &typing_error).await.json();
    assert_eq!(refused["errors"][0]["field"], "reasn", "{refused}");
    let approved = cast.post(session(&cast.rob), &path("approve"), &json!({ "revision": 1 })).await.json();
    assert_eq!((&approved["state"], &approved["reason_code"]), (&json!("approved"), &json!("meets_policy")));
}

#[tokio::test]
async fn the_limit_of_open_requests_stops_new_ones_and_neither_appeals_nor_resubmissions() {
    let cast = Cast::start_with(&[("LIMITS_OPEN_REQUESTS", "3")]).await;
    let (denied, changes) =
        (cast.given(&cast.cleo, State::Denied).await, cast.given(&cast.cleo, State::ChangesRequested).await);
    for _ in 0..2 {
        cast.given(&cast.cleo, State::UnderReview).await;
    }
    let ask = || async {
        let body = json!({ "name": "One more", "redirect_uris": ["https://app.example/cb"] });
        told(&cast.post(session(&cast.cleo), "/api/v1/applications", &body).await)
    };
    assert_eq!(ask().await, (429, json!("too_many_open_requests")));
    assert_eq!(appeal(&cast, &cast.cleo, denied, "It only reads.").await.status, 200);
    let path = format!("/api/v1/applications/{changes}/resubmit");
    let resubmitted = cast.post(session(&cast.cleo), &path, &json!({ "description": "More." })).await;
    assert_eq!(resubmitted.json()["state"], "under_review", "{}", resubmitted.body);
    assert_eq!(ask().await, (429, json!("too_many_open_requests")));
}

#[tokio::test]
async fn what_waits_too_long_is_overdue_in_the_api_and_on_the_pages() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::UnderReview).await;
    let token = cast.token(&cast.rob, "review").await;
    let first = |answer: Answer| answer.json()["data"][0].clone();
    cast.site.clock.advance(Duration::days(3));
    let due = first(cast.get(Credential::Token(&token), "/api/v1/review").await);
    assert_eq!((&due["overdue"], &due["due_at"]), (&json!(false), &json!(cast.app().now())), "{due}");
    assert_eq!(cast.get(Credential::Token(&token), "/api/v1/review?overdue=true").await.json()["data"], json!([]));
    cast.site.clock.advance(Duration::microseconds(1));
    let overdue = first(cast.get(Credential::Token(&token), "/api/v1/review?overdue=true").await);
    assert_eq!((&overdue["id"], &overdue["overdue"]), (&json!(id), &json!(true)), "{overdue}");
    for (who, path, shown) in [
        (&cast.rob, "/admin/apps".to_owned(), "overdue</span>"),
        (&cast.rob, format!("/admin/apps/{id}"), "overdue</span>"),
        (&cast.cleo, format!("/settings/apps/{id}"), ", which is over"),
    ] {
        let page = cast.get(session(who), &path).await;
        assert!(page.body.contains(shown), "{path}: {}", page.body);
    }
    let decided = cast.verb(Credential::Token(&token), id, Verb::Approve, 1).await.json();
    assert_eq!((&decided["overdue"], &decided["due_at"]), (&json!(false), &Value::Null), "{decided}");
}

#[tokio::test]
async fn an_owner_reads_the_place_in_the_queue_and_the_usual_time() {
    let cast = Cast::start().await;
    let mut ids = vec![];
    for _ in 0..4 {
        ids.push(cast.given(&cast.cleo, State::UnderReview).await);
        cast.site.clock.advance(Duration::hours(1));
    }
    let queue = |id: ApplicationId| {
        let cast = &cast;
        async move { cast.get(session(&cast.cleo), &format!("/api/v1/applications/{id}")).await.json()["queue"].clone() }
    };
    assert_eq!(queue(ids[3]).await, json!({ "ahead": 3, "usual_seconds": null }));
    // The first waited four hours, the second three, and the third two.
    for (id, ahead) in [(ids[0], 2), (ids[1], 1), (ids[2], 0)] {
        cast.decide(&cast.dee, id, Verb::Approve, 1).await.expect("decided");
        assert_eq!(queue(ids[3]).await["ahead"], ahead);
        assert_eq!(queue(id).await, Value::Null);
    }
    assert_eq!(queue(ids[3]).await["usual_seconds"], 3 * 3600);
    let page = cast.get(session(&cast.cleo), &format!("/settings/apps/{}", ids[3])).await;
    assert!(page.body.contains("nothing waits longer") && page.body.contains("usually take 3 hours"), "{}", page.body);
    // A change that its owner takes back is no answer.
    cast.edit(&cast.cleo, ids[0], "Renamed").await;
    assert_eq!(queue(ids[0]).await["ahead"], 1);
}

async fn client_of(cast: &Cast, id: ApplicationId) -> String {
    cast.app().my_application(cast.cleo.id, id).await.expect("theirs").client_id.expect("approved").to_string()
}

#[tokio::test]
async fn a_client_id_that_was_rotated_away_is_told_for_thirty_days_and_tokens_stay() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::Approved).await;
    let message = cast.site.newest_message(cast.cleo.id).await;
    let token = cast.app().reveal(&by(cast.cleo.id), cast.cleo.id, message).await.expect("revealed").answer;
    let old = client_of(&cast, id).await;
    let path = format!("/api/v1/applications/{id}/rotate-client-id");
    let rotated = cast.post(session(&cast.cleo), &path, &json!({})).await.json();
    let new = client_of(&cast, id).await;
    assert_eq!(rotated["client_id"], new.as_str(), "{rotated}");
    assert_ne!(old, new);
    let authorize = |client: &str| format!("/authorize?client_id={client}");
    let replaced = cast.get(session(&cast.rob), &authorize(&old)).await;
    assert_eq!((replaced.status, replaced.location()), (StatusCode::BAD_REQUEST, ""));
    assert!(replaced.body.contains("was replaced on"), "{}", replaced.body);
    assert_eq!(cast.get(session(&cast.rob), &authorize(&new)).await.status, 200);
    assert_eq!(cast.get(Credential::Token(&token), "/api/v1/token").await.status, 200);
    let history = cast.get(session(&cast.cleo), &format!("/api/v1/applications/{id}/history")).await;
    assert!(history.body.contains(&old) && history.body.contains(&new), "{}", history.body);
    cast.site.clock.advance(Duration::days(30) - Duration::microseconds(1));
    assert!(cast.get(Credential::Nothing, &authorize(&old)).await.body.contains("was replaced on"));
    cast.site.clock.advance(Duration::microseconds(1));
    let unknown = cast.get(Credential::Nothing, &authorize(&old)).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    assert!(unknown.body.contains("No application answers to this client id"), "{}", unknown.body);
}

#[tokio::test]
async fn an_approved_widening_widens_no_consent_that_was_given_or_shown_before() {
    let cast = Cast::start().await;
    let ben = cast.person("ben", &[]).await;
    let asked = cast.asked("Reader", "read identity");
    let id = cast.app().request_application(&by(cast.cleo.id), cast.cleo.id, asked).await.expect("asked").answer;
    cast.decide(&cast.dee, id, Verb::Approve, 1).await.expect("approved");
    let path = format!("/authorize?client_id={}", client_of(&cast, id).await);
    let mut browser = cast.browser(&ben);
    let page = browser.get(&path).await;
    let sent = answer(&mut browser, &page, "authorize").await;
    let token = crate::checks_scene::parameter(sent.location(), "access_token").expect("a token");

    let wider = cast.asked("Reader", "read identity vote");
    cast.app().edit_application(&by(cast.cleo.id), cast.cleo.id, id, wider).await.expect("proposed");
    let shown = browser.get(&path).await;
    assert!(!shown.body.contains("vote") && consent_fields(&shown).len() > 3, "{}", shown.body);
    cast.decide(&cast.dee, id, Verb::ApproveChange, 2).await.expect("approved");
    let scopes = cast.get(Credential::Token(&token), "/api/v1/token").await.json()["scopes"].clone();
    assert_eq!(scopes, "read identity");
    let before = cast.head().await;
    let late = answer(&mut browser, &shown, "authorize").await;
    assert!(late.status.is_client_error() && late.location().is_empty(), "{}: {}", late.status, late.body);
    assert_eq!(cast.head().await, before);
    let page = browser.get(&path).await;
    let sent = answer(&mut browser, &page, "authorize").await;
    let token = crate::checks_scene::parameter(sent.location(), "access_token").expect("a token");
    let scopes = cast.get(Credential::Token(&token), "/api/v1/token").await.json()["scopes"].clone();
    assert_eq!(scopes, "read identity vote");
}

#[tokio::test]
async fn users_read_the_name_that_was_reviewed_until_another_is() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::ApprovedChanging).await;
    let path = format!("/authorize?client_id={}", client_of(&cast, id).await);
    let before = cast.get(session(&cast.rob), &path).await.body;
    assert!(before.contains("Reader") && !before.contains("Renamed"), "{before}");
    let own = cast.get(session(&cast.cleo), &format!("/settings/apps/{id}")).await.body;
    assert!(own.contains("<del>Reader</del>") && own.contains("<ins>Renamed</ins>"), "{own}");
    cast.decide(&cast.dee, id, Verb::ApproveChange, 2).await.expect("approved");
    let after = cast.get(session(&cast.rob), &path).await.body;
    assert!(after.contains("Renamed") && !after.contains("Reader"), "{after}");
}

#[tokio::test]
async fn the_history_is_for_its_owner_reviewers_and_auditors() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::Denied).await;
    let path = format!("/api/v1/applications/{id}/history");
    let (ben, ann) = (cast.person("ben", &[]).await, cast.person("ann", &[Role::Auditor]).await);
    let (oli, ada) = (cast.person("oli", &[Role::Operator]).await, cast.person("ada", &[Role::Admin]).await);
    let (review, audit) = (cast.token(&cast.rob, "review").await, cast.token(&ann, "audit").await);
    let (plain, owners) = (cast.token(&cast.rob, "read").await, cast.token(&cast.cleo, "read identity").await);
    for (who, status) in [
        (session(&cast.cleo), 200),
        (session(&cast.rob), 200),
        (session(&ann), 200),
        (session(&ada), 200),
        (Credential::Token(&review), 200),
        (Credential::Token(&audit), 200),
        (session(&ben), 404),
        (session(&oli), 404),
        (Credential::Token(&plain), 403),
        (Credential::Token(&owners), 403),
        (Credential::Nothing, 401),
    ] {
        let answer = cast.get(who, &path).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
        if status == 200 {
            let last = answer.json()["data"][1].clone();
            assert_eq!((&last["by"], &last["text"]), (&json!("dee"), &json!("As agreed.")), "{last}");
        }
    }
}

#[tokio::test]
async fn a_decision_in_an_old_session_asks_for_the_password_and_a_claim_does_not() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::UnderReview).await;
    let token = cast.token(&cast.rob, "review").await;
    cast.site.clock.advance(Duration::minutes(15));
    let before = cast.head().await;
    for verb in [Verb::Approve, Verb::Deny, Verb::RequestChanges] {
        assert_eq!(told(&cast.verb(session(&cast.rob), id, verb, 1).await), (403, json!("password_again")), "{verb:?}");
    }
    let path = format!("/admin/apps/{id}");
    let fields = [("revision", "1"), ("reason_code", "incomplete"), ("reason", "It says too little.")];
    let page = cast.form(session(&cast.rob), &format!("{path}/deny"), &fields).await;
    assert_eq!((page.status, cast.head().await), (StatusCode::FORBIDDEN, before));
    for shown in ["name=\"password\"", "It says too little.</textarea>", "value=\"incomplete\" selected"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    for verb in [Verb::Claim, Verb::Release] {
        assert_eq!(cast.verb(session(&cast.rob), id, verb, 1).await.status, 200, "{verb:?}");
        assert_eq!(cast.form(session(&cast.rob), &format!("{path}/{}", verb.as_str()), &[]).await.status, 303);
    }
    // A token has no log-in to be renewed.
    assert_eq!(
        cast.post(Credential::Token(&token), &format!("/api/v1/review/{id}/approve"), &verdict(1)).await.status,
        200
    );
}
