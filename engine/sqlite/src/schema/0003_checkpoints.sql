-- What runs write down so that the next one can go on: one head per scope, and its items in the order of their bytes.
CREATE TABLE checkpoint_head (
    scope TEXT NOT NULL PRIMARY KEY,
    fence INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    token BLOB,
    holder TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE checkpoint (
    scope TEXT NOT NULL,
    item TEXT NOT NULL,
    value TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (scope, item)
) WITHOUT ROWID;

CREATE VIEW checkpoints AS
SELECT h.scope, i.item, h.fence AS s_fence, h.seq AS s_seq, lower(hex(h.token)) AS s_token, h.holder AS s_holder,
       i.value, strftime('%Y-%m-%d %H:%M:%f', i.updated_at / 1000.0, 'unixepoch') AS updated_at
FROM checkpoint_head h LEFT JOIN checkpoint i ON i.scope = h.scope;
