//! What a person should know about the cluster before trusting it with batches.

use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::statement::{Consistency, Statement};
use weft_model::clock::{Clock, SystemClock, Timestamp};
use weft_store::{StoreError, StoreResult};

use crate::connect::{CassandraOptions, Link, rows_of};
use crate::outcome;
use crate::rows::{Found, Values};
use crate::statements::{cluster, lock};

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// The version of our schema; none where there is none.
    pub schema_version: Option<i64>,
    /// Every node knows the same schema.
    pub schema_agreed: bool,
    /// Our keyspaces.
    pub keyspaces: Vec<KeyspaceReplication>,
    /// The nodes that the driver knows of.
    pub nodes: Vec<NodeInspection>,
}

/// How a keyspace is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyspaceReplication {
    /// Its name.
    pub keyspace: String,
    /// The copies of a row, by data centre, or `replication_factor` alone.
    pub copies: Vec<(String, i64)>,
}

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeInspection {
    /// `host:port`.
    pub address: String,
    /// Its data centre.
    pub dc: Option<String>,
    /// It answers.
    pub live: bool,
    /// The version of the server.
    pub server_version: Option<String>,
    /// `v2` is what Weft wants, with fewer round trips; none where it cannot be read (Scylla has no such
    /// setting).
    pub paxos_variant: Option<String>,
    /// Its clock minus this machine's, in milliseconds, exact to half the round trip.
    pub clock_offset_ms: Option<i64>,
}

/// Looks at the cluster. Works with and without our schema.
///
/// # Errors
/// [`StoreError::Unavailable`] where nobody answers.
pub async fn inspect(options: &CassandraOptions) -> StoreResult<Inspection> {
    let link = Link::open(options).await?;
    let mut nodes = Vec::new();
    let state = link.session.get_cluster_state();
    for node in state.get_nodes_info() {
        let found = look_at(&link, NodeIdentifier::Node(node.clone())).await;
        nodes.push(NodeInspection {
            address: node.address.to_string(),
            dc: node.datacenter.clone(),
            ..found
        });
    }
    let agreed = link
        .session
        .check_schema_agreement()
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(Inspection {
        schema_version: version(&link).await?,
        schema_agreed: agreed.is_some(),
        keyspaces: keyspaces(&link).await?,
        nodes,
    })
}

/// Asks one node. What it does not answer stays none: a node that is down is a finding, not a failure.
async fn look_at(link: &Link, node: NodeIdentifier) -> NodeInspection {
    let local = ask(link, &node, cluster::RELEASE).await;
    let live = local.is_ok();
    let before = SystemClock.now();
    let time = ask(link, &node, cluster::TIME).await;
    let after = SystemClock.now();
    let variant = ask(link, &node, cluster::PAXOS_VARIANT).await;
    NodeInspection {
        address: String::new(),
        dc: None,
        live,
        server_version: text(local, "release_version"),
        paxos_variant: text(variant, "value"),
        clock_offset_ms: time
            .ok()
            .flatten()
            .and_then(|mut row| row.take::<Timestamp>("millis").ok().flatten())
            .map(|theirs| theirs.0 - i64::midpoint(before.0, after.0)),
    }
}

async fn ask(link: &Link, node: &NodeIdentifier, text: &str) -> StoreResult<Option<Found>> {
    let mut statement = Statement::new(text);
    statement.set_consistency(Consistency::One);
    statement.set_load_balancing_policy(Some(SingleTargetLoadBalancingPolicy::new(
        node.clone(),
        None,
    )));
    let answer = link
        .session
        .query_unpaged(statement, ())
        .await
        .map_err(|error| outcome::of_plain(&error))?;
    Ok(rows_of("system", answer)?.into_iter().next())
}

fn text(row: StoreResult<Option<Found>>, column: &'static str) -> Option<String> {
    row.ok().flatten()?.take(column).ok().flatten()
}

async fn version(link: &Link) -> StoreResult<Option<i64>> {
    let statement = lock::read(&link.names, &link.profiles);
    match link.session.query_unpaged(statement, ()).await {
        Ok(answer) => match rows_of("schema_lock", answer)?.into_iter().next() {
            Some(mut row) => row.take("version"),
            None => Ok(None),
        },
        Err(error) => match outcome::of_plain(&error) {
            StoreError::Schema(_) => Ok(None),
            other => Err(other),
        },
    }
}

async fn keyspaces(link: &Link) -> StoreResult<Vec<KeyspaceReplication>> {
    let mut found = Vec::new();
    for keyspace in [&link.names.system, &link.names.batch] {
        let mut statement = Statement::new(cluster::REPLICATION);
        statement.set_consistency(Consistency::One);
        let answer = link
            .session
            .query_unpaged(statement, Values::new().set("keyspace_name", keyspace))
            .await
            .map_err(|error| outcome::of_plain(&error))?;
        for mut row in rows_of("system_schema.keyspaces", answer)? {
            found.push(KeyspaceReplication {
                keyspace: keyspace.clone(),
                copies: copies_of(&mut row)?,
            });
        }
    }
    Ok(found)
}

/// `{'class': …, 'dc1': '3'}` without the class.
fn copies_of(row: &mut Found) -> StoreResult<Vec<(String, i64)>> {
    let replication: Vec<(String, String)> = row.take("replication")?.unwrap_or_default();
    Ok(replication
        .into_iter()
        .filter_map(|(name, copies)| Some((name, copies.parse().ok()?)))
        .collect())
}
