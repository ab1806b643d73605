//! What is known of an application that was asked for, and how each event changes it.

use std::fmt;

use super::{ApplicationEvent, ApplicationRefusal, Asked, CLAIM_LASTS, Standing};
use crate::{
    ids::{ApplicationId, UserId},
    recorded::Timestamp,
    token::ClientId,
};

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
    /// The revision of what `asked` says.
    pub holds: u32,
    /// When the owner made the newest revision.
    pub revised_at: Timestamp,
    /// Where it stands.
    pub standing: Standing,
    /// Who brought it there, and when.
    pub since: (UserId, Timestamp),
    /// How it last came under review.
    pub entry: Entry,
    /// Its client id, from the approval on.
    pub client_id: Option<ClientId>,
    /// A change of an approved application that waits for a decision.
    pub proposed: Option<Asked>,
    /// What became of the last change that waits no more.
    pub change: Option<Change>,
    /// Which reviewer is at it; a claim lapses by itself.
    pub claim: Option<Claim>,
    /// The first of two reviewers who signed the newest revision.
    pub signed: Option<UserId>,
    /// Whose denial the owner appealed against.
    pub appealed_from: Option<UserId>,
}

/// How an application came under review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It was asked for.
    Request,
    /// It came back with changes.
    Resubmission,
    /// Its owner disagrees with a denial.
    Appeal,
}

/// A reviewer's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub by: UserId,
    /// Since when.
    pub at: Timestamp,
}

impl Claim {
    /// When it lapses.
    #[must_use]
    pub fn until(self) -> Timestamp {
        self.at + CLAIM_LASTS
    }

    pub(super) fn refusal(self) -> ApplicationRefusal {
        ApplicationRefusal::Claimed { by: self.by, at: self.at, until: self.until() }
    }
}

/// What became of a proposed change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub outcome: ChangeOutcome,
    /// Who did it.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
}

/// How a proposed change can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// It holds.
    Approved,
    /// It does not.
    Denied,
    /// Its owner took it back.
    Withdrawn,
}

impl fmt::Display for ChangeOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
        })
    }
}

impl Record {
    pub(super) fn requested(application_id: ApplicationId, owner: UserId, asked: &Asked, at: Timestamp) -> Self {
        Self {
            application_id,
            owner,
            asked: asked.clone(),
            revision: 1,
            holds: 1,
            revised_at: at,
            standing: Standing::UnderReview,
            since: (owner, at),
            entry: Entry::Request,
            client_id: None,
            proposed: None,
            change: None,
            claim: None,
            signed: None,
            appealed_from: None,
        }
    }

    /// Whether something waits for a reviewer: the application, or a change of it.
    #[must_use]
    pub const fn waits(&self) -> bool {
        matches!(self.standing, Standing::UnderReview) || self.proposed.is_some()
    }

    pub(super) fn evolve(mut self, event: &ApplicationEvent) -> Self {
        use ApplicationEvent as E;
        let owner = self.owner;
        match event {
            E::ApplicationRequested { .. } => {}
            E::ApplicationEdited { asked, revision, at, .. } => self.revise(asked, *revision, *at),
            E::ReviewClaimed { by, at, .. } => self.claim = Some(Claim { by: *by, at: *at }),
            E::ReviewReleased { .. } => self.claim = None,
            E::ReviewSigned { decision, .. } => {
                self.signed = Some(decision.by);
                // The second reviewer need not wait for the first one's claim to lapse.
                self.claim = None;
            }
            E::ChangesRequested { decision, .. } => self.move_to(Standing::ChangesRequested, decision.by, decision.at),
            E::ApplicationResubmitted { asked, revision, at, .. } => {
                self.revise(asked, *revision, *at);
                self.entry = Entry::Resubmission;
                self.move_to(Standing::UnderReview, owner, *at);
            }
            E::ApplicationApproved { client_id, decision, .. } => {
                self.client_id = Some(client_id.clone());
                self.appealed_from = None;
                self.move_to(Standing::Approved, decision.by, decision.at);
            }
            E::ApplicationDenied { decision, .. } => {
                self.appealed_from = None;
                self.move_to(Standing::Denied, decision.by, decision.at);
            }
            E::ApplicationAppealed { at, .. } => {
                self.appealed_from = Some(self.since.0);
                self.entry = Entry::Appeal;
                self.move_to(Standing::UnderReview, owner, *at);
            }
            E::ChangeProposed { asked, revision, at, .. } => {
                self.proposed = Some(asked.clone());
                (self.revision, self.revised_at) = (*revision, *at);
                self.signed = None;
            }
            E::ChangeApproved { asked, decision, .. } => {
                self.asked = asked.clone();
                self.holds = decision.revision;
                self.end_change(ChangeOutcome::Approved, decision.by, decision.at);
            }
            E::ChangeDenied { decision, .. } => self.end_change(ChangeOutcome::Denied, decision.by, decision.at),
            E::ChangeWithdrawn { at, .. } => self.end_change(ChangeOutcome::Withdrawn, owner, *at),
            E::ApplicationSuspended { decision, .. } => {
                (self.standing, self.since) = (Standing::Suspended, (decision.by, decision.at));
            }
            E::ApplicationReinstated { decision, .. } => {
                (self.standing, self.since) = (Standing::Approved, (decision.by, decision.at));
            }
            E::ApplicationRevoked { decision, .. } => self.move_to(Standing::Revoked, decision.by, decision.at),
            E::ApplicationWithdrawn { at, .. } => self.move_to(Standing::Withdrawn, owner, *at),
            E::ClientIdRotated { client_id, .. } => self.client_id = Some(client_id.clone()),
        }
        self
    }

    /// What is asked for is another thing now; who signed the one before has signed nothing.
    fn revise(&mut self, asked: &Asked, revision: u32, at: Timestamp) {
        self.asked = asked.clone();
        (self.revision, self.holds, self.revised_at) = (revision, revision, at);
        self.signed = None;
    }

    fn end_change(&mut self, outcome: ChangeOutcome, by: UserId, at: Timestamp) {
        self.proposed = None;
        self.change = Some(Change { outcome, by, at });
        (self.claim, self.signed) = (None, None);
    }

    /// With what waited for a decision before, nothing waits any more.
    fn move_to(&mut self, standing: Standing, by: UserId, at: Timestamp) {
        (self.standing, self.since) = (standing, (by, at));
        (self.claim, self.signed, self.proposed) = (None, None, None);
    }
}
