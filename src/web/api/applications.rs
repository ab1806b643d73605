//! Applications as JSON: their owner's side, and the reviewers'.

use std::sync::Arc;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use countersign_events::{account::Role, application::Standing, ids::ApplicationId, recorded::Timestamp, scope::Scope};
use serde::Deserialize;
use serde_json::json;

use super::{
    done, done_silently,
    shapes::{ApplicationShape, HappeningShape},
};
use crate::{
    app::{
        App, AppError,
        applications::Request,
        reviews::{Verb, Verdict},
    },
    store::rows::ApplicationRow,
    web::{
        error::ApiError,
        extract::{ApiCaller, Id, Json, Query, VerbName},
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
    let mine = app.my_applications(caller.user_id).await?;
    Ok(axum::Json(json!({ "data": shapes(&app, mine).await?, "next": null })).into_response())
}

pub(in crate::web) async fn show(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
) -> Result<Response, ApiError> {
    let row = app.my_application(caller.user_id, id).await?;
    Ok(axum::Json(ApplicationShape::of(&app, row).await?).into_response())
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

pub(in crate::web) async fn edit(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    Json { value, text }: Json<Edit>,
) -> Result<Response, ApiError> {
    let before = Request::of(&app.my_application(caller.user_id, id).await?);
    let after = Request {
        purpose: value.purpose.unwrap_or(before.purpose),
        name: value.name.unwrap_or(before.name),
        description: value.description.unwrap_or(before.description),
        website: value.website.unwrap_or(before.website),
        redirect_uri: value.redirect_uris.map_or(before.redirect_uri, |uris| uris.join("\n")),
        scopes: value.scopes.map_or(before.scopes, |scopes| vec![scopes]),
    };
    let asked = app.asked(&after)?;
    let edited =
        app.edit_application(&caller.caller("PATCH /applications/{id}", &text), caller.user_id, id, asked).await?;
    let row = app.my_application(caller.user_id, id).await?;
    Ok(done(StatusCode::OK, edited.cursor, ApplicationShape::of(&app, row).await?))
}

pub(in crate::web) async fn withdraw(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
) -> Result<Response, ApiError> {
    let sender = caller.caller("POST /applications/{id}/withdraw", b"");
    Ok(done_silently(app.withdraw_application(&sender, caller.user_id, id).await?.cursor))
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

pub(in crate::web) async fn review(State(app): State<Arc<App>>, Query(query): Query) -> Result<Response, ApiError> {
    let standing = match query.get("state") {
        None => None,
        Some(text) => Some(
            text.parse::<Standing>().map_err(|error| ApiError::bad_request("unknown_value", format!("{error}.")))?,
        ),
    };
    let limit = super::limit(&query)?;
    let after = match query.get("after") {
        None => None,
        Some(text) => Some(
            cursor(text)
                .ok_or_else(|| ApiError::bad_request("cursor", "after is the value of next in an earlier answer."))?,
        ),
    };
    let mut rows = app.review_list(standing, after, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(next_cursor);
    Ok(axum::Json(json!({ "data": shapes(&app, rows).await?, "next": next })).into_response())
}

/// Where the page after this row begins.
pub(in crate::web) fn next_cursor(last: &ApplicationRow) -> String {
    format!("{}.{}", last.requested_at.timestamp_micros(), last.application_id)
}

/// The place that [`next_cursor`] names.
pub(in crate::web) fn cursor(text: &str) -> Option<(Timestamp, ApplicationId)> {
    let (micros, id) = text.split_once('.')?;
    Some((Timestamp::from_timestamp_micros(micros.parse().ok()?)?, id.parse().ok()?))
}

pub(in crate::web) async fn decide(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    VerbName(verb): VerbName,
    Json { value, text }: Json<Verdict>,
) -> Result<Response, ApiError> {
    let verb: Verb = verb.parse()?;
    if let Some(signed_in) = &caller.signed_in
        && !app.is_fresh(signed_in)
    {
        return Err(AppError::PasswordAgain.into());
    }
    let sender = caller.caller("POST /review/{id}/{verb}", &text);
    let decided = app.decide_application(&sender, caller.user_id, id, verb, &value).await?;
    let row = app.reviewed_application(id).await?;
    Ok(done(StatusCode::OK, decided.cursor, ApplicationShape::of(&app, row).await?))
}
