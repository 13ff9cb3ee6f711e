//! Prices and usage records at random, for the property tests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]

use integration_core::Usage;
use model_catalogue::{PriceOverride, PriceStrings};
use proptest::prelude::*;

pub const KEYS: [&str; 8] = [
    "prompt",
    "completion",
    "request",
    "input_cache_read",
    "input_cache_write",
    "input_cache_write_1h",
    "audio",
    "internal_reasoning",
];
pub const DAYS: [&str; 7] = ["monday", "Tue", "WEDNESDAY", "thu", "Friday", "sat", "sunday"];

/// A price of at most 0.000999999999: unlike the others of its list in nearly every case.
pub fn price() -> impl Strategy<Value = String> {
    (0_u64..1_000_000_000).prop_map(|n| format!("0.000{n:09}"))
}

pub fn rates(least: usize) -> impl Strategy<Value = Vec<(String, String)>> {
    prop::sample::subsequence(KEYS.to_vec(), least..=KEYS.len()).prop_flat_map(|keys| {
        let len = keys.len();
        prop::collection::vec(price(), len)
            .prop_map(move |prices| keys.iter().map(|k| (*k).to_owned()).zip(prices).collect())
    })
}

pub fn hhmm() -> impl Strategy<Value = u16> {
    (0_u16..24, 0_u16..60).prop_map(|(hour, minute)| hour * 100 + minute)
}

pub fn price_override() -> impl Strategy<Value = PriceOverride> {
    (
        rates(0),
        prop::option::of(0_u64..40),
        prop::option::of(hhmm()),
        prop::option::of(hhmm()),
        prop::sample::subsequence(DAYS.to_vec(), 0..=7),
        prop::option::weighted(0.1, Just("region=\"eu\"".to_owned())),
    )
        .prop_map(|(rates, min, start, end, days, unknown)| {
            let mut entry = PriceOverride::new(rates);
            entry.min_prompt_tokens = min;
            (entry.utc_start, entry.utc_end) = (start, end);
            entry.utc_days = days.into_iter().map(str::to_owned).collect();
            entry.unknown_conditions = unknown.into_iter().collect();
            entry
        })
}

pub fn strings() -> impl Strategy<Value = PriceStrings> {
    (rates(2), prop::collection::vec(price_override(), 0..5)).prop_map(|(mut rates, overrides)| {
        for key in ["prompt", "completion"] {
            if !rates.iter().any(|(name, _)| name == key) {
                rates.push((key.to_owned(), "0.0005".to_owned()));
            }
        }
        overrides
            .into_iter()
            .fold(PriceStrings::new(rates), PriceStrings::with_override)
    })
}

pub fn usage() -> impl Strategy<Value = Usage> {
    (
        0_u64..60,
        0_u64..60,
        0_u64..40,
        0_u64..40,
        0_u64..20,
        0_u64..40,
        0_u64..40,
        0_u64..40,
    )
        .prop_map(
            |(prompt, completion, read, write, hour, audio, image, reasoning)| {
                let mut usage = Usage::of_tokens(prompt, completion);
                usage.cached_tokens = Some(read.min(prompt));
                usage.cache_write_tokens = Some(write.min(prompt));
                usage.cache_write_1h_tokens = Some(hour.min(write).min(prompt));
                usage.prompt_audio_tokens = Some(audio);
                usage.prompt_image_tokens = Some(image);
                usage.reasoning_tokens = Some(reasoning);
                usage
            },
        )
}
