//! What can be wrong with the configuration, in words that say where and what to write instead.

use std::path::PathBuf;

/// Why the configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named is not there or cannot be read.
    #[error("cannot read the configuration file {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// The file has a key that does not exist.
    #[error("{} line {line}: unknown key `{key}`; did you mean `{nearest}`?", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key as written, with its table.
        key: String,
        /// The most similar key that exists.
        nearest: String,
    },
    /// The environment has a `COUNTERSIGN_…` variable that does not exist.
    #[error("unknown environment variable {name}; did you mean {nearest}?")]
    UnknownVariable {
        /// The variable as set.
        name: String,
        /// The most similar variable that exists.
        nearest: String,
    },
    /// The value at this place is of another type, or not allowed.
    #[error("{place} {problem}")]
    Refused {
        /// Where it stands: file, line and key; variable; or flag.
        place: String,
        /// What is expected there.
        problem: String,
    },
}
