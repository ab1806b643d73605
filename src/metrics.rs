//! What is counted while the site runs, and how it is told to Prometheus. Counting costs a few atomic additions: no
//! lock, and an allocation only at the first request of a route. What gauges show, and who may see any of it, is for
//! `app` and `web`.

mod histogram;

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use countersign_events::recorded::Timestamp;
use papaya::HashMap;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder, NoLabelSet, prometheus_text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

pub use histogram::Histogram;

/// Upper bounds for what is measured in nanoseconds: 100 µs to 10 s.
const NANOSECONDS: &[u64] = &[
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
];
const PER_SECOND: f64 = 1e9;
/// Upper bounds for numbers of commands and events that share a commit.
const SIZES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Methods by which requests are told apart; any other is `other`.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PATCH", "DELETE", "other"];
/// Statuses by which answers are told apart; any other is counted as 0.
const STATUSES: [u16; 24] = [
    0, 200, 201, 202, 204, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 429, 500, 503,
    504,
];

/// A name, what it means, and its samples, each under its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The name as Prometheus sees it; that of a counter is without `_total`.
    pub name: &'static str,
    /// What it is, without a full stop.
    pub help: &'static str,
    /// Labels with a value each; all of the family's own kind.
    pub samples: Vec<(Vec<(&'static str, String)>, Value)>,
}

/// A sample of one of three kinds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Only ever rises.
    Counter(u64),
    /// Rises and falls.
    Gauge(f64),
    /// Observations by upper bound, each bucket by itself, with their sum.
    Histogram {
        /// The sum.
        sum: f64,
        /// Upper bounds with numbers.
        buckets: Vec<(f64, u64)>,
    },
}

/// Samples of one label.
fn by<L: ToString>(label: &'static str, samples: impl IntoIterator<Item = (L, Value)>) -> Vec<(Labels, Value)> {
    samples.into_iter().map(|(name, value)| (vec![(label, name.to_string())], value)).collect()
}

type Labels = Vec<(&'static str, String)>;

impl Family {
    /// One sample without labels.
    #[must_use]
    pub fn single(name: &'static str, help: &'static str, value: Value) -> Self {
        Self { name, help, samples: vec![(vec![], value)] }
    }

    /// Samples that one label tells apart.
    pub fn by<L: ToString>(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        samples: impl IntoIterator<Item = (L, Value)>,
    ) -> Self {
        Self { name, help, samples: by(label, samples) }
    }

    fn kind(&self) -> MetricType {
        match self.samples.first() {
            Some((_, Value::Counter(_))) => MetricType::Counter,
            Some((_, Value::Histogram { .. })) => MetricType::Histogram,
            Some((_, Value::Gauge(_))) | None => MetricType::Gauge,
        }
    }
}

/// Families in the text format of Prometheus, with its media type.
///
/// # Errors
/// When a value cannot be written as text.
pub fn text(families: Vec<Family>) -> Result<(&'static str, String), fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Seen(families)));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok((prometheus_text::CONTENT_TYPE, text))
}

#[derive(Debug)]
struct Seen(Vec<Family>);

impl Collector for Seen {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind())?;
            for (labels, value) in &family.samples {
                value.encode(metric.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        match self {
            Self::Counter(count) => ConstCounter::new(*count).encode(encoder),
            Self::Gauge(value) => ConstGauge::new(*value).encode(encoder),
            Self::Histogram { sum, buckets } => {
                let count = buckets.iter().map(|(_, count)| count).sum();
                encoder.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
            }
        }
    }
}

/// Numbers under a few names that are known beforehand.
#[derive(Debug)]
pub struct Counters<const N: usize> {
    names: [&'static str; N],
    counts: [AtomicU64; N],
}

impl<const N: usize> Counters<N> {
    /// All at zero.
    #[must_use]
    pub fn new(names: [&'static str; N]) -> Self {
        Self { names, counts: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Adds to the count of a name; a name that is not known counts nowhere.
    pub fn add(&self, name: &str, more: u64) {
        if let Some(at) = self.names.iter().position(|known| *known == name) {
            self.counts[at].fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Names with their counts.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, Value)> {
        self.names.into_iter().zip(self.counts.iter().map(|count| Value::Counter(count.load(Ordering::Relaxed))))
    }
}

/// What is counted of connections.
#[derive(Debug)]
pub struct Connections {
    /// Ended before their time: `head` did not come, `slow` did not read, `gave_way` to others, `refused` for lack of room.
    pub ended: Counters<4>,
    open: AtomicU64,
}

impl Default for Connections {
    fn default() -> Self {
        Self { ended: Counters::new(["head", "slow", "gave_way", "refused"]), open: AtomicU64::new(0) }
    }
}

impl Connections {
    /// Says how many are open.
    pub fn set_open(&self, open: usize) {
        self.open.store(open as u64, Ordering::Relaxed);
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }
}

/// What came of token checks, as a label says it.
const OUTCOMES: [&str; 7] =
    ["valid", "malformed", "unknown", "expired", "revoked", "application_suspended", "user_suspended"];
/// What housekeeping removes or ends.
const REMOVED: [&str; 5] = ["held_secrets", "vault_orphans", "vault_expired", "dead_rows", "outcomes"];

/// The counters of one site.
#[derive(Debug)]
pub struct Metrics {
    started_at: Timestamp,
    routes: HashMap<String, [OnceLock<Door>; METHODS.len()]>,
    token_checks: Counters<{ OUTCOMES.len() }>,
    removed: Counters<{ REMOVED.len() }>,
    rounds: AtomicU64,
}

/// One method of a route.
#[derive(Debug)]
struct Door {
    statuses: [AtomicU64; STATUSES.len()],
    duration: Histogram,
}

impl Metrics {
    /// Begins to count.
    #[must_use]
    pub fn new(started_at: Timestamp) -> Self {
        Self {
            started_at,
            routes: HashMap::new(),
            token_checks: Counters::new(OUTCOMES),
            removed: Counters::new(REMOVED),
            rounds: AtomicU64::new(0),
        }
    }

    /// Counts an answered request. `route` is the template of its path: there are only so many.
    pub fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let routes = self.routes.pin();
        let doors = match routes.get(route) {
            Some(doors) => doors,
            None => routes.get_or_insert_with(route.to_owned(), Default::default),
        };
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        let door = doors[method].get_or_init(Door::default);
        let status = STATUSES.iter().position(|known| *known == status).unwrap_or_default();
        door.statuses[status].fetch_add(1, Ordering::Relaxed);
        door.duration.observe(nanoseconds(took));
    }

    /// Counts a check of a token by what came of it: `valid`, or why it is not.
    pub fn token_checked(&self, outcome: &'static str) {
        self.token_checks.add(outcome, 1);
    }

    /// Counts a round of housekeeping that went well.
    pub fn looked_after(&self) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what housekeeping has removed: one of `held_secrets`, `vault_orphans`, `vault_expired`.
    pub fn removed(&self, what: &'static str, count: u64) {
        self.removed.add(what, count);
    }

    /// Everything that was counted.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    pub fn families(&self) -> Vec<Family> {
        let (mut requests, mut durations) = (vec![], vec![]);
        for (route, doors) in &self.routes.pin() {
            for (method, door) in METHODS.iter().zip(doors).filter_map(|(method, door)| Some((method, door.get()?))) {
                let labels = vec![("method", (*method).to_owned()), ("route", route.clone())];
                for (status, count) in STATUSES.iter().zip(&door.statuses) {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        let labels = [labels.clone(), vec![("status", status.to_string())]].concat();
                        requests.push((labels, Value::Counter(count)));
                    }
                }
                durations.push((labels, door.duration.value()));
            }
        }
        let started = self.started_at.timestamp_micros() as f64 / 1e6;
        vec![
            Family {
                name: "countersign_http_requests",
                help: "Requests that were answered, by method, route and status",
                samples: sorted(requests),
            },
            Family {
                name: "countersign_http_request_duration_seconds",
                help: "From the head of a request to the head of its answer",
                samples: sorted(durations),
            },
            Family::by(
                "countersign_token_checks",
                "Tokens that came with requests, by what came of the check",
                "outcome",
                self.token_checks.values(),
            ),
            Family::single(
                "countersign_housekeeping_rounds",
                "Rounds of housekeeping that went well",
                Value::Counter(self.rounds.load(Ordering::Relaxed)),
            ),
            Family::by(
                "countersign_housekeeping_removed",
                "Rows that housekeeping has removed, by what they were",
                "what",
                self.removed.values(),
            ),
            Family::single(
                "process_start_time_seconds",
                "When the process started, in seconds since 1970",
                Value::Gauge(started),
            ),
            Family {
                name: "countersign_build_info",
                help: "The program that runs; always 1",
                samples: by("version", [(env!("CARGO_PKG_VERSION"), Value::Gauge(1.0))]),
            },
        ]
    }
}

/// In an order that does not change from one look to the next.
fn sorted(mut samples: Vec<(Labels, Value)>) -> Vec<(Labels, Value)> {
    samples.sort_by(|(a, _), (b, _)| a.cmp(b));
    samples
}

impl Default for Door {
    fn default() -> Self {
        let statuses = std::array::from_fn(|_| AtomicU64::new(0));
        Self { statuses, duration: Histogram::new(NANOSECONDS, PER_SECOND) }
    }
}

/// What the writer measures.
#[derive(Debug)]
pub struct WriterMetrics {
    appends: Counters<5>,
    latency: Histogram,
    commands: Histogram,
    events: Histogram,
}

impl Default for WriterMetrics {
    fn default() -> Self {
        Self {
            appends: Counters::new(["appended", "repeated", "lost_race", "other_body", "failed"]),
            latency: Histogram::new(NANOSECONDS, PER_SECOND),
            commands: Histogram::new(SIZES, 1.0),
            events: Histogram::new(SIZES, 1.0),
        }
    }
}

impl WriterMetrics {
    /// Counts an append by what came of it, with the time from its being queued to its answer.
    pub fn answered(&self, outcome: &'static str, took: Duration) {
        self.appends.add(outcome, 1);
        self.latency.observe(nanoseconds(took));
    }

    /// Counts a commit that was made.
    pub fn committed(&self, commands: usize, events: usize) {
        self.commands.observe(commands as u64);
        self.events.observe(events as u64);
    }

    /// Everything that was counted.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        vec![
            Family::by(
                "countersign_appends",
                "Commands that were sent to the writer, by what came of them",
                "outcome",
                self.appends.values(),
            ),
            Family::single(
                "countersign_append_duration_seconds",
                "From a command's waiting for the writer to its answer, which means on disk",
                self.latency.value(),
            ),
            Family::single("countersign_commit_commands", "Commands that shared a commit", self.commands.value()),
            Family::single("countersign_commit_events", "Events that shared a commit", self.events.value()),
        ]
    }
}

fn nanoseconds(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
