//! Whether the parts of the site are of one site, as the next start will ask.

use super::Finding;
use crate::{
    cli::open::{self, Database},
    config::{Config, HiddenText},
    parts::{self, MISFIT_REMEDY},
    secrets::RootKey,
    store::sqlite,
};

/// `unwatched`: nobody has the data directory open.
pub(super) async fn look(config: &Config, unwatched: bool) -> Vec<Finding> {
    const ABOUT: &str = "parts of the site";
    let (parts, places) = if let Some(database) = Database::of(config) {
        (database.parts().await, database.places(config))
    } else {
        let dir = &config.data_dir;
        (sqlite::parts::look(dir, unwatched).await, open::places(dir, config))
    };
    // What is wrong with the key file itself is told with the files.
    let root = RootKey::find(&config.data_dir, config.root_key.as_ref().map(HiddenText::expose)).ok().flatten();
    if parts.is_nothing() && root.is_none() {
        return vec![];
    }
    let faults = parts::faults(&parts, &places, root.as_ref());
    let mut findings: Vec<_> =
        faults.into_iter().map(|fault| Finding::problem(fault.part, fault.found, fault.remedy)).collect();
    if let Some(log) = parts.log.held() {
        let misfits = parts.models.iter().filter_map(|model| parts::model_misfit(model, log.end.cursor));
        findings.extend(misfits.map(|found| Finding::problem(ABOUT, found, MISFIT_REMEDY)));
        if findings.is_empty() {
            let found = log.identity.site.map_or_else(
                || "no id yet: the next start gives them one".to_owned(),
                |site| format!("log, vault and root key are of site {site}"),
            );
            findings.push(Finding::ok(ABOUT, found));
        }
    }
    findings
}
