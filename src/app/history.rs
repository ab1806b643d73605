//! The history of an application, as its owner and its reviewers read it.

use countersign_events::{
    application::{ApplicationEvent, ChangeOutcome},
    event::Event,
    ids::ApplicationId,
    recorded::{Actor, Position, Recorded, Timestamp, Version},
};

use super::{App, AppError};
use crate::store::{Span, StoredEvent};

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Happening {
    /// The event, opened.
    pub recorded: Recorded<Event>,
    /// As a sentence.
    pub sentence: String,
    /// What its author wrote, if anything.
    pub text: Option<String>,
}

/// What became of a proposed change.
#[derive(Debug, Clone)]
pub struct ChangeEnd {
    /// What.
    pub outcome: ChangeOutcome,
    /// The name of who did it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The clause of the policy that a decision named.
    pub reason_code: Option<String>,
    /// What the reviewer wrote, if anything.
    pub reason: Option<String>,
}

impl App {
    /// What became of the last proposed change that waits no more.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn last_change(&self, id: ApplicationId) -> Result<Option<ChangeEnd>, AppError> {
        use ApplicationEvent as E;
        let ended = |happening: Happening| {
            let Happening { recorded: Recorded { envelope, event }, text, .. } = happening;
            let Event::Application(event) = event else { return None };
            let (outcome, decision, at) = match event {
                E::ChangeApproved { decision, .. } => (ChangeOutcome::Approved, Some(decision), None),
                E::ChangeDenied { decision, .. } => (ChangeOutcome::Denied, Some(decision), None),
                E::ChangeWithdrawn { at, .. } => (ChangeOutcome::Withdrawn, None, Some(at)),
                _ => return None,
            };
            let by = decision
                .as_ref()
                .map_or_else(|| self.actor_name(&envelope.actor), |decision| self.state.name_of(decision.by));
            let at = decision.as_ref().map(|decision| decision.at).or(at)?;
            Some(ChangeEnd {
                outcome,
                by,
                at,
                reason_code: decision.map(|decision| decision.reason_code),
                reason: text,
            })
        };
        Ok(self.history(id).await?.into_iter().rev().find_map(ended))
    }

    /// What happened to an application, oldest first. Who may read it is the caller's to check.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn history(&self, id: ApplicationId) -> Result<Vec<Happening>, AppError> {
        let stream = countersign_events::application::stream(id);
        let mut happenings = vec![];
        for stored in self.log.read_stream(&stream, Version(0)).await? {
            happenings.push(self.as_happening(&stored).await?);
        }
        Ok(happenings)
    }

    /// A page of the same, and where the next one begins.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn history_after(
        &self,
        id: ApplicationId,
        after: Option<Position>,
        limit: u32,
    ) -> Result<(Vec<Happening>, Option<Position>), AppError> {
        let stream = countersign_events::application::stream(id);
        let above = after.unwrap_or_default();
        let span = Span { above, below: Position(u64::MAX), newest_first: false };
        let mut positions = self.log.stream_positions(&stream, span, limit + 1).await?;
        let more = positions.len() > limit as usize;
        positions.truncate(limit as usize);
        let mut events = self.log.read_at(&positions).await?;
        events.sort_by_key(|stored| stored.envelope.position);
        let mut happenings = Vec::with_capacity(events.len());
        for stored in &events {
            happenings.push(self.as_happening(stored).await?);
        }
        Ok((happenings, positions.last().copied().filter(|_| more)))
    }

    async fn as_happening(&self, stored: &StoredEvent) -> Result<Happening, AppError> {
        let mut recorded = self.keyring.read(stored).await?;
        let text = recorded
            .event
            .personal_fields()
            .into_iter()
            .find_map(|(_, _, personal)| personal.clear().filter(|text| !text.is_empty()).map(ToOwned::to_owned));
        let sentence = self.sentence(&recorded).text;
        Ok(Happening { recorded, sentence, text })
    }

    /// An actor's name for people to read.
    #[must_use]
    pub fn actor_name(&self, actor: &Actor) -> String {
        match actor {
            Actor::User(user) => self.state.name_of(*user),
            Actor::Cli(name) => format!("{name} (command line)"),
            Actor::System => self.config.site_name.clone(),
        }
    }
}
