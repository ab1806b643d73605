//! The whole history, for those who may read all of it: filters, pages, and what of each event is opened.
//! Whether somebody is an auditor is the caller's to check.

use std::collections::{BTreeMap, HashSet};

use countersign_events::{
    codec,
    event::Event,
    ids::{ApplicationId, UserId},
    recorded::{Actor, Position, Recorded, StreamName, Timestamp},
    sensitive::Personal,
    text::FieldError,
};
use countersign_projections::history::{self, Subject};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

mod export;
mod record;
pub mod statistics;

pub use export::{Export, LONGEST, Standing};
pub use record::{EventRecord, Shown};

use super::{App, AppError};
use crate::{
    projector,
    store::{Cursor, Span, StoreError, StoredEvent},
};

/// How hard a page is looked for: a page of a rare combination of filters may be short, or empty, and still say where
/// to go on.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// So many positions are looked at in one go.
    pub at_once: u32,
    /// So many goes.
    pub goes: usize,
}

impl Effort {
    /// A few milliseconds.
    pub const USUAL: Self = Self { at_once: 1_000, goes: 20 };
}

/// What to look for, as it was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the filters, by their names")]
pub struct Typed {
    pub stream: Option<String>,
    pub r#type: Option<String>,
    pub actor: Option<String>,
    pub application: Option<String>,
    pub user: Option<String>,
    pub since: Option<String>,
    pub until: Option<String>,
}

/// What to look for; everything that is named must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    stream: Option<StreamName>,
    subjects: Vec<Subject>,
    /// Recorded at this instant or later.
    since: Option<Timestamp>,
    /// Recorded before this instant.
    until: Option<Timestamp>,
}

impl Filter {
    /// Each part of it: ids, types and instants, and nothing that was typed.
    #[must_use]
    pub fn parts(&self) -> Vec<String> {
        let stream = self.stream.iter().map(|stream| format!("stream {stream}"));
        let subjects = self.subjects.iter().map(ToString::to_string);
        let since = self.since.iter().map(|at| format!("since {}", at.to_rfc3339()));
        let until = self.until.iter().map(|at| format!("until {}", at.to_rfc3339()));
        stream.chain(subjects).chain(since).chain(until).collect()
    }

    /// Whether everything is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it finds what it looks for in the index.
    #[must_use]
    pub const fn wants_index(&self) -> bool {
        !self.subjects.is_empty()
    }
}

/// A page of what was found.
#[derive(Debug)]
pub struct AuditPage {
    /// The events, in the order that was asked for.
    pub events: Vec<EventRecord>,
    /// Where the next page begins.
    pub next: Option<Position>,
    /// The answer knows of every event up to here.
    pub complete_to: Position,
}

/// The one rule of what auditors read of what is personal: usernames, official reasons, posts and comments, and where
/// requests came from. What a message says is for its recipient alone.
#[must_use]
pub const fn open_to_auditors(event: &Event) -> bool {
    match event {
        Event::Inbox(_) => false,
        Event::Account(_)
        | Event::Username(_)
        | Event::Application(_)
        | Event::Authorization(_)
        | Event::Post(_)
        | Event::Vote(_)
        | Event::Site(_)
        | Event::Projection(_) => true,
    }
}

/// Where a part of a filter finds its positions.
enum Source<'a> {
    Stream(&'a StreamName),
    Subject(&'a Subject),
}

impl App {
    /// Reads what was typed; the inner error says which filter has no such value, and which it could have.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn audit_filter(&self, typed: &Typed) -> Result<Result<Filter, FieldError>, AppError> {
        let mut filter = Filter::default();
        let wrong = |field, message: String| Ok(Err(FieldError::new(field, "unknown_value", message)));
        if let Some(text) = &typed.stream {
            match text.parse() {
                Ok(stream) => filter.stream = Some(stream),
                Err(error) => return wrong("stream", format!("`stream`: {error}; the categories are {CATEGORIES}.")),
            }
        }
        if let Some(name) = &typed.r#type {
            if !codec::TYPES.iter().any(|known| known.name == name) {
                let names: Vec<_> = codec::TYPES.iter().map(|known| known.name).collect();
                return wrong("type", format!("`type` is one of {}.", names.join(", ")));
            }
            filter.subjects.push(Subject::Type(name.clone()));
        }
        if let Some(text) = &typed.actor {
            match self.actor_named(text).await? {
                Some(actor) => filter.subjects.push(Subject::Actor(actor)),
                None => {
                    return wrong("actor", "`actor` is system, cli:NAME, user:ID, or a member's username.".to_owned());
                }
            }
        }
        if let Some(text) = &typed.application {
            match self.application_called(text).await? {
                Some(id) => filter.subjects.push(Subject::Application(id)),
                None => return wrong("application", "`application` is the id of one, or its client id.".to_owned()),
            }
        }
        if let Some(text) = &typed.user {
            match self.user_called(text).await? {
                Some(user) => filter.subjects.push(Subject::User(user)),
                None => return wrong("user", "`user` is a member's id or username.".to_owned()),
            }
        }
        for (field, text, into) in
            [("since", &typed.since, &mut filter.since), ("until", &typed.until, &mut filter.until)]
        {
            let Some(text) = text else { continue };
            match instant(text) {
                Some(at) => *into = Some(at),
                None => {
                    return wrong(
                        field,
                        format!(
                            "`{field}` is an instant such as 2026-01-31T12:00:00Z, or a day such as 2026-01-31. In an address a + is \
                             written %2B."
                        ),
                    );
                }
            }
        }
        Ok(Ok(filter))
    }

    async fn actor_named(&self, text: &str) -> Result<Option<Actor>, AppError> {
        match text.parse() {
            Ok(actor) => Ok(Some(actor)),
            Err(_) => Ok(self.user_called(text).await?.map(Actor::User)),
        }
    }

    async fn user_called(&self, text: &str) -> Result<Option<UserId>, AppError> {
        if let Ok(user) = text.parse::<UserId>() {
            return Ok(self.state.member(user).map(|_| user));
        }
        let account = self.models.account_named(&self.username_digest(text)).await?;
        Ok(account.map(|account| account.user_id))
    }

    async fn application_called(&self, text: &str) -> Result<Option<ApplicationId>, AppError> {
        if let Ok(id) = text.parse::<ApplicationId>() {
            return Ok(self.state.client(id).map(|_| id));
        }
        let Ok(client) = text.parse() else { return Ok(None) };
        Ok(self.models.application_by_client(&client).await?.map(|row| row.application_id))
    }

    /// A page of the history: what matches behind `after` (or before it, newest first), at most `limit`.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn audit(
        &self,
        filter: &Filter,
        after: Option<Position>,
        newest_first: bool,
        limit: u32,
        effort: Effort,
    ) -> Result<AuditPage, AppError> {
        let complete_to = self.complete_to(filter).await?;
        let span = self.span(filter, after, newest_first, complete_to).await?;
        let (positions, next) = self.search(filter, span, limit, effort).await?;
        let mut events = vec![];
        for stored in self.log.read_at(&positions).await? {
            events.push(self.as_record(stored).await?);
        }
        events.sort_by_key(|event| event.position);
        if newest_first {
            events.reverse();
        }
        Ok(AuditPage { events, next, complete_to })
    }

    /// How far what is looked for is known.
    async fn complete_to(&self, filter: &Filter) -> Result<Position, AppError> {
        let mut complete_to = self.log.head().await?.position;
        if filter.wants_index() {
            complete_to = complete_to.min(self.models.cursor(&history::PROJECTION).await?.position);
            // The index goes on without a stream that rests, and so is complete only to before it.
            if let Some(first) = self.models.parked(&history::PROJECTION).await?.first() {
                complete_to = complete_to.min(Position(first.position.0 - 1));
            }
        }
        Ok(complete_to)
    }

    async fn span(
        &self,
        filter: &Filter,
        after: Option<Position>,
        newest_first: bool,
        complete_to: Position,
    ) -> Result<Span, AppError> {
        let (mut above, mut below) = (Position(0), complete_to.next());
        if let Some(since) = filter.since {
            above = self.log.recorded_before(since).await?;
        }
        if let Some(until) = filter.until {
            below = below.min(self.log.recorded_before(until).await?.next());
        }
        match after {
            Some(after) if newest_first => below = below.min(after),
            Some(after) => above = above.max(after),
            None => {}
        }
        Ok(Span { above, below, newest_first })
    }

    /// The first positions of a stretch that match, and where to go on when there may be more.
    async fn search(
        &self,
        filter: &Filter,
        mut span: Span,
        limit: u32,
        effort: Effort,
    ) -> Result<(Vec<Position>, Option<Position>), AppError> {
        let wanted = limit as usize;
        let mut found = vec![];
        for _ in 0..effort.goes {
            let (matching, reached) = self.go(filter, span, limit + 1, effort.at_once).await?;
            found.extend(matching);
            if found.len() > wanted {
                found.truncate(wanted);
                let last = found.last().copied();
                return Ok((found, last));
            }
            match reached {
                None => return Ok((found, None)),
                Some(position) if span.newest_first => span.below = position,
                Some(position) => span.above = position,
            }
        }
        let reached = if span.newest_first { span.below } else { span.above };
        Ok((found, Some(reached)))
    }

    /// Looks at a part of a stretch. Answers what matches in it, and how far it went; `None` when to the end.
    async fn go(
        &self,
        filter: &Filter,
        span: Span,
        wanted: u32,
        at_once: u32,
    ) -> Result<(Vec<Position>, Option<Position>), AppError> {
        let sources = filter.stream.iter().map(Source::Stream).chain(filter.subjects.iter().map(Source::Subject));
        let sources: Vec<_> = sources.collect();
        let limit = if sources.len() > 1 { at_once } else { wanted };
        let reached = |positions: &[Position]| positions.last().copied().filter(|_| positions.len() >= limit as usize);
        let mut parts = vec![];
        for source in &sources {
            let positions = match source {
                Source::Stream(stream) => self.log.stream_positions(stream, span, limit).await?,
                Source::Subject(subject) => self.models.positions_of(subject, span, limit).await?,
            };
            if reached(&positions).is_none() && positions.is_empty() {
                return Ok((vec![], None));
            }
            parts.push(positions);
        }
        // The rarest leads: the part that reaches furthest, or to the end with the fewest.
        let how_far = |part: &Vec<Position>| match reached(part) {
            None => (1, u64::MAX - part.len() as u64),
            Some(position) if span.newest_first => (0, u64::MAX - position.0),
            Some(position) => (0, position.0),
        };
        let Some(leader) = (0..parts.len()).max_by_key(|index| how_far(&parts[*index])) else {
            let all = every(span, limit);
            return Ok((all.clone(), reached(&all)));
        };
        let mut matching = parts.swap_remove(leader);
        let reached = reached(&matching);
        for (_, source) in sources.iter().enumerate().filter(|(index, _)| *index != leader) {
            let also: HashSet<_> = match source {
                Source::Stream(stream) => self.log.of_stream(stream, &matching).await?,
                Source::Subject(subject) => self.models.among(subject, &matching).await?,
            }
            .into_iter()
            .collect();
            matching.retain(|position| also.contains(position));
        }
        Ok((matching, reached))
    }

    /// One event, for an auditor.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn audit_event(&self, position: Position) -> Result<EventRecord, AppError> {
        let stored = self.log.read_at(&[position]).await?.pop().ok_or(AppError::NotFound)?;
        self.as_record(stored).await
    }

    /// Waits until the read models have seen an event behind `position`, or the time is over.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn wait_behind(&self, position: Position, patience: std::time::Duration) -> Result<(), AppError> {
        let epoch = self.log.head().await?.epoch;
        self.projector.wait(Cursor { epoch, position: position.next() }, &projector::every_model(), patience).await;
        Ok(())
    }

    async fn as_record(&self, stored: StoredEvent) -> Result<EventRecord, AppError> {
        let (sentence, address, personal) = match self.keyring.read_where(&stored, open_to_auditors).await {
            Ok(mut recorded) => {
                let sentence = self.sentence(&recorded).whole();
                let address = recorded.envelope.client_address.as_ref().map(address);
                (sentence, address, shown(&mut recorded))
            }
            // An auditor sees that it is there, also when this program cannot read it.
            Err(error @ (StoreError::Corrupt { .. } | StoreError::VaultLacks { .. })) => {
                let address = stored.envelope.client_address.as_ref().map(address);
                let detail = match error {
                    StoreError::Corrupt { detail, .. } => detail,
                    error => error.to_string(),
                };
                (format!("This event cannot be read: {detail}."), address, BTreeMap::new())
            }
            Err(error) => return Err(error.into()),
        };
        let StoredEvent { envelope, type_name, type_version, payload } = stored;
        let through = envelope.on_behalf_of.and_then(|application| self.state.client(application));
        Ok(EventRecord {
            position: envelope.position,
            event_id: envelope.event_id,
            stream: envelope.stream.to_string(),
            version: envelope.version.0,
            r#type: type_name,
            type_version,
            recorded_at: envelope.recorded_at,
            actor: envelope.actor.to_string(),
            actor_name: self.actor_name(&envelope.actor),
            on_behalf_of: envelope.on_behalf_of,
            on_behalf_of_name: through.map(|client| client.name),
            client_address: address,
            request_id: envelope.request_id,
            command_id: envelope.command_id,
            causation: envelope.causation,
            sentence,
            payload: as_stored(&payload),
            personal,
        })
    }
}

/// What streams are called before their dash.
const CATEGORIES: &str = "account, username, application, authorization, inbox, post, vote, site and projection";

fn address(address: &Personal) -> String {
    match address {
        Personal::Clear(text) => text.clone(),
        Personal::Sealed { .. } => "[sealed]".to_owned(),
        Personal::Erased => "[erased]".to_owned(),
    }
}

fn shown(recorded: &mut Recorded<Event>) -> BTreeMap<&'static str, Shown> {
    recorded.event.personal_fields().into_iter().map(|(name, _, field)| (name, Shown::from(&*field))).collect()
}

/// The payload, byte for byte; as a text where it is no JSON.
fn as_stored(payload: &str) -> Box<RawValue> {
    RawValue::from_string(payload.to_owned()).or_else(|_| to_raw_value(payload)).expect("a text is JSON")
}

/// The positions at the beginning of a stretch: the log has no gap.
fn every(span: Span, limit: u32) -> Vec<Position> {
    let positions = span.above.0.saturating_add(1)..span.below.0;
    let limit = limit as usize;
    if span.newest_first {
        positions.rev().take(limit).map(Position).collect()
    } else {
        positions.take(limit).map(Position).collect()
    }
}

/// An instant, or the beginning of a day.
#[must_use]
pub fn instant(text: &str) -> Option<Timestamp> {
    let day = || text.parse::<chrono::NaiveDate>().ok()?.and_hms_opt(0, 0, 0).map(|at| at.and_utc());
    chrono::DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).ok().or_else(day)
}
