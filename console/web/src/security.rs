//! Who may call: the origin of a page, the host that was meant, the token.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::Principal;
use crate::problem::{Code, Problem};
use crate::server::App;

/// Where a connection arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    /// The address the client connected to.
    pub local: SocketAddr,
}

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
            .ok_or_else(|| format!("`{text}` is not a host name with or without a port"))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct HostPort {
    host: String,
    port: Option<u16>,
}

impl HostPort {
    fn parse(text: &str) -> Option<Self> {
        let authority = Authority::from_str(text).ok()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host();
        // What is behind the host must be a port: `host:` and `host:99999` have none that can be read.
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

/// Whether a call to `host` that arrived at `local` was meant for us. A page that a hostile name server leads here
/// (DNS rebinding) still sends that page's own name, and is refused by it.
fn is_our_host(host: &HostPort, local: SocketAddr, names: &[AllowedHost]) -> bool {
    let port = host.port.unwrap_or(80);
    let here = local.ip().to_canonical();
    let loopback =
        host.host == "localhost" || host.address().is_some_and(|address| address.is_loopback());
    // A server that other machines reach may sit behind a mapped port: a container's 8080 is 8081 outside.
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
fn is_own_origin(origin: &str, host: &HostPort) -> bool {
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

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

fn check_source(
    request: &Request,
    local: SocketAddr,
    names: &[AllowedHost],
) -> Result<(), Problem> {
    let headers = request.headers();
    let host = match (request.uri().authority(), single(headers, &header::HOST)) {
        (None, Ok(Some(host))) => HostPort::parse(host),
        // The absolute form of a request line; both must say the same.
        (Some(authority), Ok(Some(host))) => HostPort::parse(host)
            .filter(|host| HostPort::parse(authority.as_str()).as_ref() == Some(host)),
        _ => None,
    };
    let foreign = match single(headers, &header::ORIGIN) {
        Ok(None) => is_cross_site(headers),
        Ok(Some(origin)) => !host
            .as_ref()
            .is_some_and(|host| is_own_origin(origin, host)),
        Err(()) => true,
    };
    if foreign {
        return Err(Problem::new(Code::ForeignOrigin));
    }
    let Some(host) = host else {
        return Err(Problem::new(Code::BadRequest).detail("the request needs exactly one Host"));
    };
    if is_our_host(&host, local, names) {
        return Ok(());
    }
    Err(Problem::new(Code::WrongHost)
        .detail("the Host of the request is not a name of this server")
        .hint("call it by the address it listens on, or start the node with --allow-host NAME"))
}

/// Browsers say so even where they send no Origin. Following a link is no call of a foreign page.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let value = |name| headers.get(name).map(HeaderValue::as_bytes);
    let site = value(HeaderName::from_static("sec-fetch-site"));
    let mode = value(HeaderName::from_static("sec-fetch-mode"));
    matches!(site, Some(b"cross-site" | b"same-site")) && mode != Some(b"navigate")
}

/// Refuses calls of foreign pages and for foreign hosts.
pub(crate) async fn guard_source(State(app): State<App>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>().copied();
    let checked = match connection {
        Some(connection) => check_source(&request, connection.local, &app.allowed_hosts),
        None => Err(Problem::new(Code::Internal)),
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Refuses calls without the token, and says to the handlers who calls.
pub(crate) async fn authenticate(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response {
    let presented = single(request.headers(), &header::AUTHORIZATION)
        .ok()
        .flatten()
        .and_then(bearer);
    let Some(principal) = presented.and_then(|presented| principal_of(&app, presented)) else {
        metrics::counter!("auth_failures_total").increment(1);
        let detail = match presented {
            Some(_) => "the token is not the one of this node",
            None => "the call needs the header `Authorization: Bearer <token>`",
        };
        return Problem::new(Code::Unauthorized)
            .detail(detail)
            .into_response();
    };
    request.headers_mut().remove(header::AUTHORIZATION);
    request.extensions_mut().insert::<Principal>(principal);
    next.run(request).await
}

fn principal_of(app: &App, presented: &str) -> Option<Principal> {
    match app.token.matches(presented) {
        true => Some(app.principal.clone()),
        false => app.run_tokens.principal(presented),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Headers of every answer. There are no CORS headers: no other origin may read anything.
pub(crate) fn set_security_headers(headers: &mut HeaderMap) {
    const POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
#[path = "security_tests.rs"]
mod tests;
