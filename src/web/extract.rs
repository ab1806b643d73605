//! What handlers take from a request: who sends it, with which right, and what was typed.

mod json;
mod staff;

use std::{collections::HashSet, sync::Arc};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use countersign_events::{ids::UserId, recorded::Actor};
use http_body_util::LengthLimitError;
use serde_json::json;

pub use json::{Json, MayJson};
pub use staff::{Auditor, FOR_STAFF, Operator, Reviewer, STAFF, Staff, holds};

use super::{
    context::RequestContext,
    cookies,
    describe::{Sketch, Takes, one_of, parameter},
    error::ApiError,
    pages::PageError,
};
use crate::{
    app::{
        App, AppError, Caller, CommandId, NamedCommand, NoCommandId,
        reviews::Verb,
        sessions::{BrowserKey, SignedIn},
    },
    bounds::{BODY_BYTES, PARAMETERS},
    token_state::Bearer,
};

/// Whoever looks at a page.
#[derive(Clone)]
pub struct Visitor {
    /// The browser's key; a fresh one when it brought none.
    pub browser: BrowserKey,
    /// Whether the key is fresh and has to be set.
    pub is_new: bool,
    /// Who is signed in.
    pub signed_in: Option<SignedIn>,
    /// What is known of the request.
    pub context: Arc<RequestContext>,
}

impl Visitor {
    /// As the sender of a command; a form's `command_id` makes it one that can be repeated.
    #[must_use]
    pub fn caller(&self, route: &'static str, form: &Fields) -> Caller {
        // The form has been taken, so its id is one.
        let id = form.get("command_id").and_then(|id| id.parse().ok());
        let command = id.map(|id| NamedCommand { route, id, body: form.digest(self.context.path_and_query()) });
        Caller {
            actor: self.signed_in.as_ref().map_or(Actor::System, |signed_in| Actor::User(signed_in.user_id)),
            on_behalf_of: None,
            address: self.context.address,
            request_id: Some(self.context.request_id.to_string()),
            command,
        }
    }
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, PageError> {
        let context = context(parts);
        let known = cookies::browser(app, &parts.headers);
        let is_new = known.is_none();
        let browser = known.unwrap_or_else(|| app.new_browser_key());
        // A token wins over a cookie, also where a token can do nothing.
        let signed_in = if is_new || context.bearer.is_some() { None } else { app.signed_in(&browser).await? };
        Ok(Self { browser, is_new, signed_in, context })
    }
}

fn context(parts: &Parts) -> Arc<RequestContext> {
    // The layer around every route puts it there.
    parts.extensions.get::<Arc<RequestContext>>().cloned().unwrap_or_default()
}

/// A member at a page; others are sent to log in and come back.
pub struct Member {
    /// The visitor.
    pub visitor: Visitor,
    /// Who is signed in.
    pub signed_in: SignedIn,
}

impl Member {
    /// Who.
    #[must_use]
    pub const fn id(&self) -> UserId {
        self.signed_in.user_id
    }
}

impl FromRequestParts<Arc<App>> for Member {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let visitor = Visitor::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
        if let Some(signed_in) = visitor.signed_in.clone() {
            return Ok(Self { visitor, signed_in });
        }
        // What was to be posted is gone; its page is not.
        let back =
            if parts.method == Method::GET { visitor.context.path_and_query().to_owned() } else { String::new() };
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", &back).finish();
        Err(Redirect::to(&format!("{}/login?{query}", app.config.base_path())).into_response())
    }
}

/// What was typed into a form or stands in a query: names with values, in order.
#[derive(Debug, Clone, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// From `application/x-www-form-urlencoded` text. Of more parameters than [`PARAMETERS`] the rest is not read:
    /// [`too_many`] has refused it.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().take(PARAMETERS).collect())
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a name, or nothing.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Every value of a name.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }

    /// Only these names, as far as they say anything.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Self {
        let says = |(name, value): &&(String, String)| names.contains(&name.as_str()) && !value.is_empty();
        Self(self.0.iter().filter(says).cloned().collect())
    }

    /// As a query.
    #[must_use]
    pub fn to_query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// As a query in which one name has this value and no other.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(known, _)| known != name);
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(others).append_pair(name, value).finish()
    }

    /// A name that stands there more than once, among these.
    #[must_use]
    pub fn repeated<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        names.iter().copied().find(|name| self.all(name).len() > 1)
    }

    /// Whether any name stands there more than once.
    #[must_use]
    pub fn any_repeated(&self) -> bool {
        let mut known = HashSet::new();
        !self.0.iter().all(|(name, _)| known.insert(name))
    }

    /// A digest of where a form was sent and of everything in it, but for what differs between two sendings, and for
    /// passwords, of which not even a digest is kept.
    fn digest(&self, path: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(path.as_bytes()).update(&[0]);
        let counts = |name: &str| name != "csrf_token" && !name.starts_with("password");
        for (name, value) in self.0.iter().filter(|(name, _)| counts(name)) {
            for part in [name, value] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
        *hasher.finalize().as_bytes()
    }
}

/// Whether a query or a form has more parameters than any door reads.
#[must_use]
pub fn too_many(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'&').nth(PARAMETERS).is_some()
}

/// What is said of it.
#[must_use]
pub fn too_many_parameters() -> String {
    format!("This has more than {PARAMETERS} parameters; send fewer.")
}

/// The query of a request.
pub struct Query(pub Fields);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Fields::parse(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

/// A form of this site, sent by the browser that was shown it.
pub struct Form(pub Fields);

impl FromRequest<Arc<App>> for Form {
    type Rejection = PageError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, PageError> {
        let browser = cookies::browser(app, request.headers());
        if !media_type(request.headers()).eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(PageError::request(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "A form is sent as application/x-www-form-urlencoded.",
            ));
        }
        let body = body(request).await.map_err(|(status, detail)| PageError::request(status, detail))?;
        if too_many(&body) {
            return Err(PageError::request(StatusCode::BAD_REQUEST, too_many_parameters()));
        }
        let fields = Fields::parse(&body);
        let token = fields.text("csrf_token");
        if !browser.is_some_and(|browser| app.csrf_holds(&browser, token)) {
            return Err(PageError::request(
                StatusCode::FORBIDDEN,
                "This form is not this browser's, or is older than its log-in. Open the page again and send it from there.",
            ));
        }
        match fields.get("command_id").filter(|id| !id.is_empty()).map(str::parse::<CommandId>) {
            Some(Err(problem)) => {
                let detail = format!("command_id is {problem}. Open the page again and send its form from there.");
                Err(PageError::request(StatusCode::BAD_REQUEST, detail))
            }
            Some(Ok(_)) | None => Ok(Self(fields)),
        }
    }
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

async fn body(request: Request) -> Result<Bytes, (StatusCode, &'static str)> {
    axum::body::to_bytes(request.into_body(), BODY_BYTES).await.map_err(|error| {
        if error.into_inner().is::<LengthLimitError>() {
            (StatusCode::PAYLOAD_TOO_LARGE, "This is too long; send less.")
        } else {
            (StatusCode::BAD_REQUEST, "The request broke off; send it again.")
        }
    })
}

/// Whoever sends a request to the JSON API: a token's bearer, or a member in a browser. The table of doors has
/// judged already whether they may.
#[derive(Clone)]
pub struct ApiCaller {
    /// The member.
    pub user_id: UserId,
    /// The token, when it is one.
    pub bearer: Option<Bearer>,
    /// The session, when it is one.
    pub signed_in: Option<SignedIn>,
    context: Arc<RequestContext>,
    command_id: Option<CommandId>,
}

impl ApiCaller {
    /// Whether the request only looks, and so must change nothing.
    #[must_use]
    pub fn only_looks(&self) -> bool {
        self.context.only_looks
    }

    /// As the sender of a command to a route; `Idempotency-Key` makes it one that can be repeated.
    #[must_use]
    pub fn caller(&self, route: &'static str, body: &[u8]) -> Caller {
        let digest =
            blake3::Hasher::new().update(self.context.path_and_query().as_bytes()).update(&[0]).update(body).finalize();
        let command = self.command_id.clone().map(|id| NamedCommand { route, id, body: *digest.as_bytes() });
        Caller {
            actor: Actor::User(self.user_id),
            on_behalf_of: self.bearer.map(|bearer| bearer.application_id),
            address: self.context.address,
            request_id: Some(self.context.request_id.to_string()),
            command,
        }
    }
}

impl FromRequestParts<Arc<App>> for ApiCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        // The check of a session has looked it up.
        if let Some(found) = parts.extensions.remove::<Self>() {
            return Ok(found);
        }
        let context = context(parts);
        let read = |key: &HeaderValue| key.to_str().map_err(|_| NoCommandId).and_then(str::parse);
        let command_id: Option<CommandId> =
            parts.headers.get("idempotency-key").map(read).transpose().map_err(|problem| {
                ApiError::bad_request("command_id_malformed", format!("Idempotency-Key is {problem}."))
            })?;
        if let Some(bearer) = context.bearer {
            return Ok(Self { user_id: bearer.user_id, bearer: Some(bearer), signed_in: None, context, command_id });
        }
        let browser = cookies::browser(app, &parts.headers).ok_or(ApiError::TokenMissing)?;
        let signed_in = app.signed_in(&browser).await?.ok_or(ApiError::TokenMissing)?;
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            let token = parts.headers.get("x-csrf-token").and_then(|token| token.to_str().ok()).unwrap_or_default();
            if !app.csrf_holds(&browser, token) {
                return Err(ApiError::forbidden("csrf_token", "Send the page's csrf_token as X-CSRF-Token."));
            }
        }
        Ok(Self { user_id: signed_in.user_id, bearer: None, signed_in: Some(signed_in), context, command_id })
    }
}

impl Takes for ApiCaller {}

/// An id in a path of the API; what is no id is simply not there.
pub struct Id<T>(pub T);

impl<T: std::str::FromStr + Send, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        id(parts, state).await.map(Self).ok_or_else(ApiError::not_found)
    }
}

impl<T> Takes for Id<T> {
    fn takes(sketch: &mut Sketch) {
        let schema = json!({ "type": "string", "format": "uuid" });
        sketch.parameters.push(parameter("path", "id", "Which one.", &schema));
    }
}

/// An id in the path of a page.
pub struct PageId<T>(pub T);

impl<T: std::str::FromStr + Send, S: Send + Sync> FromRequestParts<S> for PageId<T> {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        id(parts, state).await.map(Self).ok_or_else(|| AppError::NotFound.into())
    }
}

async fn id<T: std::str::FromStr, S: Send + Sync>(parts: &mut Parts, state: &S) -> Option<T> {
    path_parameter(parts, state, "id").await?.parse().ok()
}

/// What a path names to be done; nothing, where it is no text.
pub struct VerbName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for VerbName {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(path_parameter(parts, state, "verb").await.unwrap_or_default()))
    }
}

impl Takes for VerbName {
    fn takes(sketch: &mut Sketch) {
        let verbs = one_of(Verb::ALL.iter().map(|verb| verb.as_str()));
        sketch.parameters.push(parameter("path", "verb", "What to do with it.", &verbs));
    }
}

async fn path_parameter<S: Send + Sync>(parts: &mut Parts, state: &S, wanted: &str) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, state).await.ok()?;
    params.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned())
}
