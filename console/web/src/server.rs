//! The server: connections with their limits, and an end that leaves nobody hanging.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
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

use crate::api::{Api, Principal};
use crate::problem::{Code, Problem};
use crate::run_tokens::RunTokens;
use crate::security::{AllowedHost, Connection, authenticate, guard_source};
use crate::token::LocalToken;
use crate::{openapi, request};

const MAX_BODY_BYTES: usize = 1_024 * 1_024;
const MAX_HEADER_BYTES: usize = 32 * 1_024;
/// After a failed accept (no file handles left), before the next one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// What callers must show.
    pub token: LocalToken,
    /// Who they are then.
    pub principal: Principal,
    /// What scripts show instead, and who they are.
    pub run_tokens: RunTokens,
    /// Further names of this server, e.g. behind a proxy.
    pub allowed_hosts: Vec<AllowedHost>,
    /// The longest wait for the head of a request.
    pub header_timeout: Duration,
    /// The longest wait for the head of an answer; frames of a statement are not limited.
    pub request_timeout: Duration,
    /// After so much silence an answer to a statement gets an empty line, so that a lost connection is noticed.
    pub heartbeat_interval: Duration,
    /// How long open requests may take after the shutdown has begun.
    pub shutdown_timeout: Duration,
    /// At most so many connections at once; further ones wait.
    pub max_connections: usize,
    /// At most so many statements at once; further ones are refused.
    pub max_statements: usize,
}

impl Options {
    /// The usual limits.
    pub fn new(token: LocalToken, principal: Principal) -> Self {
        Self {
            token,
            principal,
            run_tokens: RunTokens::new(),
            allowed_hosts: Vec::new(),
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            heartbeat_interval: Duration::from_secs(15),
            shutdown_timeout: Duration::from_secs(10),
            max_connections: 4_096,
            max_statements: 100,
        }
    }
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub api: Arc<dyn Api>,
    pub token: LocalToken,
    pub principal: Principal,
    pub run_tokens: RunTokens,
    pub allowed_hosts: Vec<AllowedHost>,
    pub request_timeout: Duration,
    pub heartbeat_interval: Duration,
    pub shutdown: CancellationToken,
    pub tasks: TaskTracker,
    pub document: Arc<str>,
    statements: Arc<Semaphore>,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The right to run one statement; given back when both its work and its answer have ended.
pub(crate) struct StatementSlot(
    #[allow(dead_code, reason = "held, not read")] OwnedSemaphorePermit,
);

impl StatementSlot {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        metrics::gauge!("http_statements").increment(1.0);
        Self(permit)
    }
}

impl Drop for StatementSlot {
    fn drop(&mut self) {
        metrics::gauge!("http_statements").decrement(1.0);
    }
}

impl Shared {
    /// None where too many statements run already.
    pub fn statement_slot(&self) -> Option<Arc<StatementSlot>> {
        let permit = Arc::clone(&self.statements).try_acquire_owned().ok()?;
        Some(Arc::new(StatementSlot::new(permit)))
    }
}

/// Answers on `listener` until `shutdown`, then ends streams with a notice and waits for open requests; those that
/// take longer than `shutdown_timeout` are cut off.
///
/// Check the address with [`check_bind`](crate::check_bind) before listening.
///
/// # Errors
/// If the document of the API cannot be written, which a test excludes.
pub async fn serve(
    listener: TcpListener,
    api: Arc<dyn Api>,
    options: Options,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let (open, protected, document) = openapi::routers();
    let app = App(Arc::new(Shared {
        api,
        token: options.token,
        principal: options.principal,
        run_tokens: options.run_tokens,
        allowed_hosts: options.allowed_hosts,
        request_timeout: options.request_timeout,
        heartbeat_interval: options.heartbeat_interval,
        shutdown: shutdown.clone(),
        tasks: TaskTracker::new(),
        document: document.to_json().map_err(io::Error::other)?.into(),
        statements: Arc::new(Semaphore::new(options.max_statements)),
    }));
    let server = Server {
        router: assemble(open, protected, app.clone()),
        tasks: app.tasks.clone(),
        header_timeout: options.header_timeout,
        shutdown: shutdown.clone(),
        cut_off: CancellationToken::new(),
    };
    // However this ends, dropped included, no connection outlives it.
    let _cut_off = server.cut_off.clone().drop_guard();
    app.tasks.spawn(keep_up_metrics(shutdown));
    server
        .accept(listener, Arc::new(Semaphore::new(options.max_connections)))
        .await;
    app.tasks.close();
    if tokio::time::timeout(options.shutdown_timeout, app.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            "{} HTTP connections or statements had not ended in time",
            app.tasks.len()
        );
    }
    Ok(())
}

/// From the inside out: handlers, the token, host and origin, what surrounds every request.
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
    async fn accept(&self, listener: TcpListener, places: Arc<Semaphore>) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                accepted = accept_one(&listener, &places) => accepted,
            };
            match accepted {
                Ok((stream, place)) => self.start(stream, place),
                Err(error) => {
                    tracing::warn!("Cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn start(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Gone before it began.
        let Ok(local) = stream.local_addr() else {
            return;
        };
        // Frames are small and shall not wait for company.
        let _ = stream.set_nodelay(true);
        let connection = self.connection(stream, local);
        let cut_off = self.cut_off.clone();
        self.tasks.spawn(async move {
            // Cut off even where the client reads nothing and the last write never ends.
            let _ = cut_off.run_until_cancelled(connection).await;
            drop(place);
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
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}
