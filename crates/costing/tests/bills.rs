//! Invoices by hand: lines, statuses, differences, insurance and the rounding of a statement.
#![allow(clippy::unwrap_used, missing_docs)]

use costing::{
    Bill, Bucket, CallToPrice, CostStatus, Ending, Markup, MarkupRule, MoneyError, Pico, PriceSheet,
    PricedCall, Quantities, QuantityError, Remark, Rounding, UsageDialect, UtcTime, price_call,
};
use integration_core::{ReportedCost, Usage};
use rust_decimal::Decimal;

const NOON: UtcTime = UtcTime::from_unix(12 * 3600);
const PRICES: &str =
    r#"{"prompt":"0.000001","completion":"0.000002","input_cache_read":"0.0000001","request":"0.001"}"#;

fn sheet(json: &str) -> PriceSheet {
    PriceSheet::from_pricing_json(json).unwrap()
}

fn usage(json: &str) -> Usage {
    Usage::from_json(json).unwrap()
}

fn usd(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn lines(bill: &Bill) -> Vec<(&'static str, String)> {
    bill.lines()
        .map(|line| (line.item.as_str(), line.amount.to_string()))
        .collect()
}

fn bill(usage_json: &str, prices: Option<&str>, rule: impl Into<MarkupRule>) -> (PricedCall, Bill) {
    let sheet = prices.map(sheet);
    let priced = price_call(Some(&usage(usage_json)), sheet.as_ref(), NOON, rule);
    let bill = priced.bill().unwrap();
    (priced, bill)
}

fn expect(bill: &Bill, expected: &[(&'static str, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(item, amount)| (*item, (*amount).to_owned()))
        .collect();
    assert_eq!(lines(bill), expected);
}

#[test]
fn a_computed_bill_has_a_line_for_each_bucket_and_the_markup() {
    let (priced, bill) = bill(
        r#"{"prompt_tokens":100,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":60}}"#,
        Some(PRICES),
        Markup::DEFAULT,
    );
    expect(
        &bill,
        &[
            ("uncached_prompt", "0.00004"),
            ("cache_read", "0.000006"),
            ("completion", "0.00002"),
            ("request", "0.001"),
            ("markup", "0.0001066"),
        ],
    );
    assert_eq!(priced.charge.charge.unwrap().to_string(), "0.0011726");
    assert_eq!(priced.difference(), None);
    let json = serde_json::to_value(bill).unwrap();
    assert_eq!(
        json[1],
        serde_json::json!({"item":"cache_read","quantity":60,"unit_price_usd":"0.0000001","amount_usd":"0.000006","status":"computed"})
    );
    assert_eq!(
        json[4],
        serde_json::json!({"item":"markup","quantity":null,"unit_price_usd":null,"amount_usd":"0.0001066","status":"computed"})
    );
    assert!(
        bill.lines()
            .all(|line| line.item.to_string() == line.item.as_str())
    );
}

#[test]
fn what_the_provider_states_beyond_the_lines_is_a_line() {
    let counts = r#""prompt_tokens":100,"completion_tokens":10"#;
    let (above, above_bill) = bill(
        &format!(r#"{{{counts},"cost":0.0085}}"#),
        Some(PRICES),
        Markup::NONE,
    );
    assert_eq!(above.charge.status, CostStatus::Reported);
    assert_eq!(above.difference(), Some(usd("0.00738")));
    expect(
        &above_bill,
        &[
            ("uncached_prompt", "0.0001"),
            ("completion", "0.00002"),
            ("request", "0.001"),
            ("difference", "0.00738"),
        ],
    );
    assert!(above_bill.lines().all(|line| line.status == CostStatus::Reported));
    let (below, below_bill) = bill(
        &format!(r#"{{{counts},"cost":0.001}}"#),
        Some(PRICES),
        Markup::NONE,
    );
    assert_eq!(below.difference(), Some(usd("-0.00012")));
    assert_eq!(
        lines(&below_bill).last(),
        Some(&("difference", "-0.00012".to_owned()))
    );
    let (same, same_bill) = bill(
        &format!(r#"{{{counts},"cost":0.00112}}"#),
        Some(PRICES),
        Markup::NONE,
    );
    assert_eq!(same.difference(), Some(Decimal::ZERO));
    assert_eq!(same_bill.lines().len(), 3);
    // Nothing to itemise it by.
    let (_, whole) = bill(&format!(r#"{{{counts},"cost":0.5}}"#), None, Markup::DEFAULT);
    expect(&whole, &[("not_itemised", "0.5"), ("markup", "0.05")]);
}

#[test]
fn under_a_key_of_our_own_the_fee_is_a_line_and_no_difference() {
    let json = r#"{"prompt_tokens":100,"completion_tokens":10,"cost":0.000056,"is_byok":true,"cost_details":{"upstream_inference_cost":0.00112}}"#;
    let (priced, own_key) = bill(json, Some(PRICES), Markup::DEFAULT);
    assert_eq!(priced.difference(), Some(Decimal::ZERO));
    expect(
        &own_key,
        &[
            ("uncached_prompt", "0.0001"),
            ("completion", "0.00002"),
            ("request", "0.001"),
            ("provider_fee", "0.000056"),
            ("markup", "0.0001176"),
        ],
    );
    let (_, whole) = bill(json, None, Markup::NONE);
    expect(
        &whole,
        &[("not_itemised", "0.00112"), ("provider_fee", "0.000056")],
    );
}

#[test]
fn what_is_cut_from_a_line_is_given_to_the_next() {
    // 0.45 pico-dollars three times: 0.45, 0.9 and 1.35 are 0, 1 and 1.
    let (priced, thirds) = bill(
        r#"{"prompt_tokens":1,"completion_tokens":1}"#,
        Some(r#"{"prompt":"0.00000000000045","completion":"0.00000000000045","request":"0.00000000000045"}"#),
        Markup::NONE,
    );
    expect(
        &thirds,
        &[
            ("uncached_prompt", "0"),
            ("completion", "0.000000000001"),
            ("request", "0"),
        ],
    );
    assert_eq!(priced.charge.cost, Some(Pico::new(1)));
}

#[test]
fn free_calls_and_hits_have_bills_too() {
    let fee = MarkupRule::new(Markup::NONE)
        .with_fee_on_free_too("0.0001".parse().unwrap())
        .unwrap();
    let free = r#"{"prompt":"0","completion":"0"}"#;
    let counts = r#"{"prompt_tokens":7,"completion_tokens":7}"#;
    let (_, plain) = bill(counts, Some(free), Markup::DEFAULT);
    expect(
        &plain,
        &[("uncached_prompt", "0"), ("completion", "0"), ("markup", "0")],
    );
    let (_, with_fee) = bill(counts, Some(free), fee);
    assert_eq!(lines(&with_fee).last(), Some(&("fixed_fee", "0.0001".to_owned())));
    let mut hit = usage(counts);
    hit.answer_from_cache = true;
    let priced = price_call(Some(&hit), Some(&sheet(PRICES)), NOON, Markup::NONE);
    assert_eq!(priced.bill().unwrap().lines().len(), 0);
    assert_eq!(priced.charge.charge, Some(Pico::ZERO));
}

#[test]
fn a_bill_that_would_not_add_up_is_none() {
    let sheet = sheet(PRICES);
    let counts = usage(r#"{"prompt_tokens":7,"completion_tokens":7}"#);
    let mut priced = price_call(Some(&counts), Some(&sheet), NOON, Markup::DEFAULT);
    assert!(priced.bill().is_some());
    priced.charge.cost = Some(Pico::new(1));
    assert_eq!(priced.bill(), None);
    priced.charge.cost = None;
    assert_eq!(priced.bill(), None);
}

#[test]
fn an_answer_that_failed_or_is_empty_costs_no_tokens_where_the_provider_promises_it() {
    let prices = sheet(r#"{"prompt":"0.000001","completion":"0.000002","web_search":"0.01"}"#);
    let price = |json: &str, ending| {
        let usage = usage(json);
        let call = CallToPrice::new(Some(&usage), Some(&prices), NOON);
        let call = match ending {
            Some(ending) => call.with_insurance(ending),
            None => call,
        };
        let charge = call.price().charge;
        (charge.cost.unwrap().to_string(), charge.status)
    };
    let (empty, some) = (
        r#"{"prompt_tokens":1000,"completion_tokens":0}"#,
        r#"{"prompt_tokens":1000,"completion_tokens":5}"#,
    );
    let computed = |cost: &str| (cost.to_owned(), CostStatus::Computed);
    assert_eq!(price(empty, None), computed("0.001"));
    assert_eq!(price(empty, Some(Ending::Complete)), computed("0.001"));
    assert_eq!(price(empty, Some(Ending::Blank)), computed("0"));
    assert_eq!(price(empty, Some(Ending::Error)), computed("0"));
    assert_eq!(price(some, Some(Ending::Blank)), computed("0.00101"));
    assert_eq!(price(some, Some(Ending::Error)), computed("0"));
    // Tools may be billed all the same: that is a guess, and says so.
    let tools =
        r#"{"prompt_tokens":1000,"completion_tokens":0,"server_tool_use_details":{"web_search_requests":1}}"#;
    assert_eq!(
        price(tools, Some(Ending::Error)),
        ("0.01".to_owned(), CostStatus::Estimated)
    );
    // What the provider states counts.
    let stated = r#"{"prompt_tokens":1000,"completion_tokens":0,"cost":0.001}"#;
    assert_eq!(
        price(stated, Some(Ending::Error)),
        ("0.001".to_owned(), CostStatus::Reported)
    );
}

#[test]
fn what_the_provider_confirms_afterwards_is_exact() {
    let sheet = sheet(PRICES);
    let mut record = ReportedCost::default();
    record.cost = Some(usd("0.00224"));
    record.is_byok = Some(false);
    // The answer stated the price of the base tier, or nothing at all, or never came to its end.
    let stated = usage(r#"{"prompt_tokens":100,"completion_tokens":10,"cost":0.00112}"#);
    let silent = usage(r#"{"prompt_tokens":100,"completion_tokens":10}"#);
    for (usage, last) in [
        (Some(&stated), "difference"),
        (Some(&silent), "difference"),
        (None, "not_itemised"),
    ] {
        let call = CallToPrice::new(usage, Some(&sheet), NOON).with_markup(Markup::NONE);
        let priced = call.with_confirmed_cost(record).price();
        assert_eq!(priced.charge.status, CostStatus::Exact);
        assert_eq!(priced.charge.cost.unwrap().to_string(), "0.00224");
        assert_eq!(priced.reported, Some(usd("0.00224")));
        let bill = priced.bill().unwrap();
        assert_eq!(lines(&bill).last().unwrap().0, last);
        // A record that does not say it confirms nothing.
        let nothing = call.with_confirmed_cost(ReportedCost::default()).price();
        assert_eq!(nothing, call.price());
    }
    // Under a key of our own both parts are confirmed, and a hit that was billed after all is no hit.
    record.is_byok = Some(true);
    record.upstream_cost = Some(usd("0.1"));
    let mut hit = silent.clone();
    hit.answer_from_cache = true;
    let call = CallToPrice::new(Some(&hit), Some(&sheet), NOON).with_markup(Markup::NONE);
    assert_eq!(call.price().charge.cost, Some(Pico::ZERO));
    let priced = call.with_confirmed_cost(record).price();
    assert_eq!(priced.charge.cost.unwrap().to_string(), "0.10224");
    assert_eq!(priced.reported_for_usage, Some(usd("0.1")));
}

#[test]
fn what_is_odd_is_remarked() {
    let remarks = |json: &str| {
        let priced = price_call(Some(&usage(json)), Some(&sheet(PRICES)), NOON, Markup::NONE);
        priced.remarks.iter().collect::<Vec<_>>()
    };
    assert_eq!(
        remarks(r#"{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10}"#),
        []
    );
    assert_eq!(
        remarks(r#"{"prompt_tokens":5,"completion_tokens":5,"total_tokens":11}"#),
        [Remark::TotalDiffers]
    );
    assert_eq!(
        remarks(
            r#"{"prompt_tokens":5,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":6}}"#
        ),
        [Remark::PartsCut]
    );
    assert_eq!(
        remarks(
            r#"{"prompt_tokens":5,"completion_tokens":5,"prompt_tokens_details":{"audio_tokens":3,"image_tokens":3}}"#
        ),
        [Remark::PartsCut]
    );
    assert_eq!(
        remarks(
            r#"{"prompt_tokens":5,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":4}}"#
        ),
        [Remark::CacheCountsOverlap]
    );
    for remark in Remark::ALL {
        assert!(!remark.to_string().is_empty());
    }
    let over = usage(
        r#"{"prompt_tokens":18446744073709551615,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":1}}"#,
    );
    let error = Quantities::from_usage_as(&over, UsageDialect::ANTHROPIC).unwrap_err();
    assert_eq!(error, QuantityError::TooMany("prompt"));
    let over = usage(
        r#"{"prompt_tokens":1,"completion_tokens":18446744073709551615,"completion_tokens_details":{"reasoning_tokens":1}}"#,
    );
    let error = Quantities::from_usage_as(&over, UsageDialect::GOOGLE).unwrap_err();
    assert!(error.to_string().contains("completion"), "{error}");
    // Where only the total is known, the rest of it is the completion, reasoning and all.
    let total = usage(
        r#"{"prompt_tokens":10,"total_tokens":110,"completion_tokens_details":{"reasoning_tokens":90}}"#,
    );
    let quantities = Quantities::from_usage_as(&total, UsageDialect::GOOGLE).unwrap();
    assert_eq!(
        [Bucket::Completion, Bucket::Reasoning].map(|bucket| quantities.get(bucket)),
        [10, 90]
    );
}

#[test]
fn a_statement_is_rounded_once_and_shows_it() {
    let line: Pico = "0.0045".parse().unwrap();
    let cents = |amount: Pico, mode| amount.rounded(2, mode).unwrap();
    // Each line for itself is nothing; together they are a cent.
    assert_eq!(cents(line, Rounding::HalfEven).shown, Pico::ZERO);
    let sum = Pico::new(line.get() * 3);
    let statement = cents(sum, Rounding::HalfEven);
    assert_eq!(statement.shown.to_string(), "0.01");
    assert_eq!(statement.rounding.to_string(), "-0.0035");
    assert_eq!(sum.checked_add(statement.rounding), Some(statement.shown));
    for (amount, even, away) in [
        ("0.125", "0.12", "0.13"),
        ("0.135", "0.14", "0.14"),
        ("-0.125", "-0.12", "-0.13"),
        ("-0.1250000001", "-0.13", "-0.13"),
        ("0.1249999999", "0.12", "0.12"),
        ("0", "0", "0"),
    ] {
        let amount: Pico = amount.parse().unwrap();
        assert_eq!(cents(amount, Rounding::HalfEven).shown.to_string(), even);
        assert_eq!(cents(amount, Rounding::HalfAwayFromZero).shown.to_string(), away);
    }
    let most = Pico::new(i64::MAX);
    assert_eq!(most.rounded(12, Rounding::default()).unwrap().shown, most);
    assert_eq!(most.rounded(2, Rounding::HalfEven), Err(MoneyError::OutOfRange));
    assert_eq!(most.rounded(13, Rounding::HalfEven), Err(MoneyError::TooFine));
}

#[test]
fn what_reading_from_caches_saved_is_known_to_the_last_digit() {
    let sheet = PriceSheet::from_pricing_json(
        r#"{"prompt":"0.0000005","completion":"0.000003","input_cache_read":"0.00000005"}"#,
    )
    .unwrap();
    let with = |cost: &str| {
        let text = format!(
            r#"{{"prompt_tokens":20212,"completion_tokens":931,"prompt_tokens_details":{{"cached_tokens":16298}}{cost}}}"#
        );
        let usage = Usage::from_json(&text).unwrap();
        let call = CallToPrice::new(Some(&usage), Some(&sheet), UtcTime::from_unix(0));
        let priced = call.price();
        (
            priced.charge.cost.unwrap().to_string(),
            call.uncached_cost(&priced).unwrap().to_string(),
        )
    };
    // 16,298 tokens at a tenth of the price: 0.0073341 saved.
    assert_eq!(with(""), ("0.0055649".into(), "0.012899".into()));
    // What the provider states beyond the lists stays on both sides.
    assert_eq!(with(r#","cost":0.0060000"#), ("0.006".into(), "0.0133341".into()));
    // Nothing was read, so nothing was saved; without a known cost nothing can be said.
    let usage = Usage::from_json(r#"{"prompt_tokens":10,"completion_tokens":1}"#).unwrap();
    let call = CallToPrice::new(Some(&usage), Some(&sheet), UtcTime::from_unix(0));
    let priced = call.price();
    assert_eq!(call.uncached_cost(&priced), priced.charge.cost);
    let unknown = CallToPrice::new(Some(&usage), None, UtcTime::from_unix(0));
    assert_eq!(unknown.uncached_cost(&unknown.price()), None);
}
