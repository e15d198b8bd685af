//! Interfaces over real files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use weft_model::Value;
use weft_model::clock::SystemClock;

use super::*;
use crate::source::{Interface, Parameters, Rows, SourceError};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn definition(kind: InterfaceKind, path: &Path) -> InterfaceDefinition {
    InterfaceDefinition {
        name: "source".into(),
        kind,
        path: path.display().to_string(),
        tables: BTreeMap::new(),
        delimiter: None,
        limits: Limits::default(),
    }
}

fn open_definition(definition: &InterfaceDefinition, scratch: &Path) -> SharedInterface {
    let context = InterfaceContext {
        clock: Arc::new(SystemClock),
        base: scratch.to_path_buf(),
        scratch: scratch.join("scratch"),
        environment: Environment::from_map(BTreeMap::new()),
        store: None,
    };
    open(definition, &context, &[]).unwrap()
}

fn of_file(folder: &TempDir, kind: InterfaceKind, name: &str, content: &str) -> SharedInterface {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    open_definition(&definition(kind, &path), folder.path())
}

fn garage(folder: &TempDir) -> SharedInterface {
    let path = folder.path().join("garage.sqlite");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "create table car (id integer primary key, name text, price real, note blob);
             insert into car values (1, 'beetle', 10.5, x'00ff'), (2, 'mini', null, null), (3, 'dyane', 7, null);
             create view cheap as select * from car where price < 10;
             create trigger t after insert on car begin delete from car; end;",
        )
        .unwrap();
    open_definition(&definition(InterfaceKind::Sqlite, &path), folder.path())
}

async fn rows(interface: &SharedInterface, sql: &str) -> Result<Rows, SourceError> {
    interface
        .query(sql, Parameters::Positional(Vec::new()))
        .await
}

/// Rows as text, for short comparisons.
async fn lines(interface: &SharedInterface, sql: &str) -> Vec<String> {
    let rows = rows(interface, sql).await.unwrap().rows;
    let line = |row: &Vec<Value>| {
        row.iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join("|")
    };
    rows.iter().map(line).collect()
}

async fn refusal(interface: &SharedInterface, sql: &str) -> String {
    rows(interface, sql).await.unwrap_err().to_string()
}

async fn all_ids(interface: &SharedInterface, sql: &str) -> Result<Vec<String>, SourceError> {
    let mut stream = interface.ids(sql, Vec::new(), None).await?;
    let mut ids = Vec::new();
    while let Some(page) = stream.recv().await {
        let page = page?;
        assert!(page.ids.len() <= 512);
        ids.extend(page.ids);
    }
    Ok(ids)
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

#[tokio::test]
async fn a_sqlite_file_answers_queries_with_its_types() {
    let folder = folder();
    let garage = garage(&folder);
    assert_eq!(garage.kind(), "sqlite");
    let answer = rows(&garage, "select * from car where id < 3")
        .await
        .unwrap();
    assert_eq!(answer.columns, ["id", "name", "price", "note"]);
    assert_eq!(
        answer.rows[0],
        [
            Value::Integer(1),
            text("beetle"),
            Value::Real(10.5),
            Value::Blob(vec![0, 255])
        ]
    );
    assert_eq!(answer.rows[1][2], Value::Null);
    assert_eq!(lines(&garage, "select name from cheap;").await, ["dyane"]);
}

#[tokio::test]
async fn parameters_are_bound_by_position_by_name_and_as_a_set() {
    let folder = folder();
    let garage = garage(&folder);
    let check = async |sql: &str, parameters: Parameters, expected: &[&str]| {
        let rows = garage.query(sql, parameters).await.unwrap().rows;
        let names: Vec<String> = rows.iter().map(|row| row[0].to_string()).collect();
        assert_eq!(names, expected, "{sql}");
    };
    let by_id = "select name from car where id = ?";
    check(by_id, Parameters::Positional(vec![text("2")]), &["mini"]).await;
    let hostile = Parameters::Positional(vec![text("2 or 1=1")]);
    check(by_id, hostile, &[]).await;
    let named = Parameters::Named(vec![
        ("id".into(), text("3")),
        ("unused".into(), Value::Null),
    ]);
    check("select name from car where id = :id", named, &["dyane"]).await;
    for (ids, expected) in [
        (vec![], vec![]),
        (vec!["1"], vec!["beetle"]),
        (vec!["3", "1", "9"], vec!["beetle", "dyane"]),
    ] {
        let values = ids.into_iter().map(text).collect();
        let set = Parameters::Set {
            name: "ids".into(),
            values,
        };
        check(
            "select name from car where id in (:ids) order by id",
            set,
            &expected,
        )
        .await;
    }
}

#[tokio::test]
async fn wrong_parameters_are_reported() {
    let folder = folder();
    let garage = garage(&folder);
    let check = async |sql: &str, parameters: Parameters, expected: &str| {
        let error = garage.query(sql, parameters).await.unwrap_err();
        assert_eq!(error.to_string(), format!("interface source: {expected}"));
    };
    let two = Parameters::Positional(vec![Value::Null, Value::Null]);
    let one_place = "select name from car where id = ?";
    check(
        one_place,
        two,
        "the query has 1 parameters, and 2 values were given",
    )
    .await;
    let named = Parameters::Named(vec![("key".into(), Value::Null)]);
    check(
        "select name from car where id = :id",
        named,
        "no value for parameter :id",
    )
    .await;
    let set = Parameters::Set {
        name: "ids".into(),
        values: Vec::new(),
    };
    check(
        "select name from car",
        set,
        "the query has no parameter :ids",
    )
    .await;
}

#[tokio::test]
async fn edits_and_replacements_of_the_file_are_seen() {
    let folder = folder();
    let garage = garage(&folder);
    assert_eq!(lines(&garage, "select count(*) from car").await, ["3"]);
    let path = folder.path().join("garage.sqlite");
    let writer = rusqlite::Connection::open(&path).unwrap();
    writer
        .execute_batch("delete from car where id = 1")
        .unwrap();
    assert_eq!(lines(&garage, "select count(*) from car").await, ["2"]);
    let other = folder.path().join("other.sqlite");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("create table car (id); insert into car values (7)")
        .unwrap();
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(lines(&garage, "select id from car").await, ["7"]);
}

#[tokio::test]
async fn a_missing_source_is_unavailable_and_comes_back() {
    let folder = folder();
    let path = folder.path().join("late.sqlite");
    let late = open_definition(&definition(InterfaceKind::Sqlite, &path), folder.path());
    let error = rows(&late, "select 1").await.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable { .. }), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("interface source cannot be read: /"),
        "{error}"
    );
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("create table t (x)")
        .unwrap();
    assert_eq!(lines(&late, "select count(*) from t").await, ["0"]);
}

#[tokio::test]
async fn ids_come_in_pages_and_in_order() {
    let folder = folder();
    let garage = garage(&folder);
    let sql = "with recursive n(x) as (select 1 union all select x + 1 from n where x < 2000) select x from n";
    let ids = all_ids(&garage, sql).await.unwrap();
    assert_eq!(ids.len(), 2000);
    assert!(
        ids.iter()
            .enumerate()
            .all(|(index, id)| *id == (index + 1).to_string())
    );
    assert_eq!(
        all_ids(&garage, "select id from car limit 0")
            .await
            .unwrap(),
        [""; 0]
    );
    let mut one = garage
        .ids(
            "select id from car where name = ?",
            vec![text("mini")],
            None,
        )
        .await
        .unwrap();
    assert_eq!(one.recv().await.unwrap().unwrap().ids, ["2"]);
}

#[tokio::test]
async fn a_query_for_ids_must_have_one_column_and_no_null() {
    let folder = folder();
    let garage = garage(&folder);
    let check = async |sql: &str, expected: &str| {
        let error = all_ids(&garage, sql).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("interface source: {expected}"),
            "{sql}"
        );
    };
    check(
        "select id, name from car",
        "The query must return one column only.",
    )
    .await;
    check("select nope from car", "no such column: nope").await;
    check("select price from car", "row 2 has no id: it is NULL").await;
    check(
        "select id from car where id = ?",
        "the query has 1 parameters, and 0 values were given",
    )
    .await;
}

/// Three ids at once, and then a query that never ends.
const ENDLESS: &str = "with recursive n(x) as (select 1 union all select x + 1 from n) select x from n where x <= 3 or x < 0";

#[tokio::test]
async fn first_ids_arrive_before_the_source_has_finished_and_a_taker_that_leaves_ends_it() {
    let folder = folder();
    let garage = garage(&folder);
    drop(garage);
    let path = folder.path().join("garage.sqlite");
    let source: Arc<dyn pool::Source> = Arc::new(sqlite::SqliteFile { path });
    let clock = Arc::new(SystemClock);
    let garage = query::SqlInterface::new("garage", Arc::clone(&source), Limits::default(), clock);
    let idle = Arc::strong_count(&source);
    let mut stream = garage.ids(ENDLESS, Vec::new(), None).await.unwrap();
    let mut ids = Vec::new();
    while ids.len() < 3 {
        ids.extend(stream.recv().await.unwrap().unwrap().ids);
    }
    assert_eq!(ids, ["1", "2", "3"]);
    assert!(Arc::strong_count(&source) > idle, "the query is at work");
    drop(stream);
    let ended = async {
        while Arc::strong_count(&source) > idle {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_query_that_takes_too_long_or_returns_too_much_is_ended() {
    let folder = folder();
    let path = folder.path().join("garage.sqlite");
    drop(garage(&folder));
    let mut narrow = definition(InterfaceKind::Sqlite, &path);
    narrow.limits = Limits {
        rows: 2,
        seconds: 1,
        connections: 1,
    };
    let narrow = open_definition(&narrow, folder.path());
    assert_eq!(
        refusal(&narrow, "select id from car").await,
        "interface source: the query returns more than 2 rows"
    );
    let endless = format!("select count(*) from ({ENDLESS})");
    assert_eq!(
        refusal(&narrow, &endless).await,
        "interface source cannot be read: the query took longer than 1 s"
    );
    // The connection is still usable after a caller was dropped.
    let left = tokio::time::timeout(Duration::from_millis(50), rows(&narrow, &endless)).await;
    assert!(left.is_err());
    assert_eq!(lines(&narrow, "select 1").await, ["1"]);
}

#[tokio::test]
async fn hostile_statements_are_refused_and_change_nothing() {
    let folder = folder();
    let garage = garage(&folder);
    let path = folder.path().join("garage.sqlite");
    let before = std::fs::read(&path).unwrap();
    let corpus = include_str!("hostile.sql");
    let statements: Vec<&str> = corpus.split("\n---\n").map(str::trim).collect();
    assert!(statements.len() >= 50, "{}", statements.len());
    for statement in statements {
        let statement = statement.replace("@FOLDER", &folder.path().display().to_string());
        let answered = rows(&garage, &statement).await;
        assert!(
            matches!(answered, Err(SourceError::Query { .. })),
            "{statement}: {answered:?}"
        );
        assert!(all_ids(&garage, &statement).await.is_err(), "{statement}");
        // A value that is too large is noticed only when the query runs.
        let runs = statement.contains("000000");
        assert!(
            runs || garage.check(&statement).await.is_err(),
            "{statement}"
        );
    }
    assert!(
        std::fs::read(&path).unwrap() == before,
        "the source was changed"
    );
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1, "a file was made");
    assert_eq!(lines(&garage, "select count(*) from car").await, ["3"]);
}

const CARS: &str = "id,name,mpg,origin\n1,\"ford, \"\"torino\"\"\",17,USA\n2,\"two\nlines\",,Japan\n3,audi,24.5,Europe\n";

#[tokio::test]
async fn a_csv_file_is_a_table_with_all_of_sql() {
    let folder = folder();
    let cars = of_file(&folder, InterfaceKind::Csv, "cars.csv", CARS);
    assert_eq!(cars.kind(), "csv");
    let check =
        async |sql: &str, expected: &[&str]| assert_eq!(lines(&cars, sql).await, expected, "{sql}");
    check("select id from cars limit 2", &["1", "2"]).await;
    check(
        "select name from cars where id in ('1')",
        &["ford, \"torino\""],
    )
    .await;
    check("select name from cars where mpg = ''", &["two\nlines"]).await;
    check(
        "select origin, count(*) from cars group by origin order by 1",
        &["Europe|1", "Japan|1", "USA|1"],
    )
    .await;
    check(
        "select a.id, b.id from cars a join cars b on a.id < b.id order by 1, 2",
        &["1|2", "1|3", "2|3"],
    )
    .await;
    check("select typeof(mpg) from cars limit 1", &["text"]).await;
    let columns = cars.check("select * from cars").await.unwrap();
    assert_eq!(columns, ["id", "name", "mpg", "origin"]);
    let refused = cars.check("select * from nowhere").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "interface source: no such table: nowhere"
    );
}

fn typed_and_indexed(path: &Path, index: &[&str]) -> InterfaceDefinition {
    let table = TableDefinition {
        file: None,
        columns: [("id", ColumnType::Integer), ("mpg", ColumnType::Real)]
            .map(|(name, kind)| (name.to_owned(), kind))
            .into(),
        index: index.iter().map(|&name| name.to_owned()).collect(),
    };
    let mut definition = definition(InterfaceKind::Csv, path);
    definition.tables.insert("cars".into(), table);
    definition
}

#[tokio::test]
async fn columns_have_the_types_that_are_stated() {
    let folder = folder();
    let path = folder.path().join("cars.csv");
    std::fs::write(&path, format!("{CARS}x,odd,inf,\n")).unwrap();
    let cars = open_definition(&typed_and_indexed(&path, &[]), folder.path());
    let types = lines(
        &cars,
        "select typeof(id), typeof(name), typeof(mpg) from cars",
    )
    .await;
    assert_eq!(
        types,
        [
            "integer|text|real",
            "integer|text|null",
            "integer|text|real",
            "text|text|text"
        ]
    );
    assert_eq!(
        lines(&cars, "select name from cars where id > 2 and id < 4").await,
        ["audi"]
    );
}

#[tokio::test]
async fn an_index_gives_the_answers_of_a_full_reading() {
    let folder = folder();
    let path = folder.path().join("cars.csv");
    std::fs::write(
        &path,
        format!("{CARS}3,audi again,30,Europe\n,no id,1,USA\nx,text id,1,USA\n"),
    )
    .unwrap();
    let plain = open_definition(&typed_and_indexed(&path, &[]), folder.path());
    let indexed = open_definition(&typed_and_indexed(&path, &["id", "name"]), folder.path());
    for condition in [
        "id = 3",
        "id = '3'",
        "id = 3.0",
        "id = '3.0'",
        "id = ' 3'",
        "id = 'x'",
        "id is null",
        "id = null",
        "id in (1, '2', 9)",
        "id in (select id from cars where origin = 'Europe')",
        "name = 'audi'",
        "name = 'AUDI' collate nocase",
        "name = 'two\nlines'",
        "name in ('audi', 'odd') and id = 3",
        "id = 3 or name = 'no id'",
        "name = 3",
        "rowid = 4",
    ] {
        let sql = format!("select id, name, mpg from cars where {condition} order by 1, 2");
        assert_eq!(
            lines(&plain, &sql).await,
            lines(&indexed, &sql).await,
            "{condition}"
        );
    }
    let join = "select a.id, b.name from cars a join cars b on a.id = b.id order by 1, 2";
    assert_eq!(lines(&plain, join).await, lines(&indexed, join).await);
    assert_eq!(
        std::fs::read_dir(folder.path().join("scratch"))
            .unwrap()
            .count(),
        1
    );
}

#[tokio::test]
async fn an_index_follows_the_file() {
    let folder = folder();
    let path = folder.path().join("cars.csv");
    std::fs::write(&path, CARS).unwrap();
    let cars = open_definition(&typed_and_indexed(&path, &["id"]), folder.path());
    let by_id = "select name from cars where id in (3)";
    assert_eq!(lines(&cars, by_id).await, ["audi"]);
    std::fs::write(&path, CARS.replace("1,\"ford", "17,\"a much longer ford")).unwrap();
    assert_eq!(lines(&cars, by_id).await, ["audi"]);
    assert_eq!(
        lines(&cars, "select id from cars where id = 17").await,
        ["17"]
    );
    std::fs::write(&path, "id,mpg,fresh\n3,1,column\n").unwrap();
    assert_eq!(
        lines(&cars, "select fresh from cars where id in (3)").await,
        ["column"]
    );
    let scratch = std::fs::read_dir(folder.path().join("scratch"))
        .unwrap()
        .count();
    assert_eq!(scratch, 1, "indexes of earlier states are removed");
}

#[tokio::test]
async fn malformed_lines_are_named() {
    let folder = folder();
    let check = async |kind, name: &str, content: &str, expected: &str| {
        let source = of_file(&folder, kind, name, content);
        let table = name.split_once('.').unwrap().0;
        let error = refusal(&source, &format!("select * from {table}")).await;
        let error = error
            .strip_prefix("interface source: ")
            .unwrap_or(&error)
            .to_owned();
        assert_eq!(error, expected);
        let by_ids = all_ids(&source, &format!("select a from {table}"))
            .await
            .unwrap_err();
        assert!(by_ids.to_string().ends_with(expected), "{by_ids}");
    };
    let csv = InterfaceKind::Csv;
    check(
        csv,
        "short.csv",
        "a,b\n1,2\n3\n",
        "short.csv, line 3: 1 fields where the header has 2",
    )
    .await;
    check(
        csv,
        "open.csv",
        "a,b\n1,2\n3,\"4\n5,6\n",
        "open.csv, line 3: a quoted field is not closed",
    )
    .await;
    check(
        csv,
        "twice.csv",
        "a,A\n1,2\n",
        "twice.csv, line 1: column A is named twice",
    )
    .await;
    check(
        csv,
        "empty.csv",
        "",
        "empty.csv is empty: its first line must name the columns",
    )
    .await;
    let long = format!("a,b\n1,2\n3,\"{}\"\n", "x".repeat(1 << 21));
    check(
        csv,
        "long.csv",
        &long,
        "long.csv, line 3: longer than 1 MiB",
    )
    .await;
    let wide = (0..1001)
        .map(|n| format!("c{n}"))
        .collect::<Vec<_>>()
        .join(",");
    check(
        csv,
        "wide.csv",
        &wide,
        "wide.csv has more than 1000 columns",
    )
    .await;
    let jsonl = InterfaceKind::Jsonl;
    let broken = "{\"a\":1}\n\n{\"a\":\n";
    check(
        jsonl,
        "broken.jsonl",
        broken,
        "broken.jsonl, line 3: is not JSON: EOF while parsing a value at line 2 column 0",
    )
    .await;
    check(
        jsonl,
        "list.jsonl",
        "{\"a\":1}\n[1]\n",
        "list.jsonl, line 2: is not a JSON object",
    )
    .await;
    let long = format!("{{\"a\":1}}\n{{\"a\":\"{}\"}}\n", "x".repeat(1 << 21));
    check(
        jsonl,
        "long.jsonl",
        &long,
        "long.jsonl, line 2: longer than 1 MiB",
    )
    .await;
}

#[tokio::test]
async fn json_lines_have_columns_of_their_first_lines() {
    let folder = folder();
    let content = "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"tags\":[1,{\"x\":null}],\"ok\":true}\n{\"id\":\"3\",\"name\":null,\"price\":1.5}\n";
    let things = of_file(&folder, InterfaceKind::Jsonl, "things.jsonl", content);
    assert_eq!(things.kind(), "jsonl");
    let all = lines(&things, "select id, name, tags, ok, price from things").await;
    assert_eq!(all, ["1|a|||", "2||[1,{\"x\":null}]|true|", "3||||1.5"]);
    assert_eq!(
        lines(&things, "select id from things where id in ('2', '3')").await,
        ["2", "3"]
    );
    assert_eq!(
        lines(
            &things,
            "select json_extract(tags, '$[0]') from things where id = '2'"
        )
        .await,
        ["1"]
    );
}

#[tokio::test]
async fn a_folder_has_a_table_for_each_file() {
    let folder = folder();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("a.csv"), "id\n1\n2\n").unwrap();
    std::fs::write(data.join("b.tsv"), "id\tname\n2\tx, y\n").unwrap();
    std::fs::write(data.join("bad.csv"), "").unwrap();
    std::fs::write(data.join("notes.txt"), "not a table").unwrap();
    let mut stated = definition(InterfaceKind::Csv, &data);
    let renamed = TableDefinition {
        file: Some("a.csv".into()),
        ..TableDefinition::default()
    };
    stated.tables.insert("renamed".into(), renamed);
    let source = open_definition(&stated, folder.path());
    let joined = "select b.name from a join b using (id) join renamed using (id)";
    assert_eq!(lines(&source, joined).await, ["x, y"]);
    let error = refusal(&source, "select * from bad").await;
    assert!(
        error.contains("no such table: bad: bad.csv is empty"),
        "{error}"
    );
    // Two files for one table: neither is taken.
    std::fs::write(data.join("b.csv"), "id,name\n2,other\n").unwrap();
    std::fs::write(data.join("A.csv"), "id\n7\n").unwrap();
    let error = refusal(&source, "select * from b").await;
    assert!(
        error.contains("b.csv and b.tsv have the same table name"),
        "{error}"
    );
    let error = refusal(&source, "select * from a").await;
    assert!(
        error.contains("A.csv and a.csv have the same table name"),
        "{error}"
    );
    assert_eq!(lines(&source, "select id from renamed").await, ["1", "2"]);
    std::fs::write(data.join("later.csv"), "id\n9\n").unwrap();
    assert_eq!(lines(&source, "select id from later").await, ["9"]);
    stated
        .tables
        .insert("gone".into(), TableDefinition::default());
    let error = refusal(&open_definition(&stated, folder.path()), "select 1").await;
    assert!(error.contains("table gone has no file in /"), "{error}");
}

#[tokio::test]
async fn a_hundred_thousand_rows_stream() {
    let folder = folder();
    let mut content = String::from("id,word\n");
    for id in 0..100_000 {
        content.push_str(&format!("V{id:06},w{}\n", id % 7));
    }
    let path = folder.path().join("ids.csv");
    std::fs::write(&path, content).unwrap();
    let mut stated = definition(InterfaceKind::Csv, &path);
    let indexed = TableDefinition {
        index: vec!["id".into()],
        ..TableDefinition::default()
    };
    stated.tables.insert("ids".into(), indexed);
    let mut by_word = stated.clone();
    by_word.tables.insert(
        "ids".into(),
        TableDefinition {
            index: vec!["word".into()],
            ..TableDefinition::default()
        },
    );
    let by_word = open_definition(&by_word, folder.path());
    let of_one_word = all_ids(&by_word, "select id from ids where word = 'w3'")
        .await
        .unwrap();
    assert_eq!(
        (of_one_word.len(), of_one_word[1].as_str()),
        (14_286, "V000010")
    );
    let source = open_definition(&stated, folder.path());
    let ids = all_ids(&source, "select id from ids").await.unwrap();
    assert_eq!(ids.len(), 100_000);
    assert_eq!(
        all_ids(&source, "select id from ids  limit 100")
            .await
            .unwrap(),
        ids[..100]
    );
    let values: Vec<Value> = ids.iter().step_by(200).map(|id| text(id)).collect();
    let wanted = values.len();
    let set = Parameters::Set {
        name: "ids".into(),
        values,
    };
    let found = source
        .query("select id, word from ids where id in (:ids)", set)
        .await
        .unwrap();
    assert_eq!(found.rows.len(), wanted);
}

/// A set has the same rows by lookups and by one scan of a small file.
#[tokio::test]
async fn a_set_of_keys_finds_each_row_once() {
    let folder = folder();
    let lines = |count: i64| -> String {
        let rows = (0..count).map(|id| format!("{id},word {},{}\n", id % 7, "x".repeat(60)));
        std::iter::once("id,word,rest\n".to_owned())
            .chain(rows)
            .collect()
    };
    for rows in [10, 5_000] {
        let path = folder.path().join(format!("of_{rows}.csv"));
        std::fs::write(&path, lines(rows)).unwrap();
        let mut stated = definition(InterfaceKind::Csv, &path);
        let table = TableDefinition {
            columns: BTreeMap::from([("id".into(), ColumnType::Integer)]),
            index: vec!["id".into(), "word".into()],
            ..TableDefinition::default()
        };
        stated.tables.insert("t".into(), table);
        let source = open_definition(&stated, folder.path());
        let find = async |sql: &str, values: Vec<Value>| {
            let name = "keys".into();
            let set = Parameters::Set { name, values };
            source.query(sql, set).await.unwrap().rows
        };
        let ids = vec![
            text("3"),
            Value::Integer(3),
            Value::Null,
            text("7"),
            text("-1"),
        ];
        let sql = "select id from t where id in (:keys) order by id";
        let found = find(sql, ids).await;
        assert_eq!(
            found,
            [[Value::Integer(3)], [Value::Integer(7)]],
            "of {rows}"
        );
        assert_eq!(find(sql, vec![Value::Null]).await, [] as [Vec<Value>; 0]);
        // A text that is not a number causes a scan of the whole file, and equals no id.
        let found = find(sql, vec![text("3"), text("three")]).await;
        assert_eq!(found, [[Value::Integer(3)]], "of {rows}");
        let words = vec![text("word 1"), text("word 2"), text("none")];
        let found = find("select id from t where word in (:keys)", words).await;
        let expected = (0..rows).filter(|id| [1, 2].contains(&(id % 7))).count();
        assert_eq!(found.len(), expected, "of {rows}");
    }
}

#[test]
fn a_reference_that_is_not_set_is_reported() {
    let folder = folder();
    let context = InterfaceContext {
        clock: Arc::new(SystemClock),
        base: folder.path().to_path_buf(),
        scratch: folder.path().to_path_buf(),
        environment: Environment::from_map(BTreeMap::new()),
        store: None,
    };
    let stated = definition(InterfaceKind::Csv, Path::new("${NOWHERE}/x.csv"));
    let error = open(&stated, &context, &[]).unwrap_err();
    assert_eq!(error, "environment variable NOWHERE is not set");
}

/// A number that no integer and no double holds keeps its digits, in every column and in every format.
#[tokio::test]
async fn numbers_keep_their_digits() {
    let folder = folder();
    let serials = "id,n\n101E010031,1\n101E010032,1\n18446744073709551615,1\n007,1\n7,1\n";
    let jsonl = r#"{"id":100000000000000000001,"n":1}
{"id":100000000000000000002,"n":1}
{"id":1.10,"n":1}
{"id":1e2,"n":1}
{"id":-0,"n":1}
{"id":1.5,"n":[1.10, 2 ]}
"#;
    let csv_ids = [
        "101E010031",
        "101E010032",
        "18446744073709551615",
        "007",
        "7",
    ];
    let jsonl_ids = [
        "100000000000000000001",
        "100000000000000000002",
        "1.10",
        "1e2",
        "-0",
        "1.5",
    ];
    for kind in [ColumnType::Text, ColumnType::Any] {
        for (format, name, content, expected) in [
            (InterfaceKind::Csv, "s.csv", serials, &csv_ids[..]),
            (InterfaceKind::Jsonl, "s.jsonl", jsonl, &jsonl_ids[..]),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let mut definition = definition(format, &path);
            let table = definition.tables.entry("s".into()).or_default();
            table.columns.insert("id".into(), kind);
            let source = open_definition(&definition, folder.path());
            let ids = all_ids(&source, "select id from s").await.unwrap();
            assert_eq!(ids, expected, "{name} {kind}");
            // Each id is found again as the text that it is.
            for id in expected {
                let found = source
                    .query(
                        "select id from s where id = ? or id = ?",
                        Parameters::Positional(vec![text(id), Value::of_number(id)]),
                    )
                    .await
                    .unwrap();
                assert_eq!(found.rows.len(), 1, "{name} {kind} {id}");
            }
        }
    }
    let path = folder.path().join("s.jsonl");
    let source = open_definition(&definition(InterfaceKind::Jsonl, &path), folder.path());
    let nested = lines(&source, "select n from s where id = '1.5'").await;
    assert_eq!(nested, ["[1.10, 2 ]"]);
}

/// What does not fit a typed column stays the text that it was; what fits exactly is converted.
#[tokio::test]
async fn typed_columns_convert_only_what_fits() {
    let folder = folder();
    let path = folder.path().join("n.csv");
    let cells = [
        "5.0",
        "1e2",
        "-0",
        "9007199254740993",
        "9223372036854775808",
        "101E010031",
        "1.5",
        "x",
    ];
    std::fs::write(
        &path,
        format!("i,r\n{}", cells.map(|c| format!("{c},{c}\n")).concat()),
    )
    .unwrap();
    let mut definition = definition(InterfaceKind::Csv, &path);
    let table = definition.tables.entry("n".into()).or_default();
    table.columns.insert("i".into(), ColumnType::Integer);
    table.columns.insert("r".into(), ColumnType::Real);
    let source = open_definition(&definition, folder.path());
    let read = lines(&source, "select typeof(i), i, typeof(r) from n").await;
    let expected = [
        "integer|5|real",
        "integer|100|real",
        "integer|0|real",
        "integer|9007199254740993|real",
        "text|9223372036854775808|real",
        "text|101E010031|text",
        "text|1.5|real",
        "text|x|text",
    ];
    assert_eq!(read, expected);
}

/// A copy over the file takes no lock and leaves the change counter that SQLite trusts, if both files were made alike.
#[tokio::test]
async fn a_file_that_is_overwritten_in_place_is_read_anew() {
    let folder = folder();
    let make = |name: &str, content: &str| {
        let path = folder.path().join(name);
        let connection = rusqlite::Connection::open(&path).unwrap();
        let sql = format!(
            "create table t (id integer primary key, v text);
             with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000)
             insert into t select i, '{content}' from n;"
        );
        connection.execute_batch(&sql).unwrap();
        path
    };
    let live = make("live.sqlite", "old old old");
    let next = make("next.sqlite", "new new new");
    let definition = definition(InterfaceKind::Sqlite, &live);
    let source = open_definition(&definition, folder.path());
    let all = "select distinct v from t order by v";
    assert_eq!(lines(&source, all).await, ["old old old"]);
    std::fs::copy(&next, &live).unwrap();
    assert_eq!(lines(&source, all).await, ["new new new"]);

    // Under a stream that has begun, it is an error at the end and no mixture.
    let old = make("old.sqlite", "old old old");
    let mut stream = source.rows("select v from t", Vec::new()).await.unwrap();
    let first = stream.recv().await.unwrap().unwrap();
    assert_eq!(first.rows[0], [text("new new new")]);
    std::fs::copy(&old, &live).unwrap();
    let mut last = Ok(Rows::default());
    while let Some(page) = stream.recv().await {
        last = page;
    }
    let error = last.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("while it was read"), "{error}");
}

#[tokio::test]
async fn text_that_is_not_utf8_is_an_error_of_its_row() {
    let folder = folder();
    let path = folder.path().join("latin.sqlite");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "create table t (id text, n integer);
             insert into t values ('ok', 1), (cast(x'6de97a' as text), 2), (cast(x'6df67a' as text), 3);",
        )
        .unwrap();
    let source = open_definition(&definition(InterfaceKind::Sqlite, &path), folder.path());
    let error = all_ids(&source, "select id from t").await.unwrap_err();
    assert!(
        error.to_string().contains("row 2, column `id`: not UTF-8"),
        "{error}"
    );
    assert_eq!(
        refusal(&source, "select n, id from t").await,
        error.to_string()
    );
    assert_eq!(lines(&source, "select n from t").await, ["1", "2", "3"]);
}

/// Only rows with a cell that cannot be read are bad, unless an expression of the query uses the cell.
#[tokio::test]
async fn a_bad_cell_makes_only_its_row_bad() {
    let folder = folder();
    let path = folder.path().join("b.csv");
    std::fs::write(&path, b"id,name,n\n1,a,1\n2,\xff,1\n3,c,1\n\xfe,d,1\n").unwrap();
    let source = open_definition(&definition(InterfaceKind::Csv, &path), folder.path());
    let limits = crate::source::RowLimits {
        bad_rows: true,
        ..Default::default()
    };
    let query = async |sql: &str| {
        let none = Parameters::Positional(Vec::new());
        source.query_within(sql, none, limits).await
    };
    let answer = query("select id, name from b where id in ('1', '2', '3') order by id desc").await;
    let answer = answer.unwrap();
    assert_eq!(answer.rows.len(), 3);
    assert_eq!(answer.rows[1], [text("2"), Value::Null]);
    assert_eq!(answer.bad.keys().copied().collect::<Vec<_>>(), [1]);
    assert_eq!(answer.bad[&1], "b.csv, line 3: not UTF-8");
    // The bad id equals no id that is asked for, so it is only left out.
    assert_eq!(
        query("select id from b where id = '1'")
            .await
            .unwrap()
            .rows
            .len(),
        1
    );
    for used in [
        "select id from b where name = 'a' or n = 2",
        "select id, upper(name) from b where id = '2'",
        "select id from b order by name",
        "select count(*) from b where name like '%x%'",
    ] {
        let error = query(used).await.expect_err(used).to_string();
        assert!(error.contains("line 3: not UTF-8"), "{used}: {error}");
    }
    // Where bad rows are not asked for, the first of them is an error.
    let error = refusal(&source, "select name from b where id = '2'").await;
    assert!(error.contains("line 3: not UTF-8"), "{error}");
    let error = all_ids(&source, "select id from b").await.unwrap_err();
    assert!(error.to_string().contains("line 5: not UTF-8"), "{error}");
}

/// A stray quote makes one row of several lines, until the next quote. The text behind that one shows it.
#[tokio::test]
async fn a_stray_quote_is_an_error_and_swallows_no_rows() {
    let folder = folder();
    let content = "id,name\n1,\"a \"\"b\"\", c\"\r\n2,\"C\n3,x\n4,y\n5,\"five\"\n6,\"\"\n";
    let source = of_file(&folder, InterfaceKind::Csv, "s.csv", content);
    let error = refusal(&source, "select * from s").await;
    assert!(
        error.contains("s.csv, line 3: text follows the closing quote of a field"),
        "{error}"
    );
    let good = content.replace("2,\"C", "2,C");
    let source = of_file(&folder, InterfaceKind::Csv, "s.csv", &good);
    let expected = ["1|a \"b\", c", "2|C", "3|x", "4|y", "5|five", "6|"];
    assert_eq!(lines(&source, "select id, name from s").await, expected);
}
