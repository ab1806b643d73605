//! What lies in a data directory in the place of something of another kind: a directory where a file belongs, as a
//! restore or a mount leaves it, or a file where the directory of the read models belongs. Nothing can be opened there,
//! and nothing is removed that nobody knows the worth of.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// Files of a data directory.
const FILES: [&str; 5] = ["log.db", "log.db-wal", "vault.db", "vault.db-wal", "lock"];
const MODELS: &str = "models";

/// Something in the place of something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misplaced {
    /// Where it is.
    pub path: PathBuf,
    is_directory: bool,
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_directory { "a directory, not a file" } else { "a file, not a directory" };
        write!(f, "{} is {what}", self.path.display())
    }
}

/// What lies in the place of something else in a data directory.
#[must_use]
pub fn misplaced(data_dir: &Path) -> Vec<Misplaced> {
    let models = data_dir.join(MODELS);
    let mut found: Vec<_> = FILES.iter().filter_map(|name| not_a_file(&data_dir.join(name))).collect();
    if models.is_file() {
        found.push(Misplaced { path: models, is_directory: false });
        return found;
    }
    let mut files: Vec<_> = fs::read_dir(models).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "db"));
    files.sort();
    found.extend(files.iter().filter_map(|path| not_a_file(path)));
    found
}

/// What is in the way of this file: itself, as a directory, or a file above it.
pub(super) fn in_the_way(file: &Path) -> Option<Misplaced> {
    let above = file.parent().filter(|above| above.is_file());
    let above = above.map(|path| Misplaced { path: path.to_owned(), is_directory: false });
    above.or_else(|| not_a_file(file))
}

/// A directory in the place of a file.
fn not_a_file(path: &Path) -> Option<Misplaced> {
    path.is_dir().then(|| Misplaced { path: path.to_owned(), is_directory: true })
}
