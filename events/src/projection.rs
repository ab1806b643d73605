//! What operators did to a read model, and what it could not show: an event is noted as parked once, and
//! given up once. What is parked right now is the read model's own to know; the log keeps the acts.

use std::collections::BTreeSet;

use crate::{
    decider::Decider,
    recorded::{Position, StreamName, Timestamp},
    sensitive::Personal,
    site::ProjectionEvent,
    text::{self, FieldError},
};

#[cfg(test)]
mod tests;

/// The stream of a projection.
#[must_use]
pub fn stream(name: &str) -> StreamName {
    StreamName::Projection(name.to_owned())
}

/// What is on record about a projection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectionRecord {
    /// Events that were parked at any time.
    pub parked: BTreeSet<Position>,
    /// Events that were given up: no generation, present or later, shows them.
    pub discarded: BTreeSet<Position>,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum ProjectionCommand {
    /// Note that an event could not be shown.
    NoteParked { name: String, stream: String, position: Position, error: String, at: Timestamp },
    /// Note that an operator tried a parked event again.
    NoteRetried { name: String, position: Position, at: Timestamp },
    /// Give an event up.
    Discard { name: String, position: Position, reason: Personal, at: Timestamp },
    /// Note that a new generation is read.
    NoteRebuilt { name: String, generation: u32, through: Position, at: Timestamp },
}

/// Why it may not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectionRefusal {
    /// The event was given up before.
    #[error("event {0} was given up before; nothing shows it again")]
    Discarded(Position),
    /// The reason does not do.
    #[error(transparent)]
    Reason(#[from] FieldError),
}

impl Decider for ProjectionRecord {
    type Command = ProjectionCommand;
    type Event = ProjectionEvent;
    type Refusal = ProjectionRefusal;

    fn decide(&self, command: ProjectionCommand) -> Result<Vec<ProjectionEvent>, ProjectionRefusal> {
        use ProjectionCommand as C;
        Ok(match command {
            C::NoteParked { position, .. } if self.parked.contains(&position) => vec![],
            C::NoteParked { name, stream, position, error, at } => {
                vec![ProjectionEvent::EventParked { name, stream, position, error, at }]
            }
            C::NoteRetried { position, .. } if self.discarded.contains(&position) => {
                return Err(ProjectionRefusal::Discarded(position));
            }
            C::NoteRetried { name, position, at } => {
                vec![ProjectionEvent::ParkedEventRetried { name, position, at }]
            }
            C::Discard { position, .. } if self.discarded.contains(&position) => vec![],
            C::Discard { name, position, reason, at } => {
                let reason = match reason {
                    Personal::Clear(reason) => Personal::Clear(text::reason(&reason)?),
                    kept => kept,
                };
                vec![ProjectionEvent::ParkedEventDiscarded { name, position, reason, at }]
            }
            C::NoteRebuilt { name, generation, through, at } => {
                vec![ProjectionEvent::ProjectionRebuilt { name, generation, through, at }]
            }
        })
    }

    fn evolve(mut self, event: &ProjectionEvent) -> Self {
        match event {
            ProjectionEvent::EventParked { position, .. } => self.parked.insert(*position),
            ProjectionEvent::ParkedEventDiscarded { position, .. } => self.discarded.insert(*position),
            ProjectionEvent::ProjectionRebuilt { .. } | ProjectionEvent::ParkedEventRetried { .. } => false,
        };
        self
    }
}
