//! The traps of OpenRouter's contract that are about names of models. More on suffixes is in `catalogue.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use model_catalogue::{Catalogue, ModelRecord, PriceStrings, is_routing_variant};
use proptest::prelude::*;

fn record(id: &str, slug: &str) -> ModelRecord {
    let mut record = ModelRecord::new(id.parse().unwrap());
    record.canonical_slug = slug.to_owned();
    record.prices = PriceStrings::new([("prompt", "0.000001"), ("completion", "0.000002")]);
    record
}

fn catalogue() -> Catalogue {
    let mut records = vec![
        // The words of the permanent name are in another order, as they are for a whole family.
        record("anth/haiku-4.5", "anth/4.5-haiku-20251001"),
        record("anth/haiku-4.5:batch", "anth/4.5-haiku-20251001"),
        record("anth/haiku-4.5:free", "anth/4.5-haiku-20251001"),
        record("open/five", "open/five-20251211"),
        record("open/five:free", "open/five-20251211"),
        record("open/embed-small", "open/embed-small"),
        // Only the free one is listed; its permanent name is that of a paid one that is not.
        record("left/over:free", "left/over-2026"),
        // One model's permanent name is another model's id.
        record("old/name", "old/name-2024"),
        record("old/name-2024", "old/name-2024-b"),
        record("other/embed-small", "other/embed-small-2"),
        record("open/router", "open/router"),
    ];
    let mut alias = record("~anth/haiku-latest", "~anth/haiku-latest");
    alias.alias_target = Some("anth/haiku-4.5".parse().unwrap());
    records.push(alias);
    Catalogue::new("2026-08-22", "openrouter".parse().unwrap(), records).unwrap()
}

fn served(requested: &[&str], served: &str) -> Option<String> {
    let catalogue = catalogue();
    let found = catalogue.resolve_served(requested.iter().copied(), served);
    found.map(|record| record.id.to_string())
}

#[test]
fn trap_20_the_answers_name_means_the_model_that_was_asked() {
    for (requested, answer, id) in [
        // All three share the permanent name; each keeps its own price.
        ("anth/haiku-4.5", "anth/4.5-haiku-20251001", "anth/haiku-4.5"),
        (
            "anth/haiku-4.5:free",
            "anth/4.5-haiku-20251001",
            "anth/haiku-4.5:free",
        ),
        (
            "anth/haiku-4.5:batch",
            "anth/4.5-haiku-20251001",
            "anth/haiku-4.5:batch",
        ),
        // Answered with the id, with and without the variant that was asked.
        (
            "anth/haiku-4.5:free",
            "anth/haiku-4.5:free",
            "anth/haiku-4.5:free",
        ),
        ("anth/haiku-4.5:free", "anth/haiku-4.5", "anth/haiku-4.5:free"),
        // Asked by the permanent name.
        (
            "anth/4.5-haiku-20251001",
            "anth/4.5-haiku-20251001",
            "anth/haiku-4.5",
        ),
        (
            "anth/4.5-haiku-20251001:free",
            "anth/4.5-haiku-20251001",
            "anth/haiku-4.5:free",
        ),
        // A suffix that chooses an upstream is no variant.
        (
            "anth/haiku-4.5:nitro",
            "anth/4.5-haiku-20251001",
            "anth/haiku-4.5",
        ),
        (
            "anth/haiku-4.5:floor:free",
            "anth/4.5-haiku-20251001:floor",
            "anth/haiku-4.5:free",
        ),
        // The answer names a variant itself.
        (
            "anth/haiku-4.5",
            "anth/4.5-haiku-20251001:free",
            "anth/haiku-4.5:free",
        ),
        (
            "anth/haiku-4.5:free",
            "anth/haiku-4.5:batch",
            "anth/haiku-4.5:batch",
        ),
        // Embeddings are answered without the author.
        ("open/embed-small", "embed-small", "open/embed-small"),
        ("other/embed-small", "embed-small-2", "other/embed-small"),
        ("anth/haiku-4.5:free", "4.5-haiku-20251001", "anth/haiku-4.5:free"),
        // An alias and a router: their answer's own name.
        ("~anth/haiku-latest", "anth/4.5-haiku-20251001", "anth/haiku-4.5"),
        ("open/router", "open/five-20251211", "open/five"),
        ("open/router", "left/over-2026", "left/over:free"),
        ("not/listed", "open/five", "open/five"),
        // A name that is an id and a permanent name: what was asked tells which.
        ("old/name", "old/name-2024", "old/name"),
        ("old/name-2024", "old/name-2024", "old/name-2024"),
        ("open/five", "old/name-2024", "old/name-2024"),
    ] {
        assert_eq!(
            served(&[requested], answer).as_deref(),
            Some(id),
            "{requested} answered as {answer}"
        );
    }
    // By itself the name would mean the paid one: this is the trap.
    assert_eq!(
        catalogue()
            .resolve("anth/4.5-haiku-20251001")
            .map(|record| record.id.to_string()),
        Some("anth/haiku-4.5".to_owned())
    );
}

#[test]
fn trap_20_of_several_requested_the_first_that_can_be_meant_is() {
    let asked = ["anth/haiku-4.5:free", "open/five:free", "open/five"];
    for (answer, id) in [
        ("anth/4.5-haiku-20251001", "anth/haiku-4.5:free"),
        ("open/five-20251211", "open/five:free"),
        ("open/embed-small", "open/embed-small"),
    ] {
        assert_eq!(served(&asked, answer).as_deref(), Some(id), "{answer}");
    }
    assert_eq!(served(&[], "open/five-20251211").as_deref(), Some("open/five"));
}

#[test]
fn trap_20_a_name_nobody_knows_has_no_price() {
    for (requested, answer) in [
        ("open/five", "open/six-2027"),
        ("open/five", ""),
        ("open/five", "five-20251212"),
        ("open/five", "open/five-20251211:free:batch"),
        ("open/five:free:batch", "open/six"),
        // The variant that was asked is not listed: another one's price is not its price.
        ("open/five:thinking", "open/five-20251211"),
        ("open/five:thinking", "open/five"),
        ("left/over", "left/over-2026"),
        ("left/over", "left/over"),
    ] {
        assert_eq!(
            served(&[requested], answer),
            None,
            "{requested} answered as {answer}"
        );
    }
}

#[test]
fn trap_24_only_suffixes_that_choose_an_upstream_are_dropped() {
    for suffix in ["nitro", "floor", "exacto", "online"] {
        assert!(is_routing_variant(suffix));
        let found = catalogue()
            .resolve(&format!("open/five:{suffix}"))
            .map(|record| record.id.to_string());
        assert_eq!(found.as_deref(), Some("open/five"));
    }
    for suffix in ["free", "batch", "thinking", "extended", "", "Nitro"] {
        assert!(!is_routing_variant(suffix), "{suffix}");
    }
    // The list has no such entry, and a variant that is in it is an entry of its own.
    assert!(catalogue().get("open/five:nitro").is_none());
    assert_ne!(catalogue().get("open/five:free"), catalogue().get("open/five"));
    assert_eq!(catalogue().resolve("open/five:batch"), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is asked, an answer under the model's own id, or under its permanent name where no other id is that name, is
    /// that very model.
    #[test]
    fn trap_20_a_model_that_answers_for_itself_is_found(which in 0_usize..12, suffix in prop::sample::select(vec!["", ":nitro", ":floor"])) {
        let catalogue = catalogue();
        let record = &catalogue.records()[which];
        let asked = format!("{}{suffix}", record.id);
        for answer in [record.id.as_str(), record.canonical_slug.as_str()] {
            prop_assert_eq!(catalogue.resolve_served([asked.as_str()], answer), Some(record));
        }
    }

    #[test]
    fn no_name_breaks_it(requested in "[a-c:/~-]{0,12}", served in "\\PC{0,12}") {
        let _ = catalogue().resolve_served([requested.as_str()], &served);
    }
}
