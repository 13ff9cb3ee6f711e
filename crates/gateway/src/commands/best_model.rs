//! `waypost best-model`.

use std::collections::BTreeMap;
use std::sync::Arc;

use costing::{Caller, UtcTime};
use http_transport::SystemClock;
use integration_core::Clock;
use routing::{BreakerConfig, FeedbackRow, FeedbackStore, LiveBook, Plan, Router};

use super::{Outcome, print_json, read_ledger_if_any, say, table};
use crate::app::{bundled, seed};
use crate::call::no_model_qualifies;
use crate::cli::BestModelArgs;
use crate::config::Settings;
use crate::environment::Environment;
use crate::pricing::Charges;
use crate::profile::{Chance, Question};
use crate::quality::Sources;
use crate::upstream::enforced;

pub(super) async fn run(args: &BestModelArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let settings = Settings::resolve(&args.place.overrides(), env)?;
    let (catalogue, prices) = bundled()?;
    let clock = SystemClock;
    let seed = seed(&clock);
    let route = question(args).request(&settings, UtcTime::from(clock.wall()), Chance { seed, turn: 0 })?;
    let mut sources = Sources::new(&settings, &catalogue, &prices);
    if let Some(policy) = enforced(settings.is_simulated(), &settings) {
        let provider = catalogue.provider().clone();
        sources.facts = sources.facts.with_enforced(provider, policy);
    }
    let quality = sources.learned(&feedback(&settings).await?);
    // How deployments are doing is known to the gateway that calls them.
    let live = LiveBook::new(BreakerConfig::default(), clock.now(), seed);
    let router = Router::new(sources.snapshot(&quality), Arc::new(live));
    let charges = Charges {
        markups: &settings.markups,
        catalogue: &catalogue,
        caller: &Caller::local(),
    };
    let plan = charges.of(router.view().plan(&route, clock.now()));
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

fn question(args: &BestModelArgs) -> Question {
    let mut question = Question {
        context: args.context,
        max_price: args.max_price,
        ..Question::default()
    };
    let options = &mut question.options;
    options.task = Some(args.task.clone());
    options.min_quality = args.min_quality;
    options.confidence = args.confidence;
    options.needs.clone_from(&args.needs);
    options.data_policy.clone_from(&args.data_policy);
    options.region.clone_from(&args.region);
    options.strategy.clone_from(&args.strategy);
    options.allow_free = args.allow_free;
    options.prompt_tokens = args.prompt_tokens;
    options.completion_tokens = args.completion_tokens;
    question
}

/// What callers have said of models, where there is a ledger that knows.
async fn feedback(settings: &Settings) -> anyhow::Result<Vec<FeedbackRow>> {
    match read_ledger_if_any(settings)? {
        Some(ledger) => Ok(ledger.feedback_sums(settings.is_simulated()).await?),
        None => Ok(Vec::new()),
    }
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
