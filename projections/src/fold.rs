//! Read models in memory: the vocabulary of changes without a database. A rebuild folds the log into
//! these tables and hands a store whole, sorted rows; that is many times faster than upserting each.

use std::collections::{HashMap, HashSet};

use crate::change::{Change, Set, Source, Table, Value};

/// The values of a row: its key, then its columns, in the order of the table.
pub type Row = Vec<Value>;
type Key = Vec<Value>;

/// The tables of one projection. Changes that do not fit them (see [`crate::Projection::check`]) are left out.
#[derive(Debug, Default)]
pub struct Fold {
    tables: Vec<Folded>,
    bytes: usize,
}

#[derive(Debug)]
struct Folded {
    table: &'static Table,
    rows: HashMap<Key, Vec<Value>>,
    /// Keys by the values of a column that copies ask for; made when one first asks.
    indexes: Vec<Index>,
}

#[derive(Debug)]
struct Index {
    column: &'static str,
    keys: HashMap<Value, HashSet<Key>>,
}

/// What a row costs beside its values, roughly.
const OVERHEAD: usize = 64;

impl Fold {
    /// Roughly how much memory it takes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Applies a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Upsert { table, key, set } => {
                let row = whole(table, set);
                self.put(table, key, row);
            }
            Change::Patch { table, key, set } => self.change(table, &key, |folded, row| {
                for (name, value) in set {
                    if let Some(place) = folded.columns.iter().position(|column| column.name == name) {
                        row[place] = value;
                    }
                }
            }),
            Change::Increment { table, key, by } => self.change(table, &key, |folded, row| {
                for (name, more) in by {
                    let place = folded.columns.iter().position(|column| column.name == name);
                    // Nothing and one is nothing, as in SQL.
                    if let Some(Value::Integer(number)) = place.map(|place| &mut row[place]) {
                        *number = number.saturating_add(more);
                    }
                }
            }),
            Change::Delete { table, key } => {
                let folded = self.table(table);
                if let Some(row) = folded.rows.remove(&key) {
                    folded.forget(&key, &row);
                    self.bytes = self.bytes.saturating_sub(weight(&key) + weight(&row));
                }
            }
            Change::PatchWhere { table, by, equals, set } => {
                for (key, _) in self.table(table).found(by, &equals) {
                    self.apply(Change::Patch { table, key, set: set.clone() });
                }
            }
            Change::DeleteWhere { table, by, equals } => {
                for (key, _) in self.table(table).found(by, &equals) {
                    self.apply(Change::Delete { table, key });
                }
            }
            Change::Copy { into, from, by, equals, columns } => {
                for (key, row) in self.table(from).found(by, &equals) {
                    let value = |name: &str| {
                        let (_, source) = columns.iter().find(|(known, _)| *known == name)?;
                        Some(match source {
                            Source::Value(value) => value.clone(),
                            Source::Column(of) => value_of(from, &key, &row, of)?.clone(),
                        })
                    };
                    let copied: Key = into.key.iter().filter_map(|column| value(column.name)).collect();
                    if copied.len() == into.key.len() && !self.table(into).rows.contains_key(&copied) {
                        let row = into.columns.iter().map(|column| value(column.name).unwrap_or(Value::Null)).collect();
                        self.put(into, copied, row);
                    }
                }
            }
        }
    }

    /// The rows of a table, sorted by their keys; the table is empty afterwards.
    pub fn take(&mut self, table: &'static Table) -> Vec<Row> {
        let folded = self.table(table);
        folded.indexes.clear();
        let mut rows: Vec<_> = std::mem::take(&mut folded.rows).into_iter().collect();
        rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let join = |(mut key, row): (Key, Vec<Value>)| {
            key.extend(row);
            key
        };
        rows.into_iter().map(join).collect()
    }

    fn table(&mut self, table: &'static Table) -> &mut Folded {
        let place = self.tables.iter().position(|folded| folded.table.name == table.name).unwrap_or_else(|| {
            self.tables.push(Folded { table, rows: HashMap::new(), indexes: vec![] });
            self.tables.len() - 1
        });
        &mut self.tables[place]
    }

    fn put(&mut self, table: &'static Table, key: Key, row: Vec<Value>) {
        let grown = weight(&key) + weight(&row);
        let folded = self.table(table);
        if !folded.indexes.is_empty() {
            if let Some(old) = folded.rows.get(&key).cloned() {
                folded.forget(&key, &old);
            }
            folded.remember(&key, &row);
        }
        let key_weight = weight(&key);
        let shrunk = folded.rows.insert(key, row).map_or(0, |old| key_weight + weight(&old));
        self.bytes = (self.bytes + grown).saturating_sub(shrunk);
    }

    fn change(&mut self, table: &'static Table, key: &Key, change: impl FnOnce(&Table, &mut Vec<Value>)) {
        let folded = self.table(table);
        let Some(row) = folded.rows.get_mut(key) else { return };
        if folded.indexes.is_empty() {
            change(table, row);
        } else {
            let old = row.clone();
            change(table, row);
            let new = row.clone();
            folded.forget(key, &old);
            folded.remember(key, &new);
        }
    }
}

impl Folded {
    /// The rows whose column `by` is `equals`.
    fn found(&mut self, by: &'static str, equals: &Value) -> Vec<(Key, Vec<Value>)> {
        if !self.indexes.iter().any(|index| index.column == by) {
            let mut keys: HashMap<Value, HashSet<Key>> = HashMap::new();
            for (key, row) in &self.rows {
                if let Some(value) = value_of(self.table, key, row, by) {
                    keys.entry(value.clone()).or_default().insert(key.clone());
                }
            }
            self.indexes.push(Index { column: by, keys });
        }
        let index = self.indexes.iter().find(|index| index.column == by);
        let keys = index.and_then(|index| index.keys.get(equals));
        keys.into_iter().flatten().filter_map(|key| Some((key.clone(), self.rows.get(key)?.clone()))).collect()
    }

    fn remember(&mut self, key: &Key, row: &[Value]) {
        for Index { column, keys } in &mut self.indexes {
            if let Some(value) = value_of(self.table, key, row, column) {
                keys.entry(value.clone()).or_default().insert(key.clone());
            }
        }
    }

    fn forget(&mut self, key: &Key, row: &[Value]) {
        for Index { column, keys } in &mut self.indexes {
            if let Some(known) = value_of(self.table, key, row, column).and_then(|value| keys.get_mut(value)) {
                known.remove(key);
            }
        }
    }
}

fn value_of<'a>(table: &Table, key: &'a [Value], row: &'a [Value], name: &str) -> Option<&'a Value> {
    let place = table.key.iter().position(|column| column.name == name);
    match place {
        Some(place) => key.get(place),
        None => row.get(table.columns.iter().position(|column| column.name == name)?),
    }
}

/// The values of all columns, in their order; what is not named is null.
fn whole(table: &Table, mut set: Set) -> Vec<Value> {
    // As projections write them: then nothing has to be looked for.
    let in_order = set.len() == table.columns.len()
        && set.iter().zip(table.columns).all(|((name, _), column)| *name == column.name);
    if in_order {
        return set.into_iter().map(|(_, value)| value).collect();
    }
    let mut take = |name: &str| {
        let found = set.iter_mut().find(|(known, _)| *known == name);
        found.map_or(Value::Null, |(_, value)| std::mem::replace(value, Value::Null))
    };
    table.columns.iter().map(|column| take(column.name)).collect()
}

fn weight(values: &[Value]) -> usize {
    let heap = |value: &Value| match value {
        Value::Null | Value::Integer(_) => 0,
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
    };
    OVERHEAD / 2 + size_of_val(values) + values.iter().map(heap).sum::<usize>()
}
