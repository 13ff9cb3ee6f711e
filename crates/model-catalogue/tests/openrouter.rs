//! The reader of the provider's list.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use integration_core::Capability;
use model_catalogue::openrouter::{LEFT_OUT, LEFT_OUT_WHILE_NULL, Problem, import, read_models, read_prices};
use model_catalogue::{CatalogueError, ModelRecord};
use proptest::prelude::*;
use serde_json::{Value, json};

/// An entry with every field that is known.
fn full() -> Value {
    json!({
        "id": "acme/swift", "canonical_slug": "acme/swift-20260101", "hugging_face_id": null, "name": "N", "created": 1767225600,
        "description": "D", "context_length": 200000,
        "architecture": {"modality": "text->text", "input_modalities": ["text", "image"], "output_modalities": ["text"],
            "tokenizer": "Other", "instruct_type": null},
        "pricing": {"prompt": "0.0000001", "completion": "0.00000040", "input_cache_write": "0.0000000208333333333333",
            "discount": 0.25, "overrides": [
                {"min_prompt_tokens": 128000, "prompt": "0.0000002"},
                {"utc_start": 2200, "utc_end": 100, "utc_days": ["monday", "tuesday"], "prompt": "0.00000005"}]},
        "top_provider": {"context_length": 131072, "max_completion_tokens": 8192, "is_moderated": true},
        "per_request_limits": null, "supported_parameters": ["tools", "seed"], "default_parameters": {"temperature": 1},
        "supported_voices": null, "knowledge_cutoff": "2025-06-30", "expiration_date": "2098-12-31", "links": {"details": "/x"},
        "reasoning": {"mandatory": true, "supported_efforts": ["high"], "default_effort": "high", "default_enabled": true,
            "supports_max_tokens": false},
        "benchmarks": {"artificial_analysis": {"intelligence_index": 50, "coding_index": 40.5, "agentic_index": null},
            "design_arena": [{"elo": 1}]},
        "alias_target": {"name": "T", "slug": "acme/target"}
    })
}

fn least() -> Value {
    json!({"id": "a/b", "canonical_slug": "a/b", "architecture": {}, "pricing": {}})
}

fn answer(entries: &[Value]) -> String {
    json!({"data": entries, "total_count": entries.len(), "links": {"next": null}}).to_string()
}

/// The only record, and the problems as `(path, problem)`.
#[track_caller]
fn read(entry: Value) -> (ModelRecord, Vec<(String, Problem)>) {
    let (mut records, unknown) = read_models(&answer(&[entry])).unwrap();
    assert_eq!(records.len(), 1);
    (
        records.remove(0),
        unknown
            .into_iter()
            .map(|field| (field.path, field.problem))
            .collect(),
    )
}

#[test]
fn every_known_field_is_taken() {
    let (record, unknown) = read(full());
    assert_eq!(unknown, []);
    assert_eq!(record.id.as_str(), "acme/swift");
    assert_eq!(record.canonical_slug, "acme/swift-20260101");
    assert_eq!(record.created, Some(1_767_225_600));
    assert_eq!(
        (record.context_length, record.top_context_length),
        (Some(200_000), Some(131_072))
    );
    assert_eq!(
        (record.max_completion_tokens, record.moderated),
        (Some(8192), Some(true))
    );
    assert_eq!(
        (
            record.input_modalities.join(" "),
            record.output_modalities.join(" ")
        ),
        ("text image".into(), "text".into())
    );
    assert!(
        record.capabilities().contains(Capability::Vision)
            && record.capabilities().contains(Capability::Tools)
    );
    assert_eq!(record.tokenizer.as_deref(), Some("Other"));
    assert_eq!(record.knowledge_cutoff.as_deref(), Some("2025-06-30"));
    assert_eq!(record.expiration_date.as_deref(), Some("2098-12-31"));
    assert_eq!(record.alias_target.unwrap().as_str(), "acme/target");
    assert_eq!(
        (
            record.benchmarks.intelligence_index,
            record.benchmarks.agentic_index
        ),
        (Some(50.0), None)
    );
    let reasoning = record.reasoning.unwrap();
    assert!(reasoning.mandatory);
    assert_eq!(reasoning.supported_efforts.unwrap(), ["high"]);
    assert_eq!(reasoning.default_effort.as_deref(), Some("high"));
    assert_eq!(
        (reasoning.default_enabled, reasoning.supports_max_tokens),
        (Some(true), Some(false))
    );

    let prices = record.prices;
    let rates: Vec<_> = prices
        .rates
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let verbatim = [
        ("completion", "0.00000040"),
        ("input_cache_write", "0.0000000208333333333333"),
        ("prompt", "0.0000001"),
    ];
    assert_eq!(rates, verbatim);
    assert_eq!(prices.discount.as_deref(), Some("0.25"));
    assert_eq!(
        (
            prices.overrides[0].min_prompt_tokens,
            prices.overrides[0].utc_start
        ),
        (Some(128_000), None)
    );
    let window = &prices.overrides[1];
    assert_eq!(
        (window.utc_start, window.utc_end, window.utc_days.len()),
        (Some(2200), Some(100), 2)
    );
    assert_eq!(window.rates["prompt"], "0.00000005");
    assert!(
        prices
            .overrides
            .iter()
            .all(|entry| entry.unknown_conditions.is_empty())
    );
}

#[test]
fn the_least_entry_has_nothing_made_up() {
    let (record, unknown) = read(least());
    assert_eq!(unknown, []);
    assert_eq!(record, ModelRecord::new("a/b".parse().unwrap()));
}

/// Puts a new field into every object there is, and expects each to be reported.
#[test]
fn a_new_field_is_reported_wherever_it_is() {
    fn objects(value: &Value, path: &str, pointer: &str, found: &mut Vec<(String, String)>) {
        match value {
            Value::Object(object) => {
                found.push((path.to_owned(), pointer.to_owned()));
                for (key, value) in object {
                    objects(
                        value,
                        &format!("{path}{key}."),
                        &format!("{pointer}/{key}"),
                        found,
                    );
                }
            }
            Value::Array(elements) => {
                for (i, element) in elements.iter().enumerate() {
                    objects(
                        element,
                        &format!("{}[].", path.trim_end_matches('.')),
                        &format!("{pointer}/{i}"),
                        found,
                    );
                }
            }
            _ => {}
        }
    }
    let mut places = Vec::new();
    objects(&full(), "", "", &mut places);
    assert_eq!(places.len(), 13, "{places:?}");
    let mut reported = 0;
    for (path, pointer) in places {
        let mut entry = full();
        entry
            .pointer_mut(&pointer)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .insert("new_one".to_owned(), json!({"x": 1}));
        let (_, unknown) = read(entry);
        if LEFT_OUT.iter().any(|known| path.starts_with(known.path)) {
            assert_eq!(unknown, [], "{path} is left out with all below it");
        } else {
            assert_eq!(unknown, [(format!("{path}new_one"), Problem::Unknown)]);
            reported += 1;
        }
    }
    assert_eq!(reported, 10);
}

/// Replaces every value by one of another type. None may vanish without a line in the report or on the list.
#[test]
fn a_value_of_another_type_is_reported_and_not_known() {
    let odd = json!([[true]]);
    for pointer in [
        "/canonical_slug",
        "/created",
        "/context_length",
        "/architecture",
        "/architecture/input_modalities/1",
        "/architecture/output_modalities",
        "/architecture/tokenizer",
        "/pricing",
        "/pricing/prompt",
        "/pricing/discount",
        "/pricing/overrides/0",
        "/pricing/overrides/0/min_prompt_tokens",
        "/pricing/overrides/0/prompt",
        "/pricing/overrides/1/utc_start",
        "/pricing/overrides/1/utc_end",
        "/pricing/overrides/1/utc_days",
        "/top_provider",
        "/top_provider/context_length",
        "/top_provider/max_completion_tokens",
        "/top_provider/is_moderated",
        "/supported_parameters",
        "/supported_parameters/0",
        "/knowledge_cutoff",
        "/expiration_date",
        "/reasoning",
        "/reasoning/mandatory",
        "/reasoning/supported_efforts",
        "/reasoning/default_effort",
        "/reasoning/default_enabled",
        "/reasoning/supports_max_tokens",
        "/benchmarks",
        "/benchmarks/artificial_analysis",
        "/benchmarks/artificial_analysis/coding_index",
        "/alias_target",
        "/alias_target/slug",
        "/per_request_limits",
    ] {
        let mut entry = full();
        *entry.pointer_mut(pointer).unwrap() = odd.clone();
        let (_, unknown) = read(entry);
        let path: String = pointer[1..]
            .replace("/0", "[]")
            .replace("/1", "[]")
            .replace('/', ".");
        // An array where strings are expected is odd by its element.
        let path = if pointer.ends_with("_efforts")
            || pointer.ends_with("s") && path.ends_with("modalities")
            || pointer == "/supported_parameters"
        {
            format!("{path}[]")
        } else {
            path
        };
        let (found, problem) = unknown.first().unwrap_or_else(|| panic!("{pointer} vanished"));
        assert_eq!(
            (found, problem),
            (&path, &Problem::Unexpected { found: "array" }),
            "{pointer}"
        );
    }
    assert_eq!(LEFT_OUT_WHILE_NULL.len(), 1);
}

#[test]
fn a_price_of_another_type_is_no_price() {
    let mut entry = full();
    entry["pricing"]["prompt"] = json!(0.0000001);
    entry["pricing"]["completion"] = json!("");
    entry["pricing"]["request"] = json!(null);
    entry["pricing"]["video"] = json!("0.5");
    entry["pricing"]["tiers"] = json!([1]);
    let (record, unknown) = read(entry);
    let keys: Vec<_> = record.prices.rates.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["input_cache_write", "video"],
        "a new price is kept, and reported"
    );
    let expected = [
        ("pricing.prompt", Problem::Unexpected { found: "number" }),
        ("pricing.completion", Problem::Unexpected { found: "string" }),
        ("pricing.video", Problem::Unknown),
        ("pricing.tiers", Problem::Unknown),
    ];
    assert_eq!(unknown.len(), expected.len());
    for (path, problem) in expected {
        assert!(unknown.contains(&(path.to_owned(), problem)), "{path}");
    }
}

#[test]
fn a_condition_that_is_not_understood_stays_with_its_override() {
    let mut entry = full();
    entry["pricing"]["video"] = json!("0.5");
    entry["pricing"]["overrides"] = json!([
        {"region": "eu", "prompt": "0.1", "video": "0.6", "utc_days": null},
        {"utc_start": 2460, "prompt": "0.2"},
        {"utc_end": 75000, "prompt": "0.2"},
        {"utc_days": [], "prompt": "0.2"},
        {"utc_days": ["monday", 2], "prompt": "0.2"},
        {"min_prompt_tokens": -5, "prompt": 0.2},
        "always",
    ]);
    let (record, unknown) = read(entry);
    let kept: Vec<_> = record
        .prices
        .overrides
        .iter()
        .map(|entry| entry.unknown_conditions.join(" "))
        .collect();
    assert_eq!(
        kept,
        [
            "region=\"eu\"",
            "utc_start=2460",
            "utc_end=75000",
            "utc_days=[]",
            "utc_days=[\"monday\",2]",
            "min_prompt_tokens=-5 prompt=0.2",
            "[]=\"always\"",
        ]
    );
    assert_eq!(
        record.prices.overrides[0].rates.len(),
        2,
        "a key among the model's own prices is a price"
    );
    for path in [
        "pricing.overrides[].region",
        "pricing.overrides[].utc_start",
        "pricing.overrides[].prompt",
        "pricing.overrides[]",
    ] {
        assert!(
            unknown.iter().any(|(found, _)| found == path),
            "{path}: {unknown:?}"
        );
    }
}

#[test]
fn one_line_for_each_path_with_the_first_example_and_a_count() {
    let mut entries = [least(), least(), least()];
    for (i, entry) in entries.iter_mut().enumerate() {
        entry["id"] = json!(format!("a/{i}"));
    }
    entries[1]["shiny"] = json!(1);
    entries[2]["shiny"] = json!("x");
    entries[2]["created"] = json!("today");
    let (records, unknown) = read_models(&answer(&entries)).unwrap();
    assert_eq!(records.len(), 3);
    assert_eq!(records[0].id.as_str(), "a/0", "in the answer's order");
    let lines: Vec<_> = unknown.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "shiny: unknown field, 2 times, for example in a/1",
            "created: unexpected value (string), 1 times, for example in a/2",
        ]
    );
}

#[test]
fn an_entry_without_a_usable_id_is_counted_and_reported() {
    let json = answer(&[least(), json!({"id": "a b"}), json!(7), json!({"name": "x"})]);
    let (catalogue, report) = import(&json, "2026-08-22", "openrouter".parse().unwrap()).unwrap();
    assert_eq!(
        (report.models_in, report.models_out, catalogue.records().len()),
        (4, 1, 1)
    );
    assert_eq!(report.unknown.len(), 1);
    let line = &report.unknown[0];
    assert_eq!(
        (line.problem, line.count, line.example.as_str()),
        (Problem::NoModel, 3, "#1")
    );
    assert!(line.to_string().contains("model left out"), "{line}");
}

#[test]
fn what_every_model_has_is_missed() {
    let (record, unknown) = read(json!({"id": "a/b", "canonical_slug": "", "reasoning": {}}));
    assert_eq!(record.canonical_slug, "a/b");
    assert!(!record.reasoning.unwrap().mandatory);
    let missing: Vec<_> = unknown
        .iter()
        .map(|(path, problem)| format!("{path} {problem}"))
        .collect();
    assert_eq!(
        missing,
        [
            "canonical_slug missing",
            "architecture missing",
            "pricing missing",
            "reasoning.mandatory missing"
        ]
    );
}

#[test]
fn the_answer_itself_is_checked() {
    let import = |json: &str| import(json, "2026-08-22", "openrouter".parse().unwrap());
    for text in [
        "",
        "[]",
        "{}",
        "{\"data\":null}",
        "{\"data\":{}}",
        "{\"error\":{\"code\":500}}",
        "<html>",
    ] {
        assert!(
            matches!(import(text).unwrap_err(), CatalogueError::Malformed { .. }),
            "{text}"
        );
    }
    assert_eq!(import("{\"data\":[]}").unwrap_err(), CatalogueError::Empty);
    let page = json!({"data": [least()], "total_count": 421}).to_string();
    assert_eq!(
        import(&page).unwrap_err(),
        CatalogueError::Incomplete {
            found: 1,
            total: "421".to_owned()
        }
    );
    assert_eq!(read_models(&page).unwrap().0.len(), 1, "a page can be read");
    let page = json!({"data": [least()], "links": {"next": "/models?offset=1"}}).to_string();
    assert!(
        import(&page)
            .unwrap_err()
            .to_string()
            .contains("1 models of more")
    );
    let twice = answer(&[least(), least()]);
    assert_eq!(
        import(&twice).unwrap_err(),
        CatalogueError::Duplicate { id: "a/b".to_owned() }
    );

    let extra = json!({"data": [least()], "warning": "x", "links": {"previous": null}}).to_string();
    let lines: Vec<_> = import(&extra)
        .unwrap()
        .1
        .unknown
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        lines,
        [
            "$.links.previous: unknown field, 1 times",
            "$.warning: unknown field, 1 times"
        ]
    );
}

#[test]
fn prices_can_be_read_alone() {
    let (prices, unknown) = read_prices(r#"{"prompt":"-1","completion":"-1","shiny":{}}"#).unwrap();
    assert_eq!(prices.rates["prompt"], "-1");
    assert_eq!(unknown[0].path, "pricing.shiny");
    assert!(read_prices("[]").is_err() && read_prices("{").is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::hash_map("[a-z]{1,4}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => object
            .iter()
            .for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), found)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(i, value)| pointers(value, &format!("{at}/{i}"), found)),
        _ => {}
    }
    found.push(at.to_owned());
}

proptest! {
    /// Whatever stands in whatever place, the reading ends, and what it made is written and read back.
    #[test]
    fn no_value_in_any_place_breaks_the_reader(value in any_json(), place in any::<prop::sample::Index>()) {
        let mut entry = full();
        let mut places = Vec::new();
        pointers(&entry, "", &mut places);
        *entry.pointer_mut(place.get::<String>(&places)).unwrap() = value;
        if let Ok((catalogue, report)) = import(&answer(&[entry, least()]), "2026-08-22", "p".parse().unwrap()) {
            prop_assert_eq!(report.models_out, catalogue.records().len());
            prop_assert_eq!(model_catalogue::Catalogue::read(&catalogue.write()).unwrap(), catalogue);
        }
    }
}
