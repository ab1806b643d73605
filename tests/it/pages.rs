//! The guide's flow over HTTP, by forms, as three people.

use axum::http::{Method, StatusCode};
use countersign_events::account::Role;

use crate::{browser_double::Browser, support::TestApp};

#[tokio::test]
async fn three_people_go_the_guides_way_from_request_to_removal() {
    let site = TestApp::start().await;
    site.given_member("cleo", &[]).await;
    site.given_member("ben", &[]).await;
    site.given_member("rob", &[Role::Reviewer]).await;
    let (mut cleo, mut rob, mut ben) = (Browser::new(&site.app), Browser::new(&site.app), Browser::new(&site.app));
    cleo.log_in("cleo").await;
    rob.log_in("rob").await;

    let request = [("name", "Reader"), ("redirect_uri", "https://app.example/cb?keep=1"), ("description", "Reads.")];
    let asked = cleo.submit("/settings/apps", "/settings/apps", &request).await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.body);
    let own_page = asked.location().to_owned();
    let id = own_page.rsplit('/').next().expect("an id").to_owned();
    assert!(cleo.get(&own_page).await.body.contains("under review"));

    let list = rob.get("/admin/apps").await;
    assert!(list.body.contains("Reader"), "{}", list.body);
    let review = format!("/admin/apps/{id}");
    let verdict = [("revision", "1"), ("reason_code", "meets_policy"), ("reason", "Welcome.")];
    let approved = rob.submit(&review, &format!("{review}/approve"), &verdict).await;
    assert_eq!(approved.status, StatusCode::SEE_OTHER, "{}", approved.body);

    site.settle().await;
    let inbox = cleo.get("/inbox").await;
    assert!(inbox.body.contains("a token waits"), "{}", inbox.body);
    let start = inbox.body.find("href=\"/inbox/").expect("a message") + "href=\"".len();
    let message = inbox.body[start..].split('"').next().expect("a path").to_owned();
    let revealed = cleo.submit(&message, &format!("{message}/reveal"), &[]).await;
    assert_eq!(revealed.status, StatusCode::OK, "{}", revealed.body);
    let start = revealed.body.find("<pre id=\"token\">").expect("a token") + "<pre id=\"token\">".len();
    let token = revealed.body[start..].split('<').next().expect("a token").to_owned();
    let again = cleo.submit("/settings/apps", &format!("{message}/reveal"), &[]).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.body.contains("was revealed on"), "{}", again.body);

    let front = cleo.with_token(Method::GET, "/?sort=comments", &token).await;
    assert_eq!(front.status, StatusCode::OK, "{}", front.body);
    assert!(front.json()["data"].is_array());

    let page = cleo.get(&own_page).await.body;
    let start = page.find("<code id=\"client_id\">").expect("a client id") + "<code id=\"client_id\">".len();
    let client = page[start..].split('<').next().expect("a client id").to_owned();
    let ask = format!("/authorize/?client_id={client}&state=x%20y");
    let to_login = ben.get(&ask).await;
    assert_eq!(to_login.status, StatusCode::SEE_OTHER, "{}", to_login.body);
    ben.log_in("ben").await;
    let consent = ben.get(&ask).await;
    assert_eq!(consent.status, StatusCode::OK, "{}", consent.body);
    assert!(consent.body.contains("app.example"), "{}", consent.body);
    let hidden: Vec<_> = ["csrf_token", "client_id", "redirect_uri", "state", "scope", "nonce"]
        .map(|name| (name, consent.hidden(name)))
        .to_vec();
    let mut fields: Vec<_> = hidden.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fields.push(("decision", "authorize"));
    let sent = ben.post("/authorize", &fields).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.body);
    assert!(sent.location().starts_with("https://app.example/cb?keep=1&access_token="), "{}", sent.location());
    assert_eq!(sent.header("referrer-policy"), "no-referrer");
    let address = url::Url::parse(sent.location()).expect("an address");
    let bens: String = address.query_pairs().find(|(name, _)| name == "access_token").expect("a token").1.into_owned();

    site.settle().await;
    let unread = ben.with_token(Method::GET, "/unread", &format!("bearer {bens}")).await;
    assert_eq!(unread.status, StatusCode::OK, "{}", unread.body);
    assert_eq!(unread.json()["data"][0]["title"], "You authorized “Reader”");
    let removed = ben.submit("/settings/authorizations", &format!("/settings/authorizations/{id}/remove"), &[]).await;
    assert_eq!(removed.status, StatusCode::SEE_OTHER, "{}", removed.body);
    let refused = ben.with_token(Method::GET, "/unread", &bens).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.json()["code"], "token_revoked");
}

#[tokio::test]
async fn the_json_api_lets_a_signed_in_member_ask_and_refuses_what_only_a_token_cannot_do() {
    let site = TestApp::start().await;
    site.given_member("cleo", &[]).await;
    let mut cleo = Browser::new(&site.app);
    cleo.log_in("cleo").await;
    let body = serde_json::json!({ "name": "Bot", "purpose": "personal" });
    let asked = cleo.json(Method::POST, "/api/v1/applications", &body).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{}", asked.body);
    assert_eq!(asked.json()["state"], "under_review");
    assert!(asked.header("countersign-position").starts_with("1."), "{:?}", asked.headers);
    let wrong = cleo.json(Method::POST, "/api/v1/applications", &serde_json::json!({ "name": "" })).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(wrong.json()["errors"][0]["field"], "name");
}
