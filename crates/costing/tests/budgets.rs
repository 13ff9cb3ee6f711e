//! What budgets admit and refuse, and what becomes of holds.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::future::Future as _;
use std::sync::Arc;

use costing::budget::{
    Account, BudgetError, BudgetRule, BudgetRules, BudgetState, Demand, Estimate, HoldPolicy, Level,
    LocalBudgets, OnUnpriced, RefusalReason, Reservation, RuleError, Scope, ScopeKind, Seen, Standing,
    Subject, Target, Window, WorstCase, worst_case,
};
use costing::{BudgetStore, Caller, MarkupRule, Pico, PriceSheet, UtcTime};

#[path = "common/budgets.rs"]
mod common;

use common::{NOON, TTL, anna, at, claim, claim_of, id, ready, refused, rules, usd};

const DAY: i64 = 86_400;

fn global_day() -> Account {
    Account::new(Scope::Global, Window::Day)
}

fn day(limit: &str) -> BudgetRules {
    rules([BudgetRule::hard(Target::global(), Window::Day, usd(limit))])
}

#[test]
fn a_refusal_says_which_budget_and_how_it_stands() {
    let rules = rules([
        BudgetRule::hard(Target::global(), Window::Month, usd("100")),
        BudgetRule::hard(Target::team("sales"), Window::Day, usd("1")),
        BudgetRule::hard(Target::team("others"), Window::Day, usd("0")),
    ]);
    let mut state = BudgetState::new();
    state.reserve(&claim(&rules, 1, "0.30", NOON)).unwrap();
    state.reserve(&claim(&rules, 2, "0.25", NOON)).unwrap();
    assert!(state.settle(&id(2), Seen::Known(usd("0.60"))));
    let refusal = refused(&mut state, &claim(&rules, 3, "0.5", NOON));
    assert_eq!(refusal.facts.account.scope, Scope::Team("sales".into()));
    assert_eq!(refusal.facts.account.window, Window::Day);
    let facts = &refusal.facts;
    assert_eq!(
        (facts.limit, facts.spent, facts.reserved, facts.remaining()),
        (usd("1"), usd("0.6"), usd("0.3"), usd("0.1"))
    );
    // The midnight after noon.
    assert_eq!(facts.resets_at, Some(at(DAY / 2)));
    assert_eq!(refusal.asked, Some(usd("0.5")));
    assert_eq!(refusal.reason, RefusalReason::Spent);
    assert_eq!(
        refusal.to_string(),
        "the budget of team sales per day is $1, of which $0.6 is spent and $0.3 held; the call may take $0.5"
    );
    // Of 0.4 only what others hold is in the way.
    let refusal = refused(&mut state, &claim(&rules, 3, "0.4", NOON));
    assert_eq!(refusal.reason, RefusalReason::InFlight);
    assert!(refusal.is_transient());
    // And what exceeds the whole limit will never fit.
    let refusal = refused(&mut state, &claim(&rules, 3, "1.000000000001", NOON));
    assert_eq!(refusal.reason, RefusalReason::TooLarge);
    // To the last pico-dollar.
    state.reserve(&claim(&rules, 3, "0.1", NOON)).unwrap();
    assert_eq!(state.open(), 2);
}

#[test]
fn the_refusal_that_lasts_longest_is_told() {
    let rules = rules([
        BudgetRule::hard(Target::key("web"), Window::Minute, usd("1")),
        BudgetRule::hard(Target::key("web"), Window::Month, usd("1")),
        BudgetRule::hard(Target::each(ScopeKind::User), Window::Day, usd("1")),
    ]);
    let mut state = BudgetState::new();
    state.reserve(&claim(&rules, 1, "1", NOON)).unwrap();
    state.settle(&id(1), Seen::Known(usd("1")));
    let refusal = refused(&mut state, &claim(&rules, 2, "0.1", NOON));
    assert_eq!(refusal.facts.account.window, Window::Month);
    assert_eq!(refusal.reason, RefusalReason::Spent);
}

#[test]
fn c17_all_scopes_are_taken_from_or_none() {
    let targets = [
        Target::global(),
        Target::team("sales"),
        Target::project("shop"),
        Target::key("web"),
        Target::user("web", "anna"),
    ];
    for tight in 0..targets.len() {
        let rules = rules(targets.iter().enumerate().map(|(place, target)| {
            let limit = if place == tight { "0.5" } else { "5" };
            BudgetRule::hard(target.clone(), Window::Day, usd(limit))
        }));
        let accounts: Vec<_> = rules.accounts(&anna()).collect();
        assert_eq!(accounts.len(), 5);
        let mut state = BudgetState::new();
        state.reserve(&claim(&rules, 1, "0.4", NOON)).unwrap();
        let refusal = refused(&mut state, &claim(&rules, 2, "0.2", NOON));
        assert_eq!(refusal.facts.account.scope, accounts[tight].0.scope);
        for (account, limits) in &accounts {
            let facts = state.facts(account, limits, NOON).unwrap();
            assert_eq!((facts.spent, facts.reserved), (usd("0"), usd("0.4")), "{account}");
        }
        assert_eq!(state.open(), 1);
    }
}

#[test]
fn the_scopes_are_those_of_the_caller() {
    let all = rules([
        BudgetRule::hard(Target::global(), Window::Day, usd("1")),
        BudgetRule::hard(Target::each(ScopeKind::Team), Window::Day, usd("1")),
        BudgetRule::hard(Target::each(ScopeKind::Project), Window::Day, usd("1")),
        BudgetRule::hard(Target::each(ScopeKind::Key), Window::Day, usd("1")),
        BudgetRule::hard(Target::each(ScopeKind::User), Window::Day, usd("1")),
    ]);
    let scopes = |subject: &Subject| -> Vec<String> {
        let accounts = all.accounts(subject);
        accounts.map(|(account, _)| account.to_string()).collect()
    };
    assert_eq!(
        scopes(&anna()),
        [
            "global per day",
            "team sales per day",
            "project shop per day",
            "key web per day",
            "user anna of key web per day"
        ]
    );
    let local = Subject::new(&Caller::local());
    assert_eq!(scopes(&local), ["global per day", "key local per day"]);
    // The same word under another key is another user, and no word is no user.
    let other = Subject::new(&Caller::local()).with_user("anna");
    assert_eq!(scopes(&other).last().unwrap(), "user anna of key local per day");
    assert_eq!(scopes(&other.with_user("")), scopes(&local));
}

#[test]
fn a_rule_that_names_a_scope_takes_the_place_of_one_for_all() {
    let users = |name: &str| Target::user("web", name);
    let rules = rules([
        BudgetRule::hard(Target::each(ScopeKind::User), Window::Day, usd("1")),
        BudgetRule::new(
            Target::each(ScopeKind::User),
            Window::Day,
            Level::Soft,
            usd("0.5"),
        ),
        BudgetRule::hard(Target::users_of("web"), Window::Day, usd("2")),
        BudgetRule::hard(users("anna"), Window::Day, usd("3")).with_on_unpriced(OnUnpriced::Allow),
    ]);
    let limits = |subject: Subject| rules.accounts(&subject).next().unwrap().1;
    let anna = limits(anna());
    assert_eq!((anna.hard, anna.soft), (Some(usd("3")), Some(usd("0.5"))));
    assert_eq!(anna.on_unpriced, OnUnpriced::Allow);
    let of_web = limits(common::anna().with_user("bert"));
    assert_eq!(
        (of_web.hard, of_web.on_unpriced),
        (Some(usd("2")), OnUnpriced::Deny)
    );
    let other = limits(Subject::new(&Caller::local()).with_user("anna"));
    assert_eq!(other.hard, Some(usd("1")));
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    let rule = |limit| BudgetRule::hard(Target::key("web"), Window::Day, limit);
    let twice = BudgetRules::new([rule(usd("1")), rule(usd("2"))]).unwrap_err();
    assert_eq!(twice.to_string(), "there are two hard budgets of key web per day");
    let negative = BudgetRules::new([rule(usd("-1"))]).unwrap_err();
    assert!(matches!(negative, RuleError::Negative { .. }));
    let floor = rule(usd("1")).with_on_unpriced(OnUnpriced::Floor(usd("-0.1")));
    assert!(BudgetRules::new([floor]).is_err());
    assert!(BudgetRules::new([]).unwrap().is_empty());
}

#[test]
fn without_budgets_nothing_is_held_and_everything_admitted() {
    let rules = BudgetRules::default();
    let mut state = BudgetState::new();
    let standing = state.reserve(&claim(&rules, 1, "9000000", NOON)).unwrap();
    assert_eq!(standing, Standing::default());
    assert_eq!((state.open(), state.accounts()), (0, 0));
}

#[test]
fn a_soft_limit_warns_and_a_shaping_one_prefers_the_cheaper() {
    let rules = rules([
        BudgetRule::hard(Target::global(), Window::Day, usd("1")),
        BudgetRule::new(Target::global(), Window::Day, Level::Soft, usd("0.5")),
        BudgetRule::new(Target::key("web"), Window::Month, Level::Shaping, usd("0.7")),
    ]);
    let mut state = BudgetState::new();
    let standing = state.reserve(&claim(&rules, 1, "0.5", NOON)).unwrap();
    assert!(standing.warnings.is_empty() && !standing.prefer_cheaper);
    let second = claim(&rules, 2, "0.2", NOON);
    // Asking first says the same and takes nothing.
    let preview = state.preview(&second).unwrap();
    assert_eq!(state.open(), 1);
    let standing = state.reserve(&second).unwrap();
    assert_eq!(preview, standing);
    assert_eq!(standing.warnings.len(), 1);
    assert_eq!(standing.warnings[0].level, Level::Soft);
    assert_eq!(standing.warnings[0].reserved, usd("0.7"));
    assert!(!standing.prefer_cheaper);
    let standing = state.reserve(&claim(&rules, 3, "0.000000000001", NOON)).unwrap();
    assert!(standing.prefer_cheaper);
    // Headers tell of the hard limit, though the shaping one has less left.
    let tightest = standing.tightest.unwrap();
    assert_eq!((tightest.level, tightest.limit), (Level::Hard, usd("1")));
    assert_eq!(tightest.remaining(), usd("0.299999999999"));
}

#[test]
fn the_truth_wins_and_the_next_call_is_refused() {
    let rules = day("1");
    let mut state = BudgetState::new();
    state.reserve(&claim(&rules, 1, "1", NOON)).unwrap();
    assert!(state.settle(&id(1), Seen::Known(usd("1.75"))));
    let refusal = refused(&mut state, &claim(&rules, 2, "0.000000000001", NOON));
    assert_eq!(
        (refusal.facts.spent, refusal.facts.remaining()),
        (usd("1.75"), usd("0"))
    );
    assert_eq!(state.overshoot().total, usd("0.75"));
    assert_eq!(state.overshoot().largest, usd("0.75"));
    assert_eq!(state.overshoot().calls, 1);
    assert_eq!(state.overshoot_of(&global_day(), NOON), usd("0.75"));
    // What is known to cost nothing is nobody's loss.
    state.reserve(&claim(&rules, 3, "0", NOON)).unwrap();
    // The next day is another one.
    state.reserve(&claim(&rules, 4, "1", at(DAY))).unwrap();
}

#[test]
fn everything_may_be_said_twice() {
    let rules = day("1");
    let mut state = BudgetState::new();
    let first = state.reserve(&claim(&rules, 1, "0.6", NOON)).unwrap();
    // The answer to the first was lost; without its name it would not fit.
    let again = state.reserve(&claim(&rules, 1, "0.6", NOON)).unwrap();
    assert_eq!(first, again);
    assert_eq!(again.tightest.unwrap().reserved, usd("0.6"));
    assert!(state.settle(&id(1), Seen::Known(usd("0.4"))));
    assert!(!state.settle(&id(1), Seen::Known(usd("0.4"))));
    assert!(!state.release(&id(1)));
    let facts = state
        .reserve(&claim(&rules, 2, "0.6", NOON))
        .unwrap()
        .tightest
        .unwrap();
    assert_eq!((facts.spent, facts.reserved), (usd("0.4"), usd("0.6")));
    assert!(state.release(&id(2)));
    assert!(!state.release(&id(2)));
    assert_eq!(state.open(), 0);
}

#[test]
fn what_nobody_knows_counts_as_what_was_held_until_somebody_does() {
    let rules = day("1");
    let mut state = BudgetState::new();
    state.reserve(&claim(&rules, 1, "0.6", NOON)).unwrap();
    assert!(state.settle(&id(1), Seen::Unknown));
    assert!(!state.settle(&id(1), Seen::Unknown));
    let refusal = refused(&mut state, &claim(&rules, 2, "0.6", NOON));
    assert_eq!(
        (refusal.facts.spent, refusal.reason),
        (usd("0.6"), RefusalReason::Spent)
    );
    assert!(state.settle(&id(1), Seen::Known(usd("0.1"))));
    let facts = state
        .reserve(&claim(&rules, 2, "0.6", NOON))
        .unwrap()
        .tightest
        .unwrap();
    assert_eq!((facts.spent, facts.reserved), (usd("0.1"), usd("0.6")));
}

#[test]
fn f46_a_hold_that_nobody_ends_becomes_an_estimate_and_is_asked_for() {
    let rules = day("1");
    let mut state = BudgetState::new();
    state.reserve(&claim(&rules, 1, "0.6", NOON)).unwrap();
    let ttl = i64::try_from(TTL.as_secs()).unwrap();
    state.expire(at(ttl - 1));
    assert_eq!((state.open(), state.take_lost().len()), (1, 0));
    // By the next claim, or by the clock: both at the same second.
    let refusal = refused(&mut state, &claim(&rules, 2, "0.6", at(ttl)));
    assert_eq!(refusal.reason, RefusalReason::Spent);
    assert_eq!(
        (refusal.facts.spent, refusal.facts.reserved),
        (usd("0.6"), usd("0"))
    );
    assert_eq!(state.take_lost(), [id(1)]);
    assert!(state.take_lost().is_empty());
    // It was only slow: what it took replaces the estimate.
    assert!(state.settle(&id(1), Seen::Known(usd("0.2"))));
    let facts = state.reserve(&claim(&rules, 2, "0.6", at(ttl))).unwrap().tightest;
    assert_eq!(facts.unwrap().spent, usd("0.2"));
    let store = LocalBudgets::new();
    ready(store.reserve(&claim(&rules, 1, "0.6", NOON))).unwrap();
    assert_eq!(ready(store.take_lost(at(ttl))).unwrap(), [id(1)]);
    assert_eq!(store.open(), 0);
}

#[test]
fn f41_a_clock_that_jumps_neither_forgets_nor_forgives() {
    let rules = rules([
        BudgetRule::hard(Target::global(), Window::Minute, usd("1")),
        BudgetRule::hard(Target::global(), Window::Day, usd("10")),
    ]);
    let mut state = BudgetState::new();
    state.reserve(&claim(&rules, 1, "1", NOON)).unwrap();
    state.settle(&id(1), Seen::Known(usd("1")));
    // An hour ahead: another minute, the same day.
    state.reserve(&claim(&rules, 2, "1", at(3_600))).unwrap();
    state.settle(&id(2), Seen::Known(usd("1")));
    // And back: the minute of noon is as full as it was.
    let refusal = refused(&mut state, &claim(&rules, 3, "0.1", at(1)));
    assert_eq!(refusal.facts.account.window, Window::Minute);
    assert_eq!(refusal.facts.spent, usd("1"));
    // An hour before noon nothing was spent in the minute, and the day is still one.
    let facts = state
        .reserve(&claim(&rules, 4, "1", at(-3_600)))
        .unwrap()
        .tightest
        .unwrap();
    assert_eq!(facts.spent, usd("0"));
    let (account, limits) = rules.accounts(&anna()).last().unwrap();
    assert_eq!(state.facts(&account, &limits, NOON).unwrap().spent, usd("2"));
}

#[test]
fn a_call_belongs_to_the_window_it_began_in() {
    let rules = day("1");
    let mut state = BudgetState::new();
    let midnight = DAY / 2;
    state.reserve(&claim(&rules, 1, "1", at(midnight - 1))).unwrap();
    assert!(state.reserve(&claim(&rules, 2, "0.1", at(midnight - 1))).is_err());
    // What is held for yesterday's call is not held today.
    state.reserve(&claim(&rules, 3, "1", at(midnight))).unwrap();
    state.settle(&id(1), Seen::Known(usd("2")));
    state.settle(&id(3), Seen::Known(usd("0.5")));
    let (account, limits) = rules.accounts(&anna()).next().unwrap();
    let spent = |seconds| state.facts(&account, &limits, at(seconds)).unwrap().spent;
    assert_eq!((spent(midnight - 1), spent(midnight)), (usd("2"), usd("0.5")));
}

#[test]
fn what_is_over_is_forgotten() {
    let rules = rules([BudgetRule::hard(
        Target::each(ScopeKind::User),
        Window::Minute,
        usd("1"),
    )]);
    let mut state = BudgetState::new();
    for number in 0..10_000_usize {
        let subject = anna().with_user(format!("user {number}"));
        let now = at(i64::try_from(number).unwrap() * 60);
        let known = WorstCase::known(usd("0.1"));
        let claim = rules.claim(id(number), &subject, known, now, TTL);
        state.reserve(&claim).unwrap();
        // Some end, some are lost.
        if number % 2 == 0 {
            state.settle(&id(number), Seen::Known(usd("0.1")));
        }
        assert!(
            state.accounts() <= 200 && state.open() <= 12,
            "{number}: {}",
            state.accounts()
        );
    }
    assert!(!state.settle(&id(1), Seen::Known(usd("0.1"))), "long gone");
}

#[test]
fn a_call_that_runs_for_hours_is_settled_where_it_began() {
    let rules = rules([BudgetRule::hard(Target::global(), Window::Minute, usd("1"))]);
    let mut state = BudgetState::new();
    let known = WorstCase::known(usd("0.7"));
    let long = rules.claim(id(1), &anna(), known, NOON, TTL * 100);
    state.reserve(&long).unwrap();
    // Long enough that its minute would be forgotten, were nothing held in it.
    for hour in 1..8 {
        state.expire(at(hour * 3_600));
    }
    let (account, limits) = rules.accounts(&anna()).next().unwrap();
    let stands = |state: &BudgetState| {
        let facts = state.facts(&account, &limits, NOON).unwrap();
        (facts.spent, facts.reserved)
    };
    assert_eq!(stands(&state), (usd("0"), usd("0.7")));
    assert!(state.settle(&id(1), Seen::Known(usd("0.5"))));
    assert_eq!(stands(&state), (usd("0.5"), usd("0")));
    state.expire(at(9 * 3_600));
    assert_eq!(state.accounts(), 0);
}

#[test]
fn spent_sums_and_corrections_count_in_their_window() {
    let rules = day("1");
    let store = LocalBudgets::new();
    store.record(&global_day(), NOON, usd("0.7"));
    store.record(&global_day(), at(-DAY), usd("0.9"));
    assert!(ready(store.reserve(&claim(&rules, 1, "0.4", NOON))).is_err());
    // The provider's record says less.
    store.record(&global_day(), at(5), usd("-0.2"));
    ready(store.reserve(&claim(&rules, 1, "0.4", NOON))).unwrap();
    let accounts: Vec<_> = rules.accounts(&anna()).collect();
    let facts = ready(store.facts(&accounts, NOON)).unwrap();
    assert_eq!((facts[0].spent, facts[0].reserved), (usd("0.5"), usd("0.4")));
}

#[test]
fn a_budget_per_request_counts_all_its_attempts() {
    let rules = rules([BudgetRule::hard(Target::global(), Window::Request, usd("0.5"))]);
    let mut state = BudgetState::new();
    state.reserve(&claim(&rules, 1, "0.5", NOON)).unwrap();
    // Another request has its own.
    state.reserve(&claim(&rules, 2, "0.5", NOON)).unwrap();
    let second = claim(&rules, 3, "0.3", NOON).with_already(usd("0.3"));
    let refusal = refused(&mut state, &second);
    assert_eq!((refusal.facts.spent, refusal.facts.resets_at), (usd("0.3"), None));
    let second = claim(&rules, 3, "0.3", NOON).with_already(usd("0.2"));
    let facts = state.reserve(&second).unwrap().tightest.unwrap();
    assert_eq!(facts.remaining(), usd("0"));
    state.settle(&id(1), Seen::Known(usd("0.9")));
    assert_eq!(state.overshoot().total, usd("0.4"));
    assert_eq!(state.accounts(), 0, "nothing to remember");
}

#[test]
fn c18_what_has_no_price_is_refused_unless_a_rule_says_otherwise() {
    let sheet = PriceSheet::from_pricing_json(r#"{"prompt":"-1","completion":"-1"}"#).unwrap();
    let worst = || {
        let estimate = Estimate::new(100).with_most_completion_tokens(100);
        worst_case(&estimate, &sheet, NOON, MarkupRule::DEFAULT, &HoldPolicy::DEFAULT)
    };
    assert!(worst().is_err());
    let with = |on_unpriced| {
        let rule = BudgetRule::hard(Target::global(), Window::Day, usd("1"));
        rules([rule.with_on_unpriced(on_unpriced)])
    };
    let mut state = BudgetState::new();
    let refusal = refused(&mut state, &claim_of(&with(OnUnpriced::Deny), 1, worst(), NOON));
    assert!(matches!(refusal.reason, RefusalReason::NoPrice(_)));
    assert_eq!((refusal.asked, refusal.is_transient()), (None, false));
    assert!(refusal.to_string().contains("the call has no price"), "{refusal}");
    // A floor is held.
    let floor = with(OnUnpriced::Floor(usd("0.6")));
    let facts = state
        .reserve(&claim_of(&floor, 2, worst(), NOON))
        .unwrap()
        .tightest
        .unwrap();
    assert_eq!(facts.reserved, usd("0.6"));
    assert_eq!(
        refused(&mut state, &claim_of(&floor, 3, worst(), NOON)).reason,
        RefusalReason::InFlight
    );
    // Let through while anything is left; what it took is overshoot.
    let allow = with(OnUnpriced::Allow);
    state.reserve(&claim_of(&allow, 3, worst(), NOON)).unwrap();
    state.settle(&id(3), Seen::Known(usd("0.5")));
    assert_eq!(state.overshoot().total, usd("0.5"));
    assert!(state.reserve(&claim_of(&allow, 4, worst(), NOON)).is_err());
    // Milder budgets refuse nothing.
    let soft = rules([BudgetRule::new(
        Target::global(),
        Window::Month,
        Level::Soft,
        usd("1"),
    )]);
    state.reserve(&claim_of(&soft, 5, worst(), NOON)).unwrap();
}

#[test]
fn f43_a_model_that_no_list_has_is_refused_or_counted_as_unknown() {
    let with = |on_unpriced| {
        let rule = BudgetRule::hard(Target::global(), Window::Day, usd("1"));
        rules([rule.with_on_unpriced(on_unpriced)])
    };
    let mut state = BudgetState::new();
    let refusal = refused(
        &mut state,
        &claim_of(&with(OnUnpriced::Deny), 1, Demand::NoPrices, NOON),
    );
    assert_eq!(
        (refusal.reason, refusal.reason.as_str()),
        (RefusalReason::NoPrices, "no_price")
    );
    assert!(
        refusal.to_string().ends_with("the model has no prices"),
        "{refusal}"
    );
    // An answer of any length without a cap is refused by another name.
    let mut open = WorstCase::known(usd("1"));
    (open.most, open.held) = (None, None);
    let refusal = refused(&mut state, &claim_of(&with(OnUnpriced::Deny), 1, open, NOON));
    assert_eq!(refusal.reason, RefusalReason::NoBound);
    // With a floor it is let through, and stays that much where nobody learns what it took.
    let floor = with(OnUnpriced::Floor(usd("0.25")));
    state
        .reserve(&claim_of(&floor, 1, Demand::NoPrices, NOON))
        .unwrap();
    assert!(state.settle(&id(1), Seen::Unknown));
    let facts = state
        .preview(&claim(&floor, 2, "0", NOON))
        .unwrap()
        .tightest
        .unwrap();
    assert_eq!(facts.spent, usd("0.25"));
}

#[test]
fn c18_a_huge_max_tokens_does_not_starve_the_others() {
    let sheet = PriceSheet::from_pricing_json(r#"{"prompt":"0.000003","completion":"0.000015"}"#).unwrap();
    let estimate = Estimate::new(1_000).with_most_completion_tokens(1_600_000);
    let worst =
        |policy: HoldPolicy| worst_case(&estimate, &sheet, NOON, MarkupRule::DEFAULT, &policy).unwrap();
    let rules = day("25");
    // Whole, one such call takes more than the budget, with nothing spent.
    let whole = worst(HoldPolicy::DEFAULT);
    assert_eq!(whole.held, whole.most);
    let refusal = refused(&mut BudgetState::new(), &claim_of(&rules, 1, whole, NOON));
    assert_eq!(
        (refusal.reason, refusal.facts.spent),
        (RefusalReason::TooLarge, usd("0"))
    );
    // Capped, a hundred run beside each other.
    let capped = worst(HoldPolicy::DEFAULT.with_most(usd("0.25")));
    assert_eq!((capped.held, capped.most), (Some(usd("0.25")), whole.most));
    assert!(capped.is_capped());
    let mut state = BudgetState::new();
    for number in 0..100 {
        state.reserve(&claim_of(&rules, number, capped, NOON)).unwrap();
    }
    assert!(state.reserve(&claim_of(&rules, 100, capped, NOON)).is_err());
    // By the length that answers have: 1,050 prompt tokens and 2,100 of an answer, and ten percent.
    let learned = worst(HoldPolicy::DEFAULT.with_usual_completion(2_000));
    assert_eq!(learned.held, Some(usd("0.038115")));
}

#[test]
fn c18_a_hold_is_given_back_on_every_way_out() {
    let rules = day("1");
    let store = Arc::new(LocalBudgets::new());
    let shared: Arc<dyn BudgetStore> = Arc::clone(&store) as _;
    let take = |number| {
        ready(Reservation::take(
            Arc::clone(&shared),
            &claim(&rules, number, "0.6", NOON),
        ))
    };
    let spent = || {
        let accounts: Vec<_> = rules.accounts(&anna()).collect();
        ready(store.facts(&accounts, NOON)).unwrap()[0].spent
    };
    // Cancelled before it was sent.
    drop(take(1).unwrap());
    assert_eq!((store.open(), spent()), (0, usd("0")));
    // An error on the way.
    let held = take(2).unwrap();
    assert_eq!((held.id(), store.open()), (&id(2), 1));
    assert_eq!(held.standing().tightest.as_ref().unwrap().reserved, usd("0.6"));
    let BudgetError::Refused(refusal) = take(3).unwrap_err() else {
        panic!("refused")
    };
    assert_eq!(refusal.reason, RefusalReason::InFlight);
    assert_eq!(store.open(), 1, "a refusal gives nothing back that others hold");
    held.release();
    assert_eq!((store.open(), spent()), (0, usd("0")));
    // A panic.
    let mut held = take(4).unwrap();
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _held = held;
        panic!("on purpose");
    }));
    assert!(unwound.is_err());
    assert_eq!((store.open(), spent()), (0, usd("0")));
    // The caller hangs up after it was sent: it may be billed, so it counts until it is known.
    held = take(5).unwrap();
    held.sent();
    drop(held);
    assert_eq!((store.open(), spent()), (0, usd("0.6")));
    store.settle(&id(5), Seen::Known(usd("0.1")));
    assert_eq!(spent(), usd("0.1"));
    // Settled.
    let mut held = take(6).unwrap();
    held.sent();
    held.settle(usd("0.2"));
    assert_eq!((store.open(), spent()), (0, usd("0.3")));
    take(7).unwrap().settle_unknown();
    assert_eq!((store.open(), spent()), (0, usd("0.9")));
    assert_eq!(ready(store.overshoot()).unwrap().calls, 0);
}

/// A store whose answer does not come.
#[derive(Debug)]
struct Silent(LocalBudgets);

#[async_trait::async_trait]
impl BudgetStore for Silent {
    async fn reserve(&self, claim: &costing::budget::Claim) -> Result<Standing, BudgetError> {
        self.0.reserve(claim).await?;
        std::future::pending().await
    }
    async fn preview(&self, claim: &costing::budget::Claim) -> Result<Standing, BudgetError> {
        self.0.preview(claim).await
    }
    async fn facts(
        &self,
        accounts: &[(Account, costing::budget::Limits)],
        at: UtcTime,
    ) -> Result<Vec<costing::budget::BudgetFacts>, BudgetError> {
        self.0.facts(accounts, at).await
    }
    async fn counted(&self, _: UtcTime) -> Result<Vec<Account>, BudgetError> {
        Ok(Vec::new())
    }

    fn assume(&self, _: &costing::budget::Claim) {}

    fn settle(&self, id: &costing::budget::ReservationId, seen: Seen) {
        self.0.settle(id, seen);
    }
    fn release(&self, id: &costing::budget::ReservationId) {
        self.0.release(id);
    }
    fn record(&self, account: &Account, at: UtcTime, charge: Pico) {
        self.0.record(account, at, charge);
    }
    async fn take_lost(&self, now: UtcTime) -> Result<Vec<costing::budget::ReservationId>, BudgetError> {
        self.0.take_lost(now).await
    }
    async fn overshoot(&self) -> Result<costing::budget::Overshoot, BudgetError> {
        self.0.overshoot().await
    }
}

#[test]
fn f28_a_caller_that_goes_while_the_store_is_asked_leaves_nothing_held() {
    let rules = day("1");
    let silent = Arc::new(Silent(LocalBudgets::new()));
    let claim = claim(&rules, 1, "0.6", NOON);
    let mut future = Box::pin(Reservation::take(Arc::clone(&silent) as _, &claim));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    assert_eq!(silent.0.open(), 1);
    drop(future);
    assert_eq!(silent.0.open(), 0);
}
