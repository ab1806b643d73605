//! What the site does by itself: notice changed settings, let unrevealed tokens expire, remove from
//! the vault what a crash or a lost race left behind, and let dead rows leave the read models. All of it runs at the
//! time for destroying, which no single reading of a clock moves (`judged_time`).

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use chrono::DurationRound;
use countersign_events::{
    account::{self, AccountEvent},
    authorization::{self, Authorization, AuthorizationCommand, Ended},
    decider::Decider,
    event::Event,
    ids::{DataKeyId, MessageId, UserId, VerifierId},
    inbox::{self, Inbox, InboxCommand, SecretStanding, Topic},
    recorded::{StreamName, Timestamp, Version},
    site::{Site, SiteCommand},
};

use countersign_projections::INLINE;

use super::{App, AppError, Caller, Plan, clock::Said, letters, reviews::send};
use crate::store::{Aged, decode, unless_building};

/// How often the site looks after itself.
const EVERY: Duration = Duration::from_mins(1);
/// Where nothing happens, only one round in so many looks at everything.
const QUIET_ROUNDS: u32 = 5;
/// A row of the vault that no event names within this time is left over.
const ORPHAN_AFTER: Duration = Duration::from_mins(10);
/// How long the outcome of a command is known to whoever repeats it.
const OUTCOME_KEPT: Duration = Duration::from_hours(48);
/// For so long nodes of two releases may run side by side, and none of one of them follow the log.
const LONGEST_UPGRADE: Duration = Duration::from_hours(24);
/// So many rows leave in one job on the writing connection: a few milliseconds.
const ROWS_A_JOB: u32 = 500;
/// So many jobs a table wants in one round; what is left waits for the next.
const JOBS_A_ROUND: u32 = 200;
/// So many secrets expire in one go.
const AT_ONCE: u32 = 100;

/// What housekeeping remembers from round to round.
#[derive(Default)]
pub(super) struct House {
    /// Whether it is stored what time it is.
    pub(super) is_anchored: AtomicBool,
    /// What was said of the clock last.
    pub(super) said: Mutex<Said>,
    /// How far it has looked for rows of the vault that nothing names.
    swept: Mutex<Timestamp>,
    /// Members who were erased and whose belongings are not all destroyed yet.
    pub(super) erasing: Mutex<HashSet<UserId>>,
    /// Generations of read models that nothing pointed at in the last round.
    left_over: Mutex<Vec<String>>,
    /// When the uses of tokens were last written down.
    pub(super) uses_written: Mutex<Timestamp>,
}

impl House {
    /// Of a site of which it is stored what time it was, or not.
    pub(super) fn anchored(is_anchored: bool) -> Self {
        Self { is_anchored: AtomicBool::new(is_anchored), ..Self::default() }
    }
}

/// On what evidence a held secret is destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// The log says that it was revealed, expired, or its member erased.
    TheirEnd,
    /// That, or the log does not name it after its time: that counts only where this log is the newest.
    NotNamed,
}

impl App {
    /// Looks after the site until it is stopped: each minute, and where nothing happened every few.
    pub async fn keep_house(self: Arc<Self>) {
        let app = Arc::downgrade(&self);
        drop(self);
        let (mut known, mut quiet) = (None, 0);
        loop {
            let Some(site) = app.upgrade() else { return };
            let head = site.head().await.ok();
            quiet = if head.is_some() && head == known { quiet + 1 } else { 0 };
            known = head;
            let done = if quiet % QUIET_ROUNDS == 0 { site.look_after().await } else { site.keep_time().await };
            match done {
                Ok(()) => site.metrics.looked_after(),
                Err(error) => tracing::warn!(%error, "housekeeping failed; it is tried again"),
            }
            drop(site);
            tokio::time::sleep(EVERY).await;
        }
    }

    /// What every minute wants, whatever happens.
    async fn keep_time(&self) -> Result<(), AppError> {
        self.note_clock().await?;
        self.write_uses().await
    }

    /// One round of housekeeping. What concerns all nodes, one of them does.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn look_after(&self) -> Result<(), AppError> {
        self.keep_time().await?;
        self.look_whole().await?;
        if self.refusal().is_none() {
            self.finish_erasures().await?;
            self.note_seen().await?;
        }
        if !self.leads() {
            return Ok(());
        }
        if let Some(why) = self.why_not_destroy().await? {
            tracing::warn!("nothing is swept: {why}");
            return Ok(());
        }
        for (user, message) in unless_building(self.models.overdue_secrets(self.world.destroying(), AT_ONCE).await)? {
            // One that cannot be expired keeps nothing else from being done.
            if let Err(error) = self.expire_secret(user, message).await {
                tracing::warn!(%error, "an unrevealed token could not be ended; it is tried again");
            }
        }
        self.sweep_held(Evidence::NotNamed).await?;
        self.sweep_orphans().await?;
        let swept = self.vault.sweep(self.world.destroying()).await?;
        self.metrics.removed("vault_expired", swept);
        self.forget_outcomes().await?;
        self.purge().await?;
        self.remove_left_over().await
    }

    /// What a rebuild or an upgrade left behind. On one machine the next start removes it: nobody else is there to read it.
    async fn remove_left_over(&self) -> Result<(), AppError> {
        let Some(fleet) = &self.fleet else { return Ok(()) };
        let seen = self.house.left_over.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let left = fleet.remove_left_over(&seen, self.world.older_than(LONGEST_UPGRADE)).await?;
        *self.house.left_over.lock().unwrap_or_else(PoisonError::into_inner) = left;
        Ok(())
    }

    /// Lets dead rows leave the read models, and the token state with them: first the cut-off moves, by whole hours, then
    /// the rows go in short jobs between which appends have their turn.
    async fn purge(&self) -> Result<(), AppError> {
        let kept = chrono::Duration::days(self.config.keep_ended_days.get().into());
        let cut_off = (self.world.destroying() - kept).duration_trunc(chrono::Duration::hours(1)).unwrap_or_default();
        self.writer.job(move |log| Box::pin(log.raise_cut_off(cut_off))).await?;
        let tables = INLINE.iter().flat_map(|projection| projection.tables).copied();
        for table in tables.filter(|table| !table.ends.is_empty()) {
            for _ in 0..JOBS_A_ROUND {
                let gone = self.writer.job(move |log| Box::pin(log.purge(table, ROWS_A_JOB))).await?;
                self.state.drop_dead(table, &gone);
                self.metrics.removed("dead_rows", gone.len() as u64);
                if gone.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Nobody repeats a command after days.
    async fn forget_outcomes(&self) -> Result<(), AppError> {
        let before = self.world.older_than(OUTCOME_KEPT);
        for _ in 0..JOBS_A_ROUND {
            let gone = self.writer.job(move |log| Box::pin(log.forget_outcomes(before, ROWS_A_JOB))).await?;
            self.metrics.removed("outcomes", gone);
            if gone == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Nobody revealed a token in time: it ends, its owner is told, the vault's row goes.
    async fn expire_secret(&self, user_id: UserId, message_id: MessageId) -> Result<(), AppError> {
        let at = self.now();
        let stream = inbox::stream(user_id);
        let (inbox, _) = self.inbox_state(user_id).await?;
        let Some(SecretStanding::Held(held)) = inbox.secrets.get(&message_id).copied() else { return Ok(()) };
        self.execute(&Caller::system(), || async {
            let (inbox, version) = self.load::<Inbox>(&stream).await?;
            let expired = inbox.decide(InboxCommand::Expire { user_id, message_id, at })?;
            let grant = authorization::stream(held.application_id, user_id);
            let (authorization, granted) = self.load::<Authorization>(&grant).await?;
            let (application_id, token_id) = (held.application_id, held.token_id);
            let revoke =
                AuthorizationCommand::Revoke { user_id, application_id, token_id, why: Ended::NeverRevealed, at };
            let name = self.state.client(application_id).map(|client| client.name).unwrap_or_default();
            let ended = authorization.decide(revoke)?;
            // Whoever ended or replaced the token before knows.
            let told = if ended.is_empty() {
                vec![]
            } else {
                let letter = letters::secret_expired(&name, &self.config.url("/settings/apps"));
                let topic = Topic::SecretExpired { application_id };
                send(MessageId(self.world.uuid()), user_id, topic, letter, None, at)?
            };
            let plan = Plan::answering(()).with(&stream, version, expired).with(&grant, granted, ended);
            Ok(plan.with_any(&stream, told))
        })
        .await?;
        Ok(self.vault.destroy_held(held.secret_id).await?)
    }

    /// Finishes the erasures that a crash broke off. The log says who was erased; a log that is not the newest says it of
    /// nobody who was not, since erasing cannot be taken back.
    pub(super) async fn finish_erased(&self) -> Result<(), AppError> {
        if self.refusal().is_some() {
            return Ok(());
        }
        self.resume_erasures().await?;
        self.sweep_held(Evidence::TheirEnd).await
    }

    /// Destroys held secrets that the log holds for nobody (any more).
    async fn sweep_held(&self, evidence: Evidence) -> Result<(), AppError> {
        let before = self.world.older_than(ORPHAN_AFTER);
        // Its append may still be on the way.
        let not_named = |put_at| evidence == Evidence::TheirEnd || put_at > before;
        for (secret, put_at) in self.vault.held_ids().await? {
            // For whom one is that does not open, nobody can tell: it stays.
            let Some((user, message, _)) = self.held_secret(secret).await? else { continue };
            let waits = match self.inbox_state(user).await?.0.secrets.get(&message) {
                _ if self.was_erased(user).await? => false,
                Some(SecretStanding::Held(held)) if held.secret_id == secret => true,
                Some(SecretStanding::Revealed(_) | SecretStanding::Expired(_)) => false,
                Some(SecretStanding::Held(_)) | None => not_named(put_at) || self.log_has_holes().await?,
            };
            if !waits {
                self.metrics.removed("held_secrets", 1);
                self.vault.destroy_held(secret).await?;
            }
        }
        Ok(())
    }

    /// Removes keys and verifiers that no event names. Each row is looked at once after a start: what an event names by
    /// then stays named.
    async fn sweep_orphans(&self) -> Result<(), AppError> {
        let before = self.world.older_than(ORPHAN_AFTER);
        let since = *self.house.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut orphans = Aged::default();
        let aged = self.vault.aged(since, before).await?;
        for (key, user) in aged.data_keys {
            if self.named_by_log(user).await?.is_none_or(|(named, _)| named != key) {
                orphans.data_keys.push((key, user));
            }
        }
        for (verifier, user) in aged.verifiers {
            if self.named_by_log(user).await?.is_none_or(|(_, named)| named != verifier) {
                orphans.verifiers.push((verifier, user));
            }
        }
        if orphans != Aged::default() {
            // The event that names them may be one of those.
            if self.log_has_holes().await? {
                tracing::error!("nothing is swept: events are missing in the log; `countersign doctor` says which");
                return Ok(());
            }
            self.vault.remove(&orphans).await?;
            self.metrics.removed("vault_orphans", (orphans.data_keys.len() + orphans.verifiers.len()) as u64);
        }
        *self.house.swept.lock().unwrap_or_else(PoisonError::into_inner) = before;
        Ok(())
    }

    /// Whether events are missing: then it is no evidence that no event names something.
    async fn log_has_holes(&self) -> Result<bool, AppError> {
        let head = self.log.head().await?.position;
        // What was appended since is counted along.
        Ok(self.log.count().await? < head.0)
    }

    /// The key and the verifier that the log names for a member. A read model is no evidence for destroying anything.
    async fn named_by_log(&self, user: UserId) -> Result<Option<(DataKeyId, VerifierId)>, AppError> {
        let mut named = None;
        for stored in self.log.read_stream(&account::stream(user), Version(0)).await? {
            match (decode(&stored)?.event, &mut named) {
                (Event::Account(AccountEvent::UserRegistered { data_key, verifier, .. }), _) => {
                    named = Some((data_key, verifier));
                }
                (Event::Account(AccountEvent::PasswordChanged { verifier, .. }), Some((_, last))) => *last = verifier,
                _ => {}
            }
        }
        Ok(named)
    }

    /// Records what differs from the settings of the last start. Secrets are not among them.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn notice_configuration(&self) -> Result<(), AppError> {
        let rows = self.config.rows().into_iter().filter(|row| row.key != "root_key");
        let configuration: BTreeMap<String, String> = rows.map(|row| (row.key, row.value)).collect();
        let at = self.now();
        if self.refusal().is_some() {
            return Ok(());
        }
        self.execute(&Caller::system(), || async {
            let (site, version) = self.load::<Site>(&StreamName::Site).await?;
            let notice = SiteCommand::NoticeConfiguration { configuration: configuration.clone(), at };
            Ok(Plan::answering(()).with(&StreamName::Site, version, site.decide(notice)?))
        })
        .await?;
        Ok(())
    }
}
