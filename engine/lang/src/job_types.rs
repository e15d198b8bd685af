//! What each type of job is for and which ARGS it takes: HELP's page and the kinds themselves read it here.

use crate::names::JOB_TYPE;

/// A type of job.
#[derive(Debug)]
pub struct JobType {
    /// As in [`crate::names::JOB_TYPE`].
    pub name: &'static str,
    /// What its runs do.
    pub summary: &'static str,
    /// What NAME is.
    pub job_name: &'static str,
    /// Name and meaning of each entry of ARGS.
    pub arguments: &'static [(&'static str, &'static str)],
}

/// The types that this version runs; the others are known by name and refused.
pub static JOB_TYPES: &[JobType] = &[
    JobType {
        name: "BATCH_SCHEDULE",
        summary: "submits a batch, a fresh one at each run; without ASYNC='true' in the statement a run ends with its batch",
        job_name: "free",
        arguments: &[("command", "the BATCH statement; needed")],
    },
    JobType {
        name: "BROADWAY_JOB",
        summary: "runs a flow of a logical unit, and goes on after the last stage that was done where it broke off",
        job_name: "`<LU>.<flow>`",
        arguments: &[("names of inputs", "their values")],
    },
    JobType {
        name: "CDC_REPUBLISH",
        summary: "publishes rows of stored instances, one JSON object a line, to a file below FILE_ROOTS or a host in HTTP_ALLOWED_HOSTS; the output counts them as JSON",
        job_name: "the logical unit",
        arguments: &[
            (
                "sink",
                "where to; needed: {\"file\":\"<path>\"}, or {\"url\":\"http://…\"} with \"batch\" (lines in a call, 500), \"headers\" and \"timeout_ms\" as HTTP has them",
            ),
            (
                "instances",
                "a list of ids, or a text with ids separated by commas; without it all stored ones",
            ),
            (
                "tables",
                "the tables, in the same way; without it all of the unit",
            ),
            (
                "types",
                "names that each object carries as `types`, for consumers to choose by",
            ),
            (
                "truncate",
                "true: an object with the operation TRUNCATE comes before the rows of each table of an instance",
            ),
        ],
    },
    JobType {
        name: "CLEANUP",
        summary: "removes what is old; the output counts it as JSON",
        job_name: "free",
        arguments: &[
            (
                "jobs_older_than_hours",
                "archived jobs, with their history, so many hours after their end",
            ),
            (
                "batches_older_than_days",
                "ended batches, with their entities, so many days after their end",
            ),
            (
                "history_older_than_hours",
                "runs of jobs that stay, so many hours after their start; at least one of the three is needed",
            ),
        ],
    },
    JobType {
        name: "HTTP",
        summary: "calls an address over HTTP; only hosts in HTTP_ALLOWED_HOSTS",
        job_name: "free",
        arguments: &[
            ("url", "the address, http only; needed"),
            ("method", "GET (the default), POST, PUT, …"),
            (
                "headers",
                "an object; a value `env:NAME` is read from the variable NAME of the node",
            ),
            ("body", "a text, or JSON that is sent as such"),
            (
                "expected_status",
                "a status such as 204, a class such as \"2xx\" (the default), or a list of them",
            ),
            ("timeout_ms", "how long the call may take"),
        ],
    },
    JobType {
        name: "INTERFACE_LISTENER",
        summary: "runs a flow once for each new file of a folder or of a listing, until it is stopped; with EXEC_INTERVAL or AFTER each run is one pass",
        job_name: "`<LU>.<flow>`; UID, which is needed, names what it listens to",
        arguments: &[
            (
                "path",
                "a folder, an absolute path below a folder of FILE_ROOTS; `path` or `url` is needed",
            ),
            (
                "url",
                "an address that answers with the names of files: a JSON array of names or of objects with name, size and modified, or a text with a name on each line; only hosts in HTTP_ALLOWED_HOSTS",
            ),
            (
                "pattern",
                "of the names, such as *.csv; all where it is left out",
            ),
            (
                "poll_seconds",
                "between two looks, from 0.1 to 86400; the default is 5",
            ),
            (
                "once",
                "true ends after one pass and the further tries at what failed in it",
            ),
            (
                "changed",
                "`handle` handles a file again that has changed since; `ignore`, the default, does not",
            ),
            (
                "inputs",
                "an object with further inputs of the flow, besides path, name, size, modified and idempotency_key",
            ),
            (
                "headers, timeout_ms",
                "of the calls of `url`, as for type HTTP",
            ),
        ],
    },
    JobType {
        name: "MIGRATE",
        summary: "syncs instances of a logical unit by a batch, a fresh one at each run",
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
        summary: "puts the nodes of a data centre into the groups of the affinity rules, until it is stopped; one for each data centre",
        job_name: "free",
        arguments: &[(
            "dc",
            "the data centre; that of the node which runs it where it is left out, so AFFINITY='<dc>' is enough",
        )],
    },
    JobType {
        name: "PARSER",
        summary: "turns files, or rows of an interface, into rows of a table, each file once",
        job_name: "`<LU>.<parser>`",
        arguments: &[],
    },
    JobType {
        name: "PROCESS",
        summary: "runs an executable file of the deployed project",
        job_name: "its path below scripts/; `scripts/` in front of it may be left out",
        arguments: &[("0, 1, …", "the arguments of the program by position")],
    },
    JobType {
        name: "USER_JOB",
        summary: "runs a function of a logical unit, in JavaScript; what it returns is the output",
        job_name: "`<LU>.<function>`",
        arguments: &[(
            "names of parameters",
            "their values; `env:NAME` is read from the variable NAME of the node",
        )],
    },
];

/// The type of this name, in any spelling, if this version runs it.
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
