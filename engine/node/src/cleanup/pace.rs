//! How fast a clean-up works.

use tokio::sync::Mutex;

use super::SweepError;

/// Units of work between two rests.
pub(super) const UNITS: i64 = 200;

/// Counts work. Removals that run side by side rest together, so the work of a second is bounded.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<i64>);

impl Pace {
    /// Counts work that begins. Where [`UNITS`] or more were done since the last rest, `rest` comes first.
    ///
    /// # Errors
    /// What `rest` answers.
    pub(super) async fn spend(
        &self,
        units: i64,
        rest: impl Future<Output = Result<(), SweepError>>,
    ) -> Result<(), SweepError> {
        // Held during the rest, so that nothing else begins meanwhile.
        let mut done = self.0.lock().await;
        if *done >= UNITS {
            rest.await?;
            *done = 0;
        }
        *done += units;
        Ok(())
    }
}
