//! Every event of Countersign as one type, and the table of its personal fields.

use crate::{
    account::{AccountEvent, UsernameEvent},
    application::ApplicationEvent,
    authorization::AuthorizationEvent,
    inbox::InboxEvent,
    post::{PostEvent, VoteEvent},
    sensitive::{Personal, Subject},
    site::{ProjectionEvent, SiteEvent},
};

macro_rules! events {
    ($($(#[$doc:meta])+ $variant:ident($event:ty);)+) => {
        /// What happened, to whatever it happened.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event {$(
            $(#[$doc])+
            $variant($event),
        )+}

        $(impl From<$event> for Event {
            fn from(event: $event) -> Self {
                Self::$variant(event)
            }
        }

        impl<'a> TryFrom<&'a Event> for &'a $event {
            type Error = ();
            fn try_from(event: &'a Event) -> Result<Self, ()> {
                if let Event::$variant(event) = event { Ok(event) } else { Err(()) }
            }
        })+
    };
}

events! {
    /// To a member.
    Account(AccountEvent);
    /// To a username.
    Username(UsernameEvent);
    /// To an application.
    Application(ApplicationEvent);
    /// Between a member and an application.
    Authorization(AuthorizationEvent);
    /// In an inbox.
    Inbox(InboxEvent);
    /// To a post.
    Post(PostEvent);
    /// To a vote.
    Vote(VoteEvent);
    /// To the site.
    Site(SiteEvent);
    /// To a projection.
    Projection(ProjectionEvent);
}

/// A personal field of an event: its name, whose it is, and the field itself.
pub type PersonalField<'a> = (&'static str, Subject, &'a mut Personal);

impl Event {
    /// The table of sensitive fields: every personal field of this event and whose it is. The shell
    /// seals by it before it appends and opens by it after it has read. (The client address in the
    /// envelope is personal as well; it is the actor's.)
    pub fn personal_fields(&mut self) -> Vec<PersonalField<'_>> {
        match self {
            Self::Account(AccountEvent::UserRegistered { user_id, username, .. }) => {
                vec![("username", Subject::User(*user_id), username)]
            }
            Self::Application(event) => of_application(event),
            // A letter is its sender's; what the site writes to a member is the member's.
            Self::Inbox(InboxEvent::PrivateMessageSent { from, to, title, body, .. }) => {
                let subject = Subject::User(from.unwrap_or(*to));
                vec![("title", subject, title), ("body", subject, body)]
            }
            Self::Post(PostEvent::PostPublished { author, title, url, body, .. }) => {
                let subject = Subject::User(*author);
                let mut fields = vec![("title", subject, title), ("body", subject, body)];
                fields.extend(url.as_mut().map(|url| ("url", subject, url)));
                fields
            }
            Self::Post(PostEvent::CommentPosted { author, body, .. }) => vec![("body", Subject::User(*author), body)],
            Self::Projection(ProjectionEvent::ParkedEventDiscarded { reason, .. }) => {
                vec![("reason", Subject::Site, reason)]
            }
            Self::Account(_)
            | Self::Username(_)
            | Self::Authorization(_)
            | Self::Inbox(_)
            | Self::Vote(_)
            | Self::Site(_)
            | Self::Projection(_) => vec![],
        }
    }
}

fn of_application(event: &mut ApplicationEvent) -> Vec<PersonalField<'_>> {
    use ApplicationEvent as E;
    match event {
        E::ReviewSigned { decision, .. }
        | E::ChangesRequested { decision, .. }
        | E::ApplicationApproved { decision, .. }
        | E::ApplicationDenied { decision, .. }
        | E::ChangeApproved { decision, .. }
        | E::ChangeDenied { decision, .. }
        | E::ApplicationSuspended { decision, .. }
        | E::ApplicationReinstated { decision, .. }
        | E::ApplicationRevoked { decision, .. } => vec![("reason", Subject::Site, &mut decision.reason)],
        E::ApplicationAppealed { owner, text, .. } => vec![("text", Subject::User(*owner), text)],
        E::ApplicationRequested { .. }
        | E::ApplicationEdited { .. }
        | E::ReviewClaimed { .. }
        | E::ReviewReleased { .. }
        | E::ApplicationResubmitted { .. }
        | E::ChangeProposed { .. }
        | E::ChangeWithdrawn { .. }
        | E::ApplicationWithdrawn { .. }
        | E::ClientIdRotated { .. } => vec![],
    }
}
