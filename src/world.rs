//! Time, randomness and work on passwords: what `App` takes from outside. Tests bring a clock that
//! stands still and entropy with a seed; nothing else reads a clock or draws random bytes.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use countersign_events::recorded::Timestamp;
use uuid::Uuid;

use crate::{
    judged_time::{Anchor, Behind, JudgedTime, Judgement, LEEWAY, Reading, Standing},
    secrets::{Cost, PasswordPool},
};

/// Tells the time, as far as one clock can.
pub trait Clock: Send + Sync {
    /// The wall clock, in whole microseconds, and the uptime at the same moment.
    fn read(&self) -> Reading;

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

/// The last second of the year 9999, in microseconds since 1970. The dates of HTTP have four digits for the year (RFC 9110
/// section 5.6.7), and so have those of the API (RFC 3339): no clock says more.
const LAST_MICROS: i64 = 253_402_300_799_000_000;

/// The machine's clock. Before 1970 it says 1970.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn read(&self) -> Reading {
        // Not by chrono, which panics beyond the years that it knows.
        #[expect(clippy::disallowed_methods, reason = "the one place where the clock is read")]
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let wall = i64::try_from(since.as_micros()).unwrap_or(i64::MAX).min(LAST_MICROS);
        Reading { wall: crate::store::from_micros(wall), uptime: uptime() }
    }

    fn yields(&self) -> bool {
        true
    }
}

/// Runs on while the machine sleeps, and is not stepped when the clock is set.
#[cfg(target_os = "linux")]
fn uptime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

/// There may be no clock that runs while the machine sleeps: then a sleep looks like a step of the wall clock.
#[cfg(not(target_os = "linux"))]
fn uptime() -> Duration {
    static BEGAN: std::sync::LazyLock<Stopwatch> = std::sync::LazyLock::new(Stopwatch::start);
    BEGAN.elapsed()
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

/// Measures how long something takes, for metrics, log lines and connections; nothing that lasts is decided by it.
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
    passwords: PasswordPool,
    time: Arc<Mutex<Time>>,
}

struct Time {
    judged: JudgedTime,
    /// What the clock said that several machines share, and the uptime then.
    shared: Option<(Timestamp, Duration)>,
}

impl Time {
    /// The wall clock that counts.
    fn wall(&self, reading: Reading) -> Reading {
        let Some((told, then)) = self.shared else { return reading };
        let since = chrono::TimeDelta::from_std(reading.uptime.saturating_sub(then)).unwrap_or_default();
        Reading { wall: told.checked_add_signed(since).unwrap_or(told), ..reading }
    }
}

impl World {
    /// From these two.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let reading = clock.read();
        let judged = JudgedTime::start(reading, None, Timestamp::default());
        let time = Arc::new(Mutex::new(Time { judged, shared: None }));
        Self { clock, entropy, passwords: PasswordPool::new(Cost::FULL), time }
    }

    /// With new passwords at another cost.
    #[must_use]
    pub fn with_passwords_at(self, cost: Cost) -> Self {
        Self { passwords: PasswordPool::new(cost), ..self }
    }

    /// Where passwords are worked on.
    #[must_use]
    pub fn passwords(&self) -> PasswordPool {
        self.passwords.clone()
    }

    /// The real one.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock), Arc::new(SystemEntropy))
    }

    /// Whether the clock says a time that a site can go by.
    ///
    /// # Errors
    /// When it is at the end of the years that it can tell.
    pub fn is_usable(&self) -> Result<(), &'static str> {
        let wall = self.clock.read().wall.timestamp_micros();
        let last_year = LAST_MICROS - 366 * 24 * 3_600 * 1_000_000;
        if wall < last_year {
            Ok(())
        } else {
            Err("the machine's clock says the year 9999 or a later one: set it right")
        }
    }

    /// Begins to judge, from what was stored: the anchor, or else the end of the log.
    pub fn begin(&self, anchor: Option<Anchor>, log_ends: Timestamp) {
        self.timed(|time, reading| time.judged = JudgedTime::start(reading, anchor, log_ends));
    }

    fn timed<T>(&self, work: impl FnOnce(&mut Time, Reading) -> T) -> T {
        let mut time = self.time.lock().unwrap_or_else(PoisonError::into_inner);
        // Read in here: readings come in order.
        let reading = time.wall(self.clock.read());
        work(&mut time, reading)
    }

    fn judged<T>(&self, work: impl FnOnce(&mut JudgedTime) -> T) -> T {
        self.timed(|time, reading| {
            time.judged.advance(reading);
            work(&mut time.judged)
        })
    }

    /// What time it is, and how certain that is.
    #[must_use]
    pub fn judgement(&self) -> Judgement {
        self.judged(|time| time.now())
    }

    /// Now: the time at which things are recorded and expire.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.judgement().judged
    }

    /// The time at which whatever ends, forgets, purges or sweeps runs; never later than [`Self::now`].
    #[must_use]
    pub fn destroying(&self) -> Timestamp {
        self.judgement().destroying
    }

    /// What was recorded before this is older than `age`, whatever the clock did: see [`JudgedTime::older_than`].
    #[must_use]
    pub fn older_than(&self, age: Duration) -> Timestamp {
        self.judged(|time| time.older_than(age))
    }

    /// How something stands that began and ends at these times.
    #[must_use]
    pub fn standing(&self, begun: Timestamp, until: Timestamp) -> Standing {
        self.judged(|time| time.standing(begun, until))
    }

    /// What is to be stored.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        self.judged(|time| time.anchor())
    }

    /// Another node has stored this: no time here is before it.
    pub fn at_least(&self, anchor: Anchor) {
        self.judged(|time| time.at_least(anchor));
    }

    /// Whether the wall clock can be said to be right.
    ///
    /// # Errors
    /// [`Behind`] when it is before what this site is certain of.
    pub fn may_accept(&self) -> Result<(), Behind> {
        self.judged(|time| time.may_accept())
    }

    /// Somebody has said, here or on another node, that the wall clock is right, which read `wall` then; it counts where that
    /// is the clock that is read here.
    pub fn accept_at(&self, wall: Timestamp) {
        self.judged(|time| {
            if (time.now().wall - wall).abs().to_std().is_ok_and(|off| off <= LEEWAY) {
                // One that is behind was refused before it was put on record.
                let _ = time.accept();
            }
        });
    }

    /// Hears the clock that several machines share; it counts, if ours gives way to it.
    pub fn hear(&self, shared: Timestamp) {
        if self.clock.yields() {
            let mut time = self.time.lock().unwrap_or_else(PoisonError::into_inner);
            time.shared = Some((shared, self.clock.read().uptime));
        }
    }

    /// How far this machine's clock is ahead of the one that several machines share, in seconds, when it gives way to one.
    #[must_use]
    pub fn ahead_seconds(&self) -> Option<i64> {
        let time = self.time.lock().unwrap_or_else(PoisonError::into_inner);
        let own = self.clock.read();
        time.shared.is_some().then(|| (own.wall - time.wall(own).wall).num_seconds())
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
