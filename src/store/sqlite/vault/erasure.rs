//! What the vault does when a member was erased: everything of theirs goes in one transaction. That the log says so,
//! and what belongs to whom beyond the member's id, is for the caller to know.

use countersign_events::ids::DataKeyId;
use data_encoding::HEXLOWER;
use sqlx::{Connection, SqlitePool};

use super::{BATCH, Writer, bytes, failed, id, statements as sql};
use crate::store::{Belongings, StoreError};

pub async fn data_keys_among(readers: &SqlitePool, ids: &[DataKeyId]) -> Result<Vec<DataKeyId>, StoreError> {
    let mut found = vec![];
    for batch in ids.chunks(BATCH) {
        let hex: Vec<_> = batch.iter().map(|key| HEXLOWER.encode(bytes(&key.0))).collect();
        let list = serde_json::to_string(&hex).expect("texts are JSON");
        let rows = sqlx::query(sql::DATA_KEYS_AMONG).bind(list).fetch_all(readers).await.map_err(failed)?;
        for row in &rows {
            found.push(DataKeyId(id(row, 0)?));
        }
    }
    Ok(found)
}

/// Copies in the write-ahead log are left to the caller.
pub async fn destroy(writer: &mut Writer, member: &Belongings) -> Result<(), StoreError> {
    writer.residue = true;
    let user = bytes(&member.user.0);
    let mut tx = writer.connection.begin_with("begin immediate").await.map_err(failed)?;
    let key = sqlx::query(sql::REMOVE_DATA_KEY).bind(bytes(&member.data_key.0)).bind(member.user.to_string());
    let of_member = [
        sqlx::query(sql::DESTROY_VERIFIERS_OF).bind(user),
        sqlx::query(sql::END_SESSIONS_OF).bind(user).bind(None::<&[u8]>),
        sqlx::query(sql::END_LINKS_OF).bind(user),
    ];
    let held = member.held.iter().map(|secret| sqlx::query(sql::DESTROY_HELD).bind(bytes(&secret.0)));
    let outcomes = member.outcomes.iter().map(|key| sqlx::query(sql::DROP_OUTCOME).bind(&key.scope).bind(&key.id));
    for statement in std::iter::once(key).chain(of_member).chain(held).chain(outcomes) {
        statement.execute(&mut *tx).await.map_err(failed)?;
    }
    tx.commit().await.map_err(failed)
}
