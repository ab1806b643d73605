//! Which answers travel compressed: pages, style sheet and script, but none that shows a secret.
//!
//! How well a page compresses tells whether what a stranger had it repeat stands in it a second time (BREACH). So a
//! page that shows a secret is sent as it is, and so is the inbox, where what a stranger writes to somebody stands beside
//! what others wrote. The one secret that every page has, the token of its forms, is another text each time
//! ([`crate::app::App::csrf_token`]).

use axum::{
    http::{Extensions, HeaderMap, StatusCode, Version},
    response::Response,
};
use tower_http::compression::{
    CompressionLayer,
    predicate::{And, DefaultPredicate, Predicate as _},
};

type Judge = fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool;

/// Marks an answer that nobody compresses.
#[derive(Debug, Clone, Copy)]
struct AsItIs;

/// Has an answer sent as it is.
#[must_use]
pub fn as_it_is(mut response: Response) -> Response {
    response.extensions_mut().insert(AsItIs);
    response
}

/// Compresses what a door answers, for those who take it compressed.
#[must_use]
pub fn layer() -> CompressionLayer<And<DefaultPredicate, Judge>> {
    let judge: Judge = |_, _, _, extensions| extensions.get::<AsItIs>().is_none();
    CompressionLayer::new().compress_when(DefaultPredicate::new().and(judge))
}
