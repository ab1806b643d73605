//! What both databases are asked alike: a statement with what its placeholders stand for, and rows as they come
//! back. Sending the one and getting the other is the dialects'.

use async_trait::async_trait;

use super::{Generations, StoreError, statements::Lists};

/// What a placeholder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bind {
    /// A whole number, or null.
    Integer(Option<i64>),
    /// A text, or null.
    Text(Option<String>),
    /// Bytes, or null.
    Bytes(Option<Vec<u8>>),
    /// A list of numbers.
    Integers(Vec<i64>),
    /// A list of texts.
    Texts(Vec<String>),
    /// A list of bytes.
    Many(Vec<Vec<u8>>),
}

macro_rules! into_bind {
    ($($type:ty => $bind:expr;)+) => {
        $(impl From<$type> for Bind {
            fn from(value: $type) -> Self {
                $bind(value.into())
            }
        })+
    };
}

into_bind! {
    i64 => Self::Integer;
    Option<i64> => Self::Integer;
    String => Self::Text;
    Option<String> => Self::Text;
    Vec<u8> => Self::Bytes;
    Option<Vec<u8>> => Self::Bytes;
    Vec<i64> => Self::Integers;
    Vec<String> => Self::Texts;
    Vec<Vec<u8>> => Self::Many;
}

impl From<&str> for Bind {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<&str>> for Bind {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(ToOwned::to_owned))
    }
}

/// A statement and what its placeholders stand for, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    pub text: &'static str,
    pub binds: Vec<Bind>,
}

/// A statement, to which its values are bound one after another.
pub(crate) const fn ask(text: &'static str) -> Ask {
    Ask { text, binds: vec![] }
}

impl Ask {
    pub(crate) fn bind(mut self, value: impl Into<Bind>) -> Self {
        self.binds.push(value.into());
        self
    }
}

/// Where a column stands in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At<'a> {
    Name(&'a str),
    Place(usize),
}

impl<'a> From<&'a str> for At<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl From<usize> for At<'_> {
    fn from(place: usize) -> Self {
        Self::Place(place)
    }
}

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Place(place) => write!(f, "{}", place + 1),
        }
    }
}

/// A row of either database.
pub(crate) trait Columns: Send + Sync {
    /// The whole number of a column, unless it is null.
    fn integer(&self, at: At<'_>) -> Result<Option<i64>, StoreError>;
    /// The text of a column, unless it is null.
    fn text(&self, at: At<'_>) -> Result<Option<&str>, StoreError>;
    /// The bytes of a column, unless it is null.
    fn bytes(&self, at: At<'_>) -> Result<Option<&[u8]>, StoreError>;
}

/// Implements [`Columns`] for a row of sqlx.
macro_rules! columns {
    ($row:ty) => {
        impl $crate::store::ask::Columns for $row {
            fn integer(
                &self,
                at: $crate::store::ask::At<'_>,
            ) -> ::std::result::Result<::std::option::Option<i64>, $crate::store::StoreError> {
                $crate::store::ask::columns!(@get self, at)
            }

            fn text(
                &self,
                at: $crate::store::ask::At<'_>,
            ) -> ::std::result::Result<::std::option::Option<&str>, $crate::store::StoreError> {
                $crate::store::ask::columns!(@get self, at)
            }

            fn bytes(
                &self,
                at: $crate::store::ask::At<'_>,
            ) -> ::std::result::Result<::std::option::Option<&[u8]>, $crate::store::StoreError> {
                $crate::store::ask::columns!(@get self, at)
            }
        }
    };
    (@get $row:ident, $at:ident) => {
        match $at {
            $crate::store::ask::At::Name(name) => ::sqlx::Row::try_get($row, name),
            $crate::store::ask::At::Place(place) => ::sqlx::Row::try_get($row, place),
        }
        .map_err(|error| $crate::store::convert::corrupt($at, error))
    };
}
pub(crate) use columns;

/// Where rows lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// The log, with its bookkeeping and the inline read models.
    Log,
    /// The current generation of a trailing read model.
    Model(&'static str),
}

/// A database that answers statements. [`super::EventLog`] and [`super::ReadModels`] follow from it.
#[async_trait]
pub(crate) trait Reads: Generations {
    /// Its rows.
    type Row: Columns;
    /// How it takes lists.
    const LISTS: Lists;
    /// How it gives a page of the log as one text.
    const REPLAY: &'static str;

    /// The rows that answer a statement.
    async fn rows(&self, of: Of, ask: Ask) -> Result<Vec<Self::Row>, StoreError>;
}
