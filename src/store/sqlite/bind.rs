//! Values of the domain as what `SQLite` binds.

use countersign_projections::Value;
use data_encoding::HEXLOWER;
use sqlx::{
    Sqlite, query,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    super::{
        Outcome, StoreError, StoredEvent,
        ask::{Ask, Bind, columns},
        convert::sealed_address,
        signed,
    },
    json,
};

columns!(SqliteRow);

pub(super) type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// What both databases are asked alike. A list is one text of JSON: one statement for lists of any length.
pub(super) fn statement(ask: Ask) -> Statement<'static> {
    ask.binds.into_iter().fold(query(ask.text), |statement, value| match value {
        Bind::Integer(number) => statement.bind(number),
        Bind::Text(text) => statement.bind(text),
        Bind::Bytes(bytes) => statement.bind(bytes),
        Bind::Integers(numbers) => statement.bind(json(&numbers)),
        Bind::Texts(texts) => statement.bind(json(&texts)),
        Bind::Many(many) => statement.bind(json(&many.iter().map(|bytes| HEXLOWER.encode(bytes)).collect::<Vec<_>>())),
    })
}

/// Binds an event, in the order of its columns.
pub(super) fn event<'q>(statement: Statement<'q>, stored: &StoredEvent) -> Result<Statement<'q>, StoreError> {
    let envelope = &stored.envelope;
    let address = sealed_address(stored)?;
    Ok(statement
        .bind(signed(envelope.position.0))
        .bind(envelope.event_id.0.as_bytes().to_vec())
        .bind(envelope.stream.to_string())
        .bind(signed(envelope.version.0))
        .bind(stored.type_name.clone())
        .bind(i64::from(stored.type_version))
        .bind(envelope.recorded_at.timestamp_micros())
        .bind(envelope.actor.to_string())
        .bind(envelope.on_behalf_of.map(|id| id.to_string()))
        .bind(address)
        .bind(envelope.request_id.clone())
        .bind(envelope.command_id.clone())
        .bind(envelope.causation.map(|id| id.0.as_bytes().to_vec()))
        .bind(stored.payload.clone()))
}

/// Binds a value of a change.
pub(super) fn value(statement: Statement<'_>, value: Value) -> Statement<'_> {
    match value {
        Value::Null => statement.bind(None::<i64>),
        Value::Integer(number) => statement.bind(number),
        Value::Text(text) => statement.bind(text),
        Value::Bytes(bytes) => statement.bind(bytes),
    }
}

/// Binds an outcome, in the order of its columns.
pub(super) fn outcome<'q>(statement: Statement<'q>, outcome: &Outcome) -> Statement<'q> {
    statement
        .bind(outcome.key.scope.clone())
        .bind(outcome.key.id.clone())
        .bind(outcome.body.to_vec())
        .bind(outcome.answer.clone())
        .bind(signed(outcome.position.0))
        .bind(outcome.recorded_at.timestamp_micros())
}
