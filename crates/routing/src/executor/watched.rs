//! An attempt as its deployment's live data sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use integration_core::{ErrorKind, RateLimitFacts, RateWindow};

use super::attempt::{AttemptOutcome, AttemptResult};
use super::observe::{RouteEvent, Teller};
use crate::live::{Ending, Live, Probe, Ticket};

/// How long a deployment must have let wait, at least, for a call's end to be blamed on it: a caller in a hurry must not close a
/// deployment for everybody else.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells a deployment's live data, and whoever observes, of one attempt.
pub(super) struct Watched {
    live: Arc<Live>,
    /// `None` once it has ended.
    ticket: Option<Ticket>,
    teller: Teller,
    number: u16,
    /// When the whole call ends.
    call_ends: Option<Instant>,
}

impl Watched {
    pub(super) fn begin(
        live: Arc<Live>,
        probe: Option<Probe>,
        (stream, number): (bool, u16),
        now: Instant,
        call_ends: Option<Instant>,
        teller: Teller,
    ) -> Self {
        let ticket = match probe {
            Some(probe) => probe.begin(stream, now),
            None => live.begin(stream, now),
        };
        teller.tell(|request| RouteEvent::AttemptBegun {
            request,
            number,
            target: live.target().clone(),
            probe: ticket.is_probe(),
        });
        Self {
            live,
            ticket: Some(ticket),
            teller,
            number,
            call_ends,
        }
    }

    pub(super) fn first_content(&mut self, after: Duration, now: Instant) {
        let Some(ticket) = &mut self.ticket else { return };
        let change = self.live.first_content(ticket, now);
        let number = self.number;
        self.teller.tell(|request| RouteEvent::FirstContent {
            request,
            number,
            after,
        });
        self.teller.changed(self.live.target(), change);
    }

    pub(super) fn told(&self, facts: &RateLimitFacts, now: Instant) {
        let left = [&facts.requests, &facts.tokens]
            .into_iter()
            .flatten()
            .filter_map(share_left)
            .reduce(f64::min);
        if let Some(left) = left {
            self.live.set_told_headroom(left, now);
        }
    }

    pub(super) fn end(&mut self, outcome: &AttemptOutcome, now: Instant) {
        let Some(ticket) = self.ticket.take() else { return };
        let (ending, error) = match &outcome.result {
            AttemptResult::Complete => {
                let tokens = outcome.usage.as_ref().and_then(|usage| usage.completion_tokens);
                (Ending::Answered { tokens }, None)
            }
            AttemptResult::Cancelled => (Ending::Cancelled, Some(ErrorKind::Cancelled)),
            AttemptResult::Failed(failure) => {
                let call_is_over = self.call_ends.is_some_and(|ends| now >= ends);
                let blameless = outcome.first_content.is_some() || outcome.duration < PATIENCE;
                let ending = if failure.kind == ErrorKind::Timeout && call_is_over && blameless {
                    Ending::Cancelled
                } else {
                    Ending::Failed {
                        kind: failure.kind,
                        retry_after: failure.retry_after,
                    }
                };
                (ending, Some(failure.kind))
            }
        };
        let change = self.live.end(ticket, ending, now);
        let number = self.number;
        self.teller.tell(|request| RouteEvent::AttemptEnded {
            request,
            number,
            error,
            after: outcome.duration,
        });
        self.teller.changed(self.live.target(), change);
    }
}

fn share_left(window: &RateWindow) -> Option<f64> {
    let (limit, remaining) = (window.limit?, window.remaining?);
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
    let share = (limit > 0).then(|| remaining as f64 / limit as f64);
    share
}
