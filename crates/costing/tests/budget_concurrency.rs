//! Many callers at once on one budget: every order of a few of them, and a thousand on real threads.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use costing::budget::{
    Account, BudgetRule, BudgetRules, BudgetState, Exclusive, LocalBudgets, Reservation, Scope, ScopeKind,
    Target, Window,
};
use costing::{BudgetStore, Pico};

#[path = "common/budgets.rs"]
mod common;

use common::{NOON, anna, claim, ready, rules, usd};

/// The model checker's lock, in the place of the real one.
#[derive(Debug)]
struct Checked(loom::sync::Mutex<BudgetState>);

impl Exclusive<BudgetState> for Checked {
    fn with<R>(&self, use_it: impl FnOnce(&mut BudgetState) -> R) -> R {
        use_it(&mut self.0.lock().unwrap())
    }
}

fn two_scopes(limit: &str) -> BudgetRules {
    rules([
        BudgetRule::hard(Target::global(), Window::Day, usd(limit)),
        BudgetRule::hard(Target::each(ScopeKind::Key), Window::Month, usd("100")),
    ])
}

fn day() -> Account {
    Account::new(Scope::Global, Window::Day)
}

/// The most that was ever spent and held: reads both in one step.
fn stands(store: &dyn BudgetStore, rules: &BudgetRules) -> Vec<(Pico, Pico)> {
    let accounts: Vec<_> = rules.accounts(&anna()).collect();
    let facts = ready(store.facts(&accounts, NOON)).unwrap();
    facts.iter().map(|facts| (facts.spent, facts.reserved)).collect()
}

fn check(store: &dyn BudgetStore, rules: &BudgetRules, limit: Pico, overshoot: Pico) {
    let (spent, reserved) = stands(store, rules)[0];
    let taken = spent.checked_add(reserved).unwrap();
    assert!(
        taken <= limit.checked_add(overshoot).unwrap(),
        "{spent} + {reserved}"
    );
    assert!(spent >= Pico::ZERO && reserved >= Pico::ZERO);
}

#[test]
fn f45_in_every_order_of_three_callers_the_limit_holds() {
    loom::model(|| {
        let rules = Arc::new(two_scopes("1"));
        let store = Arc::new(LocalBudgets::behind(Checked(loom::sync::Mutex::new(
            BudgetState::new(),
        ))));
        let admitted = Arc::new(AtomicUsize::new(0));
        // Two fit beside each other, three do not; each ends in another way, one above what it held.
        let caller = |number: usize| {
            let (rules, store) = (Arc::clone(&rules), Arc::clone(&store));
            let admitted = Arc::clone(&admitted);
            move || {
                let shared: Arc<dyn BudgetStore> = Arc::clone(&store) as _;
                let taken = ready(Reservation::take(shared, &claim(&rules, number, "0.4", NOON)));
                if let Ok(mut held) = taken {
                    admitted.fetch_add(1, Ordering::Relaxed);
                    held.sent();
                    match number {
                        0 => held.release(),
                        1 => held.settle(usd("0.6")),
                        _ => drop(held),
                    }
                }
                // One looks at how things stand; that each does would only multiply the orders to be gone through.
                if number == 2 {
                    check(&*store, &rules, usd("1"), usd("0.2"));
                }
            }
        };
        let threads = [loom::thread::spawn(caller(0)), loom::thread::spawn(caller(1))];
        caller(2)();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(admitted.load(Ordering::Relaxed) >= 2);
        assert_eq!(store.open(), 0);
        let stands = stands(&*store, &rules);
        assert_eq!(stands[0], stands[1], "both scopes alike");
        assert_eq!(stands[0].1, Pico::ZERO);
    });
}

/// A step apart from its check, as other software has it: the model checker must find it out.
#[test]
fn the_checker_finds_a_check_apart_from_the_step() {
    let torn = std::panic::catch_unwind(|| {
        loom::model(|| {
            let rules = Arc::new(two_scopes("1"));
            let store = Arc::new(LocalBudgets::behind(Checked(loom::sync::Mutex::new(
                BudgetState::new(),
            ))));
            let caller = |number: usize| {
                let (rules, store) = (Arc::clone(&rules), Arc::clone(&store));
                move || {
                    let claim = claim(&rules, number, "0.6", NOON);
                    if ready(store.preview(&claim)).is_ok() {
                        store.record(&day(), NOON, usd("0.6"));
                    }
                }
            };
            let thread = loom::thread::spawn(caller(0));
            caller(1)();
            thread.join().unwrap();
            check(&*store, &rules, usd("1"), Pico::ZERO);
        });
    });
    assert!(torn.is_err());
}

#[test]
fn f45_a_thousand_at_once_never_pass_the_limit() {
    // Every call holds 0.01 and takes 0.008, but every tenth takes 0.025: 0.015 more than was held.
    const CALLS: usize = 1_000;
    let rules = Arc::new(two_scopes("5"));
    let store = Arc::new(LocalBudgets::new());
    let start = Arc::new(Barrier::new(CALLS));
    let (spent, over) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let threads: Vec<_> = (0..CALLS)
        .map(|number| {
            let (rules, store, start) = (Arc::clone(&rules), Arc::clone(&store), Arc::clone(&start));
            let (spent, over) = (Arc::clone(&spent), Arc::clone(&over));
            let call = move || {
                let claim = claim(&rules, number, "0.01", NOON);
                let shared: Arc<dyn BudgetStore> = Arc::clone(&store) as _;
                start.wait();
                let Ok(mut held) = ready(Reservation::take(shared, &claim)) else {
                    return false;
                };
                held.sent();
                std::thread::yield_now();
                let actual = usd(if number % 10 == 0 { "0.025" } else { "0.008" });
                // Told before it is settled, so that the bound is never behind what was spent.
                let beyond = (actual.get() - usd("0.01").get()).max(0);
                over.fetch_add(beyond, Ordering::SeqCst);
                held.settle(actual);
                spent.fetch_add(actual.get(), Ordering::SeqCst);
                let bound = Pico::new(over.load(Ordering::SeqCst));
                check(&*store, &rules, usd("5"), bound);
                true
            };
            std::thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(call)
                .unwrap()
        })
        .collect();
    let admitted = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .filter(|admitted| *admitted)
        .count();
    assert!(
        (200..CALLS).contains(&admitted),
        "{admitted} of {CALLS}: the limit was reached, and not by one"
    );
    let stands = stands(&*store, &rules);
    let sum = Pico::new(spent.load(Ordering::SeqCst));
    assert_eq!(
        stands,
        [(sum, Pico::ZERO), (sum, Pico::ZERO)],
        "nothing lost, nothing held"
    );
    let overshoot = ready(store.overshoot()).unwrap();
    assert_eq!(overshoot.total.get(), over.load(Ordering::SeqCst));
    assert_eq!(overshoot.largest, usd("0.015"));
    assert_eq!(store.overshoot_of(&day(), NOON), overshoot.total);
    assert_eq!(store.open(), 0);
}

#[test]
fn f45_of_a_thousand_that_hold_at_once_as_many_are_admitted_as_fit() {
    const CALLS: usize = 1_000;
    let rules = Arc::new(two_scopes("3.33"));
    let store = Arc::new(LocalBudgets::new());
    let start = Arc::new(Barrier::new(CALLS));
    let threads: Vec<_> = (0..CALLS)
        .map(|number| {
            let (rules, store, start) = (Arc::clone(&rules), Arc::clone(&store), Arc::clone(&start));
            let call = move || {
                let claim = claim(&rules, number, "0.01", NOON);
                start.wait();
                ready(store.reserve(&claim)).is_ok()
            };
            std::thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(call)
                .unwrap()
        })
        .collect();
    let admitted = threads
        .into_iter()
        .filter_map(|thread| thread.join().ok().filter(|ok| *ok));
    assert_eq!(admitted.count(), 333);
    assert_eq!(store.open(), 333);
    assert_eq!(stands(&*store, &rules)[0], (Pico::ZERO, usd("3.33")));
}
