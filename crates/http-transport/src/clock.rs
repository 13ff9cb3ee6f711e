//! Real time.

use std::time::{Duration, Instant, SystemTime};

use integration_core::{BoxFuture, Clock};

/// The machine's clocks and tokio's timer. Its sleeps need a tokio runtime with time enabled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemClock;

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that turns real time into a `Clock`"
)]
impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
