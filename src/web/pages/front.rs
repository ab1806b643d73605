//! The front page, for people and, with a token or on request, as JSON; and the page on which a post is written. Posts
//! with what is said about them are in `discussion`.

use std::{collections::HashMap, sync::Arc};

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use countersign_events::{ids::PostId, post::Direction, recorded::Timestamp, scope::Scope, text::FieldError};
use url::{Url, form_urlencoded};

use super::{Frame, PageError, portions::shortened, render, see_other};
use crate::{
    app::{
        App, AppError,
        posts::{FrontPageQuery, PostView},
        ranking::{Sort, Span},
    },
    bounds::most_of_each,
    web::{
        api::{
            LIMIT,
            posts::{front_page, front_page_query},
        },
        error::ApiError,
        extract::{Fields, Form, Member, Query, Visitor},
    },
};

/// A link of the list leads to its address up to this length; a longer one is followed from its post.
const SHORT_LINK: usize = 300;
/// So much of a host is shown in the list: its end, which says whose it is.
const HOST: usize = 60;
/// The titles, links and names of applications of a list have so many bytes together.
const ROOM: usize = 28 * 1024;

/// A post as pages show it, but for its text.
pub(super) struct Shown {
    pub id: PostId,
    pub title: Option<String>,
    pub url: Option<String>,
    /// Where the link leads.
    pub host: Option<String>,
    pub author: String,
    pub application: Option<String>,
    pub at: Timestamp,
    pub comments: i64,
    pub score: i64,
    /// How its reader votes.
    pub mine: Direction,
}

impl Shown {
    pub fn of(PostView { row, author, application }: &PostView, mine: Direction) -> Self {
        let host = row.url.as_deref().and_then(|url| Url::parse(url).ok()?.host_str().map(ToOwned::to_owned));
        Self {
            id: row.counts.post_id,
            title: row.title.clone(),
            host,
            url: row.url.clone(),
            author: author.clone(),
            application: application.clone(),
            at: row.counts.created_at,
            comments: row.counts.comment_count,
            score: row.counts.upvotes - row.counts.downvotes,
            mine,
        }
    }

    /// The link, if it is short enough for a list.
    fn short_link(&self) -> Option<&str> {
        self.url.as_deref().filter(|url| url.len() <= SHORT_LINK)
    }

    /// What is long about it in a list, in bytes.
    fn length(&self) -> usize {
        [self.title.as_deref(), self.short_link(), self.application.as_deref()]
            .into_iter()
            .flatten()
            .map(str::len)
            .sum()
    }

    /// With as much of it as a list has room for; its own page has the rest.
    fn in_list(mut self, room: usize) -> Self {
        let room = room.saturating_sub(self.application.as_deref().map_or(0, str::len));
        let title = self.title.take().map(|title| shortened(&title, room).into_owned());
        let room = room.saturating_sub(title.as_deref().map_or(0, str::len));
        let url = self.short_link().filter(|url| url.len() <= room).map(ToOwned::to_owned);
        let host = self.host.map(|host| match host.len().checked_sub(HOST) {
            None | Some(0) => host,
            Some(start) => format!("…{}", &host[host.ceil_char_boundary(start)..]),
        });
        Self { title, url, host, ..self }
    }
}

/// Posts as a list shows them. When there is too much of them, what is longest is cut.
fn in_list(posts: Vec<Shown>) -> Vec<Shown> {
    let room = most_of_each(posts.iter().map(Shown::length).collect(), ROOM);
    posts.into_iter().map(|post| post.in_list(room)).collect()
}

/// Posts as their reader sees them.
pub(super) async fn as_seen_by(app: &App, visitor: &Visitor, posts: &[PostView]) -> Result<Vec<Shown>, AppError> {
    let ids: Vec<_> = posts.iter().map(|post| post.row.counts.post_id).collect();
    let votes = match &visitor.signed_in {
        Some(signed_in) => app.votes_of(signed_in.user_id, &ids).await?,
        None => HashMap::new(),
    };
    let mine = |id| votes.get(&id).copied().unwrap_or_default();
    Ok(posts.iter().map(|post| Shown::of(post, mine(post.row.counts.post_id))).collect())
}

const fn sort_name(sort: Sort) -> &'static str {
    match sort {
        Sort::Hot => "Hot",
        Sort::New => "New",
        Sort::Old => "Old",
        Sort::Top => "Top",
        Sort::Bottom => "Bottom",
        Sort::Controversial => "Controversial",
        Sort::Comments => "Most comments",
    }
}

const fn span_name(span: Span) -> &'static str {
    match span {
        Span::Hour => "Past hour",
        Span::Day => "Past day",
        Span::Week => "Past week",
        Span::Month => "Past month",
        Span::Year => "Past year",
        Span::All => "All time",
    }
}

/// Orders by age say by themselves how old their posts are.
const fn has_spans(sort: Sort) -> bool {
    matches!(sort, Sort::Top | Sort::Bottom | Sort::Controversial | Sort::Comments)
}

/// One of several parts of the front page.
struct Choice {
    name: &'static str,
    address: String,
    current: bool,
}

#[derive(Template)]
#[template(path = "front.html")]
struct FrontPage {
    frame: Frame,
    /// Where this page is, to come back to.
    here: String,
    wanted: FrontPageQuery,
    next_exists: bool,
    posts: Vec<Shown>,
}

impl FrontPage {
    /// The address of a part of the front page; what goes without saying is left out.
    fn address(&self, sort: Sort, span: Span, place: Option<(&str, String)>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("sort", sort.as_str());
        if span != Span::All {
            query.append_pair("t", span.as_str());
        }
        if self.wanted.limit != LIMIT {
            query.append_pair("limit", &self.wanted.limit.to_string());
        }
        query.extend_pairs(place);
        format!("{}/?{}", self.frame.base, query.finish())
    }

    fn sorts(&self) -> impl Iterator<Item = Choice> {
        Sort::ALL.iter().map(|sort| Choice {
            name: sort_name(*sort),
            address: self.address(*sort, if has_spans(*sort) { self.wanted.span } else { Span::All }, None),
            current: *sort == self.wanted.sort,
        })
    }

    /// Those that would change anything.
    fn spans(&self) -> Vec<Choice> {
        let span = |span: &Span| Choice {
            name: span_name(*span),
            address: self.address(self.wanted.sort, *span, None),
            current: *span == self.wanted.span,
        };
        let offered = has_spans(self.wanted.sort) || self.wanted.span != Span::All;
        if offered { Span::ALL.iter().map(span).collect() } else { vec![] }
    }

    fn of_all_time(&self) -> String {
        self.address(self.wanted.sort, Span::All, None)
    }

    fn span(&self) -> String {
        span_name(self.wanted.span).to_lowercase()
    }

    /// Orders that new posts do not shift are followed by cursor.
    fn by_cursor(&self) -> bool {
        matches!(self.wanted.sort, Sort::New | Sort::Old)
    }

    fn is_first(&self) -> bool {
        self.wanted.page == 1 && self.wanted.after.is_none()
    }

    fn first(&self) -> String {
        self.address(self.wanted.sort, self.wanted.span, None)
    }

    fn previous(&self) -> Option<String> {
        let page = self.wanted.page.checked_sub(1).filter(|page| *page > 1 && self.wanted.after.is_none())?;
        Some(self.address(self.wanted.sort, self.wanted.span, Some(("page", page.to_string()))))
    }

    fn next(&self) -> Option<String> {
        let last = self.posts.last().filter(|_| self.next_exists)?;
        let place = if self.by_cursor() {
            ("after", last.id.to_string())
        } else {
            ("page", self.wanted.page.saturating_add(1).to_string())
        };
        Some(self.address(self.wanted.sort, self.wanted.span, Some(place)))
    }
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
    show_page(&app, &visitor, &query).await.map_err(IntoResponse::into_response)
}

async fn show_page(app: &App, visitor: &Visitor, query: &Fields) -> Result<Response, PageError> {
    let wanted = front_page_query(query).map_err(|error| match error {
        ApiError::Request { status, detail, .. } => PageError::request(status, detail),
        _ => PageError::request(StatusCode::BAD_REQUEST, "There is no such part of the front page."),
    })?;
    let (posts, next_exists) = app.front_page(wanted).await?;
    let posts = in_list(as_seen_by(app, visitor, &posts).await?);
    let here = visitor.context.path_and_query().to_owned();
    let page = FrontPage { frame: Frame::of(app, visitor).await, here, wanted, next_exists, posts };
    Ok(render(app, visitor, StatusCode::OK, &page))
}

#[derive(Template)]
#[template(path = "write.html")]
struct WritePage {
    frame: Frame,
    typed: Fields,
    errors: Vec<FieldError>,
}

pub(in crate::web) async fn write(State(app): State<Arc<App>>, member: Member) -> Response {
    let page = WritePage { frame: Frame::of(&app, &member.visitor).await, typed: Fields::default(), errors: vec![] };
    render(&app, &member.visitor, StatusCode::OK, &page)
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
            let page = WritePage { frame: Frame::of(&app, &member.visitor).await, typed: form, errors };
            Ok(render(&app, &member.visitor, StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
        Err(error) => Err(error.into()),
    }
}
