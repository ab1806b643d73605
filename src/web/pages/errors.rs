//! The page of an error: what happened, in plain words, and what to do next. Who reads it is looked up only once there
//! is an error to tell, so that requests that succeed pay nothing for it; and never does a page of an error fail.

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use chrono::TimeDelta;
use url::Url;
use uuid::Uuid;

use super::frame::{Frame, span};
use crate::{
    app::App,
    web::{
        context::RequestContext,
        cookies,
        error::{Problem, Told},
        extract::Visitor,
    },
};

/// Nobody waits longer for a page that only says what went wrong.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is kept of a request for the page of its error.
pub struct Reader {
    cookies: HeaderMap,
    referer: Option<HeaderValue>,
    /// It takes a page where it can have one.
    takes_pages: bool,
    is_get: bool,
    uri: Uri,
}

impl Reader {
    /// Of a browser's request. Whoever sends a token is a program, and gets no page of this kind.
    #[must_use]
    pub fn of(request: &Request) -> Option<Self> {
        let headers = request.headers();
        if headers.contains_key(header::AUTHORIZATION) {
            return None;
        }
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let mut cookies = HeaderMap::new();
        for line in headers.get_all(header::COOKIE) {
            cookies.append(header::COOKIE, line.clone());
        }
        Some(Self {
            cookies,
            referer: headers.get(header::REFERER).cloned(),
            takes_pages: accept.is_some_and(|accept| accept.contains("text/html")),
            is_get: request.method().is_safe(),
            uri: request.uri().clone(),
        })
    }

    /// The frame of the page: for whoever is signed in, if that can be found out.
    async fn frame(&self, app: &App, request_id: Uuid) -> Frame {
        let Some(browser) = cookies::browser(app, &self.cookies) else { return Frame::bare(app, &self.uri) };
        let signed_in = app.signed_in(&browser).await.ok().flatten();
        let context = Arc::new(RequestContext { request_id, uri: self.uri.clone(), ..RequestContext::default() });
        Frame::of(app, &Visitor { browser, is_new: false, signed_in, context }).await
    }

    /// The page of this site that the reader came from, unless it is the very one that failed.
    fn came_from(&self, app: &App) -> Option<String> {
        let from = Url::parse(self.referer.as_ref()?.to_str().ok()?).ok()?;
        let path = from.path();
        let base = app.config.base_path();
        let is_ours = from.origin() == app.config.public_url.origin()
            && !path.starts_with("//")
            && path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !is_ours || (self.is_get && path == self.uri.path()) {
            return None;
        }
        // What a link was good for is not repeated.
        let holds_secret = from.query_pairs().any(|(name, _)| name.contains("token"));
        let query = from.query().filter(|_| !holds_secret);
        Some(query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    title: &'static str,
    /// More about it than the title says.
    detail: Option<String>,
    steps: &'static [&'static str],
    /// How long to wait, in words.
    wait: Option<String>,
    /// It may be for members alone.
    offers_log_in: bool,
    came_from: Option<String>,
    /// It is for the people who run the site to look into.
    is_fault: bool,
    request_id: Uuid,
}

/// Whether an answer tells of an error that is still to be dressed.
#[must_use]
pub fn is_error(response: &Response) -> bool {
    response.extensions().get::<Problem>().is_some() || response.extensions().get::<Told>().is_some()
}

/// The page of an error, or its problem details, in the place of its bare answer.
pub async fn dress(app: &App, mut response: Response, reader: Option<Reader>, request_id: Uuid) -> Response {
    if let Some(problem) = response.extensions().get::<Problem>() {
        *response.body_mut() = problem.to_json(request_id).into();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        return response;
    }
    let Some(told) = response.extensions().get::<Told>().cloned() else { return response };
    let frame = match &reader {
        Some(reader) => tokio::time::timeout(PATIENCE, reader.frame(app, request_id)).await.ok(),
        None => None,
    };
    let uri = reader.as_ref().map(|reader| reader.uri.clone()).unwrap_or_default();
    let frame = frame.unwrap_or_else(|| Frame::bare(app, &uri));
    let page = page(app, frame, &told, response.headers(), reader.as_ref(), request_id);
    let Ok(html) = page.render() else { return response };
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, html.into())
}

/// What a layer refused before any page was asked is told as a page to whoever takes one.
pub fn for_people(mut response: Response, reader: Option<&Reader>) -> Response {
    let takes_page = reader.is_some_and(|reader| reader.takes_pages && !reader.uri.path().contains("/api/v1/"));
    let told = response.extensions().get::<Problem>().filter(|_| takes_page).map(Problem::told);
    if let Some(told) = told {
        response.extensions_mut().remove::<Problem>();
        response.extensions_mut().insert(told);
    }
    response
}

fn page(
    app: &App,
    frame: Frame,
    told: &Told,
    headers: &HeaderMap,
    reader: Option<&Reader>,
    request_id: Uuid,
) -> ErrorPage {
    let wait = wait(headers);
    let lacks_log_in = matches!(told.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
    // Plainly: an address that failed may hold a secret, and no page of an error repeats one.
    let offers_log_in = frame.user.is_none() && lacks_log_in && told.code != "link_ended" && reader.is_some();
    let (title, steps) = words(told);
    let says_more = !told.detail.starts_with(title);
    ErrorPage {
        title,
        steps,
        // How long stands below, in words.
        detail: says_more.then(|| match told.detail.split_once(": try again in ") {
            Some((what, _)) if wait.is_some() => format!("{what}."),
            _ => told.detail.clone(),
        }),
        wait,
        offers_log_in,
        came_from: reader.and_then(|reader| reader.came_from(app)),
        is_fault: told.status.is_server_error(),
        request_id,
        frame,
    }
}

/// How long an answer asks to wait, in words.
pub(super) fn wait(headers: &HeaderMap) -> Option<String> {
    let seconds = headers.get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse::<u32>().ok());
    seconds.map(|seconds| in_words(seconds.into()))
}

/// A number of seconds as people say it.
fn in_words(seconds: i64) -> String {
    match seconds {
        ..=1 => "a second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        // What is told is enough, not a little less.
        _ => span(&TimeDelta::minutes((seconds + 59) / 60)),
    }
}

/// What happened in a few words, and what its reader can do about it.
fn words(told: &Told) -> (&'static str, &'static [&'static str]) {
    match (told.status.as_u16(), told.code) {
        (400, _) => (
            "This address does not fit",
            &["Follow the links of the site instead of an address that was changed or cut off."],
        ),
        (401, _) => ("Log in to go on", &["Log in, and check the spelling of name and password."]),
        (403, "role_missing") => (
            "You lack a role for this",
            &["If it is part of what you do here, ask an administrator for the role that is named above."],
        ),
        (403, "password_again") => ("Give your password again", &["Open the page again; it asks for your password."]),
        (403, "consent_ended") => (
            "This page was answered already",
            &[
                "Go back to the application and begin again from there.",
                "See under “Apps with access” what you have authorized.",
            ],
        ),
        (403, "cross_site") => (
            "This did not come from here",
            &[
                "Open the page on this site and do it from there.",
                "If you followed a link or a button elsewhere, that site tried to act for you: nothing was done.",
            ],
        ),
        (403, "user_suspended") => {
            ("This account is suspended", &["Ask the people who run this site why, and whether it can be lifted."])
        }
        (403, "own_application" | "own_denial") => ("Somebody else has to do this", &["Leave it to another reviewer."]),
        (403, _) => (
            "This was not accepted",
            &[
                "Open the page again, and do it from there. What you typed may still be in your browser: go back for it.",
            ],
        ),
        (404, "link_ended") => {
            ("This link is not good any more", &["Ask whoever gave it to you for a new one: such links work once."])
        }
        (404, _) => (
            "There is nothing here",
            &[
                "Check the address: a letter may be wrong or missing.",
                "It may have been removed, or may be somebody else’s to see.",
            ],
        ),
        (405, _) => ("Not in this way", &["Go there by a link or a button of the site."]),
        (409, _) => (
            "Something has changed meanwhile",
            &["Go back, reload the page, and look at how things stand now. Nothing was done twice."],
        ),
        (413, _) => ("This is too long", &["Go back and send less; what you typed should still be there."]),
        (415, _) => ("This was sent in a form that no page reads", &["Send it from the page itself."]),
        (422, _) => ("Something in the form does not fit", &["Go back and correct what is named above."]),
        (429, _) => ("Too much at once", &["Nothing is lost. Try again when the time is over, not before."]),
        (503, _) => ("Not available just now", &["Nothing is lost. Reload the page when the time is over."]),
        _ => (
            "Something went wrong here",
            &[
                "It is not your fault. Try again in a while; before you send something a second time, look whether it was done.",
            ],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_in_the_unit_that_fits_and_never_too_short() {
        let told = [0, 1, 2, 59, 60, 61, 86_400].map(in_words);
        assert_eq!(told, ["a second", "a second", "2 seconds", "59 seconds", "1 minute", "2 minutes", "24 hours"]);
    }
}
