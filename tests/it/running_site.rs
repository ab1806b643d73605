//! The real program, as a process of its own on a free port, with a data directory or a database that goes away. Speaks to
//! it as people do: forms in a browser without a window, tokens in a header, the command line.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode};
use serde_json::Value;

use crate::{
    browser_double::Answer,
    databases::Database,
    support::{Home, ROOT_KEY},
};

/// The password of every member of a test.
pub const PASSWORD: &str = "correct horse battery";
/// No start takes longer, also on a machine that builds at the same time.
const STARTING: Duration = Duration::from_mins(1);

/// A running `countersign serve`; it is killed when dropped.
pub struct RunningSite {
    /// Where it lies; nothing of a node's is in its directory but what it says.
    pub home: Home,
    settings: Vec<(String, String)>,
    /// What it is run under, such as `strace` with its arguments.
    under: Vec<String>,
    child: Child,
    url: String,
    lines: mpsc::Receiver<String>,
    printed: Arc<Mutex<String>>,
}

impl RunningSite {
    pub fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// With settings, as environment variables without their prefix, and run under another program.
    pub fn start_with(settings: &[(&str, &str)], under: &[&str]) -> Self {
        Self::start_in(Database::of_this_run(), settings, under)
    }

    /// The same, in a database that the test chooses.
    pub fn start_in(database: Database, settings: &[(&str, &str)], under: &[&str]) -> Self {
        let home = Home::made_in_a(database);
        let url = home.database.as_ref().map(|database| database.url.clone());
        Self::start_at(home, url.as_deref(), settings, under)
    }

    /// A node over a database that is there already, and stays.
    pub fn node(database_url: &str, settings: &[(&str, &str)]) -> Self {
        Self::node_under(database_url, settings, &[])
    }

    /// The same, run under another program.
    pub fn node_under(database_url: &str, settings: &[(&str, &str)], under: &[&str]) -> Self {
        Self::start_at(Home::on_this_machine(), Some(database_url), settings, under)
    }

    fn start_at(home: Home, database_url: Option<&str>, settings: &[(&str, &str)], under: &[&str]) -> Self {
        let settings = settings_over(database_url, settings);
        let under: Vec<_> = under.iter().map(|word| (*word).to_owned()).collect();
        let printed = Arc::default();
        let (child, url, lines) = launch(home.directory.path(), &settings, &under, &printed);
        Self { home, settings, under, child, url, lines, printed }
    }

    /// Where it is, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The link for the first administrator, printed at each start until it was used.
    pub fn set_up_link(&self) -> String {
        let said = self.lines.recv_timeout(STARTING).expect("a line with the link");
        let (_, link) = said.split_once("within an hour: ").expect("the link");
        link.to_owned()
    }

    /// The directory that holds everything: data, key file, standard error.
    pub fn directory(&self) -> &Path {
        self.home.directory.path()
    }

    /// The data directory of a site on `SQLite`.
    pub fn data_dir(&self) -> PathBuf {
        self.home.data_dir()
    }

    /// Everything it has said: standard output of all starts, and standard error.
    pub fn said(&self) -> (String, String) {
        let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (printed, std::fs::read_to_string(self.directory().join("stderr")).expect("standard error"))
    }

    /// A command of the same program beside it.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_with(arguments, "")
    }

    /// The same, with something on standard input.
    pub fn cli_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
        child.stdin.take().expect("standard input is piped").write_all(input.as_bytes()).expect("it reads its input");
        let output = child.wait_with_output().expect("it ends");
        // Beside what the site says: on a database a command is a node, and logs what it does.
        let said = OpenOptions::new().create(true).append(true).open(self.directory().join("stderr-of-commands"));
        said.expect("a file for its errors").write_all(&output.stderr).expect("it is kept");
        output
    }

    /// A command that goes on until it is ended.
    pub fn cli_that_goes_on(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("the program starts")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.directory(), &self.settings, &[]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A command that succeeds; its standard output without the last line break.
    pub fn done(&self, arguments: &[&str]) -> String {
        text_of(&self.cli(arguments))
    }

    /// A member with a known password and roles.
    pub fn given_member(&self, name: &str, roles: &[&str]) {
        let mut arguments = vec!["account", "create", name, "--password-stdin"];
        arguments.extend(roles.iter().flat_map(|role| ["--role", role]));
        text_of(&self.cli_with(&arguments, PASSWORD));
    }

    /// A token, and its id.
    pub fn given_token(&self, user: &str, scope: &str) -> (String, String) {
        let output = self.cli(&["token", "issue", "--user", user, "--scope", scope]);
        let about = String::from_utf8_lossy(&output.stderr).into_owned();
        let (_, id) = about.split_once("Its id is ").expect("an id");
        (text_of(&output), id.split('.').next().expect("an id").to_owned())
    }

    /// Ends it at once, in the middle of whatever it does.
    pub fn kill9(&mut self) {
        self.child.kill().expect("SIGKILL can be sent");
        self.child.wait().expect("it ends");
    }

    /// Has it stop as an operator does, and waits for it.
    pub fn stop(&mut self) {
        self.signal("TERM");
        self.child.wait().expect("it ends");
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "SIG{name} can be sent");
    }

    /// Whether it has ended, and how.
    pub fn try_wait(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("it is ours")
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it has taken so far, in MiB.
    pub fn peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix(" kB"));
        peak.expect("Linux says so").trim().parse::<u64>().expect("a number") / 1024
    }

    /// Starts it again on the same data, on another port.
    pub fn restart(&mut self) {
        self.try_restart().unwrap_or_else(|told| panic!("it did not start: {told}"));
    }

    /// The same, where it may not be able to start: then what it said.
    pub fn try_restart(&mut self) -> Result<(), String> {
        let (child, url, lines) = try_launch(self.directory(), &self.settings, &self.under, &self.printed)?;
        (self.child, self.url, self.lines) = (child, url, lines);
        Ok(())
    }

    /// A setting for what is started from now on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// Somebody with a browser of their own.
    pub fn visitor(&self) -> Visitor {
        Visitor::at(&self.url)
    }
}

impl Drop for RunningSite {
    fn drop(&mut self) {
        // Not asserted: it may have been killed by the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that follows no redirect.
pub fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .expect("a client")
}

/// The program over a place where nothing runs.
pub fn program_at(home: &Home) -> Command {
    let url = home.database.as_ref().map(|database| database.url.as_str());
    program(home.directory.path(), &settings_over(url, &[]), &[])
}

/// Settings, after those of a node where there is a database.
fn settings_over(database_url: Option<&str>, settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let of_a_node = database_url.map(|url| [("DATABASE_URL", url), ("ROOT_KEY", ROOT_KEY)]);
    // No balancer has to hear of a stop.
    let settings = of_a_node.iter().flatten().chain(&[("DRAIN_SECONDS", "0")]).chain(settings);
    settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The program, with settings and nothing else of this process's tests; it has still to be told what to do.
pub fn program(directory: &Path, settings: &[(String, String)], under: &[String]) -> Command {
    let binary = env!("CARGO_BIN_EXE_countersign");
    let mut command = match under {
        [] => Command::new(binary),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(binary);
            command
        }
    };
    // What is for the tests is no setting of the program's.
    command.current_dir(directory).env_remove("COUNTERSIGN_TEST_ALL").env_remove("COUNTERSIGN_SCREENSHOTS");
    command.env("COUNTERSIGN_DATA_DIR", directory.join("site"));
    command.envs(settings.iter().map(|(key, value)| (format!("COUNTERSIGN_{key}"), value)));
    command
}

/// The program serving what lies in a directory, or in the databases of its settings; it is killed when dropped.
pub struct Serving {
    child: Child,
    /// Where it is, without a slash at the end.
    pub url: String,
}

impl Serving {
    /// Starts it; what it said where it did not.
    pub fn start(directory: &Path, settings: &[(String, String)]) -> Result<Self, String> {
        let (child, url, _) = try_launch(directory, settings, &[], &Arc::default())?;
        Ok(Self { child, url })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Launched = (Child, String, mpsc::Receiver<String>);

fn launch(directory: &Path, settings: &[(String, String)], under: &[String], printed: &Arc<Mutex<String>>) -> Launched {
    try_launch(directory, settings, under, printed).unwrap_or_else(|told| panic!("it did not start: {told}"))
}

fn try_launch(
    directory: &Path,
    settings: &[(String, String)],
    under: &[String],
    printed: &Arc<Mutex<String>>,
) -> Result<Launched, String> {
    let stderr: File =
        OpenOptions::new().create(true).append(true).open(directory.join("stderr")).expect("a file for its errors");
    let mut child = program(directory, settings, under)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .expect("the program starts");
    let (said, lines) = mpsc::channel();
    let (stdout, printed) = (child.stdout.take().expect("standard output is piped"), printed.clone());
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let mut all = printed.lock().unwrap_or_else(PoisonError::into_inner);
            all.push_str(&line);
            all.push('\n');
            drop(all);
            // The test may be done with it.
            let _ = said.send(line);
        }
    });
    let Ok(first) = lines.recv_timeout(STARTING) else {
        let told = std::fs::read_to_string(directory.join("stderr")).unwrap_or_default();
        let _ = child.kill();
        let _ = child.wait();
        return Err(told);
    };
    // In JSON, when logs are JSON.
    let first = first.trim_start_matches("{\"message\":\"").trim_end_matches("\"}");
    let url = first.strip_prefix("Countersign is at ").expect("the URL comes first").to_owned();
    Ok((child, url, lines))
}

/// Standard output of a command that succeeded.
pub fn text_of(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {out}{err}", output.status);
    out.trim_end().to_owned()
}

/// A request with a token and nothing else.
pub async fn with_token(http: &reqwest::Client, url: &str, token: &str) -> Answer {
    answer(http.get(url).header("authorization", token)).await
}

/// Sends a request and reads the whole answer.
pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    try_answer(request).await.expect("the site answers")
}

/// The same, where the site may be gone.
pub async fn try_answer(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.text().await?;
    Ok(Answer { status, headers, bytes: body.len(), body })
}

/// A browser without a window.
#[derive(Clone)]
pub struct Visitor {
    http: reqwest::Client,
    url: String,
    pub cookies: BTreeMap<String, String>,
}

impl Visitor {
    /// At the site with this address.
    pub fn at(url: &str) -> Self {
        Self { http: http(), url: url.to_owned(), cookies: BTreeMap::new() }
    }

    /// The same browser at a site that lies at another address by now.
    pub fn at_another_port(&self, url: &str) -> Self {
        Self { http: http(), url: url.to_owned(), cookies: self.cookies.clone() }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = answer(request.header("cookie", cookies.join("; "))).await;
        for set in answer.headers.get_all("set-cookie") {
            let cookie = cookie::Cookie::parse(set.to_str().expect("text").to_owned()).expect("a cookie");
            if cookie.max_age().is_some_and(cookie::time::Duration::is_zero) {
                self.cookies.remove(cookie.name());
            } else {
                self.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
            }
        }
        answer
    }

    fn at_path(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) }
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(self.http.get(self.at_path(path))).await
    }

    /// Looks at a page until it has this text: a read model may just be being built.
    pub async fn sees(&mut self, path: &str, text: &str) {
        let deadline = Instant::now() + STARTING;
        loop {
            let page = self.get(path).await.body;
            if page.contains(text) {
                return;
            }
            assert!(Instant::now() < deadline, "{path} has no {text}: {page}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Posts fields as a form, as they are.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(self.http.post(self.at_path(path)).form(fields)).await
    }

    /// Opens a page, and posts one of its forms with the page's CSRF token.
    pub async fn submit(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.get(page).await.hidden("csrf_token");
        let mut all = vec![("csrf_token", csrf.as_str())];
        all.extend(fields);
        self.post(path, &all).await
    }

    /// The same for a form that leads on.
    pub async fn submitted(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let answer = self.submit(page, path, fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        answer
    }

    pub async fn log_in(&mut self, name: &str) {
        self.log_in_with(name, PASSWORD).await;
    }

    pub async fn log_in_with(&mut self, name: &str, password: &str) {
        self.submitted("/login", "/login", &[("username", name), ("password", password)]).await;
    }

    /// What an address has to say in JSON.
    pub async fn json_at(&mut self, path: &str) -> Value {
        let answer = self.send(self.http.get(self.at_path(path)).header("accept", "application/json")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.json()
    }

    /// A JSON request of a signed-in member.
    pub async fn json(&mut self, method: Method, path: &str, csrf: &str, body: &Value) -> Answer {
        self.send(self.http.request(method, self.at_path(path)).header("x-csrf-token", csrf).json(body)).await
    }

    /// Asks for a web application and returns its id.
    pub async fn ask_for(&mut self, name: &str, redirect_uri: &str) -> String {
        let fields = [("name", name), ("redirect_uri", redirect_uri), ("description", "Reads the front page.")];
        let asked = self.submitted("/settings/apps", "/settings/apps", &fields).await;
        asked.location().rsplit('/').next().expect("an id").to_owned()
    }

    /// Decides as a reviewer, on the revision that the page shows.
    pub async fn decide(&mut self, id: &str, verb: &str) {
        let page = format!("/admin/apps/{id}");
        let revision = self.get(&page).await.hidden("revision");
        let fields = [("revision", revision.as_str()), ("reason_code", "other"), ("reason", "As agreed.")];
        self.submitted(&page, &format!("{page}/{verb}"), &fields).await;
    }

    /// The path of the message in which the token of an application waits. It comes a moment after somebody
    /// else's decision.
    pub async fn waiting_message(&mut self, application: &str) -> String {
        let deadline = Instant::now() + STARTING;
        loop {
            let inbox = self.get("/inbox").await.body;
            let about_it = |line: &&str| line.contains("a token waits") && line.contains(application);
            if let Some(line) = inbox.lines().find(about_it) {
                return between(line, "href=\"", "\"").expect("a link").to_owned();
            }
            assert!(Instant::now() < deadline, "{inbox}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Reveals the token of a message.
    pub async fn reveal(&mut self, message: &str) -> String {
        let revealed = self.submit(message, &format!("{message}/reveal"), &[]).await;
        assert_eq!(revealed.status, StatusCode::OK, "{}", revealed.body);
        between(&revealed.body, "<pre id=\"token\">", "<").expect("a token").to_owned()
    }

    /// The client id on an application's own page.
    pub async fn client_id(&mut self, id: &str) -> String {
        let page = self.get(&format!("/settings/apps/{id}")).await.body;
        between(&page, "<code id=\"client_id\">", "<").expect("a client id").to_owned()
    }

    /// Agrees on a consent page and returns the address that the browser is sent to.
    pub async fn authorize(&mut self, client_id: &str, state: &str) -> url::Url {
        let consent = self.get(&format!("/authorize/?client_id={client_id}&state={state}")).await;
        assert_eq!(consent.status, StatusCode::OK, "{} {}", consent.location(), consent.body);
        let names = ["csrf_token", "client_id", "redirect_uri", "state", "scope", "nonce"];
        let hidden = names.map(|name| (name, consent.hidden(name)));
        let mut fields: Vec<_> = hidden.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fields.push(("decision", "authorize"));
        let sent = self.post("/authorize", &fields).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.body);
        url::Url::parse(sent.location()).expect("an address")
    }
}

/// What stands between two marks.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

/// The value of a parameter of an address.
pub fn parameter(address: &url::Url, name: &str) -> Option<String> {
    address.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}
