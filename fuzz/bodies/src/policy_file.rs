//! The files of a learned policy beside its predictor: certificates, cascades and labels, from whoever hands them on.

use std::fmt::Debug;
use std::sync::LazyLock;

use costing::Pico;
use routing_learned::cascade::{self, Answer, Cascade, Example};
use routing_learned::monitor::{Heard, Label, Monitor};
use routing_learned::{
    Certificate, HeldOut, Inputs, Ladder, LearnedError, Outcome, Outcomes, Policy, Predictor, Promise,
    Scored, Scratch, TrainOptions, Verdict, train,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Each line is read as each of the things that it may be. What is not of the pool is refused in one sentence, by its check and by whatever it
/// is handed to; the rest chooses models of the pool alone, with a propensity above 0 and at most 1, and reads back the same. A monitor of the
/// last ladder and certificate hears the labels.
pub(crate) fn run(data: &[u8]) {
    let pool = match POOL.as_ref() {
        Ok(pool) => pool,
        Err(error) => return assert!(POOL.is_ok(), "nothing to hold files against: {error}"),
    };
    let (mut ladder, mut certificate, mut labels) = (None, None, Vec::new());
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(policy) = serde_json::from_slice::<Policy>(line) {
            reads_back(&policy);
            if is_taken(policy.check(pool.models().len())) {
                chooses(&policy, pool.models().len());
            }
        }
        if let Ok(found) = serde_json::from_slice::<Ladder>(line) {
            reads_back(&found);
            climbs(&found, pool);
            ladder = Some(found);
        }
        if let Ok(found) = serde_json::from_slice::<Certificate>(line) {
            reads_back(&found);
            certificate = Some(found);
        }
        if let Ok(verdict) = serde_json::from_slice::<Verdict>(line) {
            reads_back(&verdict);
            certificate = verdict.certificate().cloned().or(certificate);
        }
        if let Ok(cascade) = serde_json::from_slice::<Cascade>(line) {
            reads_back(&cascade);
            assert!(
                cascade.check(&pool.predictor).is_err(),
                "a predictor of other models is no check"
            );
            if is_taken(cascade.check(&pool.check)) {
                decides(&cascade, &pool.check);
            }
        }
        labels.extend(serde_json::from_slice::<Label>(line).ok());
    }
    if ladder.is_some() || certificate.is_some() || !labels.is_empty() {
        let ladder = ladder.unwrap_or_else(|| pool.ladder.clone());
        let certificate = certificate.unwrap_or_else(|| pool.certificate.clone());
        watches(&certificate, ladder, pool, labels);
    }
}

/// What files are held against.
struct Pool {
    predictor: Predictor,
    /// Three tags of twelve prompts.
    held: HeldOut,
    promise: Promise,
    ladder: Ladder,
    certificate: Certificate,
    /// Of a cascade.
    check: Predictor,
}

impl Pool {
    fn models(&self) -> &[String] {
        self.predictor.models()
    }

    fn new() -> Result<Self, LearnedError> {
        let outcomes = outcomes()?;
        let predictor = train(&outcomes, &TrainOptions::default(), &mut |_| {})?;
        let held = HeldOut::of(&predictor, &outcomes, Inputs::TextAndTag)?;
        let promise = Promise::loss_at_most(0.4).vs("dear").confidence(0.6);
        let ladder = Ladder::design(&promise, &held)?;
        let certificate = match ladder.certify(&promise, &held)? {
            Verdict::Certified(certificate) => certificate,
            Verdict::NotEnough { labels, .. } => {
                return Err(LearnedError::TooFew {
                    what: "a certificate",
                    needed: labels + 1,
                    have: labels,
                });
            }
        };
        let example = |at: u32| Example {
            id: at.to_string(),
            prompt: format!("what is {at}"),
            tag: None,
            answer: if at.is_multiple_of(3) { "perhaps" } else { "surely" }.to_owned(),
            cheap: scored(f64::from(u8::from(!at.is_multiple_of(3))), 1_000),
            dear: scored(1.0, 90_000),
        };
        let examples = cascade::outcomes((0..60).map(example))?;
        Ok(Self {
            check: train(&examples, &TrainOptions::default(), &mut |_| {})?,
            predictor,
            held,
            promise,
            ladder,
            certificate,
        })
    }
}

static POOL: LazyLock<Result<Pool, LearnedError>> = LazyLock::new(Pool::new);

fn scored(score: f64, cost: i64) -> Scored {
    Scored {
        cost: Some(Pico::new(cost)),
        ..Scored::new(score)
    }
}

fn outcomes() -> Result<Outcomes, LearnedError> {
    let mut outcomes = Outcomes::new();
    for at in 0..36_u32 {
        for (model, wrong, cost) in [("cheap", 5, 1_000), ("dear", 18, 90_000), ("middle", 9, 9_000)] {
            outcomes.add(Outcome {
                id: format!("{at:02}"),
                prompt: format!("question {at}"),
                tag: Some(format!("tag {}", at % 3)),
                model: model.to_owned(),
                result: scored(f64::from(u8::from(at % wrong != 0)), cost),
            })?;
        }
    }
    Ok(outcomes)
}

/// Whether a check takes what was read. A refusal is one line.
fn is_taken(checked: Result<(), LearnedError>) -> bool {
    if let Err(error) = &checked {
        assert!(!error.to_string().is_empty());
    }
    checked.is_ok()
}

fn reads_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let read = serde_json::to_string(value).and_then(|written| serde_json::from_str::<T>(&written));
    assert_eq!(read.as_ref().ok(), Some(value));
}

/// Of three models.
const PREDICTED: [[f32; 3]; 5] = [
    [0.6, 0.9, 0.8],
    [0.0; 3],
    [f32::NAN, f32::NAN, 1.0],
    [f32::NAN; 3],
    [f32::MAX, f32::MIN, f32::INFINITY],
];
const COSTS: [[f64; 3]; 5] = [
    [1_000.0, 90_000.0, 9_000.0],
    [0.0; 3],
    [f64::MAX; 3],
    [-1.0, f64::MIN, f64::NEG_INFINITY],
    [f64::NAN, f64::INFINITY, 5e-324],
];
const LARGEST_DRAW: f64 = 1.0 - f64::EPSILON / 2.0;

fn chooses(policy: &Policy, models: usize) {
    for predicted in &PREDICTED {
        for costs in &COSTS {
            let choices = [0.0, 0.25, 0.5, LARGEST_DRAW].map(|draw| policy.choose(predicted, costs, draw));
            let models_chosen = choices.map(|choice| choice.map(|choice| choice.model));
            let is_sure = models_chosen.iter().all(|model| *model == models_chosen[0]);
            for choice in choices {
                assert!(choice.is_some(), "{policy:?} chooses nothing");
                let Some(choice) = choice else { continue };
                assert!(choice.model < models, "{policy:?} {choice:?}");
                assert!(
                    choice.propensity > 0.0 && choice.propensity <= 1.0,
                    "{policy:?} {choice:?}"
                );
                // The first and the last draw are of both models of a mixture.
                assert!(!is_sure || choice.propensity == 1.0, "{policy:?} {choice:?}");
            }
        }
    }
}

fn climbs(ladder: &Ladder, pool: &Pool) {
    let verdicts = [
        ladder.certify(&pool.promise, &pool.held),
        ladder.certify_for_new_tags(&pool.promise, &pool.held, &pool.held),
    ];
    if !is_taken(ladder.check(pool.models())) {
        for verdict in verdicts {
            assert!(
                verdict.is_err(),
                "a ladder of other models is climbed: {verdict:?}"
            );
        }
        return;
    }
    assert!(pool.models().iter().any(|model| model == ladder.reference()));
    for rung in ladder.rungs() {
        chooses(&rung.policy, pool.models().len());
    }
    for predicted in &PREDICTED {
        for costs in &COSTS {
            let choices = ladder.choices(predicted, costs);
            assert!(
                choices.is_sorted_by(|a, b| a < b) && choices.last() < Some(&pool.models().len()),
                "{choices:?}"
            );
            assert!(
                choices
                    .iter()
                    .any(|model| pool.models()[*model] == ladder.reference())
            );
        }
    }
    for verdict in verdicts {
        assert!(verdict.is_ok(), "{verdict:?}");
        if let Ok(Verdict::Certified(certificate)) = verdict {
            is_certificate_of(&certificate, ladder, pool);
        }
    }
}

fn is_certificate_of(certificate: &Certificate, ladder: &Ladder, pool: &Pool) {
    reads_back(certificate);
    chooses(&certificate.policy, pool.models().len());
    let rung = ladder.rungs().get(certificate.rung.wrapping_sub(1));
    assert_eq!(
        rung.map(|rung| rung.policy),
        Some(certificate.policy),
        "{certificate:?}"
    );
    assert_eq!(certificate.reference, ladder.reference());
    let alpha = certificate.promise.level().map(|level| level.alpha());
    assert!(
        alpha.is_ok_and(|alpha| (0.0..=alpha).contains(&certificate.p_value)),
        "{certificate:?}"
    );
}

fn decides(cascade: &Cascade, check: &Predictor) {
    let mut scratch = Scratch::new();
    let mut escalates = |text: &str, cost: Option<i64>, second: Option<&str>| {
        let answer = Answer {
            cost: cost.map(Pico::new),
            ..Answer::whole(text)
        };
        cascade.escalates(check, "what is 4", None, &answer, second, &mut scratch)
    };
    for text in ["it is 4, surely", "perhaps"] {
        let costs = [None, Some(0), Some(1_000), Some(i64::MAX), Some(i64::MIN)];
        let decisions = costs.map(|cost| escalates(text, cost, None));
        if cascade.price == 0.0 {
            // What costs nothing to ask is asked whatever something else has cost.
            assert!(
                decisions.iter().all(|one| *one == decisions[0]),
                "{cascade:?} {decisions:?}"
            );
        }
        for cost in costs {
            assert!(!escalates(text, cost, Some(text)), "two agree: {cascade:?}");
            assert!(
                escalates(" ", cost, Some(" ")),
                "nothing is no answer: {cascade:?}"
            );
        }
    }
}

/// The shortest that there is.
const WINDOW: usize = 100;

/// Enough of one label to break a promise and to certify again.
const AGAIN: usize = 150;

/// Of so many labels.
const SEVERAL: usize = 3;

/// Whether it is of so many models, and each number in its range.
fn is_label(label: &Label, models: usize) -> bool {
    let lengths = [
        label.predicted.len(),
        label.expected_costs.len(),
        label.scores.len(),
        label.costs.len(),
    ];
    lengths == [models; 4]
        && label.scores.iter().all(|score| (0.0..=1.0).contains(score))
        && label.predicted.iter().all(|value| value.is_finite())
        && label
            .expected_costs
            .iter()
            .chain(&label.costs)
            .all(|cost| cost.is_finite())
}

fn watches(certificate: &Certificate, ladder: Ladder, pool: &Pool, labels: Vec<Label>) {
    let models = pool.models();
    let is_whole = ladder.check(models).is_ok()
        && certificate.policy.check(models.len()).is_ok()
        && certificate.promise.level().is_ok();
    let monitor = Monitor::new(certificate, ladder.clone(), models, WINDOW);
    if !is_whole {
        return assert!(monitor.is_err(), "a monitor of another pool: {monitor:?}");
    }
    // A loss just below 1 rounds to a mean of 1, which nothing can be tested against.
    let Ok(mut monitor) = monitor else { return };
    let times = |at: usize| if at < SEVERAL { AGAIN } else { 1 };
    let several = labels.into_iter().enumerate();
    for label in several.flat_map(|(at, label)| vec![label; times(at)]) {
        let before = (monitor.p_value(), monitor.policy());
        match monitor.observe(label.clone()) {
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert_eq!(
                    (monitor.p_value(), monitor.policy()),
                    before,
                    "a refused label changes something"
                );
                assert!(!is_label(&label, models.len()), "{label:?} is refused: {error}");
            }
            Ok(heard) => {
                assert!(is_label(&label, models.len()), "{label:?} is taken");
                reads_back(&label);
                match heard {
                    Heard::Nothing => {}
                    Heard::Broken => assert!(monitor.is_broken()),
                    Heard::Certified(found) => {
                        assert!(!monitor.is_broken() && monitor.policy() == found.policy);
                        is_certificate_of(&found, &ladder, pool);
                    }
                }
            }
        }
        assert!((0.0..=1.0).contains(&monitor.p_value()), "{monitor:?}");
        chooses(&monitor.policy(), models.len());
        if monitor.is_broken() {
            let reference = models.iter().position(|model| model == ladder.reference());
            assert_eq!(reference.map(Policy::Single), Some(monitor.policy()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise refusals alone would be looked at.
    #[test]
    fn some_seeds_are_files_of_the_pool() {
        let pool = POOL.as_ref().expect("a pool");
        let seed = |name: &str| {
            let path = format!("{}/../seeds/policy_file/{name}", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(path).expect(name)
        };
        let ladder: Ladder = serde_json::from_str(&seed("ladder-mixed")).expect("a ladder");
        assert_eq!(ladder.check(pool.models()), Ok(()));
        let ladder: Ladder = serde_json::from_str(&seed("ladder-routed")).expect("a ladder");
        assert_eq!(ladder.check(pool.models()), Ok(()));
        let certificate: Certificate = serde_json::from_str(&seed("certificate")).expect("a certificate");
        assert_eq!(certificate.policy.check(3), Ok(()));
        let cascade: Cascade = serde_json::from_str(&seed("cascade")).expect("a cascade");
        assert_eq!(cascade.check(&pool.check), Ok(()));
        // A promise that breaks and is certified again.
        let mut monitor = Monitor::new(&certificate, ladder, pool.models(), WINDOW).expect("a monitor");
        let mut heard = Vec::new();
        for line in seed("labels").lines() {
            let label: Label = serde_json::from_str(line).expect("a label");
            for _ in 0..AGAIN {
                heard.push(monitor.observe(label.clone()).expect("it is taken"));
            }
        }
        assert!(heard.contains(&Heard::Broken), "nothing broke");
        assert!(
            heard.iter().any(|heard| matches!(heard, Heard::Certified(_))),
            "nothing was certified again"
        );
    }
}
