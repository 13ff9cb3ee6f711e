//! The deadlines of one call.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use integration_core::{BoxFuture, Clock, Delivery};

use crate::{Phase, Timeouts, TransportError};

/// Watches all deadlines of one call with one timer.
///
/// The timer is set when there is something to wait for and is not moved when a deadline moves away: when it fires too
/// early it is set anew. A stream of a thousand pieces so costs a handful of timers, not a thousand.
pub(crate) struct Deadlines {
    clock: Arc<dyn Clock>,
    timeouts: Timeouts,
    started: Instant,
    caller: Option<Instant>,
    head: bool,
    content: bool,
    /// Since when we have been waiting for the network. The time the reader takes for itself is not the server's.
    waiting_since: Option<Instant>,
    timer: Option<(Instant, BoxFuture<'static, ()>)>,
}

impl Deadlines {
    pub(crate) fn start(clock: Arc<dyn Clock>, timeouts: Timeouts, caller: Option<Instant>) -> Self {
        let started = clock.now();
        Self {
            clock,
            timeouts,
            started,
            caller,
            head: false,
            content: false,
            waiting_since: None,
            timer: None,
        }
    }

    pub(crate) fn head_arrived(&mut self) {
        self.head = true;
    }

    pub(crate) fn content_arrived(&mut self) {
        self.content = true;
    }

    pub(crate) fn bytes_arrived(&mut self) {
        self.waiting_since = None;
    }

    fn after(&self, limit: Duration) -> Option<Instant> {
        // A limit that no clock can reach is none.
        self.started.checked_add(limit)
    }

    /// The deadlines that hold now, nearest first.
    fn nearest(&self, patient: bool) -> Option<(Instant, Phase)> {
        let phases = [
            (self.caller, Phase::Caller),
            (
                self.timeouts.total.and_then(|limit| self.after(limit)),
                Phase::Total,
            ),
            (
                (!self.head)
                    .then(|| self.after(self.timeouts.first_byte))
                    .flatten(),
                Phase::FirstByte,
            ),
            (
                (!self.content && !patient)
                    .then(|| self.after(self.timeouts.first_content))
                    .flatten(),
                Phase::FirstContent,
            ),
            (
                self.waiting_since
                    .filter(|_| self.head)
                    .and_then(|since| since.checked_add(self.timeouts.idle)),
                Phase::Idle,
            ),
        ];
        phases
            .into_iter()
            .filter_map(|(at, phase)| Some((at?, phase)))
            .min_by_key(|(at, _)| *at)
    }

    fn expired(&self, phase: Phase) -> TransportError {
        let delivery = if self.head {
            Delivery::Partial
        } else {
            Delivery::MaybeSent
        };
        TransportError::Deadline { phase, delivery }
    }

    /// Looks without waiting. `patient`: content may just have arrived and not been looked at, so its deadline is left out.
    pub(crate) fn check(&self, patient: bool) -> Result<(), TransportError> {
        match self.nearest(patient) {
            Some((at, phase)) if self.clock.now() >= at => Err(self.expired(phase)),
            _ => Ok(()),
        }
    }

    /// Ready once a deadline has passed. Call it only while the network has nothing.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<TransportError> {
        loop {
            let now = self.clock.now();
            if self.head && self.waiting_since.is_none() {
                self.waiting_since = Some(now);
            }
            let Some((at, phase)) = self.nearest(false) else {
                return Poll::Pending;
            };
            if now >= at {
                return Poll::Ready(self.expired(phase));
            }
            let timer = match self.timer.take() {
                Some((due, timer)) if due <= at => self.timer.insert((due, timer)),
                _ => self.timer.insert((at, self.clock.sleep(at - now))),
            };
            match timer.1.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => self.timer = None,
            }
        }
    }
}

impl fmt::Debug for Deadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadlines")
            .field("timeouts", &self.timeouts)
            .field("head", &self.head)
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}
