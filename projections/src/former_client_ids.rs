//! Client ids that were rotated away: whose they were, and since when they are not. How long they are answered with
//! "rotated" is the shell's to say.

use countersign_events::{application::ApplicationEvent, event::Event, recorded::Recorded};

use crate::{
    Projection,
    change::{Change, Table, id, integer, text},
};

/// One row a client id that was rotated away.
pub const FORMER_CLIENT_IDS: Table = Table {
    name: "former_client_ids",
    key: &[text("client_id")],
    columns: &[text("application_id"), integer("rotated_at")],
    indexes: &[],
    ends: &[],
};

/// Inline.
pub const PROJECTION: Projection = Projection {
    name: "former_client_ids",
    revision: 1,
    tables: &[&FORMER_CLIENT_IDS],
    categories: &["application"],
    project,
};

fn project(recorded: &Recorded<Event>) -> Vec<Change> {
    match &recorded.event {
        Event::Application(ApplicationEvent::ClientIdRotated { application_id, previous, at, .. }) => {
            let set = vec![("application_id", id(application_id)), ("rotated_at", (*at).into())];
            vec![Change::Upsert { table: &FORMER_CLIENT_IDS, key: vec![id(previous)], set }]
        }
        _ => vec![],
    }
}
