//! Runs blocking work on its own thread.

use tokio::sync::oneshot;

/// Runs `work` on a thread and waits for it. Dropping the future does not end the work.
///
/// # Errors
/// A sentence: the error of the work, no thread can be started, or the work panicked.
pub(crate) async fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = oneshot::channel();
    let started = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // The caller may be gone.
            let _ = sender.send(work());
        });
    started.map_err(|error| format!("cannot start a thread: {error}"))?;
    let done = receiver.await;
    done.unwrap_or_else(|_| Err("the work panicked".to_owned()))
}
