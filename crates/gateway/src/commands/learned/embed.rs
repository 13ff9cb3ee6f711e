//! Vectors of prompts, asked of an embedding model: each call by the limits, budgets and ledger of every other call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use costing::{Caller, Charge};
use integration_core::{
    CallContext, ChatRequest, EmbeddingClient, EmbeddingRequest, Error, ModelId, RetryClass,
};
use rate_limits::TokenEstimate;
use routing::{Attempt, AttemptOutcome, AttemptResult, Target};
use routing_learned::{Outcomes, embedded_part};
use serde::Serialize;

use super::super::number::Number;
use super::super::{Progress, runtime};
use super::{UNKNOWN, count, rounded, wrong};
use crate::app::{App, mint_request_id};
use crate::call::{Body, Prepared, RouteOptions};
use crate::cli::{PlaceArgs, WrongUsage};
use crate::config::Settings;
use crate::environment::Environment;
use crate::ledger::CallRecord;
use crate::pricing::total;
use crate::upstream::Mode;

/// So many texts are sent in one call.
const AT_ONCE: usize = 64;

/// The label of these calls in reports.
const TAG: &str = "embeddings";

/// How long to wait before a call is made again that nobody says when to make again, at first; and the longest wait.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What was asked for vectors, and what it cost.
#[derive(Debug, Serialize)]
pub(super) struct Embedded {
    model: String,
    /// Prompts that have a vector now and had none in the file.
    prompts: usize,
    calls: usize,
    /// What is known of the cost, failed attempts included.
    cost_usd: Option<Number>,
    cost_status: &'static str,
    simulated: bool,
}

impl Embedded {
    pub(super) fn sentence(&self) -> String {
        let cost = match self.cost_usd {
            Some(Number::Usd(amount)) => rounded(amount),
            _ => UNKNOWN.to_owned(),
        };
        let simulated = if self.simulated {
            " (SIMULATED, nothing was paid)"
        } else {
            ""
        };
        format!(
            "vectors of {} prompts by {}: {cost}, {} calls{simulated}",
            count(self.prompts),
            self.model,
            count(self.calls)
        )
    }
}

/// Asks for the vectors that prompts do not have yet. `None` if there is none to ask for: then nothing is begun, and no ledger opened.
/// A prompt without text stays without.
pub(super) fn embed(
    outcomes: &mut Outcomes,
    model: Option<&str>,
    place: &PlaceArgs,
    env: &Environment,
) -> anyhow::Result<Option<Embedded>> {
    let Some(model) = model else { return Ok(None) };
    // The same text is asked for once.
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for prompt in outcomes.prompts().filter(|prompt| prompt.vector().is_none()) {
        let text = embedded_part(prompt.text());
        if !text.trim().is_empty() {
            let of_text = missing.entry(text.to_owned()).or_default();
            of_text.push(prompt.id().to_owned());
        }
    }
    if missing.is_empty() {
        return Ok(None);
    }
    let id = ModelId::new(model).map_err(|error| WrongUsage(format!("--embeddings: {error}")))?;
    runtime()?.block_on(async {
        let app = App::start_beside(Settings::resolve(&place.overrides(), env)?).await?;
        let asked = ask(&app, &id, missing, outcomes).await;
        app.upstreams.shutdown().await;
        asked.map(Some)
    })
}

async fn ask(
    app: &App,
    model: &ModelId,
    missing: BTreeMap<String, Vec<String>>,
    outcomes: &mut Outcomes,
) -> anyhow::Result<Embedded> {
    let (provider, client) = app
        .upstreams
        .embeddings()
        .next()
        .context("no integration makes vectors")?;
    let target = Target::new(provider, model.clone());
    let progress = Progress::new(missing.len(), "texts embedded");
    let (texts, ids): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
    let (mut charges, mut calls, mut prompts) = (Vec::new(), 0, 0);
    for (texts, ids) in texts.chunks(AT_ONCE).zip(ids.chunks(AT_ONCE)) {
        let request = EmbeddingRequest::new(model.clone(), texts.to_vec());
        let vectors = call(app, &*client, &target, &request, &mut charges).await?;
        calls += 1;
        for (ids, vector) in ids.iter().zip(&vectors) {
            for id in ids {
                outcomes
                    .add_vector(id, model.as_str(), vector)
                    .map_err(|error| wrong(&error))?;
            }
            prompts += ids.len();
        }
        progress.steps(texts.len());
    }
    let charge = total(&charges);
    Ok(Embedded {
        model: model.as_str().to_owned(),
        prompts,
        calls,
        cost_usd: charge.cost.map(|cost| Number::Usd(cost.to_decimal())),
        cost_status: charge.status.as_str(),
        simulated: app.mode() == Mode::Simulated,
    })
}

/// One call, tried again as often as any other; each attempt is in the ledger before anything is sent.
async fn call(
    app: &App,
    client: &dyn EmbeddingClient,
    target: &Target,
    request: &EmbeddingRequest,
    charges: &mut Vec<Charge>,
) -> anyhow::Result<Vec<Vec<f32>>> {
    let id = mint_request_id()?;
    let options = RouteOptions {
        tags: vec![TAG.to_owned()],
        ..RouteOptions::default()
    };
    let tokens = TokenEstimate::of_embedding(request);
    // The ledger and the budgets take a call by its model and its size; there is nothing to answer.
    let body = Body::new(ChatRequest::new(target.model.clone(), Vec::new()), false, options);
    let prepared = Prepared::of_target(target.clone(), tokens);
    let record = Arc::new(CallRecord::new(
        app,
        id.clone(),
        &body,
        &prepared,
        Caller::local(),
    ));
    let gate = record.gate();
    let deadline = app.clock.now().checked_add(app.settings.call_deadline());
    let tried = async {
        let mut number = 1;
        loop {
            let mut attempt = Attempt::new(id.clone(), number, target.clone(), false);
            attempt.deadline = deadline;
            let admission = gate.admit(&attempt).await?;
            let begun = app.clock.now();
            let mut cx = CallContext::new(id.clone()).with_attempt(number);
            cx.deadline = deadline;
            let answer = client.embed(&cx, request).await;
            let took = app.clock.now().saturating_duration_since(begun);
            let (result, usage) = match &answer {
                Ok(answer) => (AttemptResult::Complete, answer.usage.clone()),
                Err(error) => (AttemptResult::Failed(error.into()), error.usage().cloned()),
            };
            let mut outcome = AttemptOutcome::new(result, took);
            outcome.usage = usage;
            admission.settle(&outcome);
            let error = match answer {
                Ok(answer) => return Ok(answer.embeddings),
                Err(error) => error,
            };
            let wait = wait(&error, number);
            let is_in_time =
                deadline.is_none_or(|end| app.clock.now().checked_add(wait).is_some_and(|then| then < end));
            if error.retry_class() == RetryClass::Never
                || number >= app.settings.limits.max_attempts
                || !is_in_time
            {
                return Err(error);
            }
            app.clock.sleep(wait).await;
            number += 1;
        }
    }
    .await;
    record.written().await;
    charges.extend(record.attempts().iter().map(|attempt| attempt.charge));
    let embeddings =
        tried.map_err(|error: Error| anyhow!("{} makes no vectors: {}", target.model, error.message()))?;
    if embeddings.len() != request.input.len() {
        return Err(anyhow!(
            "{} made {} vectors of {} texts",
            target.model,
            embeddings.len(),
            request.input.len()
        ));
    }
    Ok(embeddings.into_iter().map(|embedding| embedding.vector).collect())
}

fn wait(error: &Error, attempts: u16) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(10));
    error.retry_after().unwrap_or(doubled).min(LONGEST_WAIT)
}
