//! The whole history as JSON, for auditors.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use countersign_events::{account::Role, recorded::Position, scope::Scope};
use serde_json::json;

use crate::{
    app::{
        App, AppError,
        audit::{Effort, Typed},
    },
    web::{
        error::ApiError,
        extract::{ApiCaller, Fields, Query},
    },
};

/// An auditor: by role in a browser, by role and scope with a token.
fn auditor(app: &App, caller: ApiCaller) -> Result<ApiCaller, ApiError> {
    let caller = caller.scope(Scope::Audit)?;
    let member = app.state.member(caller.user_id).ok_or(ApiError::not_found())?;
    if member.facts.roles.allow(Role::Auditor) { Ok(caller) } else { Err(AppError::RoleMissing(Role::Auditor).into()) }
}

/// The filters of a query. What is empty is as if it were not there.
fn typed(query: &Fields) -> Typed {
    let given = |name| query.get(name).filter(|value| !value.is_empty()).map(ToOwned::to_owned);
    Typed {
        stream: given("stream"),
        r#type: given("type"),
        actor: given("actor"),
        application: given("application"),
        user: given("user"),
        since: given("since"),
        until: given("until"),
    }
}

/// `GET /api/v1/events`.
pub(in crate::web) async fn list(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(query): Query,
) -> Result<Response, ApiError> {
    auditor(&app, caller)?;
    let newest_first = match query.get("order") {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => return Err(ApiError::bad_request("unknown_value", "`order` is one of asc, desc.")),
    };
    let after = super::after::<u64>(&query)?.map(Position);
    let limit = super::limit(&query)?;
    let filter = app.audit_filter(&typed(&query)).await?;
    let filter = filter.map_err(|error| ApiError::bad_request(error.code, error.message))?;
    let page = app.audit(&filter, after, newest_first, limit, Effort::USUAL).await?;
    let next = page.next.map(|next| next.to_string());
    Ok(axum::Json(json!({ "data": page.events, "next": next, "complete_to": page.complete_to })).into_response())
}
