//! A whole site in a temporary directory or a database of its own, with a clock that tests move and entropy with a seed.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use countersign::{
    app::{
        App, Caller, NamedCommand, Stores, accounts::Joining, applications::Request, reviews::Verb, reviews::Verdict,
    },
    config::{Config, Flags},
    judged_time::Reading,
    secrets::{Cost, RootKey},
    store::{
        Vault,
        postgres::{PostgresStore, PostgresVault},
        shared::Shared,
        sqlite::{SqliteStore, vault::SqliteVault},
    },
    world::{Clock, Entropy, World},
};
use countersign_events::{
    account::Role,
    codec::{CODEC, Codec},
    ids::{ApplicationId, MessageId, UserId},
    recorded::{Actor, Timestamp},
};
use tempfile::TempDir;

use crate::{
    databases::{Database, Tool},
    postgres_server::{self, TestDatabase},
};

/// The key above all keys of a site that lies in a database.
pub const ROOT_KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

/// A clock that moves when a test says so.
pub struct TestClock(Mutex<Reading>);

impl TestClock {
    /// That begins at an instant.
    pub fn at(micros: i64) -> Self {
        let wall = Timestamp::from_timestamp_micros(micros).expect("a time of this century");
        Self(Mutex::new(Reading { wall, uptime: Duration::from_hours(1) }))
    }

    /// Time passes.
    pub fn advance(&self, by: TimeDelta) {
        let mut reading = self.0.lock().expect("a clock");
        *reading = Reading { wall: reading.wall + by, uptime: reading.uptime + by.to_std().expect("time goes on") };
    }

    /// The wall clock jumps, and no time passes.
    pub fn step(&self, by: TimeDelta) {
        self.0.lock().expect("a clock").wall += by;
    }
}

impl Clock for TestClock {
    fn read(&self) -> Reading {
        *self.0.lock().expect("a clock")
    }
}

/// Bytes that are the same in every run and never twice in one.
struct SeededEntropy(AtomicU64);

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let draw = self.0.fetch_add(1, Ordering::SeqCst);
        blake3::Hasher::new().update(b"test entropy").update(&draw.to_le_bytes()).finalize_xof().fill(bytes);
    }
}

/// Where the entropy of the next restarted site begins.
static RESTARTS: AtomicU64 = AtomicU64::new(1_000_000);

/// A site with what it lies in.
pub struct TestApp {
    pub app: Arc<App>,
    pub clock: Arc<TestClock>,
    pub home: Home,
}

/// Where a site lies: in a directory, or in a database and nothing in the directory.
pub struct Home {
    pub directory: TempDir,
    pub database: Option<TestDatabase>,
}

impl Home {
    async fn in_a(database: Database) -> Self {
        match database {
            Database::Sqlite => Self::on_this_machine(),
            Database::Postgres => Self { database: Some(TestDatabase::create().await), ..Self::on_this_machine() },
        }
    }

    /// The same, for who cannot wait.
    pub fn made_in_a(database: Database) -> Self {
        let made = postgres_server::apart(async || Self::in_a(database).await);
        made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// With no database of its own.
    pub fn on_this_machine() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory"), database: None }
    }

    /// The data directory of a site on `SQLite`.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("site")
    }

    /// Somebody else's connection to the database of the log, with its inline read models.
    pub async fn log(&self) -> Tool {
        match &self.database {
            None => Tool::of_file(&self.data_dir().join("log.db")).await,
            Some(database) => Tool::Postgres(database.tool().await),
        }
    }

    /// Somebody else's connection to the database of the vault.
    pub async fn vault_tables(&self) -> Tool {
        match &self.database {
            None => Tool::of_file(&self.data_dir().join("vault.db")).await,
            Some(database) => {
                let mut tool = Tool::Postgres(database.tool().await);
                // The log has a table of outcomes as well.
                tool.run("set search_path to countersign_vault").await;
                tool
            }
        }
    }

    /// Somebody else's connection to a generation of a trailing read model.
    pub async fn model(&self, name: &str, generation: u64) -> Tool {
        match &self.database {
            None => Tool::of_file(&self.data_dir().join(format!("models/{name}-{generation}.db"))).await,
            Some(database) => {
                let mut tool = Tool::Postgres(database.tool().await);
                tool.run(&format!("set search_path to countersign_{name}_{generation}, countersign")).await;
                tool
            }
        }
    }

    /// The numbers of the generations of a trailing read model that there are.
    pub async fn generations(&self, name: &str) -> Vec<u64> {
        let names = match &self.database {
            None => {
                let files = std::fs::read_dir(self.data_dir().join("models")).expect("a directory");
                let names = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
                let start = format!("{name}-");
                names.filter_map(|file| Some(file.strip_prefix(&start)?.strip_suffix(".db")?.to_owned())).collect()
            }
            Some(database) => {
                let start = format!("countersign_{name}_");
                let ask = format!("select nspname::text from pg_namespace where starts_with(nspname::text, '{start}')");
                let names = Tool::Postgres(database.tool().await).texts(&ask).await;
                names.iter().map(|schema| schema[start.len()..].to_owned()).collect::<Vec<_>>()
            }
        };
        let mut numbers: Vec<_> = names.iter().map(|number| number.parse().expect("a number")).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Where this text stands in what is stored: files of `SQLite`, whatever they hold; tables of `PostgreSQL`, whose server
    /// keeps what was deleted in its log until that is recycled.
    pub async fn traces(&self, text: &str) -> Vec<String> {
        match &self.database {
            None => {
                let holds = |path: &PathBuf| {
                    let bytes = std::fs::read(path).unwrap_or_default();
                    bytes.windows(text.len()).any(|window| window == text.as_bytes())
                };
                files(&self.data_dir()).into_iter().filter(holds).map(|path| path.display().to_string()).collect()
            }
            Some(database) => database.rows_with(text).await,
        }
    }

    /// What the site's program opens of it.
    pub async fn stores(&self) -> Stores {
        match &self.database {
            None => {
                let store = SqliteStore::open(&self.data_dir()).await.expect("a store");
                // It lies in the directory that the store makes.
                let vault = self.vault().await;
                let writer = Box::new(store.writer().expect("the writer"));
                Stores { log: store.clone(), writer, models: store, vault, codec: CODEC, shared: None }
            }
            Some(database) => {
                let store = PostgresStore::open(&database.url).await.expect("a store");
                let vault = self.vault().await;
                let writer = Box::new(store.writer().expect("the writer"));
                let shared = Some(store.clone() as Arc<dyn Shared>);
                Stores { log: store.clone(), writer, models: store, vault, codec: CODEC, shared }
            }
        }
    }

    async fn vault(&self) -> Arc<dyn Vault> {
        match &self.database {
            None => SqliteVault::open(&self.data_dir()).await.expect("a vault"),
            Some(database) => PostgresVault::open(&database.url).await.expect("a vault"),
        }
    }

    fn root_key(&self, random: [u8; 32]) -> RootKey {
        let exists = self.data_dir().join("vault.db").exists();
        // Where no file is, the environment gives it.
        let given = self.database.as_ref().map(|_| ROOT_KEY);
        RootKey::load_or_create(&self.data_dir(), exists, given, random).expect("a root key")
    }
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With settings in the place of the defaults.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_in(Database::of_this_run(), settings).await
    }

    /// In a database that the test chooses.
    pub async fn start_in(database: Database, settings: &[(&str, &str)]) -> Self {
        let home = Home::in_a(database).await;
        let clock = Arc::new(TestClock::at(1_800_000_000_000_000));
        let app = open(&home, clock.clone(), settings, 0, CODEC).await;
        Self { app, clock, home }
    }

    /// The same site after a stop and a start.
    pub async fn restart(self) -> Self {
        self.restart_reading(CODEC).await
    }

    /// The same, with followers that read the log with this codec.
    pub async fn restart_reading(self, codec: Codec) -> Self {
        let Self { app, clock, home } = self;
        app.stop().await;
        Self::start_again(home, clock, codec).await
    }

    /// A site that was stopped.
    pub async fn start_again(home: Home, clock: Arc<TestClock>, codec: Codec) -> Self {
        // Whatever comes after draws other numbers than what came before.
        let seed = RESTARTS.fetch_add(1_000_000, Ordering::SeqCst);
        let app = open(&home, clock.clone(), &[], seed, codec).await;
        Self { app, clock, home }
    }

    /// Another node beside it. It has to be stopped before the site goes.
    pub async fn another_node(&self, settings: &[(&str, &str)]) -> Arc<App> {
        assert!(self.home.database.is_some(), "a directory has one writer");
        let seed = RESTARTS.fetch_add(1_000_000, Ordering::SeqCst);
        open(&self.home, self.clock.clone(), settings, seed, CODEC).await
    }

    /// A member with roles.
    pub async fn given_member(&self, name: &str, roles: &[Role]) -> UserId {
        let joining = Joining::new(name, "correct horse battery", None).expect("a good name");
        let caller = Caller { actor: Actor::Cli("test".to_owned()), ..Caller::system() };
        self.app.create_account(&caller, joining, roles).await.expect("a free name").answer
    }

    /// An application under review.
    pub async fn given_request(&self, owner: UserId, name: &str) -> ApplicationId {
        let request = Request {
            name: name.to_owned(),
            redirect_uri: "https://app.example/cb?keep=1".to_owned(),
            description: "Reads the front page.".to_owned(),
            ..Request::default()
        };
        let asked = self.app.asked(&request).expect("a good request");
        self.app.request_application(&by(owner), owner, asked).await.expect("it can be asked for").answer
    }

    /// An approved application of `cleo`, and the reviewer `rob`, who is an administrator.
    pub async fn given_approved(&self) -> (UserId, UserId, ApplicationId) {
        let owner = self.given_member("cleo", &[]).await;
        let reviewer = self.given_member("rob", &[Role::Admin]).await;
        let id = self.given_request(owner, "Reader").await;
        self.decide(reviewer, id, Verb::Approve).await;
        (owner, reviewer, id)
    }

    /// A decision on the revision as it is.
    pub async fn decide(&self, reviewer: UserId, id: ApplicationId, verb: Verb) {
        let verdict = Verdict { revision: 1, reason_code: "other".to_owned(), reason: "As agreed.".to_owned() };
        self.app.decide_application(&by(reviewer), reviewer, id, verb, &verdict).await.expect("it can be decided");
    }

    /// The message of the last decision, once it is in the inbox.
    pub async fn newest_message(&self, user: UserId) -> MessageId {
        self.settle().await;
        let (messages, _) =
            self.app.notifications(user, countersign::app::inbox::Which::default(), None, 1).await.expect("an inbox");
        MessageId(messages.first().expect("a message").row.id)
    }

    /// Waits until the trailing read models are with the log.
    pub async fn settle(&self) {
        self.app.built().await;
        let head = self.app.head().await.expect("a head");
        assert!(self.app.wait_for(head).await, "the read models follow");
    }
}

/// A command of a member.
pub fn by(user: UserId) -> Caller {
    Caller { actor: Actor::User(user), ..Caller::system() }
}

/// The same, named.
pub fn named(user: UserId, id: &str, body: u8) -> Caller {
    let command = NamedCommand { route: "test", id: id.parse().expect("an id"), body: [body; 32] };
    Caller { command: Some(command), ..by(user) }
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

pub async fn open(home: &Home, clock: Arc<TestClock>, settings: &[(&str, &str)], seed: u64, codec: Codec) -> Arc<App> {
    let variables = settings.iter().map(|(key, value)| (format!("COUNTERSIGN_{key}"), (*value).to_owned()));
    let config = Config::load(&Flags::default(), variables).expect("good settings");
    let world = World::new(clock, Arc::new(SeededEntropy(AtomicU64::new(seed)))).with_passwords_at(Cost::LEAST);
    let root = home.root_key(world.random());
    let stores = Stores { codec, ..home.stores().await };
    App::start(config, world, &root, stores).await.expect("a start")
}
