//! Whether read models show what the log leads to: a quick look asks whether one without a row should have some, a deep
//! one compares every row.

use countersign_projections::{INLINE, Projection, TRAILING};

use super::{Finding, Severity, command, is_here};
use crate::{
    config::Config,
    projector::{Checked, Closeness, Seen, look_at_models},
    store::{StoreError, facts::Shown},
};

/// What a quick look may take of memory: it is made in the running server as well.
const QUICK_MIB: u32 = 32;

/// Looks at the read models, where the log could be opened; that it could not was said before.
pub(super) async fn look(
    config: &Config,
    opened: Result<Box<dyn Shown>, StoreError>,
    closeness: Closeness,
    findings: &mut Vec<Finding>,
) {
    let Ok(mut opened) = opened else { return };
    let mib = match closeness {
        Closeness::Emptiness => QUICK_MIB,
        Closeness::EveryRow => config.rebuild_memory_mib,
    };
    // Of what is not as it should be, the reason was told already, or the cursor.
    let is_told = |name: &str| {
        let about = about(name);
        findings.iter().any(|finding| finding.about == about && finding.severity != Severity::Ok)
    };
    let models: Vec<_> = INLINE.iter().chain(TRAILING).filter(|model| !is_told(model.name)).collect();
    let seen = match look_at_models(opened.as_mut(), models, closeness, (mib as usize) << 20).await {
        Ok(seen) => seen,
        Err(error) => {
            if closeness == Closeness::EveryRow {
                let found = format!("they could not be held against the log: {error}");
                let remedy = "see that nothing else has it open, and look again";
                findings.push(Finding::problem("rows of read models", found, remedy));
            }
            return;
        }
    };
    let mut same = (0, 0_u64);
    for (name, seen) in seen {
        let found = match seen {
            Seen::Same(rows) => {
                same = (same.0 + 1, same.1 + rows);
                continue;
            }
            Seen::Empty(rows) => format!("has lost its rows: the log leads to {rows} of them, and it has none"),
            Seen::Differs(checked) => differs(&checked),
            Seen::Untold(told) => {
                if closeness == Closeness::EveryRow {
                    let check = command(config, &format!("projections check {name}"));
                    let found = format!("was not held against the log: {told}; {check} does it");
                    findings.push(Finding::ok(about(name), found));
                }
                continue;
            }
        };
        let about = about(name);
        findings.retain(|finding| finding.about != about);
        findings.push(Finding::problem(about, found, remedy(config, name, closeness)));
    }
    if closeness == Closeness::EveryRow {
        let (models, rows) = same;
        let found = format!("{rows} rows of {models} read models are as the log has them, but for texts");
        findings.push(Finding::ok("rows of read models", found));
    }
}

fn about(name: &str) -> String {
    format!("read model {name}")
}

fn differs(checked: &Checked) -> String {
    let first = checked.differences.first().map_or(String::new(), |one| {
        let column = one.column.map_or(String::new(), |column| format!(", {column}"));
        format!("; the first: {} {}{column}: {} there, {} by the log", one.table, one.key, one.live, one.log)
    });
    format!("differs from the log in {} places{first}", checked.found)
}

/// Inline read models are built anew before the site starts.
fn remedy(config: &Config, name: &str, closeness: Closeness) -> String {
    let rebuild = command(config, &format!("projections rebuild {name}"));
    let deep = command(config, "doctor --deep");
    let condition = match closeness {
        Closeness::Emptiness => format!("when log and keys are sound, which {} tells, ", deep.trim_matches('`')),
        Closeness::EveryRow => String::new(),
    };
    let is_inline = INLINE.iter().any(|inline: &Projection| inline.name == name);
    let stopped = match (is_inline, is_here(config)) {
        (false, _) => "run ",
        (true, true) => "stop the site and run ",
        (true, false) => "stop all nodes and run ",
    };
    format!("{condition}{stopped}{rebuild}, which makes it anew from the log")
}
