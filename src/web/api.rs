//! The JSON API: what handlers of every resource share. Shapes are in `shapes`.

pub mod accounts;
pub mod applications;
pub mod notifications;
pub mod posts;
pub mod projections;
pub mod shapes;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    context::{POSITION, position_value},
    error::ApiError,
    extract::Fields,
};
use crate::store::Cursor;

/// How many rows a list has when nobody says.
const LIMIT: u32 = 25;
/// How many it has at most.
const LIMIT_MAX: u32 = 100;

/// The answer to a command: its body, and where the log stands.
pub fn done(status: StatusCode, cursor: Cursor, body: impl Serialize) -> Response {
    let mut response = (status, axum::Json(body)).into_response();
    response.headers_mut().insert(POSITION, position_value(cursor));
    response
}

/// The answer to a command that has nothing to say.
pub fn done_silently(cursor: Cursor) -> Response {
    let mut response = done(StatusCode::NO_CONTENT, cursor, ());
    *response.body_mut() = axum::body::Body::empty();
    response.headers_mut().remove(axum::http::header::CONTENT_TYPE);
    response
}

/// A page of a list.
#[derive(Serialize)]
pub struct List<T> {
    data: Vec<T>,
    next: Option<String>,
}

/// `?limit=`.
///
/// # Errors
/// 400.
pub fn limit(query: &Fields) -> Result<u32, ApiError> {
    match query.get("limit") {
        None => Ok(LIMIT),
        Some(text) => {
            let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
            limit.ok_or_else(|| ApiError::bad_request("limit", format!("limit is a number from 1 to {LIMIT_MAX}.")))
        }
    }
}

/// `?after=`, a cursor that an earlier page gave.
///
/// # Errors
/// 400.
pub fn after<T: std::str::FromStr>(query: &Fields) -> Result<Option<T>, ApiError> {
    let malformed = || ApiError::bad_request("cursor", "after is the value of next in an earlier answer.");
    query.get("after").map(|text| text.parse().map_err(|_| malformed())).transpose()
}

/// A method that a path of the API does not know; `Allow` says which it knows.
pub async fn wrong_method() -> ApiError {
    let (status, detail) = (StatusCode::METHOD_NOT_ALLOWED, "This path does not know this method; see Allow.");
    ApiError::Request { status, code: "method_not_allowed", detail: detail.to_owned() }
}
