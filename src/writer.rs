//! The writer: one task that appends to the log for everybody. It commits in groups: what waits is
//! taken together, judged in memory in the order of arrival, and committed once. There is no timer:
//! the last commit's duration is the window. Deciding and sealing are done before, by the caller.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::Duration;
use countersign_events::{
    event::Event,
    recorded::{Envelope, Position, Recorded, StreamName, Timestamp, Version},
};
use countersign_projections::project_inline;
use tokio::sync::{mpsc, oneshot};

use crate::{
    metrics::{Family, Value, WriterMetrics},
    store::{Begun, CommandKey, Head, LogWriter, Outcome, StoreError, StoredEvent},
    telemetry::SPANS,
    world::{Stopwatch, World},
};

mod append;

pub use append::{Append, AppendError, Appended, Command, NewEvent};

/// At most so many commands share a commit.
const BATCH_COMMANDS: usize = 256;
/// At most so many bytes of payload share a commit.
const BATCH_BYTES: usize = 1 << 20;
/// So many commands may wait before senders do.
const QUEUE: usize = 4096;

/// How long it tries to empty the write-ahead log when it ends.
const RESTING: std::time::Duration = std::time::Duration::from_secs(5);
/// How long it is tried to find out whether a commit happened, and the pauses in between.
const FINDING_OUT: std::time::Duration = std::time::Duration::from_secs(30);
const FIRST_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// What happens right after a commit, before anybody is answered.
pub type AfterCommit = Arc<dyn Fn(Vec<Recorded<Event>>) -> JobFuture<'static, ()> + Send + Sync>;

struct Queued {
    append: Append,
    answer: oneshot::Sender<Result<Appended, AppendError>>,
    /// What its sender is at, for traces.
    span: tracing::Span,
}

/// What waits for the writing connection.
enum Waiting {
    Append(Queued),
    Job(Job),
}

type Job = Box<dyn for<'a> FnOnce(&'a mut dyn LogWriter) -> JobFuture<'a, ()> + Send>;

/// The work of a job.
pub type JobFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The way to the writer task.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Waiting>,
    well: Arc<AtomicBool>,
    metrics: Arc<WriterMetrics>,
}

impl Writer {
    /// Starts the task. It ends, with its connection, when the last `Writer` is gone.
    pub fn start(
        log: Box<dyn LogWriter>,
        world: World,
        after_commit: AfterCommit,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let well = Arc::new(AtomicBool::new(true));
        let metrics = Arc::<WriterMetrics>::default();
        let task = Task { log, world, after_commit, well: well.clone(), metrics: metrics.clone() };
        (Self { queue, well, metrics }, tokio::spawn(task.run(waiting)))
    }

    /// Whether it takes appends, and the last one did not fail for the store's sake.
    #[must_use]
    pub fn is_well(&self) -> bool {
        !self.queue.is_closed() && self.well.load(Ordering::Relaxed)
    }

    /// Appends, durably; an answer means that it is on disk and in the inline read models.
    ///
    /// # Errors
    /// [`AppendError`]; nothing of this append is in the log then.
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let watch = Stopwatch::start();
        let (answer, answered) = oneshot::channel();
        let queued = Queued { append, answer, span: tracing::Span::current() };
        let result = match self.queue.send(Waiting::Append(queued)).await {
            Ok(()) => answered.await.unwrap_or_else(|_| Err(gone().into())),
            Err(_) => Err(gone().into()),
        };
        self.metrics.answered(outcome_of(&result), watch.elapsed());
        result
    }

    /// Whether the log takes appends again after one failed for the store's sake: begins one and leaves it.
    pub async fn try_again(&self) -> bool {
        let begun = self.job(|log| {
            Box::pin(async move {
                log.begin(&[]).await?;
                log.rollback().await
            })
        });
        let is_well = begun.await.is_ok();
        self.well.store(is_well, Ordering::Relaxed);
        is_well
    }

    /// Something else was written to the log's database: appends can be as well.
    pub fn wrote(&self) {
        self.well.store(true, Ordering::Relaxed);
    }

    /// What it has counted, and how many commands wait for it.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    pub fn families(&self) -> Vec<Family> {
        let waiting = self.queue.max_capacity() - self.queue.capacity();
        let gauge = |name, help, value| Family::single(name, help, Value::Gauge(value));
        let mut families = self.metrics.families();
        families.push(gauge("countersign_writer_queue_depth", "Commands that wait for the writer", waiting as f64));
        families.push(gauge(
            "countersign_writer_up",
            "1 while the log takes appends, 0 after one failed for the store's sake",
            f64::from(u8::from(self.is_well())),
        ));
        families
    }

    /// Does other work on the writing connection, between two commits: appends wait meanwhile, so it has to be short.
    ///
    /// # Errors
    /// Those of the work, and [`StoreError::Unavailable`] when the writer has stopped.
    pub async fn job<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn LogWriter) -> JobFuture<'a, Result<T, StoreError>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Waiting::Job(Box::new(move |log| {
            Box::pin(async move {
                // A caller that hung up does not need its answer.
                let _ = answer.send(work(log).await);
            })
        }));
        self.queue.send(job).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

const fn outcome_of(result: &Result<Appended, AppendError>) -> &'static str {
    match result {
        Ok(Appended::New { .. }) => "appended",
        Ok(Appended::Repeat(_)) => "repeated",
        Err(AppendError::Lost(_)) => "lost_race",
        Err(AppendError::OtherBody) => "other_body",
        Err(AppendError::Store(_)) => "failed",
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the writer has stopped".to_owned())
}

struct Task {
    log: Box<dyn LogWriter>,
    world: World,
    after_commit: AfterCommit,
    well: Arc<AtomicBool>,
    metrics: Arc<WriterMetrics>,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        // A job that ended a batch is done after it.
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(first) => first,
                None => match waiting.recv().await {
                    Some(first) => first,
                    None => return self.rest().await,
                },
            };
            let first = match first {
                Waiting::Append(first) => first,
                Waiting::Job(job) => {
                    job(self.log.as_mut()).await;
                    continue;
                }
            };
            let mut bytes = first.append.bytes();
            let mut batch = vec![first];
            while batch.len() < BATCH_COMMANDS
                && bytes < BATCH_BYTES
                && let Ok(another) = waiting.try_recv()
            {
                match another {
                    Waiting::Append(append) => {
                        bytes += append.append.bytes();
                        batch.push(append);
                    }
                    job @ Waiting::Job(_) => {
                        next = Some(job);
                        break;
                    }
                }
            }
            self.commit(batch).await;
        }
    }

    /// Leaves nothing in a write-ahead log: whoever copies the log's database alone has everything.
    async fn rest(&mut self) {
        let attempts = async {
            while !matches!(self.log.truncate().await, Ok(true)) {
                tokio::time::sleep(FIRST_PAUSE).await;
            }
        };
        if tokio::time::timeout(RESTING, attempts).await.is_err() {
            tracing::warn!(
                "somebody reads log.db or its disk is full: what was written last lies in log.db-wal, and a copy of log.db \
                 alone lacks it"
            );
        }
    }

    /// Commits a batch; should it fail as a whole, each command gets a try of its own, so that one
    /// that cannot be stored does not take its neighbours with it.
    async fn commit(&mut self, batch: Vec<Queued>) {
        let alone = batch.len() == 1;
        // Begun by the first command; the others point at it.
        let parent = batch.first().and_then(|queued| queued.span.id());
        let commands = i64::try_from(batch.len()).unwrap_or_default();
        let span = tracing::trace_span!(target: SPANS, parent: parent, "commit", commands);
        for queued in batch.iter().skip(1) {
            span.follows_from(&queued.span);
        }
        let appends: Vec<_> = batch.iter().map(|queued| &queued.append).collect();
        match self.try_commit(&appends).await {
            Ok(results) => {
                for (queued, result) in batch.into_iter().zip(results) {
                    // A caller that hung up does not need its answer.
                    let _ = queued.answer.send(result);
                }
            }
            Err(error) if alone => {
                tracing::error!(error = error.detail(), "an append failed");
                let told = match error {
                    StoreError::Unavailable(told) => told,
                    error => error.to_string(),
                };
                for queued in batch {
                    let _ = queued.answer.send(Err(AppendError::Store(StoreError::Unavailable(told.clone()))));
                }
            }
            Err(error) => {
                tracing::warn!(%error, commands = batch.len(), "a batch failed; trying its commands one by one");
                for queued in batch {
                    let result = match self.try_commit(&[&queued.append]).await {
                        Ok(mut results) => results.pop().unwrap_or_else(|| Err(AppendError::Store(error_of_empty()))),
                        Err(error) => Err(AppendError::Store(error)),
                    };
                    let _ = queued.answer.send(result);
                }
            }
        }
    }

    async fn try_commit(&mut self, batch: &[&Append]) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
        let result = self.transact(batch).await;
        // A row that conflicts is its command's affair, not the store's.
        let failed = matches!(&result, Err(StoreError::Unavailable(_) | StoreError::Corrupt { .. }));
        self.well.store(!failed, Ordering::Relaxed);
        if result.is_err() {
            self.log.rollback().await?;
        }
        result
    }

    /// Commits, and finds out when the answer to that was lost.
    async fn commit_or_find_out(
        &mut self,
        head: Head,
        last: Option<&StoredEvent>,
        outcome: Option<&Outcome>,
    ) -> Result<(), StoreError> {
        let Err(error) = self.log.commit(head).await else { return Ok(()) };
        tracing::warn!(error = error.detail(), "a commit failed; looking whether it happened");
        self.well.store(false, Ordering::Relaxed);
        let found_out = async {
            let mut pause = FIRST_PAUSE;
            loop {
                match self.happened(last, outcome).await {
                    Ok(happened) => return happened,
                    Err(error) => tracing::warn!(%error, "still looking"),
                }
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        };
        match tokio::time::timeout(FINDING_OUT, found_out).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(error),
            Err(_) => Err(StoreError::Unavailable(format!("whether a commit happened is unknown: {error}"))),
        }
    }

    /// Whether what was committed is in the log. Under the lock of the head nothing is undecided: whoever has it comes
    /// after the transaction that had it before.
    async fn happened(&mut self, last: Option<&StoredEvent>, outcome: Option<&Outcome>) -> Result<bool, StoreError> {
        self.log.rollback().await?;
        self.log.begin(&[]).await?;
        let happened = match (last, outcome) {
            (Some(last), _) => self.log.event_id_at(last.envelope.position).await? == Some(last.envelope.event_id),
            (None, Some(outcome)) => !self.log.outcomes(std::slice::from_ref(&outcome.key)).await?.is_empty(),
            (None, None) => true,
        };
        self.log.rollback().await?;
        Ok(happened)
    }

    async fn transact(&mut self, batch: &[&Append]) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
        let streams: HashSet<_> = batch.iter().flat_map(|append| append.streams()).cloned().collect();
        let streams: Vec<_> = streams.into_iter().collect();
        let keys: Vec<_> =
            batch.iter().filter_map(|append| append.command.as_ref().map(|command| command.key.clone())).collect();
        let Begun { head, versions, now } = self.log.begin(&streams).await?;
        if let Some(shared) = now {
            self.world.hear(shared);
        }
        let mut judge = Judge {
            versions: versions.into_iter().collect(),
            outcomes: HashMap::new(),
            head,
            now: self.world.now(),
            stored: vec![],
            outcomes_made: vec![],
        };
        if !keys.is_empty() {
            judge.outcomes =
                self.log.outcomes(&keys).await?.into_iter().map(|outcome| (outcome.key.clone(), outcome)).collect();
        }
        let results: Vec<_> = batch.iter().map(|append| judge.judge(append)).collect();
        let Judge { head, stored, outcomes_made, .. } = judge;
        if stored.is_empty() && outcomes_made.is_empty() {
            self.log.rollback().await?;
            return Ok(results);
        }
        let recorded = || results.iter().flatten().flat_map(Appended::recorded);
        self.log.insert(&stored).await?;
        self.log.apply(recorded().flat_map(project_inline).collect()).await?;
        self.log.record(&outcomes_made).await?;
        self.commit_or_find_out(head, stored.last(), outcomes_made.first()).await?;
        let recorded: Vec<_> = recorded().cloned().collect();
        self.metrics.committed(batch.len(), recorded.len());
        (self.after_commit)(recorded).await;
        Ok(results)
    }
}

fn error_of_empty() -> StoreError {
    StoreError::Unavailable("the append was not judged".to_owned())
}

/// Judges commands in memory, in the order of arrival: later ones see earlier winners.
struct Judge {
    versions: HashMap<StreamName, Version>,
    outcomes: HashMap<CommandKey, Outcome>,
    head: Head,
    now: Timestamp,
    stored: Vec<StoredEvent>,
    outcomes_made: Vec<Outcome>,
}

impl Judge {
    fn judge(&mut self, append: &Append) -> Result<Appended, AppendError> {
        if let Some(command) = &append.command
            && let Some(before) = self.outcomes.get(&command.key)
        {
            return if before.body == command.body {
                Ok(Appended::Repeat(before.clone()))
            } else {
                Err(AppendError::OtherBody)
            };
        }
        for (stream, version) in &append.expected {
            if self.version(stream) != *version {
                return Err(AppendError::Lost(stream.clone()));
            }
        }
        let recorded: Vec<_> = append.events.iter().map(|event| self.place(event)).collect();
        if let Some(Command { key, body, answer }) = append.command.clone() {
            let outcome =
                Outcome { key: key.clone(), body, answer, position: self.head.position, recorded_at: self.now };
            self.outcomes.insert(key, outcome.clone());
            self.outcomes_made.push(outcome);
        }
        Ok(Appended::New { head: self.head, recorded })
    }

    fn version(&self, stream: &StreamName) -> Version {
        self.versions.get(stream).copied().unwrap_or_default()
    }

    fn place(&mut self, event: &NewEvent) -> Recorded<Event> {
        let version = self.version(&event.stream).next();
        self.versions.insert(event.stream.clone(), version);
        // Time never orders, but it never runs backwards either.
        let recorded_at = self.now.max(self.head.recorded_at + Duration::microseconds(1));
        self.head = Head { position: self.head.position.next(), recorded_at, ..self.head };
        let envelope = Envelope {
            position: self.head.position,
            event_id: event.event_id,
            stream: event.stream.clone(),
            version,
            recorded_at,
            actor: event.actor.clone(),
            on_behalf_of: event.on_behalf_of,
            client_address: event.client_address.clone(),
            request_id: event.request_id.clone(),
            command_id: event.command_id.clone(),
            causation: None,
        };
        self.stored.push(StoredEvent {
            envelope: envelope.clone(),
            type_name: event.encoded.event_type.name.to_owned(),
            type_version: event.encoded.event_type.version,
            payload: event.encoded.payload.clone(),
        });
        Recorded { envelope, event: event.clear.clone() }
    }
}

impl Append {
    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.encoded.payload.len()).sum()
    }

    fn streams(&self) -> impl Iterator<Item = &StreamName> {
        self.events.iter().map(|event| &event.stream).chain(self.expected.iter().map(|(stream, _)| stream))
    }
}

impl Appended {
    fn recorded(&self) -> &[Recorded<Event>] {
        match self {
            Self::New { recorded, .. } => recorded,
            Self::Repeat(_) => &[],
        }
    }

    /// The head right after it.
    #[must_use]
    pub const fn position(&self) -> Position {
        match self {
            Self::New { head, .. } => head.position,
            Self::Repeat(outcome) => outcome.position,
        }
    }
}
