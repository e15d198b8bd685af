//! GET, SELECT, RELEASE, SYNC_INSTANCE, DEPLOY and SET.

use serde_json::json;
use weft_model::Session;

use super::fixture::Fixture;
use crate::EndStatus;

#[tokio::test]
async fn an_instance_is_attached_read_and_released() {
    let fixture = Fixture::deployed().await;
    let answer = fixture.run("GET autodata_delta.1, Other.2;").await.ok();
    assert_eq!(
        answer.columns,
        ["LU name", "Instance id", "Added", "Updated", "Unchanged"]
    );
    assert_eq!(answer.lines(), ["AUTODATA_DELTA|1|1|0|0", "Other|2|1|0|0"]);
    let session = answer.end.session;
    let of = |text| fixture.run_in(session.clone(), text);
    let answer = of("select * from AUTODATA_DELTA.vehicle").await.ok();
    assert_eq!(answer.columns, ["id", "name"]);
    assert_eq!(answer.lines(), ["1|car 1"]);
    let joined = "select a.name, b.name as other from AUTODATA_DELTA.vehicle a, Other.vehicle b";
    assert_eq!(of(joined).await.ok().lines(), ["car 1|car 2"]);
    let answer = of("RELEASE other; select name from vehicle;").await.ok();
    assert_eq!(answer.lines(), ["car 1"]);
    assert_eq!(answer.end.session.attached.len(), 1);
    let answer = of("release; select 1").await;
    assert!(
        answer.error().starts_with("error: no instance is attached"),
        "{}",
        answer.error()
    );
    let answer = of("select * from vehicles").await;
    assert_eq!(answer.error(), "error: no such table: vehicles");
    for text in [
        "with x as (select 1) insert into AUTODATA_DELTA.vehicle values ('9','9')",
        "with x as (select 1) delete from vehicle",
    ] {
        assert_eq!(of(text).await.end.status, EndStatus::Failed, "{text}");
    }
    let many = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) select i from n";
    let answer = of(many).await.ok();
    assert_eq!(answer.rows.len(), 10_000);
    assert_eq!(answer.notices, ["only the first 10000 rows are shown"]);
}

#[tokio::test]
async fn a_sync_that_is_off_only_attaches() {
    let fixture = Fixture::deployed().await;
    let answer = fixture.run("SET SYNC OFF; GET Other.7;").await;
    assert_eq!(
        answer.error(),
        "error: Instance 'Other:7' was not found and Sync is disabled."
    );
    assert!(answer.end.session.attached.is_empty());
    let answer = fixture
        .run("SYNC_INSTANCE Other.7; SYNC_INSTANCE Other.7;")
        .await
        .ok();
    assert_eq!(answer.columns, ["Added", "Updated", "Unchanged"]);
    assert_eq!(answer.lines(), ["0|0|1"]);
    let answer = fixture
        .run("SET SYNC=OFF; GET Other.7; SELECT name FROM vehicle;")
        .await
        .ok();
    assert_eq!(answer.lines(), ["car 7"]);
    let answer = fixture.run("SET SYNC=SOMETIMES").await;
    assert_eq!(answer.end.status, EndStatus::Usage);
}

#[tokio::test]
async fn two_ids_of_one_logical_unit_are_refused_with_the_documented_words() {
    let fixture = Fixture::deployed().await;
    let answer = fixture.run("get Other.1, OTHER.2").await;
    let words = "error: Only single instance per LUT can be used on the same GET command";
    assert!(answer.error().starts_with(words), "{}", answer.error());
    let answer = fixture
        .run("get Other.4711, AUTODATA_DELTA.1 STOP_ON_ERROR=false")
        .await;
    assert_eq!(answer.end.status, EndStatus::Failed);
    assert_eq!(answer.lines(), ["AUTODATA_DELTA|1|1|0|0"]);
}

#[tokio::test]
async fn a_project_with_errors_is_not_deployed() {
    let fixture = Fixture::new().await;
    let path = fixture
        .folder
        .path()
        .join("project/logical_units/Other/lu.yaml");
    std::fs::write(&path, "root: vehicel\ntables: {}\n").unwrap();
    let answer = fixture.run(&fixture.deploy_line()).await;
    assert_eq!(answer.end.status, EndStatus::Failed);
    assert_eq!(
        answer.columns,
        ["File", "Line", "Field", "Error", "Did you mean"]
    );
    assert!(!answer.rows.is_empty());
    assert_eq!(*answer.cell("File"), json!("logical_units/Other/lu.yaml"));
    assert!(
        answer.error().starts_with("error: the project has "),
        "{}",
        answer.error()
    );
    let answer = fixture.run("DEPLOY '/no/such/folder'").await;
    assert_eq!(answer.end.status, EndStatus::NotFound);
}

#[tokio::test]
async fn a_deployment_is_reported() {
    let fixture = Fixture::new().await;
    let answer = fixture.run(&fixture.deploy_line()).await.ok();
    assert_eq!(
        answer.columns,
        ["Project", "Version", "Logical units", "Interfaces", "Notes"]
    );
    assert_eq!(
        answer.rows[0][1..],
        [
            json!(1),
            json!("AUTODATA_DELTA,Other"),
            json!("idsFile"),
            json!("deployed")
        ]
    );
    let answer = fixture.run(&fixture.deploy_line()).await.ok();
    assert_eq!(
        *answer.cell("Notes"),
        json!("this project was deployed already")
    );
}

#[tokio::test]
async fn a_session_is_a_value_that_comes_back() {
    let fixture = Fixture::deployed().await;
    let answer = fixture
        .run("SET sync = 'on', environment='_dev'; SET SYNC=force; SET;")
        .await
        .ok();
    assert_eq!(answer.columns, ["Name", "Value"]);
    assert_eq!(answer.lines(), ["SYNC|force", "environment|_dev"]);
    let session = answer.end.session;
    let answer = fixture
        .run_in(session, "SET environment=''; SET;")
        .await
        .ok();
    assert_eq!(answer.lines(), ["SYNC|force"]);
    let text = r#"set from '{ "scope" : {"sync": "on", "environment" : "_dev"}, "attached" : {"other": "1"}}';"#;
    let answer = fixture.run_in(Session::default(), text).await.ok();
    assert_eq!(answer.end.session.attached["Other"], "1");
    assert_eq!(answer.end.session.scope["sync"], "on");
}
