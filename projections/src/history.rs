//! The index of the log: under each type of event, each actor, each member and each application, the
//! positions of the events that belong there, so that who looks for something never walks the log.
//! It repeats nothing of what the events say.

use countersign_events::{
    account::{AccountEvent, UsernameEvent},
    application::{ApplicationEvent, Decision},
    authorization::AuthorizationEvent,
    event::Event,
    ids::{ApplicationId, UserId},
    inbox::{InboxEvent, Topic},
    post::{PostEvent, VoteEvent},
    recorded::{Actor, Recorded},
    site::{ProjectionEvent, SiteEvent},
};

use crate::{
    Projection,
    applications::position,
    change::{Change, Table, id, integer, text},
};

/// One row an event and subject.
pub const SUBJECTS: Table =
    Table { name: "subjects", key: &[text("subject"), integer("position")], columns: &[], indexes: &[], ends: &[] };

/// Trailing.
pub const PROJECTION: Projection =
    Projection { name: "history", revision: 2, tables: &[&SUBJECTS], categories: CATEGORIES, project };

/// Every category there is: nothing happens that an auditor does not find.
const CATEGORIES: &[&str] =
    &["account", "username", "application", "authorization", "inbox", "post", "vote", "site", "projection"];

/// What events can be looked up by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Their stored type.
    Type(String),
    /// Who made them happen, and in whose name.
    Actor(Actor),
    /// A member whom they are about, in whatever part, or who made them happen.
    User(UserId),
    /// An application that they are about, or through which they happened.
    Application(ApplicationId),
}

impl std::fmt::Display for Subject {
    /// As the column has it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Type(name) => write!(f, "type {name}"),
            Self::Actor(actor) => write!(f, "actor {actor}"),
            Self::User(user) => write!(f, "user {user}"),
            Self::Application(application) => write!(f, "application {application}"),
        }
    }
}

fn project(recorded: &Recorded<Event>) -> Vec<Change> {
    let envelope = &recorded.envelope;
    let About { type_name, by, users, applications } = about(&recorded.event);
    let users = users.into_iter().chain(envelope.actor.user()).map(Subject::User);
    let applications = applications.into_iter().chain(envelope.on_behalf_of).map(Subject::Application);
    // A decision at the command line is an operator's act in a reviewer's name: both are asked for what they did.
    let by = by.map(|user| Subject::Actor(Actor::User(user)));
    let mut subjects = vec![Subject::Type(type_name.to_owned()), Subject::Actor(envelope.actor.clone())];
    for subject in by.into_iter().chain(users).chain(applications) {
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    let row = |subject| Change::Upsert { table: &SUBJECTS, key: vec![id(subject), position(recorded)], set: vec![] };
    subjects.into_iter().map(row).collect()
}

/// What an event is called, in whose name it happened, and whom and what it is about.
struct About {
    type_name: &'static str,
    by: Option<UserId>,
    users: Vec<UserId>,
    applications: Vec<ApplicationId>,
}

fn of(type_name: &'static str, users: &[UserId], applications: &[ApplicationId]) -> About {
    About { type_name, by: None, users: users.to_vec(), applications: applications.to_vec() }
}

fn about(event: &Event) -> About {
    match event {
        Event::Account(event) => of_account(event),
        Event::Username(UsernameEvent::UsernameClaimed { user_id }) => of("UsernameClaimed", &[*user_id], &[]),
        Event::Username(UsernameEvent::UsernameReleased { user_id }) => of("UsernameReleased", &[*user_id], &[]),
        Event::Application(event) => of_application(event),
        Event::Authorization(event) => of_authorization(event),
        Event::Inbox(event) => of_inbox(event),
        Event::Post(PostEvent::PostPublished { author, .. }) => of("PostPublished", &[*author], &[]),
        Event::Post(PostEvent::CommentPosted { author, answers, mentions, .. }) => {
            of("CommentPosted", &[&[*author, *answers], mentions.as_slice()].concat(), &[])
        }
        Event::Vote(VoteEvent::VoteCast { user_id, .. }) => of("VoteCast", &[*user_id], &[]),
        Event::Site(event) => of_site(event),
        Event::Projection(event) => of_projection(event),
    }
}

fn of_account(event: &AccountEvent) -> About {
    use AccountEvent as E;
    let (name, user) = match event {
        E::UserRegistered { user_id, .. } => ("UserRegistered", user_id),
        E::RoleGranted { user_id, .. } => ("RoleGranted", user_id),
        E::RoleWithdrawn { user_id, .. } => ("RoleWithdrawn", user_id),
        E::PasswordChanged { user_id, .. } => ("PasswordChanged", user_id),
        E::UserSuspended { user_id, .. } => ("UserSuspended", user_id),
        E::UserReinstated { user_id, .. } => ("UserReinstated", user_id),
        E::UserErased { user_id, .. } => ("UserErased", user_id),
    };
    of(name, &[*user], &[])
}

fn of_application(event: &ApplicationEvent) -> About {
    use ApplicationEvent as E;
    let by_owner = |name, application: &ApplicationId| of(name, &[], &[*application]);
    let by = |name, application: &ApplicationId, user: &UserId| About {
        by: Some(*user),
        ..of(name, &[*user], &[*application])
    };
    let decided = |name, application: &ApplicationId, decision: &Decision| by(name, application, &decision.by);
    match event {
        E::ApplicationRequested { application_id, owner, .. } => by("ApplicationRequested", application_id, owner),
        E::ApplicationEdited { application_id, .. } => by_owner("ApplicationEdited", application_id),
        E::ReviewClaimed { application_id, by: user, .. } => by("ReviewClaimed", application_id, user),
        E::ReviewReleased { application_id, by: user, .. } => by("ReviewReleased", application_id, user),
        E::ReviewSigned { application_id, decision } => decided("ReviewSigned", application_id, decision),
        E::ChangesRequested { application_id, decision } => decided("ChangesRequested", application_id, decision),
        E::ApplicationResubmitted { application_id, .. } => by_owner("ApplicationResubmitted", application_id),
        E::ApplicationApproved { application_id, decision, .. } => {
            decided("ApplicationApproved", application_id, decision)
        }
        E::ApplicationDenied { application_id, decision } => decided("ApplicationDenied", application_id, decision),
        E::ApplicationAppealed { application_id, owner, .. } => by("ApplicationAppealed", application_id, owner),
        E::ChangeProposed { application_id, .. } => by_owner("ChangeProposed", application_id),
        E::ChangeApproved { application_id, decision, .. } => decided("ChangeApproved", application_id, decision),
        E::ChangeDenied { application_id, decision } => decided("ChangeDenied", application_id, decision),
        E::ChangeWithdrawn { application_id, .. } => by_owner("ChangeWithdrawn", application_id),
        E::ApplicationSuspended { application_id, decision } => {
            decided("ApplicationSuspended", application_id, decision)
        }
        E::ApplicationReinstated { application_id, decision } => {
            decided("ApplicationReinstated", application_id, decision)
        }
        E::ApplicationRevoked { application_id, decision } => decided("ApplicationRevoked", application_id, decision),
        E::ApplicationWithdrawn { application_id, .. } => by_owner("ApplicationWithdrawn", application_id),
        E::ClientIdRotated { application_id, .. } => by_owner("ClientIdRotated", application_id),
    }
}

fn of_authorization(event: &AuthorizationEvent) -> About {
    use AuthorizationEvent as E;
    let (name, user, application) = match event {
        E::UserAuthorized { user_id, application_id, .. } => ("UserAuthorized", user_id, application_id),
        E::AuthorizationDenied { user_id, application_id, .. } => ("AuthorizationDenied", user_id, application_id),
        E::TokenIssued { user_id, application_id, .. } => ("TokenIssued", user_id, application_id),
        E::TokenRevoked { user_id, application_id, .. } => ("TokenRevoked", user_id, application_id),
        E::AuthorizationRescinded { user_id, application_id, .. } => {
            ("AuthorizationRescinded", user_id, application_id)
        }
    };
    of(name, &[*user], &[*application])
}

fn of_inbox(event: &InboxEvent) -> About {
    use InboxEvent as E;
    match event {
        E::PrivateMessageSent { to, from, topic, .. } => {
            let users: Vec<_> = [*to].into_iter().chain(*from).collect();
            match topic {
                Topic::Letter => of("PrivateMessageSent", &users, &[]),
                Topic::Decision { application_id } | Topic::SecretExpired { application_id } => {
                    of("PrivateMessageSent", &users, &[*application_id])
                }
            }
        }
        E::SecretRevealed { user_id, .. } => of("SecretRevealed", &[*user_id], &[]),
        E::SecretExpired { user_id, .. } => of("SecretExpired", &[*user_id], &[]),
        E::NotificationsRead { user_id, .. } => of("NotificationsRead", &[*user_id], &[]),
    }
}

fn of_site(event: &SiteEvent) -> About {
    match event {
        SiteEvent::FirstAdministratorNamed { user_id, .. } => of("FirstAdministratorNamed", &[*user_id], &[]),
        SiteEvent::ConfigurationChanged { .. } => of("ConfigurationChanged", &[], &[]),
        SiteEvent::AuditExported { by, .. } => of("AuditExported", &[*by], &[]),
        SiteEvent::ClockAccepted { .. } => of("ClockAccepted", &[], &[]),
        SiteEvent::CutOffLowered { .. } => of("CutOffLowered", &[], &[]),
    }
}

fn of_projection(event: &ProjectionEvent) -> About {
    let name = match event {
        ProjectionEvent::ProjectionRebuilt { .. } => "ProjectionRebuilt",
        ProjectionEvent::EventParked { .. } => "EventParked",
        ProjectionEvent::ParkedEventRetried { .. } => "ParkedEventRetried",
        ProjectionEvent::ParkedEventDiscarded { .. } => "ParkedEventDiscarded",
    };
    of(name, &[], &[])
}
