//! Who names clients of others in `X-Forwarded-For` and is not trusted: mostly a proxy that the settings forgot, so that
//! all of its clients pass for one.

use std::{
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// So many are remembered; a site has few proxies.
const REMEMBERED: usize = 8;

/// Peers that are not trusted and sent `X-Forwarded-For` since the start.
#[derive(Debug, Default)]
pub struct Forwarders {
    peers: Mutex<Vec<IpAddr>>,
    requests: AtomicU64,
}

impl Forwarders {
    /// A request of such a peer. Each peer is told of once.
    pub fn note(&self, peer: IpAddr) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let is_new = {
            let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = peers.len() < REMEMBERED && !peers.contains(&peer);
            if is_new {
                peers.push(peer);
            }
            is_new
        };
        if is_new {
            // A machine of the operator's own may be named in a log line; anybody else may be a member.
            let peer = if is_private(peer) { peer.to_string() } else { "a peer on the public network".to_owned() };
            tracing::warn!(
                %peer,
                "a peer that is not trusted sends X-Forwarded-For: if it is your proxy, all of its clients share one \
                 address and one rate limit; set trusted_proxies to its address"
            );
        }
    }

    /// Those peers.
    #[must_use]
    pub fn peers(&self) -> Vec<IpAddr> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests they sent.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Whether an address is of this machine or of a private network (RFC 1918, RFC 6598, RFC 4193, RFC 4291).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_is_remembered_once_and_only_so_many() {
        let forwarders = Forwarders::default();
        for number in [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10] {
            forwarders.note(IpAddr::from([10, 0, 0, number]));
        }
        let peers: Vec<_> = (1..=8).map(|number| IpAddr::from([10, 0, 0, number])).collect();
        assert_eq!((forwarders.peers(), forwarders.requests()), (peers, 11));
    }

    #[test]
    fn only_machines_of_private_networks_are_named_in_the_log() {
        for private in ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "::1", "fd00::1", "fe80::1"]
        {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["203.0.113.7", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }
}
