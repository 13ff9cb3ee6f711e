//! Learned policies under simulation.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, bail};
use integration_core::ModelId;
use model_catalogue::Catalogue;
use routing_learned::sim::{Asked, Policy};

use super::{Asks, Basis, Chosen, LearnedPolicy, chance};

/// A learned policy as its files have it: without labels nothing breaks its promise.
#[derive(Debug)]
pub(crate) struct Simulated {
    policy: Arc<LearnedPolicy>,
    /// What the catalogue calls its models.
    models: BTreeMap<String, ModelId>,
}

impl Simulated {
    /// # Errors
    /// One sentence: it looks at what a simulation does not have.
    pub(crate) fn new(policy: LearnedPolicy, catalogue: &Catalogue) -> anyhow::Result<Self> {
        let model = policy.model();
        if matches!(policy.basis, Basis::Cascade(_)) {
            bail!("'{model}' is a cascade: it looks at answers, and a simulation has none");
        }
        if policy.wants_vector() {
            bail!("'{model}' looks at vectors of prompts, and a simulation asks for none");
        }
        let id = |name: &String| {
            let record = catalogue.resolve(name);
            let record = record.with_context(|| format!("'{model}': the catalogue has no '{name}'"))?;
            Ok((name.clone(), record.id.clone()))
        };
        let models = policy.models().iter().map(id).collect::<anyhow::Result<_>>()?;
        Ok(Self {
            policy: Arc::new(policy),
            models,
        })
    }
}

impl Policy for Simulated {
    fn name(&self) -> String {
        self.policy.model()
    }

    fn choose(&mut self, asked: &Asked<'_>) -> Vec<ModelId> {
        let tags: Vec<String> = asked.tag.map(str::to_owned).into_iter().collect();
        let tag = self.policy.tag(&tags, Some(asked.task.as_str()));
        let asks = Asks {
            whole: true,
            explain: false,
        };
        let draw = chance(&[&asked.seed.to_le_bytes()]);
        let chosen = self.policy.choose(asked.prompt, tag, None, draw, asks);
        let order = chosen.iter().flat_map(Chosen::order);
        order
            .filter_map(|(model, _)| self.models.get(model).cloned())
            .collect()
    }
}
