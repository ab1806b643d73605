//! Members: name, roles, standing, which verifier and data key are in force.

use countersign_events::{
    account::{AccountEvent, AccountStanding, Role},
    event::Event,
    ids::UserId,
    recorded::Recorded,
};

use crate::{
    Projection,
    change::{Change, Set, Table, Value, id, integer, personal, text},
};

/// One row a member.
pub const ACCOUNTS: Table = Table {
    name: "accounts",
    key: &[text("user_id")],
    columns: &[
        personal("username"),
        text("username_digest"),
        text("standing"),
        integer("reviewer"),
        integer("auditor"),
        integer("operator"),
        integer("admin"),
        text("verifier"),
        text("data_key"),
        integer("registered_at"),
    ],
    indexes: &[&["username_digest"]],
    ends: &[],
};

/// Inline.
pub const PROJECTION: Projection =
    Projection { name: "accounts", revision: 1, tables: &[&ACCOUNTS], categories: &["account"], project };

fn project(recorded: &Recorded<Event>) -> Vec<Change> {
    use AccountEvent as E;
    let Event::Account(event) = &recorded.event else { return vec![] };
    match event {
        E::UserRegistered { user_id, username, username_digest, verifier, data_key, .. } => vec![Change::Upsert {
            table: &ACCOUNTS,
            key: vec![id(user_id)],
            set: vec![
                ("username", username.into()),
                ("username_digest", username_digest.as_str().into()),
                ("standing", AccountStanding::Active.as_str().into()),
                ("reviewer", false.into()),
                ("auditor", false.into()),
                ("operator", false.into()),
                ("admin", false.into()),
                ("verifier", id(verifier)),
                ("data_key", id(data_key)),
                ("registered_at", recorded.envelope.recorded_at.into()),
            ],
        }],
        E::RoleGranted { user_id, role, .. } => patch(*user_id, vec![(column(*role), true.into())]),
        E::RoleWithdrawn { user_id, role, .. } => patch(*user_id, vec![(column(*role), false.into())]),
        E::PasswordChanged { user_id, verifier, .. } => patch(*user_id, vec![("verifier", id(verifier))]),
        E::UserSuspended { user_id, .. } => patch(*user_id, standing(AccountStanding::Suspended)),
        E::UserReinstated { user_id, .. } => patch(*user_id, standing(AccountStanding::Active)),
        E::UserErased { user_id, .. } => {
            let mut set = standing(AccountStanding::Erased);
            set.extend(Role::ALL.map(|role| (column(role), false.into())));
            // The digest goes too: whoever claims the name next must be the only one found by it.
            set.extend([("username", Value::Null), ("username_digest", Value::Null)]);
            patch(*user_id, set)
        }
    }
}

fn patch(user: UserId, set: Set) -> Vec<Change> {
    vec![Change::Patch { table: &ACCOUNTS, key: vec![id(user)], set }]
}

fn standing(standing: AccountStanding) -> Set {
    vec![("standing", standing.as_str().into())]
}

const fn column(role: Role) -> &'static str {
    role.as_str()
}
