//! The history of an application, as its owner and its reviewers read it.

use countersign_events::{
    event::Event,
    ids::ApplicationId,
    recorded::{Actor, Recorded, Version},
};

use super::{App, AppError};

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
            let sentence = self.sentence(&recorded).text;
            happenings.push(Happening { recorded, sentence, text });
        }
        Ok(happenings)
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
