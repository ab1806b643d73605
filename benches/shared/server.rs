//! A throw-away `PostgreSQL` that waits for its disk (`script/postgres`), with the tables of this program.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use countersign::store::postgres::{self, Part};

/// The server, until it is dropped: it ends when its input does.
pub struct Server {
    pub url: String,
    _child: Child,
}

impl Server {
    pub async fn start() -> Self {
        let mut child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/script/postgres"))
            .args(["fsync=on", "full_page_writes=on", "shared_buffers=256MB", "max_wal_size=4GB"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script/postgres can be run");
        let mut url = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut url).expect("it prints its URL");
        let url = url.trim().to_owned();
        for part in [Part::Log, Part::Vault] {
            let role = postgres::role_of(&url).expect("a URL");
            postgres::migrate(&url, part, &role).await.expect("migrated");
        }
        Self { url, _child: child }
    }
}
