//! What happens on the way of a call, told to whoever wants to know without making the call wait.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use integration_core::{ErrorKind, RequestId};

use super::fallback::FallbackClass;
use crate::Target;
use crate::live::Change;

/// Something that happened to a call or to a deployment. Not exhaustive.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RouteEvent {
    /// An attempt was admitted and is sent.
    AttemptBegun {
        /// The call.
        request: RequestId,
        /// The attempt's number.
        number: u16,
        /// Who is asked.
        target: Target,
        /// Whether it is to find out whether an ejected deployment works again.
        probe: bool,
    },
    /// The first piece came that a reader would see.
    FirstContent {
        /// The call.
        request: RequestId,
        /// The attempt's number.
        number: u16,
        /// How long it took.
        after: Duration,
    },
    /// An attempt ended.
    AttemptEnded {
        /// The call.
        request: RequestId,
        /// The attempt's number.
        number: u16,
        /// What went wrong; `None` for an answer. An attempt that was given up is `Cancelled`.
        error: Option<ErrorKind>,
        /// How long it took.
        after: Duration,
    },
    /// A target was not asked.
    PassedOver {
        /// The call.
        request: RequestId,
        /// Who was not asked.
        target: Target,
        /// Why not.
        error: ErrorKind,
    },
    /// A target failed and another one is asked.
    FellBack {
        /// The call.
        request: RequestId,
        /// Who failed.
        from: Target,
        /// Who is asked.
        to: Target,
        /// How it failed, if that has a class.
        class: Option<FallbackClass>,
    },
    /// A call waits before it asks a target.
    Waiting {
        /// The call.
        request: RequestId,
        /// Who will be asked.
        target: Target,
        /// How long it waits.
        wait: Duration,
    },
    /// A second target is asked while the first one still lets wait.
    HedgeStarted {
        /// The call.
        request: RequestId,
        /// The attempt's number.
        number: u16,
        /// Who is asked beside the first.
        target: Target,
    },
    /// The second target answered first.
    HedgeWon {
        /// The call.
        request: RequestId,
        /// The attempt's number.
        number: u16,
    },
    /// The first target answered first.
    HedgeLost {
        /// The call.
        request: RequestId,
        /// The attempt's number.
        number: u16,
    },
    /// A deployment failed too often, or hangs, and is left alone.
    BreakerOpened {
        /// Which.
        target: Target,
        /// Until when.
        until: Instant,
    },
    /// A deployment is asked as usual again: it works, or it is the last one left.
    BreakerClosed {
        /// Which.
        target: Target,
    },
    /// A deployment asked to be left alone.
    Cooldown {
        /// Which.
        target: Target,
        /// Until when.
        until: Instant,
    },
    /// A call could have gone on, but the budget of extra attempts is spent.
    BudgetSpent {
        /// The call.
        request: RequestId,
    },
    /// An answer came that is not good enough; the next target is asked, if there is one.
    NotGoodEnough {
        /// The call.
        request: RequestId,
        /// The number of the attempt that gave it.
        number: u16,
        /// Who gave it.
        target: Target,
    },
    /// A call was answered, or has begun to be, or failed.
    CallEnded {
        /// The call.
        request: RequestId,
        /// Who answers; `None` if nobody does.
        target: Option<Target>,
        /// How many attempts were made.
        attempts: usize,
    },
}

/// Takes events, from an [`EventQueue`]. It may take its time: no call waits for it.
pub trait Observer {
    /// Takes one event.
    fn observe(&self, event: &RouteEvent);
}

/// Keeps events until they are fetched. When it is full, new ones are dropped and counted, so that no call ever waits for
/// whoever fetches them.
pub struct EventQueue {
    capacity: usize,
    dropped: AtomicU64,
    panics: AtomicU64,
    events: Mutex<VecDeque<RouteEvent>>,
}

impl EventQueue {
    /// An empty queue that holds at most so many events.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            dropped: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            events: Mutex::default(),
        }
    }

    fn events(&self) -> MutexGuard<'_, VecDeque<RouteEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, event: RouteEvent) {
        let mut events = self.events();
        if events.len() < self.capacity {
            events.push_back(event);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes out all events, oldest first.
    pub fn drain(&self) -> Vec<RouteEvent> {
        std::mem::take(&mut *self.events()).into()
    }

    /// Takes out all events, oldest first, and shows each to an observer. How many there were. An observer that panics misses
    /// that event only.
    pub fn deliver(&self, to: &dyn Observer) -> usize {
        let events = self.drain();
        for event in &events {
            if catch_unwind(AssertUnwindSafe(|| to.observe(event))).is_err() {
                self.panics.fetch_add(1, Ordering::Relaxed);
            }
        }
        events.len()
    }

    /// How many events found no place.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How often an observer panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue")
            .field("capacity", &self.capacity)
            .field("dropped", &self.dropped())
            .field("panics", &self.panics())
            .finish_non_exhaustive()
    }
}

/// Tells a queue, if there is one, what happens to a call. Without one nothing is made up.
#[derive(Clone)]
pub(super) struct Teller {
    pub(super) queue: Option<Arc<EventQueue>>,
    pub(super) request: RequestId,
}

impl Teller {
    pub(super) fn tell(&self, event: impl FnOnce(RequestId) -> RouteEvent) {
        if let Some(queue) = &self.queue {
            queue.push(event(self.request.clone()));
        }
    }

    pub(super) fn changed(&self, target: &Target, change: Option<Change>) {
        if let Some(change) = change {
            self.tell(|_| {
                let target = target.clone();
                match change {
                    Change::Ejected(until) => RouteEvent::BreakerOpened { target, until },
                    Change::Cooling(until) => RouteEvent::Cooldown { target, until },
                    Change::Closed => RouteEvent::BreakerClosed { target },
                }
            });
        }
    }
}
