//! Where a request comes from: its peer, or what trusted proxies say of it in `X-Forwarded-For`. What the address is
//! used for is up to others.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderMap, HeaderValue},
};
use ipnet::IpNet;

use crate::app::App;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of the client of a request; `None` when nobody can know it.
pub(super) fn of(app: &App, request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?.0.ip().to_canonical();
    let headers = request.headers();
    let trusted = &app.config.trusted_proxies;
    if !is_trusted(trusted, peer) && headers.contains_key(FORWARDED_FOR) {
        app.forwarders.note(peer);
    }
    client(peer, headers, trusted)
}

fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// The peer, when it is no trusted proxy or hands on nothing; else the last hop that is no trusted proxy's own, read
/// from the right, since the left of the list is the client's to write. A hop that says no address ends what can be
/// believed: then the client is unknown, and nobody takes the proxy for it.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    if !is_trusted(trusted, peer) || !headers.contains_key(FORWARDED_FOR) {
        return Some(peer);
    }
    let lines: Vec<&[u8]> = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
    let mut furthest = None;
    // RFC 9110 s5.6.1: empty elements of a list are overlooked.
    for hop in hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty()) {
        let hop = address(hop)?;
        furthest = Some(hop);
        if !is_trusted(trusted, hop) {
            break;
        }
    }
    furthest
}

/// An address as proxies write it: alone, with a port, in brackets, in quotes (RFC 7239 s6). Names that hide an address,
/// such as `unknown` and `_proxy`, say none.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = inner.unwrap_or(text).trim_ascii();
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let is_sound = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            is_sound.then_some(())?;
            IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
        }
        None => match text.split_once(':') {
            // More than one colon: an IPv6 address without brackets, which can have no port.
            Some((_, rest)) if rest.contains(':') => text.parse().ok()?,
            Some((address, port)) => {
                is_port(port).then_some(())?;
                IpAddr::V4(address.parse().ok()?)
            }
            None => text.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

/// A number of up to five digits, or a name in its place (RFC 7239 s6: `node-port`).
fn is_port(port: &str) -> bool {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    match port.strip_prefix('_') {
        Some(name) => !name.is_empty() && is_name(name),
        None => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1";

    /// The client of a request that comes through the proxy, of which further machines are trusted.
    fn through_proxy(lines: &[&[u8]]) -> Option<IpAddr> {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/24".parse().unwrap(), "2001:db8:ffff::/48".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        client(PROXY.parse().unwrap(), &headers, &trusted)
    }

    #[test]
    fn the_last_hop_that_is_no_trusted_proxy_is_the_client() {
        let table: &[(&[&[u8]], &str)] = &[
            (&[], PROXY),
            (&[b"203.0.113.7"], "203.0.113.7"),
            (&[b"203.0.113.7:4711"], "203.0.113.7"),
            (&[b"203.0.113.7:1"], "203.0.113.7"),
            (&[b"203.0.113.7:_hidden"], "203.0.113.7"),
            (&[b"\"203.0.113.7\""], "203.0.113.7"),
            (&[b"\"203.0.113.7:4711\""], "203.0.113.7"),
            (&[b"2001:db8::1"], "2001:db8::1"),
            (&[b"2001:DB8:0:0::1"], "2001:db8::1"),
            (&[b"[2001:db8::1]"], "2001:db8::1"),
            (&[b"[2001:db8::1]:4711"], "2001:db8::1"),
            (&[b"\"[2001:db8::1]\""], "2001:db8::1"),
            (&[b"\"[2001:db8::1]:4711\""], "2001:db8::1"),
            (&[b"::ffff:203.0.113.7"], "203.0.113.7"),
            (&[b"[::ffff:203.0.113.7]:80"], "203.0.113.7"),
            (&[b"  203.0.113.7\t"], "203.0.113.7"),
            (&[b"203.0.113.7,"], "203.0.113.7"),
            (&[b"203.0.113.7, ,\t,"], "203.0.113.7"),
            (&[b",203.0.113.7"], "203.0.113.7"),
            (&[b"198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            (&[b"198.51.100.1,203.0.113.7 , 10.0.0.9"], "203.0.113.7"),
            (&[b"203.0.113.7, 10.0.0.9:80, [2001:db8:ffff::2]:80"], "203.0.113.7"),
            (&[b"203.0.113.7, ::ffff:10.0.0.9"], "203.0.113.7"),
            (&[b"198.51.100.1", b"203.0.113.7"], "203.0.113.7"),
            (&[b"203.0.113.7", b"10.0.0.9", b""], "203.0.113.7"),
            (&[b"203.0.113.7", b", ,", b"10.0.0.9"], "203.0.113.7"),
            // What stands left of the client is the client's to write, whatever it is.
            (&[b"\xff\xfe, 203.0.113.7"], "203.0.113.7"),
            (&[b"\", 203.0.113.7"], "203.0.113.7"),
            (&[b"\"a, b, 203.0.113.7"], "203.0.113.7"),
            (&[b"unknown, 203.0.113.7"], "203.0.113.7"),
            (&[b"10.0.0.1, 203.0.113.7"], "203.0.113.7"),
            (&[b"<script>", b"203.0.113.7:4711"], "203.0.113.7"),
            // Nobody but trusted machines: the furthest of them asks.
            (&[b"10.0.0.7"], "10.0.0.7"),
            (&[b"10.0.0.7, 10.0.0.9"], "10.0.0.7"),
        ];
        for (lines, expected) in table {
            assert_eq!(through_proxy(lines), Some(expected.parse().unwrap()), "{lines:?}");
        }
    }

    #[test]
    fn a_last_hop_that_says_no_address_is_unknown_and_never_the_proxy() {
        let unreadable: [&[u8]; 40] = [
            b"",
            b" ",
            b",",
            b" , ,\t",
            b"unknown",
            b"_hidden",
            b"\"_hidden\"",
            b"\xff",
            b"203.0.113.7\xff",
            b"\xff203.0.113.7",
            b"203.0.113.7\xc2\xa0",
            b"203.0.113",
            b"203.0.113.7.1",
            b"203.0.113.256",
            b"203.0.113.07",
            b"0xcb.0.113.7",
            b"3405803783",
            b"203.0.113.7:",
            b"203.0.113.7:123456",
            b"203.0.113.7:x",
            b"203.0.113.7:_",
            b"203.0.113.7:-1",
            b"203.0.113.7 x",
            b"203.0.113.7;proto=https",
            b"for=203.0.113.7",
            b"\"203.0.113.7",
            b"203.0.113.7\"",
            b"'203.0.113.7'",
            b"[203.0.113.7]",
            b"[2001:db8::1",
            b"2001:db8::1]",
            b"[2001:db8::1]4711",
            b"[2001:db8::1]:",
            b"[2001:db8::1]:x",
            b"[]",
            b"[fe80::1%eth0]",
            b"2001:db8::1::2",
            b"2001:db8::g",
            b"client.example",
            b"localhost",
        ];
        for hop in unreadable {
            assert_eq!(through_proxy(&[hop]), None, "{hop:?}");
            // Nothing at all is overlooked; anything else ends what can be believed.
            let says_nothing = hop.iter().all(|byte| b", \t".contains(byte));
            let expected = says_nothing.then(|| "198.51.100.1".parse().unwrap());
            assert_eq!(through_proxy(&[b"198.51.100.1", hop]), expected, "{hop:?}");
            let before_a_proxy = [hop, b", 10.0.0.9"].concat();
            let found = through_proxy(&[&before_a_proxy]);
            assert_ne!(found, Some(PROXY.parse().unwrap()), "{hop:?}");
        }
    }

    #[test]
    fn a_peer_that_is_not_trusted_is_the_client_whatever_it_says() {
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_FOR, HeaderValue::from_static("203.0.113.7"));
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(client(peer, &headers, &["10.0.0.0/24".parse().unwrap()]), Some(peer));
        assert_eq!(client(peer, &headers, &[]), Some(peer));
    }
}
