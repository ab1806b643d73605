//! `countersign serve --demo`: fills a site that is new, and says who can log in.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::open::Place;
use crate::{
    config::Config,
    demo::{self, CAST, PASSWORD},
    world::{SystemEntropy, World},
};

/// Sees to it that the site is a demo: fills one that is new, and leaves one that was filled before as it is.
///
/// # Errors
/// When the site is neither, or cannot be filled.
pub async fn prepare(place: &Place, config: &Config) -> anyhow::Result<()> {
    let app = place.start(config.clone(), World::system()).await?;
    let (head, members, told) = (app.head().await?, app.accounts().await?.len(), demo::is_told(&app).await?);
    let now = app.now();
    app.stop().await;
    if told {
        return Ok(());
    }
    if head.position.0 > 0 {
        let has = match members {
            0 => "has begun already".to_owned(),
            1 => "has a member".to_owned(),
            many => format!("has {many} members"),
        };
        let another = match place {
            Place::Directory(_) => "directory for the demo, such as --data-dir ./demo",
            Place::Database(_) => "database for the demo with database_url",
        };
        bail!(
            "--demo fills a new site, and the one in {place} {has}: serve it without --demo, or name another {another}"
        );
    }
    tracing::info!("filling the demo; this takes a few seconds");
    // Secrets are as random as anybody's: only the story is the same each time.
    let clock = demo::clock(now);
    let app = place.start(demo::rules(config), World::new(clock.clone(), Arc::new(SystemEntropy))).await?;
    let filled = demo::fill(&app, &clock, now).await;
    app.stop().await;
    filled.with_context(|| format!("the demo could not be filled; remove {place} and start again"))
}

/// Who can log in, a line each.
#[must_use]
pub fn log_ins() -> Vec<String> {
    let mut lines = vec![
        String::new(),
        "This is a demo. Everybody knows its passwords: keep it where only you can reach it.".to_owned(),
        format!("Log in as one of these; the password is always: {PASSWORD}"),
        String::new(),
    ];
    lines.extend(CAST.iter().map(|part| format!("  {:6}{}", part.name, part.about)));
    lines
}
