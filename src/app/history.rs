//! What happened, as people read it: the history of an application, and events for operators.

use countersign_events::{
    application::ApplicationEvent,
    event::Event,
    ids::{ApplicationId, UserId},
    recorded::{Actor, Position, Recorded, Version},
};

use super::{App, AppError};
use crate::store::{EventFilter, StoredEvent};

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

impl App {
    /// What happened to an application, oldest first. Who may read it is the caller's to check.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn history(&self, id: ApplicationId) -> Result<Vec<Happening>, AppError> {
        let stream = countersign_events::application::stream(id);
        let mut happenings = vec![];
        for stored in self.log.read_stream(&stream, Version(0)).await? {
            let mut recorded = self.keyring.read(&stored).await?;
            let text =
                recorded.event.personal_fields().into_iter().find_map(|(_, _, personal)| {
                    personal.clear().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
                });
            if let Some(sentence) = self.sentence(&recorded.event) {
                happenings.push(Happening { recorded, sentence, text });
            }
        }
        Ok(happenings)
    }

    fn sentence(&self, event: &Event) -> Option<String> {
        use ApplicationEvent as E;
        let Event::Application(event) = event else { return None };
        let name = |user: &UserId| self.state.name_of(*user);
        let decided = |verb: &str, decision: &countersign_events::application::Decision| {
            format!(
                "{} {verb} revision {}: {}.",
                name(&decision.by),
                decision.revision,
                self.policy.title(&decision.reason_code)
            )
        };
        Some(match event {
            E::ApplicationRequested { owner, asked, .. } => format!("{} asked for “{}”.", name(owner), asked.name),
            E::ApplicationEdited { revision, .. } => format!("The owner edited it; it is at revision {revision}."),
            E::ReviewClaimed { by, .. } => format!("{} took it up.", name(by)),
            E::ReviewReleased { by, .. } => format!("{} let it go.", name(by)),
            E::ReviewSigned { decision, .. } => decided("signed", decision),
            E::ChangesRequested { decision, .. } => decided("asked for changes of", decision),
            E::ApplicationResubmitted { revision, .. } => format!("The owner resubmitted it at revision {revision}."),
            E::ApplicationApproved { decision, .. } => decided("approved", decision),
            E::ApplicationDenied { decision, .. } => decided("denied", decision),
            E::ApplicationAppealed { .. } => "The owner appealed.".to_owned(),
            E::ChangeProposed { revision, .. } => format!("The owner proposed a change, revision {revision}."),
            E::ChangeApproved { decision, .. } => decided("approved the change,", decision),
            E::ChangeDenied { decision, .. } => decided("denied the change,", decision),
            E::ChangeWithdrawn { .. } => "The owner took the proposed change back.".to_owned(),
            E::ApplicationSuspended { decision, .. } => decided("suspended", decision),
            E::ApplicationReinstated { decision, .. } => decided("reinstated", decision),
            E::ApplicationRevoked { decision, .. } => decided("revoked", decision),
            E::ApplicationWithdrawn { .. } => "The owner withdrew it.".to_owned(),
            E::ClientIdRotated { client_id, previous, .. } => {
                format!("The owner had its client id changed from {previous} to {client_id}.")
            }
        })
    }

    /// Events as stored, for operators, after a position.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn events(
        &self,
        filter: &EventFilter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, AppError> {
        Ok(self.log.list(filter, after, limit).await?)
    }

    /// One event as stored.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn event(&self, position: Position) -> Result<StoredEvent, AppError> {
        self.log.read_at(&[position]).await?.pop().ok_or(AppError::NotFound)
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
