//! The inbox: notifications, messages, and the reveal of a held token.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use countersign_events::{
    ids::MessageId,
    recorded::{Position, Timestamp},
    text::FieldError,
};
use uuid::Uuid;

use super::{Frame, PageError, instant, instant_or, message_for, render, see_other, stamp};
use crate::{
    app::{
        App, AppError,
        inbox::{Notification, Which},
    },
    web::{
        error::tell,
        extract::{Fields, Form, Member, PageId, Query},
        markdown,
    },
};

/// So many a page.
const PAGE: u32 = 25;

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    frame: Frame,
    notifications: Vec<Notification>,
    next: Option<Position>,
    typed: Fields,
    errors: Vec<FieldError>,
}

async fn inbox_page(
    app: &App,
    member: &Member,
    before: Option<Position>,
    status: StatusCode,
    typed: Fields,
    errors: Vec<FieldError>,
) -> Result<Response, PageError> {
    let (notifications, next) = app.notifications(member.id(), Which::default(), before, PAGE).await?;
    let page = InboxPage { frame: Frame::of(app, &member.visitor).await, notifications, next, typed, errors };
    Ok(render(app, &member.visitor, status, &page))
}

pub(in crate::web) async fn list(
    State(app): State<Arc<App>>,
    member: Member,
    Query(query): Query,
) -> Result<Response, PageError> {
    let before = query.get("after").and_then(|after| after.parse().ok()).map(Position);
    // A link that answers a message fills `to` and `title` in.
    inbox_page(&app, &member, before, StatusCode::OK, query, vec![]).await
}

/// A member writes to another.
pub(in crate::web) async fn send(
    State(app): State<Arc<App>>,
    member: Member,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /inbox", &form);
    match app.send_message(&caller, member.id(), form.text("to"), form.text("title"), form.text("body")).await {
        Ok(done) => Ok(see_other(&app, "/inbox", done.cursor)),
        Err(AppError::Fields(errors)) => {
            inbox_page(&app, &member, None, StatusCode::UNPROCESSABLE_ENTITY, form, errors).await
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    frame: Frame,
    id: Uuid,
    title: String,
    body: String,
    from: String,
    at: Timestamp,
    secret: String,
    held_until: String,
    revealed_at: String,
    post: Option<String>,
    /// The query of the link that answers it, when a member wrote it.
    answer: Option<String>,
    token: Option<String>,
    problem: Option<String>,
}

impl MessagePage {
    async fn of(app: &App, member: &Member, Notification { row, title, body, from }: Notification) -> Self {
        let answer = row.from_id.filter(|_| row.kind == "message").and_then(|from| app.state.member(from)?.username);
        let answer = answer.map(|name| {
            let title = if title.starts_with("Re: ") { title.clone() } else { format!("Re: {title}") };
            let pairs = [("to", name.as_str()), ("title", title.as_str())];
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
        });
        Self {
            frame: Frame::of(app, &member.visitor).await,
            answer,
            id: row.id,
            title,
            body: markdown::to_html(body.as_deref().unwrap_or("[erased]")),
            from,
            at: row.created_at,
            secret: row.secret.unwrap_or_default(),
            held_until: instant_or(row.held_until.as_ref(), ""),
            revealed_at: instant_or(row.revealed_at.as_ref(), ""),
            post: row.post_id.map(|post| post.to_string()),
            token: None,
            problem: None,
        }
    }
}

/// A member who opens a message has read it.
pub(in crate::web) async fn message(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<Uuid>,
) -> Result<Response, PageError> {
    let notification = app.notification(member.id(), id).await?;
    let is_new = !notification.row.read;
    let page = MessagePage::of(&app, &member, notification).await;
    let mut response = render(&app, &member.visitor, StatusCode::OK, &page);
    if is_new {
        let caller = member.visitor.caller("GET /inbox/{id}", &Fields::default());
        stamp(&app, &mut response, app.mark_read(&caller, member.id(), &[id]).await?.cursor);
    }
    Ok(response)
}

/// The token is in this very answer, once.
pub(in crate::web) async fn reveal(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<MessageId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    // Everything that can fail comes first: after the reveal there is only one copy, and it goes into this page.
    let mut page = MessagePage::of(&app, &member, app.notification(member.id(), id.0).await?).await;
    page.secret = String::new();
    match app.reveal(&member.visitor.caller("POST /inbox/{id}/reveal", &form), member.id(), id).await {
        Ok(done) => {
            page.token = Some(done.answer);
            let mut response = render(&app, &member.visitor, StatusCode::OK, &page);
            stamp(&app, &mut response, done.cursor);
            Ok(response)
        }
        Err(error @ (AppError::Refused(_) | AppError::SecretLost)) => {
            let told = tell(&error);
            page.problem = Some(told.detail);
            Ok(render(&app, &member.visitor, told.status, &page))
        }
        Err(error) => Err(error.into()),
    }
}
