//! Building a catalogue and finding models in it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use integration_core::ProviderId;
use model_catalogue::{
    Benchmarks, Catalogue, CatalogueError, ModelRecord, ModelSource, PriceOverride, PriceStrings,
};

fn provider() -> ProviderId {
    "openrouter".parse().unwrap()
}

fn record(id: &str, slug: &str) -> ModelRecord {
    let mut record = ModelRecord::new(id.parse().unwrap());
    record.canonical_slug = slug.to_owned();
    record.prices = PriceStrings::new([("prompt", "0.000001"), ("completion", "0.000002")]);
    record
}

fn catalogue() -> Catalogue {
    let records = vec![
        record("b/large:batch", "b/large-2026"),
        record("b/large", "b/large-2026"),
        record("b/large:free", "b/large-2026"),
        record("a/small:free", "a/small-2026"),
        record("c/two:free", "c/two-2026"),
        record("c/two:batch", "c/two-2026"),
        record("d/old:free", "d/old"),
        record("d/old", "d/old-2025"),
        record("~b/large-latest", "~b/large-latest"),
    ];
    Catalogue::new("2026-08-22", provider(), records).unwrap()
}

fn found(name: &str) -> Option<String> {
    catalogue().resolve(name).map(|record| record.id.to_string())
}

#[test]
fn records_are_sorted_and_found_by_id() {
    let catalogue = catalogue();
    assert!(catalogue.records().is_sorted_by_key(|record| record.id.clone()));
    for record in catalogue.records() {
        assert_eq!(catalogue.get(record.id.as_str()), Some(record));
    }
    assert_eq!(catalogue.get("b/large:nitro"), None);
    assert_eq!(catalogue.models(), catalogue.records());
    assert_eq!(
        (catalogue.captured(), catalogue.provider()),
        ("2026-08-22", &provider())
    );
}

#[test]
fn trap_24_a_name_is_resolved_by_id_then_without_routing_suffix_then_by_slug() {
    for (name, id) in [
        ("b/large", "b/large"),
        ("b/large:free", "b/large:free"),
        ("~b/large-latest", "~b/large-latest"),
        ("b/large:nitro", "b/large"),
        ("b/large:floor", "b/large"),
        ("b/large:exacto", "b/large"),
        ("b/large:online", "b/large"),
        ("b/large:free:nitro", "b/large:free"),
        ("b/large:floor:free:nitro", "b/large:free"),
        // The slug that all variants share means the model itself, though `:batch` sorts before it.
        ("b/large-2026", "b/large"),
        ("b/large-2026:nitro", "b/large"),
        ("b/large-2026:batch", "b/large:batch"),
        ("b/large-2026:online:free", "b/large:free"),
        // Only one variant is left of it.
        ("a/small-2026", "a/small:free"),
        // An id wins over the slug of another model.
        ("d/old", "d/old"),
        ("d/old-2025", "d/old"),
    ] {
        assert_eq!(found(name).as_deref(), Some(id), "{name}");
    }
}

#[test]
fn trap_24_a_variant_that_is_absent_is_not_its_base_model() {
    for name in [
        "b/large:thinking",
        "b/large-2026:thinking",
        "a/small",
        "b/large:free:batch",
        "b/large:",
        "B/Large",
        "",
        ":",
        ":nitro",
        "large-2026",
        // Two variants and no base: nobody can say which.
        "c/two-2026",
        "d/old:batch",
    ] {
        assert_eq!(found(name), None, "{name}");
    }
}

#[test]
fn the_id_depends_on_the_content_and_not_on_the_order() {
    let one = catalogue();
    let mut records = one.models();
    records.reverse();
    let reversed = Catalogue::new("2026-08-22", provider(), records.clone()).unwrap();
    assert_eq!(one, reversed);
    assert_eq!(one.id(), reversed.id());
    let hash = one.id().strip_prefix("openrouter-2026-08-22-").unwrap();
    assert!(
        hash.len() == 12 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{hash}"
    );

    records[0]
        .prices
        .rates
        .insert("prompt".to_owned(), "0.0000010".to_owned());
    let dearer_by_a_zero = Catalogue::new("2026-08-22", provider(), records).unwrap();
    assert_ne!(one.id(), dearer_by_a_zero.id());
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let make = |records| Catalogue::new("2026-08-22", provider(), records).unwrap_err();
    assert_eq!(make(vec![]), CatalogueError::Empty);
    let twice = make(vec![record("a/b", "a/b"), record("a/b", "a/c")]);
    assert_eq!(twice, CatalogueError::Duplicate { id: "a/b".to_owned() });
    for day in [
        "",
        "2026-8-22",
        "2026-02-30",
        "22.08.2026",
        "2026-08-22T00:00:00Z",
    ] {
        let error = Catalogue::new(day, provider(), vec![record("a/b", "a/b")]).unwrap_err();
        assert_eq!(
            error,
            CatalogueError::Captured {
                found: day.to_owned()
            }
        );
    }

    type Change = fn(&mut ModelRecord);
    let changes: [(&str, Change); 6] = [
        ("canonical_slug", |r| r.canonical_slug.clear()),
        ("price", |r| r.prices = PriceStrings::new([("prompt", "")])),
        ("price", |r| {
            r.prices = r.prices.clone().with_override(PriceOverride::new([("", "0.1")]))
        }),
        ("price window", |r| {
            let mut window = PriceOverride::new([("prompt", "0.1")]);
            window.utc_start = Some(100);
            window.utc_end = Some(1260);
            r.prices.overrides.push(window);
        }),
        ("benchmark", |r| {
            r.benchmarks = Benchmarks::new(Some(50.0), None, Some(f64::NAN))
        }),
        ("expiration_date", |r| r.expiration_date = Some("soon".to_owned())),
    ];
    for (expected, change) in changes {
        let mut changed = record("a/b", "a/b");
        change(&mut changed);
        match make(vec![record("a/a", "a/a"), changed]) {
            CatalogueError::Value { id, field, .. } => assert_eq!((id.as_str(), field), ("a/b", expected)),
            other => panic!("{expected}: {other}"),
        }
    }
}

#[test]
fn times_of_day_have_sixty_minutes_and_end_at_2400() {
    for (time, fits) in [
        (0, true),
        (59, true),
        (60, false),
        (2359, true),
        (2360, false),
        (2400, true),
        (2401, false),
    ] {
        let mut changed = record("a/b", "a/b");
        let mut window = PriceOverride::new([("prompt", "0.1")]);
        window.utc_end = Some(time);
        changed.prices = changed.prices.with_override(window);
        assert_eq!(
            Catalogue::new("2026-08-22", provider(), vec![changed]).is_ok(),
            fits,
            "{time}"
        );
    }
}
