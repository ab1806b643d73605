//! `countersign projections`: how read models do, checking them, building them anew, parked events. The same beside a
//! running server and without one, but for inline read models: those change with the log itself, and are built
//! anew only while the site is stopped.

use anyhow::{Context as _, anyhow, bail};
use clap::Subcommand;
use countersign_events::{recorded::Timestamp, text};
use countersign_projections::{INLINE, Projection, TRAILING};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    args::{Order, Shape},
    clock,
    execute::Request,
    open::{Beforehand, Kept, Place},
    operator,
    output::Output,
    progress::Progress,
    table::Table,
};
use crate::{
    app::{
        App, AppError, Caller,
        projections::{ParkedId, Retried, find},
    },
    config::{Config, Flags},
    nearest::nearest,
    projector::{Mended, Tell},
    store::StoreError,
    world::World,
};

#[derive(Subcommand)]
pub(super) enum Projections {
    /// Show how each read model does: where it is, how far behind, what stopped it, what is parked
    #[command(after_help = "Example:\n  countersign projections status --format json")]
    Status {
        #[command(flatten)]
        shape: Shape,
    },
    /// Hold read models against a fresh fold of the log; exit code 3 when something differs
    #[command(after_help = "Examples:\n  countersign projections check\n  \
                            countersign projections check inbox tokens --format csv")]
    Check {
        /// Read models; all of them when none is named
        #[arg(value_name = "NAME", value_parser = known)]
        names: Vec<String>,
        #[command(flatten)]
        shape: Shape,
    },
    /// Build read models anew from the log; trailing ones while the site serves, inline ones while it is stopped
    #[command(
        after_help = "Examples:\n  countersign projections rebuild front_page\n  countersign projections rebuild"
    )]
    Rebuild {
        /// Read models; all of them when none is named
        #[arg(value_name = "NAME", value_parser = known)]
        names: Vec<String>,
        /// Go on with this log and this vault although a newer one was seen; what only the newer one knew is destroyed
        #[arg(long)]
        accept_log: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Show before when what has ended leaves the read models for good, or move that back after a clock was wrong
    #[command(after_help = "Examples:\n  countersign projections cut-off\n  \
                            countersign projections cut-off --lower 2026-01-31\n\n\
                            Moving it back is on record. Rows that had left come back when their read models are built anew.")]
    CutOff {
        /// Move it back to this instant, such as 2026-01-31T12:00:00Z, or this day
        #[arg(long, value_name = "TIME", value_parser = clock::typed_instant)]
        lower: Option<Timestamp>,
        #[command(flatten)]
        shape: Shape,
    },
    /// Events that could not be applied, and those that wait behind them
    #[command(subcommand)]
    Parked(Parked),
}

#[derive(Subcommand)]
pub(super) enum Parked {
    /// List what is parked
    List {
        #[command(flatten)]
        shape: Shape,
    },
    /// Try a parked event and the rest of its stream again, such as after an upgrade
    #[command(after_help = "Example:\n  countersign projections parked retry inbox-1234")]
    Retry {
        /// Id, as `parked list` shows it
        id: ParkedId,
        #[command(flatten)]
        flags: Flags,
    },
    /// Give a parked event up for good, on record, and go on with the rest of its stream
    #[command(after_help = "Example:\n  \
                            countersign projections parked discard inbox-1234 --reason \"A copy of 1230\"")]
    Discard {
        /// Id, as `parked list` shows it
        id: ParkedId,
        /// Why; it stays on record
        #[arg(long, value_name = "TEXT", value_parser = text::reason)]
        reason: String,
        #[command(flatten)]
        flags: Flags,
    },
}

/// What is asked, with its arguments.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the arguments of the command line, by their names")]
pub enum Asked {
    /// How read models do.
    Status,
    /// Hold some or all against the log.
    Check { names: Vec<String> },
    /// Build some or all anew.
    Rebuild {
        names: Vec<String>,
        #[serde(default)]
        accept_log: bool,
    },
    /// The cut-off of dead rows.
    CutOff,
    /// Move it back.
    CutOffLower { to: Timestamp },
    /// What is parked.
    ParkedList,
    /// Try it again.
    ParkedRetry { id: ParkedId },
    /// Give it up.
    ParkedDiscard { id: ParkedId, reason: String },
}

impl Asked {
    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "projections status",
            Self::Check { .. } => "projections check",
            Self::Rebuild { .. } => "projections rebuild",
            Self::CutOff | Self::CutOffLower { .. } => "projections cut-off",
            Self::ParkedList => "projections parked list",
            Self::ParkedRetry { .. } => "projections parked retry",
            Self::ParkedDiscard { .. } => "projections parked discard",
        }
    }

    pub(super) const fn only_looks(&self) -> bool {
        matches!(self, Self::Status | Self::Check { .. } | Self::ParkedList | Self::CutOff)
    }
}

impl Projections {
    pub(super) fn order(self) -> Order {
        match self {
            Self::Status { shape } => Order::shaped(Request::Projections(Asked::Status), shape),
            Self::Check { names, shape } => Order::shaped(Request::Projections(Asked::Check { names }), shape),
            Self::Rebuild { names, accept_log, flags } => {
                Order::new(Request::Projections(Asked::Rebuild { names, accept_log }), flags)
            }
            Self::CutOff { lower, shape } => {
                let asked = lower.map_or(Asked::CutOff, |to| Asked::CutOffLower { to });
                Order::shaped(Request::Projections(asked), shape)
            }
            Self::Parked(Parked::List { shape }) => Order::shaped(Request::Projections(Asked::ParkedList), shape),
            Self::Parked(Parked::Retry { id, flags }) => {
                Order::new(Request::Projections(Asked::ParkedRetry { id }), flags)
            }
            Self::Parked(Parked::Discard { id, reason, flags }) => {
                Order::new(Request::Projections(Asked::ParkedDiscard { id, reason }), flags)
            }
        }
    }
}

/// A name that is one; what is none gets the nearest, if one is near.
fn known(name: &str) -> Result<String, String> {
    if find(name).is_some() {
        return Ok(name.to_owned());
    }
    let names = || INLINE.iter().chain(TRAILING).map(|projection| projection.name);
    let all = names().collect::<Vec<_>>().join(", ");
    Err(match nearest(name, names().map(ToOwned::to_owned)) {
        Some(nearest) => format!("there is no such read model; did you mean {nearest}? There are {all}"),
        None => format!("there is no such read model; there are {all}"),
    })
}

/// Those that are named, or all, in the order in which they are declared.
fn named(among: &'static [Projection], names: &[String]) -> Vec<&'static Projection> {
    let wanted = |name: &str| names.is_empty() || names.iter().any(|named| named == name);
    among.iter().filter(|projection| wanted(projection.name)).collect()
}

/// Carries it out here.
pub(super) async fn carry_out(place: &Place, config: Config, asked: Asked) -> anyhow::Result<Output> {
    let progress = Progress::new();
    let tell = |pace| progress.show(&pace);
    let caller = Caller { actor: operator::current(), ..Caller::system() };
    let Asked::Rebuild { names, accept_log } = &asked else {
        let app = place.start(config, World::system()).await?;
        catch_up(&app).await?;
        let output = execute(&app, asked, &caller, &tell).await;
        app.stop().await;
        return output;
    };
    // Where other nodes may be at work, whoever means inline read models names them.
    let inline = match place {
        Place::Database(_) if names.is_empty() => vec![],
        _ => named(INLINE, names),
    };
    let kept = Kept::default();
    let beforehand = Beforehand { inline: &inline, tell: &tell, accept: accept_log.then_some(&kept) };
    let app = place.start_anew(config, World::system(), beforehand).await?;
    let done = async {
        let mut said = vec![];
        let stays = |name| kept.all().iter().any(|(one, _)| *one == name);
        for projection in inline.into_iter().filter(|projection| !stays(projection.name)) {
            let through = app.head().await?.position;
            app.note_rebuilt(&caller, projection.name, 0, through).await?;
            said.push(format!("{} is built anew, through event {through}.", projection.name));
        }
        // What the start found lost is being built already.
        app.built().await;
        for projection in named(TRAILING, names) {
            match rebuild(&app, &caller, &[projection], &tell).await {
                Err(error) if *accept_log && lacks_a_key(&error) => kept.note(projection.name, &error.root_cause()),
                built => said.extend(built?),
            }
        }
        let reasons = kept.all().iter().map(|(name, reason)| format!("{name} stays as it is: {reason}.")).collect();
        let reasons: Vec<String> = reasons;
        said.extend(reasons);
        app.look_whole().await?;
        if let Some(refusal) = app.refusal() {
            bail!("{}\n{refusal}", said.join("\n"));
        }
        Ok(Output::Sentence(said.join("\n")))
    };
    let output = done.await;
    app.stop().await;
    output
}

/// Whether it is that the vault has lost a member's key.
fn lacks_a_key(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(AppError::Store(StoreError::VaultLacks { .. })))
}

/// On a stopped site nobody has followed the log meanwhile: waits until that is done, or cannot be.
async fn catch_up(app: &App) -> anyhow::Result<()> {
    app.built().await;
    let head = app.head().await?;
    while !app.wait_for(head).await {
        if app.progress().iter().any(|(_, progress)| progress.error.is_some()) {
            break;
        }
    }
    Ok(())
}

/// Carries it out on an app.
///
/// # Errors
/// Whatever the use case says, with what to do about it.
pub async fn execute(app: &App, asked: Asked, caller: &Caller, tell: Tell<'_>) -> anyhow::Result<Output> {
    match asked {
        Asked::Status => status(app).await,
        Asked::Check { names } => check(app, &names, tell).await,
        Asked::Rebuild { accept_log: true, .. } => {
            bail!(
                "--accept-log is for a site that does not start: stop the site, then run it again. Nothing was built anew"
            )
        }
        Asked::Rebuild { names, accept_log: false } => {
            let inline: Vec<_> = named(INLINE, &names).iter().map(|projection| projection.name).collect();
            let why = format!("{}: changed with the log itself, in each append", inline.join(", "));
            let how = format!("stop the site, then run `countersign projections rebuild {}`", inline.join(" "));
            if !names.is_empty() && !inline.is_empty() {
                bail!("{why}; {how}. Nothing was built anew");
            }
            let mut said = rebuild(app, caller, &named(TRAILING, &names), tell).await?;
            if names.is_empty() {
                said.push(format!("Left as they are, {why}; to build them anew, {how}."));
            }
            Ok(Output::Sentence(said.join("\n")))
        }
        Asked::CutOff => clock::cut_off(app).await,
        Asked::CutOffLower { to } => clock::lower_cut_off(app, caller, to).await,
        Asked::ParkedList => parked(app).await,
        Asked::ParkedRetry { id } => {
            let mended = app.retry_parked(caller, &id, tell).await.map_err(|error| not_parked(error, &id))?;
            mended_in_words(&id, "", mended)
        }
        Asked::ParkedDiscard { id, reason } => {
            let mended =
                app.discard_parked(caller, &id, &reason, tell).await.map_err(|error| not_parked(error, &id))?;
            mended_in_words(&id, &format!("Event {} is given up. ", id.position), mended)
        }
    }
}

async fn status(app: &App) -> anyhow::Result<Output> {
    let mut table = Table::new(&[
        "name",
        "kind",
        "state",
        "cursor",
        "head",
        "lag_events",
        "lag_seconds",
        "parked_streams",
        "parked_events",
        "generation",
        "revision",
        "stalled",
        "detail",
        "last_error",
    ]);
    for one in app.projections().await? {
        table.push([
            json!(one.name),
            json!(one.kind),
            json!(one.state.as_str()),
            json!(one.cursor),
            json!(one.head),
            json!(one.lag_events),
            json!(one.lag_seconds),
            json!(one.parked_streams),
            json!(one.parked_events),
            json!(one.generation),
            json!(one.revision),
            json!(one.stalled),
            json!(one.detail),
            json!(one.last_error),
        ]);
    }
    Ok(Output::Listing(table))
}

async fn check(app: &App, names: &[String], tell: Tell<'_>) -> anyhow::Result<Output> {
    let mut table = Table::new(&["projection", "table", "key", "column", "live", "log"]);
    let mut about = vec![];
    let mut found = false;
    let mut unsound = None;
    for projection in named(INLINE, names).into_iter().chain(named(TRAILING, names)) {
        let name = projection.name;
        let checked = app.check_projection(name, tell).await.with_context(|| {
            format!(
                "{name} cannot be held against the log; if the log is damaged, rebuild nothing: `countersign doctor --deep` \
                 says what there is to put right"
            )
        })?;
        let (rows, through) = (checked.rows, checked.through);
        let parked = app.parked().await?.iter().filter(|(id, _)| id.name == name).count();
        let without = if parked == 0 { String::new() } else { format!(", but for {parked} parked events") };
        about.push(match checked.found {
            0 => format!("{name} is as the log has it: {rows} rows, through event {through}{without}."),
            count => {
                if unsound.is_none() {
                    unsound = Some(app.soundness().await?);
                }
                match unsound.as_ref().filter(|read| !read.is_sound()) {
                    None => format!(
                        "{name} differs from the log in {count} places, and the log and its keys read from end to end: \
                         `countersign projections rebuild {name}` mends it."
                    ),
                    Some(read) => format!(
                        "{name} differs from the log in {count} places, and the log or its keys are damaged: {read}. Put them \
                         right first, as `countersign doctor --deep` says; {name} may be the last good copy, so do not \
                         rebuild it before."
                    ),
                }
            }
        });
        found |= checked.found > 0;
        for one in checked.differences {
            let column = one.column.unwrap_or("(row)");
            table.push([json!(name), json!(one.table), json!(one.key), json!(column), json!(one.live), json!(one.log)]);
        }
    }
    Ok(Output::Checked { table, about: about.join("\n"), found })
}

async fn rebuild(
    app: &App,
    caller: &Caller,
    projections: &[&'static Projection],
    tell: Tell<'_>,
) -> anyhow::Result<Vec<String>> {
    let mut said = vec![];
    for projection in projections {
        let name = projection.name;
        let rebuilt = app.rebuild_projection(caller, name, tell).await.with_context(|| {
            format!(
                "{name} was not built anew, and what is there stays; if the log is damaged, `countersign doctor --deep` says \
                 what there is to put right first"
            )
        })?;
        let Some(rebuilt) = rebuilt else {
            bail!("{name} is being built anew already; `countersign projections status` shows how far it is");
        };
        let (generation, through) = (rebuilt.generation, rebuilt.through);
        said.push(format!("{name} is built anew, through event {through}; generation {generation} is read now."));
    }
    Ok(said)
}

async fn parked(app: &App) -> anyhow::Result<Output> {
    let mut table = Table::new(&["id", "stream", "error"]);
    for (id, parked) in app.parked().await? {
        let error = parked.error.unwrap_or_else(|| "waits behind an earlier event of its stream".to_owned());
        table.push([json!(id.to_string()), json!(parked.stream.to_string()), json!(error)]);
    }
    Ok(Output::Listing(table))
}

fn mended_in_words(id: &ParkedId, before: &str, Retried { mended, rebuilt }: Retried) -> anyhow::Result<Output> {
    let name = &id.name;
    match mended {
        Mended::Healed(0) => {
            let said = format!("{before}{name} follows the stream again; nothing else of it had waited.");
            Ok(Output::Sentence(said))
        }
        Mended::Healed(applied) => {
            let anew = match rebuilt {
                Some(rebuilt) => format!(
                    "it was built anew, as generation {}, since other streams had gone on meanwhile",
                    rebuilt.generation
                ),
                None => format!("`countersign projections check {name}` tells whether it has to be built anew"),
            };
            let said =
                format!("{before}{name} follows the stream again: {applied} of its events were applied, and {anew}.");
            Ok(Output::Sentence(said))
        }
        Mended::StillParked(parked) => {
            let error = parked.error.unwrap_or_default();
            Err(anyhow!("{before}{name} still cannot apply event {}: {error}", parked.position))
        }
    }
}

fn not_parked(error: AppError, id: &ParkedId) -> anyhow::Error {
    match error {
        AppError::NotFound => anyhow!("{id} is not parked; `countersign projections parked list` shows what is"),
        other => other.into(),
    }
}
