//! Operators' page: how the site does, with the exact command where something is to be done. It changes nothing.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use countersign_events::recorded::Timestamp;

use super::{Frame, PageError, frame::exactly, portions::ListPart, render};
use crate::{
    app::{
        App,
        observe::operations::{Operations, Rate, WriterFacts},
        projections::{ParkedId, ProjectionStatus, State as ModelState},
    },
    store::Parked,
    web::extract::{Operator, Query},
};

#[derive(Template)]
#[template(path = "operations.html")]
struct OperationsPage {
    frame: Frame,
    now: Timestamp,
    seen: Operations,
    parked: ListPart<(ParkedId, Parked)>,
}

pub(in crate::web) async fn show(
    State(app): State<Arc<App>>,
    Operator(member): Operator,
    Query(query): Query,
) -> Result<Response, PageError> {
    let seen = app.operations().await?;
    let here = format!("{}/admin/operations", app.config.base_path());
    let parked = ListPart::of(seen.parked.clone(), "parked", &query, &here)?;
    let page = OperationsPage { frame: Frame::of(&app, &member.visitor).await, now: app.now(), seen, parked };
    Ok(render(&app, &member.visitor, StatusCode::OK, &page))
}

/// What an operator should look at, each with the section that says more.
fn troubles(seen: &Operations) -> Vec<(&'static str, String)> {
    let mut troubles = vec![];
    if !seen.writer.well {
        troubles.push(("log", "The log takes no appends: nobody can change anything.".to_owned()));
    }
    let unwell: Vec<_> = seen.projections.iter().filter(|one| tone(one) == "bad").map(|one| one.name).collect();
    if !unwell.is_empty() {
        troubles.push(("models", format!("Pages may show less than is on record. Not well: {}.", unwell.join(", "))));
    }
    match seen.parked.len() {
        0 => {}
        1 => troubles.push(("parked", "1 event is parked.".to_owned())),
        number => troubles.push(("parked", format!("{number} events are parked."))),
    }
    troubles
}

/// How many read models are still on their way to the end of the log.
fn on_their_way(seen: &Operations) -> usize {
    seen.projections.iter().filter(|one| tone(one) == "wait").count()
}

/// A state for people.
const fn in_words(state: ModelState) -> &'static str {
    match state {
        ModelState::Live => "with the log",
        ModelState::CatchingUp => "catching up",
        ModelState::Building => "being built",
        ModelState::Rebuilding => "being rebuilt",
        ModelState::Stopped => "stopped",
        ModelState::Incomplete => "incomplete",
    }
}

/// The tint of a state; its words say the same.
const fn tone(status: &ProjectionStatus) -> &'static str {
    match status.state {
        ModelState::Live => "good",
        ModelState::CatchingUp if status.stalled => "bad",
        ModelState::CatchingUp | ModelState::Rebuilding | ModelState::Building => "wait",
        ModelState::Stopped | ModelState::Incomplete => "bad",
    }
}

/// How far a read model is behind.
fn behind(status: &ProjectionStatus) -> String {
    match status.lag_events {
        0 => "0".to_owned(),
        1 => format!("1 event, {} s", status.lag_seconds),
        events => format!("{events} events, {} s", status.lag_seconds),
    }
}

/// What is to be done about a read model, and the command that does it.
fn remedy(status: &ProjectionStatus) -> Option<(&'static str, String)> {
    match status.state {
        ModelState::Stopped => Some((
            "It does not follow the log until this is mended. Where the cause is gone, build it anew:",
            format!("countersign projections rebuild {}", status.name),
        )),
        _ if status.stalled => Some((
            "It has not moved for half a minute. See what is wrong with the site:",
            "countersign doctor".to_owned(),
        )),
        _ => None,
    }
}

/// The span of a rate.
fn over(rate: &Rate) -> String {
    match rate.seconds {
        60 => "In the last minute".to_owned(),
        3_600 => "In the last hour".to_owned(),
        86_400 => "In the last day".to_owned(),
        seconds => format!("In the last {seconds} s"),
    }
}

/// A rate as a sentence without its end.
#[expect(clippy::cast_precision_loss, reason = "a rate is shown with two digits")]
fn rate(rate: &Rate) -> String {
    let events = if rate.events == 1 { "1 event".to_owned() } else { format!("{} events", rate.events) };
    let a_second = rate.events as f64 / rate.seconds.max(1) as f64;
    let units = [(1.0, "a second"), (60.0, "a minute"), (3_600.0, "an hour")];
    let fits = units.into_iter().find(|(seconds, _)| a_second * seconds >= 0.095);
    let Some((seconds, unit)) = fits else { return events };
    format!("{events}, {:.2} {unit}", a_second * seconds)
}

/// What the writer did since the start.
#[expect(clippy::cast_precision_loss, reason = "a mean is shown with one digit")]
fn commits(writer: &WriterFacts) -> String {
    match writer.commits {
        0 => "none since the start".to_owned(),
        commits => {
            format!("{commits} since the start, {:.1} events each on average", writer.events / commits as f64)
        }
    }
}

/// A number of bytes for people.
#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{:.1} {name}", bytes as f64 / unit as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_unit_that_fits() {
        let told = [0, 1_023, 1_024, 1_536, 5 << 20, 3 << 30].map(size);
        assert_eq!(told, ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "5.0 MiB", "3.0 GiB"]);
    }

    #[test]
    fn a_rate_says_how_many_and_how_many_a_second() {
        let told = |events, seconds| rate(&Rate { seconds, events });
        assert_eq!(told(0, 60), "0 events");
        assert_eq!(told(1, 60), "1 event, 1.00 a minute");
        assert_eq!(told(22, 86_400), "22 events, 0.92 an hour");
        assert_eq!(told(7_200, 3_600), "7200 events, 2.00 a second");
    }
}
