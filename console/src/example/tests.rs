//! The example as users get it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weft_model::clock::{SharedClock, SystemClock};
use weft_model::ids::Ids;
use weft_model::{BatchId, BatchSpec, EntitySource, NodeId};
use weft_project::ProjectCatalogue;
use weft_project::command::{ChunkContext, CommandFactory, EntityOutcome};
use weft_project::interface::Environment;
use weft_sqlite::{Options as StoreOptions, SqliteStore};
use weft_store::SelfFence;
use weft_store::SharedStore;

use super::*;

const SMALL: Options = Options {
    ids: 1_000,
    seed: 7,
    broken: 1,
};

fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let paths = FILES.iter().map(|(path, _)| *path);
    for path in paths.chain(["data/ids.csv", "data/garage.sqlite"]) {
        files.insert(path.to_owned(), fs::read(folder.join(path)).unwrap());
    }
    files
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, options| {
        let folder = folder.path().join(name);
        let report = materialise(&folder, options).unwrap();
        (report.services, report.parts, content(&folder))
    };
    let first = of("first", SMALL);
    assert!((2_000..=3_000).contains(&first.0), "{}", first.0);
    assert!(first == of("again", SMALL));
    assert!(first != of("other", Options { seed: 8, ..SMALL }));
    assert!(
        materialise(&folder.path().join("first"), SMALL).is_err(),
        "the data exists already"
    );
}

#[test]
fn broken_vehicles_are_behind_the_first_hundred() {
    let folder = tempfile::tempdir().unwrap();
    let report = materialise(folder.path(), Options { broken: 3, ..SMALL }).unwrap();
    assert_eq!(report.broken, ["V0000137", "V0000274", "V0000411"]);
    let garage = rusqlite::Connection::open(folder.path().join("data/garage.sqlite")).unwrap();
    let broken: i64 = garage
        .query_row(
            "select count(*) from vehicle where typeof(mileage_km) = 'text'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(broken, 3);
    assert_eq!(models().len(), 406);
}

fn spec(source: EntitySource) -> BatchSpec {
    BatchSpec {
        asynchronous: true,
        allow_multiple: true,
        ..BatchSpec::new("AUTODATA_DELTA", source, "sync_instance AUTODATA_DELTA.?")
    }
}

#[tokio::test]
async fn it_deploys_and_syncs_with_exactly_one_failure() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("autodata");
    let report = materialise(&project, SMALL).unwrap();
    let clock: SharedClock = Arc::new(SystemClock);
    let path = folder.path().join("store.sqlite");
    let store: SharedStore =
        Arc::new(SqliteStore::open(path, StoreOptions::new(clock.clone())).unwrap());
    let data = folder.path().join("node");
    let catalogue = ProjectCatalogue::new(store, clock.clone(), data, Environment::from_process());
    let self_fence = SelfFence::for_duration(clock, Duration::from_secs(60));
    let deployed = catalogue
        .deploy(&project, "tester", &Ids::seeded(1), &self_fence)
        .await
        .unwrap();
    assert_eq!(deployed.deployment.logical_units, ["AUTODATA_DELTA"]);
    assert_eq!(
        deployed.interfaces,
        ["cars", "garage", "idsFile", "readings"]
    );

    let spec = spec(EntitySource::Query {
        interface: "idsFile".into(),
        sql: "select id from ids  limit 1000".into(),
        parameters: Vec::new(),
        instance_group: None,
    });
    let mut stream = catalogue.ids(&spec, None).await.unwrap();
    let mut ids = Vec::new();
    while let Some(page) = stream.recv().await {
        ids.extend(page.unwrap().ids);
    }
    assert_eq!(ids.len(), 1_000);
    let context = ChunkContext {
        batch: BatchId(uuid::Uuid::nil()),
        spec: Arc::new(spec.clone()),
        execution_id: "x".into(),
        fence: 1,
        node: NodeId("node".into()),
    };
    let command = catalogue.bind(&spec).await.unwrap();
    let mut chunk = command.prepare(&context, &ids).await.unwrap();
    let mut failed = BTreeMap::new();
    for id in &ids {
        if let EntityOutcome::Failed(reason) = chunk.run(id).await {
            failed.insert(id.clone(), reason);
        }
    }
    let reason = "table vehicle: column mileage_km is INTEGER and cannot hold TEXT";
    assert_eq!(
        failed,
        [(report.broken[0].clone(), reason.to_owned())].into()
    );

    let groups = &catalogue.current().unwrap();
    for group in ["newest_1000", "ig_small", "high_mileage"] {
        assert!(
            groups.instance_group("AUTODATA_DELTA", group).is_ok(),
            "{group}"
        );
    }
}
