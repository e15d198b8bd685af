//! Random ids, tokens and jitter from one source, which a simulation seeds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::{Builder, Uuid};

use crate::Token;

/// A source of ids and jitter. Cheap to clone; clones share one generator.
#[derive(Clone, Debug)]
pub struct Ids(Arc<Mutex<StdRng>>);

impl Ids {
    /// A source seeded by the operating system.
    pub fn from_system() -> Self {
        Self::seeded(rand::random())
    }

    /// A source with a fixed seed, which gives the same sequence each time.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A random (version 4) UUID.
    pub fn uuid(&self) -> Uuid {
        Builder::from_random_bytes(self.with(|rng| rng.random())).into_uuid()
    }

    /// A token for one attempt to change shared state.
    pub fn token(&self) -> Token {
        Token(self.uuid())
    }

    /// A random duration in `[0, limit)`: full jitter.
    pub fn jitter(&self, limit: Duration) -> Duration {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        if micros == 0 {
            return Duration::ZERO;
        }
        Duration::from_micros(self.with(|rng| rng.random_range(0..micros)))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        // A panic in a generator leaves no state that matters, so poisoning is ignored.
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
