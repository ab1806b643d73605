//! What a site under examination is asked alike in both databases, over connections that only read.

use std::collections::HashSet;

use async_trait::async_trait;
use countersign_events::{
    account::AccountStanding,
    ids::{DataKeyId, SecretId},
    recorded::{Position, Timestamp},
};
use countersign_projections::Projection;
use uuid::Uuid;

use super::{
    Head, Snapshot, StoreError, StoredEvent,
    ask::{Ask, Columns, ask},
    convert,
    facts::{LogFacts, Members, Opened, Shown},
    from_micros, signed,
    statements::{self, event_columns},
    vault,
};

/// Members that are compared with the vault at once.
const MEMBERS: i64 = 500;

/// Walks the log: for whoever is about to destroy what no event names.
pub(super) const COUNT: &str = "select count(*) as number\nfrom events";
/// Events of streams whose names lie between two.
pub(super) const READ_BETWEEN: &str = concat!(
    "select ",
    event_columns!(),
    "\nfrom events\nwhere position > $1 and position <= $2 and stream >= $3 and stream < $4\norder by position"
);
pub(super) const LAST_EVENT: &str = "select position, recorded_at\nfrom events\norder by position desc\nlimit 1";
pub(super) const EPOCHS: &str = "select epoch, began_after\nfrom epochs\norder by epoch";
pub(super) const FIRST_HOLE: &str = "select before, position\nfrom (\n    \
    select position, lag(position, 1, cast(0 as bigint)) over (order by position) as before\n    from events\n\
    ) as walked\nwhere position <> before + 1\norder by position\nlimit 1";
/// A walk along the index of streams.
pub(super) const DISORDERED_STREAMS: &str = "select distinct stream\nfrom (\n    \
    select stream, version, position,\n    \
    lag(version, 1, cast(0 as bigint)) over (partition by stream order by version) as version_before,\n    \
    lag(position, 1, cast(0 as bigint)) over (partition by stream order by version) as position_before\n    \
    from events\n) as walked\nwhere version <> version_before + 1 or position <= position_before\nlimit $1";
#[cfg(test)]
pub(super) const ALL: &[&str] = &[LAST_EVENT, COUNT, EPOCHS, FIRST_HOLE, DISORDERED_STREAMS, READ_BETWEEN];

/// A connection to one database of a site that only reads.
#[async_trait]
pub(super) trait Examined: Send {
    /// Its rows.
    type Row: Columns;
    /// Counts the events; on `SQLite` by walking along the table, page by page.
    const COUNT: &'static str;
    /// Answers with a row where it is stored what time it was.
    const HAS_CLOCK: &'static str;
    /// The clock of the database, where it has one of its own.
    const NOW: Option<&'static str>;
    /// What a vault of this kind is told.
    const VAULT: vault::statements::Texts;

    /// The rows that answer a statement.
    async fn rows(&mut self, ask: Ask) -> Result<Vec<Self::Row>, StoreError>;
    /// The rows of a read model of the log to which this leads, at one moment; `None` where there are none to read.
    async fn shown(&mut self, projection: &'static Projection) -> Result<Option<Box<dyn Snapshot>>, StoreError>;
}

/// The end of the log, as the head row says.
pub(super) async fn head(log: &mut impl Examined) -> Result<Head, StoreError> {
    let rows = log.rows(ask(statements::HEAD)).await?;
    rows.first().map(convert::head).transpose()?.ok_or_else(|| convert::corrupt("head", "has no row"))
}

async fn cut_off(log: &mut impl Examined) -> Result<Timestamp, StoreError> {
    let rows = log.rows(ask(statements::CUT_OFF)).await?;
    Ok(rows.first().map(convert::cut_off).transpose()?.unwrap_or_default())
}

/// What is true of the log as a whole, but for how many events it has.
pub(super) async fn log<E: Examined>(log: &mut E) -> Result<LogFacts, StoreError> {
    let head = head(log).await?;
    let last = match log.rows(ask(LAST_EVENT)).await?.first() {
        Some(row) => Some((convert::position(row)?, convert::recorded_at(row)?)),
        None => None,
    };
    let epochs = log.rows(ask(EPOCHS)).await?;
    let epochs = epochs
        .iter()
        .map(|row| Ok((convert::number(row, "epoch")?, Position(convert::number(row, "began_after")?))))
        .collect::<Result<_, StoreError>>()?;
    let cut_off = cut_off(log).await?;
    // An earlier schema has no such table; the next start, or `countersign migrate`, makes it.
    let has_clock = !log.rows(ask(E::HAS_CLOCK)).await?.is_empty();
    let anchor = if has_clock { log.rows(ask(statements::ANCHOR)).await? } else { vec![] };
    let anchor = anchor.first().map(convert::anchor).transpose()?;
    let now = match E::NOW {
        Some(text) => log.rows(ask(text)).await?.first().map(|row| convert::integer(row, "now")).transpose()?,
        None => None,
    };
    let count = last.map_or(0, |(position, _)| position.0);
    Ok(LogFacts { head, last, count, hole: None, epochs, anchor, cut_off, now: now.map(from_micros) })
}

/// Counts the events, and looks for a hole where there are fewer than positions.
pub(super) async fn count<E: Examined>(connection: &mut E, log: &mut LogFacts) -> Result<(), StoreError> {
    let rows = connection.rows(ask(E::COUNT)).await?;
    log.count = rows.first().map(|row| convert::number(row, "number")).transpose()?.unwrap_or_default();
    // Beside a server that writes there may be more by now, and never fewer.
    if log.last.is_some_and(|(last, _)| log.count < last.0) {
        let found = connection.rows(ask(FIRST_HOLE)).await?;
        let place = |row: &E::Row, name: &str| convert::number(row, name).map(Position);
        log.hole = found.first().map(|row| Ok((place(row, "before")?, place(row, "position")?))).transpose()?;
    }
    Ok(())
}

/// Holds the members against the vault, and reads their names. The log is read first: beside a server that writes, the
/// vault has more by then.
pub(super) async fn members<E: Examined>(log: &mut E, vault: &mut E) -> Result<(Members, Vec<String>), StoreError> {
    let (mut members, mut usernames) = (Members::default(), vec![]);
    let mut after = String::new();
    loop {
        let page = log.rows(ask(statements::ACCOUNTS).bind(after.as_str()).bind(MEMBERS)).await?;
        let page = page.iter().map(convert::account).collect::<Result<Vec<_>, _>>()?;
        let Some(last) = page.last() else { return Ok((members, usernames)) };
        after = last.user_id.to_string();
        let kept: Vec<_> = page.iter().filter(|account| account.standing != AccountStanding::Erased).collect();
        let keys: Vec<_> = kept.iter().map(|account| account.data_key.0).collect();
        let verifiers: Vec<_> = kept.iter().map(|account| account.verifier.0).collect();
        let keys = among(vault, E::VAULT.data_keys_among, &keys).await?;
        let verifiers = among(vault, E::VAULT.verifiers_among, &verifiers).await?;
        members.count += kept.len() as u64;
        for account in kept {
            usernames.extend(account.username.clone());
            if !keys.contains(&account.data_key.0) {
                members.without_key.add(account.user_id);
            }
            if !verifiers.contains(&account.verifier.0) {
                members.without_verifier.add(account.user_id);
            }
        }
    }
}

async fn among<E: Examined>(vault: &mut E, text: &'static str, ids: &[Uuid]) -> Result<HashSet<Uuid>, StoreError> {
    let ids: Vec<_> = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
    vault.rows(ask(text).bind(ids)).await?.iter().map(|row| vault::id(row, 0)).collect()
}

/// A log and its vault, each over a connection of its own.
pub(super) struct Both<E> {
    pub log: E,
    pub vault: E,
}

#[async_trait]
impl<E: Examined> Opened for Both<E> {
    async fn head(&mut self) -> Result<Head, StoreError> {
        head(&mut self.log).await
    }

    async fn events(&mut self, after: Position, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let page = ask(statements::READ_LOG).bind(signed(after.0)).bind(i64::from(limit));
        self.log.rows(page).await?.iter().map(convert::event).collect()
    }

    async fn disordered_streams(&mut self, limit: u32) -> Result<Vec<String>, StoreError> {
        let rows = self.log.rows(ask(DISORDERED_STREAMS).bind(i64::from(limit))).await?;
        rows.iter().map(|row| convert::text(row, 0).map(ToOwned::to_owned)).collect()
    }

    async fn data_key(&mut self, id: DataKeyId) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = self.vault.rows(ask(E::VAULT.data_key).bind(id.0.as_bytes().to_vec())).await?;
        rows.first().map(|row| convert::bytes(row, 0).map(<[u8]>::to_vec)).transpose()
    }

    async fn holds(&mut self, id: SecretId) -> Result<bool, StoreError> {
        Ok(!self.vault.rows(ask(vault::statements::HELD).bind(id.0.as_bytes().to_vec())).await?.is_empty())
    }
}

#[async_trait]
impl<E: Examined> Shown for Both<E> {
    async fn shown(&mut self, projection: &'static Projection) -> Result<Option<Box<dyn Snapshot>>, StoreError> {
        self.log.shown(projection).await
    }

    async fn events_between(
        &mut self,
        after: Position,
        through: Position,
        (first, end): (&str, &str),
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let positions = ask(READ_BETWEEN).bind(signed(after.0)).bind(signed(through.0));
        self.log.rows(positions.bind(first).bind(end)).await?.iter().map(convert::event).collect()
    }

    async fn cut_off(&mut self) -> Result<Timestamp, StoreError> {
        cut_off(&mut self.log).await
    }
}
