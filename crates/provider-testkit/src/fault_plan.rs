//! Faults by seed: which one a request meets is drawn, and can be drawn again.
//!
//! Every step of a plan depends on the seed, the step's number and the healthy answer only, so one step of a long run can
//! be replayed alone: `FaultPlan::seeded(seed, mix).fault(step, &healthy)`, with seed and step from the message that
//! [`Fault`] prints.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::upstream::{Received, Script};

/// What may happen to an answer. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// Nothing: the healthy answer.
    Healthy,
    /// A status between 400 and 529 with a plain JSON error, sometimes with a `Retry-After`.
    Status,
    /// A web page, with status 200 or 502.
    Html,
    /// A body of no bytes, with status 200, 204 or 502.
    Empty,
    /// A redirect to the same server.
    Redirect,
    /// The connection ends somewhere in the answer.
    Cut,
    /// The connection breaks somewhere in the answer.
    Reset,
    /// The connection breaks before any byte of the answer.
    ResetBeforeAnswer,
    /// The answer stops somewhere and the connection stays open: the client must give up by its clock.
    Stall,
    /// The healthy answer in pieces of a few bytes.
    Drip,
    /// The declared length is wrong, too large or too small.
    WrongLength,
    /// Random bytes in place of the body.
    Garbage,
    /// An event stream of everything that readers stumble over.
    HostileStream,
}

impl FaultKind {
    /// Every kind of this release.
    pub const ALL: [Self; 13] = [
        Self::Healthy,
        Self::Status,
        Self::Html,
        Self::Empty,
        Self::Redirect,
        Self::Cut,
        Self::Reset,
        Self::ResetBeforeAnswer,
        Self::Stall,
        Self::Drip,
        Self::WrongLength,
        Self::Garbage,
        Self::HostileStream,
    ];
}

/// A seed and how often each kind is drawn.
///
/// ```
/// use provider_testkit::fault_plan::{FaultKind, FaultPlan};
/// use provider_testkit::upstream::Script;
/// let plan = FaultPlan::seeded(7, [(FaultKind::Healthy, 3), (FaultKind::Cut, 1)]);
/// let healthy = Script::json(200, r#"{"ok":true}"#);
/// let fault = plan.fault(42, &healthy);
/// assert!(fault.to_string().starts_with("seed 7, step 42: "));
/// assert_eq!(fault.script().to_bytes(), plan.fault(42, &healthy).script().to_bytes());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultPlan {
    seed: u64,
    mix: Vec<(FaultKind, u32)>,
}

/// What one request meets. `Display` names the seed and the step by which it can be had again.
#[derive(Debug, Clone)]
pub struct Fault {
    seed: u64,
    step: u64,
    kind: FaultKind,
    script: Script,
}

impl FaultPlan {
    /// A plan that draws each kind as often as its weight says. Without any weight every answer is healthy.
    pub fn seeded(seed: u64, mix: impl IntoIterator<Item = (FaultKind, u32)>) -> Self {
        Self {
            seed,
            mix: mix.into_iter().collect(),
        }
    }

    /// A plan that draws every kind equally often.
    pub fn everything(seed: u64) -> Self {
        Self::seeded(seed, FaultKind::ALL.map(|kind| (kind, 1)))
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What request number `step` (from 0) meets, whose answer would be `healthy`.
    pub fn fault(&self, step: u64, healthy: &Script) -> Fault {
        let mut dice = Dice::new(self.seed, step);
        let kind = dice.weighted(&self.mix);
        Fault {
            seed: self.seed,
            step,
            kind,
            script: play(kind, &mut dice, healthy),
        }
    }

    /// What the first `count` requests meet, all with the same healthy answer.
    pub fn faults(&self, count: u64, healthy: &Script) -> Vec<Fault> {
        (0..count).map(|step| self.fault(step, healthy)).collect()
    }

    /// Plays the plan: the argument of [`crate::upstream::ScriptedUpstream::start`]. The step is the number of the request,
    /// in the order in which the server reads them, from 0.
    pub fn player(
        self,
        healthy: impl Fn(&Received) -> Script + Send + Sync + 'static,
    ) -> impl Fn(&Received) -> Script + Send + Sync + 'static {
        let step = AtomicU64::new(0);
        move |request| {
            let step = step.fetch_add(1, Ordering::Relaxed);
            self.fault(step, &healthy(request)).script
        }
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, drawn from {:?}", self.seed, self.mix)
    }
}

impl Fault {
    /// Which kind was drawn.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// The number of the request, from 0.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// What the server does.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// What the server does, to be played.
    pub fn into_script(self) -> Script {
        self.script
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}, step {}: {:?}, {:?}",
            self.seed, self.step, self.kind, self.script
        )
    }
}

/// Random numbers of one step. ChaCha: the same numbers on every machine and in every release.
struct Dice(ChaCha8Rng);

impl Dice {
    fn new(seed: u64, step: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(step);
        Self(rng)
    }

    /// A number below `limit`; 0 if that is 0. The bias of the remainder is below one in 2^32.
    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.0.next_u64() % limit).unwrap_or(0)
    }

    fn one_of<T: Copy>(&mut self, first: T, others: &[T]) -> T {
        let at = self.below(others.len() + 1);
        at.checked_sub(1)
            .and_then(|at| others.get(at))
            .copied()
            .unwrap_or(first)
    }

    fn weighted(&mut self, mix: &[(FaultKind, u32)]) -> FaultKind {
        let total: u64 = mix.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut ticket = self.0.next_u64() % total.max(1);
        for (kind, weight) in mix {
            match ticket.checked_sub(u64::from(*weight)) {
                Some(rest) => ticket = rest,
                None => return *kind,
            }
        }
        FaultKind::Healthy
    }
}

fn play(kind: FaultKind, dice: &mut Dice, healthy: &Script) -> Script {
    match kind {
        FaultKind::Healthy => healthy.clone(),
        FaultKind::Status => {
            let status = dice.one_of(
                503,
                &[
                    400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 504, 524, 529,
                ],
            );
            let body = format!(r#"{{"error":{{"code":{status},"message":"a planned fault"}}}}"#);
            let script = Script::json(status, body);
            match dice.one_of("", &["0", "1", "30", "-1", "0.5", "99999999999999999999", "soon"]) {
                "" => script,
                wait => script.with_header("retry-after", wait),
            }
        }
        FaultKind::Html => Script::html(dice.one_of(200, &[502]), "<html><body>not found</body></html>"),
        FaultKind::Empty => Script::empty(dice.one_of(200, &[204, 502])),
        FaultKind::Redirect => Script::redirect(dice.one_of(301, &[302, 303, 307, 308]), "/elsewhere"),
        FaultKind::Cut => {
            let at = dice.below(healthy.to_bytes().len());
            healthy.clone().cut_after(at)
        }
        FaultKind::Reset => {
            let at = dice.below(healthy.to_bytes().len());
            healthy.clone().reset_after(at)
        }
        FaultKind::ResetBeforeAnswer => Script::new().reset(),
        FaultKind::Stall => {
            let at = dice.below(healthy.to_bytes().len());
            healthy.clone().stall_after(at)
        }
        FaultKind::Drip => Script::new().drip(healthy.to_bytes(), 1 + dice.below(7)),
        FaultKind::WrongLength => {
            let declared = dice.below(2 * healthy.to_bytes().len());
            healthy.clone().wrong_length(declared)
        }
        FaultKind::Garbage => {
            let length = dice.below(4096);
            let mut bytes = vec![0; length];
            dice.0.fill_bytes(&mut bytes);
            let media_type = dice.one_of("application/json", &["text/event-stream"]);
            Script::whole(200, media_type, bytes)
        }
        FaultKind::HostileStream => {
            let start = Script::chunked(200, "text/event-stream");
            (0..1 + dice.below(40)).fold(start, |script, _| {
                script.send(dice.one_of(HOSTILE[0], &HOSTILE[1..]))
            })
        }
    }
}

/// What readers of event streams stumble over.
const HOSTILE: [&[u8]; 22] = [
    b"data: {\"choices\":[]}\n\n",
    b"data: {\"choices\":[{\"index\":4294967295,\"delta\":{\"content\":\"x\"}}]}\n\n",
    b"data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":99}]}}]}\n\n",
    b"data: {\"choices\":[{\"index\":0,\"delta\":null,\"finish_reason\":\"\"}]}\n\n",
    b"data: {\"error\":null}\n\n",
    b"data: {\"error\":{\"code\":\"x\",\"message\":7}}\n\n",
    b"data: [DONE]\n\n",
    b"data: [DONE] \r\n\r\n",
    b"data: null\n\n",
    b"data: []\n\n",
    b"data: {\n\n",
    b"data\n\n",
    b"data:\n",
    b"\r",
    b"\n",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbfdata: {}\n\n",
    b"event: error\nid: \0\nretry: 99999999999999999999\n\n",
    b": a comment without an end",
    b"data: \xf0\x9f",
    &[b'a'; 4096],
];
