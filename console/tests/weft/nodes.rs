//! Nodes as processes: the locks of their folders, what they refuse, how they end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use crate::common::{Running, weft};

const DEV: [&str; 5] = ["dev", "--port", "0", "--ids", "20"];

/// The status and body of a GET.
fn get(url: &str, path: &str) -> (u16, String) {
    let host = url.strip_prefix("http://").expect("http");
    let mut stream = TcpStream::connect(host).expect("a connection");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.expect("a status"), body.to_owned())
}

#[test]
fn a_port_that_is_taken_leaves_no_folder_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let run = weft(folder.path(), &["dev", "--port", &port]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.err.contains("cannot listen on 127.0.0.1:"), "{run:?}");
    assert!(!folder.path().join(".weft").exists());
}

#[test]
fn dev_locks_its_folder_and_leaves_it_tidy() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut dev = Running::start(folder.path(), &DEV);
    let inside = |name: &str| folder.path().join(".weft").join(name);
    assert_eq!(
        std::fs::read_to_string(inside("address"))
            .expect("there")
            .trim(),
        dev.url
    );
    for name in ["token", "node.id"] {
        let mode = std::fs::metadata(inside(name))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(get(&dev.url, "/readyz").0, 200);
    assert_eq!(
        get(&dev.url, "/api/v1/nodes").0,
        401,
        "nothing without the token"
    );

    let second = weft(folder.path(), &DEV);
    assert_eq!(
        (second.code, second.out.as_str()),
        (Some(7), ""),
        "{second:?}"
    );
    let pid = dev.child.id().to_string();
    assert!(
        second
            .err
            .contains(&format!("in use by process {pid} at {}", dev.url)),
        "{second:?}"
    );
    assert!(
        second
            .err
            .contains("hint: connect to it: weft console --dir .weft"),
        "{second:?}"
    );
    assert!(inside("address").exists(), "the second one breaks nothing");

    let id = std::fs::read_to_string(inside("node.id")).expect("there");
    dev.signal("TERM");
    let (code, said) = dev.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("Finishing running work") && said.ends_with("Stopped\n"),
        "{said}"
    );
    assert!(!inside("address").exists());
    let run = weft(folder.path(), &["console", "-e", "CLUSTERID;"]);
    assert_eq!(run.code, Some(7), "{run:?}");

    let again = Running::start(folder.path(), &DEV);
    assert_eq!(
        std::fs::read_to_string(inside("node.id")).expect("there"),
        id,
        "the same node"
    );
    drop(again);
    // A killed node leaves its address behind, and no process answers there.
    let run = weft(folder.path(), &["console", "-e", "CLUSTERID;"]);
    assert_eq!(run.code, Some(7), "{run:?}");
    assert!(run.err.contains("hint: start `weft dev`"), "{run:?}");
}

#[test]
fn a_node_refuses_a_store_without_tables() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = [
        "node",
        "--store",
        "sqlite:a.db",
        "--data",
        "data",
        "--listen",
        "127.0.0.1:0",
    ];
    let run = weft(folder.path(), &node);
    assert_eq!(run.code, Some(5), "{run:?}");
    assert!(
        !folder.path().join("a.db").exists(),
        "a node makes no store"
    );

    std::fs::write(folder.path().join("a.db"), "").expect("written");
    let run = weft(folder.path(), &node);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.err
            .contains("hint: run `weft schema migrate --store 'sqlite:a.db'`"),
        "{run:?}"
    );

    let status = ["schema", "status", "--store", "sqlite:a.db"];
    assert_eq!(weft(folder.path(), &status).code, Some(1));
    let migrate = ["schema", "migrate", "--store", "sqlite:a.db"];
    assert_eq!(weft(folder.path(), &migrate).code, Some(0));
    assert_eq!(weft(folder.path(), &status).code, Some(0));
    assert_eq!(
        weft(folder.path(), &["doctor", "--store", "sqlite:a.db"]).code,
        Some(0)
    );

    let mut running = Running::start(folder.path(), &node);
    assert_eq!(get(&running.url, "/readyz").0, 200);
    let run = weft(folder.path(), &migrate);
    assert_eq!(run.code, Some(7), "a store in use is not migrated: {run:?}");
    let doctor = ["doctor", "--store", "sqlite:a.db"];
    let run = weft(folder.path(), &doctor);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.contains("stuck jobs and batches"), "{run:?}");
    let reconcile = ["doctor", "--reconcile", "--store", "sqlite:a.db"];
    let run = weft(folder.path(), &reconcile);
    assert_eq!(run.code, Some(7), "nor repaired: {run:?}");
    running.signal("INT");
    assert_eq!(running.end().0, Some(0));
    let run = weft(folder.path(), &reconcile);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.contains("0 had no due hint"), "{run:?}");
}

#[test]
fn a_node_answers_while_it_waits_for_its_store() {
    let folder = tempfile::tempdir().expect("a folder");
    // A port without a listener, and one for the node.
    let free = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").to_string()
    };
    let (store, listen) = (format!("cassandra://{}", free()), free());
    let mut child = crate::common::command(
        folder.path(),
        &[
            "node", "--store", &store, "--data", "data", "--listen", &listen,
        ],
    )
    .stderr(std::process::Stdio::piped())
    .spawn()
    .expect("the binary starts");
    let mut err = std::io::BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut err, &mut line).expect("a line");
    assert!(
        line.contains("does not answer, trying again in 3 s"),
        "{line}"
    );
    let (status, body) = get(&format!("http://{listen}"), "/readyz");
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("the store is not available"), "{body}");
    assert_eq!(get(&format!("http://{listen}"), "/livez").0, 200);
    let sent = std::process::Command::new("kill")
        .arg(child.id().to_string())
        .status();
    assert!(sent.expect("kill runs").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn only_loopback_needs_no_explicit_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = weft(
        folder.path(),
        &[
            "node",
            "--store",
            "sqlite:a.db",
            "--data",
            "data",
            "--listen",
            "0.0.0.0:0",
        ],
    );
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(
        run.err.contains("refusing to listen on 0.0.0.0:0"),
        "{run:?}"
    );
}

#[test]
fn the_documented_line_runs_as_it_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let dev = [&DEV[..], &["--node-ip", "10.21.2.102"]].concat();
    let mut running = Running::start(folder.path(), &dev);
    let documented = "BATCH AUTODATA_DELTA FROM idsFile USING ('select id from ids  limit 100') FABRIC_COMMAND=\"sync_instance AUTODATA_DELTA.?\" with JOB_AFFINITY='10.21.2.102' ASYNC='true';";
    let run = weft(folder.path(), &["console", "-o", "jsonl", "-e", documented]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let started: serde_json::Value = serde_json::from_str(&run.out).expect("one object");
    let id = started["Batch id"].as_str().expect("an id");

    // A synchronous one, which waits: by its end the first is done as well, or will be very soon.
    let synchronous = "BATCH AUTODATA_DELTA FROM idsFile USING ('select id from ids') FABRIC_COMMAND='sync_instance AUTODATA_DELTA.?';";
    let run = weft(folder.path(), &["console", "-e", synchronous]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.out
            .starts_with("|Added|Updated|Unchanged|Failed|Total|Duration|\n"),
        "{run:?}"
    );
    let summary = format!("BATCH_SUMMARY '{id}';");
    let is_done = || {
        let run = weft(folder.path(), &["console", "-o", "jsonl", "-e", &summary]);
        let last = run.out.lines().last().unwrap_or_default();
        let cluster: serde_json::Value = serde_json::from_str(last).unwrap_or_default();
        cluster["Status"] == "DONE" && cluster["Total"].to_string().contains("20")
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is_done() {
        assert!(
            std::time::Instant::now() < deadline,
            "batch {id} does not end"
        );
    }

    let export = [
        "instance",
        "export",
        "AUTODATA_DELTA",
        "V0000001",
        "--out",
        "v1.db",
    ];
    let run = weft(folder.path(), &export);
    assert_eq!(
        (run.code, run.out.as_str()),
        (Some(0), "v1.db\n"),
        "{run:?}"
    );
    let head = std::fs::read(folder.path().join("v1.db")).expect("there");
    assert!(head.starts_with(b"SQLite format 3\0"));
    assert_eq!(
        weft(folder.path(), &export).code,
        Some(2),
        "nothing is replaced"
    );

    let example = ["example", "--dir", "other", "--ids", "5"];
    assert_eq!(weft(folder.path(), &example).code, Some(0));
    let run = weft(folder.path(), &["deploy", "other"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let run = weft(
        folder.path(),
        &[
            "console",
            "-o",
            "csv",
            "-e",
            "BATCH_SUMMARY '00000000-0000-4000-8000-000000000000';",
        ],
    );
    assert_eq!(run.code, Some(5), "{run:?}");
    running.signal("TERM");
    assert_eq!(running.end().0, Some(0));
}
