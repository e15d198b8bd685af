//! A TCP proxy between a node and the store that can be cut.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections while it is not cut.
#[derive(Debug)]
pub struct Proxy {
    /// The `host:port` that it listens on.
    pub address: String,
    is_open: watch::Sender<bool>,
}

impl Proxy {
    /// A proxy that forwards to this `host:port`.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn to(target: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (is_open, state) = watch::channel(true);
        let target = target.to_owned();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, target.clone(), state.clone()));
            }
        });
        Ok(Self { address, is_open })
    }

    /// Closes all connections and forwards no new ones.
    pub fn cut(&self) {
        self.is_open.send_replace(false);
    }

    /// Forwards new connections again.
    pub fn mend(&self) {
        self.is_open.send_replace(true);
    }
}

async fn pass(mut near: TcpStream, target: String, mut is_open: watch::Receiver<bool>) {
    if !*is_open.borrow_and_update() {
        return;
    }
    let Ok(mut far) = TcpStream::connect(target).await else {
        return;
    };
    tokio::select! {
        biased;
        _ = is_open.wait_for(|is_open| !is_open) => (),
        _ = copy_bidirectional(&mut near, &mut far) => (),
    }
}
