//! `weft doctor`: checks a store and prints the result and the next step of each check; says why jobs and batches are stuck,
//! and repairs what leads nodes to them.

mod work;

use std::fmt;
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use weft_cql::{Inspection, KeyspaceReplication, NodeInspection};
use weft_model::clock::{Clock, SystemClock};
use weft_store::{SharedStore, Store};

use crate::exit::{FAILED, OK};
use crate::output::{Format, TableWriter, stdout};
use crate::schema;
use crate::store::{self, StoreAddress, StoreArgs};

/// The options of `weft doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Write missing due hints of jobs and missing jobs of batches, and say which
    #[arg(long)]
    reconcile: bool,
}

/// Clocks that are further apart cause a warning. Beyond the second limit jobs do not start on time.
const CLOCK_WARN_MS: i64 = 1_000;
const CLOCK_FAIL_MS: i64 = 5_000;
/// The first release of ScyllaDB with lightweight transactions in keyspaces with tablets.
const SCYLLA_WITH_TABLETS: (u32, u32) = (2025, 4);

/// The check of the schema's version.
const SCHEMA: &str = "schema version";

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    verdict: Verdict,
    what: String,
    found: String,
    next: String,
}

impl Check {
    fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Ok,
            what: what.into(),
            found: found.into(),
            next: String::new(),
        }
    }

    fn but(mut self, verdict: Verdict, next: impl Into<String>) -> Self {
        self.verdict = verdict;
        self.next = next.into();
        self
    }
}

/// Runs and prints every check; fails if one of them failed.
pub async fn run(args: &DoctorArgs) -> anyhow::Result<u8> {
    let address = store::parse(&args.store.store)?;
    let mut checks = match &address {
        StoreAddress::Sqlite(path) => {
            let store = store::read_sqlite(path, Arc::new(SystemClock))?;
            let offset = store.store_time().await?.millis_since(SystemClock.now());
            vec![
                schema_check(store.schema_version().await?, &address),
                clock_check("clock", Some(offset)),
            ]
        }
        StoreAddress::Cassandra(cassandra) => judge(&store::inspect(cassandra).await?, &address),
    };
    // Without the tables of this version there is nothing to read.
    if checks
        .iter()
        .all(|check| check.what != SCHEMA || check.verdict == Verdict::Ok)
    {
        let store = open(&address, args.reconcile).await?;
        if args.reconcile {
            checks.extend(work::reconcile(store.as_ref()).await?);
        }
        checks.extend(work::stuck(store.as_ref()).await?);
    }
    show(&checks);
    let worst = checks.iter().map(|check| check.verdict).max();
    Ok(if worst == Some(Verdict::Fail) {
        FAILED
    } else {
        OK
    })
}

/// Opens the store; for changes only if no other process has a SQLite file open.
async fn open(address: &StoreAddress, for_changes: bool) -> anyhow::Result<SharedStore> {
    let clock = Arc::new(SystemClock);
    Ok(match address {
        StoreAddress::Sqlite(path) if for_changes => {
            Arc::new(store::open_sqlite(path, clock, false)?)
        }
        StoreAddress::Sqlite(path) => Arc::new(store::read_sqlite(path, clock)?),
        StoreAddress::Cassandra(cassandra) => {
            let options = store::options_of(cassandra)?;
            let connected = store::connect(options).await;
            Arc::new(connected.map_err(|error| store::failure(error, cassandra))?)
        }
    })
}

fn show(checks: &[Check]) {
    let mut table = TableWriter::new(Format::Table, None);
    let columns = ["Verdict", "Check", "Found", "Next step"];
    stdout::data(&table.columns(columns.map(str::to_owned).to_vec()));
    for check in checks {
        let row = [
            json!(check.verdict.to_string()),
            json!(check.what),
            json!(check.found),
            json!(check.next),
        ];
        stdout::data(&table.row(row.to_vec()));
    }
    stdout::data(&table.end());
}

fn judge(found: &Inspection, address: &StoreAddress) -> Vec<Check> {
    let mut checks = vec![
        schema_check(found.schema_version, address),
        agreement(found),
    ];
    checks.extend(
        found
            .keyspaces
            .iter()
            .map(|keyspace| replication(keyspace, found.nodes.len())),
    );
    if let Some(version) = oldest_scylla(&found.nodes) {
        checks.push(scylla(version));
        let keyspaces = found.keyspaces.iter();
        checks.extend(keyspaces.map(|keyspace| tablets(keyspace, version)));
    }
    for node in &found.nodes {
        checks.extend(node_checks(node));
    }
    checks
}

fn schema_check(version: Option<i64>, address: &StoreAddress) -> Check {
    let found = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
    let check = Check::ok(SCHEMA, found);
    match schema::check(version, address) {
        None => check,
        Some(failure) => check.but(Verdict::Fail, failure.hint.unwrap_or(failure.message)),
    }
}

fn agreement(found: &Inspection) -> Check {
    if found.schema_agreed {
        return Check::ok("schema agreement", "all nodes agree");
    }
    Check::ok("schema agreement", "nodes know different schemas")
        .but(Verdict::Fail, "wait, then check `nodetool describecluster`")
}

fn replication(keyspace: &KeyspaceReplication, nodes: usize) -> Check {
    let copies: Vec<_> = keyspace
        .copies
        .iter()
        .map(|(dc, copies)| format!("{dc}: {copies}"))
        .collect();
    let check = Check::ok(
        format!("replication of {}", keyspace.keyspace),
        copies.join(", "),
    );
    let fewest = keyspace
        .copies
        .iter()
        .map(|(_, copies)| *copies)
        .min()
        .unwrap_or(0);
    match fewest {
        ..=0 => check.but(Verdict::Fail, "give the keyspace at least one copy per data centre"),
        1..=2 if nodes > 1 => check.but(
            Verdict::Warn,
            "with fewer than 3 copies one lost node stops work: ALTER KEYSPACE, then `nodetool repair`",
        ),
        1..=2 => check.but(Verdict::Warn, "fine for trying out; production wants 3 nodes and 3 copies"),
        3.. => check,
    }
}

fn node_checks(node: &NodeInspection) -> Vec<Check> {
    let name = &node.address;
    if !node.live {
        let check = Check::ok(format!("node {name}"), "does not answer");
        return vec![check.but(
            Verdict::Warn,
            "start it, or remove it with `nodetool decommission`",
        )];
    }
    let version = node.server_version.as_deref().unwrap_or("unknown version");
    let dc = node.dc.as_deref().unwrap_or("unknown");
    vec![
        Check::ok(
            format!("node {name}"),
            format!("{version} in data centre {dc}"),
        ),
        paxos(node),
        commit_log(node),
        clock_check(&format!("clock of {name}"), node.clock_offset_ms),
    ]
}

fn paxos(node: &NodeInspection) -> Check {
    let what = format!("paxos of {}", node.address);
    match node.paxos_variant.as_deref() {
        Some("v2") => Check::ok(what, "v2"),
        Some(other) => Check::ok(what, other).but(
            Verdict::Warn,
            "set `paxos_variant: v2` in cassandra.yaml: v1 needs twice the round trips",
        ),
        None => Check::ok(what, "no such setting (ScyllaDB has its own)"),
    }
}

fn commit_log(node: &NodeInspection) -> Check {
    let what = format!("commit log of {}", node.address);
    match (node.commitlog_sync.as_deref(), &node.scylla_version) {
        (Some(sync @ ("group" | "batch")), _) => Check::ok(what, sync),
        (Some(sync), _) => Check::ok(what, sync).but(
            Verdict::Warn,
            "set `commitlog_sync: group` in cassandra.yaml: a crash loses the last acknowledged writes",
        ),
        (None, Some(_)) => Check::ok(what, "ScyllaDB writes compare-and-sets to disk"),
        (None, None) => Check::ok(what, "`commitlog_sync` cannot be read").but(
            Verdict::Warn,
            "check that cassandra.yaml has `commitlog_sync: group` or `batch`",
        ),
    }
}

/// The version of the oldest ScyllaDB server, if there is one.
fn oldest_scylla(nodes: &[NodeInspection]) -> Option<&str> {
    let versions = nodes
        .iter()
        .filter_map(|node| node.scylla_version.as_deref());
    versions.min_by_key(|version| release_of(version))
}

/// Year or major version, and the number after it; zero where they cannot be read.
fn release_of(version: &str) -> (u32, u32) {
    let mut numbers = version
        .split(['.', '-', '~'])
        .map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn scylla(version: &str) -> Check {
    Check::ok("ScyllaDB", version).but(
        Verdict::Warn,
        "Weft's tests have never run on ScyllaDB: try your work on it first",
    )
}

/// Before 2025.4, ScyllaDB has no lightweight transactions in keyspaces with tablets.
fn tablets(keyspace: &KeyspaceReplication, version: &str) -> Check {
    let what = format!("tablets of {}", keyspace.keyspace);
    if !keyspace.tablets {
        return Check::ok(what, "off");
    }
    let check = Check::ok(what, format!("on, with ScyllaDB {version}"));
    match release_of(version) < SCYLLA_WITH_TABLETS {
        true => check.but(
            Verdict::Fail,
            "compare-and-sets do not work in tablets before 2025.4: upgrade, or create the keyspace with \
             `tablets = {'enabled': false}` before `weft schema migrate`",
        ),
        false => check,
    }
}

fn clock_check(what: &str, offset_ms: Option<i64>) -> Check {
    let Some(offset) = offset_ms else {
        return Check::ok(what, "cannot be read").but(Verdict::Warn, "check the log of the node");
    };
    let check = Check::ok(what, format!("{offset} ms from this machine's"));
    match offset.saturating_abs() {
        CLOCK_FAIL_MS.. => check.but(
            Verdict::Fail,
            "run NTP on both machines: jobs do not fire with clocks this far apart",
        ),
        CLOCK_WARN_MS.. => check.but(Verdict::Warn, "run NTP on both machines"),
        _ => check,
    }
}

#[cfg(test)]
mod tests {
    use weft_store::SCHEMA_VERSION;

    use super::*;

    fn healthy() -> Inspection {
        Inspection {
            schema_version: Some(SCHEMA_VERSION),
            schema_agreed: true,
            keyspaces: vec![KeyspaceReplication {
                keyspace: "k2viewsystem".to_owned(),
                copies: vec![("dc1".to_owned(), 3)],
                tablets: false,
            }],
            nodes: vec![NodeInspection {
                address: "10.0.0.1:9042".to_owned(),
                dc: Some("dc1".to_owned()),
                live: true,
                server_version: Some("5.0.5".to_owned()),
                paxos_variant: Some("v2".to_owned()),
                commitlog_sync: Some("group".to_owned()),
                scylla_version: None,
                clock_offset_ms: Some(3),
            }],
        }
    }

    fn worst(change: impl FnOnce(&mut Inspection)) -> Verdict {
        let mut found = healthy();
        change(&mut found);
        let address = "cassandra://10.0.0.1".parse().expect("an address");
        let checks = judge(&found, &address);
        for check in &checks {
            assert_eq!(
                check.verdict == Verdict::Ok,
                check.next.is_empty(),
                "{check:?}"
            );
        }
        checks
            .iter()
            .map(|check| check.verdict)
            .max()
            .expect("checks")
    }

    #[test]
    fn each_finding_has_its_verdict() {
        assert_eq!(worst(|_| ()), Verdict::Ok);
        assert_eq!(worst(|found| found.schema_version = None), Verdict::Fail);
        assert_eq!(worst(|found| found.schema_agreed = false), Verdict::Fail);
        assert_eq!(
            worst(|found| found.keyspaces[0].copies[0].1 = 1),
            Verdict::Warn
        );
        assert_eq!(
            worst(|found| found.keyspaces[0].copies[0].1 = 0),
            Verdict::Fail
        );
        assert_eq!(worst(|found| found.nodes[0].live = false), Verdict::Warn);
        assert_eq!(
            worst(|found| found.nodes[0].paxos_variant = Some("v1".into())),
            Verdict::Warn
        );
        assert_eq!(
            worst(|found| found.nodes[0].paxos_variant = None),
            Verdict::Ok
        );
        assert_eq!(
            worst(|found| found.nodes[0].clock_offset_ms = Some(-1_500)),
            Verdict::Warn
        );
        assert_eq!(
            worst(|found| found.nodes[0].clock_offset_ms = Some(5_000)),
            Verdict::Fail
        );
        let commit_log = |sync: Option<&str>| {
            worst(|found| found.nodes[0].commitlog_sync = sync.map(str::to_owned))
        };
        assert_eq!(commit_log(Some("batch")), Verdict::Ok);
        assert_eq!(commit_log(Some("periodic")), Verdict::Warn);
        assert_eq!(commit_log(None), Verdict::Warn);
    }

    /// What ScyllaDB has in its system tables: `system.versions.version`, and
    /// `system_schema.scylla_keyspaces.initial_tablets` of Weft's keyspaces.
    const SCYLLA: [(&str, Option<i32>, Verdict); 8] = [
        ("6.2.3-0.20250119.bff9ddde1283", Some(0), Verdict::Fail),
        ("6.2.3-0.20250119.bff9ddde1283", None, Verdict::Warn),
        ("2025.1.0-0.20250325.9dca28d2b818", Some(0), Verdict::Fail),
        ("2025.3.4-0.20251108.0a0d2a5a8bf8", Some(8), Verdict::Fail),
        (
            "2025.4.0~rc1-0.20251001.fa5f6f2c1e4b",
            Some(0),
            Verdict::Warn,
        ),
        ("2025.4.1-0.20251220.1f6f4a1b4a3d", Some(0), Verdict::Warn),
        ("2026.1.0-0.20260210.7f0d2a5a8bf8", Some(0), Verdict::Warn),
        ("unreadable", Some(0), Verdict::Fail),
    ];

    #[test]
    fn scylladb_with_tablets_is_refused_before_2025_4() {
        for (version, initial_tablets, expected) in SCYLLA {
            let found = worst(|found| {
                found.keyspaces[0].tablets = initial_tablets.is_some();
                let node = &mut found.nodes[0];
                node.scylla_version = Some(version.to_owned());
                (node.paxos_variant, node.commitlog_sync) = (None, None);
            });
            assert_eq!(found, expected, "{version} {initial_tablets:?}");
        }
    }
}
