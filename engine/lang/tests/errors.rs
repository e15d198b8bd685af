//! What people read when a statement is wrong.

use weft_lang::Statement;

#[track_caller]
fn check(text: &str, expected: &str) {
    match Statement::parse(text) {
        Ok(statement) => panic!("parses: {statement}"),
        Err(diagnostic) => assert_eq!(diagnostic.render(text), expected),
    }
}

#[test]
fn errors_say_what_is_wrong_where_and_what_to_do() {
    check(
        r#"BATCH Customer FABRIC_COMMAND="sync_instance Customer.?" WITH MAX_WORKER_PER_NODE=4"#,
        r#"error: unknown option `MAX_WORKER_PER_NODE`
  BATCH Customer FABRIC_COMMAND="…" WITH MAX_WORKER_PER_NODE=4
                                         ^^^^^^^^^^^^^^^^^^^
hint: did you mean `MAX_WORKERS_PER_NODE`?"#,
    );
    check(
        "BATHC Customer",
        r"error: unknown command `BATHC`
  BATHC Customer
  ^^^^^
hint: did you mean `BATCH`?",
    );
    check(
        "STOP JOB USER_JOB NAME='x'",
        r"error: unknown command `STOP`
  STOP JOB USER_JOB NAME='x'
  ^^^^
hint: did you mean `STOPJOB`?",
    );
    check(
        "LIST FOO",
        r"error: unknown command `LIST FOO`
  LIST FOO
  ^^^^^^^^
hint: expected LIST LU, LIST INSTANCE_GROUPS, LIST INTERFACES or LIST AFFINITY_RULES",
    );
    check(
        "BATCH Customer WITH ASYNC=true",
        r#"error: BATCH needs a FABRIC_COMMAND
  BATCH Customer WITH ASYNC=true
                 ^^^^
hint: write `FABRIC_COMMAND="sync_instance Customer.?"`, before WITH"#,
    );
    check(
        "BATCH Customer FABRIC_COMMAND='';",
        r"error: the entity command is empty
  BATCH Customer FABRIC_COMMAND='';
                                 ^
hint: put `?` where the entity id goes, as in `sync_instance Customer.?`",
    );
    check(
        "BATCH Customer FABRIC_COMMAND='sync_instance Customer.1';",
        r"error: the entity command has no `?`
  BATCH Customer FABRIC_COMMAND='sync_instance Customer.1';
                                 ^^^^^^^^^^^^^^^^^^^^^^^^
hint: put `?` where the entity id goes, as in `sync_instance Customer.?`",
    );
    check(
        "BATCH Customer FABRIC_COMMAND='broadway Customer.flow a=''x'' b';",
        r"error: the parameter has no value
  BATCH Customer FABRIC_COMMAND='broadway Customer.flow a=''x'' b';
                                                                ^
hint: write `name=value`, as in `broadway Customer.flow id=?`",
    );
    check(
        "BATCH Customer FABRIC_COMMAND='jobstatus ?';",
        r"error: JOBSTATUS cannot be run for each entity
  BATCH Customer FABRIC_COMMAND='jobstatus ?';
                                 ^^^^^^^^^^^
hint: expected get, sync_instance, echo, process, broadway or cdc_republish_instance",
    );
    check(
        "BATCH Customer FABRIC_COMMAND='echo ?' ASYNC=true",
        r"error: option `ASYNC` must follow WITH
  BATCH Customer FABRIC_COMMAND='echo ?' ASYNC=true
                                         ^^^^^
hint: write `with ASYNC=…`",
    );
    check(
        "BATCH Customer FABRIC_COMMAND='echo ?' WITH ASYNC=yes",
        r"error: ASYNC takes true or false
  BATCH Customer FABRIC_COMMAND='echo ?' WITH ASYNC=yes
                                                    ^^^",
    );
    check(
        "BATCH Customer FABRIC_COMMAND='echo ?' WITH MAX_NODES=0",
        r"error: MAX_NODES takes a whole number from 1 up
  BATCH Customer FABRIC_COMMAND='echo ?' WITH MAX_NODES=0
                                                        ^",
    );
    check(
        "BATCH Customer FABRIC_COMMAND='echo ?' WITH ASYNC=true async='false'",
        r"error: option `ASYNC` is given twice
  BATCH Customer FABRIC_COMMAND='echo ?' WITH ASYNC=true async='false'
                                                         ^^^^^",
    );
    check(
        "BATCH Customer FABRIC_COMMAND='echo ?' WITH",
        r"error: the statement ends where an option is expected
  BATCH Customer FABRIC_COMMAND='echo ?' WITH
                                             ^
hint: HELP BATCH lists the options",
    );
    check(
        "BATCH Customer FABRIC_COMMAND='echo ?' WITH BIND_PARAMS='1'",
        r"error: values can only be bound to a query
  BATCH Customer FABRIC_COMMAND='echo ?' WITH BIND_PARAMS='1'
                                              ^^^^^^^^^^^
hint: this batch has no query after USING",
    );
    check(
        "BATCH Customer\n  FROM CRM_DB USING ('select ''é'' from 漢字')\n\tFABRIC_COMMAND='echo ?'\n\tWITH ASNYC=true;",
        r"error: unknown option `ASNYC`
  4 |     WITH ASNYC=true;
    |          ^^^^^
hint: did you mean `ASYNC`?",
    );
    check(
        "BATCH Customer FROM CRM_DB FABRIC_COMMAND='echo ?'",
        r"error: `FABRIC_COMMAND` is not expected here
  BATCH Customer FROM CRM_DB FABRIC_COMMAND='echo ?'
                             ^^^^^^^^^^^^^^
hint: write `FROM CRM_DB USING ('…')`",
    );
    check(
        "BATCH Customer USING ('select 1') FABRIC_COMMAND='echo ?'",
        r"error: USING needs an interface before it
  BATCH Customer USING ('select 1') FABRIC_COMMAND='echo ?'
                 ^^^^^
hint: write `FROM <interface> USING ('…')`",
    );
    check(
        "BATCH Customer FROM fabric USING ('BROADWAY C.f) FABRIC_COMMAND='echo ?'",
        r"error: the query is not followed by `)`
  BATCH Customer FROM fabric USING ('BROADWAY C.f) FABRIC_COMMAND='echo ?'
                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
hint: the query ends at its quote: double a quote inside it, or look for a missing one",
    );
    check(
        "BATCH Customer.('1' '2') FABRIC_COMMAND='echo ?'",
        r"error: two ids need a comma between them
  BATCH Customer.('1' '2') FABRIC_COMMAND='echo ?'
                      ^^^
hint: expected `,` or `)`",
    );
    check(
        "BATCH Customer.f() FABRIC_COMMAND='echo ?'",
        r"error: only BATCHF and MIGRATEF take a function
  BATCH Customer.f() FABRIC_COMMAND='echo ?'
                 ^
hint: without `()` it is the name of an instance group",
    );
    check(
        "MIGRATE Customer FABRIC_COMMAND='sync_instance Customer.?'",
        r"error: MIGRATE takes no FABRIC_COMMAND
  MIGRATE Customer FABRIC_COMMAND='sync_instance Customer.?'
                   ^^^^^^^^^^^^^^
hint: it always runs `sync_instance`; BATCH runs other commands",
    );
    check(
        "BATCH_LIST STATUS='DOME'",
        r"error: unknown batch status `DOME`
  BATCH_LIST STATUS='DOME'
                    ^^^^^^
hint: did you mean `DONE`?",
    );
    check(
        "BATCH_LIST STATUS='x'",
        r"error: unknown batch status `x`
  BATCH_LIST STATUS='x'
                    ^^^
hint: expected WAITING_FOR_JOB, NEW, GENERATE_IID, IN_PROGRESS, PAUSED, RESUME_FAILURES, DONE, FAILED, CANCELLED or ALL",
    );
    check(
        "BATCH_INFO",
        r"error: the statement ends where a batch id is expected
  BATCH_INFO
            ^
hint: BATCH_LIST shows the ids of batches",
    );
    check(
        "BATCH_DETAILS 'x' LIMIT=ten",
        r"error: LIMIT takes a whole number from -1 up
  BATCH_DETAILS 'x' LIMIT=ten
                          ^^^",
    );
    check(
        "JOBSTATUS 1 day ago",
        r"error: JOBSTATUS counts in `days ago`
  JOBSTATUS 1 day ago
              ^^^
hint: write `JOBSTATUS 1 days ago`",
    );
    check(
        "STARTJOB USER_JOB UID='x';",
        r"error: STARTJOB needs the job's NAME
  STARTJOB USER_JOB UID='x';
                           ^
hint: write `NAME='…'`",
    );
    check(
        "STARTJOB USER_JOB NAME='C.j' EXEC_INTERVAL='5 11 05 04-16/3 30';",
        r"error: `04-16/3` is not a valid month of a cron expression
  STARTJOB USER_JOB NAME='C.j' EXEC_INTERVAL='5 11 05 04-16/3 30';
                                             ^^^^^^^^^^^^^^^^^^^^
hint: write a moment `yyyy-MM-dd HH:mm:ss`, an interval `[D.]HH:MM:SS` or a cron expression",
    );
    check(
        "get Customer.1, CUSTOMER.2",
        r"error: Only single instance per LUT can be used on the same GET command.
  get Customer.1, CUSTOMER.2
                  ^^^^^^^^^^",
    );
    check(
        "ECHO 'open",
        r"error: this string is never closed
  ECHO 'open
       ^^^^^
hint: a quote is missing here or earlier",
    );
    check(
        "PS; PS",
        r"error: a statement ends at its `;`
  PS; PS
      ^^
hint: send one statement at a time",
    );
    check(
        "",
        r"error: there is no statement
hint: HELP lists the commands",
    );
    check(
        "SET a",
        r"error: the statement ends where a value is expected
  SET a
       ^",
    );
}

#[test]
fn errors_about_jobs_say_what_a_job_takes() {
    check(
        "STARTJOB USER_JOB NAME='C.j' OVERLAP=SKPI;",
        r"error: unknown overlap rule `SKPI`
  STARTJOB USER_JOB NAME='C.j' OVERLAP=SKPI;
                                       ^^^^
hint: did you mean `SKIP`?",
    );
    check(
        "STARTJOB USER_JOB NAME='C.j' MISFIRE='ONSE';",
        r"error: unknown misfire rule `ONSE`
  STARTJOB USER_JOB NAME='C.j' MISFIRE='ONSE';
                                       ^^^^^^
hint: did you mean `ONCE`?",
    );
    check(
        "STARTJOB USER_JOB NAME='C.j' MISFIRE=NEVER;",
        r"error: unknown misfire rule `NEVER`
  STARTJOB USER_JOB NAME='C.j' MISFIRE=NEVER;
                                       ^^^^^
hint: expected ONCE, SKIP or ALL",
    );
    for wrong in ["ALL:0", "ALL:x", "ALL:-1", "SKIP:5", "ALL:99999999999"] {
        check(
            &format!("UPDATEJOB USER_JOB NAME='C.j' MISFIRE={wrong}"),
            &format!(
                r"error: `{wrong}` is not a misfire rule
  UPDATEJOB USER_JOB NAME='C.j' MISFIRE={wrong}
                                        {}
hint: only ALL can be followed by a number of runs, from 1 up, as in `ALL:20`",
                "^".repeat(wrong.len())
            ),
        );
    }
    for wrong in ["0", "-2", "1001", "1.5", "many"] {
        check(
            &format!("STARTJOB USER_JOB NAME='C.j' MAX_ATTEMPTS={wrong}"),
            &format!(
                r"error: MAX_ATTEMPTS takes -1 or a whole number from 1 to 1000
  STARTJOB USER_JOB NAME='C.j' MAX_ATTEMPTS={wrong}
                                            {}",
                "^".repeat(wrong.len())
            ),
        );
    }
    for wrong in [
        "0",
        "0.99",
        "-1",
        "1.",
        ".5",
        "1e3",
        "NaN",
        "inf",
        "1.5.2",
        "5000000000",
    ] {
        check(
            &format!("STARTJOB USER_JOB NAME='C.j' RETRY_FACTOR={wrong}"),
            &format!(
                r"error: RETRY_FACTOR takes a number from 1 up, as in 2 or 1.5
  STARTJOB USER_JOB NAME='C.j' RETRY_FACTOR={wrong}
                                            {}",
                "^".repeat(wrong.len())
            ),
        );
    }
    check(
        "STARTJOB USER_JOB NAME='C.j' MAX_RUNS=0",
        r"error: MAX_RUNS takes a whole number from 1 up
  STARTJOB USER_JOB NAME='C.j' MAX_RUNS=0
                                        ^",
    );
    check(
        "STARTJOB USER_JOB NAME='C.j' RETRY_MAX_DELAY=5",
        r"error: unknown option `RETRY_MAX_DELAY`
  STARTJOB USER_JOB NAME='C.j' RETRY_MAX_DELAY=5
                               ^^^^^^^^^^^^^^^
hint: did you mean `RETRY_MAX_DELAY_MS`?",
    );
    check(
        "STARTJOB USER_JOB NAME='C.j' PAUSED",
        r"error: the statement ends where = is expected
  STARTJOB USER_JOB NAME='C.j' PAUSED
                                     ^
hint: write `PAUSED=true|false`",
    );
    check(
        "STOPJOB USER_JOB NAME='C.j' PAUSED=true",
        r"error: unknown option `PAUSED`
  STOPJOB USER_JOB NAME='C.j' PAUSED=true
                              ^^^^^^
hint: the options are NAME, UID",
    );
    check(
        "STOPJOB BATCH PROCESS",
        r"error: STOPJOB needs the job's NAME
  STOPJOB BATCH PROCESS
                       ^
hint: write `NAME='…'`",
    );
    check(
        "STOPJOB BATCH PROCES NAME='x'",
        r"error: `PROCES` is not expected here
  STOPJOB BATCH PROCES NAME='x'
                ^^^^^^
hint: the options are NAME, UID",
    );
}

#[test]
fn errors_about_histories_and_tasks_say_what_is_missing() {
    check(
        "JOBHISTORY USER_JOB",
        r"error: the statement ends where a job name is expected
  JOBHISTORY USER_JOB
                     ^
hint: write `JOBHISTORY <type> '<name>' WITH UID='<uid>'`",
    );
    check(
        "JOBHISTORY LIMIT=5",
        r"error: `LIMIT` is not expected here
  JOBHISTORY LIMIT=5
             ^^^^^
hint: write `JOBHISTORY USER_JOB '<name>'`",
    );
    check(
        "JOBHISTORY USER_JOB 'C.j' LIMIT=-1",
        r"error: LIMIT takes a whole number from 1 up
  JOBHISTORY USER_JOB 'C.j' LIMIT=-1
                                  ^^",
    );
    check(
        "JOBHISTORY USER_JOB 'C.j' LIMTI=5",
        r"error: unknown option `LIMTI`
  JOBHISTORY USER_JOB 'C.j' LIMTI=5
                            ^^^^^
hint: did you mean `LIMIT`?",
    );
    check(
        "JOBHISTRY USER_JOB 'C.j'",
        r"error: unknown command `JOBHISTRY`
  JOBHISTRY USER_JOB 'C.j'
  ^^^^^^^^^
hint: did you mean `JOBHISTORY`?",
    );
    check(
        "KILL 'node',",
        r"error: the statement ends where a task id is expected
  KILL 'node',
              ^",
    );
    check(
        "KILL node 42 43",
        r"error: `43` is not expected here
  KILL node 42 43
               ^^",
    );
    check(
        "PS ALL 42",
        r"error: `42` is not expected here
  PS ALL 42
         ^^",
    );
}

#[test]
fn traces_say_what_is_missing() {
    check(
        "TRACE",
        r"error: the statement ends where an operation, OPS, STATUS, OFF or REMOVE is expected
  TRACE
       ^
hint: TRACE OPS shows the operations",
    );
    check(
        "TRACE jobExecutor type=PROCESS",
        r"error: `type` is not expected here
  TRACE jobExecutor type=PROCESS
                    ^^^^
hint: the parameters are one string: TRACE jobExecutor 'type=PROCESS name=a.sh'",
    );
    check(
        "TRACE OFF one",
        r"error: `one` is not the number of a trace
  TRACE OFF one
            ^^^
hint: TRACE STATUS shows the numbers",
    );
}
