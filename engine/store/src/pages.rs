//! Lists of jobs, page after page.

use weft_model::Job;

use super::{ListJobs, Store, StoreResult};

/// Rows in a page.
const PAGE: usize = 1_000;

/// Shows `look` the jobs of `list`, from its `after` on, until it has seen enough or `list.limit` were asked for.
/// Answers whether there may be more of them.
///
/// # Errors
/// What the store said.
pub async fn each_job(
    store: &dyn Store,
    list: &ListJobs,
    mut look: impl FnMut(Job) -> Look + Send,
) -> StoreResult<bool> {
    let mut list = list.clone();
    let mut left = list.limit;
    loop {
        list.limit = left.min(PAGE);
        left -= list.limit;
        let page = store.jobs(&list).await?;
        for job in page.jobs {
            if look(job) == Look::Enough {
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

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Show the next.
    Further,
    /// Show no more.
    Enough,
}
