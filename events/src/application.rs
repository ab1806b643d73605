//! Applications: asked for, decided on, taken back. The review queue's rules are here and nowhere
//! else; who holds which role is the shell's to check before it asks.

use serde::{Deserialize, Serialize};

use crate::{
    decider::Decider,
    ids::{ApplicationId, UserId},
    recorded::{StreamName, Timestamp},
    redirect_uri::{Purpose, RedirectUri},
    scope::ScopeSet,
    sensitive::Personal,
    token::ClientId,
};

#[cfg(test)]
mod tests;

/// The stream of an application.
#[must_use]
pub const fn stream(application: ApplicationId) -> StreamName {
    StreamName::Application(application)
}

/// What was asked for. A revision is one version of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// What kind of application it is.
    pub purpose: Purpose,
    /// Its name, public record.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where people can read about it.
    pub website: Option<String>,
    /// Where users are sent back to; none for a personal application.
    pub redirect_uris: Vec<RedirectUri>,
    /// What its tokens may do.
    pub scopes: ScopeSet,
}

/// A reviewer's decision on one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The reviewer.
    pub by: UserId,
    /// The revision the reviewer read.
    pub revision: u32,
    /// The clause of the site's policy, public.
    pub reason_code: String,
    /// The text, sealed under the site's key.
    pub reason: Personal,
    /// When the reviewer decided.
    pub at: Timestamp,
}

/// What happened to an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum ApplicationEvent {
    /// A member asked; this is revision 1.
    ApplicationRequested { application_id: ApplicationId, owner: UserId, asked: Asked, at: Timestamp },
    /// The owner changed what is asked for before a decision.
    ApplicationEdited { application_id: ApplicationId, asked: Asked, revision: u32, at: Timestamp },
    /// A reviewer took it up.
    ReviewClaimed { application_id: ApplicationId, by: UserId, at: Timestamp },
    /// A reviewer let it go.
    ReviewReleased { application_id: ApplicationId, by: UserId, at: Timestamp },
    /// The first of two reviewers signed.
    ReviewSigned { application_id: ApplicationId, decision: Decision },
    /// A reviewer asked for changes.
    ChangesRequested { application_id: ApplicationId, decision: Decision },
    /// The owner came back with changes.
    ApplicationResubmitted { application_id: ApplicationId, asked: Asked, revision: u32, at: Timestamp },
    /// It is a client now.
    ApplicationApproved { application_id: ApplicationId, client_id: ClientId, decision: Decision },
    /// It is not.
    ApplicationDenied { application_id: ApplicationId, decision: Decision },
    /// The owner disagrees, once a denial.
    ApplicationAppealed { application_id: ApplicationId, owner: UserId, text: Personal, at: Timestamp },
    /// The owner of an approved application wants it changed.
    ChangeProposed { application_id: ApplicationId, asked: Asked, revision: u32, at: Timestamp },
    /// The change holds.
    ChangeApproved { application_id: ApplicationId, decision: Decision },
    /// It does not.
    ChangeDenied { application_id: ApplicationId, decision: Decision },
    /// The owner no longer wants it.
    ChangeWithdrawn { application_id: ApplicationId, revision: u32, at: Timestamp },
    /// Its tokens rest.
    ApplicationSuspended { application_id: ApplicationId, decision: Decision },
    /// They live again.
    ApplicationReinstated { application_id: ApplicationId, decision: Decision },
    /// A reviewer ended it; its tokens end.
    ApplicationRevoked { application_id: ApplicationId, decision: Decision },
    /// The owner ended it; its tokens end.
    ApplicationWithdrawn { application_id: ApplicationId, at: Timestamp },
    /// It answers to a new client id.
    ClientIdRotated { application_id: ApplicationId, client_id: ClientId, previous: ClientId, at: Timestamp },
}

/// Where an application stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the states of the review, by their names")]
pub enum Standing {
    UnderReview,
    ChangesRequested,
    Approved,
    Denied,
    Suspended,
    Revoked,
    Withdrawn,
}

impl Standing {
    /// Every standing.
    pub const ALL: [Self; 7] = [
        Self::UnderReview,
        Self::ChangesRequested,
        Self::Approved,
        Self::Denied,
        Self::Suspended,
        Self::Revoked,
        Self::Withdrawn,
    ];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnderReview => "under_review",
            Self::ChangesRequested => "changes_requested",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no standing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state of an application")]
pub struct UnknownStanding(pub String);

impl std::str::FromStr for Standing {
    type Err = UnknownStanding;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == text).ok_or_else(|| UnknownStanding(text.to_owned()))
    }
}

/// An application, or nothing yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Application {
    /// Nobody asked.
    #[default]
    NotRequested,
    /// Somebody did.
    Requested(Box<Record>),
}

/// What is known of an application that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub application_id: ApplicationId,
    /// Who asked.
    pub owner: UserId,
    /// What holds, or is asked for.
    pub asked: Asked,
    /// The newest revision, whether it holds or is only proposed.
    pub revision: u32,
    /// Where it stands.
    pub standing: Standing,
    /// Who brought it there, and when.
    pub since: (UserId, Timestamp),
    /// Its client id, from the approval on.
    pub client_id: Option<ClientId>,
    /// A change of an approved application that waits for a decision.
    pub proposed: Option<Asked>,
}

/// What can be asked of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum ApplicationCommand {
    Request { application_id: ApplicationId, owner: UserId, asked: Asked, at: Timestamp },
    Edit { asked: Asked, at: Timestamp },
    Approve { decision: Decision, client_id: ClientId },
    Deny { decision: Decision },
    Suspend { decision: Decision },
    Reinstate { decision: Decision },
    Revoke { decision: Decision },
    Withdraw { at: Timestamp },
}

/// Why an application command may not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplicationRefusal {
    /// The id is taken.
    #[error("this application was asked for already")]
    AlreadyRequested,
    /// There is no such application.
    #[error("no such application")]
    NotRequested,
    /// Nobody decides on an application of their own.
    #[error("nobody decides on an application of their own; another reviewer has to")]
    OwnApplication,
    /// The reviewer read an older revision.
    #[error(
        "the application has changed since: it is at revision {now}, the decision names revision {seen}; read it again"
    )]
    Revised {
        /// The revision the decision named.
        seen: u32,
        /// The revision now.
        now: u32,
    },
    /// Somebody was faster, or it is over.
    #[error("the application is {standing}")]
    WrongStanding {
        /// Where it stands.
        standing: Standing,
        /// Who brought it there.
        by: UserId,
        /// When.
        at: Timestamp,
    },
}

impl Decider for Application {
    type Command = ApplicationCommand;
    type Event = ApplicationEvent;
    type Refusal = ApplicationRefusal;

    fn decide(&self, command: ApplicationCommand) -> Result<Vec<ApplicationEvent>, ApplicationRefusal> {
        use ApplicationCommand as C;
        use ApplicationEvent as E;
        match (self, command) {
            (Self::NotRequested, C::Request { application_id, owner, asked, at }) => {
                Ok(vec![E::ApplicationRequested { application_id, owner, asked, at }])
            }
            (Self::NotRequested, _) => Err(ApplicationRefusal::NotRequested),
            (Self::Requested(_), C::Request { .. }) => Err(ApplicationRefusal::AlreadyRequested),
            (Self::Requested(record), command) => record.decide(command),
        }
    }

    fn evolve(self, event: &ApplicationEvent) -> Self {
        match (self, event) {
            (Self::NotRequested, ApplicationEvent::ApplicationRequested { application_id, owner, asked, at }) => {
                Self::Requested(Box::new(Record {
                    application_id: *application_id,
                    owner: *owner,
                    asked: asked.clone(),
                    revision: 1,
                    standing: Standing::UnderReview,
                    since: (*owner, *at),
                    client_id: None,
                    proposed: None,
                }))
            }
            (Self::NotRequested, _) => Self::NotRequested,
            (Self::Requested(record), event) => Self::Requested(Box::new(record.evolve(event))),
        }
    }
}

impl Record {
    fn decide(&self, command: ApplicationCommand) -> Result<Vec<ApplicationEvent>, ApplicationRefusal> {
        use ApplicationCommand as C;
        use ApplicationEvent as E;
        let application_id = self.application_id;
        match command {
            C::Edit { asked, .. } if self.standing == Standing::UnderReview && asked == self.asked => Ok(vec![]),
            C::Edit { asked, at } if self.standing == Standing::UnderReview => {
                Ok(vec![E::ApplicationEdited { application_id, asked, revision: self.revision + 1, at }])
            }
            C::Withdraw { .. } if self.standing == Standing::Withdrawn => Ok(vec![]),
            C::Withdraw { at }
                if matches!(
                    self.standing,
                    Standing::UnderReview | Standing::ChangesRequested | Standing::Approved | Standing::Suspended
                ) =>
            {
                Ok(vec![E::ApplicationWithdrawn { application_id, at }])
            }
            C::Edit { .. } | C::Withdraw { .. } => Err(self.wrong_standing()),
            C::Approve { decision, client_id } => {
                self.judge(decision, &[Standing::UnderReview], Standing::Approved, |decision| E::ApplicationApproved {
                    application_id,
                    client_id,
                    decision,
                })
            }
            C::Deny { decision } => self.judge(decision, &[Standing::UnderReview], Standing::Denied, |decision| {
                E::ApplicationDenied { application_id, decision }
            }),
            C::Suspend { decision } => self.judge(decision, &[Standing::Approved], Standing::Suspended, |decision| {
                E::ApplicationSuspended { application_id, decision }
            }),
            C::Reinstate { decision } => self.judge(decision, &[Standing::Suspended], Standing::Approved, |decision| {
                E::ApplicationReinstated { application_id, decision }
            }),
            C::Revoke { decision } => {
                self.judge(decision, &[Standing::Approved, Standing::Suspended], Standing::Revoked, |decision| {
                    E::ApplicationRevoked { application_id, decision }
                })
            }
            C::Request { .. } => Err(ApplicationRefusal::AlreadyRequested),
        }
    }

    /// What every decision has in common: not on one's own, from the right standing, on the revision that was read.
    /// The same reviewer asking again for what already holds succeeds and appends nothing.
    fn judge(
        &self,
        decision: Decision,
        from: &[Standing],
        to: Standing,
        event: impl FnOnce(Decision) -> ApplicationEvent,
    ) -> Result<Vec<ApplicationEvent>, ApplicationRefusal> {
        if decision.by == self.owner {
            return Err(ApplicationRefusal::OwnApplication);
        }
        if !from.contains(&self.standing) {
            let asked_twice = self.standing == to && self.since.0 == decision.by;
            return if asked_twice { Ok(vec![]) } else { Err(self.wrong_standing()) };
        }
        if decision.revision != self.revision {
            return Err(ApplicationRefusal::Revised { seen: decision.revision, now: self.revision });
        }
        Ok(vec![event(decision)])
    }

    const fn wrong_standing(&self) -> ApplicationRefusal {
        ApplicationRefusal::WrongStanding { standing: self.standing, by: self.since.0, at: self.since.1 }
    }

    fn evolve(mut self, event: &ApplicationEvent) -> Self {
        use ApplicationEvent as E;
        let owner = self.owner;
        match event {
            E::ApplicationRequested { .. }
            | E::ReviewClaimed { .. }
            | E::ReviewReleased { .. }
            | E::ReviewSigned { .. } => {}
            E::ApplicationEdited { asked, revision, .. } => {
                self.asked = asked.clone();
                self.revision = *revision;
            }
            E::ApplicationResubmitted { asked, revision, at, .. } => {
                self.asked = asked.clone();
                self.revision = *revision;
                self.move_to(Standing::UnderReview, owner, *at);
            }
            E::ChangesRequested { decision, .. } => self.move_to(Standing::ChangesRequested, decision.by, decision.at),
            E::ApplicationApproved { client_id, decision, .. } => {
                self.client_id = Some(client_id.clone());
                self.move_to(Standing::Approved, decision.by, decision.at);
            }
            E::ApplicationDenied { decision, .. } => self.move_to(Standing::Denied, decision.by, decision.at),
            E::ApplicationAppealed { at, .. } => self.move_to(Standing::UnderReview, owner, *at),
            E::ChangeProposed { asked, revision, .. } => {
                self.proposed = Some(asked.clone());
                self.revision = *revision;
            }
            E::ChangeApproved { .. } => {
                if let Some(proposed) = self.proposed.take() {
                    self.asked = proposed;
                }
            }
            E::ChangeDenied { .. } | E::ChangeWithdrawn { .. } => self.proposed = None,
            E::ApplicationSuspended { decision, .. } => self.move_to(Standing::Suspended, decision.by, decision.at),
            E::ApplicationReinstated { decision, .. } => self.move_to(Standing::Approved, decision.by, decision.at),
            E::ApplicationRevoked { decision, .. } => self.move_to(Standing::Revoked, decision.by, decision.at),
            E::ApplicationWithdrawn { at, .. } => self.move_to(Standing::Withdrawn, owner, *at),
            E::ClientIdRotated { client_id, .. } => self.client_id = Some(client_id.clone()),
        }
        self
    }

    const fn move_to(&mut self, standing: Standing, by: UserId, at: Timestamp) {
        self.standing = standing;
        self.since = (by, at);
    }
}
