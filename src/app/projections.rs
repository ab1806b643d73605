//! Read models, for operators: how they do, whether they are as the log has them, building them anew, and what is
//! parked. Each act is on record, in the stream of the projection.

use std::{fmt, str::FromStr, sync::Weak, time::Duration};

use async_trait::async_trait;
use countersign_events::{
    decider::Decider,
    ids::{DataKeyId, SecretId},
    projection::{self, ProjectionCommand, ProjectionRecord},
    recorded::{Position, Timestamp},
    sensitive::Personal,
};
use countersign_projections::{INLINE, Projection, TRAILING};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::{App, AppError, Caller, Plan, READ_YOUR_WRITES};
use crate::{
    projector::{self, Checked, Mended, Notice, Pace, Progress, Rebuilt, Tell},
    soundness::{Soundness, read_through},
    store::{Cursor, EventLog, Head, Parked, StoreError, StoredEvent, Vault, facts::Opened},
};

/// A read model that is behind and has not moved for so long has an alarm.
const STILL: chrono::Duration = chrono::Duration::seconds(30);
/// How long until an event that could not be put on record is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How a read model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProjectionState)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is at the end of the log.
    Live,
    /// It is on the way there.
    CatchingUp,
    /// It is built, and nothing is there to be read until then.
    Building,
    /// It is read while a new one is built beside it.
    Rebuilding,
    /// Something stops it.
    Stopped,
    /// It follows, without the streams that rest.
    Incomplete,
}

impl State {
    /// Its stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::CatchingUp => "catching_up",
            Self::Building => "building",
            Self::Rebuilding => "rebuilding",
            Self::Stopped => "stopped",
            Self::Incomplete => "incomplete",
        }
    }
}

/// A read model and how it does.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Projection)]
pub struct ProjectionStatus {
    /// Its name.
    pub name: &'static str,
    /// `inline` (changes with the log) or `trailing` (follows it).
    pub kind: &'static str,
    /// The revision of its definition.
    pub revision: u32,
    /// The generation that is read; inline ones have none.
    pub generation: Option<u64>,
    /// How it does.
    pub state: State,
    /// The same in words, where there is more to say.
    pub detail: Option<String>,
    /// The end of the log.
    #[schema(value_type = u64)]
    pub head: Position,
    /// How far it came.
    #[schema(value_type = u64)]
    pub cursor: Position,
    /// Events it is behind.
    pub lag_events: u64,
    /// How long ago the first of them was recorded.
    pub lag_seconds: i64,
    /// It is behind and has not moved for half a minute.
    pub stalled: bool,
    /// What stopped it last.
    pub last_error: Option<String>,
    /// Streams that rest in it.
    pub parked_streams: usize,
    /// Events of these that it does not show.
    pub parked_events: usize,
    /// How far a rebuild is.
    pub rebuilding: Option<Pace>,
}

/// A parked event, as operators name it: `inbox-1234`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ParkedId {
    /// The read model.
    pub name: String,
    /// The event.
    pub position: Position,
}

impl fmt::Display for ParkedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name, self.position)
    }
}

/// A text that names no parked event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no parked event; one is a read model, a dash and a position, such as inbox-1234")]
pub struct MalformedParkedId(String);

impl FromStr for ParkedId {
    type Err = MalformedParkedId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.rsplit_once('-').filter(|(name, _)| !name.is_empty());
        let id = parts
            .and_then(|(name, number)| Some(Self { name: name.to_owned(), position: Position(number.parse().ok()?) }));
        // One event, one name.
        id.filter(|id| id.to_string() == text).ok_or_else(|| MalformedParkedId(text.to_owned()))
    }
}

impl TryFrom<String> for ParkedId {
    type Error = MalformedParkedId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ParkedId> for String {
    fn from(id: ParkedId) -> Self {
        id.to_string()
    }
}

/// What came of trying a parked stream again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retried {
    /// Whether it follows again.
    pub mended: Mended,
    /// The generation that was built because other streams had gone on meanwhile.
    pub rebuilt: Option<Rebuilt>,
}

/// The read model with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Projection> {
    INLINE.iter().chain(TRAILING).find(|projection| projection.name == name)
}

/// Puts what is parked on record, once each, until the site stops.
pub(super) async fn keep_record(site: Weak<App>, mut noticed: mpsc::UnboundedReceiver<Notice>) {
    while let Some(notice) = noticed.recv().await {
        loop {
            let Some(app) = site.upgrade() else { return };
            let Err(error) = app.note_parked(&notice).await else { break };
            tracing::warn!(projection = notice.projection, %error, "a parked event is not on record yet");
            drop(app);
            tokio::time::sleep(AGAIN).await;
        }
    }
}

impl App {
    /// How the trailing read models do.
    #[must_use]
    pub fn progress(&self) -> Vec<(&'static str, Progress)> {
        self.projector.progress()
    }

    /// Waits until every trailing read model that is read has seen `wanted`. Whether it has.
    pub async fn wait_for(&self, wanted: Cursor) -> bool {
        self.wait_for_models(wanted, &projector::every_model(), READ_YOUR_WRITES).await
    }

    /// Waits until this node knows of `wanted`, and each of these read models has seen it, at most `patience`. Whether it has.
    pub async fn wait_for_models(&self, wanted: Cursor, models: &[&str], patience: Duration) -> bool {
        let seen =
            async { self.wait_until_fed(wanted.position).await && self.projector.wait(wanted, models, patience).await };
        tokio::time::timeout(patience, seen).await.unwrap_or(false)
    }

    /// Waits until every trailing read model is read, or something stops it.
    pub async fn built(&self) {
        self.projector.built().await;
    }

    /// How every read model does, inline ones first.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn projections(&self) -> Result<Vec<ProjectionStatus>, AppError> {
        let mut all = vec![];
        for projection in INLINE {
            let head = self.log.head().await?.position;
            all.push(Self::status_of(projection, "inline", head, head, State::Live));
        }
        for projection in TRAILING {
            all.push(self.trailing_status(projection).await?);
        }
        Ok(all)
    }

    fn status_of(
        projection: &Projection,
        kind: &'static str,
        head: Position,
        cursor: Position,
        state: State,
    ) -> ProjectionStatus {
        ProjectionStatus {
            name: projection.name,
            kind,
            revision: projection.revision,
            generation: None,
            state,
            detail: None,
            head,
            cursor,
            lag_events: head.0.saturating_sub(cursor.0),
            lag_seconds: 0,
            stalled: false,
            last_error: None,
            parked_streams: 0,
            parked_events: 0,
            rebuilding: None,
        }
    }

    pub(super) async fn trailing_status(&self, projection: &'static Projection) -> Result<ProjectionStatus, AppError> {
        let follower = self.projector.follower(projection.name).ok_or(AppError::NotFound)?;
        // What it says first, then where the log ends: it is never ahead of it.
        let progress = follower.progress();
        let cursor = self.models.cursor(projection).await?.position;
        let head = self.log.head().await?.position;
        let parked = self.models.parked(projection).await?;
        let mut streams: Vec<_> = parked.iter().map(|parked| &parked.stream).collect();
        streams.sort();
        streams.dedup();
        let state = match () {
            () if progress.error.is_some() => State::Stopped,
            () if !progress.availability.answers => State::Building,
            () if progress.rebuilding.is_some() => State::Rebuilding,
            () if !parked.is_empty() => State::Incomplete,
            () if cursor < head => State::CatchingUp,
            () => State::Live,
        };
        let mut status = Self::status_of(projection, "trailing", head, cursor, state);
        if cursor < head
            && let Some(next) = self.log.replay(cursor, 1).await?.first()
        {
            let since = next.envelope.recorded_at;
            status.lag_seconds = (self.now() - since).num_seconds().max(0);
            status.stalled = self.now() - since.max(progress.moved_at) > STILL;
        }
        status.parked_streams = streams.len();
        status.parked_events = parked.len();
        status.detail = in_words(&status, &progress);
        status.generation = Some(self.models.current(projection).await?).filter(|generation| *generation > 0);
        status.last_error = progress.error;
        status.rebuilding = progress.rebuilding;
        Ok(status)
    }

    /// Holds a read model against a fresh fold of the log.
    ///
    /// # Errors
    /// [`AppError::NotFound`] when there is none of this name; [`AppError::Store`].
    pub async fn check_projection(&self, name: &str, tell: Tell<'_>) -> Result<Checked, AppError> {
        let projection = find(name).ok_or(AppError::NotFound)?;
        Ok(projector::check(projection, &self.sources, tell).await?)
    }

    /// Whether log and keys read: which side is damaged where a read model differs from the log.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn soundness(&self) -> Result<Soundness, AppError> {
        let mut site = Here { log: self.log.as_ref(), vault: self.vault.as_ref() };
        Ok(read_through(&mut site, Some(&self.keyring.opener())).await?)
    }

    /// Builds a trailing read model anew, beside the one that is read, and switches to it. `None` when that is being
    /// done already.
    ///
    /// # Errors
    /// [`AppError::NotFound`] when there is no trailing one of this name; [`AppError::Store`].
    pub async fn rebuild_projection(
        &self,
        caller: &Caller,
        name: &str,
        tell: Tell<'_>,
    ) -> Result<Option<Rebuilt>, AppError> {
        let follower = self.projector.follower(name).ok_or(AppError::NotFound)?;
        let Some(rebuilt) = follower.rebuild(tell).await? else { return Ok(None) };
        self.note_built(caller, name, rebuilt).await.map(Some)
    }

    async fn note_built(&self, caller: &Caller, name: &str, rebuilt: Rebuilt) -> Result<Rebuilt, AppError> {
        let generation = u32::try_from(rebuilt.generation).unwrap_or(u32::MAX);
        self.note_rebuilt(caller, name, generation, rebuilt.through).await?;
        // It may have been the last that did not fit the log.
        self.look_whole().await?;
        Ok(rebuilt)
    }

    /// Puts on record that a read model was built anew; an inline one has generation 0.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn note_rebuilt(
        &self,
        caller: &Caller,
        name: &str,
        generation: u32,
        through: Position,
    ) -> Result<(), AppError> {
        let at = self.now();
        let note = ProjectionCommand::NoteRebuilt { name: name.to_owned(), generation, through, at };
        self.record(caller, name, note).await
    }

    /// What is parked, in every trailing read model.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn parked(&self) -> Result<Vec<(ParkedId, Parked)>, AppError> {
        let mut all = vec![];
        for projection in TRAILING {
            let parked = self.models.parked(projection).await?;
            let id = |position| ParkedId { name: projection.name.to_owned(), position };
            all.extend(parked.into_iter().map(|parked| (id(parked.position), parked)));
        }
        Ok(all)
    }

    /// Tries the stream of a parked event again. Where it can be applied now, the read model is built anew, since what
    /// is applied late is out of order; until then it shows what it showed.
    ///
    /// # Errors
    /// [`AppError::NotFound`] when it is not parked.
    pub async fn retry_parked(&self, caller: &Caller, id: &ParkedId, tell: Tell<'_>) -> Result<Retried, AppError> {
        let parked = self.parked_event(id).await?;
        let (name, position, at) = (id.name.clone(), id.position, self.now());
        self.record(caller, &id.name, ProjectionCommand::NoteRetried { name, position, at }).await?;
        self.mend(caller, id, &parked, tell).await
    }

    /// Gives a parked event up, for good, in this read model and whatever is built of it later; then tries the rest of
    /// its stream.
    ///
    /// # Errors
    /// [`AppError::NotFound`] when it is not parked; a refusal when the reason does not do.
    pub async fn discard_parked(
        &self,
        caller: &Caller,
        id: &ParkedId,
        reason: &str,
        tell: Tell<'_>,
    ) -> Result<Retried, AppError> {
        let parked = self.parked_event(id).await?;
        let (name, position, at) = (id.name.clone(), id.position, self.now());
        let reason = Personal::from(reason);
        self.record(caller, &id.name, ProjectionCommand::Discard { name, position, reason, at }).await?;
        self.mend(caller, id, &parked, tell).await
    }

    async fn parked_event(&self, id: &ParkedId) -> Result<Parked, AppError> {
        let projection = TRAILING.iter().find(|projection| projection.name == id.name).ok_or(AppError::NotFound)?;
        let parked = self.models.parked(projection).await?;
        parked.into_iter().find(|parked| parked.position == id.position).ok_or(AppError::NotFound)
    }

    async fn mend(&self, caller: &Caller, id: &ParkedId, parked: &Parked, tell: Tell<'_>) -> Result<Retried, AppError> {
        let follower = self.projector.follower(&id.name).ok_or(AppError::NotFound)?;
        match follower.mend(&parked.stream).await? {
            Mended::Healed(applied) if applied > 0 => {
                let rebuilt = follower.rebuild_afterwards(tell).await?;
                let rebuilt = self.note_built(caller, &id.name, rebuilt).await?;
                let left = self.models.parked(follower.projection()).await?;
                let left = left.into_iter().find(|one| one.stream == parked.stream && one.error.is_some());
                Ok(Retried {
                    mended: left.map_or(Mended::Healed(applied), Mended::StillParked),
                    rebuilt: Some(rebuilt),
                })
            }
            mended => Ok(Retried { mended, rebuilt: None }),
        }
    }

    async fn note_parked(&self, notice: &Notice) -> Result<(), AppError> {
        let Parked { position, stream, error } = notice.parked.clone();
        let (name, stream, error) = (notice.projection.to_owned(), stream.to_string(), error.unwrap_or_default());
        let at: Timestamp = self.now();
        let note = ProjectionCommand::NoteParked { name, stream, position, error, at };
        self.record(&Caller::system(), notice.projection, note).await
    }

    async fn record(&self, caller: &Caller, name: &str, command: ProjectionCommand) -> Result<(), AppError> {
        let stream = projection::stream(name);
        self.execute(caller, || async {
            let (record, version) = self.load::<ProjectionRecord>(&stream).await?;
            Ok(Plan::answering(()).with(&stream, version, record.decide(command.clone())?))
        })
        .await?;
        Ok(())
    }
}

/// The log and the vault of this process, for reading them through.
struct Here<'a> {
    log: &'a dyn EventLog,
    vault: &'a dyn Vault,
}

#[async_trait]
impl Opened for Here<'_> {
    async fn head(&mut self) -> Result<Head, StoreError> {
        self.log.head().await
    }

    async fn events(&mut self, after: Position, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.log.read_log(after, limit).await
    }

    /// A look at every stream is for `doctor`; no read model shows versions.
    async fn disordered_streams(&mut self, _limit: u32) -> Result<Vec<String>, StoreError> {
        Ok(vec![])
    }

    async fn data_key(&mut self, id: DataKeyId) -> Result<Option<Vec<u8>>, StoreError> {
        self.vault.data_key(id).await
    }

    async fn holds(&mut self, id: SecretId) -> Result<bool, StoreError> {
        Ok(self.vault.held(id).await?.is_some())
    }
}

fn in_words(status: &ProjectionStatus, progress: &Progress) -> Option<String> {
    match (&progress.error, &progress.rebuilding, status.parked_streams) {
        (Some(error), ..) => Some(format!("stopped: {error}")),
        (None, None, _) if status.state == State::Building => Some("not read until it has caught up".to_owned()),
        (None, Some(pace), _) => {
            let left = pace.seconds_left.map(|left| format!(", {left} s left")).unwrap_or_default();
            Some(format!("{}: {} of {} events{left}", status.state.as_str(), pace.done, pace.of))
        }
        (None, None, 0) if status.stalled => Some("behind, and has not moved for half a minute".to_owned()),
        (None, None, 0) => None,
        (None, None, 1) => Some("incomplete: 1 stream parked".to_owned()),
        (None, None, streams) => Some(format!("incomplete: {streams} streams parked")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_event_has_one_name() {
        let id: ParkedId = "front_page-1234".parse().unwrap();
        assert_eq!((id.name.as_str(), id.position), ("front_page", Position(1234)));
        for text in ["", "inbox", "-7", "inbox-", "inbox-07", "inbox-+7", "inbox--7x", "7"] {
            text.parse::<ParkedId>().unwrap_err();
        }
    }
}
