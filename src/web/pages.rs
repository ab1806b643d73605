//! Pages for people: what every page has, and those that need nobody signed in.

pub mod access;
pub mod accounts;
pub mod admin;
pub mod audit;
pub mod authorize;
mod cards;
pub mod discussion;
pub mod docs;
pub mod errors;
pub mod frame;
pub mod front;
pub mod guide;
pub mod inbox;
pub mod operations;
mod portions;
mod request_form;
pub mod requests;
pub mod settings;
pub mod staff;
mod thread;

use std::{borrow::Cow, sync::Arc};

use askama::Template;
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use countersign_events::account::Role;

use super::{
    context::{POSITION, position_value},
    cookies,
    describe::{Answers, Sketch},
    error::{Told, add_retry, tell},
    extract::{Fields, Member, Query, Visitor},
};
use crate::{
    app::{App, AppError},
    projector::{Pace, Progress},
    store::Cursor,
};
use frame::{Frame, instant, message_for, span};

/// A page as an answer. A browser that came without a key gets one.
fn render(app: &App, visitor: &Visitor, status: StatusCode, page: &impl Template) -> Response {
    let Ok(html) = page.render() else {
        return PageError::request(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made; it was logged.")
            .into_response();
    };
    let mut response = (status, Html(html)).into_response();
    if visitor.is_new {
        response.headers_mut().append(header::SET_COOKIE, cookies::set_browser(app, &visitor.browser));
    }
    response
}

/// After a command: on to the page that shows what came of it.
fn see_other(app: &App, path: &str, cursor: Cursor) -> Response {
    let mut response = Redirect::to(&format!("{}{path}", app.config.base_path())).into_response();
    stamp(app, &mut response, cursor);
    response
}

/// Says in an answer where the log stands, so that the next page shows at least that.
fn stamp(app: &App, response: &mut Response, cursor: Cursor) {
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, cookies::set_position(app, cursor));
    headers.insert(POSITION, position_value(cursor));
}

/// An error for people. The layer around every route makes the page of it: it knows the site.
#[derive(Debug)]
pub enum PageError {
    /// A use case did not happen.
    App(AppError),
    /// Anything about the request itself.
    Request(StatusCode, Cow<'static, str>),
}

impl PageError {
    /// About the request itself.
    #[must_use]
    pub fn request(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Request(status, detail.into())
    }
}

impl<E: Into<AppError>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self::App(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let told = match &self {
            Self::App(error) => tell(error),
            Self::Request(status, detail) => {
                Told { status: *status, code: "request", detail: detail.clone().into_owned() }
            }
        };
        let mut response = told.status.into_response();
        if let Self::App(error) = &self {
            add_retry(error, response.headers_mut());
        }
        response.extensions_mut().insert(told);
        response
    }
}

/// A method that a page does not know; `Allow` says which it knows.
pub async fn wrong_method() -> PageError {
    PageError::request(StatusCode::METHOD_NOT_ALLOWED, "This address is not used in this way; go there from a page.")
}

pub(super) async fn style(Query(query): Query) -> Response {
    asset(&query, "text/css; charset=utf-8", frame::STYLE)
}

pub(super) async fn script(Query(query): Query) -> Response {
    asset(&query, "text/javascript; charset=utf-8", frame::SCRIPT)
}

/// Browsers keep what they asked for by its edition for good: another edition has another address.
fn asset(query: &Fields, media_type: &'static str, text: &'static str) -> Response {
    let kept = if query.get("v").is_some() { "public, max-age=31536000, immutable" } else { "public, max-age=300" };
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, kept)], text).into_response()
}

/// What the script keeps up to date in the navigation.
#[derive(serde::Serialize)]
pub(super) struct Counts {
    unread: u64,
    /// For reviewers alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
}

pub(super) async fn counts(State(app): State<Arc<App>>, member: Member) -> Result<axum::Json<Counts>, PageError> {
    let reviews = member.signed_in.member.facts.roles.allow(Role::Reviewer);
    let waiting = if reviews { Some(app.waiting_count().await?) } else { None };
    Ok(axum::Json(Counts { unread: app.unread_count(member.id()).await?, waiting }))
}

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the site is ready, and what is in the way.
pub(super) enum Readiness {
    /// It is; this read model shows less than the log has.
    Ready(Option<&'static str>),
    NotReady(String),
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        match self {
            Self::Ready(None) => "ready\n".into_response(),
            Self::Ready(Some(name)) => {
                format!("ready\nincomplete: the read model {name} has parked events\n").into_response()
            }
            Self::NotReady(problem) => {
                (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], format!("{problem}\n")).into_response()
            }
        }
    }
}

impl Answers for Readiness {
    fn answers(sketch: &mut Sketch) {
        sketch.answer_text(200, "It is ready.");
        sketch.answer_text(503, "It is not, and what is in the way.");
    }
}

/// Ready: log and vault answer, and every read model is read and follows.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Readiness {
    if app.is_stopping() {
        return Readiness::NotReady("it is about to stop".to_owned());
    }
    let all = app.progress();
    let behind = all.iter().find(|(_, progress)| progress.error.is_some());
    // A stream that rests is for an operator to see to; the site serves.
    let rests = all.iter().find(|(_, progress)| progress.parked > 0);
    if app.refusal().is_some() {
        return Readiness::NotReady("the log is not the newest that there was, so it takes no appends".to_owned());
    }
    if !app.takes_appends().await {
        return Readiness::NotReady("the log does not take appends".to_owned());
    }
    if !app.vouches().await {
        return Readiness::NotReady("this node cannot prove that what it knows of tokens is recent".to_owned());
    }
    Readiness::NotReady(match (app.head().await, app.vault.ping().await, behind) {
        (Ok(_), Ok(()), None) => match all.iter().find(|(_, progress)| !progress.availability.answers) {
            None => return Readiness::Ready(rests.map(|(name, _)| *name)),
            Some((name, Progress { rebuilding: Some(Pace { done, of, .. }), .. })) => {
                format!("the read model {name} is being built: {done} of {of} events")
            }
            Some((name, _)) => format!("the read model {name} is catching up with the log"),
        },
        (Err(_), ..) => "the log does not answer".to_owned(),
        (_, Err(_), _) => "the vault does not answer".to_owned(),
        (.., Some((name, _))) => format!("the read model {name} does not follow the log"),
    })
}
