//! `countersign serve`: runs the site until a signal ends it.

use std::{
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use super::{
    control::Control,
    demo,
    open::{self, Database, Lock, Missing, Place},
};
use crate::{
    app::App,
    config::{Config, LogFormat},
    web::{
        self,
        listen::{self, Course, Room},
    },
    world::World,
};

/// Requests that run when the site takes no more have this long to finish.
const FINISHING: Duration = Duration::from_secs(9);

/// Runs the site until SIGINT or SIGTERM.
///
/// # Errors
/// When another process has the data directory, the address cannot be listened on, or the site cannot start.
pub async fn serve(mut config: Config, new_site: bool) -> anyhow::Result<()> {
    let world = World::system();
    world.is_usable().map_err(anyhow::Error::msg)?;
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let (data_dir, is_here) = (config.data_dir.clone(), config.database_url.is_none());
    let explained = |error| if is_here { open::or_no_room(&data_dir, error) } else { error };
    let missing = if new_site { Missing::MakeAnew } else { Missing::Make };
    let place = place(&config, missing).await.map_err(explained)?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("cannot listen on {}: stop what listens there, or choose another with --listen", config.listen)
    })?;
    config.bound_to(listener.local_addr()?);
    if config.demo {
        demo::prepare(&place, &config).await?;
    }
    if !config.passed_over.is_empty() {
        let variables = config.passed_over.join(", ");
        tracing::warn!(
            variables,
            "these variables are no settings: an orchestrator sets them for a service of this name"
        );
    }
    let app = place.start(config, world).await.map_err(explained)?;
    app.notice_configuration().await.map_err(|error| explained(error.into()))?;
    place.made();
    // Beside nodes the command line is a node itself.
    let control = match &place {
        Place::Directory(dir) => {
            Some(Control::listen(dir.path(), app.clone()).context("cannot make the control socket")?)
        }
        Place::Database(_) => None,
    };
    let house = tokio::spawn(app.clone().keep_house());
    let noted = tokio::spawn(app.clone().keep_noted());
    announce(&app).await?;

    let (course, follows) = watch::channel(Course::Serving);
    let room = Room::of(app.config.connections.get(), app.config.connections_of_one.get());
    let proxies = app.config.trusted_proxies.clone();
    let is_proxy = move |address| proxies.iter().any(|network| network.contains(&address));
    let site = web::router(app.clone());
    let mut server = tokio::spawn(listen::serve(listener, site, room, is_proxy, app.connections.clone(), follows));

    let name = tokio::select! {
        name = signals.next() => name,
        ended = &mut server => {
            ended.context("the server ended")?;
            bail!("the server ended");
        }
    };
    tracing::info!(signal = name, "stopping");
    app.prepare_to_stop();
    // At a terminal nobody else has to hear of it first.
    if name == TERMINATE {
        let _ = course.send(Course::Draining);
        let drain = Duration::from_secs(app.config.drain_seconds.into());
        tokio::select! {
            () = tokio::time::sleep(drain) => {}
            _ = signals.next() => {}
        }
    }
    let _ = course.send(Course::Finishing);
    let is_finished = tokio::select! {
        _ = &mut server => true,
        () = tokio::time::sleep(FINISHING) => false,
        _ = signals.next() => false,
    };
    if !is_finished {
        server.abort();
        let open = app.connections.open();
        let _ = server.await;
        tracing::warn!(open, "requests were cut off");
    }
    house.abort();
    noted.abort();
    if let Some(control) = control {
        control.stop().await;
    }
    app.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Where the site lies: a data directory that is ours from now on, or a database that has this program's tables.
async fn place(config: &Config, missing: Missing) -> anyhow::Result<Place> {
    if let Some(database) = Database::of(config) {
        if database.levels().await?.is_behind() {
            tracing::info!("bringing the database to this version");
            database.migrate(config).await?;
        }
        return Ok(Place::Database(database.where_missing(missing)));
    }
    match open::lock(&config.data_dir, missing)? {
        Lock::Ours(dir) => Ok(Place::Directory(dir)),
        Lock::Held(holder) => bail!(
            "{holder} holds the data directory {}: stop it first, or choose another directory with --data-dir",
            config.data_dir.display()
        ),
    }
}

/// Says on standard output where the site is and, while nobody runs it, how to set it up. The link is a
/// secret: it goes to whoever started the site and into no log.
async fn announce(app: &Arc<App>) -> anyhow::Result<()> {
    let mut lines = vec![format!("Countersign is at {}", app.config.url("/").trim_end_matches('/'))];
    lines.extend(app.set_up_link().await?.map(|link| format!("Set it up within an hour: {link}")));
    if app.config.demo {
        lines.extend(demo::log_ins());
    }
    if app.config.log_format == LogFormat::Json {
        // Whoever gathers both streams reads one kind of line.
        lines = lines.into_iter().map(|message| json!({ "message": message }).to_string()).collect();
    }
    let mut out = io::stdout().lock();
    // A site nobody listens to runs all the same.
    let _ = writeln!(out, "{}", lines.join("\n")).and_then(|()| out.flush());
    Ok(())
}

/// What whoever runs a service sends.
const TERMINATE: &str = "SIGTERM";

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => TERMINATE,
        }
    }
}
