//! One reservation over five scopes: the rules looked up, taken in one step, settled.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use costing::budget::{
    BudgetRule, BudgetRules, BudgetState, Estimate, HoldPolicy, LocalBudgets, Reservation, ReservationId,
    ScopeKind, Seen, Subject, Target, Window, WorstCase, worst_case,
};
use costing::{BudgetStore, Caller, MarkupRule, Pico, PriceSheet, UtcTime};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use integration_core::RequestId;

const NOON: UtcTime = UtcTime::from_unix(1_795_348_800);
const TTL: Duration = Duration::from_secs(660);
const RATES: &str = r#"{"prompt":"0.00000125","completion":"0.00001","input_cache_read":"0.000000125",
    "input_cache_write":"0.000000375","overrides":[{"min_prompt_tokens":200000,"prompt":"0.0000025",
    "completion":"0.000015","input_cache_read":"0.00000025"}]}"#;

fn five_scopes() -> BudgetRules {
    let kinds = ScopeKind::ALL.into_iter();
    let rules = kinds.map(|kind| BudgetRule::hard(Target::each(kind), Window::Day, Pico::new(i64::MAX)));
    BudgetRules::new(rules).unwrap()
}

fn subject() -> Subject {
    let mut caller = Caller::local();
    caller.project = Some("shop".to_owned());
    caller.team = Some("sales".to_owned());
    Subject::new(&caller).with_user("anna")
}

fn budget(criterion: &mut Criterion) {
    let (rules, subject) = (five_scopes(), subject());
    let id = ReservationId::new(RequestId::new("01890000-0000-7000-8000-000000000000").unwrap(), 1);
    let worst = WorstCase::known(Pico::new(1_000_000));
    let claim = rules.claim(id.clone(), &subject, worst, NOON, TTL);
    assert_eq!(claim.lines.len(), 5);
    let mut state = BudgetState::new();
    let reserve_and_settle = |state: &mut BudgetState| {
        let standing = state.reserve(black_box(&claim)).unwrap();
        assert!(state.settle(&claim.id, Seen::Known(Pico::new(900_000))));
        standing
    };
    reserve_and_settle(&mut state);
    let count = allocation_counter::measure(|| drop(reserve_and_settle(&mut state)));
    let of_claim = allocation_counter::measure(|| {
        drop(rules.claim(id.clone(), black_box(&subject), worst, NOON, TTL));
    });
    let sheet = PriceSheet::from_pricing_json(RATES).unwrap();
    let estimate = Estimate::new(250_000).with_most_completion_tokens(4_000);
    let of_worst = || {
        worst_case(
            black_box(&estimate),
            &sheet,
            NOON,
            MarkupRule::DEFAULT,
            &HoldPolicy::DEFAULT,
        )
    };
    let priced = allocation_counter::measure(|| assert!(of_worst().is_ok()));
    #[expect(clippy::print_stderr, reason = "a figure of the bench")]
    {
        eprintln!(
            "allocations: worst case {}, claim of five scopes {}, reserve and settle {}",
            priced.count_total, of_claim.count_total, count.count_total
        );
    }
    assert_eq!(priced.count_total, 0, "a worst case allocates");
    assert!(
        count.count_total <= 2,
        "a step over five scopes allocates more than its tree node"
    );

    let mut group = criterion.benchmark_group("budget");
    group.bench_function("worst_case_one_override", |b| b.iter(of_worst));
    group.bench_function("claim_five_scopes", |b| {
        b.iter(|| rules.claim(id.clone(), black_box(&subject), worst, NOON, TTL));
    });
    group.bench_function("reserve_settle_five_scopes", |b| {
        b.iter(|| reserve_and_settle(&mut state));
    });
    // Beside 10,000 attempts that run, through lock, guard and drop.
    let store = Arc::new(LocalBudgets::new());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for number in 0..10_000 {
        let id = ReservationId::new(RequestId::new(format!("r{number}")).unwrap(), 1);
        let held = rules.claim(id, &subject, worst, NOON, TTL);
        runtime.block_on(store.reserve(&held)).unwrap();
    }
    group.bench_function("guarded_beside_10000_open", |b| {
        b.iter_batched(
            || rules.claim(id.clone(), &subject, worst, NOON, TTL),
            |claim| {
                let taken = Reservation::take(Arc::clone(&store) as _, &claim);
                runtime.block_on(taken).unwrap().settle(Pico::new(900_000));
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, budget);
criterion_main!(benches);
