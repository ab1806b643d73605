//! Reviews in numbers: what came before reviewers week by week, what came of it, and how long an answer took in the
//! median. Weeks are those of UTC, from Monday on.

use chrono::{Datelike as _, TimeDelta};
use countersign_events::recorded::Timestamp;
use countersign_projections::statistics::{self, Kind};

use crate::app::{App, AppError, projections::ProjectionStatus};

/// Medians are worked out when they are asked for, from the newest answers, so many at most: exact, with a bound on
/// what a page costs. A busy site that had more in its span has no median for the oldest weeks, and the page says so.
const ANSWERS: u32 = 20_000;

/// A week.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each count is what its name says")]
pub struct Week {
    /// Its Monday, at 0:00 UTC.
    pub begins: Timestamp,
    pub requests: u64,
    pub approvals: u64,
    pub denials: u64,
    pub revocations: u64,
    /// How long the answers of this week took in the median; `None` when there was none, or they were not looked at.
    pub median: Option<TimeDelta>,
}

/// Weeks, the oldest first; the last is the one that is under way.
#[derive(Debug)]
pub struct Statistics {
    /// The weeks.
    pub weeks: Vec<Week>,
    /// From when on there are medians, when that is later than the first week.
    pub medians_since: Option<Timestamp>,
    /// How the read model that they come from follows the log.
    pub model: ProjectionStatus,
}

impl App {
    /// The last `weeks` weeks.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn statistics(&self, weeks: u32) -> Result<Statistics, AppError> {
        let this_week = monday(self.now());
        let begins = |week: u32| this_week - TimeDelta::weeks(i64::from(weeks) - 1 - i64::from(week));
        let (since, until) = (begins(0), begins(weeks));
        let empty =
            |week| Week { begins: begins(week), requests: 0, approvals: 0, denials: 0, revocations: 0, median: None };
        let mut all: Vec<_> = (0..weeks).map(empty).collect();
        for (kind, week, steps) in self.models.review_steps(since, until).await? {
            let Some(week) = all.get_mut(week as usize) else { continue };
            for (counted, count) in [
                (Kind::Request, &mut week.requests),
                (Kind::Approval, &mut week.approvals),
                (Kind::Denial, &mut week.denials),
                (Kind::Revocation, &mut week.revocations),
            ] {
                if counted.as_str() == kind {
                    *count = steps;
                }
            }
        }
        let answers = self.models.review_answers(since, ANSWERS).await?;
        let reached = answers.last().filter(|_| answers.len() >= ANSWERS as usize);
        let medians_since = reached.map(|(_, at)| monday(*at) + TimeDelta::weeks(1));
        for week in all.iter_mut().filter(|week| medians_since.is_none_or(|since| week.begins >= since)) {
            let of_week = answers.iter().filter(|(_, at)| monday(*at) == week.begins);
            week.median = median(of_week.map(|(since, at)| *at - *since).collect());
        }
        let model = self.trailing_status(&statistics::PROJECTION).await?;
        Ok(Statistics { weeks: all, medians_since, model })
    }
}

/// The Monday of a week, at 0:00 UTC.
fn monday(at: Timestamp) -> Timestamp {
    let day = at.date_naive();
    let back = TimeDelta::days(day.weekday().num_days_from_monday().into());
    (day - back).and_time(chrono::NaiveTime::MIN).and_utc()
}

/// The middle one, or the mean of the two in the middle.
fn median(mut took: Vec<TimeDelta>) -> Option<TimeDelta> {
    took.sort_unstable();
    let upper = *took.get(took.len() / 2)?;
    if took.len() % 2 == 1 {
        return Some(upper);
    }
    Some((upper + took[took.len() / 2 - 1]) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday_at_midnight() {
        for (day, begins) in [
            ("2026-01-05T00:00:00Z", "2026-01-05T00:00:00Z"),
            ("2026-01-11T23:59:59Z", "2026-01-05T00:00:00Z"),
            ("2026-01-01T12:00:00Z", "2025-12-29T00:00:00Z"),
        ] {
            assert_eq!(monday(day.parse().unwrap()), begins.parse::<Timestamp>().unwrap());
        }
    }

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        let hours = |numbers: &[i64]| median(numbers.iter().map(|hours| TimeDelta::hours(*hours)).collect());
        assert_eq!(hours(&[]), None);
        assert_eq!(hours(&[5]), Some(TimeDelta::hours(5)));
        assert_eq!(hours(&[9, 1, 2]), Some(TimeDelta::hours(2)));
        assert_eq!(hours(&[9, 1, 2, 4]), Some(TimeDelta::hours(3)));
    }
}
