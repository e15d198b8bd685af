//! Lists of jobs and batches, page by page.

use std::ops::ControlFlow;

use weft_model::clock::Timestamp;
use weft_model::{BatchId, BatchListing, Job, JobKey};

use super::{Store, StoreResult};

/// Which batches a list names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListBatches {
    /// Submitted at or after.
    pub from: Timestamp,
    /// Submitted before.
    pub to: Timestamp,
    /// Strictly before this one in the order of the list (newest first).
    pub before: Option<(Timestamp, BatchId)>,
    /// At most this many.
    pub limit: usize,
}

/// A page of the directory of batches, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchPage {
    /// The entries of the directory.
    pub listings: Vec<BatchListing>,
    /// There may be more after the last one.
    pub more: bool,
}

/// Which jobs a list names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListJobs {
    /// Only of this type.
    pub job_type: Option<String>,
    /// Only of this name (with a type).
    pub name: Option<String>,
    /// Only this uid (with a type and a name).
    pub uid: Option<String>,
    /// Only those that are not archived.
    pub active_only: bool,
    /// Strictly after this one in the store's own order: `next` of the previous page.
    pub after: Option<JobKey>,
    /// At most this many rows are examined; the filters may leave fewer.
    pub limit: usize,
}

/// A page of jobs. The order is the store's own, the same for every page and every list; jobs of one type and name
/// are ordered by uid. A job that exists from the first page to the last is listed once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobsPage {
    /// At most `limit`.
    pub jobs: Vec<Job>,
    /// Where the next page begins; none after the last.
    pub next: Option<JobKey>,
}

/// Rows in a page.
const PAGE: usize = 1_000;

/// Passes the jobs of `list`, from its `after` on, to `visit` until it breaks off or `list.limit` rows were examined.
/// Answers whether there may be more of them.
///
/// # Errors
/// What the store said.
pub async fn each_job(
    store: &dyn Store,
    list: &ListJobs,
    mut visit: impl FnMut(Job) -> ControlFlow<()> + Send,
) -> StoreResult<bool> {
    let mut list = list.clone();
    let mut left = list.limit;
    loop {
        list.limit = left.min(PAGE);
        left -= list.limit;
        let page = store.jobs(&list).await?;
        for job in page.jobs {
            if visit(job).is_break() {
                return Ok(true);
            }
        }
        match page.next {
            None => return Ok(false),
            Some(_) if left == 0 => return Ok(true),
            next => list.after = next,
        }
    }
}
