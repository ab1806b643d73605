//! Applications as JSON: their owner's side, and the reviewers'.

use std::sync::Arc;

use axum::extract::State;
use countersign_events::{
    account::Role,
    application::{Seen, Standing},
    ids::ApplicationId,
    recorded::Position,
    redirect_uri::Purpose,
    scope::Scope,
    token::ClientId,
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Asks, Changed, Created, List, Page, Parameters, Silent, after_parameter,
    application_shapes::{ApplicationShape, ChangeEndShape, HappeningShape, MyApplicationShape, QueueShape},
    limit_parameter,
    shapes::{purpose, standing},
};
use crate::{
    app::{
        App, AppError, Done,
        applications::{self, Changes, Request},
        reviews::{Verb, Verdict},
    },
    store::rows::ApplicationRow,
    web::{
        describe::{one_of, parameter},
        error::ApiError,
        extract::{ApiCaller, Fields, Id, Json, MayJson, VerbName},
        review_query::{ALL, QueryError, cursor_at, review_filter},
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
    Asks(page): Asks<Page<Uuid>>,
) -> Result<List<ApplicationShape>, ApiError> {
    let mine = app.my_applications(caller.user_id).await?;
    let List { data, next } = List::page_of(mine, &page, |row| row.application_id.0)?;
    Ok(List { data: shapes(&app, data).await?, next })
}

pub(in crate::web) async fn show(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
) -> Result<axum::Json<MyApplicationShape>, ApiError> {
    let row = app.my_application(caller.user_id, id).await?;
    let queue = app.place(&row).await?.map(QueueShape::from);
    let last_change = app.last_change(id).await?.map(ChangeEndShape::from);
    Ok(axum::Json(MyApplicationShape { application: ApplicationShape::of(&app, row).await?, queue, last_change }))
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
    /// The revision that was read. With it, an application that has moved on since is left as it is: 409 says what
    /// differs. Without it, the fields above are changed of whatever it asks for by then.
    #[schema(minimum = 1)]
    revision: Option<u32>,
}

impl From<Edit> for applications::Edit {
    fn from(edit: Edit) -> Self {
        let changes = Changes {
            purpose: edit.purpose,
            name: edit.name,
            description: edit.description,
            website: edit.website,
            redirect_uri: edit.redirect_uris.map(|uris| uris.join("\n")),
            scopes: edit.scopes.map(|scopes| vec![scopes]),
        };
        Self::fields(changes).after_reading(edit.revision)
    }
}

/// An edit while it is under review, a proposed change of what is approved.
pub(in crate::web) async fn edit(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    Json { value, text }: Json<Edit>,
) -> Result<Changed<ApplicationShape>, ApiError> {
    let sender = caller.caller("PATCH /applications/{id}", &text);
    let edited = app.edit_application(&sender, caller.user_id, id, value).await.map_err(as_in_json)?;
    mine(&app, &caller, id, edited).await
}

/// What was read of the application that is withdrawn.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Withdrawal {
    /// Its revision; without it, whichever there is.
    #[schema(minimum = 1)]
    revision: Option<u32>,
    /// Its state; without it, whichever it is in.
    #[schema(schema_with = standing)]
    #[serde(default)]
    state: Option<Standing>,
}

pub(in crate::web) async fn withdraw(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    MayJson(Json { value, text }): MayJson<Withdrawal>,
) -> Result<Silent, ApiError> {
    let sender = caller.caller("POST /applications/{id}/withdraw", &text);
    let seen = Seen { revision: value.revision, standing: value.state };
    Ok(Silent(app.withdraw_application(&sender, caller.user_id, id, seen).await?.cursor))
}

/// Back under review, with whatever the body changes.
pub(in crate::web) async fn resubmit(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    Json { value, text }: Json<Edit>,
) -> Result<Changed<ApplicationShape>, ApiError> {
    let sender = caller.caller("POST /applications/{id}/resubmit", &text);
    let done = app.resubmit_application(&sender, caller.user_id, id, value).await.map_err(as_in_json)?;
    mine(&app, &caller, id, done).await
}

/// Why a denial should be another decision.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Appeal {
    /// What another reviewer should know.
    #[schema(min_length = 1, max_length = 2000)]
    text: String,
}

pub(in crate::web) async fn appeal(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    Json { value, text }: Json<Appeal>,
) -> Result<Changed<ApplicationShape>, ApiError> {
    let sender = caller.caller("POST /applications/{id}/appeal", &text);
    let done = app.appeal(&sender, caller.user_id, id, &value.text).await?;
    mine(&app, &caller, id, done).await
}

/// Which proposed change is meant.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct ChangeMeant {
    /// Its revision; without it, whichever waits.
    #[schema(minimum = 1)]
    revision: Option<u32>,
}

pub(in crate::web) async fn withdraw_change(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    MayJson(Json { value, text }): MayJson<ChangeMeant>,
) -> Result<Changed<ApplicationShape>, ApiError> {
    let sender = caller.caller("POST /applications/{id}/withdraw-change", &text);
    let done = app.withdraw_change(&sender, caller.user_id, id, value.revision).await?;
    mine(&app, &caller, id, done).await
}

/// Which client id is meant.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct ClientIdMeant {
    /// Without it, whichever the application has. One that was replaced already is not replaced again.
    #[schema(value_type = Option<String>)]
    client_id: Option<ClientId>,
}

pub(in crate::web) async fn rotate_client_id(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    MayJson(Json { value, text }): MayJson<ClientIdMeant>,
) -> Result<Changed<ApplicationShape>, ApiError> {
    let sender = caller.caller("POST /applications/{id}/rotate-client-id", &text);
    let done = app.rotate_client_id(&sender, caller.user_id, id, value.client_id).await?;
    mine(&app, &caller, id, done).await
}

/// An application as it is after its owner's command.
async fn mine(
    app: &App,
    caller: &ApiCaller,
    id: ApplicationId,
    done: Done<()>,
) -> Result<Changed<ApplicationShape>, ApiError> {
    let row = app.my_application(caller.user_id, id).await?;
    Ok(Changed(done.cursor, ApplicationShape::of(app, row).await?))
}

pub(in crate::web) async fn history(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
    Asks(page): Asks<Page<u64>>,
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
    let (happenings, next) = app.history_after(id, page.after.map(Position), page.limit).await?;
    let data = happenings.into_iter().map(|happening| HappeningShape::of(&app, happening)).collect();
    Ok(List { data, next: next.map(|next| next.to_string()) })
}

/// The filters of the review list; looking members up is the handler's.
pub(in crate::web) struct ReviewQuery {
    filters: Fields,
    limit: u32,
}

impl Parameters for ReviewQuery {
    fn parameters() -> Vec<Value> {
        let standings = Standing::ALL.iter().map(|standing| standing.as_str());
        let states = one_of(std::iter::once("waiting").chain(standings).chain([ALL]));
        let purposes = one_of([Purpose::Web, Purpose::Personal, Purpose::Native].map(Purpose::as_str));
        let scopes = one_of(Scope::ALL.map(Scope::as_str));
        let text = json!({ "type": "string" });
        let of = |name, about: &str, schema: &Value| parameter("query", name, about, schema);
        vec![
            of(
                "state",
                "Only those in this state, or those that wait for a reviewer; `all` is what none says.",
                &states,
            ),
            of("purpose", "Only those for this purpose.", &purposes),
            of("scope", "Only those that ask for this scope.", &scopes),
            of("owner", "Only those of this member: a username, an id, or `me`.", &text),
            of(
                "claimed_by",
                "Only those that this reviewer has claimed: a username, an id, or `me`; `no`: those that nobody has.",
                &text,
            ),
            of(
                "overdue",
                "Only those that have waited longer than they should; `false`: only the others.",
                &json!({ "type": "boolean" }),
            ),
            of("sort", "By when they were asked for, or since when they wait.", &one_of(["oldest", "newest"])),
            after_parameter(),
            limit_parameter(),
        ]
    }

    fn read(query: &Fields) -> Result<Self, ApiError> {
        Ok(Self { filters: query.clone(), limit: super::limit(query)? })
    }
}

pub(in crate::web) async fn review(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Asks(asked): Asks<ReviewQuery>,
) -> Result<List<ApplicationShape>, ApiError> {
    let limit = asked.limit;
    let filter = review_filter(&app, &asked.filters, caller.user_id, limit + 1).await.map_err(|error| match error {
        QueryError::Parameters(wrong) => {
            let first = wrong.into_iter().next().map(|error| (error.code, error.message));
            let (code, message) = first.unwrap_or(("unknown_value", String::new()));
            ApiError::bad_request(code, message)
        }
        QueryError::App(error) => error.into(),
    })?;
    let mut rows = app.review_list(&filter).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|last| cursor_at(&filter, last));
    Ok(List { data: shapes(&app, rows).await?, next })
}

/// What a decision says in JSON.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Decision)]
pub(in crate::web) struct DecisionBody {
    /// The revision that was read; claims and releases name none.
    #[serde(default)]
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
        && verb.decides()
        && !app.is_fresh(signed_in)
    {
        return Err(AppError::PasswordAgain.into());
    }
    let sender = caller.caller("POST /review/{id}/{verb}", &text);
    let decided = app.decide_application(&sender, caller.user_id, id, verb, &value.into()).await?;
    let row = app.reviewed_application(id).await?;
    Ok(Changed(decided.cursor, ApplicationShape::of(&app, row).await?))
}
