//! Lists of models as nobody should send them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use model_catalogue::{Catalogue, CatalogueError, ModelRecord, PriceStrings, openrouter};

fn list(count: usize) -> Vec<ModelRecord> {
    (0..count)
        .map(|number| {
            let mut record = ModelRecord::new(format!("a/{number}").parse().unwrap());
            record.prices = PriceStrings::new([("prompt", "0.000001")]);
            record
        })
        .collect()
}

fn catalogue(captured: &str, records: Vec<ModelRecord>) -> Catalogue {
    Catalogue::new(captured, "openrouter".parse().unwrap(), records).unwrap()
}

#[test]
fn input_91_an_id_given_twice_is_refused() {
    let entry = |slug: &str, price: &str| {
        format!(
            r#"{{"id":"a/b","canonical_slug":"{slug}","architecture":{{}},"pricing":{{"prompt":"{price}"}}}}"#
        )
    };
    // Word for word the same, or with another price: neither can be trusted.
    for second in [entry("a/b", "0.1"), entry("a/c", "0.2")] {
        let answer = format!(r#"{{"data":[{},{second}]}}"#, entry("a/b", "0.1"));
        let error = openrouter::import(&answer, "2026-08-22", "openrouter".parse().unwrap()).unwrap_err();
        assert_eq!(error, CatalogueError::Duplicate { id: "a/b".to_owned() });
    }
}

#[test]
fn input_91_a_list_without_models_is_refused() {
    for answer in [r#"{"data":[]}"#, r#"{"data":[],"total_count":0}"#] {
        let error = openrouter::import(answer, "2026-08-22", "openrouter".parse().unwrap()).unwrap_err();
        assert_eq!(error, CatalogueError::Empty);
    }
    assert!(openrouter::import(r#"{"data":null}"#, "2026-08-22", "openrouter".parse().unwrap()).is_err());
    // Nothing but entries that cannot be used.
    let unusable = r#"{"data":[{"id":""},{"id":7},{}]}"#;
    assert!(openrouter::import(unusable, "2026-08-22", "openrouter".parse().unwrap()).is_err());
}

#[test]
fn input_91_a_million_models_are_refused() {
    let make = |count| Catalogue::new("2026-08-22", "openrouter".parse().unwrap(), list(count));
    let error = make(1_000_000).unwrap_err();
    assert_eq!(
        error,
        CatalogueError::TooMany {
            found: 1_000_000,
            most: 100_000
        }
    );
    assert!(error.to_string().contains("1000000"));
    assert!(matches!(make(100_001), Err(CatalogueError::TooMany { .. })));
    let most = make(100_000).unwrap();
    assert_eq!(most.records().len(), 100_000);
    assert!(most.resolve("a/99999:nitro").is_some());
}

#[test]
fn input_91_a_list_of_which_half_is_gone_is_refused() {
    let older = catalogue("2026-08-22", list(100));
    for (left, fine) in [(200, true), (100, true), (51, true), (50, false), (1, false)] {
        let newer = catalogue("2026-08-23", list(left));
        let checked = newer.check_successor(&older);
        assert_eq!(checked.is_ok(), fine, "{left}: {checked:?}");
    }
    let half = catalogue("2026-08-23", list(50))
        .check_successor(&older)
        .unwrap_err();
    assert!(
        half.to_string().contains("50 models, where there were 100"),
        "{half}"
    );

    // All there, and half of the prices gone.
    let mut bare = list(100);
    for record in &mut bare[..50] {
        record.prices = PriceStrings::default();
    }
    let error = catalogue("2026-08-23", bare.clone())
        .check_successor(&older)
        .unwrap_err();
    assert!(error.to_string().contains("50 models with prices"), "{error}");
    bare[0].prices = PriceStrings::new([("prompt", "0")]);
    assert!(catalogue("2026-08-23", bare).check_successor(&older).is_ok());
    // Where there were no prices none can be gone.
    let mut none = list(3);
    none.iter_mut()
        .for_each(|record| record.prices = PriceStrings::default());
    let none = catalogue("2026-08-22", none);
    assert!(none.check_successor(&none).is_ok());
}

#[test]
fn input_91_a_list_of_another_time_or_provider_does_not_follow() {
    let older = catalogue("2026-08-22", list(3));
    let error = catalogue("2026-08-21", list(3))
        .check_successor(&older)
        .unwrap_err();
    assert!(error.to_string().contains("before 2026-08-22"), "{error}");
    let other = Catalogue::new("2026-08-22", "other".parse().unwrap(), list(3)).unwrap();
    assert!(
        other
            .check_successor(&older)
            .unwrap_err()
            .to_string()
            .contains("other")
    );
    assert!(older.check_successor(&older).is_ok());
}
