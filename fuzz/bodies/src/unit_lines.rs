//! Units of an experiment, a line each, from whoever measured them.

use experiments::analysis::{AnalysisPlan, analyse};
use experiments::{Direction, Kind, Measure, MetricSpec, Metrics, Role, UnitLine, UnitLines};

/// A line is a unit within its bounds or is refused and adds nothing; what is read, written and read again is the same; and whatever units
/// there are, there is an analysis of them or a sentence that says why not. The same lines give the same analysis.
pub(crate) fn run(data: &[u8]) {
    let (mut lines, mut again) = (UnitLines::new(), UnitLines::new());
    for text in data.split(|byte| *byte == b'\n') {
        let Ok(line) = serde_json::from_slice::<UnitLine>(text) else {
            continue;
        };
        let Ok(written) = serde_json::to_vec(&line) else {
            // No number of JSON is one that cannot be written.
            unreachable!("a line that was read cannot be written: {line:?}");
        };
        assert_eq!(
            serde_json::from_slice::<UnitLine>(&written).ok(),
            Some(line.clone())
        );
        let before = lines.len();
        let added = lines.add(&line);
        assert_eq!(added, again.add(&line));
        match added {
            Ok(()) => assert!(!line.unit.is_empty() && !line.arm.is_empty()),
            Err(error) => {
                assert_eq!(lines.len(), before, "{error}");
                assert!(!error.to_string().is_empty());
            }
        }
    }
    let Some(plan) = lines.arms().first().and_then(|control| plan(control)) else {
        return;
    };
    let report = |lines: &UnitLines| {
        let timeline = lines.timeline(&plan, &[]).map_err(|error| error.to_string())?;
        let report = analyse(&plan, &timeline, &[]).map_err(|error| error.to_string())?;
        let page = report.to_html("units", &[]);
        assert!(!page.contains("NaN"), "{page}");
        serde_json::to_string(&report).map_err(|error| error.to_string())
    };
    assert_eq!(report(&lines), report(&again));
}

/// Everything that a line may say by itself.
fn plan(control: &str) -> Option<AnalysisPlan> {
    let spec = |key: &str, kind| MetricSpec::new(key, Role::Goal, kind, Direction::LowerIsBetter);
    let ratio = Kind::Ratio {
        numerator: Measure::Cost,
        denominator: Measure::Success,
    };
    let metrics = Metrics::new([
        spec("cost", ratio),
        spec("calls", Kind::Mean { of: Measure::Calls }),
    ]);
    AnalysisPlan::new(control, metrics.ok()?).ok()
}
