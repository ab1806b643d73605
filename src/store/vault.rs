//! The vault as callers see it: what is asked is equal in both databases. Keeps what callers sealed and destroys it;
//! syncing, and leaving no copy of what was destroyed, is the dialects'. What a row means and whether it is live is
//! for the log to say; sealing and opening is for the callers.

pub(super) mod statements;

use async_trait::async_trait;
use countersign_events::{
    ids::{DataKeyId, SecretId, UserId, VerifierId},
    recorded::{Position, Timestamp},
};
use uuid::Uuid;

use super::{
    CommandKey, Mark, StoreError,
    ask::{Ask, Columns, ask},
    convert, from_micros,
    rows::Session,
    signed,
};
use statements as sql;

/// A one-time link into the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Makes the first administrator.
    SetUp,
    /// Sets a new password for a member, in the place of the one with this verifier.
    Reset(UserId, VerifierId),
}

/// The vault: secrets, never in the log. Rows are written and synced before the event that names
/// them, and destroyed after the event that ends them. Callers seal: no plain secret comes in.
#[async_trait]
pub trait Vault: Send + Sync {
    /// Leaves nothing beside its database, before a stop.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when somebody reads it all the time.
    async fn rest(&self) -> Result<(), StoreError>;
    /// Keeps a wrapped data key; `subject` is `site` or a member's id.
    async fn put_data_key(&self, id: DataKeyId, subject: &str, wrapped: &[u8], at: Timestamp)
    -> Result<(), StoreError>;
    /// A wrapped data key.
    async fn data_key(&self, id: DataKeyId) -> Result<Option<Vec<u8>>, StoreError>;
    /// The id and wrapped key of the site.
    async fn site_key(&self) -> Result<Option<(DataKeyId, Vec<u8>)>, StoreError>;
    /// Keeps a password verifier (PHC text).
    async fn put_verifier(&self, id: VerifierId, user: UserId, verifier: &str, at: Timestamp)
    -> Result<(), StoreError>;
    /// A password verifier.
    async fn verifier(&self, id: VerifierId) -> Result<Option<String>, StoreError>;
    /// Destroys a verifier that another has replaced, with the sessions and links that began under it. What a later one
    /// brought is left alone, however late this comes.
    async fn destroy_replaced(&self, user: UserId, replaced: VerifierId) -> Result<(), StoreError>;
    /// Keeps a sealed one-time secret.
    async fn hold(&self, id: SecretId, sealed: &[u8], at: Timestamp) -> Result<(), StoreError>;
    /// A sealed one-time secret.
    async fn held(&self, id: SecretId) -> Result<Option<Vec<u8>>, StoreError>;
    /// Destroys a held secret so that no copy stays in the database's files.
    async fn destroy_held(&self, id: SecretId) -> Result<(), StoreError>;
    /// Every held secret with the time it was put there, for the sweeper.
    async fn held_ids(&self) -> Result<Vec<(SecretId, Timestamp)>, StoreError>;
    /// Keeps the sealed secret part of a command's outcome until `until`; a second one for the key is a conflict.
    async fn put_outcome(&self, key: &CommandKey, sealed: &[u8], until: Timestamp) -> Result<(), StoreError>;
    /// The sealed secret part of a command's outcome.
    async fn outcome(&self, key: &CommandKey) -> Result<Option<Vec<u8>>, StoreError>;
    /// Forgets the secret part of an outcome whose command did not happen.
    async fn drop_outcome(&self, key: &CommandKey) -> Result<(), StoreError>;
    /// Begins a session.
    async fn put_session(&self, session: &Session) -> Result<(), StoreError>;
    /// A session by the digest of its cookie.
    async fn session(&self, digest: [u8; 32]) -> Result<Option<Session>, StoreError>;
    /// Ends a session.
    async fn end_session(&self, digest: [u8; 32]) -> Result<(), StoreError>;
    /// Ends every session of a member but `keep`.
    async fn end_sessions_of(&self, user: UserId, keep: Option<[u8; 32]>) -> Result<(), StoreError>;
    /// Keeps a one-time link by its digest; a set-up link takes the place of the one before.
    async fn put_link(&self, digest: [u8; 32], link: Link, until: Timestamp) -> Result<(), StoreError>;
    /// A one-time link, and when it ends.
    async fn link(&self, digest: [u8; 32]) -> Result<Option<(Link, Timestamp)>, StoreError>;
    /// Uses a one-time link up.
    async fn end_link(&self, digest: [u8; 32]) -> Result<(), StoreError>;
    /// Data keys and verifiers put there from `since` on and before `before`, with the member they are for.
    async fn aged(&self, since: Timestamp, before: Timestamp) -> Result<Aged, StoreError>;
    /// Removes data keys and verifiers that the log does not name.
    async fn remove(&self, orphans: &Aged) -> Result<(), StoreError>;
    /// Removes sessions, links and outcomes whose time is over.
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError>;
    /// Which of these data keys are there.
    async fn data_keys_among(&self, ids: &[DataKeyId]) -> Result<Vec<DataKeyId>, StoreError>;
    /// Destroys what belongs to a member, all of it or nothing, so that no copy stays in the database's files.
    async fn destroy_member(&self, member: &Belongings) -> Result<(), StoreError>;
    /// Which of these verifiers are there.
    async fn verifiers_among(&self, ids: &[VerifierId]) -> Result<Vec<VerifierId>, StoreError>;
    /// Which site's vault this is; `None` until it has adopted an id.
    async fn identity(&self) -> Result<Option<VaultIdentity>, StoreError>;
    /// Keeps the id of the site, unless there is one already.
    async fn identify(&self, site: Uuid) -> Result<(), StoreError>;
    /// Notes an event that the log has. Unless `lower` is set, one before the newest that is noted changes nothing.
    async fn note_seen(&self, mark: Mark, lower: bool) -> Result<(), StoreError>;
    /// Whether it answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// What the vault has of a member who was erased: verifiers, sessions and links by the member's id, and what only the log
/// knows to be theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Belongings {
    /// The member.
    pub user: UserId,
    /// Their data key.
    pub data_key: DataKeyId,
    /// Secrets held for them.
    pub held: Vec<SecretId>,
    /// Commands of theirs whose outcome had a secret.
    pub outcomes: Vec<CommandKey>,
}

/// What the vault says of its site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultIdentity {
    /// Which site it is.
    pub site: Uuid,
    /// The newest event that it has seen in the log.
    pub seen: Mark,
}

/// Rows of the vault that the log should name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aged {
    /// Data keys with their member.
    pub data_keys: Vec<(DataKeyId, UserId)>,
    /// Verifiers with their member.
    pub verifiers: Vec<(VerifierId, UserId)>,
}

/// So many rows go, or are read, in one statement: others wait for a batch, never for a table.
const BATCH: usize = 500;

/// What becomes of the copies that a database still has of rows that were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copies {
    /// There are none that matter: nothing secret is removed.
    Harmless,
    /// They go at once when nothing is in the way, else with the next sweep.
    Soon,
    /// They are gone when the answer comes, as far as that is in this database's power.
    Now,
}

/// A database that keeps a vault. [`Vault`] follows from it.
#[async_trait]
pub(super) trait Keeps: Send + Sync {
    /// Its rows.
    type Row: Columns;
    /// What it says in its own words.
    const TEXTS: sql::Texts;

    /// The rows that answer a statement.
    async fn rows(&self, ask: Ask) -> Result<Vec<Self::Row>, StoreError>;
    /// Runs these statements, all or none, durably. How many rows they changed.
    async fn write(&self, asks: Vec<Ask>, copies: Copies) -> Result<u64, StoreError>;
    /// Leaves nothing beside its database.
    async fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

async fn put<V: Keeps>(vault: &V, ask: Ask) -> Result<(), StoreError> {
    vault.write(vec![ask], Copies::Harmless).await.map(drop)
}

async fn first<V: Keeps, T>(
    vault: &V,
    ask: Ask,
    read: fn(&V::Row) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    vault.rows(ask).await?.first().map(read).transpose()
}

#[async_trait]
impl<V: Keeps> Vault for V {
    async fn rest(&self) -> Result<(), StoreError> {
        self.settle().await
    }

    async fn put_data_key(
        &self,
        id: DataKeyId,
        subject: &str,
        wrapped: &[u8],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let row = ask(sql::PUT_DATA_KEY).bind(bytes(id.0)).bind(subject).bind(wrapped.to_vec()).bind(micros(at));
        put(self, row).await
    }

    async fn data_key(&self, id: DataKeyId) -> Result<Option<Vec<u8>>, StoreError> {
        first(self, ask(V::TEXTS.data_key).bind(bytes(id.0)), first_bytes).await
    }

    async fn site_key(&self) -> Result<Option<(DataKeyId, Vec<u8>)>, StoreError> {
        first(self, ask(sql::SITE_KEY), site_key).await
    }

    async fn put_verifier(
        &self,
        id: VerifierId,
        user: UserId,
        verifier: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let row = ask(sql::PUT_VERIFIER).bind(bytes(id.0)).bind(bytes(user.0)).bind(verifier).bind(micros(at));
        put(self, row).await
    }

    async fn verifier(&self, id: VerifierId) -> Result<Option<String>, StoreError> {
        let read = |row: &V::Row| convert::text(row, 0).map(ToOwned::to_owned);
        first(self, ask(sql::VERIFIER).bind(bytes(id.0)), read).await
    }

    async fn destroy_replaced(&self, user: UserId, replaced: VerifierId) -> Result<(), StoreError> {
        let under_it = |text| ask(text).bind(bytes(user.0)).bind(bytes(replaced.0));
        let verifier = ask(sql::REMOVE_VERIFIER).bind(bytes(replaced.0)).bind(bytes(user.0));
        let all = vec![under_it(sql::END_SESSIONS_UNDER), under_it(sql::END_LINKS_UNDER), verifier];
        self.write(all, Copies::Soon).await.map(drop)
    }

    async fn hold(&self, id: SecretId, sealed: &[u8], at: Timestamp) -> Result<(), StoreError> {
        put(self, ask(V::TEXTS.hold).bind(bytes(id.0)).bind(sealed.to_vec()).bind(micros(at))).await
    }

    async fn held(&self, id: SecretId) -> Result<Option<Vec<u8>>, StoreError> {
        first(self, ask(sql::HELD).bind(bytes(id.0)), first_bytes).await
    }

    /// When this fails with [`StoreError::Unavailable`] because something was in the way, the row is gone all the
    /// same and only a copy of it is left: the next destruction, sweep or start removes it, and so does calling this
    /// again.
    async fn destroy_held(&self, id: SecretId) -> Result<(), StoreError> {
        self.write(vec![ask(sql::DESTROY_HELD).bind(bytes(id.0))], Copies::Now).await.map(drop)
    }

    async fn held_ids(&self) -> Result<Vec<(SecretId, Timestamp)>, StoreError> {
        let rows = by_batch(self, |after| ask(sql::HELD_IDS).bind(after).bind(limit())).await?;
        rows.iter().map(|row| Ok((SecretId(id(row, 0)?), time(row, 1)?))).collect()
    }

    async fn put_outcome(&self, key: &CommandKey, sealed: &[u8], until: Timestamp) -> Result<(), StoreError> {
        put(self, about(sql::PUT_OUTCOME, key).bind(sealed.to_vec()).bind(micros(until))).await
    }

    async fn outcome(&self, key: &CommandKey) -> Result<Option<Vec<u8>>, StoreError> {
        first(self, about(sql::OUTCOME, key), first_bytes).await
    }

    async fn drop_outcome(&self, key: &CommandKey) -> Result<(), StoreError> {
        self.write(vec![about(sql::DROP_OUTCOME, key)], Copies::Soon).await.map(drop)
    }

    async fn put_session(&self, session: &Session) -> Result<(), StoreError> {
        let row = ask(sql::PUT_SESSION)
            .bind(session.digest.to_vec())
            .bind(bytes(session.user_id.0))
            .bind(bytes(session.verifier.0))
            .bind(micros(session.created_at))
            .bind(micros(session.authenticated_at))
            .bind(micros(session.expires_at));
        put(self, row).await
    }

    async fn session(&self, digest: [u8; 32]) -> Result<Option<Session>, StoreError> {
        let rows = self.rows(ask(sql::SESSION).bind(digest.to_vec())).await?;
        let read = |row: &V::Row| {
            Ok(Session {
                digest,
                user_id: UserId(id(row, 0)?),
                verifier: VerifierId(id(row, 1)?),
                created_at: time(row, 2)?,
                authenticated_at: time(row, 3)?,
                expires_at: time(row, 4)?,
            })
        };
        rows.first().map(read).transpose()
    }

    async fn end_session(&self, digest: [u8; 32]) -> Result<(), StoreError> {
        put(self, ask(sql::END_SESSION).bind(digest.to_vec())).await
    }

    async fn end_sessions_of(&self, user: UserId, keep: Option<[u8; 32]>) -> Result<(), StoreError> {
        put(self, end_sessions_of(user, keep)).await
    }

    async fn put_link(&self, digest: [u8; 32], link: Link, until: Timestamp) -> Result<(), StoreError> {
        let (before, user, verifier) = match link {
            Link::SetUp => (Some(ask(sql::END_SET_UP_LINK)), None, None),
            Link::Reset(user, verifier) => (None, Some(bytes(user.0)), Some(bytes(verifier.0))),
        };
        let put = ask(sql::PUT_LINK).bind(digest.to_vec()).bind(user).bind(verifier).bind(micros(until));
        self.write(before.into_iter().chain([put]).collect(), Copies::Harmless).await.map(drop)
    }

    async fn link(&self, digest: [u8; 32]) -> Result<Option<(Link, Timestamp)>, StoreError> {
        let read = |row: &V::Row| {
            let link = match row.bytes(0.into())? {
                Some(_) => Link::Reset(UserId(id(row, 0)?), VerifierId(id(row, 1)?)),
                None => Link::SetUp,
            };
            Ok((link, time(row, 2)?))
        };
        first(self, ask(sql::LINK).bind(digest.to_vec()), read).await
    }

    async fn end_link(&self, digest: [u8; 32]) -> Result<(), StoreError> {
        put(self, ask(sql::END_LINK).bind(digest.to_vec())).await
    }

    async fn aged(&self, since: Timestamp, before: Timestamp) -> Result<Aged, StoreError> {
        let page = |text, after| ask(text).bind(after).bind(micros(before)).bind(limit()).bind(micros(since));
        let keys = by_batch(self, |after| page(V::TEXTS.aged_data_keys, after)).await?;
        let verifiers = by_batch(self, |after| page(sql::AGED_VERIFIERS, after)).await?;
        let data_keys = keys.iter().map(|row| {
            let user = convert::text(row, 1)?.parse();
            let user = user.map_err(|_| corrupt("the subject of a data key is no member's id"))?;
            Ok((DataKeyId(id(row, 0)?), user))
        });
        let verifiers = verifiers.iter().map(|row| Ok((VerifierId(id(row, 0)?), UserId(id(row, 1)?))));
        Ok(Aged {
            data_keys: data_keys.collect::<Result<_, StoreError>>()?,
            verifiers: verifiers.collect::<Result<_, StoreError>>()?,
        })
    }

    async fn remove(&self, orphans: &Aged) -> Result<(), StoreError> {
        let keys = orphans.data_keys.iter().map(|(id, user)| remove_data_key::<V>(*id, *user));
        let verifier =
            |(id, user): &(VerifierId, UserId)| ask(sql::REMOVE_VERIFIER).bind(bytes(id.0)).bind(bytes(user.0));
        let removals = keys.chain(orphans.verifiers.iter().map(verifier)).collect();
        self.write(removals, Copies::Soon).await.map(drop)
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut swept = 0;
        for statement in sql::SWEEP {
            loop {
                let batch = ask(statement).bind(micros(now)).bind(limit());
                let removed = self.write(vec![batch], Copies::Soon).await?;
                swept += removed;
                if removed < BATCH as u64 {
                    break;
                }
            }
        }
        Ok(swept)
    }

    async fn data_keys_among(&self, ids: &[DataKeyId]) -> Result<Vec<DataKeyId>, StoreError> {
        let mut found = vec![];
        for batch in ids.chunks(BATCH) {
            let list: Vec<_> = batch.iter().map(|key| bytes(key.0)).collect();
            for row in &self.rows(ask(V::TEXTS.data_keys_among).bind(list)).await? {
                found.push(DataKeyId(id(row, 0)?));
            }
        }
        Ok(found)
    }

    async fn destroy_member(&self, member: &Belongings) -> Result<(), StoreError> {
        let user = || bytes(member.user.0);
        let of_member = [
            remove_data_key::<V>(member.data_key, member.user),
            ask(sql::DESTROY_VERIFIERS_OF).bind(user()),
            end_sessions_of(member.user, None),
            ask(sql::END_LINKS_OF).bind(user()),
        ];
        let held = member.held.iter().map(|secret| ask(sql::DESTROY_HELD).bind(bytes(secret.0)));
        let outcomes = member.outcomes.iter().map(|key| about(sql::DROP_OUTCOME, key));
        self.write(of_member.into_iter().chain(held).chain(outcomes).collect(), Copies::Now).await.map(drop)
    }

    async fn verifiers_among(&self, ids: &[VerifierId]) -> Result<Vec<VerifierId>, StoreError> {
        let mut found = vec![];
        for batch in ids.chunks(BATCH) {
            let list: Vec<_> = batch.iter().map(|verifier| bytes(verifier.0)).collect();
            for row in &self.rows(ask(V::TEXTS.verifiers_among).bind(list)).await? {
                found.push(VerifierId(id(row, 0)?));
            }
        }
        Ok(found)
    }

    async fn identity(&self) -> Result<Option<VaultIdentity>, StoreError> {
        first(self, ask(sql::SITE), identity).await
    }

    async fn identify(&self, site: Uuid) -> Result<(), StoreError> {
        put(self, ask(sql::SET_SITE).bind(bytes(site))).await
    }

    async fn note_seen(&self, mark: Mark, lower: bool) -> Result<(), StoreError> {
        let text = if lower { sql::LOWER_SEEN } else { sql::NOTE_SEEN };
        let Mark { cursor, event } = mark;
        let note = ask(text).bind(i64::from(cursor.epoch)).bind(signed(cursor.position.0));
        put(self, note.bind(event.map(|event| bytes(event.0)))).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.rows(ask(sql::PING)).await.map(drop)
    }
}

/// The id and the wrapped data key of the site.
pub(super) fn site_key(row: &impl Columns) -> Result<(DataKeyId, Vec<u8>), StoreError> {
    Ok((DataKeyId(id(row, 0)?), convert::bytes(row, 1)?.to_vec()))
}

/// Which site's vault it is, and what it has seen.
pub(super) fn identity(row: &impl Columns) -> Result<VaultIdentity, StoreError> {
    Ok(VaultIdentity { site: id(row, 0)?, seen: convert::mark(row)? })
}

fn about(text: &'static str, key: &CommandKey) -> Ask {
    ask(text).bind(key.scope.clone()).bind(key.id.clone())
}

fn end_sessions_of(user: UserId, keep: Option<[u8; 32]>) -> Ask {
    ask(sql::END_SESSIONS_OF).bind(bytes(user.0)).bind(keep.map(|digest| digest.to_vec()))
}

fn remove_data_key<V: Keeps>(id: DataKeyId, user: UserId) -> Ask {
    ask(V::TEXTS.remove_data_key).bind(bytes(id.0)).bind(user.to_string())
}

/// Every row, a page at a time and each page a read of its own: a long one would be in the way of others.
/// The id of a row is its first column.
async fn by_batch<V: Keeps>(vault: &V, page: impl Fn(Vec<u8>) -> Ask) -> Result<Vec<V::Row>, StoreError> {
    let mut rows = Vec::new();
    let mut after = Vec::new();
    loop {
        let mut batch = vault.rows(page(after)).await?;
        let full = batch.len() >= BATCH;
        rows.append(&mut batch);
        match rows.last() {
            Some(last) if full => after = first_bytes(last)?,
            _ => return Ok(rows),
        }
    }
}

fn limit() -> i64 {
    i64::try_from(BATCH).expect("a batch is small")
}

fn micros(at: Timestamp) -> i64 {
    at.timestamp_micros()
}

fn bytes(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

fn first_bytes(row: &impl Columns) -> Result<Vec<u8>, StoreError> {
    convert::bytes(row, 0).map(<[u8]>::to_vec)
}

pub(super) fn id(row: &impl Columns, place: usize) -> Result<Uuid, StoreError> {
    Uuid::from_slice(convert::bytes(row, place)?).map_err(|_| corrupt("an id is not of 16 bytes"))
}

fn time(row: &impl Columns, place: usize) -> Result<Timestamp, StoreError> {
    convert::integer(row, place).map(from_micros)
}

/// The vault has no positions: 0.
pub(super) fn corrupt(detail: &str) -> StoreError {
    StoreError::Corrupt { position: Position(0), detail: detail.to_owned() }
}
