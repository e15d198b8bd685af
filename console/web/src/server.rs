//! The server: connections with their limits, and a shutdown that ends every answer.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::app::App;
use crate::backend::Backend;
use crate::options::Options;
use crate::problem::{Code, Problem};
use crate::security::{Connection, authenticate, guard_source};
use crate::{openapi, request};

const MAX_BODY_BYTES: usize = 1_024 * 1_024;
const MAX_HEADER_BYTES: usize = 32 * 1_024;
/// The pause after a failed accept, e.g. without free file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Answers on `listener` until `shutdown`. Then it ends streams with a notice and waits for open requests; those that
/// take longer than `shutdown_timeout` are cut off.
///
/// Check the address with [`check_bind`](crate::check_bind) before listening.
///
/// # Errors
/// The document of the API cannot be written, which a test excludes.
pub async fn serve(
    listener: TcpListener,
    backend: Backend,
    options: Options,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let (open, protected, document) = openapi::routers();
    let document = document.to_json().map_err(io::Error::other)?;
    let app = App::new(backend, options, document, shutdown.clone());
    let options = &app.options;
    let server = Server {
        router: assemble(open, protected, app.clone()),
        tasks: app.tasks.clone(),
        header_timeout: options.header_timeout,
        shutdown: shutdown.clone(),
        cut_off: CancellationToken::new(),
    };
    // No connection outlives this function, even when its future is dropped.
    let _cut_off = server.cut_off.clone().drop_guard();
    app.tasks.spawn(keep_up_metrics(shutdown));
    let slots = Arc::new(Semaphore::new(options.max_connections));
    server.accept(listener, slots).await;
    app.tasks.close();
    let ended = tokio::time::timeout(options.shutdown_timeout, app.tasks.wait());
    if ended.await.is_err() {
        tracing::warn!(
            "{} HTTP connections or statements had not ended in time",
            app.tasks.len()
        );
    }
    Ok(())
}

/// The layers from the inside out: handlers, token, host and origin, tracking of every request.
fn assemble(open: Router<App>, protected: Router<App>, app: App) -> Router {
    let protected = protected
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(no_such_route)
        .layer(middleware::from_fn_with_state(app.clone(), authenticate));
    open.method_not_allowed_fallback(method_not_allowed)
        .merge(protected)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(app.clone(), guard_source))
        .layer(middleware::from_fn_with_state(app.clone(), request::track))
        .with_state(app)
}

async fn no_such_route() -> Problem {
    Problem::new(Code::NoSuchRoute)
}

async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed)
}

async fn keep_up_metrics(shutdown: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(METRICS_UPKEEP_INTERVAL) => {}
        }
        if let Some(handle) = crate::metrics::handle() {
            handle.run_upkeep();
        }
    }
}

struct Server {
    router: Router,
    tasks: TaskTracker,
    header_timeout: Duration,
    shutdown: CancellationToken,
    cut_off: CancellationToken,
}

impl Server {
    async fn accept(&self, listener: TcpListener, slots: Arc<Semaphore>) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                accepted = accept_one(&listener, &slots) => accepted,
            };
            match accepted {
                Ok((stream, slot)) => self.start(stream, slot),
                Err(error) => {
                    tracing::warn!("Cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn start(&self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        // The client has gone already.
        let Ok(local) = stream.local_addr() else {
            return;
        };
        // Frames are small and must not wait to fill a packet.
        let _ = stream.set_nodelay(true);
        let connection = self.connection(stream, local);
        let cut_off = self.cut_off.clone();
        self.tasks.spawn(async move {
            // Cuts off a client that reads nothing, whose last write would never end.
            let _ = cut_off.run_until_cancelled(connection).await;
            drop(slot);
        });
    }

    fn connection(&self, stream: TcpStream, local: SocketAddr) -> impl Future<Output = ()> + use<> {
        let router = self.router.clone();
        let shutdown = self.shutdown.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Connection { local });
            answer(router.clone(), request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_header_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
                ended = connection.as_mut() => ended,
            };
            if let Err(error) = ended {
                tracing::debug!("A connection broke off: {error}");
            }
        }
    }
}

async fn answer(
    router: Router,
    request: hyper::Request<Body>,
) -> Result<axum::response::Response, Infallible> {
    router.oneshot(request).await
}

async fn accept_one(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await;
    let slot = slot.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}
