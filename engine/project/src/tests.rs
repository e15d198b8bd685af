//! Reading and checking projects, and the errors of wrong ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use weft_model::clock::SystemClock;

use super::*;
use crate::interface::Environment;
use crate::interface::InterfaceContext;

const LU: &str = "\
root: car
ids: select id from car
tables:
  car:
    interface: garage
    query: car.sql
    id_column: id
    key: [id]
    columns: {id: TEXT, model: INTEGER}
  service:
    interface: garage
    query: select id, car, km from service where car in (:ids)
    parent: car
    on: {car: id}
    key: id
    columns:
      id: INTEGER
      car: TEXT
      km: integer not null
    sync: {interval: 1.00:00:00}
  model:
    interface: models
    query: select id, name from models where id in (:ids)
    parent: car
    on: {id: model}
    key: [id]
    columns: {id: INTEGER, name: TEXT}
    sync: none
instance_groups:
  small: select id from car limit 3
  of_models: {interface: models, query: select id from models}
";

/// A project of these files, which replace files of a correct project.
fn project(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let right = [
        ("project.yaml", "name: cars\n"),
        (
            "interfaces/garage.yaml",
            "type: sqlite\npath: ${PROJECT_DIR}/data/garage.sqlite\n",
        ),
        (
            "interfaces/models.yaml",
            "type: csv\npath: ${PROJECT_DIR}/data/models.csv\ntables:\n  models:\n    columns: {id: INTEGER}\n    index: id\n",
        ),
        ("logical_units/CAR/lu.yaml", LU),
        (
            "logical_units/CAR/car.sql",
            "select id, model\nfrom car\nwhere id in (:ids)\n",
        ),
        ("data/models.csv", "id,name\n1,beetle\n2,mini\n"),
    ];
    for (path, content) in right.iter().chain(files) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    rusqlite::Connection::open(folder.path().join("data/garage.sqlite"))
        .unwrap()
        .execute_batch("create table car (id text primary key, model integer); create table service (id, car, km);")
        .unwrap();
    folder
}

fn context(folder: &TempDir) -> InterfaceContext {
    InterfaceContext {
        clock: Arc::new(SystemClock),
        base: folder.path().to_path_buf(),
        scratch: folder.path().join("scratch"),
        environment: Environment::from_map(BTreeMap::new()),
        store: None,
    }
}

async fn errors(files: &[(&str, &str)]) -> Vec<String> {
    let folder = project(files);
    match Project::load(folder.path(), &context(&folder), &Validators::default()).await {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// The errors of the logical unit after one replacement in its text.
async fn lu_errors(old: &str, new: &str) -> Vec<String> {
    assert!(LU.contains(old), "{old}");
    let text = LU.replacen(old, new, 1);
    let errors = errors(&[("logical_units/CAR/lu.yaml", &text)]).await;
    let inside = |error: &String| error.replace("logical_units/CAR/lu.yaml:", "");
    errors.iter().map(inside).collect()
}

#[tokio::test]
async fn a_project_that_is_right_is_read_as_a_whole() {
    let folder = project(&[]);
    let project = Project::load(folder.path(), &context(&folder), &Validators::default())
        .await
        .unwrap();
    let car = project.logical_unit("car").unwrap();
    assert_eq!((car.name.as_str(), car.root.as_str()), ("CAR", "car"));
    let names: Vec<_> = car.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["car", "service", "model"]);
    let links: Vec<_> = car.tables.iter().map(|table| table.link.clone()).collect();
    assert_eq!(
        links[0],
        TableLink::Instance {
            column: "id".into()
        }
    );
    assert_eq!(
        links[1],
        TableLink::Instance {
            column: "car".into()
        },
        "the parent's column is the instance id"
    );
    let by_model = TableLink::Parent {
        parent: "car".into(),
        parent_column: "model".into(),
        column: "id".into(),
    };
    assert_eq!(links[2], by_model);
    let day = SyncMethod::Interval(Duration::from_secs(86_400));
    let methods: Vec<_> = car.tables.iter().map(|table| table.sync).collect();
    assert_eq!(methods, [SyncMethod::Always, day, SyncMethod::None]);
    assert!(car.tables[1].columns[2].not_null);
    assert_eq!(
        car.tables[0].query.sql,
        "select id, model\nfrom car\nwhere id in (:ids)"
    );
    let ids = car.ids.as_ref().unwrap();
    assert_eq!(
        (ids.interface.as_str(), ids.sql.as_str()),
        ("garage", "select id from car")
    );
    assert_eq!(
        project
            .instance_group("CAR", "Of_Models")
            .unwrap()
            .interface,
        "models"
    );
    assert_eq!(project.interface("GARAGE").unwrap().kind(), "sqlite");
}

#[tokio::test]
async fn unknown_names_come_with_the_nearest() {
    let folder = project(&[]);
    let project = Project::load(folder.path(), &context(&folder), &Validators::default())
        .await
        .unwrap();
    let check = |error: String, expected: &str| assert_eq!(error, expected);
    check(
        project.logical_unit("CARR").unwrap_err().to_string(),
        "there is no logical unit `CARR`; did you mean `CAR`?",
    );
    check(
        project.interface("garrage").unwrap_err(),
        "there is no interface `garrage`; did you mean `garage`?",
    );
    check(
        project
            .instance_group("CAR", "smal")
            .unwrap_err()
            .to_string(),
        "there is no instance group `smal`; did you mean `small`?",
    );
    check(
        project.logical_unit("Customer").unwrap_err().to_string(),
        "there is no logical unit `Customer`",
    );
}

#[tokio::test]
async fn every_mistake_in_a_logical_unit_has_its_line_and_field() {
    let check = async |old: &str, new: &str, expected: &[&str]| {
        assert_eq!(lu_errors(old, new).await, expected, "{old} -> {new}");
    };
    check(
        "root: car",
        "rot: car",
        &[
            "1: root: is missing",
            "1: rot: unknown field; did you mean `root`?",
        ],
    )
    .await;
    check(
        "root: car",
        "root: carr",
        &["1: root: there is no table `carr`; did you mean `car`?"],
    )
    .await;
    check(
        "ids: select",
        "ids: []\nidz: select",
        &[
            "2: ids: must be a map, not a list",
            "2: ids.query: is missing",
            "3: idz: unknown field; did you mean `ids`?",
        ],
    )
    .await;
    check(
        "interface: garage",
        "interface: garag",
        &["5: tables.car.interface: there is no interface `garag`; did you mean `garage`?"],
    )
    .await;
    check(
        "    interface: garage\n",
        "",
        &["4: tables.car.interface: is missing"],
    )
    .await;
    check("query: car.sql", "query: cars.sql", &["6: tables.car.query: there is no file logical_units/CAR/cars.sql; did you mean `car.sql`?"]).await;
    check(
        "    id_column: id\n",
        "",
        &["4: tables.car: the root table needs `id_column`: the column that has the instance id"],
    )
    .await;
    check(
        "key: [id]",
        "key: [idd]",
        &["8: tables.car.key: `idd` is not among the columns; did you mean `id`?"],
    )
    .await;
    check("{id: TEXT, model: INTEGER}", "{id: TEXT, model: INTEGR}", &[
        "9: tables.car.columns.model: unknown type `INTEGR`; known are TEXT, INTEGER, REAL, BLOB, ANY; did you mean `INTEGER`?",
    ]).await;
    check(
        "{id: TEXT, model: INTEGER}",
        "[id]",
        &[
            "8: tables.car.key: `id` is not among the columns",
            "9: tables.car.columns: must be a map, not a list",
            "14: tables.service.on.car: `id` is not a column of car",
            "25: tables.model.on.id: `model` is not a column of car",
        ],
    )
    .await;
    check(
        "parent: car",
        "parent: caar",
        &["13: tables.service.parent: there is no table `caar`; did you mean `car`?"],
    )
    .await;
    check(
        "    on: {car: id}\n",
        "",
        &["10: tables.service.on: needs `on` with one pair: `{column: column of the parent}`"],
    )
    .await;
    check("    parent: car\n    on: {car: id}\n", "", &["10: tables.service: needs `id_column`, or `parent` and `on`: how do its rows find their instance?"]).await;
    check("in (:ids)\n    parent", "in (:idz)\n    parent", &["12: tables.service.query: must have one parameter: `in (:ids)` for a set of ids, or `= :id`"]).await;
    check(
        "interval: 1.00:00:00",
        "interval: 1d",
        &["20: tables.service.sync: must be `always`, `none` or `interval: D.HH:MM:SS`"],
    )
    .await;
    check(
        "sync: none",
        "sync: sometimes",
        &["28: tables.model.sync: must be `always`, `none` or `interval: D.HH:MM:SS`"],
    )
    .await;
    check("small:", "1small:", &["30: instance_groups.1small: `1small` is not a name: a name starts with a letter and has only letters, digits and _"]).await;
    check("small:", "sm-all:", &["30: instance_groups.sm-all: `sm-all` is not a name: a name starts with a letter and has only letters, digits and _"]).await;
    check(
        "select id from car limit 3",
        "select id, model from car",
        &["30: instance_groups.small: The query must return one column only. It returns id, model"],
    )
    .await;
    check(
        "select id from car limit 3",
        "select id from car where id = :id",
        &["30: instance_groups.small: a query for ids has no parameters, and `:id` is one"],
    )
    .await;
    check("interface: models, query", "interface: modells, query", &["31: instance_groups.of_models.interface: there is no interface `modells`; did you mean `models`?"]).await;
    check(
        "  car:\n    interface: garage",
        "  car:\n    interface: garage\n    interface: garage",
        &["6: `interface` is given twice"],
    )
    .await;
}

#[tokio::test]
async fn queries_are_prepared_where_their_interface_can_be_reached() {
    let check = async |old: &str, new: &str, expected: &[&str]| {
        assert_eq!(lu_errors(old, new).await, expected, "{old} -> {new}");
    };
    check(
        "km from service",
        "km frm service",
        &["12: tables.service.query: interface garage: near \"service\": syntax error"],
    )
    .await;
    check(
        "km from service",
        "km from services",
        &["12: tables.service.query: interface garage: no such table: services"],
    )
    .await;
    check("select id, car, km", "select id, car, km * 2 as kmm", &[
        "12: tables.service.query: table service wants column `km`, which the query does not return; did you mean `kmm`?",
        "12: tables.service.query: the query returns `kmm`, which is not a column of table service; did you mean `km`?",
    ]).await;
    check("select id, car, km from service where car in (:ids)", "delete from service where car in (:ids)", &[
        "12: tables.service.query: interface garage: not authorized: only a single SELECT on the interface's own tables is allowed",
    ]).await;
    let in_file = errors(&[(
        "logical_units/CAR/car.sql",
        "select id, modell\nfrom car where id in (:ids)",
    )])
    .await;
    assert_eq!(
        in_file,
        ["logical_units/CAR/car.sql:1: interface garage: no such column: modell"]
    );
    let folder = project(&[]);
    fs::remove_file(folder.path().join("data/garage.sqlite")).unwrap();
    assert!(
        Project::load(folder.path(), &context(&folder), &Validators::default())
            .await
            .is_ok(),
        "a source may be down"
    );
}

#[tokio::test]
async fn every_mistake_in_an_interface_has_its_line_and_field() {
    let check = async |content: &str, expected: &[&str]| {
        let errors = errors(&[("interfaces/more.yaml", content)]).await;
        let errors: Vec<_> = errors
            .iter()
            .map(|error| error.replace("interfaces/more.yaml:", ""))
            .collect();
        assert_eq!(errors, expected, "{content}");
    };
    check("type: csv\npath: /x.csv\n", &[]).await;
    check("type: parsed\n", &["1: logical_unit: is missing"]).await;
    check(
        "type: parsed\nlogical_unit: CRA\npath: /x\n",
        &[
            "1: logical_unit: there is no logical unit `CRA`; did you mean `CAR`?",
            "3: path: unknown field",
        ],
    )
    .await;
    check(
        "type: parsed\nlogical_unit: CAR\n",
        &["1: logical_unit: logical unit CAR has no parsers"],
    )
    .await;
    check("", &["1: path: is missing", "1: type: is missing"]).await;
    check(
        "- a\n",
        &[
            "1: must be a map, not a list",
            "1: path: is missing",
            "1: type: is missing",
        ],
    )
    .await;
    check(
        "type: cvs\npath: /x\n",
        &["1: type: unknown type `cvs`; known are sqlite, csv, jsonl, parsed; did you mean `csv`?"],
    )
    .await;
    check(
        "type: sqlite\npath: /x\ntables: {}\n",
        &["3: tables: unknown field"],
    )
    .await;
    check(
        "type: csv\npath: [a]\n",
        &["2: path: must be a text, not a list"],
    )
    .await;
    check("type: csv\npath: data/x.csv\n", &["2: path: `data/x.csv` is not part of what is deployed; write an absolute path, or `${PROJECT_DIR}/…` for what lies next to the project"]).await;
    check("type: csv\npath: interfaces/../../x.csv\n", &["2: path: `interfaces/../../x.csv` is not part of what is deployed; write an absolute path, or `${PROJECT_DIR}/…` for what lies next to the project"]).await;
    check(
        "type: csv\npath: ${NOPE}/x.csv\n",
        &["1: path: environment variable NOPE is not set"],
    )
    .await;
    check(
        "type: csv\npath: /x\ndelimiter: ab\n",
        &["3: delimiter: must be one character, not `ab`"],
    )
    .await;
    check(
        "type: csv\npath: /x\nlimits:\n  rows: many\n  secs: 3\n",
        &[
            "4: limits.rows: must be a whole number from 1 to 100000000, not `many`",
            "5: limits.secs: unknown field",
        ],
    )
    .await;
    check("type: csv\npath: /x\ntables:\n  t:\n    columns: {a: REAL}\n    index: [a]\n    file: ../y.csv\n", &[
        "6: tables.t.index: `a` is REAL; only TEXT and INTEGER have an index",
        "7: tables.t.file: must not leave the folder of the interface",
    ]).await;
    check(
        "type: csv\n  path: /x\n",
        &["2: not YAML: mapping values are not allowed in this context"],
    )
    .await;
}

#[tokio::test]
async fn all_errors_are_reported_at_once() {
    let errors = errors(&[
        ("project.yaml", "nam: x\n"),
        ("interfaces/bad-name.yaml", "type: csv\npath: /x.csv\n"),
        ("interfaces/GARAGE.yaml", "type: csv\npath: /x.csv\n"),
        ("interfaces/fabric.yaml", "type: csv\npath: /x.csv\n"),
        ("interfaces/other.yml", "type: csv\n"),
        ("logical_units/EMPTY/notes.sql", "select 1"),
        (
            "logical_units/CAR/lu.yaml",
            "root: car\ntables:\n  car:\n    interface: nope\n    query: ''\n",
        ),
    ])
    .await;
    assert_eq!(
        errors,
        [
            "interfaces/bad-name.yaml:1: `bad-name` is not a name: it starts with a letter and has only letters, digits and _",
            "interfaces/fabric.yaml:1: `fabric` means the stored instances in FROM",
            "interfaces/garage.yaml:1: `garage` and `GARAGE` differ only in upper and lower case",
            "interfaces/other.yml:1: has the extension .yml; write .yaml",
            "logical_units/CAR/lu.yaml:3: tables.car: the root table needs `id_column`: the column that has the instance id",
            "logical_units/CAR/lu.yaml:3: tables.car.columns: is missing",
            "logical_units/CAR/lu.yaml:4: tables.car.interface: there is no interface `nope`",
            "logical_units/CAR/lu.yaml:5: tables.car.query: is empty",
            "logical_units/EMPTY/lu.yaml:1: is missing",
            "project.yaml:1: nam: unknown field; did you mean `name`?",
        ]
    );
}

#[tokio::test]
async fn parents_may_not_form_a_circle() {
    let lu = "\
root: car
tables:
  car: {interface: garage, query: car.sql, id_column: id, columns: {id: TEXT, model: INTEGER}}
  a: {interface: models, query: 'select id, name from models where id in (:ids)', parent: b, on: {id: id}, columns: {id: ANY, name: TEXT}}
  b: {interface: models, query: 'select id, name from models where id in (:ids)', parent: a, on: {id: id}, columns: {id: ANY, name: TEXT}}
";
    let errors = errors(&[("logical_units/CAR/lu.yaml", lu)]).await;
    assert_eq!(
        errors,
        [
            "logical_units/CAR/lu.yaml:4: tables.a: its parents form a circle",
            "logical_units/CAR/lu.yaml:5: tables.b: its parents form a circle",
        ]
    );
}

#[test]
fn loading_and_deploying_can_be_awaited_on_any_thread() {
    fn is_send<T: Send>(_: &T) {}
    fn of_deploy(
        catalogue: &ProjectCatalogue,
        ids: &weft_model::ids::Ids,
        self_fence: &weft_store::SelfFence,
    ) {
        is_send(&catalogue.deploy(Path::new("/"), "me", ids, self_fence));
    }
    let _ = of_deploy;
    let folder = project(&[]);
    let context = context(&folder);
    is_send(&Project::load(
        folder.path(),
        &context,
        &Validators::default(),
    ));
}

#[tokio::test]
async fn functions_flows_and_parsers_are_kept_by_their_names() {
    let folder = project(&[
        (
            "logical_units/CAR/functions/count.js",
            "function count() {}\n",
        ),
        ("logical_units/CAR/flows/Publish.yaml", "stages: []\n"),
        (
            "logical_units/CAR/parsers/deltas.yaml",
            "table: deltas\ncolumns: {id: INTEGER}\n",
        ),
    ]);
    let project = Project::load(folder.path(), &context(&folder), &Validators::default())
        .await
        .unwrap();
    let unit = project.logical_unit("car").unwrap();
    let (name, file) = unit.flow("publish").unwrap();
    assert_eq!(
        (name, file.path.as_str()),
        ("Publish", "logical_units/CAR/flows/Publish.yaml")
    );
    assert_eq!(
        unit.function("COUNT").unwrap().1.text,
        "function count() {}\n"
    );
    let unknown = unit.parser("delta").unwrap_err().to_string();
    assert_eq!(
        unknown,
        "there is no parser `delta`; did you mean `deltas`?"
    );
    let wrong = errors(&[
        ("logical_units/CAR/functions/count.ts", ""),
        ("logical_units/CAR/functions/1st.js", ""),
        ("logical_units/CAR/flows/deep/flow.yaml", ""),
        ("logical_units/CAR/parsers/p.yml", ""),
    ])
    .await;
    assert_eq!(
        wrong,
        [
            "logical_units/CAR/flows/deep/flow.yaml:1: is not a file <name>.yaml directly in flows/",
            "logical_units/CAR/functions/1st.js:1: `1st` is not a name: it starts with a letter and has only letters, digits and _",
            "logical_units/CAR/functions/count.ts:1: is not a file <name>.js directly in functions/",
            "logical_units/CAR/parsers/p.yml:1: is not a file <name>.yaml directly in parsers/",
        ]
    );
}

#[tokio::test]
async fn mistakes_in_the_jobs_of_a_unit_have_their_line_and_field() {
    let text = format!(
        "{LU}jobs:\n  a: {{type: USERJOB, name: cout}}\n  b: {{type: PROCES, name: x, max_attempts: 0, overlap: QUEU, start_at: soon}}\n  c: {{type: HTTP, name: x, exec_interval: 0 0 30 2 *, args: 5}}\n  d: {{type: PROCESS, name: x, after: PROCESS y, active: perhaps, time_zone: Europe/Berlim}}\n  e: {{type: PARSER}}\n"
    );
    let first = LU.lines().count() + 2;
    let errors = errors(&[
        ("logical_units/CAR/lu.yaml", &text),
        (
            "logical_units/CAR/functions/count.js",
            "function count() {}",
        ),
    ])
    .await;
    let expected = [
        (
            0,
            "jobs.a.name: there is no function `cout`; did you mean `count`?",
        ),
        (
            1,
            "jobs.b.max_attempts: MAX_ATTEMPTS takes -1 or a whole number from 1 to 1000",
        ),
        (1, "jobs.b.overlap: unknown overlap rule `QUEU`"),
        (1, "jobs.b.start_at: `soon` is not a moment"),
        (
            1,
            "jobs.b.type: `PROCES` is not a job type; did you mean `PROCESS`?",
        ),
        (2, "jobs.c.args: must be a map, not a text"),
        (2, "jobs.c.exec_interval: "),
        (3, "jobs.d.active: must be true or false, not `perhaps`"),
        (3, "jobs.d.after: expected <type> <name>"),
        (3, "jobs.d.time_zone: "),
        (4, "jobs.e.name: is missing"),
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, (line, text)) in errors.iter().zip(expected) {
        let expected = format!("logical_units/CAR/lu.yaml:{}: {text}", first + line);
        assert!(
            error.starts_with(&expected),
            "{error} instead of {expected}"
        );
    }
}

#[tokio::test]
async fn a_folder_without_anything_of_a_project_is_none() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "not a project").unwrap();
    let errors = Project::load(folder.path(), &context(&folder), &Validators::default())
        .await
        .unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        ".:1: is not a project: it has neither project.yaml nor interfaces/, logical_units/ or scripts/"
    );
}

/// Refuses every function.
#[derive(Debug)]
struct NoFunctions;

#[async_trait]
impl Validator for NoFunctions {
    async fn check(&self, project: &Project, findings: &Findings) {
        for unit in project.logical_units() {
            for file in unit.functions.values() {
                findings.add(&file.spot(), "is a function");
            }
        }
    }
}

#[tokio::test]
async fn validators_add_to_what_is_wrong() {
    let folder = project(&[("logical_units/CAR/functions/count.js", "")]);
    let validators = Validators::new([Arc::new(NoFunctions) as Arc<dyn Validator>]);
    let errors = Project::load(folder.path(), &context(&folder), &validators)
        .await
        .unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        ["logical_units/CAR/functions/count.js:1: is a function"]
    );
}

#[tokio::test]
async fn a_logical_unit_that_no_select_could_name_is_refused() {
    let lu = "root: t\ntables:\n  t:\n    interface: i\n    query: select id from t where id in (:ids)\n    id_column: id\n    columns: {id: TEXT}\n";
    let folder = project(&[
        (
            "interfaces/i.yaml",
            "type: csv\npath: ${PROJECT_DIR}/t.csv\n",
        ),
        ("logical_units/Temp/lu.yaml", lu),
    ]);
    let errors = Project::load(folder.path(), &context(&folder), &Validators::default())
        .await
        .unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "logical_units/Temp/lu.yaml:1: `Temp` is a schema of SQLite: no SELECT could name this logical unit"
    );
}
