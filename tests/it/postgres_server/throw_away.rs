//! A `PostgreSQL` server for tests and databases on it that go away; nothing here knows the program, so that its own
//! tests of what lies inside can use it as well. The server is that of `COUNTERSIGN_TEST_POSTGRES`, a superuser's URL,
//! which `script/test` sets; without it, one of this process's own, which `script/postgres` ends when the process does.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
    str::FromStr as _,
    sync::OnceLock,
    time::Duration,
};

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions, raw_sql};
use url::Url;
use uuid::Uuid;

/// What `script/postgres` says by its exit code when no server is installed.
const NOT_INSTALLED: i32 = 3;

/// The server; its child, if it is ours, ends when this process does, because its input ends then.
pub struct Server {
    /// A superuser's.
    pub url: String,
    _child: Option<Child>,
}

/// Whether there is a server; a test that gets `false` returns at once.
///
/// Panics when none is installed and `COUNTERSIGN_TEST_ALL=1`.
pub fn require() -> bool {
    if server().is_some() {
        return true;
    }
    let everything = std::env::var_os("COUNTERSIGN_TEST_ALL").is_some_and(|value| value == "1");
    assert!(
        !everything,
        "PostgreSQL is missing, and COUNTERSIGN_TEST_ALL=1 skips nothing: run script/bootstrap --test"
    );
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    eprintln!("skipped: {test} needs PostgreSQL; script/bootstrap --test installs it");
    false
}

fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let given = || std::env::var("COUNTERSIGN_TEST_POSTGRES").ok().map(|url| Server { url, _child: None });
    SERVER.get_or_init(|| given().or_else(|| start(&[]))).as_ref()
}

/// What starts a server, and knows where its programs are.
pub fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("script/postgres"))
}

/// A server of its own, with settings such as `port=5433`, for a test that no other may disturb.
pub fn start(settings: &[&str]) -> Option<Server> {
    start_under(settings, &[])
}

/// The same, with variables in its environment.
pub fn start_under(settings: &[&str], variables: &[(String, String)]) -> Option<Server> {
    let mut child = script()
        .args(settings)
        .envs(variables.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("script/postgres can be run");
    let mut url = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut url).expect("it prints text");
    if !url.is_empty() {
        return Some(Server { url: url.trim_end().to_owned(), _child: Some(child) });
    }
    let mut told = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut told).expect("it prints text");
    let ended = child.wait().expect("it ends");
    assert_eq!(ended.code(), Some(NOT_INSTALLED), "script/postgres: {told}");
    None
}

/// A database of one test, which is dropped with this.
pub struct TestDatabase {
    pub name: String,
    pub url: String,
}

impl TestDatabase {
    /// A copy of another one, which nobody may be using; there must be a server ([`require`]).
    pub async fn copy_of(template: &str) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let mut server = connect(admin()).await;
        if template.starts_with("test_") {
            disconnect(&mut server, template).await;
        }
        run(&mut server, &format!("create database {name} template {template}")).await;
        drop(server.close().await);
        Self { url: url_of(&name), name }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = &self.name;
        let dropped = apart(async || {
            let mut server = connect(admin()).await;
            disconnect(&mut server, name).await;
            run(&mut server, &format!("drop database if exists {name} with (force)")).await;
        });
        assert!(dropped.is_ok() || std::thread::panicking(), "the database could not be dropped");
    }
}

/// Ends what is connected to a database. That takes a moment, and who drops or copies one looks every 100 ms only.
async fn disconnect(server: &mut PgConnection, database: &str) {
    let connected = format!("from pg_stat_activity where datname = '{database}'");
    run(server, &format!("select pg_terminate_backend(pid) {connected}")).await;
    for _ in 0..100 {
        let left = format!("select count(*) {connected}");
        let left = sqlx::query_scalar::<_, i64>(AssertSqlSafe(left)).fetch_one(&mut *server).await;
        if matches!(left, Ok(0)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Does what has to be waited for where nobody can wait, in a thread of its own: here a runtime may be running, which
/// cannot be waited on.
pub fn apart<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> std::thread::Result<T> {
    let with_a_runtime = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work())
    };
    std::thread::scope(|scope| scope.spawn(with_a_runtime).join())
}

/// The superuser's URL of the server's own database.
pub fn admin() -> &'static str {
    &server().expect("a test asks first whether there is one").url
}

/// The same of another database.
pub fn url_of(database: &str) -> String {
    let mut url = Url::parse(admin()).expect("COUNTERSIGN_TEST_POSTGRES is a URL");
    url.set_path(database);
    url.into()
}

/// A connection that is nobody's of the program.
pub async fn connect(url: &str) -> PgConnection {
    let options = PgConnectOptions::from_str(url).expect("a URL").disable_statement_logging();
    options.connect().await.expect("the server takes connections")
}

/// Runs statements without values.
pub async fn run(connection: &mut PgConnection, statements: &str) {
    let ran = raw_sql(AssertSqlSafe(statements.to_owned())).execute(connection).await;
    ran.unwrap_or_else(|error| panic!("{error}: {statements}"));
}
