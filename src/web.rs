//! HTTP: one visible table of routes, and the layers that every request passes. Handlers extract,
//! call one `app` function and render; nothing here names SQL.

pub mod api;
pub mod charts;
mod client_address;
pub mod codes;
pub mod compression;
pub mod context;
pub mod cookies;
pub mod describe;
pub mod document;
pub mod doors;
pub mod error;
pub mod extract;
pub mod listen;
pub mod metrics;
pub mod pages;
pub mod review_query;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    http::{Method, Uri},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
};
use countersign_events::{
    account::Role::{Auditor, Operator, Reviewer},
    scope::Scope::{Audit, Identity, Messages, Notifications, Read, Review, Vote, Write},
};
use tower::Layer;
use tower_http::normalize_path::NormalizePathLayer;

use crate::app::{App, AppError};
use document::Document;
use doors::{
    Door,
    Who::{AnyToken, Anyone, AnyoneOrToken, Holder, OwnerOrStaff, Session, SessionOf, SessionOfStaff, Watcher, With},
    api, open, page,
};
use error::ApiError;
use pages::PageError;

/// Every door of the site, under the path of its public URL. Trailing slashes are accepted everywhere.
pub fn router(app: Arc<App>) -> Router {
    let base = app.config.base_path().to_owned();
    let document = Document::default();
    document.describe(app.clone());
    let doors = doors(&document);
    let (watched, doors): (Vec<_>, Vec<_>) = doors.iter().partition(|door| door.who == Watcher);
    let routes = routes(&doors).fallback(nowhere);
    let routes = under(&base, routes).fallback(nowhere);
    // One layer: each would cost every request a boxed service.
    let routes = routes.layer(from_fn_with_state(app.clone(), context::every_request));
    // Outside of that layer: whoever watches the site has no token of it and is under none of its limits.
    let routes = routes.merge(under(&base, open(Router::new(), watched))).with_state(app);
    Router::new().fallback_service(NormalizePathLayer::trim_trailing_slash().layer(routes))
}

/// Nested, `/` is the path itself; a slash after it is trimmed like any other.
fn under(base: &str, routes: Router<Arc<App>>) -> Router<Arc<App>> {
    if base.is_empty() { routes } else { Router::new().nest(base, routes) }
}

/// The table of doors. A door that is not here does not exist; who may call each of the API is checked by it.
#[must_use]
#[rustfmt::skip]
pub fn doors(document: &Document) -> Vec<Door> {
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PATCH: Method = Method::PATCH;
    const DELETE: Method = Method::DELETE;
    const FRONT_PAGE: &[&str] = &["front_page"];
    const INBOX: &[&str] = &["inbox"];
    const AUDIT: &[&str] = &["history", "statistics"];
    vec![
        page(GET,   "/",                                    AnyoneOrToken(Read),      pages::front::show).described(api::posts::front_page_sketch()).on(FRONT_PAGE),
        page(POST,  "/posts",                               Session,                  pages::front::publish),
        page(GET,   "/posts/new",                           Session,                  pages::front::write),
        page(GET,   "/posts/{id}",                          Anyone,                   pages::discussion::post).on(FRONT_PAGE),
        page(POST,  "/posts/{id}/comments",                 Session,                  pages::discussion::comment).on(FRONT_PAGE),
        page(POST,  "/posts/{id}/votes",                    Session,                  pages::discussion::vote),
        page(GET,   "/login",                               Anyone,                   pages::accounts::login),
        page(POST,  "/login",                               Anyone,                   pages::accounts::log_in),
        page(POST,  "/logout",                              Anyone,                   pages::accounts::log_out),
        page(GET,   "/signup",                              Anyone,                   pages::accounts::signup),
        page(POST,  "/signup",                              Anyone,                   pages::accounts::sign_up),
        page(GET,   "/setup",                               Anyone,                   pages::accounts::setup),
        page(POST,  "/setup",                               Anyone,                   pages::accounts::set_up),
        page(GET,   "/settings",                            Session,                  pages::settings::index),
        page(GET,   "/settings/apps",                       Session,                  pages::settings::apps),
        page(POST,  "/settings/apps",                       Session,                  pages::settings::request),
        page(GET,   "/settings/apps/{id}",                  Session,                  pages::requests::application),
        page(POST,  "/settings/apps/{id}/edit",             Session,                  pages::requests::edit),
        page(POST,  "/settings/apps/{id}/resubmit",         Session,                  pages::requests::resubmit),
        page(POST,  "/settings/apps/{id}/appeal",           Session,                  pages::requests::appeal),
        page(POST,  "/settings/apps/{id}/withdraw",         Session,                  pages::requests::withdraw),
        page(POST,  "/settings/apps/{id}/withdraw-change",  Session,                  pages::requests::withdraw_change),
        page(POST,  "/settings/apps/{id}/rotate-client-id", Session,                  pages::requests::rotate_client_id),
        page(POST,  "/settings/tokens/{id}/regenerate",     Session,                  pages::settings::regenerate),
        page(POST,  "/settings/tokens/{id}/revoke",         Session,                  pages::settings::revoke_token),
        page(GET,   "/settings/authorizations",             Session,                  pages::access::list),
        page(POST,  "/settings/authorizations/remove",      Session,                  pages::access::remove_all),
        page(POST,  "/settings/authorizations/{id}/remove", Session,                  pages::access::remove),
        page(GET,   "/inbox",                               Session,                  pages::inbox::list),
        page(POST,  "/inbox",                               Session,                  pages::inbox::send),
        page(POST,  "/inbox/read",                          Session,                  pages::inbox::read_all),
        page(GET,   "/inbox/{id}",                          Session,                  pages::inbox::message),
        page(POST,  "/inbox/{id}/reveal",                   Session,                  pages::inbox::reveal),
        page(GET,   "/authorize",                           Anyone,                   pages::authorize::ask),
        page(POST,  "/authorize",                           Session,                  pages::authorize::answer),
        page(GET,   "/api",                                 Anyone,                   pages::guide::show),
        page(GET,   "/admin",                               SessionOfStaff,           pages::staff::show).on(AUDIT),
        page(GET,   "/admin/apps",                          SessionOf(Reviewer),      pages::admin::list),
        page(GET,   "/admin/apps/{id}",                     SessionOf(Reviewer),      pages::admin::application),
        page(POST,  "/admin/apps/claim-next",               SessionOf(Reviewer),      pages::admin::claim_next),
        page(POST,  "/admin/apps/{id}/{verb}",              SessionOf(Reviewer),      pages::admin::decide),
        page(GET,   "/admin/audit",                         SessionOf(Auditor),       pages::audit::list).on(AUDIT),
        page(POST,  "/admin/audit.csv",                     SessionOf(Auditor),       pages::audit::csv),
        page(POST,  "/admin/audit.json",                    SessionOf(Auditor),       pages::audit::json),
        page(GET,   "/admin/audit/{id}",                    SessionOf(Auditor),       pages::audit::event).on(AUDIT),
        page(GET,   "/admin/operations",                    SessionOf(Operator),      pages::operations::show).on(AUDIT),
        page(GET,   "/style.css",                           Anyone,                   pages::style),
        page(GET,   "/site.js",                             Anyone,                   pages::script),
        page(GET,   "/counts",                              Session,                  pages::counts),
        page(GET,   "/metrics",                             Watcher,                  metrics::show),
        api(GET,    "/healthz",                             Anyone,                   pages::healthz),
        api(GET,    "/readyz",                              Anyone,                   pages::readyz),
        api(GET,    "/openapi.json",                        Anyone,                   document.as_json()),
        page(GET,   "/docs",                                Anyone,                   pages::docs::index(document)),
        page(GET,   "/docs/{group}",                        Anyone,                   pages::docs::group(document)),
        api(GET,    "/unread",                              With(Notifications),      api::notifications::unread).on(INBOX),
        api(POST,   "/notifications/read",                  With(Notifications),      api::notifications::mark_read).on(INBOX),
        api(GET,    "/api/v1/token",                        AnyToken,                 api::accounts::token),
        api(GET,    "/api/v1/me",                           With(Identity),           api::accounts::me),
        api(POST,   "/api/v1/posts",                        With(Write),              api::posts::publish).on(FRONT_PAGE),
        api(GET,    "/api/v1/posts/{id}",                   With(Read),               api::posts::show).on(FRONT_PAGE),
        api(POST,   "/api/v1/posts/{id}/comments",          With(Write),              api::posts::comment).on(FRONT_PAGE),
        api(POST,   "/api/v1/posts/{id}/votes",             With(Vote),               api::posts::vote),
        api(GET,    "/api/v1/notifications",                With(Notifications),      api::notifications::list).on(INBOX),
        api(POST,   "/api/v1/notifications/read",           With(Notifications),      api::notifications::mark_read).on(INBOX),
        api(GET,    "/api/v1/messages",                     With(Messages),           api::notifications::messages).on(INBOX),
        api(POST,   "/api/v1/messages",                     With(Messages),           api::messages::send).on(INBOX),
        api(GET,    "/api/v1/messages/{id}",                With(Messages),           api::notifications::message).on(INBOX),
        api(POST,   "/api/v1/messages/{id}/reveal",         Session,                  api::notifications::reveal),
        api(GET,    "/api/v1/applications",                 With(Identity),           api::applications::list),
        api(POST,   "/api/v1/applications",                 Session,                  api::applications::request),
        api(GET,    "/api/v1/applications/{id}",            With(Identity),           api::applications::show),
        api(PATCH,  "/api/v1/applications/{id}",            Session,                  api::applications::edit),
        api(POST,   "/api/v1/applications/{id}/withdraw",   Session,                  api::applications::withdraw),
        api(POST,   "/api/v1/applications/{id}/resubmit",   Session,                  api::applications::resubmit),
        api(POST,   "/api/v1/applications/{id}/appeal",     Session,                  api::applications::appeal),
        api(POST,   "/api/v1/applications/{id}/withdraw-change", Session,             api::applications::withdraw_change),
        api(POST,   "/api/v1/applications/{id}/rotate-client-id", Session,            api::applications::rotate_client_id),
        api(GET,    "/api/v1/applications/{id}/history",    OwnerOrStaff,             api::applications::history),
        api(GET,    "/api/v1/authorizations",               Session,                  api::accounts::authorizations),
        api(DELETE, "/api/v1/authorizations",               Session,                  api::accounts::remove_authorizations),
        api(DELETE, "/api/v1/authorizations/{id}",          Session,                  api::accounts::remove_authorization),
        api(GET,    "/api/v1/tokens",                       Session,                  api::accounts::tokens),
        api(DELETE, "/api/v1/tokens/{id}",                  Session,                  api::accounts::revoke_token),
        api(POST,   "/api/v1/tokens/{id}/regenerate",       Session,                  api::accounts::regenerate_token),
        api(GET,    "/api/v1/review",                       Holder(Reviewer, Review), api::applications::review),
        api(POST,   "/api/v1/review/{id}/{verb}",           Holder(Reviewer, Review), api::applications::decide),
        api(GET,    "/api/v1/events",                       Holder(Auditor, Audit),   api::events::list).on(AUDIT),
        api(GET,    "/api/v1/projections",                  SessionOf(Operator),      api::projections::list),
    ]
}

/// What the layer of every request asks the table.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Whether a token may stand for somebody.
    pub takes_tokens: bool,
    /// Whether it is a page.
    pub is_page: bool,
    /// The trailing read models that it reads, or that show what it changes.
    pub models: &'static [&'static str],
}

/// What the table says of the door behind a route's template, below no path.
#[must_use]
pub fn facts(method: &Method, template: &str) -> Option<Facts> {
    static FACTS: LazyLock<HashMap<(Method, &str), Facts>> = LazyLock::new(|| {
        let of = |door: &Door| {
            let facts = Facts { takes_tokens: door.takes_tokens(), is_page: !door.api, models: door.models };
            ((door.method.clone(), door.path), facts)
        };
        doors(&Document::default()).iter().map(of).collect()
    });
    // A HEAD comes through the door of its GET.
    let method = if *method == Method::HEAD { Method::GET } else { method.clone() };
    FACTS.get(&(method, template)).copied()
}

fn routes(doors: &[&Door]) -> Router<Arc<App>> {
    let (programs, people): (Vec<_>, Vec<_>) = doors.iter().partition(|door| door.path.starts_with("/api/v1/"));
    // Merged, not nested: a nested route rewrites the address of every request.
    open(Router::new(), people)
        .method_not_allowed_fallback(pages::wrong_method)
        .merge(open(Router::new(), programs).method_not_allowed_fallback(api::wrong_method))
}

/// A path that leads nowhere, told as its side of the site tells errors.
async fn nowhere(uri: Uri) -> Response {
    if uri.path().contains("/api/v1/") {
        ApiError::not_found().into_response()
    } else {
        PageError::from(AppError::NotFound).into_response()
    }
}
