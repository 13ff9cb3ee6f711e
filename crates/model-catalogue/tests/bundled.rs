//! The catalogue that the release ships, and what it was made of.
#![cfg(feature = "bundled")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use integration_core::Capability;
use integration_core::testing::shared_data;
use model_catalogue::{Catalogue, openrouter};
use serde_json::Value;

#[test]
fn the_shipped_file_is_read_and_is_what_would_be_written() {
    let catalogue = Catalogue::bundled().unwrap();
    let name = format!("{}-{}.json", catalogue.provider(), catalogue.captured());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(files, [name.as_str()], "one file, named for its day");
    assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), catalogue.write());
    assert_eq!(catalogue.records().len(), 421);
}

#[test]
fn the_shipped_models_make_sense() {
    let catalogue = Catalogue::bundled().unwrap();
    let models = catalogue.records();
    assert!(
        models
            .iter()
            .all(|model| model.prices.rates.contains_key("prompt"))
    );
    assert!(
        models
            .iter()
            .all(|model| model.capabilities().contains(Capability::TextOutput))
    );
    let aliases = models.iter().filter(|model| model.is_alias());
    for alias in aliases {
        let target = alias.alias_target.as_ref().expect("an alias has a target");
        assert!(
            catalogue
                .get(target.as_str())
                .is_some_and(|target| !target.is_alias()),
            "{target}"
        );
    }
    for model in models {
        let by_slug = catalogue
            .resolve(&model.canonical_slug)
            .expect("a slug in the catalogue is resolved");
        let base = model.id.as_str().split(':').next().unwrap();
        assert!(
            by_slug.id.as_str() == base || by_slug.canonical_slug == model.canonical_slug,
            "{}",
            model.id
        );
    }
    assert_eq!(models.iter().filter(|model| model.is_batch()).count(), 61);
    assert_eq!(models.iter().filter(|model| model.is_free_variant()).count(), 18);
}

#[test]
fn the_shipped_file_is_what_the_snapshot_gives() {
    let Some(path) = shared_data(
        "the_shipped_file_is_what_the_snapshot_gives",
        "openrouter/models-2026-08-22.json",
    ) else {
        return;
    };
    let json = fs::read_to_string(path).unwrap();
    let (catalogue, report) = openrouter::import(&json, "2026-08-22", "openrouter".parse().unwrap()).unwrap();
    assert_eq!((report.models_in, report.models_out), (421, 421));
    assert_eq!(report.unknown, [], "every field is taken or knowingly left out");
    assert_eq!(catalogue, Catalogue::bundled().unwrap());
    assert_eq!(catalogue.id(), Catalogue::bundled().unwrap().id());
}

/// Reads the snapshot a second time, with nothing of the reader under test.
#[test]
fn every_price_string_is_the_snapshots() {
    let Some(path) = shared_data(
        "every_price_string_is_the_snapshots",
        "openrouter/models-2026-08-22.json",
    ) else {
        return;
    };
    let snapshot: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let catalogue = Catalogue::bundled().unwrap();
    let strings = |object: &Value| -> BTreeMap<String, String> {
        let texts = object
            .as_object()
            .unwrap()
            .iter()
            .filter_map(|(key, value)| Some((key, value.as_str()?)));
        texts
            .map(|(key, value)| (key.clone(), value.to_owned()))
            .collect()
    };
    let (mut rates, mut overrides) = (0, 0);
    for entry in snapshot["data"].as_array().unwrap() {
        let id = entry["id"].as_str().unwrap();
        let prices = &catalogue.get(id).unwrap().prices;
        assert_eq!(prices.rates, strings(&entry["pricing"]), "{id}");
        rates += prices.rates.len();
        let listed = entry["pricing"]["overrides"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        assert_eq!(prices.overrides.len(), listed.len(), "{id}");
        for (entry, listed) in prices.overrides.iter().zip(listed) {
            assert_eq!(entry.rates, strings(listed), "{id}");
            assert_eq!(
                entry.min_prompt_tokens,
                listed["min_prompt_tokens"].as_u64(),
                "{id}"
            );
            assert_eq!(
                entry.utc_start.map(u64::from),
                listed["utc_start"].as_u64(),
                "{id}"
            );
            assert_eq!(entry.utc_end.map(u64::from), listed["utc_end"].as_u64(), "{id}");
            assert!(entry.unknown_conditions.is_empty(), "{id}");
            overrides += 1;
        }
        let indices = &entry["benchmarks"]["artificial_analysis"];
        let benchmarks = &catalogue.get(id).unwrap().benchmarks;
        assert_eq!(
            benchmarks.intelligence_index,
            indices["intelligence_index"].as_f64(),
            "{id}"
        );
        assert_eq!(benchmarks.coding_index, indices["coding_index"].as_f64(), "{id}");
        assert_eq!(
            benchmarks.agentic_index,
            indices["agentic_index"].as_f64(),
            "{id}"
        );
    }
    // 421 of `prompt` and `completion` each, and 644 others; 68 overrides of 60 models.
    assert_eq!((rates, overrides), (1486, 68));
}
