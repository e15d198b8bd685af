-- What the owner of a batch has filled, and how much of the source a chunk has behind it.
ALTER TABLE batch ADD COLUMN chunks_filled INTEGER;
ALTER TABLE batch ADD COLUMN entities_filled INTEGER;
ALTER TABLE chunk ADD COLUMN source_read INTEGER;

DROP VIEW batchprocess_list;
CREATE VIEW batchprocess_list AS
SELECT b.bid, b.arguments, b.command,
       strftime('%Y-%m-%d %H:%M:%f', b.creation_time / 1000.0, 'unixepoch') AS creation_time,
       strftime('%Y-%m-%d %H:%M:%f', b.start_time / 1000.0, 'unixepoch') AS start_time,
       strftime('%Y-%m-%d %H:%M:%f', b.end_time / 1000.0, 'unixepoch') AS end_time,
       b.error, b.extra_stats, b.lut_name, b.owner, b.status, b.total_entities,
       b.fence, b.owner_node, lower(hex(b.owner_inc)) AS owner_inc,
       lower(hex(b.op_token)) AS op_token, b.desired, b.desired_seq,
       lower(hex(b.desired_token)) AS desired_token, b.execution_id, b.chunks, b.chunks_filled,
       b.entities_filled, b.stats_seq, b.duplicates, b.statistics, b.spec, b.notes
FROM batch b;

DROP VIEW batchprocess_chunks;
CREATE VIEW batchprocess_chunks AS
SELECT n.bid, c.number AS chunk, c.state AS c_state, c.owner AS c_owner,
       lower(hex(c.inc)) AS c_inc, c.fence AS c_fence, c.seq AS c_seq, lower(hex(c.token)) AS c_token,
       c.total AS c_total, c.ok AS c_ok, c.failed AS c_failed, c.shares AS c_results,
       c.source_position AS c_source_pos, c.source_read AS c_source_read, c.crashes AS c_crashes
FROM batch_number n JOIN chunk c ON c.batch_no = n.no;
