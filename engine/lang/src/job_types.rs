//! The job types that this version runs, with their ARGS. HELP shows them; a kind checks the names of its own arguments.

use crate::names::JOB_TYPE;

/// A job type.
#[derive(Debug)]
pub struct JobType {
    /// One of [`JOB_TYPE`].
    pub name: &'static str,
    /// What a run does: a predicate whose subject is the job, without a full stop.
    pub summary: &'static str,
    /// What NAME must be.
    pub job_name: &'static str,
    /// Name and meaning of each entry of ARGS.
    pub arguments: &'static [(&'static str, &'static str)],
}

/// The types that this version runs, in the order of their names. Other types are recognised and rejected.
pub static JOB_TYPES: &[JobType] = &[
    JobType {
        name: "BATCH_SCHEDULE",
        summary: "submits a new batch at each run; unless the statement has ASYNC='true', the run ends when the batch ends",
        job_name: "any text",
        arguments: &[("command", "the BATCH statement; required")],
    },
    JobType {
        name: "BROADWAY_JOB",
        summary: "runs a flow of a logical unit; after an interruption it continues after the last completed stage",
        job_name: "`<LU>.<flow>`",
        arguments: &[("names of inputs", "the values of the inputs")],
    },
    JobType {
        name: "CDC_REPUBLISH",
        summary: "publishes rows of stored instances, one JSON object a line, to a file below FILE_ROOTS or to a host in HTTP_ALLOWED_HOSTS; the output has the counts as JSON",
        job_name: "the logical unit",
        arguments: &[
            (
                "sink",
                "the target; required: {\"file\":\"<path>\"}, or {\"url\":\"http://…\"} with \"batch\" (lines in a call, 500 by default) and with \"headers\" and \"timeout_ms\" as in jobs of type HTTP",
            ),
            (
                "instances",
                "a list of ids, or a text with ids separated by commas; all stored instances by default",
            ),
            (
                "tables",
                "the tables, in the same form; all tables of the unit by default",
            ),
            (
                "types",
                "names that each object has in `types`, as a filter for consumers",
            ),
            (
                "truncate",
                "true sends an object with the operation TRUNCATE before the rows of each table of an instance",
            ),
        ],
    },
    JobType {
        name: "CLEANUP",
        summary: "removes old data; the output has the counts as JSON",
        job_name: "any text",
        arguments: &[
            (
                "jobs_older_than_hours",
                "removes archived jobs and their history this many hours after their end",
            ),
            (
                "batches_older_than_days",
                "removes ended batches and their entities this many days after their end",
            ),
            (
                "history_older_than_hours",
                "removes the history of other jobs this many hours after the start of a run; at least one of the three is required",
            ),
        ],
    },
    JobType {
        name: "HTTP",
        summary: "calls a URL on a host in HTTP_ALLOWED_HOSTS",
        job_name: "any text",
        arguments: &[
            ("url", "the URL, http only; required"),
            ("method", "GET (the default), POST, PUT, …"),
            (
                "headers",
                "an object; a value `env:NAME` is read from the environment variable NAME of the node",
            ),
            ("body", "a text, or JSON, which is sent as it is"),
            (
                "expected_status",
                "a status such as 204, a class such as \"2xx\" (the default), or a list of them",
            ),
            ("timeout_ms", "timeout of the call"),
        ],
    },
    JobType {
        name: "INTERFACE_LISTENER",
        summary: "runs a flow once for each new file in a folder or listing, until it is stopped; with EXEC_INTERVAL or AFTER, each run is one pass",
        job_name: "`<LU>.<flow>`; UID is required and names the source",
        arguments: &[
            (
                "path",
                "the absolute path of a folder below FILE_ROOTS; `path` or `url` is required",
            ),
            (
                "url",
                "a URL on a host in HTTP_ALLOWED_HOSTS that answers with the names of files: a JSON array of names, a JSON array of objects with name, size and modified, or a text with one name a line",
            ),
            (
                "pattern",
                "the pattern of names, such as *.csv; all names by default",
            ),
            (
                "poll_seconds",
                "seconds between two polls, from 0.1 to 86400; 5 by default",
            ),
            (
                "once",
                "true ends after one pass, including the retries of what failed in it",
            ),
            (
                "changed",
                "`handle` processes a changed file again; `ignore`, the default, does not",
            ),
            (
                "inputs",
                "an object with more inputs of the flow, besides path, name, size, modified and idempotency_key",
            ),
            (
                "headers, timeout_ms",
                "headers and timeout of the calls of `url`, as in jobs of type HTTP",
            ),
        ],
    },
    JobType {
        name: "MIGRATE",
        summary: "syncs instances of a logical unit with a new batch at each run",
        job_name: "the logical unit",
        arguments: &[
            (
                "instances",
                "a list of ids, or a text with ids separated by commas; without this and the next two, all ids of the unit",
            ),
            ("instance_group", "the ids of this instance group"),
            (
                "from",
                "`fabric` for the ids of stored instances, or an interface, with the query in `using`",
            ),
            ("using", "the query that gives the ids"),
            (
                "<option>",
                "every option of MIGRATE by its name, e.g. `async` or `max_workers_per_node`",
            ),
        ],
    },
    JobType {
        name: "NODE_AFFINITY_COORDINATOR_JOB",
        summary: "assigns the nodes of a data centre to the groups of the affinity rules, until it is stopped; each data centre has one such job",
        job_name: "any text",
        arguments: &[(
            "dc",
            "the data centre; that of the running node by default, so AFFINITY='<dc>' is enough",
        )],
    },
    JobType {
        name: "PARSER",
        summary: "turns files or rows of an interface into rows of a table, each file once",
        job_name: "`<LU>.<parser>`",
        arguments: &[],
    },
    JobType {
        name: "PROCESS",
        summary: "runs an executable file of the deployed project",
        job_name: "the path of the file below scripts/; the prefix `scripts/` may be left out",
        arguments: &[("0, 1, …", "the arguments of the program by position")],
    },
    JobType {
        name: "USER_JOB",
        summary: "runs a JavaScript function of a logical unit; its return value is the output",
        job_name: "`<LU>.<function>`",
        arguments: &[(
            "names of parameters",
            "the values of the parameters; `env:NAME` is read from the environment variable NAME of the node",
        )],
    },
];

/// The type of this name or alias, in any case, if this version runs it.
pub fn job_type(name: &str) -> Option<&'static JobType> {
    let name = JOB_TYPE.canonical(name)?;
    JOB_TYPES.iter().find(|known| known.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_are_known_and_in_order() {
        for known in JOB_TYPES {
            assert!(JOB_TYPE.names.contains(&known.name), "{}", known.name);
        }
        assert!(JOB_TYPES.is_sorted_by_key(|known| known.name));
        assert!(job_type("userjob").is_some_and(|known| known.name == "USER_JOB"));
        assert!(job_type("HTTP").is_some_and(|known| !known.arguments.is_empty()));
    }
}
