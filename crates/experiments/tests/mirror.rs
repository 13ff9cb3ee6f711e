//! What a mirror may take.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use experiments::{MirrorGate, MirrorPolicy, MirrorPolicyError, MirrorTicket, NotMirrored};
use proptest::prelude::*;

const DAY: i64 = 86_400_000;

fn gate(budget: i64, in_flight: u32) -> MirrorGate {
    MirrorGate::new(MirrorPolicy::new("m", 10_000, budget, in_flight, 100).unwrap())
}

#[test]
fn the_sample_is_of_the_size_asked_for_and_the_same_everywhere() {
    let policy = |share| MirrorPolicy::new("m", share, 1, 1, 1).unwrap();
    let sampled = |share| -> Vec<u32> {
        (0..100_000)
            .filter(|i| policy(share).samples(&format!("request-{i}")))
            .collect()
    };
    let (small, large) = (sampled(500), sampled(2_000));
    assert!((small.len() as f64 - 5_000.0).abs() < 4.0 * 4_750f64.sqrt());
    assert!(small.iter().all(|i| large.binary_search(i).is_ok()));
    assert!(sampled(0).is_empty() && sampled(10_000).len() == 100_000);
    assert!(!policy(10_000).samples(""));
    let mut gate = MirrorGate::new(policy(0));
    assert_eq!(gate.take("r", Some(0), 0), Err(NotMirrored::NotSampled));
}

#[test]
fn calls_under_way_hold_their_worst_case_and_settle_for_what_they_cost() {
    let mut gate = gate(100, 10);
    let first = gate.take("a", Some(60), 0).unwrap();
    assert_eq!(gate.take("b", Some(41), 0), Err(NotMirrored::Budget));
    let second = gate.take("b", Some(40), 0).unwrap();
    assert_eq!((gate.committed_pico(), gate.spent_pico()), (100, 0));
    gate.release(first, Some(10), 1);
    gate.release(second, None, 1);
    assert_eq!(
        (gate.committed_pico(), gate.in_flight()),
        (50, 0),
        "an unknown cost is the worst case"
    );
    assert_eq!(gate.take("c", None, 2), Err(NotMirrored::UnknownCost));
    assert_eq!(gate.take("c", Some(-1), 2), Err(NotMirrored::UnknownCost));
    let third = gate.take("c", Some(1), 2).unwrap();
    gate.release(third, Some(-5), 3);
    assert_eq!(gate.spent_pico(), 51, "nothing is earned");
}

#[test]
fn no_more_than_allowed_are_under_way_and_a_lost_ticket_comes_back() {
    let mut gate = gate(100, 1);
    let ticket = gate.take("a", Some(10), 0).unwrap();
    assert_eq!(ticket.deadline_ms(), 100);
    assert_eq!(gate.take("b", Some(10), 99), Err(NotMirrored::InFlight));
    let next = gate.take("b", Some(10), 100).unwrap();
    assert_eq!((gate.spent_pico(), gate.in_flight()), (10, 1));
    gate.release(ticket, Some(3), 101);
    assert_eq!(
        (gate.spent_pico(), gate.in_flight()),
        (10, 1),
        "too late: it counts already, and the other goes on"
    );
    gate.release(next, Some(3), 101);
    assert_eq!((gate.spent_pico(), gate.in_flight()), (13, 0));
}

#[test]
fn a_day_begins_with_a_whole_budget_and_a_clock_that_goes_back_begins_none() {
    let mut gate = gate(100, 10).with_spent(95, DAY - 50);
    assert_eq!(gate.take("a", Some(6), DAY - 50), Err(NotMirrored::Budget));
    let over_midnight = gate.take("a", Some(5), DAY - 50).unwrap();
    let ticket = gate.take("b", Some(95), DAY).unwrap();
    assert_eq!(
        gate.take("c", Some(1), DAY),
        Err(NotMirrored::Budget),
        "a call still under way"
    );
    gate.release(over_midnight, Some(4), DAY + 1);
    gate.release(ticket, Some(95), DAY + 1);
    assert_eq!(gate.spent_pico(), 99);
    assert_eq!(gate.take("d", Some(2), DAY - 1), Err(NotMirrored::Budget));
}

#[test]
fn a_policy_that_makes_no_sense_is_refused_also_in_a_file() {
    let new = |salt: &str, sample, budget, timeout| MirrorPolicy::new(salt, sample, budget, 1, timeout);
    assert_eq!(new("", 1, 1, 1), Err(MirrorPolicyError::InvalidSalt));
    assert_eq!(new("a\0", 1, 1, 1), Err(MirrorPolicyError::InvalidSalt));
    assert_eq!(new("m", 10_001, 1, 1), Err(MirrorPolicyError::Sample(10_001)));
    assert_eq!(new("m", 1, -1, 1), Err(MirrorPolicyError::Budget));
    assert_eq!(new("m", 1, 1, 0), Err(MirrorPolicyError::Timeout(0)));
    let text = "salt = \"m\"\nsample_bps = 1\nbudget_per_day_pico = 5\nmax_in_flight = 2\ntimeout_ms = 9";
    assert_eq!(
        toml::from_str::<MirrorPolicy>(text).unwrap(),
        MirrorPolicy::new("m", 1, 5, 2, 9).unwrap()
    );
    for (from, to) in [
        ("sample_bps = 1", "sample_bps = 10001"),
        ("timeout_ms", "timeout"),
    ] {
        assert!(toml::from_str::<MirrorPolicy>(&text.replace(from, to)).is_err());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Take {
        worst: i64,
        after: i64,
    },
    Release {
        which: usize,
        share: Option<u8>,
        after: i64,
    },
    Lose {
        which: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0i64..60, 0i64..40).prop_map(|(worst, after)| Step::Take { worst, after }),
        (any::<usize>(), prop::option::of(0u8..=100), -20i64..40)
            .prop_map(|(which, share, after)| Step::Release { which, share, after }),
        any::<usize>().prop_map(|which| Step::Lose { which }),
    ]
}

proptest! {
    /// An independent book of what was really spent each day and is under way.
    #[test]
    fn it_is_never_over_budget_and_never_has_too_many_under_way(
        steps in prop::collection::vec(step(), 1..120), budget in 0i64..200, most in 0u32..5,
    ) {
        let mut gate = gate(budget, most);
        let mut now = DAY - 1_000;
        let mut held: Vec<(MirrorTicket, i64)> = Vec::new();
        let mut spent = std::collections::HashMap::<i64, i64>::new();
        for (i, step) in steps.into_iter().enumerate() {
            match step {
                Step::Take { worst, after } => {
                    now += after;
                    if let Ok(ticket) = gate.take(&i.to_string(), Some(worst), now) {
                        held.push((ticket, worst));
                    }
                }
                Step::Release { which, share, after } if !held.is_empty() => {
                    now += after;
                    let (ticket, worst) = held.swap_remove(which % held.len());
                    let cost = share.map(|share| worst * i64::from(share) / 100);
                    *spent.entry(now.div_euclid(DAY)).or_default() += cost.unwrap_or(0);
                    gate.release(ticket, cost, now);
                }
                Step::Lose { which } if !held.is_empty() => {
                    drop(held.swap_remove(which % held.len()));
                }
                _ => {}
            }
            prop_assert!(gate.committed_pico() <= budget);
            prop_assert!(gate.spent_pico() >= 0 && gate.in_flight() <= most);
            // A call released after its deadline counts with its worst case, on the day of the deadline or later.
            prop_assert!(spent.values().sum::<i64>() <= 2 * budget, "two days at most are in this test");
        }
    }
}
