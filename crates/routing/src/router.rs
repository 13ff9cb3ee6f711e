//! The snapshot of the moment with how its deployments are doing, swapped as one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use costing::UtcTime;

use crate::{Decision, LiveBook, LiveTable, Plan, Reading, RouteRequest, Scratch, Signals, Snapshot, Task};

/// A snapshot and the live state of each of its deployments, in its order. A call keeps the one it began with.
#[derive(Debug)]
pub struct View {
    snapshot: Arc<Snapshot>,
    live: LiveTable,
}

/// Decides on the snapshot of the moment. Reading takes no lock; a new snapshot takes its place in one step.
#[derive(Debug)]
pub struct Router {
    view: ArcSwap<View>,
    book: Arc<LiveBook>,
    turn: AtomicU64,
}

/// The same readings, but nothing is left alone.
#[derive(Debug)]
struct NothingCools<'a, S: ?Sized>(&'a S);

impl<S: Signals + ?Sized> Signals for NothingCools<'_, S> {
    fn reading(&self, at: usize) -> Reading {
        let mut reading = self.0.reading(at);
        reading.cooling = false;
        reading
    }
}

impl Router {
    /// Decides on a snapshot. The book is the one that the executor of these decisions fills.
    pub fn new(snapshot: Snapshot, book: Arc<LiveBook>) -> Self {
        let view = View::new(snapshot, &book);
        Self {
            view: ArcSwap::from_pointee(view),
            book,
            turn: AtomicU64::new(0),
        }
    }

    /// Puts another snapshot in the place of this one. What is known of deployments that are in both stays known.
    pub fn replace(&self, snapshot: Snapshot) {
        self.view.store(Arc::new(View::new(snapshot, &self.book)));
    }

    /// The snapshot of the moment.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The number of the next turn, for [`RouteRequest::turn`].
    pub fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Which model is the cheapest for a task at that time, with a known quality, and why: the plan of [`RouteRequest::new`].
    pub fn best_model(&self, task: Task, at: UtcTime, now: Instant) -> Plan {
        self.view().plan(&RouteRequest::new(task, at), now)
    }
}

impl View {
    fn new(snapshot: Snapshot, book: &LiveBook) -> Self {
        let live = book.table(snapshot.deployments().iter().map(crate::Deployment::target));
        Self {
            snapshot: Arc::new(snapshot),
            live,
        }
    }

    /// The snapshot.
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// How the deployments are doing, in the snapshot's order.
    pub const fn live(&self) -> &LiveTable {
        &self.live
    }

    /// Which deployments to ask. Where all that qualify are left alone for now, it is as if none were: somebody has to find out
    /// whether they are back.
    pub fn decide<'a>(
        &'a self,
        request: &RouteRequest,
        now: Instant,
        scratch: &'a mut Scratch,
    ) -> Decision<'a> {
        let signals = self.live.at(now);
        // Asked twice only where nothing was found, and the scratch is lent for as long as the answer is used.
        let found = self
            .snapshot
            .decide_with(request, &signals, scratch)
            .chosen()
            .is_some();
        if found {
            self.snapshot.decision(scratch)
        } else {
            self.snapshot
                .decide_with(request, &NothingCools(&signals), scratch)
        }
    }

    /// The same with every reason.
    pub fn plan(&self, request: &RouteRequest, now: Instant) -> Plan {
        let signals = self.live.at(now);
        let plan = self.snapshot.plan_with(request, &signals);
        if plan.candidates.is_empty() {
            self.snapshot.plan_with(request, &NothingCools(&signals))
        } else {
            plan
        }
    }
}
