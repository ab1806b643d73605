//! A copy of a site that lies where nothing can be written, such as a snapshot on a read-only mount: what is only to be
//! looked at is looked at there. `SQLite` needs to write beside a database that has a write-ahead log, and what a
//! program does at a start, it does to the copy. The root key is not copied.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rustix::fs::{Access, access};

use super::{DataDir, LOCK, LOG, Lock, Missing, Presence, VAULT, lock, presence};
use crate::{
    config::{Config, HiddenText},
    secrets::RootKey,
    world::World,
};

/// Nothing can be written in a data directory.
#[derive(Debug, thiserror::Error)]
#[error(
    "nothing can be written in the data directory {}: {cause}. Run this as the account that runs the site, or where the \
     directory is mounted writable. Listings, `countersign events show`, `countersign projections check` and \
     `countersign doctor` can be had where it is", path.display()
)]
pub struct CannotWrite {
    /// The directory.
    path: PathBuf,
    /// What the system said.
    cause: io::Error,
}

impl CannotWrite {
    /// If that is what the system said.
    pub(super) fn of(path: &Path, cause: io::Error) -> Result<Self, io::Error> {
        if is_forbidden(&cause) { Ok(Self { path: path.to_owned(), cause }) } else { Err(cause) }
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem].contains(&error.kind())
}

/// Whether what is there of a site can be written, found out without changing anything.
pub(super) fn look_writable(path: &Path) -> Result<(), CannotWrite> {
    let refused = |cause| CannotWrite { path: path.to_owned(), cause };
    access(path, Access::WRITE_OK).map_err(|cause| refused(cause.into()))?;
    for file in [LOG, VAULT] {
        match fs::OpenOptions::new().write(true).open(path.join(file)) {
            Err(cause) if is_forbidden(&cause) => return Err(refused(cause)),
            // What else is wrong with it, whoever opens it is told.
            _ => {}
        }
    }
    Ok(())
}

/// What can be looked at of a site where nothing can be written.
pub enum Look {
    /// A copy, with the settings to open it.
    Copy(Box<Config>, DataDir),
    /// Another process is at the site: `process 4711`, as far as the lock file tells.
    Held(String),
}

/// Copies a site to look at it. Nobody begins to write to it meanwhile who respects its lock.
///
/// # Errors
/// When something cannot be read, or there is no room.
pub fn copied(config: &Config) -> anyhow::Result<Look> {
    let path = &config.data_dir;
    let _lock = match presence(path)? {
        Presence::Nobody(lock) => lock,
        Presence::Held(holder) => return Ok(Look::Held(holder)),
    };
    let above =
        tempfile::Builder::new().prefix("countersign-").tempdir().context("cannot make a directory for a copy")?;
    let to = above.path().join("site");
    copy_tree(path, &to).with_context(|| {
        format!(
            "{} cannot be written, and its copy in {} cannot be made: name a directory with more room in TMPDIR",
            path.display(),
            above.path().display()
        )
    })?;
    let given = config.root_key.as_ref().map(HiddenText::expose);
    let key = RootKey::load_or_create(path, true, given, World::system().random())?;
    let mut config = config.clone();
    config.data_dir.clone_from(&to);
    config.root_key = Some(HiddenText::new(&key.to_text()));
    match lock(&to, Missing::Refuse)? {
        Lock::Ours(dir) => Ok(Look::Copy(Box::new(config), DataDir { _copy: Some(above), ..dir })),
        Lock::Held(holder) => Ok(Look::Held(holder)),
    }
}

/// Copies databases with their write-ahead logs, and whatever else lies there; what only a running program needs stays.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let copy = to.join(&name);
        if kind.is_dir() {
            copy_tree(&entry.path(), &copy)?;
        } else if kind.is_file() && name != LOCK && !name.as_encoded_bytes().ends_with(b"-shm") {
            fs::copy(entry.path(), &copy).map_err(|error| named(&entry.path(), &error))?;
            fs::set_permissions(&copy, Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
