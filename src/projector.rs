//! Keeps the read models with the log: inline ones are built at start when their revision changed,
//! trailing ones are followed by one loop that serves catching up and live alike. Wake-ups carry no
//! position: a follower reads after its cursor until there is nothing more.

mod build;
mod check;
mod follower;
mod judge;
mod look;
mod memory;
mod pace;
mod rebuild;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use countersign_events::{
    codec::Codec,
    event::Event,
    recorded::{Position, Recorded, Timestamp},
};
use countersign_projections::{INLINE, Projection, TRAILING};
use tokio::sync::{mpsc, watch};

use crate::{
    keyring::Keyring,
    store::{Availability, Cursor, EventLog, LogWriter, Made, Parked, ReadModels, StoreError},
    world::World,
};

pub use check::{Checked, Difference, check};
pub use follower::{Follower, Mended};
pub use look::{Closeness, Seen, look_at_models};
pub use memory::{Budget, LEAST_MIB};
pub use pace::{Meter, Pace, Tell};
pub use rebuild::{Rebuilt, replay_in_memory};

/// The names of all trailing read models.
#[must_use]
pub fn every_model() -> Vec<&'static str> {
    TRAILING.iter().map(|projection| projection.name).collect()
}

/// How long one who would build an inline read model waits for others to stop writing before it looks again.
const AGAIN: Duration = Duration::from_millis(200);
/// So many events are read and applied at once.
const PAGE: u32 = 1_000;
/// How long a start waits for read models that lack a few events.
const AT_START: Duration = Duration::from_secs(2);

/// How a trailing read model does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What there is of it, and whether it is read.
    pub availability: Availability,
    /// How far it came.
    pub cursor: Cursor,
    /// What stopped it, while it is stopped.
    pub error: Option<String>,
    /// How many streams rest in it, because an event of theirs could not be applied.
    pub parked: usize,
    /// When it last moved, or was found to be at the end of the log.
    pub moved_at: Timestamp,
    /// How far a rebuild is, while there is one.
    pub rebuilding: Option<Pace>,
}

/// An event that was parked, or was found parked at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The read model.
    pub projection: &'static str,
    /// The event, with its error.
    pub parked: Parked,
}

/// The followers of the trailing read models.
pub struct Projector {
    followers: Vec<Arc<Follower>>,
}

/// What a follower needs.
#[derive(Clone)]
pub struct Sources {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The read models.
    pub models: Arc<dyn ReadModels>,
    /// The keys to personal fields.
    pub keyring: Arc<Keyring>,
    /// What can be read of the log.
    pub codec: Codec,
    /// For telling how long something has stood still.
    pub world: World,
    /// Whether this node moves the trailing read models, or watches another do it.
    pub moves: watch::Receiver<bool>,
    /// What all builds and checks of the process may hold in memory together.
    pub memory: Arc<Budget>,
}

impl Projector {
    /// Starts a follower for each trailing read model. They end when the sender of `woken` is gone. What is parked
    /// goes to `notices`, perhaps more than once.
    ///
    /// # Errors
    /// [`StoreError`] when a generation cannot be opened.
    pub async fn start(
        sources: &Sources,
        woken: &watch::Receiver<()>,
        notices: &mpsc::UnboundedSender<Notice>,
    ) -> Result<Self, StoreError> {
        let mut followers = vec![];
        for projection in TRAILING {
            followers.push(Follower::start(projection, sources, woken, notices).await?);
        }
        let projector = Self { followers };
        // What was committed right before a stop is there when the first reader comes.
        if *sources.moves.borrow() {
            projector.wait(sources.log.head().await?.into(), &every_model(), AT_START).await;
        }
        Ok(projector)
    }

    /// Has every follower look again at what is read: another node moved a pointer, or gave up what was parked.
    pub async fn look_again(&self) {
        for follower in &self.followers {
            follower.look_again().await;
        }
    }

    /// The follower of a trailing read model.
    #[must_use]
    pub fn follower(&self, name: &str) -> Option<&Arc<Follower>> {
        self.followers.iter().find(|follower| follower.projection().name == name)
    }

    /// How each does.
    #[must_use]
    pub fn progress(&self) -> Vec<(&'static str, Progress)> {
        self.followers.iter().map(|follower| (follower.projection().name, follower.progress())).collect()
    }

    /// Waits until each of these trailing read models has seen `wanted`, at most `patience`. Whether it has. One that is not
    /// read, or that other nodes move until this release has built its own, is not waited for.
    pub async fn wait(&self, wanted: Cursor, models: &[&str], patience: Duration) -> bool {
        let all_there = async {
            for follower in self.followers.iter().filter(|follower| models.contains(&follower.projection().name)) {
                let mut progress = follower.watch();
                let settled = |progress: &Progress| {
                    progress.cursor >= wanted
                        || !progress.availability.answers
                        || progress.availability.made == Made::Lent
                };
                let Ok(now) = progress.wait_for(settled).await else { return false };
                if now.availability.answers && now.cursor < wanted {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(patience, all_there).await.unwrap_or(false)
    }

    /// Waits until every trailing read model is read, or something stops it.
    pub async fn built(&self) {
        for follower in &self.followers {
            let is_built = |progress: &Progress| progress.availability.answers || progress.error.is_some();
            // The follower is here, and its sender with it.
            let _ = follower.watch().wait_for(is_built).await;
        }
    }
}

/// Builds every inline read model whose revision is not the one that is stored, without the rows that are dead by
/// the cut-off. Nothing is appended meanwhile: this runs before the writer starts.
///
/// # Errors
/// [`StoreError`] when the log cannot be read or a table not be written.
pub async fn build_inline(writer: &mut dyn LogWriter, log: &dyn EventLog, keyring: &Keyring) -> Result<(), StoreError> {
    for projection in INLINE {
        // Whoever waited may find that another has built it.
        while writer.inline_revision(projection.name).await? != Some(projection.revision) {
            if !writer.alone().await? {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            tracing::info!(projection = projection.name, revision = projection.revision, "building a read model");
            let built = build_one(writer, log, keyring, projection, &|_| {}).await;
            writer.together().await?;
            built?;
        }
    }
    Ok(())
}

/// Builds an inline read model anew, whatever is stored of it; as [`build_inline`], before the writer starts. An event
/// that cannot be applied fails it: nothing is parked here, a parked revocation would be a valid token.
///
/// # Errors
/// [`StoreError`] when an event cannot be read or a table not be written. The next start builds it again.
pub async fn rebuild_inline(
    writer: &mut dyn LogWriter,
    log: &dyn EventLog,
    keyring: &Keyring,
    world: &World,
    projection: &'static Projection,
    tell: Tell<'_>,
) -> Result<(), StoreError> {
    if !writer.alone().await? {
        let name = projection.name;
        return Err(StoreError::Unavailable(format!(
            "{name} changes with the log, which other nodes write: stop them first"
        )));
    }
    let meter = Meter::start(projection.name, world, Position(0), log.head().await?.position);
    let built = build_one(writer, log, keyring, projection, &|done| tell(meter.at(done, world))).await;
    writer.together().await?;
    built
}

async fn build_one(
    writer: &mut dyn LogWriter,
    log: &dyn EventLog,
    keyring: &Keyring,
    projection: &'static Projection,
    tell: &(dyn Fn(Position) + Send + Sync),
) -> Result<(), StoreError> {
    // Before anything is dropped: what is there may be the last good copy.
    read_all(log, keyring, projection).await?;
    writer.reset_inline(projection).await?;
    let mut after = Position(0);
    loop {
        let page = log.replay(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.envelope.position;
        let mut changes = vec![];
        for stored in &page {
            if projection.categories.contains(&stored.envelope.stream.category()) {
                let recorded: Recorded<Event> = keyring.read(stored).await?;
                changes.extend((projection.project)(&recorded));
            }
        }
        let head = writer.begin(&[]).await?.head;
        writer.apply(changes).await?;
        writer.commit(head).await?;
        tell(after);
    }
    for table in projection.tables {
        while !writer.purge(table, PAGE).await?.is_empty() {}
    }
    writer.set_inline_revision(projection.name, projection.revision).await
}

/// Reads every event that a read model is made of, and applies none.
async fn read_all(log: &dyn EventLog, keyring: &Keyring, projection: &'static Projection) -> Result<(), StoreError> {
    let mut after = Position(0);
    let kept = |error: StoreError| match error {
        StoreError::Corrupt { position, detail } => {
            let name = projection.name;
            let detail = format!(
                "{detail}. {name} was not built anew, and stays as it is: put the log right first; `countersign doctor \
                 --deep` says what is damaged"
            );
            StoreError::Corrupt { position, detail }
        }
        error => error,
    };
    let head = log.head().await?.position;
    while after < head {
        let page = log.replay(after, PAGE).await.map_err(kept)?;
        let Some(last) = page.last() else {
            let detail = format!("the log ends before event {head}, which its head names");
            return Err(kept(StoreError::Corrupt { position: after.next(), detail }));
        };
        after = last.envelope.position;
        for stored in page.iter().filter(|one| projection.categories.contains(&one.envelope.stream.category())) {
            keyring.read(stored).await.map_err(kept)?;
        }
    }
    Ok(())
}
