//! What every request passes: an id, the client's address, the token, protection against requests
//! forged by other sites, the wait for what its sender has changed, and headers that make browsers
//! careful. Log lines hold routes and ids; never a secret, an address or a message.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};

use countersign_events::token::MalformedToken;
use tracing::{Instrument as _, Span, field};
use url::Url;
use uuid::Uuid;

use super::{
    Facts, client_address, cookies,
    error::ApiError,
    extract,
    pages::errors::{self, Reader},
};
use crate::{
    app::{App, AppError, READ_YOUR_WRITES, tokens::BearerError},
    config::is_loopback,
    rate_limit::Allowance,
    store::Cursor,
    telemetry::{self, SPANS},
    token_state::Bearer,
    world::Stopwatch,
};

/// The header in which answers to commands say where the log stood, and reads bring it back.
pub const POSITION: HeaderName = HeaderName::from_static("countersign-position");
const RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATELIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Pages load nothing but our own style sheet and script, and are shown in no frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                                       img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; \
                                       form-action 'self'";
/// The same where a form's redirect leaves the site: browsers apply `form-action` to the whole chain.
pub const POLICY_WITHOUT_FORM_ACTION: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; frame-ancestors 'none'";

/// An answer waits no longer for the read models that show what was done.
const SHOWN: Duration = Duration::from_millis(500);
/// No request takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is known of a request before its handler runs.
#[derive(Debug, Default)]
pub struct RequestContext {
    /// Its id.
    pub request_id: Uuid,
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// Who stands behind its token, when it has one; a token wins over a cookie.
    pub bearer: Option<Bearer>,
    /// It only looks: a HEAD, a prefetch, or a link on another site. Nothing is appended for it.
    pub only_looks: bool,
    /// The page may be older than what its reader has just changed.
    pub stale: bool,
    /// Its address.
    pub uri: Uri,
}

impl RequestContext {
    /// The path and query, for coming back after a log-in.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("", PathAndQuery::as_str)
    }
}

/// The layer around every route.
pub async fn every_request(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    let request_id = app.request_ids.next();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let method = request.method().clone();
    let span = span(&method, route, request_id, request.headers());
    let reader = Reader::of(&request);
    let template = route.strip_prefix(app.config.base_path()).unwrap_or(route);
    let template = if template.is_empty() { "/" } else { template };
    let facts = super::facts(&method, template);
    let mut response = match prepare(&app, &mut request, request_id, facts).instrument(span.clone()).await {
        Ok(_) if let Some(there) = at_its_own_address(&app, &request, facts) => there,
        Ok(prepared) => match tokio::time::timeout(PATIENCE, next.run(request).instrument(span.clone())).await {
            Ok(mut response) => {
                prepared.finish(&app, response.headers_mut());
                if let Some((changed, models)) = shown_by(facts, &response)
                    && !app.is_stopping()
                {
                    app.wait_for_models(changed, models, SHOWN).instrument(span.clone()).await;
                }
                response
            }
            Err(_) => errors::for_people(ApiError::too_slow().into_response(), reader.as_ref()),
        },
        Err(error) => errors::for_people(error.into_response(), reader.as_ref()),
    };
    if errors::is_error(&response) {
        // Boxed, so that requests that succeed do not carry the room for it.
        response = Box::pin(errors::dress(&app, response, reader, request_id)).await;
    }
    finish(&app, response.headers_mut(), request_id, is_sensitive(route));
    let status = response.status().as_u16();
    if status == 503 {
        response.headers_mut().entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
    }
    let took = watch.elapsed();
    app.metrics.answered(method.as_str(), template, status, took);
    // Signed, or it becomes a text on the way.
    span.record("http.response.status_code", i64::from(status));
    let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    // A line a request would cost more than the request: `--log info,countersign::web=debug` brings them.
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
        tracing::warn!(%method, route, status, duration_us, %request_id, "a request failed");
    } else {
        tracing::debug!(%method, route, status, duration_us, %request_id, "request");
    }
    response
}

/// The span of a request: its route, never its address, which may hold anything.
fn span(method: &Method, route: &str, request_id: Uuid, headers: &HeaderMap) -> Span {
    let span = tracing::trace_span!(
        target: SPANS,
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = %method,
        http.route = route,
        http.response.status_code = field::Empty,
        %request_id,
    );
    telemetry::continue_trace(&span, headers);
    span
}

/// Pages and answers that may hold secrets are kept by no cache; style sheet and script may be.
fn is_sensitive(route: &str) -> bool {
    !(route.ends_with("/style.css") || route.ends_with("/site.js"))
}

struct Prepared {
    allowance: Option<Allowance>,
    clear_position: bool,
}

impl Prepared {
    fn finish(self, app: &App, headers: &mut HeaderMap) {
        if let Some(Allowance { limit, remaining, reset_seconds }) = self.allowance {
            headers.insert(RATELIMIT_LIMIT, limit.into());
            headers.insert(RATELIMIT_REMAINING, remaining.into());
            headers.insert(RATELIMIT_RESET, reset_seconds.into());
        }
        if self.clear_position {
            headers.append(header::SET_COOKIE, cookies::clear_position(app));
        }
    }
}

/// On a site for this machine alone, a page that was asked for by another spelling of the address is looked at by the
/// site's own: cookies and forms hold there. Anywhere else a proxy may have its reasons to say another host.
fn at_its_own_address(app: &App, request: &Request, facts: Option<Facts>) -> Option<Response> {
    if !facts?.is_page || *request.method() != Method::GET || !is_loopback(&app.config.public_url) {
        return None;
    }
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    let asked = Url::parse(&format!("http://{host}")).ok()?;
    let elsewhere = is_loopback(&asked) && asked.origin() != app.config.public_url.origin();
    // What forwards a port to this one is not another spelling.
    let same_port = asked.port_or_known_default() == app.config.public_url.port_or_known_default();
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let origin = app.config.public_url.origin().ascii_serialization();
    (elsewhere && same_port).then(|| Redirect::temporary(&format!("{origin}{path}")).into_response())
}

/// What an answer to a program says is done, and the read models that show it: whoever asks next is to find it there. A
/// browser brings the position along; programs know no header for it.
fn shown_by(facts: Option<Facts>, response: &Response) -> Option<(Cursor, &'static [&'static str])> {
    let facts = facts.filter(|facts| !facts.is_page && !facts.models.is_empty() && response.status().is_success())?;
    let changed = response.headers().get(&POSITION)?.to_str().ok().and_then(parse_cursor)?;
    Some((changed, facts.models))
}

async fn prepare(
    app: &App,
    request: &mut Request,
    request_id: Uuid,
    facts: Option<Facts>,
) -> Result<Prepared, ApiError> {
    if request.uri().query().is_some_and(|query| extract::too_many(query.as_bytes())) {
        return Err(ApiError::bad_request("too_many_parameters", extract::too_many_parameters()));
    }
    let address = client_address::of(app, request);
    let (bearer, allowance) = match authorization(request, facts)? {
        Some(value) => bearer(app, &value).await.map(|(bearer, allowance)| (Some(bearer), Some(allowance)))?,
        None => (None, None),
    };
    if bearer.is_none() && !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        refuse_other_sites(app, request.headers())?;
    }
    let models = facts.map_or(&[][..], |facts| facts.models);
    let freshness = if request.method() == Method::GET {
        freshness(app, models, request.headers()).await?
    } else {
        Freshness::Fresh
    };
    let (uri, only_looks) = (request.uri().clone(), only_looks(request));
    request.extensions_mut().insert(Arc::new(RequestContext {
        request_id,
        address,
        bearer,
        only_looks,
        stale: freshness == Freshness::Stale,
        uri,
    }));
    Ok(Prepared { allowance, clear_position: freshness == Freshness::Beyond })
}

/// Whether a request is no reader's own act. A browser fetches pages ahead, and follows links that others wrote.
fn only_looks(request: &Request) -> bool {
    let says = |name: &str, word: &str| {
        let values = request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split([',', ';'])).any(|token| token.trim().eq_ignore_ascii_case(word))
    };
    let ahead = ["sec-purpose", "purpose", "x-purpose", "x-moz"];
    request.method() == Method::HEAD
        || ahead.iter().any(|name| ["prefetch", "prerender", "preview"].iter().any(|word| says(name, word)))
        || ["cross-site", "same-site"].iter().any(|site| says("sec-fetch-site", site))
}

/// The header with the request's token, where the door takes one. A page leaves other schemes to whoever asked for them,
/// such as a proxy with passwords of its own.
fn authorization(request: &Request, facts: Option<Facts>) -> Result<Option<HeaderValue>, ApiError> {
    // RFC 9700 s4.3.2: tokens in addresses end in logs and histories.
    let has_token = |query: &str| url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token");
    let in_query = request.uri().query().is_some_and(has_token);
    let mut values = request.headers().get_all(header::AUTHORIZATION).iter();
    let (value, second) = (values.next(), values.next());
    if in_query || second.is_some() {
        let detail = "Send the token once, in the Authorization header; never in the address.";
        return Err(ApiError::bad_request("token_transport", detail));
    }
    let value = value.filter(|_| facts.is_some_and(|facts| facts.takes_tokens));
    let is_of_others = |value: &HeaderValue| {
        let scheme = value.to_str().ok().and_then(|text| text.trim().split_once(' ')).map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| !scheme.eq_ignore_ascii_case("bearer"))
    };
    Ok(value.filter(|value| facts.is_some_and(|facts| !facts.is_page) || !is_of_others(value)).cloned())
}

/// The bearer of a token. `Authorization: <token>` and `Authorization: Bearer <token>` both do.
async fn bearer(app: &App, value: &HeaderValue) -> Result<(Bearer, Allowance), ApiError> {
    let malformed = || ApiError::Token(BearerError::Malformed(MalformedToken::Shape));
    let text = value.to_str().map_err(|_| malformed())?.trim();
    let token = match text.split_once(' ') {
        None => text,
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) => return Err(ApiError::Token(BearerError::Malformed(MalformedToken::Scheme))),
    };
    let bearer = app.authenticate(token).await?.map_err(ApiError::Token)?;
    let allowance = app.limits.check_api(bearer.token_id).map_err(AppError::TooMany)?;
    Ok((bearer, allowance))
}

/// A browser says which site a request comes from; what comes from another changes nothing here.
fn refuse_other_sites(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let other_site = text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let own = app.config.public_url.origin().ascii_serialization();
    let other_origin = text("origin").is_some_and(|origin| origin != own);
    if other_site || other_origin {
        let detail = format!(
            "This request comes from another site, or from another spelling of this one's address. Open it at {}, and \
             try again there.",
            app.config.url("/"),
        );
        return Err(ApiError::forbidden("cross_site", detail));
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Freshness {
    Fresh,
    Stale,
    Beyond,
}

/// Waits until the read models have seen what the sender has changed.
async fn freshness(app: &App, models: &[&str], headers: &HeaderMap) -> Result<Freshness, ApiError> {
    let header = headers.get(&POSITION);
    let cookie = cookies::position(headers);
    if header.is_none() && cookie.is_none() {
        return Ok(Freshness::Fresh);
    }
    let head = app.head().await?;
    if let Some(value) = header {
        let wanted = value.to_str().ok().and_then(parse_cursor);
        let wanted = wanted.ok_or_else(|| {
            ApiError::bad_request("position_malformed", "Countersign-Position is <epoch>.<position>.")
        })?;
        if wanted > head {
            return Err(AppError::BeyondHead { head: head.position }.into());
        }
        return if app.wait_for_models(wanted, models, READ_YOUR_WRITES).await {
            Ok(Freshness::Fresh)
        } else {
            Err(AppError::Behind.into())
        };
    }
    match cookie.as_deref().and_then(parse_cursor).filter(|wanted| *wanted <= head) {
        None => Ok(Freshness::Beyond),
        Some(wanted) if app.wait_for_models(wanted, models, READ_YOUR_WRITES).await => Ok(Freshness::Fresh),
        Some(_) => Ok(Freshness::Stale),
    }
}

/// Where the log stands, as a header.
pub(in crate::web) fn position_value(cursor: Cursor) -> HeaderValue {
    HeaderValue::from_str(&format!("{}.{}", cursor.epoch, cursor.position)).expect("digits and a dot stand in a header")
}

fn parse_cursor(text: &str) -> Option<Cursor> {
    let (epoch, position) = text.split_once('.')?;
    Some(Cursor {
        epoch: epoch.parse().ok()?,
        position: countersign_events::recorded::Position(position.parse().ok()?),
    })
}

fn finish(app: &App, headers: &mut HeaderMap, request_id: Uuid, sensitive: bool) {
    // Grown once, not header by header.
    headers.reserve(9);
    let mut default = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    default(header::CONTENT_SECURITY_POLICY, const { HeaderValue::from_static(CONTENT_SECURITY_POLICY) });
    default(header::REFERRER_POLICY, const { HeaderValue::from_static("same-origin") });
    default(header::X_CONTENT_TYPE_OPTIONS, const { HeaderValue::from_static("nosniff") });
    default(header::X_FRAME_OPTIONS, const { HeaderValue::from_static("DENY") });
    // Whoever opened a page in a window keeps no hold of it.
    default(CROSS_ORIGIN_OPENER_POLICY, const { HeaderValue::from_static("same-origin") });
    if sensitive {
        default(header::CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
    }
    if app.config.is_https() {
        default(header::STRICT_TRANSPORT_SECURITY, const { HeaderValue::from_static("max-age=31536000") });
    }
    let mut text = Uuid::encode_buffer();
    if let Ok(value) = HeaderValue::from_str(request_id.hyphenated().encode_lower(&mut text)) {
        headers.insert(REQUEST_ID, value);
    }
}
