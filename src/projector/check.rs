//! Holds a read model against a fresh fold of the log: every row and column, at one moment. Writers are not held up;
//! the live rows are a snapshot, the fresh ones lie in a generation that is thrown away afterwards.

use std::{collections::VecDeque, fmt::Write as _, sync::Arc};

use countersign_events::recorded::{Position, Timestamp};
use countersign_projections::{Column, Projection, Table, Value, fold::Row};

use super::{
    Meter, Sources, Tell,
    follower::{Opened, discarded, not_ahead},
    rebuild::{Until, fill_from_log},
};
use crate::store::{BuildPurpose, Parked, Snapshot, StoreError};

/// Rows that are compared at once.
const PAGE: u32 = 1_000;
/// So many differences are named; the others are counted.
const NAMED: usize = 10_000;

/// A row or a column that is not as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// The key of the row.
    pub key: String,
    /// The column; nothing when one of the two has no such row at all.
    pub column: Option<&'static str>,
    /// The live value.
    pub live: String,
    /// The value that the log leads to.
    pub log: String,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The read model.
    pub name: &'static str,
    /// Through which event live rows and fresh ones were made.
    pub through: Position,
    /// How many rows were compared.
    pub rows: u64,
    /// How many differences there are.
    pub found: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
}

impl Checked {
    fn differs(&mut self, difference: Difference) {
        self.found += 1;
        if self.differences.len() < NAMED {
            self.differences.push(difference);
        }
    }
}

/// Checks a read model, inline or trailing. Events that are parked in the live one are left out of the fresh one.
///
/// # Errors
/// [`StoreError`] when log, vault or read model do not answer.
pub async fn check(projection: &'static Projection, sources: &Sources, tell: Tell<'_>) -> Result<Checked, StoreError> {
    let share = sources.memory.share(sources.log.head().await?.position.0).await;
    let mut live = sources.models.snapshot(projection).await?;
    let through = live.through();
    not_ahead(projection, through, sources.log.head().await?)?;
    let mut skipped = discarded(projection, sources).await?;
    skipped.extend(live.parked().await?.iter().map(|parked| parked.position));
    let skipped = Arc::new(skipped);
    let meter = Meter::start(projection.name, &sources.world, Position(0), through.position);
    let say = |position| tell(meter.at(position, &sources.world));
    let mut build = sources.models.build(projection, BuildPurpose::Compare).await?;
    let how = (skipped.clone(), Until::Through(through.position), through.epoch);
    let mut parked = fill_from_log(projection, sources, build.as_mut(), share, how, &say).await?.parked;
    let resting = parked.iter().map(|parked| parked.stream.clone()).collect();
    let mut fresh = Opened { generation: build.generation().await?, resting, skipped };
    loop {
        let advanced = fresh.advance(projection, sources, through.position).await?;
        say(advanced.cursor.position);
        parked.extend(advanced.parked);
        if advanced.at_the_end {
            break;
        }
    }
    let (name, through, rows, found) = (projection.name, through.position, 0, 0);
    let mut checked = Checked { name, through, rows, found, differences: vec![] };
    for Parked { position, stream, error } in parked {
        let log = error.map_or("waits behind another".to_owned(), |error| format!("cannot be applied: {error}"));
        let (key, live) = (format!("event {position} of {stream}"), "applied".to_owned());
        checked.differs(Difference { table: "", key, column: None, live, log });
    }
    let mut fresh = build.snapshot().await?;
    // Read after the snapshot: rows that leave meanwhile are left out on both sides.
    let cut_off = sources.models.cut_off().await?;
    for table in projection.tables {
        compare(table, cut_off, (live.as_mut(), fresh.as_mut()), Texts::Read, &mut checked).await?;
    }
    Ok(checked)
}

/// Whether personal texts are compared, or passed over: without their keys there are none to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Texts {
    Read,
    PassedOver,
}

/// Walks along both tables, the live one and the one that the log leads to, in the order of their key.
pub(super) async fn compare(
    table: &'static Table,
    cut_off: Timestamp,
    (live, fresh): (&mut dyn Snapshot, &mut dyn Snapshot),
    texts: Texts,
    checked: &mut Checked,
) -> Result<(), StoreError> {
    let mut live = Rows { snapshot: live, table, cut_off, page: VecDeque::new(), last: None, ended: false };
    let mut fresh = Rows { snapshot: fresh, table, cut_off, page: VecDeque::new(), last: None, ended: false };
    let width = table.key.len();
    let missing = |key: &[Value], live: &str, log: &str| Difference {
        table: table.name,
        key: shown_key(table, key),
        column: None,
        live: live.to_owned(),
        log: log.to_owned(),
    };
    loop {
        let order = match (live.peek().await?, fresh.peek().await?) {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(live), Some(fresh)) => live[..width].cmp(&fresh[..width]),
        };
        checked.rows += 1;
        match order {
            std::cmp::Ordering::Less => {
                let row = live.page.pop_front().unwrap_or_default();
                checked.differs(missing(&row[..width], "a row", "no row"));
            }
            std::cmp::Ordering::Greater => {
                let row = fresh.page.pop_front().unwrap_or_default();
                checked.differs(missing(&row[..width], "no row", "a row"));
            }
            std::cmp::Ordering::Equal => {
                let (one, other) = (live.page.pop_front().unwrap_or_default(), fresh.page.pop_front());
                let values = one[width..].iter().zip(other.iter().flat_map(|row| &row[width..]));
                let differ = table
                    .columns
                    .iter()
                    .zip(values)
                    .filter(|(column, (live, log))| live != log && (texts == Texts::Read || !column.personal));
                for (column, (live, log)) in differ {
                    checked.differs(Difference {
                        table: table.name,
                        key: shown_key(table, &one[..width]),
                        column: Some(column.name),
                        live: shown(column, live),
                        log: shown(column, log),
                    });
                }
            }
        }
    }
}

/// A table, read page by page.
struct Rows<'a> {
    snapshot: &'a mut dyn Snapshot,
    table: &'static Table,
    cut_off: Timestamp,
    page: VecDeque<Row>,
    last: Option<Row>,
    ended: bool,
}

impl Rows<'_> {
    async fn peek(&mut self) -> Result<Option<&Row>, StoreError> {
        while self.page.is_empty() && !self.ended {
            let page = self.snapshot.rows(self.table, self.last.as_deref(), PAGE).await?;
            self.ended = page.is_empty();
            self.last = page.last().map(|row| row[..self.table.key.len()].to_vec());
            self.page = page.into_iter().filter(|row| !self.is_dead(row)).collect();
        }
        Ok(self.page.front())
    }

    /// Whether it was over before the cut-off: then it has left the live rows, or is about to.
    fn is_dead(&self, row: &Row) -> bool {
        self.table.is_dead(self.cut_off, |name| {
            let place = self.table.columns.iter().position(|column| column.name == name)?;
            row.get(self.table.key.len() + place)
        })
    }
}

fn shown_key(table: &Table, key: &[Value]) -> String {
    let values: Vec<_> = table.key.iter().zip(key).map(|(column, value)| shown(column, value)).collect();
    values.join(" ")
}

/// A value as an operator may see it.
fn shown(column: &Column, value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Text(_) if column.personal => "a personal text".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
    }
}
