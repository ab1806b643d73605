//! Applications as JSON: their owner's side, and the reviewers'.

use std::sync::Arc;

use axum::extract::State;
use countersign_events::{account::Role, application::Standing, ids::ApplicationId, recorded::Timestamp, scope::Scope};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Asks, Changed, Created, List, Page, Parameters, Silent,
    shapes::{ApplicationShape, HappeningShape, purpose},
};
use crate::{
    app::{
        App, AppError,
        applications::Request,
        reviews::{Verb, Verdict},
    },
    store::rows::ApplicationRow,
    web::{
        describe::{one_of, parameter},
        error::ApiError,
        extract::{ApiCaller, Fields, Id, Json, VerbName},
    },
};

async fn shapes(app: &App, rows: Vec<ApplicationRow>) -> Result<Vec<ApplicationShape>, AppError> {
    let mut shapes = Vec::with_capacity(rows.len());
    for row in rows {
        shapes.push(ApplicationShape::of(app, row).await?);
    }
    Ok(shapes)
}

pub(in crate::web) async fn list(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
) -> Result<List<ApplicationShape>, ApiError> {
    let mine = app.my_applications(caller.user_id).await?;
    Ok(List::whole(shapes(&app, mine).await?))
}

pub(in crate::web) async fn show(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
) -> Result<axum::Json<ApplicationShape>, ApiError> {
    let row = app.my_application(caller.user_id, id).await?;
    Ok(axum::Json(ApplicationShape::of(&app, row).await?))
}

/// What a request for an application says in JSON: lists where the form has lines.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewApplication {
    #[schema(min_length = 1, max_length = 50)]
    name: String,
    #[serde(default)]
    #[schema(schema_with = purpose)]
    purpose: String,
    #[serde(default)]
    #[schema(max_length = 256)]
    description: String,
    #[serde(default)]
    website: String,
    /// Up to ten.
    #[serde(default)]
    redirect_uris: Vec<String>,
    /// Separated by spaces.
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

/// Errors name the fields of the body that was sent; the form has other names for two of them.
fn as_in_json(error: AppError) -> AppError {
    let AppError::Fields(mut errors) = error else { return error };
    for error in &mut errors {
        error.field = match error.field {
            "redirect_uri" => "redirect_uris",
            "scope" => "scopes",
            field => field,
        };
    }
    AppError::Fields(errors)
}

pub(in crate::web) async fn request(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Json { value, text }: Json<NewApplication>,
) -> Result<Created<ApplicationShape>, ApiError> {
    let asked = app.asked(&value.into()).map_err(as_in_json)?;
    let requested = app.request_application(&caller.caller("POST /applications", &text), caller.user_id, asked).await?;
    let row = app.my_application(caller.user_id, requested.answer).await?;
    Ok(Created(requested.cursor, ApplicationShape::of(&app, row).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Edit {
    #[schema(min_length = 1, max_length = 50)]
    name: Option<String>,
    #[schema(schema_with = purpose, required = false)]
    purpose: Option<String>,
    #[schema(max_length = 256)]
    description: Option<String>,
    website: Option<String>,
    redirect_uris: Option<Vec<String>>,
    /// Separated by spaces.
    scopes: Option<String>,
}

pub(in crate::web) async fn edit(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    Json { value, text }: Json<Edit>,
) -> Result<Changed<ApplicationShape>, ApiError> {
    let before = Request::of(&app.my_application(caller.user_id, id).await?);
    let after = Request {
        purpose: value.purpose.unwrap_or(before.purpose),
        name: value.name.unwrap_or(before.name),
        description: value.description.unwrap_or(before.description),
        website: value.website.unwrap_or(before.website),
        redirect_uri: value.redirect_uris.map_or(before.redirect_uri, |uris| uris.join("\n")),
        scopes: value.scopes.map_or(before.scopes, |scopes| vec![scopes]),
    };
    let asked = app.asked(&after).map_err(as_in_json)?;
    let edited =
        app.edit_application(&caller.caller("PATCH /applications/{id}", &text), caller.user_id, id, asked).await?;
    let row = app.my_application(caller.user_id, id).await?;
    Ok(Changed(edited.cursor, ApplicationShape::of(&app, row).await?))
}

pub(in crate::web) async fn withdraw(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
) -> Result<Silent, ApiError> {
    let sender = caller.caller("POST /applications/{id}/withdraw", b"");
    Ok(Silent(app.withdraw_application(&sender, caller.user_id, id).await?.cursor))
}

pub(in crate::web) async fn history(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
) -> Result<List<HappeningShape>, ApiError> {
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
    Ok(List::whole(happenings.into_iter().map(|happening| HappeningShape::of(&app, happening)).collect()))
}

/// `?state=&after=&limit=`.
pub(in crate::web) struct ReviewQuery {
    standing: Option<Standing>,
    page: Page<Place>,
}

impl Parameters for ReviewQuery {
    fn parameters() -> Vec<Value> {
        let states = one_of(Standing::ALL.iter().map(|standing| standing.as_str()));
        let mut parameters = vec![parameter("query", "state", "Only those in this state.", &states)];
        parameters.extend(Page::<Place>::parameters());
        parameters
    }

    fn read(query: &Fields) -> Result<Self, ApiError> {
        let standing = query.get("state").map(str::parse).transpose();
        let standing = standing.map_err(|error| ApiError::bad_request("unknown_value", format!("{error}.")))?;
        Ok(Self { standing, page: Page::read(query)? })
    }
}

/// Where a page of the review list begins, as [`next_cursor`] writes it.
pub(in crate::web) struct Place(Timestamp, ApplicationId);

impl std::str::FromStr for Place {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        cursor(text).map(|(at, id)| Self(at, id)).ok_or(())
    }
}

pub(in crate::web) async fn review(
    State(app): State<Arc<App>>,
    Asks(asked): Asks<ReviewQuery>,
) -> Result<List<ApplicationShape>, ApiError> {
    let limit = asked.page.limit;
    let after = asked.page.after.map(|Place(at, id)| (at, id));
    let mut rows = app.review_list(asked.standing, after, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(next_cursor);
    Ok(List { data: shapes(&app, rows).await?, next })
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

/// What a decision says in JSON.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Decision)]
pub(in crate::web) struct DecisionBody {
    /// The revision that was read.
    revision: u32,
    /// The clause of the site's policy; an approval needs none.
    #[serde(default)]
    reason_code: String,
    /// What to tell the owner; an approval needs nothing.
    #[serde(default)]
    #[schema(max_length = 2000)]
    reason: String,
}

impl From<DecisionBody> for Verdict {
    fn from(DecisionBody { revision, reason_code, reason }: DecisionBody) -> Self {
        Self { revision, reason_code, reason }
    }
}

pub(in crate::web) async fn decide(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    VerbName(verb): VerbName,
    Json { value, text }: Json<DecisionBody>,
) -> Result<Changed<ApplicationShape>, ApiError> {
    let verb: Verb = verb.parse()?;
    if let Some(signed_in) = &caller.signed_in
        && !app.is_fresh(signed_in)
    {
        return Err(AppError::PasswordAgain.into());
    }
    let sender = caller.caller("POST /review/{id}/{verb}", &text);
    let decided = app.decide_application(&sender, caller.user_id, id, verb, &value.into()).await?;
    let row = app.reviewed_application(id).await?;
    Ok(Changed(decided.cursor, ApplicationShape::of(&app, row).await?))
}
