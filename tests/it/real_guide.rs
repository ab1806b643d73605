//! The guide's way with the real program: from the set-up link to answers that the guide's own Python examples print,
//! and back: whatever is taken from a token is gone with the answer that says so, or within a second of another node's.

use std::{
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode};
use countersign::{app::App, cli::execute::execute};
use countersign_events::recorded::Actor;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

use crate::{
    fleet::node_in_this_process,
    prerequisites::{require_python_module, times},
    running_site::{PASSWORD, RunningSite, Visitor, answer, between, http, parameter, with_token},
    third_party::ThirdParty,
};

const POST: [&str; 15] = [
    "id",
    "title",
    "url",
    "body",
    "body_html",
    "author_name",
    "author_id",
    "created_utc",
    "permalink",
    "comment_count",
    "score",
    "upvotes",
    "downvotes",
    "is_bot",
    "app_id",
];
const NOTIFICATION: [&str; 11] = [
    "id",
    "kind",
    "created_utc",
    "read",
    "title",
    "body",
    "from",
    "permalink",
    "application_id",
    "post_id",
    "comment_id",
];

/// An example of the guide with the token put in, and nothing else changed.
fn example(page: &str, id: &str, token: &str) -> String {
    let html = between(page, &format!("<pre class=\"python\" id=\"{id}\">"), "</pre>").expect("the example");
    let text = html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#34;", "\"");
    let text = text.replace("&#39;", "'").replace("&amp;", "&").replace("&#38;", "&");
    assert!(text.contains("access_token_goes_here"), "{text}");
    text.replace("access_token_goes_here", token)
}

/// What Python prints for a program, read as what it is: a literal of Python's.
fn run_python(program: &str) -> Value {
    let as_json = "import ast, json, sys; print(json.dumps(ast.literal_eval(sys.stdin.read())))";
    let output = Command::new("python3").args(["-c", program]).env("NO_PROXY", "*").output().expect("python3 starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let script = format!("import io, sys; sys.stdin = io.StringIO(sys.argv[1]); {as_json}");
    let output = Command::new("python3").args(["-c", &script, &out]).output().expect("python3 starts");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {out}"))
}

fn assert_shape(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "{key} is missing in {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_python_examples_print_posts_and_notifications_as_they_stand() {
    if !require_python_module("requests") {
        return;
    }
    let site = RunningSite::start();
    let mut ada = site.visitor();
    let link = site.set_up_link();
    let token = parameter(&url::Url::parse(&link).expect("a link"), "token").expect("its token");
    let fields = [("token", &*token), ("username", "ada"), ("password", PASSWORD), ("password_repeat", PASSWORD)];
    ada.submitted(&link, "/setup", &fields).await;
    assert!(ada.get("/settings").await.body.contains("ada"));
    let mut cleo = site.visitor();
    let fields = [("username", "cleo"), ("password", PASSWORD), ("password_repeat", PASSWORD)];
    cleo.submitted("/signup", "/signup", &fields).await;
    site.given_member("rob", &["reviewer"]);
    let mut rob = site.visitor();
    rob.log_in("rob").await;

    let id = cleo.ask_for("Reader", "https://app.example/cb?keep=1").await;
    rob.decide(&id, "approve").await;
    let message = cleo.waiting_message("Reader").await;
    let token = cleo.reveal(&message).await;
    let again = cleo.submit("/settings/apps", &format!("{message}/reveal"), &[]).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.body.contains("was revealed on"), "{}", again.body);
    cleo.submitted("/", "/posts", &[("title", "One"), ("body", "It *is*.")]).await;
    let posted = ada.submitted("/", "/posts", &[("title", "Two"), ("url", "https://two.example/")]).await;
    assert!(posted.location().starts_with("/posts/"), "{}", posted.location());
    let front = with_token(&http(), &format!("{}/?sort=old", site.url()), &token).await.json();
    let page = format!("/posts/{}", front["data"][0]["id"].as_str().expect("an id"));
    let answered = ada.submitted(&page, &format!("{page}/comments"), &[("body", "Is it?")]).await;
    // What brings the position of an answer back sees at least that.
    let position = answered.header("countersign-position");
    let unread = http().get(format!("{}/unread", site.url())).header("authorization", &token);
    assert_eq!(answer(unread.header("countersign-position", position)).await.json()["count"], 1);

    let guide = cleo.get("/api").await.body;
    let front = run_python(&example(&guide, "example-front-page", &token));
    let posts = front["data"].as_array().expect("posts");
    assert_eq!(posts.len(), 2, "{front}");
    assert_shape(&front, &["data", "next_exists", "next"]);
    for post in posts {
        assert_shape(post, &POST);
    }
    let unread = run_python(&example(&guide, "example-unread", &token));
    let notifications = unread["data"].as_array().expect("notifications");
    assert_shape(&unread, &["data", "next", "count"]);
    assert!(!notifications.is_empty(), "{unread}");
    for notification in notifications {
        assert_shape(notification, &NOTIFICATION);
    }
    assert!(!unread.to_string().contains(&token));
}

/// No node takes longer to hear that a member may act again, also on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_mins(1);

/// A site under load with an approved application, its owner, a reviewer's token and a member who uses it.
struct Stage {
    operator: Operator,
    site: RunningSite,
    third_party: ThirdParty,
    application: String,
    client_id: String,
    review: String,
    ben: Visitor,
}

impl Stage {
    /// At once where the site did it itself; in a moment where another node did.
    async fn works_again(&self, http: &reqwest::Client, token: &str) {
        let deadline = Instant::now() + PATIENCE;
        while let Operator::Node(_) = self.operator {
            let unread = with_token(http, &format!("{}/unread", self.site.url()), token).await;
            if unread.status == StatusCode::OK || Instant::now() > deadline {
                break;
            }
        }
        assert_works(http, &self.site, token).await;
    }
}

async fn given_stage() -> Stage {
    let limits = [("LIMITS_API_PER_MINUTE", "1000000"), ("LOG", "warn")];
    let site = RunningSite::start_with(&limits, &[]);
    let third_party = ThirdParty::start("127.0.0.1").await;
    site.given_member("cleo", &[]);
    site.given_member("ben", &[]);
    site.given_member("sam", &[]);
    site.given_member("rob", &["reviewer"]);
    let review = site.given_token("rob", "review").0;
    let (mut cleo, mut rob, mut ben) = (site.visitor(), site.visitor(), site.visitor());
    cleo.log_in("cleo").await;
    rob.log_in("rob").await;
    ben.log_in("ben").await;
    let application = cleo.ask_for("Reader", &format!("{}?keep=a%20b", third_party.redirect_uri())).await;
    rob.decide(&application, "approve").await;
    let client_id = cleo.client_id(&application).await;
    let operator = Operator::beside(&site).await;
    Stage { operator, site, third_party, application, client_id, review, ben }
}

/// Somebody at the command line, without the start of the program: at the control socket of a site on one machine; over a
/// database, where the command line is a node, a node in this process.
enum Operator {
    AtSocket(PathBuf),
    Node(Arc<App>),
}

impl Operator {
    async fn beside(site: &RunningSite) -> Self {
        match &site.home.database {
            None => Self::AtSocket(site.data_dir().join("control.sock")),
            Some(database) => Self::Node(node_in_this_process(&database.url).await),
        }
    }

    async fn does(&self, request: Value) -> Value {
        let socket = match self {
            Self::AtSocket(socket) => socket,
            Self::Node(app) => {
                let request = serde_json::from_value(request).expect("a request");
                let output = execute(app, request, Actor::Cli("test".to_owned())).await.expect("it is done");
                return serde_json::to_value(output).expect("JSON");
            }
        };
        let mut stream = UnixStream::connect(socket).await.expect("the control socket");
        let line = json!({ "operator": "test", "request": request }).to_string() + "\n";
        stream.write_all(line.as_bytes()).await.expect("it listens");
        let mut told = String::new();
        BufReader::new(stream).read_line(&mut told).await.expect("it answers");
        let answer: Value = serde_json::from_str(&told).expect("JSON");
        assert!(answer.get("ok").is_some(), "{told}");
        answer["ok"].clone()
    }

    /// How long the site may take to honour what was done here: nothing where it did that itself.
    fn until_honoured(&self) -> Instant {
        Instant::now()
            + match self {
                Self::AtSocket(_) => Duration::ZERO,
                Self::Node(_) => ELSEWHERE,
            }
    }
}

/// What another node has taken back is accepted for so long at most.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// Nothing that is sent after `when` is accepted any more.
async fn assert_refused_from(http: &reqwest::Client, site: &RunningSite, token: &str, code: &str, when: Instant) {
    loop {
        let sent = Instant::now();
        let unread = with_token(http, &format!("{}/unread", site.url()), token).await;
        if unread.status == StatusCode::OK && sent < when {
            continue;
        }
        assert_eq!((unread.status, unread.json()["code"].as_str()), (StatusCode::UNAUTHORIZED, Some(code)));
        return;
    }
}

async fn assert_works(http: &reqwest::Client, site: &RunningSite, token: &str) {
    let unread = with_token(http, &format!("{}/unread", site.url()), token).await;
    assert_eq!(unread.status, StatusCode::OK, "{}", unread.body);
}

async fn assert_refused(http: &reqwest::Client, site: &RunningSite, token: &str, code: &str) {
    let unread = with_token(http, &format!("{}/unread", site.url()), token).await;
    assert_eq!((unread.status, unread.json()["code"].as_str()), (StatusCode::UNAUTHORIZED, Some(code)));
}

/// Clients that send requests with tokens of their own, one after another, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(site: &RunningSite, clients: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..clients).map(|client| {
            let path = if client % 2 == 0 { "/unread" } else { "/api/v1/token" };
            let (stop, answered) = (stop.clone(), answered.clone());
            let (url, token) = (format!("{}{path}", site.url()), site.given_token("cleo", "read notifications").0);
            tokio::spawn(async move {
                let http = http();
                while !stop.load(Ordering::Relaxed) {
                    let unread = with_token(&http, &url, &token).await;
                    assert_eq!(unread.status, StatusCode::OK, "{}", unread.body);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let clients = clients.collect();
        Self { stop, answered, clients }
    }

    /// How many requests were answered, every one with 200.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("the load is answered");
        }
        self.answered.load(Ordering::Relaxed)
    }
}

/// So many rounds through each of the four doors.
fn rounds() -> u64 {
    times(25)
}

async fn remove_access(stage: &Stage, ben: &mut Visitor) {
    let http = http();
    let csrf = ben.get("/settings/authorizations").await.hidden("csrf_token");
    let path = format!("/settings/authorizations/{}/remove", stage.application);
    for _ in 0..rounds() {
        let address = ben.authorize(&stage.client_id, "s").await;
        let token = parameter(&address, "access_token").expect("a token");
        assert_works(&http, &stage.site, &token).await;
        let removed = ben.post(&path, &[("csrf_token", &csrf)]).await;
        assert_eq!(removed.status, StatusCode::SEE_OTHER, "{}", removed.body);
        assert_refused(&http, &stage.site, &token, "token_revoked").await;
    }
}

async fn revoke_tokens(stage: &Stage, ben: &mut Visitor) {
    let http = http();
    let csrf = ben.get("/settings/apps").await.hidden("csrf_token");
    for round in 0..rounds() {
        let issue = json!({ "token_issue": { "user": "ben", "scopes": "notifications", "expires": null } });
        let issued = stage.operator.does(issue).await;
        let token = issued["secret"]["secret"].as_str().expect("a token");
        let about = issued["secret"]["about"].as_str().expect("its id");
        let id = between(about, "Its id is ", ".").expect("its id");
        assert_works(&http, &stage.site, token).await;
        if round % 2 == 0 {
            let path = format!("/api/v1/tokens/{id}");
            let revoked = ben.json(Method::DELETE, &path, &csrf, &Value::Null).await;
            assert_eq!(revoked.status, StatusCode::NO_CONTENT, "{}", revoked.body);
            assert_refused(&http, &stage.site, token, "token_revoked").await;
        } else {
            stage.operator.does(json!({ "token_revoke": { "id": id } })).await;
            let when = stage.operator.until_honoured();
            assert_refused_from(&http, &stage.site, token, "token_revoked", when).await;
        }
    }
}

/// The application whose suspension is tested is another one, so that the other doors stay open meanwhile.
async fn suspend_application(stage: &Stage, application: &str, token: &str) {
    let http = http();
    let verdict = json!({ "revision": 1, "reason_code": "other", "reason": "As agreed." });
    for _ in 0..rounds() {
        assert_works(&http, &stage.site, token).await;
        for (verb, code) in [("suspend", Some("application_suspended")), ("reinstate", None)] {
            let door = format!("{}/api/v1/review/{application}/{verb}", stage.site.url());
            let decided = answer(http.post(door).header("authorization", &stage.review).json(&verdict)).await;
            assert_eq!(decided.status, StatusCode::OK, "{}", decided.body);
            if let Some(code) = code {
                assert_refused(&http, &stage.site, token, code).await;
            }
        }
    }
}

async fn suspend_account(stage: &Stage, token: &str) {
    let http = http();
    for round in 0..rounds() {
        stage.works_again(&http, token).await;
        if round % 25 == 0 {
            let told = tokio::task::block_in_place(|| stage.site.done(&["account", "suspend", "sam"]));
            assert!(told.contains("suspended"), "{told}");
        } else {
            stage.operator.does(json!({ "account_suspend": { "name": "sam" } })).await;
        }
        let when = stage.operator.until_honoured();
        assert_refused_from(&http, &stage.site, token, "user_suspended", when).await;
        stage.operator.does(json!({ "account_reinstate": { "name": "sam" } })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_is_refused_from_the_answer_on_under_load() {
    let mut stage = given_stage().await;
    // The third party gets the token beside what its own address says, and the token works.
    let address = stage.ben.authorize(&stage.client_id, "x%20y").await;
    let page = reqwest::get(address.clone()).await.expect("the third party").text().await.expect("a page");
    assert!(page.contains("Welcome back"));
    let first = stage.third_party.requests().remove(0);
    assert!(first.starts_with("/cb?keep=a%20b&access_token=csa_") && first.contains("&state=x"), "{first}");
    let token = parameter(&address, "access_token").expect("a token");
    assert_works(&http(), &stage.site, &token).await;

    let (mut cleo, mut rob) = (stage.site.visitor(), stage.site.visitor());
    cleo.log_in("cleo").await;
    rob.log_in("rob").await;
    let other = cleo.ask_for("Other", "https://other.example/cb").await;
    rob.decide(&other, "approve").await;
    let message = cleo.waiting_message("Other").await;
    let others = cleo.reveal(&message).await;
    let sams = stage.site.given_token("sam", "notifications").0;
    let (mut ben, mut bens_other_window) = (stage.ben.clone(), stage.ben.clone());

    let load = Load::start(&stage.site, 8);
    tokio::join!(
        remove_access(&stage, &mut ben),
        revoke_tokens(&stage, &mut bens_other_window),
        suspend_application(&stage, &other, &others),
        suspend_account(&stage, &sams),
    );
    let answered = load.end().await;
    if let Operator::Node(app) = stage.operator {
        app.stop().await;
    }
    println!("{answered} requests answered beside the {} rounds", 4 * rounds());
    assert!(answered > 4 * rounds(), "{answered} requests are no load");
}
