//! Why nobody serves a request, in the service's words.

use serde_json::{Value, json};

use crate::endpoint::Endpoint;
use crate::models::{Target, writes};
use crate::preferences::Preferences;
use crate::problem::Problem;
use crate::request::Asked;
use crate::routing::{Funnel, Step};

pub(crate) fn no_endpoints(name: &str) -> Problem {
    Problem::new(404, format!("No endpoints found for {name}.")).with("error_type", "not_found")
}

/// Whether a model can serve the request at all, wherever it is served.
pub(crate) fn unsuitable(asked: &Asked, target: &Target<'_>) -> Result<(), Problem> {
    let model = target.record;
    if !writes(model) {
        return Err(no_endpoints(model.id.as_str()));
    }
    let mandatory = model.reasoning.as_ref().is_some_and(|support| support.mandatory);
    // An alias moves under its caller, so it may not refuse what its last target allowed.
    let by_alias = target.name.starts_with('~');
    if mandatory && asked.reasoning.effort.as_deref() == Some("none") && !by_alias {
        return Err(Problem::invalid(
            "Reasoning is mandatory for this endpoint and cannot be disabled.",
        ));
    }
    Ok(())
}

/// The prompt, and the answer asked for, are longer than any endpoint takes.
pub(crate) fn too_long(context: u64, prompt: u64, output: Option<u64>) -> Problem {
    let needed = prompt.saturating_add(output.unwrap_or(0));
    let parts = match output {
        Some(output) => format!("{prompt} of text input, {output} in the output"),
        None => format!("{prompt} of text input"),
    };
    Problem::new(
        400,
        format!(
            "This endpoint's maximum context length is {context} tokens. However, you requested about {needed} tokens \
             ({parts}). Please reduce the length of either one, or use the context-compression plugin to compress your \
             prompt automatically."
        ),
    )
    .with("provider_name", Value::Null)
    .with("error_type", "context_length_exceeded")
}

/// What was wanted of endpoints none of which is left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The model, as the request names it.
    pub(crate) name: &'a str,
    pub(crate) prompt_tokens: u64,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) inputs: &'a [&'static str],
    /// What the request itself says, without the account.
    pub(crate) provider: &'a Preferences,
}

/// No endpoint is left of a model, and which step left none.
pub(crate) fn no_route(asked: &Wanted<'_>, all: &[Endpoint], funnel: &Funnel) -> Problem {
    let failed = funnel.0.last().map_or(Step::Tier, |(step, _)| *step);
    let mut slugs: Vec<&str> = Vec::new();
    for endpoint in all {
        if !slugs.contains(&endpoint.upstream.slug) {
            slugs.push(endpoint.upstream.slug);
        }
    }
    let usual = || all.iter().filter(|endpoint| endpoint.tier.is_none());
    let message = match failed {
        Step::Context => {
            let context = usual().filter_map(|endpoint| endpoint.context_length).max();
            let fits = context.is_none_or(|context| {
                asked.prompt_tokens.saturating_add(asked.max_tokens.unwrap_or(0)) <= context
            });
            if let (Some(context), false) = (context, fits) {
                return too_long(context, asked.prompt_tokens, asked.max_tokens);
            }
            let most = usual().filter_map(|endpoint| endpoint.max_completion_tokens).max();
            return Problem::new(
                400,
                format!(
                    "This endpoint's maximum output is {} tokens. However, you requested up to {} tokens. Please lower \
                     max_tokens.",
                    most.unwrap_or_default(),
                    asked.max_tokens.unwrap_or_default()
                ),
            )
            .with("provider_name", Value::Null)
            .with("error_type", "max_tokens_exceeded");
        }
        Step::Tier => format!("No endpoints found for {}.", asked.name),
        Step::Modality => {
            let reads = |input: &&&str| {
                usual().all(|endpoint| !endpoint.input_modalities.iter().any(|one| one == **input))
            };
            let input = asked.inputs.iter().find(reads).or(asked.inputs.first());
            format!("No endpoints found that support {} input", input.unwrap_or(&"this"))
        }
        Step::Providers => "No allowed providers are available for the selected model.".to_owned(),
        Step::DataPolicy if asked.provider.zdr => {
            "No endpoints found matching your data policy (Zero data retention). Configure: \
             https://openrouter.ai/settings/privacy"
                .to_owned()
        }
        Step::DataPolicy => "No endpoints found matching your data policy. Configure: \
             https://openrouter.ai/settings/privacy"
            .to_owned(),
        Step::Distillation => "No endpoints found that allow distillation of their text".to_owned(),
        Step::Quantization => "No endpoints found with the requested quantizations".to_owned(),
        Step::Price => "No endpoints found below the requested max_price".to_owned(),
        Step::Parameters => {
            "No endpoints found that can handle the requested parameters. To learn more about provider routing, visit: \
             https://openrouter.ai/docs/provider-routing"
                .to_owned()
        }
    };
    let mut requested = asked.provider.only.clone().unwrap_or_default();
    requested.extend(asked.provider.order.iter().cloned());
    let steps: Vec<Value> = funnel
        .0
        .iter()
        .map(|(step, left)| json!({ "step": step.name(), "endpoints": left }))
        .collect();
    Problem::new(404, message)
        .with("error_type", "not_found")
        .with("failed_routing_step", failed.name())
        .with("routing_funnel", steps)
        .with("available_providers", slugs)
        .with("requested_providers", requested)
}

/// The error of the last attempt, with those before it in short. When to come back is said only if everybody said it.
pub(crate) fn exhausted(mut failed: Vec<(Problem, Option<&'static str>)>) -> Problem {
    let hints: Option<Vec<u64>> = failed.iter().map(|(problem, _)| problem.retry_after).collect();
    let Some((mut problem, _)) = failed.pop() else {
        return Problem::new(500, "Internal Server Error");
    };
    if failed.is_empty() {
        return problem;
    }
    if problem.retry_after.is_some() {
        problem.retry_after = hints.and_then(|hints| hints.into_iter().min());
    }
    let earlier: Vec<Value> = failed
        .iter()
        .map(|(problem, provider)| problem.in_short(provider.unwrap_or("OpenRouter")))
        .collect();
    problem.with("previous_errors", earlier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_counts_only_where_all_give_one() {
        let problem = |hint: Option<u64>| {
            let mut problem = Problem::new(429, "x");
            problem.retry_after = hint;
            problem
        };
        let all = exhausted(vec![
            (problem(Some(9)), Some("A")),
            (problem(Some(20)), Some("B")),
        ]);
        assert_eq!(all.retry_after, Some(9));
        assert_eq!(all.metadata["previous_errors"][0]["provider"], "A");
        let some = exhausted(vec![(problem(None), None), (problem(Some(20)), Some("B"))]);
        assert_eq!(some.retry_after, None);
        assert_eq!(some.metadata["previous_errors"][0]["provider"], "OpenRouter");
        assert_eq!(exhausted(vec![(problem(Some(3)), None)]).retry_after, Some(3));
        assert_eq!(exhausted(Vec::new()).status, 500);
    }
}
