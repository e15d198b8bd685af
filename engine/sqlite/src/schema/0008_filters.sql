-- Which chunks may hold an id: a small filter of the ids of each chunk. Chunks of older versions have none.
CREATE TABLE chunk_filter (
    chunk_no        INTEGER PRIMARY KEY,
    filter          BLOB NOT NULL
);
