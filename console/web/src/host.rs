//! Which hosts and origins belong to this server.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::uri::Authority;

/// A name that callers may use for this server, e.g. `weft.example.com` or `localhost:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    host: String,
    port: Option<u16>,
}

impl FromStr for AllowedHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        HostPort::parse(text)
            .map(|HostPort { host, port }| Self { host, port })
            .ok_or_else(|| format!("`{text}` is not a host name, with or without a port"))
    }
}

/// The host of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    host: String,
    port: Option<u16>,
}

impl HostPort {
    pub fn parse(text: &str) -> Option<Self> {
        let authority = Authority::from_str(text).ok()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host();
        // Whatever follows the host must be a valid port, which `host:` and `host:99999` lack.
        let port = authority.port_u16();
        if port.is_none() && authority.as_str().len() != host.len() {
            return None;
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        (!host.is_empty()).then_some(Self { host, port })
    }

    fn address(&self) -> Option<IpAddr> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>()
            .ok()
            .map(|address| address.to_canonical())
    }
}

/// Whether a call to `host` that arrived at `local` was meant for this server. After DNS rebinding a hostile page
/// reaches this address, but its calls still carry the name of the page, which is refused here.
pub(crate) fn is_our_host(host: &HostPort, local: SocketAddr, names: &[AllowedHost]) -> bool {
    let port = host.port.unwrap_or(80);
    let here = local.ip().to_canonical();
    let loopback =
        host.host == "localhost" || host.address().is_some_and(|address| address.is_loopback());
    // A server that other machines reach may be behind a mapped port: 8080 in a container is 8081 outside.
    if loopback && (port == local.port() || !here.is_loopback()) {
        return true;
    }
    if host.address() == Some(here) && port == local.port() {
        return true;
    }
    names.iter().any(|name| {
        let port_fits = match name.port {
            Some(expected) => host
                .port
                .map_or(expected == 80 || expected == 443, |port| port == expected),
            None => host.port.is_none_or(|port| port == local.port()),
        };
        name.host == host.host && port_fits
    })
}

/// Whether a page of `origin` belongs to the server that `host` names.
pub(crate) fn is_own_origin(origin: &str, host: &HostPort) -> bool {
    let (rest, default_port) = match origin.split_once("://") {
        Some(("http", rest)) => (rest, 80),
        Some(("https", rest)) => (rest, 443),
        _ => return false,
    };
    let Some(page) = HostPort::parse(rest) else {
        return false;
    };
    page.host == host.host && page.port.unwrap_or(default_port) == host.port.unwrap_or(default_port)
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
