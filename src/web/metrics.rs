//! `/metrics`: what Prometheus reads, for whoever watches the site. It is under none of the site's limits, knows none of
//! its tokens, and is shown to the machine itself, or to who has the token of the setting `metrics_token`.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use subtle::ConstantTimeEq as _;

use crate::{app::App, config::HiddenText, metrics};

/// What a proxy adds to a request that it hands on. Such a request may come from anywhere, though its peer is this machine.
const HANDED_ON: [&str; 4] = ["x-forwarded-for", "forwarded", "x-real-ip", "via"];

/// The metrics of this process.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let peer = peer.map(|axum::Extension(ConnectInfo(address))| address);
    allowed(peer, &headers, app.config.metrics_token.as_ref())?;
    let families = app.families().await.map_err(|error| Refused::Failed(error.to_string()))?;
    let (kind, text) = metrics::text(families).map_err(|error| Refused::Failed(error.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((headers, text).into_response())
}

/// Why there is nothing to see.
#[derive(Debug)]
pub(super) enum Refused {
    /// It wants a token, or the right one.
    Token,
    /// No token would do.
    Closed,
    /// They could not be gathered.
    Failed(String),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Token => {
                let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"metrics\"")];
                (StatusCode::UNAUTHORIZED, challenge, "send the metrics token: Authorization: Bearer ...\n")
                    .into_response()
            }
            Self::Closed => {
                let why = "metrics are shown to this machine alone; the setting metrics_token opens them to others\n";
                (StatusCode::FORBIDDEN, why).into_response()
            }
            Self::Failed(error) => {
                tracing::warn!(%error, "metrics could not be gathered");
                (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "metrics could not be gathered\n")
                    .into_response()
            }
        }
    }
}

/// The peer's own address decides, and no header can make another one of it.
fn allowed(peer: Option<SocketAddr>, headers: &HeaderMap, token: Option<&HiddenText>) -> Result<(), Refused> {
    let is_local = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    if is_local && !HANDED_ON.iter().any(|name| headers.contains_key(*name)) {
        return Ok(());
    }
    let Some(token) = token else { return Err(Refused::Closed) };
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let sent = sent.map_or("", |(_, sent)| sent.trim());
    // Digests: comparing them tells neither how much of it was right nor how long it is.
    let (sent, token) = (blake3::hash(sent.as_bytes()), blake3::hash(token.expose().as_bytes()));
    if bool::from(sent.as_bytes().ct_eq(token.as_bytes())) { Ok(()) } else { Err(Refused::Token) }
}
