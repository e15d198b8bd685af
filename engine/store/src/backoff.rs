//! Pauses between tries.

use std::time::Duration;

/// Pauses that double up to a longest one.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    last: Option<Duration>,
}

impl Backoff {
    /// Before the first pause.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            last: None,
        }
    }

    /// Whether no pause was taken yet.
    pub fn is_fresh(&self) -> bool {
        self.last.is_none()
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let pause = self
            .last
            .map_or(self.first, |last| (last * 2).min(self.longest));
        self.last = Some(pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        assert!(backoff.is_fresh());
        let pauses = [(); 4].map(|()| backoff.pause().as_millis());
        assert_eq!(pauses, [100, 200, 350, 350]);
        assert!(!backoff.is_fresh());
    }
}
