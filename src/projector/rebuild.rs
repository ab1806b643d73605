//! Builds a new generation beside the one that is read: the log is folded in memory, by tasks that read and decode
//! ahead, the sorted rows are written at once, the rest is followed as usual, and then the pointer moves.

use std::{collections::HashSet, sync::Arc};

use countersign_events::recorded::{Position, StreamName};
use countersign_projections::{Projection, fold::Fold};
use tokio::{
    sync::{MutexGuard, mpsc},
    task::JoinHandle,
};

use super::{
    Follower, Meter, Pace, Sources, Tell,
    follower::{Advanced, Opened, discarded},
    judge::{Effect, Judged, judge},
    memory::Share,
};
use crate::store::{Build, BuildPurpose, Cursor, Parked, StoreError, StoredEvent};

/// Events of a page of the replay.
const REPLAY_PAGE: u32 = 2_000;
/// A page has fewer events where those before were long: so many bytes of payloads are wanted in one.
const PAGE_BYTES: usize = 2 << 20;
/// Events of the first page; each later one may have twice as many as the one before.
const FIRST_PAGE: u32 = 250;
/// Pages that are read and decoded ahead.
const AHEAD: usize = 4;
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

/// What came of filling a generation.
pub(super) struct Filled {
    pub(super) parked: Vec<Parked>,
    /// So often memory was full, and rows were written out for others.
    pub(super) full: u32,
    /// The most memory that the rows took.
    pub(super) most: usize,
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
    let mut share = sources.memory.share(through.0).await;
    let mut folding = Folding::begin(projection, sources, skipped, Until::Through(through));
    folding.go_on(&mut share, &|_| {}).await?;
    Ok(folding.through)
}

/// How far a fold goes, if memory lets it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// Through this event.
    Through(Position),
    /// Close to the end of the log, wherever that is by then.
    TheEnd,
}

/// Folds the log from its beginning and fills a generation with what it leads to. When memory is full, rows are written
/// out and the fold goes on; it ends at the first event that needs one of those. What is left of the log is for
/// following.
pub(super) async fn fill_from_log(
    projection: &'static Projection,
    sources: &Sources,
    build: &mut dyn Build,
    mut share: Share,
    (skipped, until, epoch): (Arc<HashSet<Position>>, Until, u32),
    tell: &(dyn Fn(Position) + Send + Sync),
) -> Result<Filled, StoreError> {
    let mut folding = Folding::begin(projection, sources, skipped, until);
    let mut full = 0;
    while folding.go_on(&mut share, tell).await? == Stop::Full {
        folding.write_out(projection, build).await?;
        full += 1;
    }
    folding.write_out(projection, build).await?;
    let Folding { parked, through, most, .. } = folding;
    build.finish(&parked, Cursor { epoch, position: through }).await?;
    let filled = Filled { parked, full, most };
    let (full, bytes) = (filled.full, filled.most);
    tracing::debug!(projection = projection.name, %through, full, bytes, "filled a generation");
    Ok(filled)
}

/// Why a fold stops.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// It has come as far as it was to.
    There,
    /// Memory is full.
    Full,
    /// The next event needs rows that were written out.
    Beyond,
}

/// The log on its way into memory.
struct Folding {
    pages: mpsc::Receiver<PageTask>,
    /// What is left of a page, and the last position of it.
    page: std::vec::IntoIter<Judged>,
    page_end: Position,
    fold: Fold,
    resting: HashSet<StreamName>,
    parked: Vec<Parked>,
    through: Position,
    most: usize,
}

impl Folding {
    fn begin(
        projection: &'static Projection,
        sources: &Sources,
        skipped: Arc<HashSet<Position>>,
        until: Until,
    ) -> Self {
        Self {
            pages: read_ahead(projection, sources.clone(), skipped, until),
            page: vec![].into_iter(),
            page_end: Position(0),
            fold: Fold::default(),
            resting: HashSet::new(),
            parked: vec![],
            through: Position(0),
            most: 0,
        }
    }

    async fn go_on(&mut self, share: &mut Share, tell: &(dyn Fn(Position) + Send + Sync)) -> Result<Stop, StoreError> {
        loop {
            for Judged { position, stream, effect } in self.page.by_ref() {
                if !self.resting.is_empty() && self.resting.contains(&stream) {
                    self.parked.push(Parked { position, stream, error: None });
                    continue;
                }
                match effect {
                    Effect::Changes(changes) => {
                        if !self.fold.takes(&changes) {
                            self.through = Position(position.0.saturating_sub(1));
                            return Ok(Stop::Beyond);
                        }
                        for change in changes {
                            self.fold.apply(change);
                        }
                        self.most = self.most.max(self.fold.bytes());
                        if !share.holds(self.fold.bytes()) {
                            self.through = position;
                            return Ok(Stop::Full);
                        }
                    }
                    Effect::Failed(error) => {
                        self.resting.insert(stream.clone());
                        self.parked.push(Parked { position, stream, error: Some(error) });
                    }
                }
            }
            self.through = self.page_end;
            tell(self.through);
            let Some(page) = self.pages.recv().await else { return Ok(Stop::There) };
            let (last, judged) = page.await.map_err(|error| StoreError::Unavailable(error.to_string()))??;
            (self.page, self.page_end) = (judged.into_iter(), last);
        }
    }

    /// Puts every row into a generation; none is left in memory.
    async fn write_out(&mut self, projection: &'static Projection, build: &mut dyn Build) -> Result<(), StoreError> {
        for table in projection.tables {
            let has_rows = self.fold.has_taken(table);
            loop {
                let rows = self.fold.take(table);
                if rows.is_empty() {
                    break;
                }
                if has_rows {
                    build.add(table, rows).await?;
                } else {
                    build.fill(table, rows).await?;
                }
            }
        }
        Ok(())
    }
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
        let (mut after, mut most) = (Position(0), FIRST_PAGE);
        loop {
            let page = next_page(&sources, after, until, most).await;
            let failed = page.is_err();
            most = page.as_ref().map_or(most, |page| most_after(page));
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

/// How many events the page after this one may have.
fn most_after(page: &[StoredEvent]) -> u32 {
    let bytes: usize = page.iter().map(|stored| stored.payload.len()).sum();
    let fitting = page.len() * PAGE_BYTES / bytes.max(1);
    u32::try_from(fitting.min(page.len() * 2)).unwrap_or(REPLAY_PAGE).clamp(1, REPLAY_PAGE)
}

async fn next_page(
    sources: &Sources,
    after: Position,
    until: Until,
    most: u32,
) -> Result<Vec<StoredEvent>, StoreError> {
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
    sources.log.replay(after, u32::try_from(limit).unwrap_or(most).min(most)).await
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
        let say = |pace: Pace| {
            self.progress.send_modify(|progress| progress.rebuilding = Some(pace.clone()));
            tell(pace);
        };
        let begin = async || {
            let head = sources.log.head().await?;
            Ok::<_, StoreError>((Meter::start(projection.name, &sources.world, Position(0), head.position), head))
        };
        // Said before it waits for others that build or check.
        let (meter, head) = begin().await?;
        say(meter.at(Position(0), &sources.world));
        let share = sources.memory.share(head.position.0).await;
        let (meter, head) = begin().await?;
        let say = |position| say(meter.at(position, &sources.world));
        let mut build = sources.models.build(projection, BuildPurpose::Switch).await?;
        let skipped = Arc::new(discarded(projection, sources).await?);
        let how = (skipped, Until::TheEnd, head.epoch);
        fill_from_log(projection, sources, build.as_mut(), share, how, &say).await?;
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
