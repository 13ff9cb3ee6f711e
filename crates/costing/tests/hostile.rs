//! Usage and prices as nobody should send them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use costing::{
    Bucket, CostStatus, Markup, Pico, PriceError, PriceKey, PriceSheet, Quantities, QuantityError,
    SheetProblem, UtcTime, expected_cost, price_call,
};
use integration_core::{Usage, UsageError};
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

fn plain() -> PriceSheet {
    sheet(
        r#"{"prompt":"0.001","completion":"0.002","input_cache_read":"0.0001","input_cache_write":"0.003"}"#,
    )
}

fn status(usage: &Usage) -> CostStatus {
    price_call(Some(usage), Some(&plain()), NOON, Markup::DEFAULT)
        .charge
        .status
}

#[test]
fn input_81_more_cached_than_prompted_is_no_count() {
    for (details, part) in [
        (r#"{"cached_tokens":6}"#, 6),
        (r#"{"cache_write_tokens":7}"#, 7),
        (r#"{"cache_write_1h_tokens":8}"#, 8),
        (r#"{"cached_tokens":18446744073709551615}"#, u64::MAX),
    ] {
        let text =
            format!(r#"{{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{details}}}"#);
        let odd = usage(&text);
        let error = Quantities::from_usage(&odd).unwrap_err();
        assert!(
            matches!(error, QuantityError::Inconsistent { part: found, prompt: 5, .. } if found == part),
            "{error:?}"
        );
        // No guess is made; the provider is asked later.
        let priced = price_call(Some(&odd), Some(&plain()), NOON, Markup::DEFAULT);
        assert_eq!(
            (priced.charge.cost, priced.charge.status),
            (None, CostStatus::Pending)
        );
        // But what it says it takes, it takes.
        let stated = usage(&text.replacen('{', r#"{"cost":0.5,"#, 1));
        let priced = price_call(Some(&stated), Some(&plain()), NOON, Markup::NONE);
        assert_eq!(priced.charge.cost.unwrap().to_string(), "0.5");
        assert_eq!(
            (priced.charge.status, priced.computed),
            (CostStatus::Reported, None)
        );
    }
}

#[test]
fn input_82_cached_and_written_over_the_prompt_never_go_below_zero() {
    let most = u64::MAX;
    for (prompt, read, write, uncached) in [
        (10, 10, 10, 0),
        (10, 7, 4, 3),
        (10, 4, 10, 6),
        (most, most, most, 0),
    ] {
        let text = format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":0,"prompt_tokens_details":{{"cached_tokens":{read},"cache_write_tokens":{write}}}}}"#
        );
        let quantities = Quantities::from_usage(&usage(&text)).unwrap();
        assert!(quantities.cache_counts_overlap());
        assert_eq!(
            [Bucket::UncachedPrompt, Bucket::CacheRead, Bucket::CacheWrite]
                .map(|bucket| quantities.get(bucket)),
            [uncached, read, write]
        );
    }
}

#[test]
fn input_83_reasoning_over_the_completion_is_never_added_on_top() {
    let price = sheet(r#"{"prompt":"0","completion":"0.001"}"#);
    let cost = |text: &str| {
        let quantities = Quantities::from_usage(&usage(text)).unwrap();
        price.cost(&quantities, NOON).unwrap().total()
    };
    let counts = |total: &str, reasoning: u64| {
        format!(
            r#"{{"prompt_tokens":40,"completion_tokens":10,{total}"completion_tokens_details":{{"reasoning_tokens":{reasoning}}}}}"#
        )
    };
    // The completion is the whole, whatever the reasoning and the total say: a total that happens to be the sum of all three
    // is no proof that reasoning was counted beside it. A provider that does count so is put right by its client.
    for total in [
        "",
        r#""total_tokens":50,"#,
        r#""total_tokens":54,"#,
        r#""total_tokens":140,"#,
    ] {
        for (reasoning, inside) in [(0, 0), (4, 4), (10, 10), (11, 10), (90, 10)] {
            let text = counts(total, reasoning);
            assert_eq!(cost(&text), usd("0.01"), "{text}");
            let quantities = Quantities::from_usage(&usage(&text)).unwrap();
            assert_eq!(
                (
                    quantities.get(Bucket::Completion),
                    quantities.get(Bucket::Reasoning)
                ),
                (10 - inside, inside),
                "{text}"
            );
        }
    }
    // Embeddings leave out the completion; the total is not taken twice.
    let none = r#"{"prompt_tokens":40,"total_tokens":40,"completion_tokens_details":{"reasoning_tokens":0}}"#;
    assert_eq!(cost(none), usd("0"));
    let huge = format!(
        r#"{{"prompt_tokens":1,"completion_tokens":2,"total_tokens":1,"completion_tokens_details":{{"reasoning_tokens":{}}}}}"#,
        u64::MAX
    );
    assert_eq!(cost(&huge), usd("0.002"));
}

#[test]
fn input_84_a_total_that_is_not_the_sum_changes_nothing() {
    for total in ["0", "1", "149", "151", "18446744073709551615", "null"] {
        let text = format!(r#"{{"prompt_tokens":100,"completion_tokens":50,"total_tokens":{total}}}"#);
        let priced = price_call(Some(&usage(&text)), Some(&plain()), NOON, Markup::NONE);
        assert_eq!(priced.charge.cost.unwrap().to_string(), "0.2", "{total}");
    }
    // A total below the prompt does not make a completion.
    let text = r#"{"prompt_tokens":100,"total_tokens":99}"#;
    assert_eq!(
        Quantities::from_usage(&usage(text)),
        Err(QuantityError::NotReported("completion"))
    );
    assert_eq!(status(&usage(text)), CostStatus::Pending);
}

#[test]
fn input_85_negative_counts_are_refused_by_name() {
    for (text, name) in [
        (r#"{"prompt_tokens":-1,"completion_tokens":1}"#, "prompt_tokens"),
        (
            r#"{"prompt_tokens":1,"completion_tokens":-1}"#,
            "completion_tokens",
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":1,"total_tokens":-2}"#,
            "total_tokens",
        ),
        (
            r#"{"prompt_tokens_details":{"cached_tokens":-5}}"#,
            "cached_tokens",
        ),
        (
            r#"{"completion_tokens_details":{"reasoning_tokens":-5}}"#,
            "reasoning_tokens",
        ),
        (
            r#"{"server_tool_use_details":{"web_search_requests":-3}}"#,
            "web_search_requests",
        ),
        (r#"{"prompt_tokens":1.5,"completion_tokens":1}"#, "prompt_tokens"),
        (r#"{"prompt_tokens":"1","completion_tokens":1}"#, "prompt_tokens"),
        (
            r#"{"prompt_tokens":18446744073709551616,"completion_tokens":1}"#,
            "prompt_tokens",
        ),
    ] {
        let error = Usage::from_json(text).unwrap_err();
        assert!(
            matches!(error, UsageError::Count { field } if field == name),
            "{text}: {error:?}"
        );
    }
}

#[test]
fn input_86_a_cost_that_is_none_is_refused_and_a_large_one_not_charged() {
    for cost in [
        "-1",
        "-0.000001",
        r#""0.5""#,
        "true",
        "[]",
        "1e308",
        "1e29",
        "1e-29",
        "0.123456789012345678901234567891",
        "123456789012345678901234567890",
    ] {
        for text in [
            format!(r#"{{"prompt_tokens":1,"completion_tokens":1,"cost":{cost}}}"#),
            format!(r#"{{"cost":1,"cost_details":{{"upstream_inference_cost":{cost}}}}}"#),
        ] {
            let error = Usage::from_json(&text).unwrap_err();
            assert!(matches!(error, UsageError::Amount { .. }), "{text}: {error:?}");
        }
    }
    for cost in ["NaN", "Infinity", "-Infinity", "0x10", "1_000", "+1", ".5", "1."] {
        let text = format!(r#"{{"cost":{cost}}}"#);
        assert!(
            matches!(Usage::from_json(&text), Err(UsageError::NotAnObject(_))),
            "{cost}"
        );
    }
    // More than the ledger holds is unknown there, not something near it.
    for cost in ["9223372.036854775808", "1e27"] {
        let text = format!(r#"{{"prompt_tokens":1,"completion_tokens":1,"cost":{cost}}}"#);
        let priced = price_call(Some(&usage(&text)), Some(&plain()), NOON, Markup::NONE);
        assert_eq!(
            (priced.charge.cost, priced.charge.status),
            (None, CostStatus::Unpriced)
        );
        assert!(priced.reported.is_some());
    }
    let most = usage(r#"{"cost":9223372.036854775807}"#);
    let priced = price_call(Some(&most), None, NOON, Markup::NONE);
    assert_eq!(priced.charge.cost, Some(Pico::new(i64::MAX)));
    // The markup no longer fits.
    let priced = price_call(Some(&most), None, NOON, Markup::DEFAULT);
    assert_eq!(
        (priced.charge.cost, priced.charge.status),
        (None, CostStatus::Unpriced)
    );
    // Digits and an exponent are read to the last of them, and rounded once.
    let fine = usage(r#"{"cost":8.60000000000000000000001e-05}"#);
    assert_eq!(fine.reported.cost, Some(usd("0.0000860000000000000000000001")));
    let exact = usage(r#"{"cost":8.6e-05}"#);
    let priced = price_call(Some(&exact), None, NOON, Markup::NONE);
    assert_eq!(priced.charge.cost.unwrap().to_string(), "0.000086");
}

#[test]
fn input_87_an_exponent_is_a_number_and_an_empty_text_is_none() {
    let price = |text: &str| {
        let json = serde_json::json!({"prompt": text, "completion": "0"}).to_string();
        PriceSheet::from_pricing_json(&json)
    };
    assert_eq!(
        expected_cost(&price("1e-7").unwrap(), 1, 0, NOON),
        Some(usd("0.0000001"))
    );
    assert!(matches!(price(""), Err(PriceError::Malformed(_))));
    assert!(price("-1").unwrap().is_dynamic());
}

#[test]
fn input_88_a_price_that_could_only_be_kept_rounded_is_refused() {
    for text in [
        "0.00000000000000000000000000001",
        "0.0000000000000000000000000000000001",
        "0.12345678901234567890123456789",
        "0.99999999999999999999999999999",
        "1e-29",
        "1.5e-28",
    ] {
        let json = format!(r#"{{"prompt":"{text}","completion":"0"}}"#);
        let error = PriceSheet::from_pricing_json(&json).unwrap_err();
        assert!(matches!(error, PriceError::Number { .. }), "{text}: {error}");
        assert!(error.to_string().contains("exactly"), "{error}");
    }
    let smallest = sheet(r#"{"prompt":"0.0000000000000000000000000001","completion":"0"}"#);
    assert_eq!(
        expected_cost(&smallest, 3, 0, NOON),
        Some(usd("0.0000000000000000000000000003"))
    );
}

#[test]
fn input_89_an_impossible_discount_touches_no_price() {
    for discount in ["1.5", "-0.1", "1", "1e308", "0.999999999999999999999999999999"] {
        let json = format!(r#"{{"prompt":"0.001","completion":"0.002","discount":{discount}}}"#);
        let priced = expected_cost(&sheet(&json), 10, 10, NOON);
        assert_eq!(priced, Some(usd("0.03")), "{discount}");
    }
}

#[test]
fn input_90_overrides_of_every_odd_kind() {
    let price = |overrides: &str, prompt: u64, at: UtcTime| {
        let sheet = sheet(&format!(
            r#"{{"prompt":"0.1","completion":"0","overrides":[{overrides}]}}"#
        ));
        sheet.rate(PriceKey::Prompt, prompt, at).unwrap().to_string()
    };
    // 1970-01-02 was a Friday.
    let friday = |hour: i64, minute: i64| UtcTime::from_unix(86_400 + hour * 3600 + minute * 60);
    let saturday = |hour: i64, minute: i64| UtcTime::from_unix(2 * 86_400 + hour * 3600 + minute * 60);

    // Overlapping tiers: the later one wins, not the larger one; a threshold is passed by strictly more.
    let rising = r#"{"min_prompt_tokens":10,"prompt":"0.2"},{"min_prompt_tokens":20,"prompt":"0.3"}"#;
    let falling = r#"{"min_prompt_tokens":20,"prompt":"0.3"},{"min_prompt_tokens":10,"prompt":"0.2"}"#;
    let prices = |overrides| [10, 11, 20, 21].map(|prompt| price(overrides, prompt, NOON));
    assert_eq!(prices(rising), ["0.1", "0.2", "0.2", "0.3"]);
    assert_eq!(prices(falling), ["0.1", "0.2", "0.2", "0.2"]);
    assert_eq!(
        price(
            r#"{"min_prompt_tokens":18446744073709551615,"prompt":"0.2"}"#,
            u64::MAX,
            NOON
        ),
        "0.1"
    );

    // Over midnight, on one day of the week: by the day it is, before and after midnight.
    let night = r#"{"utc_start":2300,"utc_end":100,"utc_days":["friday"],"prompt":"0.2"}"#;
    for (at, expected) in [
        (friday(0, 59), "0.2"),
        (friday(1, 0), "0.1"),
        (friday(22, 59), "0.1"),
        (friday(23, 0), "0.2"),
        (saturday(0, 30), "0.1"),
        (saturday(23, 30), "0.1"),
    ] {
        assert_eq!(price(night, 1, at), expected, "{at:?}");
    }

    // Without a price, or without a condition.
    assert_eq!(price("{}", 1, NOON), "0.1");
    assert_eq!(price(r#"{"min_prompt_tokens":0}"#, 1, NOON), "0.1");
    assert_eq!(price(r#"{"prompt":"0.2"}"#, 1, NOON), "0.2");

    // A condition nobody knows, or a known one of another form: it does not apply, and it is said.
    for (odd, word) in [
        (r#"{"region":"eu","prompt":"0.2"}"#, "region"),
        (
            r#"{"min_prompt_tokens":"many","prompt":"0.2"}"#,
            "min_prompt_tokens",
        ),
        (r#"{"min_prompt_tokens":-5,"prompt":"0.2"}"#, "min_prompt_tokens"),
        (r#"{"utc_start":2460,"prompt":"0.2"}"#, "utc_start"),
        (r#"{"utc_start":1200,"utc_end":1200,"prompt":"0.2"}"#, "utc_start"),
        (r#"{"utc_days":["someday"],"prompt":"0.2"}"#, "utc_days"),
        (r#"{"utc_days":"friday","prompt":"0.2"}"#, "utc_days"),
    ] {
        assert_eq!(price(odd, 1_000, friday(12, 0)), "0.1", "{odd}");
        let sheet = sheet(&format!(
            r#"{{"prompt":"0.1","completion":"0","overrides":[{odd}]}}"#
        ));
        let said = sheet.problems().iter().any(
            |problem| matches!(problem, SheetProblem::UnknownCondition { entry: 1, condition } if condition.contains(word)),
        );
        assert!(said, "{odd}: {:?}", sheet.problems());
    }
}
