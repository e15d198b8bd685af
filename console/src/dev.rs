//! `weft dev`: a node with a store of its own in a folder, ready for a person in front of it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use weft_model::clock::{SharedClock, SystemClock};
use weft_model::ids::Ids;
use weft_web::LocalToken;

use crate::cli::DevArgs;
use crate::exit::{FAILED, Failure, OK};
use crate::output::tell;
use crate::serve::{self, AddressFile, Door, Parts, RunningNode};
use crate::server::TOKEN_FILE;
use crate::settings::{self, Places};
use crate::stop::StopSignals;
use crate::{project, store};

const STORE_FILE: &str = "weft.db";

/// The logical unit of the example, and the first thing to do with it.
const EXAMPLE_UNIT: &str = "AUTODATA_DELTA";
const EXAMPLE_SEED: u64 = 7;
const EXAMPLE_STATEMENT: &str = "BATCH AUTODATA_DELTA FROM idsFile USING ('select id from ids limit 100') FABRIC_COMMAND='sync_instance AUTODATA_DELTA.?';";

/// The store in a folder of `weft dev`.
pub fn store_path(dir: &Path) -> PathBuf {
    dir.join(STORE_FILE)
}

/// Runs until somebody stops it.
pub async fn run(args: DevArgs) -> anyhow::Result<u8> {
    let clock: SharedClock = Arc::new(SystemClock);
    let ids = Ids::from_system();
    let places = Places {
        data: &args.dir,
        node_id: None,
        args: &args.settings,
        detected_ip: None,
        file_root: file_root(&args),
    };
    if args.settings.check {
        settings::show(&settings::read(&places, &ids)?);
        return Ok(OK);
    }
    let mut listener = listen(args.port).await;
    if !args.dir.exists() {
        // A port that is taken leaves no folder behind. In one that is there, its lock may say more.
        listener = Ok(listener?);
    }
    make_private_folder(&args.dir)?;
    let loaded = settings::read(&places, &ids)?;
    // First of all the store: its lock is what keeps a second process away from everything else here.
    let store = Arc::new(store::open_sqlite(
        &store_path(&args.dir),
        Arc::clone(&clock),
        true,
    )?);
    let token = LocalToken::load_or_create(&args.dir.join(TOKEN_FILE))?;
    let mut signals = StopSignals::listen()?;
    let door = Door::open(listener?, token, Vec::new())?;
    let parts = Parts {
        store: store.clone(),
        clock,
        ids,
        loaded,
    };
    let node = door.start_node(parts).await;
    deploy(&args, &node).await?;
    store
        .set_address(&door.url)
        .context("cannot write the lock file")?;
    let _address = AddressFile::write(&args.dir, &door.url)?;
    introduce(
        &args.dir,
        &door.url,
        node.has_logical_unit(EXAMPLE_UNIT).await,
    );
    serve::run_until_stopped(&node, door, &mut signals).await
}

async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(FAILED, format!("cannot listen on {address}: {error}"))
            .hint("take another port with --port, 0 takes a free one")
            .into()
    })
}

/// Parsers may read what lies next to the project: whoever runs this has named its folder, and everything here is his.
fn file_root(args: &DevArgs) -> Option<PathBuf> {
    match &args.project {
        Some(project) => fs::canonicalize(project).ok(),
        None => std::path::absolute(args.dir.join("example")).ok(),
    }
}

/// Deploys the project that was named, or the example where nothing is deployed yet.
async fn deploy(args: &DevArgs, node: &RunningNode) -> anyhow::Result<()> {
    if let Some(project) = &args.project {
        return node.deploy(project).await;
    }
    if node.has_deployment().await? {
        return Ok(());
    }
    let folder = args.dir.join("example");
    if !folder.exists() {
        write_example(&folder, args.ids)?;
    }
    node.deploy(&folder).await
}

/// Written aside first: a start that was cut short leaves no half example behind.
fn write_example(folder: &Path, ids: u64) -> anyhow::Result<()> {
    let part = folder.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    project::write_example(&part, ids, EXAMPLE_SEED)?;
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

/// What it is, that it is ready, and two things to do next.
fn introduce(dir: &Path, url: &str, has_example: bool) {
    let flag = if dir == Path::new(crate::server::DEFAULT_DIR) {
        String::new()
    } else {
        format!(" --dir {}", dir.display())
    };
    tell::notice(&format!(
        "weft {} with its own store in {}, for this machine only",
        env!("CARGO_PKG_VERSION"),
        dir.display()
    ));
    tell::line(&format!("Listening on {url}"));
    let statement = if has_example {
        EXAMPLE_STATEMENT
    } else {
        "CLUSTERSTATUS;"
    };
    tell::notice(&format!("  weft console{flag} -e \"{statement}\""));
    tell::notice(&format!(
        "  weft console{flag}        for statements of your own, HELP; lists them"
    ));
}
