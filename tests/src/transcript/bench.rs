//! A node on an empty store, with the example project deployed.

use std::path::{Path, PathBuf};

use anyhow::bail;
use serde_json::Value;
use tempfile::TempDir;
use weft::example::{Options, materialise};
use weft_model::Session;
use weft_statement::{EndStatus, Frame};

use super::node::Node;
use super::place::Place;

/// A node with the example project. Dropping it ends the node and removes its folder.
#[derive(Debug)]
pub struct Bench {
    /// The node.
    pub node: Node,
    /// The address of its store.
    pub store: String,
    folder: TempDir,
}

impl Bench {
    /// Starts a node on an empty store and deploys the example project with `ids` ids.
    ///
    /// # Errors
    /// The node does not start, or rejects the project.
    pub async fn set(place: &dyn Place, ids: u64, node_ip: &str) -> anyhow::Result<Self> {
        Self::set_with(place, ids, node_ip, &[]).await
    }

    /// Like [`Bench::set`], with settings `section.KEY=value`. `<folder>` in a setting stands for the folder of the
    /// node, which has an empty folder `files`.
    ///
    /// # Errors
    /// The node does not start, or rejects the project.
    pub async fn set_with(
        place: &dyn Place,
        ids: u64,
        node_ip: &str,
        settings: &[String],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("files"))?;
        let options = Options {
            ids,
            ..Options::default()
        };
        materialise(&folder.path().join("project"), options)?;
        let store = place.clear(folder.path()).await?;
        let here = folder.path().display().to_string();
        let settings: Vec<String> = settings
            .iter()
            .map(|setting| setting.replace("<folder>", &here))
            .collect();
        let mut args = vec!["--node-ip", node_ip];
        for setting in &settings {
            args.extend(["--set", setting]);
        }
        let node = Node::start(folder.path(), &store, &args).await?;
        let bench = Self {
            node,
            store,
            folder,
        };
        let deploy = format!("DEPLOY '{}';", bench.project().display());
        bench.rows(&deploy).await?;
        Ok(bench)
    }

    /// The folder that the node runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the example project.
    pub fn project(&self) -> PathBuf {
        self.folder().join("project")
    }

    /// Runs a statement in a new session and returns the rows of its answer.
    ///
    /// # Errors
    /// The node does not answer, or the statement fails.
    pub async fn rows(&self, statement: &str) -> anyhow::Result<Vec<Vec<Value>>> {
        let frames = self.node.statement(statement, &Session::default()).await?;
        let mut rows = Vec::new();
        for frame in frames {
            match frame {
                Frame::Row { row } => rows.push(row),
                Frame::End(end) if end.status != EndStatus::Ok => {
                    bail!("{statement}: {}", end.error.unwrap_or_default())
                }
                Frame::Columns { .. }
                | Frame::Progress(_)
                | Frame::Notice { .. }
                | Frame::End(_) => (),
            }
        }
        Ok(rows)
    }
}
