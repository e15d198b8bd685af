use std::time::Duration;

use super::*;

fn sources(ini: &str, node_id: &str) -> Sources {
    let text = |path: &str, text: &str| SourceText {
        path: path.into(),
        text: text.to_owned(),
    };
    Sources {
        data: "data".into(),
        config_ini: Some(text("config.ini", ini)),
        node_id: Some(text("node.id", node_id)),
        ..Sources::default()
    }
}

fn check_errors(ini: &str, node_id: &str, expected: &str) {
    let error = load(&sources(ini, node_id)).expect_err("something is wrong");
    assert_eq!(error.to_string(), expected);
}

fn check_warning(ini: &str, expected: &str) {
    let loaded = load(&sources(ini, "uuid: n1")).expect("warnings stop nothing");
    let found: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(found, [expected]);
}

#[test]
fn the_defaults_of_keys_and_node_agree() {
    let loaded = load(&sources("", "uuid: n1")).expect("fine");
    let expected =
        crate::NodeConfig::with_defaults(weft_model::NodeId("n1".to_owned()), "data".into());
    assert_eq!(loaded.node, expected);
    assert_eq!(loaded.cluster_id, None);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn later_sources_win_and_are_named() {
    let mut sources = sources(
        "[batch_process]\nMAX_RUNNING_BATCHES=1\nCANCEL_GRACE_SEC = 2\n\n# less\nmax_workers_per_node=3\n[node]\ndc_name=DC1\n",
        "# me\nuuid: n1\ndc_name: \"DC2\"\nlogical_id: ANY:0, iidfinder_job:1\ncluster_id: prod1\n",
    );
    sources.environment = vec![
        (
            "WEFT_BATCH_PROCESS__MAX_RUNNING_BATCHES".to_owned(),
            "4".to_owned(),
        ),
        ("WEFT_NODE__EFFECTIVE_IP".to_owned(), "10.0.0.1".to_owned()),
        ("WEFT_STORE".to_owned(), "not a key".to_owned()),
    ];
    sources.flags = vec![Flag {
        flag: "--node-ip".to_owned(),
        section: "node".to_owned(),
        key: "effective_ip".to_owned(),
        value: "10.21.2.102".to_owned(),
    }];
    let loaded = load(&sources).expect("fine");
    assert_eq!(loaded.node.max_running_batches, 4);
    assert_eq!(loaded.node.cancel_grace, Duration::from_secs(2));
    assert_eq!(loaded.node.max_workers_per_node, 3);
    assert_eq!(loaded.node.dc, "DC2");
    assert_eq!(loaded.node.logical_ids, ["ANY:0", "iidfinder_job:1"]);
    assert_eq!(loaded.node.effective_ip, "10.21.2.102");
    assert_eq!(loaded.node.ips, ["10.21.2.102"]);
    assert_eq!(loaded.cluster_id.as_deref(), Some("prod1"));
    let origin = |name: &str| {
        let found = loaded.effective.iter().find(|value| value.key == name);
        found.expect("a key").origin.to_string()
    };
    assert_eq!(
        origin("MAX_RUNNING_BATCHES"),
        "$WEFT_BATCH_PROCESS__MAX_RUNNING_BATCHES"
    );
    assert_eq!(origin("MAX_WORKERS_PER_NODE"), "config.ini:6");
    assert_eq!(origin("dc_name"), "node.id:3");
    assert_eq!(origin("effective_ip"), "--node-ip");
    assert_eq!(origin("MAX_CHUNK_SIZE"), "default");
}

#[test]
fn all_problems_are_reported_at_once() {
    check_errors(
        "[batch_process]\nMAX_RUNNING_BATCHES=many\n[fabric_cluster]\nFABRIC_HEARTBEAT_MISS=1\n",
        "uuid: n1\ncluster_id: my-cluster\nnonsense\n",
        "node.id:3: the line `nonsense` cannot be read\n  hint: write `key: value`\n\
         config.ini:2: [batch_process] MAX_RUNNING_BATCHES: `many` is not allowed\n  hint: write a whole number from 1 to 10000\n\
         config.ini:4: [fabric_cluster] FABRIC_HEARTBEAT_MISS: `1` is not allowed\n  hint: write a whole number from 3 to 1000\n\
         node.id:2: [node] cluster_id: `my-cluster` is not allowed\n  hint: write 1 to 20 letters or digits",
    );
}

#[test]
fn a_replaced_value_is_checked_too() {
    check_errors(
        "[node]\neffective_ip=999.1.1.1\n",
        "uuid: n1\neffective_ip: 10.0.0.1\n",
        "config.ini:2: [node] effective_ip: `999.1.1.1` is not allowed\n  hint: write an IP address or a host name",
    );
}

#[test]
fn other_errors_name_their_line() {
    check_errors(
        "",
        "dc_name: DC1",
        "node.id: uuid: is missing\n  hint: write `uuid: <a name that no other node has>`",
    );
    check_errors(
        "[batch_process]\nMAX_RUNNING_BATCHES=1\nmax_running_batches=2\n",
        "uuid: n1",
        "config.ini:3: [batch_process] max_running_batches: is given twice\n  hint: keep one of the lines",
    );
}

#[test]
fn keys_without_effect_are_named() {
    check_warning(
        "[batch_process]\nMAX_WORKER_PER_NOD=4\n",
        "config.ini:2: [batch_process] MAX_WORKER_PER_NOD: is not a known key\n  hint: did you mean `[batch_process] MAX_WORKERS_PER_NODE`?",
    );
    check_warning(
        "[jobs]\nMAX_WORKERS_PER_NODE=4\n",
        "config.ini:2: [jobs] MAX_WORKERS_PER_NODE: is not a key of this section\n  hint: it belongs to section [batch_process]",
    );
    check_warning(
        "[batch_process]\nMAX_BULK_SIZE=10\n",
        "config.ini:2: [batch_process] MAX_BULK_SIZE: is known from Fabric and has no effect here\n  hint: work is shared out in chunks, see MAX_CHUNK_SIZE",
    );
    check_warning(
        "[zoo]\nELEPHANTS=4\n",
        "config.ini:2: [zoo] ELEPHANTS: is not a known key",
    );
}

#[test]
fn the_key_table_is_consistent() {
    for key in KEYS {
        assert!(
            key.default.is_empty() || key.kind.read(key.default).is_some(),
            "{} has a default that it does not allow",
            key.label()
        );
        assert!(key.environment_name().starts_with("WEFT_"));
        let same = KEYS
            .iter()
            .filter(|other| other.section == key.section && other.name == key.name);
        assert_eq!(same.count(), 1, "{}", key.label());
        assert!(
            !UNUSED_KEYS
                .iter()
                .any(|other| other.name == key.name && other.section == key.section)
        );
    }
}
