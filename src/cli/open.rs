//! Opens a data directory: takes its lock, so that one process writes to it, finds the root key, opens the stores and
//! starts the app. Also says who holds the lock when somebody else does.

mod copy;
mod database;

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, bail};
use countersign_events::codec::CODEC;
use countersign_projections::Projection;
use tempfile::TempDir;

use crate::{
    app::{self, App, AppError, Stores},
    config::{Config, HiddenText},
    keyring::Keyring,
    ownership,
    parts::{self, NotOneSite, Places},
    projector::{Tell, rebuild_inline},
    secrets::RootKey,
    store::{
        StoreError,
        parts::{Part, Parts},
        sqlite::{SqliteStore, misplaced, parts::look, vault::SqliteVault},
    },
    world::World,
};

pub use copy::{CannotWrite, Look, copied};
pub use database::{Database, Levels};

const LOG: &str = "log.db";
const VAULT: &str = "vault.db";
const LOCK: &str = "lock";
const MODELS: &str = "models";

/// There while a site is being made: what is not there yet was never lost. Only then it is looked at.
const UNFINISHED: &str = "unfinished";

/// What becomes of a site that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is made, for this user alone, where nothing of one is.
    Make,
    /// It is made even where the root key of one is.
    MakeAnew,
    /// It is an error: there is nothing to show or change.
    Refuse,
}

/// What is done before the app starts.
#[derive(Clone, Copy)]
pub struct Beforehand<'a> {
    /// These inline read models are built anew.
    pub inline: &'a [&'static Projection],
    /// Told how far that is.
    pub tell: Tell<'a>,
    /// Log and vault are taken for the newest there are, whatever they say; here is told what stays as it is because of that.
    pub accept: Option<&'a Kept>,
}

/// Read models that stay as they are, because the vault lacks keys of texts that they still have, with the reason.
#[derive(Default)]
pub struct Kept(Mutex<Vec<(&'static str, String)>>);

impl Kept {
    /// Notes another one.
    pub fn note(&self, name: &'static str, reason: &dyn fmt::Display) {
        self.all().push((name, reason.to_string()));
    }

    /// All of them.
    pub fn all(&self) -> MutexGuard<'_, Vec<(&'static str, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    missing: Missing,
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
        self.start_anew(config, world, Beforehand { inline: &[], tell: &|_| {}, accept: None }).await
    }

    /// The same, after something was done.
    ///
    /// # Errors
    /// As [`Self::start`]; also when an event cannot be applied to inline read models.
    pub async fn start_anew(
        &self,
        config: Config,
        world: World,
        beforehand: Beforehand<'_>,
    ) -> anyhow::Result<Arc<App>> {
        match self {
            Self::Directory(dir) => dir.start_anew(config, world, beforehand).await,
            Self::Database(database) => database.start_anew(config, world, beforehand).await,
        }
    }

    /// A site that was being made is made: from here on, what is missing was lost.
    pub fn made(&self) {
        if let Self::Directory(dir) = self {
            drop(fs::remove_file(dir.path.join(UNFINISHED)));
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
    nothing_misplaced(path)?;
    // Looked at before anything is written: a mistyped path stays as it was.
    let is_empty = || !is_part_there(path);
    if missing == Missing::Refuse && (is_empty() || !path.is_dir()) && !path.join(LOCK).exists() {
        bail!(nothing_there(path));
    }
    if missing != Missing::Refuse {
        make(path).with_context(|| format!("cannot make the data directory {}", path.display()))?;
    }
    // Whoever owns it can put links in the way of root.
    ownership::refuse_others_as_root(path)?;
    if let Ok(key) = RootKey::file_of(path) {
        ownership::refuse_others_as_root(&key)?;
    }
    let lock_path = path.join(LOCK);
    let refused = || format!("cannot lock the data directory {}", path.display());
    let mut options = OpenOptions::new();
    let opened = ownership::open(&lock_path, options.read(true).write(true).create(true).truncate(false).mode(0o600));
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
    Ok(Lock::Ours(DataDir { path: path.to_owned(), missing, _lock: file, _copy: None }))
}

/// Whether anything of a site is at a data directory; its root key lies beside it.
fn is_part_there(path: &Path) -> bool {
    [LOG, VAULT, MODELS].iter().any(|name| path.join(name).exists())
        || RootKey::file_of(path).is_ok_and(|key| key.exists())
}

/// Refuses a data directory in which something lies in the place of something else: it is moved by people, who know what
/// it is.
fn nothing_misplaced(path: &Path) -> anyhow::Result<()> {
    let found: Vec<_> = misplaced(path).iter().map(ToString::to_string).collect();
    if found.is_empty() {
        return Ok(());
    }
    bail!(
        "{}, and nothing was changed: move it away. In the place of {LOG} or {VAULT} put the newest copy then; read models \
         are built from the log by the next start. `countersign doctor` says more",
        found.join("; ")
    )
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
    if !is_part_there(path) {
        bail!(nothing_there(path));
    }
    let refused = || format!("cannot look at the lock of the data directory {}", path.display());
    let mut file = match ownership::open(&path.join(LOCK), OpenOptions::new().read(true)) {
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

    async fn start_anew(&self, config: Config, world: World, beforehand: Beforehand<'_>) -> anyhow::Result<Arc<App>> {
        let parts = look(&self.path, true).await;
        let places = places(&self.path, &config);
        let from_env = config.root_key.as_ref().map(HiddenText::expose);
        let key = RootKey::find(&self.path, from_env)?;
        let unfinished = self.path.join(UNFINISHED);
        // A key from the environment is no trace of a site.
        let has_file = key.is_some() && from_env.is_none();
        let is_new = match (parts.holds_nothing(), self.missing) {
            // Read models of a log that is gone were made after it.
            (true, _) if unfinished.exists() && !(parts.has_models && matches!(parts.log, Part::Missing)) => true,
            (true, Missing::Make) => !has_file && !parts.has_models,
            (true, Missing::MakeAnew) => !parts.has_models,
            _ => false,
        };
        if is_new {
            ownership::open(&unfinished, OpenOptions::new().create(true).append(true).mode(0o600))
                .with_context(|| format!("cannot write to the data directory {}", self.path.display()))?;
        } else if key.is_some() || parts.is_nothing() {
            one_site(&parts, &places, key.as_ref(), beforehand.accept.is_some())?;
        }
        let root = RootKey::load_or_create(&self.path, !is_new, from_env, world.random())?;
        if is_new {
            warn_of_two_file_systems(&self.path);
        }
        let opened = || format!("cannot open the data in {}", self.path.display());
        let log = SqliteStore::open(&self.path).await.with_context(opened)?;
        let writer = Box::new(log.writer().with_context(opened)?);
        let vault = SqliteVault::open(&self.path).await.with_context(opened)?;
        let stores = Stores { log: log.clone(), writer, models: log, vault, codec: CODEC, shared: None };
        let app = start_on(stores, config, world, &root, beforehand).await?;
        if !parts.log.is_nothing() {
            drop(fs::remove_file(unfinished));
        }
        Ok(app)
    }
}

/// With less space than this, nothing can be written.
const NO_ROOM: u64 = 256 << 10;

/// What failed for want of room on the disk of a data directory, in one sentence; whatever else failed, as it was told.
#[must_use]
pub fn or_no_room(path: &Path, error: anyhow::Error) -> anyhow::Error {
    let is_cause = error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::StorageFull)
            || matches!(cause.downcast_ref(), Some(StoreError::Unavailable(_)))
            || matches!(cause.downcast_ref(), Some(AppError::Store(StoreError::Unavailable(_))))
    });
    // What is not made yet lies where the directory above it does.
    let about = path.ancestors().find_map(|path| rustix::fs::statvfs(path).ok());
    match about.map(|about| about.f_bavail.saturating_mul(about.f_frsize)) {
        Some(free) if is_cause && free < NO_ROOM => anyhow::anyhow!(
            "the disk of the data directory {} is full ({free} bytes free), so nothing can be written: make room and start \
             again; nothing that was answered is lost",
            path.display()
        ),
        _ => error,
    }
}

/// Where the parts of a site in a data directory are.
#[must_use]
pub fn places(path: &Path, config: &Config) -> Places {
    let key = if config.root_key.is_some() {
        "COUNTERSIGN_ROOT_KEY".to_owned()
    } else {
        RootKey::file_of(path).map_or_else(|_| path.display().to_string(), |file| file.display().to_string())
    };
    Places { log: path.join(LOG).display().to_string(), vault: path.join(VAULT).display().to_string(), key }
}

/// Refuses a data directory in which a part of its site is missing or another's.
///
/// # Errors
/// Which, and what to do.
pub async fn must_be_whole(path: &Path, config: &Config) -> anyhow::Result<()> {
    let key = RootKey::find(path, config.root_key.as_ref().map(HiddenText::expose))?;
    one_site(&look(path, true).await, &places(path, config), key.as_ref(), false)
}

/// Refuses parts that are not of one site, by name. What is missing is refused also where a log or a vault that is not the
/// newest is accepted.
fn one_site(parts: &Parts, places: &Places, root: Option<&RootKey>, accept: bool) -> anyhow::Result<()> {
    let mut faults = parts::faults(parts, places, root);
    if accept && parts.log.held().is_some() && parts.vault.held().is_some() {
        faults.retain(|fault| !fault.is_age);
    }
    if faults.is_empty() { Ok(()) } else { Err(NotOneSite(faults).into()) }
}

/// A key and data that lie on different file systems are soon mounted, or backed up, one without the other.
fn warn_of_two_file_systems(path: &Path) {
    let device = |path: &Path| fs::metadata(path).map(|about| about.dev()).ok();
    if let Ok(key) = RootKey::file_of(path)
        && let (Some(data), Some(key_is_on)) = (device(path), device(&key))
        && data != key_is_on
    {
        tracing::warn!(
            key = %key.display(),
            data = %path.display(),
            "the root key and the data lie on different file systems: see that both are mounted before the site starts, \
             and that both are backed up; neither is of any use without the other"
        );
    }
}

/// Builds these inline read models anew, and starts the app.
async fn start_on(
    mut stores: Stores,
    config: Config,
    world: World,
    root: &RootKey,
    Beforehand { inline, tell, accept }: Beforehand<'_>,
) -> anyhow::Result<Arc<App>> {
    const FAILED: &str = "the site cannot start";
    const DAMAGED: &str = "the site cannot start, since its log or a read model is damaged. Rebuild nothing: `countersign \
                           doctor --deep` says what there is to put right";
    if !inline.is_empty() {
        let keyring =
            Keyring::open(stores.vault.clone(), stores.log.clone(), root, world.clone()).await.context(FAILED)?;
        for projection in inline {
            let built =
                rebuild_inline(stores.writer.as_mut(), stores.log.as_ref(), &keyring, &world, projection, tell).await;
            match (built, accept) {
                (Err(error @ StoreError::VaultLacks { .. }), Some(kept)) => kept.note(projection.name, &error),
                (built, _) => built.with_context(|| format!("{} cannot be built anew", projection.name))?,
            }
        }
    }
    // Last: what fails before it leaves the refusal as it was.
    if accept.is_some() {
        app::site::accept(&mut stores, root, &world).await.context(FAILED)?;
    }
    App::start(config, world, root, stores).await.map_err(|error| {
        let is_damaged = matches!(error, AppError::Store(StoreError::Corrupt { .. }));
        anyhow::Error::from(error).context(if is_damaged { DAMAGED } else { FAILED })
    })
}

fn nothing_there(path: &Path) -> String {
    if let Some(key) = RootKey::file_of(path).ok().filter(|key| key.exists()) {
        return format!(
            "there is no site in {}, although its root key {} is there: put the directory back, with {LOG} and {VAULT}, or \
             name where it is with --data-dir",
            path.display(),
            key.display()
        );
    }
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
