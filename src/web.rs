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
    middleware::from_fn_with_state,
    routing::{delete, get, post},
};
use tower::Layer;
use tower_http::normalize_path::NormalizePathLayer;

use crate::app::App;

/// Every door of the site, under the path of its public URL. Trailing slashes are accepted everywhere.
pub fn router(app: Arc<App>) -> Router {
    let base = app.config.base_path().to_owned();
    let routes = routes().fallback(pages::nowhere);
    let routes = if base.is_empty() {
        routes
    } else {
        // Nested, `/` is the path itself; a slash after it is trimmed like any other.
        Router::new().nest(&base, routes).fallback(pages::nowhere)
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
        .nest("/api/v1", api_routes())
        .method_not_allowed_fallback(pages::wrong_method)
}

fn api_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/token", get(api::accounts::token))
        .route("/me", get(api::accounts::me))
        .route("/posts", post(api::posts::publish))
        .route("/posts/{id}", get(api::posts::show))
        .route("/posts/{id}/comments", post(api::posts::comment))
        .route("/posts/{id}/votes", post(api::posts::vote))
        .route("/notifications", get(api::notifications::list))
        .route("/notifications/read", post(api::notifications::mark_read))
        .route("/messages", get(api::notifications::messages))
        .route("/messages/{id}", get(api::notifications::message))
        .route("/messages/{id}/reveal", post(api::notifications::reveal))
        .route("/applications", get(api::applications::list).post(api::applications::request))
        .route("/applications/{id}", get(api::applications::show).patch(api::applications::edit))
        .route("/applications/{id}/withdraw", post(api::applications::withdraw))
        .route("/applications/{id}/history", get(api::applications::history))
        .route("/authorizations", get(api::accounts::authorizations).delete(api::accounts::remove_authorizations))
        .route("/authorizations/{id}", delete(api::accounts::remove_authorization))
        .route("/tokens", get(api::accounts::tokens))
        .route("/tokens/{id}", delete(api::accounts::revoke_token))
        .route("/tokens/{id}/regenerate", post(api::accounts::regenerate_token))
        .route("/review", get(api::applications::review))
        .route("/review/{id}/{verb}", post(api::applications::decide))
        .method_not_allowed_fallback(api::wrong_method)
        .fallback(api::nowhere)
}
