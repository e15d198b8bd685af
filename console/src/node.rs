//! `weft node`: a node of a cluster.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use weft_cql::{CassandraOptions, CassandraStore};
use weft_model::clock::{SharedClock, SystemClock};
use weft_model::ids::Ids;
use weft_node::config::Loaded;
use weft_store::{SharedStore, StoreError};
use weft_web::{AllowedHost, LocalToken, check_bind};

use crate::exit::{FAILED, Failure, OK};
use crate::folder::{self, AddressFile};
use crate::output::stderr;
use crate::schema;
use crate::serve::{self, HttpServer, Parts};
use crate::settings::{self, SettingArgs, SettingSources};
use crate::stop::StopSignals;
use crate::store::{self, CassandraAddress, StoreAddress, StoreArgs};

/// The pause between attempts to reach a store that is down.
const RETRY_PAUSE: Duration = Duration::from_secs(3);

/// `weft node`.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// Folder for node.id, projects and scratch files
    #[arg(long, env = "WEFT_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// File with the identity of the node [default: node.id in the data folder, made if absent]
    #[arg(long, env = "WEFT_NODE_ID", value_name = "FILE")]
    pub node_id: Option<PathBuf>,
    /// Address of the HTTP API
    #[arg(
        long,
        env = "WEFT_LISTEN",
        default_value = "127.0.0.1:7420",
        value_name = "ADDR:PORT"
    )]
    pub listen: SocketAddr,
    /// Further host name of the node, e.g. behind a proxy; may be given several times
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_host: Vec<AllowedHost>,
    /// File with the token that callers must send; WEFT_TOKEN may hold the token itself
    #[arg(long, env = "WEFT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// Runs until it is stopped.
pub async fn run(args: NodeArgs) -> anyhow::Result<u8> {
    let mut address = store::parse(&args.store.store)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let ids = Ids::from_system();
    let sources = SettingSources {
        data: &args.data,
        node_id: args.node_id.as_deref(),
        args: &args.settings,
        detected_ip: detected_ip(&address),
        file_root: None,
    };
    let mut loaded = settings::read(&sources, &ids)?;
    join_cluster_id(&mut address, &mut loaded)?;
    let token = token(&args)?;
    check_bind(args.listen, token.is_explicit)
        .map_err(|error| Failure::usage(error.to_string()))?;
    if args.settings.check {
        settings::show(&loaded);
        return Ok(OK);
    }

    let _folder = lock_folder(&args.data)?;
    let mut signals = StopSignals::listen()?;
    let server = HttpServer::start(
        listen(args.listen).await?,
        token.token,
        args.allow_host.clone(),
    )?;
    let opened = tokio::select! {
        biased;
        () = signals.next() => None,
        opened = open(&address, clock.clone(), &server) => Some(opened?),
    };
    let Some(store) = opened else {
        server.close().await;
        return Ok(OK);
    };
    let parts = Parts {
        store,
        clock,
        ids,
        loaded,
    };
    let node = server.start_node(parts).await;
    let _address = AddressFile::write(&args.data, &server.url)?;
    stderr::line(&format!("Listening on {}", server.url));
    serve::run_until_stopped(&node, server, &mut signals).await
}

/// Locks the data folder, which holds the identity, the token and the address of one node. The lock ends with the
/// process.
fn lock_folder(data: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
    let path = data.join("node.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("another weft node uses {}", data.display());
            Err(Failure::new(FAILED, message)
                .hint("give each node a folder of its own with --data")
                .into())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// The address of this machine towards the cluster, which other nodes do not share, unlike 127.0.0.1.
fn detected_ip(address: &StoreAddress) -> Option<String> {
    match address {
        StoreAddress::Sqlite(_) => None,
        StoreAddress::Cassandra(cassandra) => cassandra
            .hosts
            .first()
            .and_then(|host| settings::address_towards(host)),
    }
}

/// Makes `cluster_id` of node.id and `cluster=` of the address the same.
///
/// # Errors
/// Both are given and differ.
fn join_cluster_id(address: &mut StoreAddress, loaded: &mut Loaded) -> Result<(), Failure> {
    let StoreAddress::Cassandra(cassandra) = address else {
        return Ok(());
    };
    match (&cassandra.cluster_id, &loaded.cluster_id) {
        (Some(one), Some(other)) if one != other => Err(Failure::usage(format!(
            "the store's address has cluster={one}, node.id has cluster_id: {other}"
        ))),
        (Some(id), _) => {
            loaded.cluster_id = Some(id.clone());
            Ok(())
        }
        (None, id) => {
            cassandra.cluster_id.clone_from(id);
            Ok(())
        }
    }
}

struct Token {
    token: LocalToken,
    is_explicit: bool,
}

/// The token of `--token-file`, of WEFT_TOKEN, or of the data folder, where the first start makes one.
fn token(args: &NodeArgs) -> anyhow::Result<Token> {
    let explicit = match &args.token_file {
        Some(file) => Some(LocalToken::from_file(file).map_err(usage)?),
        None => LocalToken::from_env().map_err(usage)?,
    };
    let is_explicit = explicit.is_some();
    let token = match explicit {
        Some(token) => token,
        // A check must not make a file, and any token will do for it.
        None if args.settings.check => LocalToken::from_text("0123456789abcdef", "check")?,
        None => LocalToken::load_or_create(&folder::token_path(&args.data)).map_err(usage)?,
    };
    Ok(Token { token, is_explicit })
}

fn usage(error: weft_web::TokenError) -> Failure {
    let mut message = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        message = format!("{message}: {source}");
    }
    Failure::usage(message)
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(FAILED, format!("cannot listen on {address}: {error}"))
            .hint("name another address with --listen")
            .into()
    })
}

/// Opens the store: waits while it is down, and refuses one without the schema of this version.
async fn open(
    address: &StoreAddress,
    clock: SharedClock,
    server: &HttpServer,
) -> anyhow::Result<SharedStore> {
    let store: SharedStore = match address {
        StoreAddress::Sqlite(path) => {
            // Opening would make the file, but only `weft schema` and `weft dev` make stores.
            store::read_sqlite(path, Arc::clone(&clock))?;
            let store = store::open_sqlite(path, clock, false)?;
            store
                .set_address(&server.url)
                .context("cannot write the lock file")?;
            Arc::new(store)
        }
        StoreAddress::Cassandra(cassandra) => {
            connect(cassandra, store::options_of(cassandra)?, address, server).await?
        }
    };
    let mut wait = Wait::new(address, server);
    loop {
        match store.schema_version().await {
            Ok(found) => {
                return match schema::check(found, address) {
                    None => Ok(store),
                    Some(failure) => Err(failure.into()),
                };
            }
            Err(error) if error.is_transient() => wait.pause(&error).await,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn connect(
    cassandra: &CassandraAddress,
    options: CassandraOptions,
    address: &StoreAddress,
    server: &HttpServer,
) -> anyhow::Result<SharedStore> {
    let mut wait = Wait::new(address, server);
    loop {
        match store::connect(options.clone()).await {
            Ok(store) => {
                log_commit_logs(&store).await;
                return Ok(Arc::new(store));
            }
            Err(error) if error.is_transient() => wait.pause(&error).await,
            Err(StoreError::Schema(_)) => {
                let found = store::inspect(cassandra).await?.schema_version;
                let failure = schema::check(found, address).unwrap_or_else(|| {
                    Failure::new(FAILED, "the store's tables are not complete")
                        .hint(format!("run `weft schema migrate --store '{address}'`"))
                });
                return Err(failure.into());
            }
            Err(error) => return Err(store::failure(error, cassandra).into()),
        }
    }
}

/// Says of each server when an acknowledged write is on its disk.
async fn log_commit_logs(store: &CassandraStore) {
    for (server, sync) in store.commit_logs().await {
        match sync.as_deref() {
            Some(sync @ ("group" | "batch")) => {
                tracing::info!(server, "Server {server} has commitlog_sync {sync}");
            }
            Some(sync) => tracing::warn!(
                server,
                "Server {server} has commitlog_sync {sync}: a crash loses its last acknowledged writes, `group` and \
                 `batch` keep them"
            ),
            // ScyllaDB has no such setting; a server that is down is logged when it is needed.
            None => (),
        }
    }
}

/// Waits for a store that is down, and reports why.
struct Wait<'a> {
    address: &'a StoreAddress,
    server: &'a HttpServer,
    attempts: u32,
}

impl<'a> Wait<'a> {
    fn new(address: &'a StoreAddress, server: &'a HttpServer) -> Self {
        Self {
            address,
            server,
            attempts: 0,
        }
    }

    async fn pause(&mut self, error: &StoreError) {
        self.attempts += 1;
        self.server.set_waiting_for(&error.to_string());
        tracing::warn!(
            store.attempts = self.attempts,
            "The store {} does not answer, trying again in {} s: {error}",
            self.address,
            RETRY_PAUSE.as_secs()
        );
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}
