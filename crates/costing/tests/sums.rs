//! Nothing is lost between a token and a total: properties of lines, sums, splits and markups.
#![allow(clippy::unwrap_used, missing_docs)]

use costing::{
    BillItem, Bucket, CallToPrice, Charge, CostStatus, Markup, MarkupRule, Pico, PriceSheet, PricedCall,
    Quantities, UtcTime, price_call,
};
use integration_core::{ReportedCost, Usage};
use model_catalogue::PriceStrings;
use proptest::prelude::*;
use rust_decimal::Decimal;

mod common;

use common::{KEYS, strings, usage};

const PICO: Decimal = Decimal::from_parts(1, 0, 0, false, 12);

/// Prices with more digits than a pico-dollar has.
fn fine_strings() -> impl Strategy<Value = PriceStrings> {
    prop::collection::vec(0_u64..100_000_000_000_000, KEYS.len()).prop_map(|prices| {
        let rates = KEYS
            .iter()
            .zip(prices)
            .map(|(key, price)| (*key, format!("0.0000{price:014}")));
        PriceStrings::new(rates)
    })
}

fn rule() -> impl Strategy<Value = MarkupRule> {
    (
        0_u32..30_000,
        prop::option::of((0_i64..1_000_000_000_000, any::<bool>())),
    )
        .prop_map(|(bps, fee)| {
            let rule = MarkupRule::new(Markup::from_bps(bps));
            match fee {
                None => rule,
                Some((fee, false)) => rule.with_fee(Pico::new(fee)).unwrap(),
                Some((fee, true)) => rule.with_fee_on_free_too(Pico::new(fee)).unwrap(),
            }
        })
}

/// What a provider may state: nothing, a cost, or a cost and the upstream's part with or without a word on whose key it was.
fn reported() -> impl Strategy<Value = ReportedCost> {
    let amount = || (0_i64..1_000_000_000_000_000).prop_map(|digits| Decimal::new(digits, 15));
    (
        prop::option::of(amount()),
        prop::option::of(any::<bool>()),
        prop::option::of(amount()),
    )
        .prop_map(|(cost, byok, upstream)| {
            let mut reported = ReportedCost::default();
            (reported.cost, reported.is_byok, reported.upstream_cost) = (cost, byok, upstream);
            reported
        })
}

fn sum(amounts: impl Iterator<Item = Pico>) -> Pico {
    amounts.fold(Pico::ZERO, |sum, amount| sum.checked_add(amount).unwrap())
}

fn check_bill(priced: &PricedCall) -> Result<(), TestCaseError> {
    let Some(bill) = priced.bill() else {
        prop_assert_eq!(priced.charge.cost, None);
        return Ok(());
    };
    let of_cost = sum(bill
        .lines()
        .filter(|line| line.item.is_cost())
        .map(|line| line.amount));
    prop_assert_eq!(Some(of_cost), priced.charge.cost);
    let of_markup = sum(bill
        .lines()
        .filter(|line| !line.item.is_cost())
        .map(|line| line.amount));
    prop_assert_eq!(Some(of_markup), priced.charge.markup);
    prop_assert_eq!(
        Some(sum(bill.lines().map(|line| line.amount))),
        priced.charge.charge
    );
    for line in bill.lines() {
        prop_assert_eq!(line.status, priced.charge.status);
        if let (Some(quantity), Some(price)) = (line.quantity, line.unit_price) {
            let exact = price * Decimal::from(quantity);
            let off = (line.amount.to_decimal() - exact).abs();
            prop_assert!(off < PICO, "{} off {}", line.item, off);
        }
    }
    // Every bucket of the computed cost has its line.
    let used = bill
        .lines()
        .filter(|line| matches!(line.item, BillItem::Used(_)))
        .count();
    prop_assert_eq!(used, priced.computed.map_or(0, |cost| cost.lines().len()));
    Ok(())
}

/// A usage record by its parts, none of which is cut.
#[derive(Debug, Clone, Copy)]
struct Parts {
    plain: u64,
    audio: u64,
    read: u64,
    written: u64,
    written_1h: u64,
    text: u64,
    reasoning: u64,
}

impl Parts {
    fn usage(parts: &[Self]) -> Usage {
        let sum = |of: fn(&Self) -> u64| parts.iter().map(of).sum::<u64>();
        let (plain, audio, read) = (sum(|p| p.plain), sum(|p| p.audio), sum(|p| p.read));
        let (written, written_1h) = (sum(|p| p.written), sum(|p| p.written_1h));
        let (text, reasoning) = (sum(|p| p.text), sum(|p| p.reasoning));
        let mut usage = Usage::of_tokens(plain + audio + read + written + written_1h, text + reasoning);
        usage.cached_tokens = Some(read);
        usage.cache_write_tokens = Some(written + written_1h);
        usage.cache_write_1h_tokens = Some(written_1h);
        usage.prompt_audio_tokens = Some(audio);
        usage.reasoning_tokens = Some(reasoning);
        usage
    }
}

fn parts() -> impl Strategy<Value = Parts> {
    let count = || 0_u64..100_000;
    (count(), count(), count(), count(), count(), count(), count()).prop_map(
        |(plain, audio, read, written, written_1h, text, reasoning)| Parts {
            plain,
            audio,
            read,
            written,
            written_1h,
            text,
            reasoning,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_lines_are_the_cost_and_the_charge(
        strings in prop_oneof![strings(), fine_strings()], usage in usage(), reported in reported(), rule in rule(),
        with_sheet in prop::bool::weighted(0.8), at in any::<u32>(),
    ) {
        let sheet = PriceSheet::parse(&strings).unwrap();
        let mut usage = usage;
        usage.reported = reported;
        let sheet = with_sheet.then_some(&sheet);
        let priced = price_call(Some(&usage), sheet, UtcTime::from_unix(i64::from(at)), rule);
        check_bill(&priced)?;
        // Both figures are kept, and their difference is what is between them.
        if let (Some(stated), Some(computed)) = (priced.reported_for_usage, priced.computed) {
            prop_assert_eq!(priced.difference(), Some(stated - computed.total()));
        } else {
            prop_assert_eq!(priced.difference(), None);
        }
    }

    /// The stated residue: n parts of a record, priced one by one at the prices of the whole, differ from it by at most
    /// (n + 1) / 2 pico-dollars, as each of the n + 1 costs is rounded once; unrounded they do not differ at all. A fee per
    /// request and a tier of long prompts are for whole requests and are no part of this.
    #[test]
    fn a_split_record_costs_the_same_but_for_the_rounding(
        strings in fine_strings(), parts in prop::collection::vec(parts(), 1..8), at in any::<u32>(),
    ) {
        let mut strings = strings;
        strings.rates.remove("request");
        let sheet = PriceSheet::parse(&strings).unwrap();
        let at = UtcTime::from_unix(i64::from(at));
        let price = |usage: &Usage| price_call(Some(usage), Some(&sheet), at, Markup::NONE);
        let whole = price(&Parts::usage(&parts));
        let pieces: Vec<PricedCall> = parts.iter().map(|part| price(&Parts::usage(&[*part]))).collect();
        let exact: Decimal = pieces.iter().map(|piece| piece.computed.unwrap().total()).sum();
        prop_assert_eq!(whole.computed.unwrap().total(), exact);
        let rounded = sum(pieces.iter().map(|piece| piece.charge.cost.unwrap()));
        let off = (rounded.get() - whole.charge.cost.unwrap().get()).unsigned_abs() * 2;
        prop_assert!(off <= parts.len() as u64 + 1, "{} halves of a pico-dollar", off);
    }

    #[test]
    fn a_higher_cost_or_share_is_never_a_lower_markup(
        a in 0_i64..1_000_000_000_000_000, b in 0_i64..1_000_000_000_000_000, low in 0_u32..50_000, high in 0_u32..50_000,
        rule in rule(),
    ) {
        let (a, b) = (Pico::new(a.min(b)), Pico::new(a.max(b)));
        let (low, high) = (Markup::from_bps(low.min(high)), Markup::from_bps(low.max(high)));
        prop_assert!(low.on(a).unwrap() <= low.on(b).unwrap());
        prop_assert!(low.on(b).unwrap() <= high.on(b).unwrap());
        prop_assert!(rule.on(a).unwrap() <= rule.on(b).unwrap());
        let charge = |cost| Charge::known(cost, rule, CostStatus::Computed).unwrap().charge.unwrap();
        prop_assert!(charge(a) <= charge(b));
    }

    #[test]
    fn cost_and_markup_are_the_charge_under_every_rule(cost in 0_i64..1_000_000_000_000_000_000, rule in rule()) {
        let charge = Charge::known(Pico::new(cost), rule, CostStatus::Reported).unwrap();
        prop_assert_eq!(
            charge.cost.unwrap().get() + charge.markup.unwrap().get(), charge.charge.unwrap().get()
        );
        prop_assert_eq!(charge.markup.unwrap().get(), rule.share().on(Pico::new(cost)).unwrap().get() + rule.fee_on(Pico::new(cost)).get());
        if cost == 0 && !rule.fee_on_free() {
            prop_assert_eq!(charge.charge, Some(Pico::ZERO));
        }
    }

    /// More of anything never costs less.
    #[test]
    fn more_tokens_never_cost_less(strings in fine_strings(), less in parts(), more in parts()) {
        let sheet = PriceSheet::parse(&strings).unwrap();
        let total = |usage: &Usage| {
            let quantities = Quantities::from_usage(usage).unwrap();
            sheet.cost(&quantities, UtcTime::from_unix(0)).unwrap().total()
        };
        prop_assert!(total(&Parts::usage(&[less])) <= total(&Parts::usage(&[less, more])));
    }

    /// Every token that the usage counts is in one bucket, whatever the dialect.
    #[test]
    fn each_dialect_counts_every_token_once(part in parts()) {
        use costing::{Counted, UsageDialect};
        let openai = Parts::usage(&[part]);
        let whole = Quantities::from_usage(&openai).unwrap();
        prop_assert_eq!(Some(whole.tokens()), openai.total_tokens);
        for reasoning in [Counted::Within, Counted::Beside] {
            for cache in [Counted::Within, Counted::Beside] {
                let dialect = UsageDialect::default().with_reasoning(reasoning).with_cache(cache);
                let mut told = openai.clone();
                if reasoning == Counted::Beside {
                    told.completion_tokens = Some(part.text);
                }
                if cache == Counted::Beside {
                    told.prompt_tokens = Some(part.plain + part.audio);
                }
                prop_assert_eq!(Quantities::from_usage_as(&told, dialect).unwrap(), whole);
            }
        }
    }

    /// What is canonical is read back as the same prices.
    #[test]
    fn canonical_prices_are_read_back(strings in strings(), prompt in 0_u64..60, at in any::<u32>()) {
        let sheet = PriceSheet::parse(&strings).unwrap();
        let again = PriceSheet::from_pricing_json(&sheet.to_pricing_json()).unwrap();
        prop_assert_eq!(again.to_pricing_json(), sheet.to_pricing_json());
        let at = UtcTime::from_unix(i64::from(at));
        for key in costing::PriceKey::ALL {
            prop_assert_eq!(again.rate(key, prompt, at), sheet.rate(key, prompt, at));
        }
    }

    /// An insured answer never costs more than one that is billed, and tokens are no part of it.
    #[test]
    fn an_insured_answer_has_no_token_on_its_bill(strings in strings(), usage in usage(), rule in rule()) {
        let sheet = PriceSheet::parse(&strings).unwrap();
        let call = CallToPrice::new(Some(&usage), Some(&sheet), UtcTime::from_unix(0)).with_markup(rule);
        let insured = call.with_insurance(costing::Ending::Error).price();
        check_bill(&insured)?;
        prop_assert!(insured.charge.cost <= call.price().charge.cost);
        let tokens = insured.computed.unwrap();
        prop_assert!(tokens.lines().all(|line| line.bucket == Bucket::Request));
    }
}
