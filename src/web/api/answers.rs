//! Small shapes that only one door or two answer with; those of resources are in `shapes`.

use countersign_events::{
    ids::{CommentId, MessageId, PostId, UserId},
    recorded::Position,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::shapes::{CommentShape, NotificationShape, PostShape};
use crate::app::audit::EventRecord;

/// A member.
#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct MemberShape {
    #[schema(value_type = Uuid)]
    pub id: UserId,
    pub name: Option<String>,
    pub roles: Vec<&'static str>,
}

/// A token that is shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = ShownToken)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct ShownTokenShape {
    pub access_token: String,
}

/// A message that was sent.
#[derive(Serialize, ToSchema)]
#[schema(as = Sent)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct SentShape {
    #[schema(value_type = Uuid)]
    pub id: MessageId,
}

/// A page of the log.
#[derive(Serialize, ToSchema)]
#[schema(as = Events)]
pub struct EventsShape {
    /// The events.
    pub data: Vec<EventRecord>,
    /// Where the next page begins; `null` at the end.
    pub next: Option<String>,
    /// The position up to which nothing is missing.
    #[schema(value_type = u64)]
    pub complete_to: Position,
}

/// A page of posts.
#[derive(Serialize, ToSchema)]
#[schema(as = Posts)]
pub struct PostsShape {
    /// The posts.
    pub data: Vec<PostShape>,
    /// Whether there are more.
    pub next_exists: bool,
    /// The next page, with `sort=new` or `sort=old`: send it as `after`.
    #[schema(value_type = Option<Uuid>)]
    pub next: Option<PostId>,
}

/// A post with its comments, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Discussion)]
pub struct DiscussionShape {
    /// The post.
    pub post: PostShape,
    /// A page of its comments.
    pub comments: Vec<CommentShape>,
    /// The next page of comments: send it as `after`.
    #[schema(value_type = Option<Uuid>)]
    pub next: Option<CommentId>,
}

/// What was published.
#[derive(Serialize, ToSchema)]
#[schema(as = Published)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct PublishedShape {
    #[schema(value_type = Uuid)]
    pub id: PostId,
    pub permalink: String,
}

/// What was said under a post.
#[derive(Serialize, ToSchema)]
#[schema(as = Commented)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct CommentedShape {
    #[schema(value_type = Uuid)]
    pub id: CommentId,
}

/// Unread notifications, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Unread)]
pub struct UnreadShape {
    /// A page of them.
    pub data: Vec<NotificationShape>,
    /// The next page: send it as `after`.
    pub next: Option<String>,
    /// How many there are in all.
    pub count: u64,
}

/// Which notifications were marked as read by this; those that were before are left out.
#[derive(Serialize, ToSchema)]
#[schema(as = Marked)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct MarkedShape {
    pub read: Vec<Uuid>,
}
