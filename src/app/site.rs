//! The site as one thing: log, vault and root key carry one id; the vault knows the newest event it has seen, and the log
//! how far the vault had come. While any sign says that this log is not the newest that there was, nothing is appended to
//! it and nothing of the vault is destroyed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::DateTime;
use countersign_events::{account::AccountStanding, recorded::StreamName};
use countersign_projections::TRAILING;

use super::{App, AppError, Stores};
use crate::{
    parts::{self, MISFIT_REMEDY},
    secrets::RootKey,
    store::{Cursor, EventLog, Mark, StoreError, Vault, parts::ModelPart},
    world::World,
};

/// So many accounts are looked at in one go.
const PAGE: u32 = 500;
/// A key that nobody's account names is the trace of a lost log when it was made so long after the log's last event;
/// before that, of somebody who gave up joining.
const LATER: chrono::Duration = chrono::Duration::minutes(10);

/// The vault hears within this time how far the log is: an older log is then told from the newest even after a crash.
const NOTED_WITHIN: Duration = Duration::from_secs(2);

/// What is known of the site as a whole.
#[derive(Default)]
pub(super) struct Whole {
    /// Why nothing may be appended.
    refusal: Mutex<Option<String>>,
    /// What the vault was last told that the log has.
    noted: Mutex<Cursor>,
}

async fn end_of(log: &dyn EventLog) -> Result<Mark, StoreError> {
    let head = log.head().await?;
    Ok(Mark { cursor: head.into(), event: log.event_id(head.position).await? })
}

/// Why the log is not the newest, as far as the vault knows.
async fn log_lacks(log: &dyn EventLog, vault: &dyn Vault) -> Result<Option<String>, StoreError> {
    let Some(seen) = vault.identity().await?.map(|identity| identity.seen) else { return Ok(None) };
    let at_seen = log.event_id(seen.cursor.position).await?;
    let end = log.head().await?;
    // A later epoch began after a cut that is on record.
    let cut = (end.epoch > seen.cursor.epoch).then_some(end.position).filter(|_| at_seen != seen.event);
    let cut = match cut {
        Some(_) => log.cut_after(seen.cursor.epoch).await?,
        None => None,
    };
    Ok(parts::log_lacks(end.into(), at_seen, cut, seen).map(|found| format!("the log {found}")))
}

/// Gives log and vault the id of the site, where they have none yet, and sees that they are of one site. The inline read
/// models are there.
///
/// # Errors
/// When they are not.
pub(super) async fn adopt(stores: &mut Stores, root: &RootKey, world: &World) -> Result<(), AppError> {
    let (log, vault) = (stores.log.identity().await?.site, stores.vault.identity().await?.map(|known| known.site));
    let site = log.or(vault).or(root.site());
    if log.is_none() && vault.is_none() {
        must_agree(stores).await?;
    }
    let site = site.unwrap_or_else(|| world.uuid());
    stores.vault.identify(site).await?;
    stores.writer.identify(site).await?;
    // Another node may have been faster.
    let log = stores.log.identity().await?;
    let vault = stores.vault.identity().await?;
    let of_one = log.site == vault.map(|vault| vault.site) && root.site().is_none_or(|site| log.site == Some(site));
    if !of_one {
        let told = "log, vault and root key are not of one site: `countersign doctor` says which is another's";
        return Err(AppError::Setting(told.to_owned()));
    }
    if let Some(told) = log_lacks(stores.log.as_ref(), stores.vault.as_ref()).await? {
        return Err(StoreError::NotTheNewest(told).into());
    }
    let seen = vault.map(|vault| vault.seen.cursor).unwrap_or_default();
    if seen < log.vault_seen {
        return Err(StoreError::NotTheNewest("the vault is older than the log".to_owned()).into());
    }
    Ok(())
}

/// Whether a log and a vault that carry no id yet belong together: every account has its key and verifier, and nothing
/// says that the log was longer.
async fn must_agree(stores: &Stores) -> Result<(), AppError> {
    let end = stores.log.head().await?;
    let refused = |told: String| {
        AppError::Store(StoreError::NotTheNewest(format!(
            "{told}. Put the newest log, vault and root key back; if these are what you want, stop the site and run \
             `countersign projections rebuild --accept-log`"
        )))
    };
    let mut after = None;
    loop {
        let page = stores.models.accounts(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.user_id);
        let members: Vec<_> = page.iter().filter(|account| account.standing != AccountStanding::Erased).collect();
        let keys: Vec<_> = members.iter().map(|account| account.data_key).collect();
        let verifiers: Vec<_> = members.iter().map(|account| account.verifier).collect();
        let keys = stores.vault.data_keys_among(&keys).await?;
        let verifiers = stores.vault.verifiers_among(&verifiers).await?;
        if let Some(member) =
            members.iter().find(|one| !keys.contains(&one.data_key) || !verifiers.contains(&one.verifier))
        {
            return Err(refused(format!(
                "the vault is older than the log, or another site's: it lacks the key or the password of member {}",
                member.user_id
            )));
        }
    }
    for projection in TRAILING {
        let cursor = stores.models.cursor(projection).await?;
        if cursor > end.into() {
            let (name, position) = (projection.name, cursor.position);
            return Err(refused(format!("the log is an older one: the read model {name} is at {position}")));
        }
    }
    let aged = stores.vault.aged(end.recorded_at + LATER, DateTime::<chrono::Utc>::MAX_UTC).await?;
    for (_, user) in aged.data_keys {
        if stores.models.account(user).await?.is_none() {
            return Err(refused(format!(
                "the log is an older one: the vault has a key of member {user}, whom the log does not know"
            )));
        }
    }
    Ok(())
}

/// Goes on with this log and this vault, whatever a newer one knew. Read models that do not fit are for a rebuild.
///
/// # Errors
/// [`AppError::Store`]; when log and vault are of two sites.
pub async fn accept(stores: &mut Stores, root: &RootKey, world: &World) -> Result<(), AppError> {
    let (log, vault) = (stores.log.identity().await?.site, stores.vault.identity().await?.map(|known| known.site));
    let site = log.or(vault).or(root.site()).unwrap_or_else(|| world.uuid());
    stores.vault.identify(site).await?;
    stores.writer.identify(site).await?;
    let end = end_of(stores.log.as_ref()).await?;
    tracing::warn!(end = %end.cursor.position, "this log and this vault are accepted as the newest there are");
    stores.vault.note_seen(end, true).await?;
    Ok(stores.writer.note_vault(end.cursor, true).await?)
}

impl App {
    /// Why nothing may be appended to this log, while that is so.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.whole.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Only what puts a rebuild on record may be appended to a log that is not the newest.
    pub(super) fn may_append<'a>(&self, mut streams: impl Iterator<Item = &'a StreamName>) -> Result<(), AppError> {
        match self.refusal() {
            Some(told) if streams.any(|stream| !matches!(stream, StreamName::Projection(_))) => {
                Err(StoreError::NotTheNewest(told).into())
            }
            _ => Ok(()),
        }
    }

    /// Looks whether this log is the newest that vault and read models know of.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn look_whole(&self) -> Result<(), AppError> {
        let found = self.why_not_the_newest().await?;
        let told = found.map(|found| format!("{found}. Nothing is appended to this log: {MISFIT_REMEDY}"));
        let mut refusal = self.whole.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = told.as_ref().filter(|told| refusal.as_ref() != Some(told)) {
            tracing::error!("{told}");
        }
        *refusal = told;
        Ok(())
    }

    async fn why_not_the_newest(&self) -> Result<Option<String>, AppError> {
        if let Some(found) = log_lacks(self.log.as_ref(), self.vault.as_ref()).await? {
            return Ok(Some(found));
        }
        for projection in TRAILING {
            // One that cannot be read is another matter: it is built anew.
            let Ok(mark) = self.models.mark(projection).await else { continue };
            let in_log = self.log.event_id(mark.cursor.position).await?;
            // After the cursor: whoever follows may have moved it in between.
            let end = self.log.head().await?;
            if let Some(found) = parts::model_misfit(&ModelPart { name: projection.name, mark, in_log }, end.into()) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Tells the vault soon after each commit how far the log is, until the site is stopped.
    pub async fn keep_noted(self: Arc<Self>) {
        let mut woken = self.woken.subscribe();
        let app = Arc::downgrade(&self);
        drop(self);
        while woken.changed().await.is_ok() {
            tokio::time::sleep(NOTED_WITHIN).await;
            let Some(site) = app.upgrade() else { return };
            if site.leads()
                && let Err(error) = site.note_seen().await
            {
                // Housekeeping tries again, and says so.
                tracing::debug!(%error, "the vault was not told how far the log is");
            }
        }
    }

    /// Tells the vault the newest event of the log, and the log how far the vault is. Nothing, when nothing happened.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub(super) async fn note_seen(&self) -> Result<(), AppError> {
        if self.refusal().is_some() {
            return Ok(());
        }
        let end = end_of(self.log.as_ref()).await?;
        let noted = *self.whole.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if end.cursor <= noted || end.event.is_none() {
            return Ok(());
        }
        self.vault.note_seen(end, false).await?;
        // Only after the vault has it: what the log has noted, the vault has seen.
        self.writer.job(move |log| Box::pin(log.note_vault(end.cursor, false))).await?;
        *self.whole.noted.lock().unwrap_or_else(PoisonError::into_inner) = end.cursor;
        Ok(())
    }

    /// Why nothing of the vault may be destroyed now: a read model is behind, being built, or stopped, or the log is not
    /// the newest. What the vault has and the log does not name is then no evidence.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub(super) async fn why_not_destroy(&self) -> Result<Option<String>, AppError> {
        if let Some(told) = self.refusal() {
            return Ok(Some(told));
        }
        let head = self.head().await?;
        if !self.wait_for(head).await {
            return Ok(Some("a read model is behind the log".to_owned()));
        }
        let stopped = self.progress().into_iter().find(|(_, one)| one.error.is_some() || one.rebuilding.is_some());
        Ok(stopped.map(|(name, _)| format!("the read model {name} is stopped, or being built")))
    }
}
