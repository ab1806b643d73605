//! Builds a new generation beside the one that is read: the log is folded in memory, by tasks that read and decode
//! ahead, the rows are sorted and written at once, the rest is followed as usual, and then the pointer moves.

use std::{collections::HashSet, sync::Arc};

use countersign_events::recorded::{Position, StreamName};
use countersign_projections::{Projection, fold::Fold};
use tokio::{
    sync::{MutexGuard, mpsc},
    task::JoinHandle,
};

use super::{
    Follower, Meter, Sources, Tell,
    follower::{Advanced, Opened, discarded},
    judge::{Effect, Judged, judge},
};
use crate::store::{Build, BuildPurpose, Cursor, Parked, StoreError, StoredEvent};

/// Events of a page of the replay.
const REPLAY_PAGE: u32 = 2_000;
/// Pages that are read and decoded ahead.
const AHEAD: usize = 4;
/// The fold stops at roughly so much memory; what is left of the log is then applied row by row.
const MEMORY: usize = 768 << 20;
/// Where fewer events are left, the fold ends and they are applied row by row.
const CLOSE: u64 = 2_000;
/// So often a new generation runs after the log before it makes the old one's follower wait for it.
const ROUNDS: u32 = 50;

/// What came of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// The generation that is read now.
    pub generation: u64,
    /// The last event in it when it was switched to.
    pub through: Position,
}

/// What the log folds to.
pub(super) struct Folded {
    pub(super) fold: Fold,
    pub(super) parked: Vec<Parked>,
    pub(super) through: Position,
}

impl Folded {
    /// Puts everything into a generation.
    pub(super) async fn fill(
        mut self,
        projection: &'static Projection,
        build: &mut dyn Build,
        epoch: u32,
    ) -> Result<(), StoreError> {
        for table in projection.tables {
            let sorted = tokio::task::spawn_blocking(move || {
                let rows = self.fold.take(table);
                (rows, self)
            });
            let rows;
            (rows, self) = sorted.await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            build.fill(table, rows).await?;
        }
        build.finish(&self.parked, Cursor { epoch, position: self.through }).await
    }
}

/// Folds the log through a position, or as far as memory lets it. Nothing is stored; for measuring how fast it goes.
///
/// # Errors
/// [`StoreError`] when log or vault do not answer.
pub async fn replay_in_memory(
    projection: &'static Projection,
    sources: &Sources,
    through: Position,
) -> Result<Position, StoreError> {
    let skipped = Arc::new(discarded(projection, sources).await?);
    Ok(fold_log(projection, sources, skipped, Until::Through(through), &|_| {}).await?.through)
}

/// How far a fold goes, if memory lets it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// Through this event.
    Through(Position),
    /// Close to the end of the log, wherever that is by then.
    TheEnd,
}

/// Folds the log from its beginning.
pub(super) async fn fold_log(
    projection: &'static Projection,
    sources: &Sources,
    skipped: Arc<HashSet<Position>>,
    until: Until,
    tell: &(dyn Fn(Position) + Send + Sync),
) -> Result<Folded, StoreError> {
    let mut folded = Folded { fold: Fold::default(), parked: vec![], through: Position(0) };
    let mut resting: HashSet<StreamName> = HashSet::new();
    let mut pages = read_ahead(projection, sources.clone(), skipped, until);
    while let Some(page) = pages.recv().await {
        let (last, judged) = page.await.map_err(|error| StoreError::Unavailable(error.to_string()))??;
        for Judged { position, stream, effect } in judged {
            if !resting.is_empty() && resting.contains(&stream) {
                folded.parked.push(Parked { position, stream, error: None });
                continue;
            }
            match effect {
                Effect::Changes(changes) => changes.into_iter().for_each(|change| folded.fold.apply(change)),
                Effect::Failed(error) => {
                    resting.insert(stream.clone());
                    folded.parked.push(Parked { position, stream, error: Some(error) });
                }
            }
        }
        folded.through = last;
        tell(last);
        if folded.fold.bytes() > MEMORY {
            break;
        }
    }
    Ok(folded)
}

type PageTask = JoinHandle<Result<(Position, Vec<Judged>), StoreError>>;

/// Reads pages of the log and has each decoded by a task of its own; they come in order.
fn read_ahead(
    projection: &'static Projection,
    sources: Sources,
    skipped: Arc<HashSet<Position>>,
    until: Until,
) -> mpsc::Receiver<PageTask> {
    let (send, receive) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let mut after = Position(0);
        loop {
            let page = next_page(&sources, after, until).await;
            let failed = page.is_err();
            match page.as_ref().map(|page| page.last().map(|last| last.envelope.position)) {
                Ok(Some(last)) => after = last,
                Ok(None) => return,
                Err(_) => {}
            }
            let (last, sources, skipped) = (after, sources.clone(), skipped.clone());
            let task = tokio::spawn(async move { Ok((last, judge(projection, &sources, page?, &skipped).await?)) });
            // Whoever folds may have had enough.
            if send.send(task).await.is_err() || failed {
                return;
            }
        }
    });
    receive
}

async fn next_page(sources: &Sources, after: Position, until: Until) -> Result<Vec<StoredEvent>, StoreError> {
    let limit = match until {
        Until::Through(last) => last.0.saturating_sub(after.0),
        Until::TheEnd => match sources.log.head().await?.position.0.saturating_sub(after.0) {
            // The last few are applied as they come.
            left if left < CLOSE && after.0 > 0 => 0,
            left => left,
        },
    };
    if limit == 0 {
        return Ok(vec![]);
    }
    sources.log.replay(after, u32::try_from(limit).unwrap_or(REPLAY_PAGE).min(REPLAY_PAGE)).await
}

impl Follower {
    /// Builds a new generation from the log while the old one is read, and switches to it. `None` when that is being
    /// done already. What a broken-off rebuild left is thrown away.
    ///
    /// # Errors
    /// [`StoreError`]; the old generation is read on, then.
    pub async fn rebuild(&self, tell: Tell<'_>) -> Result<Option<Rebuilt>, StoreError> {
        let Ok(alone) = self.rebuilding.try_lock() else { return Ok(None) };
        self.build_alone(alone, tell).await.map(Some)
    }

    /// The same, after whatever is being built already: that may have begun before what this is for.
    ///
    /// # Errors
    /// [`StoreError`]; the old generation is read on, then.
    pub async fn rebuild_afterwards(&self, tell: Tell<'_>) -> Result<Rebuilt, StoreError> {
        let alone = self.rebuilding.lock().await;
        self.build_alone(alone, tell).await
    }

    async fn build_alone(&self, alone: MutexGuard<'_, ()>, tell: Tell<'_>) -> Result<Rebuilt, StoreError> {
        let rebuilt = self.build_and_switch(tell).await;
        self.progress.send_modify(|progress| progress.rebuilding = None);
        drop(alone);
        rebuilt
    }

    async fn build_and_switch(&self, tell: Tell<'_>) -> Result<Rebuilt, StoreError> {
        let (projection, sources) = (self.projection, &self.sources);
        let mut build = sources.models.build(projection, BuildPurpose::Switch).await?;
        let head = sources.log.head().await?;
        let meter = Meter::start(projection.name, &sources.world, Position(0), head.position);
        let say = |position| {
            let pace = meter.at(position, &sources.world);
            self.progress.send_modify(|progress| progress.rebuilding = Some(pace.clone()));
            tell(pace);
        };
        say(Position(0));
        let skipped = Arc::new(discarded(projection, sources).await?);
        let folded = fold_log(projection, sources, skipped, Until::TheEnd, &say).await?;
        folded.fill(projection, build.as_mut(), head.epoch).await?;
        let mut new = self.know(build.generation().await?).await?;
        for _ in 0..ROUNDS {
            let Advanced { cursor, at_the_end, .. } = new.advance(projection, sources, Position(u64::MAX)).await?;
            say(cursor.position);
            if at_the_end {
                break;
            }
        }
        // From here on the old one stands still; readers of either see every event once.
        let mut turn = self.opened.lock().await;
        let mut last = new.advance(projection, sources, Position(u64::MAX)).await?;
        while !last.at_the_end {
            last = new.advance(projection, sources, Position(u64::MAX)).await?;
        }
        lacks_nothing(projection, sources, &mut new).await?;
        let generation = build.number();
        sources.models.switch(projection, build).await?;
        self.look().await?;
        self.tell(&last, new.resting.len());
        *turn = Some(new);
        say(last.cursor.position);
        Ok(Rebuilt { generation, through: last.cursor.position })
    }
}

/// Refuses to switch to a generation that lacks what the one that is read shows: then the log does not read any more, and
/// that one may be the last good copy. What cannot be read has nothing to lose.
async fn lacks_nothing(projection: &'static Projection, sources: &Sources, new: &mut Opened) -> Result<(), StoreError> {
    let name = projection.name;
    let kept = format!(
        "{name} was not built anew, and stays as it is: put the log right first; `countersign doctor --deep` says what is \
         damaged"
    );
    let (Ok(shown), Ok(parked)) = (sources.models.cursor(projection).await, sources.models.parked(projection).await)
    else {
        return Ok(());
    };
    let parked: HashSet<_> = parked.iter().map(|one| one.position).collect();
    let is_lost = |one: &&Parked| one.position <= shown.position && !parked.contains(&one.position);
    let lost = new.generation.parked().await?;
    let Some(first) = lost.iter().find(is_lost) else { return Ok(()) };
    let error = first.error.as_deref().unwrap_or("waits behind another event of its stream");
    let detail = format!("{name} shows this event, which cannot be applied any more ({error}): {kept}");
    Err(StoreError::Corrupt { position: first.position, detail })
}
