//! Notifications and messages as JSON, and `/unread`.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use countersign_events::{ids::MessageId, recorded::Position, scope::Scope};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Asks, Changed, List, Page, Parameters,
    answers::{MarkedShape, ShownTokenShape, UnreadShape},
    shapes::NotificationShape,
};
use crate::{
    app::{App, Caller, inbox::Which},
    bounds::LIST_BYTES,
    web::{
        describe::{Answers, Sketch, parameter},
        error::ApiError,
        extract::{ApiCaller, Fields, Id, Json},
    },
};

async fn page(
    app: &App,
    caller: &ApiCaller,
    which: Which,
    asked: &Page<u64>,
) -> Result<List<NotificationShape>, ApiError> {
    let before = asked.after.map(Position);
    let (notifications, next) =
        app.notifications_within(caller.user_id, which, before, asked.limit, LIST_BYTES).await?;
    // A member in a browser reads all that is theirs.
    let with_messages = caller.bearer.is_none_or(|bearer| bearer.scopes.contains(Scope::Messages));
    let data = notifications.into_iter().map(|one| NotificationShape::of(app, one, with_messages)).collect();
    Ok(List { data, next: next.map(|next| next.to_string()) })
}

/// `?after=&limit=&mark_read=`.
pub(in crate::web) struct UnreadQuery {
    page: Page<u64>,
    mark_read: bool,
}

impl Parameters for UnreadQuery {
    fn parameters() -> Vec<Value> {
        let about = "`true` marks as read exactly what the answer holds. Not decisions, nor changes of authorizations.";
        let mut parameters = Page::<u64>::parameters();
        parameters.push(parameter("query", "mark_read", about, &json!({ "type": "boolean", "default": false })));
        parameters
    }

    fn read(query: &Fields) -> Result<Self, ApiError> {
        let mark_read = match query.get("mark_read") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(ApiError::bad_request("unknown_value", "mark_read is true or false.")),
        };
        Ok(Self { page: Page::read(query)?, mark_read })
    }
}

/// What `GET /unread` answers.
pub(in crate::web) enum Unread {
    ToInbox(Redirect),
    Told(UnreadShape),
    Marked(Changed<UnreadShape>),
}

impl IntoResponse for Unread {
    fn into_response(self) -> Response {
        match self {
            Self::ToInbox(there) => there.into_response(),
            Self::Told(body) => axum::Json(body).into_response(),
            Self::Marked(body) => body.into_response(),
        }
    }
}

impl Answers for Unread {
    fn answers(sketch: &mut Sketch) {
        axum::Json::<UnreadShape>::answers(sketch);
        sketch.answers.insert(303, json!({ "description": "A signed-in browser is sent to its inbox." }));
    }
}

/// `GET /unread`: a browser is sent to the inbox, a token gets JSON. Reading marks nothing unless the
/// token asks for it, and then exactly what it is given.
pub(in crate::web) async fn unread(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Asks(asked): Asks<UnreadQuery>,
) -> Result<Unread, ApiError> {
    if caller.signed_in.is_some() {
        return Ok(Unread::ToInbox(Redirect::to(&format!("{}/inbox", app.config.base_path()))));
    }
    let List { data, next } = page(&app, &caller, Which::Unread, &asked.page).await?;
    let count = app.unread_count(caller.user_id).await?;
    let ids: Vec<_> = data.iter().map(NotificationShape::id).collect();
    let body = UnreadShape { data, next, count };
    if !asked.mark_read || caller.only_looks() {
        return Ok(Unread::Told(body));
    }
    // A second look shows other ones, and marks those: no repeat of the first.
    let sender = Caller { command: None, ..caller.caller("GET /unread", b"") };
    let marked = app.mark_read(&sender, caller.user_id, &ids).await?;
    Ok(Unread::Marked(Changed(marked.cursor, body)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Ids {
    /// At most 100.
    #[schema(max_items = 100)]
    ids: Vec<Uuid>,
}

pub(in crate::web) async fn mark_read(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Json { value, text }: Json<Ids>,
) -> Result<Changed<MarkedShape>, ApiError> {
    if value.ids.len() > 100 {
        let message = "Mark at most 100 at once.".to_owned();
        return Err(ApiError::Field { field: "ids".to_owned(), code: "too_many", message });
    }
    let sender = caller.caller("POST /notifications/read", &text);
    let marked = app.mark_read(&sender, caller.user_id, &value.ids).await?;
    Ok(Changed(marked.cursor, MarkedShape { read: marked.answer }))
}

pub(in crate::web) async fn list(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Asks(asked): Asks<Page<u64>>,
) -> Result<List<NotificationShape>, ApiError> {
    page(&app, &caller, Which::default(), &asked).await
}

pub(in crate::web) async fn messages(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Asks(asked): Asks<Page<u64>>,
) -> Result<List<NotificationShape>, ApiError> {
    page(&app, &caller, Which::Messages, &asked).await
}

pub(in crate::web) async fn message(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<Uuid>,
) -> Result<axum::Json<NotificationShape>, ApiError> {
    let message = app.notification(caller.user_id, id).await?;
    Ok(axum::Json(NotificationShape::of(&app, message, true)))
}

pub(in crate::web) async fn reveal(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<MessageId>,
) -> Result<Changed<ShownTokenShape>, ApiError> {
    let revealed = app.reveal(&caller.caller("POST /messages/{id}/reveal", b""), caller.user_id, id).await?;
    Ok(Changed(revealed.cursor, ShownTokenShape { access_token: revealed.answer }))
}
