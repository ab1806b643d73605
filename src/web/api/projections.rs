//! Read models, for operators.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    app::App,
    web::{error::ApiError, extract::ApiCaller},
};

/// `GET /api/v1/projections`: how each read model does.
pub(in crate::web) async fn list(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Response, ApiError> {
    caller.operator(&app)?;
    Ok(axum::Json(json!({ "data": app.projections().await?, "next": null })).into_response())
}
