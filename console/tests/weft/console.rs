//! The console against a node with prepared answers.

use serde_json::json;

use crate::common::{OK, node, weft, weft_with_stdin};

fn table() -> String {
    [
        r#"{"frame":"columns","columns":["Batch id","Notes"]}"#,
        r#"{"frame":"row","row":["b1",null]}"#,
        r#"{"frame":"notice","message":"it waits"}"#,
        r#"{"frame":"end","status":"ok","session":{"scope":{"a":"1"}}}"#,
        "",
    ]
    .join("\n")
}

#[test]
fn a_table_goes_to_stdout_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (url, seen) = node(vec![(200, table()), (200, format!("{OK}\n"))]);
    let run = weft(
        folder.path(),
        &["console", "--server", &url, "-e", "BATCH_LIST; CLUSTERID;"],
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        run.out,
        "|Batch id|Notes|\n+--------+-----+\n|b1      |null |\n(1 row)\n"
    );
    assert_eq!(run.err, "it waits\n");
    let first = seen.recv().expect("asked");
    assert!(
        first.head.starts_with("POST /api/v1/statements "),
        "{}",
        first.head
    );
    assert_eq!(first.body["statement"], "BATCH_LIST;");
    let second = seen.recv().expect("asked");
    assert_eq!(
        second.body["session"]["scope"],
        json!({"a": "1"}),
        "the session is carried on"
    );
}

#[test]
fn every_machine_format_is_clean() {
    let folder = tempfile::tempdir().expect("a folder");
    for (format, expected) in [
        ("json", "[\n  {\"Batch id\":\"b1\",\"Notes\":null}\n]\n"),
        ("jsonl", "{\"Batch id\":\"b1\",\"Notes\":null}\n"),
        ("csv", "Batch id,Notes\nb1,\n"),
        ("tsv", "Batch id\tNotes\nb1\t\n"),
        ("md", "| Batch id | Notes |\n| --- | --- |\n| b1 | null |\n"),
        (
            "vertical",
            "-[ row 1 ]-\nBatch id | b1\nNotes    | null\n(1 row)\n",
        ),
    ] {
        let (url, _seen) = node(vec![(200, table())]);
        let run = weft(
            folder.path(),
            &[
                "console",
                "--server",
                &url,
                "-q",
                "-o",
                format,
                "-e",
                "BATCH_LIST",
            ],
        );
        assert_eq!(
            (run.out.as_str(), run.err.as_str()),
            (expected, ""),
            "{format}"
        );
        let (url, _seen) = node(vec![(200, table())]);
        let set = format!("SET OUTPUT = {format}; BATCH_LIST;");
        let run = weft(folder.path(), &["console", "--server", &url, "-e", &set]);
        assert_eq!(run.out, expected, "SET OUTPUT = {format}");
    }
}

#[test]
fn the_end_of_a_statement_is_the_exit_code_and_ends_the_script() {
    let folder = tempfile::tempdir().expect("a folder");
    for (status, code) in [
        ("failed", 1),
        ("usage", 2),
        ("batch_failed", 3),
        ("cancelled", 4),
        ("not_found", 5),
        ("not_allowed", 6),
        ("unreachable", 7),
    ] {
        let end =
            json!({"frame": "end", "status": status, "error": "no luck\nhint: try", "session": {}});
        let (url, seen) = node(vec![(200, format!("{end}\n")), (200, format!("{OK}\n"))]);
        let run = weft(
            folder.path(),
            &[
                "console",
                "--server",
                &url,
                "-e",
                "CLUSTERID;",
                "-e",
                "CLUSTERID;",
            ],
        );
        assert_eq!(run.code, Some(code), "{run:?}");
        assert_eq!(run.err, "error: no luck\nhint: try\n");
        assert!(
            seen.recv().is_ok() && seen.try_recv().is_err(),
            "the second statement is not sent"
        );
    }
}

#[test]
fn problems_of_the_api_are_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    for (status, code) in [(401, 6), (403, 6), (404, 5), (422, 2), (503, 7), (500, 1)] {
        let (url, _seen) = node(vec![(
            status,
            json!({"title": "T", "detail": "the reason"}).to_string(),
        )]);
        let run = weft(
            folder.path(),
            &["console", "--server", &url, "-e", "CLUSTERID;"],
        );
        assert_eq!(run.code, Some(code), "{run:?}");
        assert!(run.err.starts_with("error: the reason\n"), "{run:?}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_no_success() {
    let folder = tempfile::tempdir().expect("a folder");
    let cut = table().lines().take(2).collect::<Vec<_>>().join("\n");
    let (url, _seen) = node(vec![(200, cut)]);
    let run = weft(
        folder.path(),
        &[
            "console",
            "--server",
            &url,
            "-o",
            "json",
            "-e",
            "BATCH_LIST;",
        ],
    );
    assert_eq!(run.code, Some(7), "{run:?}");
    assert_eq!(
        run.out, "[\n  {\"Batch id\":\"b1\",\"Notes\":null}\n]\n",
        "still an array"
    );
    let id = "35408af6-0000-4000-8000-000000000000";
    let progress = json!({"frame": "progress", "batch": id, "status": "IN_PROGRESS", "done": 1, "failed": 0, "total": 2, "pace": 0.5, "note": null});
    let (url, _seen) = node(vec![(200, format!("{progress}\n"))]);
    let run = weft(
        folder.path(),
        &["console", "--server", &url, "-e", "BATCH_LIST;"],
    );
    assert_eq!(run.code, Some(7), "{run:?}");
    assert!(
        run.err
            .contains(&format!("hint: batch {id} continues on the next node")),
        "{run:?}"
    );
    let (url, _seen) = node(vec![(200, "<html>\n".to_owned())]);
    let run = weft(
        folder.path(),
        &["console", "--server", &url, "-e", "BATCH_LIST;"],
    );
    assert_eq!(run.code, Some(1), "{run:?}");
}

#[test]
fn a_timeout_leaves_the_batch_alone_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let id = "35408af6-0000-4000-8000-000000000000";
    let progress = json!({"frame": "progress", "batch": id, "status": "IN_PROGRESS", "done": 1, "failed": 0, "total": 2, "pace": 0.5, "note": null});
    let (url, _seen) = node(vec![(200, format!("{progress}\n…"))]);
    let statement = "BATCH Customer FABRIC_COMMAND='sync_instance Customer.?';";
    let run = weft(
        folder.path(),
        &[
            "console",
            "--server",
            &url,
            "--timeout",
            "1",
            "-e",
            statement,
        ],
    );
    assert_eq!(run.code, Some(124), "{run:?}");
    assert!(
        run.err
            .contains(&format!("Timed out; batch {id} continues")),
        "{run:?}"
    );
}

#[test]
fn ctrl_c_stops_waiting_only() {
    use std::io::{BufRead, BufReader, Read};
    let folder = tempfile::tempdir().expect("a folder");
    let id = "35408af6-0000-4000-8000-000000000000";
    let progress = json!({"frame": "progress", "batch": id, "status": "NEW", "done": 0, "failed": 0, "total": null, "pace": 0.0, "note": "no live node matches JOB_AFFINITY 'x'"});
    let (url, _seen) = node(vec![(200, format!("{progress}\n…"))]);
    let statement = "BATCH Customer FABRIC_COMMAND='sync_instance Customer.?';";
    let mut child = crate::common::command(
        folder.path(),
        &["console", "--server", &url, "-e", statement],
    )
    .stderr(std::process::Stdio::piped())
    .spawn()
    .expect("the binary starts");
    let mut err = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    err.read_line(&mut line).expect("the note");
    assert_eq!(line, "no live node matches JOB_AFFINITY 'x'\n");
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupted.expect("kill runs").success());
    let mut rest = String::new();
    err.read_to_string(&mut rest).expect("the rest");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(
        rest.contains(&format!("Stopped waiting; batch {id} continues")),
        "{rest}"
    );
}

#[test]
fn stdin_is_run_statement_by_statement() {
    let folder = tempfile::tempdir().expect("a folder");
    let (url, seen) = node(vec![(200, format!("{OK}\n")), (200, format!("{OK}\n"))]);
    let run = weft_with_stdin(
        folder.path(),
        &["console", "--server", &url],
        "CLUSTERID;\n-- a comment\nBATCH_LIST\n  STATUS='ALL';\n",
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(seen.recv().expect("asked").body["statement"], "CLUSTERID;");
    assert_eq!(
        seen.recv().expect("asked").body["statement"],
        "BATCH_LIST\n  STATUS='ALL';"
    );
}

#[test]
fn a_file_with_an_invalid_statement_runs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.weft"), "CLUSTERID;\nBATCH_LISST;\n").expect("written");
    let (url, seen) = node(vec![(200, format!("{OK}\n"))]);
    let run = weft(
        folder.path(),
        &["console", "--server", &url, "-f", "a.weft"],
    );
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(
        run.err.contains("BATCH_LISST") && run.err.contains('^'),
        "{run:?}"
    );
    assert!(seen.try_recv().is_err());
}

#[test]
fn a_token_is_found_where_the_node_left_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (url, seen) = node(vec![(200, format!("{OK}\n"))]);
    std::fs::create_dir(folder.path().join(".weft")).expect("made");
    std::fs::write(folder.path().join(".weft/address"), format!("{url}\n")).expect("written");
    std::fs::write(folder.path().join(".weft/token"), "t0ken\n").expect("written");
    let run = weft(folder.path(), &["console", "-e", "CLUSTERID;"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let head = seen.recv().expect("asked").head.to_ascii_lowercase();
    assert!(head.contains("authorization: bearer t0ken"), "{head}");
}
