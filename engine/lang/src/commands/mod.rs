//! The commands: each has a file with its entry in the table, its parser and its printer.
//!
//! A new command is a new file, a row in [`COMMANDS`], an arm in the printer below, and a variant of
//! [`Command`] with its name.

mod batch;
mod batch_cancel;
mod batch_details;
mod batch_edit;
mod batch_id;
mod batch_in_process;
mod batch_info;
mod batch_list;
mod batch_pause;
mod batch_retry;
mod batch_summary;
mod broadway;
mod cdc_republish;
mod cluster_id;
mod cluster_status;
mod deploy;
mod echo;
mod entity_command;
mod entity_source;
mod get;
mod given;
mod help;
mod instance;
mod job;
mod job_history;
mod job_status;
mod job_type;
mod kill;
mod list;
mod name_only;
mod process;
mod ps;
mod release;
mod select;
mod set;
mod set_global;
mod spec;
mod statement;
mod sync_instance;
mod trace;

use std::fmt::{self, Display, Formatter};

pub use spec::{Chapter, CommandSpec, Operand, OptionTable, ValueKind, With, Word};
pub use statement::MAX_STATEMENT_BYTES;

use crate::ast::Command;

/// All commands, by chapter.
pub static COMMANDS: &[&CommandSpec] = &[
    &batch::BATCH,
    &batch::BATCHF,
    &batch::MIGRATE,
    &batch::MIGRATEF,
    &batch_cancel::BATCH_CANCEL,
    &batch_cancel::CANCEL_BATCH,
    &kill::KILL,
    &batch_pause::BATCH_PAUSE,
    &batch_retry::BATCH_RETRY,
    &batch_edit::BATCH_EDIT,
    &batch_retry::MIGRATE_RESUME,
    &batch_list::BATCH_LIST,
    &batch_info::BATCH_INFO,
    &batch_summary::BATCH_SUMMARY,
    &batch_details::BATCH_DETAILS,
    &batch_in_process::BATCH_IN_PROCESS,
    &batch_list::MIGRATE_LIST,
    &batch_summary::MIGRATE_SUMMARY,
    &batch_details::MIGRATE_DETAILS,
    &batch_in_process::MIGRATE_IN_PROCESS,
    &job_status::JOBSTATUS,
    &job_history::JOBHISTORY,
    &job::STARTJOB,
    &job::STOPJOB,
    &job::RESTARTJOB,
    &job::RESUMEJOB,
    &job::UPDATEJOB,
    &ps::PS,
    &trace::TRACE,
    &name_only::STOPPARSER,
    &get::GET,
    &get::USE,
    &name_only::GETF,
    &select::SELECT,
    &select::WITH,
    &release::RELEASE,
    &sync_instance::SYNC_INSTANCE,
    &echo::ECHO,
    &process::PROCESS,
    &broadway::BROADWAY,
    &cdc_republish::CDC_REPUBLISH_INSTANCE,
    &name_only::DELETE_INSTANCE,
    &name_only::DELETE_INSTANCES,
    &cluster_status::CLUSTERSTATUS,
    &cluster_id::CLUSTERID,
    &deploy::DEPLOY,
    &list::LOGICAL_UNITS,
    &list::INSTANCE_GROUPS,
    &list::INTERFACES,
    &list::AFFINITY_RULES,
    &set_global::SET_GLOBAL,
    &name_only::GRANT,
    &name_only::REVOKE,
    &set::SET,
    &help::HELP,
];

impl CommandSpec {
    /// What a command has unless its file says otherwise.
    const BLANK: Self = Self {
        name: "",
        aliases: &[],
        chapter: Chapter::Session,
        available: true,
        for_each_entity: false,
        summary: "",
        syntax: &[],
        example: "",
        operand: Operand::None,
        with: With::Optional,
        option_table: OptionTable::NONE,
        parse: name_only::parse,
    };

    /// The command of this name or alias, in any case and with any blanks.
    pub fn find(name: &str) -> Option<&'static Self> {
        let name: Vec<_> = name.split_whitespace().collect();
        let name = name.join(" ");
        let mut commands = COMMANDS.iter().copied();
        commands.find(|spec| spec.names().any(|known| known.eq_ignore_ascii_case(&name)))
    }
}

/// The canonical form, without a `;`: it parses to the same tree.
impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Self::Select { sql } = self {
            return select::print(f, sql);
        }
        f.write_str(self.keyword())?;
        match self {
            Self::Batch(batch) => batch::print(f, batch),
            Self::BatchList(list) => batch_list::print(f, list),
            Self::BatchInfo { batch_id } => batch_info::print(f, batch_id),
            Self::BatchSummary { batch_id, .. } => batch_summary::print(f, batch_id),
            Self::BatchDetails(details) => batch_details::print(f, details),
            Self::BatchInProcess { filter, .. } => batch_in_process::print(f, filter),
            Self::BatchCancel { batch_id, .. } => batch_cancel::print(f, batch_id.as_ref()),
            Self::BatchPause { batch_id } => batch_pause::print(f, batch_id.as_ref()),
            Self::BatchRetry {
                family: _,
                batch_id,
                allow_cancelled,
            } => batch_retry::print(f, batch_id.as_ref(), allow_cancelled),
            Self::BatchEdit {
                batch_id,
                max_workers_per_node,
            } => batch_edit::print(f, batch_id.as_ref(), max_workers_per_node),
            Self::Job(job) => job::print(f, job),
            Self::JobStatus(filter) => job_status::print(f, filter),
            Self::JobHistory {
                job_type,
                name,
                uid,
                limit,
            } => job_history::print(f, job_type, name, uid, limit),
            Self::Ps { all, task } => ps::print(f, *all, task.as_ref()),
            Self::KillTask { node, task } => kill::print_task(f, node, task),
            Self::Deploy {
                target,
                soft_deploy,
            } => deploy::print(f, target, soft_deploy),
            Self::ClusterStatus { node_affinity } => cluster_status::print(f, *node_affinity),
            Self::ClusterId | Self::List(_) | Self::Select { .. } => Ok(()),
            Self::Set { assignments } => set::print(f, assignments),
            Self::Help { topic } => help::print(f, topic.as_ref()),
            Self::Get(get) => get::print(f, get),
            Self::Release { lu } => release::print(f, lu.as_ref()),
            Self::Echo { text, delay_ms } => echo::print(f, text, delay_ms),
            Self::Process { script, arguments } => process::print(f, script, arguments),
            Self::SyncInstance { instance } => sync_instance::print(f, instance),
            Self::CdcRepublish(republish) => cdc_republish::print(f, republish),
            Self::Broadway(broadway) => broadway::print(f, broadway),
            Self::SetAffinityRules { rules } => set_global::print(f, rules.as_ref()),
            Self::Trace(trace) => trace::print(f, trace),
            Self::Other { arguments, .. } => name_only::print(f, arguments),
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::Statement;
    use crate::options::OptionSpec;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = COMMANDS.iter().flat_map(|spec| spec.names()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for spec in COMMANDS {
            let mut names: Vec<_> = spec.options().flat_map(OptionSpec::names).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "options of {}", spec.name);
        }
    }

    #[test]
    fn every_example_is_a_statement_of_its_command() {
        for spec in COMMANDS {
            match Statement::parse(spec.example) {
                Ok(statement) => assert_eq!(statement.keyword(), spec.name, "{}", spec.example),
                Err(diagnostic) => panic!("{}", diagnostic.render(spec.example)),
            }
        }
    }

    #[test]
    fn commands_have_predicates_and_options_have_sentences() {
        for spec in COMMANDS {
            assert!(!spec.summary.ends_with('.'), "{}", spec.name);
            for option in spec.options() {
                let name = option.name;
                assert!(option.summary.ends_with('.'), "{} {name}", spec.name);
            }
        }
    }

    #[test]
    fn options_name_commands_that_have_their_table() {
        for spec in COMMANDS {
            for option in spec.option_table.options {
                for command in option.commands.unwrap_or_default() {
                    let other = CommandSpec::find(command).expect("it is in the table");
                    assert_eq!(
                        other.option_table.title, spec.option_table.title,
                        "{command}"
                    );
                }
            }
        }
    }
}
