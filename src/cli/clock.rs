//! `countersign clock`: what the clock says and what the site makes of it, and saying that it is right; `countersign
//! projections cut-off`, which an operator may move back once it is.

use chrono::SecondsFormat;
use clap::Subcommand;
use countersign_events::recorded::Timestamp;
use serde_json::{Value, json};

use super::{
    args::{Order, Shape},
    execute::Request,
    output::Output,
    table::Table,
};
use crate::{
    app::{App, Caller, audit},
    config::Flags,
    judged_time::Judgement,
};

#[derive(Subcommand)]
pub(super) enum Clock {
    /// Show what the clock says, by what time things expire, and by what time they are destroyed
    #[command(after_help = "Example:\n  countersign clock show --format json")]
    Show {
        #[command(flatten)]
        shape: Shape,
    },
    /// Say that the clock is right, on record: things expire and are destroyed by it from now on
    #[command(after_help = "Example:\n  countersign clock accept\n\n\
                            Set the clock first: what it says ends what is over by it. A clock that is before what the site \
                            has already seen is refused.")]
    Accept {
        #[command(flatten)]
        flags: Flags,
    },
}

impl Clock {
    pub(super) fn order(self) -> Order {
        match self {
            Self::Show { shape } => Order::shaped(Request::ClockShow, shape),
            Self::Accept { flags } => Order::new(Request::ClockAccept, flags),
        }
    }
}

fn instant(at: Timestamp) -> Value {
    json!(at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// An instant, or the beginning of a day.
pub(super) fn typed_instant(text: &str) -> Result<Timestamp, &'static str> {
    audit::instant(text).ok_or("an instant such as 2026-01-31T12:00:00Z, or a day such as 2026-01-31")
}

pub(super) async fn show(app: &App) -> anyhow::Result<Output> {
    let report = app.clock().await?;
    let mut table = Table::new(&[
        "clock",
        "judged",
        "destroying",
        "in_doubt",
        "destroying_waits",
        "stored_judged",
        "stored_destroying",
        "ahead_of_database_seconds",
    ]);
    table.push([
        instant(report.now.wall),
        instant(report.now.judged),
        instant(report.now.destroying),
        json!(report.now.in_doubt()),
        json!(report.now.destroying_waits()),
        json!(report.anchor.map(|anchor| instant(anchor.judged))),
        json!(report.anchor.map(|anchor| instant(anchor.destroying))),
        json!(report.ahead_seconds),
    ]);
    Ok(Output::Record(table))
}

pub(super) async fn accept(app: &App, caller: &Caller) -> anyhow::Result<Output> {
    let done = app.accept_clock(caller).await?;
    let Judgement { wall, judged, destroying } = done.answer;
    let [wall, judged, destroying] = [wall, judged, destroying].map(|at| at.format("%Y-%m-%d %H:%M:%S UTC"));
    Ok(Output::Sentence(if done.happened {
        format!(
            "The clock is right at {wall}: things expire and are destroyed by it from now on. The site had held it to be \
             {judged}, and destroyed by {destroying}."
        )
    } else {
        format!("Nothing to accept: the clock says {wall}, and the site goes by it.")
    }))
}

pub(super) async fn cut_off(app: &App) -> anyhow::Result<Output> {
    let mut table = Table::new(&["cut_off", "now", "is_ahead"]);
    let (cut_off, now) = (app.cut_off().await?, app.now());
    table.push([instant(cut_off), instant(now), json!(cut_off > now)]);
    Ok(Output::Record(table))
}

pub(super) async fn lower_cut_off(app: &App, caller: &Caller, to: Timestamp) -> anyhow::Result<Output> {
    let done = app.lower_cut_off(caller, to).await?;
    let [from, to] = [done.answer, to].map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    Ok(Output::Sentence(if done.happened {
        format!(
            "The cut-off is {to} again; it was {from}. Rows that had left come back when their read models are built anew: stop \
             the site, then run `countersign projections rebuild tokens authorizations`."
        )
    } else {
        format!("Nothing to lower: the cut-off is {from}.")
    }))
}
