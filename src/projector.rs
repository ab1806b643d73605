//! Keeps the read models with the log: inline ones are built at start when their revision changed,
//! trailing ones are followed by one loop that serves catching up and live alike. Wake-ups carry no
//! position: a follower reads after its cursor until there is nothing more.

use std::{sync::Arc, time::Duration};

use countersign_events::{event::Event, recorded::Recorded};
use countersign_projections::{INLINE, Projection, TRAILING};
use tokio::sync::watch;

use crate::{
    keyring::Keyring,
    store::{Cursor, EventLog, Generation, LogWriter, ReadModels, StoreError},
    telemetry::SPANS,
};

/// So many events are read and applied at once.
const PAGE: u32 = 1_000;
/// The first pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a trailing read model does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// How far it came.
    pub cursor: Cursor,
    /// What stopped it, while it is stopped.
    pub error: Option<String>,
}

/// The followers of the trailing read models.
pub struct Projector {
    followers: Vec<(&'static str, watch::Receiver<Progress>)>,
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
}

impl Projector {
    /// Starts a follower for each trailing read model. They end when the sender of `woken` is gone.
    ///
    /// # Errors
    /// [`StoreError`] when a generation cannot be opened.
    pub async fn start(sources: &Sources, woken: &watch::Receiver<()>) -> Result<Self, StoreError> {
        let mut followers = vec![];
        for projection in TRAILING {
            let cursor = sources.models.cursor(projection).await?;
            let (progress, receiver) = watch::channel(Progress { cursor, error: None });
            tokio::spawn(follow(projection, sources.clone(), woken.clone(), progress));
            followers.push((projection.name, receiver));
        }
        Ok(Self { followers })
    }

    /// How each does.
    #[must_use]
    pub fn progress(&self) -> Vec<(&'static str, Progress)> {
        self.followers.iter().map(|(name, progress)| (*name, progress.borrow().clone())).collect()
    }

    /// Waits until every trailing read model has seen `wanted`, at most `patience`. Whether it has.
    pub async fn wait(&self, wanted: Cursor, patience: Duration) -> bool {
        let all_there = async {
            for (_, progress) in &self.followers {
                let mut progress = progress.clone();
                if progress.wait_for(|progress| progress.cursor >= wanted).await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(patience, all_there).await.unwrap_or(false)
    }
}

async fn follow(
    projection: &'static Projection,
    sources: Sources,
    mut woken: watch::Receiver<()>,
    progress: watch::Sender<Progress>,
) {
    let mut pause = FIRST_PAUSE;
    let mut generation = None;
    loop {
        match catch_up(projection, &sources, &mut generation, &progress).await {
            Ok(()) => {
                pause = FIRST_PAUSE;
                if woken.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // Whatever was open may be what failed.
                generation = None;
                // Said once for each new error, not at every try.
                let error = error.to_string();
                let is_new = progress.borrow().error.as_ref() != Some(&error);
                if is_new {
                    tracing::error!(projection = projection.name, %error, "a read model cannot follow the log");
                    progress.send_modify(|progress| progress.error = Some(error));
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                if woken.has_changed().is_err() {
                    return;
                }
            }
        }
    }
}

/// Applies everything after the cursor, page by page.
async fn catch_up(
    projection: &'static Projection,
    sources: &Sources,
    opened: &mut Option<Box<dyn Generation>>,
    progress: &watch::Sender<Progress>,
) -> Result<(), StoreError> {
    let generation = match opened {
        Some(generation) => generation,
        None => opened.insert(sources.models.generation(projection).await?),
    };
    loop {
        let from = generation.cursor().await?;
        let epoch = sources.log.head().await?.epoch;
        let page = sources.log.read_log(from.position, PAGE).await?;
        let Some(last) = page.last() else {
            progress.send_modify(|progress| *progress = Progress { cursor: Cursor { epoch, ..from }, error: None });
            return generation.scrub().await;
        };
        let to = Cursor { epoch, position: last.envelope.position };
        // Signed numbers: others become texts on the way.
        let (events, last) = (i64::try_from(page.len()).unwrap_or_default(), to.position.0.cast_signed());
        let _span = tracing::trace_span!(target: SPANS, "follow", projection = projection.name, events, to = last);
        let mut changes = vec![];
        for stored in &page {
            changes.extend((projection.project)(&sources.keyring.read(stored).await?));
        }
        // Not at `from` any more: another follower was faster; begin again from where it is.
        if generation.advance(changes, from, to).await? {
            progress.send_modify(|progress| *progress = Progress { cursor: to, error: None });
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
        if writer.inline_revision(projection.name).await? == Some(projection.revision) {
            continue;
        }
        tracing::info!(projection = projection.name, revision = projection.revision, "building a read model");
        writer.reset_inline(projection).await?;
        let mut after = countersign_events::recorded::Position(0);
        loop {
            let page = log.read_log(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.envelope.position;
            let mut changes = vec![];
            for stored in &page {
                let recorded: Recorded<Event> = keyring.read(stored).await?;
                changes.extend((projection.project)(&recorded));
            }
            let (head, _) = writer.begin(&[]).await?;
            writer.apply(changes).await?;
            writer.commit(head).await?;
        }
        for table in projection.tables {
            while !writer.purge(table, PAGE).await?.is_empty() {}
        }
        writer.set_inline_revision(projection.name, projection.revision).await?;
    }
    Ok(())
}
