//! Answers as an event stream, in the shapes that the service sends.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::bill::Bill;
use crate::fault::Fault;
use crate::serve::Served;
use crate::wire_parts::{Chunk, ChunkChoice, Delta, deltas};

/// One thing that happens to the body of an answer, in order.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Nothing for a while.
    Wait(Duration),
    /// These bytes are sent.
    Send(Bytes),
    /// The upstream has made so many tokens of the answer in all by now. Nothing is sent: it is what a reader who goes after
    /// this step is charged for.
    Made(u64),
    /// The connection breaks; nothing follows.
    Break,
    /// Nothing more happens, and the connection stays open; nothing follows.
    Stall,
}

/// Of bytes only how many: they may hold a key that was just made.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait(time) => f.debug_tuple("Wait").field(time).finish(),
            Self::Send(bytes) => f.debug_tuple("Send").field(&bytes.len()).finish(),
            Self::Made(tokens) => f.debug_tuple("Made").field(tokens).finish(),
            Self::Break => f.write_str("Break"),
            Self::Stall => f.write_str("Stall"),
        }
    }
}

pub(crate) const COMMENT: &[u8] = b": OPENROUTER PROCESSING\n\n";
const DONE: &[u8] = b"data: [DONE]\n\n";
/// How often a stream starts with comments, and how often one comes between two events.
const COMMENTS_FIRST: f64 = 0.84;
const COMMENT_BETWEEN: f64 = 0.02;
/// How long nothing is sent at most while a model works.
const QUIET: Duration = Duration::from_secs(5);
/// How long an answer that only keeps alive does so, one sign of life a second.
pub(crate) const KEPT_ALIVE: u32 = 3_600;

/// The time that an answer takes in all.
pub(crate) fn duration(steps: &[Step]) -> Duration {
    steps
        .iter()
        .map(|step| match step {
            Step::Wait(time) => *time,
            _ => Duration::ZERO,
        })
        .sum()
}

/// A wait, with a sign of life whenever it has been quiet for long.
pub(crate) fn waited(time: Duration, alive: &'static [u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut left = time;
    while left > QUIET {
        steps.push(Step::Wait(QUIET));
        steps.push(Step::Send(Bytes::from_static(alive)));
        left -= QUIET;
    }
    steps.extend((!left.is_zero()).then_some(Step::Wait(left)));
    steps
}

/// The object `usage` as text, as a fault has it. The inner `None` is written as null.
pub(crate) fn usage(bill: &Bill, fault: Option<Fault>) -> Option<Box<RawValue>> {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).ok();
    let usual = || serde_json::value::to_raw_value(&bill.usage()).ok();
    let bare = |null: &str| {
        let (prompt, completion) = (bill.prompt, bill.completion);
        let total = prompt.saturating_add(completion);
        raw(&format!(
            "{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{total}{null}}}"
        ))
    };
    match fault {
        Some(Fault::NoUsage) => None,
        Some(Fault::UsageNull) => raw("null"),
        Some(Fault::UsageEmpty) => raw("{}"),
        Some(Fault::UsageWithoutCost) => bare(""),
        Some(Fault::UsageNullDetails) => bare(
            ",\"cost\":null,\"is_byok\":false,\"prompt_tokens_details\":null,\"completion_tokens_details\":null,\
             \"cost_details\":{\"upstream_inference_cost\":null,\"upstream_inference_prompt_cost\":null,\
             \"upstream_inference_completions_cost\":null}",
        ),
        Some(Fault::ReasoningOver) => {
            let mut over = *bill;
            over.reasoning = bill.completion.saturating_add(1);
            serde_json::value::to_raw_value(&over.usage()).ok()
        }
        _ => usual(),
    }
}

/// The error of an answer that fails on the way, as a fault has it.
pub(crate) fn error(served: &Served) -> Value {
    let mut error = served.problem.error();
    if let (Some(Fault::StringCode), Some(fields)) = (served.fault, error.as_object_mut()) {
        fields.insert("code".to_owned(), json!("server_error"));
    }
    error
}

/// Writes a stream step by step.
struct StreamWriter<'a> {
    served: &'a Served,
    steps: Vec<Step>,
}

impl StreamWriter<'_> {
    fn raw(&mut self, bytes: &'static [u8]) {
        self.steps.push(Step::Send(Bytes::from_static(bytes)));
    }

    fn wait(&mut self, time: Duration) {
        self.steps.extend(waited(time, COMMENT));
    }

    fn chunk(&mut self, choices: &[ChunkChoice<'_>], end: End) {
        let served = self.served;
        let routing = match (&served.routing, end.last) {
            (Some(routing), true) => Some(routing.value(Some(duration(&self.steps)))),
            _ => None,
        };
        let chunk = Chunk {
            id: served.shown_id(),
            object: "chat.completion.chunk",
            created: served.created,
            model: &served.model,
            provider: served.provider,
            service_tier: (end.last && end.error.is_none()).then_some(served.service_tier),
            error: end.error,
            choices,
            usage: end.usage,
            openrouter_metadata: routing,
            debug: None,
        };
        self.event(&chunk);
    }

    fn event(&mut self, chunk: &Chunk<'_>) {
        let mut line = b"data: ".to_vec();
        // Plain structures with string keys cannot fail to serialise into memory.
        if serde_json::to_writer(&mut line, chunk).is_ok() {
            line.extend_from_slice(b"\n\n");
            self.steps.push(Step::Send(line.into()));
        }
    }

    fn finish(&mut self, delta: Delta<'_>, reason: (Option<&str>, Option<&str>), end: End) {
        let choice = ChunkChoice {
            index: 0,
            delta,
            finish_reason: reason.0,
            native_finish_reason: reason.1,
        };
        self.chunk(&[choice], end);
    }

    /// What the upstream was asked, before anything of its answer.
    fn echo(&mut self, asked: &Value) {
        let served = self.served;
        self.event(&Chunk {
            id: served.shown_id(),
            object: "chat.completion.chunk",
            created: served.created,
            model: &served.model,
            provider: served.provider,
            service_tier: None,
            error: None,
            choices: &[],
            usage: None,
            openrouter_metadata: None,
            debug: Some(json!({ "echo_upstream_body": asked })),
        });
    }
}

/// What a chunk holds besides its choices.
#[derive(Default)]
struct End {
    usage: Option<Box<RawValue>>,
    error: Option<Value>,
    last: bool,
}

/// How many tokens have been made by each of so many pieces. Thoughts that are not shown come before the first.
fn made(answer: &Answer, pieces: usize) -> impl Fn(usize) -> u64 + use<> {
    let hidden = answer
        .reasoning
        .as_ref()
        .is_some_and(|reasoning| !reasoning.shown);
    let before = if hidden { answer.reasoning_tokens } else { 0 };
    let rest = answer.completion_tokens.saturating_sub(before);
    let pieces = pieces.max(1) as u64;
    move |at| before + rest.saturating_mul(at as u64 + 1).div_ceil(pieces)
}

/// The event stream of an answer, with the fault if one is staged.
pub(crate) fn stream(served: &Served) -> Vec<Step> {
    let (answer, fault) = (&served.answer, served.fault);
    let (mut dice, mut pace) = (served.dice.clone(), served.pace.clone());
    let mut out = StreamWriter {
        served,
        steps: Vec::new(),
    };
    if dice.chance(COMMENTS_FIRST) {
        for _ in 0..dice.between(1, 4) {
            out.raw(COMMENT);
        }
    }
    if fault == Some(Fault::KeepAlive) {
        for _ in 0..KEPT_ALIVE {
            out.raw(COMMENT);
            out.wait(Duration::from_secs(1));
        }
        return out.steps;
    }
    out.wait(pace.first());
    if fault == Some(Fault::Empty) {
        return out.steps;
    }
    if let Some(asked) = &served.echo {
        out.echo(asked);
    }
    let failed = |usage: bool| End {
        usage: usage.then(|| self::usage(&served.bill.waived(), None)).flatten(),
        error: Some(error(served)),
        last: true,
    };
    if fault == Some(Fault::ErrorFirst) {
        out.finish(Delta::content(""), (Some("error"), None), failed(false));
        return out.steps;
    }

    let mut deltas = deltas(answer, fault);
    let ends_early = matches!(
        fault,
        Some(
            Fault::Cut
                | Fault::Truncate
                | Fault::ErrorMid
                | Fault::FinishError
                | Fault::StringCode
                | Fault::NoChoices
                | Fault::AfterLength
                | Fault::Stall
        )
    );
    let made = made(answer, deltas.len());
    if ends_early {
        deltas.truncate(deltas.len().div_ceil(2));
    }
    for (at, delta) in deltas.into_iter().enumerate() {
        if at > 0 {
            out.wait(pace.next());
            if dice.chance(COMMENT_BETWEEN) || fault == Some(Fault::Comments) {
                out.raw(COMMENT);
            }
        }
        out.steps.push(Step::Made(made(at)));
        out.finish(delta, (None, None), End::default());
    }
    let last = |usage| End {
        usage,
        error: None,
        last: true,
    };
    match fault {
        Some(Fault::Cut) => out.steps.push(Step::Break),
        Some(Fault::Stall) => out.steps.push(Step::Stall),
        Some(Fault::Truncate) => {}
        Some(Fault::ErrorMid | Fault::StringCode) => {
            out.finish(Delta::content(""), (Some("error"), None), failed(true));
            out.raw(DONE);
        }
        Some(Fault::NoChoices) => out.chunk(&[], failed(false)),
        Some(Fault::AfterLength) => {
            for _ in 0..2 {
                let reason = (Some("length"), Some("length"));
                out.finish(Delta::content(""), reason, End::default());
            }
            out.finish(Delta::content(""), (None, None), failed(true));
            out.raw(DONE);
        }
        Some(Fault::FinishError) => {
            let reason = (Some("error"), Some("MALFORMED_FUNCTION_CALL"));
            out.finish(Delta::content(""), reason, End::default());
            let usage = usage(&served.bill.waived(), None);
            out.finish(Delta::content(""), reason, last(usage));
            out.raw(DONE);
        }
        _ => {
            let reason = match fault {
                Some(Fault::Blank) => (None, None),
                _ => (Some(answer.finish), Some(answer.native_finish)),
            };
            let shown = answer.reasoning.as_ref().is_some_and(|reasoning| reasoning.shown);
            let usage = match fault {
                Some(Fault::Blank) => usage(&served.bill.waived(), fault),
                _ => usage(&served.bill, fault),
            };
            let early = End {
                usage: usage.clone().filter(|_| fault == Some(Fault::UsageTwice)),
                ..End::default()
            };
            out.steps.push(Step::Made(answer.completion_tokens));
            out.finish(Delta::end(shown), reason, early);
            if fault == Some(Fault::UsageAlone) {
                out.chunk(&[], last(usage));
            } else {
                out.finish(Delta::content(""), reason, last(usage));
            }
            if fault != Some(Fault::NoDone) {
                out.raw(DONE);
            }
        }
    }
    out.steps
}
