//! Follows what was done: a command that was carried out, a round of housekeeping.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Duration;
use countersign::app::reviews::Verb;
use countersign_events::{
    account::Role,
    application::Standing,
    ids::{ApplicationId, CommentId, PostId, TokenId, UserId},
    recorded::Timestamp,
};

use super::{
    Application, Being, Change, Command, Comment, Entry, Grant, HELD_DAYS, KEPT_DAYS, Keeping, Member, Notice, Oracle,
    Post, Scopes, Secret, Shown, TOKEN_DAYS, Token, Touched, Value,
};

impl Oracle {
    /// The scopes that a grant has once these are added.
    fn added(&mut self, key: (Option<usize>, usize), scopes: &Scopes) -> u32 {
        let grant = self.grants.entry(key).or_default();
        let granted = grant.granted.take();
        if granted.is_none() {
            grant.number += 1;
        }
        grant.granted = Some(granted.map_or_else(|| scopes.clone(), |granted| granted.with(scopes)));
        grant.number
    }

    fn issued(
        &mut self,
        key: (Option<usize>, usize),
        scopes: &Scopes,
        personal: bool,
        text: Option<String>,
        expires: Timestamp,
    ) -> usize {
        let number = self.tokens.len();
        let grant = self.grants.get_mut(&key).expect("it was granted");
        if personal {
            grant.lapsed = None;
        }
        grant.live.push(number);
        let grant = grant.number;
        let (scopes, ended, gone) = (scopes.clone(), None, false);
        let (application, member) = key;
        self.tokens.push(Token { id: None, text, application, member, grant, scopes, personal, expires, ended, gone });
        self.touched.insert(Touched::Member(member));
        number
    }

    /// Ends a token if it has not been; whether it did. `lapses`: its member can have another.
    fn end(&mut self, token: usize, lapses: bool, now: Timestamp) -> bool {
        if !self.is_live(token) {
            return false;
        }
        let Token { application, member, personal, .. } = self.tokens[token];
        let grant = self.grants.get_mut(&(application, member)).expect("it was granted");
        grant.live.retain(|live| *live != token);
        if lapses && personal {
            grant.lapsed = Some(token);
        }
        self.tokens[token].ended = Some(now);
        self.touched.insert(Touched::Member(member));
        true
    }

    pub fn tell(&mut self, member: usize, kind: &'static str, words: Option<(usize, String)>) {
        self.members[member].notices.push(Notice { kind, read: false, id: None, words, secret: None });
        self.touched.insert(Touched::Member(member));
    }

    /// Whom a text names: nobody who is suspended or erased.
    fn mentioned(&self, names: Option<usize>) -> Option<usize> {
        names.map(|member| self.named_as(member)).filter(|member| self.is_active(*member))
    }

    fn tell_audience(&mut self, application: usize) {
        for member in self.applications[application].audience.clone() {
            self.tell(member, "authorization_change", None);
        }
    }

    fn rescind(&mut self, application: Option<usize>, member: usize) {
        let grant = self.grants.get_mut(&(application, member)).expect("it was granted");
        grant.granted = None;
        let personal = grant.live.iter().rev().find(|token| self.tokens[**token].personal);
        grant.lapsed = personal.copied().or(grant.lapsed);
        grant.live.clear();
        if let Some(application) = application {
            self.applications[application].audience.remove(&member);
        }
        self.touched.insert(Touched::Member(member));
    }

    /// Follows a command that was carried out.
    #[expect(clippy::too_many_lines, reason = "one arm a command")]
    pub fn take(&mut self, command: &Command, value: &Value, now: Timestamp) {
        match command.clone() {
            Command::Join { name, password, roles } => {
                let Value::Id(id) = value else { panic!("a member has an id") };
                let (id, roles) = (UserId(*id), roles.into_iter().collect());
                let (sessions, notices, being) = (vec![], vec![], Being::Active);
                self.members.push(Member { id, name, password, being, roles, sessions, notices });
            }
            Command::Grant { member, role } => drop(self.members[member].roles.insert(role)),
            Command::Withdraw { member, role } => {
                self.members[member].roles.remove(&role);
                let roleless = |token: &usize| {
                    let token = &self.tokens[*token];
                    let lives = token.ended.is_none() && token.expires > now;
                    token.member == member && lives && self.rests_on_lost_role(token)
                };
                let ending: Vec<_> =
                    self.grants.values().flat_map(|grant| grant.live.iter().copied()).filter(roleless).collect();
                for token in ending {
                    self.end(token, false, now);
                    self.tell(member, "authorization_change", None);
                }
            }
            Command::SuspendMember { member } => {
                self.members[member].being = Being::Suspended;
                self.members[member].sessions.iter_mut().for_each(|session| session.ended = true);
            }
            Command::ReinstateMember { member } => self.members[member].being = Being::Active,
            Command::Erase { member } => self.erase(member),
            Command::Request { owner, wish } => {
                let Value::Id(id) = value else { panic!("an application has an id") };
                self.touched.insert(Touched::Application(self.applications.len()));
                self.applications.push(Application {
                    id: ApplicationId(*id),
                    owner,
                    standing: Standing::UnderReview,
                    wish,
                    revision: 1,
                    holds: 1,
                    proposed: None,
                    change: None,
                    claim: None,
                    signed: None,
                    since: owner,
                    entry: Entry::Request,
                    appealed_from: None,
                    client_id: None,
                    audience: BTreeSet::new(),
                });
            }
            Command::Edit { application, .. }
            | Command::Resubmit { application, .. }
            | Command::Appeal { application, .. }
            | Command::WithdrawApplication { application, .. }
            | Command::WithdrawChange { application, .. }
            | Command::Rotate { application, .. } => self.take_of_owner(command, application),
            Command::Review { by, application, verb, .. } => self.take_review(by, application, verb, now),
            Command::Agree { page } => self.take_consent(page, value, now),
            Command::Refuse { page } => self.pages[page].answered = Some((now, value.clone())),
            Command::Rescind { member, application } => self.rescind(application, member),
            Command::RescindAll { member } => {
                let in_force = |((_, of), grant): &(&(_, usize), &Grant)| *of == member && grant.granted.is_some();
                let all: Vec<_> =
                    self.grants.iter().filter(in_force).map(|((application, _), _)| *application).collect();
                for application in all {
                    self.rescind(application, member);
                }
            }
            Command::Issue { member, scopes, days } => {
                let Value::Token(id, text) = value else { panic!("a token is answered") };
                self.added((None, member), &scopes);
                let expires = now + Duration::days(days);
                let token = self.issued((None, member), &scopes, true, Some(text.clone()), expires);
                self.tokens[token].id = Some(TokenId(*id));
                self.tell(member, "authorization_change", None);
            }
            Command::EndToken { token, by_operator } => {
                self.end(token, !by_operator, now);
                if by_operator {
                    self.tell(self.tokens[token].member, "authorization_change", None);
                }
            }
            Command::Regenerate { token } => self.take_regenerated(token, value, now),
            Command::Reveal { secret } => {
                let Value::Text(text) = value else { panic!("a secret is a text") };
                self.secrets[secret].keeping = Keeping::Revealed;
                let Secret { member, token, .. } = self.secrets[secret];
                self.tokens[token].text = Some(text.clone());
                let message = |notice: &&mut Notice| notice.secret == Some(secret);
                // An erased member has no messages any more.
                if let Some(notice) = self.members[member].notices.iter_mut().find(message) {
                    notice.read = true;
                }
                self.touched.insert(Touched::Member(member));
            }
            Command::Write { from, to, body, .. } => self.tell(self.named_as(to), "message", Some((from, body))),
            Command::Publish { by, title, body, names } => {
                let Value::Id(id) = value else { panic!("a post has an id") };
                let (id, author, comments, votes) = (PostId(*id), by, vec![], BTreeMap::new());
                self.touched.insert(Touched::Post(self.posts.len()));
                self.posts.push(Post { id, author, title, body: body.clone(), comments, votes });
                if let Some(named) = self.mentioned(names).filter(|named| *named != by) {
                    self.tell(named, "mention", Some((by, body)));
                }
            }
            Command::Comment { by, post, parent, body, names } => {
                let Value::Id(id) = value else { panic!("a comment has an id") };
                self.touched.insert(Touched::Post(post));
                let answers = parent.map_or(self.posts[post].author, |parent| self.posts[post].comments[parent].author);
                self.posts[post].comments.push(Comment { id: CommentId(*id), author: by, body: body.clone() });
                if answers != by {
                    self.tell(answers, "reply", Some((by, body.clone())));
                }
                if let Some(named) = self.mentioned(names).filter(|named| *named != by && *named != answers) {
                    self.tell(named, "mention", Some((by, body)));
                }
            }
            Command::Vote { by, post, direction } => {
                self.posts[post].votes.insert(by, direction);
                self.touched.insert(Touched::Post(post));
            }
            Command::MarkRead { member, ids } => {
                let named = |notice: &&mut Notice| notice.id.is_some_and(|id| ids.contains(&id));
                self.members[member].notices.iter_mut().filter(named).for_each(|notice| notice.read = true);
                self.touched.insert(Touched::Member(member));
            }
        }
        if let Command::Grant { member, .. }
        | Command::Withdraw { member, .. }
        | Command::SuspendMember { member }
        | Command::ReinstateMember { member } = command
        {
            self.touched.insert(Touched::Member(*member));
        }
    }

    fn erase(&mut self, number: usize) {
        let member = &mut self.members[number];
        member.being = Being::Erased;
        member.roles.clear();
        member.notices.clear();
        member.sessions.iter_mut().for_each(|session| session.ended = true);
        for application in &mut self.applications {
            application.audience.remove(&number);
        }
        for application in 0..self.applications.len() {
            let Application { owner, standing, .. } = self.applications[application];
            let over = matches!(standing, Standing::Denied | Standing::Revoked | Standing::Withdrawn);
            if owner == number && !over {
                self.applications[application].move_to(Standing::Withdrawn, number);
                self.touched.insert(Touched::Application(application));
                self.tell_audience(application);
            }
        }
        self.touched.insert(Touched::Member(number));
        let wrote = |post: &Post| post.author == number || post.comments.iter().any(|comment| comment.author == number);
        let posts = self.posts.iter().enumerate().filter(|(_, post)| wrote(post)).map(|(post, _)| Touched::Post(post));
        self.touched.extend(posts);
    }

    fn take_of_owner(&mut self, command: &Command, number: usize) {
        self.touched.insert(Touched::Application(number));
        let application = &mut self.applications[number];
        let owner = application.owner;
        match command {
            Command::Edit { wish, .. } => match application.standing {
                Standing::UnderReview => application.revise(wish),
                _ if *wish == application.wish => application.end_change(Change::Withdrawn, owner),
                _ => {
                    application.proposed = Some(wish.clone());
                    application.revision += 1;
                    application.signed = None;
                }
            },
            Command::Resubmit { wish, .. } => {
                application.revise(wish);
                application.entry = Entry::Resubmission;
                application.move_to(Standing::UnderReview, owner);
            }
            Command::Appeal { .. } => {
                application.appealed_from = Some(application.since);
                application.entry = Entry::Appeal;
                application.move_to(Standing::UnderReview, owner);
            }
            Command::WithdrawApplication { .. } => {
                application.move_to(Standing::Withdrawn, owner);
                self.tell_audience(number);
            }
            Command::WithdrawChange { .. } => application.end_change(Change::Withdrawn, owner),
            // The new client id is looked up.
            _ => application.client_id = None,
        }
    }

    fn take_review(&mut self, by: usize, number: usize, verb: Verb, now: Timestamp) {
        self.touched.insert(Touched::Application(number));
        let signer = self.applications[number].signed.filter(|signer| self.may(*signer, Role::Reviewer));
        let application = &mut self.applications[number];
        if self.two_sign && matches!(verb, Verb::Approve | Verb::ApproveChange) && signer.is_none() {
            application.signed = Some(by);
            application.claim = None;
            return;
        }
        match verb {
            Verb::Claim => application.claim = Some((by, now)),
            Verb::Release => application.claim = None,
            Verb::Approve => {
                application.appealed_from = None;
                application.move_to(Standing::Approved, by);
            }
            Verb::Deny => {
                application.appealed_from = None;
                application.move_to(Standing::Denied, by);
            }
            Verb::RequestChanges => application.move_to(Standing::ChangesRequested, by),
            Verb::ApproveChange => {
                application.wish = application.proposed.clone().expect("a change waits");
                application.holds = application.revision;
                application.end_change(Change::Approved, by);
            }
            Verb::DenyChange => application.end_change(Change::Denied, by),
            Verb::Suspend => (application.standing, application.since) = (Standing::Suspended, by),
            Verb::Reinstate => (application.standing, application.since) = (Standing::Approved, by),
            Verb::Revoke => application.move_to(Standing::Revoked, by),
        }
        if matches!(verb, Verb::Suspend | Verb::Reinstate | Verb::Revoke) {
            self.tell_audience(number);
        }
        let Application { owner, ref wish, .. } = self.applications[number];
        if verb == Verb::Approve {
            let scopes = wish.scopes.clone();
            let key = (Some(number), owner);
            self.added(key, &scopes);
            let token = self.issued(key, &scopes, true, None, now + Duration::days(TOKEN_DAYS));
            let (message, keeping, until) = (None, Keeping::Held, now + Duration::days(HELD_DAYS));
            self.secrets.push(Secret { member: owner, message, token, until, keeping });
        }
        if verb.decides() {
            self.tell(owner, "application_decision", None);
            let secret = (verb == Verb::Approve).then(|| self.secrets.len() - 1);
            self.members[owner].notices.last_mut().expect("told right above").secret = secret;
        }
    }

    fn take_consent(&mut self, page: usize, value: &Value, now: Timestamp) {
        let Value::Text(redirect) = value else { panic!("a consent answers with an address") };
        let Shown { member, application, ref consent, .. } = self.pages[page];
        let scopes = Scopes::of(&consent.scopes.to_string());
        self.pages[page].answered = Some((now, value.clone()));
        let key = (Some(application), member);
        self.added(key, &scopes);
        self.applications[application].audience.insert(member);
        self.tell(member, "authorization_change", None);
        let is_simple = |token: &&usize| !self.tokens[**token].personal && self.tokens[**token].expires > now;
        let simple: Vec<_> = self.grants[&key].live.iter().filter(is_simple).copied().collect();
        for oldest in simple.iter().take((simple.len() + 1).saturating_sub(5)) {
            self.end(*oldest, false, now);
            self.tell(member, "authorization_change", None);
        }
        let text = redirect.split_once("access_token=").expect("a token").1;
        let text = text.split('&').next().map(ToOwned::to_owned);
        self.issued(key, &scopes, false, text, now + Duration::days(TOKEN_DAYS));
    }

    fn take_regenerated(&mut self, token: usize, value: &Value, now: Timestamp) {
        let Value::Text(text) = value else { panic!("a token is answered") };
        let Token { application, member, ref scopes, expires, .. } = self.tokens[token];
        // Of their own application its owner gets what is approved by now.
        let scopes = application.map_or_else(|| scopes.clone(), |number| self.applications[number].wish.scopes.clone());
        // What an operator issued for a time ends at that time.
        let expires = if application.is_none() { expires } else { now + Duration::days(TOKEN_DAYS) };
        self.end(token, false, now);
        self.added((application, member), &scopes);
        self.issued((application, member), &scopes, true, Some(text.clone()), expires);
        self.tell(member, "authorization_change", None);
    }

    /// Follows a round of housekeeping: how many tokens expired that nobody revealed. What is over by `destroying` goes, and
    /// outcomes from before `old`.
    pub fn keep_house(&mut self, now: Timestamp, destroying: Timestamp, old: Timestamp) -> usize {
        let mut overdue: Vec<_> = (0..self.secrets.len())
            .filter(|number| {
                let secret = &self.secrets[*number];
                let is_there = self.members[secret.member].being != Being::Erased;
                secret.keeping == Keeping::Held && secret.until <= destroying && is_there
            })
            .collect();
        overdue.sort_by_key(|number| self.secrets[*number].until);
        for number in &overdue {
            let Secret { member, token, .. } = self.secrets[*number];
            self.secrets[*number].keeping = Keeping::Expired;
            if self.end(token, true, now) {
                self.tell(member, "authorization_change", None);
            }
            self.touched.insert(Touched::Member(member));
        }
        for outcome in &mut self.outcomes {
            outcome.forgotten |= outcome.at < old;
        }
        let kept = destroying - Duration::days(KEPT_DAYS);
        let cut_off = kept - Duration::microseconds(kept.timestamp_micros().rem_euclid(3_600_000_000));
        for token in &mut self.tokens {
            token.gone |= token.expires < cut_off || token.ended.is_some_and(|at| at < cut_off);
        }
        overdue.len()
    }
}
