//! How many commands a second nodes append durably to one log in `PostgreSQL`, against one locked transaction a command
//! by as many callers. The server is a throw-away one that waits for its disk.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "shared/figures.rs"]
mod figures;
#[path = "shared/server.rs"]
mod server;
#[path = "shared/workload.rs"]
mod workload;

use std::{sync::Arc, time::Instant};

use countersign::{
    keyring::Keyring,
    projector::build_inline,
    secrets::RootKey,
    store::{
        LogWriter as _, StoredEvent,
        postgres::{PostgresStore, PostgresVault},
    },
    token_state::TokenState,
    world::World,
    writer::Writer,
};
use countersign_events::{
    ids::{ApplicationId, UserId},
    recorded::{Envelope, Version},
};
use figures::spread;
use server::Server;
use workload::{SPAN, Site, Workload, run};

/// Runs, each of every measure in turn, so that what else the machine does falls on all alike.
const RUNS: usize = 7;
/// Callers in all, and how many times the rate of one locked transaction a command they have to reach.
const CALLERS: [(usize, f64); 2] = [(16, 5.0), (64, 12.0)];
const NODES: [usize; 2] = [1, 4];

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async { measure(&Server::start().await.url).await });
}

async fn measure(url: &str) {
    let mut nodes = vec![];
    for _ in 0..4 {
        nodes.push(Arc::new(node(url).await));
    }
    let mut alone = vec![vec![]; CALLERS.len()];
    let mut together = vec![vec![]; CALLERS.len() * NODES.len()];
    let mut ratios = together.clone();
    let mut authorizations = vec![vec![]; NODES.len()];
    run(&nodes[0], Workload::Votes, 16).await;
    for _ in 0..RUNS {
        for (number, (callers, _)) in CALLERS.iter().enumerate() {
            let one_by_one = one_transaction_a_command(url, &nodes[0], *callers).await;
            alone[number].push(one_by_one);
            for (of, count) in NODES.iter().enumerate() {
                let runs = nodes[..*count].iter().map(|node| run(node, Workload::Votes, callers / count));
                let rate: f64 = futures_util::future::join_all(runs).await.iter().sum();
                together[number * NODES.len() + of].push(rate);
                ratios[number * NODES.len() + of].push(rate / one_by_one);
            }
        }
        for (of, count) in NODES.iter().enumerate() {
            let runs = nodes[..*count].iter().map(|node| run(node, Workload::Authorizations, 64 / count));
            authorizations[of].push(futures_util::future::join_all(runs).await.iter().sum());
        }
    }
    println!("{RUNS} runs of {SPAN:?} each, interleaved; median (least to most)");
    for (number, (callers, goal)) in CALLERS.iter().enumerate() {
        println!("one transaction a command  {callers:2} callers   {} commands/s", spread(&alone[number], 0));
        for (of, count) in NODES.iter().enumerate() {
            let place = number * NODES.len() + of;
            println!(
                "{count} node(s)                  {callers:2} callers   {} commands/s",
                spread(&together[place], 0)
            );
            println!("{:39} {} times; goal {goal}", "", spread(&ratios[place], 1));
        }
    }
    for (of, count) in NODES.iter().enumerate() {
        println!("{count} node(s), authorizations  64 callers   {} commands/s", spread(&authorizations[of], 0));
    }
}

async fn node(url: &str) -> Site {
    let world = World::system();
    let store = PostgresStore::open(url).await.expect("a store");
    let vault = PostgresVault::open(url).await.expect("a vault");
    let directory = tempfile::tempdir().expect("a directory");
    let key = Some("5a".repeat(32));
    let root = RootKey::load_or_create(directory.path(), true, key.as_deref(), world.random()).expect("a root key");
    let keyring = Keyring::open(vault, store.clone(), &root, world.clone()).await.expect("a keyring");
    let user = UserId(world.uuid());
    let data_key = keyring.make(user, world.now()).await.expect("a key");
    let mut log = store.writer().expect("the writer");
    build_inline(&mut log, store.as_ref(), &keyring).await.expect("tables");
    let state = TokenState::load(store.as_ref(), "bench").await.expect("a state");
    let (writer, _) = Writer::start(Box::new(log), world.clone(), Arc::new(|_| Box::pin(async {})));
    let application = ApplicationId(world.uuid());
    Site { writer, world, keyring, state, data_key, application }
}

/// The same events, a transaction each under the lock of the head, by as many connections.
async fn one_transaction_a_command(url: &str, site: &Arc<Site>, callers: usize) -> f64 {
    let mut writers = vec![];
    for _ in 0..callers {
        let store = PostgresStore::open(url).await.expect("a store");
        let mut writer = store.writer().expect("the writer");
        // Connects before the clock runs.
        writer.begin(&[]).await.expect("begun");
        writer.rollback().await.expect("undone");
        writers.push(writer);
    }
    let start = Instant::now();
    let tasks: Vec<_> = writers
        .into_iter()
        .map(|mut writer| {
            let site = site.clone();
            tokio::spawn(async move {
                let mut done = 0_u32;
                while start.elapsed() < SPAN {
                    let event = site.vote().await.events.remove(0);
                    let begun = writer.begin(std::slice::from_ref(&event.stream)).await.expect("begun");
                    let position = begun.head.position.next();
                    let recorded_at = begun.now.expect("the server's clock").max(begun.head.recorded_at);
                    let envelope = Envelope {
                        position,
                        event_id: event.event_id,
                        stream: event.stream,
                        version: Version(1),
                        recorded_at,
                        actor: event.actor,
                        on_behalf_of: None,
                        client_address: event.client_address,
                        request_id: event.request_id,
                        command_id: None,
                        causation: None,
                    };
                    let stored = StoredEvent {
                        envelope,
                        type_name: event.encoded.event_type.name.to_owned(),
                        type_version: event.encoded.event_type.version,
                        payload: event.encoded.payload,
                    };
                    writer.insert(&[stored]).await.expect("inserted");
                    let head = countersign::store::Head { position, recorded_at, ..begun.head };
                    writer.commit(head).await.expect("committed");
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.expect("a caller");
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}
