//! What time it is, judged from a wall clock that is wrong sometimes and an uptime that only runs on. Two readings are
//! made of them: *judged time*, at which things are recorded and expire, and *time for destroying*, at which whatever ends,
//! forgets, purges or sweeps runs. It is pure: readings come in, and so does what was stored (the *anchor*). Who reads the
//! clocks is `world`; who stores the anchor is housekeeping.

use std::time::Duration;

use countersign_events::recorded::Timestamp;

use crate::store::from_micros;

/// A wall clock that is off by no more than this is followed, and nobody is in doubt.
pub const LEEWAY: Duration = Duration::from_mins(5);
/// A step ahead of no more than this may be a machine that was paused, or a site that was off for so long.
pub const PAUSE: Duration = Duration::from_hours(72);
/// The wall clock has to run evenly for so long before such a step is taken over, and before things are destroyed by what
/// it said at a start.
const SHORT_PROOF: Duration = Duration::from_mins(10);
/// The same before a greater step is, and before time for destroying catches up with that or with a step while running.
const LONG_PROOF: Duration = Duration::from_hours(24);
/// The longest age that [`JudgedTime::older_than`] can tell.
pub const LONGEST_AGE: Duration = Duration::from_hours(48);

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock.
    pub wall: Timestamp,
    /// How long ago something was that does not change: it runs on while the machine sleeps, and never jumps.
    pub uptime: Duration,
}

/// What is stored of it each minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Judged time.
    pub judged: Timestamp,
    /// Time for destroying; never later.
    pub destroying: Timestamp,
    /// The same without its last jumps; never later either. See [`JudgedTime::older_than`].
    pub watched: Timestamp,
}

/// How something stands that ends at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is good by either time.
    Good,
    /// It is over by either time.
    Over,
    /// By one it is good, by the other over: who asks has to ask again.
    InDoubt,
}

/// All of it at one moment, for log, metrics and `doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// The wall clock.
    pub wall: Timestamp,
    /// Judged time.
    pub judged: Timestamp,
    /// Time for destroying.
    pub destroying: Timestamp,
}

impl Judgement {
    /// Whether the wall clock is too far from judged time to be followed.
    #[must_use]
    pub fn in_doubt(&self) -> bool {
        (self.wall - self.judged).abs().to_std().is_ok_and(|off| off > LEEWAY)
    }

    /// Whether destroying waits until the clock is proved right.
    #[must_use]
    pub fn destroying_waits(&self) -> bool {
        (self.judged - self.destroying).to_std().is_ok_and(|off| off > LEEWAY)
    }

    /// What is good then is good.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        if self.in_doubt() { self.wall.max(self.judged) } else { self.judged }
    }

    /// What is over then is over.
    #[must_use]
    pub fn earliest(&self) -> Timestamp {
        if self.in_doubt() { self.wall.min(self.judged) } else { self.judged }
    }

    /// How something stands that ends at a time.
    #[must_use]
    pub fn standing(&self, until: Timestamp) -> Standing {
        if until > self.latest() {
            Standing::Good
        } else if until <= self.earliest() {
            Standing::Over
        } else {
            Standing::InDoubt
        }
    }
}

/// The wall clock is before the time that this site is certain of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clock says {wall}, and this site has already seen {seen}: set the clock first")]
pub struct Behind {
    /// The wall clock.
    pub wall: Timestamp,
    /// What it cannot go behind.
    pub seen: Timestamp,
}

/// A line along which the wall clock runs evenly with the uptime.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    wall: i64,
    uptime: i64,
    /// It began with the process, not with a step.
    first: bool,
}

/// The state. All times are microseconds, so that no clock can make it overflow.
#[derive(Debug, Clone, Copy)]
pub struct JudgedTime {
    wall: i64,
    uptime: i64,
    judged: i64,
    destroying: i64,
    stretch: Stretch,
    /// Time for destroying without its last jumps: see [`Self::older_than`].
    slow: i64,
    /// The uptime of the last of them.
    jumped: i64,
    /// Judged time rests on what one start read, beyond what was stored.
    claimed: bool,
    /// Judged time when doubt began.
    doubted: Option<i64>,
}

impl JudgedTime {
    /// At a start. Without an anchor the site is new or was never anchored; then the end of its log counts: an old end holds
    /// destroying back, and one in the future says nothing.
    #[must_use]
    pub fn start(reading: Reading, anchor: Option<Anchor>, log_ends: Timestamp) -> Self {
        let (wall, uptime) = (reading.wall.timestamp_micros(), micros(reading.uptime));
        let log_ends = log_ends.timestamp_micros();
        let (stored, destroyed, watched) = match anchor.map(|Anchor { judged, destroying, watched }| {
            (judged.timestamp_micros(), destroying.timestamp_micros(), watched.timestamp_micros())
        }) {
            Some(stored) => stored,
            None if log_ends > 0 && log_ends <= wall => (log_ends, log_ends, log_ends),
            None => (wall, wall, wall),
        };
        let off = wall.saturating_sub(destroyed);
        // Where what was stored rests on one start's reading, and this one contradicts it, the two prove nothing.
        let is_claim = stored.saturating_sub(destroyed) > micros(LEEWAY);
        let judged = if wall >= stored || is_claim && off >= 0 { wall } else { stored };
        // One reading destroys nothing: starts at a clock that is further ahead each time would add up.
        let destroying = if (0..=micros(LEEWAY)).contains(&off) { wall } else { destroyed };
        let claimed = judged.saturating_sub(destroying) > micros(LEEWAY);
        let stretch = Stretch { wall, uptime, first: true };
        // How long the site was off is what a wrong clock would lie about.
        let (slow, jumped, doubted) = (watched, uptime, None);
        let mut time = Self { wall, uptime, judged, destroying, stretch, slow, jumped, claimed, doubted };
        time.note_doubt(judged);
        time
    }

    /// Goes on to another reading.
    pub fn advance(&mut self, reading: Reading) {
        let (wall, uptime) = (reading.wall.timestamp_micros(), micros(reading.uptime).max(self.uptime));
        let passed = uptime - self.uptime;
        (self.wall, self.uptime) = (wall, uptime);
        let line = self.stretch.wall.saturating_add(uptime - self.stretch.uptime);
        if wall.abs_diff(line) > micros(LEEWAY).unsigned_abs() {
            self.stretch = Stretch { wall, uptime, first: false };
        }
        let before = self.judged;
        self.judged = self.judge(before.saturating_add(passed));
        self.destroy(passed);
        self.note_doubt(before);
    }

    fn judge(&self, run: i64) -> i64 {
        let even = self.uptime - self.stretch.uptime;
        let is_proved = even >= micros(SHORT_PROOF);
        let ahead = self.wall.saturating_sub(run);
        if ahead.saturating_abs() <= micros(LEEWAY) {
            // Time stands still rather than goes back. A clock that creeps away in small steps is not followed either.
            if is_proved || self.stretch.first { self.wall.max(self.judged) } else { run }
        } else if ahead > 0 {
            let wanted = if ahead <= micros(PAUSE) { SHORT_PROOF } else { LONG_PROOF };
            if even >= micros(wanted) { self.wall } else { run }
        } else if self.claimed && is_proved && self.wall >= self.destroying {
            // One start read a time that nothing confirmed, and the clock now says another.
            self.wall
        } else {
            run
        }
    }

    fn destroy(&mut self, passed: i64) {
        let run = self.destroying.saturating_add(passed);
        // A site that was off for a while, by a clock that has not jumped since. Its own last jumps count as time off.
        let was_off = self.stretch.first && self.wall.saturating_sub(self.slow) <= micros(PAUSE);
        let wanted = if was_off { SHORT_PROOF } else { LONG_PROOF };
        let is_proved = self.uptime - self.stretch.uptime >= micros(wanted);
        let now = if is_proved { self.judged } else { run.min(self.judged) }.max(self.destroying);
        self.jump_to(now, passed);
        if self.judged - self.destroying <= micros(LEEWAY) {
            self.claimed = false;
        }
    }

    fn jump_to(&mut self, now: i64, passed: i64) {
        if now.saturating_sub(self.destroying.saturating_add(passed)) > micros(LEEWAY) {
            self.jumped = self.uptime;
        }
        self.destroying = now;
        self.slow = if self.uptime - self.jumped >= micros(LONGEST_AGE) {
            now
        } else {
            self.slow.saturating_add(passed).min(now)
        };
    }

    fn note_doubt(&mut self, before: i64) {
        self.doubted = self.now().in_doubt().then(|| self.doubted.unwrap_or(before));
    }

    /// All of it.
    #[must_use]
    pub fn now(&self) -> Judgement {
        Judgement {
            wall: from_micros(self.wall),
            judged: from_micros(self.judged),
            destroying: from_micros(self.destroying),
        }
    }

    /// How something stands that began and ends at these times. What began while in doubt was timed by the uptime alone, and
    /// is judged by it; what began in the future began under a wrong clock, and is over.
    #[must_use]
    pub fn standing(&self, begun: Timestamp, until: Timestamp) -> Standing {
        let now = self.now();
        if self.doubted.is_some_and(|doubted| begun.timestamp_micros() > doubted) && begun <= now.judged {
            return if until > now.judged { Standing::Good } else { Standing::Over };
        }
        if begun.timestamp_micros() > self.wall.max(self.judged).saturating_add(micros(LEEWAY)) {
            return Standing::Over;
        }
        now.standing(until)
    }

    /// What was recorded before this is older than `age`, at most [`LONGEST_AGE`], by time that passed while somebody looked:
    /// neither a step of the clock nor what it says of the time before the start makes anything old.
    #[must_use]
    pub fn older_than(&self, age: Duration) -> Timestamp {
        let line = if self.uptime - self.jumped >= micros(age) { self.destroying } else { self.slow };
        from_micros(line.saturating_sub(micros(age)))
    }

    /// What is to be stored.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        let [judged, destroying, watched] = [self.judged, self.destroying, self.slow].map(from_micros);
        Anchor { judged, destroying, watched }
    }

    /// Another node has stored this: neither time is before it.
    pub fn at_least(&mut self, anchor: Anchor) {
        if anchor.judged - anchor.destroying <= chrono::TimeDelta::from_std(LEEWAY).unwrap_or_default() {
            self.judged = self.judged.max(anchor.judged.timestamp_micros());
        }
        self.jump_to(self.destroying.max(anchor.destroying.timestamp_micros().min(self.judged)), 0);
        self.slow = self.slow.max(anchor.watched.timestamp_micros().min(self.destroying));
        self.note_doubt(self.judged);
    }

    /// Whether the wall clock can be said to be right.
    ///
    /// # Errors
    /// [`Behind`] when it is further before time for destroying than a wrong clock can have moved that in less than a day:
    /// what expired since would live again.
    pub fn may_accept(&self) -> Result<(), Behind> {
        if self.wall < self.destroying.saturating_sub(micros(PAUSE)) {
            return Err(Behind { wall: from_micros(self.wall), seen: from_micros(self.destroying) });
        }
        Ok(())
    }

    /// Somebody says that the wall clock is right.
    ///
    /// # Errors
    /// As [`Self::may_accept`].
    pub fn accept(&mut self) -> Result<(), Behind> {
        self.may_accept()?;
        self.judged = self.wall;
        self.stretch = Stretch { wall: self.wall, uptime: self.uptime, first: true };
        self.jump_to(self.judged, 0);
        (self.claimed, self.doubted) = (false, None);
        Ok(())
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
