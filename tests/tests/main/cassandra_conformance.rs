//! The conformance suite on a real Cassandra or Scylla: where `WEFT_TEST_CASSANDRA` names one as `host:port[,…]`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Statement;
use uuid::Uuid;
use weft_cql::{CassandraOptions, CassandraStore, migrate};
use weft_store::SharedStore;
use weft_tests::conformance::{Harness, run_suite};

/// One store for all cases, in keyspaces of its own.
struct OneCluster(SharedStore);

#[async_trait]
impl Harness for OneCluster {
    async fn store(&self) -> anyhow::Result<SharedStore> {
        Ok(Arc::clone(&self.0))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cassandra_conforms() {
    let Ok(points) = std::env::var("WEFT_TEST_CASSANDRA") else {
        eprintln!("WEFT_TEST_CASSANDRA is not set: the suite is not run on Cassandra");
        return;
    };
    let mut options = CassandraOptions::at(points.split(','));
    // A copy on each node, up to three.
    options.replication_factor = u8::try_from(options.contact_points.len().min(3)).ok();
    options.cluster_id = format!("c{}", &Uuid::new_v4().simple().to_string()[..10]);
    migrate(&options)
        .await
        .expect("an empty cluster id can be migrated");
    let store = CassandraStore::connect(options.clone())
        .await
        .expect("the schema is there");
    let count = run_suite("cassandra", &OneCluster(Arc::new(store))).await;
    assert!(count >= 60 || std::env::var_os("WEFT_CASE").is_some());
    drop_keyspaces(&options)
        .await
        .expect("own keyspaces can be dropped");
}

async fn drop_keyspaces(options: &CassandraOptions) -> anyhow::Result<()> {
    let session = SessionBuilder::new()
        .known_nodes(&options.contact_points)
        .build()
        .await?;
    let rows = session
        .query_unpaged("SELECT keyspace_name FROM system_schema.keyspaces", ())
        .await?
        .into_rows_result()?;
    for row in rows.rows::<(String,)>()? {
        let (name,) = row?;
        if name.ends_with(&format!("_{}", options.cluster_id)) {
            let mut statement = Statement::new(format!("DROP KEYSPACE {name}"));
            statement.set_request_timeout(Some(Duration::from_secs(60)));
            session.query_unpaged(statement, ()).await?;
        }
    }
    Ok(())
}
