//! What is believed, chosen and refused by policies that learn on the way.
#![allow(missing_docs, clippy::unwrap_used)]

use experiments::bandit::{Dice, Posterior, thompson};
use experiments::statistics::Cholesky;
use proptest::collection::vec;
use proptest::prelude::*;
use routing_learned::online::{Contextual, MOST_ARMS, OnlineError, Rule, Settings};

const GREEDY: Settings = Settings {
    rule: Rule::LinUcb { alpha: 0.0 },
    exploration: 0.0,
};

fn policy(dimension: usize, arms: usize, settings: Settings) -> Contextual {
    let mut policy = Contextual::new(dimension, settings).unwrap();
    for _ in 0..arms {
        policy.add_arm(&vec![0.0; dimension], 1.0).unwrap();
    }
    policy
}

/// Three arms at context [1]: means 0.8, 0.7 and 0.1, all but the last one plausible.
fn three(settings: Settings) -> Contextual {
    let mut policy = Contextual::new(1, settings).unwrap();
    for mean in [0.8, 0.7, 0.1] {
        policy.add_arm(&[mean], 100.0).unwrap();
    }
    policy
}

const FREE: [Option<f64>; 3] = [Some(0.0); 3];

#[test]
fn what_is_believed_is_the_ridge_regression_of_all_outcomes() {
    let (d, strength, prior) = (3, 2.0, [0.5, 0.0, -0.25]);
    let mut policy = Contextual::new(d, GREEDY).unwrap();
    policy.add_arm(&prior, strength).unwrap();
    let mut dice = Dice::new(3);
    let mut matrix = vec![vec![0.0; d]; d];
    let mut right = prior.map(|value| strength * value);
    for (at, row) in matrix.iter_mut().enumerate() {
        row[at] = strength;
    }
    for _ in 0..500 {
        let context = [1.0, dice.normal(), 3.0 * dice.unit()];
        let reward = dice.unit();
        policy.observe(0, &context, reward).unwrap();
        for (row, x) in matrix.iter_mut().zip(context) {
            for (sum, y) in row.iter_mut().zip(context) {
                *sum += x * y;
            }
        }
        for (sum, x) in right.iter_mut().zip(context) {
            *sum += x * reward;
        }
    }
    let batch = Cholesky::of(&matrix).unwrap().solve(&right);
    for (own, other) in policy.weights(0).unwrap().iter().zip(&batch) {
        assert!((own - other).abs() < 1e-10, "{own} {other}");
    }
    assert_eq!(policy.observed(0), Ok(500));
}

#[test]
fn utility_is_reward_less_the_price() {
    let policy = three(GREEDY);
    let mut dice = Dice::new(1);
    let mut chosen = |prices: [Option<f64>; 3], lambda| {
        let chosen = policy.select(&[1.0], &prices, lambda, &mut dice).unwrap();
        assert_eq!(chosen.propensity, 1.0);
        chosen.arm
    };
    assert_eq!(chosen(FREE, 1.0), 0);
    assert_eq!(chosen([Some(1.0), Some(0.0), Some(0.0)], 0.09), 0);
    assert_eq!(chosen([Some(1.0), Some(0.0), Some(0.0)], 0.11), 1);
    assert_eq!(chosen([Some(1.0), Some(1.0), Some(0.0)], 0.71), 2);
    // A price that is not known is not a price of nothing.
    assert_eq!(chosen([None, Some(1.0), None], 100.0), 1);
    assert_eq!(chosen([Some(f64::MAX), Some(1.0), None], f64::MAX), 0);
}

#[test]
fn optimism_tries_what_is_not_known() {
    let mut policy = Contextual::new(
        1,
        Settings {
            rule: Rule::LinUcb { alpha: 1.0 },
            exploration: 0.0,
        },
    )
    .unwrap();
    policy.add_arm(&[0.5], 1.0).unwrap();
    policy.add_arm(&[0.5], 4.0).unwrap();
    let mut dice = Dice::new(1);
    let mut tried = [0; 2];
    for _ in 0..100 {
        let chosen = policy.select(&[1.0], &[Some(0.0); 2], 0.0, &mut dice).unwrap();
        tried[chosen.arm] += 1;
        policy.observe(chosen.arm, &[1.0], 0.5).unwrap();
    }
    // The same rewards: what was known less is tried more, by the three outcomes that the second prior was worth.
    assert!(tried[0] == 51 || tried[0] == 52, "{tried:?}");
}

#[test]
fn propensities_of_exploration_are_those_of_the_draw() {
    let settings = Settings {
        rule: Rule::LinUcb { alpha: 0.05 },
        exploration: 0.3,
    };
    let policy = three(settings);
    let mut dice = Dice::new(5);
    let mut counts = [0.0; 3];
    let n = 40_000;
    for _ in 0..n {
        let chosen = policy.select(&[1.0], &FREE, 0.0, &mut dice).unwrap();
        counts[chosen.arm] += 1.0;
        let told = [0.7 + 0.15, 0.15, 0.0][chosen.arm];
        assert!((chosen.propensity - told).abs() < 1e-12, "{chosen:?}");
        assert!(chosen.could_choose(0) && chosen.could_choose(1));
        assert!(!chosen.could_choose(2) && !chosen.could_choose(64));
    }
    assert_eq!(counts[2], 0.0);
    // Four deviations.
    let off = (counts[1] / f64::from(n) - 0.15).abs();
    assert!(off < 4.0 * (0.15_f64 * 0.85 / f64::from(n)).sqrt(), "{counts:?}");
}

#[test]
fn thompson_chooses_as_often_as_an_arm_is_best_and_its_propensities_weigh_to_one() {
    let settings = Settings {
        rule: Rule::Thompson { spread: 1.0 },
        exploration: 0.0,
    };
    let mut policy = Contextual::new(1, settings).unwrap();
    let arms = [(0.6, 25.0), (0.5, 4.0), (0.2, 100.0)];
    for (mean, strength) in arms {
        policy.add_arm(&[mean], strength).unwrap();
    }
    let posteriors =
        arms.map(|(mean, strength): (f64, f64)| Posterior::normal(mean, strength.sqrt().recip()).unwrap());
    let exact = thompson(&posteriors).unwrap();
    let mut dice = Dice::new(9);
    let (mut counts, mut weights, mut reached) = ([0.0; 3], [0.0; 3], [0.0; 3]);
    let n = 20_000.0;
    for _ in 0..20_000 {
        let chosen = policy.select(&[1.0], &FREE, 0.0, &mut dice).unwrap();
        counts[chosen.arm] += 1.0 / n;
        weights[chosen.arm] += 1.0 / chosen.propensity / n;
        for (arm, slot) in reached.iter_mut().enumerate() {
            *slot += f64::from(u8::from(chosen.could_choose(arm))) / n;
        }
    }
    for arm in 0..3 {
        let p = exact.as_slice()[arm];
        let reach = 4.5 * (p * (1.0 - p) / n).sqrt();
        assert!((counts[arm] - p).abs() < reach, "{arm}: {} {p}", counts[arm]);
        // One of 32 draws held it for best.
        let told = 1.0 - (1.0 - p).powi(32);
        assert!(
            (reached[arm] - told).abs() < 0.02,
            "{arm}: {} {told}",
            reached[arm]
        );
        // Whatever could be chosen has a mean weight of 1; a weight of 32 at most, so a deviation of √32 at most.
        let off = (weights[arm] - reached[arm]).abs();
        assert!(off < 4.5 * (32.0 * reached[arm] / n).sqrt(), "{arm}: {off}");
    }
}

#[test]
fn a_warm_start_is_all_its_outcomes() {
    let contexts = [1.0, 0.5, 1.0, -0.5, 1.0, 2.0];
    let rewards = [0.1, 0.9, 0.2, 0.8, 0.3, 0.7];
    let mut warm = policy(2, 2, GREEDY);
    warm.warm_start(&contexts, &rewards).unwrap();
    let mut one_by_one = policy(2, 2, GREEDY);
    for (context, rewards) in contexts.chunks(2).zip(rewards.chunks(2)) {
        for (arm, reward) in rewards.iter().enumerate() {
            one_by_one.observe(arm, context, *reward).unwrap();
        }
    }
    assert!(warm == one_by_one);
    for (contexts, rewards) in [
        (&contexts[..5], &rewards[..]),
        (&contexts, &rewards[..5]),
        (&contexts, &[0.5, 0.5, 0.5, 0.5, 0.5, 1.5]),
        (&[1.0, 1.0, 1.0, 1.0, 1.0, f64::NAN], &rewards),
        (&contexts, &[]),
    ] {
        assert!(warm.warm_start(contexts, rewards).is_err());
    }
    assert!(warm == one_by_one, "what is refused changes nothing");
    let mut none = policy(2, 0, GREEDY);
    assert_eq!(none.warm_start(&[], &[]), Err(OnlineError::NoArm));
}

#[test]
fn what_is_not_a_request_is_refused() {
    let mut dice = Dice::new(1);
    let settings = |rule, exploration| Contextual::new(2, Settings { rule, exploration });
    for bad in [-0.1, 1.1, f64::NAN] {
        assert!(settings(Rule::LinUcb { alpha: 0.0 }, bad).is_err());
    }
    for bad in [-0.1, 11.0, f64::NAN, f64::INFINITY] {
        assert!(settings(Rule::LinUcb { alpha: bad }, 0.0).is_err());
        assert!(settings(Rule::Thompson { spread: bad }, 0.0).is_err());
    }
    for bad in [0, 65, usize::MAX] {
        assert!(Contextual::new(bad, GREEDY).is_err());
    }
    let mut policy = policy(2, 2, GREEDY);
    let before = policy.clone();
    for (mean, strength) in [
        (&[0.0][..], 1.0),
        (&[0.0, f64::NAN], 1.0),
        (&[0.0, 1e4], 1.0),
        (&[0.0, 0.0], 0.0),
        (&[0.0, 0.0], f64::NAN),
    ] {
        assert!(policy.add_arm(mean, strength).is_err());
    }
    let fine = [1.0, 1.0];
    let free = [Some(0.0); 2];
    for context in [&[][..], &[1.0], &[1.0; 3], &[f64::NAN, 1.0], &[1.0, 1e4]] {
        assert!(policy.select(context, &free, 0.0, &mut dice).is_err());
        assert!(policy.observe(0, context, 0.5).is_err());
        assert!(policy.predicted(0, context).is_err());
    }
    for prices in [&[][..], &free[..1], &[Some(-1.0), None], &[None, Some(f64::NAN)]] {
        assert!(policy.select(&fine, prices, 0.0, &mut dice).is_err());
    }
    let none = policy.select(&fine, &[None, None], 0.0, &mut dice);
    assert_eq!(none, Err(OnlineError::NoArm));
    for lambda in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(policy.select(&fine, &free, lambda, &mut dice).is_err());
    }
    for reward in [-0.1, 1.1, f64::NAN] {
        assert!(policy.observe(0, &fine, reward).is_err());
    }
    let unknown = Err(OnlineError::UnknownArm { arm: 2, arms: 2 });
    assert_eq!(policy.observe(2, &fine, 0.5), unknown);
    assert!(policy.predicted(2, &fine).is_err() && policy.weights(2).is_err() && policy.observed(2).is_err());
    assert!(policy == before, "what is refused changes nothing");
    while policy.arms() < MOST_ARMS {
        policy.add_arm(&[0.0; 2], 1.0).unwrap();
    }
    assert!(policy.add_arm(&[0.0; 2], 1.0).is_err());
    let chosen = policy.select(&fine, &[Some(0.0); MOST_ARMS], 0.0, &mut dice);
    assert!(chosen.unwrap().could_choose(0));
}

#[test]
fn a_stored_policy_is_checked() {
    let mut policy = policy(2, 1, GREEDY);
    policy.observe(0, &[1.0, 0.0], 0.5).unwrap();
    let text = serde_json::to_string(&policy).unwrap();
    assert!(serde_json::from_str::<Contextual>(&text).unwrap() == policy);
    assert!(
        text.contains(r#""mean":[0.25,0.0],"triangle":[0.5,0.0,1.0]"#),
        "{text}"
    );
    for (from, to) in [
        (r#""triangle":[0.5,0.0,1.0]"#, r#""triangle":[0.5,0.8,1.0]"#),
        (r#""triangle":[0.5,0.0,1.0]"#, r#""triangle":[-0.5,0.0,1.0]"#),
        (r#""triangle":[0.5,0.0,1.0]"#, r#""triangle":[0.0,0.0,1.0]"#),
        (r#""triangle":[0.5,0.0,1.0]"#, r#""triangle":[0.5,0.0]"#),
        (r#""triangle":[0.5,0.0,1.0]"#, r#""triangle":[0.5,0.0,1.0,1.0]"#),
        (r#""triangle":[0.5,0.0,1.0]"#, r#""triangle":[0.5,0.0,1e300]"#),
        (r#""mean":[0.25,0.0]"#, r#""mean":[0.25]"#),
        (r#""mean":[0.25,0.0]"#, r#""mean":[0.25,1e300]"#),
        (r#""mean":[0.25,0.0]"#, r#""mean":[0.25,null]"#),
        (r#""dimension":2"#, r#""dimension":0"#),
        (r#""dimension":2"#, r#""dimension":18446744073709551615"#),
        (r#""dimension":2"#, r#""dimension":3"#),
        (r#""exploration":0.0"#, r#""exploration":2.0"#),
        (r#""exploration":0.0"#, r#""exploration":0.0,"more":1"#),
    ] {
        assert!(text.contains(from), "{text} {from}");
        let bad = text.replace(from, to);
        assert!(serde_json::from_str::<Contextual>(&bad).is_err(), "{bad}");
    }
}

/// Contexts as hostile as are let through.
fn context(dimension: usize) -> impl Strategy<Value = Vec<f64>> {
    let number = prop_oneof![
        -1.0..1.0_f64,
        Just(0.0),
        Just(1_000.0),
        Just(-1_000.0),
        Just(1e-300),
    ];
    vec(number, dimension)
}

/// A hostile number.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        proptest::num::f64::ANY,
        0.0..1.0_f64,
        Just(f64::NAN),
        Just(f64::MAX),
        Just(-0.0)
    ]
}

proptest! {
    #[test]
    fn the_order_of_outcomes_does_not_matter(
        outcomes in vec((0..3_usize, vec(-2.0..2.0_f64, 4), 0.0..=1.0_f64), 0..80),
        seed in any::<u64>(),
    ) {
        let mut shuffled = outcomes.clone();
        let mut dice = Dice::new(seed);
        for last in (1..shuffled.len()).rev() {
            shuffled.swap(last, dice.below(last + 1));
        }
        let learn = |outcomes: &[(usize, Vec<f64>, f64)]| {
            let mut policy = policy(4, 3, GREEDY);
            for (arm, context, reward) in outcomes {
                policy.observe(*arm, context, *reward).unwrap();
            }
            policy
        };
        let (one, other) = (learn(&outcomes), learn(&shuffled));
        let numbers = |policy: &Contextual| -> Vec<f64> {
            let stored = serde_json::to_value(policy).unwrap();
            let arms = stored["arms"].as_array().unwrap();
            let all = arms.iter().flat_map(|arm| ["mean", "triangle"].map(|name| arm[name].as_array().unwrap()));
            all.flatten().map(|value| value.as_f64().unwrap()).collect()
        };
        for (a, b) in numbers(&one).iter().zip(numbers(&other)) {
            prop_assert!((a - b).abs() < 1e-6, "{} {}", a, b);
        }
    }

    #[test]
    fn a_stored_policy_is_the_same_and_nothing_becomes_no_number(
        outcomes in vec((0..2_usize, context(5), 0.0..=1.0_f64), 0..60),
        strength in prop_oneof![Just(1e-3), Just(1.0), Just(1e6)],
        asked in context(5),
        is_thompson in any::<bool>(),
    ) {
        let rule = if is_thompson { Rule::Thompson { spread: 1.0 } } else { Rule::LinUcb { alpha: 1.0 } };
        let mut policy = Contextual::new(5, Settings { rule, exploration: 0.1 }).unwrap();
        for _ in 0..2 {
            policy.add_arm(&[0.0; 5], strength).unwrap();
        }
        for (arm, context, reward) in &outcomes {
            policy.observe(*arm, context, *reward).unwrap();
        }
        let read: Contextual = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
        prop_assert!(read == policy);
        let chosen = policy.select(&asked, &[Some(0.5), Some(0.1)], 0.2, &mut Dice::new(7)).unwrap();
        prop_assert!(chosen.propensity > 0.0 && chosen.propensity <= 1.0 && chosen.could_choose(chosen.arm));
        prop_assert_eq!(read.select(&asked, &[Some(0.5), Some(0.1)], 0.2, &mut Dice::new(7)).unwrap(), chosen);
        prop_assert!(policy.predicted(0, &asked).unwrap().is_finite());
    }

    #[test]
    fn hostile_numbers_are_refused_or_answered(
        mean in vec(any_number(), 0..4),
        strength in any_number(),
        context in vec(any_number(), 0..4),
        prices in vec(proptest::option::of(any_number()), 0..5),
        lambda in any_number(),
        reward in any_number(),
        arm in 0..5_usize,
    ) {
        let settings = Settings { rule: Rule::Thompson { spread: 0.5 }, exploration: 0.05 };
        let mut policy = policy(2, 2, settings);
        let _ = policy.add_arm(&mean, strength);
        let _ = policy.observe(arm, &context, reward);
        let _ = policy.warm_start(&context, &mean);
        if let Ok(chosen) = policy.select(&context, &prices, lambda, &mut Dice::new(1)) {
            prop_assert!(chosen.propensity > 0.0 && chosen.propensity <= 1.0);
            prop_assert!(prices[chosen.arm].is_some());
        }
    }
}
