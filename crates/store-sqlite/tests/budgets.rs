//! A thousand threads on one hard budget, with the ledger on a disk: what is booked there never passes the limit by more than calls
//! took beyond what was held for them.
//!
//! The file has one owner, so that the step which admits is in the memory of that process; what it admits is written with what it
//! holds before the call is made.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use common::{began, intent, open, settlement};
use costing::budget::{
    Account, BudgetRule, BudgetRules, Claim, LocalBudgets, Reservation, ReservationId, Scope, Subject,
    Target, Window, WorstCase,
};
use costing::{BudgetStore, Caller, Charge, CostStatus, LedgerStore, Outcome, Pico, UtcTime};
use rusqlite::Connection;
use store_sqlite::SqliteStore;
use tokio::runtime::{Handle, Runtime};

const CALLS: usize = 1_000;

/// What is held for every call: a cent.
const HELD: i64 = 10_000_000_000;

fn now() -> UtcTime {
    UtcTime::from(began())
}

fn day() -> Account {
    Account::new(Scope::Global, Window::Day)
}

/// One hard limit a day, over all callers.
fn rules(limit: Pico) -> BudgetRules {
    BudgetRules::new([BudgetRule::hard(Target::global(), Window::Day, limit)]).unwrap()
}

/// How a call ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// With this charge.
    Charged(i64),
    /// Nobody knows what it cost.
    Unknown,
    /// It was never sent.
    Released,
    /// Whoever made it is gone, and nobody ends it.
    Never,
}

/// What all the threads share.
struct Gateway {
    rules: BudgetRules,
    budgets: Arc<LocalBudgets>,
    ledger: SqliteStore,
    runtime: Handle,
    /// Told before it is settled, so that the bound is never behind what was spent.
    over: AtomicI64,
    limit: i64,
}

impl Gateway {
    fn open(folder: &Path, runtime: &Runtime, limit: i64) -> Arc<Self> {
        Arc::new(Self {
            rules: rules(Pico::new(limit)),
            budgets: Arc::new(LocalBudgets::new()),
            ledger: open(folder),
            runtime: runtime.handle().clone(),
            over: AtomicI64::new(0),
            limit,
        })
    }

    fn claim(&self, number: usize) -> Claim {
        let id = ReservationId::new(common::id(&format!("r{number}")), 1);
        let worst = WorstCase::known(Pico::new(HELD));
        let subject = Subject::new(&Caller::of_key("k1"));
        self.rules
            .claim(id, &subject, worst, now(), Duration::from_secs(660))
    }

    fn reserve(&self, number: usize) -> Option<Reservation> {
        let shared: Arc<dyn BudgetStore> = Arc::clone(&self.budgets) as _;
        let claim = self.claim(number);
        self.runtime.block_on(Reservation::take(shared, &claim)).ok()
    }

    /// Writes the intent, and how the call ended.
    fn call(&self, number: usize, mut held: Reservation, end: End) {
        let request = format!("r{number}");
        let mut intent = intent(&request, 1);
        intent.reserved = Some(Pico::new(HELD));
        self.runtime.block_on(self.ledger.intend(intent)).unwrap();
        let mut ended = settlement(&request, 1);
        (ended.bill, ended.fee) = (Vec::new(), Pico::ZERO);
        ended.charge = charge(match end {
            End::Charged(amount) => Some(amount),
            End::Released => Some(0),
            End::Unknown | End::Never => None,
        });
        match end {
            End::Charged(amount) => {
                held.sent();
                self.over.fetch_add((amount - HELD).max(0), Ordering::SeqCst);
                held.settle(Pico::new(amount));
            }
            End::Unknown => {
                held.sent();
                held.settle_unknown();
            }
            End::Released => {
                ended.outcome = Outcome::Cancelled;
                held.release();
            }
            End::Never => {
                held.sent();
                return drop(held);
            }
        }
        self.runtime.block_on(self.ledger.settle(ended)).unwrap();
        let (spent, reserved) = self.stands();
        let bound = self.limit + self.over.load(Ordering::SeqCst);
        assert!(
            spent + reserved <= bound,
            "{spent} and {reserved} are over {bound}"
        );
    }

    /// What is spent and held, in pico-dollars.
    fn stands(&self) -> (i64, i64) {
        let accounts: Vec<_> = self
            .rules
            .accounts(&Subject::new(&Caller::of_key("k1")))
            .collect();
        let facts = self
            .runtime
            .block_on(self.budgets.facts(&accounts, now()))
            .unwrap();
        (facts[0].spent.get(), facts[0].reserved.get())
    }
}

/// No markup, so that what is charged is what the call cost.
fn charge(amount: Option<i64>) -> Charge {
    Charge {
        cost: amount.map(Pico::new),
        markup: amount.map(|_| Pico::ZERO),
        charge: amount.map(Pico::new),
        markup_bps: 0,
        status: if amount.is_some() {
            CostStatus::Reported
        } else {
            CostStatus::Pending
        },
    }
}

/// Runs a thousand threads that begin at once; what each of them says.
fn at_once<T: Send + 'static>(run: impl Fn(usize) -> T + Send + Sync + 'static) -> Vec<T> {
    let (run, start) = (Arc::new(run), Arc::new(Barrier::new(CALLS)));
    let threads: Vec<_> = (0..CALLS)
        .map(|number| {
            let (run, start) = (Arc::clone(&run), Arc::clone(&start));
            let thread = std::thread::Builder::new().stack_size(256 * 1024);
            let call = move || {
                start.wait();
                run(number)
            };
            thread.spawn(call).unwrap()
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// What the file says, read by another connection: so many numbers of one row.
fn asked<const N: usize>(folder: &Path, sql: &str) -> [i64; N] {
    let file = Connection::open(folder.join("waypost.db")).unwrap();
    file.query_row(sql, [], |row| {
        Ok(std::array::from_fn(|at| {
            row.get::<_, Option<i64>>(at).unwrap().unwrap_or(0)
        }))
    })
    .unwrap()
}

fn end(number: usize) -> End {
    match number % 10 {
        // 0.015 dollars more than was held.
        0 => End::Charged(25_000_000_000),
        1 => End::Unknown,
        2 => End::Released,
        3 => End::Never,
        4 => End::Charged(HELD),
        _ => End::Charged(8_000_000_000),
    }
}

#[test]
fn f45_a_thousand_threads_over_sqlite_never_pass_the_limit() {
    const LIMIT: i64 = 5_000_000_000_000;
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(dir.path(), &runtime, LIMIT);
    // All ask before any of them ends: exactly as many are admitted as fit, whoever they are.
    let asked_first = Arc::new(Barrier::new(CALLS));
    let first = {
        let gateway = Arc::clone(&gateway);
        at_once(move |number| {
            let held = gateway.reserve(number);
            asked_first.wait();
            let admitted = held.is_some();
            if let Some(held) = held {
                gateway.call(number, held, end(number));
            }
            admitted
        })
    };
    let admitted = first.iter().filter(|admitted| **admitted).count();
    assert_eq!(i64::try_from(admitted).unwrap(), LIMIT / HELD);
    assert_eq!(gateway.stands().1, 0, "nothing is held any more");
    // Most took less than was held, so that there is room again: the others ask, and end while more of them ask.
    let second = {
        let gateway = Arc::clone(&gateway);
        at_once(move |number| {
            if first[number] {
                return false;
            }
            let Some(held) = gateway.reserve(number) else {
                return false;
            };
            gateway.call(number, held, end(number));
            true
        })
    };
    let more = second.iter().filter(|admitted| **admitted).count();
    assert!(more > 0, "there was room again");

    let gateway = Arc::into_inner(gateway).unwrap();
    let found = runtime.block_on(gateway.ledger.verify()).unwrap();
    assert!(found.holds(), "{:#?}", found.violations);
    assert_eq!(found.attempts as usize, admitted + more);
    let (spent, reserved) = gateway.stands();
    let overshoot = runtime.block_on(gateway.budgets.overshoot()).unwrap();
    runtime.block_on(gateway.ledger.close());
    assert_eq!(overshoot.total.get(), gateway.over.load(Ordering::SeqCst));
    assert_eq!(overshoot.largest, Pico::new(15_000_000_000));
    assert_eq!(gateway.budgets.overshoot_of(&day(), now()), overshoot.total);

    let [rows, charged, open, unknown] = asked(
        dir.path(),
        "SELECT count(*), sum(charge_pico), sum(outcome IS NULL), sum(outcome IS NOT NULL AND charge_pico IS NULL) FROM attempts",
    );
    assert_eq!(rows as usize, admitted + more);
    assert!(charged <= LIMIT + overshoot.total.get(), "{charged}");
    // Those of which nobody knows count with what was held, until somebody does.
    assert_eq!(
        (spent, reserved),
        (charged + (open + unknown) * HELD, 0),
        "the budget is what the ledger says"
    );
    assert!(open > 0 && unknown > 0);
    let [held, released, of_ended] = asked(
        dir.path(),
        "SELECT sum(amount_pico) FILTER (WHERE kind = 'reserve'), sum(amount_pico) FILTER (WHERE kind = 'release'),
            sum(amount_pico) FILTER (WHERE kind = 'reserve' AND outcome IS NOT NULL)
        FROM entries JOIN attempts USING (request_id, attempt)",
    );
    assert_eq!(released, of_ended, "what ended holds nothing");
    assert_eq!(held - released, open * HELD, "what is open holds what it held");
}

/// Where each call takes just what was held, the limit is reached and never passed.
#[test]
fn f45_a_thousand_threads_that_take_what_they_hold_reach_the_limit_and_no_more() {
    const LIMIT: i64 = 3_330_000_000_000;
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(dir.path(), &runtime, LIMIT);
    let admitted = {
        let gateway = Arc::clone(&gateway);
        at_once(move |number| {
            let held = gateway.reserve(number)?;
            gateway.call(number, held, End::Charged(HELD));
            Some(())
        })
    };
    assert_eq!(admitted.into_iter().flatten().count(), 333);
    assert_eq!(gateway.stands(), (LIMIT, 0));
    let found = runtime.block_on(gateway.ledger.verify()).unwrap();
    assert!(found.holds() && found.open == 0, "{:#?}", found.violations);
    assert_eq!(found.charged, Pico::new(LIMIT).into());
    let overshoot = runtime.block_on(gateway.budgets.overshoot()).unwrap();
    assert_eq!(overshoot.total, Pico::ZERO);
    drop(gateway);
    let sql = "SELECT count(*), sum(charge_pico), (SELECT sum(amount_pico) FROM entries WHERE kind = 'release') FROM attempts";
    assert_eq!(asked(dir.path(), sql), [333, LIMIT, LIMIT]);
}
