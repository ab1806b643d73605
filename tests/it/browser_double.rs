//! A browser without a window: keeps cookies, fills in the forms it is shown, follows redirects on
//! this site when told to. It talks to the router itself, with no socket in between.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use countersign::{app::App, web};
use http_body_util::BodyExt;
use tower::ServiceExt;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
    /// How long the body was on the wire.
    pub bytes: usize,
}

impl Answer {
    /// A header's text, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn location(&self) -> &str {
        self.header("location")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The value of the first hidden field with this name.
    pub fn hidden(&self, name: &str) -> String {
        let field = format!("name=\"{name}\" value=\"");
        let start = self.body.find(&field).unwrap_or_else(|| panic!("no hidden {name} in {}", self.body)) + field.len();
        let value = self.body[start..].split('"').next().expect("a value ends");
        value
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&#60;", "<")
            .replace("&#62;", ">")
            .replace("&#38;", "&")
    }
}

/// A browser.
pub struct Browser {
    router: Router,
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    pub fn new(app: &Arc<App>) -> Self {
        Self { router: web::router(app.clone()), cookies: BTreeMap::new() }
    }

    /// Sends a request as it is, with this browser's cookies unless it brings its own.
    pub async fn send(&mut self, mut request: Request<Body>) -> Answer {
        if !request.headers().contains_key(header::COOKIE) && !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.headers_mut().insert(header::COOKIE, cookies.join("; ").parse().expect("cookies are visible text"));
        }
        let response = self.router.clone().oneshot(request).await.expect("a router answers");
        let (parts, body) = response.into_parts();
        for set in parts.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie::Cookie::parse(set.to_str().expect("text").to_owned()).expect("a cookie");
            if cookie.max_age().is_some_and(cookie::time::Duration::is_zero) {
                self.cookies.remove(cookie.name());
            } else {
                self.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
            }
        }
        let bytes = body.collect().await.expect("a body").to_bytes();
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, body, bytes: bytes.len() }
    }

    /// A page as browsers ask for it: compressed, where the site does that.
    pub async fn get_compressed(&mut self, path: &str) -> Answer {
        let request = Request::get(path).header(header::ACCEPT_ENCODING, "gzip, deflate, br");
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    /// As a program asks that has no token.
    pub async fn get_json(&mut self, path: &str) -> Answer {
        let request = Request::get(path).header(header::ACCEPT, "application/json");
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    /// Posts fields as a form, as they are.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .expect("a request");
        self.send(request).await
    }

    /// Opens a page, and posts one of its forms with the page's CSRF token.
    pub async fn submit(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.get(page).await.hidden("csrf_token");
        let mut all = vec![("csrf_token", csrf.as_str())];
        all.extend(fields);
        self.post(path, &all).await
    }

    /// Presses a button that sends nothing but itself.
    pub async fn press(&mut self, path: &str) -> Answer {
        self.submit("/settings/apps", path, &[]).await
    }

    /// Logs in with the password that every member of a test has.
    pub async fn log_in(&mut self, name: &str) {
        let fields = [("username", name), ("password", "correct horse battery")];
        let answer = self.submit("/login", "/login", &fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    }

    /// A request with a token and no cookie.
    pub async fn with_token(&mut self, method: Method, path: &str, authorization: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, authorization)
            .header(header::COOKIE, "none=none")
            .body(Body::empty())
            .expect("a request");
        self.send(request).await
    }

    /// A JSON request of a signed-in browser, with its CSRF token.
    pub async fn json(&mut self, method: Method, path: &str, body: &serde_json::Value) -> Answer {
        let csrf = self.get("/settings/apps").await.hidden("csrf_token");
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-csrf-token", csrf)
            .body(Body::from(body.to_string()))
            .expect("a request");
        self.send(request).await
    }
}
