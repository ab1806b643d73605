//! How far long work is: events done, of how many, how fast, and how long it still takes. Showing it is
//! whoever asked for the work's.

use countersign_events::recorded::{Position, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::world::World;

/// Who is told how far something is.
pub type Tell<'a> = &'a (dyn Fn(Pace) + Send + Sync);

/// How far long work is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pace {
    /// The read model that is worked on.
    pub name: String,
    /// Events that are done.
    pub done: u64,
    /// Events there are to do.
    pub of: u64,
    /// Events a second so far; 0 before the first second is measured.
    pub events_per_second: u64,
    /// Seconds that the rest takes at this rate.
    pub seconds_left: Option<u64>,
}

/// Measures a pace.
#[derive(Debug)]
pub struct Meter {
    name: &'static str,
    began: Timestamp,
    from: Position,
    to: Position,
}

impl Meter {
    /// Begins to measure work on the events after `from`, through `to`.
    #[must_use]
    pub fn start(name: &'static str, world: &World, from: Position, to: Position) -> Self {
        Self { name, began: world.now(), from, to }
    }

    /// How far it is at a position. The log may have grown since: what is done is never more than there is to do.
    #[must_use]
    pub fn at(&self, position: Position, world: &World) -> Pace {
        let done = position.0.saturating_sub(self.from.0);
        let of = self.to.0.saturating_sub(self.from.0).max(done);
        let micros = (world.now() - self.began).num_microseconds().unwrap_or(i64::MAX).max(0).unsigned_abs();
        let rate = done.saturating_mul(1_000_000).checked_div(micros).unwrap_or(0);
        let seconds_left = (of - done).checked_div(rate);
        Pace { name: self.name.to_owned(), done, of, events_per_second: rate, seconds_left }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicI64, Ordering},
        },
        time::Duration,
    };

    use super::*;
    use crate::{
        judged_time::Reading,
        store::from_micros,
        world::{Clock, SystemEntropy},
    };

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn read(&self) -> Reading {
            let micros = self.0.load(Ordering::Relaxed);
            Reading { wall: from_micros(micros), uptime: Duration::from_micros(micros.unsigned_abs()) }
        }
    }

    #[test]
    fn a_pace_has_a_rate_and_a_time_left() {
        let clock = Arc::new(Hand(AtomicI64::new(0)));
        let world = World::new(clock.clone(), Arc::new(SystemEntropy));
        let meter = Meter::start("inbox", &world, Position(100), Position(1_100));
        let before = meter.at(Position(100), &world);
        assert_eq!((before.done, before.of, before.events_per_second, before.seconds_left), (0, 1_000, 0, None));
        clock.0.store(2_000_000, Ordering::Relaxed);
        let half = meter.at(Position(600), &world);
        assert_eq!((half.done, half.of, half.events_per_second, half.seconds_left), (500, 1_000, 250, Some(2)));
        let beyond = meter.at(Position(1_300), &world);
        assert_eq!((beyond.done, beyond.of, beyond.seconds_left), (1_200, 1_200, Some(0)));
    }
}
