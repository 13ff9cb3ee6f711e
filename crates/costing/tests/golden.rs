//! Bills checked by hand, each one a mistake that other software has made.
#![allow(clippy::unwrap_used, missing_docs)]

use costing::{
    Bucket, CostStatus, Markup, Pico, PriceSheet, Quantities, Rounding, Unpriced, UtcTime, expected_cost,
    price_call,
};
use integration_core::Usage;
use rust_decimal::Decimal;

const NOON: UtcTime = UtcTime::from_unix(12 * 3600);

fn sheet(json: &str) -> PriceSheet {
    PriceSheet::from_pricing_json(json).unwrap()
}

fn usage(json: &str) -> Usage {
    Usage::from_json(json).unwrap()
}

fn usd(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn total(sheet: &PriceSheet, usage: &Usage) -> Decimal {
    sheet
        .cost(&Quantities::from_usage(usage).unwrap(), NOON)
        .unwrap()
        .total()
}

#[test]
fn trap_19_cached_tokens_are_paid_once() {
    let sheet = sheet(r#"{"prompt":"0.0000005","completion":"0.000003","input_cache_read":"0.00000005"}"#);
    let usage = usage(
        r#"{"prompt_tokens":20212,"completion_tokens":931,"total_tokens":21143,"prompt_tokens_details":{"cached_tokens":16298}}"#,
    );
    let priced = price_call(Some(&usage), Some(&sheet), NOON, Markup::DEFAULT);
    assert_eq!(priced.charge.cost.unwrap().to_string(), "0.0055649");
    assert_eq!(priced.charge.markup.unwrap().to_string(), "0.00055649");
    assert_eq!(priced.charge.charge.unwrap().to_string(), "0.00612139");
    assert_eq!(priced.charge.status, CostStatus::Computed);
    assert_eq!(priced.charge.markup_bps, 1000);
    let cost = priced.computed.unwrap();
    let lines: Vec<_> = cost
        .lines()
        .map(|l| (l.bucket.as_str(), l.quantity, l.amount.normalize()))
        .collect();
    assert_eq!(
        lines,
        [
            ("uncached_prompt", 3914, usd("0.001957")),
            ("cache_read", 16298, usd("0.0008149")),
            ("completion", 931, usd("0.002793")),
        ]
    );
    assert_eq!(
        serde_json::to_value(cost.line(Bucket::CacheRead).unwrap()).unwrap(),
        serde_json::json!({"bucket":"cache_read","quantity":16298,"unit_price_usd":"0.00000005","amount_usd":"0.0008149"})
    );
    assert_eq!(serde_json::to_value(cost).unwrap().as_array().unwrap().len(), 3);
}

#[test]
fn the_uncached_part_is_what_is_left() {
    let usage = usage(
        r#"{"prompt_tokens":17903,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":17817}}"#,
    );
    let quantities = Quantities::from_usage(&usage).unwrap();
    assert_eq!(quantities.get(Bucket::UncachedPrompt), 86);
}

#[test]
fn trap_18_a_stated_cost_is_not_added_to_its_repetition() {
    let same = usage(
        r#"{"prompt_tokens":1,"completion_tokens":1,"cost":0.000001979964,"is_byok":false,"cost_details":{"upstream_inference_cost":0.000001979964}}"#,
    );
    let priced = price_call(Some(&same), None, NOON, Markup::NONE);
    assert_eq!(priced.charge.charge.unwrap().to_string(), "0.000001979964");
    assert_eq!(priced.charge.status, CostStatus::Reported);
    assert_eq!(priced.computed, None);
}

#[test]
fn trap_18_under_a_key_of_our_own_both_parts_count() {
    for (is_byok, expected) in [("true", "19.95"), ("false", "0.95")] {
        let text =
            format!(r#"{{"cost":0.95,"is_byok":{is_byok},"cost_details":{{"upstream_inference_cost":19}}}}"#);
        let priced = price_call(Some(&usage(&text)), None, NOON, Markup::NONE);
        assert_eq!(priced.charge.cost.unwrap().to_string(), expected);
        assert_eq!(priced.reported, Some(usd(expected)));
    }
}

#[test]
fn trap_28_a_tier_begins_after_its_threshold_and_covers_the_whole_request() {
    let sheet = sheet(
        r#"{"prompt":"0.000001","completion":"0.00001","input_cache_read":"0.0000001",
            "overrides":[{"min_prompt_tokens":200000,"prompt":"0.000002","completion":"0.000015","input_cache_read":"0.0000002"}]}"#,
    );
    assert_eq!(expected_cost(&sheet, 199_999, 100, NOON), Some(usd("0.200999")));
    assert_eq!(expected_cost(&sheet, 200_000, 100, NOON), Some(usd("0.201")));
    assert_eq!(expected_cost(&sheet, 200_001, 100, NOON), Some(usd("0.401502")));
    // The threshold is by the whole prompt, and the cache price is of the same tier.
    let usage = usage(
        r#"{"prompt_tokens":200001,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":200000}}"#,
    );
    assert_eq!(total(&sheet, &usage), usd("0.041502"));
}

#[test]
fn rounding_happens_once_and_after_the_sum() {
    // Three times 0.45 pico-dollars: rounded line by line nothing is left.
    let sheet = sheet(
        r#"{"prompt":"0.00000000000045","completion":"0.00000000000045","request":"0.00000000000045"}"#,
    );
    let priced = price_call(Some(&Usage::of_tokens(1, 1)), Some(&sheet), NOON, Markup::NONE);
    assert_eq!(priced.charge.cost, Some(Pico::new(1)));
    assert_eq!(priced.computed.unwrap().total(), usd("0.00000000000135"));
}

#[test]
fn a_sum_is_rounded_for_a_statement_and_not_its_lines() {
    let line: Pico = "0.0045".parse().unwrap();
    let cents = |amount: Pico| amount.rounded(2, Rounding::HalfEven).unwrap().shown.to_string();
    assert_eq!(cents(line), "0");
    let sum = [line; 3].into_iter().try_fold(Pico::ZERO, Pico::checked_add);
    assert_eq!(cents(sum.unwrap()), "0.01");
}

#[test]
fn input_82_counts_that_overlap_are_billed_as_the_upstream_bills_them() {
    let sheet = sheet(
        r#"{"prompt":"0.0000003","completion":"0.0000025","input_cache_read":"0.00000003","input_cache_write":"0.0000000833333333333333"}"#,
    );
    let usage = usage(
        r#"{"prompt_tokens":2168,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":2161,"cache_write_tokens":2161}}"#,
    );
    let quantities = Quantities::from_usage(&usage).unwrap();
    assert!(quantities.cache_counts_overlap());
    assert_eq!(quantities.get(Bucket::UncachedPrompt), 7);
    assert_eq!(total(&sheet, &usage), usd("0.0004970133333333332613"));
}

#[test]
fn absent_cache_prices_are_the_price_of_the_prompt() {
    let sheet = sheet(r#"{"prompt":"0.000002","completion":"0.000008"}"#);
    let usage = usage(
        r#"{"prompt_tokens":100,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":30,"cache_write_1h_tokens":10}}"#,
    );
    assert_eq!(total(&sheet, &usage), usd("0.0002"));
}

#[test]
fn writes_for_an_hour_have_their_own_price_or_the_usual_one() {
    let counts = usage(
        r#"{"prompt_tokens":100,"completion_tokens":0,"prompt_tokens_details":{"cache_write_tokens":30,"cache_write_1h_tokens":10}}"#,
    );
    let own = sheet(
        r#"{"prompt":"0.001","completion":"0","input_cache_write":"0.01","input_cache_write_1h":"0.1"}"#,
    );
    assert_eq!(total(&own, &counts), usd("1.27"));
    let usual = sheet(r#"{"prompt":"0.001","completion":"0","input_cache_write":"0.01"}"#);
    assert_eq!(total(&usual, &counts), usd("0.37"));
    // Some report only those kept for an hour.
    let only = usage(
        r#"{"prompt_tokens":100,"completion_tokens":0,"prompt_tokens_details":{"cache_write_1h_tokens":10}}"#,
    );
    assert_eq!(total(&own, &only), usd("1.09"));
}

#[test]
fn reasoning_is_inside_the_completion() {
    let same = sheet(r#"{"prompt":"0","completion":"0.000008","internal_reasoning":"0.000008"}"#);
    let other = sheet(r#"{"prompt":"0","completion":"0.000008","internal_reasoning":"0.000003"}"#);
    let some = usage(
        r#"{"prompt_tokens":0,"completion_tokens":100,"completion_tokens_details":{"reasoning_tokens":60}}"#,
    );
    assert_eq!(total(&same, &some), usd("0.0008"));
    assert_eq!(total(&other, &some), usd("0.0005"));
    let line = same.cost(&Quantities::from_usage(&some).unwrap(), NOON).unwrap();
    assert_eq!(line.lines().len(), 1);
    // A count larger than the whole does not make the whole larger.
    let more = usage(
        r#"{"prompt_tokens":43,"completion_tokens":10,"completion_tokens_details":{"reasoning_tokens":11}}"#,
    );
    assert_eq!(total(&same, &more), usd("0.00008"));
}

#[test]
fn a_price_that_repeats_another_follows_it_into_a_tier() {
    let sheet = sheet(
        r#"{"prompt":"0.001","completion":"0.002","internal_reasoning":"0.002","image":"0.001","audio":"0.005",
            "overrides":[{"min_prompt_tokens":10,"prompt":"0.01","completion":"0.02"}]}"#,
    );
    let usage = usage(
        r#"{"prompt_tokens":20,"completion_tokens":4,"prompt_tokens_details":{"image_tokens":5,"audio_tokens":5},
            "completion_tokens_details":{"reasoning_tokens":3}}"#,
    );
    // The audio price differs from the prompt's, so it is a price of its own and stays.
    assert_eq!(total(&sheet, &usage), usd("0.255"));
}

#[test]
fn audio_has_its_own_price_where_the_list_has_one() {
    let counts =
        usage(r#"{"prompt_tokens":175,"completion_tokens":14,"prompt_tokens_details":{"audio_tokens":150}}"#);
    let own = sheet(r#"{"prompt":"0.0000003","completion":"0.0000025","audio":"0.000001"}"#);
    assert_eq!(total(&own, &counts), usd("0.0001925"));
    let none = sheet(r#"{"prompt":"0.0000003","completion":"0.0000025"}"#);
    assert_eq!(total(&none, &counts), usd("0.0000875"));
    let cached = usage(
        r#"{"prompt_tokens":100,"completion_tokens":0,"prompt_tokens_details":{"audio_tokens":80,"cached_tokens":60}}"#,
    );
    let quantities = Quantities::from_usage(&cached).unwrap();
    assert_eq!(quantities.get(Bucket::AudioPrompt), 40);
    assert_eq!(quantities.get(Bucket::AudioCacheRead), 40);
    let cache = sheet(
        r#"{"prompt":"0","completion":"0","audio":"0.001","input_cache_read":"0.01","input_audio_cache":"0.1"}"#,
    );
    assert_eq!(total(&cache, &cached), usd("4.24"));
}

#[test]
fn image_tokens_of_an_answer_have_their_own_price() {
    let sheet =
        sheet(r#"{"prompt":"0","completion":"0.0000025","image_output":"0.00003","audio_output":"0.00006"}"#);
    let usage = usage(
        r#"{"prompt_tokens":0,"completion_tokens":1300,"completion_tokens_details":{"image_tokens":1290,"audio_tokens":4}}"#,
    );
    assert_eq!(total(&sheet, &usage), usd("0.038955"));
}

#[test]
fn trap_28_a_price_per_image_cannot_price_tokens() {
    let sheet =
        sheet(r#"{"prompt":"0.00000015","completion":"0.0000006","image":"0.000217","image_output":"0.04"}"#);
    assert_eq!(sheet.problems().len(), 2);
    let text = Quantities::of_tokens(100, 10);
    assert_eq!(sheet.cost(&text, NOON).unwrap().total(), usd("0.000021"));
    let image =
        usage(r#"{"prompt_tokens":100,"completion_tokens":1,"prompt_tokens_details":{"image_tokens":85}}"#);
    let error = sheet
        .cost(&Quantities::from_usage(&image).unwrap(), NOON)
        .unwrap_err();
    assert!(error.to_string().contains("per image"), "{error}");
    let priced = price_call(Some(&image), Some(&sheet), NOON, Markup::DEFAULT);
    assert_eq!(priced.charge.status, CostStatus::Unpriced);
}

#[test]
fn searches_and_requests_have_fees() {
    let sheet =
        sheet(r#"{"prompt":"0.00000175","completion":"0.000014","web_search":"0.01","request":"0.005"}"#);
    let usage = usage(
        r#"{"prompt_tokens":16924,"completion_tokens":485,"server_tool_use_details":{"web_search_requests":3}}"#,
    );
    assert_eq!(total(&sheet, &usage), usd("0.071407"));
}

#[test]
fn what_has_no_price_is_unpriced_and_never_zero() {
    let plain = sheet(r#"{"prompt":"0.000001","completion":"0.000001"}"#);
    for (tools, bucket) in [
        (r#"{"web_search_requests":1}"#, Bucket::WebSearch),
        (r#"{"tool_calls_executed":1}"#, Bucket::ServerTool),
    ] {
        let text =
            format!(r#"{{"prompt_tokens":1,"completion_tokens":1,"server_tool_use_details":{tools}}}"#);
        let usage = usage(&text);
        let error = plain
            .cost(&Quantities::from_usage(&usage).unwrap(), NOON)
            .unwrap_err();
        assert_eq!(error, Unpriced::NoPrice(bucket));
        let priced = price_call(Some(&usage), Some(&plain), NOON, Markup::DEFAULT);
        assert_eq!(priced.charge.status, CostStatus::Unpriced);
        assert_eq!(
            (priced.charge.cost, priced.charge.markup, priced.charge.charge),
            (None, None, None)
        );
    }
    let dynamic = sheet(r#"{"prompt":"-1","completion":"-1"}"#);
    assert!(dynamic.is_dynamic() && !dynamic.is_free());
    assert_eq!(expected_cost(&dynamic, 1, 1, NOON), None);
    let priced = price_call(
        Some(&Usage::of_tokens(1, 1)),
        Some(&dynamic),
        NOON,
        Markup::DEFAULT,
    );
    assert_eq!(priced.charge.status, CostStatus::Unpriced);
    assert_eq!(
        price_call(Some(&Usage::of_tokens(1, 1)), None, NOON, Markup::DEFAULT)
            .charge
            .cost,
        None
    );
    let half = sheet(r#"{"prompt":"0"}"#);
    assert!(!half.is_free());
    assert_eq!(expected_cost(&half, 1, 1, NOON), None);
}

#[test]
fn free_is_a_price() {
    let free = sheet(r#"{"prompt":"0","completion":"0","request":"0"}"#);
    assert!(free.is_free() && !free.is_dynamic());
    let priced = price_call(Some(&Usage::of_tokens(7, 7)), Some(&free), NOON, Markup::DEFAULT);
    assert_eq!(priced.charge.charge, Some(Pico::ZERO));
    assert_eq!(priced.charge.status, CostStatus::Computed);
    assert_eq!(priced.computed.unwrap().lines().len(), 2);
    let later =
        sheet(r#"{"prompt":"0","completion":"0","overrides":[{"min_prompt_tokens":9,"prompt":"0.1"}]}"#);
    assert!(!later.is_free());
}

#[test]
fn an_answer_without_usage_is_pending() {
    let sheet = sheet(r#"{"prompt":"0.000001","completion":"0.000001"}"#);
    for usage in [None, Some(usage("{}")), Some(usage(r#"{"prompt_tokens":5}"#))] {
        let priced = price_call(usage.as_ref(), Some(&sheet), NOON, Markup::DEFAULT);
        assert_eq!(priced.charge.status, CostStatus::Pending);
        assert_eq!(priced.charge.cost, None);
    }
    // Parts larger than the whole: the counts are of no use, and no guess is made.
    let odd =
        usage(r#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":6}}"#);
    let error = Quantities::from_usage(&odd).unwrap_err();
    assert!(error.to_string().contains("6 tokens read"), "{error}");
    assert_eq!(
        price_call(Some(&odd), Some(&sheet), NOON, Markup::DEFAULT)
            .charge
            .status,
        CostStatus::Pending
    );
}

#[test]
fn embeddings_report_no_completion() {
    let sheet = sheet(r#"{"prompt":"0.00000002","completion":"0"}"#);
    assert_eq!(
        total(&sheet, &usage(r#"{"prompt_tokens":31,"total_tokens":31}"#)),
        usd("0.00000062")
    );
}

#[test]
fn amounts_beyond_all_reason_are_unpriced() {
    let dear = sheet(r#"{"prompt":"1","completion":"1"}"#);
    let priced = price_call(
        Some(&Usage::of_tokens(u64::MAX, 0)),
        Some(&dear),
        NOON,
        Markup::DEFAULT,
    );
    assert_eq!(priced.charge.status, CostStatus::Unpriced);
    assert_eq!(priced.computed.unwrap().total(), Decimal::from(u64::MAX));
    let odd = sheet(r#"{"prompt":"1","completion":"1","request":"1000","web_search":"1000"}"#);
    let usage = usage(
        r#"{"prompt_tokens":1,"completion_tokens":1,"server_tool_use_details":{"web_search_requests":18446744073709551615}}"#,
    );
    assert!(odd.cost(&Quantities::from_usage(&usage).unwrap(), NOON).is_ok());
}

#[test]
fn trap_28_windows_include_their_start_and_exclude_their_end() {
    let sheet = sheet(
        r#"{"prompt":"0.1","completion":"0","overrides":[{"utc_start":2230,"utc_end":100,"prompt":"0.2"},
            {"utc_start":100,"utc_end":400,"prompt":"0.3"},{"utc_days":["saturday"],"utc_start":2300,"prompt":"0.4"}]}"#,
    );
    // 1970-01-02 was a Friday, the day after it a Saturday.
    let price = |day: i64, hour: i64, minute: i64, second: i64| {
        let at = UtcTime::from_unix(day * 86_400 + hour * 3600 + minute * 60 + second);
        expected_cost(&sheet, 1, 0, at).unwrap().to_string()
    };
    for (hour, minute, second, expected) in [
        (22, 29, 59, "0.1"),
        (22, 30, 0, "0.2"),
        (23, 59, 59, "0.2"),
        (0, 0, 0, "0.2"),
        (0, 59, 59, "0.2"),
        (1, 0, 0, "0.3"),
        (3, 59, 59, "0.3"),
        (4, 0, 0, "0.1"),
    ] {
        assert_eq!(
            price(1, hour, minute, second),
            expected,
            "{hour}:{minute}:{second}"
        );
    }
    assert_eq!(
        [price(2, 22, 59, 59), price(2, 23, 0, 0), price(3, 0, 0, 0)],
        ["0.2", "0.4", "0.2"]
    );
}
