//! A whole site in a temporary directory, with a clock that tests move and entropy with a seed.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use countersign::{
    app::{
        App, Caller, NamedCommand, Stores, accounts::Joining, applications::Request, reviews::Verb, reviews::Verdict,
    },
    config::{Config, Flags},
    secrets::RootKey,
    store::sqlite::{SqliteStore, vault::SqliteVault},
    world::{Clock, Entropy, World},
};
use countersign_events::{
    account::Role,
    codec::{CODEC, Codec},
    ids::{ApplicationId, MessageId, UserId},
    recorded::{Actor, Timestamp},
};

/// A clock that moves when a test says so.
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn advance(&self, by: chrono::Duration) {
        self.0.fetch_add(by.num_microseconds().expect("tests move the clock by years at most"), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_timestamp_micros(self.0.load(Ordering::SeqCst)).expect("a time of this century")
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

/// A site with its directory.
pub struct TestApp {
    pub app: Arc<App>,
    pub clock: Arc<TestClock>,
    pub directory: tempfile::TempDir,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With settings in the place of the defaults.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let clock = Arc::new(TestClock(AtomicI64::new(1_800_000_000_000_000)));
        let app = open(&directory.path().join("site"), clock.clone(), settings, 0, CODEC).await;
        Self { app, clock, directory }
    }

    /// The same site after a stop and a start.
    pub async fn restart(self) -> Self {
        self.restart_reading(CODEC).await
    }

    /// The same, with followers that read the log with this codec.
    pub async fn restart_reading(self, codec: Codec) -> Self {
        let Self { app, clock, directory } = self;
        app.stop().await;
        // Whatever comes after draws other numbers than what came before.
        let seed = RESTARTS.fetch_add(1_000_000, Ordering::SeqCst);
        let app = open(&directory.path().join("site"), clock.clone(), &[], seed, codec).await;
        Self { app, clock, directory }
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
    let command = NamedCommand { route: "test", id: id.to_owned(), body: [body; 32] };
    Caller { command: Some(command), ..by(user) }
}

pub async fn open(
    data_dir: &Path,
    clock: Arc<TestClock>,
    settings: &[(&str, &str)],
    seed: u64,
    codec: Codec,
) -> Arc<App> {
    let variables = settings.iter().map(|(key, value)| (format!("COUNTERSIGN_{key}"), (*value).to_owned()));
    let config = Config::load(&Flags::default(), variables).expect("good settings");
    let world = World::new(clock, Arc::new(SeededEntropy(AtomicU64::new(seed))));
    let exists = data_dir.join("vault.db").exists();
    let store = SqliteStore::open(data_dir).await.expect("a store");
    let vault = SqliteVault::open(data_dir).await.expect("a vault");
    let root = RootKey::load_or_create(data_dir, exists, None, world.random()).expect("a root key");
    let writer = store.writer().expect("the writer");
    let stores = Stores { log: store.clone(), writer: Box::new(writer), models: store, vault, codec, shared: None };
    App::start(config, world, &root, stores).await.expect("a start")
}
