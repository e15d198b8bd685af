//! The hosts that jobs may call: HTTP_ALLOWED_HOSTS.

use std::net::IpAddr;

use reqwest::Url;

/// The allowed hosts, by name or address.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowedHosts(Vec<Host>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    name: Name,
    /// None allows every port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Address(IpAddr),
    Text(String),
}

impl AllowedHosts {
    /// Reads hosts that the configuration has validated.
    pub(crate) fn new(written: &[String]) -> Self {
        Self(written.iter().map(|written| Host::parse(written)).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the host and the port of a URL are allowed.
    pub(crate) fn allows(&self, url: &Url) -> bool {
        let Some(name) = url.host_str().map(Name::parse) else {
            return false;
        };
        let port = url.port_or_known_default();
        let matches = |host: &Host| host.name == name && (host.port.is_none() || host.port == port);
        self.0.iter().any(matches)
    }
}

impl Host {
    fn parse(written: &str) -> Self {
        let whole = |name| Self {
            name: Name::parse(name),
            port: None,
        };
        // The colons of a bare IPv6 address do not separate a port.
        if written.parse::<IpAddr>().is_ok() {
            return whole(written);
        }
        match written
            .rsplit_once(':')
            .map(|(name, port)| (name, port.parse()))
        {
            Some((name, Ok(port))) => Self {
                name: Name::parse(name),
                port: Some(port),
            },
            Some((_, Err(_))) | None => whole(written),
        }
    }
}

impl Name {
    fn parse(text: &str) -> Self {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => Self::Address(address.to_canonical()),
            Err(_) => Self::Text(bare.trim_end_matches('.').to_ascii_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_hosts_are_allowed() {
        let hosts = [
            "api.example.com",
            "Other.Example:8443",
            "10.0.0.1:80",
            "::1",
            "[fe80::1]:90",
        ];
        let hosts = AllowedHosts::new(&hosts.map(str::to_owned));
        let check = |url: &str, expected: bool| {
            assert_eq!(hosts.allows(&Url::parse(url).unwrap()), expected, "{url}");
        };
        for url in [
            "http://api.example.com/x",
            "http://API.example.com:81",
            "http://api.example.com./",
            "https://other.example:8443",
            "http://10.0.0.1/",
            "http://10.0.0.1:80/",
            "http://0x0a.1/",
            "http://[::1]:5/",
            "http://[fe80:0::1]:90/",
        ] {
            check(url, true);
        }
        for url in [
            "http://example.com/",
            "http://api.example.com.evil.example/",
            "http://xapi.example.com/",
            "http://other.example/",
            "http://10.0.0.1:81/",
            "http://10.0.0.2/",
            "http://[fe80::1]/",
            "http://api.example.com@evil.example/",
            "data:text/plain,x",
        ] {
            check(url, false);
        }
        assert!(!AllowedHosts::default().allows(&Url::parse("http://localhost").unwrap()));
    }
}
