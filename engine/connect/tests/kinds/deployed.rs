//! PROCESS with a deployed project.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use weft_connect::{Parts, kinds};
use weft_model::NodeId;
use weft_model::clock::{SharedClock, SystemClock};
use weft_model::ids::Ids;
use weft_node::NodeConfig;
use weft_node::job::{CheckpointStore, JobKinds, Run, Slot};
use weft_node::trace::Traces;
use weft_project::ProjectCatalogue;
use weft_project::interface::Environment;
use weft_sqlite::{Options, SqliteStore};
use weft_statement::LateStatements;
use weft_store::SelfFence;
use weft_store::SharedStore;

use crate::bench::{Calls, process, succeeded};

fn write(project: &Path, path: &str, content: &str, mode: u32) {
    let path = project.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn scripts_run_as_they_were_deployed_last() {
    let folder = tempfile::tempdir().unwrap();
    let clock: SharedClock = Arc::new(SystemClock);
    let store = SqliteStore::open(
        folder.path().join("store"),
        Options::new(Arc::clone(&clock)),
    );
    let store: SharedStore = Arc::new(store.unwrap());
    let environment = Environment::from_map(BTreeMap::new());
    let config = NodeConfig::with_defaults(NodeId("n1".to_owned()), folder.path().join("data"));
    let catalogue = Arc::new(ProjectCatalogue::new(
        Arc::clone(&store),
        Arc::clone(&clock),
        config.data.clone(),
        environment.clone(),
    ));
    let kinds = JobKinds::new(kinds(Parts {
        projects: Arc::clone(&catalogue) as Arc<_>,
        config,
        environment,
        call_back: Arc::new(Calls::default()),
        traces: Traces::default(),
        statements: LateStatements::default(),
        checkpoints: CheckpointStore::new(Arc::clone(&store), Ids::seeded(2), Arc::clone(&clock)),
        store,
    }));
    let kind = kinds.get("PROCESS").unwrap();
    let job = process("hello.sh", &json!({"0": "there"}));
    let refused = kind.check(&job).await.unwrap_err();
    assert_eq!(refused.message, "no project is deployed");

    let project = folder.path().join("project");
    let ids = Ids::seeded(1);
    let self_fence = SelfFence::for_duration(clock, Duration::from_secs(60));
    // The permissions in the folder of the author do not matter: the project is unpacked read-only.
    write(
        &project,
        "scripts/hello.sh",
        "#!/bin/sh\necho first $1\n",
        0o775,
    );
    write(&project, "scripts/notes.txt", "no script\n", 0o664);
    let by = "tester";
    catalogue
        .deploy(&project, by, &ids, &self_fence)
        .await
        .unwrap();
    kind.check(&job).await.unwrap();
    let run = || Run {
        job: job.clone(),
        stop: CancellationToken::new(),
        slot: Slot::default(),
    };
    assert_eq!(
        succeeded(kind.run(run()).await).text.as_deref(),
        Some("first there")
    );
    let refused = kind
        .check(&process("notes.txt", &json!({})))
        .await
        .unwrap_err();
    assert_eq!(refused.message, "scripts/notes.txt is not executable");

    write(
        &project,
        "scripts/hello.sh",
        "#!/bin/sh\necho second $1\n",
        0o755,
    );
    catalogue
        .deploy(&project, by, &ids, &self_fence)
        .await
        .unwrap();
    assert_eq!(
        succeeded(kind.run(run()).await).text.as_deref(),
        Some("second there")
    );

    fs::remove_file(project.join("scripts/hello.sh")).unwrap();
    catalogue
        .deploy(&project, by, &ids, &self_fence)
        .await
        .unwrap();
    let refused = kind.check(&job).await.unwrap_err();
    assert_eq!(
        refused.message,
        "the deployed project has no scripts/hello.sh"
    );
}
