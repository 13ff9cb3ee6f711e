//! Any interleaving of writes keeps every invariant: the store beside a ledger in memory and beside plain sums.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{bare_settlement, began, correction, intent, open_quick};
use costing::conformance::{MemoryLedger, all_rollups};
use costing::{Charge, CostStatus, LedgerStore, MarkupRule, Outcome, Pico, PicoSum, RollupFilter};
use proptest::prelude::*;
use tempfile::tempdir;

#[derive(Debug, Clone)]
enum Op {
    Intend {
        held: Option<i64>,
        labels: usize,
        caller: u8,
    },
    Settle {
        cost: Option<i64>,
        fee: i64,
        status: CostStatus,
        day: u64,
    },
    Correct {
        cost: i64,
        fee: i64,
        status: CostStatus,
        day: u64,
    },
    Reopen,
}

fn op() -> impl Strategy<Value = (u16, Op)> {
    let cost = || prop_oneof![Just(0), -5i64..1_000, any::<i32>().prop_map(i64::from)];
    let status = || proptest::sample::select(CostStatus::ALL.to_vec());
    let fee = || prop_oneof![Just(0i64), 0i64..50];
    // Some of these days are after the books of the month have closed.
    let day = || prop_oneof![Just(0u64), 0u64..60];
    let op = prop_oneof![
        4 => (proptest::option::of(0i64..100), 0usize..3, 0u8..3).prop_map(|(held, labels, caller)| Op::Intend { held, labels, caller }),
        4 => (proptest::option::of(cost()), fee(), status(), day()).prop_map(|(cost, fee, status, day)| Op::Settle { cost, fee, status, day }),
        4 => (cost(), fee(), status(), day()).prop_map(|(cost, fee, status, day)| Op::Correct { cost, fee, status, day }),
        1 => Just(Op::Reopen),
    ];
    (0u16..6, op)
}

/// Ten percent and a fee.
fn charge(cost: i64, fee: i64, status: CostStatus) -> Charge {
    let mut charge = Charge::known(Pico::new(cost), MarkupRule::DEFAULT, status).unwrap();
    charge.markup = charge.markup.unwrap().checked_add(Pico::new(fee));
    charge.charge = charge.charge.unwrap().checked_add(Pico::new(fee));
    charge
}

fn by_tag_or_over_all(by_tag: bool) -> RollupFilter {
    let mut filter = RollupFilter::default();
    filter.by_tag = by_tag;
    filter
}

/// What is known of an attempt, as simply as it can be said: open, or ended with a cost and charge and how sure they are.
#[derive(Clone, Copy)]
enum Known {
    Open,
    Ended(Option<(i128, i128)>, CostStatus),
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_keeps_every_invariant(ops in proptest::collection::vec(op(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempdir().unwrap();
            let memory = MemoryLedger::new();
            let mut store = Some(open_quick(dir.path()));
            let mut plain: BTreeMap<u16, Known> = BTreeMap::new();
            for (name, op) in ops {
                let (request, attempt) = (format!("r{}", name / 2), name % 2 + 1);
                let disk = store.as_ref().unwrap();
                match op {
                    Op::Reopen => {
                        drop(store.take());
                        store = Some(open_quick(dir.path()));
                    }
                    Op::Intend { held, labels, caller } => {
                        let mut intent = intent(&request, attempt);
                        intent.reserved = held.map(Pico::new);
                        intent.tags.truncate(labels);
                        intent.caller.key = format!("k{caller}");
                        let answers = (disk.intend(intent.clone()).await, memory.intend(intent).await);
                        assert_eq!(answers.0, answers.1);
                        assert_eq!(answers.0.is_ok(), !plain.contains_key(&name));
                        plain.entry(name).or_insert(Known::Open);
                    }
                    Op::Settle { cost, fee, status, day } => {
                        let mut settlement = bare_settlement(&request, attempt);
                        settlement.finished = began() + Duration::from_secs(day * 86_400);
                        if let Some(cost) = cost {
                            settlement.outcome = Outcome::Succeeded;
                            settlement.charge = charge(cost, fee, status);
                            settlement.fee = Pico::new(fee);
                        }
                        let answers = (disk.settle(settlement.clone()).await, memory.settle(settlement.clone()).await);
                        assert_eq!(answers.0, answers.1);
                        let open = matches!(plain.get(&name), Some(Known::Open));
                        assert_eq!(answers.0.is_ok(), open);
                        if open {
                            let share = |cost: i64| i128::from(settlement.charge.charge.unwrap().get() - cost);
                            let amounts = cost.map(|cost| (i128::from(cost), i128::from(cost) + share(cost)));
                            plain.insert(name, Known::Ended(amounts, settlement.charge.status));
                        }
                    }
                    Op::Correct { cost, fee, status, day } => {
                        let mut correction = correction(&request, attempt, cost, status);
                        correction.at = began() + Duration::from_secs(day * 86_400);
                        (correction.charge, correction.fee) = (charge(cost, fee, status), Pico::new(fee));
                        let answers = (disk.correct(correction.clone()).await, memory.correct(correction.clone()).await);
                        assert_eq!(answers.0, answers.1);
                        if let (Some(Known::Ended(amounts, known)), Ok(written)) = (plain.get(&name).copied(), answers.0) {
                            assert!(amounts.is_some() || written, "what was not known is known now");
                            assert!(amounts.is_none() || status <= known || !written, "the less sure does not win");
                            if written {
                                let whole = i128::from(correction.charge.charge.unwrap().get());
                                plain.insert(name, Known::Ended(Some((cost.into(), whole)), status));
                            } else if status <= known {
                                let unchanged = Some((cost.into(), i128::from(correction.charge.charge.unwrap().get())));
                                assert_eq!(amounts, unchanged, "only what says the same is not written");
                            }
                        } else {
                            assert!(!matches!(plain.get(&name), Some(Known::Ended(..))));
                        }
                    }
                }
            }
            let store = store.unwrap();
            for request in ["r0", "r1", "r2"].map(common::id) {
                assert_eq!(store.attempts(&request).await.unwrap(), memory.attempts(&request).await.unwrap());
                assert_eq!(store.entries(&request).await.unwrap(), memory.entries(&request).await.unwrap());
            }
            for by_tag in [false, true] {
                let filter = by_tag_or_over_all(by_tag);
                let rows = all_rollups(&store, &filter).await;
                assert_eq!(rows, all_rollups(&memory, &filter).await);
                if by_tag {
                    continue;
                }
                let ended = plain.values().filter_map(|known| match known {
                    Known::Ended(amounts, _) => *amounts,
                    Known::Open => None,
                });
                let (costs, charges) = ended.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
                assert_eq!(rows.iter().map(|row| row.sums.cost).sum::<PicoSum>(), PicoSum::new(costs));
                assert_eq!(rows.iter().map(|row| row.sums.charge).sum::<PicoSum>(), PicoSum::new(charges));
                assert_eq!(rows.iter().map(|row| row.sums.attempts).sum::<u64>(), plain.len() as u64);
                let unknown = plain.values().filter(|known| matches!(known, Known::Open | Known::Ended(None, _))).count();
                assert_eq!(rows.iter().map(|row| row.sums.unknown).sum::<u64>(), unknown as u64);
            }
            let found = store.verify().await.unwrap();
            assert!(found.holds(), "{:#?}", found.violations);
            assert_eq!(found, memory.verify().await.unwrap());
        });
    }
}
