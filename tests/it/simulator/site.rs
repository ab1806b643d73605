//! A site that is started, stopped, dropped and damaged between its lives. Each life has a runtime of one thread, so that
//! nothing of it outlives it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::Duration;
use countersign::{
    app::App,
    parts::{self, Places},
    secrets::RootKey,
    store::sqlite::parts::look,
};
use countersign_events::{codec::CODEC, recorded::Timestamp};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

use super::oracle::{HELD_DAYS, KEPT_DAYS, OPEN_REQUESTS, TOKEN_DAYS};
use crate::{
    databases::Database,
    support::{self, Home, TestApp, TestClock},
};

/// So many draws of randomness are left to each life.
const DRAWS_A_LIFE: u64 = 1 << 32;

pub struct Site {
    pub home: Home,
    pub clock: Arc<TestClock>,
    settings: Vec<(&'static str, String)>,
    lives: u64,
    /// What time it is, whatever the wall clock says.
    now: Timestamp,
    /// Since when neither start nor clock troubled it.
    pub steady_since: Timestamp,
    life: Option<(Runtime, Arc<App>)>,
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

impl Site {
    pub fn begin(two_sign: bool) -> Self {
        let settings = vec![
            ("KEEP_ENDED_DAYS", KEPT_DAYS.to_string()),
            ("TOKEN_LIFETIME_DAYS", TOKEN_DAYS.to_string()),
            ("HELD_SECRET_DAYS", HELD_DAYS.to_string()),
            ("TWO_PERSON_RULE", two_sign.to_string()),
            ("LIMITS_OPEN_REQUESTS", OPEN_REQUESTS.to_string()),
            // By the machine's clock, which nothing here may depend on.
            ("LIMITS_LOGIN_PER_MINUTE", "1000000".to_owned()),
            ("LIMITS_MESSAGES_PER_HOUR", "1000000".to_owned()),
        ];
        let runtime = runtime();
        let given: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let TestApp { app, clock, home } = runtime.block_on(TestApp::start_in(Database::Sqlite, &given));
        let now = app.now();
        Self { home, clock, settings, lives: 1, now, steady_since: now, life: Some((runtime, app)) }
    }

    pub fn app(&self) -> &Arc<App> {
        &self.life.as_ref().expect("it runs").1
    }

    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Does something with the app on its runtime, to the end.
    pub fn does<T>(&self, work: impl AsyncFnOnce(&Arc<App>) -> T) -> T {
        let (runtime, app) = self.life.as_ref().expect("it runs");
        runtime.block_on(work(app))
    }

    /// Stops it as an operator does.
    pub fn stop(&mut self) {
        let (runtime, app) = self.life.take().expect("it runs");
        runtime.block_on(app.stop());
        drop(runtime);
        self.wait_for_files();
    }

    /// Drops it in the middle of whatever it does.
    pub fn crash(&mut self) {
        let (runtime, app) = self.life.take().expect("it runs");
        runtime.block_on(async move { drop(app) });
        drop(runtime);
        self.wait_for_files();
    }

    /// Until the threads of its connections have closed them.
    fn wait_for_files(&self) {
        let directory = self.home.data_dir();
        let is_open = || {
            let files = std::fs::read_dir("/proc/self/fd").expect("the files of this process").flatten();
            files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|file| file.starts_with(&directory))
        };
        for _ in 0..10_000_000_u32 {
            if !is_open() {
                return;
            }
            std::thread::yield_now();
        }
        panic!("the files of a stopped site stay open");
    }

    /// Starts it again, if it can be.
    pub fn start(&mut self) -> Result<(), String> {
        let runtime = runtime();
        let given: Vec<_> = self.settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let seed = self.lives * DRAWS_A_LIFE;
        self.lives += 1;
        let opening = || {
            runtime.block_on(async {
                let app = support::open(&self.home, self.clock.clone(), &given, seed, CODEC).await;
                app.built().await;
                app
            })
        };
        match catch_unwind(AssertUnwindSafe(opening)) {
            Ok(app) => {
                self.life = Some((runtime, app));
                self.steady_since = self.now;
                Ok(())
            }
            Err(panic) => {
                drop(runtime);
                self.wait_for_files();
                let said = panic.downcast_ref::<String>().cloned();
                Err(said.unwrap_or_else(|| "it does not say why".to_owned()))
            }
        }
    }

    /// Time passes.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
        self.clock.advance(by);
    }

    /// The wall clock jumps, and no time passes.
    pub fn jump(&mut self, by: Duration) {
        self.clock.step(by);
        self.steady_since = self.now;
        // A site that runs looks at its clock each minute.
        if let Some((_, app)) = &self.life {
            let _ = app.world.judgement();
        }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.home.data_dir().join(name)
    }

    /// The files of the trailing read models.
    pub fn models(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.file("models")).expect("a directory").flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        files.sort();
        files
    }
}

/// A part of a site that lies in files of its own.
#[derive(Debug, Clone, Copy)]
pub struct PartOfSite {
    /// As a refusal names it.
    pub name: &'static str,
    file: &'static str,
}

pub const PARTS: [PartOfSite; 3] = [
    PartOfSite { name: "log", file: "site/log.db" },
    PartOfSite { name: "vault", file: "site/vault.db" },
    PartOfSite { name: "root key", file: "site.key" },
];

/// What is between two lives.
impl Site {
    /// A copy of everything.
    pub fn kept(&self) -> TempDir {
        let kept = tempfile::tempdir().expect("a directory");
        copy(self.home.directory.path(), kept.path());
        kept
    }

    /// Everything of another site.
    pub fn another(&self) -> TempDir {
        let (home, runtime) = (Home::on_this_machine(), runtime());
        runtime.block_on(async {
            support::open(&home, self.clock.clone(), &[], u64::MAX / 2, CODEC).await.stop().await;
        });
        home.directory
    }

    /// Puts another one in the place of a part, or nothing.
    pub fn replace(&self, part: PartOfSite, by: Option<&TempDir>) {
        for end in ["", "-wal", "-shm"] {
            let name = format!("{}{end}", part.file);
            let path = self.home.directory.path().join(&name);
            let other = by.map(|other| other.path().join(&name)).filter(|other| other.exists());
            if path.exists() {
                std::fs::remove_file(&path).expect("it goes");
            }
            if let Some(other) = other {
                std::fs::copy(other, path).expect("a copy");
            }
        }
    }

    /// Puts back what was kept, and nothing else.
    pub fn put_back(&self, kept: &TempDir) {
        std::fs::remove_dir_all(self.home.data_dir()).expect("it goes");
        copy(kept.path(), self.home.directory.path());
    }

    /// The parts that a start would refuse.
    pub fn refused(&self) -> Vec<&'static str> {
        let directory = self.home.data_dir();
        // Without its key, data is refused before anything else is looked at.
        let Ok(Some(root)) = RootKey::find(&directory, None) else { return vec!["root key"] };
        let parts = runtime().block_on(look(&directory, true));
        let name = |part: &PartOfSite| part.file.to_owned();
        let places = Places { log: name(&PARTS[0]), vault: name(&PARTS[1]), key: name(&PARTS[2]) };
        self.wait_for_files();
        parts::faults(&parts, &places, Some(&root)).into_iter().map(|fault| fault.part).collect()
    }
}

/// While it lives, no file of this process takes a byte.
pub struct FullDisk(Rlimit);

impl Drop for FullDisk {
    fn drop(&mut self) {
        setrlimit(Resource::Fsize, self.0).expect("the limit of before");
    }
}

impl Site {
    pub fn fill_disk(&self) -> FullDisk {
        // Unheard, the signal that comes with a refused write would end the process.
        drop(self.does(async |_| signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).expect("a handler")));
        let before = getrlimit(Resource::Fsize);
        let nothing = Rlimit { current: Some(0), ..before };
        setrlimit(Resource::Fsize, nothing).expect("a limit");
        FullDisk(before)
    }
}

/// Copies a directory with what is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a copy");
        }
    }
}
