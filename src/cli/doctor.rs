//! `countersign doctor`: looks at a site, running or stopped, and says of each thing what it found and how to mend it.
//! It changes nothing. What a running server alone knows, that server is asked for.

mod deep;
mod files;
mod models;
mod settings;
mod stored;
mod whole;

use std::{
    io::{self, Write},
    net::IpAddr,
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    control,
    execute::Request,
    open::{self, Database, Presence},
    output::Output,
    table::{Format, Table, visible},
};
use crate::{
    app::{App, clock::ClockReport, observe::Following},
    config::Config,
    projector::Closeness,
    store::{
        facts::Facts,
        sqlite::{Look, examine, open_for_reading},
    },
    world::World,
};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// It works, and should be looked at.
    Warning,
    /// Something does not work, or is not safe.
    Problem,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at.
    pub about: String,
    /// What was found.
    pub found: String,
    /// How to mend it; nothing where there is nothing to mend.
    pub remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(about: impl Into<String>, found: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, about: about.into(), found: found.into(), remedy: None }
    }

    fn warning(about: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (about, found, remedy) = (about.into(), found.into(), Some(remedy.into()));
        Self { severity: Severity::Warning, about, found, remedy }
    }

    pub(super) fn problem(about: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Problem, ..Self::warning(about, found, remedy) }
    }
}

/// Whether something does not work or is not safe.
#[must_use]
pub fn has_problem(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Problem)
}

/// Writes findings: for people in two lines each where there is something to do, else as any table.
///
/// # Errors
/// Whatever `out` says.
pub fn write(findings: &[Finding], format: Format, out: &mut dyn Write) -> io::Result<()> {
    if format != Format::Table {
        let mut table = Table::new(&["severity", "about", "found", "remedy"]);
        for Finding { severity, about, found, remedy } in findings {
            table.push([json!(severity.as_str()), json!(about), json!(found), json!(remedy)]);
        }
        return table.write(format, out);
    }
    let width = findings.iter().map(|finding| visible(&finding.about).chars().count()).max().unwrap_or_default();
    for Finding { severity, about, found, remedy } in findings {
        writeln!(out, "{:7}  {:width$}  {}", severity.as_str(), visible(about), visible(found))?;
        if let Some(remedy) = remedy {
            writeln!(out, "{:7}  {:width$}  -> {}", "", "", visible(remedy))?;
        }
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (warnings, problems) = (count(Severity::Warning), count(Severity::Problem));
    writeln!(out, "Looked at: {}, problems: {problems}, warnings: {warnings}", findings.len())
}

/// A site that is looked at.
struct Site<'a> {
    config: &'a Config,
    facts: &'a Facts,
    now: countersign_events::recorded::Timestamp,
    /// What the running server knows.
    running: Option<Running>,
}

struct Running {
    following: Vec<Following>,
    writes: bool,
    clock: ClockReport,
    /// Who sends `X-Forwarded-For` and is not trusted.
    forwarders: Vec<IpAddr>,
}

impl Site<'_> {
    fn findings(&self) -> Vec<Finding> {
        let mut findings = vec![];
        stored::programs(self, &mut findings);
        files::look(self, &mut findings);
        stored::look(self, &mut findings);
        settings::look(self, &mut findings);
        findings
    }
}

/// Whether it lies in a data directory of this machine.
const fn is_here(config: &Config) -> bool {
    config.database_url.is_none()
}

/// A command about this site, as it can be copied into a shell.
fn command(config: &Config, words: &str) -> String {
    if is_here(config) {
        format!("`countersign {words} --data-dir {}`", quoted(&config.data_dir))
    } else {
        format!("`countersign {words}`")
    }
}

/// A path as a shell takes it, from whatever directory.
pub(super) fn quoted(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// Looks at the site of these settings: through its server when one runs, else at what is stored.
///
/// # Errors
/// When there is no site.
pub async fn run(config: Config, deep: bool) -> anyhow::Result<Output> {
    if let Some(database) = Database::of(&config) {
        let facts = database.examine(deep).await;
        let site = Site { config: &config, facts: &facts, now: World::system().now(), running: None };
        let mut findings = site.findings();
        findings.extend(whole::look(&config, false).await);
        models::look(&config, database.open_for_reading().await, Closeness::Emptiness, &mut findings).await;
        if deep {
            stored::integrity(&config, &facts, &mut findings);
            deep::look(&config, database.open_for_reading().await, &mut findings).await;
        }
        return Ok(Output::Findings(findings));
    }
    if let Some(finding) = files::out_of_reach(&config.data_dir) {
        return Ok(Output::Findings(vec![finding]));
    }
    let presence = match open::presence(&config.data_dir) {
        Ok(presence) => presence,
        // Where something is left of a site, that is looked at.
        Err(_) if files::has_remains(&config.data_dir) => Presence::Nobody(None),
        Err(error) => return Err(error),
    };
    let (mut findings, unwatched) = match &presence {
        Presence::Nobody(_) => (look_here(&config, true).await, true),
        Presence::Held(holder) => match control::ask_running(&config.data_dir, Request::Doctor).await {
            Ok(Output::Findings(findings)) => (findings, false),
            answer => {
                let why =
                    answer.err().map_or_else(|| "it is of another version".to_owned(), |error| format!("{error:#}"));
                let found = format!("{holder} holds the data directory and does not answer: {why}");
                let remedy = "if it is a server, run this as the account that runs it, or restart it; if it is another \
                              command, try again when it is done";
                let mut findings = vec![Finding::problem("server", found, remedy)];
                findings.extend(look_here(&config, false).await);
                (findings, false)
            }
        },
    };
    // Here and not in the server: it may take longer than a request to it is given.
    if deep {
        let look = Look { unwatched, deep };
        let facts = examine(&config.data_dir, look).await;
        stored::integrity(&config, &facts, &mut findings);
        deep::look(&config, open_for_reading(&config.data_dir, look).await, &mut findings).await;
    }
    drop(presence);
    Ok(Output::Findings(findings))
}

async fn look_here(config: &Config, unwatched: bool) -> Vec<Finding> {
    let facts = examine(&config.data_dir, Look { unwatched, deep: false }).await;
    let site = Site { config, facts: &facts, now: World::system().now(), running: None };
    let mut findings = site.findings();
    findings.extend(whole::look(config, unwatched).await);
    let opened = open_for_reading(&config.data_dir, Look { unwatched, deep: false }).await;
    models::look(config, opened, Closeness::Emptiness, &mut findings).await;
    findings
}

/// The same from inside the running server.
///
/// # Errors
/// When the log does not answer.
pub async fn of_running(app: &App) -> anyhow::Result<Output> {
    let look = Look { unwatched: false, deep: false };
    let (facts, opened) = match Database::of(&app.config) {
        Some(database) => (database.examine(false).await, database.open_for_reading().await),
        None => (examine(&app.config.data_dir, look).await, open_for_reading(&app.config.data_dir, look).await),
    };
    let following = app.following(app.log.head().await?).await?;
    let (writes, forwarders) = (app.writes(), app.forwarders.peers());
    let running = Some(Running { following, writes, clock: app.clock().await?, forwarders });
    let site = Site { config: &app.config, facts: &facts, now: app.world.judgement().wall, running };
    let mut findings = site.findings();
    findings.extend(whole::look(&app.config, false).await);
    models::look(&app.config, opened, Closeness::Emptiness, &mut findings).await;
    Ok(Output::Findings(findings))
}

/// Bytes for people.
#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut amount, mut unit) = (bytes as f64, 0);
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_its_remedy_another() {
        let findings = [Finding::ok("disk", "fine"), Finding::problem("root key", "gone", "put it back")];
        let mut out = vec![];
        write(&findings, Format::Table, &mut out).unwrap();
        let lines = [
            "ok       disk      fine",
            "problem  root key  gone",
            "                   -> put it back",
            "Looked at: 2, problems: 1, warnings: 0",
            "",
        ];
        assert_eq!(String::from_utf8(out).unwrap(), lines.join("\n"));
    }

    #[test]
    fn a_path_is_written_as_a_shell_takes_it() {
        assert_eq!(quoted(Path::new("/var/lib/site-1.db")), "/var/lib/site-1.db");
        assert_eq!(quoted(Path::new("/my site/it's")), r"'/my site/it'\''s'");
        assert!(quoted(Path::new("site")).ends_with("/site") && quoted(Path::new("site")).starts_with('/'));
    }

    #[test]
    fn sizes_are_written_with_the_unit_that_fits() {
        assert_eq!([size(12), size(2048), size(5 << 30)], ["12 bytes", "2.0 KiB", "5.0 GiB"]);
    }
}
