//! One sample of every stored type, as the log keeps it. The match in [`next`] is exhaustive without a
//! wildcard: a new variant does not compile until it has a sample. Compiled for tests only.

use crate::{
    account::{AccountEvent as A, Role, UsernameEvent as N},
    application::{ApplicationEvent as P, Asked, Decision},
    authorization::{AuthorizationEvent as Z, Ended, Via},
    event::Event,
    ids::UsernameDigest,
    inbox::{HeldSecret, InboxEvent as I, Topic},
    post::{Direction, PostEvent as B, VoteEvent as V},
    recorded::Position,
    redirect_uri::{Purpose, RedirectUri},
    site::{Difference, ExportFormat, ProjectionEvent as J, SiteEvent as S},
    spec::{
        application, at, comment, data_key, digest, message, post, scopes, sealed, secret, token_id, user, verifier,
    },
    token::{ClientId, TokenKind},
};

fn asked() -> Asked {
    Asked {
        purpose: Purpose::Web,
        name: "Reader “ä” 📚".to_owned(),
        description: "Reads aloud.\n\"Quoted\", \\ and tab\t.".to_owned(),
        website: Some("https://reader.example/".to_owned()),
        redirect_uris: ["https://reader.example/back?a=1", "http://127.0.0.1/back"]
            .map(|uri| RedirectUri::parse(uri, Purpose::Web).expect("a fixture holds"))
            .into(),
        scopes: scopes("read identity notifications"),
    }
}

fn decision() -> Decision {
    Decision { by: user(2), revision: 3, reason_code: "policy-1".to_owned(), reason: sealed("reason"), at: at(60) }
}

fn client(number: u8) -> ClientId {
    ClientId::from_random(&[number; 16])
}

/// Every sample, in the order of the stored types.
pub fn samples() -> Vec<Event> {
    std::iter::successors(Some(first()), next).collect()
}

fn first() -> Event {
    A::UserRegistered {
        user_id: user(1),
        username: sealed("username"),
        username_digest: UsernameDigest::new([0xab; 16]),
        verifier: verifier(1),
        data_key: data_key(1),
        at: at(0),
    }
    .into()
}

/// The sample after this one.
fn next(event: &Event) -> Option<Event> {
    Some(match event {
        Event::Account(event) => after_account(event),
        Event::Username(N::UsernameClaimed { .. }) => N::UsernameReleased { user_id: user(1) }.into(),
        Event::Username(N::UsernameReleased { .. }) => {
            P::ApplicationRequested { application_id: application(7), owner: user(1), asked: asked(), at: at(0) }.into()
        }
        Event::Application(event) => after_application(event),
        Event::Authorization(event) => after_authorization(event),
        Event::Inbox(event) => after_inbox(event),
        Event::Post(B::PostPublished { .. }) => B::CommentPosted {
            post_id: post(1),
            comment_id: comment(2),
            parent: Some(comment(1)),
            author: user(2),
            answers: user(3),
            mentions: vec![user(4), user(5)],
            body: sealed("body"),
            at: at(60),
        }
        .into(),
        Event::Post(B::CommentPosted { .. }) => V::VoteCast {
            post_id: post(1),
            user_id: user(2),
            direction: Direction::Down,
            previous: Direction::Up,
            at: at(60),
        }
        .into(),
        Event::Vote(V::VoteCast { .. }) => S::FirstAdministratorNamed { user_id: user(1), at: at(0) }.into(),
        Event::Site(event) => after_site(event),
        Event::Projection(event) => return after_projection(event),
    })
}

fn after_account(event: &A) -> Event {
    let (user_id, at) = (user(1), at(60));
    match event {
        A::UserRegistered { .. } => A::RoleGranted { user_id, role: Role::Reviewer, at }.into(),
        A::RoleGranted { .. } => A::RoleWithdrawn { user_id, role: Role::Admin, at }.into(),
        A::RoleWithdrawn { .. } => A::PasswordChanged { user_id, verifier: verifier(2), at }.into(),
        A::PasswordChanged { .. } => A::UserSuspended { user_id, at }.into(),
        A::UserSuspended { .. } => A::UserReinstated { user_id, at }.into(),
        A::UserReinstated { .. } => A::UserErased { user_id, at }.into(),
        A::UserErased { .. } => N::UsernameClaimed { user_id }.into(),
    }
}

fn after_application(event: &P) -> Event {
    let (application_id, by, at, revision) = (application(7), user(2), at(60), 3);
    match event {
        P::ApplicationRequested { .. } => P::ApplicationEdited { application_id, asked: asked(), revision, at },
        P::ApplicationEdited { .. } => P::ReviewClaimed { application_id, by, at },
        P::ReviewClaimed { .. } => P::ReviewReleased { application_id, by, at },
        P::ReviewReleased { .. } => P::ReviewSigned { application_id, decision: decision() },
        P::ReviewSigned { .. } => P::ChangesRequested { application_id, decision: decision() },
        P::ChangesRequested { .. } => P::ApplicationResubmitted { application_id, asked: asked(), revision, at },
        P::ApplicationResubmitted { .. } => {
            P::ApplicationApproved { application_id, client_id: client(1), decision: decision() }
        }
        P::ApplicationApproved { .. } => P::ApplicationDenied { application_id, decision: decision() },
        P::ApplicationDenied { .. } => {
            P::ApplicationAppealed { application_id, owner: user(1), text: sealed("text"), at }
        }
        P::ApplicationAppealed { .. } => P::ChangeProposed { application_id, asked: asked(), revision, at },
        P::ChangeProposed { .. } => P::ChangeApproved { application_id, asked: asked(), decision: decision() },
        P::ChangeApproved { .. } => P::ChangeDenied { application_id, decision: decision() },
        P::ChangeDenied { .. } => P::ChangeWithdrawn { application_id, revision, at },
        P::ChangeWithdrawn { .. } => P::ApplicationSuspended { application_id, decision: decision() },
        P::ApplicationSuspended { .. } => P::ApplicationReinstated { application_id, decision: decision() },
        P::ApplicationReinstated { .. } => P::ApplicationRevoked { application_id, decision: decision() },
        P::ApplicationRevoked { .. } => P::ApplicationWithdrawn { application_id, at },
        P::ApplicationWithdrawn { .. } => {
            P::ClientIdRotated { application_id, client_id: client(2), previous: client(1), at }
        }
        P::ClientIdRotated { .. } => {
            return Z::UserAuthorized {
                application_id,
                user_id: user(1),
                grant: 2,
                application_revision: revision,
                scopes: scopes("read vote"),
                via: Via::Consent,
                at,
            }
            .into();
        }
    }
    .into()
}

fn after_authorization(event: &Z) -> Event {
    let (application_id, user_id, at, expires_at) = (application(7), user(1), at(60), Some(at(31_536_000)));
    match event {
        Z::UserAuthorized { .. } => Z::AuthorizationDenied { application_id, user_id, at }.into(),
        Z::AuthorizationDenied { .. } => Z::TokenIssued {
            application_id,
            user_id,
            grant: 2,
            token_id: token_id(4),
            kind: TokenKind::Personal,
            digest: digest(0xcd),
            scopes: scopes("read vote"),
            expires_at,
            held: Some(secret(5)),
            at,
        }
        .into(),
        Z::TokenIssued { .. } => {
            let (token_id, digest, why) = (token_id(4), digest(0xcd), Ended::NeverRevealed);
            Z::TokenRevoked { application_id, user_id, token_id, digest, why, at }.into()
        }
        Z::TokenRevoked { .. } => Z::AuthorizationRescinded { application_id, user_id, at }.into(),
        Z::AuthorizationRescinded { .. } => I::PrivateMessageSent {
            message_id: message(6),
            to: user_id,
            from: Some(user(2)),
            topic: Topic::Decision { application_id },
            title: sealed("title"),
            body: sealed("body"),
            held: Some(HeldSecret {
                secret_id: secret(5),
                token_id: token_id(4),
                application_id,
                until: crate::spec::at(604_800),
            }),
            at,
        }
        .into(),
    }
}

fn after_inbox(event: &I) -> Event {
    let (user_id, message_id, secret_id, at) = (user(1), message(6), secret(5), at(60));
    match event {
        I::PrivateMessageSent { .. } => I::SecretRevealed { user_id, message_id, secret_id, at }.into(),
        I::SecretRevealed { .. } => I::SecretExpired { user_id, message_id, secret_id, at }.into(),
        I::SecretExpired { .. } => I::NotificationsRead { user_id, ids: vec![message(6).0, message(7).0], at }.into(),
        I::NotificationsRead { .. } => B::PostPublished {
            post_id: post(1),
            author: user_id,
            mentions: vec![user(4), user(5)],
            title: sealed("title"),
            url: Some(sealed("url")),
            body: sealed("body"),
            at,
        }
        .into(),
    }
}

fn after_site(event: &S) -> Event {
    let (at, before, long_before) = (at(60), at(30), at(20));
    match event {
        S::FirstAdministratorNamed { .. } => {
            let difference = |key: &str, from: Option<&str>, to: Option<&str>| Difference {
                key: key.to_owned(),
                from: from.map(str::to_owned),
                to: to.map(str::to_owned),
            };
            let differences = vec![difference("name", None, Some("Board")), difference("old", Some("1"), None)];
            S::ConfigurationChanged { differences, at }.into()
        }
        S::ConfigurationChanged { .. } => {
            let filters = vec!["type RoleGranted".to_owned(), format!("user {}", user(1))];
            let (by, from, to, format, rows) =
                (user(2), Position(1), Position(u64::MAX), ExportFormat::Csv, u64::MAX - 1);
            S::AuditExported { by, from, to, format, filters, rows, at }.into()
        }
        S::AuditExported { .. } => S::ClockAccepted { wall: at, judged: before, destroying: long_before, at }.into(),
        S::ClockAccepted { .. } => S::CutOffLowered { from: before, to: long_before, at }.into(),
        S::CutOffLowered { .. } => {
            J::ProjectionRebuilt { name: "inbox".to_owned(), generation: 2, through: Position(9), at }.into()
        }
    }
}

fn after_projection(event: &J) -> Option<Event> {
    let (name, position, at) = ("inbox".to_owned(), Position(9), at(60));
    Some(match event {
        J::ProjectionRebuilt { .. } => {
            J::EventParked { name, stream: "site".to_owned(), position, error: "no such table".to_owned(), at }.into()
        }
        J::EventParked { .. } => J::ParkedEventRetried { name, position, at }.into(),
        J::ParkedEventRetried { .. } => J::ParkedEventDiscarded { name, position, reason: sealed("reason"), at }.into(),
        J::ParkedEventDiscarded { .. } => return None,
    })
}
