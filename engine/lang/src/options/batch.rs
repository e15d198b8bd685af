//! The options of BATCH and MIGRATE.

use super::table::option_table;
use super::{OptionSpec, ValueType};

/// The largest number of nodes or workers.
const MAX_COUNT: i64 = u32::MAX as i64;

option_table! {
    /// The options of BATCH and MIGRATE.
    BatchOptions {
        /// Nodes and data centres that process the entities.
        affinity: String = OptionSpec::new("AFFINITY", ValueType::Nodes).default("all nodes");

        /// Nodes and data centres that may own the batch.
        job_affinity: String = OptionSpec::new("JOB_AFFINITY", ValueType::Nodes).default("any node");

        /// `true` answers with the batch id immediately, `false` waits until the batch has ended.
        run_async: bool = OptionSpec::new("ASYNC", ValueType::Boolean).default("false");

        /// `true` completes the list of ids before the first entity is processed.
        generate_entities_first: bool = OptionSpec::new("GENERATE_ENTITIES_FIRST", ValueType::Boolean)
            .aliases(&["GENERATE_IIDS_FIRST"])
            .default("false");

        /// `true` allows the same batch to run more than once at the same time.
        allow_multiple: bool = OptionSpec::new("ALLOW_MULTIPLE", ValueType::Boolean)
            .aliases(&["ALLOW_MULTIPLY"])
            .default("false");

        /// Maximum number of nodes that process entities, out of those that match AFFINITY.
        max_nodes: u64 = OptionSpec::new("MAX_NODES", ValueType::Integer(1, MAX_COUNT)).default("no limit");

        /// Maximum number of entities that a node processes at the same time. The node's configuration is the upper
        /// limit.
        max_workers_per_node: u64 = OptionSpec::new("MAX_WORKERS_PER_NODE", ValueType::Integer(1, MAX_COUNT))
            .default("as configured");

        /// Total to show until the real one is known.
        estimated_entities_count: u64 =
            OptionSpec::new("ESTIMATED_ENTITIES_COUNT", ValueType::Integer(0, i64::MAX));

        /// How often to try an entity before it counts as failed.
        max_attempts: u64 = OptionSpec::new("MAX_ATTEMPTS", ValueType::Integer(1, 1_000)).default("1");

        /// Milliseconds after which an entity is stopped and counts as failed.
        entity_timeout_ms: u64 = OptionSpec::new("ENTITY_TIMEOUT_MS", ValueType::Integer(1, i64::MAX))
            .default("no limit");

        /// Maximum number of milliseconds before an entity is tried again. The limit doubles with every attempt.
        retry_delay_ms: u64 = OptionSpec::new("RETRY_DELAY_MS", ValueType::Integer(0, i64::MAX)).default("1000");

        /// Values for the `?` in the query after USING, separated by BIND_PARAMS_SEPARATOR.
        bind_params: String = OptionSpec::new("BIND_PARAMS", ValueType::Text).allowed_before_with();

        /// What separates the values of BIND_PARAMS.
        bind_params_separator: String = OptionSpec::new("BIND_PARAMS_SEPARATOR", ValueType::Text)
            .default("a comma")
            .allowed_before_with();

        /// Values for the `?` in the query after USING, as a JSON array.
        bind_params_json: String = OptionSpec::new("BIND_PARAMS_JSON", ValueType::Text).allowed_before_with();
    }
}
