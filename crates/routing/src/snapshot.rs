//! The models and their prices, laid out for decisions.

use costing::{PriceBook, PriceSheet};
use integration_core::{CapabilitySet, ModelId};
use model_catalogue::{Benchmarks, Catalogue, Day, ModelRecord};

use crate::Target;

/// The models of a catalogue with their prices. It never changes: the same snapshot and the same request give the same plan.
#[derive(Debug, Clone)]
pub struct Snapshot {
    id: String,
    /// Sorted by model id, each id once.
    deployments: Vec<Deployment>,
}

/// One model at one provider, with what decisions look at.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub(crate) target: Target,
    pub(crate) capabilities: CapabilitySet,
    pub(crate) context_length: Option<u64>,
    pub(crate) max_completion_tokens: Option<u64>,
    pub(crate) benchmarks: Benchmarks,
    pub(crate) is_batch: bool,
    pub(crate) is_free_variant: bool,
    pub(crate) is_alias: bool,
    pub(crate) alias_target: Option<ModelId>,
    /// The last day on which it is sure to be there.
    pub(crate) last_day: Option<LastDay>,
    /// `None` where its prices are missing or not understood.
    pub(crate) prices: Option<PriceSheet>,
}

#[derive(Debug, Clone)]
pub(crate) struct LastDay {
    pub(crate) day: Day,
    pub(crate) written: String,
}

impl Deployment {
    fn new(record: ModelRecord, target: Target, prices: Option<PriceSheet>) -> Self {
        // A date that no day lies behind is the provider's way of writing "never".
        let ends = record.is_expired(Day::from_unix(i64::MAX));
        let last_day = record
            .expiration_date
            .as_deref()
            .filter(|_| ends)
            .and_then(|written| {
                Some(LastDay {
                    day: Day::parse(written)?,
                    written: written.to_owned(),
                })
            });
        Self {
            capabilities: record.capabilities(),
            is_batch: record.is_batch(),
            is_free_variant: record.is_free_variant(),
            is_alias: record.is_alias(),
            context_length: record.context_length,
            max_completion_tokens: record.max_completion_tokens,
            benchmarks: record.benchmarks,
            alias_target: record.alias_target,
            target,
            last_day,
            prices,
        }
    }

    /// The model and its provider.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What it can do.
    pub fn capabilities(&self) -> CapabilitySet {
        self.capabilities
    }

    /// Prompt and answer together, in tokens.
    pub fn context_length(&self) -> Option<u64> {
        self.context_length
    }

    /// How well it does.
    pub fn benchmarks(&self) -> &Benchmarks {
        &self.benchmarks
    }

    /// Its prices; `None` where they are missing or not understood.
    pub fn prices(&self) -> Option<&PriceSheet> {
        self.prices.as_ref()
    }
}

impl Snapshot {
    /// The models of a catalogue with the prices of a book, which is usually made from the same catalogue
    /// ([`PriceBook::from_catalogue`]). A model the book has no prices for is refused in every plan.
    pub fn new(catalogue: &Catalogue, prices: &PriceBook) -> Self {
        let deployment = |record: &ModelRecord| {
            let target = Target::new(catalogue.provider().clone(), record.id.clone());
            Deployment::new(record.clone(), target, prices.sheet(&record.id).cloned())
        };
        let mut deployments: Vec<_> = catalogue.records().iter().map(deployment).collect();
        // The order decides ties, so it is made sure of here.
        deployments.sort_by(|a, b| a.target.model.cmp(&b.target.model));
        Self {
            id: prices.id().to_owned(),
            deployments,
        }
    }

    /// The name of the snapshot: that of the price book, because the same name then means the same prices.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Every model, sorted by id.
    pub fn deployments(&self) -> &[Deployment] {
        &self.deployments
    }

    /// The model with this id.
    pub fn get(&self, model: &ModelId) -> Option<&Deployment> {
        let at = self
            .deployments
            .binary_search_by(|deployment| deployment.target.model.cmp(model))
            .ok()?;
        self.deployments.get(at)
    }
}
