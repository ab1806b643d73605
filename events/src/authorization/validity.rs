//! Whether a token is valid: the one predicate that every door asks.

use crate::{
    account::{AccountStanding, Role, Roles},
    application::Standing,
    recorded::Timestamp,
    scope::{Scope, ScopeSet},
};

/// What is known of a token when it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenFacts {
    /// The grant it came of.
    pub grant: u32,
    /// What it may do.
    pub scopes: ScopeSet,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Whether it was ended.
    pub ended: bool,
}

/// What is known of the authorization behind a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorizationFacts {
    /// The newest grant.
    pub grant: u32,
    /// Whether it was rescinded since.
    pub rescinded: bool,
}

/// What is known of the member behind a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFacts {
    /// Whether the member may act.
    pub standing: AccountStanding,
    /// The roles held.
    pub roles: Roles,
}

/// Why a token that exists is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// It, its authorization, its application, or the role it rests on was ended.
    #[error("the token was revoked")]
    Revoked,
    /// Its application rests.
    #[error("the application is suspended")]
    ApplicationSuspended,
    /// Its member rests.
    #[error("the member is suspended")]
    UserSuspended,
}

/// Whether scopes rest on a role that is not held.
#[must_use]
pub fn rests_on_lost_role(scopes: ScopeSet, roles: &Roles) -> bool {
    [(Scope::Review, Role::Reviewer), (Scope::Audit, Role::Auditor)]
        .into_iter()
        .any(|(scope, role)| scopes.contains(scope) && !roles.allow(role))
}

/// Whether a token is valid now: the one answer that every door gives. It composes four look-ups,
/// so that suspending an application or a member touches one row and not every token.
///
/// # Errors
/// Why it is not; what ended for good is said before what merely rests.
pub fn token_valid(
    token: &TokenFacts,
    authorization: AuthorizationFacts,
    application: Standing,
    user: &UserFacts,
    now: Timestamp,
) -> Result<(), TokenRefusal> {
    // The role's withdrawal ends such tokens by an event; older logs lack it.
    let roleless = rests_on_lost_role(token.scopes, &user.roles);
    if token.ended || authorization.rescinded || authorization.grant != token.grant || roleless {
        return Err(TokenRefusal::Revoked);
    }
    if user.standing == AccountStanding::Erased || !matches!(application, Standing::Approved | Standing::Suspended) {
        return Err(TokenRefusal::Revoked);
    }
    match (user.standing, application) {
        _ if token.expires_at.is_some_and(|end| end <= now) => Err(TokenRefusal::Expired),
        (AccountStanding::Active, Standing::Approved) => Ok(()),
        (AccountStanding::Active, _) => Err(TokenRefusal::ApplicationSuspended),
        (AccountStanding::Suspended | AccountStanding::Erased, _) => Err(TokenRefusal::UserSuspended),
    }
}
