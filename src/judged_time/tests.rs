//! Stories of clocks, and properties of every story.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// When every story begins.
const BEGIN: i64 = 1_800_000_000 * SECOND;

fn at(micros: i64) -> Timestamp {
    from_micros(BEGIN + micros)
}

/// A site with both clocks, which a test moves; it looks at them once a minute, as housekeeping does.
struct Story {
    time: JudgedTime,
    wall: i64,
    uptime: i64,
}

impl Story {
    fn new() -> Self {
        Self::starting(0, None, Timestamp::default())
    }

    fn starting(wall: i64, anchor: Option<Anchor>, log_ends: Timestamp) -> Self {
        let time = JudgedTime::start(Self::reading(wall, DAY), anchor, log_ends);
        Self { time, wall, uptime: DAY }
    }

    /// The same site after a stop and a start; the machine was started too.
    fn restarted(self) -> Self {
        Self::starting(self.wall, Some(self.time.anchor()), Timestamp::default())
    }

    fn reading(wall: i64, uptime: i64) -> Reading {
        Reading { wall: at(wall), uptime: Duration::from_micros(uptime.unsigned_abs()) }
    }

    fn look(&mut self) {
        self.time.advance(Self::reading(self.wall, self.uptime));
    }

    fn pass(mut self, by: i64) -> Self {
        let mut left = by;
        while left > 0 {
            let now = left.min(MINUTE);
            (self.wall, self.uptime, left) = (self.wall + now, self.uptime + now, left - now);
            self.look();
        }
        self
    }

    fn step(mut self, by: i64) -> Self {
        self.wall += by;
        self.look();
        self
    }

    /// Judged time and time for destroying, in microseconds after the wall clock as it would be had it never jumped.
    fn off(&self) -> (i64, i64) {
        let true_now = self.uptime - DAY;
        let off = |time: Timestamp| time.timestamp_micros() - BEGIN - true_now;
        (off(self.time.now().judged), off(self.time.now().destroying))
    }
}

#[test]
fn an_even_clock_is_followed_by_all_times() {
    let story = Story::new().pass(3 * HOUR).restarted().pass(2 * DAY);
    assert_eq!(story.time.now().judged, at(2 * DAY + 3 * HOUR));
    assert_eq!(story.time.now().destroying, story.time.now().wall);
    assert!(!story.time.now().in_doubt());
}

#[test]
fn a_step_while_running_is_taken_over_once_it_is_proved() {
    // What the clock jumps by, what passes then, what judged time and time for destroying are off, and whether it is in doubt.
    let cases = [
        ("three minutes ahead", 3 * MINUTE, 0, 3 * MINUTE, 3 * MINUTE, false),
        ("two days ahead, for a moment", 2 * DAY, 9 * MINUTE, 0, 0, true),
        ("a machine paused for two days", 2 * DAY, 10 * MINUTE, 2 * DAY, 0, false),
        ("the same after a day", 2 * DAY, DAY, 2 * DAY, 2 * DAY, false),
        ("three years ahead, for an hour", 3 * YEAR, HOUR, 0, 0, true),
        ("three years ahead, for a day", 3 * YEAR, DAY, 3 * YEAR, 3 * YEAR, false),
        ("three years behind", -3 * YEAR, 3 * DAY, 0, 0, true),
        ("an hour behind", -HOUR, 3 * DAY, 0, 0, true),
    ];
    for (name, by, passes, judged, destroying, in_doubt) in cases {
        let story = Story::new().pass(HOUR).step(by).pass(passes);
        assert_eq!((story.off(), story.time.now().in_doubt()), ((judged, destroying), in_doubt), "{name}");
    }
}

#[test]
fn a_clock_that_comes_back_leaves_nothing_behind() {
    for by in [3 * DAY, 8 * DAY, 31 * DAY, 3 * YEAR, -3 * YEAR] {
        let story = Story::new().pass(HOUR).step(by).pass(80 * SECOND).step(-by).pass(2 * DAY);
        assert_eq!(story.off(), (0, 0), "{by}");
        assert!(!story.time.now().in_doubt());
    }
}

#[test]
fn a_start_takes_the_wall_clock_where_it_is_past_the_anchor_and_destroys_by_it_once_that_is_proved() {
    // How far the clock is ahead at the start, what judged time makes of it, and what time for destroying does at once, ten
    // minutes and a day later.
    let cases = [
        ("four minutes", 4 * MINUTE, 4 * MINUTE, [4 * MINUTE; 3]),
        ("two days", 2 * DAY, 2 * DAY, [0, 2 * DAY, 2 * DAY]),
        ("nearly three days", 3 * DAY - HOUR, 3 * DAY - HOUR, [0, 3 * DAY - HOUR, 3 * DAY - HOUR]),
        ("sixty days", 60 * DAY, 60 * DAY, [0, 0, 60 * DAY]),
        ("three years", 3 * YEAR, 3 * YEAR, [0, 0, 3 * YEAR]),
        ("a dead clock", -3 * YEAR, 0, [0, 0, 0]),
    ];
    for (name, by, judged, destroying) in cases {
        let mut story = Story::new().pass(HOUR).step(by).restarted();
        assert_eq!(story.time.now().judged, at(HOUR + judged), "{name}");
        let mut passed = 0;
        for (later, off) in [0, 10 * MINUTE, DAY].into_iter().zip(destroying) {
            story = story.pass(later - passed);
            passed = later;
            assert_eq!(story.time.now().destroying, at(HOUR + later + off), "{name}, {later} later");
        }
    }
}

#[test]
fn starts_at_a_clock_that_is_further_ahead_each_time_do_not_add_up() {
    for runs in [2 * SECOND, 11 * MINUTE, HOUR] {
        let mut story = Story::new().pass(HOUR);
        for _ in 0..10 {
            story = story.step(71 * HOUR).restarted().pass(runs);
        }
        let once = at(HOUR + 10 * runs + 71 * HOUR);
        assert!(story.time.now().destroying <= once, "{runs}: {:?}", story.time.now());
        // The right clock is believed at once, and what had not been proved is given up.
        let now = HOUR + 10 * runs;
        let mut right = Story::starting(now, Some(story.time.anchor()), Timestamp::default());
        if runs < 10 * MINUTE {
            assert_eq!((right.time.now().judged, right.time.now().in_doubt()), (at(now), false));
        }
        // An operator leads back what had been.
        right.time.accept().expect("it is not far behind");
        assert_eq!((right.time.now().judged, right.time.now().destroying), (at(now), at(now)), "{runs}");
    }
}

#[test]
fn starts_over_and_over_at_a_wrong_clock_destroy_nothing_and_a_right_one_heals() {
    let mut story = Story::new().pass(HOUR).step(3 * YEAR);
    for _ in 0..5 {
        story = story.restarted().pass(5 * MINUTE);
        assert_eq!(story.time.now().judged, story.time.now().wall, "it works at once");
        assert!(story.time.now().destroying < at(2 * HOUR));
    }
    let right = Story::starting(2 * HOUR, Some(story.time.anchor()), Timestamp::default());
    assert_eq!((right.time.now().judged, right.time.now().in_doubt()), (at(2 * HOUR), false));
    // Set right while it runs: the time that one start read, and nothing confirmed, is given up.
    let healed = story.step(-3 * YEAR).pass(11 * MINUTE);
    assert_eq!(healed.time.now().judged, healed.time.now().wall);
}

#[test]
fn a_site_that_was_off_catches_up_with_destroying_after_a_day() {
    let story = Story::new().pass(HOUR).step(60 * DAY).restarted();
    assert!(!story.time.now().in_doubt(), "it works at once");
    assert!(story.time.now().destroying_waits());
    let story = story.pass(DAY);
    assert_eq!(story.time.now().destroying, story.time.now().wall);
}

#[test]
fn what_the_log_says_of_the_future_raises_nothing_and_an_old_end_holds_destroying_back() {
    let ahead = Story::starting(0, None, at(3 * YEAR)).time.now();
    assert_eq!((ahead.judged, ahead.destroying), (at(0), at(0)));
    let behind = Story::starting(0, None, at(-3 * YEAR)).time.now();
    assert_eq!((behind.judged, behind.destroying), (at(0), at(-3 * YEAR)));
    let near = Story::starting(0, None, at(-DAY));
    assert_eq!((near.time.now().judged, near.time.now().destroying), (at(0), at(-DAY)));
    assert_eq!(near.pass(10 * MINUTE).off(), (0, 0));
}

#[test]
fn a_clock_that_creeps_away_is_not_followed_for_long() {
    let mut story = Story::new().pass(HOUR);
    for _ in 0..600 {
        story = story.pass(MINUTE).step(MINUTE);
    }
    assert!(story.off().0 <= micros(LEEWAY), "{:?}", story.off());
    assert!(story.time.now().in_doubt());
}

#[test]
fn whoever_says_that_the_clock_is_right_is_believed_unless_it_is_behind_the_anchor() {
    let mut story = Story::new().pass(HOUR).step(3 * YEAR);
    story.time.accept().expect("it is ahead");
    assert_eq!(story.off(), (3 * YEAR, 3 * YEAR));
    let mut story = Story::new().pass(HOUR).step(-DAY);
    story.time.accept().expect("a clock that was wrong for a while");
    assert_eq!(story.off(), (-DAY, -DAY));
    let mut story = Story::new().pass(HOUR).step(-4 * DAY);
    let behind = story.time.accept().expect_err("what expired would live again");
    assert_eq!(behind, Behind { wall: at(HOUR - 4 * DAY), seen: at(HOUR) });
    assert_eq!(story.off(), (0, 0));
}

#[test]
fn by_age_nothing_is_old_because_the_clock_stepped_or_the_site_was_off() {
    let two_days = LONGEST_AGE;
    let recorded = at(HOUR);
    let mut accepted = Story::new().pass(HOUR).step(8 * DAY);
    accepted.time.accept().expect("it is ahead");
    let off = Story::new().pass(HOUR).step(3 * DAY).restarted();
    for story in [accepted, off] {
        assert!(
            story.time.older_than(two_days) < recorded && story.time.older_than(Duration::from_mins(10)) < recorded
        );
        let story = story.pass(11 * MINUTE);
        assert!(story.time.older_than(Duration::from_mins(10)) > recorded, "ten minutes are over");
        let story = story.pass(2 * DAY);
        assert!(story.time.older_than(two_days) > recorded);
    }
}

#[test]
fn in_doubt_a_thing_is_good_by_both_clocks_or_over_by_both_or_nobody_says() {
    let story = Story::new().pass(HOUR).step(DAY);
    let now = story.time.now();
    let cases = [(2 * DAY, Standing::Good), (0, Standing::Over), (2 * HOUR, Standing::InDoubt)];
    for (until, standing) in cases {
        assert_eq!(now.standing(at(until)), standing, "{until}");
        assert_eq!(story.time.standing(at(0), at(until)), standing, "{until}");
    }
    // What began since is timed by the uptime.
    let story = story.pass(MINUTE);
    let since = story.time.now().judged;
    assert_eq!(story.time.standing(since, since + TimeDelta::hours(1)), Standing::Good);
    let story = story.pass(5 * MINUTE);
    assert_eq!(story.time.standing(since, since + TimeDelta::minutes(4)), Standing::Over);
    // What claims to begin tomorrow began under a wrong clock.
    assert_eq!(story.time.standing(at(9 * DAY), at(99 * DAY)), Standing::Over);
}

/// What happens to a machine.
#[derive(Debug, Clone)]
enum Act {
    Pass(i64),
    Step(i64),
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..3 * DAY).prop_map(Act::Pass),
        3 => (-4 * YEAR..4 * YEAR).prop_map(Act::Step),
        1 => (-6 * MINUTE..6 * MINUTE).prop_map(Act::Step),
        1 => Just(Act::Restart),
    ];
    proptest::collection::vec(act, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn time_for_destroying_never_goes_back_nor_past_judged_time(acts in acts()) {
        let mut story = Story::new();
        let mut before = story.time.now();
        for act in acts {
            story = match act {
                Act::Pass(by) => Story { wall: story.wall + by, uptime: story.uptime + by, ..story },
                Act::Step(by) => Story { wall: story.wall + by, ..story },
                Act::Restart => story.restarted(),
            };
            story.look();
            let now = story.time.now();
            prop_assert!(now.destroying >= before.destroying);
            prop_assert!(now.destroying <= now.judged);
            prop_assert!(story.time.older_than(LONGEST_AGE) <= now.destroying - TimeDelta::days(2));
            before = now;
        }
    }

    #[test]
    fn within_a_day_of_running_no_clock_whatever_destroys_anything_early(steps in proptest::collection::vec((-4 * YEAR..4 * YEAR, 0..2 * HOUR), 1..12)) {
        let mut story = Story::new().pass(HOUR);
        let mut passed = HOUR;
        for (by, passes) in steps {
            story = story.step(by).pass(passes);
            passed += passes;
            prop_assert!(story.time.now().destroying <= at(passed));
        }
    }
}
