//! `waypost best-model`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use costing::{Markup, MarkupSubject, UtcTime};
use routing::{Plan, RouteRequest, Snapshot, Task, strategy};

use super::{Outcome, print_json, say, table};
use crate::app::bundled;
use crate::call::{Refused, needs, no_model_qualifies};
use crate::cli::{BestModelArgs, WrongUsage};
use crate::config::Settings;
use crate::environment::Environment;

pub(super) fn run(args: &BestModelArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let settings = Settings::resolve(&args.place.overrides(), env)?;
    let (catalogue, prices) = bundled()?;
    let markup = settings.markups.rule_for(MarkupSubject::default());
    let route = route(args, markup.share())?;
    let plan = Snapshot::new(&catalogue, &prices).plan(&route);
    if args.json {
        print_json(&plan)?;
    } else if !plan.candidates.is_empty() {
        print(&plan, args.explain)?;
    }
    if plan.candidates.is_empty() {
        let refused = no_model_qualifies(&plan, &route);
        eprintln!("waypost: {refused}");
        if args.explain && !args.json {
            print_refused(&plan)?;
        }
        return Ok(Outcome::Failed);
    }
    Ok(Outcome::Done)
}

fn route(args: &BestModelArgs, markup: Markup) -> anyhow::Result<RouteRequest> {
    let usage = |error: String| anyhow::Error::from(WrongUsage(error));
    let task: Task = args
        .task
        .parse()
        .map_err(|e: routing::UnknownTask| usage(e.to_string()))?;
    #[expect(clippy::disallowed_methods, reason = "a command reads the time once, here")]
    let now = SystemTime::now();
    let mut route = RouteRequest::new(task, UtcTime::from(now));
    route.markup = markup;
    route.min_quality = args.min_quality;
    route.needs = needs(&args.needs).map_err(|refused: Refused| usage(refused.message))?;
    route.context = args.context;
    route.max_price = args.max_price;
    route.allow_free = args.allow_free;
    if let Some(word) = &args.strategy {
        route.strategy = strategy(word).map_err(|e| usage(e.to_string()))?;
    }
    if let Some(tokens) = args.prompt_tokens {
        route.prompt_tokens = tokens;
    }
    if let Some(tokens) = args.completion_tokens {
        route.completion_tokens = tokens;
    }
    Ok(route)
}

fn print(plan: &Plan, explain: bool) -> anyhow::Result<()> {
    let Some(best) = plan.candidates.first() else {
        return Ok(());
    };
    say(format_args!("{}", best.target.model))?;
    say(format_args!(
        "quality {} for {}; expected cost ${} (charge ${} with markup) for {} prompt and {} completion tokens",
        best.quality,
        plan.task.as_str(),
        best.expected_cost.normalize(),
        best.expected_charge.normalize(),
        plan.assumed.prompt_tokens,
        plan.assumed.completion_tokens,
    ))?;
    if plan.candidates.len() > 1 {
        say(format_args!("\nnext, if it fails:"))?;
        let mut rows = table(&["model", "quality", "expected cost"]);
        for candidate in plan
            .candidates
            .iter()
            .skip(1)
            .take(if explain { usize::MAX } else { 4 })
        {
            rows.add_row([
                candidate.target.model.to_string(),
                candidate.quality.to_string(),
                format!("${}", candidate.expected_cost.normalize()),
            ]);
        }
        say(format_args!("{rows}"))?;
    }
    if explain {
        print_refused(plan)?;
    } else {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for refusal in &plan.refused {
            *reasons.entry(refusal.reason.as_str()).or_default() += 1;
        }
        let reasons: Vec<_> = reasons
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        say(format_args!(
            "\nrefused: {} (--explain shows each)",
            reasons.join(", ")
        ))?;
    }
    say(format_args!("\ncatalogue {}", plan.snapshot))
}

fn print_refused(plan: &Plan) -> anyhow::Result<()> {
    say(format_args!("\nrefused:"))?;
    let mut rows = table(&["model", "reason", "detail"]);
    for refusal in &plan.refused {
        rows.add_row([refusal.model.as_str(), refusal.reason.as_str(), &refusal.detail]);
    }
    say(rows)
}
