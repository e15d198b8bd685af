//! What is refused, in which words; and that nothing is left behind.

use weft_model::Session;

use super::fixture::Fixture;
use crate::EndStatus;

async fn check(fixture: &Fixture, text: &str, status: EndStatus, expected: &str) {
    let answer = fixture.run(text).await;
    assert_eq!(answer.error(), expected, "{text}");
    assert_eq!(answer.end.status, status, "{text}");
    assert!(fixture.only_batch().await.is_none(), "{text}");
}

#[tokio::test]
async fn names_that_are_not_there_are_marked_and_the_nearest_is_named() {
    let fixture = Fixture::deployed().await;
    check(
        &fixture,
        "BATCH AUTODATA_DETLA FABRIC_COMMAND='echo ?';",
        EndStatus::NotFound,
        "error: there is no logical unit `AUTODATA_DETLA`\n  BATCH AUTODATA_DETLA FABRIC_COMMAND='echo ?';\n        ^^^^^^^^^^^^^^\nhint: did you mean `AUTODATA_DELTA`?",
    )
    .await;
    check(
        &fixture,
        "BATCH Other.smal FABRIC_COMMAND='echo ?';",
        EndStatus::NotFound,
        "error: there is no instance group `smal`\n  BATCH Other.smal FABRIC_COMMAND='echo ?';\n              ^^^^\nhint: did you mean `small`?",
    )
    .await;
    check(
        &fixture,
        "BATCH Other FROM idsFiel USING ('select 1') FABRIC_COMMAND='echo ?';",
        EndStatus::NotFound,
        "error: there is no interface `idsFiel`\n  BATCH Other FROM idsFiel USING ('select 1') FABRIC_COMMAND='echo ?';\n                   ^^^^^^^\nhint: did you mean `idsFile`?",
    )
    .await;
    check(
        &fixture,
        "BATCH Other.('1') FABRIC_COMMAND='sync_instance Othre.?';",
        EndStatus::NotFound,
        "error: there is no logical unit `Othre`\n  BATCH Other.('1') FABRIC_COMMAND='sync_instance Othre.?';\n                                   ^^^^^^^^^^^^^^^^^^^^^^^\nhint: did you mean `Other`?",
    )
    .await;
    let answer = fixture
        .run("BATCH Other.('1') FABRIC_COMMAND='echo ?' with MAX_WORKER_PER_NODE=4;")
        .await;
    assert_eq!(answer.end.status, EndStatus::Usage);
    assert!(
        answer
            .error()
            .ends_with("hint: did you mean `MAX_WORKERS_PER_NODE`?"),
        "{}",
        answer.error()
    );
}

#[tokio::test]
async fn unavailable_commands_are_named_in_the_error() {
    let fixture = Fixture::deployed().await;
    let cases = [
        ("BATCH_PAUSE;", "BATCH_PAUSE"),
        ("STOPPARSER Other p;", "STOPPARSER"),
        ("migrate_list", "MIGRATE_LIST"),
        (
            "BATCH Other FROM fabric USING ('select 1') FABRIC_COMMAND='echo ?'",
            "FROM fabric USING a query",
        ),
        (
            "BATCH Other FROM fabric USING ('BROADWAY Other.f') FABRIC_COMMAND='echo ?'",
            "FROM fabric USING a BROADWAY flow",
        ),
        ("BATCHF Other.f().small FABRIC_COMMAND='echo ?'", "BATCHF"),
        ("set_global global 'Other.limit=10';", "SET_GLOBAL"),
        (
            "set cluster_distribute_affinity=ALL",
            "SET CLUSTER_DISTRIBUTE_AFFINITY",
        ),
    ];
    for (text, name) in cases {
        let answer = fixture.run(text).await;
        let expected = format!("error: {name} is known but not available in this version");
        assert!(answer.error().starts_with(&expected), "{}", answer.error());
        assert_ne!(answer.end.status, EndStatus::Ok);
    }
    let answer = fixture
        .run("BATCH Other.(?) FABRIC_COMMAND='echo ?' with async=true")
        .await;
    assert!(
        answer.error().contains("`?` stands for a value"),
        "{}",
        answer.error()
    );
    let answer = fixture
        .run("BATCH Other.('1') FABRIC_COMMAND='broadway Other.f a=?'")
        .await;
    assert!(answer.error().contains("BROADWAY"), "{}", answer.error());
    assert!(fixture.only_batch().await.is_none());
}

#[tokio::test]
async fn malformed_batch_ids_and_missing_batches_have_their_own_errors() {
    let fixture = Fixture::deployed().await;
    let answer = fixture.run("BATCH_INFO '35408af6';").await;
    assert_eq!(answer.end.status, EndStatus::Usage);
    assert!(
        answer
            .error()
            .starts_with("error: `35408af6` is not a batch id"),
        "{}",
        answer.error()
    );
    for command in [
        "BATCH_INFO",
        "BATCH_SUMMARY",
        "BATCH_DETAILS",
        "BATCH_CANCEL",
    ] {
        let text = format!("{command} '35408af6-b26a-4243-bc95-f114335bfa5e';");
        let answer = fixture.run(&text).await;
        assert_eq!(answer.end.status, EndStatus::NotFound, "{text}");
        assert_eq!(
            answer.error(),
            "error: there is no batch 35408af6-b26a-4243-bc95-f114335bfa5e\nhint: BATCH_LIST STATUS='ALL' shows the batches that there are"
        );
    }
    let answer = fixture.run("BATCH_CANCEL;").await;
    assert!(
        answer
            .error()
            .starts_with("error: no asynchronous batch was started in this session")
    );
}

#[tokio::test]
async fn without_a_project_there_are_no_batches() {
    let fixture = Fixture::new().await;
    let answer = fixture
        .run("BATCH Other.('1') FABRIC_COMMAND='echo ?';")
        .await;
    assert_eq!(
        answer.error(),
        "error: no project is deployed\nhint: DEPLOY '<folder>' deploys one"
    );
}

#[tokio::test]
async fn strangers_may_do_nothing_that_is_shared() {
    let fixture = Fixture::deployed().await;
    let as_eve = |text| fixture.run_as("eve", Session::default(), text);
    let answer = as_eve("BATCH Other.('1') FABRIC_COMMAND='echo ?' with ASYNC=true").await;
    assert_eq!(answer.end.status, EndStatus::NotAllowed);
    assert_eq!(
        answer.error(),
        "error: eve may not do this: BATCH is needed on Other"
    );
    for text in [
        "BATCH_LIST",
        "JOBSTATUS",
        "CLUSTERSTATUS",
        "DEPLOY '/'",
        "SYNC_INSTANCE Other.1",
    ] {
        assert_eq!(
            as_eve(text).await.end.status,
            EndStatus::NotAllowed,
            "{text}"
        );
    }
    as_eve("HELP; ECHO 'hi';").await.ok();
    assert!(fixture.only_batch().await.is_none());
}

#[tokio::test]
async fn the_first_failure_ends_a_text() {
    let fixture = Fixture::deployed().await;
    let answer = fixture.run("SET a=1; BATCH_INFO 'x'; SET b=2;").await;
    assert_eq!(answer.end.status, EndStatus::Usage);
    assert_eq!(answer.end.session.scope.keys().collect::<Vec<_>>(), ["a"]);
    let answer = fixture.run("").await;
    assert_eq!(answer.end.status, EndStatus::Usage);
}
