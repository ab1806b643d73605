//! Inboxes: what each member is told. Rows say of which event they come; titles and bodies stay in
//! the log, sealed, and are opened for their reader.

use countersign_events::{
    account::AccountEvent,
    application::ApplicationEvent,
    authorization::{AuthorizationEvent, Ended, Via},
    event::Event,
    ids::{ApplicationId, UserId},
    inbox::{InboxEvent, Topic},
    post::PostEvent,
    recorded::Recorded,
    token::TokenKind,
};

use crate::{
    Projection,
    applications::position,
    change::{Change, Set, Source, Table, Value, id, integer, text},
};

/// One row a notification and member.
pub const NOTIFICATIONS: Table = Table {
    name: "notifications",
    key: &[text("user_id"), text("id")],
    columns: &[
        integer("position"),
        text("kind"),
        integer("created_at"),
        integer("read"),
        text("from_id"),
        text("application_id"),
        text("post_id"),
        text("comment_id"),
        text("token_id"),
        text("secret"),
        integer("held_until"),
        integer("revealed_at"),
    ],
    indexes: &[&["user_id", "position"], &["user_id", "read", "position"], &["secret", "held_until"]],
    ends: &[],
};

/// Who consented to what: whom to tell when an application ends.
pub const AUDIENCE: Table = Table {
    name: "audience",
    key: &[text("application_id"), text("user_id")],
    columns: &[integer("since")],
    indexes: &[&["user_id"]],
    ends: &[],
};

/// Trailing.
pub const PROJECTION: Projection = Projection {
    name: "inbox",
    revision: 2,
    tables: &[&NOTIFICATIONS, &AUDIENCE],
    categories: &["inbox", "authorization", "application", "post", "account"],
    project,
};

fn project(recorded: &Recorded<Event>) -> Vec<Change> {
    match &recorded.event {
        Event::Inbox(event) => of_inbox(recorded, event),
        Event::Authorization(event) => of_authorization(recorded, event),
        Event::Application(event) => of_application(recorded, event),
        Event::Post(PostEvent::CommentPosted { post_id, comment_id, author, answers, mentions, .. }) => {
            let about = [("post_id", id(post_id)), ("comment_id", id(comment_id)), ("from_id", id(author))];
            let replied = (answers != author).then_some((*answers, "reply"));
            let mentioned =
                mentions.iter().filter(|user| *user != author && *user != answers).map(|user| (*user, "mention"));
            replied.into_iter().chain(mentioned).map(|(user, kind)| tell(recorded, user, kind, &about)).collect()
        }
        Event::Post(PostEvent::PostPublished { post_id, author, mentions, .. }) => {
            let about = [("post_id", id(post_id)), ("from_id", id(author))];
            let mentioned = mentions.iter().filter(|user| *user != author);
            mentioned.map(|user| tell(recorded, *user, "mention", &about)).collect()
        }
        Event::Account(AccountEvent::UserErased { user_id, .. }) => [&NOTIFICATIONS, &AUDIENCE]
            .map(|table| Change::DeleteWhere { table, by: "user_id", equals: id(user_id) })
            .to_vec(),
        Event::Account(_) | Event::Username(_) | Event::Vote(_) | Event::Site(_) | Event::Projection(_) => vec![],
    }
}

fn of_inbox(recorded: &Recorded<Event>, event: &InboxEvent) -> Vec<Change> {
    let patch = |user: &UserId, message: String, set: Set| Change::Patch {
        table: &NOTIFICATIONS,
        key: vec![id(user), message.into()],
        set,
    };
    match event {
        InboxEvent::PrivateMessageSent { message_id, to, from, topic, held, .. } => {
            let (kind, application) = match topic {
                Topic::Letter => ("message", None),
                Topic::Decision { application_id } => ("application_decision", Some(application_id)),
                Topic::SecretExpired { application_id } => ("authorization_change", Some(application_id)),
            };
            let about = [
                ("from_id", from.map(|user| user.to_string()).into()),
                ("application_id", application.map(ToString::to_string).into()),
                ("token_id", held.map(|held| held.token_id.to_string()).into()),
                ("secret", held.map(|_| "held").into()),
                ("held_until", held.map(|held| held.until).into()),
            ];
            vec![tell_as(recorded, *to, id(message_id), kind, &about)]
        }
        InboxEvent::SecretRevealed { user_id, message_id, at, .. } => {
            let set = vec![("secret", "revealed".into()), ("revealed_at", (*at).into()), ("read", true.into())];
            vec![patch(user_id, message_id.to_string(), set)]
        }
        InboxEvent::SecretExpired { user_id, message_id, .. } => {
            vec![patch(user_id, message_id.to_string(), vec![("secret", "expired".into())])]
        }
        InboxEvent::NotificationsRead { user_id, ids, .. } => ids
            .iter()
            .map(|notification| patch(user_id, notification.to_string(), vec![("read", true.into())]))
            .collect(),
    }
}

/// A member is told of everything by which somebody can act as them: of each consent, and of each personal token that
/// no message brings. Of an end they are told when it was not their own doing.
fn of_authorization(recorded: &Recorded<Event>, event: &AuthorizationEvent) -> Vec<Change> {
    use AuthorizationEvent as E;
    let told = |user: &UserId, application: &ApplicationId| {
        tell(recorded, *user, "authorization_change", &[("application_id", id(application))])
    };
    match event {
        E::UserAuthorized { application_id, user_id, via: Via::Consent, at, .. } => vec![
            Change::Upsert {
                table: &AUDIENCE,
                key: vec![id(application_id), id(user_id)],
                set: vec![("since", (*at).into())],
            },
            told(user_id, application_id),
        ],
        E::TokenIssued { application_id, user_id, kind: TokenKind::Personal, held: None, .. }
        | E::TokenRevoked {
            application_id, user_id, why: Ended::Revoked | Ended::Displaced | Ended::RoleLost, ..
        } => {
            vec![told(user_id, application_id)]
        }
        E::AuthorizationRescinded { application_id, user_id, .. } => {
            let gone = Change::Delete { table: &AUDIENCE, key: vec![id(application_id), id(user_id)] };
            let by_others = recorded.envelope.actor.user() != Some(*user_id);
            [gone].into_iter().chain(by_others.then(|| told(user_id, application_id))).collect()
        }
        // The first is an owner's, whose message tells; a consent tells of the tokens that come of it; a token that was
        // given up or regenerated is its member's doing, and of one that nobody revealed a message tells.
        E::UserAuthorized { via: Via::Approval | Via::Operator, .. }
        | E::AuthorizationDenied { .. }
        | E::TokenIssued { .. }
        | E::TokenRevoked { why: Ended::GivenUp | Ended::Regenerated | Ended::NeverRevealed, .. } => vec![],
    }
}

/// Everybody who authorized an application is told when it rests, lives again or ends.
fn of_application(recorded: &Recorded<Event>, event: &ApplicationEvent) -> Vec<Change> {
    use ApplicationEvent as E;
    let (E::ApplicationSuspended { application_id, .. }
    | E::ApplicationReinstated { application_id, .. }
    | E::ApplicationRevoked { application_id, .. }
    | E::ApplicationWithdrawn { application_id, .. }) = event
    else {
        return vec![];
    };
    vec![tell_audience(recorded, *application_id)]
}

fn tell_audience(recorded: &Recorded<Event>, application: ApplicationId) -> Change {
    let about = [("application_id", id(application))];
    let values =
        row(recorded, "authorization_change", &about).into_iter().map(|(name, value)| (name, Source::Value(value)));
    let key = [("user_id", Source::Column("user_id")), ("id", Source::Value(id(recorded.envelope.event_id)))];
    Change::Copy {
        into: &NOTIFICATIONS,
        from: &AUDIENCE,
        by: "application_id",
        equals: id(application),
        columns: key.into_iter().chain(values).collect(),
    }
}

fn tell(recorded: &Recorded<Event>, user: UserId, kind: &'static str, about: &[(&'static str, Value)]) -> Change {
    tell_as(recorded, user, id(recorded.envelope.event_id), kind, about)
}

fn tell_as(
    recorded: &Recorded<Event>,
    user: UserId,
    notification: Value,
    kind: &'static str,
    about: &[(&'static str, Value)],
) -> Change {
    Change::Upsert { table: &NOTIFICATIONS, key: vec![id(user), notification], set: row(recorded, kind, about) }
}

fn row(recorded: &Recorded<Event>, kind: &'static str, about: &[(&'static str, Value)]) -> Set {
    let given = |name| about.iter().find(|(column, _)| *column == name).map_or(Value::Null, |(_, value)| value.clone());
    NOTIFICATIONS
        .columns
        .iter()
        .map(|column| {
            let value = match column.name {
                "position" => position(recorded),
                "kind" => kind.into(),
                "created_at" => recorded.envelope.recorded_at.into(),
                "read" => false.into(),
                name => given(name),
            };
            (column.name, value)
        })
        .collect()
}
