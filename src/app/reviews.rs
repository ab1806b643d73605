//! Reviews: claims and decisions. Every decision names the revision that was read, carries a reason, and is told to
//! the owner in the same append. The queue is `queue`'s.

use countersign_events::{
    account::{self, Account, AccountStanding, Role},
    application::{
        self, Application, ApplicationCommand, ApplicationEvent, ApplicationRefusal, Bench, Decision, Record,
        Signatures, Standing,
    },
    authorization::{self, ApplicationSeen, Authorization, AuthorizationCommand, NewToken, Via},
    decider::Decider,
    ids::{ApplicationId, MessageId, SecretId, TokenId, UserId},
    inbox::{self, HeldSecret, Inbox, InboxCommand, InboxEvent, Topic},
    recorded::{StreamName, Timestamp, Version},
    redirect_uri::Purpose,
    text::{self, FieldError},
    token::{ClientId, TokenKind},
};
use serde::{Deserialize, Serialize};

use super::{App, AppError, Caller, Done, Plan, letters};
use crate::{
    policy::{MEETS_POLICY, Policy},
    store::ReviewFilter,
};

/// What a reviewer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the verbs of the routes")]
pub enum Verb {
    Claim,
    Release,
    Approve,
    Deny,
    RequestChanges,
    Suspend,
    Reinstate,
    Revoke,
    ApproveChange,
    DenyChange,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 10] = [
        Self::Claim,
        Self::Release,
        Self::Approve,
        Self::Deny,
        Self::RequestChanges,
        Self::Suspend,
        Self::Reinstate,
        Self::Revoke,
        Self::ApproveChange,
        Self::DenyChange,
    ];

    /// As routes and the command line write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Release => "release",
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::RequestChanges => "request-changes",
            Self::Suspend => "suspend",
            Self::Reinstate => "reinstate",
            Self::Revoke => "revoke",
            Self::ApproveChange => "approve-change",
            Self::DenyChange => "deny-change",
        }
    }

    /// The decisions that are possible where an application stands.
    #[must_use]
    pub const fn possible(standing: Standing, change_waits: bool) -> &'static [Self] {
        match (standing, change_waits) {
            (Standing::UnderReview, _) => &[Self::Approve, Self::RequestChanges, Self::Deny],
            (Standing::Approved, false) => &[Self::Suspend, Self::Revoke],
            (Standing::Approved, true) => &[Self::ApproveChange, Self::DenyChange, Self::Suspend, Self::Revoke],
            (Standing::Suspended, false) => &[Self::Reinstate, Self::Revoke],
            (Standing::Suspended, true) => &[Self::ApproveChange, Self::DenyChange, Self::Reinstate, Self::Revoke],
            (Standing::ChangesRequested | Standing::Denied | Standing::Revoked | Standing::Withdrawn, _) => &[],
        }
    }

    /// Whether it decides something, for a reason; a claim is only a sign to other reviewers.
    #[must_use]
    pub const fn decides(self) -> bool {
        !matches!(self, Self::Claim | Self::Release)
    }

    /// Whether it takes nothing from anybody, so that it can be done without giving a reason.
    #[must_use]
    pub const fn is_friendly(self) -> bool {
        matches!(self, Self::Approve | Self::Reinstate | Self::ApproveChange)
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
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The revision that was read; claims and releases name none.
    #[serde(default)]
    pub revision: u32,
    /// The clause; empty is `meets_policy` for an approval.
    #[serde(default)]
    pub reason_code: String,
    /// The text; an approval needs none.
    #[serde(default)]
    pub reason: String,
}

impl Verdict {
    fn checked(&self, verb: Verb, policy: &Policy) -> Result<(String, String), AppError> {
        if !verb.decides() {
            return Ok((String::new(), String::new()));
        }
        let code = match self.reason_code.as_str() {
            "" if verb.is_friendly() => MEETS_POLICY,
            code => code,
        };
        let mut errors = super::error::FieldErrors::default();
        if self.revision == 0 {
            let message = "Name the revision that you have read: a number from 1.".to_owned();
            errors.push(FieldError { field: "revision", code: "required", message });
        }
        // That it meets the policy is no reason to take something away.
        let fits = |code: &str| verb.is_friendly() || code != MEETS_POLICY;
        if !policy.has(code) || !fits(code) {
            let codes = policy.clauses().iter().map(|clause| clause.code.as_str());
            let codes: Vec<_> = codes.filter(|code| fits(code)).collect();
            let message = format!("Choose a reason: one of {}.", codes.join(", "));
            errors.push(FieldError { field: "reason_code", code: "malformed", message });
        }
        let reason = if self.reason.trim().is_empty() && verb.is_friendly() {
            String::new()
        } else {
            errors.take(text::reason(&self.reason))
        };
        errors.check()?;
        Ok((code.to_owned(), reason))
    }
}

impl App {
    /// Does what a reviewer does with an application: claims it, lets it go, decides on it or on a change of it.
    ///
    /// # Errors
    /// Not a reviewer, no such application, own application, an older revision, the wrong state, another's claim, a
    /// missing reason.
    pub async fn decide_application(
        &self,
        caller: &Caller,
        by: UserId,
        id: ApplicationId,
        verb: Verb,
        verdict: &Verdict,
    ) -> Result<Done<()>, AppError> {
        self.member_with(by, Role::Reviewer)?;
        let (reason_code, reason) = verdict.checked(verb, &self.policy)?;
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
            let (bench, signer) = self.bench(&record, by).await?;
            let command = self.command(verb, bench, decision);
            let events = match Application::Requested(record.clone()).decide(command) {
                Ok(events) => events,
                Err(refusal) => return Err(self.overtaken(&record, refusal).await?),
            };
            let decided = events.first().cloned();
            let mut plan = Plan::answering(()).with(&stream, version, events);
            // A signature counts for as long as its reviewer holds the role.
            plan.expected.extend(signer);
            let plan = self.guard_reviewer(plan, by).await?;
            match decided {
                None
                | Some(
                    ApplicationEvent::ReviewClaimed { .. }
                    | ApplicationEvent::ReviewReleased { .. }
                    // The owner reads of it in the history; there is nothing to do yet.
                    | ApplicationEvent::ReviewSigned { .. },
                ) => Ok(plan),
                Some(ApplicationEvent::ApplicationApproved { client_id, decision, .. }) => {
                    self.approve(plan, &record, &client_id, &reason, decision.at).await
                }
                Some(_) => {
                    let title = self.policy.title(&reason_code);
                    let page = self.config.url(&format!("/settings/apps/{id}"));
                    let letter =
                        letters::decided(&self.config.site_name, &record.asked.name, verb, title, &reason, &page);
                    self.tell_owner(plan, &record, letter, None, at)
                }
            }
        })
        .await
    }

    /// Claims what has waited longest of what a reviewer could take up and a filter lets through, in whatever order and
    /// state that lists; `None` when nothing is left for them.
    ///
    /// # Errors
    /// Not a reviewer.
    pub async fn claim_next(
        &self,
        caller: &Caller,
        by: UserId,
        within: &ReviewFilter,
    ) -> Result<Done<Option<ApplicationId>>, AppError> {
        self.member_with(by, Role::Reviewer)?;
        self.execute(caller, || async {
            let mut passed = vec![];
            let filter = ReviewFilter {
                standing: None,
                newest_first: false,
                claimed_by: None,
                unclaimed: true,
                now: self.now(),
                ..within.clone()
            };
            while let Some(row) = self.next_to_review(&filter, by, &passed).await? {
                let id = row.application_id;
                let (claimed, version) = self.try_claim(id, by).await?;
                match claimed {
                    Ok(events) => {
                        let plan = Plan::answering(Some(id)).with(&application::stream(id), version, events);
                        return self.guard_reviewer(plan, by).await;
                    }
                    // Another was faster.
                    Err(_) => passed.push(id),
                }
            }
            Ok(Plan::answering(None))
        })
        .await
    }

    /// Whether a reviewer could claim it now: nobody claims an appeal against their own denial while another could.
    pub(super) async fn can_claim(&self, id: ApplicationId, by: UserId) -> Result<bool, AppError> {
        Ok(self.try_claim(id, by).await?.0.is_ok())
    }

    /// What a claim comes to, on which version.
    async fn try_claim(
        &self,
        id: ApplicationId,
        by: UserId,
    ) -> Result<(Result<Vec<ApplicationEvent>, ApplicationRefusal>, Version), AppError> {
        let (record, version) = self.application_record(id).await?;
        let (bench, _) = self.bench(&record, by).await?;
        let claim = ApplicationCommand::Claim { by, bench, at: self.now() };
        Ok((Application::Requested(record).decide(claim), version))
    }

    fn command(&self, verb: Verb, bench: Bench, decision: Decision) -> ApplicationCommand {
        let (by, at) = (decision.by, decision.at);
        match verb {
            Verb::Claim => ApplicationCommand::Claim { by, bench, at },
            Verb::Release => ApplicationCommand::Release { by, at },
            Verb::Approve => {
                let client_id = ClientId::from_random(&self.world.random());
                ApplicationCommand::Approve { decision, client_id, bench }
            }
            Verb::Deny => ApplicationCommand::Deny { decision, bench },
            Verb::RequestChanges => ApplicationCommand::RequestChanges { decision, bench },
            Verb::ApproveChange => ApplicationCommand::ApproveChange { decision, bench },
            Verb::DenyChange => ApplicationCommand::DenyChange { decision, bench },
            Verb::Suspend => ApplicationCommand::Suspend { decision },
            Verb::Reinstate => ApplicationCommand::Reinstate { decision },
            Verb::Revoke => ApplicationCommand::Revoke { decision },
        }
    }

    /// How many have to sign, and whether somebody else could; and the account of who signed first, as it was read.
    async fn bench(&self, record: &Record, by: UserId) -> Result<(Bench, Option<(StreamName, Version)>), AppError> {
        let (signatures, signer) = match record.signed.filter(|_| self.config.two_person_rule) {
            Some(first) => {
                let stream = account::stream(first);
                let (account, version) = self.load::<Account>(&stream).await?;
                let signatures = if is_reviewer(&account) { Signatures::Two } else { Signatures::Anew };
                (signatures, Some((stream, version)))
            }
            None if self.config.two_person_rule => (Signatures::Two, None),
            None => (Signatures::One, None),
        };
        // Only whoever is appealed against has to know whether somebody else could; it takes a look at every member.
        // Whoever signed first is no second.
        let but: Vec<_> = [by, record.owner].into_iter().chain(record.signed).collect();
        let another = record.appealed_from == Some(by) && self.state.another_holds(Role::Reviewer, &but);
        Ok((Bench { signatures, another }, signer))
    }

    /// A reviewer who loses the role, or is suspended, at the same moment decides nothing any more.
    async fn guard_reviewer<T>(&self, plan: Plan<T>, by: UserId) -> Result<Plan<T>, AppError> {
        let stream = account::stream(by);
        let (reviewer, version) = self.load::<Account>(&stream).await?;
        if is_reviewer(&reviewer) {
            Ok(plan.guarded(stream, version))
        } else {
            Err(AppError::RoleMissing(Role::Reviewer))
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

fn is_reviewer(account: &Account) -> bool {
    matches!(account, Account::Registered { roles, standing: AccountStanding::Active, .. } if roles.allow(Role::Reviewer))
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
