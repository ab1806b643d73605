//! Applications as JSON: their owner's side, and the reviewers'.

use std::sync::Arc;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use countersign_events::{account::Role, ids::ApplicationId, scope::Scope};
use serde::Deserialize;
use serde_json::json;

use super::{
    done, done_silently,
    shapes::{ApplicationShape, HappeningShape, MyApplicationShape, QueueShape},
};
use crate::{
    app::{
        App, AppError, Done,
        applications::Request,
        reviews::{Verb, Verdict},
    },
    store::rows::ApplicationRow,
    web::{
        error::ApiError,
        extract::{ApiCaller, Id, Json, Query, VerbName},
        review_query::{QueryError, next_cursor, review_filter},
    },
};

async fn shapes(app: &App, rows: Vec<ApplicationRow>) -> Result<Vec<ApplicationShape>, AppError> {
    let mut shapes = Vec::with_capacity(rows.len());
    for row in rows {
        shapes.push(ApplicationShape::of(app, row).await?);
    }
    Ok(shapes)
}

pub(in crate::web) async fn list(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Response, ApiError> {
    let caller = caller.scope(Scope::Identity)?;
    let mine = app.my_applications(caller.user_id).await?;
    Ok(axum::Json(json!({ "data": shapes(&app, mine).await?, "next": null })).into_response())
}

pub(in crate::web) async fn show(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
) -> Result<Response, ApiError> {
    let caller = caller.scope(Scope::Identity)?;
    let row = app.my_application(caller.user_id, id).await?;
    let queue = app.place(&row).await?.map(QueueShape::from);
    Ok(axum::Json(MyApplicationShape { application: ApplicationShape::of(&app, row).await?, queue }).into_response())
}

/// What a request for an application says in JSON: lists where the form has lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewApplication {
    name: String,
    #[serde(default)]
    purpose: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    website: String,
    #[serde(default)]
    redirect_uris: Vec<String>,
    #[serde(default)]
    scopes: String,
}

impl From<NewApplication> for Request {
    fn from(new: NewApplication) -> Self {
        Self {
            purpose: new.purpose,
            name: new.name,
            description: new.description,
            website: new.website,
            redirect_uri: new.redirect_uris.join("\n"),
            scopes: vec![new.scopes],
        }
    }
}

pub(in crate::web) async fn request(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Json { value, text }: Json<NewApplication>,
) -> Result<Response, ApiError> {
    let caller = caller.cookie()?;
    let asked = app.asked(&value.into())?;
    let requested = app.request_application(&caller.caller("POST /applications", &text), caller.user_id, asked).await?;
    let row = app.my_application(caller.user_id, requested.answer).await?;
    Ok(done(StatusCode::CREATED, requested.cursor, ApplicationShape::of(&app, row).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Edit {
    name: Option<String>,
    purpose: Option<String>,
    description: Option<String>,
    website: Option<String>,
    redirect_uris: Option<Vec<String>>,
    scopes: Option<String>,
}

impl Edit {
    /// What is asked for when this is changed of it.
    fn after(self, before: Request) -> Request {
        Request {
            purpose: self.purpose.unwrap_or(before.purpose),
            name: self.name.unwrap_or(before.name),
            description: self.description.unwrap_or(before.description),
            website: self.website.unwrap_or(before.website),
            redirect_uri: self.redirect_uris.map_or(before.redirect_uri, |uris| uris.join("\n")),
            scopes: self.scopes.map_or(before.scopes, |scopes| vec![scopes]),
        }
    }
}

/// An edit while it is under review, a proposed change of what is approved.
pub(in crate::web) async fn edit(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    Json { value, text }: Json<Edit>,
) -> Result<Response, ApiError> {
    let caller = caller.cookie()?;
    let before = Request::of(&app.my_application(caller.user_id, id).await?);
    let asked = app.asked(&value.after(before))?;
    let edited =
        app.edit_application(&caller.caller("PATCH /applications/{id}", &text), caller.user_id, id, asked).await?;
    mine(&app, &caller, id, edited).await
}

pub(in crate::web) async fn withdraw(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
) -> Result<Response, ApiError> {
    let caller = caller.cookie()?;
    let sender = caller.caller("POST /applications/{id}/withdraw", b"");
    Ok(done_silently(app.withdraw_application(&sender, caller.user_id, id).await?.cursor))
}

/// Back under review, with whatever the body changes.
pub(in crate::web) async fn resubmit(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    Json { value, text }: Json<Edit>,
) -> Result<Response, ApiError> {
    let caller = caller.cookie()?;
    let before = Request::of(&app.my_application(caller.user_id, id).await?);
    let asked = app.asked(&value.after(before))?;
    let sender = caller.caller("POST /applications/{id}/resubmit", &text);
    let done = app.resubmit_application(&sender, caller.user_id, id, asked).await?;
    mine(&app, &caller, id, done).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Appeal {
    text: String,
}

pub(in crate::web) async fn appeal(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    Json { value, text }: Json<Appeal>,
) -> Result<Response, ApiError> {
    let caller = caller.cookie()?;
    let sender = caller.caller("POST /applications/{id}/appeal", &text);
    let done = app.appeal(&sender, caller.user_id, id, &value.text).await?;
    mine(&app, &caller, id, done).await
}

pub(in crate::web) async fn withdraw_change(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
) -> Result<Response, ApiError> {
    let caller = caller.cookie()?;
    let sender = caller.caller("POST /applications/{id}/withdraw-change", b"");
    let done = app.withdraw_change(&sender, caller.user_id, id).await?;
    mine(&app, &caller, id, done).await
}

pub(in crate::web) async fn rotate_client_id(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
) -> Result<Response, ApiError> {
    let caller = caller.cookie()?;
    let sender = caller.caller("POST /applications/{id}/rotate-client-id", b"");
    let done = app.rotate_client_id(&sender, caller.user_id, id).await?;
    mine(&app, &caller, id, done).await
}

/// An application as it is after its owner's command.
async fn mine(app: &App, caller: &ApiCaller, id: ApplicationId, done: Done<()>) -> Result<Response, ApiError> {
    let row = app.my_application(caller.user_id, id).await?;
    Ok(super::done(StatusCode::OK, done.cursor, ApplicationShape::of(app, row).await?))
}

pub(in crate::web) async fn history(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
) -> Result<Response, ApiError> {
    let row = app.reviewed_application(id).await?;
    let roles = app.state.member(caller.user_id).map(|member| member.facts.roles).unwrap_or_default();
    let by_scope = |scope| caller.bearer.is_none_or(|bearer| bearer.scopes.contains(scope));
    let owner = row.owner_id == caller.user_id && caller.bearer.is_none();
    let reviewer = roles.allow(Role::Reviewer) && by_scope(Scope::Review);
    let auditor = roles.allow(Role::Auditor) && by_scope(Scope::Audit);
    if !(owner || reviewer || auditor) {
        return Err(ApiError::not_found());
    }
    let happenings = app.history(id).await?;
    let data: Vec<_> = happenings.into_iter().map(|happening| HappeningShape::of(&app, happening)).collect();
    Ok(axum::Json(json!({ "data": data, "next": null })).into_response())
}

pub(in crate::web) async fn review(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(query): Query,
) -> Result<Response, ApiError> {
    let caller = caller.reviewer(&app)?;
    let limit = super::limit(&query)?;
    let filter = review_filter(&app, &query, caller.user_id, limit + 1).await.map_err(|error| match error {
        QueryError::Parameter(detail) => ApiError::bad_request("unknown_value", detail),
        QueryError::App(error) => error.into(),
    })?;
    let mut rows = app.review_list(&filter).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|last| next_cursor(&filter, last));
    Ok(axum::Json(json!({ "data": shapes(&app, rows).await?, "next": next })).into_response())
}

pub(in crate::web) async fn decide(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    VerbName(verb): VerbName,
    Json { value, text }: Json<Verdict>,
) -> Result<Response, ApiError> {
    let caller = caller.reviewer(&app)?;
    let verb: Verb = verb.parse()?;
    if let Some(signed_in) = &caller.signed_in
        && verb.decides()
        && !app.is_fresh(signed_in)
    {
        return Err(AppError::PasswordAgain.into());
    }
    let sender = caller.caller("POST /review/{id}/{verb}", &text);
    let decided = app.decide_application(&sender, caller.user_id, id, verb, &value).await?;
    let row = app.reviewed_application(id).await?;
    Ok(done(StatusCode::OK, decided.cursor, ApplicationShape::of(&app, row).await?))
}
