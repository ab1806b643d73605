//! The two cookies: the browser's key, and the position of what it has just changed.

use axum::http::{HeaderMap, HeaderValue, header};
use cookie::{Cookie, SameSite, time::Duration};

use crate::{
    app::{App, sessions::BrowserKey},
    config::Config,
    store::Cursor,
};

/// How long a browser asks to see what it has just changed.
const POSITION_SECONDS: i64 = 30;
const SESSION_DAYS: i64 = 30;
const POSITION: &str = "position";

/// The name of the session cookie: with a prefix that browsers enforce wherever there is https.
#[must_use]
pub fn session_name(config: &Config) -> &'static str {
    match (config.is_https(), config.base_path().is_empty()) {
        (true, true) => "__Host-session",
        (true, false) => "__Secure-session",
        (false, _) => "session",
    }
}

fn get(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == name)
        .map(|cookie| cookie.value().to_owned())
}

/// The browser's key, when it has one that could be ours.
pub fn browser(app: &App, headers: &HeaderMap) -> Option<BrowserKey> {
    BrowserKey::parse(&get(headers, session_name(&app.config))?)
}

/// What the browser has changed last.
#[must_use]
pub fn position(headers: &HeaderMap) -> Option<String> {
    get(headers, POSITION)
}

fn header_value(app: &App, name: &'static str, value: &str, age: Duration) -> HeaderValue {
    // `__Host-` wants the path `/`, and has it: the site lies at the root then.
    let path = if app.config.base_path().is_empty() { "/" } else { app.config.base_path() };
    let cookie = Cookie::build((name, value))
        .path(path)
        .http_only(true)
        .secure(app.config.is_https())
        .same_site(SameSite::Lax)
        .max_age(age)
        .build();
    HeaderValue::from_str(&cookie.to_string()).expect("names, numbers and base64url stand in a header as they are")
}

/// Sets the browser's key.
pub fn set_browser(app: &App, browser: &BrowserKey) -> HeaderValue {
    header_value(app, session_name(&app.config), browser.expose(), Duration::days(SESSION_DAYS))
}

/// Sets the position.
pub fn set_position(app: &App, cursor: Cursor) -> HeaderValue {
    let value = format!("{}.{}", cursor.epoch, cursor.position);
    header_value(app, POSITION, &value, Duration::seconds(POSITION_SECONDS))
}

/// Forgets the position.
pub fn clear_position(app: &App) -> HeaderValue {
    header_value(app, POSITION, "", Duration::ZERO)
}
