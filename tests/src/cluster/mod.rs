//! Real nodes in processes of their own, on a real store. Tests start them, call them over HTTP and kill them.

mod keyspaces;
mod process;
mod proxy;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

pub use keyspaces::{EntityRecord, Keyspaces};
pub use process::{Answer, Dev, Node, Summary, weft};
pub use proxy::Proxy;

/// The logical unit of the example project.
pub const LOGICAL_UNIT: &str = "AUTODATA_DELTA";

/// The contact points of the Cassandra for tests, from `WEFT_TEST_CASSANDRA`; `None` if the variable is not set.
///
/// # Panics
/// If the variable is not set although `WEFT_TEST_STORES` requires Cassandra or the test runs in CI.
pub fn cassandra() -> Option<String> {
    if let Ok(points) = std::env::var("WEFT_TEST_CASSANDRA") {
        return Some(points);
    }
    let is_required = match std::env::var("WEFT_TEST_STORES") {
        Ok(stores) => stores.split(',').any(|store| store.trim() == "cassandra"),
        Err(_) => std::env::var("CI").is_ok_and(|value| value == "true"),
    };
    assert!(
        !is_required,
        "WEFT_TEST_CASSANDRA names no Cassandra, and this run must have one"
    );
    None
}

/// Nodes on keyspaces of their own, with the example project. The keyspaces of a failed test are kept for inspection.
#[derive(Debug)]
pub struct Cluster {
    /// The keyspaces of the nodes.
    pub keyspaces: Keyspaces,
    folder: TempDir,
    points: String,
}

impl Cluster {
    /// Creates the keyspaces, and the example project with `ids` ids.
    ///
    /// # Errors
    /// The store does not answer, or the binary fails.
    pub async fn new(points: &str, ids: usize) -> anyhow::Result<Self> {
        Self::made_by(&process::binary()?, points, ids).await
    }

    /// Like [`Cluster::new`], with the schema and the example project of this binary.
    ///
    /// # Errors
    /// The store does not answer, or the binary fails.
    pub async fn made_by(binary: &Path, points: &str, ids: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let keyspaces = Keyspaces::connect(points).await?;
        let cluster = Self {
            keyspaces,
            folder,
            points: points.to_owned(),
        };
        let folder = cluster.folder.path();
        let store = cluster.store(points);
        process::weft_of(binary, folder, &["schema", "migrate", "--store", &store])?;
        let ids = ids.to_string();
        let example = ["example", "--dir", "project", "--ids", &ids];
        process::weft_of(binary, folder, &example)?;
        Ok(cluster)
    }

    /// Brings the schema to the version of the binary under test.
    ///
    /// # Errors
    /// The store does not answer, or the binary fails.
    pub fn migrate(&self) -> anyhow::Result<()> {
        let store = self.store(&self.points);
        weft(
            self.folder.path(),
            &["schema", "migrate", "--store", &store],
        )
    }

    /// The address of the store with these contact points.
    fn store(&self, points: &str) -> String {
        format!("cassandra://{points}?cluster={}", self.keyspaces.cluster_id)
    }

    /// The folder of the example project, from which the nodes read ids and rows.
    pub fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// A folder for the files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a node and waits until it is ready.
    ///
    /// # Errors
    /// The node exits, or is not ready in time.
    pub async fn start(&self, name: &str, more: &[&str]) -> anyhow::Result<Node> {
        self.start_at(name, &self.points, more).await
    }

    /// Like [`Cluster::start`], for a node that reaches the store through other contact points.
    ///
    /// # Errors
    /// The node exits, or is not ready in time.
    pub async fn start_at(&self, name: &str, points: &str, more: &[&str]) -> anyhow::Result<Node> {
        self.start_binary(&process::binary()?, name, points, more)
            .await
    }

    /// Like [`Cluster::start_at`], with this binary.
    ///
    /// # Errors
    /// The node exits, or is not ready in time.
    pub async fn start_binary(
        &self,
        binary: &Path,
        name: &str,
        points: &str,
        more: &[&str],
    ) -> anyhow::Result<Node> {
        let store = self.store(points);
        let mut args = vec![
            "node",
            "--store",
            &store,
            "--data",
            name,
            "--listen",
            "127.0.0.1:0",
            "--set",
            "fabric_cluster.FABRIC_HEARTBEAT_INTERVAL_MS=500",
            "--set",
            "fabric_cluster.FABRIC_HEARTBEAT_MISS=6",
            "--set",
            "fabric_cluster.POLL_INTERVAL_MS=200",
            "--set",
            "batch_process.CANCEL_GRACE_SEC=2",
        ];
        args.extend(more);
        Node::start(binary, self.folder.path(), name, &args).await
    }

    /// Starts these nodes, deploys the project through the first one, and waits until each node sees all others.
    ///
    /// # Errors
    /// A node exits, rejects a statement, or does not see the others in time.
    pub async fn start_all(&self, names: &[&str], more: &[&str]) -> anyhow::Result<Vec<Node>> {
        let mut nodes = Vec::new();
        for name in names {
            nodes.push(self.start(name, more).await?);
        }
        self.deploy(&nodes[0]).await?;
        self.see_each_other(&nodes).await?;
        Ok(nodes)
    }

    /// Deploys the project through this node.
    ///
    /// # Errors
    /// The node rejects the project.
    pub async fn deploy(&self, node: &Node) -> anyhow::Result<()> {
        let project = self.project();
        let statement = format!("DEPLOY '{}';", project.display());
        node.run(&statement).await?;
        Ok(())
    }

    /// Waits until CLUSTERSTATUS of each node lists all nodes.
    ///
    /// # Errors
    /// A node does not list them within 30 s.
    pub async fn see_each_other(&self, nodes: &[Node]) -> anyhow::Result<()> {
        for node in nodes {
            until(
                "all nodes see each other",
                Duration::from_secs(30),
                async || {
                    let answer = node.run("CLUSTERSTATUS;").await?;
                    let text = answer.text();
                    Ok(nodes
                        .iter()
                        .all(|other| text.contains(&other.id))
                        .then_some(()))
                },
            )
            .await?;
        }
        Ok(())
    }

    /// Keeps the folder and the keyspaces, and returns the folder.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// Drops the keyspaces.
    ///
    /// # Errors
    /// A keyspace cannot be dropped.
    pub async fn end(self) -> anyhow::Result<()> {
        self.keyspaces.drop_all().await
    }
}

/// Repeats `question` every 50 ms until it has an answer, at most for `limit`.
///
/// # Errors
/// `question` fails, or has no answer in time.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    question: impl AsyncFn() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = question().await.with_context(|| what.to_owned())? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {limit:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Checks that the records are those of the ids 1..=count of the example, each once and COMPLETED.
///
/// # Errors
/// An id is missing, has two records, or is not COMPLETED.
pub fn check_each_once(records: &[(String, String)], count: usize) -> anyhow::Result<()> {
    let mut ids: Vec<&str> = records.iter().map(|(id, _)| id.as_str()).collect();
    ids.sort_unstable();
    let wanted: Vec<String> = (1..=count).map(|number| format!("V{number:07}")).collect();
    for pair in ids.windows(2) {
        ensure!(pair[0] != pair[1], "{} has two records", pair[0]);
    }
    ensure!(
        ids == wanted,
        "{} records instead of {count}, from {:?} to {:?}",
        ids.len(),
        ids.first(),
        ids.last()
    );
    for (id, status) in records {
        ensure!(status == "COMPLETED", "{id} is {status}");
    }
    Ok(())
}
