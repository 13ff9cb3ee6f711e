//! `waypost chat`.

use std::io::Write;
use std::sync::Arc;

use costing::Caller;
use futures_util::StreamExt;
use integration_core::chat::{ChatFold, Message};
use integration_core::{ChatRequest, ModelId, StreamEvent};
use serde_json::{Value, json};

use super::{Outcome, print_json, say};
use crate::app::{App, mint_request_id};
use crate::call::{Body, RouteOptions, prepare};
use crate::cli::{ChatArgs, WrongUsage};
use crate::config::{AUTO, Settings};
use crate::environment::Environment;
use crate::ledger::CallRecord;
use crate::report;
use crate::upstream::Mode;

pub(super) async fn run(args: &ChatArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let app = App::start_beside(Settings::resolve(&args.place.overrides(), env)?).await?;
    let mut body = body(args)?;
    let prepared = prepare(&app, &mut body, &Caller::local())?;
    let id = mint_request_id()?;
    let record = Arc::new(CallRecord::new(
        &app,
        id.clone(),
        &body,
        &prepared,
        Caller::local(),
    ));
    let call = prepared.call(id, &body.request).with_gate(record.gate());
    let mut failure = None;
    let mut shown = Ok(());
    let mut fold = ChatFold::new();
    match app.executor.stream(call).await {
        Err(exhausted) => failure = Some(exhausted.error),
        Ok(mut streamed) => {
            while let Some(event) = streamed.stream.next().await {
                match event {
                    Err(error) => failure = Some(error),
                    Ok(event) => {
                        if let (StreamEvent::Content { text, .. }, false) = (&event, args.json) {
                            shown = show(text);
                        }
                        fold.push(event)?;
                    }
                }
                if shown.is_err() {
                    // Nobody reads any more: the rest is not asked for.
                    break;
                }
            }
        }
    }
    record.written().await;
    shown?;
    if !args.json {
        say("")?;
    }
    let plan = prepared.explanation();
    let waypost = report::waypost(&record, app.mode(), app.prices.id(), plan.as_ref());
    let outcome = if failure.is_some() {
        Outcome::Failed
    } else {
        Outcome::Done
    };
    if args.json {
        let text = fold.finish().map(|response| response.text());
        let error = failure.map(|error| json!({ "kind": error.kind().as_str(), "message": error.message() }));
        print_json(&json!({ "text": text, "error": error, "waypost": waypost }))?;
    } else {
        if let Some(error) = failure {
            eprintln!("waypost: {error}");
        }
        summary(&app, &waypost);
    }
    app.upstreams.shutdown().await;
    Ok(outcome)
}

fn show(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn body(args: &ChatArgs) -> anyhow::Result<Body> {
    let model = args.model.as_deref().unwrap_or(AUTO);
    let model =
        ModelId::new(model).map_err(|e| WrongUsage(format!("'{model}' is not a model's name: {e}")))?;
    let mut request = ChatRequest::new(model, vec![Message::user(args.prompt.as_str())]);
    request.max_tokens = args.max_tokens;
    let mut options = RouteOptions::default();
    options.task.clone_from(&args.task);
    options.min_quality = args.min_quality;
    options.max_cost_usd = args.max_cost;
    options.strategy.clone_from(&args.strategy);
    options.explain = args.explain;
    options.allow_free = args.allow_free;
    Ok(Body::new(request, true, options))
}

/// What it was and what it cost, on standard error, so that the answer alone can be piped on.
fn summary(app: &App, waypost: &Value) {
    eprintln!();
    for attempt in waypost["attempts"].as_array().into_iter().flatten() {
        if let Some(message) = attempt["error"]["message"].as_str() {
            eprintln!(
                "{} failed: {message}",
                attempt["model"].as_str().unwrap_or_default()
            );
        }
    }
    if let Some(plan) = waypost["plan"].as_object() {
        let chosen = plan["replay"].is_object();
        for candidate in plan["candidates"].as_array().into_iter().flatten().take(5) {
            eprintln!(
                "candidate {}: quality {}, expected cost {}{}",
                candidate["model"].as_str().unwrap_or_default(),
                candidate["quality"]
                    .as_f64()
                    .map_or_else(|| "unknown".to_owned(), |quality| quality.to_string()),
                candidate["expected_cost_usd"]
                    .as_str()
                    .map_or_else(|| "unknown".to_owned(), |cost| format!("${cost}")),
                candidate["why"]
                    .as_str()
                    .map_or_else(String::new, |why| format!(", {why}")),
            );
        }
        let refused = plan["refused"].as_array().map_or(&[][..], Vec::as_slice);
        if chosen {
            let refused = refused.len();
            eprintln!("{refused} models refused; `waypost best-model --explain` shows why");
        } else {
            for refusal in refused {
                let word = |name: &str| refusal[name].as_str().unwrap_or_default();
                eprintln!("passed over {}: it {}", word("model"), word("detail"));
            }
        }
    }
    let simulated = if app.mode() == Mode::Simulated {
        " (SIMULATED, nothing was paid)"
    } else {
        ""
    };
    let amount = |name: &str| {
        waypost[name]
            .as_str()
            .map_or_else(|| "unknown".to_owned(), |amount| format!("${amount}"))
    };
    eprintln!(
        "{}: cost {} + markup {} = charge {}, {}{simulated}",
        waypost["model"].as_str().unwrap_or("no answer"),
        amount("cost_usd"),
        amount("markup_usd"),
        amount("charge_usd"),
        waypost["status"].as_str().unwrap_or_default(),
    );
}
