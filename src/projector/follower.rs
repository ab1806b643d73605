//! Follows the log for one trailing read model, and mends it when an operator says so. Follower, rebuild and mending
//! take turns: one lock holds the generation, so none of them sees another half way.

use std::{collections::HashSet, sync::Arc, time::Duration};

use countersign_events::{
    decider::fold,
    projection::{self, ProjectionRecord},
    recorded::{Position, StreamName, Version},
    site::ProjectionEvent,
};
use countersign_projections::Projection;
use tokio::sync::{Mutex, mpsc, watch};

use super::{
    Notice, PAGE, Progress, Sources,
    judge::{Effect, Judged, judge, settle},
};
use crate::{
    parts::{self, MISFIT_REMEDY},
    store::{
        Availability, Cursor, Generation, Head, Made, Mark, Parked, Step, StoreError, StoredEvent, decode,
        parts::ModelPart,
    },
    telemetry::SPANS,
};

/// The first pause after a failure; it doubles up to [`LONGEST_PAUSE`].
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pause between two looks at what another node moves.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// The follower of one trailing read model.
pub struct Follower {
    pub(super) projection: &'static Projection,
    pub(super) sources: Sources,
    pub(super) opened: Mutex<Option<Opened>>,
    /// Held by whoever rebuilds.
    pub(super) rebuilding: Mutex<()>,
    pub(super) progress: watch::Sender<Progress>,
    notices: mpsc::UnboundedSender<Notice>,
}

/// A generation with what a follower has to know of it.
pub(super) struct Opened {
    pub(super) generation: Box<dyn Generation>,
    /// Streams that rest.
    pub(super) resting: HashSet<StreamName>,
    /// Events that were given up.
    pub(super) skipped: Arc<HashSet<Position>>,
}

/// What came of trying a parked stream again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mended {
    /// Nothing of it is parked any more; so many events were applied.
    Healed(usize),
    /// This event cannot be applied, and the rest waits behind it.
    StillParked(Parked),
}

/// What one page brought.
pub(super) struct Advanced {
    pub(super) cursor: Cursor,
    pub(super) at_the_end: bool,
    pub(super) parked: Vec<Parked>,
}

impl Follower {
    pub(super) async fn start(
        projection: &'static Projection,
        sources: &Sources,
        woken: &watch::Receiver<()>,
        notices: &mpsc::UnboundedSender<Notice>,
    ) -> Result<Arc<Self>, StoreError> {
        let availability = sources.models.availability(projection).await?;
        let (cursor, moved_at) = (sources.models.cursor(projection).await?, sources.world.now());
        let (progress, _) = watch::channel(Progress { availability, cursor, moved_at, ..Progress::default() });
        let follower = Arc::new(Self {
            projection,
            sources: sources.clone(),
            opened: Mutex::default(),
            rebuilding: Mutex::default(),
            progress,
            notices: notices.clone(),
        });
        tokio::spawn(follower.clone().follow(woken.clone()));
        tokio::spawn(follower.clone().keep_built(woken.clone()));
        Ok(follower)
    }

    /// What it follows the log for.
    #[must_use]
    pub const fn projection(&self) -> &'static Projection {
        self.projection
    }

    /// How it does.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    async fn follow(self: Arc<Self>, mut woken: watch::Receiver<()>) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.catch_up().await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    if !*self.sources.moves.borrow() {
                        // However often the one that moves it steps, this one looks no oftener.
                        tokio::time::sleep(BETWEEN_LOOKS).await;
                    }
                    if woken.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    // Whatever was open may be what failed.
                    *self.opened.lock().await = None;
                    // Said once for each new error, not at every try.
                    let error = error.to_string();
                    let is_new = self.progress.borrow().error.as_ref() != Some(&error);
                    if is_new {
                        let projection = self.projection.name;
                        tracing::error!(projection, %error, "a read model cannot follow the log");
                        self.progress.send_modify(|progress| progress.error = Some(error));
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

    /// Whatever was opened is opened anew before the next step.
    pub(super) async fn look_again(&self) {
        *self.opened.lock().await = None;
    }

    /// How far the node came that moves it, and what rests there.
    async fn watch_another(&self) -> Result<(), StoreError> {
        // Should this node move it again, it begins with what the other left.
        self.look_again().await;
        let cursor = self.sources.models.cursor(self.projection).await?;
        let parked = self.sources.models.parked(self.projection).await?;
        let resting: HashSet<_> = parked.iter().map(|parked| &parked.stream).collect();
        let at_the_end = cursor.position >= self.sources.log.head().await?.position;
        self.tell(&Advanced { cursor, at_the_end, parked: vec![] }, resting.len());
        self.let_read().await
    }

    /// Applies everything after the cursor, page by page; others get their turn in between.
    pub(super) async fn catch_up(&self) -> Result<(), StoreError> {
        loop {
            let availability = self.look().await?;
            if !*self.sources.moves.borrow() || availability.made == Made::Lent {
                return self.watch_another().await;
            }
            // What is built meanwhile comes further, sooner.
            let is_built_anew = !availability.answers && self.progress.borrow().rebuilding.is_some();
            if availability.made == Made::Missing || is_built_anew {
                return Ok(());
            }
            let mut turn = self.opened.lock().await;
            let opened = self.open(&mut turn).await?;
            let advanced = opened.advance(self.projection, &self.sources, Position(u64::MAX)).await?;
            self.tell(&advanced, opened.resting.len());
            if advanced.at_the_end {
                opened.generation.scrub().await?;
                drop(turn);
                return self.let_read().await;
            }
        }
    }

    /// What there is to read; another node may have switched.
    pub(super) async fn look(&self) -> Result<Availability, StoreError> {
        let availability = self.sources.models.availability(self.projection).await?;
        if self.progress.borrow().availability != availability {
            self.progress.send_modify(|progress| progress.availability = availability);
        }
        Ok(availability)
    }

    /// Has it read once it lacks little.
    async fn let_read(&self) -> Result<(), StoreError> {
        let Progress { availability, cursor, .. } = self.progress();
        if availability.made == Made::Missing || availability.answers {
            return Ok(());
        }
        if cursor.is_close_to(self.sources.log.head().await?.position) {
            self.sources.models.let_read(self.projection).await?;
            self.look().await?;
        }
        Ok(())
    }

    /// The generation, opened when it is not. What was given up before a crash could let it go is let go here.
    async fn open<'a>(&self, turn: &'a mut Option<Opened>) -> Result<&'a mut Opened, StoreError> {
        if turn.is_none() {
            let generation = self.sources.models.generation(self.projection).await?;
            *turn = Some(self.know(generation).await?);
        }
        Ok(turn.as_mut().expect("it was opened right above"))
    }

    /// A generation with what the log and itself say of it.
    pub(super) async fn know(&self, mut generation: Box<dyn Generation>) -> Result<Opened, StoreError> {
        fits(self.projection, &self.sources, generation.as_mut()).await?;
        let skipped = Arc::new(discarded(self.projection, &self.sources).await?);
        let parked = generation.parked().await?;
        let resting: HashSet<_> = parked.iter().map(|parked| parked.stream.clone()).collect();
        let is_given_up = |stream: &&StreamName| {
            parked.iter().filter(|one| one.stream == **stream).all(|one| skipped.contains(&one.position))
        };
        // What waits behind an event that was given up is for an operator to try.
        let given_up: Vec<_> = resting.iter().filter(is_given_up).cloned().collect();
        let mut opened = Opened { generation, resting, skipped };
        for stream in given_up {
            opened.mend(self.projection, &self.sources, &stream).await?;
        }
        let parked = opened.generation.parked().await?;
        self.notice(&parked);
        Ok(opened)
    }

    pub(super) fn tell(&self, advanced: &Advanced, resting: usize) {
        let now = self.sources.world.now();
        self.progress.send_modify(|progress| {
            if progress.cursor != advanced.cursor || advanced.at_the_end {
                progress.moved_at = now;
            }
            progress.cursor = advanced.cursor;
            progress.error = None;
            progress.parked = resting;
        });
        self.notice(&advanced.parked);
    }

    fn notice(&self, parked: &[Parked]) {
        for parked in parked.iter().filter(|parked| parked.error.is_some()) {
            // Nobody listens any more when the site stops; it is told again at the next start.
            let _ = self.notices.send(Notice { projection: self.projection.name, parked: parked.clone() });
        }
    }

    /// Tries a stream that rests again, its events in their order, without those that were given up.
    ///
    /// # Errors
    /// [`StoreError`] when log, vault or read model do not answer.
    pub async fn mend(&self, stream: &StreamName) -> Result<Mended, StoreError> {
        let mut turn = self.opened.lock().await;
        let opened = self.open(&mut turn).await?;
        // What was given up since it was opened counts.
        opened.skipped = Arc::new(discarded(self.projection, &self.sources).await?);
        let mended = opened.mend(self.projection, &self.sources, stream).await?;
        let resting = opened.resting.len();
        self.progress.send_modify(|progress| progress.parked = resting);
        if let Mended::StillParked(parked) = &mended {
            self.notice(std::slice::from_ref(parked));
        }
        Ok(mended)
    }
}

/// The events of which the log says that they were given up in a projection.
pub(super) async fn discarded(projection: &Projection, sources: &Sources) -> Result<HashSet<Position>, StoreError> {
    let stored = sources.log.read_stream(&projection::stream(projection.name), Version(0)).await?;
    let recorded = stored.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
    let events = recorded.iter().filter_map(|recorded| <&ProjectionEvent>::try_from(&recorded.event).ok());
    Ok(fold::<ProjectionRecord>(events).discarded.into_iter().collect())
}

/// Whether a generation has read this log, and no other: its cursor holds the id of the event that it is at. One that an
/// earlier release moved, or that was just built, has no id, and takes it from this log here: before that, the vault was
/// asked whether this log is the newest.
async fn fits(
    projection: &'static Projection,
    sources: &Sources,
    generation: &mut dyn Generation,
) -> Result<(), StoreError> {
    let mark = generation.mark().await?;
    let position = mark.cursor.position;
    if position == Position(0) {
        return Ok(());
    }
    let head = sources.log.head().await?;
    let in_log = sources.log.event_id(position).await?;
    no_misfit(&ModelPart { name: projection.name, mark, in_log }, head)?;
    if mark.event.is_none() && *sources.moves.borrow() {
        // Should another have moved it meanwhile, that one has given it an id.
        generation.step(Step { last: in_log, ..Step::default() }, mark.cursor, mark.cursor).await?;
    }
    Ok(())
}

/// A cursor that is ahead of the log has read another one: nothing is clamped, it stops there and says so. Building the
/// read model anew is not what is asked for then: it may be all that is left of the newer log.
pub(super) fn not_ahead(projection: &'static Projection, cursor: Cursor, head: Head) -> Result<(), StoreError> {
    no_misfit(&ModelPart { name: projection.name, mark: Mark { cursor, event: None }, in_log: None }, head)
}

/// What the look at the parts of a site says of a read model that has read another log, with what it says to do.
fn no_misfit(model: &ModelPart, head: Head) -> Result<(), StoreError> {
    let Some(found) = parts::model_misfit(model, head.into()) else { return Ok(()) };
    let position = model.mark.cursor.position;
    Err(StoreError::Corrupt { position, detail: format!("{found}: {MISFIT_REMEDY}") })
}

impl Opened {
    /// Applies the next page, none beyond `through`.
    pub(super) async fn advance(
        &mut self,
        projection: &'static Projection,
        sources: &Sources,
        through: Position,
    ) -> Result<Advanced, StoreError> {
        let from = self.generation.cursor().await?;
        let head = sources.log.head().await?;
        not_ahead(projection, from, head)?;
        let epoch = head.epoch;
        let limit = u32::try_from(through.0.saturating_sub(from.position.0)).unwrap_or(PAGE).min(PAGE);
        let page = sources.log.replay(from.position, limit).await?;
        let Some(last) = page.last() else {
            if limit > 0 && from.position < head.position {
                let detail = format!(
                    "the log ends before event {}, which its head names; `countersign doctor --deep` says what is missing",
                    head.position
                );
                return Err(StoreError::Corrupt { position: from.position.next(), detail });
            }
            let cursor = Cursor { epoch, ..from };
            return Ok(Advanced { cursor, at_the_end: true, parked: vec![] });
        };
        let to = Cursor { epoch, position: last.envelope.position };
        // Signed numbers: others become texts on the way.
        let (events, last) = (i64::try_from(page.len()).unwrap_or_default(), to.position.0.cast_signed());
        let _span = tracing::trace_span!(target: SPANS, "follow", projection = projection.name, events, to = last);
        let mut resting = self.resting.clone();
        let last = page.last().map(|last| last.envelope.event_id);
        let step = Step { last, ..settle(judge(projection, sources, page, &self.skipped).await?, &mut resting) };
        let parked = step.parks.clone();
        match self.generation.step(step, from, to).await {
            Ok(true) => self.resting = resting,
            // Another follower was faster; begin again from where it is.
            Ok(false) => return Ok(Advanced { cursor: from, at_the_end: false, parked: vec![] }),
            Err(StoreError::Conflict(_)) => return self.one_by_one(projection, sources, limit).await,
            Err(error) => return Err(error),
        }
        Ok(Advanced { cursor: to, at_the_end: false, parked })
    }

    /// The same page, a transaction an event: the one whose rows the database refuses is parked, its neighbours are
    /// applied once.
    async fn one_by_one(
        &mut self,
        projection: &'static Projection,
        sources: &Sources,
        limit: u32,
    ) -> Result<Advanced, StoreError> {
        let mut from = self.generation.cursor().await?;
        let epoch = sources.log.head().await?.epoch;
        let mut parked = vec![];
        for stored in sources.log.replay(from.position, limit).await? {
            let to = Cursor { epoch, position: stored.envelope.position };
            let (stream, last) = (stored.envelope.stream.clone(), Some(stored.envelope.event_id));
            let mut resting = self.resting.clone();
            let judged = judge(projection, sources, vec![stored], &self.skipped).await?;
            let mut step = Step { last, ..settle(judged, &mut resting) };
            let parks = step.parks.clone();
            match self.generation.step(std::mem::take(&mut step), from, to).await {
                Ok(true) => parked.extend(parks),
                Ok(false) => break,
                Err(StoreError::Conflict(error)) => {
                    resting.insert(stream.clone());
                    let refused = Parked { position: to.position, stream, error: Some(error) };
                    let step = Step { parks: vec![refused.clone()], last, ..Step::default() };
                    if !self.generation.step(step, from, to).await? {
                        break;
                    }
                    parked.push(refused);
                }
                Err(error) => return Err(error),
            }
            (self.resting, from) = (resting, to);
        }
        Ok(Advanced { cursor: from, at_the_end: false, parked })
    }

    /// Tries what is parked of a stream, in order, without applying any of it: that has to come in the order of the
    /// log, so the read model is built anew for it. What was given up alone needs no such thing and is let go here.
    pub(super) async fn mend(
        &mut self,
        projection: &'static Projection,
        sources: &Sources,
        stream: &StreamName,
    ) -> Result<Mended, StoreError> {
        let parked: Vec<_> = self.generation.parked().await?.into_iter().filter(|one| one.stream == *stream).collect();
        let mut applies = 0;
        for one in &parked {
            match self.judge_parked(projection, sources, one.position).await? {
                None => {}
                Some(Effect::Changes(_)) => applies += 1,
                // What comes before it can be applied; then it is where the stream rests.
                Some(Effect::Failed(_)) if applies > 0 => break,
                Some(Effect::Failed(error)) => return self.keep(one.clone(), error).await,
            }
        }
        if applies == 0 {
            let frees = parked.iter().map(|one| one.position).collect();
            self.step_in_place(Step { frees, ..Step::default() }).await?;
            self.resting.remove(stream);
        }
        Ok(Mended::Healed(applies))
    }

    /// What a parked event does; nothing when it was given up.
    async fn judge_parked(
        &mut self,
        projection: &'static Projection,
        sources: &Sources,
        position: Position,
    ) -> Result<Option<Effect>, StoreError> {
        let stored: Vec<StoredEvent> = sources.log.read_at(&[position]).await?;
        if stored.is_empty() {
            let detail = "a parked event is not in the log".to_owned();
            return Err(StoreError::Corrupt { position, detail });
        }
        let judged = judge(projection, sources, stored, &self.skipped).await?.pop();
        Ok(judged.map(|Judged { effect, .. }| effect))
    }

    async fn keep(&mut self, parked: Parked, error: String) -> Result<Mended, StoreError> {
        let parked = Parked { error: Some(error), ..parked };
        self.step_in_place(Step { parks: vec![parked.clone()], ..Step::default() }).await?;
        Ok(Mended::StillParked(parked))
    }

    /// A step that leaves the cursor where it is.
    async fn step_in_place(&mut self, step: Step) -> Result<(), StoreError> {
        let cursor = self.generation.cursor().await?;
        if self.generation.step(step, cursor, cursor).await? {
            return Ok(());
        }
        Err(StoreError::Unavailable("the read model moved on meanwhile; try again".to_owned()))
    }
}
