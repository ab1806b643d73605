//! What is written over something else: whoever fills in a form, or names the revision that they read, overwrites no
//! other one; and of several who write fields of one application at once, nobody's acknowledged change is lost.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use countersign::app::{
    App, Caller,
    reviews::{Verb, Verdict},
};
use countersign_events::{
    application::{Asked, Standing},
    ids::ApplicationId,
    recorded::Actor,
};
use serde_json::{Value, json};

use crate::{
    browser_double::{Answer, Browser},
    databases::Database,
    prerequisites::times,
    review_scene::{BUSY, Cast, Person, ROOMY, State},
};

/// Each number of writers, in so many rounds.
const ROUNDS: usize = 60;

/// What a form of an application's page holds, as a browser sends it.
fn filled(page: &Answer, name: &str) -> Vec<(&'static str, String)> {
    let text = |before: &str, after: &str| {
        let rest = page.body.split_once(before).unwrap_or_else(|| panic!("no {before} in {}", page.body)).1;
        let rest = rest.split_once('>').expect("a tag ends").1;
        rest.split_once(after).expect("a text ends").0.to_owned()
    };
    let value = |field: &str| {
        let rest = page.body.split_once(&format!("id=\"{field}\" name=\"{field}\"")).expect("a field").1;
        rest.split_once("value=\"").expect("a value").1.split_once('"').expect("an end").0.to_owned()
    };
    // The form that takes a proposed change back has one as well.
    let form = page.body.split_once("class=\"card request\"").expect("a form").1;
    let revision = form.split_once("name=\"revision\" value=\"").expect("a revision").1;
    let revision = revision.split_once('"').expect("an end").0.to_owned();
    vec![
        ("csrf_token", page.hidden("csrf_token")),
        ("revision", revision),
        ("purpose", "web".to_owned()),
        ("name", if name.is_empty() { value("name") } else { name.to_owned() }),
        ("description", text("<textarea id=\"description\"", "</textarea>")),
        ("website", value("website")),
        ("redirect_uri", text("<textarea id=\"redirect_uri\"", "</textarea>")),
        ("scope", "read".to_owned()),
    ]
}

async fn post(browser: &mut Browser, path: &str, fields: &[(&'static str, String)]) -> Answer {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post(path, &fields).await
}

/// Another revision of an application, whose name is `Moved`, in the state that it has.
async fn move_on(cast: &Cast, id: ApplicationId, state: State) {
    if state == State::ChangesRequested {
        let api = format!("/api/v1/applications/{id}/resubmit");
        let mut cleo = cast.browser(&cast.cleo);
        assert_eq!(cleo.json(Method::POST, &api, &json!({ "name": "Moved" })).await.status, 200);
        cast.decide(&cast.dee, id, Verb::RequestChanges, 2).await.expect("asked for changes again");
    } else {
        cast.edit(&cast.cleo, id, "Moved").await;
    }
}

const FORMS: [(State, &str); 4] = [
    (State::UnderReview, "edit"),
    (State::ChangesRequested, "resubmit"),
    (State::Approved, "edit"),
    (State::ApprovedChanging, "edit"),
];

#[tokio::test]
async fn a_form_that_was_filled_before_another_change_is_refused_with_the_difference_and_keeps_what_was_typed() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    for (state, verb) in FORMS {
        let id = cast.given(&cast.cleo, state).await;
        let (own, path) = (format!("/settings/apps/{id}"), format!("/settings/apps/{id}/{verb}"));
        let typed = filled(&cleo.get(&own).await, "Typed & kept");
        move_on(&cast, id, state).await;
        let before = cast.head().await;
        // A look at it first shows nothing that was not read.
        let preview = [typed.clone(), vec![("preview", "1".to_owned())]].concat();
        let looked_at = post(&mut cleo, &path, &preview).await;
        assert_eq!((looked_at.status, &filled(&looked_at, "")[1]), (StatusCode::OK, &typed[1]), "{state:?}");
        let refused = post(&mut cleo, &path, &typed).await;
        assert_eq!((refused.status, cast.head().await), (StatusCode::CONFLICT, before), "{state:?}: {}", refused.body);
        for shown in ["cleo changed it on", "<ins>Moved</ins>", "<del>", "value=\"Typed &#38; kept\""] {
            assert!(refused.body.contains(shown), "{state:?}: {shown}: {}", refused.body);
        }
        // Whoever was told what differs can send it again.
        let again = filled(&refused, "Typed & kept");
        assert_ne!(again[1], typed[1], "{state:?}");
        assert_eq!(post(&mut cleo, &path, &again).await.status, StatusCode::SEE_OTHER, "{state:?}");
        assert_eq!(asked(cast.app(), &cast.cleo, id).await.name, "Typed & kept", "{state:?}");
    }
}

#[tokio::test]
async fn a_form_that_names_no_revision_changes_nothing_and_keeps_what_was_typed() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    for (state, verb) in FORMS {
        let id = cast.given(&cast.cleo, state).await;
        let (own, path) = (format!("/settings/apps/{id}"), format!("/settings/apps/{id}/{verb}"));
        for (name, named) in [("Typed", None), ("", None), ("Typed", Some("none"))] {
            let mut typed = filled(&cleo.get(&own).await, "Typed");
            typed.retain(|(field, _)| *field != "revision" && *field != "name");
            typed.push(("name", name.to_owned()));
            typed.extend(named.map(|revision| ("revision", revision.to_owned())));
            let before = cast.head().await;
            let refused = post(&mut cleo, &path, &typed).await;
            assert_eq!((refused.status, cast.head().await), (StatusCode::UNPROCESSABLE_ENTITY, before), "{state:?}");
            assert!(refused.body.contains("does not say which revision"), "{state:?}: {}", refused.body);
            assert!(refused.body.contains(&format!("name=\"name\" value=\"{name}\"")), "{state:?}: {}", refused.body);
        }
    }
}

#[tokio::test]
async fn the_api_refuses_to_change_a_revision_that_was_not_read_and_says_what_differs() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    let withdraw = (State::ApprovedChanging, "withdraw-change");
    for (state, verb) in FORMS.into_iter().chain([withdraw]) {
        let id = cast.given(&cast.cleo, state).await;
        let api = format!("/api/v1/applications/{id}");
        let read = cleo.get(&api).await.json()["revision"].clone();
        move_on(&cast, id, state).await;
        let (method, path) =
            if verb == "edit" { (Method::PATCH, api.clone()) } else { (Method::POST, format!("{api}/{verb}")) };
        let mut body = json!({ "revision": read });
        if verb != "withdraw-change" {
            body["description"] = json!("Another.");
        }
        let before = cast.head().await;
        let refused = cleo.json(method.clone(), &path, &body).await;
        let (problem, current) = (refused.json(), refused.json()["current"].clone());
        assert_eq!((refused.status.as_u16(), &problem["code"]), (409, &json!("revised")), "{state:?}: {problem}");
        assert_eq!((cast.head().await, &current["by"]), (before, &json!("cleo")), "{problem}");
        assert!(current["at"].is_string() && current["difference"][0]["after"] == "Moved", "{problem}");
        body["revision"] = current["revision"].clone();
        assert_eq!(cleo.json(method, &path, &body).await.status, 200, "{state:?}");
    }
}

#[tokio::test]
async fn what_a_partial_edit_leaves_out_stays_as_it_is_by_then() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    for (state, verb) in FORMS {
        let id = cast.given(&cast.cleo, state).await;
        let api = format!("/api/v1/applications/{id}");
        move_on(&cast, id, state).await;
        let (method, path) =
            if verb == "edit" { (Method::PATCH, api) } else { (Method::POST, format!("{api}/{verb}")) };
        let edited = cleo.json(method, &path, &json!({ "website": "https://app.example/about" })).await;
        assert_eq!(edited.status, 200, "{state:?}: {}", edited.body);
        let asked = asked(cast.app(), &cast.cleo, id).await;
        assert_eq!((asked.name.as_str(), asked.website.as_deref()), ("Moved", Some("https://app.example/about")));
    }
}

#[tokio::test]
async fn a_change_that_was_not_read_is_not_taken_back_and_a_new_client_id_is_not_replaced_at_once() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    let id = cast.given(&cast.cleo, State::ApprovedChanging).await;
    let own = format!("/settings/apps/{id}");
    let page = cleo.get(&own).await;
    let (csrf, revision, client_id) = (page.hidden("csrf_token"), page.hidden("revision"), page.hidden("client_id"));
    cast.edit(&cast.cleo, id, "Moved").await;
    let fields = [("csrf_token", csrf.as_str()), ("revision", revision.as_str())];
    let refused = cleo.post(&format!("{own}/withdraw-change"), &fields).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.body.contains("<ins>Moved</ins>"), "{}", refused.body);
    assert_eq!(asked(cast.app(), &cast.cleo, id).await.name, "Moved");
    // Two tabs with the same client id: it is replaced once.
    let before = cast.head().await;
    let fields = [("csrf_token", csrf.as_str()), ("client_id", client_id.as_str())];
    for _ in 0..2 {
        let rotated = cleo.post(&format!("{own}/rotate-client-id"), &fields).await;
        assert_eq!(rotated.status, StatusCode::SEE_OTHER, "{}", rotated.body);
    }
    let api = format!("/api/v1/applications/{id}/rotate-client-id");
    assert_eq!(cleo.json(Method::POST, &api, &json!({ "client_id": client_id })).await.status, 200);
    assert_eq!(cast.appended(before).await, ["ClientIdRotated"]);
}

#[tokio::test]
async fn an_application_that_is_not_what_was_read_any_more_is_not_withdrawn() {
    let cast = Cast::start().await;
    let mut cleo = cast.browser(&cast.cleo);
    for (state, code) in
        [(State::UnderReview, "wrong_state"), (State::Approved, "wrong_state"), (State::Approved, "revised")]
    {
        let id = cast.given(&cast.cleo, state).await;
        let (own, api) = (format!("/settings/apps/{id}"), format!("/api/v1/applications/{id}/withdraw"));
        let page = cleo.get(&own).await;
        let form = page.body.split_once(&format!("action=\"{own}/withdraw\"")).expect("a form").1;
        let field = |name: &str| {
            let rest = form.split_once(&format!("name=\"{name}\" value=\"")).expect("a field").1;
            rest.split_once('"').expect("an end").0.to_owned()
        };
        let (csrf, revision, was) = (page.hidden("csrf_token"), field("revision"), field("state"));
        // Somebody decides meanwhile, or the owner proposes a change in another tab.
        match (state, code) {
            (State::UnderReview, _) => cast.decide(&cast.dee, id, Verb::Approve, 1).await.map(drop).expect("approved"),
            (_, "revised") => cast.edit(&cast.cleo, id, "Moved").await,
            _ => cast.decide(&cast.dee, id, Verb::Suspend, 1).await.map(drop).expect("suspended"),
        }
        let before = cast.head().await;
        let fields = [("csrf_token", csrf.as_str()), ("revision", &revision), ("state", &was)];
        let refused = cleo.post(&format!("{own}/withdraw"), &fields).await;
        assert_eq!((refused.status, cast.head().await), (StatusCode::CONFLICT, before), "{code}: {}", refused.body);
        let read = json!({ "revision": revision.parse::<u32>().expect("a number"), "state": was });
        let refused = cleo.json(Method::POST, &api, &read).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (StatusCode::CONFLICT, Some(code)));
        assert_eq!(cast.head().await, before);
        // Whoever says nothing of what they read withdraws whatever there is.
        assert_eq!(cleo.json(Method::POST, &api, &json!({})).await.status, StatusCode::NO_CONTENT);
        assert_eq!(cast.appended(before).await, ["ApplicationWithdrawn"]);
    }
}

async fn asked(app: &App, owner: &Person, id: ApplicationId) -> Asked {
    let row = app.my_application(owner.id, id).await.expect("theirs");
    row.proposed.clone().unwrap_or_else(|| row.asked())
}

/// A door through which one field is written.
#[derive(Debug, Clone, Copy)]
enum Door {
    /// The API, which is told nothing but the field.
    Field,
    /// The API, which is told the revision that was read as well.
    FieldOfRevision,
    /// The form, with all fields as it was filled with them.
    Form,
}

/// Writes a field until that is acknowledged, reading again what the application asks for whenever it is refused.
async fn write(browser: &mut Browser, id: ApplicationId, door: Door, value: &str) {
    let (api, own) = (format!("/api/v1/applications/{id}"), format!("/settings/apps/{id}"));
    loop {
        let answer = match door {
            Door::Field => browser.json(Method::PATCH, &api, &json!({ "description": value })).await,
            Door::FieldOfRevision => {
                let read: Value = browser.get(&api).await.json();
                let body = json!({ "website": format!("https://{value}.example/"), "revision": read["revision"] });
                browser.json(Method::PATCH, &api, &body).await
            }
            Door::Form => {
                let page = browser.get(&own).await;
                post(browser, &format!("{own}/edit"), &filled(&page, value)).await
            }
        };
        match answer.status.as_u16() {
            200 | 303 => return,
            409 => {}
            _ => panic!("{door:?}: {}: {}", answer.status, answer.body),
        }
    }
}

/// What the command line does: a reviewer approves what they read, as often as it takes.
async fn approve(app: &App, reviewer: &Person, id: ApplicationId) -> u32 {
    let caller = Caller { actor: Actor::Cli("test".to_owned()), ..Caller::system() };
    loop {
        let revision = app.reviewed_application(id).await.expect("there").revision;
        let verdict = Verdict { revision, reason_code: String::new(), reason: String::new() };
        if app.decide_application(&caller, reviewer.id, id, Verb::Approve, &verdict).await.is_ok() {
            return revision;
        }
    }
}

/// Rounds of two and three writers, in every second one beside a reviewer who approves; the writers take the nodes in
/// turn.
async fn rounds(cast: &Cast, nodes: &[Arc<App>]) {
    let browser = |number: usize| {
        let mut browser = Browser::new(&nodes[number % nodes.len()]);
        browser.cookies = cast.browser(&cast.cleo).cookies;
        browser
    };
    let mut browsers = [browser(0), browser(1), browser(2)];
    for round in 0..times(ROUNDS) {
        let id = cast.given(&cast.cleo, State::UnderReview).await;
        let value = format!("round-{round}");
        let [first, second, third] = &mut browsers;
        let writers = async {
            match round % 3 {
                0 => tokio::join!(write(first, id, Door::Field, &value), write(second, id, Door::Form, &value)),
                1 => tokio::join!(
                    write(first, id, Door::FieldOfRevision, &value),
                    write(second, id, Door::Field, &value)
                ),
                _ => {
                    let two = async {
                        tokio::join!(
                            write(first, id, Door::Form, &value),
                            write(second, id, Door::FieldOfRevision, &value)
                        )
                    };
                    let ((), ((), ())) = tokio::join!(write(third, id, Door::Field, &value), two);
                    ((), ())
                }
            }
        };
        let approved = async {
            if round % 2 == 0 { Some(approve(&nodes[round % nodes.len()], &cast.rob, id).await) } else { None }
        };
        let (_, approved) = tokio::join!(writers, approved);
        let row = nodes[0].my_application(cast.cleo.id, id).await.expect("theirs");
        assert_eq!(approved.is_some(), row.standing == Standing::Approved, "round {round}");
        if let Some(revision) = approved {
            assert_eq!(row.holds, revision, "round {round}: what was approved is what was read");
        }
        let asked = asked(&nodes[0], &cast.cleo, id).await;
        let website = format!("https://round-{round}.example/");
        let (name, description, site) =
            (asked.name == value, asked.description == value, asked.website == Some(website));
        let expected = [(true, true, false), (false, true, true), (true, true, true)][round % 3];
        assert_eq!((name, description, site), expected, "round {round}: {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_change_is_lost_to_another_writer() {
    let cast = Cast::start().await;
    rounds(&cast, std::slice::from_ref(&cast.site.app)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_change_is_lost_to_another_writer_on_another_node() {
    if !Database::Postgres.require() {
        return;
    }
    let cast = Cast::start_in(Database::Postgres, &[]).await;
    let another = cast.site.another_node(&[ROOMY, BUSY]).await;
    rounds(&cast, &[cast.site.app.clone(), another.clone()]).await;
    another.stop().await;
}
