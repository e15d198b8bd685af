//! Runs every command block of README.md, so the tests type what a reader types.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Starts a server in the background and waits for the line that says it is ready.
const PRELUDE: &str = r#"
set -euo pipefail
pids=()
finish() { code=$?; for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done; exit "$code"; }
trap finish EXIT
background() {
    local log="server-${#pids[@]}.log"
    "$@" >"$log" 2>&1 &
    local pid=$!
    pids+=("$pid")
    until grep -q '^Listening on http' "$log"; do
        kill -0 "$pid" 2>/dev/null || { cat "$log" >&2; echo "ended: $*" >&2; exit 90; }
        sleep 0.1
    done
}
ran() { :; }
"#;

/// The `sh` blocks, each as its lines.
fn blocks() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(REPOSITORY).join("README.md")).expect("README.md");
    let mut blocks = Vec::new();
    let mut open: Option<Vec<String>> = None;
    for line in text.lines() {
        match (&mut open, line) {
            (None, "```sh") => open = Some(Vec::new()),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), line) => block.push(line.to_owned()),
            (None, _) => (),
        }
    }
    blocks
}

/// A line as the test runs it: with the binary under test, free ports, and servers awaited until they are ready.
fn as_run(line: &str) -> String {
    let line = match line {
        // This test runs within scripts/test.
        "scripts/test" => return "ran scripts/test".to_owned(),
        "scripts/demo" => "scripts/demo --no-build".to_owned(),
        line => line.to_owned(),
    };
    let line = line
        .replace("127.0.0.1:7421", "127.0.0.1:0")
        .replace("127.0.0.1:7422", "127.0.0.1:0");
    let line = match line.strip_prefix("weft ") {
        Some(rest) => format!("\"$WEFT_BIN\" {rest}"),
        None => line,
    };
    match line.strip_suffix(" &") {
        Some(server) => format!("background {server}"),
        None => line,
    }
}

fn binary() -> PathBuf {
    match std::env::var_os("WEFT_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let test = std::env::current_exe().expect("this test");
            let target = test
                .parent()
                .and_then(Path::parent)
                .expect("a target folder");
            target.join("weft")
        }
    }
}

fn run(name: &str, blocks: &[Vec<String>]) {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Path::new(REPOSITORY)
        .canonicalize()
        .expect("the repository");
    std::os::unix::fs::symlink(repository.join("scripts"), folder.path().join("scripts"))
        .expect("a link");
    let mut script = PRELUDE.to_owned();
    for line in blocks.iter().flatten() {
        let _ = writeln!(script, "{}", as_run(line));
    }
    let output = Command::new("bash")
        .arg("-c")
        .arg(&script)
        .current_dir(folder.path())
        .env("WEFT_BIN", binary())
        .env("WEFT_PORT", "0")
        .env("WEFT_DEMO_ENTITIES", "2000")
        .output()
        .expect("bash");
    assert!(
        output.status.success(),
        "{name} of README.md: {}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

#[test]
fn local_commands_run_as_written() {
    let blocks = blocks();
    let (cluster, local): (Vec<_>, Vec<_>) = blocks
        .into_iter()
        .partition(|block| block.iter().any(|line| line.contains("scripts/cassandra")));
    assert_eq!(cluster.len(), 1, "one block is for a cluster");
    assert!(
        local.len() >= 3,
        "quick start, node and statements: {local:?}"
    );
    run("the local part", &local);
}

#[test]
fn cluster_commands_run_as_written() {
    if std::env::var_os("WEFT_TEST_CASSANDRA").is_none() {
        let stores = std::env::var("WEFT_TEST_STORES").unwrap_or_default();
        assert!(
            !stores.contains("cassandra"),
            "WEFT_TEST_CASSANDRA names no server"
        );
        eprintln!("WEFT_TEST_CASSANDRA is not set: the cluster part of README.md is not run");
        return;
    }
    let blocks = blocks();
    let cluster: Vec<_> = blocks
        .into_iter()
        .filter(|block| block.iter().any(|line| line.contains("scripts/cassandra")))
        .collect();
    run("the cluster part", &cluster);
}
