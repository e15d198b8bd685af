//! The commands.

use crate::names::TRACE_WORDS;

use super::{Chapter, CommandKind, CommandSpec, Place, ValueKind, With, options};

const BLANK: CommandSpec = CommandSpec {
    name: "",
    aliases: &[],
    kind: CommandKind::Other,
    chapter: Chapter::Session,
    available: true,
    summary: "",
    syntax: &[],
    example: "",
    places: &[],
    with: With::Optional,
    options: options::NONE,
};

const BATCH: CommandSpec = CommandSpec {
    chapter: Chapter::Batches,
    places: &[Place::Value(ValueKind::LogicalUnit)],
    with: With::Required,
    options: options::BATCH,
    ..BLANK
};

const OF_A_BATCH: CommandSpec = CommandSpec {
    chapter: Chapter::Batches,
    places: &[Place::Value(ValueKind::BatchId)],
    ..BLANK
};

const MONITOR: CommandSpec = CommandSpec {
    chapter: Chapter::Monitoring,
    places: &[Place::Value(ValueKind::BatchId)],
    ..BLANK
};

const JOB: CommandSpec = CommandSpec {
    chapter: Chapter::Jobs,
    places: &[Place::JobType],
    options: options::JOB,
    ..BLANK
};

const INSTANCE: CommandSpec = CommandSpec {
    chapter: Chapter::Instances,
    places: &[Place::Value(ValueKind::LogicalUnit)],
    ..BLANK
};

const CLUSTER: CommandSpec = CommandSpec {
    chapter: Chapter::Cluster,
    ..BLANK
};

/// All commands, by chapter.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "BATCH",
        kind: CommandKind::Batch,
        summary: "runs a command for every entity of a list, on all nodes",
        syntax: &[
            "BATCH <LU>[@<DC>] FABRIC_COMMAND=\"<command with ?>\" [with <options>]",
            "BATCH <LU>[@<DC>].<instance group> FABRIC_COMMAND=\"…\" [with <options>]",
            "BATCH <LU>[@<DC>].('<id>','<id>',…) FABRIC_COMMAND=\"…\" [with <options>]",
            "BATCH <LU>[@<DC>] FROM <interface> USING ('<query or topic>') FABRIC_COMMAND=\"…\" [with <options>]",
            "BATCH <LU>[@<DC>] FROM fabric [USING ('<query>' | 'BROADWAY <LU>.<flow> …')] FABRIC_COMMAND=\"…\" [with <options>]",
        ],
        example: "BATCH Customer FROM CRM_DB USING ('select customer_id from customer') FABRIC_COMMAND=\"sync_instance Customer.?\" with ASYNC='true';",
        ..BATCH
    },
    CommandSpec {
        name: "BATCHF",
        kind: CommandKind::Batchf,
        summary: "is BATCH with a function that makes the entity id of each raw id",
        syntax: &[
            "BATCHF <LU>[@<DC>].<function>() FABRIC_COMMAND=\"<command with ?>\" [with <options>]",
            "BATCHF <LU>[@<DC>].<function>().<instance group> FABRIC_COMMAND=\"…\" [with <options>]",
            "BATCHF <LU>[@<DC>].<function>().('<id>','<id>',…) FABRIC_COMMAND=\"…\" [with <options>]",
            "BATCHF <LU>[@<DC>].<function>() FROM <interface> USING ('<query>') FABRIC_COMMAND=\"…\" [with <options>]",
        ],
        example: "BATCHF Customer.addEnvironment().ig20 FABRIC_COMMAND=\"sync_instance Customer.?\";",
        available: false,
        ..BATCH
    },
    CommandSpec {
        name: "MIGRATE",
        kind: CommandKind::Migrate,
        summary: "is BATCH with `sync_instance <LU>.?` as its command",
        syntax: &["MIGRATE <entities as in BATCH> [with <options>]"],
        example: "MIGRATE Customer.('1','2','3') with ASYNC='true';",
        ..BATCH
    },
    CommandSpec {
        name: "MIGRATEF",
        kind: CommandKind::Migratef,
        summary: "is BATCHF with `sync_instance <LU>.?` as its command",
        syntax: &["MIGRATEF <entities as in BATCHF> [with <options>]"],
        example: "MIGRATEF Customer.addEnvironment().ig20;",
        available: false,
        ..BATCH
    },
    CommandSpec {
        name: "BATCH_CANCEL",
        kind: CommandKind::BatchCancel,
        summary: "cancels a batch; without an id, the session's last asynchronous one",
        syntax: &["BATCH_CANCEL ['<batch id>']"],
        example: "BATCH_CANCEL '35408af6-b26a-4243-bc95-f114335bfa5e';",
        ..OF_A_BATCH
    },
    CommandSpec {
        name: "CANCEL BATCH",
        kind: CommandKind::CancelBatch,
        summary: "cancels a batch; without an id, the last one that this node started",
        syntax: &["CANCEL BATCH ['<batch id>']"],
        example: "CANCEL BATCH '35408af6-b26a-4243-bc95-f114335bfa5e';",
        ..OF_A_BATCH
    },
    CommandSpec {
        name: "KILL",
        kind: CommandKind::Kill,
        summary: "cancels a batch; with a node and a task, as PS shows them, ends that try of a job",
        syntax: &["KILL '<batch id>'", "KILL '<node id>' '<task id>'"],
        example: "KILL '35408af6-b26a-4243-bc95-f114335bfa5e';",
        ..OF_A_BATCH
    },
    CommandSpec {
        name: "BATCH_PAUSE",
        kind: CommandKind::BatchPause,
        available: false,
        summary: "pauses a batch; without an id, the session's last asynchronous one",
        syntax: &["BATCH_PAUSE ['<batch id>']"],
        example: "BATCH_PAUSE '35408af6-b26a-4243-bc95-f114335bfa5e';",
        ..OF_A_BATCH
    },
    CommandSpec {
        name: "BATCH_RETRY",
        kind: CommandKind::BatchRetry,
        available: false,
        summary: "goes on with a paused batch, or runs the failed entities of an ended one again",
        syntax: &["BATCH_RETRY ['<batch id>'] [ALLOW_CANCELLED=true|false]"],
        example: "BATCH_RETRY '35408af6-b26a-4243-bc95-f114335bfa5e' ALLOW_CANCELLED=true;",
        options: options::BATCH_RETRY,
        ..OF_A_BATCH
    },
    CommandSpec {
        name: "BATCH_EDIT",
        kind: CommandKind::BatchEdit,
        available: false,
        summary: "changes the number of workers of a running batch",
        syntax: &["BATCH_EDIT ['<batch id>'] MAX_WORKERS_PER_NODE=<n>"],
        example: "BATCH_EDIT '35408af6-b26a-4243-bc95-f114335bfa5e' MAX_WORKERS_PER_NODE=4;",
        options: options::BATCH_EDIT,
        ..OF_A_BATCH
    },
    CommandSpec {
        name: "MIGRATE_RESUME",
        kind: CommandKind::MigrateResume,
        available: false,
        summary: "is BATCH_RETRY for a batch that MIGRATE started",
        syntax: &["MIGRATE_RESUME ['<batch id>'] [ALLOW_CANCELLED=true|false]"],
        example: "MIGRATE_RESUME '35408af6-b26a-4243-bc95-f114335bfa5e';",
        options: options::BATCH_RETRY,
        ..OF_A_BATCH
    },
    CommandSpec {
        name: "BATCH_LIST",
        kind: CommandKind::BatchList,
        summary: "lists batches; without options, the active ones",
        syntax: &[
            "BATCH_LIST [STATUS='<status>'] [FROM_DATE='<date>' [TO_DATE='<date>']] [FILTER='<regex>']",
        ],
        example: "BATCH_LIST STATUS='ALL' FILTER='sync_instance';",
        places: &[],
        options: options::BATCH_LIST,
        ..MONITOR
    },
    CommandSpec {
        name: "BATCH_INFO",
        kind: CommandKind::BatchInfo,
        summary: "shows how a batch was started",
        syntax: &["BATCH_INFO '<batch id>'"],
        example: "BATCH_INFO '35408af6-b26a-4243-bc95-f114335bfa5e';",
        ..MONITOR
    },
    CommandSpec {
        name: "BATCH_SUMMARY",
        kind: CommandKind::BatchSummary,
        summary: "shows the progress of a batch per node, per data centre and in total",
        syntax: &["BATCH_SUMMARY '<batch id>'"],
        example: "BATCH_SUMMARY '35408af6-b26a-4243-bc95-f114335bfa5e';",
        ..MONITOR
    },
    CommandSpec {
        name: "BATCH_DETAILS",
        kind: CommandKind::BatchDetails,
        summary: "lists the entities of a batch with their results",
        syntax: &[
            "BATCH_DETAILS '<batch id>' [STATUS='WAITING|COMPLETED|FAILED'] [ENTITIES='<id>,<id>'] [AFFINITY='<nodes>'] [LIMIT=<n>] [SORT_BY_PROCESS_TIME=true|false]",
        ],
        example: "BATCH_DETAILS '35408af6-b26a-4243-bc95-f114335bfa5e' STATUS='FAILED' LIMIT=100;",
        options: options::BATCH_DETAILS,
        ..MONITOR
    },
    CommandSpec {
        name: "BATCH_IN_PROCESS",
        kind: CommandKind::BatchInProcess,
        summary: "lists the entities that are running now, on all nodes",
        syntax: &["BATCH_IN_PROCESS [FILTER='<regex>']"],
        example: "BATCH_IN_PROCESS FILTER='sync_instance';",
        places: &[],
        options: options::IN_PROCESS,
        ..MONITOR
    },
    CommandSpec {
        name: "MIGRATE_LIST",
        kind: CommandKind::MigrateList,
        available: false,
        summary: "lists batches that MIGRATE started",
        syntax: &["MIGRATE_LIST [STATUS='<status>' [FROM_DATE='<date>' [TO_DATE='<date>']]]"],
        example: "MIGRATE_LIST STATUS='ALL';",
        places: &[],
        options: options::MIGRATE_LIST,
        ..MONITOR
    },
    CommandSpec {
        name: "MIGRATE_SUMMARY",
        kind: CommandKind::MigrateSummary,
        available: false,
        summary: "is BATCH_SUMMARY for a batch that MIGRATE started",
        syntax: &["MIGRATE_SUMMARY '<batch id>'"],
        example: "MIGRATE_SUMMARY '35408af6-b26a-4243-bc95-f114335bfa5e';",
        ..MONITOR
    },
    CommandSpec {
        name: "MIGRATE_DETAILS",
        kind: CommandKind::MigrateDetails,
        available: false,
        summary: "lists the instances of a batch that MIGRATE started, with their outcomes",
        syntax: &[
            "MIGRATE_DETAILS '<batch id>' [STATUS='<status>' [AFFINITY='<nodes>']] [LIMIT <n>]",
        ],
        example: "MIGRATE_DETAILS '35408af6-b26a-4243-bc95-f114335bfa5e' LIMIT 10;",
        options: options::MIGRATE_DETAILS,
        ..MONITOR
    },
    CommandSpec {
        name: "MIGRATE_IN_PROCESS",
        kind: CommandKind::MigrateInProcess,
        available: false,
        summary: "is BATCH_IN_PROCESS for batches that MIGRATE started",
        syntax: &["MIGRATE_IN_PROCESS"],
        example: "MIGRATE_IN_PROCESS;",
        places: &[],
        options: options::IN_PROCESS,
        ..MONITOR
    },
    CommandSpec {
        name: "JOBSTATUS",
        kind: CommandKind::JobStatus,
        summary: "lists jobs; without words behind it, those that are not archived",
        syntax: &[
            "JOBSTATUS",
            "JOBSTATUS <n> days ago",
            "JOBSTATUS <type>",
            "JOBSTATUS <type> '<name>' [with UID='<uid>']",
        ],
        example: "JOBSTATUS PROCESS 'sync_first.sh' with UID='1_2';",
        with: With::Required,
        options: options::JOB_STATUS,
        ..JOB
    },
    CommandSpec {
        name: "JOBHISTORY",
        kind: CommandKind::JobHistory,
        summary: "lists the runs of a job, the latest first",
        syntax: &["JOBHISTORY <type> '<name>' [with UID='<uid>'] [LIMIT=<n>]"],
        example: "JOBHISTORY PROCESS 'sync_first.sh' with UID='1_2' LIMIT=20;",
        options: options::JOB_HISTORY,
        ..JOB
    },
    CommandSpec {
        name: "STARTJOB",
        kind: CommandKind::StartJob,
        summary: "starts a job, once or on a schedule",
        syntax: &[
            "STARTJOB <type> NAME='<name>' [UID='<uid>'] [AFFINITY='<nodes>'] [ARGS='<json>'] [EXEC_INTERVAL='<schedule>'] [<options>]",
            "STARTJOB cdc_republish_instance_job <LU>.<id> [TABLES='<table>,<table>'] ARGS='{\"sink\":…}' [<options>]",
        ],
        example: "STARTJOB PROCESS NAME='sync_first.sh' UID='1_2' ARGS='{\"0\":\"100\"}' EXEC_INTERVAL='0 2 * * *' TIME_ZONE='Europe/Berlin';",
        options: options::START_JOB,
        ..JOB
    },
    CommandSpec {
        name: "STOPJOB",
        kind: CommandKind::StopJob,
        summary: "stops jobs of a type and name; with UID, one of them",
        syntax: &["STOPJOB <type> NAME='<name>' [UID='<uid>']"],
        example: "STOPJOB PROCESS NAME='sync_first.sh' UID='1_2';",
        ..JOB
    },
    CommandSpec {
        name: "RESTARTJOB",
        kind: CommandKind::RestartJob,
        summary: "stops jobs of a type and name and runs them again",
        syntax: &["RESTARTJOB <type> NAME='<name>' [UID='<uid>']"],
        example: "RESTARTJOB PROCESS NAME='sync_first.sh' UID='1_2';",
        ..JOB
    },
    CommandSpec {
        name: "RESUMEJOB",
        kind: CommandKind::ResumeJob,
        summary: "takes up archived jobs of a type and name again",
        syntax: &["RESUMEJOB <type> NAME='<name>' [UID='<uid>']"],
        example: "RESUMEJOB PROCESS NAME='sync_first.sh' UID='1_2';",
        ..JOB
    },
    CommandSpec {
        name: "UPDATEJOB",
        kind: CommandKind::UpdateJob,
        summary: "changes affinity, arguments, schedule or the other options of jobs of a type and name; with UID, of one of them",
        syntax: &[
            "UPDATEJOB <type> NAME='<name>' [UID='<uid>'] [AFFINITY='<nodes>'] [ARGS='<json>'] [EXEC_INTERVAL='<schedule>'] [RESET_END_TIME=true|false] [<options>]",
        ],
        example: "UPDATEJOB PROCESS NAME='sync_first.sh' UID='1_2' EXEC_INTERVAL='30 4-16/3 5 11 *' RESET_END_TIME=true;",
        options: options::UPDATE_JOB,
        ..JOB
    },
    CommandSpec {
        name: "PS",
        kind: CommandKind::Ps,
        summary: "lists the tasks of this node or of all nodes, or shows what one task does now",
        syntax: &["PS", "PS ALL", "PS <task id>"],
        example: "PS ALL;",
        places: &[Place::Word("ALL")],
        options: options::NONE,
        ..JOB
    },
    CommandSpec {
        name: "TRACE",
        kind: CommandKind::Trace,
        chapter: Chapter::Jobs,
        summary: "writes down what this node does with its jobs, until it is turned off",
        syntax: &[
            "TRACE [session_scope | global_scope] <operation> ['[type=<type>] [name=<name>] [uid=<uid>]']",
            "TRACE OPS",
            "TRACE STATUS [<n>]",
            "TRACE OFF [<n>]",
            "TRACE REMOVE <n>",
        ],
        example: "TRACE global_scope jobExecutor 'type=PROCESS name=report.sh';",
        places: &[Place::Words(TRACE_WORDS)],
        ..BLANK
    },
    CommandSpec {
        name: "STOPPARSER",
        available: false,
        summary: "stops a parser of a logical unit",
        syntax: &["STOPPARSER <LU> <parser>"],
        example: "STOPPARSER Customer deltaIid;",
        places: &[Place::Value(ValueKind::LogicalUnit)],
        options: options::NONE,
        ..JOB
    },
    CommandSpec {
        name: "GET",
        kind: CommandKind::Get,
        summary: "fetches instances, at most one of each logical unit",
        syntax: &["GET <LU>.<id>[, <LU>.<id>…] [STOP_ON_ERROR=true|false] [PARALLEL=true|false]"],
        example: "GET Customer.1, CRM.34;",
        options: options::GET,
        ..INSTANCE
    },
    CommandSpec {
        name: "USE",
        kind: CommandKind::Use,
        available: false,
        summary: "attaches stored instances without fetching them",
        syntax: &["USE <LU>.<id>[, <LU>.<id>…] [STOP_ON_ERROR=true|false] [PARALLEL=true|false]"],
        example: "USE Customer.1;",
        options: options::GET,
        ..INSTANCE
    },
    CommandSpec {
        name: "GETF",
        available: false,
        summary: "fetches the instance whose id a function makes",
        syntax: &["GETF <LU>.<function>(<values>)"],
        example: "GETF Customer.addEnvironment(235);",
        ..INSTANCE
    },
    CommandSpec {
        name: "SELECT",
        kind: CommandKind::Select,
        summary: "queries the attached instances",
        syntax: &["SELECT …"],
        example: "SELECT count(*) FROM customer;",
        places: &[],
        ..INSTANCE
    },
    CommandSpec {
        name: "WITH",
        kind: CommandKind::Select,
        summary: "queries the attached instances, as SELECT with common table expressions",
        syntax: &["WITH … SELECT …"],
        example: "WITH c AS (SELECT 1 AS n) SELECT n FROM c;",
        places: &[],
        ..INSTANCE
    },
    CommandSpec {
        name: "RELEASE",
        kind: CommandKind::Release,
        summary: "lets go the attached instance of a logical unit, or all of them",
        syntax: &["RELEASE [<LU>]"],
        example: "RELEASE Customer;",
        ..INSTANCE
    },
    CommandSpec {
        name: "SYNC_INSTANCE",
        kind: CommandKind::SyncInstance,
        summary: "brings one instance up to date",
        syntax: &["SYNC_INSTANCE <LU>.<id>"],
        example: "SYNC_INSTANCE Customer.'1';",
        ..INSTANCE
    },
    CommandSpec {
        name: "ECHO",
        kind: CommandKind::Echo,
        summary: "answers its text, for trying things out",
        syntax: &["ECHO <text> [DELAY_MS=<n>]"],
        example: "ECHO 'hello' DELAY_MS=100;",
        places: &[],
        options: options::ECHO,
        ..INSTANCE
    },
    CommandSpec {
        name: "BROADWAY",
        kind: CommandKind::Broadway,
        summary: "runs a flow and shows its outputs",
        syntax: &[
            "BROADWAY <LU>.<flow> [<input>=<value>[, <input>=<value>…]] [RESULT_STRUCTURE=COLUMN|ROW|CURSOR] [recoveryId=<id> [recoveryTtl=<seconds>] [recoveryMaxTries=<n>]]",
        ],
        example: "BROADWAY Customer.publish customer_id='1' RESULT_STRUCTURE='ROW';",
        ..INSTANCE
    },
    CommandSpec {
        name: "CDC_REPUBLISH_INSTANCE",
        kind: CommandKind::CdcRepublish,
        available: false,
        summary: "publishes all data of one instance again",
        syntax: &[
            "CDC_REPUBLISH_INSTANCE <LU>.<id> [TABLES='<table>,<table>'] [TYPES='<type>,<type>'] [TRUNCATE=true|false]",
        ],
        example: "CDC_REPUBLISH_INSTANCE Customer.'1' TABLES='customer,address';",
        options: options::CDC_REPUBLISH,
        ..INSTANCE
    },
    CommandSpec {
        name: "DELETE INSTANCE",
        aliases: &["DELETE"],
        available: false,
        summary: "deletes stored instances",
        syntax: &["DELETE INSTANCE <LU>.<id>[, <LU>.<id>…]"],
        example: "DELETE INSTANCE Customer.1;",
        ..INSTANCE
    },
    CommandSpec {
        name: "DELETE INSTANCES",
        available: false,
        summary: "deletes the stored instances that their source does not have any more",
        syntax: &["DELETE INSTANCES IF NOT EXIST <LU>"],
        example: "DELETE INSTANCES IF NOT EXIST Customer;",
        places: &[Place::Word("IF NOT EXIST")],
        ..INSTANCE
    },
    CommandSpec {
        name: "CLUSTERSTATUS",
        kind: CommandKind::ClusterStatus,
        summary: "lists the nodes; with NODE_AFFINITY_STATUS, the logical ids of each with their sizes",
        syntax: &["CLUSTERSTATUS [NODE_AFFINITY_STATUS]"],
        example: "CLUSTERSTATUS;",
        places: &[Place::Word("NODE_AFFINITY_STATUS")],
        ..CLUSTER
    },
    CommandSpec {
        name: "CLUSTERID",
        kind: CommandKind::ClusterId,
        summary: "shows the id of the cluster",
        syntax: &["CLUSTERID"],
        example: "CLUSTERID;",
        ..CLUSTER
    },
    CommandSpec {
        name: "DEPLOY",
        kind: CommandKind::Deploy,
        summary: "deploys the project, one logical unit of it, or the project in a folder",
        syntax: &["DEPLOY [<LU> | '<folder>'] [SOFT_DEPLOY=true|false]"],
        example: "DEPLOY './project' SOFT_DEPLOY=true;",
        places: &[Place::Value(ValueKind::LogicalUnit)],
        options: options::DEPLOY,
        ..CLUSTER
    },
    CommandSpec {
        name: "LIST LU",
        aliases: &["LIST LUS", "LIST LUT", "LIST LUTS"],
        kind: CommandKind::ListLogicalUnits,
        summary: "lists the logical units",
        syntax: &["LIST LU"],
        example: "LIST LU;",
        ..CLUSTER
    },
    CommandSpec {
        name: "LIST INSTANCE_GROUPS",
        aliases: &["LIST IGS"],
        kind: CommandKind::ListInstanceGroups,
        summary: "lists the instance groups of all logical units",
        syntax: &["LIST INSTANCE_GROUPS"],
        example: "LIST INSTANCE_GROUPS;",
        ..CLUSTER
    },
    CommandSpec {
        name: "LIST INTERFACES",
        kind: CommandKind::ListInterfaces,
        summary: "lists the interfaces",
        syntax: &["LIST INTERFACES"],
        example: "LIST INTERFACES;",
        ..CLUSTER
    },
    CommandSpec {
        name: "LIST AFFINITY_RULES",
        kind: CommandKind::ListAffinityRules,
        summary: "shows the affinity rules of the cluster, and which nodes are in which group",
        syntax: &["LIST AFFINITY_RULES"],
        example: "LIST AFFINITY_RULES;",
        ..CLUSTER
    },
    CommandSpec {
        name: "SET_GLOBAL",
        kind: CommandKind::SetGlobal,
        summary: "sets, or takes away, the affinity rules of the cluster; other values of the cluster are known by name and refused",
        syntax: &[
            "SET_GLOBAL AFFINITY_RULES='<json>'",
            "SET_GLOBAL RESET_AFFINITY_RULES",
        ],
        example: "SET_GLOBAL AFFINITY_RULES='{\"DC1\":{\"blue\":{\"count\":1,\"affinities\":[{\"affinity\":\"heavy\",\"recommended\":2,\"max\":4}]}}}';",
        ..CLUSTER
    },
    CommandSpec {
        name: "GRANT",
        available: false,
        summary: "gives a role a permission",
        syntax: &["GRANT <permission> ON <object> TO <role>"],
        example: "GRANT migrate ON Customer TO operators;",
        ..CLUSTER
    },
    CommandSpec {
        name: "REVOKE",
        available: false,
        summary: "takes a permission from a role",
        syntax: &["REVOKE <permission> ON <object> FROM <role>"],
        example: "REVOKE migrate ON Customer FROM operators;",
        ..CLUSTER
    },
    CommandSpec {
        name: "SET",
        kind: CommandKind::Set,
        summary: "sets values of the session, which its batches and jobs inherit; alone, it lists them; NODE_AFFINITY is of the node",
        syntax: &[
            "SET",
            "SET <name> = <value>[, <name> = <value>…]",
            "SET <name> <value>",
            "SET NODE_AFFINITY '<logical id>[:<recommended>[:<at most>]], …' -- of this node, added to what it has",
            "SET NODE_AFFINITY '@Reset@'",
        ],
        example: "SET environment='_dev';",
        ..BLANK
    },
    CommandSpec {
        name: "HELP",
        kind: CommandKind::Help,
        summary: "lists the commands, or describes one of them or a type of job",
        syntax: &["HELP [<command> | <job type>]"],
        example: "HELP BATCH;",
        places: &[Place::Command],
        ..BLANK
    },
];
