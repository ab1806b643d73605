//! How a replay reads the log: a page of events comes as one text, since each row that the driver hands over costs
//! more than `SQLite` takes to read it. What does not fit that text is read row by row.

use std::str::FromStr;

use countersign_events::{
    ids::EventId,
    recorded::{Envelope, Position, Version},
};
use sqlx::{Row as _, SqlitePool, query};
use uuid::Uuid;

use super::{
    super::{StoreError, StoredEvent, convert, from_micros, statements::replay_columns},
    signed, unavailable,
};

/// Between events and between the fields of one stand characters that JSON has escaped and that names do not have
/// (ASCII calls them record and unit separator).
const RECORD: char = '\u{1e}';
const UNIT: char = '\u{1f}';
const FIELDS: usize = 10;

pub(super) const PAGE: &str = concat!(
    "select group_concat(position || char(31) || hex(event_id) || char(31) || stream || char(31) || version || char(31)\n",
    "|| type || char(31) || type_version || char(31) || recorded_at || char(31) || actor || char(31)\n",
    "|| coalesce(on_behalf_of, '') || char(31) || payload, char(30))\n",
    "from (\nselect ",
    replay_columns!(),
    "\nfrom events\nwhere position > ?\norder by position\nlimit ?\n)"
);
pub(super) const ROWS: &str =
    concat!("select ", replay_columns!(), "\nfrom events\nwhere position > ?\norder by position\nlimit ?");

pub(super) async fn page(readers: &SqlitePool, after: Position, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
    let statement = query(PAGE).bind(signed(after.0)).bind(i64::from(limit));
    let row = statement.fetch_one(readers).await.map_err(unavailable)?;
    let text: Option<&str> = row.try_get(0).map_err(unavailable)?;
    let Some(text) = text else { return Ok(vec![]) };
    if let Some(events) = text.split(RECORD).map(unpacked).collect() {
        return Ok(events);
    }
    let statement = query(ROWS).bind(signed(after.0)).bind(i64::from(limit));
    let rows = statement.fetch_all(readers).await.map_err(unavailable)?;
    rows.iter().map(convert::replayed).collect()
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
