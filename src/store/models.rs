//! Reading the read models: what is asked is equal in both databases.

mod reviews;

use std::collections::HashMap;

use async_trait::async_trait;
use countersign_events::{
    application::Standing,
    ids::{ApplicationId, CommentId, MessageId, PostId, TokenId, UserId, UsernameDigest},
    recorded::{Position, Timestamp},
    token::{ClientId, TokenDigest},
};
use countersign_projections::history::Subject;

use super::{
    Kinds, Page, ReadModels, ReviewFilter, Span, StoreError,
    ask::{Ask, Of, Reads, ask},
    convert,
    rows::{
        AccountRow, ApplicationRow, AuthorizationRow, CommentPlace, CommentRow, NotificationRow, PostCounts, PostRow,
        TokenRow,
    },
    signed, statements,
};

const INBOX: Of = Of::Model("inbox");
const FRONT_PAGE: Of = Of::Model("front_page");
const STATISTICS: Of = Of::Model("statistics");
const HISTORY: Of = Of::Model("history");

pub(super) async fn one<S: Reads, T>(
    store: &S,
    of: Of,
    ask: Ask,
    read: fn(&S::Row) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    store.rows(of, ask).await?.first().map(read).transpose()
}

pub(super) async fn all<S: Reads, T>(
    store: &S,
    of: Of,
    ask: Ask,
    read: fn(&S::Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    store.rows(of, ask).await?.iter().map(read).collect()
}

/// With a stretch of the log and how much of it is wanted.
pub(super) fn bind_span(ask: Ask, span: Span, limit: u32) -> Ask {
    ask.bind(signed(span.above.0)).bind(signed(span.below.0)).bind(i64::from(limit))
}

/// Positions as a list.
pub(super) fn numbers(positions: &[Position]) -> Vec<i64> {
    positions.iter().map(|position| signed(position.0)).collect()
}

/// Ids as texts.
fn texts(ids: &[impl ToString]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// The text of an id to begin after; no id begins with less than nothing.
fn after_id(id: Option<impl ToString>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

#[async_trait]
impl<S: Reads> ReadModels for S {
    async fn cut_off(&self) -> Result<Timestamp, StoreError> {
        let cut_off = one(self, Of::Log, ask(statements::CUT_OFF), convert::cut_off).await?;
        cut_off.ok_or_else(|| StoreError::Unavailable("the log's database has lost its cut-off".to_owned()))
    }

    async fn account(&self, user: UserId) -> Result<Option<AccountRow>, StoreError> {
        one(self, Of::Log, ask(statements::ACCOUNT).bind(user.to_string()), convert::account).await
    }

    async fn account_named(&self, username: &UsernameDigest) -> Result<Option<AccountRow>, StoreError> {
        let statement = ask(statements::ACCOUNT_NAMED).bind(username.as_str().to_owned());
        one(self, Of::Log, statement, convert::account).await
    }

    async fn accounts(&self, after: Option<UserId>, limit: u32) -> Result<Vec<AccountRow>, StoreError> {
        let statement = ask(statements::ACCOUNTS).bind(after_id(after)).bind(i64::from(limit));
        all(self, Of::Log, statement, convert::account).await
    }

    async fn application(&self, id: ApplicationId) -> Result<Option<ApplicationRow>, StoreError> {
        one(self, Of::Log, ask(statements::APPLICATION).bind(id.to_string()), convert::application).await
    }

    async fn application_by_client(&self, client: &ClientId) -> Result<Option<ApplicationRow>, StoreError> {
        let statement = ask(statements::APPLICATION_BY_CLIENT).bind(client.as_str().to_owned());
        one(self, Of::Log, statement, convert::application).await
    }

    async fn applications_of(&self, owner: UserId) -> Result<Vec<ApplicationRow>, StoreError> {
        all(self, Of::Log, ask(statements::APPLICATIONS_OF).bind(owner.to_string()), convert::application).await
    }

    async fn former_client(&self, client: &ClientId) -> Result<Option<(ApplicationId, Timestamp)>, StoreError> {
        let statement = ask(statements::FORMER_CLIENT).bind(client.as_str().to_owned());
        one(self, Of::Log, statement, convert::former_client).await
    }

    async fn applications(
        &self,
        after: Option<(Timestamp, ApplicationId)>,
        limit: u32,
    ) -> Result<Vec<ApplicationRow>, StoreError> {
        let (at, id) = after.unzip();
        let at = at.map_or(i64::MIN, |at| at.timestamp_micros());
        let statement = ask(statements::APPLICATIONS).bind(at).bind(after_id(id)).bind(i64::from(limit));
        all(self, Of::Log, statement, convert::application).await
    }

    async fn review(&self, filter: &ReviewFilter) -> Result<Vec<ApplicationRow>, StoreError> {
        all(self, Of::Log, reviews::list(filter), convert::application).await
    }

    async fn review_count(&self, filter: &ReviewFilter) -> Result<u64, StoreError> {
        let counted = one(self, Of::Log, reviews::count(filter), |row| convert::number(row, "number")).await?;
        Ok(counted.unwrap_or_default())
    }

    async fn standing_count(&self, standing: Standing) -> Result<u64, StoreError> {
        let statement = ask(statements::STANDING_COUNT).bind(standing.as_str());
        let counted = one(self, Of::Log, statement, |row| convert::number(row, "number")).await?;
        Ok(counted.unwrap_or_default())
    }

    async fn queue_ahead(&self, since: Timestamp, id: ApplicationId) -> Result<u64, StoreError> {
        let statement = ask(statements::QUEUE_AHEAD).bind(since.timestamp_micros()).bind(id.to_string());
        let ahead = one(self, Of::Log, statement, |row| convert::number(row, "ahead")).await?;
        Ok(ahead.unwrap_or_default())
    }

    async fn recent_answers(&self, limit: u32) -> Result<Vec<(Timestamp, Timestamp)>, StoreError> {
        all(self, Of::Log, ask(statements::RECENT_ANSWERS).bind(i64::from(limit)), convert::answer).await
    }

    async fn authorizations_of(&self, user: UserId) -> Result<Vec<AuthorizationRow>, StoreError> {
        all(self, Of::Log, ask(statements::AUTHORIZATIONS_OF).bind(user.to_string()), convert::authorization).await
    }

    async fn authorizations(
        &self,
        after: Option<(ApplicationId, UserId)>,
        limit: u32,
    ) -> Result<Vec<AuthorizationRow>, StoreError> {
        let (application, user) = after.unzip();
        let statement = ask(statements::AUTHORIZATIONS).bind(after_id(application)).bind(after_id(user));
        all(self, Of::Log, statement.bind(i64::from(limit)), convert::authorization).await
    }

    async fn tokens_of(&self, user: UserId) -> Result<Vec<TokenRow>, StoreError> {
        all(self, Of::Log, ask(statements::TOKENS_OF).bind(user.to_string()), convert::token).await
    }

    async fn token(&self, id: TokenId) -> Result<Option<TokenRow>, StoreError> {
        one(self, Of::Log, ask(statements::TOKEN).bind(id.to_string()), convert::token).await
    }

    async fn tokens(&self, after: Option<[u8; 32]>, limit: u32) -> Result<Vec<TokenRow>, StoreError> {
        let after = after.map(|digest| digest.to_vec()).unwrap_or_default();
        all(self, Of::Log, ask(statements::TOKENS).bind(after).bind(i64::from(limit)), convert::token).await
    }

    async fn uses_of(&self, user: UserId) -> Result<HashMap<TokenDigest, Timestamp>, StoreError> {
        let statement = ask(statements::USES_OF).bind(user.to_string());
        Ok(all(self, Of::Log, statement, convert::token_use).await?.into_iter().collect())
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
        let statement = ask(text).bind(user.to_string()).bind(before).bind(i64::from(page.limit));
        all(self, INBOX, statement, convert::notification).await
    }

    async fn notifications_of(
        &self,
        user: UserId,
        kinds: Kinds,
        page: Page,
    ) -> Result<Vec<NotificationRow>, StoreError> {
        let before = page.before.map_or(i64::MAX, |position| signed(position.0));
        let statement =
            ask(statements::NOTIFICATIONS_OF).bind(user.to_string()).bind(before).bind(i64::from(page.limit));
        let statement = kinds.into_iter().fold(statement, Ask::bind);
        all(self, INBOX, statement, convert::notification).await
    }

    async fn newer_notifications(
        &self,
        user: UserId,
        unread: bool,
        kinds: Kinds,
        than: Position,
        limit: u32,
    ) -> Result<Vec<Position>, StoreError> {
        let statement = ask(statements::NEWER_NOTIFICATIONS)
            .bind(user.to_string())
            .bind(signed(than.0))
            .bind(i64::from(limit))
            .bind(i64::from(!unread));
        let statement = kinds.into_iter().fold(statement, Ask::bind);
        all(self, INBOX, statement, convert::position).await
    }

    async fn notification(&self, user: UserId, id: uuid::Uuid) -> Result<Option<NotificationRow>, StoreError> {
        let statement = ask(statements::NOTIFICATION).bind(user.to_string()).bind(id.to_string());
        one(self, INBOX, statement, convert::notification).await
    }

    async fn unread_count(&self, user: UserId) -> Result<u64, StoreError> {
        let statement = ask(statements::UNREAD_COUNT).bind(user.to_string());
        Ok(one(self, INBOX, statement, |row| convert::number(row, "unread")).await?.unwrap_or_default())
    }

    async fn overdue_secrets(&self, now: Timestamp, limit: u32) -> Result<Vec<(UserId, MessageId)>, StoreError> {
        let statement = ask(statements::OVERDUE_SECRETS).bind(now.timestamp_micros()).bind(i64::from(limit));
        all(self, INBOX, statement, convert::overdue).await
    }

    async fn post_counts(&self, since: Option<Timestamp>) -> Result<Vec<PostCounts>, StoreError> {
        let since = since.map_or(i64::MIN, |since| since.timestamp_micros());
        let statement = ask(statements::POST_COUNTS).bind(since);
        all(self, FRONT_PAGE, statement, convert::post_counts).await
    }

    async fn posts(&self, ids: &[PostId], bytes: usize) -> Result<Vec<PostRow>, StoreError> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        all(self, FRONT_PAGE, ask(S::LISTS.posts).bind(texts(ids)).bind(bytes), convert::post).await
    }

    async fn post_bytes(&self, ids: &[PostId]) -> Result<Vec<usize>, StoreError> {
        all(self, FRONT_PAGE, ask(S::LISTS.post_bytes).bind(texts(ids)), convert::text_bytes).await
    }

    async fn comment_places(
        &self,
        post: PostId,
        after: Option<(Timestamp, CommentId)>,
        limit: u32,
    ) -> Result<Vec<CommentPlace>, StoreError> {
        let (at, id) = after.unzip();
        let at = at.map_or(i64::MIN, |at| at.timestamp_micros());
        let statement = ask(statements::COMMENT_PLACES).bind(post.to_string()).bind(at).bind(after_id(id));
        all(self, FRONT_PAGE, statement.bind(i64::from(limit)), convert::comment_place).await
    }

    async fn comment_at(&self, post: PostId, id: CommentId) -> Result<Option<Timestamp>, StoreError> {
        let statement = ask(statements::COMMENT_AT).bind(id.to_string()).bind(post.to_string());
        one(self, FRONT_PAGE, statement, convert::created_at).await
    }

    async fn comments(&self, ids: &[CommentId]) -> Result<Vec<CommentRow>, StoreError> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        all(self, FRONT_PAGE, ask(S::LISTS.comments).bind(texts(ids)), convert::comment).await
    }

    async fn review_steps(&self, since: Timestamp, until: Timestamp) -> Result<Vec<(String, u32, u64)>, StoreError> {
        let statement = ask(statements::REVIEW_STEPS).bind(since.timestamp_micros()).bind(until.timestamp_micros());
        all(self, STATISTICS, statement, convert::steps).await
    }

    async fn review_answers(&self, since: Timestamp, limit: u32) -> Result<Vec<(Timestamp, Timestamp)>, StoreError> {
        let statement = ask(statements::REVIEW_ANSWERS).bind(since.timestamp_micros()).bind(i64::from(limit));
        all(self, STATISTICS, statement, convert::answer).await
    }

    async fn positions_of(&self, subject: &Subject, span: Span, limit: u32) -> Result<Vec<Position>, StoreError> {
        let text = if span.newest_first { statements::SUBJECT_POSITIONS_BACK } else { statements::SUBJECT_POSITIONS };
        let statement = bind_span(ask(text).bind(subject.to_string()), span, limit);
        all(self, HISTORY, statement, convert::position).await
    }

    async fn among(&self, subject: &Subject, positions: &[Position]) -> Result<Vec<Position>, StoreError> {
        let statement = ask(S::LISTS.among).bind(subject.to_string()).bind(numbers(positions));
        all(self, HISTORY, statement, convert::position).await
    }
}
