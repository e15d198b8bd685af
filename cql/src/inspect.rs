//! The state of the cluster, for people who run it.

use std::sync::Arc;

use scylla::cluster::Node;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::statement::{Consistency, Statement};
use weft_model::clock::{Clock, SystemClock, Timestamp};
use weft_store::{StoreError, StoreResult};

use crate::CassandraStore;
use crate::connection::Connection;
use crate::options::CassandraOptions;
use crate::row::StoredRow;
use crate::statements::{cluster_queries, schema_lock};
use crate::values::Values;

/// The state of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// The version of Weft's schema, `None` if there is none.
    pub schema_version: Option<i64>,
    /// Whether all nodes have the same schema.
    pub schema_agreed: bool,
    /// Weft's keyspaces.
    pub keyspaces: Vec<KeyspaceReplication>,
    /// The nodes that the driver knows.
    pub nodes: Vec<NodeInspection>,
}

/// The replication of a keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyspaceReplication {
    /// The name of the keyspace.
    pub keyspace: String,
    /// Replicas of a row by data centre, or under the name `replication_factor`.
    pub copies: Vec<(String, i64)>,
    /// Whether ScyllaDB keeps it in tablets.
    pub tablets: bool,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeInspection {
    /// `host:port`.
    pub address: String,
    /// The data centre of the node.
    pub dc: Option<String>,
    /// Whether it answers.
    pub live: bool,
    /// The version of Cassandra or Scylla, `None` if the node does not answer.
    pub server_version: Option<String>,
    /// Weft requires `v2`. `None` if it cannot be read: Scylla has no such setting.
    pub paxos_variant: Option<String>,
    /// When acknowledged writes are on its disk: `periodic`, `group` or `batch`. `None` if it cannot be read: Scylla has no
    /// such setting.
    pub commitlog_sync: Option<String>,
    /// The version of ScyllaDB, `None` on Cassandra.
    pub scylla_version: Option<String>,
    /// Its clock minus this machine's in milliseconds, with an error of at most half the round trip.
    pub clock_offset_ms: Option<i64>,
}

/// Inspects the cluster, with or without Weft's schema.
///
/// # Errors
/// [`StoreError::Unavailable`] if no node answers.
pub async fn inspect(options: &CassandraOptions) -> StoreResult<Inspection> {
    let connection = Connection::open(options).await?;
    let mut nodes = Vec::new();
    let state = connection.session.get_cluster_state();
    for node in state.get_nodes_info() {
        nodes.push(inspect_node(&connection, node).await);
    }
    let agreed = connection
        .session
        .check_schema_agreement()
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(Inspection {
        schema_version: read_version(&connection).await?,
        schema_agreed: agreed.is_some(),
        keyspaces: read_keyspaces(&connection).await?,
        nodes,
    })
}

/// Queries one node. A query that it does not answer is `None`: a node that is down is a result, not an error.
async fn inspect_node(connection: &Connection, node: &Arc<Node>) -> NodeInspection {
    let local = query_node(connection, node, cluster_queries::RELEASE).await;
    let live = local.is_ok();
    let before = SystemClock.now();
    let time = query_node(connection, node, cluster_queries::TIME).await;
    let after = SystemClock.now();
    let variant = query_node(connection, node, cluster_queries::PAXOS_VARIANT).await;
    let scylla = query_node(connection, node, cluster_queries::SCYLLA_VERSION).await;
    NodeInspection {
        address: node.address.to_string(),
        dc: node.datacenter.clone(),
        live,
        server_version: text_column(local, "release_version"),
        paxos_variant: text_column(variant, "value"),
        commitlog_sync: commitlog_sync(connection, node).await,
        scylla_version: text_column(scylla, "version"),
        clock_offset_ms: time
            .ok()
            .flatten()
            .and_then(|mut row| row.take::<Timestamp>("millis").ok().flatten())
            .map(|theirs| theirs.0 - i64::midpoint(before.0, after.0)),
    }
}

async fn commitlog_sync(connection: &Connection, node: &Arc<Node>) -> Option<String> {
    let row = query_node(connection, node, cluster_queries::COMMITLOG_SYNC).await;
    text_column(row, "value")
}

impl CassandraStore {
    /// The `commitlog_sync` of each server that the driver knows, by address; `None` where it cannot be read.
    pub async fn commit_logs(&self) -> Vec<(String, Option<String>)> {
        let state = self.connection.session.get_cluster_state();
        let mut found = Vec::new();
        for node in state.get_nodes_info() {
            let sync = commitlog_sync(&self.connection, node).await;
            found.push((node.address.to_string(), sync));
        }
        found
    }
}

async fn query_node(
    connection: &Connection,
    node: &Arc<Node>,
    text: &str,
) -> StoreResult<Option<StoredRow>> {
    let mut statement = Statement::new(text);
    statement.set_consistency(Consistency::One);
    statement.set_load_balancing_policy(Some(SingleTargetLoadBalancingPolicy::new(
        NodeIdentifier::Node(Arc::clone(node)),
        None,
    )));
    let rows = connection.query("system", statement, ()).await?;
    Ok(rows.into_iter().next())
}

fn text_column(row: StoreResult<Option<StoredRow>>, column: &'static str) -> Option<String> {
    row.ok().flatten()?.take(column).ok().flatten()
}

async fn read_version(connection: &Connection) -> StoreResult<Option<i64>> {
    let statement = schema_lock::read(&connection.keyspaces, &connection.profiles);
    match connection.query("schema_lock", statement, ()).await {
        Ok(rows) => match rows.into_iter().next() {
            Some(mut row) => row.take("version"),
            None => Ok(None),
        },
        Err(StoreError::Schema(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Weft's keyspaces, as far as they exist.
pub(crate) async fn read_keyspaces(
    connection: &Connection,
) -> StoreResult<Vec<KeyspaceReplication>> {
    let mut keyspaces = Vec::new();
    for keyspace in [&connection.keyspaces.system, &connection.keyspaces.batch] {
        let mut statement = Statement::new(cluster_queries::REPLICATION);
        statement.set_consistency(Consistency::One);
        let values = Values::new().set("keyspace_name", keyspace);
        let rows = connection
            .query("system_schema.keyspaces", statement, values)
            .await?;
        for mut row in rows {
            keyspaces.push(KeyspaceReplication {
                keyspace: keyspace.clone(),
                copies: replicas_of(&mut row)?,
                tablets: has_tablets(connection, keyspace).await,
            });
        }
    }
    Ok(keyspaces)
}

async fn has_tablets(connection: &Connection, keyspace: &str) -> bool {
    let values = Values::new().set("keyspace_name", keyspace);
    let rows = connection.query("scylla_keyspaces", cluster_queries::TABLETS, values);
    // Cassandra has no such table.
    let row = rows.await.unwrap_or_default().into_iter().next();
    row.is_some_and(|row| !row.is_null("initial_tablets"))
}

/// The numbers in `{'class': …, 'dc1': '3'}`.
fn replicas_of(row: &mut StoredRow) -> StoreResult<Vec<(String, i64)>> {
    let replication: Vec<(String, String)> = row.take("replication")?.unwrap_or_default();
    Ok(replication
        .into_iter()
        .filter_map(|(name, copies)| Some((name, copies.parse().ok()?)))
        .collect())
}
