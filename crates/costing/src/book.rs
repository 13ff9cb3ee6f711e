//! The prices of every model of a catalogue.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use integration_core::ModelId;
use model_catalogue::Catalogue;
use sha2::{Digest, Sha256};

use crate::discount::Discount;
use crate::sheet::{PriceError, PriceSheet, SheetProblem};
use crate::tier::ServiceTier;

/// How many bytes of the hash are in a book's id.
const HASH_BYTES: usize = 6;

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

/// The prices of many models at one time: a snapshot that never changes. Another price makes another book, with another id;
/// calls that were admitted under this one keep it and are priced by it.
///
/// A clone is the same book and costs nothing. A model is found by exactly its id: a name that is merely like it has no price.
/// What other names mean a model is said by the catalogue.
#[derive(Clone, PartialEq, Eq)]
pub struct PriceBook(Arc<Content>);

#[derive(PartialEq, Eq)]
struct Content {
    id: String,
    name: String,
    sheets: Sheets,
}

/// Of each model its prices by tier; never none.
type Sheets = HashMap<ModelId, Vec<(ServiceTier, Arc<PriceSheet>)>>;

impl PriceBook {
    /// The prices of a catalogue under its id, and everything in them that was not understood. A model whose prices cannot be
    /// parsed has no sheet. The catalogue's id holds the hash of its content, and so of these prices.
    pub fn from_catalogue(catalogue: &Catalogue) -> (Self, Vec<PriceProblem>) {
        let mut sheets = Sheets::with_capacity(catalogue.records().len());
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
                    sheets.insert(record.id.clone(), vec![(ServiceTier::Standard, Arc::new(sheet))]);
                }
                Err(error) => report(ProblemCause::Unpriced(error)),
            }
        }
        let id = catalogue.id().to_owned();
        let name = id.clone();
        (Self(Arc::new(Content { id, name, sheets })), problems)
    }

    /// A book of sheets. Its id is `NAME-HASH`, where the hash is of the [content](Self::content): the same id always means the
    /// same prices. Of two sheets for one model the later one counts.
    pub fn new(name: impl Into<String>, sheets: impl IntoIterator<Item = (ModelId, PriceSheet)>) -> Self {
        let sheets = sheets
            .into_iter()
            .map(|(model, sheet)| (model, vec![(ServiceTier::Standard, Arc::new(sheet))]))
            .collect();
        Self::named(name.into(), sheets)
    }

    fn named(name: String, sheets: Sheets) -> Self {
        let hash = Sha256::digest(content(&sheets));
        let mut id = format!("{name}-");
        for byte in hash.iter().take(HASH_BYTES) {
            let _ = write!(id, "{byte:02x}");
        }
        Self(Arc::new(Content { id, name, sheets }))
    }

    /// A new book with a price of one's own for a model in a tier. This book, and every call priced by it, stays as it is.
    #[must_use]
    pub fn with_sheet(&self, model: ModelId, tier: ServiceTier, sheet: PriceSheet) -> Self {
        let mut sheets = self.0.sheets.clone();
        let of_model = sheets.entry(model).or_default();
        of_model.retain(|(known, _)| *known != tier);
        of_model.push((tier, Arc::new(sheet)));
        Self::named(self.0.name.clone(), sheets)
    }

    /// A new book in which every price is less a discount, as agreed with the provider.
    ///
    /// # Errors
    /// [`PriceProblem`] for the first price that would have more digits than can be held exactly.
    pub fn with_discount(&self, discount: Discount) -> Result<Self, PriceProblem> {
        let mut sheets = self.0.sheets.clone();
        for (model, of_model) in &mut sheets {
            for (_, sheet) in of_model {
                let reduced = sheet.with_discount(discount).map_err(|error| PriceProblem {
                    model: model.clone(),
                    cause: ProblemCause::Unpriced(error),
                })?;
                *sheet = Arc::new(reduced);
            }
        }
        Ok(Self::named(self.0.name.clone(), sheets))
    }

    /// The name of these prices, kept with every cost calculated by them. It ends in twelve hexadecimal digits of the SHA-256 of
    /// what they are.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The prices of the model of exactly this id, in the usual tier.
    pub fn sheet(&self, model: &ModelId) -> Option<&PriceSheet> {
        self.row(model, &ServiceTier::Standard)
    }

    /// The prices of the model of exactly this id in a tier. A batch is also found as the model's variant, `a/b:batch`.
    ///
    /// `None` where the tier has no prices of its own: the usual ones would be wrong by half or double, and look right.
    pub fn tier_sheet(&self, model: &ModelId, tier: &ServiceTier) -> Option<&PriceSheet> {
        let variant = || {
            let batch = *tier == ServiceTier::Batch;
            if batch && model.variant() == Some("batch") {
                return self.sheet(model);
            }
            let name = batch.then(|| format!("{model}:batch"))?;
            self.sheet(&ModelId::new(name).ok()?)
        };
        self.row(model, tier).or_else(variant)
    }

    fn row(&self, model: &ModelId, tier: &ServiceTier) -> Option<&PriceSheet> {
        let of_model = self.0.sheets.get(model)?;
        let (_, sheet) = of_model.iter().find(|(known, _)| known == tier)?;
        Some(sheet)
    }

    /// How many models have prices.
    pub fn len(&self) -> usize {
        self.0.sheets.len()
    }

    /// Whether no model has prices.
    pub fn is_empty(&self) -> bool {
        self.0.sheets.is_empty()
    }

    /// The canonical text of the prices, to be kept beside the id: one line for each model and tier, sorted, with the prices as
    /// [`PriceSheet::to_pricing_json`] writes them and [`PriceSheet::from_pricing_json`] reads them. Two books with the same
    /// prices have the same text.
    pub fn content(&self) -> String {
        content(&self.0.sheets)
    }
}

/// Each line is `MODEL TIER DISCOUNT PRICES`, separated by tabs; the discount is `-` or its basis points.
fn content(sheets: &Sheets) -> String {
    let mut rows: Vec<(&ModelId, &ServiceTier, &PriceSheet)> = sheets
        .iter()
        .flat_map(|(model, of_model)| {
            of_model
                .iter()
                .map(move |(tier, sheet)| (model, tier, sheet.as_ref()))
        })
        .collect();
    rows.sort_unstable_by_key(|(model, tier, _)| (*model, *tier));
    let mut text = String::new();
    for (model, tier, sheet) in rows {
        let discount = sheet
            .discount()
            .map_or_else(|| "-".to_owned(), |discount| discount.bps().to_string());
        let word: String = tier.as_str().escape_default().collect();
        let _ = writeln!(text, "{model}\t{word}\t{discount}\t{}", sheet.to_pricing_json());
    }
    text
}

/// The id and how many models; not every price.
impl fmt::Debug for PriceBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PriceBook")
            .field("id", &self.0.id)
            .field("models", &self.0.sheets.len())
            .finish()
    }
}
