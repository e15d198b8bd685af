-- Jobs that run when others end: the state of their triggers, and which job waits for which.
ALTER TABLE job ADD COLUMN triggers TEXT;

CREATE TABLE job_follower (
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    follower_type TEXT NOT NULL,
    follower_name TEXT NOT NULL,
    follower_uid TEXT NOT NULL,
    PRIMARY KEY (type, name, follower_type, follower_name, follower_uid)
) WITHOUT ROWID;

CREATE VIEW job_followers AS
SELECT type, name, follower_type, follower_name, follower_uid FROM job_follower;

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
       runs, policy, triggers, created_by,
       fence, lower(hex(owner_inc)) AS owner_inc, lower(hex(op_token)) AS op_token,
       desired, desired_seq, lower(hex(desired_token)) AS desired_token, notes
FROM job;
