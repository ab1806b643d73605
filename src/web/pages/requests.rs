//! A request's own page: what its owner asked for, where it stands, what can be done now.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use countersign_events::{
    application::{Difference, Seen, Standing, difference},
    ids::ApplicationId,
    recorded::Timestamp,
    redirect_uri::Purpose,
    text::FieldError,
    token::ClientId,
};

use super::{
    Frame, PageError,
    cards::{TokenCard, claimed_by, last_answer, rotated_at, token_cards},
    portions::{HistoryPart, ListPart},
    render,
    request_form::{RequestForm, Sent, Typed, Wish},
    see_other,
};
use crate::{
    app::{
        App, AppError, Done,
        applications::{Edit, Request},
        history::Happening,
        queue::Place,
    },
    store::rows::ApplicationRow,
    web::{
        error::tell,
        extract::{Fields, Form, Member, PageId, Query},
    },
};

#[derive(Template)]
#[template(path = "application.html")]
struct ApplicationPage {
    frame: Frame,
    /// Its address.
    own: String,
    row: ApplicationRow,
    claimed_by: Option<String>,
    place: Option<Place>,
    /// What the proposed change changes.
    change: Vec<Difference>,
    /// What reviewers answered last.
    answer: Option<Happening>,
    history: HistoryPart,
    rotated_at: Option<Timestamp>,
    /// The tokens that work, or can be had again.
    tokens: Vec<TokenCard>,
    ended: ListPart<TokenCard>,
    form: RequestForm,
    /// Of the appeal, with what was typed.
    errors: Vec<FieldError>,
    appeal: String,
    problem: Option<String>,
    /// What became another since the form was filled.
    moved: Vec<Difference>,
    /// The reviewer who suspended it, and can be written to.
    suspended_by: Option<String>,
    /// The address that members are sent to.
    authorize_url: String,
}

impl ApplicationPage {
    fn asked_heading(&self) -> &'static str {
        match self.row.standing {
            _ if self.row.client_id.is_none() => "What it asks for",
            Standing::Revoked | Standing::Withdrawn => "What was approved",
            _ => "What is approved",
        }
    }

    /// What reviewers answered last, where it says how things stand and no form beside it shows it already.
    fn answer_in_force(&self) -> Option<&Happening> {
        let in_force = matches!(self.row.standing, Standing::Approved | Standing::Suspended | Standing::Revoked);
        self.answer.as_ref().filter(|_| in_force)
    }

    /// What it answers to, while that is of use: a personal one is asked for by nobody.
    fn client_id(&self) -> Option<&ClientId> {
        let in_use = matches!(self.row.standing, Standing::Approved | Standing::Suspended);
        self.row.client_id.as_ref().filter(|_| in_use && self.row.purpose != Purpose::Personal)
    }

    const fn can_withdraw(&self) -> bool {
        !matches!(self.row.standing, Standing::Denied | Standing::Revoked | Standing::Withdrawn)
    }
}

async fn application_page(
    app: &App,
    member: &Member,
    row: ApplicationRow,
    query: &Fields,
    form: Option<RequestForm>,
) -> Result<ApplicationPage, PageError> {
    let history = app.history(row.application_id).await?;
    let mut tokens = token_cards(app, member.id()).await?;
    tokens.retain(|card| card.token.row.application_id == row.application_id);
    let (tokens, ended) = tokens.into_iter().partition(TokenCard::is_current);
    let own = format!("{}/settings/apps/{}", app.config.base_path(), row.application_id);
    let client = row.client_id.as_ref().map(ClientId::as_str).unwrap_or_default();
    Ok(ApplicationPage {
        frame: Frame::of(app, &member.visitor).await,
        claimed_by: claimed_by(app, &row),
        place: app.place(&row).await?,
        change: row.proposed.as_ref().map(|proposed| difference(&row.asked(), proposed)).unwrap_or_default(),
        rotated_at: rotated_at(&history),
        answer: last_answer(&history).cloned(),
        history: HistoryPart::of(history, query, own.clone())?,
        tokens,
        ended: ListPart::of(ended, "ended", query, &own)?,
        own,
        suspended_by: row
            .decided_by
            .filter(|_| row.standing == Standing::Suspended)
            .and_then(|by| app.state.member(by)?.username),
        authorize_url: app.config.url(&format!("/authorize?client_id={client}")),
        form: form.unwrap_or_else(|| RequestForm::of(Request::of(&row), Some(&row))),
        errors: vec![],
        appeal: String::new(),
        problem: None,
        moved: vec![],
        row,
    })
}

pub(in crate::web) async fn application(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Query(query): Query,
) -> Result<Response, PageError> {
    let row = app.my_application(member.id(), id).await?;
    let page = application_page(&app, &member, row, &query, None).await?;
    Ok(render(&app, &member.visitor, StatusCode::OK, &page))
}

/// What the page is shown again with, when a command did not happen.
enum Kept {
    Nothing,
    Request(Typed),
    Appeal(String),
}

/// On to the page, or the page again with what was typed and what is wrong with it.
async fn answer(
    app: &App,
    member: &Member,
    id: ApplicationId,
    done: Result<Done<()>, AppError>,
    kept: Kept,
) -> Result<Response, PageError> {
    let error = match done {
        Ok(done) => return Ok(see_other(app, &format!("/settings/apps/{id}"), done.cursor)),
        Err(error @ (AppError::Fields(_) | AppError::Overtaken(_) | AppError::Refused(_) | AppError::LostRace)) => {
            error
        }
        Err(error) => return Err(error.into()),
    };
    let told = tell(&error);
    let row = app.my_application(member.id(), id).await?;
    let (form, appeal) = match kept {
        Kept::Nothing => (None, String::new()),
        Kept::Request(typed) => (Some(RequestForm::unsent(typed, &row, &error)), String::new()),
        Kept::Appeal(text) => (None, text),
    };
    let page = ApplicationPage { appeal, ..application_page(app, member, row, &Fields::default(), form).await? };
    let page = match error {
        AppError::Fields(_) if page.form.busy => page,
        AppError::Fields(errors) => ApplicationPage { errors, ..page },
        AppError::Overtaken(overtaken) => {
            ApplicationPage { problem: Some(told.detail), moved: overtaken.difference, ..page }
        }
        _ => ApplicationPage { problem: Some(told.detail), ..page },
    };
    Ok(render(app, &member.visitor, told.status, &page))
}

/// What the form of an application was sent for: a look at what a reviewer will see, or a command.
async fn send<F>(
    app: &App,
    member: &Member,
    id: ApplicationId,
    sent: Sent,
    command: impl FnOnce(Edit) -> F,
) -> Result<Response, PageError>
where
    F: Future<Output = Result<Done<()>, AppError>>,
{
    let row = app.my_application(member.id(), id).await?;
    let (typed, edit) = match sent.wish(Some(&row)) {
        Wish::Send(sent) => sent.edit(),
        Wish::Preview(status, form) => {
            let page = application_page(app, member, row, &Fields::default(), Some(*form)).await?;
            return Ok(render(app, &member.visitor, status, &page));
        }
    };
    let done = match edit {
        Ok(edit) => command(edit).await,
        Err(error) => Err(error),
    };
    answer(app, member, id, done, Kept::Request(typed)).await
}

pub(in crate::web) async fn edit(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/apps/{id}/edit", &form);
    let edit = |edit| app.edit_application(&caller, member.id(), id, edit);
    send(&app, &member, id, Sent::read(&app, &form), edit).await
}

pub(in crate::web) async fn resubmit(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/apps/{id}/resubmit", &form);
    let resubmit = |edit| app.resubmit_application(&caller, member.id(), id, edit);
    send(&app, &member, id, Sent::read(&app, &form), resubmit).await
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
    answer(&app, &member, id, appealed, Kept::Appeal(text)).await
}

pub(in crate::web) async fn withdraw(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/apps/{id}/withdraw", &form);
    let seen = Seen { revision: form.text("revision").parse().ok(), standing: form.text("state").parse().ok() };
    let withdrawn = app.withdraw_application(&caller, member.id(), id, seen).await;
    answer(&app, &member, id, withdrawn, Kept::Nothing).await
}

pub(in crate::web) async fn withdraw_change(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/apps/{id}/withdraw-change", &form);
    let withdrawn = app.withdraw_change(&caller, member.id(), id, form.text("revision").parse().ok()).await;
    answer(&app, &member, id, withdrawn, Kept::Nothing).await
}

pub(in crate::web) async fn rotate_client_id(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/apps/{id}/rotate-client-id", &form);
    let rotated = app.rotate_client_id(&caller, member.id(), id, form.text("client_id").parse().ok()).await;
    answer(&app, &member, id, rotated, Kept::Nothing).await
}
