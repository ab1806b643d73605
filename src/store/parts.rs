//! The parts of a site as they lie there, read without changing or making anything, so that they can be compared before
//! any of them is opened. What it means that one is missing, older or another site's is for `crate::parts` to say; how a
//! table of either database is read is for the stores.

use async_trait::async_trait;
use countersign_events::{
    ids::{DataKeyId, EventId},
    recorded::Position,
};
use countersign_projections::{Projection, TRAILING};
use uuid::Uuid;

use super::{Cursor, LogIdentity, Mark, StoreError, ask::Columns, convert, signed, statements, vault};

const LAST: &str = "select position, event_id\nfrom events\norder by position desc\nlimit 1";

/// What lies in the place of a part.
#[derive(Debug, Clone, Default)]
pub enum Part<T> {
    /// Nothing.
    #[default]
    Missing,
    /// A file or tables that hold nothing.
    Empty,
    /// It.
    Holds(T),
    /// Something that cannot be read, for this reason.
    Unreadable(String),
}

impl<T> Part<T> {
    /// What it holds.
    #[must_use]
    pub const fn held(&self) -> Option<&T> {
        match self {
            Self::Holds(part) => Some(part),
            Self::Missing | Self::Empty | Self::Unreadable(_) => None,
        }
    }

    /// Whether there is nothing in it that could be lost.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::Missing | Self::Empty)
    }
}

/// The log.
#[derive(Debug, Clone, Copy)]
pub struct LogPart {
    /// Which site's it is, and what it has noted of the vault.
    pub identity: LogIdentity,
    /// Its end.
    pub end: Mark,
    /// The id of its event where the vault has seen its newest.
    pub at_seen: Option<EventId>,
    /// Where the epoch began that follows the one in which the vault has seen its newest: what was behind it was cut off
    /// by a promotion, on record.
    pub cut: Option<Position>,
}

/// The vault.
#[derive(Debug, Clone)]
pub struct VaultPart {
    /// Which site's it is; `None` until it has adopted an id.
    pub site: Option<Uuid>,
    /// The newest event that it has seen in the log.
    pub seen: Mark,
    /// The id and the wrapped data key of the site.
    pub site_key: Option<(DataKeyId, Vec<u8>)>,
    /// Whether it holds nothing of any member and has seen no event: it was just made.
    pub is_fresh: bool,
}

/// A trailing read model.
#[derive(Debug, Clone, Copy)]
pub struct ModelPart {
    /// Its name.
    pub name: &'static str,
    /// How far it came.
    pub mark: Mark,
    /// The id of the log's event there.
    pub in_log: Option<EventId>,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// The log.
    pub log: Part<LogPart>,
    /// The vault.
    pub vault: Part<VaultPart>,
    /// The read models that the log points at, as far as they are there.
    pub models: Vec<ModelPart>,
    /// Whether files of read models lie there, whatever points at them. Never, where they lie in the log's database.
    pub has_models: bool,
}

/// How often the parts are read once more, when a running site told the vault something in between.
const RACES: u32 = 3;

/// Looks at the parts, and again where a running site told the vault something in between.
pub(super) async fn look<F: Future<Output = Parts> + Send>(once: impl Fn() -> F + Send + Sync) -> Parts {
    let mut parts = once().await;
    for _ in 0..RACES {
        if !parts.vault_is_behind() {
            break;
        }
        parts = once().await;
    }
    parts
}

/// A database that is only read, with the tables of a log or of a vault, or without.
#[async_trait]
pub(super) trait Looks: Send {
    /// Its rows.
    type Row: Columns;

    /// Whether a table is there.
    async fn has_table(&mut self, name: &str) -> Result<bool, StoreError>;
    /// The first row that answers a statement with these values.
    async fn row(&mut self, text: &'static str, values: &[i64]) -> Result<Option<Self::Row>, StoreError>;
    /// How far a trailing read model came, where it is this log's and can be read. `has_ids`: cursors may hold the ids of
    /// events.
    async fn model(&mut self, projection: &'static Projection, has_ids: bool) -> Result<Option<Mark>, StoreError>;
}

impl<T> Part<T> {
    /// What could not be read.
    pub(super) fn unreadable(error: StoreError) -> Self {
        Self::Unreadable(match error {
            StoreError::Unavailable(told) => told,
            error => error.to_string(),
        })
    }
}

/// Whether these tables are there. Where some are, the others were dropped.
async fn must_have_all_or_none(database: &mut impl Looks, tables: &[&str]) -> Result<bool, StoreError> {
    let mut gone = vec![];
    for table in tables {
        if !database.has_table(table).await? {
            gone.push(*table);
        }
    }
    match gone.first() {
        None => Ok(true),
        Some(_) if gone.len() == tables.len() => Ok(false),
        Some(table) => Err(StoreError::Unavailable(format!("the table {table} is missing"))),
    }
}

/// The vault in a database.
pub(super) async fn vault_in(database: &mut impl Looks) -> Result<Part<VaultPart>, StoreError> {
    if !must_have_all_or_none(database, &["data_keys", "verifiers", "held_secrets", "sessions", "links"]).await? {
        return Ok(Part::Missing);
    }
    let site_key = database.row(vault::statements::SITE_KEY, &[]).await?;
    let site_key = site_key.as_ref().map(vault::site_key).transpose()?;
    // A vault of a release before may have none.
    let identity =
        if database.has_table("site").await? { database.row(vault::statements::SITE, &[]).await? } else { None };
    let identity = identity.as_ref().map(vault::identity).transpose()?;
    let holds = database.row(vault::statements::HOLDS, &[]).await?.is_some();
    let seen = identity.map(|identity| identity.seen).unwrap_or_default();
    let is_fresh = !holds && seen == Mark::default();
    if is_fresh && site_key.is_none() {
        return Ok(Part::Empty);
    }
    let site = identity.map(|identity| identity.site);
    Ok(Part::Holds(VaultPart { site, seen, site_key, is_fresh }))
}

/// The log in a database, and the read models that it points at. `seen` is what the vault has seen of it.
pub(super) async fn log_in(
    database: &mut impl Looks,
    seen: Mark,
) -> Result<(Part<LogPart>, Vec<ModelPart>), StoreError> {
    if !must_have_all_or_none(database, &["events", "head", "epochs", "generations"]).await? {
        return Ok((Part::Missing, vec![]));
    }
    let Some(last) = database.row(LAST, &[]).await? else { return Ok((Part::Empty, vec![])) };
    let headless = || StoreError::Unavailable("it has lost its head".to_owned());
    let head = convert::head(&database.row(statements::HEAD, &[]).await?.ok_or_else(headless)?)?;
    let end = Mark {
        cursor: Cursor { epoch: head.epoch, position: convert::position(&last)? },
        event: Some(convert::event_id(&last)?),
    };
    let has_ids = database.has_table("site").await?;
    let identity = if has_ids { database.row(statements::SITE, &[]).await? } else { None };
    let identity = identity.as_ref().map(convert::log_identity).transpose()?.unwrap_or_default();
    let at_seen = event_at(database, seen.cursor.position).await?;
    let next = database.row(statements::NEXT_EPOCH, &[i64::from(seen.cursor.epoch)]).await?;
    let cut = next.as_ref().map(convert::position).transpose()?;
    let mut models = vec![];
    for projection in TRAILING {
        let Some(mark) = database.model(projection, has_ids).await? else { continue };
        let in_log = event_at(database, mark.cursor.position).await?;
        models.push(ModelPart { name: projection.name, mark, in_log });
    }
    Ok((Part::Holds(LogPart { identity, end, at_seen, cut }), models))
}

async fn event_at(database: &mut impl Looks, position: Position) -> Result<Option<EventId>, StoreError> {
    let found = database.row(statements::EVENT_ID_AT, &[signed(position.0)]).await?;
    found.as_ref().map(convert::event_id).transpose()
}

impl Parts {
    /// Whether the vault was read before the log noted what it has seen, or is an older one.
    fn vault_is_behind(&self) -> bool {
        let seen = |vault: &VaultPart| vault.seen.cursor;
        let noted = self.log.held().map(|log| log.identity.vault_seen);
        self.vault.held().map(seen).zip(noted).is_some_and(|(seen, noted)| seen < noted)
    }

    /// Whether there is nothing of a site.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.holds_nothing() && !self.has_models
    }

    /// Whether log and vault have nothing in them that could be lost.
    #[must_use]
    pub fn holds_nothing(&self) -> bool {
        self.log.is_nothing() && (self.vault.is_nothing() || self.vault.held().is_some_and(|vault| vault.is_fresh))
    }
}
