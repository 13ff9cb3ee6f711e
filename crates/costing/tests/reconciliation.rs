//! Asking the provider again, and comparing books.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use costing::reconcile::{
    Answer, Asked, Attempt, Cell, Correction, GaveUpReason, Job, OurLine, ResidualClass, SampleRate,
    Schedule, TheirLine, VarianceRule, Verdict, compare, due, wanted,
};
use costing::{Charge, CostStatus, Markup, MarkupRule, Outcome, Pico, UtcTime};
use integration_core::{GenerationId, ReportedCost, RequestId};
use proptest::prelude::*;
use rust_decimal::Decimal;

const RULE: MarkupRule = MarkupRule::DEFAULT;

fn usd(text: &str) -> Pico {
    text.parse().unwrap()
}

fn request(number: usize) -> RequestId {
    RequestId::new(format!("r{number}")).unwrap()
}

fn generation(name: &str) -> GenerationId {
    GenerationId::new(name).unwrap()
}

fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_348_800)
}

fn pending() -> Charge {
    Charge::unknown(Markup::DEFAULT, CostStatus::Pending)
}

fn job() -> Job {
    let attempt =
        Attempt::ended(request(1), 1, UNIX_EPOCH, CostStatus::Pending).with_generation(generation("gen-1"));
    Job::new(&attempt, Asked::NoCost, start(), &Schedule::DEFAULT).unwrap()
}

fn stated(cost: &str) -> Answer {
    let mut stated = ReportedCost::default();
    stated.cost = Some(cost.parse().unwrap());
    stated.is_byok = Some(false);
    Answer::Found(stated)
}

/// Answers the same until it is over; the times asked, since the first.
fn ask_until_the_end(mut job: Job, answer: Answer) -> (Vec<Duration>, costing::reconcile::GaveUp) {
    let mut times = Vec::new();
    loop {
        let now = job.next;
        times.push(now.duration_since(start()).unwrap());
        match job.answered(answer, pending(), RULE, now, &Schedule::DEFAULT) {
            Verdict::AskAgain(next) => {
                assert!(next.next > now);
                job = next;
            }
            Verdict::GaveUp(gave_up) => return (times, gave_up),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn f63_what_is_not_there_yet_is_asked_for_until_it_is() {
    let mut job = job();
    assert_eq!(job.next, start() + Duration::from_millis(250));
    for _ in 0..6 {
        let now = job.next;
        let Verdict::AskAgain(next) = job.answered(Answer::NotYet, pending(), RULE, now, &Schedule::DEFAULT)
        else {
            panic!("early")
        };
        job = next;
    }
    // 0.25 + 0.5 + 1 + 2 + 4 + 8 + 16 seconds.
    assert_eq!(job.next, start() + Duration::from_millis(31_750));
    let now = job.next;
    let Verdict::Found(found) = job.answered(stated("0.0055649"), pending(), RULE, now, &Schedule::DEFAULT)
    else {
        panic!("it is there")
    };
    assert_eq!(found.exact.status, CostStatus::Exact);
    assert_eq!(found.exact.charge, Some(usd("0.00612139")));
    assert_eq!(found.cost_difference().unwrap(), usd("0.0055649"));
    assert!(found.changes_amounts());
}

#[test]
fn f63_what_never_appears_is_given_up_after_a_day_and_is_never_zero() {
    let (times, gave_up) = ask_until_the_end(job(), Answer::NotYet);
    let seconds: Vec<u64> = times.iter().map(Duration::as_secs).collect();
    // A quarter of a second doubled up to 256, then five minutes, then by the hour, and once at the end of the day.
    assert_eq!(&seconds[..12], [0, 0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811]);
    assert_eq!((seconds[12], seconds[13]), (811 + 3_600, 811 + 7_200));
    assert_eq!(*times.last().unwrap(), Duration::from_secs(86_400));
    assert_eq!(times.len(), 36);
    assert_eq!((gave_up.reason, gave_up.tries), (GaveUpReason::NotFound, 36));
    // With a guess it is an estimate; without one it stays unknown.
    let estimated = gave_up.leaves(Some(pending()), Some(usd("0.02")), RULE).unwrap();
    assert_eq!(
        (estimated.status, estimated.charge),
        (CostStatus::Estimated, Some(usd("0.022")))
    );
    assert_eq!(gave_up.leaves(Some(pending()), None, RULE).unwrap(), pending());
    assert_eq!(gave_up.leaves(None, None, RULE).unwrap(), pending());
    // What has a cost keeps it.
    let reported = Charge::known(usd("0.01"), RULE, CostStatus::Reported).unwrap();
    let kept = gave_up.leaves(Some(reported), Some(usd("0.02")), RULE).unwrap();
    assert_eq!(kept, reported);
}

#[test]
fn a_record_without_a_cost_is_as_good_as_none() {
    let (_, gave_up) = ask_until_the_end(job(), Answer::Found(ReportedCost::default()));
    assert_eq!(gave_up.reason, GaveUpReason::NoCost);
    // Under a key of our own the fee is not the cost.
    let mut fee_only = ReportedCost::default();
    (fee_only.cost, fee_only.is_byok) = (Some(Decimal::new(5, 2)), Some(true));
    let verdict = job().answered(
        Answer::Found(fee_only),
        pending(),
        RULE,
        start(),
        &Schedule::DEFAULT,
    );
    assert!(matches!(verdict, Verdict::AskAgain(_)));
    fee_only.upstream_cost = Some(Decimal::ONE);
    let verdict = job().answered(
        Answer::Found(fee_only),
        pending(),
        RULE,
        start(),
        &Schedule::DEFAULT,
    );
    let Verdict::Found(found) = verdict else {
        panic!("both parts are there")
    };
    assert_eq!(found.exact.cost, Some(usd("1.05")));
    // More than the ledger holds.
    let verdict = job().answered(stated("10000000"), pending(), RULE, start(), &Schedule::DEFAULT);
    assert!(matches!(verdict, Verdict::GaveUp(gave_up) if gave_up.reason == GaveUpReason::NotAnAmount));
}

#[test]
fn trouble_waits_as_long_as_it_is_told() {
    let trouble = Answer::Trouble(Some(Duration::from_secs(90)));
    let Verdict::AskAgain(next) = job().answered(trouble, pending(), RULE, start(), &Schedule::DEFAULT)
    else {
        panic!("again")
    };
    assert_eq!(next.next, start() + Duration::from_secs(90));
    let (times, gave_up) = ask_until_the_end(job(), Answer::Trouble(None));
    // Who cannot be reached has not said no: it is asked by the hour for a month, and only then given up.
    assert_eq!(gave_up.reason, GaveUpReason::NoAnswer);
    let last = *times.last().unwrap();
    let month = Duration::from_secs(30 * 86_400);
    assert!(
        last >= month && last < month + Duration::from_secs(3_600),
        "{last:?}"
    );
    assert!(times.len() > 29 * 24, "{}", times.len());
    // Once it answers, a day is enough.
    let (mut kept, late) = (job(), start() + Duration::from_secs(20 * 86_400));
    kept.tries = 500;
    let verdict = kept.answered(Answer::NotYet, pending(), RULE, late, &Schedule::DEFAULT);
    assert!(matches!(verdict, Verdict::GaveUp(gave_up) if gave_up.reason == GaveUpReason::NotFound));
    let verdict = job().answered(Answer::Never, pending(), RULE, start(), &Schedule::DEFAULT);
    assert!(matches!(verdict, Verdict::GaveUp(gave_up) if gave_up.reason == GaveUpReason::Refused));
    // A clock that went back asks for longer and breaks nothing.
    let early = start() - Duration::from_secs(3_600);
    assert!(matches!(
        job().answered(Answer::NotYet, pending(), RULE, early, &Schedule::DEFAULT),
        Verdict::AskAgain(_)
    ));
}

#[test]
fn an_attempt_without_a_name_cannot_be_asked_for() {
    let attempt = Attempt::open(request(1), 2, UNIX_EPOCH);
    assert_eq!(wanted(&attempt, SampleRate::NONE), Some(Asked::Open));
    let gave_up = Job::new(&attempt, Asked::Open, start(), &Schedule::DEFAULT).unwrap_err();
    assert_eq!(
        (gave_up.reason, gave_up.attempt, gave_up.tries),
        (GaveUpReason::NoName, 2, 0)
    );
}

#[test]
fn a_schedule_of_ones_own_is_kept_to() {
    let seconds = Duration::from_secs;
    let schedule = Schedule::new(seconds(5), seconds(1), seconds(10), seconds(60));
    assert_eq!(schedule.wait_after(0), seconds(1));
    assert_eq!(schedule.wait_after(1), seconds(10));
    assert_eq!(schedule.wait_after(u32::MAX), seconds(10));
    assert_eq!(Schedule::default().gives_up_after(), seconds(86_400));
    let never_at_once = Schedule::new(Duration::ZERO, Duration::ZERO, Duration::ZERO, Duration::ZERO);
    assert!(never_at_once.wait_after(7) > Duration::ZERO);
}

#[test]
fn f21_what_has_no_exact_cost_is_asked_for_and_of_the_rest_a_sample() {
    let ended = |status| Attempt::ended(request(7), 1, UNIX_EPOCH, status);
    for (attempt, asked) in [
        (ended(CostStatus::Exact).with_override(), None),
        (ended(CostStatus::Reported), None),
        (ended(CostStatus::Reported).with_override(), Some(Asked::Override)),
        (ended(CostStatus::Computed), Some(Asked::NotStated)),
        (ended(CostStatus::Estimated), Some(Asked::NoCost)),
        (ended(CostStatus::Pending), Some(Asked::NoCost)),
        (ended(CostStatus::Unpriced), Some(Asked::NoCost)),
    ] {
        assert_eq!(wanted(&attempt, SampleRate::NONE), asked, "{attempt:?}");
    }
    let chosen = |per_million, seed| -> Vec<usize> {
        let rate = SampleRate::per_million(per_million, seed);
        let is_chosen = |number: &usize| {
            let attempt = Attempt::ended(request(*number), 1, UNIX_EPOCH, CostStatus::Reported);
            wanted(&attempt, rate) == Some(Asked::Sample)
        };
        (0..10_000).filter(is_chosen).collect()
    };
    assert_eq!(chosen(1_000_000, 1).len(), 10_000);
    assert_eq!(chosen(u32::MAX, 1).len(), 10_000);
    let one = chosen(50_000, 1);
    assert!((400..600).contains(&one.len()), "{} of 500", one.len());
    assert_eq!(one, chosen(50_000, 1));
    assert_ne!(one, chosen(50_000, 2));
    // Whoever is in a smaller sample is in the larger one.
    let larger = chosen(200_000, 1);
    assert!(one.iter().all(|number| larger.contains(number)));
}

#[test]
fn those_that_wait_longest_are_asked_first() {
    let at = |number: usize, seconds: u64| {
        let attempt = Attempt::open(request(number), 1, UNIX_EPOCH).with_generation(generation("gen"));
        let since = start() + Duration::from_secs(seconds);
        Job::new(&attempt, Asked::Open, since, &Schedule::DEFAULT).unwrap()
    };
    let jobs = [at(1, 30), at(2, 10), at(3, 10), at(4, 20), at(5, 50)];
    let numbers = |most| -> Vec<String> {
        let due = due(&jobs, start() + Duration::from_secs(31), most);
        due.into_iter().map(|job| job.request.to_string()).collect()
    };
    assert_eq!(numbers(10), ["r2", "r3", "r4", "r1"]);
    assert_eq!(numbers(2), ["r2", "r3"]);
}

#[test]
fn f64_both_figures_are_kept_and_a_difference_that_matters_alarms() {
    let rule = VarianceRule::default();
    let compare =
        |reported: &str, computed: &str| rule.compare(reported.parse().unwrap(), computed.parse().unwrap());
    // More than a percent and more than a tenth of a cent.
    assert!(compare("0.102", "0.1").is_alarming);
    assert!(compare("0.1", "0.102").is_alarming);
    // One alone is not enough, nor is just as much.
    assert!(!compare("0.0002", "0.0001").is_alarming);
    assert!(!compare("10.05", "10").is_alarming);
    assert!(!compare("0.1", "0.099").is_alarming);
    assert!(!compare("0.051", "0.05").is_alarming);
    assert!(compare("0.0510000001", "0.05").is_alarming);
    assert!(compare("0.01", "0").is_alarming);
    let both = compare("0.4333725", "0.4263725");
    assert_eq!(both.difference(), Some(Decimal::new(7, 3)));
    let extremes = rule.compare(Decimal::MAX, Decimal::MIN);
    assert!(extremes.is_alarming && extremes.difference().is_none());
}

fn monday() -> UtcTime {
    UtcTime::from_unix(1_795_392_000)
}

fn line(number: usize, cost: &str, status: CostStatus) -> OurLine {
    let noon = UtcTime::from_unix(monday().unix() + 43_200);
    let mut line = OurLine::new(request(number), 1, noon, "m").with_cost(usd(cost), status);
    line.outcome = Some(Outcome::Succeeded);
    line.generation = Some(generation(&format!("gen-{number}")));
    line
}

fn unknown(number: usize, outcome: Outcome) -> OurLine {
    let mut line = OurLine::new(request(number), 1, monday(), "m");
    line.outcome = Some(outcome);
    line
}

fn cell(ours: &[OurLine], requests: u64, cost: &str) -> Cell {
    let theirs = [TheirLine::new(monday(), "m", requests, cost.parse().unwrap())];
    let tuesday = UtcTime::from_unix(monday().unix() + 86_400);
    let comparison = compare(ours, &theirs, tuesday).unwrap();
    let [cell] = &comparison.cells[..] else {
        panic!("one day, one model")
    };
    let sum: i64 = cell.findings.iter().map(|finding| finding.amount.get()).sum();
    assert_eq!(sum, cell.difference.get(), "{cell:?}");
    cell.clone()
}

fn found(cell: &Cell) -> Vec<(ResidualClass, String, bool)> {
    let findings = cell.findings.iter();
    findings
        .map(|finding| (finding.class, finding.amount.to_string(), finding.is_certain))
        .collect()
}

#[test]
fn books_that_agree_have_no_findings() {
    let ours = [
        line(1, "0.1", CostStatus::Reported),
        line(2, "0.2", CostStatus::Exact),
    ];
    let cell = cell(&ours, 2, "0.3");
    assert_eq!((cell.difference, cell.findings.len()), (Pico::ZERO, 0));
    assert_eq!((cell.our_requests, cell.their_requests), (2, 2));
}

#[test]
fn what_records_prove_is_certain() {
    let mut drift = line(1, "0.1", CostStatus::Reported);
    (drift.had_override, drift.recorded) = (true, Some(usd("0.15")));
    let mut dearer = line(2, "0.1", CostStatus::Computed);
    dearer.recorded = Some(usd("0.11"));
    let mut hung_up = unknown(3, Outcome::Cancelled);
    hung_up.recorded = Some(usd("0.02"));
    let mut unpriced = unknown(4, Outcome::Succeeded);
    unpriced.recorded = Some(usd("0.003"));
    let first = line(5, "0.5", CostStatus::Reported);
    let mut second = line(6, "0.5", CostStatus::Reported);
    second.generation = first.generation.clone();
    let cell = cell(&[second, first, drift, dearer, hung_up, unpriced], 5, "0.783");
    assert_eq!(cell.difference, usd("-0.417"));
    assert_eq!(
        found(&cell),
        [
            (ResidualClass::Unpriced, "0.003".to_owned(), true),
            (ResidualClass::Cancelled, "0.02".to_owned(), true),
            (ResidualClass::TierDrift, "0.05".to_owned(), true),
            (ResidualClass::PriceDrift, "0.01".to_owned(), true),
            (ResidualClass::Double, "-0.5".to_owned(), true),
        ]
    );
}

#[test]
fn what_is_left_goes_to_those_who_can_be_why() {
    use ResidualClass::{Cancelled, Missing, NotTheirs, TierDrift, Unexplained, Unpriced};
    let known = || line(1, "1", CostStatus::Reported);
    let found_in = |ours: &[OurLine], requests, cost| found(&cell(ours, requests, cost));
    let likely = |class, amount: &str| (class, amount.to_owned(), false);
    // One cause alone takes all of it.
    let gone = unknown(2, Outcome::Cancelled);
    assert_eq!(
        found_in(&[known(), gone.clone()], 2, "1.5"),
        [likely(Cancelled, "0.5")]
    );
    let unpriced = unknown(3, Outcome::Succeeded);
    assert_eq!(
        found_in(&[known(), unpriced.clone()], 2, "1.5"),
        [likely(Unpriced, "0.5")]
    );
    assert_eq!(found_in(&[known()], 2, "1.5"), [likely(Missing, "0.5")]);
    assert_eq!(found_in(&[known()], 1, "1.5"), [likely(Unexplained, "0.5")]);
    let mut tier = known();
    tier.had_override = true;
    assert_eq!(found_in(&[tier.clone()], 1, "1.5"), [likely(TierDrift, "0.5")]);
    tier.status = CostStatus::Exact;
    assert_eq!(found_in(&[tier], 1, "1.5"), [likely(Unexplained, "0.5")]);
    // Estimates first, the rest by the number of attempts.
    let mut estimated = gone.clone();
    estimated.estimate = Some(usd("0.2"));
    assert_eq!(
        found_in(&[known(), estimated.clone()], 4, "1.5"),
        [likely(Cancelled, "0.2"), likely(Missing, "0.3")]
    );
    assert_eq!(
        found_in(&[known(), estimated], 2, "1.5"),
        [likely(Cancelled, "0.5")]
    );
    assert_eq!(
        found_in(&[known(), gone, unpriced], 4, "1.3"),
        [
            likely(Unpriced, "0.1"),
            likely(Cancelled, "0.1"),
            likely(Missing, "0.1")
        ]
    );
    // We booked more than they took.
    let mut guessed = line(4, "0.3", CostStatus::Estimated);
    guessed.outcome = Some(Outcome::Cancelled);
    assert_eq!(found_in(&[known(), guessed], 2, "1"), [likely(Cancelled, "-0.3")]);
    assert_eq!(
        found_in(&[known(), line(2, "1", CostStatus::Reported)], 1, "1"),
        [likely(NotTheirs, "-1")]
    );
    assert_eq!(found_in(&[known()], 1, "0.25"), [likely(Unexplained, "-0.75")]);
}

#[test]
fn days_and_models_are_compared_by_themselves() {
    let mut yesterday = line(1, "0.1", CostStatus::Reported);
    yesterday.started = UtcTime::from_unix(monday().unix() - 1);
    let mut other = line(2, "0.1", CostStatus::Reported);
    other.model = "n".to_owned();
    let mut today = line(3, "0.1", CostStatus::Reported);
    today.started = UtcTime::from_unix(monday().unix() + 86_400);
    let theirs = [
        TheirLine::new(monday(), "m", 1, Decimal::new(1, 1)),
        TheirLine::new(UtcTime::from_unix(monday().unix() + 86_400), "m", 9, Decimal::ONE),
    ];
    let tuesday = UtcTime::from_unix(monday().unix() + 100_000);
    let comparison = compare(&[yesterday, other, today], &theirs, tuesday).unwrap();
    assert_eq!(comparison.left_out, 1);
    let cells: Vec<_> = comparison
        .cells
        .iter()
        .map(|cell| {
            (
                cell.day.unix() - monday().unix(),
                cell.model.as_str(),
                cell.difference.to_string(),
            )
        })
        .collect();
    assert_eq!(
        cells,
        [
            (-86_400, "m", "-0.1".to_owned()),
            (0, "m", "0.1".to_owned()),
            (0, "n", "-0.1".to_owned())
        ]
    );
    let sums = comparison.by_class().unwrap();
    assert_eq!(sums[&ResidualClass::Missing], usd("0.1"));
    assert_eq!(sums[&ResidualClass::NotTheirs], usd("-0.2"));
    let too_much = [TheirLine::new(monday(), "m", 1, Decimal::new(10_000_000, 0))];
    assert!(compare(&[], &too_much, tuesday).is_err());
}

fn any_line() -> impl Strategy<Value = OurLine> {
    let status = prop::sample::select(CostStatus::ALL.to_vec());
    let outcome = prop::sample::select(vec![
        None,
        Some(Outcome::Succeeded),
        Some(Outcome::Failed),
        Some(Outcome::Cancelled),
    ]);
    let amount = || prop::option::of((0..1_000_i64).prop_map(Pico::new));
    let ids = (0..40_usize, 0..3_i64, prop::option::of(0..30_u8));
    (ids, status, outcome, any::<bool>(), amount(), amount(), amount()).prop_map(
        |((number, day, generated), status, outcome, had_override, cost, recorded, estimate)| {
            let started = UtcTime::from_unix(monday().unix() + day * 86_400 + 77);
            let mut line = OurLine::new(request(number), 1, started, ["m", "n"][number % 2]);
            line.generation = generated.map(|id| generation(&format!("gen-{id}")));
            (line.status, line.outcome, line.had_override) = (status, outcome, had_override);
            (line.cost, line.recorded, line.estimate) = (cost, recorded, estimate);
            line
        },
    )
}

proptest! {
    #[test]
    fn findings_add_up_to_every_difference(
        ours in prop::collection::vec(any_line(), 0..30),
        theirs in prop::collection::vec((0..3_i64, 0..2_usize, 0..20_u64, 0..20_000_i64, 12..16_u32), 0..12),
    ) {
        let theirs: Vec<_> = theirs.into_iter().map(|(day, model, requests, cost, scale)| {
            let day = UtcTime::from_unix(monday().unix() + day * 86_400);
            TheirLine::new(day, ["m", "n"][model], requests, Decimal::new(cost, scale))
        }).collect();
        let today = UtcTime::from_unix(monday().unix() + 2 * 86_400);
        let comparison = compare(&ours, &theirs, today).unwrap();
        let mut all = 0;
        for cell in &comparison.cells {
            let sum: i64 = cell.findings.iter().map(|finding| finding.amount.get()).sum();
            prop_assert_eq!(sum, cell.difference.get());
            prop_assert_eq!(cell.theirs.get() - cell.ours.get(), cell.difference.get());
            prop_assert_eq!(cell.difference == Pico::ZERO && cell.findings.iter().all(|f| !f.is_certain), cell.findings.is_empty());
            all += cell.ours.get();
        }
        // No line is left out, and none is in two cells.
        let booked = ours.iter().filter(|line| line.started < today).filter_map(|line| line.cost);
        prop_assert_eq!(booked.map(Pico::get).sum::<i64>(), all);
        // The order they come in is nothing.
        let mut turned = ours.clone();
        turned.reverse();
        let again = compare(&turned, &theirs, today).unwrap();
        let sums = |comparison: &costing::reconcile::Comparison| -> Vec<_> {
            comparison.cells.iter().map(|cell| (cell.day, cell.model.clone(), cell.difference)).collect()
        };
        prop_assert_eq!(sums(&again), sums(&comparison));
    }
}

#[test]
fn a_correction_that_changes_nothing_makes_it_exact() {
    let booked = Charge::known(usd("0.01"), RULE, CostStatus::Reported).unwrap();
    let Verdict::Found(found) = job().answered(stated("0.01"), booked, RULE, start(), &Schedule::DEFAULT)
    else {
        panic!("found")
    };
    assert!(!found.changes_amounts());
    assert_eq!(found.charge_difference().unwrap(), Pico::ZERO);
    assert_eq!(found.exact.status, CostStatus::Exact);
    let Verdict::Found(Correction { exact, booked, .. }) =
        job().answered(stated("0.02"), booked, RULE, start(), &Schedule::DEFAULT)
    else {
        panic!("found")
    };
    assert_eq!(
        (exact.charge, booked.charge),
        (Some(usd("0.022")), Some(usd("0.011")))
    );
}
