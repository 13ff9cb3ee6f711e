//! The one place where real time passes.

use std::time::{Duration, Instant, SystemTime};

use integration_core::{BoxFuture, Clock};

/// The clock of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Instant {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        Box::pin(tokio::time::sleep(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_clock_goes_on() {
        let first = RealClock.now();
        assert!(RealClock.now() >= first);
        assert!(RealClock.wall() > SystemTime::UNIX_EPOCH);
    }
}
