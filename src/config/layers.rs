//! Gathers what file, environment and flags say, refuses names that do not exist, and picks the highest layer of a key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::setting::{FileValue, Setting};
use super::{ConfigError, Flags, KEYS, ROOT_KEY};
use crate::nearest::nearest;

const DEFAULT_FILE: &str = "countersign.toml";
const PREFIX: &str = "COUNTERSIGN_";

/// Where a value stood.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    File { path: PathBuf, line: usize },
    Environment,
    Flag,
}

impl Origin {
    pub(super) fn source(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        }
    }

    /// The place in words: ``countersign.toml line 3: `listen` ``, `COUNTERSIGN_LISTEN` or `--listen`.
    pub(super) fn place(&self, key: &str) -> String {
        match self {
            Self::File { path, line } => {
                format!("{} line {line}: `{}`", path.display(), file_key(key))
            }
            Self::Environment => variable(key),
            Self::Flag => format!("--{}", key.replace('_', "-")),
        }
    }
}

enum Raw {
    Text(String),
    File(FileValue),
}

/// Of every key that was given anywhere, the value of the highest layer.
pub(super) struct Layers {
    given: BTreeMap<&'static str, (Origin, Raw)>,
    /// Variables that an orchestrator sets, and that are no settings.
    pub(super) passed_over: Vec<String>,
}

impl Layers {
    pub(super) fn gather(
        flags: &Flags,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let (mut named_file, mut passed_over) = (None, vec![]);
        let mut environment: BTreeMap<&'static str, (Origin, Raw)> = BTreeMap::new();
        let mut from_files = vec![];
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            if rest.starts_with("TEST_") {
                continue;
            }
            match known(|key| variable(key) == name) {
                _ if rest == "CONFIG" => named_file = Some(PathBuf::from(value)),
                Some(key) if from_files.contains(&key) => return Err(given_twice(key)),
                Some(key) => drop(environment.insert(key, (Origin::Environment, Raw::Text(value)))),
                None if is_of_an_orchestrator(rest, &value) => passed_over.push(name),
                None => match of_a_file(&name, &value)? {
                    Some((key, text)) => {
                        if environment.insert(key, (Origin::Environment, Raw::Text(text))).is_some() {
                            return Err(given_twice(key));
                        }
                        from_files.push(key);
                    }
                    None => return Err(unknown_variable(name)),
                },
            }
        }
        // The flag itself takes no empty path.
        if named_file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            return Err(empty(&Origin::Environment, "config"));
        }
        let mut given = read_file(flags.config.clone().or(named_file))?;
        // A flag hides an empty variable no more than it hides a malformed file.
        let flags = flags.given().map(|(key, text)| (key, (Origin::Flag, Raw::Text(text.to_owned()))));
        for (key, (origin, raw)) in environment.into_iter().chain(flags) {
            not_empty(key, &origin, &raw)?;
            given.insert(key, (origin, raw));
        }
        Ok(Self { given, passed_over })
    }

    pub(super) fn resolve<T: Setting>(&self, key: &'static str, default: &str) -> Result<T, ConfigError> {
        let Some((origin, raw)) = self.given.get(key) else {
            return Ok(T::parse(default).expect("the table's defaults are valid, as a test shows"));
        };
        let (value, found) = match raw {
            Raw::Text(text) => (T::parse(text), format!("`{text}`")),
            Raw::File(value) => (T::from_file(value), value.to_string()),
        };
        let found = if T::IS_SECRET { "what stands there".to_owned() } else { found };
        value.ok_or_else(|| ConfigError::Refused {
            place: origin.place(key),
            problem: format!("must be {}, not {found}", T::EXPECTED),
        })
    }

    pub(super) fn root_key(&self) -> Option<&str> {
        match self.given.get(ROOT_KEY) {
            Some((_, Raw::Text(text))) => Some(text),
            _ => None,
        }
    }

    pub(super) fn into_origins(self) -> BTreeMap<&'static str, Origin> {
        self.given.into_iter().map(|(key, (origin, _))| (key, origin)).collect()
    }
}

/// The variable of a key: `COUNTERSIGN_LISTEN`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

/// Whether a variable is one of those that Kubernetes and Docker set in every container for a service called `countersign`,
/// or `countersign-` and something: `COUNTERSIGN_SERVICE_HOST`, `COUNTERSIGN_PORT=tcp://10.0.0.1:80`,
/// `COUNTERSIGN_PORT_80_TCP_ADDR`.
fn is_of_an_orchestrator(rest: &str, value: &str) -> bool {
    let protocols = ["TCP", "UDP", "SCTP"];
    let (name, after) = rest.split_once("SERVICE_").unwrap_or(("", ""));
    let is_service =
        (name.is_empty() || name.ends_with('_')) && (after == "HOST" || after == "PORT" || after.starts_with("PORT_"));
    let is_address = (rest == "PORT" || rest.ends_with("_PORT"))
        && value
            .split_once("://")
            .is_some_and(|(scheme, _)| protocols.iter().any(|it| it.eq_ignore_ascii_case(scheme)));
    let of_port = rest.strip_prefix("PORT_").or_else(|| rest.split_once("_PORT_").map(|(_, port)| port));
    let of_port = of_port.and_then(|port| port.split_once('_'));
    let is_of_port = of_port.is_some_and(|(number, kind)| {
        let protocol = kind.split('_').next().unwrap_or_default();
        number.parse::<u16>().is_ok() && protocols.contains(&protocol)
    });
    is_service || is_address || is_of_port
}

/// The value of a setting whose variable names a file, such as `COUNTERSIGN_ROOT_KEY_FILE`: how orchestrators hand over secrets.
fn of_a_file(name: &str, path: &str) -> Result<Option<(&'static str, String)>, ConfigError> {
    let Some(key) = name.strip_suffix("_FILE").and_then(|name| known(|key| variable(key) == name)) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Refused {
        place: name.to_owned(),
        problem: format!("names the file {path}, which cannot be read: {error}"),
    })?;
    // A line break at the end is the editor's.
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(Some((key, text.to_owned())))
}

fn given_twice(key: &str) -> ConfigError {
    ConfigError::Refused {
        place: format!("{0} and {0}_FILE", variable(key)),
        problem: "are both set: remove one of them".to_owned(),
    }
}

/// The key as the file spells it, with its table: `limits.login_per_minute`.
pub(super) fn file_key(key: &str) -> String {
    match key.strip_prefix("limits_") {
        Some(rest) => format!("limits.{rest}"),
        None => key.to_owned(),
    }
}

/// An empty value is never "not given": a variable that a script failed to fill would choose a default that nobody meant.
fn not_empty(key: &str, origin: &Origin, raw: &Raw) -> Result<(), ConfigError> {
    match raw {
        Raw::Text(text) | Raw::File(FileValue::Text(text)) if text.trim().is_empty() => Err(empty(origin, key)),
        Raw::Text(_) | Raw::File(_) => Ok(()),
    }
}

fn empty(origin: &Origin, key: &str) -> ConfigError {
    ConfigError::Refused {
        place: origin.place(key),
        problem: "is empty: give it a value, or remove it where the default is meant".to_owned(),
    }
}

fn known(is_it: impl Fn(&str) -> bool) -> Option<&'static str> {
    KEYS.iter().copied().chain([ROOT_KEY]).find(|key| is_it(key))
}

fn unknown_variable(name: String) -> ConfigError {
    // What all of them begin with makes none of them near.
    let candidates = KEYS.iter().copied().chain([ROOT_KEY, "config"]).map(ToOwned::to_owned);
    let nearest = nearest(name.strip_prefix(PREFIX).unwrap_or(&name), candidates).map(|key| variable(&key));
    ConfigError::UnknownVariable { nearest, name }
}

/// The file that was named, or the default one where it exists.
fn read_file(named: Option<PathBuf>) -> Result<BTreeMap<&'static str, (Origin, Raw)>, ConfigError> {
    let is_named = named.is_some();
    let path = named.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(cause) if !is_named && cause.kind() == std::io::ErrorKind::NotFound => {
            return Ok(BTreeMap::new());
        }
        Err(cause) => return Err(ConfigError::Unreadable { path, cause }),
    };
    let table = DeTable::parse(&text).map_err(|error| ConfigError::Syntax {
        path: path.clone(),
        line: line_at(&text, error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let mut file = File { path: &path, text: &text, given: BTreeMap::new() };
    file.take_table("", table.into_inner())?;
    Ok(file.given)
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
    given: BTreeMap<&'static str, (Origin, Raw)>,
}

impl File<'_> {
    fn take_table(&mut self, prefix: &str, table: DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            let line = line_at(self.text, name.span().start);
            let written = format!("{prefix}{}", name.get_ref());
            if written == "limits" {
                self.take_limits(line, value)?;
                continue;
            }
            let Some(key) = known(|key| file_key(key) == written) else {
                let nearest = nearest(&written, KEYS.iter().map(|key| file_key(key)));
                return Err(ConfigError::UnknownKey { path: self.path.into(), line, key: written, nearest });
            };
            let origin = Origin::File { path: self.path.into(), line };
            let raw = Raw::File(value.get_ref().into());
            not_empty(key, &origin, &raw)?;
            if key == ROOT_KEY {
                // A file that is read, copied and checked in is no place for the key above all keys.
                return Err(ConfigError::Refused {
                    place: origin.place(key),
                    problem: format!("is never read from a file: set {} instead", variable(key)),
                });
            }
            self.given.insert(key, (origin, raw));
        }
        Ok(())
    }

    fn take_limits(&mut self, line: usize, value: Spanned<DeValue<'_>>) -> Result<(), ConfigError> {
        match value.into_inner() {
            DeValue::Table(table) => self.take_table("limits.", table),
            other => Err(ConfigError::Refused {
                place: format!("{} line {line}: `limits`", self.path.display()),
                problem: format!("must be a table, not {}", FileValue::from(&other)),
            }),
        }
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}
