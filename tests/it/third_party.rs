//! The web server of a third-party application: a real one on a port of its own, to which users are sent
//! back. It records what it was asked and, as such applications do, answers with a further redirect.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Requests = Arc<Mutex<Vec<String>>>;

/// A running third party; it stops when dropped.
pub struct ThirdParty {
    origin: String,
    requests: Requests,
    server: JoinHandle<()>,
}

impl ThirdParty {
    /// Listens on a free port of `host`, such as `localhost` or `127.0.0.1`. `/cb` answers with a 303 to
    /// `/done`, and `/done` with a page that says "Welcome back".
    pub async fn start(host: &str) -> Self {
        let listener = TcpListener::bind((host, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("the port is bound").port();
        let requests = Requests::default();
        let router = Router::new()
            .route("/cb", get(|| async { see_other("/done") }))
            .route("/done", get(|| async { Html(WELCOME) }))
            .layer(middleware::from_fn_with_state(requests.clone(), record));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serving until stopped");
        });
        Self { origin: format!("http://{host}:{port}"), requests, server }
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The redirect URI to register for the application.
    pub fn redirect_uri(&self) -> String {
        format!("{}/cb", self.origin)
    }

    /// Path and query of each request so far, in order.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no thread panicked").clone()
    }
}

impl Drop for ThirdParty {
    fn drop(&mut self) {
        self.server.abort();
    }
}

const WELCOME: &str = "<!doctype html><title>Third party</title><link rel=icon href=data:,><h1>Welcome back</h1>";

fn see_other(location: &'static str) -> impl IntoResponse {
    (StatusCode::SEE_OTHER, [("location", location)])
}

async fn record(State(requests): State<Requests>, request: Request, next: Next) -> Response {
    requests.lock().expect("no thread panicked").push(request.uri().to_string());
    next.run(request).await
}

#[tokio::test]
async fn the_third_party_records_path_and_query_and_redirects_on() {
    let third_party = ThirdParty::start("127.0.0.1").await;
    let uri = format!("{}?kept=1&access_token=secret", third_party.redirect_uri());
    let page = reqwest::get(uri).await.unwrap().text().await.unwrap();
    assert!(page.contains("Welcome back"));
    assert_eq!(third_party.requests(), ["/cb?kept=1&access_token=secret", "/done"]);
}
