//! The fast code against slow code that says the rule once more.
#![allow(clippy::unwrap_used, missing_docs)]

use costing::{Bucket, Charge, CostStatus, Markup, Pico, PriceKey, PriceSheet, Quantities, UtcTime, Weekday};
use integration_core::Usage;
use model_catalogue::{PriceOverride, PriceStrings};
use proptest::prelude::*;
use rust_decimal::Decimal;

mod common;

use common::{DAYS, KEYS, strings, usage};

/// Whether an override holds: walks the window minute by minute.
fn holds(entry: &PriceOverride, prompt: u64, at: UtcTime) -> bool {
    if !entry.unknown_conditions.is_empty() || entry.min_prompt_tokens.is_some_and(|min| prompt <= min) {
        return false;
    }
    let second = at.unix().rem_euclid(86_400);
    let now = (second / 3600 * 100 + second % 3600 / 60) as u16;
    let in_window = match (entry.utc_start, entry.utc_end) {
        (None, None) => true,
        (start, end) => {
            let (start, end) = (start.unwrap_or(0), end.unwrap_or(2400));
            let minutes = (0..24).flat_map(|h| (0..60).map(move |m| h * 100 + m));
            // The end of the day is a minute that never is.
            let minutes: Vec<u16> = minutes.chain([2400]).collect();
            let from = minutes.iter().position(|m| *m == start).unwrap();
            // An empty window is one nobody understands.
            start != end
                && minutes
                    .iter()
                    .cycle()
                    .skip(from)
                    .take_while(|m| **m != end)
                    .take(1441)
                    .any(|m| *m == now)
        }
    };
    let days_since = at.unix().div_euclid(86_400);
    let today = DAYS[((days_since + 3).rem_euclid(7)) as usize];
    in_window && (entry.utc_days.is_empty() || entry.utc_days.iter().any(|day| day == today))
}

/// The price that holds, found from the last override backwards.
fn price_of(strings: &PriceStrings, key: &str, prompt: u64, at: UtcTime) -> Option<Decimal> {
    let last = strings
        .overrides
        .iter()
        .rev()
        .filter(|e| holds(e, prompt, at))
        .find_map(|e| e.rates.get(key));
    last.or_else(|| strings.rates.get(key))
        .map(|text| Decimal::from_str_exact(text).unwrap())
}

/// The formula as a person would write it.
fn naive_cost(strings: &PriceStrings, usage: &Usage, at: UtcTime) -> Decimal {
    let p = usage.prompt_tokens.unwrap();
    let c = usage.completion_tokens.unwrap();
    let r = usage.cached_tokens.unwrap();
    let w = usage.cache_write_tokens.unwrap();
    let hour = usage.cache_write_1h_tokens.unwrap();
    let price = |key: &str| price_of(strings, key, p, at);
    let prompt = price("prompt").unwrap();
    let completion = price("completion").unwrap();
    let plain = if r + w > p { p - r } else { p - r - w };
    let audio = usage.prompt_audio_tokens.unwrap().min(plain);
    let reasoning = usage.reasoning_tokens.unwrap().min(c);
    let write = price("input_cache_write").unwrap_or(prompt);
    Decimal::from(plain - audio) * prompt
        + Decimal::from(audio) * price("audio").unwrap_or(prompt)
        + Decimal::from(r) * price("input_cache_read").unwrap_or(prompt)
        + Decimal::from(w - hour) * write
        + Decimal::from(hour) * price("input_cache_write_1h").unwrap_or(write)
        + Decimal::from(c - reasoning) * completion
        + Decimal::from(reasoning) * price("internal_reasoning").unwrap_or(completion)
        + price("request").unwrap_or_default()
}

/// A list where no price repeats another by chance: then an override of one price changes no other.
fn nothing_repeats(strings: &PriceStrings) -> bool {
    let pair = |a: &str, b: &str| {
        strings
            .rates
            .get(a)
            .is_some_and(|x| strings.rates.get(b) == Some(x))
    };
    !pair("internal_reasoning", "completion") && !pair("audio", "prompt")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cost_is_the_formula(strings in strings(), usage in usage(), at in -1_000_000_i64..2_000_000_000) {
        prop_assume!(nothing_repeats(&strings));
        let at = UtcTime::from_unix(at);
        let sheet = PriceSheet::parse(&strings).unwrap();
        let cost = sheet.cost(&Quantities::from_usage(&usage).unwrap(), at).unwrap();
        prop_assert_eq!(cost.total(), naive_cost(&strings, &usage, at));
        prop_assert_eq!(cost.total(), cost.lines().map(|line| line.amount).sum::<Decimal>());
        for line in cost.lines() {
            prop_assert_eq!(line.amount, line.unit_price * Decimal::from(line.quantity));
            prop_assert!(line.quantity > 0);
        }
    }

    #[test]
    fn every_price_is_the_last_that_holds(strings in strings(), prompt in 0_u64..60, at in any::<u32>()) {
        prop_assume!(nothing_repeats(&strings));
        let at = UtcTime::from_unix(i64::from(at));
        let sheet = PriceSheet::parse(&strings).unwrap();
        for key in KEYS {
            let ours = sheet.rate(PriceKey::from_name(key).unwrap(), prompt, at);
            prop_assert_eq!(ours, price_of(&strings, key, prompt, at), "{}", key);
        }
    }

    #[test]
    fn buckets_share_no_token_and_lose_none(usage in usage()) {
        let q = Quantities::from_usage(&usage).unwrap();
        let sum: u64 = Bucket::ALL.into_iter().filter(|b| b.is_tokens()).map(|b| q.get(b)).sum();
        let all = usage.prompt_tokens.unwrap() + usage.completion_tokens.unwrap();
        let twice = if q.cache_counts_overlap() { usage.cache_write_tokens.unwrap() } else { 0 };
        prop_assert_eq!(sum, all + twice);
        let sheet = PriceSheet::parse(&PriceStrings::new([("prompt", "0.001"), ("completion", "0.001")])).unwrap();
        let cost = sheet.cost(&q, UtcTime::from_unix(0)).unwrap();
        prop_assert_eq!(cost.lines().map(|line| line.quantity).sum::<u64>(), sum);
    }

    #[test]
    fn cost_and_markup_are_the_charge(cost in -9_000_000_000_000_000_i64..8_000_000_000_000_000_000, bps in 0_u32..1_500) {
        let markup = Markup::from_bps(bps);
        let charge = Charge::known(Pico::new(cost), markup, CostStatus::Computed).unwrap();
        let (c, m, sum) = (charge.cost.unwrap(), charge.markup.unwrap(), charge.charge.unwrap());
        prop_assert_eq!(c.get() + m.get(), sum.get());
        // Twice the distance from the exact share is at most one unit, and a tie went to the even side.
        let off = (i128::from(m.get()) * 10_000 - i128::from(cost) * i128::from(bps)).abs() * 2;
        prop_assert!(off < 10_000 || (off == 10_000 && m.get() % 2 == 0));
        // The same by decimals.
        let exact = Decimal::from(cost) * Decimal::new(i64::from(bps), 4);
        prop_assert_eq!(Decimal::from(m.get()), exact.round_dp_with_strategy(0, rust_decimal::RoundingStrategy::MidpointNearestEven));
    }

    #[test]
    fn pico_dollars_come_back_as_they_went(pico in any::<i64>()) {
        let pico = Pico::new(pico);
        prop_assert_eq!(Pico::from_decimal(pico.to_decimal()), Ok(pico));
        prop_assert_eq!(Pico::from_decimal_exact(pico.to_decimal()), Ok(pico));
        prop_assert_eq!(pico.to_string().parse(), Ok(pico));
        let json = serde_json::to_string(&pico).unwrap();
        prop_assert_eq!(serde_json::from_str::<Pico>(&json).unwrap(), pico);
    }

    #[test]
    fn rounding_is_to_the_nearest_and_a_half_to_even(mantissa in -1_000_000_000_000_000_000_i64..1_000_000_000_000_000_000, scale in 0_u32..=28) {
        let exact = Decimal::from_i128_with_scale(i128::from(mantissa), scale);
        if let Ok(pico) = Pico::from_decimal(exact) {
            if scale <= 12 {
                prop_assert_eq!(i128::from(pico.get()), i128::from(mantissa) * 10_i128.pow(12 - scale));
            } else {
                let unit = 10_i128.pow(scale - 12);
                let off = (i128::from(pico.get()) * unit - i128::from(mantissa)).abs() * 2;
                prop_assert!(off < unit || (off == unit && pico.get() % 2 == 0));
            }
        } else {
            prop_assert!(exact.abs() > Decimal::from(9_223_372));
        }
    }

    #[test]
    fn the_day_and_minute_are_right(seconds in -100_000_000_000_i64..100_000_000_000) {
        let at = UtcTime::from_unix(seconds);
        let order = [Weekday::Thursday, Weekday::Friday, Weekday::Saturday, Weekday::Sunday, Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday];
        prop_assert_eq!(at.weekday(), order[seconds.div_euclid(86_400).rem_euclid(7) as usize]);
        prop_assert!(at.hhmm() % 100 < 60 && at.hhmm() < 2400);
        prop_assert_eq!(i64::from(at.hhmm() / 100) * 60 + i64::from(at.hhmm() % 100), seconds.rem_euclid(86_400) / 60);
    }
}
