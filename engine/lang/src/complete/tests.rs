//! What is offered at a cursor.

use super::*;

struct Cluster;

impl ValueSource for Cluster {
    fn values(&self, kind: ValueKind, lu: Option<&str>) -> Vec<String> {
        let values: &[&str] = match kind {
            ValueKind::LogicalUnit => &["CRM", "Customer"],
            ValueKind::Interface => &["CRM_DB", "idsFile"],
            ValueKind::InstanceGroup if lu == Some("Customer") => &["ig10"],
            ValueKind::InstanceGroup => &[],
            ValueKind::BatchId => &["35408af6-b26a"],
            ValueKind::Node => &["10.21.2.102", "DC1"],
        };
        values.iter().map(|value| (*value).to_owned()).collect()
    }
}

/// `|` is the cursor; every expected text must be offered, and `!text` must not.
fn check(marked: &str, replaced: &str, expected: &[&str]) {
    let cursor = marked.find('|').expect("the cursor is marked");
    let text = marked.replacen('|', "", 1);
    let completions = complete(&text, cursor, &Cluster);
    assert_eq!(completions.replace.of(&text), replaced, "{marked}");
    let offered: Vec<_> = completions
        .candidates
        .iter()
        .map(|candidate| candidate.text.as_str())
        .collect();
    for expected in expected {
        match expected.strip_prefix('!') {
            Some(unwanted) => assert!(!offered.contains(&unwanted), "{marked}: {offered:?}"),
            None => assert!(
                offered.contains(expected),
                "{marked}: {expected} in {offered:?}"
            ),
        }
    }
}

#[test]
fn commands_are_offered_where_a_statement_begins() {
    check("|", "", &["BATCH", "LIST LU", "SET"]);
    check("BAT|", "BAT", &["BATCH", "BATCH_LIST", "!SET"]);
    check("bat|", "bat", &["batch", "batch_list"]);
    check("PS; cl|", "cl", &["clusterid", "clusterstatus"]);
    check("LIST |", "", &["LU", "INTERFACES"]);
    check("list in|", "in", &["interfaces", "instance_groups", "!lu"]);
    check("HELP BA|", "BA", &["BATCH"]);
    check("TRACE |", "", &["OPS", "global_scope", "jobExecutor"]);
    check("TRACE S|", "S", &["STATUS", "!OFF"]);
}

#[test]
fn a_batch_is_led_from_word_to_word() {
    check("BATCH |", "", &["Customer", "CRM"]);
    check("BATCH cu|", "cu", &["Customer", "!CRM"]);
    check("BATCH Customer.|", "", &["ig10"]);
    check("BATCH Customer.i|", "i", &["ig10"]);
    check(
        "BATCH Customer |",
        "",
        &["FROM", "FABRIC_COMMAND=", "!with"],
    );
    check(
        "BATCH Customer FROM |",
        "",
        &["CRM_DB", "idsFile", "fabric"],
    );
    check("BATCH Customer FROM i|", "i", &["idsFile", "!CRM_DB"]);
    check(
        "BATCH Customer FROM idsFile |",
        "",
        &["USING ('", "FABRIC_COMMAND="],
    );
    check(
        "MIGRATE Customer |",
        "",
        &["FROM", "with", "!FABRIC_COMMAND="],
    );
    check(
        "BATCH Customer FABRIC_COMMAND=|",
        "",
        &["\"sync_instance Customer.?\""],
    );
    check(
        "BATCH Customer FABRIC_COMMAND=\"sy|",
        "sy",
        &["sync_instance", "!set"],
    );
    check(
        "BATCH Customer FABRIC_COMMAND=\"sync_instance |",
        "",
        &["Customer"],
    );
    check("BATCH Customer FABRIC_COMMAND='echo ?' |", "", &["with"]);
}

#[test]
fn options_and_their_values_come_from_the_table() {
    let batch = "BATCH Customer FABRIC_COMMAND='echo ?' with ";
    check(&format!("{batch}|"), "", &["ASYNC=", "MAX_NODES="]);
    check(
        &format!("{batch}ASYNC=true A|"),
        "A",
        &["AFFINITY=", "!ASYNC=", "!MAX_NODES="],
    );
    check(&format!("{batch}ASYNC=|"), "", &["true", "false"]);
    check(
        &format!("{batch}AFFINITY=|"),
        "",
        &["'DC1'", "'10.21.2.102'"],
    );
    check(
        &format!("{batch}AFFINITY='DC1,10|"),
        "10",
        &["10.21.2.102", "!DC1"],
    );
    check("BATCH_LIST |", "", &["STATUS=", "FILTER="]);
    check("BATCH_LIST STATUS='D|", "D", &["DONE", "!NEW"]);
    check("BATCH_LIST STATUS=|", "", &["'DONE'"]);
    check("BATCH_INFO |", "", &["'35408af6-b26a'"]);
    check("BATCH_INFO '35|", "35", &["35408af6-b26a"]);
    check("GET Customer.1, |", "", &["CRM", "!STOP_ON_ERROR="]);
    check("JOBSTATUS us|", "us", &["user_job"]);
}

#[test]
fn the_options_of_jobs_are_offered_with_their_values() {
    let start = "STARTJOB USER_JOB NAME='x' ";
    check(
        &format!("{start}|"),
        "",
        &["START_AT=", "TIME_ZONE=", "AFTER=", "!RESET_END_TIME="],
    );
    check(
        &format!("{start}RETRY_DELAY_MS=5 RETRY_|"),
        "RETRY_",
        &["RETRY_FACTOR=", "RETRY_MAX_DELAY_MS=", "!RETRY_DELAY_MS="],
    );
    check(
        "UPDATEJOB USER_JOB NAME='x' pa|",
        "pa",
        &["paused=", "!name="],
    );
    check(
        "STOPJOB USER_JOB NAME='x' |",
        "",
        &["UID=", "!PAUSED=", "!MAX_RUNS="],
    );
    check(
        &format!("{start}OVERLAP=|"),
        "",
        &["'SKIP'", "'QUEUE'", "'ALLOW'"],
    );
    check(&format!("{start}MISFIRE='S|"), "S", &["SKIP", "!ALL"]);
    check(&format!("{start}RELOCATE=|"), "", &["true", "false"]);
    check("JOBH|", "JOBH", &["JOBHISTORY", "!JOBSTATUS"]);
    check("JOBHISTORY h|", "h", &["http"]);
    check("JOBHISTORY HTTP 'x' |", "", &["UID=", "LIMIT="]);
    check("PS a|", "a", &["all"]);
    check("STARTJOB |", "", &["USER_JOB", "!NAME="]);
    check("JOBSTATUS |", "", &["USER_JOB", "!UID="]);
    check("BATCH_DETAILS |", "", &["'35408af6-b26a'", "!LIMIT="]);
    check(
        "BATCH_RETRY |",
        "",
        &["'35408af6-b26a'", "ALLOW_CANCELLED="],
    );
}

#[test]
fn the_cursor_may_be_anywhere() {
    let text = "BATCH Customer FROM idsFile USING ('é\u{2019}') FABRIC_COMMAND=\"echo ?\" with AFFINITY='DC1'; /*";
    for cursor in 0..=text.len() + 1 {
        complete(text, cursor, &Cluster);
    }
}
