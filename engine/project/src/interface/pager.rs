//! Groups the ids of a query into pages, which are sent when they are full or have waited long enough.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::source::{IdPage, SourceError};

/// The number of ids in a full page.
pub(super) const PAGE: usize = 512;
/// How long a page that is not full waits for more ids.
const LINGER: Duration = Duration::from_millis(50);

/// Collects the ids of a query. A separate thread sends them as pages, because the query itself cannot check the time
/// while it waits for the source.
#[derive(Clone, Debug)]
pub(super) struct Pager(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ids: Vec<String>,
    ended: bool,
    error: Option<SourceError>,
    stopped: bool,
}

impl Pager {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Adds an id, and waits while two full pages are pending. False if the receiver is gone.
    pub(super) fn push(&self, id: String) -> bool {
        let mut state = self.state();
        while state.ids.len() >= 2 * PAGE && !state.stopped {
            state = self
                .0
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped {
            return false;
        }
        state.ids.push(id);
        if matches!(state.ids.len(), 1 | PAGE) {
            self.0.changed.notify_all();
        }
        true
    }

    /// Reports the end of the query, with its error if it failed.
    pub(super) fn end(&self, error: Option<SourceError>) {
        let mut state = self.state();
        state.ended = true;
        state.error = error;
        self.0.changed.notify_all();
    }

    /// Sends pages until the query has ended or the receiver is gone. Blocks.
    pub(super) fn deliver(&self, pages: &mpsc::Sender<Result<IdPage, SourceError>>) {
        while let Some(ids) = self.next_page() {
            let page = IdPage {
                ids,
                position: None,
            };
            if pages.blocking_send(Ok(page)).is_err() {
                self.stop();
                return;
            }
        }
        let error = self.state().error.take();
        if let Some(error) = error {
            // If the receiver is gone, the error is not needed.
            let _ = pages.blocking_send(Err(error));
        }
    }

    fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        state.ids = Vec::new();
        self.0.changed.notify_all();
    }

    fn next_page(&self) -> Option<Vec<String>> {
        let mut state = self
            .0
            .changed
            .wait_while(self.state(), |state| state.ids.is_empty() && !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
        if state.ids.len() < PAGE && !state.ended {
            (state, _) = self
                .0
                .changed
                .wait_timeout_while(state, LINGER, |state| {
                    state.ids.len() < PAGE && !state.ended
                })
                .unwrap_or_else(PoisonError::into_inner);
        }
        let count = state.ids.len().min(PAGE);
        if count == 0 {
            return None;
        }
        let page = state.ids.drain(..count).collect();
        self.0.changed.notify_all();
        Some(page)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the state inconsistent.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliver(pager: &Pager) -> mpsc::Receiver<Result<IdPage, SourceError>> {
        let (sender, receiver) = mpsc::channel(1);
        let pager = pager.clone();
        std::thread::spawn(move || pager.deliver(&sender));
        receiver
    }

    #[test]
    fn a_full_page_goes_at_once_and_the_rest_at_the_end() {
        let pager = Pager::new();
        let mut pages = deliver(&pager);
        for id in 0..PAGE + 3 {
            assert!(pager.push(id.to_string()));
        }
        assert_eq!(pages.blocking_recv().unwrap().unwrap().ids.len(), PAGE);
        pager.end(None);
        let last = pages.blocking_recv().unwrap().unwrap();
        assert_eq!(last.ids, ["512", "513", "514"]);
        assert!(pages.blocking_recv().is_none());
    }

    #[test]
    fn a_page_that_is_not_full_does_not_wait_for_the_end() {
        let pager = Pager::new();
        let mut pages = deliver(&pager);
        pager.push("first".into());
        assert_eq!(pages.blocking_recv().unwrap().unwrap().ids, ["first"]);
        pager.end(None);
        assert!(pages.blocking_recv().is_none());
    }

    #[test]
    fn an_error_is_the_last_thing() {
        let pager = Pager::new();
        let error = SourceError::Query {
            interface: "i".into(),
            message: "m".into(),
        };
        pager.push("first".into());
        pager.end(Some(error.clone()));
        let mut pages = deliver(&pager);
        assert_eq!(pages.blocking_recv().unwrap().unwrap().ids, ["first"]);
        assert_eq!(pages.blocking_recv().unwrap(), Err(error));
        assert!(pages.blocking_recv().is_none());
    }

    #[test]
    fn a_query_whose_receiver_is_gone_is_stopped() {
        let pager = Pager::new();
        drop(deliver(&pager));
        while pager.push("more".into()) {}
    }
}
