//! Scripts that run as jobs of a node.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::common::{Running, weft};

const PATIENCE: Duration = Duration::from_secs(60);

/// A project with one script.
fn project(folder: &Path, name: &str, script: &str) {
    let scripts = folder.join("project/scripts");
    fs::create_dir_all(&scripts).expect("a folder");
    let path = scripts.join(name);
    fs::write(&path, script).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
}

#[test]
fn a_script_asks_the_node_that_runs_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let script =
        "#!/bin/sh\nexec weft console -q -o csv -e \"ECHO 'called back';\" > \"$1\" 2>&1\n";
    project(folder.path(), "call.sh", script);
    let answer = folder.path().join("answer");
    let made = Command::new("mkfifo").arg(&answer).status();
    assert!(made.expect("mkfifo runs").success());
    let args = ["dev", "--port", "0", "--project", "project"];
    let _dev = Running::start(folder.path(), &args);

    let start = |name: &str| {
        let arguments = format!(r#"{{"0":"{}"}}"#, answer.display());
        let statement = format!("STARTJOB PROCESS NAME='{name}' UID='u' ARGS='{arguments}';");
        weft(folder.path(), &["console", "-e", &statement])
    };
    let refused = start("calls.sh");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused
            .err
            .contains("the deployed project has no scripts/calls.sh")
            && refused
                .err
                .contains("hint: did you mean `scripts/call.sh`?"),
        "{refused:?}"
    );

    let (sender, receiver) = channel();
    let pipe = answer.clone();
    // Waits for the script, and then for the answer of the node.
    std::thread::spawn(move || sender.send(fs::read_to_string(pipe)));
    let started = start("call.sh");
    assert_eq!(started.code, Some(0), "{started:?}");
    let answered = receiver.recv_timeout(PATIENCE).expect("it is run");
    assert_eq!(answered.expect("an answer"), "Echo\ncalled back\n");
}
