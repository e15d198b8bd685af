//! From rows to the model and back.

use std::fmt::Display;
use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::FromSql;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use weft_model::clock::Timestamp;
use weft_model::{
    Batch, BatchId, BatchListing, ChunkHead, Deployment, FilledChunks, Holder, Incarnation, Job,
    JobKey, JobRun, NodeId, NodeRow, NodeState, NodeStats, Setting, Token,
};
use weft_store::{Signed, StoreError};

use super::failure::Failure;

/// Takes the columns of a row from left to right.
pub(super) struct Columns<'r, 's> {
    row: &'r Row<'s>,
    table: &'static str,
    next: usize,
}

impl<'r, 's> Columns<'r, 's> {
    pub(super) fn of(row: &'r Row<'s>, table: &'static str) -> Self {
        Self {
            row,
            table,
            next: 0,
        }
    }

    pub(super) fn take<T: FromSql>(&mut self) -> Result<T, Failure> {
        let column = self.next;
        self.next += 1;
        Ok(self.row.get(column)?)
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, Failure> {
        Ok(Timestamp(self.take()?))
    }

    pub(super) fn time_or_none(&mut self) -> Result<Option<Timestamp>, Failure> {
        Ok(self.take::<Option<i64>>()?.map(Timestamp))
    }

    pub(super) fn uuid_or_none(&mut self, column: &'static str) -> Result<Option<Uuid>, Failure> {
        self.take::<Option<Vec<u8>>>()?
            .map(|bytes| Uuid::from_slice(&bytes).map_err(|error| self.corrupt(column, error)))
            .transpose()
    }

    pub(super) fn name<T>(&mut self, column: &'static str) -> Result<T, Failure>
    where
        T: FromStr<Err: Display>,
    {
        let text: String = self.take()?;
        text.parse().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn json<T: DeserializeOwned>(&mut self, column: &'static str) -> Result<T, Failure> {
        let text: String = self.take()?;
        serde_json::from_str(&text).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn json_or_none<T: DeserializeOwned>(
        &mut self,
        column: &'static str,
    ) -> Result<Option<T>, Failure> {
        self.take::<Option<String>>()?
            .map(|text| serde_json::from_str(&text).map_err(|error| self.corrupt(column, error)))
            .transpose()
    }

    pub(super) fn parsed_or_none<T>(&mut self, column: &'static str) -> Result<Option<T>, Failure>
    where
        T: FromStr<Err: Display>,
    {
        self.take::<Option<String>>()?
            .map(|text| text.parse().map_err(|error| self.corrupt(column, error)))
            .transpose()
    }

    fn corrupt(&self, column: &'static str, reason: impl Display) -> Failure {
        Failure::Store(StoreError::Corrupt {
            row: format!("a row of {}", self.table),
            column,
            reason: reason.to_string(),
        })
    }
}

/// A value as JSON text.
pub(super) fn json_text<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| {
        Failure::Store(StoreError::Refused(format!(
            "a value cannot be written as JSON: {error}"
        )))
    })
}

/// A limit as SQLite takes it.
pub(super) fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A uuid as the sixteen bytes that are stored.
pub(super) fn bytes(uuid: &Uuid) -> &[u8] {
    uuid.as_bytes().as_slice()
}

/// The stored form of a token that may be absent.
pub(super) fn token_bytes(token: Option<&Token>) -> Option<&[u8]> {
    token.map(|token| bytes(&token.0))
}

/// The stored form of an incarnation that may be absent.
pub(super) fn incarnation_bytes(incarnation: Option<&Incarnation>) -> Option<&[u8]> {
    incarnation.map(|incarnation| bytes(&incarnation.0))
}

pub(super) const JOB: &str = "type, name, uid, status, affinity, archived, arguments, creation_time, \
    start_time, end_time, error, execution_interval, output, tries, worker, owner_inc, next_run, fence, \
    op_token, desired, desired_seq, desired_token, notes, planned_run, runs, policy, created_by, \
    triggers";

pub(super) fn job(row: &Row<'_>) -> Result<Job, Failure> {
    let mut columns = Columns::of(row, "job");
    Ok(Job {
        key: JobKey {
            job_type: columns.take()?,
            name: columns.take()?,
            uid: columns.take()?,
        },
        status: columns.name("status")?,
        affinity: columns.json("affinity")?,
        archived: columns.take()?,
        arguments: columns.take()?,
        creation_time: columns.time()?,
        start_time: columns.time_or_none()?,
        end_time: columns.time_or_none()?,
        error: columns.take()?,
        execution_interval: columns.take()?,
        output: columns.take()?,
        tries: columns.take()?,
        worker: columns.take::<Option<String>>()?.map(NodeId),
        owner_incarnation: columns.uuid_or_none("owner_inc")?.map(Incarnation),
        next_run: columns.time_or_none()?,
        fence: columns.take()?,
        op_token: columns.uuid_or_none("op_token")?.map(Token),
        desired: columns.name("desired")?,
        desired_seq: columns.take()?,
        desired_token: columns.uuid_or_none("desired_token")?.map(Token),
        notes: columns.take()?,
        planned_run: columns.time_or_none()?,
        runs: columns.take()?,
        policy: columns.json("policy")?,
        created_by: columns.take()?,
        triggers: columns.json_or_none("triggers")?.unwrap_or_default(),
    })
}

pub(super) const JOB_RUN: &str = "type, name, uid, started, ended, fence, node, status, error, output, \
    attempt, planned, exit_code";

pub(super) fn job_run(row: &Row<'_>) -> Result<JobRun, Failure> {
    let mut columns = Columns::of(row, "job_run");
    Ok(JobRun {
        key: JobKey {
            job_type: columns.take()?,
            name: columns.take()?,
            uid: columns.take()?,
        },
        started: columns.time()?,
        ended: columns.time()?,
        fence: columns.take()?,
        node: NodeId(columns.take()?),
        status: columns.name("status")?,
        error: columns.take()?,
        output: columns.take()?,
        attempt: columns.take()?,
        planned: columns.time_or_none()?,
        exit_code: columns.take()?,
    })
}

pub(super) const BATCH: &str = "bid, status, spec, arguments, command, creation_time, start_time, end_time, \
    error, extra_stats, statistics, owner, total_entities, duplicates, execution_id, fence, owner_node, \
    owner_inc, op_token, desired, desired_seq, desired_token, chunks, chunks_filled, entities_filled, \
    stats_seq, notes";

pub(super) fn batch(row: &Row<'_>) -> Result<Batch, Failure> {
    let mut columns = Columns::of(row, "batch");
    Ok(Batch {
        id: columns.name::<BatchId>("bid")?,
        status: columns.name("status")?,
        spec: columns.json("spec")?,
        arguments: columns.take()?,
        command: columns.take()?,
        creation_time: columns.time()?,
        start_time: columns.time_or_none()?,
        end_time: columns.time_or_none()?,
        error: columns.take()?,
        extra_stats: columns.take()?,
        statistics: columns.json_or_none("statistics")?,
        owner: columns.take()?,
        total_entities: columns.take()?,
        duplicates: columns.take()?,
        execution_id: columns.take()?,
        fence: columns.take()?,
        owner_node: columns.take::<Option<String>>()?.map(NodeId),
        owner_incarnation: columns.uuid_or_none("owner_inc")?.map(Incarnation),
        op_token: columns.uuid_or_none("op_token")?.map(Token),
        desired: columns.name("desired")?,
        desired_seq: columns.take()?,
        desired_token: columns.uuid_or_none("desired_token")?.map(Token),
        chunks: columns.take()?,
        filled: filled(columns.take()?, columns.take()?),
        stats_seq: columns.take()?,
        notes: columns.take()?,
    })
}

fn filled(chunks: Option<i64>, entities: Option<i64>) -> Option<FilledChunks> {
    let (chunks, entities) = chunks.zip(entities)?;
    Some(FilledChunks { chunks, entities })
}

/// Lists show the head of a command.
pub(super) const LISTING: &str =
    "bid, creation_time, status, end_time, substr(command, 1, 200), failed";

pub(super) fn listing(row: &Row<'_>) -> Result<BatchListing, Failure> {
    let mut columns = Columns::of(row, "batch");
    Ok(BatchListing {
        id: columns.name::<BatchId>("bid")?,
        creation_time: columns.time()?,
        status: columns.name("status")?,
        end_time: columns.time_or_none()?,
        command: columns.take()?,
        failed: columns.take()?,
    })
}

pub(super) const CHUNK: &str = "number, state, owner, inc, fence, seq, token, total, ok, failed, shares, \
    source_position, source_read, crashes";

pub(super) fn chunk_head(row: &Row<'_>, batch: BatchId) -> Result<ChunkHead, Failure> {
    let mut columns = Columns::of(row, "chunk");
    Ok(ChunkHead {
        batch,
        number: columns.take()?,
        state: columns.name("state")?,
        holder: {
            let node: Option<String> = columns.take()?;
            let incarnation = columns.uuid_or_none("inc")?;
            node.zip(incarnation).map(|(node, incarnation)| Holder {
                node: NodeId(node),
                incarnation: Incarnation(incarnation),
            })
        },
        fence: columns.take()?,
        seq: columns.take()?,
        token: columns.uuid_or_none("token")?.map(Token),
        total: columns.take()?,
        ok: columns.take()?,
        failed: columns.take()?,
        shares: columns.json("shares")?,
        source_position: columns.take()?,
        source_read: columns.take()?,
        crashes: columns.take()?,
    })
}

pub(super) const NODE: &str = "guid, dc, effective_ip, ips, logical_ids, incarnation, hb_seq, heartbeat_at, \
    state, version, http_address, coordinates";

pub(super) fn node(row: &Row<'_>) -> Result<NodeRow, Failure> {
    let mut columns = Columns::of(row, "node");
    Ok(NodeRow {
        guid: NodeId(columns.take()?),
        dc: columns.take()?,
        effective_ip: columns.take()?,
        ips: columns.json("ips")?,
        logical_ids: columns.json("logical_ids")?,
        incarnation: Incarnation(columns.uuid_or_none("incarnation")?.unwrap_or_default()),
        hb_seq: columns.take()?,
        heartbeat_at: columns.time()?,
        state: NodeState::of_stored(&columns.take::<String>()?),
        version: columns.take()?,
        http_address: columns.take()?,
        coordinates: columns.json("coordinates")?,
    })
}

pub(super) const NODE_STATS: &str =
    "node, dc, updated_time, share, slowest, histogram, pace_milli, in_process";

pub(super) fn node_stats(row: &Row<'_>, batch: BatchId) -> Result<NodeStats, Failure> {
    let mut columns = Columns::of(row, "batch_node");
    Ok(NodeStats {
        batch,
        node: NodeId(columns.take()?),
        dc: columns.take()?,
        updated_time: columns.time()?,
        share: columns.json("share")?,
        slowest: columns.json("slowest")?,
        histogram: columns.take()?,
        pace_milli: columns.take()?,
        in_process: columns.json("in_process")?,
    })
}

pub(super) const SETTING: &str = "op_token, name, seq, value, changed_at, changed_by";

pub(super) fn setting(row: &Row<'_>) -> Result<Signed<Setting>, Failure> {
    let mut columns = Columns::of(row, "cluster_setting");
    let token = columns.uuid_or_none("op_token")?.map(Token);
    let value = Setting {
        name: columns.take()?,
        seq: columns.take()?,
        value: columns.take()?,
        changed_at: columns.time()?,
        changed_by: columns.take()?,
    };
    Ok(Signed { token, value })
}

pub(super) const DEPLOYMENT: &str = "op_token, seq, hash, deployed_at, deployed_by, logical_units";

pub(super) fn deployment(row: &Row<'_>) -> Result<Signed<Deployment>, Failure> {
    let mut columns = Columns::of(row, "deployment");
    let token = columns.uuid_or_none("op_token")?.map(Token);
    let value = Deployment {
        seq: columns.take()?,
        hash: columns.take()?,
        deployed_at: columns.time()?,
        deployed_by: columns.take()?,
        logical_units: columns.json("logical_units")?,
    };
    Ok(Signed { token, value })
}
