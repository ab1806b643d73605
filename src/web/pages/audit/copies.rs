//! Copies of the history as CSV and JSON, exactly what a filter finds. What is in a copy is on record before it leaves;
//! it is written piece by piece, and where something goes wrong on the way the answer breaks off, so that a browser
//! knows. A copy that is cut off says so in itself. It is asked for by POST: to look at an address takes no copy.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use countersign_events::{recorded::Position, site::ExportFormat};
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::{after, filter};
use crate::{
    app::{
        App, AppError, Done,
        audit::{EventRecord, Export, LONGEST},
    },
    csv::cell,
    web::{
        extract::{Auditor, Fields, Form, Member, Query},
        pages::{PageError, stamp},
    },
};

/// So many events are read in one go.
const PIECE: usize = 250;
const COLUMNS: [&str; 18] = [
    "position",
    "recorded_at",
    "sentence",
    "actor_name",
    "actor",
    "type",
    "type_version",
    "stream",
    "version",
    "on_behalf_of_name",
    "on_behalf_of",
    "client_address",
    "request_id",
    "command_id",
    "causation",
    "event_id",
    "payload",
    "personal",
];

pub(in crate::web) async fn csv(
    State(app): State<Arc<App>>,
    Auditor(member): Auditor,
    Query(query): Query,
    Form(form): Form,
) -> Result<Response, PageError> {
    let (copy, _) = copy(&app, &member, &query, &form, "POST /admin/audit.csv", ExportFormat::Csv).await?;
    let head = line(COLUMNS.iter().copied());
    let tail = copy.answer.next.map(|next| cut_off(next, copy.answer.positions.len())).unwrap_or_default();
    Ok(answer(&app, copy, "text/csv; charset=utf-8; header=present", "audit.csv", (head, "", tail), csv_row))
}

pub(in crate::web) async fn json(
    State(app): State<Arc<App>>,
    Auditor(member): Auditor,
    Query(query): Query,
    Form(form): Form,
) -> Result<Response, PageError> {
    let (copy, filters) = copy(&app, &member, &query, &form, "POST /admin/audit.json", ExportFormat::Json).await?;
    let Export { positions, next, complete_to } = &copy.answer;
    let about = json!({
        "exported_at": app.now(),
        "exported_by": member.id(),
        "filters": filters,
        "complete_to": complete_to,
        "rows": positions.len(),
        "cut_off": next.is_some(),
        "next": next.map(|next| next.to_string()),
    });
    // The list is written into the object as it is read.
    let about = about.to_string();
    let head = format!("{},\"data\":[\n", about.strip_suffix('}').unwrap_or(&about));
    Ok(answer(&app, copy, "application/json", "audit.json", (head, ",\n", "\n]}\n".to_owned()), json_row))
}

async fn copy(
    app: &App,
    member: &Member,
    query: &Fields,
    form: &Fields,
    route: &'static str,
    format: ExportFormat,
) -> Result<(Done<Export>, Vec<String>), PageError> {
    let (filter, after) = (filter(app, query).await?, after(query)?);
    let caller = member.visitor.caller(route, form);
    let copy = app.export(&caller, member.id(), &filter, after, format).await?;
    Ok((copy, filter.parts()))
}

/// The copy as an answer, its rows between head and tail, with something between each two.
fn answer(
    app: &Arc<App>,
    copy: Done<Export>,
    media_type: &'static str,
    file: &str,
    (head, between, tail): (String, &'static str, String),
    row: fn(&EventRecord) -> String,
) -> Response {
    let Done { answer: Export { positions, .. }, cursor, .. } = copy;
    let pieces: Vec<_> = positions.chunks(PIECE).map(<[_]>::to_vec).collect();
    let reader = app.clone();
    let rows = stream::iter(pieces.into_iter().enumerate()).then(move |(index, piece)| {
        let app = reader.clone();
        async move {
            let events = app.exported(&piece).await.inspect_err(|error| {
                tracing::error!(%error, "a copy of the history broke off");
            })?;
            let rows: Vec<_> = events.iter().map(row).collect();
            let joined = rows.join(between);
            Ok::<_, AppError>(Bytes::from(if index == 0 { joined } else { format!("{between}{joined}") }))
        }
    });
    let whole = |text: String| stream::once(async move { Ok::<_, AppError>(Bytes::from(text)) });
    let body = Body::from_stream(whole(head).chain(rows).chain(whole(tail)));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{file}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    stamp(app, &mut response, cursor);
    response
}

/// A line of cells, none of which a spreadsheet takes for a formula.
fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let cells: Vec<_> = cells.map(cell).collect();
    format!("{}\r\n", cells.join(","))
}

fn csv_row(event: &EventRecord) -> String {
    let text = |id: Option<&dyn ToString>| id.map(ToString::to_string).unwrap_or_default();
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let cells: [String; COLUMNS.len()] = [
        event.position.to_string(),
        event.recorded_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        event.sentence.clone(),
        event.actor_name.clone(),
        event.actor.clone(),
        event.r#type.clone(),
        event.type_version.to_string(),
        event.stream.clone(),
        event.version.to_string(),
        optional(&event.on_behalf_of_name),
        text(event.on_behalf_of.as_ref().map(|id| id as &dyn ToString)),
        optional(&event.client_address),
        optional(&event.request_id),
        optional(&event.command_id),
        text(event.causation.as_ref().map(|id| id as &dyn ToString)),
        event.event_id.to_string(),
        event.payload.get().to_owned(),
        json!(event.personal).to_string(),
    ];
    line(cells.iter().map(String::as_str))
}

/// The last line of a copy that is cut off, as wide as the others.
fn cut_off(next: Position, rows: usize) -> String {
    let told = format!(
        "Cut off: these are {rows} rows, a copy has {LONGEST} at most, and there may be more before position {next}. \
         Open the audit with after={next} in its address, and take the next copy there."
    );
    let mut cells = [""; COLUMNS.len()];
    cells[2] = &told;
    line(cells.into_iter())
}

fn json_row(event: &EventRecord) -> String {
    serde_json::to_string(event).expect("an event is plain data with text keys")
}
