//! Reading the read models.

use std::collections::HashMap;

use async_trait::async_trait;
use countersign_events::{
    ids::{ApplicationId, MessageId, PostId, TokenId, UserId, UsernameDigest},
    recorded::{Position, Timestamp},
    token::{ClientId, TokenDigest},
};
use countersign_projections::history::Subject;
use sqlx::{SqlitePool, query, sqlite::SqliteRow};

use super::{
    super::{
        Page, ReadModels, ReviewFilter, Span, StoreError,
        rows::{
            AccountRow, ApplicationRow, AuthorizationRow, CommentRow, NotificationRow, PostCounts, PostRow, TokenRow,
        },
        statements::{self, post_columns},
    },
    SqliteStore,
    convert::{self, Statement},
    json, purge, reviews, signed, unavailable,
};

/// `PostgreSQL` takes a list as an array instead.
pub(super) const POSTS: &str =
    concat!("select ", post_columns!(), "\nfrom posts\nwhere post_id in (select value from json_each($1))");
pub(super) const AMONG: &str =
    "select position\nfrom subjects\nwhere subject = $1 and position in (select value from json_each($2))";

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

    async fn uses_of(&self, user: UserId) -> Result<HashMap<TokenDigest, Timestamp>, StoreError> {
        let statement = query(statements::USES_OF).bind(user.to_string());
        Ok(all(&self.readers, statement, convert::token_use).await?.into_iter().collect())
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
        all(&*self.models.readers("inbox").await?, statement, convert::notification).await
    }

    async fn notification(&self, user: UserId, id: uuid::Uuid) -> Result<Option<NotificationRow>, StoreError> {
        let statement = query(statements::NOTIFICATION).bind(user.to_string()).bind(id.to_string());
        one(&*self.models.readers("inbox").await?, statement, convert::notification).await
    }

    async fn unread_count(&self, user: UserId) -> Result<u64, StoreError> {
        let statement = query(statements::UNREAD_COUNT).bind(user.to_string());
        let count = |row: &SqliteRow| convert::number(row, "unread");
        Ok(one(&*self.models.readers("inbox").await?, statement, count).await?.unwrap_or_default())
    }

    async fn overdue_secrets(&self, now: Timestamp, limit: u32) -> Result<Vec<(UserId, MessageId)>, StoreError> {
        let statement = query(statements::OVERDUE_SECRETS).bind(now.timestamp_micros()).bind(i64::from(limit));
        all(&*self.models.readers("inbox").await?, statement, convert::overdue).await
    }

    async fn post_counts(&self, since: Option<Timestamp>) -> Result<Vec<PostCounts>, StoreError> {
        let since = since.map_or(i64::MIN, |since| since.timestamp_micros());
        let statement = query(statements::POST_COUNTS).bind(since);
        all(&*self.models.readers("front_page").await?, statement, convert::post_counts).await
    }

    async fn posts(&self, ids: &[PostId]) -> Result<Vec<PostRow>, StoreError> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        all(&*self.models.readers("front_page").await?, query(POSTS).bind(json(&ids)), convert::post).await
    }

    async fn comments(&self, post: PostId) -> Result<Vec<CommentRow>, StoreError> {
        let statement = query(statements::COMMENTS).bind(post.to_string());
        all(&*self.models.readers("front_page").await?, statement, convert::comment).await
    }

    async fn positions_of(&self, subject: &Subject, span: Span, limit: u32) -> Result<Vec<Position>, StoreError> {
        let text = if span.newest_first { statements::SUBJECT_POSITIONS_BACK } else { statements::SUBJECT_POSITIONS };
        let statement = convert::span(query(text).bind(subject.to_string()), span, limit);
        convert::positions(&*self.models.readers("history").await?, statement).await
    }

    async fn among(&self, subject: &Subject, positions: &[Position]) -> Result<Vec<Position>, StoreError> {
        let statement = query(AMONG).bind(subject.to_string()).bind(convert::numbers(positions));
        convert::positions(&*self.models.readers("history").await?, statement).await
    }
}
