//! Units from lines: what is written out and read back gives the same analysis, to the last digit.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use experiments::analysis::{AnalysisPlan, Timeline, analyse};
use experiments::{
    Attribution, LineError, Standing, UnitKey, UnitLine, UnitLines, UnitLinesError, UnitRow, Values,
};
use proptest::prelude::*;

fn plan(head: &str) -> AnalysisPlan {
    toml::from_str(&format!(
        r#"
        control = "a"
        {head}
        [[metrics]]
        key = "cost"
        role = "goal"
        kind = {{ ratio = {{ numerator = "cost", denominator = "success" }} }}
        direction = "lower_is_better"
        [[metrics]]
        key = "rating"
        role = "guardrail"
        kind = {{ mean = {{ of = {{ named = "rating" }} }} }}
        direction = "higher_is_better"
        margin = {{ relative = 0.1 }}
        "#
    ))
    .unwrap()
}

fn line(text: &str) -> UnitLine {
    serde_json::from_str(text).unwrap()
}

fn refused(text: &str) -> String {
    UnitLines::new().add(&line(text)).unwrap_err().to_string()
}

#[test]
fn lines_of_a_unit_add_up() {
    let mut lines = UnitLines::new();
    for text in [
        r#"{"unit":"u1","arm":"a","metrics":{"success":1,"cost":0.5,"rating":4,"latency_ms":120.4}}"#,
        r#"{"unit":"u1","arm":"a","metrics":{"success":0,"cost":0.25,"rating":3}}"#,
        r#"{"unit":"u2","arm":"b","metrics":{"failed":1,"cost":0}}"#,
        r#"{"unit":"u3","arm":"b","metrics":{"success":1,"cost":1,"rating":5}}"#,
        r#"{"unit":"u3","arm":"a","metrics":{"success":1,"cost":1,"rating":5}}"#,
    ] {
        lines.add(&line(text)).unwrap();
    }
    assert_eq!(
        (lines.len(), lines.arms()),
        (3, &["a".to_owned(), "b".to_owned()][..])
    );
    let report = analyse(&plan(""), &lines.timeline(&plan(""), &[]).unwrap(), &[]).unwrap();
    assert_eq!((report.units, report.excluded.multiple_arms), (2, 1));
    // u2 has no rating, and it is not 0.
    let rating = &report.treatments[0].metrics[1];
    assert_eq!(
        (
            rating.control.units,
            rating.treatment.units,
            rating.treatment.missing
        ),
        (1, 0, 1)
    );
}

#[test]
fn what_a_line_cannot_say_is_refused() {
    assert!(refused(r#"{"unit":"","arm":"a","metrics":{}}"#).contains("`unit` is empty"));
    assert!(refused(r#"{"unit":"u","arm":"","metrics":{}}"#).contains("`arm` is empty"));
    assert!(refused(r#"{"unit":"u","arm":"a","metrics":{"success":0.7}}"#).contains("`success` is 0.7"));
    assert!(refused(r#"{"unit":"u","arm":"a","metrics":{"success":2}}"#).contains("a share is a `score`"));
    assert!(refused(r#"{"unit":"u","arm":"a","metrics":{"success":-1}}"#).contains("from 0 up"));
    assert!(refused(r#"{"unit":"u","arm":"a","metrics":{"failed":2}}"#).contains("number of calls"));
    assert!(refused(r#"{"unit":"u","arm":"a","metrics":{"cost":-0.1}}"#).contains("0 or more"));
    assert!(refused(r#"{"unit":"u","arm":"a","metrics":{"latency_ms":1e300}}"#).contains("milliseconds"));
    let mut nan = line(r#"{"unit":"u","arm":"a","metrics":{"x":1}}"#);
    nan.metrics.insert("x".to_owned(), f64::NAN);
    assert!(
        UnitLines::new()
            .add(&nan)
            .unwrap_err()
            .to_string()
            .contains("`x` is NaN")
    );
    assert!(serde_json::from_str::<UnitLine>(r#"{"unit":"u","arm":"a","metric":{}}"#).is_err());

    let mut lines = UnitLines::new();
    lines
        .add(&line(r#"{"unit":"u","arm":"a","exposed_at_ms":1,"metrics":{}}"#))
        .unwrap();
    assert_eq!(
        lines.add(&line(r#"{"unit":"v","arm":"a","metrics":{}}"#)),
        Err(LineError::SomeTimes)
    );
    assert_eq!(lines.len(), 1);
}

#[test]
fn what_the_plan_asks_for_must_be_there() {
    let mut lines = UnitLines::new();
    lines
        .add(&line(r#"{"unit":"u","arm":"a","metrics":{"cost":1}}"#))
        .unwrap();
    let error = |plan: &AnalysisPlan, lines: &UnitLines| lines.timeline(plan, &[]).unwrap_err().to_string();
    assert_eq!(
        error(&plan(""), &lines),
        "metric 'cost' is of 'success', which no line has"
    );
    lines
        .add(&line(r#"{"unit":"v","arm":"b","metrics":{"success":1}}"#))
        .unwrap();
    assert_eq!(
        error(&plan(""), &lines),
        "metric 'rating' is of 'rating', which no line has"
    );
    lines
        .add(&line(r#"{"unit":"w","arm":"b","metrics":{"rating":1}}"#))
        .unwrap();
    assert!(lines.timeline(&plan(""), &[]).is_ok());
    assert!(error(&plan("least_days = 7"), &lines).contains("no line says when"));
    assert!(matches!(
        lines.timeline(&plan(""), &["a".to_owned()]),
        Err(UnitLinesError::Analysis(_))
    ));
}

fn row() -> impl Strategy<Value = (UnitRow, Standing)> {
    let counts = (0..4_u64, 0..4_u64, 0..5_000_u64, 0..9_000_000_000_000_000_i128);
    (
        0..40_u32,
        any::<bool>(),
        -1_000_000_000..4_000_000_000_i64,
        counts,
        0.0..10.0_f64,
        0..6_usize,
    )
        .prop_map(
            |(unit, second, at, (calls, judged, latency, cost), rating, standing)| {
                let mut row = UnitRow::new(format!("u{unit}"), if second { "b" } else { "a" }, at);
                row.sums.calls = calls;
                row.sums.failed = calls / 2;
                row.sums.judged = judged;
                row.sums.successes = judged / 2;
                row.sums.priced = calls;
                row.sums.cost_pico = cost;
                row.sums.timed = calls;
                row.sums.latency_ms = latency;
                row.sums.score = Values {
                    n: judged,
                    sum: rating / 3.0,
                };
                if judged > 0 {
                    row.sums.named.insert(
                        "rating".to_owned(),
                        Values {
                            n: judged,
                            sum: rating,
                        },
                    );
                }
                let standing = [
                    Standing::Analysed,
                    Standing::Analysed,
                    Standing::Forced,
                    Standing::MultipleVersions,
                    Standing::MultipleArms,
                    Standing::Immature,
                ][standing];
                (row, standing)
            },
        )
}

proptest! {
    #[test]
    fn lines_give_the_same_analysis(rows in prop::collection::vec(row(), 1..80)) {
        let mut by_unit = std::collections::BTreeMap::new();
        for (row, standing) in rows {
            by_unit.insert(row.unit.clone(), (row, standing));
        }
        let plan = plan("");
        let arms = ["a".to_owned(), "b".to_owned()];
        let attribution = Attribution::new("e", 1, UnitKey::User, 1_000).unwrap();
        let mut whole = Timeline::new(&plan, attribution, arms.clone()).unwrap();
        let mut lines = UnitLines::new();
        for (row, standing) in by_unit.values() {
            whole.add_as(row, *standing).unwrap();
            let text = serde_json::to_string(&UnitLine::of(row, *standing)).unwrap();
            lines.add(&line(&text)).unwrap();
        }
        let rated = by_unit.values().any(|(row, _)| row.sums.named.contains_key("rating"));
        prop_assume!(rated);
        let again = lines.timeline(&plan, &arms).unwrap();
        let text = |timeline: &Timeline| serde_json::to_string(&analyse(&plan, timeline, &[]).unwrap()).unwrap();
        prop_assert_eq!(text(&again), text(&whole));
    }
}
