//! Posts, comments and votes as JSON.

use std::sync::Arc;

use axum::extract::State;
use countersign_events::{
    ids::{CommentId, PostId},
    post::Direction,
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    Asks, Created, Page, Silent, after_parameter,
    answers::{CommentedShape, DiscussionShape, PostsShape, PublishedShape},
    limit_parameter,
    shapes::{CommentShape, PostShape, direction},
};
use crate::{
    app::{
        App,
        posts::FrontPageQuery,
        ranking::{Sort, Span},
    },
    web::{
        describe::{Sketch, one_of, parameter},
        error::ApiError,
        extract::{ApiCaller, Fields, Id, Json},
    },
};

/// The parameters of the front page. What is not known is named, with what is.
///
/// # Errors
/// 400.
pub fn front_page_query(query: &Fields) -> Result<FrontPageQuery, ApiError> {
    let unknown = |name: &'static str, allowed: Vec<&str>| {
        ApiError::bad_request("unknown_value", format!("{name} is one of {}.", allowed.join(", ")))
    };
    let sort = match query.get("sort") {
        None => Sort::default(),
        Some(text) => {
            Sort::parse(text).ok_or_else(|| unknown("sort", Sort::ALL.iter().map(|sort| sort.as_str()).collect()))?
        }
    };
    let span = match query.get("t") {
        None => Span::default(),
        Some(text) => {
            Span::parse(text).ok_or_else(|| unknown("t", Span::ALL.iter().map(|span| span.as_str()).collect()))?
        }
    };
    let page = match query.get("page") {
        None => 1,
        Some(text) => text
            .parse()
            .ok()
            .filter(|page| *page >= 1)
            .ok_or_else(|| ApiError::bad_request("page", "page is a number from 1."))?,
    };
    let after = super::after(query)?;
    if after.is_some() && !matches!(sort, Sort::New | Sort::Old) {
        return Err(ApiError::bad_request("cursor", "after goes with sort=new or sort=old; use page with the others."));
    }
    Ok(FrontPageQuery { sort, span, page, limit: super::limit(query)?, after, texts: false })
}

/// The front page.
///
/// # Errors
/// [`ApiError`].
pub async fn front_page(app: &App, query: &Fields) -> Result<PostsShape, ApiError> {
    let query = FrontPageQuery { texts: true, ..front_page_query(query)? };
    let (posts, next_exists) = app.front_page(query).await?;
    let last = posts.last().map(|post| post.row.counts.post_id);
    let next = last.filter(|_| next_exists && matches!(query.sort, Sort::New | Sort::Old));
    let data = posts.into_iter().map(|post| PostShape::of(app, post)).collect();
    Ok(PostsShape { data, next_exists, next })
}

/// The front page, described: the page and its JSON are one door.
#[must_use]
pub fn front_page_sketch() -> Sketch {
    let mut sketch = Sketch { parameters: front_page_parameters(), ..Sketch::default() };
    let posts = sketch.reference::<PostsShape>();
    let about = "The posts: as JSON for a token, and where `Accept` asks for JSON and not for HTML; else as a page.";
    sketch.answer_json(200, about, &posts);
    sketch.also_as_page(200);
    sketch
}

fn front_page_parameters() -> Vec<Value> {
    let page = json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX, "default": 1 });
    vec![
        parameter("query", "sort", "The order.", &one_of(Sort::ALL.iter().map(|sort| sort.as_str()))),
        parameter("query", "t", "From how far back.", &one_of(Span::ALL.iter().map(|span| span.as_str()))),
        parameter("query", "page", "Which page, from 1.", &page),
        after_parameter(),
        limit_parameter(),
    ]
}

pub(in crate::web) async fn show(
    State(app): State<Arc<App>>,
    Id(id): Id<PostId>,
    Asks(page): Asks<Page<CommentId>>,
) -> Result<axum::Json<DiscussionShape>, ApiError> {
    let post = app.post(id).await?;
    let (comments, more) = app.comments_after(id, page.after, page.limit).await?;
    let next = comments.last().filter(|_| more).map(|last| last.row.comment_id);
    let comments = comments.into_iter().map(CommentShape::from).collect();
    Ok(axum::Json(DiscussionShape { post: PostShape::of(&app, post), comments, next }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewPost {
    /// One line.
    #[schema(min_length = 1, max_length = 300)]
    title: String,
    /// A web address, or nothing.
    #[serde(default)]
    #[schema(max_length = 2048)]
    url: String,
    /// Markdown.
    #[serde(default)]
    body: String,
}

pub(in crate::web) async fn publish(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Json { value, text }: Json<NewPost>,
) -> Result<Created<PublishedShape>, ApiError> {
    let sender = caller.caller("POST /posts", &text);
    let published = app.publish(&sender, caller.user_id, &value.title, &value.url, &value.body).await?;
    let permalink = app.config.url(&format!("/posts/{}", published.answer));
    Ok(Created(published.cursor, PublishedShape { id: published.answer, permalink }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewComment {
    /// Markdown.
    #[schema(min_length = 1)]
    body: String,
    /// The comment that is answered, if it is one.
    #[serde(default)]
    #[schema(value_type = Option<Uuid>)]
    parent_id: Option<CommentId>,
}

pub(in crate::web) async fn comment(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<PostId>,
    Json { value, text }: Json<NewComment>,
) -> Result<Created<CommentedShape>, ApiError> {
    let sender = caller.caller("POST /posts/{id}/comments", &text);
    let posted = app.comment(&sender, caller.user_id, id, value.parent_id, &value.body).await?;
    Ok(Created(posted.cursor, CommentedShape { id: posted.answer }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewVote {
    #[schema(schema_with = direction)]
    direction: Direction,
}

pub(in crate::web) async fn vote(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<PostId>,
    Json { value, text }: Json<NewVote>,
) -> Result<Silent, ApiError> {
    let sender = caller.caller("POST /posts/{id}/votes", &text);
    Ok(Silent(app.vote(&sender, caller.user_id, id, value.direction).await?.cursor))
}
