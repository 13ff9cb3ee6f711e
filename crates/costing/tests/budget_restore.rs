//! After a restart the budgets know what the ledger knows.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::time::Duration;

use costing::budget::{
    BudgetRule, BudgetState, Demand, Level, LocalBudgets, OnUnpriced, ReservationId, Restored, Scope, Seen,
    Subject, Target, Window, WorstCase, restore,
};
use costing::conformance::{MemoryLedger, bare_settlement, began, id, intent, settlement};
use costing::{
    AttemptIntent, BudgetStore, Caller, Charge, CostStatus, LedgerStore, MarkupRule, Pico, UtcTime,
};
use proptest::prelude::*;

#[path = "common/budgets.rs"]
mod common;

use common::{NOON, at, claim, ready, rules};

type Budgets = LocalBudgets<std::sync::Mutex<BudgetState>>;

fn subject() -> Subject {
    Subject::new(&Caller::of_key("k1").with_project("p").with_team("t")).with_user("ann")
}

fn all_scopes() -> costing::budget::BudgetRules {
    let limit = Pico::new(1_000_000_000_000);
    rules([
        BudgetRule::hard(Target::global(), Window::Month, limit),
        BudgetRule::hard(Target::team("t"), Window::Day, limit),
        BudgetRule::hard(Target::project("p"), Window::Month, limit),
        BudgetRule::hard(Target::key("k1"), Window::Minute, limit),
        BudgetRule::hard(Target::user("k1", "ann"), Window::Day, limit),
    ])
}

/// What each account of the subject has spent at a time.
fn spent(budgets: &Budgets, rules: &costing::budget::BudgetRules, at: UtcTime) -> Vec<(String, i64)> {
    let accounts: Vec<_> = rules.accounts(&subject()).collect();
    let facts = ready(budgets.facts(&accounts, at)).unwrap();
    let facts = facts
        .into_iter()
        .map(|facts| (facts.account.to_string(), facts.spent.get()));
    facts.collect()
}

#[test]
fn what_was_spent_in_the_windows_that_are_not_over_is_known_again() {
    let ledger = MemoryLedger::new();
    let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(86_400));
    // Now, an hour, a day and a month ago; by somebody else; simulated; without a known cost.
    for (request, before) in [
        ("now", Duration::ZERO),
        ("hour", hour),
        ("day", day),
        ("month", 31 * day),
    ] {
        let started = began() - before;
        ready(ledger.intend(AttemptIntent {
            started,
            ..intent(request, 1)
        }))
        .unwrap();
        ready(ledger.settle(settlement(request, 1))).unwrap();
    }
    let other = Caller::of_key("k2").with_team("t");
    ready(ledger.intend(AttemptIntent {
        caller: other,
        ..intent("other", 1)
    }))
    .unwrap();
    ready(ledger.settle(settlement("other", 1))).unwrap();
    ready(ledger.intend(AttemptIntent {
        simulated: true,
        ..intent("play", 1)
    }))
    .unwrap();
    ready(ledger.settle(settlement("play", 1))).unwrap();
    let reserved = Some(Pico::new(5_000));
    ready(ledger.intend(AttemptIntent {
        reserved,
        ..intent("unknown", 1)
    }))
    .unwrap();
    ready(ledger.settle(bare_settlement("unknown", 1))).unwrap();

    let (rules, budgets) = (all_scopes(), Budgets::new());
    let restored = ready(restore(&ledger, &rules, &budgets, false, began())).unwrap();
    assert_eq!((restored.known, restored.unknown), (4, 1), "{restored:?}");
    let one = settlement("r", 1).charge.charge.unwrap().get();
    let known = [
        ("global per month", 4 * one + 5_000),
        ("team t per day", 3 * one + 5_000),
        ("project p per month", 3 * one + 5_000),
        ("key k1 per minute", one + 5_000),
        ("user ann of key k1 per day", 2 * one + 5_000),
    ];
    let known = known.map(|(account, spent)| (account.to_owned(), spent));
    assert_eq!(spent(&budgets, &rules, began().into()), known);
    // The truth of the unknown one takes the place of what was held.
    budgets.settle(&ReservationId::new(id("unknown"), 1), Seen::Known(Pico::new(7)));
    assert_eq!(spent(&budgets, &rules, began().into())[0].1, 4 * one + 7);
    // The simulated ones are another world.
    let play = Budgets::new();
    let restored = ready(restore(&ledger, &rules, &play, true, began())).unwrap();
    assert_eq!((restored.known, restored.unknown), (1, 0));
}

#[test]
fn without_rules_that_remember_nothing_is_read() {
    let ledger = MemoryLedger::new();
    ready(ledger.intend(intent("r", 1))).unwrap();
    for rules in [
        rules([]),
        rules([BudgetRule::hard(Target::global(), Window::Request, Pico::new(5))]),
    ] {
        let restored = ready(restore(&ledger, &rules, &Budgets::new(), false, began())).unwrap();
        assert_eq!(restored, Restored::default());
    }
}

/// What an earlier process may have spent is counted above any limit, once, and keeps others out.
#[test]
fn what_is_assumed_is_refused_by_nothing_and_counts_once() {
    let rules = rules([BudgetRule::hard(
        Target::global(),
        Window::Day,
        "1".parse().unwrap(),
    )]);
    let mut state = BudgetState::new();
    for _ in 0..2 {
        state.assume(&claim(&rules, 1, "2.5", NOON));
    }
    let refusal = common::refused(&mut state, &claim(&rules, 2, "0.1", NOON));
    assert_eq!(refusal.facts.spent, "2.5".parse().unwrap());
    assert_eq!(refusal.facts.account.scope, Scope::Global);
    // It holds nothing that could expire.
    state.expire(at(3_600));
    assert!(state.take_lost().is_empty());
    assert!(state.settle(&common::id(1), Seen::Known("0.5".parse().unwrap())));
    state.reserve(&claim(&rules, 2, "0.1", NOON)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Budgets that lived through it all and budgets that were restored say the same, whatever happened.
    #[test]
    fn restored_budgets_are_those_that_never_stopped(
        calls in prop::collection::vec(
            (0_u64..200_000, proptest::option::of(0_i64..1_000_000), proptest::option::of(0_i64..1_000_000), any::<bool>()), 0..30)
    ) {
        // Of a call that has no price each budget holds an amount of its own, or nothing.
        let (ledger, floor) = (MemoryLedger::new(), OnUnpriced::Floor(Pico::new(777)));
        let limit = Pico::new(1_000_000_000_000);
        let rules = rules([
            BudgetRule::hard(Target::global(), Window::Month, limit).with_on_unpriced(OnUnpriced::Allow),
            BudgetRule::hard(Target::team("t"), Window::Day, limit).with_on_unpriced(floor),
            BudgetRule::new(Target::project("p"), Window::Month, Level::Soft, limit),
            BudgetRule::hard(Target::user("k1", "ann"), Window::Day, limit).with_on_unpriced(floor),
        ]);
        let lived = Budgets::new();
        for (number, (before, cost, held, corrected)) in calls.into_iter().enumerate() {
            let request = format!("r{number}");
            let started = began() - Duration::from_secs(before);
            let reservation = ReservationId::new(id(&request), 1);
            let demand = held.map_or(Demand::NoPrices, |held| WorstCase::known(Pico::new(held)).into());
            let claim = rules.claim(reservation.clone(), &subject(), demand, started.into(), Duration::from_secs(1_000_000));
            ready(lived.reserve(&claim)).unwrap();
            ready(ledger.intend(AttemptIntent { started, reserved: claim.demand.amount(), ..intent(&request, 1) })).unwrap();
            let mut end = bare_settlement(&request, 1);
            end.finished = started;
            match cost {
                None => lived.settle(&reservation, Seen::Unknown),
                Some(cost) => {
                    end.charge = Charge::known(Pico::new(cost), MarkupRule::DEFAULT, CostStatus::Reported).unwrap();
                    lived.settle(&reservation, Seen::Known(end.charge.charge.unwrap()));
                }
            }
            let before = end.charge.charge;
            ready(ledger.settle(end)).unwrap();
            if corrected {
                let correction = costing::conformance::correction(&request, 1, held.unwrap_or(9) / 2, CostStatus::Exact);
                let now = correction.charge.charge.unwrap();
                ready(ledger.correct(correction)).unwrap();
                match before {
                    None => lived.settle(&reservation, Seen::Known(now)),
                    Some(before) => {
                        for (account, _) in rules.accounts(&subject()) {
                            lived.record(&account, started.into(), now.checked_sub(before).unwrap());
                        }
                    }
                }
            }
        }
        let restored = Budgets::new();
        ready(restore(&ledger, &rules, &restored, false, began())).unwrap();
        prop_assert_eq!(spent(&lived, &rules, began().into()), spent(&restored, &rules, began().into()));
    }
}
