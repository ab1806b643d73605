//! What happens to the site itself and to its projections; facts for the record, with one rule:
//! a site has one first administrator.

use serde::{Deserialize, Serialize};

use crate::{
    decider::Decider,
    ids::UserId,
    recorded::{Position, Timestamp},
    sensitive::Personal,
};

#[cfg(test)]
mod tests;

/// A setting that differs from the last start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The setting.
    pub key: String,
    /// As it was; `None` when it was not there.
    pub from: Option<String>,
    /// As it is; `None` when it is gone.
    pub to: Option<String>,
}

/// What happened to the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum SiteEvent {
    /// Somebody followed the set-up link.
    FirstAdministratorNamed { user_id: UserId, at: Timestamp },
    /// The configuration was another at the last start.
    ConfigurationChanged { differences: Vec<Difference>, at: Timestamp },
    /// Somebody took a copy of the history away: so many rows, all within this stretch of the log. The filters hold
    /// ids, types and instants, never a name.
    AuditExported {
        by: UserId,
        from: Position,
        to: Position,
        format: ExportFormat,
        filters: Vec<String>,
        rows: u64,
        at: Timestamp,
    },
    /// An operator said that the wall clock is right: it read `wall`, and the site had judged and destroyed by these times.
    ClockAccepted { wall: Timestamp, judged: Timestamp, destroying: Timestamp, at: Timestamp },
    /// An operator moved the cut-off of dead rows back.
    CutOffLowered { from: Timestamp, to: Timestamp, at: Timestamp },
}

/// What a copy of the history is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// Comma-separated values.
    Csv,
    /// JSON.
    Json,
    /// Of before formats were recorded.
    Unknown,
}

impl ExportFormat {
    /// As people read it; nothing where it is not known.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Json => "JSON",
            Self::Unknown => "",
        }
    }
}

/// The site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    first_administrator: Option<UserId>,
    /// The configuration at the last start, by key.
    pub configuration: std::collections::BTreeMap<String, String>,
}

/// What can be asked of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum SiteCommand {
    NameFirstAdministrator {
        user_id: UserId,
        at: Timestamp,
    },
    /// Notice what differs from the last start.
    NoticeConfiguration {
        configuration: std::collections::BTreeMap<String, String>,
        at: Timestamp,
    },
    /// Put on record that a copy of the history is taken away.
    NoteExport {
        by: UserId,
        from: Position,
        to: Position,
        format: ExportFormat,
        filters: Vec<String>,
        rows: u64,
        at: Timestamp,
    },
    /// Say that the wall clock is right.
    AcceptClock {
        wall: Timestamp,
        judged: Timestamp,
        destroying: Timestamp,
    },
    /// Move the cut-off of dead rows back.
    LowerCutOff {
        from: Timestamp,
        to: Timestamp,
        at: Timestamp,
    },
}

/// The site has an administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this site is set up already; an administrator gives further roles")]
pub struct AlreadySetUp;

impl Decider for Site {
    type Command = SiteCommand;
    type Event = SiteEvent;
    type Refusal = AlreadySetUp;

    fn decide(&self, command: SiteCommand) -> Result<Vec<SiteEvent>, AlreadySetUp> {
        match command {
            SiteCommand::NameFirstAdministrator { user_id, at } => match self.first_administrator {
                None => Ok(vec![SiteEvent::FirstAdministratorNamed { user_id, at }]),
                Some(first) if first == user_id => Ok(vec![]),
                Some(_) => Err(AlreadySetUp),
            },
            SiteCommand::NoticeConfiguration { configuration, at } => {
                let keys: std::collections::BTreeSet<_> =
                    self.configuration.keys().chain(configuration.keys()).collect();
                let differences: Vec<_> = keys
                    .into_iter()
                    .map(|key| Difference {
                        key: key.clone(),
                        from: self.configuration.get(key).cloned(),
                        to: configuration.get(key).cloned(),
                    })
                    .filter(|difference| difference.from != difference.to)
                    .collect();
                Ok(if differences.is_empty() {
                    vec![]
                } else {
                    vec![SiteEvent::ConfigurationChanged { differences, at }]
                })
            }
            SiteCommand::NoteExport { by, from, to, format, filters, rows, at } => {
                Ok(vec![SiteEvent::AuditExported { by, from, to, format, filters, rows, at }])
            }
            SiteCommand::AcceptClock { wall, judged, destroying } if (judged, destroying) == (wall, wall) => Ok(vec![]),
            SiteCommand::AcceptClock { wall, judged, destroying } => {
                Ok(vec![SiteEvent::ClockAccepted { wall, judged, destroying, at: wall }])
            }
            SiteCommand::LowerCutOff { from, to, .. } if to >= from => Ok(vec![]),
            SiteCommand::LowerCutOff { from, to, at } => Ok(vec![SiteEvent::CutOffLowered { from, to, at }]),
        }
    }

    fn evolve(mut self, event: &SiteEvent) -> Self {
        match event {
            SiteEvent::FirstAdministratorNamed { user_id, .. } => self.first_administrator = Some(*user_id),
            SiteEvent::ConfigurationChanged { differences, .. } => {
                for Difference { key, to, .. } in differences {
                    match to {
                        Some(value) => self.configuration.insert(key.clone(), value.clone()),
                        None => self.configuration.remove(key),
                    };
                }
            }
            SiteEvent::AuditExported { .. } | SiteEvent::ClockAccepted { .. } | SiteEvent::CutOffLowered { .. } => {}
        }
        self
    }
}

/// What happened to a projection; operators' acts are as much on record as everybody's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum ProjectionEvent {
    /// A new generation took the place of the old one.
    ProjectionRebuilt { name: String, generation: u32, through: Position, at: Timestamp },
    /// An event could not be applied; its stream rests in this projection.
    EventParked { name: String, stream: String, position: Position, error: String, at: Timestamp },
    /// It was tried again.
    ParkedEventRetried { name: String, position: Position, at: Timestamp },
    /// It was given up, for a reason.
    ParkedEventDiscarded { name: String, position: Position, reason: Personal, at: Timestamp },
}
