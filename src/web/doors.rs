//! What a door is: a method, a path, who may call it, and what answers. Who may call a door of the API is
//! checked here, before its handler runs or reads a body, so that the table cannot say one thing and the code do
//! another. At pages the extractors see to it (they send people to log in); a test holds them to the table too.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::{FromRequestParts, Request},
    handler::Handler,
    http::Method,
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use countersign_events::{account::Role, ids::UserId, scope::Scope};
use futures_util::future::{BoxFuture, Either};

use super::{
    compression,
    context::RequestContext,
    describe::{Describe, Sketch},
    error::ApiError,
    extract::{ApiCaller, FOR_STAFF, STAFF},
};
use crate::{
    app::{App, AppError},
    token_state::Bearer,
};

/// Who may call a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Everybody. A token that is sent all the same is not looked at.
    Anyone,
    /// Everybody; but a token needs the scope.
    AnyoneOrToken(Scope),
    /// Whoever has a token, whatever its scopes; no session.
    AnyToken,
    /// A member signed in to a browser; no token.
    Session,
    /// A member signed in to a browser who holds the role; no token.
    SessionOf(Role),
    /// A member signed in to a browser who holds a role of the staff; no token.
    SessionOfStaff,
    /// A member signed in to a browser, or a token with the scope.
    With(Scope),
    /// A member who holds the role: signed in to a browser, or with a token that has the scope as well.
    Holder(Role, Scope),
    /// For an application: its owner signed in to a browser, and reviewers and auditors as [`Who::Holder`]. To other
    /// members it is not there.
    OwnerOrStaff,
    /// Who watches the site: this machine itself, or the token of `metrics_token`. It lies outside of everything that
    /// members' requests pass, and checks by itself.
    Watcher,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => write!(f, "anyone"),
            Self::AnyoneOrToken(scope) => write!(f, "anyone, or a token with {scope}"),
            Self::AnyToken => write!(f, "any token"),
            Self::Session => write!(f, "session"),
            Self::SessionOf(role) => write!(f, "session of a holder of {role}"),
            Self::SessionOfStaff => write!(f, "session of a holder of reviewer, auditor or operator"),
            Self::With(scope) => write!(f, "session, or a token with {scope}"),
            Self::Holder(role, scope) => write!(f, "holder of {role}: session, or a token with {scope}"),
            Self::Watcher => write!(f, "this machine, or the token of metrics_token"),
            Self::OwnerOrStaff => {
                write!(f, "its owner: session; holder of reviewer or auditor: session, or a token with review or audit")
            }
        }
    }
}

impl Who {
    fn admit_token(self, app: &App, bearer: &Bearer) -> Result<(), ApiError> {
        let has = |scope| {
            if bearer.scopes.contains(scope) { Ok(()) } else { Err(ApiError::ScopeMissing(scope)) }
        };
        match self {
            Self::Anyone | Self::AnyToken | Self::Watcher => Ok(()),
            Self::AnyoneOrToken(scope) | Self::With(scope) => has(scope),
            Self::Session | Self::SessionOf(_) | Self::SessionOfStaff => {
                let detail = "No token can do this: it needs a member signed in to a browser.";
                Err(ApiError::forbidden("session_required", detail))
            }
            Self::Holder(role, scope) => has(scope).and_then(|()| holds(app, bearer.user_id, role)),
            Self::OwnerOrStaff => has(Scope::Audit).or_else(|_| has(Scope::Review)),
        }
    }

    fn admit_session(self, app: &App, member: UserId) -> Result<(), ApiError> {
        match self {
            Self::AnyToken => Err(ApiError::TokenMissing),
            Self::SessionOf(role) | Self::Holder(role, _) => holds(app, member, role),
            Self::SessionOfStaff => {
                let held = STAFF.iter().find_map(|role| holds(app, member, *role).ok());
                held.ok_or_else(|| ApiError::forbidden("role_missing", FOR_STAFF))
            }
            Self::Anyone
            | Self::AnyoneOrToken(_)
            | Self::Session
            | Self::With(_)
            | Self::OwnerOrStaff
            | Self::Watcher => Ok(()),
        }
    }
}

fn holds(app: &App, member: UserId, role: Role) -> Result<(), ApiError> {
    let member = app.state.member(member).ok_or_else(ApiError::not_found)?;
    if member.facts.roles.allow(role) { Ok(()) } else { Err(AppError::RoleMissing(role).into()) }
}

/// One door.
pub struct Door {
    /// The method.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// Who may call it.
    pub who: Who,
    /// Whether it is one of the API: its errors are problem details.
    pub api: bool,
    /// What it takes and answers, when it is one for programs.
    pub sketch: Option<Sketch>,
    /// The trailing read models that it reads, or that show what it changes.
    pub models: &'static [&'static str],
    route: MethodRouter<Arc<App>>,
}

/// A page, or what a page's form posts to.
pub fn page<H, T>(method: Method, path: &'static str, who: Who, handler: H) -> Door
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    let route = on(filter(&method), handler.layer(compression::layer()));
    // Every page says how many notifications are unread.
    Door { method, path, who, api: false, sketch: None, models: &["inbox"], route }
}

/// A door of the API.
pub fn api<H, T>(method: Method, path: &'static str, who: Who, handler: H) -> Door
where
    H: Handler<T, Arc<App>> + Describe<T>,
    T: 'static,
{
    let route = on(filter(&method), Guarded { who, handler });
    Door { method, path, who, api: true, sketch: Some(H::describe()), models: &[], route }
}

impl Door {
    /// With what its handler's types do not tell: a page that is also for programs.
    #[must_use]
    pub fn described(self, sketch: Sketch) -> Self {
        Self { sketch: Some(sketch), ..self }
    }

    /// With the read models that it reads, or that show what it changes.
    #[must_use]
    pub const fn on(mut self, models: &'static [&'static str]) -> Self {
        self.models = models;
        self
    }

    /// Whether a token may stand for somebody here. Nobody else looks at the header, which others may want for themselves.
    #[must_use]
    pub fn takes_tokens(&self) -> bool {
        matches!(self.who, Who::AnyoneOrToken(_)) || self.api && self.who != Who::Anyone
    }
}

fn filter(method: &Method) -> MethodFilter {
    method.clone().try_into().expect("the table names methods that routers know")
}

/// Adds doors to a router.
pub fn open<'a>(router: Router<Arc<App>>, doors: impl IntoIterator<Item = &'a Door>) -> Router<Arc<App>> {
    doors.into_iter().fold(router, |router, door| router.route(door.path, door.route.clone()))
}

/// A handler behind the check of who may call it. A token is judged in place, with no further future: it is
/// what most requests bring. A session has to be looked up; the handler finds it ready.
#[derive(Clone)]
struct Guarded<H> {
    who: Who,
    handler: H,
}

impl<H, T> Handler<T, Arc<App>> for Guarded<H>
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    type Future = Either<H::Future, BoxFuture<'static, Response>>;

    fn call(self, request: Request, app: Arc<App>) -> Self::Future {
        let Self { who, handler } = self;
        let bearer = request.extensions().get::<Arc<RequestContext>>().and_then(|context| context.bearer);
        match (who, bearer) {
            (_, Some(bearer)) => match who.admit_token(&app, &bearer) {
                Ok(()) => Either::Left(handler.call(request, app)),
                Err(refused) => Either::Right(Box::pin(async { refused.into_response() })),
            },
            (Who::Anyone | Who::AnyoneOrToken(_), None) => Either::Left(handler.call(request, app)),
            (_, None) => Either::Right(Box::pin(async move {
                let (mut parts, body) = request.into_parts();
                let caller = match ApiCaller::from_request_parts(&mut parts, &app).await {
                    Ok(caller) => caller,
                    Err(refused) => return refused.into_response(),
                };
                if let Err(refused) = who.admit_session(&app, caller.user_id) {
                    return refused.into_response();
                }
                parts.extensions.insert(caller);
                handler.call(Request::from_parts(parts, body), app).await
            })),
        }
    }
}
