//! PROCESS as the command of a batch, with real scripts.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;
use weft_connect::EntityScripts;
use weft_lang::Pattern;
use weft_model::{BatchId, BatchSpec, EntitySource, NodeId};
use weft_project::command::{ChunkContext, EntityCommand, EntityOutcome, ScriptCommands};
use weft_project::interface::Environment;

use crate::bench::Bench;

fn bind(bench: &Bench, script: &str, arguments: &[&str]) -> Result<Arc<dyn EntityCommand>, String> {
    let variables = BTreeMap::from([
        ("HOME".to_owned(), "/somewhere".to_owned()),
        ("DB_PASSWORD".to_owned(), "x".to_owned()),
    ]);
    let data = bench.folder.path().join("data");
    let scripts = EntityScripts::new(&data, Environment::from_map(variables));
    let arguments = arguments.iter().map(|text| Pattern::new(*text)).collect();
    let bound = scripts.bind(&bench.folder.path().join("project"), script, arguments);
    bound.map_err(|error| error.to_string())
}

fn chunk(execution: &str) -> ChunkContext {
    let spec = BatchSpec::new("LU", EntitySource::Stored, "process x.sh ?");
    ChunkContext {
        batch: BatchId(Uuid::from_u128(7)),
        spec: Arc::new(spec),
        execution_id: execution.to_owned(),
        fence: 5,
        node: NodeId("n1".to_owned()),
    }
}

async fn run(command: &Arc<dyn EntityCommand>, execution: &str, id: &str) -> EntityOutcome {
    let ids = [id.to_owned()];
    let mut prepared = command.prepare(&chunk(execution), &ids).await.unwrap();
    prepared.run(id).await
}

async fn output(command: &Arc<dyn EntityCommand>, execution: &str, id: &str) -> String {
    match run(command, execution, id).await {
        EntityOutcome::Completed { result, instance } => {
            assert_eq!(instance, None);
            result
        }
        EntityOutcome::Failed(error) => panic!("{error}"),
    }
}

async fn error(command: &Arc<dyn EntityCommand>, id: &str) -> String {
    match run(command, "e1", id).await {
        EntityOutcome::Completed { result, .. } => panic!("{result}"),
        EntityOutcome::Failed(error) => error,
    }
}

#[tokio::test]
async fn an_id_is_one_argument_and_no_shell_reads_it() {
    let bench = Bench::new();
    bench.script("args.sh", r#"printf '%s,' "$#" "$@"; cat; pwd >/dev/null"#);
    let command = bind(&bench, "args.sh", &["?", "to ?", "a  b"]).unwrap();
    for id in ["V1", "$(id) `id` * ; '\"", "two\nlines", "?", "", "-n"] {
        let result = output(&command, "e1", id).await;
        let result: serde_json::Value = serde_json::from_str(&result).unwrap();
        assert_eq!(result["output"], format!("3,{id},to {id},a  b,"));
    }
    assert_eq!(bench.work_folders(), 0);
}

#[tokio::test]
async fn a_script_sees_fence_and_key_and_nothing_else_of_the_node() {
    let bench = Bench::new();
    bench.script("env.sh", "env | grep -v -e ^PATH= -e ^PWD= -e ^_= | sort");
    let command = bind(&bench, "env.sh", &["?"]).unwrap();
    let first = output(&command, "e1", "V1").await;
    let batch = Uuid::from_u128(7);
    let key = |name: &str| Uuid::new_v5(&batch, name.as_bytes());
    let expected = format!(
        "{{\"output\":\"HOME=/somewhere\\nWEFT_BATCH={batch}\\nWEFT_EXECUTION=e1\\nWEFT_FENCE=5\\nWEFT_IDEMPOTENCY_KEY={}\"}}",
        key("e1\nV1")
    );
    assert_eq!(first, expected);
    assert_eq!(output(&command, "e1", "V1").await, first);
    let key = key("e1\nV2").to_string();
    assert!(output(&command, "e1", "V2").await.contains(&key));
    assert!(!output(&command, "e2", "V2").await.contains(&key));
}

#[tokio::test]
async fn a_failure_has_the_last_lines_of_stderr() {
    let bench = Bench::new();
    bench.script("fail.sh", "echo out; seq 1 9 >&2; exit 4");
    bench.script("signal.sh", "kill -9 $$");
    bench.file("broken.sh", "#!/no/such/interpreter\n");
    let fails = bind(&bench, "fail.sh", &["?"]).unwrap();
    assert_eq!(
        error(&fails, "V1").await,
        "scripts/fail.sh ended with exit code 4: 5 | 6 | 7 | 8 | 9"
    );
    assert_eq!(
        error(&bind(&bench, "signal.sh", &["?"]).unwrap(), "V1").await,
        "scripts/signal.sh was ended by signal 9 (SIGKILL)"
    );
    assert_eq!(
        error(&bind(&bench, "broken.sh", &["?"]).unwrap(), "V1").await,
        "scripts/broken.sh cannot be started: the interpreter in its first line does not exist on this node"
    );
    let with_nul = error(&fails, "a\0b").await;
    assert!(
        with_nul.starts_with("scripts/fail.sh cannot be started"),
        "{with_nul}"
    );
    assert_eq!(bench.work_folders(), 0);
}

#[tokio::test]
async fn only_scripts_of_the_project_are_bound() {
    let bench = Bench::new();
    bench.script("notify.sh", "true");
    for (script, expected) in [
        (
            "notfy.sh",
            "the deployed project has no scripts/notfy.sh; did you mean `scripts/notify.sh`?",
        ),
        (
            "/bin/true",
            "`/bin/true` is an absolute path; name a file in the folder scripts/ of the deployed project",
        ),
        (
            "../../bin/true",
            "`../../bin/true` leaves the folder scripts/; name a file in the folder scripts/ of the deployed project",
        ),
    ] {
        assert_eq!(bind(&bench, script, &["?"]).unwrap_err(), expected);
    }
}

/// A cancelled batch, an entity that takes too long and a node that may no longer act all drop the future.
#[tokio::test]
async fn dropping_a_run_ends_all_its_processes() {
    let bench = Bench::new();
    bench.script(
        "wait.sh",
        r#"trap '' TERM; exec 3>"$1"; sleep 1000 & echo started >&3; wait"#,
    );
    let mut lifeline = bench.lifeline();
    let command = bind(&bench, "wait.sh", &[lifeline.path(), "?"]).unwrap();
    let mut running = Box::pin(run(&command, "e1", "V1"));
    tokio::select! {
        outcome = &mut running => panic!("{outcome:?}"),
        _ = lifeline.started() => (),
    }
    drop(running);
    lifeline.ended().await;
}
