//! Opens a site whose log lies in `PostgreSQL`. Nothing is locked: every process is a node of its own beside the others,
//! and the log's database decides races.

use std::sync::Arc;

use anyhow::Context as _;
use countersign_events::codec::CODEC;
use countersign_projections::Projection;

use crate::{
    app::{App, Stores},
    cli::Misuse,
    config::{Config, HiddenText},
    keyring::Keyring,
    projector::{Tell, rebuild_inline},
    secrets::RootKey,
    store::{
        Vault as _,
        facts::Facts,
        postgres::{self, Part, PostgresStore, PostgresVault},
    },
    world::World,
};

/// The databases of a site.
pub struct Database {
    log: HiddenText,
    vault: HiddenText,
    owner: Option<HiddenText>,
}

/// Reads the URLs of databases in the settings.
///
/// # Errors
/// [`Misuse`] with the setting that cannot be read as one. Its text is not in it: it may hold a password.
pub fn check_urls(config: &Config) -> Result<(), Misuse> {
    for (key, url) in [
        ("database_url", &config.database_url),
        ("vault_url", &config.vault_url),
        ("migrate_database_url", &config.migrate_database_url),
    ] {
        if let Some(Err(error)) = url.as_ref().map(|url| postgres::role_of(url.expose())) {
            return Err(Misuse(format!("the setting `{key}`: {error}")));
        }
    }
    Ok(())
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
        let log = config.database_url.clone()?;
        let vault = config.vault_url.clone().unwrap_or_else(|| log.clone());
        Some(Self { log, vault, owner: config.migrate_database_url.clone() })
    }

    /// How far they are.
    ///
    /// # Errors
    /// When a server cannot be reached.
    pub async fn levels(&self) -> anyhow::Result<Levels> {
        let log = postgres::level(self.log.expose(), Part::Log).await.context(REACHED)?;
        let vault = postgres::level(self.vault.expose(), Part::Vault).await.context("the vault's database")?;
        Ok(Levels { log, vault })
    }

    /// Makes the steps that are left to do. Of several who do this at once one does it, and the others wait.
    ///
    /// # Errors
    /// When a step fails, or the role may not make it.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        let owner = self.owner.as_ref().unwrap_or(&self.log).expose();
        let role = postgres::role_of(self.log.expose())?;
        postgres::migrate(owner, Part::Log, &role).await.context(
            "the tables cannot be brought to this version: name a URL of their owner with --migrate-database-url",
        )?;
        // The owner's role of the log's database has no business in a vault that lies elsewhere.
        let same = self.vault.expose() == self.log.expose();
        let owner = if same { owner } else { self.vault.expose() };
        let role = postgres::role_of(self.vault.expose())?;
        postgres::migrate(owner, Part::Vault, &role)
            .await
            .context("the vault's tables cannot be brought to this version")
    }

    /// What is true of what is stored, without changing it.
    pub async fn examine(&self, deep: bool) -> Facts {
        postgres::examine(self.log.expose(), self.vault.expose(), deep).await
    }

    /// Opens the stores and starts the app on them, after these inline read models were built anew.
    ///
    /// # Errors
    /// When the root key is missing, a store cannot be opened, or a setting does not hold.
    pub async fn start_anew(
        &self,
        config: Config,
        world: World,
        inline: &[&'static Projection],
        tell: Tell<'_>,
    ) -> anyhow::Result<Arc<App>> {
        let log = PostgresStore::open(self.log.expose()).await.context(REACHED)?;
        let vault = PostgresVault::open(self.vault.expose()).await.context("the vault cannot be opened")?;
        let data_exists = vault.site_key().await?.is_some();
        let from_env = config.root_key.as_ref().map(HiddenText::expose);
        let root = RootKey::load_or_create(&config.data_dir, data_exists, from_env, world.random())?;
        let mut writer = log.writer()?;
        if !inline.is_empty() {
            let keyring = Keyring::open(vault.clone(), &root, world.clone()).await?;
            for projection in inline {
                rebuild_inline(&mut writer, log.as_ref(), &keyring, &world, projection, tell)
                    .await
                    .with_context(|| format!("{} cannot be built anew", projection.name))?;
            }
        }
        let shared = Some(log.clone() as Arc<_>);
        let stores = Stores { log: log.clone(), writer: Box::new(writer), models: log, vault, codec: CODEC, shared };
        App::start(config, world, &root, stores).await.context("the site cannot start")
    }
}

const REACHED: &str = "the database cannot be opened";
