//! The key above all keys: read from the environment or from its file, which is made once and guarded.
//!
//! It lies outside the data directory, so that a stolen data directory opens nothing.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::SubKey;
use crate::ownership::{self, Untrusted};

/// More than any form of a key has, so that a large file put there by mistake is not read whole.
const LONGEST_FILE: u64 = 256;

/// What begins the line of the site's id, behind the line of the key.
const SITE: &str = "site ";
/// What the id of a new site is derived for. It tells nothing of the key.
const SITE_ID: &str = "countersign site id v1";

/// The key from which every other is derived. It has no printed form.
#[derive(Clone)]
pub struct RootKey {
    key: Zeroizing<[u8; 32]>,
    site: Option<Uuid>,
}

/// Why there is no root key to work with.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    /// The environment variable holds something else.
    #[error("COUNTERSIGN_ROOT_KEY must be 64 hexadecimal digits, or base64 of 32 bytes")]
    MalformedVariable,
    /// The file holds something else.
    #[error(
        "the key file {} does not hold a root key (64 hexadecimal digits): restore it from your backup; \
         if this site holds no data yet, delete the file and start again", .0.display()
    )]
    MalformedFile(PathBuf),
    /// A directory is in its place.
    #[error(
        "the key file {} is a directory, not a file: move it away, and put the key file back from your backup",
        .0.display()
    )]
    Directory(PathBuf),
    /// Others than the owner may read or write the file.
    #[error("the key file {} is open to other users (mode {mode:04o}): chmod 600 {}", path.display(), path.display())]
    TooOpen {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is data, and the key that opens it is not where it should be.
    #[error(
        "the root key is missing: this site has data, but there is no key file at {}. Without that key its sessions, \
         messages and held secrets cannot be opened. Put the key file back, or set COUNTERSIGN_ROOT_KEY", .0.display()
    )]
    Missing(PathBuf),
    /// The data directory's path ends in no name beside which the key could lie.
    #[error("the data directory {} needs a name of its own, because its key file lies beside it", .0.display())]
    Nameless(PathBuf),
    /// It is somebody else's, or leads elsewhere.
    #[error("the key file {0}")]
    Untrusted(#[from] Untrusted),
    /// The system refused.
    #[error("the key file {}: {cause}", path.display())]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
}

impl RootKey {
    /// Takes the key from the environment (`from_env`), else from `<data-dir>.key`, else makes that file of `random`.
    /// It makes none when `data_exists`: a new key would open nothing of it.
    ///
    /// # Errors
    ///
    /// When the key is malformed, its file is open to other users, missing beside existing data, or out of reach.
    pub fn load_or_create(
        data_dir: &Path,
        data_exists: bool,
        from_env: Option<&str>,
        random: [u8; 32],
    ) -> Result<RootKey, RootKeyError> {
        if let Some(key) = Self::find(data_dir, from_env)? {
            return Ok(key);
        }
        let path = Self::file_of(data_dir)?;
        if data_exists {
            return Err(RootKeyError::Missing(path));
        }
        let digest = blake3::derive_key(SITE_ID, &random);
        let site = digest.first_chunk().map(|bytes| uuid::Builder::from_custom_bytes(*bytes).into_uuid());
        let key = Self { key: Zeroizing::new(random), site };
        match key.write(&path) {
            Ok(()) => Ok(key),
            // Another process was faster; its key is the key.
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {
                Self::read(&path)?.ok_or(RootKeyError::Io { path, cause })
            }
            Err(cause) => Err(RootKeyError::Io { path, cause }),
        }
    }

    /// The key that there is, from the environment or its file.
    ///
    /// # Errors
    ///
    /// When it is malformed, its file is open to other users, or out of reach.
    pub fn find(data_dir: &Path, from_env: Option<&str>) -> Result<Option<RootKey>, RootKeyError> {
        match from_env {
            Some(text) => Self::parse(text).ok_or(RootKeyError::MalformedVariable).map(Some),
            None => Self::read(&Self::file_of(data_dir)?),
        }
    }

    /// Which site it is the key of, where that is written beside it.
    #[must_use]
    pub const fn site(&self) -> Option<Uuid> {
        self.site
    }

    /// Where the key of a data directory lies: beside it, with `.key` added to its name.
    ///
    /// # Errors
    ///
    /// When the directory is the root of the file system, or is named by `.` or `..` and does not exist.
    pub fn file_of(data_dir: &Path) -> Result<PathBuf, RootKeyError> {
        let beside = |path: &Path| {
            let mut name = path.file_name()?.to_owned();
            name.push(".key");
            Some(path.with_file_name(name))
        };
        beside(data_dir)
            .or_else(|| beside(&data_dir.canonicalize().ok()?))
            .ok_or_else(|| RootKeyError::Nameless(data_dir.to_owned()))
    }

    /// As a setting holds it, for whoever opens the site elsewhere.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let site = self.site.map(|site| format!("\n{SITE}{site}")).unwrap_or_default();
        Zeroizing::new(HEXLOWER.encode(&*self.key) + &site)
    }

    /// The key for one purpose, of [`context`](super::context).
    #[must_use]
    pub fn derive(&self, context: &'static str) -> SubKey {
        SubKey::from_bytes(blake3::derive_key(context, &*self.key))
    }

    /// Reads the line of the key, and the line of the site's id where there is one: releases before wrote none.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.trim().lines();
        let (text, site) = (lines.next()?.trim(), lines.next());
        let site = site.map(|line| line.trim().strip_prefix(SITE)?.parse().ok());
        if site == Some(None) || lines.next().is_some() {
            return None;
        }
        let encodings = [HEXLOWER_PERMISSIVE, BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD];
        encodings.iter().find_map(|encoding| {
            let bytes = Zeroizing::new(encoding.decode(text.as_bytes()).ok()?);
            let bytes: &[u8; 32] = bytes.as_slice().try_into().ok()?;
            Some(Self { key: Zeroizing::new(*bytes), site: site.flatten() })
        })
    }

    fn read(path: &Path) -> Result<Option<Self>, RootKeyError> {
        let failed = |cause| RootKeyError::Io { path: path.to_owned(), cause };
        if std::fs::symlink_metadata(path).is_ok_and(|about| about.is_dir()) {
            return Err(RootKeyError::Directory(path.to_owned()));
        }
        let file = match ownership::open(path, OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => {
                return Err(match cause.downcast::<Untrusted>() {
                    Ok(untrusted) => untrusted.into(),
                    Err(cause) => failed(cause),
                });
            }
        };
        let about = file.metadata().map_err(failed)?;
        let mode = about.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(RootKeyError::TooOpen { path: path.to_owned(), mode });
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(LONGEST_FILE).read_to_end(&mut bytes).map_err(failed)?;
        std::str::from_utf8(&bytes)
            .ok()
            .and_then(Self::parse)
            .map(Some)
            .ok_or_else(|| RootKeyError::MalformedFile(path.to_owned()))
    }

    /// Writes the file and both syncs, before anything is sealed under the key.
    fn write(&self, path: &Path) -> std::io::Result<()> {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(parent)?;
        // Whole or not at all: half a key on a full disk would be taken for one that was damaged.
        let mut file = tempfile::NamedTempFile::new_in(parent)?;
        file.write_all(self.to_text().as_bytes())?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        File::open(parent)?.sync_all()
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}
