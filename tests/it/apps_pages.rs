//! The apps tab and the page of a request: what each state offers, what the form says of mistakes, what a preview shows,
//! and what becomes of tokens there.

use axum::http::{Method, StatusCode};
use chrono::Duration;
use countersign::app::reviews::Verb;
use countersign_events::account::Role;
use serde_json::json;

use crate::{
    browser_double::{Answer, Browser},
    review_scene::{Cast, State},
};

const VERBS: [&str; 6] = ["edit", "resubmit", "appeal", "withdraw", "withdraw-change", "rotate-client-id"];

/// What the forms of a page do, of what an owner can do with an application.
fn offered(page: &str, own: &str) -> Vec<&'static str> {
    let has = |verb: &&str| page.contains(&format!("action=\"{own}/{verb}\""));
    VERBS.into_iter().filter(has).collect()
}

/// What stands between two texts.
fn between<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let rest = page.split_once(start).unwrap_or_else(|| panic!("no {start} in {page}")).1;
    rest.split_once(end).unwrap_or_else(|| panic!("no {end} after {start}")).0
}

/// What a browser sends of a form with these fields: those out of sight, too.
fn form<'a>(purpose: &'a str, name: &'a str, redirect_uri: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("purpose", purpose),
        ("name", name),
        ("redirect_uri", redirect_uri),
        ("description", "Reads."),
        ("scope", "read"),
        ("website", ""),
    ]
}

async fn ask(browser: &mut Browser, fields: &[(&str, &str)]) -> Answer {
    browser.submit("/settings/apps", "/settings/apps", fields).await
}

#[tokio::test]
async fn each_state_offers_its_owner_what_can_be_done_and_no_more() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    for state in State::ALL {
        let id = cast.given(&cast.cleo, state).await;
        let own = format!("/settings/apps/{id}");
        let page = cleo.get(&own).await.body;
        let expected: &[&str] = match state {
            State::UnderReview => &["edit", "withdraw"],
            State::ChangesRequested => &["resubmit", "withdraw"],
            State::Denied => &["appeal"],
            State::Approved => &["edit", "withdraw", "rotate-client-id"],
            State::ApprovedChanging => &["edit", "withdraw", "withdraw-change", "rotate-client-id"],
            State::Suspended => &["withdraw"],
            State::SuspendedChanging => &["withdraw", "withdraw-change"],
            State::Revoked | State::Withdrawn => &[],
        };
        assert_eq!(offered(&page, &own), expected, "{state:?}");
        assert_eq!(
            page.contains("id=\"client_id\""),
            expected.contains(&"rotate-client-id") || page.contains("suspended</span>")
        );
        let now = between(&page, "<h2 id=\"now\">What happens now</h2>", "</section>");
        let word = match state {
            State::UnderReview => "It came into the queue",
            State::ChangesRequested => "Your turn",
            State::Denied => "You can appeal",
            State::Approved => "It works",
            State::ApprovedChanging => "Your change came into the queue",
            State::Suspended | State::SuspendedChanging => "until a reviewer reinstates or revokes it",
            State::Revoked => "ended for good",
            State::Withdrawn => "You withdrew it",
        };
        assert!(now.contains(word), "{state:?}: {now}");
    }
}

#[tokio::test]
async fn mistakes_stand_beside_their_fields_in_the_words_of_the_api_with_what_was_typed() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    let name = "x".repeat(51);
    let before = cast.head().await;
    let fields = [
        ("purpose", "web"),
        ("name", name.as_str()),
        ("redirect_uri", "http://app.example/cb"),
        ("description", "a\u{202e}b"),
        ("website", "nowhere"),
        ("scope", "audit"),
    ];
    let page = ask(&mut cleo, &fields).await;
    let body = json!({
        "purpose": "web", "name": name, "redirect_uris": ["http://app.example/cb"], "description": "a\u{202e}b",
        "website": "nowhere", "scopes": "audit",
    });
    let api = cleo.json(Method::POST, "/api/v1/applications", &body).await;
    assert_eq!((page.status, api.status), (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::UNPROCESSABLE_ENTITY));
    let errors = api.json()["errors"].as_array().expect("errors").clone();
    assert_eq!(errors.len(), 5, "{}", api.body);
    for error in errors {
        let (field, message) = (error["field"].as_str().expect("text"), error["message"].as_str().expect("text"));
        // The form's name for it says one of what the JSON lists.
        let field = match field {
            "redirect_uris" => "redirect_uri",
            "scopes" => "scope",
            field => field,
        };
        let beside = format!("<p class=\"problem\" id=\"{field}-error\">{message}</p>");
        assert!(page.body.contains(&beside), "{field}: {message}: {}", page.body);
        assert!(page.body.contains(&format!("aria-describedby=\"{field}-hint {field}-error\"")), "{field}");
        assert!(page.body.contains(&format!("<li><a href=\"#{field}\">{message}</a></li>")), "{field}");
    }
    for typed in [&format!("value=\"{name}\""), ">http://app.example/cb</textarea>", "value=\"nowhere\""] {
        assert!(page.body.contains(typed), "{typed}");
    }
    assert!(page.body.contains("<details class=\"more\" open>"), "a mistake is in sight");
    assert_eq!(cast.head().await, before);
}

#[tokio::test]
async fn a_preview_shows_what_the_reviewer_will_see_and_sends_nothing() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    let approved = cast.given(&cast.cleo, State::Approved).await;
    let before = cast.head().await;
    let mut fields = form("web", "  My   reader ", "https://my.example/cb");
    fields.push(("preview", "1"));
    let page = ask(&mut cleo, &fields).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let preview = between(&page.body, "id=\"preview\"", "</section>");
    for seen in ["<bdi>My reader</bdi>", "https://my.example/cb", "Read posts and comments", "by <bdi>cleo</bdi>"] {
        assert!(preview.contains(seen), "{seen}: {preview}");
    }
    assert!(!preview.contains("class=\"difference\"") && page.body.contains("value=\"  My   reader \""));

    let own = format!("/settings/apps/{approved}");
    let page = cleo.submit(&own, &format!("{own}/edit"), &fields).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let preview = between(&page.body, "id=\"preview\"", "</section>");
    assert!(preview.contains("<del>Reader</del>") && preview.contains("<ins>My reader</ins>"), "{preview}");

    fields[1].1 = "";
    for (page, path) in [("/settings/apps", "/settings/apps".to_owned()), (&own, format!("{own}/edit"))] {
        let refused = cleo.submit(page, &path, &fields).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(!refused.body.contains("id=\"preview\"") && refused.body.contains("id=\"name-error\""));
    }
    assert_eq!(cast.head().await, before);
}

#[tokio::test]
async fn a_personal_application_is_asked_for_by_form_whatever_its_hidden_field_holds() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    for redirect_uri in ["", "https://typed.example/before-another-purpose"] {
        let asked = ask(&mut cleo, &form("personal", "Bot", redirect_uri)).await;
        assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.body);
        let id = asked.location().rsplit('/').next().expect("an id").parse().expect("an id");
        let row = cast.app().my_application(cast.cleo.id, id).await.expect("hers");
        assert_eq!((row.purpose.as_str(), row.redirect_uris.len()), ("personal", 0));
    }
    // What is out of sight is kept nevertheless, for whoever chooses again.
    let refused = ask(&mut cleo, &form("personal", "", "https://typed.example/cb")).await;
    assert!(refused.body.contains(">https://typed.example/cb</textarea>"), "{}", refused.body);
}

#[tokio::test]
async fn the_form_of_an_approved_application_proposes_and_its_purpose_stays() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    let asked = ask(&mut cleo, &form("personal", "Bot", "")).await;
    let own = asked.location().to_owned();
    let id = own.rsplit('/').next().expect("an id").parse().expect("an id");
    assert!(cleo.get(&own).await.body.contains("type=\"radio\" name=\"purpose\""), "it can still be another");
    cast.decide(&cast.dee, id, Verb::Approve, 1).await.expect("approved");
    let page = cleo.get(&own).await;
    assert!(!page.body.contains("type=\"radio\"") && !page.body.contains("name=\"redirect_uri\""), "{}", page.body);
    let purpose = page.hidden("purpose");
    let mut fields = form(&purpose, "Better bot", "");
    fields.push(("revision", "1"));
    let proposed = cleo.submit(&own, &format!("{own}/edit"), &fields).await;
    assert_eq!(proposed.status, StatusCode::SEE_OTHER, "{}", proposed.body);
    let page = cleo.get(&own).await.body;
    let change = between(&page, "id=\"change\"", "</section>");
    for seen in ["Approved, revision 1", "Proposed, revision 2", "<del>Bot</del>", "<ins>Better bot</ins>"] {
        assert!(change.contains(seen), "{seen}: {change}");
    }
}

#[tokio::test]
async fn the_reason_stands_beside_the_form_that_answers_it() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    for (state, form) in [(State::ChangesRequested, "resubmit"), (State::Denied, "appeal")] {
        let id = cast.given(&cast.cleo, state).await;
        let page = cleo.get(&format!("/settings/apps/{id}")).await.body;
        let section = between(&page, &format!("<section id=\"{form}\""), "</section>");
        let reason = between(section, "<div class=\"card reason\"", "</div>");
        assert!(
            reason.contains("dee ") && reason.contains("<blockquote><bdi>As agreed.</bdi></blockquote>"),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn what_was_typed_outlives_a_decision_that_came_first() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    let id = cast.given(&cast.cleo, State::ChangesRequested).await;
    let own = format!("/settings/apps/{id}");
    // It is under review again: what the form of before sends is refused, and shown in the form of now.
    let form = |name| [form("web", name, "https://my.example/cb"), vec![("revision", "1")]].concat();
    cleo.submit(&own, &format!("{own}/resubmit"), &form("First")).await;
    let page = cleo.submit(&own, &format!("{own}/resubmit"), &form("Second")).await;
    assert_eq!(page.status, StatusCode::CONFLICT, "{}", page.body);
    assert!(page.body.contains("value=\"Second\"") && page.body.contains("id=\"edit\" open"), "{}", page.body);
    assert!(page.body.contains("role=\"alert\""));
}

#[tokio::test]
async fn cards_come_in_the_order_of_need_and_only_the_first_tell_their_whole_story() {
    let cast = Cast::start().await;
    for state in [State::ChangesRequested, State::Withdrawn, State::Approved, State::Denied] {
        cast.given(&cast.cleo, state).await;
        cast.site.clock.advance(Duration::hours(1));
    }
    for _ in 0..4 {
        cast.given(&cast.cleo, State::UnderReview).await;
    }
    let page = cast.browser(&cast.cleo).get("/settings/apps").await.body;
    let states: Vec<_> = between(&page, "id=\"applications\"", "</section>")
        .split("class=\"badge ")
        .skip(1)
        .map(|rest| rest.split('"').next().expect("a class"))
        .collect();
    let waits = ["under_review"; 4];
    let expected = [&["changes_requested"][..], &waits, &["approved", "denied", "withdrawn"]].concat();
    assert_eq!(states, expected);
    assert_eq!(page.matches("class=\"next\"").count(), 5, "{page}");
    assert_eq!(page.matches("Last decision by <bdi>dee</bdi>").count(), 2, "of what was approved and denied: {page}");
    assert!(page.contains("2 others wait longer") && page.contains("You withdrew it."), "{page}");
}

#[tokio::test]
async fn whoever_has_as_many_requests_as_may_be_is_told_so_before_typing() {
    let cast = Cast::start_with(&[("LIMITS_OPEN_REQUESTS", "2")]).await;
    let mut cleo = cast.browser(&cast.cleo);
    assert!(cleo.get("/settings/apps").await.body.contains("<details class=\"ask\" open>"), "a newcomer sees the form");
    cast.given(&cast.cleo, State::UnderReview).await;
    let page = cleo.get("/settings/apps").await.body;
    assert!(page.contains("<details class=\"ask\">") && page.contains("id=\"request\""), "{page}");
    cast.given(&cast.cleo, State::ChangesRequested).await;
    let page = cleo.get("/settings/apps").await.body;
    assert!(page.contains("You have 2 requests open") && !page.contains("id=\"request\""), "{page}");
}

#[tokio::test]
async fn a_token_that_waits_is_a_step_away_and_what_became_of_each_is_told() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    let id = cast.given(&cast.cleo, State::Approved).await;
    let message = cast.site.newest_message(cast.cleo.id).await;
    let own = format!("/settings/apps/{id}");
    let reveal = format!("href=\"/inbox/{message}\"");
    for path in ["/settings/apps", &own] {
        assert!(cleo.get(path).await.body.contains(&reveal), "{path}");
    }
    let revealed = cleo.submit("/settings", &format!("/inbox/{message}/reveal"), &[]).await;
    assert_eq!(revealed.status, StatusCode::OK, "{}", revealed.body);
    cast.site.settle().await;
    assert!(!cleo.get(&own).await.body.contains(&reveal));

    let token = cast.app().my_tokens(cast.cleo.id).await.expect("tokens")[0].row.token_id;
    let revoke = format!("/settings/tokens/{token}/revoke");
    assert_eq!(cleo.submit("/settings/apps", &revoke, &[]).await.status, StatusCode::SEE_OTHER);
    let page = cleo.get("/settings/apps").await.body;
    let card = between(&page, &format!("id=\"token-{token}\""), "</li>\n");
    assert!(
        card.contains("You ended it.") && card.contains("Get a new token") && card.contains("no use noted yet"),
        "{card}"
    );
    // Of two tokens of one moment nobody could say which is the newer one.
    cast.site.clock.advance(chrono::Duration::seconds(1));
    let renewed = cleo.submit("/settings/apps", &format!("/settings/tokens/{token}/regenerate"), &[]).await;
    assert_eq!(renewed.status, StatusCode::OK, "{}", renewed.body);
    let shown = between(&renewed.body, "<pre id=\"token\">", "</pre>");
    assert!(renewed.body.contains("Your new token for <bdi>Reader</bdi>"));
    assert_eq!(cleo.with_token(Method::GET, "/unread", shown).await.status, StatusCode::OK);
    let page = cleo.get("/settings/apps").await.body;
    assert!(!page.contains(shown));
    let newest = between(&page, "class=\"card token\"", "</li>\n");
    assert!(newest.contains("last used <time"), "{newest}");
    let card = between(&page, &format!("id=\"token-{token}\""), "</li>\n");
    assert!(card.contains("You ended it.") && !card.contains("<form"), "another is in its place: {card}");
}

#[tokio::test]
async fn a_token_offers_nothing_that_would_be_refused() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    for (state, forms) in [(State::Approved, 2), (State::Suspended, 2), (State::Revoked, 0)] {
        let id = cast.given(&cast.cleo, state).await;
        let page = cleo.get(&format!("/settings/apps/{id}")).await.body;
        assert_eq!(page.matches("action=\"/settings/tokens/").count(), forms, "{state:?}");
    }
    assert!(cleo.get("/settings/apps").await.body.contains("Reviewers revoked its application."));
}

#[tokio::test]
async fn the_settings_say_what_is_there() {
    let cast = Cast::start().await;
    let page = cast.browser(&cast.cleo).get("/settings").await.body;
    assert!(page.contains("You have not asked for an application.") && !page.contains("id=\"roles\""), "{page}");
    for state in [State::UnderReview, State::ChangesRequested, State::Approved] {
        cast.given(&cast.cleo, state).await;
    }
    let page = cast.browser(&cast.cleo).get("/settings").await.body;
    let said = "3 applications of yours, 1 waiting for a reviewer, 1 waiting for you. 1 token works.";
    assert!(page.contains(said) && page.contains("1 application may act for you."), "{page}");
    let ada = cast.person("ada", &[Role::Auditor, Role::Reviewer]).await;
    let page = cast.browser(&ada).get("/settings").await.body;
    assert!(page.contains("<dt>Reviewer</dt>") && page.contains("<dt>Auditor</dt>"), "{page}");
    assert!(!page.contains("<dt>Operator</dt>"), "{page}");
}

#[tokio::test]
async fn names_in_both_directions_stay_inside_their_place() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    let name = "שלום <b>عالم</b>";
    let asked = ask(&mut cleo, &form("web", name, "https://my.example/cb")).await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.body);
    let escaped = "<bdi>שלום &#60;b&#62;عالم&#60;/b&#62;</bdi>";
    for path in ["/settings/apps", asked.location()] {
        assert!(cleo.get(path).await.body.contains(escaped), "{path}");
    }
}

#[tokio::test]
async fn an_owner_is_told_that_the_first_of_two_reviewers_has_signed() {
    let cast = Cast::start_with(&[("TWO_PERSON_RULE", "true")]).await;
    let mut cleo = cast.browser(&cast.cleo);
    let id = cast.given(&cast.cleo, State::UnderReview).await;
    let own = format!("/settings/apps/{id}");
    let waits = cleo.get(&own).await.body;
    assert!(waits.contains("It waits for a reviewer, who") && !waits.contains("it takes two"), "{waits}");
    cast.decide(&cast.rob, id, Verb::Approve, 1).await.expect("signed");
    for path in [own.as_str(), "/settings/apps"] {
        let signed = cleo.get(path).await.body;
        assert!(signed.contains("One reviewer agrees and has signed; it takes two. It waits for a second reviewer"));
        assert!(signed.contains("the first signature then no longer counts"), "{path}: {signed}");
    }
}

#[tokio::test]
async fn the_owner_of_a_suspended_application_can_write_to_whoever_suspended_it() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    let id = cast.given(&cast.cleo, State::Suspended).await;
    let page = cleo.get(&format!("/settings/apps/{id}")).await.body;
    let now = between(&page, "<h2 id=\"now\">", "</section>");
    assert!(now.contains("<a href=\"/inbox?to=dee&amp;title=Reader#write\">Write a message</a>"), "{now}");
    let form = cleo.get("/inbox?to=dee&title=Reader").await.body;
    assert!(form.contains("id=\"write\" open") && form.contains("value=\"dee\""), "{form}");
    let revoked = cast.given(&cast.cleo, State::Revoked).await;
    let revoked = cleo.get(&format!("/settings/apps/{revoked}")).await.body;
    assert!(!revoked.contains("Write a message") && revoked.contains("What was approved"), "{revoked}");
}

#[tokio::test]
async fn options_are_in_view_where_the_application_uses_them() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    let usual = [("scope", "read"), ("scope", "identity"), ("scope", "notifications")];
    let cases = [(usual.to_vec(), "", false), (usual.to_vec(), "https://my.example", true), (vec![usual[0]], "", true)];
    for (scopes, website, in_view) in cases {
        let mut fields = vec![("purpose", "personal"), ("name", "Bot"), ("website", website)];
        fields.extend(scopes);
        let asked = ask(&mut cleo, &fields).await;
        let page = cleo.get(asked.location()).await.body;
        assert_eq!(page.contains("<details class=\"more\" open>"), in_view, "{fields:?}: {page}");
    }
}
