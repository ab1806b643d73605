//! How errors are told: as problem details (RFC 9457) to programs, as a page to people. What a
//! stranger reads never holds the inner cause; that is logged once, here.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use countersign_events::{
    account::AccountRefusal,
    application::{ApplicationRefusal, Difference},
    authorization::{AuthorizationRefusal, TokenRefusal},
    ids::UserId,
    inbox::InboxRefusal,
    post::PostRefusal,
    projection::ProjectionRefusal,
    recorded::Timestamp,
    scope::Scope,
    text::FieldError,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::{AppError, Refused, queue::Overtaken, tokens::BearerError},
    rate_limit::TooMany,
    store::StoreError,
    token_state::TokenError,
};

/// An error of the JSON API.
#[derive(Debug)]
pub enum ApiError {
    /// A use case did not happen.
    App(AppError),
    /// The token does not do.
    Token(BearerError),
    /// There is neither token nor session.
    TokenMissing,
    /// The token may not do this.
    ScopeMissing(Scope),
    /// A field of a JSON body that is missing, not known here, or of another type.
    Field {
        /// Its name.
        field: String,
        /// The stable word.
        code: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// Anything about the request itself.
    Request {
        /// The status.
        status: StatusCode,
        /// The stable word.
        code: &'static str,
        /// What is wrong and what to do.
        detail: String,
    },
}

impl ApiError {
    /// 400.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Request { status: StatusCode::BAD_REQUEST, code, detail: detail.into() }
    }

    /// 403.
    pub fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Request { status: StatusCode::FORBIDDEN, code, detail: detail.into() }
    }

    /// 503: the handler was given up.
    #[must_use]
    pub fn too_slow() -> Self {
        let detail = "This took too long and was given up; try again in a moment.".to_owned();
        Self::Request { status: StatusCode::SERVICE_UNAVAILABLE, code: "timeout", detail }
    }

    /// 404.
    #[must_use]
    pub const fn not_found() -> Self {
        Self::App(AppError::NotFound)
    }
}

impl<E: Into<AppError>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self::App(error.into())
    }
}

/// What is told of an error, whoever reads it.
#[derive(Debug, Clone)]
pub struct Told {
    /// The status.
    pub status: StatusCode,
    /// The stable word.
    pub code: &'static str,
    /// What is wrong and what to do, as a sentence.
    pub detail: String,
}

fn told(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Told {
    let mut detail = detail.into();
    if !detail.ends_with(['.', '?', '!']) {
        detail.push('.');
    }
    let first = detail.chars().next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let rest = detail.chars().skip(1);
    Told { status, code, detail: first.chars().chain(rest).collect() }
}

/// Logs what strangers do not read.
fn hidden(error: &dyn std::error::Error, status: StatusCode, code: &'static str, detail: &str) -> Told {
    tracing::error!(error = %error, "a request failed");
    told(status, code, detail)
}

/// What is told of an error of a use case.
#[must_use]
pub fn tell(error: &AppError) -> Told {
    let say = error.to_string();
    match error {
        AppError::Refused(refused) => tell_refused(refused),
        AppError::Fields(_) => told(StatusCode::UNPROCESSABLE_ENTITY, "fields", say),
        AppError::NotFound => told(StatusCode::NOT_FOUND, "not_found", "There is nothing here, or it is not yours."),
        AppError::RoleMissing(_) => told(StatusCode::FORBIDDEN, "role_missing", say),
        AppError::ScopeMissing(_) => told(StatusCode::FORBIDDEN, "insufficient_scope", say),
        AppError::WrongPassword => told(StatusCode::UNAUTHORIZED, "wrong_password", say),
        AppError::Suspended => told(StatusCode::FORBIDDEN, "user_suspended", say),
        AppError::PasswordAgain => told(StatusCode::FORBIDDEN, "password_again", say),
        AppError::LinkEnded => told(StatusCode::NOT_FOUND, "link_ended", say),
        AppError::ConsentEnded => told(StatusCode::FORBIDDEN, "consent_ended", say),
        AppError::SecretLost => told(StatusCode::CONFLICT, "secret_lost", say),
        AppError::TooMany(_) => told(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", say),
        AppError::TooManyOpenRequests(_) => told(StatusCode::TOO_MANY_REQUESTS, "too_many_open_requests", say),
        AppError::Overtaken(overtaken) => told(StatusCode::CONFLICT, conflict_code(&overtaken.refusal), say),
        AppError::LostRace => told(StatusCode::CONFLICT, "lost_race", say),
        AppError::OtherBody => told(StatusCode::UNPROCESSABLE_ENTITY, "command_id_reused", say),
        AppError::Behind => told(StatusCode::SERVICE_UNAVAILABLE, "behind", say),
        AppError::ClockInDoubt => told(StatusCode::SERVICE_UNAVAILABLE, "clock_in_doubt", say),
        AppError::ClockBehind(_) => told(StatusCode::CONFLICT, "wrong_state", say),
        AppError::NoSuchCursor => told(StatusCode::BAD_REQUEST, "cursor", say),
        AppError::BeyondHead { .. } => told(StatusCode::BAD_REQUEST, "position_beyond_head", say),
        AppError::Setting(_) | AppError::Codec(_) => {
            hidden(error, StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here; it was logged.")
        }
        AppError::Store(StoreError::Building(_)) => told(
            StatusCode::SERVICE_UNAVAILABLE,
            "building",
            "What this shows is being built anew from the log; nothing was lost. Try again in a moment",
        ),
        // Logged once, where it was found: somebody may try again and again.
        AppError::Store(StoreError::VaultLacks { .. }) => told(
            StatusCode::SERVICE_UNAVAILABLE,
            "vault_incomplete",
            "The site has lost what it needs for this; nothing was written. Its operators have to put it back.",
        ),
        AppError::Store(StoreError::NotTheNewest(_)) => told(
            StatusCode::SERVICE_UNAVAILABLE,
            "log_not_newest",
            "The site takes no changes now: what it stores is not the newest. Nothing was written; its operators have to \
             mend it.",
        ),
        AppError::Store(_) => hidden(
            error,
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The site cannot answer this just now; nothing was lost. Try again in a moment.",
        ),
    }
}

fn tell_refused(refused: &Refused) -> Told {
    let conflict = |code| told(StatusCode::CONFLICT, code, refused.to_string());
    match refused {
        Refused::Account(AccountRefusal::NotRegistered)
        | Refused::Application(ApplicationRefusal::NotRequested)
        | Refused::Post(PostRefusal::NoSuchPost)
        | Refused::Inbox(InboxRefusal::NothingHeld) => told(StatusCode::NOT_FOUND, "not_found", refused.to_string()),
        Refused::Application(ApplicationRefusal::OwnApplication) => {
            told(StatusCode::FORBIDDEN, "own_application", refused.to_string())
        }
        Refused::Application(ApplicationRefusal::OwnDenial) => {
            told(StatusCode::FORBIDDEN, "own_denial", refused.to_string())
        }
        Refused::Application(refusal) => conflict(conflict_code(refusal)),
        Refused::Post(PostRefusal::NoSuchComment) => {
            told(StatusCode::UNPROCESSABLE_ENTITY, "no_such_comment", refused.to_string())
        }
        Refused::Account(AccountRefusal::LastAdministrator) => conflict("last_administrator"),
        Refused::Username(_) => conflict("username_taken"),
        Refused::Authorization(AuthorizationRefusal::Revised { .. }) => conflict("revised"),
        Refused::Authorization(AuthorizationRefusal::ScopeNotGranted { .. }) => conflict("scope_not_granted"),
        Refused::Account(AccountRefusal::AlreadyRegistered | AccountRefusal::Erased)
        | Refused::Authorization(
            AuthorizationRefusal::ApplicationNotApproved { .. }
            | AuthorizationRefusal::NotPersonal
            | AuthorizationRefusal::TokenEnded,
        )
        | Refused::Post(PostRefusal::AlreadyPublished)
        | Refused::Projection(ProjectionRefusal::Discarded(_)) => conflict("wrong_state"),
        Refused::Inbox(InboxRefusal::AlreadyRevealed { .. }) => conflict("already_revealed"),
        Refused::Inbox(InboxRefusal::SecretExpired { .. } | InboxRefusal::NotYetExpired { .. }) => {
            conflict("secret_expired")
        }
        Refused::Site(_) => conflict("already_set_up"),
        Refused::Projection(ProjectionRefusal::Reason(_)) => {
            told(StatusCode::UNPROCESSABLE_ENTITY, "fields", refused.to_string())
        }
    }
}

const fn conflict_code(refusal: &ApplicationRefusal) -> &'static str {
    match refusal {
        ApplicationRefusal::Revised { .. } => "revised",
        ApplicationRefusal::Claimed { .. } => "claimed",
        ApplicationRefusal::AlreadyRequested
        | ApplicationRefusal::NotRequested
        | ApplicationRefusal::OwnApplication
        | ApplicationRefusal::OwnDenial
        | ApplicationRefusal::PurposeHolds
        | ApplicationRefusal::WrongStanding { .. }
        | ApplicationRefusal::NoChange { .. }
        | ApplicationRefusal::ChangeOver(_) => "wrong_state",
    }
}

const fn token_code(error: BearerError) -> &'static str {
    match error {
        BearerError::Malformed(_) => "token_malformed",
        BearerError::Invalid(TokenError::Unknown) => "token_unknown",
        BearerError::Invalid(TokenError::InDoubt) => "clock_in_doubt",
        BearerError::Invalid(TokenError::Refused(refusal)) => match refusal {
            TokenRefusal::Expired => "token_expired",
            TokenRefusal::Revoked => "token_revoked",
            TokenRefusal::ApplicationSuspended => "application_suspended",
            TokenRefusal::UserSuspended => "user_suspended",
        },
    }
}

/// Problem details (RFC 9457). The layer around every route adds `instance`: it knows the request's id.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<Current>,
}

impl Problem {
    /// As JSON, for the request with this id.
    pub(super) fn to_json(&self, request_id: uuid::Uuid) -> Vec<u8> {
        let problem = Self { instance: Some(format!("urn:uuid:{request_id}")), ..self.clone() };
        serde_json::to_vec(&problem).expect("a problem is plain data")
    }

    /// The same for people.
    pub(super) fn told(&self) -> Told {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Told { status, code: self.code, detail: self.detail.clone() }
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct FieldProblem {
    field: String,
    code: &'static str,
    message: String,
}

/// What a lost race has to know: where things stand now, who brought them there, when, and what differs.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
struct Current {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// The name of who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    by_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    difference: Vec<DifferenceShape>,
}

/// A field that differs between two revisions.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Difference)]
pub struct DifferenceShape {
    field: &'static str,
    before: String,
    after: String,
}

impl From<Difference> for DifferenceShape {
    fn from(Difference { field, before, after }: Difference) -> Self {
        Self { field, before, after }
    }
}

fn current(error: &AppError) -> Option<Current> {
    match error {
        AppError::Overtaken(overtaken) => {
            let Overtaken { refusal, by: (by_id, by), at, difference } = &**overtaken;
            let known = Current { by: Some(by.clone()), by_id: Some(*by_id), at: Some(*at), ..Current::default() };
            Some(match refusal {
                ApplicationRefusal::WrongStanding { standing, .. } | ApplicationRefusal::NoChange { standing, .. } => {
                    Current { state: Some(standing.to_string()), ..known }
                }
                ApplicationRefusal::ChangeOver(change) => {
                    Current { state: Some(format!("change_{}", change.outcome)), ..known }
                }
                ApplicationRefusal::Claimed { until, .. } => {
                    Current { state: Some("claimed".to_owned()), until: Some(*until), ..known }
                }
                ApplicationRefusal::Revised { now, .. } => {
                    let difference = difference.iter().cloned().map(DifferenceShape::from).collect();
                    Current { revision: Some(*now), difference, ..known }
                }
                _ => known,
            })
        }
        AppError::Refused(Refused::Inbox(InboxRefusal::AlreadyRevealed { at })) => {
            Some(Current { state: Some("revealed".to_owned()), at: Some(*at), ..Current::default() })
        }
        _ => None,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Told { status, code, detail } = match &self {
            Self::App(error) => tell(error),
            Self::Token(error) => told(StatusCode::UNAUTHORIZED, token_code(*error), error.to_string()),
            Self::TokenMissing => {
                told(StatusCode::UNAUTHORIZED, "token_missing", "Send a token in the Authorization header, or sign in")
            }
            Self::ScopeMissing(scope) => {
                told(StatusCode::FORBIDDEN, "insufficient_scope", format!("This needs a token with the scope {scope}"))
            }
            Self::Field { message, .. } => told(StatusCode::UNPROCESSABLE_ENTITY, "fields", message.clone()),
            Self::Request { status, code, detail } => told(*status, code, detail.clone()),
        };
        let (errors, current) = match &self {
            Self::App(AppError::Fields(errors)) => {
                let problem = |error: &FieldError| FieldProblem {
                    field: error.field.to_owned(),
                    code: error.code,
                    message: error.message.clone(),
                };
                (errors.iter().map(problem).collect(), None)
            }
            Self::Field { field, code, message } => {
                (vec![FieldProblem { field: field.clone(), code, message: message.clone() }], None)
            }
            Self::App(error) => (vec![], current(error)),
            Self::Token(_) | Self::TokenMissing | Self::ScopeMissing(_) | Self::Request { .. } => (vec![], None),
        };
        let problem = Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail,
            instance: None,
            code,
            errors,
            current,
        };
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")]).into_response();
        response.extensions_mut().insert(problem);
        let headers = response.headers_mut();
        // RFC 6750 s3: no error word when the request held no token at all.
        let challenge = match &self {
            Self::TokenMissing => Some("Bearer realm=\"api\"".to_owned()),
            Self::Token(_) => Some("Bearer realm=\"api\", error=\"invalid_token\"".to_owned()),
            Self::ScopeMissing(scope) => {
                Some(format!("Bearer realm=\"api\", error=\"insufficient_scope\", scope=\"{scope}\""))
            }
            Self::App(_) | Self::Field { .. } | Self::Request { .. } => None,
        };
        if let Some(challenge) = challenge.and_then(|challenge| HeaderValue::from_str(&challenge).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Self::App(error) = &self {
            add_retry(error, headers);
        }
        response
    }
}

/// `Retry-After` and `RateLimit-*` where waiting helps.
pub fn add_retry(error: &AppError, headers: &mut axum::http::HeaderMap) {
    match error {
        AppError::TooMany(TooMany { limit, retry_after_seconds, reset_seconds }) => {
            headers.insert(header::RETRY_AFTER, (*retry_after_seconds).into());
            headers.insert("ratelimit-limit", (*limit).into());
            headers.insert("ratelimit-remaining", 0.into());
            headers.insert("ratelimit-reset", (*reset_seconds).into());
        }
        AppError::TooManyOpenRequests(limit) => {
            headers.insert(header::RETRY_AFTER, 86_400.into());
            headers.insert("ratelimit-limit", (*limit).into());
            headers.insert("ratelimit-remaining", 0.into());
            headers.insert("ratelimit-reset", 86_400.into());
        }
        AppError::Store(StoreError::Building(_)) => {
            headers.insert(header::RETRY_AFTER, 5.into());
        }
        AppError::ClockInDoubt => {
            headers.insert(header::RETRY_AFTER, 60.into());
        }
        AppError::Behind | AppError::Store(_) => {
            headers.insert(header::RETRY_AFTER, 1.into());
        }
        _ => {}
    }
}
