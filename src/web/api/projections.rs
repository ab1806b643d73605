//! Read models, for operators.

use std::sync::Arc;

use axum::extract::State;

use super::List;
use crate::{
    app::{App, projections::ProjectionStatus},
    web::error::ApiError,
};

/// `GET /api/v1/projections`: how each read model does.
pub(in crate::web) async fn list(State(app): State<Arc<App>>) -> Result<List<ProjectionStatus>, ApiError> {
    Ok(List::whole(app.projections().await?))
}
