-- Schedules, retries and bounds of jobs; what a run was for and how it ended.
ALTER TABLE job ADD COLUMN planned_run INTEGER;
ALTER TABLE job ADD COLUMN runs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN policy TEXT NOT NULL DEFAULT '{}';
ALTER TABLE job ADD COLUMN created_by TEXT NOT NULL DEFAULT '';

ALTER TABLE job_run ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
ALTER TABLE job_run ADD COLUMN planned INTEGER;
ALTER TABLE job_run ADD COLUMN exit_code INTEGER;

DROP VIEW jobs;
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
       strftime('%Y-%m-%d %H:%M:%f', planned_run / 1000.0, 'unixepoch') AS planned_run,
       runs, policy, created_by,
       fence, lower(hex(owner_inc)) AS owner_inc, lower(hex(op_token)) AS op_token,
       desired, desired_seq, lower(hex(desired_token)) AS desired_token, notes
FROM job;

DROP VIEW job_runs;
CREATE VIEW job_runs AS
SELECT type, name, uid,
       strftime('%Y-%m-%d %H:%M:%f', started / 1000.0, 'unixepoch') AS started,
       strftime('%Y-%m-%d %H:%M:%f', ended / 1000.0, 'unixepoch') AS ended,
       fence AS run_fence, node, status, attempt,
       strftime('%Y-%m-%d %H:%M:%f', planned / 1000.0, 'unixepoch') AS planned,
       exit_code, error, output
FROM job_run;
