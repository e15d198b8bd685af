//! Opens the stream of ids of a batch: from a list, the store, or an interface.

use std::time::Duration;

use tokio::sync::mpsc;
use tracing::debug;
use weft_model::{BatchSpec, EntitySource};
use weft_project::source::{IdPage, IdStream};

use super::owned::{Owned, OwnerError};
use crate::NodeSession;

const PAGE: usize = 512;
const PAGES_AHEAD: usize = 4;
/// Between two tries to read a page while the store is away.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Opens the source of `owned` after the position `after`, which the same source gave before.
///
/// # Errors
/// [`OwnerError::Failed`] if the source cannot be opened, [`OwnerError::Store`] if the store failed.
pub async fn open(owned: &Owned, after: Option<String>) -> Result<IdStream, OwnerError> {
    let spec = &owned.row.spec;
    match &spec.source {
        EntitySource::List { ids } => Ok(list(&owned.session, ids.clone(), after)),
        EntitySource::Stored => Ok(stored(&owned.session, spec, after)),
        EntitySource::Query { .. } => {
            let factory = &owned.session.context.factory;
            Ok(factory.ids(spec, after).await?)
        }
    }
}

/// The position is the number of ids that were sent.
fn list(session: &NodeSession, ids: Vec<String>, after: Option<String>) -> IdStream {
    let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
    let sent: usize = after.and_then(|text| text.parse().ok()).unwrap_or(0);
    session.tasks.spawn(async move {
        let mut position = sent;
        for page in ids.get(sent..).unwrap_or_default().chunks(PAGE) {
            position += page.len();
            let page = IdPage {
                ids: page.to_vec(),
                position: Some(position.to_string()),
            };
            if sender.send(Ok(page)).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// The position is the last id. While the store is away the reader waits for it, as the owner of the batch does.
fn stored(session: &NodeSession, spec: &BatchSpec, after: Option<String>) -> IdStream {
    let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
    let store = session.context.store.clone();
    let self_fence = session.self_fence.clone();
    let logical_unit = spec.logical_unit.clone();
    session.tasks.spawn(async move {
        let mut after = after;
        loop {
            let page = match store
                .instance_ids(&logical_unit, after.as_deref(), PAGE)
                .await
            {
                Ok(ids) => ids,
                Err(error) if error.is_transient() => {
                    debug!(error = %error, "The ids of {logical_unit} wait for the store: {error}");
                    let may_act = tokio::select! {
                        biased;
                        () = sender.closed() => false,
                        may_act = self_fence.wait(RETRY_PAUSE) => may_act,
                    };
                    match may_act {
                        true => continue,
                        false => return,
                    }
                }
                Err(error) => {
                    let error = weft_project::source::SourceError::Unavailable {
                        interface: "fabric".to_owned(),
                        message: error.to_string(),
                    };
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            };
            let Some(last) = page.last().cloned() else {
                return;
            };
            after = Some(last);
            if sender
                .send(Ok(IdPage {
                    ids: page,
                    position: after.clone(),
                }))
                .await
                .is_err()
            {
                return;
            }
        }
    });
    receiver
}
