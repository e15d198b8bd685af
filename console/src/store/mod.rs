//! Opens stores. No other module knows which stores exist.

mod address;
mod cassandra;

use std::path::Path;

use clap::Args;
use weft_model::clock::SharedClock;
use weft_sqlite::{OpenError, Options, SqliteStore, lock_owner};

pub use address::{CassandraAddress, StoreAddress};
pub use cassandra::{connect, failure, inspect, migrate, options_of};

use crate::exit::{FAILED, Failure, NOT_FOUND, UNREACHABLE};

/// The flag that names a store.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// cassandra://host1:9042,host2[?dc=…&serial=…&replication=…&cluster=…] or sqlite:PATH
    #[arg(long, env = "WEFT_STORE", value_name = "ADDRESS")]
    pub store: String,
}

/// Parses the address of a store from the command line.
pub fn parse(written: &str) -> Result<StoreAddress, Failure> {
    written.parse().map_err(Failure::usage)
}

/// Opens a SQLite store for this process; `migrate` brings its schema to this version.
pub fn open_sqlite(path: &Path, clock: SharedClock, migrate: bool) -> anyhow::Result<SqliteStore> {
    let options = Options::new(clock);
    let options = if migrate {
        options
    } else {
        options.without_migration()
    };
    SqliteStore::open(path, options).map_err(open_failure)
}

/// Opens a SQLite store for reading; another process may have it open.
pub fn read_sqlite(path: &Path, clock: SharedClock) -> anyhow::Result<SqliteStore> {
    if !path.exists() {
        return Err(Failure::new(
            NOT_FOUND,
            format!("there is no store at {}", path.display()),
        )
        .hint("start `weft dev`, or run `weft schema migrate --store sqlite:PATH`")
        .into());
    }
    SqliteStore::open_read_only(path, clock).map_err(open_failure)
}

/// The address of the process that has a SQLite store open.
pub fn owner_address(path: &Path) -> Option<String> {
    lock_owner(path).ok().flatten()?.address
}

/// The error for a store that cannot be opened, with a next step.
fn open_failure(error: OpenError) -> anyhow::Error {
    match error {
        OpenError::InUse {
            ref path,
            ref owner,
        } => {
            let folder = path.parent().unwrap_or(Path::new("."));
            let hint = match &owner.address {
                Some(_) => format!("connect to it: weft console --dir {}", folder.display()),
                None => format!("wait until it is ready, or end process {}", owner.pid),
            };
            Failure::new(UNREACHABLE, error.to_string())
                .hint(hint)
                .into()
        }
        OpenError::Newer { found, known } => Failure::new(
            FAILED,
            format!("the store has schema version {found}, this program knows {known}"),
        )
        .hint("use the newer program")
        .into(),
        OpenError::File { .. } | OpenError::Sqlite(_) => {
            anyhow::Error::new(error).context("cannot open the store")
        }
    }
}
