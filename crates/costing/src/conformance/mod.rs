//! What every [`LedgerStore`] and every [`ReconcileStore`](crate::reconcile::ReconcileStore) must keep, as tests that a store is held
//! to: [`ledger_conformance!`](crate::ledger_conformance) and [`reconcile_conformance!`](crate::reconcile_conformance) make one
//! named test of each scenario.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is here is a test")]

mod reconcile;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use integration_core::{GenerationId, ModelId, ProviderId, RequestId, UpstreamName, Usage};

use crate::{
    Account, AttemptCorrection, AttemptIntent, AttemptRow, AttemptSettlement, Caller, Charge, CostStatus,
    EntryKind, LedgerError, LedgerStore, MarkupRule, MarkupSource, Outcome, Pico, PicoSum, PriceSheet,
    RollupFilter, RollupRow, UtcTime, hour_of, price_call,
};

pub use self::reconcile::{those_that_wait_longest_come_first, what_is_asked_for_is_kept_until_its_end};
pub use crate::ledger_memory::MemoryLedger;

/// A running scenario. It panics if the store does not keep what it must.
pub type Run = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes a named `#[test]` of every scenario. Given is a function that runs a scenario on a new, empty store:
/// `fn(fn(Arc<dyn LedgerStore>) -> Run)`.
#[macro_export]
macro_rules! ledger_conformance {
    ($with_store:path) => {
        $crate::ledger_conformance!(@ $with_store:
            attempts_are_kept_as_they_were what_happened_once_is_written_once amounts_that_do_not_add_up_are_refused
            every_attempt_has_its_entries a_surer_cost_takes_the_place_of_another what_comes_late_is_booked_late
            what_is_held_is_let_go attempts_add_up_by_hour labels_have_rows_of_their_own open_attempts_are_found
            pages_hold_every_attempt_once a_large_sum_holds wildcards_are_letters many_writers_add_up
        );
    };
    (@ $with_store:path: $($scenario:ident)*) => {
        $(
            #[test]
            fn $scenario() {
                $with_store(|store| ::std::boxed::Box::pin($crate::conformance::$scenario(store)));
            }
        )*
    };
}

/// The beginning of the attempts here: 2025-12-17T19:33:20.123456Z.
pub fn began() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(1_766_000_000_123_456)
}

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A request's name.
pub fn id(request: &str) -> RequestId {
    RequestId::new(request).unwrap()
}

/// Ten percent and a fee for each call that costs something, set for a team.
pub fn rule() -> MarkupRule {
    let rule = MarkupRule::DEFAULT.with_fee(Pico::new(7_000_000)).unwrap();
    rule.from_source(MarkupSource::Team)
}

/// An intent with everything in it but money that is held.
pub fn intent(request: &str, attempt: u16) -> AttemptIntent {
    AttemptIntent {
        request: id(request),
        attempt,
        started: began(),
        task: Some("coding".to_owned()),
        requested_model: "waypost/auto".to_owned(),
        provider: ProviderId::new("openrouter").unwrap(),
        model: ModelId::new("a/m").unwrap(),
        price_snapshot: "openrouter-2026-08-22-0123456789ab".to_owned(),
        stream: true,
        simulated: false,
        user: Some("ann".to_owned()),
        tags: vec!["b".to_owned(), "a \"quoted\" one".to_owned()],
        arm: Some("cheaper/treatment".to_owned()),
        decision: Some(r#"{"policy":"p"}"#.to_owned()),
        caller: Caller::of_key("k1").with_project("p").with_team("t"),
        markup: rule(),
        purpose: AttemptIntent::CALL.to_owned(),
        reserved: None,
    }
}

/// A settlement of 0.000123 dollars under a markup of ten percent and a fee, with its bill.
pub fn settlement(request: &str, attempt: u16) -> AttemptSettlement {
    let usage = Usage::from_json(
        r#"{"prompt_tokens":12,"completion_tokens":34,"prompt_tokens_details":{"cached_tokens":5},"cost":0.000123,"own":[1]}"#,
    )
    .unwrap();
    let sheet = PriceSheet::from_pricing_json(
        r#"{"prompt":"0.000001","completion":"0.000003","input_cache_read":"0.0000001"}"#,
    )
    .unwrap();
    let priced = price_call(Some(&usage), Some(&sheet), UtcTime::from(began()), rule());
    AttemptSettlement {
        request: id(request),
        attempt,
        finished: began() + Duration::from_micros(876_545),
        outcome: Outcome::Succeeded,
        error_kind: None,
        served_model: Some("a/m-2026".to_owned()),
        upstream: Some(UpstreamName::new("Some Cloud").unwrap()),
        generation: Some(GenerationId::new("gen-1").unwrap()),
        finish_reason: Some("stop".to_owned()),
        service_tier: Some("default".to_owned()),
        usage: Some(usage),
        charge: priced.charge,
        fee: rule().fee(),
        bill: priced.bill().unwrap().lines().copied().collect(),
        uncached_cost: Some(Pico::new(127_500_000)),
        reported_cost: priced.reported,
        computed_cost: priced.computed.map(|cost| cost.total()),
        first_content: Some(Duration::from_micros(250_000)),
        duration: Some(Duration::from_micros(876_545)),
    }
}

/// A settlement that knows nothing but that it failed.
pub fn bare_settlement(request: &str, attempt: u16) -> AttemptSettlement {
    AttemptSettlement {
        error_kind: Some("timeout".to_owned()),
        ..crate::recovered(
            &AttemptRow::open(intent(request, attempt)),
            crate::Fate::Unknown,
            began() + Duration::from_secs(1),
        )
    }
}

/// A correction to so many pico-dollars, under ten percent and no fee.
pub fn correction(request: &str, attempt: u16, pico: i64, status: CostStatus) -> AttemptCorrection {
    AttemptCorrection {
        request: id(request),
        attempt,
        at: began() + DAY,
        source: "generation".to_owned(),
        charge: Charge::known(Pico::new(pico), MarkupRule::DEFAULT, status).unwrap(),
        fee: Pico::ZERO,
        bill: Vec::new(),
        reported_cost: Some(Pico::new(pico).to_decimal()),
    }
}

async fn holds(store: &dyn LedgerStore) {
    let found = store.verify().await.unwrap();
    assert!(found.holds(), "{:#?}", found.violations);
}

/// All sums of all times.
pub async fn all_rollups(store: &dyn LedgerStore, filter: &RollupFilter) -> Vec<RollupRow> {
    let from = UNIX_EPOCH - 40_000 * DAY;
    store.rollups(from, began() + 4_000 * DAY, filter).await.unwrap()
}

fn unbalanced(error: Result<(), LedgerError>) -> bool {
    matches!(error, Err(LedgerError::Unbalanced { .. }))
}

/// What is written is read back, open, settled and corrected.
pub async fn attempts_are_kept_as_they_were(store: Arc<dyn LedgerStore>) {
    store.check().await.unwrap();
    assert_eq!(store.attempts(&id("r")).await.unwrap(), []);
    let mut row = AttemptRow::open(AttemptIntent {
        reserved: Some(Pico::new(5)),
        purpose: "judge".to_owned(),
        ..intent("r", 1)
    });
    store.intend(row.intent.clone()).await.unwrap();
    assert_eq!(store.attempts(&id("r")).await.unwrap(), [row.clone()]);
    row.settlement = Some(settlement("r", 1));
    store.settle(settlement("r", 1)).await.unwrap();
    assert_eq!(store.attempts(&id("r")).await.unwrap(), [row.clone()]);
    for pico in [120, 130] {
        let correction = correction("r", 1, pico, CostStatus::Exact);
        row.corrections.push(correction.clone());
        assert!(store.correct(correction).await.unwrap());
    }
    assert_eq!(store.attempts(&id("r")).await.unwrap(), [row]);
    store.intend(intent("r", 10)).await.unwrap();
    store.intend(intent("r", 2)).await.unwrap();
    let numbers: Vec<_> = store
        .attempts(&id("r"))
        .await
        .unwrap()
        .iter()
        .map(|row| row.intent.attempt)
        .collect();
    assert_eq!(numbers, [1, 2, 10]);
    holds(&*store).await;
}

/// The second of everything is refused, or changes nothing.
pub async fn what_happened_once_is_written_once(store: Arc<dyn LedgerStore>) {
    let (request, attempt) = (id("r"), 1);
    let named = |request: &RequestId| (request.clone(), attempt);
    let unknown = {
        let (request, attempt) = named(&request);
        LedgerError::UnknownAttempt { request, attempt }
    };
    assert_eq!(store.settle(settlement("r", 1)).await, Err(unknown.clone()));
    assert_eq!(
        store.correct(correction("r", 1, 1, CostStatus::Exact)).await,
        Err(unknown)
    );
    store.intend(intent("r", 1)).await.unwrap();
    let mut other = intent("r", 1);
    other.requested_model = "another".to_owned();
    let duplicate = {
        let (request, attempt) = named(&request);
        LedgerError::Duplicate { request, attempt }
    };
    assert_eq!(store.intend(other.clone()).await, Err(duplicate.clone()));
    let early = {
        let (request, attempt) = named(&request);
        LedgerError::NotSettled { request, attempt }
    };
    assert_eq!(
        store.correct(correction("r", 1, 1, CostStatus::Exact)).await,
        Err(early)
    );
    store.settle(settlement("r", 1)).await.unwrap();
    assert_eq!(store.intend(other).await, Err(duplicate));
    let settled = LedgerError::AlreadySettled { request, attempt };
    assert_eq!(store.settle(bare_settlement("r", 1)).await, Err(settled.clone()));
    assert_eq!(store.settle(settlement("r", 1)).await, Err(settled));
    assert!(
        store
            .correct(correction("r", 1, 1, CostStatus::Exact))
            .await
            .unwrap()
    );
    let entries = store.entries(&id("r")).await.unwrap();
    assert!(
        !store
            .correct(correction("r", 1, 1, CostStatus::Exact))
            .await
            .unwrap()
    );
    assert_eq!(store.entries(&id("r")).await.unwrap(), entries);
    holds(&*store).await;
}

/// Amounts that contradict each other are written nowhere.
pub async fn amounts_that_do_not_add_up_are_refused(store: Arc<dyn LedgerStore>) {
    store.intend(intent("r", 1)).await.unwrap();
    type Break = fn(&mut AttemptSettlement);
    let breaks: [Break; 6] = [
        |s| s.charge.charge = s.charge.cost,
        |s| s.charge.markup = None,
        |s| s.fee = Pico::new(-1),
        |s| s.bill.truncate(1),
        |s| s.charge = Charge::unknown(MarkupRule::DEFAULT.share(), CostStatus::Pending),
        |s| s.bill.swap_remove(0).quantity = None,
    ];
    for (number, broken) in breaks.into_iter().enumerate() {
        let mut settlement = settlement("r", 1);
        broken(&mut settlement);
        assert!(unbalanced(store.settle(settlement).await), "{number}");
    }
    assert_eq!(store.attempts(&id("r")).await.unwrap()[0].settlement, None);
    store.settle(settlement("r", 1)).await.unwrap();
    let mut unknown = correction("r", 1, 1, CostStatus::Exact);
    unknown.charge = Charge::unknown(MarkupRule::DEFAULT.share(), CostStatus::Pending);
    assert!(unbalanced(store.correct(unknown).await.map(|_| ())));
    let mut crooked = correction("r", 1, 1_000, CostStatus::Exact);
    crooked.charge.markup = Some(Pico::ZERO);
    assert!(unbalanced(store.correct(crooked).await.map(|_| ())));
    holds(&*store).await;
}

/// Cost, markup and fee are entries of their own; an unknown cost has none, and a cost of zero has one.
pub async fn every_attempt_has_its_entries(store: Arc<dyn LedgerStore>) {
    for attempt in 1..=4 {
        store.intend(intent("r", attempt)).await.unwrap();
    }
    store.settle(settlement("r", 1)).await.unwrap();
    store.settle(bare_settlement("r", 2)).await.unwrap();
    let free = Charge::known(Pico::ZERO, MarkupRule::DEFAULT, CostStatus::Computed).unwrap();
    store
        .settle(AttemptSettlement {
            outcome: Outcome::Cancelled,
            charge: free,
            ..bare_settlement("r", 3)
        })
        .await
        .unwrap();
    let entries = store.entries(&id("r")).await.unwrap();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            let accounts = format!("{} > {}", entry.debit, entry.credit);
            (entry.attempt, entry.kind, entry.seq, accounts, entry.amount.get())
        })
        .collect();
    let moved = |credit: &str| format!("customer:k1 > {credit}");
    assert_eq!(
        told,
        [
            (1, EntryKind::Fee, 0, moved("fees"), 7_000_000),
            (1, EntryKind::Markup, 0, moved("markup"), 12_300_000),
            (1, EntryKind::Settle, 0, moved("provider:openrouter"), 123_000_000),
            (3, EntryKind::Settle, 0, moved("provider:openrouter"), 0),
        ]
    );
    assert!(entries.iter().all(|entry| entry.hour == hour_of(began())));
    let found = store.verify().await.unwrap();
    assert!(found.holds(), "{:#?}", found.violations);
    assert_eq!(
        (found.attempts, found.open, found.requests, found.entries),
        (4, 1, 1, 4)
    );
    assert_eq!(found.charged, PicoSum::new(142_300_000));
}

/// Exact supersedes reported supersedes computed; never the other way round.
pub async fn a_surer_cost_takes_the_place_of_another(store: Arc<dyn LedgerStore>) {
    store.intend(intent("r", 1)).await.unwrap();
    store.settle(bare_settlement("r", 1)).await.unwrap();
    for (pico, status, taken) in [
        (100, CostStatus::Estimated, true),
        (90, CostStatus::Computed, true),
        (90, CostStatus::Estimated, false),
        (200, CostStatus::Exact, true),
        (150, CostStatus::Reported, false),
        (150, CostStatus::Exact, true),
        (150, CostStatus::Exact, false),
    ] {
        let correction = correction("r", 1, pico, status);
        assert_eq!(store.correct(correction).await.unwrap(), taken, "{pico} {status}");
        holds(&*store).await;
    }
    let row = store.attempts(&id("r")).await.unwrap().remove(0);
    let charge = row.charge().unwrap();
    assert_eq!(
        (charge.cost, charge.status),
        (Some(Pico::new(150)), CostStatus::Exact)
    );
    let amounts: Vec<_> = store
        .entries(&id("r"))
        .await
        .unwrap()
        .into_iter()
        .map(|entry| {
            (
                entry.kind,
                entry.seq,
                entry.credit == Account::Markup,
                entry.amount.get(),
            )
        })
        .collect();
    let correct = |seq, markup, amount| (EntryKind::Correct, seq, markup, amount);
    assert_eq!(
        amounts,
        [
            correct(0, false, 100),
            correct(1, true, 10),
            correct(2, false, -10),
            correct(3, true, -1),
            correct(4, false, 110),
            correct(5, true, 11),
            correct(6, false, -50),
            correct(7, true, -5),
        ]
    );
    let rows = all_rollups(&*store, &RollupFilter::default()).await;
    assert_eq!(rows.len(), 1);
    let sums = rows[0].sums;
    assert_eq!(
        (sums.attempts, sums.unknown, sums.cost, sums.charge),
        (1, 0, PicoSum::new(150), PicoSum::new(165))
    );
}

/// Until 72 hours after the end of its month an attempt is booked in its own hour, afterwards in the current one; what was
/// reported of the month stays.
pub async fn what_comes_late_is_booked_late(store: Arc<dyn LedgerStore>) {
    // 2026-01-04T00:00:00Z, when the books of December close.
    let closes = UNIX_EPOCH + Duration::from_secs(1_767_484_800);
    let hour = hour_of(began());
    for request in ["in-time", "late", "late-settled"] {
        store.intend(intent(request, 1)).await.unwrap();
    }
    for request in ["in-time", "late"] {
        store.settle(settlement(request, 1)).await.unwrap();
    }
    store
        .settle(AttemptSettlement {
            finished: closes,
            ..settlement("late-settled", 1)
        })
        .await
        .unwrap();
    for (request, at) in [("in-time", closes - Duration::from_secs(1)), ("late", closes)] {
        let correction = AttemptCorrection {
            at,
            ..correction(request, 1, 200_000_000, CostStatus::Exact)
        };
        assert!(store.correct(correction).await.unwrap());
    }
    for (request, kind, booked) in [
        ("in-time", EntryKind::Correct, hour),
        ("late", EntryKind::Correct, closes),
        ("late-settled", EntryKind::Settle, closes),
    ] {
        let entries = store.entries(&id(request)).await.unwrap();
        let of_kind: Vec<_> = entries.iter().filter(|entry| entry.kind == kind).collect();
        assert!(
            !of_kind.is_empty() && of_kind.iter().all(|entry| entry.hour == booked),
            "{request}"
        );
    }
    let sum = |rows: &[RollupRow]| -> (u64, PicoSum) {
        (
            rows.iter().map(|row| row.sums.attempts).sum(),
            rows.iter().map(|row| row.sums.cost).sum(),
        )
    };
    let filter = RollupFilter::default();
    let december = store.rollups(hour, closes, &filter).await.unwrap();
    assert_eq!(sum(&december), (3, PicoSum::new(200_000_000 + 123_000_000)));
    let january = store.rollups(closes, closes + DAY, &filter).await.unwrap();
    assert_eq!(sum(&january), (0, PicoSum::new(77_000_000 + 123_000_000)));
    holds(&*store).await;
}

/// What is held for an attempt is let go when it is settled, at whatever cost.
pub async fn what_is_held_is_let_go(store: Arc<dyn LedgerStore>) {
    for attempt in 1..=3 {
        let mut held = intent("r", attempt);
        held.reserved = Some(Pico::new(1_000));
        store.intend(held).await.unwrap();
    }
    holds(&*store).await;
    store.settle(settlement("r", 1)).await.unwrap();
    store.settle(bare_settlement("r", 2)).await.unwrap();
    holds(&*store).await;
    let entries = store.entries(&id("r")).await.unwrap();
    let held: i64 = entries
        .iter()
        .map(|entry| match entry.kind {
            EntryKind::Reserve => entry.amount.get(),
            EntryKind::Release => -entry.amount.get(),
            _ => 0,
        })
        .sum();
    assert_eq!(held, 1_000, "of the open attempt alone");
}

/// Every attempt is in the sums of its hour, as it is now.
pub async fn attempts_add_up_by_hour(store: Arc<dyn LedgerStore>) {
    for (request, attempt, hours) in [("r", 1, 0), ("r", 2, 0), ("s", 1, 1), ("t", 1, 2)] {
        let started = began() + Duration::from_secs(3_600 * hours);
        store
            .intend(AttemptIntent {
                started,
                ..intent(request, attempt)
            })
            .await
            .unwrap();
        if request != "t" {
            let finished = started + Duration::from_secs(1);
            store
                .settle(AttemptSettlement {
                    finished,
                    ..settlement(request, attempt)
                })
                .await
                .unwrap();
        }
    }
    let rows = all_rollups(&*store, &RollupFilter::default()).await;
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            let hours = row.key.hour.duration_since(hour_of(began())).unwrap().as_secs() / 3_600;
            (
                hours,
                row.key.first,
                row.key.outcome,
                row.sums.attempts,
                row.sums.unknown,
            )
        })
        .collect();
    let done = Some(Outcome::Succeeded);
    assert_eq!(
        told,
        [
            (0, false, done, 1, 0),
            (0, true, done, 1, 0),
            (1, true, done, 1, 0),
            (2, true, None, 1, 1)
        ]
    );
    let sums = rows[0].sums;
    assert_eq!(
        (sums.prompt_tokens, sums.completion_tokens, sums.cached_tokens),
        (12, 34, 5)
    );
    assert_eq!(
        [sums.cost, sums.markup, sums.charge, sums.uncached_cost],
        [123_000_000, 19_300_000, 142_300_000, 127_500_000].map(PicoSum::new)
    );
    let key = &rows[0].key;
    assert_eq!(
        (&key.caller, key.task.as_deref()),
        (&intent("r", 1).caller, Some("coding"))
    );
    let hour = hour_of(began());
    let second = store
        .rollups(
            hour + Duration::from_secs(3_600),
            hour + Duration::from_secs(7_200),
            &RollupFilter::default(),
        )
        .await
        .unwrap();
    assert_eq!(second, rows[2..3]);
    holds(&*store).await;
}

/// An attempt with two labels is in two rows by label, and once in those over all labels.
pub async fn labels_have_rows_of_their_own(store: Arc<dyn LedgerStore>) {
    let labels = [vec!["a", "b"], vec!["b", "b"], vec![]];
    for (attempt, tags) in (1..).zip(labels) {
        let mut labelled = intent("r", attempt);
        labelled.tags = tags.into_iter().map(str::to_owned).collect();
        store.intend(labelled).await.unwrap();
    }
    let count = |rows: &[RollupRow]| rows.iter().map(|row| row.sums.attempts).sum::<u64>();
    assert_eq!(count(&all_rollups(&*store, &RollupFilter::default()).await), 3);
    for (tag, attempts) in [(None, 3), (Some("a"), 1), (Some("b"), 2), (Some("c"), 0)] {
        let filter = RollupFilter {
            by_tag: true,
            tag: tag.map(str::to_owned),
            ..RollupFilter::default()
        };
        assert_eq!(count(&all_rollups(&*store, &filter).await), attempts, "{tag:?}");
    }
    let both = RollupFilter {
        both: true,
        ..RollupFilter::default()
    };
    assert_eq!(count(&all_rollups(&*store, &both).await), 6);
    holds(&*store).await;
}

/// What has begun and not ended is found, oldest first, with the name the provider gave it meanwhile.
pub async fn open_attempts_are_found(store: Arc<dyn LedgerStore>) {
    for (request, micros, simulated) in [("late", 30, true), ("early", 10, false), ("done", 5, false)] {
        let started = began() + Duration::from_micros(micros);
        store
            .intend(AttemptIntent {
                started,
                simulated,
                ..intent(request, 1)
            })
            .await
            .unwrap();
    }
    let name = |name: &str| GenerationId::new(name).unwrap();
    let gone = LedgerError::UnknownAttempt {
        request: id("gone"),
        attempt: 1,
    };
    assert_eq!(store.name(&id("gone"), 1, &name("gen-0")).await, Err(gone));
    assert!(store.name(&id("early"), 1, &name("gen-7")).await.unwrap());
    assert!(
        !store.name(&id("early"), 1, &name("gen-8")).await.unwrap(),
        "the first one is kept"
    );
    store.settle(settlement("done", 1)).await.unwrap();
    assert!(!store.name(&id("done"), 1, &name("gen-9")).await.unwrap());
    let done = store.attempts(&id("done")).await.unwrap().remove(0);
    assert_eq!(done.generation(), Some(&name("gen-1")));
    let open = store.open_attempts().await.unwrap();
    let names: Vec<_> = open
        .iter()
        .map(|row| (row.intent.request.as_str(), row.named.clone()))
        .collect();
    assert_eq!(names, [("early", Some(name("gen-7"))), ("late", None)]);
    for row in &open {
        let recovered = crate::recovered(row, crate::Fate::of(&row.intent), began() + DAY);
        assert_eq!(recovered.generation, row.named);
        store.settle(recovered).await.unwrap();
    }
    assert!(store.open_attempts().await.unwrap().is_empty());
    let early = store.attempts(&id("early")).await.unwrap().remove(0);
    let charge = early.charge().unwrap();
    assert_eq!((charge.cost, charge.status), (None, CostStatus::Pending));
    assert_eq!((early.generation(), &early.named), (Some(&name("gen-7")), &None));
    let charge = store.attempts(&id("late")).await.unwrap()[0].charge().unwrap();
    assert_eq!(
        (charge.cost, charge.status),
        (Some(Pico::ZERO), CostStatus::Exact)
    );
    holds(&*store).await;
}

/// Page by page every attempt of the time asked for comes once and in order, however large the page.
pub async fn pages_hold_every_attempt_once(store: Arc<dyn LedgerStore>) {
    for n in 0..20_u16 {
        let started = began() + Duration::from_secs(u64::from(n / 3));
        store
            .intend(AttemptIntent {
                started,
                ..intent(&format!("r{}", n % 7), n)
            })
            .await
            .unwrap();
    }
    let (from, to) = (began() + Duration::from_secs(1), began() + Duration::from_secs(6));
    let whole = store.export(from, to, None, 100).await.unwrap();
    assert_eq!((whole.rows.len(), whole.next), (15, None));
    let place = |row: &AttemptRow| (row.intent.started, row.intent.request.clone(), row.intent.attempt);
    assert!(whole.rows.is_sorted_by_key(place));
    for limit in 1..=16 {
        let mut rows = Vec::new();
        let mut page = store.export(from, to, None, limit).await.unwrap();
        loop {
            assert!(page.rows.len() <= limit);
            rows.append(&mut page.rows);
            let Some(next) = page.next else { break };
            page = store.export(from, to, Some(&next), limit).await.unwrap();
        }
        assert_eq!(rows, whole.rows, "{limit}");
    }
}

/// Amounts as large as there are do not overflow a sum.
pub async fn a_large_sum_holds(store: Arc<dyn LedgerStore>) {
    let most = Charge::known(Pico::new(i64::MAX), crate::Markup::NONE, CostStatus::Reported).unwrap();
    for attempt in 1..=5 {
        store.intend(intent("r", attempt)).await.unwrap();
        let mut huge = bare_settlement("r", attempt);
        huge.charge = most;
        huge.usage = Some(Usage::of_tokens(u64::MAX, 1 << 62));
        store.settle(huge).await.unwrap();
    }
    let rows = all_rollups(&*store, &RollupFilter::default()).await;
    let cost: PicoSum = rows.iter().map(|row| row.sums.cost).sum();
    assert_eq!(cost, PicoSum::new(5 * i128::from(i64::MAX)));
    assert_eq!(cost.to_string(), "46116860.184273879035");
    holds(&*store).await;
    // To less than nothing is further than an amount can say.
    let wrong = correction("r", 1, -5, CostStatus::Exact);
    assert!(unbalanced(store.correct(wrong).await.map(|_| ())));
    holds(&*store).await;
}

/// A filter's text is taken letter by letter.
pub async fn wildcards_are_letters(store: Arc<dyn LedgerStore>) {
    for (attempt, key) in (1..).zip(["k%", "kk", "k_"]) {
        let mut of_key = intent("r", attempt);
        (of_key.caller, of_key.task) = (Caller::of_key(key), Some(key.to_owned()));
        of_key.tags = vec![key.to_owned()];
        store.intend(of_key).await.unwrap();
    }
    for (wanted, attempts) in [("k%", 1), ("k_", 1), ("k", 0), ("%", 0), ("' OR 1=1 --", 0)] {
        let wanted = || Some(wanted.to_owned());
        type Set = fn(&mut RollupFilter, Option<String>);
        let sets: [Set; 3] = [|f, w| f.key = w, |f, w| f.task = w, |f, w| f.tag = w];
        for set in sets {
            let mut filter = RollupFilter::default();
            set(&mut filter, wanted());
            let found: u64 = all_rollups(&*store, &filter)
                .await
                .iter()
                .map(|row| row.sums.attempts)
                .sum();
            assert_eq!(found, attempts, "{filter:?}");
        }
    }
}

/// However many write at once, everything is there once.
pub async fn many_writers_add_up(store: Arc<dyn LedgerStore>) {
    let one = |n: u16| {
        let store = Arc::clone(&store);
        async move {
            let request = format!("r{}", n / 4);
            let attempt = n % 4 + 1;
            let twice = (
                store.intend(intent(&request, attempt)).await,
                store.intend(intent(&request, attempt)).await,
            );
            assert!(matches!(twice, (Ok(()), Err(LedgerError::Duplicate { .. }))));
            store.settle(settlement(&request, attempt)).await.unwrap();
            let twice = (
                store
                    .correct(correction(&request, attempt, 1_000, CostStatus::Exact))
                    .await,
                store
                    .correct(correction(&request, attempt, 1_000, CostStatus::Exact))
                    .await,
            );
            assert_eq!(twice, (Ok(true), Ok(false)));
        }
    };
    let mut running: Vec<Run> = (0..200).map(|n| Box::pin(one(n)) as Run).collect();
    std::future::poll_fn(|cx| {
        running.retain_mut(|run| run.as_mut().poll(cx).is_pending());
        if running.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    let found = store.verify().await.unwrap();
    assert!(found.holds(), "{:#?}", found.violations);
    assert_eq!((found.attempts, found.requests, found.open), (200, 50, 0));
    assert_eq!(found.charged, PicoSum::new(200 * 1_100));
}
