//! Any interleaving of what can happen to budgets, against books kept the slow way.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;

use costing::budget::{
    Account, BudgetRule, BudgetRules, BudgetState, Claim, Limits, OnUnpriced, ReservationId, ScopeKind, Seen,
    Subject, Target, Window, WorstCase,
};
use costing::{Bucket, Caller, Pico, Unpriced, UtcTime};
use proptest::prelude::*;

#[path = "common/budgets.rs"]
mod common;

use common::{NOON, TTL, id};

#[derive(Debug, Clone)]
enum Step {
    Reserve {
        id: usize,
        who: usize,
        amount: Option<i64>,
    },
    Settle {
        id: usize,
        actual: i64,
    },
    Unknown {
        id: usize,
    },
    Release {
        id: usize,
    },
    Record {
        who: usize,
        amount: i64,
    },
    Pass {
        seconds: i64,
    },
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let ids = 0..12_usize;
    prop_oneof![
        6 => (ids.clone(), 0..4_usize, prop::option::weighted(0.9, 0..60_i64))
            .prop_map(|(id, who, amount)| Step::Reserve { id, who, amount }),
        4 => (ids.clone(), 0..90_i64).prop_map(|(id, actual)| Step::Settle { id, actual }),
        1 => ids.clone().prop_map(|id| Step::Unknown { id }),
        2 => ids.prop_map(|id| Step::Release { id }),
        1 => (0..4_usize, -20..20_i64).prop_map(|(who, amount)| Step::Record { who, amount }),
        3 => prop_oneof![0..90_i64, -90..0_i64, 500..2_000_i64, Just(86_400), Just(-3_000)]
            .prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Expire),
    ]
}

fn subject(who: usize) -> Subject {
    let mut caller = Caller::local();
    caller.key = ["web", "app"][who / 2].to_owned();
    caller.team = Some("sales".to_owned());
    Subject::new(&caller).with_user(["anna", "bert"][who % 2])
}

fn budgets() -> impl Strategy<Value = BudgetRules> {
    let limit = || (0..200_i64).prop_map(Pico::new);
    let on = prop_oneof![
        Just(OnUnpriced::Deny),
        Just(OnUnpriced::Allow),
        (0..40_i64).prop_map(|floor| OnUnpriced::Floor(Pico::new(floor)))
    ];
    (prop::array::uniform5(prop::option::of((limit(), on))), limit()).prop_map(|(limits, soft)| {
        let places = [
            (Target::global(), Window::Month),
            (Target::each(ScopeKind::Team), Window::Day),
            (Target::each(ScopeKind::Key), Window::Minute),
            (Target::key("web"), Window::Day),
            (Target::each(ScopeKind::User), Window::Day),
        ];
        let hard = places
            .into_iter()
            .zip(limits)
            .filter_map(|((target, window), limit)| {
                let (limit, on) = limit?;
                Some(BudgetRule::hard(target, window, limit).with_on_unpriced(on))
            });
        let soft = BudgetRule::new(Target::global(), Window::Day, costing::budget::Level::Soft, soft);
        BudgetRules::new(hard.chain([soft])).unwrap()
    })
}

/// One thing that happened to an account: nothing is ever added up before it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    Assumed,
    Spent(i64),
}

/// Every claim that was admitted, in a list that is walked for each question.
#[derive(Debug, Default)]
struct Oracle {
    claims: BTreeMap<usize, (Claim, State)>,
    ended: Vec<(Claim, i64)>,
    /// Lost so long ago that nothing is known of them but that they are spent.
    forgotten: BTreeMap<usize, Claim>,
    records: Vec<(Account, UtcTime, i64)>,
}

impl Oracle {
    fn expire(&mut self, now: UtcTime) {
        for (claim, state) in self.claims.values_mut() {
            if *state == State::Held && claim.expires <= now {
                *state = State::Assumed;
            }
        }
    }

    /// Two hours after the end of all its windows nobody needs to know of a call any more.
    fn forget(&mut self, now: UtcTime) {
        let over = |claim: &Claim| {
            let mut spans = claim
                .lines
                .iter()
                .map(|line| line.account.window.span(claim.at).unwrap());
            spans.all(|(_, end)| end.unix() + 7_200 < now.unix())
        };
        let gone: Vec<usize> = self
            .claims
            .iter()
            .filter(|(_, (claim, state))| *state == State::Assumed && over(claim))
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            let (claim, _) = self.claims.remove(&number).unwrap();
            self.forgotten.insert(number, claim);
        }
    }

    /// Spent, held, and what was taken beyond what was held, in the window of that time.
    fn sums(&self, account: &Account, at: UtcTime) -> (i64, i64, i64) {
        let (mut spent, mut held, mut over) = (0, 0, 0);
        let same = |time: UtcTime| account.window.span(time) == account.window.span(at);
        let open = self.claims.values().map(|(claim, state)| (claim, *state));
        let ended = self
            .ended
            .iter()
            .map(|(claim, actual)| (claim, State::Spent(*actual)));
        let forgotten = self.forgotten.values().map(|claim| (claim, State::Assumed));
        for (claim, state) in open.chain(ended).chain(forgotten) {
            let line = claim.lines.iter().find(|line| line.account == *account);
            let Some(line) = line.filter(|_| same(claim.at)) else {
                continue;
            };
            match state {
                State::Held => held += line.held.get(),
                State::Assumed => spent += line.held.get(),
                State::Spent(actual) => {
                    spent += actual;
                    over += (actual - line.held.get()).max(0);
                }
            }
        }
        let records = self.records.iter();
        let recorded = records.filter(|(of, time, _)| of == account && same(*time));
        spent += recorded.map(|(_, _, amount)| amount).sum::<i64>();
        (spent, held, over)
    }

    fn admits(&self, claim: &Claim) -> bool {
        claim.lines.iter().all(|line| {
            let Some(limit) = line.limits.hard else {
                return true;
            };
            let (spent, held, _) = self.sums(&line.account, claim.at);
            match (claim.demand.amount(), line.limits.on_unpriced) {
                (Some(Pico::ZERO), _) => true,
                (Some(amount), _) => spent + held + amount.get() <= limit.get(),
                (None, OnUnpriced::Floor(floor)) if floor > Pico::ZERO => {
                    spent + held + floor.get() <= limit.get()
                }
                (None, OnUnpriced::Deny) => false,
                (None, _) => spent + held < limit.get(),
            }
        })
    }
}

fn same_sums(
    state: &BudgetState,
    oracle: &Oracle,
    accounts: &[(Account, Limits)],
    now: UtcTime,
) -> Result<(), TestCaseError> {
    for (account, limits) in accounts {
        let facts = state.facts(account, limits, now).unwrap();
        let (spent, held, over) = oracle.sums(account, now);
        let found = (
            facts.spent.get(),
            facts.reserved.get(),
            state.overshoot_of(account, now).get(),
        );
        prop_assert_eq!(found, (spent, held, over), "{} at {:?}", account, now);
        prop_assert!(held >= 0);
        // Without records from outside, the bound that is promised.
        if let Some(limit) = limits.hard.filter(|_| oracle.records.is_empty()) {
            prop_assert!(spent + held <= limit.get() + over, "{}", account);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn c17_any_interleaving_keeps_the_books(rules in budgets(), steps in prop::collection::vec(step(), 1..80), records: bool) {
        let mut state = BudgetState::new();
        let mut oracle = Oracle::default();
        let mut now = NOON;
        let (mut lost, mut unknown) = (0, 0);
        let accounts: BTreeMap<Account, Limits> = (0..4).flat_map(|who| {
            let of: Vec<_> = rules.accounts(&subject(who)).map(|(account, limits)| (account, Limits::clone(&limits))).collect();
            of
        }).collect();
        let accounts: Vec<_> = accounts.into_iter().collect();
        let mut latest = now;
        for step in steps {
            match step {
                // No id is used again.
                Step::Reserve { id, .. } | Step::Settle { id, .. } | Step::Unknown { id } | Step::Release { id }
                    if oracle.forgotten.contains_key(&id) => {}
                Step::Reserve { id: number, who, amount } => {
                    let demand = match amount {
                        Some(amount) => Ok(WorstCase::known(Pico::new(amount))),
                        None => Err(Unpriced::NoPrice(Bucket::Completion)),
                    };
                    let claim = rules.claim(id(number), &subject(who), demand, now, TTL);
                    oracle.expire(now);
                    let known = oracle.claims.contains_key(&number);
                    let expected = known || oracle.admits(&claim);
                    let preview = state.preview(&claim);
                    let found = state.reserve(&claim);
                    prop_assert_eq!(found.is_ok(), expected, "{:?}", claim);
                    prop_assert_eq!(&preview, &found);
                    if expected && !known {
                        oracle.claims.insert(number, (claim, State::Held));
                    }
                }
                Step::Settle { id: number, actual } => {
                    let changed = state.settle(&id(number), Seen::Known(Pico::new(actual)));
                    let ended = oracle.claims.remove(&number);
                    prop_assert_eq!(changed, ended.is_some());
                    oracle.ended.extend(ended.map(|(claim, _)| (claim, actual)));
                }
                Step::Unknown { id: number } => {
                    let changed = state.settle(&id(number), Seen::Unknown);
                    let held = oracle.claims.get_mut(&number).filter(|(_, state)| *state == State::Held);
                    prop_assert_eq!(changed, held.is_some());
                    if let Some((_, state)) = held {
                        *state = State::Assumed;
                        unknown += 1;
                    }
                }
                Step::Release { id: number } => {
                    let changed = state.release(&id(number));
                    let ended = oracle.claims.remove(&number);
                    prop_assert_eq!(changed, ended.is_some());
                    oracle.ended.extend(ended.map(|(claim, _)| (claim, 0)));
                }
                Step::Record { who, amount } => if records {
                    let accounts: Vec<_> = rules.accounts(&subject(who)).collect();
                    for (account, _) in accounts {
                        state.record(&account, now, Pico::new(amount));
                        oracle.records.push((account, now, amount));
                    }
                },
                // Within the two hours that windows are remembered, backwards too.
                Step::Pass { seconds } => {
                    now = UtcTime::from_unix((now.unix() + seconds).max(latest.unix() - 7_000));
                    latest = latest.max(now);
                    // What has ended by then is given up at the next chance; it is the same to give it up now.
                    state.expire(now);
                    oracle.expire(now);
                    oracle.forget(latest);
                }
                Step::Expire => {
                    state.expire(now);
                    oracle.expire(now);
                    let told = state.take_lost();
                    let held = |id: &ReservationId| oracle.claims.values().any(|(claim, state)| claim.id == *id && *state == State::Held);
                    prop_assert!(!told.iter().any(held), "{:?}", told);
                    lost += told.len();
                }
            }
            same_sums(&state, &oracle, &accounts, now)?;
        }
        let held = oracle.claims.values().filter(|(_, state)| *state == State::Held).count();
        prop_assert_eq!(state.open(), held);
        lost += state.take_lost().len();
        let assumed = oracle.claims.values().filter(|(_, state)| *state == State::Assumed).count();
        prop_assert!(lost + unknown >= assumed, "each is told of, or was said to be unknown");
    }
}
