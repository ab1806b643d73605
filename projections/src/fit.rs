//! Whether a change fits the tables that it names. What fits, every store can apply; what does not is found
//! before any store is touched, and is the fault of one event.

use std::fmt;

use crate::{
    Projection,
    change::{Change, Column, Kind, Source, Table, Value},
};

/// How a change does not fit. It names tables and columns, never values: those may be about a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(String);

fn misfit(detail: impl fmt::Display) -> Misfit {
    Misfit(detail.to_string())
}

impl Projection {
    /// Whether every store can apply this change to this projection's tables.
    ///
    /// # Errors
    /// [`Misfit`], which says what does not fit.
    pub fn check(&self, change: &Change) -> Result<(), Misfit> {
        let own = |table: &Table| {
            let known = self.tables.iter().any(|known| known.name == table.name);
            if known { Ok(()) } else { Err(misfit(format!("{} has no table {}", self.name, table.name))) }
        };
        match change {
            Change::Upsert { table, key, set } | Change::Patch { table, key, set } => {
                own(table)?;
                fits_key(table, key)?;
                fits_set(table, set)
            }
            Change::Increment { table, key, by } => {
                own(table)?;
                fits_key(table, key)?;
                by.iter().try_for_each(|(name, _)| {
                    let integer = column(table.columns, name).is_some_and(|column| column.kind == Kind::Integer);
                    if integer { Ok(()) } else { Err(misfit(format!("{}.{name} does not count", table.name))) }
                })
            }
            Change::Delete { table, key } => {
                own(table)?;
                fits_key(table, key)
            }
            Change::PatchWhere { table, by, equals, set } => {
                own(table)?;
                fits_by(table, by, equals)?;
                fits_set(table, set)
            }
            Change::DeleteWhere { table, by, equals } => {
                own(table)?;
                fits_by(table, by, equals)
            }
            Change::Copy { into, from, by, equals, columns } => {
                own(into)?;
                own(from)?;
                fits_by(from, by, equals)?;
                fits_copy(into, from, columns)
            }
        }
    }
}

fn fits_by(table: &Table, by: &str, equals: &Value) -> Result<(), Misfit> {
    let fits = any_column(table, by).is_some_and(|column| is_of(column.kind, equals));
    if fits { Ok(()) } else { Err(misfit(format!("{} has no column {by} with such values", table.name))) }
}

fn fits_key(table: &Table, key: &[Value]) -> Result<(), Misfit> {
    let fits = key.len() == table.key.len()
        && table.key.iter().zip(key).all(|(column, value)| *value != Value::Null && is_of(column.kind, value));
    if fits { Ok(()) } else { Err(misfit(format!("a key does not fit {}", table.name))) }
}

fn fits_set(table: &Table, set: &[(&'static str, Value)]) -> Result<(), Misfit> {
    set.iter().try_for_each(|(name, value)| {
        let fits = column(table.columns, name).is_some_and(|column| is_of(column.kind, value));
        if fits { Ok(()) } else { Err(misfit(format!("a value does not fit {}.{name}", table.name))) }
    })
}

fn fits_copy(into: &Table, from: &Table, columns: &[(&'static str, Source)]) -> Result<(), Misfit> {
    for key in into.key {
        if !columns.iter().any(|(name, _)| *name == key.name) {
            return Err(misfit(format!("a copy into {} leaves {} out", into.name, key.name)));
        }
    }
    columns.iter().try_for_each(|(name, source)| {
        let fits = any_column(into, name).is_some_and(|target| {
            let is_key = column(into.key, name).is_some();
            match source {
                Source::Value(value) => is_of(target.kind, value) && !(is_key && *value == Value::Null),
                // What is no key may be null.
                Source::Column(of) if is_key => column(from.key, of).is_some_and(|of| of.kind == target.kind),
                Source::Column(of) => any_column(from, of).is_some_and(|of| of.kind == target.kind),
            }
        });
        if fits { Ok(()) } else { Err(misfit(format!("a copy does not fit {}.{name}", into.name))) }
    })
}

fn column<'a>(columns: &'a [Column], name: &str) -> Option<&'a Column> {
    columns.iter().find(|column| column.name == name)
}

fn any_column<'a>(table: &'a Table, name: &str) -> Option<&'a Column> {
    column(table.key, name).or_else(|| column(table.columns, name))
}

const fn is_of(kind: Kind, value: &Value) -> bool {
    matches!(
        (kind, value),
        (_, Value::Null)
            | (Kind::Integer, Value::Integer(_))
            | (Kind::Text, Value::Text(_))
            | (Kind::Bytes, Value::Bytes(_))
    )
}
