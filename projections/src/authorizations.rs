//! Authorizations: which member lets which application do what.

use countersign_events::{
    authorization::{AuthorizationEvent, Via},
    event::Event,
    recorded::Recorded,
};

use crate::{
    Projection,
    change::{Change, Table, id, integer, text},
};

/// One row a member and application that ever met.
pub const AUTHORIZATIONS: Table = Table {
    name: "authorizations",
    key: &[text("application_id"), text("user_id")],
    columns: &[
        integer("granted"),
        text("scopes"),
        text("via"),
        integer("application_revision"),
        integer("authorized_at"),
        integer("rescinded_at"),
    ],
    indexes: &[&["user_id", "authorized_at"], &["rescinded_at"]],
    ends: &["rescinded_at"],
};

/// Inline.
pub const PROJECTION: Projection = Projection {
    name: "authorizations",
    revision: 2,
    tables: &[&AUTHORIZATIONS],
    categories: &["authorization"],
    project,
};

fn project(recorded: &Recorded<Event>) -> Vec<Change> {
    use AuthorizationEvent as E;
    let Event::Authorization(event) = &recorded.event else { return vec![] };
    match event {
        E::UserAuthorized { application_id, user_id, grant, application_revision, scopes, via, at } => {
            vec![Change::Upsert {
                table: &AUTHORIZATIONS,
                key: vec![id(application_id), id(user_id)],
                set: vec![
                    ("granted", (*grant).into()),
                    ("scopes", id(scopes)),
                    ("via", via_text(*via).into()),
                    ("application_revision", (*application_revision).into()),
                    ("authorized_at", (*at).into()),
                    ("rescinded_at", crate::Value::Null),
                ],
            }]
        }
        E::AuthorizationRescinded { application_id, user_id, at } => vec![Change::Patch {
            table: &AUTHORIZATIONS,
            key: vec![id(application_id), id(user_id)],
            set: vec![("rescinded_at", (*at).into())],
        }],
        E::AuthorizationDenied { .. } | E::TokenIssued { .. } | E::TokenRevoked { .. } => vec![],
    }
}

const fn via_text(via: Via) -> &'static str {
    match via {
        Via::Consent => "consent",
        Via::Approval => "approval",
        Via::Operator => "operator",
    }
}
