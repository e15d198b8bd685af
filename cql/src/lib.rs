//! The Cassandra and ScyllaDB store of Weft.
//!
//! [`CassandraStore`] answers the engine's [`Store`](weft_store::Store): each verb is an ordered list of
//! plain hints and compare-and-sets, every one of them on a single partition. [`migrate`] makes the tables,
//! [`inspect`] says what a person should know about the cluster.

mod batch;
mod checkpoint;
mod chunk;
mod cleanup;
mod connect;
mod deployment;
mod inspect;
mod instance;
mod job;
mod names;
mod node;
mod outcome;
mod parsed;
mod rows;
mod schema;
mod setting;
mod statements;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use weft_model::BatchId;
use weft_store::Counters;

pub use connect::{CassandraOptions, SerialLevel};
pub use inspect::{Inspection, KeyspaceReplication, NodeInspection, inspect};
pub use schema::{MigrationReport, migrate};

use connect::{Lanes, Link};
use statements::{ParsedStatements, Statements, UnitStatements};

/// The store on Cassandra or ScyllaDB.
pub struct CassandraStore {
    link: Link,
    statements: Statements,
    options: CassandraOptions,
    counters: Counters,
    lanes: Lanes,
    /// Statements on the keyspaces of logical units, prepared at their first use.
    units: Mutex<BTreeMap<String, Arc<UnitStatements>>>,
    /// Statements on the tables of parsers, by what makes the table.
    parsed: Mutex<BTreeMap<String, Arc<ParsedStatements>>>,
    /// How many failed rows of a batch this process has put into the projection for people.
    projected: Mutex<BTreeMap<BatchId, usize>>,
    /// Nodes whose own row was looked at for the newest stamp.
    stamped: tokio::sync::Mutex<Vec<String>>,
}

impl fmt::Debug for CassandraStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassandraStore")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
