//! What a simulator is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use integration_core::Clock;
use model_catalogue::{Catalogue, CatalogueError};

use crate::driver::RealClock;
use crate::pace::Timing;
use crate::scenario::{AnswerShape, Scenario};

/// Settings of a simulator. Everything has a default but the seed.
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    pub(crate) seed: u64,
    pub(crate) listen: SocketAddr,
    pub(crate) scenario: Scenario,
    pub(crate) timing: Timing,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) clock_given: bool,
    pub(crate) start_time: Option<SystemTime>,
    pub(crate) catalogue: Option<Catalogue>,
    pub(crate) body_limit: usize,
}

/// The largest request body taken unless set otherwise: 32 MiB.
const BODY_LIMIT: usize = 32 * 1024 * 1024;

impl SimulatorConfig {
    /// Answers from this seed, at once, without failures, on a free port of 127.0.0.1, with the bundled catalogue.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            scenario: Scenario::default(),
            timing: Timing::Instant,
            clock: Arc::new(RealClock),
            clock_given: false,
            start_time: None,
            catalogue: None,
            body_limit: BODY_LIMIT,
        }
    }

    /// Where to listen. Port 0 takes a free one.
    #[must_use]
    pub fn with_listen(self, listen: SocketAddr) -> Self {
        Self { listen, ..self }
    }

    /// Which failures to stage. What [`with_answer_tokens`](Self::with_answer_tokens),
    /// [`with_generation_delay`](Self::with_generation_delay) and [`with_invalid_keys`](Self::with_invalid_keys) have set is
    /// replaced by what the scenario says.
    #[must_use]
    pub fn with_scenario(self, scenario: Scenario) -> Self {
        Self { scenario, ..self }
    }

    /// Whether answers take time.
    #[must_use]
    pub fn with_timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// The clock for waits, for rules that begin or end at some time, and for the time of day. With a
    /// [`ManualClock`](integration_core::ManualClock) nothing waits in real time.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            clock_given: true,
            ..self
        }
    }

    /// Fixes the time of day: the first request is made at this time and each one after it a second later, so that two runs
    /// of the same requests give the same bytes. Everything that depends on time follows from that: prices with a time window,
    /// rules that begin or end, counters, caches and sessions. What passes on a clock that was given with
    /// [`with_clock`](Self::with_clock) is added.
    #[must_use]
    pub fn with_start_time(self, start_time: SystemTime) -> Self {
        Self {
            start_time: Some(start_time),
            ..self
        }
    }

    /// Other models and prices than the bundled ones.
    #[must_use]
    pub fn with_catalogue(self, catalogue: Catalogue) -> Self {
        Self {
            catalogue: Some(catalogue),
            ..self
        }
    }

    /// The largest request body that is taken, in bytes; a larger one is answered with 413. 32 MiB by default.
    #[must_use]
    pub fn with_body_limit(self, bytes: usize) -> Self {
        Self {
            body_limit: bytes,
            ..self
        }
    }

    /// How long an answer in words is, in estimated tokens, from 1 to 1,000,000. 30 to 160 by default.
    #[must_use]
    pub fn with_answer_tokens(mut self, tokens: RangeInclusive<u32>) -> Self {
        self.scenario.answer = AnswerShape::of(&tokens);
        self
    }

    /// How long `GET /generation` answers 404 after a call. By default not at all with [`Timing::Instant`], and two seconds
    /// with [`Timing::Realistic`].
    #[must_use]
    pub fn with_generation_delay(mut self, delay: Duration) -> Self {
        self.scenario.generation.delay = Some(delay);
        self
    }

    /// Keys to refuse, besides `sk-or-v1-invalid`.
    #[must_use]
    pub fn with_invalid_keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.scenario.keys.invalid = keys.into_iter().map(Into::into).collect();
        self
    }

    pub(crate) fn generation_delay(&self) -> Duration {
        let usual = if self.timing == Timing::Instant {
            Duration::ZERO
        } else {
            Duration::from_secs(2)
        };
        self.scenario.generation.delay.unwrap_or(usual)
    }
}

/// Why a simulator does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulatorError {
    /// Somebody else listens there.
    #[error("{address} is in use; stop what listens there, or choose another port (0 takes a free one)")]
    AddressInUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The system does not let it listen there.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The bundled catalogue cannot be read.
    #[error("the catalogue cannot be used: {0}")]
    Catalogue(#[from] CatalogueError),
}
