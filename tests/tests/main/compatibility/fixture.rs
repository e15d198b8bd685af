//! Copies of the fixture: a store file, or keyspaces with its rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Statement;
use serde_json::{Map, Value};
use tempfile::TempDir;
use uuid::Uuid;
use weft_cql::{CassandraOptions, CassandraStore};
use weft_model::clock::{Clock, SystemClock, Timestamp};
use weft_sqlite::{Options, SqliteStore};
use weft_store::SharedStore;

use super::snapshot::WRITTEN_AT;

/// The schema files of da1c307 in order of execution.
const SCHEMA: [&str; 9] = [
    "0000_lock",
    "0001_tables",
    "0002_jobs",
    "0003_checkpoints",
    "0004_followers",
    "0004_triggers",
    "0005_settings",
    "logical_unit",
    "parsed_tables",
];
const FILE: &str = "weft.db";
const REPLICATION: &str = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}";
const KEYSPACES: [(&str, &str); 3] = [
    ("{system}", "k2viewsystem"),
    ("{batch}", "k2batchprocess"),
    ("{unit}", "k2view_customer"),
];

/// The folder with the fixture.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/da1c307")
}

/// Reads the time of the fixture, so that opening the store file does not drop its hints as too old.
#[derive(Debug)]
struct ClockOfTheFixture;

impl Clock for ClockOfTheFixture {
    fn now(&self) -> Timestamp {
        WRITTEN_AT
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
}

/// A copy of the fixture that a test may change.
pub(super) struct Copy {
    folder: TempDir,
    /// None: the copy is the store file in the folder.
    keyspaces: Option<Keyspaces>,
}

/// Keyspaces under a cluster id that no other test uses.
struct Keyspaces {
    session: Session,
    points: String,
    cluster_id: String,
}

impl Copy {
    /// Copies the store file.
    pub(super) fn sqlite() -> anyhow::Result<Self> {
        let copy = tempfile::tempdir()?;
        std::fs::copy(folder().join(FILE), copy.path().join(FILE))?;
        Ok(Self {
            folder: copy,
            keyspaces: None,
        })
    }

    /// Creates keyspaces with the schema of da1c307 and inserts the rows.
    pub(super) async fn cassandra(points: &str) -> anyhow::Result<Self> {
        let known: Vec<&str> = points.split(',').collect();
        let keyspaces = Keyspaces {
            session: SessionBuilder::new().known_nodes(&known).build().await?,
            points: points.to_owned(),
            cluster_id: format!("c{}", &Uuid::new_v4().simple().to_string()[..10]),
        };
        keyspaces.make().await?;
        keyspaces.load().await?;
        Ok(Self {
            folder: tempfile::tempdir()?,
            keyspaces: Some(keyspaces),
        })
    }

    /// The working folder of a node on this copy.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The store address for a node in that folder.
    pub(super) fn address(&self) -> String {
        match &self.keyspaces {
            None => format!("sqlite:{FILE}"),
            Some(Keyspaces {
                points, cluster_id, ..
            }) => format!("cassandra://{points}?cluster={cluster_id}"),
        }
    }

    /// Opens the store with the code under test.
    pub(super) async fn open(&self) -> anyhow::Result<SharedStore> {
        let Some(keyspaces) = &self.keyspaces else {
            let options = Options::new(Arc::new(ClockOfTheFixture));
            let store = SqliteStore::open(self.folder.path().join(FILE), options)?;
            return Ok(Arc::new(store));
        };
        let options = CassandraOptions {
            cluster_id: keyspaces.cluster_id.clone(),
            ..CassandraOptions::at(keyspaces.points.split(','))
        };
        weft_cql::migrate(&options).await?;
        Ok(Arc::new(CassandraStore::connect(options).await?))
    }

    /// Drops the keyspaces; a failed test leaves them for inspection.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        let Some(keyspaces) = self.keyspaces else {
            return Ok(());
        };
        for (_, name) in KEYSPACES {
            let name = format!("{name}_{}", keyspaces.cluster_id);
            keyspaces.run(format!("DROP KEYSPACE {name}")).await?;
        }
        Ok(())
    }
}

impl Keyspaces {
    /// Fills the placeholders of a statement; each table gets a fresh id.
    fn named(&self, text: &str) -> String {
        let mut text = text.replace("{replication}", REPLICATION);
        for (placeholder, name) in KEYSPACES {
            text = text.replace(placeholder, &format!("{name}_{}", self.cluster_id));
        }
        let mut named = String::new();
        let mut parts = text.split("{id:");
        named.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let (_, rest) = part.split_once('}').expect("a placeholder is closed");
            named.push_str(&Uuid::new_v4().to_string());
            named.push_str(rest);
        }
        named
    }

    async fn run(&self, text: String) -> anyhow::Result<()> {
        let mut statement = Statement::new(text.clone());
        statement.set_request_timeout(Some(Duration::from_secs(60)));
        let done = self.session.query_unpaged(statement, ()).await;
        done.map(drop).with_context(|| text)
    }

    async fn make(&self) -> anyhow::Result<()> {
        for file in SCHEMA {
            let path = folder().join("schema").join(format!("{file}.cql"));
            let text = std::fs::read_to_string(&path)?;
            let lines = text.lines().filter(|line| !line.starts_with("--"));
            let text: Vec<&str> = lines.collect();
            for statement in text.join("\n").split(';') {
                if !statement.trim().is_empty() {
                    self.run(self.named(statement)).await?;
                }
            }
        }
        Ok(())
    }

    /// Inserts the rows with an early write time, so that every later write wins.
    async fn load(&self) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(folder().join("keyspaces.jsonl"))?;
        for line in text.lines() {
            let line: Map<String, Value> = serde_json::from_str(line)?;
            let table = line["table"].as_str().context("a table has a name")?;
            let row = line["row"].as_object().context("a row is an object")?;
            // The cells of an instance carry its version as their write time.
            let written = row.get("sync_version").and_then(Value::as_i64).unwrap_or(1);
            let columns: Vec<String> = row.keys().map(|name| format!("\"{name}\"")).collect();
            let values = row.values().map(|value| {
                let text = value.to_string().replace('\'', "''");
                format!("fromJson('{text}')")
            });
            let values: Vec<String> = values.collect();
            let insert = format!(
                "INSERT INTO {} ({}) VALUES ({}) USING TIMESTAMP {written}",
                self.named(table),
                columns.join(", "),
                values.join(", ")
            );
            self.run(insert).await?;
        }
        Ok(())
    }
}
