//! Carries `countersign review` out: the queue, an application with its history, decisions in a member's name.

use anyhow::anyhow;
use chrono::SecondsFormat;
use countersign_events::{
    account::AccountStanding,
    application::{self, Standing, difference},
    ids::{ApplicationId, UserId},
    recorded::{Actor, Timestamp},
    redirect_uri::Purpose,
    scope::Scope,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    again::{Made, nothing_new},
    member, shown,
};
use crate::{
    app::{
        App, AppError, Caller,
        reviews::{Verb, Verdict},
    },
    cli::{
        Misuse,
        output::Output,
        table::{Table, visible},
    },
    store::{
        ReviewFilter,
        rows::{AccountRow, ApplicationRow},
    },
};

/// The clause that a decision names whose reviewer gives words and no clause.
const OTHER: &str = "other";

/// A command of `countersign review`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the arguments of the command line, by their names")]
pub enum ReviewRequest {
    /// Lists applications.
    List(Listing),
    /// Shows one.
    Show { id: ApplicationId },
    /// Claims, releases or decides.
    Decide(Decision),
}

/// Which applications are listed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the arguments of the command line, by their names")]
pub struct Listing {
    pub state: Listed,
    pub purpose: Option<Purpose>,
    pub scope: Option<Scope>,
    pub owner: Option<String>,
    pub claimed_by: Option<String>,
    pub overdue: bool,
    pub newest_first: bool,
    pub limit: u32,
    /// Who `me` is.
    pub member: Option<String>,
}

/// Where listed applications stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listed {
    /// Whatever waits for a reviewer, itself or a change of it.
    Waiting,
    /// Anywhere.
    All,
    /// Here.
    In(Standing),
}

impl std::str::FromStr for Listed {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "waiting" => Ok(Self::Waiting),
            "all" => Ok(Self::All),
            text => text.parse().map(Self::In).map_err(|_| {
                let all: Vec<_> = Standing::ALL.into_iter().map(Standing::as_str).collect();
                format!("choose one of waiting, all, {}", all.join(", "))
            }),
        }
    }
}

/// What a reviewer does, and which one.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the arguments of the command line, by their names")]
pub struct Decision {
    pub id: ApplicationId,
    pub verb: Verb,
    /// The revision that was read; claims and releases name none.
    pub revision: u32,
    pub reason_code: Option<String>,
    pub reason: String,
    /// The reviewer.
    pub member: String,
}

impl ReviewRequest {
    pub(super) const fn only_looks(&self) -> bool {
        matches!(self, Self::List(_) | Self::Show { .. })
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::List(_) => "review list",
            Self::Show { .. } => "review show",
            Self::Decide(Decision { verb, .. }) => match verb {
                Verb::Claim => "review claim",
                Verb::Release => "review release",
                Verb::Approve => "review approve",
                Verb::Deny => "review deny",
                Verb::RequestChanges => "review request-changes",
                Verb::Suspend => "review suspend",
                Verb::Reinstate => "review reinstate",
                Verb::Revoke => "review revoke",
                Verb::ApproveChange => "review approve-change",
                Verb::DenyChange => "review deny-change",
            },
        }
    }

    pub(super) async fn execute(self, app: &App, caller: &Caller) -> anyhow::Result<Output> {
        match self {
            Self::List(listing) => list(app, listing).await,
            Self::Show { id } => show(app, id).await,
            Self::Decide(decision) => decide(app, caller, decision).await,
        }
    }
}

async fn list(app: &App, listing: Listing) -> anyhow::Result<Output> {
    let me = match &listing.member {
        Some(name) => Some(member(app, name).await?.user_id),
        None => None,
    };
    let mut filter = ReviewFilter {
        purpose: listing.purpose,
        scope: listing.scope,
        owner: whom(app, listing.owner.as_deref(), me).await?,
        claimed_by: whom(app, listing.claimed_by.as_deref(), me).await?,
        newest_first: listing.newest_first,
        // One more tells whether there are more.
        ..app.review_filter(listing.limit + 1)
    };
    match listing.state {
        Listed::Waiting => filter.waiting = true,
        Listed::All => {}
        Listed::In(standing) => filter.standing = Some(standing),
    }
    if listing.overdue {
        filter.waiting = true;
        filter.waiting_before = Some(app.overdue_before());
    }
    let mut rows = app.review_list(&filter).await?;
    let more = rows.len() > listing.limit as usize;
    rows.truncate(listing.limit as usize);
    let note = if more {
        Some(format!("There are more than these {}: --limit shows them.", listing.limit))
    } else if rows.is_empty() {
        let waiting = listing.state == Listed::Waiting;
        let nothing = if waiting { "Nothing like this waits for a reviewer" } else { "There is no such application" };
        Some(format!("{nothing}; --state all lists everything."))
    } else {
        None
    };
    Ok(Output::Noted { table: table(app, &rows), note })
}

async fn whom(app: &App, name: Option<&str>, me: Option<UserId>) -> anyhow::Result<Option<UserId>> {
    match (name, me) {
        (None, _) => Ok(None),
        (Some("me"), Some(me)) => Ok(Some(me)),
        (Some("me"), None) => Err(Misuse("`me` is nobody without --as NAME".to_owned()).into()),
        (Some(name), _) => Ok(Some(member(app, name).await?.user_id)),
    }
}

fn table(app: &App, rows: &[ApplicationRow]) -> Table {
    let mut table = Table::new(&[
        "id",
        "state",
        "name",
        "owner",
        "purpose",
        "waits_for",
        "since",
        "overdue",
        "claimed_by",
        "revision",
    ]);
    for row in rows {
        table.push([
            json!(row.application_id),
            json!(row.standing),
            json!(row.name),
            json!(app.state.name_of(row.owner_id)),
            json!(row.purpose),
            json!(waits_for(row)),
            moment(row.waits()),
            json!(is_overdue(app, row)),
            json!(claimed_by(app, row)),
            json!(row.revision),
        ]);
    }
    table
}

/// Whom or what an application waits for.
fn waits_for(row: &ApplicationRow) -> Option<&'static str> {
    match (row.waits(), row.signed, row.standing) {
        (Some(_), Some(_), _) => Some("second signature"),
        (Some(_), None, Standing::UnderReview) => Some("review"),
        (Some(_), None, _) => Some("review of a change"),
        (None, _, Standing::ChangesRequested) => Some("its owner"),
        (None, ..) => None,
    }
}

fn is_overdue(app: &App, row: &ApplicationRow) -> Option<bool> {
    row.waits().map(|since| app.due(since) < app.now())
}

/// Whose claim holds now.
fn claimed_by(app: &App, row: &ApplicationRow) -> Option<String> {
    row.claim.filter(|claim| claim.until() > app.now()).map(|claim| app.state.name_of(claim.by))
}

async fn show(app: &App, id: ApplicationId) -> anyhow::Result<Output> {
    let row = app.reviewed_application(id).await.map_err(|error| unknown(error, id))?;
    let uris: Vec<_> = row.redirect_uris.iter().map(ToString::to_string).collect();
    let scopes: Vec<_> = row.scopes.iter().map(Scope::as_str).collect();
    let change = row.proposed.as_ref().map(|proposed| difference(&row.asked(), proposed)).unwrap_or_default();
    let change: Vec<_> =
        change.iter().map(|one| json!({"field": one.field, "from": one.before, "to": one.after})).collect();
    let next: Vec<_> = Verb::possible(row.standing, row.proposed.is_some()).iter().map(|verb| verb.as_str()).collect();
    let fields = [
        ("id", json!(row.application_id)),
        ("state", json!(row.standing)),
        ("name", json!(row.name)),
        ("description", json!(row.description)),
        ("owner", json!(app.state.name_of(row.owner_id))),
        ("purpose", json!(row.purpose)),
        ("website", json!(row.website)),
        ("redirect_uris", json!(uris)),
        ("scopes", json!(scopes)),
        ("client_id", json!(row.client_id)),
        ("requested_at", moment(Some(row.requested_at))),
        ("revision", json!(row.revision)),
        ("approved_revision", if row.proposed.is_some() { json!(row.holds) } else { Value::Null }),
        ("waits_for", json!(waits_for(&row))),
        ("waiting_since", moment(row.waits())),
        ("due_at", moment(row.waits().map(|since| app.due(since)))),
        ("overdue", json!(is_overdue(app, &row))),
        ("claimed_by", json!(claimed_by(app, &row))),
        ("signed_by", json!(row.signed.map(|(user, _)| app.state.name_of(user)))),
        ("decided_at", moment(row.decided_at)),
        ("decided_by", json!(row.decided_by.map(|user| app.state.name_of(user)))),
        ("reason_code", json!(row.reason_code)),
        ("reason", json!(app.reason_of(&row).await?)),
        ("possible", json!(next)),
        ("change", json!(change)),
        ("history", json!(history(app, id).await?)),
    ];
    let mut table = Table::new(&fields.each_ref().map(|(name, _)| *name));
    table.push(fields.map(|(_, value)| value));
    Ok(Output::Record(table))
}

async fn history(app: &App, id: ApplicationId) -> Result<Vec<Value>, AppError> {
    let as_line = |happening: &crate::app::history::Happening| {
        let envelope = &happening.recorded.envelope;
        let mut sentence = happening.sentence.clone();
        if let Actor::Cli(_) = envelope.actor {
            sentence = format!("{sentence} Done by {}.", app.actor_name(&envelope.actor));
        }
        json!({"at": moment(Some(envelope.recorded_at)), "sentence": sentence, "text": happening.text})
    };
    Ok(app.history(id).await?.iter().map(as_line).collect())
}

async fn decide(app: &App, caller: &Caller, decision: Decision) -> anyhow::Result<Output> {
    let Decision { id, verb, revision, reason_code, reason, member: name } = decision;
    let by = member(app, &name).await?;
    // Words are a reason of their own; the clause that says so is there unless a site's policy does without.
    let reason_code = match reason_code {
        Some(code) => code,
        None if !verb.is_friendly() && app.policy.has(OTHER) => OTHER.to_owned(),
        None => String::new(),
    };
    let verdict = Verdict { revision, reason_code, reason };
    let done = app.decide_application(caller, by.user_id, id, verb, &verdict).await;
    let done = done.map_err(|error| refused(error, id, &by))?;
    // What was done is done, also when it cannot be looked at.
    let Ok(row) = app.reviewed_application(id).await else { return Ok(Output::Sentence("Done.".to_owned())) };
    if done.happened {
        return Ok(Output::Sentence(done_to(app, verb, &row, shown(&by))));
    }
    let (already, type_name) = so_already(app, verb, &row, shown(&by));
    Ok(nothing_new(app, &already, &application::stream(id), &Made::by(type_name)).await)
}

/// What holds already where a decision is made a second time, and the type of the event that made it so.
fn so_already(app: &App, verb: Verb, row: &ApplicationRow, by: &str) -> (String, &'static str) {
    let (name, owner) = (visible(&row.name), app.state.name_of(row.owner_id));
    match verb {
        Verb::Claim => (format!("{by} has claimed “{name}” already"), "ReviewClaimed"),
        Verb::Release => (format!("nobody has claimed “{name}”"), "ReviewReleased"),
        Verb::Approve | Verb::ApproveChange if row.signed.is_some() => {
            (format!("{by} has signed “{name}” already, and another reviewer decides"), "ReviewSigned")
        }
        Verb::Approve => (format!("“{name}” is approved already"), "ApplicationApproved"),
        Verb::Deny => (format!("“{name}” is denied already"), "ApplicationDenied"),
        Verb::RequestChanges => (format!("{owner} is asked for changes of “{name}” already"), "ChangesRequested"),
        Verb::Suspend => (format!("“{name}” is suspended already"), "ApplicationSuspended"),
        Verb::Reinstate => (format!("“{name}” is reinstated already"), "ApplicationReinstated"),
        Verb::Revoke => (format!("“{name}” is revoked already"), "ApplicationRevoked"),
        Verb::ApproveChange => (format!("the change of “{name}” is approved already"), "ChangeApproved"),
        Verb::DenyChange => (format!("the change of “{name}” is denied already"), "ChangeDenied"),
    }
}

fn done_to(app: &App, verb: Verb, row: &ApplicationRow, by: &str) -> String {
    let (name, owner) = (visible(&row.name), app.state.name_of(row.owner_id));
    match verb {
        Verb::Claim => match row.claim {
            Some(claim) => format!("{by} has claimed “{name}” until {}.", claim.until().format("%H:%M UTC")),
            None => format!("{by} has claimed “{name}”."),
        },
        Verb::Release => format!("“{name}” is free for other reviewers."),
        Verb::Approve | Verb::ApproveChange if row.signed.is_some() => {
            format!(
                "{by} has signed “{name}” at revision {}, the first of two: another reviewer decides.",
                row.revision
            )
        }
        Verb::Approve => {
            format!("“{name}” is approved at revision {}. {owner} is told, and a token waits in the inbox.", row.holds)
        }
        Verb::Deny => format!("“{name}” is denied. {owner} is told why, and can appeal once."),
        Verb::RequestChanges => format!("{owner} is asked for changes of “{name}”."),
        Verb::Suspend => format!("“{name}” is suspended: its tokens rest. {owner} is told why."),
        Verb::Reinstate => format!("“{name}” is reinstated: its tokens are good again. {owner} is told."),
        Verb::Revoke => format!("“{name}” is revoked: its tokens have ended. {owner} is told why."),
        Verb::ApproveChange => {
            format!("The change of “{name}” is approved: revision {} holds. {owner} is told.", row.holds)
        }
        Verb::DenyChange => {
            format!("The change of “{name}” is denied: revision {} holds on. {owner} is told why.", row.holds)
        }
    }
}

fn refused(error: AppError, id: ApplicationId, by: &AccountRow) -> anyhow::Error {
    let name = shown(by);
    match error {
        AppError::RoleMissing(_) if by.standing == AccountStanding::Suspended => {
            anyhow!("{name} is suspended; `countersign account reinstate {name}` comes first")
        }
        AppError::RoleMissing(role) => {
            anyhow!("{name} lacks the role {role}; `countersign account grant {name} {role}` gives it")
        }
        AppError::Overtaken(overtaken) => {
            let said = |text: &str| if text.is_empty() { "nothing".to_owned() } else { format!("“{text}”") };
            let mut sentences = vec![overtaken.to_string().trim_end_matches('.').to_owned()];
            for one in &overtaken.difference {
                sentences.push(format!("{}: {} became {}", one.field, said(&one.before), said(&one.after)));
            }
            sentences.push(format!("`countersign review show {id}` shows it as it is"));
            anyhow!(sentences.join(". "))
        }
        other => unknown(other, id),
    }
}

fn unknown(error: AppError, id: ApplicationId) -> anyhow::Error {
    match error {
        AppError::NotFound => {
            anyhow!("there is no application {id}; `countersign review list --state all` lists those there are")
        }
        other => other.into(),
    }
}

pub(super) fn moment(at: Option<Timestamp>) -> Value {
    json!(at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)))
}
