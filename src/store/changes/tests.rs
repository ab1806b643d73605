//! Plans of changes: that they do in a real file what the changes say one by one, and in how many statements.

use std::collections::BTreeMap;

use countersign_projections::{
    Kind,
    change::{bytes, integer, text},
};
use proptest::prelude::*;
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqliteConnection, query, raw_sql, sqlite::SqliteConnectOptions};

use super::*;

const PEOPLE: Table = Table {
    name: "people",
    key: &[text("name")],
    columns: &[text("town"), integer("age"), integer("visits"), bytes("photo")],
    indexes: &[&["town"]],
    ends: &["age"],
};
const LETTERS: Table = Table {
    name: "letters",
    key: &[text("name"), integer("number")],
    columns: &[text("words"), integer("stamps")],
    indexes: &[&["name", "stamps"]],
    ends: &["stamps"],
};
const TAGS: Table = Table { name: "tags", key: &[text("tag")], columns: &[], indexes: &[], ends: &[] };

fn person(name: &str) -> Vec<Value> {
    vec![name.into()]
}

fn age(name: &str, age: i64) -> Change {
    Change::Patch { table: &PEOPLE, key: person(name), set: vec![("age", age.into())] }
}

fn town(name: &str, town: &str) -> Change {
    Change::Patch { table: &PEOPLE, key: person(name), set: vec![("town", town.into())] }
}

fn visit(name: &str) -> Change {
    Change::Increment { table: &PEOPLE, key: person(name), by: vec![("visits", 1)] }
}

fn newcomer(name: &str) -> Change {
    let set = vec![("town", Value::Null), ("age", 1_i64.into()), ("visits", 0_i64.into()), ("photo", Value::Null)];
    Change::Upsert { table: &PEOPLE, key: person(name), set }
}

fn gone(name: &str) -> Change {
    Change::Delete { table: &PEOPLE, key: person(name) }
}

fn letter_to_all_of(town: &str, number: i64) -> Change {
    Change::Copy {
        into: &LETTERS,
        from: &PEOPLE,
        by: "town",
        equals: town.into(),
        columns: vec![
            ("name", Source::Column("name")),
            ("number", Source::Value(number.into())),
            ("words", Source::Column("town")),
            ("stamps", Source::Value(2_i64.into())),
        ],
    }
}

fn everybody_leaves(town: &str) -> Change {
    Change::DeleteWhere { table: &PEOPLE, by: "town", equals: town.into() }
}

fn everybody_of(town: &str, age: Value) -> Change {
    let set = vec![("photo", Value::Null), ("age", age)];
    Change::PatchWhere { table: &PEOPLE, by: "town", equals: town.into(), set }
}

fn plan(changes: Vec<Change>) -> Vec<Step> {
    Planner::new(Placeholders::Anonymous).plan(changes)
}

#[test]
fn patches_of_a_row_become_one_statement_with_the_last_values() {
    let steps = plan(vec![age("ann", 1), town("ann", "Ulm"), age("ann", 2)]);
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].values, ["ann".into(), "Ulm".into(), Value::Integer(2)]);
}

#[test]
fn what_happens_to_a_new_row_is_part_of_its_insertion() {
    let steps = plan(vec![newcomer("ann"), visit("ann"), visit("ann"), age("ann", 7)]);
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].values, ["ann".into(), Value::Null, 7_i64.into(), Value::Integer(2), Value::Null]);
}

#[test]
fn a_patch_after_an_increment_stays_after_it() {
    let steps = plan(vec![visit("ann"), age("ann", 7), visit("ben")]);
    let texts: Vec<_> = steps.iter().map(|step| &step.sql[..20]).collect();
    assert_eq!(steps.len(), 3, "{texts:?}");
    assert!(steps[0].sql.contains("people.visits +") && steps[2].sql.contains("age ="));
}

#[test]
fn what_was_to_become_of_a_deleted_row_is_forgotten() {
    let steps = plan(vec![age("ann", 1), visit("ann"), gone("ann"), age("ann", 2), visit("ann")]);
    assert_eq!(steps.len(), 1);
    assert!(steps[0].sql.starts_with("delete from people"));
}

#[test]
fn a_copy_sees_what_came_before_it_and_not_what_came_after() {
    let steps = plan(vec![town("ann", "Ulm"), letter_to_all_of("Ulm", 1), town("ann", "Bonn")]);
    let kinds: Vec<_> = steps.iter().map(|step| &step.sql[..6]).collect();
    assert_eq!(kinds, ["update", "insert", "update"]);
}

#[test]
fn what_is_said_of_a_set_of_rows_sees_what_came_before_it_and_not_what_came_after() {
    let changes = vec![town("ann", "Ulm"), everybody_of("Ulm", 1_i64.into()), town("ben", "Ulm"), newcomer("cleo")];
    let steps = plan(changes.into_iter().chain([everybody_leaves("Ulm"), town("ann", "Bonn")]).collect());
    let kinds: Vec<_> = steps.iter().map(|step| &step.sql[..6]).collect();
    assert_eq!(kinds, ["update", "update", "update", "insert", "delete", "update"]);
    assert_eq!(&*steps[1].sql, "update people\nset age = ?, photo = ?\nwhere town = ?");
    assert_eq!(steps[1].values, [1_i64.into(), Value::Null, "Ulm".into()]);
}

#[test]
fn dead_rows_are_found_by_an_index_and_deleted_by_their_key() {
    let of_people = "delete from people\nwhere name in (\n    select name\n    from people\n    where age < $1\n    \
                     limit $2\n)\nreturning name";
    assert_eq!(purge(&PEOPLE, "age"), of_people);
    assert!(purge(&LETTERS, "stamps").contains("where (name, number) in (\n    select name, number\n"));
}

#[test]
fn rows_come_in_numbers_of_the_ladder_and_texts_are_kept() {
    let mut planner = Planner::new(Placeholders::Anonymous);
    let names: Vec<_> = (0..82).map(|number| format!("p{number}")).collect();
    let steps = planner.plan(names.iter().map(|name| visit(name)).collect());
    let rows: Vec<_> = steps.iter().map(|step| step.values.len() / 2).collect();
    assert_eq!(rows, [64, 8, 8, 1, 1]);
    let again = planner.plan(names.iter().map(|name| visit(name)).collect());
    assert!(steps.iter().zip(&again).all(|(one, two)| Arc::ptr_eq(&one.sql, &two.sql)));
}

#[test]
fn placeholders_are_numbered_where_they_must_be() {
    let step = Planner::new(Placeholders::Numbered).plan(vec![letter_to_all_of("Ulm", 1)]).remove(0);
    assert!(
        step.sql.contains("select name, $1::bigint, town, $2::bigint\nfrom people\nwhere town = $3"),
        "{}",
        step.sql
    );
    let step = Planner::new(Placeholders::Numbered).plan(vec![visit("ann")]).remove(0);
    assert!(step.sql.contains("(values ($1::text, $2::bigint)) as given"), "{}", step.sql);
}

#[test]
fn tables_and_indexes_are_named_after_what_they_hold() {
    let statements = ddl(&LETTERS);
    assert!(statements[0].starts_with("create table letters (\n    name text not null,\n    number integer not null,"));
    assert!(statements[0].ends_with("primary key (name, number)\n) strict, without rowid"));
    assert_eq!(statements[1], "create index letters_by_name_stamps on letters (name, stamps)");
}

// What the changes mean, one by one, on maps.

type Rows = BTreeMap<Vec<String>, Vec<Value>>;
type Tables = BTreeMap<&'static str, (&'static Table, Rows)>;

/// Keys as texts, since values have no order.
fn words(key: &[Value]) -> Vec<String> {
    key.iter().map(|value| format!("{value:?}")).collect()
}

fn column(table: &Table, row: &[Value], name: &str) -> Value {
    let all = table.key.iter().chain(table.columns);
    row[all.into_iter().position(|column| column.name == name).unwrap()].clone()
}

fn set(table: &Table, row: &mut [Value], name: &str, value: Value) {
    row[table.key.len() + table.columns.iter().position(|column| column.name == name).unwrap()] = value;
}

fn apply_naively(tables: &mut Tables, change: &Change) {
    match change {
        Change::Upsert { table, key, set } => {
            let row = key.iter().cloned().chain(set.iter().map(|(_, value)| value.clone())).collect();
            tables.get_mut(table.name).unwrap().1.insert(words(key), row);
        }
        Change::Patch { table, key, set: given } => {
            if let Some(row) = tables.get_mut(table.name).unwrap().1.get_mut(&words(key)) {
                for (name, value) in given {
                    set(table, row, name, value.clone());
                }
            }
        }
        Change::Increment { table, key, by } => {
            if let Some(row) = tables.get_mut(table.name).unwrap().1.get_mut(&words(key)) {
                for (name, more) in by {
                    if let Value::Integer(number) = column(table, row, name) {
                        set(table, row, name, (number + more).into());
                    }
                }
            }
        }
        Change::Delete { table, key } => {
            tables.get_mut(table.name).unwrap().1.remove(&words(key));
        }
        Change::PatchWhere { table, by, equals, set: given } => {
            for row in tables.get_mut(table.name).unwrap().1.values_mut() {
                if column(table, row, by) == *equals {
                    for (name, value) in given {
                        set(table, row, name, value.clone());
                    }
                }
            }
        }
        Change::DeleteWhere { table, by, equals } => {
            tables.get_mut(table.name).unwrap().1.retain(|_, row| column(table, row, by) != *equals);
        }
        Change::Copy { into, from, by, equals, columns } => {
            let rows: Vec<_> =
                tables[from.name].1.values().filter(|row| column(from, row, by) == *equals).cloned().collect();
            for old in rows {
                let new: Vec<_> = columns
                    .iter()
                    .map(|(_, source)| match source {
                        Source::Column(name) => column(from, &old, name),
                        Source::Value(value) => value.clone(),
                    })
                    .collect();
                let key = words(&new[..into.key.len()]);
                tables.get_mut(into.name).unwrap().1.entry(key).or_insert(new);
            }
        }
    }
}

async fn apply_planned(connection: &mut SqliteConnection, changes: Vec<Change>) {
    for Step { sql, values } in plan(changes) {
        let mut statement = query(AssertSqlSafe(sql));
        for value in values {
            statement = match value {
                Value::Null => statement.bind(None::<i64>),
                Value::Integer(number) => statement.bind(number),
                Value::Text(text) => statement.bind(text),
                Value::Bytes(bytes) => statement.bind(bytes),
            };
        }
        statement.execute(&mut *connection).await.unwrap();
    }
}

async fn stored(connection: &mut SqliteConnection, table: &'static Table) -> Rows {
    let columns: Vec<_> = table.key.iter().chain(table.columns).collect();
    let names = list(columns.iter().map(|column| column.name));
    let select = format!("select {names} from {}", table.name);
    let rows = query(AssertSqlSafe(select)).fetch_all(connection).await.unwrap();
    let value = |row: &sqlx::sqlite::SqliteRow, place: usize, kind: Kind| match kind {
        Kind::Integer => row.get::<Option<i64>, _>(place).map_or(Value::Null, Value::Integer),
        Kind::Text => row.get::<Option<String>, _>(place).map_or(Value::Null, Value::Text),
        Kind::Bytes => row.get::<Option<Vec<u8>>, _>(place).map_or(Value::Null, Value::Bytes),
    };
    let row = |row| columns.iter().enumerate().map(|(place, column)| value(row, place, column.kind)).collect();
    rows.iter().map(row).map(|row: Vec<Value>| (words(&row[..table.key.len()]), row)).collect()
}

async fn planned_and_naive(before: Vec<Change>, changes: Vec<Change>) -> (Vec<Rows>, Vec<Rows>) {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(dir.path().join("t.db")).create_if_missing(true);
    let mut connection = options.pragma("synchronous", "off").connect().await.unwrap();
    let all: [&'static Table; 3] = [&PEOPLE, &LETTERS, &TAGS];
    for statement in all.iter().flat_map(|table| ddl(table)) {
        raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    let mut tables: Tables = all.iter().map(|table| (table.name, (*table, Rows::new()))).collect();
    for batch in [before, changes] {
        for change in &batch {
            apply_naively(&mut tables, change);
        }
        apply_planned(&mut connection, batch).await;
    }
    let mut planned = vec![];
    for table in all {
        planned.push(stored(&mut connection, table).await);
    }
    (planned, all.iter().map(|table| tables[table.name].1.clone()).collect())
}

fn a_number() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), (-5_i64..5).prop_map(Value::Integer)]
}

fn a_town() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), (0..3).prop_map(|number| Value::Text(format!("town {number}")))]
}

fn a_person() -> impl Strategy<Value = Vec<Value>> {
    (0..12).prop_map(|number| vec![Value::Text(format!("person {number}"))])
}

fn a_letter() -> impl Strategy<Value = Vec<Value>> {
    (0..12, 0_i64..3).prop_map(|(person, number)| vec![Value::Text(format!("person {person}")), number.into()])
}

fn a_change() -> impl Strategy<Value = Change> {
    let whole = (a_town(), a_number(), a_number(), any::<bool>()).prop_map(|(town, age, visits, photo)| {
        let photo = if photo { Value::Bytes(vec![0, 1]) } else { Value::Null };
        vec![("town", town), ("age", age), ("visits", visits), ("photo", photo)]
    });
    let part = prop_oneof![
        a_town().prop_map(|town| vec![("town", town)]),
        (a_number(), a_town()).prop_map(|(age, town)| vec![("age", age), ("town", town)]),
        a_number().prop_map(|visits| vec![("visits", visits)]),
        Just(vec![]),
    ];
    let more = prop_oneof![
        (-2_i64..3).prop_map(|visits| vec![("visits", visits)]),
        (-2_i64..3).prop_map(|age| vec![("age", age), ("visits", 1)]),
    ];
    prop_oneof![
        6 => (a_person(), whole).prop_map(|(key, set)| Change::Upsert { table: &PEOPLE, key, set }),
        4 => (a_person(), part).prop_map(|(key, set)| Change::Patch { table: &PEOPLE, key, set }),
        4 => (a_person(), more).prop_map(|(key, by)| Change::Increment { table: &PEOPLE, key, by }),
        2 => a_person().prop_map(|key| Change::Delete { table: &PEOPLE, key }),
        1 => (0..3, a_number()).prop_map(|(town, age)| everybody_of(&format!("town {town}"), age)),
        1 => (0..3).prop_map(|town| everybody_leaves(&format!("town {town}"))),
        1 => (0..12).prop_map(|person| {
            let equals = format!("person {person}").into();
            Change::DeleteWhere { table: &LETTERS, by: "name", equals }
        }),
        1 => (0..3, 0_i64..3).prop_map(|(town, number)| letter_to_all_of(&format!("town {town}"), number)),
        2 => (a_letter(), a_number()).prop_map(|(key, stamps)| Change::Patch { table: &LETTERS, key, set: vec![("stamps", stamps)] }),
        2 => a_letter().prop_map(|key| Change::Increment { table: &LETTERS, key, by: vec![("stamps", 1)] }),
        2 => a_letter().prop_map(|key| Change::Delete { table: &LETTERS, key }),
        1 => (0_u32..4).prop_map(|tag| Change::Upsert { table: &TAGS, key: vec![Value::Text(tag.to_string())], set: vec![] }),
        1 => (0_u32..4).prop_map(|tag| Change::Delete { table: &TAGS, key: vec![Value::Text(tag.to_string())] }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn planned_statements_do_what_the_changes_say(
        before in prop::collection::vec(a_change(), 0..40),
        changes in prop::collection::vec(a_change(), 0..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (planned, naive) = runtime.block_on(planned_and_naive(before, changes));
        prop_assert_eq!(planned, naive);
    }
}
