//! Who is there, and when they joined.

use countersign_events::account::Role;

use super::teller::{Act, Deed, ago};

/// Somebody of the cast.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Username.
    pub name: &'static str,
    /// Their role, besides being a member.
    pub role: Option<Role>,
    /// Who they are to whoever tries the site.
    pub about: &'static str,
}

const fn part(name: &'static str, role: Option<Role>, about: &'static str) -> Part {
    Part { name, role, about }
}

/// Everybody.
pub const CAST: [Part; 13] = [
    part("ada", Some(Role::Admin), "administrator"),
    part("rob", Some(Role::Reviewer), "reviewer"),
    part("mia", Some(Role::Reviewer), "second reviewer"),
    part("otto", Some(Role::Auditor), "auditor"),
    part("olga", Some(Role::Operator), "operator"),
    part("ben", None, "member, with unread notifications and a token that waits in the inbox"),
    part("cleo", None, "developer of approved applications"),
    part("dara", None, "developer, with a proposed change under review"),
    part("finn", None, "member with a request that is overdue"),
    part("gus", None, "member who appeals against a denial"),
    part("hana", None, "member with a suspended application"),
    part("ivan", None, "member whose application was revoked"),
    part("joe", None, "member whose client id was replaced"),
];

/// They join one after the other, five weeks ago; the first one sets the site up.
pub(super) fn joining() -> Vec<Act> {
    let joins = |(index, part): (i64, Part)| {
        let minutes_ago = ago(35, 0, 0) - index * 95;
        let mut acts = vec![Act { minutes_ago, deed: Deed::Join { name: part.name, first: index == 0 } }];
        if let (Some(role), 1..) = (part.role, index) {
            acts.push(Act { minutes_ago: minutes_ago - 12, deed: Deed::Grant { name: part.name, role } });
        }
        acts
    };
    (0..).zip(CAST).flat_map(joins).collect()
}
