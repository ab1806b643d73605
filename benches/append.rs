//! How many commands a second the writer appends durably, against how often a second the same disk
//! syncs. Real commands, sealed and encoded by their callers as `app` does it: votes (one event) and
//! authorizations (two events, a guard, a named command) on `SQLite` with `synchronous=FULL`.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "shared/figures.rs"]
mod figures;
#[path = "shared/workload.rs"]
mod workload;

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
    time::Instant,
};

use countersign::{
    keyring::Keyring,
    projector::build_inline,
    secrets::RootKey,
    store::{sqlite::SqliteStore, sqlite::vault::SqliteVault},
    token_state::TokenState,
    world::World,
    writer::Writer,
};
use countersign_events::ids::{ApplicationId, UserId};
use figures::spread;
use workload::{SPAN, Site, Workload, run};

/// Runs, each of every measure in turn, so that what else the machine does falls on all alike.
const RUNS: usize = 11;
/// Callers, and how many commands a sync they have to reach.
const CALLERS: [(usize, f64); 3] = [(1, 0.5), (16, 2.0), (64, 3.0)];
/// As long as `SQLite` lets its write-ahead log grow here before it writes over it from the start.
const FILE_BYTES: u64 = 16 << 20;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    // Below `target`, which lies on a disk; a temporary directory may be memory.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let site = Arc::new(runtime.block_on(open(directory.path())));
    let mut syncs = Disk::new(&directory.path().join("disk"));
    let cases: Vec<_> = [Workload::Votes, Workload::Authorizations]
        .into_iter()
        .flat_map(|workload| CALLERS.map(|(callers, goal)| (workload, callers, goal)))
        .collect();
    let mut rates: Vec<Vec<f64>> = vec![vec![]; cases.len()];
    let mut ratios = rates.clone();
    runtime.block_on(run(&site, Workload::Votes, 16));
    let mut disk = vec![syncs.rate(File::sync_all)];
    let mut data_only = vec![];
    for _ in 0..RUNS {
        data_only.push(syncs.rate(File::sync_data));
        for (number, (workload, callers, _)) in cases.iter().enumerate() {
            let before = disk[disk.len() - 1];
            let rate = runtime.block_on(run(&site, *workload, *callers));
            disk.push(syncs.rate(File::sync_all));
            rates[number].push(rate);
            // Against what the disk did right before and right after.
            ratios[number].push(rate * 2.0 / (before + disk[disk.len() - 1]));
        }
    }
    println!("{RUNS} runs of {SPAN:?} each, interleaved; median (least to most)");
    println!("disk: 4 KiB and fsync       {} /s", spread(&disk, 0));
    println!("disk: 4 KiB and fdatasync   {} /s", spread(&data_only, 0));
    for (number, (workload, callers, goal)) in cases.iter().enumerate() {
        let is_votes = *workload == Workload::Votes;
        let name = if is_votes { "votes" } else { "authorizations" };
        let goal = if is_votes { format!("; goal {goal}") } else { String::new() };
        println!("{name:14} {callers:2} callers   {} commands/s", spread(&rates[number], 0));
        println!("{:27} {} commands a sync{goal}", "", spread(&ratios[number], 2));
    }
}

async fn open(directory: &Path) -> Site {
    let world = World::system();
    let data_dir = directory.join("site");
    let store = SqliteStore::open(&data_dir).await.expect("a store");
    let vault = SqliteVault::open(&data_dir).await.expect("a vault");
    let root = RootKey::load_or_create(&data_dir, false, None, world.random()).expect("a root key");
    let keyring = Keyring::open(vault, store.clone(), &root, world.clone()).await.expect("a keyring");
    let user = UserId(world.uuid());
    let data_key = keyring.make(user, world.now()).await.expect("a key");
    let mut log = store.writer().expect("the writer");
    assert_eq!(log.pragmas().await.expect("pragmas"), (2, "wal".to_owned()), "FULL and WAL");
    build_inline(&mut log, store.as_ref(), &keyring).await.expect("tables");
    let state = TokenState::load(store.as_ref(), "bench").await.expect("a state");
    let (writer, _) = Writer::start(Box::new(log), world.clone(), Arc::new(|_| Box::pin(async {})));
    let application = ApplicationId(world.uuid());
    Site { writer, world, keyring, state, data_key, application }
}

/// A file that is written over from the start once it is full, as a write-ahead log is.
struct Disk {
    file: File,
    at: u64,
}

impl Disk {
    fn new(path: &Path) -> Self {
        let mut file = File::create(path).expect("a file");
        file.write_all(&vec![1; usize::try_from(FILE_BYTES).expect("it is small")]).expect("room on the disk");
        file.sync_all().expect("a sync");
        Self { file, at: 0 }
    }

    /// Writes and syncs a second; `SQLite` as it is built here calls `fsync`.
    fn rate(&mut self, sync: fn(&File) -> std::io::Result<()>) -> f64 {
        let (begin, mut done) = (Instant::now(), 0_u32);
        while begin.elapsed() < SPAN / 2 {
            self.file.seek(SeekFrom::Start(self.at)).expect("within the file");
            self.file.write_all(&[2; 4096]).expect("room on the disk");
            sync(&self.file).expect("a sync");
            self.at = (self.at + 4096) % FILE_BYTES;
            done += 1;
        }
        f64::from(done) / begin.elapsed().as_secs_f64()
    }
}
