//! The inbox: notifications by kind, messages, and the reveal of a held token.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use countersign_events::{
    ids::MessageId,
    recorded::{Position, Timestamp},
    text::FieldError,
};
use countersign_projections::markdown;
use uuid::Uuid;

use super::{
    Frame, PageError,
    portions::{TextPart, beginning, number},
    render, see_other, stamp,
};
use crate::{
    app::{
        App, AppError,
        inbox::{Notification, Which},
    },
    web::{
        compression::as_it_is,
        error::tell,
        extract::{Fields, Form, Member, PageId, Query},
    },
};

/// So many a page.
const PAGE: u32 = 25;
/// No title and no excerpt is longer in the list, in letters.
const EXCERPT: usize = 140;

/// What `kind` may be, with its tab in words.
const TABS: [(&str, &str, Which); 6] = [
    ("all", "All", Which::All),
    ("unread", "Unread", Which::Unread),
    ("messages", "Messages", Which::Letters),
    ("decisions", "Decisions", Which::Decisions),
    ("replies", "Replies and mentions", Which::Replies),
    ("access", "Changes of access", Which::Access),
];

/// Which part of the inbox a page shows.
#[derive(Clone, Copy)]
struct Part {
    tab: usize,
    before: Option<Position>,
}

impl Part {
    const WHOLE: Self = Self { tab: 0, before: None };

    fn read(query: &Fields) -> Result<Self, PageError> {
        let wrong = |detail: String| PageError::request(StatusCode::BAD_REQUEST, detail);
        let kind = query.get("kind").unwrap_or(TABS[0].0);
        let tab = TABS.iter().position(|(word, ..)| *word == kind).ok_or_else(|| {
            let words = TABS.map(|(word, ..)| word).join(", ");
            wrong(format!("The inbox has no such kind. It is one of {words}."))
        })?;
        let before = query.get("after").map(str::parse).transpose().map_err(|_| {
            wrong(
                "“after” is not the end of an earlier page of the inbox. Open the inbox from its beginning.".to_owned(),
            )
        })?;
        Ok(Self { tab, before: before.map(Position) })
    }

    fn which(self) -> Which {
        TABS[self.tab].2
    }

    /// The address of another page of the same tab, without the base.
    fn address(self, before: Option<Position>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if self.tab > 0 {
            query.append_pair("kind", TABS[self.tab].0);
        }
        if let Some(before) = before {
            query.append_pair("after", &before.to_string());
        }
        let query = query.finish();
        if query.is_empty() { "/inbox".to_owned() } else { format!("/inbox?{query}") }
    }
}

/// A notification in a list.
struct Line {
    one: Notification,
    kind: &'static str,
    title: String,
    excerpt: String,
}

impl From<Notification> for Line {
    fn from(one: Notification) -> Self {
        let kind = match one.row.kind.as_str() {
            "message" => "Message",
            "reply" => "Reply",
            "mention" => "Mention",
            "application_decision" => "Decision",
            _ => "Access",
        };
        let excerpt = markdown::excerpt(one.body.as_deref().unwrap_or("[erased]"), EXCERPT);
        let [title, excerpt] = [&one.title, &excerpt].map(|text| beginning(text, EXCERPT).into_owned());
        Self { one, kind, title, excerpt }
    }
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    frame: Frame,
    tab: usize,
    lines: Vec<Line>,
    newer: Option<String>,
    older: Option<String>,
    /// Where the log ends: what comes later was not seen on this page.
    until: Position,
    typed: Fields,
    errors: Vec<FieldError>,
}

async fn inbox_page(
    app: &App,
    member: &Member,
    part: Part,
    status: StatusCode,
    typed: Fields,
    errors: Vec<FieldError>,
) -> Result<Response, PageError> {
    let until = app.head().await?.position;
    let (notifications, next) = app.notifications(member.id(), part.which(), part.before, PAGE).await?;
    let newest = notifications.first().map(|one| one.row.position);
    let newer = match newest.filter(|_| part.before.is_some()) {
        Some(newest) => app.newer_page(member.id(), part.which(), newest, PAGE).await?,
        None => None,
    };
    let page = InboxPage {
        frame: Frame::of(app, &member.visitor).await,
        tab: part.tab,
        lines: notifications.into_iter().map(Line::from).collect(),
        newer: newer.map(|before| part.address(before)),
        older: next.map(|next| part.address(Some(next))),
        until,
        typed,
        errors,
    };
    Ok(render(app, &member.visitor, status, &page))
}

pub(in crate::web) async fn list(
    State(app): State<Arc<App>>,
    member: Member,
    Query(query): Query,
) -> Result<Response, PageError> {
    let part = Part::read(&query)?;
    // A link that answers a message fills `to` and `title` in.
    inbox_page(&app, &member, part, StatusCode::OK, query, vec![]).await.map(as_it_is)
}

/// A member writes to another.
pub(in crate::web) async fn send(
    State(app): State<Arc<App>>,
    member: Member,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /inbox", &form);
    match app.send_message(&caller, member.id(), form.text("to"), form.text("title"), form.text("body")).await {
        Ok(done) => Ok(see_other(&app, "/inbox?sent=1", done.cursor)),
        Err(AppError::Fields(errors)) => {
            inbox_page(&app, &member, Part::WHOLE, StatusCode::UNPROCESSABLE_ENTITY, form, errors).await.map(as_it_is)
        }
        Err(error) => Err(error.into()),
    }
}

/// Everything is read that the page could show.
pub(in crate::web) async fn read_all(
    State(app): State<Arc<App>>,
    member: Member,
    Form(form): Form,
) -> Result<Response, PageError> {
    let Ok(until) = form.text("until").parse() else {
        let detail = "“until” is missing: it says up to where the inbox was seen. Send the form from the inbox.";
        return Err(PageError::request(StatusCode::UNPROCESSABLE_ENTITY, detail));
    };
    let caller = member.visitor.caller("POST /inbox/read", &form);
    let done = app.mark_all_read(&caller, member.id(), Position(until)).await?;
    Ok(see_other(&app, "/inbox", done.cursor))
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    frame: Frame,
    id: Uuid,
    title: String,
    text: TextPart,
    from: String,
    /// The site itself speaks.
    of_site: bool,
    at: Timestamp,
    secret: String,
    held_until: Option<Timestamp>,
    revealed_at: Option<Timestamp>,
    /// The application that it is about, and whether it is the reader's own.
    application: Option<(String, bool)>,
    post: Option<String>,
    /// The form that answers it, when a member wrote it.
    answer: Option<Answer>,
    token: Option<String>,
    problem: Option<String>,
}

/// What an answer begins with.
struct Answer {
    to: String,
    title: String,
}

impl Answer {
    fn to(name: String, title: &str) -> Self {
        let title = if title.starts_with("Re: ") { title.to_owned() } else { format!("Re: {title}") };
        Self { to: name, title }
    }
}

impl MessagePage {
    async fn of(app: &App, member: &Member, notification: Notification, part: usize) -> Self {
        let of_site = notification.is_of_site();
        let Notification { row, title, body, from } = notification;
        let answer = row.from_id.filter(|_| row.kind == "message").and_then(|from| app.state.member(from)?.username);
        let mut application = None;
        if let Some(id) = row.application_id {
            application = Some((id.to_string(), app.my_application(member.id(), id).await.is_ok()));
        }
        Self {
            frame: Frame::of(app, &member.visitor).await,
            answer: answer.map(|name| Answer::to(name, &title)),
            id: row.id,
            title,
            text: TextPart::of(
                body.as_deref().unwrap_or("[erased]"),
                None,
                part,
                format!("{}/inbox/{}", app.config.base_path(), row.id),
                "text".to_owned(),
            ),
            from,
            of_site,
            at: row.created_at,
            secret: row.secret.unwrap_or_default(),
            held_until: row.held_until,
            revealed_at: row.revealed_at,
            application,
            post: row.post_id.map(|post| match row.comment_id {
                Some(comment) => format!("{post}?comment={comment}#{comment}"),
                None => post.to_string(),
            }),
            token: None,
            problem: None,
        }
    }
}

/// A member who opens a message has read it; whoever only looks (a prefetch, a link on another site) has not.
pub(in crate::web) async fn message(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<Uuid>,
    Query(query): Query,
) -> Result<Response, PageError> {
    let part = number(&query, "part")?;
    let notification = app.notification(member.id(), id).await?;
    let is_new = !notification.row.read && !member.visitor.context.only_looks;
    let mut page = MessagePage::of(&app, &member, notification, part).await;
    page.frame.unread = page.frame.unread.saturating_sub(u64::from(is_new));
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
    let mut page = MessagePage::of(&app, &member, app.notification(member.id(), id.0).await?, 1).await;
    page.secret = String::new();
    match app.reveal(&member.visitor.caller("POST /inbox/{id}/reveal", &form), member.id(), id).await {
        Ok(done) => {
            page.token = Some(done.answer);
            let mut response = as_it_is(render(&app, &member.visitor, StatusCode::OK, &page));
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
