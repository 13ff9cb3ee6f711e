#![doc = include_str!("../README.md")]

mod chain;
mod classify;
mod comparison;
mod decision;
#[cfg(feature = "executor")]
mod executor;
mod facts;
mod index;
mod live;
mod named;
mod outcomes;
mod plan;
mod quality;
mod record;
mod request;
mod router;
mod rules;
mod signals;
mod snapshot;
mod strategy;
mod target;
mod task;

pub use chain::ChainGap;
pub use classify::{
    CONFIDENCE_THRESHOLD, Classified, Classifier, Example, MOST_READ, PICTURES_CONFIDENCE, TaskHints,
    classify,
};
pub use comparison::{
    ComparedModel, ComparedPair, Comparison, ComparisonReport, CostFigures, JudgeChoice, JudgementError,
    MOST_JUDGEMENT, PairVerdict, QualityFigures, QualityMeasure, Spread, TokenFigures, Trial, Unranked,
    VerdictCounts, judge_format, judge_messages, read_judgement,
};
pub use decision::{Decision, Scratch};
#[cfg(feature = "executor")]
pub use executor::{
    Admission, Answer, Attempt, AttemptFailure, AttemptGate, AttemptOutcome, AttemptReport, AttemptResult,
    Call, Cascaded, EventQueue, Executor, ExecutorConfig, Exhausted, FallbackClass, HedgePolicy, LimitGate,
    NotGoodEnough, Observer, OpenGate, PassedOver, RouteEvent, Streamed, UnknownFallbackClass, Verdict,
    Verifier,
};
pub use facts::{DataPolicy, FactBook, Facts, UnknownDataPolicy};
pub use live::{
    Breaker, BreakerConfig, Change, Ending, Live, LiveAt, LiveBook, LiveTable, RetryBudget,
    RetryBudgetConfig, Standing, Ticket, is_own_failure,
};
pub use named::{Named, NamedCandidate, NamedPlan};
pub use outcomes::{
    MOST_OUTCOME_LINE, MOST_OUTCOME_VECTOR, ModelOutcome, OutcomeError, OutcomeKind, OutcomeProblem,
    OutcomeRow, OutcomeRows, read_outcome_row,
};
pub use plan::{Assumed, Candidate, Plan};
pub use quality::{
    Belief, Evaluation, EvaluationError, EvaluationProblem, Feedback, FeedbackError, FeedbackRow,
    FeedbackStore, FeedbackSums, QualityBook, ScoredAnswer, read_evaluations,
};
pub use record::{PlanRecord, ReplayError};
pub use request::{RouteRequest, Warm};
pub use router::{Router, View};
pub use rules::{Refusal, RefusalReason};
pub use signals::{NoSignals, Reading, Signals};
pub use snapshot::{Deployment, Snapshot};
pub use strategy::{
    BestQuality, Cascade, Cheapest, Contender, Dice, Headroom, LeastBusy, LowestLatency, RoundRobin,
    STRATEGIES, Sticky, Strategy, Term, Thompson, Throughput, UnknownStrategy, Weighted, WeightedUtility,
    pareto_front, strategy,
};
pub use target::Target;
pub use task::{Task, UnknownTask};
