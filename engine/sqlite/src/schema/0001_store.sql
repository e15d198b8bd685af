-- Physical tables are compact: times are integers (milliseconds since 1970), incarnations and tokens are 16 bytes,
-- names that repeat are numbers. The documented names are views over them, further down.

-- The numbers of ids that repeat.
CREATE TABLE batch_number (
    no              INTEGER PRIMARY KEY,
    bid             TEXT NOT NULL UNIQUE
);

CREATE TABLE node_number (
    no              INTEGER PRIMARY KEY,
    guid            TEXT NOT NULL UNIQUE
);

CREATE TABLE logical_unit_number (
    no              INTEGER PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE
);

-- Jobs.
CREATE TABLE job (
    type            TEXT NOT NULL,
    name            TEXT NOT NULL,
    uid             TEXT NOT NULL,
    status          TEXT NOT NULL,
    affinity        TEXT NOT NULL,
    archived        INTEGER NOT NULL,
    arguments       TEXT NOT NULL,
    creation_time   INTEGER NOT NULL,
    start_time      INTEGER,
    end_time        INTEGER,
    error           TEXT,
    execution_interval TEXT,
    output          TEXT,
    tries           INTEGER NOT NULL,
    worker          TEXT,
    owner_inc       BLOB,
    next_run        INTEGER,
    fence           INTEGER NOT NULL,
    op_token        BLOB,
    desired         TEXT NOT NULL,
    desired_seq     INTEGER NOT NULL,
    desired_token   BLOB,
    notes           TEXT,
    PRIMARY KEY (type, name, uid)
);

CREATE TABLE job_due (
    due_at          INTEGER NOT NULL,
    type            TEXT NOT NULL,
    name            TEXT NOT NULL,
    uid             TEXT NOT NULL,
    PRIMARY KEY (due_at, type, name, uid)
) WITHOUT ROWID;

CREATE TABLE job_run (
    type            TEXT NOT NULL,
    name            TEXT NOT NULL,
    uid             TEXT NOT NULL,
    started         INTEGER NOT NULL,
    fence           INTEGER NOT NULL,
    ended           INTEGER NOT NULL,
    node            TEXT NOT NULL,
    status          TEXT NOT NULL,
    error           TEXT,
    output          TEXT,
    PRIMARY KEY (type, name, uid, started, fence)
);

-- Batches.
CREATE TABLE batch (
    no              INTEGER PRIMARY KEY,
    bid             TEXT NOT NULL UNIQUE,
    status          TEXT NOT NULL,
    spec            TEXT NOT NULL,
    arguments       TEXT NOT NULL,
    command         TEXT NOT NULL,
    creation_time   INTEGER NOT NULL,
    start_time      INTEGER,
    end_time        INTEGER,
    error           TEXT,
    extra_stats     TEXT,
    statistics      TEXT,
    owner           TEXT NOT NULL,
    total_entities  INTEGER,
    duplicates      INTEGER NOT NULL,
    execution_id    TEXT NOT NULL,
    fence           INTEGER NOT NULL,
    owner_node      TEXT,
    owner_inc       BLOB,
    op_token        BLOB,
    desired         TEXT NOT NULL,
    desired_seq     INTEGER NOT NULL,
    desired_token   BLOB,
    chunks          INTEGER NOT NULL,
    stats_seq       INTEGER NOT NULL,
    notes           TEXT,
    lut_name        TEXT NOT NULL,
    -- Failed entities by the statistics above, so that lists need not read them.
    failed          INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX batch_by_creation ON batch (creation_time, bid);

CREATE TABLE active_command (
    command_key     TEXT NOT NULL PRIMARY KEY,
    bid             TEXT NOT NULL
) WITHOUT ROWID;

-- The state of a chunk. Its ids lie in a table of their own, because an update rewrites its whole row.
CREATE TABLE chunk (
    no              INTEGER PRIMARY KEY,
    batch_no        INTEGER NOT NULL,
    number          INTEGER NOT NULL,
    state           TEXT NOT NULL,
    owner           TEXT,
    inc             BLOB,
    fence           INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    token           BLOB,
    total           INTEGER NOT NULL,
    ok              INTEGER NOT NULL,
    failed          INTEGER NOT NULL,
    shares          TEXT NOT NULL,
    source_position TEXT,
    crashes         INTEGER NOT NULL,
    creation_time   INTEGER NOT NULL,
    -- Entities of it that have a row.
    recorded        INTEGER NOT NULL DEFAULT 0,
    UNIQUE (batch_no, number)
);

-- The ids as a JSON list: one value to write, and still readable row by row through json_each.
CREATE TABLE chunk_ids (
    chunk_no        INTEGER PRIMARY KEY,
    ids             TEXT NOT NULL
);

-- Handled entities. Rows are only ever appended, whatever chunk they belong to: that is what makes a
-- row cost half of what it costs under a key of names. A flush is a run of keys.
CREATE TABLE entity (
    key             INTEGER PRIMARY KEY,
    id              TEXT NOT NULL,
    failed          INTEGER NOT NULL,
    result          TEXT,
    error           TEXT,
    node_no         INTEGER NOT NULL,
    start_time      INTEGER NOT NULL,
    -- end_time - start_time
    lasted_ms       INTEGER NOT NULL,
    duration_us     INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    fence           INTEGER NOT NULL
);

CREATE TABLE entity_run (
    chunk_no        INTEGER NOT NULL,
    first_key       INTEGER NOT NULL,
    row_count       INTEGER NOT NULL,
    PRIMARY KEY (chunk_no, first_key)
) WITHOUT ROWID;

CREATE TABLE batch_node (
    batch_no        INTEGER NOT NULL,
    node            TEXT NOT NULL,
    dc              TEXT NOT NULL,
    updated_time    INTEGER NOT NULL,
    share           TEXT NOT NULL,
    slowest         TEXT NOT NULL,
    histogram       TEXT,
    pace_milli      INTEGER NOT NULL,
    in_process      TEXT NOT NULL,
    PRIMARY KEY (batch_no, node)
) WITHOUT ROWID;

-- Nodes.
CREATE TABLE node (
    guid            TEXT NOT NULL PRIMARY KEY,
    dc              TEXT NOT NULL,
    effective_ip    TEXT NOT NULL,
    ips             TEXT NOT NULL,
    logical_ids     TEXT NOT NULL,
    incarnation     BLOB NOT NULL,
    hb_seq          INTEGER NOT NULL,
    heartbeat_at    INTEGER NOT NULL,
    state           TEXT NOT NULL,
    version         TEXT NOT NULL,
    http_address    TEXT,
    coordinates     TEXT NOT NULL
);

-- Instances of logical units. The image comes last, so that reading a head touches none of its pages.
CREATE TABLE instance (
    no              INTEGER PRIMARY KEY,
    lu_no           INTEGER NOT NULL,
    id              TEXT NOT NULL,
    sync_version    INTEGER NOT NULL,
    content_hash    BLOB NOT NULL,
    schema_hash     BLOB NOT NULL,
    bid             TEXT,
    image           BLOB NOT NULL,
    UNIQUE (lu_no, id)
);

-- Deployment.
CREATE TABLE bundle (
    hash            TEXT NOT NULL PRIMARY KEY,
    bytes           BLOB NOT NULL
);

CREATE TABLE deployment (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    seq             INTEGER NOT NULL,
    hash            TEXT NOT NULL,
    deployed_at     INTEGER NOT NULL,
    deployed_by     TEXT NOT NULL,
    logical_units   TEXT NOT NULL,
    op_token        BLOB
);

-- The documented names, for people with sqlite3.
CREATE VIEW jobs AS
SELECT type, name, uid,
       json_object('Affinity', json(affinity)) AS affinity,
       CASE archived WHEN 0 THEN 'false' ELSE 'true' END AS archived,
       arguments,
       strftime('%Y-%m-%d %H:%M:%f', creation_time / 1000.0, 'unixepoch') AS creation_time,
       strftime('%Y-%m-%d %H:%M:%f', start_time / 1000.0, 'unixepoch') AS start_time,
       strftime('%Y-%m-%d %H:%M:%f', end_time / 1000.0, 'unixepoch') AS end_time,
       error AS error_msg, execution_interval, output, status, tries, worker AS worker_id,
       strftime('%Y-%m-%d %H:%M:%f', next_run / 1000.0, 'unixepoch') AS next_run,
       fence, lower(hex(owner_inc)) AS owner_inc, lower(hex(op_token)) AS op_token,
       desired, desired_seq, lower(hex(desired_token)) AS desired_token, notes
FROM job;

CREATE VIEW jobs_by_name AS SELECT type, name, uid FROM job;

CREATE VIEW jobs_due AS
SELECT strftime('%Y-%m-%d %H:%M:%f', due_at / 1000.0, 'unixepoch') AS due_at, type, name, uid
FROM job_due;

CREATE VIEW job_runs AS
SELECT type, name, uid,
       strftime('%Y-%m-%d %H:%M:%f', started / 1000.0, 'unixepoch') AS started,
       strftime('%Y-%m-%d %H:%M:%f', ended / 1000.0, 'unixepoch') AS ended,
       fence AS run_fence, node, status, error, output
FROM job_run;

CREATE VIEW batchprocess_list AS
SELECT b.bid, b.arguments, b.command,
       strftime('%Y-%m-%d %H:%M:%f', b.creation_time / 1000.0, 'unixepoch') AS creation_time,
       strftime('%Y-%m-%d %H:%M:%f', b.start_time / 1000.0, 'unixepoch') AS start_time,
       strftime('%Y-%m-%d %H:%M:%f', b.end_time / 1000.0, 'unixepoch') AS end_time,
       b.error, b.extra_stats, b.lut_name, b.owner, b.status, b.total_entities,
       b.fence, b.owner_node, lower(hex(b.owner_inc)) AS owner_inc,
       lower(hex(b.op_token)) AS op_token, b.desired, b.desired_seq,
       lower(hex(b.desired_token)) AS desired_token, b.execution_id, b.chunks, b.stats_seq,
       b.duplicates, b.statistics, b.spec, b.notes
FROM batch b;

CREATE VIEW batchprocess_by_day AS
SELECT strftime('%Y-%m-%d', b.creation_time / 1000, 'unixepoch') AS day,
       strftime('%Y-%m-%d %H:%M:%f', b.creation_time / 1000.0, 'unixepoch') AS creation_time,
       b.bid, b.status,
       strftime('%Y-%m-%d %H:%M:%f', b.end_time / 1000.0, 'unixepoch') AS end_time,
       substr(b.command, 1, 200) AS command, b.failed
FROM batch b;

CREATE VIEW active_commands AS SELECT command_key, bid FROM active_command;

-- Handled entities are rows; the ids that still wait are unpacked from their chunks.
CREATE VIEW batchprocess_entities_info AS
SELECT n.bid, c.number AS chunk, e.id AS entityid,
       strftime('%Y-%m-%d %H:%M:%f', c.creation_time / 1000.0, 'unixepoch') AS creation_time,
       strftime('%Y-%m-%d %H:%M:%f', e.start_time / 1000.0, 'unixepoch') AS start_time,
       strftime('%Y-%m-%d %H:%M:%f', (e.start_time + e.lasted_ms) / 1000.0, 'unixepoch') AS end_time,
       CASE e.failed WHEN 0 THEN 'COMPLETED' ELSE 'FAILED' END AS status,
       e.result AS results, e.error, w.guid AS nodeid, e.duration_us, e.attempt, e.fence
FROM batch_number n
JOIN chunk c ON c.batch_no = n.no
JOIN entity_run r ON r.chunk_no = c.no
JOIN entity e ON e.key >= r.first_key AND e.key < r.first_key + r.row_count
JOIN node_number w ON w.no = e.node_no
UNION ALL
SELECT n.bid, c.number, i.value,
       strftime('%Y-%m-%d %H:%M:%f', c.creation_time / 1000.0, 'unixepoch'),
       NULL, NULL, 'WAITING', NULL, NULL, NULL, NULL, NULL, NULL
FROM batch_number n
JOIN chunk c ON c.batch_no = n.no AND c.recorded < c.total
JOIN chunk_ids p ON p.chunk_no = c.no
JOIN json_each(p.ids) i
WHERE CASE c.recorded WHEN 0 THEN 1 ELSE i.value NOT IN (
    SELECT e.id
    FROM entity_run r
    JOIN entity e ON e.key >= r.first_key AND e.key < r.first_key + r.row_count
    WHERE r.chunk_no = c.no
) END;

CREATE VIEW batchprocess_chunks AS
SELECT n.bid, c.number AS chunk, c.state AS c_state, c.owner AS c_owner,
       lower(hex(c.inc)) AS c_inc, c.fence AS c_fence, c.seq AS c_seq, lower(hex(c.token)) AS c_token,
       c.total AS c_total, c.ok AS c_ok, c.failed AS c_failed, c.shares AS c_results,
       c.source_position AS c_source_pos, c.crashes AS c_crashes
FROM batch_number n JOIN chunk c ON c.batch_no = n.no;

CREATE VIEW batchprocess_entities_errors AS
SELECT n.bid, e.id AS entityid, e.error, w.guid AS nodeid
FROM batch_number n
JOIN chunk c ON c.batch_no = n.no AND c.failed > 0
JOIN entity_run r ON r.chunk_no = c.no
JOIN entity e ON e.key >= r.first_key AND e.key < r.first_key + r.row_count
JOIN node_number w ON w.no = e.node_no
WHERE e.failed = 1;

CREATE VIEW batchprocess_node_info AS
SELECT n.bid, s.node AS nodeid,
       coalesce(json_extract(s.share, '$.aggregated'), '{}') AS aggregated_results,
       s.dc AS dc_name, json_extract(s.share, '$.failed') AS failed_count,
       s.pace_milli / 1000.0 AS pace, json_extract(s.share, '$.succeeded') AS succeeded_count,
       strftime('%Y-%m-%d %H:%M:%f', s.updated_time / 1000.0, 'unixepoch') AS updated_time,
       s.slowest, s.in_process
FROM batch_node s JOIN batch_number n ON n.no = s.batch_no;

CREATE VIEW nodes AS
SELECT guid, dc, effective_ip, ips,
       strftime('%Y-%m-%d %H:%M:%f', heartbeat_at / 1000.0, 'unixepoch') AS local_quorum_heartbeat,
       logical_ids,
       strftime('%Y-%m-%d %H:%M:%f', heartbeat_at / 1000.0, 'unixepoch') AS quorum_heartbeat,
       lower(hex(incarnation)) AS incarnation, hb_seq, state, version, http_address, coordinates
FROM node;
