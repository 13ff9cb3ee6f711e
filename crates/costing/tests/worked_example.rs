//! The example of `docs/costing.md`, calculated anew: the page shows what the code says, to the letter.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Write as _;

use costing::{Markup, MarkupRules, MarkupSubject, PriceSheet, PricedCall, Rounding, UtcTime, price_call};
use integration_core::Usage;

/// The text of the page's only block with this mark.
fn block<'a>(page: &'a str, mark: &str) -> &'a str {
    let start = format!("```{mark}\n");
    let (_, rest) = page.split_once(&start).unwrap();
    assert!(!rest.contains(&start), "{mark} is there twice");
    rest.split_once("```").unwrap().0
}

fn invoice(priced: &PricedCall) -> String {
    let mut text = String::new();
    let mut row = |item: &str, quantity: &str, each: &str, amount: &str| {
        let line = format!("{item:<16} {quantity:>8} {each:>13} {amount:>15}");
        writeln!(text, "{}", line.trim_end()).unwrap();
    };
    let charge = priced.charge;
    let amount = |amount: Option<costing::Pico>| amount.unwrap().to_string();
    row("item", "quantity", "$ each", "$");
    for line in priced.bill().unwrap().lines().filter(|line| line.item.is_cost()) {
        row(
            line.item.as_str(),
            &line.quantity.map(|n| n.to_string()).unwrap_or_default(),
            &line
                .unit_price
                .map(|price| price.normalize().to_string())
                .unwrap_or_default(),
            &line.amount.to_string(),
        );
    }
    row("cost", "", "", &amount(charge.cost));
    row(
        "markup",
        &format!("{} bps", charge.markup_bps),
        priced.rule.source().as_str(),
        &amount(charge.markup),
    );
    row("charge", "", "", &amount(charge.charge));
    row("status", charge.status.as_str(), "", "");
    let statement = charge.charge.unwrap().rounded(2, Rounding::HalfEven).unwrap();
    row("on a statement", "", "", &statement.shown.to_string());
    row("rounding", "", "", &statement.rounding.to_string());
    text
}

fn page() -> Option<String> {
    // The packaged crate comes without the repository's pages.
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/costing.md")).ok()
}

/// Each rule names the tests that fail without it.
#[test]
fn every_test_the_page_names_is_there() {
    let Some(page) = page() else { return };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let sources: String = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let mut named = 0;
    for row in page.lines().filter(|line| line.matches(" | ").count() == 2) {
        let tests = row.rsplit(" | ").next().unwrap();
        for name in tests.split('`').skip(1).step_by(2) {
            named += 1;
            let found = match name.strip_suffix('…') {
                Some(start) => sources.contains(&format!("fn {start}")),
                None => sources.contains(&format!("fn {name}(")),
            };
            assert!(found, "there is no test {name}");
        }
    }
    assert!(named > 30, "{named}");
}

#[test]
fn the_page_shows_what_the_code_says() {
    let Some(page) = page() else { return };
    let sheet = PriceSheet::from_pricing_json(block(&page, "json prices")).unwrap();
    let usage = Usage::from_json(block(&page, "json usage")).unwrap();
    let rules = MarkupRules::new()
        .with_global(Markup::DEFAULT)
        .with_team("research", Markup::from_bps(1_250));
    let call = MarkupSubject::default().with_key("alice").with_team("research");
    let priced = price_call(
        Some(&usage),
        Some(&sheet),
        UtcTime::from_unix(0),
        rules.rule_for(call),
    );
    let shown = invoice(&priced);
    assert_eq!(block(&page, "text invoice"), shown, "the code says:\n{shown}");
    // The figures in the sentences.
    let computed = priced.computed.unwrap().total().normalize().to_string();
    let said = |figure: &str| assert!(page.contains(figure), "the page does not say {figure}");
    let stated = priced.reported.unwrap();
    said(&format!(
        "The lines add up to {computed}. The provider states {stated}."
    ));
    let between = priced.difference().unwrap().normalize();
    said(&format!("the {between}\n   between the two"));
    said(&format!(
        "12.5 %, as there is none for the key: {}",
        priced.charge.markup.unwrap()
    ));
}
