//! Members at pages that only holders of a role may see. Others are sent to log in, or told which role it takes.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use countersign_events::account::Role;

use super::Member;
use crate::{
    app::{App, AppError},
    web::pages::PageError,
};

/// Whose pages are below `/admin`; an administrator may see each.
pub const STAFF: [Role; 3] = [Role::Reviewer, Role::Auditor, Role::Operator];

/// What others are told.
pub const FOR_STAFF: &str = "This is for reviewers, auditors and operators.";

macro_rules! holders {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        pub struct $name(pub Member);

        impl FromRequestParts<Arc<App>> for $name {
            type Rejection = Response;

            async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
                let member = Member::from_request_parts(parts, app).await?;
                if holds(&member, Role::$name) {
                    return Ok(Self(member));
                }
                Err(PageError::from(AppError::RoleMissing(Role::$name)).into_response())
            }
        }
    )+};
}

holders! {
    /// A reviewer at a page.
    Reviewer;
    /// An auditor at a page.
    Auditor;
    /// An operator at a page.
    Operator;
}

/// A holder of any role of [`STAFF`] at a page.
pub struct Staff(pub Member);

impl FromRequestParts<Arc<App>> for Staff {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let member = Member::from_request_parts(parts, app).await?;
        if STAFF.iter().any(|role| holds(&member, *role)) {
            return Ok(Self(member));
        }
        Err(PageError::request(StatusCode::FORBIDDEN, FOR_STAFF).into_response())
    }
}

/// Whether a member may do what a role allows.
#[must_use]
pub fn holds(member: &Member, role: Role) -> bool {
    member.signed_in.member.facts.roles.allow(role)
}
