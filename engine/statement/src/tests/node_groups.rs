//! Affinity rules, node groups, and what SET NODE_AFFINITY gives a node.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use weft_model::{JobKey, JobStatus, NodeId};
use weft_node::node_group::refresh;
use weft_node::{Context, Node, NodeConfig, Wake};

use super::job_fixture::Jobs;
use crate::EndStatus;

const RULES: &str = r#"{"LOCAL_DC":{"blue":{"count":1,"affinities":[{"affinity":"heavy","recommended":1,"max":2}]}},"default_group":{"affinities":[{"affinity":"light"}]}}"#;

async fn jobs() -> Jobs {
    Jobs::with(|config| config.heartbeat_interval = Duration::from_millis(50)).await
}

/// Waits until the node's own row says so.
async fn until_carried(jobs: &Jobs, expected: &[&str]) {
    let carried = async {
        loop {
            let rows = jobs.fixture.store.nodes().await.unwrap();
            let own = rows.iter().find(|row| row.guid.0 == "n1").unwrap();
            if own.logical_ids == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), carried).await;
    assert!(waited.is_ok(), "still {:?}", jobs.node.context().affinity);
}

#[tokio::test]
async fn rules_are_set_listed_and_reset() {
    let jobs = jobs().await;
    let none = jobs.run("LIST AFFINITY_RULES").await.ok();
    assert_eq!((none.rows.len(), none.notices.len()), (0, 0));
    let set = format!("SET_GLOBAL AFFINITY_RULES='{RULES}'");
    let answer = jobs.run(&set).await.ok();
    let listed = jobs.run("LIST AFFINITY_RULES").await.ok();
    assert_eq!(answer.rows, listed.rows);
    assert_eq!(
        listed.rows,
        [
            vec![
                json!("LOCAL_DC"),
                json!("blue"),
                json!(1),
                json!("heavy"),
                json!(1),
                json!(2),
                json!(""),
            ],
            vec![
                json!("LOCAL_DC"),
                json!("default_group"),
                json!(null),
                json!("light"),
                json!(null),
                json!(null),
                json!(""),
            ],
        ]
    );
    assert!(listed.notices[0].ends_with(&set), "{:?}", listed.notices);
    assert!(listed.notices[1].contains("no job assigns the nodes of LOCAL_DC to groups"));
    // What cannot be read changes nothing.
    let wrong = jobs
        .run(r#"SET_GLOBAL AFFINITY_RULES='{"DC1":{"blue":{"affinities":[]}}}'"#)
        .await;
    assert_eq!(wrong.end.status, EndStatus::Usage);
    assert!(
        wrong.error().contains("DC1.blue.count: is the number"),
        "{}",
        wrong.error()
    );
    assert_eq!(jobs.run("LIST AFFINITY_RULES").await.ok().rows, listed.rows);
    let reset = jobs.run("SET_GLOBAL RESET_AFFINITY_RULES").await.ok();
    assert_eq!((reset.rows.len(), reset.notices.len()), (0, 0));
    jobs.leave().await;
}

#[tokio::test]
async fn a_job_for_a_node_group_runs_on_its_nodes() {
    let jobs = jobs().await;
    // A data centre is the same in any case.
    let rules = RULES.replace("LOCAL_DC", "local_dc");
    jobs.run(&format!("SET_GLOBAL AFFINITY_RULES='{rules}'"))
        .await
        .ok();
    let for_group = jobs.start("ok", "AFFINITY='blue'").await;
    let for_id = jobs.start("ok", "AFFINITY='heavy'").await;
    let for_others = jobs.start("ok", "AFFINITY='light'").await;
    let start = "STARTJOB NODE_AFFINITY_COORDINATOR_JOB NAME='LOCAL_DC' UID='c' ARGS='{\"dc\":\"Local_DC\"}'";
    jobs.run(start).await.ok();
    for key in [&for_group, &for_id] {
        jobs.until_status(key, JobStatus::Processed).await;
    }
    until_carried(&jobs, &["heavy:1-2", "blue"]).await;
    assert_eq!(jobs.job(&for_others).await.status, JobStatus::Waiting);
    let listed = jobs.run("LIST AFFINITY_RULES").await.ok();
    assert_eq!(listed.rows.len(), 2);
    assert_eq!(*listed.cell("Nodes"), json!("n1"));
    assert_eq!(listed.notices.len(), 1, "{:?}", listed.notices);
    // The node sees its own row as it sees those of others.
    let status = loop {
        let status = jobs.run("CLUSTERSTATUS NODE_AFFINITY_STATUS").await.ok();
        if !status.rows.is_empty() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(*status.cell("Affinity"), json!("heavy"));
    assert_eq!(*status.cell("Node Group"), json!("blue"));
    // Other rules, other groups.
    let none_of_blue = RULES.replace("\"count\":1", "\"count\":0");
    jobs.run(&format!("SET_GLOBAL AFFINITY_RULES='{none_of_blue}'"))
        .await
        .ok();
    jobs.until_status(&for_others, JobStatus::Processed).await;
    jobs.run("SET_GLOBAL RESET_AFFINITY_RULES").await.ok();
    until_carried(&jobs, &[]).await;
    jobs.run("STOPJOB NODE_AFFINITY_COORDINATOR_JOB NAME='LOCAL_DC' UID='c'")
        .await
        .ok();
    let key = JobKey {
        job_type: "NODE_AFFINITY_COORDINATOR_JOB".to_owned(),
        name: "LOCAL_DC".to_owned(),
        uid: "c".to_owned(),
    };
    jobs.until_status(&key, JobStatus::Terminated).await;
    jobs.leave().await;
}

#[tokio::test]
async fn the_place_of_a_node_that_leaves_is_taken_by_another() {
    let jobs = jobs().await;
    let context = jobs.node.context();
    let config = NodeConfig {
        guid: NodeId("n0".to_owned()),
        ..context.config.clone()
    };
    let other = Context::new(
        context.store.clone(),
        context.clock.clone(),
        context.ids.clone(),
        config,
        context.factory.clone(),
        context.kinds.clone(),
        Wake::default(),
    );
    let other = Node::start(Arc::new(other));
    other.serving().await;
    let sees_both = || jobs.node.members().len() == 2;
    while !sees_both() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    jobs.run(&format!("SET_GLOBAL AFFINITY_RULES='{RULES}'"))
        .await
        .ok();
    let start = "STARTJOB NODE_AFFINITY_COORDINATOR_JOB NAME='LOCAL_DC' UID='c' AFFINITY='n1'";
    jobs.run(start).await.ok();
    let until_in_group = async |node: &str| {
        for _ in 0..1_500 {
            let listed = jobs.run("LIST AFFINITY_RULES").await.ok();
            if *listed.cell("Nodes") == json!(node) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{node} is not in the group");
    };
    // Places are given in the order of the guids, and kept.
    until_in_group("n0").await;
    let key = jobs.start("ok", "AFFINITY='blue'").await;
    let ran = jobs.until_status(&key, JobStatus::Processed).await;
    assert_eq!(ran.worker, Some(NodeId("n0".to_owned())));
    other.drain();
    other.ended().await.unwrap();
    until_in_group("n1").await;
    let key = jobs.start("ok", "AFFINITY='blue'").await;
    let ran = jobs.until_status(&key, JobStatus::Processed).await;
    assert_eq!(ran.worker, Some(NodeId("n1".to_owned())));
    jobs.leave().await;
}

#[tokio::test]
async fn a_coordinator_with_wrong_arguments_is_refused() {
    let jobs = jobs().await;
    for (arguments, expected) in [
        (r#"{"dcc":"DC1"}"#, "has no argument `dcc`"),
        (r#"{"dc":5}"#, "`dc` is the name of a data centre, not 5"),
    ] {
        let text = format!("STARTJOB NODE_AFFINITY_COORDINATOR_JOB NAME='x' ARGS='{arguments}'");
        let answer = jobs.run(&text).await;
        assert!(answer.error().contains(expected), "{}", answer.error());
    }
    jobs.leave().await;
}

#[tokio::test]
async fn a_node_is_given_logical_ids_and_keeps_them() {
    let jobs = jobs().await;
    let key = jobs.start("ok", "AFFINITY='heavy'").await;
    jobs.run("SET NODE_AFFINITY \"aff1:1:4\"").await.ok();
    let answer = jobs.run("SET NODE_AFFINITY='heavy:2,AFF1:0:4'").await.ok();
    assert_eq!(*answer.cell("Given"), json!("heavy:2,AFF1:0:4"));
    jobs.until_status(&key, JobStatus::Processed).await;
    until_carried(&jobs, &["heavy:2", "AFF1:0:4"]).await;
    // The next node session starts with them.
    let context = jobs.node.context();
    let next = Context::new(
        context.store.clone(),
        context.clock.clone(),
        context.ids.clone(),
        context.config.clone(),
        context.factory.clone(),
        context.kinds.clone(),
        context.wake.clone(),
    );
    refresh(&next).await.unwrap();
    assert_eq!(next.affinity.all().join(","), "heavy:2,AFF1:0:4");
    jobs.run("SET NODE_AFFINITY '@Reset@'").await.ok();
    until_carried(&jobs, &[]).await;
    for (text, expected) in [
        (
            "SET NODE_AFFINITY 'a:b:c'",
            "`a:b:c` is not a logical id with sizes",
        ),
        ("SET sync='ON', NODE_AFFINITY='a'", "a statement of its own"),
    ] {
        let answer = jobs.run(text).await;
        assert!(answer.error().contains(expected), "{}", answer.error());
    }
    jobs.leave().await;
}
