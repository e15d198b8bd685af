//! Where a run stores: an SQLite file of its own, or keyspaces of its own in a Cassandra.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use weft_cql::{CassandraOptions, CassandraStore, migrate};
use weft_model::clock::SystemClock;
use weft_model::ids::Ids;
use weft_sqlite::{Options, SqliteStore};
use weft_store::SharedStore;

/// An empty place, removed by [`Place::remove`].
pub struct Place {
    pub folder: PathBuf,
    pub kind: PlaceKind,
}

pub enum PlaceKind {
    Sqlite,
    Cassandra { point: String, cluster_id: String },
}

impl Place {
    /// `sqlite`, or the address of a Cassandra.
    pub fn new(store: &str, folder: &Path) -> Result<Self> {
        std::fs::remove_dir_all(folder).ok();
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let kind = if store == "sqlite" {
            PlaceKind::Sqlite
        } else {
            let random = Ids::from_system().uuid().simple().to_string();
            PlaceKind::Cassandra {
                point: store.to_owned(),
                cluster_id: format!("bench{}", &random[..8]),
            }
        };
        Ok(Self {
            folder: folder.to_owned(),
            kind,
        })
    }

    pub fn name(&self) -> &'static str {
        match self.kind {
            PlaceKind::Sqlite => "sqlite",
            PlaceKind::Cassandra { .. } => "cassandra",
        }
    }

    /// The store with its schema.
    pub async fn open(&self) -> Result<SharedStore> {
        Ok(match &self.kind {
            PlaceKind::Sqlite => Arc::new(sqlite_at(&self.folder)?),
            PlaceKind::Cassandra { point, cluster_id } => {
                let mut options = CassandraOptions::at([point.clone()]);
                options.cluster_id.clone_from(cluster_id);
                migrate(&options).await?;
                Arc::new(CassandraStore::connect(options).await?)
            }
        })
    }

    /// Deletes what the run wrote.
    pub async fn remove(&self) -> Result<()> {
        if let PlaceKind::Cassandra { point, cluster_id } = &self.kind {
            let session = session(point).await?;
            let suffix = format!("_{cluster_id}");
            let found = session
                .query_unpaged("SELECT keyspace_name FROM system_schema.keyspaces", ())
                .await?
                .into_rows_result()?;
            for row in found.rows::<(String,)>()? {
                let (keyspace,) = row?;
                if keyspace.ends_with(&suffix) {
                    session
                        .query_unpaged(format!("DROP KEYSPACE {keyspace}"), ())
                        .await?;
                }
            }
        }
        std::fs::remove_dir_all(&self.folder)
            .with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}

/// An SQLite store in this folder.
pub fn sqlite_at(folder: &Path) -> Result<SqliteStore> {
    let options = Options::new(Arc::new(SystemClock));
    Ok(SqliteStore::open(folder.join("weft.sqlite"), options)?)
}

/// A session of the bare driver.
pub async fn session(point: &str) -> Result<Session> {
    Ok(SessionBuilder::new().known_node(point).build().await?)
}
