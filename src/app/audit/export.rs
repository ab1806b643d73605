//! Copies of the history that auditors take away: which events are in one is settled, and put on record, before the
//! first of them leaves; they are then read piece by piece.

use countersign_events::{
    decider::Decider,
    ids::UserId,
    recorded::{Position, StreamName},
    site::{ExportFormat, Site, SiteCommand},
};
use countersign_projections::history;

use super::{Effort, EventRecord, Filter};
use crate::{
    app::{App, AppError, Caller, Done, Plan, projections::ProjectionStatus},
    store::{Head, Parked},
};

/// The longest copy.
pub const LONGEST: u32 = 10_000;
/// A copy is looked for harder than a page, yet not without end.
const EFFORT: Effort = Effort { at_once: 10_000, goes: 200 };

/// What a copy has in it.
#[derive(Debug, Clone, Default)]
pub struct Export {
    /// The events, newest first.
    pub positions: Vec<Position>,
    /// Where a further copy begins, when this one is cut off.
    pub next: Option<Position>,
    /// The answer knows of every event up to here.
    pub complete_to: Position,
}

/// What the history is complete to.
#[derive(Debug)]
pub struct Standing {
    /// The end of the log.
    pub head: Head,
    /// How the index behind the filters follows it.
    pub index: ProjectionStatus,
    /// What rests in that index.
    pub parked: Vec<Parked>,
}

impl App {
    /// What the history is complete to.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn audit_standing(&self) -> Result<Standing, AppError> {
        let index = self.trailing_status(&history::PROJECTION).await?;
        let parked = self.models.parked(&history::PROJECTION).await?;
        Ok(Standing { head: self.log.head().await?, index, parked })
    }

    /// Settles what is in a copy of what matches before `after`, newest first, and puts it on record.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn export(
        &self,
        caller: &Caller,
        by: UserId,
        filter: &Filter,
        after: Option<Position>,
        format: ExportFormat,
    ) -> Result<Done<Export>, AppError> {
        let complete_to = self.complete_to(filter).await?;
        let span = self.span(filter, after, true, complete_to).await?;
        let (positions, next) = self.search(filter, span, LONGEST, EFFORT).await?;
        let (from, to) =
            (positions.last().copied().unwrap_or_default(), positions.first().copied().unwrap_or_default());
        let done = self
            .execute(caller, || async {
                let (site, version) = self.load::<Site>(&StreamName::Site).await?;
                let (filters, rows, at) = (filter.parts(), positions.len() as u64, self.now());
                let note = SiteCommand::NoteExport { by, from, to, format, filters, rows, at };
                Ok(Plan::answering(()).with(&StreamName::Site, version, site.decide(note)?))
            })
            .await?;
        Ok(done.answering(Export { positions, next, complete_to }))
    }

    /// A piece of a copy: the events at these positions, newest first.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn exported(&self, positions: &[Position]) -> Result<Vec<EventRecord>, AppError> {
        let mut events = vec![];
        for stored in self.log.read_at(positions).await? {
            events.push(self.as_record(stored).await?);
        }
        events.sort_by_key(|event| std::cmp::Reverse(event.position));
        Ok(events)
    }
}
