//! A list of prices that is fetched malformed, shrunk, without numbers or in another unit does not take the place of the one before.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use model_catalogue::{Catalogue, CatalogueError, ModelRecord, PriceStrings, openrouter};
use proptest::prelude::*;

/// So many models at a price per token in billionths of a dollar, each with another one.
fn list(models: usize) -> Vec<ModelRecord> {
    (0..models)
        .map(|number| priced(number, &nano(number as u64 + 1), &nano(3 * number as u64 + 5)))
        .collect()
}

fn nano(billionths: u64) -> String {
    format!("{}.{:09}", billionths / 1_000_000_000, billionths % 1_000_000_000)
}

fn priced(number: usize, prompt: &str, completion: &str) -> ModelRecord {
    let mut record = ModelRecord::new(format!("a/{number:05}").parse().unwrap());
    record.prices = PriceStrings::new([("prompt", prompt), ("completion", completion)]);
    record
}

fn on(day: &str, records: Vec<ModelRecord>) -> Catalogue {
    Catalogue::new(day, "openrouter".parse().unwrap(), records).unwrap()
}

fn before(records: Vec<ModelRecord>) -> Catalogue {
    on("2026-08-22", records)
}

fn after(records: Vec<ModelRecord>) -> Catalogue {
    on("2026-08-23", records)
}

/// Every price of the first models times ten to a power, which may be below zero.
fn moved(models: usize, of_them: usize, power: i32) -> Vec<ModelRecord> {
    let mut records = list(models);
    for record in &mut records[..of_them] {
        for price in record.prices.rates.values_mut() {
            *price = format!("{price}e{power}");
        }
    }
    records
}

#[test]
fn f42_what_is_malformed_is_no_list() {
    for answer in [
        "",
        "<html>",
        "{",
        r#"{"data":[{"id":"a/b","pricing":{"prompt":"1""#,
        r#"{"data":"later"}"#,
        r#"{"error":{"code":500}}"#,
    ] {
        let read = openrouter::import(answer, "2026-08-23", "openrouter".parse().unwrap());
        assert!(read.is_err(), "{answer}");
    }
}

#[test]
fn f42_prices_that_are_no_numbers_are_prices_that_are_gone() {
    let older = before(list(100));
    for word in ["NaN", "Infinity", "null", "0,1", "-0.5", "free"] {
        let spoiled = |count: usize| {
            let mut records = list(100);
            for record in &mut records[..count] {
                record.prices = PriceStrings::new([("prompt", word), ("completion", word)]);
            }
            after(records)
        };
        let refused = spoiled(50).check_successor(&older).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("50 models with prices, where there were 100"),
            "{word}: {refused}"
        );
        // Of a few models the prices are merely not known; they are not priced by what nobody can read.
        assert!(spoiled(49).check_successor(&older).is_ok(), "{word}");
        assert_eq!(spoiled(49).price_jumps(&older), []);
    }
}

#[test]
fn f42_prices_in_another_unit_are_refused_with_a_sentence() {
    let older = before(list(400));
    // Per thousand or per million tokens instead of per token, and the other way about.
    for power in [2, 3, 6, -2, -3, -6] {
        let newer = after(moved(400, 400, power));
        let refused = newer.check_successor(&older).unwrap_err();
        assert!(matches!(&refused, CatalogueError::Successor { .. }));
        assert_eq!(
            refused.to_string(),
            format!(
                "the list cannot follow the one before: of 400 models 400 have a price a hundred times what it was, or a hundredth, \
                 as prompt of a/00000, 0.000000001 before and 0.000000001e{power} now"
            )
        );
        // Nor does the right one follow the wrong one, if that was ever taken.
        assert!(
            before(list(400))
                .check_successor(&on("2026-08-21", moved(400, 400, power)))
                .is_err()
        );
    }
    // Ten times as much is dear, and may be true.
    for power in [1, -1] {
        assert!(after(moved(400, 400, power)).check_successor(&older).is_ok());
        assert_eq!(after(moved(400, 400, power)).price_jumps(&older), []);
    }
}

/// One model may change as it likes: it is named, and the list is taken. Many at once are refused.
#[test]
fn f42_one_price_that_jumps_is_reported_and_many_are_refused() {
    let older = before(list(100));
    let one = after(moved(100, 1, 2));
    assert!(one.check_successor(&older).is_ok());
    let jumps = one.price_jumps(&older);
    let named: Vec<_> = jumps
        .iter()
        .map(|jump| {
            (
                jump.model.as_str(),
                jump.key,
                jump.before.as_str(),
                jump.now.as_str(),
            )
        })
        .collect();
    assert_eq!(
        named,
        [
            ("a/00000", "prompt", "0.000000001", "0.000000001e2"),
            ("a/00000", "completion", "0.000000005", "0.000000005e2"),
        ]
    );
    for (models, jumped, fine) in [
        (100, 4, true),
        (100, 5, false),
        (40, 2, false),
        (41, 2, true),
        (2, 1, true),
        (2, 2, false),
        (1, 1, true),
    ] {
        let newer = after(moved(models, jumped, 3));
        let checked = newer.check_successor(&before(list(models)));
        assert_eq!(checked.is_ok(), fine, "{jumped} of {models}: {checked:?}");
    }
    // What was free and is not, or the other way about, is a jump as well; what was free and is, is none.
    let free = |count: usize| {
        let mut records = list(100);
        for (number, record) in records.iter_mut().enumerate().take(count) {
            *record = priced(number, "0", "0");
        }
        records
    };
    assert!(after(free(4)).check_successor(&older).is_ok());
    assert!(after(free(5)).check_successor(&older).is_err());
    assert!(after(list(100)).check_successor(&before(free(5))).is_err());
    assert!(after(free(100)).check_successor(&before(free(100))).is_ok());
    // New models have no price before, and prices that depend are not compared.
    assert!(after(list(190)).check_successor(&older).is_ok());
    let mut depends = list(100);
    depends[0] = priced(0, "-1", "-1");
    assert_eq!(after(depends).price_jumps(&older), []);
}

proptest! {
    /// A list follows itself and any that is near it, and its opposite is refused as it is: what is a jump one way is one the other.
    #[test]
    fn f42_jumps_are_the_same_both_ways(prices in prop::collection::vec((0u64..10_000, 0u64..10_000), 1..40)) {
        let records = |which: fn(&(u64, u64)) -> u64| -> Vec<_> {
            let record = |(number, pair): (usize, &(u64, u64))| priced(number, &nano(which(pair)), "1");
            prices.iter().enumerate().map(record).collect()
        };
        let (a, b) = (on("2026-08-22", records(|pair| pair.0)), on("2026-08-22", records(|pair| pair.1)));
        // By whole numbers, as plainly as it can be said.
        let jumped = |(x, y): &(u64, u64)| x != y && (*x >= 100 * y || *y >= 100 * x);
        let expected: Vec<_> = (0..prices.len()).filter(|at| jumped(&prices[*at])).map(|at| format!("a/{at:05}")).collect();
        let found = |jumps: Vec<model_catalogue::PriceJump>| -> Vec<_> {
            jumps.into_iter().map(|jump| jump.model.as_str().to_owned()).collect()
        };
        prop_assert_eq!(found(a.price_jumps(&b)), expected.clone());
        prop_assert_eq!(found(b.price_jumps(&a)), expected.clone());
        let refused = expected.len() > 1 && expected.len() * 20 >= prices.len();
        prop_assert_eq!(a.check_successor(&b).is_err(), refused);
        prop_assert_eq!(b.check_successor(&a).is_err(), refused);
        prop_assert!(a.check_successor(&a).is_ok() && a.price_jumps(&a).is_empty());
    }
}
