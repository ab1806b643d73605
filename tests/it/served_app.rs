//! A site inside of the test's own process that real browsers can reach: filled through the app, its clock moved by the
//! test. The real program as a process of its own is `running_site`.

use std::net::SocketAddr;

use countersign::web;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::support::TestApp;

/// A served site; it stops when dropped.
pub struct ServedApp {
    pub site: TestApp,
    pub url: String,
    server: JoinHandle<()>,
}

impl ServedApp {
    /// With settings in the place of the defaults, on a free port.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("the port is bound"));
        let site = TestApp::start_with(&[settings, &[("PUBLIC_URL", &url)]].concat()).await;
        let doors = web::router(site.app.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move {
            axum::serve(listener, doors).await.expect("serving until stopped");
        });
        Self { site, url, server }
    }
}

impl Drop for ServedApp {
    fn drop(&mut self) {
        self.server.abort();
    }
}
