//! Reviews week by week, as charts with their words and as rows of a table.

use axum::http::StatusCode;
use chrono::TimeDelta;

use crate::{
    app::audit::statistics::{Statistics, Week},
    web::{
        charts::{Axis, Bars},
        extract::Fields,
        pages::{PageError, instant, span as in_words},
    },
};

/// So many weeks can be shown; the second of them is what is shown when nothing is said.
pub const SPANS: [u32; 3] = [13, 26, 52];

/// How many weeks are asked for.
pub fn span(query: &Fields) -> Result<u32, PageError> {
    let Some(text) = query.get("weeks").filter(|text| !text.is_empty()) else { return Ok(SPANS[1]) };
    text.parse().ok().filter(|weeks| SPANS.contains(weeks)).ok_or_else(|| {
        let known: Vec<_> = SPANS.iter().map(ToString::to_string).collect();
        PageError::request(StatusCode::BAD_REQUEST, format!("weeks is one of {}.", known.join(", ")))
    })
}

/// A chart with what stands above it.
pub struct Chart {
    pub title: &'static str,
    pub total: String,
    pub svg: String,
}

/// A row of the table.
pub struct TableRow {
    pub week: String,
    pub counts: [u64; 4],
    pub median: String,
}

/// What is shown.
pub struct Weeks {
    pub span: u32,
    pub charts: Vec<Chart>,
    /// The newest week first.
    pub table: Vec<TableRow>,
    /// The numbers may be less than the truth, for this reason.
    pub incomplete: Option<String>,
    /// From when on there are medians, when that is not from the first week on.
    pub medians_since: Option<String>,
}

impl Weeks {
    pub fn of(statistics: &Statistics) -> Result<Self, PageError> {
        let Statistics { weeks, medians_since, model } = statistics;
        let labels: Vec<_> = weeks.iter().map(label).collect();
        let days: Vec<_> = weeks.iter().map(|week| week.begins.format("%-d %b").to_string()).collect();
        let counts = [
            ("requests", "Requests", weeks.iter().map(|week| week.requests).collect::<Vec<_>>()),
            ("approvals", "Approvals", weeks.iter().map(|week| week.approvals).collect()),
            ("denials", "Denials", weeks.iter().map(|week| week.denials).collect()),
            ("revocations", "Revocations", weeks.iter().map(|week| week.revocations).collect()),
        ];
        // One axis for all four, so that their bars can be compared.
        let highest = counts.iter().flat_map(|(.., counts)| counts).copied().max().unwrap_or_default();
        let axis = Axis::up_to(float(highest));
        let mut charts = vec![];
        for (id, title, counts) in &counts {
            let values: Vec<_> = counts.iter().map(|count| Some(float(*count))).collect();
            let description = counts_in_words(title, &labels, counts);
            let bars = Bars { id, title, description: &description, labels: &days, values: &values, axis };
            charts.push(Chart { title, total: format!("{} in all", counts.iter().sum::<u64>()), svg: svg(&bars)? });
        }
        charts.push(medians(weeks, &days)?);
        let row = |week: &Week| TableRow {
            week: label(week),
            counts: [week.requests, week.approvals, week.denials, week.revocations],
            median: week.median.map(|median| in_words(&median)).unwrap_or_default(),
        };
        let lag = (model.lag_events > 0).then(|| format!("the last {} events are not counted yet", model.lag_events));
        Ok(Self {
            span: u32::try_from(weeks.len()).unwrap_or(u32::MAX),
            charts,
            table: weeks.iter().rev().map(row).collect(),
            incomplete: model.detail.clone().or(lag),
            medians_since: medians_since.as_ref().map(instant),
        })
    }
}

fn svg(bars: &Bars<'_>) -> Result<String, PageError> {
    bars.to_svg().map_err(|_| {
        PageError::request(
            StatusCode::INTERNAL_SERVER_ERROR,
            "A chart could not be drawn; that is a fault of the site.",
        )
    })
}

#[expect(clippy::cast_precision_loss, reason = "a bar has no more digits than a screen")]
const fn float(count: u64) -> f64 {
    count as f64
}

fn label(week: &Week) -> String {
    week.begins.format("%-d %b %Y").to_string()
}

fn counts_in_words(title: &str, labels: &[String], counts: &[u64]) -> String {
    let (total, weeks) = (counts.iter().sum::<u64>(), counts.len());
    let highest = (0..weeks).rev().max_by_key(|place| counts[*place]);
    let most = match highest.map(|place| (counts[place], &labels[place])) {
        Some((most @ 1.., label)) => format!(" The most in a week were {most}, in the week of {label}."),
        _ => String::new(),
    };
    let now = counts.last().copied().unwrap_or_default();
    format!("{title} a week, over {weeks} weeks: {total} in all, {now} in this week so far.{most}")
}

/// How long answers took, in days, or in hours where none took days.
fn medians(weeks: &[Week], labels: &[String]) -> Result<Chart, PageError> {
    let there: Vec<_> = weeks.iter().filter_map(|week| week.median).collect();
    let longest = there.iter().max().copied().unwrap_or_default();
    let (unit, title) = if longest >= TimeDelta::days(2) {
        (TimeDelta::days(1), "Median days to an answer")
    } else {
        (TimeDelta::hours(1), "Median hours to an answer")
    };
    let in_units = |span: TimeDelta| span.as_seconds_f64() / unit.as_seconds_f64();
    let values: Vec<_> = weeks.iter().map(|week| week.median.map(in_units)).collect();
    let description = match (there.iter().min(), there.len()) {
        (Some(shortest), number) => {
            let (shortest, longest) = (in_words(shortest), in_words(&longest));
            format!("{title}: {number} of {} weeks had answers; medians from {shortest} to {longest}.", weeks.len())
        }
        (None, _) => format!("{title}: no week had an answer."),
    };
    let axis = Axis::up_to(in_units(longest));
    let bars = Bars { id: "medians", title, description: &description, labels, values: &values, axis };
    let last = there.last().map(|median| format!("last {}", in_words(median)));
    Ok(Chart { title, total: last.unwrap_or_else(|| "none yet".to_owned()), svg: svg(&bars)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn week(day: &str, counts: [u64; 4], median: Option<TimeDelta>) -> Week {
        let begins = format!("{day}T00:00:00Z").parse().unwrap();
        let [requests, approvals, denials, revocations] = counts;
        Week { begins, requests, approvals, denials, revocations, median }
    }

    #[test]
    fn a_chart_says_its_numbers_as_a_sentence() {
        let labels: Vec<_> = ["5 Jan 2026", "12 Jan 2026", "19 Jan 2026"].map(ToOwned::to_owned).into();
        assert_eq!(
            counts_in_words("Denials", &labels, &[3, 4, 1]),
            "Denials a week, over 3 weeks: 8 in all, 1 in this week so far. The most in a week were 4, in the week of \
             12 Jan 2026."
        );
        assert_eq!(
            counts_in_words("Denials", &labels, &[0, 0, 0]),
            "Denials a week, over 3 weeks: 0 in all, 0 in this week so far."
        );
    }

    #[test]
    fn medians_are_told_in_hours_until_one_takes_two_days() {
        let labels = ["5 Jan 2026".to_owned(), "12 Jan 2026".to_owned()];
        let hours = [week("2026-01-05", [0; 4], Some(TimeDelta::hours(3))), week("2026-01-12", [0; 4], None)];
        let chart = medians(&hours, &labels).unwrap();
        assert_eq!((chart.title, chart.total.as_str()), ("Median hours to an answer", "last 3 hours"));
        assert!(chart.svg.contains("1 of 2 weeks had answers; medians from 3 hours to 3 hours."), "{}", chart.svg);
        let days = [
            week("2026-01-05", [0; 4], Some(TimeDelta::hours(3))),
            week("2026-01-12", [0; 4], Some(TimeDelta::days(5))),
        ];
        assert_eq!(medians(&days, &labels).unwrap().title, "Median days to an answer");
        assert!(medians(&[], &[]).unwrap().svg.contains("no week had an answer"));
    }
}
