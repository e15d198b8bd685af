//! Bundles and the deployed project. A store has one deployed project, so these cases start from the one they find.

use weft_model::Deployment;
use weft_store::{Deploy, SharedStore};

use super::claims;
use super::fixture::*;

claims!(
    a_bundle_of_5_mib_comes_back_whole,
    a_missing_bundle_is_none,
    the_same_bundle_twice_is_one,
    a_deployment_is_read_back_whole,
    a_deployment_with_an_old_seq_is_lost,
    a_deployment_that_skips_a_seq_is_lost,
    an_identical_deployment_answers_applied,
    of_many_deployments_one_wins,
);

async fn a_bundle_of_5_mib_comes_back_whole(store: SharedStore) {
    let hash = own_text("hash");
    let bytes: Vec<u8> = (0..5 * 1024 * 1024_u32)
        .map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    store.put_bundle(&hash, &bytes).await.expect("writable");
    let found = store.bundle(&hash).await.expect("readable");
    assert!(found == Some(bytes));
}

async fn a_missing_bundle_is_none(store: SharedStore) {
    let found = store.bundle(&own_text("hash")).await.expect("readable");
    assert_eq!(found, None);
}

async fn the_same_bundle_twice_is_one(store: SharedStore) {
    let hash = own_text("hash");
    store
        .put_bundle(&hash, b"the bundle")
        .await
        .expect("writable");
    store
        .put_bundle(&hash, b"the bundle")
        .await
        .expect("writable");
    let found = store.bundle(&hash).await.expect("readable");
    assert_eq!(found.as_deref(), Some(b"the bundle".as_slice()));
}

/// A deployment that may follow the current one.
async fn next(store: &SharedStore) -> Deploy {
    let seq = deployed(store).await.map_or(0, |found| found.seq);
    deploy(seq + 1)
}

fn deploy(seq: i64) -> Deploy {
    Deploy {
        deployment: Deployment {
            seq,
            hash: own_text("hash"),
            deployed_at: now(),
            deployed_by: "admin 'ü'".to_owned(),
            logical_units: vec!["Customer".to_owned(), "Order".to_owned()],
        },
        token: token(),
    }
}

async fn deployed(store: &SharedStore) -> Option<Deployment> {
    store.deployment().await.expect("readable")
}

async fn a_deployment_is_read_back_whole(store: SharedStore) {
    let deploy = next(&store).await;
    apply(store.as_ref(), &deploy).await;
    assert_eq!(deployed(&store).await, Some(deploy.deployment));
}

async fn a_deployment_with_an_old_seq_is_lost(store: SharedStore) {
    let first = next(&store).await;
    apply(store.as_ref(), &first).await;
    let late = deploy(first.deployment.seq);
    let found = lose(store.as_ref(), &late).await;
    assert_eq!(found, Some(first.deployment));
}

async fn a_deployment_that_skips_a_seq_is_lost(store: SharedStore) {
    let mut deploy = next(&store).await;
    deploy.deployment.seq += 1;
    lose(store.as_ref(), &deploy).await;
}

async fn an_identical_deployment_answers_applied(store: SharedStore) {
    let deploy = next(&store).await;
    apply(store.as_ref(), &deploy).await;
    apply(store.as_ref(), &deploy).await;
}

async fn of_many_deployments_one_wins(store: SharedStore) {
    let seq = next(&store).await.deployment.seq;
    let rivals: Vec<_> = (0..6).map(|_| deploy(seq)).collect();
    assert_eq!(winners(&store, &rivals).await, 1);
    let found = deployed(&store).await;
    assert!(
        rivals
            .iter()
            .any(|rival| Some(&rival.deployment) == found.as_ref())
    );
}
