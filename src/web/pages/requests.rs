//! A request's own page: what its owner asked for, where it stands, what can be done now.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use countersign_events::{
    application::{Difference, difference},
    ids::ApplicationId,
    redirect_uri::Purpose,
    scope::Scope,
    text::FieldError,
};

use super::{
    Frame, PageError, instant, instant_or, message_for, render, see_other,
    settings::{later_stage, offered, request_of},
    span,
};
use crate::{
    app::{
        App, AppError, Done, applications::Request, authorizations::scopes_in_words, history::Happening, queue::Place,
    },
    store::rows::ApplicationRow,
    web::{
        error::tell,
        extract::{Fields, Form, Member, PageId},
    },
};

#[derive(Template)]
#[template(path = "application.html")]
struct ApplicationPage {
    frame: Frame,
    row: ApplicationRow,
    reason: Option<String>,
    reason_title: Option<String>,
    decided_by: Option<String>,
    claimed_by: Option<String>,
    place: Option<Place>,
    change: Vec<Difference>,
    history: Vec<Happening>,
    form: Request,
    scopes: Vec<(Scope, bool)>,
    scope_words: Vec<&'static str>,
    errors: Vec<FieldError>,
    problem: Option<String>,
    appeal: String,
    authorize_url: Option<String>,
}

async fn application_page(
    app: &App,
    member: &Member,
    id: ApplicationId,
    typed: Option<Request>,
) -> Result<ApplicationPage, AppError> {
    let row = app.my_application(member.id(), id).await?;
    let form = typed.unwrap_or_else(|| Request::of(&row));
    let client = row.client_id.as_ref().filter(|_| row.purpose != Purpose::Personal);
    Ok(ApplicationPage {
        frame: Frame::of(app, &member.visitor).await,
        reason: app.reason_of(&row).await?,
        reason_title: row.reason_code.as_deref().map(|code| app.policy.title(code).to_owned()),
        decided_by: row.decided_by.map(|user| app.state.name_of(user)),
        claimed_by: row.claim.filter(|claim| claim.until() > app.now()).map(|claim| app.state.name_of(claim.by)),
        place: app.place(&row).await?,
        change: row.proposed.as_ref().map(|proposed| difference(&row.asked(), proposed)).unwrap_or_default(),
        history: app.history(id).await?,
        scopes: offered(&form),
        scope_words: scopes_in_words(row.scopes),
        authorize_url: client.map(|client| app.config.url(&format!("/authorize?client_id={client}"))),
        form,
        errors: vec![],
        problem: None,
        appeal: String::new(),
        row,
    })
}

pub(in crate::web) async fn application(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
) -> Result<Response, PageError> {
    let page = application_page(&app, &member, id, None).await?;
    Ok(render(&app, &member.visitor, axum::http::StatusCode::OK, &page))
}

/// On to the page, or the page again with what was typed and what is wrong with it.
async fn answer(
    app: &App,
    member: &Member,
    id: ApplicationId,
    done: Result<Done<()>, AppError>,
    typed: Option<Request>,
    appeal: &str,
) -> Result<Response, PageError> {
    let error = match done {
        Ok(done) => return Ok(see_other(app, &format!("/settings/apps/{id}"), done.cursor)),
        Err(error @ (AppError::Fields(_) | AppError::Overtaken(_) | AppError::Refused(_) | AppError::LostRace)) => {
            error
        }
        Err(error) => return Err(error.into()),
    };
    let told = tell(&error);
    let mut page = application_page(app, member, id, typed).await?;
    appeal.clone_into(&mut page.appeal);
    match error {
        AppError::Fields(errors) => page.errors = errors,
        _ => page.problem = Some(told.detail),
    }
    Ok(render(app, &member.visitor, told.status, &page))
}

fn checked(app: &App, form: &Fields) -> Result<countersign_events::application::Asked, AppError> {
    later_stage(form).and_then(|()| app.asked(&request_of(form)))
}

pub(in crate::web) async fn edit(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let edited = match checked(&app, &form) {
        Ok(asked) => {
            let caller = member.visitor.caller("POST /settings/apps/{id}/edit", &form);
            app.edit_application(&caller, member.id(), id, asked).await
        }
        Err(error) => Err(error),
    };
    answer(&app, &member, id, edited, Some(request_of(&form)), "").await
}

pub(in crate::web) async fn resubmit(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let resubmitted = match checked(&app, &form) {
        Ok(asked) => {
            let caller = member.visitor.caller("POST /settings/apps/{id}/resubmit", &form);
            app.resubmit_application(&caller, member.id(), id, asked).await
        }
        Err(error) => Err(error),
    };
    answer(&app, &member, id, resubmitted, Some(request_of(&form)), "").await
}

pub(in crate::web) async fn appeal(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/apps/{id}/appeal", &form);
    let text = form.text("text").replace("\r\n", "\n");
    let appealed = app.appeal(&caller, member.id(), id, &text).await;
    answer(&app, &member, id, appealed, None, &text).await
}

pub(in crate::web) async fn withdraw(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/apps/{id}/withdraw", &form);
    let withdrawn = app.withdraw_application(&caller, member.id(), id).await;
    answer(&app, &member, id, withdrawn, None, "").await
}

pub(in crate::web) async fn withdraw_change(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/apps/{id}/withdraw-change", &form);
    let withdrawn = app.withdraw_change(&caller, member.id(), id).await;
    answer(&app, &member, id, withdrawn, None, "").await
}

pub(in crate::web) async fn rotate_client_id(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/apps/{id}/rotate-client-id", &form);
    let rotated = app.rotate_client_id(&caller, member.id(), id).await;
    answer(&app, &member, id, rotated, None, "").await
}
