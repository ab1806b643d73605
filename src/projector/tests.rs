//! Events that no codec stops: a projection that panics on them, changes that fit no table, rows that the database
//! refuses. Each parks its own stream, and its neighbours are applied once.

use std::{path::Path, sync::Arc, time::Duration};

use countersign_events::{
    codec::{CODEC, encode},
    event::Event,
    ids::{EventId, PostId, UserId},
    post::{Direction, VoteEvent},
    recorded::{Actor, Envelope, Position, Recorded, StreamName, Version},
};
use countersign_projections::{Change, Table, Value, change, fold::Row};
use uuid::Uuid;

use super::{
    follower::Opened,
    rebuild::{Filled, Until, fill_from_log},
    *,
};
use crate::{
    secrets::RootKey,
    store::{
        BuildPurpose, Generations as _, Head, StoredEvent, from_micros, sqlite::SqliteStore, sqlite::SqliteWriter,
        sqlite::vault::SqliteVault,
    },
};

const COUNTS: Table = Table {
    name: "counts",
    key: &[change::text("post_id")],
    columns: &[change::integer("votes")],
    indexes: &[],
    ends: &[],
};

/// Counts votes; what it does with a vote hangs on the number in the voter's id.
static COUNTING: Projection =
    Projection { name: "counting", revision: 1, tables: &[&COUNTS], categories: &["vote"], project: count };

const PANICS: u128 = 1_001;
const FITS_NOTHING: u128 = 1_002;
const OVERFLOWS: u128 = 1_003;

fn count(recorded: &Recorded<Event>) -> Vec<Change> {
    let Event::Vote(VoteEvent::VoteCast { post_id, user_id, .. }) = &recorded.event else { return vec![] };
    let key = || vec![change::id(post_id)];
    match user_id.0.as_u128() {
        // The first vote makes the row.
        1 => vec![Change::Upsert { table: &COUNTS, key: key(), set: vec![("votes", 1_i64.into())] }],
        PANICS => panic!("no such voter"),
        FITS_NOTHING => vec![Change::Patch { table: &COUNTS, key: key(), set: vec![("votes", "many".into())] }],
        OVERFLOWS => vec![Change::Increment { table: &COUNTS, key: key(), by: vec![("votes", i64::MAX)] }],
        _ => vec![Change::Increment { table: &COUNTS, key: key(), by: vec![("votes", 1)] }],
    }
}

/// A vote of a member, the so-manyth of their stream.
fn vote(position: u64, voter: u128, version: u64) -> StoredEvent {
    let (post_id, user_id) = (PostId(Uuid::from_u128(7)), UserId(Uuid::from_u128(voter)));
    let at = from_micros(1_000_000);
    let (direction, previous) = (Direction::Up, Direction::None);
    let encoded = encode(&VoteEvent::VoteCast { post_id, user_id, direction, previous, at }.into()).unwrap();
    let envelope = Envelope {
        position: Position(position),
        event_id: EventId(Uuid::from_u128(position.into())),
        stream: StreamName::Vote(post_id, user_id),
        version: Version(version),
        recorded_at: at,
        actor: Actor::System,
        on_behalf_of: None,
        client_address: None,
        request_id: None,
        command_id: None,
        causation: None,
    };
    let (type_name, type_version) = (encoded.event_type.name.to_owned(), encoded.event_type.version);
    StoredEvent { envelope, type_name, type_version, payload: encoded.payload }
}

struct Bench {
    sources: Sources,
    store: Arc<SqliteStore>,
    writer: SqliteWriter,
    voters: Vec<u128>,
    notices: mpsc::UnboundedReceiver<Notice>,
    follower: Arc<Follower>,
    woken: watch::Sender<()>,
}

/// A log with one vote of each voter, in this order, and a follower that has seen all of it.
async fn given(directory: &Path, voters: &[u128]) -> Bench {
    let world = World::system();
    let store = SqliteStore::open(directory).await.unwrap();
    let vault = SqliteVault::open(directory).await.unwrap();
    let root = RootKey::load_or_create(directory, false, None, world.random()).unwrap();
    let keyring = Arc::new(Keyring::open(vault, store.clone(), &root, world.clone()).await.unwrap());
    let writer = store.writer().unwrap();
    let moves = watch::channel(true).1;
    let memory = Arc::new(Budget::of_mib(LEAST_MIB));
    let sources = Sources { log: store.clone(), models: store.clone(), keyring, codec: CODEC, world, moves, memory };
    let (woken, receiver) = watch::channel(());
    let (sender, notices) = mpsc::unbounded_channel();
    let follower = Follower::start(&COUNTING, &sources, &receiver, &sender).await.unwrap();
    let mut bench = Bench { sources, store, writer, voters: vec![], notices, follower, woken };
    bench.vote(voters).await;
    bench
}

impl Bench {
    /// Appends votes in one commit, and waits until the follower has seen them.
    async fn vote(&mut self, voters: &[u128]) {
        let mut events = vec![];
        for voter in voters {
            self.voters.push(*voter);
            let version = self.voters.iter().filter(|earlier| *earlier == voter).count() as u64;
            events.push(vote(self.voters.len() as u64, *voter, version));
        }
        let head = self.writer.begin(&[]).await.unwrap().head;
        self.writer.insert(&events).await.unwrap();
        let end = Position(self.voters.len() as u64);
        self.writer.commit(Head { position: end, ..head }).await.unwrap();
        self.woken.send_replace(());
        let mut progress = self.follower.watch();
        let there = progress.wait_for(|progress| progress.cursor.position == end);
        tokio::time::timeout(Duration::from_secs(20), there).await.expect("it follows").unwrap();
    }

    async fn votes(&self) -> Value {
        let mut snapshot = self.store.snapshot(&COUNTING).await.unwrap();
        snapshot.rows(&COUNTS, None, 10).await.unwrap()[0][1].clone()
    }

    /// What is parked: positions, and whether each has an error of its own.
    async fn parked(&self) -> Vec<(u64, bool)> {
        let parked = self.store.parked(&COUNTING).await.unwrap();
        parked.iter().map(|parked| (parked.position.0, parked.error.is_some())).collect()
    }
}

#[tokio::test]
async fn what_panics_or_fits_no_table_parks_its_stream_and_the_rest_is_applied_once() {
    let directory = tempfile::tempdir().unwrap();
    let voters = [1, 2, PANICS, 3, PANICS, FITS_NOTHING, 4];
    let mut bench = given(directory.path(), &voters).await;
    assert_eq!(bench.votes().await, Value::Integer(4));
    assert_eq!(bench.parked().await, [(3, true), (5, false), (6, true)]);
    let errors: Vec<_> = std::iter::from_fn(|| bench.notices.try_recv().ok()).map(|notice| notice.parked).collect();
    let errors: Vec<_> = errors.iter().filter_map(|parked| parked.error.as_deref()).collect();
    assert_eq!(errors, ["the projection panicked: no such voter", "a value does not fit counts.votes"]);
    assert_eq!(bench.follower.progress().parked, 2);
}

#[tokio::test]
async fn what_the_database_refuses_is_parked_and_its_neighbours_are_applied_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = given(directory.path(), &[1]).await;
    bench.vote(&[2, OVERFLOWS, 3, OVERFLOWS, 4]).await;
    assert_eq!(bench.votes().await, Value::Integer(4));
    assert_eq!(bench.parked().await, [(3, true), (5, false)]);
}

#[tokio::test]
async fn a_rebuild_switches_and_leaves_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let bench = given(directory.path(), &[1, 2, PANICS, 3]).await;
    let paces = std::sync::Mutex::new(vec![]);
    let rebuilt = bench.follower.rebuild(&|pace| paces.lock().unwrap().push(pace.done)).await.unwrap();
    assert_eq!(rebuilt, Some(Rebuilt { generation: 2, through: Position(4) }));
    assert_eq!(bench.votes().await, Value::Integer(3));
    assert_eq!(bench.parked().await, [(3, true)]);
    let paces = paces.into_inner().unwrap();
    assert!(paces.is_sorted() && paces.last() == Some(&4), "{paces:?}");
    let files = || std::fs::read_dir(directory.path().join("models")).unwrap().map(|file| file.unwrap().file_name());
    for _ in 0..500 {
        if files().all(|file| !file.to_string_lossy().starts_with("counting-1.")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let left: Vec<_> = files().filter(|file| file.to_string_lossy().ends_with(".db")).collect();
    assert!(left.contains(&"counting-2.db".into()) && !left.contains(&"counting-1.db".into()), "{left:?}");
    assert_eq!(check(&COUNTING, &bench.sources, &|_| {}).await.unwrap().differences, []);
}

const LAST_VOTES: Table = Table {
    name: "last_votes",
    key: &[change::text("user_id")],
    columns: &[change::integer("position")],
    indexes: &[],
    ends: &[],
};

/// Keeps the last vote of each member: each brings its whole row along.
static LAST: Projection =
    Projection { name: "last", revision: 1, tables: &[&LAST_VOTES], categories: &["vote"], project: last_vote };

fn last_vote(recorded: &Recorded<Event>) -> Vec<Change> {
    let Event::Vote(VoteEvent::VoteCast { user_id, .. }) = &recorded.event else { return vec![] };
    let position = i64::try_from(recorded.envelope.position.0).unwrap().into();
    vec![Change::Upsert { table: &LAST_VOTES, key: vec![change::id(user_id)], set: vec![("position", position)] }]
}

/// Counts the votes of each member: all but the first add to a row that is there.
static SUMMED: Projection =
    Projection { name: "summed", revision: 1, tables: &[&LAST_VOTES], categories: &["vote"], project: one_more };

fn one_more(recorded: &Recorded<Event>) -> Vec<Change> {
    let Event::Vote(VoteEvent::VoteCast { user_id, .. }) = &recorded.event else { return vec![] };
    let (table, key) = (&LAST_VOTES, vec![change::id(user_id)]);
    vec![match recorded.envelope.version {
        Version(1) => Change::Upsert { table, key, set: vec![("position", 1_i64.into())] },
        _ => Change::Increment { table, key, by: vec![("position", 1)] },
    }]
}

/// The rows of a fresh build of the whole log within a budget, and what came of filling it.
async fn built(projection: &'static Projection, bench: &Bench, memory: Budget) -> (Vec<Row>, Filled) {
    let sources = Sources { memory: Arc::new(memory), ..bench.sources.clone() };
    let end = Position(bench.voters.len() as u64);
    let share = sources.memory.share(end.0).await;
    let mut build = sources.models.build(projection, BuildPurpose::Compare).await.unwrap();
    let how = (Arc::default(), Until::Through(end), 1);
    let filled = fill_from_log(projection, &sources, build.as_mut(), share, how, &|_| {}).await.unwrap();
    let generation = build.generation().await.unwrap();
    let mut rest = Opened {
        generation,
        resting: filled.parked.iter().map(|one| one.stream.clone()).collect(),
        skipped: Arc::default(),
    };
    while !rest.advance(projection, &sources, end).await.unwrap().at_the_end {}
    let rows = build.snapshot().await.unwrap().rows(&LAST_VOTES, None, 10_000).await.unwrap();
    (rows, filled)
}

#[tokio::test]
async fn a_build_that_memory_cannot_hold_makes_the_same_rows_within_its_budget() {
    const ROOM: usize = 32 << 10;
    let directory = tempfile::tempdir().unwrap();
    // Every member votes, then every member once more, the last ones first.
    let voters: Vec<_> = (1..=600).chain((1..=600).rev()).map(|number| 10_000 + number).collect();
    let bench = given(directory.path(), &voters).await;
    for projection in [&LAST, &SUMMED] {
        let (rows, whole) = built(projection, &bench, Budget::of_mib(512)).await;
        assert_eq!((rows.len(), whole.full), (600, 0), "{}", projection.name);
        assert!(whole.most > 2 * ROOM, "{}: {} bytes show nothing", projection.name, whole.most);
        let (again, filled) = built(projection, &bench, Budget::with_room_for(ROOM)).await;
        assert_eq!(again, rows, "{}", projection.name);
        assert!(filled.full > 1, "{}: full {} times", projection.name, filled.full);
        // It is looked at after each event, which brings one row here.
        assert!(filled.most <= ROOM + 200, "{}: {} bytes", projection.name, filled.most);
    }
}
