//! How fast read models come out of the log: a replay in memory against a raw ordered scan of the same table, and a
//! rebuild into tables against upserting in place. `cargo bench --bench replay` has a log of a million sealed events in
//! `SQLite`, `cargo bench --bench replay -- postgres` one of 300,000 in a throw-away `PostgreSQL`.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "shared/figures.rs"]
mod figures;
#[path = "shared/server.rs"]
mod server;

use std::{path::Path, str::FromStr as _, sync::Arc, time::Instant};

use countersign::{
    keyring::Keyring,
    projector::{Budget, Follower, Projector, Sources, build_inline, replay_in_memory},
    secrets::RootKey,
    store::{
        BuildPurpose, Cursor, EventLog, Head, LogWriter, ReadModels, StoredEvent, Vault,
        postgres::{PostgresStore, PostgresVault},
        sqlite::{SqliteStore, vault::SqliteVault},
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
use figures::{median, spread};
use server::Server;
use sqlx::{
    ConnectOptions as _, PgConnection, SqliteConnection, postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};
use tokio::sync::{mpsc, watch};

/// Events that are made and inserted at once.
const CHUNK: u64 = 10_000;
const PAGE: u32 = 1_000;
/// `rebuild_memory_mib` where nobody sets it, and what a replay of all of it in memory needs.
const AS_SET: u32 = 512;
const ALL_OF_IT: u32 = 4_096;

/// A connection that is nobody's of the program, for scans.
enum Tool {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

struct Site {
    sources: Sources,
    tool: Tool,
    events: u64,
    _server: Option<Server>,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    // Below `target`, which lies on a disk; a temporary directory may be memory.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    runtime.block_on(async {
        if std::env::args().any(|argument| argument == "postgres") {
            measure(Site::in_postgres().await, "PostgreSQL", 3).await;
        } else {
            measure(Site::in_sqlite(directory.path()).await, "SQLite", 5).await;
        }
    });
}

async fn measure(mut site: Site, database: &str, runs: usize) {
    println!("{} events, {runs} runs, interleaved; median (least to most), thousand events/s", site.events);
    let (_wake, woken) = watch::channel(());
    let (notices, _noticed) = mpsc::unbounded_channel();
    let projector = Projector::start(&site.sources, &woken, &notices).await.expect("followers");
    let head = Cursor { epoch: 1, position: Position(site.events) };
    while !projector.wait(head, &countersign::projector::every_model(), std::time::Duration::from_secs(1)).await {}
    let names: Vec<_> = TRAILING.iter().map(|projection| projection.name).collect();
    let mut rates: Vec<Vec<f64>> = vec![vec![]; 2 + names.len() * 3];
    for _ in 0..runs {
        rates[0].push(site.scan_inside().await);
        rates[1].push(site.scan().await);
        for (number, projection) in TRAILING.iter().enumerate() {
            let follower = projector.follower(projection.name).expect("a follower");
            rates[2 + number * 3].push(site.replay(projection).await);
            rates[3 + number * 3].push(site.rebuild(follower).await);
            rates[4 + number * 3].push(site.upsert(projection).await);
        }
    }
    println!("scan inside {database:10}       {}", spread(&rates[0], 0));
    println!("scan, rows fetched           {}", spread(&rates[1], 0));
    let against = |one: &[f64], other: &[f64]| median(one) / median(other);
    for (number, name) in names.iter().enumerate() {
        let [replay, rebuild, upsert] = [2, 3, 4].map(|what| &rates[what + number * 3]);
        println!("{name:10} replay in memory  {}", spread(replay, 0));
        println!(
            "{:28} {:.2} of the scan of fetched rows, {:.2} of the one inside {database}; goal 0.4",
            "",
            against(replay, &rates[1]),
            against(replay, &rates[0])
        );
        println!("{name:10} rebuild to tables {}; goal 250", spread(rebuild, 0));
        println!("{name:10} upsert in place   {}", spread(upsert, 0));
        println!("{:28} rebuild {:.1} x upsert; goal 4", "", against(rebuild, upsert));
    }
}

impl Site {
    async fn in_sqlite(data_dir: &Path) -> Self {
        let store = SqliteStore::open(data_dir).await.expect("a store");
        let vault = SqliteVault::open(data_dir).await.expect("a vault");
        let mut writer = store.writer().expect("the writer");
        let sources = filled(1_000_000, &mut writer, store.clone(), store, vault).await;
        let log = SqliteConnectOptions::new().filename(data_dir.join("log.db")).read_only(true).row_buffer_size(1_000);
        let tool = Tool::Sqlite(log.connect().await.expect("the log"));
        Self { sources, tool, events: 1_000_000, _server: None }
    }

    async fn in_postgres() -> Self {
        let server = Server::start().await;
        let store = PostgresStore::open(&server.url).await.expect("a store");
        let vault = PostgresVault::open(&server.url).await.expect("a vault");
        let mut writer = store.writer().expect("the writer");
        let sources = filled(300_000, &mut writer, store.clone(), store, vault).await;
        let log = PgConnectOptions::from_str(&server.url).expect("a URL").options([("search_path", "countersign")]);
        let mut log = log.connect().await.expect("the log");
        sqlx::raw_sql("vacuum analyze events").execute(&mut log).await.expect("as the server does by itself");
        Self { sources, tool: Tool::Postgres(log), events: 300_000, _server: Some(server) }
    }

    fn rate(&self, begin: Instant) -> f64 {
        let events = u32::try_from(self.events).expect("it is small");
        f64::from(events) / begin.elapsed().as_secs_f64() / 1_000.0
    }

    /// The table in order, every row with its payload looked at by the database, none handed out.
    async fn scan_inside(&mut self) -> f64 {
        let begin = Instant::now();
        let sum: i64 = match &mut self.tool {
            Tool::Sqlite(log) => {
                let text = "select sum(octet_length(payload) + octet_length(stream)) from (select payload, stream \
                            from events order by position limit -1)";
                sqlx::query_scalar(text).fetch_one(log).await.expect("a scan")
            }
            Tool::Postgres(log) => {
                // `offset 0` keeps the order, which a sum has no use for.
                let text = "select sum(octet_length(payload) + octet_length(stream))::bigint from (select payload, \
                            stream from events order by position offset 0) as ordered";
                sqlx::query_scalar(text).fetch_one(log).await.expect("a scan")
            }
        };
        assert!(sum > 0);
        self.rate(begin)
    }

    /// The table in order, the columns of a replay fetched page by page, none looked at.
    async fn scan(&mut self) -> f64 {
        const TEXT: &str = "select position, event_id, stream, version, type, type_version, recorded_at, actor, \
                            on_behalf_of, payload from events where position > $1 order by position limit $2";
        let begin = Instant::now();
        let mut after = 0_i64;
        loop {
            let page = i64::from(PAGE);
            let rows = match &mut self.tool {
                Tool::Sqlite(log) => {
                    sqlx::query(TEXT).bind(after).bind(page).fetch_all(log).await.expect("a page").len()
                }
                Tool::Postgres(log) => {
                    sqlx::query(TEXT).bind(after).bind(page).fetch_all(log).await.expect("a page").len()
                }
            };
            if rows == 0 {
                break;
            }
            after += i64::try_from(rows).expect("it is small");
        }
        assert_eq!(u64::try_from(after), Ok(self.events));
        self.rate(begin)
    }

    async fn replay(&self, projection: &'static Projection) -> f64 {
        let sources = Sources { memory: Arc::new(Budget::of_mib(ALL_OF_IT)), ..self.sources.clone() };
        let begin = Instant::now();
        let through = replay_in_memory(projection, &sources, Position(self.events)).await.expect("a replay");
        let rate = self.rate(begin);
        assert_eq!(through, Position(self.events), "memory holds this log");
        rate
    }

    async fn rebuild(&self, follower: &Follower) -> f64 {
        let begin = Instant::now();
        let rebuilt = follower.rebuild(&|_| {}).await.expect("rebuilt").expect("nobody else does");
        assert_eq!(rebuilt.through, Position(self.events));
        self.rate(begin)
    }

    /// As a follower does it that begins with an empty generation.
    async fn upsert(&self, projection: &'static Projection) -> f64 {
        let Sources { log, models, keyring, .. } = &self.sources;
        let mut build = models.build(projection, BuildPurpose::Compare).await.expect("a generation");
        build.finish(&[], Cursor::default()).await.expect("it is empty");
        let mut generation = build.generation().await.expect("a generation");
        let begin = Instant::now();
        let mut from = Cursor::default();
        loop {
            let page = log.replay(from.position, PAGE).await.expect("a page");
            let Some(last) = page.last() else { break };
            let to = Cursor { epoch: 1, position: last.envelope.position };
            let mut changes = vec![];
            for stored in &page {
                if projection.categories.contains(&stored.envelope.stream.category()) {
                    changes.extend((projection.project)(&keyring.read(stored).await.expect("an event")));
                }
            }
            assert!(generation.advance(changes, from, to).await.expect("applied"));
            from = to;
        }
        assert_eq!(from.position, Position(self.events));
        self.rate(begin)
    }
}

/// A log with so many events of a board.
async fn filled(
    events: u64,
    writer: &mut dyn LogWriter,
    log: Arc<dyn EventLog>,
    models: Arc<dyn ReadModels>,
    vault: Arc<dyn Vault>,
) -> Sources {
    let world = World::system();
    let directory = tempfile::tempdir().expect("a directory");
    let key = Some("5a".repeat(32));
    let root = RootKey::load_or_create(directory.path(), true, key.as_deref(), world.random()).expect("a root key");
    let keyring = Arc::new(Keyring::open(vault, log.clone(), &root, world.clone()).await.expect("a keyring"));
    build_inline(writer, log.as_ref(), &keyring).await.expect("tables");
    let state = TokenState::load(models.as_ref(), "bench").await.expect("a state");
    let mut members = vec![];
    for _ in 0..100 {
        let user = UserId(world.uuid());
        members.push((user, keyring.make(user, world.now()).await.expect("a key")));
    }
    let mut maker = Maker { world: world.clone(), keyring: keyring.clone(), state, members, posts: vec![], next: 1 };
    while maker.next <= events {
        maker.append(writer).await;
    }
    let moves = watch::channel(true).1;
    let memory = Arc::new(Budget::of_mib(AS_SET));
    Sources { log, models, keyring, codec: CODEC, world, moves, memory }
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
    async fn append(&mut self, writer: &mut dyn LogWriter) {
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
