//! What is kept of units does not grow with them. In a binary of its own, because the counter counts for the whole process.
#![allow(missing_docs, clippy::unwrap_used)]

use allocation_counter::measure;
use experiments::{
    Attribution, Direction, ExperimentData, Kind, Measure, MetricSpec, Metrics, QuantileSketch, Role,
    UnitKey, UnitRow,
};

/// One metric of each kind, two of them with a covariate.
fn empty() -> ExperimentData {
    let spec = |key: &str, kind| MetricSpec::new(key, Role::Goal, kind, Direction::LowerIsBetter);
    let mut success = spec("success", Kind::Proportion { of: Measure::Success });
    success.covariate = Some("before".to_owned());
    let mut cost = spec("cost", Kind::Mean { of: Measure::Cost });
    cost.covariate = Some("before".to_owned());
    let per_success = Kind::Ratio {
        numerator: Measure::Cost,
        denominator: Measure::Success,
    };
    let slow = Kind::Quantile {
        of: Measure::LatencyMs,
        q: 0.95,
    };
    let metrics = Metrics::new([
        success,
        cost,
        spec("cost_per_success", per_success),
        spec("p95", slow),
    ]);
    let attribution = Attribution::new("cheaper-model", 1, UnitKey::User, 1_000).unwrap();
    ExperimentData::new(attribution, ["control", "cheaper"], &metrics.unwrap()).unwrap()
}

/// A unit of each arm, whose figures are then written over: making rows is not what is measured.
fn rows() -> [UnitRow; 2] {
    ["control", "cheaper"].map(|arm| {
        let mut row = UnitRow::new("user", arm, 0);
        row.covariates.insert("before".to_owned(), 0.0);
        row.sums.calls = 1;
        row.sums.judged = 1;
        row.sums.priced = 1;
        row.sums.timed = 1;
        row
    })
}

/// Adds the units `from..to`. Their latencies come round every 2,000 units, so that all bins are there early.
fn add(data: &mut ExperimentData, rows: &mut [UnitRow; 2], from: u32, to: u32) {
    for unit in from..to {
        let row = &mut rows[(unit % 2) as usize];
        row.sums.successes = u64::from(unit % 5 != 0);
        row.sums.cost_pico = i128::from(unit % 997) * 1_000_000;
        row.sums.latency_ms = (f64::from(unit % 2_000 + 1) / 150.0).exp() as u64;
        *row.covariates.get_mut("before").unwrap() = f64::from(unit % 31);
        data.add(row, 10_000).unwrap();
    }
}

const FEW: u32 = 10_000;
const MANY: u32 = 1_000_000;

#[test]
fn a_million_units_take_no_more_memory_than_ten_thousand() {
    let mut rows = rows();
    let mut kept = None;
    let few = measure(|| {
        let mut data = empty();
        add(&mut data, &mut rows, 0, FEW);
        kept = Some(data);
    });
    let mut data = kept.unwrap();
    let more = measure(|| add(&mut data, &mut rows, FEW, MANY));
    assert_eq!(more.count_total, 0, "a further unit allocates");
    assert!(few.bytes_current > 0, "the counter counts");
    assert!(
        few.bytes_max < 200_000,
        "{} bytes for two arms and four metrics",
        few.bytes_max
    );
    println!(
        "bytes held: {} after {FEW} and after {MANY} units",
        few.bytes_current
    );
    let units = |data: &ExperimentData| data.arms().map(|(_, arm)| arm.units()).sum::<u64>();
    assert_eq!(units(&data), u64::from(MANY));

    // Two nodes with half of them each hold no more when put together.
    let mut halves = None;
    let merged = measure(|| {
        let (mut first, mut second) = (empty(), empty());
        add(&mut first, &mut rows, 0, MANY / 2);
        add(&mut second, &mut rows, MANY / 2, MANY);
        first.merge(&second).unwrap();
        halves = Some(first);
    });
    let halves = halves.unwrap();
    assert!(
        merged.bytes_current <= few.bytes_current,
        "{} and {}",
        merged.bytes_current,
        few.bytes_current
    );
    assert_eq!(units(&halves), u64::from(MANY));
    for ((_, one), (_, two)) in data.arms().zip(halves.arms()) {
        // Counts, so they are equal to the last digit.
        for key in ["success", "p95"] {
            assert_eq!(one.metric(key).unwrap().sums, two.metric(key).unwrap().sums);
        }
    }
}

/// The bound that the memory of a quantile has: every bin, of either sign.
#[test]
fn a_full_sketch_is_bounded() {
    let mut kept = QuantileSketch::default();
    let full = measure(|| {
        let mut size = 1e-9;
        while size < 1e15 {
            kept.push(size).unwrap();
            kept.push(-size).unwrap();
            size *= 1.005;
        }
    });
    println!("bytes of a full sketch: {}", full.bytes_current);
    assert!(full.bytes_current < 256 * 1_024, "{}", full.bytes_current);
    let more = measure(|| {
        for value in [1e-9, -3.5, 0.25, 1e14, -7e12] {
            kept.push(value).unwrap();
        }
    });
    assert_eq!(more.count_total, 0);
}
