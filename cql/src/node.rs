//! Node rows and node statistics: plain rows, each written only by its own node.

use weft_model::clock::Timestamp;
use weft_model::{BatchId, NodeRow, NodeShare, NodeState, NodeStats};
use weft_store::{StoreError, StoreResult};

use crate::CassandraStore;
use crate::row::StoredRow;
use crate::values::Values;

const NODES: &str = "nodes";
const NODE_STATS: &str = "batchprocess_node_info";
/// A bound on reads, larger than any cluster.
const NODES_READ: usize = 10_000;

impl CassandraStore {
    pub(crate) async fn write_node(&self, row: &NodeRow) -> StoreResult<()> {
        self.raise_timestamps(&row.guid.0).await?;
        let coordinates: Vec<String> = row.coordinates.iter().map(ToString::to_string).collect();
        let values = Values::new()
            .set("guid", &row.guid)
            .set("dc", &row.dc)
            .set("effective_ip", &row.effective_ip)
            .set("ips", row.ips.as_slice())
            .set("local_quorum_heartbeat", row.heartbeat_at)
            .set("logical_ids", row.logical_ids.as_slice())
            .set("quorum_heartbeat", row.heartbeat_at)
            .set("incarnation", row.incarnation)
            .set("hb_seq", row.hb_seq)
            .set("state", row.state.as_str())
            .set("version", &row.version)
            .set("http_address", row.http_address.as_ref())
            .set("coordinates", coordinates.as_slice());
        self.write("put_node", &self.statements.put_node, values)
            .await
    }

    /// Makes the timestamps of this process later than those of the node's row. Otherwise, if the clock was set back
    /// while the node was down, its writes would have no effect.
    async fn raise_timestamps(&self, guid: &str) -> StoreResult<()> {
        let mut raised = self.nodes_with_raised_timestamps.lock().await;
        if raised.iter().any(|known| known == guid) {
            return Ok(());
        }
        let row = self
            .read_one(
                "put_node",
                NODES,
                &self.statements.node_stamp,
                Values::new().set("guid", guid),
            )
            .await?;
        if let Some(mut row) = row
            && let Some(timestamp) = row.take::<i64>("stamp")?
        {
            self.connection.timestamps.raise_to(timestamp);
        }
        raised.push(guid.to_owned());
        Ok(())
    }

    pub(crate) async fn read_nodes(&self) -> StoreResult<Vec<NodeRow>> {
        let rows = self
            .scan(
                NODES,
                NODES,
                &self.statements.nodes,
                Values::new(),
                NODES_READ,
            )
            .await?;
        let mut nodes = rows
            .into_iter()
            .map(node_of)
            .collect::<StoreResult<Vec<_>>>()?;
        nodes.sort_by(|a, b| a.guid.cmp(&b.guid));
        Ok(nodes)
    }

    pub(crate) async fn write_node_stats(&self, stats: &NodeStats) -> StoreResult<()> {
        // A double holds thousandths exactly up to 2^53.
        let pace = stats.pace_milli as f64 / 1_000.0;
        let values = Values::new()
            .set("bid", stats.batch)
            .set("nodeid", &stats.node)
            .set_json("aggregated_results", &stats.share.aggregated)
            .set("dc_name", &stats.dc)
            .set("failed_count", stats.share.failed)
            .set("pace", pace)
            .set("succeeded_count", stats.share.succeeded)
            .set("updated_time", stats.updated_time)
            .set("first_start", stats.share.first_start)
            .set("last_end", stats.share.last_end)
            .set_json("slowest", &stats.slowest)
            .set("histogram", stats.histogram.as_ref())
            .set_json("in_process", &stats.in_process);
        self.write("put_node_stats", &self.statements.put_node_info, values)
            .await
    }

    pub(crate) async fn read_node_stats(&self, batch: BatchId) -> StoreResult<Vec<NodeStats>> {
        let values = Values::new().set("bid", batch);
        self.scan(
            "node_stats",
            NODE_STATS,
            &self.statements.node_info,
            values,
            NODES_READ,
        )
        .await?
        .into_iter()
        .map(node_stats_of)
        .collect()
    }

    pub(crate) async fn read_schema_version(&self) -> StoreResult<Option<i64>> {
        let row = self
            .read_one(
                "schema_version",
                "schema_lock",
                &self.statements.version,
                Values::new(),
            )
            .await?;
        match row {
            Some(mut row) => row.take("version"),
            None => Ok(None),
        }
    }

    /// The clock of the coordinator.
    pub(crate) async fn read_server_time(&self) -> StoreResult<Timestamp> {
        let row = self
            .read_one(
                "store_time",
                "system.local",
                &self.statements.time,
                Values::new(),
            )
            .await?;
        match row {
            Some(mut row) => row.require("millis"),
            None => Err(StoreError::Unavailable(
                "system.local has no row".to_owned(),
            )),
        }
    }
}

fn node_of(mut row: StoredRow) -> StoreResult<NodeRow> {
    let coordinates: Vec<String> = row.take("coordinates")?.unwrap_or_default();
    let coordinates = coordinates
        .iter()
        .map(|id| id.parse())
        .collect::<Result<Vec<BatchId>, _>>()
        .map_err(|error| row.corrupt("coordinates", &error))?;
    Ok(NodeRow {
        guid: row.require("guid")?,
        dc: row.require("dc")?,
        effective_ip: row.require("effective_ip")?,
        ips: row.take("ips")?.unwrap_or_default(),
        logical_ids: row.take("logical_ids")?.unwrap_or_default(),
        incarnation: row.require("incarnation")?,
        hb_seq: row.require("hb_seq")?,
        heartbeat_at: row.require("local_quorum_heartbeat")?,
        state: NodeState::of_stored(&row.require::<String>("state")?),
        version: row.require("version")?,
        http_address: row.take("http_address")?,
        coordinates,
    })
}

fn node_stats_of(mut row: StoredRow) -> StoreResult<NodeStats> {
    let pace: f64 = row.take("pace")?.unwrap_or(0.0);
    Ok(NodeStats {
        batch: row.take_parsed("bid")?,
        node: row.require("nodeid")?,
        dc: row.take("dc_name")?.unwrap_or_default(),
        updated_time: row.require("updated_time")?,
        share: NodeShare {
            succeeded: row.take("succeeded_count")?.unwrap_or(0),
            failed: row.take("failed_count")?.unwrap_or(0),
            aggregated: row.take_json("aggregated_results")?.unwrap_or_default(),
            first_start: row.take("first_start")?,
            last_end: row.take("last_end")?,
        },
        slowest: row.take_json("slowest")?.unwrap_or_default(),
        histogram: row.take("histogram")?,
        pace_milli: (pace * 1_000.0).round() as i64,
        in_process: row.take_json("in_process")?.unwrap_or_default(),
    })
}
