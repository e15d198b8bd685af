//! `weft schema`: creates, migrates and checks the tables of a store.

use std::sync::Arc;

use clap::Subcommand;
use serde_json::{Value, json};
use weft_model::clock::SystemClock;
use weft_store::{SCHEMA_VERSION, Store};

use crate::exit::{FAILED, Failure, OK};
use crate::output::{Format, TableWriter, stderr, stdout};
use crate::store::{self, StoreAddress, StoreArgs};

/// `weft schema …`.
#[derive(Clone, Debug, Subcommand)]
pub enum SchemaCommand {
    /// Create the tables, or bring them to this version
    Migrate(StoreArgs),
    /// Show the version of the tables
    Status(StoreArgs),
}

/// Migrates the tables, or shows their version.
pub async fn run(command: SchemaCommand) -> anyhow::Result<u8> {
    match command {
        SchemaCommand::Migrate(args) => migrate(&store::parse(&args.store)?).await,
        SchemaCommand::Status(args) => status(&store::parse(&args.store)?).await,
    }
}

async fn migrate(address: &StoreAddress) -> anyhow::Result<u8> {
    match address {
        StoreAddress::Sqlite(path) => {
            store::open_sqlite(path, Arc::new(SystemClock), true)?;
        }
        StoreAddress::Cassandra(cassandra) => store::migrate(cassandra).await?,
    }
    stderr::notice(&format!("{address} has schema version {SCHEMA_VERSION}"));
    Ok(OK)
}

async fn status(address: &StoreAddress) -> anyhow::Result<u8> {
    let found = match address {
        StoreAddress::Sqlite(path) => {
            let store = store::read_sqlite(path, Arc::new(SystemClock))?;
            store.schema_version().await?
        }
        StoreAddress::Cassandra(cassandra) => store::inspect(cassandra).await?.schema_version,
    };
    let mut table = TableWriter::new(Format::Table, None);
    let columns = ["Store", "Schema version", "Program's version"];
    stdout::data(&table.columns(columns.map(str::to_owned).to_vec()));
    let found_value = found.map_or(Value::Null, Value::from);
    stdout::data(&table.row(vec![
        json!(address.to_string()),
        found_value,
        json!(SCHEMA_VERSION),
    ]));
    stdout::data(&table.end());
    match check(found, address) {
        None => Ok(OK),
        Some(failure) => Err(failure.into()),
    }
}

/// Why this program cannot use a schema of version `found`; `None` if it can.
pub fn check(found: Option<i64>, address: &StoreAddress) -> Option<Failure> {
    match found {
        Some(SCHEMA_VERSION) => None,
        Some(found) if found > SCHEMA_VERSION => Some(
            Failure::new(
                FAILED,
                format!(
                    "the store has schema version {found}, this program knows {SCHEMA_VERSION}"
                ),
            )
            .hint("use the newer program"),
        ),
        Some(found) => Some(
            Failure::new(
                FAILED,
                format!(
                    "the store has schema version {found}, this program needs {SCHEMA_VERSION}"
                ),
            )
            .hint(format!("run `weft schema migrate --store '{address}'`")),
        ),
        None => Some(
            Failure::new(FAILED, "the store has no tables yet")
                .hint(format!("run `weft schema migrate --store '{address}'`")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_version_has_a_next_step() {
        let address = StoreAddress::Sqlite("a.db".into());
        let hint = |found| check(found, &address).and_then(|failure| failure.hint);
        assert_eq!(hint(Some(SCHEMA_VERSION)), None);
        assert!(hint(None).is_some_and(|hint| hint.contains("migrate --store 'sqlite:a.db'")));
        assert!(hint(Some(SCHEMA_VERSION - 1)).is_some_and(|hint| hint.contains("migrate")));
        assert!(hint(Some(SCHEMA_VERSION + 1)).is_some_and(|hint| hint.contains("newer")));
    }
}
