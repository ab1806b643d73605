//! The vocabulary of changes to read models, and how tables are declared. Turning either into SQL
//! is the store's.

use countersign_events::{recorded::Timestamp, sensitive::Personal};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number; instants are microseconds since 1970, yes and no are 1 and 0.
    Integer,
    /// A text.
    Text,
    /// Bytes.
    Bytes,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it holds what a person wrote or is called; such values are shown to nobody but its readers.
    pub personal: bool,
}

/// An integer column.
#[must_use]
pub const fn integer(name: &'static str) -> Column {
    Column { name, kind: Kind::Integer, personal: false }
}

/// A text column.
#[must_use]
pub const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text, personal: false }
}

/// A text column with a personal text.
#[must_use]
pub const fn personal(name: &'static str) -> Column {
    Column { name, kind: Kind::Text, personal: true }
}

/// A bytes column.
#[must_use]
pub const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes, personal: false }
}

/// A table of a read model.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The columns of its primary key.
    pub key: &'static [Column],
    /// The other columns; each may be null.
    pub columns: &'static [Column],
    /// Column lists of its indexes.
    pub indexes: &'static [&'static [&'static str]],
    /// Columns with the instants at which a row is over, each the first of an index. A row in which one of
    /// them lies before the site's cut-off is dead for good: no later event brings it back but by an upsert.
    pub ends: &'static [&'static str],
}

impl Table {
    /// Whether a row is dead: whoever compares read models leaves dead rows out on both sides.
    /// `value` gives the row's columns.
    pub fn is_dead<'a>(&self, cut_off: Timestamp, value: impl Fn(&str) -> Option<&'a Value>) -> bool {
        let before =
            |column: &&str| matches!(value(column), Some(Value::Integer(at)) if *at < cut_off.timestamp_micros());
        self.ends.iter().any(before)
    }
}

/// A value of a column. The order is that of the databases: texts and bytes by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Nothing.
    Null,
    /// Of an integer column.
    Integer(i64),
    /// Of a text column.
    Text(String),
    /// Of a bytes column.
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Integer(yes.into())
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::Integer(at.timestamp_micros())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&Personal> for Value {
    /// What was erased, or cannot be opened, is null.
    fn from(personal: &Personal) -> Self {
        personal.clear().map_or(Self::Null, Self::from)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The text form of an id.
pub fn id(id: impl std::fmt::Display) -> Value {
    Value::Text(id.to_string())
}

/// Columns and what they become.
pub type Set = Vec<(&'static str, Value)>;

/// Where a copied column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A column of the row that is copied from.
    Column(&'static str),
    /// The same value for all rows.
    Value(Value),
}

/// A change to one read model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "table, key and set mean the same in every variant")]
pub enum Change {
    /// The row with this key is this. `set` names every other column of the table, in its order.
    Upsert { table: &'static Table, key: Vec<Value>, set: Set },
    /// These columns of the row, if there is one, become this.
    Patch { table: &'static Table, key: Vec<Value>, set: Set },
    /// These numbers of the row, if there is one, grow by so much.
    Increment { table: &'static Table, key: Vec<Value>, by: Vec<(&'static str, i64)> },
    /// There is no such row.
    Delete { table: &'static Table, key: Vec<Value> },
    /// These columns of every row whose indexed column `by` is `equals` become this. "Forget what this member
    /// wrote" is one change. It changes neither `by` nor the key.
    PatchWhere { table: &'static Table, by: &'static str, equals: Value, set: Set },
    /// There is no row whose indexed column `by` is `equals`. Rows that hold texts about a person are patched to
    /// null instead, so that a store knows what to scrub from its files.
    DeleteWhere { table: &'static Table, by: &'static str, equals: Value },
    /// For every row of `from` whose indexed column `by` is `equals`: a row of `into`, unless one
    /// with its key exists. "Tell everybody who authorized this application" is one change.
    Copy {
        into: &'static Table,
        from: &'static Table,
        by: &'static str,
        equals: Value,
        columns: Vec<(&'static str, Source)>,
    },
}
