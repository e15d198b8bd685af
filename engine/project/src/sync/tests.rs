//! Syncs over a real store, a real SQLite source and a real file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;
use weft_model::clock::{Clock, SharedClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{BatchId, BatchSpec, EntitySource, Instance, NodeId};
use weft_sqlite::{Options, SqliteStore};
use weft_store::SelfFence;
use weft_store::SharedStore;
use weft_store::faulty::{Fault, FaultyStore};

use super::*;
use crate::command::{ChunkContext, CommandFactory, EntityCommand, EntityOutcome};
use crate::interface::Environment;
use crate::{CatalogueError, ProjectCatalogue};

const ADDED: &str = r#"{"Added":1,"Updated":0,"Unchanged":0}"#;
const UPDATED: &str = r#"{"Added":0,"Updated":1,"Unchanged":0}"#;
const UNCHANGED: &str = r#"{"Added":0,"Updated":0,"Unchanged":1}"#;

const LU: &str = "\
root: car
tables:
  car:
    interface: garage
    query: select id, model, plate from car where id in (:ids)
    id_column: id
    key: [id]
    columns: {id: TEXT, model: INTEGER, plate: TEXT not null}
  service:
    interface: garage
    query: select nr, car, km from service where car = :id
    id_column: car
    key: [car, nr]
    columns: {car: TEXT, nr: INTEGER, km: INTEGER}
  model:
    interface: models
    query: select id, name from models where id in (:ids)
    parent: car
    on: {id: model}
    key: [id]
    columns: {id: INTEGER, name: TEXT}
";

/// A clock that only moves when it is set.
#[derive(Debug, Default)]
struct StandingClock(AtomicI64);

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst).unsigned_abs())
    }
}

struct Workshop {
    folder: TempDir,
    clock: Arc<StandingClock>,
    ids: Ids,
    store: SharedStore,
    faulty: Arc<FaultyStore>,
    catalogue: ProjectCatalogue,
}

impl Workshop {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(StandingClock::default());
        clock.0.store(1_000_000, Ordering::SeqCst);
        let shared: SharedClock = clock.clone();
        let path = folder.path().join("store.sqlite");
        let store = SqliteStore::open(path, Options::new(shared.clone())).unwrap();
        let faulty = Arc::new(FaultyStore::new(Arc::new(store)));
        let store: SharedStore = faulty.clone();
        let environment = Environment::from_map(BTreeMap::new());
        let data = folder.path().join("node");
        let catalogue = ProjectCatalogue::new(store.clone(), shared, data, environment);
        let workshop = Self {
            folder,
            clock,
            ids: Ids::seeded(1),
            store,
            faulty,
            catalogue,
        };
        workshop.write(
            "interfaces/garage.yaml",
            "type: sqlite\npath: ${PROJECT_DIR}/data/garage.sqlite\n",
        );
        workshop.write(
            "interfaces/models.yaml",
            "type: csv\npath: ${PROJECT_DIR}/data/models.csv\n",
        );
        workshop.write("logical_units/CAR/lu.yaml", LU);
        workshop.write("data/models.csv", "id,name\n1,beetle\n2,mini\n");
        workshop.change(
            "create table car (id text primary key, model, plate);
             create table service (nr, car, km);
             insert into car values ('a', 1, 'A 1'), ('b', 2, 'B 2'), ('c', 1, 'C 3'), ('d', null, 'D 4');
             insert into service values (1, 'a', 100), (2, 'a', 200), (1, 'b', 50);",
        );
        workshop.deploy().await.unwrap();
        workshop
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.project().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn change(&self, sql: &str) {
        let path = self.project().join("data/garage.sqlite");
        rusqlite::Connection::open(path)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }

    async fn deploy(&self) -> Result<bool, CatalogueError> {
        let shared: SharedClock = self.clock.clone();
        let self_fence = SelfFence::for_duration(shared, Duration::from_secs(60));
        let report = self
            .catalogue
            .deploy(&self.project(), "tester", &self.ids, &self_fence)
            .await?;
        Ok(report.changed)
    }

    fn spec(&self, command: &str, scope: &[(&str, &str)]) -> BatchSpec {
        BatchSpec {
            asynchronous: true,
            allow_multiple: true,
            session_scope: scope
                .iter()
                .map(|&(name, value)| (name.into(), value.into()))
                .collect(),
            project: self
                .catalogue
                .deployment()
                .map(|deployment| deployment.hash),
            ..BatchSpec::new("CAR", EntitySource::List { ids: Vec::new() }, command)
        }
    }

    async fn bind(&self, scope: &[(&str, &str)]) -> Arc<dyn EntityCommand> {
        let spec = self.spec("sync_instance CAR.?", scope);
        self.catalogue.bind(&spec).await.unwrap()
    }

    fn context(&self) -> ChunkContext {
        ChunkContext {
            batch: BatchId(Uuid::nil()),
            spec: Arc::new(self.spec("sync_instance CAR.?", &[])),
            execution_id: "x".into(),
            fence: 1,
            node: NodeId("node".into()),
        }
    }

    /// Syncs these ids as one chunk and saves the outcome.
    async fn sync_as(&self, ids: &[&str], scope: &[(&str, &str)]) -> Vec<String> {
        let command = self.bind(scope).await;
        let ids: Vec<String> = ids.iter().map(|&id| id.to_owned()).collect();
        let mut chunk = command.prepare(&self.context(), &ids).await.unwrap();
        let mut results = Vec::new();
        for id in &ids {
            results.push(match chunk.run(id).await {
                EntityOutcome::Failed(reason) => reason,
                EntityOutcome::Completed { result, instance } => {
                    let instances: Vec<Instance> = instance.into_iter().collect();
                    self.store.save_instances("CAR", &instances).await.unwrap();
                    result
                }
            });
        }
        results
    }

    async fn sync(&self, ids: &[&str]) -> Vec<String> {
        self.clock.0.fetch_add(1, Ordering::SeqCst);
        self.sync_as(ids, &[]).await
    }

    async fn image(&self, id: &str) -> rusqlite::Connection {
        let stored = self.store.instance("CAR", id).await.unwrap().unwrap();
        open_image(&stored).unwrap()
    }

    /// The answer of a query on a stored instance, as text.
    async fn select(&self, id: &str, sql: &str) -> String {
        let image = self.image(id).await;
        image
            .query_row(sql, [], |row| row.get::<_, String>(0))
            .unwrap()
    }
}

const ALL: &str = "select (select count(*) from car) || ' ' || (select group_concat(km) from service) || ' ' || (select name from model)";

#[tokio::test]
async fn an_instance_is_added_then_unchanged_then_updated() {
    let workshop = Workshop::new().await;
    assert_eq!(workshop.sync(&["a", "b", "c"]).await, [ADDED; 3]);
    assert_eq!(workshop.select("a", ALL).await, "1 100,200 beetle");
    assert_eq!(workshop.sync(&["a", "b", "c"]).await, [UNCHANGED; 3]);
    workshop.change(
        "update service set km = 300 where nr = 2; insert into service values (2, 'b', 60)",
    );
    workshop.write("data/models.csv", "id,name\n1,beetle\n2,mini cooper\n");
    assert_eq!(
        workshop.sync(&["a", "b", "c"]).await,
        [UPDATED, UPDATED, UNCHANGED]
    );
    assert_eq!(workshop.select("a", ALL).await, "1 100,300 beetle");
    assert_eq!(workshop.select("b", ALL).await, "1 50,60 mini cooper");
}

#[tokio::test]
async fn the_order_of_the_source_does_not_matter_and_an_absent_parent_has_no_children() {
    let workshop = Workshop::new().await;
    assert_eq!(workshop.sync(&["a", "d"]).await, [ADDED; 2]);
    workshop
        .change("delete from service; insert into service values (2, 'a', 200), (1, 'a', '100')");
    assert_eq!(workshop.sync(&["a", "d"]).await, [UNCHANGED; 2]);
    assert_eq!(
        workshop
            .select("d", "select count(*) || '' from model")
            .await,
        "0"
    );
}

#[tokio::test]
async fn an_id_that_is_not_in_the_source_fails_alone() {
    let workshop = Workshop::new().await;
    let results = workshop.sync(&["a", "z", "A", "' or 1=1 --"]).await;
    assert_eq!(results[0], ADDED);
    assert_eq!(results[1], "instance CAR.z was not found in source");
    assert_eq!(results[2], "instance CAR.A was not found in source");
    assert_eq!(
        results[3],
        "instance CAR.' or 1=1 -- was not found in source"
    );
}

#[tokio::test]
async fn a_broken_row_fails_its_own_instance_and_names_table_column_and_class() {
    let workshop = Workshop::new().await;
    workshop.change(
        "insert into car values ('e', 1, null), ('f', 1, 'F 5'), ('g', 'x', 'G 6'), ('h', 1.5, x'00');
         insert into service values (1, 'f', 1), (1, 'f', 2), (9, 'c', 'many');",
    );
    let results = workshop.sync(&["a", "c", "e", "f", "g", "h"]).await;
    assert_eq!(
        results,
        [
            ADDED,
            "table service: column km is INTEGER and cannot hold TEXT",
            "table car: column plate must have a value and is NULL",
            "table service: two rows have the same key (car, nr)",
            "table car: column model is INTEGER and cannot hold TEXT",
            "table car: column model is INTEGER and cannot hold REAL",
        ]
    );
}

#[tokio::test]
async fn a_row_that_breaks_the_whole_query_fails_its_own_instance() {
    let workshop = Workshop::new().await;
    let lu = LU.replace(
        "select id, model, plate from car",
        "select id, model, json_extract(plate, '$') as plate from car",
    );
    workshop.write("logical_units/CAR/lu.yaml", &lu);
    workshop.change("update car set plate = '\"x\"'; update car set plate = '{' where id = 'c'");
    assert!(workshop.deploy().await.unwrap());
    let results = workshop.sync(&["a", "b", "c", "d"]).await;
    let broken = "table car: interface garage: malformed JSON";
    assert_eq!(results, [ADDED, ADDED, broken, ADDED]);
}

#[tokio::test]
async fn a_source_that_is_down_fails_each_id_and_a_second_attempt_reads_again() {
    let workshop = Workshop::new().await;
    let command = workshop.bind(&[]).await;
    let source = workshop.project().join("data/garage.sqlite");
    let away = workshop.project().join("data/away.sqlite");
    std::fs::rename(&source, &away).unwrap();
    let mut chunk = command
        .prepare(&workshop.context(), &["a".into(), "b".into()])
        .await
        .unwrap();
    for id in ["a", "b"] {
        let EntityOutcome::Failed(reason) = chunk.run(id).await else {
            panic!("{id} cannot be read")
        };
        assert!(
            reason.starts_with("table car: interface garage cannot be read: "),
            "{reason}"
        );
    }
    std::fs::rename(&away, &source).unwrap();
    chunk.prepare_again("a").await.unwrap();
    assert!(matches!(
        chunk.run("a").await,
        EntityOutcome::Completed { .. }
    ));
}

#[tokio::test]
async fn an_outage_of_the_store_fails_the_preparation_and_no_instance() {
    let workshop = Workshop::new().await;
    let command = workshop.bind(&[]).await;
    let ids = ["a".to_owned(), "b".to_owned()];
    let context = workshop.context();
    for verb in ["instance_heads", "instance"] {
        workshop.faulty.set(verb, "", Fault::Unavailable);
    }
    assert!(command.prepare(&context, &ids).await.is_err());
    workshop.faulty.set("instance_heads", "", None);
    // A first sync of this unit reads no stored image.
    let mut chunk = command.prepare(&context, &ids).await.unwrap();
    assert!(matches!(
        chunk.run("a").await,
        EntityOutcome::Completed { .. }
    ));
    workshop
        .faulty
        .set("instance_heads", "", Fault::Unavailable);
    assert!(chunk.prepare_again("b").await.is_err());
    // What was read before is still there.
    assert!(matches!(
        chunk.run("b").await,
        EntityOutcome::Completed { .. }
    ));
}

#[tokio::test]
async fn an_id_that_the_store_refuses_for_good_fails_alone() {
    let workshop = Workshop::new().await;
    let command = workshop.bind(&[]).await;
    workshop
        .faulty
        .set("instance_heads", "\"b\"", Fault::Refused);
    let ids = ["a", "b", "c"].map(str::to_owned);
    let mut chunk = command.prepare(&workshop.context(), &ids).await.unwrap();
    for id in ["a", "c"] {
        let outcome = chunk.run(id).await;
        assert!(
            matches!(outcome, EntityOutcome::Completed { .. }),
            "{outcome:?}"
        );
    }
    let EntityOutcome::Failed(reason) = chunk.run("b").await else {
        panic!("b cannot be read")
    };
    assert!(
        reason.starts_with("stored instance CAR.b cannot be read: "),
        "{reason}"
    );
}

#[tokio::test]
async fn sync_off_never_reads_and_force_always_does() {
    let workshop = Workshop::new().await;
    let missing = "Instance 'CAR:a' was not found and Sync is disabled.";
    assert_eq!(
        workshop.sync_as(&["a"], &[("SYNC", "OFF")]).await,
        [missing]
    );
    assert_eq!(workshop.sync(&["a"]).await, [ADDED]);
    workshop.change("update car set plate = 'new'");
    assert_eq!(
        workshop.sync_as(&["a"], &[("sync", "off")]).await,
        [UNCHANGED]
    );
    assert_eq!(
        workshop.sync_as(&["a"], &[("SYNC", "FORCE")]).await,
        [UPDATED]
    );
    assert_eq!(
        workshop.sync_as(&["a"], &[("SYNC", "FORCE")]).await,
        [UNCHANGED]
    );
    let spec = workshop.spec("sync_instance CAR.?", &[("SYNC", "DELTA")]);
    let error = workshop.catalogue.bind(&spec).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "SYNC DELTA is not supported; use ON, OFF or FORCE"
    );
}

#[tokio::test]
async fn a_table_with_an_interval_is_read_again_when_it_has_passed() {
    let workshop = Workshop::new().await;
    let lu = LU
        .replace(
            "    key: [car, nr]\n",
            "    key: [car, nr]\n    sync: {interval: 00:10:00}\n",
        )
        .replace("    parent: car\n", "    parent: car\n    sync: none\n");
    workshop.write("logical_units/CAR/lu.yaml", &lu);
    workshop.deploy().await.unwrap();
    assert_eq!(workshop.sync(&["a"]).await, [ADDED]);
    workshop.change("update service set km = km + 1; update car set plate = 'new'");
    workshop.write("data/models.csv", "id,name\n1,other\n");
    assert_eq!(workshop.sync(&["a"]).await, [UPDATED], "the plate");
    assert_eq!(workshop.select("a", ALL).await, "1 100,200 beetle");
    workshop.clock.0.fetch_add(600_000, Ordering::SeqCst);
    assert_eq!(workshop.sync(&["a"]).await, [UPDATED], "the services");
    assert_eq!(workshop.select("a", ALL).await, "1 101,201 beetle");
    workshop.clock.0.fetch_add(600_000, Ordering::SeqCst);
    assert_eq!(workshop.sync(&["a"]).await, [UNCHANGED]);
    workshop.change("update service set km = 0");
    assert_eq!(
        workshop.sync(&["a"]).await,
        [UNCHANGED],
        "it was read a moment ago"
    );
    assert_eq!(
        workshop.sync_as(&["a"], &[("SYNC", "FORCE")]).await,
        [UPDATED]
    );
    assert_eq!(workshop.select("a", ALL).await, "1 0,0 other");
}

#[tokio::test]
async fn a_new_shape_updates_instances_whose_rows_are_the_same() {
    let workshop = Workshop::new().await;
    assert_eq!(workshop.sync(&["a"]).await, [ADDED]);
    workshop.write(
        "logical_units/CAR/lu.yaml",
        &LU.replace("km: INTEGER", "km: REAL"),
    );
    assert!(workshop.deploy().await.unwrap());
    assert_eq!(workshop.sync(&["a"]).await, [UPDATED]);
    assert_eq!(
        workshop.select("a", "select typeof(km) from service").await,
        "real"
    );
    assert!(!workshop.deploy().await.unwrap(), "the same project again");
}

#[tokio::test]
async fn a_clock_that_is_behind_does_not_lose_an_update() {
    let workshop = Workshop::new().await;
    assert_eq!(workshop.sync(&["a"]).await, [ADDED]);
    workshop.clock.0.store(5, Ordering::SeqCst);
    workshop.change("update car set plate = 'new'");
    assert_eq!(workshop.sync(&["a"]).await, [UPDATED]);
    assert_eq!(workshop.select("a", "select plate from car").await, "new");
}

#[tokio::test]
async fn an_image_is_a_database_that_sqlite_finds_whole() {
    let workshop = Workshop::new().await;
    workshop.sync(&["b", "a"]).await;
    let stored = workshop.store.instance("CAR", "a").await.unwrap().unwrap();
    let path = workshop.folder.path().join("a.sqlite");
    export(&stored, &path).unwrap();
    export(&stored, &path).unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    let text = |sql: &str| {
        file.query_row(sql, [], |row| row.get::<_, String>(0))
            .unwrap()
    };
    assert_eq!(text("pragma integrity_check"), "ok");
    assert_eq!(text(ALL), "1 100,200 beetle");
    let free: i64 = file
        .query_row("pragma freelist_count", [], |row| row.get(0))
        .unwrap();
    assert_eq!(free, 0);
    assert!(
        open_image(&stored)
            .unwrap()
            .execute("delete from car", [])
            .is_err(),
        "read only"
    );
    let damaged = Instance {
        image: stored.image[..9].to_vec(),
        ..stored
    };
    assert!(open_image(&damaged).is_err());
}

#[tokio::test]
async fn commands_are_bound_by_name() {
    let workshop = Workshop::new().await;
    let check = async |command: &str, expected: Result<(), &str>| {
        let bound = workshop.catalogue.bind(&workshop.spec(command, &[])).await;
        assert_eq!(
            bound.map(drop).map_err(|error| error.to_string()),
            expected.map_err(str::to_owned),
            "{command}"
        );
    };
    check("sync_instance car.?", Ok(())).await;
    check("ECHO ? DELAY_MS=5", Ok(())).await;
    check(
        "sync_instance CARR.?",
        Err("there is no logical unit `CARR`; did you mean `CAR`?"),
    )
    .await;
    check(
        "broadway CAR.flow id=?",
        Err("BROADWAY is not supported as FABRIC_COMMAND yet"),
    )
    .await;
    check(
        "sync_instance CAR.1",
        Err("FABRIC_COMMAND \"sync_instance CAR.1\": the entity command has no `?`"),
    )
    .await;
    let echo = workshop
        .catalogue
        .bind(&workshop.spec("echo ?", &[]))
        .await
        .unwrap();
    let outcome = echo
        .prepare(&workshop.context(), &[])
        .await
        .unwrap()
        .run("x")
        .await;
    let done = EntityOutcome::Completed {
        result: "{}".into(),
        instance: None,
    };
    assert_eq!(outcome, done);
}

#[tokio::test]
async fn a_batch_keeps_the_version_of_the_project_it_started_with() {
    let workshop = Workshop::new().await;
    let mut spec = workshop.spec("sync_instance CAR.?", &[]);
    spec.source = EntitySource::Query {
        interface: "models".into(),
        sql: "select id from models where name <> ? limit 100".into(),
        parameters: vec!["mini".into()],
        instance_group: None,
    };
    std::fs::rename(
        workshop.project().join("logical_units/CAR"),
        workshop.project().join("logical_units/AUTO"),
    )
    .unwrap();
    assert!(workshop.deploy().await.unwrap());
    let names: Vec<_> = workshop.catalogue.deployment().unwrap().logical_units;
    assert_eq!(names, ["AUTO"]);
    // Another node, which has seen neither of them.
    let shared: SharedClock = workshop.clock.clone();
    let data = workshop.folder.path().join("other node");
    let environment = Environment::from_map(BTreeMap::new());
    let other = ProjectCatalogue::new(workshop.store.clone(), shared, data, environment);
    assert!(other.bind(&spec).await.is_ok());
    let mut ids = other.ids(&spec, None).await.unwrap();
    assert_eq!(ids.recv().await.unwrap().unwrap().ids, ["1"]);
    assert!(matches!(
        other.current(),
        Err(CatalogueError::NothingDeployed)
    ));
    other.refresh().await.unwrap();
    assert!(other.current().unwrap().logical_unit("AUTO").is_ok());
}

/// Both forms of a query find the same instances: a row belongs to the id that its link column writes, and to no other.
#[tokio::test]
async fn both_forms_of_a_query_agree_about_ids() {
    let workshop = Workshop::new().await;
    workshop.change(
        "create table item (id integer primary key, name text);
         insert into item values (7, 'seven'), (123, 'many');",
    );
    let item = |from: &str| {
        format!(
            "root: item\ntables:\n  item:\n    interface: garage\n    query: select {from}\n    id_column: id\n    \
             key: [id]\n    columns: {{id: INTEGER, name: TEXT}}\n"
        )
    };
    for from in [
        "id, name from item where id in (:ids)",
        "id, name from item where id = :id",
        // Expressions have no type: a text equals no number.
        "id, name from (select id + 0 as id, name from item) where id in (:ids)",
        "id, name from (select coalesce(id, 0) as id, name from item) where id = :id",
    ] {
        workshop.write("logical_units/CAR/lu.yaml", &item(from));
        workshop.deploy().await.unwrap();
        let ids = ["7", "00123", "123 ", "1.23e2", "123"];
        let results = workshop
            .sync_as(&ids, &[("SYNC", "FORCE")])
            .await
            .into_iter()
            .zip(ids);
        for (result, id) in results {
            match id {
                "7" | "123" => assert!(result.starts_with('{'), "{from} {id}: {result}"),
                _ => assert!(result.contains("was not found"), "{from} {id}: {result}"),
            }
        }
    }
    // A query that does not say whose its rows are is refused.
    let unlinked = item("name, 1 as nr from item where id = :id");
    workshop.write("logical_units/CAR/lu.yaml", &unlinked);
    let error = format!("{:?}", workshop.deploy().await.unwrap_err());
    assert!(error.contains("wants column `id`"), "{error}");
}

#[tokio::test]
async fn bad_rows_fail_only_their_own_instances() {
    let workshop = Workshop::new().await;
    let rows = 2_000;
    let mut csv = b"id,name\n".to_vec();
    for id in 0..rows {
        csv.extend_from_slice(format!("{id},name ").as_bytes());
        // 2 % of the rows.
        csv.extend_from_slice(if id % 50 == 7 { b"\xff\n" } else { b"ok\n" });
    }
    let path = workshop.project().join("data/models.csv");
    std::fs::write(path, csv).unwrap();
    let lu = "root: model\ntables:\n  model:\n    interface: models\n    query: select id, name from models where id in (:ids)\n    \
              id_column: id\n    key: [id]\n    columns: {id: TEXT, name: TEXT}\n";
    workshop.write("logical_units/CAR/lu.yaml", lu);
    workshop.deploy().await.unwrap();
    let ids: Vec<String> = (0..rows).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let results = workshop.sync(&ids).await;
    for (id, result) in results.iter().enumerate() {
        if id % 50 == 7 {
            let line = id + 2;
            let expected = format!("table model: models.csv, line {line}: not UTF-8");
            assert_eq!(*result, expected);
        } else {
            assert_eq!(*result, ADDED, "{id}");
        }
    }
}
