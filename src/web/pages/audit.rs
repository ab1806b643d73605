//! Auditors' pages: the whole history with filters, one event, and reviews week by week. Copies of the history are
//! `copies`'s, charts are `weeks`'s.

mod copies;
mod weeks;

use std::{borrow::Cow, sync::Arc};

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use countersign_events::{codec, recorded::Position, text::FieldError};
use serde_json::Value;

pub(in crate::web) use copies::{csv, json};

use self::weeks::{SPANS, Weeks, span};
use super::{
    Frame, PageError,
    frame::exactly,
    portions::{TEXT, beginning, shortened},
    render,
};
use crate::{
    app::{
        App, AppError,
        audit::{AuditPage, Effort, EventRecord, Filter, LONGEST, Shown, Standing},
    },
    store::Parked,
    web::{
        api::events::typed,
        extract::{Auditor, Fields, Member, PageId, Query},
    },
};

/// So many a page, and so many beside the charts: no page is heavy.
const PAGE: u32 = 20;
const NEWEST: u32 = 10;
/// A raw event of more bytes has a page of its own, and so has the rest of a sentence of more letters.
const SHORT: usize = 800;
const SENTENCE: usize = 400;
/// So many streams that rest are told one by one.
const PARKED: usize = 5;
/// No sealed text is shown beyond so many characters.
const SEALED: usize = 120;

/// The filters: name, label, what to type.
const FILTERS: [(&str, &str, &str); 7] = [
    ("type", "Type", "What happened"),
    ("actor", "Actor", "Who did it, or in whose name: a username, cli:NAME, or system"),
    ("user", "Member", "Whom it concerns: a username or an id"),
    ("application", "Application", "Its id or client id; any raw event about it leads on to all of them"),
    ("stream", "Stream", "Such as site, or application- and an id"),
    ("since", "Since", "A day or an instant (UTC), such as 2026-01-31"),
    ("until", "Until", "Before this day or instant"),
];

/// A filter as it stands in the form.
struct Field {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    value: String,
    problem: Option<String>,
}

/// An event as it stands in the list.
struct Row {
    event: EventRecord,
    /// Texts that an auditor may read, by field.
    personal: Vec<(&'static str, String)>,
    /// Whether its raw form is short enough to stand in a list.
    short: bool,
}

impl From<EventRecord> for Row {
    fn from(event: EventRecord) -> Self {
        let shown = |shown: &Shown| match shown {
            Shown::Open { text } => shortened(text, TEXT).into_owned(),
            Shown::Sealed => "[sealed: only its reader opens it]".to_owned(),
            Shown::Erased => "[erased]".to_owned(),
        };
        let personal: Vec<_> = event.personal.iter().map(|(name, field)| (*name, shown(field))).collect();
        let texts: usize = personal.iter().map(|(_, text)| text.len()).sum();
        Self { short: event.payload.get().len() + texts <= SHORT, personal, event }
    }
}

impl Row {
    /// The sentence, or as much of it as a list has room for.
    fn sentence(&self) -> Cow<'_, str> {
        beginning(&self.event.sentence, SENTENCE)
    }

    /// Where it is for programs, with all that is stored of it.
    fn for_programs(&self) -> String {
        format!("/api/v1/events?after={}&limit=1", self.event.position.0.saturating_sub(1))
    }

    /// The application whose own event this is.
    fn application(&self) -> Option<&str> {
        self.event.stream.strip_prefix("application-")
    }

    /// The payload with line breaks, for people. Its words are those that are stored; of what is sealed the beginning.
    fn payload(&self) -> Code {
        let stored = self.event.payload.get();
        let parsed = serde_json::from_str(stored).map(|mut payload| {
            shorten_sealed(&mut payload);
            payload
        });
        let pretty = parsed.and_then(|payload: Value| serde_json::to_string_pretty(&payload));
        Code(pretty.unwrap_or_else(|_| stored.to_owned()))
    }
}

/// Leaves of a sealed text as much as tells it from another one: nobody reads more of it.
fn shorten_sealed(payload: &mut Value) {
    match payload {
        Value::Object(fields) => match fields.get_mut("sealed") {
            Some(Value::String(sealed)) if sealed.len() > SEALED => {
                let rest = sealed.split_off(sealed.floor_char_boundary(SEALED)).len().to_string();
                sealed.extend(["… and ", &rest, " more"]);
            }
            _ => fields.values_mut().for_each(shorten_sealed),
        },
        Value::Array(items) => items.iter_mut().for_each(shorten_sealed),
        _ => {}
    }
}

/// A text between tags: quotes stay as they are there, which matters where there are many.
struct Code(String);

impl askama::filters::HtmlSafe for Code {}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct ListPage {
    frame: Frame,
    standing: Standing,
    weeks: Option<Weeks>,
    spans: [u32; 3],
    types: Vec<String>,
    fields: Vec<Field>,
    filtered: bool,
    /// The filters as a query.
    query: String,
    /// The same with where the page begins.
    copied: String,
    rows: Vec<Row>,
    complete_to: Position,
    older: Option<Position>,
    /// It is not the first page.
    later: bool,
    /// What keeps the list from being shown.
    problem: bool,
    longest: String,
}

impl ListPage {
    /// The streams that rest, each by the event that could not be applied.
    fn resting(&self) -> impl Iterator<Item = &Parked> {
        self.standing.parked.iter().filter(|parked| parked.error.is_some())
    }
}

/// The filters that were typed, as a query.
fn query_of(query: &Fields) -> String {
    let given = FILTERS.iter().map(|(name, ..)| (*name, query.text(name))).filter(|(_, value)| !value.is_empty());
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish()
}

/// The list of types is in the form, names of parameters are for the API, and people know applications by their names.
fn for_people(error: &FieldError) -> String {
    match error.field {
        "type" => "There is no such type of event: choose one from the list.".to_owned(),
        "application" => "No application has this id or client id. Names are not looked for: choose the type \
                          ApplicationRequested, and follow “everything about it” under the raw event of the one you mean."
            .to_owned(),
        _ => error.message.replace('`', ""),
    }
}

fn after(query: &Fields) -> Result<Option<Position>, PageError> {
    let malformed =
        || PageError::request(StatusCode::BAD_REQUEST, "after is a position; follow the link to older events instead.");
    let given = query.get("after").filter(|text| !text.is_empty());
    given.map(|text| text.parse().map(Position).map_err(|_| malformed())).transpose()
}

async fn page(
    app: &App,
    member: &Member,
    query: &Fields,
    found: Result<(Filter, AuditPage), FieldError>,
) -> Result<ListPage, PageError> {
    let after = after(query)?;
    let (found, error) = match found {
        Ok(found) => (Some(found), None),
        Err(error) => (None, Some(error)),
    };
    let filtered = found.as_ref().is_none_or(|(filter, _)| !filter.is_empty());
    let standing = app.audit_standing().await?;
    let field = |(name, label, hint): (&'static str, &'static str, &'static str)| Field {
        name,
        label,
        hint,
        value: query.text(name).to_owned(),
        problem: error.as_ref().filter(|error| error.field == name).map(for_people),
    };
    let fields = FILTERS.map(field).into();
    let mut types: Vec<_> = codec::TYPES.iter().map(|known| known.name.to_owned()).collect();
    types.sort();
    // What was sent stays chosen, also when it is none of them.
    types.extend(Some(query.text("type").to_owned()).filter(|name| !name.is_empty() && !types.contains(name)));
    let weeks = if filtered || after.is_some() { None } else { Some(Weeks::of(&app.statistics(span(query)?).await?)?) };
    let (rows, complete_to, older) = match found {
        Some((_, found)) => (found.events, found.complete_to, found.next),
        None => (vec![], standing.head.position, None),
    };
    Ok(ListPage {
        frame: Frame::of(app, &member.visitor).await,
        standing,
        weeks,
        spans: SPANS,
        types,
        fields,
        filtered,
        query: query_of(query),
        copied: after.map_or_else(|| query_of(query), |after| query.with("after", &after.0.to_string())),
        rows: rows.into_iter().map(Row::from).collect(),
        complete_to,
        older,
        later: after.is_some(),
        problem: error.is_some(),
        longest: format!("{},{:03}", LONGEST / 1_000, LONGEST % 1_000),
    })
}

pub(in crate::web) async fn list(
    State(app): State<Arc<App>>,
    Auditor(member): Auditor,
    Query(query): Query,
) -> Result<Response, PageError> {
    let found = match app.audit_filter(&typed(&query)).await? {
        Ok(filter) => {
            let after = after(&query)?;
            let rows = if filter.is_empty() && after.is_none() { NEWEST } else { PAGE };
            let page = app.audit(&filter, after, true, rows, Effort::USUAL).await?;
            Ok((filter, page))
        }
        Err(error) => Err(error),
    };
    let status = if found.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let page = page(&app, &member, &query, found).await?;
    Ok(render(&app, &member.visitor, status, &page))
}

#[derive(Template)]
#[template(path = "audit_event.html")]
struct EventPage {
    frame: Frame,
    row: Row,
    last: bool,
}

pub(in crate::web) async fn event(
    State(app): State<Arc<App>>,
    Auditor(member): Auditor,
    PageId(position): PageId<u64>,
) -> Result<Response, PageError> {
    let event = app.audit_event(Position(position)).await?;
    let last = app.head().await?.position == event.position;
    let page = EventPage { frame: Frame::of(&app, &member.visitor).await, row: event.into(), last };
    Ok(render(&app, &member.visitor, StatusCode::OK, &page))
}

/// A wrong filter where there is no form to say it beside.
fn refused(error: FieldError) -> PageError {
    PageError::request(StatusCode::BAD_REQUEST, error.message)
}

/// What was typed as a filter, where there is no form.
async fn filter(app: &App, query: &Fields) -> Result<Filter, PageError> {
    app.audit_filter(&typed(query)).await.map_err(|error: AppError| PageError::from(error))?.map_err(refused)
}
