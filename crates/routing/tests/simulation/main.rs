//! A discrete-event simulation of router and executor: made-up providers, callers and time.
//!
//! A seed is a world, and the same world each time. One that fails says how to see it again.
#![cfg(feature = "executor")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::print_stderr,
    clippy::print_stdout,
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
/// How many worlds are seen, and how many calls are made in each.
#[derive(Debug, Clone, Copy)]
struct Size {
    seeds: u64,
    calls: usize,
}

const USUAL: Size = Size {
    seeds: 1_000,
    calls: 1_000,
};
const LONG: Size = Size {
    seeds: 20,
    calls: 100_000,
};

/// Runs a test for each seed, or for the one that the environment names.
fn for_seeds(size: Size, mut check: impl FnMut(u64, usize)) {
    #[expect(clippy::disallowed_methods, reason = "to see one failing seed again")]
    let one = std::env::var("WAYPOST_SIMULATION_SEED");
    let seeds = match one {
        Ok(seed) => vec![seed.parse().expect("WAYPOST_SIMULATION_SEED is a number")],
        Err(_) => (0..size.seeds).collect(),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(seed, size.calls))) {
            // A test's thread has its name.
            let thread = std::thread::current();
            let test = thread.name().unwrap_or_default();
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

fn any_weather(size: Size) {
    let (mut last_resorts, mut ejected) = (0, 0);
    for_seeds(size, |seed, calls| {
        let run = run(any(seed, calls));
        within_budget(&run, calls);
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

/// Of a hundred calls a second, with one of three hosts in this weather, at most one in so many may fail, with any seed.
fn one_of_three(size: Size, first: Weather, one_in: usize) {
    let (mut worst, mut all, mut made) = (0, 0, 0);
    for_seeds(size, |seed, calls| {
        let run = run(three(seed, first, calls));
        within_budget(&run, calls);
        let failed = run.failed();
        worst = worst.max(failed);
        all += failed;
        made += calls;
        assert!(failed <= calls / one_in, "{failed} of {calls} calls failed");
    });
    println!(
        "{all} of {made} calls failed, with the worst seed {worst} of {}",
        size.calls
    );
}

fn everywhere(size: Size) {
    let (mut extra, mut made) = (0, 0);
    for_seeds(size, |seed, calls| {
        let all = [
            Weather::Refuses,
            Weather::Fails(1.0),
            Weather::Hangs,
            Weather::Limits(None),
        ];
        let run = run(Setup::new(seed, &[all[seed as usize % 4]; 3], calls));
        within_budget(&run, calls);
        assert_eq!(run.failed(), calls);
        extra += run.sent.len().saturating_sub(calls);
        made += calls;
    });
    println!("{extra} attempts beyond one for each of {made} calls");
}

/// The cheapest host is away for one to twenty-four seconds.
fn recovers(size: Size) {
    let (mut latest, mut ejected) = (Duration::ZERO, 0);
    for_seeds(size, |seed, calls| {
        let back = SECOND * 4 + Duration::from_millis(seed % 1_000 * 20);
        let weather = [Weather::Refuses, Weather::Hangs, Weather::Fails(1.0)][seed as usize % 3];
        let mut setup = three(seed, weather, calls);
        setup.hosts[0].push((back, Weather::Fine));
        setup.per_second = 15.0;
        let breaker = setup.config.breaker;
        let period = breaker.ejection.mul_f64(1.0 + breaker.jitter);
        let run = run(setup);
        assert!(
            run.ejected.iter().all(|(host, _)| *host == 0),
            "only this one was away"
        );
        ejected += usize::from(!run.ejected.is_empty());
        let used = run.sent.iter().find(|sent| sent.host == 0 && sent.at >= back);
        let after = used.expect("it is used again").at - back;
        latest = latest.max(after);
        // Somebody must come to find out.
        assert!(after <= period + SECOND, "used {after:?} after it was back");
        // Whoever hung has gone elsewhere by then.
        let later = run.sent.iter().filter(|sent| sent.at > back + after + 6 * SECOND);
        assert!(later.clone().count() > 0, "too short to tell");
        assert!(
            later.clone().all(|sent| sent.host == 0),
            "the cheapest has its calls back"
        );
    });
    println!("ejected in {ejected} worlds; used {latest:?} after it was back, at the latest");
}

fn fast_refusals(size: Size) {
    let mut most = 0.0_f64;
    for_seeds(size, |seed, calls| {
        let mut setup = Setup::new(seed, &[Weather::Limits(None), Weather::Slow], calls);
        setup.strategy = "lowest-latency";
        let run = run(setup);
        let share = run.sent.iter().filter(|sent| sent.host == 0).count() as f64 / run.sent.len() as f64;
        most = most.max(share);
        assert!(share < 0.05, "it was asked {share} of the time");
    });
    println!("it was asked {most} of the time at the most");
}

#[test]
fn a_host_that_breaks_every_stream_in_the_middle_is_ejected_however_many_overlap() {
    let size = Size { seeds: 100, ..USUAL };
    let mut most = 0.0_f64;
    for_seeds(size, |seed, calls| {
        let run = run(three(seed, Weather::Breaks(1.0), calls));
        assert!(run.ejected.iter().any(|(host, _)| *host == 0));
        let share = run.failed() as f64 / calls as f64;
        most = most.max(share);
        assert!(share < 0.1, "{share} of the calls broke");
    });
    println!("{most} of the calls broke at the most");
}

#[test]
fn in_any_weather_cooldowns_caps_deadlines_and_budget_are_kept() {
    any_weather(USUAL);
}

#[test]
#[ignore = "long: 20 seeds of 100,000 calls"]
fn in_any_weather_cooldowns_caps_deadlines_and_budget_are_kept_for_long() {
    any_weather(LONG);
}

#[test]
fn f01_while_one_of_three_hosts_refuses_999_of_1000_calls_succeed() {
    one_of_three(USUAL, Weather::Refuses, 1_000);
}

#[test]
#[ignore = "long: 20 seeds of 100,000 calls"]
fn f01_while_one_of_three_hosts_refuses_999_of_1000_calls_succeed_for_long() {
    one_of_three(LONG, Weather::Refuses, 1_000);
}

#[test]
fn f02_while_one_of_three_hosts_hangs_99_of_100_calls_succeed() {
    one_of_three(USUAL, Weather::Hangs, 100);
}

#[test]
#[ignore = "long: 20 seeds of 100,000 calls"]
fn f02_while_one_of_three_hosts_hangs_99_of_100_calls_succeed_for_long() {
    one_of_three(LONG, Weather::Hangs, 100);
}

#[test]
fn f08_where_every_host_fails_a_tenth_and_the_floor_is_added() {
    everywhere(USUAL);
}

#[test]
#[ignore = "long: 20 seeds of 100,000 calls"]
fn f08_where_every_host_fails_a_tenth_and_the_floor_is_added_for_long() {
    everywhere(LONG);
}

#[test]
fn f10_a_host_that_refuses_fast_loses_its_traffic_to_a_slow_one() {
    fast_refusals(USUAL);
}

#[test]
#[ignore = "long: 20 seeds of 100,000 calls"]
fn f10_a_host_that_refuses_fast_loses_its_traffic_to_a_slow_one_for_long() {
    fast_refusals(LONG);
}

#[test]
fn a_host_that_is_back_has_its_calls_back_within_one_ejection_period() {
    recovers(USUAL);
}

#[test]
#[ignore = "long: 20 seeds of 100,000 calls"]
fn a_host_that_is_back_has_its_calls_back_within_one_ejection_period_for_long() {
    recovers(LONG);
}
