//! The configuration of a node: `node.id` and `config.ini`, with Fabric's names.

use std::path::PathBuf;
use std::time::Duration;

use weft_model::{DEFAULT_MAX_ID_BYTES, NodeId};

/// The configuration that a node reads once, when it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConfig {
    /// `uuid` in node.id.
    pub guid: NodeId,
    /// `dc_name` in node.id.
    pub dc: String,
    /// `effective_ip` in node.id; an IP in an affinity is compared with it.
    pub effective_ip: String,
    /// All addresses of the machine that count as this node.
    pub ips: Vec<String>,
    /// `logical_id` in node.id, each as written (`Name:2-4`).
    pub logical_ids: Vec<String>,
    /// The folder of projects, scratch files, traces and the local token.
    pub data: PathBuf,
    /// FABRIC_HEARTBEAT_INTERVAL_MS, default 1 s.
    pub heartbeat_interval: Duration,
    /// FABRIC_HEARTBEAT_MISS, default 15.
    pub heartbeat_miss: u32,
    /// POLL_INTERVAL_MS (ours), default 1 s: how often a node reads due hints, nodes and batches.
    pub poll_interval: Duration,
    /// K2JOBS_POOL_SIZE, default 25: jobs that run at once, without batches.
    pub job_pool_size: usize,
    /// CLAIM_EXCEPTIONAL_INTERVAL_SEC, default 60 s.
    pub claim_exceptional_interval: Duration,
    /// MIN_GIVE_UP_EXCEPTIONAL_MINUTES, default 1.
    pub min_give_up: Duration,
    /// MAX_GIVE_UP_EXCEPTIONAL_MINUTES, default 1,440.
    pub max_give_up: Duration,
    /// HTTP_ALLOWED_HOSTS (ours), default none: `host` or `host:port` that jobs of type HTTP may call.
    pub http_allowed_hosts: Vec<String>,
    /// FILE_ROOTS (ours), default none: folders under which jobs may read and write files.
    pub file_roots: Vec<PathBuf>,
    /// RECOVERY_TTL_SEC, default a day: how long a flow may be resumed from its checkpoints.
    pub recovery_time_to_live: Duration,
    /// RECOVERY_MAX_RETRIES, default 10: tries of a flow from the same checkpoints.
    pub recovery_max_tries: u64,
    /// MAX_RUNNING_BATCHES (ours), default 100.
    pub max_running_batches: usize,
    /// MAX_WORKERS_PER_NODE, default 8; 0 excludes the node from batch work.
    pub max_workers_per_node: usize,
    /// SLOWEST_PROCESSED_STATS_COUNT, default 10.
    pub slowest_count: usize,
    /// MAX_UNIQUE_AGGREGATION_KEYS, default 20.
    pub max_aggregation_keys: usize,
    /// BATCH_PACE_CALC_TIME_WINDOW_MS, default 10 s: pace window and save of `extra_stats`.
    pub pace_window: Duration,
    /// BATCH_MIN_TIME_MS, default 0.
    pub batch_min_time: Duration,
    /// BATCH_DETAIL_MAX_ROWS_SIZE, default 10,000.
    pub batch_detail_max_rows: usize,
    /// CANCEL_GRACE_SEC (ours), default 10 s.
    pub cancel_grace: Duration,
    /// DRAIN_GRACE_SEC (ours), default 25 s: below the 30 s that Kubernetes gives.
    pub drain_grace: Duration,
    /// MAX_CHUNK_SIZE (ours), default 1,000 ids.
    pub max_chunk_size: usize,
    /// MAX_ENTITY_ID_BYTES (ours), default 1,024, at most 8 KiB.
    pub max_id_bytes: usize,
    /// RECONCILE_INTERVAL_SEC (ours), default 300 s.
    pub reconcile_interval: Duration,
    /// A full round over all jobs begins this long after the last one, on one node: a day.
    pub job_round_interval: Duration,
    /// CLEANUP_INTERVAL_SEC (ours), default 6 h.
    pub cleanup_interval: Duration,
    /// K2JOB_ARCHIVING_TIME_HOUR, default 720: how long archived jobs and history are kept.
    pub job_archiving_time: Duration,
    /// BATCH_KEPT_DAYS (ours), default 7: how long batches are kept after their end.
    pub batch_kept: Duration,
}

impl NodeConfig {
    /// The defaults of the documentation for a node of this name, with data under `data`.
    pub fn with_defaults(guid: NodeId, data: PathBuf) -> Self {
        Self {
            guid,
            dc: "LOCAL_DC".to_owned(),
            effective_ip: "127.0.0.1".to_owned(),
            ips: vec!["127.0.0.1".to_owned()],
            logical_ids: Vec::new(),
            data,
            heartbeat_interval: Duration::from_secs(1),
            heartbeat_miss: 15,
            poll_interval: Duration::from_secs(1),
            job_pool_size: 25,
            claim_exceptional_interval: Duration::from_secs(60),
            min_give_up: Duration::from_secs(60),
            max_give_up: Duration::from_secs(1_440 * 60),
            http_allowed_hosts: Vec::new(),
            file_roots: Vec::new(),
            recovery_time_to_live: Duration::from_secs(86_400),
            recovery_max_tries: 10,
            max_running_batches: 100,
            max_workers_per_node: 8,
            slowest_count: 10,
            max_aggregation_keys: 20,
            pace_window: Duration::from_secs(10),
            batch_min_time: Duration::ZERO,
            batch_detail_max_rows: 10_000,
            cancel_grace: Duration::from_secs(10),
            drain_grace: Duration::from_secs(25),
            max_chunk_size: 1_000,
            max_id_bytes: DEFAULT_MAX_ID_BYTES,
            reconcile_interval: Duration::from_secs(300),
            job_round_interval: Duration::from_secs(24 * 3_600),
            cleanup_interval: Duration::from_secs(6 * 3_600),
            job_archiving_time: Duration::from_secs(720 * 3_600),
            batch_kept: Duration::from_secs(7 * 86_400),
        }
    }

    /// How long a node without heartbeats counts as alive: `T_dead`.
    pub fn dead_after(&self) -> Duration {
        self.heartbeat_interval * self.heartbeat_miss
    }

    /// How much earlier than `T_dead` a node fences itself: 20 %, at least one heartbeat interval.
    pub fn self_fence_margin(&self) -> Duration {
        (self.dead_after() / 5).max(self.heartbeat_interval)
    }

    /// How long a heartbeat waits for its answer: a third of the time until the self-fence.
    pub fn heartbeat_timeout(&self) -> Duration {
        self.dead_after().saturating_sub(self.self_fence_margin()) / 3
    }

    /// How often a node reads what other nodes decided about its group: a third of `T_dead`.
    pub fn group_interval(&self) -> Duration {
        self.dead_after() / 3
    }
}
