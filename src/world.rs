//! Time and randomness, the two things that `App` takes from outside. Tests bring a clock that
//! stands still and entropy with a seed; nothing else reads a clock or draws random bytes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use countersign_events::recorded::Timestamp;
use uuid::Uuid;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, in whole microseconds.
    fn now(&self) -> Timestamp;

    /// Whether it gives way to a clock that several machines share.
    fn yields(&self) -> bool {
        false
    }
}

/// Draws random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with bytes nobody can predict.
    fn fill(&self, bytes: &mut [u8]);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place where the clock is read")]
        let now = chrono::Utc::now();
        crate::store::from_micros(now.timestamp_micros())
    }

    fn yields(&self) -> bool {
        true
    }
}

/// The operating system's random source.
#[derive(Debug, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::disallowed_methods, reason = "the one place where random bytes are drawn")]
        getrandom::fill(bytes).expect("a system without random bytes cannot make secrets");
    }
}

/// Measures how long something takes, for metrics and log lines; nothing is ever decided by it.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Begins to measure.
    #[must_use]
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place where durations are measured")]
        let now = std::time::Instant::now();
        Self(now)
    }

    /// The time since.
    #[must_use]
    pub fn elapsed(self) -> std::time::Duration {
        self.0.elapsed()
    }
}

/// Ids of requests: unique by a random part drawn once and a count, so that a request costs no random bytes.
#[derive(Debug)]
pub struct RequestIds {
    random: [u8; 8],
    count: AtomicU64,
}

impl RequestIds {
    /// Begins to count.
    #[must_use]
    pub fn new(world: &World) -> Self {
        Self { random: world.random(), count: AtomicU64::new(0) }
    }

    /// The next one, a UUID of version 8 (RFC 9562 s5.8).
    pub fn next(&self) -> Uuid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.random);
        bytes[8..].copy_from_slice(&self.count.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// Clock and entropy together.
#[derive(Clone)]
pub struct World {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl World {
    /// From these two.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy }
    }

    /// The real one.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock), Arc::new(SystemEntropy))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// When something is recorded: by the clock that all who write share, if there is one and ours gives way to it.
    #[must_use]
    pub fn recorded_now(&self, shared: Option<Timestamp>) -> Timestamp {
        shared.filter(|_| self.clock.yields()).unwrap_or_else(|| self.now())
    }

    /// Fresh random bytes.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// A fresh `UUIDv7`.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        let millis = u64::try_from(self.now().timestamp_millis()).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &self.random::<10>()).into_uuid()
    }
}
