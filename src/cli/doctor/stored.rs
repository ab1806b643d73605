//! What doctor looks at in what is stored: versions, the clock against the log, the log's end, read models, write-ahead
//! logs, and, when it is asked to, every page.

use std::{fmt::Display, path::Path};

use countersign_events::recorded::Timestamp;

use super::{Finding, Running, Site, size};
use crate::{
    app::clock::ClockReport,
    config::Config,
    judged_time::PAUSE,
    store::facts::{Database, Facts, LogFacts, ModelFacts},
};

/// A write-ahead log is copied back at a quarter of this.
const LARGE_WAL: u64 = 64 << 20;
/// A clock that is behind the log by so many seconds is wrong; by less, it was set back a little.
const CLOCK_PROBLEM_SECONDS: i64 = 300;
/// A read model that is behind by so many seconds is stuck, or the machine too slow.
const LAG_WARNING_SECONDS: f64 = 60.0;
/// What systemd's time service leaves when the clock is synchronised.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

pub(super) fn programs(site: &Site<'_>, findings: &mut Vec<Finding>) {
    let running = if site.running.is_some() { "the server runs" } else { "looked at without a server" };
    let found = format!("Countersign {}, {}; {running}", env!("CARGO_PKG_VERSION"), site.facts.engine);
    findings.push(Finding::ok("program", found));
    for database in &site.facts.databases {
        let about = format!("schema of {}", name(database));
        match (&database.error, database.schema) {
            (Some(error), _) => findings.push(Finding::problem(
                name(database),
                format!("cannot be read: {error}"),
                if site.is_here() {
                    "run this as the account that runs the site; if the file is gone or damaged, restore it from your \
                     backup"
                } else {
                    "see that its server runs and that database_url, or vault_url, names it with a role that may read; \
                     `countersign migrate` makes tables where there are none"
                },
            )),
            (None, Some((has, known))) if has > known => {
                let found = format!("{has}, which a newer Countersign made; this one knows schemas up to {known}");
                findings.push(if database.oldest.is_some_and(|oldest| oldest <= known) {
                    Finding::ok(about, format!("{found}, and works with it"))
                } else {
                    let remedy = "run the newer program, or restore the backup from before the upgrade";
                    Finding::problem(about, found, remedy)
                });
            }
            (None, Some((has, known))) if has < known => findings.push(if site.is_here() {
                let remedy = "make a backup before that start: an older program does not open the newer schema";
                Finding::warning(about, format!("{has}; the next start of the site brings it to {known}"), remedy)
            } else {
                let remedy = "make a backup, then run `countersign migrate` as the owner of the tables; no node of this \
                              program starts before";
                Finding::warning(about, format!("{has}; this program wants {known}"), remedy)
            }),
            (None, Some((has, _))) => findings.push(Finding::ok(about, has.to_string())),
            (None, None) => {}
        }
    }
}

pub(super) fn look(site: &Site<'_>, findings: &mut Vec<Finding>) {
    if let Some(log) = &site.facts.log {
        clock(site, log, findings);
        head(site, log, findings);
        for model in &site.facts.models {
            findings.push(read_model(site, log, model));
        }
    }
    if let Some(running) = &site.running {
        server(running, findings);
    }
    for file in &site.facts.leftovers {
        findings.push(Finding::warning(
            "left-over generation",
            format!("nothing reads {}", file.display()),
            if site.is_here() {
                "the next start of the site removes it, unless a rebuild is under way that is still filling it"
            } else {
                "a node that serves removes it within minutes, unless a rebuild is under way that is still filling it; \
                 what another release reads goes when none of its nodes has followed the log for a day"
            },
        ));
    }
    if site.is_here() {
        write_ahead(site, findings);
    }
}

/// An instant for people.
fn at(instant: Timestamp) -> impl Display {
    instant.format("%Y-%m-%d %H:%M:%S UTC")
}

/// The clock against what is stored, and against what the running server makes of it. Where there is a database with a clock of
/// its own, that one counts.
fn clock(site: &Site<'_>, log: &LogFacts, findings: &mut Vec<Finding>) {
    const ABOUT: &str = "clock";
    const SET: &str =
        "set the clock and let it be synchronised (NTP); events recorded meanwhile keep their order, not their time";
    let now = log.now.unwrap_or(site.now);
    let before = findings.len();
    let behind = |instant: Timestamp| (instant - now).num_seconds();
    let is_behind_anchor = log.anchor.is_some_and(|anchor| behind(anchor.destroying) >= CLOCK_PROBLEM_SECONDS);
    if let Some(anchor) = log.anchor.filter(|_| is_behind_anchor) {
        let found = format!("{}, and the site was already certain of {}", at(now), at(anchor.destroying));
        findings.push(Finding::problem(ABOUT, found, SET));
    }
    if let Some((position, recorded_at)) = log.last.filter(|(_, recorded_at)| behind(*recorded_at) > 0) {
        let seconds = behind(recorded_at);
        let found = format!("{}, {seconds} s behind the last event in the log, event {position}", at(now));
        let finding = if seconds >= CLOCK_PROBLEM_SECONDS { Finding::problem } else { Finding::warning };
        findings.push(finding(ABOUT, found, SET));
    }
    if let Some(running) = &site.running {
        judged(&running.clock, findings);
    } else if let Some(anchor) = log.anchor.filter(|anchor| (now - anchor.judged).to_std().is_ok_and(|off| off > PAUSE))
    {
        let found = format!("{}, {} days after the site last ran", at(now), (now - anchor.judged).num_days());
        let remedy = "see that the clock is right; once the site has run for a day, what is over is destroyed, or at once with \
                      `countersign clock accept`";
        findings.push(Finding::warning(ABOUT, found, remedy));
    } else if log.now.is_some_and(|shared| (site.now - shared).abs().num_seconds() >= CLOCK_PROBLEM_SECONDS) {
        let found = format!("this machine says {}, and the database {}, which counts", at(site.now), at(now));
        findings.push(Finding::warning(ABOUT, found, "set this machine's clock and let it be synchronised (NTP)"));
    }
    if behind(log.cut_off) > 0 {
        let found = format!("{}, which is not yet: what ended before it is over, so every token is", at(log.cut_off));
        let remedy = "see that the clock is right; then `countersign projections cut-off --lower TIME` with a time some months \
                      ago, stop the site, and `countersign projections rebuild tokens authorizations`";
        findings.push(Finding::problem("cut-off of dead rows", found, remedy));
    }
    if findings.len() > before {
        return;
    }
    let synchronised = if Path::new(SYNCHRONISED).exists() {
        "synchronised"
    } else {
        "this machine does not say whether it is synchronised"
    };
    findings.push(Finding::ok(ABOUT, format!("{}, not behind the log; {synchronised}", at(now))));
}

/// What the running server makes of its clock.
fn judged(clock: &ClockReport, findings: &mut Vec<Finding>) {
    const ABOUT: &str = "clock";
    let now = clock.now;
    if now.in_doubt() {
        let found = format!("it says {}, and the site goes by {}", at(now.wall), at(now.judged));
        let remedy = "set the clock right; if it is right, `countersign clock accept` says so at once";
        findings.push(Finding::problem(ABOUT, found, remedy));
    }
    if now.destroying_waits() {
        let found = format!("what is over is destroyed only up to {}: the clock jumped there", at(now.destroying));
        let remedy = "see that the clock is right, and wait a day, or say so with `countersign clock accept`";
        findings.push(Finding::warning(ABOUT, found, remedy));
    }
    if let Some(seconds) = clock.ahead_seconds.filter(|_| clock.node_is_off()) {
        let found = format!("this machine is {seconds} s ahead of the database, whose clock counts");
        findings.push(Finding::warning(ABOUT, found, "set this machine's clock and let it be synchronised (NTP)"));
    }
}

fn head(site: &Site<'_>, log: &LogFacts, findings: &mut Vec<Finding>) {
    const ABOUT: &str = "end of the log";
    let (head, last) = (log.head.position, log.last.map(|(position, _)| position).unwrap_or_default());
    if head == last {
        findings.push(Finding::ok(ABOUT, format!("position {head}, epoch {}", log.head.epoch)));
    } else {
        findings.push(Finding::problem(
            ABOUT,
            format!("the head says position {head}, the last event is at {last}: something else has changed the log"),
            if site.is_here() {
                "stop the site, keep a copy of log.db, and restore it from your backup; do not edit it"
            } else {
                "stop all nodes, keep a copy of the database, and restore it from your backup; do not edit it"
            },
        ));
    }
}

fn read_model(site: &Site<'_>, log: &LogFacts, model: &ModelFacts) -> Finding {
    let about = format!("read model {}", model.name);
    if model.revision != Some(model.wanted) {
        let found = match model.revision {
            None => "was not built yet".to_owned(),
            Some(revision) => format!("has revision {revision}, and this program wants {}", model.wanted),
        };
        return Finding::warning(about, found, "the next start of the site builds it from the log; nothing is lost");
    }
    if !model.trailing {
        return Finding::ok(about, format!("revision {}, changes with the log", model.wanted));
    }
    let rebuild = format!("`countersign projections rebuild {}`", model.name);
    let Some(cursor) = model.cursor else {
        let found = "its file is missing or cannot be read";
        return Finding::warning(
            about,
            found,
            format!("the next start of the site builds it from the log, or: {rebuild}"),
        );
    };
    let (position, head) = (cursor.position, log.head.position);
    // Of the epochs that began since, each may have cut off what it has read.
    let cut = log.epochs.iter().any(|(epoch, began_after)| *epoch > cursor.epoch && position > *began_after);
    if position > head || cursor.epoch > log.head.epoch || cut {
        let found = format!(
            "its cursor {}.{position} is ahead of the log, which ends at {}.{head}: the log was replaced by an older one",
            cursor.epoch, log.head.epoch
        );
        return Finding::problem(about, found, format!("it shows events that the log does not have: {rebuild}"));
    }
    let following =
        site.running.as_ref().and_then(|running| running.following.iter().find(|one| one.name == model.name));
    let parked = following.map_or(model.parked, |following| following.parked);
    if parked > 0 && following.is_none_or(|following| following.progress.error.is_none()) {
        let found = format!("incomplete: {parked} {} parked", if parked == 1 { "stream is" } else { "streams are" });
        let remedy = "`countersign projections parked list` says why; then `countersign projections parked retry ID`, or \
                      `countersign projections parked discard ID --reason TEXT`";
        return Finding::problem(about, found, remedy);
    }
    let Some(following) = following else {
        let behind = head.0 - position.0;
        let later = if behind == 0 { "" } else { "; the site catches up when it starts" };
        return Finding::ok(about, format!("revision {}, {behind} events behind{later}", model.wanted));
    };
    let (events, seconds) = (following.behind_events, following.behind_seconds);
    if let Some(error) = &following.progress.error {
        let found = format!("stopped {events} events behind: {error}");
        return Finding::problem(about, found, format!("mend what the error names; if the file is damaged: {rebuild}"));
    }
    let found = format!("revision {}, {events} events and {seconds:.1} s behind", model.wanted);
    if seconds >= LAG_WARNING_SECONDS {
        let remedy = "look again in a minute: if it does not get less, look at the load of this machine and its disk";
        return Finding::warning(about, found, remedy);
    }
    Finding::ok(about, found)
}

fn server(running: &Running, findings: &mut Vec<Finding>) {
    if running.writes {
        findings.push(Finding::ok("writer", "the log takes appends"));
    } else {
        findings.push(Finding::problem(
            "writer",
            "the last append failed, or the writer has stopped",
            "look at the server's log lines for the cause, such as a full disk; mend it and restart the server",
        ));
    }
}

fn write_ahead(site: &Site<'_>, findings: &mut Vec<Finding>) {
    const ABOUT: &str = "write-ahead logs";
    let mut total = 0;
    let mut is_fine = true;
    for database in &site.facts.databases {
        let bytes = database.wal_bytes.unwrap_or_default();
        total += bytes;
        if bytes > LARGE_WAL {
            is_fine = false;
            findings.push(Finding::warning(
                ABOUT,
                format!("that of {} has {}", name(database), size(bytes)),
                "something has the file open for reading all the time, such as a backup; end it, or restart the site",
            ));
        }
    }
    if is_fine {
        findings.push(Finding::ok(ABOUT, format!("{} in all", size(total))));
    }
}

/// Of every page of every file; of every row in a database.
pub(super) fn integrity(config: &Config, facts: &Facts, findings: &mut Vec<Finding>) {
    let (read, remedy) = if config.database_url.is_none() {
        (
            "every page was read",
            "look at the disk; restore log.db or vault.db from your backup; what lies in models is built anew from \
             the log when its file is removed while the site is stopped",
        )
    } else {
        (
            "every row was read",
            "look at the server's log and its disk; restore the database from your backup, or go on with a standby; a \
             read model alone is built anew from the log: countersign projections rebuild",
        )
    };
    for database in &facts.databases {
        let about = format!("integrity of {}", name(database));
        match &database.damage {
            Some(damage) if damage.is_empty() => findings.push(Finding::ok(about, read)),
            Some(damage) => findings.push(Finding::problem(about, damage.join("; "), remedy)),
            // That it cannot be read was said before.
            None => {}
        }
    }
}

fn name(database: &Database) -> String {
    database.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
