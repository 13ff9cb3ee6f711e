//! One cost calculation: four buckets that are not empty and one override that applies.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use costing::{Markup, PriceSheet, Quantities, UtcTime, price_call};
use criterion::{Criterion, criterion_group, criterion_main};
use integration_core::Usage;

const RATES: &str = r#"{"prompt":"0.00000125","completion":"0.00001","input_cache_read":"0.000000125",
    "input_cache_write":"0.000000375","overrides":[{"min_prompt_tokens":200000,"prompt":"0.0000025",
    "completion":"0.000015","input_cache_read":"0.00000025"}]}"#;
const USAGE: &str = r#"{"prompt_tokens":250000,"completion_tokens":900,"total_tokens":250900,
    "prompt_tokens_details":{"cached_tokens":100000,"cache_write_tokens":50000}}"#;

fn cost(criterion: &mut Criterion) {
    let sheet = PriceSheet::from_pricing_json(RATES).unwrap();
    let usage = Usage::from_json(USAGE).unwrap();
    let quantities = Quantities::from_usage(&usage).unwrap();
    let at = UtcTime::from_unix(1_787_356_800);
    let count = allocation_counter::measure(|| {
        assert_eq!(black_box(sheet.cost(&quantities, at)).unwrap().lines().len(), 4);
    });
    assert_eq!(count.count_total, 0, "a cost calculation allocates");

    let mut group = criterion.benchmark_group("cost");
    group.bench_function("four_buckets_one_override", |b| {
        b.iter(|| black_box(&sheet).cost(black_box(&quantities), black_box(at)));
    });
    group.bench_function("usage_to_charge", |b| {
        b.iter(|| {
            price_call(
                Some(black_box(&usage)),
                Some(black_box(&sheet)),
                at,
                Markup::DEFAULT,
            )
        });
    });
    group.bench_function("parse_sheet", |b| {
        b.iter(|| PriceSheet::from_pricing_json(black_box(RATES)))
    });
    group.finish();
}

criterion_group!(benches, cost);
criterion_main!(benches);
