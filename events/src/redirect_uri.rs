//! Redirect URIs: which an application may register, which of those sent later count as the same, and
//! how an answer is added to one (RFC 6749 §3.1.2, RFC 8252 §7, RFC 9700 §4.1). Which application
//! registered what is kept elsewhere.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;
use url::form_urlencoded::{self, byte_serialize};

use crate::host::{self, Ambiguous, Names, host_text, is_port};

#[cfg(test)]
mod tests;

const MAX_CHARACTERS: usize = 4096;
const MAX_URIS: usize = 10;
/// A browser runs or shows these itself instead of going anywhere.
const SCRIPT_SCHEMES: [&str; 5] = ["javascript", "data", "vbscript", "blob", "file"];
/// Parameters with which an authorization server answers: already in the query they would stand there twice, and
/// the receiver may believe the first (RFC 6749 §4.1.2 and §4.2.2, RFC 9207).
const OWN_PARAMETERS: [&str; 10] = [
    "access_token",
    "code",
    "error",
    "error_description",
    "error_uri",
    "expires_in",
    "iss",
    "scope",
    "state",
    "token_type",
];

/// What an application is made for; it decides which redirect URIs it may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A site of its own, which other members authorize.
    #[default]
    Web,
    /// A bot or script of the owner's own: nobody else authorizes it, so nobody is sent back to it.
    Personal,
    /// A program on the member's own device (RFC 8252).
    Native,
}

impl Purpose {
    /// The word that stands in forms and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Personal => "personal",
            Self::Native => "native",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no purpose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the purpose of an application is web, personal or native")]
pub struct UnknownPurpose;

impl FromStr for Purpose {
    type Err = UnknownPurpose;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Web, Self::Personal, Self::Native];
        all.into_iter().find(|purpose| purpose.as_str() == text).ok_or(UnknownPurpose)
    }
}

/// Why a redirect URI cannot be registered. Each message says what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRedirectUri {
    /// No URI where there must be one.
    #[error("Enter at least one redirect URI: the address that members are sent back to.")]
    Missing,
    /// More than ten.
    #[error("At most {MAX_URIS} redirect URIs fit: remove those that you do not need.")]
    TooMany,
    /// Longer than 4096 characters, alone or together.
    #[error("Redirect URIs have room for {MAX_CHARACTERS} characters in all: shorten them.")]
    TooLong,
    /// The same text on two lines.
    #[error("This redirect URI is there twice: remove one of the two.")]
    Duplicate,
    /// A personal application with a redirect URI.
    #[error("A personal application has no redirect URI: leave it empty, or choose web or native.")]
    PersonalTakesNone,
    /// White space or a control character.
    #[error("A redirect URI has no spaces or control characters: write one a line, a space as %20.")]
    Whitespace,
    /// A backslash, which browsers read as a slash and other programs do not.
    #[error("A redirect URI has no backslash: write / instead.")]
    Backslash,
    /// A character outside ASCII, which a `Location` header cannot carry (RFC 3986 §2).
    #[error(
        "A redirect URI has only ASCII characters: write others percent-encoded, and the host in \
         its xn-- form."
    )]
    NotAscii,
    /// A fragment (RFC 6749 §3.1.2).
    #[error("A redirect URI has no fragment: remove the # and what follows it.")]
    Fragment,
    /// A name or password before the host.
    #[error("A redirect URI has no user name or password: remove everything up to the @.")]
    UserInfo,
    /// A scheme that makes the browser run or show its text.
    #[error("This scheme is never allowed: use an address that starts with https://.")]
    ScriptScheme,
    /// Plain http to another machine.
    #[error("Plain http is only for 127.0.0.1, [::1] and localhost: use https:// instead.")]
    InsecureHttp,
    /// https or http without a host.
    #[error("The redirect URI names no host: write it as https://your.site/path.")]
    NoHost,
    /// A host that other programs may read as another one than browsers do.
    #[error(
        "The host may be read as another one: write it with letters, digits, - and dots, or as an IP address in its \
         usual form, and nothing percent-encoded."
    )]
    Host,
    /// A port that is not written as a plain number.
    #[error("The port is a number from 1 to 65535 without leading zeros: correct it, or leave it out with its colon.")]
    Port,
    /// A parameter with which this site answers (RFC 6749 §4.1.2, RFC 9207).
    #[error("This site answers with the parameter {0}: remove it from the query, or give yours another name.")]
    OwnParameter(&'static str),
    /// A private scheme for an application that is not native.
    #[error("Only https:// will do here; schemes of their own are for applications with purpose native.")]
    PrivateScheme,
    /// A private scheme without a dot (RFC 8252 §7.1).
    #[error("A private scheme is a domain of yours in reverse, with a dot: org.example.app:/callback.")]
    SchemeWithoutDot,
    /// A private scheme with something else than a path behind it: mostly a host whose https:// is missing.
    #[error("After the scheme comes a slash: org.example.app:/callback, or https:// before a host.")]
    SchemeWithoutPath,
    /// No absolute URI at all.
    #[error("This is no complete address: write it as https://your.site/path.")]
    Malformed,
    /// What is wrong with one of several lines.
    #[error("Line {line}: {problem}")]
    OnLine {
        /// The line as the member counts: from 1, blank lines too.
        line: usize,
        /// What is wrong there.
        problem: Box<InvalidRedirectUri>,
    },
}

impl From<Ambiguous> for InvalidRedirectUri {
    fn from(ambiguous: Ambiguous) -> Self {
        match ambiguous {
            Ambiguous::Host => Self::Host,
            Ambiguous::Port => Self::Port,
        }
    }
}

/// A redirect URI, character for character as registered: it is compared as text (RFC 9700 §4.1.3),
/// because whoever normalises two URIs differently than the browser does sends tokens to strangers.
///
/// Reading one back from the log does not judge it again: rules may grow stricter, history stays.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// Judges one URI that somebody wants to register.
    ///
    /// # Errors
    /// [`InvalidRedirectUri`] with the first rule that the text breaks.
    pub fn parse(text: &str, purpose: Purpose) -> Result<Self, InvalidRedirectUri> {
        if purpose == Purpose::Personal {
            return Err(InvalidRedirectUri::PersonalTakesNone);
        }
        refuse_characters(text)?;
        let (scheme, rest) = text.split_once(':').ok_or(InvalidRedirectUri::Malformed)?;
        let scheme = scheme.to_ascii_lowercase();
        if SCRIPT_SCHEMES.contains(&scheme.as_str()) {
            return Err(InvalidRedirectUri::ScriptScheme);
        }
        // Read from the text itself, not from the parsed form: `https://@host` has user info, too.
        let authority = authority(rest);
        if authority.is_some_and(|authority| authority.contains('@')) {
            return Err(InvalidRedirectUri::UserInfo);
        }
        let web_scheme = scheme == "https" || scheme == "http";
        // The standard that browsers follow overlooks missing and surplus slashes; other programs do not.
        if web_scheme && authority.is_none_or(|authority| host_text(authority).is_empty()) {
            return Err(InvalidRedirectUri::NoHost);
        }
        let url = Url::parse(text).map_err(|_| InvalidRedirectUri::Malformed)?;
        match scheme.as_str() {
            "https" => {}
            "http" if is_local(authority.unwrap_or_default()) => {}
            "http" => return Err(InvalidRedirectUri::InsecureHttp),
            _ if purpose != Purpose::Native => return Err(InvalidRedirectUri::PrivateScheme),
            private if !private.contains('.') => return Err(InvalidRedirectUri::SchemeWithoutDot),
            _ if url.cannot_be_a_base() => return Err(InvalidRedirectUri::SchemeWithoutPath),
            _ => {}
        }
        if web_scheme {
            host::judge(authority.unwrap_or_default(), &url, Names::Hosts)?;
        }
        if let Some(name) = text.split_once('?').and_then(|(_, query)| own_parameter(query)) {
            return Err(InvalidRedirectUri::OwnParameter(name));
        }
        Ok(Self(text.to_owned()))
    }

    /// Judges the redirect URIs of an application, one a line; blank lines and spaces around a URI are
    /// overlooked. Web and native applications have one to ten, personal ones none.
    ///
    /// # Errors
    /// [`InvalidRedirectUri`] with the first problem; where there are several URIs, it names the line.
    pub fn parse_list(text: &str, purpose: Purpose) -> Result<Vec<Self>, InvalidRedirectUri> {
        let lines: Vec<(usize, &str)> = text
            .split('\n')
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty())
            .collect();
        match (purpose, lines.len()) {
            (Purpose::Personal, 0) => return Ok(Vec::new()),
            (Purpose::Personal, _) => return Err(InvalidRedirectUri::PersonalTakesNone),
            (_, 0) => return Err(InvalidRedirectUri::Missing),
            (_, count) if count > MAX_URIS => return Err(InvalidRedirectUri::TooMany),
            _ => {}
        }
        if text.chars().count() > MAX_CHARACTERS {
            return Err(InvalidRedirectUri::TooLong);
        }
        let mut uris: Vec<Self> = Vec::with_capacity(lines.len());
        for (line, uri) in &lines {
            let judged = Self::parse(uri, purpose)
                .and_then(|uri| if uris.contains(&uri) { Err(InvalidRedirectUri::Duplicate) } else { Ok(uri) });
            uris.push(judged.map_err(|problem| match lines.len() {
                1 => problem,
                _ => InvalidRedirectUri::OnLine { line: *line, problem: Box::new(problem) },
            })?);
        }
        Ok(uris)
    }

    /// Whether a URI that a request sent is this one: equal in every character; only the port of a
    /// loopback IP literal may differ, since a program takes whichever port is free (RFC 8252 §7.3).
    /// `localhost` is a name and gets no such leave: it may resolve to another machine.
    #[must_use]
    pub fn matches(&self, sent: &str) -> bool {
        if self.0 == sent {
            return true;
        }
        match (without_loopback_port(&self.0), without_loopback_port(sent)) {
            // Host and the rest must be equal to what was registered, so nothing but digits is new.
            (Some(registered), Some(sent)) => registered == sent,
            _ => false,
        }
    }

    /// The host as a consent page shows it: in ASCII, so that look-alike letters stand out as `xn--`.
    /// For a private scheme, the scheme: it is what names the receiver.
    #[must_use]
    pub fn host(&self) -> String {
        match Url::parse(&self.0) {
            Ok(url) if matches!(url.scheme(), "https" | "http") => url.host_str().unwrap_or(&self.0).to_owned(),
            Ok(url) => url.scheme().to_owned(),
            Err(_) => self.0.clone(),
        }
    }

    /// The text as registered.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Adds parameters to a URI, form-encoded as RFC 6749 Appendix B says. The URI's own parameters stay
/// as they are, byte for byte; a fragment, should there be one, stays at the end.
#[must_use]
pub fn with_parameters(uri: &str, parameters: &[(&str, &str)]) -> String {
    let fragment_start = uri.find('#').unwrap_or(uri.len());
    let (before, fragment) = uri.split_at(fragment_start);
    let mut text = before.to_owned();
    let mut separator = match before.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    for (name, value) in parameters {
        text.push_str(separator);
        text.extend(byte_serialize(name.as_bytes()));
        text.push('=');
        text.extend(byte_serialize(value.as_bytes()));
        separator = "&";
    }
    text.push_str(fragment);
    text
}

fn refuse_characters(text: &str) -> Result<(), InvalidRedirectUri> {
    if text.is_empty() {
        return Err(InvalidRedirectUri::Missing);
    }
    if text.chars().count() > MAX_CHARACTERS {
        return Err(InvalidRedirectUri::TooLong);
    }
    if text.chars().any(|character| character.is_whitespace() || character.is_control()) {
        return Err(InvalidRedirectUri::Whitespace);
    }
    if text.contains('\\') {
        return Err(InvalidRedirectUri::Backslash);
    }
    if !text.is_ascii() {
        return Err(InvalidRedirectUri::NotAscii);
    }
    if text.contains('#') {
        return Err(InvalidRedirectUri::Fragment);
    }
    Ok(())
}

/// What stands between `//` and the path, of a URI without its scheme and colon.
fn authority(rest: &str) -> Option<&str> {
    let after = rest.strip_prefix("//")?;
    Some(&after[..after.find(['/', '?']).unwrap_or(after.len())])
}

/// The parameter of this site's that a query has already, however a receiver may read it: some split at `;` too,
/// overlook case, take `.` and spaces for `_` or cut a name at `[` and NUL.
fn own_parameter(query: &str) -> Option<&'static str> {
    let names = query.split(['&', ';']).flat_map(|pair| form_urlencoded::parse(pair.as_bytes()));
    let as_read = |name: &str| {
        let name = &name[..name.find(['[', '\0']).unwrap_or(name.len())];
        name.trim().replace([' ', '.'], "_").to_ascii_lowercase()
    };
    names.map(|(name, _)| as_read(&name)).find_map(|name| OWN_PARAMETERS.into_iter().find(|own| *own == name))
}

/// An IP literal of this machine, written out: the standard that browsers follow reads `127.1` and
/// `2130706433` as loopback too, other programs do not.
fn is_loopback_ip(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(host) => host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback()),
        None => host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()),
    }
}

fn is_local(authority: &str) -> bool {
    let host = host_text(authority);
    is_loopback_ip(host) || host.eq_ignore_ascii_case("localhost")
}

/// Host and everything behind the port of an http URI on a loopback IP; `None` for any other URI and
/// for ports that are no number from 1 to 65535.
fn without_loopback_port(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http:")?;
    let authority = authority(rest)?;
    let host = host_text(authority);
    let port = &authority[host.len()..];
    let port_is_sound = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    (is_loopback_ip(host) && port_is_sound).then(|| (host, &rest["//".len() + authority.len()..]))
}
