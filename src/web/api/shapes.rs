//! The JSON shapes of resources (interface s1 and s3). Instants named `created_utc` are whole seconds
//! since 1970; all others are RFC 3339.

use countersign_events::{
    application::Standing,
    ids::{ApplicationId, CommentId, PostId, TokenId, UserId},
    recorded::Timestamp,
    redirect_uri::Purpose,
    scope::ScopeSet,
    token::TokenKind,
};
use countersign_projections::markdown;
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{
        Object,
        schema::{ObjectBuilder, Type},
    },
};
use uuid::Uuid;

use crate::app::{
    App,
    authorizations::MyAuthorization,
    inbox::{FromKind, Notification},
    posts::{CommentView, PostView},
    tokens::MyToken,
};

/// The schema of one of several words.
fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build()
}

pub(super) fn standing() -> Object {
    words(Standing::ALL.iter().map(|standing| standing.as_str()))
}

pub(super) fn purpose() -> Object {
    words([Purpose::Web, Purpose::Personal, Purpose::Native].map(Purpose::as_str))
}

fn from_kind() -> Object {
    words(FromKind::ALL.map(FromKind::as_str))
}

fn token_kind() -> Object {
    words([TokenKind::Personal, TokenKind::Access].map(TokenKind::as_str))
}

pub(super) fn direction() -> Object {
    words(["up", "down", "none"])
}

/// The token of a request.
#[derive(Serialize, ToSchema)]
#[schema(as = CurrentToken)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct BearerShape {
    #[schema(value_type = Uuid)]
    pub id: TokenId,
    pub user: Named,
    pub application: Named,
    #[schema(value_type = String)]
    pub scopes: ScopeSet,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// A thing with its name.
#[derive(Serialize, ToSchema)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct Named {
    pub id: Uuid,
    pub name: Option<String>,
}

/// A post.
#[derive(Serialize, ToSchema)]
#[schema(as = Post)]
pub struct PostShape {
    #[schema(value_type = Uuid)]
    id: PostId,
    title: String,
    url: Option<String>,
    /// Markdown. Null in a list whose texts are too long together: the post alone has it.
    body: Option<String>,
    /// The body as HTML; null like it.
    body_html: Option<String>,
    author_name: String,
    #[schema(value_type = Uuid)]
    author_id: UserId,
    created_utc: i64,
    permalink: String,
    comment_count: i64,
    score: i64,
    upvotes: i64,
    downvotes: i64,
    is_bot: bool,
    #[schema(value_type = Option<Uuid>)]
    app_id: Option<ApplicationId>,
}

impl PostShape {
    /// Of a post.
    #[must_use]
    pub fn of(app: &App, post: PostView) -> Self {
        let PostView { row, author, .. } = post;
        let body = (!row.left_out).then(|| row.body.unwrap_or_default());
        Self {
            id: row.counts.post_id,
            title: row.title.unwrap_or_else(|| "[erased]".to_owned()),
            url: row.url,
            body_html: body.as_deref().map(|body| row.body_html.unwrap_or_else(|| markdown::to_html(body))),
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
#[derive(Serialize, ToSchema)]
#[schema(as = Comment)]
pub struct CommentShape {
    #[schema(value_type = Uuid)]
    id: CommentId,
    #[schema(value_type = Uuid)]
    post_id: PostId,
    #[schema(value_type = Option<Uuid>)]
    parent_id: Option<CommentId>,
    body: String,
    body_html: String,
    author_name: String,
    #[schema(value_type = Uuid)]
    author_id: UserId,
    created_utc: i64,
    is_bot: bool,
    #[schema(value_type = Option<Uuid>)]
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
            body_html: row.body_html.unwrap_or_else(|| markdown::to_html(&body)),
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
#[derive(Serialize, ToSchema)]
#[schema(as = Notification)]
pub struct NotificationShape {
    id: Uuid,
    kind: String,
    created_utc: i64,
    read: bool,
    title: String,
    body: Option<String>,
    body_html: Option<String>,
    from: String,
    /// Who speaks: `site` is in what the site itself says, and in nothing that a member wrote.
    #[schema(schema_with = from_kind)]
    from_kind: &'static str,
    permalink: String,
    #[schema(value_type = Option<Uuid>)]
    application_id: Option<ApplicationId>,
    #[schema(value_type = Option<Uuid>)]
    post_id: Option<PostId>,
    #[schema(value_type = Option<Uuid>)]
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
        let from_kind = notification.from_kind().as_str();
        let Notification { row, title, body, from } = notification;
        // What came as a private message stays one, whatever it is about.
        let private = row.kind == "message" || row.token_id.is_some();
        let body = body.filter(|_| with_messages || !private);
        let permalink = match (row.post_id, row.comment_id) {
            (Some(post), Some(comment)) => format!("/posts/{post}?comment={comment}#{comment}"),
            (Some(post), None) => format!("/posts/{post}"),
            (None, _) => format!("/inbox/{}", row.id),
        };
        Self {
            id: row.id,
            created_utc: row.created_at.timestamp(),
            read: row.read,
            title,
            body_html: body.as_deref().map(markdown::to_html),
            body,
            from,
            from_kind,
            permalink: app.config.url(&permalink),
            application_id: row.application_id,
            post_id: row.post_id,
            comment_id: row.comment_id,
            kind: row.kind,
        }
    }
}

/// What a member lets an application do.
#[derive(Serialize, ToSchema)]
#[schema(as = Authorization)]
pub struct AuthorizationShape {
    #[schema(value_type = Uuid)]
    id: ApplicationId,
    application_name: String,
    scopes: String,
    #[schema(value_type = String, format = DateTime)]
    authorized_at: Timestamp,
    by_consent: bool,
    /// When a token of it was last used, to the minute; null until then. A crash may lose the last minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

impl From<MyAuthorization> for AuthorizationShape {
    fn from(MyAuthorization { row, application, last_used }: MyAuthorization) -> Self {
        Self {
            id: row.application_id,
            application_name: application.map(|application| application.name).unwrap_or_default(),
            scopes: row.scopes.to_string(),
            authorized_at: row.authorized_at,
            by_consent: row.by_consent,
            last_used_at: last_used,
        }
    }
}

/// A token; never its text.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenShape {
    #[schema(value_type = Uuid)]
    id: TokenId,
    #[schema(value_type = Uuid)]
    application_id: ApplicationId,
    application_name: String,
    #[schema(schema_with = token_kind)]
    kind: &'static str,
    scopes: String,
    #[schema(value_type = String, format = DateTime)]
    issued_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    ended_why: Option<String>,
    /// When it was last used, to the minute; null until then. A crash may lose the last minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    valid: bool,
}

impl From<MyToken> for TokenShape {
    fn from(MyToken { row, application, last_used, valid }: MyToken) -> Self {
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
            last_used_at: last_used,
            valid: valid.is_ok(),
        }
    }
}
