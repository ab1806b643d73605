//! What the steps of a schema make, held against what a database has: triggers, indexes and tables can be dropped behind
//! the program's back. Whatever holds no rows of its own can be made again.

use countersign_projections::{INLINE, TRAILING};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection, query, raw_sql, sqlite::SqliteConnectOptions,
};

use super::{
    super::{
        StoreError,
        changes::ddl,
        facts::{Again, Lack},
    },
    schema::Step,
    unavailable,
};

const OBJECTS: &str = "select type, name, tbl_name, coalesce(sql, '') as sql\nfrom sqlite_master\n\
    where name not like '\\_sqlx%' escape '\\'\norder by type desc, name";
const NAMES: &str = "select name\nfrom sqlite_master\nwhere type in ('table', 'index')";

/// Where the library notes the steps that were done.
const STEPS: &str = "_sqlx_migrations";
const PUT_BACK: &str = "what was in it is not known, so put the newest copy of this file back";

/// A table, an index or a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    kind: String,
    name: String,
    sql: String,
    /// Whether there is another of the same name, or one that no step made.
    is_there: bool,
    is_known: bool,
}

impl Object {
    /// The same for whoever examines a site.
    pub(super) fn lack(&self) -> Lack {
        let Self { kind, name, .. } = self;
        let how = match (self.is_known, self.is_there) {
            (false, _) => "is none of Countersign's",
            (true, false) => "is missing",
            (true, true) => "is not as it was made",
        };
        Lack {
            what: format!("the {kind} {name} {how}"),
            again: match self.can_be_made() {
                true => Again::ByStep,
                false if self.kind == "table" && !self.is_there => Again::FromCopy,
                false => Again::Never,
            },
        }
    }

    fn can_be_made(&self) -> bool {
        self.kind != "table" && self.is_known && !self.sql.is_empty()
    }
}

/// What the steps up to one make, and the database lacks or has otherwise; also triggers that they do not make.
pub(super) async fn missing(
    connection: &mut SqliteConnection,
    steps: &[Step],
    through: i64,
) -> Result<Vec<Object>, StoreError> {
    let mut empty = SqliteConnectOptions::new().in_memory(true).connect().await.map_err(unavailable)?;
    for (_, _, sql) in steps.iter().filter(|(number, ..)| *number <= through) {
        raw_sql(*sql).execute(&mut empty).await.map_err(unavailable)?;
    }
    let (wanted, found) = (objects(&mut empty).await?, objects(connection).await?);
    let find = |objects: &[(Object, String)], wanted: &Object| {
        objects.iter().find(|(one, _)| one.kind == wanted.kind && one.name == wanted.name).map(|(one, _)| one.clone())
    };
    let mut missing = vec![];
    let is_lost = |table: &str| !found.iter().any(|(one, _)| one.kind == "table" && one.name == table);
    for (object, table) in &wanted {
        // What goes with a table that is gone is not told beside it.
        if object.kind != "table" && is_lost(table) {
            continue;
        }
        match find(&found, object) {
            Some(same) if same.sql == object.sql => {}
            other => missing.push(Object { is_there: other.is_some(), ..object.clone() }),
        }
    }
    for (object, table) in &found {
        let is_ours = wanted.iter().any(|(one, _)| one.kind == "table" && one.name == *table);
        if object.kind == "trigger" && is_ours && find(&wanted, object).is_none() {
            missing.push(Object { is_known: false, ..object.clone() });
        }
    }
    Ok(missing)
}

/// The table of the steps that were done, where it is gone from a database that has tables of theirs.
pub(super) async fn lost_steps(connection: &mut SqliteConnection, steps: &[Step]) -> Result<Vec<Lack>, StoreError> {
    let rows = query(NAMES).fetch_all(connection).await.map_err(unavailable)?;
    let found = rows.iter().map(|row| row.try_get::<String, _>(0).map_err(unavailable));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let of_a_step = |name: &String| steps.iter().any(|(_, _, sql)| sql.contains(&format!("create table {name} (")));
    if found.iter().any(|name| name == STEPS) || !found.iter().any(of_a_step) {
        return Ok(vec![]);
    }
    Ok(vec![Lack { what: format!("the table {STEPS} is missing"), again: Again::FromCopy }])
}

/// Refuses a database that has lost a table: what was in it is not known.
fn must_have_all(lacks: impl IntoIterator<Item = Lack>) -> Result<(), StoreError> {
    let lost = lacks.into_iter().filter(|lack| lack.again == Again::FromCopy).map(|lack| lack.what);
    let lost: Vec<_> = lost.collect();
    if lost.is_empty() { Ok(()) } else { Err(StoreError::Unavailable(format!("{}: {PUT_BACK}", lost.join("; ")))) }
}

/// Refuses a database whose steps cannot be told any more, before they are done once more.
pub(super) async fn must_know_its_steps(connection: &mut SqliteConnection, steps: &[Step]) -> Result<(), StoreError> {
    must_have_all(lost_steps(connection, steps).await?)
}

/// Each object with its table.
async fn objects(connection: &mut SqliteConnection) -> Result<Vec<(Object, String)>, StoreError> {
    let rows = query(OBJECTS).fetch_all(connection).await.map_err(unavailable)?;
    let text = |row: &sqlx::sqlite::SqliteRow, name: &str| row.try_get::<String, _>(name).map_err(unavailable);
    rows.iter()
        .map(|row| {
            let (kind, name, sql) = (text(row, "type")?, text(row, "name")?, text(row, "sql")?);
            Ok((Object { kind, name, sql, is_there: true, is_known: true }, text(row, "tbl_name")?))
        })
        .collect()
}

/// Tables and indexes of a read model that are not there, by their names.
pub(super) async fn missing_of(
    connection: &mut SqliteConnection,
    model: &'static str,
) -> Result<Vec<Lack>, StoreError> {
    let rows = query(NAMES).fetch_all(connection).await.map_err(unavailable)?;
    let found = rows.iter().map(|row| row.try_get::<String, _>(0).map_err(unavailable));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let projections = INLINE.iter().chain(TRAILING).filter(|projection| projection.name == model);
    let made = projections.flat_map(|projection| projection.tables).flat_map(|table| ddl(table));
    let named = made.filter_map(|sql| {
        let mut words = sql.split_whitespace().skip(1);
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    });
    let missing = named.filter(|(_, name)| !found.contains(name));
    Ok(missing.map(|(kind, name)| Lack::of_model(&kind, &name, model)).collect())
}

/// Makes triggers and indexes again that were dropped or replaced, where every table is there.
pub(super) async fn restore(connection: &mut SqliteConnection, steps: &[Step]) -> Result<(), StoreError> {
    let through = steps.last().map_or(0, |(number, ..)| *number);
    let missing = missing(connection, steps, through).await?;
    must_have_all(missing.iter().map(Object::lack))?;
    for object in missing {
        if !object.can_be_made() {
            continue;
        }
        let Object { kind, name, sql, .. } = object;
        tracing::warn!("the {kind} {name} was dropped or changed; it is made again");
        let made = format!("begin immediate; drop {kind} if exists {name}; {sql}; commit");
        if let Err(error) = raw_sql(AssertSqlSafe(made)).execute(&mut *connection).await {
            super::writer::undo(connection).await?;
            let error = unavailable(error);
            return Err(StoreError::Unavailable(format!("the {kind} {name} cannot be made again: {error}")));
        }
    }
    Ok(())
}
