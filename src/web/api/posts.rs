//! Posts, comments and votes as JSON.

use std::sync::Arc;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use countersign_events::{
    ids::{CommentId, PostId},
    post::Direction,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    done, done_silently,
    shapes::{CommentShape, PostShape},
};
use crate::{
    app::{
        App,
        posts::FrontPageQuery,
        ranking::{Sort, Span},
    },
    web::{
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
    Ok(FrontPageQuery { sort, span, page, limit: super::limit(query)?, after })
}

/// The front page.
///
/// # Errors
/// [`ApiError`].
pub async fn front_page(app: &App, query: &Fields) -> Result<Response, ApiError> {
    let query = front_page_query(query)?;
    let (posts, next_exists) = app.front_page(query).await?;
    let last = posts.last().map(|post| post.row.counts.post_id);
    let next = last.filter(|_| next_exists && matches!(query.sort, Sort::New | Sort::Old));
    let data: Vec<_> = posts.into_iter().map(|post| PostShape::of(app, post)).collect();
    Ok(axum::Json(json!({ "data": data, "next_exists": next_exists, "next": next })).into_response())
}

pub(in crate::web) async fn show(State(app): State<Arc<App>>, Id(id): Id<PostId>) -> Result<Response, ApiError> {
    let (post, comments) = app.post(id).await?;
    let comments: Vec<_> = comments.into_iter().map(CommentShape::from).collect();
    Ok(axum::Json(json!({ "post": PostShape::of(&app, post), "comments": comments })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewPost {
    title: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    body: String,
}

pub(in crate::web) async fn publish(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Json { value, text }: Json<NewPost>,
) -> Result<Response, ApiError> {
    let sender = caller.caller("POST /posts", &text);
    let published = app.publish(&sender, caller.user_id, &value.title, &value.url, &value.body).await?;
    let permalink = app.config.url(&format!("/posts/{}", published.answer));
    Ok(done(StatusCode::CREATED, published.cursor, json!({ "id": published.answer, "permalink": permalink })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewComment {
    body: String,
    #[serde(default)]
    parent_id: Option<CommentId>,
}

pub(in crate::web) async fn comment(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<PostId>,
    Json { value, text }: Json<NewComment>,
) -> Result<Response, ApiError> {
    let sender = caller.caller("POST /posts/{id}/comments", &text);
    let posted = app.comment(&sender, caller.user_id, id, value.parent_id, &value.body).await?;
    Ok(done(StatusCode::CREATED, posted.cursor, json!({ "id": posted.answer })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewVote {
    direction: Direction,
}

pub(in crate::web) async fn vote(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<PostId>,
    Json { value, text }: Json<NewVote>,
) -> Result<Response, ApiError> {
    let sender = caller.caller("POST /posts/{id}/votes", &text);
    Ok(done_silently(app.vote(&sender, caller.user_id, id, value.direction).await?.cursor))
}
