//! Applications: what each asks for, where it stands, who decided. The text of a reason stays in
//! the log, under the site's key; `reason_position` says where.

use countersign_events::{
    application::{ApplicationEvent, Asked, Decision, Standing},
    event::Event,
    ids::ApplicationId,
    recorded::Recorded,
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
        text("client_id"),
        text("proposed"),
        integer("requested_at"),
        integer("decided_at"),
        text("decided_by"),
        text("reason_code"),
        integer("reason_position"),
    ],
    indexes: &[&["owner_id", "requested_at"], &["client_id"], &["requested_at"], &["standing", "requested_at"]],
};

/// Inline.
pub const PROJECTION: Projection =
    Projection { name: "applications", revision: 1, tables: &[&APPLICATIONS], categories: &["application"], project };

fn project(recorded: &Recorded<Event>) -> Vec<Change> {
    use ApplicationEvent as E;
    let Event::Application(event) = &recorded.event else { return vec![] };
    let decided = |application_id: &ApplicationId, standing, decision| {
        vec![patch(*application_id, decided(recorded, standing, decision))]
    };
    match event {
        E::ApplicationRequested { application_id, owner, asked: what, at } => {
            let mut set = vec![("owner_id", id(owner)), ("standing", Standing::UnderReview.as_str().into())];
            set.extend(asked(what));
            set.extend([
                ("revision", 1_u32.into()),
                ("client_id", Value::Null),
                ("proposed", Value::Null),
                ("requested_at", (*at).into()),
                ("decided_at", Value::Null),
                ("decided_by", Value::Null),
                ("reason_code", Value::Null),
                ("reason_position", Value::Null),
            ]);
            vec![Change::Upsert { table: &APPLICATIONS, key: vec![id(application_id)], set }]
        }
        E::ApplicationEdited { application_id, asked: what, revision, .. } => {
            let mut set = asked(what);
            set.push(("revision", (*revision).into()));
            vec![patch(*application_id, set)]
        }
        E::ApplicationResubmitted { application_id, asked: what, revision, .. } => {
            let mut set = asked(what);
            set.extend([("revision", (*revision).into()), ("standing", Standing::UnderReview.as_str().into())]);
            vec![patch(*application_id, set)]
        }
        E::ApplicationApproved { application_id, client_id, decision } => {
            let mut set = self::decided(recorded, Standing::Approved, decision);
            set.push(("client_id", id(client_id)));
            vec![patch(*application_id, set)]
        }
        E::ChangesRequested { application_id, decision } => {
            decided(application_id, Standing::ChangesRequested, decision)
        }
        E::ApplicationDenied { application_id, decision } => decided(application_id, Standing::Denied, decision),
        E::ApplicationSuspended { application_id, decision } => decided(application_id, Standing::Suspended, decision),
        E::ApplicationReinstated { application_id, decision } => decided(application_id, Standing::Approved, decision),
        E::ApplicationRevoked { application_id, decision } => decided(application_id, Standing::Revoked, decision),
        E::ApplicationAppealed { application_id, .. } => {
            vec![patch(*application_id, vec![("standing", Standing::UnderReview.as_str().into())])]
        }
        E::ApplicationWithdrawn { application_id, .. } => {
            vec![patch(*application_id, vec![("standing", Standing::Withdrawn.as_str().into())])]
        }
        E::ChangeProposed { application_id, asked, revision, .. } => {
            let proposed = serde_json::to_string(asked).expect("what is asked for is plain data");
            vec![patch(*application_id, vec![("proposed", proposed.into()), ("revision", (*revision).into())])]
        }
        E::ChangeDenied { application_id, .. } | E::ChangeWithdrawn { application_id, .. } => {
            vec![patch(*application_id, vec![("proposed", Value::Null)])]
        }
        E::ClientIdRotated { application_id, client_id, .. } => {
            vec![patch(*application_id, vec![("client_id", id(client_id))])]
        }
        // "Review in full" gives approved changes their decider; until it does, no such event is written.
        E::ChangeApproved { .. } | E::ReviewClaimed { .. } | E::ReviewReleased { .. } | E::ReviewSigned { .. } => {
            vec![]
        }
    }
}

fn patch(application: ApplicationId, set: Set) -> Change {
    Change::Patch { table: &APPLICATIONS, key: vec![id(application)], set }
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

fn decided(recorded: &Recorded<Event>, standing: Standing, decision: &Decision) -> Set {
    vec![
        ("standing", standing.as_str().into()),
        ("decided_at", decision.at.into()),
        ("decided_by", id(decision.by)),
        ("reason_code", decision.reason_code.as_str().into()),
        ("reason_position", position(recorded)),
    ]
}

/// The position of an event as a value.
pub(crate) fn position(recorded: &Recorded<Event>) -> Value {
    i64::try_from(recorded.envelope.position.0).expect("no log has 2^63 events").into()
}
