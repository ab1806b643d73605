//! Values of the domain as what `PostgreSQL` binds, and its rows.

use countersign_projections::Value;
use sqlx::{
    Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgArguments, PgRow, PgTypeInfo, types::Oid},
    query,
    query::Query,
};

use super::super::{
    Outcome, StoreError, StoredEvent,
    ask::{Ask, Bind, columns},
    convert::sealed_address,
    signed,
};

columns!(PgRow);

pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// What both databases are asked alike.
pub(super) fn statement(ask: Ask) -> Statement<'static> {
    ask.binds.into_iter().fold(query(ask.text), |statement, value| match value {
        Bind::Integer(number) => statement.bind(number),
        Bind::Text(text) => statement.bind(text),
        Bind::Bytes(bytes) => statement.bind(bytes),
        Bind::Integers(numbers) => statement.bind(numbers),
        Bind::Texts(texts) => statement.bind(texts),
        Bind::Many(many) => statement.bind(many),
    })
}

/// A null of the type that the statement gives its place.
struct Nothing;

impl Type<Postgres> for Nothing {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Nothing {
    fn encode_by_ref(&self, _: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(IsNull::Yes)
    }
}

/// Binds a value of a change.
pub(super) fn value(statement: Statement<'_>, value: Value) -> Statement<'_> {
    match value {
        Value::Null => statement.bind(Nothing),
        Value::Integer(number) => statement.bind(number),
        Value::Text(text) => statement.bind(text),
        Value::Bytes(bytes) => statement.bind(bytes),
    }
}

/// Binds events, a list for each column, in the order of the columns.
pub(super) fn events<'q>(statement: Statement<'q>, events: &[StoredEvent]) -> Result<Statement<'q>, StoreError> {
    let addresses = events.iter().map(sealed_address).collect::<Result<Vec<_>, _>>()?;
    Ok(statement
        .bind(each(events, |stored| signed(stored.envelope.position.0)))
        .bind(each(events, |stored| stored.envelope.event_id.0.as_bytes().to_vec()))
        .bind(each(events, |stored| stored.envelope.stream.to_string()))
        .bind(each(events, |stored| signed(stored.envelope.version.0)))
        .bind(each(events, |stored| stored.type_name.clone()))
        .bind(each(events, |stored| i64::from(stored.type_version)))
        .bind(each(events, |stored| stored.envelope.recorded_at.timestamp_micros()))
        .bind(each(events, |stored| stored.envelope.actor.to_string()))
        .bind(each(events, |stored| stored.envelope.on_behalf_of.map(|id| id.to_string())))
        .bind(addresses)
        .bind(each(events, |stored| stored.envelope.request_id.clone()))
        .bind(each(events, |stored| stored.envelope.command_id.clone()))
        .bind(each(events, |stored| stored.envelope.causation.map(|id| id.0.as_bytes().to_vec())))
        .bind(each(events, |stored| stored.payload.clone())))
}

/// Binds outcomes, a list for each column, in the order of the columns.
pub(super) fn outcomes<'q>(statement: Statement<'q>, outcomes: &[Outcome]) -> Statement<'q> {
    statement
        .bind(each(outcomes, |outcome| outcome.key.scope.clone()))
        .bind(each(outcomes, |outcome| outcome.key.id.clone()))
        .bind(each(outcomes, |outcome| outcome.body.to_vec()))
        .bind(each(outcomes, |outcome| outcome.answer.clone()))
        .bind(each(outcomes, |outcome| signed(outcome.position.0)))
        .bind(each(outcomes, |outcome| outcome.recorded_at.timestamp_micros()))
}

fn each<T, V>(rows: &[T], value: impl Fn(&T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}
