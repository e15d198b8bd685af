//! Decides which calls are let in, by host, origin and token, and sets the security headers of every answer.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use weft_model::Principal;

use crate::app::App;
use crate::host::{AllowedHost, HostPort, is_our_host, is_own_origin};
use crate::problem::{Code, Problem};

/// A connection to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    /// The address the client connected to.
    pub local: SocketAddr,
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
        // The absolute form of a request line; both names must be the same.
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

/// Whether a browser marks the call as one of a foreign page, which it does even without an Origin. Following a link
/// is not such a call.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let value = |name| headers.get(name).map(HeaderValue::as_bytes);
    let site = value(HeaderName::from_static("sec-fetch-site"));
    let mode = value(HeaderName::from_static("sec-fetch-mode"));
    matches!(site, Some(b"cross-site" | b"same-site")) && mode != Some(b"navigate")
}

/// Refuses calls of foreign pages, and calls for foreign hosts.
pub(crate) async fn guard_source(State(app): State<App>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>().copied();
    let checked = match connection {
        Some(connection) => check_source(&request, connection.local, &app.options.allowed_hosts),
        None => Err(Problem::new(Code::Internal)),
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Refuses calls without a valid token and gives the principal to the handlers.
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
            Some(_) => "the token is not valid on this node",
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
    match app.options.token.matches(presented) {
        true => Some(app.options.principal.clone()),
        false => app.options.run_tokens.principal(presented),
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
mod tests {
    use super::*;

    #[test]
    fn the_scheme_bearer_is_read_in_any_case() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc"), Some("abc"));
        for bad in ["abc", "Basic abc", "Bearerabc", ""] {
            assert_eq!(bearer(bad), None, "{bad}");
        }
    }
}
