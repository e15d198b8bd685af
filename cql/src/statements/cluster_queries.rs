//! Queries on system tables of the server, which exist before Weft's own.

/// The tables of a keyspace.
pub(crate) const TABLES: &str =
    "SELECT table_name FROM system_schema.tables WHERE keyspace_name = :keyspace_name";
/// The columns of a table.
pub(crate) const COLUMNS: &str = "SELECT column_name, type, kind FROM system_schema.columns \
    WHERE keyspace_name = :keyspace_name AND table_name = :table_name";
/// The replication of a keyspace.
pub(crate) const REPLICATION: &str =
    "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = :keyspace_name";
/// The tablets of a keyspace, null without tablets; only ScyllaDB has this table.
pub(crate) const TABLETS: &str = "SELECT initial_tablets FROM system_schema.scylla_keyspaces \
    WHERE keyspace_name = :keyspace_name";
/// The version of ScyllaDB, which has a Cassandra version in `system.local`; only ScyllaDB has this table.
pub(crate) const SCYLLA_VERSION: &str = "SELECT version FROM system.versions WHERE key = 'local'";
/// When the commit log of a node is written to disk; ScyllaDB has no such setting.
pub(crate) const COMMITLOG_SYNC: &str =
    "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'";
/// The server's version.
pub(crate) const RELEASE: &str = "SELECT release_version FROM system.local";
/// The server's clock.
pub(crate) const TIME: &str = "SELECT toUnixTimestamp(now()) AS millis FROM system.local";
/// The Paxos variant of a node; Scylla has no such setting.
pub(crate) const PAXOS_VARIANT: &str =
    "SELECT value FROM system_views.settings WHERE name = 'paxos_variant'";
