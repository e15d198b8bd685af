//! Cassandra and ScyllaDB: options, connections, migration.

use anyhow::Context;
use weft_cql::{CassandraOptions, CassandraStore, Inspection, SerialLevel};
use weft_store::StoreError;

use super::CassandraAddress;
use crate::exit::{FAILED, Failure, UNREACHABLE, USAGE};

/// The options of the driver. User and password come from the environment.
pub fn options_of(address: &CassandraAddress) -> anyhow::Result<CassandraOptions> {
    let mut options = CassandraOptions::at(address.hosts.clone());
    options.cluster_id = address.cluster_id.clone().unwrap_or_default();
    options.local_dc.clone_from(&address.dc);
    if address.serial_everywhere {
        options.serial = SerialLevel::Serial;
    }
    options.replication_factor = address.replication;
    options.username = variable("WEFT_STORE_USER");
    options.password = password()?;
    if options.username.is_some() && options.password.is_none() {
        return Err(
            Failure::usage("WEFT_STORE_USER is set and its password is not")
                .hint("set WEFT_STORE_PASSWORD or WEFT_STORE_PASSWORD_FILE")
                .into(),
        );
    }
    Ok(options)
}

/// Makes one attempt to connect.
pub async fn connect(options: CassandraOptions) -> Result<CassandraStore, StoreError> {
    CassandraStore::connect(options).await
}

/// Inspects the cluster for `weft doctor` and `weft schema`.
pub async fn inspect(address: &CassandraAddress) -> anyhow::Result<Inspection> {
    let options = options_of(address)?;
    weft_cql::inspect(&options)
        .await
        .map_err(|error| failure(error, address).into())
}

/// Creates the tables, or brings them to this version.
pub async fn migrate(address: &CassandraAddress) -> anyhow::Result<()> {
    let options = options_of(address)?;
    weft_cql::migrate(&options)
        .await
        .map_err(|error| failure(error, address))?;
    Ok(())
}

/// A store's error as a failure with a next step.
pub fn failure(error: StoreError, address: &CassandraAddress) -> Failure {
    let hosts = address.hosts.join(",");
    match error {
        StoreError::Unavailable(_) => Failure::new(UNREACHABLE, format!("{hosts}: {error}"))
            .hint("is the cluster up, and is the address right?"),
        StoreError::Refused(_) => Failure::new(USAGE, format!("{hosts}: {error}")),
        StoreError::Full(_) | StoreError::Corrupt { .. } | StoreError::Schema(_) => {
            Failure::new(FAILED, format!("{hosts}: {error}"))
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn password() -> anyhow::Result<Option<String>> {
    if let Some(password) = variable("WEFT_STORE_PASSWORD") {
        return Ok(Some(password));
    }
    let Some(file) = variable("WEFT_STORE_PASSWORD_FILE") else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read the password file {file}"))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}
