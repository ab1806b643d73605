//! What time the site holds it to be: stored each minute, told to operators, and set right by them when they say so. The
//! judgement itself is `judged_time`'s.

use std::sync::{PoisonError, atomic::Ordering};

use countersign_events::{
    decider::Decider as _,
    recorded::{StreamName, Timestamp},
    site::{Site, SiteCommand},
};

use super::{App, AppError, Caller, Done, Plan};
use crate::judged_time::{Anchor, Judgement, LEEWAY, Standing};

/// The state of the clock, as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReport {
    /// What it is now.
    pub now: Judgement,
    /// What is stored of it; `None` before the first round of housekeeping.
    pub anchor: Option<Anchor>,
    /// How far this machine's clock is ahead of the database's, in seconds, where that one counts.
    pub ahead_seconds: Option<i64>,
}

/// What was said of the clock last, so that it is said once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Said {
    in_doubt: bool,
    destroying_waits: bool,
    node_is_off: bool,
}

impl ClockReport {
    /// Whether this machine's clock is far from the database's.
    #[must_use]
    pub fn node_is_off(&self) -> bool {
        self.ahead_seconds.is_some_and(|seconds| seconds.unsigned_abs() > LEEWAY.as_secs())
    }
}

impl App {
    /// What the clock says and what the site makes of it.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn clock(&self) -> Result<ClockReport, AppError> {
        let anchor = self.log.anchor().await?;
        Ok(ClockReport { now: self.world.judgement(), anchor, ahead_seconds: self.world.ahead_seconds() })
    }

    /// Stores what time it is, and says when that and the clock part.
    pub(super) async fn note_clock(&self) -> Result<(), AppError> {
        if self.is_one_of_many() {
            // Nothing may have been proved for hours, and the clock that counts is the database's.
            self.look_closer().await?;
        }
        let anchor = self.world.anchor();
        let stored = self.writer.job(move |log| Box::pin(log.raise_anchor(anchor))).await?;
        // Nobody sends requests to a site that is not ready: without this only an append could tell that it takes them again.
        self.writer.wrote();
        let far = |anchor: Anchor| (anchor.judged - anchor.destroying).to_std().is_ok_and(|off| off > LEEWAY);
        if far(stored) && !far(anchor) && stored.judged > anchor.judged {
            // What one start read is contradicted by what this one has seen.
            self.writer.job(move |log| Box::pin(log.set_anchor(anchor))).await?;
        } else {
            self.world.at_least(stored);
        }
        self.house.is_anchored.store(true, Ordering::Relaxed);
        let report = ClockReport {
            now: self.world.judgement(),
            anchor: Some(anchor),
            ahead_seconds: self.world.ahead_seconds(),
        };
        self.say(&report);
        Ok(())
    }

    fn say(&self, report: &ClockReport) {
        let ClockReport { now, ahead_seconds, .. } = *report;
        let said = Said {
            in_doubt: now.in_doubt(),
            destroying_waits: now.destroying_waits(),
            node_is_off: report.node_is_off(),
        };
        let before = std::mem::replace(&mut *self.house.said.lock().unwrap_or_else(PoisonError::into_inner), said);
        let (wall, judged, destroying) = (now.wall, now.judged, now.destroying);
        if said.in_doubt && !before.in_doubt {
            tracing::warn!(%wall, %judged, "the clock jumped: what only one of the two times ends is answered 503, and nothing \
                is destroyed; set the clock right, or `countersign clock accept`");
        } else if before.in_doubt && !said.in_doubt {
            tracing::info!(%wall, "the clock is not in doubt any more");
        }
        if said.destroying_waits && !before.destroying_waits {
            tracing::warn!(%judged, %destroying, "nothing is destroyed by what the clock says now until it has run evenly for a \
                day, or `countersign clock accept`");
        } else if before.destroying_waits && !said.destroying_waits {
            tracing::info!(%destroying, "time for destroying has caught up with the clock");
        }
        if said.node_is_off && !before.node_is_off {
            let ahead_seconds = ahead_seconds.unwrap_or_default();
            tracing::warn!(
                ahead_seconds,
                "this machine's clock differs from the database's, which counts; set it right"
            );
        } else if before.node_is_off && !said.node_is_off {
            tracing::info!("this machine's clock is with the database's again");
        }
    }

    /// The same at a stop, which nothing holds up. A site that nobody has kept house in has no anchor, and gets none.
    pub(super) async fn store_last_time(&self) {
        if !self.house.is_anchored.load(Ordering::Relaxed) {
            return;
        }
        let anchor = self.world.anchor();
        if let Err(error) = self.writer.job(move |log| Box::pin(log.raise_anchor(anchor))).await {
            tracing::warn!(%error, "what time it is could not be stored");
        }
    }

    /// An operator says that the clock is right: from now on things expire and are destroyed by it. What had been held to be
    /// the time before; nothing happens where the clock is not in doubt.
    ///
    /// # Errors
    /// [`AppError::ClockBehind`] when it is before what this site is certain of; [`AppError::Store`].
    pub async fn accept_clock(&self, caller: &Caller) -> Result<Done<Judgement>, AppError> {
        if self.is_one_of_many() {
            self.look_closer().await?;
        }
        let before = self.world.judgement();
        self.world.may_accept()?;
        let Judgement { wall, judged, destroying } = before;
        let in_force = !before.in_doubt() && !before.destroying_waits();
        let done = self
            .execute(caller, || async {
                let (site, version) = self.load::<Site>(&StreamName::Site).await?;
                let accept = SiteCommand::AcceptClock { wall, judged, destroying };
                let events = if in_force { vec![] } else { site.decide(accept)? };
                Ok(Plan::answering(()).with(&StreamName::Site, version, events))
            })
            .await?;
        if done.happened {
            // Who follows the log has accepted it already, here too; this is for those who start later.
            let anchor = self.world.anchor();
            self.writer.job(move |log| Box::pin(log.set_anchor(anchor))).await?;
        }
        Ok(done.answering(before))
    }

    /// The cut-off of dead rows.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn cut_off(&self) -> Result<Timestamp, AppError> {
        Ok(self.models.cut_off().await?)
    }

    /// An operator moves the cut-off of dead rows back. Rows that have left come back when their read model is built anew. What
    /// it was before; nothing happens where it is not later.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn lower_cut_off(&self, caller: &Caller, to: Timestamp) -> Result<Done<Timestamp>, AppError> {
        let (from, at) = (self.cut_off().await?, self.now());
        let done = self
            .execute(caller, || async {
                let (site, version) = self.load::<Site>(&StreamName::Site).await?;
                let events = site.decide(SiteCommand::LowerCutOff { from, to, at })?;
                Ok(Plan::answering(()).with(&StreamName::Site, version, events))
            })
            .await?;
        if done.happened {
            self.writer.job(move |log| Box::pin(log.lower_cut_off(to))).await?;
        }
        Ok(done.answering(from))
    }

    /// Passes what is good, and refuses what is over.
    pub(super) fn must_hold(standing: Standing, over: impl FnOnce() -> AppError) -> Result<(), AppError> {
        match standing {
            Standing::Good => Ok(()),
            Standing::Over => Err(over()),
            Standing::InDoubt => Err(AppError::ClockInDoubt),
        }
    }
}
