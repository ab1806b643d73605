//! What the steps of a schema make, held against what a database has: triggers, functions and indexes can be dropped or
//! put out of force behind the program's back. Whatever holds no rows of its own can be made again.

use countersign_projections::Projection;
use sqlx::{AssertSqlSafe, PgConnection, query_as, raw_sql};

use super::{
    super::{
        StoreError,
        changes::postgres_ddl,
        convert,
        facts::{Again, Lack},
    },
    failed,
    schema::Part,
};

/// Kind, name, what is said of it: whether an index or a trigger is in force, the body of a function.
pub(super) const OBJECTS: &str = "select 'table' as kind, relname::text as name, '' as told\n\
    from pg_class\nwhere relnamespace = to_regnamespace($1) and relkind = 'r'\n\
    union all\n\
    select 'index', relname::text, case when indisvalid and indisready then '' else 'invalid' end\n\
    from pg_index\njoin pg_class on pg_class.oid = indexrelid\nwhere relnamespace = to_regnamespace($1)\n\
    union all\n\
    select 'trigger', tgname::text, case when tgenabled in ('O', 'A') then '' else 'disabled' end\n\
    from pg_trigger\njoin pg_class on pg_class.oid = tgrelid\n\
    where relnamespace = to_regnamespace($1) and not tgisinternal\n\
    union all\n\
    select 'function', proname::text, prosrc\nfrom pg_proc\nwhere pronamespace = to_regnamespace($1)";

/// A table, an index, a trigger or a function, as a step makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Object {
    kind: &'static str,
    name: &'static str,
    /// The statement that makes it.
    sql: &'static str,
}

impl Object {
    /// What the database says of it when it is as it was made.
    fn told(&self) -> &'static str {
        match self.kind {
            "function" => self.sql.split("$$").nth(1).unwrap_or_default(),
            _ => "",
        }
    }

    /// The statements that make it again.
    fn again(&self, is_there: bool) -> Vec<String> {
        let Self { kind, name, sql } = self;
        match (*kind, is_there) {
            ("function", _) => vec![sql.replacen("create function", "create or replace function", 1)],
            (_, true) => {
                // Of a trigger is said where it is.
                let of = if *kind == "trigger" { table_of(sql).map(|table| format!(" on {table}")) } else { None };
                vec![format!("drop {kind} {name}{}", of.unwrap_or_default()), (*sql).to_owned()]
            }
            (_, false) => vec![(*sql).to_owned()],
        }
    }
}

/// The table of `create trigger … on TABLE`.
fn table_of(sql: &str) -> Option<&str> {
    sql.split_once(" on ")?.1.split_whitespace().next()
}

/// What the steps up to one make and leave there.
fn made(part: Part, through: i64) -> Vec<Object> {
    let mut objects: Vec<Object> = vec![];
    for (_, _, text) in part.migrations().iter().filter(|(number, ..)| *number <= through) {
        for sql in statements(text) {
            let words: Vec<_> = sql.split_whitespace().take(4).collect();
            let ([verb, "unique", kind, name] | [verb, kind, name, ..]) = words[..] else { continue };
            let Some(kind) = ["table", "index", "trigger", "function"].into_iter().find(|known| *known == kind) else {
                continue;
            };
            let name = name.split('(').next().unwrap_or(name);
            match verb {
                "create" => objects.push(Object { kind, name, sql }),
                "drop" => objects.retain(|object| (object.kind, object.name) != (kind, name)),
                _ => {}
            }
        }
    }
    objects
}

/// The statements of a step, without what is said before them. Within a function's body a semicolon ends nothing.
fn statements(text: &'static str) -> Vec<&'static str> {
    let (mut found, mut begin, mut is_body) = (vec![], None, false);
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let (start, trimmed) = (at, line.trim());
        at += line.len();
        if begin.is_none() && (trimmed.is_empty() || trimmed.starts_with("--")) {
            continue;
        }
        let first = *begin.get_or_insert(start);
        is_body ^= trimmed.matches("$$").count() % 2 == 1;
        if trimmed.ends_with(';') && !is_body {
            found.push(text[first..at].trim_end().trim_end_matches(';'));
            begin = None;
        }
    }
    found
}

/// What the steps up to one make, and the database lacks or has otherwise; also triggers that they do not make.
pub(super) async fn missing(connection: &mut PgConnection, part: Part, through: i64) -> Result<Vec<Lack>, sqlx::Error> {
    let found = objects(connection, part).await?;
    let made = made(part, through);
    let mut lacks = vec![];
    let is_lost = |table: &str| !found.iter().any(|(kind, name, _)| kind == "table" && name == table);
    for object in &made {
        // What goes with a table that is gone is not told beside it.
        if ["index", "trigger"].contains(&object.kind) && table_of(object.sql).is_some_and(is_lost) {
            continue;
        }
        let how = match find(&found, object) {
            None => "is missing",
            Some(told) if told != object.told() => "is not as it was made, or not in force",
            Some(_) => continue,
        };
        let what = format!("the {} {} {how}", object.kind, object.name);
        let again = if object.kind == "table" { Again::FromCopy } else { Again::ByStep };
        lacks.push(Lack { what, again });
    }
    for (kind, name, _) in &found {
        if kind == "trigger" && !made.iter().any(|object| object.kind == "trigger" && object.name == name) {
            let what = format!("the trigger {name} is none of Countersign's");
            lacks.push(Lack { what, again: Again::Never });
        }
    }
    Ok(lacks)
}

/// The tables of a read model that are not there, in this schema.
pub(super) async fn missing_of(
    connection: &mut PgConnection,
    schema: &str,
    projection: &'static Projection,
) -> Result<Vec<Lack>, sqlx::Error> {
    let found: Found = query_as(OBJECTS).bind(schema).fetch_all(connection).await?;
    let made = projection.tables.iter().flat_map(|table| postgres_ddl(table));
    let named = made.filter_map(|sql| {
        let mut words = sql.split_whitespace().skip(1);
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    });
    let missing = named.filter(|(kind, name)| !found.iter().any(|(of, one, _)| of == kind && one == name));
    Ok(missing.map(|(kind, name)| Lack::of_model(&kind, &name, projection.name)).collect())
}

/// Refuses a part that has lost a table: what was in it is not known.
pub(super) async fn must_have_all(connection: &mut PgConnection, part: Part, through: i64) -> Result<(), StoreError> {
    let lacks = missing(connection, part, through).await.map_err(failed)?;
    let lost_tables = lacks.into_iter().filter(|lack| lack.again == Again::FromCopy).map(|lack| lack.what);
    let what: Vec<_> = lost_tables.collect();
    if what.is_empty() { Ok(()) } else { Err(lost(&what, part)) }
}

/// Refuses a part whose steps cannot be told any more, although tables of theirs are there.
pub(super) async fn must_know_its_steps(connection: &mut PgConnection, part: Part) -> Result<(), StoreError> {
    let found = objects(connection, part).await.map_err(failed)?;
    let through = part.migrations().last().map_or(0, |(number, ..)| *number);
    let is_there = |object: &Object| object.kind == "table" && find(&found, object).is_some();
    if made(part, through).iter().any(is_there) {
        return Err(convert::damaged(lost(&["the table _sqlx_migrations is missing".to_owned()], part)));
    }
    Ok(())
}

fn lost(what: &[String], part: Part) -> StoreError {
    StoreError::Unavailable(format!(
        "{}: what was in it is not known, so restore the schema {} from your newest backup; `countersign doctor` says how",
        what.join("; "),
        part.schema()
    ))
}

/// Makes functions, triggers and indexes again that were dropped, replaced or put out of force, where every table is there.
pub(super) async fn restore(connection: &mut PgConnection, part: Part) -> Result<(), sqlx::Error> {
    let found = objects(connection, part).await?;
    let through = part.migrations().last().map_or(0, |(number, ..)| *number);
    // Triggers come after the functions that they run, as the steps have them.
    for object in made(part, through).iter().filter(|object| object.kind != "table") {
        let told = find(&found, object);
        if told.is_some_and(|told| told == object.told()) {
            continue;
        }
        tracing::warn!("the {} {} was dropped or changed; it is made again", object.kind, object.name);
        for statement in object.again(told.is_some()) {
            raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

type Found = Vec<(String, String, String)>;

async fn objects(connection: &mut PgConnection, part: Part) -> Result<Found, sqlx::Error> {
    query_as(OBJECTS).bind(part.schema()).fetch_all(connection).await
}

fn find<'a>(found: &'a Found, object: &Object) -> Option<&'a str> {
    found.iter().find(|(kind, name, _)| kind == object.kind && name == object.name).map(|(.., told)| told.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_steps_make_is_known_by_kind_and_name() {
        let names = |kind| {
            let made = made(Part::Log, 3).into_iter().filter(move |object| object.kind == kind);
            made.map(|object| object.name).collect::<Vec<_>>()
        };
        assert_eq!(names("function"), ["events_are_append_only", "events_leave_no_gap"]);
        assert_eq!(names("trigger"), ["events_are_not_updated", "events_are_not_put_beyond_a_gap"]);
        assert_eq!(names("index"), ["outcomes_by_age"]);
        assert!(names("table").contains(&"events") && names("table").contains(&"token_uses"));
        let unique = made(Part::Vault, 1).into_iter().find(|object| object.name == "links_one_set_up");
        assert!(unique.expect("an index").sql.ends_with("where user_id is null"));
    }

    #[test]
    fn a_function_is_one_statement_with_its_body() {
        let made = made(Part::Log, 1);
        let function = made.iter().find(|object| object.name == "events_are_append_only").expect("a function");
        assert!(function.told().starts_with("\nbegin\n") && function.told().ends_with("end;\n"), "{function:?}");
    }
}
