//! `/metrics`: what Prometheus reads, for whoever watches the site. It is under none of the site's limits, knows none of
//! its tokens, and is shown to the machine itself, or to who has the token of the setting `metrics_token`.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority},
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
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let peer = peer.map(|axum::Extension(ConnectInfo(address))| address);
    let names = OwnNames { host: app.config.public_url.host_str(), asked: uri.host() };
    allowed(peer, &headers, names, app.config.metrics_token.as_ref())?;
    let (kind, text) = metrics::text(app.families().await).map_err(|error| Refused::Failed(error.to_string()))?;
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
    /// Nor would any under this name.
    OtherName,
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
            Self::OtherName => {
                let why = "metrics are shown to this machine alone, under its own name: ask for them at 127.0.0.1, \
                           localhost or the host of public_url\n";
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

/// The host of the public URL, and the one that the request's own line names, if it does.
#[derive(Clone, Copy)]
struct OwnNames<'a> {
    host: Option<&'a str>,
    asked: Option<&'a str>,
}

impl OwnNames<'_> {
    /// Whether a request asks for this machine or this site. A page of another site can make a browser on this machine ask
    /// here, under that site's name: it has its name lead here for the moment.
    fn fit(self, headers: &HeaderMap) -> bool {
        let is_own = |name: &str| {
            let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
            let is_loopback = bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
            is_loopback
                || name.eq_ignore_ascii_case("localhost")
                || self.host.is_some_and(|host| host.eq_ignore_ascii_case(name))
        };
        let is_own_host = |value: &HeaderValue| {
            value.to_str().ok().and_then(|host| host.parse::<Authority>().ok()).is_some_and(|host| is_own(host.host()))
        };
        self.asked.is_none_or(is_own) && headers.get_all(header::HOST).iter().all(is_own_host)
    }
}

/// The peer's own address decides, and no header can make another one of it.
fn allowed(
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
    names: OwnNames<'_>,
    token: Option<&HiddenText>,
) -> Result<(), Refused> {
    let is_local = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let is_own_request = is_local && !HANDED_ON.iter().any(|name| headers.contains_key(*name));
    if is_own_request && names.fit(headers) {
        return Ok(());
    }
    let Some(token) = token else {
        return Err(if is_own_request { Refused::OtherName } else { Refused::Closed });
    };
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let sent = sent.map_or("", |(_, sent)| sent.trim());
    // Digests: comparing them tells neither how much of it was right nor how long it is.
    let (sent, token) = (blake3::hash(sent.as_bytes()), blake3::hash(token.expose().as_bytes()));
    if bool::from(sent.as_bytes().ct_eq(token.as_bytes())) { Ok(()) } else { Err(Refused::Token) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(host: Option<&str>) -> Result<(), Refused> {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        }
        let names = OwnNames { host: Some("board.example"), asked: None };
        allowed(Some(SocketAddr::from(([127, 0, 0, 1], 4000))), &headers, names, None)
    }

    #[test]
    fn a_request_of_this_machine_asks_for_this_machine_or_this_site() {
        let own = "localhost LOCALHOST:8080 127.0.0.1 127.0.0.1:8080 127.9.9.9 [::1] [::1]:80 [::ffff:127.0.0.1]:1 \
                   board.example BOARD.example board.example:443";
        assert!(asked(None).is_ok(), "no browser leaves it out");
        for host in own.split_whitespace() {
            assert!(asked(Some(host)).is_ok(), "{host}");
        }
        let others = "evil.example evil.example:8080 board.example.evil.example evil-board.example xboard.example \
                      localhost.evil.example localhost. 127.0.0.1.nip.io 127.0.0.1.evil.example 127-0-0-1.evil.example \
                      127.1 2130706433 0x7f.1 0.0.0.0 [::] 10.0.0.1 192.168.1.1 [2001:db8::1] a@evil.example \
                      localhost@evil.example evil.example/localhost evil.example#localhost evil.example?localhost \
                      board.example. .board.example board.example, sub.board.example [::1 ::1 localhost:80:80 é \
                      lvh.me 1.0.0.127.in-addr.arpa localhost%00.evil.example";
        let mut count = 0;
        for host in others.split_whitespace().chain(["", " "]) {
            assert!(matches!(asked(Some(host)), Err(Refused::OtherName)), "{host}");
            count += 1;
        }
        assert!(count >= 30, "{count}");
        let mut twice = HeaderMap::new();
        twice.append(header::HOST, HeaderValue::from_static("localhost"));
        twice.append(header::HOST, HeaderValue::from_static("evil.example"));
        let names = OwnNames { host: None, asked: None };
        assert!(!names.fit(&twice));
        assert!(!OwnNames { host: None, asked: Some("evil.example") }.fit(&HeaderMap::new()));
    }
}
