//! Reviewers' pages: the list, an application with its history, decisions.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use countersign_events::{application::Standing, ids::ApplicationId, text::FieldError};

use super::{Frame, PageError, instant, instant_or, render, see_other};
use crate::{
    app::{
        App, AppError,
        authorizations::scopes_in_words,
        history::Happening,
        reviews::{POLICY, Verb, Verdict},
    },
    store::rows::ApplicationRow,
    web::{
        api::applications::{cursor, next_cursor},
        cookies,
        error::tell,
        extract::{Form, Member, PageId, Query, Reviewer, VerbName},
    },
};

/// So many a page.
const PAGE: u32 = 100;

pub(in crate::web) async fn index(State(app): State<Arc<App>>, _: Reviewer) -> Response {
    Redirect::to(&format!("{}/admin/apps", app.config.base_path())).into_response()
}

#[derive(Template)]
#[template(path = "review_list.html")]
struct ListPage {
    frame: Frame,
    standings: &'static [Standing],
    standing: Standing,
    rows: Vec<(ApplicationRow, String)>,
    next: Option<String>,
}

pub(in crate::web) async fn list(
    State(app): State<Arc<App>>,
    Reviewer(member): Reviewer,
    Query(query): Query,
) -> Result<Response, PageError> {
    let standing = match query.get("state") {
        None => Standing::UnderReview,
        Some(state) => state.parse().map_err(|_| {
            PageError::request(StatusCode::BAD_REQUEST, "There is no such state; choose one on the review page.")
        })?,
    };
    let after = query.get("after").and_then(cursor);
    let mut rows = app.review_list(Some(standing), after, PAGE + 1).await?;
    let more = rows.len() > PAGE as usize;
    rows.truncate(PAGE as usize);
    let next = rows.last().filter(|_| more).map(next_cursor);
    let rows =
        rows.into_iter().map(|row| (app.state.name_of(row.owner_id), row)).map(|(owner, row)| (row, owner)).collect();
    let page = ListPage { frame: Frame::of(&app, &member.visitor), standings: &Standing::ALL, standing, rows, next };
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
    policy: &'static [(&'static str, &'static str)],
    ask_password: bool,
    typed: Verdict,
    problem: Option<String>,
    row: ApplicationRow,
}

async fn review_page(app: &App, member: &Member, id: ApplicationId) -> Result<ReviewPage, AppError> {
    let row = app.reviewed_application(id).await?;
    Ok(ReviewPage {
        frame: Frame::of(app, &member.visitor),
        owner: app.state.name_of(row.owner_id),
        own: row.owner_id == member.id(),
        history: app.history(id).await?,
        scopes: scopes_in_words(row.scopes),
        verbs: Verb::possible(row.standing),
        policy: POLICY,
        ask_password: !app.is_fresh(&member.signed_in),
        typed: Verdict::default(),
        problem: None,
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
    let revision = form.text("revision").parse();
    let verdict = Verdict {
        revision: revision.clone().unwrap_or_default(),
        reason_code: form.text("reason_code").to_owned(),
        reason: form.text("reason").replace("\r\n", "\n"),
    };
    let seen = revision.map_err(|_| {
        let message = "Send the revision that you have read, as the page's form does.".to_owned();
        AppError::from(FieldError { field: "revision", code: "required", message })
    });
    let confirmed = match seen {
        Ok(_) => app.confirm(&caller, &member.signed_in, form.get("password")).await,
        Err(error) => Err(error),
    };
    let (decided, renewed) = match confirmed {
        Ok(renewed) => (app.decide_application(&caller, member.id(), id, verb, &verdict).await, renewed),
        Err(error) => (Err(error), None),
    };
    let mut response = match decided {
        Ok(done) => see_other(&app, &format!("/admin/apps/{id}"), done.cursor),
        Err(
            error @ (AppError::Refused(_)
            | AppError::Fields(_)
            | AppError::PasswordAgain
            | AppError::WrongPassword
            | AppError::LostRace),
        ) => {
            // What was typed survives whatever went wrong, and so does the session that the password renewed.
            let told = tell(&error);
            let mut page =
                ReviewPage { typed: verdict, problem: Some(told.detail), ..review_page(&app, &member, id).await? };
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
