//! Inboxes: notifications, messages, and the reveal of a held token.

use countersign_events::{
    authorization::{AuthorizationRefusal, TokenRefusal},
    decider::Decider,
    event::Event,
    ids::{MessageId, TokenId, UserId},
    inbox::{self, Inbox, InboxCommand, InboxEvent, SecretStanding},
    post::PostEvent,
    recorded::{Position, Timestamp, Version},
};
use uuid::Uuid;

use super::{App, AppError, Caller, Done, Plan, letters};
use crate::{
    judged_time::Standing,
    store::{Kinds, Page, rows::NotificationRow},
};

/// What a member is told, ready to be read.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct Notification {
    pub row: NotificationRow,
    pub title: String,
    /// Markdown; `None` once its sender is erased.
    pub body: Option<String>,
    /// The member it comes from, or the site.
    pub from: String,
}

/// Who speaks in a notification. A member's name may be like the site's; this cannot be made by a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromKind {
    /// A member, erased ones too.
    Member,
    /// The site itself.
    Site,
}

impl FromKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Member, Self::Site];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Site => "site",
        }
    }
}

impl Notification {
    /// Who speaks.
    #[must_use]
    pub const fn from_kind(&self) -> FromKind {
        if self.row.from_id.is_some() { FromKind::Member } else { FromKind::Site }
    }

    /// Whether the site itself speaks.
    #[must_use]
    pub const fn is_of_site(&self) -> bool {
        matches!(self.from_kind(), FromKind::Site)
    }
}

/// Which notifications a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// Every one.
    #[default]
    All,
    /// Unread ones only.
    Unread,
    /// What programs list as messages: private ones, decisions, and whatever brought a token.
    Messages,
    /// What members wrote to each other.
    Letters,
    /// Decisions on one's own applications.
    Decisions,
    /// Replies and mentions.
    Replies,
    /// What can act for the member, and no longer can.
    Access,
}

const EVERY_KIND: Kinds = ["message", "reply", "mention", "application_decision", "authorization_change"];

impl Which {
    /// The kinds, where a list goes by them.
    fn kinds(self) -> Option<Kinds> {
        match self {
            Self::All | Self::Unread | Self::Messages => None,
            Self::Letters => Some(["message"; 5]),
            Self::Decisions => Some(["application_decision"; 5]),
            Self::Replies => Some(["reply", "mention", "reply", "mention", "reply"]),
            Self::Access => Some(["authorization_change"; 5]),
        }
    }
}

/// So many notifications are marked as read by one event.
const MARKED_AT_ONCE: usize = 500;

/// So many of the newest messages are looked through for tokens that wait.
const LOOKED_AT: u32 = 50;

/// A token that waits in a message.
#[derive(Debug, Clone, Copy)]
pub struct HeldToken {
    /// The token.
    pub token_id: TokenId,
    /// The message.
    pub message_id: Uuid,
    /// When it ends, unless somebody reveals it before.
    pub until: Timestamp,
}

impl App {
    /// A member's notifications, newest first, and where the next page begins.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn notifications(
        &self,
        user: UserId,
        which: Which,
        before: Option<Position>,
        limit: u32,
    ) -> Result<(Vec<Notification>, Option<Position>), AppError> {
        self.notifications_within(user, which, before, limit, usize::MAX).await
    }

    /// The same, with texts and their HTML of at most so many bytes, unless it is one alone.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn notifications_within(
        &self,
        user: UserId,
        which: Which,
        before: Option<Position>,
        limit: u32,
        room: usize,
    ) -> Result<(Vec<Notification>, Option<Position>), AppError> {
        let page = Page { before, limit: limit + 1 };
        let mut rows = match which.kinds() {
            Some(kinds) => self.models.notifications_of(user, kinds, page).await?,
            None => self.models.notifications(user, which == Which::Unread, which == Which::Messages, page).await?,
        };
        let mut more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let mut notifications: Vec<Notification> = Vec::with_capacity(rows.len());
        let mut bytes = 0;
        for row in rows {
            let notification = self.as_notification(row).await?;
            // With its HTML, which is not longer unless it is full of marks.
            bytes += 2 * notification.body.as_ref().map_or(0, String::len);
            if bytes > room && !notifications.is_empty() {
                more = true;
                break;
            }
            notifications.push(notification);
        }
        let next = notifications.last().filter(|_| more).map(|last| last.row.position);
        Ok((notifications, next))
    }

    /// From where the page before a list's page begins: the page whose newest is at `newest`. `None` when that is the
    /// first; `Some(None)` when the page before is the first.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn newer_page(
        &self,
        user: UserId,
        which: Which,
        newest: Position,
        limit: u32,
    ) -> Result<Option<Option<Position>>, AppError> {
        let kinds = which.kinds().unwrap_or(EVERY_KIND);
        let newer = self.models.newer_notifications(user, which == Which::Unread, kinds, newest, limit + 1).await?;
        Ok((!newer.is_empty()).then(|| newer.get(limit as usize).copied()))
    }

    /// One notification of a member.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also when it is somebody else's.
    pub async fn notification(&self, user: UserId, id: Uuid) -> Result<Notification, AppError> {
        let row = self.models.notification(user, id).await?.ok_or(AppError::NotFound)?;
        self.as_notification(row).await
    }

    /// The tokens that wait in a member's newest messages to be revealed.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn held_tokens(&self, user: UserId) -> Result<Vec<HeldToken>, AppError> {
        let page = Page { before: None, limit: LOOKED_AT };
        let rows = self.models.notifications(user, false, true, page).await?;
        let held = |row: NotificationRow| {
            let waits = row.secret.as_deref() == Some("held");
            let (token_id, until) = (row.token_id?, row.held_until?);
            (waits && until > self.now()).then_some(HeldToken { token_id, message_id: row.id, until })
        };
        Ok(rows.into_iter().filter_map(held).collect())
    }

    /// How many a member has not read.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn unread_count(&self, user: UserId) -> Result<u64, AppError> {
        Ok(self.models.unread_count(user).await?)
    }

    /// The state of a member's inbox and its version.
    pub(super) async fn inbox_state(&self, user: UserId) -> Result<(Inbox, Version), AppError> {
        self.load::<Inbox>(&inbox::stream(user)).await
    }

    /// Title and body are in the event: the read model holds no text that its reader alone may open.
    async fn as_notification(&self, row: NotificationRow) -> Result<Notification, AppError> {
        let from = row.from_id.map_or_else(|| self.config.site_name.clone(), |user| self.state.name_of(user));
        let application = || {
            let client = row.application_id.and_then(|id| self.state.client(id));
            client.map(|client| client.name).unwrap_or_default()
        };
        let (title, body) = match self.event_at(row.position).await?.map(|recorded| recorded.event) {
            Some(Event::Inbox(InboxEvent::PrivateMessageSent { title, body, .. })) => {
                (title.clear().unwrap_or("[erased]").to_owned(), body.clear().map(ToOwned::to_owned))
            }
            Some(Event::Application(event)) => {
                let (title, body) = letters::to_audience(&event, &application());
                (title, Some(body))
            }
            Some(Event::Authorization(event)) => {
                let (title, body) = letters::of_access(&event, &application(), &self.config);
                (title, Some(body))
            }
            Some(Event::Post(PostEvent::PostPublished { body, .. } | PostEvent::CommentPosted { body, .. })) => {
                let verb = if row.kind == "mention" { "mentioned you" } else { "replied to you" };
                (format!("{from} {verb}"), body.clear().map(ToOwned::to_owned))
            }
            _ => (String::new(), None),
        };
        Ok(Notification { row, title, body, from })
    }

    /// Marks notifications of a member as read; ids that are not theirs, or read already, are passed over. A token
    /// never marks what is about applications and authorizations: that is for the member's own eyes.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn mark_read(&self, caller: &Caller, user_id: UserId, ids: &[Uuid]) -> Result<Done<Vec<Uuid>>, AppError> {
        let by_token = caller.on_behalf_of.is_some();
        let mut unread = vec![];
        for id in ids {
            let Some(row) = self.models.notification(user_id, *id).await? else { continue };
            let guarded = matches!(row.kind.as_str(), "application_decision" | "authorization_change");
            let passed_over = row.read || (by_token && guarded) || unread.contains(id);
            if !passed_over {
                unread.push(*id);
            }
        }
        let at = self.now();
        let stream = inbox::stream(user_id);
        self.execute(caller, || async {
            let events = Inbox::default().decide(InboxCommand::MarkRead { user_id, ids: unread.clone(), at })?;
            Ok(Plan::answering(unread.clone()).with_any(&stream, events))
        })
        .await
    }

    /// Marks as read all that a member was told up to a position; what came since was not seen yet.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn mark_all_read(&self, caller: &Caller, user_id: UserId, until: Position) -> Result<Done<()>, AppError> {
        let page = Page { before: Some(Position(until.0.saturating_add(1))), limit: u32::MAX };
        let unread = self.models.notifications(user_id, true, false, page).await?;
        let ids: Vec<_> = unread.into_iter().map(|row| row.id).collect();
        let at = self.now();
        let stream = inbox::stream(user_id);
        self.execute(caller, || async {
            let mut events = vec![];
            for ids in ids.chunks(MARKED_AT_ONCE) {
                events.extend(Inbox::default().decide(InboxCommand::MarkRead { user_id, ids: ids.to_vec(), at })?);
            }
            Ok(Plan::answering(()).with_any(&stream, events))
        })
        .await
    }

    /// Shows a held token to its recipient, once: first the event, then the answer, then the vault's row is
    /// destroyed. A second reveal says when the first was.
    ///
    /// # Errors
    /// Not theirs, nothing held, revealed before, expired.
    pub async fn reveal(&self, caller: &Caller, user_id: UserId, message: MessageId) -> Result<Done<String>, AppError> {
        // The outcome of a reveal is only that it happened: a repeat is told when, like any second reveal.
        let caller = &Caller { command: None, ..caller.clone() };
        let (inbox, _) = self.inbox_state(user_id).await?;
        let secret = match inbox.secrets.get(&message) {
            None => return Err(AppError::NotFound),
            Some(SecretStanding::Held(held)) => {
                if self.world.judgement().standing(held.until) == Standing::InDoubt {
                    return Err(AppError::ClockInDoubt);
                }
                // What was ended or replaced before anybody saw it is not worth seeing.
                let valid = self.token(held.token_id).await?.valid;
                if matches!(valid, Err(TokenRefusal::Revoked | TokenRefusal::Expired)) {
                    return Err(AuthorizationRefusal::TokenEnded.into());
                }
                self.held_secret(held.secret_id).await?.map(|(.., token)| (held.secret_id, token))
            }
            // The decider says when it was.
            Some(SecretStanding::Revealed(_) | SecretStanding::Expired(_)) => None,
        };
        let stream = inbox::stream(user_id);
        let at = self.now();
        let done = self
            .execute(caller, || async {
                let (inbox, version) = self.inbox_state(user_id).await?;
                let events = inbox.decide(InboxCommand::Reveal { user_id, message_id: message, at })?;
                if secret.is_none() {
                    return Err(AppError::SecretLost);
                }
                Ok(Plan::answering(()).with(&stream, version, events))
            })
            .await?;
        let (secret_id, token) = secret.ok_or(AppError::SecretLost)?;
        if let Err(error) = self.vault.destroy_held(secret_id).await {
            // It is revealed all the same; the sweeper destroys what is left.
            tracing::warn!(%error, "a revealed secret could not be destroyed at once");
        }
        Ok(done.answering(token))
    }
}
