//! The store in memory is held to what every store is held to, and the words of the ledger are read as they are written.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use costing::conformance::{MemoryLedger, Run, intent, settlement};
use costing::{
    Account, AttemptRow, BillLine, EntryKind, LedgerStore, Outcome, Pico, PicoSum, Place, RollupChanges,
    RollupRow, Rule, Verifier, intent_entries, settlement_entries,
};

fn with_store(scenario: fn(Arc<dyn LedgerStore>) -> Run) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(scenario(Arc::new(MemoryLedger::new())));
}

costing::ledger_conformance!(with_store);

#[test]
fn words_are_read_as_they_are_written() {
    for kind in EntryKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    assert_eq!(
        "credit".parse::<EntryKind>().unwrap_err().to_string(),
        "`credit` is no kind of entry"
    );
    for account in [
        "customer:",
        "customer:a:b",
        "provider:openrouter",
        "markup",
        "fees",
        "suspense",
    ] {
        assert_eq!(account.parse::<Account>().unwrap().to_string(), account);
    }
    for text in ["", "provider:", "customer", "Markup"] {
        assert_eq!(
            text.parse::<Account>().unwrap_err().to_string(),
            format!("`{text}` is no account")
        );
    }
    for outcome in [Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled] {
        assert_eq!(outcome.to_string().parse(), Ok(outcome));
    }
    assert!("done".parse::<Outcome>().is_err());
}

#[test]
fn a_bill_is_read_as_it_was_written() {
    let bill = settlement("r", 1).bill;
    let text = serde_json::to_string(&bill).unwrap();
    assert_eq!(serde_json::from_str::<Vec<BillLine>>(&text).unwrap(), bill);
    for (from, to) in [
        ("completion", "nonsense"),
        ("reported", "sure"),
        ("0.000001", "1e-6"),
        ("\"quantity\":7", "\"quantity\":-7"),
    ] {
        assert!(text.contains(from), "{text}");
        assert!(
            serde_json::from_str::<Vec<BillLine>>(&text.replace(from, to)).is_err(),
            "{to}"
        );
    }
}

#[test]
fn sums_are_written_digit_by_digit() {
    for (pico, text) in [
        (0, "0"),
        (1, "0.000000000001"),
        (-1, "-0.000000000001"),
        (1_500_000_000_000, "1.5"),
        (-12_000_000_000_000, "-12"),
    ] {
        assert_eq!(PicoSum::new(pico).to_string(), text);
        assert_eq!(PicoSum::new(pico).to_decimal().unwrap().to_string(), text);
    }
    assert_eq!(
        serde_json::to_string(&PicoSum::new(10)).unwrap(),
        "\"0.00000000001\""
    );
    assert_eq!(PicoSum::new(i128::MAX).to_decimal(), None);
    assert_eq!(PicoSum::new(5).to_pico(), Some(Pico::new(5)));
    assert_eq!(PicoSum::new(1 << 63).to_pico(), None);
    assert_eq!(
        [Pico::new(2), Pico::new(-3)].into_iter().sum::<PicoSum>(),
        PicoSum::new(-1)
    );
}

/// What a check finds where one thing was changed.
fn found(
    change: impl FnOnce(&mut AttemptRow, &mut Vec<costing::Entry>, &mut Vec<RollupRow>),
) -> Vec<(Rule, Place)> {
    let mut row = AttemptRow::open(intent("r", 1));
    row.intent.reserved = Some(Pico::new(50));
    row.settlement = Some(settlement("r", 1));
    let mut entries = intent_entries(&row.intent);
    entries.extend(settlement_entries(&row.intent, &settlement("r", 1)).unwrap());
    let mut changes = RollupChanges::new();
    changes.add(&row, &entries);
    let sums = changes.iter().map(|(key, change)| RollupRow {
        key: key.clone(),
        sums: change.to_sums().unwrap(),
    });
    let mut rollups: Vec<_> = sums.collect();
    change(&mut row, &mut entries, &mut rollups);
    let mut verifier = Verifier::new();
    verifier.attempt(&row, &entries);
    rollups.into_iter().for_each(|row| verifier.rollup(row));
    let found = verifier.finish();
    assert_eq!(found.violation_count, found.violations.len() as u64);
    assert!(
        found
            .violations
            .iter()
            .all(|violation| violation.to_string().starts_with(violation.rule.as_str()))
    );
    found
        .violations
        .into_iter()
        .map(|violation| (violation.rule, violation.place))
        .collect()
}

#[test]
fn a_whole_ledger_has_no_violation() {
    assert_eq!(found(|_, _, _| ()), []);
}

#[test]
fn every_change_is_found_where_it_is() {
    let attempt = || Place::Attempt(costing::conformance::id("r"), 1);
    let has = |found: &[(Rule, Place)], rule, place: &Place| found.contains(&(rule, place.clone()));
    // An amount of an entry.
    let all = found(|_, entries, _| {
        entries
            .iter_mut()
            .find(|e| e.kind == EntryKind::Settle)
            .unwrap()
            .amount = Pico::new(1)
    });
    assert!(has(&all, Rule::LineIsEntries, &attempt()), "{all:?}");
    assert!(has(
        &all,
        Rule::LinesAreRequest,
        &Place::Request(costing::conformance::id("r"))
    ));
    assert!(has(
        &all,
        Rule::RequestsAreKey,
        &Place::Account(Account::Customer("k1".into()))
    ));
    assert!(all.iter().any(|(rule, place)| *rule == Rule::RollupsAreEntries
        && place.to_string().contains("all labels, succeeded, reported")));
    // Entries that are missing, twice, from a wrong account.
    let all = found(|_, entries, _| entries.retain(|e| e.kind != EntryKind::Release));
    assert!(
        has(&all, Rule::OneEnd, &attempt()) && has(&all, Rule::OneEnd, &Place::Account(Account::Suspense)),
        "{all:?}"
    );
    let all = found(|_, entries, _| entries.push(entries[2].clone()));
    assert!(
        has(&all, Rule::Once, &attempt()) && has(&all, Rule::OneEnd, &attempt()),
        "{all:?}"
    );
    let all = found(|_, entries, _| entries[2].debit = Account::Customer("k2".into()));
    assert!(has(&all, Rule::LineIsEntries, &attempt()), "{all:?}");
    assert!(
        has(
            &all,
            Rule::RequestsAreKey,
            &Place::Account(Account::Customer("k2".into()))
        ),
        "{all:?}"
    );
    let all = found(|_, entries, _| entries[2].attempt = 2);
    assert!(has(&all, Rule::Once, &attempt()), "{all:?}");
    // The line and its bill.
    let all = found(|row, _, _| row.settlement.as_mut().unwrap().bill[0].amount = Pico::new(1));
    assert_eq!(all, [(Rule::BillIsLine, attempt())]);
    let all = found(|row, _, _| row.settlement.as_mut().unwrap().charge.charge = Some(Pico::new(1)));
    assert!(has(&all, Rule::LineIsEntries, &attempt()), "{all:?}");
    let all = found(|row, _, _| row.settlement.as_mut().unwrap().charge.markup = None);
    assert!(has(&all, Rule::LineIsEntries, &attempt()), "{all:?}");
    // Booked, and open.
    let all = found(|row, _, _| row.settlement = None);
    assert!(has(&all, Rule::OneEnd, &attempt()), "{all:?}");
    // Sums: changed, missing, twice, of nothing.
    let wrong = |change: fn(&mut Vec<RollupRow>)| {
        let all = found(|_, _, rollups| change(rollups));
        assert!(all.len() == 1 && matches!(all[0].1, Place::Rollup(_)), "{all:?}");
        all[0].0
    };
    assert_eq!(
        wrong(|rollups| rollups[0].sums.attempts = 2),
        Rule::RollupsAreEntries
    );
    assert_eq!(
        wrong(|rollups| rollups[1].sums.uncached_cost = PicoSum::ZERO),
        Rule::RollupsAreEntries
    );
    assert_eq!(wrong(|rollups| drop(rollups.pop())), Rule::RollupsAreEntries);
    assert_eq!(wrong(|rollups| rollups.push(rollups[0].clone())), Rule::Once);
    assert_eq!(
        wrong(|rollups| {
            let mut stray = rollups[0].clone();
            stray.key.caller.key = "nobody".into();
            rollups.push(stray);
        }),
        Rule::RollupsAreEntries
    );
}

#[test]
fn the_same_attempt_twice_is_found() {
    let row = AttemptRow::open(intent("r", 1));
    let mut verifier = Verifier::new();
    verifier.attempt(&row, &[]);
    verifier.attempt(&row, &[]);
    verifier.stray_entry(&settlement_entries(&row.intent, &settlement("r", 1)).unwrap()[0]);
    let found = verifier.finish();
    assert_eq!(found.violations[0].rule, Rule::Once);
    assert_eq!(found.violations[1].detail, "entry settle 0 is of no attempt");
}

fn with_reconcile_store(scenario: fn(Arc<dyn costing::reconcile::ReconcileStore>) -> Run) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(scenario(Arc::new(MemoryLedger::new())));
}

costing::reconcile_conformance!(with_reconcile_store);
