//! What doctor looks at among settings: those that are allowed and risky.

use countersign_events::text;
use ipnet::IpNet;

use super::{Finding, Site};

/// So many members are named.
const NAMED: usize = 3;

pub(super) fn look(site: &Site<'_>, findings: &mut Vec<Finding>) {
    let config = site.config;
    let before = findings.len();
    if config.insecure_http {
        findings.push(Finding::warning(
            "setting insecure_http",
            "passwords and tokens may travel readable for anyone on the way",
            "put a proxy that speaks https in front, set public_url to its address, and remove insecure_http",
        ));
    }
    let is_local_url = config.public_url.host_str().is_some_and(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host.parse::<std::net::IpAddr>().map_or(host == "localhost", |address| address.is_loopback())
    });
    let listens_elsewhere = !config.listen.ip().is_loopback();
    if listens_elsewhere && is_local_url {
        findings.push(Finding::warning(
            "setting public_url",
            format!(
                "it is {}, and the site listens on {}: others get links to their own machine",
                config.url("/"),
                config.listen
            ),
            "set public_url to the address that people type, or listen on 127.0.0.1",
        ));
    }
    if listens_elsewhere && config.is_https() && config.trusted_proxies.is_empty() {
        findings.push(Finding::warning(
            "setting trusted_proxies",
            format!("the public URL is https, so a proxy stands in front of {}, and none is trusted: all clients share the proxy's rate limits", config.listen),
            "set trusted_proxies to the address from which the proxy connects",
        ));
    }
    let speaking: Vec<_> = site
        .facts
        .usernames
        .iter()
        .filter(|name| text::looks_like_site(name, &config.site_name))
        .take(NAMED)
        .map(String::as_str)
        .collect();
    if !speaking.is_empty() {
        findings.push(Finding::warning(
            "setting site_name",
            format!(
                "it is {}, and members have names that look like it: {}; others could take what they write for the site's",
                config.site_name,
                speaking.join(", ")
            ),
            "choose another site_name, or ask these members to join under another name",
        ));
    }
    for peer in site.running.iter().flat_map(|running| &running.forwarders) {
        findings.push(Finding::warning(
            "setting trusted_proxies",
            format!(
                "{peer} sends X-Forwarded-For and is not trusted: if it is a proxy, all of its clients pass for one, and share its rate limits"
            ),
            format!("if {peer} is your proxy, set trusted_proxies to it; if it is not, nothing needs to be done"),
        ));
    }
    for network in config.trusted_proxies.iter().filter(|network| IpNet::prefix_len(network) == 0) {
        findings.push(Finding::problem(
            "setting trusted_proxies",
            format!("{network} is every address: anyone can claim any address, and no rate limit holds"),
            "name the addresses of your own proxies",
        ));
    }
    if findings.len() == before {
        findings.push(Finding::ok("settings", "none that is risky"));
    }
}
