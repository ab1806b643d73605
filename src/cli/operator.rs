//! Who sits at the command line, as events name it: `cli:ada`.

use std::{fs, os::unix::fs::MetadataExt as _};

use countersign_events::recorded::Actor;

use crate::ownership::account_of;

/// No name is longer; what follows is cut off.
const LONGEST: usize = 64;

/// The account of the operating system this process runs for: `$USER`, `$LOGNAME`, else the owner of the process.
#[must_use]
pub fn current() -> Actor {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    actor(&named.or_else(owner_of_process).unwrap_or_default())
}

/// The actor behind a name. What is no plain letter of account names becomes `_`: the name ends in logs and tables.
#[must_use]
pub fn actor(name: &str) -> Actor {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    let plain: String = name.chars().take(LONGEST).map(|c| if is_plain(c) { c } else { '_' }).collect();
    Actor::Cli(if plain.is_empty() { "unknown".to_owned() } else { plain })
}

fn owner_of_process() -> Option<String> {
    Some(account_of(fs::metadata("/proc/self").ok()?.uid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_plain_and_never_empty() {
        assert_eq!(actor("ada").to_string(), "cli:ada");
        assert_eq!(actor("a:d\na\u{202e}").to_string(), "cli:a_d_a_");
        assert_eq!(actor("").to_string(), "cli:unknown");
        assert_eq!(actor(&"x".repeat(100)).to_string().len(), "cli:".len() + LONGEST);
    }

    #[test]
    fn the_owner_of_this_process_has_a_name() {
        assert!(owner_of_process().is_none_or(|name| !name.is_empty()));
    }
}
