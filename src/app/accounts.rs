//! Members: sign up, set up the site, roles, suspension, new passwords.

use countersign_events::{
    account::{
        self, Account, AccountCommand, AccountEvent, AccountRefusal, AccountStanding, Role, Roles, Username,
        UsernameCommand,
    },
    authorization::Ended,
    decider::Decider,
    ids::{MessageId, UserId, UsernameDigest, VerifierId},
    inbox::{self, Inbox, InboxCommand, Topic},
    recorded::{Actor, StreamName, Version},
    site::{Site, SiteCommand},
    text,
};
use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use super::{App, AppError, Caller, Done, Plan, error::FieldErrors, letters, tokens::Why};
use crate::{
    secrets::weakness,
    store::{Link, rows::AccountRow},
};

/// How long a one-time link is good.
const LINK_LIFETIME: chrono::Duration = chrono::Duration::hours(1);

/// Name and password of somebody who joins.
pub struct Joining {
    username: String,
    password: Zeroizing<String>,
}

impl Joining {
    /// Checks what was typed.
    ///
    /// # Errors
    /// [`AppError::Fields`].
    pub fn new(username: &str, password: &str, repeated: Option<&str>) -> Result<Self, AppError> {
        let mut errors = FieldErrors::default();
        let username = errors.take(text::username(username));
        let password = new_password(&mut errors, password, repeated, username.as_str());
        errors.check()?;
        Ok(Self { username, password })
    }
}

fn new_password(errors: &mut FieldErrors, password: &str, repeated: Option<&str>, username: &str) -> Zeroizing<String> {
    if repeated.is_some_and(|repeated| repeated != password) {
        let message = "The two passwords differ; type the same one twice.".to_owned();
        errors.push(text::FieldError { field: "password_repeat", code: "differs", message });
    }
    let password = errors.take(text::password(password));
    if let Some(weakness) = weakness(&password, username) {
        errors.push(text::FieldError::new("password", "weak", weakness.to_string()));
    }
    password
}

impl App {
    /// The digest of a username in its comparable form.
    #[must_use]
    pub fn username_digest(&self, username: &str) -> UsernameDigest {
        let mac = self.keys.username.mac(&[username.to_lowercase().as_bytes()]);
        UsernameDigest::new(std::array::from_fn(|index| mac[index]))
    }

    /// The member with this username.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn account_named(&self, username: &str) -> Result<AccountRow, AppError> {
        self.models.account_named(&self.username_digest(username)).await?.ok_or(AppError::NotFound)
    }

    /// A member.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn account_of(&self, user: UserId) -> Result<Option<AccountRow>, AppError> {
        Ok(self.models.account(user).await?)
    }

    /// Every member.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, AppError> {
        let mut all: Vec<AccountRow> = vec![];
        loop {
            let page = self.models.accounts(all.last().map(|last| last.user_id), 1_000).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// Somebody joins by themselves.
    ///
    /// # Errors
    /// A taken name, or too many sign-ups from this address.
    pub async fn sign_up(&self, caller: &Caller, joining: Joining) -> Result<Done<UserId>, AppError> {
        self.limits.check_signup(caller.address)?;
        self.register(caller, joining, &[], false).await
    }

    /// An operator adds a member.
    ///
    /// # Errors
    /// A taken name.
    pub async fn create_account(
        &self,
        caller: &Caller,
        joining: Joining,
        roles: &[Role],
    ) -> Result<Done<UserId>, AppError> {
        self.register(caller, joining, roles, false).await
    }

    /// The first administrator follows the set-up link.
    ///
    /// # Errors
    /// [`AppError::LinkEnded`], or the site is set up already.
    pub async fn set_up(&self, caller: &Caller, link: &str, joining: Joining) -> Result<Done<UserId>, AppError> {
        self.limits.check_signup(caller.address)?;
        if self.link(link).await? != Link::SetUp {
            return Err(AppError::LinkEnded);
        }
        let done = self.register(caller, joining, &[Role::Admin], true).await?;
        self.vault.end_link(self.link_digest(link)).await?;
        Ok(done)
    }

    async fn register(
        &self,
        caller: &Caller,
        joining: Joining,
        roles: &[Role],
        first: bool,
    ) -> Result<Done<UserId>, AppError> {
        let mut errors = FieldErrors::default();
        errors.take(text::refuse_reserved(&joining.username, &self.config.site_name));
        errors.check()?;
        let user_id = UserId(self.world.uuid());
        let at = self.now();
        let data_key = self.keyring.make(user_id, at).await?;
        let verifier = self.keep_password(user_id, joining.password).await?;
        let username_digest = self.username_digest(&joining.username);
        // Whoever signs up acts as the member they become; an operator stays who they are.
        let actor = if caller.actor == Actor::System { Actor::User(user_id) } else { caller.actor.clone() };
        let caller = Caller { actor, ..caller.clone() };
        let (username, joining_name) = (StreamName::Username(username_digest.clone()), joining.username);
        self.execute(&caller, || async {
            let mut plan = Plan::answering(user_id);
            plan.joining = Some(data_key);
            let (claim, version) = self.load::<Username>(&username).await?;
            plan = plan.with(&username, version, claim.decide(UsernameCommand::Claim { user_id })?);
            let register = AccountCommand::Register {
                user_id,
                username: joining_name.as_str().into(),
                username_digest: username_digest.clone(),
                verifier,
                data_key,
                at,
            };
            let mut events = Account::default().decide(register)?;
            let mut account = countersign_events::decider::fold::<Account>(&events);
            for role in roles {
                let granted = account.decide(AccountCommand::GrantRole { role: *role, at })?;
                account = granted.iter().fold(account, Account::evolve);
                events.extend(granted);
            }
            plan = plan.with(&account::stream(user_id), Version(0), events);
            if first {
                let (site, version) = self.load::<Site>(&StreamName::Site).await?;
                plan = plan.with(
                    &StreamName::Site,
                    version,
                    site.decide(SiteCommand::NameFirstAdministrator { user_id, at })?,
                );
            }
            Ok(plan)
        })
        .await
    }

    /// Keeps a verifier of the password in the vault; it lives once an event names it.
    async fn keep_password(&self, user: UserId, password: Zeroizing<String>) -> Result<VerifierId, AppError> {
        let id = VerifierId(self.world.uuid());
        let verifier = self.passwords.hash(password, self.world.random()).await;
        self.vault.put_verifier(id, user, &verifier, self.now()).await?;
        Ok(id)
    }

    /// Gives a role. A token that rests on it lives no more when it was issued before the role was lost: logs of earlier
    /// releases lack the event that ended it.
    ///
    /// # Errors
    /// No such member.
    pub async fn grant_role(&self, caller: &Caller, user: UserId, role: Role) -> Result<Done<()>, AppError> {
        let at = self.now();
        self.change_account(caller, user, |_| AccountCommand::GrantRole { role, at }).await
    }

    /// Takes a role back, and ends the tokens that rest on it.
    ///
    /// # Errors
    /// No such member, or the last administrator.
    pub async fn withdraw_role(&self, caller: &Caller, user: UserId, role: Role) -> Result<Done<()>, AppError> {
        let at = self.now();
        self.change_account(caller, user, |another_admin| AccountCommand::WithdrawRole { role, another_admin, at })
            .await
    }

    /// Suspends a member: sessions end, tokens rest.
    ///
    /// # Errors
    /// No such member, or the last administrator.
    pub async fn suspend_account(&self, caller: &Caller, user: UserId) -> Result<Done<()>, AppError> {
        let at = self.now();
        let done =
            self.change_account(caller, user, |another_admin| AccountCommand::Suspend { another_admin, at }).await?;
        // Who repeats an old command ends nothing that began since its member was reinstated.
        if self.state.member(user).is_none_or(|member| member.facts.standing != AccountStanding::Active) {
            self.vault.end_sessions_of(user, None).await?;
        }
        Ok(done)
    }

    /// Lets a suspended member act again.
    ///
    /// # Errors
    /// No such member.
    pub async fn reinstate_account(&self, caller: &Caller, user: UserId) -> Result<Done<()>, AppError> {
        let at = self.now();
        // Sessions of before must not come back, also when a crash left some at the suspension.
        if self.state.member(user).is_some_and(|member| member.facts.standing == AccountStanding::Suspended) {
            self.vault.end_sessions_of(user, None).await?;
        }
        self.change_account(caller, user, |_| AccountCommand::Reinstate { at }).await
    }

    async fn change_account(
        &self,
        caller: &Caller,
        user: UserId,
        command: impl Fn(bool) -> AccountCommand + Send + Sync,
    ) -> Result<Done<()>, AppError> {
        let stream = account::stream(user);
        self.execute(caller, || async {
            let (account, version) = self.load::<Account>(&stream).await?;
            let another = self.another_admin(user).await?;
            let events = account.decide(command(another.is_some()))?;
            let plan = self.ends_with_roles(user, &account, &events).await?.with(&stream, version, events);
            // Two administrators who take each other's role at once must not both win: the other one is guarded.
            Ok(match another {
                Some((other, version)) => plan.guarded(other, version),
                None => plan,
            })
        })
        .await
    }

    /// The ends of tokens that rest on a role which a change of roles takes, or gives back.
    async fn ends_with_roles(
        &self,
        user: UserId,
        account: &Account,
        events: &[AccountEvent],
    ) -> Result<Plan<()>, AppError> {
        let changed = events.iter().fold(account.clone(), Account::evolve);
        let [before, after] = [account, &changed].map(|account| match account {
            Account::Registered { roles, .. } => roles,
            Account::Unregistered => const { &Roles::NONE },
        });
        if before == after {
            return Ok(Plan::answering(()));
        }
        // What lives through the change rests on roles that are held before and after it.
        let kept = before.iter().filter(|role| after.allow(*role));
        let kept: Roles = kept.chain(after.iter().filter(|role| before.allow(*role))).collect();
        let ends = self.ends_of_tokens(user, Why::NotOf(&kept)).await?;
        Ok(ends
            .into_iter()
            .fold(Plan::answering(()), |plan, (stream, version, events)| plan.with(&stream, version, events)))
    }

    /// The stream of an administrator other than `user`, at the version at which they are active.
    pub(super) async fn another_admin(&self, user: UserId) -> Result<Option<(StreamName, Version)>, AppError> {
        for other in self.state.admins().into_iter().filter(|other| *other != user) {
            let stream = account::stream(other);
            // Memory may be a moment behind; what is guarded is what was looked at.
            if let (Account::Registered { roles, standing: AccountStanding::Active, .. }, version) =
                self.load(&stream).await?
                && roles.allow(Role::Admin)
            {
                return Ok(Some((stream, version)));
            }
        }
        Ok(None)
    }

    /// The set-up link, made anew, while the site has no administrator.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn set_up_link(&self) -> Result<Option<String>, AppError> {
        if !self.state.admins().is_empty() {
            return Ok(None);
        }
        self.make_link(Link::SetUp).await.map(Some)
    }

    /// A link with which a member sets a new password.
    ///
    /// # Errors
    /// No such member, or one who was erased.
    pub async fn reset_link(&self, user: UserId) -> Result<String, AppError> {
        let member = self.state.member(user).ok_or(AppError::NotFound)?;
        if member.facts.standing == AccountStanding::Erased {
            return Err(AccountRefusal::Erased.into());
        }
        self.make_link(Link::Reset(user, member.verifier)).await
    }

    async fn make_link(&self, link: Link) -> Result<String, AppError> {
        let token = BASE64URL_NOPAD.encode(&self.world.random::<32>());
        self.vault.put_link(self.link_digest(&token), link, self.now() + LINK_LIFETIME).await?;
        Ok(self.config.url(&format!("/setup?token={token}")))
    }

    fn link_digest(&self, token: &str) -> [u8; 32] {
        self.keys.link.mac(&[token.as_bytes()])
    }

    /// What a one-time link is for.
    ///
    /// # Errors
    /// [`AppError::LinkEnded`], [`AppError::ClockInDoubt`].
    pub async fn link(&self, token: &str) -> Result<Link, AppError> {
        let (link, until) = self.vault.link(self.link_digest(token)).await?.ok_or(AppError::LinkEnded)?;
        Self::must_hold(self.world.standing(until - LINK_LIFETIME, until), || AppError::LinkEnded)?;
        let holds = match link {
            Link::SetUp => self.state.admins().is_empty(),
            Link::Reset(user, replaced) => self.state.member(user).is_some_and(|member| member.verifier == replaced),
        };
        if holds { Ok(link) } else { Err(AppError::LinkEnded) }
    }

    /// A member sets a new password through a reset link; every session of theirs ends, and every token when they ask for
    /// it. A letter tells them.
    ///
    /// # Errors
    /// [`AppError::LinkEnded`], or a password that does not do.
    pub async fn reset_password(
        &self,
        caller: &Caller,
        link: &str,
        password: &str,
        repeated: Option<&str>,
        end_tokens: bool,
    ) -> Result<Done<UserId>, AppError> {
        let Link::Reset(user, replaced) = self.link(link).await? else { return Err(AppError::LinkEnded) };
        let mut errors = FieldErrors::default();
        let password = new_password(&mut errors, password, repeated, &self.state.name_of(user));
        errors.check()?;
        let at = self.now();
        let verifier = self.keep_password(user, password).await?;
        let caller = Caller { actor: Actor::User(user), ..caller.clone() };
        let stream = account::stream(user);
        let done = self
            .execute(&caller, || async {
                let (account, version) = self.load::<Account>(&stream).await?;
                // A link is for one password: once another is in force, it and its like have ended.
                if self.models.account(user).await?.is_none_or(|account| account.verifier != replaced) {
                    return Err(AppError::LinkEnded);
                }
                let events = account.decide(AccountCommand::ChangePassword { verifier, at })?;
                let mut plan = Plan::answering(()).with(&stream, version, events);
                let ends = if end_tokens { self.ends_of_tokens(user, Why::All(Ended::GivenUp)).await? } else { vec![] };
                let live = self.live_tokens(user).await?;
                let ended = if end_tokens { live } else { 0 };
                for (stream, version, events) in ends {
                    plan = plan.with(&stream, version, events);
                }
                let (title, body) = letters::password_changed(
                    &self.config.site_name,
                    ended,
                    live,
                    &self.config.url("/settings/apps"),
                    &self.config.url("/settings/authorizations"),
                );
                let message_id = MessageId(self.world.uuid());
                let (title, body) = (title.as_str().into(), body.as_str().into());
                let (from, topic, held) = (None, Topic::Letter, None);
                let send = InboxCommand::Send { message_id, to: user, from, topic, title, body, held, at };
                Ok(plan.with_any(&inbox::stream(user), Inbox::default().decide(send)?))
            })
            .await?;
        // This very link among them. Another password may be in force by now, with sessions of its own.
        self.vault.destroy_replaced(user, replaced).await?;
        Ok(done.answering(user))
    }
}
