//! Commands for the writer, real ones: sealed and encoded by their callers as `app` does it. Votes are one event;
//! authorizations two events, a guard and a named command.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use countersign::{
    keyring::Keyring,
    store::CommandKey,
    token_state::TokenState,
    world::World,
    writer::{Append, Appended, Command, NewEvent, Writer},
};
use countersign_events::{
    authorization::{AuthorizationEvent, Via},
    codec,
    event::Event,
    ids::{ApplicationId, DataKeyId, EventId, PostId, TokenId, UserId},
    post::{Direction, VoteEvent},
    recorded::{Actor, StreamName, Version},
    scope::ScopeSet,
    token::{TokenDigest, TokenKind},
};

/// How long one measure takes.
pub const SPAN: Duration = Duration::from_millis(800);

/// What callers do.
#[derive(Clone, Copy, PartialEq)]
pub enum Workload {
    Votes,
    Authorizations,
}

/// What callers share.
pub struct Site {
    pub writer: Writer,
    pub world: World,
    pub keyring: Keyring,
    pub state: TokenState,
    pub data_key: DataKeyId,
    pub application: ApplicationId,
}

/// Commands a second of so many callers, each of which sends its next when the last is answered.
pub async fn run(site: &Arc<Site>, workload: Workload, callers: usize) -> f64 {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let site = site.clone();
            tokio::spawn(async move {
                let mut done = 0_u32;
                while begin.elapsed() < SPAN {
                    let append = match workload {
                        Workload::Votes => site.vote().await,
                        Workload::Authorizations => site.authorization().await,
                    };
                    let appended = site.writer.append(append).await.expect("nobody competes");
                    assert!(matches!(appended, Appended::New { .. }));
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.expect("a caller");
    }
    f64::from(done) / begin.elapsed().as_secs_f64()
}

impl Site {
    pub async fn vote(&self) -> Append {
        let (post_id, user_id) = (PostId(self.world.uuid()), UserId(self.world.uuid()));
        let (direction, previous, at) = (Direction::Up, Direction::None, self.world.now());
        let event = VoteEvent::VoteCast { post_id, user_id, direction, previous, at };
        let stream = StreamName::Vote(post_id, user_id);
        let event = self.prepare(stream.clone(), user_id, event.into()).await;
        Append { events: vec![event], expected: vec![(stream, Version(0))], command: None }
    }

    pub async fn authorization(&self) -> Append {
        let (application_id, user_id) = (self.application, UserId(self.world.uuid()));
        let (grant, scopes, at) = (1, ScopeSet::default_requested(), self.world.now());
        let (via, application_revision) = (Via::Consent, 1);
        let granted = AuthorizationEvent::UserAuthorized {
            application_id,
            user_id,
            grant,
            application_revision,
            scopes,
            via,
            at,
        };
        let issued = AuthorizationEvent::TokenIssued {
            application_id,
            user_id,
            grant,
            token_id: TokenId(self.world.uuid()),
            kind: TokenKind::Access,
            digest: TokenDigest::from_bytes(self.world.random()),
            scopes,
            expires_at: None,
            held: None,
            at,
        };
        let stream = StreamName::Authorization(application_id, user_id);
        let mut events = vec![];
        for event in [granted, issued] {
            events.push(self.prepare(stream.clone(), user_id, event.into()).await);
        }
        let expected = vec![(stream, Version(0)), (StreamName::Application(application_id), Version(0))];
        let key = CommandKey { scope: format!("user:{user_id} authorize"), id: self.world.uuid().to_string() };
        Append { events, expected, command: Some(Command { key, body: [1; 32], answer: "null".to_owned() }) }
    }

    /// As `app` does it for every command.
    async fn prepare(&self, stream: StreamName, user: UserId, clear: Event) -> NewEvent {
        let event_id = EventId(self.world.uuid());
        let mut sealed = clear.clone();
        self.keyring.seal(&mut sealed, event_id, &self.state, None).await.expect("sealed");
        let address = self.keyring.seal_address("203.0.113.7", user, event_id, &self.state, Some(self.data_key)).await;
        NewEvent {
            event_id,
            stream,
            clear,
            encoded: codec::encode(&sealed).expect("encoded"),
            actor: Actor::User(user),
            on_behalf_of: None,
            client_address: Some(address.expect("sealed")),
            request_id: Some(self.world.uuid().to_string()),
            command_id: None,
        }
    }
}
