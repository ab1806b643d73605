//! The reviewers' queue: what waits and what was decided, filtered, page by page; the next one to claim. An application
//! on its own and the decisions on it are `review`'s.

mod offers;
mod review;

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use chrono::TimeDelta;
use countersign_events::{application::Standing, ids::UserId, recorded::Timestamp, scope::ScopeSet, text::FieldError};

use super::{Frame, PageError, instant, render, see_other, span};
use crate::{
    app::{App, AppError},
    store::{ReviewFilter, rows::ApplicationRow},
    web::{
        extract::{Fields, Form, Query, Reviewer},
        review_query::{ALL, FILTERS, ME, NOBODY, QueryError, cursor, cursor_at, place, review_filter},
    },
};

pub(in crate::web) use self::review::{application, decide};
use self::review::{came_from, kept};

/// So many a page, unless the reader wants more or less.
const PAGE: u32 = 50;

/// How long something waits for a reviewer.
#[derive(Debug, Clone)]
struct Wait {
    /// As people say it.
    words: String,
    /// Since when, exactly.
    since: String,
    due: Timestamp,
    overdue: bool,
}

impl Wait {
    fn of(app: &App, row: &ApplicationRow) -> Option<Self> {
        let since = row.waits()?;
        let due = app.due(since);
        let words = span(&(app.now() - since).max(TimeDelta::zero()));
        Some(Self { words, since: instant(&since), due, overdue: due < app.now() })
    }
}

/// A reviewer's claim that holds.
#[derive(Debug, Clone)]
struct Claimed {
    by: String,
    until: Timestamp,
    mine: bool,
}

impl Claimed {
    fn of(app: &App, row: &ApplicationRow, reader: UserId) -> Option<Self> {
        let claim = row.claim.filter(|claim| claim.until() > app.now())?;
        Some(Self { by: app.state.name_of(claim.by), until: claim.until(), mine: claim.by == reader })
    }
}

/// A row of the list.
struct Listed {
    row: ApplicationRow,
    owner: String,
    own: bool,
    wait: Option<Wait>,
    claim: Option<Claimed>,
    signed_by: Option<String>,
    decided_by: Option<String>,
    /// It was answered before, and its owner came back with it.
    came_back: bool,
}

impl Listed {
    fn of(app: &App, row: ApplicationRow, reader: UserId) -> Self {
        Self {
            owner: app.state.name_of(row.owner_id),
            own: row.owner_id == reader,
            wait: Wait::of(app, &row),
            claim: Claimed::of(app, &row, reader),
            signed_by: row.signed.filter(|_| app.config.two_person_rule).map(|(user, _)| app.state.name_of(user)),
            decided_by: row.decided_by.map(|user| app.state.name_of(user)),
            came_back: row.standing == Standing::UnderReview && row.decided_at.is_some(),
            row,
        }
    }
}

/// A state as a tab.
struct Tab {
    label: String,
    number: u64,
    query: String,
    current: bool,
}

/// A filter with its few values.
struct Choice {
    name: &'static str,
    label: &'static str,
    options: Vec<(String, String)>,
    value: String,
}

impl Choice {
    /// What was sent stays chosen, also when it is none of the values: its error is told beside it.
    fn of(query: &Fields, name: &'static str, label: &'static str, options: Vec<(String, String)>) -> Self {
        let (mut options, value) = (options, query.text(name).to_owned());
        if options.iter().all(|(known, _)| *known != value) {
            options.push((value.clone(), value.clone()));
        }
        Self { name, label, options, value }
    }
}

fn choices(query: &Fields) -> Vec<Choice> {
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(value, label)| ((*value).into(), (*label).into())).collect();
    let any = [(String::new(), "Any".to_owned())];
    let scopes = ScopeSet::grantable().iter().map(|scope| (scope.to_string(), scope.to_string())).collect::<Vec<_>>();
    vec![
        Choice::of(
            query,
            "purpose",
            "Purpose",
            pairs(&[("", "Any"), ("web", "Web application"), ("personal", "Personal"), ("native", "Native")]),
        ),
        Choice::of(query, "scope", "Scope", any.into_iter().chain(scopes).collect()),
        Choice::of(
            query,
            "overdue",
            "Overdue",
            pairs(&[("", "Either"), ("true", "Overdue"), ("false", "Not overdue")]),
        ),
        Choice::of(query, "sort", "Order", pairs(&[("", "Oldest first"), ("newest", "Newest first")])),
        Choice::of(query, "limit", "On a page", pairs(&[("25", "25"), ("", "50"), ("100", "100")])),
    ]
}

/// A page of the list, and where in the whole of it.
#[derive(Default)]
struct Stretch {
    rows: Vec<ApplicationRow>,
    /// So many come before.
    before: u64,
    total: u64,
}

impl Stretch {
    /// What comes before a place, or the filter's own page.
    async fn read(app: &App, filter: &ReviewFilter, before: Option<&str>) -> Result<Self, AppError> {
        let whole = ReviewFilter { after: None, ..filter.clone() };
        let turned = |after| ReviewFilter { newest_first: !filter.newest_first, after, ..filter.clone() };
        let mut rows = match before.and_then(cursor) {
            Some(place) => {
                let mut rows = app.review_list(&turned(Some(place))).await?;
                rows.reverse();
                // The first page is a whole one.
                if rows.len() < filter.limit as usize { app.review_list(&whole).await? } else { rows }
            }
            None => app.review_list(filter).await?,
        };
        rows.truncate(filter.limit as usize);
        let total = app.review_count(&whole).await?;
        let before = match rows.first() {
            Some(first) => app.review_count(&turned(Some(place(filter, first)))).await?,
            None => total,
        };
        Ok(Self { rows, before, total })
    }

    const fn until(&self) -> u64 {
        self.before + self.rows.len() as u64
    }
}

#[derive(Template)]
#[template(path = "review_list.html")]
struct ListPage {
    frame: Frame,
    tabs: Vec<Tab>,
    /// The state that is shown, as the query says it.
    state: String,
    choices: Vec<Choice>,
    owner: String,
    claimed_by: String,
    /// It is the tab of what the reader has claimed.
    yours: bool,
    /// So many filters are in use, beside what the tab means.
    filters: usize,
    errors: Vec<FieldError>,
    rows: Vec<Listed>,
    /// The numbers of the first and the last row, and of all there are.
    numbers: (u64, u64, u64),
    previous: Option<String>,
    next: Option<String>,
    newest_first: bool,
    /// What the links to applications carry on.
    within: String,
    none_left: bool,
}

/// What of a query is kept in links.
fn within(query: &Fields) -> Fields {
    query.only(&[&FILTERS[..], &["limit"]].concat())
}

/// Whether what is listed waits for the reader, who has claimed it.
fn is_yours(query: &Fields, state: &str) -> bool {
    query.text("claimed_by") == ME && state == "waiting"
}

/// What waits, what of it the reader has claimed, every state, and all of them.
async fn tabs(app: &App, waiting: u64, query: &Fields, state: &str, me: UserId) -> Result<Vec<Tab>, AppError> {
    let counts = app.standing_counts().await?;
    let all = counts.iter().map(|(_, number)| number).sum();
    let yours = is_yours(query, state);
    // The tab of one's claims is left by any other.
    let kept = within(query);
    let kept = if yours { kept.only(&["purpose", "scope", "owner", "overdue", "sort", "limit"]) } else { kept };
    let tab = |(word, number): (&str, u64)| Tab {
        label: word.replace('_', " "),
        number,
        query: kept.with("state", word),
        current: word == state && !yours,
    };
    let claims = ReviewFilter { waiting: true, claimed_by: Some(me), ..app.review_filter(1) };
    let yours = Tab {
        label: "yours".to_owned(),
        number: app.review_count(&claims).await?,
        query: Fields::default().with("claimed_by", ME),
        current: yours,
    };
    // What is under review waits: as a state of its own it is there for whoever has come from elsewhere.
    let apart = |standing: &Standing| *standing != Standing::UnderReview || state == standing.as_str();
    let counts = counts.iter().filter(|(standing, _)| apart(standing));
    let counts = counts.map(|(standing, number)| (standing.as_str(), *number));
    let rest = counts.chain([(ALL, all)]).map(tab);
    Ok([tab(("waiting", waiting)), yours].into_iter().chain(rest).collect())
}

/// How many rows a page has.
fn limit(query: &Fields) -> Result<u32, FieldError> {
    match query.text("limit") {
        "" => Ok(PAGE),
        text => text
            .parse()
            .ok()
            .filter(|limit| (1..=100).contains(limit))
            .ok_or_else(|| FieldError::new("limit", "unknown_value", "limit is a number from 1 to 100.".to_owned())),
    }
}

pub(in crate::web) async fn list(
    State(app): State<Arc<App>>,
    Reviewer(member): Reviewer,
    Query(query): Query,
) -> Result<Response, PageError> {
    let (limit, mut errors) = match limit(&query) {
        Ok(limit) => (limit, vec![]),
        Err(error) => (PAGE, vec![error]),
    };
    let filter = match review_filter(&app, &query, member.id(), limit).await {
        // Without a word about states, the queue.
        Ok(filter) => ReviewFilter { waiting: filter.waiting || query.text("state").is_empty(), ..filter },
        Err(QueryError::Parameters(wrong)) => {
            errors.extend(wrong);
            app.review_filter(limit)
        }
        Err(QueryError::App(error)) => return Err(error.into()),
    };
    let stretch =
        if errors.is_empty() { Stretch::read(&app, &filter, query.get("before")).await? } else { Stretch::default() };
    let frame = Frame::of(&app, &member.visitor).await;
    let state = match query.text("state") {
        "" => "waiting",
        _ if errors.iter().any(|error| error.field == "state") => "",
        state => state,
    }
    .to_owned();
    let kept = within(&query);
    let yours = is_yours(&query, &state);
    let in_use = ["purpose", "scope", "owner", "claimed_by", "overdue"];
    let link = |name, row: Option<&ApplicationRow>| row.map(|row| kept.with(name, &cursor_at(&filter, row)));
    let page = ListPage {
        tabs: tabs(&app, frame.waiting, &query, &state, member.id()).await?,
        choices: choices(&query),
        owner: query.text("owner").to_owned(),
        claimed_by: query.text("claimed_by").to_owned(),
        filters: in_use.iter().filter(|name| !query.text(name).is_empty()).count() - usize::from(yours),
        yours,
        numbers: (stretch.before + 1, stretch.until(), stretch.total),
        previous: link("before", stretch.rows.first().filter(|_| stretch.before > 0)),
        next: link("after", stretch.rows.last().filter(|_| stretch.until() < stretch.total)),
        newest_first: filter.newest_first,
        within: kept.to_query(),
        none_left: query.text("claim") == "none",
        rows: stretch.rows.into_iter().map(|row| Listed::of(&app, row, member.id())).collect(),
        frame,
        state,
        errors,
    };
    let status = if page.errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(render(&app, &member.visitor, status, &page))
}

pub(in crate::web) async fn claim_next(
    State(app): State<Arc<App>>,
    Reviewer(member): Reviewer,
    Query(query): Query,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /admin/apps/claim-next", &form);
    let filter = came_from(&app, &query, member.id()).await;
    let claimed = app.claim_next(&caller, member.id(), &filter).await?;
    let path = claimed.answer.map_or_else(
        || format!("/admin/apps?{}", within(&query).with("claim", "none")),
        |id| format!("/admin/apps/{id}{}", kept(&query)),
    );
    Ok(see_other(&app, &path, claimed.cursor))
}
