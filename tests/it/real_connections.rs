//! The real program under those who hold connections for nothing, and what a stop leaves of those that are open.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use axum::http::StatusCode;

use crate::{
    databases::Database,
    running_site::{RunningSite, answer, http},
};

/// How long anybody else waits for an answer.
const SOON: Duration = Duration::from_secs(2);
/// No stop takes longer.
const STOP: Duration = Duration::from_secs(11);

fn connect(site: &RunningSite) -> TcpStream {
    let address = site.url().strip_prefix("http://").expect("plain http");
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("a time");
    stream
}

/// A connection on which a head has begun.
fn half_a_head(site: &RunningSite) -> TcpStream {
    let mut stream = connect(site);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").expect("it is written");
    stream
}

fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_))
}

async fn healthz(site: &RunningSite) -> StatusCode {
    let asked = answer(http().get(format!("{}/healthz", site.url())));
    tokio::time::timeout(SOON, asked).await.expect("it answers soon").status
}

#[tokio::test]
async fn whoever_holds_heads_open_keeps_nobody_out_and_not_the_command_line() {
    let few = ["sh", "-c", "ulimit -n 256; exec \"$@\"", "sh"];
    let site = RunningSite::start_in(Database::of_this_run(), &[], &few);
    site.given_member("ada", &["admin"]);
    let mut held: Vec<_> = (0..300).map(|_| half_a_head(&site)).collect();
    for _ in 0..20 {
        assert_eq!(healthz(&site).await, StatusCode::OK);
    }
    assert!(site.done(&["account", "list"]).contains("ada"));
    assert!(is_closed(&mut held[0]), "the first of them gave way");
    let metrics = answer(http().get(format!("{}/metrics", site.url()))).await.body;
    assert!(metrics.contains("countersign_connections_ended_total{why=\"gave_way\"} 1"), "{metrics}");
    if Database::of_this_run() == Database::Sqlite {
        for metric in ["countersign_disk_free_bytes ", "countersign_file_bytes{file=\"log.db\"} "] {
            assert!(metrics.contains(metric), "{metric}: {metrics}");
        }
    }
    let (_, told) = site.said();
    assert!(told.lines().filter(|line| line.contains("no connection can be taken")).count() <= 1, "{told}");
}

#[tokio::test]
async fn one_address_takes_no_more_than_its_share_and_those_at_work_are_left_alone() {
    let site = RunningSite::start_with(&[("CONNECTIONS_OF_ONE", "4")], &[]);
    let mut kept = connect(&site);
    for _ in 0..3 {
        kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").expect("it is written");
        let mut bytes = [0; 4096];
        let read = kept.read(&mut bytes).expect("an answer");
        assert!(bytes[..read].starts_with(b"HTTP/1.1 200"), "the same connection goes on");
    }
    let held: Vec<_> = (0..8).map(|_| half_a_head(&site)).collect();
    assert_eq!(healthz(&site).await, StatusCode::OK);
    drop(held);
}

#[tokio::test]
async fn a_stop_says_so_first_and_waits_for_no_half_request() {
    let mut site = RunningSite::start_with(&[("DRAIN_SECONDS", "1")], &[]);
    let mut half = half_a_head(&site);
    let mut idle = connect(&site);
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").expect("it is written");
    assert!(idle.read(&mut [0; 4096]).expect("an answer") > 0);
    let began = Instant::now();
    site.signal("TERM");
    let ready = loop {
        let ready = answer(http().get(format!("{}/readyz", site.url()))).await;
        if ready.status != StatusCode::OK {
            break ready;
        }
    };
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.body.contains("about to stop"), "{}", ready.body);
    assert_eq!(ready.header("connection"), "close");
    assert_eq!(healthz(&site).await, StatusCode::OK, "whoever comes all the same is answered");
    while site.try_wait().is_none() {
        assert!(began.elapsed() < STOP, "it takes {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(is_closed(&mut half) && is_closed(&mut idle));
    assert!(!site.said().1.contains("cut off"), "no request was: {}", site.said().1);
}
