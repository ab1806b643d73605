//! The command line: reads arguments and settings, has commands carried out, prints what came of them, and turns
//! errors into words and exit codes. Commands call the same `app` functions as the web does.

mod args;
mod clock;
pub mod control;
pub mod demo;
pub mod doctor;
pub mod events;
pub mod execute;
pub mod lifetime;
pub mod migrate;
pub mod open;
pub mod operator;
pub mod output;
mod progress;
pub mod projections;
pub mod serve;
pub mod table;
mod unsaid;

use std::{borrow::Cow, ffi::OsString, io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _};
use serde_json::json;

use self::{
    args::{Cli, Command, Configuration, Order, Shape},
    execute::Request,
    output::Output,
    table::{Table, visible},
    unsaid::unsaid,
};
use crate::{
    app::AppError,
    config::{Config, ConfigError, Flags, process_environment},
    secrets::RootKeyError,
    telemetry,
};

/// The command was not carried out.
const FAILED: u8 = 1;
/// What was typed or configured makes no sense.
const USAGE: u8 = 2;
/// The command was carried out and found something that needs mending.
const FOUND_A_PROBLEM: u8 = 3;

/// What was typed makes no sense, so that nothing was tried; the process says so in its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

/// Runs the command line and says how the process should end.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way as well; a reader that went away is no failure.
            let said = error.render().to_string();
            let _ = match unsaid(&said, &[]) {
                Cow::Owned(said) if error.use_stderr() => write!(std::io::stderr(), "{said}"),
                _ => error.print(),
            };
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    let mut own = vec![];
    match carry_out(cli.command, &mut own) {
        Ok(code) => code,
        Err(error) => {
            report(&error, &own);
            ExitCode::from(if is_misuse(&error) { USAGE } else { FAILED })
        }
    }
}

/// Whether what was typed or configured is at fault, and not what became of it.
fn is_misuse(error: &anyhow::Error) -> bool {
    let in_use_case = error.downcast_ref::<AppError>().is_some_and(|error| match error {
        // Well written, and unknown here: as a member whom nobody knows.
        AppError::Fields(errors) => errors.iter().any(|error| error.code != "unknown_value"),
        AppError::Setting(_) => true,
        _ => false,
    });
    let in_key = error
        .downcast_ref::<RootKeyError>()
        .is_some_and(|error| matches!(error, RootKeyError::MalformedVariable | RootKeyError::Nameless(_)));
    in_use_case || in_key || error.is::<ConfigError>() || error.is::<Misuse>()
}

/// The commands. Settings that matter to `serve` alone stand in the long help of the others only.
fn command() -> clap::Command {
    Cli::command().mut_subcommands(|group| {
        if ["serve", "config"].contains(&group.get_name()) {
            return group;
        }
        group.mut_subcommands(|leaf| {
            leaf.mut_args(|arg| {
                let is_setting = arg.get_help_heading() == Some("Configuration");
                let matters = ["config", "data_dir"].contains(&arg.get_id().as_str());
                arg.hide_short_help(is_setting && !matters)
            })
        })
    })
}

/// `own` is told the paths of the settings.
fn carry_out(command: Command, own: &mut Vec<PathBuf>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve { new_site, flags } => {
            let config = settings(&flags, own)?;
            let _telemetry = telemetry::init(&config).map_err(anyhow::Error::msg)?;
            block_on(serve::serve(config, new_site)).map(|()| ExitCode::SUCCESS)
        }
        Command::Doctor { deep, shape: Shape { format, flags } } => {
            let config = settings(&flags, own)?;
            let _telemetry = start_logging(&config)?;
            show(&block_on(doctor::run(config, deep))?, format)
        }
        Command::Migrate { check, shape: Shape { format, flags } } => {
            let config = settings(&flags, own)?;
            let _telemetry = start_logging(&config)?;
            show(&block_on(migrate::run(config, check))?, format)
        }
        Command::Account(account) => have_done(account.order()?, own),
        Command::Review(review) => have_done(review.order()?, own),
        Command::Token(token) => have_done(token.order(), own),
        Command::Events(events) => have_done(events.order()?, own),
        Command::Projections(projections) => have_done(projections.order(), own),
        Command::Clock(clock) => have_done(clock.order(), own),
        Command::Config(Configuration::Show { shape: Shape { format, flags } }) => {
            let mut table = Table::new(&["key", "value", "source"]);
            for row in settings(&flags, own)?.rows() {
                table.push([json!(row.key), json!(row.value), json!(row.source)]);
            }
            show(&Output::Listing(table), format)
        }
    }
}

fn have_done(Order { request, flags, format, missing }: Order, own: &mut Vec<PathBuf>) -> anyhow::Result<ExitCode> {
    let config = settings(&flags, own)?;
    let _telemetry = start_logging(&config)?;
    if let Request::EventsFollow { after, filter } = request {
        block_on(events::tail(config, after, filter, format))?;
        return Ok(ExitCode::SUCCESS);
    }
    let output = block_on(control::carry_out(config, request, missing))?;
    show(&output, format)
}

fn show(output: &Output, format: table::Format) -> anyhow::Result<ExitCode> {
    output.print(format).context("it was done, but its result cannot be printed")?;
    Ok(if output.is_problem() { ExitCode::from(FOUND_A_PROBLEM) } else { ExitCode::SUCCESS })
}

fn settings(flags: &Flags, own: &mut Vec<PathBuf>) -> anyhow::Result<Config> {
    let config = Config::load(flags, process_environment())?;
    // Messages have them as the system has them, too.
    let paths = [&config.data_dir, &config.review_policy].into_iter().filter(|path| !path.as_os_str().is_empty());
    own.extend(paths.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())));
    Ok(config)
}

/// Single commands log what is wrong and nothing else, unless they are told otherwise.
fn start_logging(config: &Config) -> anyhow::Result<telemetry::Telemetry> {
    let mut quiet = config.clone();
    // What a command does beside a running server is traced there.
    quiet.otlp_endpoint = None;
    if config.rows().iter().any(|row| row.key == "log" && row.source == "default") {
        "warn".clone_into(&mut quiet.log);
    }
    telemetry::init(&quiet).map_err(anyhow::Error::msg)
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let result = runtime.block_on(work);
    // What still runs belongs to requests that were cut off.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// The error in words, then what led to it, a line each.
fn report(error: &anyhow::Error, own: &[PathBuf]) {
    let mut said = error.to_string();
    let mut lines = vec![format!("error: {}", visible(&said))];
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // An error that speaks for its cause has the same words.
        if !said.contains(&cause) {
            lines.push(format!("  because: {}", visible(&cause)));
        }
        said = cause;
    }
    let _ = writeln!(std::io::stderr(), "{}", unsaid(&lines.join("\n"), own));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(arguments: &[&str]) -> String {
        command().try_get_matches_from(arguments).unwrap_err().to_string()
    }

    #[test]
    fn every_command_that_a_text_names_is_one() {
        let mut named = 0;
        for (file, text) in sources(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
            for line in text.split("`countersign ").skip(1).filter_map(|rest| rest.split('`').next()) {
                let (mut command, mut said) = (command(), vec![]);
                for word in line.split_whitespace() {
                    if !command.has_subcommands() || !word.starts_with(|c: char| c.is_ascii_lowercase()) {
                        break;
                    }
                    said.push(word);
                    let found = command.find_subcommand(word).cloned();
                    command = found.unwrap_or_else(|| panic!("{file}: there is no `countersign {}`", said.join(" ")));
                }
                named += 1;
            }
        }
        assert!(named > 30, "{named} are named");
    }

    fn sources(directory: &std::path::Path) -> Vec<(String, String)> {
        let mut found = vec![];
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(sources(&path));
            } else {
                found.extend(std::fs::read_to_string(&path).map(|text| (path.display().to_string(), text)));
            }
        }
        found
    }

    #[test]
    fn short_help_of_a_command_has_only_the_settings_that_matter_to_it() {
        let short = help(&["countersign", "account", "list", "-h"]);
        assert!(
            short.contains("--data-dir") && short.contains("--format") && !short.contains("--site-name"),
            "{short}"
        );
        assert!(help(&["countersign", "account", "list", "--help"]).contains("--site-name"));
        assert!(help(&["countersign", "serve", "-h"]).contains("--site-name"));
    }
}
