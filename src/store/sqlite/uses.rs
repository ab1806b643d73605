//! When tokens were last used: bookkeeping in the log's database that no read model is made of. Each function is a
//! short piece of work on the writing connection; when to do it is the caller's.

use countersign_events::{ids::UserId, recorded::Timestamp, token::TokenDigest};
use countersign_projections::Value;
use data_encoding::HEXLOWER;
use sqlx::{SqliteConnection, query};

use super::{
    super::{StoreError, statements},
    json, unavailable,
};

/// `PostgreSQL` takes a list as an array instead. The joins leave out what must not come back: uses of tokens that have
/// gone meanwhile, and of members who were erased.
pub(super) const NOTE: &str = "insert into token_uses (digest, used_at)\n\
    select tokens.digest, json_extract(value, '$[1]')\nfrom json_each(?)\n\
    cross join tokens on tokens.digest = unhex(json_extract(value, '$[0]'))\n\
    cross join accounts on accounts.user_id = tokens.user_id\nwhere accounts.standing <> 'erased'\n\
    on conflict (digest) do update set used_at = excluded.used_at\nwhere excluded.used_at > token_uses.used_at";
pub(super) const FORGET: &str = "delete from token_uses\nwhere digest in (select unhex(value) from json_each(?))";

pub(super) async fn note(
    connection: &mut SqliteConnection,
    uses: &[(TokenDigest, Timestamp)],
) -> Result<(), StoreError> {
    let rows: Vec<_> =
        uses.iter().map(|(digest, at)| (HEXLOWER.encode(digest.as_bytes()), at.timestamp_micros())).collect();
    query(NOTE).bind(json(&rows)).execute(connection).await.map(drop).map_err(unavailable)
}

pub(super) async fn forget_of(connection: &mut SqliteConnection, user: UserId) -> Result<(), StoreError> {
    let forget = query(statements::FORGET_USES_OF).bind(user.to_string());
    forget.execute(connection).await.map(drop).map_err(unavailable)
}

/// Forgets the uses of tokens with these keys.
pub(super) async fn forget(connection: &mut SqliteConnection, keys: &[Vec<Value>]) -> Result<(), StoreError> {
    let digest = |value: &Value| match value {
        Value::Bytes(digest) => Some(HEXLOWER.encode(digest)),
        _ => None,
    };
    let digests: Vec<_> = keys.iter().flatten().filter_map(digest).collect();
    query(FORGET).bind(json(&digests)).execute(connection).await.map(drop).map_err(unavailable)
}
