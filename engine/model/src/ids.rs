//! Chance as the engine sees it: ids, tokens and jitter from one source that a simulation seeds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::{Builder, Uuid};

use crate::Token;

/// A source of ids and jitter. Cheap to clone; clones share the source.
#[derive(Clone, Debug)]
pub struct Ids(Arc<Mutex<StdRng>>);

impl Ids {
    /// Seeded from the operating system.
    pub fn from_system() -> Self {
        Self::seeded(rand::random())
    }

    /// The same seed gives the same ids, in the order they are asked for.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A random (version 4) uuid.
    pub fn uuid(&self) -> Uuid {
        Builder::from_random_bytes(self.with(|rng| rng.random())).into_uuid()
    }

    /// A token that names one attempt to change shared state.
    pub fn token(&self) -> Token {
        Token(self.uuid())
    }

    /// A duration in `[0, limit)`: full jitter.
    pub fn jitter(&self, limit: Duration) -> Duration {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        if micros == 0 {
            return Duration::ZERO;
        }
        Duration::from_micros(self.with(|rng| rng.random_range(0..micros)))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        // A panic while drawing cannot leave the generator in a state worth protecting.
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
