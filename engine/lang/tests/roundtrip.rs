//! Trees of every shape survive being printed and parsed; no text makes the parser panic.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use weft_lang::names::{
    BATCH_STATUS, ENTITY_STATUS, MIGRATE_STATUS, MIGRATED_STATUS, MISFIRE, OVERLAP,
};
use weft_lang::{
    Argument, Assignment, Batch, BatchDetails, BatchList, BatchOptions, Broadway, COMMANDS,
    CancelSpelling, CdcRepublish, Command, CommandSpec, DeployTarget, EntitySource, EntityTemplate,
    Family, Get, GetVerb, Instance, JobCommand, JobFilter, JobOptions, JobVerb, ListTarget, Span,
    Spanned, Statement, Text, Trace, TraceScope, complete, is_complete, split_statements,
};

const ACCEPTED: &str = include_str!("corpus/accepted.txt");

fn spanned<T: std::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
) -> impl Strategy<Value = Spanned<T>> {
    strategy.prop_map(Spanned::unplaced)
}

fn maybe<T: std::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<Spanned<T>>> {
    option::weighted(0.3, spanned(strategy))
}

/// A name of a thing; `x` in front keeps it from being a word of the language.
fn name() -> impl Strategy<Value = String> {
    "x[A-Za-z0-9_]{0,8}"
}

/// Any text, with many of the characters that mean something.
fn text() -> BoxedStrategy<String> {
    let text = prop_oneof![
        3 => "[a-z0-9_.]{0,8}",
        2 => "[a-c'\";?(){}=,. \n\t/*\u{2018}\u{2019}\u{201C}\u{201D}é漢-]{0,12}",
        1 => any::<String>(),
    ];
    text.boxed()
}

fn literal() -> impl Strategy<Value = Spanned<Text>> {
    spanned(text().prop_map(Text::Literal))
}

fn quoted() -> impl Strategy<Value = Option<Spanned<String>>> {
    maybe(text())
}

fn count() -> impl Strategy<Value = u64> {
    1..1_000_u64
}

fn instance() -> impl Strategy<Value = Instance> {
    (spanned(name()), literal()).prop_map(|(lu, id)| Instance { lu, id })
}

fn family() -> impl Strategy<Value = Family> {
    select(vec![Family::Batch, Family::Migrate])
}

fn entity_command() -> impl Strategy<Value = String> {
    prop_oneof![
        name().prop_map(|lu| format!("sync_instance {lu}.?")),
        name().prop_map(|lu| format!("broadway {lu}.flow a='x' b=?")),
        text().prop_map(|text| format!("echo {}", Text::Literal(format!("{text}?")))),
        name().prop_map(|lu| format!("cdc_republish_instance {lu}.? TABLES=\"a,b\"")),
        name().prop_map(|lu| format!("get {lu}.'?'")),
        name().prop_map(|script| format!("process {script} 'a b' ?")),
    ]
}

fn source() -> impl Strategy<Value = EntitySource> {
    let query = |text: String| Text::Literal(format!("select {text}"));
    let flow = |text: String| format!("broadway {}.flow", text.trim());
    prop_oneof![
        Just(EntitySource::LogicalUnit),
        spanned(name()).prop_map(EntitySource::InstanceGroup),
        spanned(vec(literal(), 1..4)).prop_map(EntitySource::Ids),
        (spanned(name()), spanned(text().prop_map(query)))
            .prop_map(|(interface, query)| EntitySource::Query { interface, query }),
        Just(EntitySource::Fabric),
        spanned(text().prop_map(query)).prop_map(|query| EntitySource::FabricQuery { query }),
        spanned(name().prop_map(flow)).prop_map(|command| EntitySource::FabricFlow { command }),
    ]
}

fn batch_options() -> impl Strategy<Value = BatchOptions> {
    let texts = (quoted(), quoted());
    let booleans = (
        maybe(any::<bool>()),
        maybe(any::<bool>()),
        maybe(any::<bool>()),
    );
    let counts = (
        maybe(count()),
        maybe(count()),
        maybe(count()),
        maybe(count()),
        maybe(count()),
        maybe(count()),
    );
    (texts, booleans, counts).prop_map(|(texts, booleans, counts)| BatchOptions {
        affinity: texts.0,
        job_affinity: texts.1,
        run_async: booleans.0,
        generate_entities_first: booleans.1,
        allow_multiple: booleans.2,
        max_nodes: counts.0,
        max_workers_per_node: counts.1,
        estimated_entities_count: counts.2,
        max_attempts: counts.3,
        entity_timeout_ms: counts.4,
        retry_delay_ms: counts.5,
        ..BatchOptions::default()
    })
}

/// Values to bind, for a source that has a query.
fn bind_params() -> impl Strategy<Value = BatchOptions> {
    prop_oneof![
        2 => Just(BatchOptions::default()),
        1 => (spanned(text()), quoted()).prop_map(|(params, separator)| BatchOptions {
            bind_params: Some(params),
            bind_params_separator: separator,
            ..BatchOptions::default()
        }),
        1 => spanned(text()).prop_map(|json| BatchOptions { bind_params_json: Some(json), ..BatchOptions::default() }),
    ]
}

fn batch() -> impl Strategy<Value = Command> {
    let target = (spanned(name()), maybe("[A-Za-z0-9-]{1,6}"), maybe(name()));
    let command = (
        entity_command().boxed(),
        batch_options().boxed(),
        bind_params().boxed(),
    );
    (family(), target, source().boxed(), command).prop_map(
        |(family, (lu, dc, function), source, (command, options, bound))| {
            let text = match family {
                Family::Batch => command,
                Family::Migrate => format!("sync_instance {}.?", lu.value),
            };
            let has_query = matches!(
                source,
                EntitySource::Query { .. } | EntitySource::FabricQuery { .. }
            );
            let options = match has_query {
                true => BatchOptions {
                    bind_params: bound.bind_params,
                    bind_params_separator: bound.bind_params_separator,
                    bind_params_json: bound.bind_params_json,
                    ..options
                },
                false => options,
            };
            Command::Batch(Box::new(Batch {
                family,
                lu,
                dc,
                function,
                source,
                template: Some(
                    EntityTemplate::parse(&text).expect("the generated entity command is right"),
                ),
                fabric_command: Spanned::unplaced(Text::Literal(text)),
                options,
            }))
        },
    )
}

fn batch_list() -> impl Strategy<Value = Command> {
    (family(), quoted(), quoted(), quoted()).prop_flat_map(
        |(family, from_date, to_date, filter)| {
            let names = match family {
                Family::Batch => BATCH_STATUS.names,
                Family::Migrate => MIGRATE_STATUS.names,
            };
            maybe(select(names).prop_map(str::to_owned)).prop_map(move |status| {
                let (from_date, to_date, filter) =
                    (from_date.clone(), to_date.clone(), filter.clone());
                Command::BatchList(BatchList {
                    family,
                    status,
                    from_date,
                    to_date,
                    filter,
                })
            })
        },
    )
}

fn batch_details() -> impl Strategy<Value = Command> {
    let numbers = (maybe(-1..100_i64), maybe(any::<bool>()));
    let texts = (literal(), quoted(), quoted());
    let statuses = (
        maybe(select(ENTITY_STATUS.names)),
        maybe(select(MIGRATED_STATUS.names)),
    );
    (family(), texts, numbers, statuses).prop_map(
        |(family, (batch_id, entities, affinity), (limit, sort), statuses)| {
            let status = match family {
                Family::Batch => statuses.0,
                Family::Migrate => statuses.1,
            };
            Command::BatchDetails(BatchDetails {
                family,
                batch_id,
                status: status.map(|status| status.map(str::to_owned)),
                entities,
                affinity,
                limit,
                sort_by_process_time: sort,
            })
        },
    )
}

fn of_a_batch() -> impl Strategy<Value = Command> {
    let spelling = select(vec![
        CancelSpelling::BatchCancel,
        CancelSpelling::CancelBatch,
        CancelSpelling::Kill,
    ]);
    prop_oneof![
        literal().prop_map(|batch_id| Command::BatchInfo { batch_id }),
        (family(), literal())
            .prop_map(|(family, batch_id)| Command::BatchSummary { family, batch_id }),
        (family(), quoted())
            .prop_map(|(family, filter)| Command::BatchInProcess { family, filter }),
        (spelling, option::of(literal())).prop_filter_map(
            "KILL has an id",
            |(spelling, batch_id)| {
                let is_whole = spelling != CancelSpelling::Kill || batch_id.is_some();
                is_whole.then_some(Command::BatchCancel { spelling, batch_id })
            }
        ),
        option::of(literal()).prop_map(|batch_id| Command::BatchPause { batch_id }),
        (family(), option::of(literal()), maybe(any::<bool>())).prop_map(
            |(family, batch_id, allow_cancelled)| Command::BatchRetry {
                family,
                batch_id,
                allow_cancelled
            }
        ),
        (option::of(literal()), spanned(count())).prop_map(|(batch_id, max_workers_per_node)| {
            Command::BatchEdit {
                batch_id,
                max_workers_per_node,
            }
        }),
    ]
}

/// Options that STARTJOB and UPDATEJOB share.
fn job_options() -> impl Strategy<Value = JobOptions> {
    let texts = (quoted(), quoted(), quoted(), quoted(), quoted(), quoted());
    let misfires = prop_oneof![
        select(MISFIRE.names).prop_map(str::to_owned),
        count().prop_map(|runs| format!("ALL:{runs}")),
    ];
    let factor = prop_oneof![
        count().prop_map(|factor| factor.to_string()),
        (count(), count()).prop_map(|(whole, places)| format!("{whole}.{places}")),
    ];
    let schedule = select(vec![
        "",
        "300",
        "00:00:30",
        "2022-08-20 10:32:12",
        "23 0-20/2 03 12 2",
    ]);
    let rules = (
        maybe(misfires),
        maybe(select(OVERLAP.names).prop_map(str::to_owned)),
        maybe(factor),
        maybe(prop_oneof![Just(-1), 1..=1_000_i64]),
        maybe(schedule.prop_map(str::to_owned)),
    );
    let counts = (
        maybe(count()),
        maybe(0..1_000_u64),
        maybe(0..1_000_u64),
        maybe(0..1_000_u64),
        maybe(count()),
    );
    let booleans = (maybe(any::<bool>()), maybe(any::<bool>()));
    (texts, rules, counts, booleans).prop_map(|(texts, rules, counts, booleans)| JobOptions {
        affinity: texts.4,
        args: texts.5,
        exec_interval: rules.4,
        start_at: texts.0,
        end_at: texts.1,
        time_zone: texts.2,
        misfire: rules.0,
        overlap: rules.1,
        max_runs: counts.0,
        jitter_ms: counts.1,
        max_attempts: rules.3,
        retry_delay_ms: counts.2,
        retry_factor: rules.2,
        retry_max_delay_ms: counts.3,
        timeout_ms: counts.4,
        relocate: booleans.0,
        paused: booleans.1,
        after: texts.3,
        ..JobOptions::default()
    })
}

fn job_history() -> impl Strategy<Value = Command> {
    let job_type = spanned(prop_oneof![
        name(),
        text(),
        Just("batch process".to_owned())
    ]);
    (job_type, literal(), quoted(), maybe(count())).prop_map(|(job_type, name, uid, limit)| {
        Command::JobHistory {
            job_type,
            name,
            uid,
            limit,
        }
    })
}

fn job() -> impl Strategy<Value = Command> {
    let verb = select(vec![
        JobVerb::Start,
        JobVerb::Stop,
        JobVerb::Restart,
        JobVerb::Resume,
        JobVerb::Update,
    ]);
    let names = (
        spanned(prop_oneof![3 => name(), 1 => text()]),
        spanned(text()),
        quoted(),
    );
    let own = (maybe(any::<bool>()), quoted());
    (verb, names, own, job_options()).prop_map(
        |(verb, (job_type, name, uid), (reset_end_time, tables), options)| {
            let defines = match verb {
                JobVerb::Start => JobOptions { tables, ..options },
                JobVerb::Update => JobOptions {
                    reset_end_time,
                    ..options
                },
                JobVerb::Stop | JobVerb::Restart | JobVerb::Resume => JobOptions::default(),
            };
            Command::Job(Box::new(JobCommand {
                verb,
                job_type,
                target: None,
                options: JobOptions {
                    name: Some(name),
                    uid,
                    ..defines
                },
            }))
        },
    )
}

fn job_status() -> impl Strategy<Value = Command> {
    let job_type = || {
        spanned(prop_oneof![
            name(),
            text().prop_filter("a type is not empty", |text| !text.is_empty())
        ])
    };
    prop_oneof![
        Just(JobFilter::Active),
        spanned(any::<u32>()).prop_map(JobFilter::DaysAgo),
        job_type().prop_map(JobFilter::Type),
        (job_type(), literal(), quoted()).prop_map(|(job_type, name, uid)| JobFilter::Name {
            job_type,
            name,
            uid
        }),
    ]
    .prop_map(Command::JobStatus)
}

fn assignment() -> impl Strategy<Value = Assignment> {
    (spanned(name()), literal()).prop_map(|(name, value)| Assignment { name, value })
}

fn instances() -> impl Strategy<Value = Command> {
    let verb = select(vec![GetVerb::Get, GetVerb::Use]);
    let options = (maybe(any::<bool>()), maybe(any::<bool>()));
    let get =
        (verb, vec(literal(), 1..4), options).prop_map(|(verb, ids, (stop_on_error, parallel))| {
            let instance = |(index, id)| Instance {
                lu: Spanned::unplaced(format!("LU{index}")),
                id,
            };
            let instances = ids.into_iter().enumerate().map(instance).collect();
            Command::Get(Get {
                verb,
                instances,
                stop_on_error,
                parallel,
            })
        });
    prop_oneof![
        get,
        instance().prop_map(|instance| Command::SyncInstance { instance }),
        (instance(), quoted(), quoted(), maybe(any::<bool>())).prop_map(
            |(instance, tables, types, truncate)| {
                Command::CdcRepublish(CdcRepublish {
                    instance,
                    tables,
                    types,
                    truncate,
                })
            }
        ),
        (spanned(name()), spanned(name()), vec(literal(), 0..4)).prop_map(|(lu, flow, values)| {
            let name = |index| Spanned::unplaced(format!("p {index}"));
            let parameters = values
                .into_iter()
                .enumerate()
                .map(|(index, value)| Assignment {
                    name: name(index),
                    value,
                });
            Command::Broadway(Broadway {
                lu,
                flow,
                parameters: parameters.collect(),
            })
        }),
        (literal(), maybe(count())).prop_map(|(text, delay_ms)| Command::Echo { text, delay_ms }),
        (spanned(text()), vec(literal(), 0..4))
            .prop_map(|(script, arguments)| Command::Process { script, arguments }),
    ]
}

fn session() -> impl Strategy<Value = Command> {
    let target = prop_oneof![
        Just(DeployTarget::Project),
        spanned(name()).prop_map(DeployTarget::LogicalUnit),
        spanned(text()).prop_map(DeployTarget::Folder),
    ];
    let lists = vec![
        ListTarget::InstanceGroups,
        ListTarget::LogicalUnits,
        ListTarget::Interfaces,
        ListTarget::AffinityRules,
    ];
    prop_oneof![
        (any::<bool>(), option::of(literal())).prop_map(|(all, task)| Command::Ps {
            all,
            task: task.filter(|_| !all)
        }),
        (literal(), literal()).prop_map(|(node, task)| Command::KillTask { node, task }),
        (target, maybe(any::<bool>())).prop_map(|(target, soft_deploy)| Command::Deploy {
            target,
            soft_deploy
        }),
        any::<bool>().prop_map(|node_affinity| Command::ClusterStatus { node_affinity }),
        Just(Command::ClusterId),
        vec(assignment(), 0..4).prop_map(|assignments| Command::Set { assignments }),
        option::of(0..COMMANDS.len()).prop_map(|index| Command::Help {
            topic: index.map(|index| COMMANDS[index].name.to_owned())
        }),
        spanned(text().prop_map(|text| format!("select {}", Text::Literal(text))))
            .prop_map(|sql| Command::Select { sql }),
        maybe(name()).prop_map(|lu| Command::Release { lu }),
        select(lists).prop_map(Command::List),
        option::of(literal()).prop_map(|rules| Command::SetAffinityRules { rules }),
        trace().prop_map(Command::Trace),
    ]
}

fn trace() -> impl Strategy<Value = Trace> {
    let scope = option::of(select(TraceScope::ALL.to_vec()));
    prop_oneof![
        Just(Trace::Operations),
        maybe(any::<u64>()).prop_map(Trace::Status),
        maybe(any::<u64>()).prop_map(Trace::Off),
        spanned(any::<u64>()).prop_map(Trace::Remove),
        (scope, spanned(name()), quoted()).prop_map(|(scope, operation, parameters)| {
            Trace::Begin {
                scope,
                operation,
                parameters,
            }
        }),
    ]
}

fn other() -> impl Strategy<Value = Command> {
    let argument = prop_oneof![
        spanned("x[a-z0-9.*]{0,4}-?[a-z]{1,4}").prop_map(Argument::Word),
        literal().prop_map(Argument::Text),
        assignment().prop_map(Argument::Named),
        select(vec!['(', ')', ',']).prop_map(Argument::Symbol),
    ];
    let keywords: Vec<_> = ["GETF", "REVOKE", "DELETE INSTANCES"].to_vec();
    (select(keywords), vec(argument, 0..6))
        .prop_map(|(keyword, arguments)| Command::Other { keyword, arguments })
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => batch().boxed(),
        1 => batch_list().boxed(),
        1 => batch_details().boxed(),
        2 => of_a_batch().boxed(),
        2 => job().boxed(),
        1 => job_history().boxed(),
        1 => job_status().boxed(),
        2 => instances().boxed(),
        2 => session().boxed(),
        1 => other().boxed(),
    ]
}

/// Breaks a line of the corpus in one to three places.
fn mutated_line() -> impl Strategy<Value = String> {
    let lines: Vec<_> = ACCEPTED.lines().collect();
    let piece = select(vec![
        "", "'", "\"", "(", ")", ";", "=", "?", ".", "{", "--", "/*", "*/", "\u{2019}", "é", " ",
        "\n", "WITH", "1",
    ]);
    (
        select(lines),
        vec((any::<prop::sample::Index>(), 0..4_usize, piece), 1..4),
    )
        .prop_map(|(line, edits)| {
            let mut characters: Vec<_> = line.chars().collect();
            for (index, removed, piece) in edits {
                let start = index.index(characters.len() + 1);
                let end = (start + removed).min(characters.len());
                characters.splice(start..end, piece.chars());
            }
            characters.into_iter().collect()
        })
}

/// Everything that takes a text takes any text.
fn check_no_panic(text: &str) {
    match Statement::parse(text) {
        Ok(statement) => {
            let printed = statement.to_string();
            let again = Statement::parse(&printed)
                .unwrap_or_else(|wrong| panic!("{printed}\n{}", wrong.render(&printed)));
            assert_eq!(statement, again, "{printed}");
            assert_eq!(printed, again.to_string());
        }
        Err(diagnostic) => {
            let Span { start, end } = diagnostic.span;
            assert!(
                text.is_char_boundary(start) && text.is_char_boundary(end),
                "{diagnostic:?}"
            );
            diagnostic.render(text);
        }
    }
    let _ = EntityTemplate::parse(text);
    is_complete(text);
    for span in split_statements(text) {
        assert!(!span.of(text).is_empty(), "{span:?}");
    }
    complete(text, text.len() / 2, &());
    complete(text, text.len(), &());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_parses_to_the_same_tree(command in command()) {
        let statement = Statement::from(command);
        let parsed = Statement::parse(&statement.source);
        let parsed = parsed.unwrap_or_else(|wrong| panic!("{}", wrong.render(&statement.source)));
        prop_assert_eq!(&parsed, &statement);
        prop_assert_eq!(parsed.to_string(), statement.source);
        prop_assert!(CommandSpec::find(parsed.keyword()).is_some());
    }

    #[test]
    fn an_id_is_one_literal_whatever_it_is(command in entity_command(), id in text()) {
        let template = EntityTemplate::parse(&command).expect("the generated entity command is right");
        let bound = template.bind_statement(&id);
        let parsed = Statement::parse(&bound.source);
        let parsed = parsed.unwrap_or_else(|wrong| panic!("{}", wrong.render(&bound.source)));
        prop_assert_eq!(&parsed, &bound);
        let swapped = with_literals(bound.command, &template.bind("X").to_string());
        prop_assert_eq!(swapped, template.bind("X"));
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        check_no_panic(&text);
    }

    #[test]
    fn no_broken_statement_makes_it_panic(text in mutated_line()) {
        check_no_panic(&text);
    }
}

/// The command with its literals taken from another text of the same command.
fn with_literals(command: Command, other: &str) -> Command {
    let other = Statement::parse(other)
        .expect("the other text is a statement")
        .command;
    match (command, other) {
        (Command::SyncInstance { mut instance }, Command::SyncInstance { instance: other }) => {
            instance.id = other.id;
            Command::SyncInstance { instance }
        }
        (Command::Echo { text: _, delay_ms }, Command::Echo { text, .. }) => {
            Command::Echo { text, delay_ms }
        }
        (Command::CdcRepublish(mut command), Command::CdcRepublish(other)) => {
            command.instance.id = other.instance.id;
            Command::CdcRepublish(command)
        }
        (Command::Get(mut command), Command::Get(other)) => {
            command.instances[0].id = other.instances[0].id.clone();
            Command::Get(command)
        }
        (Command::Broadway(mut command), Command::Broadway(other)) => {
            command.parameters[1].value = other.parameters[1].value.clone();
            Command::Broadway(command)
        }
        (
            Command::Process {
                script,
                mut arguments,
            },
            Command::Process {
                arguments: other, ..
            },
        ) => {
            arguments[1] = other[1].clone();
            Command::Process { script, arguments }
        }
        (command, _) => command,
    }
}
