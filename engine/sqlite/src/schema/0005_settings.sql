-- What holds for the whole cluster, by name.
CREATE TABLE cluster_setting (
    name            TEXT NOT NULL PRIMARY KEY,
    seq             INTEGER NOT NULL,
    value           TEXT NOT NULL,
    changed_at      INTEGER NOT NULL,
    changed_by      TEXT NOT NULL,
    op_token        BLOB
) WITHOUT ROWID;

CREATE VIEW cluster_settings AS
SELECT name, seq, value,
       strftime('%Y-%m-%d %H:%M:%f', changed_at / 1000.0, 'unixepoch') AS changed_at,
       changed_by, lower(hex(op_token)) AS op_token
FROM cluster_setting;
