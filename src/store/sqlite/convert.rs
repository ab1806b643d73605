//! Rows of `SQLite` as values of the domain, and back. A row that cannot be read is corrupt, and says
//! which column.

use std::str::FromStr;

use countersign_events::{
    account::{AccountStanding, Role},
    application::Claim,
    ids::{ApplicationId, DataKeyId, EventId},
    recorded::{Envelope, Position, Timestamp, Version},
    redirect_uri::RedirectUri,
    sensitive::Personal,
    token::{TokenDigest, TokenKind},
};
use countersign_projections::{Kind, Value};
use sqlx::{
    Row, Sqlite, SqlitePool,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};
use uuid::Uuid;

use super::{json, signed, unavailable};
use crate::store::{
    CommandKey, Head, Outcome, Parked, Span, StoreError, StoredEvent, from_micros,
    rows::{AccountRow, ApplicationRow, AuthorizationRow, CommentRow, NotificationRow, PostCounts, PostRow, TokenRow},
};

pub(super) type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

pub(super) fn corrupt(column: &str, detail: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { position: Position(0), detail: format!("column {column}: {detail}") }
}

fn get<'r, T>(row: &'r SqliteRow, column: &str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(column).map_err(|error| corrupt(column, error))
}

/// A value from its text. What the text was is not said: it may be about a person.
fn parse<T: FromStr>(row: &SqliteRow, column: &str) -> Result<T, StoreError> {
    get::<&str>(row, column)?.parse().map_err(|_| corrupt(column, "cannot be read"))
}

fn parse_optional<T: FromStr>(row: &SqliteRow, column: &str) -> Result<Option<T>, StoreError> {
    let text = get::<Option<&str>>(row, column)?;
    text.map(|text| text.parse().map_err(|_| corrupt(column, "cannot be read"))).transpose()
}

/// A whole number of any width that is not negative where it must not be.
pub(super) fn number<T: TryFrom<i64>>(row: &SqliteRow, column: &str) -> Result<T, StoreError> {
    get::<i64>(row, column)?.try_into().map_err(|_| corrupt(column, "out of range"))
}

fn instant(row: &SqliteRow, column: &str) -> Result<Timestamp, StoreError> {
    Ok(from_micros(get(row, column)?))
}

fn optional_instant(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(get::<Option<i64>>(row, column)?.map(from_micros))
}

fn uuid(row: &SqliteRow, column: &str) -> Result<Uuid, StoreError> {
    Uuid::from_slice(get(row, column)?).map_err(|error| corrupt(column, error))
}

fn digest(row: &SqliteRow, column: &str) -> Result<[u8; 32], StoreError> {
    get::<&[u8]>(row, column)?.try_into().map_err(|_| corrupt(column, "is not 32 bytes long"))
}

pub(super) fn head(row: &SqliteRow) -> Result<Head, StoreError> {
    Ok(Head {
        epoch: number(row, "epoch")?,
        position: Position(number(row, "position")?),
        recorded_at: instant(row, "recorded_at")?,
    })
}

/// An event; what cannot be read names its position.
pub(super) fn event(row: &SqliteRow) -> Result<StoredEvent, StoreError> {
    let position = Position(number(row, "position")?);
    event_at(row, position).map_err(|error| match error {
        StoreError::Corrupt { detail, .. } => StoreError::Corrupt { position, detail },
        error => error,
    })
}

fn event_at(row: &SqliteRow, position: Position) -> Result<StoredEvent, StoreError> {
    let envelope = Envelope {
        position,
        event_id: EventId(uuid(row, "event_id")?),
        stream: parse(row, "stream")?,
        version: Version(number(row, "version")?),
        recorded_at: instant(row, "recorded_at")?,
        actor: parse(row, "actor")?,
        on_behalf_of: parse_optional(row, "on_behalf_of")?,
        client_address: get::<Option<&[u8]>>(row, "client_address")?.map(address).transpose()?,
        request_id: get(row, "request_id")?,
        command_id: get(row, "command_id")?,
        causation: match get::<Option<&[u8]>>(row, "causation")? {
            Some(bytes) => Some(EventId(Uuid::from_slice(bytes).map_err(|error| corrupt("causation", error))?)),
            None => None,
        },
    };
    Ok(StoredEvent {
        envelope,
        type_name: get(row, "type")?,
        type_version: number(row, "type_version")?,
        payload: get(row, "payload")?,
    })
}

pub(super) fn at<'r, T>(row: &'r SqliteRow, place: usize) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(place).map_err(|error| corrupt("of a replay", error))
}

/// The values of a row, of columns of these kinds.
pub(super) fn values(row: &SqliteRow, kinds: impl Iterator<Item = Kind>) -> Result<Vec<Value>, StoreError> {
    let read = |(place, kind): (usize, Kind)| {
        Ok(match kind {
            Kind::Integer => at::<Option<i64>>(row, place)?.into(),
            Kind::Text => at::<Option<String>>(row, place)?.into(),
            Kind::Bytes => at::<Option<Vec<u8>>>(row, place)?.map_or(Value::Null, Value::Bytes),
        })
    };
    kinds.enumerate().map(read).collect()
}

/// A parked event.
pub(super) fn parked(row: &SqliteRow) -> Result<Parked, StoreError> {
    Ok(Parked {
        position: Position(number(row, "position")?),
        stream: parse(row, "stream")?,
        error: get(row, "error")?,
    })
}

fn address(bytes: &[u8]) -> Result<Personal, StoreError> {
    match bytes.split_first_chunk::<16>() {
        Some((key, sealed)) => Ok(Personal::Sealed { key: DataKeyId(Uuid::from_bytes(*key)), bytes: sealed.to_vec() }),
        None if bytes.is_empty() => Ok(Personal::Erased),
        None => Err(corrupt("client_address", "is cut short")),
    }
}

/// Binds an event, in the order of its columns.
pub(super) fn bind_event<'q>(query: Statement<'q>, stored: &StoredEvent) -> Result<Statement<'q>, StoreError> {
    let envelope = &stored.envelope;
    let address = match &envelope.client_address {
        None => None,
        Some(Personal::Sealed { key, bytes }) => Some([key.0.as_bytes().as_slice(), bytes].concat()),
        Some(Personal::Erased) => Some(vec![]),
        Some(Personal::Clear(_)) => {
            return Err(StoreError::Unavailable("the address of a request was not sealed".to_owned()));
        }
    };
    Ok(query
        .bind(super::signed(envelope.position.0))
        .bind(envelope.event_id.0.as_bytes().to_vec())
        .bind(envelope.stream.to_string())
        .bind(super::signed(envelope.version.0))
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
pub(super) fn bind_value(query: Statement<'_>, value: Value) -> Statement<'_> {
    match value {
        Value::Null => query.bind(None::<i64>),
        Value::Integer(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
    }
}

pub(super) fn outcome(row: &SqliteRow) -> Result<Outcome, StoreError> {
    Ok(Outcome {
        key: CommandKey { scope: get(row, "scope")?, id: get(row, "command_id")? },
        body: digest(row, "body_digest")?,
        answer: get(row, "answer")?,
        position: Position(number(row, "position")?),
        recorded_at: instant(row, "recorded_at")?,
    })
}

/// Binds an outcome, in the order of its columns.
pub(super) fn bind_outcome<'q>(query: Statement<'q>, outcome: &Outcome) -> Statement<'q> {
    query
        .bind(outcome.key.scope.clone())
        .bind(outcome.key.id.clone())
        .bind(outcome.body.to_vec())
        .bind(outcome.answer.clone())
        .bind(super::signed(outcome.position.0))
        .bind(outcome.recorded_at.timestamp_micros())
}

pub(super) fn account(row: &SqliteRow) -> Result<AccountRow, StoreError> {
    let standing = get::<&str>(row, "standing")?;
    let standing = [AccountStanding::Active, AccountStanding::Suspended, AccountStanding::Erased]
        .into_iter()
        .find(|known| known.as_str() == standing)
        .ok_or_else(|| corrupt("standing", "cannot be read"))?;
    let mut roles = vec![];
    for role in Role::ALL {
        if get::<i64>(row, role.as_str())? != 0 {
            roles.push(role);
        }
    }
    Ok(AccountRow {
        user_id: parse(row, "user_id")?,
        username: get(row, "username")?,
        standing,
        roles: roles.into_iter().collect(),
        verifier: parse(row, "verifier")?,
        data_key: parse(row, "data_key")?,
        registered_at: instant(row, "registered_at")?,
    })
}

pub(super) fn application(row: &SqliteRow) -> Result<ApplicationRow, StoreError> {
    // Judged when they were registered; a rule that came later does not unmake them.
    let uri = |line: &str| {
        serde_json::from_value::<RedirectUri>(line.into()).map_err(|_| corrupt("redirect_uris", "cannot be read"))
    };
    Ok(ApplicationRow {
        application_id: parse(row, "application_id")?,
        owner_id: parse(row, "owner_id")?,
        standing: parse(row, "standing")?,
        purpose: parse(row, "purpose")?,
        name: get(row, "name")?,
        description: get(row, "description")?,
        website: get(row, "website")?,
        redirect_uris: get::<&str>(row, "redirect_uris")?.lines().map(uri).collect::<Result<_, _>>()?,
        scopes: parse(row, "scopes")?,
        revision: number(row, "revision")?,
        holds: number(row, "holds")?,
        revised_at: instant(row, "revised_at")?,
        client_id: parse_optional(row, "client_id")?,
        proposed: match get::<Option<&str>>(row, "proposed")? {
            Some(json) => Some(serde_json::from_str(json).map_err(|_| corrupt("proposed", "cannot be read"))?),
            None => None,
        },
        requested_at: instant(row, "requested_at")?,
        waiting_since: optional_instant(row, "waiting_since")?,
        answered_at: optional_instant(row, "answered_at")?,
        claim: parse_optional(row, "claimed_by")?
            .zip(optional_instant(row, "claimed_at")?)
            .map(|(by, at)| Claim { by, at }),
        signed: parse_optional(row, "signed_by")?.zip(optional_instant(row, "signed_at")?),
        decided_at: optional_instant(row, "decided_at")?,
        decided_by: parse_optional(row, "decided_by")?,
        reason_code: get(row, "reason_code")?,
        reason_position: match get::<Option<i64>>(row, "reason_position")? {
            Some(_) => Some(Position(number(row, "reason_position")?)),
            None => None,
        },
    })
}

/// Since when an application waited, and when it was answered.
pub(super) fn answer(row: &SqliteRow) -> Result<(Timestamp, Timestamp), StoreError> {
    Ok((instant(row, "waiting_since")?, instant(row, "answered_at")?))
}

/// Whose a client id was, and since when it is not.
pub(super) fn former_client(row: &SqliteRow) -> Result<(ApplicationId, Timestamp), StoreError> {
    Ok((parse(row, "application_id")?, instant(row, "rotated_at")?))
}

pub(super) fn authorization(row: &SqliteRow) -> Result<AuthorizationRow, StoreError> {
    Ok(AuthorizationRow {
        application_id: parse(row, "application_id")?,
        user_id: parse(row, "user_id")?,
        grant: number(row, "granted")?,
        scopes: parse(row, "scopes")?,
        by_consent: get::<&str>(row, "via")? == "consent",
        authorized_at: instant(row, "authorized_at")?,
        rescinded: get::<Option<i64>>(row, "rescinded_at")?.is_some(),
    })
}

pub(super) fn token(row: &SqliteRow) -> Result<TokenRow, StoreError> {
    let kind = TokenKind::from_name(get(row, "kind")?).ok_or_else(|| corrupt("kind", "cannot be read"))?;
    Ok(TokenRow {
        digest: TokenDigest::from_bytes(digest(row, "digest")?),
        token_id: parse(row, "token_id")?,
        application_id: parse(row, "application_id")?,
        user_id: parse(row, "user_id")?,
        grant: number(row, "granted")?,
        kind,
        scopes: parse(row, "scopes")?,
        issued_at: instant(row, "issued_at")?,
        expires_at: optional_instant(row, "expires_at")?,
        ended_at: optional_instant(row, "ended_at")?,
        ended_why: get(row, "ended_why")?,
    })
}

/// When a token was last used.
pub(super) fn token_use(row: &SqliteRow) -> Result<(TokenDigest, Timestamp), StoreError> {
    Ok((TokenDigest::from_bytes(digest(row, "digest")?), instant(row, "used_at")?))
}

pub(super) fn notification(row: &SqliteRow) -> Result<NotificationRow, StoreError> {
    Ok(NotificationRow {
        id: parse(row, "id")?,
        position: Position(number(row, "position")?),
        kind: get(row, "kind")?,
        created_at: instant(row, "created_at")?,
        read: get::<i64>(row, "read")? != 0,
        from_id: parse_optional(row, "from_id")?,
        application_id: parse_optional(row, "application_id")?,
        post_id: parse_optional(row, "post_id")?,
        comment_id: parse_optional(row, "comment_id")?,
        token_id: parse_optional(row, "token_id")?,
        secret: get(row, "secret")?,
        held_until: optional_instant(row, "held_until")?,
        revealed_at: optional_instant(row, "revealed_at")?,
    })
}

/// Binds a stretch of the log and how much of it is wanted.
pub(super) fn span(query: Statement<'_>, span: Span, limit: u32) -> Statement<'_> {
    query.bind(signed(span.above.0)).bind(signed(span.below.0)).bind(i64::from(limit))
}

/// Positions as a list to be bound.
pub(super) fn numbers(positions: &[Position]) -> String {
    json(&positions.iter().map(|position| signed(position.0)).collect::<Vec<_>>())
}

pub(super) async fn positions(readers: &SqlitePool, statement: Statement<'_>) -> Result<Vec<Position>, StoreError> {
    let rows = statement.fetch_all(readers).await.map_err(unavailable)?;
    rows.iter().map(|row| number(row, "position").map(Position)).collect()
}

pub(super) fn recorded_at(row: &SqliteRow) -> Result<Timestamp, StoreError> {
    instant(row, "recorded_at")
}

pub(super) fn overdue<A: FromStr, B: FromStr>(row: &SqliteRow) -> Result<(A, B), StoreError> {
    Ok((parse(row, "user_id")?, parse(row, "id")?))
}

pub(super) fn post_counts(row: &SqliteRow) -> Result<PostCounts, StoreError> {
    Ok(PostCounts {
        post_id: parse(row, "post_id")?,
        created_at: instant(row, "created_at")?,
        comment_count: get(row, "comment_count")?,
        upvotes: get(row, "upvotes")?,
        downvotes: get(row, "downvotes")?,
    })
}

pub(super) fn post(row: &SqliteRow) -> Result<PostRow, StoreError> {
    Ok(PostRow {
        counts: post_counts(row)?,
        author_id: parse(row, "author_id")?,
        application_id: parse_optional(row, "application_id")?,
        title: get(row, "title")?,
        url: get(row, "url")?,
        body: get(row, "body")?,
    })
}

pub(super) fn comment(row: &SqliteRow) -> Result<CommentRow, StoreError> {
    Ok(CommentRow {
        comment_id: parse(row, "comment_id")?,
        post_id: parse(row, "post_id")?,
        parent_id: parse_optional(row, "parent_id")?,
        author_id: parse(row, "author_id")?,
        application_id: parse_optional(row, "application_id")?,
        body: get(row, "body")?,
        created_at: instant(row, "created_at")?,
    })
}

/// A stream and its version, where it has one.
pub(super) fn version<S: FromStr>(row: &SqliteRow) -> Result<Option<(S, Version)>, StoreError> {
    match get::<Option<i64>>(row, "version")? {
        Some(_) => Ok(Some((parse(row, "stream")?, Version(number(row, "version")?)))),
        None => Ok(None),
    }
}
