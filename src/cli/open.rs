//! Opens a data directory: takes its lock, so that one process writes to it, finds the root key, opens the stores and
//! starts the app. Also says who holds the lock when somebody else does.

mod copy;
mod database;

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use countersign_events::codec::CODEC;
use countersign_projections::Projection;
use tempfile::TempDir;

use crate::{
    app::{App, Stores},
    config::{Config, HiddenText},
    keyring::Keyring,
    projector::{Tell, rebuild_inline},
    secrets::RootKey,
    store::sqlite::{SqliteStore, vault::SqliteVault},
    world::World,
};

pub use copy::{CannotWrite, Look, copied};
pub use database::{Database, Levels};

const LOG: &str = "log.db";
const VAULT: &str = "vault.db";
const LOCK: &str = "lock";

/// What becomes of a data directory that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is made, for this user alone.
    Make,
    /// It is an error: there is nothing to show or change.
    Refuse,
}

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
    /// Of a copy: what goes with it.
    _copy: Option<TempDir>,
}

/// Where a site lies, for whoever starts it here.
pub enum Place {
    /// A data directory that is ours.
    Directory(DataDir),
    /// A database that others may be at, too.
    Database(Database),
}

impl Place {
    /// Opens the stores and starts the app on them.
    ///
    /// # Errors
    /// When the root key is missing or malformed, a store cannot be opened, or a setting does not hold.
    pub async fn start(&self, config: Config, world: World) -> anyhow::Result<Arc<App>> {
        self.start_anew(config, world, &[], &|_| {}).await
    }

    /// The same, after these inline read models were built anew.
    ///
    /// # Errors
    /// As [`Self::start`]; also when an event cannot be applied to them.
    pub async fn start_anew(
        &self,
        config: Config,
        world: World,
        inline: &[&'static Projection],
        tell: Tell<'_>,
    ) -> anyhow::Result<Arc<App>> {
        match self {
            Self::Directory(dir) => dir.start_anew(config, world, inline, tell).await,
            Self::Database(database) => database.start_anew(config, world, inline, tell).await,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(dir) => dir.path().display().fmt(f),
            Self::Database(_) => f.write_str("the database"),
        }
    }
}

/// What came of taking the lock.
#[derive(Debug)]
pub enum Lock {
    /// We have it.
    Ours(DataDir),
    /// Another process has it: `process 4711`, as far as the lock file tells.
    Held(String),
}

/// Takes the lock of a data directory without waiting for it.
///
/// # Errors
/// When the directory is missing and may not be made, nothing can be written in it ([`CannotWrite`]), or the system refuses.
pub fn lock(path: &Path, missing: Missing) -> anyhow::Result<Lock> {
    may_enter(path)?;
    // Looked at before anything is written: a mistyped path stays as it was.
    let is_empty = || !path.join(LOG).exists();
    if missing == Missing::Refuse && is_empty() && !path.join(LOCK).exists() {
        bail!(nothing_there(path));
    }
    if missing == Missing::Make {
        make(path).with_context(|| format!("cannot make the data directory {}", path.display()))?;
    }
    let lock_path = path.join(LOCK);
    let refused = || format!("cannot lock the data directory {}", path.display());
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) => match CannotWrite::of(path, error) {
            Ok(cannot) => bail!(cannot),
            Err(error) => return Err(error).with_context(refused),
        },
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Lock::Held(holder(&mut file))),
        Err(TryLockError::Error(error)) => return Err(error).with_context(refused),
    }
    if missing == Missing::Refuse && is_empty() {
        bail!(nothing_there(path));
    }
    copy::look_writable(path)?;
    file.set_len(0).with_context(refused)?;
    writeln!(file, "{}", std::process::id()).with_context(refused)?;
    warn_if_open(path);
    Ok(Lock::Ours(DataDir { path: path.to_owned(), _lock: file, _copy: None }))
}

/// What somebody else's directory holds cannot be told from nothing.
fn may_enter(path: &Path) -> anyhow::Result<()> {
    match path.join(LOG).try_exists() {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            bail!("{} belongs to another account: run this as the account that runs the site", path.display())
        }
        _ => Ok(()),
    }
}

/// Who is at a data directory, found out without changing anything in it.
#[derive(Debug)]
pub enum Presence {
    /// Nobody, as long as this is held: the lock file, when there is one.
    Nobody(Option<File>),
    /// Another process: `process 4711`, as far as the lock file tells.
    Held(String),
}

/// Looks who is at a data directory.
///
/// # Errors
/// When there is no site, or the system refuses.
pub fn presence(path: &Path) -> anyhow::Result<Presence> {
    may_enter(path)?;
    if !path.join(LOG).exists() && !path.join(VAULT).exists() {
        bail!(nothing_there(path));
    }
    let refused = || format!("cannot look at the lock of the data directory {}", path.display());
    let mut file = match File::open(path.join(LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Presence::Nobody(None)),
        Err(error) => return Err(error).with_context(refused),
    };
    match file.try_lock() {
        Ok(()) => Ok(Presence::Nobody(Some(file))),
        Err(TryLockError::WouldBlock) => Ok(Presence::Held(holder(&mut file))),
        Err(TryLockError::Error(error)) => Err(error).with_context(refused),
    }
}

impl DataDir {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn start_anew(
        &self,
        config: Config,
        world: World,
        inline: &[&'static Projection],
        tell: Tell<'_>,
    ) -> anyhow::Result<Arc<App>> {
        let data_exists = [LOG, VAULT].iter().any(|name| self.path.join(name).exists());
        let from_env = config.root_key.as_ref().map(HiddenText::expose);
        let root = RootKey::load_or_create(&self.path, data_exists, from_env, world.random())?;
        let opened = || format!("cannot open the data in {}", self.path.display());
        let log = SqliteStore::open(&self.path).await.with_context(opened)?;
        let writer = Box::new(log.writer().with_context(opened)?);
        let vault = SqliteVault::open(&self.path).await.with_context(opened)?;
        let stores = Stores { log: log.clone(), writer, models: log, vault, codec: CODEC, shared: None };
        start_on(stores, config, world, &root, inline, tell).await
    }
}

/// Builds these inline read models anew, and starts the app.
async fn start_on(
    mut stores: Stores,
    config: Config,
    world: World,
    root: &RootKey,
    inline: &[&'static Projection],
    tell: Tell<'_>,
) -> anyhow::Result<Arc<App>> {
    const FAILED: &str = "the site cannot start";
    if !inline.is_empty() {
        let keyring = Keyring::open(stores.vault.clone(), root, world.clone()).await.context(FAILED)?;
        for projection in inline {
            rebuild_inline(stores.writer.as_mut(), stores.log.as_ref(), &keyring, &world, projection, tell)
                .await
                .with_context(|| format!("{} cannot be built anew", projection.name))?;
        }
    }
    App::start(config, world, root, stores).await.context(FAILED)
}

fn nothing_there(path: &Path) -> String {
    format!(
        "there is no site in {}: `countersign serve` makes one, and `countersign account create NAME --new-site` makes one \
         with its first member; if yours lies elsewhere, name it with --data-dir",
        path.display()
    )
}

/// Makes the directory for this user alone; the ones above it are as the system makes them.
fn make(path: &Path) -> std::io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

/// Who holds the lock, as they wrote into it. It says nothing in the moment between the two.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}

fn warn_if_open(path: &Path) {
    if let Ok(metadata) = fs::metadata(path) {
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            tracing::warn!(mode = format!("{mode:03o}"), "other users can reach the data directory: chmod 700 it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(lock: Lock) -> DataDir {
        match lock {
            Lock::Ours(dir) => dir,
            Lock::Held(holder) => panic!("held by {holder}"),
        }
    }

    #[test]
    fn a_new_directory_is_for_its_owner_alone() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("a/b");
        let dir = ours(lock(&path, Missing::Make).unwrap());
        assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(path.join(LOCK)).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_second_hears_who_has_the_lock_and_gets_it_afterwards() {
        let above = tempfile::tempdir().unwrap();
        let first = ours(lock(above.path(), Missing::Make).unwrap());
        let Lock::Held(holder) = lock(above.path(), Missing::Make).unwrap() else { panic!("locked twice") };
        assert_eq!(holder, format!("process {}", std::process::id()));
        drop(first);
        ours(lock(above.path(), Missing::Make).unwrap());
    }

    #[test]
    fn a_path_without_a_site_is_left_as_it_was() {
        let above = tempfile::tempdir().unwrap();
        let error = lock(above.path(), Missing::Refuse).unwrap_err();
        assert!(error.to_string().contains("--data-dir"), "{error}");
        assert_eq!(fs::read_dir(above.path()).unwrap().count(), 0);
        lock(&above.path().join("nowhere"), Missing::Refuse).unwrap_err();
    }
}
