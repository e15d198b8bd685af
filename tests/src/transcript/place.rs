//! The stores that transcripts run on. A store is emptied before each transcript.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Statement;
use uuid::Uuid;

use super::node::weft;

/// A store that can be emptied.
#[async_trait]
pub trait Place: Send + Sync + std::fmt::Debug {
    /// Its name in messages.
    fn name(&self) -> &'static str;

    /// Empties the store and returns its address for a process that runs in `folder`.
    async fn clear(&self, folder: &Path) -> anyhow::Result<String>;

    /// Reads the column `arguments` of a batch.
    async fn arguments(&self, folder: &Path, batch: &str) -> anyhow::Result<String>;
}

/// A SQLite file in the transcript's folder.
#[derive(Clone, Copy, Debug)]
pub struct SqlitePlace;

const FILE: &str = "store.db";

#[async_trait]
impl Place for SqlitePlace {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    async fn clear(&self, folder: &Path) -> anyhow::Result<String> {
        let store = format!("sqlite:{FILE}");
        weft(folder, &["schema", "migrate", "--store", &store]).await?;
        Ok(store)
    }

    async fn arguments(&self, folder: &Path, batch: &str) -> anyhow::Result<String> {
        let connection = rusqlite::Connection::open(folder.join(FILE))?;
        let query = "select arguments from batchprocess_list where bid = ?";
        Ok(connection.query_row(query, [batch], |row| row.get(0))?)
    }
}

/// Keyspaces on a Cassandra cluster that only this run uses.
#[derive(Debug)]
pub struct CassandraPlace {
    points: String,
    /// The suffix of its keyspace names.
    pub cluster_id: String,
    session: Session,
}

impl CassandraPlace {
    /// Creates keyspaces on the cluster that `WEFT_TEST_CASSANDRA` names; `None` if the variable is not set.
    ///
    /// # Errors
    /// The cluster does not answer, or the schema cannot be created.
    pub async fn of_environment() -> anyhow::Result<Option<Self>> {
        let Ok(points) = std::env::var("WEFT_TEST_CASSANDRA") else {
            return Ok(None);
        };
        let known: Vec<&str> = points.split(',').collect();
        let session = SessionBuilder::new().known_nodes(&known).build().await?;
        let place = Self {
            cluster_id: format!("t{}", &Uuid::new_v4().simple().to_string()[..10]),
            points,
            session,
        };
        let folder = tempfile::tempdir()?;
        let store = place.store();
        weft(folder.path(), &["schema", "migrate", "--store", &store]).await?;
        Ok(Some(place))
    }

    /// The address of the store.
    pub fn store(&self) -> String {
        format!("cassandra://{}?cluster={}", self.points, self.cluster_id)
    }

    /// A session for reading the store directly.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Drops the keyspaces.
    ///
    /// # Errors
    /// A keyspace cannot be dropped.
    pub async fn drop_keyspaces(&self) -> anyhow::Result<()> {
        let mut keyspaces: Vec<_> = self
            .tables()
            .await?
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        keyspaces.sort();
        keyspaces.dedup();
        for keyspace in keyspaces {
            self.run(format!("DROP KEYSPACE {keyspace}")).await?;
        }
        Ok(())
    }

    async fn run(&self, text: String) -> anyhow::Result<()> {
        let mut statement = Statement::new(text);
        statement.set_request_timeout(Some(Duration::from_secs(60)));
        self.session.query_unpaged(statement, ()).await?;
        Ok(())
    }

    async fn tables(&self) -> anyhow::Result<Vec<(String, String)>> {
        let query = "SELECT keyspace_name, table_name FROM system_schema.tables";
        let rows = self
            .session
            .query_unpaged(query, ())
            .await?
            .into_rows_result()?;
        let mut tables = Vec::new();
        for row in rows.rows::<(String, String)>()? {
            let table = row?;
            if table.0.ends_with(&format!("_{}", self.cluster_id)) {
                tables.push(table);
            }
        }
        Ok(tables)
    }
}

#[async_trait]
impl Place for CassandraPlace {
    fn name(&self) -> &'static str {
        "cassandra"
    }

    async fn clear(&self, _folder: &Path) -> anyhow::Result<String> {
        for (keyspace, table) in self.tables().await? {
            // The table schema_lock holds the version of the schema, which must stay.
            if !table.starts_with("schema_") {
                self.run(format!("TRUNCATE {keyspace}.{table}")).await?;
            }
        }
        Ok(self.store())
    }

    async fn arguments(&self, _folder: &Path, batch: &str) -> anyhow::Result<String> {
        let query = format!(
            "SELECT arguments FROM k2batchprocess_{}.batchprocess_list WHERE bid = '{batch}'",
            self.cluster_id
        );
        let rows = self
            .session
            .query_unpaged(query, ())
            .await?
            .into_rows_result()?;
        let (arguments,) = rows.single_row::<(Option<String>,)>()?;
        arguments.context("the batch has no arguments")
    }
}
