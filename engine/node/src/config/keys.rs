//! The table of configuration keys: those in use, and those of Fabric that have no effect.

use std::path::PathBuf;
use std::time::Duration;

use weft_model::NodeId;

use super::value::{Kind, Value};
use crate::NodeConfig;

/// The configuration while the keys fill it.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub node: NodeConfig,
    pub cluster_id: Option<String>,
    pub ips_given: bool,
}

impl Draft {
    pub(super) fn new(data: PathBuf) -> Self {
        Self {
            node: NodeConfig::with_defaults(NodeId(String::new()), data),
            cluster_id: None,
            ips_given: false,
        }
    }
}

/// A key that has an effect.
#[derive(Debug)]
pub struct Key {
    /// Its section in config.ini; `node` for keys of node.id.
    pub section: &'static str,
    /// Its name, as in the documentation.
    pub name: &'static str,
    /// The kind of its values.
    pub kind: Kind,
    /// Its default value; empty for none.
    pub default: &'static str,
    /// Its purpose.
    pub help: &'static str,
    pub(super) set: fn(&mut Draft, Value),
}

/// A key of Fabric that is accepted and has no effect.
#[derive(Debug)]
pub struct UnusedKey {
    /// Its section.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Why it has no effect, or what replaces it.
    pub reason: &'static str,
}

impl Key {
    /// `[section] KEY`, or the plain key of node.id.
    pub fn label(&self) -> String {
        label(self.section, self.name)
    }

    /// The environment variable that sets it.
    pub fn environment_name(&self) -> String {
        format!(
            "WEFT_{}__{}",
            self.section.to_uppercase(),
            self.name.to_uppercase()
        )
    }
}

/// `[section] KEY`.
pub(super) fn label(section: &str, name: &str) -> String {
    format!("[{section}] {name}")
}

/// The key with this section and name, in upper or lower case.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| {
        key.section.eq_ignore_ascii_case(section) && key.name.eq_ignore_ascii_case(name)
    })
}

/// The known key of this section and name that has no effect.
pub(super) fn find_unused(section: &str, name: &str) -> Option<&'static UnusedKey> {
    UNUSED_KEYS.iter().find(|key| {
        key.section.eq_ignore_ascii_case(section) && key.name.eq_ignore_ascii_case(name)
    })
}

/// A setter for the variant of `Value` that the kind of a key reads as. Other variants cannot occur.
macro_rules! set {
    ($shape:ident, |$draft:ident, $value:ident| $body:expr) => {
        |$draft: &mut Draft, value: Value| {
            if let Value::$shape($value) = value {
                $body;
            }
        }
    };
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn minutes(number: u64) -> Duration {
    Duration::from_secs(number.saturating_mul(60))
}

macro_rules! key {
    ($section:literal, $name:literal, $kind:expr, $default:literal, $help:literal, $set:expr) => {
        Key {
            section: $section,
            name: $name,
            kind: $kind,
            default: $default,
            help: $help,
            set: $set,
        }
    };
}

/// Every key that has an effect.
#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    key!("node", "uuid", Kind::Name, "", "the stable name of the node",
        set!(Text, |draft, text| draft.node.guid = NodeId(text))),
    key!("node", "logical_id", Kind::LogicalIds, "", "names that an affinity may use, with slots; with ANY:0 the node takes only jobs whose affinity names it",
        set!(List, |draft, list| draft.node.logical_ids = list)),
    key!("node", "cluster_id", Kind::ClusterId, "", "appended to the names of keyspaces",
        set!(Text, |draft, text| draft.cluster_id = Some(text))),
    key!("node", "effective_ip", Kind::Address, "127.0.0.1", "the address that an IP in an affinity is compared with",
        set!(Text, |draft, text| draft.node.effective_ip = text)),
    key!("node", "dc_name", Kind::Name, "LOCAL_DC", "the data centre",
        set!(Text, |draft, text| draft.node.dc = text)),
    key!("node", "ips", Kind::Addresses, "", "all addresses that count as this node; by default effective_ip",
        set!(List, |draft, list| { draft.node.ips = list; draft.ips_given = true; })),

    key!("fabric_cluster", "FABRIC_HEARTBEAT_INTERVAL_MS", Kind::Millis(100, 600_000), "1000", "time between heartbeats",
        set!(Duration, |draft, time| draft.node.heartbeat_interval = time)),
    key!("fabric_cluster", "FABRIC_HEARTBEAT_MISS", Kind::Number(3, 1_000), "15", "missed heartbeats before a node counts as dead",
        set!(Number, |draft, number| draft.node.heartbeat_miss = u32::try_from(number).unwrap_or(u32::MAX))),
    key!("fabric_cluster", "POLL_INTERVAL_MS", Kind::Millis(20, 60_000), "1000", "how often a node reads due hints, nodes and batches",
        set!(Duration, |draft, time| draft.node.poll_interval = time)),
    key!("fabric_cluster", "DRAIN_GRACE_SEC", Kind::Seconds(0, 3_600), "25", "how long a draining node may finish its work",
        set!(Duration, |draft, time| draft.node.drain_grace = time)),
    key!("fabric_cluster", "RECONCILE_INTERVAL_SEC", Kind::Seconds(1, 86_400), "300", "time between repairs of batches whose job is missing",
        set!(Duration, |draft, time| draft.node.reconcile_interval = time)),
    key!("fabric_cluster", "CLEANUP_INTERVAL_SEC", Kind::Seconds(60, 604_800), "21600", "time between clean-ups of archived jobs and ended batches, by one node of the cluster",
        set!(Duration, |draft, time| draft.node.cleanup_interval = time)),

    key!("jobs", "K2JOBS_POOL_SIZE", Kind::Number(0, 100_000), "25", "jobs that the node runs at once, without batches; 0 runs none",
        set!(Number, |draft, number| draft.node.job_pool_size = count(number))),
    key!("jobs", "K2JOB_ARCHIVING_TIME_HOUR", Kind::Number(1, 876_000), "720", "hours until archived jobs are removed after their end, and runs after their start; Cassandra keeps runs for at most 720 hours",
        set!(Number, |draft, number| draft.node.job_archiving_time = minutes(number.saturating_mul(60)))),
    key!("jobs", "CLAIM_EXCEPTIONAL_INTERVAL_SEC", Kind::Seconds(0, 86_400), "60", "wait before a job is claimed above the recommended size of its affinity",
        set!(Duration, |draft, time| draft.node.claim_exceptional_interval = time)),
    key!("jobs", "MIN_GIVE_UP_EXCEPTIONAL_MINUTES", Kind::Number(1, 14_400), "1", "the shortest time until a job above the recommended size is handed over",
        set!(Number, |draft, number| draft.node.min_give_up = minutes(number))),
    key!("jobs", "MAX_GIVE_UP_EXCEPTIONAL_MINUTES", Kind::Number(2, 14_400), "1440", "the longest time until a job above the recommended size is handed over; the time is random",
        set!(Number, |draft, number| draft.node.max_give_up = minutes(number))),
    key!("jobs", "HTTP_ALLOWED_HOSTS", Kind::Hosts, "", "hosts that jobs of type HTTP may call, with :PORT to allow only that port; empty allows none",
        set!(List, |draft, list| draft.node.http_allowed_hosts = list)),
    key!("jobs", "FILE_ROOTS", Kind::Folders, "", "folders under which jobs may read and write files; empty allows none",
        set!(List, |draft, list| draft.node.file_roots = list.into_iter().map(PathBuf::from).collect())),

    key!("fabric", "RECOVERY_TTL_SEC", Kind::Seconds(1, 31_622_400), "86400", "how long a flow may be resumed where it stopped",
        set!(Duration, |draft, time| draft.node.recovery_time_to_live = time)),
    key!("fabric", "RECOVERY_MAX_RETRIES", Kind::Number(1, 1_000_000), "10", "tries of a flow that resume where it stopped",
        set!(Number, |draft, number| draft.node.recovery_max_tries = number)),

    key!("batch_process", "MAX_WORKERS_PER_NODE", Kind::Number(0, 1_024), "8", "workers for all batches on the node; 0 excludes it",
        set!(Number, |draft, number| draft.node.max_workers_per_node = count(number))),
    key!("batch_process", "MAX_RUNNING_BATCHES", Kind::Number(1, 10_000), "100", "batches that the node coordinates at once",
        set!(Number, |draft, number| draft.node.max_running_batches = count(number))),
    key!("batch_process", "MAX_CHUNK_SIZE", Kind::Number(1, 1_000), "1000", "ids in one chunk at most",
        set!(Number, |draft, number| draft.node.max_chunk_size = count(number))),
    key!("batch_process", "MAX_ENTITY_ID_BYTES", Kind::Number(1, 8_192), "1024", "bytes of an entity id at most; a longer id of a source becomes a failed entity",
        set!(Number, |draft, number| draft.node.max_id_bytes = count(number))),
    key!("batch_process", "SLOWEST_PROCESSED_STATS_COUNT", Kind::Number(0, 1_000), "10", "slowest entities that are kept",
        set!(Number, |draft, number| draft.node.slowest_count = count(number))),
    key!("batch_process", "MAX_UNIQUE_AGGREGATION_KEYS", Kind::Number(0, 1_000), "20", "keys of results that are summed up",
        set!(Number, |draft, number| draft.node.max_aggregation_keys = count(number))),
    key!("batch_process", "BATCH_PACE_CALC_TIME_WINDOW_MS", Kind::Millis(1_000, 600_000), "10000", "time window of the pace, and time between saves of extra_stats",
        set!(Duration, |draft, time| draft.node.pace_window = time)),
    key!("batch_process", "BATCH_MIN_TIME_MS", Kind::Millis(0, 3_600_000), "0", "shortest duration of a batch",
        set!(Duration, |draft, time| draft.node.batch_min_time = time)),
    key!("batch_process", "BATCH_DETAIL_MAX_ROWS_SIZE", Kind::Number(1, 1_000_000), "10000", "rows that BATCH_DETAILS shows without LIMIT",
        set!(Number, |draft, number| draft.node.batch_detail_max_rows = count(number))),
    key!("batch_process", "BATCH_KEPT_DAYS", Kind::Number(1, 29), "7", "days until batches are removed after their end, with everything about their entities",
        set!(Number, |draft, number| draft.node.batch_kept = minutes(number.saturating_mul(24 * 60)))),
    key!("batch_process", "CANCEL_GRACE_SEC", Kind::Seconds(0, 3_600), "10", "how long running entities may continue after a cancel",
        set!(Duration, |draft, time| draft.node.cancel_grace = time)),
];

macro_rules! unused {
    ($($section:literal: $($name:literal => $reason:expr),+ $(,)?;)*) => {
        &[$($(UnusedKey { section: $section, name: $name, reason: $reason }),+),*]
    };
}

const CHUNKS: &str = "work is shared out in chunks, see MAX_CHUNK_SIZE";
const LOADER: &str = "results are written by the flusher, in groups of its own size";
const NOT_YET: &str = "not available yet";

/// Keys of Fabric that have no effect. A file may still have them.
pub static UNUSED_KEYS: &[UnusedKey] = unused! {
    "batch_process":
        "MAX_BATCH_SIZE_PROCESSING" => CHUNKS,
        "MAX_BULK_SIZE" => CHUNKS,
        "MIGRATE_DETAIL_MAX_ROWS_SIZE" => "BATCH_DETAIL_MAX_ROWS_SIZE holds for both",
        "BATCH_MAX_ITEMS_IN_MEMORY" => "memory is bounded by chunks in flight",
        "BATCH_UNITS_CACHE_EXPIRATION_IN_MIN" => "results are never cached on nodes",
        "CHECK_FOR_ADDED_NODES_INTERVAL_MS" => "POLL_INTERVAL_MS: new nodes find running batches by themselves",
        "COMMAND_JOB_UID_MAX_LENGTH" => "always 1024",
        "WORKERS_QUEUE_SIZE" => CHUNKS;
    "batch_process_loader":
        "MODE" => LOADER, "QUEUE_SIZE" => LOADER, "NUMBER_OF_THREADS" => LOADER, "SESSION_NAME" => LOADER,
        "MAX_IN_FLIGHT" => LOADER, "CONSISTENCY_LEVEL" => LOADER, "IS_NOP" => LOADER;
    "default_loader":
        "MODE" => LOADER, "QUEUE_SIZE" => LOADER, "NUMBER_OF_THREADS" => LOADER, "SESSION_NAME" => LOADER,
        "MAX_IN_FLIGHT" => LOADER, "CONSISTENCY_LEVEL" => LOADER, "IS_NOP" => LOADER;
    "jdbc_default_loader":
        "MODE" => LOADER, "QUEUE_SIZE" => LOADER, "BATCH_SIZE" => LOADER;
    "fabric":
        "CONSISTENCY_LEVEL" => "always LOCAL_QUORUM",
        "SERIAL_CONSISTENCY_LEVEL" => "`serial=` in the address of --store",
        "OPTIMISTIC_LOCKING" => "ownership is always by compare-and-set",
        "DISTRIBUTE_COMMANDS_TIMEOUT_MINUTES" => "nodes read requests from the store, no command is distributed",
        "DISTRIBUTE_LOCAL_DC_ONLY" => "nodes read requests from the store, no command is distributed",
        "CDC_CONSUMER_JOB_AFFINITY" => NOT_YET,
        "CDC_PUBLISHER_JOB_AFFINITY" => NOT_YET,
        "SYNC_PROTECTION" => NOT_YET,
        "DATE_FORMAT" => "dates are yyyy-MM-dd",
        "DATETIME_FORMAT" => "times are yyyy-MM-dd HH:mm:ss";
};
