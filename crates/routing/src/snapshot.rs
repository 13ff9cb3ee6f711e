//! The models and their prices, laid out for decisions.

use costing::{PriceBook, PriceSheet};
use integration_core::{CapabilitySet, ModelId};
use model_catalogue::{Benchmarks, Catalogue, Day, ModelRecord};

use crate::index::Index;
use crate::{Belief, FactBook, Facts, QualityBook, Target, Task};

/// The models of a catalogue with their prices. It never changes: the same snapshot and the same request give the same plan.
#[derive(Debug, Clone)]
pub struct Snapshot {
    id: String,
    quality: String,
    /// Sorted by model id, then by provider; each pair once.
    deployments: Vec<Deployment>,
    pub(crate) index: Index,
}

/// One model at one provider, with what decisions look at.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub(crate) target: Target,
    pub(crate) capabilities: CapabilitySet,
    pub(crate) context_length: Option<u64>,
    pub(crate) max_completion_tokens: Option<u64>,
    pub(crate) benchmarks: Benchmarks,
    beliefs: [Option<Belief>; Task::ALL.len()],
    pub(crate) facts: Facts,
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
    fn new(
        record: ModelRecord,
        target: Target,
        prices: Option<PriceSheet>,
        quality: &QualityBook,
        facts: &FactBook,
    ) -> Self {
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
            beliefs: Task::ALL.map(|task| quality.belief(&record.id, task)),
            facts: facts.facts(&target),
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

    /// What is believed of its quality for a task; `None` where nobody knows.
    pub const fn belief(&self, task: Task) -> Option<Belief> {
        self.beliefs[task.index()]
    }

    /// What the operator says of it.
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its prices; `None` where they are missing or not understood.
    pub fn prices(&self) -> Option<&PriceSheet> {
        self.prices.as_ref()
    }
}

impl Snapshot {
    /// The models of a catalogue with the prices of a book, which is usually made from the same catalogue
    /// ([`PriceBook::from_catalogue`]), and the quality that the catalogue's benchmarks tell. A model the book has no prices for
    /// is refused in every plan.
    pub fn new(catalogue: &Catalogue, prices: &PriceBook) -> Self {
        let quality = QualityBook::from_catalogue(catalogue);
        Self::with_parts(&[(catalogue, prices)], &quality, &FactBook::new())
    }

    /// The models of several providers, each with its own prices. A provider is a service under one account: two accounts at one
    /// service are two providers. Of a pair of provider and model that comes twice the first counts.
    pub fn with_parts(
        providers: &[(&Catalogue, &PriceBook)],
        quality: &QualityBook,
        facts: &FactBook,
    ) -> Self {
        let deployments = providers.iter().flat_map(|(catalogue, prices)| {
            catalogue.records().iter().map(|record| {
                let target = Target::new(catalogue.provider().clone(), record.id.clone());
                let sheet = prices.sheet(&record.id).cloned();
                Deployment::new(record.clone(), target, sheet, quality, facts)
            })
        });
        let mut deployments: Vec<_> = deployments.collect();
        // The order decides ties, so it is made sure of here.
        deployments.sort_by(|a, b| {
            (&a.target.model, &a.target.provider).cmp(&(&b.target.model, &b.target.provider))
        });
        deployments.dedup_by(|a, b| a.target == b.target);
        let ids: Vec<_> = providers.iter().map(|(_, prices)| prices.id()).collect();
        Self {
            id: ids.join("+"),
            quality: quality.id().to_owned(),
            index: Index::new(&deployments),
            deployments,
        }
    }

    /// The name of the snapshot: that of the price book, because the same name then means the same prices.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name of what is believed of quality, [`QualityBook::id`].
    pub fn quality_id(&self) -> &str {
        &self.quality
    }

    /// Every model at every provider, sorted by id.
    pub fn deployments(&self) -> &[Deployment] {
        &self.deployments
    }

    /// The model with this id, at the first of its providers.
    pub fn get(&self, model: &ModelId) -> Option<&Deployment> {
        let at = self
            .deployments
            .partition_point(|deployment| deployment.target.model < *model);
        self.deployments
            .get(at)
            .filter(|deployment| deployment.target.model == *model)
    }

    /// The place of a deployment.
    pub fn place(&self, target: &Target) -> Option<usize> {
        let by_name = |deployment: &Deployment| {
            (&deployment.target.model, &deployment.target.provider).cmp(&(&target.model, &target.provider))
        };
        self.deployments.binary_search_by(by_name).ok()
    }
}
