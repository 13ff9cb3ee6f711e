//! The prices of every model of a catalogue.

use std::collections::HashMap;

use integration_core::ModelId;
use model_catalogue::Catalogue;

use crate::sheet::{PriceError, PriceSheet, SheetProblem};

/// What is the matter with a model's prices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{model}: {cause}")]
#[non_exhaustive]
pub struct PriceProblem {
    /// The model.
    pub model: ModelId,
    /// What was found.
    pub cause: ProblemCause,
}

/// Whether a model has prices in spite of a problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemCause {
    /// None of its prices can be used: the model is unpriced.
    #[error("it is unpriced: {0}")]
    Unpriced(PriceError),
    /// It is priced by what was understood.
    #[error(transparent)]
    Partly(SheetProblem),
}

/// The prices of many models, named. Immutable; a new catalogue makes a new book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceBook {
    id: String,
    sheets: HashMap<ModelId, PriceSheet>,
}

impl PriceBook {
    /// The prices of a catalogue under its id, and everything in them that was not understood. A model whose prices cannot be
    /// parsed has no sheet.
    pub fn from_catalogue(catalogue: &Catalogue) -> (Self, Vec<PriceProblem>) {
        let mut sheets = HashMap::with_capacity(catalogue.records().len());
        let mut problems = Vec::new();
        for record in catalogue.records() {
            let mut report = |cause| {
                problems.push(PriceProblem {
                    model: record.id.clone(),
                    cause,
                })
            };
            match PriceSheet::parse(&record.prices) {
                Ok(sheet) => {
                    sheet
                        .problems()
                        .iter()
                        .cloned()
                        .map(ProblemCause::Partly)
                        .for_each(&mut report);
                    sheets.insert(record.id.clone(), sheet);
                }
                Err(error) => report(ProblemCause::Unpriced(error)),
            }
        }
        (
            Self {
                id: catalogue.id().to_owned(),
                sheets,
            },
            problems,
        )
    }

    /// A book of sheets under a name of its own. The same name must always mean the same prices, as the ledger keeps only the
    /// name.
    pub fn new(id: impl Into<String>, sheets: impl IntoIterator<Item = (ModelId, PriceSheet)>) -> Self {
        Self {
            id: id.into(),
            sheets: sheets.into_iter().collect(),
        }
    }

    /// The name of these prices, kept with every cost calculated by them.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The prices of the model of exactly this id.
    pub fn sheet(&self, model: &ModelId) -> Option<&PriceSheet> {
        self.sheets.get(model)
    }

    /// How many models have prices.
    pub fn len(&self) -> usize {
        self.sheets.len()
    }

    /// Whether no model has prices.
    pub fn is_empty(&self) -> bool {
        self.sheets.is_empty()
    }
}
