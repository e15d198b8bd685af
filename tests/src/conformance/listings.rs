//! Lists of batches and of jobs.

use std::collections::BTreeSet;

use rand::RngExt;
use weft_model::clock::Timestamp;
use weft_model::{BatchId, BatchStatus};
use weft_store::{ListBatches, ListJobs, SharedStore};

use super::claims;
use super::fixture::*;

claims!(
    batches_come_newest_first,
    a_span_of_batches_leaves_out_its_end,
    pages_of_batches_visit_each_once,
    batches_of_one_moment_are_paged_apart,
    a_listing_shows_how_the_batch_ended,
    jobs_are_found_by_type_name_and_uid,
    jobs_come_in_the_order_of_their_keys,
    jobs_are_limited,
    pages_of_jobs_visit_each_once,
    pages_of_jobs_of_one_name_continue_after_the_last,
    a_page_continues_after_a_removed_job,
    an_unused_uid_finds_nothing,
);

/// A random time in the last two days, which other cases rarely use.
fn own_moment() -> i64 {
    now().0 - rand::rng().random_range(60_000..2 * 86_400_000)
}

async fn submitted_at(store: &SharedStore, at: i64) -> BatchId {
    let mut submit = submission();
    submit.batch.creation_time = Timestamp(at);
    apply(store.as_ref(), &submit).await;
    submit.batch.id
}

fn span(from: i64, to: i64) -> ListBatches {
    ListBatches {
        from: Timestamp(from),
        to: Timestamp(to),
        before: None,
        limit: 1_000,
    }
}

async fn ids_of(store: &SharedStore, list: &ListBatches) -> Vec<BatchId> {
    let page = store.batches(list).await.expect("readable");
    page.listings.iter().map(|listing| listing.id).collect()
}

async fn batches_come_newest_first(store: SharedStore) {
    let base = own_moment();
    let mut own = Vec::new();
    for offset in [1, 3, 0, 2] {
        own.push((offset, submitted_at(&store, base + offset).await));
    }
    own.sort_by_key(|(offset, _)| std::cmp::Reverse(*offset));
    let expected: Vec<_> = own.into_iter().map(|(_, id)| id).collect();
    let mut found = ids_of(&store, &span(base, base + 10)).await;
    found.retain(|id| expected.contains(id));
    assert_eq!(found, expected);
}

async fn a_span_of_batches_leaves_out_its_end(store: SharedStore) {
    let base = own_moment();
    let mut own = Vec::new();
    for offset in 0..3 {
        own.push(submitted_at(&store, base + offset).await);
    }
    let mut found = ids_of(&store, &span(base + 1, base + 2)).await;
    found.retain(|id| own.contains(id));
    assert_eq!(found, [own[1]]);
}

async fn visit_by_pages(store: &SharedStore, from: i64, to: i64, limit: usize) -> Vec<BatchId> {
    let mut list = ListBatches {
        limit,
        ..span(from, to)
    };
    let mut visited = Vec::new();
    loop {
        let page = store.batches(&list).await.expect("readable");
        assert!(page.listings.len() <= limit);
        visited.extend(page.listings.iter().map(|listing| listing.id));
        match page.listings.last() {
            Some(last) if page.more => list.before = Some((last.creation_time, last.id)),
            _ => return visited,
        }
    }
}

async fn pages_of_batches_visit_each_once(store: SharedStore) {
    // The batches span midnight, because a store may keep the directory by day.
    let midnight = now().0 / 86_400_000 * 86_400_000;
    let base = midnight - rand::rng().random_range(10_000..20_000_000);
    let mut own = BTreeSet::new();
    for number in 0..7 {
        let at = match number % 2 {
            0 => base + number,
            _ => midnight + number,
        };
        own.insert(submitted_at(&store, at).await);
    }
    let mut visited = visit_by_pages(&store, base, midnight + 10, 2).await;
    visited.retain(|id| own.contains(id));
    assert_eq!(visited.len(), own.len());
    assert_eq!(visited.into_iter().collect::<BTreeSet<_>>(), own);
}

async fn batches_of_one_moment_are_paged_apart(store: SharedStore) {
    let base = own_moment();
    let mut own = BTreeSet::new();
    for _ in 0..5 {
        own.insert(submitted_at(&store, base).await);
    }
    let mut visited = visit_by_pages(&store, base, base + 1, 2).await;
    visited.retain(|id| own.contains(id));
    assert_eq!(visited.len(), own.len());
    assert_eq!(visited.into_iter().collect::<BTreeSet<_>>(), own);
}

async fn a_listing_shows_how_the_batch_ended(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let finish = owned.finish();
    apply(store.as_ref(), &finish).await;
    let created = owned.submit.batch.creation_time.0;
    let page = store
        .batches(&span(created, created + 1))
        .await
        .expect("readable");
    let listing = page
        .listings
        .iter()
        .find(|listing| listing.id == owned.id)
        .expect("the batch is listed");
    assert_eq!(listing.status, BatchStatus::Done);
    assert_eq!(listing.end_time, finish.batch.to.end_time);
    assert_eq!(listing.failed, 7);
    assert!(!listing.command.is_empty());
    assert!(owned.submit.batch.command.starts_with(&listing.command));
}

async fn jobs_are_found_by_type_name_and_uid(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let key = &submit.job.key;
    let exact = ListJobs {
        active_only: false,
        job_type: Some(key.job_type.clone()),
        name: Some(key.name.clone()),
        uid: Some(key.uid.clone()),
        after: None,
        limit: 10,
    };
    let found = store.jobs(&exact).await.expect("readable").jobs;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key, *key);
    let mut by_name = submission();
    by_name.job.key.name = own_text("BATCH");
    apply(store.as_ref(), &by_name).await;
    let named = ListJobs {
        active_only: false,
        job_type: Some(key.job_type.clone()),
        name: Some(by_name.job.key.name.clone()),
        uid: None,
        after: None,
        limit: 10,
    };
    let found = store.jobs(&named).await.expect("readable").jobs;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key, by_name.job.key);
}

/// Submits five jobs under a unique name. Returns the list that finds them, and their uids in order.
async fn five_jobs(store: &SharedStore) -> (ListJobs, Vec<String>) {
    let name = own_text("BATCH");
    let mut uids = Vec::new();
    let mut list = ListJobs {
        name: Some(name.clone()),
        limit: 100,
        ..ListJobs::default()
    };
    for uid in ["c", "a", "e", "B", "d"] {
        let mut submit = submission();
        submit.job.key.name.clone_from(&name);
        submit.job.key.uid = uid.to_owned();
        apply(store.as_ref(), &submit).await;
        list.job_type = Some(submit.job.key.job_type);
        uids.push(uid.to_owned());
    }
    uids.sort();
    (list, uids)
}

async fn jobs_come_in_the_order_of_their_keys(store: SharedStore) {
    let (list, uids) = five_jobs(&store).await;
    let found = store.jobs(&list).await.expect("readable").jobs;
    let found: Vec<_> = found.into_iter().map(|job| job.key.uid).collect();
    assert_eq!(found, uids);
}

async fn jobs_are_limited(store: SharedStore) {
    let (list, uids) = five_jobs(&store).await;
    let found = store.jobs(&ListJobs { limit: 2, ..list }).await;
    let found: Vec<_> = found
        .expect("readable")
        .jobs
        .into_iter()
        .map(|job| job.key.uid)
        .collect();
    assert_eq!(found, uids[..2]);
}

/// The uids of all jobs named `own` in a list, read page by page.
async fn uids_by_pages(store: &SharedStore, list: &ListJobs, own: &str) -> Vec<String> {
    let mut list = list.clone();
    let mut uids = Vec::new();
    loop {
        let page = store.jobs(&list).await.expect("readable");
        let found = page.jobs.into_iter().filter(|job| job.key.name == own);
        uids.extend(found.map(|job| job.key.uid));
        list.after = page.next;
        if list.after.is_none() {
            return uids;
        }
    }
}

async fn pages_of_jobs_visit_each_once(store: SharedStore) {
    let (list, uids) = five_jobs(&store).await;
    let own = list.name.expect("they have a name");
    // A page of three may also have jobs of other cases, of this type or of any type.
    for job_type in [list.job_type, None] {
        let all = ListJobs {
            job_type,
            limit: 3,
            ..ListJobs::default()
        };
        let mut found = uids_by_pages(&store, &all, &own).await;
        found.sort();
        assert_eq!(found, uids);
    }
}

async fn pages_of_jobs_of_one_name_continue_after_the_last(store: SharedStore) {
    let (list, uids) = five_jobs(&store).await;
    let own = list.name.clone().expect("they have a name");
    let pages = ListJobs { limit: 2, ..list };
    assert_eq!(uids_by_pages(&store, &pages, &own).await, uids);
    let first = store.jobs(&pages).await.expect("readable");
    let next = first.next.expect("there are more");
    assert_eq!(next.uid, uids[1]);
    let whole = ListJobs { limit: 5, ..pages };
    assert_eq!(store.jobs(&whole).await.expect("readable").next, None);
}

async fn a_page_continues_after_a_removed_job(store: SharedStore) {
    let (list, uids) = five_jobs(&store).await;
    let key = |uid: &str| weft_model::JobKey {
        job_type: list.job_type.clone().expect("they have a type"),
        name: list.name.clone().expect("they have a name"),
        uid: uid.to_owned(),
    };
    let runner = holder("runner");
    let removed = key(&uids[1]);
    apply(store.as_ref(), &claim_job(&removed, 0, &runner)).await;
    apply(store.as_ref(), &end_job(&removed, 1, &runner)).await;
    let job = the_job(store.as_ref(), &removed).await;
    let delete = weft_store::DeleteJob::of(&job).expect("it has ended");
    apply(store.as_ref(), &delete).await;
    let rest = ListJobs {
        after: Some(removed),
        ..list.clone()
    };
    let own = list.name.expect("they have a name");
    assert_eq!(uids_by_pages(&store, &rest, &own).await, uids[2..]);
}

async fn an_unused_uid_finds_nothing(store: SharedStore) {
    let key = job_key(batch_id());
    let list = ListJobs {
        active_only: false,
        job_type: Some(key.job_type),
        name: Some(key.name),
        uid: Some(key.uid),
        after: None,
        limit: 10,
    };
    assert!(store.jobs(&list).await.expect("readable").jobs.is_empty());
}
