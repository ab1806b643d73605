//! Applications: what each asks for, where it stands, who decided. The text of a reason stays in
//! the log, under the site's key; `reason_position` says where.

use countersign_events::{
    application::{ApplicationEvent, Asked, Decision, Standing},
    event::Event,
    ids::{ApplicationId, UserId},
    recorded::{Recorded, Timestamp},
};

use crate::{
    Projection,
    change::{Change, Set, Table, Value, id, integer, text},
};

/// One row an application.
pub const APPLICATIONS: Table = Table {
    name: "applications",
    key: &[text("application_id")],
    columns: &[
        text("owner_id"),
        text("standing"),
        text("purpose"),
        text("name"),
        text("description"),
        text("website"),
        text("redirect_uris"),
        text("scopes"),
        integer("revision"),
        integer("holds"),
        integer("revised_at"),
        text("client_id"),
        text("proposed"),
        integer("requested_at"),
        integer("waiting_since"),
        integer("answered_at"),
        text("claimed_by"),
        integer("claimed_at"),
        text("signed_by"),
        integer("signed_at"),
        integer("decided_at"),
        text("decided_by"),
        text("reason_code"),
        integer("reason_position"),
    ],
    indexes: &[
        &["owner_id", "requested_at"],
        &["client_id"],
        &["requested_at"],
        &["standing", "requested_at"],
        // What waits for a reviewer has no answer yet: the queue, and how long the last answers took.
        &["answered_at", "waiting_since"],
    ],
    ends: &[],
};

/// Inline.
pub const PROJECTION: Projection =
    Projection { name: "applications", revision: 2, tables: &[&APPLICATIONS], categories: &["application"], project };

fn project(recorded: &Recorded<Event>) -> Vec<Change> {
    use ApplicationEvent as E;
    let Event::Application(event) = &recorded.event else { return vec![] };
    let (application_id, set) = match event {
        E::ApplicationRequested { application_id, owner, asked, at } => {
            return vec![requested(*application_id, *owner, asked, *at)];
        }
        E::ApplicationEdited { application_id, asked: what, revision, at } => {
            (application_id, [asked(what), revised(*revision, *at)].concat())
        }
        E::ReviewClaimed { application_id, by, at } => {
            (application_id, vec![("claimed_by", id(by)), ("claimed_at", (*at).into())])
        }
        E::ReviewReleased { application_id, .. } => (application_id, released()),
        E::ReviewSigned { application_id, decision } => {
            let signed = vec![("signed_by", id(decision.by)), ("signed_at", decision.at.into())];
            (application_id, [released(), signed].concat())
        }
        E::ApplicationResubmitted { application_id, asked: what, revision, at } => {
            (application_id, [asked(what), revised(*revision, *at), under_review(*at)].concat())
        }
        E::ApplicationAppealed { application_id, at, .. } => (application_id, under_review(*at)),
        E::ChangesRequested { application_id, decision } => {
            (application_id, [decided(recorded, Standing::ChangesRequested, decision), answered(decision)].concat())
        }
        E::ApplicationDenied { application_id, decision } => {
            (application_id, [decided(recorded, Standing::Denied, decision), answered(decision)].concat())
        }
        E::ApplicationApproved { application_id, client_id, decision } => {
            let client = vec![("client_id", id(client_id))];
            (application_id, [decided(recorded, Standing::Approved, decision), answered(decision), client].concat())
        }
        E::ChangeProposed { application_id, asked, revision, at } => {
            let proposed = serde_json::to_string(asked).expect("what is asked for is plain data");
            let proposed = vec![
                ("proposed", proposed.into()),
                ("revision", (*revision).into()),
                ("revised_at", (*at).into()),
                ("waiting_since", (*at).into()),
                ("answered_at", Value::Null),
            ];
            (application_id, [proposed, unsigned()].concat())
        }
        E::ChangeApproved { application_id, asked: what, decision } => {
            let holds = vec![("holds", decision.revision.into())];
            (application_id, [asked(what), holds, without_change(), answered(decision)].concat())
        }
        E::ChangeDenied { application_id, decision } => {
            (application_id, [without_change(), answered(decision)].concat())
        }
        E::ChangeWithdrawn { application_id, .. } => (application_id, [without_change(), no_longer_waiting()].concat()),
        E::ApplicationSuspended { application_id, decision } => {
            (application_id, decided(recorded, Standing::Suspended, decision))
        }
        E::ApplicationReinstated { application_id, decision } => {
            (application_id, decided(recorded, Standing::Approved, decision))
        }
        E::ApplicationRevoked { application_id, decision } => {
            let decided = decided(recorded, Standing::Revoked, decision);
            (application_id, [decided, without_change(), no_longer_waiting()].concat())
        }
        E::ApplicationWithdrawn { application_id, .. } => {
            let standing = vec![("standing", Standing::Withdrawn.as_str().into())];
            (application_id, [standing, without_change(), no_longer_waiting()].concat())
        }
        E::ClientIdRotated { application_id, client_id, .. } => (application_id, vec![("client_id", id(client_id))]),
    };
    vec![Change::Patch { table: &APPLICATIONS, key: vec![id(application_id)], set }]
}

fn requested(application: ApplicationId, owner: UserId, what: &Asked, at: Timestamp) -> Change {
    let mut set = vec![("owner_id", id(owner)), ("standing", Standing::UnderReview.as_str().into())];
    set.extend(asked(what));
    let at = Value::from(at);
    set.extend([
        ("revision", 1_u32.into()),
        ("holds", 1_u32.into()),
        ("revised_at", at.clone()),
        ("client_id", Value::Null),
        ("proposed", Value::Null),
        ("requested_at", at.clone()),
        ("waiting_since", at),
    ]);
    let later = APPLICATIONS.columns.iter().skip(set.len()).map(|column| (column.name, Value::Null));
    set.extend(later.collect::<Vec<_>>());
    Change::Upsert { table: &APPLICATIONS, key: vec![id(application)], set }
}

fn asked(asked: &Asked) -> Set {
    let uris: Vec<_> = asked.redirect_uris.iter().map(ToString::to_string).collect();
    vec![
        ("purpose", id(asked.purpose)),
        ("name", asked.name.as_str().into()),
        ("description", asked.description.as_str().into()),
        ("website", asked.website.as_deref().into()),
        // One a line: a redirect URI holds no line break.
        ("redirect_uris", uris.join("\n").into()),
        ("scopes", id(asked.scopes)),
    ]
}

/// What is asked for is another thing now; who signed the one before has signed nothing.
fn revised(revision: u32, at: Timestamp) -> Set {
    let revised = vec![("revision", revision.into()), ("holds", revision.into()), ("revised_at", at.into())];
    [revised, unsigned()].concat()
}

fn unsigned() -> Set {
    vec![("signed_by", Value::Null), ("signed_at", Value::Null)]
}

fn released() -> Set {
    vec![("claimed_by", Value::Null), ("claimed_at", Value::Null)]
}

fn under_review(at: Timestamp) -> Set {
    vec![
        ("standing", Standing::UnderReview.as_str().into()),
        ("waiting_since", at.into()),
        ("answered_at", Value::Null),
    ]
}

fn decided(recorded: &Recorded<Event>, standing: Standing, decision: &Decision) -> Set {
    vec![
        ("standing", standing.as_str().into()),
        ("decided_at", decision.at.into()),
        ("decided_by", id(decision.by)),
        ("reason_code", decision.reason_code.as_str().into()),
        ("reason_position", position(recorded)),
    ]
}

/// The queue has its answer; with it end claim and first signature.
fn answered(decision: &Decision) -> Set {
    [vec![("answered_at", decision.at.into())], released(), unsigned()].concat()
}

fn no_longer_waiting() -> Set {
    [vec![("waiting_since", Value::Null), ("answered_at", Value::Null)], released(), unsigned()].concat()
}

fn without_change() -> Set {
    vec![("proposed", Value::Null)]
}

/// The position of an event as a value.
pub(crate) fn position(recorded: &Recorded<Event>) -> Value {
    i64::try_from(recorded.envelope.position.0).expect("no log has 2^63 events").into()
}
