//! The vault on `SQLite`: a file of its own beside the log's. One writing connection, a few reading
//! ones. What goes in is sealed by the callers, and what is live is for the log to say; here it is
//! kept durably and, when destroyed, leaves no copy in the files.

mod statements;

use std::{fs, os::unix::fs::OpenOptionsExt, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use countersign_events::{
    ids::{DataKeyId, SecretId, UserId, VerifierId},
    recorded::{Position, Timestamp},
};
use sqlx::{
    ConnectOptions, Connection, SqlSafeStr, Sqlite, SqliteConnection, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::store::{Aged, CommandKey, Link, StoreError, Vault, from_micros, rows::Session};

/// Bytes of a page. The padding of held secrets, and the check of it in the schema, rest on this.
const PAGE: u32 = 4096;
/// How many connections read at once.
const READERS: u32 = 4;
/// How long a reading connection may be waited for.
const READER_WAIT: Duration = Duration::from_secs(5);
/// How long one statement waits for a lock. Short, because it waits with the writing connection taken.
const LOCK_WAIT: Duration = Duration::from_millis(100);
/// Tries of a truncating checkpoint. With the lock waits and growing pauses they make up 4 to 5 seconds.
const CHECKPOINT_TRIES: u32 = 20;
/// The pause after the first busy checkpoint; after the n-th it is n times as long.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(12);
/// Rows that one statement of the sweeper removes, so that others can write in between.
const SWEEP_BATCH: u16 = 500;
/// Rows of one page of a long listing: a long read would keep checkpoints from truncating.
const LISTING_PAGE: u16 = 1000;

/// The vault in `vault.db`.
pub struct SqliteVault {
    writer: Mutex<SqliteConnection>,
    readers: SqlitePool,
}

impl SqliteVault {
    /// Opens the vault of a data directory; makes it (readable by its owner only) when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be opened, locked or brought to this version's schema.
    pub async fn open(data_dir: &Path) -> Result<Arc<Self>, StoreError> {
        let path = data_dir.join("vault.db");
        make_private(&path).map_err(|error| StoreError::Unavailable(format!("{}: {error}", path.display())))?;
        let options = SqliteConnectOptions::new().filename(&path).busy_timeout(LOCK_WAIT).disable_statement_logging();
        let mut writer = options
            .clone()
            .page_size(PAGE)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("secure_delete", "on")
            // Pages that a statement might have to restore go to a temporary file otherwise.
            .pragma("temp_store", "memory")
            .connect()
            .await
            .map_err(failed)?;
        migrator().run(&mut writer).await.map_err(|error| StoreError::Unavailable(format!("the vault: {error}")))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(READER_WAIT)
            .connect_with(options.read_only(true))
            .await
            .map_err(failed)?;
        let vault = Self { writer: Mutex::new(writer), readers };
        // What a crash between deleting and truncating left in the write-ahead log goes now. When
        // somebody else reads the file, a backup say, it goes with the next checkpoint.
        vault.truncate_log().await?;
        Ok(Arc::new(vault))
    }

    /// What the live writing connection says of `synchronous`, `journal_mode` and `secure_delete`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not answer.
    pub async fn pragmas(&self) -> Result<(i64, String, i64), StoreError> {
        let mut writer = self.writer.lock().await;
        sqlx::query_as(statements::PRAGMAS).fetch_one(&mut *writer).await.map_err(failed)
    }

    /// Runs one statement on the writing connection; how many rows it changed.
    async fn write(&self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock().await;
        Ok(query.execute(&mut *writer).await.map_err(failed)?.rows_affected())
    }

    /// One column of one row.
    async fn one<T>(&self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<Option<T>, StoreError>
    where
        T: for<'r> sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
    {
        let row = query.fetch_optional(&self.readers).await.map_err(failed)?;
        row.map(|row| sqlx::Row::try_get(&row, 0)).transpose().map_err(failed)
    }

    /// Moves the write-ahead log into the file and empties it. `false` when readers kept it from that.
    async fn truncate_log(&self) -> Result<bool, StoreError> {
        let mut writer = self.writer.lock().await;
        // A checkpoint that could not finish is no error: only this column says so.
        let (busy, _, _): (i64, i64, i64) =
            sqlx::query_as(statements::TRUNCATE_LOG).fetch_one(&mut *writer).await.map_err(failed)?;
        Ok(busy == 0)
    }

    /// Removes expired rows in batches; the writing connection is free between them.
    async fn sweep_table(&self, statement: &'static str, now: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let batch = self.write(sqlx::query(statement).bind(now.timestamp_micros()).bind(SWEEP_BATCH)).await?;
            removed += batch;
            if batch < u64::from(SWEEP_BATCH) {
                return Ok(removed);
            }
        }
    }

    /// Ids with their subject, page by page in the order of ids.
    async fn list_aged<S>(&self, statement: &'static str, before: Timestamp) -> Result<Vec<(Uuid, S)>, StoreError>
    where
        (Vec<u8>, S): for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
        S: Send + Unpin,
    {
        let mut listed: Vec<(Uuid, S)> = Vec::new();
        loop {
            let after = listed.last().map_or(Uuid::nil(), |(id, _)| *id);
            let page: Vec<(Vec<u8>, S)> = sqlx::query_as(statement)
                .bind(before.timestamp_micros())
                .bind(bytes(after))
                .bind(LISTING_PAGE)
                .fetch_all(&self.readers)
                .await
                .map_err(failed)?;
            let last = page.len() < usize::from(LISTING_PAGE);
            for (id, subject) in page {
                listed.push((uuid(&id)?, subject));
            }
            if last {
                return Ok(listed);
            }
        }
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
        let query = sqlx::query(statements::PUT_DATA_KEY).bind(bytes(id.0)).bind(subject).bind(wrapped);
        self.write(query.bind(at.timestamp_micros())).await?;
        Ok(())
    }

    async fn data_key(&self, id: DataKeyId) -> Result<Option<Vec<u8>>, StoreError> {
        self.one(sqlx::query(statements::DATA_KEY).bind(bytes(id.0))).await
    }

    async fn site_key(&self) -> Result<Option<(DataKeyId, Vec<u8>)>, StoreError> {
        let row: Option<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as(statements::SITE_KEY).fetch_optional(&self.readers).await.map_err(failed)?;
        row.map(|(id, wrapped)| Ok((DataKeyId(uuid(&id)?), wrapped))).transpose()
    }

    async fn put_verifier(
        &self,
        id: VerifierId,
        user: UserId,
        verifier: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(statements::PUT_VERIFIER).bind(bytes(id.0)).bind(bytes(user.0)).bind(verifier);
        self.write(query.bind(at.timestamp_micros())).await?;
        Ok(())
    }

    async fn verifier(&self, id: VerifierId) -> Result<Option<String>, StoreError> {
        self.one(sqlx::query(statements::VERIFIER).bind(bytes(id.0))).await
    }

    async fn destroy_verifiers(&self, user: UserId, keep: VerifierId) -> Result<(), StoreError> {
        self.write(sqlx::query(statements::DESTROY_VERIFIERS).bind(bytes(user.0)).bind(bytes(keep.0))).await?;
        Ok(())
    }

    async fn hold(&self, id: SecretId, sealed: &[u8], at: Timestamp) -> Result<(), StoreError> {
        let query = sqlx::query(statements::HOLD).bind(bytes(id.0)).bind(at.timestamp_micros());
        self.write(query.bind(PAGE).bind(sealed)).await?;
        Ok(())
    }

    async fn held(&self, id: SecretId) -> Result<Option<Vec<u8>>, StoreError> {
        self.one(sqlx::query(statements::HELD).bind(bytes(id.0))).await
    }

    /// The row is gone from the first statement on, whatever is answered. `Unavailable` means that
    /// readers kept the write-ahead log from being emptied for some seconds: until the next call
    /// for this or another secret, or the next start, a sealed copy may lie in it. Calling again
    /// for a secret that is gone is how to finish.
    async fn destroy_held(&self, id: SecretId) -> Result<(), StoreError> {
        self.write(sqlx::query(statements::DESTROY_HELD).bind(bytes(id.0))).await?;
        for attempt in 1..=CHECKPOINT_TRIES {
            if self.truncate_log().await? {
                return Ok(());
            }
            tokio::time::sleep(CHECKPOINT_PAUSE * attempt).await;
        }
        Err(StoreError::Unavailable("the vault's write-ahead log could not be emptied: it is being read".to_owned()))
    }

    async fn held_ids(&self) -> Result<Vec<(SecretId, Timestamp)>, StoreError> {
        let rows: Vec<(Vec<u8>, i64)> =
            sqlx::query_as(statements::HELD_IDS).fetch_all(&self.readers).await.map_err(failed)?;
        rows.iter().map(|(id, at)| Ok((SecretId(uuid(id)?), from_micros(*at)))).collect()
    }

    async fn put_outcome(&self, key: &CommandKey, sealed: &[u8], until: Timestamp) -> Result<(), StoreError> {
        let query = sqlx::query(statements::PUT_OUTCOME).bind(&key.scope).bind(&key.id).bind(sealed);
        self.write(query.bind(until.timestamp_micros())).await?;
        Ok(())
    }

    async fn outcome(&self, key: &CommandKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.one(sqlx::query(statements::OUTCOME).bind(&key.scope).bind(&key.id)).await
    }

    async fn drop_outcome(&self, key: &CommandKey) -> Result<(), StoreError> {
        self.write(sqlx::query(statements::DROP_OUTCOME).bind(&key.scope).bind(&key.id)).await?;
        Ok(())
    }

    async fn put_session(&self, session: &Session) -> Result<(), StoreError> {
        let query = sqlx::query(statements::PUT_SESSION)
            .bind(session.digest.as_slice())
            .bind(bytes(session.user_id.0))
            .bind(session.created_at.timestamp_micros())
            .bind(session.authenticated_at.timestamp_micros())
            .bind(session.expires_at.timestamp_micros());
        self.write(query).await?;
        Ok(())
    }

    async fn session(&self, digest: [u8; 32]) -> Result<Option<Session>, StoreError> {
        let row: Option<(Vec<u8>, i64, i64, i64)> = sqlx::query_as(statements::SESSION)
            .bind(digest.as_slice())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed)?;
        row.map(|(user, created, authenticated, expires)| {
            Ok(Session {
                digest,
                user_id: UserId(uuid(&user)?),
                created_at: from_micros(created),
                authenticated_at: from_micros(authenticated),
                expires_at: from_micros(expires),
            })
        })
        .transpose()
    }

    async fn end_session(&self, digest: [u8; 32]) -> Result<(), StoreError> {
        self.write(sqlx::query(statements::END_SESSION).bind(digest.as_slice())).await?;
        Ok(())
    }

    async fn end_sessions_of(&self, user: UserId, keep: Option<[u8; 32]>) -> Result<(), StoreError> {
        let keep = keep.map(|digest| digest.to_vec());
        self.write(sqlx::query(statements::END_SESSIONS_OF).bind(bytes(user.0)).bind(keep)).await?;
        Ok(())
    }

    async fn put_link(&self, digest: [u8; 32], link: Link, until: Timestamp) -> Result<(), StoreError> {
        let user = match link {
            Link::SetUp => None,
            Link::Reset(user) => Some(bytes(user.0)),
        };
        let mut writer = self.writer.lock().await;
        let mut transaction = writer.begin_with(statements::BEGIN).await.map_err(failed)?;
        if link == Link::SetUp {
            sqlx::query(statements::END_SET_UP_LINK).execute(&mut *transaction).await.map_err(failed)?;
        }
        sqlx::query(statements::PUT_LINK)
            .bind(digest.as_slice())
            .bind(user)
            .bind(until.timestamp_micros())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    async fn link(&self, digest: [u8; 32], now: Timestamp) -> Result<Option<Link>, StoreError> {
        let query = sqlx::query(statements::LINK).bind(digest.as_slice()).bind(now.timestamp_micros());
        let user: Option<Option<Vec<u8>>> = self.one(query).await?;
        user.map(|user| match user {
            None => Ok(Link::SetUp),
            Some(user) => Ok(Link::Reset(UserId(uuid(&user)?))),
        })
        .transpose()
    }

    async fn end_link(&self, digest: [u8; 32]) -> Result<(), StoreError> {
        self.write(sqlx::query(statements::END_LINK).bind(digest.as_slice())).await?;
        Ok(())
    }

    async fn aged(&self, before: Timestamp) -> Result<Aged, StoreError> {
        let mut aged = Aged::default();
        for (id, subject) in self.list_aged::<String>(statements::AGED_DATA_KEYS, before).await? {
            let user = subject.parse().map_err(|_| corrupt("the subject of a data key is no id"))?;
            aged.data_keys.push((DataKeyId(id), user));
        }
        for (id, user) in self.list_aged::<Vec<u8>>(statements::AGED_VERIFIERS, before).await? {
            aged.verifiers.push((VerifierId(id), UserId(uuid(&user)?)));
        }
        Ok(aged)
    }

    async fn remove(&self, orphans: &Aged) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        let mut transaction = writer.begin_with(statements::BEGIN).await.map_err(failed)?;
        for (id, user) in &orphans.data_keys {
            let query = sqlx::query(statements::REMOVE_DATA_KEY).bind(bytes(id.0)).bind(user.to_string());
            query.execute(&mut *transaction).await.map_err(failed)?;
        }
        for (id, user) in &orphans.verifiers {
            let query = sqlx::query(statements::REMOVE_VERIFIER).bind(bytes(id.0)).bind(bytes(user.0));
            query.execute(&mut *transaction).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        for statement in [statements::SWEEP_SESSIONS, statements::SWEEP_LINKS, statements::SWEEP_OUTCOMES] {
            removed += self.sweep_table(statement, now).await?;
        }
        if removed > 0 {
            // So that what has expired does not stay in the write-ahead log; when it is being read,
            // the next round empties it.
            self.truncate_log().await?;
        }
        Ok(removed)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.one::<i64>(sqlx::query(statements::PING)).await?;
        Ok(())
    }
}

/// Makes the file, or its permissions, so that only its owner reads it. `SQLite` gives the files
/// beside it the same permissions.
fn make_private(path: &Path) -> std::io::Result<()> {
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

fn migrator() -> Migrator {
    let sql = include_str!("../../../migrations/sqlite/vault/0001_vault.sql").into_sql_str();
    Migrator::with_migrations(vec![Migration::new(1, "vault".into(), MigrationType::Simple, sql, false)])
}

fn bytes(id: Uuid) -> Vec<u8> {
    id.into_bytes().to_vec()
}

fn uuid(bytes: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes).map_err(|_| corrupt("an id is not 16 bytes long"))
}

/// Rows of the vault have no position.
fn corrupt(detail: &str) -> StoreError {
    StoreError::Corrupt { position: Position(0), detail: format!("the vault: {detail}") }
}

/// The messages of `SQLite` name tables and columns, never values.
fn failed(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(error) if error.is_unique_violation() => {
            StoreError::Conflict(format!("the vault: {error}"))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => corrupt(&error.to_string()),
        error => StoreError::Unavailable(format!("the vault: {error}")),
    }
}
