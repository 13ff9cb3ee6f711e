//! Usage is read without loss, and "not reported" is not zero.
#![allow(clippy::unwrap_used)]

use integration_core::{ReportedCost, Usage, UsageError};
use proptest::option;
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::json;

fn read(value: serde_json::Value) -> Usage {
    Usage::from_json(&value.to_string()).unwrap()
}

fn decimal(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

/// The cost read from the literal of a JSON number, or the name of the field refused.
fn cost(literal: &str) -> Result<Option<Decimal>, String> {
    match Usage::from_json(&format!(r#"{{"cost":{literal}}}"#)) {
        Ok(usage) => Ok(usage.reported.cost),
        Err(UsageError::Amount { field }) => Err(field.to_owned()),
        Err(other) => Err(other.to_string()),
    }
}

#[test]
fn chat_completions_in_full() {
    let usage = read(json!({
        "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
        "prompt_tokens_details": { "cached_tokens": 40, "cache_write_tokens": 10, "cache_write_1h_tokens": 5, "audio_tokens": 1,
                                   "image_tokens": 2, "video_tokens": 3 },
        "completion_tokens_details": { "reasoning_tokens": 7, "audio_tokens": 8, "image_tokens": 9, "accepted_prediction_tokens": 4 },
        "cost": 0.25, "is_byok": false,
        "cost_details": { "upstream_inference_cost": 0.2, "upstream_inference_prompt_cost": 0.15,
                          "upstream_inference_completions_cost": 0.05, "server_tool_cost": 0.05, "cache_discount": 0.5 },
        "server_tool_use_details": { "tool_calls_requested": 3, "tool_calls_executed": 2, "web_search_requests": 1 },
        "speed": "fast",
    }));
    let mut expected = Usage::of_tokens(100, 20);
    expected.cached_tokens = Some(40);
    expected.cache_write_tokens = Some(10);
    expected.cache_write_1h_tokens = Some(5);
    expected.prompt_audio_tokens = Some(1);
    expected.prompt_image_tokens = Some(2);
    expected.prompt_video_tokens = Some(3);
    expected.reasoning_tokens = Some(7);
    expected.completion_audio_tokens = Some(8);
    expected.completion_image_tokens = Some(9);
    expected.reported.cost = Some(decimal("0.25"));
    expected.reported.is_byok = Some(false);
    expected.reported.upstream_cost = Some(decimal("0.2"));
    expected.reported.upstream_prompt_cost = Some(decimal("0.15"));
    expected.reported.upstream_completion_cost = Some(decimal("0.05"));
    expected.reported.server_tool_cost = Some(decimal("0.05"));
    expected.server_tools.tool_calls_requested = Some(3);
    expected.server_tools.tool_calls_executed = Some(2);
    expected.server_tools.web_search_requests = Some(1);
    expected.extra.insert("speed".into(), json!("fast"));
    expected.extra.insert(
        "completion_tokens_details".into(),
        json!({ "accepted_prediction_tokens": 4 }),
    );
    expected
        .extra
        .insert("cost_details".into(), json!({ "cache_discount": 0.5 }));
    assert_eq!(usage, expected);
}

#[test]
fn the_names_of_the_responses_api_mean_the_same() {
    let chat = read(json!({
        "prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": { "cached_tokens": 4 },
        "completion_tokens_details": { "reasoning_tokens": 2 },
        "cost_details": { "upstream_inference_prompt_cost": 1, "upstream_inference_completions_cost": 2 },
        "server_tool_use_details": { "web_search_requests": 1 },
    }));
    let responses = read(json!({
        "input_tokens": 10, "output_tokens": 5, "input_tokens_details": { "cached_tokens": 4 },
        "output_tokens_details": { "reasoning_tokens": 2 },
        "cost_details": { "upstream_inference_input_cost": 1, "upstream_inference_output_cost": 2 },
        "server_tool_use": { "web_search_requests": 1 },
    }));
    assert_eq!(chat, responses);
    let both =
        read(json!({ "prompt_tokens": 1, "input_tokens": 2, "completion_tokens": null, "output_tokens": 3 }));
    assert_eq!((both.prompt_tokens, both.completion_tokens), (Some(1), Some(3)));
    assert!(both.extra.is_empty());
}

#[test]
fn nothing_reported_is_not_zero() {
    assert_eq!(read(json!({})), Usage::default());
    let nulls = json!({ "prompt_tokens": null, "cost": null, "is_byok": null, "prompt_tokens_details": null,
                        "cost_details": { "upstream_inference_cost": null } });
    let usage = read(nulls);
    assert_eq!(
        (usage.prompt_tokens, usage.reported),
        (None, ReportedCost::default())
    );
    assert_ne!(read(json!({ "prompt_tokens": 0 })).prompt_tokens, None);
    assert_ne!(Usage::of_tokens(0, 0), Usage::default());
    assert_eq!(Usage::of_tokens(u64::MAX, 1).total_tokens, None);
}

#[test]
fn what_is_no_object_is_refused() {
    for text in ["null", "[]", "3", "\"{}\"", "", "{"] {
        let error = Usage::from_json(text).unwrap_err();
        assert!(matches!(error, UsageError::NotAnObject(_)), "{text}: {error}");
    }
}

#[test]
fn groups_that_are_no_objects_report_nothing_and_are_kept() {
    let usage = read(json!({ "prompt_tokens": 1, "prompt_tokens_details": [1], "cost_details": "x" }));
    assert_eq!((usage.prompt_tokens, usage.cached_tokens), (Some(1), None));
    assert_eq!(usage.extra["prompt_tokens_details"], json!([1]));
    assert_eq!(usage.extra["cost_details"], json!("x"));
    assert_eq!(
        Usage::from_json(&serde_json::to_string(&usage).unwrap()).unwrap(),
        usage
    );
}

#[test]
fn counts_are_whole_numbers_from_0() {
    for bad in ["-1", "1.5", "\"12\"", "1e3", "true", "[]", "18446744073709551616"] {
        let error = Usage::from_json(&format!(r#"{{"output_tokens":{bad}}}"#)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "usage field `output_tokens` is not a whole number from 0 up",
            "{bad}"
        );
    }
    let most = Usage::from_json(&format!(r#"{{"total_tokens":{}}}"#, u64::MAX)).unwrap();
    assert_eq!(most.total_tokens, Some(u64::MAX));
}

#[test]
fn amounts_are_read_from_the_digits() {
    for (literal, expected) in [
        ("0", "0"),
        ("-0.0", "0"),
        ("0e999", "0"),
        ("1.5E+3", "1500"),
        ("1e-6", "0.000001"),
        ("2.25e-7", "0.000000225"),
        ("1.2345678901234567e-7", "0.00000012345678901234567"),
        ("0.1000000000000000055511151231", "0.1000000000000000055511151231"),
        ("9.999999999999999999999999999", "9.999999999999999999999999999"),
        ("0.50000000000000000000000000000000000000", "0.5"),
        ("1.00", "1"),
        ("100e-29", "0.000000000000000000000000001"),
        ("1e28", "10000000000000000000000000000"),
        ("79228162514264337593543950335", "79228162514264337593543950335"),
        ("0.0000000000000000000000000001e28", "1"),
    ] {
        assert_eq!(cost(literal), Ok(Some(decimal(expected))), "{literal}");
    }
}

#[test]
fn amounts_that_would_lose_digits_or_mean_nothing_are_refused() {
    for literal in [
        "0.123456789012345678901234567891", // 30 digits
        "1e-29",
        "1e29",
        "1e400",
        "1e-400",
        "1e99999999999",
        "79228162514264337593543950336",
        "7.9228162514264337593543950336e28",
        "-0.01",
        "-1e-9",
        "\"0.1\"",
        "\"1e5\"",
        "true",
        "{}",
        "[0.1]",
    ] {
        assert_eq!(cost(literal), Err("cost".to_owned()), "{literal}");
    }
    let error = Usage::from_json(r#"{"cost_details":{"upstream_inference_input_cost":-1}}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "usage field `upstream_inference_input_cost` is not an amount in US dollars"
    );
}

/// cost, is_byok, upstream cost, total
type Vector = (
    Option<&'static str>,
    Option<bool>,
    Option<&'static str>,
    Option<&'static str>,
);

#[test]
fn the_total_counts_the_upstream_only_under_a_key_of_our_own() {
    let vectors: [Vector; 13] = [
        (Some("0.00014"), Some(false), Some("0.00014"), Some("0.00014")),
        (Some("0.00714"), Some(false), Some("0.00014"), Some("0.00714")),
        (Some("0.00014"), None, Some("0.00014"), Some("0.00014")),
        (Some("0.00014"), None, None, Some("0.00014")),
        (Some("0.00014"), Some(false), None, Some("0.00014")),
        (Some("0"), Some(true), Some("0.02"), Some("0.02")),
        (Some("0.001"), Some(true), Some("0.02"), Some("0.021")),
        (Some("0.02"), Some(true), Some("0.02"), Some("0.04")),
        (Some("0.001"), None, Some("0.02"), Some("0.021")),
        // The noise of a float is no fee.
        (
            Some("0.00014"),
            None,
            Some("0.00014000000000000001"),
            Some("0.00014"),
        ),
        (Some("0.001"), Some(true), None, None),
        (None, Some(false), Some("0.02"), None),
        (None, None, None, None),
    ];
    for (cost, is_byok, upstream, expected) in vectors {
        let mut reported = ReportedCost::default();
        reported.cost = cost.map(decimal);
        reported.is_byok = is_byok;
        reported.upstream_cost = upstream.map(decimal);
        assert_eq!(reported.total(), expected.map(decimal), "{reported:?}");
    }
}

#[test]
fn a_total_too_large_is_unknown() {
    let mut reported = ReportedCost::default();
    reported.cost = Some(Decimal::MAX);
    reported.upstream_cost = Some(Decimal::MAX);
    assert_eq!(reported.total(), Some(Decimal::MAX));
    reported.is_byok = Some(true);
    assert_eq!(reported.total(), None);
}

#[test]
fn what_is_written_is_in_the_words_of_chat_completions() {
    let mut usage = Usage::of_tokens(3, 4);
    usage.cached_tokens = Some(0);
    usage.reported.cost = Some(decimal("0.000000100"));
    usage.extra.insert(
        "prompt_tokens_details".into(),
        json!({ "new_tokens": 1, "cached_tokens": 9 }),
    );
    let expected = concat!(
        r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"#,
        r#""prompt_tokens_details":{"cached_tokens":0,"new_tokens":1},"cost":0.0000001}"#
    );
    assert_eq!(serde_json::to_string(&usage).unwrap(), expected);
    assert_eq!(serde_json::to_string(&Usage::default()).unwrap(), "{}");
}

fn amount() -> impl Strategy<Value = Option<Decimal>> {
    option::of(
        (0u128..10u128.pow(28), 0u32..=28)
            .prop_map(|(digits, scale)| Decimal::from_i128_with_scale(digits as i128, scale)),
    )
}

fn count() -> impl Strategy<Value = Option<u64>> {
    option::of(any::<u64>())
}

prop_compose! {
    fn usage()(counts in proptest::collection::vec(count(), 15), amounts in proptest::collection::vec(amount(), 5),
               is_byok in option::of(any::<bool>()), further in option::of(0u32..9)) -> Usage {
        let mut usage = Usage::default();
        for (field, count) in [
            &mut usage.prompt_tokens, &mut usage.completion_tokens, &mut usage.total_tokens, &mut usage.cached_tokens,
            &mut usage.cache_write_tokens, &mut usage.cache_write_1h_tokens, &mut usage.prompt_audio_tokens,
            &mut usage.prompt_image_tokens, &mut usage.prompt_video_tokens, &mut usage.reasoning_tokens,
            &mut usage.completion_audio_tokens, &mut usage.completion_image_tokens,
            &mut usage.server_tools.tool_calls_requested, &mut usage.server_tools.tool_calls_executed,
            &mut usage.server_tools.web_search_requests,
        ].into_iter().zip(counts) {
            *field = count;
        }
        for (field, amount) in [
            &mut usage.reported.cost, &mut usage.reported.upstream_cost, &mut usage.reported.upstream_prompt_cost,
            &mut usage.reported.upstream_completion_cost, &mut usage.reported.server_tool_cost,
        ].into_iter().zip(amounts) {
            *field = amount;
        }
        usage.reported.is_byok = is_byok;
        if let Some(further) = further {
            usage.extra.insert("further".into(), json!(further));
            for group in ["prompt_tokens_details", "completion_tokens_details", "cost_details", "server_tool_use_details"] {
                usage.extra.insert(group.into(), json!({ "further": further }));
            }
        }
        usage
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back_to_the_last_digit(usage in usage()) {
        let text = serde_json::to_string(&usage).unwrap();
        prop_assert_eq!(Usage::from_json(&text).unwrap(), usage);
    }

    /// Oracle: the digits and the exponent as whole numbers.
    #[test]
    fn an_amount_is_its_digits_and_its_exponent(digits in 0u64.., point in 0usize..20, exponent in -12i32..9) {
        let text = digits.to_string();
        let point = point.min(text.len() - 1);
        let (whole, fraction) = text.split_at(text.len() - point);
        let literal = if point == 0 { format!("{whole}e{exponent}") } else { format!("{whole}.{fraction}E{exponent}") };
        let scale = point as i32 - exponent;
        let expected = if scale >= 0 {
            // A scale over 28 fits only if the last digits are zeros.
            let (mut digits, mut scale) = (i128::from(digits), scale as u32);
            while scale > 0 && digits % 10 == 0 {
                (digits, scale) = (digits / 10, scale - 1);
            }
            Decimal::try_from_i128_with_scale(digits, scale).ok()
        } else {
            Decimal::try_from_i128_with_scale(i128::from(digits) * 10i128.pow(scale.unsigned_abs()), 0).ok()
        };
        prop_assert_eq!(cost(&literal).ok(), expected.map(Some), "{}", literal);
    }
}
