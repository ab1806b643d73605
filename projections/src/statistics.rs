//! What there is to count about reviews: what came before reviewers and what came of it, and how long each answer took.
//! A row a step, so that whoever reads can add them up by whatever span; it names no person and holds no text.
//! Instants are those of the log, which never run back.

use countersign_events::{application::ApplicationEvent, event::Event, ids::ApplicationId, recorded::Recorded};

use crate::{
    Projection,
    applications::position,
    change::{Change, Source, Table, Value, id, integer, text},
};

/// One row a step that is counted.
pub const STEPS: Table = Table {
    name: "review_steps",
    key: &[integer("position")],
    columns: &[text("kind"), integer("recorded_at")],
    indexes: &[&["recorded_at", "kind"]],
    ends: &[],
};

/// One row an application of which something waits for a reviewer now.
pub const WAITS: Table = Table {
    name: "review_waits",
    key: &[text("application_id")],
    columns: &[integer("waiting_since")],
    indexes: &[],
    ends: &[],
};

/// One row an answer of a reviewer to what waited.
pub const ANSWERS: Table = Table {
    name: "review_answers",
    key: &[integer("position")],
    columns: &[integer("waiting_since"), integer("answered_at")],
    indexes: &[&["answered_at", "waiting_since"]],
    ends: &[],
};

/// Trailing.
pub const PROJECTION: Projection = Projection {
    name: "statistics",
    revision: 1,
    tables: &[&STEPS, &WAITS, &ANSWERS],
    categories: &["application"],
    project,
};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something came before reviewers: a request, a resubmission, an appeal or a proposed change.
    Request,
    /// A request or a change was approved.
    Approval,
    /// A request or a change was denied.
    Denial,
    /// An application was revoked.
    Revocation,
}

impl Kind {
    /// As the column has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Approval => "approval",
            Self::Denial => "denial",
            Self::Revocation => "revocation",
        }
    }
}

fn project(recorded: &Recorded<Event>) -> Vec<Change> {
    use ApplicationEvent as E;
    let Event::Application(event) = &recorded.event else { return vec![] };
    match event {
        E::ApplicationRequested { application_id, .. }
        | E::ApplicationResubmitted { application_id, .. }
        | E::ApplicationAppealed { application_id, .. }
        | E::ChangeProposed { application_id, .. } => {
            vec![step(recorded, Kind::Request), waits(recorded, *application_id)]
        }
        E::ApplicationApproved { application_id, .. } | E::ChangeApproved { application_id, .. } => {
            [vec![step(recorded, Kind::Approval)], answered(recorded, *application_id)].concat()
        }
        E::ApplicationDenied { application_id, .. } | E::ChangeDenied { application_id, .. } => {
            [vec![step(recorded, Kind::Denial)], answered(recorded, *application_id)].concat()
        }
        E::ChangesRequested { application_id, .. } => answered(recorded, *application_id),
        E::ApplicationRevoked { application_id, .. } => {
            vec![step(recorded, Kind::Revocation), waits_no_longer(*application_id)]
        }
        E::ApplicationWithdrawn { application_id, .. } | E::ChangeWithdrawn { application_id, .. } => {
            vec![waits_no_longer(*application_id)]
        }
        E::ApplicationEdited { .. }
        | E::ReviewClaimed { .. }
        | E::ReviewReleased { .. }
        | E::ReviewSigned { .. }
        | E::ApplicationSuspended { .. }
        | E::ApplicationReinstated { .. }
        | E::ClientIdRotated { .. } => vec![],
    }
}

fn at(recorded: &Recorded<Event>) -> Value {
    recorded.envelope.recorded_at.into()
}

fn step(recorded: &Recorded<Event>, kind: Kind) -> Change {
    let set = vec![("kind", kind.as_str().into()), ("recorded_at", at(recorded))];
    Change::Upsert { table: &STEPS, key: vec![position(recorded)], set }
}

fn waits(recorded: &Recorded<Event>, application: ApplicationId) -> Change {
    Change::Upsert { table: &WAITS, key: vec![id(application)], set: vec![("waiting_since", at(recorded))] }
}

fn waits_no_longer(application: ApplicationId) -> Change {
    Change::Delete { table: &WAITS, key: vec![id(application)] }
}

/// What waited has its answer.
fn answered(recorded: &Recorded<Event>, application: ApplicationId) -> Vec<Change> {
    let answer = Change::Copy {
        into: &ANSWERS,
        from: &WAITS,
        by: "application_id",
        equals: id(application),
        columns: vec![
            ("position", Source::Value(position(recorded))),
            ("waiting_since", Source::Column("waiting_since")),
            ("answered_at", Source::Value(at(recorded))),
        ],
    };
    vec![answer, waits_no_longer(application)]
}
