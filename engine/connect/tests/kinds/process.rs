//! PROCESS with real scripts.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_util::sync::CancellationToken;
use weft_node::job::{OUTPUT_BYTES, Retry, Run, Slot};

use crate::bench::{Bench, failed, process, succeeded};

/// The runner drops a run this long after it requested a stop.
const RUNNERS_GRACE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn arguments_arrive_in_order_and_no_shell_reads_them() {
    let bench = Bench::new();
    bench.script("args.sh", r#"printf '%s\n' "$#" "$@""#);
    let arguments =
        json!({"1": "b  c", "0": "$(id) `id` * ; '\"", "2": 5, "3": true, "session_scope": "{}"});
    let output = bench.output("args.sh", &arguments).await;
    assert_eq!(output, "4\n$(id) `id` * ; '\"\nb  c\n5\ntrue");
    assert_eq!(bench.output("scripts/args.sh", &json!({})).await, "0");
}

#[tokio::test]
async fn a_script_sees_its_run_and_nothing_else_of_the_node() {
    let bench = Bench::with(
        &[
            ("HOME", "/somewhere"),
            ("TZ", "Asia/Tokyo"),
            ("DB_PASSWORD", "x"),
        ],
        &[],
    );
    bench.script("env.sh", "cat /proc/$$/environ");
    let job = process("env.sh", &json!({}));
    let run = Run {
        job: job.clone(),
        stop: CancellationToken::new(),
        slot: Slot::default(),
    };
    let output = succeeded(bench.run(job).await).text.unwrap();
    let mut found: Vec<&str> = output.split_terminator('\0').collect();
    found.sort_unstable();
    let program = std::env::current_exe().unwrap();
    let mut expected = [
        "HOME=/somewhere".to_owned(),
        format!(
            "PATH={}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            program.parent().unwrap().display()
        ),
        "TZ=Asia/Tokyo".to_owned(),
        "WEFT_ATTEMPT=3".to_owned(),
        "WEFT_FENCE=7".to_owned(),
        format!("WEFT_IDEMPOTENCY_KEY={}", run.idempotency_key()),
        "WEFT_JOB_NAME=env.sh".to_owned(),
        "WEFT_JOB_TYPE=PROCESS".to_owned(),
        "WEFT_JOB_UID=u1".to_owned(),
        "WEFT_SERVER=http://127.0.0.1:1".to_owned(),
        "WEFT_TOKEN=token-of-u1".to_owned(),
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_token_is_revoked_at_the_end_of_the_run() {
    let bench = Bench::new();
    bench.script(
        "token.sh",
        r#"echo "${WEFT_TOKEN-none} ${WEFT_SERVER-none}""#,
    );
    assert_eq!(
        bench.output("token.sh", &json!({})).await,
        "token-of-u1 http://127.0.0.1:1"
    );
    *bench.calls.refuses.lock().unwrap() = true;
    assert_eq!(bench.output("token.sh", &json!({})).await, "none none");
    *bench.calls.refuses.lock().unwrap() = false;

    bench.script(
        "wait.sh",
        r#"exec 3>"$1"; echo started >&3; exec sleep 1000"#,
    );
    let mut lifeline = bench.lifeline();
    let mut run = Box::pin(bench.run(process("wait.sh", &json!({"0": lifeline.path()}))));
    tokio::select! {
        end = &mut run => panic!("{end:?}"),
        _ = lifeline.started() => (),
    }
    assert_eq!(bench.calls.held(), 1);
    drop(run);
    assert_eq!(bench.calls.held(), 0);
    lifeline.ended().await;
}

#[tokio::test]
async fn every_run_has_its_own_folder_which_is_removed() {
    let bench = Bench::new();
    bench.script(
        "folder.sh",
        "ls -A | wc -l | tr -d ' '; pwd; mkdir -p a/b; echo x > a/b/c; chmod 500 a; cat",
    );
    let first = bench.output("folder.sh", &json!({})).await;
    let second = bench.output("folder.sh", &json!({})).await;
    let path = |output: &str| {
        output
            .strip_prefix("0\n")
            .expect("an empty folder")
            .to_owned()
    };
    assert_ne!(path(&first), path(&second));
    let data = bench
        .folder
        .path()
        .canonicalize()
        .unwrap()
        .join("data/runs");
    assert!(path(&first).starts_with(data.to_str().unwrap()), "{first}");
    assert_eq!(bench.work_folders(), 0);
}

#[tokio::test]
async fn exit_codes_and_both_streams_are_kept() {
    let bench = Bench::new();
    bench.script("code.sh", "echo one; echo two >&2; echo three; exit $1");
    let output = succeeded(bench.run(process("code.sh", &json!({"0": 0}))).await);
    assert_eq!(
        (output.text.as_deref(), output.exit_code),
        (Some("one\ntwo\nthree"), Some(0))
    );
    let failure = failed(bench.run(process("code.sh", &json!({"0": 3}))).await);
    assert_eq!(failure.exception_type(), "ExitCode");
    assert_eq!(
        failure.message,
        "scripts/code.sh ended with exit code 3: three"
    );
    assert_eq!(failure.output.exit_code, Some(3));
    assert_eq!(failure.output.text.as_deref(), Some("one\ntwo\nthree"));
    assert_eq!(failure.retry, Retry::AsPolicy);

    bench.script("killed.sh", "kill -9 $$");
    let failure = failed(bench.run(process("killed.sh", &json!({}))).await);
    assert_eq!(failure.exception_type(), "Signal");
    assert_eq!(
        failure.message,
        "scripts/killed.sh was ended by signal 9 (SIGKILL)"
    );
    assert_eq!(failure.output.exit_code, None);

    bench.script("silent.sh", "true");
    let output = succeeded(bench.run(process("silent.sh", &json!({}))).await);
    assert_eq!((output.text, output.exit_code), (None, Some(0)));
}

#[tokio::test]
async fn a_script_that_cannot_start_says_why() {
    let bench = Bench::new();
    bench.file("lost.sh", "#!/no/such/interpreter\n");
    bench.file("plain.sh", "echo hello\n");
    let check = async |name: &str, expected: &str| {
        let failure = failed(bench.run(process(name, &json!({}))).await);
        assert_eq!(
            (failure.exception_type(), failure.message.as_str()),
            ("Start", expected)
        );
    };
    check(
        "lost.sh",
        "scripts/lost.sh cannot be started: the interpreter in its first line does not exist on this node",
    )
    .await;
    check(
        "plain.sh",
        "scripts/plain.sh cannot be started: it is not a program, and its first line does not begin with #!",
    )
    .await;
    assert_eq!((bench.work_folders(), bench.calls.held()), (0, 0));
}

#[tokio::test]
async fn a_definition_that_cannot_run_is_refused() {
    let bench = Bench::new();
    let refusal = async |name: &str, arguments| {
        let check = bench.check(&process(name, &arguments)).await.unwrap_err();
        (check.message, check.hint.unwrap_or_default())
    };
    let nothing = refusal("x.sh", json!({})).await;
    assert_eq!(
        nothing,
        (
            "no project is deployed".to_owned(),
            "DEPLOY '<folder>' deploys one".to_owned()
        )
    );
    bench.script("load.sh", "true");
    assert_eq!(
        bench.check(&process("load.sh", &json!({"0": "x"}))).await,
        Ok(())
    );
    let unknown = refusal("laod.sh", json!({})).await;
    assert_eq!(unknown.0, "the deployed project has no scripts/laod.sh");
    assert_eq!(unknown.1, "did you mean `scripts/load.sh`?");
    let gap = refusal("load.sh", json!({"0": "x", "2": "y"})).await;
    assert_eq!(gap.0, "the argument `1` is missing: the next one is `2`");
    let end = failed(bench.run(process("laod.sh", &json!({}))).await);
    assert_eq!(
        (end.exception_type(), end.message.clone()),
        ("Script", unknown.0)
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn long_output_neither_blocks_nor_fills_memory() {
    fn peak_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
    let bench = Bench::new();
    bench.script(
        "flood.sh",
        "echo begin; head -c 200000000 /dev/zero | tr '\\0' x; echo; echo end",
    );
    let before = peak_kib();
    let output = bench.output("flood.sh", &json!({})).await;
    let grown = peak_kib() - before;
    assert!(grown < 32 * 1_024, "{grown} KiB");
    assert!(output.len() <= OUTPUT_BYTES);
    assert!(output.starts_with("begin\nxxx") && output.ends_with("xxx\nend"));
    let all = "begin\n\nend\n".len() + 200_000_000;
    let kept = OUTPUT_BYTES - 64;
    assert!(output.contains(&format!("[… {} bytes left out …]", all - kept)));
}

#[tokio::test]
async fn a_script_may_clean_up_when_it_is_stopped() {
    let bench = Bench::new();
    let body = r#"trap 'echo cleaned; exit 7' TERM; exec 3>"$1"; echo started >&3; while :; do sleep 1000 & wait; done"#;
    bench.script("tidy.sh", body);
    let mut lifeline = bench.lifeline();
    let stop = CancellationToken::new();
    let run = bench.run_until(
        process("tidy.sh", &json!({"0": lifeline.path()})),
        stop.clone(),
    );
    let (end, ()) = tokio::join!(run, async {
        lifeline.started().await;
        stop.cancel();
    });
    let failure = failed(end);
    assert_eq!(
        failure.message,
        "scripts/tidy.sh ended with exit code 7: cleaned"
    );
    lifeline.ended().await;
}

#[tokio::test]
async fn a_script_that_ignores_the_stop_is_killed_before_the_runner_drops_it() {
    let bench = Bench::new();
    let body =
        r#"trap '' TERM; exec 3>"$1"; echo kept; echo started >&3; while :; do sleep 1000; done"#;
    bench.script("stubborn.sh", body);
    let mut lifeline = bench.lifeline();
    let stop = CancellationToken::new();
    let run = bench.run_until(
        process("stubborn.sh", &json!({"0": lifeline.path()})),
        stop.clone(),
    );
    let (end, stopped) = tokio::join!(run, async {
        lifeline.started().await;
        stop.cancel();
        Instant::now()
    });
    assert!(stopped.elapsed() < RUNNERS_GRACE, "{:?}", stopped.elapsed());
    let failure = failed(end);
    assert_eq!(failure.exception_type(), "Signal");
    assert_eq!(
        failure.message,
        "scripts/stubborn.sh was ended by signal 9 (SIGKILL): kept"
    );
    lifeline.ended().await;
    assert_eq!(bench.work_folders(), 0);
}

#[tokio::test]
async fn a_run_that_was_stopped_before_it_started_starts_nothing() {
    let bench = Bench::new();
    bench.script("x.sh", "true");
    let stop = CancellationToken::new();
    stop.cancel();
    let failure = failed(bench.run_until(process("x.sh", &json!({})), stop).await);
    assert_eq!(failure.exception_type(), "Stopped");
}

#[tokio::test]
async fn children_in_the_background_end_with_the_script() {
    let bench = Bench::new();
    bench.script("fork.sh", r#"exec 3>"$1"; echo started >&3; trap '' HUP TERM; sleep 1000 & sleep 1000 >/dev/null 2>&1 & echo done"#);
    let lifeline = bench.lifeline();
    let output = bench
        .output("fork.sh", &json!({"0": lifeline.path()}))
        .await;
    assert_eq!(output, "done");
    lifeline.ended().await;
}

#[tokio::test]
async fn filters_of_the_output_may_write_the_rest() {
    let bench = Bench::new();
    bench.script(
        "filter.sh",
        r#"mkfifo f; sed 's/^/> /' < f & exec > f 2>&1; echo a; echo b"#,
    );
    assert_eq!(bench.output("filter.sh", &json!({})).await, "> a\n> b");
}

#[tokio::test]
async fn a_process_that_left_the_group_does_not_delay_the_end() {
    let bench = Bench::new();
    bench.script("leave.sh", r#"setsid sh -c 'exec 3>"$1"; echo $$ >&3; exec sleep 1000' sh "$1" & read -r _ < "$2"; echo done"#);
    let mut lifeline = bench.lifeline();
    // The script waits until its child has left the group.
    let go = bench.folder.path().join("go");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let run = bench.run(process("leave.sh", &json!({"0": lifeline.path(), "1": go})));
    let (end, pid) = tokio::join!(run, async {
        let pid = lifeline.started().await;
        std::fs::write(&go, "go\n").unwrap();
        pid
    });
    assert_eq!(succeeded(end).text.as_deref(), Some("done"));
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    lifeline.ended().await;
}

#[tokio::test]
async fn a_dropped_run_leaves_nothing() {
    let bench = Bench::new();
    let body = r#"trap '' TERM HUP; exec 3>"$1"; sleep 1000 & sh -c 'sleep 1000 & wait' & echo started >&3; wait"#;
    bench.script("tree.sh", body);
    let mut lifeline = bench.lifeline();
    let mut run = Box::pin(bench.run(process("tree.sh", &json!({"0": lifeline.path()}))));
    tokio::select! {
        end = &mut run => panic!("{end:?}"),
        _ = lifeline.started() => (),
    }
    drop(run);
    lifeline.ended().await;
}

#[tokio::test]
async fn concurrent_runs_are_isolated() {
    let bench = Bench::new();
    bench.script("echo.sh", r#"cat; echo "$1"; exit "$2""#);
    let runs = (0..40).map(|at| {
        bench.run(process(
            "echo.sh",
            &json!({"0": format!("run {at}"), "1": at % 2}),
        ))
    });
    let mut runs: Vec<_> = runs.map(Box::pin).collect();
    for (at, run) in runs.drain(..).enumerate().rev() {
        let end = run.await;
        let text = match at % 2 {
            0 => succeeded(end).text,
            _ => failed(end).output.text,
        };
        assert_eq!(text, Some(format!("run {at}")));
    }
    assert_eq!(bench.calls.held(), 0);
}
