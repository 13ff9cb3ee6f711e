//! Logged traffic with what came of it.

use routing::{OutcomeError, OutcomeKind, OutcomeRow, OutcomeRows, read_outcome_row};
use serde_json::{Value, json};

/// Every line with something in it is one row within its bounds, up to the first that is none, which is named in words that fit a
/// line; after it there is nothing. What was read, written and read again is the same.
pub(crate) fn run(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let is_blank = |line: &[u8]| {
        std::str::from_utf8(line).is_ok_and(|line| line.trim_start_matches('\u{feff}').trim().is_empty())
    };
    let mut last = 0;
    let mut rows = OutcomeRows::new(data);
    while let Some(next) = rows.next() {
        let (line, row) = match next {
            Ok(next) => next,
            Err(error) => {
                let said = error.to_string();
                assert!(!said.chars().any(char::is_control), "more than a line: {said:?}");
                assert!(said.len() <= LONGEST_MESSAGE, "too long: {said}");
                let line = match error {
                    OutcomeError::Line { line, .. } => line,
                    other => return assert!(matches!(other, OutcomeError::Line { .. }), "{other:?}"),
                };
                assert!(
                    line > last && line <= lines.len() as u64,
                    "there is no line {line}"
                );
                assert!(rows.next().is_none(), "there is more after an error");
                return;
            }
        };
        assert!(
            line > last && line <= lines.len() as u64,
            "there is no line {line}"
        );
        let between = lines.iter().skip(last as usize).take((line - 1 - last) as usize);
        assert!(between.into_iter().all(|line| is_blank(line)), "a line is lost");
        last = line;
        check(&row);
    }
    assert!(
        lines.iter().skip(last as usize).all(|line| is_blank(line)),
        "a line at the end is lost"
    );
}

fn check(row: &OutcomeRow) {
    assert!(!row.outcomes.is_empty(), "{row:?}");
    assert!(
        row.answers.keys().all(|name| row.outcomes.contains_key(name)),
        "{row:?}"
    );
    for (name, outcome) in &row.outcomes {
        assert!(!name.trim().is_empty() && name.len() <= 256, "{row:?}");
        assert!(!name.chars().any(char::is_control), "{row:?}");
        assert!(outcome.score.is_finite(), "{row:?}");
        assert!(outcome.cost.is_none_or(|cost| cost.get() >= 0), "{row:?}");
        assert!(
            outcome
                .latency_ms
                .is_none_or(|time| time.is_finite() && time >= 0.0),
            "{row:?}"
        );
    }
    if let Some(chosen) = &row.chosen {
        assert!(row.outcomes.contains_key(chosen), "{row:?}");
        assert!(row.propensity.is_some() || row.outcomes.len() > 1, "{row:?}");
    }
    if let Some(propensity) = row.propensity {
        assert!(
            propensity > 0.0 && propensity <= 1.0 && row.chosen.is_some(),
            "{row:?}"
        );
    }
    if let Some(vector) = &row.embedding {
        assert!((1..=routing::MOST_OUTCOME_VECTOR).contains(&vector.len()));
        assert!(vector.iter().all(|number| number.is_finite()) && vector.iter().any(|number| *number != 0.0));
    }
    let is_logged = row.propensity.is_some() && row.outcomes.len() == 1;
    assert_eq!(row.kind() == OutcomeKind::Logged, is_logged, "{row:?}");
    let outcomes: serde_json::Map<String, Value> = row
        .outcomes
        .iter()
        .map(|(name, outcome)| {
            let cost = outcome.cost.map(|cost| cost.to_string());
            let outcome = json!({
                "score": outcome.score,
                "cost_usd": cost,
                "latency_ms": outcome.latency_ms,
                "prompt_tokens": outcome.prompt_tokens,
                "completion_tokens": outcome.completion_tokens,
                "answer": row.answers.get(name),
            });
            (name.clone(), outcome)
        })
        .collect();
    let written = json!({"id": row.id, "prompt": row.prompt, "task": row.task, "outcomes": outcomes, "chosen": row.chosen, "propensity": row.propensity, "embedding": row.embedding});
    assert_eq!(read_outcome_row(&written.to_string()).as_ref(), Ok(row));
}

/// The most of a refusal.
const LONGEST_MESSAGE: usize = 1024;
