//! One chat request: which model and upstream serve it, what fails on the way, and what it answers.

use std::time::Duration;

use bytes::Bytes;
use costing::UtcTime;
use model_catalogue::ModelRecord;
use serde_json::{Value, json};

use crate::answer::compose;
use crate::bill::Bill;
use crate::dice::Dice;
use crate::fault::{Fault, FaultPlan};
use crate::generations::Generation;
use crate::pace::Pace;
use crate::problem::{About, Problem, moves_on, staged};
use crate::request::{Asked, Preferences, read};
use crate::scenario::Route;
use crate::simulation::{
    Outcome, Ruling, SimulatedAnswer, SimulatedReply, SimulatedRequest, Simulation, edge,
};
use crate::upstream::{Upstream, upstreams};
use crate::wire::{Head, Sending, Step, stream, whole};

/// How often the first upstream of a model serves it where the request does not say who should.
const FIRST_SERVES: f64 = 0.8;

/// What one model came to.
enum Attempt {
    Serve {
        upstream: Upstream,
        fault: Option<Fault>,
    },
    Edge(Outcome),
    Failed {
        problem: Problem,
        upstream: Option<Upstream>,
    },
}

impl Simulation {
    pub(crate) fn chat(&self, request: &SimulatedRequest<'_>, plan: &FaultPlan, key: u64) -> SimulatedReply {
        let (number, at) = self.next_request();
        let asked = match read(request.body()) {
            Ok(asked) => asked,
            Err(problem) => return (&problem).into(),
        };
        let models: Result<Vec<_>, Problem> =
            asked.models.iter().map(|name| self.model(name, &asked)).collect();
        let models = match models {
            Ok(models) => models,
            Err(problem) => return (&problem).into(),
        };
        let mut delay = Duration::ZERO;
        let mut failed: Vec<(Problem, Option<Upstream>)> = Vec::new();
        for (name, model) in asked.models.iter().zip(models) {
            match self.attempt(&asked, name, model, plan, &mut delay, &mut failed) {
                Attempt::Serve { upstream, fault } => {
                    let mut reply = self.serve(&asked, model, upstream, fault, (number, at), key);
                    reply.delay += delay;
                    return reply;
                }
                Attempt::Edge(outcome) => return SimulatedReply { delay, outcome },
                Attempt::Failed { problem, upstream } => {
                    let last = !moves_on(problem.status);
                    failed.push((problem, upstream));
                    if last {
                        break;
                    }
                }
            }
        }
        let mut reply = SimulatedReply::from(&exhausted(failed));
        reply.delay = delay;
        reply
    }

    /// The model that a name stands for.
    fn model(&self, name: &str, asked: &Asked) -> Result<&ModelRecord, Problem> {
        let invalid = || Problem::invalid(format!("{name} is not a valid model ID"));
        let Some(record) = self.catalogue.resolve(name) else {
            // A variant of a model that there is, is no endpoint rather than no model.
            let base = name.split(':').next().unwrap_or(name);
            let known = base != name && self.catalogue.resolve(base).is_some();
            return Err(if known { no_endpoints(name) } else { invalid() });
        };
        let record = match &record.alias_target {
            Some(target) => self.catalogue.get(target.as_str()).ok_or_else(invalid)?,
            None => record,
        };
        if record.is_batch() {
            return Err(no_endpoints(name));
        }
        if record.id.author() == Some("openrouter") {
            let about = asked.about.to_le_bytes();
            let mut dice = Dice::new(self.config.seed, "router", &[name.as_bytes(), &about]);
            return self.routed(record, &mut dice).ok_or_else(|| {
                Problem::new(404, "No models match your request and model restrictions")
                    .with("error_type", "not_found")
            });
        }
        Ok(record)
    }

    /// The model that a router chooses: a free one for the router of free models, else one that is paid for.
    fn routed(&self, router: &ModelRecord, dice: &mut Dice) -> Option<&ModelRecord> {
        let free = router.id.as_str().ends_with("/free");
        let fits = |record: &&ModelRecord| {
            let sheet = self.prices.sheet(&record.id);
            let paid = sheet.is_some_and(|sheet| !sheet.is_dynamic() && !sheet.is_free());
            let ours = record.id.author() == Some("openrouter");
            let kind = if free {
                record.is_free_variant()
            } else {
                paid && !record.is_free_variant()
            };
            kind && !ours && !record.is_batch() && !record.is_alias() && writes(record)
        };
        let all: Vec<&ModelRecord> = self.catalogue.records().iter().filter(fits).collect();
        dice.pick(&all)
    }

    /// Tries a model at its upstreams, until one serves it.
    fn attempt(
        &self,
        asked: &Asked,
        name: &str,
        model: &ModelRecord,
        plan: &FaultPlan,
        delay: &mut Duration,
        failed: &mut Vec<(Problem, Option<Upstream>)>,
    ) -> Attempt {
        if let Err(problem) = suits(asked, model) {
            return Attempt::Failed {
                problem,
                upstream: None,
            };
        }
        let mut dice = Dice::new(
            self.config.seed,
            "upstream",
            &[model.id.as_str().as_bytes(), &asked.about.to_le_bytes()],
        );
        let all = upstreams(self.config.seed, model.id.as_str());
        let candidates = match order(&all, &asked.provider, &mut dice) {
            Ok(candidates) => candidates,
            Err(problem) => {
                return Attempt::Failed {
                    problem,
                    upstream: None,
                };
            }
        };
        let names = [name, model.id.as_str(), model.canonical_slug.as_str()];
        // What is staged for the model as a whole happens at whichever upstream comes first.
        let ruling = match plan.fault_for(&names) {
            Some(fault) => Ruling {
                fault: Some(fault),
                ..Ruling::default()
            },
            None => self.rule(Route::Chat, &names, None),
        };
        *delay += ruling.delay;
        let about = |upstream: Upstream| About {
            model: name,
            upstream: upstream.name,
            flagged: &asked.question,
            max_tokens: asked.max_tokens.or(model.max_completion_tokens).unwrap_or(65_536),
        };
        let mut last = None;
        for upstream in candidates {
            let (fault, retry_after, whole_model) = match ruling.fault {
                Some(fault) => (Some(fault), ruling.retry_after, true),
                None => {
                    let own = self.rule(Route::Chat, &names, Some([upstream.name, upstream.slug]));
                    *delay += own.delay;
                    (own.fault, own.retry_after, false)
                }
            };
            match fault {
                Some(Fault::Status(status)) => {
                    let problem = staged(status, about(upstream), retry_after);
                    if whole_model || !moves_on(status) {
                        return Attempt::Failed {
                            problem,
                            upstream: Some(upstream),
                        };
                    }
                    failed.extend(last.replace((problem, Some(upstream))));
                }
                Some(fault) if edge(fault).is_some() => {
                    return Attempt::Edge(edge(fault).unwrap_or(Outcome::Hang));
                }
                fault => return Attempt::Serve { upstream, fault },
            }
        }
        match last {
            Some((problem, upstream)) => Attempt::Failed { problem, upstream },
            None => Attempt::Failed {
                problem: no_endpoints(name),
                upstream: None,
            },
        }
    }

    /// Makes the answer and remembers it.
    fn serve(
        &self,
        asked: &Asked,
        model: &ModelRecord,
        upstream: Upstream,
        fault: Option<Fault>,
        (number, at): (u64, UtcTime),
        key: u64,
    ) -> SimulatedReply {
        let seed = self.config.seed;
        let content: [&[u8]; 2] = [model.id.as_str().as_bytes(), &asked.about.to_le_bytes()];
        let mut call = Dice::new(seed, "call", &[&number.to_le_bytes()]);
        let created = u64::try_from(at.unix()).unwrap_or_default();
        let id = format!("gen-{created}-{}", call.alphanumeric(20));
        let problem = staged(
            502,
            About {
                model: model.id.as_str(),
                upstream: upstream.name,
                flagged: "",
                max_tokens: 0,
            },
            None,
        );
        let named = call.chance(0.5);
        let mut answer_headers = vec![("x-generation-id", id.clone())];
        if named {
            answer_headers.push(("x-provider-name", upstream.name.to_owned()));
        }
        if fault == Some(Fault::Error200) {
            let mut body = json!({ "id": id });
            if let (Some(fields), Value::Object(error)) = (body.as_object_mut(), problem.body()) {
                fields.extend(error);
            }
            let steps = vec![
                Step::Send(Bytes::from_static(b"\n         \n")),
                Step::Send(Bytes::from(body.to_string())),
            ];
            let mut answer = SimulatedAnswer::new(200, "application/json", steps);
            answer.headers.extend(answer_headers);
            return answer.into();
        }

        let answer = compose(seed, asked, model, self.config.scenario.answer);
        let sheet = self.prices.sheet(&model.id);
        let bill = Bill::new(
            asked.prompt_tokens,
            &answer,
            sheet,
            at,
            &mut Dice::new(seed, "bill", &content),
        );
        let served = served_name(model);
        let head = Head {
            id: &id,
            created,
            model: &served,
            provider: upstream.name,
        };
        let pace = Pace::new(
            self.config.timing,
            seed,
            model.id.as_str(),
            upstream.name,
            call.clone(),
        );
        let sending = Sending {
            head,
            answer: &answer,
            bill,
            fault,
            problem: &problem,
            dice: call,
            pace,
        };
        let mut reply = if asked.stream {
            let mut reply = SimulatedAnswer::new(200, "text/event-stream", stream(sending));
            reply.headers.push(("cache-control", "no-cache".to_owned()));
            reply
        } else {
            SimulatedAnswer::new(200, "application/json", whole(sending))
        };
        reply.headers.extend(answer_headers);

        let error = matches!(
            fault,
            Some(Fault::ErrorFirst | Fault::ErrorMid | Fault::FinishError | Fault::Empty)
        );
        let generation = Generation {
            created,
            model: served,
            provider: upstream.name,
            streamed: asked.stream,
            finish: if error { "error" } else { answer.finish },
            native_finish: if error { "error" } else { answer.native_finish },
            bill: if error { bill.waived() } else { bill },
            visible: self.clock().now() + self.config.generation_delay(),
        };
        self.state().memory.remember(id, key, generation);
        reply.into()
    }
}

/// The dated name of a model, with its variant: a free variant must not be taken for the one that is paid for.
fn served_name(model: &ModelRecord) -> String {
    match model.id.variant() {
        Some(variant) => format!("{}:{variant}", model.canonical_slug),
        None => model.canonical_slug.clone(),
    }
}

fn writes(model: &ModelRecord) -> bool {
    model.output_modalities.iter().any(|modality| modality == "text")
}

fn no_endpoints(name: &str) -> Problem {
    Problem::new(404, format!("No endpoints found for {name}.")).with("error_type", "not_found")
}

/// Whether a model can serve the request at all.
fn suits(asked: &Asked, model: &ModelRecord) -> Result<(), Problem> {
    if !writes(model) {
        return Err(no_endpoints(model.id.as_str()));
    }
    let mandatory = model.reasoning.as_ref().is_some_and(|support| support.mandatory);
    // An alias moves under its caller, so it may not refuse what its last target allowed.
    let by_alias = asked.models.iter().any(|name| name.starts_with('~'));
    if mandatory && asked.reasoning.effort.as_deref() == Some("none") && !by_alias {
        return Err(Problem::invalid(
            "Reasoning is mandatory for this endpoint and cannot be disabled.",
        ));
    }
    let Some(context) = model.context_length else {
        return Ok(());
    };
    let output = asked.max_tokens.unwrap_or(0);
    let needed = asked.prompt_tokens.saturating_add(output);
    if needed <= context {
        return Ok(());
    }
    let parts = match asked.max_tokens {
        Some(output) => format!("{} of text input, {output} in the output", asked.prompt_tokens),
        None => format!("{} of text input", asked.prompt_tokens),
    };
    Err(Problem::new(
        400,
        format!(
            "This endpoint's maximum context length is {context} tokens. However, you requested about {needed} tokens \
             ({parts}). Please reduce the length of either one, or use the context-compression plugin to compress your \
             prompt automatically."
        ),
    )
    .with("provider_name", Value::Null)
    .with("error_type", "context_length_exceeded"))
}

/// The upstreams that may serve, in the order to try them.
fn order(all: &[Upstream], wanted: &Preferences, dice: &mut Dice) -> Result<Vec<Upstream>, Problem> {
    let named = |list: &[String], upstream: &Upstream| {
        list.iter()
            .any(|slug| slug.split('/').next() == Some(upstream.slug))
    };
    let mut allowed: Vec<Upstream> = all.to_vec();
    allowed.retain(|upstream| wanted.only.as_ref().is_none_or(|only| named(only, upstream)));
    allowed.retain(|upstream| !named(&wanted.ignore, upstream));
    let nobody = || {
        let slugs: Vec<&str> = all.iter().map(|upstream| upstream.slug).collect();
        Problem::new(404, "No allowed providers are available for the selected model.")
            .with("error_type", "not_found")
            .with("available_providers", slugs)
            .with("requested_providers", wanted.only.clone().unwrap_or_default())
    };
    if wanted.order.is_empty() {
        // The order of the model itself, with a draw for the first place.
        if allowed.len() > 1 && !dice.chance(FIRST_SERVES) {
            allowed.rotate_left(1);
        }
        if wanted.no_fallbacks {
            allowed.truncate(1);
        }
    } else {
        let place = |upstream: &Upstream| {
            wanted
                .order
                .iter()
                .position(|slug| slug.split('/').next() == Some(upstream.slug))
                .unwrap_or(usize::MAX)
        };
        allowed.sort_by_key(place);
        if wanted.no_fallbacks {
            allowed.retain(|upstream| place(upstream) < usize::MAX);
        }
    }
    if allowed.is_empty() {
        Err(nobody())
    } else {
        Ok(allowed)
    }
}

/// The error of the last attempt, with those before it in short.
fn exhausted(mut failed: Vec<(Problem, Option<Upstream>)>) -> Problem {
    let Some((problem, _)) = failed.pop() else {
        return Problem::new(500, "Internal Server Error");
    };
    if failed.is_empty() {
        return problem;
    }
    let earlier: Vec<Value> = failed
        .iter()
        .map(|(problem, upstream)| problem.in_short(upstream.map_or("OpenRouter", |upstream| upstream.name)))
        .collect();
    problem.with("previous_errors", earlier)
}
