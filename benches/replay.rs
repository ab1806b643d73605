//! How fast read models come out of the log: a replay in memory against a raw ordered scan of the same table, and a
//! rebuild into tables against upserting in place, over a log of a million sealed events.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::{path::Path, sync::Arc, time::Instant};

use countersign::{
    keyring::Keyring,
    projector::{Follower, Projector, Sources, build_inline, replay_in_memory},
    secrets::RootKey,
    store::{
        BuildPurpose, Cursor, EventLog as _, Generations as _, Head, LogWriter as _, StoredEvent,
        sqlite::{SqliteStore, SqliteWriter, vault::SqliteVault},
    },
    token_state::TokenState,
    world::World,
};
use countersign_events::{
    codec::{self, CODEC},
    event::Event,
    ids::{CommentId, DataKeyId, EventId, MessageId, PostId, UserId},
    inbox::{InboxEvent, Topic},
    post::{Direction, PostEvent, VoteEvent},
    recorded::{Actor, Envelope, Position, StreamName, Version},
};
use countersign_projections::{Projection, TRAILING};
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, watch};

const EVENTS: u64 = 1_000_000;
const RUNS: usize = 5;
/// Events that are made and inserted at once.
const CHUNK: u64 = 10_000;
const PAGE: u32 = 1_000;

struct Site {
    sources: Sources,
    store: Arc<SqliteStore>,
    log: SqliteConnection,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    // Below `target`, which lies on a disk; a temporary directory may be memory.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    runtime.block_on(measure(directory.path()));
}

async fn measure(directory: &Path) {
    let mut site = open(&directory.join("site")).await;
    println!("{EVENTS} events, {RUNS} runs, interleaved; median (least to most), thousand events/s");
    let (_wake, woken) = watch::channel(());
    let (notices, _noticed) = mpsc::unbounded_channel();
    let projector = Projector::start(&site.sources, &woken, &notices).await.expect("followers");
    let head = Cursor { epoch: 1, position: Position(EVENTS) };
    while !projector.wait(head, std::time::Duration::from_secs(1)).await {}
    let names: Vec<_> = TRAILING.iter().map(|projection| projection.name).collect();
    let mut rates: Vec<Vec<f64>> = vec![vec![]; 2 + names.len() * 3];
    for _ in 0..RUNS {
        rates[0].push(inside(&mut site.log).await);
        rates[1].push(scan(&mut site.log).await);
        for (number, projection) in TRAILING.iter().enumerate() {
            let follower = projector.follower(projection.name).expect("a follower");
            rates[2 + number * 3].push(replay(&site.sources, projection).await);
            rates[3 + number * 3].push(rebuild(follower).await);
            rates[4 + number * 3].push(upsert(&site, projection).await);
        }
    }
    println!("scan inside SQLite           {}", spread(&rates[0]));
    println!("scan, rows fetched           {}", spread(&rates[1]));
    let against = |one: &[f64], other: &[f64]| median(one) / median(other);
    for (number, name) in names.iter().enumerate() {
        let [replay, rebuild, upsert] = [2, 3, 4].map(|what| &rates[what + number * 3]);
        println!("{name:10} replay in memory  {}", spread(replay));
        println!(
            "{:28} {:.2} of the scan of fetched rows, {:.2} of the one inside SQLite; goal 0.4",
            "",
            against(replay, &rates[1]),
            against(replay, &rates[0])
        );
        println!("{name:10} rebuild to tables {}; goal 250", spread(rebuild));
        println!("{name:10} upsert in place   {}", spread(upsert));
        println!("{:28} rebuild {:.1} x upsert; goal 4", "", against(rebuild, upsert));
    }
}

async fn open(data_dir: &Path) -> Site {
    let world = World::system();
    let store = SqliteStore::open(data_dir).await.expect("a store");
    let vault = SqliteVault::open(data_dir).await.expect("a vault");
    let root = RootKey::load_or_create(data_dir, false, None, world.random()).expect("a root key");
    let keyring = Arc::new(Keyring::open(vault, &root, world.clone()).await.expect("a keyring"));
    let mut writer = store.writer().expect("the writer");
    build_inline(&mut writer, store.as_ref(), &keyring).await.expect("tables");
    let state = TokenState::load(store.as_ref(), "bench").await.expect("a state");
    let mut members = vec![];
    for _ in 0..100 {
        let user = UserId(world.uuid());
        members.push((user, keyring.make(user, world.now()).await.expect("a key")));
    }
    let mut maker = Maker { world: world.clone(), keyring: keyring.clone(), state, members, posts: vec![], next: 1 };
    while maker.next <= EVENTS {
        maker.append(&mut writer).await;
    }
    let log = SqliteConnectOptions::new().filename(data_dir.join("log.db")).read_only(true).row_buffer_size(1_000);
    let moves = tokio::sync::watch::channel(true).1;
    let sources = Sources { log: store.clone(), models: store.clone(), keyring, codec: CODEC, world, moves };
    Site { sources, store, log: log.connect().await.expect("the log") }
}

/// Makes a board's log: one post in ten events, three comments, five votes, and a letter.
struct Maker {
    world: World,
    keyring: Arc<Keyring>,
    state: TokenState,
    members: Vec<(UserId, DataKeyId)>,
    /// Posts with their authors and the number of events in their streams.
    posts: Vec<(PostId, UserId, u64)>,
    next: u64,
}

impl Maker {
    async fn append(&mut self, writer: &mut SqliteWriter) {
        let mut events = vec![];
        for _ in 0..CHUNK {
            events.push(self.event().await);
            self.next += 1;
        }
        let head = writer.begin(&[]).await.expect("begun").head;
        writer.insert(&events).await.expect("inserted");
        let recorded_at = self.world.now();
        writer.commit(Head { position: Position(self.next - 1), recorded_at, ..head }).await.expect("committed");
    }

    async fn event(&mut self) -> StoredEvent {
        let number = self.next;
        let at = self.world.now();
        let place = usize::try_from(number * 7).expect("it is small");
        let (user, key) = self.members[place % self.members.len()];
        let text = || "A text as people write it, of a line or two: it says what it is about and why.".into();
        let (stream, version, event): (_, _, Event) = match number % 10 {
            1 => {
                let post_id = PostId(self.world.uuid());
                self.posts.push((post_id, user, 1));
                let title = "A title of a few words".into();
                let event = PostEvent::PostPublished {
                    post_id,
                    author: user,
                    title,
                    url: None,
                    body: text(),
                    mentions: vec![],
                    at,
                };
                (StreamName::Post(post_id), 1, event.into())
            }
            2..=4 => {
                let place = place % self.posts.len();
                let (post_id, answers, version) = &mut self.posts[place];
                *version += 1;
                let (post_id, answers, version) = (*post_id, *answers, *version);
                let comment_id = CommentId(self.world.uuid());
                let (parent, mentions, body) = (None, vec![], text());
                let event =
                    PostEvent::CommentPosted { post_id, comment_id, parent, author: user, answers, mentions, body, at };
                (StreamName::Post(post_id), version, event.into())
            }
            0 => {
                let (message_id, to) = (MessageId(self.world.uuid()), UserId(self.world.uuid()));
                let (topic, title, body) = (Topic::Letter, "A letter".into(), text());
                let from = Some(user);
                let event = InboxEvent::PrivateMessageSent { message_id, to, from, topic, title, body, held: None, at };
                (StreamName::Inbox(to), 1, event.into())
            }
            _ => {
                let (post_id, ..) = self.posts[place % self.posts.len()];
                let user_id = UserId(self.world.uuid());
                let (direction, previous) = (Direction::Up, Direction::None);
                let event = VoteEvent::VoteCast { post_id, user_id, direction, previous, at };
                (StreamName::Vote(post_id, user_id), 1, event.into())
            }
        };
        let event_id = EventId(self.world.uuid());
        let mut sealed = event;
        self.keyring.seal(&mut sealed, event_id, &self.state, Some(key)).await.expect("sealed");
        let address = self.keyring.seal_address("203.0.113.7", user, event_id, &self.state, Some(key)).await;
        let encoded = codec::encode(&sealed).expect("encoded");
        let envelope = Envelope {
            position: Position(number),
            event_id,
            stream,
            version: Version(version),
            recorded_at: at,
            actor: Actor::User(user),
            on_behalf_of: None,
            client_address: Some(address.expect("sealed")),
            request_id: Some(event_id.to_string()),
            command_id: None,
            causation: None,
        };
        let (type_name, type_version) = (encoded.event_type.name.to_owned(), encoded.event_type.version);
        StoredEvent { envelope, type_name, type_version, payload: encoded.payload }
    }
}

fn rate(begin: Instant) -> f64 {
    let events = u32::try_from(EVENTS).expect("it is small");
    f64::from(events) / begin.elapsed().as_secs_f64() / 1_000.0
}

/// The table in order, every row with its payload looked at by `SQLite`, none handed out.
async fn inside(log: &mut SqliteConnection) -> f64 {
    let begin = Instant::now();
    let text = "select sum(octet_length(payload) + octet_length(stream)) from (select payload, stream from events \
                order by position limit -1)";
    let sum: i64 = sqlx::query_scalar(text).fetch_one(log).await.expect("a scan");
    assert!(sum > 0);
    rate(begin)
}

/// The table in order, the columns of a replay fetched page by page, none looked at.
async fn scan(log: &mut SqliteConnection) -> f64 {
    let begin = Instant::now();
    let (mut after, mut seen) = (0_i64, 0_u64);
    loop {
        let text = "select position, event_id, stream, version, type, type_version, recorded_at, actor, on_behalf_of, \
                    payload from events where position > ? order by position limit ?";
        let rows = sqlx::query(text).bind(after).bind(PAGE).fetch_all(&mut *log).await.expect("a page");
        if rows.is_empty() {
            break;
        }
        seen += rows.len() as u64;
        after += i64::try_from(rows.len()).expect("it is small");
    }
    assert_eq!(seen, EVENTS);
    rate(begin)
}

async fn replay(sources: &Sources, projection: &'static Projection) -> f64 {
    let begin = Instant::now();
    let through = replay_in_memory(projection, sources, Position(EVENTS)).await.expect("a replay");
    let rate = rate(begin);
    assert_eq!(through, Position(EVENTS), "memory holds this log");
    rate
}

async fn rebuild(follower: &Follower) -> f64 {
    let begin = Instant::now();
    let rebuilt = follower.rebuild(&|_| {}).await.expect("rebuilt").expect("nobody else does");
    assert_eq!(rebuilt.through, Position(EVENTS));
    rate(begin)
}

/// As a follower does it that begins with an empty generation.
async fn upsert(site: &Site, projection: &'static Projection) -> f64 {
    let mut build = site.store.build(projection, BuildPurpose::Compare).await.expect("a generation");
    build.finish(&[], Cursor::default()).await.expect("it is empty");
    let mut generation = build.generation().await.expect("a generation");
    let begin = Instant::now();
    let mut from = Cursor::default();
    loop {
        let page = site.store.replay(from.position, PAGE).await.expect("a page");
        let Some(last) = page.last() else { break };
        let to = Cursor { epoch: 1, position: last.envelope.position };
        let mut changes = vec![];
        for stored in &page {
            if projection.categories.contains(&stored.envelope.stream.category()) {
                changes.extend((projection.project)(&site.sources.keyring.read(stored).await.expect("an event")));
            }
        }
        assert!(generation.advance(changes, from, to).await.expect("applied"));
        from = to;
    }
    assert_eq!(from.position, Position(EVENTS));
    rate(begin)
}

fn median(rates: &[f64]) -> f64 {
    let mut rates = rates.to_vec();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn spread(numbers: &[f64]) -> String {
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(0.0, f64::max);
    format!("{:6.0} ({least:.0} to {most:.0})", median(numbers))
}
