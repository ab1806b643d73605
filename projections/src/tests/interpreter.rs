//! The vocabulary of changes in memory, word for word: what a store has to do, without a database.

use std::collections::HashMap;

use super::*;

type Key = Vec<V>;
type Row = HashMap<&'static str, V>;

/// All tables by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory(HashMap<&'static str, HashMap<Key, Row>>);

impl Memory {
    /// What the projections make of `log`.
    pub fn of(log: &[Recorded<Event>]) -> Self {
        let mut memory = Self::default();
        memory.follow(log);
        memory
    }

    /// Applies what the projections make of a further part of the log.
    pub fn follow(&mut self, log: &[Recorded<Event>]) {
        for change in log.iter().flat_map(changes).flat_map(|(_, changes)| changes) {
            self.apply(change);
        }
    }

    /// The rows of a table as a fold hands them over: key and columns in order, sorted.
    pub fn sorted(&self, table: &Table) -> Vec<Vec<V>> {
        let row = |(key, row): (&Key, &Row)| {
            let columns = table.columns.iter().map(|column| row.get(column.name).cloned().unwrap_or(V::Null));
            key.iter().cloned().chain(columns).collect::<Vec<_>>()
        };
        let mut rows: Vec<_> = self.rows(table).map(row).collect();
        rows.sort();
        rows
    }

    pub fn rows(&self, table: &Table) -> impl Iterator<Item = (&Key, &Row)> {
        self.0.get(table.name).into_iter().flatten()
    }

    pub fn row(&self, table: &Table, key: &[V]) -> Option<&Row> {
        self.0.get(table.name)?.get(key)
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Upsert { table, key, set } => {
                self.table(table).insert(key, set.into_iter().collect());
            }
            Change::Patch { table, key, set } => {
                if let Some(row) = self.table(table).get_mut(&key) {
                    row.extend(set);
                }
            }
            Change::Increment { table, key, by } => {
                let Some(row) = self.table(table).get_mut(&key) else { return };
                for (column, by) in by {
                    let Some(V::Integer(number)) = row.get_mut(column) else { panic!("{column} counts") };
                    *number += by;
                }
            }
            Change::Delete { table, key } => {
                self.table(table).remove(&key);
            }
            Change::PatchWhere { table, by, equals, set } => {
                for (_, row) in self.found(table, by, &equals) {
                    row.extend(set.clone());
                }
            }
            Change::DeleteWhere { table, by, equals } => {
                let keys: Vec<_> = self.found(table, by, &equals).into_iter().map(|(key, _)| key).collect();
                for key in keys {
                    self.table(table).remove(&key);
                }
            }
            Change::Copy { into, from, by, equals, columns } => {
                let found: Vec<Row> = self.rows(from).map(|(key, row)| whole(from, key, row)).collect();
                for row in found.into_iter().filter(|row| row[by] == equals) {
                    let mut copied: Row = columns.iter().map(|(name, source)| (*name, value(source, &row))).collect();
                    let key = into.key.iter().map(|column| copied.remove(column.name).unwrap()).collect();
                    self.table(into).entry(key).or_insert(copied);
                }
            }
        }
    }

    /// Drops what is dead by a cut-off.
    pub fn purge(&mut self, table: &Table, cut_off: Timestamp) {
        self.table(table).retain(|_, row| !table.is_dead(cut_off, |column| row.get(column)));
    }

    fn found(&mut self, table: &Table, by: &str, equals: &V) -> Vec<(Key, &mut Row)> {
        let is_it = |key: &Key, row: &Row| whole(table, key, row)[by] == *equals;
        let rows = self.table(table).iter_mut().filter(|(key, row)| is_it(key, row));
        rows.map(|(key, row)| (key.clone(), row)).collect()
    }

    fn table(&mut self, table: &Table) -> &mut HashMap<Key, Row> {
        self.0.entry(table.name).or_default()
    }
}

/// A row with the columns of its key.
fn whole(table: &Table, key: &[V], row: &Row) -> Row {
    let keys = table.key.iter().zip(key).map(|(column, value)| (column.name, value.clone()));
    keys.chain(row.iter().map(|(name, value)| (*name, value.clone()))).collect()
}

fn value(source: &Source, row: &Row) -> V {
    match source {
        Source::Column(name) => row[name].clone(),
        Source::Value(value) => value.clone(),
    }
}
