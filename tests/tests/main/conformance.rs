//! The conformance suite on every store.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tempfile::TempDir;
use weft_model::clock::SystemClock;
use weft_sqlite::{Options, SqliteStore};
use weft_store::SharedStore;
use weft_tests::conformance::{Harness, run_suite};

/// A fresh file per case.
#[derive(Default)]
struct SqliteFiles(Mutex<Vec<TempDir>>);

#[async_trait]
impl Harness for SqliteFiles {
    async fn store(&self) -> anyhow::Result<SharedStore> {
        let folder = tempfile::tempdir()?;
        let store = SqliteStore::open(
            folder.path().join("weft.db"),
            Options::new(Arc::new(SystemClock)),
        )?;
        self.0.lock().expect("no case panics here").push(folder);
        Ok(Arc::new(store))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_conforms() {
    let count = run_suite("sqlite", &SqliteFiles::default()).await;
    assert!(count >= 60 || std::env::var_os("WEFT_CASE").is_some());
}
