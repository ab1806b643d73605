//! `countersign events`: what can be asked of the log, how its events are printed, and `tail`, which follows it.

use std::{
    io::{self, ErrorKind, Write},
    time::Duration,
};

use anyhow::Context as _;
use chrono::SecondsFormat;
use clap::Args;
use countersign_events::{
    ids::ApplicationId,
    recorded::{Actor, Position, StreamName, Timestamp},
    token::ClientId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Misuse,
    args::event_type,
    control,
    execute::Request,
    open::{Database, Missing, Place},
    output::Output,
    table::{Format, Table, visible},
};
use crate::{
    app::{
        App, AppError,
        audit::{self, AuditPage, Effort, Typed},
    },
    config::Config,
    store::StoreError,
    world::World,
};

/// How long a server waits for a new event before it answers that there is none.
const WAITING: Duration = Duration::from_secs(1);
/// How far apart `tail` looks for a server, or a database that answers, while there is none.
const BETWEEN: Duration = Duration::from_millis(500);
/// So many events are printed at once by `tail`.
const PAGE: u32 = 500;

/// Which events; all that is named must hold.
#[derive(Args, Clone)]
pub(super) struct Filters {
    /// Only of this stream, such as site, account-ID or application-ID
    #[arg(long, value_name = "STREAM")]
    stream: Option<StreamName>,
    /// Only of this type, such as `ApplicationApproved`
    #[arg(long = "type", value_name = "TYPE", value_parser = event_type)]
    type_name: Option<String>,
    /// Only by this actor, or decided in their name: a username, user:ID, cli:NAME or system
    #[arg(long, value_name = "ACTOR", value_parser = actor)]
    actor: Option<String>,
    /// Only about this application, or through it: its id or client id
    #[arg(long, value_name = "ID", value_parser = application)]
    application: Option<String>,
    /// Only about this member, or by them: a username or id
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only since this instant, such as 2026-01-31T12:00:00Z, or this day
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    since: Option<String>,
    /// Only before this instant, or this day
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    until: Option<String>,
}

impl Filters {
    /// As the use case takes them.
    pub(super) fn typed(self) -> Result<Typed, Misuse> {
        let Self { stream, type_name, actor, application, user, since, until } = self;
        let at = |text: &Option<String>| text.as_deref().and_then(audit::instant);
        if let (Some(begin), Some(end)) = (at(&since), at(&until))
            && begin >= end
        {
            return Err(Misuse("nothing lies between --since and --until: name an earlier instant first".to_owned()));
        }
        Ok(Typed {
            stream: stream.map(|stream| stream.to_string()),
            r#type: type_name,
            actor,
            application,
            user,
            since,
            until,
        })
    }
}

/// Whether it can be an actor; whether there is such a one, the site knows.
fn actor(text: &str) -> Result<String, &'static str> {
    let is_name = !text.is_empty() && !text.contains(':');
    if is_name || text.parse::<Actor>().is_ok() {
        Ok(text.to_owned())
    } else {
        Err("write a username, user:ID, cli:NAME or system")
    }
}

/// Whether it can be an application's id or client id.
fn application(text: &str) -> Result<String, &'static str> {
    if text.parse::<ApplicationId>().is_ok() || text.parse::<ClientId>().is_ok() {
        Ok(text.to_owned())
    } else {
        Err("write the id or the client id of an application; `countersign review list --state all` shows ids")
    }
}

fn instant(text: &str) -> Result<String, &'static str> {
    audit::instant(text)
        .map(|_| text.to_owned())
        .ok_or("write an instant such as 2026-01-31T12:00:00Z, or a day such as 2026-01-31")
}

/// Events to be printed, each with everything that an auditor may read of it.
#[derive(Serialize, Deserialize)]
pub struct Listing {
    events: Vec<Value>,
    /// Everything that matches up to here was told.
    through: Position,
    /// Whether there may be more behind it.
    more: bool,
    /// What has to be known of the list as a whole.
    note: Option<String>,
}

/// Carries out `events list`.
///
/// # Errors
/// A filter without such a value.
pub(super) async fn list(
    app: &App,
    typed: &Typed,
    after: Option<u64>,
    newest_first: bool,
    limit: u32,
) -> anyhow::Result<Output> {
    let head = app.head().await?;
    // Without a server the read models have only begun to follow, or are being built.
    app.built().await;
    app.wait_for(head).await;
    let page = page(app, typed, after.map(Position), newest_first, limit).await?;
    let mut notes = vec![];
    if let Some(next) = page.next {
        notes.push(format!("There may be more: --after {next}"));
    }
    if page.complete_to < head.position {
        let (known, head) = (page.complete_to, head.position);
        notes.push(format!("The index of the log is at {known} of {head}: what came later is not in this list"));
    }
    let note = (!notes.is_empty()).then(|| notes.join("\n"));
    Ok(Output::Events(listing(&page, Position(0), note)?))
}

/// Carries out one step of `events tail`: waits a moment for something new.
///
/// # Errors
/// A filter without such a value.
pub(super) async fn follow(app: &App, typed: &Typed, after: Option<u64>) -> anyhow::Result<Output> {
    let head = app.head().await?;
    let after = after.map_or(head.position, Position);
    if after < head.position {
        // Without a server the read models have only begun to follow.
        app.wait_for(head).await;
    } else {
        app.wait_behind(after, WAITING).await?;
    }
    let page = page(app, typed, Some(after), false, PAGE).await?;
    Ok(Output::Events(listing(&page, after, None)?))
}

async fn page(
    app: &App,
    typed: &Typed,
    after: Option<Position>,
    newest_first: bool,
    limit: u32,
) -> anyhow::Result<AuditPage> {
    let filter = app.audit_filter(typed).await?.map_err(AppError::from)?;
    Ok(app.audit(&filter, after, newest_first, limit, Effort::USUAL).await?)
}

fn listing(page: &AuditPage, after: Position, note: Option<String>) -> anyhow::Result<Listing> {
    let events =
        page.events.iter().map(serde_json::to_value).collect::<Result<_, _>>().context("cannot write events")?;
    let through = page.next.unwrap_or(page.complete_to).max(after);
    Ok(Listing { events, through, more: page.next.is_some(), note })
}

fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_default()
}

/// To the second: people read it beside a sentence.
fn second(event: &Value) -> String {
    let at = text(event, "recorded_at");
    at.parse::<Timestamp>().map_or_else(|_| at.to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

impl Listing {
    /// Prints it, as a table within `width`; what has to be known of it goes to `explain`.
    pub(super) fn write(
        &self,
        format: Format,
        width: Option<usize>,
        out: &mut dyn Write,
        explain: &mut dyn Write,
    ) -> io::Result<()> {
        match format {
            Format::Table => {
                let mut table = Table::new(&["position", "time", "who", "sentence"]);
                for event in &self.events {
                    let (at, who) = (second(event).into(), event["actor_name"].clone());
                    table.push([event["position"].clone(), at, who, event["sentence"].clone()]);
                }
                table.write_within(format, width, out)?;
            }
            Format::Json => {
                serde_json::to_writer_pretty(&mut *out, &self.events)?;
                writeln!(out)?;
            }
            Format::Csv => self.rows().write(format, out)?,
        }
        out.flush()?;
        self.note.iter().try_for_each(|note| writeln!(explain, "{note}"))
    }

    /// What fits into columns.
    fn rows(&self) -> Table {
        const COLUMNS: [&str; 10] = [
            "position",
            "recorded_at",
            "actor",
            "actor_name",
            "type",
            "stream",
            "version",
            "on_behalf_of",
            "client_address",
            "sentence",
        ];
        let mut table = Table::new(&COLUMNS);
        for event in &self.events {
            table.push(COLUMNS.map(|column| event[column].clone()));
        }
        table
    }

    /// Prints it as a further part of what is followed: a line an event.
    fn write_on(&self, format: Format, is_first: bool, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Table => {
                for event in &self.events {
                    let (at, who, sentence) = (second(event), text(event, "actor_name"), text(event, "sentence"));
                    writeln!(out, "{}  {at}  {}  {}", event["position"], visible(who), visible(sentence))?;
                }
            }
            Format::Json => {
                for event in &self.events {
                    serde_json::to_writer(&mut *out, event)?;
                    writeln!(out)?;
                }
            }
            Format::Csv => {
                let mut rows = vec![];
                self.rows().write(format, &mut rows)?;
                // The line of headers comes once.
                let headers = rows.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                out.write_all(if is_first { &rows } else { &rows[headers..] })?;
            }
        }
        out.flush()
    }
}

/// Prints one event: its sentence, its envelope, what is opened of it, and its payload as stored.
pub(super) fn write_event(event: &Value, format: Format, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, event)?;
            return writeln!(out);
        }
        Format::Csv => {
            let (events, through) = (vec![event.clone()], Position(0));
            return Listing { events, through, more: false, note: None }.rows().write(format, out);
        }
        Format::Table => {}
    }
    writeln!(out, "{}\n", visible(text(event, "sentence")))?;
    let fields = event.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(name, _)| !["sentence", "payload", "personal"].contains(&name.as_str())) {
        let value = match value {
            Value::Null => continue,
            Value::String(text) => visible(text),
            other => other.to_string(),
        };
        writeln!(out, "{name:22} {value}")?;
    }
    for (name, shown) in event["personal"].as_object().into_iter().flatten() {
        let value = match text(shown, "state") {
            "open" => visible(text(shown, "text")),
            "sealed" => "sealed: only its recipient reads it".to_owned(),
            _ => "erased".to_owned(),
        };
        writeln!(out, "{:22} {value}", format!("{name} (personal)"))?;
    }
    let payload = serde_json::to_string_pretty(&event["payload"])?;
    writeln!(out, "\npayload, as stored:")?;
    payload.lines().try_for_each(|line| writeln!(out, "{}", visible(line)))
}

/// Prints events as they are committed, until Ctrl-C or until nobody reads any more.
///
/// # Errors
/// A filter without such a value, a site that is not there, or standard output that cannot be written to.
pub(super) async fn tail(config: Config, after: Option<u64>, filter: Typed, format: Format) -> anyhow::Result<()> {
    let node = match Database::of(&config) {
        // Beside nodes the command line is a node itself, for as long as it follows.
        Some(database) => Some(Place::Database(database).start(config.clone(), World::system()).await?),
        None => None,
    };
    let ended = tokio::select! {
        // First, so that it listens before anything is printed.
        biased;
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(anyhow::Error::from),
        ended = follow_on(config, node.as_deref(), after, filter, format) => match ended {
            Err(error) if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) => Ok(()),
            ended => ended,
        },
    };
    if let Some(app) = node {
        app.stop().await;
    }
    ended
}

async fn follow_on(
    config: Config,
    node: Option<&App>,
    mut after: Option<u64>,
    filter: Typed,
    format: Format,
) -> anyhow::Result<()> {
    let (mut begun, mut is_first, mut waits) = (node.is_some(), true, false);
    loop {
        let request = Request::EventsFollow { after, filter: filter.clone() };
        let answered = match node {
            Some(app) => follow_as_a_node(app, &filter, after).await?,
            None => control::ask_server(&config.data_dir, request.clone()).await?,
        };
        let output = match answered {
            Some(output) => {
                (begun, waits) = (true, false);
                output
            }
            // What is there already is told once. After that the directory is never opened again: it would be kept from
            // a server that wants to start.
            None if !begun => {
                let output = control::carry_out(config.clone(), request, Missing::Refuse).await?;
                begun = !matches!(&output, Output::Events(listing) if listing.more);
                output
            }
            None => {
                if !waits {
                    let why = match node {
                        Some(_) => "The database does not answer: nothing new will come until it does.",
                        None => "No server runs here: nothing new will come until one starts.",
                    };
                    writeln!(io::stderr(), "{why} Waiting for it; Ctrl-C ends this.")?;
                }
                waits = true;
                tokio::time::sleep(BETWEEN).await;
                continue;
            }
        };
        let Output::Events(listing) = output else { anyhow::bail!("the server answered something else") };
        after = Some(listing.through.0);
        if !listing.events.is_empty() {
            listing.write_on(format, is_first, &mut io::stdout().lock())?;
            is_first = false;
        }
    }
}

/// One step from the log itself; `None` when its database does not answer now.
async fn follow_as_a_node(app: &App, filter: &Typed, after: Option<u64>) -> anyhow::Result<Option<Output>> {
    match follow(app, filter, after).await {
        Err(error) if matches!(error.downcast_ref(), Some(AppError::Store(StoreError::Unavailable(_)))) => Ok(None),
        answered => answered.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn example() -> Listing {
        let event = json!({
            "position": 7, "recorded_at": "2026-01-31T12:00:00.000001Z", "actor": "cli:ada", "actor_name": "ada",
            "type": "UserSuspended", "stream": "account-1", "version": 2, "on_behalf_of": null,
            "client_address": null, "sentence": "ada suspended \u{202e}bo.",
            "personal": {"body": {"state": "sealed"}, "title": {"state": "open", "text": "News"}},
            "payload": {"z": 1, "a": 2},
        });
        Listing { events: vec![event], through: Position(7), more: true, note: Some("There may be more.".to_owned()) }
    }

    fn written(write: impl Fn(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = vec![];
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_has_position_time_who_and_sentence_and_its_note_beside_it() {
        let mut note = vec![];
        let table = written(|out| example().write(Format::Table, None, out, &mut io::sink()));
        assert!(table.contains("7         2026-01-31T12:00:00Z  ada  ada suspended \\u{202e}bo."), "{table}");
        example().write(Format::Json, None, &mut io::sink(), &mut note).unwrap();
        assert_eq!(note, b"There may be more.\n");
    }

    #[test]
    fn what_is_followed_has_its_headers_once() {
        let first = written(|out| example().write_on(Format::Csv, true, out));
        let second = written(|out| example().write_on(Format::Csv, false, out));
        assert!(first.starts_with("position,") && first.ends_with(&second) && second.starts_with("7,"), "{first}");
        assert_eq!(written(|out| example().write_on(Format::Json, true, out)).lines().count(), 1);
    }

    #[test]
    fn one_event_says_what_is_sealed_and_keeps_its_payload_in_order() {
        let shown = written(|out| write_event(&example().events[0], Format::Table, out));
        assert!(shown.contains("body (personal)        sealed: only its recipient reads it"), "{shown}");
        assert!(shown.contains("title (personal)       News") && !shown.contains("client_address"), "{shown}");
        assert!(shown.find("\"z\"") < shown.find("\"a\""), "{shown}");
    }
}
