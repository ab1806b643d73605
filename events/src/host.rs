//! Whether the host of a web address is the same to everybody who reads it: browsers, other programs, people.
//! `https://good.example&evil.example/` is one host to a browser, and another one to a reader and to many programs
//! (RFC 9700 §4.1, WHATWG URL §4.4). Which addresses are judged, and in which words, is up to others.

use url::{Host, Url};

/// What in an authority can be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ambiguous {
    /// The host is not written as browsers read it, or is no plain name.
    Host,
    /// The port is not written as a plain number.
    Port,
}

/// Which names a host may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// Letters, digits and hyphens (RFC 1123 §2.1).
    Hosts,
    /// The same and `_`, which some old names on the web have.
    OfTheWeb,
}

/// Judges host and port of an authority without user info, as written, against what browsers read of it. The host must
/// be written as they read it, but for case, and be a name or an IP literal in its usual form.
pub(crate) fn judge(authority: &str, read: &Url, names: Names) -> Result<(), Ambiguous> {
    let host = host_text(authority);
    let read_host = read.host_str().unwrap_or_default();
    let is_plain = !matches!(read.host(), Some(Host::Domain(_))) || is_name(read_host, names);
    if !host.eq_ignore_ascii_case(read_host) || !is_plain {
        return Err(Ambiguous::Host);
    }
    let port = &authority[host.len()..];
    if port.is_empty() || port.strip_prefix(':').is_some_and(is_port) { Ok(()) } else { Err(Ambiguous::Port) }
}

/// An authority without its port.
pub(crate) fn host_text(authority: &str) -> &str {
    if authority.starts_with('[') {
        let end = authority.find(']').map_or(authority.len(), |bracket| bracket + 1);
        return &authority[..end];
    }
    authority.split_once(':').map_or(authority, |(host, _)| host)
}

/// A number from 1 to 65535, without zeros or a sign before it.
pub(crate) fn is_port(digits: &str) -> bool {
    !digits.starts_with(['0', '+']) && digits.parse::<u16>().is_ok()
}

fn is_name(name: &str, names: Names) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || (byte == b'_' && names == Names::OfTheWeb);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(fits)
    };
    name.len() <= 253 && name.split('.').all(is_label)
}
