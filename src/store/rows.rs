//! Rows of read models and of the vault, with the types of the domain instead of columns.

use countersign_events::{
    account::{AccountStanding, Roles},
    application::{Asked, Claim, Standing},
    ids::{ApplicationId, CommentId, DataKeyId, PostId, TokenId, UserId, VerifierId},
    recorded::{Position, Timestamp},
    redirect_uri::{Purpose, RedirectUri},
    scope::ScopeSet,
    token::{ClientId, TokenDigest, TokenKind},
};
use uuid::Uuid;

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct AccountRow {
    pub user_id: UserId,
    /// `None` once erased.
    pub username: Option<String>,
    pub standing: AccountStanding,
    pub roles: Roles,
    pub verifier: VerifierId,
    pub data_key: DataKeyId,
    pub registered_at: Timestamp,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct ApplicationRow {
    pub application_id: ApplicationId,
    pub owner_id: UserId,
    pub standing: Standing,
    pub purpose: Purpose,
    pub name: String,
    pub description: String,
    pub website: Option<String>,
    pub redirect_uris: Vec<RedirectUri>,
    pub scopes: ScopeSet,
    /// The newest, whether it holds or is only proposed.
    pub revision: u32,
    /// The one that the fields above say.
    pub holds: u32,
    pub revised_at: Timestamp,
    pub client_id: Option<ClientId>,
    pub proposed: Option<Asked>,
    pub requested_at: Timestamp,
    /// Since when it or a change of it waits for a reviewer, or waited for the answer at `answered_at`.
    pub waiting_since: Option<Timestamp>,
    pub answered_at: Option<Timestamp>,
    pub claim: Option<Claim>,
    /// The first of two reviewers who signed, and when.
    pub signed: Option<(UserId, Timestamp)>,
    pub decided_at: Option<Timestamp>,
    pub decided_by: Option<UserId>,
    pub reason_code: Option<String>,
    /// The event that holds the text of the reason.
    pub reason_position: Option<Position>,
}

impl ApplicationRow {
    /// What it asks for now, or what holds.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked {
            purpose: self.purpose,
            name: self.name.clone(),
            description: self.description.clone(),
            website: self.website.clone(),
            redirect_uris: self.redirect_uris.clone(),
            scopes: self.scopes,
        }
    }

    /// Since when it, or a change of it, waits for a reviewer.
    #[must_use]
    pub fn waits(&self) -> Option<Timestamp> {
        self.waiting_since.filter(|_| self.answered_at.is_none())
    }
}

/// What a member lets an application do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct AuthorizationRow {
    pub application_id: ApplicationId,
    pub user_id: UserId,
    pub grant: u32,
    pub scopes: ScopeSet,
    /// Whether the member agreed on a consent page.
    pub by_consent: bool,
    pub authorized_at: Timestamp,
    pub rescinded: bool,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct TokenRow {
    pub digest: TokenDigest,
    pub token_id: TokenId,
    pub application_id: ApplicationId,
    pub user_id: UserId,
    pub grant: u32,
    pub kind: TokenKind,
    pub scopes: ScopeSet,
    pub issued_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub ended_why: Option<String>,
}

/// A notification; title and body are in the event at `position`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct NotificationRow {
    pub id: Uuid,
    pub position: Position,
    /// `message`, `reply`, `mention`, `application_decision` or `authorization_change`.
    pub kind: String,
    pub created_at: Timestamp,
    pub read: bool,
    pub from_id: Option<UserId>,
    pub application_id: Option<ApplicationId>,
    pub post_id: Option<PostId>,
    pub comment_id: Option<CommentId>,
    pub token_id: Option<TokenId>,
    /// `held`, `revealed` or `expired`.
    pub secret: Option<String>,
    pub held_until: Option<Timestamp>,
    pub revealed_at: Option<Timestamp>,
}

/// What ranks a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct PostCounts {
    pub post_id: PostId,
    pub created_at: Timestamp,
    pub comment_count: i64,
    pub upvotes: i64,
    pub downvotes: i64,
}

/// A post. Texts are `None` once their author is erased.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct PostRow {
    pub counts: PostCounts,
    pub author_id: UserId,
    pub application_id: Option<ApplicationId>,
    pub title: Option<String>,
    pub url: Option<String>,
    pub body: Option<String>,
    /// The body as HTML; `None` where it is so plain that it is made when it is read.
    pub body_html: Option<String>,
    /// The body is longer than was asked for.
    pub left_out: bool,
}

/// Where a comment stands, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct CommentPlace {
    pub comment_id: CommentId,
    pub parent_id: Option<CommentId>,
    pub author_id: UserId,
    pub created_at: Timestamp,
    /// What its text takes with its HTML.
    pub bytes: usize,
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct CommentRow {
    pub comment_id: CommentId,
    pub post_id: PostId,
    pub parent_id: Option<CommentId>,
    pub author_id: UserId,
    pub application_id: Option<ApplicationId>,
    pub body: Option<String>,
    /// The body as HTML; `None` where it is so plain that it is made when it is read.
    pub body_html: Option<String>,
    pub created_at: Timestamp,
}

/// A browser session, by the digest of its cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct Session {
    pub digest: [u8; 32],
    pub user_id: UserId,
    /// The verifier of the password it began with; another one in force ends it.
    pub verifier: VerifierId,
    pub created_at: Timestamp,
    /// When the password was last given.
    pub authenticated_at: Timestamp,
    pub expires_at: Timestamp,
}
