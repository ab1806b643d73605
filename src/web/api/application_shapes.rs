//! The JSON shapes of applications: as everybody sees them, as their owner does, and what happened to them.

use countersign_events::{
    application::{Claim, difference},
    ids::{ApplicationId, UserId},
    recorded::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::shapes::{purpose, standing};
use crate::{
    app::{
        App, AppError,
        history::{ChangeEnd, Happening},
        queue::Place,
    },
    store::rows::ApplicationRow,
    web::error::DifferenceShape,
};

/// An application.
#[derive(Serialize, ToSchema)]
#[schema(as = Application)]
pub struct ApplicationShape {
    #[schema(value_type = Uuid)]
    id: ApplicationId,
    name: String,
    description: String,
    website: Option<String>,
    redirect_uris: Vec<String>,
    client_id: Option<String>,
    #[schema(schema_with = standing)]
    state: &'static str,
    reason: Option<String>,
    reason_code: Option<String>,
    revision: u32,
    #[schema(schema_with = purpose)]
    purpose: String,
    /// No choice of flow or client type is offered: always null so far.
    #[schema(value_type = Option<String>)]
    flow: Option<&'static str>,
    #[schema(value_type = Option<String>)]
    client_type: Option<&'static str>,
    pending_change: Option<PendingChangeShape>,
    scopes: String,
    #[schema(value_type = Uuid)]
    owner_id: UserId,
    owner_name: String,
    #[schema(value_type = String, format = DateTime)]
    requested_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    decided_at: Option<Timestamp>,
    decided_by: Option<String>,
    /// Since when it, or a change of it, waits for a reviewer.
    #[schema(value_type = Option<String>, format = DateTime)]
    waiting_since: Option<Timestamp>,
    /// When that should be decided.
    #[schema(value_type = Option<String>, format = DateTime)]
    due_at: Option<Timestamp>,
    overdue: bool,
    /// The reviewer who is at it, until when.
    claimed_by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    claimed_until: Option<Timestamp>,
    /// The first of two reviewers who signed.
    signed_by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    signed_at: Option<Timestamp>,
}

/// A change of an approved application that waits for a decision.
#[derive(Serialize, ToSchema)]
#[schema(as = PendingChange)]
pub struct PendingChangeShape {
    revision: u32,
    #[schema(value_type = String, format = DateTime)]
    proposed_at: Timestamp,
    name: String,
    description: String,
    website: Option<String>,
    redirect_uris: Vec<String>,
    #[schema(schema_with = purpose)]
    purpose: String,
    scopes: String,
    difference: Vec<DifferenceShape>,
}

impl PendingChangeShape {
    fn of(row: &ApplicationRow) -> Option<Self> {
        let proposed = row.proposed.as_ref()?;
        Some(Self {
            revision: row.revision,
            proposed_at: row.revised_at,
            name: proposed.name.clone(),
            description: proposed.description.clone(),
            website: proposed.website.clone(),
            redirect_uris: proposed.redirect_uris.iter().map(ToString::to_string).collect(),
            purpose: proposed.purpose.to_string(),
            scopes: proposed.scopes.to_string(),
            difference: difference(&row.asked(), proposed).into_iter().map(DifferenceShape::from).collect(),
        })
    }
}

/// An application as its owner sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = MyApplication)]
pub struct MyApplicationShape {
    /// The application.
    #[serde(flatten)]
    pub application: ApplicationShape,
    /// What can be expected, while it waits.
    pub queue: Option<QueueShape>,
    /// What became of the last proposed change that waits no more.
    pub last_change: Option<ChangeEndShape>,
}

/// What became of a proposed change.
#[derive(Serialize, ToSchema)]
#[schema(as = ChangeEnd)]
pub struct ChangeEndShape {
    /// approved, denied or withdrawn.
    outcome: String,
    by: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The clause of the site's policy that the reviewer named.
    reason_code: Option<String>,
    /// What the reviewer wrote.
    reason: Option<String>,
}

impl From<ChangeEnd> for ChangeEndShape {
    fn from(ChangeEnd { outcome, by, at, reason_code, reason }: ChangeEnd) -> Self {
        Self { outcome: outcome.to_string(), by, at, reason_code, reason }
    }
}

/// The place of a request in the queue.
#[derive(Serialize, ToSchema)]
#[schema(as = Queue)]
pub struct QueueShape {
    /// How many wait longer.
    ahead: u64,
    /// How long the last decisions took, in the median.
    usual_seconds: Option<i64>,
}

impl From<Place> for QueueShape {
    fn from(place: Place) -> Self {
        Self { ahead: place.ahead, usual_seconds: place.usual.map(|usual| usual.num_seconds()) }
    }
}

impl ApplicationShape {
    /// Of an application, with the text of the last reason.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn of(app: &App, row: ApplicationRow) -> Result<Self, AppError> {
        let due_at = row.waits().map(|since| app.due(since));
        let claim = row.claim.filter(|claim| claim.until() > app.now());
        Ok(Self {
            reason: app.reason_of(&row).await?,
            pending_change: PendingChangeShape::of(&row),
            waiting_since: row.waits(),
            due_at,
            overdue: due_at.is_some_and(|due| due < app.now()),
            claimed_by: claim.map(|claim| app.state.name_of(claim.by)),
            claimed_until: claim.map(Claim::until),
            signed_by: row.signed.map(|(user, _)| app.state.name_of(user)),
            signed_at: row.signed.map(|(_, at)| at),
            owner_name: app.state.name_of(row.owner_id),
            decided_by: row.decided_by.map(|user| app.state.name_of(user)),
            id: row.application_id,
            name: row.name,
            description: row.description,
            website: row.website,
            redirect_uris: row.redirect_uris.iter().map(ToString::to_string).collect(),
            client_id: row.client_id.map(|client| client.to_string()),
            state: row.standing.as_str(),
            reason_code: row.reason_code,
            revision: row.revision,
            purpose: row.purpose.to_string(),
            flow: None,
            client_type: None,
            scopes: row.scopes.to_string(),
            owner_id: row.owner_id,
            requested_at: row.requested_at,
            decided_at: row.decided_at,
        })
    }
}

/// One thing that happened to an application.
#[derive(Serialize, ToSchema)]
#[schema(as = Happening)]
pub struct HappeningShape {
    position: u64,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    by: String,
    sentence: String,
    text: Option<String>,
}

impl HappeningShape {
    /// Of a happening.
    #[must_use]
    pub fn of(app: &App, happening: Happening) -> Self {
        let envelope = &happening.recorded.envelope;
        Self {
            position: envelope.position.0,
            at: envelope.recorded_at,
            by: app.actor_name(&envelope.actor),
            sentence: happening.sentence,
            text: happening.text,
        }
    }
}
