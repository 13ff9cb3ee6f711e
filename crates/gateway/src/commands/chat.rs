//! `waypost chat`.

use std::io::Write;
use std::sync::Arc;

use costing::Caller;
use integration_core::chat::Message;
use integration_core::{ChatRequest, ModelId};
use serde_json::{Value, json};

use super::one_call::OneCall;
use super::{Outcome, print_json, say};
use crate::app::App;
use crate::call::{Body, RouteOptions, prepare_closely};
use crate::cli::{ChatArgs, WrongUsage};
use crate::config::{AUTO, Settings};
use crate::environment::Environment;
use crate::report;
use crate::upstream::Mode;

pub(super) async fn run(args: &ChatArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let app = Arc::new(App::start_beside(Settings::resolve(&args.place.overrides(), env)?).await?);
    let outcome = asked(&app, args).await;
    if let Some(app) = Arc::into_inner(app) {
        app.upstreams.shutdown().await;
    }
    outcome
}

async fn asked(app: &Arc<App>, args: &ChatArgs) -> anyhow::Result<Outcome> {
    let mut body = body(args)?;
    prepare_closely(app, &mut body, &Caller::local()).await?;
    let call = OneCall::begin(app, body, false)?;
    let mut shown = Ok(());
    let answer = call
        .answer(|text| {
            if !args.json {
                shown = show(text);
            }
            shown.is_ok()
        })
        .await;
    // Nobody reads any more: there is nobody to tell of the rest.
    shown?;
    if !args.json {
        say("")?;
    }
    let plan = call.prepared.explanation();
    let waypost = report::waypost(&call.record, app.mode(), app.prices.id(), plan.as_ref());
    let outcome = if answer.is_err() {
        Outcome::Failed
    } else {
        Outcome::Done
    };
    if args.json {
        let (text, error) = match answer {
            Ok(answer) => (Some(answer.text()), None),
            Err(failure) => (
                None,
                Some(json!({ "kind": failure.kind, "message": failure.message })),
            ),
        };
        print_json(&json!({ "text": text, "error": error, "waypost": waypost }))?;
    } else {
        if let Err(failure) = answer {
            eprintln!("waypost: {}: {}", failure.kind, failure.message);
        }
        summary(app, &waypost);
    }
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
