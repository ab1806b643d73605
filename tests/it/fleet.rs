//! Nodes of one site over one database: the real program, each with a way of its own to the server, which tests cut.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use countersign::{
    app::{App, Caller, Stores, accounts::Joining},
    config::{Config, Flags},
    secrets::RootKey,
    store::{
        postgres::{PostgresStore, PostgresVault},
        shared::Shared,
    },
    world::World,
};
use countersign_events::{
    account::Role,
    codec::CODEC,
    ids::{TokenId, UserId},
    recorded::Actor,
};

use crate::{
    cuts::Cuts,
    postgres_server::TestDatabase,
    running_site::{PASSWORD, RunningSite, try_answer},
    support::ROOT_KEY,
};

/// No node takes longer to be well again, also on a machine that builds at the same time.
pub const PATIENCE: Duration = Duration::from_mins(2);

const SETTINGS: [(&str, &str); 3] =
    [("LIMITS_API_PER_MINUTE", "1000000"), ("LIMITS_OPEN_REQUESTS", "1000"), ("LOG", "warn")];

/// One node.
pub struct Node {
    pub site: RunningSite,
    pub cuts: Cuts,
    /// Where it is now: each start is on another port.
    pub url: Place,
}

/// An address that changes.
#[derive(Clone)]
pub struct Place(Arc<Mutex<String>>);

impl Place {
    pub fn at(url: &str) -> Self {
        Self(Arc::new(Mutex::new(url.to_owned())))
    }

    pub fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, url: &str) {
        url.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The real program over these servers.
pub fn start_site(urls: &str) -> RunningSite {
    RunningSite::node(urls, &SETTINGS)
}

impl Node {
    pub fn start(database: &TestDatabase) -> Self {
        let cuts = Cuts::before(&database.url);
        let site = start_site(&cuts.url(&database.url));
        let url = Place::at(site.url());
        Self { site, cuts, url }
    }

    /// Starts it again after a kill, as often as it takes.
    pub fn start_again(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(told) = self.site.try_restart() {
            assert!(Instant::now() < deadline, "it does not start again: {told}");
        }
        self.url.set(self.site.url());
    }
}

/// Whether a node says that it is ready.
pub async fn is_ready(http: &reqwest::Client, url: &Place) -> bool {
    let answer = try_answer(http.get(format!("{}/readyz", url.get())).timeout(Duration::from_secs(5))).await;
    answer.is_ok_and(|answer| answer.status == StatusCode::OK)
}

/// Waits until it says so.
pub async fn until_ready(http: &reqwest::Client, url: &Place) {
    let deadline = Instant::now() + PATIENCE;
    while !is_ready(http, url).await {
        assert!(Instant::now() < deadline, "{} is not ready again", url.get());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A node in this process, for founding what a test needs in a hurry. It has to be stopped before others are judged.
pub async fn node_in_this_process(urls: &str) -> Arc<App> {
    let settings = SETTINGS.iter().filter(|(key, _)| *key != "LOG");
    let variables = settings.map(|(key, value)| (format!("COUNTERSIGN_{key}"), (*value).to_owned()));
    let config = Config::load(&Flags::default(), variables).expect("good settings");
    let world = World::system();
    let nowhere = Path::new("/nowhere");
    let root = RootKey::load_or_create(nowhere, true, Some(ROOT_KEY), world.random()).expect("a root key");
    let store = PostgresStore::open(urls).await.expect("a store");
    let vault = PostgresVault::open(urls).await.expect("a vault");
    let writer = Box::new(store.writer().expect("the writer"));
    let shared = Some(store.clone() as Arc<dyn Shared>);
    let stores = Stores { log: store.clone(), writer, models: store, vault, codec: CODEC, shared };
    App::start(config, world, &root, stores).await.expect("a start")
}

/// A member with the password of every member, and roles.
pub async fn given_member(app: &App, name: &str, roles: &[Role]) -> UserId {
    let joining = Joining::new(name, PASSWORD, None).expect("a good name");
    let caller = Caller { actor: Actor::Cli("test".to_owned()), ..Caller::system() };
    app.create_account(&caller, joining, roles).await.expect("a free name").answer
}

/// A token of a member, with its id.
pub async fn given_token(app: &App, user: UserId, scopes: &str) -> (TokenId, String) {
    let scopes = scopes.parse().expect("scopes");
    app.issue_token(&Caller::system(), user, scopes, None).await.expect("it can be issued").answer
}
