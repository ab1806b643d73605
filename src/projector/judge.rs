//! What an event does to one read model: it is decoded, opened and projected, and its changes are held against
//! the tables before any store sees them. What fails is that event's fault alone; a store or vault that does not
//! answer is nobody's, and is tried again.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use countersign_events::{
    event::Event,
    recorded::{Position, Recorded, StreamName},
};
use countersign_projections::{Change, Projection};

use super::Sources;
use crate::store::{Parked, Step, StoreError, StoredEvent};

/// What an event does.
#[derive(Debug)]
pub(super) enum Effect {
    /// It changes this.
    Changes(Vec<Change>),
    /// It cannot be applied, for this reason.
    Failed(String),
}

/// An event that a projection looks at.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) position: Position,
    pub(super) stream: StreamName,
    pub(super) effect: Effect,
}

/// Judges a page of the log. Events of other categories, and those that are skipped, are left out.
pub(super) async fn judge(
    projection: &'static Projection,
    sources: &Sources,
    page: Vec<StoredEvent>,
    skipped: &HashSet<Position>,
) -> Result<Vec<Judged>, StoreError> {
    let opens: fn(&Event) -> bool = if projection.keeps_texts() { |_| true } else { |_| false };
    let mut judged = Vec::with_capacity(page.len());
    for StoredEvent { envelope, type_name, type_version, payload } in page {
        let (position, stream) = (envelope.position, envelope.stream.clone());
        if !projection.categories.contains(&stream.category()) || skipped.contains(&position) {
            continue;
        }
        let effect = match sources.codec.decode(&type_name, type_version, &payload) {
            Ok(event) => {
                let recorded = sources.keyring.open_where(Recorded { envelope, event }, opens).await?;
                project(projection, &recorded)
            }
            Err(error) => Effect::Failed(error.to_string()),
        };
        judged.push(Judged { position, stream, effect });
    }
    Ok(judged)
}

/// The changes that an event makes, unless they do not fit the tables.
pub(super) fn project(projection: &Projection, recorded: &Recorded<Event>) -> Effect {
    // A pure function leaves nothing half done behind.
    let changes = match catch_unwind(AssertUnwindSafe(|| (projection.project)(recorded))) {
        Ok(changes) => changes,
        Err(cause) => {
            // A literal holds nothing about a person; a formatted message may.
            let said = cause.downcast_ref::<&'static str>().map(|said| format!(": {said}"));
            return Effect::Failed(format!("the projection panicked{}", said.unwrap_or_default()));
        }
    };
    match changes.iter().try_for_each(|change| projection.check(change)) {
        Ok(()) => Effect::Changes(changes),
        Err(misfit) => Effect::Failed(misfit.to_string()),
    }
}

/// The step that judged events make together. A stream rests from its first event that cannot be applied; the
/// other streams go on.
pub(super) fn settle(judged: Vec<Judged>, resting: &mut HashSet<StreamName>) -> Step {
    let mut step = Step::default();
    for Judged { position, stream, effect } in judged {
        if resting.contains(&stream) {
            step.parks.push(Parked { position, stream, error: None });
            continue;
        }
        match effect {
            Effect::Changes(changes) => step.changes.extend(changes),
            Effect::Failed(error) => {
                resting.insert(stream.clone());
                step.parks.push(Parked { position, stream, error: Some(error) });
            }
        }
    }
    step
}
