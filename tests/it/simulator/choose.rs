//! Makes a step a command: who does what to what, of who and what there is by now. Most of the time it is something that
//! can be done, sometimes it is not.

use countersign::app::reviews::Verb;
use countersign_events::{account::Role, application::Standing, post::Direction, recorded::Timestamp};

use super::{
    chance::{Kind, Step},
    oracle::{Being, Command, Keeping, Oracle, Scopes, Wish},
};

/// At most so many members at once, erased ones left out.
const MEMBERS: usize = 9;

const REVIEWS: [Verb; 26] = [
    Verb::Claim,
    Verb::Claim,
    Verb::Claim,
    Verb::Release,
    Verb::Release,
    Verb::Release,
    Verb::Approve,
    Verb::Approve,
    Verb::Approve,
    Verb::Approve,
    Verb::Approve,
    Verb::Deny,
    Verb::Deny,
    Verb::RequestChanges,
    Verb::RequestChanges,
    Verb::ApproveChange,
    Verb::ApproveChange,
    Verb::ApproveChange,
    Verb::DenyChange,
    Verb::Suspend,
    Verb::Suspend,
    Verb::Reinstate,
    Verb::Reinstate,
    Verb::Reinstate,
    Verb::Reinstate,
    Verb::Revoke,
];

impl Oracle {
    fn members_that(&self, holds: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.members.len()).filter(|member| holds(*member)).collect()
    }

    /// Active members.
    pub fn active(&self) -> Vec<usize> {
        self.members_that(|member| self.is_active(member))
    }

    /// Members who were not erased.
    fn present(&self) -> Vec<usize> {
        self.members_that(|member| self.members[member].being != Being::Erased)
    }

    fn applications_that(&self, holds: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.applications.len()).filter(|application| holds(*application)).collect()
    }

    /// Mostly one of those where it is due, else any.
    fn application(&self, step: &Step, standings: &[Standing]) -> Option<usize> {
        let due = self.applications_that(|application| standings.contains(&self.applications[application].standing));
        let any = self.applications_that(|_| true);
        // Newer ones more often: the older ones are over.
        let newer = |all: &[usize]| all[all.len().saturating_sub(12)..].to_vec();
        if step.says(1, 88) && !due.is_empty() { step.pick(1, &newer(&due)) } else { step.pick(1, &newer(&any)) }
    }

    fn role(step: &Step) -> Role {
        step.pick(1, &[Role::Reviewer, Role::Reviewer, Role::Reviewer, Role::Auditor, Role::Admin])
            .unwrap_or(Role::Reviewer)
    }

    /// What becomes of a step; `None` when there is nobody or nothing for it.
    #[expect(clippy::too_many_lines, reason = "one arm a kind")]
    pub fn choose(&self, step: &Step, now: Timestamp) -> Option<Command> {
        let number = step.number;
        let active = self.active();
        Some(match step.kind {
            Kind::Join => {
                if self.present().len() >= MEMBERS {
                    return None;
                }
                // Sometimes a name that somebody has or had.
                let known = self.members_that(|_| true);
                let taken = step.pick(0, &known).filter(|_| step.says(1, 30));
                let name = taken.map_or_else(|| format!("member{number}"), |member| self.members[member].name.clone());
                let roles = if step.says(2, 30) { vec![Self::role(step)] } else { vec![] };
                Command::Join { name, password: format!("correct horse {number}"), roles }
            }
            Kind::Grant => {
                Command::Grant { member: step.pick(0, &self.members_that(|_| true))?, role: Self::role(step) }
            }
            Kind::Withdraw => {
                Command::Withdraw { member: step.pick(0, &self.members_that(|_| true))?, role: Self::role(step) }
            }
            Kind::SuspendMember => Command::SuspendMember { member: step.pick(0, &self.members_that(|_| true))? },
            Kind::ReinstateMember => {
                let resting = self.members_that(|member| self.members[member].being == Being::Suspended);
                let any = self.members_that(|_| true);
                Command::ReinstateMember { member: step.pick(0, if step.says(0, 85) { &resting } else { &any })? }
            }
            Kind::Erase => Command::Erase { member: step.pick(0, &self.members_that(|_| true))? },
            Kind::Request => Command::Request { owner: step.pick(0, &active)?, wish: wish(step) },
            Kind::Edit => {
                let application = self.application(step, &[Standing::UnderReview, Standing::Approved])?;
                let wish = self.other_wish(step, application);
                Command::Edit {
                    by: self.owner_or(step, application),
                    application,
                    wish,
                    seen: self.seen(step, application),
                }
            }
            Kind::Resubmit => {
                let application = self.application(step, &[Standing::ChangesRequested])?;
                let wish = self.other_wish(step, application);
                Command::Resubmit {
                    by: self.owner_or(step, application),
                    application,
                    wish,
                    seen: self.seen(step, application),
                }
            }
            Kind::Appeal => {
                let application = self.application(step, &[Standing::Denied])?;
                let text = format!("Look again, please: {number}.");
                Command::Appeal { by: self.owner_or(step, application), application, text }
            }
            Kind::WithdrawApplication => {
                let application = self.application(step, &[Standing::UnderReview, Standing::Approved])?;
                Command::WithdrawApplication { by: self.owner_or(step, application), application }
            }
            Kind::WithdrawChange => {
                let due = self.applications_that(|number| self.applications[number].proposed.is_some());
                let application = step.pick(1, &due).or_else(|| self.application(step, &[Standing::Approved]))?;
                Command::WithdrawChange {
                    by: self.owner_or(step, application),
                    application,
                    seen: self.seen(step, application),
                }
            }
            Kind::Rotate => {
                let application = self.application(step, &[Standing::Approved])?;
                // Nobody is sent back to a personal one: what its client id is matters to nobody.
                if self.applications[application].wish.purpose == "personal" {
                    return None;
                }
                Command::Rotate { by: self.owner_or(step, application), application }
            }
            Kind::Review => return self.review(step, now),
            Kind::Answer => {
                let fresh: Vec<_> = (0..self.pages.len())
                    .filter(|page| self.members[self.pages[*page].member].being != Being::Erased)
                    .collect();
                let page = step.pick(0, &fresh[fresh.len().saturating_sub(4)..])?;
                if step.says(1, 85) { Command::Agree { page } } else { Command::Refuse { page } }
            }
            Kind::Rescind => {
                let granted: Vec<_> = self.grants.keys().copied().filter(|key| active.contains(&key.1)).collect();
                let (application, member) = step.pick(0, &granted)?;
                Command::Rescind { member, application }
            }
            Kind::RescindAll => Command::RescindAll { member: step.pick(0, &active)? },
            Kind::Issue => {
                let scopes =
                    step.pick(1, &["read", "read write", "read vote", "identity review", "audit", "read review"])?;
                let days = step.pick(2, &[1, 3, 30, 100])?;
                Command::Issue { member: step.pick(0, &self.members_that(|_| true))?, scopes: Scopes::of(scopes), days }
            }
            Kind::EndToken => Command::EndToken { token: self.token(step)?, by_operator: step.says(2, 40) },
            Kind::Regenerate => Command::Regenerate { token: self.token(step)? },
            Kind::Reveal => {
                let secrets: Vec<_> =
                    (0..self.secrets.len()).filter(|secret| self.is_active(self.secrets[*secret].member)).collect();
                let held = secrets.iter().filter(|secret| self.secrets[**secret].keeping == Keeping::Held);
                let held: Vec<_> = held.copied().collect();
                Command::Reveal { secret: step.pick(0, if step.says(1, 75) { &held } else { &secrets })? }
            }
            Kind::Write => {
                let (from, to) = (step.pick(0, &active)?, step.pick(1, &self.present())?);
                Command::Write {
                    from,
                    to,
                    title: format!("Letter {number}"),
                    body: format!("Words of letter {number}."),
                }
            }
            Kind::Publish => {
                let names = step.pick(1, &active).filter(|_| step.says(2, 30));
                let (title, body) = (format!("Post {number}"), self.naming(&format!("Words of post {number}."), names));
                Command::Publish { by: step.pick(0, &active)?, title, body, names }
            }
            Kind::Comment => {
                let post = step.pick(1, &(0..self.posts.len()).collect::<Vec<_>>())?;
                let comments: Vec<_> = (0..self.posts[post].comments.len()).collect();
                let parent = step.pick(2, &comments).filter(|_| step.says(2, 60));
                let names = step.pick(3, &active).filter(|_| step.says(3, 30));
                let body = self.naming(&format!("Words of comment {number}."), names);
                Command::Comment { by: step.pick(0, &active)?, post, parent, body, names }
            }
            Kind::Vote => {
                let post = step.pick(1, &(0..self.posts.len()).collect::<Vec<_>>())?;
                let direction = step.pick(2, &[Direction::Up, Direction::Down, Direction::None])?;
                Command::Vote { by: step.pick(0, &active)?, post, direction }
            }
            Kind::MarkRead => {
                let member = step.pick(0, &active)?;
                let ids: Vec<_> = self.members[member].notices.iter().filter_map(|notice| notice.id).collect();
                let newest = &ids[ids.len().saturating_sub(1 + step.dice[1] % 8)..];
                Command::MarkRead { member, ids: newest.to_vec() }
            }
            _ => return None,
        })
    }

    fn naming(&self, text: &str, names: Option<usize>) -> String {
        names.map_or_else(|| text.to_owned(), |member| format!("{text} @{} knows.", self.members[member].name))
    }

    /// The owner, and now and then somebody else.
    fn owner_or(&self, step: &Step, application: usize) -> usize {
        let owner = self.applications[application].owner;
        step.pick(3, &self.active()).filter(|_| step.says(3, 6)).unwrap_or(owner)
    }

    /// The revision that an owner says they read: none, the newest, or one before.
    fn seen(&self, step: &Step, application: usize) -> Option<u32> {
        let newest = self.applications[application].revision;
        step.pick(2, &[None, None, Some(newest), Some(newest), Some(newest - 1)]).flatten()
    }

    /// Mostly another wish than what is asked for; sometimes the same, or what holds.
    fn other_wish(&self, step: &Step, application: usize) -> Wish {
        let application = &self.applications[application];
        if step.says(4, 12) {
            return application.proposed.as_ref().unwrap_or(&application.wish).clone();
        }
        if step.says(5, 12) {
            return application.wish.clone();
        }
        let fresh = wish(step);
        // One field at a time, most often.
        let was = application.wish.clone();
        match step.dice[4] % 5 {
            0 => Wish { description: fresh.description, ..was },
            1 => Wish { website: fresh.website, ..was },
            2 => Wish { scopes: fresh.scopes, ..was },
            3 => Wish { name: fresh.name, ..was },
            _ => fresh,
        }
    }

    fn token(&self, step: &Step) -> Option<usize> {
        let can = |token: &usize| self.tokens[*token].id.is_some() && self.is_active(self.tokens[*token].member);
        let mine: Vec<_> = (0..self.tokens.len()).filter(can).collect();
        let live = mine.iter().copied().filter(|token| self.tokens[*token].ended.is_none());
        let live: Vec<_> = live.collect();
        step.pick(0, if step.says(1, 70) { &live } else { &mine })
    }

    fn review(&self, step: &Step, now: Timestamp) -> Option<Command> {
        let verb = step.pick(2, &REVIEWS)?;
        let standings: &[_] = match verb {
            Verb::Claim | Verb::Release | Verb::Approve | Verb::Deny | Verb::RequestChanges => &[Standing::UnderReview],
            Verb::ApproveChange | Verb::DenyChange | Verb::Suspend => &[Standing::Approved],
            Verb::Reinstate => &[Standing::Suspended],
            Verb::Revoke => &[Standing::Approved, Standing::Suspended],
        };
        let changes = self.applications_that(|number| self.applications[number].proposed.is_some());
        let claimed = self.applications_that(|number| self.applications[number].claimed_by(now).is_some());
        let of_claim = verb == Verb::Release && step.says(5, 85);
        let of_change = matches!(verb, Verb::ApproveChange | Verb::DenyChange) && step.says(5, 85);
        let application = match () {
            () if of_change => step.pick(1, &changes)?,
            () if of_claim => step.pick(1, &claimed)?,
            () => self.application(step, standings)?,
        };
        let reviewers = self.members_that(|member| {
            let member = &self.members[member];
            member.being == Being::Active
                && (member.roles.contains(&Role::Reviewer) || member.roles.contains(&Role::Admin))
        });
        let claimed = self.applications[application].claimed_by(now).filter(|_| step.says(4, 60));
        let by = claimed.or_else(|| step.pick(0, if step.says(3, 95) { &reviewers } else { &[] }));
        let by = by.or_else(|| step.pick(0, &self.active()))?;
        let current = self.applications[application].revision;
        let revision = if step.says(4, 90) { current } else { (current - 1).max(1) };
        Some(Command::Review { by, application, verb, revision, reason: format!("As agreed in {}.", step.number) })
    }
}

/// What somebody may ask for.
fn wish(step: &Step) -> Wish {
    let number = step.number;
    let purpose = step.pick(2, &["web", "web", "web", "web", "personal"]).unwrap_or("web");
    let scopes = step.pick(3, &["read", "read identity", "read write vote", "read identity notifications", "identity"]);
    Wish {
        purpose,
        name: format!("Sorter {number}"),
        description: format!("Sorts what there is to sort, version {number}."),
        website: step.says(2, 50).then(|| format!("https://sorter{number}.example/")),
        // Nobody is sent back to what acts for its owner alone.
        redirect_uri: if purpose == "personal" { String::new() } else { format!("https://sorter{number}.example/cb") },
        scopes: Scopes::of(scopes.unwrap_or("read")),
    }
}
