//! Notifications and messages as JSON, and `/unread`.

use std::sync::Arc;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use countersign_events::{ids::MessageId, recorded::Position, scope::Scope};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{done, shapes::NotificationShape};
use crate::{
    app::{App, inbox::Which},
    web::{
        error::ApiError,
        extract::{ApiCaller, Fields, Id, Json, Query},
    },
};

async fn page(
    app: &App,
    caller: &ApiCaller,
    which: Which,
    query: &Fields,
) -> Result<(Vec<NotificationShape>, Option<Position>), ApiError> {
    let before = super::after::<u64>(query)?.map(Position);
    let (notifications, next) = app.notifications(caller.user_id, which, before, super::limit(query)?).await?;
    // A member in a browser reads all that is theirs.
    let with_messages = caller.bearer.is_none_or(|bearer| bearer.scopes.contains(Scope::Messages));
    Ok((notifications.into_iter().map(|one| NotificationShape::of(app, one, with_messages)).collect(), next))
}

/// `GET /unread`: a browser is sent to the inbox, a token gets JSON. Reading marks nothing unless the
/// token asks for it, and then exactly what it is given.
pub(in crate::web) async fn unread(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(query): Query,
) -> Result<Response, ApiError> {
    if caller.signed_in.is_some() {
        return Ok(Redirect::to(&format!("{}/inbox", app.config.base_path())).into_response());
    }
    let (data, next) = page(&app, &caller, Which { unread: true, messages: false }, &query).await?;
    let count = app.unread_count(caller.user_id).await?;
    let ids: Vec<_> = data.iter().map(NotificationShape::id).collect();
    let body = json!({ "data": data, "next": next.map(|next| next.to_string()), "count": count });
    if query.get("mark_read") != Some("true") {
        return Ok(axum::Json(body).into_response());
    }
    let marked = app.mark_read(&caller.caller("GET /unread", b""), caller.user_id, &ids).await?;
    Ok(done(StatusCode::OK, marked.cursor, body))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Ids {
    ids: Vec<Uuid>,
}

pub(in crate::web) async fn mark_read(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Json { value, text }: Json<Ids>,
) -> Result<Response, ApiError> {
    if value.ids.len() > 100 {
        return Err(ApiError::bad_request("ids", "Mark at most 100 at once."));
    }
    let sender = caller.caller("POST /notifications/read", &text);
    let marked = app.mark_read(&sender, caller.user_id, &value.ids).await?;
    Ok(done(StatusCode::OK, marked.cursor, json!({ "read": marked.answer })))
}

pub(in crate::web) async fn list(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(query): Query,
) -> Result<Response, ApiError> {
    let (data, next) = page(&app, &caller, Which::default(), &query).await?;
    Ok(axum::Json(json!({ "data": data, "next": next.map(|next| next.to_string()) })).into_response())
}

pub(in crate::web) async fn messages(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(query): Query,
) -> Result<Response, ApiError> {
    let (data, next) = page(&app, &caller, Which { unread: false, messages: true }, &query).await?;
    Ok(axum::Json(json!({ "data": data, "next": next.map(|next| next.to_string()) })).into_response())
}

pub(in crate::web) async fn message(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<Uuid>,
) -> Result<Response, ApiError> {
    let message = app.notification(caller.user_id, id).await?;
    Ok(axum::Json(NotificationShape::of(&app, message, true)).into_response())
}

pub(in crate::web) async fn reveal(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<MessageId>,
) -> Result<Response, ApiError> {
    let revealed = app.reveal(&caller.caller("POST /messages/{id}/reveal", b""), caller.user_id, id).await?;
    Ok(done(StatusCode::OK, revealed.cursor, json!({ "access_token": revealed.answer })))
}
