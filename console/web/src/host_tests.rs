//! Tests of hosts and origins, by literals.

use super::*;

fn host_passes(local: &str, names: &[&str], host: &str) -> bool {
    let names: Vec<AllowedHost> = names.iter().map(|name| name.parse().unwrap()).collect();
    HostPort::parse(host).is_some_and(|host| is_our_host(&host, local.parse().unwrap(), &names))
}

#[test]
fn a_loopback_server_answers_for_loopback_names_with_its_port() {
    for host in [
        "127.0.0.1:7001",
        "localhost:7001",
        "LOCALHOST:7001",
        "localhost.:7001",
        "[::1]:7001",
        "127.0.0.2:7001",
    ] {
        assert!(host_passes("127.0.0.1:7001", &[], host), "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:7001",
        "localhost",
        "localhost:7002",
        "127.0.0.1",
        "127.0.0.1:80",
        "localhost.evil.example:7001",
        "127.0.0.1.evil.example:7001",
        "10.0.0.1:7001",
        "user@localhost:7001",
        "localhost:",
        "localhost:99999",
        "",
        ":7001",
        "0.0.0.0:7001",
        "2130706433:7001",
        "[::]:7001",
    ] {
        assert!(!host_passes("127.0.0.1:7001", &[], host), "{host}");
    }
}

#[test]
fn a_server_on_port_80_needs_no_port() {
    assert!(host_passes("127.0.0.1:80", &[], "localhost"));
}

#[test]
fn a_server_that_others_reach_answers_for_its_address_and_mapped_loopback_ports() {
    for host in [
        "172.17.0.2:8080",
        "localhost:8081",
        "127.0.0.1:8081",
        "127.0.0.1:8080",
    ] {
        assert!(host_passes("172.17.0.2:8080", &[], host), "{host}");
    }
    for host in ["172.17.0.3:8080", "172.17.0.2:8081", "evil.example:8080"] {
        assert!(!host_passes("172.17.0.2:8080", &[], host), "{host}");
    }
    assert!(host_passes(
        "[::ffff:172.17.0.2]:8080",
        &[],
        "172.17.0.2:8080"
    ));
}

#[test]
fn configured_names_pass() {
    let names = ["weft.example", "other.example:8443", "secure.example:443"];
    for host in [
        "weft.example",
        "Weft.Example:7001",
        "other.example:8443",
        "secure.example",
    ] {
        assert!(host_passes("127.0.0.1:7001", &names, host), "{host}");
    }
    for host in [
        "weft.example:81",
        "other.example",
        "other.example:7001",
        "secure.example:7001",
        "x.weft.example",
    ] {
        assert!(!host_passes("127.0.0.1:7001", &names, host), "{host}");
    }
    assert!("a b".parse::<AllowedHost>().is_err());
}

#[test]
fn only_the_page_of_the_same_host_and_port_is_own() {
    let own = |origin: &str, host: &str| is_own_origin(origin, &HostPort::parse(host).unwrap());
    assert!(own("http://localhost:7001", "localhost:7001"));
    assert!(own("http://localhost", "localhost"));
    assert!(own("http://localhost", "localhost:80"));
    assert!(own("https://weft.example", "weft.example"));
    assert!(own("https://weft.example", "weft.example:443"));
    for origin in [
        "null",
        "",
        "http://localhost:7002",
        "http://127.0.0.1:7001",
        "https://localhost",
        "file://localhost:7001",
        "http://evil.example",
        "http://localhost:7001.evil.example",
        "http://a@localhost:7001",
        "localhost:7001",
    ] {
        assert!(!own(origin, "localhost:7001"), "{origin}");
    }
}
