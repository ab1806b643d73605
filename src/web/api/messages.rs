//! Writing a message to another member, as JSON. Reading messages is in `notifications`.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use countersign_events::scope::Scope;
use serde::Deserialize;
use serde_json::json;

use super::done;
use crate::{
    app::App,
    web::{
        error::ApiError,
        extract::{ApiCaller, Json},
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewMessage {
    to: String,
    title: String,
    body: String,
}

/// `POST /api/v1/messages`.
pub(in crate::web) async fn send(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Json { value, text }: Json<NewMessage>,
) -> Result<Response, ApiError> {
    let caller = caller.scope(Scope::Messages)?;
    let sender = caller.caller("POST /messages", &text);
    let sent = app.send_message(&sender, caller.user_id, &value.to, &value.title, &value.body).await?;
    Ok(done(StatusCode::CREATED, sent.cursor, json!({ "id": sent.answer })))
}
