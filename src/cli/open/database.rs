//! Opens a site whose log lies in `PostgreSQL`. Nothing is locked: every process is a node of its own beside the others,
//! and the log's database decides races.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use countersign_events::codec::CODEC;

use super::{Beforehand, Missing, one_site, places, start_on};
use crate::{
    app::{App, Stores},
    config::{Config, HiddenText},
    parts::Places,
    secrets::RootKey,
    store::{
        StoreError, Vault as _,
        facts::{Facts, Shown, Unreadable},
        parts::{Part, Parts},
        postgres::{self, PostgresStore, PostgresVault, parts::look},
    },
    world::World,
};

/// The databases of a site.
pub struct Database {
    log: Named,
    vault: Named,
    owner: Option<Named>,
    missing: Missing,
}

/// URLs, and where they were set.
#[derive(Clone)]
struct Named {
    urls: HiddenText,
    place: String,
}

impl Named {
    fn of(config: &Config, key: &str, urls: Option<&HiddenText>) -> Option<Self> {
        urls.cloned().map(|urls| Self { urls, place: config.place_of(key) })
    }

    fn urls(&self) -> &str {
        self.urls.expose()
    }

    /// An error of a store that these lead to, in one line.
    fn told(&self, error: StoreError) -> anyhow::Error {
        match error {
            StoreError::Unavailable(told) => anyhow!("{}: {told}", self.place),
            error => anyhow::Error::from(error).context(self.place.clone()),
        }
    }
}

/// How far the two parts of a site are migrated.
#[derive(Debug, Clone, Copy)]
pub struct Levels {
    /// The log with its bookkeeping.
    pub log: postgres::Level,
    /// The vault.
    pub vault: postgres::Level,
}

impl Levels {
    /// Whether a step is left to do.
    #[must_use]
    pub const fn is_behind(&self) -> bool {
        self.log.done < self.log.known || self.vault.done < self.vault.known
    }
}

impl Database {
    /// The databases that the settings name, if they name any.
    #[must_use]
    pub fn of(config: &Config) -> Option<Self> {
        let log = Named::of(config, "database_url", config.database_url.as_ref())?;
        let vault = Named::of(config, "vault_url", config.vault_url.as_ref()).unwrap_or_else(|| log.clone());
        let owner = Named::of(config, "migrate_database_url", config.migrate_database_url.as_ref());
        Some(Self { log, vault, owner, missing: Missing::Refuse })
    }

    /// With another answer to a site that is not there.
    #[must_use]
    pub const fn where_missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// The parts of the site, as they lie there.
    pub async fn parts(&self) -> Parts {
        look(self.log.urls(), self.vault.urls()).await
    }

    /// Where they are.
    #[must_use]
    pub fn places(&self, config: &Config) -> Places {
        let key = places(&config.data_dir, config).key;
        Places {
            log: format!("the database of {}", self.log.place),
            vault: format!("the database of {}", self.vault.place),
            key,
        }
    }

    /// Refuses to make tables in one database beside what is a site's in the other.
    async fn refuse_half(&self, config: &Config) -> anyhow::Result<()> {
        let parts = self.parts().await;
        let half = match (&parts.log, &parts.vault) {
            (Part::Missing, other) => other.held().is_some(),
            (other, Part::Missing) => other.held().is_some(),
            _ => false,
        };
        if half { one_site(&parts, &self.places(config), None, false) } else { Ok(()) }
    }

    /// How far they are.
    ///
    /// # Errors
    /// When a server cannot be reached, or does not let the role in.
    pub async fn levels(&self) -> anyhow::Result<Levels> {
        let (log, vault) = (&self.log, &self.vault);
        Ok(Levels {
            log: postgres::level(log.urls(), postgres::Part::Log).await.map_err(|error| log.told(error))?,
            vault: postgres::level(vault.urls(), postgres::Part::Vault).await.map_err(|error| vault.told(error))?,
        })
    }

    /// Makes the steps that are left to do. Of several who do this at once one does it, and the others wait.
    ///
    /// # Errors
    /// When a step fails, or the role may not make it; when one database has a part of a site and the other has none.
    pub async fn migrate(&self, config: &Config) -> anyhow::Result<()> {
        self.refuse_half(config).await?;
        let owner = self.owner.as_ref().unwrap_or(&self.log);
        // The owner's role of the log's database has no business in a vault that lies elsewhere.
        let owner_of_the_vault = if self.vault.urls == self.log.urls { owner } else { &self.vault };
        for (part, of, owner) in
            [(postgres::Part::Log, &self.log, owner), (postgres::Part::Vault, &self.vault, owner_of_the_vault)]
        {
            let role = postgres::role_of(of.urls()).map_err(|error| of.told(error))?;
            postgres::migrate(owner.urls(), part, &role).await.map_err(|error| owner.told(error))?;
        }
        Ok(())
    }

    /// What is true of what is stored, without changing it.
    pub async fn examine(&self, deep: bool) -> Facts {
        let mut facts = postgres::examine(self.log.urls(), self.vault.urls(), deep).await;
        for (database, named) in facts.databases.iter_mut().zip([&self.log, &self.vault]) {
            if let Some(Unreadable::Silent(told)) = &mut database.error {
                told.insert_str(0, &format!("{}: ", named.place));
            }
        }
        facts
    }

    /// Opens log and vault for reading them through, with the read models, without changing any.
    ///
    /// # Errors
    /// [`StoreError`] when one of them does not answer.
    pub async fn open_for_reading(&self) -> Result<Box<dyn Shown>, StoreError> {
        postgres::open_for_reading(self.log.urls(), self.vault.urls()).await
    }

    /// Opens the stores and starts the app on them, after these inline read models were built anew.
    ///
    /// # Errors
    /// When the root key is missing, a store cannot be opened, or a setting does not hold.
    pub async fn start_anew(
        &self,
        config: Config,
        world: World,
        beforehand: Beforehand<'_>,
    ) -> anyhow::Result<Arc<App>> {
        let from_env = config.root_key.as_ref().map(HiddenText::expose);
        let key = RootKey::find(&config.data_dir, from_env)?;
        let parts = self.parts().await;
        if parts.is_nothing() && !matches!(parts.log, Part::Missing) && self.missing == Missing::Refuse {
            bail!("{}: there is no site in this database yet: `countersign serve` makes one", self.log.place);
        }
        // What cannot be read, opening it explains; log and vault are compared once more when the app starts.
        let can_be_read = !matches!(parts.log, Part::Unreadable(_)) && !matches!(parts.vault, Part::Unreadable(_));
        if !parts.is_nothing() && can_be_read {
            one_site(&parts, &self.places(&config), key.as_ref(), beforehand.accept.is_some())?;
        }
        let log = PostgresStore::open(self.log.urls()).await.map_err(|error| self.log.told(error))?;
        let vault = if self.vault.urls == self.log.urls {
            log.vault().await
        } else {
            PostgresVault::open(self.vault.urls()).await
        };
        let vault = vault.map_err(|error| self.vault.told(error))?;
        let data_exists = vault.site_key().await.map_err(|error| self.vault.told(error))?.is_some();
        let root = RootKey::load_or_create(&config.data_dir, data_exists, from_env, world.random())?;
        let (writer, shared) = (Box::new(log.writer()?), Some(log.clone() as Arc<_>));
        let stores = Stores { log: log.clone(), writer, models: log, vault, codec: CODEC, shared };
        start_on(stores, config, world, &root, beforehand).await
    }
}
