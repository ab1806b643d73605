//! From changes to SQL, without touching a database: what follows one another on a row is folded
//! together, what is alike is done by one statement, and the statements come in few texts, so that a
//! connection prepares each once. Running them is the dialects'.

mod marks;
mod tables;

use std::{collections::HashMap, fmt, sync::Arc};

use countersign_projections::{Change, Kind, Source, Table, Value, change::Set};

use marks::Marks;
pub use marks::Placeholders;
pub(crate) use marks::value_rows;
pub(crate) use tables::{column, postgres_column};
pub use tables::{ddl, postgres_ddl, purge};

#[cfg(test)]
mod tests;

/// Statements come with so many rows and no other number: their texts stay a small constant set.
const LADDER: [usize; 3] = [64, 8, 1];

/// A statement to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its text; equal texts are the same allocation.
    pub sql: Arc<str>,
    /// What its placeholders stand for, in order.
    pub values: Vec<Value>,
}

/// Plans changes; keeps the texts of its statements.
#[derive(Debug)]
pub struct Planner {
    placeholders: Placeholders,
    texts: HashMap<(Shape, usize), Arc<str>>,
}

/// What a statement does, but for its values and number of rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Shape {
    Upsert(TableRef),
    Patch(TableRef, Vec<&'static str>),
    Increment(TableRef, Vec<&'static str>),
    Delete(TableRef),
    PatchWhere { table: TableRef, by: &'static str, columns: Vec<&'static str> },
    DeleteWhere { table: TableRef, by: &'static str },
    Copy { into: TableRef, from: TableRef, by: &'static str, columns: Vec<(&'static str, Option<&'static str>)> },
}

/// A table, compared by name: a constant has as many addresses as it likes.
#[derive(Clone, Copy)]
struct TableRef(&'static Table);

/// What is to become of one row; a row may need several, one after another.
#[derive(Debug, Clone)]
enum Fate {
    Upsert(Vec<Value>),
    Patch(Set),
    Increment(Vec<(&'static str, i64)>),
    Delete,
}

/// Rows of one table that are to change, in the order in which they were first named.
#[derive(Debug)]
struct Pending {
    table: TableRef,
    rows: Vec<(Vec<Value>, Vec<Fate>)>,
    places: HashMap<Vec<Value>, usize>,
}

impl Planner {
    /// A planner without texts.
    #[must_use]
    pub fn new(placeholders: Placeholders) -> Self {
        Self { placeholders, texts: HashMap::new() }
    }

    /// Statements that, run in order, do what `changes` say in order.
    pub fn plan(&mut self, changes: Vec<Change>) -> Vec<Step> {
        let mut steps = vec![];
        let mut tables: Vec<Pending> = vec![];
        for change in changes {
            match change {
                Change::Upsert { table, key, set } => {
                    pending(&mut tables, table).add(key, Fate::Upsert(in_order(table, set)));
                }
                Change::Patch { table, key, set } => pending(&mut tables, table).add(key, Fate::Patch(set)),
                Change::Increment { table, key, by } => pending(&mut tables, table).add(key, Fate::Increment(by)),
                Change::Delete { table, key } => pending(&mut tables, table).add(key, Fate::Delete),
                // What was said of single rows of the table comes before what is said of a set of them.
                Change::PatchWhere { set, .. } if set.is_empty() => {}
                Change::PatchWhere { table, by, equals, mut set } => {
                    self.flush(pending(&mut tables, table), &mut steps);
                    let table = TableRef(table);
                    set.sort_by_key(|(column, _)| table.place(column));
                    let (columns, mut values): (Vec<_>, Vec<_>) = set.into_iter().unzip();
                    values.push(equals);
                    let sql = self.text(Shape::PatchWhere { table, by, columns }, 1);
                    steps.push(Step { sql, values });
                }
                Change::DeleteWhere { table, by, equals } => {
                    self.flush(pending(&mut tables, table), &mut steps);
                    let sql = self.text(Shape::DeleteWhere { table: TableRef(table), by }, 1);
                    steps.push(Step { sql, values: vec![equals] });
                }
                Change::Copy { into, from, by, equals, columns } => {
                    // It reads one table and writes another: what was said of either comes before it.
                    for table in [from, into] {
                        self.flush(pending(&mut tables, table), &mut steps);
                    }
                    let (mut sources, mut values) = (vec![], vec![]);
                    for (column, source) in columns {
                        match source {
                            Source::Column(of) => sources.push((column, Some(of))),
                            Source::Value(value) => {
                                sources.push((column, None));
                                values.push(value);
                            }
                        }
                    }
                    values.push(equals);
                    let shape = Shape::Copy { into: TableRef(into), from: TableRef(from), by, columns: sources };
                    steps.push(Step { sql: self.text(shape, 1), values });
                }
            }
        }
        for table in &mut tables {
            self.flush(table, &mut steps);
        }
        steps
    }

    /// The statements for everything that is pending on a table. Rows are independent of each other, so
    /// the first fates of all of them go together, then the second ones.
    fn flush(&mut self, pending: &mut Pending, steps: &mut Vec<Step>) {
        let rows = std::mem::take(&mut pending.rows);
        pending.places.clear();
        let mut layers: Vec<Vec<(Shape, Vec<Vec<Value>>)>> = vec![];
        for (key, fates) in rows {
            for (depth, fate) in fates.into_iter().enumerate() {
                if layers.len() == depth {
                    layers.push(vec![]);
                }
                let (shape, values) = fate.row(pending.table, key.clone());
                let layer = &mut layers[depth];
                match layer.iter_mut().find(|(known, _)| *known == shape) {
                    Some((_, rows)) => rows.push(values),
                    None => layer.push((shape, vec![values])),
                }
            }
        }
        for (shape, rows) in layers.into_iter().flatten() {
            self.climb(&shape, rows, steps);
        }
    }

    fn climb(&mut self, shape: &Shape, rows: Vec<Vec<Value>>, steps: &mut Vec<Step>) {
        let mut rows = rows.into_iter();
        for rung in rungs(rows.len(), &LADDER) {
            let values = rows.by_ref().take(rung).flatten().collect();
            steps.push(Step { sql: self.text(shape.clone(), rung), values });
        }
    }

    fn text(&mut self, shape: Shape, rows: usize) -> Arc<str> {
        let placeholders = self.placeholders;
        let text = self.texts.entry((shape, rows));
        Arc::clone(text.or_insert_with_key(|(shape, rows)| shape.sql(*rows, placeholders).into()))
    }
}

/// The numbers of rows by which `count` rows are done, largest first. `ladder` falls and ends with 1.
pub(crate) fn rungs(count: usize, ladder: &[usize]) -> Vec<usize> {
    let mut left = count;
    let mut rungs = vec![];
    for rung in ladder {
        rungs.extend(std::iter::repeat_n(*rung, left / rung));
        left %= rung;
    }
    rungs
}

fn pending<'a>(tables: &'a mut Vec<Pending>, table: &'static Table) -> &'a mut Pending {
    let place = tables.iter().position(|pending| pending.table == TableRef(table)).unwrap_or_else(|| {
        tables.push(Pending { table: TableRef(table), rows: vec![], places: HashMap::new() });
        tables.len() - 1
    });
    &mut tables[place]
}

impl Pending {
    fn add(&mut self, key: Vec<Value>, fate: Fate) {
        let place = *self.places.entry(key).or_insert_with_key(|key| {
            self.rows.push((key.clone(), vec![]));
            self.rows.len() - 1
        });
        let fates = &mut self.rows[place].1;
        match fate {
            Fate::Patch(set) if set.is_empty() => {}
            Fate::Increment(by) if by.is_empty() => {}
            // Whatever was to become of the row, this is what becomes of it.
            Fate::Upsert(_) | Fate::Delete => *fates = vec![fate],
            Fate::Patch(set) => patch(self.table, fates, set),
            Fate::Increment(by) => increment(self.table, fates, by),
        }
    }
}

fn patch(table: TableRef, fates: &mut Vec<Fate>, set: Set) {
    match fates.last_mut() {
        Some(Fate::Upsert(values)) => {
            for (column, value) in set {
                if let Some(place) = table.place(column) {
                    values[place] = value;
                }
            }
        }
        Some(Fate::Patch(earlier)) => {
            for (column, value) in set {
                match earlier.iter_mut().find(|(known, _)| *known == column) {
                    Some((_, known)) => *known = value,
                    None => earlier.push((column, value)),
                }
            }
        }
        // There is no row any more.
        Some(Fate::Delete) => {}
        Some(Fate::Increment(_)) | None => fates.push(Fate::Patch(set)),
    }
}

fn increment(table: TableRef, fates: &mut Vec<Fate>, by: Vec<(&'static str, i64)>) {
    match fates.last_mut() {
        Some(Fate::Upsert(values)) => {
            for (column, more) in by {
                // Nothing and one is nothing, in SQL too.
                if let Some(place) = table.place(column)
                    && let Value::Integer(number) = &mut values[place]
                {
                    *number = number.saturating_add(more);
                }
            }
        }
        Some(Fate::Increment(earlier)) => {
            for (column, more) in by {
                match earlier.iter_mut().find(|(known, _)| *known == column) {
                    Some((_, known)) => *known = known.saturating_add(more),
                    None => earlier.push((column, more)),
                }
            }
        }
        Some(Fate::Delete) => {}
        Some(Fate::Patch(_)) | None => fates.push(Fate::Increment(by)),
    }
}

/// The values of a whole row, in the order of its columns; what is not named is null.
fn in_order(table: &'static Table, mut set: Set) -> Vec<Value> {
    let mut take = |(index, name): (usize, &'static str)| {
        let found = match set.get(index) {
            Some((column, _)) if *column == name => Some(index),
            _ => set.iter().position(|(column, _)| *column == name),
        };
        found.map_or(Value::Null, |found| std::mem::replace(&mut set[found].1, Value::Null))
    };
    table.columns.iter().map(|column| column.name).enumerate().map(&mut take).collect()
}

impl Fate {
    /// The statement that it wants, and its values there: the key first.
    fn row(self, table: TableRef, key: Vec<Value>) -> (Shape, Vec<Value>) {
        let mut values = key;
        let shape = match self {
            Self::Upsert(row) => {
                values.extend(row);
                Shape::Upsert(table)
            }
            Self::Patch(mut set) => {
                // In the table's order, so that the order in which patches met makes no new text.
                set.sort_by_key(|(column, _)| table.place(column));
                let (columns, new): (Vec<_>, Vec<_>) = set.into_iter().unzip();
                values.extend(new);
                Shape::Patch(table, columns)
            }
            Self::Increment(mut by) => {
                by.sort_by_key(|(column, _)| table.place(column));
                let (columns, more): (Vec<_>, Vec<_>) = by.into_iter().unzip();
                values.extend(more.into_iter().map(Value::Integer));
                Shape::Increment(table, columns)
            }
            Self::Delete => Shape::Delete(table),
        };
        (shape, values)
    }
}

impl Shape {
    fn sql(&self, rows: usize, placeholders: Placeholders) -> String {
        match self {
            Self::Upsert(table) => table.upsert(rows, placeholders),
            Self::Patch(table, columns) => {
                let set = |(column, value): (&str, String)| format!("{column} = {value}");
                table.update(columns, rows, placeholders, set)
            }
            Self::Increment(table, columns) => {
                let name = table.0.name;
                let set = |(column, value): (&str, String)| format!("{column} = {name}.{column} + {value}");
                table.update(columns, rows, placeholders, set)
            }
            Self::Delete(table) => {
                let key = list(table.key());
                let key = if table.0.key.len() == 1 { key } else { format!("({key})") };
                let values = value_rows(rows, table.0.key.iter().map(|column| column.kind), placeholders);
                format!("delete from {}\nwhere {key} in (values {values})", table.0.name)
            }
            Self::PatchWhere { table, by, columns } => {
                let mut marks = Marks::new(placeholders);
                let set = list(columns.iter().map(|column| format!("{column} = {}", marks.next())));
                format!("update {}\nset {set}\nwhere {by} = {}", table.0.name, marks.next())
            }
            Self::DeleteWhere { table, by } => {
                let mut marks = Marks::new(placeholders);
                format!("delete from {}\nwhere {by} = {}", table.0.name, marks.next())
            }
            Self::Copy { into, from, by, columns } => {
                let mut marks = Marks::new(placeholders);
                let names = list(columns.iter().map(|(column, _)| *column));
                let mut source_of = |(column, source): &(&str, Option<&str>)| match source {
                    Some(source) => (*source).to_owned(),
                    None => into.kind(column).map(|kind| marks.of(kind)).unwrap_or_default(),
                };
                let sources: Vec<_> = columns.iter().map(&mut source_of).collect();
                let sources = list(sources.into_iter());
                let equals = marks.next();
                let (into, from) = (into.0.name, from.0.name);
                format!(
                    "insert into {into} ({names})\nselect {sources}\nfrom {from}\nwhere {by} = {equals}\n\
                     on conflict do nothing"
                )
            }
        }
    }
}

impl TableRef {
    fn key(self) -> impl Iterator<Item = &'static str> {
        self.0.key.iter().map(|column| column.name)
    }

    fn columns(self) -> impl Iterator<Item = &'static str> {
        self.0.columns.iter().map(|column| column.name)
    }

    fn kind(self, name: &str) -> Option<Kind> {
        self.0.key.iter().chain(self.0.columns).find(|column| column.name == name).map(|column| column.kind)
    }

    fn place(self, column: &str) -> Option<usize> {
        self.columns().position(|known| known == column)
    }

    fn upsert(self, rows: usize, placeholders: Placeholders) -> String {
        let names = list(self.key().chain(self.columns()));
        let kinds = self.0.key.iter().chain(self.0.columns).map(|column| column.kind);
        let values = value_rows(rows, kinds, placeholders);
        let then = if self.0.columns.is_empty() {
            "nothing".to_owned()
        } else {
            format!("update set {}", list(self.columns().map(|column| format!("{column} = excluded.{column}"))))
        };
        let (table, key) = (self.0.name, list(self.key()));
        format!("insert into {table} ({names})\nvalues {values}\non conflict ({key}) do {then}")
    }

    /// Both databases call the columns of a `values` list column1, column2 and so on.
    fn update(
        self,
        columns: &[&'static str],
        rows: usize,
        placeholders: Placeholders,
        set: impl Fn((&str, String)) -> String,
    ) -> String {
        let table = self.0.name;
        let width = self.0.key.len();
        let new = columns.iter().filter_map(|column| self.kind(column));
        let kinds = self.0.key.iter().map(|column| column.kind).chain(new);
        let values = value_rows(rows, kinds, placeholders);
        let new =
            columns.iter().zip(width + 1..).map(|(column, number)| set((column, format!("given.column{number}"))));
        let same = self.key().zip(1..).map(|(column, number)| format!("{table}.{column} = given.column{number}"));
        let same: Vec<_> = same.collect();
        format!("update {table}\nset {}\nfrom (values {values}) as given\nwhere {}", list(new), same.join(" and "))
    }
}

impl PartialEq for TableRef {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for TableRef {}

impl std::hash::Hash for TableRef {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

fn list<T: AsRef<str>>(names: impl Iterator<Item = T>) -> String {
    let mut text = String::new();
    for name in names {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name.as_ref());
    }
    text
}
