//! Which outcomes count for which arm, and who is left out.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use experiments::{
    Arm, Attribution, Call, Context, Experiment, Exposure, Joiner, Outcome, OutcomeStore, OutcomeStoreError,
    Reason, RecordError, Standing, UnitKey, UnitRow, Units,
};
use futures_util::FutureExt;
use proptest::prelude::*;

const WINDOW: i64 = 100;

fn attribution() -> Attribution {
    Attribution::new("e", 2, UnitKey::User, WINDOW).unwrap()
}

fn exposure(unit: &str, arm: &str, version: u32, at: i64) -> Exposure {
    let experiment = Experiment::new("e", [Arm::new(arm, 10_000)])
        .unwrap()
        .with_version(version);
    let context = Context::of(UnitKey::User, unit);
    Exposure::of(&experiment.assign(unit), &context, at).unwrap()
}

fn outcome(id: &str, unit: &str, at: i64) -> Outcome {
    Outcome::new(id, at, Units::from(&Context::of(UnitKey::User, unit)))
}

fn joined(exposures: &[Exposure], outcomes: &[Outcome]) -> Vec<UnitRow> {
    let mut joiner = Joiner::new(attribution());
    exposures.iter().for_each(|e| joiner.expose(e).unwrap());
    outcomes.iter().for_each(|o| joiner.record(o).unwrap());
    joiner.rows()
}

#[test]
fn an_outcome_counts_from_the_first_exposure_until_the_window_is_over() {
    let outcomes: Vec<_> = [9, 10, 50, 109, 110]
        .into_iter()
        .map(|at| {
            let mut outcome = outcome(&at.to_string(), "u", at);
            outcome.cost_pico = Some(at);
            outcome
        })
        .collect();
    let exposures = [exposure("u", "a", 2, 60), exposure("u", "a", 2, 10)];
    let rows = joined(&exposures, &outcomes);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].exposed_at_ms, rows[0].sums.priced), (10, 3));
    assert_eq!(rows[0].sums.cost_pico, 10 + 50 + 109);
}

#[test]
fn failures_fallbacks_and_timeouts_are_outcomes_of_the_arm_assigned() {
    let mut failed = outcome("1", "u", 1);
    let mut call = Call::default();
    call.failed = true;
    call.timeout = true;
    failed.call = Some(call);
    let mut helped = outcome("2", "u", 2);
    let mut call = Call::default();
    call.fallback = true;
    call.served_model = Some("strong".into());
    helped.call = Some(call);
    helped.success = Some(true);
    helped.cost_pico = Some(7);
    let mut unknown = outcome("3", "u", 3);
    unknown.call = Some(Call::default());
    let sums = &joined(&[exposure("u", "cheap", 2, 0)], &[failed, helped, unknown])[0].sums;
    assert_eq!(
        (sums.calls, sums.failed, sums.timeouts, sums.fallbacks),
        (3, 1, 1, 1)
    );
    assert_eq!(
        (sums.judged, sums.successes),
        (2, 1),
        "a failed call is no success; of the third nothing is known"
    );
    assert_eq!((sums.priced, sums.cost_pico), (1, 7));
}

#[test]
fn feedback_that_names_only_the_request_finds_the_unit() {
    let mut call = outcome("call", "u", 1);
    call.units.request = Some("r".into());
    call.call = Some(Call::default());
    let mut feedback = Outcome::new("judge", 50, Units::of_request("r"));
    feedback.success = Some(true);
    feedback.score = Some(0.5);
    feedback.named.insert("length".into(), 12.0);
    feedback.latency_ms = Some(3);
    let stray = Outcome::new("stray", 50, Units::of_request("another"));
    for outcomes in [
        [call.clone(), feedback.clone(), stray.clone()],
        [stray, feedback, call],
    ] {
        let sums = &joined(&[exposure("u", "a", 2, 0)], &outcomes)[0].sums;
        assert_eq!((sums.calls, sums.judged, sums.successes), (1, 1, 1));
        assert_eq!((sums.score.n, sums.score.sum), (1, 0.5));
        assert_eq!(sums.named["length"].sum, 12.0);
        assert_eq!((sums.timed, sums.latency_ms), (1, 3));
    }
}

#[test]
fn who_met_more_than_one_arm_or_version_or_was_forced_or_is_too_young_is_left_out() {
    let mut by_hand = exposure("forced", "a", 1, 0);
    by_hand.reason = Reason::Forced;
    assert_eq!(by_hand.check(), Ok(()));
    let rows = joined(
        &[
            exposure("arms", "a", 2, 0),
            exposure("arms", "b", 2, 1),
            exposure("both", "a", 2, 0),
            exposure("both", "b", 3, 1),
            by_hand,
            exposure("forced", "a", 2, 0),
            exposure("of-another-version", "a", 1, 0),
            exposure("plain", "b", 2, 0),
        ],
        &[],
    );
    let standing = |now| {
        rows.iter()
            .map(|row| (row.unit.as_str(), attribution().standing(row, now)))
            .collect::<Vec<_>>()
    };
    let at = |plain| {
        vec![
            ("arms", Standing::MultipleArms),
            ("both", Standing::MultipleVersions),
            ("forced", Standing::Forced),
            ("plain", plain),
        ]
    };
    assert_eq!(standing(WINDOW - 1), at(Standing::Immature));
    assert_eq!(standing(WINDOW), at(Standing::Analysed));
    assert_eq!(rows[3].arm, "b");
}

#[test]
fn exposures_of_other_experiments_and_kinds_of_unit_change_nothing() {
    let mut other = exposure("u", "a", 2, 0);
    other.experiment = "f".into();
    let mut tenant = exposure("u", "a", 2, 0);
    tenant.unit_key = UnitKey::Tenant;
    assert_eq!(joined(&[other, tenant], &[]), []);
}

#[test]
fn the_first_exposure_says_what_was_known_before() {
    let mut first = exposure("u", "a", 2, 1);
    first.covariates.insert("past".into(), 1.0);
    let mut second = exposure("u", "a", 2, 2);
    second.covariates.insert("past".into(), 2.0);
    for exposures in [[first.clone(), second.clone()], [second, first]] {
        assert_eq!(joined(&exposures, &[])[0].covariates["past"], 1.0);
    }
}

#[test]
fn what_cannot_be_an_outcome_is_refused() {
    let refused = |change: fn(&mut Outcome)| {
        let mut outcome = outcome("1", "u", 1);
        change(&mut outcome);
        Joiner::new(attribution()).record(&outcome).unwrap_err()
    };
    assert_eq!(refused(|o| o.id.clear()), RecordError::NoId);
    assert_eq!(refused(|o| o.units = Units::default()), RecordError::NoUnit);
    assert_eq!(refused(|o| o.units = Units::of_request("")), RecordError::NoUnit);
    assert_eq!(
        refused(|o| o.score = Some(f64::NAN)),
        RecordError::NotFinite("score".into())
    );
    assert_eq!(
        refused(|o| {
            o.named.insert("x".into(), f64::INFINITY);
        }),
        RecordError::NotFinite("x".into())
    );
    assert_eq!(
        refused(|o| o.cost_pico = Some(-1)),
        RecordError::Negative("cost_pico")
    );
    assert_eq!(
        refused(|o| {
            o.success = Some(true);
            let mut call = Call::default();
            call.failed = true;
            o.call = Some(call);
        }),
        RecordError::Contradiction("1".into())
    );
    for window in [0, -1] {
        assert_eq!(
            Attribution::new("e", 1, UnitKey::User, window),
            Err(RecordError::EmptyWindow(window))
        );
    }
    let json = serde_json::to_string(&outcome("1", "u", 1)).unwrap();
    assert_eq!(
        serde_json::from_str::<Outcome>(&json).unwrap(),
        outcome("1", "u", 1)
    );
    assert!(serde_json::from_str::<Outcome>(&json.replace('}', ",\"sucess\":true}")).is_err());
}

/// Keeps everything in a list, as a store on disk would in tables.
#[derive(Debug, Default)]
struct Memory(Mutex<Records>);

type Records = (Vec<Exposure>, Vec<Outcome>, BTreeMap<String, Experiment>);

#[async_trait]
impl OutcomeStore for Memory {
    async fn append_exposures(&self, exposures: &[Exposure]) -> Result<(), OutcomeStoreError> {
        exposures.iter().try_for_each(Exposure::check)?;
        self.0.lock().unwrap().0.extend_from_slice(exposures);
        Ok(())
    }

    async fn append_outcomes(&self, outcomes: &[Outcome]) -> Result<(), OutcomeStoreError> {
        outcomes.iter().try_for_each(Outcome::check)?;
        self.0.lock().unwrap().1.extend_from_slice(outcomes);
        Ok(())
    }

    async fn unit_rows(
        &self,
        attribution: &Attribution,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<UnitRow>, OutcomeStoreError> {
        let kept = self.0.lock().unwrap();
        let mut joiner = Joiner::new(attribution.clone());
        for exposure in &kept.0 {
            joiner.expose(exposure)?;
        }
        for outcome in &kept.1 {
            joiner.record(outcome)?;
        }
        let later = |row: &UnitRow| after.is_none_or(|after| row.unit.as_str() > after);
        Ok(joiner.rows().into_iter().filter(later).take(limit).collect())
    }

    async fn keep_definition(&self, experiment: &Experiment) -> Result<(), OutcomeStoreError> {
        let kept = &mut self.0.lock().unwrap().2;
        if let Some(before) = kept.get(experiment.key()) {
            before.check_change(experiment)?;
        }
        kept.insert(experiment.key().to_owned(), experiment.clone());
        Ok(())
    }
}

#[test]
fn a_store_is_read_in_pages_and_takes_all_of_a_call_or_nothing() {
    let store: Arc<dyn OutcomeStore> = Arc::new(Memory::default());
    let exposures: Vec<_> = ["c", "a", "b", "d", "e"]
        .map(|unit| exposure(unit, "a", 2, 0))
        .into();
    store
        .append_exposures(&exposures)
        .now_or_never()
        .unwrap()
        .unwrap();
    let mut bad = exposures.clone();
    bad[0].unit = "z".into();
    bad[4].unit = String::new();
    assert_eq!(
        store.append_exposures(&bad).now_or_never().unwrap(),
        Err(OutcomeStoreError::Record(RecordError::NoUnit))
    );
    let outcomes = [outcome("1", "a", 1), outcome("1", "a", 1)];
    store.append_outcomes(&outcomes).now_or_never().unwrap().unwrap();
    let mut seen: Vec<String> = Vec::new();
    loop {
        let rows = store
            .unit_rows(&attribution(), seen.last().map(String::as_str), 2)
            .now_or_never()
            .unwrap()
            .unwrap();
        let last = rows.len() < 2;
        seen.extend(rows.into_iter().map(|row| row.unit));
        if last {
            break;
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
}

fn any_exposure() -> impl Strategy<Value = Exposure> {
    ("[uvw]", "[ab]", 1u32..4, 0i64..50)
        .prop_map(|(unit, arm, version, at)| exposure(&unit, &arm, version, at))
}

/// An outcome of each id, so that the same id always says the same.
fn any_outcomes() -> impl Strategy<Value = Vec<Outcome>> {
    prop::collection::vec(
        (
            prop::option::of("[uvw]"),
            0i64..200,
            prop::option::of(-3i32..3),
            prop::option::of(0i64..9),
            any::<bool>(),
        ),
        0..20,
    )
    .prop_map(|parts| {
        parts
            .into_iter()
            .enumerate()
            .map(|(i, (user, at, score, cost, fallback))| {
                let mut outcome = Outcome::new(i.to_string(), at, Units::of_request(format!("r{}", i / 2)));
                // Both outcomes of a request that name a user name the same one.
                outcome.units.user = user.map(|_| ["u", "v", "w"][i / 2 % 3].to_owned());
                outcome.score = score.map(|score| f64::from(score) / 3.0);
                outcome.cost_pico = cost;
                let mut call = Call::default();
                call.fallback = fallback;
                outcome.call = Some(call);
                outcome
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn neither_order_nor_repetition_of_records_changes_the_rows(
        (exposures, shuffled) in prop::collection::vec(any_exposure(), 0..12)
            .prop_flat_map(|records| (Just(records.clone()), Just([records.clone(), records].concat()).prop_shuffle())),
        (outcomes, mixed) in any_outcomes()
            .prop_flat_map(|records| (Just(records.clone()), Just([records.clone(), records].concat()).prop_shuffle())),
    ) {
        prop_assert_eq!(joined(&exposures, &outcomes), joined(&shuffled, &mixed));
    }

    #[test]
    fn no_outcome_counts_twice_and_every_unit_of_the_version_has_a_row(
        exposures in prop::collection::vec(any_exposure(), 0..12), outcomes in any_outcomes(),
    ) {
        let rows = joined(&exposures, &outcomes);
        let calls: u64 = rows.iter().map(|row| row.sums.calls).sum();
        prop_assert!(calls <= outcomes.len() as u64);
        for unit in ["u", "v", "w"] {
            let arms: std::collections::BTreeSet<_> =
                exposures.iter().filter(|e| e.unit == unit && e.version == 2).map(|e| &e.arm).collect();
            let row = rows.iter().find(|row| row.unit == unit);
            prop_assert_eq!(row.map_or(0, |row| row.arms as usize), arms.len());
        }
    }
}

#[test]
fn all_units_are_read_page_by_page() {
    for units in [0, 1, 999, 1_000, 1_001, 2_000] {
        let store: Arc<dyn OutcomeStore> = Arc::new(Memory::default());
        let names: Vec<String> = (0..units).map(|unit| format!("{unit:04}")).collect();
        let exposures: Vec<_> = names.iter().map(|name| exposure(name, "a", 2, 0)).collect();
        store
            .append_exposures(&exposures)
            .now_or_never()
            .unwrap()
            .unwrap();
        let mut seen = Vec::new();
        store
            .for_each_unit(&attribution(), &mut |row| seen.push(row.unit))
            .now_or_never()
            .unwrap()
            .unwrap();
        assert_eq!(seen, names);
    }
}
