//! What doctor finds when it reads the log through with its keys.

use super::{Finding, models, quoted};
use crate::{
    config::{Config, HiddenText},
    keyring::Opener,
    projector::Closeness,
    secrets::RootKey,
    soundness::{Side, read_through},
    store::{StoreError, facts::Shown},
};

/// Reads everything through, when it could be opened; that it could not was said before.
pub(super) async fn look(config: &Config, opened: Result<Box<dyn Shown>, StoreError>, findings: &mut Vec<Finding>) {
    const LOG: &str = "events";
    const KEYS: &str = "texts and keys";
    let Ok(mut opened_site) = opened else { return };
    let from_env = config.root_key.as_ref().map(HiddenText::expose);
    let root = RootKey::load_or_create(&config.data_dir, true, from_env, [0; 32]).ok();
    let read = match read_through(opened_site.as_mut(), root.as_ref().map(Opener::of).as_ref()).await {
        Ok(read) => read,
        Err(error) => {
            let found = format!("the log could not be read through: {error}");
            return findings.push(Finding::problem(LOG, found, restore_log(config)));
        }
    };
    let mut told = |about, side, fine: String, remedy: String| {
        let faults: Vec<_> = read.of(side).collect();
        findings.push(if faults.is_empty() {
            Finding::ok(about, fine)
        } else {
            let more = if read.more == 0 { String::new() } else { format!("; and {} more", read.more) };
            Finding::problem(about, format!("{}{more}", faults.join("; ")), remedy)
        });
    };
    let events = read.events;
    told(LOG, Side::Log, format!("{events} were read, each in its place and in order"), restore_log(config));
    let opened = if root.is_some() { "every text opens with its key" } else { "not tried without the root key" };
    told(KEYS, Side::Keys, opened.to_owned(), restore_vault(config));
    let remedy =
        "put the newest copy of the vault back, if one has them; else their owners regenerate the token under Apps";
    told("held tokens", Side::Held, "each that waits for its owner is there".to_owned(), remedy.to_owned());
    // Which side is damaged comes first: what differs from a damaged log may be the last good copy.
    if read.is_sound() {
        models::look(config, Ok(opened_site), Closeness::EveryRow, findings).await;
    }
}

/// How a log that does not read is mended. What else is there is left alone until it reads again.
pub(super) fn restore_log(config: &Config) -> String {
    let how = match &config.database_url {
        None => format!(
            "stop the site, keep a copy of what is there, and put the newest copy of {} back, with log.db-wal where that \
             copy has one",
            quoted(&config.data_dir.join("log.db"))
        ),
        Some(_) => "stop all nodes, keep a copy of the database, and restore the schema countersign from your newest \
                    backup, or go on with a standby that is whole"
            .to_owned(),
    };
    format!("{how}; until it reads again rebuild no read model: they may be the last good copy of what is lost")
}

/// The same of the vault.
pub(super) fn restore_vault(config: &Config) -> String {
    let what = match (&config.vault_url, &config.database_url) {
        (None, None) => format!(
            "stop the site, keep a copy of what is there, and put the newest copy of {} back, with vault.db-wal where that \
             copy has one",
            quoted(&config.data_dir.join("vault.db"))
        ),
        _ => "stop all nodes, keep a copy of the database, and restore the schema countersign_vault from your newest \
              backup"
            .to_owned(),
    };
    format!(
        "{what}; rebuild no read model meanwhile. A member whose password alone is gone can have a new one: {}",
        super::command(config, "account reset NAME")
    )
}
