//! Blocking work on a thread of its own.

use tokio::sync::oneshot;

/// Runs `work` on a thread and waits for it. A dropped future does not end the work.
///
/// # Errors
/// A sentence: what the work says, that no thread could be started, or that the work broke off.
pub(crate) async fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = oneshot::channel();
    let started = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Who asked may be gone.
            let _ = sender.send(work());
        });
    started.map_err(|error| format!("no thread could be started: {error}"))?;
    let done = receiver.await;
    done.unwrap_or_else(|_| Err("the work broke off".to_owned()))
}
