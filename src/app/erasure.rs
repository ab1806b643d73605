//! Erasing a member: first the event, which decides, then everything that opens what they wrote or lets them in. The
//! log keeps what happened; their texts in it can be read by nobody any more. What they wrote in office, under the
//! site's key, stays.

use std::{collections::HashMap, sync::PoisonError, time::Duration};

use countersign_events::{
    account::{self, Account, AccountCommand, AccountStanding, Username, UsernameCommand},
    application::{self, Application, ApplicationCommand, Seen, Standing},
    decider::Decider,
    ids::UserId,
    inbox::SecretStanding,
    recorded::StreamName,
};

use super::{
    App, AppError, Caller, Done, Plan,
    authorizations::{OUTCOME_LIFETIME, outcome_key},
};
use crate::{
    judged_time::LONGEST_AGE,
    store::{Belongings, StoreError},
};

/// How often the log's files are tried to be cleared while readers are in the way, and the pause between.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

impl App {
    /// Erases a member, for good: they are out of every list, their texts are gone, their username is free, and the
    /// applications that nobody would look after any more are withdrawn. Who may ask for it is the caller's to check.
    /// Asking again appends nothing, and finishes what was left undone.
    ///
    /// # Errors
    /// No such member, the last administrator; [`AppError::Store`] when the member is erased and something of theirs could
    /// not be destroyed yet: housekeeping and the next start try again.
    pub async fn erase_member(&self, caller: &Caller, user: UserId) -> Result<Done<()>, AppError> {
        let stream = account::stream(user);
        let at = self.now();
        let done = self
            .execute(caller, || async {
                let (account, version) = self.load::<Account>(&stream).await?;
                let another = self.another_admin(user).await?;
                let erased = account.decide(AccountCommand::Erase { another_admin: another.is_some(), at })?;
                if erased.is_empty() {
                    return Ok(Plan::answering(()).guarded(stream.clone(), version));
                }
                let mut plan = Plan::answering(()).with(&stream, version, erased);
                if let Some((other, version)) = another {
                    plan = plan.guarded(other, version);
                }
                if let Account::Registered { username, .. } = account {
                    let name = StreamName::Username(username);
                    let (claim, version) = self.load::<Username>(&name).await?;
                    plan = plan.with(&name, version, claim.decide(UsernameCommand::Release { user_id: user })?);
                }
                self.with_withdrawals(plan, user).await
            })
            .await?;
        self.house.erasing.lock().unwrap_or_else(PoisonError::into_inner).insert(user);
        self.finish_erasure(user).await?;
        Ok(done)
    }

    /// With every application of a member withdrawn that is open or approved.
    async fn with_withdrawals(&self, mut plan: Plan<()>, owner: UserId) -> Result<Plan<()>, AppError> {
        for row in self.models.applications_of(owner).await? {
            if matches!(row.standing, Standing::Denied | Standing::Revoked | Standing::Withdrawn) {
                continue;
            }
            let stream = application::stream(row.application_id);
            let (application, version) = self.load::<Application>(&stream).await?;
            let withdraw = ApplicationCommand::Withdraw { seen: Seen::default(), at: self.now() };
            plan = plan.with(&stream, version, application.decide(withdraw)?);
        }
        Ok(plan)
    }

    /// Whether the log says that a member was erased: the only evidence on which anything of theirs is destroyed.
    pub(super) async fn was_erased(&self, user: UserId) -> Result<bool, AppError> {
        let (account, _) = self.load::<Account>(&account::stream(user)).await?;
        Ok(matches!(account, Account::Registered { standing: AccountStanding::Erased, .. }))
    }

    /// Withdraws what was asked for while its owner was being erased, then destroys what the vault has of them, then the
    /// copies of their name in the log's files.
    async fn finish_erasure(&self, user: UserId) -> Result<(), AppError> {
        let member = self.state.member(user).ok_or(AppError::NotFound)?;
        if !self.was_erased(user).await? {
            let told =
                format!("a read model says that member {user} was erased, and the log does not: nothing is destroyed");
            return Err(StoreError::Unavailable(told).into());
        }
        // Nothing of theirs begins after their erasure, which moves the account that every request guards; one that came
        // just before it, or an appeal, may have been missed.
        self.execute(&Caller::system(), || self.with_withdrawals(Plan::answering(()), user)).await?;
        self.keyring.forget(user, member.data_key);
        let (inbox, _) = self.inbox_state(user).await?;
        let held = inbox.secrets.values().filter_map(|standing| match standing {
            SecretStanding::Held(held) => Some(held.secret_id),
            SecretStanding::Revealed(_) | SecretStanding::Expired(_) => None,
        });
        // Rather too many than too few: an outcome outlives its time while the clock is in doubt.
        let recent = self.world.older_than(LONGEST_AGE) - OUTCOME_LIFETIME;
        let tokens = self.models.tokens_of(user).await?;
        let outcomes = tokens.iter().filter(|token| token.issued_at >= recent).map(|token| outcome_key(token.token_id));
        let belongings =
            Belongings { user, data_key: member.data_key, held: held.collect(), outcomes: outcomes.collect() };
        // Before the key: while that is there, a start after a crash finishes the rest.
        self.forget_uses(user).await?;
        self.vault.destroy_member(&belongings).await?;
        self.clear_log_files().await?;
        self.house.erasing.lock().unwrap_or_else(PoisonError::into_inner).remove(&user);
        Ok(())
    }

    /// The accounts' rows lie in the log's database: its write-ahead log must not keep the name.
    async fn clear_log_files(&self) -> Result<(), AppError> {
        for _ in 0..ATTEMPTS {
            if self.writer.job(|log| Box::pin(log.truncate())).await? {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(StoreError::Unavailable("readers hold on to the write-ahead log of log.db".to_owned()).into())
    }

    /// Tries again what could not be destroyed.
    pub(super) async fn finish_erasures(&self) -> Result<(), AppError> {
        let left: Vec<_> = self.house.erasing.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        for user in left {
            self.finish_erasure(user).await?;
        }
        Ok(())
    }

    /// Destroys what a crash between the event and the vault left of erased members.
    pub(super) async fn resume_erasures(&self) -> Result<(), AppError> {
        let erased: HashMap<_, _> = self.state.erased().into_iter().map(|(user, key)| (key, user)).collect();
        let keys: Vec<_> = erased.keys().copied().collect();
        for key in self.vault.data_keys_among(&keys).await? {
            if let Some(user) = erased.get(&key) {
                self.finish_erasure(*user).await?;
            }
        }
        Ok(())
    }
}
