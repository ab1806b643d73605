//! Members: registered, given roles, suspended, erased; and the claim on a username.
//! Passwords are the vault's: events name only the verifier that is in force.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    decider::Decider,
    ids::{DataKeyId, UserId, UsernameDigest, VerifierId},
    recorded::{StreamName, Timestamp},
    sensitive::Personal,
};

#[cfg(test)]
mod tests;

/// The stream of a member.
#[must_use]
pub const fn stream(user: UserId) -> StreamName {
    StreamName::Account(user)
}

/// What a member may do beyond being one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Decides on applications.
    Reviewer,
    /// Reads everything, changes nothing.
    Auditor,
    /// Sees how the site runs.
    Operator,
    /// All of them, and gives roles.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Reviewer, Self::Auditor, Self::Operator, Self::Admin];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reviewer => "reviewer",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role; roles are reviewer, auditor, operator and admin")]
pub struct UnknownRole(pub String);

impl std::str::FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// The roles a member holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    /// No role.
    pub const NONE: Self = Self(BTreeSet::new());

    /// Whether `role` is held, by itself or because an admin holds all of them.
    #[must_use]
    pub fn allow(&self, role: Role) -> bool {
        self.0.contains(&role) || self.0.contains(&Role::Admin)
    }

    /// The roles that were granted, in order.
    pub fn iter(&self) -> impl Iterator<Item = Role> + '_ {
        self.0.iter().copied()
    }

    /// With `role` added.
    #[must_use]
    pub fn with(mut self, role: Role) -> Self {
        self.0.insert(role);
        self
    }

    /// With `role` taken away.
    #[must_use]
    pub fn without(mut self, role: Role) -> Self {
        self.0.remove(&role);
        self
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().collect())
    }
}

/// What happened to a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum AccountEvent {
    /// Somebody joined. The vault's row for `verifier` and `data_key` live because this names them.
    UserRegistered {
        user_id: UserId,
        username: Personal,
        username_digest: UsernameDigest,
        verifier: VerifierId,
        data_key: DataKeyId,
        at: Timestamp,
    },
    /// A role was given.
    RoleGranted { user_id: UserId, role: Role, at: Timestamp },
    /// A role was taken back.
    RoleWithdrawn { user_id: UserId, role: Role, at: Timestamp },
    /// The password changed; that it did is all the log knows.
    PasswordChanged { user_id: UserId, verifier: VerifierId, at: Timestamp },
    /// The member's sessions and tokens rest.
    UserSuspended { user_id: UserId, at: Timestamp },
    /// They live again.
    UserReinstated { user_id: UserId, at: Timestamp },
    /// The member's data key was destroyed.
    UserErased { user_id: UserId, at: Timestamp },
}

/// Whether a member may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountStanding {
    /// May act.
    Active,
    /// May not, until reinstated.
    Suspended,
    /// Never again.
    Erased,
}

impl AccountStanding {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Erased => "erased",
        }
    }
}

/// A member, or nobody yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Account {
    /// Nobody registered under this id.
    #[default]
    Unregistered,
    /// Somebody did.
    Registered {
        /// The member.
        user_id: UserId,
        /// The username claimed, to be released again.
        username: UsernameDigest,
        /// Roles held.
        roles: Roles,
        /// Whether the member may act.
        standing: AccountStanding,
    },
}

/// What can be asked of a member's account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum AccountCommand {
    /// Join. The username's uniqueness is the claim's affair.
    Register {
        user_id: UserId,
        username: Personal,
        username_digest: UsernameDigest,
        verifier: VerifierId,
        data_key: DataKeyId,
        at: Timestamp,
    },
    GrantRole {
        role: Role,
        at: Timestamp,
    },
    /// `another_admin`: whether an active administrator other than this member exists.
    WithdrawRole {
        role: Role,
        another_admin: bool,
        at: Timestamp,
    },
    ChangePassword {
        verifier: VerifierId,
        at: Timestamp,
    },
    /// `another_admin`: whether an active administrator other than this member exists.
    Suspend {
        another_admin: bool,
        at: Timestamp,
    },
    Reinstate {
        at: Timestamp,
    },
    /// `another_admin`: whether an active administrator other than this member exists.
    Erase {
        another_admin: bool,
        at: Timestamp,
    },
}

/// Why an account command may not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountRefusal {
    /// The id is taken.
    #[error("this account exists already")]
    AlreadyRegistered,
    /// There is no such account.
    #[error("no such account")]
    NotRegistered,
    /// The site would have nobody left to run it.
    #[error(
        "the last administrator can neither be suspended nor erased nor lose the role; make another administrator first"
    )]
    LastAdministrator,
    /// Erasure is for good.
    #[error("this account was erased")]
    Erased,
}

impl Decider for Account {
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Refusal = AccountRefusal;

    fn decide(&self, command: AccountCommand) -> Result<Vec<AccountEvent>, AccountRefusal> {
        use AccountCommand as C;
        use AccountEvent as E;
        let (user_id, roles, standing) = match (self, command) {
            (Self::Unregistered, C::Register { user_id, username, username_digest, verifier, data_key, at }) => {
                return Ok(vec![E::UserRegistered { user_id, username, username_digest, verifier, data_key, at }]);
            }
            (Self::Unregistered, _) => return Err(AccountRefusal::NotRegistered),
            (Self::Registered { .. }, C::Register { .. }) => return Err(AccountRefusal::AlreadyRegistered),
            (Self::Registered { standing: AccountStanding::Erased, .. }, C::Erase { .. }) => return Ok(vec![]),
            (Self::Registered { standing: AccountStanding::Erased, .. }, _) => return Err(AccountRefusal::Erased),
            (Self::Registered { user_id, roles, standing, .. }, command) => (*user_id, (roles, command), *standing),
        };
        let (roles, command) = roles;
        let holds = |role| roles.iter().any(|held| held == role);
        let last_admin = |another: bool| holds(Role::Admin) && !another;
        Ok(match command {
            C::GrantRole { role, .. } if holds(role) => vec![],
            C::GrantRole { role, at } => vec![E::RoleGranted { user_id, role, at }],
            C::WithdrawRole { role, .. } if !holds(role) => vec![],
            C::WithdrawRole { role: Role::Admin, another_admin: false, .. } => {
                return Err(AccountRefusal::LastAdministrator);
            }
            C::WithdrawRole { role, at, .. } => vec![E::RoleWithdrawn { user_id, role, at }],
            C::ChangePassword { verifier, at } => vec![E::PasswordChanged { user_id, verifier, at }],
            C::Suspend { .. } if standing == AccountStanding::Suspended => vec![],
            C::Suspend { another_admin, .. } if last_admin(another_admin) => {
                return Err(AccountRefusal::LastAdministrator);
            }
            C::Suspend { at, .. } => vec![E::UserSuspended { user_id, at }],
            C::Reinstate { .. } if standing == AccountStanding::Active => vec![],
            C::Reinstate { at } => vec![E::UserReinstated { user_id, at }],
            C::Erase { another_admin, .. } if last_admin(another_admin) => {
                return Err(AccountRefusal::LastAdministrator);
            }
            C::Erase { at, .. } => vec![E::UserErased { user_id, at }],
            C::Register { .. } => return Err(AccountRefusal::AlreadyRegistered),
        })
    }

    fn evolve(self, event: &AccountEvent) -> Self {
        use AccountEvent as E;
        let Self::Registered { user_id, username, roles, standing } = self else {
            return match event {
                E::UserRegistered { user_id, username_digest, .. } => Self::Registered {
                    user_id: *user_id,
                    username: username_digest.clone(),
                    roles: Roles::default(),
                    standing: AccountStanding::Active,
                },
                _ => Self::Unregistered,
            };
        };
        let (roles, standing) = match event {
            E::UserRegistered { .. } | E::PasswordChanged { .. } => (roles, standing),
            E::RoleGranted { role, .. } => (roles.with(*role), standing),
            E::RoleWithdrawn { role, .. } => (roles.without(*role), standing),
            E::UserSuspended { .. } => (roles, AccountStanding::Suspended),
            E::UserReinstated { .. } => (roles, AccountStanding::Active),
            E::UserErased { .. } => (Roles::default(), AccountStanding::Erased),
        };
        Self::Registered { user_id, username, roles, standing }
    }
}

/// What happened to a username, which its stream names by a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum UsernameEvent {
    /// It belongs to a member now.
    UsernameClaimed { user_id: UserId },
    /// It is free again.
    UsernameReleased { user_id: UserId },
}

/// The claim on a username.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Username(Option<UserId>);

/// What can be asked of a username.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum UsernameCommand {
    Claim { user_id: UserId },
    Release { user_id: UserId },
}

/// Somebody has this username.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this username is taken; choose another")]
pub struct UsernameTaken;

impl Decider for Username {
    type Command = UsernameCommand;
    type Event = UsernameEvent;
    type Refusal = UsernameTaken;

    fn decide(&self, command: UsernameCommand) -> Result<Vec<UsernameEvent>, UsernameTaken> {
        match (self.0, command) {
            (None, UsernameCommand::Claim { user_id }) => Ok(vec![UsernameEvent::UsernameClaimed { user_id }]),
            (Some(owner), UsernameCommand::Claim { user_id }) if owner == user_id => Ok(vec![]),
            (Some(owner), UsernameCommand::Release { user_id }) if owner == user_id => {
                Ok(vec![UsernameEvent::UsernameReleased { user_id }])
            }
            (None, UsernameCommand::Release { .. }) => Ok(vec![]),
            (Some(_), _) => Err(UsernameTaken),
        }
    }

    fn evolve(self, event: &UsernameEvent) -> Self {
        match event {
            UsernameEvent::UsernameClaimed { user_id } => Self(Some(*user_id)),
            UsernameEvent::UsernameReleased { .. } => Self(None),
        }
    }
}
