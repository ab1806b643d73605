//! Reading the read models, and the generations of the trailing ones: a file each, with the pointer
//! to the current one in the log's database.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use countersign_events::{
    ids::{ApplicationId, MessageId, PostId, TokenId, UserId, UsernameDigest},
    recorded::{Position, Timestamp},
    token::ClientId,
};
use countersign_projections::{Change, Projection, history::Subject};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, SqliteConnection, SqlitePool, query, raw_sql, sqlite::SqliteRow,
};
use tokio::sync::RwLock;

use super::{
    super::{
        Cursor, Generation, Page, ReadModels, ReviewFilter, Span, StoreError,
        changes::{Placeholders, Planner, ddl},
        rows::{
            AccountRow, ApplicationRow, AuthorizationRow, CommentRow, NotificationRow, PostCounts, PostRow, TokenRow,
        },
        statements::{self, post_columns},
    },
    READERS, SqliteStore,
    convert::{self, Statement},
    json, purge, reviews, schema, signed, unavailable,
    writer::{run, undo},
};

/// `PostgreSQL` takes a list as an array instead.
pub(super) const POSTS: &str =
    concat!("select ", post_columns!(), "\nfrom posts\nwhere post_id in (select value from json_each($1))");
pub(super) const AMONG: &str =
    "select position\nfrom subjects\nwhere subject = $1 and position in (select value from json_each($2))";
pub(super) const CREATE_CURSOR: &str = "create table cursor (\n\
    id integer primary key not null check (id = 1),\n\
    epoch integer not null,\n\
    position integer not null\n) strict;\n\
    insert into cursor (id, epoch, position) values (1, 0, 0)";
/// Begins; answers with a row only when the cursor was where it had to be.
pub(super) const MOVE_CURSOR: &str = "begin immediate;\nupdate cursor\nset epoch = ?, position = ?\n\
    where epoch = ? and position = ?\nreturning position";

/// The current generations.
pub(super) struct Models {
    log: PathBuf,
    directory: PathBuf,
    open: RwLock<HashMap<&'static str, Current>>,
}

#[derive(Clone)]
struct Current {
    revision: u32,
    generation: u64,
    readers: SqlitePool,
}

impl Models {
    pub(super) fn new(log: PathBuf, directory: PathBuf) -> Self {
        Self { log, directory, open: RwLock::default() }
    }

    fn file(&self, name: &str, generation: u64) -> PathBuf {
        self.directory.join(format!("{name}-{generation}.db"))
    }

    /// The current generation of a projection; a new one when there is none of its revision.
    pub(super) async fn ensure(&self, projection: &'static Projection) -> Result<u64, StoreError> {
        if let Some(current) = self.open.read().await.get(projection.name)
            && current.revision == projection.revision
        {
            return Ok(current.generation);
        }
        let mut open = self.open.write().await;
        let generation = self.point(projection).await?;
        let readers = schema::readers(&self.file(projection.name, generation), READERS);
        let current = Current { revision: projection.revision, generation, readers };
        if let Some(old) = open.insert(projection.name, current) {
            old.readers.close().await;
        }
        self.sweep(projection.name, generation)?;
        Ok(generation)
    }

    /// Finds the pointer, or moves it to a generation that it makes, under the lock of the log's database.
    async fn point(&self, projection: &'static Projection) -> Result<u64, StoreError> {
        let mut connection = schema::log_writer(&self.log).connect().await.map_err(unavailable)?;
        raw_sql("begin immediate").execute(&mut connection).await.map_err(unavailable)?;
        let row = query(statements::GENERATION)
            .bind(projection.name)
            .fetch_optional(&mut connection)
            .await
            .map_err(unavailable)?;
        let before: Option<(u32, u64)> = match &row {
            Some(row) => Some((convert::number(row, "revision")?, convert::number(row, "generation")?)),
            None => None,
        };
        let generation = match before {
            Some((revision, generation))
                if revision == projection.revision && self.file(projection.name, generation).exists() =>
            {
                generation
            }
            _ => {
                let next = before.map_or(1, |(_, generation)| generation + 1);
                create(&self.file(projection.name, next), projection).await?;
                query(statements::SET_GENERATION)
                    .bind(projection.name)
                    .bind(i64::from(projection.revision))
                    .bind(signed(next))
                    .execute(&mut connection)
                    .await
                    .map_err(unavailable)?;
                next
            }
        };
        raw_sql("commit").execute(&mut connection).await.map_err(unavailable)?;
        connection.close().await.map_err(unavailable)?;
        Ok(generation)
    }

    /// Removes the files of other generations than `current`: nothing points at them.
    fn sweep(&self, name: &str, current: u64) -> Result<(), StoreError> {
        let failed = |error| StoreError::Unavailable(format!("cannot tidy {}: {error}", self.directory.display()));
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let file = entry.file_name();
            let generation = file
                .to_str()
                .and_then(|file| file.strip_prefix(name)?.strip_prefix('-')?.split_once(".db"))
                .and_then(|(generation, _)| generation.parse::<u64>().ok());
            if generation.is_some_and(|generation| generation != current) {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn readers(&self, name: &str) -> Result<SqlitePool, StoreError> {
        let missing = || StoreError::Unavailable(format!("there is no read model {name}"));
        self.open.read().await.get(name).map(|current| current.readers.clone()).ok_or_else(missing)
    }
}

/// Makes the file of a generation: its tables, and a cursor before the first event.
async fn create(file: &Path, projection: &Projection) -> Result<(), StoreError> {
    // Left over from a start that was cut short: nothing points at it.
    for leftover in ["", "-wal", "-shm"] {
        let mut path = file.as_os_str().to_owned();
        path.push(leftover);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Unavailable(format!("cannot remove {}: {error}", file.display())));
            }
            _ => {}
        }
    }
    schema::make_file(file)?;
    let mut connection = schema::model_writer(file).connect().await.map_err(unavailable)?;
    let mut transaction = connection.begin().await.map_err(unavailable)?;
    for statement in projection.tables.iter().flat_map(|table| ddl(table)) {
        raw_sql(AssertSqlSafe(statement)).execute(&mut *transaction).await.map_err(unavailable)?;
    }
    raw_sql(CREATE_CURSOR).execute(&mut *transaction).await.map_err(unavailable)?;
    transaction.commit().await.map_err(unavailable)?;
    connection.close().await.map_err(unavailable)
}

/// A generation, for its one follower.
struct SqliteGeneration {
    connection: SqliteConnection,
    planner: Planner,
    /// Whether the file may hold copies of texts that were made null.
    scrub_wanted: bool,
}

#[async_trait]
impl Generation for SqliteGeneration {
    async fn cursor(&mut self) -> Result<Cursor, StoreError> {
        let row = query(statements::CURSOR).fetch_one(&mut self.connection).await.map_err(unavailable)?;
        cursor(&row)
    }

    async fn advance(&mut self, changes: Vec<Change>, from: Cursor, to: Cursor) -> Result<bool, StoreError> {
        let nulls = purge::make_texts_null(&changes);
        let steps = self.planner.plan(changes);
        let result = async {
            let moved = query(MOVE_CURSOR)
                .bind(i64::from(to.epoch))
                .bind(signed(to.position.0))
                .bind(i64::from(from.epoch))
                .bind(signed(from.position.0))
                .fetch_all(&mut self.connection)
                .await
                .map_err(unavailable)?;
            if moved.is_empty() {
                return Ok(false);
            }
            run(&mut self.connection, steps).await?;
            if nulls {
                raw_sql(purge::WANT_SCRUB).execute(&mut self.connection).await.map_err(unavailable)?;
            }
            raw_sql("commit").execute(&mut self.connection).await.map_err(unavailable)?;
            Ok(true)
        }
        .await;
        if !matches!(result, Ok(true)) {
            undo(&mut self.connection).await?;
        } else if nulls {
            self.scrub_wanted = true;
        }
        result
    }

    async fn scrub(&mut self) -> Result<(), StoreError> {
        if self.scrub_wanted {
            self.scrub_wanted = !purge::scrub(&mut self.connection).await?;
        }
        Ok(())
    }
}

fn cursor(row: &SqliteRow) -> Result<Cursor, StoreError> {
    Ok(Cursor { epoch: convert::number(row, "epoch")?, position: Position(convert::number(row, "position")?) })
}

async fn one<T>(
    readers: &SqlitePool,
    statement: Statement<'_>,
    read: fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    statement.fetch_optional(readers).await.map_err(unavailable)?.as_ref().map(read).transpose()
}

async fn all<T>(
    readers: &SqlitePool,
    statement: Statement<'_>,
    read: fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    statement.fetch_all(readers).await.map_err(unavailable)?.iter().map(read).collect()
}

/// The text of an id to begin after; no id begins with less than nothing.
fn after_id(id: Option<impl ToString>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

#[async_trait]
impl ReadModels for SqliteStore {
    async fn generation(&self, projection: &'static Projection) -> Result<Box<dyn Generation>, StoreError> {
        let generation = self.models.ensure(projection).await?;
        let file = self.models.file(projection.name, generation);
        let mut connection = schema::model_writer(&file).connect().await.map_err(unavailable)?;
        let scrub_wanted = purge::is_scrub_wanted(&mut connection).await?;
        Ok(Box::new(SqliteGeneration { connection, planner: Planner::new(Placeholders::Anonymous), scrub_wanted }))
    }

    async fn cursor(&self, projection: &'static Projection) -> Result<Cursor, StoreError> {
        self.models.ensure(projection).await?;
        let readers = self.models.readers(projection.name).await?;
        let row = query(statements::CURSOR).fetch_one(&readers).await.map_err(unavailable)?;
        cursor(&row)
    }

    async fn cut_off(&self) -> Result<Timestamp, StoreError> {
        let row = query(statements::CUT_OFF).fetch_one(&self.readers).await.map_err(unavailable)?;
        purge::cut_off(&row)
    }

    async fn account(&self, user: UserId) -> Result<Option<AccountRow>, StoreError> {
        one(&self.readers, query(statements::ACCOUNT).bind(user.to_string()), convert::account).await
    }

    async fn account_named(&self, username: &UsernameDigest) -> Result<Option<AccountRow>, StoreError> {
        let statement = query(statements::ACCOUNT_NAMED).bind(username.as_str().to_owned());
        one(&self.readers, statement, convert::account).await
    }

    async fn accounts(&self, after: Option<UserId>, limit: u32) -> Result<Vec<AccountRow>, StoreError> {
        let statement = query(statements::ACCOUNTS).bind(after_id(after)).bind(i64::from(limit));
        all(&self.readers, statement, convert::account).await
    }

    async fn application(&self, id: ApplicationId) -> Result<Option<ApplicationRow>, StoreError> {
        one(&self.readers, query(statements::APPLICATION).bind(id.to_string()), convert::application).await
    }

    async fn application_by_client(&self, client: &ClientId) -> Result<Option<ApplicationRow>, StoreError> {
        let statement = query(statements::APPLICATION_BY_CLIENT).bind(client.as_str().to_owned());
        one(&self.readers, statement, convert::application).await
    }

    async fn applications_of(&self, owner: UserId) -> Result<Vec<ApplicationRow>, StoreError> {
        all(&self.readers, query(statements::APPLICATIONS_OF).bind(owner.to_string()), convert::application).await
    }

    async fn former_client(&self, client: &ClientId) -> Result<Option<(ApplicationId, Timestamp)>, StoreError> {
        let statement = query(statements::FORMER_CLIENT).bind(client.as_str().to_owned());
        one(&self.readers, statement, convert::former_client).await
    }

    async fn applications(
        &self,
        after: Option<(Timestamp, ApplicationId)>,
        limit: u32,
    ) -> Result<Vec<ApplicationRow>, StoreError> {
        let (at, id) = after.unzip();
        let at = at.map_or(i64::MIN, |at| at.timestamp_micros());
        let statement = query(statements::APPLICATIONS).bind(at).bind(after_id(id)).bind(i64::from(limit));
        all(&self.readers, statement, convert::application).await
    }

    async fn review(&self, filter: &ReviewFilter) -> Result<Vec<ApplicationRow>, StoreError> {
        all(&self.readers, reviews::list(filter), convert::application).await
    }

    async fn queue_ahead(&self, since: Timestamp, id: ApplicationId) -> Result<u64, StoreError> {
        let statement = query(statements::QUEUE_AHEAD).bind(since.timestamp_micros()).bind(id.to_string());
        let ahead = one(&self.readers, statement, |row| convert::number(row, "ahead")).await?;
        Ok(ahead.unwrap_or_default())
    }

    async fn recent_answers(&self, limit: u32) -> Result<Vec<(Timestamp, Timestamp)>, StoreError> {
        all(&self.readers, query(statements::RECENT_ANSWERS).bind(i64::from(limit)), convert::answer).await
    }

    async fn authorizations_of(&self, user: UserId) -> Result<Vec<AuthorizationRow>, StoreError> {
        all(&self.readers, query(statements::AUTHORIZATIONS_OF).bind(user.to_string()), convert::authorization).await
    }

    async fn authorizations(
        &self,
        after: Option<(ApplicationId, UserId)>,
        limit: u32,
    ) -> Result<Vec<AuthorizationRow>, StoreError> {
        let (application, user) = after.unzip();
        let statement = query(statements::AUTHORIZATIONS).bind(after_id(application)).bind(after_id(user));
        all(&self.readers, statement.bind(i64::from(limit)), convert::authorization).await
    }

    async fn tokens_of(&self, user: UserId) -> Result<Vec<TokenRow>, StoreError> {
        all(&self.readers, query(statements::TOKENS_OF).bind(user.to_string()), convert::token).await
    }

    async fn token(&self, id: TokenId) -> Result<Option<TokenRow>, StoreError> {
        one(&self.readers, query(statements::TOKEN).bind(id.to_string()), convert::token).await
    }

    async fn tokens(&self, after: Option<[u8; 32]>, limit: u32) -> Result<Vec<TokenRow>, StoreError> {
        let after = after.map(|digest| digest.to_vec()).unwrap_or_default();
        all(&self.readers, query(statements::TOKENS).bind(after).bind(i64::from(limit)), convert::token).await
    }

    async fn notifications(
        &self,
        user: UserId,
        unread: bool,
        messages: bool,
        page: Page,
    ) -> Result<Vec<NotificationRow>, StoreError> {
        let text = match (unread, messages) {
            (false, false) => statements::NOTIFICATIONS,
            (true, false) => statements::NOTIFICATIONS_UNREAD,
            (false, true) => statements::MESSAGES,
            (true, true) => statements::MESSAGES_UNREAD,
        };
        let before = page.before.map_or(i64::MAX, |position| signed(position.0));
        let statement = query(text).bind(user.to_string()).bind(before).bind(i64::from(page.limit));
        all(&self.models.readers("inbox").await?, statement, convert::notification).await
    }

    async fn notification(&self, user: UserId, id: uuid::Uuid) -> Result<Option<NotificationRow>, StoreError> {
        let statement = query(statements::NOTIFICATION).bind(user.to_string()).bind(id.to_string());
        one(&self.models.readers("inbox").await?, statement, convert::notification).await
    }

    async fn unread_count(&self, user: UserId) -> Result<u64, StoreError> {
        let statement = query(statements::UNREAD_COUNT).bind(user.to_string());
        let count = |row: &SqliteRow| convert::number(row, "unread");
        Ok(one(&self.models.readers("inbox").await?, statement, count).await?.unwrap_or_default())
    }

    async fn overdue_secrets(&self, now: Timestamp, limit: u32) -> Result<Vec<(UserId, MessageId)>, StoreError> {
        let statement = query(statements::OVERDUE_SECRETS).bind(now.timestamp_micros()).bind(i64::from(limit));
        all(&self.models.readers("inbox").await?, statement, convert::overdue).await
    }

    async fn post_counts(&self, since: Option<Timestamp>) -> Result<Vec<PostCounts>, StoreError> {
        let since = since.map_or(i64::MIN, |since| since.timestamp_micros());
        let statement = query(statements::POST_COUNTS).bind(since);
        all(&self.models.readers("front_page").await?, statement, convert::post_counts).await
    }

    async fn posts(&self, ids: &[PostId]) -> Result<Vec<PostRow>, StoreError> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        all(&self.models.readers("front_page").await?, query(POSTS).bind(json(&ids)), convert::post).await
    }

    async fn comments(&self, post: PostId) -> Result<Vec<CommentRow>, StoreError> {
        let statement = query(statements::COMMENTS).bind(post.to_string());
        all(&self.models.readers("front_page").await?, statement, convert::comment).await
    }

    async fn positions_of(&self, subject: &Subject, span: Span, limit: u32) -> Result<Vec<Position>, StoreError> {
        let text = if span.newest_first { statements::SUBJECT_POSITIONS_BACK } else { statements::SUBJECT_POSITIONS };
        let statement = convert::span(query(text).bind(subject.to_string()), span, limit);
        convert::positions(&self.models.readers("history").await?, statement).await
    }

    async fn among(&self, subject: &Subject, positions: &[Position]) -> Result<Vec<Position>, StoreError> {
        let statement = query(AMONG).bind(subject.to_string()).bind(convert::numbers(positions));
        convert::positions(&self.models.readers("history").await?, statement).await
    }
}
