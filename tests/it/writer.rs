//! The writer under many callers at once: random conflicts, guards, streams that take anything, and
//! repeated commands go through the real writer; a checker then holds the log and every
//! answer against what a serial execution could have given. The checker itself is tested with planted
//! faults. What the store does by itself is in `store_contract`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use countersign::{
    store::{CommandKey, EventLog, ReadModels, StoreError, StoredEvent, decode},
    world::World,
    writer::{AfterCommit, Append, AppendError, Appended, Command, NewEvent, Writer},
};
use countersign_events::{
    authorization::{AuthorizationEvent, Ended, Via},
    codec,
    event::Event,
    ids::{ApplicationId, EventId, PostId, TokenId, UserId},
    post::{Direction, VoteEvent},
    recorded::{Actor, Position, StreamName, Version},
    scope::ScopeSet,
    token::{TokenDigest, TokenKind},
};
use countersign_projections::INLINE;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use uuid::Uuid;

use crate::databases::{Database, Opened, Place};

/// Streams of one history; the first half are votes, the others authorizations.
const STREAMS: u8 = 6;
/// Ids of commands that the callers of one history share.
const COMMANDS: u8 = 8;
/// Random histories, each with callers of its own on streams of its own.
const CASES: u32 = 32;

/// What one caller does next.
#[derive(Debug, Clone)]
struct Step {
    /// Streams it writes to, with what.
    writes: Vec<(u8, u8)>,
    /// Streams whose version it insists on.
    guards: Vec<(u8, Guard)>,
    /// Its command's id and body.
    command: Option<(u8, u8)>,
}

#[derive(Debug, Clone, Copy)]
enum Guard {
    /// The version that it has just read.
    Read,
    /// Any number, mostly a wrong one.
    Guessed(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let guard = prop_oneof![3 => Just(Guard::Read), 1 => (0..6_u64).prop_map(Guard::Guessed)];
    let command = proptest::option::weighted(0.4, (0..COMMANDS, 0..2_u8));
    (vec((0..STREAMS, any::<u8>()), 0..4), vec((0..STREAMS, guard), 0..3), command)
        .prop_map(|(writes, guards, command)| Step { writes, guards, command })
}

/// What a caller asked for and was answered.
#[derive(Debug, Clone)]
struct Attempt {
    expected: Vec<(StreamName, Version)>,
    events: Vec<EventId>,
    command: Option<(CommandKey, [u8; 32], String)>,
    /// The head before it asked and after it was answered: in between it was judged.
    span: (Position, Position),
    answer: Answer,
}

#[derive(Debug, Clone)]
enum Answer {
    Won { head: Position, positions: Vec<Position> },
    Repeat { body: [u8; 32], answer: String, position: Position },
    Lost(StreamName),
    OtherBody,
}

/// A log with its writer; histories run on it one after the other.
struct Site {
    log: Arc<dyn EventLog>,
    models: Arc<dyn ReadModels>,
    writer: Writer,
    /// How many events each commit had.
    commits: Arc<Mutex<Vec<usize>>>,
    history: AtomicU64,
    place: Place,
}

impl Site {
    async fn start() -> Self {
        let place = Database::of_this_run().place().await;
        let Opened { log, models, mut writer } = place.store().await.expect("a store");
        for projection in INLINE {
            writer.reset_inline(projection).await.expect("tables");
        }
        let commits = Arc::new(Mutex::new(vec![]));
        let counted = commits.clone();
        let after_commit: AfterCommit = Arc::new(move |recorded| {
            counted.lock().unwrap().push(recorded.len());
            Box::pin(async {})
        });
        let (writer, _) = Writer::start(writer, World::system(), after_commit);
        Self { log, models, writer, commits, history: AtomicU64::new(0), place }
    }

    async fn version(&self, stream: &StreamName) -> Version {
        let events = self.log.read_stream(stream, Version(0)).await.expect("a stream");
        events.last().map(|last| last.envelope.version).unwrap_or_default()
    }

    async fn head(&self) -> Position {
        self.log.head().await.expect("a head").position
    }

    /// Carries one step out.
    async fn attempt(&self, history: u64, step: &Step) -> Attempt {
        let before = self.head().await;
        let mut expected = vec![];
        for (number, guard) in &step.guards {
            let stream = stream(history, *number);
            let version = match guard {
                Guard::Read => self.version(&stream).await,
                Guard::Guessed(version) => Version(*version),
            };
            expected.push((stream, version));
        }
        let events: Vec<_> = step.writes.iter().map(|(number, what)| new_event(history, *number, *what)).collect();
        let command = step.command.map(|(id, body)| Command {
            key: CommandKey { scope: format!("history {history}"), id: id.to_string() },
            body: [body; 32],
            // Unlike any other, so that a repeat shows whose outcome it got.
            answer: fresh().to_string(),
        });
        let append = Append { events, expected, command };
        let answer = self.writer.append(append.clone()).await;
        let answer = match answer {
            Ok(Appended::New { head, recorded }) => {
                let positions = recorded.iter().map(|recorded| recorded.envelope.position).collect();
                Answer::Won { head: head.position, positions }
            }
            Ok(Appended::Repeat(outcome)) => {
                Answer::Repeat { body: outcome.body, answer: outcome.answer, position: outcome.position }
            }
            Err(AppendError::Lost(stream)) => Answer::Lost(stream),
            Err(AppendError::OtherBody) => Answer::OtherBody,
            Err(AppendError::Store(error)) => panic!("the store failed: {error}"),
        };
        Attempt {
            expected: append.expected,
            events: append.events.iter().map(|event| event.event_id).collect(),
            command: append.command.map(|command| (command.key, command.body, command.answer)),
            span: (before, self.head().await),
            answer,
        }
    }

    /// Runs callers at once, with followers beside them, and checks everything.
    async fn run(self: &Arc<Self>, callers: Vec<Vec<Step>>) -> Result<Vec<Attempt>, String> {
        let history = self.history.fetch_add(1, Ordering::SeqCst);
        let begin = self.head().await;
        let done = Arc::new(AtomicBool::new(false));
        let followers: Vec<_> = [1, 7, 1_000]
            .into_iter()
            .map(|page| tokio::spawn(follow(self.clone(), begin, page, done.clone())))
            .collect();
        let tasks = callers.into_iter().map(|steps| {
            let site = self.clone();
            tokio::spawn(async move {
                let mut attempts = vec![];
                for step in &steps {
                    attempts.push(site.attempt(history, step).await);
                }
                attempts
            })
        });
        let mut attempts = vec![];
        for task in tasks.collect::<Vec<_>>() {
            attempts.extend(task.await.map_err(|error| error.to_string())?);
        }
        done.store(true, Ordering::SeqCst);
        let log = self.log.read_log(begin, 1_000_000).await.map_err(|error| error.to_string())?;
        for follower in followers {
            let seen = follower.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            ensure(seen == positions(&log), || format!("a follower saw {seen:?}"))?;
        }
        check(begin, &log, &attempts)?;
        self.inline_models_equal_a_fold(history, &log).await?;
        Ok(attempts)
    }

    /// Every authorization and token that the log tells of is in the tables as the log tells it.
    async fn inline_models_equal_a_fold(&self, history: u64, log: &[StoredEvent]) -> Result<(), String> {
        let (mut authorizations, mut tokens) = (BTreeMap::new(), BTreeMap::new());
        for stored in log {
            match decode(stored).map_err(|error| error.to_string())?.event {
                Event::Authorization(AuthorizationEvent::UserAuthorized { application_id, user_id, grant, .. }) => {
                    authorizations.insert((application_id, user_id), (grant, false));
                }
                Event::Authorization(AuthorizationEvent::AuthorizationRescinded {
                    application_id, user_id, ..
                }) => {
                    authorizations.entry((application_id, user_id)).and_modify(|(_, rescinded)| *rescinded = true);
                }
                Event::Authorization(AuthorizationEvent::TokenIssued { digest, token_id, .. }) => {
                    tokens.insert(digest, (token_id, None));
                }
                Event::Authorization(AuthorizationEvent::TokenRevoked { digest, why, .. }) => {
                    tokens.entry(digest).and_modify(|(_, ended)| *ended = Some(why.as_str().to_owned()));
                }
                _ => {}
            }
        }
        // Ids of applications count on from history to history.
        let before = (ApplicationId(Uuid::from_u128(u128::from(history) << 8)), user(history));
        let rows = self.models.authorizations(Some(before), STREAMS.into()).await.map_err(|error| error.to_string())?;
        let stored: BTreeMap<_, _> = rows
            .iter()
            .map(|row| ((row.application_id, row.user_id), (row.grant, row.rescinded)))
            .filter(|((_, member), _)| *member == user(history))
            .collect();
        ensure(stored == authorizations, || format!("{stored:?} is stored, {authorizations:?} is recorded"))?;
        let rows = self.models.tokens_of(user(history)).await.map_err(|error| error.to_string())?;
        let stored: BTreeMap<_, _> = rows.into_iter().map(|row| (row.digest, (row.token_id, row.ended_why))).collect();
        ensure(stored == tokens, || format!("{stored:?} is stored, {tokens:?} is recorded"))
    }
}

/// Polls until the callers are done and there is nothing more; says which positions it saw.
async fn follow(
    site: Arc<Site>,
    mut after: Position,
    page: u32,
    done: Arc<AtomicBool>,
) -> Result<Vec<Position>, StoreError> {
    let mut seen = vec![];
    loop {
        let was_done = done.load(Ordering::SeqCst);
        let read = site.log.read_log(after, page).await?;
        let Some(last) = read.last() else {
            if was_done {
                return Ok(seen);
            }
            tokio::task::yield_now().await;
            continue;
        };
        after = last.envelope.position;
        seen.extend(positions(&read));
    }
}

fn positions(log: &[StoredEvent]) -> Vec<Position> {
    log.iter().map(|stored| stored.envelope.position).collect()
}

fn ensure(holds: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(complaint()) }
}

/// Whether the log after `begin` is what a serial execution of the winners leaves, and every answer
/// one that it could have given.
fn check(begin: Position, log: &[StoredEvent], attempts: &[Attempt]) -> Result<(), String> {
    // How long a stream was at each position; streams of a history begin empty.
    let mut lengths: HashMap<&StreamName, Vec<Position>> = HashMap::new();
    let mut places = HashMap::new();
    let mut last_time = None;
    for (place, stored) in (begin.0 + 1..).zip(log) {
        let envelope = &stored.envelope;
        ensure(envelope.position.0 == place, || format!("{} stands at {place}", envelope.position))?;
        let stream = lengths.entry(&envelope.stream).or_default();
        stream.push(envelope.position);
        ensure(envelope.version.0 == stream.len() as u64, || format!("{envelope:?} has the wrong version"))?;
        ensure(last_time < Some(envelope.recorded_at), || format!("time ran backwards at {place}"))?;
        last_time = Some(envelope.recorded_at);
        let twice = places.insert(envelope.event_id, envelope.position);
        ensure(twice.is_none(), || format!("{:?} is there twice", envelope.event_id))?;
    }
    let length = |stream: &StreamName, at: Position| {
        Version(lengths.get(stream).map_or(0, |stream| stream.partition_point(|position| *position <= at) as u64))
    };
    let mut acknowledged = HashSet::new();
    let mut winners = HashMap::new();
    for attempt in attempts {
        let Answer::Won { head, positions } = &attempt.answer else { continue };
        let first = head.0 + 1 - positions.len() as u64;
        let whole: Vec<_> = (first..=head.0).map(Position).collect();
        ensure(*positions == whole, || format!("{attempt:?} was not appended in one piece"))?;
        for (event, position) in attempt.events.iter().zip(positions) {
            ensure(places.get(event) == Some(position), || format!("{event:?} is not where it was said to be"))?;
            acknowledged.insert(*event);
        }
        for (stream, version) in &attempt.expected {
            let found = length(stream, Position(first - 1));
            ensure(found == *version, || format!("{attempt:?} won although {stream} was at {found}"))?;
        }
        if let Some((key, body, answer)) = &attempt.command {
            let twice = winners.insert(key, (*body, answer, *head));
            ensure(twice.is_none(), || format!("{key:?} was carried out twice"))?;
        }
    }
    ensure(acknowledged.len() == log.len(), || "the log has events that nobody was told of".to_owned())?;
    attempts.iter().try_for_each(|attempt| check_refusal(attempt, &winners, &length))
}

/// What one command of an id was answered that was carried out.
type Winners<'a> = HashMap<&'a CommandKey, ([u8; 32], &'a String, Position)>;

fn check_refusal(
    attempt: &Attempt,
    winners: &Winners<'_>,
    length: &impl Fn(&StreamName, Position) -> Version,
) -> Result<(), String> {
    let winner = attempt.command.as_ref().and_then(|(key, body, _)| Some((winners.get(key)?, body)));
    match &attempt.answer {
        Answer::Won { .. } => Ok(()),
        Answer::Repeat { body, answer, position } => {
            ensure(winner.is_some_and(|(first, own)| *first == (*body, answer, *position) && own == body), || {
                format!("{attempt:?} repeats {winner:?}")
            })
        }
        Answer::OtherBody => ensure(winner.is_some_and(|(first, own)| first.0 != *own), || {
            format!("{attempt:?} has the body of {winner:?}")
        }),
        Answer::Lost(stream) => {
            let expected = attempt.expected.iter().filter(|(known, _)| known == stream);
            let moved = |version: Version| {
                (attempt.span.0.0..=attempt.span.1.0).any(|at| length(stream, Position(at)) != version)
            };
            let mut expected = expected.map(|(_, version)| *version);
            ensure(expected.any(moved), || format!("{attempt:?} lost to nobody"))
        }
    }
}

/// Each history has a member of its own.
fn user(history: u64) -> UserId {
    UserId(Uuid::from_u128(u128::from(history) + 1))
}

fn stream(history: u64, number: u8) -> StreamName {
    let thing = Uuid::from_u128((u128::from(history) << 8) + u128::from(number) + 1);
    let user = user(history);
    if number < STREAMS / 2 {
        StreamName::Vote(PostId(thing), user)
    } else {
        StreamName::Authorization(ApplicationId(thing), user)
    }
}

fn fresh() -> Uuid {
    static LAST: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u128(LAST.fetch_add(1, Ordering::SeqCst).into())
}

/// Five tokens a stream, issued and ended in any order, are enough to collide.
fn new_event(history: u64, number: u8, what: u8) -> NewEvent {
    let at = World::system().now();
    let stream = stream(history, number);
    let digest = TokenDigest::from_bytes(*blake3::hash(format!("{stream} {}", what % 5).as_bytes()).as_bytes());
    let scopes = ScopeSet::default_requested();
    let clear: Event = match stream.clone() {
        StreamName::Authorization(application_id, user_id) => match what / 5 % 4 {
            0 => AuthorizationEvent::UserAuthorized {
                application_id,
                user_id,
                grant: what.into(),
                application_revision: 1,
                scopes,
                via: Via::Consent,
                at,
            },
            1 => AuthorizationEvent::AuthorizationRescinded { application_id, user_id, at },
            2 => {
                let token_id = TokenId(digest_id(&digest));
                AuthorizationEvent::TokenRevoked { application_id, user_id, token_id, digest, why: Ended::Revoked, at }
            }
            _ => AuthorizationEvent::TokenIssued {
                application_id,
                user_id,
                grant: 1,
                token_id: TokenId(digest_id(&digest)),
                kind: TokenKind::Access,
                digest,
                scopes,
                expires_at: None,
                held: None,
                at,
            },
        }
        .into(),
        StreamName::Vote(post_id, user_id) => {
            VoteEvent::VoteCast { post_id, user_id, direction: Direction::Up, previous: Direction::None, at }.into()
        }
        other => panic!("no history has {other}"),
    };
    NewEvent {
        event_id: EventId(fresh()),
        stream,
        encoded: codec::encode(&clear).expect("nothing here is personal"),
        clear,
        actor: Actor::System,
        on_behalf_of: None,
        client_address: None,
        request_id: None,
        command_id: None,
    }
}

fn digest_id(digest: &TokenDigest) -> Uuid {
    Uuid::from_slice(&digest.as_bytes()[..16]).expect("16 bytes")
}

mod behaviour;
