//! The Cassandra and ScyllaDB store of Weft.
//!
//! [`CassandraStore`] implements the engine's [`Store`](weft_store::Store): each verb is an ordered list of
//! plain writes and compare-and-sets, every one of them on a single partition. [`migrate`] creates the tables,
//! [`inspect`] reports the state of the cluster.

mod batch;
mod batch_list;
mod checkpoint;
mod chunk;
mod cleanup;
mod command;
mod connection;
mod deployment;
mod driver_error;
mod due;
mod entity;
mod error_projection;
mod follower;
mod inspect;
mod instance;
mod job;
mod job_list;
mod job_run;
mod keyspaces;
mod node;
mod options;
mod parser_table;
mod partition_lock;
mod request;
mod row;
mod schema;
mod setting;
mod statements;
mod store;
mod values;
mod write_timestamp;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use weft_model::BatchId;
use weft_store::{Counters, StoreResult};

pub use inspect::{Inspection, KeyspaceReplication, NodeInspection, inspect};
pub use options::{CassandraOptions, SerialLevel};
pub use schema::{MigrationReport, migrate};

use connection::Connection;
use partition_lock::PartitionLocks;
use statements::{ParserTableStatements, Statements, UnitStatements};

/// The store on Cassandra or ScyllaDB.
pub struct CassandraStore {
    connection: Connection,
    statements: Statements,
    options: CassandraOptions,
    counters: Counters,
    partition_locks: PartitionLocks,
    /// By keyspace, prepared at first use.
    unit_statements: Mutex<BTreeMap<String, Arc<UnitStatements>>>,
    /// By the statement that creates the table, prepared at first use.
    parser_table_statements: Mutex<BTreeMap<String, Arc<ParserTableStatements>>>,
    /// Number of failed rows that this process has projected, by batch.
    projected_errors: Mutex<BTreeMap<BatchId, usize>>,
    /// Nodes whose rows have raised `connection.timestamps`.
    nodes_with_raised_timestamps: tokio::sync::Mutex<Vec<String>>,
}

impl CassandraStore {
    /// Connects and prepares every statement.
    ///
    /// # Errors
    /// [`Unavailable`](weft_store::StoreError::Unavailable) if no node answers, [`Schema`](weft_store::StoreError::Schema) if a table is missing,
    /// [`Refused`](weft_store::StoreError::Refused) if an option is not valid.
    pub async fn connect(options: CassandraOptions) -> StoreResult<Self> {
        let connection = Connection::open(&options).await?;
        let statements = Statements::prepare(
            &connection.session,
            &connection.profiles,
            &connection.keyspaces,
        )
        .await?;
        Ok(Self {
            connection,
            statements,
            options,
            counters: Counters::default(),
            partition_locks: PartitionLocks::new(),
            unit_statements: Mutex::default(),
            parser_table_statements: Mutex::default(),
            projected_errors: Mutex::default(),
            nodes_with_raised_timestamps: tokio::sync::Mutex::default(),
        })
    }
}

impl fmt::Debug for CassandraStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassandraStore")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
