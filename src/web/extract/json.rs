//! Bodies of the JSON API, and what is told of one that does not fit.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
};
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::{body, media_type};
use crate::{
    app::App,
    web::{
        describe::{Sketch, Takes},
        error::ApiError,
    },
};

/// A JSON body, with its text for telling repeats from others.
pub struct Json<T> {
    /// What it says.
    pub value: T,
    /// As it was sent.
    pub text: Bytes,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, ApiError> {
        require_json(&request)?;
        Self::read(json_text(request).await?)
    }
}

impl<T: DeserializeOwned> Json<T> {
    fn read(text: Bytes) -> Result<Self, ApiError> {
        let mut json = serde_json::Deserializer::from_slice(&text);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| misfit(&error))?;
        json.end().map_err(|error| ApiError::bad_request("json", format!("The body is not JSON: {error}.")))?;
        Ok(Self { value, text })
    }
}

fn require_json(request: &Request) -> Result<(), ApiError> {
    if media_type(request.headers()).eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let (status, code) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type");
    Err(ApiError::Request { status, code, detail: "Send JSON, as application/json.".to_owned() })
}

async fn json_text(request: Request) -> Result<Bytes, ApiError> {
    let failed = |(status, detail): (_, &str)| ApiError::Request { status, code: "body", detail: detail.to_owned() };
    body(request).await.map_err(failed)
}

impl<T: ToSchema> Takes for Json<T> {
    fn takes(sketch: &mut Sketch) {
        sketch.body = Some(sketch.reference::<T>());
    }
}

/// A JSON body that may be left out; without one everything in it has its default.
pub struct MayJson<T>(pub Json<T>);

impl<T: DeserializeOwned + Default> FromRequest<Arc<App>> for MayJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, ApiError> {
        let kind = require_json(&request);
        let text = json_text(request).await?;
        if text.is_empty() {
            return Ok(Self(Json { value: T::default(), text }));
        }
        kind?;
        Json::read(text).map(Self)
    }
}

impl<T: ToSchema> Takes for MayJson<T> {
    fn takes(sketch: &mut Sketch) {
        Json::<T>::takes(sketch);
        sketch.body_is_optional = true;
    }
}

/// What is no JSON is malformed; JSON that does not fit has a field to be named.
fn misfit(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let cause = error.inner();
    if !cause.is_data() {
        return ApiError::bad_request("json", format!("The body is not JSON: {cause}."));
    }
    let said = cause.to_string();
    let (code, named) = if said.starts_with("missing field") {
        ("required", said.split('`').nth(1))
    } else if said.starts_with("unknown field") {
        ("unknown_field", said.split('`').nth(1))
    } else {
        ("malformed", None)
    };
    let field = named.map_or_else(|| error.path().to_string(), ToOwned::to_owned);
    ApiError::Field { field, code, message: format!("The body does not fit: {said}.") }
}
