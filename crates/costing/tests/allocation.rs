//! A cost is calculated for every candidate of every request: it must not allocate.
#![allow(clippy::unwrap_used, missing_docs)]

use costing::{Markup, PriceSheet, Quantities, UtcTime, expected_cost, price_call};
use integration_core::Usage;

const NOON: UtcTime = UtcTime::from_unix(12 * 3600);

#[test]
fn a_cost_allocates_nothing() {
    let sheet = PriceSheet::from_pricing_json(
        r#"{"prompt":"0.00000125","completion":"0.00001","input_cache_read":"0.000000125","input_cache_write":"0.000000375",
            "overrides":[{"min_prompt_tokens":200000,"prompt":"0.0000025","completion":"0.000015","input_cache_read":"0.00000025"}]}"#,
    )
    .unwrap();
    let usage = Usage::from_json(
        r#"{"prompt_tokens":250000,"completion_tokens":900,"prompt_tokens_details":{"cached_tokens":100000,"cache_write_tokens":50000}}"#,
    )
    .unwrap();
    let quantities = Quantities::from_usage(&usage).unwrap();
    let mut lines = 0;
    let info = allocation_counter::measure(|| {
        lines = sheet.cost(&quantities, NOON).unwrap().lines().len();
    });
    assert_eq!((lines, info.count_total), (4, 0));
    let info = allocation_counter::measure(|| {
        let priced = price_call(Some(&usage), Some(&sheet), NOON, Markup::DEFAULT);
        priced.charge.charge.unwrap();
        assert_eq!(priced.bill().unwrap().lines().len(), 5);
        expected_cost(&sheet, 1000, 500, NOON).unwrap();
    });
    assert_eq!(info.count_total, 0);
    // The counter counts.
    let info = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(info.count_total, 1);
}
