//! The statements on the system keyspace and the batch keyspace.

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use weft_store::StoreResult;

use super::{FreshnessRead, StatementKind, cluster_queries, insert, prepare, select, statements};
use crate::connection::Profiles;
use crate::keyspaces::Keyspaces;

const JOB: &str = "type, name, uid, affinity, archived, arguments, creation_time, start_time, end_time, error_msg, \
                   execution_interval, output, status, tries, worker_id, next_run, fence, owner_inc, op_token, \
                   submit_token, desired, desired_seq, desired_token, notes, planned_run, runs, policy, created_by, \
                   triggers";

const BATCH: &str = "bid, arguments, command, creation_time, start_time, end_time, error, extra_stats, lut_name, \
                     owner, status, total_entities, spec, statistics, duplicates, execution_id, fence, owner_node, \
                     owner_inc, op_token, submit_token, desired, desired_seq, desired_token, chunks, chunks_filled, \
                     entities_filled, stats_seq, notes";

const CHUNK: &str = "bid, chunk, c_state, c_owner, c_inc, c_fence, c_seq, c_token, c_total, c_ok, c_failed, \
                     c_results, c_source_pos, c_source_read, c_crashes, c_ids";

/// In the order in which `EntityValues` binds them.
const ENTITY: &str = "bid, chunk, entityid, status, results, error, nodeid, start_time, end_time, duration_us, \
                      attempt, fence";

const RUN: &str = "type, name, uid, bucket, started, run_fence, ended, node, status, error, output, attempt, \
                   planned, exit_code";

/// The columns of a table that versions before 7 write.
const MONTHLY_RUN: &str = "type, name, uid, month, started, run_fence, ended, node, status, error, output, attempt, \
                           planned, exit_code";

const NODE: &str = "guid, dc, effective_ip, ips, local_quorum_heartbeat, logical_ids, quorum_heartbeat, \
                    incarnation, hb_seq, state, version, http_address, coordinates";

const NODE_INFO: &str = "bid, nodeid, aggregated_results, dc_name, failed_count, pace, succeeded_count, \
                         updated_time, first_start, last_end, slowest, histogram, in_process";

const DEPLOYMENT: &str = "seq, hash, deployed_at, deployed_by, logical_units";

const SETTING: &str = "name, seq, value, changed_at, changed_by";

const CHECKPOINT_HEAD: &str = "scope, s_fence, s_seq, s_holder, s_token";

const LISTING: &str = "day, creation_time, bid, status, end_time, command, failed";

/// The condition of every change by the owner of a batch: it still owns the batch, and the row is as it was read.
const GUARD: &str = "owner_node = :owner_node AND owner_inc = :owner_inc AND fence = :fence \
                     AND status = :seen_status AND desired_seq = :desired_seq AND op_token != :op_token";

statements! {
    /// The statements on the system keyspace and the batch keyspace.
    Statements {
        // Jobs.
        insert_job: CompareAndSet = insert("{system}.jobs", JOB, " IF NOT EXISTS");
        claim_job: CompareAndSet = "UPDATE {system}.jobs SET status = 'IN_PROCESS', worker_id = :worker_id, \
            owner_inc = :owner_inc, fence = :to_fence, start_time = :start_time, op_token = :op_token \
            WHERE type = :type AND name = :name AND uid = :uid \
            IF status = :seen_status AND fence = :fence AND op_token != :op_token";
        write_job: CompareAndSet = "UPDATE {system}.jobs SET affinity = :affinity, archived = :archived, \
            arguments = :arguments, creation_time = :creation_time, start_time = :start_time, \
            end_time = :end_time, error_msg = :error_msg, execution_interval = :execution_interval, \
            output = :output, status = :status, tries = :tries, worker_id = :worker_id, \
            next_run = :next_run, fence = :to_fence, owner_inc = :owner_inc, op_token = :op_token, \
            desired = :desired, desired_seq = :desired_seq, desired_token = :desired_token, \
            notes = :notes, planned_run = :planned_run, runs = :runs, policy = :policy, \
            created_by = :created_by, triggers = :triggers WHERE type = :type AND name = :name AND uid = :uid \
            IF status = :seen_status AND fence = :fence AND desired_seq = :seen_desired_seq \
            AND op_token != :op_token";
        request_job: CompareAndSet = "UPDATE {system}.jobs SET status = :status, desired = :desired, \
            desired_seq = :to_desired_seq, desired_token = :desired_token, affinity = :affinity, \
            arguments = :arguments, execution_interval = :execution_interval, policy = :policy, \
            triggers = :triggers WHERE type = :type AND name = :name AND uid = :uid \
            IF status = :seen_status AND fence = :fence AND desired_seq = :desired_seq \
            AND desired_token != :desired_token";
        end_job: CompareAndSet = "UPDATE {system}.jobs SET status = :status, archived = :archived, fence = :to_fence, \
            end_time = :end_time, output = :output, error_msg = :error_msg, tries = :tries, \
            next_run = :next_run, notes = :notes, op_token = :op_token, desired = :desired, \
            runs = :runs, planned_run = :planned_run, triggers = :triggers, worker_id = :to_worker_id, \
            owner_inc = :to_owner_inc WHERE type = :type AND name = :name AND uid = :uid \
            IF worker_id = :worker_id AND owner_inc = :owner_inc AND fence = :fence \
            AND desired_seq = :desired_seq AND status = :seen_status AND op_token != :op_token";
        put_bucket: Write = insert("{system}.job_history_buckets", "type, name, uid, bucket", "");
        insert_run: CompareAndSet = insert("{system}.job_history", RUN, " IF NOT EXISTS");
        delete_job: CompareAndSet = "DELETE FROM {system}.jobs WHERE type = :type AND name = :name AND uid = :uid \
            IF status = :seen_status AND fence = :fence AND desired_seq = :desired_seq AND op_token = :seen_token";
        first_jobs: Read = select(JOB, "{system}.jobs", "LIMIT :rows");
        // Two keys may share a token, so the page starts at the last token and the known keys are skipped.
        next_jobs: Read = select(JOB, "{system}.jobs",
            "WHERE token(type, name, uid) >= token(:type, :name, :uid) LIMIT :rows");
        jobs_by_name: Read =
            select("uid", "{system}.jobs_by_name", "WHERE type = :type AND name = :name AND uid > :after LIMIT :rows");
        drop_name: Write = "DELETE FROM {system}.jobs_by_name USING TIMESTAMP :stamp \
            WHERE type = :type AND name = :name AND uid = :uid";
        put_name: Write = insert("{system}.jobs_by_name", "type, name, uid", "");
        put_follower: Write = insert("{system}.job_followers",
            "type, name, follower_type, follower_name, follower_uid", "");
        followers: Read = select("follower_type, follower_name, follower_uid", "{system}.job_followers",
            "WHERE type = :type AND name = :name AND (follower_type, follower_name, follower_uid) > \
             (:after_type, :after_name, :after_uid) LIMIT :rows");
        drop_follower: Write = "DELETE FROM {system}.job_followers USING TIMESTAMP :stamp \
            WHERE type = :type AND name = :name AND follower_type = :follower_type \
            AND follower_name = :follower_name AND follower_uid = :follower_uid";
        put_due: Write =
            insert("{system}.jobs_due", "bucket, shard, due_at, type, name, uid", " USING TTL :ttl");
        due: Read = select("due_at, type, name, uid", "{system}.jobs_due",
            "WHERE bucket = :bucket AND shard = :shard \
             AND (due_at, type, name, uid) > (:after_time, :after_type, :after_name, :after_uid) \
             AND (due_at) <= (:to_time) LIMIT :rows");
        buckets: Read = select("bucket", "{system}.job_history_buckets",
            "WHERE type = :type AND name = :name AND uid = :uid AND bucket < :below LIMIT :rows");
        runs: Read = select(RUN, "{system}.job_history",
            "WHERE type = :type AND name = :name AND uid = :uid AND bucket = :bucket LIMIT :rows");
        old_runs: Read = select("started, run_fence", "{system}.job_history",
            "WHERE type = :type AND name = :name AND uid = :uid AND bucket = :bucket AND started < :before LIMIT :rows");
        // A run is inserted once and never changed, so a plain delete of an old one is safe.
        drop_runs: Write = "DELETE FROM {system}.job_history USING TIMESTAMP :stamp \
            WHERE type = :type AND name = :name AND uid = :uid AND bucket = :bucket AND started < :before";
        monthly_runs: Read = select(MONTHLY_RUN, "{system}.job_runs",
            "WHERE type = :type AND name = :name AND uid = :uid AND month = :month LIMIT :rows");
        old_monthly_runs: Read = select("started, run_fence", "{system}.job_runs",
            "WHERE type = :type AND name = :name AND uid = :uid AND month = :month AND started < :before LIMIT :rows");
        drop_monthly_runs: Write = "DELETE FROM {system}.job_runs USING TIMESTAMP :stamp \
            WHERE type = :type AND name = :name AND uid = :uid AND month = :month AND started < :before";

        // Batches.
        insert_batch: CompareAndSet = insert("{batch}.batchprocess_list", BATCH, " IF NOT EXISTS");
        claim_batch: CompareAndSet = "UPDATE {batch}.batchprocess_list SET owner_node = :owner_node, \
            owner_inc = :owner_inc, fence = :to_fence, op_token = :op_token WHERE bid = :bid \
            IF fence = :fence AND op_token != :op_token";
        move_batch: CompareAndSet = format!("UPDATE {{batch}}.batchprocess_list SET status = :status, \
            start_time = :start_time, end_time = :end_time, error = :error, total_entities = :total_entities, \
            duplicates = :duplicates, chunks_filled = :chunks_filled, entities_filled = :entities_filled, \
            extra_stats = :extra_stats, statistics = :statistics, \
            owner_node = :to_owner_node, owner_inc = :to_owner_inc, desired = :desired, \
            desired_seq = :to_desired_seq, op_token = :op_token WHERE bid = :bid IF {GUARD}");
        reserve_chunks: CompareAndSet = format!("UPDATE {{batch}}.batchprocess_list SET chunks = :to_chunks, \
            chunks_filled = :chunks_filled, entities_filled = :entities_filled, \
            op_token = :op_token WHERE bid = :bid IF chunks = :chunks AND {GUARD}");
        save_statistics: CompareAndSet = format!("UPDATE {{batch}}.batchprocess_list SET stats_seq = :to_stats_seq, \
            extra_stats = :extra_stats, statistics = :statistics, op_token = :op_token WHERE bid = :bid \
            IF stats_seq = :stats_seq AND {GUARD}");
        request_batch: CompareAndSet = "UPDATE {batch}.batchprocess_list SET desired = :desired, \
            desired_seq = :to_desired_seq, desired_token = :desired_token WHERE bid = :bid \
            IF desired_seq = :desired_seq AND status IN :statuses AND desired_token != :desired_token";
        delete_batch: CompareAndSet = "DELETE FROM {batch}.batchprocess_list WHERE bid = :bid \
            IF status = :seen_status AND fence = :fence AND desired_seq = :desired_seq";
        drop_listing: Write = "DELETE FROM {batch}.batchprocess_by_day \
            WHERE day = :day AND creation_time = :creation_time AND bid = :bid";
        drop_node_info: Write = "DELETE FROM {batch}.batchprocess_node_info WHERE bid = :bid";
        drop_errors: Write = "DELETE FROM {batch}.batchprocess_entities_errors WHERE bid = :bid";
        put_listing: Write = insert("{batch}.batchprocess_by_day", LISTING, " USING TIMESTAMP :stamp");
        listings: Read = select(LISTING, "{batch}.batchprocess_by_day",
            "WHERE day = :day AND (creation_time, bid) < (:before_time, :before_bid) \
             AND (creation_time) >= (:from_time) LIMIT :rows");
        // The batch id serves as the token: a batch enters only its own id.
        claim_command: CompareAndSet = "UPDATE {batch}.active_commands SET bid = :bid WHERE command_key = :command_key \
            IF bid = :replaces";
        release_command: CompareAndSet = "DELETE FROM {batch}.active_commands WHERE command_key = :command_key \
            IF bid = :bid";
        active_command: SerialRead =
            select("command_key, bid", "{batch}.active_commands", "WHERE command_key = :command_key");

        // Chunks and entities.
        put_ids: Write =
            insert("{batch}.batchprocess_chunk_ids", "bid, chunk, opening, ids", "");
        ids: Read = select("ids", "{batch}.batchprocess_chunk_ids",
            "WHERE bid = :bid AND chunk = :chunk AND opening = :opening");
        put_filter: Write =
            insert("{batch}.batchprocess_chunk_filters", "bid, block, chunk, opening, filter", "");
        filters: Read = select("chunk, filter", "{batch}.batchprocess_chunk_filters",
            "WHERE bid = :bid AND block = :block AND chunk >= :from_chunk AND chunk < :to_chunk");
        drop_filters: Write =
            "DELETE FROM {batch}.batchprocess_chunk_filters WHERE bid = :bid AND block = :block";
        entity: Read = select(ENTITY, "{batch}.batchprocess_entities_info",
            "WHERE bid = :bid AND chunk = :chunk AND entityid = :entityid");
        open_chunk: CompareAndSet = "UPDATE {batch}.batchprocess_entities_info SET c_state = :c_state, \
            c_owner = :c_owner, c_inc = :c_inc, c_fence = 1, c_seq = 0, c_token = :c_token, c_total = :c_total, \
            c_ok = 0, c_failed = 0, c_results = '{}', c_source_pos = :c_source_pos, \
            c_source_read = :c_source_read, c_crashes = 0, c_ids = :c_ids WHERE bid = :bid AND chunk = :chunk IF c_state = null AND c_token != :c_token";
        claim_chunk: CompareAndSet = "UPDATE {batch}.batchprocess_entities_info SET c_state = 'IN_PROGRESS', \
            c_owner = :c_owner, c_inc = :c_inc, c_fence = :to_fence, c_token = :c_token, c_crashes = :c_crashes \
            WHERE bid = :bid AND chunk = :chunk \
            IF c_fence = :c_fence AND c_state IN ('NEW', 'IN_PROGRESS') AND c_token != :c_token";
        flush_head: CompareAndSet = "UPDATE {batch}.batchprocess_entities_info SET c_seq = :to_seq, c_ok = :c_ok, \
            c_failed = :c_failed, c_results = :c_results, c_crashes = :c_crashes, c_token = :c_token \
            WHERE bid = :bid AND chunk = :chunk \
            IF c_fence = :c_fence AND c_owner = :c_owner AND c_inc = :c_inc AND c_seq = :c_seq AND c_token != :c_token";
        flush_head_done: CompareAndSet = "UPDATE {batch}.batchprocess_entities_info SET c_state = 'DONE', \
            c_seq = :to_seq, c_ok = :c_ok, c_failed = :c_failed, c_results = :c_results, c_crashes = :c_crashes, \
            c_token = :c_token WHERE bid = :bid AND chunk = :chunk \
            IF c_fence = :c_fence AND c_owner = :c_owner AND c_inc = :c_inc AND c_seq = :c_seq AND c_token != :c_token";
        insert_entity: CompareAndSet = insert("{batch}.batchprocess_entities_info", ENTITY, "");
        change_chunk: CompareAndSet = "UPDATE {batch}.batchprocess_entities_info SET c_state = :c_state, \
            c_owner = null, c_inc = null, c_fence = :to_fence, c_token = :c_token \
            WHERE bid = :bid AND chunk = :chunk \
            IF c_fence = :c_fence AND c_state = :seen_state AND c_token != :c_token";
        handled: Read = select("entityid", "{batch}.batchprocess_entities_info",
            "WHERE bid = :bid AND chunk = :chunk");
        entities: Read = select(ENTITY, "{batch}.batchprocess_entities_info",
            "WHERE bid = :bid AND chunk = :chunk");
        // Plain deletes of whole partitions, only for batches that no node writes to any more.
        drop_chunk: Write =
            "DELETE FROM {batch}.batchprocess_entities_info WHERE bid = :bid AND chunk = :chunk";
        drop_ids: Write = "DELETE FROM {batch}.batchprocess_chunk_ids WHERE bid = :bid AND chunk = :chunk";
        put_error: Write = insert("{batch}.batchprocess_entities_errors",
            "bid, chunk, entityid, error, nodeid", " USING TIMESTAMP :stamp");
        forget_errors: Write = "DELETE FROM {batch}.batchprocess_entities_errors USING TIMESTAMP :stamp \
            WHERE bid = :bid AND chunk = :chunk";

        // Nodes.
        put_node: Write = insert("{system}.nodes", NODE, "");
        nodes: Read = select(NODE, "{system}.nodes", "");
        node_stamp: Read =
            select("WRITETIME(hb_seq) AS stamp", "{system}.nodes", "WHERE guid = :guid");
        put_node_info: Write = insert("{batch}.batchprocess_node_info", NODE_INFO, "");
        node_info: Read = select(NODE_INFO, "{batch}.batchprocess_node_info", "WHERE bid = :bid");

        // Checkpoints.
        take_checkpoints: CompareAndSet = "UPDATE {system}.checkpoints SET s_fence = :to_fence, s_seq = 0, \
            s_holder = :s_holder, s_token = :s_token WHERE scope = :scope \
            IF s_fence = :s_fence AND s_token != :s_token";
        save_checkpoints: CompareAndSet = "UPDATE {system}.checkpoints SET s_seq = :to_seq, s_token = :s_token \
            WHERE scope = :scope IF s_fence = :s_fence AND s_seq = :s_seq AND s_token != :s_token";
        put_checkpoint: CompareAndSet = insert("{system}.checkpoints", "scope, item, value, updated_at", "");
        remove_checkpoint: CompareAndSet = "DELETE FROM {system}.checkpoints WHERE scope = :scope AND item = :item";
        forget_checkpoints: CompareAndSet = "DELETE FROM {system}.checkpoints WHERE scope = :scope AND item > :after";
        checkpoints: Read = select("item, value, updated_at", "{system}.checkpoints",
            "WHERE scope = :scope AND item > :after LIMIT :rows");

        // Deployment.
        put_part: Write = insert("{system}.bundles", "hash, part, parts, data", "");
        part: Read = select("part, parts, data", "{system}.bundles", "WHERE hash = :hash AND part = :part");
        deploy: CompareAndSet = "UPDATE {system}.deployment SET seq = :to_seq, hash = :hash, deployed_at = :deployed_at, \
            deployed_by = :deployed_by, logical_units = :logical_units, op_token = :op_token \
            WHERE name = 'project' IF seq = :seq AND op_token != :op_token";

        // Settings of the cluster.
        put_setting: CompareAndSet = "UPDATE {system}.cluster_settings SET seq = :to_seq, value = :value, \
            changed_at = :changed_at, changed_by = :changed_by, op_token = :op_token \
            WHERE name = :name IF seq = :seq AND op_token != :op_token";

        // The store itself.
        version: Read = "SELECT version FROM {system}.schema_lock WHERE name = 'schema'";
        time: Read = cluster_queries::TIME;
    } at_freshness {
        job = select(JOB, "{system}.jobs", "WHERE type = :type AND name = :name AND uid = :uid");
        batch = select(BATCH, "{batch}.batchprocess_list", "WHERE bid = :bid");
        chunk_head = select(&format!("DISTINCT {CHUNK}"), "{batch}.batchprocess_entities_info",
            "WHERE bid = :bid AND chunk = :chunk");
        checkpoint_head = select(&format!("DISTINCT {CHECKPOINT_HEAD}"), "{system}.checkpoints",
            "WHERE scope = :scope");
        deployment = select(DEPLOYMENT, "{system}.deployment", "WHERE name = 'project'");
        setting = select(SETTING, "{system}.cluster_settings", "WHERE name = :name");
    }
}

impl Statements {
    /// Prepares all of them.
    ///
    /// # Errors
    /// `StoreError::Schema` if a table is missing.
    pub(crate) async fn prepare(
        session: &Session,
        profiles: &Profiles,
        keyspaces: &Keyspaces,
    ) -> StoreResult<Self> {
        Self::prepare_all(session, profiles, |text| {
            text.replace("{system}", &keyspaces.system)
                .replace("{batch}", &keyspaces.batch)
        })
        .await
    }
}
