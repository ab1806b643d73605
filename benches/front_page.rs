//! What the front page costs the server: the HTML page of a board of ten thousand posts, through the router in this
//! process, for whoever is signed out and for a member, and right after somebody has voted.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "shared/figures.rs"]
mod figures;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use countersign::{
    app::{App, Caller, Stores, accounts::Joining},
    config::{Config, Flags},
    secrets::RootKey,
    store::sqlite::{SqliteStore, vault::SqliteVault},
    web,
    world::World,
};
use countersign_events::{
    codec::CODEC,
    ids::{PostId, UserId},
    post::Direction,
    recorded::Actor,
};
use figures::{median, spread};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

const POSTS: usize = 10_000;
const VOTES: usize = 30_000;
const COMMENTS: usize = 5_000;
const MEMBERS: usize = 16;
/// Commands under way at once, while the board is made.
const AT_ONCE: usize = 64;
const RUNS: usize = 7;
/// Pages a run.
const PAGES: usize = 100;
const GOAL: f64 = 5.0;
/// About as much as people write.
const TEXT: &str =
    "A text as people write it, with a [link](https://example.org/) and some *stress*, of a line or two.\n\n";

struct Board {
    app: Arc<App>,
    router: Router,
    members: Vec<UserId>,
    posts: Vec<PostId>,
    session: String,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    // Below `target`, which lies on a disk; a temporary directory may be memory.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    runtime.block_on(async { Board::make(directory.path()).await.measure().await });
}

impl Board {
    async fn make(data_dir: &Path) -> Self {
        let config = Config::load(&Flags::default(), std::iter::empty()).expect("settings");
        let world = World::system();
        let store = SqliteStore::open(data_dir).await.expect("a store");
        let vault = SqliteVault::open(data_dir).await.expect("a vault");
        let root = RootKey::load_or_create(data_dir, false, None, world.random()).expect("a root key");
        let writer = Box::new(store.writer().expect("the writer"));
        let stores = Stores { log: store.clone(), writer, models: store, vault, codec: CODEC, shared: None };
        let app = App::start(config, world, &root, stores).await.expect("a start");
        let mut members = vec![];
        for number in 0..MEMBERS {
            let joining = Joining::new(&format!("member{number}"), "correct horse battery", None).expect("a name");
            members.push(app.create_account(&cli(), joining, &[]).await.expect("a member").answer);
        }
        let session = app.begin_session(members[0]).await.expect("a session").expose().to_owned();
        let router = web::router(app.clone());
        let mut board = Self { app, router, members, posts: vec![], session };
        board.fill().await;
        board
    }

    async fn fill(&mut self) {
        let author = |number: usize| self.members[number % MEMBERS];
        let publish = |number: usize| {
            let (app, author) = (self.app.clone(), author(number));
            async move {
                let (title, body) = (format!("Post {number}: a title of a few words"), TEXT.repeat(3));
                let url = if number.is_multiple_of(2) { "https://example.org/a/page" } else { "" };
                app.publish(&by(author), author, &title, url, &body).await.expect("published").answer
            }
        };
        self.posts = at_once(POSTS, publish).await;
        let post = |number: usize| self.posts[number * 7_919 % POSTS];
        at_once(COMMENTS, |number| {
            let (app, author, post) = (self.app.clone(), author(number), post(number));
            async move { app.comment(&by(author), author, post, None, TEXT).await.expect("commented").answer }
        })
        .await;
        at_once(VOTES, |number| {
            let (app, voter, post) = (self.app.clone(), author(number / POSTS * 5 + number), post(number));
            let direction = if number.is_multiple_of(5) { Direction::Down } else { Direction::Up };
            async move { app.vote(&by(voter), voter, post, direction).await.expect("voted").answer }
        })
        .await;
        let head = self.app.head().await.expect("a head");
        while !self.app.wait_for(head).await {}
    }

    async fn measure(&self) {
        println!("{POSTS} posts, {RUNS} runs of {PAGES} pages; median of the runs' medians (least to most)");
        for (what, path, signed_in, after_vote) in [
            ("signed out", "/", false, false),
            ("signed out, top of all time", "/?sort=top", false, false),
            ("signed in", "/", true, false),
            ("signed out, right after a vote", "/", false, true),
            ("signed in, right after a vote", "/", true, true),
        ] {
            let (mut medians, mut bytes) = (vec![], 0);
            for run in 0..=RUNS {
                let mut times = vec![];
                for page in 0..PAGES {
                    if after_vote {
                        self.vote(run * PAGES + page).await;
                    }
                    let (took, length) = self.page(path, signed_in).await;
                    times.push(took.as_secs_f64() * 1e3);
                    bytes = length;
                }
                // The first run only warms up.
                if run > 0 {
                    medians.push(median(&times));
                }
            }
            println!("{what:32} {} ms; goal {GOAL}; {bytes} bytes on the wire", spread(&medians, 2));
        }
    }

    /// A vote that is shown: the next page is in another order.
    async fn vote(&self, number: usize) {
        let voter = self.members[1];
        let direction = if number.is_multiple_of(2) { Direction::Up } else { Direction::Down };
        let post = self.posts[number / 2 % POSTS];
        let done = self.app.vote(&by(voter), voter, post, direction).await.expect("voted");
        assert!(self.app.wait_for(done.cursor).await, "the read model follows");
    }

    async fn page(&self, path: &str, signed_in: bool) -> (Duration, usize) {
        let mut request =
            Request::get(path).header(header::ACCEPT, "text/html").header(header::ACCEPT_ENCODING, "gzip");
        if signed_in {
            request = request.header(header::COOKIE, format!("session={}", self.session));
        }
        let request = request.body(Body::empty()).expect("a request");
        let begin = Instant::now();
        let answer = self.router.clone().oneshot(request).await.expect("a router answers");
        assert_eq!(answer.status(), StatusCode::OK);
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (begin.elapsed(), body.len())
    }
}

/// Does something so many times, some of it at once; the answers in order.
async fn at_once<T, Fut>(times: usize, make: impl Fn(usize) -> Fut) -> Vec<T>
where
    T: Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let mut answers = Vec::with_capacity(times);
    for begin in (0..times).step_by(AT_ONCE) {
        let tasks: Vec<_> = (begin..times.min(begin + AT_ONCE)).map(|number| tokio::spawn(make(number))).collect();
        for task in tasks {
            answers.push(task.await.expect("it is done"));
        }
    }
    answers
}

fn cli() -> Caller {
    Caller { actor: Actor::Cli("bench".to_owned()), ..Caller::system() }
}

fn by(user: UserId) -> Caller {
    Caller { actor: Actor::User(user), ..Caller::system() }
}
