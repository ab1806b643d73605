//! Read models in memory: the vocabulary of changes without a database. A rebuild folds the log into
//! these tables and hands a store sorted rows; that is many times faster than upserting each.

mod packed;

use std::collections::{BTreeMap, BTreeSet};

use self::packed::Packed;
use crate::change::{Change, Set, Source, Table, Value};

/// The values of a row: its key, then its columns, in the order of the table.
pub type Row = Vec<Value>;

/// Rows that are taken at once, and roughly how many bytes of them.
const TAKEN_ROWS: usize = 4_096;
const TAKEN_BYTES: usize = 4 << 20;

/// The tables of one projection. Changes that do not fit them (see [`crate::Projection::check`]) are left out.
#[derive(Debug, Default)]
pub struct Fold {
    tables: Vec<Folded>,
    bytes: usize,
}

#[derive(Debug)]
struct Folded {
    table: &'static Table,
    rows: BTreeMap<Packed, Packed>,
    /// Keys by the values of a column that copies ask for; made when one first asks.
    indexes: Vec<Index>,
    /// Rows of it were taken.
    taken: bool,
}

#[derive(Debug)]
struct Index {
    column: &'static str,
    /// A value and the key of a row that has it, each.
    keys: BTreeSet<Packed>,
}

impl Fold {
    /// How much memory it takes, with what the allocator and half-full nodes of trees add.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether these changes can be made without the rows that were taken. An upsert brings its whole row along; it
    /// can be made where the table has no index, to which rows are added best when all are there.
    #[must_use]
    pub fn takes(&self, changes: &[Change]) -> bool {
        let is_whole = |table: &Table| !self.has_taken(table);
        if !self.tables.iter().any(|folded| folded.taken) {
            return true;
        }
        changes.iter().all(|change| match change {
            Change::Upsert { table, .. } => table.indexes.is_empty() || is_whole(table),
            Change::Copy { into, from, .. } => is_whole(into) && is_whole(from),
            Change::Patch { table, .. }
            | Change::Increment { table, .. }
            | Change::Delete { table, .. }
            | Change::PatchWhere { table, .. }
            | Change::DeleteWhere { table, .. } => is_whole(table),
        })
    }

    /// Whether rows of this table were taken.
    #[must_use]
    pub fn has_taken(&self, table: &Table) -> bool {
        self.tables.iter().any(|folded| folded.taken && folded.table.name == table.name)
    }

    /// Applies a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Upsert { table, key, set } => self.put(table, packed::key(key.iter()), whole(table, &set)),
            Change::Patch { table, key, set } => self.patch(table, &packed::key(key.iter()), &set),
            Change::Increment { table, key, by } => self.change(table, &packed::key(key.iter()), |folded, row| {
                for (name, more) in by {
                    let Some(place) = folded.columns.iter().position(|column| column.name == name) else { continue };
                    // Nothing and one is nothing, as in SQL.
                    if let Some(Value::Integer(number)) = packed::column(row, place) {
                        packed::replace(row, place, &Value::Integer(number.saturating_add(more)));
                    }
                }
            }),
            Change::Delete { table, key } => self.delete(table, &packed::key(key.iter())),
            Change::PatchWhere { table, by, equals, set } => {
                for key in self.found(table, by, &equals) {
                    self.patch(table, &key, &set);
                }
            }
            Change::DeleteWhere { table, by, equals } => {
                for key in self.found(table, by, &equals) {
                    self.delete(table, &key);
                }
            }
            Change::Copy { into, from, by, equals, columns } => {
                for key in self.found(from, by, &equals) {
                    self.copy(into, from, &key, &columns);
                }
            }
        }
    }

    /// The next rows of a table in the order of their keys, which are gone here afterwards; none when all were taken.
    pub fn take(&mut self, table: &'static Table) -> Vec<Row> {
        let place = place_of(&mut self.tables, table);
        let folded = &mut self.tables[place];
        for Index { keys, .. } in folded.indexes.drain(..) {
            self.bytes -= keys.iter().map(|key| entry_bytes(key)).sum::<usize>();
        }
        let (mut rows, mut bytes) = (vec![], 0);
        while rows.len() < TAKEN_ROWS
            && bytes < TAKEN_BYTES
            && let Some((key, row)) = folded.rows.pop_first()
        {
            bytes += row_bytes(&key, &row);
            rows.push(packed::of_key(&key).into_iter().chain(packed::of_row(&row)).collect());
        }
        self.bytes -= bytes;
        folded.taken |= !rows.is_empty();
        rows
    }

    fn table(&mut self, table: &'static Table) -> &mut Folded {
        let place = place_of(&mut self.tables, table);
        &mut self.tables[place]
    }

    fn put(&mut self, table: &'static Table, key: Packed, row: Packed) {
        let grown = row_bytes(&key, &row);
        let folded = self.table(table);
        let mut indexed = 0;
        if !folded.indexes.is_empty() {
            if let Some(old) = folded.rows.get(&key).cloned() {
                indexed -= folded.forget(&key, &old);
            }
            indexed += folded.remember(&key, &row);
        }
        let key_length = key.len();
        let old = folded.rows.insert(key, row);
        let shrunk = old.map_or(0, |old| ROW_BYTES + allocated(key_length) + allocated(old.len()));
        self.bytes = (self.bytes + grown - shrunk).saturating_add_signed(indexed);
    }

    fn delete(&mut self, table: &'static Table, key: &[u8]) {
        let folded = self.table(table);
        if let Some(row) = folded.rows.remove(key) {
            let indexed = folded.forget(key, &row);
            self.bytes = (self.bytes - row_bytes(key, &row)).saturating_add_signed(-indexed);
        }
    }

    fn patch(&mut self, table: &'static Table, key: &[u8], set: &Set) {
        self.change(table, key, |folded, row| {
            for (name, value) in set {
                if let Some(place) = folded.columns.iter().position(|column| column.name == *name) {
                    packed::replace(row, place, value);
                }
            }
        });
    }

    fn change(&mut self, table: &'static Table, key: &[u8], change: impl FnOnce(&Table, &mut Packed)) {
        let folded = self.table(table);
        let Some(row) = folded.rows.get_mut(key) else { return };
        let (before, mut indexed) = (allocated(row.len()), 0);
        let after = if folded.indexes.is_empty() {
            change(table, row);
            allocated(row.len())
        } else {
            let old = row.clone();
            change(table, row);
            let new = row.clone();
            indexed -= folded.forget(key, &old);
            indexed += folded.remember(key, &new);
            allocated(new.len())
        };
        self.bytes = (self.bytes + after - before).saturating_add_signed(indexed);
    }

    fn copy(&mut self, into: &'static Table, from: &'static Table, key: &[u8], columns: &[(&'static str, Source)]) {
        let Some(row) = self.table(from).rows.get(key) else { return };
        let value = |name: &str| {
            let (_, source) = columns.iter().find(|(known, _)| *known == name)?;
            match source {
                Source::Value(value) => Some(value.clone()),
                Source::Column(of) => value_of(from, key, row, of),
            }
        };
        let copied: Vec<_> = into.key.iter().filter_map(|column| value(column.name)).collect();
        let rest: Vec<_> = into.columns.iter().map(|column| value(column.name).unwrap_or(Value::Null)).collect();
        let packed = packed::key(copied.iter());
        if copied.len() == into.key.len() && !self.table(into).rows.contains_key(&packed) {
            self.put(into, packed, packed::row(rest.iter()));
        }
    }

    /// The keys of the rows whose column `by` is `equals`.
    fn found(&mut self, table: &'static Table, by: &'static str, equals: &Value) -> Vec<Packed> {
        let folded = self.table(table);
        let mut made = 0;
        if !folded.indexes.iter().any(|index| index.column == by) {
            let indexed = |(key, row): (&Packed, &Packed)| index_key(table, by, key, row);
            let keys: BTreeSet<_> = folded.rows.iter().filter_map(indexed).collect();
            made = keys.iter().map(|key| entry_bytes(key)).sum();
            folded.indexes.push(Index { column: by, keys });
        }
        let first = packed::key(std::iter::once(equals));
        let index = folded.indexes.iter().find(|index| index.column == by);
        let after = index.into_iter().flat_map(|index| index.keys.range(first.clone()..));
        let keys = after.map_while(|key| key.strip_prefix(&*first)).map(Packed::from).collect();
        self.bytes += made;
        keys
    }
}

impl Folded {
    /// Adds a row to the indexes; by how many bytes they grow.
    fn remember(&mut self, key: &[u8], row: &[u8]) -> isize {
        let mut grown = 0;
        for Index { column, keys } in &mut self.indexes {
            if let Some(indexed) = index_key(self.table, column, key, row) {
                let bytes = entry_bytes(&indexed);
                grown += if keys.insert(indexed) { bytes } else { 0 };
            }
        }
        grown.cast_signed()
    }

    /// Takes a row out of the indexes; by how many bytes they shrink.
    fn forget(&mut self, key: &[u8], row: &[u8]) -> isize {
        let mut shrunk = 0;
        for Index { column, keys } in &mut self.indexes {
            if let Some(indexed) = index_key(self.table, column, key, row) {
                shrunk += if keys.remove(&indexed) { entry_bytes(&indexed) } else { 0 };
            }
        }
        shrunk.cast_signed()
    }
}

fn place_of(tables: &mut Vec<Folded>, table: &'static Table) -> usize {
    tables.iter().position(|folded| folded.table.name == table.name).unwrap_or_else(|| {
        tables.push(Folded { table, rows: BTreeMap::new(), indexes: vec![], taken: false });
        tables.len() - 1
    })
}

fn value_of(table: &Table, key: &[u8], row: &[u8], name: &str) -> Option<Value> {
    let place = table.key.iter().position(|column| column.name == name);
    match place {
        Some(place) => packed::of_key(key).into_iter().nth(place),
        None => packed::column(row, table.columns.iter().position(|column| column.name == name)?),
    }
}

/// A row's value of a column, then its key.
fn index_key(table: &Table, column: &str, key: &[u8], row: &[u8]) -> Option<Packed> {
    let value = value_of(table, key, row, column)?;
    Some([&packed::key(std::iter::once(&value)), key].concat().into())
}

/// The values of all columns, in their order; what is not named is null.
fn whole(table: &Table, set: &Set) -> Packed {
    // As projections write them: then nothing has to be looked for.
    let in_order = set.len() == table.columns.len()
        && set.iter().zip(table.columns).all(|((name, _), column)| *name == column.name);
    if in_order {
        return packed::row(set.iter().map(|(_, value)| value));
    }
    packed::row(table.columns.iter().map(|column| {
        let found = set.iter().find(|(known, _)| *known == column.name);
        found.map_or(&Value::Null, |(_, value)| value)
    }))
}

/// A place for a row in a tree whose nodes have eleven and hold six of them or more.
const ROW_BYTES: usize = 72;
/// The same for an entry of an index.
const ENTRY_BYTES: usize = 40;

fn row_bytes(key: &[u8], row: &[u8]) -> usize {
    ROW_BYTES + allocated(key.len()) + allocated(row.len())
}

fn entry_bytes(key: &[u8]) -> usize {
    ENTRY_BYTES + allocated(key.len())
}

/// What an allocator takes for so many bytes: it has sizes, each an eighth larger than the one before.
const fn allocated(length: usize) -> usize {
    if length == 0 { 0 } else { (length + length / 8).next_multiple_of(8) }
}
