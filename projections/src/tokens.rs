//! Tokens, by digest. The plain text of a token is nowhere.

use countersign_events::{authorization::AuthorizationEvent, event::Event, recorded::Recorded};

use crate::{
    Projection,
    change::{Change, Table, Value, bytes, id, integer, text},
};

/// One row a token.
pub const TOKENS: Table = Table {
    name: "tokens",
    key: &[bytes("digest")],
    columns: &[
        text("token_id"),
        text("application_id"),
        text("user_id"),
        integer("granted"),
        text("kind"),
        text("scopes"),
        integer("issued_at"),
        integer("expires_at"),
        integer("ended_at"),
        text("ended_why"),
        text("held"),
    ],
    indexes: &[&["token_id"], &["user_id", "issued_at"], &["expires_at"], &["ended_at"]],
    ends: &["expires_at", "ended_at"],
};

/// Inline.
pub const PROJECTION: Projection =
    Projection { name: "tokens", revision: 2, tables: &[&TOKENS], categories: &["authorization"], project };

fn project(recorded: &Recorded<Event>) -> Vec<Change> {
    use AuthorizationEvent as E;
    let Event::Authorization(event) = &recorded.event else { return vec![] };
    match event {
        E::TokenIssued { application_id, user_id, grant, token_id, kind, digest, scopes, expires_at, held, at } => {
            vec![Change::Upsert {
                table: &TOKENS,
                key: vec![Value::Bytes(digest.as_bytes().to_vec())],
                set: vec![
                    ("token_id", id(token_id)),
                    ("application_id", id(application_id)),
                    ("user_id", id(user_id)),
                    ("granted", (*grant).into()),
                    ("kind", kind.as_str().into()),
                    ("scopes", id(scopes)),
                    ("issued_at", (*at).into()),
                    ("expires_at", (*expires_at).into()),
                    ("ended_at", Value::Null),
                    ("ended_why", Value::Null),
                    ("held", held.map(|secret| secret.to_string()).into()),
                ],
            }]
        }
        E::TokenRevoked { digest, why, at, .. } => vec![Change::Patch {
            table: &TOKENS,
            key: vec![Value::Bytes(digest.as_bytes().to_vec())],
            set: vec![("ended_at", (*at).into()), ("ended_why", why.as_str().into())],
        }],
        // Tokens of an earlier grant are dead without a row of theirs being touched.
        E::UserAuthorized { .. } | E::AuthorizationDenied { .. } | E::AuthorizationRescinded { .. } => vec![],
    }
}
