//! Snapshots of prices: their names, what they share, when they hold, and what is taken off them.
#![allow(clippy::unwrap_used, missing_docs)]

use costing::{
    Discount, Markup, PriceBook, PriceError, PriceHistory, PriceKey, PriceSheet, Quantities, ServiceTier,
    UtcTime, price_call,
};
use integration_core::{ModelId, Usage};
use model_catalogue::Catalogue;
use rust_decimal::Decimal;

const NOON: UtcTime = UtcTime::from_unix(12 * 3600);

fn sheet(json: &str) -> PriceSheet {
    PriceSheet::from_pricing_json(json).unwrap()
}

fn id(name: &str) -> ModelId {
    ModelId::new(name).unwrap()
}

fn usd(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

#[test]
fn the_same_prices_have_the_same_name_however_they_are_written() {
    let a = PriceBook::new(
        "own",
        [
            (id("a/b"), sheet(r#"{"prompt":"0.10","completion":"2e-1"}"#)),
            (id("a/c"), sheet(r#"{"prompt":"0","completion":"0"}"#)),
        ],
    );
    let b = PriceBook::new(
        "own",
        [
            (id("a/c"), sheet(r#"{"completion":"0.0","prompt":"0"}"#)),
            (id("a/b"), sheet(r#"{"completion":"0.2","prompt":"0.1"}"#)),
        ],
    );
    assert_eq!((a.id(), a.content()), (b.id(), b.content()));
    assert_eq!(
        a.content(),
        "a/b\tstandard\t-\t{\"prompt\":\"0.1\",\"completion\":\"0.2\"}\na/c\tstandard\t-\t{\"prompt\":\"0\",\"completion\":\"0\"}\n"
    );
    // The last digit of any price is in the name.
    let other = a.with_sheet(
        id("a/c"),
        ServiceTier::Standard,
        sheet(r#"{"prompt":"0","completion":"0.0000000000000001"}"#),
    );
    assert_ne!(a.id(), other.id());
    // So are tiers, in whatever order they came.
    let flex = || sheet(r#"{"prompt":"0.05","completion":"0.1"}"#);
    let fast = || sheet(r#"{"prompt":"0.2","completion":"0.4"}"#);
    let tiers = |first: (ServiceTier, PriceSheet), second: (ServiceTier, PriceSheet)| {
        let book = a.with_sheet(id("a/b"), first.0, first.1);
        book.with_sheet(id("a/b"), second.0, second.1).id().to_owned()
    };
    let one = tiers((ServiceTier::Flex, flex()), (ServiceTier::Priority, fast()));
    assert_eq!(
        one,
        tiers((ServiceTier::Priority, fast()), (ServiceTier::Flex, flex()))
    );
    assert_ne!(
        one,
        tiers((ServiceTier::Flex, fast()), (ServiceTier::Priority, flex()))
    );
    // A word of no known tier cannot break the lines.
    let odd = a.with_sheet(id("a/b"), ServiceTier::from("x\ny\tz"), flex());
    assert_eq!(odd.content().lines().count(), 3);
    let (shown, expected) = (
        format!("{a:?}"),
        format!("PriceBook {{ id: {:?}, models: 2 }}", a.id()),
    );
    assert_eq!(shown, expected);
}

#[test]
fn a_price_put_back_is_the_first_book_again() {
    let book = PriceBook::new(
        "own",
        [(id("a/b"), sheet(r#"{"prompt":"0.1","completion":"0.2"}"#))],
    );
    let old = book.sheet(&id("a/b")).unwrap().clone();
    let other = book.with_sheet(
        id("a/b"),
        ServiceTier::Standard,
        sheet(r#"{"prompt":"1","completion":"1"}"#),
    );
    let back = other.with_sheet(id("a/b"), ServiceTier::Standard, old);
    assert_eq!(back.id(), book.id());
    assert_eq!(back, book);
    let empty = PriceBook::new("own", []);
    assert!(empty.is_empty() && empty.content().is_empty());
}

#[test]
fn the_canonical_text_says_every_shipped_price() {
    let catalogue = Catalogue::bundled().unwrap();
    let (book, _) = PriceBook::from_catalogue(&catalogue);
    assert_eq!(book.content().lines().count(), book.len());
    for record in catalogue.records() {
        let sheet = book.sheet(&record.id).unwrap();
        let json = sheet.to_pricing_json();
        let again = PriceSheet::from_pricing_json(&json).unwrap();
        assert_eq!(again.to_pricing_json(), json, "{}", record.id);
        for key in PriceKey::ALL {
            for prompt in [0, 1_000_000] {
                for at in [0, 3 * 3600, 5 * 3600, 86_400 * 2 + 12 * 3600].map(UtcTime::from_unix) {
                    assert_eq!(
                        again.rate(key, prompt, at),
                        sheet.rate(key, prompt, at),
                        "{}",
                        record.id
                    );
                }
            }
        }
    }
    // A changed book of a catalogue is named after it, and is not it.
    let changed = book.with_sheet(
        id("a/b"),
        ServiceTier::Standard,
        sheet(r#"{"prompt":"0","completion":"0"}"#),
    );
    assert!(changed.id().starts_with(&format!("{}-", catalogue.id())));
    assert_eq!(changed.len(), book.len() + 1);
}

#[test]
fn conditions_are_in_the_canonical_text() {
    let json = r#"{"prompt":"0.1","completion":"-1","image":"2","overrides":[{"min_prompt_tokens":5,"prompt":"0.2"},{"utc_start":2230,"utc_end":100,"utc_days":["saturday","sunday"],"completion":"0.5"}]}"#;
    let sheet = sheet(json);
    let expected = r#"{"prompt":"0.1","completion":"-1","image":"2","overrides":[{"min_prompt_tokens":5,"prompt":"0.2"},{"utc_start":2230,"utc_end":100,"utc_days":["saturday","sunday"],"completion":"0.5"}]}"#;
    assert_eq!(sheet.to_pricing_json(), expected);
    // What is not understood is not priced by, and is not in it.
    let odd = PriceSheet::from_pricing_json(
        r#"{"prompt":"0.1","completion":"0","video":"1","overrides":[{"region":"eu","prompt":"0.2"}]}"#,
    )
    .unwrap();
    assert_eq!(odd.to_pricing_json(), r#"{"prompt":"0.1","completion":"0"}"#);
}

#[test]
fn prices_hold_from_their_day_until_the_next() {
    let book = |price: &str| {
        let json = format!(r#"{{"prompt":"{price}","completion":"0"}}"#);
        PriceBook::new("own", [(id("a/b"), sheet(&json))])
    };
    let (old, new) = (book("0.1"), book("0.2"));
    let at = UtcTime::from_unix;
    let history = PriceHistory::new()
        .with(at(100), old.clone())
        .unwrap()
        .with(at(200), new.clone())
        .unwrap();
    let held = |seconds| history.at(at(seconds)).map(PriceBook::id);
    assert_eq!(
        [99, 100, 199, 200, i64::MAX].map(held),
        [
            None,
            Some(old.id()),
            Some(old.id()),
            Some(new.id()),
            Some(new.id())
        ]
    );
    assert_eq!(PriceHistory::new().at(at(0)), None);
    // A call keeps the book it was admitted under.
    let admitted = history.at(at(150)).unwrap().clone();
    let grown = history.clone().with(at(300), book("0.3")).unwrap();
    assert_eq!(admitted, old);
    assert_eq!(grown.book(admitted.id()), Some(&old));
    assert_eq!(grown.book("no-such-prices"), None);
    assert_eq!(grown.iter().len(), 3);
    // The past is not rewritten.
    for from in [199, 200] {
        let error = history.clone().with(at(from), book("0.4")).unwrap_err();
        assert_eq!((error.from, error.last), (from, 200));
        assert!(error.to_string().contains("200"), "{error}");
    }
}

#[test]
fn a_discount_is_on_every_price_and_the_list_stays() {
    let list = sheet(
        r#"{"prompt":"0.000002","completion":"0.000008","request":"0.01","image":"1","web_search":"-1",
            "overrides":[{"min_prompt_tokens":10,"prompt":"0.000004"}]}"#,
    );
    let reduced = list.with_discount(Discount::from_bps(1_250).unwrap()).unwrap();
    let cost = |sheet: &PriceSheet, prompt| {
        sheet
            .cost(&Quantities::of_tokens(prompt, 10), NOON)
            .unwrap()
            .total()
    };
    assert_eq!(cost(&list, 10), usd("0.0101"));
    assert_eq!(cost(&reduced, 10), usd("0.0088375"));
    assert_eq!(
        cost(&reduced, 11),
        cost(&list, 11) * usd("0.875"),
        "the tier is reduced, too"
    );
    assert_eq!(reduced.rate(PriceKey::WebSearch, 0, NOON), None);
    assert_eq!(reduced.discount().map(Discount::bps), Some(1_250));
    assert_eq!((reduced.list(), list.discount()), (&list, None));
    assert_eq!(list.list(), &list);
    assert_eq!(cost(reduced.list(), 10), usd("0.0101"));
    // Nothing off, all off.
    let same = list.with_discount(Discount::from_bps(0).unwrap()).unwrap();
    assert_eq!(cost(&same, 11), cost(&list, 11));
    let nothing = list.with_discount(Discount::from_bps(10_000).unwrap()).unwrap();
    assert_eq!(cost(&nothing, 11), Decimal::ZERO);
    assert_eq!(Discount::from_bps(10_001), None);
    // A price is never rounded: where the digits do not suffice there is no such sheet.
    let fine = sheet(r#"{"prompt":"0.0000000000000000000000000001","completion":"0"}"#);
    let error = fine.with_discount(Discount::from_bps(1).unwrap()).unwrap_err();
    assert_eq!(
        error,
        PriceError::Discounted {
            key: PriceKey::Prompt,
            bps: 1
        }
    );
    assert!(error.to_string().contains("`prompt` less 1 basis"), "{error}");
    let book = PriceBook::new("own", [(id("a/b"), fine)]);
    let error = book.with_discount(Discount::from_bps(1).unwrap()).unwrap_err();
    assert_eq!(error.model, id("a/b"));
    // The same prices with a discount and without are two lists.
    let before = PriceBook::new("own", [(id("a/b"), list)]);
    let after = before.with_discount(Discount::from_bps(0).unwrap()).unwrap();
    assert_ne!(before.id(), after.id());
}

#[test]
fn a_batch_has_the_prices_of_its_own_entry() {
    let catalogue = Catalogue::bundled().unwrap();
    let (book, _) = PriceBook::from_catalogue(&catalogue);
    let mut found = 0;
    for record in catalogue.records() {
        let Some(base) = record.id.as_str().strip_suffix(":batch") else {
            continue;
        };
        let batch = book.tier_sheet(&id(base), &ServiceTier::Batch).unwrap();
        assert_eq!(Some(batch), book.sheet(&record.id));
        found += 1;
    }
    assert!(found > 0);
    assert_eq!(book.tier_sheet(&id("a/unknown"), &ServiceTier::Batch), None);
    for (word, tier) in [
        ("default", ServiceTier::Standard),
        ("", ServiceTier::Standard),
        ("fast", ServiceTier::Priority),
        ("priority", ServiceTier::Priority),
        ("ultrafast", ServiceTier::Ultrafast),
        ("Batch", ServiceTier::Batch),
        ("gold", ServiceTier::Other("gold".to_owned())),
    ] {
        assert_eq!(ServiceTier::from(word), tier);
        assert_eq!(ServiceTier::from(tier.to_string().as_str()), tier);
    }
}

/// The prices change while calls run: each is priced by the book it was admitted under, whenever it ends, and what is kept of it
/// says which book that was.
#[test]
fn f44_a_price_that_changes_during_a_call_does_not_change_its_bill() {
    let book = |prompt: &str| {
        let rates = format!(r#"{{"prompt":"{prompt}","completion":"0.00001"}}"#);
        PriceBook::new("own", [(id("a/b"), sheet(&rates))])
    };
    let (before, after) = (book("0.000001"), book("0.000002"));
    let change = UtcTime::from_unix(NOON.unix() + 10);
    let history = PriceHistory::new()
        .with(UtcTime::from_unix(0), before.clone())
        .unwrap()
        .with(change, after.clone())
        .unwrap();
    let usage = Usage::from_json(r#"{"prompt_tokens":1000,"completion_tokens":10}"#).unwrap();
    let bill = |book: &PriceBook, at: UtcTime| {
        let sheet = book.sheet(&id("a/b"));
        let priced = price_call(Some(&usage), sheet, at, Markup::NONE);
        priced.charge.cost.unwrap().to_string()
    };
    // Admitted a second before the change, at it, and after it; all of them end long after.
    for (admitted, cost, of) in [
        (UtcTime::from_unix(change.unix() - 1), "0.0011", &before),
        (change, "0.0021", &after),
        (UtcTime::from_unix(change.unix() + 1), "0.0021", &after),
    ] {
        let held = history.at(admitted).unwrap().clone();
        assert_eq!(held.id(), of.id());
        // A third list comes, and a price of one's own, while the call runs.
        let later = history
            .clone()
            .with(UtcTime::from_unix(change.unix() + 5), book("0.5"))
            .unwrap();
        let _own = held.with_sheet(
            id("a/b"),
            ServiceTier::Standard,
            sheet(r#"{"prompt":"1","completion":"1"}"#),
        );
        assert_eq!(bill(&held, admitted), cost);
        // By the name that is kept with the attempt the same book is found, and the same bill made again.
        let by_name = later.book(held.id()).unwrap();
        assert_eq!((by_name, bill(by_name, admitted).as_str()), (of, cost));
        assert_ne!(
            bill(
                later.at(UtcTime::from_unix(change.unix() + 60)).unwrap(),
                admitted
            ),
            cost
        );
    }
}
