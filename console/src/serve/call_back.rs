//! How a script calls back to the node that runs it.

use std::net::SocketAddr;

use tracing::warn;
use weft_connect::{CallBack, Grant};
use weft_model::Principal;
use weft_node::job::Run;
use weft_web::RunTokens;

use super::PRINCIPAL;

/// Grants a token for the duration of a run, as the principal that started the job.
#[derive(Debug)]
pub struct NodeCallBack {
    server: String,
    tokens: RunTokens,
}

impl NodeCallBack {
    /// Calls go to the node at `url`, which accepts `tokens`.
    pub fn new(url: &str, tokens: RunTokens) -> Self {
        Self {
            server: reachable(url),
            tokens,
        }
    }
}

impl CallBack for NodeCallBack {
    fn grant(&self, run: &Run) -> Option<Grant> {
        let name = match run.job.created_by.as_str() {
            "" => PRINCIPAL.to_owned(),
            name => name.to_owned(),
        };
        match self.tokens.grant(Principal { name }) {
            Ok(token) => Some(Grant {
                server: self.server.clone(),
                token: token.secret().clone(),
                guard: Box::new(token),
            }),
            Err(error) => {
                let uid = &run.job.key.uid;
                warn!(job.uid = uid, "No token for the run of job {uid}: {error}");
                None
            }
        }
    }
}

/// The address for a caller on this machine: loopback when the node listens on every address.
fn reachable(url: &str) -> String {
    let address = url.strip_prefix("http://").map(str::parse::<SocketAddr>);
    let Some(Ok(mut address)) = address else {
        return url.to_owned();
    };
    if address.ip().is_unspecified() {
        let loopback = match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_listens_on_every_address_is_called_by_loopback() {
        let check = |url: &str, expected: &str| assert_eq!(reachable(url), expected);
        check("http://0.0.0.0:7420", "http://127.0.0.1:7420");
        check("http://[::]:7420", "http://[::1]:7420");
        check("http://10.0.0.1:7420", "http://10.0.0.1:7420");
        check("http://127.0.0.1:7420", "http://127.0.0.1:7420");
        check("http://node.example:1", "http://node.example:1");
    }
}
