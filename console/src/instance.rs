//! `weft instance export`: a stored instance as a SQLite file.

use std::sync::Arc;

use anyhow::Context;
use weft_model::clock::SystemClock;
use weft_store::SharedStore;

use crate::cli::ExportArgs;
use crate::exit::{Failure, NOT_FOUND, OK};
use crate::output::{out, tell};
use crate::store::StoreAddress;
use crate::{dev, store};

/// Writes the instance to the file that was named.
pub async fn export(args: &ExportArgs) -> anyhow::Result<u8> {
    let address = match &args.store {
        Some(written) => store::parse(written)?,
        None => StoreAddress::Sqlite(dev::store_path(&args.dir)),
    };
    let store = open(&address).await?;
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
        return Err(Failure::usage(format!("{} is there already", args.out.display())).into());
    }
    weft_project::sync::export(&instance, &args.out)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    out::line(&args.out.display().to_string());
    tell::notice(&format!("next: sqlite3 {} .schema", args.out.display()));
    Ok(OK)
}

/// For reading, which is allowed whoever has the store.
async fn open(address: &StoreAddress) -> anyhow::Result<SharedStore> {
    Ok(match address {
        StoreAddress::Sqlite(path) => Arc::new(store::read_sqlite(path, Arc::new(SystemClock))?),
        StoreAddress::Cassandra(cassandra) => {
            let options = store::options_of(cassandra)?;
            let connected = store::connect(options).await;
            Arc::new(connected.map_err(|error| store::failure(error, cassandra))?)
        }
    })
}
