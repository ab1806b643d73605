//! Placeholders of statements that are made from declarations.

use countersign_projections::Kind;

use super::{list, tables::postgres_kind};

/// How placeholders are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholders {
    /// `?`: a numbered one is a name to `SQLite`, and it looks each up in a list of all of them.
    Anonymous,
    /// `$1`.
    Numbered,
}

/// `rows` rows of placeholders for columns of these kinds: `(?, ?), (?, ?)`.
pub(crate) fn value_rows(rows: usize, kinds: impl Iterator<Item = Kind>, placeholders: Placeholders) -> String {
    let mut marks = Marks::new(placeholders);
    let kinds: Vec<_> = kinds.collect();
    let row = |_| format!("({})", list(kinds.iter().map(|kind| marks.of(*kind))));
    list((0..rows).map(row))
}

/// Writes placeholders one after another.
pub(super) struct Marks {
    placeholders: Placeholders,
    last: usize,
}

impl Marks {
    pub(super) const fn new(placeholders: Placeholders) -> Self {
        Self { placeholders, last: 0 }
    }

    pub(super) fn next(&mut self) -> String {
        self.last += 1;
        match self.placeholders {
            Placeholders::Anonymous => "?".to_owned(),
            Placeholders::Numbered => format!("${}", self.last),
        }
    }

    /// Where the place alone does not say the type, as in a list of values, `PostgreSQL` wants to be told.
    pub(super) fn of(&mut self, kind: Kind) -> String {
        let mark = self.next();
        match self.placeholders {
            Placeholders::Anonymous => mark,
            Placeholders::Numbered => format!("{mark}::{}", postgres_kind(kind)),
        }
    }
}
