//! The cast of the review's tests: one of every role, each with a session and the reviewers with tokens, and
//! applications in every state. The tests themselves are in the other `review_` modules.

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use countersign::app::{App, AppError, Done, applications, reviews::Verb, reviews::Verdict, sessions::BrowserKey};
use countersign_events::{
    account::Role,
    application::{Asked, Seen},
    ids::{ApplicationId, UserId},
    recorded::Position,
};
use serde_json::{Value, json};

use crate::{
    browser_double::{Answer, Browser},
    databases::Database,
    support::{TestApp, by},
};

/// Members may have as many open requests as a test needs.
pub const ROOMY: (&str, &str) = ("LIMITS_OPEN_REQUESTS", "100000");
/// And their tokens may be used as often.
pub const BUSY: (&str, &str) = ("LIMITS_API_PER_MINUTE", "1000000");

/// A member with a browser session.
pub struct Person {
    pub id: UserId,
    pub key: BrowserKey,
}

/// With what somebody sends a request.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    Nothing,
    Session(&'a Person),
    Token(&'a str),
}

/// A site with an owner and reviewers.
pub struct Cast {
    pub site: TestApp,
    /// The owner of the applications.
    pub cleo: Person,
    /// A reviewer.
    pub rob: Person,
    /// Another, who has decided before the story begins.
    pub dee: Person,
}

impl Cast {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_in(Database::of_this_run(), settings).await
    }

    /// In a database that the test chooses.
    pub async fn start_in(database: Database, settings: &[(&str, &str)]) -> Self {
        let site = TestApp::start_in(database, &[&[ROOMY, BUSY], settings].concat()).await;
        let cleo = person(&site, "cleo", &[]).await;
        let rob = person(&site, "rob", &[Role::Reviewer]).await;
        let dee = person(&site, "dee", &[Role::Reviewer]).await;
        Self { site, cleo, rob, dee }
    }

    pub fn app(&self) -> &App {
        &self.site.app
    }

    pub async fn person(&self, name: &str, roles: &[Role]) -> Person {
        person(&self.site, name, roles).await
    }

    /// A browser at which a member is signed in.
    pub fn browser(&self, person: &Person) -> Browser {
        let mut browser = Browser::new(&self.site.app);
        browser.cookies.insert("session".to_owned(), person.key.expose().to_owned());
        browser
    }

    /// A token of the built-in application.
    pub async fn token(&self, person: &Person, scopes: &str) -> String {
        let scopes = countersign_events::scope::ScopeSet::parse(scopes).expect("scopes");
        let issued = self.app().issue_token(&by(person.id), person.id, scopes, None).await;
        issued.expect("the role is there").answer.1
    }

    pub async fn head(&self) -> Position {
        self.app().head().await.expect("a head").position
    }

    /// The types of what was appended after a position.
    pub async fn appended(&self, after: Position) -> Vec<String> {
        let events = self.app().log.read_log(after, 100).await.expect("a log");
        events.into_iter().map(|stored| stored.type_name).collect()
    }

    pub async fn decide(
        &self,
        person: &Person,
        id: ApplicationId,
        verb: Verb,
        revision: u32,
    ) -> Result<Done<()>, AppError> {
        let verdict = Verdict { revision, reason_code: "other".to_owned(), reason: "As agreed.".to_owned() };
        self.app().decide_application(&by(person.id), person.id, id, verb, &verdict).await
    }

    pub async fn edit(&self, owner: &Person, id: ApplicationId, name: &str) {
        let asked = self.named(name);
        self.app().edit_application(&by(owner.id), owner.id, id, asked).await.expect("it can be edited");
    }

    /// What the applications of these tests ask for, under another name.
    pub fn named(&self, name: &str) -> Asked {
        self.asked(name, "")
    }

    /// The same with scopes.
    pub fn asked(&self, name: &str, scopes: &str) -> Asked {
        let request = applications::Request {
            name: name.to_owned(),
            redirect_uri: "https://app.example/cb?keep=1".to_owned(),
            description: "Reads the front page.".to_owned(),
            scopes: vec![scopes.to_owned()],
            ..applications::Request::default()
        };
        self.app().asked(&request).expect("a good request")
    }

    /// An application in a state, brought there by its owner and by `dee`.
    pub async fn given(&self, owner: &Person, state: State) -> ApplicationId {
        let id = self.site.given_request(owner.id, "Reader").await;
        for step in state.steps() {
            match step {
                Step::Decide(verb) => {
                    self.decide(&self.dee, id, *verb, 1).await.expect("it can be decided");
                }
                Step::Propose => self.edit(owner, id, "Renamed").await,
                Step::Withdraw => {
                    self.app()
                        .withdraw_application(&by(owner.id), owner.id, id, Seen::default())
                        .await
                        .expect("it can be withdrawn");
                }
            }
        }
        id
    }

    /// Sends JSON, or nothing.
    pub async fn json(&self, who: Credential<'_>, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.request(who, method, path);
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        Browser::new(&self.site.app).send(request.body(body).expect("a request")).await
    }

    pub async fn get(&self, who: Credential<'_>, path: &str) -> Answer {
        self.json(who, Method::GET, path, None).await
    }

    pub async fn post(&self, who: Credential<'_>, path: &str, body: &Value) -> Answer {
        self.json(who, Method::POST, path, Some(body)).await
    }

    /// A reviewer's verb over the JSON API.
    pub async fn verb(&self, who: Credential<'_>, id: ApplicationId, verb: Verb, revision: u32) -> Answer {
        self.post(who, &format!("/api/v1/review/{id}/{}", verb.as_str()), &verdict(revision)).await
    }

    /// Sends a form, with the CSRF token of the session.
    pub async fn form(&self, who: Credential<'_>, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        if let Credential::Session(person) = who {
            body.append_pair("csrf_token", &self.app().csrf_token(&person.key));
        }
        let request = self
            .request(who, Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body.finish()))
            .expect("a request");
        Browser::new(&self.site.app).send(request).await
    }

    fn request(&self, who: Credential<'_>, method: Method, path: &str) -> axum::http::request::Builder {
        let request = Request::builder().method(method).uri(path);
        match who {
            Credential::Nothing => request.header(header::COOKIE, "none=none"),
            Credential::Session(person) => request
                .header(header::COOKIE, format!("session={}", person.key.expose()))
                .header("x-csrf-token", self.app().csrf_token(&person.key)),
            Credential::Token(token) => {
                request.header(header::COOKIE, "none=none").header(header::AUTHORIZATION, token)
            }
        }
    }
}

/// What a reviewer's program sends.
pub fn verdict(revision: u32) -> Value {
    json!({ "revision": revision, "reason_code": "other", "reason": "As agreed." })
}

async fn person(site: &TestApp, name: &str, roles: &[Role]) -> Person {
    let id = site.given_member(name, roles).await;
    let key = site.app.begin_session(id).await.expect("a session");
    Person { id, key }
}

/// Where an application can stand, with or without a proposed change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    UnderReview,
    ChangesRequested,
    Denied,
    Approved,
    ApprovedChanging,
    Suspended,
    SuspendedChanging,
    Revoked,
    Withdrawn,
}

enum Step {
    Decide(Verb),
    Propose,
    Withdraw,
}

impl State {
    pub const ALL: [Self; 9] = [
        Self::UnderReview,
        Self::ChangesRequested,
        Self::Denied,
        Self::Approved,
        Self::ApprovedChanging,
        Self::Suspended,
        Self::SuspendedChanging,
        Self::Revoked,
        Self::Withdrawn,
    ];

    fn steps(self) -> &'static [Step] {
        use Step::{Decide, Propose, Withdraw};
        match self {
            Self::UnderReview => &[],
            Self::ChangesRequested => &[Decide(Verb::RequestChanges)],
            Self::Denied => &[Decide(Verb::Deny)],
            Self::Approved => &[Decide(Verb::Approve)],
            Self::ApprovedChanging => &[Decide(Verb::Approve), Propose],
            Self::Suspended => &[Decide(Verb::Approve), Decide(Verb::Suspend)],
            Self::SuspendedChanging => &[Decide(Verb::Approve), Propose, Decide(Verb::Suspend)],
            Self::Revoked => &[Decide(Verb::Approve), Decide(Verb::Revoke)],
            Self::Withdrawn => &[Withdraw],
        }
    }

    /// As the JSON API writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::UnderReview => "under_review",
            Self::ChangesRequested => "changes_requested",
            Self::Denied => "denied",
            Self::Approved | Self::ApprovedChanging => "approved",
            Self::Suspended | Self::SuspendedChanging => "suspended",
            Self::Revoked => "revoked",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The newest revision in it.
    pub const fn revision(self) -> u32 {
        if matches!(self, Self::ApprovedChanging | Self::SuspendedChanging) { 2 } else { 1 }
    }
}
