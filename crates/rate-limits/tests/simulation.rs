//! Days of traffic in a moment, and many tasks at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use integration_core::{Clock, ManualClock, ModelId};
use rate_limits::{Account, Attempt, LimitRules, Limits, RateLimiter, openrouter_free_tier};

/// Three days of a caller who asks for a free model every other second: as many get through as the provider lets through, by
/// its own count, which starts anew each full minute and each day.
#[tokio::test]
async fn three_days_of_the_free_tier() {
    for (account, daily) in [(Account::Bought(0), 50), (Account::Bought(10), 1_000)] {
        let clock = ManualClock::starting_at(UNIX_EPOCH + Duration::from_secs(20_000 * 86_400 + 77_777));
        let limiter = RateLimiter::new(openrouter_free_tier(account), Arc::new(clock.clone()));
        let models: Vec<ModelId> = ["a/b:free", "c/d:free", "openrouter/free"]
            .iter()
            .map(|id| id.parse().unwrap())
            .collect();
        let (mut minutes, mut days) = (BTreeMap::new(), BTreeMap::new());
        for step in 0..3 * 43_200_usize {
            let attempt = limiter.try_acquire(&models[step % 3], 10).await.unwrap();
            if let Attempt::Granted(mut permit) = attempt {
                permit.sent();
                let second = clock.wall().duration_since(UNIX_EPOCH).unwrap().as_secs();
                *minutes.entry(second / 60).or_insert(0) += 1;
                *days.entry(second / 86_400).or_insert(0) += 1;
            }
            clock.advance(Duration::from_secs(2));
        }
        assert!(minutes.values().all(|count| *count <= 20));
        assert_eq!(minutes.values().max(), Some(&20));
        let counts: Vec<i32> = days.values().copied().collect();
        assert_eq!(counts, [daily; 4], "the first and the last day are parts of one");
    }
}

/// As many as may be are under way, and never one more, whatever the tasks do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_share_a_few_places() {
    const MOST: usize = 4;
    let rules = LimitRules::new().with_shared(
        "*".parse().unwrap(),
        "all",
        Limits::none().with_concurrency(MOST as u32),
    );
    let limiter = RateLimiter::new(rules, Arc::new(ManualClock::new()));
    let (running, peak, done) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let tasks: Vec<_> = (0..64)
        .map(|task: u64| {
            let limiter = limiter.clone();
            let (running, peak, done) = (running.clone(), peak.clone(), done.clone());
            tokio::spawn(async move {
                let model: ModelId = format!("a/{}", task % 3).parse().unwrap();
                for round in 0..50 {
                    let wait = limiter.acquire(&model, 1, None);
                    if (task + round).is_multiple_of(7) {
                        // Asks, and leaves before its turn where there is a wait.
                        drop(futures_util::FutureExt::now_or_never(wait));
                        continue;
                    }
                    let mut permit = wait.await.unwrap();
                    permit.sent();
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    peak.fetch_max(now, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(peak.load(Ordering::SeqCst) <= MOST);
    assert_eq!(running.load(Ordering::SeqCst), 0);
    assert!(done.load(Ordering::SeqCst) > 64 * 40);
    let model: ModelId = "a/0".parse().unwrap();
    let mut places = Vec::new();
    while let Attempt::Granted(permit) = limiter.try_acquire(&model, 1).await.unwrap() {
        places.push(permit);
    }
    assert_eq!(places.len(), MOST);
}

/// An hour of many waiting callers under three limits, stopped at each moment something falls due: nobody gets through too
/// early, and all the room there is is used.
#[tokio::test]
async fn an_hour_of_a_crowd() {
    let limits = Limits::none()
        .with_requests_per_minute(30)
        .with_tokens_per_minute(2_000)
        .with_concurrency(8);
    let clock = ManualClock::new();
    let limiter = RateLimiter::new(
        LimitRules::new().with("*".parse().unwrap(), limits),
        Arc::new(clock.clone()),
    )
    .with_max_wait(Duration::from_secs(7_200));
    let model: ModelId = "a/b".parse().unwrap();
    let start = clock.now();
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..1_200_u64)
        .map(|number| {
            let (limiter, clock, model, log) = (limiter.clone(), clock.clone(), model.clone(), log.clone());
            tokio::spawn(async move {
                let tokens = 20 + number % 60;
                let mut permit = limiter.acquire(&model, tokens, None).await.unwrap();
                permit.sent();
                log.lock().unwrap().push((clock.now(), tokens, number));
                clock.sleep(Duration::from_millis(500 + number % 2_000)).await;
            })
        })
        .collect();
    loop {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        if tasks.iter().all(tokio::task::JoinHandle::is_finished) {
            break;
        }
        assert!(clock.advance_to_next(), "somebody waits for nothing");
    }
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 1_200);
    assert!(
        log.is_sorted_by_key(|(_, _, number)| *number),
        "they came in their order"
    );
    let minute = Duration::from_secs(60);
    for (place, (at, _, _)) in log.iter().enumerate() {
        let recent = || log[..=place].iter().filter(|(then, _, _)| *at - *then < minute);
        assert!(recent().count() <= 30);
        assert!(recent().map(|(_, tokens, _)| tokens).sum::<u64>() <= 2_000);
    }
    // 30 a minute is the narrowest limit: 1,200 take the 40th minute to begin.
    let last = log.last().unwrap().0 - start;
    assert!(last >= minute * 39 && last < minute * 41, "{last:?}");
}
