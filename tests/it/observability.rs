//! What an operator sees of a running site: `/metrics` and who may read it, log lines as JSON, spans at a collector.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    http::{Method, Request, StatusCode},
    routing::post,
};
use countersign_events::account::Role;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value as Text, trace::v1::Span,
};
use prost::Message as _;
use serde_json::{Value, json};

use crate::{
    browser_double::{Answer, Browser},
    running_site::{RunningSite, answer, between, http, text_of, with_token},
    support::TestApp,
};

const OPERATING: &str = include_str!("../../docs/operating.md");
const METRICS_TOKEN: &str = "a-token-for-prometheus";
/// No span takes longer to come, also on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_mins(1);

/// `/metrics`, asked for by a peer with these headers.
async fn scrape(app: &TestApp, peer: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get("/metrics");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).expect("a request");
    let peer: SocketAddr = peer.parse().expect("an address");
    request.extensions_mut().insert(ConnectInfo(peer));
    Browser::new(&app.app).send(request).await
}

/// The value of the sample that begins so.
#[track_caller]
fn value(text: &str, sample: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {sample} in {text}")).parse().expect("a number")
}

#[tokio::test]
async fn metrics_count_requests_token_checks_appends_and_refusals() {
    let site = RunningSite::start_with(&[("LIMITS_API_PER_MINUTE", "2")], &[]);
    site.given_member("ada", &["admin"]);
    let (token, id) = site.given_token("ada", "read");
    let http = http();
    let at = |path: &str| format!("{}{path}", site.url());
    for wanted in [200, 200, 429] {
        let asked = with_token(&http, &at("/api/v1/token"), &token).await;
        assert_eq!(asked.status.as_u16(), wanted);
    }
    site.done(&["token", "revoke", &id]);
    if site.home.database.is_some() {
        // So long a node may take to honour what another has done.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    with_token(&http, &at("/api/v1/token"), &token).await;
    with_token(&http, &at("/api/v1/token"), "nonsense").await;
    answer(http.get(at("/posts/1/2/3"))).await;
    // With a token that is none of the site's, and more often than its limits allow.
    let mut scraped = answer(http.get(at("/metrics"))).await;
    for _ in 0..3 {
        scraped = answer(http.get(at("/metrics/")).header("authorization", "Bearer whatever")).await;
    }
    assert_eq!(scraped.status, StatusCode::OK);
    assert_eq!(scraped.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(scraped.header("cache-control"), "no-store");
    let text = scraped.body;
    let requests = |route, status| {
        format!("countersign_http_requests_total{{method=\"GET\",route=\"{route}\",status=\"{status}\"}}")
    };
    for (sample, wanted) in [
        (requests("/api/v1/token", 200), 2.0),
        (requests("/api/v1/token", 429), 1.0),
        (requests("/api/v1/token", 401), 2.0),
        (requests("none", 404), 1.0),
        ("countersign_http_request_duration_seconds_count{method=\"GET\",route=\"/api/v1/token\"}".to_owned(), 5.0),
        ("countersign_token_checks_total{outcome=\"valid\"}".to_owned(), 3.0),
        ("countersign_token_checks_total{outcome=\"revoked\"}".to_owned(), 1.0),
        ("countersign_token_checks_total{outcome=\"malformed\"}".to_owned(), 1.0),
        ("countersign_token_checks_total{outcome=\"unknown\"}".to_owned(), 0.0),
        ("countersign_rate_limited_total{limit=\"api\"}".to_owned(), 1.0),
        ("countersign_rate_limited_total{limit=\"login\"}".to_owned(), 0.0),
        ("countersign_writer_up".to_owned(), 1.0),
        ("countersign_writer_queue_depth".to_owned(), 0.0),
        (format!("countersign_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
    ] {
        assert!((value(&text, &sample) - wanted).abs() < 0.5, "{sample} is not {wanted}: {text}");
    }
    // What the command line did, it did itself where it is a node.
    let is_here = |event: &&Value| {
        site.home.database.is_none() || !event["actor"].as_str().is_some_and(|actor| actor.starts_with("cli:"))
    };
    let events: Vec<Value> =
        serde_json::from_str(&site.done(&["events", "list", "--limit", "1000", "--format", "json"])).expect("events");
    let head = value(&text, "countersign_log_head_position");
    let number = |count: usize| f64::from(u32::try_from(count).expect("few"));
    assert!((number(events.len()) - head).abs() < 0.5, "nothing happened since: {text}");
    let committed = number(events.iter().filter(is_here).count());
    assert!(
        (value(&text, "countersign_commit_events_sum") - committed).abs() < 0.5,
        "every event was committed: {text}"
    );
    let appended = value(&text, "countersign_append_duration_seconds_count");
    assert!(appended >= if site.home.database.is_none() { 3.0 } else { 1.0 }, "{text}");
    assert!(value(&text, "process_start_time_seconds") > 1.7e9);
    assert!(!text.contains(&token) && !text.contains("/posts/1/2/3"), "{text}");
    let posted = answer(http.post(at("/metrics"))).await;
    assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn below_a_path_metrics_lie_below_it_and_routes_are_named_without_it() {
    let app = TestApp::start_with(&[("PUBLIC_URL", "http://127.0.0.1/dev")]).await;
    let mut browser = Browser::new(&app.app);
    for path in ["/dev/", "/dev/api"] {
        assert_eq!(browser.get(path).await.status, StatusCode::OK);
    }
    assert_eq!(browser.get("/metrics").await.status, StatusCode::NOT_FOUND);
    let mut request = Request::get("/dev/metrics").body(Body::empty()).expect("a request");
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
    let text = browser.send(request).await.body;
    for route in ["/", "/api", "none"] {
        let door = format!("countersign_http_request_duration_seconds_count{{method=\"GET\",route=\"{route}\"}}");
        assert!((value(&text, &door) - 1.0).abs() < 0.5, "{text}");
    }
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_for_nobody_else_without_a_token_setting() {
    let app = TestApp::start_with(&[("TRUSTED_PROXIES", "127.0.0.1,192.0.2.0/24")]).await;
    assert_eq!(scrape(&app, "127.0.0.1:4000", &[]).await.status, StatusCode::OK);
    assert_eq!(scrape(&app, "[::1]:4000", &[]).await.status, StatusCode::OK);
    assert_eq!(scrape(&app, "[::ffff:127.0.0.1]:4000", &[]).await.status, StatusCode::OK);
    assert_eq!(scrape(&app, "192.0.2.7:4000", &[]).await.status, StatusCode::FORBIDDEN);
    let claims = scrape(&app, "192.0.2.7:4000", &[("x-forwarded-for", "127.0.0.1")]).await;
    assert_eq!(claims.status, StatusCode::FORBIDDEN);
    let guessed = scrape(&app, "192.0.2.7:4000", &[("authorization", "Bearer ")]).await;
    assert_eq!(guessed.status, StatusCode::FORBIDDEN);
    // A proxy on this machine hands on what anybody asks it for.
    let handed_on = scrape(&app, "127.0.0.1:4000", &[("x-forwarded-for", "198.51.100.9")]).await;
    assert_eq!(handed_on.status, StatusCode::FORBIDDEN);
    assert!(!handed_on.body.contains("countersign_"), "{}", handed_on.body);
}

#[tokio::test]
async fn metrics_are_for_other_machines_with_the_token_of_the_setting() {
    let app = TestApp::start_with(&[("METRICS_TOKEN", METRICS_TOKEN)]).await;
    let from = async |value: &str| scrape(&app, "192.0.2.7:4000", &[("authorization", value)]).await;
    assert_eq!(from(&format!("Bearer {METRICS_TOKEN}")).await.status, StatusCode::OK);
    assert_eq!(from(&format!("bearer {METRICS_TOKEN}")).await.status, StatusCode::OK);
    for wrong in ["", "Bearer", "Bearer x", METRICS_TOKEN, &format!("Bearer {METRICS_TOKEN}x"), "Basic YTpi"] {
        let refused = from(wrong).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{wrong}");
        assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"metrics\"");
    }
    assert_eq!(scrape(&app, "127.0.0.1:4000", &[]).await.status, StatusCode::OK);
    // It opens nothing else.
    let mut request = Request::get("/api/v1/me").header("authorization", format!("Bearer {METRICS_TOKEN}"));
    request = request.method(Method::GET);
    let other = Browser::new(&app.app).send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(other.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_token_of_the_setting_is_shown_nowhere() {
    let site = RunningSite::start_with(&[("METRICS_TOKEN", METRICS_TOKEN), ("LOG", "trace")], &[]);
    answer(http().get(format!("{}/metrics", site.url())).header("authorization", format!("Bearer {METRICS_TOKEN}")))
        .await;
    let shown = site.done(&["config", "show"]);
    assert!(shown.contains("metrics_token"), "{shown}");
    let events = site.done(&["events", "show", "1", "--format", "json"]);
    assert!(events.contains("metrics_token"), "{events}");
    let (out, err) = site.said();
    for text in [shown, events, out, err] {
        assert!(!text.contains(METRICS_TOKEN), "{text}");
    }
}

#[tokio::test]
async fn a_read_model_that_does_not_follow_shows_how_far_and_how_long_it_is_behind() {
    let app = TestApp::start().await;
    app.given_member("ada", &[Role::Admin]).await;
    app.settle().await;
    let mut holder = app.home.model("inbox", 1).await;
    holder.run(holder.either("begin immediate", "begin; lock table notifications, cursors")).await;
    app.given_member("bob", &[]).await;
    app.clock.advance(chrono::Duration::seconds(90));
    let text = scrape(&app, "127.0.0.1:1", &[]).await.body;
    assert!(value(&text, "countersign_projection_lag_events{projection=\"inbox\"}") >= 1.0, "{text}");
    assert!(value(&text, "countersign_projection_lag_seconds{projection=\"inbox\"}") >= 89.0, "{text}");
    let behind = value(&text, "countersign_projection_position{projection=\"inbox\"}");
    assert!(behind < value(&text, "countersign_log_head_position"), "{text}");
    holder.run("rollback").await;
    drop(holder);
    // Once it failed it waits a little before it tries again.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = scrape(&app, "127.0.0.1:1", &[]).await.body;
        if value(&text, "countersign_projection_lag_events{projection=\"inbox\"}") < 0.5 {
            assert!(value(&text, "countersign_projection_lag_seconds{projection=\"inbox\"}") < 0.5, "{text}");
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_guide_for_operators_names_every_metric_and_no_other() {
    let app = TestApp::start().await;
    Browser::new(&app.app).get("/healthz").await;
    let text = scrape(&app, "127.0.0.1:1", &[]).await.body;
    let real: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split_once(' ').expect("a name and a kind"))
        .collect();
    // | `name` | kind | labels | what |
    let rows: Vec<_> = OPERATING
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter(|(name, _)| name.starts_with("countersign_") || name.starts_with("process_"))
        .collect();
    // A site within a test has no data directory of its own.
    let told: BTreeSet<_> = rows
        .iter()
        .filter(|(_, rest)| !rest.contains("; on SQLite |"))
        .map(|(name, rest)| (*name, rest.split(" |").next().expect("a kind")))
        .collect();
    assert_eq!(told, real);
    // Alerts speak of nothing else.
    let metrics = between(OPERATING, "\n## Metrics\n", "\n## Logs\n").expect("its part on metrics");
    let words = metrics.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).filter(|word| {
        word.starts_with("countersign_") && !rows.iter().any(|(name, _)| word.trim_end_matches("_bucket") == *name)
    });
    assert_eq!(words.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn the_configuration_in_the_guide_for_operators_holds() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("countersign.toml");
    let example = between(OPERATING, "```toml\n", "```").expect("an example");
    std::fs::write(&file, example).expect("a file");
    let mut show = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"));
    show.args(["config", "show", "--config"]).arg(&file).env_remove("COUNTERSIGN_TEST_ALL");
    let shown = text_of(&show.output().expect("it runs"));
    assert!(shown.contains("/var/lib/countersign/site") && shown.contains("https://site.example"), "{shown}");
}

#[tokio::test]
async fn every_line_is_json_and_every_request_is_one_line() {
    let settings = [("LOG_FORMAT", "json"), ("LOG", "info,countersign::web=debug")];
    let site = RunningSite::start_with(&settings, &[]);
    site.given_member("ada", &[]);
    let (token, _) = site.given_token("ada", "read");
    let http = http();
    let asked = with_token(&http, &format!("{}/api/v1/token?q=secret-query", site.url()), &token).await;
    answer(http.get(format!("{}/posts/no-id", site.url()))).await;
    let (out, err) = site.said();
    let lines: Vec<Value> = out
        .lines()
        .chain(err.lines())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.iter().any(|line| line["message"].as_str().is_some_and(|text| text.contains("Countersign is at"))));
    let requests: Vec<_> = lines.iter().filter(|line| line["message"] == "request").collect();
    assert_eq!(requests.len(), 2, "{requests:#?}");
    let first = requests[0];
    assert_eq!((&first["route"], &first["status"]), (&json!("/api/v1/token"), &json!(200)));
    assert_eq!((&first["method"], &first["level"]), (&json!("GET"), &json!("DEBUG")));
    assert_eq!(first["request_id"], asked.header("x-request-id"));
    assert!(first["duration_us"].as_u64().is_some_and(|duration| duration > 0), "{first}");
    assert!(first["timestamp"].is_string(), "{first}");
    assert_eq!((&requests[1]["route"], &requests[1]["status"]), (&json!("/posts/{id}"), &json!(404)));
    for secret in [token.as_str(), "secret-query", "no-id"] {
        assert!(!err.contains(secret) && !out.contains(secret), "{secret}");
    }
}

/// A collector that keeps what it gets.
struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
    /// Everything that came, for looking whether something is in it that must not be.
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    async fn start() -> Self {
        let (spans, bytes) = (Arc::<Mutex<Vec<Span>>>::default(), Arc::<Mutex<Vec<u8>>>::default());
        let (kept, raw) = (spans.clone(), bytes.clone());
        let take = move |body: Bytes| {
            let sent = ExportTraceServiceRequest::decode(body.clone()).expect("a request of OTLP");
            let sent = sent.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            kept.lock().expect("no panic").extend(sent.flat_map(|scope| scope.spans));
            raw.lock().expect("no panic").extend_from_slice(&body);
            std::future::ready(())
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, spans, bytes }
    }

    /// The span with this name, of this trace when one is named, once it is there.
    async fn span(&self, name: &str, trace: Option<&[u8]>) -> Span {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let spans = self.spans.lock().expect("no panic").clone();
            let fits = |span: &&Span| span.name == name && trace.is_none_or(|trace| span.trace_id == trace);
            if let Some(span) = spans.iter().find(fits) {
                return span.clone();
            }
            let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
            assert!(Instant::now() < deadline, "no {name} among {names:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn attribute(span: &Span, key: &str) -> Option<Text> {
    span.attributes.iter().find(|one| one.key == key)?.value.clone()?.value
}

#[tokio::test]
async fn a_request_is_traced_to_a_collector_from_the_door_to_the_commit_and_the_read_models() {
    let collector = Collector::start().await;
    let site = RunningSite::start_with(&[("OTLP_ENDPOINT", &collector.url)], &[]);
    site.given_member("ada", &[]);
    let (token, _) = site.given_token("ada", "read write");
    let http = http();
    let body = json!({"title": "A title of mine", "body": "A text of mine"});
    let request = http.post(format!("{}/api/v1/posts?q=secret-query", site.url())).json(&body);
    let request = request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let posted = answer(request.header("authorization", &token)).await;
    assert!(posted.status.is_success(), "{}", posted.body);

    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
    let request = collector.span("POST /api/v1/posts", Some(&trace)).await;
    assert_eq!(request.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(attribute(&request, "http.route"), Some(Text::StringValue("/api/v1/posts".to_owned())));
    let status = i64::from(posted.status.as_u16());
    assert_eq!(attribute(&request, "http.response.status_code"), Some(Text::IntValue(status)));
    let id = posted.header("x-request-id").to_owned();
    assert_eq!(attribute(&request, "request_id"), Some(Text::StringValue(id)));
    let command = collector.span("command", Some(&trace)).await;
    assert_eq!(command.parent_span_id, request.span_id);
    let commit = collector.span("commit", Some(&trace)).await;
    assert_eq!(commit.parent_span_id, command.span_id);
    let follow = collector.span("follow", None).await;
    assert!(attribute(&follow, "projection").is_some(), "{follow:?}");

    let bytes = String::from_utf8_lossy(&collector.bytes.lock().expect("no panic")).into_owned();
    for secret in [token.as_str(), "secret-query", "127.0.0.1", "of mine"] {
        assert!(!bytes.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn without_a_collector_at_its_address_the_site_serves_all_the_same() {
    // Nobody listens on the port of discard.
    let site = RunningSite::start_with(&[("OTLP_ENDPOINT", "http://127.0.0.1:9")], &[]);
    site.given_member("ada", &[]);
    let (token, _) = site.given_token("ada", "read");
    for _ in 0..20 {
        let asked = with_token(&http(), &format!("{}/api/v1/token", site.url()), &token).await;
        assert_eq!(asked.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn postgres_metrics_speak_while_the_database_is_away() {
    if !crate::postgres_server::require() {
        return;
    }
    let server = crate::postgres_server::start(&[]).expect("a server is installed");
    let (at, _) = server.url.rsplit_once('/').expect("a URL with a database");
    let url = format!("{at}/site");
    crate::postgres_server::run(&mut crate::postgres_server::connect(&server.url).await, "create database site").await;
    let node = RunningSite::node(&url, &[]);
    let metrics = async || answer(http().get(format!("{}/metrics", node.url()))).await;
    let there = metrics().await;
    assert!(there.body.contains("\ncountersign_log_answers 1"), "{}", there.body);
    drop(server);
    let until_it_is_away = async { while !metrics().await.body.contains("\ncountersign_log_answers 0") {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), until_it_is_away).await.expect("its end is noticed");
    for _ in 0..3 {
        let away = metrics().await;
        assert_eq!(away.status, axum::http::StatusCode::OK, "{}", away.body);
        assert!(away.body.contains("\ncountersign_log_answers 0"), "{}", away.body);
        assert!(
            away.body.contains("\nprocess_resident_memory_bytes ") && away.body.contains("countersign_connections ")
        );
        assert!(!away.body.contains("\ncountersign_log_head_position "), "what is not known is not told");
    }
}
