//! The front page: posts with their counts, and the comments under them.

use countersign_events::{
    account::AccountEvent,
    event::Event,
    ids::UserId,
    post::{PostEvent, VoteEvent},
    recorded::Recorded,
};

use crate::{
    Projection,
    change::{Change, Table, Value, id, integer, personal, text},
    markdown,
};

/// One row a post.
pub const POSTS: Table = Table {
    name: "posts",
    key: &[text("post_id")],
    columns: &[
        text("author_id"),
        text("application_id"),
        personal("title"),
        personal("url"),
        personal("body"),
        // The body as HTML; null where it is so plain that it is made when it is read.
        personal("body_html"),
        integer("created_at"),
        integer("comment_count"),
        integer("upvotes"),
        integer("downvotes"),
    ],
    indexes: &[&["created_at", "post_id"], &["author_id"]],
    ends: &[],
};

/// One row a comment.
pub const COMMENTS: Table = Table {
    name: "comments",
    key: &[text("comment_id")],
    columns: &[
        text("post_id"),
        text("parent_id"),
        text("author_id"),
        text("application_id"),
        personal("body"),
        personal("body_html"),
        integer("created_at"),
    ],
    indexes: &[&["post_id", "created_at", "comment_id"], &["author_id"]],
    ends: &[],
};

/// Trailing.
pub const PROJECTION: Projection = Projection {
    name: "front_page",
    revision: 3,
    tables: &[&POSTS, &COMMENTS],
    categories: &["post", "vote", "account"],
    project,
};

fn project(recorded: &Recorded<Event>) -> Vec<Change> {
    let application = || recorded.envelope.on_behalf_of.map(|application| application.to_string());
    match &recorded.event {
        Event::Post(PostEvent::PostPublished { post_id, author, title, url, body, .. }) => vec![Change::Upsert {
            table: &POSTS,
            key: vec![id(post_id)],
            set: vec![
                ("author_id", id(author)),
                ("application_id", application().into()),
                ("title", title.into()),
                ("url", url.as_ref().into()),
                ("body", body.into()),
                ("body_html", body.clear().and_then(markdown::kept).into()),
                ("created_at", recorded.envelope.recorded_at.into()),
                ("comment_count", 0_u32.into()),
                ("upvotes", 0_u32.into()),
                ("downvotes", 0_u32.into()),
            ],
        }],
        Event::Post(PostEvent::CommentPosted { post_id, comment_id, parent, author, body, .. }) => vec![
            Change::Upsert {
                table: &COMMENTS,
                key: vec![id(comment_id)],
                set: vec![
                    ("post_id", id(post_id)),
                    ("parent_id", parent.map(|parent| parent.to_string()).into()),
                    ("author_id", id(author)),
                    ("application_id", application().into()),
                    ("body", body.into()),
                    ("body_html", body.clear().and_then(markdown::kept).into()),
                    ("created_at", recorded.envelope.recorded_at.into()),
                ],
            },
            Change::Increment { table: &POSTS, key: vec![id(post_id)], by: vec![("comment_count", 1)] },
        ],
        Event::Vote(VoteEvent::VoteCast { post_id, direction, previous, .. }) => {
            let ((up, down), (old_up, old_down)) = (direction.counts(), previous.counts());
            vec![Change::Increment {
                table: &POSTS,
                key: vec![id(post_id)],
                by: vec![("upvotes", up - old_up), ("downvotes", down - old_down)],
            }]
        }
        Event::Account(AccountEvent::UserErased { user_id, .. }) => forget(*user_id),
        Event::Account(_)
        | Event::Username(_)
        | Event::Application(_)
        | Event::Authorization(_)
        | Event::Inbox(_)
        | Event::Site(_)
        | Event::Projection(_) => vec![],
    }
}

/// What a member wrote stays where it was, without its texts: answers to it keep their place.
fn forget(user: UserId) -> Vec<Change> {
    let forget = |table: &'static Table, texts: &[&'static str]| Change::PatchWhere {
        table,
        by: "author_id",
        equals: id(user),
        set: texts.iter().map(|text| (*text, Value::Null)).collect(),
    };
    vec![forget(&POSTS, &["title", "url", "body", "body_html"]), forget(&COMMENTS, &["body", "body_html"])]
}
