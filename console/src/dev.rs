//! `weft dev`: a node with its own store in a folder, for one person on one machine.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use weft_model::clock::{SharedClock, SystemClock};
use weft_model::ids::Ids;
use weft_web::LocalToken;

use crate::example_command::write_example;
use crate::exit::{FAILED, Failure, OK};
use crate::folder::{self, AddressFile};
use crate::output::stderr;
use crate::serve::{self, HttpServer, Parts, RunningNode};
use crate::settings::{self, SettingArgs, SettingSources};
use crate::stop::StopSignals;
use crate::store;

/// The logical unit of the example, and a statement to try first.
const EXAMPLE_UNIT: &str = "AUTODATA_DELTA";
const EXAMPLE_SEED: u64 = 7;
const EXAMPLE_STATEMENT: &str = "BATCH AUTODATA_DELTA FROM idsFile USING ('select id from ids limit 100') FABRIC_COMMAND='sync_instance AUTODATA_DELTA.?';";

/// `weft dev`.
#[derive(Clone, Debug, Args)]
pub struct DevArgs {
    /// Folder for the store, the token and everything else
    #[arg(long, env = "WEFT_DIR", default_value = folder::DEFAULT_DIR, value_name = "DIR")]
    pub dir: PathBuf,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, short, env = "WEFT_PORT", default_value_t = 7420)]
    pub port: u16,
    /// Project folder to deploy at start [default: the example, if nothing is deployed]
    #[arg(long, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Ids that the example project has
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub ids: u64,
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// Runs until it is stopped.
pub async fn run(args: DevArgs) -> anyhow::Result<u8> {
    let clock: SharedClock = Arc::new(SystemClock);
    let ids = Ids::from_system();
    let sources = SettingSources {
        data: &args.dir,
        node_id: None,
        args: &args.settings,
        detected_ip: None,
        file_root: file_root(&args),
    };
    if args.settings.check {
        settings::show(&settings::read(&sources, &ids)?);
        return Ok(OK);
    }
    let mut listener = listen(args.port).await;
    if !args.dir.exists() {
        // A port in use must not leave a folder behind. For an existing folder the lock of the store gives a better
        // error, so it is taken first.
        listener = Ok(listener?);
    }
    make_private_folder(&args.dir)?;
    let loaded = settings::read(&sources, &ids)?;
    // The store comes first: its lock keeps a second process away from the rest of the folder.
    let store = Arc::new(store::open_sqlite(
        &folder::store_path(&args.dir),
        Arc::clone(&clock),
        true,
    )?);
    let token = LocalToken::load_or_create(&folder::token_path(&args.dir))?;
    let mut signals = StopSignals::listen()?;
    let server = HttpServer::start(listener?, token, Vec::new())?;
    let parts = Parts {
        store: store.clone(),
        clock,
        ids,
        loaded,
    };
    let node = server.start_node(parts).await;
    deploy(&args, &node).await?;
    store
        .set_address(&server.url)
        .context("cannot write the lock file")?;
    let _address = AddressFile::write(&args.dir, &server.url)?;
    print_welcome(
        &args.dir,
        &server.url,
        node.has_logical_unit(EXAMPLE_UNIT).await,
    );
    serve::run_until_stopped(&node, server, &mut signals).await
}

async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(FAILED, format!("cannot listen on {address}: {error}"))
            .hint("take another port with --port, 0 takes a free one")
            .into()
    })
}

/// The folder that parsers may read by default: the project, which belongs to the user that runs the node.
fn file_root(args: &DevArgs) -> Option<PathBuf> {
    match &args.project {
        Some(project) => fs::canonicalize(project).ok(),
        None => std::path::absolute(args.dir.join("example")).ok(),
    }
}

/// Deploys the project of `--project`, or the example if nothing is deployed yet.
async fn deploy(args: &DevArgs, node: &RunningNode) -> anyhow::Result<()> {
    if let Some(project) = &args.project {
        return node.deploy(project).await;
    }
    if node.has_deployment().await? {
        return Ok(());
    }
    let folder = args.dir.join("example");
    if !folder.exists() {
        write_example_atomically(&folder, args.ids)?;
    }
    node.deploy(&folder).await
}

/// Writes the example under another name first, so that an interrupted start leaves no partial example behind.
fn write_example_atomically(folder: &Path, ids: u64) -> anyhow::Result<()> {
    let part = folder.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    write_example(&part, ids, EXAMPLE_SEED)?;
    fs::rename(&part, folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn make_private_folder(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))
}

/// Prints what was started, its address, and two commands to try.
fn print_welcome(dir: &Path, url: &str, has_example: bool) {
    let flag = if dir == Path::new(folder::DEFAULT_DIR) {
        String::new()
    } else {
        format!(" --dir {}", dir.display())
    };
    stderr::notice(&format!(
        "weft {} with its own store in {}, for this machine only",
        env!("CARGO_PKG_VERSION"),
        dir.display()
    ));
    stderr::line(&format!("Listening on {url}"));
    let statement = if has_example {
        EXAMPLE_STATEMENT
    } else {
        "CLUSTERSTATUS;"
    };
    stderr::notice(&format!("  weft console{flag} -e \"{statement}\""));
    stderr::notice(&format!(
        "  weft console{flag}        for statements of your own, HELP; lists them"
    ));
}
