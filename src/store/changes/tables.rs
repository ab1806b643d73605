//! What is said of whole tables of read models, from their declarations: how they are made in each database, and how
//! dead rows leave them.

use std::fmt::Write;

use countersign_projections::{Column, Kind, Table};

use super::list;

/// The statements that create a table for `SQLite`, with its indexes. Rows lie in the tree of their
/// key: a look-up is one descent. Numbers come first, so that counting needs no page of long texts.
#[must_use]
pub fn ddl(table: &Table) -> Vec<String> {
    made_of(table, kind, "strict, without rowid")
}

/// The same for `PostgreSQL`. Texts are ordered by their bytes, as everywhere; rows change often, so pages keep room
/// for their next versions.
#[must_use]
pub fn postgres_ddl(table: &Table) -> Vec<String> {
    let column = |kind| match kind {
        Kind::Text => "text collate \"C\"",
        kind => postgres_kind(kind),
    };
    made_of(table, column, "with (fillfactor = 80)")
}

fn made_of(table: &Table, kind: impl Fn(Kind) -> &'static str, options: &str) -> Vec<String> {
    let name = table.name;
    let mut columns: Vec<_> = table.columns.iter().collect();
    columns.sort_by_key(|column| column.kind != Kind::Integer);
    let mut create = format!("create table {name} (\n");
    for column in table.key {
        let _ = writeln!(create, "    {} {} not null,", column.name, kind(column.kind));
    }
    for column in columns {
        let _ = writeln!(create, "    {} {},", column.name, kind(column.kind));
    }
    let key = list(table.key.iter().map(|column| column.name));
    let _ = write!(create, "    primary key ({key})\n) {options}");
    let index =
        |columns: &&[&str]| format!("create index {name}_by_{} on {name} ({})", columns.join("_"), columns.join(", "));
    std::iter::once(create).chain(table.indexes.iter().map(index)).collect()
}

pub(super) const fn postgres_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer => "bigint",
        Kind::Text => "text",
        Kind::Bytes => "bytea",
    }
}

/// A column as `SQLite` tells it of a table: its name and its type.
pub(crate) fn column(column: &Column) -> (String, String) {
    (column.name.to_owned(), kind(column.kind).to_owned())
}

/// The same for `PostgreSQL`.
pub(crate) fn postgres_column(column: &Column) -> (String, String) {
    (column.name.to_owned(), postgres_kind(column.kind).to_owned())
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer => "integer",
        Kind::Text => "text",
        Kind::Bytes => "blob",
    }
}

/// The statement that deletes some rows in which `column` lies before `$1`, `$2` at most, and returns their keys.
#[must_use]
pub fn purge(table: &Table, column: &str) -> String {
    let (name, key) = (table.name, list(table.key.iter().map(|column| column.name)));
    let row = if table.key.len() == 1 { key.clone() } else { format!("({key})") };
    format!(
        "delete from {name}\nwhere {row} in (\n    select {key}\n    from {name}\n    where {column} < $1\n    \
         limit $2\n)\nreturning {key}"
    )
}
