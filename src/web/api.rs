//! The JSON API: what handlers of every resource share. Shapes are in `shapes`.

pub mod about;
pub mod accounts;
pub mod answers;
pub mod application_shapes;
pub mod applications;
pub mod events;
pub mod messages;
pub mod notifications;
pub mod posts;
pub mod projections;
pub mod shapes;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    context::{POSITION, position_value},
    describe::{Answers, Sketch, Takes, parameter},
    error::ApiError,
    extract::Fields,
};
use crate::{app::AppError, store::Cursor};

/// How many rows a list has when nobody says.
pub const LIMIT: u32 = 25;
/// How many it has at most.
const LIMIT_MAX: u32 = 100;

/// The answer to a command that changed something: where the log stands, and a body.
pub struct Changed<T>(pub Cursor, pub T);

/// The answer to a command that made something.
pub struct Created<T>(pub Cursor, pub T);

/// The answer to a command that has nothing to say.
pub struct Silent(pub Cursor);

fn stamped(status: StatusCode, cursor: Cursor, body: impl IntoResponse) -> Response {
    (status, [(POSITION, position_value(cursor))], body).into_response()
}

impl<T: Serialize> IntoResponse for Changed<T> {
    fn into_response(self) -> Response {
        stamped(StatusCode::OK, self.0, axum::Json(self.1))
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        stamped(StatusCode::CREATED, self.0, axum::Json(self.1))
    }
}

impl IntoResponse for Silent {
    fn into_response(self) -> Response {
        stamped(StatusCode::NO_CONTENT, self.0, ())
    }
}

impl<T: ToSchema> Answers for Changed<T> {
    fn answers(sketch: &mut Sketch) {
        let schema = sketch.reference::<T>();
        sketch.answer_json(200, "It is done.", &schema);
    }
}

impl<T: ToSchema> Answers for Created<T> {
    fn answers(sketch: &mut Sketch) {
        let schema = sketch.reference::<T>();
        sketch.answer_json(201, "It is made.", &schema);
    }
}

impl Answers for Silent {
    fn answers(sketch: &mut Sketch) {
        sketch.answers.insert(204, json!({ "description": "It is done; there is nothing to say." }));
    }
}

/// A page of a list.
#[derive(Serialize)]
pub struct List<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next page begins; `null` at the end.
    pub next: Option<String>,
}

impl<T> List<T> {
    /// All there is.
    #[must_use]
    pub const fn whole(data: Vec<T>) -> Self {
        Self { data, next: None }
    }
}

impl<T> List<T> {
    /// The page of all there is that begins behind the row with this id.
    ///
    /// # Errors
    /// 400 when there is none.
    pub fn page_of(all: Vec<T>, page: &Page<Uuid>, id: impl Fn(&T) -> Uuid) -> Result<Self, ApiError> {
        let begins = match page.after {
            Some(after) => all.iter().position(|row| id(row) == after).ok_or(AppError::NoSuchCursor)? + 1,
            None => 0,
        };
        let mut data: Vec<_> = all.into_iter().skip(begins).take(page.limit as usize + 1).collect();
        let more = data.len() > page.limit as usize;
        data.truncate(page.limit as usize);
        let next = data.last().filter(|_| more).map(|last| id(last).to_string());
        Ok(Self { data, next })
    }

    /// With its rows as they are shown.
    #[must_use]
    pub fn map<U>(self, shown: impl Fn(T) -> U) -> List<U> {
        List { data: self.data.into_iter().map(shown).collect(), next: self.next }
    }
}

impl<T: Serialize> IntoResponse for List<T> {
    fn into_response(self) -> Response {
        axum::Json(self).into_response()
    }
}

impl<T: ToSchema> Answers for List<T> {
    fn answers(sketch: &mut Sketch) {
        let row = sketch.reference::<T>();
        let next = json!({ "type": ["string", "null"], "description": "The next page: send it as `after`." });
        let schema = json!({
            "type": "object",
            "required": ["data", "next"],
            "properties": { "data": { "type": "array", "items": row }, "next": next },
        });
        sketch.answer_json(200, "A page of the list.", &schema);
    }
}

/// A query of the API, read and described in one place.
pub trait Parameters: Sized {
    /// Its parameters, as `OpenAPI` writes them.
    fn parameters() -> Vec<Value>;
    /// Reads it; what does not fit is named.
    ///
    /// # Errors
    /// 400.
    fn read(query: &Fields) -> Result<Self, ApiError>;
}

/// The query of a request to the API.
pub struct Asks<Q>(pub Q);

impl<Q: Parameters, S: Sync> FromRequestParts<S> for Asks<Q> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes());
        only_known(&query, &Q::parameters())?;
        Q::read(&query).map(Self)
    }
}

impl<Q: Parameters> Takes for Asks<Q> {
    fn takes(sketch: &mut Sketch) {
        sketch.parameters.extend(Q::parameters());
    }
}

/// A parameter that is not known would be passed over in silence, and its sender believe that it was heard.
fn only_known(query: &Fields, parameters: &[Value]) -> Result<(), ApiError> {
    let known: Vec<_> = parameters.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
    let Some(unknown) = query.names().find(|name| !known.contains(name)) else { return Ok(()) };
    // What is no name at all is not repeated.
    let is_name = unknown.len() <= 32 && unknown.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let unknown = if is_name { format!("no parameter {unknown}") } else { "no such parameter".to_owned() };
    let detail = format!("There is {unknown} here; there are {}.", known.join(", "));
    Err(ApiError::bad_request("unknown_parameter", detail))
}

/// `?after=&limit=`.
pub struct Page<T> {
    /// Where it begins.
    pub after: Option<T>,
    /// How many rows.
    pub limit: u32,
}

impl<T: std::str::FromStr> Parameters for Page<T> {
    fn parameters() -> Vec<Value> {
        vec![after_parameter(), limit_parameter()]
    }

    fn read(query: &Fields) -> Result<Self, ApiError> {
        Ok(Self { after: after(query)?, limit: limit(query)? })
    }
}

/// `after`, described.
#[must_use]
pub fn after_parameter() -> Value {
    parameter("query", "after", "Where the page begins: `next` of the page before.", &json!({ "type": "string" }))
}

/// `limit`, described.
#[must_use]
pub fn limit_parameter() -> Value {
    let schema = json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT });
    parameter("query", "limit", "How many rows a page has.", &schema)
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
