//! The addresses that a server may listen on.

use std::net::SocketAddr;

/// A server may not listen on this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to listen on {address}: other machines could reach it, and no token was set explicitly\n\
     hint: listen on 127.0.0.1, or set WEFT_TOKEN or --token-file to a secret that the callers share"
)]
pub struct BindRefused {
    /// The refused address.
    pub address: SocketAddr,
}

/// Allows loopback addresses, and others only if a token was set explicitly.
///
/// # Errors
/// [`BindRefused`] with the next step in its text.
pub fn check_bind(address: SocketAddr, has_explicit_token: bool) -> Result<(), BindRefused> {
    if address.ip().to_canonical().is_loopback() || has_explicit_token {
        return Ok(());
    }
    Err(BindRefused { address })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, is_explicit: bool, expected: bool) {
        let address: SocketAddr = address.parse().unwrap();
        assert_eq!(
            check_bind(address, is_explicit).is_ok(),
            expected,
            "{address}"
        );
    }

    #[test]
    fn only_loopback_needs_no_explicit_token() {
        check("127.0.0.1:0", false, true);
        check("127.9.9.9:80", false, true);
        check("[::1]:80", false, true);
        check("[::ffff:127.0.0.1]:80", false, true);
        for other in [
            "0.0.0.0:80",
            "[::]:80",
            "10.0.0.1:80",
            "[::ffff:0.0.0.0]:80",
            "[fe80::1]:80",
        ] {
            check(other, false, false);
            check(other, true, true);
        }
    }

    #[test]
    fn the_refusal_says_what_to_do() {
        let refused = check_bind("0.0.0.0:80".parse().unwrap(), false).unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains("WEFT_TOKEN")
                && text.contains("--token-file")
                && text.contains("127.0.0.1")
        );
    }
}
