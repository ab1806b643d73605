//! A member's settings: the apps tab, tokens, apps with access. A request's own page is `requests`.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use countersign_events::{
    application::Standing,
    ids::{ApplicationId, TokenId},
    scope::{Scope, ScopeSet},
    text::FieldError,
};

use super::{Frame, PageError, instant, instant_or, message_for, render, see_other, stamp};
use crate::{
    app::{
        App, AppError,
        applications::Request,
        authorizations::{MyAuthorization, scopes_in_words},
        tokens::MyToken,
    },
    store::rows::ApplicationRow,
    web::{
        error::{add_retry, tell},
        extract::{Fields, Form, Member, PageId},
    },
};

/// What was typed into the form of an application.
pub(super) fn request_of(form: &Fields) -> Request {
    Request {
        purpose: form.text("purpose").to_owned(),
        name: form.text("name").to_owned(),
        description: form.text("description").to_owned(),
        website: form.text("website").to_owned(),
        redirect_uri: form.text("redirect_uri").replace("\r\n", "\n"),
        scopes: form.all("scope"),
    }
}

/// The scopes that a form offers, each with whether it is chosen.
pub(super) fn offered(request: &Request) -> Vec<(Scope, bool)> {
    let chosen = |scope: Scope| request.scopes.iter().any(|typed| typed.split(' ').any(|word| word == scope.as_str()));
    let default = |scope| request.scopes.is_empty() && ScopeSet::default_requested().contains(scope);
    ScopeSet::grantable().iter().map(|scope| (scope, chosen(scope) || default(scope))).collect()
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    frame: Frame,
}

pub(in crate::web) async fn index(State(app): State<Arc<App>>, member: Member) -> Response {
    render(&app, &member.visitor, StatusCode::OK, &SettingsPage { frame: Frame::of(&app, &member.visitor).await })
}

#[derive(Template)]
#[template(path = "apps.html")]
struct AppsPage {
    frame: Frame,
    applications: Vec<ApplicationRow>,
    tokens: Vec<MyToken>,
    form: Request,
    scopes: Vec<(Scope, bool)>,
    errors: Vec<FieldError>,
    problem: Option<String>,
    new_token: Option<String>,
}

async fn apps_page(app: &App, member: &Member, form: Request) -> Result<AppsPage, AppError> {
    Ok(AppsPage {
        frame: Frame::of(app, &member.visitor).await,
        applications: app.my_applications(member.id()).await?,
        tokens: app.my_tokens(member.id()).await?,
        scopes: offered(&form),
        form,
        errors: vec![],
        problem: None,
        new_token: None,
    })
}

pub(in crate::web) async fn apps(State(app): State<Arc<App>>, member: Member) -> Result<Response, PageError> {
    let page = apps_page(&app, &member, Request::default()).await?;
    Ok(render(&app, &member.visitor, StatusCode::OK, &page))
}

pub(in crate::web) async fn request(
    State(app): State<Arc<App>>,
    member: Member,
    Form(form): Form,
) -> Result<Response, PageError> {
    let typed = request_of(&form);
    let requested = match later_stage(&form).and_then(|()| app.asked(&typed)) {
        Ok(asked) => {
            app.request_application(&member.visitor.caller("POST /settings/apps", &form), member.id(), asked).await
        }
        Err(error) => Err(error),
    };
    match requested {
        Ok(done) => Ok(see_other(&app, &format!("/settings/apps/{}", done.answer), done.cursor)),
        Err(error) => {
            let told = tell(&error);
            let mut retry = HeaderMap::new();
            add_retry(&error, &mut retry);
            let mut page = apps_page(&app, &member, typed).await?;
            match error {
                AppError::Fields(errors) => page.errors = errors,
                AppError::TooManyOpenRequests(_) => page.problem = Some(told.detail),
                error => return Err(error.into()),
            }
            let mut response = render(&app, &member.visitor, told.status, &page);
            response.headers_mut().extend(retry);
            Ok(response)
        }
    }
}

/// What this release does not offer is refused, not passed over.
pub(super) fn later_stage(form: &Fields) -> Result<(), AppError> {
    let offered = ["flow", "client_type"].into_iter().filter(|field| form.get(field).is_some());
    let errors: Vec<_> = offered
        .map(|field| FieldError {
            field,
            code: "not_offered",
            message: format!("This site does not offer a choice of {field}; leave it out."),
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(AppError::Fields(errors)) }
}

/// The new token is in this very answer, once.
pub(in crate::web) async fn regenerate(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<TokenId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/tokens/{id}/regenerate", &form);
    let done = app.regenerate_token(&caller, member.id(), id).await?;
    let page = AppsPage { new_token: Some(done.answer), ..apps_page(&app, &member, Request::default()).await? };
    let mut response = render(&app, &member.visitor, StatusCode::OK, &page);
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

/// An application with access, as its card shows it.
struct Access {
    id: ApplicationId,
    name: String,
    scopes: Vec<&'static str>,
    since: String,
    resting: bool,
}

impl From<MyAuthorization> for Access {
    fn from(MyAuthorization { row, application, .. }: MyAuthorization) -> Self {
        Self {
            id: row.application_id,
            resting: application.as_ref().is_some_and(|application| application.standing != Standing::Approved),
            name: application.map_or_else(|| "This site".to_owned(), |application| application.name),
            scopes: scopes_in_words(row.scopes),
            since: instant(&row.authorized_at),
        }
    }
}

#[derive(Template)]
#[template(path = "authorizations.html")]
struct AuthorizationsPage {
    frame: Frame,
    access: Vec<Access>,
}

pub(in crate::web) async fn authorizations(State(app): State<Arc<App>>, member: Member) -> Result<Response, PageError> {
    let access = app.my_authorizations(member.id()).await?.into_iter().map(Access::from).collect();
    let page = AuthorizationsPage { frame: Frame::of(&app, &member.visitor).await, access };
    Ok(render(&app, &member.visitor, StatusCode::OK, &page))
}

pub(in crate::web) async fn remove(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/authorizations/{id}/remove", &form);
    let done = app.remove_authorization(&caller, member.id(), id).await?;
    Ok(see_other(&app, "/settings/authorizations", done.cursor))
}

pub(in crate::web) async fn remove_all(
    State(app): State<Arc<App>>,
    member: Member,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/authorizations/remove", &form);
    let done = app.remove_authorizations(&caller, member.id()).await?;
    Ok(see_other(&app, "/settings/authorizations", done.cursor))
}
