//! The vault on `SQLite`: a database of its own, `vault.db`. Keeps what callers sealed, destroys it so that
//! no copy stays in the files, and syncs before it answers. What a row means and whether it is live is
//! for the log to say; sealing and opening is for the callers.

mod erasure;
pub(super) mod file;
mod statements;

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use countersign_events::{
    ids::{DataKeyId, SecretId, UserId, VerifierId},
    recorded::{Position, Timestamp},
};
use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection, SqlitePool,
    error::ErrorKind,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::store::{Aged, Belongings, CommandKey, Link, StoreError, Vault, from_micros, rows::Session};
use statements as sql;

/// So many rows go, or are read, in one statement: others wait for a batch, never for a table.
const BATCH: usize = 500;
const READERS: u32 = 4;
/// How long `SQLite` itself waits for a lock. Short, since the writer is held meanwhile.
const LOCK_WAIT: Duration = Duration::from_millis(250);
/// How long a destruction waits for readers to let go of the write-ahead log.
const TRUNCATE_WAIT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The vault in one `SQLite` file.
#[derive(Debug)]
pub struct SqliteVault {
    writer: Mutex<Writer>,
    readers: SqlitePool,
}

/// The one connection that writes.
#[derive(Debug)]
struct Writer {
    connection: SqliteConnection,
    /// Whether the write-ahead log may hold copies of rows that were destroyed. Changed under the lock only,
    /// and set before the row goes, so that no crash of a task loses it.
    residue: bool,
}

impl SqliteVault {
    /// Opens `vault.db` in `data_dir`, creates it (0600) when it is not there, migrates it, and removes what
    /// a crash in the middle of a destruction left in its write-ahead log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be opened or migrated,
    /// [`StoreError::Corrupt`] when it is no database.
    pub async fn open(data_dir: &Path) -> Result<Arc<Self>, StoreError> {
        let path = data_dir.join("vault.db");
        file::own(data_dir, &path)?;
        let options = SqliteConnectOptions::new().filename(&path).busy_timeout(LOCK_WAIT);
        let mut connection = options
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("secure_delete", "on")
            .connect()
            .await
            .map_err(failed)?;
        file::migrate(&mut connection).await?;
        let mut writer = Writer { connection, residue: true };
        writer.truncate().await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.read_only(true))
            .await
            .map_err(failed)?;
        Ok(Arc::new(Self { writer: Mutex::new(writer), readers }))
    }

    /// What the writing connection itself says of `synchronous`, `journal_mode` and `secure_delete`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not answer.
    pub async fn pragmas(&self) -> Result<(i64, String, i64), StoreError> {
        let mut writer = self.writer().await;
        let connection = &mut writer.connection;
        let synchronous = sqlx::query_scalar(sql::SYNCHRONOUS).fetch_one(&mut *connection).await.map_err(failed)?;
        let journal_mode = sqlx::query_scalar(sql::JOURNAL_MODE).fetch_one(&mut *connection).await.map_err(failed)?;
        let secure_delete = sqlx::query_scalar(sql::SECURE_DELETE).fetch_one(connection).await.map_err(failed)?;
        Ok((synchronous, journal_mode, secure_delete))
    }

    async fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().await
    }

    /// Runs one statement that adds a row or ends one that holds no secret.
    async fn write(&self, statement: Statement<'_>) -> Result<u64, StoreError> {
        self.writer().await.run(statement).await
    }

    /// Runs one statement that removes a secret. Its copies in the write-ahead log are removed at once when
    /// no reader is in the way, else by the next sweep.
    async fn erase(&self, statement: Statement<'_>) -> Result<(), StoreError> {
        let mut writer = self.writer().await;
        writer.residue = true;
        writer.run(statement).await?;
        writer.truncate().await
    }

    /// Removes copies of destroyed rows from the write-ahead log, or says that they may still be there.
    /// Lets go of the writer between attempts, so that others do not wait along.
    async fn truncated(&self) -> Result<(), StoreError> {
        let attempts = async {
            let mut pause = FIRST_PAUSE;
            loop {
                let mut writer = self.writer().await;
                writer.truncate().await?;
                if !writer.residue {
                    return Ok(());
                }
                drop(writer);
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        };
        tokio::time::timeout(TRUNCATE_WAIT, attempts).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable("a reader holds on to the write-ahead log of the vault".to_owned()))
        })
    }
}

type Statement<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

impl Writer {
    async fn run(&mut self, statement: Statement<'_>) -> Result<u64, StoreError> {
        Ok(statement.execute(&mut self.connection).await.map_err(failed)?.rows_affected())
    }

    /// Tries once to move the write-ahead log into the database and cut it to nothing, if there is residue.
    /// There still is when a reader was in the way: `SQLite` says so in the row, not as an error.
    async fn truncate(&mut self) -> Result<(), StoreError> {
        if self.residue {
            let row = sqlx::query(sql::TRUNCATE).fetch_one(&mut self.connection).await.map_err(failed)?;
            self.residue = row.try_get::<i64, _>(0).map_err(failed)? != 0;
        }
        Ok(())
    }
}

#[async_trait]
impl Vault for SqliteVault {
    async fn put_data_key(
        &self,
        id: DataKeyId,
        subject: &str,
        wrapped: &[u8],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let statement =
            sqlx::query(sql::PUT_DATA_KEY).bind(bytes(&id.0)).bind(subject).bind(wrapped).bind(at.timestamp_micros());
        self.write(statement).await.map(drop)
    }

    async fn data_key(&self, id: DataKeyId) -> Result<Option<Vec<u8>>, StoreError> {
        let key = sqlx::query_scalar(sql::DATA_KEY).bind(bytes(&id.0));
        key.fetch_optional(&self.readers).await.map_err(failed)
    }

    async fn site_key(&self) -> Result<Option<(DataKeyId, Vec<u8>)>, StoreError> {
        let row = sqlx::query(sql::SITE_KEY).fetch_optional(&self.readers).await.map_err(failed)?;
        row.map(|row| Ok((DataKeyId(id(&row, 0)?), row.try_get(1).map_err(failed)?))).transpose()
    }

    async fn put_verifier(
        &self,
        id: VerifierId,
        user: UserId,
        verifier: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(sql::PUT_VERIFIER)
            .bind(bytes(&id.0))
            .bind(bytes(&user.0))
            .bind(verifier)
            .bind(at.timestamp_micros());
        self.write(statement).await.map(drop)
    }

    async fn verifier(&self, id: VerifierId) -> Result<Option<String>, StoreError> {
        let verifier = sqlx::query_scalar(sql::VERIFIER).bind(bytes(&id.0));
        verifier.fetch_optional(&self.readers).await.map_err(failed)
    }

    async fn destroy_verifiers(&self, user: UserId, keep: VerifierId) -> Result<(), StoreError> {
        self.erase(sqlx::query(sql::DESTROY_VERIFIERS).bind(bytes(&user.0)).bind(bytes(&keep.0))).await
    }

    async fn hold(&self, id: SecretId, sealed: &[u8], at: Timestamp) -> Result<(), StoreError> {
        let statement = sqlx::query(sql::HOLD).bind(bytes(&id.0)).bind(sealed).bind(at.timestamp_micros());
        self.write(statement).await.map(drop)
    }

    async fn held(&self, id: SecretId) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed = sqlx::query_scalar(sql::HELD).bind(bytes(&id.0));
        sealed.fetch_optional(&self.readers).await.map_err(failed)
    }

    /// When this fails with [`StoreError::Unavailable`] because a reader held on to the write-ahead log, the
    /// row is gone all the same and only its copy in that log is left: the next destruction, sweep or start
    /// removes it, and so does calling this again.
    async fn destroy_held(&self, id: SecretId) -> Result<(), StoreError> {
        {
            let mut writer = self.writer().await;
            writer.residue = true;
            writer.run(sqlx::query(sql::DESTROY_HELD).bind(bytes(&id.0))).await?;
        }
        self.truncated().await
    }

    async fn held_ids(&self) -> Result<Vec<(SecretId, Timestamp)>, StoreError> {
        by_batch(async |after| {
            let page = sqlx::query(sql::HELD_IDS).bind(after).bind(limit());
            page.fetch_all(&self.readers).await.map_err(failed)
        })
        .await?
        .iter()
        .map(|row| Ok((SecretId(id(row, 0)?), time(row, 1)?)))
        .collect()
    }

    async fn put_outcome(&self, key: &CommandKey, sealed: &[u8], until: Timestamp) -> Result<(), StoreError> {
        let statement =
            sqlx::query(sql::PUT_OUTCOME).bind(&key.scope).bind(&key.id).bind(sealed).bind(until.timestamp_micros());
        self.write(statement).await.map(drop)
    }

    async fn outcome(&self, key: &CommandKey) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed = sqlx::query_scalar(sql::OUTCOME).bind(&key.scope).bind(&key.id);
        sealed.fetch_optional(&self.readers).await.map_err(failed)
    }

    async fn drop_outcome(&self, key: &CommandKey) -> Result<(), StoreError> {
        self.erase(sqlx::query(sql::DROP_OUTCOME).bind(&key.scope).bind(&key.id)).await
    }

    async fn put_session(&self, session: &Session) -> Result<(), StoreError> {
        let statement = sqlx::query(sql::PUT_SESSION)
            .bind(session.digest.as_slice())
            .bind(bytes(&session.user_id.0))
            .bind(bytes(&session.verifier.0))
            .bind(session.created_at.timestamp_micros())
            .bind(session.authenticated_at.timestamp_micros())
            .bind(session.expires_at.timestamp_micros());
        self.write(statement).await.map(drop)
    }

    async fn session(&self, digest: [u8; 32]) -> Result<Option<Session>, StoreError> {
        let row = sqlx::query(sql::SESSION).bind(digest.as_slice());
        let row = row.fetch_optional(&self.readers).await.map_err(failed)?;
        row.map(|row| {
            Ok(Session {
                digest,
                user_id: UserId(id(&row, 0)?),
                verifier: VerifierId(id(&row, 1)?),
                created_at: time(&row, 2)?,
                authenticated_at: time(&row, 3)?,
                expires_at: time(&row, 4)?,
            })
        })
        .transpose()
    }

    async fn end_session(&self, digest: [u8; 32]) -> Result<(), StoreError> {
        self.write(sqlx::query(sql::END_SESSION).bind(digest.as_slice())).await.map(drop)
    }

    async fn end_sessions_of(&self, user: UserId, keep: Option<[u8; 32]>) -> Result<(), StoreError> {
        let keep = keep.as_ref().map(<[u8; 32]>::as_slice);
        self.write(sqlx::query(sql::END_SESSIONS_OF).bind(bytes(&user.0)).bind(keep)).await.map(drop)
    }

    async fn put_link(&self, digest: [u8; 32], link: Link, until: Timestamp) -> Result<(), StoreError> {
        let (user, verifier) = match &link {
            Link::SetUp => (None, None),
            Link::Reset(user, verifier) => (Some(bytes(&user.0)), Some(bytes(&verifier.0))),
        };
        let mut writer = self.writer().await;
        let mut tx = writer.connection.begin_with("begin immediate").await.map_err(failed)?;
        if link == Link::SetUp {
            sqlx::query(sql::END_SET_UP_LINK).execute(&mut *tx).await.map_err(failed)?;
        }
        let put =
            sqlx::query(sql::PUT_LINK).bind(digest.as_slice()).bind(user).bind(verifier).bind(until.timestamp_micros());
        put.execute(&mut *tx).await.map_err(failed)?;
        tx.commit().await.map_err(failed)
    }

    async fn link(&self, digest: [u8; 32], now: Timestamp) -> Result<Option<Link>, StoreError> {
        let row = sqlx::query(sql::LINK).bind(digest.as_slice()).bind(now.timestamp_micros());
        let row = row.fetch_optional(&self.readers).await.map_err(failed)?;
        let Some(row) = row else { return Ok(None) };
        let user: Option<Vec<u8>> = row.try_get(0).map_err(failed)?;
        Ok(Some(match user {
            Some(_) => Link::Reset(UserId(id(&row, 0)?), VerifierId(id(&row, 1)?)),
            None => Link::SetUp,
        }))
    }

    async fn end_link(&self, digest: [u8; 32]) -> Result<(), StoreError> {
        self.write(sqlx::query(sql::END_LINK).bind(digest.as_slice())).await.map(drop)
    }

    async fn aged(&self, since: Timestamp, before: Timestamp) -> Result<Aged, StoreError> {
        let (since, before) = (since.timestamp_micros(), before.timestamp_micros());
        let keys = by_batch(async |after| {
            let page = sqlx::query(sql::AGED_DATA_KEYS).bind(after).bind(before).bind(limit()).bind(since);
            page.fetch_all(&self.readers).await.map_err(failed)
        });
        let keys = keys.await?;
        let verifiers = by_batch(async |after| {
            let page = sqlx::query(sql::AGED_VERIFIERS).bind(after).bind(before).bind(limit()).bind(since);
            page.fetch_all(&self.readers).await.map_err(failed)
        });
        let verifiers = verifiers.await?;
        let data_keys = keys.iter().map(|row| {
            let subject: String = row.try_get(1).map_err(failed)?;
            let user = subject.parse().map_err(|_| corrupt("the subject of a data key is no member's id"))?;
            Ok((DataKeyId(id(row, 0)?), user))
        });
        let verifiers = verifiers.iter().map(|row| Ok((VerifierId(id(row, 0)?), UserId(id(row, 1)?))));
        Ok(Aged {
            data_keys: data_keys.collect::<Result<_, StoreError>>()?,
            verifiers: verifiers.collect::<Result<_, StoreError>>()?,
        })
    }

    async fn remove(&self, orphans: &Aged) -> Result<(), StoreError> {
        let mut writer = self.writer().await;
        writer.residue = true;
        let mut tx = writer.connection.begin_with("begin immediate").await.map_err(failed)?;
        for (id, user) in &orphans.data_keys {
            let remove = sqlx::query(sql::REMOVE_DATA_KEY).bind(bytes(&id.0)).bind(user.to_string());
            remove.execute(&mut *tx).await.map_err(failed)?;
        }
        for (id, user) in &orphans.verifiers {
            let remove = sqlx::query(sql::REMOVE_VERIFIER).bind(bytes(&id.0)).bind(bytes(&user.0));
            remove.execute(&mut *tx).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)?;
        writer.truncate().await
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut swept = 0;
        for statement in sql::SWEEP {
            loop {
                let mut writer = self.writer().await;
                let batch = sqlx::query(statement).bind(now.timestamp_micros()).bind(limit());
                let residue = std::mem::replace(&mut writer.residue, true);
                let removed = writer.run(batch).await?;
                writer.residue = residue || removed > 0;
                swept += removed;
                if removed < BATCH as u64 {
                    break;
                }
            }
        }
        self.writer().await.truncate().await?;
        Ok(swept)
    }

    async fn data_keys_among(&self, ids: &[DataKeyId]) -> Result<Vec<DataKeyId>, StoreError> {
        erasure::data_keys_among(&self.readers, ids).await
    }

    async fn destroy_member(&self, member: &Belongings) -> Result<(), StoreError> {
        erasure::destroy(&mut *self.writer().await, member).await?;
        self.truncated().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query(sql::PING).fetch_one(&self.readers).await.map(drop).map_err(failed)
    }
}

/// Every row, a page at a time and each page a read of its own: a long one would hold the write-ahead log.
/// The id of a row is its first column.
async fn by_batch<F>(page: impl Fn(Vec<u8>) -> F) -> Result<Vec<SqliteRow>, StoreError>
where
    F: Future<Output = Result<Vec<SqliteRow>, StoreError>>,
{
    let mut rows = Vec::new();
    let mut after = Vec::new();
    loop {
        let mut batch = page(after).await?;
        let full = batch.len() >= BATCH;
        rows.append(&mut batch);
        match rows.last() {
            Some(last) if full => after = last.try_get(0).map_err(failed)?,
            _ => return Ok(rows),
        }
    }
}

fn limit() -> i64 {
    i64::try_from(BATCH).expect("a batch is small")
}

fn bytes(id: &Uuid) -> &[u8] {
    id.as_bytes()
}

fn id(row: &SqliteRow, column: usize) -> Result<Uuid, StoreError> {
    let bytes: &[u8] = row.try_get(column).map_err(failed)?;
    Uuid::from_slice(bytes).map_err(|_| corrupt("an id is not of 16 bytes"))
}

fn time(row: &SqliteRow, column: usize) -> Result<Timestamp, StoreError> {
    row.try_get(column).map(from_micros).map_err(failed)
}

/// What an error of the database means. Its text names tables and columns, never what they hold.
#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn failed(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(database) if database.kind() == ErrorKind::UniqueViolation => {
            StoreError::Conflict(error.to_string())
        }
        // SQLITE_CORRUPT and SQLITE_NOTADB; the low byte is the primary code.
        sqlx::Error::Database(database)
            if database
                .code()
                .and_then(|code| code.parse::<i32>().ok())
                .is_some_and(|c| matches!(c & 255, 11 | 26)) =>
        {
            corrupt(&error.to_string())
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => corrupt(&error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// The vault has no positions: 0.
fn corrupt(detail: &str) -> StoreError {
    StoreError::Corrupt { position: Position(0), detail: detail.to_owned() }
}
