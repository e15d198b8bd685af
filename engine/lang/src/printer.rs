//! Syntax tree to text, in one canonical form: what is printed parses to the same tree.

use std::fmt::{self, Display, Formatter};

use crate::ast::{
    Argument, Assignment, Batch, BatchDetails, BatchList, BatchOptions, Broadway, CdcRepublish,
    Command, DeployTarget, EntitySource, Family, Get, Instance, JobCommand, JobFilter,
    JobPolicyOptions, Statement, Text, Trace,
};
use crate::scan;
use crate::span::Spanned;

/// The canonical form, with its `;`.
impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{};", self.command)
    }
}

/// The canonical form, without a `;`.
impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Self::Select { sql } = self {
            return f.write_str(&sql.value);
        }
        f.write_str(self.keyword())?;
        match self {
            Self::Batch(batch) => print_batch(f, batch),
            Self::BatchList(BatchList {
                family: _,
                status,
                from_date,
                to_date,
                filter,
            }) => {
                print_text_option(f, "STATUS", status)?;
                print_text_option(f, "FROM_DATE", from_date)?;
                print_text_option(f, "TO_DATE", to_date)?;
                print_text_option(f, "FILTER", filter)
            }
            Self::BatchInfo { batch_id }
            | Self::BatchSummary {
                family: _,
                batch_id,
            } => write!(f, " {}", Value(batch_id)),
            Self::BatchDetails(details) => print_details(f, details),
            Self::BatchInProcess { family: _, filter } => print_text_option(f, "FILTER", filter),
            Self::BatchCancel {
                spelling: _,
                batch_id,
            }
            | Self::BatchPause { batch_id } => print_optional(f, batch_id),
            Self::BatchRetry {
                family: _,
                batch_id,
                allow_cancelled,
            } => {
                print_optional(f, batch_id)?;
                print_bare_option(f, "ALLOW_CANCELLED", allow_cancelled)
            }
            Self::BatchEdit {
                batch_id,
                max_workers_per_node,
            } => {
                print_optional(f, batch_id)?;
                write!(f, " MAX_WORKERS_PER_NODE={max_workers_per_node}")
            }
            Self::Job(job) => print_job(f, job),
            Self::JobStatus(filter) => print_job_filter(f, filter),
            Self::JobHistory {
                job_type,
                name,
                uid,
                limit,
            } => {
                write!(f, " {} {}", Name(&job_type.value), Value(name))?;
                print_with_uid(f, uid)?;
                print_bare_option(f, "LIMIT", limit)
            }
            Self::Ps { all: true, task: _ } => f.write_str(" ALL"),
            Self::Ps { all: false, task } => print_optional(f, task),
            Self::KillTask { node, task } => write!(f, " {} {}", Value(node), Value(task)),
            Self::Deploy {
                target,
                soft_deploy,
            } => {
                match target {
                    DeployTarget::Project => (),
                    DeployTarget::LogicalUnit(lu) => write!(f, " {lu}")?,
                    DeployTarget::Folder(folder) => write!(f, " {}", Quoted(&folder.value))?,
                }
                print_bare_option(f, "SOFT_DEPLOY", soft_deploy)
            }
            Self::ClusterStatus { node_affinity } => f.write_str(if *node_affinity {
                " NODE_AFFINITY_STATUS"
            } else {
                ""
            }),
            Self::ClusterId | Self::List(_) => Ok(()),
            Self::Set { assignments } => print_assignments(f, assignments, ","),
            Self::Help { topic } => match topic {
                Some(topic) => write!(f, " {topic}"),
                None => Ok(()),
            },
            Self::Get(get) => print_get(f, get),
            Self::Select { sql: _ } => Ok(()),
            Self::Release { lu } => match lu {
                Some(lu) => write!(f, " {lu}"),
                None => Ok(()),
            },
            Self::Echo { text, delay_ms } => {
                write!(f, " {}", Value(text))?;
                print_bare_option(f, "DELAY_MS", delay_ms)
            }
            Self::SyncInstance { instance } => write!(f, " {instance}"),
            Self::CdcRepublish(CdcRepublish {
                instance,
                tables,
                types,
                truncate,
            }) => {
                write!(f, " {instance}")?;
                print_text_option(f, "TABLES", tables)?;
                print_text_option(f, "TYPES", types)?;
                print_bare_option(f, "TRUNCATE", truncate)
            }
            Self::Broadway(Broadway {
                lu,
                flow,
                parameters,
            }) => {
                write!(f, " {lu}.{}", Name(&flow.value))?;
                print_assignments(f, parameters, "")
            }
            Self::SetAffinityRules { rules: None } => f.write_str(" RESET_AFFINITY_RULES"),
            Self::SetAffinityRules { rules: Some(rules) } => {
                write!(f, " AFFINITY_RULES={rules}")
            }
            Self::Trace(trace) => print_trace(f, trace),
            Self::Other {
                keyword: _,
                arguments,
            } => print_arguments(f, arguments),
        }
    }
}

fn print_trace(f: &mut Formatter<'_>, trace: &Trace) -> fmt::Result {
    match trace {
        Trace::Operations => f.write_str(" OPS"),
        Trace::Status(None) => f.write_str(" STATUS"),
        Trace::Status(Some(number)) => write!(f, " STATUS {number}"),
        Trace::Off(None) => f.write_str(" OFF"),
        Trace::Off(Some(number)) => write!(f, " OFF {number}"),
        Trace::Remove(number) => write!(f, " REMOVE {number}"),
        Trace::Begin {
            scope,
            operation,
            parameters,
        } => {
            if let Some(scope) = scope {
                write!(f, " {}", scope.as_str())?;
            }
            write!(f, " {operation}")?;
            match parameters {
                Some(parameters) => write!(f, " {}", Quoted(&parameters.value)),
                None => Ok(()),
            }
        }
    }
}

/// `LU.id`
impl Display for Instance {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { lu, id } = self;
        match &id.value {
            Text::Literal(id) => write!(f, "{lu}.{}", Name(id)),
            Text::Parameter(_) => write!(f, "{lu}.?"),
        }
    }
}

/// A string as it is written.
impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(value) => Quoted(value).fmt(f),
            Self::Parameter(_) => f.write_str("?"),
        }
    }
}

struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.replace('\'', "''"))
    }
}

/// A name, quoted only if it must be.
struct Name<'a>(&'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_word = !self.0.is_empty() && self.0.chars().all(scan::is_word);
        if is_word {
            f.write_str(self.0)
        } else {
            Quoted(self.0).fmt(f)
        }
    }
}

struct Value<'a>(&'a Spanned<Text>);

impl Display for Value<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}

/// The entity command is what people read first: it has double quotes, so that its own strings stay as they are.
struct EntityCommand<'a>(&'a Text);

impl Display for EntityCommand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Text::Literal(command) if !command.contains('"') => write!(f, "\"{command}\""),
            text => text.fmt(f),
        }
    }
}

fn print_batch(f: &mut Formatter<'_>, batch: &Batch) -> fmt::Result {
    let Batch {
        family,
        lu,
        dc,
        function,
        source,
        fabric_command,
        template: _,
        options,
    } = batch;
    write!(f, " {lu}")?;
    if let Some(dc) = dc {
        write!(f, "@{}", Name(&dc.value))?;
    }
    if let Some(function) = function {
        write!(f, ".{function}()")?;
    }
    print_source(f, source)?;
    match family {
        Family::Batch => write!(
            f,
            " FABRIC_COMMAND={}",
            EntityCommand(&fabric_command.value)
        )?,
        Family::Migrate => (),
    }
    print_batch_options(f, options)
}

fn print_source(f: &mut Formatter<'_>, source: &EntitySource) -> fmt::Result {
    match source {
        EntitySource::LogicalUnit => Ok(()),
        EntitySource::InstanceGroup(group) => write!(f, ".{group}"),
        EntitySource::Ids(ids) => {
            f.write_str(".(")?;
            for (index, id) in ids.value.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                write!(f, "{comma}{}", Value(id))?;
            }
            f.write_str(")")
        }
        EntitySource::Query { interface, query } => {
            write!(f, " FROM {interface} USING ({})", Value(query))
        }
        EntitySource::Fabric => f.write_str(" FROM fabric"),
        EntitySource::FabricQuery { query } => write!(f, " FROM fabric USING ({})", Value(query)),
        EntitySource::FabricFlow { command } => {
            write!(f, " FROM fabric USING ({})", Quoted(&command.value))
        }
    }
}

fn print_batch_options(f: &mut Formatter<'_>, options: &BatchOptions) -> fmt::Result {
    if *options == BatchOptions::default() {
        return Ok(());
    }
    let BatchOptions {
        affinity,
        job_affinity,
        run_async,
        generate_entities_first,
        allow_multiple,
        max_nodes,
        max_workers_per_node,
        estimated_entities_count,
        max_attempts,
        entity_timeout_ms,
        retry_delay_ms,
        bind_params,
        bind_params_separator,
        bind_params_json,
    } = options;
    f.write_str(" with")?;
    print_text_option(f, "AFFINITY", affinity)?;
    print_text_option(f, "JOB_AFFINITY", job_affinity)?;
    print_quoted_boolean(f, "ASYNC", run_async)?;
    print_quoted_boolean(f, "GENERATE_ENTITIES_FIRST", generate_entities_first)?;
    print_quoted_boolean(f, "ALLOW_MULTIPLE", allow_multiple)?;
    print_bare_option(f, "MAX_NODES", max_nodes)?;
    print_bare_option(f, "MAX_WORKERS_PER_NODE", max_workers_per_node)?;
    print_bare_option(f, "ESTIMATED_ENTITIES_COUNT", estimated_entities_count)?;
    print_bare_option(f, "MAX_ATTEMPTS", max_attempts)?;
    print_bare_option(f, "ENTITY_TIMEOUT_MS", entity_timeout_ms)?;
    print_bare_option(f, "RETRY_DELAY_MS", retry_delay_ms)?;
    print_text_option(f, "BIND_PARAMS", bind_params)?;
    print_text_option(f, "BIND_PARAMS_SEPARATOR", bind_params_separator)?;
    print_text_option(f, "BIND_PARAMS_JSON", bind_params_json)
}

fn print_details(f: &mut Formatter<'_>, details: &BatchDetails) -> fmt::Result {
    let BatchDetails {
        family: _,
        batch_id,
        status,
        entities,
        affinity,
        limit,
        sort_by_process_time,
    } = details;
    write!(f, " {}", Value(batch_id))?;
    print_text_option(f, "STATUS", status)?;
    print_text_option(f, "ENTITIES", entities)?;
    print_text_option(f, "AFFINITY", affinity)?;
    print_bare_option(f, "LIMIT", limit)?;
    print_bare_option(f, "SORT_BY_PROCESS_TIME", sort_by_process_time)
}

fn print_job(f: &mut Formatter<'_>, job: &JobCommand) -> fmt::Result {
    let JobCommand {
        verb: _,
        job_type,
        target,
        name,
        uid,
        affinity,
        args,
        exec_interval,
        reset_end_time,
        policy,
        tables,
    } = job;
    write!(f, " {}", Name(&job_type.value))?;
    if let Some(target) = target {
        write!(f, " {}", Quoted(&target.value))?;
    }
    print_text_option(f, "NAME", name)?;
    print_text_option(f, "UID", uid)?;
    print_text_option(f, "AFFINITY", affinity)?;
    print_text_option(f, "ARGS", args)?;
    print_text_option(f, "EXEC_INTERVAL", exec_interval)?;
    print_bare_option(f, "RESET_END_TIME", reset_end_time)?;
    print_job_policy(f, policy)?;
    print_text_option(f, "TABLES", tables)
}

fn print_job_policy(f: &mut Formatter<'_>, policy: &JobPolicyOptions) -> fmt::Result {
    let JobPolicyOptions {
        start_at,
        end_at,
        time_zone,
        misfire,
        overlap,
        max_runs,
        jitter_ms,
        max_attempts,
        retry_delay_ms,
        retry_factor,
        retry_max_delay_ms,
        timeout_ms,
        relocate,
        paused,
        after,
    } = policy;
    print_text_option(f, "START_AT", start_at)?;
    print_text_option(f, "END_AT", end_at)?;
    print_text_option(f, "TIME_ZONE", time_zone)?;
    print_text_option(f, "MISFIRE", misfire)?;
    print_text_option(f, "OVERLAP", overlap)?;
    print_bare_option(f, "MAX_RUNS", max_runs)?;
    print_bare_option(f, "JITTER_MS", jitter_ms)?;
    print_bare_option(f, "MAX_ATTEMPTS", max_attempts)?;
    print_bare_option(f, "RETRY_DELAY_MS", retry_delay_ms)?;
    print_text_option(f, "RETRY_FACTOR", retry_factor)?;
    print_bare_option(f, "RETRY_MAX_DELAY_MS", retry_max_delay_ms)?;
    print_bare_option(f, "TIMEOUT_MS", timeout_ms)?;
    print_bare_option(f, "RELOCATE", relocate)?;
    print_bare_option(f, "PAUSED", paused)?;
    print_text_option(f, "AFTER", after)
}

fn print_job_filter(f: &mut Formatter<'_>, filter: &JobFilter) -> fmt::Result {
    match filter {
        JobFilter::Active => Ok(()),
        JobFilter::DaysAgo(days) => write!(f, " {days} days ago"),
        JobFilter::Type(job_type) => write!(f, " {}", JobType(&job_type.value)),
        JobFilter::Name {
            job_type,
            name,
            uid,
        } => {
            write!(f, " {} {}", JobType(&job_type.value), Value(name))?;
            print_with_uid(f, uid)
        }
    }
}

fn print_with_uid(f: &mut Formatter<'_>, uid: &Option<Spanned<String>>) -> fmt::Result {
    match uid {
        Some(uid) => write!(f, " with UID={}", Quoted(&uid.value)),
        None => Ok(()),
    }
}

/// A type that begins with a digit would be read as a number of days.
struct JobType<'a>(&'a str);

impl Display for JobType<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.starts_with(|c: char| c.is_ascii_digit()) {
            Quoted(self.0).fmt(f)
        } else {
            Name(self.0).fmt(f)
        }
    }
}

fn print_get(f: &mut Formatter<'_>, get: &Get) -> fmt::Result {
    let Get {
        verb: _,
        instances,
        stop_on_error,
        parallel,
    } = get;
    for (index, instance) in instances.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(f, "{comma} {instance}")?;
    }
    print_bare_option(f, "STOP_ON_ERROR", stop_on_error)?;
    print_bare_option(f, "PARALLEL", parallel)
}

fn print_arguments(f: &mut Formatter<'_>, arguments: &[Argument]) -> fmt::Result {
    let mut after_open = false;
    for argument in arguments {
        let is_tight = after_open || matches!(argument, Argument::Symbol(_));
        f.write_str(if is_tight { "" } else { " " })?;
        match argument {
            Argument::Word(word) => f.write_str(&word.value)?,
            Argument::Text(text) => Value(text).fmt(f)?,
            Argument::Named(assignment) => assignment.fmt(f)?,
            Argument::Symbol(symbol) => write!(f, "{symbol}")?,
        }
        after_open = *argument == Argument::Symbol('(');
    }
    Ok(())
}

/// `name='value'`
impl Display for Assignment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_dotted = self
            .name
            .value
            .split('.')
            .all(|part| !part.is_empty() && part.chars().all(scan::is_word));
        if is_dotted {
            f.write_str(&self.name.value)?;
        } else {
            Quoted(&self.name.value).fmt(f)?;
        }
        write!(f, "={}", Value(&self.value))
    }
}

fn print_assignments(
    f: &mut Formatter<'_>,
    assignments: &[Assignment],
    separator: &str,
) -> fmt::Result {
    for (index, assignment) in assignments.iter().enumerate() {
        let separator = if index == 0 { "" } else { separator };
        write!(f, "{separator} {assignment}")?;
    }
    Ok(())
}

fn print_optional(f: &mut Formatter<'_>, text: &Option<Spanned<Text>>) -> fmt::Result {
    match text {
        Some(text) => write!(f, " {}", Value(text)),
        None => Ok(()),
    }
}

fn print_text_option(
    f: &mut Formatter<'_>,
    name: &str,
    value: &Option<Spanned<String>>,
) -> fmt::Result {
    match value {
        Some(value) => write!(f, " {name}={}", Quoted(&value.value)),
        None => Ok(()),
    }
}

fn print_quoted_boolean(
    f: &mut Formatter<'_>,
    name: &str,
    value: &Option<Spanned<bool>>,
) -> fmt::Result {
    match value {
        Some(value) => write!(f, " {name}='{value}'"),
        None => Ok(()),
    }
}

fn print_bare_option<T: Display>(
    f: &mut Formatter<'_>,
    name: &str,
    value: &Option<Spanned<T>>,
) -> fmt::Result {
    match value {
        Some(value) => write!(f, " {name}={value}"),
        None => Ok(()),
    }
}
