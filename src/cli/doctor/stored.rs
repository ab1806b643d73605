//! What doctor looks at in what is stored: versions, the clock against the log, the log's end, read models, write-ahead
//! logs, and, when it is asked to, every page.

use std::{fmt::Display, path::Path};

use countersign_events::recorded::Timestamp;

use countersign_projections::TRAILING;

use super::{Finding, Running, Site, command, deep, files, is_here, quoted, size};
use crate::{
    app::clock::ClockReport,
    config::Config,
    judged_time::PAUSE,
    store::facts::{Again, Database, Facts, LogFacts, Members, ModelFacts, Named, Unreadable},
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
        // What cannot be read for want of a table, that table explains.
        if let Some(error) = database.error.as_ref().filter(|_| !has_lost_tables(database)) {
            findings.extend(unreadable(site, database, error));
        }
        schema(site, database, findings);
    }
}

/// A database that cannot be read. Of a read model's its finding says so.
fn unreadable(site: &Site<'_>, database: &Database, error: &Unreadable) -> Option<Finding> {
    let config = site.config;
    let about = name(database);
    if !is_here(config) {
        let remedy = match (error, about.as_str()) {
            (Unreadable::Damaged(_), "log") => deep::restore_log(config),
            (Unreadable::Damaged(_), _) => deep::restore_vault(config),
            _ => "see that its server runs and that database_url, or vault_url, names it with a role that may read; \
                  where there are no tables and never were, `countersign migrate` makes them"
                .to_owned(),
        };
        return Some(Finding::problem(about, error.to_string(), remedy));
    }
    let path = quoted(&database.file);
    let remedy = match (error, about.as_str()) {
        (Unreadable::Misplaced(path, _), "log.db") => {
            format!("stop the site and {}; {}", moved_away(path), deep::restore_log(config))
        }
        (Unreadable::Misplaced(path, _), "vault.db") => {
            format!("stop the site and {}; {}", moved_away(path), deep::restore_vault(config))
        }
        (Unreadable::Denied(_), "log.db" | "vault.db") => {
            format!("run this as the account that runs the site; if that is this one: `chmod u+rw {path}`")
        }
        (Unreadable::Silent(_), "log.db" | "vault.db") => {
            "see what has it open, and look at the disk; it may be whole".to_owned()
        }
        (_, "log.db") => deep::restore_log(config),
        (_, "vault.db") => deep::restore_vault(config),
        _ => return None,
    };
    Some(Finding::problem(about, format!("{} {error}", database.file.display()), remedy))
}

fn schema(site: &Site<'_>, database: &Database, findings: &mut Vec<Finding>) {
    let about = format!("schema of {}", name(database));
    let Some((has, known)) = database.schema else {
        return lacks(site, database, findings);
    };
    if has > known {
        let found = format!("{has}, which a newer Countersign made; this one knows schemas up to {known}");
        findings.push(if database.oldest.is_some_and(|oldest| oldest <= known) {
            Finding::ok(about, format!("{found}, and works with it"))
        } else {
            let remedy = "run the newer program, or restore the backup from before the upgrade";
            Finding::problem(about, found, remedy)
        });
    } else if has < known {
        findings.push(if is_here(site.config) {
            let remedy = "make a backup before that start: an older program does not open the newer schema";
            Finding::warning(about, format!("{has}; the next start of the site brings it to {known}"), remedy)
        } else {
            let remedy = "make a backup, then run `countersign migrate` as the owner of the tables; no node of this \
                          program starts before";
            Finding::warning(about, format!("{has}; this program wants {known}"), remedy)
        });
    } else if database.lacks.is_empty() {
        findings.push(Finding::ok(about, has.to_string()));
    }
    lacks(site, database, findings);
}

/// Whether a table is gone: what was in it is in a copy alone.
fn has_lost_tables(database: &Database) -> bool {
    database.lacks.iter().any(|lack| lack.again == Again::FromCopy)
}

/// What was dropped or changed behind the program's back.
fn lacks(site: &Site<'_>, database: &Database, findings: &mut Vec<Finding>) {
    let about = format!("schema of {}", name(database));
    if database.lacks.is_empty() {
        return;
    }
    let config = site.config;
    let told: Vec<_> = database.lacks.iter().map(|lack| lack.what.as_str()).collect();
    let deep = command(config, "doctor --deep");
    let again = |of: fn(&Again) -> bool| database.lacks.iter().all(|lack| of(&lack.again));
    let remedy = if has_lost_tables(database) {
        match name(database).as_str() {
            "log.db" | "log" => deep::restore_log(config),
            _ => deep::restore_vault(config),
        }
    } else if again(|again| *again == Again::ByStep) {
        let migrate = command(config, "migrate");
        let how = if is_here(config) {
            format!("stop the site and run {migrate}")
        } else {
            format!("run {migrate} as the owner of the tables")
        };
        format!(
            "{how}, which makes it again and changes no row; then {deep} tells whether anything was changed meanwhile"
        )
    } else if again(|again| matches!(again, Again::WithModel(_))) {
        let mut models: Vec<_> = database.lacks.iter().filter_map(|lack| lack.again.model()).collect();
        models.dedup();
        let rebuild = command(config, &format!("projections rebuild {}", models.join(" ")));
        format!("when log and keys are sound, which {0} tells, stop the site and run {rebuild}", deep.trim_matches('`'))
    } else {
        format!(
            "somebody changed the tables: find out who, see what {deep} tells, and restore the database from your backup"
        )
    };
    findings.push(Finding::problem(about, told.join("; "), remedy));
}

pub(super) fn look(site: &Site<'_>, findings: &mut Vec<Finding>) {
    if let Some(log) = &site.facts.log {
        clock(site, log, findings);
        head(site, log, findings);
        for model in &site.facts.models {
            findings.push(read_model(site, log, model));
        }
    }
    if let Some(members) = &site.facts.members {
        findings.push(keys(site, members));
    }
    if let Some(running) = &site.running {
        server(running, findings);
    }
    for file in &site.facts.leftovers {
        findings.push(Finding::warning(
            "left-over generation",
            format!("nothing reads {}", file.display()),
            if is_here(site.config) {
                "the next start of the site removes it, unless a rebuild is under way that is still filling it"
            } else {
                "a node that serves removes it within minutes, unless a rebuild is under way that is still filling it; \
                 what another release reads goes when none of its nodes has followed the log for a day"
            },
        ));
    }
    if is_here(site.config) {
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
    let remedy = || deep::restore_log(site.config);
    if head == last {
        findings.push(Finding::ok(ABOUT, format!("position {head}, epoch {}", log.head.epoch)));
    } else {
        let found = format!("the head says {head}, and the last event is at {last}");
        findings.push(Finding::problem(ABOUT, found, remedy()));
    }
    if log.count < last.0 {
        let place = log.hole.map_or(String::new(), |(before, after)| {
            format!(", the first of them after {before}: the next one there is {after}")
        });
        let found = format!("{} of {last} events are missing{place}", last.0 - log.count);
        findings.push(Finding::problem("events", found, remedy()));
    }
}

/// Of every member who is not erased: their data key, and the verifier of their password.
fn keys(site: &Site<'_>, members: &Members) -> Finding {
    const ABOUT: &str = "keys of members";
    let Members { count, without_key, without_verifier } = members;
    let named = |what: &str, lost: &Named| {
        let first: Vec<_> = lost.first.iter().map(ToString::to_string).collect();
        let more = if lost.count > first.len() as u64 { ", …" } else { "" };
        (lost.count > 0)
            .then(|| format!("{} of {count} members have no {what} ({}{more})", lost.count, first.join(", ")))
    };
    let found: Vec<_> =
        [named("data key", without_key), named("password verifier", without_verifier)].into_iter().flatten().collect();
    if found.is_empty() {
        return Finding::ok(ABOUT, format!("{count} members have theirs"));
    }
    let found = format!("{}: the vault is older than the log, or has lost rows", found.join("; "));
    Finding::problem(ABOUT, found, deep::restore_vault(site.config))
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
    let rebuild = command(site.config, &format!("projections rebuild {}", model.name));
    let Some(cursor) = model.cursor else { return lost_model(site, model, about, &rebuild) };
    let (position, head) = (cursor.position, log.head.position);
    // Of the epochs that began since, each may have cut off what it has read.
    let cut = log.epochs.iter().any(|(epoch, began_after)| *epoch > cursor.epoch && position > *began_after);
    if position > head || cursor.epoch > log.head.epoch || cut {
        let found = format!(
            "its cursor {}.{position} is ahead of the log, which ends at {}.{head}: the log was replaced by an older one",
            cursor.epoch, log.head.epoch
        );
        let remedy = format!(
            "it may be the last to know the events that the log lacks: put the newest copy of the log back. When the log is \
             the one you want, {rebuild}"
        );
        return Finding::problem(about, found, remedy);
    }
    let following =
        site.running.as_ref().and_then(|running| running.following.iter().find(|one| one.name == model.name));
    let parked = following.map_or(model.parked, |following| following.parked);
    if parked > 0 && following.is_none_or(|following| following.progress.error.is_none()) {
        let found = format!("incomplete: {parked} {} parked", if parked == 1 { "stream is" } else { "streams are" });
        let remedy = format!(
            "{} says why. When the event is damaged in the log, put that right first ({}). When this program cannot apply it, \
             {} after an upgrade that can; {} gives it up for good",
            command(site.config, "projections parked list"),
            command(site.config, "doctor --deep"),
            command(site.config, "projections parked retry ID"),
            command(site.config, "projections parked discard ID --reason TEXT"),
        );
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
        let remedy = format!(
            "mend what the error names; if {} finds log and keys sound and the read model damaged, {rebuild}",
            command(site.config, "doctor --deep")
        );
        return Finding::problem(about, found, remedy);
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
    } else if !files::told_full(findings) {
        // A full disk is the cause, and was told.
        findings.push(Finding::problem(
            "writer",
            "the last append failed, or the writer has stopped",
            "look at the server's log lines for the cause; when the disk is full, make room first. The next append tries \
             again by itself; only where that fails with room on the disk, restart the server",
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

/// How what is in the way is moved out of it, without anything of it being lost.
fn moved_away(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut aside = path.clone().into_os_string();
    aside.push(".moved");
    format!("move it away: `mv {} {}`", quoted(&path), quoted(Path::new(&aside)))
}

/// A trailing read model whose generation cannot be read.
fn lost_model(site: &Site<'_>, model: &ModelFacts, about: String, rebuild: &str) -> Finding {
    let prefix = format!("{}-", model.name);
    let database = site.facts.databases.iter().find(|database| name(database).starts_with(&prefix));
    let (found, denied) = match database.map(|database| (database, &database.error)) {
        Some((_, Some(Unreadable::Misplaced(path, told)))) => {
            let remedy = format!("stop the site and {}; the next start builds it from the log", moved_away(path));
            return Finding::problem(about, told, remedy);
        }
        Some((database, Some(error))) => (
            format!("{} {error}", database.file.display()),
            matches!(error, Unreadable::Denied(_)).then(|| quoted(&database.file)),
        ),
        _ => (model.lost.clone().unwrap_or_else(|| "it cannot be read".to_owned()), None),
    };
    let remedy = match denied {
        Some(path) => format!("run this as the account that runs the site; if that is this one: `chmod u+rw {path}`"),
        None => format!(
            "nothing is lost while the log is whole: the next start of the site builds it from the log, or {rebuild}"
        ),
    };
    Finding::problem(about, found, remedy)
}

/// Of every page of every file; of every row in a database.
pub(super) fn integrity(config: &Config, facts: &Facts, findings: &mut Vec<Finding>) {
    let read = if is_here(config) { "every page was read" } else { "every row was read" };
    for database in &facts.databases {
        let name = name(database);
        let about = format!("integrity of {name}");
        match &database.damage {
            Some(damage) if damage.is_empty() => findings.push(Finding::ok(about, read)),
            Some(damage) => findings.push(Finding::problem(about, damage.join("; "), mended(config, &name, damage))),
            // That it cannot be read was said before.
            None => {}
        }
    }
}

fn mended(config: &Config, name: &str, damage: &[String]) -> String {
    let disk = if is_here(config) { "look at the disk" } else { "look at the server's log and its disk" };
    let of_models = |told: &String| told.starts_with("countersign_") && !told.starts_with("countersign_vault");
    match name {
        "vault.db" | "vault" => format!("{disk}; {}", deep::restore_vault(config)),
        "log.db" => format!("{disk}; {}", deep::restore_log(config)),
        "log" if !damage.iter().all(of_models) => format!("{disk}; {}", deep::restore_log(config)),
        _ => {
            let model = TRAILING.iter().map(|trailing| trailing.name).find(|trailing| {
                name.starts_with(&format!("{trailing}-"))
                    || damage.iter().any(|told| told.starts_with(&format!("countersign_{trailing}_")))
            });
            let rebuild = command(config, &format!("projections rebuild {}", model.unwrap_or_default()));
            format!("{disk}; when log and keys are sound, {rebuild} makes it anew from the log")
        }
    }
}

fn name(database: &Database) -> String {
    database.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
