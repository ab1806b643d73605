//! Applications: asked for, decided on, taken back. The review queue's rules are here and nowhere
//! else; who holds which role is the shell's to check before it asks.

use chrono::TimeDelta;
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

mod command;
mod difference;
mod record;
mod refusal;
mod standing;

pub use command::{ApplicationCommand, Bench, Seen, Signatures};
pub use difference::{Difference, difference};
pub use record::{Change, ChangeOutcome, Claim, Entry, Record};
pub use refusal::ApplicationRefusal;
pub use standing::{Standing, UnknownStanding};

#[cfg(test)]
mod tests;

/// How long a reviewer's claim keeps others from deciding.
pub const CLAIM_LASTS: TimeDelta = TimeDelta::minutes(30);

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
    /// The change holds: this is what was asked for.
    ChangeApproved { application_id: ApplicationId, asked: Asked, decision: Decision },
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

/// An application, or nothing yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Application {
    /// Nobody asked.
    #[default]
    NotRequested,
    /// Somebody did.
    Requested(Box<Record>),
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
            (Self::Requested(record), command) => record.decide(command),
        }
    }

    fn evolve(self, event: &ApplicationEvent) -> Self {
        match (self, event) {
            (Self::NotRequested, ApplicationEvent::ApplicationRequested { application_id, owner, asked, at }) => {
                Self::Requested(Box::new(Record::requested(*application_id, *owner, asked, *at)))
            }
            (Self::NotRequested, _) => Self::NotRequested,
            (Self::Requested(record), event) => Self::Requested(Box::new(record.evolve(event))),
        }
    }
}

type Decided = Result<Vec<ApplicationEvent>, ApplicationRefusal>;

impl Record {
    fn decide(&self, command: ApplicationCommand) -> Decided {
        use ApplicationCommand as C;
        use ApplicationEvent as E;
        let application_id = self.application_id;
        match command {
            C::Request { .. } => Err(ApplicationRefusal::AlreadyRequested),
            C::Edit { asked, seen, at } => self.edit(asked, seen, at),
            C::Resubmit { asked, seen, at } => self.resubmit(asked, seen, at),
            C::Appeal { text, at } => self.appeal(text, at),
            C::Withdraw { seen, at } => self.withdraw(seen, at),
            C::WithdrawChange { seen, at } => self.withdraw_change(seen, at),
            C::RotateClientId { client_id, seen, at } => self.rotate(client_id, seen, at),
            C::Claim { by, bench, at } => self.claim(by, bench, at),
            C::Release { by, at } => self.release(by, at),
            C::Approve { decision, client_id, bench } => self.sign(decision, bench, false, |decision| {
                E::ApplicationApproved { application_id, client_id, decision }
            }),
            C::ApproveChange { decision, bench } => {
                let Some(asked) = self.proposed.clone() else { return self.without_change(&decision, true) };
                self.sign(decision, bench, true, |decision| E::ChangeApproved { application_id, asked, decision })
            }
            C::DenyChange { decision, .. } if self.proposed.is_none() => self.without_change(&decision, false),
            C::DenyChange { decision, bench } => {
                self.settle(decision, bench, None, |decision| E::ChangeDenied { application_id, decision })
            }
            C::Deny { decision, bench } => self.settle(decision, bench, Some(Standing::Denied), |decision| {
                E::ApplicationDenied { application_id, decision }
            }),
            C::RequestChanges { decision, bench } => {
                self.settle(decision, bench, Some(Standing::ChangesRequested), |decision| E::ChangesRequested {
                    application_id,
                    decision,
                })
            }
            C::Suspend { decision } => self.oversee(decision, &[Standing::Approved], Standing::Suspended, |decision| {
                E::ApplicationSuspended { application_id, decision }
            }),
            C::Reinstate { decision } => {
                self.oversee(decision, &[Standing::Suspended], Standing::Approved, |decision| {
                    E::ApplicationReinstated { application_id, decision }
                })
            }
            C::Revoke { decision } => {
                self.oversee(decision, &[Standing::Approved, Standing::Suspended], Standing::Revoked, |decision| {
                    E::ApplicationRevoked { application_id, decision }
                })
            }
        }
    }

    /// What holds already is asked for in vain, whatever revision was read: nothing is overwritten.
    fn edit(&self, asked: Asked, seen: Option<u32>, at: Timestamp) -> Decided {
        let (application_id, revision) = (self.application_id, self.revision + 1);
        match self.standing {
            Standing::UnderReview if asked == self.asked => Ok(vec![]),
            Standing::UnderReview => {
                self.has_seen(seen)?;
                Ok(vec![ApplicationEvent::ApplicationEdited { application_id, asked, revision, at }])
            }
            Standing::Approved if self.proposed.as_ref().unwrap_or(&self.asked) == &asked => Ok(vec![]),
            // Back to what holds: nothing is left to decide.
            Standing::Approved if asked == self.asked => self.withdraw_change(seen, at),
            // Members have agreed to a web application; a personal one would be its owner's alone.
            Standing::Approved if asked.purpose != self.asked.purpose => Err(ApplicationRefusal::PurposeHolds),
            Standing::Approved => {
                self.has_seen(seen)?;
                Ok(vec![ApplicationEvent::ChangeProposed { application_id, asked, revision, at }])
            }
            _ => Err(self.wrong_standing()),
        }
    }

    fn resubmit(&self, asked: Asked, seen: Option<u32>, at: Timestamp) -> Decided {
        let (application_id, revision) = (self.application_id, self.revision + 1);
        match self.standing {
            Standing::ChangesRequested => {
                self.has_seen(seen)?;
                Ok(vec![ApplicationEvent::ApplicationResubmitted { application_id, asked, revision, at }])
            }
            Standing::UnderReview if self.entry == Entry::Resubmission && asked == self.asked => Ok(vec![]),
            _ => Err(self.wrong_standing()),
        }
    }

    fn appeal(&self, text: Personal, at: Timestamp) -> Decided {
        let (application_id, owner) = (self.application_id, self.owner);
        match self.standing {
            Standing::Denied => Ok(vec![ApplicationEvent::ApplicationAppealed { application_id, owner, text, at }]),
            Standing::UnderReview if self.entry == Entry::Appeal => Ok(vec![]),
            _ => Err(self.wrong_standing()),
        }
    }

    fn withdraw(&self, seen: Seen, at: Timestamp) -> Decided {
        match self.standing {
            Standing::Withdrawn => Ok(vec![]),
            Standing::Denied | Standing::Revoked => Err(self.wrong_standing()),
            now if seen.standing.is_some_and(|seen| seen != now) => Err(self.wrong_standing()),
            Standing::UnderReview | Standing::ChangesRequested | Standing::Approved | Standing::Suspended => {
                self.has_seen(seen.revision)?;
                Ok(vec![ApplicationEvent::ApplicationWithdrawn { application_id: self.application_id, at }])
            }
        }
    }

    fn withdraw_change(&self, seen: Option<u32>, at: Timestamp) -> Decided {
        let (application_id, revision) = (self.application_id, self.revision);
        match (&self.proposed, self.change) {
            (Some(_), _) => {
                self.has_seen(seen)?;
                Ok(vec![ApplicationEvent::ChangeWithdrawn { application_id, revision, at }])
            }
            (None, Some(change)) if change.outcome == ChangeOutcome::Withdrawn => Ok(vec![]),
            (None, _) => Err(self.no_change()),
        }
    }

    /// Only what is approved answers to a client id that can be leaked: before, asking for another one would be a way
    /// around the review.
    fn rotate(&self, client_id: ClientId, seen: Option<ClientId>, at: Timestamp) -> Decided {
        match (self.standing, self.client_id.clone()) {
            // Replaced already: the one that took its place may be in use.
            (Standing::Approved, Some(now)) if seen.is_some_and(|seen| seen != now) => Ok(vec![]),
            (Standing::Approved, Some(previous)) => Ok(vec![ApplicationEvent::ClientIdRotated {
                application_id: self.application_id,
                client_id,
                previous,
                at,
            }]),
            _ => Err(self.wrong_standing()),
        }
    }

    fn claim(&self, by: UserId, bench: Bench, at: Timestamp) -> Decided {
        self.may_review(by, bench, at)?;
        if !self.waits() {
            return Err(self.wrong_standing());
        }
        if self.claim.is_some_and(|claim| claim.by == by && claim.until() > at) {
            return Ok(vec![]);
        }
        Ok(vec![ApplicationEvent::ReviewClaimed { application_id: self.application_id, by, at }])
    }

    fn release(&self, by: UserId, at: Timestamp) -> Decided {
        match self.claim.filter(|claim| claim.until() > at) {
            None => Ok(vec![]),
            Some(claim) if claim.by == by => {
                Ok(vec![ApplicationEvent::ReviewReleased { application_id: self.application_id, by, at }])
            }
            Some(claim) => Err(claim.refusal()),
        }
    }

    /// What the first of two reviewers signs and the second decides, or one alone.
    fn sign(
        &self,
        decision: Decision,
        bench: Bench,
        of_change: bool,
        event: impl FnOnce(Decision) -> ApplicationEvent,
    ) -> Decided {
        let to = if of_change { None } else { Some(Standing::Approved) };
        let signed = self.signed.filter(|_| bench.signatures != Signatures::Anew);
        let waits = if of_change { self.proposed.is_some() } else { self.standing == Standing::UnderReview };
        match (bench.signatures, signed) {
            (Signatures::Two, Some(first)) if first == decision.by && waits => {
                // A reviewer who signs twice has signed; what they read then is what the signature stands for.
                self.has_seen(Some(decision.revision)).map(|()| vec![])
            }
            (Signatures::One, _) | (_, Some(_)) => self.settle(decision, bench, to, event),
            (Signatures::Two | Signatures::Anew, None) => {
                let application_id = self.application_id;
                self.settle(decision, bench, to, |decision| ApplicationEvent::ReviewSigned { application_id, decision })
            }
        }
    }

    /// A decision on what waits in the queue: the application where `to` says whereto it goes, else its proposed change.
    fn settle(
        &self,
        decision: Decision,
        bench: Bench,
        to: Option<Standing>,
        event: impl FnOnce(Decision) -> ApplicationEvent,
    ) -> Decided {
        if decision.by == self.owner {
            return Err(ApplicationRefusal::OwnApplication);
        }
        if let Some(to) = to
            && self.standing != Standing::UnderReview
        {
            return self.asked_twice(&decision, to);
        }
        self.may_review(decision.by, bench, decision.at)?;
        self.has_seen(Some(decision.revision))?;
        Ok(vec![event(decision)])
    }

    /// A decision on what is approved. A change that its owner proposes meanwhile is no way to escape it.
    fn oversee(
        &self,
        decision: Decision,
        from: &[Standing],
        to: Standing,
        event: impl FnOnce(Decision) -> ApplicationEvent,
    ) -> Decided {
        if decision.by == self.owner {
            return Err(ApplicationRefusal::OwnApplication);
        }
        if !from.contains(&self.standing) {
            return self.asked_twice(&decision, to);
        }
        if decision.revision != self.holds {
            self.has_seen(Some(decision.revision))?;
        }
        Ok(vec![event(decision)])
    }

    /// The same reviewer asking again for what already holds succeeds and appends nothing.
    fn asked_twice(&self, decision: &Decision, to: Standing) -> Decided {
        let holds = self.standing == to && self.since.0 == decision.by;
        if holds { Ok(vec![]) } else { Err(self.wrong_standing()) }
    }

    /// The same, of a change that waits no more.
    fn without_change(&self, decision: &Decision, approve: bool) -> Decided {
        if decision.by == self.owner {
            return Err(ApplicationRefusal::OwnApplication);
        }
        let wanted = if approve { ChangeOutcome::Approved } else { ChangeOutcome::Denied };
        match self.change {
            Some(change) if change.outcome == wanted && change.by == decision.by => Ok(vec![]),
            _ => Err(self.no_change()),
        }
    }

    fn may_review(&self, by: UserId, bench: Bench, at: Timestamp) -> Result<(), ApplicationRefusal> {
        if by == self.owner {
            return Err(ApplicationRefusal::OwnApplication);
        }
        if let Some(claim) = self.claim.filter(|claim| claim.by != by && claim.until() > at) {
            return Err(claim.refusal());
        }
        if self.appealed_from == Some(by) && bench.another {
            return Err(ApplicationRefusal::OwnDenial);
        }
        Ok(())
    }

    fn no_change(&self) -> ApplicationRefusal {
        match (self.standing, self.change) {
            (Standing::Approved | Standing::Suspended, Some(change)) => ApplicationRefusal::ChangeOver(change),
            (Standing::Approved | Standing::Suspended, None) => {
                ApplicationRefusal::NoChange { standing: self.standing, by: self.since.0, at: self.since.1 }
            }
            _ => self.wrong_standing(),
        }
    }

    /// A command that names the revision it was made from is refused on any other one.
    fn has_seen(&self, seen: Option<u32>) -> Result<(), ApplicationRefusal> {
        match seen.filter(|seen| *seen != self.revision) {
            Some(seen) => Err(ApplicationRefusal::Revised { seen, now: self.revision }),
            None => Ok(()),
        }
    }

    const fn wrong_standing(&self) -> ApplicationRefusal {
        ApplicationRefusal::WrongStanding { standing: self.standing, by: self.since.0, at: self.since.1 }
    }
}
