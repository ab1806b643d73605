//! A member's settings: the apps tab and tokens. A request's own page is `requests`, apps with access are `access`.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use countersign_events::{account::Role, application::Standing, ids::TokenId};

use super::{
    Frame, PageError,
    cards::{Card, TokenCard, cards, token_cards},
    portions::ListPart,
    render,
    request_form::{RequestForm, Sent, Wish},
    see_other, stamp,
};
use crate::{
    app::{App, AppError, applications::Request, authorizations::MyAuthorization},
    web::{
        compression::as_it_is,
        error::{add_retry, tell},
        extract::{Fields, Form, Member, PageId, Query},
    },
};

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    frame: Frame,
    name: String,
    /// How many there are, and of those how many wait for a reviewer and for their owner.
    applications: usize,
    waiting: usize,
    yours: usize,
    /// So many tokens work.
    tokens: usize,
    /// So many applications may act for the member.
    access: usize,
    /// What has ended or rests.
    inactive: usize,
    roles: Vec<(&'static str, &'static str)>,
}

/// A role's name, and what whoever holds it does.
const fn role_in_words(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Reviewer => ("Reviewer", "Decides on applications."),
        Role::Auditor => ("Auditor", "Reads everything, changes nothing."),
        Role::Operator => ("Operator", "Sees how the site runs."),
        Role::Admin => ("Administrator", "May do what every role may, and gives roles."),
    }
}

pub(in crate::web) async fn index(State(app): State<Arc<App>>, member: Member) -> Result<Response, PageError> {
    let applications = app.my_applications(member.id()).await?;
    let tokens = app.my_tokens(member.id()).await?;
    let access = app.my_authorizations(member.id()).await?;
    // A token that the site issued has no application that reviewers decide on.
    let is_live = |one: &MyAuthorization| {
        one.application.as_ref().is_none_or(|application| application.standing == Standing::Approved)
    };
    let page = SettingsPage {
        frame: Frame::of(&app, &member.visitor).await,
        name: member.signed_in.username.clone(),
        waiting: applications.iter().filter(|row| row.waits().is_some()).count(),
        yours: applications.iter().filter(|row| row.standing == Standing::ChangesRequested).count(),
        applications: applications.len(),
        tokens: tokens.iter().filter(|token| token.valid.is_ok()).count(),
        access: access.iter().filter(|one| is_live(one)).count(),
        inactive: access.iter().filter(|one| !is_live(one)).count(),
        roles: member.signed_in.member.facts.roles.iter().map(role_in_words).collect(),
    };
    Ok(render(&app, &member.visitor, StatusCode::OK, &page))
}

#[derive(Template)]
#[template(path = "apps.html")]
struct AppsPage {
    frame: Frame,
    applications: ListPart<Card>,
    /// The tokens that the member holds, those that applications hold, and those that are over.
    tokens: ListPart<TokenCard>,
    others: ListPart<TokenCard>,
    ended: ListPart<TokenCard>,
    /// How many requests are open, and whether that is as many as may be.
    open: usize,
    full: bool,
    /// Within how many days a request should be decided.
    target: u32,
    form: RequestForm,
}

async fn apps_page(app: &App, member: &Member, query: &Fields, form: RequestForm) -> Result<AppsPage, PageError> {
    let rows = app.my_applications(member.id()).await?;
    let is_open = |standing| matches!(standing, Standing::UnderReview | Standing::ChangesRequested);
    let open = rows.iter().filter(|row| is_open(row.standing)).count();
    let (current, ended) =
        token_cards(app, member.id()).await?.into_iter().partition::<Vec<_>, _>(TokenCard::is_current);
    let (own, others) = current.into_iter().partition(TokenCard::is_personal);
    let page = format!("{}/settings/apps", app.config.base_path());
    Ok(AppsPage {
        frame: Frame::of(app, &member.visitor).await,
        applications: ListPart::of(cards(app, rows).await?, "applications", query, &page)?,
        tokens: ListPart::of(own, "tokens", query, &page)?,
        others: ListPart::of(others, "others", query, &page)?,
        ended: ListPart::of(ended, "ended", query, &page)?,
        full: open >= app.config.limits_open_requests.get() as usize,
        open,
        target: app.config.review_target_days,
        form,
    })
}

pub(in crate::web) async fn apps(
    State(app): State<Arc<App>>,
    member: Member,
    Query(query): Query,
) -> Result<Response, PageError> {
    let page = apps_page(&app, &member, &query, RequestForm::of(Request::default(), None)).await?;
    Ok(render(&app, &member.visitor, StatusCode::OK, &page))
}

pub(in crate::web) async fn request(
    State(app): State<Arc<App>>,
    member: Member,
    Form(form): Form,
) -> Result<Response, PageError> {
    let (typed, asked) = match Sent::read(&app, &form).wish(None) {
        Wish::Send(sent) => sent.request(),
        Wish::Preview(status, form) => {
            let page = apps_page(&app, &member, &Fields::default(), *form).await?;
            return Ok(render(&app, &member.visitor, status, &page));
        }
    };
    let requested = match asked {
        Ok(asked) => {
            app.request_application(&member.visitor.caller("POST /settings/apps", &form), member.id(), asked).await
        }
        Err(error) => Err(error),
    };
    match requested {
        Ok(done) => Ok(see_other(&app, &format!("/settings/apps/{}", done.answer), done.cursor)),
        Err(error @ (AppError::Fields(_) | AppError::TooManyOpenRequests(_))) => {
            let status = tell(&error).status;
            let mut retry = HeaderMap::new();
            add_retry(&error, &mut retry);
            let form = RequestForm::of(typed, None).with(error);
            let page = apps_page(&app, &member, &Fields::default(), form).await?;
            let mut response = render(&app, &member.visitor, status, &page);
            response.headers_mut().extend(retry);
            Ok(response)
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "new_token.html")]
struct NewTokenPage {
    frame: Frame,
    application: String,
    token: String,
}

/// The new token is in this very answer, once.
pub(in crate::web) async fn regenerate(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<TokenId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    // Everything that can fail comes first: after it there is only one copy, and it goes into this page.
    let tokens = app.my_tokens(member.id()).await?;
    let application = tokens.into_iter().find(|token| token.row.token_id == id).map(|token| token.application);
    let frame = Frame::of(&app, &member.visitor).await;
    let caller = member.visitor.caller("POST /settings/tokens/{id}/regenerate", &form);
    let done = app.regenerate_token(&caller, member.id(), id).await?;
    let page = NewTokenPage { frame, application: application.unwrap_or_default(), token: done.answer };
    let mut response = as_it_is(render(&app, &member.visitor, StatusCode::OK, &page));
    stamp(&app, &mut response, done.cursor);
    Ok(response)
}

pub(in crate::web) async fn revoke_token(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<TokenId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/tokens/{id}/revoke", &form);
    let done = app.revoke_my_token(&caller, member.id(), id).await?;
    Ok(see_other(&app, "/settings/apps", done.cursor))
}
