//! What a provider tells afterwards of what calls cost.

use async_trait::async_trait;
use rust_decimal::Decimal;

use crate::{Error, GenerationId, IntegrationClient, ReportedCost, Result};

/// What was taken on one day for one model. Rows of the same day and model are added up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DaySpending {
    /// The model, as it was asked for.
    pub model: String,
    /// How many requests.
    pub requests: u64,
    /// What was taken for them in US dollars, what upstreams took under a key of our own included.
    pub cost: Decimal,
}

impl DaySpending {
    /// A row.
    pub fn new(model: impl Into<String>, requests: u64, cost: Decimal) -> Self {
        Self {
            model: model.into(),
            requests,
            cost,
        }
    }
}

/// An integration that tells afterwards what calls cost, and takes nothing for telling.
#[async_trait]
pub trait BillingClient: IntegrationClient {
    /// What the provider's own record says a generation cost; `None` as long as there is no such record. Some providers write it
    /// only after a while, some never.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] unless the integration implements it; otherwise as for every call.
    async fn generation_cost(&self, generation: &GenerationId) -> Result<Option<ReportedCost>> {
        let _ = generation;
        Err(Error::unsupported(self.id(), "the cost of a generation"))
    }

    /// What was taken on a day of Coordinated Universal Time that is over, `YYYY-MM-DD`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] unless the integration implements it; otherwise as for every call.
    async fn spending_of_day(&self, day: &str) -> Result<Vec<DaySpending>> {
        let _ = day;
        Err(Error::unsupported(self.id(), "the spending of a day"))
    }
}
