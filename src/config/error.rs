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
    #[error("{} line {line}: unknown key `{key}`; {}", path.display(), meant(nearest.as_deref(), "`"))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key as written, with its table.
        key: String,
        /// A key that exists and is nearly written so.
        nearest: Option<String>,
    },
    /// The environment has a `COUNTERSIGN_…` variable that does not exist.
    #[error("unknown environment variable {name}; {}", meant(nearest.as_deref(), ""))]
    UnknownVariable {
        /// The variable as set.
        name: String,
        /// A variable that exists and is nearly written so.
        nearest: Option<String>,
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

/// What to do about a name that does not exist.
fn meant(nearest: Option<&str>, quote: &str) -> String {
    match nearest {
        Some(nearest) => format!("did you mean {quote}{nearest}{quote}?"),
        None => "`countersign serve --help` names every setting".to_owned(),
    }
}
