//! What a request with a token costs: `GET /api/v1/token` of the real binary beside a bare axum handler
//! that answers the same bytes with the same headers. Both are processes of their own, asked in turn over
//! 32 connections that stay open, by a load generator in this process.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "shared/figures.rs"]
mod figures;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Response},
    routing::get,
    serve::ListenerExt as _,
};
use figures::{median, spread};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Runs, each of every server in turn, so that what else the machine does falls on all alike.
const RUNS: usize = 7;
const SPAN: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 32;
const PATH: &str = "/api/v1/token";
/// What `/proc` counts processor time in, on every Linux: hundredths of a second.
const TICKS_A_SECOND: f64 = 100.0;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("bare") {
        return bare();
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let logging = Server::countersign(&directory.path().join("logging"), "info");
    let quiet = Server::countersign(&directory.path().join("quiet"), "warn");
    let answer = logging.sample();
    let bare = Server::bare(&answer);
    assert_eq!(body(&bare.sample()), body(&answer), "the bare handler answers the same bytes");
    assert_eq!(bare.sample().len(), answer.len(), "with headers of the same length");
    let servers = [("bare axum handler", bare), ("countersign, --log warn", quiet), ("countersign", logging)];
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let mut measured = vec![vec![]; servers.len()];
    for run in 0..=RUNS {
        for (measured, (_, server)) in measured.iter_mut().zip(&servers) {
            let one = runtime.block_on(server.measure());
            // The first run only warms up.
            if run > 0 {
                measured.push(one);
            }
        }
    }
    println!("{RUNS} runs of {SPAN:?} each, interleaved, {CONNECTIONS} connections; median (least to most)");
    println!("answer: {} bytes, {} of them body", answer.len(), body(&answer).len());
    let (bare_rate, bare_cost) = medians(&measured[0]);
    for (measured, (name, _)) in measured.iter().zip(&servers) {
        let (rate, cost) = medians(measured);
        let rates: Vec<_> = measured.iter().map(|(rate, _)| *rate).collect();
        let costs: Vec<_> = measured.iter().map(|(_, cost)| *cost).collect();
        println!("{name:24} {} /s  requests/s {:.2} of bare", spread(&rates, 1), rate / bare_rate);
        println!("{:24} {} µs  processor {:.2} of bare", "", spread(&costs, 1), cost / bare_cost);
    }
    println!("goals: requests/s at least 0.90 of bare, processor time of the server a request at most 1.15");
}

/// A server in a process of its own, which ends with this.
struct Server {
    process: Child,
    address: SocketAddr,
    request: Vec<u8>,
}

impl Server {
    /// The real binary, with a member and a token, as configured but for the limit that the load would hit.
    fn countersign(data_dir: &Path, log: &str) -> Self {
        let mut create = countersign(data_dir, &["account", "create", "ada", "--password-stdin", "--new-site"]);
        let mut create = create.stdin(Stdio::piped()).spawn().expect("the binary");
        create.stdin.take().expect("a pipe").write_all(b"correct horse battery").expect("a password");
        assert!(create.wait().expect("an end").success());
        let mut issue = countersign(data_dir, &["token", "issue", "--user", "ada", "--scope", "read identity"]);
        let issued = issue.stdout(Stdio::piped()).output().expect("the binary");
        let token = String::from_utf8(issued.stdout).expect("text");
        let mut process = countersign(data_dir, &["serve", "--listen", "127.0.0.1:0", "--log", log])
            // A million at once and as many a minute: every request is counted, none refused.
            .env("COUNTERSIGN_LIMITS_API_PER_MINUTE", "1000000")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary");
        let line = first_line(&mut process);
        let address = line.rsplit("//").next().expect("an address").parse().expect("an address");
        Self { process, address, request: request(token.trim()) }
    }

    /// This program again, as a bare handler with this answer.
    fn bare(answer: &[u8]) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .arg("bare")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program again");
        process.stdin.take().expect("a pipe").write_all(answer).expect("the answer is handed over");
        let address = first_line(&mut process).parse().expect("an address");
        Self { process, address, request: request("as-long-as-a-token-is-so-that-requests-are-the-same") }
    }

    /// One whole answer.
    fn sample(&self) -> Vec<u8> {
        let mut stream = std::net::TcpStream::connect(self.address).expect("a connection");
        stream.write_all(&self.request).expect("a request");
        let mut answer = vec![0; 8192];
        let mut length = 0;
        while whole(&answer[..length]).is_none() {
            length += stream.read(&mut answer[length..]).expect("an answer");
        }
        answer.truncate(length);
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
        answer
    }

    /// Requests a second, and microseconds of processor time that the server takes for one.
    async fn measure(&self) -> (f64, f64) {
        let (begin, used) = (Instant::now(), self.processor());
        let connections: Vec<_> =
            (0..CONNECTIONS).map(|_| tokio::spawn(ask(self.address, self.request.clone(), begin))).collect();
        let mut done = 0.0;
        for connection in connections {
            done += f64::from(connection.await.expect("a connection"));
        }
        (done / begin.elapsed().as_secs_f64(), (self.processor() - used) / done * 1e6)
    }

    /// Seconds of processor time that it has taken so far.
    fn processor(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it runs");
        // Counted behind the name, which may hold anything: user and system time are the 12th and 13th.
        let fields = stat.rsplit(") ").next().expect("fields").split(' ').skip(11).take(2);
        fields.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / TICKS_A_SECOND
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn countersign(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(arguments).arg("--data-dir").arg(data_dir).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn first_line(process: &mut Child) -> String {
    let mut line = String::new();
    let output = process.stdout.as_mut().expect("a pipe");
    BufReader::with_capacity(1, output).read_line(&mut line).expect("a line");
    line.trim().to_owned()
}

fn request(token: &str) -> Vec<u8> {
    format!("GET {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\naccept: */*\r\n\r\n")
        .into_bytes()
}

/// Asks and waits for the answer, again and again.
async fn ask(address: SocketAddr, request: Vec<u8>, begin: Instant) -> u32 {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let mut answer = vec![0; 8192];
    let mut done = 0;
    while begin.elapsed() < SPAN {
        stream.write_all(&request).await.expect("a request");
        let mut length = 0;
        while whole(&answer[..length]).is_none() {
            let read = stream.read(&mut answer[length..]).await.expect("an answer");
            assert!(read > 0, "the server hung up");
            length += read;
        }
        assert_eq!(&answer[9..12], b"200");
        done += 1;
    }
    done
}

/// The length of an answer, once it is all there.
fn whole(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let name = b"content-length: ";
    let at = answer[..head].windows(name.len()).position(|window| window == name)? + name.len();
    let digits = answer[at..head].iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    (answer.len() >= head + length).then_some(head + length)
}

fn body(answer: &[u8]) -> &[u8] {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    &answer[head + 4..]
}

fn medians(measured: &[(f64, f64)]) -> (f64, f64) {
    let rates: Vec<_> = measured.iter().map(|(rate, _)| *rate).collect();
    let costs: Vec<_> = measured.iter().map(|(_, cost)| *cost).collect();
    (median(&rates), median(&costs))
}

/// Serves the answer that stands on standard input. What axum and hyper add by themselves is left to them.
fn bare() {
    let mut answer = vec![];
    std::io::stdin().read_to_end(&mut answer).expect("an answer");
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let content = axum::body::Bytes::copy_from_slice(&answer[head + 4..]);
    let mut headers = HeaderMap::new();
    for line in answer[..head].split(|byte| *byte == b'\n').skip(1) {
        let line = std::str::from_utf8(line).expect("text").trim();
        let (name, value) = line.split_once(": ").expect("a header");
        if !["content-length", "date"].contains(&name) {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
    }
    let handler = move || {
        let mut response = Response::new(Body::from(content.clone()));
        response.headers_mut().clone_from(&headers);
        std::future::ready(response)
    };
    tokio::runtime::Runtime::new().expect("threads").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        let site = Router::new().route(PATH, get(handler)).into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, site).await.expect("it serves");
    });
}
