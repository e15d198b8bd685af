//! Closed lists of names that the language checks: states, job rules and job types.

/// The names that a value can have, with aliases.
#[derive(Debug)]
pub struct NameList {
    /// What a name is, for messages: "batch status".
    pub what: &'static str,
    /// The names in their canonical spelling.
    pub names: &'static [&'static str],
    /// Pairs of an alias and its name.
    pub aliases: &'static [(&'static str, &'static str)],
}

impl NameList {
    /// The name that `text` is, or of which it is an alias, in any case.
    pub fn canonical(&self, text: &str) -> Option<&'static str> {
        let named = self
            .names
            .iter()
            .find(|name| name.eq_ignore_ascii_case(text));
        let aliased = || {
            let found = self
                .aliases
                .iter()
                .find(|(alias, _)| alias.eq_ignore_ascii_case(text));
            found.map(|(_, name)| name)
        };
        named.or_else(aliased).copied()
    }
}

/// The states of a batch.
pub const BATCH_STATUSES: &[&str] = &[
    "WAITING_FOR_JOB",
    "NEW",
    "GENERATE_IID",
    "IN_PROGRESS",
    "PAUSED",
    "RESUME_FAILURES",
    "DONE",
    "FAILED",
    "CANCELLED",
];

/// The states of a job.
pub const JOB_STATUSES: &[&str] = &[
    "SCHEDULED",
    "WAITING",
    "IN_PROCESS",
    "RESTART",
    "STOPPING",
    "TERMINATED",
    "PROCESSED",
    "FAILED",
];

/// The states of one entity of a batch.
pub const ENTITY_STATUSES: &[&str] = &["WAITING", "COMPLETED", "FAILED"];

/// The values of STATUS in BATCH_LIST.
pub static BATCH_STATUS: NameList = NameList {
    what: "batch status",
    names: &[
        "WAITING_FOR_JOB",
        "NEW",
        "GENERATE_IID",
        "IN_PROGRESS",
        "PAUSED",
        "RESUME_FAILURES",
        "DONE",
        "FAILED",
        "CANCELLED",
        "ALL",
    ],
    aliases: &[("GENERATE_IID_LIST", "GENERATE_IID")],
};

/// The values of STATUS in MIGRATE_LIST. SYNC_REFERENCES is a state of old Fabric versions.
pub static MIGRATE_STATUS: NameList = NameList {
    what: "migrate status",
    names: &[
        "WAITING_FOR_JOB",
        "NEW",
        "SYNC_REFERENCES",
        "GENERATE_IID",
        "IN_PROGRESS",
        "PAUSED",
        "RESUME_FAILURES",
        "DONE",
        "FAILED",
        "CANCELLED",
        "ALL",
    ],
    aliases: &[("GENERATE_IID_LIST", "GENERATE_IID")],
};

/// The values of STATUS in BATCH_DETAILS.
pub static ENTITY_STATUS: NameList = NameList {
    what: "entity status",
    names: ENTITY_STATUSES,
    aliases: &[],
};

/// The values of STATUS in MIGRATE_DETAILS: outcomes as well as states.
pub static MIGRATED_STATUS: NameList = NameList {
    what: "entity status",
    names: &[
        "WAITING",
        "COMPLETED",
        "FAILED",
        "ADDED",
        "UPDATED",
        "UNCHANGED",
        "DONE",
    ],
    aliases: &[],
};

/// The values of MISFIRE. A number of runs may follow ALL, as in `ALL:20`.
pub static MISFIRE: NameList = NameList {
    what: "misfire rule",
    names: &["ONCE", "SKIP", "ALL"],
    aliases: &[],
};

/// The values of OVERLAP.
pub static OVERLAP: NameList = NameList {
    what: "overlap rule",
    names: &["SKIP", "QUEUE", "ALLOW"],
    aliases: &[],
};

/// The known job types. The parser accepts any other word as a type too; the engine refuses it.
pub static JOB_TYPE: NameList = NameList {
    what: "job type",
    names: &[
        "USER_JOB",
        "PROCESS",
        "BROADWAY_JOB",
        "PARSER",
        "INTERFACE_LISTENER",
        "BATCH PROCESS",
        "BATCH_SCHEDULE",
        "CDC_TRANSACTION_CONSUMER",
        "CDC_TRANSACTION_PUBLISHER",
        "CDC_REPUBLISH",
        "DEBUG_CDC_JOB",
        "COMMONAREA_TABLE_SYNC",
        "COMMONAREA_TABLE_REPLICATE",
        "GENERATE_BI",
        "NODE_AFFINITY_COORDINATOR_JOB",
        "MIGRATE",
        "HTTP",
        "CLEANUP",
        "DISCOVERY_CRAWLER",
        "DATA_DISCOVERY_JOB",
    ],
    aliases: &[
        ("USERJOB", "USER_JOB"),
        ("BROADWAY", "BROADWAY_JOB"),
        ("CDC_REPUBLISH_INSTANCE_JOB", "CDC_REPUBLISH"),
        ("INTERFACE", "INTERFACE_LISTENER"),
        ("BATCH_PROCESS", "BATCH PROCESS"),
        ("BATCH_JOB", "BATCH PROCESS"),
        ("HTTP_TASK", "HTTP"),
        ("CLEANUP_TASK", "CLEANUP"),
    ],
};

/// What can follow TRACE: its subcommands, the scopes, and the operations of the engine.
pub const TRACE_WORDS: &[&str] = &[
    "OPS",
    "STATUS",
    "OFF",
    "REMOVE",
    "session_scope",
    "global_scope",
    "jobExecutor",
    "jobsReconcile",
    "jobsScheduler",
    "jobsPoolExecutorGet",
    "jobsPoolExecutorSubmit",
    "folderPoller",
];

/// The candidate that `text` most likely means: one that differs by a few letters, or the only one that begins with it.
pub fn nearest<'n>(text: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let text = text.to_ascii_uppercase();
    let length = text.chars().count();
    let allowed = (length / 3).clamp(1, 4);
    let mut best: Option<(usize, &str)> = None;
    let mut longer = Vec::new();
    for candidate in candidates {
        let upper = candidate.to_ascii_uppercase();
        let distance = strsim::osa_distance(&text, &upper);
        if distance <= allowed && best.is_none_or(|(found, _)| distance < found) {
            best = Some((distance, candidate));
        }
        if length >= 3 && upper.starts_with(&text) {
            longer.push(candidate);
        }
    }
    match (best, longer.as_slice()) {
        (Some((_, candidate)), _) | (None, &[candidate]) => Some(candidate),
        (None, _) => None,
    }
}

/// A hint for an unknown name: the nearest known one, or all of them.
pub fn hint(text: &str, known: &[&str]) -> String {
    match (nearest(text, known.iter().copied()), known) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, [only]) => format!("there is {only}"),
        (None, known) => format!("there are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whatever_their_case_or_spelling() {
        assert_eq!(
            BATCH_STATUS.canonical("generate_iid_list"),
            Some("GENERATE_IID")
        );
        assert_eq!(BATCH_STATUS.canonical("all"), Some("ALL"));
        assert_eq!(BATCH_STATUS.canonical("DOME"), None);
        for alias in ["BATCH_PROCESS", "batch_job", "Batch Process"] {
            assert_eq!(JOB_TYPE.canonical(alias), Some("BATCH PROCESS"), "{alias}");
        }
        for (alias, name) in [
            ("interface", "INTERFACE_LISTENER"),
            ("http_task", "HTTP"),
            ("cdc_republish_instance_job", "CDC_REPUBLISH"),
            ("CLEANUP_TASK", "CLEANUP"),
        ] {
            assert_eq!(JOB_TYPE.canonical(alias), Some(name), "{alias}");
        }
    }

    #[test]
    fn every_batch_status_can_be_asked_for() {
        for status in BATCH_STATUSES {
            assert_eq!(BATCH_STATUS.canonical(status), Some(*status));
            assert_eq!(MIGRATE_STATUS.canonical(status), Some(*status));
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(
            nearest("DOME", BATCH_STATUSES.iter().copied()),
            Some("DONE")
        );
        assert_eq!(
            nearest("RESUME", BATCH_STATUSES.iter().copied()),
            Some("RESUME_FAILURES")
        );
        assert_eq!(nearest("xyzzy", BATCH_STATUSES.iter().copied()), None);
    }
}
