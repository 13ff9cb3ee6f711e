//! What is told of models that are named and not chosen.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use costing::{PriceBook, UtcTime};
use integration_core::ModelId;
use model_catalogue::{Benchmarks, Catalogue, ModelRecord, PriceStrings};
use routing::{Named, NoSignals, RouteRequest, Snapshot, Target, Task};
use serde_json::{Value, json};

const NOW: UtcTime = UtcTime::from_unix(1_787_400_000);

fn record(id: &str, rates: Option<(&str, &str)>, quality: Option<f64>) -> ModelRecord {
    let mut record = ModelRecord::new(ModelId::new(id).unwrap());
    record.context_length = Some(10_000);
    record.input_modalities = vec!["text".to_owned()];
    record.output_modalities = vec!["text".to_owned()];
    if let Some((prompt, completion)) = rates {
        record.prices = PriceStrings::new([("prompt", prompt), ("completion", completion)]);
    }
    record.benchmarks = Benchmarks::new(quality, quality, quality);
    record
}

fn named(model: &str, suffix: &str, why: &'static str) -> Named {
    let target = Target::new("p".parse().unwrap(), format!("{model}{suffix}").parse().unwrap());
    Named::new(model.parse().unwrap(), target, why)
}

#[test]
fn what_is_known_is_told_and_what_is_not_is_null() {
    let records = vec![
        record("a/known", Some(("0.000001", "0.000002")), Some(50.0)),
        record("b/dynamic", Some(("-1", "-1")), None),
        record("c/bare", None, None),
    ];
    let catalogue = Catalogue::new("2026-08-22", "p".parse().unwrap(), records).unwrap();
    let (prices, _) = PriceBook::from_catalogue(&catalogue);
    let snapshot = Snapshot::new(&catalogue, &prices);
    let mut request = RouteRequest::new(Task::Coding, NOW);
    request.never = vec!["d/*".parse().unwrap()];
    let names = [
        named("b/dynamic", "", "first"),
        named("d/unheard-of", "", "second"),
        named("a/known", ":nitro", "third"),
        named("c/bare", "", "fourth"),
    ];
    let plan = serde_json::to_value(snapshot.named_with(&names, &request, &NoSignals)).unwrap();
    let column = |key: &str| -> Vec<Value> {
        let candidates = plan["candidates"].as_array().unwrap();
        candidates.iter().map(|one| one[key].clone()).collect()
    };
    // In the order of the names: nothing is sorted.
    assert_eq!(column("model"), ["b/dynamic", "a/known:nitro", "c/bare"]);
    assert_eq!(column("why"), ["first", "third", "fourth"]);
    assert_eq!(column("quality"), [Value::Null, json!(50.0), Value::Null]);
    // 1,000 tokens at one and 500 at two dollars a million, and a tenth on top.
    assert_eq!(
        column("expected_cost_usd"),
        [Value::Null, json!("0.002"), Value::Null]
    );
    assert_eq!(
        column("expected_charge_usd"),
        [Value::Null, json!("0.0022"), Value::Null]
    );
    assert_eq!(
        column("cost_parts_usd"),
        [
            json!({}),
            json!({ "uncached_prompt": "0.001", "completion": "0.001" }),
            json!({})
        ]
    );
    assert_eq!(
        column("unpriced"),
        [
            json!("has a price that depends on the request and is known only afterwards"),
            Value::Null,
            json!("cannot be priced: there is no price for `uncached_prompt`"),
        ]
    );
    assert_eq!(column("on_pareto_front"), [Value::Null, Value::Null, Value::Null]);
    assert_eq!(
        (&plan["refused"][0]["model"], &plan["refused"][0]["reason"]),
        (&json!("d/unheard-of"), &json!("unknown_model"))
    );
    // The first one is the one that is asked first, whatever is known of it.
    assert_eq!(
        (
            &plan["model"],
            &plan["expected_cost_usd"],
            &plan["strategy"],
            &plan["replay"]
        ),
        (&json!("b/dynamic"), &Value::Null, &json!("named"), &Value::Null)
    );
    // The keys of a plan that was decided are all there.
    let decided = serde_json::to_value(snapshot.plan(&request)).unwrap();
    for (decided, told) in [
        (&decided, &plan),
        (&decided["candidates"][0], &plan["candidates"][0]),
        (&decided["refused"][0], &plan["refused"][0]),
    ] {
        for key in decided.as_object().unwrap().keys() {
            assert!(told.get(key).is_some(), "{key}");
        }
    }
}
