//! The review queue: what waits for a decision and since when, what is overdue, and what the owner of a request can
//! expect. Decisions are `reviews`'s.

use chrono::TimeDelta;
use countersign_events::{
    application::{self, ApplicationEvent, ApplicationRefusal, Asked, Difference, Record, Standing, difference},
    event::Event,
    ids::{ApplicationId, UserId},
    recorded::{Timestamp, Version},
    text::FieldError,
};

use super::{App, AppError};
use crate::store::{ReviewFilter, decode, rows::ApplicationRow};

/// The usual time to a decision is the median of so many, the last ones.
const ANSWERS: u32 = 100;
/// Whoever looks for something to review looks at so many at once.
const LOOKED_AT: u32 = 20;

/// What the owner of a request can expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Since when it waits.
    pub since: Timestamp,
    /// How many wait longer.
    pub ahead: u64,
    /// When it should be decided.
    pub due: Timestamp,
    /// Whether that is over.
    pub overdue: bool,
    /// How long the last decisions took, in the median; unknown before the first.
    pub usual: Option<TimeDelta>,
}

/// Why a command on an application came too late, or another was faster: who did what, when, and what differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overtaken {
    /// The refusal.
    pub refusal: ApplicationRefusal,
    /// Who was faster, with the name to be shown.
    pub by: (UserId, String),
    /// When.
    pub at: Timestamp,
    /// What differs between the revision that was read and the newest.
    pub difference: Vec<Difference>,
}

impl std::fmt::Display for Overtaken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, at) = (&self.by.1, self.at.format("%-d %B %Y, %H:%M UTC"));
        match &self.refusal {
            ApplicationRefusal::Revised { .. } => {
                let fields: Vec<_> = self.difference.iter().map(Difference::label).collect();
                let changed =
                    if fields.is_empty() { String::new() } else { format!(" What differs: {}.", fields.join(", ")) };
                write!(f, "{}. {name} changed it on {at}.{changed}", self.refusal)
            }
            ApplicationRefusal::Claimed { until, .. } => {
                write!(f, "it is claimed by {name}; the claim lapses at {}", until.format("%H:%M UTC"))
            }
            refusal => write!(f, "{refusal}: {name}, on {at}"),
        }
    }
}

impl App {
    /// Applications as reviewers list them.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn review_list(&self, filter: &ReviewFilter) -> Result<Vec<ApplicationRow>, AppError> {
        Ok(self.models.review(filter).await?)
    }

    /// How many of them there are, behind the one that the filter begins at.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn review_count(&self, filter: &ReviewFilter) -> Result<u64, AppError> {
        Ok(self.models.review_count(filter).await?)
    }

    /// How many applications there are in each standing, all standings in their order.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn standing_counts(&self) -> Result<Vec<(Standing, u64)>, AppError> {
        let mut counts = vec![];
        for standing in Standing::ALL {
            counts.push((standing, self.models.standing_count(standing).await?));
        }
        Ok(counts)
    }

    /// The first in a filter's order that a reviewer could take up: it waits, is not theirs, is claimed by nobody
    /// else, does not wait for a second signature after their own, is no appeal that another has to decide on, and is
    /// none of these.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn next_to_review(
        &self,
        filter: &ReviewFilter,
        reviewer: UserId,
        but: &[ApplicationId],
    ) -> Result<Option<ApplicationRow>, AppError> {
        let mut filter = ReviewFilter { waiting: true, after: None, limit: LOOKED_AT, ..filter.clone() };
        loop {
            let rows = self.models.review(&filter).await?;
            let Some(last) = rows.last() else { return Ok(None) };
            filter.after = Some((last.waiting_since.unwrap_or(last.requested_at), last.application_id));
            let open = |row: &ApplicationRow| {
                let claimed = row.claim.is_some_and(|claim| claim.by != reviewer && claim.until() > filter.now);
                let signed = self.config.two_person_rule && row.signed.is_some_and(|(first, _)| first == reviewer);
                row.owner_id != reviewer && !claimed && !signed && !but.contains(&row.application_id)
            };
            for row in rows.into_iter().filter(open) {
                // Only what they answered before can be an appeal against them: no other row costs a look at its history.
                if row.decided_by != Some(reviewer) || self.can_claim(row.application_id, reviewer).await? {
                    return Ok(Some(row));
                }
            }
        }
    }

    /// Everything, from the oldest request on: what a filter begins with.
    #[must_use]
    pub fn review_filter(&self, limit: u32) -> ReviewFilter {
        ReviewFilter {
            waiting: false,
            newest_first: false,
            standing: None,
            purpose: None,
            scope: None,
            owner: None,
            claimed_by: None,
            unclaimed: false,
            waiting_before: None,
            not_waiting_before: None,
            now: self.now(),
            after: None,
            limit,
        }
    }

    /// How many wait for a reviewer longer than they should.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn overdue_count(&self) -> Result<u64, AppError> {
        Ok(self.models.queue_ahead(self.overdue_before(), ApplicationId(uuid::Uuid::nil())).await?)
    }

    /// What waits since before this instant is overdue.
    #[must_use]
    pub fn overdue_before(&self) -> Timestamp {
        self.now() - self.target()
    }

    /// When what waits since then should be decided.
    #[must_use]
    pub fn due(&self, since: Timestamp) -> Timestamp {
        since + self.target()
    }

    fn target(&self) -> TimeDelta {
        TimeDelta::days(self.config.review_target_days.into())
    }

    /// An application as reviewers see it.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn reviewed_application(&self, id: ApplicationId) -> Result<ApplicationRow, AppError> {
        self.models.application(id).await?.ok_or(AppError::NotFound)
    }

    /// The place of a request in the queue; `None` when it waits for nobody.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn place(&self, row: &ApplicationRow) -> Result<Option<Place>, AppError> {
        let Some(since) = row.waits() else { return Ok(None) };
        let mut took: Vec<_> =
            self.models.recent_answers(ANSWERS).await?.into_iter().map(|(since, at)| at - since).collect();
        took.sort_unstable();
        let due = self.due(since);
        Ok(Some(Place {
            since,
            ahead: self.models.queue_ahead(since, row.application_id).await?,
            due,
            overdue: due < self.now(),
            usual: took.get(took.len() / 2).copied(),
        }))
    }

    /// How many applications wait for a reviewer.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn waiting_count(&self) -> Result<u64, AppError> {
        // Whoever asks now, last of all, has all of them ahead.
        Ok(self.models.queue_ahead(self.now(), ApplicationId(uuid::Uuid::max())).await?)
    }

    /// A refusal with what its reader has to know: who did what meanwhile, when, and what differs.
    pub(super) async fn overtaken(&self, record: &Record, refusal: ApplicationRefusal) -> Result<AppError, AppError> {
        let (by, at, difference) = match &refusal {
            ApplicationRefusal::WrongStanding { by, at, .. }
            | ApplicationRefusal::NoChange { by, at, .. }
            | ApplicationRefusal::Claimed { by, at, .. } => (*by, *at, vec![]),
            ApplicationRefusal::ChangeOver(change) => (change.by, change.at, vec![]),
            ApplicationRefusal::Revised { seen, .. } => {
                let newest = record.proposed.as_ref().unwrap_or(&record.asked);
                let read = self.asked_at(record.application_id, *seen).await?;
                let difference = read.map(|read| difference(&read, newest)).unwrap_or_default();
                (record.owner, record.revised_at, difference)
            }
            ApplicationRefusal::PurposeHolds => {
                let message = format!("W{}.", &refusal.to_string()[1..]);
                return Ok(FieldError::new("purpose", "fixed", message).into());
            }
            ApplicationRefusal::AlreadyRequested
            | ApplicationRefusal::NotRequested
            | ApplicationRefusal::OwnApplication
            | ApplicationRefusal::OwnDenial => return Ok(refusal.into()),
        };
        let by = (by, self.state.name_of(by));
        Ok(AppError::Overtaken(Box::new(Overtaken { refusal, by, at, difference })))
    }

    /// What a revision of an application asked for; `None` when there was none of this number.
    async fn asked_at(&self, id: ApplicationId, wanted: u32) -> Result<Option<Asked>, AppError> {
        let mut found = None;
        for stored in self.log.read_stream(&application::stream(id), Version(0)).await? {
            match decode(&stored)?.event {
                Event::Application(ApplicationEvent::ApplicationRequested { asked, .. }) if wanted == 1 => {
                    found = Some(asked);
                }
                Event::Application(
                    ApplicationEvent::ApplicationEdited { asked, revision, .. }
                    | ApplicationEvent::ApplicationResubmitted { asked, revision, .. }
                    | ApplicationEvent::ChangeProposed { asked, revision, .. },
                ) if revision == wanted => found = Some(asked),
                _ => {}
            }
        }
        Ok(found)
    }
}
