//! How single values are read from text and from TOML, and printed. Which settings exist is the table's business.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use ipnet::IpNet;
use toml::de::DeValue;
use url::Url;
use zeroize::Zeroizing;

use super::layers::variable;

pub(super) const HELP_HEADING: &str = "Configuration";

/// The largest number any setting takes: as days it stays far inside the calendar.
const LARGEST: u32 = 1_000_000;

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    /// Completes "must be …".
    const EXPECTED: &'static str;
    /// The placeholder in help texts.
    const VALUE_NAME: &'static str;
    /// Whether the bare flag means true.
    const IS_SWITCH: bool = false;
    /// Whether a wrong value is left out of the error about it.
    const IS_SECRET: bool = false;

    fn parse(text: &str) -> Option<Self>;

    fn from_file(value: &FileValue) -> Option<Self> {
        match value {
            FileValue::Text(text) => Self::parse(text),
            FileValue::Number(_) | FileValue::Truth(_) | FileValue::List(_) | FileValue::Other(_) => None,
        }
    }

    fn show(&self) -> String;
}

/// A value of the file, in the few shapes that settings have.
pub(super) enum FileValue {
    Text(String),
    Number(i64),
    Truth(bool),
    List(Vec<String>),
    /// Anything else, by the name of its type.
    Other(&'static str),
}

impl From<&DeValue<'_>> for FileValue {
    fn from(value: &DeValue<'_>) -> Self {
        let other = Self::Other(value.type_str());
        match value {
            DeValue::String(text) => Self::Text(text.clone().into_owned()),
            DeValue::Boolean(truth) => Self::Truth(*truth),
            DeValue::Integer(integer) => {
                i64::from_str_radix(integer.as_str(), integer.radix()).map_or(other, Self::Number)
            }
            DeValue::Array(items) => {
                let texts = items.iter().map(|item| item.get_ref().as_str().map(ToOwned::to_owned));
                texts.collect::<Option<Vec<_>>>().map_or(other, Self::List)
            }
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => other,
        }
    }
}

impl fmt::Display for FileValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Number(number) => write!(f, "{number}"),
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::List(items) => write!(f, "{items:?}"),
            Self::Other(kind) => write!(f, "a value of type {kind}"),
        }
    }
}

/// The help text of a flag: the table's words, the variable and the default.
pub(super) fn flag_help(help: &str, key: &str, default: &str) -> String {
    let help = help.trim();
    let variable = variable(key);
    match (key, default) {
        ("public_url", _) | (_, "") => format!("{help} [env: {variable}]"),
        _ => format!("{help} [env: {variable}] [default: {default}]"),
    }
}

/// Whether log lines are for people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// Text that is never printed and leaves memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct HiddenText(Zeroizing<String>);

impl HiddenText {
    /// Hides a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HiddenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HiddenText(..)")
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "a string";
    const VALUE_NAME: &'static str = "TEXT";

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path as a string";
    const VALUE_NAME: &'static str = "PATH";

    fn parse(text: &str) -> Option<Self> {
        Some(text.into())
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Setting for SocketAddr {
    const EXPECTED: &'static str = "an IP address and port such as 127.0.0.1:8080";
    const VALUE_NAME: &'static str = "ADDRESS:PORT";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for Url {
    const EXPECTED: &'static str = "a URL such as https://site.example";
    const VALUE_NAME: &'static str = "URL";

    fn parse(text: &str) -> Option<Self> {
        Url::parse(text).ok()
    }

    fn show(&self) -> String {
        self.as_str().trim_end_matches('/').to_owned()
    }
}

/// `None` is written as nothing.
impl Setting for Option<Url> {
    const EXPECTED: &'static str = Url::EXPECTED;
    const VALUE_NAME: &'static str = Url::VALUE_NAME;

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { Url::parse(text).ok().map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map(Setting::show).unwrap_or_default()
    }
}

/// Shown only as set, or as nothing.
impl Setting for Option<HiddenText> {
    const EXPECTED: &'static str = "a string";
    const VALUE_NAME: &'static str = "TEXT";
    const IS_SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Some(if text.is_empty() { None } else { Some(HiddenText::new(text)) })
    }

    fn show(&self) -> String {
        if self.is_some() { "set".to_owned() } else { String::new() }
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";
    const VALUE_NAME: &'static str = "BOOL";
    const IS_SWITCH: bool = true;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn from_file(value: &FileValue) -> Option<Self> {
        if let FileValue::Truth(truth) = value { Some(*truth) } else { None }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u32 {
    const EXPECTED: &'static str = "a whole number from 1 to 1000000";
    const VALUE_NAME: &'static str = "NUMBER";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number| (1..=LARGEST).contains(number))
    }

    fn from_file(value: &FileValue) -> Option<Self> {
        if let FileValue::Number(number) = value { Self::parse(&number.to_string()) } else { None }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u8 {
    const EXPECTED: &'static str = "a whole number from 0 to 255";
    const VALUE_NAME: &'static str = "NUMBER";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn from_file(value: &FileValue) -> Option<Self> {
        if let FileValue::Number(number) = value { Self::parse(&number.to_string()) } else { None }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for NonZeroU32 {
    const EXPECTED: &'static str = u32::EXPECTED;
    const VALUE_NAME: &'static str = u32::VALUE_NAME;

    fn parse(text: &str) -> Option<Self> {
        u32::parse(text).and_then(NonZeroU32::new)
    }

    fn from_file(value: &FileValue) -> Option<Self> {
        u32::from_file(value).and_then(NonZeroU32::new)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// `None` is written `unlimited`.
impl Setting for Option<u32> {
    const EXPECTED: &'static str = "a whole number from 1 to 1000000, or \"unlimited\"";
    const VALUE_NAME: &'static str = "NUMBER|unlimited";

    fn parse(text: &str) -> Option<Self> {
        if text == "unlimited" { Some(None) } else { u32::parse(text).map(Some) }
    }

    fn from_file(value: &FileValue) -> Option<Self> {
        match value {
            FileValue::Text(text) if text == "unlimited" => Some(None),
            _ => u32::from_file(value).map(Some),
        }
    }

    fn show(&self) -> String {
        self.map_or_else(|| "unlimited".to_owned(), |number| number.to_string())
    }
}

impl Setting for Vec<IpNet> {
    const EXPECTED: &'static str = "a list of IP addresses and networks such as 10.0.0.0/8";
    const VALUE_NAME: &'static str = "NETWORKS";

    fn parse(text: &str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Vec::new());
        }
        text.split(',').map(|part| parse_network(part.trim())).collect()
    }

    fn from_file(value: &FileValue) -> Option<Self> {
        match value {
            FileValue::List(items) => items.iter().map(|item| parse_network(item)).collect(),
            FileValue::Text(text) => Self::parse(text),
            FileValue::Number(_) | FileValue::Truth(_) | FileValue::Other(_) => None,
        }
    }

    fn show(&self) -> String {
        let networks: Vec<String> = self.iter().map(ToString::to_string).collect();
        networks.join(",")
    }
}

fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

impl Setting for LogFormat {
    const EXPECTED: &'static str = "text or json";
    const VALUE_NAME: &'static str = "text|json";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Json => "json".to_owned(),
        }
    }
}
