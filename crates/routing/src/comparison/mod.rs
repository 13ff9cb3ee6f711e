//! The same prompts on several models: what each cost, how long it took, what was right with its answers, and which can be told
//! apart. Nothing is asked here: a driver asks, and hands in what came.

mod book;
mod judge;
#[cfg(test)]
mod properties;
mod report;
mod statistics;
mod trial;

pub use book::Comparison;
pub use judge::{
    JudgeChoice, JudgementError, MOST_JUDGEMENT, PairVerdict, judge_format, judge_messages, read_judgement,
};
pub use report::{
    ComparedModel, ComparedPair, ComparisonReport, CostFigures, QualityFigures, QualityMeasure, Spread,
    TokenFigures, Unranked, VerdictCounts,
};
pub use trial::Trial;
