//! `countersign migrate`: brings the tables of a site to this version, or says what there is to do. A data directory is
//! brought there by whoever opens it; a database by its owner.

use super::{
    doctor::Finding,
    open::{self, Database, Lock, Missing},
    output::Output,
};
use crate::{
    config::Config,
    store::{
        facts::{Again, Facts},
        postgres::Level,
        sqlite::{Look, SqliteStore, examine, vault::SqliteVault},
    },
};

/// Does it, or with `check` says what there is to do.
///
/// # Errors
/// When the site cannot be reached, or a step fails.
pub async fn run(config: Config, check: bool) -> anyhow::Result<Output> {
    let findings = match Database::of(&config) {
        Some(database) => of_database(&config, &database, check).await?,
        None => of_directory(&config, check).await?,
    };
    Ok(Output::Findings(findings))
}

async fn of_database(config: &Config, database: &Database, check: bool) -> anyhow::Result<Vec<Finding>> {
    let before = database.levels().await?;
    let is_behind = before.is_behind();
    if !check && (is_behind || lacks_something(&database.examine(false).await)) {
        database.migrate(config).await?;
    }
    let levels = database.levels().await?;
    let schemas = [("log", before.log, levels.log), ("vault", before.vault, levels.vault)];
    let mut findings: Vec<_> = schemas.map(|(name, before, now)| finding(name, before.done, now)).into();
    if !(check && is_behind) {
        findings.extend(lacking(&database.examine(false).await));
    }
    Ok(findings)
}

async fn of_directory(config: &Config, check: bool) -> anyhow::Result<Vec<Finding>> {
    let look = Look { unwatched: false, deep: false };
    let facts = examine(&config.data_dir, look).await;
    let before = levels(&facts);
    let is_behind = before.iter().any(|(_, level)| level.done < level.known);
    if !check && (is_behind || lacks_something(&facts)) {
        match open::lock(&config.data_dir, Missing::Refuse)? {
            Lock::Ours(dir) => {
                open::must_be_whole(dir.path(), config).await?;
                SqliteStore::open(dir.path()).await?;
                SqliteVault::open(dir.path()).await?;
            }
            Lock::Held(holder) => anyhow::bail!("{holder} holds the data directory: stop it first"),
        }
    }
    let facts = examine(&config.data_dir, look).await;
    let after = levels(&facts);
    if after.is_empty() {
        anyhow::bail!("there is no site in {}: `countersign serve` makes one", config.data_dir.display());
    }
    let mut findings: Vec<_> =
        before.iter().zip(after).map(|((_, before), (name, now))| finding(&name, before.done, now)).collect();
    findings.extend(lacking(&facts));
    Ok(findings)
}

/// Whether what the steps made was dropped since, and can be made again.
fn lacks_something(facts: &Facts) -> bool {
    facts.databases.iter().flat_map(|database| &database.lacks).any(|lack| lack.again == Again::ByStep)
}

fn lacking(facts: &Facts) -> impl Iterator<Item = Finding> {
    facts.databases.iter().filter(|database| !database.lacks.is_empty()).map(|database| {
        let what: Vec<_> = database.lacks.iter().map(|lack| lack.what.as_str()).collect();
        let name = database.file.file_stem().unwrap_or_default().to_string_lossy();
        let remedy =
            "`countersign migrate` makes triggers, functions and indexes again; `countersign doctor` says the rest";
        Finding::problem(format!("schema of the {name}"), what.join("; "), remedy)
    })
}

fn levels(facts: &Facts) -> Vec<(String, Level)> {
    let level = |database: &crate::store::facts::Database| {
        let (done, known) = database.schema?;
        let name = database.file.file_stem()?.to_string_lossy().into_owned();
        Some((name, Level { done, known, oldest: done }))
    };
    facts.databases.iter().filter_map(level).collect()
}

fn finding(name: &str, before: i64, now: Level) -> Finding {
    let about = format!("schema of the {name}");
    if now.done > now.known {
        let found = format!("{}, which a newer Countersign made; this one knows schemas up to {}", now.done, now.known);
        return if now.oldest > now.known {
            Finding::problem(about, found, "run the newer program")
        } else {
            Finding::ok(about, format!("{found}, and works with it"))
        };
    }
    if now.done < now.known {
        let found = format!("{}; this program wants {}", now.done, now.known);
        return Finding::problem(about, found, "run `countersign migrate` as the owner of the tables");
    }
    let found = if before == now.done { now.done.to_string() } else { format!("{}, from {before}", now.done) };
    Finding::ok(about, found)
}
