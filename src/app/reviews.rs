//! Reviews: the queue and the decisions. Every decision names the revision that was read, carries a
//! reason, and is told to the owner in the same append.

use countersign_events::{
    account::{self, Account, AccountStanding, Role},
    application::{self, Application, ApplicationCommand, ApplicationEvent, Decision, Record, Standing},
    authorization::{self, ApplicationSeen, Authorization, AuthorizationCommand, NewToken, Via},
    decider::Decider,
    ids::{ApplicationId, MessageId, SecretId, TokenId, UserId},
    inbox::{self, HeldSecret, Inbox, InboxCommand, InboxEvent, Topic},
    recorded::Timestamp,
    redirect_uri::Purpose,
    text::{self, FieldError},
    token::{ClientId, TokenKind},
};
use serde::{Deserialize, Serialize};

use super::{App, AppError, Caller, Done, Plan, letters};
use crate::store::rows::ApplicationRow;

/// The clauses of the site's policy that a decision can name, with their titles.
pub const POLICY: &[(&str, &str)] = &[
    ("meets_policy", "It meets the policy"),
    ("incomplete", "The request does not say enough"),
    ("misleading", "Name, description or website mislead"),
    ("forbidden_use", "The policy forbids this use"),
    ("abuse", "It was used to abuse members or the site"),
    ("security", "It endangers members' accounts"),
    ("owner_request", "Its owner asked for it"),
    ("other", "Another reason, given in the text"),
];

/// The title of a clause.
#[must_use]
pub fn policy_title(code: &str) -> &'static str {
    POLICY.iter().find(|(known, _)| *known == code).map_or("Another reason", |(_, title)| *title)
}

/// What a reviewer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the verbs of the routes")]
pub enum Verb {
    Approve,
    Deny,
    Suspend,
    Reinstate,
    Revoke,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 5] = [Self::Approve, Self::Deny, Self::Suspend, Self::Reinstate, Self::Revoke];

    /// As routes and the command line write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::Suspend => "suspend",
            Self::Reinstate => "reinstate",
            Self::Revoke => "revoke",
        }
    }

    /// What can be done from where an application stands.
    #[must_use]
    pub const fn possible(standing: Standing) -> &'static [Self] {
        match standing {
            Standing::UnderReview => &[Self::Approve, Self::Deny],
            Standing::Approved => &[Self::Suspend, Self::Revoke],
            Standing::Suspended => &[Self::Reinstate, Self::Revoke],
            Standing::ChangesRequested | Standing::Denied | Standing::Revoked | Standing::Withdrawn => &[],
        }
    }

    const fn result(self) -> Standing {
        match self {
            Self::Approve | Self::Reinstate => Standing::Approved,
            Self::Deny => Standing::Denied,
            Self::Suspend => Standing::Suspended,
            Self::Revoke => Standing::Revoked,
        }
    }
}

impl std::str::FromStr for Verb {
    type Err = AppError;
    fn from_str(text: &str) -> Result<Self, AppError> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == text).ok_or(AppError::NotFound)
    }
}

/// A decision as it was typed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// The revision that was read.
    pub revision: u32,
    /// The clause; empty is `meets_policy` for an approval.
    #[serde(default)]
    pub reason_code: String,
    /// The text; an approval needs none.
    #[serde(default)]
    pub reason: String,
}

impl Verdict {
    fn checked(&self, verb: Verb) -> Result<(String, String), AppError> {
        let friendly = matches!(verb, Verb::Approve | Verb::Reinstate);
        let code = if self.reason_code.is_empty() && friendly { "meets_policy" } else { self.reason_code.as_str() };
        let mut errors = super::error::FieldErrors::default();
        if !POLICY.iter().any(|(known, _)| *known == code) {
            let codes: Vec<_> = POLICY.iter().map(|(known, _)| *known).collect();
            let message = format!("Choose a reason: one of {}.", codes.join(", "));
            errors.push(FieldError { field: "reason_code", code: "malformed", message });
        }
        let reason = if self.reason.trim().is_empty() && friendly {
            String::new()
        } else {
            errors.take(text::reason(&self.reason))
        };
        errors.check()?;
        Ok((code.to_owned(), reason))
    }
}

impl App {
    /// Applications of one standing or of all, oldest request first.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn review_list(
        &self,
        standing: Option<Standing>,
        after: Option<(Timestamp, ApplicationId)>,
        limit: u32,
    ) -> Result<Vec<ApplicationRow>, AppError> {
        Ok(self.models.applications(standing, after, limit).await?)
    }

    /// An application as reviewers see it.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn reviewed_application(&self, id: ApplicationId) -> Result<ApplicationRow, AppError> {
        self.models.application(id).await?.ok_or(AppError::NotFound)
    }

    /// Decides on an application.
    ///
    /// # Errors
    /// Not a reviewer, no such application, own application, an older revision, the wrong state, a missing reason.
    pub async fn decide_application(
        &self,
        caller: &Caller,
        by: UserId,
        id: ApplicationId,
        verb: Verb,
        verdict: &Verdict,
    ) -> Result<Done<()>, AppError> {
        self.member_with(by, Role::Reviewer)?;
        let (reason_code, reason) = verdict.checked(verb)?;
        let stream = application::stream(id);
        self.execute(caller, || async {
            let (record, version) = self.application_record(id).await?;
            let at = self.now();
            let decision = Decision {
                by,
                revision: verdict.revision,
                reason_code: reason_code.clone(),
                reason: reason.as_str().into(),
                at,
            };
            let command = self.command(verb, decision);
            let events = Application::Requested(record.clone()).decide(command)?;
            let decided = events.first().cloned();
            let plan = Plan::answering(()).with(&stream, version, events);
            let plan = self.guard_reviewer(plan, by).await?;
            match decided {
                None => Ok(plan),
                Some(ApplicationEvent::ApplicationApproved { client_id, decision, .. }) => {
                    self.approve(plan, &record, &client_id, &reason, decision.at).await
                }
                Some(_) => {
                    let title = policy_title(&reason_code);
                    let letter =
                        letters::decided(&self.config.site_name, &record.asked.name, verb.result(), title, &reason);
                    self.tell_owner(plan, &record, letter, None, at)
                }
            }
        })
        .await
    }

    fn command(&self, verb: Verb, decision: Decision) -> ApplicationCommand {
        match verb {
            Verb::Approve => {
                ApplicationCommand::Approve { decision, client_id: ClientId::from_random(&self.world.random()) }
            }
            Verb::Deny => ApplicationCommand::Deny { decision },
            Verb::Suspend => ApplicationCommand::Suspend { decision },
            Verb::Reinstate => ApplicationCommand::Reinstate { decision },
            Verb::Revoke => ApplicationCommand::Revoke { decision },
        }
    }

    /// A reviewer who loses the role, or is suspended, at the same moment decides nothing any more.
    async fn guard_reviewer<T>(&self, plan: Plan<T>, by: UserId) -> Result<Plan<T>, AppError> {
        let stream = account::stream(by);
        let (reviewer, version) = self.load::<Account>(&stream).await?;
        match reviewer {
            Account::Registered { roles, standing: AccountStanding::Active, .. } if roles.allow(Role::Reviewer) => {
                Ok(plan.guarded(stream, version))
            }
            _ => Err(AppError::RoleMissing(Role::Reviewer)),
        }
    }

    /// What follows an approval in the same append: the owner's own token, held, and the message that says so.
    async fn approve(
        &self,
        plan: Plan<()>,
        record: &Record,
        client_id: &ClientId,
        reason: &str,
        at: Timestamp,
    ) -> Result<Plan<()>, AppError> {
        let (owner, application_id) = (record.owner, record.application_id);
        let message_id = MessageId(self.world.uuid());
        let (secret_id, token_id) = (SecretId(self.world.uuid()), TokenId(self.world.uuid()));
        let until = at + chrono::Duration::days(self.config.held_secret_days.into());
        let token = self.mint(TokenKind::Personal);
        // The vault first, under a fresh id: nothing in it lives until the log names it.
        self.hold_secret(secret_id, owner, message_id, &token, at).await?;
        let stream = authorization::stream(application_id, owner);
        let (authorization, version) = self.load::<Authorization>(&stream).await?;
        let authorize = AuthorizationCommand::Authorize {
            user_id: owner,
            application: ApplicationSeen {
                id: application_id,
                standing: Standing::Approved,
                revision: record.revision,
                scopes: record.asked.scopes,
            },
            shown_revision: record.revision,
            scopes: record.asked.scopes,
            via: Via::Approval,
            token: NewToken {
                id: token_id,
                kind: TokenKind::Personal,
                digest: token.digest(),
                expires_at: self.token_expiry(at),
                held: Some(secret_id),
            },
            at,
        };
        let plan = plan.with(&stream, version, authorization.decide(authorize)?);
        let client = (record.asked.purpose != Purpose::Personal).then(|| client_id.as_str());
        let guide = self.config.url("/api");
        let letter = letters::approved(&self.config.site_name, &guide, &record.asked.name, reason, client, until);
        let held = HeldSecret { secret_id, token_id, application_id, until };
        self.tell_owner(plan, record, letter, Some((message_id, held)), at)
    }

    fn tell_owner(
        &self,
        plan: Plan<()>,
        record: &Record,
        letter: letters::Letter,
        held: Option<(MessageId, HeldSecret)>,
        at: Timestamp,
    ) -> Result<Plan<()>, AppError> {
        let (message_id, held) = match held {
            Some((message_id, held)) => (message_id, Some(held)),
            None => (MessageId(self.world.uuid()), None),
        };
        let topic = Topic::Decision { application_id: record.application_id };
        let events = send(message_id, record.owner, topic, letter, held, at)?;
        // Messages commute: they need no version of the inbox.
        Ok(plan.with_any(&inbox::stream(record.owner), events))
    }
}

/// A message of the site, as the inbox decides it.
pub(super) fn send(
    message_id: MessageId,
    to: UserId,
    topic: Topic,
    (title, body): letters::Letter,
    held: Option<HeldSecret>,
    at: Timestamp,
) -> Result<Vec<InboxEvent>, AppError> {
    let (title, body) = (title.into(), body.into());
    Ok(Inbox::default().decide(InboxCommand::Send { message_id, to, from: None, topic, title, body, held, at })?)
}
