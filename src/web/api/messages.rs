//! Writing a message to another member, as JSON. Reading messages is in `notifications`.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Created, answers::SentShape};
use crate::{
    app::App,
    web::{
        error::ApiError,
        extract::{ApiCaller, Json},
    },
};

/// A message to another member.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewMessage {
    /// The username of whom it is for.
    to: String,
    title: String,
    body: String,
}

/// `POST /api/v1/messages`.
pub(in crate::web) async fn send(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Json { value, text }: Json<NewMessage>,
) -> Result<Created<SentShape>, ApiError> {
    let sender = caller.caller("POST /messages", &text);
    let sent = app.send_message(&sender, caller.user_id, &value.to, &value.title, &value.body).await?;
    Ok(Created(sent.cursor, SentShape { id: sent.answer }))
}
