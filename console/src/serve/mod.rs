//! A node in this process, and the door that its HTTP API is.

mod assemble;
mod call_back;
mod project;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weft_engine::statement::Principal;
use weft_web::{AllowedHost, Backend, LocalToken, Options, RunTokens};

pub use assemble::{Parts, RunningNode};

use crate::exit::{FAILED, Failure, OK};
use crate::output::stderr;
use crate::stop::StopSignals;

/// Who calls with the token of this node.
const PRINCIPAL: &str = "admin";

/// The HTTP API: open before there is a store, ready once there is a node behind it.
#[derive(Debug)]
pub struct Door {
    /// Where it is.
    pub url: String,
    backend: Backend,
    run_tokens: RunTokens,
    shutdown: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
}

impl Door {
    /// Answers on `listener` from now on, to calls for its own address and for `allowed_hosts`.
    pub fn open(
        listener: TcpListener,
        token: LocalToken,
        allowed_hosts: Vec<AllowedHost>,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr().context("cannot tell the port")?;
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
        // A second door in one process shares the metrics of the first.
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

    /// Says why there is no node behind it yet.
    pub fn waiting_for(&self, reason: &str) {
        self.backend.set_waiting_for(reason);
    }

    /// Starts the node behind it.
    pub async fn start_node(&self, parts: Parts) -> RunningNode {
        let node = assemble::start(parts, &self.url, self.run_tokens.clone()).await;
        self.backend.serve(node.statements.clone());
        node
    }

    /// Ends open answers and closes.
    pub async fn close(self) {
        self.shutdown.cancel();
        match self.served.await {
            Ok(Ok(())) => (),
            Ok(Err(error)) => stderr::warning(&format!("the HTTP API has ended: {error}")),
            Err(error) => stderr::warning(&format!("the HTTP API has ended: {error}")),
        }
    }
}

/// Waits until the node ends or somebody ends it. The first signal drains, the second leaves at once.
pub async fn run_until_stopped(
    node: &RunningNode,
    door: Door,
    signals: &mut StopSignals,
) -> anyhow::Result<u8> {
    tokio::select! {
        biased;
        () = signals.next() => (),
        end = node.ended() => {
            door.close().await;
            let why = end.err().unwrap_or_else(|| "it was told to leave".to_owned());
            return Err(Failure::new(FAILED, format!("the node has ended: {why}")).into());
        }
    }
    stderr::notice("Finishing what is running; a second signal leaves at once");
    tokio::select! {
        biased;
        () = signals.another() => {
            stderr::notice("Left at once; the next start goes on from here");
            return Ok(OK);
        }
        () = node.drain() => (),
    }
    tokio::select! {
        biased;
        () = signals.another() => (),
        () = door.close() => (),
    }
    stderr::notice("Stopped");
    Ok(OK)
}
