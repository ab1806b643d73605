//! Inboxes: private messages, the one-time secrets that come with them, and what was read.
//! Notices that follow from other events are the inbox projection's, not events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    decider::Decider,
    ids::{ApplicationId, MessageId, SecretId, TokenId, UserId},
    recorded::{StreamName, Timestamp},
    sensitive::Personal,
};

#[cfg(test)]
mod tests;

/// The stream of a member's inbox.
#[must_use]
pub const fn stream(user: UserId) -> StreamName {
    StreamName::Inbox(user)
}

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "topic", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum Topic {
    /// Whatever its sender likes; from a member.
    Letter,
    /// The member's application was decided on.
    Decision { application_id: ApplicationId },
    /// A held token ended because nobody revealed it.
    SecretExpired { application_id: ApplicationId },
}

/// What happened in an inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum InboxEvent {
    /// A message arrived; `from` is `None` for the site. A secret that comes with it waits in the vault.
    PrivateMessageSent {
        message_id: MessageId,
        to: UserId,
        from: Option<UserId>,
        topic: Topic,
        title: Personal,
        body: Personal,
        held: Option<HeldSecret>,
        at: Timestamp,
    },
    /// The recipient saw the secret, once.
    SecretRevealed { user_id: UserId, message_id: MessageId, secret_id: SecretId, at: Timestamp },
    /// Nobody did in time.
    SecretExpired { user_id: UserId, message_id: MessageId, secret_id: SecretId, at: Timestamp },
    /// The member has read these notifications.
    NotificationsRead { user_id: UserId, ids: Vec<Uuid>, at: Timestamp },
}

/// A token that waits in the vault for its recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldSecret {
    /// The vault's row.
    pub secret_id: SecretId,
    /// The token in it.
    pub token_id: TokenId,
    /// The token's application.
    pub application_id: ApplicationId,
    /// When it expires unrevealed.
    pub until: Timestamp,
}

/// What became of a held secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretStanding {
    /// It waits.
    Held(HeldSecret),
    /// It was shown, then.
    Revealed(Timestamp),
    /// It was not shown in time.
    Expired(Timestamp),
}

/// The secrets of an inbox, by their message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inbox {
    /// What became of each.
    pub secrets: BTreeMap<MessageId, SecretStanding>,
}

/// What can be asked of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum InboxCommand {
    Send {
        message_id: MessageId,
        to: UserId,
        from: Option<UserId>,
        topic: Topic,
        title: Personal,
        body: Personal,
        held: Option<HeldSecret>,
        at: Timestamp,
    },
    Reveal {
        user_id: UserId,
        message_id: MessageId,
        at: Timestamp,
    },
    Expire {
        user_id: UserId,
        message_id: MessageId,
        at: Timestamp,
    },
    MarkRead {
        user_id: UserId,
        ids: Vec<Uuid>,
        at: Timestamp,
    },
}

/// Why an inbox command may not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InboxRefusal {
    /// The message came without a secret.
    #[error("this message holds no token")]
    NothingHeld,
    /// It was shown before; nobody sees it twice.
    #[error("the token was revealed on {}; it is shown only once. Regenerate it to get another", .at.format("%-d %b %Y, %H:%M UTC"))]
    AlreadyRevealed {
        /// When.
        at: Timestamp,
    },
    /// It was not shown in time.
    #[error("the token expired on {} because it was not revealed in time. Regenerate it to get another", .at.format("%-d %b %Y, %H:%M UTC"))]
    SecretExpired {
        /// When.
        at: Timestamp,
    },
    /// Its time is not over.
    #[error("the secret is held until {until}")]
    NotYetExpired {
        /// When it will be.
        until: Timestamp,
    },
}

impl Decider for Inbox {
    type Command = InboxCommand;
    type Event = InboxEvent;
    type Refusal = InboxRefusal;

    fn decide(&self, command: InboxCommand) -> Result<Vec<InboxEvent>, InboxRefusal> {
        use InboxCommand as C;
        use InboxEvent as E;
        match command {
            // A secret that was revealed or has expired never waits again.
            C::Send { message_id, .. } if self.secrets.contains_key(&message_id) => Ok(vec![]),
            C::Send { message_id, to, from, topic, title, body, held, at } => {
                Ok(vec![E::PrivateMessageSent { message_id, to, from, topic, title, body, held, at }])
            }
            C::Reveal { user_id, message_id, at } => {
                let held = self.held(message_id)?;
                if held.until <= at {
                    return Err(InboxRefusal::SecretExpired { at: held.until });
                }
                Ok(vec![E::SecretRevealed { user_id, message_id, secret_id: held.secret_id, at }])
            }
            C::Expire { user_id, message_id, at } => match self.held(message_id) {
                Ok(held) if held.until > at => Err(InboxRefusal::NotYetExpired { until: held.until }),
                Ok(held) => Ok(vec![E::SecretExpired { user_id, message_id, secret_id: held.secret_id, at }]),
                Err(InboxRefusal::SecretExpired { .. }) => Ok(vec![]),
                Err(refusal) => Err(refusal),
            },
            C::MarkRead { ids, .. } if ids.is_empty() => Ok(vec![]),
            C::MarkRead { user_id, ids, at } => Ok(vec![E::NotificationsRead { user_id, ids, at }]),
        }
    }

    fn evolve(mut self, event: &InboxEvent) -> Self {
        use InboxEvent as E;
        match event {
            E::PrivateMessageSent { message_id, held: Some(held), .. } => {
                self.secrets.insert(*message_id, SecretStanding::Held(*held));
            }
            E::SecretRevealed { message_id, at, .. } => {
                self.secrets.insert(*message_id, SecretStanding::Revealed(*at));
            }
            E::SecretExpired { message_id, at, .. } => {
                self.secrets.insert(*message_id, SecretStanding::Expired(*at));
            }
            E::PrivateMessageSent { held: None, .. } | E::NotificationsRead { .. } => {}
        }
        self
    }
}

impl Inbox {
    fn held(&self, message: MessageId) -> Result<HeldSecret, InboxRefusal> {
        match self.secrets.get(&message) {
            None => Err(InboxRefusal::NothingHeld),
            Some(SecretStanding::Held(held)) => Ok(*held),
            Some(SecretStanding::Revealed(at)) => Err(InboxRefusal::AlreadyRevealed { at: *at }),
            Some(SecretStanding::Expired(at)) => Err(InboxRefusal::SecretExpired { at: *at }),
        }
    }
}
