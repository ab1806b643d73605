//! A site to look at: a fixed cast, a board, and applications in every state, told through the same use cases as
//! members' own requests, under a clock that walks through the last weeks. Only what happens is here; when a site is
//! filled, and where it may be served, is the command line's and the configuration's.

mod applications;
mod board;
mod cast;
mod teller;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use countersign_events::{
    event::Event,
    recorded::{StreamName, Timestamp, Version},
    site::{Difference, SiteEvent},
};

pub use cast::{CAST, Part};

use self::teller::{Act, Teller};
use crate::{
    app::{App, AppError},
    config::Config,
    judged_time::Reading,
    policy::Policy,
    store::{decode, from_micros},
    world::Clock,
};

/// Everybody's password.
pub const PASSWORD: &str = "countersign demo";

/// A clock that goes where the story is, and never back.
#[derive(Debug)]
pub struct WalkingClock(AtomicI64);

impl WalkingClock {
    /// One that stands there.
    #[must_use]
    pub fn at(instant: Timestamp) -> Self {
        Self(AtomicI64::new(instant.timestamp_micros()))
    }

    /// Goes on to an instant, at least by a second.
    fn walk_to(&self, instant: Timestamp) {
        let least = self.0.load(Ordering::SeqCst) + 1_000_000;
        self.0.store(instant.timestamp_micros().max(least), Ordering::SeqCst);
    }
}

impl Clock for WalkingClock {
    /// What it walks through counts as time that passed.
    fn read(&self) -> Reading {
        let micros = self.0.load(Ordering::SeqCst);
        Reading { wall: from_micros(micros), uptime: Duration::from_micros(micros.unsigned_abs()) }
    }
}

/// The clock at the beginning of a story that ends a moment before `now`.
#[must_use]
pub fn clock(now: Timestamp) -> Arc<WalkingClock> {
    Arc::new(WalkingClock::at(now - TimeDelta::minutes(story()[0].minutes_ago + 1)))
}

/// The settings under which the story can happen, whatever the site's own are: two reviewers sign, and the rules
/// are the usual ones.
#[must_use]
pub fn rules(config: &Config) -> Config {
    let mut rules = config.clone();
    (rules.two_person_rule, rules.simple_flow) = (true, true);
    (rules.held_secret_days, rules.token_lifetime_days) = (7, Some(365));
    rules.limits_open_requests = std::num::NonZeroU32::MIN.saturating_add(2);
    rules.review_policy = std::path::PathBuf::new();
    rules
}

/// Whether the log is that of a demo: it says that the site was once started as one, which is after it was filled.
///
/// # Errors
/// [`AppError::Store`].
pub async fn is_told(app: &App) -> Result<bool, AppError> {
    for stored in app.log.read_stream(&StreamName::Site, Version(0)).await? {
        if let Event::Site(SiteEvent::ConfigurationChanged { differences, .. }) = decode(&stored)?.event {
            let on = |one: &Difference| one.key == "demo" && one.to.as_deref() == Some("true");
            if differences.iter().any(on) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Fills an empty site. `app` reads its time from `clock`, and has the [`rules`] of the story.
///
/// # Errors
/// Whatever a use case says; what was told until then stays.
pub async fn fill(app: &App, clock: &WalkingClock, now: Timestamp) -> Result<(), AppError> {
    debug_assert_eq!(app.policy, Policy::default());
    let mut teller = Teller::new(app);
    for (index, act) in story().into_iter().enumerate() {
        // Nothing happens on the full minute.
        let seconds = i64::try_from(index).unwrap_or_default() * 17 % 50;
        clock.walk_to(now - TimeDelta::minutes(act.minutes_ago) + TimeDelta::seconds(seconds));
        teller.perform(act.deed).await?;
    }
    Ok(())
}

/// Everything that happens, in order.
fn story() -> Vec<Act> {
    let mut acts = cast::joining();
    acts.extend(board::acts());
    acts.extend(applications::acts());
    acts.sort_by_key(|act| std::cmp::Reverse(act.minutes_ago));
    acts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_is_over_before_now_also_when_every_act_waits_for_the_one_before() {
        let now = from_micros(1_800_000_000_000_000);
        let clock = clock(now);
        for (index, act) in story().into_iter().enumerate() {
            let seconds = i64::try_from(index).unwrap() * 17 % 50;
            clock.walk_to(now - TimeDelta::minutes(act.minutes_ago) + TimeDelta::seconds(seconds));
            assert!(clock.read().wall < now, "{index}");
        }
    }
}
