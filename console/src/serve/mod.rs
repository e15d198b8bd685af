//! A node in this process, and the HTTP server in front of it.

mod assemble;
mod call_back;
mod project;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weft_model::Principal;
use weft_web::{AllowedHost, Backend, LocalToken, Options, RunTokens};

pub use assemble::{Parts, RunningNode};

use crate::exit::{FAILED, Failure, OK};
use crate::output::stderr;
use crate::stop::StopSignals;

/// The principal of callers with the token of the node.
const PRINCIPAL: &str = "admin";

/// The HTTP server of the node. It answers before the store is open, and is ready once a node has started.
#[derive(Debug)]
pub struct HttpServer {
    /// The address of the server.
    pub url: String,
    backend: Backend,
    run_tokens: RunTokens,
    shutdown: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
}

impl HttpServer {
    /// Serves on `listener`: calls to its own address and to `allowed_hosts`.
    pub fn start(
        listener: TcpListener,
        token: LocalToken,
        allowed_hosts: Vec<AllowedHost>,
    ) -> anyhow::Result<Self> {
        let address = listener
            .local_addr()
            .context("cannot read the address of the listener")?;
        let backend = Backend::default();
        let shutdown = CancellationToken::new();
        let principal = Principal {
            name: PRINCIPAL.to_owned(),
        };
        let run_tokens = RunTokens::new();
        let options = Options {
            allowed_hosts,
            run_tokens: run_tokens.clone(),
            ..Options::new(token, principal)
        };
        // A second server in one process shares the metrics of the first.
        let _ = weft_web::install_metrics();
        let served = tokio::spawn(weft_web::serve(
            listener,
            backend.clone(),
            options,
            shutdown.clone(),
        ));
        Ok(Self {
            url: format!("http://{address}"),
            backend,
            run_tokens,
            shutdown,
            served,
        })
    }

    /// Sets the reason why there is no node yet.
    pub fn set_waiting_for(&self, reason: &str) {
        self.backend.set_waiting_for(reason);
    }

    /// Starts the node and serves it.
    pub async fn start_node(&self, parts: Parts) -> RunningNode {
        let node = assemble::start(parts, &self.url, self.run_tokens.clone()).await;
        self.backend.serve(node.statements.clone());
        node
    }

    /// Ends open answers, then stops the server.
    pub async fn close(self) {
        self.shutdown.cancel();
        match self.served.await {
            Ok(Ok(())) => (),
            Ok(Err(error)) => stderr::warning(&format!("the HTTP API has ended: {error}")),
            Err(error) => stderr::warning(&format!("the HTTP API has ended: {error}")),
        }
    }
}

/// Waits until the node ends or a signal arrives. The first signal drains the node, the second one ends it at once.
pub async fn run_until_stopped(
    node: &RunningNode,
    server: HttpServer,
    signals: &mut StopSignals,
) -> anyhow::Result<u8> {
    tokio::select! {
        biased;
        () = signals.next() => (),
        end = node.ended() => {
            server.close().await;
            let why = end.err().unwrap_or_else(|| "it was asked to leave".to_owned());
            return Err(Failure::new(FAILED, format!("the node has ended: {why}")).into());
        }
    }
    stderr::notice("Finishing running work; a second signal stops at once");
    tokio::select! {
        biased;
        () = signals.next_distinct() => {
            stderr::notice("Stopped at once; the next start resumes from here");
            return Ok(OK);
        }
        () = node.drain() => (),
    }
    tokio::select! {
        biased;
        () = signals.next_distinct() => (),
        () = server.close() => (),
    }
    stderr::notice("Stopped");
    Ok(OK)
}
