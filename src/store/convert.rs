//! Rows of either database as values of the domain. A row that cannot be read is corrupt, and says which column.

use std::{fmt::Display, str::FromStr};

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
use uuid::Uuid;

use super::{
    CommandKey, Cursor, Head, LogIdentity, Mark, Outcome, Parked, StoreError, StoredEvent,
    ask::{At, Columns},
    from_micros,
    rows::{
        AccountRow, ApplicationRow, AuthorizationRow, CommentPlace, CommentRow, NotificationRow, PostCounts, PostRow,
        TokenRow,
    },
};
use crate::judged_time::Anchor;

pub(crate) fn corrupt(column: impl Display, detail: impl Display) -> StoreError {
    StoreError::Corrupt { position: Position(0), detail: format!("column {column}: {detail}") }
}

/// What a database said that cannot make sense of what lies there.
pub(crate) fn damaged(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(detail) => StoreError::Corrupt { position: Position(0), detail },
        error => error,
    }
}

fn missing(at: At<'_>) -> StoreError {
    corrupt(at, "is null")
}

pub(crate) fn integer<'a>(row: &impl Columns, at: impl Into<At<'a>>) -> Result<i64, StoreError> {
    let at = at.into();
    row.integer(at)?.ok_or_else(|| missing(at))
}

pub(crate) fn text<'r, 'a>(row: &'r impl Columns, at: impl Into<At<'a>>) -> Result<&'r str, StoreError> {
    let at = at.into();
    row.text(at)?.ok_or_else(|| missing(at))
}

pub(crate) fn bytes<'r, 'a>(row: &'r impl Columns, at: impl Into<At<'a>>) -> Result<&'r [u8], StoreError> {
    let at = at.into();
    row.bytes(at)?.ok_or_else(|| missing(at))
}

fn owned(row: &impl Columns, column: &str) -> Result<String, StoreError> {
    text(row, column).map(ToOwned::to_owned)
}

fn optional_text(row: &impl Columns, column: &str) -> Result<Option<String>, StoreError> {
    Ok(row.text(column.into())?.map(ToOwned::to_owned))
}

/// A value from its text. What the text was is not said: it may be about a person.
fn parse<T: FromStr>(row: &impl Columns, column: &str) -> Result<T, StoreError> {
    text(row, column)?.parse().map_err(|_| corrupt(column, "cannot be read"))
}

fn parse_optional<T: FromStr>(row: &impl Columns, column: &str) -> Result<Option<T>, StoreError> {
    let text = row.text(column.into())?;
    text.map(|text| text.parse().map_err(|_| corrupt(column, "cannot be read"))).transpose()
}

/// A whole number of any width that is not negative where it must not be.
pub(crate) fn number<'a, T: TryFrom<i64>>(row: &impl Columns, at: impl Into<At<'a>>) -> Result<T, StoreError> {
    let column = at.into();
    integer(row, column)?.try_into().map_err(|_| corrupt(column, "out of range"))
}

fn instant(row: &impl Columns, column: &str) -> Result<Timestamp, StoreError> {
    Ok(from_micros(integer(row, column)?))
}

fn optional_instant(row: &impl Columns, column: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.integer(column.into())?.map(from_micros))
}

fn uuid(row: &impl Columns, column: &str) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes(row, column)?).map_err(|error| corrupt(column, error))
}

fn digest(row: &impl Columns, column: &str) -> Result<[u8; 32], StoreError> {
    bytes(row, column)?.try_into().map_err(|_| corrupt(column, "is not 32 bytes long"))
}

pub(crate) fn head(row: &impl Columns) -> Result<Head, StoreError> {
    Ok(Head {
        epoch: number(row, "epoch")?,
        position: Position(number(row, "position")?),
        recorded_at: instant(row, "recorded_at")?,
    })
}

/// An event; what cannot be read names its position.
pub(crate) fn event(row: &impl Columns) -> Result<StoredEvent, StoreError> {
    let position = Position(number(row, "position")?);
    event_at(row, position).map_err(|error| match error {
        StoreError::Corrupt { detail, .. } => StoreError::Corrupt { position, detail },
        error => error,
    })
}

fn event_at(row: &impl Columns, position: Position) -> Result<StoredEvent, StoreError> {
    let envelope = Envelope {
        position,
        event_id: EventId(uuid(row, "event_id")?),
        stream: parse(row, "stream")?,
        version: Version(number(row, "version")?),
        recorded_at: instant(row, "recorded_at")?,
        actor: parse(row, "actor")?,
        on_behalf_of: parse_optional(row, "on_behalf_of")?,
        client_address: row.bytes("client_address".into())?.map(address).transpose()?,
        request_id: optional_text(row, "request_id")?,
        command_id: optional_text(row, "command_id")?,
        causation: match row.bytes("causation".into())? {
            Some(bytes) => Some(EventId(Uuid::from_slice(bytes).map_err(|error| corrupt("causation", error))?)),
            None => None,
        },
    };
    Ok(StoredEvent {
        envelope,
        type_name: owned(row, "type")?,
        type_version: number(row, "type_version")?,
        payload: owned(row, "payload")?,
    })
}

/// An event as a replay reads it. Columns go by their places: names would be looked up for every row.
pub(crate) fn replayed(row: &impl Columns) -> Result<StoredEvent, StoreError> {
    let position = Position(number(row, 0)?);
    replayed_at(row, position).map_err(|error| match error {
        StoreError::Corrupt { detail, .. } => StoreError::Corrupt { position, detail },
        error => error,
    })
}

fn replayed_at(row: &impl Columns, position: Position) -> Result<StoredEvent, StoreError> {
    let event_id = Uuid::from_slice(bytes(row, 1)?).map_err(|error| corrupt("event_id", error))?;
    let envelope = Envelope {
        position,
        event_id: EventId(event_id),
        stream: text(row, 2)?.parse().map_err(|_| corrupt("stream", "cannot be read"))?,
        version: Version(number(row, 3)?),
        recorded_at: from_micros(integer(row, 6)?),
        actor: text(row, 7)?.parse().map_err(|_| corrupt("actor", "cannot be read"))?,
        on_behalf_of: match row.text(8.into())? {
            Some(id) => Some(id.parse().map_err(|_| corrupt("on_behalf_of", "cannot be read"))?),
            None => None,
        },
        client_address: None,
        request_id: None,
        command_id: None,
        causation: None,
    };
    Ok(StoredEvent {
        envelope,
        type_name: text(row, 4)?.to_owned(),
        type_version: number(row, 5)?,
        payload: text(row, 9)?.to_owned(),
    })
}

/// The values of a row, of columns of these kinds.
pub(crate) fn values(row: &impl Columns, kinds: impl Iterator<Item = Kind>) -> Result<Vec<Value>, StoreError> {
    let read = |(place, kind): (usize, Kind)| {
        Ok(match kind {
            Kind::Integer => row.integer(place.into())?.into(),
            Kind::Text => row.text(place.into())?.into(),
            Kind::Bytes => row.bytes(place.into())?.map_or(Value::Null, |bytes| Value::Bytes(bytes.to_vec())),
        })
    };
    kinds.enumerate().map(read).collect()
}

/// A parked event.
pub(crate) fn parked(row: &impl Columns) -> Result<Parked, StoreError> {
    Ok(Parked {
        position: Position(number(row, "position")?),
        stream: parse(row, "stream")?,
        error: optional_text(row, "error")?,
    })
}

/// The address of a request as it is stored: the id of its key, then the sealed bytes.
pub(crate) fn sealed_address(stored: &StoredEvent) -> Result<Option<Vec<u8>>, StoreError> {
    match &stored.envelope.client_address {
        None => Ok(None),
        Some(Personal::Sealed { key, bytes }) => Ok(Some([key.0.as_bytes().as_slice(), bytes].concat())),
        Some(Personal::Erased) => Ok(Some(vec![])),
        Some(Personal::Clear(_)) => Err(StoreError::Unavailable("the address of a request was not sealed".to_owned())),
    }
}

fn address(bytes: &[u8]) -> Result<Personal, StoreError> {
    match bytes.split_first_chunk::<16>() {
        Some((key, sealed)) => Ok(Personal::Sealed { key: DataKeyId(Uuid::from_bytes(*key)), bytes: sealed.to_vec() }),
        None if bytes.is_empty() => Ok(Personal::Erased),
        None => Err(corrupt("client_address", "is cut short")),
    }
}

pub(crate) fn outcome(row: &impl Columns) -> Result<Outcome, StoreError> {
    Ok(Outcome {
        key: CommandKey { scope: owned(row, "scope")?, id: owned(row, "command_id")? },
        body: digest(row, "body_digest")?,
        answer: owned(row, "answer")?,
        position: Position(number(row, "position")?),
        recorded_at: instant(row, "recorded_at")?,
    })
}

pub(crate) fn account(row: &impl Columns) -> Result<AccountRow, StoreError> {
    let standing = text(row, "standing")?;
    let standing = [AccountStanding::Active, AccountStanding::Suspended, AccountStanding::Erased]
        .into_iter()
        .find(|known| known.as_str() == standing)
        .ok_or_else(|| corrupt("standing", "cannot be read"))?;
    let mut roles = vec![];
    for role in Role::ALL {
        if integer(row, role.as_str())? != 0 {
            roles.push(role);
        }
    }
    Ok(AccountRow {
        user_id: parse(row, "user_id")?,
        username: optional_text(row, "username")?,
        standing,
        roles: roles.into_iter().collect(),
        verifier: parse(row, "verifier")?,
        data_key: parse(row, "data_key")?,
        registered_at: instant(row, "registered_at")?,
    })
}

pub(crate) fn application(row: &impl Columns) -> Result<ApplicationRow, StoreError> {
    // Judged when they were registered; a rule that came later does not unmake them.
    let uri = |line: &str| {
        serde_json::from_value::<RedirectUri>(line.into()).map_err(|_| corrupt("redirect_uris", "cannot be read"))
    };
    Ok(ApplicationRow {
        application_id: parse(row, "application_id")?,
        owner_id: parse(row, "owner_id")?,
        standing: parse(row, "standing")?,
        purpose: parse(row, "purpose")?,
        name: owned(row, "name")?,
        description: owned(row, "description")?,
        website: optional_text(row, "website")?,
        redirect_uris: text(row, "redirect_uris")?.lines().map(uri).collect::<Result<_, _>>()?,
        scopes: parse(row, "scopes")?,
        revision: number(row, "revision")?,
        holds: number(row, "holds")?,
        revised_at: instant(row, "revised_at")?,
        client_id: parse_optional(row, "client_id")?,
        proposed: match row.text("proposed".into())? {
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
        reason_code: optional_text(row, "reason_code")?,
        reason_position: match row.integer("reason_position".into())? {
            Some(_) => Some(Position(number(row, "reason_position")?)),
            None => None,
        },
    })
}

/// Since when an application waited, and when it was answered.
pub(crate) fn answer(row: &impl Columns) -> Result<(Timestamp, Timestamp), StoreError> {
    Ok((instant(row, "waiting_since")?, instant(row, "answered_at")?))
}

/// Whose a client id was, and since when it is not.
pub(crate) fn former_client(row: &impl Columns) -> Result<(ApplicationId, Timestamp), StoreError> {
    Ok((parse(row, "application_id")?, instant(row, "rotated_at")?))
}

pub(crate) fn authorization(row: &impl Columns) -> Result<AuthorizationRow, StoreError> {
    Ok(AuthorizationRow {
        application_id: parse(row, "application_id")?,
        user_id: parse(row, "user_id")?,
        grant: number(row, "granted")?,
        scopes: parse(row, "scopes")?,
        by_consent: text(row, "via")? == "consent",
        authorized_at: instant(row, "authorized_at")?,
        rescinded: row.integer("rescinded_at".into())?.is_some(),
    })
}

pub(crate) fn token(row: &impl Columns) -> Result<TokenRow, StoreError> {
    let kind = TokenKind::from_name(text(row, "kind")?).ok_or_else(|| corrupt("kind", "cannot be read"))?;
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
        ended_why: optional_text(row, "ended_why")?,
    })
}

/// When a token was last used.
pub(crate) fn token_use(row: &impl Columns) -> Result<(TokenDigest, Timestamp), StoreError> {
    Ok((TokenDigest::from_bytes(digest(row, "digest")?), instant(row, "used_at")?))
}

pub(crate) fn notification(row: &impl Columns) -> Result<NotificationRow, StoreError> {
    Ok(NotificationRow {
        id: parse(row, "id")?,
        position: Position(number(row, "position")?),
        kind: owned(row, "kind")?,
        created_at: instant(row, "created_at")?,
        read: integer(row, "read")? != 0,
        from_id: parse_optional(row, "from_id")?,
        application_id: parse_optional(row, "application_id")?,
        post_id: parse_optional(row, "post_id")?,
        comment_id: parse_optional(row, "comment_id")?,
        token_id: parse_optional(row, "token_id")?,
        secret: optional_text(row, "secret")?,
        held_until: optional_instant(row, "held_until")?,
        revealed_at: optional_instant(row, "revealed_at")?,
    })
}

/// How many steps of a kind fell into a week.
pub(crate) fn steps(row: &impl Columns) -> Result<(String, u32, u64), StoreError> {
    Ok((owned(row, "kind")?, number(row, "week")?, number(row, "steps")?))
}

pub(crate) fn position(row: &impl Columns) -> Result<Position, StoreError> {
    number(row, "position").map(Position)
}

pub(crate) fn event_id(row: &impl Columns) -> Result<EventId, StoreError> {
    uuid(row, "event_id").map(EventId)
}

pub(crate) fn cut_off(row: &impl Columns) -> Result<Timestamp, StoreError> {
    instant(row, "instant")
}

pub(crate) fn anchor(row: &impl Columns) -> Result<Anchor, StoreError> {
    let [judged, destroying, watched] = ["judged", "destroying", "watched"].map(|name| instant(row, name));
    Ok(Anchor { judged: judged?, destroying: destroying?, watched: watched? })
}

pub(crate) fn cursor(row: &impl Columns) -> Result<Cursor, StoreError> {
    Ok(Cursor { epoch: number(row, "epoch")?, position: position(row)? })
}

/// With columns `epoch`, `position` and `event_id`.
pub(crate) fn mark(row: &impl Columns) -> Result<Mark, StoreError> {
    let event = match row.bytes("event_id".into())? {
        Some(_) => Some(event_id(row)?),
        None => None,
    };
    Ok(Mark { cursor: cursor(row)?, event })
}

pub(crate) fn log_identity(row: &impl Columns) -> Result<LogIdentity, StoreError> {
    let vault_seen = Cursor { epoch: number(row, "vault_epoch")?, position: Position(number(row, "vault_position")?) };
    Ok(LogIdentity { site: Some(uuid(row, "site")?), vault_seen })
}

pub(crate) fn recorded_at(row: &impl Columns) -> Result<Timestamp, StoreError> {
    instant(row, "recorded_at")
}

pub(crate) fn overdue<A: FromStr, B: FromStr>(row: &impl Columns) -> Result<(A, B), StoreError> {
    Ok((parse(row, "user_id")?, parse(row, "id")?))
}

pub(crate) fn post_counts(row: &impl Columns) -> Result<PostCounts, StoreError> {
    Ok(PostCounts {
        post_id: parse(row, "post_id")?,
        created_at: instant(row, "created_at")?,
        comment_count: integer(row, "comment_count")?,
        upvotes: integer(row, "upvotes")?,
        downvotes: integer(row, "downvotes")?,
    })
}

pub(crate) fn post(row: &impl Columns) -> Result<PostRow, StoreError> {
    Ok(PostRow {
        counts: post_counts(row)?,
        author_id: parse(row, "author_id")?,
        application_id: parse_optional(row, "application_id")?,
        title: optional_text(row, "title")?,
        url: optional_text(row, "url")?,
        body: optional_text(row, "body")?,
        body_html: optional_text(row, "body_html")?,
        left_out: integer(row, "left_out")? != 0,
    })
}

pub(crate) fn comment_place(row: &impl Columns) -> Result<CommentPlace, StoreError> {
    Ok(CommentPlace {
        comment_id: parse(row, "comment_id")?,
        parent_id: parse_optional(row, "parent_id")?,
        author_id: parse(row, "author_id")?,
        created_at: instant(row, "created_at")?,
        bytes: text_bytes(row)?,
    })
}

/// How many bytes a text takes.
pub(crate) fn text_bytes(row: &impl Columns) -> Result<usize, StoreError> {
    Ok(usize::try_from(integer(row, "bytes")?).unwrap_or(usize::MAX))
}

pub(crate) fn created_at(row: &impl Columns) -> Result<Timestamp, StoreError> {
    instant(row, "created_at")
}

pub(crate) fn comment(row: &impl Columns) -> Result<CommentRow, StoreError> {
    Ok(CommentRow {
        comment_id: parse(row, "comment_id")?,
        post_id: parse(row, "post_id")?,
        parent_id: parse_optional(row, "parent_id")?,
        author_id: parse(row, "author_id")?,
        application_id: parse_optional(row, "application_id")?,
        body: optional_text(row, "body")?,
        body_html: optional_text(row, "body_html")?,
        created_at: instant(row, "created_at")?,
    })
}

/// A stream and its version, where it has one.
pub(crate) fn version<S: FromStr>(row: &impl Columns) -> Result<Option<(S, Version)>, StoreError> {
    match row.integer("version".into())? {
        Some(_) => Ok(Some((parse(row, "stream")?, Version(number(row, "version")?)))),
        None => Ok(None),
    }
}
