//! The JSON shapes of resources (interface s1 and s3). Instants named `created_utc` are whole seconds
//! since 1970; all others are RFC 3339.

use countersign_events::{
    application::{Claim, difference},
    ids::{ApplicationId, CommentId, PostId, TokenId, UserId},
    recorded::Timestamp,
    scope::ScopeSet,
};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    app::{
        App, AppError,
        authorizations::MyAuthorization,
        history::Happening,
        inbox::Notification,
        posts::{CommentView, PostView},
        queue::Place,
        tokens::MyToken,
    },
    store::rows::ApplicationRow,
    web::{error::DifferenceShape, markdown},
};

/// The token of a request.
#[derive(Serialize)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct BearerShape {
    pub id: TokenId,
    pub user: Named<UserId>,
    pub application: Named<ApplicationId>,
    pub scopes: ScopeSet,
    pub expires_at: Option<Timestamp>,
}

/// A thing with its name.
#[derive(Serialize)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct Named<T> {
    pub id: T,
    pub name: Option<String>,
}

/// A post.
#[derive(Serialize)]
pub struct PostShape {
    id: PostId,
    title: String,
    url: Option<String>,
    body: String,
    body_html: String,
    author_name: String,
    author_id: UserId,
    created_utc: i64,
    permalink: String,
    comment_count: i64,
    score: i64,
    upvotes: i64,
    downvotes: i64,
    is_bot: bool,
    app_id: Option<ApplicationId>,
}

impl PostShape {
    /// Of a post.
    #[must_use]
    pub fn of(app: &App, post: PostView) -> Self {
        let PostView { row, author, .. } = post;
        let body = row.body.unwrap_or_default();
        Self {
            id: row.counts.post_id,
            title: row.title.unwrap_or_else(|| "[erased]".to_owned()),
            url: row.url,
            body_html: markdown::to_html(&body),
            body,
            author_name: author,
            author_id: row.author_id,
            created_utc: row.counts.created_at.timestamp(),
            permalink: app.config.url(&format!("/posts/{}", row.counts.post_id)),
            comment_count: row.counts.comment_count,
            score: row.counts.upvotes - row.counts.downvotes,
            upvotes: row.counts.upvotes,
            downvotes: row.counts.downvotes,
            is_bot: row.application_id.is_some(),
            app_id: row.application_id,
        }
    }
}

/// A comment.
#[derive(Serialize)]
pub struct CommentShape {
    id: CommentId,
    post_id: PostId,
    parent_id: Option<CommentId>,
    body: String,
    body_html: String,
    author_name: String,
    author_id: UserId,
    created_utc: i64,
    is_bot: bool,
    app_id: Option<ApplicationId>,
}

impl From<CommentView> for CommentShape {
    fn from(comment: CommentView) -> Self {
        let CommentView { row, author, .. } = comment;
        let body = row.body.unwrap_or_default();
        Self {
            id: row.comment_id,
            post_id: row.post_id,
            parent_id: row.parent_id,
            body_html: markdown::to_html(&body),
            body,
            author_name: author,
            author_id: row.author_id,
            created_utc: row.created_at.timestamp(),
            is_bot: row.application_id.is_some(),
            app_id: row.application_id,
        }
    }
}

/// A notification.
#[derive(Serialize)]
pub struct NotificationShape {
    id: Uuid,
    kind: String,
    created_utc: i64,
    read: bool,
    title: String,
    body: Option<String>,
    body_html: Option<String>,
    from: String,
    permalink: String,
    application_id: Option<ApplicationId>,
    post_id: Option<PostId>,
    comment_id: Option<CommentId>,
}

impl NotificationShape {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// Of a notification; bodies of private messages only for those who may read messages.
    #[must_use]
    pub fn of(app: &App, notification: Notification, with_messages: bool) -> Self {
        let Notification { row, title, body, from } = notification;
        // What came as a private message stays one, whatever it is about.
        let private = row.kind == "message" || row.token_id.is_some();
        let body = body.filter(|_| with_messages || !private);
        let permalink = match row.post_id {
            Some(post) => format!("/posts/{post}"),
            None => format!("/inbox/{}", row.id),
        };
        Self {
            id: row.id,
            created_utc: row.created_at.timestamp(),
            read: row.read,
            title,
            body_html: body.as_deref().map(markdown::to_html),
            body,
            from,
            permalink: app.config.url(&permalink),
            application_id: row.application_id,
            post_id: row.post_id,
            comment_id: row.comment_id,
            kind: row.kind,
        }
    }
}

/// An application.
#[derive(Serialize)]
pub struct ApplicationShape {
    id: ApplicationId,
    name: String,
    description: String,
    website: Option<String>,
    redirect_uris: Vec<String>,
    client_id: Option<String>,
    state: &'static str,
    reason: Option<String>,
    reason_code: Option<String>,
    revision: u32,
    purpose: String,
    /// No choice of flow or client type is offered: always null so far.
    flow: Option<&'static str>,
    client_type: Option<&'static str>,
    pending_change: Option<PendingChangeShape>,
    scopes: String,
    owner_id: UserId,
    owner_name: String,
    requested_at: Timestamp,
    decided_at: Option<Timestamp>,
    decided_by: Option<String>,
    /// Since when it, or a change of it, waits for a reviewer.
    waiting_since: Option<Timestamp>,
    /// When that should be decided.
    due_at: Option<Timestamp>,
    overdue: bool,
    /// The reviewer who is at it, until when.
    claimed_by: Option<String>,
    claimed_until: Option<Timestamp>,
    /// The first of two reviewers who signed.
    signed_by: Option<String>,
    signed_at: Option<Timestamp>,
}

/// A change of an approved application that waits for a decision.
#[derive(Serialize)]
pub struct PendingChangeShape {
    revision: u32,
    proposed_at: Timestamp,
    name: String,
    description: String,
    website: Option<String>,
    redirect_uris: Vec<String>,
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
#[derive(Serialize)]
pub struct MyApplicationShape {
    /// The application.
    #[serde(flatten)]
    pub application: ApplicationShape,
    /// What can be expected, while it waits.
    pub queue: Option<QueueShape>,
}

/// The place of a request in the queue.
#[derive(Serialize)]
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
#[derive(Serialize)]
pub struct HappeningShape {
    position: u64,
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

/// What a member lets an application do.
#[derive(Serialize)]
pub struct AuthorizationShape {
    id: ApplicationId,
    application_name: String,
    scopes: String,
    authorized_at: Timestamp,
    by_consent: bool,
}

impl From<MyAuthorization> for AuthorizationShape {
    fn from(MyAuthorization { row, application }: MyAuthorization) -> Self {
        Self {
            id: row.application_id,
            application_name: application.map(|application| application.name).unwrap_or_default(),
            scopes: row.scopes.to_string(),
            authorized_at: row.authorized_at,
            by_consent: row.by_consent,
        }
    }
}

/// A token; never its text.
#[derive(Serialize)]
pub struct TokenShape {
    id: TokenId,
    application_id: ApplicationId,
    application_name: String,
    kind: &'static str,
    scopes: String,
    issued_at: Timestamp,
    expires_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    ended_why: Option<String>,
    valid: bool,
}

impl From<MyToken> for TokenShape {
    fn from(MyToken { row, application, valid }: MyToken) -> Self {
        Self {
            id: row.token_id,
            application_id: row.application_id,
            application_name: application,
            kind: row.kind.as_str(),
            scopes: row.scopes.to_string(),
            issued_at: row.issued_at,
            expires_at: row.expires_at,
            ended_at: row.ended_at,
            ended_why: row.ended_why,
            valid: valid.is_ok(),
        }
    }
}
