//! How many commands a second the writer appends durably, against how often a second the same disk
//! syncs. Real commands, sealed and encoded by their callers as `app` does it: votes (one event) and
//! authorizations (two events, a guard, a named command) on `SQLite` with `synchronous=FULL`.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use countersign::{
    keyring::Keyring,
    projector::build_inline,
    secrets::RootKey,
    store::{CommandKey, sqlite::SqliteStore, sqlite::vault::SqliteVault},
    token_state::TokenState,
    world::World,
    writer::{Append, Appended, Command, NewEvent, Writer},
};
use countersign_events::{
    authorization::{AuthorizationEvent, Via},
    codec,
    event::Event,
    ids::{ApplicationId, DataKeyId, EventId, PostId, TokenId, UserId},
    post::{Direction, VoteEvent},
    recorded::{Actor, StreamName, Version},
    scope::ScopeSet,
    token::{TokenDigest, TokenKind},
};

/// Runs, each of every measure in turn, so that what else the machine does falls on all alike.
const RUNS: usize = 11;
/// How long one measure takes.
const SPAN: Duration = Duration::from_millis(800);
/// Callers, and how many commands a sync they have to reach.
const CALLERS: [(usize, f64); 3] = [(1, 0.5), (16, 2.0), (64, 3.0)];
/// As long as `SQLite` lets its write-ahead log grow here before it writes over it from the start.
const FILE_BYTES: u64 = 16 << 20;

#[derive(Clone, Copy, PartialEq)]
enum Workload {
    Votes,
    Authorizations,
}

/// What callers share.
struct Site {
    writer: Writer,
    world: World,
    keyring: Keyring,
    state: TokenState,
    data_key: DataKeyId,
    application: ApplicationId,
}

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
    let keyring = Keyring::open(vault, &root, world.clone()).await.expect("a keyring");
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

/// Commands a second of so many callers, each of which sends its next when the last is answered.
async fn run(site: &Arc<Site>, workload: Workload, callers: usize) -> f64 {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let site = site.clone();
            tokio::spawn(async move {
                let mut done = 0_u32;
                while begin.elapsed() < SPAN {
                    let append = match workload {
                        Workload::Votes => site.vote().await,
                        Workload::Authorizations => site.authorization().await,
                    };
                    let appended = site.writer.append(append).await.expect("nobody competes");
                    assert!(matches!(appended, Appended::New { .. }));
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
    f64::from(done) / begin.elapsed().as_secs_f64()
}

impl Site {
    async fn vote(&self) -> Append {
        let (post_id, user_id) = (PostId(self.world.uuid()), UserId(self.world.uuid()));
        let (direction, previous, at) = (Direction::Up, Direction::None, self.world.now());
        let event = VoteEvent::VoteCast { post_id, user_id, direction, previous, at };
        let stream = StreamName::Vote(post_id, user_id);
        let event = self.prepare(stream.clone(), user_id, event.into()).await;
        Append { events: vec![event], expected: vec![(stream, Version(0))], command: None }
    }

    async fn authorization(&self) -> Append {
        let (application_id, user_id) = (self.application, UserId(self.world.uuid()));
        let (grant, scopes, at) = (1, ScopeSet::default_requested(), self.world.now());
        let (via, application_revision) = (Via::Consent, 1);
        let granted = AuthorizationEvent::UserAuthorized {
            application_id,
            user_id,
            grant,
            application_revision,
            scopes,
            via,
            at,
        };
        let issued = AuthorizationEvent::TokenIssued {
            application_id,
            user_id,
            grant,
            token_id: TokenId(self.world.uuid()),
            kind: TokenKind::Access,
            digest: TokenDigest::from_bytes(self.world.random()),
            scopes,
            expires_at: None,
            held: None,
            at,
        };
        let stream = StreamName::Authorization(application_id, user_id);
        let mut events = vec![];
        for event in [granted, issued] {
            events.push(self.prepare(stream.clone(), user_id, event.into()).await);
        }
        let expected = vec![(stream, Version(0)), (StreamName::Application(application_id), Version(0))];
        let key = CommandKey { scope: format!("user:{user_id} authorize"), id: self.world.uuid().to_string() };
        Append { events, expected, command: Some(Command { key, body: [1; 32], answer: "null".to_owned() }) }
    }

    /// As `app` does it for every command.
    async fn prepare(&self, stream: StreamName, user: UserId, clear: Event) -> NewEvent {
        let event_id = EventId(self.world.uuid());
        let mut sealed = clear.clone();
        self.keyring.seal(&mut sealed, event_id, &self.state, None).await.expect("sealed");
        let address = self.keyring.seal_address("203.0.113.7", user, event_id, &self.state, Some(self.data_key)).await;
        NewEvent {
            event_id,
            stream,
            clear,
            encoded: codec::encode(&sealed).expect("encoded"),
            actor: Actor::User(user),
            on_behalf_of: None,
            client_address: Some(address.expect("sealed")),
            request_id: Some(self.world.uuid().to_string()),
            command_id: None,
        }
    }
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

fn median(rates: &[f64]) -> f64 {
    let mut rates = rates.to_vec();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn spread(numbers: &[f64], digits: usize) -> String {
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(0.0, f64::max);
    format!("{:7.digits$} ({least:.digits$} to {most:.digits$})", median(numbers))
}
