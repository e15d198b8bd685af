//! The keyspaces of one test, as `cqlsh` would see them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Statement;
use uuid::Uuid;

/// The stored record of an entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntityRecord {
    /// The number of its chunk.
    pub chunk: i64,
    /// The id of the entity.
    pub id: String,
    /// COMPLETED or FAILED.
    pub status: String,
    /// The node that ran it.
    pub node: String,
    /// The fence of the chunk during the run.
    pub fence: i64,
    /// The end of the run, in milliseconds since 1970.
    pub end_ms: i64,
}

/// Keyspaces that only one test uses.
#[derive(Debug)]
pub struct Keyspaces {
    /// The suffix of their names.
    pub cluster_id: String,
    session: Session,
}

type Row = (
    String,
    i64,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<chrono::DateTime<chrono::Utc>>,
    Option<String>,
);

impl Keyspaces {
    /// Connects and chooses a new cluster id. No keyspace is created yet.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn connect(points: &str) -> anyhow::Result<Self> {
        let points: Vec<&str> = points.split(',').collect();
        let session = SessionBuilder::new().known_nodes(&points).build().await?;
        let unique = Uuid::new_v4().simple().to_string();
        Ok(Self {
            cluster_id: format!("k{}", &unique[..10]),
            session,
        })
    }

    async fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let query = format!(
            "SELECT bid, chunk, entityid, status, nodeid, fence, end_time, c_state \
             FROM k2batchprocess_{}.batchprocess_entities_info",
            self.cluster_id
        );
        let pager = self.session.query_iter(query, ()).await?;
        Ok(pager.rows_stream::<Row>()?.try_collect().await?)
    }

    /// Reads the records of a batch, sorted.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn records(&self, batch: &str) -> anyhow::Result<Vec<EntityRecord>> {
        let mut records = Vec::new();
        for (bid, chunk, id, status, node, fence, end, _) in self.rows().await? {
            let Some(id) = id.filter(|_| bid == batch) else {
                continue;
            };
            records.push(EntityRecord {
                chunk,
                id,
                status: status.unwrap_or_default(),
                node: node.unwrap_or_default(),
                fence: fence.unwrap_or_default(),
                end_ms: end.map_or(0, |end| end.timestamp_millis()),
            });
        }
        records.sort();
        Ok(records)
    }

    /// Reads the states of the chunks of a batch, by number.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn chunks(&self, batch: &str) -> anyhow::Result<BTreeMap<i64, String>> {
        let rows = self.rows().await?.into_iter();
        let own = rows.filter(|row| row.0 == batch);
        Ok(own.map(|row| (row.1, row.7.unwrap_or_default())).collect())
    }

    /// Reads the heartbeat number of each node, by node id.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn heartbeats(&self) -> anyhow::Result<BTreeMap<String, i64>> {
        let query = format!(
            "SELECT guid, hb_seq FROM k2viewsystem_{}.nodes",
            self.cluster_id
        );
        let rows = self.session.query_unpaged(query, ()).await?;
        let rows = rows.into_rows_result()?;
        let mut found = BTreeMap::new();
        for row in rows.rows::<(String, Option<i64>)>()? {
            let (id, number) = row?;
            found.insert(id, number.unwrap_or_default());
        }
        Ok(found)
    }

    /// Reads `sync_version` and the store's write timestamp of each stored instance, both in microseconds.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn instance_writes(&self) -> anyhow::Result<BTreeMap<String, (i64, i64)>> {
        let query = format!(
            "SELECT id, sync_version, WRITETIME(data) FROM k2view_autodata_delta_{}.entity",
            self.cluster_id
        );
        let pager = self.session.query_iter(query, ()).await?;
        let stream = pager.rows_stream::<(String, i64, i64)>()?;
        stream
            .map_ok(|(id, version, written)| (id, (version, written)))
            .map_err(anyhow::Error::from)
            .try_collect()
            .await
    }

    pub(super) async fn drop_all(&self) -> anyhow::Result<()> {
        let query = "SELECT keyspace_name FROM system_schema.keyspaces";
        let rows = self.session.query_unpaged(query, ()).await?;
        for row in rows.into_rows_result()?.rows::<(String,)>()? {
            let (name,) = row?;
            if name.ends_with(&format!("_{}", self.cluster_id)) {
                let mut statement = Statement::new(format!("DROP KEYSPACE {name}"));
                statement.set_request_timeout(Some(Duration::from_secs(60)));
                self.session.query_unpaged(statement, ()).await?;
            }
        }
        Ok(())
    }
}
