//! A comparison as JSON; its form is in docs/comparing-models.md.

use costing::Charge;
use serde_json::{Map, Value, json};

use super::calls::{milliseconds, sum_of};
use super::paired::{Against, Difference, LEAST_PAIRS, Measure};
use super::{Answered, Contestant, Judged, Results};
use crate::report;

pub(super) fn object(results: &Results<'_>) -> Value {
    let report = &results.report;
    let models: Vec<Value> = report
        .models
        .iter()
        .map(|figures| {
            let mut object = json!(figures);
            if let (Some(object), Some(at)) = (object.as_object_mut(), results.place(&figures.model)) {
                object.insert("total".to_owned(), sum(&results.charges_of(at)));
            }
            object
        })
        .collect();
    let judge = results.judge.map(|judge| {
        json!({
            "model": judge.model,
            "total": sum(&results.judge_charges),
        })
    });
    let all = [results.charges.as_slice(), &results.judge_charges].concat();
    json!({
        "mode": results.app.mode().as_str(),
        "price_snapshot": results.app.prices.id(),
        "interrupted": results.is_interrupted,
        "ranking": { "measure": report.measure, "unranked": report.unranked },
        "models": models,
        "pairs": report.pairs,
        "paired": {
            "baseline": results.paired.baseline,
            "least_pairs": LEAST_PAIRS,
            "models": results.paired.models.iter().map(|model| against(results, model)).collect::<Vec<_>>(),
        },
        "judge": judge,
        "total": sum(&all),
        "prompts": prompts(results),
    })
}

/// One model against the baseline; a measure that nothing was measured by is `null`.
fn against(results: &Results<'_>, model: &Against) -> Value {
    let ids = |places: &[usize]| -> Vec<&str> {
        let prompts = places.iter().filter_map(|place| results.prompts.get(*place));
        prompts.map(|prompt| prompt.id.as_str()).collect()
    };
    let mut object = Map::from_iter([
        ("model".to_owned(), json!(model.model)),
        ("both_answered".to_owned(), json!(model.both)),
        ("only_baseline".to_owned(), json!(ids(&model.only_baseline))),
        ("only_model".to_owned(), json!(ids(&model.only_model))),
    ]);
    for measure in Measure::ALL {
        let own = model.differences.iter().find(|own| own.measure == measure);
        object.insert(measure.as_str().to_owned(), own.map_or(Value::Null, difference));
    }
    Value::Object(object)
}

fn difference(own: &Difference) -> Value {
    let unit = match own.measure {
        Measure::Checks | Measure::Judge => "",
        Measure::Cost => "_usd",
        Measure::Latency => "_ms",
    };
    let tested = own.tested.as_ref().ok();
    let mut object = Map::from_iter([("pairs".to_owned(), json!(own.pairs))]);
    if let Some(tally) = own.tally {
        object.insert("better".to_owned(), json!(tally.better));
        object.insert("even".to_owned(), json!(tally.even));
        object.insert("worse".to_owned(), json!(tally.worse));
    }
    object.extend([
        (format!("difference{unit}"), json!(own.mean)),
        (
            format!("interval{unit}"),
            json!(tested.map(|tested| [tested.low, tested.high])),
        ),
        ("p".to_owned(), json!(tested.map(|tested| tested.p))),
        (
            "corrected_p".to_owned(),
            json!(tested.map(|tested| tested.corrected_p)),
        ),
        (
            "is_distinct".to_owned(),
            json!(tested.is_some_and(|tested| tested.is_distinct())),
        ),
        (
            "no_interval".to_owned(),
            json!(own.tested.as_ref().err().map(|why| why.as_str())),
        ),
    ]);
    Value::Object(object)
}

/// An amount in all, and of how many attempts it is not known.
fn sum(charges: &[Charge]) -> Value {
    let mut object = report::charge(&sum_of(charges));
    let unknown = charges.iter().filter(|charge| charge.cost.is_none()).count();
    object.insert("attempts".to_owned(), json!(charges.len()));
    object.insert("unknown_attempts".to_owned(), json!(unknown));
    Value::Object(object)
}

fn prompts(results: &Results<'_>) -> Vec<Value> {
    let prompts = results.prompts.iter().zip(&results.answers).enumerate();
    prompts
        .map(|(at, (prompt, answers))| {
            let answers = results.models.iter().zip(answers);
            let verdicts = results.judged.iter().filter(|pair| pair.prompt == at);
            json!({
                "id": prompt.id,
                "answers": answers
                    .filter_map(|(model, answered)| Some(answer(model, answered.as_ref()?)))
                    .collect::<Vec<_>>(),
                "verdicts": verdicts.map(|pair| verdict(results.models, pair)).collect::<Vec<_>>(),
            })
        })
        .collect()
}

fn answer(model: &Contestant, answered: &Answered) -> Value {
    let Answered { asked, checks } = answered;
    let trial = asked.trial(checks);
    let response = asked.result.as_ref().ok();
    let choice = response.and_then(|response| response.choices.first());
    let error = asked.result.as_ref().err();
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| json!({ "check": check.name, "passed": check.failure.is_none(), "failure": check.failure }))
        .collect();
    let mut object = Map::from_iter([
        ("model".to_owned(), json!(model.target.model)),
        (
            "request_id".to_owned(),
            json!(asked.record.as_ref().map(|record| record.request())),
        ),
        ("text".to_owned(), json!(response.map(|response| response.text()))),
        (
            "tool_calls".to_owned(),
            json!(choice.map(|choice| &choice.message.tool_calls)),
        ),
        (
            "finish_reason".to_owned(),
            json!(choice.and_then(|choice| choice.finish_reason.as_ref().map(|reason| reason.as_str()))),
        ),
        (
            "error".to_owned(),
            json!(error.map(|error| json!({ "kind": error.kind, "message": error.message }))),
        ),
        ("attempts".to_owned(), json!(asked.attempts().len())),
        ("latency_ms".to_owned(), json!(milliseconds(trial.latency))),
        (
            "first_content_ms".to_owned(),
            json!(milliseconds(trial.first_content)),
        ),
        ("prompt_tokens".to_owned(), json!(trial.prompt_tokens)),
        ("completion_tokens".to_owned(), json!(trial.completion_tokens)),
        ("reasoning_tokens".to_owned(), json!(trial.reasoning_tokens)),
        ("checks".to_owned(), json!(checks)),
    ]);
    object.extend(report::charge(&asked.charge()));
    Value::Object(object)
}

fn verdict(models: &[Contestant], pair: &Judged) -> Value {
    let name = |at: usize| models.get(at).map(|model| &model.target.model);
    let orders = pair.choices.each_ref().map(|choice| match choice {
        Ok(choice) => json!({ "choice": choice.as_str(), "error": null }),
        Err(error) => json!({ "choice": null, "error": error }),
    });
    json!({
        "first": name(pair.first),
        "second": name(pair.second),
        "verdict": pair.verdict.as_str(),
        "orders": orders,
    })
}
