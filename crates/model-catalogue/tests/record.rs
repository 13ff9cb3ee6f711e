//! What a record says of a model.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use integration_core::{Capability, CapabilitySet};
use model_catalogue::{Day, ModelRecord, PriceStrings};
use proptest::prelude::*;

fn record(id: &str) -> ModelRecord {
    ModelRecord::new(id.parse().unwrap())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn each_word_gives_its_capability_and_no_other() {
    let given = |inputs: &[&str], outputs: &[&str], parameters: &[&str]| {
        let mut record = record("a/b");
        record.input_modalities = words(inputs);
        record.output_modalities = words(outputs);
        record.supported_parameters = words(parameters);
        record.capabilities()
    };
    let set = |capabilities: &[Capability]| capabilities.iter().copied().collect::<CapabilitySet>();
    assert_eq!(given(&[], &[], &[]), CapabilitySet::EMPTY);
    for (word, capability) in [
        ("image", Capability::Vision),
        ("audio", Capability::AudioInput),
        ("file", Capability::FileInput),
        ("video", Capability::VideoInput),
    ] {
        assert_eq!(
            given(&["text", word], &[], &[]),
            CapabilitySet::of(capability),
            "{word}"
        );
    }
    let chat = set(&[Capability::Chat, Capability::Streaming]);
    assert_eq!(given(&[], &["text"], &[]), chat.with(Capability::TextOutput));
    assert_eq!(given(&[], &["image"], &[]), chat.with(Capability::ImageOutput));
    assert_eq!(given(&[], &["audio"], &[]), chat.with(Capability::AudioOutput));
    assert_eq!(
        given(&[], &["embeddings"], &[]),
        CapabilitySet::of(Capability::Embeddings)
    );
    assert_eq!(given(&["smell"], &["smell"], &["smell"]), CapabilitySet::EMPTY);
    for (word, capability) in [
        ("tools", Capability::Tools),
        ("structured_outputs", Capability::JsonSchema),
        ("response_format", Capability::JsonMode),
        ("reasoning", Capability::Reasoning),
        ("reasoning_effort", Capability::Reasoning),
        ("logprobs", Capability::Logprobs),
        ("seed", Capability::Seed),
        ("web_search_options", Capability::WebSearch),
    ] {
        assert_eq!(
            given(&[], &[], &["max_tokens", word]),
            CapabilitySet::of(capability),
            "{word}"
        );
    }
}

#[test]
fn a_priced_search_is_a_search() {
    let mut record = record("a/b");
    record.prices = PriceStrings::new([("web_search", "0.01")]);
    assert_eq!(record.capabilities(), CapabilitySet::of(Capability::WebSearch));
}

#[test]
fn the_id_tells_variants_and_aliases() {
    let flags = |id: &str| {
        let record = record(id);
        (record.is_batch(), record.is_free_variant(), record.is_alias())
    };
    assert_eq!(flags("a/b"), (false, false, false));
    assert_eq!(flags("a/b:batch"), (true, false, false));
    assert_eq!(flags("a/b:free"), (false, true, false));
    assert_eq!(flags("a/b:thinking"), (false, false, false));
    assert_eq!(flags("~a/b-latest"), (false, false, true));
    assert_eq!(flags("~a/b-latest:batch"), (true, false, true));
    assert_eq!(flags("a/free"), (false, false, false));
    assert_eq!(flags("a/b:freebatch"), (false, false, false));
}

#[test]
fn a_model_expires_after_its_date() {
    let mut model = record("a/b");
    let day = |text| Day::parse(text).unwrap();
    assert!(!model.is_expired(day("9999-12-31")), "no date is no end");
    model.expiration_date = Some("2026-08-24".to_owned());
    assert!(!model.is_expired(day("2026-08-23")));
    assert!(
        !model.is_expired(day("2026-08-24")),
        "it is still there on the day itself"
    );
    assert!(model.is_expired(day("2026-08-25")));
    assert!(model.is_expired(day("2027-01-01")));
    model.expiration_date = Some("2098-12-31".to_owned());
    assert!(!model.is_expired(day("2099-06-01")), "that date means never");
}

#[test]
fn only_days_that_exist_are_days() {
    for text in [
        "1970-01-01",
        "2024-02-29",
        "2000-02-29",
        "0000-01-01",
        "9999-12-31",
        "2026-04-30",
    ] {
        assert!(Day::parse(text).is_some(), "{text}");
    }
    for text in [
        "",
        "2026",
        "2026-00-10",
        "2026-13-10",
        "2026-04-31",
        "2026-01-00",
        "2026-01-32",
        "2025-02-29",
        "1900-02-29",
        "2026/01/01",
        "2026-1-011",
        "+026-01-01",
        "2026-01-0x",
        "2026-01-011",
        "２026-01-1",
    ] {
        assert_eq!(Day::parse(text), None, "{text}");
    }
    assert_eq!(Day::parse("1970-01-01").unwrap().days_since_epoch(), 0);
    assert_eq!(Day::from_unix(-1), Day::parse("1969-12-31").unwrap());
    assert_eq!(Day::from_unix(86_399), Day::parse("1970-01-01").unwrap());
}

/// Counts the days one by one.
#[test]
fn days_follow_each_other_over_eight_hundred_years() {
    let mut expected = Day::parse("1600-01-01").unwrap().days_since_epoch();
    assert_eq!(expected, -135_140);
    for year in 1600..2400 {
        for month in 1..=12 {
            for day in 1..=31 {
                if let Some(parsed) = Day::parse(&format!("{year:04}-{month:02}-{day:02}")) {
                    assert_eq!(parsed.days_since_epoch(), expected, "{year}-{month}-{day}");
                    expected += 1;
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_reading_of_a_day(text in "\\PC{0,12}") {
        let _ = Day::parse(&text);
    }
}
