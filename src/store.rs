//! What is stored and what can be asked of it: the log, the read models, the vault, as traits, so
//! that the rest of the shell names no database.

mod ask;
mod bulk;
pub mod changes;
mod convert;
mod examine;
pub mod facts;
pub mod generations;
mod log;
mod models;
pub mod parts;
pub mod postgres;
mod replay;
pub mod rows;
pub mod shared;
pub mod sqlite;
mod statements;
pub mod vault;

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use countersign_events::{
    application::Standing,
    codec::{CODEC, CodecError},
    event::Event,
    ids::{ApplicationId, CommentId, EventId, MessageId, PostId, TokenId, UserId, UsernameDigest},
    recorded::{Envelope, Position, Recorded, StreamName, Timestamp, Version},
    redirect_uri::Purpose,
    scope::Scope,
    token::{ClientId, TokenDigest},
};
use countersign_projections::{Change, Projection, Table, Value, history::Subject};
use uuid::Uuid;

pub use generations::{Availability, Build, BuildPurpose, Generation, Generations, Made, Parked, Snapshot, Step};

use crate::judged_time::Anchor;
use rows::{
    AccountRow, ApplicationRow, AuthorizationRow, CommentPlace, CommentRow, NotificationRow, PostCounts, PostRow,
    TokenRow,
};
pub use vault::{Aged, Belongings, Link, Vault, VaultIdentity};

/// Why storing or reading failed. What a stranger reads never contains it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row that must be new exists.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The database does not answer, is full, or is held by somebody else.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// A read model is not there yet: it is being built from the log.
    #[error("the read model {0} is being built from the log")]
    Building(&'static str),
    /// What is stored cannot be read.
    #[error("the log or a read model is corrupt at position {position}: {detail}")]
    Corrupt {
        /// Where, as far as a position is known.
        position: Position,
        /// What is wrong.
        detail: String,
    },
    /// The log names a key or a password verifier of a member who is not erased, and the vault has none that fits: it is
    /// older than the log, or damaged. Nothing is written for them, since it could never be read.
    #[error(
        "member {member} is not erased, and the vault has no {what} of theirs: the vault is older than the log, or damaged. \
         Stop the site and put the newest vault back; `countersign doctor` says which"
    )]
    VaultLacks {
        /// The member.
        member: UserId,
        /// What of theirs: a data key, a password verifier.
        what: &'static str,
    },
    /// The log is not the newest that there was, so that nothing may be appended to it. The text says how that is known
    /// and what to do.
    #[error("{0}")]
    NotTheNewest(String),
}

/// The end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The epoch: raised by whatever may have cut the log (a restore, a promotion).
    pub epoch: u32,
    /// The last position; 0 when the log is empty.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// How far a reader came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The epoch it read in.
    pub epoch: u32,
    /// The last position it processed.
    pub position: Position,
}

impl From<Head> for Cursor {
    fn from(head: Head) -> Self {
        Self { epoch: head.epoch, position: head.position }
    }
}

/// How far something came, and the id of the event there: a position alone fits every log that is long enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// How far.
    pub cursor: Cursor,
    /// The event at that position; `None` before the first, and where an earlier release noted the position.
    pub event: Option<EventId>,
}

/// What the log's database says of its site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogIdentity {
    /// Which site it is; `None` until it has adopted an id.
    pub site: Option<Uuid>,
    /// How far the vault had come when that was last noted here.
    pub vault_seen: Cursor,
}

/// An event as it is stored: personal fields sealed, payload as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Where, when, who.
    pub envelope: Envelope,
    /// The stored type name.
    pub type_name: String,
    /// The version of its payload.
    pub type_version: u16,
    /// The payload, JSON, exactly as written.
    pub payload: String,
}

/// Which command it is: one id, scoped to who sent it and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommandKey {
    /// Actor and route.
    pub scope: String,
    /// The id that its sender gave it.
    pub id: String,
}

/// What came of a command, for whoever repeats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Which command.
    pub key: CommandKey,
    /// Digest of its body: the same id with another body is refused.
    pub body: [u8; 32],
    /// The answer, as its route wrote it; never a secret.
    pub answer: String,
    /// The head right after it.
    pub position: Position,
    /// When.
    pub recorded_at: Timestamp,
}

/// A stretch of the log and the end it is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Only positions behind this one.
    pub above: Position,
    /// Only positions before this one.
    pub below: Position,
    /// From the end to the beginning.
    pub newest_first: bool,
}

/// The log, for reading.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// The end of the log.
    async fn head(&self) -> Result<Head, StoreError>;
    /// Events after `after`, in order, at most `limit`; positions have no gap.
    async fn read_log(&self, after: Position, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;
    /// The same for a replay: without client address, ids of request and command, and causation, which no projection looks at.
    async fn replay(&self, after: Position, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;
    /// Events of a stream after version `after`, in order, all of them.
    async fn read_stream(&self, stream: &StreamName, after: Version) -> Result<Vec<StoredEvent>, StoreError>;
    /// The last event of each of these streams, in any order; streams without one are left out.
    async fn newest_of(&self, streams: &[StreamName]) -> Result<Vec<StoredEvent>, StoreError>;
    /// The events at these positions, in any order; those that do not exist are left out.
    async fn read_at(&self, positions: &[Position]) -> Result<Vec<StoredEvent>, StoreError>;
    /// The positions of a stream's events in a stretch, in its direction, at most `limit`.
    async fn stream_positions(&self, stream: &StreamName, span: Span, limit: u32) -> Result<Vec<Position>, StoreError>;
    /// Those of these positions whose events are of this stream, in any order.
    async fn of_stream(&self, stream: &StreamName, positions: &[Position]) -> Result<Vec<Position>, StoreError>;
    /// The last position that was recorded before `at`; 0 when there is none.
    async fn recorded_before(&self, at: Timestamp) -> Result<Position, StoreError>;
    /// How many events there are; it walks the log.
    async fn count(&self) -> Result<u64, StoreError>;
    /// The id of the event at a position, if there is one.
    async fn event_id(&self, position: Position) -> Result<Option<EventId>, StoreError>;
    /// Where the epoch began that follows this one, if one does.
    async fn cut_after(&self, epoch: u32) -> Result<Option<Position>, StoreError>;
    /// Which site's log this is.
    async fn identity(&self) -> Result<LogIdentity, StoreError>;
    /// The outcome of a command, when it is known.
    async fn outcome(&self, key: &CommandKey) -> Result<Option<Outcome>, StoreError>;
    /// What time it was when that was stored last; `None` before the first time.
    async fn anchor(&self) -> Result<Option<Anchor>, StoreError>;
}

/// What a writer knows under the lock of the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The end of the log.
    pub head: Head,
    /// The versions of the streams that were asked for; those without events are left out.
    pub versions: Vec<(StreamName, Version)>,
    /// Now, by the clock that all writers share; `None` when the only writer's own will do.
    pub now: Option<Timestamp>,
}

/// The one writing connection to the log's database. `begin` … `commit` is one transaction;
/// dropping out of it in between is `rollback`.
#[async_trait]
pub trait LogWriter: Send {
    /// Begins, locks the head, and then reads it and the versions of these streams.
    async fn begin(&mut self, streams: &[StreamName]) -> Result<Begun, StoreError>;
    /// The outcomes of these commands, as far as known.
    async fn outcomes(&mut self, keys: &[CommandKey]) -> Result<Vec<Outcome>, StoreError>;
    /// The id of the event at a position, as this transaction sees it.
    async fn event_id_at(&mut self, position: Position) -> Result<Option<EventId>, StoreError>;
    /// Inserts events; rows written must equal rows meant.
    async fn insert(&mut self, events: &[StoredEvent]) -> Result<(), StoreError>;
    /// Applies changes to the inline read models.
    async fn apply(&mut self, changes: Vec<Change>) -> Result<(), StoreError>;
    /// Records outcomes.
    async fn record(&mut self, outcomes: &[Outcome]) -> Result<(), StoreError>;
    /// Moves the head and commits, durably.
    async fn commit(&mut self, head: Head) -> Result<(), StoreError>;
    /// Undoes everything since `begin`; without a transaction it does nothing.
    async fn rollback(&mut self) -> Result<(), StoreError>;
    /// Keeps other processes from writing, until [`Self::together`] or the end of the connection. `false`: there are
    /// others.
    async fn alone(&mut self) -> Result<bool, StoreError>;
    /// Lets others write again.
    async fn together(&mut self) -> Result<(), StoreError>;
    /// Creates the tables of an inline projection anew, empty, outside a transaction of `begin`; the
    /// caller then applies the whole log to it. A crash in between leaves no revision recorded, so the next start begins again.
    async fn reset_inline(&mut self, projection: &'static Projection) -> Result<(), StoreError>;
    /// The recorded revision of an inline projection; `None` when it was never built, or a table of it is gone.
    async fn inline_revision(&mut self, name: &str) -> Result<Option<u32>, StoreError>;
    /// Records the revision of an inline projection as built.
    async fn set_inline_revision(&mut self, name: &str, revision: u32) -> Result<(), StoreError>;
    /// Moves the cut-off of dead rows forward; an earlier one changes nothing.
    async fn raise_cut_off(&mut self, cut_off: Timestamp) -> Result<(), StoreError>;
    /// Moves the cut-off back, because somebody says so; a later one changes nothing. Rows that have left come back when
    /// the read model is built anew.
    async fn lower_cut_off(&mut self, cut_off: Timestamp) -> Result<(), StoreError>;
    /// Stores what time it is; neither time goes back. What is stored then: another node may have been further.
    async fn raise_anchor(&mut self, anchor: Anchor) -> Result<Anchor, StoreError>;
    /// The same, whatever was stored: a time that one start read was contradicted.
    async fn set_anchor(&mut self, anchor: Anchor) -> Result<(), StoreError>;
    /// Deletes rows of an inline table that are dead by the cut-off, at most `limit`, and returns their keys. With a token
    /// goes when it was last used.
    async fn purge(&mut self, table: &'static Table, limit: u32) -> Result<Vec<Vec<Value>>, StoreError>;
    /// Deletes outcomes recorded before `before`, at most `limit`. How many.
    async fn forget_outcomes(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
    /// Notes when tokens were last used; tokens that are not there any more and those of erased members are left out, and
    /// an earlier use changes nothing.
    async fn note_uses(&mut self, uses: &[(TokenDigest, Timestamp)]) -> Result<(), StoreError>;
    /// Forgets when a member's tokens were used.
    async fn forget_uses(&mut self, user: UserId) -> Result<(), StoreError>;
    /// Keeps the id of the site, unless there is one already.
    async fn identify(&mut self, site: Uuid) -> Result<(), StoreError>;
    /// Notes how far the vault has come. Unless `lower` is set, less than what is noted changes nothing.
    async fn note_vault(&mut self, seen: Cursor, lower: bool) -> Result<(), StoreError>;
    /// Tries once to leave no copy of what was changed or deleted in the files beside the database; whether none is left.
    async fn truncate(&mut self) -> Result<bool, StoreError>;
}

/// A page of a list, newest first, from before a position.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Only rows before this one; `None` for the newest.
    pub before: Option<Position>,
    /// At most so many.
    pub limit: u32,
}

/// Kinds of notifications, of which there are five; fewer stand here several times.
pub type Kinds = [&'static str; 5];

/// Which applications reviewers list, and from where on.
#[derive(Debug, Clone)]
pub struct ReviewFilter {
    /// Only what waits for a reviewer, itself or a change of it, in the order in which it waits; else all in the order
    /// in which they were asked for.
    pub waiting: bool,
    /// Newest first.
    pub newest_first: bool,
    /// Only in this standing.
    pub standing: Option<Standing>,
    /// Only for this purpose.
    pub purpose: Option<Purpose>,
    /// Only with this scope among what holds or is asked for.
    pub scope: Option<Scope>,
    /// Only of this member.
    pub owner: Option<UserId>,
    /// Only with a claim of this reviewer that holds.
    pub claimed_by: Option<UserId>,
    /// Only without a claim that holds.
    pub unclaimed: bool,
    /// Only what has waited since before this.
    pub waiting_before: Option<Timestamp>,
    /// Only what has not waited since before this.
    pub not_waiting_before: Option<Timestamp>,
    /// When it is asked: claims lapse.
    pub now: Timestamp,
    /// Behind this one.
    pub after: Option<(Timestamp, ApplicationId)>,
    /// At most so many.
    pub limit: u32,
}

/// The read models, for reading, and their generations.
#[async_trait]
pub trait ReadModels: Generations {
    /// The cut-off of dead rows: none that was over before it is kept, and none counts that has not left yet
    /// ([`Table::is_dead`]).
    async fn cut_off(&self) -> Result<Timestamp, StoreError>;

    /// Inline: a member.
    async fn account(&self, user: UserId) -> Result<Option<AccountRow>, StoreError>;
    /// Inline: the member with this username.
    async fn account_named(&self, username: &UsernameDigest) -> Result<Option<AccountRow>, StoreError>;
    /// Inline: members by id after `after`, at most `limit`; for lists and for loading state.
    async fn accounts(&self, after: Option<UserId>, limit: u32) -> Result<Vec<AccountRow>, StoreError>;
    /// Inline: an application.
    async fn application(&self, id: ApplicationId) -> Result<Option<ApplicationRow>, StoreError>;
    /// Inline: the application that answers to this client id.
    async fn application_by_client(&self, client: &ClientId) -> Result<Option<ApplicationRow>, StoreError>;
    /// Inline: a member's applications, newest first.
    async fn applications_of(&self, owner: UserId) -> Result<Vec<ApplicationRow>, StoreError>;
    /// Inline: every application after a request, oldest first, at most `limit`; for loading state.
    async fn applications(
        &self,
        after: Option<(Timestamp, ApplicationId)>,
        limit: u32,
    ) -> Result<Vec<ApplicationRow>, StoreError>;
    /// Inline: whose a client id was that was rotated away, and when.
    async fn former_client(&self, client: &ClientId) -> Result<Option<(ApplicationId, Timestamp)>, StoreError>;
    /// Inline: applications as reviewers list them.
    async fn review(&self, filter: &ReviewFilter) -> Result<Vec<ApplicationRow>, StoreError>;
    /// Inline: how many of them there are, behind the one that the filter begins at; its limit counts for nothing.
    async fn review_count(&self, filter: &ReviewFilter) -> Result<u64, StoreError>;
    /// Inline: how many applications are in a standing.
    async fn standing_count(&self, standing: Standing) -> Result<u64, StoreError>;
    /// Inline: how many wait for a reviewer longer than the one that waits since then.
    async fn queue_ahead(&self, since: Timestamp, id: ApplicationId) -> Result<u64, StoreError>;
    /// Inline: since when the applications that were answered last had waited, and when they were answered.
    async fn recent_answers(&self, limit: u32) -> Result<Vec<(Timestamp, Timestamp)>, StoreError>;
    /// Inline: a member's authorizations that are in force, newest first.
    async fn authorizations_of(&self, user: UserId) -> Result<Vec<AuthorizationRow>, StoreError>;
    /// Inline: every authorization after a key, at most `limit`; for loading state.
    async fn authorizations(
        &self,
        after: Option<(ApplicationId, UserId)>,
        limit: u32,
    ) -> Result<Vec<AuthorizationRow>, StoreError>;
    /// Inline: a member's tokens, newest first.
    async fn tokens_of(&self, user: UserId) -> Result<Vec<TokenRow>, StoreError>;
    /// Inline: a token by its id.
    async fn token(&self, id: TokenId) -> Result<Option<TokenRow>, StoreError>;
    /// Inline: every token after a digest, at most `limit`; for loading state.
    async fn tokens(&self, after: Option<[u8; 32]>, limit: u32) -> Result<Vec<TokenRow>, StoreError>;

    /// Beside them: when a member's tokens were last used, as far as it is written down.
    async fn uses_of(&self, user: UserId) -> Result<HashMap<TokenDigest, Timestamp>, StoreError>;

    /// Trailing `inbox`: a member's notifications, newest first; `messages` only those that are private messages.
    async fn notifications(
        &self,
        user: UserId,
        unread: bool,
        messages: bool,
        page: Page,
    ) -> Result<Vec<NotificationRow>, StoreError>;
    /// Trailing `inbox`: the same, of these kinds alone.
    async fn notifications_of(
        &self,
        user: UserId,
        kinds: Kinds,
        page: Page,
    ) -> Result<Vec<NotificationRow>, StoreError>;
    /// Trailing `inbox`: where notifications of these kinds are that are newer than one, the next newer first.
    async fn newer_notifications(
        &self,
        user: UserId,
        unread: bool,
        kinds: Kinds,
        than: Position,
        limit: u32,
    ) -> Result<Vec<Position>, StoreError>;
    /// Trailing `inbox`: one notification of a member.
    async fn notification(&self, user: UserId, id: uuid::Uuid) -> Result<Option<NotificationRow>, StoreError>;
    /// Trailing `inbox`: how many a member has not read.
    async fn unread_count(&self, user: UserId) -> Result<u64, StoreError>;
    /// Trailing `inbox`: messages whose secret is still held after its time.
    async fn overdue_secrets(&self, now: Timestamp, limit: u32) -> Result<Vec<(UserId, MessageId)>, StoreError>;
    /// Trailing `front_page`: what ranks every post created at or after `since`.
    async fn post_counts(&self, since: Option<Timestamp>) -> Result<Vec<PostCounts>, StoreError>;
    /// Trailing `front_page`: these posts, in any order. Texts that take more bytes with their HTML are left out.
    async fn posts(&self, ids: &[PostId], bytes: usize) -> Result<Vec<PostRow>, StoreError>;
    /// Trailing `front_page`: what the text of each of these posts takes with its HTML, in any order.
    async fn post_bytes(&self, ids: &[PostId]) -> Result<Vec<usize>, StoreError>;
    /// Trailing `front_page`: where a post's comments stand, oldest first, after that instant and id.
    async fn comment_places(
        &self,
        post: PostId,
        after: Option<(Timestamp, CommentId)>,
        limit: u32,
    ) -> Result<Vec<CommentPlace>, StoreError>;
    /// Trailing `front_page`: when a comment on this post was posted; `None` when there is none.
    async fn comment_at(&self, post: PostId, id: CommentId) -> Result<Option<Timestamp>, StoreError>;
    /// Trailing `front_page`: these comments, in any order.
    async fn comments(&self, ids: &[CommentId]) -> Result<Vec<CommentRow>, StoreError>;
    /// Trailing `statistics`: how many steps of each kind fell into each week, from an instant to before another: kind,
    /// weeks since the first instant, number.
    async fn review_steps(&self, since: Timestamp, until: Timestamp) -> Result<Vec<(String, u32, u64)>, StoreError>;
    /// Trailing `statistics`: since when what was answered from an instant on had waited, and when it was answered,
    /// newest first, at most `limit`.
    async fn review_answers(&self, since: Timestamp, limit: u32) -> Result<Vec<(Timestamp, Timestamp)>, StoreError>;
    /// Trailing `history`: where events of a subject are in a stretch of the log, in its direction, at most `limit`.
    async fn positions_of(&self, subject: &Subject, span: Span, limit: u32) -> Result<Vec<Position>, StoreError>;
    /// Trailing `history`: those of these positions whose events are of a subject, in any order.
    async fn among(&self, subject: &Subject, positions: &[Position]) -> Result<Vec<Position>, StoreError>;
}

impl StoreError {
    /// What happened, without the sentence around it: where the line of a log says that already.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Unavailable(told) => told.clone(),
            error => error.to_string(),
        }
    }
}

/// What was asked of a read model, for whoever can do without an answer while it is being built.
///
/// # Errors
/// Every other error.
pub fn unless_building<T: Default>(asked: Result<T, StoreError>) -> Result<T, StoreError> {
    if let Err(StoreError::Building(_)) = asked { Ok(T::default()) } else { asked }
}

/// The recorded form of a stored event: its type read, its personal fields as given by `open`.
///
/// # Errors
/// [`StoreError::Corrupt`] when the payload cannot be read.
pub fn decode(stored: &StoredEvent) -> Result<Recorded<Event>, StoreError> {
    let corrupt =
        |error: CodecError| StoreError::Corrupt { position: stored.envelope.position, detail: error.to_string() };
    let event = CODEC.decode(&stored.type_name, stored.type_version, &stored.payload).map_err(corrupt)?;
    Ok(Recorded { envelope: stored.envelope.clone(), event })
}

/// A position, version or other count as databases keep it.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// An instant from the microseconds that are stored.
pub(crate) fn from_micros(micros: i64) -> Timestamp {
    DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
#[path = "../tests/it/postgres_server/throw_away.rs"]
#[expect(clippy::disallowed_methods, reason = "a name for a database that nobody else has")]
mod throw_away;
