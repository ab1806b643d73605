//! HTTP: one visible table of routes, and the layers that every request passes. Handlers extract,
//! call one `app` function and render; nothing here names SQL.

pub mod api;
pub mod context;
pub mod cookies;
pub mod error;
pub mod extract;
pub mod markdown;
pub mod pages;

use std::sync::Arc;

use axum::{
    Router,
    http::Uri,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use tower::Layer;
use tower_http::normalize_path::NormalizePathLayer;

use crate::app::{App, AppError};
use error::ApiError;
use pages::PageError;

/// Every door of the site, under the path of its public URL. Trailing slashes are accepted everywhere.
pub fn router(app: Arc<App>) -> Router {
    let base = app.config.base_path().to_owned();
    let routes = routes().fallback(nowhere);
    let routes = if base.is_empty() {
        routes
    } else {
        // Nested, `/` is the path itself; a slash after it is trimmed like any other.
        Router::new().nest(&base, routes).fallback(nowhere)
    };
    // One layer: each would cost every request a boxed service.
    let routes = routes.layer(from_fn_with_state(app.clone(), context::every_request)).with_state(app);
    Router::new().fallback_service(NormalizePathLayer::trim_trailing_slash().layer(routes))
}

fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(pages::front::show))
        .route("/posts", post(pages::front::publish))
        .route("/posts/{id}", get(pages::front::post))
        .route("/posts/{id}/comments", post(pages::front::comment))
        .route("/posts/{id}/votes", post(pages::front::vote))
        .route("/unread", get(api::notifications::unread))
        .route("/notifications/read", post(api::notifications::mark_read))
        .route("/login", get(pages::accounts::login).post(pages::accounts::log_in))
        .route("/logout", post(pages::accounts::log_out))
        .route("/signup", get(pages::accounts::signup).post(pages::accounts::sign_up))
        .route("/setup", get(pages::accounts::setup).post(pages::accounts::set_up))
        .route("/settings", get(pages::settings::index))
        .route("/settings/apps", get(pages::settings::apps).post(pages::settings::request))
        .route("/settings/apps/{id}", get(pages::settings::application))
        .route("/settings/apps/{id}/edit", post(pages::settings::edit))
        .route("/settings/apps/{id}/withdraw", post(pages::settings::withdraw))
        .route("/settings/tokens/{id}/regenerate", post(pages::settings::regenerate))
        .route("/settings/tokens/{id}/revoke", post(pages::settings::revoke_token))
        .route("/settings/authorizations", get(pages::settings::authorizations))
        .route("/settings/authorizations/remove", post(pages::settings::remove_all))
        .route("/settings/authorizations/{id}/remove", post(pages::settings::remove))
        .route("/inbox", get(pages::inbox::list))
        .route("/inbox/{id}", get(pages::inbox::message))
        .route("/inbox/{id}/reveal", post(pages::inbox::reveal))
        .route("/authorize", get(pages::authorize::ask).post(pages::authorize::answer))
        .route("/api", get(pages::guide))
        .route("/admin", get(pages::admin::index))
        .route("/admin/apps", get(pages::admin::list))
        .route("/admin/apps/{id}", get(pages::admin::application))
        .route("/admin/apps/{id}/{verb}", post(pages::admin::decide))
        .route("/style.css", get(pages::style))
        .route("/healthz", get(pages::healthz))
        .route("/readyz", get(pages::readyz))
        .method_not_allowed_fallback(pages::wrong_method)
        // Merged, not nested: a nested route rewrites the address of every request.
        .merge(api_routes())
}

fn api_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/token", get(api::accounts::token))
        .route("/api/v1/me", get(api::accounts::me))
        .route("/api/v1/posts", post(api::posts::publish))
        .route("/api/v1/posts/{id}", get(api::posts::show))
        .route("/api/v1/posts/{id}/comments", post(api::posts::comment))
        .route("/api/v1/posts/{id}/votes", post(api::posts::vote))
        .route("/api/v1/notifications", get(api::notifications::list))
        .route("/api/v1/notifications/read", post(api::notifications::mark_read))
        .route("/api/v1/messages", get(api::notifications::messages))
        .route("/api/v1/messages/{id}", get(api::notifications::message))
        .route("/api/v1/messages/{id}/reveal", post(api::notifications::reveal))
        .route("/api/v1/applications", get(api::applications::list).post(api::applications::request))
        .route("/api/v1/applications/{id}", get(api::applications::show).patch(api::applications::edit))
        .route("/api/v1/applications/{id}/withdraw", post(api::applications::withdraw))
        .route("/api/v1/applications/{id}/history", get(api::applications::history))
        .route(
            "/api/v1/authorizations",
            get(api::accounts::authorizations).delete(api::accounts::remove_authorizations),
        )
        .route("/api/v1/authorizations/{id}", delete(api::accounts::remove_authorization))
        .route("/api/v1/tokens", get(api::accounts::tokens))
        .route("/api/v1/tokens/{id}", delete(api::accounts::revoke_token))
        .route("/api/v1/tokens/{id}/regenerate", post(api::accounts::regenerate_token))
        .route("/api/v1/projections", get(api::projections::list))
        .route("/api/v1/review", get(api::applications::review))
        .route("/api/v1/review/{id}/{verb}", post(api::applications::decide))
        .method_not_allowed_fallback(api::wrong_method)
}

/// A path that leads nowhere, told as its side of the site tells errors.
async fn nowhere(uri: Uri) -> Response {
    if uri.path().contains("/api/v1/") {
        ApiError::not_found().into_response()
    } else {
        PageError::from(AppError::NotFound).into_response()
    }
}
