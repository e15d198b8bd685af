//! The options of STARTJOB, STOPJOB, RESTARTJOB, RESUMEJOB and UPDATEJOB.

use super::table::option_table;
use super::{OptionSpec, ValueType};
use crate::names;

/// The largest number of runs.
const MAX_COUNT: i64 = u32::MAX as i64;

/// The commands that define a job. The others only name one.
const DEFINE: &[&str] = &["STARTJOB", "UPDATEJOB"];

option_table! {
    /// The options of the job commands.
    JobOptions {
        /// The job's name. Required.
        name: String = OptionSpec::new("NAME", ValueType::Text);

        /// Tells jobs of the same type and name apart.
        uid: String = OptionSpec::new("UID", ValueType::Text);

        /// Nodes, data centres and logical ids that may run the job.
        affinity: String = OptionSpec::new("AFFINITY", ValueType::Nodes)
            .only_for(DEFINE)
            .default("any node");

        /// Arguments as a JSON object, quoted or bare.
        args: String = OptionSpec::new("ARGS", ValueType::Text).only_for(DEFINE).default("{}");

        /// A moment, an interval `[D.]HH:MM:SS` or in seconds, or a cron expression. OFF after a schedule switches it
        /// off. Several schedules are separated by `;`. An empty text or `00:00:00` runs the job once, immediately.
        exec_interval: String = OptionSpec::new("EXEC_INTERVAL", ValueType::Schedule)
            .only_for(DEFINE)
            .default("once, immediately");

        /// `true` runs a recurring job immediately, `false` keeps its next time.
        reset_end_time: bool = OptionSpec::new("RESET_END_TIME", ValueType::Boolean).only_for(&["UPDATEJOB"]);

        /// No run before this moment `yyyy-MM-dd HH:mm:ss`.
        start_at: String = OptionSpec::new("START_AT", ValueType::Moment).only_for(DEFINE).default("now");

        /// No run after this moment `yyyy-MM-dd HH:mm:ss`.
        end_at: String = OptionSpec::new("END_AT", ValueType::Moment).only_for(DEFINE).default("no end");

        /// Time zone of EXEC_INTERVAL, START_AT and END_AT, as in `Europe/Berlin`.
        time_zone: String = OptionSpec::new("TIME_ZONE", ValueType::Text).only_for(DEFINE).default("UTC");

        /// What happens to missed runs: ONCE makes up for all of them with one run, SKIP drops them, ALL makes up for
        /// each, and `ALL:20` for at most 20.
        misfire: String = OptionSpec::new("MISFIRE", ValueType::Misfire).only_for(DEFINE).default("ONCE");

        /// What happens to a run that is due while the previous one is still running: SKIP drops it, QUEUE makes it
        /// wait, and ALLOW runs it in parallel as a job of its own, with the time appended to its UID.
        overlap: String = OptionSpec::new("OVERLAP", ValueType::Name(&names::OVERLAP))
            .only_for(DEFINE)
            .default("SKIP");

        /// Number of runs after which the job ends.
        max_runs: u64 = OptionSpec::new("MAX_RUNS", ValueType::Integer(1, MAX_COUNT))
            .only_for(DEFINE)
            .default("no limit");

        /// Maximum random delay of a run, in milliseconds.
        jitter_ms: u64 = OptionSpec::new("JITTER_MS", ValueType::Integer(0, i64::MAX)).only_for(DEFINE).default("0");

        /// How often to try a run before it counts as failed. -1 means without limit.
        max_attempts: i64 = OptionSpec::new("MAX_ATTEMPTS", ValueType::IntegerOrUnlimited(1, 1_000))
            .only_for(DEFINE)
            .default("10");

        /// Milliseconds to wait before a failed run is tried again.
        retry_delay_ms: u64 = OptionSpec::new("RETRY_DELAY_MS", ValueType::Integer(0, i64::MAX))
            .only_for(DEFINE)
            .default("60000");

        /// Factor by which the wait grows after every failed try, as in 2 or 1.5.
        retry_factor: String = OptionSpec::new("RETRY_FACTOR", ValueType::Decimal(1)).only_for(DEFINE).default("1");

        /// Maximum wait between two tries, in milliseconds.
        retry_max_delay_ms: u64 = OptionSpec::new("RETRY_MAX_DELAY_MS", ValueType::Integer(0, i64::MAX))
            .only_for(DEFINE)
            .default("3600000");

        /// Milliseconds after which a run is stopped and counts as a failed try.
        timeout_ms: u64 = OptionSpec::new("TIMEOUT_MS", ValueType::Integer(1, i64::MAX))
            .only_for(DEFINE)
            .default("no limit");

        /// `true` lets other nodes run the job while no node of its AFFINITY is alive.
        relocate: bool = OptionSpec::new("RELOCATE", ValueType::Boolean).only_for(DEFINE).default("false");

        /// `true` keeps the job from running until UPDATEJOB sets PAUSED=false.
        paused: bool = OptionSpec::new("PAUSED", ValueType::Boolean).only_for(DEFINE).default("false");

        /// Runs the job when other jobs end: `<type> <name> [<uid>] SUCCEEDED|FAILED|ENDED`. AND joins several
        /// conditions, `+HH:MM:SS` adds a delay, and OFF switches the trigger off, except for a run that already waits
        /// for its delay. Several triggers are separated by `;`.
        after: String = OptionSpec::new("AFTER", ValueType::Text).only_for(DEFINE);

        /// Only these tables, separated by commas. Only for jobs of type CDC_REPUBLISH.
        tables: String = OptionSpec::new("TABLES", ValueType::Text).only_for(&["STARTJOB"]).default("all tables");
    }
}
