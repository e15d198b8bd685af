//! Every CQL text of the store, and the only place where text becomes CQL.
//!
//! Markers are named after what is bound; a marker that stands twice is bound once. Conditions are tokens and
//! fences (docs/design/protocol.md): each compare-and-set names a token and refuses to apply twice.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::try_join_all;
use scylla::client::execution_profile::ExecutionProfileHandle;
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, Statement};
use weft_model::ParsedTable;
use weft_store::StoreResult;

use crate::names::Names;
use crate::outcome;

/// How statements are sent.
#[derive(Clone, Debug)]
pub(crate) struct Profiles {
    /// LOCAL_QUORUM, may be tried again by the driver.
    pub(crate) plain: ExecutionProfileHandle,
    /// LOCAL_QUORUM with the serial level of the cluster; sent exactly once.
    pub(crate) compare_and_set: ExecutionProfileHandle,
    /// The serial level as a read level.
    pub(crate) serial: Consistency,
}

/// What a statement is, which decides how it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Sent once, no retry by the driver.
    Cas,
    /// A plain idempotent write.
    Write,
    /// A plain read.
    Read,
    /// A read that finishes attempts under way and sees them.
    Serial,
}

const JOB: &str = "type, name, uid, affinity, archived, arguments, creation_time, start_time, end_time, error_msg, \
                   execution_interval, output, status, tries, worker_id, next_run, fence, owner_inc, op_token, \
                   submit_token, desired, desired_seq, desired_token, notes, planned_run, runs, policy, created_by, \
                   triggers";

const BATCH: &str = "bid, arguments, command, creation_time, start_time, end_time, error, extra_stats, lut_name, \
                     owner, status, total_entities, spec, statistics, duplicates, execution_id, fence, owner_node, \
                     owner_inc, op_token, submit_token, desired, desired_seq, desired_token, chunks, stats_seq, notes";

const CHUNK: &str = "bid, chunk, c_state, c_owner, c_inc, c_fence, c_seq, c_token, c_total, c_ok, c_failed, \
                     c_results, c_source_pos, c_crashes, c_ids";

/// The order in which [`crate::chunk`] binds an entity row.
const ENTITY: &str = "bid, chunk, entityid, status, results, error, nodeid, start_time, end_time, duration_us, \
                      attempt, fence";

const RUN: &str = "type, name, uid, month, started, run_fence, ended, node, status, error, output, attempt, \
                   planned, exit_code";

const NODE: &str = "guid, dc, effective_ip, ips, local_quorum_heartbeat, logical_ids, quorum_heartbeat, \
                    incarnation, hb_seq, state, version, http_address, coordinates";

const NODE_INFO: &str = "bid, nodeid, aggregated_results, dc_name, failed_count, pace, succeeded_count, \
                         updated_time, first_start, last_end, slowest, histogram, in_process";

const DEPLOYMENT: &str = "seq, hash, deployed_at, deployed_by, logical_units";

const SETTING: &str = "name, seq, value, changed_at, changed_by";

const CHECKPOINT_HEAD: &str = "scope, s_fence, s_seq, s_holder, s_token";

const LISTING: &str = "day, creation_time, bid, status, end_time, command, failed";

/// What the owner of a batch proves with every change.
const GUARD: &str = "owner_node = :owner_node AND owner_inc = :owner_inc AND fence = :fence \
                     AND status = :seen_status AND desired_seq = :desired_seq AND op_token != :op_token";

fn insert(table: &str, columns: &str, tail: &str) -> String {
    let markers: Vec<String> = columns
        .split(',')
        .map(|column| format!(":{}", column.trim()))
        .collect();
    format!(
        "INSERT INTO {table} ({columns}) VALUES ({}){tail}",
        markers.join(", ")
    )
}

fn select(columns: &str, table: &str, tail: &str) -> String {
    format!("SELECT {columns} FROM {table} {tail}")
}

macro_rules! statements {
    ($(#[$outer:meta])* $group:ident { $($name:ident: $kind:ident = $text:expr;)* }) => {
        $(#[$outer])*
        #[derive(Debug)]
        pub(crate) struct $group {
            $(pub(crate) $name: PreparedStatement,)*
        }

        impl $group {
            async fn prepare_all(
                session: &Session,
                profiles: &Profiles,
                fill: impl Fn(&str) -> String,
            ) -> StoreResult<Self> {
                let texts = [$((Kind::$kind, fill(&String::from($text)))),*];
                let prepared = try_join_all(
                    texts.into_iter().map(|(kind, text)| prepare(session, profiles, kind, text)),
                )
                .await?;
                let mut prepared = prepared.into_iter();
                Ok(Self {
                    $($name: prepared.next().expect("one was prepared for each text"),)*
                })
            }
        }
    };
}

statements! {
    /// The statements on the system and batch keyspaces.
    Statements {
        // Jobs.
        insert_job: Cas = insert("{system}.jobs", JOB, " IF NOT EXISTS");
        claim_job: Cas = "UPDATE {system}.jobs SET status = 'IN_PROCESS', worker_id = :worker_id, \
            owner_inc = :owner_inc, fence = :to_fence, start_time = :start_time, op_token = :op_token \
            WHERE type = :type AND name = :name AND uid = :uid \
            IF status = :seen_status AND fence = :fence AND op_token != :op_token";
        write_job: Cas = "UPDATE {system}.jobs SET affinity = :affinity, archived = :archived, \
            arguments = :arguments, creation_time = :creation_time, start_time = :start_time, \
            end_time = :end_time, error_msg = :error_msg, execution_interval = :execution_interval, \
            output = :output, status = :status, tries = :tries, worker_id = :worker_id, \
            next_run = :next_run, fence = :to_fence, owner_inc = :owner_inc, op_token = :op_token, \
            desired = :desired, desired_seq = :desired_seq, desired_token = :desired_token, \
            notes = :notes, planned_run = :planned_run, runs = :runs, policy = :policy, \
            created_by = :created_by, triggers = :triggers WHERE type = :type AND name = :name AND uid = :uid \
            IF status = :seen_status AND fence = :fence AND desired_seq = :seen_desired_seq \
            AND op_token != :op_token";
        request_job: Cas = "UPDATE {system}.jobs SET status = :status, desired = :desired, \
            desired_seq = :to_desired_seq, desired_token = :desired_token, affinity = :affinity, \
            arguments = :arguments, execution_interval = :execution_interval, policy = :policy, \
            triggers = :triggers WHERE type = :type AND name = :name AND uid = :uid \
            IF status = :seen_status AND fence = :fence AND desired_seq = :desired_seq \
            AND desired_token != :desired_token";
        end_job: Cas = "UPDATE {system}.jobs SET status = :status, archived = :archived, fence = :to_fence, \
            end_time = :end_time, output = :output, error_msg = :error_msg, tries = :tries, \
            next_run = :next_run, notes = :notes, op_token = :op_token, desired = :desired, \
            runs = :runs, planned_run = :planned_run, triggers = :triggers, worker_id = :to_worker_id, \
            owner_inc = :to_owner_inc WHERE type = :type AND name = :name AND uid = :uid \
            IF worker_id = :worker_id AND owner_inc = :owner_inc AND fence = :fence \
            AND desired_seq = :desired_seq AND status = :seen_status AND op_token != :op_token";
        insert_run: Cas = insert("{system}.job_runs", RUN, " IF NOT EXISTS");
        job: Read = select(JOB, "{system}.jobs", "WHERE type = :type AND name = :name AND uid = :uid");
        job_serial: Serial = select(JOB, "{system}.jobs", "WHERE type = :type AND name = :name AND uid = :uid");
        delete_job: Cas = "DELETE FROM {system}.jobs WHERE type = :type AND name = :name AND uid = :uid \
            IF status = :seen_status AND fence = :fence AND desired_seq = :desired_seq AND op_token = :seen_token";
        first_jobs: Read = select(JOB, "{system}.jobs", "LIMIT :rows");
        // Two keys may share a token, so the token itself is read again and passed over by name.
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
            "WHERE type = :type AND name = :name LIMIT :rows");
        put_due: Write =
            insert("{system}.jobs_due", "bucket, shard, due_at, type, name, uid", " USING TTL :ttl");
        due: Read = select("due_at, type, name, uid", "{system}.jobs_due",
            "WHERE bucket = :bucket AND shard = :shard \
             AND (due_at, type, name, uid) > (:after_time, :after_type, :after_name, :after_uid) \
             AND (due_at) <= (:to_time) LIMIT :rows");
        runs: Read = select(RUN, "{system}.job_runs",
            "WHERE type = :type AND name = :name AND uid = :uid AND month = :month LIMIT :rows");
        old_runs: Read = select("started, run_fence", "{system}.job_runs",
            "WHERE type = :type AND name = :name AND uid = :uid AND month = :month AND started < :before LIMIT :rows");
        // Runs are inserted once and never touched again, so one that ended long ago may be removed plainly.
        drop_runs: Write = "DELETE FROM {system}.job_runs USING TIMESTAMP :stamp \
            WHERE type = :type AND name = :name AND uid = :uid AND month = :month AND started < :before";

        // Batches.
        insert_batch: Cas = insert("{batch}.batchprocess_list", BATCH, " IF NOT EXISTS");
        claim_batch: Cas = "UPDATE {batch}.batchprocess_list SET owner_node = :owner_node, \
            owner_inc = :owner_inc, fence = :to_fence, op_token = :op_token WHERE bid = :bid \
            IF fence = :fence AND op_token != :op_token";
        move_batch: Cas = format!("UPDATE {{batch}}.batchprocess_list SET status = :status, \
            start_time = :start_time, end_time = :end_time, error = :error, total_entities = :total_entities, \
            duplicates = :duplicates, extra_stats = :extra_stats, statistics = :statistics, \
            owner_node = :to_owner_node, owner_inc = :to_owner_inc, desired = :desired, \
            desired_seq = :to_desired_seq, op_token = :op_token WHERE bid = :bid IF {GUARD}");
        reserve_chunks: Cas = format!("UPDATE {{batch}}.batchprocess_list SET chunks = :to_chunks, \
            op_token = :op_token WHERE bid = :bid IF chunks = :chunks AND {GUARD}");
        save_statistics: Cas = format!("UPDATE {{batch}}.batchprocess_list SET stats_seq = :to_stats_seq, \
            extra_stats = :extra_stats, statistics = :statistics, op_token = :op_token WHERE bid = :bid \
            IF stats_seq = :stats_seq AND {GUARD}");
        request_batch: Cas = "UPDATE {batch}.batchprocess_list SET desired = :desired, \
            desired_seq = :to_desired_seq, desired_token = :desired_token WHERE bid = :bid \
            IF desired_seq = :desired_seq AND status IN :statuses AND desired_token != :desired_token";
        delete_batch: Cas = "DELETE FROM {batch}.batchprocess_list WHERE bid = :bid \
            IF status = :seen_status AND fence = :fence AND desired_seq = :desired_seq";
        drop_listing: Write = "DELETE FROM {batch}.batchprocess_by_day \
            WHERE day = :day AND creation_time = :creation_time AND bid = :bid";
        drop_node_info: Write = "DELETE FROM {batch}.batchprocess_node_info WHERE bid = :bid";
        drop_errors: Write = "DELETE FROM {batch}.batchprocess_entities_errors WHERE bid = :bid";
        batch: Read = select(BATCH, "{batch}.batchprocess_list", "WHERE bid = :bid");
        batch_serial: Serial = select(BATCH, "{batch}.batchprocess_list", "WHERE bid = :bid");
        put_listing: Write = insert("{batch}.batchprocess_by_day", LISTING, " USING TIMESTAMP :stamp");
        listings: Read = select(LISTING, "{batch}.batchprocess_by_day",
            "WHERE day = :day AND (creation_time, bid) < (:before_time, :before_bid) \
             AND (creation_time) >= (:from_time) LIMIT :rows");
        // The batch named is the token: a command names one batch at a time, and each batch names itself.
        claim_command: Cas = "UPDATE {batch}.active_commands SET bid = :bid WHERE command_key = :command_key \
            IF bid = :replaces";
        release_command: Cas = "DELETE FROM {batch}.active_commands WHERE command_key = :command_key \
            IF bid = :bid";
        active_command: Serial =
            select("command_key, bid", "{batch}.active_commands", "WHERE command_key = :command_key");

        // Chunks and entities.
        put_ids: Write =
            insert("{batch}.batchprocess_chunk_ids", "bid, chunk, opening, ids", "");
        ids: Read = select("ids", "{batch}.batchprocess_chunk_ids",
            "WHERE bid = :bid AND chunk = :chunk AND opening = :opening");
        open_chunk: Cas = "UPDATE {batch}.batchprocess_entities_info SET c_state = :c_state, \
            c_owner = :c_owner, c_inc = :c_inc, c_fence = 1, c_seq = 0, c_token = :c_token, c_total = :c_total, \
            c_ok = 0, c_failed = 0, c_results = '{}', c_source_pos = :c_source_pos, c_crashes = 0, c_ids = :c_ids \
            WHERE bid = :bid AND chunk = :chunk IF c_state = null AND c_token != :c_token";
        claim_chunk: Cas = "UPDATE {batch}.batchprocess_entities_info SET c_state = 'IN_PROGRESS', \
            c_owner = :c_owner, c_inc = :c_inc, c_fence = :to_fence, c_token = :c_token, c_crashes = :c_crashes \
            WHERE bid = :bid AND chunk = :chunk \
            IF c_fence = :c_fence AND c_state IN ('NEW', 'IN_PROGRESS') AND c_token != :c_token";
        flush_head: Cas = "UPDATE {batch}.batchprocess_entities_info SET c_seq = :to_seq, c_ok = :c_ok, \
            c_failed = :c_failed, c_results = :c_results, c_token = :c_token WHERE bid = :bid AND chunk = :chunk \
            IF c_fence = :c_fence AND c_seq = :c_seq AND c_token != :c_token";
        flush_head_done: Cas = "UPDATE {batch}.batchprocess_entities_info SET c_state = 'DONE', \
            c_seq = :to_seq, c_ok = :c_ok, c_failed = :c_failed, c_results = :c_results, c_token = :c_token \
            WHERE bid = :bid AND chunk = :chunk \
            IF c_fence = :c_fence AND c_seq = :c_seq AND c_token != :c_token";
        insert_entity: Cas = insert("{batch}.batchprocess_entities_info", ENTITY, "");
        change_chunk: Cas = "UPDATE {batch}.batchprocess_entities_info SET c_state = :c_state, \
            c_owner = null, c_inc = null, c_fence = :to_fence, c_token = :c_token \
            WHERE bid = :bid AND chunk = :chunk \
            IF c_fence = :c_fence AND c_state = :seen_state AND c_token != :c_token";
        chunk_head: Read = select(&format!("DISTINCT {CHUNK}"), "{batch}.batchprocess_entities_info",
            "WHERE bid = :bid AND chunk = :chunk");
        chunk_head_serial: Serial = select(&format!("DISTINCT {CHUNK}"), "{batch}.batchprocess_entities_info",
            "WHERE bid = :bid AND chunk = :chunk");
        handled: Read = select("entityid", "{batch}.batchprocess_entities_info",
            "WHERE bid = :bid AND chunk = :chunk");
        entities: Read = select(ENTITY, "{batch}.batchprocess_entities_info",
            "WHERE bid = :bid AND chunk = :chunk");
        // Plain, whole partitions, and only of batches that ended days ago.
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
        take_checkpoints: Cas = "UPDATE {system}.checkpoints SET s_fence = :to_fence, s_seq = 0, \
            s_holder = :s_holder, s_token = :s_token WHERE scope = :scope \
            IF s_fence = :s_fence AND s_token != :s_token";
        save_checkpoints: Cas = "UPDATE {system}.checkpoints SET s_seq = :to_seq, s_token = :s_token \
            WHERE scope = :scope IF s_fence = :s_fence AND s_seq = :s_seq AND s_token != :s_token";
        put_checkpoint: Cas = insert("{system}.checkpoints", "scope, item, value, updated_at", "");
        remove_checkpoint: Cas = "DELETE FROM {system}.checkpoints WHERE scope = :scope AND item = :item";
        forget_checkpoints: Cas = "DELETE FROM {system}.checkpoints WHERE scope = :scope AND item > :after";
        checkpoint_head: Read = select(&format!("DISTINCT {CHECKPOINT_HEAD}"), "{system}.checkpoints",
            "WHERE scope = :scope");
        checkpoint_head_serial: Serial = select(&format!("DISTINCT {CHECKPOINT_HEAD}"), "{system}.checkpoints",
            "WHERE scope = :scope");
        checkpoints: Read = select("item, value, updated_at", "{system}.checkpoints",
            "WHERE scope = :scope AND item > :after LIMIT :rows");

        // Deployment.
        put_part: Write = insert("{system}.bundles", "hash, part, parts, data", "");
        part: Read = select("part, parts, data", "{system}.bundles", "WHERE hash = :hash AND part = :part");
        deploy: Cas = "UPDATE {system}.deployment SET seq = :to_seq, hash = :hash, deployed_at = :deployed_at, \
            deployed_by = :deployed_by, logical_units = :logical_units, op_token = :op_token \
            WHERE name = 'project' IF seq = :seq AND op_token != :op_token";
        deployment: Read = select(DEPLOYMENT, "{system}.deployment", "WHERE name = 'project'");
        deployment_serial: Serial = select(DEPLOYMENT, "{system}.deployment", "WHERE name = 'project'");

        // Settings of the cluster.
        put_setting: Cas = "UPDATE {system}.cluster_settings SET seq = :to_seq, value = :value, \
            changed_at = :changed_at, changed_by = :changed_by, op_token = :op_token \
            WHERE name = :name IF seq = :seq AND op_token != :op_token";
        setting: Read = select(SETTING, "{system}.cluster_settings", "WHERE name = :name");
        setting_serial: Serial = select(SETTING, "{system}.cluster_settings", "WHERE name = :name");

        // The store itself.
        version: Read = "SELECT version FROM {system}.schema_lock WHERE name = 'schema'";
        time: Read = cluster::TIME;
    }
}

statements! {
    /// The statements on the keyspace of one logical unit.
    UnitStatements {
        put: Write = insert("{unit}.entity",
            "id, batch_id, chunks_count, data, schema_hash, content_hash, sync_version", " USING TIMESTAMP :stamp");
        put_chunk: Write =
            insert("{unit}.entity_chunks", "id, sync_version, chunk, data", " USING TIMESTAMP :stamp");
        drop_chunk: Write =
            "DELETE FROM {unit}.entity_chunks WHERE id = :id AND sync_version = :sync_version AND chunk = :chunk";
        head: Read = select("id, schema_hash, content_hash, sync_version, chunks_count", "{unit}.entity",
            "WHERE id = :id");
        whole: Read = select("id, batch_id, chunks_count, data, schema_hash, content_hash, sync_version",
            "{unit}.entity", "WHERE id = :id");
        chunk: Read = select("data", "{unit}.entity_chunks",
            "WHERE id = :id AND sync_version = :sync_version AND chunk = :chunk");
        first_ids: Read = select("id", "{unit}.entity", "LIMIT :rows");
        // Two ids may share a token, so the token itself is read again and passed over by name.
        next_ids: Read = select("id", "{unit}.entity", "WHERE token(id) >= token(:id) LIMIT :rows");
    }
}

impl Statements {
    /// Prepares all of them.
    ///
    /// # Errors
    /// [`weft_store::StoreError::Schema`] where a table is absent.
    pub(crate) async fn prepare(
        session: &Session,
        profiles: &Profiles,
        names: &Names,
    ) -> StoreResult<Self> {
        Self::prepare_all(session, profiles, |text| {
            text.replace("{system}", &names.system)
                .replace("{batch}", &names.batch)
        })
        .await
    }
}

impl UnitStatements {
    /// Prepares all of them for a keyspace that [`Names::unit`] made.
    ///
    /// # Errors
    /// [`weft_store::StoreError::Schema`] where a table is absent.
    pub(crate) async fn prepare(
        session: &Session,
        profiles: &Profiles,
        keyspace: &str,
    ) -> StoreResult<Self> {
        Self::prepare_all(session, profiles, |text| text.replace("{unit}", keyspace)).await
    }
}

/// The statements on a table that a parser fills.
#[derive(Debug)]
pub(crate) struct ParsedStatements {
    /// Values in the order of [`parsed::columns`].
    pub(crate) put: PreparedStatement,
    /// All rows, page by page.
    pub(crate) page: PreparedStatement,
    /// The rows of a key, where it is one column.
    pub(crate) of_key: Option<PreparedStatement>,
}

impl ParsedStatements {
    /// Prepares all of them for a keyspace that [`Names::unit`] made.
    ///
    /// # Errors
    /// [`weft_store::StoreError::Schema`] where the table is absent.
    pub(crate) async fn prepare(
        session: &Session,
        profiles: &Profiles,
        keyspace: &str,
        table: &ParsedTable,
    ) -> StoreResult<Self> {
        let name = parsed::name(keyspace, table);
        let columns = parsed::columns(table);
        let markers = vec!["?"; columns.len()].join(", ");
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let names = parsed::list(names);
        let put = format!("INSERT INTO {name} ({names}) VALUES ({markers})");
        let page = format!("SELECT {names} FROM {name}");
        let of_key = match table.key.as_slice() {
            [key] => {
                let text = format!("{page} WHERE {} = ?", parsed::quoted(key));
                Some(prepare(session, profiles, Kind::Read, text).await?)
            }
            _ => None,
        };
        Ok(Self {
            put: prepare(session, profiles, Kind::Write, put).await?,
            page: prepare(session, profiles, Kind::Read, page).await?,
            of_key,
        })
    }
}

/// The texts on tables that parsers fill. Names of keyspaces, tables and columns are letters, digits and `_`.
pub(crate) mod parsed {
    use weft_model::ColumnType;
    use weft_model::{ParsedTable, SOURCE_FILE, SOURCE_LINE};

    /// Which stretch of its file a row is from, where file and line tell rows apart.
    pub(crate) const SOURCE_PART: &str = "source_part";

    /// A name as it is, whatever its case.
    pub(crate) fn quoted(name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    /// Names one after the other.
    pub(crate) fn list(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
        let names = names.into_iter().map(|name| quoted(name.as_ref()));
        names.collect::<Vec<_>>().join(", ")
    }

    /// The table with its keyspace.
    pub(crate) fn name(keyspace: &str, table: &ParsedTable) -> String {
        format!("{keyspace}.{}", quoted(&table.name))
    }

    /// Its columns as they are stored, with their types.
    pub(crate) fn columns(table: &ParsedTable) -> Vec<(&str, &'static str)> {
        let declared = table.columns.iter();
        let declared = declared.map(|column| (column.name.as_str(), type_of(column.kind)));
        let source = [
            (SOURCE_FILE, "text"),
            (SOURCE_PART, "bigint"),
            (SOURCE_LINE, "bigint"),
        ];
        let source = source.into_iter().filter(|_| table.key.is_empty());
        source.chain(declared).collect()
    }

    fn type_of(kind: ColumnType) -> &'static str {
        match kind {
            ColumnType::Integer => "bigint",
            ColumnType::Real => "double",
            ColumnType::Blob => "blob",
            ColumnType::Text | ColumnType::Any => "text",
        }
    }

    /// The columns of the partition key.
    pub(crate) fn partition_key(table: &ParsedTable) -> Vec<&str> {
        match table.key.is_empty() {
            true => vec![SOURCE_FILE, SOURCE_PART],
            false => table.key.iter().map(String::as_str).collect(),
        }
    }

    /// The columns behind it.
    pub(crate) fn clustering_key(table: &ParsedTable) -> &'static [&'static str] {
        match table.key.is_empty() {
            true => &[SOURCE_LINE],
            false => &[],
        }
    }

    /// Makes the table.
    pub(crate) fn create(keyspace: &str, table: &ParsedTable, id: &str) -> String {
        let columns = columns(table).into_iter();
        let columns: Vec<String> = columns
            .map(|(name, kind)| format!("{} {kind}", quoted(name)))
            .collect();
        let mut key = format!("({})", list(partition_key(table)));
        for column in clustering_key(table) {
            key.push_str(&format!(", {}", quoted(column)));
        }
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({key})) WITH id = {id}",
            name(keyspace, table),
            columns.join(", "),
        )
    }

    /// Adds a column.
    pub(crate) fn add(keyspace: &str, table: &ParsedTable, column: &str, kind: &str) -> String {
        format!(
            "ALTER TABLE {} ADD {} {kind}",
            name(keyspace, table),
            quoted(column)
        )
    }
}

async fn prepare(
    session: &Session,
    profiles: &Profiles,
    kind: Kind,
    text: String,
) -> StoreResult<PreparedStatement> {
    let mut prepared = session
        .prepare(text)
        .await
        .map_err(|error| outcome::of_prepare(&error))?;
    prepared.set_page_size(PAGE_ROWS);
    match kind {
        Kind::Cas => {
            prepared.set_execution_profile_handle(Some(profiles.compare_and_set.clone()));
            // All that protects a compare-and-set from being sent twice by the driver, and from being read
            // with the columns of an earlier answer.
            prepared.set_is_idempotent(false);
            prepared.set_use_cached_result_metadata(false);
        }
        Kind::Write | Kind::Read => {
            prepared.set_execution_profile_handle(Some(profiles.plain.clone()));
            prepared.set_is_idempotent(true);
        }
        Kind::Serial => {
            prepared.set_execution_profile_handle(Some(profiles.plain.clone()));
            prepared.set_consistency(profiles.serial);
            prepared.set_is_idempotent(true);
        }
    }
    Ok(prepared)
}

/// Rows per page of a paged read.
const PAGE_ROWS: i32 = 1_000;

/// How long one statement that changes the schema may take.
const SCHEMA_CHANGE: Duration = Duration::from_secs(60);

/// The statements of a schema file for one cluster, in order, with the table that each makes.
pub(crate) fn schema_changes(
    file: &str,
    names: &Names,
    unit: Option<&str>,
    replication_factor: u8,
) -> Vec<Statement> {
    let mut keyspaces = BTreeMap::from([
        ("system", names.system.as_str()),
        ("batch", names.batch.as_str()),
    ]);
    if let Some(unit) = unit {
        keyspaces.insert("unit", unit);
    }
    without_comments(file)
        .split(';')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| schema_change(fill(text, names, &keyspaces, replication_factor)))
        .collect()
}

/// A statement that changes the schema and may be sent twice.
pub(crate) fn schema_change(text: String) -> Statement {
    let mut statement = Statement::new(text);
    statement.set_is_idempotent(true);
    statement.set_request_timeout(Some(SCHEMA_CHANGE));
    statement
}

fn without_comments(file: &str) -> String {
    file.lines()
        .map(|line| line.split_once("--").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

fn fill(
    text: &str,
    names: &Names,
    keyspaces: &BTreeMap<&str, &str>,
    replication_factor: u8,
) -> String {
    let mut filled = text.replace(
        "{replication}",
        &format!(
            "{{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication_factor}}}"
        ),
    );
    for (placeholder, keyspace) in keyspaces {
        let opening = format!("{{id:{placeholder}.");
        while let Some((before, behind)) = filled.split_once(&opening) {
            let (table, behind) = behind.split_once('}').unwrap_or((behind, ""));
            let id = names.table_id(keyspace, table);
            filled = format!("{before}{id}{behind}");
        }
        filled = filled.replace(&format!("{{{placeholder}}}"), keyspace);
    }
    filled
}

/// Questions about the cluster itself. Their tables are there before ours.
pub(crate) mod cluster {
    /// The tables of a keyspace.
    pub(crate) const TABLES: &str =
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = :keyspace_name";
    /// The columns of a table.
    pub(crate) const COLUMNS: &str = "SELECT column_name, type, kind FROM system_schema.columns \
        WHERE keyspace_name = :keyspace_name AND table_name = :table_name";
    /// How a keyspace is copied.
    pub(crate) const REPLICATION: &str =
        "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = :keyspace_name";
    /// The server's version.
    pub(crate) const RELEASE: &str = "SELECT release_version FROM system.local";
    /// The server's clock.
    pub(crate) const TIME: &str = "SELECT toUnixTimestamp(now()) AS millis FROM system.local";
    /// The variant of Paxos that a node runs; Scylla has no such setting.
    pub(crate) const PAXOS_VARIANT: &str =
        "SELECT value FROM system_views.settings WHERE name = 'paxos_variant'";
}

/// The statements on the row of the schema lock, which must work before anything else is there.
pub(crate) mod lock {
    use super::{Names, Profiles, Statement};

    fn statement(text: &str, names: &Names) -> Statement {
        Statement::new(text.replace("{system}", &names.system))
    }

    fn compare_and_set(text: &str, names: &Names, profiles: &Profiles) -> Statement {
        let mut statement = statement(text, names);
        statement.set_execution_profile_handle(Some(profiles.compare_and_set.clone()));
        statement.set_is_idempotent(false);
        statement
    }

    /// The row, read at the serial level.
    pub(crate) fn read(names: &Names, profiles: &Profiles) -> Statement {
        let mut statement = statement(
            "SELECT fence, holder, beat, version FROM {system}.schema_lock WHERE name = 'schema'",
            names,
        );
        statement.set_consistency(profiles.serial);
        statement.set_is_idempotent(true);
        statement
    }

    /// Takes the lock, from nobody or from a holder whose beat stands still.
    pub(crate) fn take(names: &Names, profiles: &Profiles) -> Statement {
        compare_and_set(
            "UPDATE {system}.schema_lock SET fence = :to_fence, holder = :holder, beat = 0, op_token = :op_token \
             WHERE name = 'schema' IF fence = :fence AND beat = :beat AND holder = :seen_holder \
             AND op_token != :op_token",
            names,
            profiles,
        )
    }

    /// Shows that the holder lives.
    pub(crate) fn beat(names: &Names, profiles: &Profiles) -> Statement {
        compare_and_set(
            "UPDATE {system}.schema_lock SET beat = :to_beat, op_token = :op_token WHERE name = 'schema' \
             IF fence = :fence AND beat = :beat AND op_token != :op_token",
            names,
            profiles,
        )
    }

    /// Lets go, with the version that is complete now.
    pub(crate) fn release(names: &Names, profiles: &Profiles) -> Statement {
        compare_and_set(
            "UPDATE {system}.schema_lock SET holder = null, version = :version, op_token = :op_token \
             WHERE name = 'schema' IF fence = :fence AND holder = :holder AND op_token != :op_token",
            names,
            profiles,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_files_have_no_placeholder_left() {
        let names = Names::new("t1").expect("a good cluster id");
        for (file, unit) in [
            (include_str!("../schema/0000_lock.cql"), None),
            (include_str!("../schema/0001_tables.cql"), None),
            (include_str!("../schema/0003_checkpoints.cql"), None),
            (
                include_str!("../schema/logical_unit.cql"),
                Some("k2view_customer_t1"),
            ),
        ] {
            let changes = schema_changes(file, &names, unit, 3);
            assert!(!changes.is_empty());
            for change in changes {
                let text = &change.contents;
                assert!(text.contains("IF NOT EXISTS"), "{text}");
                assert!(!text.contains("{id:"), "{text}");
                for placeholder in ["{system}", "{batch}", "{unit}", "{replication}"] {
                    assert!(!text.contains(placeholder), "{text}");
                }
                assert!(
                    text.contains("KEYSPACE") || text.contains(" id = "),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn inserts_bind_their_columns() {
        assert_eq!(
            insert("t", "a, b", " IF NOT EXISTS"),
            "INSERT INTO t (a, b) VALUES (:a, :b) IF NOT EXISTS"
        );
    }
}
