//! The options of the commands.

use super::{OptionSpec, Takes};
use crate::names;

const fn option(name: &'static str, takes: Takes, summary: &'static str) -> OptionSpec {
    OptionSpec {
        name,
        aliases: &[],
        takes,
        anywhere: false,
        bare: false,
        summary,
    }
}

const MANY: i64 = u32::MAX as i64;

static BATCH_AFFINITY: OptionSpec = option(
    "AFFINITY",
    Takes::Nodes,
    "nodes and data centres that run the entities; all of them if not given",
);
static JOB_AFFINITY: OptionSpec = option(
    "JOB_AFFINITY",
    Takes::Nodes,
    "nodes and data centres that may own the batch; any node if not given",
);
static ASYNC: OptionSpec = option(
    "ASYNC",
    Takes::Boolean,
    "true answers with the batch id at once, false (the default) waits for the end",
);
static GENERATE_ENTITIES_FIRST: OptionSpec = OptionSpec {
    aliases: &["GENERATE_IIDS_FIRST"],
    ..option(
        "GENERATE_ENTITIES_FIRST",
        Takes::Boolean,
        "true completes the list of ids before the first entity runs; the default is false",
    )
};
static ALLOW_MULTIPLE: OptionSpec = OptionSpec {
    aliases: &["ALLOW_MULTIPLY"],
    ..option(
        "ALLOW_MULTIPLE",
        Takes::Boolean,
        "true lets the same batch run twice at once; the default is false",
    )
};
static MAX_NODES: OptionSpec = option(
    "MAX_NODES",
    Takes::Integer(1, MANY),
    "how many of the matching nodes run entities; all of them if not given",
);
static MAX_WORKERS_PER_NODE: OptionSpec = option(
    "MAX_WORKERS_PER_NODE",
    Takes::Integer(1, MANY),
    "how many entities run on a node at once; never more than the node is configured for",
);
static ESTIMATED_ENTITIES_COUNT: OptionSpec = option(
    "ESTIMATED_ENTITIES_COUNT",
    Takes::Integer(0, i64::MAX),
    "the total to show until the real one is known",
);
static MAX_ATTEMPTS: OptionSpec = option(
    "MAX_ATTEMPTS",
    Takes::Integer(1, 1_000),
    "how often an entity is tried before it counts as failed; the default is 1",
);
static ENTITY_TIMEOUT_MS: OptionSpec = option(
    "ENTITY_TIMEOUT_MS",
    Takes::Integer(1, i64::MAX),
    "an entity that takes longer is stopped and counts as failed; no limit if not given",
);
static RETRY_DELAY_MS: OptionSpec = option(
    "RETRY_DELAY_MS",
    Takes::Integer(0, i64::MAX),
    "how long to wait at most before an entity is tried again; doubles with every attempt",
);
static BIND_PARAMS: OptionSpec = OptionSpec {
    anywhere: true,
    ..option(
        "BIND_PARAMS",
        Takes::Text,
        "values for the `?` in the query behind USING, separated by BIND_PARAMS_SEPARATOR",
    )
};
static BIND_PARAMS_SEPARATOR: OptionSpec = OptionSpec {
    anywhere: true,
    ..option(
        "BIND_PARAMS_SEPARATOR",
        Takes::Text,
        "what separates the values of BIND_PARAMS; the default is a comma",
    )
};
static BIND_PARAMS_JSON: OptionSpec = OptionSpec {
    anywhere: true,
    ..option(
        "BIND_PARAMS_JSON",
        Takes::Text,
        "the same values as a JSON array",
    )
};

pub(super) static BATCH: &[&OptionSpec] = &[
    &BATCH_AFFINITY,
    &JOB_AFFINITY,
    &ASYNC,
    &GENERATE_ENTITIES_FIRST,
    &ALLOW_MULTIPLE,
    &MAX_NODES,
    &MAX_WORKERS_PER_NODE,
    &ESTIMATED_ENTITIES_COUNT,
    &MAX_ATTEMPTS,
    &ENTITY_TIMEOUT_MS,
    &RETRY_DELAY_MS,
    &BIND_PARAMS,
    &BIND_PARAMS_SEPARATOR,
    &BIND_PARAMS_JSON,
];

static LIST_STATUS: OptionSpec = option(
    "STATUS",
    Takes::Name(&names::BATCH_STATUS),
    "only batches in this state; ALL is every state, without it only active batches are shown",
);
static MIGRATE_LIST_STATUS: OptionSpec = option(
    "STATUS",
    Takes::Name(&names::MIGRATE_STATUS),
    "only batches in this state; ALL is every state, without it only active batches are shown",
);
static FROM_DATE: OptionSpec = option(
    "FROM_DATE",
    Takes::Text,
    "only batches that started at this moment or later",
);
static TO_DATE: OptionSpec = option(
    "TO_DATE",
    Takes::Text,
    "only batches that started at this moment or earlier",
);
static LIST_FILTER: OptionSpec = option(
    "FILTER",
    Takes::Text,
    "a regular expression over the command, its entity command and the execution id",
);

pub(super) static BATCH_LIST: &[&OptionSpec] = &[&LIST_STATUS, &FROM_DATE, &TO_DATE, &LIST_FILTER];
pub(super) static MIGRATE_LIST: &[&OptionSpec] =
    &[&MIGRATE_LIST_STATUS, &FROM_DATE, &TO_DATE, &LIST_FILTER];

static PROCESS_FILTER: OptionSpec = option(
    "FILTER",
    Takes::Text,
    "a regular expression over the command",
);

pub(super) static IN_PROCESS: &[&OptionSpec] = &[&PROCESS_FILTER];

static ENTITY_STATUS: OptionSpec = option(
    "STATUS",
    Takes::Name(&names::ENTITY_STATUS),
    "only entities in this state",
);
static MIGRATED_STATUS: OptionSpec = option(
    "STATUS",
    Takes::Name(&names::MIGRATED_STATUS),
    "only entities in this state",
);
static ENTITIES: OptionSpec = option(
    "ENTITIES",
    Takes::Text,
    "only these entity ids, separated by commas",
);
static DETAILS_AFFINITY: OptionSpec = option(
    "AFFINITY",
    Takes::Nodes,
    "only entities that ran on these nodes or in these data centres",
);
static LIMIT: OptionSpec = OptionSpec {
    bare: true,
    ..option(
        "LIMIT",
        Takes::Integer(-1, i64::MAX),
        "how many rows at most; -1 is all of them",
    )
};
static SORT_BY_PROCESS_TIME: OptionSpec = option(
    "SORT_BY_PROCESS_TIME",
    Takes::Boolean,
    "true shows the slowest entities and ignores the other options",
);

pub(super) static BATCH_DETAILS: &[&OptionSpec] = &[
    &ENTITY_STATUS,
    &ENTITIES,
    &DETAILS_AFFINITY,
    &LIMIT,
    &SORT_BY_PROCESS_TIME,
];
pub(super) static MIGRATE_DETAILS: &[&OptionSpec] = &[
    &MIGRATED_STATUS,
    &ENTITIES,
    &DETAILS_AFFINITY,
    &LIMIT,
    &SORT_BY_PROCESS_TIME,
];

static ALLOW_CANCELLED: OptionSpec = option(
    "ALLOW_CANCELLED",
    Takes::Boolean,
    "true takes up a cancelled batch as well; the default is false",
);

pub(super) static BATCH_RETRY: &[&OptionSpec] = &[&ALLOW_CANCELLED];
pub(super) static BATCH_EDIT: &[&OptionSpec] = &[&MAX_WORKERS_PER_NODE];

static NAME: OptionSpec = option("NAME", Takes::Text, "the job's name; always needed");
static UID: OptionSpec = option(
    "UID",
    Takes::Text,
    "which of the jobs of this type and name",
);
static JOB_NODES: OptionSpec = option(
    "AFFINITY",
    Takes::Nodes,
    "nodes and data centres that may run the job",
);
static ARGS: OptionSpec = option(
    "ARGS",
    Takes::Text,
    "arguments as a JSON object, quoted or bare",
);
static EXEC_INTERVAL: OptionSpec = option(
    "EXEC_INTERVAL",
    Takes::Schedule,
    "a moment, an interval `[D.]HH:MM:SS` or in seconds, or a cron expression, OFF behind it while it is switched off; more than one separated by `;`; once and now if not given or `00:00:00`",
);
static RESET_END_TIME: OptionSpec = option(
    "RESET_END_TIME",
    Takes::Boolean,
    "true runs a recurring job at once, false keeps its next time",
);
static TABLES: OptionSpec = option(
    "TABLES",
    Takes::Text,
    "only these tables, separated by commas",
);
static TYPES: OptionSpec = option(
    "TYPES",
    Takes::Text,
    "only these types, separated by commas",
);
static TRUNCATE: OptionSpec = option("TRUNCATE", Takes::Boolean, "true empties the target first");

static START_AT: OptionSpec = option(
    "START_AT",
    Takes::Text,
    "no run before this moment `yyyy-MM-dd HH:mm:ss`; from now on if not given",
);
static END_AT: OptionSpec = option(
    "END_AT",
    Takes::Text,
    "no run after this moment `yyyy-MM-dd HH:mm:ss`; no end if not given",
);
static TIME_ZONE: OptionSpec = option(
    "TIME_ZONE",
    Takes::Text,
    "the time zone that EXEC_INTERVAL, START_AT and END_AT are read in, as in `Europe/Berlin`; the default is UTC",
);
static MISFIRE: OptionSpec = option(
    "MISFIRE",
    Takes::Misfire,
    "ONCE (the default) makes up for all missed runs with one, SKIP leaves them out, ALL makes up for each, `ALL:20` for at most 20",
);
static OVERLAP: OptionSpec = option(
    "OVERLAP",
    Takes::Name(&names::OVERLAP),
    "SKIP (the default) leaves out a run that is due while the one before still runs, QUEUE makes it wait, ALLOW runs it beside the other as a job with the time behind its UID",
);
static MAX_RUNS: OptionSpec = option(
    "MAX_RUNS",
    Takes::Integer(1, MANY),
    "after how many runs the job is over; no limit if not given",
);
static JITTER_MS: OptionSpec = option(
    "JITTER_MS",
    Takes::Integer(0, i64::MAX),
    "how many milliseconds later than planned a run may start, by chance; the default is 0",
);
static JOB_MAX_ATTEMPTS: OptionSpec = option(
    "MAX_ATTEMPTS",
    Takes::IntegerOrUnlimited(1, 1_000),
    "how often a run is tried before it counts as failed; -1 is always again, the default is 10",
);
static JOB_RETRY_DELAY_MS: OptionSpec = option(
    "RETRY_DELAY_MS",
    Takes::Integer(0, i64::MAX),
    "how many milliseconds to wait before a failed run is tried again; the default is 60000",
);
static RETRY_FACTOR: OptionSpec = option(
    "RETRY_FACTOR",
    Takes::Decimal(1),
    "what the wait is multiplied by after every failed try, as in 2 or 1.5; the default is 1",
);
static RETRY_MAX_DELAY_MS: OptionSpec = option(
    "RETRY_MAX_DELAY_MS",
    Takes::Integer(0, i64::MAX),
    "how many milliseconds to wait at most, however often RETRY_FACTOR was applied; an hour if not given",
);
static JOB_TIMEOUT_MS: OptionSpec = option(
    "TIMEOUT_MS",
    Takes::Integer(1, i64::MAX),
    "a run that takes more milliseconds is stopped and counts as a failed try; no limit if not given",
);
static RELOCATE: OptionSpec = option(
    "RELOCATE",
    Takes::Boolean,
    "true lets other nodes run the job while no node of its AFFINITY lives; the default is false",
);
static PAUSED: OptionSpec = option(
    "PAUSED",
    Takes::Boolean,
    "true keeps the job from running until UPDATEJOB says PAUSED=false; the default is false",
);
static AFTER: OptionSpec = option(
    "AFTER",
    Takes::Text,
    "runs when another job ends: `<type> <name> [<uid>] SUCCEEDED|FAILED|ENDED`, several with AND between them, `+HH:MM:SS` later, OFF while it is switched off, which a run that waits for its delay already outlives; more than one separated by `;`",
);

pub(super) static START_JOB: &[&OptionSpec] = &[
    &NAME,
    &UID,
    &JOB_NODES,
    &ARGS,
    &EXEC_INTERVAL,
    &START_AT,
    &END_AT,
    &TIME_ZONE,
    &MISFIRE,
    &OVERLAP,
    &MAX_RUNS,
    &JITTER_MS,
    &JOB_MAX_ATTEMPTS,
    &JOB_RETRY_DELAY_MS,
    &RETRY_FACTOR,
    &RETRY_MAX_DELAY_MS,
    &JOB_TIMEOUT_MS,
    &RELOCATE,
    &PAUSED,
    &AFTER,
    &TABLES,
];
pub(super) static JOB: &[&OptionSpec] = &[&NAME, &UID];
pub(super) static UPDATE_JOB: &[&OptionSpec] = &[
    &NAME,
    &UID,
    &JOB_NODES,
    &ARGS,
    &EXEC_INTERVAL,
    &RESET_END_TIME,
    &START_AT,
    &END_AT,
    &TIME_ZONE,
    &MISFIRE,
    &OVERLAP,
    &MAX_RUNS,
    &JITTER_MS,
    &JOB_MAX_ATTEMPTS,
    &JOB_RETRY_DELAY_MS,
    &RETRY_FACTOR,
    &RETRY_MAX_DELAY_MS,
    &JOB_TIMEOUT_MS,
    &RELOCATE,
    &PAUSED,
    &AFTER,
];
pub(super) static JOB_STATUS: &[&OptionSpec] = &[&UID];

static HISTORY_LIMIT: OptionSpec = OptionSpec {
    bare: true,
    ..option("LIMIT", Takes::Integer(1, MANY), "how many runs at most")
};

pub(super) static JOB_HISTORY: &[&OptionSpec] = &[&UID, &HISTORY_LIMIT];
pub(super) static CDC_REPUBLISH: &[&OptionSpec] = &[&TABLES, &TYPES, &TRUNCATE];

static SOFT_DEPLOY: OptionSpec = OptionSpec {
    bare: true,
    ..option(
        "SOFT_DEPLOY",
        Takes::Boolean,
        "true starts no user jobs, parsers or interface listeners; the default is false",
    )
};

pub(super) static DEPLOY: &[&OptionSpec] = &[&SOFT_DEPLOY];

static STOP_ON_ERROR: OptionSpec = option(
    "STOP_ON_ERROR",
    Takes::Boolean,
    "false goes on with the other instances after an error",
);
static PARALLEL: OptionSpec = option(
    "PARALLEL",
    Takes::Boolean,
    "true fetches the instances side by side",
);

pub(super) static GET: &[&OptionSpec] = &[&STOP_ON_ERROR, &PARALLEL];

static DELAY_MS: OptionSpec = option(
    "DELAY_MS",
    Takes::Integer(0, i64::MAX),
    "how long the answer takes",
);

pub(super) static ECHO: &[&OptionSpec] = &[&DELAY_MS];
pub(super) static NONE: &[&OptionSpec] = &[];
