//! What an operator has measured of models.

use std::collections::BTreeSet;

use routing::read_evaluations;
use serde_json::json;

/// Every line with something in it is one evaluation within its bounds, of a model and task that no other line is of; or the file is
/// refused for its first line that is none, in words that fit a line. What was read, written and read again is the same.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let lines: Vec<&str> = text.strip_prefix('\u{feff}').unwrap_or(text).lines().collect();
    let is_blank = |line: &&str| line.trim().is_empty();
    let found = match read_evaluations(text) {
        Ok(found) => found,
        Err(error) => {
            let said = error.to_string();
            assert!(!said.chars().any(char::is_control), "more than a line: {said:?}");
            assert!(said.len() <= LONGEST_MESSAGE, "too long: {said}");
            let before = error
                .line
                .checked_sub(1)
                .and_then(|before| lines.split_at_checked(before));
            assert!(before.is_some(), "there is no line {}", error.line);
            if let Some((before, from)) = before {
                assert!(
                    from.first().is_some_and(|line| !is_blank(line)),
                    "line {} is blank",
                    error.line
                );
                let read = read_evaluations(&before.join("\n"));
                assert!(read.is_ok(), "line {} is not the first: {read:?}", error.line);
            }
            return;
        }
    };
    assert_eq!(
        found.len(),
        lines.iter().filter(|line| !is_blank(line)).count(),
        "a line is lost"
    );
    let once: BTreeSet<_> = found.iter().map(|one| (&one.model, one.task)).collect();
    assert_eq!(once.len(), found.len(), "a model has two results for a task");
    for one in &found {
        assert!((0.0..=100.0).contains(&one.score) && one.n > 0, "{one:?}");
        assert!(one.sd.is_none_or(|sd| (0.0..=71.0).contains(&sd)), "{one:?}");
    }
    let written = found.iter().map(|one| {
        let (model, task) = (one.model.as_str(), one.task.as_str());
        json!({"model": model, "task": task, "score": one.score, "n": one.n, "sd": one.sd}).to_string()
    });
    let written: Vec<_> = written.collect();
    assert_eq!(read_evaluations(&written.join("\n")), Ok(found));
}

/// The most of a refusal.
const LONGEST_MESSAGE: usize = 1024;
