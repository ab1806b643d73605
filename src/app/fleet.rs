//! A node among others over one log. Its token state follows the log; a check counts only while the node can prove that
//! what it knows is recent: a revocation on one node is honoured by the others within a second at the latest, whatever
//! is frozen or cut in between. One node at a time, by a lease, moves the trailing read models and keeps house. A site
//! on one machine has none of this: its only writer feeds its token state before it answers.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use countersign_events::{
    account::AccountEvent,
    event::Event,
    recorded::{Position, Recorded, Timestamp},
    site::SiteEvent,
};
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use super::{App, AppError, READ_YOUR_WRITES, ranking::Board};
use crate::{
    keyring::Keyring,
    store::{
        EventLog, ReadModels, StoreError,
        shared::{Shared, Woken},
    },
    token_state::TokenState,
    world::{Stopwatch, World},
    writer::AfterCommit,
};

/// A check counts on what the node knew within this time.
const FRESH: Duration = Duration::from_millis(500);
/// From this age on a check has a new proof made, and waits for none.
const RENEW: Duration = Duration::from_millis(250);
/// So long a check waits for a proof.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many events are read at once.
const PAGE: u32 = 1_000;
/// The lease of the node that moves the trailing read models.
const LEASE: &str = "trailing";
/// How long it lasts, how often it is renewed, and how often others try for it.
const LEASE_LASTS: Duration = Duration::from_secs(7);
const LEASE_RENEWED: Duration = Duration::from_secs(3);
/// The first pause after the server could not be heard; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Feeds what this process knows of the log to those who want it in order: the token state before all.
pub(super) struct Feed {
    pub(super) state: Arc<TokenState>,
    pub(super) board: Arc<Board>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) models: Arc<dyn ReadModels>,
    pub(super) world: World,
    /// Through which position it is fed.
    pub(super) fed: Mutex<Position>,
    pub(super) told: watch::Sender<Position>,
}

impl Feed {
    fn one(&self, recorded: &Recorded<Event>) {
        self.state.apply(recorded);
        self.board.note(recorded);
        if let Event::Account(AccountEvent::UserErased { user_id, .. }) = &recorded.event
            && let Some(member) = self.state.member(*user_id)
        {
            self.keyring.forget(*user_id, member.data_key);
        }
        if let Event::Site(SiteEvent::ClockAccepted { wall, .. }) = &recorded.event {
            self.world.accept_at(*wall);
        }
    }

    /// Feeds what was committed right here; what others committed before it comes first, from the log.
    pub(super) async fn committed(&self, recorded: &[Recorded<Event>]) -> Result<(), StoreError> {
        let Some(first) = recorded.first() else { return Ok(()) };
        let mut fed = self.fed.lock().await;
        if fed.next() < first.envelope.position {
            self.read(&mut fed, Position(first.envelope.position.0 - 1)).await?;
        }
        // What was read of the log meanwhile may be among it.
        let known = *fed;
        for recorded in recorded.iter().filter(|recorded| recorded.envelope.position > known) {
            self.one(recorded);
        }
        *fed = recorded.last().map_or(*fed, |last| last.envelope.position.max(*fed));
        self.told.send_replace(*fed);
        Ok(())
    }

    /// Feeds what the log has, at least through a position.
    pub(super) async fn catch_up(&self, through: Position) -> Result<(), StoreError> {
        let mut fed = self.fed.lock().await;
        self.read(&mut fed, through).await
    }

    async fn read(&self, fed: &mut Position, through: Position) -> Result<(), StoreError> {
        while *fed < through {
            let page = self.log.read_log(*fed, PAGE).await?;
            if page.is_empty() {
                let detail = "the log ends before what was committed to it".to_owned();
                return Err(StoreError::Corrupt { position: through, detail });
            }
            for stored in &page {
                match self.keyring.read(stored).await {
                    Ok(recorded) => self.one(&recorded),
                    // A later release wrote it, and keeps the inline read models. Stopping here would hold back every
                    // revocation behind it.
                    Err(error @ StoreError::Corrupt { .. }) => {
                        tracing::warn!(%error, "this release cannot read an event; what came of it is read instead");
                        self.state.fill(self.models.as_ref()).await?;
                    }
                    // Told where it was found. The rest of the event counts: it may be a revocation.
                    Err(StoreError::VaultLacks { .. }) => {
                        self.one(&self.keyring.read_where(stored, |_| false).await?);
                    }
                    Err(error) => return Err(error),
                }
                *fed = stored.envelope.position;
            }
            self.told.send_replace(*fed);
        }
        Ok(())
    }
}

/// What happens after each commit of this process, before anybody is answered.
pub(super) fn after_commit(feed: Arc<Feed>, fleet: Option<Arc<Fleet>>, wake: watch::Sender<()>) -> AfterCommit {
    Arc::new(move |recorded| {
        let (feed, fleet, wake) = (feed.clone(), fleet.clone(), wake.clone());
        Box::pin(async move {
            if let Err(error) = feed.committed(&recorded).await {
                // It is committed all the same, and whoever sent it is told so.
                tracing::warn!(%error, "what was committed is not known here yet");
                if let Some(fleet) = fleet {
                    fleet.distrust();
                }
            }
            wake.send_replace(());
        })
    })
}

/// What a node does to be one of many.
pub struct Fleet {
    shared: Arc<dyn Shared>,
    pub(super) feed: Arc<Feed>,
    id: Uuid,
    since: Stopwatch,
    /// When the newest proof was asked for, in microseconds since the start; 0 when there is none.
    proved: AtomicU64,
    /// When asking last failed, likewise.
    failed: AtomicU64,
    proving: Mutex<()>,
    renewing: AtomicBool,
    /// Whether this node holds the lease.
    pub(super) moves: watch::Sender<bool>,
    /// Whether it will take it no more. Held while it is asked for.
    leaving: Mutex<bool>,
}

impl Fleet {
    pub(super) fn new(shared: Arc<dyn Shared>, feed: Arc<Feed>, id: Uuid, moves: watch::Sender<bool>) -> Self {
        Self {
            shared,
            feed,
            id,
            since: Stopwatch::start(),
            proved: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            proving: Mutex::default(),
            renewing: AtomicBool::default(),
            moves,
            leaving: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }

    fn age(&self) -> Duration {
        match self.proved.load(Ordering::Acquire) {
            0 => Duration::MAX,
            proved => Duration::from_micros(self.now().saturating_sub(proved)),
        }
    }

    /// Whether the last that was tried was proved.
    pub(super) fn is_well(&self) -> bool {
        self.proved.load(Ordering::Acquire) >= self.failed.load(Ordering::Acquire)
    }

    /// Returns once this node may vouch for what it knows.
    async fn vouch(self: &Arc<Self>) -> Result<(), StoreError> {
        let age = self.age();
        if age <= RENEW {
            return Ok(());
        }
        if age <= FRESH {
            if !self.renewing.swap(true, Ordering::AcqRel) {
                let fleet = self.clone();
                tokio::spawn(async move {
                    // Whoever comes after the time is up asks again, and hears why there is no proof.
                    let _ = fleet.prove(fleet.now()).await;
                    fleet.renewing.store(false, Ordering::Release);
                });
            }
            return Ok(());
        }
        let long_enough = u64::try_from(FRESH.as_micros()).unwrap_or_default();
        self.prove(self.now().saturating_sub(long_enough)).await
    }

    /// Knows everything that was committed before this was called.
    pub(super) async fn catch_up(&self) -> Result<(), StoreError> {
        self.prove(self.now()).await
    }

    /// Has a proof that was asked for at `wanted` or later. Those who wait share one.
    async fn prove(&self, wanted: u64) -> Result<(), StoreError> {
        let came = self.now();
        let late = || StoreError::Unavailable("this node cannot prove that what it knows is recent".to_owned());
        let proof = async {
            let _turn = self.proving.lock().await;
            if self.proved.load(Ordering::Acquire) >= wanted.max(1) {
                return Ok(());
            }
            // One who was before failed while this one waited: so would this one.
            if self.failed.load(Ordering::Acquire) > came {
                return Err(late());
            }
            let asked = self.now();
            let proof = self.shared.prove().await?;
            self.feed.world.hear(proof.now);
            self.feed.catch_up(proof.head.position).await?;
            self.proved.store(asked, Ordering::Release);
            Ok(())
        };
        let proved = tokio::time::timeout(PATIENCE, proof).await.unwrap_or_else(|_| Err(late()));
        if let Err(error) = &proved {
            self.failed.store(self.now(), Ordering::Release);
            tracing::debug!(%error, "no proof");
        }
        proved
    }

    /// Removes generations that nothing has pointed at since an earlier look; what is left over now.
    pub(super) async fn remove_left_over(
        &self,
        seen: &[String],
        followed_since: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        self.shared.remove_left_over(seen, followed_since).await
    }

    /// What this node committed could not be fed: nothing it knows counts until it has caught up.
    pub(super) fn distrust(&self) {
        self.proved.store(0, Ordering::Release);
    }

    /// Takes the lease or makes it last; whether anything is different afterwards.
    async fn try_for_the_lease(&self) -> bool {
        let leaving = self.leaving.lock().await;
        if *leaving {
            return false;
        }
        let had = *self.moves.borrow();
        let holds = match self.shared.lease(LEASE, self.id, LEASE_LASTS).await {
            Ok(holds) => holds,
            Err(error) => {
                tracing::debug!(%error, "the lease cannot be asked for");
                false
            }
        };
        if holds != had {
            tracing::info!(holds, "this node {} the trailing read models", if holds { "moves" } else { "watches" });
            self.moves.send_replace(holds);
        }
        holds != had
    }
}

impl App {
    /// Returns once what this node knows of tokens, members and applications is recent enough to decide by. On one
    /// machine it always is.
    ///
    /// # Errors
    /// [`AppError::Store`] when the node cannot prove it.
    pub async fn vouch(&self) -> Result<(), AppError> {
        match &self.fleet {
            None => Ok(()),
            Some(fleet) => Ok(fleet.vouch().await?),
        }
    }

    /// Whether this node can prove what it knows, as far as it was asked to. After a failure it is asked here: nobody
    /// sends requests to a node that is not ready, so nobody else would find out that it is well again.
    pub async fn vouches(&self) -> bool {
        match &self.fleet {
            None => true,
            Some(fleet) => fleet.is_well() || fleet.catch_up().await.is_ok(),
        }
    }

    /// What is not known here may have been committed elsewhere a moment ago: afterwards it is known.
    ///
    /// # Errors
    /// [`AppError::Store`] when the log does not answer.
    pub(super) async fn look_closer(&self) -> Result<(), AppError> {
        match &self.fleet {
            None => Ok(()),
            Some(fleet) => Ok(fleet.catch_up().await?),
        }
    }

    pub(super) const fn is_one_of_many(&self) -> bool {
        self.fleet.is_some()
    }

    /// Waits until this node knows what was committed through a position, at most as long as a read waits.
    pub(super) async fn wait_until_fed(&self, position: Position) -> bool {
        let Some(fleet) = &self.fleet else { return true };
        let mut told = fleet.feed.told.subscribe();
        let fed = told.wait_for(|fed| *fed >= position);
        matches!(tokio::time::timeout(READ_YOUR_WRITES, fed).await, Ok(Ok(_)))
    }

    /// Whether this node does what one node does for all.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.fleet.as_ref().is_none_or(|fleet| *fleet.moves.borrow())
    }

    /// Takes part in the fleet until the app goes: hears of commits, and tries for the lease.
    pub(super) fn join_fleet(self: &Arc<Self>) {
        if let Some(fleet) = &self.fleet {
            tokio::spawn(listen(fleet.clone(), Arc::downgrade(self)));
            tokio::spawn(lead(fleet.clone(), Arc::downgrade(self)));
        }
    }

    /// Has the followers look whether there is something to do.
    fn wake(&self) {
        self.woken.send_replace(());
    }

    /// Lets another node lead.
    pub(super) async fn leave_fleet(&self) {
        let Some(fleet) = &self.fleet else { return };
        let released = async {
            *fleet.leaving.lock().await = true;
            if fleet.moves.send_replace(false) {
                fleet.shared.release(LEASE, fleet.id).await?;
            }
            Ok::<_, StoreError>(())
        };
        if !matches!(tokio::time::timeout(PATIENCE, released).await, Ok(Ok(()))) {
            tracing::warn!("the lease was not given back; it ends by itself");
        }
    }
}

async fn lead(fleet: Arc<Fleet>, app: Weak<App>) {
    loop {
        let changed = fleet.try_for_the_lease().await;
        let Some(app) = app.upgrade() else { return };
        // Otherwise whoever follows is woken by what happens, and by nothing when nothing does.
        if changed {
            app.wake();
        }
        drop(app);
        tokio::time::sleep(LEASE_RENEWED).await;
    }
}

async fn listen(fleet: Arc<Fleet>, app: Weak<App>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let heard = async {
            let woken = fleet.shared.woken().await?;
            match woken {
                Woken::Committed => {
                    let head = fleet.feed.log.head().await?;
                    fleet.feed.catch_up(head.position).await?;
                }
                Woken::Followed => {}
                Woken::Switched | Woken::Anew => {
                    fleet.shared.look_for_switches().await?;
                    fleet.catch_up().await?;
                }
            }
            Ok::<_, StoreError>(woken)
        };
        let heard = heard.await;
        let Some(app) = app.upgrade() else { return };
        match heard {
            Ok(woken) => {
                pause = FIRST_PAUSE;
                if matches!(woken, Woken::Switched | Woken::Anew) {
                    app.projector.look_again().await;
                }
                app.wake();
            }
            Err(error) => {
                tracing::warn!(%error, "this node does not hear of commits");
                drop(app);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
