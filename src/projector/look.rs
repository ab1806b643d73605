//! Holds read models against the log where nothing may be written, for whoever examines a site: the log is folded in
//! memory alone. Personal texts are passed over, so that no key is needed and rows take little room. Writers are not
//! held up, and no snapshot is held for longer than it takes to compare it.

use std::collections::HashSet;

use async_trait::async_trait;
use countersign_events::{
    decider::fold,
    event::Event,
    projection::{self, ProjectionRecord},
    recorded::{Position, Recorded},
    site::ProjectionEvent,
};
use countersign_projections::{Projection, Table, Value, fold::Fold, fold::Row};

use super::{
    check::{Checked, Texts, compare},
    judge::{self, Effect},
};
use crate::store::{Cursor, Parked, Snapshot, StoreError, StoredEvent, decode, facts::Shown};

/// Events that are read at once where all are.
const PAGE: u32 = 1_000;
/// So many positions are looked at at once where only some categories are read.
const SPAN: u64 = 5_000;

/// How closely one looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closeness {
    /// Whether a read model without a row should have some. Others are passed over.
    Emptiness,
    /// Every row and column, but for personal texts.
    EveryRow,
}

/// What came of looking at a read model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// So many rows are as the log has them.
    Same(u64),
    /// It has no row, and the log leads to so many, or more.
    Empty(u64),
    /// It differs.
    Differs(Checked),
    /// It cannot be told, for this reason.
    Untold(String),
}

/// Holds these read models against the log. Those that this program does not read, and those that lack parked events, are
/// left out. Rows have so many bytes of memory at most.
///
/// # Errors
/// [`StoreError`] when the log does not answer, or a read model no longer.
pub async fn look_at_models(
    site: &mut dyn Shown,
    models: impl IntoIterator<Item = &'static Projection>,
    closeness: Closeness,
    room: usize,
) -> Result<Vec<(&'static str, Seen)>, StoreError> {
    let (mut folding, mut seen) = (vec![], vec![]);
    for projection in models {
        match Folding::begin(site, projection, closeness).await {
            Ok(begun) => folding.extend(begun),
            // Others may be read all the same.
            Err(error) => seen.push((projection.name, Seen::Untold(error.to_string()))),
        }
    }
    while !folding.is_empty() {
        let later = fold_through(site, &mut folding, closeness, room).await?;
        for one in std::mem::replace(&mut folding, later) {
            let name = one.projection.name;
            seen.extend(one.finish(site, closeness, room).await?.map(|seen| (name, seen)));
        }
    }
    Ok(seen)
}

/// A read model as the log leads to it.
struct Folding {
    projection: &'static Projection,
    fold: Fold,
    /// Through which event it is folded, and through which it has to be.
    at: Position,
    through: Position,
    skipped: HashSet<Position>,
    /// Whether the live one has no row.
    is_empty: bool,
    /// Why it goes no further.
    stopped: Option<Stop>,
}

#[derive(Debug, PartialEq, Eq)]
enum Stop {
    Full,
    Told(String),
}

impl Folding {
    async fn begin(
        site: &mut dyn Shown,
        projection: &'static Projection,
        closeness: Closeness,
    ) -> Result<Option<Self>, StoreError> {
        let Some(mut live) = site.shown(projection).await? else { return Ok(None) };
        if !live.parked().await?.is_empty() {
            return Ok(None);
        }
        let mut is_empty = true;
        for table in projection.tables {
            is_empty &= live.rows(table, None, 1).await?.is_empty();
        }
        if closeness == Closeness::Emptiness && !is_empty {
            return Ok(None);
        }
        let through = live.through().position;
        drop(live);
        let skipped = discarded(site, projection).await?;
        let (fold, at) = (Fold::default(), Position(0));
        Ok(Some(Self { projection, fold, at, through, skipped, is_empty, stopped: None }))
    }

    fn goes_on(&self) -> bool {
        self.stopped.is_none() && self.at < self.through
    }

    fn takes(&self, stored: &StoredEvent) -> bool {
        let position = stored.envelope.position;
        self.stopped.is_none()
            && position > self.at
            && position <= self.through
            && self.projection.categories.contains(&stored.envelope.stream.category())
            && !self.skipped.contains(&position)
    }

    fn apply(&mut self, recorded: &Recorded<Event>) {
        match judge::project(self.projection, recorded) {
            Effect::Changes(changes) => changes.into_iter().for_each(|change| self.fold.apply(change)),
            Effect::Failed(error) => {
                let told = format!("event {} cannot be applied: {error}", recorded.envelope.position);
                self.stopped = Some(Stop::Told(told));
            }
        }
    }

    /// Follows the log as far as the live one has come meanwhile, and compares.
    async fn finish(
        mut self,
        site: &mut dyn Shown,
        closeness: Closeness,
        room: usize,
    ) -> Result<Option<Seen>, StoreError> {
        let projection = self.projection;
        // What was switched to another generation, or given up, in between is for another look.
        let Some(mut live) = site.shown(projection).await? else { return Ok(None) };
        let Cursor { position, .. } = live.through();
        if position < self.through
            || !live.parked().await?.is_empty()
            || discarded(site, projection).await? != self.skipped
        {
            return Ok(None);
        }
        if self.stopped.is_none() {
            self.through = position;
            let mut alone = vec![self];
            fold_through(site, &mut alone, closeness, room).await?;
            let Some(folded) = alone.pop() else { return Ok(None) };
            self = folded;
        }
        match self.stopped {
            Some(Stop::Told(told)) => return Ok(Some(Seen::Untold(told))),
            Some(Stop::Full) if !self.is_empty => {
                let told = format!("its rows take more than {} MiB of memory", room >> 20);
                return Ok(Some(Seen::Untold(told)));
            }
            _ => {}
        }
        let (name, rows, found) = (projection.name, 0, 0);
        let mut checked = Checked { name, through: position, rows, found, differences: vec![] };
        let mut fresh = InMemory { fold: self.fold, through: live.through() };
        // Read after the snapshot: rows that leave meanwhile are left out on both sides.
        let cut_off = site.cut_off().await?;
        for table in projection.tables {
            compare(table, cut_off, (live.as_mut(), &mut fresh), Texts::PassedOver, &mut checked).await?;
        }
        Ok(Some(match checked.found {
            0 => Seen::Same(checked.rows),
            found if self.is_empty => Seen::Empty(found),
            _ => Seen::Differs(checked),
        }))
    }
}

/// Folds the log through where each has to be. Those for which there is no room beside the others are given back, to be
/// folded after them.
async fn fold_through(
    site: &mut dyn Shown,
    folding: &mut Vec<Folding>,
    closeness: Closeness,
    room: usize,
) -> Result<Vec<Folding>, StoreError> {
    let mut later = vec![];
    while let Some(first) = folding.iter().filter(|one| one.goes_on()).map(|one| one.at).min() {
        let through = folding.iter().map(|one| one.through).max().unwrap_or_default();
        let categories = folding.iter().filter(|one| one.goes_on()).flat_map(|one| one.projection.categories).copied();
        let page = match closeness {
            Closeness::EveryRow => next_page(site, first, through).await,
            Closeness::Emptiness => next_span(site, first, through, &categories.collect()).await,
        };
        let (last, events) = match page {
            Ok(page) => page,
            Err(StoreError::Corrupt { detail, .. }) => {
                stop(folding, &detail);
                break;
            }
            Err(error) => return Err(error),
        };
        for stored in &events {
            let mut takers = folding.iter_mut().filter(|one| one.takes(stored)).peekable();
            if takers.peek().is_none() {
                continue;
            }
            match decode(stored) {
                Ok(recorded) => takers.for_each(|one| one.apply(&recorded)),
                Err(error) => takers.for_each(|one| one.stopped = Some(Stop::Told(error.to_string()))),
            }
        }
        for one in folding.iter_mut().filter(|one| one.goes_on()) {
            one.at = last.min(one.through);
        }
        while folding.iter().map(|one| one.fold.bytes()).sum::<usize>() > room {
            let largest = folding.iter().enumerate().max_by_key(|(_, one)| one.fold.bytes()).map_or(0, |(at, _)| at);
            if folding.len() == 1 {
                folding[largest].stopped = Some(Stop::Full);
                break;
            }
            let one = folding.swap_remove(largest);
            later.push(Folding { fold: Fold::default(), at: Position(0), stopped: None, ..one });
        }
    }
    Ok(later)
}

fn stop(folding: &mut [Folding], told: &str) {
    for one in folding.iter_mut().filter(|one| one.goes_on()) {
        one.stopped = Some(Stop::Told(told.to_owned()));
    }
}

/// The next events, whatever streams they are of, and the last position that was looked at.
async fn next_page(
    site: &mut dyn Shown,
    after: Position,
    through: Position,
) -> Result<(Position, Vec<StoredEvent>), StoreError> {
    let events = site.events(after, PAGE).await?;
    let Some(last) = events.last().map(|last| last.envelope.position) else {
        let detail = format!("the log ends before event {through}");
        return Err(StoreError::Corrupt { position: after.next(), detail });
    };
    Ok((last, events))
}

/// The same of some categories.
async fn next_span(
    site: &mut dyn Shown,
    after: Position,
    through: Position,
    categories: &HashSet<&str>,
) -> Result<(Position, Vec<StoredEvent>), StoreError> {
    let last = Position(after.0.saturating_add(SPAN).min(through.0));
    let mut events = vec![];
    for category in categories {
        // A stream is called as its category is, alone or before a dash.
        let end = format!("{category}.");
        let of_category = site.events_between(after, last, (category, &end)).await?;
        events.extend(of_category.into_iter().filter(|stored| stored.envelope.stream.category() == *category));
    }
    events.sort_by_key(|stored| stored.envelope.position);
    Ok((last, events))
}

/// The events that were given up in a read model.
async fn discarded(site: &mut dyn Shown, projection: &Projection) -> Result<HashSet<Position>, StoreError> {
    let stream = projection::stream(projection.name).to_string();
    let end = format!("{stream}!");
    let stored = site.events_between(Position(0), Position(i64::MAX.cast_unsigned()), (&stream, &end)).await?;
    // What of it does not read is a fault of the log, and told as one.
    let recorded: Vec<_> = stored.iter().filter_map(|stored| decode(stored).ok()).collect();
    let events = recorded.iter().filter_map(|recorded| <&ProjectionEvent>::try_from(&recorded.event).ok());
    Ok(fold::<ProjectionRecord>(events).discarded.into_iter().collect())
}

/// Rows of a fold, taken in the order in which they are asked for.
struct InMemory {
    fold: Fold,
    through: Cursor,
}

#[async_trait]
impl Snapshot for InMemory {
    fn through(&self) -> Cursor {
        self.through
    }

    async fn parked(&mut self) -> Result<Vec<Parked>, StoreError> {
        Ok(vec![])
    }

    async fn rows(&mut self, table: &'static Table, _: Option<&[Value]>, _: u32) -> Result<Vec<Row>, StoreError> {
        Ok(self.fold.take(table))
    }
}
