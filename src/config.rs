//! Every setting of the server: its name, type, default and help, in one table (`settings!`).
//!
//! A value comes from the highest of four layers: flags, environment, file, defaults.
//! `layers` gathers them, `setting` reads single values. What a setting means is decided where it is used.

mod error;
mod layers;
mod setting;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use url::{Host, Url};

pub use error::ConfigError;
use layers::{Layers, Origin};
use setting::{HELP_HEADING, Setting, flag_help};
pub use setting::{HiddenText, LogFormat};

use crate::{projector::LEAST_MIB, store::postgres::check_urls};

/// The key that has no flag, no place in the file and no printed form.
const ROOT_KEY: &str = "root_key";

/// Makes `Config`, `Flags` and `KEYS` from one line a key: `/// help`, `key: Type = "default"`.
macro_rules! settings {
    ($($(#[doc = $help:literal])+ $key:ident: $type:ty = $default:literal;)+) => {
        /// Every setting of the server, checked.
        #[derive(Debug, Clone)]
        pub struct Config {
            $($(#[doc = $help])+ pub $key: $type,)+
            /// The key above all keys, as 64 hex digits or base64 of 32 bytes; only from `COUNTERSIGN_ROOT_KEY`.
            pub root_key: Option<HiddenText>,
            /// Variables that an orchestrator sets for a service of this name, and that are no settings.
            pub passed_over: Vec<String>,
            origins: BTreeMap<&'static str, Origin>,
        }

        /// The settings as flags of a command; what is absent comes from a lower layer.
        #[derive(Debug, Clone, Default, clap::Args)]
        pub struct Flags {
            /// Configuration file, which must exist when named [env: `COUNTERSIGN_CONFIG`] [default: countersign.toml, if there is one]
            #[arg(
                long,
                value_name = "FILE",
                help_heading = HELP_HEADING,
                help = "Configuration file, which must exist when named [env: COUNTERSIGN_CONFIG] \
                        [default: countersign.toml, if there is one]"
            )]
            pub config: Option<PathBuf>,
            $(
                $(#[doc = $help])+
                #[arg(
                    long,
                    help = flag_help(concat!($($help),+), stringify!($key), $default),
                    help_heading = HELP_HEADING,
                    value_name = <$type as Setting>::VALUE_NAME,
                    num_args = if <$type as Setting>::IS_SWITCH { 0..=1 } else { 1..=1 },
                    require_equals = <$type as Setting>::IS_SWITCH,
                    default_missing_value = "true"
                )]
                pub $key: Option<String>,
            )+
        }

        /// Every key but the root key, as environment and flags spell it (`limits_…` lies in the table `[limits]` of the file).
        const KEYS: &[&str] = &[$(stringify!($key)),+];

        impl Flags {
            fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
                [$((stringify!($key), self.$key.as_deref())),+]
                    .into_iter()
                    .filter_map(|(key, text)| text.map(|text| (key, text)))
            }
        }

        impl Config {
            fn from_layers(layers: Layers) -> Result<Config, ConfigError> {
                Ok(Config {
                    $($key: layers.resolve::<$type>(stringify!($key), $default)?,)+
                    root_key: layers.root_key().map(HiddenText::new),
                    passed_over: layers.passed_over.clone(),
                    origins: layers.into_origins(),
                })
            }

            /// All settings with where each value came from, for `config show`. The root key is never among the values.
            #[must_use]
            pub fn rows(&self) -> Vec<ConfigRow> {
                vec![
                    $(self.row(stringify!($key), self.$key.show()),)+
                    self.row(ROOT_KEY, if self.root_key.is_some() { "set" } else { "not set" }.to_owned()),
                ]
            }
        }
    };
}

settings! {
    /// Address and port to listen on
    listen: SocketAddr = "127.0.0.1:8080";
    /// Directory that holds the log, the read models and the vault; the root key lies beside it, in a file of its name and .key
    data_dir: PathBuf = "./countersign-data";
    /// URL of the `PostgreSQL` database that holds log and read models for any number of nodes, such as `postgres://user@host/name`; several, separated by commas, are servers of which one takes writes
    database_url: Option<HiddenText> = "";
    /// URL of the database that holds the vault, when it is not the log's
    vault_url: Option<HiddenText> = "";
    /// URL with which migrations are made, as the owner of the tables; when not given, the site's own role makes them
    migrate_database_url: Option<HiddenText> = "";
    /// URL under which people reach the site, possibly with a path; when not given, http:// and the listening address
    public_url: Url = "http://127.0.0.1:8080";
    /// Allow a public URL with plain http away from loopback, where anyone on the way can read passwords and tokens
    insecure_http: bool = "false";
    /// Name of the site, shown on pages and in messages
    site_name: String = "Countersign";
    /// Offer the simple flow, in which a token is handed over in the redirect
    simple_flow: bool = "true";
    /// First letters of every token, 2 to 8 lower-case letters, by which scanners recognise leaks
    token_prefix: String = "cs";
    /// Days until personal and simple-flow tokens expire, or "unlimited"
    token_lifetime_days: Option<u32> = "365";
    /// Days until the unrevealed token of an approval message is destroyed
    held_secret_days: u32 = "7";
    /// Approvals take two reviewers: the first signs, the second decides
    two_person_rule: bool = "false";
    /// TOML file with the clauses of the policy that decisions name, each with code, title and text; when not given, those built in
    review_policy: PathBuf = "";
    /// Days within which a request should be decided; what waits longer is overdue
    review_target_days: u32 = "3";
    /// Days for which a client id that was rotated away is answered with "rotated"
    rotated_client_id_days: u32 = "30";
    /// Days that tokens and authorizations stay listed after they ended; then they leave the read models, and only the log knows them
    keep_ended_days: NonZeroU32 = "90";
    /// MiB of memory that building and checking read models take in all, beside what the site takes; 64 at least
    rebuild_memory_mib: u32 = "512";
    /// Fill a new site with members, posts and applications to look at, whose password everybody knows
    demo: bool = "false";
    /// Addresses and networks of proxies whose X-Forwarded-For is believed, separated by commas
    trusted_proxies: Vec<IpNet> = "";
    /// How log lines are written to standard error: text or json
    log_format: LogFormat = "text";
    /// What is logged, as a filter such as info or info,countersign=debug
    log: String = "info";
    /// Address of an OpenTelemetry collector, such as `http://127.0.0.1:4318`, that spans are sent to; without one nothing is traced
    otlp_endpoint: Option<Url> = "";
    /// Token with which /metrics is read from another machine, 16 characters at least
    metrics_token: Option<HiddenText> = "";
    /// Connections that may be open at once, as far as the system lets the site open files
    connections: NonZeroU32 = "2048";
    /// Connections that one address may have open at once; trusted proxies any number
    connections_of_one: NonZeroU32 = "1024";
    /// Seconds from SIGTERM on for which the site still takes requests, and /readyz sends balancers elsewhere
    drain_seconds: u8 = "1";
    /// Log-ins a minute to one account from one address; three times as many from an address in all
    limits_login_per_minute: NonZeroU32 = "10";
    /// Accounts an hour that one address may sign up
    limits_signup_per_hour: NonZeroU32 = "20";
    /// Requests for applications that a member may have open at once
    limits_open_requests: NonZeroU32 = "3";
    /// Requests a minute to the API with one token
    limits_api_per_minute: NonZeroU32 = "600";
    /// Messages an hour that a member may send to others
    limits_messages_per_hour: NonZeroU32 = "30";
}

/// One line of `config show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigRow {
    /// The key as the file spells it, such as `limits.login_per_minute`.
    pub key: String,
    /// The value as text; of a secret only whether it is set.
    pub value: String,
    /// Where it came from: `default`, `file`, `environment` or `flag`.
    pub source: &'static str,
}

impl Config {
    /// Reads all four layers. `variables` is the environment: other names than `COUNTERSIGN_…` are not looked at.
    ///
    /// # Errors
    ///
    /// Says which file and line, variable or flag is wrong, and what is expected there: an unreadable or malformed file,
    /// an unknown key or variable, a value of the wrong type or out of range, a public URL that is not safe.
    pub fn load(flags: &Flags, variables: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
        let mut config = Self::from_layers(Layers::gather(flags, variables)?)?;
        config.bound_to(config.listen);
        config.check()?;
        let path = config.base_path().to_owned();
        config.public_url.set_path(&path);
        Ok(config)
    }

    /// Tells the address that was really bound (port 0 asks for any), which is the public URL unless one was given.
    pub fn bound_to(&mut self, address: SocketAddr) {
        self.listen = address;
        if !self.origins.contains_key("public_url") {
            self.public_url = plain_url(address);
        }
    }

    /// The path below which the site lives: empty, or such as `/dev`, never with a slash at its end.
    #[must_use]
    pub fn base_path(&self) -> &str {
        self.public_url.path().trim_end_matches('/')
    }

    /// Whether browsers reach the site by https.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.public_url.scheme() == "https"
    }

    /// The absolute URL of a path of the site, such as `/login`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!("{}{}{slash}{path}", self.public_url.origin().ascii_serialization(), self.base_path())
    }

    /// Where the value of a setting stands, in words: `COUNTERSIGN_LISTEN`, `--listen`, or file, line and key.
    #[must_use]
    pub fn place_of(&self, key: &str) -> String {
        self.origins.get(key).map_or_else(|| format!("`{key}`"), |origin| origin.place(key))
    }

    fn row(&self, key: &'static str, value: String) -> ConfigRow {
        let source = self.origins.get(key).map_or("default", Origin::source);
        ConfigRow { key: layers::file_key(key), value, source }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refused =
            |key, problem: &str| Err(ConfigError::Refused { place: self.place_of(key), problem: problem.to_owned() });
        if self.demo && !(self.listen.ip().is_loopback() && is_loopback(&self.public_url)) {
            return refused(
                "demo",
                "makes members whose password everybody knows: keep `listen` and `public_url` on a loopback address, \
                 such as 127.0.0.1",
            );
        }
        if let Some(problem) = public_url_problem(&self.public_url, self.insecure_http) {
            return refused("public_url", problem);
        }
        if !(1..=50).contains(&self.site_name.chars().count()) || self.site_name.chars().any(char::is_control) {
            return refused("site_name", "must have 1 to 50 characters and no control characters");
        }
        if !(2..=8).contains(&self.token_prefix.len()) || !self.token_prefix.bytes().all(|b| b.is_ascii_lowercase()) {
            return refused("token_prefix", "must have 2 to 8 lower-case letters from a to z");
        }
        if self.rebuild_memory_mib < LEAST_MIB {
            return refused("rebuild_memory_mib", &format!("must be {LEAST_MIB} at least"));
        }
        if self.data_dir.as_os_str().is_empty() {
            return refused("data_dir", "must name a directory");
        }
        let is_short =
            |token: &HiddenText| token.expose().len() < 16 || !token.expose().bytes().all(|b| b.is_ascii_graphic());
        if self.metrics_token.as_ref().is_some_and(is_short) {
            return refused("metrics_token", "must have at least 16 visible ASCII characters and no space");
        }
        if self.otlp_endpoint.as_ref().is_some_and(|url| {
            url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() || url.query().is_some()
        }) {
            return refused(
                "otlp_endpoint",
                "must begin with http:// and have no user name, password or query: name a collector on this machine or \
                 in its network, which can send spans on by https",
            );
        }
        if EnvFilter::try_new(&self.log).is_err() {
            return refused("log", "must be a filter such as `info` or `info,countersign=debug`");
        }
        self.check_databases()
    }

    fn check_databases(&self) -> Result<(), ConfigError> {
        const PROBLEM: &str = "is for a site whose log lies in a database: name that with `database_url`";
        let given = [
            ("database_url", &self.database_url),
            ("vault_url", &self.vault_url),
            ("migrate_database_url", &self.migrate_database_url),
        ];
        for (key, urls) in given {
            let Some(urls) = urls else { continue };
            let refused = |problem| Err(ConfigError::Refused { place: self.place_of(key), problem });
            if let Err(error) = check_urls(urls.expose()) {
                return refused(error.to_string());
            }
            // Otherwise the site would lie in the data directory, and nobody would notice.
            if self.database_url.is_none() {
                return refused(PROBLEM.to_owned());
            }
        }
        Ok(())
    }
}

/// The process environment for [`Config::load`]. Text that is not UTF-8 is replaced, so it is refused where it is read, with its name.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// Of IP and port alone, because the scope of a link-local address has no place in a URL.
fn plain_url(address: SocketAddr) -> Url {
    let authority = SocketAddr::new(address.ip(), address.port());
    Url::parse(&format!("http://{authority}")).expect("IP and port are a URL's authority")
}

/// Whether an address leads to this machine alone.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn public_url_problem(url: &Url, insecure_http: bool) -> Option<&'static str> {
    let path = url.path().trim_end_matches('/');
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(url) || insecure_http => {}
        "http" => {
            return Some(
                "uses plain http away from loopback, where anyone on the way can read passwords and tokens: \
                 name an https URL with --public-url, or add --insecure-http if that is what you want",
            );
        }
        _ => return Some("must begin with https:// or http://"),
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Some("must have no query and no fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("must have no user name and no password");
    }
    // The path becomes part of routes and of the cookie's Path attribute, where other characters mean something.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    if !path.chars().all(is_plain) || path.contains("//") {
        return Some("must have a path of letters, digits, `-`, `.`, `_` and `~` between single slashes");
    }
    None
}

#[cfg(test)]
mod tests;
