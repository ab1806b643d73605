//! A post with what is said about it: comments as a thread, answers, votes.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use countersign_events::{
    ids::{CommentId, PostId},
    post::Direction,
    recorded::Timestamp,
    text::FieldError,
};

use super::{
    Frame, PageError,
    accounts::local_path,
    front::{Shown, as_seen_by},
    portions::{TEXT, TextPart, number},
    render, see_other, stamp,
    thread::{self, Place},
};
use crate::{
    app::{App, AppError, posts::CommentView},
    store::rows::CommentPlace,
    web::extract::{Fields, Form, Member, PageId, Query, Visitor},
};

/// A page of a discussion has about so many bytes of comments.
const PAGE: usize = 36 * 1024;
/// What a comment takes besides its text, with the form to answer it.
const COMMENT: usize = 1_000;
/// Answers are set in up to here; deeper ones say all the same whom they answer.
const DEEPEST: usize = 6;

/// A comment as pages show it.
struct Answer {
    id: CommentId,
    depth: usize,
    answered: Option<Answered>,
    /// `None` once erased.
    text: Option<TextPart>,
    author: String,
    application: Option<String>,
    at: Timestamp,
}

/// The comment that is answered.
struct Answered {
    id: CommentId,
    author: String,
    /// Whether it stands on the same page.
    here: bool,
}

/// Which part of a discussion.
enum Part {
    /// A page, and which part of the post's own text.
    Page(usize, usize),
    /// Where a comment stands, and which part of its text.
    Around(CommentId, usize),
}

impl Part {
    fn of(query: &Fields) -> Result<Self, PageError> {
        let part = number(query, "part")?;
        Ok(match query.get("comment").and_then(|id| id.parse().ok()) {
            Some(comment) => Self::Around(comment, part),
            None => Self::Page(number(query, "page")?, part),
        })
    }

    /// Which part of the post's own text is shown.
    const fn of_post(&self) -> usize {
        match self {
            Self::Page(_, part) => *part,
            Self::Around(..) => 1,
        }
    }

    /// Which part of a comment's text is shown.
    fn of_comment(&self, comment: CommentId) -> usize {
        match self {
            Self::Around(id, part) if *id == comment => *part,
            _ => 1,
        }
    }

    /// Which of the pages it is, from 0. One that there is not is the nearest.
    fn find(&self, pages: &[Range<usize>], order: &[Place], comments: &[CommentPlace]) -> usize {
        match self {
            Self::Page(page, _) => page.saturating_sub(1).min(pages.len() - 1),
            Self::Around(id, _) => {
                let at = order.iter().position(|place| comments[place.comment].comment_id == *id);
                at.and_then(|at| pages.iter().position(|page| page.contains(&at))).unwrap_or_default()
            }
        }
    }
}

/// What was typed and could not be taken.
#[derive(Default)]
struct Typed {
    to: Option<CommentId>,
    text: String,
    errors: Vec<FieldError>,
}

#[derive(Template)]
#[template(path = "post.html")]
struct PostPage {
    frame: Frame,
    here: String,
    post: Shown,
    /// This very page, to come back to.
    back: String,
    /// The post's own text, on the first page.
    text: Option<TextPart>,
    text_is_elsewhere: bool,
    answers: Vec<Answer>,
    page: usize,
    pages: usize,
    typed: Typed,
}

impl PostPage {
    /// What was typed in answer to a comment, or to the post.
    fn typed_to(&self, comment: Option<&CommentId>) -> Option<&Typed> {
        Some(&self.typed).filter(|typed| !typed.errors.is_empty() && typed.to.as_ref() == comment)
    }
}

async fn post_page(
    app: &App,
    visitor: &Visitor,
    id: PostId,
    part: &Part,
    status: StatusCode,
    typed: Typed,
) -> Result<Response, PageError> {
    let (mut post, comments) = (app.post(id).await?, app.comment_places(id).await?);
    let ids: Vec<_> = comments.iter().map(|comment| (comment.comment_id, comment.parent_id)).collect();
    let order = thread::in_order(&ids);
    let html = post.row.body_html.take();
    let text = post.row.body.as_deref().unwrap_or_default();
    // A place knows what text and HTML take together.
    let weight = |place: &Place| COMMENT + (comments[place.comment].bytes / 2).min(TEXT) * 5 / 4;
    let pages = thread::pages(order.iter().map(weight), text.len().min(TEXT) * 5 / 4, PAGE);
    let page = part.find(&pages, &order, &comments);
    let here = format!("{}/posts/{id}", app.config.base_path());
    let shown = as_seen_by(app, visitor, std::slice::from_ref(&post)).await?.pop().ok_or(AppError::NotFound)?;
    let page = PostPage {
        frame: Frame::of(app, visitor).await,
        // What a form was sent to is no page.
        back: if status.is_success() { visitor.context.path_and_query().to_owned() } else { here.clone() },
        text_is_elsewhere: page > 0 && !text.is_empty(),
        text: (page == 0 && !text.is_empty())
            .then(|| TextPart::of(text, html, part.of_post(), here.clone(), format!("post-{id}"))),
        answers: answers(app, &comments, &order[pages[page].clone()], part, &here).await?,
        here,
        post: shown,
        page: page + 1,
        pages: pages.len(),
        typed,
    };
    Ok(render(app, visitor, status, &page))
}

/// The comments of a page.
async fn answers(
    app: &App,
    comments: &[CommentPlace],
    places: &[Place],
    part: &Part,
    post: &str,
) -> Result<Vec<Answer>, AppError> {
    let here: HashSet<_> = places.iter().map(|place| place.comment).collect();
    let answered = |parent: usize| Answered {
        id: comments[parent].comment_id,
        author: app.state.name_of(comments[parent].author_id),
        here: here.contains(&parent),
    };
    let ids: Vec<_> = places.iter().map(|place| comments[place.comment].comment_id).collect();
    let mut views: HashMap<_, _> =
        app.comments(&ids).await?.into_iter().map(|view| (view.row.comment_id, view)).collect();
    let answer = |place: &Place| {
        let id = comments[place.comment].comment_id;
        let CommentView { mut row, author, application } = views.remove(&id)?;
        let html = row.body_html.take();
        let text =
            |text: &str| TextPart::of(text, html, part.of_comment(id), format!("{post}?comment={id}"), id.to_string());
        Some(Answer {
            id,
            depth: place.depth.min(DEEPEST),
            answered: place.answers.map(answered),
            text: row.body.as_deref().map(text),
            author,
            application,
            at: row.created_at,
        })
    };
    Ok(places.iter().filter_map(answer).collect())
}

pub(in crate::web) async fn post(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    PageId(id): PageId<PostId>,
    Query(query): Query,
) -> Result<Response, PageError> {
    post_page(&app, &visitor, id, &Part::of(&query)?, StatusCode::OK, Typed::default()).await
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
        Ok(done) => Ok(see_other(&app, &format!("/posts/{id}?comment={0}#{0}", done.answer), done.cursor)),
        Err(AppError::Fields(errors)) => {
            let part = parent.map_or(Part::Page(1, 1), |comment| Part::Around(comment, 1));
            let typed = Typed { to: parent, text: form.text("body").to_owned(), errors };
            post_page(&app, &member.visitor, id, &part, StatusCode::UNPROCESSABLE_ENTITY, typed).await
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
    // Back to where the vote was cast, to the very post.
    let back = local_path(form.text("return_to")).and_then(|path| path.split('#').next());
    let back =
        back.map_or_else(|| format!("{}/posts/{id}", app.config.base_path()), |path| format!("{path}#post-{id}"));
    let mut response = Redirect::to(&back).into_response();
    stamp(&app, &mut response, done.cursor);
    Ok(response)
}
