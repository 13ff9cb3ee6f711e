//! Vectors of prompts, asked of an embedding model: each call by the limits, budgets and ledger of every other call.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use costing::Caller;
use integration_core::ModelId;
use routing_learned::{Outcomes, embedded_part};
use serde::Serialize;

use super::super::number::Number;
use super::super::{Progress, runtime};
use super::{UNKNOWN, count, rounded, wrong};
use crate::app::App;
use crate::cli::{PlaceArgs, WrongUsage};
use crate::config::Settings;
use crate::embed::Embedder;
use crate::environment::Environment;
use crate::pricing::total;
use crate::upstream::Mode;

/// So many texts are sent in one call.
const AT_ONCE: usize = 64;

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
    let embedder = Embedder::new(app, model.clone()).context("no integration makes vectors")?;
    let progress = Progress::new(missing.len(), "texts embedded");
    let (texts, ids): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
    let (mut charges, mut calls, mut prompts) = (Vec::new(), 0, 0);
    for (texts, ids) in texts.chunks(AT_ONCE).zip(ids.chunks(AT_ONCE)) {
        let attempts = app.settings.limits.max_attempts;
        let asked = embedder.vectors(
            app,
            texts.to_vec(),
            (Caller::local(), None, &[]),
            attempts,
            app.settings.call_deadline(),
        );
        let (vectors, of_call) = asked.await;
        charges.extend(of_call);
        let vectors = vectors.map_err(|error| anyhow!("{model} makes no vectors: {}", error.message()))?;
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
