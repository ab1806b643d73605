//! What a member should know of an application before agreeing to it, beside what it asks for: who reviewed it, whether
//! it was called otherwise, whose name its own could be taken for, and what this member agreed to before.

use chrono::TimeDelta;
use countersign_events::{
    application::{self, ApplicationEvent, Decision},
    event::Event,
    ids::UserId,
    recorded::{Timestamp, Version},
    text,
    token::TokenKind,
};

use super::{App, AppError, authorizations::Consent};
use crate::store::decode;

/// A new name is told to everybody for so long; to whoever authorized it under the old one, until they do so again.
const NEWS: TimeDelta = TimeDelta::days(30);

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquaintance {
    /// The names of those who signed what it may do now, and when the last of them did.
    pub reviewed: Option<(Vec<String>, Timestamp)>,
    /// What it was called before, and until when.
    pub renamed: Option<(String, Timestamp)>,
    /// Other applications whose names look like its own.
    pub look_alikes: Vec<String>,
    /// Whether its name could be taken for the site's.
    pub looks_like_site: bool,
    /// When this member last authorized it.
    pub authorized_at: Option<Timestamp>,
    /// How many live tokens it has of this member that came of a consent.
    pub live_tokens: usize,
}

/// What reviewers let an application be called, and who they were.
#[derive(Debug, Default)]
struct Reviews {
    /// What it asks to be called now.
    asked: String,
    /// What it has been called since it was first approved, each with since when.
    names: Vec<(String, Timestamp)>,
    first: Option<Decision>,
    reviewed: Option<(Vec<UserId>, Timestamp)>,
}

impl Reviews {
    fn follow(&mut self, event: &ApplicationEvent) {
        use ApplicationEvent as E;
        match event {
            E::ApplicationRequested { asked, .. }
            | E::ApplicationEdited { asked, .. }
            | E::ApplicationResubmitted { asked, .. } => self.asked.clone_from(&asked.name),
            E::ReviewSigned { decision, .. } => self.first = Some(decision.clone()),
            E::ApplicationApproved { decision, .. } => self.hold(decision),
            E::ChangeApproved { asked, decision, .. } => {
                self.asked.clone_from(&asked.name);
                self.hold(decision);
            }
            E::ReviewClaimed { .. }
            | E::ReviewReleased { .. }
            | E::ChangesRequested { .. }
            | E::ApplicationDenied { .. }
            | E::ApplicationAppealed { .. }
            | E::ChangeProposed { .. }
            | E::ChangeDenied { .. }
            | E::ChangeWithdrawn { .. }
            | E::ApplicationSuspended { .. }
            | E::ApplicationReinstated { .. }
            | E::ApplicationRevoked { .. }
            | E::ApplicationWithdrawn { .. }
            | E::ClientIdRotated { .. } => {}
        }
    }

    fn hold(&mut self, decision: &Decision) {
        if self.names.last().is_none_or(|(name, _)| *name != self.asked) {
            self.names.push((self.asked.clone(), decision.at));
        }
        // A signature counts for the revision that was signed.
        let first = self.first.take().filter(|first| first.revision == decision.revision && first.by != decision.by);
        let by = first.map(|first| first.by).into_iter().chain([decision.by]).collect();
        self.reviewed = Some((by, decision.at));
    }

    /// What it was called before, and until when.
    fn renamed(&self) -> Option<(String, Timestamp)> {
        let [.., (before, _), (_, since)] = self.names.as_slice() else { return None };
        Some((before.clone(), *since))
    }
}

impl App {
    /// What a member should know before answering a consent page.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn acquaintance(&self, user: UserId, consent: &Consent) -> Result<Acquaintance, AppError> {
        let id = consent.application.application_id;
        let mut reviews = Reviews::default();
        for stored in self.log.read_stream(&application::stream(id), Version(0)).await? {
            if let Event::Application(event) = decode(&stored)?.event {
                reviews.follow(&event);
            }
        }
        let mine = self.models.authorizations_of(user).await?.into_iter().find(|row| row.application_id == id);
        let authorized_at = mine.filter(|row| row.by_consent).map(|row| row.authorized_at);
        let live = self.my_tokens(user).await?.into_iter().filter(|token| {
            token.row.application_id == id && token.row.kind == TokenKind::Access && token.valid.is_ok()
        });
        Ok(Acquaintance {
            renamed: reviews
                .renamed()
                .filter(|(_, at)| *at + NEWS > self.now() || authorized_at.is_some_and(|known| known < *at)),
            reviewed: reviews
                .reviewed
                .map(|(by, at)| (by.into_iter().map(|user| self.state.name_of(user)).collect(), at)),
            look_alikes: self.state.look_alikes(id),
            looks_like_site: text::looks_like(&consent.application.name, &self.config.site_name),
            authorized_at,
            live_tokens: live.count(),
        })
    }
}
