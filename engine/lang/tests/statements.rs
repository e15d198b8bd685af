//! What statements mean: the tree, the canonical form, parameters, limits.

use weft_lang::{
    Batch, CancelSpelling, Command, Diagnostic, EntitySource, EntityTemplate, Family, JobFilter,
    MAX_NESTING, MAX_STATEMENT_BYTES, Statement, Text,
};

#[track_caller]
fn parse(text: &str) -> Statement {
    Statement::parse(text).unwrap_or_else(|wrong| panic!("{}", wrong.render(text)))
}

#[track_caller]
fn batch(text: &str) -> Batch {
    match parse(text).command {
        Command::Batch(batch) => *batch,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(text: &str) -> Diagnostic {
    match Statement::parse(text) {
        Ok(statement) => panic!("parses: {statement}"),
        Err(diagnostic) => diagnostic,
    }
}

#[test]
fn every_form_has_one_canonical_form() {
    let cases = [
        (
            "batch A ('1',2 ; x-3) fabric_command='echo ?'",
            r#"BATCH A.('1','2','x-3') FABRIC_COMMAND="echo ?";"#,
        ),
        (
            "BATCH A@DC-1.ig FABRIC_COMMAND=\"echo \"\"?\"\"\"",
            r#"BATCH A@'DC-1'.ig FABRIC_COMMAND='echo "?"';"#,
        ),
        (
            "batch A from FABRIC fabric_command='echo ?'",
            r#"BATCH A FROM fabric FABRIC_COMMAND="echo ?";"#,
        ),
        (
            "batch A from q using ( \"select 'x'\" ) fabric_command='echo ?'",
            r#"BATCH A FROM q USING ('select ''x''') FABRIC_COMMAND="echo ?";"#,
        ),
        (
            "batch A fabric_command='echo ?' with allow_multiply=TRUE, max_nodes='2' max_attempts=3",
            r#"BATCH A FABRIC_COMMAND="echo ?" with ALLOW_MULTIPLE='true' MAX_NODES=2 MAX_ATTEMPTS=3;"#,
        ),
        (
            "batch A fabric_command='echo ?' with RETRY_DELAY_MS=0 ENTITY_TIMEOUT_MS=10",
            r#"BATCH A FABRIC_COMMAND="echo ?" with ENTITY_TIMEOUT_MS=10 RETRY_DELAY_MS=0;"#,
        ),
        (
            "migratef A.f().(1) with generate_iids_first=true",
            "MIGRATEF A.f().('1') with GENERATE_ENTITIES_FIRST='true';",
        ),
        (
            "batch_list status=generate_iid_list",
            "BATCH_LIST STATUS='GENERATE_IID';",
        ),
        ("cancel batch'x'", "CANCEL BATCH 'x';"),
        ("kill x-1", "KILL 'x-1';"),
        ("kill node 42", "KILL 'node' '42';"),
        ("kill 'node''s', '42'", "KILL 'node''s' '42';"),
        ("ps All", "PS ALL;"),
        ("ps 'ALL'", "PS 'ALL';"),
        (
            "startjob http name=x paused='TRUE', overlap=queue misfire=' all : 7 ' retry_factor=1.50",
            "STARTJOB http NAME='x' MISFIRE='ALL:7' OVERLAP='QUEUE' RETRY_FACTOR='1.50' PAUSED=true;",
        ),
        (
            "updatejob USER_JOB after='PROCESS ''a b'' ENDED' name=x start_at='2026-01-01 00:00:00' max_attempts=-1",
            "UPDATEJOB USER_JOB NAME='x' START_AT='2026-01-01 00:00:00' MAX_ATTEMPTS=-1 AFTER='PROCESS ''a b'' ENDED';",
        ),
        ("jobhistory process x", "JOBHISTORY process 'x';"),
        (
            "jobhistory Batch /* type */ process'x'with limit 3 uid=u",
            "JOBHISTORY 'Batch process' 'x' with UID='u' LIMIT=3;",
        ),
        (
            "stopjob batch process name=x",
            "STOPJOB 'batch process' NAME='x';",
        ),
        ("jobstatus batch 'process'", "JOBSTATUS batch 'process';"),
        ("jobstatus batch process-1", "JOBSTATUS batch 'process-1';"),
        ("jobstatus strange x", "JOBSTATUS strange 'x';"),
        ("jobstatus 'batch process'", "JOBSTATUS 'batch process';"),
        ("jobstatus 2 DAYS AGO", "JOBSTATUS 2 days ago;"),
        ("deploy", "DEPLOY;"),
        ("deploy A soft_deploy true", "DEPLOY A SOFT_DEPLOY=true;"),
        ("deploy './a b'", "DEPLOY './a b';"),
        ("set", "SET;"),
        ("set sync on", "SET sync='on';"),
        ("set sync='ON',k2_ws.X = 5", "SET sync='ON', k2_ws.X='5';"),
        ("set x={\"a\":\"\\\";\"}", "SET x='{\"a\":\"\\\";\"}';"),
        ("help cancel   batch;", "HELP CANCEL BATCH;"),
        ("help list igs", "HELP LIST INSTANCE_GROUPS;"),
        ("get A.'it''s', B.2", "GET A.'it''s', B.2;"),
        ("get A.1.5", "GET A.'1.5';"),
        (
            "echo hello  world delay_ms=5",
            "ECHO 'hello  world' DELAY_MS=5;",
        ),
        ("echo 'a' b", "ECHO '''a'' b';"),
        ("release", "RELEASE;"),
        ("list lut", "LIST LU;"),
        ("select 1 -- one\n;", "select 1;"),
        (
            "/* x */ with a as (select ';') select * from a -- b",
            "with a as (select ';') select * from a;",
        ),
        ("sync_instance A.'1'", "SYNC_INSTANCE A.1;"),
        (
            "broadway A.f a=1, b='2' \"c d\"={e:1}",
            "BROADWAY A.f a='1' b='2' 'c d'='{e:1}';",
        ),
        ("getf A.f( 1, 'x' )", "GETF A.f(1, 'x');"),
        ("\u{FEFF}clusterid\u{A0};", "CLUSTERID;"),
    ];
    for (text, expected) in cases {
        let statement = parse(text);
        assert_eq!(statement.to_string(), expected, "{text}");
        assert_eq!(parse(expected), statement, "{text}");
        assert_eq!(statement.source, text);
    }
}

#[test]
fn a_batch_knows_its_source_and_command() {
    let Batch {
        family,
        lu,
        source,
        template,
        options,
        ..
    } = batch(
        "BATCH Customer FROM fabric USING (' BROADWAY Customer.ids x=1') FABRIC_COMMAND='get CRM.?' WITH ASYNC='true'",
    );
    assert_eq!(family, Family::Batch);
    assert_eq!((lu.value.as_str(), lu.span.start), ("Customer", 6));
    match source {
        EntitySource::FabricFlow { command } => {
            assert_eq!(command.value, "BROADWAY Customer.ids x=1")
        }
        other => panic!("{other:?}"),
    }
    let template = template.expect("the command is known");
    assert_eq!(template.keyword(), "GET");
    assert_eq!(template.lu().map(|lu| lu.value.as_str()), Some("CRM"));
    assert!(options.run_async.is_some_and(|run_async| run_async.value));
}

#[test]
fn migrate_is_batch_with_sync_instance() {
    let migrate = batch("MIGRATE Customer.ig");
    let spelled = batch("BATCH Customer.ig FABRIC_COMMAND='sync_instance Customer.?'");
    assert_eq!(migrate.template, spelled.template);
    assert_eq!(migrate.fabric_command, spelled.fabric_command);
    assert_eq!(migrate.source, spelled.source);
    assert_eq!(migrate.family, Family::Migrate);
}

#[test]
fn the_spellings_of_cancel_stay_apart() {
    let cases = [
        ("BATCH_CANCEL", CancelSpelling::BatchCancel),
        ("CANCEL BATCH", CancelSpelling::CancelBatch),
        ("KILL 'x'", CancelSpelling::Kill),
    ];
    for (text, expected) in cases {
        match parse(text).command {
            Command::BatchCancel { spelling, .. } => assert_eq!(spelling, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_job_knows_its_options() {
    let text = "STARTJOB USER_JOB NAME='x' MISFIRE=ALL:20 MAX_ATTEMPTS=-1 RETRY_FACTOR=1.5 TIMEOUT_MS=1 RELOCATE=false";
    let Command::Job(job) = parse(text).command else {
        panic!("it is STARTJOB");
    };
    let options = job.options;
    let misfire = options.misfire.expect("it was given");
    assert_eq!(
        (misfire.value.as_str(), misfire.span.of(text)),
        ("ALL:20", "ALL:20")
    );
    assert_eq!(
        options.max_attempts.map(|attempts| attempts.value),
        Some(-1)
    );
    assert_eq!(
        options.retry_factor.map(|factor| factor.value).as_deref(),
        Some("1.5")
    );
    assert_eq!(options.timeout_ms.map(|timeout| timeout.value), Some(1));
    assert_eq!(options.relocate.map(|relocate| relocate.value), Some(false));
    assert_eq!((options.max_runs, options.paused), (None, None));
}

#[test]
fn a_type_of_two_words_has_one_span() {
    let text = "JOBSTATUS BATCH  PROCESS x";
    let Command::JobStatus(JobFilter::Name { job_type, name, .. }) = parse(text).command else {
        panic!("it has a type and a name");
    };
    assert_eq!(job_type.value, "BATCH PROCESS");
    assert_eq!(job_type.span.of(text), "BATCH  PROCESS");
    assert_eq!(name.value, Text::from("x"));
}

#[test]
fn kill_of_one_value_is_a_batch_and_of_two_a_task() {
    assert!(matches!(
        parse("KILL 'x'").command,
        Command::BatchCancel {
            spelling: CancelSpelling::Kill,
            ..
        }
    ));
    for text in ["KILL 'n' 't'", "kill n t;", "kill n,'t'"] {
        match parse(text).command {
            Command::KillTask { node, task } => {
                assert_eq!((node.value, task.value), ("n".into(), "t".into()), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn parameters_wait_for_their_values() {
    let text = "BATCH Customer FROM TDM USING(?) fabric_command=? with AFFINITY='DC1' async=true";
    let Batch {
        source,
        fabric_command,
        template,
        ..
    } = batch(text);
    match source {
        EntitySource::Query { query, .. } => assert_eq!(query.value, Text::Parameter(0)),
        other => panic!("{other:?}"),
    }
    assert_eq!(fabric_command.value, Text::Parameter(1));
    assert_eq!(template, None);
    let diagnostic = refused("BATCH Customer FABRIC_COMMAND='echo ?' WITH ASYNC=?");
    assert_eq!(diagnostic.message, "this `?` needs its value now");
}

#[test]
fn values_of_parameters_are_literals_and_checked() {
    let values = |values: &[&str]| {
        values
            .iter()
            .map(|value| (*value).to_owned())
            .collect::<Vec<_>>()
    };
    let text = "BATCH Customer.(?) fabric_command=? with async=?";
    let bound = Statement::parse_with(
        text,
        &values(&["1'); drop --", "sync_instance Customer.?", "true"]),
    )
    .expect("it fits");
    let expected = r#"BATCH Customer.('1''); drop --') FABRIC_COMMAND="sync_instance Customer.?" with ASYNC='true';"#;
    assert_eq!(bound.to_string(), expected);

    let cases: &[(&[&str], &str)] = &[
        (&["1"], "this `?` has no value: only 1 given"),
        (
            &["1", "echo ?", "true", "x"],
            "4 values were given for 3 `?`",
        ),
        (&["1", "echo 1", "true"], "the entity command has no `?`"),
        (&["1", "echo ?", "maybe"], "ASYNC takes true or false"),
    ];
    for (given, expected) in cases {
        let wrong = Statement::parse_with(text, &values(given)).expect_err("it does not fit");
        assert_eq!(wrong.message, *expected);
    }
}

#[test]
fn templates_put_the_id_into_every_mark() {
    let cases = [
        ("sync_instance A.?", "SYNC_INSTANCE A.'1; drop'"),
        ("sync_instance A.'_dev_?'", "SYNC_INSTANCE A.'_dev_1; drop'"),
        (
            "broadway A.f id=?, text='<?>'",
            "BROADWAY A.f id='1; drop' text='<1; drop>'",
        ),
        (
            "cdc_republish_instance A.? TRUNCATE=true",
            "CDC_REPUBLISH_INSTANCE A.'1; drop' TRUNCATE=true",
        ),
        ("get A.?", "GET A.'1; drop'"),
        (
            "echo the id is ? DELAY_MS=5",
            "ECHO 'the id is 1; drop' DELAY_MS=5",
        ),
        (
            "process notify.sh ? 'by mail' id-?",
            "PROCESS 'notify.sh' '1; drop' 'by mail' 'id-1; drop'",
        ),
    ];
    for (text, expected) in cases {
        let template =
            EntityTemplate::parse(text).unwrap_or_else(|wrong| panic!("{}", wrong.render(text)));
        assert_eq!(template.bind("1; drop").to_string(), expected);
    }
}

#[test]
fn errors_in_a_fabric_command_point_into_the_statement() {
    let text = "BATCH A FABRIC_COMMAND='broadway A.f x=''a'' y=? z';";
    let diagnostic = refused(text);
    assert_eq!(diagnostic.span.of(text), "z");
    let text = "BATCH A FABRIC_COMMAND=\"sync_instance A.? rest\";";
    assert_eq!(refused(text).span.of(text), "rest");
}

#[test]
fn limits_are_refused_clearly() {
    let long = format!("ECHO '{}'", "x".repeat(MAX_STATEMENT_BYTES));
    assert_eq!(
        refused(&long).message,
        "the statement is longer than 64 KiB"
    );
    let fitting = format!("ECHO '{}'", "x".repeat(MAX_STATEMENT_BYTES - 7));
    parse(&fitting);
    let nested = |depth: usize| format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
    parse(&nested(MAX_NESTING));
    assert_eq!(
        refused(&nested(MAX_NESTING + 1)).message,
        "brackets are nested deeper than 64"
    );
    let json = |depth: usize| format!("SET a={}{}", "[".repeat(depth), "]".repeat(depth));
    parse(&json(MAX_NESTING));
    assert_eq!(
        refused(&json(MAX_NESTING + 1)).message,
        "brackets are nested deeper than 64"
    );
}

#[test]
fn commands_of_later_versions_are_known_by_name() {
    let cases = [
        ("BATCH A FABRIC_COMMAND='echo ?'", "BATCH", true),
        ("MIGRATEF A.f().g", "MIGRATEF", false),
        ("RESUMEJOB USER_JOB NAME='x'", "RESUMEJOB", true),
        ("KILL 'x'", "KILL", true),
        ("KILL node 1", "KILL", true),
        ("JOBHISTORY USER_JOB 'x'", "JOBHISTORY", true),
        ("STOPPARSER A b", "STOPPARSER", false),
        ("with a as (select 1) select * from a", "WITH", true),
        ("list affinity_rules", "LIST AFFINITY_RULES", true),
        ("delete A.1", "DELETE INSTANCE", false),
    ];
    for (text, keyword, is_available) in cases {
        let statement = parse(text);
        assert_eq!(statement.keyword(), keyword);
        assert_eq!(statement.is_available(), is_available, "{text}");
    }
}
