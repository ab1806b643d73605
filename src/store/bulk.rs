//! Whole tables at once, as SQL made from their declarations: filling an empty one, and reading one page by page in
//! the order of its key.

use countersign_projections::Table;

use super::changes::{Placeholders, value_rows};

/// Rows that are filled in come with so many to a statement: the more, the fewer trips to the connection's thread.
/// Sixteen columns, the widest table, times the first is below what `SQLite` binds at most.
pub(super) const LADDER: [usize; 4] = [512, 64, 8, 1];

/// Inserts so many rows, with the verb `insert` or one that says what becomes of rows with their keys.
pub(super) fn insert(verb: &str, table: &Table, rows: usize, placeholders: Placeholders) -> String {
    let values = value_rows(rows, table.key.iter().chain(table.columns).map(|column| column.kind), placeholders);
    format!("{verb} into {} ({})\nvalues {values}", table.name, columns(table))
}

/// Reads rows in the order of the key, from the first one or after a key.
pub(super) fn page(table: &Table, after_key: bool, placeholders: Placeholders) -> String {
    let key: Vec<_> = table.key.iter().map(|column| column.name).collect();
    let key = key.join(", ");
    let after = if after_key {
        let values = value_rows(1, table.key.iter().map(|column| column.kind), placeholders);
        format!("where ({key}) > {values}\n")
    } else {
        String::new()
    };
    let limit = match placeholders {
        Placeholders::Anonymous => "?".to_owned(),
        Placeholders::Numbered => format!("${}", if after_key { table.key.len() + 1 } else { 1 }),
    };
    format!("select {}\nfrom {}\n{after}order by {key}\nlimit {limit}", columns(table), table.name)
}

fn columns(table: &Table) -> String {
    table.key.iter().chain(table.columns).map(|column| column.name).collect::<Vec<_>>().join(", ")
}
