//! The front page and posts, for people and, with a token or on request, as JSON.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use countersign_events::{
    ids::{CommentId, PostId},
    post::Direction,
    recorded::Timestamp,
    scope::Scope,
    text::FieldError,
};

use super::{Frame, PageError, message_for, render, see_other};
use crate::{
    app::{
        App, AppError,
        posts::{CommentView, PostView},
        ranking::{Sort, Span},
    },
    web::{
        api::posts::{front_page, front_page_query},
        error::{ApiError, tell},
        extract::{Fields, Form, Member, PageId, Query, Visitor},
        markdown,
    },
};

/// A post as pages show it.
struct Shown {
    id: PostId,
    title: String,
    url: Option<String>,
    body: String,
    author: String,
    application: Option<String>,
    at: Timestamp,
    comments: i64,
    score: i64,
}

impl From<PostView> for Shown {
    fn from(PostView { row, author, application }: PostView) -> Self {
        Self {
            id: row.counts.post_id,
            title: row.title.unwrap_or_else(|| "[erased]".to_owned()),
            url: row.url,
            body: markdown::to_html(&row.body.unwrap_or_default()),
            author,
            application,
            at: row.counts.created_at,
            comments: row.counts.comment_count,
            score: row.counts.upvotes - row.counts.downvotes,
        }
    }
}

struct Answer {
    id: CommentId,
    parent: Option<CommentId>,
    body: String,
    author: String,
    application: Option<String>,
    at: Timestamp,
}

impl From<CommentView> for Answer {
    fn from(CommentView { row, author, application }: CommentView) -> Self {
        Self {
            id: row.comment_id,
            parent: row.parent_id,
            body: markdown::to_html(row.body.as_deref().unwrap_or("[erased]")),
            author,
            application,
            at: row.created_at,
        }
    }
}

#[derive(Template)]
#[template(path = "front.html")]
struct FrontPage {
    frame: Frame,
    sorts: &'static [Sort],
    spans: &'static [Span],
    sort: Sort,
    span: Span,
    page: u32,
    next_exists: bool,
    posts: Vec<Shown>,
    typed: Fields,
    errors: Vec<FieldError>,
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.contains("application/json") && !accept.contains("text/html")
}

pub(in crate::web) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(query): Query,
) -> Result<Response, Response> {
    let json = match visitor.context.bearer {
        Some(bearer) if !bearer.scopes.contains(Scope::Read) => {
            return Err(ApiError::ScopeMissing(Scope::Read).into_response());
        }
        Some(_) => true,
        None => wants_json(&headers),
    };
    if json {
        let posts = front_page(&app, &query).await.map_err(IntoResponse::into_response)?;
        return Ok(axum::Json(posts).into_response());
    }
    let shown = show_page(&app, &visitor, &query, StatusCode::OK, Fields::default(), vec![]).await;
    shown.map_err(IntoResponse::into_response)
}

async fn show_page(
    app: &App,
    visitor: &Visitor,
    query: &Fields,
    status: StatusCode,
    typed: Fields,
    errors: Vec<FieldError>,
) -> Result<Response, PageError> {
    let wanted = front_page_query(query).map_err(|error| match error {
        ApiError::Request { status, detail, .. } => PageError::request(status, detail),
        _ => PageError::request(StatusCode::BAD_REQUEST, "There is no such part of the front page."),
    })?;
    let (posts, next_exists) = app.front_page(wanted).await?;
    let page = FrontPage {
        frame: Frame::of(app, visitor).await,
        sorts: Sort::ALL,
        spans: Span::ALL,
        sort: wanted.sort,
        span: wanted.span,
        page: wanted.page,
        next_exists,
        posts: posts.into_iter().map(Shown::from).collect(),
        typed,
        errors,
    };
    Ok(render(app, visitor, status, &page))
}

pub(in crate::web) async fn publish(
    State(app): State<Arc<App>>,
    member: Member,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /posts", &form);
    match app.publish(&caller, member.id(), form.text("title"), form.text("url"), form.text("body")).await {
        Ok(done) => Ok(see_other(&app, &format!("/posts/{}", done.answer), done.cursor)),
        Err(AppError::Fields(errors)) => {
            show_page(&app, &member.visitor, &Fields::default(), StatusCode::UNPROCESSABLE_ENTITY, form, errors).await
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "post.html")]
struct PostPage {
    frame: Frame,
    post: Shown,
    answers: Vec<Answer>,
    typed: String,
    problem: Option<String>,
}

async fn post_page(
    app: &App,
    visitor: &Visitor,
    id: PostId,
    status: StatusCode,
    typed: &str,
    problem: Option<String>,
) -> Result<Response, PageError> {
    let (post, comments) = app.post(id).await?;
    let answers = comments.into_iter().map(Answer::from).collect();
    let page =
        PostPage { frame: Frame::of(app, visitor).await, post: post.into(), answers, typed: typed.to_owned(), problem };
    Ok(render(app, visitor, status, &page))
}

pub(in crate::web) async fn post(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    PageId(id): PageId<PostId>,
) -> Result<Response, PageError> {
    post_page(&app, &visitor, id, StatusCode::OK, "", None).await
}

pub(in crate::web) async fn comment(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<PostId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /posts/{id}/comments", &form);
    let parent = match form.text("parent_id") {
        "" => None,
        typed => Some(typed.parse().map_err(|_| {
            PageError::request(StatusCode::UNPROCESSABLE_ENTITY, "parent_id is the id of the comment that is answered.")
        })?),
    };
    match app.comment(&caller, member.id(), id, parent, form.text("body")).await {
        Ok(done) => Ok(see_other(&app, &format!("/posts/{id}"), done.cursor)),
        Err(error @ AppError::Fields(_)) => {
            let told = tell(&error);
            post_page(&app, &member.visitor, id, told.status, form.text("body"), Some(told.detail)).await
        }
        Err(error) => Err(error.into()),
    }
}

pub(in crate::web) async fn vote(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<PostId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let direction = match form.text("direction") {
        "up" => Direction::Up,
        "down" => Direction::Down,
        "none" => Direction::None,
        _ => return Err(PageError::request(StatusCode::UNPROCESSABLE_ENTITY, "A vote is up, down or none.")),
    };
    let done = app.vote(&member.visitor.caller("POST /posts/{id}/votes", &form), member.id(), id, direction).await?;
    Ok(see_other(&app, &format!("/posts/{id}"), done.cursor))
}
