//! The catalogue file: what is written is read back, and nothing else is read.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use model_catalogue::{
    Benchmarks, Catalogue, CatalogueError, FORMAT, ModelRecord, PriceOverride, PriceStrings, ReasoningSupport,
};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

const FILE: &str = r#"{
"format": 1,
"provider": "openrouter",
"captured": "2026-08-22",
"models": [
{"id":"a/b","canonical_slug":"a/b-1","created":1,"context_length":8192,"input_modalities":["text"],"output_modalities":["text"],"prices":{"rates":{"completion":"0.0000002","prompt":"0.0000001"},"overrides":[{"min_prompt_tokens":128000,"rates":{"prompt":"0.0000002"}}]},"benchmarks":{"coding_index":41.5},"moderated":false},
{"id":"c/d","canonical_slug":"c/d","prices":{"rates":{}}}
]
}
"#;

#[test]
fn the_form_of_the_file_is_as_documented() {
    let catalogue = Catalogue::read(FILE).unwrap();
    assert_eq!(catalogue.write(), FILE);
    assert_eq!(catalogue.id(), "openrouter-2026-08-22-a1ff3344a4b0");
    let model = catalogue.get("a/b").unwrap();
    assert_eq!(model.context_length, Some(8192));
    assert_eq!(model.benchmarks.coding_index, Some(41.5));
    assert_eq!(model.prices.overrides[0].min_prompt_tokens, Some(128_000));
    assert!(catalogue.get("c/d").unwrap().prices.rates.is_empty());
}

#[test]
fn another_version_is_refused_before_its_content_is_looked_at() {
    for (line, found) in [
        ("\"format\": 2,", "2"),
        ("\"format\": \"1\",", "\"1\""),
        ("\"format\": 1.0,", "1.0"),
        ("\"format\": null,", "none"),
        ("", "none"),
    ] {
        let text = FILE
            .replace("\"format\": 1,", line)
            .replace("canonical_slug", "renamed_in_version_2");
        let expected = CatalogueError::Format {
            found: found.to_owned(),
            supported: FORMAT,
        };
        assert_eq!(Catalogue::read(&text).unwrap_err(), expected);
    }
}

#[track_caller]
fn refused(from: &str, to: &str) -> CatalogueError {
    assert!(FILE.contains(from), "{from}");
    Catalogue::read(&FILE.replacen(from, to, 1)).unwrap_err()
}

#[test]
fn damage_is_refused_with_its_line() {
    for (from, to, line, says) in [
        (
            r#""prompt":"0.0000001""#,
            r#""prompt":0.0000001"#,
            6,
            "expected a string",
        ),
        (
            r#""prompt":"0.0000001""#,
            r#""prompt":null"#,
            6,
            "expected a string",
        ),
        (
            r#""prompt":"0.0000001""#,
            r#""completion":"0.0000001""#,
            6,
            "the price 'completion' is given twice",
        ),
        (r#"{"rates":{}}"#, "[]", 7, "expected"),
        (
            r#"{"rates":{}}"#,
            r#"{"rates":["0.1"]}"#,
            7,
            "prices as an object of decimal strings",
        ),
        (r#"{"rates":{}}"#, r#"{"rate":{}}"#, 7, "unknown field `rate`"),
        (r#"{"rates":{}}"#, "{}", 7, "missing field `rates`"),
        (r#","prices":{"rates":{}}"#, "", 7, "missing field `prices`"),
        (
            r#""min_prompt_tokens":128000"#,
            r#""min_prompt_tokens":-1"#,
            6,
            "expected u64",
        ),
        (
            r#""min_prompt_tokens":128000"#,
            r#""min_tokens":128000"#,
            6,
            "unknown field `min_tokens`",
        ),
        (
            r#""coding_index":41.5"#,
            r#""codeing_index":41.5"#,
            6,
            "unknown field `codeing_index`",
        ),
        (
            r#""moderated":false"#,
            r#""moderated":false,"moderated":true"#,
            6,
            "duplicate field `moderated`",
        ),
        (
            r#""moderated":false"#,
            r#""remark":"x""#,
            6,
            "unknown field `remark`",
        ),
        (r#""id":"c/d""#, r#""id":"c d""#, 7, "the name holds a space"),
        (
            "\"captured\"",
            "\"extra\": 1,\n\"captured\"",
            4,
            "unknown field `extra`",
        ),
        ("\n]\n}\n", "", 7, "EOF"),
        ("\n]\n}\n", "\n]\n}\n}\n", 10, "trailing characters"),
        ("\n]\n}\n", ",\n]\n}\n", 8, "expected value"),
    ] {
        match refused(from, to) {
            CatalogueError::Malformed {
                line: found, message, ..
            } => {
                assert!(message.contains(says), "{to}: {message}");
                assert_eq!(found, line, "{to}: {message}");
                assert!(
                    !message.contains(" at line "),
                    "the place is said once: {message}"
                );
            }
            other => panic!("{to}: {other}"),
        }
    }
    let text = refused(r#""prompt":"0.0000001""#, r#""prompt":1"#).to_string();
    assert!(text.starts_with("line 6, column "), "{text}");
}

#[test]
fn content_that_cannot_be_is_refused() {
    assert_eq!(
        refused("c/d", "a/b"),
        CatalogueError::Duplicate { id: "a/b".to_owned() }
    );
    assert_eq!(
        refused("2026-08-22", "yesterday"),
        CatalogueError::Captured {
            found: "yesterday".to_owned()
        }
    );
    assert!(matches!(
        refused("0.0000001", ""),
        CatalogueError::Value { field: "price", .. }
    ));
    let none = "{\"format\":1,\"provider\":\"p\",\"captured\":\"2026-08-22\",\"models\":[]}";
    assert_eq!(Catalogue::read(none).unwrap_err(), CatalogueError::Empty);
    for text in ["", "[]", "null", "7", "\u{feff}{}", "{\"format\":1}"] {
        assert!(
            matches!(
                Catalogue::read(text).unwrap_err(),
                CatalogueError::Malformed { .. }
            ),
            "{text}"
        );
    }
}

#[test]
fn every_beginning_of_a_file_is_refused() {
    for end in 0..FILE.trim_end().len() {
        assert!(Catalogue::read(&FILE[..end]).is_err(), "{end}");
    }
}

fn any_word() -> impl Strategy<Value = String> {
    // Quotes, backslashes, controls and other scripts, too.
    prop_oneof!["[a-z_]{1,8}", "\\PC{1,6}", "[\"\\\\\n\t\u{0}/]{1,4}"]
}

fn any_rates() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(
        any_word(),
        prop_oneof!["0\\.0{0,12}[0-9]{1,18}", Just("-1".to_owned()), any_word()],
        0..5,
    )
}

fn any_time() -> impl Strategy<Value = Option<u16>> {
    of((0_u16..24, 0_u16..60).prop_map(|(hour, minute)| hour * 100 + minute))
}

fn any_override() -> impl Strategy<Value = PriceOverride> {
    let conditions = (
        of(any::<u64>()),
        any_time(),
        any_time(),
        vec(any_word(), 0..3),
        vec(any_word(), 0..2),
    );
    (any_rates(), conditions).prop_map(|(rates, (tokens, start, end, days, unknown))| {
        let mut entry = PriceOverride::new(rates);
        entry.min_prompt_tokens = tokens;
        entry.utc_start = start;
        entry.utc_end = end;
        entry.utc_days = days;
        entry.unknown_conditions = unknown;
        entry
    })
}

fn any_prices() -> impl Strategy<Value = PriceStrings> {
    (any_rates(), of(any_word()), vec(any_override(), 0..3)).prop_map(|(rates, discount, overrides)| {
        let mut prices = PriceStrings::new(rates);
        prices.discount = discount;
        prices.overrides = overrides;
        prices
    })
}

fn any_index() -> impl Strategy<Value = Option<f64>> {
    of(prop_oneof![
        0.0..100.0,
        any::<f64>().prop_filter("finite", |index| index.is_finite()),
        Just(52.0)
    ])
}

fn any_reasoning() -> impl Strategy<Value = Option<ReasoningSupport>> {
    let parts = (
        any::<bool>(),
        of(vec(any_word(), 0..3)),
        of(any_word()),
        of(any::<bool>()),
        of(any::<bool>()),
    );
    of(
        parts.prop_map(|(mandatory, efforts, effort, enabled, max_tokens)| {
            let mut reasoning = ReasoningSupport::default();
            reasoning.mandatory = mandatory;
            reasoning.supported_efforts = efforts;
            reasoning.default_effort = effort;
            reasoning.default_enabled = enabled;
            reasoning.supports_max_tokens = max_tokens;
            reasoning
        }),
    )
}

fn any_id() -> impl Strategy<Value = String> {
    "~?[a-z]{1,4}/[a-z0-9.\"\\\\é-]{1,6}(:batch|:free)?"
}

prop_compose! {
    fn any_record()(
        id in any_id(),
        slug in any_word(),
        numbers in (of(any::<i64>()), of(any::<u64>()), of(any::<u64>()), of(any::<u64>())),
        lists in (vec(any_word(), 0..3), vec(any_word(), 0..3), vec(any_word(), 0..5)),
        prices in any_prices(),
        indices in (any_index(), any_index(), any_index()),
        reasoning in any_reasoning(),
        rest in (of(any_word()), of(any::<bool>()), of(any_word()), of("20[0-9]{2}-0[1-9]-[12][0-8]"), of(any_id())),
    ) -> ModelRecord {
        let mut record = ModelRecord::new(id.parse().unwrap());
        record.canonical_slug = slug;
        (record.created, record.context_length, record.top_context_length, record.max_completion_tokens) = numbers;
        (record.input_modalities, record.output_modalities, record.supported_parameters) = lists;
        record.prices = prices;
        record.benchmarks = Benchmarks::new(indices.0, indices.1, indices.2);
        record.reasoning = reasoning;
        (record.tokenizer, record.moderated, record.knowledge_cutoff, record.expiration_date) =
            (rest.0, rest.1, rest.2, rest.3);
        record.alias_target = rest.4.map(|id| id.parse().unwrap());
        record
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(records in vec(any_record(), 1..6)) {
        let mut records = records;
        records.sort_by(|a, b| a.id.cmp(&b.id));
        records.dedup_by(|a, b| a.id == b.id);
        let catalogue = Catalogue::new("2026-08-22", "p".parse().unwrap(), records.clone()).unwrap();
        let text = catalogue.write();
        prop_assert_eq!(text.lines().count(), records.len() + 7, "one model per line");
        let read = Catalogue::read(&text).unwrap();
        prop_assert_eq!(read.id(), catalogue.id());
        prop_assert_eq!(read.write(), text);
        prop_assert_eq!(read, catalogue);
    }
}
