//! Whether log, vault, root key and read models are parts of one site, and which of them is missing, older, or another
//! site's. A start asks, `doctor` asks, and whoever is about to destroy asks. What is there is read elsewhere.

use std::fmt;

use countersign_events::ids::EventId;
use countersign_events::recorded::Position;

use crate::{
    keyring,
    secrets::RootKey,
    store::{
        Cursor, Mark,
        parts::{LogPart, ModelPart, Part, Parts, VaultPart},
    },
};

/// Where the parts should be, in words: a file, or the setting that names a database.
#[derive(Debug, Clone)]
pub struct Places {
    /// Of the log.
    pub log: String,
    /// Of the vault.
    pub vault: String,
    /// Of the root key.
    pub key: String,
}

/// What is wrong with a part, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which part.
    pub part: &'static str,
    /// What is wrong, with where it was looked for.
    pub found: String,
    /// How to mend it.
    pub remedy: String,
    /// Whether it is only that another part has seen more.
    pub is_age: bool,
}

/// Why a site is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NotOneSite(pub Vec<Fault>);

impl fmt::Display for NotOneSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the parts of this site do not fit together, and nothing was changed.")?;
        for Fault { part, found, remedy, .. } in &self.0 {
            write!(f, " The {part}: {found}. {remedy}.")?;
        }
        Ok(())
    }
}

/// The command that goes on with what is there.
const ACCEPT: &str = "`countersign projections rebuild --accept-log`";

/// What is wrong with the parts of a site that is there, at least in part. The root key is the one that was found.
#[must_use]
pub fn faults(parts: &Parts, places: &Places, root: Option<&RootKey>) -> Vec<Fault> {
    let mut faults = vec![];
    faults.extend(absent("log", &parts.log, &places.log, &rest(parts.vault.held().is_some(), "vault", root, parts)));
    faults.extend(absent("vault", &parts.vault, &places.vault, &rest(parts.log.held().is_some(), "log", root, parts)));
    if let (Some(log), Some(vault)) = (parts.log.held(), parts.vault.held()) {
        faults.extend(foreign(log, vault, places, root).or_else(|| older(log, vault, places)));
    }
    faults
}

/// What else of the site is there.
fn rest(other_is_there: bool, other: &str, root: Option<&RootKey>, parts: &Parts) -> String {
    let there = [(other_is_there, other), (root.is_some(), "root key"), (parts.has_models, "read models")];
    let names: Vec<_> = there.iter().filter(|(is_there, _)| *is_there).map(|(_, name)| *name).collect();
    names.join(" and ")
}

fn absent<T>(part: &'static str, found: &Part<T>, place: &str, rest: &str) -> Option<Fault> {
    let rest = if rest.is_empty() { String::new() } else { format!(", although the {rest} of a site are there") };
    let found = match found {
        Part::Holds(_) => return None,
        Part::Missing => format!("there is none at {place}{rest}"),
        Part::Empty => format!("what is at {place} is empty{rest}"),
        Part::Unreadable(error) => format!("{place} cannot be read: {error}"),
    };
    let remedy = format!(
        "Put the newest {part} back, or name where it is; to make a new site instead, name a place where nothing is"
    );
    Some(Fault { part, found, remedy, is_age: false })
}

fn foreign(log: &LogPart, vault: &VaultPart, places: &Places, root: Option<&RootKey>) -> Option<Fault> {
    let of_another = |part, place: &str| Fault {
        part,
        found: format!("the one at {place} is another site's"),
        remedy: format!("Put this site's own {part} back, or name where it is"),
        is_age: false,
    };
    let opens = root.zip(vault.site_key.as_ref()).map(|(root, (id, wrapped))| keyring::opens(root, *id, wrapped));
    let key = root.and_then(RootKey::site);
    let (log, vault) = (log.identity.site, vault.site);
    let differ = |one: Option<uuid::Uuid>, other: Option<uuid::Uuid>| one.zip(other).is_some_and(|(a, b)| a != b);
    if opens == Some(false) {
        // Two of three know which is the stranger.
        let locked_out = Fault {
            found: format!("the root key does not open the vault: the one at {} is another site's", places.key),
            ..of_another("root key", &places.key)
        };
        let vault_is = differ(vault, log) && !differ(key, log) && key.is_some();
        return Some(if vault_is { of_another("vault", &places.vault) } else { locked_out });
    }
    if differ(log, vault) {
        return Some(of_another("log", &places.log));
    }
    if differ(key, vault) || differ(key, log) {
        return Some(of_another("root key", &places.key));
    }
    None
}

fn older(log: &LogPart, vault: &VaultPart, places: &Places) -> Option<Fault> {
    if let Some(found) = log_lacks(log.end.cursor, log.at_seen, log.cut, vault.seen) {
        return Some(Fault {
            part: "log",
            found: format!("the one at {} {found}", places.log),
            remedy: format!(
                "Put the newest log back; if it is lost and this one is what you want, stop the site and run {ACCEPT}: what \
                 only the lost one knew is destroyed then"
            ),
            is_age: true,
        });
    }
    let (seen, noted) = (vault.seen.cursor, log.identity.vault_seen);
    (seen < noted).then(|| Fault {
        part: "vault",
        found: format!(
            "the one at {} is older than the log: it has seen events through {}.{}, and the log has noted {}.{}",
            places.vault, seen.epoch, seen.position, noted.epoch, noted.position
        ),
        remedy: format!(
            "Put the newest vault back; if it is lost, stop the site and run {ACCEPT}: members whose keys it lacks stay \
             refused"
        ),
        is_age: true,
    })
}

/// Why a log is not the newest, when the vault has seen an event that it lacks. `at_seen` is its event at that position.
#[must_use]
pub fn log_lacks(end: Cursor, at_seen: Option<EventId>, cut: Option<Position>, seen: Mark) -> Option<String> {
    let Cursor { epoch, position } = seen.cursor;
    // A promotion that lost events is on record in the log: no newer one will come.
    if seen.event.is_none() || at_seen == seen.event || cut.is_some_and(|began_after| position > began_after) {
        return None;
    }
    Some(if at_seen.is_none() {
        format!("is an older one: it ends at {}.{}, and the vault has seen {epoch}.{position}", end.epoch, end.position)
    } else {
        format!("is an older one that went on: its event {epoch}.{position} is not the one that the vault has seen")
    })
}

/// Why a read model does not fit the log: it has read events that the log does not have.
#[must_use]
pub fn model_misfit(model: &ModelPart, end: Cursor) -> Option<String> {
    let Mark { cursor, event } = model.mark;
    // The end may have been read before the site went on.
    if event.is_some() && model.in_log == event {
        return None;
    }
    if cursor > end {
        return Some(format!(
            "the read model {} is ahead of the log, which ends at {}.{}: it is at {}.{}",
            model.name, end.epoch, end.position, cursor.epoch, cursor.position
        ));
    }
    (event.is_some() && model.in_log != event).then(|| {
        format!("the read model {} has read another event at {} than the log has", model.name, cursor.position)
    })
}

/// What to do about read models that do not fit.
pub const MISFIT_REMEDY: &str = "put the newest log back; if this one is what you want, `countersign projections rebuild` \
                                 makes the read models fit it";
