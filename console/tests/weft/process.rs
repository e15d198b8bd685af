//! The binary without a node: help, wrong usage, settings, and the check of a file.

use crate::common::{Run, command, weft, weft_with_stdin};

#[test]
fn help_names_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = weft(folder.path(), &["--help"]);
    assert_eq!(run.code, Some(0));
    for command in [
        "console", "check", "dev", "node", "schema", "deploy", "doctor", "instance", "example",
    ] {
        assert!(
            run.out.contains(&format!("\n  {command} ")),
            "{command}: {}",
            run.out
        );
        let run = weft(folder.path(), &[command, "--help"]);
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{command}");
    }
    assert_eq!(
        weft(folder.path(), &["--version"]).out,
        format!("weft {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_usage_ends_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases: &[&[&str]] = &[
        &[],
        &["nonsense"],
        &["console", "--output", "xml"],
        &["console", "--timeout", "0"],
        &["console", "--server", "ftp://a", "-e", "CLUSTERID;"],
        &[
            "console",
            "--server",
            "http://127.0.0.1:1",
            "-e",
            "BATCH_LISST;",
        ],
        &[
            "console",
            "--server",
            "http://127.0.0.1:1",
            "-f",
            "absent.weft",
        ],
        &[
            "console",
            "--server",
            "http://127.0.0.1:1",
            "--token-file",
            "absent",
            "-e",
            "CLUSTERID;",
        ],
        &["check"],
        &["check", "-f", "absent.weft"],
        &["node", "--data", "d"],
        &["node", "--data", "d", "--store", "mysql://h"],
        &["node", "--data", "d", "--store", "cassandra://u:p@h"],
        &["dev", "--set", "nonsense", "--check"],
        &["dev", "--set", "jobs.NONSENSE=1", "--check"],
        &["schema"],
        &["doctor", "--store", "x"],
    ];
    for args in cases {
        let run = weft(folder.path(), args);
        assert_eq!(run.code, Some(2), "{args:?}: {run:?}");
        assert_eq!(run.out, "", "{args:?}");
        assert!(!run.err.is_empty(), "{args:?}");
    }
}

#[test]
fn without_a_node_it_says_what_to_run() {
    let folder = tempfile::tempdir().expect("a folder");
    for args in [
        &["console", "-e", "CLUSTERID;"][..],
        &[
            "console",
            "--server",
            "http://127.0.0.1:1",
            "-e",
            "CLUSTERID;",
        ],
        &["deploy", "."],
    ] {
        let run = weft(folder.path(), args);
        assert_eq!(
            (run.code, run.out.as_str()),
            (Some(7), ""),
            "{args:?}: {run:?}"
        );
        assert!(run.err.contains("\nhint: start `weft dev`"), "{run:?}");
    }
}

#[test]
fn a_file_is_checked_statement_by_statement() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("good.weft"), "CLUSTERID;\nBATCH_LIST;\n").expect("written");
    let run = weft(folder.path(), &["check", "-f", "good.weft"]);
    assert_eq!(run.code, Some(0));
    assert_eq!(
        run.out,
        "{\"line\":1,\"statement\":\"CLUSTERID;\",\"ok\":true}\n{\"line\":2,\"statement\":\"BATCH_LIST;\",\"ok\":true}\n"
    );
    let run = weft_with_stdin(
        folder.path(),
        &["check", "-f", "-"],
        "CLUSTERID;\nBATCH_LIST STATUS='NONSENSE';",
    );
    assert_eq!(run.code, Some(2), "{run:?}");
    let lines: Vec<serde_json::Value> = run
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        (&lines[0]["ok"], &lines[1]["ok"], &lines[1]["line"]),
        (&true.into(), &false.into(), &2.into())
    );
    assert!(lines[1]["error"].is_string());
}

#[test]
fn settings_are_checked_all_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("made");
    std::fs::write(
        data.join("config.ini"),
        "[batch_process]\nMAX_RUNNING_BATCHES=x\nMAX_WORKERS_PER_NOD=1\nMAX_CHUNK_SIZE=0\n",
    )
    .expect("written");
    let args = [
        "node",
        "--store",
        "sqlite:a.db",
        "--data",
        "data",
        "--check",
    ];
    let run = weft(folder.path(), &args);
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{run:?}");
    assert!(
        run.err
            .contains("data/config.ini:2: [batch_process] MAX_RUNNING_BATCHES: `x` is not allowed"),
        "{run:?}"
    );
    assert!(
        run.err
            .contains("data/config.ini:4: [batch_process] MAX_CHUNK_SIZE: `0` is not allowed"),
        "{run:?}"
    );

    std::fs::write(
        data.join("config.ini"),
        "[batch_process]\nMAX_WORKERS_PER_NOD=1\n",
    )
    .expect("written");
    let run = weft(
        folder.path(),
        &[&args[..], &["--node-ip", "10.0.0.7"]].concat(),
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.err
            .contains("did you mean `[batch_process] MAX_WORKERS_PER_NODE`?"),
        "{run:?}"
    );
    let line = run
        .out
        .lines()
        .find(|line| line.contains("|effective_ip"))
        .expect("a line");
    assert!(
        line.contains("|10.0.0.7") && line.contains("|--node-ip"),
        "{line}"
    );
    assert!(!data.join("node.id").exists(), "--check makes nothing");
}

#[test]
fn the_environment_sets_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = command(folder.path(), &["dev", "--check"])
        .env("WEFT_BATCH_PROCESS__MAX_RUNNING_BATCHES", "3")
        .output();
    let run: Run = output.expect("the binary runs").into();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.out.contains("$WEFT_BATCH_PROCESS__MAX_RUNNING_BATCHES"),
        "{run:?}"
    );
}
