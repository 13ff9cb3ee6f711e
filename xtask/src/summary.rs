//! Reading what test runners say at their end.

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// Adds what another runner, or another test binary, counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Tests that returned early because their data is absent count as passed for the runner; they are skipped.
    pub(crate) fn recount_skipped(&mut self, named: u64) {
        let moved = named.min(self.passed);
        self.passed -= moved;
        self.skipped += moved;
    }

    /// The closing line.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Which program ran the tests. Only its own lines count: the output of a failed test can hold those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    Nextest,
    Libtest,
}

impl Runner {
    /// Reads a closing line.
    pub(crate) fn closing_line(self, line: &str) -> Option<Counts> {
        match self {
            Self::Nextest => nextest(line),
            Self::Libtest => libtest(line),
        }
    }
}

/// `Summary [ 0.005s] 12 tests run: 10 passed (1 slow, 1 leaky), 1 failed, 1 timed out, 3 skipped`.
fn nextest(line: &str) -> Option<Counts> {
    let rest = line.trim_start().strip_prefix("Summary [")?;
    let (_, rest) = rest.split_once(']')?;
    let (run, rest) = rest.split_once(" run:")?;
    if !run.trim_end().ends_with("test") && !run.trim_end().ends_with("tests") {
        return None;
    }
    let mut counts = Counts::default();
    for item in without_parentheses(rest).split(',') {
        let (number, what) = item.trim().split_once(' ')?;
        let number: u64 = number.parse().ok()?;
        match what.trim() {
            "passed" => counts.passed += number,
            "skipped" => counts.skipped += number,
            // Failed, timed out, could not be executed: none of them is a pass.
            _ => counts.failed += number,
        }
    }
    Some(counts)
}

/// `test result: FAILED. 3 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`.
fn libtest(line: &str) -> Option<Counts> {
    let rest = line.trim_start().strip_prefix("test result: ")?;
    let (_, rest) = rest.split_once(". ")?;
    let mut counts = Counts::default();
    for item in rest.split(';') {
        let Some((number, what)) = item.trim().split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        match what {
            "passed" => counts.passed += number,
            "failed" => counts.failed += number,
            "ignored" => counts.skipped += number,
            _ => {}
        }
    }
    Some(counts)
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    let keep = |c: &char| match c {
        '(' => {
            depth += 1;
            false
        }
        ')' => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => depth == 0,
    };
    text.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Option<Counts> {
        Some(Counts {
            passed,
            failed,
            skipped,
        })
    }

    #[test]
    fn nextest_lines() {
        assert_eq!(
            Runner::Nextest.closing_line("     Summary [   0.005s] 3 tests run: 3 passed, 0 skipped"),
            counts(3, 0, 0)
        );
        assert_eq!(
            Runner::Nextest.closing_line("     Summary [   0.005s] 1 test run: 1 passed, 7 skipped"),
            counts(1, 0, 7)
        );
        assert_eq!(
            Runner::Nextest.closing_line(
                "     Summary [  12.1s] 12/14 tests run: 9 passed (1 slow, 2 leaky), 2 failed, 1 timed out, 3 skipped"
            ),
            counts(9, 3, 3)
        );
        assert_eq!(
            Runner::Nextest.closing_line("        PASS [   0.005s] (1/3) costing money::tests::adds"),
            None
        );
        assert_eq!(
            Runner::Nextest.closing_line("     Summary [   0.005s] nonsense"),
            None
        );

        // A failed test shows the output of its own little run.
        assert_eq!(
            Runner::Nextest.closing_line("test result: FAILED. 0 passed; 1 failed; 0 ignored"),
            None
        );
    }

    #[test]
    fn libtest_lines() {
        assert_eq!(
            Runner::Libtest.closing_line(
                "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s"
            ),
            counts(3, 0, 1)
        );
        assert_eq!(
            Runner::Libtest.closing_line(
                "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1s"
            ),
            counts(3, 2, 0)
        );
        assert_eq!(
            Runner::Libtest.closing_line("test money::tests::adds ... ok"),
            None
        );
        assert_eq!(Runner::Libtest.closing_line("running 3 tests"), None);
    }

    #[test]
    fn a_test_without_its_data_is_skipped_and_not_passed() {
        let mut all = Counts {
            passed: 10,
            failed: 0,
            skipped: 1,
        };
        all.add(Counts {
            passed: 2,
            failed: 1,
            skipped: 0,
        });
        all.recount_skipped(3);
        assert_eq!(all.line(), "9 passed, 1 failed, 4 skipped");
        all.recount_skipped(30);
        assert_eq!(all.line(), "0 passed, 1 failed, 13 skipped");
    }
}
