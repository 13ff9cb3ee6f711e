//! Answers that are being read: what the books need of a call until it ends, and the handle that tells of the end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;

use crate::bill::{Bill, Charge};
use crate::generations::Generation;
use crate::moment::Moment;
use crate::simulation::{SimulatedReply, SimulatedRequest, Simulation};
use crate::wire::Step;

/// Upstreams that go on with an answer that nobody reads any more, and charge for all of it.
const UNSTOPPABLE: &[&str] = &[
    "alibaba",
    "amazon-bedrock",
    "google-ai-studio",
    "google-vertex",
    "groq",
    "minimax",
    "mistral",
    "perplexity",
];

/// Whether an upstream stops, and charges no more, when whoever reads its stream goes.
pub(crate) fn stops(slug: &str) -> bool {
    !UNSTOPPABLE.contains(&slug)
}

/// A call that has been answered and whose answer is being read.
#[derive(Debug)]
pub(crate) struct Underway {
    pub(crate) id: String,
    pub(crate) key: u64,
    pub(crate) started: Moment,
    /// As it will be if the answer is read to its end, but for the bill.
    pub(crate) generation: Generation,
    /// `None` for an answer that costs nothing.
    pub(crate) charge: Option<Charge>,
    /// Whether the answer ends in an error or in nothing, which is not charged.
    pub(crate) fails: bool,
    /// Whether the upstream stops when the reader of a stream goes.
    pub(crate) stops: bool,
    /// What the upstream makes of the answer if nobody stops it, in tokens.
    pub(crate) all: u64,
    /// What is held of the balance.
    pub(crate) hold: Option<u64>,
    /// What an own key has been counted for, by list price.
    pub(crate) own_key: Option<Decimal>,
}

/// The calls whose answers are being read, by the number of the call.
pub(crate) type Calls = BTreeMap<u64, Underway>;

/// How the reading of an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    /// The tokens that a stream had brought by then.
    made: u64,
    /// Whether the answer was read as far as it goes.
    read: bool,
}

impl Underway {
    /// The record of the answer, now that it is known how it ended.
    fn closed(self, end: End, visible: Duration) -> Generation {
        let by_piece = self.generation.streamed && (end.read || self.stops);
        let made = if by_piece {
            end.made.min(self.all)
        } else {
            self.all
        };
        let whole = self
            .charge
            .as_ref()
            .map_or(self.all, |charge| charge.counts.completion);
        let bill = match self.charge {
            None => Bill::cached_answer(),
            // Who leaves before an answer can fail has had what came until then.
            Some(charge) if self.fails && (end.read || !by_piece) => charge.bill().waived(),
            Some(charge) if made < whole => charge.of_part(made),
            Some(charge) => charge.bill(),
        };
        let (finish, native_finish) = if end.read && (self.fails || made == whole) {
            (self.generation.finish, self.generation.native_finish)
        } else {
            (None, None)
        };
        Generation {
            bill,
            finish,
            native_finish,
            cancelled: !end.read,
            visible,
            ..self.generation
        }
    }
}

impl Simulation {
    /// Enters a call into the books, now that its answer has been read or left.
    fn close(&self, number: u64, end: End) {
        let visible = self.moment().since.saturating_add(self.config.generation_delay());
        let mut state = self.state();
        let Some(call) = state.underway.remove(&number) else {
            return;
        };
        state.account.release(call.hold);
        let (id, key, started, counted) = (call.id.clone(), call.key, call.started, call.own_key);
        let generation = call.closed(end, visible);
        if let Some(counted) = counted {
            let more = generation.bill.list_price().saturating_sub(counted);
            state.account.own_key_bought(more, started);
        }
        state.memory.remember(id, key, generation);
    }

    /// Answers a request whose answer takes its time to be read. Until the reading ends, nothing is known of the call under
    /// `GET /generation`, nothing has been spent for it, and what it may cost is held where the balance is low.
    ///
    /// # Cancellation
    /// To drop the [`Reading`] is to go in the middle of the answer.
    pub fn open(self: &Arc<Self>, request: &SimulatedRequest<'_>) -> (SimulatedReply, Reading) {
        let reply = self.dispatch(request);
        let reading = Reading {
            simulation: Arc::clone(self),
            call: reply.call,
            made: 0,
        };
        (reply, reading)
    }

    /// The same for an answer that has been read at once.
    pub(crate) fn read_at_once(&self, reply: &SimulatedReply) {
        if let Some(number) = reply.call {
            let (made, read) = reply.played();
            self.close(number, End { made, read });
        }
    }
}

/// The reading of one answer, which ends when the answer does or when this is dropped before. A reader who goes has had, and
/// pays for, the tokens that came until then; but an upstream that does not stop makes all of the answer, and so it does for
/// an answer in one piece.
#[must_use = "to drop the reading is to leave the answer"]
pub struct Reading {
    simulation: Arc<Simulation>,
    call: Option<u64>,
    made: u64,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("call", &self.call)
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

impl Reading {
    /// A step of the answer has happened.
    pub fn step(&mut self, step: &Step) {
        if let Step::Made(tokens) = step {
            self.made = *tokens;
        }
    }

    /// The answer has been read to its end.
    pub fn finish(mut self) {
        self.end(true);
    }

    fn end(&mut self, read: bool) {
        if let Some(number) = self.call.take() {
            let made = self.made;
            self.simulation.close(number, End { made, read });
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.end(false);
    }
}
