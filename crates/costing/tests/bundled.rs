//! The prices this release ships are all understood.
#![allow(clippy::unwrap_used, missing_docs)]

use costing::{PriceBook, PriceSheet, ProblemCause, UtcTime, expected_cost};
use integration_core::{ModelId, ProviderId};
use model_catalogue::{Catalogue, ModelRecord, PriceStrings};

#[test]
fn every_shipped_price_is_understood() {
    let catalogue = Catalogue::bundled().unwrap();
    let (book, problems) = PriceBook::from_catalogue(&catalogue);
    assert_eq!(problems, []);
    assert_eq!(book.id(), catalogue.id());
    assert_eq!(book.len(), catalogue.records().len());
    assert!(!book.is_empty());
    for record in catalogue.records() {
        let sheet = book.sheet(&record.id).unwrap();
        // Only routers, which choose the model per request, have no price that can be foreseen.
        assert_eq!(
            sheet.is_dynamic(),
            record.prices.rates["prompt"] == "-1",
            "{}",
            record.id
        );
        let cost = expected_cost(sheet, 1000, 500, UtcTime::from_unix(0));
        assert_eq!(cost.is_some(), !sheet.is_dynamic(), "{}", record.id);
        assert!(
            !sheet.is_free() || cost.is_some_and(|cost| cost.is_zero()),
            "{}",
            record.id
        );
    }
}

#[test]
fn a_model_without_usable_prices_has_no_sheet() {
    let record = |id: &str, prices: PriceStrings| {
        let mut record = ModelRecord::new(ModelId::new(id).unwrap());
        record.prices = prices;
        record
    };
    let records = vec![
        record(
            "a/bad",
            PriceStrings::new([("prompt", "cheap"), ("completion", "0")]),
        ),
        record(
            "a/good",
            PriceStrings::new([("prompt", "0.1"), ("completion", "0"), ("video", "0.1")]),
        ),
    ];
    let catalogue = Catalogue::new("2026-08-22", ProviderId::new("test").unwrap(), records).unwrap();
    let (book, problems) = PriceBook::from_catalogue(&catalogue);
    assert!(book.sheet(&ModelId::new("a/bad").unwrap()).is_none());
    assert!(book.sheet(&ModelId::new("a/good").unwrap()).is_some());
    assert_eq!(problems.len(), 2);
    assert!(matches!(problems[0].cause, ProblemCause::Unpriced(_)));
    assert!(
        problems[0]
            .to_string()
            .contains("a/bad: it is unpriced: the price `prompt` is `cheap`")
    );
    assert!(matches!(problems[1].cause, ProblemCause::Partly(_)));
    let sheet = PriceSheet::parse(&PriceStrings::default()).unwrap();
    let own = PriceBook::new("mine", [(ModelId::new("a/b").unwrap(), sheet)]);
    assert!(own.id().starts_with("mine-"), "{}", own.id());
    assert_eq!(own.len(), 1);
}
