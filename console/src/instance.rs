//! `weft instance export`: writes a stored instance as a SQLite file.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};
use weft_model::clock::SystemClock;
use weft_store::SharedStore;

use crate::exit::{Failure, NOT_FOUND, OK};
use crate::output::{stderr, stdout};
use crate::store::StoreAddress;
use crate::{folder, store};

/// `weft instance …`.
#[derive(Clone, Debug, Subcommand)]
pub enum InstanceCommand {
    /// Write a stored instance as a SQLite file
    Export(ExportArgs),
}

/// `weft instance export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// The logical unit
    #[arg(value_name = "LU")]
    pub logical_unit: String,
    /// The instance's id
    #[arg(value_name = "ID")]
    pub id: String,
    /// The file to write; it must not exist
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,
    /// A store to read it from, instead of the folder's
    #[arg(long, env = "WEFT_STORE", value_name = "ADDRESS")]
    pub store: Option<String>,
    /// Folder of `weft dev`
    #[arg(long, env = "WEFT_DIR", default_value = folder::DEFAULT_DIR, value_name = "DIR")]
    pub dir: PathBuf,
}

/// Writes the instance to `--out`.
pub async fn export(args: &ExportArgs) -> anyhow::Result<u8> {
    let address = match &args.store {
        Some(written) => store::parse(written)?,
        None => StoreAddress::Sqlite(folder::store_path(&args.dir)),
    };
    let store = open_for_reading(&address).await?;
    let found = store.instance(&args.logical_unit, &args.id).await?;
    let Some(instance) = found else {
        let message = format!("{}.{} is not stored", args.logical_unit, args.id);
        return Err(Failure::new(NOT_FOUND, message)
            .hint(format!(
                "run SYNC_INSTANCE {}.{};",
                args.logical_unit, args.id
            ))
            .into());
    };
    if args.out.exists() {
        return Err(Failure::usage(format!("{} exists already", args.out.display())).into());
    }
    weft_project::sync::export(&instance, &args.out)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    stdout::line(&args.out.display().to_string());
    stderr::notice(&format!("next: sqlite3 {} .schema", args.out.display()));
    Ok(OK)
}

/// Opens the store for reading, which is possible while a node has it open.
async fn open_for_reading(address: &StoreAddress) -> anyhow::Result<SharedStore> {
    Ok(match address {
        StoreAddress::Sqlite(path) => Arc::new(store::read_sqlite(path, Arc::new(SystemClock))?),
        StoreAddress::Cassandra(cassandra) => {
            let options = store::options_of(cassandra)?;
            let connected = store::connect(options).await;
            Arc::new(connected.map_err(|error| store::failure(error, cassandra))?)
        }
    })
}
