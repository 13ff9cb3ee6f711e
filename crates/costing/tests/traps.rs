//! The traps of OpenRouter's contract that are about money. Those that a bill by hand shows are in `golden.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use costing::{
    Bucket, CostStatus, Markup, Pico, PriceKey, PriceSheet, Quantities, Unpriced, UtcTime, expected_cost,
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

fn computed(sheet: &PriceSheet, usage: &Usage) -> Option<Decimal> {
    let priced = price_call(Some(usage), Some(sheet), NOON, Markup::NONE);
    assert_eq!(
        priced.charge.cost,
        priced
            .computed
            .map(|cost| Pico::from_decimal(cost.total()).unwrap())
    );
    priced.computed.map(|cost| cost.total())
}

#[test]
fn trap_17_minus_one_is_unknown_and_never_arithmetic() {
    // As a base price, as one price among others, and under a condition.
    for (json, completion) in [
        (r#"{"prompt":"-1","completion":"-1"}"#, 1),
        (r#"{"prompt":"0.000001","completion":"-1"}"#, 1),
        (
            r#"{"prompt":"0.000001","completion":"0.000001","overrides":[{"min_prompt_tokens":10,"prompt":"-1"}]}"#,
            0,
        ),
        (r#"{"prompt":"0","completion":"0","request":"-1"}"#, 0),
    ] {
        let sheet = sheet(json);
        let counts = Usage::of_tokens(1_000, completion);
        let error = sheet
            .cost(&Quantities::from_usage(&counts).unwrap(), NOON)
            .unwrap_err();
        assert!(matches!(error, Unpriced::Dynamic(_)), "{json}: {error}");
        assert_eq!(expected_cost(&sheet, 1_000, completion, NOON), None, "{json}");
        let priced = price_call(Some(&counts), Some(&sheet), NOON, Markup::DEFAULT);
        assert_eq!(
            (priced.charge.cost, priced.charge.status),
            (None, CostStatus::Unpriced),
            "{json}"
        );
    }
    // What is not used needs no price.
    let half = sheet(r#"{"prompt":"0.000001","completion":"-1"}"#);
    assert_eq!(expected_cost(&half, 1_000, 0, NOON), Some(usd("0.001")));
    // Only this spelling says so; no other negative number is a price.
    for text in ["-1.0", "-1e0", "-2", "-0.000001"] {
        let json = format!(r#"{{"prompt":"{text}","completion":"0"}}"#);
        assert!(PriceSheet::from_pricing_json(&json).is_err(), "{text}");
    }
}

#[test]
fn trap_17_prices_are_for_one_token() {
    let sheet = sheet(r#"{"prompt":"0.0000000208333333333333","completion":"0.000015"}"#);
    assert_eq!(
        expected_cost(&sheet, 1, 0, NOON),
        Some(usd("0.0000000208333333333333"))
    );
    assert_eq!(expected_cost(&sheet, 0, 1_000_000, NOON), Some(usd("15")));
}

#[test]
fn trap_18_nothing_stated_under_a_key_of_our_own_is_not_free() {
    let sheet = sheet(r#"{"prompt":"0.000001","completion":"0.000002"}"#);
    let byok = |details: &str| {
        usage(&format!(
            r#"{{"prompt_tokens":100,"completion_tokens":50,"cost":0,"is_byok":true{details}}}"#
        ))
    };
    // The upstream's part is known: it is the cost.
    let known = byok(r#","cost_details":{"upstream_inference_cost":0.00025}"#);
    let priced = price_call(Some(&known), Some(&sheet), NOON, Markup::DEFAULT);
    assert_eq!(priced.charge.cost.unwrap().to_string(), "0.00025");
    assert_eq!(priced.charge.markup.unwrap().to_string(), "0.000025");
    assert_eq!(priced.charge.status, CostStatus::Reported);
    // It is not: then by the prices, and without prices nobody knows.
    for details in ["", r#","cost_details":{"upstream_inference_cost":null}"#] {
        let unknown = byok(details);
        let priced = price_call(Some(&unknown), Some(&sheet), NOON, Markup::DEFAULT);
        assert_eq!(priced.reported, None);
        assert_eq!(priced.charge.cost.unwrap().to_string(), "0.0002");
        assert_eq!(priced.charge.status, CostStatus::Computed);
        let priced = price_call(Some(&unknown), None, NOON, Markup::DEFAULT);
        assert_eq!(
            (priced.charge.cost, priced.charge.status),
            (None, CostStatus::Unpriced)
        );
    }
    // Under the provider's key a cost of zero is zero.
    let free = usage(
        r#"{"prompt_tokens":100,"completion_tokens":50,"cost":0,"is_byok":false,"cost_details":{"upstream_inference_cost":0}}"#,
    );
    let priced = price_call(Some(&free), Some(&sheet), NOON, Markup::DEFAULT);
    assert_eq!(
        (priced.charge.cost, priced.charge.status),
        (Some(Pico::ZERO), CostStatus::Reported)
    );
}

#[test]
fn trap_19_the_whole_prompt_is_uncached_read_and_written() {
    let sheet = sheet(
        r#"{"prompt":"0.001","completion":"0.002","input_cache_read":"0.0001","input_cache_write":"0.00125"}"#,
    );
    let cached = usage(
        r#"{"prompt_tokens":1000,"completion_tokens":10,"total_tokens":1010,
            "prompt_tokens_details":{"cached_tokens":700,"cache_write_tokens":200}}"#,
    );
    let quantities = Quantities::from_usage(&cached).unwrap();
    assert_eq!(
        [
            quantities.get(Bucket::UncachedPrompt),
            quantities.get(Bucket::CacheRead),
            quantities.get(Bucket::CacheWrite)
        ],
        [100, 700, 200]
    );
    // 100 at 0.001, 700 at 0.0001, 200 at 0.00125, 10 at 0.002.
    assert_eq!(computed(&sheet, &cached), Some(usd("0.44")));
    // Everything cached: the prompt's own price has no part in it.
    let all = usage(
        r#"{"prompt_tokens":1000,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":1000}}"#,
    );
    assert_eq!(computed(&sheet, &all), Some(usd("0.1")));
}

#[test]
fn trap_28_images_are_paid_by_the_token() {
    // The image's price repeats the prompt's, as on every list of that family: each image token costs what a token costs.
    let sheet = sheet(
        r#"{"prompt":"0.0000003","completion":"0.0000025","image":"0.0000003","image_output":"0.00003"}"#,
    );
    assert!(sheet.problems().is_empty());
    let shown = usage(
        r#"{"prompt_tokens":1000,"completion_tokens":1300,"prompt_tokens_details":{"image_tokens":900},
            "completion_tokens_details":{"image_tokens":1290}}"#,
    );
    assert_eq!(computed(&sheet, &shown), Some(usd("0.039025")));
}

#[test]
fn trap_28_the_discount_is_in_the_prices_already() {
    let listed = r#""prompt":"0.0000006","completion":"0.0000024""#;
    let plain = sheet(&format!("{{{listed}}}"));
    let reduced = sheet(&format!(r#"{{{listed},"discount":0.25}}"#));
    assert_eq!(expected_cost(&reduced, 1_000, 1_000, NOON), Some(usd("0.003")));
    assert_eq!(
        expected_cost(&reduced, 1_000, 1_000, NOON),
        expected_cost(&plain, 1_000, 1_000, NOON)
    );
}

#[test]
fn trap_28_an_override_that_holds_is_never_left_out() {
    let sheet = sheet(
        r#"{"prompt":"0.001","completion":"0.002","overrides":[
            {"min_prompt_tokens":100,"prompt":"0.003"},
            {"utc_start":1200,"utc_end":1300,"completion":"0.004"}]}"#,
    );
    let price = |key, prompt, at| sheet.rate(key, prompt, at).unwrap().to_string();
    let at = |hour: i64, minute: i64| UtcTime::from_unix(hour * 3600 + minute * 60);
    assert_eq!(price(PriceKey::Prompt, 100, NOON), "0.001");
    assert_eq!(price(PriceKey::Prompt, 101, NOON), "0.003");
    // Keys that an override does not name stay.
    assert_eq!(price(PriceKey::Completion, 101, at(11, 59)), "0.002");
    assert_eq!(price(PriceKey::Completion, 101, NOON), "0.004");
    assert_eq!(price(PriceKey::Completion, 1, at(12, 59)), "0.004");
    assert_eq!(price(PriceKey::Completion, 1, at(13, 0)), "0.002");
}

#[test]
fn f65_a_cached_answer_costs_zero_exactly() {
    let sheet = sheet(r#"{"prompt":"0.000001","completion":"0.000001","request":"0.5"}"#);
    let reports = [
        "{}",
        r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0,"cost":0}"#,
        // Some caches repeat the counts of the first answer.
        r#"{"prompt_tokens":900,"completion_tokens":80,"total_tokens":980}"#,
        r#"{"prompt_tokens":0,"completion_tokens":0,"cost":0,"is_byok":true,"cost_details":{"upstream_inference_cost":0}}"#,
    ];
    for report in reports {
        let mut hit = usage(report);
        hit.answer_from_cache = true;
        for sheet in [Some(&sheet), None] {
            let priced = price_call(Some(&hit), sheet, NOON, Markup::DEFAULT);
            let charge = priced.charge;
            assert_eq!(charge.status, CostStatus::Exact, "{report}");
            assert_eq!(
                [charge.cost, charge.markup, charge.charge],
                [Some(Pico::ZERO); 3],
                "{report}"
            );
            assert_eq!((charge.markup_bps, priced.computed), (1_000, None));
        }
    }
    // Without the mark the same reports are what they are.
    let miss = price_call(Some(&usage("{}")), Some(&sheet), NOON, Markup::DEFAULT);
    assert_eq!(miss.charge.status, CostStatus::Pending);
    // A cost that is stated all the same is not hidden.
    let mut stated = usage(r#"{"prompt_tokens":1,"completion_tokens":1,"cost":0.25}"#);
    stated.answer_from_cache = true;
    let priced = price_call(Some(&stated), Some(&sheet), NOON, Markup::NONE);
    assert_eq!(priced.charge.cost.unwrap().to_string(), "0.25");
    assert_eq!(priced.charge.status, CostStatus::Reported);
}
