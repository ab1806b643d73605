//! Reviewers' pages: the list, an application with its history, decisions.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use countersign_events::{
    application::{Difference, Standing, difference},
    ids::ApplicationId,
};

use super::{Frame, PageError, instant, instant_or, render, see_other, span};
use crate::{
    app::{
        App, AppError,
        authorizations::scopes_in_words,
        history::Happening,
        reviews::{Verb, Verdict},
    },
    policy::Clause,
    store::rows::ApplicationRow,
    web::{
        cookies,
        error::tell,
        extract::{Form, Member, PageId, Query, Reviewer, VerbName},
        review_query::{QueryError, next_cursor, review_filter},
    },
};

/// So many a page.
const PAGE: u32 = 100;

pub(in crate::web) async fn index(State(app): State<Arc<App>>, _: Reviewer) -> Response {
    Redirect::to(&format!("{}/admin/apps", app.config.base_path())).into_response()
}

/// A row of the list.
struct Listed {
    row: ApplicationRow,
    owner: String,
    waits: Option<String>,
    overdue: bool,
    claimed_by: Option<String>,
    signed_by: Option<String>,
}

impl Listed {
    fn of(app: &App, row: ApplicationRow) -> Self {
        let claim = row.claim.filter(|claim| claim.until() > app.now());
        Self {
            owner: app.state.name_of(row.owner_id),
            waits: row.waits().map(|since| span(&(app.now() - since))),
            overdue: row.waits().is_some_and(|since| app.due(since) < app.now()),
            claimed_by: claim.map(|claim| app.state.name_of(claim.by)),
            signed_by: row.signed.map(|(user, _)| app.state.name_of(user)),
            row,
        }
    }
}

#[derive(Template)]
#[template(path = "review_list.html")]
struct ListPage {
    frame: Frame,
    /// What is offered as a tab, and what is shown now.
    states: Vec<&'static str>,
    state: String,
    rows: Vec<Listed>,
    next: Option<String>,
}

pub(in crate::web) async fn list(
    State(app): State<Arc<App>>,
    Reviewer(member): Reviewer,
    Query(query): Query,
) -> Result<Response, PageError> {
    let mut filter = review_filter(&app, &query, member.id(), PAGE + 1).await.map_err(|error| match error {
        QueryError::Parameter(detail) => PageError::request(StatusCode::BAD_REQUEST, detail),
        QueryError::App(error) => error.into(),
    })?;
    // Without a word about states, the queue.
    filter.waiting |= query.text("state").is_empty();
    let state = filter.standing.map_or("waiting", Standing::as_str).to_owned();
    let mut rows = app.review_list(&filter).await?;
    let more = rows.len() > PAGE as usize;
    rows.truncate(PAGE as usize);
    let next = rows.last().filter(|_| more).map(|last| query.with("after", &next_cursor(&filter, last)));
    let rows = rows.into_iter().map(|row| Listed::of(&app, row)).collect();
    let states = std::iter::once("waiting").chain(Standing::ALL.into_iter().map(Standing::as_str)).collect();
    let page = ListPage { frame: Frame::of(&app, &member.visitor).await, states, state, rows, next };
    Ok(render(&app, &member.visitor, StatusCode::OK, &page))
}

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    frame: Frame,
    owner: String,
    own: bool,
    history: Vec<Happening>,
    scopes: Vec<&'static str>,
    verbs: &'static [Verb],
    policy: Vec<Clause>,
    waits: Option<String>,
    overdue: bool,
    /// Who claimed it, until when, and whether that is the reader.
    claim: Option<(String, String, bool)>,
    signed_by: Option<String>,
    change: Vec<Difference>,
    ask_password: bool,
    typed: Verdict,
    problem: Option<String>,
    /// What differs from the revision that the reader decided on.
    moved: Vec<Difference>,
    row: ApplicationRow,
}

async fn review_page(app: &App, member: &Member, id: ApplicationId) -> Result<ReviewPage, AppError> {
    let row = app.reviewed_application(id).await?;
    let claim = row.claim.filter(|claim| claim.until() > app.now());
    Ok(ReviewPage {
        waits: row.waits().map(|since| span(&(app.now() - since))),
        overdue: row.waits().is_some_and(|since| app.due(since) < app.now()),
        claim: claim.map(|claim| (app.state.name_of(claim.by), instant(&claim.until()), claim.by == member.id())),
        signed_by: row.signed.map(|(user, _)| app.state.name_of(user)),
        change: row.proposed.as_ref().map(|proposed| difference(&row.asked(), proposed)).unwrap_or_default(),
        frame: Frame::of(app, &member.visitor).await,
        owner: app.state.name_of(row.owner_id),
        own: row.owner_id == member.id(),
        history: app.history(id).await?,
        scopes: scopes_in_words(row.scopes),
        verbs: Verb::possible(row.standing, row.proposed.is_some()),
        policy: app.policy.clauses().to_vec(),
        ask_password: !app.is_fresh(&member.signed_in),
        typed: Verdict::default(),
        problem: None,
        moved: vec![],
        row,
    })
}

pub(in crate::web) async fn application(
    State(app): State<Arc<App>>,
    Reviewer(member): Reviewer,
    PageId(id): PageId<ApplicationId>,
) -> Result<Response, PageError> {
    let page = review_page(&app, &member, id).await?;
    Ok(render(&app, &member.visitor, StatusCode::OK, &page))
}

pub(in crate::web) async fn decide(
    State(app): State<Arc<App>>,
    Reviewer(member): Reviewer,
    PageId(id): PageId<ApplicationId>,
    VerbName(verb): VerbName,
    Form(form): Form,
) -> Result<Response, PageError> {
    let verb: Verb = verb.parse()?;
    let caller = member.visitor.caller("POST /admin/apps/{id}/{verb}", &form);
    let verdict = Verdict {
        revision: form.text("revision").parse().unwrap_or_default(),
        reason_code: form.text("reason_code").to_owned(),
        reason: form.text("reason").replace("\r\n", "\n"),
    };
    // A claim is no decision: it wants no password.
    let confirmed =
        if verb.decides() { app.confirm(&caller, &member.signed_in, form.get("password")).await } else { Ok(None) };
    let (decided, renewed) = match confirmed {
        Ok(renewed) => (app.decide_application(&caller, member.id(), id, verb, &verdict).await, renewed),
        Err(error) => (Err(error), None),
    };
    let mut response = match decided {
        Ok(done) => see_other(&app, &format!("/admin/apps/{id}"), done.cursor),
        Err(
            error @ (AppError::Refused(_)
            | AppError::Overtaken(_)
            | AppError::Fields(_)
            | AppError::PasswordAgain
            | AppError::WrongPassword
            | AppError::LostRace),
        ) => {
            // What was typed survives whatever went wrong, and so does the session that the password renewed.
            let told = tell(&error);
            let mut page =
                ReviewPage { typed: verdict, problem: Some(told.detail), ..review_page(&app, &member, id).await? };
            if let AppError::Overtaken(overtaken) = error {
                page.moved = overtaken.difference;
            }
            if let Some(browser) = &renewed {
                page.frame.csrf = app.csrf_token(browser);
                page.ask_password = false;
            }
            render(&app, &member.visitor, told.status, &page)
        }
        Err(error) => PageError::from(error).into_response(),
    };
    if let Some(browser) = renewed {
        response.headers_mut().append(header::SET_COOKIE, cookies::set_browser(&app, &browser));
    }
    Ok(response)
}
