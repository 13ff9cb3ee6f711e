use std::time::{Duration, UNIX_EPOCH};

use model_catalogue::PriceStrings;
use proptest::prelude::*;

use super::*;
use crate::routes::spending::Spent;
use crate::scenario::Scenario;

fn shape(text: &str) -> AccountShape {
    Scenario::read(&format!("[account]\n{text}")).unwrap().account
}

fn at(seconds: u64) -> Moment {
    Moment::new(
        Duration::from_secs(seconds),
        UNIX_EPOCH + Duration::from_secs(1_787_000_000 + seconds),
    )
}

fn spent(books: &mut Spending, key: u64, when: Moment, cents: i64) {
    books.record(
        key,
        &Spent {
            at: when.utc(),
            model: "a/b",
            provider: "X",
            cost: Decimal::new(cents, 2),
            byok: Decimal::new(cents, 2),
            prompt: 1,
            completion: 1,
            reasoning: 0,
            cached: 0,
        },
    );
}

/// A cent for a token of the prompt, ten for one of the answer.
fn sheet() -> PriceSheet {
    PriceSheet::parse(&PriceStrings::new([("prompt", "0.01"), ("completion", "0.1")])).unwrap()
}

fn weight(prompt: u64, most: Option<u64>) -> Weight {
    Weight::new(&sheet(), prompt, most, at(0).utc()).unwrap()
}

#[test]
fn a_negative_balance_stops_everything() {
    let shape = shape("credits = 1\nused = '0.5'\n");
    let mut books = Spending::default();
    spent(&mut books, 1, at(0), 50);
    assert!(Account::let_in(&shape, &books, 1, false, at(0)).is_ok());
    spent(&mut books, 1, at(0), 1);
    let problem = Account::let_in(&shape, &books, 2, false, at(0)).unwrap_err();
    assert_eq!(
        (problem.status, &problem.metadata["limit_source"]),
        (402, &json!("openrouter_credits"))
    );
    // Without an end to the credits nothing is counted.
    assert!(Account::let_in(&AccountShape::default(), &books, 1, false, at(0)).is_ok());
}

#[test]
fn a_limit_of_a_key_is_told_in_two_ways_and_starts_anew() {
    let mut books = Spending::default();
    spent(&mut books, 1, at(0), 60);
    let total = shape("[account.key_limit]\nlimit = '0.6'\n");
    let problem = Account::let_in(&total, &books, 1, false, at(0)).unwrap_err();
    assert_eq!(
        (problem.status, problem.message.as_str()),
        (402, "Key limit exceeded (total limit).")
    );
    assert!(problem.metadata.get("resets_at").is_none());
    assert!(Account::let_in(&total, &books, 2, false, at(0)).is_ok());
    // Keys that were made here have limits of their own.
    assert!(Account::let_in(&total, &books, 1, true, at(0)).is_ok());
    let daily = shape("[account.key_limit]\nlimit = 1\nreset = 'daily'\nstatus = 403\ninclude_byok = true\n");
    let problem = Account::let_in(&daily, &books, 1, false, at(0)).unwrap_err();
    assert_eq!(
        (problem.status, &problem.metadata["limit_source"]),
        (403, &json!("openrouter_key_limit"))
    );
    assert_eq!(problem.metadata["spend_usd"].to_string(), "1.2");
    assert_eq!(problem.metadata["resets_at"], "2026-08-18T00:00:00.000Z");
    assert!(Account::let_in(&daily, &books, 1, false, at(86_400)).is_ok());
}

#[test]
fn a_budget_of_the_account_is_a_403_until_it_resets() {
    let mut books = Spending::default();
    spent(&mut books, 1, at(0), 30);
    spent(&mut books, 2, at(0), 30);
    let shape = shape("[[account.budget]]\nscope = 'guardrail'\nlimit = '0.6'\nreset = 'monthly'\n");
    let problem = Account::let_in(&shape, &books, 3, false, at(0)).unwrap_err();
    assert_eq!(
        (problem.status, &problem.metadata["limit_source"]),
        (403, &json!("openrouter_guardrail_budget"))
    );
    assert_eq!(problem.metadata["resets_at"], "2026-09-01T00:00:00.000Z");
    assert!(Account::let_in(&shape, &books, 3, false, at(15 * 86_400)).is_ok());
    let weekly = shape_of_week();
    // 2026-08-17 is a Monday.
    let problem = Account::let_in(&weekly, &books, 3, false, at(0)).unwrap_err();
    assert_eq!(problem.metadata["resets_at"], "2026-08-24T00:00:00.000Z");
}

fn shape_of_week() -> AccountShape {
    shape("[[account.budget]]\nscope = 'workspace'\nlimit = '0.6'\nreset = 'weekly'\n")
}

#[test]
fn the_balance_has_to_bear_the_longest_answer() {
    let shape = shape("credits = 2\n");
    let (mut account, books) = (Account::default(), Spending::default());
    // Half a dollar of prompt and a dollar and a half of answer.
    assert!(
        account
            .afford(&shape, &books, &weight(50, Some(15)), at(0))
            .is_ok()
    );
    let problem = account
        .afford(&shape, &books, &weight(50, Some(16)), at(0))
        .unwrap_err();
    assert!(
        problem
            .message
            .contains("You requested up to 16 tokens, but can only afford 15"),
        "{}",
        problem.message
    );
    let problem = account
        .afford(&shape, &books, &weight(300, None), at(0))
        .unwrap_err();
    assert!(
        problem
            .message
            .contains("up to 65536 tokens, but can only afford 0")
    );
}

#[test]
fn requests_on_their_way_hold_a_share_of_a_low_balance() {
    let low = shape("credits = 8\nlow_balance = 10\nin_flight_share = '0.5'\n");
    let (mut account, books) = (Account::default(), Spending::default());
    // A dollar and a half each, of the four that may be held.
    let one = weight(50, Some(10));
    let mut holds = Vec::new();
    for until in [5_000, 9_100] {
        let hold = account.afford(&low, &books, &one, at(0)).unwrap();
        account.expect(hold.unwrap(), Duration::from_millis(until));
        holds.push(hold);
    }
    let problem = account.afford(&low, &books, &one, at(0)).unwrap_err();
    assert_eq!((problem.status, problem.retry_after), (402, Some(5)));
    assert_eq!(problem.metadata["limit_source"], "openrouter_in_flight_budget");
    assert_eq!(problem.metadata["retry_after_seconds"], 5);
    // A larger one has to wait for both.
    let large = weight(50, Some(30));
    let refused = account.afford(&low, &books, &large, at(0)).unwrap_err();
    assert_eq!(refused.retry_after, Some(10));
    // No time ends a hold: only the end of the request does, and nobody comes back at once.
    let refused = account.afford(&low, &books, &one, at(60)).unwrap_err();
    assert_eq!(refused.retry_after, Some(1));
    account.release(holds[0]);
    assert!(account.afford(&low, &books, &one, at(60)).is_ok());
    let alone = account
        .afford(&low, &books, &weight(50, Some(40)), at(60))
        .unwrap_err();
    assert_eq!(alone.metadata["reason"], "weight_exceeds_budget");
    assert_eq!((alone.status, alone.retry_after), (402, None));
    // Who has more than a low balance holds nothing.
    let rich = shape("credits = 80\nlow_balance = 10\n");
    assert_eq!(account.afford(&rich, &books, &large, at(0)).unwrap(), None);
    assert_eq!(account.holds.len(), 2);
}

#[test]
fn own_keys_are_free_up_to_the_allowance_of_a_month() {
    let shape = shape("byok_allowance = 1\nbyok_fee = '0.05'\n");
    let mut account = Account::default();
    let left = |cents: i64| Terms::OwnKey {
        free: Decimal::new(cents, 2),
        share: Decimal::new(5, 2),
    };
    assert_eq!(account.own_key_terms(&shape, at(0)), left(100));
    account.own_key_bought(Decimal::new(40, 2), at(0));
    assert_eq!(account.own_key_terms(&shape, at(1)), left(60));
    account.own_key_bought(Decimal::ONE, at(1));
    assert_eq!(account.own_key_terms(&shape, at(1)), left(0));
    // Half of the last one was not made after all.
    account.own_key_bought(Decimal::new(-50, 2), at(1));
    assert_eq!(account.own_key_terms(&shape, at(1)), left(10));
    let next_month = at(15 * 86_400);
    assert_eq!(account.own_key_terms(&shape, next_month), left(100));
    account.own_key_bought(Decimal::new(1, 2), next_month);
    // What ends late belongs to the month in which it began.
    account.own_key_bought(Decimal::new(-50, 2), at(1));
    assert_eq!(account.own_key_terms(&shape, next_month), left(99));
}

/// Two requests a minute around the clock, and bursts: what is let through is never more than the limits say, and the
/// next minute or day always starts anew.
#[test]
fn free_models_have_a_minute_and_a_day() {
    for (text, a_day, which) in [
        ("credits = '8.99'\n", 50, PER_DAY),
        ("credits = 9\n", 1_000, PER_DAY_HIGH),
        ("", 1_000, PER_DAY_HIGH),
    ] {
        let shape = shape(text);
        let mut account = Account::default();
        // The start is at 20:53:20, so that the day ends after 11,200 seconds.
        let mut served = 0;
        let mut refused = None;
        for second in (0..11_200).step_by(3) {
            match account.count_free(&shape, at(second)) {
                Ok(()) => served += 1,
                Err(problem) => refused = Some((second, problem)),
            }
        }
        assert_eq!(served, a_day);
        let (second, problem) = refused.unwrap();
        assert!(
            problem
                .message
                .starts_with(&format!("Rate limit exceeded: {which}. ")),
            "{}",
            problem.message
        );
        let midnight = (1_787_000_000 + 11_200) * 1_000u64;
        assert_eq!(
            problem.metadata["headers"]["X-RateLimit-Reset"],
            midnight.to_string()
        );
        assert_eq!(
            problem.headers().nth(2).unwrap(),
            ("x-ratelimit-reset", midnight.to_string())
        );
        assert_eq!(problem.metadata["limit_source"], "openrouter_free_tier_daily");
        assert_eq!(account.free_requests(&shape, at(second)), (a_day, a_day));
        assert_eq!(account.free_requests(&shape, at(11_200)), (a_day, 0));
        for burst in 0..FREE_A_MINUTE {
            assert!(account.count_free(&shape, at(11_200)).is_ok(), "{burst}");
        }
        let problem = account.count_free(&shape, at(11_259)).unwrap_err();
        assert!(
            problem
                .message
                .starts_with("Rate limit exceeded: free-models-per-min. ")
        );
        assert_eq!(
            problem.headers().nth(2).unwrap().1,
            ((1_787_000_000 + 11_260) * 1_000u64).to_string()
        );
        assert!(account.count_free(&shape, at(11_260)).is_ok());
    }
    let off = shape("free_limits = false\n");
    let mut account = Account::default();
    assert!((0..2_000).all(|_| account.count_free(&off, at(0)).is_ok()));
}

proptest! {
    #[test]
    fn the_counters_agree_with_a_list_of_all_requests(gaps in proptest::collection::vec(0u64..40, 1..400)) {
        let shape = shape("credits = 1\n");
        let mut account = Account::default();
        let mut let_through: Vec<Moment> = Vec::new();
        let mut second = 0;
        for gap in gaps {
            second += gap;
            let now = at(second);
            let minute = let_through.iter().filter(|one| one.minute() == now.minute()).count();
            let day = let_through.iter().filter(|one| one.day() == now.day()).count();
            let allowed = minute < 20 && day < 50;
            prop_assert_eq!(account.count_free(&shape, now).is_ok(), allowed);
            if allowed {
                let_through.push(now);
            }
        }
    }
}
