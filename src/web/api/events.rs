//! The whole history as JSON, for auditors.

use std::sync::Arc;

use axum::extract::State;
use countersign_events::{codec, recorded::Position};
use serde_json::{Value, json};

use super::{Asks, Parameters, after_parameter, answers::EventsShape, limit_parameter};
use crate::{
    app::{
        App,
        audit::{Effort, Typed},
    },
    web::{
        describe::{one_of, parameter},
        error::ApiError,
        extract::Fields,
    },
};

/// The filters of the log; looking their members and applications up is the handler's.
pub(in crate::web) struct EventsQuery {
    typed: Typed,
    newest_first: bool,
    after: Option<Position>,
    limit: u32,
}

impl Parameters for EventsQuery {
    fn parameters() -> Vec<Value> {
        let types = one_of(codec::TYPES.iter().map(|known| known.name));
        let text = json!({ "type": "string" });
        let instant = json!({ "type": "string", "format": "date-time" });
        let of = |name, about: &str, schema: &Value| parameter("query", name, about, schema);
        vec![
            of("stream", "Only of this stream, such as site or application-ID.", &text),
            of("type", "Only of this type.", &types),
            of(
                "actor",
                "Only what this actor did, or what was decided in their name: a username, an id, cli:NAME or system.",
                &text,
            ),
            of("application", "Only what concerns this application: its id or client id.", &text),
            of("user", "Only what concerns this member: a username or an id.", &text),
            of("since", "Only what was recorded at this instant or later (RFC 3339).", &instant),
            of("until", "Only what was recorded before this instant (RFC 3339).", &instant),
            of("order", "Oldest first, or newest first.", &one_of(["asc", "desc"])),
            after_parameter(),
            limit_parameter(),
        ]
    }

    fn read(query: &Fields) -> Result<Self, ApiError> {
        let newest_first = match query.get("order") {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(ApiError::bad_request("unknown_value", "`order` is one of asc, desc.")),
        };
        let after = super::after::<u64>(query)?.map(Position);
        Ok(Self { typed: typed(query), newest_first, after, limit: super::limit(query)? })
    }
}

/// The filters of a query. What is empty is as if it were not there.
pub(in crate::web) fn typed(query: &Fields) -> Typed {
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
    Asks(asked): Asks<EventsQuery>,
) -> Result<axum::Json<EventsShape>, ApiError> {
    let filter = app.audit_filter(&asked.typed).await?;
    let filter = filter.map_err(|error| ApiError::bad_request(error.code, error.message))?;
    let page = app.audit(&filter, asked.after, asked.newest_first, asked.limit, Effort::USUAL).await?;
    let next = page.next.map(|next| next.to_string());
    Ok(axum::Json(EventsShape { data: page.events, next, complete_to: page.complete_to }))
}
