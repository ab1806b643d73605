//! What has to come of a command, and which tokens are valid, by the rules as they are written down for people.

use chrono::Duration;
use countersign::app::reviews::Verb;
use countersign_events::{account::Role, application::Standing, recorded::Timestamp};

use super::{
    Application, Being, Change, Command, Entry, Grant, Keeping, Member, Notice, OPEN_REQUESTS, Oracle, Outlook, Scopes,
    Shown, Token,
};

fn when(holds: bool, then: Outlook) -> Outlook {
    if holds { then } else { Outlook::Refused }
}

/// Done unless it is so already.
const fn unless(holds: bool) -> Outlook {
    if holds { Outlook::Holds } else { Outlook::Done }
}

impl Oracle {
    pub(super) fn may(&self, member: usize, role: Role) -> bool {
        let member = &self.members[member];
        member.being == Being::Active && (member.roles.contains(&role) || member.roles.contains(&Role::Admin))
    }

    pub fn is_active(&self, member: usize) -> bool {
        self.members[member].being == Being::Active
    }

    /// Who has the name of a member now: after an erasure it may be somebody else.
    pub(super) fn named_as(&self, member: usize) -> usize {
        let has = |other: &Member| other.being != Being::Erased && other.name == self.members[member].name;
        self.members.iter().position(has).unwrap_or(member)
    }

    /// Whether the site cannot know whether something is over that ends then.
    pub fn is_doubtful(&self, end: Timestamp) -> bool {
        self.doubt.is_some_and(|(early, late)| end > early && end <= late)
    }

    fn is_last_admin(&self, member: usize) -> bool {
        let others = (0..self.members.len()).filter(|other| *other != member);
        self.members[member].roles.contains(&Role::Admin)
            && !others.into_iter().any(|other| self.may(other, Role::Admin))
    }

    /// What has to come of a command now. Nothing does of a member who was suspended or erased; what was done before that is
    /// answered once more.
    pub fn outlook(&self, command: &Command, now: Timestamp) -> Outlook {
        match self.outlook_of_active(command, now) {
            Outlook::Done | Outlook::Holds if !self.sender(command).is_none_or(|member| self.is_active(member)) => {
                Outlook::Refused
            }
            outlook => outlook,
        }
    }

    fn outlook_of_active(&self, command: &Command, now: Timestamp) -> Outlook {
        match command {
            Command::Join { name, .. } => {
                let taken = self.members.iter().any(|member| member.being != Being::Erased && member.name == *name);
                when(!taken, Outlook::Done)
            }
            Command::Grant { member, role } => {
                let member = &self.members[*member];
                when(member.being != Being::Erased, unless(member.roles.contains(role)))
            }
            Command::Withdraw { member, role } => {
                let holds = self.members[*member].roles.contains(role);
                let last = *role == Role::Admin && self.is_last_admin(*member);
                let erased = self.members[*member].being == Being::Erased;
                when(!(erased || holds && last), unless(!holds))
            }
            Command::SuspendMember { member } => match self.members[*member].being {
                Being::Erased => Outlook::Refused,
                Being::Suspended => Outlook::Holds,
                Being::Active => when(!self.is_last_admin(*member), Outlook::Done),
            },
            Command::ReinstateMember { member } => match self.members[*member].being {
                Being::Erased => Outlook::Refused,
                Being::Active => Outlook::Holds,
                Being::Suspended => Outlook::Done,
            },
            Command::Erase { member } => match self.members[*member].being {
                Being::Erased => Outlook::Holds,
                _ => when(!self.is_last_admin(*member), Outlook::Done),
            },
            Command::Request { owner, .. } => {
                let open = |application: &&Application| {
                    application.owner == *owner
                        && matches!(application.standing, Standing::UnderReview | Standing::ChangesRequested)
                };
                when(self.applications.iter().filter(open).count() < OPEN_REQUESTS, Outlook::Done)
            }
            Command::Edit { by, application, .. }
            | Command::Resubmit { by, application, .. }
            | Command::Appeal { by, application, .. }
            | Command::WithdrawApplication { by, application }
            | Command::WithdrawChange { by, application, .. }
            | Command::Rotate { by, application } => {
                let owned = self.applications[*application].owner == *by && self.is_active(*by);
                when(owned, Self::outlook_of_owner(command, &self.applications[*application]))
            }
            Command::Review { by, application, verb, revision, .. } => {
                self.outlook_of_review(*by, &self.applications[*application], *verb, *revision, now)
            }
            Command::Agree { page } => self.outlook_of_answer(&self.pages[*page], true, now),
            Command::Refuse { page } => self.outlook_of_answer(&self.pages[*page], false, now),
            Command::Rescind { member, application } => match self.grants.get(&(*application, *member)) {
                None => Outlook::Refused,
                Some(grant) => unless(grant.granted.is_none()),
            },
            Command::RescindAll { member } => {
                let in_force = |((_, of), grant): (&(_, usize), &Grant)| of == member && grant.granted.is_some();
                unless(!self.grants.iter().any(in_force))
            }
            Command::Issue { member, scopes, .. } => {
                let role = |scope, role| !scopes.has(scope) || self.may(*member, role);
                let roles = role("review", Role::Reviewer) && role("audit", Role::Auditor);
                when(roles && self.members[*member].being != Being::Erased, Outlook::Done)
            }
            Command::EndToken { token, .. } => when(!self.tokens[*token].gone, unless(!self.is_live(*token))),
            Command::Regenerate { token } => when(self.can_have_another(*token, now), Outlook::Done),
            Command::Reveal { secret } => {
                let secret = &self.secrets[*secret];
                let worth = !matches!(self.valid(secret.token, now), Err("revoked" | "expired" | "unknown"));
                when(secret.keeping == Keeping::Held && secret.until > now && worth, Outlook::Done)
            }
            Command::Write { from, to, .. } => {
                let to = self.named_as(*to);
                when(*from != to && self.is_active(to), Outlook::Done)
            }
            Command::Publish { .. } | Command::Comment { .. } => Outlook::Done,
            Command::Vote { by, post, direction } => {
                unless(self.posts[*post].votes.get(by).copied().unwrap_or_default() == *direction)
            }
            Command::MarkRead { member, ids } => {
                let unread = |notice: &Notice| !notice.read && notice.id.is_some_and(|id| ids.contains(&id));
                unless(!self.members[*member].notices.iter().any(unread))
            }
        }
    }

    /// What has to come of a command that is sent again under its name.
    pub fn outlook_of_repeat(&self, number: usize, other: bool, now: Timestamp) -> Outlook {
        let outcome = &self.outcomes[number];
        if outcome.forgotten {
            return self.outlook(&outcome.command, now);
        }
        let again = Outlook::Again(outcome.value.clone());
        match &outcome.command {
            // What is looked at before the command's name is.
            Command::Review { by, .. } if !self.may(*by, Role::Reviewer) => Outlook::Refused,
            Command::EndToken { token, .. } | Command::Regenerate { token } if self.tokens[*token].gone => {
                Outlook::Refused
            }
            _ if other != outcome.other => Outlook::Refused,
            // The text is kept for ten minutes, and goes at some time after.
            Command::Regenerate { .. } if outcome.at + Duration::minutes(10) <= now => {
                Outlook::Perhaps(outcome.value.clone())
            }
            _ => again,
        }
    }

    /// Who says which revision they read overwrites no other one.
    fn outlook_of_owner(command: &Command, application: &Application) -> Outlook {
        let (Command::Edit { seen, .. } | Command::Resubmit { seen, .. } | Command::WithdrawChange { seen, .. }) =
            command
        else {
            return Self::outlook_of_owner_who_saw(command, application);
        };
        let has_seen = seen.is_none_or(|seen| seen == application.revision);
        match Self::outlook_of_owner_who_saw(command, application) {
            Outlook::Done => when(has_seen, Outlook::Done),
            other => other,
        }
    }

    fn outlook_of_owner_who_saw(command: &Command, application: &Application) -> Outlook {
        let standing = application.standing;
        match command {
            Command::Edit { wish, .. } => match standing {
                Standing::UnderReview => unless(*wish == application.wish),
                Standing::Approved if application.proposed.as_ref().unwrap_or(&application.wish) == wish => {
                    Outlook::Holds
                }
                Standing::Approved => when(wish.purpose == application.wish.purpose, Outlook::Done),
                _ => Outlook::Refused,
            },
            Command::Resubmit { wish, .. } => match standing {
                Standing::ChangesRequested => Outlook::Done,
                Standing::UnderReview if application.entry == Entry::Resubmission && *wish == application.wish => {
                    Outlook::Holds
                }
                _ => Outlook::Refused,
            },
            Command::Appeal { .. } => match standing {
                Standing::Denied => Outlook::Done,
                Standing::UnderReview if application.entry == Entry::Appeal => Outlook::Holds,
                _ => Outlook::Refused,
            },
            Command::WithdrawApplication { .. } => match standing {
                Standing::Withdrawn => Outlook::Holds,
                Standing::Denied | Standing::Revoked => Outlook::Refused,
                _ => Outlook::Done,
            },
            Command::WithdrawChange { .. } => match (&application.proposed, application.change) {
                (Some(_), _) => Outlook::Done,
                (None, Some((Change::Withdrawn, _))) => Outlook::Holds,
                _ => Outlook::Refused,
            },
            _ => when(standing == Standing::Approved, Outlook::Done),
        }
    }

    fn outlook_of_review(
        &self,
        by: usize,
        application: &Application,
        verb: Verb,
        revision: u32,
        now: Timestamp,
    ) -> Outlook {
        if !self.may(by, Role::Reviewer) {
            return Outlook::Refused;
        }
        let own = application.owner == by;
        let claimed = application.claimed_by(now);
        if verb == Verb::Release {
            return match claimed {
                None => Outlook::Holds,
                Some(other) => when(other == by, Outlook::Done),
            };
        }
        if own {
            return Outlook::Refused;
        }
        // Somebody else who could decide on an appeal against `by`.
        let is_other = |other: &usize| ![by, application.owner].contains(other) && Some(*other) != application.signed;
        let another = (0..self.members.len()).filter(is_other).any(|other| self.may(other, Role::Reviewer));
        let free = claimed.is_none_or(|other| other == by) && !(application.appealed_from == Some(by) && another);
        let waits = application.standing == Standing::UnderReview || application.proposed.is_some();
        let is_current = revision == application.revision;
        let twice = |to| when(application.standing == to && application.since == by, Outlook::Holds);
        // Who signs first decides nothing yet; signing again is nothing new.
        let signed_before = self.two_sign && application.signed == Some(by) && self.may(by, Role::Reviewer);
        match verb {
            Verb::Claim => when(free && waits, unless(claimed == Some(by))),
            Verb::Approve if application.standing != Standing::UnderReview => twice(Standing::Approved),
            Verb::Deny if application.standing != Standing::UnderReview => twice(Standing::Denied),
            Verb::RequestChanges if application.standing != Standing::UnderReview => twice(Standing::ChangesRequested),
            Verb::ApproveChange | Verb::DenyChange if application.proposed.is_none() => {
                let wanted = if verb == Verb::ApproveChange { Change::Approved } else { Change::Denied };
                when(application.change == Some((wanted, by)), Outlook::Holds)
            }
            Verb::Approve | Verb::ApproveChange if signed_before => when(is_current, Outlook::Holds),
            Verb::Approve | Verb::Deny | Verb::RequestChanges | Verb::ApproveChange | Verb::DenyChange => {
                when(free && is_current, Outlook::Done)
            }
            Verb::Suspend | Verb::Reinstate | Verb::Revoke => {
                let (from, to): (&[_], _) = match verb {
                    Verb::Suspend => (&[Standing::Approved], Standing::Suspended),
                    Verb::Reinstate => (&[Standing::Suspended], Standing::Approved),
                    _ => (&[Standing::Approved, Standing::Suspended], Standing::Revoked),
                };
                if !from.contains(&application.standing) {
                    return twice(to);
                }
                when(is_current || revision == application.holds, Outlook::Done)
            }
            Verb::Release => unreachable!("answered above"),
        }
    }

    fn outlook_of_answer(&self, page: &Shown, agrees: bool, now: Timestamp) -> Outlook {
        if page.at + Duration::hours(1) <= now {
            return Outlook::Refused;
        }
        if let Some((at, value)) = &page.answered {
            return when(*at + Duration::seconds(60) >= now, Outlook::Again(value.clone()));
        }
        let application = &self.applications[page.application];
        let scopes = Scopes::of(&page.consent.scopes.to_string());
        let can = application.standing == Standing::Approved
            && application.holds == page.revision
            && scopes.fits(&application.wish.scopes)
            && self.is_active(page.member);
        when(!agrees || can, Outlook::Done)
    }

    pub(super) fn is_live(&self, token: usize) -> bool {
        let Token { application, member, .. } = self.tokens[token];
        self.grants[&(application, member)].live.contains(&token)
    }

    fn can_have_another(&self, number: usize, now: Timestamp) -> bool {
        let token = &self.tokens[number];
        let grant = &self.grants[&(token.application, token.member)];
        let stands = match token.application {
            None => token.ended.is_none() && token.expires > now,
            Some(application) => {
                !matches!(self.applications[application].standing, Standing::Revoked | Standing::Withdrawn)
            }
        };
        let replaced = grant.live.contains(&number) || grant.lapsed == Some(number);
        !token.gone && token.personal && stands && replaced
    }

    /// Whether a token rests on a role that its member does not hold.
    pub(super) fn rests_on_lost_role(&self, token: &Token) -> bool {
        let roles = &self.members[token.member].roles;
        let holds = |role| roles.contains(&role) || roles.contains(&Role::Admin);
        (token.scopes.has("review") && !holds(Role::Reviewer)) || (token.scopes.has("audit") && !holds(Role::Auditor))
    }

    /// Whether a token is valid, and why not.
    pub fn valid(&self, token: usize, now: Timestamp) -> Result<(), &'static str> {
        let token = &self.tokens[token];
        let grant = &self.grants[&(token.application, token.member)];
        let member = &self.members[token.member];
        if token.gone {
            return Err("unknown");
        }
        let rests = self.rests_on_lost_role(token);
        if token.ended.is_some() || grant.granted.is_none() || grant.number != token.grant || rests {
            return Err("revoked");
        }
        let standing = token.application.map_or(Standing::Approved, |number| self.applications[number].standing);
        if member.being == Being::Erased || !matches!(standing, Standing::Approved | Standing::Suspended) {
            return Err("revoked");
        }
        if token.expires <= now {
            return Err("expired");
        }
        match (member.being, standing) {
            (Being::Active, Standing::Approved) => Ok(()),
            (Being::Active, _) => Err("application suspended"),
            _ => Err("member suspended"),
        }
    }

    /// What a token may do now.
    pub fn scopes(&self, token: usize) -> String {
        let token = &self.tokens[token];
        match token.application {
            None => token.scopes.text(),
            Some(application) => token.scopes.within(&self.applications[application].wish.scopes).text(),
        }
    }
}
