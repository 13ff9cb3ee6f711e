//! What an operator has measured of models, and the reader of files of it.

use std::collections::BTreeMap;

use integration_core::{ModelId, printable};
use serde::Deserialize;

use crate::{Task, UnknownTask};

/// A model's result on a set of questions of one's own.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// Which model.
    pub model: ModelId,
    /// For which task.
    pub task: Task,
    /// The mean over the questions, on the task's scale of 0 to 100, on which the benchmark's index is too.
    pub score: f64,
    /// How many questions.
    pub n: u32,
    /// How far the results of single questions lie apart, as a standard deviation in points; `None` if that is not known, and then
    /// it is taken for what it is where each is either right or wrong, which is the most it can be.
    pub sd: Option<f64>,
}

/// How far quality on one's own traffic may lie from the quality on one's own questions, as a standard deviation in points. It is less
/// than for a benchmark, and it is there: a thousand questions are not the traffic.
const EVALUATION_SD: f64 = 1.0;

/// The most that single results can lie apart: two of them, at either end of the scale.
const MOST_SD: f64 = 71.0;

impl Evaluation {
    /// A result.
    ///
    /// # Errors
    /// The first thing that is wrong with its numbers.
    pub fn new(
        model: ModelId,
        task: Task,
        score: f64,
        n: u32,
        sd: Option<f64>,
    ) -> Result<Self, EvaluationProblem> {
        if !(0.0..=100.0).contains(&score) {
            return Err(EvaluationProblem::Score(score));
        }
        if n == 0 {
            return Err(EvaluationProblem::NoQuestions);
        }
        if let Some(sd) = sd.filter(|sd| !(0.0..=MOST_SD).contains(sd)) {
            return Err(EvaluationProblem::Spread(sd));
        }
        Ok(Self {
            model,
            task,
            score,
            n,
            sd,
        })
    }

    /// How far the score may lie from the quality, as a standard deviation. Never 0.
    pub(super) fn error(&self) -> f64 {
        let n = f64::from(self.n);
        let variance = self.sd.map_or_else(
            || {
                // By Laplace's rule, so that all right of three is not certain to be all right of a thousand.
                let right = (n * self.score / 100.0 + 1.0) / (n + 2.0);
                10_000.0 * right * (1.0 - right)
            },
            |sd| sd * sd,
        );
        (variance / n + EVALUATION_SD * EVALUATION_SD).sqrt()
    }
}

/// What is wrong with an evaluation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationProblem {
    /// It is not JSON, a field is missing, unknown or of another type, or it is no name.
    #[error("{0}")]
    Unreadable(String),
    /// The task has no name that is known.
    #[error(transparent)]
    Task(#[from] UnknownTask),
    /// The score is not on the scale, or no number.
    #[error("`score` must be from 0 to 100, not {0}")]
    Score(f64),
    /// No question was asked.
    #[error("`n`, the number of questions, must be at least 1")]
    NoQuestions,
    /// The deviation cannot be, or is no number.
    #[error("`sd`, the standard deviation of single results in points, must be from 0 to {MOST_SD}, not {0}")]
    Spread(f64),
    /// The same model was evaluated for the same task before.
    #[error("{model} has an evaluation for {task} in line {first} already; put the two together into one")]
    Duplicate {
        /// Which model.
        model: ModelId,
        /// For which task.
        task: Task,
        /// Where it stands first, counted from 1.
        first: usize,
    },
}

/// A line of a file of evaluations that cannot be taken. Nothing of the file is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("line {line} of the evaluations: {problem}")]
pub struct EvaluationError {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub problem: EvaluationProblem,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    model: String,
    task: String,
    score: f64,
    n: u32,
    sd: Option<f64>,
}

/// Reads evaluations, one JSON object a line, such as
/// `{"model":"openai/gpt-4o","task":"extract","score":87.5,"n":400,"sd":31.2}`. Lines without anything in them are passed over. The
/// models need not be in any catalogue.
///
/// # Errors
/// The first line that cannot be taken, and why: JSON has no word for what is no number, so `NaN` is no JSON.
pub fn read_evaluations(text: &str) -> Result<Vec<Evaluation>, EvaluationError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found: Vec<Evaluation> = Vec::new();
    let mut lines = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let number = index + 1;
        let at = |problem| EvaluationError {
            line: number,
            problem,
        };
        let evaluation = read_line(line).map_err(at)?;
        let key = (evaluation.model.clone(), evaluation.task);
        if let Some(first) = lines.get(&key) {
            let (model, task) = key;
            return Err(at(EvaluationProblem::Duplicate {
                model,
                task,
                first: *first,
            }));
        }
        lines.insert(key, number);
        found.push(evaluation);
    }
    Ok(found)
}

/// So many bytes of what is wrong with a line are told.
const LONGEST_REASON: usize = 256;

fn read_line(line: &str) -> Result<Evaluation, EvaluationProblem> {
    let unreadable = |error: &dyn std::fmt::Display| EvaluationProblem::Unreadable(error.to_string());
    let written: Written = serde_json::from_str(line).map_err(|error| {
        // The line that is counted within one line is always the first.
        let text = error.to_string().replace(" at line 1 column ", " at column ");
        EvaluationProblem::Unreadable(if error.is_data() {
            // It repeats names and words of the line, whatever they are.
            printable(text, LONGEST_REASON)
        } else {
            format!("this is not a JSON object: {text}")
        })
    })?;
    let model = ModelId::new(written.model).map_err(|error| unreadable(&error))?;
    Evaluation::new(model, written.task.parse()?, written.score, written.n, written.sd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read() {
        let text = "\u{feff}{\"model\":\"a/b\",\"task\":\"extract\",\"score\":87.5,\"n\":400,\"sd\":31.2}\r\n\n  \n\
                    {\"model\":\"a/b\",\"task\":\"coding\",\"score\":0,\"n\":1}\n";
        let found = read_evaluations(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].task, found[0].score, found[0].sd),
            (Task::Extract, 87.5, Some(31.2))
        );
        assert_eq!((found[1].n, found[1].sd), (1, None));
        assert_eq!(read_evaluations("").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let good = "{\"model\":\"a/b\",\"task\":\"coding\",\"score\":50,\"n\":10}";
        for (bad, says) in [
            (
                "{\"model\":\"a/c\",\"task\":\"coding\",\"score\":NaN,\"n\":10}",
                "line 3 of the evaluations: this is not a JSON object",
            ),
            (
                "{\"model\":\"a/c\",\"task\":\"coding\",\"score\":1e999,\"n\":10}",
                "out of range",
            ),
            (
                "{\"model\":\"a/c\",\"task\":\"coding\",\"score\":\"50\",\"n\":10}",
                "invalid type: string",
            ),
            (
                "{\"model\":\"a/c\",\"task\":\"coding\",\"score\":100.5,\"n\":10}",
                "`score` must be from 0 to 100, not 100.5",
            ),
            (
                "{\"model\":\"a/c\",\"task\":\"coding\",\"score\":-1,\"n\":10}",
                "from 0 to 100, not -1",
            ),
            (
                "{\"model\":\"a/c\",\"task\":\"coding\",\"score\":1,\"n\":0}",
                "must be at least 1",
            ),
            (
                "{\"model\":\"a/c\",\"task\":\"coding\",\"score\":1,\"n\":-4}",
                "invalid value",
            ),
            (
                "{\"model\":\"a/c\",\"task\":\"coding\",\"score\":1,\"n\":1,\"sd\":-0.5}",
                "`sd`",
            ),
            (
                "{\"model\":\"a/c\",\"task\":\"coding\",\"score\":1,\"n\":1,\"sd\":100}",
                "from 0 to 71, not 100",
            ),
            (
                "{\"model\":\"a/c\",\"task\":\"poetry\",\"score\":1,\"n\":1}",
                "the tasks are reasoning, coding",
            ),
            (
                "{\"model\":\"a/c\",\"task\":\"coding\",\"n\":1}",
                "missing field `score`",
            ),
            (
                "{\"model\":\"a/c\",\"task\":\"coding\",\"score\":1,\"n\":1,\"stdev\":1}",
                "unknown field `stdev`",
            ),
            (
                "{\"model\":\"a/c\",\"task\":\"coding\",\"score\":1,\"score\":2,\"n\":1}",
                "duplicate field `score`",
            ),
            (
                "{\"model\":\"\",\"task\":\"coding\",\"score\":1,\"n\":1}",
                "line 3",
            ),
            ("[]", "line 3"),
            ("{} {}", "line 3"),
            (
                good,
                "line 3 of the evaluations: a/b has an evaluation for coding in line 1 already",
            ),
        ] {
            let error = read_evaluations(&format!("{good}\n\n{bad}\n")).unwrap_err();
            assert_eq!(error.line, 3);
            assert!(error.to_string().contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn no_evaluation_is_certain() {
        let error = |score, n, sd| {
            Evaluation::new("a/b".parse().unwrap(), Task::Coding, score, n, sd)
                .unwrap()
                .error()
        };
        assert!(error(100.0, 1, None) > 20.0);
        assert!(error(100.0, 1, Some(0.0)) >= EVALUATION_SD);
        assert!(error(0.0, u32::MAX, None) >= EVALUATION_SD);
        assert!((error(50.0, 98, None) - (2500.0_f64 / 98.0 + 1.0).sqrt()).abs() < 1e-12);
        assert!(Evaluation::new("a/b".parse().unwrap(), Task::Coding, f64::NAN, 1, None).is_err());
    }
}
