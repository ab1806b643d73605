//! The key above all keys: read from the environment or from its file, which is made once and guarded.
//!
//! It lies outside the data directory, so that a stolen data directory opens nothing.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use zeroize::Zeroizing;

use super::SubKey;

/// More than any form of a key has, so that a large file put there by mistake is not read whole.
const LONGEST_FILE: u64 = 256;

/// The key from which every other is derived. It has no printed form.
#[derive(Clone)]
pub struct RootKey(Zeroizing<[u8; 32]>);

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
        if let Some(text) = from_env {
            return Self::parse(text.trim()).ok_or(RootKeyError::MalformedVariable);
        }
        let path = Self::file_of(data_dir)?;
        if let Some(key) = Self::read(&path)? {
            return Ok(key);
        }
        if data_exists {
            return Err(RootKeyError::Missing(path));
        }
        let key = Self(Zeroizing::new(random));
        match key.write(&path) {
            Ok(()) => Ok(key),
            // Another process was faster; its key is the key.
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {
                Self::read(&path)?.ok_or(RootKeyError::Io { path, cause })
            }
            Err(cause) => Err(RootKeyError::Io { path, cause }),
        }
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
        Zeroizing::new(HEXLOWER.encode(&*self.0))
    }

    /// The key for one purpose, of [`context`](super::context).
    #[must_use]
    pub fn derive(&self, context: &'static str) -> SubKey {
        SubKey::from_bytes(blake3::derive_key(context, &*self.0))
    }

    fn parse(text: &str) -> Option<Self> {
        let encodings = [HEXLOWER_PERMISSIVE, BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD];
        encodings.iter().find_map(|encoding| {
            let bytes = Zeroizing::new(encoding.decode(text.as_bytes()).ok()?);
            let bytes: &[u8; 32] = bytes.as_slice().try_into().ok()?;
            Some(Self(Zeroizing::new(*bytes)))
        })
    }

    fn read(path: &Path) -> Result<Option<Self>, RootKeyError> {
        let failed = |cause| RootKeyError::Io { path: path.to_owned(), cause };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failed(cause)),
        };
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(RootKeyError::TooOpen { path: path.to_owned(), mode });
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(LONGEST_FILE).read_to_end(&mut bytes).map_err(failed)?;
        std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| Self::parse(text.trim()))
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
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(self.to_text().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        File::open(parent)?.sync_all()
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}
