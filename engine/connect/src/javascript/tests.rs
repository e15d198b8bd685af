use serde_json::json;
use weft_node::job::OUTPUT_BYTES;

use super::*;

/// Longer than any step takes, so that an error fails a test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(60);
const FILE: &str = "logical_units/LU/functions/f.js";

/// Answers with the request, and reports it to the test.
#[derive(Debug, Default)]
struct Echo {
    asked: Mutex<Vec<String>>,
    /// Calls wait until they are dropped, and report that.
    hangs: Option<mpsc::Sender<()>>,
}

impl Echo {
    async fn answer(&self, asked: String, parameters: Vec<weft_lang::Literal>) -> Table {
        self.asked.lock().unwrap().push(asked.clone());
        if let Some(hangs) = &self.hangs {
            let _guard = hangs.clone();
            hangs.send(()).await.unwrap();
            std::future::pending::<()>().await;
        }
        Table {
            columns: vec!["asked".to_owned(), "parameters".to_owned()],
            rows: vec![
                vec![json!(asked), json!(format!("{parameters:?}"))],
                vec![json!(null), json!(1.5)],
            ],
        }
    }
}

#[async_trait::async_trait]
impl Host for Echo {
    async fn statement(
        &self,
        sql: &str,
        parameters: Vec<weft_lang::Literal>,
    ) -> Result<Table, HostError> {
        match sql {
            "refused" => Err(HostError::new(
                "Refused",
                "error: no such table\nhint: none",
            )),
            "empty" => Ok(Table::default()),
            sql => Ok(self.answer(format!("fabric {sql}"), parameters).await),
        }
    }

    async fn query(
        &self,
        interface: &str,
        sql: &str,
        parameters: Vec<weft_lang::Literal>,
    ) -> Result<Table, HostError> {
        Ok(self.answer(format!("{interface} {sql}"), parameters).await)
    }
}

async fn function(source: &str) -> Arc<Function> {
    Arc::new(Function::read(FILE, "f", source.as_bytes()).await.unwrap())
}

async fn call(source: &str, arguments: Value, limits: Limits) -> CallEnd {
    let call = Call {
        function: function(source).await,
        arguments: arguments.as_object().unwrap().clone(),
        stop: CancellationToken::new(),
    };
    let java_script = JavaScript::new(limits, 1);
    timeout(PATIENCE, java_script.call(call, Arc::new(Echo::default())))
        .await
        .expect("the call ends")
}

async fn run(source: &str) -> CallEnd {
    call(source, json!({}), Limits::default()).await
}

async fn returned(source: &str) -> Option<Returned> {
    run(source).await.result.unwrap()
}

async fn failure(source: &str) -> Failure {
    run(source).await.result.unwrap_err()
}

fn text(text: &str) -> Option<Returned> {
    Some(Returned::Text(text.to_owned()))
}

fn json_of(json: &str) -> Option<Returned> {
    Some(Returned::Json(json.to_owned()))
}

#[tokio::test]
async fn a_function_returns_a_value() {
    let check = async |body: &str, expected: Option<Returned>| {
        let source = format!("function f() {{ {body} }}");
        assert_eq!(returned(&source).await, expected, "{body}");
    };
    check("", None).await;
    check("return 'grüße\\u0000\\ud800'", text("grüße\0\u{fffd}")).await;
    check("return 1000", json_of("1000")).await;
    check("return null", json_of("null")).await;
    check(
        "return {a: [1, 'x', undefined], b: undefined}",
        json_of(r#"{"a":[1,"x",null]}"#),
    )
    .await;
    check("return f", None).await;
    check("return Promise.resolve(7).then(n => n + 1)", json_of("8")).await;
    check(
        "return new Date(0)",
        json_of(r#""1970-01-01T00:00:00.000Z""#),
    )
    .await;
}

#[tokio::test]
async fn arguments_arrive_by_the_names_of_the_parameters() {
    let source = "const helper = (x) => JSON.stringify(x);\n\
        async function f(a, b = 'none', c) { await null; return `${helper(a)} ${b} ${c}`; }";
    let arguments = json!({"c": "it's", "a": {"x": [1, "\u{0}"]}});
    let ended = call(source, arguments, Limits::default()).await;
    assert_eq!(ended.result, Ok(text(r#"{"x":[1,"\u0000"]} none it's"#)));
}

#[tokio::test]
async fn runs_share_nothing() {
    let function = function(
        "function f() { globalThis.n = (globalThis.n ?? 0) + 1; Array.prototype.x = 1; return n; }",
    )
    .await;
    let java_script = JavaScript::new(Limits::default(), 1);
    for _ in 0..3 {
        let call = Call {
            function: Arc::clone(&function),
            arguments: Map::new(),
            stop: CancellationToken::new(),
        };
        let ended = java_script.call(call, Arc::new(Echo::default())).await;
        assert_eq!(ended.result, Ok(json_of("1")));
    }
}

#[tokio::test]
async fn a_function_has_no_access_to_the_machine() {
    let names = "['process', 'require', 'std', 'os', 'fetch', 'WebAssembly', 'Atomics', 'SharedArrayBuffer', 'native', 'performance', 'setTimeout']";
    let source = format!("function f() {{ return {names}.filter((name) => name in globalThis); }}");
    assert_eq!(returned(&source).await, json_of("[]"));
    let failed = failure("function f() { return import('std'); }").await;
    assert!(failed.message.contains("std"), "{failed}");
}

#[tokio::test]
async fn rows_are_objects_and_values_are_parameters() {
    let source = r#"function f() {
        const rows = db('cars').fetch('select ?', 'it\'s', 1, 2.5, true, null, undefined, 12345678901234567890n % 100n);
        return [rows, fabric().fetchFirst('get'), fabric().fetchValue('one'), fabric().fetchFirst('empty'),
          fabric().fetchValue('empty'), fabric().execute('BATCH').length, db('x').query('y').length];
    }"#;
    let asked = r#"[Text(\"it's\"), Integer(1), Real(2.5), Bool(true), Null, Null, Integer(90)]"#;
    let expected = format!(
        r#"[[{{"asked":"cars select ?","parameters":"{asked}"}},{{"asked":null,"parameters":1.5}}],{{"asked":"fabric get","parameters":"[]"}},"fabric one",null,null,2,2]"#
    );
    assert_eq!(returned(source).await, json_of(&expected));
}

#[tokio::test]
async fn a_refused_call_throws_in_the_function() {
    let source = "function f() { try { fabric().execute('refused'); } catch (e) { return [e.name, e.message, e instanceof Error]; } }";
    let expected = r#"["Refused","error: no such table\nhint: none",true]"#;
    assert_eq!(returned(source).await, json_of(expected));
    let failed = failure("\n\nfunction f() {\n  fabric().execute('refused');\n}").await;
    assert_eq!(failed.exception_type(), "Refused");
    assert_eq!(
        failed.to_string(),
        format!("error: no such table\nhint: none ({FILE}:4)")
    );
    for (body, expected) in [
        (
            "db('x').fetch('y', {})",
            "parameter 1 is neither a text, a number, true, false nor null",
        ),
        ("db('x').fetch('y', 0, NaN)", "parameter 2 is NaN"),
        (
            "db('x').fetch('y', 2n ** 80n)",
            "a parameter has more than 64 bits",
        ),
        ("db().fetch('y')", "db takes the name of an interface"),
        ("fabric().execute(7)", "the statement is not a text"),
        ("sleep(-1)", "sleep takes milliseconds from 0"),
        (
            "failJob('x', 'maybe')",
            "failJob takes one of noRetry, alwaysRetry, untilMax, not maybe",
        ),
    ] {
        let failed = failure(&format!("function f() {{ {body} }}")).await;
        assert_eq!(
            (failed.exception_type(), failed.message.as_str()),
            ("TypeError", expected)
        );
    }
}

#[tokio::test]
async fn a_failure_has_a_type_a_message_and_a_line() {
    let check = async |source: &str, name: &str, message: &str, line: Option<usize>| {
        let failed = failure(source).await;
        let location = line.map(|line| Location {
            file: FILE.to_owned(),
            line,
        });
        assert_eq!(
            (
                failed.exception_type(),
                failed.message.as_str(),
                failed.location.clone()
            ),
            (name, message, location),
            "{source}"
        );
    };
    check(
        "function f() {\n  null.x;\n}",
        "TypeError",
        "cannot read property 'x' of null",
        Some(2),
    )
    .await;
    check(
        "function f() {\n  g();\n}\nfunction g() {\n  throw new RangeError('far');\n}",
        "RangeError",
        "far",
        Some(5),
    )
    .await;
    check(
        "function f() {\n  throw 'text';\n}",
        "Error",
        "it threw text",
        None,
    )
    .await;
    check(
        "function f() { throw null; }",
        "OutOfMemory",
        "it needs more than its limit of 64 MiB of memory, or it threw null",
        None,
    )
    .await;
    check(
        "function f() { throw undefined; }",
        "Error",
        "it threw undefined",
        None,
    )
    .await;
    check(
        "let x = y;\nfunction f() {}",
        "ReferenceError",
        "y is not defined",
        Some(1),
    )
    .await;
    check(
        "async function f() {\n  await null;\n  throw new Error('late');\n}",
        "Error",
        "late",
        Some(3),
    )
    .await;
    check(
        "function f() { return new Promise(() => {}); }",
        "Error",
        "it waits for a promise that nothing can fulfil",
        None,
    )
    .await;
    check(
        "function f() {\n  [1].map((x) => {\n    [3].flatMap(() => x.y.z);\n  });\n}",
        "TypeError",
        "cannot read property 'z' of undefined",
        Some(3),
    )
    .await;
    check(
        "function f() { return 1n; }",
        "TypeError",
        "BigInt are forbidden in JSON.stringify",
        None,
    )
    .await;
}

#[tokio::test]
async fn only_fail_job_decides_about_another_try() {
    let check = async |body: &str, retry: Retry| {
        let failed = failure(&format!("function f() {{ {body} }}")).await;
        assert_eq!(
            (
                failed.exception_type(),
                failed.message.as_str(),
                failed.retry
            ),
            ("JobFailed", "no", retry)
        );
        assert_eq!(failed.location.map(|location| location.line), Some(1));
    };
    check("failJob('no')", Retry::AsPolicy).await;
    check("failJob('no', 'untilMax')", Retry::AsPolicy).await;
    check("failJob('no', 'noRetry')", Retry::Never).await;
    check("failJob('no', 'alwaysRetry')", Retry::Always).await;
    // What an error says of itself is only shown.
    let throws = "const e = new Error('no'); e.name = 'JobFailed'; e.retry = 'noRetry'; throw e";
    check(throws, Retry::AsPolicy).await;
    check(
        &format!("WeakMap.prototype.get = () => 'noRetry'; {throws}"),
        Retry::AsPolicy,
    )
    .await;
    let failed = failure("function f() { failJob('out of memory', 'noRetry'); }").await;
    let shown = (
        failed.exception_type(),
        failed.message.as_str(),
        failed.retry,
    );
    assert_eq!(shown, ("JobFailed", "out of memory", Retry::Never));
    let source = "function f() { try { failJob('no', 'noRetry'); } catch {} return 1; }";
    assert_eq!(returned(source).await, json_of("1"));
}

#[tokio::test]
async fn logged_lines_are_kept() {
    let source = "function f() { log.info('a', 1, {b: [2]}); log.warn(); console.error(new TypeError('x')); return 1; }";
    let ended = run(source).await;
    assert_eq!(ended.log, "INFO a 1 {\"b\":[2]}\nWARN \nERROR TypeError: x");
    assert_eq!(ended.result, Ok(json_of("1")));
}

#[tokio::test]
async fn a_stop_is_seen_and_sleep_ends_with_it() {
    let source = "function f() { const before = isAborted(); const slept = sleep(1e9); return [before, slept, isAborted(), sleep(1)]; }";
    let stop = CancellationToken::new();
    let call = Call {
        function: function(source).await,
        arguments: Map::new(),
        stop: stop.clone(),
    };
    let java_script = JavaScript::new(Limits::default(), 1);
    let ended = java_script.call(call.clone(), Arc::new(Echo::default()));
    let (ended, ()) = tokio::join!(ended, async {
        tokio::task::yield_now().await;
        stop.cancel();
    });
    // It may have started before or after the stop; the result is the same.
    match ended.result {
        Ok(Some(Returned::Json(json))) => assert!(json.ends_with(",false,true,false]"), "{json}"),
        other => panic!("{other:?}"),
    }
    // Without a free thread the call ends.
    let java_script = JavaScript::new(Limits::default(), 0);
    let ended = java_script.call(call, Arc::new(Echo::default())).await;
    assert_eq!(ended.result.unwrap_err().exception_type(), "Stopped");
}

#[tokio::test]
async fn dropping_a_call_ends_it() {
    for body in [
        "while (true) {}",
        "for (;;) { try { while (true) {} } finally { continue } }",
        "function g() { try { g(); } finally { g(); } } g();",
        "return (async () => { while (true) await null; })()",
        "/^(a+)+$/.test('a'.repeat(40) + 'b')",
        "return new Proxy({}, { ownKeys() { for (;;); } })",
        "return { toJSON() { for (;;); } }",
        "throw new Proxy({}, { get() { for (;;); } })",
        "eval('while (true) {}')",
        "new Function('while (true) {}')()",
        "for (;;) { try { sleep(1e9); } catch {} }",
        "for (;;) { try { fabric().execute('x'); } catch {} }",
        "for (;;) log.info('x')",
        "[1, 2].sort(() => { for (;;); })",
        "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)",
        "Array.prototype.forEach.call({ length: 2 ** 53 - 1 }, () => {})",
    ] {
        let (hangs, mut hung) = mpsc::channel(1);
        let source = format!("function f() {{ {body} }}");
        let call = Call {
            function: function(&source).await,
            arguments: Map::new(),
            stop: CancellationToken::new(),
        };
        let host = Arc::new(Echo {
            hangs: Some(hangs),
            ..Echo::default()
        });
        let java_script = JavaScript::new(Limits::default(), 1);
        let mut run = Box::pin(java_script.call(call, host));
        let began = timeout(Duration::from_millis(100), async {
            tokio::select! {
                ended = &mut run => Some(ended),
                _ = hung.recv() => None,
            }
        });
        assert!(
            began.await.ok().flatten().is_none(),
            "{body}: it does not end by itself"
        );
        drop(run);
        // The thread releases its permit at its end.
        let ended = timeout(PATIENCE, java_script.threads.acquire()).await;
        assert!(ended.is_ok(), "{body}: its thread has not ended");
    }
}

#[tokio::test]
async fn time_is_limited() {
    let limits = Limits {
        time: Some(Duration::from_millis(50)),
        ..Limits::default()
    };
    for body in [
        "while (true) {}",
        "sleep(1e9)",
        "try { sleep(1e9) } finally { for (;;); }",
    ] {
        let ended = call(
            &format!("function f() {{ log.info('began'); {body} }}"),
            json!({}),
            limits,
        )
        .await;
        let expected = Failure::new("Timeout", "it took longer than 50 ms");
        assert_eq!(
            (ended.result, ended.log.as_str()),
            (Err(expected), "INFO began")
        );
    }
}

#[tokio::test]
async fn memory_is_limited() {
    for body in [
        "const a = []; let s = 'x'; for (;;) { s += s; a.push(s + a.length); }",
        "return 'x'.repeat(2 ** 29)",
        "const a = []; for (;;) a.push(a.length)",
        "const a = []; for (;;) a.push('x'.repeat(1e6))",
        "const a = []; for (;;) a.push(new Uint8Array(1e6))",
        "const m = new Map(); for (let i = 0; ; i++) m.set(i, { i })",
        "let o = {}; for (;;) o = { o, p: [1, 2, 3] }",
        "return JSON.stringify(new Array(2 ** 26).fill('xxxxxxxxxxxxxxxx'))",
        "return JSON.parse('[' + '[],'.repeat(4e6) + '[]]')",
        "return new Array(1e5).fill('x'.repeat(1e4))",
        "return Array.from({ length: 2 ** 32 - 1 })",
        "new Promise((f) => f()).then(function g() { const a = []; for (;;) a.push({}); }); return (async () => { const a = []; for (;;) { a.push({}); } })()",
        "const a = []; for (;;) { try { a.push(new Array(1000).fill(a)); } catch (e) { throw e; } }",
        "return BigInt('1'.repeat(1e6)) ** 1000000n",
    ] {
        let failed = failure(&format!("function f() {{ {body} }}")).await;
        assert!(
            matches!(failed.exception_type(), "OutOfMemory" | "RangeError")
                || failed.message == "string too long",
            "{body}: {failed:?}"
        );
    }
    let failed = failure("function f() {\n let s = 'x';\n for (;;) s += s.repeat(9);\n}").await;
    assert!(
        failed.message == "it needs more than its limit of 64 MiB of memory"
            || failed.exception_type() == "RangeError",
        "{failed:?}"
    );
}

#[tokio::test]
async fn deep_recursion_is_an_error_of_the_function() {
    for body in [
        "return f()",
        "let o = {}; for (let i = 0; i < 1e5; i++) o = { o }; return o",
        "return JSON.parse('['.repeat(1e6) + ']'.repeat(1e6))",
        "return eval('('.repeat(1e6) + '1' + ')'.repeat(1e6))",
        "return new RegExp('('.repeat(1e6) + ')'.repeat(1e6))",
        "let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); return p.x",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a.flat(Infinity).toString() + a.toString()",
    ] {
        let failed = failure(&format!("function f() {{ {body} }}")).await;
        assert!(
            matches!(
                failed.exception_type(),
                "RangeError" | "InternalError" | "SyntaxError"
            ),
            "{body}: {failed:?}"
        );
    }
    let nested = format!(
        "function f() {{ return {}1{}; }}",
        "(".repeat(100_000),
        ")".repeat(100_000)
    );
    let finding = Function::read(FILE, "f", nested.as_bytes())
        .await
        .unwrap_err();
    assert_eq!(finding.line, 1);
}

#[tokio::test]
async fn calls_that_cannot_be_interrupted_are_refused() {
    for body in [
        "[].join.call({ length: 2 ** 53 - 1 }, '')",
        "[].reverse.call({ length: 2 ** 53 - 1 })",
        "[].sort.call({ length: 2 ** 53 - 1 })",
        "[].unshift.call({ length: 2 ** 53 - 2 }, 1)",
        "[].concat(new Array(2 ** 32 - 1))",
        "String(new Array(2 ** 32 - 1))",
        "'a'.repeat(2e7).indexOf('a'.repeat(1e7) + 'b')",
        "'a'.repeat(2e7).replaceAll('a'.repeat(1e7) + 'b', '')",
    ] {
        let failed = failure(&format!("function f() {{ {body} }}")).await;
        assert_eq!(failed.exception_type(), "RangeError", "{body}: {failed:?}");
    }
    let source = "function f() { return [[3, 1].sort().join('-'), [1].concat([2], 3), 'abc'.indexOf('c'), [[1], [2]].flat(), [].slice.length, 'a-b'.split('-'), 'aa'.replace(/a/, 'b')]; }";
    assert_eq!(
        returned(source).await,
        json_of(r#"["1-3",[1,2,3],2,[1,2],2,["a","b"],"ba"]"#)
    );
}

#[tokio::test]
async fn a_long_log_is_cut() {
    let source = "function f() { for (let i = 0; i < 20000; i++) log.info('line', i); return 'x'.repeat(1e6); }";
    let ended = run(source).await;
    assert!(ended.log.len() <= OUTPUT_BYTES, "{}", ended.log.len());
    assert!(ended.log.starts_with("INFO line 0\n") && ended.log.ends_with("INFO line 19999"));
    assert_eq!(ended.result, Ok(text(&"x".repeat(1_000_000))));
    let failed = failure("function f() { throw new Error('x'.repeat(1e6)); }").await;
    assert!(failed.message.len() < 10_000);
}

#[tokio::test]
async fn a_function_can_change_globals_only_for_itself() {
    let source = "function f() {
        JSON.stringify = JSON.parse = String.prototype.toWellFormed = Object.defineProperty = () => { throw new Error('spoiled'); };
        globalThis.Error = globalThis.String = undefined;
        Object.prototype.error = undefined;
        log.info('x');
        return [db('a').fetchValue('b'), isAborted()];
    }";
    let ended = run(source).await;
    assert_eq!(
        (ended.result, ended.log.as_str()),
        (Ok(json_of(r#"["a b",false]"#)), "INFO x")
    );
}

#[tokio::test]
async fn calls_wait_for_a_free_thread() {
    let java_script = JavaScript::new(Limits::default(), 2);
    let function = function("function f(n) { sleep(5); return n; }").await;
    let calls = (0..8).map(|n| {
        let call = Call {
            function: Arc::clone(&function),
            arguments: json!({ "n": n }).as_object().unwrap().clone(),
            stop: CancellationToken::new(),
        };
        java_script.call(call, Arc::new(Echo::default()))
    });
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    for (n, call) in calls.iter_mut().enumerate() {
        assert_eq!(call.await.result, Ok(json_of(&n.to_string())));
    }
}

#[tokio::test]
async fn errors_in_a_file_are_found_without_running_it() {
    let check = async |text: &str, line: usize, message: &str| {
        let finding = Function::read(FILE, "f", text.as_bytes())
            .await
            .unwrap_err();
        assert_eq!(
            (finding.line, finding.message.as_str()),
            (line, message),
            "{text}"
        );
    };
    check("", 1, "the file declares no `function f(…)`").await;
    check(
        "const f = () => 1;",
        1,
        "the file declares no `function f(…)`",
    )
    .await;
    check("function g() {}", 1, "the file declares no `function f(…)`").await;
    check("var f = 1;", 1, "the file declares no `function f(…)`").await;
    check(
        "function f() {\n  return 1 +;\n}",
        2,
        "SyntaxError: unexpected token in expression: ';'",
    )
    .await;
    check(
        "function f() {\n",
        2,
        "SyntaxError: unexpected token in expression: ''",
    )
    .await;
    check(
        "export function f() {}",
        1,
        "SyntaxError: unsupported keyword: export",
    )
    .await;
    check(
        "\n\nfunction f({a}) {}",
        3,
        "function f: the parameter `{a}` has no name that ARGS could use",
    )
    .await;
    check(
        "function f() {}\n\0",
        2,
        "the file contains a NUL character",
    )
    .await;
    let finding = Function::read(FILE, "db", b"let x;").await.unwrap_err();
    assert_eq!(finding.message, "the file declares no `function db(…)`");
    let read = Function::read(FILE, "f", b"while (true) {}\nfunction f(a, b = 1) {}")
        .await
        .unwrap();
    assert_eq!(read.parameters(), ["a", "b"]);
    let long = vec![b' '; SOURCE_BYTES + 1];
    assert!(Function::read(FILE, "f", &long).await.is_err());
    assert_eq!(
        Function::read(FILE, "f", b"\n\xff").await.unwrap_err().line,
        2
    );
}

#[tokio::test]
async fn numbers_that_no_double_holds_arrive_as_texts() {
    let source = "function f(a) { return JSON.stringify(a); }";
    let arguments = r#"{"a": [9007199254740991, 9007199254740993, 100000000000000000001, 1.10, 1e2,
        0.12345678901234567890123, {"x": -9007199254740993}]}"#;
    let arguments = serde_json::from_str(arguments).unwrap();
    let ended = call(source, arguments, Limits::default()).await;
    let expected = r#"[9007199254740991,"9007199254740993","100000000000000000001",1.1,100,"0.12345678901234567890123",{"x":"-9007199254740993"}]"#;
    assert_eq!(ended.result.unwrap(), text(expected));
}
