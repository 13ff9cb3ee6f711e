//! A discrete-event simulation of router and executor: made-up providers, callers and time.
//!
//! A seed is a world, and the same world each time. One that fails says how to see it again.
#![cfg(feature = "executor")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub
)]

mod watch;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use routing::{Dice, ExecutorConfig, HedgePolicy};
use world::{Run, Setup, Weather, run};

const SECOND: Duration = Duration::from_secs(1);
/// In each test, unless it says otherwise.
const SEEDS: u64 = 1_000;
const CALLS: usize = 1_000;

/// Runs a test for each seed, or for the one that the environment names.
fn for_seeds(test: &str, seeds: u64, mut check: impl FnMut(u64)) {
    #[expect(clippy::disallowed_methods, reason = "to see one failing seed again")]
    let one = std::env::var("WAYPOST_SIMULATION_SEED");
    let seeds = match one {
        Ok(seed) => vec![seed.parse().expect("WAYPOST_SIMULATION_SEED is a number")],
        Err(_) => (0..seeds).collect(),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
            eprintln!(
                "see it again: WAYPOST_SIMULATION_SEED={seed} cargo test -p routing --test simulation {test} -- --exact --include-ignored"
            );
            resume_unwind(panic);
        }
    }
}

/// Any weather, any settings.
fn any(seed: u64, calls: usize) -> Setup {
    let mut dice = Dice::new(seed ^ 0x5eed);
    let mut pick = |of: usize| ((dice.unit() * of as f64) as usize).min(of - 1);
    let hosts = 1 + pick(5);
    let mut setup = Setup::new(seed, &vec![Weather::Fine; hosts], calls);
    setup.per_second = [5.0, 50.0, 200.0][pick(3)];
    let lasts = calls as f64 / setup.per_second;
    for host in &mut setup.hosts {
        for _ in 0..pick(6) {
            let from = Duration::from_secs_f64(lasts * pick(1_000) as f64 / 1_000.0);
            let weather = match pick(9) {
                0 => Weather::Slow,
                1 => Weather::Refuses,
                2 => Weather::Hangs,
                3 => Weather::Limits(None),
                4 => Weather::Limits(Some(SECOND * pick(40) as u32)),
                5 => Weather::Fails(1.0),
                6 => Weather::Fails(0.5),
                7 => Weather::Breaks(0.3),
                _ => Weather::Fine,
            };
            host.push((from, weather));
        }
        host.sort_by_key(|(from, _)| *from);
    }
    setup.strategy = [
        "cheapest",
        "lowest-latency",
        "least-busy",
        "round-robin",
        "weighted",
    ][pick(5)];
    setup.hang_ups = [0.0, 0.05, 0.3][pick(3)];
    let mut config = ExecutorConfig::new(1 + pick(5) as u16, SECOND * (1 + pick(40) as u32))
        .with_retries(pick(3) as u16)
        .with_seed(seed);
    if pick(3) > 0 {
        config = config.with_attempt_timeout(SECOND * (1 + pick(8) as u32));
    }
    if pick(3) == 0 {
        config = config.with_hedge(HedgePolicy::new(Duration::from_millis(400)).with_share(0.1));
    }
    setup.config = config;
    setup
}

/// What every run must keep, beside what the world itself holds at every step.
fn within_budget(run: &Run, calls: usize) {
    let extra = run.sent.len().saturating_sub(calls);
    let windows = run.lasted.as_secs().div_ceil(10) as usize + 1;
    assert!(
        extra <= calls / 10 + 30 * windows,
        "{} attempts for {calls} calls in {:?}",
        run.sent.len(),
        run.lasted
    );
}

#[test]
fn any_weather() {
    let mut last_resorts = 0;
    let mut ejected = 0;
    for_seeds("any_weather", SEEDS, |seed| {
        let run = run(any(seed, CALLS));
        within_budget(&run, CALLS);
        last_resorts += run.last_resorts;
        ejected += run.ejected.len();
    });
    println!("{ejected} ejections, {last_resorts} attempts of last resort");
}

/// Three hosts, of which the cheapest has this weather: from the beginning or, with every other seed, after three fine seconds.
fn three(seed: u64, first: Weather, calls: usize) -> Setup {
    let mut setup = Setup::new(seed, &[first, Weather::Fine, Weather::Fine], calls);
    if seed % 2 == 1 {
        setup.hosts[0] = vec![(Duration::ZERO, Weather::Fine), (3 * SECOND, first)];
    }
    setup
}

/// Prints the worst and the sum of the calls that failed; each run must stay within the limit.
fn at_most_fail(test: &str, setup: impl Fn(u64) -> Setup, most: usize) {
    let (mut worst, mut all, mut seeds) = (0, 0, 0);
    for_seeds(test, SEEDS, |seed| {
        let run = run(setup(seed));
        within_budget(&run, CALLS);
        let failed = run.failed();
        worst = worst.max(failed);
        all += failed;
        seeds += 1;
        if failed > 0 {
            println!("{failed} of {CALLS} calls failed with seed {seed}");
        }
        assert!(failed <= most, "{failed} of {CALLS} calls failed");
    });
    println!(
        "{test}: {all} of {} calls failed, at worst {worst} of {CALLS}",
        seeds * CALLS
    );
}

#[test]
fn f01_of_a_hundred_calls_a_second_at_least_999_in_1000_succeed_while_one_of_three_refuses() {
    at_most_fail(
        "f01_of_a_hundred_calls_a_second_at_least_999_in_1000_succeed_while_one_of_three_refuses",
        |seed| three(seed, Weather::Refuses, CALLS),
        CALLS / 1_000,
    );
}

#[test]
fn f02_of_a_hundred_calls_a_second_at_least_99_in_100_succeed_while_one_of_three_hangs() {
    at_most_fail(
        "f02_of_a_hundred_calls_a_second_at_least_99_in_100_succeed_while_one_of_three_hangs",
        |seed| three(seed, Weather::Hangs, CALLS),
        CALLS / 100,
    );
}

#[test]
fn f08_retries_add_a_tenth_and_the_floor_where_every_host_fails() {
    let mut extra = 0;
    for_seeds(
        "f08_retries_add_a_tenth_and_the_floor_where_every_host_fails",
        SEEDS,
        |seed| {
            let weather = [
                Weather::Refuses,
                Weather::Fails(1.0),
                Weather::Hangs,
                Weather::Limits(None),
            ][seed as usize % 4];
            let run = run(Setup::new(seed, &[weather; 3], CALLS));
            within_budget(&run, CALLS);
            assert_eq!(run.failed(), CALLS);
            extra += run.sent.len().saturating_sub(CALLS);
        },
    );
    println!("{extra} attempts beyond one for each call");
}

#[test]
fn a_host_that_is_back_is_used_within_one_ejection_period() {
    let mut latest = Duration::ZERO;
    for_seeds(
        "a_host_that_is_back_is_used_within_one_ejection_period",
        SEEDS,
        |seed| {
            let back = SECOND * 4 + Duration::from_millis(seed * 20);
            let weather = [Weather::Refuses, Weather::Hangs, Weather::Fails(1.0)][seed as usize % 3];
            let mut setup = three(seed, weather, CALLS);
            setup.hosts[0].push((back, Weather::Fine));
            setup.per_second = 15.0;
            let period = setup
                .config
                .breaker
                .ejection
                .mul_f64(1.0 + setup.config.breaker.jitter);
            let run = run(setup);
            assert!(run.ejected.iter().all(|(host, _)| *host == 0) && !run.ejected.is_empty());
            let used = run
                .sent
                .iter()
                .find(|sent| sent.host == 0 && sent.at >= back)
                .expect("it is used again");
            latest = latest.max(used.at - back);
            // Somebody must come to find out.
            assert!(
                used.at <= back + period + SECOND,
                "used {:?} after it was back",
                used.at - back
            );
            let later = run.sent.iter().filter(|sent| sent.at > used.at + SECOND);
            assert!(later.clone().count() > 0, "too short to tell");
            assert!(
                later.clone().all(|sent| sent.host == 0),
                "the cheapest host has its calls back"
            );
        },
    );
    println!("used {latest:?} after it was back, at the latest");
}

#[test]
fn f10_a_host_that_refuses_fast_loses_its_traffic_to_a_slow_one() {
    let mut most = 0.0_f64;
    for_seeds(
        "f10_a_host_that_refuses_fast_loses_its_traffic_to_a_slow_one",
        SEEDS,
        |seed| {
            let mut setup = Setup::new(seed, &[Weather::Limits(None), Weather::Slow], CALLS);
            setup.strategy = "lowest-latency";
            let run = run(setup);
            let share = run.sent.iter().filter(|sent| sent.host == 0).count() as f64 / run.sent.len() as f64;
            most = most.max(share);
            assert!(share < 0.05, "it was asked {share} of the time");
        },
    );
    println!("it was asked {most} of the time at the most");
}
