//! One wait for a whole call.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use integration_core::{BoxFuture, Clock, Delivery, Error, ErrorKind};

/// A point in time by which something must have ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// `None` if it lies beyond what the clock can tell.
    pub(super) at: Option<Instant>,
    after: Duration,
}

impl Limit {
    pub(super) fn after(after: Duration, clock: &dyn Clock) -> Self {
        Self {
            at: clock.now().checked_add(after),
            after,
        }
    }

    /// Whether it has passed, by the clock's own reading.
    pub(super) fn has_passed(&self, clock: &dyn Clock) -> bool {
        self.at.is_some_and(|at| clock.now() >= at)
    }

    /// A wait for it. Each attempt has its own, so that attempts under way at once need not share one.
    pub(super) fn wait(self, clock: &dyn Clock) -> Deadline {
        let left = self
            .at
            .map_or(self.after, |at| at.saturating_duration_since(clock.now()));
        Deadline {
            limit: self,
            sleep: clock.sleep(left),
            passed: false,
        }
    }

    /// The error that says that it passed.
    pub(super) fn error(&self, what: &str, delivery: Delivery) -> Error {
        let message = format!("{what} did not end within {:?}", self.after);
        Error::new(ErrorKind::Timeout, message).with_delivery(delivery)
    }
}

/// A limit and the sleep that ends there.
pub(super) struct Deadline {
    pub(super) limit: Limit,
    sleep: BoxFuture<'static, ()>,
    passed: bool,
}

impl Deadline {
    /// Whether it has passed; if not, the task is woken when it does.
    pub(super) fn poll_passed(&mut self, cx: &mut Context<'_>) -> bool {
        // A future that was ready must not be asked again.
        self.passed = self.passed || self.sleep.as_mut().poll(cx).is_ready();
        self.passed
    }
}

/// Which deadline passed.
pub(super) enum Expired {
    /// The one of the call: nothing more may be tried.
    Call,
    /// The one of this attempt: the next target may be tried.
    Attempt,
}

/// Waits for a future until a deadline passes; the future is then dropped. What is ready at the same time wins.
pub(super) async fn race<F: Future>(
    call: &mut Deadline,
    mut attempt: Option<&mut Deadline>,
    future: F,
) -> Result<F::Output, Expired> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if call.poll_passed(cx) {
            return Poll::Ready(Err(Expired::Call));
        }
        match attempt.as_mut().is_some_and(|attempt| attempt.poll_passed(cx)) {
            true => Poll::Ready(Err(Expired::Attempt)),
            false => Poll::Pending,
        }
    })
    .await
}
