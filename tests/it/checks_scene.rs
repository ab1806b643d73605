//! The cast of the security checks: an owner, another member, a reviewer, and an application that is approved.
//! The checks themselves are in the other `checks_` modules.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use countersign::app::{applications, authorizations::ConsentRequest, reviews::Verb};
use countersign_events::{
    account::Role,
    ids::{ApplicationId, UserId},
};

use crate::{
    browser_double::{Answer, Browser},
    support::{TestApp, by},
};

/// Where the application of the scene sends its users.
pub const CALLBACK: &str = "https://app.example/cb?keep=1";
/// What every member types.
pub const PASSWORD: &str = "correct horse battery";

/// A site with people and one approved application.
pub struct Scene {
    pub site: TestApp,
    pub cleo: UserId,
    pub ben: UserId,
    pub rob: UserId,
    pub application: ApplicationId,
    pub client: String,
}

impl Scene {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let site = TestApp::start_with(settings).await;
        let cleo = site.given_member("cleo", &[]).await;
        let ben = site.given_member("ben", &[]).await;
        let rob = site.given_member("rob", &[Role::Reviewer]).await;
        let application = site.given_request(cleo, "Reader").await;
        site.decide(rob, application, Verb::Approve).await;
        let client = client_of(&site, cleo, application).await;
        Self { site, cleo, ben, rob, application, client }
    }

    /// Another approved application of the owner.
    pub async fn given_approved(&self, purpose: &str, redirect_uri: &str, scopes: &str) -> (ApplicationId, String) {
        let request = applications::Request {
            name: "Another".to_owned(),
            purpose: purpose.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            scopes: vec![scopes.to_owned()],
            ..applications::Request::default()
        };
        let asked = self.site.app.asked(&request).expect("a good request");
        let asked = self.site.app.request_application(&by(self.cleo), self.cleo, asked).await.expect("asked for");
        self.site.decide(self.rob, asked.answer, Verb::Approve).await;
        let client = client_of(&self.site, self.cleo, asked.answer).await;
        (asked.answer, client)
    }

    /// A browser in which nobody is signed in.
    pub fn stranger(&self) -> Browser {
        Browser::new(&self.site.app)
    }

    /// A browser in which a member is signed in, on plain http at the root.
    pub async fn browser_of(&self, user: UserId) -> Browser {
        let mut browser = self.stranger();
        let key = self.site.app.begin_session(user).await.expect("a session");
        browser.cookies.insert("session".to_owned(), key.expose().to_owned());
        browser
    }

    /// The owner's own token.
    pub async fn owners_token(&self) -> String {
        let message = self.site.newest_message(self.cleo).await;
        self.site.app.reveal(&by(self.cleo), self.cleo, message).await.expect("the first reveal").answer
    }

    /// A token that a member consented to, with the scopes named, or all.
    pub async fn consented(&self, user: UserId, client: &str, scope: Option<&str>) -> String {
        use countersign::app::authorizations::ConsentPage;
        let request = ConsentRequest {
            client_id: client.to_owned(),
            scope: scope.map(ToOwned::to_owned),
            ..ConsentRequest::default()
        };
        let app = &self.site.app;
        let ConsentPage::Ask(consent) = app.consent_page(&request).await.expect("a page") else { panic!("it asks") };
        let browser = app.begin_session(user).await.expect("a session");
        let signed_in = app.signed_in(&browser).await.expect("a vault").expect("signed in");
        let nonce = app.consent_nonce(&signed_in, &consent);
        let sent = app.authorize(&by(user), &signed_in, &consent, &nonce).await.expect("it is authorized").answer;
        parameter(&sent, "access_token").expect("a token")
    }

    /// A token with every scope that consent can give.
    pub async fn all_scopes_token(&self, user: UserId) -> String {
        let scopes = "read identity notifications messages write vote";
        let (_, client) = self.given_approved("web", CALLBACK, scopes).await;
        self.consented(user, &client, None).await
    }

    /// Where the log stands, with nobody looking.
    pub async fn head(&self) -> u64 {
        self.site.app.head().await.expect("a head").position.0
    }

    pub fn authorize_path(&self, more: &str) -> String {
        format!("/authorize?client_id={}{more}", self.client)
    }
}

async fn client_of(site: &TestApp, owner: UserId, id: ApplicationId) -> String {
    site.app.my_application(owner, id).await.expect("theirs").client_id.expect("approved").to_string()
}

/// A parameter of an address, decoded.
pub fn parameter(address: &str, name: &str) -> Option<String> {
    let address = url::Url::parse(address).expect("an address");
    address.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// The fields of a consent page, ready to be sent with a decision.
pub fn consent_fields(page: &Answer) -> Vec<(&'static str, String)> {
    let names = ["csrf_token", "client_id", "redirect_uri", "state", "scope", "nonce"];
    let there = names.into_iter().filter(|name| page.body.contains(&format!("name=\"{name}\" value=\"")));
    there.map(|name| (name, page.hidden(name))).collect()
}

/// Answers a consent page.
pub async fn answer(browser: &mut Browser, page: &Answer, decision: &str) -> Answer {
    answer_at(browser, "/authorize", page, decision).await
}

/// The same on a site below a path.
pub async fn answer_at(browser: &mut Browser, path: &str, page: &Answer, decision: &str) -> Answer {
    let fields = consent_fields(page);
    let mut all: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    all.push(("decision", decision));
    browser.post(path, &all).await
}

/// A form-encoded post with headers of its own.
pub fn form_post(path: &str, body: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).expect("a request")
}

/// A request with a token and a JSON body.
pub fn token_json(method: &str, path: &str, token: &str, body: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, token)
        .header(header::COOKIE, "none=none")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_owned()))
        .expect("a request")
}

/// It is a page that tells the user alone: HTML, and sends nobody anywhere.
pub fn assert_page_without_redirect(answer: &Answer, status: StatusCode) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.location(), "", "it redirects");
    assert!(answer.header("content-type").starts_with("text/html"), "{:?}", answer.headers);
}
