//! The use cases, one function each: load, decide, append, answer. No SQL and no HTTP; this is the
//! only room that calls `decide`.

pub mod accounts;
pub mod acquaintance;
pub mod applications;
pub mod audit;
pub mod authorizations;
pub mod clock;
pub mod erasure;
pub mod error;
pub mod fleet;
pub mod forwarders;
pub mod history;
pub mod housekeeping;
pub mod inbox;
mod letters;
pub mod messages;
pub mod observe;
mod plan;
pub mod posts;
pub mod projections;
pub mod queue;
pub mod ranking;
pub mod reviews;
pub mod sentences;
pub mod sessions;
pub mod site;
pub mod tokens;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use countersign_events::{
    account::{self, Account, AccountRefusal, AccountStanding, Role},
    codec::{self, Codec},
    decider::{Decider, fold},
    event::Event,
    ids::{DataKeyId, EventId, UserId},
    recorded::{Position, Recorded, StreamName, Timestamp, Version},
    token::{PlainToken, TokenKind, TokenPrefix},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{mpsc, watch};

pub use error::{AppError, Refused};
use fleet::Feed;
pub use plan::{Caller, CommandId, Done, NamedCommand, NoCommandId, Plan};

use crate::{
    config::Config,
    keyring::Keyring,
    metrics::{Connections, Metrics},
    policy::Policy,
    projector::{self, Budget, Projector, Sources},
    rate_limit::RateLimits,
    secrets::{PasswordPool, RootKey, SubKey, context},
    store::{Cursor, EventLog, LogWriter, Outcome, ReadModels, Vault, decode, shared::Shared},
    token_state::{Member, TokenState},
    world::{RequestIds, World},
    writer::{Append, AppendError, Appended, Command, NewEvent, Writer},
};

/// How often a command is decided at most, races lost before that.
const ATTEMPTS: u32 = 12;
/// How long a read waits for what its sender has seen.
pub const READ_YOUR_WRITES: Duration = Duration::from_secs(2);

/// Everything the use cases need, in one place.
pub struct App {
    /// Settings.
    pub config: Config,
    /// Clock and entropy.
    pub world: World,
    /// The log, for reading.
    pub log: Arc<dyn EventLog>,
    /// The read models.
    pub models: Arc<dyn ReadModels>,
    /// The vault.
    pub vault: Arc<dyn Vault>,
    /// What token checks need.
    pub state: Arc<TokenState>,
    /// Ids of requests.
    pub request_ids: RequestIds,
    /// Rate limits.
    pub limits: RateLimits,
    /// Who names clients of others and is not trusted.
    pub forwarders: forwarders::Forwarders,
    /// What decisions name.
    pub policy: Policy,
    /// Counters.
    pub metrics: Metrics,
    /// Connections to the site.
    pub connections: Arc<Connections>,
    /// It was told to stop, and asks whoever looks to go elsewhere.
    stopping: AtomicBool,
    projector: Projector,
    sources: Sources,
    keyring: Arc<Keyring>,
    passwords: PasswordPool,
    keys: Keys,
    prefix: TokenPrefix,
    writer: Writer,
    ranking: ranking::Ranking,
    board: Arc<ranking::Board>,
    /// What housekeeping has done and has still to do.
    house: housekeeping::House,
    /// Whether this log is the newest that there was.
    whole: site::Whole,
    writer_task: std::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
    /// When there are other nodes.
    fleet: Option<Arc<fleet::Fleet>>,
    woken: watch::Sender<()>,
}

struct Keys {
    csrf: SubKey,
    held_secret: SubKey,
    outcome: SubKey,
    username: SubKey,
    nonce: SubKey,
    link: SubKey,
    application: SubKey,
}

/// The stores behind an app.
pub struct Stores {
    /// The log, for reading.
    pub log: Arc<dyn EventLog>,
    /// Its writing connection.
    pub writer: Box<dyn LogWriter>,
    /// The read models.
    pub models: Arc<dyn ReadModels>,
    /// The vault.
    pub vault: Arc<dyn Vault>,
    /// What followers of trailing read models can read of the log.
    pub codec: Codec,
    /// The log as other nodes share it; none when this process alone writes it.
    pub shared: Option<Arc<dyn Shared>>,
}

impl App {
    /// Starts: builds inline read models that are missing, loads the token state, starts writer and followers,
    /// sweeps what a crash left behind.
    ///
    /// # Errors
    /// [`AppError`] when a store fails or a setting does not hold.
    pub async fn start(
        config: Config,
        world: World,
        root: &RootKey,
        mut stores: Stores,
    ) -> Result<Arc<Self>, AppError> {
        let missing = codec::missing_upcasts(stores.codec.types, stores.codec.upcasts);
        if !missing.is_empty() {
            return Err(AppError::Setting(format!("old events could not be read: no upcast for {missing:?}")));
        }
        if let Some(shared) = &stores.shared {
            world.hear(shared.prove().await?.now);
        }
        let anchor = stores.log.anchor().await?;
        world.begin(anchor, stores.log.head().await?.recorded_at);
        let policy = Policy::load(&config.review_policy).map_err(AppError::Setting)?;
        let keyring = Arc::new(Keyring::open(stores.vault.clone(), stores.log.clone(), root, world.clone()).await?);
        projector::build_inline(stores.writer.as_mut(), stores.log.as_ref(), &keyring).await?;
        site::adopt(&mut stores, root, &world).await?;
        // What others commit while it is loaded is fed once more: the last word on each field is the log's.
        let head = stores.log.head().await?.position;
        let state = Arc::new(TokenState::load(stores.models.as_ref(), &config.site_name).await?);
        state.erased().into_iter().for_each(|(user, key)| keyring.forget(user, key));
        let (wake, woken) = watch::channel(());
        let feed = Arc::new(Feed {
            state: state.clone(),
            board: Arc::new(ranking::Board::new(head)),
            keyring: keyring.clone(),
            log: stores.log.clone(),
            models: stores.models.clone(),
            world: world.clone(),
            fed: tokio::sync::Mutex::new(head),
            told: watch::Sender::new(head),
        });
        let (moves, may_move) = watch::channel(stores.shared.is_none());
        let fleet =
            stores.shared.map(|shared| Arc::new(fleet::Fleet::new(shared, feed.clone(), world.uuid(), moves.clone())));
        if let Some(fleet) = &fleet {
            fleet.catch_up().await?;
        }
        let after_commit = fleet::after_commit(feed.clone(), fleet.clone(), wake.clone());
        let (writer, writer_task) = Writer::start(stores.writer, world.clone(), after_commit);
        let (log, models, codec) = (stores.log.clone(), stores.models.clone(), stores.codec);
        let (keys, memory) = (keyring.clone(), Arc::new(Budget::of_mib(config.rebuild_memory_mib)));
        let sources = Sources { log, models, keyring: keys, codec, world: world.clone(), moves: may_move, memory };
        let (notices, told) = mpsc::unbounded_channel();
        let projector = Projector::start(&sources, &woken, &notices).await?;
        let prefix =
            config.token_prefix.parse().map_err(|error| AppError::Setting(format!("token_prefix: {error}")))?;
        let app = Arc::new(Self {
            request_ids: RequestIds::new(&world),
            limits: RateLimits::new(&config),
            policy,
            forwarders: forwarders::Forwarders::default(),
            metrics: Metrics::new(world.now()),
            connections: Arc::default(),
            stopping: AtomicBool::new(false),
            config,
            passwords: world.passwords(),
            world,
            log: stores.log,
            models: stores.models,
            vault: stores.vault,
            state,
            projector,
            sources,
            keyring,
            keys: Keys {
                csrf: root.derive(context::CSRF),
                held_secret: root.derive(context::HELD_SECRET),
                outcome: root.derive(context::OUTCOME),
                username: root.derive(context::USERNAME_DIGEST),
                nonce: root.derive(context::NONCE),
                link: root.derive(context::SETUP_LINK),
                application: root.derive(context::APPLICATION_ID),
            },
            prefix,
            writer,
            ranking: ranking::Ranking::default(),
            board: feed.board.clone(),
            house: housekeeping::House::anchored(anchor.is_some()),
            whole: site::Whole::default(),
            writer_task: std::sync::Mutex::new(Some(writer_task)),
            fleet,
            woken: wake,
        });
        tokio::spawn(projections::keep_record(Arc::downgrade(&app), told));
        app.join_fleet();
        app.look_whole().await?;
        app.finish_erased().await?;
        Ok(app)
    }

    /// Ends the writer after what it has taken is on disk. Whoever still holds this app can read, not write.
    pub async fn stop(self: Arc<Self>) {
        self.write_last_uses().await;
        self.store_last_time().await;
        if let Err(error) = self.note_seen().await {
            tracing::warn!(%error, "the vault was not told how far the log is");
        }
        self.leave_fleet().await;
        let task = self.writer_task.lock().ok().and_then(|mut task| task.take());
        let (vault, models) = (self.vault.clone(), self.models.clone());
        drop(self);
        // Handlers that still run hold the app; the task ends with the last of them.
        let writer = async {
            if let Some(task) = task {
                let _ = tokio::time::timeout(Duration::from_secs(10), task).await;
            }
        };
        let ((), vault, ()) = tokio::join!(writer, vault.rest(), models.rest());
        if let Err(error) = vault {
            tracing::warn!(%error, "what was written last lies in vault.db-wal, and a copy of vault.db alone lacks it");
        }
    }

    /// Says from now on that it is about to stop.
    pub fn prepare_to_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether it is about to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// The state of a stream and its version.
    async fn load<D>(&self, stream: &StreamName) -> Result<(D, Version), AppError>
    where
        D: Decider,
        D::Event: Clone,
        for<'a> &'a D::Event: TryFrom<&'a Event>,
    {
        let stored = self.log.read_stream(stream, Version(0)).await?;
        let version = stored.last().map(|last| last.envelope.version).unwrap_or_default();
        let recorded = stored.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        let events = recorded.iter().filter_map(|recorded| <&D::Event>::try_from(&recorded.event).ok());
        Ok((fold(events), version))
    }

    /// Carries a command out: plans, appends, and plans again when another was faster.
    #[tracing::instrument(name = "command", target = "countersign::span", level = "trace", skip_all)]
    async fn execute<T, F, Fut>(&self, caller: &Caller, plan: F) -> Result<Done<T>, AppError>
    where
        T: Serialize + DeserializeOwned + Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<Plan<T>, AppError>> + Send,
    {
        if let Some(done) = self.repeated(caller).await? {
            return Ok(done);
        }
        for attempt in 0..ATTEMPTS {
            self.stand_back(attempt).await;
            let Plan { events, expected, joining, answer } = self.guarded(caller, plan().await?).await?;
            let command = match (&caller.command, caller.command_key()) {
                (Some(named), Some(key)) => Some(Command { key, body: named.body, answer: to_json(&answer) }),
                _ => None,
            };
            let mut append = Append { events: vec![], expected, command };
            for (stream, event) in events {
                append.events.push(self.prepare(caller, stream, event, joining).await?);
            }
            self.may_append(append.events.iter().map(|event| &event.stream))?;
            let happened = !append.events.is_empty();
            if !happened && append.command.is_none() {
                return Ok(Done { answer, cursor: self.head().await?, repeated: None, happened });
            }
            match self.writer.append(append).await {
                Ok(Appended::New { head, .. }) => {
                    return Ok(Done { answer, cursor: head.into(), repeated: None, happened });
                }
                Ok(Appended::Repeat(outcome)) => return self.as_repeat(outcome).await,
                Err(AppendError::Lost(_)) => {}
                Err(AppendError::OtherBody) => return Err(AppError::OtherBody),
                Err(AppendError::Store(error)) => return Err(error.into()),
            }
        }
        Err(AppError::LostRace)
    }

    /// A member who is suspended or erased at the same moment does nothing any more, whatever it is and on whatever node:
    /// their account must be when it is appended what it is now. What is decided on the account itself is guarded already.
    async fn guarded<T>(&self, caller: &Caller, plan: Plan<T>) -> Result<Plan<T>, AppError> {
        let Some(stream) = caller.actor.user().map(account::stream) else { return Ok(plan) };
        if plan.expected.iter().any(|(expected, _)| *expected == stream) {
            return Ok(plan);
        }
        match self.load::<Account>(&stream).await? {
            (Account::Registered { standing: AccountStanding::Active, .. }, version) => {
                Ok(plan.guarded(stream, version))
            }
            (Account::Registered { standing: AccountStanding::Erased, .. }, _) => Err(AccountRefusal::Erased.into()),
            (Account::Registered { .. }, _) => Err(AppError::Suspended),
            (Account::Unregistered, _) => Err(AppError::NotFound),
        }
    }

    /// Lets others go first who lose races to each other on their nodes: longer each time, and each of them another while.
    async fn stand_back(&self, attempt: u32) {
        if attempt > 1 {
            let [chance] = self.world.random();
            tokio::time::sleep(Duration::from_micros(50) * attempt * u32::from(chance)).await;
        }
    }

    /// What came of a command that was carried out before.
    async fn repeated<T: DeserializeOwned>(&self, caller: &Caller) -> Result<Option<Done<T>>, AppError> {
        let (Some(named), Some(key)) = (&caller.command, caller.command_key()) else { return Ok(None) };
        match self.log.outcome(&key).await? {
            None => Ok(None),
            Some(outcome) if outcome.body == named.body => self.as_repeat(outcome).await.map(Some),
            Some(_) => Err(AppError::OtherBody),
        }
    }

    async fn as_repeat<T: DeserializeOwned>(&self, outcome: Outcome) -> Result<Done<T>, AppError> {
        let answer = serde_json::from_str(&outcome.answer).map_err(|_| AppError::OtherBody)?;
        let epoch = self.log.head().await?.epoch;
        let cursor = Cursor { epoch, position: outcome.position };
        Ok(Done { answer, cursor, repeated: Some(outcome.recorded_at), happened: false })
    }

    /// Seals and encodes an event.
    async fn prepare(
        &self,
        caller: &Caller,
        stream: StreamName,
        clear: Event,
        joining: Option<DataKeyId>,
    ) -> Result<NewEvent, AppError> {
        let event_id = EventId(self.world.uuid());
        let mut sealed = clear.clone();
        self.keyring.seal(&mut sealed, event_id, &self.state, joining).await?;
        let client_address = match (caller.address, caller.actor.user()) {
            (Some(address), Some(user)) => {
                Some(self.keyring.seal_address(&address.to_string(), user, event_id, &self.state, joining).await?)
            }
            _ => None,
        };
        Ok(NewEvent {
            event_id,
            stream,
            clear,
            encoded: codec::encode(&sealed)?,
            actor: caller.actor.clone(),
            on_behalf_of: caller.on_behalf_of,
            client_address,
            request_id: caller.request_id.clone(),
            command_id: caller.command.as_ref().map(|command| command.id.as_str().to_owned()),
        })
    }

    /// The recorded event at a position, opened.
    async fn event_at(&self, position: Position) -> Result<Option<Recorded<Event>>, AppError> {
        match self.log.read_at(&[position]).await?.first() {
            Some(stored) => Ok(Some(self.keyring.read(stored).await?)),
            None => Ok(None),
        }
    }

    /// A fresh token and its digest; only the digest can be stored.
    fn mint(&self, kind: TokenKind) -> PlainToken {
        PlainToken::from_random(&self.prefix, kind, &self.world.random())
    }

    /// When a token that is issued now expires.
    fn token_expiry(&self, at: Timestamp) -> Option<Timestamp> {
        self.config.token_lifetime_days.map(|days| at + chrono::Duration::days(days.into()))
    }

    /// The active member behind a user id who holds `role`.
    fn member_with(&self, user: UserId, role: Role) -> Result<Member, AppError> {
        let member = self.state.member(user).ok_or(AppError::NotFound)?;
        if member.may(role) { Ok(member) } else { Err(AppError::RoleMissing(role)) }
    }

    /// The head of the log.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn head(&self) -> Result<Cursor, AppError> {
        Ok(Cursor::from(self.log.head().await?))
    }
}

fn to_json<T: Serialize>(answer: &T) -> String {
    serde_json::to_string(answer).expect("answers are plain data with text keys")
}
