//! The deadlines of one call.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
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
    /// The nearest deadline but that of a pause: it moves only when the head or the content arrives.
    fixed: Option<(Instant, Phase)>,
    /// Since when we have been waiting for the network. The time the reader takes for itself is not the server's.
    waiting_since: Option<Instant>,
    timer: Option<Timer>,
    /// Pieces in a row that were there without waiting.
    unwaited: u8,
}

struct Timer {
    due: Instant,
    sleep: BoxFuture<'static, ()>,
    /// Whom it wakes.
    waker: Waker,
}

/// A timer that is further away than this and knows whom to wake need not be asked.
const FAR: Duration = Duration::from_secs(1);

/// Reading the clock is a good part of what a piece costs. Whoever waits reads it; so only a server that leaves no time to wait
/// has to be looked at for its own sake, and that not at each piece.
const LOOK_EVERY: u8 = 8;

impl Deadlines {
    pub(crate) fn start(clock: Arc<dyn Clock>, timeouts: Timeouts, caller: Option<Instant>) -> Self {
        let started = clock.now();
        let mut deadlines = Self {
            clock,
            timeouts,
            started,
            caller,
            head: false,
            content: false,
            fixed: None,
            waiting_since: None,
            timer: None,
            unwaited: 0,
        };
        deadlines.fixed = deadlines.nearest_fixed(false);
        deadlines
    }

    /// Whether the caller had given up before the call began.
    pub(crate) fn over_at_start(&self) -> bool {
        self.caller.is_some_and(|deadline| self.started >= deadline)
    }

    pub(crate) fn head_arrived(&mut self) {
        self.head = true;
        self.fixed = self.nearest_fixed(false);
    }

    pub(crate) fn content_arrived(&mut self) {
        if !self.content {
            self.content = true;
            self.fixed = self.nearest_fixed(false);
        }
    }

    pub(crate) fn bytes_arrived(&mut self) {
        self.waiting_since = None;
    }

    /// The deadlines that hold now but that of a pause, nearest first. `patient`: content may just have arrived and not been
    /// looked at, so its deadline is left out.
    fn nearest_fixed(&self, patient: bool) -> Option<(Instant, Phase)> {
        // A limit that no clock can reach is none.
        let after = |limit: Duration| self.started.checked_add(limit);
        let Timeouts {
            total,
            first_byte,
            first_content,
            ..
        } = self.timeouts;
        let head = if self.head { None } else { after(first_byte) };
        let content = if self.content || patient {
            None
        } else {
            after(first_content)
        };
        [
            (self.caller, Phase::Caller),
            (total.and_then(after), Phase::Total),
            (head, Phase::FirstByte),
            (content, Phase::FirstContent),
        ]
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

    /// Looks without waiting, when bytes have arrived. `patient`: they may hold content. It may look a few pieces late.
    pub(crate) fn check(&mut self, patient: bool) -> Result<(), TransportError> {
        self.unwaited = self.unwaited.saturating_add(1);
        let Some((at, _)) = self.fixed.filter(|_| self.unwaited >= LOOK_EVERY) else {
            return Ok(());
        };
        self.unwaited = 0;
        let now = self.clock.now();
        if now < at {
            return Ok(());
        }
        match self.nearest_fixed(patient) {
            Some((at, phase)) if now >= at => Err(self.expired(phase)),
            _ => Ok(()),
        }
    }

    /// Ready once a deadline has passed. Call it only while the network has nothing.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<TransportError> {
        self.unwaited = 0;
        loop {
            let now = self.clock.now();
            let pause = if self.head {
                let since = *self.waiting_since.get_or_insert(now);
                since.checked_add(self.timeouts.idle)
            } else {
                None
            };
            let (at, phase) = match (self.fixed, pause) {
                (Some(fixed), Some(pause)) if pause >= fixed.0 => fixed,
                (_, Some(pause)) => (pause, Phase::Idle),
                (Some(fixed), None) => fixed,
                (None, None) => return Poll::Pending,
            };
            if now >= at {
                return Poll::Ready(self.expired(phase));
            }
            let timer = match self.timer.take() {
                Some(timer) if timer.due <= at => {
                    let timer = self.timer.insert(timer);
                    if timer.due > now + FAR && timer.waker.will_wake(cx.waker()) {
                        return Poll::Pending;
                    }
                    timer.waker.clone_from(cx.waker());
                    timer
                }
                _ => self.timer.insert(Timer {
                    due: at,
                    sleep: self.clock.sleep(at - now),
                    waker: cx.waker().clone(),
                }),
            };
            match timer.sleep.as_mut().poll(cx) {
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
