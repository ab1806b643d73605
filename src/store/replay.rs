//! How a replay reads the log: a page of events comes as one text, since each row that a driver hands over costs more than
//! the database takes to read it. What does not fit that text is read row by row.

use std::str::FromStr;

use countersign_events::{
    ids::EventId,
    recorded::{Envelope, Position, Version},
};
use uuid::Uuid;

use super::{
    StoreError, StoredEvent,
    ask::{Columns as _, Of, Reads, ask},
    convert, from_micros,
    models::{all, one},
    signed,
    statements::replay_columns,
};

/// Between events and between the fields of one stand characters that JSON has escaped and that names do not have
/// (ASCII calls them record and unit separator).
const RECORD: char = '\u{1e}';
const UNIT: char = '\u{1f}';
const FIELDS: usize = 10;

macro_rules! rows {
    () => {
        concat!("select ", replay_columns!(), "\nfrom events\nwhere position > $1\norder by position\nlimit $2")
    };
}

/// A page as one text, for `SQLite`.
pub(crate) const GROUPED: &str = concat!(
    "select group_concat(position || char(31) || hex(event_id) || char(31) || stream || char(31) || version || char(31)\n",
    "|| type || char(31) || type_version || char(31) || recorded_at || char(31) || actor || char(31)\n",
    "|| coalesce(on_behalf_of, '') || char(31) || payload, char(30))\n",
    "from (\n",
    rows!(),
    "\n) as page"
);
/// The same for `PostgreSQL`.
pub(crate) const AGGREGATED: &str = concat!(
    "select string_agg(concat_ws(chr(31), position, encode(event_id, 'hex'), stream, version,\n",
    "type, type_version, recorded_at, actor, coalesce(on_behalf_of, ''), payload), chr(30))\n",
    "from (\n",
    rows!(),
    "\n) as page"
);
/// A page as rows.
pub(crate) const ROWS: &str = rows!();

/// The events after a position, at most so many, without client address, ids of request and command, and causation.
pub(crate) async fn page<S: Reads>(store: &S, after: Position, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
    let of_page = |text| ask(text).bind(signed(after.0)).bind(i64::from(limit));
    let text = |row: &S::Row| Ok(row.text(0.into())?.map(unpacked_all));
    match one(store, Of::Log, of_page(S::REPLAY), text).await?.flatten() {
        None => Ok(vec![]),
        Some(Some(events)) => Ok(events),
        Some(None) => all(store, Of::Log, of_page(ROWS), convert::replayed).await,
    }
}

/// Events from their records; nothing when one is not as it has to be.
fn unpacked_all(page: &str) -> Option<Vec<StoredEvent>> {
    page.split(RECORD).map(unpacked).collect()
}

/// An event from its fields; nothing when they are not as they have to be.
fn unpacked(record: &str) -> Option<StoredEvent> {
    let mut fields = record.split(UNIT);
    let found: [&str; FIELDS] = std::array::from_fn(|_| fields.next().unwrap_or_default());
    let [position, event_id, stream, version, type_name, type_version, recorded_at, actor, on_behalf_of, payload] =
        found;
    if fields.next().is_some() || payload.is_empty() {
        return None;
    }
    let envelope = Envelope {
        position: Position(number(position)?),
        event_id: EventId(Uuid::try_parse_ascii(event_id.as_bytes()).ok()?),
        stream: stream.parse().ok()?,
        version: Version(number(version)?),
        recorded_at: from_micros(number(recorded_at)?),
        actor: actor.parse().ok()?,
        on_behalf_of: if on_behalf_of.is_empty() { None } else { Some(on_behalf_of.parse().ok()?) },
        client_address: None,
        request_id: None,
        command_id: None,
        causation: None,
    };
    Some(StoredEvent {
        envelope,
        type_name: type_name.to_owned(),
        type_version: number(type_version)?,
        payload: payload.to_owned(),
    })
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = "7\u{1f}0123456789ABCDEF0123456789ABCDEF\u{1f}site\u{1f}3\u{1f}AuditExported\u{1f}1\u{1f}1800000000000000\u{1f}system\u{1f}\u{1f}{\"a\":1}";

    #[test]
    fn a_record_has_the_fields_of_its_event() {
        let stored = unpacked(RECORDED).unwrap();
        assert_eq!((stored.envelope.position, stored.envelope.version), (Position(7), Version(3)));
        assert_eq!((stored.envelope.on_behalf_of, stored.payload.as_str()), (None, "{\"a\":1}"));
    }

    #[test]
    fn what_holds_a_separator_itself_is_no_record() {
        for broken in [
            RECORDED.replace("{\"a\":1}", "{\"a\":\"\u{1f}\"}"),
            RECORDED.replace("\u{1f}{\"a\":1}", ""),
            RECORDED.replace("site", "nowhere"),
            RECORDED.replacen('7', "x", 1),
        ] {
            assert_eq!(unpacked(&broken), None, "{broken}");
        }
    }
}
